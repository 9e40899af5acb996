//! The readers and writers that the examples share: Ogg Opus to the letter of RFC 7845, and no panic on any file.
#![cfg(all(feature = "resample", feature = "denoise", feature = "opus"))]

mod cli;
#[path = "../examples/common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;

use cli::{RawWav, example, fixture, length, level, read_wav, recordings, tool};
use common::ogg_opus::{OpusInput, OpusOutput};
use common::output::commit;
use common::wav::WavInput;
use ogg::{PacketReader, PacketWriteEndInfo, PacketWriter};
use proptest::prelude::*;
use voxframe::{Application, Capture, Error, Format, OpusEncode, Packet, Processor, Stage};

/// Writes mono sound of 48 kHz as an Ogg Opus file.
fn write_opus(path: &Path, settings: OpusEncode, sound: &[f32]) {
    let format = Format::mono(48_000).unwrap();
    let mut capture = Capture::new(48_000, 1, format).unwrap();
    let mut encoder = settings.prepare(format).unwrap();
    let mut opus = OpusOutput::with_duration(path, 1, 48_000, sound.len() as u64).unwrap();
    let mut push = |samples: &[f32]| -> Result<bool, Error> {
        capture.push_interleaved(samples, |frame| {
            if let Some(packet) = encoder.process(frame)? {
                opus.write(packet).unwrap();
            }
            Ok::<(), Error>(())
        })?;
        Ok(opus.is_full())
    };
    push(sound).unwrap();
    while !push(&[0.0; 480]).unwrap() {}
    commit(vec![opus.finish().unwrap()]).unwrap();
}

/// Decodes a file by the example.
#[track_caller]
fn decode(path: &Path) -> Vec<f32> {
    let out = path.with_extension("decoded.wav");
    example("decode", &[&path, &out]).ok();
    read_wav(&out).1
}

fn speech() -> Vec<f32> {
    read_wav(&fixture("speech_clean.wav")).1[24_000..120_000].to_vec()
}

/// A packet with the granule position of its page, and whether it is the last of the page and of the stream.
type Paged = (Vec<u8>, u64, bool, bool);

/// The packets of an Ogg file.
fn packets(path: &Path) -> Vec<Paged> {
    let mut reader = PacketReader::new(fs::File::open(path).unwrap());
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().unwrap() {
        let (granule, last, end) = (packet.absgp_page(), packet.last_in_page(), packet.last_in_stream());
        packets.push((packet.data, granule, last, end));
    }
    packets
}

/// Writes them back.
fn write_packets(path: &Path, packets: &[Paged]) {
    let mut writer = PacketWriter::new(fs::File::create(path).unwrap());
    for (data, granule, last, end) in packets {
        let info = match (last, end) {
            (_, true) => PacketWriteEndInfo::EndStream,
            (true, _) => PacketWriteEndInfo::EndPage,
            _ => PacketWriteEndInfo::NormalPacket,
        };
        writer.write_packet(data.clone(), 7, info, *granule).unwrap();
    }
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
        write_opus(&path, settings, &speech[..samples]);
        assert_eq!(decode(&path).len(), samples, "{settings:?}");

        let packets = packets(&path);
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
                assert!(
                    (*granule..granule + u64::from(packet.duration())).contains(&ticks),
                    "cut within the last packet"
                );
            } else if *last_in_page {
                assert_eq!(*granule, ticks, "{settings:?}");
                assert!(ticks - page_start < 48_000 + u64::from(packet.duration()), "pages of about a second");
                page_start = ticks;
            }
        }
        for name in ["opusdec", "ffmpeg"] {
            let out = folder.path().join("out.wav");
            let done = match name {
                "opusdec" => tool(name, &[&"--quiet", &"--rate", &"48000", &path, &out]),
                _ => tool(name, &[&"-v", &"error", &"-y", &"-i", &path, &out]),
            };
            // Neither makes a WAV file of no sound; and ffmpeg does not cut a stream's only packet, nor opusenc's.
            if done.is_some() && samples > if name == "ffmpeg" { 1 } else { 0 } {
                assert_eq!(length(&out), samples as u64, "{name}: {settings:?}");
            }
        }
        if let Some(info) = tool("opusinfo", &[&path]) {
            assert!(!info.stdout.contains("WARNING") && info.stdout.contains("stream 1 ended"), "{}", info.stdout);
        }
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
        assert_eq!(decode(&path).len() as u64, length(&input), "{frame_ms} ms");
    }
}

