//! Whatever bytes come, as an Ogg file or as a packet: no panic, no endless loop, and no more memory than is said.
//!
//! `PROPTEST_CASES` says how many cases are tried of each.

use std::io::Read;
use std::sync::LazyLock;

use proptest::prelude::*;
use voxframe::ogg::{OggError, OggHead, OggReader, OggWriter};
use voxframe::{Format, OpusDecode, OpusEncode, Packet, Processor, Stage};
use voxframe_testkit::alloc::{CountingAllocator, most_held};

use crate::files::{Paged, encode, mend_checksums, packets_of, pages, speech, stream_of, write, write_packets};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The most that a reader may hold, in bytes: as its documentation says.
const MOST_HELD: usize = 300_000;

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { failure_persistence: None, cases: cases.unwrap_or(10_000), ..ProptestConfig::default() }
}

/// Reads a file through, with everything that must hold of every file; its first packets.
fn read_through(bytes: impl Read, length: usize, kept: usize) -> Vec<Packet> {
    let mut packets = Vec::with_capacity(kept);
    let ((), held) = most_held(|| {
        let mut reader = match OggReader::new(bytes) {
            Ok(reader) => reader,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        let mut packet = Packet::new();
        let (mut stream, mut position, mut sounding, mut lost, mut errors) = (0, i64::MIN, 0, 0, 0);
        loop {
            match reader.read(&mut packet) {
                Ok(true) => {}
                Ok(false) => break,
                Err(OggError::Io(error)) => panic!("{error}"),
                Err(_) => {
                    errors += 1;
                    assert!(errors <= length, "a page makes one error");
                    continue;
                }
            }
            if reader.stream() != stream {
                assert_eq!(reader.stream(), stream + 1);
                (stream, position) = (stream + 1, i64::MIN);
            }
            let end = packet.position() + i64::from(packet.duration());
            assert!((120..=5760).contains(&packet.duration()) && packet.duration().is_multiple_of(120));
            assert!(packet.position() >= position && reader.end() > packet.position() && reader.end() <= end);
            position = end;
            if packet.is_lost() {
                lost += u64::from(packet.duration());
            } else {
                sounding += packet.as_bytes().len();
            }
            if packets.len() < kept {
                packets.push(packet.clone());
            }
        }
        assert!(sounding <= length && lost <= 60 * 48_000 * length as u64);
        let damage = reader.damage();
        assert!(damage.skipped_bytes <= length as u64 && damage.invalid_packets <= length as u64);
    });
    if length > 1_000_000 {
        println!("{length} bytes: held {held} at most");
    }
    assert!(held <= MOST_HELD + packets.len() * Packet::MAX_BYTES, "{held}");
    packets
}

/// Decodes whatever packets come, and conceals what is none.
fn play(packets: impl IntoIterator<Item = Packet>) {
    let format = Format::new(48_000, 2).unwrap();
    let mut decoder = OpusDecode::default().prepare(format).unwrap();
    for mut packet in packets {
        let mut frames = 0;
        let most = packet.duration() / 480 + 2;
        while !packet.is_empty() {
            if let Ok(Some(frame)) = decoder.process(&mut packet) {
                assert!(frame.channels().flatten().all(|sample| sample.is_finite()));
            }
            frames += 1;
            assert!(frames <= most, "a packet comes to an end");
        }
    }
}

/// Two short streams, one behind the other, the second stereo, and a gap in the first.
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let settings = OpusEncode { bitrate_bps: 6_000, ..OpusEncode::voip() };
    let sound = &speech()[24_000..36_000];
    let head = OggHead { gain_db: -3.0, ..OggHead::default() };
    let mut packets = encode(settings, 1, sound);
    packets.remove(5);
    let mut file = write(head, &packets, 11_000);
    // Several pages, so that one can be missing.
    for chunk in encode(settings, 2, &sound[..4_800]).chunks(1) {
        file.extend(write(OggHead { channels: 2, ..head }, &rebased(chunk), 500));
    }
    file.extend(many_pages(&packets));
    file
});

/// The packets, the first of which begins at 0.
fn rebased(packets: &[Packet]) -> Vec<Packet> {
    let mut packets = packets.to_vec();
    let mut position = 0;
    for packet in &mut packets {
        let bytes = packet.as_bytes().to_vec();
        packet.set_bytes(&bytes, position).unwrap();
        position += i64::from(packet.duration());
    }
    packets
}

