//! Ogg Opus files: what is written is read again to the sample, by this reader and by others; what others wrote, whole
//! or damaged, is read as they meant it.
#![cfg(all(feature = "opus", feature = "ogg"))]

mod cli;
mod ogg_files;

use std::fs;
use std::path::Path;

use cli::{fixture, length, level, read_wav, recordings, tool};
use ogg_files::{Paged, Read, decode, encode, packets_of, pages, read, speech, write, write_packets};
use voxframe::ogg::{OggDamage, OggError, OggHead, OggReader, OggWriter};
use voxframe::opus::Application;
use voxframe::{Error, Format, OpusDecode, OpusEncode, Packet, Processor, Stage};

const MONO: OggHead = OggHead { channels: 1, input_rate_hz: 48_000, gain_db: 0.0 };

/// The file of all packets that `settings` make of mono sound, which ends with the sound.
fn file_of(settings: OpusEncode, sound: &[f32]) -> Vec<u8> {
    write(MONO, &encode(settings, 1, sound), sound.len() as i64)
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    OggReader::new(bytes).unwrap_err().to_string()
}

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

/// Decodes a file, which opusdec, if it is installed, must decode to the same within a step of 16 bits.
#[track_caller]
fn decode_as_opusdec(file: &[u8]) -> Vec<f32> {
    let ours = decode(file);
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("in.opus"), folder.path().join("out.wav"));
    fs::write(&path, file).unwrap();
    if tool("opusdec", &[&"--quiet", &"--float", &"--rate", &"48000", &path, &out]).is_some() {
        let (_, theirs) = read_wav(&out);
        assert_eq!(theirs.len(), ours.len());
        let off = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{} samples, off by at most {:.3} steps of 16 bits", ours.len(), off * 32_768.0);
        assert!(off <= 1.0 / 32_768.0, "off by {off}");
    }
    ours
}

#[test]
fn sound_is_cut_at_any_rate() {
    let file = file_of(OpusEncode::voip(), &speech()[..30_003]);
    for (rate_hz, samples) in [(48_000, 30_003), (24_000, 15_002), (16_000, 10_001), (8_000, 5_001)] {
        let mut reader = OggReader::new(&file[..]).unwrap();
        let mut decoder = OpusDecode::default().prepare(Format::new(rate_hz, 1).unwrap()).unwrap();
        let (mut packet, mut heard) = (Packet::new(), Vec::new());
        while reader.read(&mut packet).unwrap() {
            while !packet.is_empty() {
                if let Some(frame) = decoder.process(&mut packet).unwrap() {
                    heard.extend(frame.samples()[reader.heard(frame)].to_vec());
                }
            }
        }
        assert_eq!(heard.len(), samples, "{rate_hz} Hz");
        assert!(rate_hz != 48_000 || heard == decode(&file));
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
            assert_eq!(length(&out), samples, "{name}");
        }
    }
    if let Some(info) = tool("opusinfo", &[&path]) {
        let said = info.stdout + &info.stderr;
        let complaints = ["WARNING", "ERROR", "Note", "buggy", "invalid", "Negative"];
        assert!(!complaints.iter().any(|word| said.contains(word)) && said.contains("stream 1 ended"), "{said}");
    }
}

#[test]
fn other_encoders_files_are_decoded_to_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let (input, path) = (fixture("speech_clean.wav"), folder.path().join("out.opus"));
    for frame_ms in ["2.5", "5", "10", "20", "40", "60"] {
        if tool("opusenc", &[&"--quiet", &"--framesize", &frame_ms, &input, &path]).is_none() {
            return;
        }
        assert_eq!(decode(&fs::read(&path).unwrap()).len() as u64, length(&input), "{frame_ms} ms");
    }
}