#[test]
fn headers_and_granules_are_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, changed) = (folder.path().join("in.opus"), folder.path().join("changed.opus"));
    write_opus(&path, OpusEncode::voip(), &speech()[..90_000]);
    let original = packets(&path);
    let plain = decode(&path);
    let decode_changed = |change: &dyn Fn(&mut Vec<Paged>)| {
        let mut packets = original.clone();
        change(&mut packets);
        write_packets(&changed, &packets);
        decode(&changed)
    };

    let quieter = decode_changed(&|packets| packets[0].0[16..18].copy_from_slice(&(-6i16 * 256).to_le_bytes()));
    assert!((level(&plain) - level(&quieter) - 6.0).abs() < 0.05);

    let skipped = decode_changed(&|packets| packets[0].0[10..12].copy_from_slice(&1312u16.to_le_bytes()));
    assert!(skipped[..] == plain[1000..], "{} of {}", skipped.len(), plain.len());

    // The last page may cut more than its last packet; here it does not say that it is the last.
    let shorter = decode_changed(&|packets| packets.last_mut().unwrap().1 -= 1700);
    assert!(shorter[..] == plain[..plain.len() - 1700], "{} of {}", shorter.len(), plain.len());
    let unended = decode_changed(&|packets| packets.last_mut().unwrap().3 = false);
    assert_eq!(unended.len(), (original.len() - 2) * 960 - 312);

    // A recording of a live stream begins anywhere.
    let joined = decode_changed(&|packets| packets[2..].iter_mut().for_each(|packet| packet.1 += 123_456_789));
    assert!(joined == plain);

    // One stream behind the other: `cat`.
    write_packets(&changed, &original);
    let mut chained = fs::read(&path).unwrap();
    chained.extend(fs::read(&changed).unwrap());
    fs::write(&changed, chained).unwrap();
    let twice = decode(&changed);
    assert_eq!(twice.len(), 2 * plain.len());
    assert!(twice[..plain.len()] == plain && twice[plain.len()..] == plain);
}

#[test]
fn lost_packets_are_concealed_and_rebuilt_where_they_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (path, trace, out) = (file("in.opus"), file("trace.txt"), file("out.wav"));
    // Every fifth packet is lost, and behind the trace none.
    fs::write(&trace, "0 0 0 0 1\n".repeat(15) + "00001").unwrap();
    let lost = |index: usize| index < 80 && index % 5 == 4;
    let mut errors = Vec::new();
    for fec in [false, true] {
        let settings = OpusEncode { fec, loss_percent: 20, bitrate_bps: 32_000, ..OpusEncode::voip() };
        write_opus(&path, settings, &speech());
        let whole = decode(&path);
        let run = example("decode", &[&path, &out, &"--loss-trace", &trace]).ok();
        assert!(run.stdout.contains("16 of them lost"), "{run:?}");
        let (_, holey) = read_wav(&out);
        assert_eq!(holey.len(), whole.len());
        // Where packets were lost, pre-skip taken off: half of it there, so that they have begun and not ended.
        let at_losses = |sound: &[f32]| -> Vec<f32> {
            (0..80).filter(|index| lost(*index)).flat_map(|index| sound[index * 960..][..648].to_vec()).collect()
        };
        let (wanted, found) = (at_losses(&whole), at_losses(&holey));
        let error: Vec<f32> = wanted.iter().zip(&found).map(|(a, b)| a - b).collect();
        assert!(level(&found) > level(&wanted) - 6.0, "concealed by silence: {}", level(&found));
        errors.push(level(&error) - level(&wanted));
    }
    assert!(errors[1] < errors[0] - 3.0, "error at losses without and with FEC: {errors:?} dB");

    fs::write(&trace, "0 1 2").unwrap();
    example("decode", &[&path, &file("new.wav"), &"--loss-trace", &trace]).refused(&trace, "'2'");
    assert!(!file("new.wav").exists());
}

#[test]
fn real_files_are_decoded_or_refused() {
    let Some(folder) = recordings("opus") else { return };
    // As many samples as opusdec finds.
    let good = [
        ("8khz_5s.opus", 1, 240_000),
        ("bear.opus", 2, 131_520),
        ("de_f_kerstin_0004_original_opus.ogg", 1, 328_008),
        ("last-page.oga", 1, 253_440),
        ("no-last-page.oga", 1, 270_616),
    ];
    let bad = [
        ("bbb_6ch_opus.ogg", "6 channels in mapping family 1"),
        ("bear-opus-negative-gain.mka", "Matroska"),
        // opusdec refuses it as well.
        ("bear_duplicate_header.opus", "pages do not follow each other"),
        ("bad_ogg/move01d_IDX_13_RAND_35154275996070165946691.ogg", "Vorbis"),
        ("bad_ogg/order01d_IDX_32_RAND_22064097693866277502540.ogg", "Vorbis"),
        ("bad_ogg/order01d_IDX_62_RAND_1029626158139888904228417_minimized_403.ogg", "Vorbis"),
    ];
    let work = tempfile::tempdir().unwrap();
    let (out, theirs) = (work.path().join("out.wav"), work.path().join("theirs.wav"));
    for (name, channels, samples) in good {
        let input = folder.join(name);
        example("decode", &[&input, &out]).ok();
        let (spec, sound) = read_wav(&out);
        assert_eq!((spec.sample_rate, spec.channels, sound.len()), (48_000, channels, samples * usize::from(channels)));
        if tool("opusdec", &[&"--quiet", &"--float", &"--rate", &"48000", &input, &theirs]).is_some() {
            let (_, theirs) = read_wav(&theirs);
            assert_eq!(theirs.len(), sound.len(), "{name}");
            let error: Vec<f32> = sound.iter().zip(&theirs).map(|(a, b)| a - b).collect();
            // Rounding to 16 bits, and what versions of libopus differ in.
            assert!(level(&error) < -75.0, "{name}: {}", level(&error));
        }
    }
    fs::remove_file(&out).unwrap();
    for (name, reason) in bad {
        let input = folder.join(name);
        example("decode", &[&input, &out]).refused(&input, reason);
        assert!(!out.exists());
    }
    let trace = folder.join("../loss/1214_is_lost.txt");
    let run = example("decode", &[&folder.join("8khz_5s.opus"), &out, &"--loss-trace", &trace]).ok();
    assert_eq!(length(&out), 240_000);
    assert!(run.stdout.contains("251 packets"), "{run:?}");
}

