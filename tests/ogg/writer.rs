//! What is written is read again to the sample, by this reader and by others.

use std::fs;
use std::path::Path;

use voxframe::ogg::{OggError, OggHead, OggWriter};
use voxframe::opus::Application;
use voxframe::{Error, OpusEncode, Packet};
use voxframe_testkit::program::tool;
use voxframe_testkit::wav;

use crate::MONO;
use crate::files::{Read, decode, encode, packets_of, read, speech, write};

#[test]
fn any_packets_make_a_file_of_exact_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.opus");
    let speech = speech();
    let voip = OpusEncode::voip();
    let cases = [
        (OpusEncode { packet_ms: 2.5, ..voip }, 48_001),
        (OpusEncode { packet_ms: 5.0, application: Application::LowDelay, ..voip }, 24_000),
        (OpusEncode { packet_ms: 10.0, ..voip }, 479),
        (OpusEncode { packet_ms: 20.0, dtx: true, ..voip }, 95_999),
        // More than 255 segments a second: pages end within packets.
        (OpusEncode { packet_ms: 20.0, bitrate_bps: 510_000, application: Application::Audio, ..voip }, 96_000),
        (OpusEncode { packet_ms: 40.0, bitrate_bps: 6_000, ..voip }, 1),
        (OpusEncode { packet_ms: 60.0, ..voip }, 0),
    ];
    for (settings, samples) in cases {
        let written = encode(settings, 1, &speech[..samples]);
        let file = write(MONO, &written, samples as i64);
        fs::write(&path, &file).unwrap();
        let found = read(&file);
        assert_eq!(found.len(), written.len());
        for (found, written) in found.iter().zip(&written) {
            assert_eq!((found.packet.as_bytes(), found.head, found.stream), (written.as_bytes(), MONO, 0));
            assert_eq!((found.packet.position(), found.packet.duration()), (written.position(), written.duration()));
            assert_eq!(found.end, (written.position() + i64::from(written.duration())).min(samples as i64));
        }
        assert_eq!(decode(&file).len(), samples, "{settings:?}");

        let packets = packets_of(&file);
        let pre_skip = if settings.application == Application::LowDelay { 120 } else { 312 };
        let mut head = b"OpusHead\x01\x01".to_vec();
        head.extend((pre_skip as u16).to_le_bytes());
        head.extend(48_000u32.to_le_bytes());
        head.extend([0, 0, 0]);
        assert_eq!(packets[0], (head, 0, true, false), "alone on its page");
        assert!(packets[1].0.starts_with(b"OpusTags") && packets[1].1 == 0 && packets[1].2, "{:?}", packets[1]);
        assert!(packets[1].0[12..].starts_with(b"voxframe "));

        let mut ticks = 0;
        let mut page_start = 0;
        for (index, (bytes, granule, last_in_page, last)) in packets.iter().enumerate().skip(2) {
            let mut packet = Packet::new();
            packet.set_bytes(bytes, 0).unwrap();
            ticks += u64::from(packet.duration());
            assert_eq!(*last, index == packets.len() - 1, "only the last packet ends the stream");
            if *last {
                assert_eq!(*granule, pre_skip + samples as u64, "{settings:?}");
                let cut = *granule..granule + u64::from(packet.duration());
                assert!(cut.contains(&ticks), "cut within the last packet");
            } else if *last_in_page {
                assert_eq!(*granule, ticks, "{settings:?}");
                assert!(ticks - page_start < 48_000 + u64::from(packet.duration()), "pages of about a second");
                page_start = ticks;
            }
        }
        others_agree(&path, samples as u64);
    }
}

/// What opusdec, ffmpeg and opusinfo, if they are installed, make of a mono file.
#[track_caller]
fn others_agree(path: &Path, samples: u64) {
    let out = path.with_extension("others.wav");
    for name in ["opusdec", "ffmpeg"] {
        let done = match name {
            "opusdec" => tool(name, &[&"--quiet", &"--rate", &"48000", &path, &out]),
            _ => tool(name, &[&"-v", &"error", &"-y", &"-i", &path, &out]),
        };
        // Neither makes a WAV file of no sound; and ffmpeg does not cut a stream's only packet, nor opusenc's.
        if done.is_some() && samples > if name == "ffmpeg" { 1 } else { 0 } {
            assert_eq!(wav::read(&out).header.samples, samples, "{name}");
        }
    }
    if let Some(info) = tool("opusinfo", &[&path]) {
        let said = info.stdout + &info.stderr;
        let complaints = ["WARNING", "ERROR", "Note", "buggy", "invalid", "Negative"];
        assert!(!complaints.iter().any(|word| said.contains(word)) && said.contains("stream 1 ended"), "{said}");
    }
}