/// A file with a page for every packet.
fn many_pages(packets: &[Packet]) -> Vec<u8> {
    let head = packets_of(&write(OggHead::default(), packets, 1000));
    let mut all: Vec<Paged> = head[..2].to_vec();
    let mut granule = 0;
    for packet in packets {
        granule += u64::from(packet.duration());
        all.push((packet.as_bytes().to_vec(), granule, true, false));
    }
    all.last_mut().unwrap().3 = true;
    write_packets(&all)
}

/// What can happen to a file.
#[derive(Clone, Debug)]
enum Harm {
    Flip(prop::sample::Index, u8),
    /// In the header of a page, where it matters most.
    Header(prop::sample::Index, usize, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index),
    Repeat(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
}

fn harm() -> impl Strategy<Value = Harm> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), 0..8u8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        6 => (index(), 4..32usize, any::<u8>()).prop_map(|(page, at, value)| Harm::Header(page, at, value)),
        1 => index().prop_map(Harm::Cut),
        2 => index().prop_map(Harm::Remove),
        1 => index().prop_map(Harm::Repeat),
        1 => (index(), index()).prop_map(|(a, b)| Harm::Swap(a, b)),
        1 => (index(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
    ]
}

impl Harm {
    fn to(self, bytes: &mut Vec<u8>) {
        let pages = pages(bytes);
        if pages.is_empty() {
            return;
        }
        match self {
            Harm::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Harm::Header(page, at, value) => {
                let at = (page.get(&pages).start + at).min(bytes.len() - 1);
                bytes[at] = value;
            }
            Harm::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Harm::Remove(page) => drop(bytes.drain(page.get(&pages).clone())),
            Harm::Repeat(page) => {
                let page = page.get(&pages);
                let copy = bytes[page.clone()].to_vec();
                bytes.splice(page.end..page.end, copy);
            }
            Harm::Swap(a, b) => {
                let (a, b) = (a.get(&pages).clone(), b.get(&pages).clone());
                if a.end <= b.start {
                    let (first, second) = (bytes[a.clone()].to_vec(), bytes[b.clone()].to_vec());
                    bytes.splice(b, first);
                    bytes.splice(a, second);
                }
            }
            Harm::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more);
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_files_do_no_harm(harms in prop::collection::vec(harm(), 0..6), mended in prop::bool::weighted(0.9)) {
        let mut bytes = FILE.clone();
        harms.into_iter().for_each(|harm| harm.to(&mut bytes));
        if mended {
            mend_checksums(&mut bytes);
        }
        play(read_through(&bytes[..], bytes.len(), 40));
    }

    #[test]
    fn random_bytes_do_no_harm_as_files(
        mut bytes in prop::collection::vec(any::<u8>(), 0..600),
        headers in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8, 0..4u8), 0..4),
    ) {
        // Some of them begin pages, of the same stream.
        for (at, flags, segments) in headers {
            let at = at.index(bytes.len() + 1);
            let header = [b"OggS\0", &[flags][..], &[0, 1, 0, 0, 0, 0, 0, 0], &[9; 4], &[0; 8], &[segments]].concat();
            bytes.splice(at..at, header);
        }
        mend_checksums(&mut bytes);
        read_through(&bytes[..], bytes.len(), 0);
        // The same behind good headers.
        let good = &FILE[..pages(&FILE)[1].end];
        let mut behind = [good, &bytes].concat();
        mend_checksums(&mut behind);
        play(read_through(&behind[..], behind.len(), 40));
    }

    #[test]
    fn random_bytes_do_no_harm_as_packets(
        packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), any::<bool>()), 1..4),
    ) {
        play(packets.into_iter().map(|(bytes, lost)| {
            let mut packet = Packet::new();
            match lost {
                true => packet.set_lost(0, 960, &bytes, 960).unwrap(),
                false => packet.set_bytes(&bytes, 0).unwrap(),
            }
            packet
        }));
    }

    #[test]
    fn damaged_packets_do_no_harm(
        first in any::<prop::sample::Index>(),
        flips in prop::collection::vec((0..6usize, any::<prop::sample::Index>(), 0..8u8), 0..8),
        cut in prop::option::of((0..6usize, any::<prop::sample::Index>())),
    ) {
        static PACKETS: LazyLock<Vec<Packet>> = LazyLock::new(|| {
            let settings = |bitrate_bps| OpusEncode { bitrate_bps, fec: true, loss_percent: 20, ..OpusEncode::voip() };
            let sound = &speech()[..24_000];
            [8_000, 24_000, 96_000].into_iter().flat_map(|rate| encode(settings(rate), 1, sound)).collect()
        });
        let first = first.index(PACKETS.len() - 6);
        let mut bytes: Vec<_> = PACKETS[first..first + 6].iter().map(|packet| packet.as_bytes().to_vec()).collect();
        for (packet, at, bit) in flips {
            let at = at.index(bytes[packet].len());
            bytes[packet][at] ^= 1 << bit;
        }
        if let Some((packet, at)) = cut {
            let length = at.index(bytes[packet].len());
            bytes[packet].truncate(length);
        }
        play(bytes.iter().map(|bytes| {
            let mut packet = Packet::new();
            packet.set_bytes(bytes, 0).unwrap();
            packet
        }));
    }

    #[test]
    fn any_packets_are_written_or_refused(
        packets in prop::collection::vec((any::<[u8; 3]>(), -500..9000i64, any::<bool>()), 0..40),
        end in -1000..200_000i64,
    ) {
        let mut writer = OggWriter::new(Vec::new(), OggHead::default()).unwrap();
        let (mut position, mut packet) = (-312, Packet::new());
        let mut last = None;
        for (bytes, jump, lost) in packets {
            // Most follow each other.
            position += if jump % 4 == 0 { jump } else { 0 };
            match lost {
                true => packet.set_lost(position, (jump.unsigned_abs() % 6000) as u32, &bytes, position).unwrap(),
                false => packet.set_bytes(&bytes, position).unwrap(),
            }
            if writer.write(&packet).is_ok() {
                position += i64::from(packet.duration());
                last = Some(position);
            }
        }
        let Ok(file) = writer.finish_at(end) else { return Ok(()) };
        let mut reader = OggReader::new(&file[..]).unwrap();
        while reader.read(&mut packet).unwrap() {}
        prop_assert_eq!(reader.damage(), Default::default());
        if last.is_some() && end > 0 {
            prop_assert_eq!(reader.end(), end);
        }
    }
}