#[test]
fn headers_and_granules_are_obeyed() {
    let original = packets_of(&file_of(OpusEncode::voip(), &[speech(), speech()].concat()[..130_000]));
    let plain = decode(&write_packets(&original));
    assert_eq!(plain.len(), 130_000);
    let decode_changed = |change: &dyn Fn(&mut Vec<Paged>)| {
        let mut packets = original.clone();
        change(&mut packets);
        decode_as_opusdec(&write_packets(&packets))
    };

    let quieter = decode_changed(&|packets| packets[0].0[16..18].copy_from_slice(&(-6i16 * 256).to_le_bytes()));
    assert!((level(&plain) - level(&quieter) - 6.0).abs() < 0.05);

    let skipped = decode_changed(&|packets| packets[0].0[10..12].copy_from_slice(&1312u16.to_le_bytes()));
    assert!(skipped[..] == plain[1000..], "{} of {}", skipped.len(), plain.len());

    // The last page may cut more than its last packet, but nothing before it.
    let shorter = decode_changed(&|packets| packets.last_mut().unwrap().1 -= 1700);
    assert!(shorter[..] == plain[..plain.len() - 1700], "{} of {}", shorter.len(), plain.len());
    let page_before = original.iter().rev().skip(1).find(|packet| packet.2).unwrap().1;
    let mut none = original.clone();
    none.last_mut().unwrap().1 = page_before - 5000;
    let none = decode(&write_packets(&none)); // opusdec finds that this is too much
    assert!(none[..] == plain[..page_before as usize - 312]);
    // Nor does it where it does not say that it is the last.
    let unended = decode_changed(&|packets| packets.last_mut().unwrap().3 = false);
    assert_eq!(unended.len(), (original.len() - 2) * 960 - 312);
    let longer = decode_changed(&|packets| packets.last_mut().unwrap().1 += 100_000);
    assert_eq!(longer.len(), unended.len());

    // Where a page says something else than its packets, the last page counts from there.
    let page = |packets: &[Paged], number: usize| packets.iter().position(|packet| packet.1 > 48_000 * number as u64);
    let (second, last) = (page(&original, 1).unwrap(), original.len() - 1);
    assert!(original[last].1 > original[second].1, "there are three pages");
    let shifted = decode_changed(&|packets| packets[second..].iter_mut().for_each(|packet| packet.1 += 480));
    assert!(shifted == plain);
    // What says too early that it is the last page is not.
    let early = decode_changed(&|packets| packets[second - 1].3 = true);
    assert!(early == plain);

    // A recording of a live stream begins anywhere.
    let joined = decode_changed(&|packets| packets[2..].iter_mut().for_each(|packet| packet.1 += 123_456_789));
    assert!(joined == plain);

    // Comments of any length are passed over.
    let commented = decode_changed(&|packets| packets[1].0.extend([7; 300_000]));
    assert!(commented == plain);
}

#[test]
fn streams_behind_each_other_are_read_one_after_the_other() {
    let speech = speech();
    let first = file_of(OpusEncode::voip(), &speech[..50_001]);
    let mono = decode(&first);
    let loud = OggHead { channels: 2, input_rate_hz: 16_000, gain_db: -3.5 };
    let stereo: Vec<f32> = speech[..30_000].iter().flat_map(|sample| [*sample, -sample]).collect();
    let second = write(loud, &encode(OpusEncode::voip(), 2, &stereo), 30_000);

    let mut chained = first.clone();
    chained.extend(&second);
    let found = read(&chained);
    let of = |stream: usize| -> Vec<&Read> { found.iter().filter(|read| read.stream == stream).collect() };
    let (one, two) = (of(0), of(1));
    assert_eq!(one.len() + two.len(), found.len());
    assert!(one.iter().all(|read| read.head == MONO) && two.iter().all(|read| read.head == loud));
    for stream in [&one, &two] {
        assert_eq!(stream[0].packet.position(), -312);
    }
    assert_eq!((one[one.len() - 1].end, two[two.len() - 1].end), (50_001, 30_000));

    // The same sound twice; and the same stream twice, serial number and all: there opusdec forgets to begin anew.
    let twice = decode_as_opusdec(&[first.clone(), file_of(OpusEncode::voip(), &speech[..50_001])].concat());
    assert!(twice[..50_001] == mono && twice[50_001..] == mono, "{}", twice.len());
    assert!(decode(&[&first[..], &first].concat()) == twice);
    let mut unended = packets_of(&first);
    unended.last_mut().unwrap().3 = false;
    let found = read(&[&write_packets(&unended)[..], &first].concat());
    assert_eq!(found.last().unwrap().stream, 1);

    // Headers that come twice are one stream; so does a stream of no packets count for nothing.
    let ends: Vec<usize> = pages(&first).iter().map(|page| page.end).collect();
    let doubled = [&first[..ends[1]], &first].concat();
    assert!(decode(&doubled) == mono);
    assert!(read(&doubled).iter().all(|read| read.stream == 0));

    // What is behind a stream that cannot be decoded is read after the error.
    let mut six = second.clone();
    six[28 + 9] = 6;
    ogg_files::mend_checksums(&mut six);
    let chain = [&first[..], &six, &first].concat();
    let mut reader = OggReader::new(&chain[..]).unwrap();
    let mut packet = Packet::new();
    let (mut errors, mut streams) = (Vec::new(), Vec::new());
    loop {
        match reader.read(&mut packet) {
            Ok(true) => streams.push(reader.stream()),
            Ok(false) => break,
            Err(error) => errors.push(error.to_string()),
        }
    }
    assert_eq!(errors, ["6 channels in mapping family 0: only mono and stereo are supported"]);
    assert_eq!(streams.iter().filter(|stream| **stream == 0).count(), one.len());
    assert_eq!(streams.iter().filter(|stream| **stream == 1).count(), one.len());
}