#[test]
fn what_was_lost_or_not_sent_is_written_as_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("call.opus");
    let sound = speech();
    let voip = OpusEncode::voip();
    let cases = [
        (OpusEncode { packet_ms: 20.0, ..voip }, 1),
        (OpusEncode { packet_ms: 60.0, ..voip }, 1),
        (OpusEncode { packet_ms: 2.5, application: Application::LowDelay, ..voip }, 1),
        (OpusEncode { packet_ms: 20.0, application: Application::Audio, bitrate_bps: 96_000, ..voip }, 2),
    ];
    for (settings, channels) in cases {
        let sent = encode(settings, channels, &sound);
        let length = sound.len() / channels;
        let mut writer = OggWriter::new(Vec::new(), OggHead { channels, ..MONO }).unwrap();
        for (index, packet) in sent.iter().enumerate() {
            match index % 20 {
                3 | 4 => {
                    let mut lost = Packet::new();
                    let later = &sent[index + 1];
                    lost.set_lost(packet.position(), packet.duration(), later.as_bytes(), later.position()).unwrap();
                    writer.write(&lost).unwrap();
                }
                10..16 => {} // not sent
                _ => writer.write(packet).unwrap(),
            }
        }
        let file = writer.finish_at(length as i64).unwrap();
        let mut position = sent[0].position();
        let (mut arrived, mut config) = (0, 0);
        for found in read(&file) {
            assert_eq!(found.packet.position(), position, "no hole is left");
            position += i64::from(found.packet.duration());
            if let Some(same) = sent.iter().find(|packet| packet.as_bytes() == found.packet.as_bytes()) {
                assert_eq!(same.position(), found.packet.position());
                arrived += 1;
                config = same.as_bytes()[0] & !3;
            } else {
                assert!(found.packet.is_dtx() && found.packet.as_bytes()[0] & !3 == config, "{:?}", found.packet);
            }
        }
        assert_eq!(arrived, (0..sent.len()).filter(|index| !matches!(index % 20, 3 | 4 | 10..16)).count());
        assert_eq!(decode(&file).len(), sound.len());
        fs::write(&path, file).unwrap();
        others_agree(&path, length as u64);
    }
    // Gaps off the grid of 2.5 ms are carried on until they are on it; shorter ones than a frame need other frames.
    let mut writer = OggWriter::new(Vec::new(), MONO).unwrap();
    let mut packet = Packet::new();
    for (position, config) in [(0, 11u8), (2880 + 119, 9), (3840 + 121, 15), (4920 + 1560, 1)] {
        packet.set_bytes(&[config << 3, 1, 2], position).unwrap();
        writer.write(&packet).unwrap();
    }
    let found = read(&writer.finish().unwrap());
    let found: Vec<_> = found
        .iter()
        .map(|Read { packet, .. }| (packet.position(), packet.as_bytes()[0] >> 3, packet.as_bytes().len()))
        .collect();
    // Those of two bytes are gaps.
    let wanted = [(0, 11, 3), (2880, 9, 3), (3840, 28, 2), (3960, 15, 3), (4920, 15, 2), (5880, 14, 2), (6360, 28, 2)];
    assert_eq!((&found[..7], found[7]), (&wanted[..], (6480, 1, 3)));
}

#[test]
fn what_cannot_be_written_is_refused_and_does_no_harm() {
    let sent = encode(OpusEncode::voip(), 1, &speech());
    let plain = write(MONO, &sent, 96_000);
    let mut writer = OggWriter::new(Vec::new(), MONO).unwrap();
    let mut bad = Packet::new();
    assert!(matches!(writer.write(&bad), Err(OggError::Voxframe(Error::Codec(_)))));
    for position in [1, -65_536, i64::MIN, i64::MAX] {
        bad.set_bytes(sent[0].as_bytes(), position).unwrap();
        let told = writer.write(&bad).unwrap_err();
        assert!(matches!(told, OggError::StartPosition { position: told } if told == position), "{told}");
    }
    for packet in &sent {
        writer.write(packet).unwrap();
        for position in [packet.position(), i64::MIN, i64::MAX, packet.position() + (24 * 3600 * 48_000) + 960] {
            bad.set_bytes(packet.as_bytes(), position).unwrap();
            let told = writer.write(&bad).unwrap_err();
            assert!(matches!(told, OggError::Position { actual, .. } if actual == position), "{told}");
            bad.set_lost(position, 960, &[], 0).unwrap();
            writer.write(&bad).unwrap_err();
        }
        bad.set_bytes(&[0xff, 0xff], packet.position() + 960).unwrap();
        assert!(matches!(writer.write(&bad), Err(OggError::Voxframe(Error::Codec(_)))));
    }
    let file = writer.finish_at(96_000).unwrap();
    assert!(packets_of(&file) == packets_of(&plain));

    // Packets behind the end are left out, as far as they are not written: at least a second of them.
    let long = encode(OpusEncode::voip(), 1, &[speech(), speech()].concat());
    let end_at = |end: i64| {
        let mut writer = OggWriter::new(Vec::new(), MONO).unwrap();
        long.iter().for_each(|packet| writer.write(packet).unwrap());
        writer.finish_at(end)
    };
    for end in [143_000, 150_001, 191_999, 195_003, 300_000] {
        assert_eq!(decode(&end_at(end).unwrap()).len() as i64, end);
    }
    for end in [i64::MIN, -313, 90_000, i64::MAX] {
        let told = end_at(end).unwrap_err();
        assert!(matches!(told, OggError::EndPosition { earliest: 95_688, .. }), "{told}");
    }
    // Without packets, there are headers.
    let empty = OggWriter::new(Vec::new(), MONO).unwrap().finish().unwrap();
    assert_eq!(packets_of(&empty).len(), 2);
    assert!(packets_of(&empty)[1].3 && read(&empty).is_empty());
    for head in [OggHead { channels: 3, ..MONO }, OggHead { channels: 0, ..MONO }, OggHead { gain_db: 200.0, ..MONO }] {
        assert!(matches!(OggWriter::new(Vec::new(), head), Err(OggError::Voxframe(_))));
    }
    /// A full disk.
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = OggWriter::new(Full, MONO).unwrap();
    assert!(long.iter().any(|packet| matches!(writer.write(packet), Err(OggError::Io(_)))));
    assert!(matches!(writer.finish(), Err(OggError::Io(_))));
}