/// Good bytes, and then others over and over.
struct Endless<'a> {
    rest: &'a [u8],
    more: &'a [u8],
    times: usize,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() && self.times > 0 {
            self.rest = self.more;
            self.times -= 1;
        }
        self.rest.read(buffer)
    }
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let pages = pages(&FILE);
    let headers = &FILE[..pages[1].end];
    let serial = u32::from_le_bytes(FILE[14..18].try_into().unwrap());
    // Pages in the middle of a packet that never ends; full of packets; and with parts of packets on both sides.
    let page = |serial: u32, flags: u8, lengths: [u8; 255]| {
        let mut page = [b"OggS\0", &[flags][..], &[9; 8], &serial.to_le_bytes(), &[0; 8], &[255], &lengths].concat();
        page.resize(page.len() + lengths.iter().map(|length| usize::from(*length)).sum::<usize>(), 0x0b);
        mend_checksums(&mut page);
        page
    };
    let mut broken = [254; 255];
    broken[254] = 255;
    let mut others = Vec::new();
    (1..1000).for_each(|serial| others.extend(stream_of(serial, &[b"\x01vorbis", b"second"])));
    let one = &FILE[..pages[0].end];
    for (begin, more) in [
        (headers, vec![0; 1000]),
        (headers, b"OggS".repeat(250)),
        (headers, page(serial, 1, [255; 255])),
        (headers, page(serial + 1, 1, [255; 255])),
        (one, page(serial, 1, [255; 255])),
        (headers, page(serial, 0, [254; 255])),
        (headers, page(serial, 1, broken)),
        (headers, others),
        (headers, FILE.clone()),
        (&[], one.to_vec()),
        (&[], vec![0; 1000]),
        (&[], b"OggS".repeat(250)),
    ] {
        let times = 50_000_000 / more.len();
        read_through(Endless { rest: begin, more: &more, times }, begin.len() + times * more.len(), 0);
    }
}
