//! Search for Ogg pages (RFC 3533, section 6) in bytes that may be damaged.
//!
//! The crate `ogg` checks and unpacks the pages; its own reader stops at the first one that is damaged, and does not
//! say which are missing.

use std::io::{self, ErrorKind, Read};

use ::ogg::reading::{OggPage, PageParser};

/// Capture pattern: the first bytes of every page.
const MAGIC: &[u8] = b"OggS";

/// Length of a page's header in bytes, up to the segment table.
const HEADER_BYTES: usize = 27;

/// Bytes read at a time.
const READ_BYTES: usize = 16 * 1024;

/// Bytes among which the first page must begin, else the input is no Ogg file.
const MAX_BYTES_BEFORE_FIRST: u64 = 64 * 1024;

/// Bytes that may be checked in vain: at most at a time, and for each byte passed. What looks like the header of a page
/// may come every few bytes, and each time promise a page of 64 KiB, whose checksum would be taken.
const MAX_CHECKS: usize = 1 << 20;
const CHECKS_PER_BYTE: usize = 4;

/// Whole page with a right checksum.
pub(super) struct Page {
    pub serial: u32,
    pub sequence: u32,
    /// Granule position: the end of the last packet that ends here, in ticks of the stream's own count; negative if
    /// none ends here.
    pub granule: i64,
    pub begins_stream: bool,
    pub ends_stream: bool,
    /// Whether a packet ends here.
    pub ends_packet: bool,
    /// Bytes of packets on it.
    pub length: usize,
    pub content: OggPage,
}

impl Page {
    /// The page in `bytes`, which are as long as its header says.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let header: [u8; HEADER_BYTES] = *bytes.first_chunk()?;
        let word = |at: usize| header[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        let (mut parser, segments) = PageParser::new(header).ok()?;
        let (table, packets) = bytes[HEADER_BYTES..].split_at_checked(segments)?;
        parser.parse_segments(table.to_vec());
        Some(Self {
            serial: word(14),
            sequence: word(18),
            granule: i64::from(word(10) as i32) << 32 | i64::from(word(6)),
            begins_stream: header[5] & 2 != 0,
            ends_stream: header[5] & 4 != 0,
            ends_packet: table.iter().any(|length| *length < 255),
            length: packets.len(),
            content: parser.parse_packet_data(packets.to_vec()).ok()?,
        })
    }
}

/// Pages of an input.
pub(super) struct Pages<R> {
    input: R,
    /// Bytes read; those not used yet begin at `start`.
    buffer: Vec<u8>,
    start: usize,
    at_end: bool,
    found_page: bool,
    /// Bytes that may be checked in vain now.
    checks: usize,
    /// Bytes so far that are in no whole page.
    pub skipped: u64,
    /// Whether the input ends within a page.
    pub truncated: bool,
}

impl<R: Read> Pages<R> {
    pub fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            start: 0,
            at_end: false,
            found_page: false,
            checks: MAX_CHECKS,
            skipped: 0,
            truncated: false,
        }
    }

    /// The next page; none at the end, nor where what there is seems to be no Ogg at all.
    pub fn next(&mut self) -> io::Result<Option<Page>> {
        while self.found_page || self.skipped <= MAX_BYTES_BEFORE_FIRST {
            let length = match self.page_length()? {
                Some(length) if self.fill(length)? => length,
                _ if self.buffer.len() == self.start => break,
                _ => {
                    let rest = &self.buffer[self.start..];
                    self.truncated |= self.at_end && rest.iter().zip(MAGIC).all(|(byte, expected)| byte == expected);
                    self.skip_to_next();
                    continue;
                }
            };
            if length <= self.checks {
                if let Some(page) = Page::parse(&self.buffer[self.start..self.start + length]) {
                    self.pass(length);
                    (self.found_page, self.truncated) = (true, false);
                    return Ok(Some(page));
                }
                self.checks -= length;
            }
            self.skip_to_next();
        }
        Ok(None)
    }

    /// Length of the page that begins at `start`, by its header.
    fn page_length(&mut self) -> io::Result<Option<usize>> {
        if !self.fill(HEADER_BYTES)? || !self.buffer[self.start..].starts_with(MAGIC) {
            return Ok(None);
        }
        let table = HEADER_BYTES + usize::from(self.buffer[self.start + HEADER_BYTES - 1]);
        if !self.fill(table)? {
            return Ok(None);
        }
        let lengths = &self.buffer[self.start + HEADER_BYTES..self.start + table];
        Ok(Some(table + lengths.iter().map(|length| usize::from(*length)).sum::<usize>()))
    }

    /// Moves `start` on to the next byte with which a page may begin.
    fn skip_to_next(&mut self) {
        let rest = &self.buffer[self.start..];
        let next = rest.iter().skip(1).position(|byte| *byte == MAGIC[0]).map_or(rest.len(), |at| at + 1);
        self.skipped += next as u64;
        self.pass(next);
    }

    fn pass(&mut self, length: usize) {
        self.start += length;
        self.checks = (self.checks + CHECKS_PER_BYTE * length).min(MAX_CHECKS);
    }

    /// Reads until `length` bytes are there; `false` if the input ends before.
    fn fill(&mut self, length: usize) -> io::Result<bool> {
        while self.buffer.len() < self.start + length && !self.at_end {
            self.buffer.drain(..self.start);
            self.start = 0;
            let before = self.buffer.len();
            self.buffer.resize(before + READ_BYTES, 0);
            let read = self.input.read(&mut self.buffer[before..]);
            self.buffer.truncate(before + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(read) => self.at_end = read == 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.buffer.len() >= self.start + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ogg::{OggHead, OggWriter};

    /// What is spent on false headers is bounded: so a long page right behind a crowd of them may be passed over, and one
    /// a little later is found.
    #[test]
    fn a_crowd_of_false_headers_is_not_checked_to_the_last() {
        let head = OggWriter::new(Vec::new(), OggHead::default()).unwrap().finish().unwrap();
        let false_headers = [b"OggS\0".as_slice(), &[255; 26]].concat();
        let checks = |count: usize| {
            let bytes = [&head[..], &false_headers.repeat(count), &head].concat();
            let mut pages = Pages::new(&bytes[..]);
            let mut found = 0;
            while pages.next().unwrap().is_some() {
                found += 1;
            }
            (found, pages.checks < MAX_CHECKS / 2)
        };
        assert_eq!(checks(500), (4, false), "the input ends before what they promise");
        assert_eq!(checks(20_000), (4, true));
    }
}
