//! Making Ogg Opus files, taking them apart, and putting them together otherwise.

use std::ops::Range;

use ogg::{PacketReader, PacketWriteEndInfo as End, PacketWriter};
use voxframe::ogg::{OggDamage, OggHead, OggReader, OggWriter};
use voxframe::{Capture, Error, Format, OpusDecode, OpusEncode, Packet, Processor, Stage};
use voxframe_testkit::wav::fixture;

/// 2 s of speech, 48 kHz.
pub fn speech() -> Vec<f32> {
    fixture("speech_clean.wav")[0][24_000..120_000].to_vec()
}

/// The packets of sound of 48 kHz, interleaved, until all of it is in them.
pub fn encode(settings: OpusEncode, channels: usize, sound: &[f32]) -> Vec<Packet> {
    let format = Format::new(48_000, channels).unwrap();
    let mut capture = Capture::new(48_000, channels, format).unwrap();
    let mut encoder = settings.prepare(format).unwrap();
    let mut packets: Vec<Packet> = Vec::new();
    let mut push = |samples: &[f32]| {
        capture
            .push_interleaved(samples, |frame| {
                packets.extend(encoder.process(frame)?.cloned());
                Ok::<(), Error>(())
            })
            .unwrap();
        packets.last().map_or(i64::MIN, |last| last.position() + i64::from(last.duration()))
    };
    let end = (sound.len() / channels) as i64;
    push(sound);
    while push(&vec![0.0; 480 * channels]) < end {}
    let surplus = packets.iter().rev().skip(1).take_while(|last| last.position() + i64::from(last.duration()) >= end);
    let surplus = surplus.count();
    packets.truncate(packets.len() - surplus);
    packets
}

/// A file of these packets that ends at `end`.
pub fn write(head: OggHead, packets: &[Packet], end: i64) -> Vec<u8> {
    let mut writer = OggWriter::new(Vec::new(), head).unwrap();
    packets.iter().for_each(|packet| writer.write(packet).unwrap());
    writer.finish_at(end).unwrap()
}

/// A packet and what the reader says of it.
pub struct Read {
    pub packet: Packet,
    pub head: OggHead,
    pub stream: usize,
    pub end: i64,
}

#[track_caller]
pub fn read_with_damage(bytes: &[u8]) -> (Vec<Read>, OggDamage) {
    let mut reader = OggReader::new(bytes).unwrap();
    let (mut packet, mut found) = (Packet::new(), Vec::new());
    while reader.read(&mut packet).unwrap() {
        let (head, stream, end) = (reader.head(), reader.stream(), reader.end());
        found.push(Read { packet: packet.clone(), head, stream, end });
    }
    (found, reader.damage())
}

#[track_caller]
pub fn read(bytes: &[u8]) -> Vec<Read> {
    read_with_damage(bytes).0
}

/// All sound of a file at 48 kHz, interleaved, with the channels of its first stream.
#[track_caller]
pub fn decode(bytes: &[u8]) -> Vec<f32> {
    let packets = read(bytes);
    let format = Format::new(48_000, packets[0].head.channels).unwrap();
    let mut samples = Vec::new();
    for stream in packets.chunk_by(|a, b| a.stream == b.stream) {
        let mut decoder =
            OpusDecode { gain_db: stream[0].head.gain_db, ..OpusDecode::default() }.prepare(format).unwrap();
        let mut play = |mut packet: Packet, end: i64| {
            while !packet.is_empty() {
                let Some(frame) = decoder.process(&mut packet).unwrap() else { continue };
                for index in 0..480 {
                    if (0..end).contains(&(frame.position() + index as i64)) {
                        samples.extend(frame.channels().map(|channel| channel[index]));
                    }
                }
            }
        };
        stream.iter().for_each(|read| play(read.packet.clone(), read.end));
        // It may end within a frame.
        let last = &stream[stream.len() - 1];
        let mut rest = Packet::new();
        rest.set_lost(last.packet.position() + i64::from(last.packet.duration()), 480, &[], 0).unwrap();
        play(rest, last.end);
    }
    samples
}

/// A packet with the granule position of its page, and whether it is the last of the page and of the stream.
pub type Paged = (Vec<u8>, u64, bool, bool);

/// The packets of an Ogg file, by another reader.
pub fn packets_of(bytes: &[u8]) -> Vec<Paged> {
    let mut reader = PacketReader::new(std::io::Cursor::new(bytes));
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().unwrap() {
        let (granule, last, end) = (packet.absgp_page(), packet.last_in_page(), packet.last_in_stream());
        packets.push((packet.data, granule, last, end));
    }
    packets
}

/// Writes them back.
pub fn write_packets(packets: &[Paged]) -> Vec<u8> {
    let mut writer = PacketWriter::new(Vec::new());
    for (data, granule, last, end) in packets {
        let info = match (last, end) {
            (_, true) => End::EndStream,
            (true, _) => End::EndPage,
            _ => End::NormalPacket,
        };
        writer.write_packet(data.clone(), 7, info, *granule).unwrap();
    }
    writer.into_inner()
}

/// A stream of these packets, each on a page of its own.
pub fn stream_of(serial: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut writer = PacketWriter::new(Vec::new());
    for packet in packets {
        writer.write_packet(packet.to_vec(), serial, End::EndPage, 0).unwrap();
    }
    writer.into_inner()
}

/// Where the pages of an undamaged file are.
pub fn pages(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut pages = Vec::new();
    let mut at = 0;
    while let Some(&segments) = bytes.get(at + 26) {
        let table = at + 27..at + 27 + usize::from(segments);
        let Some(lengths) = bytes.get(table.clone()) else { break };
        let end = table.end + lengths.iter().map(|length| usize::from(*length)).sum::<usize>();
        if end > bytes.len() {
            break;
        }
        pages.push(at..end);
        at = end;
    }
    pages
}

/// Gives each page the checksum of what is in it, so that a reader looks at it.
pub fn mend_checksums(bytes: &mut [u8]) {
    for page in pages(bytes) {
        let page = &mut bytes[page];
        page[22..26].fill(0);
        let sum = page.iter().fold(0u32, |sum, byte| {
            (0..8)
                .fold(sum ^ u32::from(*byte) << 24, |sum, _| (sum << 1) ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
    }
}