#[test]
fn an_opus_file_cut_anywhere_is_decoded_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, cut) = (folder.path().join("in.opus"), folder.path().join("cut.opus"));
    write_opus(&path, OpusEncode::voip(), &speech());
    let bytes = fs::read(&path).unwrap();
    let whole = decode(&path);
    for length in [0, 3, 27, 40, 47, 90, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&cut, &bytes[..length]).unwrap();
        let out = folder.path().join("out.wav");
        let run = example("decode", &[&cut, &out]);
        if run.code == Some(0) {
            let (_, sound) = read_wav(&out);
            assert!(sound.len() < whole.len() && sound[..] == whole[..sound.len()], "{length} bytes");
            assert!(run.stderr.starts_with("note: ") && run.stderr.contains("cut short"), "{length} bytes: {run:?}");
            fs::remove_file(out).unwrap();
        } else {
            assert!(length < 100 && !out.exists(), "{length} bytes: {run:?}");
            run.refused(&cut, "");
        }
    }
}

/// Reads all of a WAV file; the samples, all channels together, and how many there can be at most.
fn read_through(path: &Path) -> Option<(u64, u64)> {
    let mut input = WavInput::open(path).ok()?;
    let header = *input.header();
    let mut samples = 0;
    while let block @ 1.. = input.next_block().map_or(0, <[f32]>::len) {
        assert!(block <= 8 * 4096);
        samples += block as u64;
    }
    assert_eq!(samples, header.samples * header.channels as u64);
    Some((samples, path.metadata().unwrap().len() / u64::from(header.bytes)))
}

/// Gives each Ogg page the checksum of what is in it, so that a reader looks at it.
fn mend_checksums(bytes: &mut [u8]) {
    let mut at = 0;
    while bytes.len() >= at + 27 {
        let segments = usize::from(bytes[at + 26]);
        let Some(table) = bytes.get(at + 27..at + 27 + segments) else { return };
        let end = at + 27 + segments + table.iter().map(|length| usize::from(*length)).sum::<usize>();
        let Some(page) = bytes.get_mut(at..end) else { return };
        page[22..26].fill(0);
        let sum = page.iter().fold(0u32, |sum, byte| {
            (0..8)
                .fold(sum ^ u32::from(*byte) << 24, |sum, _| (sum << 1) ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_wav_header_does_harm(
        changes in prop::collection::vec((0usize..80, prop::sample::select(vec![0u8, 1, 2, 3, 8, 0x7f, 0x80, 0xfe, 0xff])), 0..6),
        cut in prop::option::of(0usize..200),
        bits in prop::sample::select(vec![8u16, 16, 24, 32]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.wav");
        let extra = [22, 0, 24, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113].to_vec();
        let wav = RawWav { tag: 0xfffe, block: bits / 8, bits, extra, before: b"LIST\x03\0\0\0abc\0".to_vec(), ..RawWav::new(vec![7; 96]) };
        let mut bytes = wav.bytes();
        for (place, value) in changes {
            bytes[place] = value;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        fs::write(&path, &bytes).unwrap();
        if let Some((samples, most)) = read_through(&path) {
            prop_assert!(samples <= most);
        }
    }

    #[test]
    fn no_ogg_file_does_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        mended in prop::bool::weighted(0.9),
    ) {
        static ORIGINAL: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("in.opus");
            write_opus(&path, OpusEncode { bitrate_bps: 6_000, ..OpusEncode::voip() }, &speech()[..24_000]);
            fs::read(path).unwrap()
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.opus");
        let mut bytes = ORIGINAL.clone();
        for (place, value) in changes {
            // Most changes are to be where they matter: in headers.
            let range = if value % 2 == 0 { bytes.len() } else { 140 };
            bytes[place.index(range)] = value;
        }
        if mended {
            mend_checksums(&mut bytes);
        }
        fs::write(&path, &bytes).unwrap();
        let Ok(mut input) = OpusInput::open(&path) else { return Ok(()) };
        let mut packets = 0;
        while let Ok(Some(packet)) = input.next_packet() {
            packets += 1;
            prop_assert!(packets <= bytes.len() && packet.bytes.len() <= bytes.len());
            prop_assert!((1..=5760).contains(&packet.duration));
        }
    }
}