#[test]
fn streams_beside_the_first_opus_stream_are_skipped() {
    let plain = file_of(OpusEncode::voip(), &speech()[..90_000]);
    let ours = pages(&plain);
    let mut video = ogg_files::stream_of(99, &[b"\x80theora", b"second", b"third", b"fourth"]);
    let theirs = pages(&video);
    let page = |index: usize| &plain[ours[index].clone()];
    let mixed = |video: &[u8], video_first: bool| {
        let mut bytes = Vec::new();
        let other = |index: usize| &video[theirs[index].clone()];
        let (a, b) = if video_first { (other(0), page(0)) } else { (page(0), other(0)) };
        bytes.extend([a, b, other(1), page(1), page(2), other(2)].concat());
        (3..ours.len()).for_each(|index| bytes.extend(page(index)));
        bytes.extend(other(3));
        bytes
    };
    let wanted = decode(&plain);
    for video_first in [true, false] {
        let mixed = mixed(&video, video_first);
        assert!(decode_as_opusdec(&mixed) == wanted);
        assert!(read(&mixed).iter().all(|read| read.stream == 0));
    }
    assert_eq!(refused(&video), "not Opus but Theora video in Ogg");

    // Another one that is Opus.
    video = ogg_files::stream_of(98, &[b"OpusHead\x01\x01\0\0\0\0\0\0\0\0\0", b"OpusTags", b"third", b"fourth"]);
    let theirs = pages(&video);
    let mut bytes = [page(0), &video[theirs[0].clone()], &video[theirs[1].clone()]].concat();
    bytes.extend(&plain[ours[1].start..]);
    assert!(decode(&bytes) == wanted);
}

