//! An Ogg file without an end: the same bytes over and over, behind right headers.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use voxframe::Packet;
use voxframe::ogg::{OggHead, OggReader, OggWriter};

use crate::Group;
use crate::cases::Case;

/// Bytes that are repeated, about.
const BYTES: usize = 65_536;

/// Serial number of the stream.
const SERIAL: u32 = 7;

/// Flags of a page: its first packet began on the page before; it begins a stream.
const CONTINUED: u8 = 1;
const BEGINS: u8 = 2;

/// A page with these lacing values.
fn page(flags: u8, granule: i64, segments: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(granule.to_le_bytes());
    page.extend(SERIAL.to_le_bytes());
    page.extend([0; 8]);
    page.push(segments.len() as u8);
    page.extend(segments);
    // A packet of one frame of 20 ms in each segment that begins one.
    for &length in segments {
        page.push(0xf8);
        page.resize(page.len() + usize::from(length).max(1) - 1, 1);
    }
    mend_checksum(&mut page);
    page
}

fn mend_checksum(page: &mut [u8]) {
    page[22..26].fill(0);
    let checksum = page.iter().fold(0u32, |checksum, &byte| {
        let top = checksum ^ u32::from(byte) << 24;
        (0..8).fold(top, |bits, _| bits << 1 ^ if bits >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    });
    page[22..26].copy_from_slice(&checksum.to_le_bytes());
}

/// Headers of a stream, with the serial number of the pages here.
fn headers() -> Vec<u8> {
    let mut bytes = OggWriter::new(Vec::new(), OggHead::default()).unwrap().finish().unwrap();
    let second = bytes[4..].windows(4).position(|four| four == b"OggS").unwrap() + 4;
    for page in [0..second, second..bytes.len()] {
        let page = &mut bytes[page];
        page[14..18].copy_from_slice(&SERIAL.to_le_bytes());
        mend_checksum(page);
    }
    bytes
}

/// Input that counts what is read of it.
struct Endless {
    headers: io::Cursor<Vec<u8>>,
    repeated: Vec<u8>,
    at: usize,
    read: Rc<Cell<usize>>,
}

impl Read for Endless {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.headers.read(bytes)?;
        if read > 0 {
            return Ok(read);
        }
        let part = &self.repeated[self.at..];
        let read = part.len().min(bytes.len());
        bytes[..read].copy_from_slice(&part[..read]);
        self.at = (self.at + read) % self.repeated.len();
        self.read.set(self.read.get() + read);
        Ok(read)
    }
}

/// A case that reads `part` over and over, and a page with a packet behind each 64 KiB of it.
fn case(name: &'static str, part: fn() -> Vec<u8>) -> Case {
    let repeated = move || {
        let part = part();
        let mut bytes = part.repeat(BYTES.div_ceil(part.len()));
        bytes.extend(page(0, -1, &[50]));
        bytes
    };
    let length = repeated().len();
    Case::new(name, length, move || {
        let read = Rc::new(Cell::new(0));
        let headers = io::Cursor::new(headers());
        let input = Endless { headers, repeated: repeated(), at: 0, read: Rc::clone(&read) };
        let mut reader = OggReader::new(input).unwrap();
        let (mut packet, mut wanted) = (Packet::new(), 0);
        move || {
            wanted += length;
            while read.get() < wanted {
                // Errors of a stream that begins are no end.
                let _ = reader.read(&mut packet);
            }
        }
    })
}

pub fn bytes() -> Group {
    let cases = vec![
        case("packets of 80 bytes, 50 on a page", || page(0, -1, &[80; 50])),
        case("pages of 255 segments of 255 bytes, which end no packet", || page(CONTINUED, -1, &[255; 255])),
        case("packets of one byte, 255 on a page", || page(0, -1, &[1; 255])),
        case("packets of no byte, 255 on a page", || page(0, -1, &[0; 255])),
        case("pages without a segment", || page(0, -1, &[])),
        case("first pages of streams without an end", || {
            let headers = headers();
            headers[..headers[4..].windows(4).position(|four| four == b"OggS").unwrap() + 4].into()
        }),
        case("first pages of what is no Opus", || page(BEGINS, 0, &[200])),
        case("headers of false pages of 57 kB, one every 31 bytes", || [b"OggS\0".as_slice(), &[255; 26]].concat()),
        case("headers of false pages of 8 kB, one every 5 bytes", || b"OggS\0".into()),
        case("pages of 65 307 bytes with a wrong checksum", || {
            let mut page = page(0, -1, &[255; 255]);
            page[22] ^= 1;
            page
        }),
        case("the first byte of a page", || b"O".into()),
    ];
    Group { name: "Ogg, a byte", max_ratio: 20.0, cases }
}
