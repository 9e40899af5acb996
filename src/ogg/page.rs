//! Finding Ogg pages (RFC 3533, section 6) in bytes that may be damaged.
//!
//! The crate `ogg` checks and unpacks the pages; its own reader stops at the first one that is damaged, and does not
//! say which are missing.

use std::io::{self, ErrorKind, Read};

use ::ogg::reading::{OggPage, PageParser};

/// What every page begins with.
const MAGIC: &[u8] = b"OggS";

/// Length of a page's header, up to the table of its segments.
const HEADER: usize = 27;

/// Bytes to ask for at a time.
const CHUNK: usize = 16 * 1024;

/// Input in whose first bytes there is no page is no Ogg file.
const MOST_BEFORE_FIRST: u64 = 64 * 1024;

/// A whole page with a right checksum.
pub(super) struct Page {
    pub serial: u32,
    pub sequence: u32,
    /// Where the last packet ends that ends here, in the stream's own count; negative if none ends here.
    pub granule: i64,
    pub begins_stream: bool,
    pub ends_stream: bool,
    /// Whether a packet ends here.
    pub ends_packet: bool,
    /// Bytes of packets.
    pub length: usize,
    pub content: OggPage,
}

impl Page {
    /// `bytes` are as long as its header says.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let header: [u8; HEADER] = *bytes.first_chunk()?;
        let word = |at: usize| header[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        let (mut parser, segments) = PageParser::new(header).ok()?;
        let (table, packets) = bytes[HEADER..].split_at_checked(segments)?;
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

/// The pages of an input.
pub(super) struct Pages<R> {
    input: R,
    /// What was read and is not used yet begins at `start`.
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    found_one: bool,
    /// Bytes so far that are in no whole page.
    pub skipped: u64,
    /// Whether the input ends within a page.
    pub cut_short: bool,
}

impl<R: Read> Pages<R> {
    pub fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), start: 0, ended: false, found_one: false, skipped: 0, cut_short: false }
    }

    /// The next page; none at the end, nor where what there is seems to be no Ogg at all.
    pub fn next(&mut self) -> io::Result<Option<Page>> {
        while self.found_one || self.skipped <= MOST_BEFORE_FIRST {
            let length = match self.length()? {
                Some(length) if self.fill(length)? => length,
                _ if self.buffer.len() == self.start => break,
                _ => {
                    let rest = &self.buffer[self.start..];
                    self.cut_short |= self.ended && rest.iter().zip(MAGIC).all(|(byte, wanted)| byte == wanted);
                    self.skip();
                    continue;
                }
            };
            match Page::parse(&self.buffer[self.start..self.start + length]) {
                Some(page) => {
                    self.start += length;
                    (self.found_one, self.cut_short) = (true, false);
                    return Ok(Some(page));
                }
                None => self.skip(),
            }
        }
        Ok(None)
    }

    /// The length of a page that begins where we are, by its header.
    fn length(&mut self) -> io::Result<Option<usize>> {
        if !self.fill(HEADER)? || !self.buffer[self.start..].starts_with(MAGIC) {
            return Ok(None);
        }
        let table = HEADER + usize::from(self.buffer[self.start + HEADER - 1]);
        if !self.fill(table)? {
            return Ok(None);
        }
        let lengths = &self.buffer[self.start + HEADER..self.start + table];
        Ok(Some(table + lengths.iter().map(|length| usize::from(*length)).sum::<usize>()))
    }

    /// Goes on to the next byte with which a page may begin.
    fn skip(&mut self) {
        let rest = &self.buffer[self.start..];
        let next = rest.iter().skip(1).position(|byte| *byte == MAGIC[0]).map_or(rest.len(), |at| at + 1);
        self.skipped += next as u64;
        self.start += next;
    }

    /// Reads until `length` bytes are there; whether they are.
    fn fill(&mut self, length: usize) -> io::Result<bool> {
        while self.buffer.len() < self.start + length && !self.ended {
            self.buffer.drain(..self.start);
            self.start = 0;
            let before = self.buffer.len();
            self.buffer.resize(before + CHUNK, 0);
            let read = self.input.read(&mut self.buffer[before..]);
            self.buffer.truncate(before + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(read) => self.ended = read == 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.buffer.len() >= self.start + length)
    }
}