#[test]
fn missing_pages_are_lost_packets() {
    let speech = [speech(), speech(), speech()].concat();
    for (bitrate_bps, across, length) in [(24_000, false, 96_000), (510_000, false, 96_001), (400_000, true, 288_000)] {
        let sound = &speech[..length];
        let settings = OpusEncode { bitrate_bps, application: Application::Audio, ..OpusEncode::voip() };
        let mut file = file_of(settings, sound);
        if across {
            // Hardly a page ends where a packet does.
            let mut packets = packets_of(&file);
            let mut granule = 0;
            for packet in &mut packets[2..] {
                granule += 960;
                (packet.1, packet.2) = (packet.1.min(granule), false);
            }
            file = write_packets(&packets);
        }
        let (whole, sounded) = (read(&file), decode(&file));
        let pages = pages(&file);
        assert!(pages.len() > 3);
        for missing in 2..pages.len() {
            let page = pages[missing].clone();
            let holed = [&file[..page.start], &file[page.end..]].concat();
            let (mut damaged, mut lengthened) = (file.clone(), file.clone());
            damaged[page.end - 1] ^= 4;
            lengthened[page.start + 26..][..1 + usize::from(file[page.start + 26])].fill(255);
            for (bytes, skipped) in [(&holed, 0), (&damaged, page.len()), (&lengthened, page.len())] {
                let (found, damage) = ogg_files::read_with_damage(bytes);
                // A hole at the end is not seen, and one at the beginning could be a live stream's.
                let within = missing > 2 && missing < pages.len() - 1;
                let lost_pages = u64::from(within);
                assert_eq!((damage.skipped_bytes, damage.lost_pages), (skipped as u64, lost_pages));
                // Who could tell a last page that says it is longer from one that is not all there?
                let cut_short = bytes == &lengthened && missing == pages.len() - 1;
                assert_eq!((damage.bad_packets, damage.cut_short), (0, cut_short));
                let lost = found.iter().filter(|read| read.packet.is_lost()).count();
                assert_eq!(lost > 0, within, "page {missing} of {}", pages.len());
                if !within {
                    continue;
                }
                assert_eq!(found.len(), whole.len());
                let mut next = None;
                for (found, whole) in found.iter().zip(&whole).rev() {
                    assert_eq!(found.packet.position(), whole.packet.position());
                    assert_eq!((found.packet.duration(), found.end), (whole.packet.duration(), whole.end));
                    match (found.packet.is_lost(), next) {
                        (false, _) => {
                            assert_eq!(found.packet.as_bytes(), whole.packet.as_bytes());
                            next = Some(whole.packet.as_bytes());
                        }
                        // All of a hole carries what comes behind it, whose FEC or DRED may reach that far.
                        (true, bytes) => assert_eq!(found.packet.as_bytes(), bytes.unwrap_or_default()),
                    }
                }
                let concealed = decode(bytes);
                assert_eq!(concealed.len(), sound.len());
                let before = found.iter().position(|read| read.packet.is_lost()).unwrap() * 960 - 312 - 480;
                assert!(concealed[..before] == sounded[..before]);
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_read_as_far_as_it_goes() {
    let file = file_of(OpusEncode::voip(), &speech()[..60_000]);
    let whole = read(&file);
    let pages = pages(&file);
    for length in 0..file.len() {
        let bytes = &file[..length];
        if length < pages[1].end {
            let wanted = if length == 0 { "not an Ogg file" } else { "ends within its headers" };
            assert_eq!(refused(bytes), wanted, "{length} bytes");
            continue;
        }
        let (found, damage) = ogg_files::read_with_damage(bytes);
        assert!(found.len() < whole.len() && found.iter().zip(&whole).all(|(a, b)| a.packet == b.packet));
        assert_eq!(damage.cut_short, !pages.iter().any(|page| page.end == length), "{length} bytes");
    }
}

#[test]
fn an_input_may_come_in_pieces() {
    /// Gives a byte, is interrupted, has nothing, and so on.
    struct Drip<'a>(&'a [u8], usize);
    impl std::io::Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            match self.1 % 3 {
                0 => self.0.read(&mut buffer[..1]),
                1 => Err(std::io::ErrorKind::Interrupted.into()),
                _ if self.1 > 600 => Err(std::io::ErrorKind::WouldBlock.into()),
                _ => Err(std::io::ErrorKind::Interrupted.into()),
            }
        }
    }
    let file = file_of(OpusEncode { bitrate_bps: 6_000, ..OpusEncode::voip() }, &speech()[..96_000]);
    let mut reader = OggReader::new(Drip(&file, 0)).unwrap();
    let (mut packet, mut found, mut blocked) = (Packet::new(), Vec::new(), 0);
    loop {
        match reader.read(&mut packet) {
            Ok(true) => found.push(packet.clone()),
            Ok(false) => break,
            Err(OggError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => blocked += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(blocked > 0);
    assert!(found.iter().eq(read(&file).iter().map(|read| &read.packet)));
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
    assert!(matches!(writer.write(&bad), Err(OggError::Voice(Error::Codec(_)))));
    for position in [1, -65_536, i64::MIN, i64::MAX] {
        bad.set_bytes(sent[0].as_bytes(), position).unwrap();
        let told = writer.write(&bad).unwrap_err();
        assert!(matches!(told, OggError::Start { position: told } if told == position), "{told}");
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
        assert!(matches!(writer.write(&bad), Err(OggError::Voice(Error::Codec(_)))));
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
        assert!(matches!(told, OggError::End { earliest: 95_688, .. }), "{told}");
    }
    // Without packets, there are headers.
    let empty = OggWriter::new(Vec::new(), MONO).unwrap().finish().unwrap();
    assert_eq!(packets_of(&empty).len(), 2);
    assert!(packets_of(&empty)[1].3 && read(&empty).is_empty());
    for head in [OggHead { channels: 3, ..MONO }, OggHead { channels: 0, ..MONO }, OggHead { gain_db: 200.0, ..MONO }] {
        assert!(matches!(OggWriter::new(Vec::new(), head), Err(OggError::Voice(_))));
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

#[test]
fn what_is_no_ogg_opus_file_is_refused() {
    let file = file_of(OpusEncode::voip(), &speech()[..24_000]);
    let vorbis = ogg_files::stream_of(1, &[b"\x01vorbis", b"\x03vorbis"]);
    assert_eq!(refused(&vorbis), "not Opus but Vorbis in Ogg");
    assert_eq!(refused(&ogg_files::stream_of(1, &[b"?", b"?"])), "not Opus but something else in Ogg");
    assert_eq!(refused(&[0; 1000]), "not an Ogg file");
    let untitled = [&file[..pages(&file)[0].end], &file[pages(&file)[1].end..]].concat();
    assert!(decode(&untitled) == decode(&file), "a lost comment header is no loss");
    let untagged = ogg_files::stream_of(1, &[&packets_of(&file)[0].0, b"\x08\x00\x00"]);
    assert_eq!(refused(&untagged), "its second packet is not a comment header");
    // Rubbish before a file is passed over, if it is not all there is.
    let behind = |rubbish: usize| [&vec![b'O'; rubbish][..], &file].concat();
    assert!(decode(&behind(60_000)) == decode(&file));
    assert_eq!(refused(&behind(100_000)), "not an Ogg file");
}

#[test]
fn recordings_are_decoded_as_by_opusdec() {
    let Some(folder) = recordings("opus") else { return };
    // Samples per channel.
    let good = [
        ("8khz_5s.opus", 1, 240_000),
        ("bear.opus", 2, 131_520),
        ("de_f_kerstin_0004_original_opus.ogg", 1, 328_008),
        ("last-page.oga", 1, 253_440),
        ("no-last-page.oga", 1, 270_616),
    ];
    let bad = [
        ("bbb_6ch_opus.ogg", "6 channels in mapping family 1: only mono and stereo are supported"),
        ("bear-opus-negative-gain.mka", "not an Ogg file"),
        ("bad_ogg/move01d_IDX_13_RAND_35154275996070165946691.ogg", "not Opus but Vorbis in Ogg"),
        ("bad_ogg/order01d_IDX_32_RAND_22064097693866277502540.ogg", "not Opus but Vorbis in Ogg"),
        ("bad_ogg/order01d_IDX_62_RAND_1029626158139888904228417_minimized_403.ogg", "not Opus but Vorbis in Ogg"),
    ];
    for (name, channels, samples) in good {
        let path = folder.join(name);
        let file = fs::read(&path).unwrap();
        let (_, damage) = ogg_files::read_with_damage(&file);
        assert_eq!(damage, OggDamage::default(), "{name}");
        println!("{name}:");
        assert_eq!(decode_as_opusdec(&file).len(), samples * channels, "{name}");
    }
    // The same packets in Ogg.
    let (matroska, work) = (folder.join("bear-opus-negative-gain.mka"), tempfile::tempdir().unwrap());
    let ogg = work.path().join("bear.opus");
    if tool("ffmpeg", &[&"-v", &"error", &"-i", &matroska, &"-c", &"copy", &ogg]).is_some() {
        let file = fs::read(&ogg).unwrap();
        println!("bear-opus-negative-gain: {} dB", read(&file)[0].head.gain_db);
        assert!(read(&file)[0].head.gain_db < 0.0);
        decode_as_opusdec(&file);
    }
    for (name, reason) in bad {
        assert_eq!(refused(&fs::read(folder.join(name)).unwrap()), reason, "{name}");
    }
    // opusdec refuses this one; without its second headers it is `bear.opus`.
    let bear = decode(&fs::read(folder.join("bear.opus")).unwrap());
    let doubled = fs::read(folder.join("bear_duplicate_header.opus")).unwrap();
    assert!(decode(&doubled) == bear);
    assert!(read(&doubled).iter().all(|read| read.stream == 0));
}
