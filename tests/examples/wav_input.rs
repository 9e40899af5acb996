//! What the examples make of WAV files of any kind, and what they say to bad ones.

use std::fs;

use serde_json::Value;
use voxframe_testkit::program::{example, tool};
use voxframe_testkit::signal::level;
use voxframe_testkit::wav::{self, RawWav, Wav};

use crate::{Folder, json, rescale, samples_in};

/// A sine of 440 Hz at −6 dBFS, louder by 1 dB in each further channel.
fn sine(rate_hz: u32, channels: u16, length: usize) -> Vec<f32> {
    let mut samples = Vec::new();
    for index in 0..length {
        let value = (index as f64 * 440.0 * std::f64::consts::TAU / f64::from(rate_hz)).sin();
        samples.extend((0..channels).map(|channel| (0.3 * value * 10f64.powf(f64::from(channel) / 20.0)) as f32));
    }
    samples
}

#[test]
fn every_flavour_is_read_as_it_was_written() {
    let folder = Folder::new();
    let (input, out) = (folder.file("in.wav"), folder.file("out.wav"));
    let mut plain = Vec::new();
    // What rounding does, the high-pass makes larger by at most the sum of its impulse response's magnitudes.
    const HIGH_PASS: f32 = 3.13;
    for (bits, rounding) in [(32, 0.0), (33, 1e-7), (24, 1e-7), (16, 4e-5), (8, 0.0041)] {
        // At this rate, this profile has nothing but a high-pass, a gate, which opens, and a limiter, which does nothing.
        wav::write(&input, 16_000, 1, bits, &sine(16_000, 1, 4801));
        example("process", &[&input, &out, &"--profile", &"low-latency"]).ok();
        let Wav { header: spec, samples: sound } = wav::read(&out);
        assert_eq!(spec.bits, if [8, 16].contains(&bits) { 16 } else { 32 }, "{bits}");
        assert_eq!(sound.len(), 4801);
        if plain.is_empty() {
            plain = sound.clone();
        }
        let off = plain.iter().zip(&sound).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= rounding * HIGH_PASS, "{bits} bits are off by {off}");
        assert!(level(&sound[1600..]) > -14.0);

        for channels in 1..=8 {
            wav::write(&input, 44_100, channels, bits, &sine(44_100, channels, 4410));
            let run = example("meter", &[&input, &"--json"]).ok();
            let json: Value = serde_json::from_str(&run.stdout).unwrap();
            assert_eq!(json["channels"].as_array().unwrap().len(), usize::from(channels));
            for (index, channel) in json["channels"].as_array().unwrap().iter().enumerate() {
                let wanted = 20.0 * 0.3f64.log10() - 3.0103 + index as f64;
                let rms = channel["rms_dbfs"].as_f64().unwrap();
                assert!((rms - wanted).abs() < 0.05, "{bits} bits, channel {index} of {channels}: {rms}");
            }
        }
    }
}

#[test]
fn channels_and_rates_become_those_of_the_profile() {
    let folder = Folder::new();
    let (input, out, opus) = (folder.file("in.wav"), folder.file("out.wav"), folder.file("out.opus"));
    let rates = [8_000, 11_025, 22_050, 44_056, 44_100, 96_000, 176_400, 192_000];
    for (channels, rate_hz) in (1..=8).zip(rates) {
        let samples = rate_hz as usize / 4 + 1;
        wav::write(&input, rate_hz, channels, 16, &sine(rate_hz, channels, samples));
        example("process", &[&input, &out, &"--opus", &opus]).ok();
        let spec = wav::read(&out).header;
        assert_eq!((spec.sample_rate_hz, spec.channels), (48_000, usize::from(channels).min(2)));
        let wanted = rescale(samples as u64, rate_hz, 48_000);
        assert_eq!(spec.samples, wanted, "{rate_hz}");
        example("decode", &[&opus, &out]).ok();
        assert_eq!(samples_in(&out), wanted, "{rate_hz}");
    }
}

#[test]
fn four_bytes_of_24_bits_are_read_from_either_side() {
    let folder = Folder::new();
    let input = folder.file("in.wav");
    let samples: Vec<i32> = sine(48_000, 1, 480).iter().map(|s| (s * 8_388_608.0) as i32 | 1).collect();
    let bytes = |shift: u32| samples.iter().flat_map(|s| (s << shift).to_le_bytes()).collect();
    for shift in [0, 8] {
        RawWav { block: 4, bits: 24, ..RawWav::new(bytes(shift)) }.write(&input);
        let json: Value = serde_json::from_str(&example("meter", &[&input, &"--json"]).ok().stdout).unwrap();
        let peak = json["channels"][0]["peak_dbfs"].as_f64().unwrap();
        assert!((peak - 20.0 * 0.3f64.log10()).abs() < 0.01, "shifted by {shift}: {peak}");
    }
}

#[test]
fn sizes_that_lie_are_measured_against_the_file() {
    let folder = Folder::new();
    let (input, out) = (folder.file("in.wav"), folder.file("out.wav"));
    let honest =
        RawWav::new(sine(48_000, 1, 1000).iter().flat_map(|s| ((s * 32_768.0) as i16).to_le_bytes()).collect());
    let chunk = |bytes: &[u8]| [b"LIST", &(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let with = |change: &dyn Fn(&mut RawWav)| {
        let mut wav = honest.clone();
        change(&mut wav);
        wav
    };
    let mut odd = chunk(b"odd");
    let forgetful = with(&|wav| wav.before = odd.clone());
    odd.push(0);
    // What it is, how many samples are in it, and what a note says, if there is one.
    let cases: [(&str, RawWav, u64, &str); 13] = [
        ("honest", honest.clone(), 1000, ""),
        ("streamed", with(&|wav| (wav.riff_size, wav.data_size) = (Some(u32::MAX), Some(u32::MAX))), 1000, ""),
        ("never completed", with(&|wav| (wav.riff_size, wav.data_size) = (Some(0), Some(0))), 1000, ""),
        ("never completed, honest so far", with(&|wav| (wav.riff_size, wav.data_size) = (Some(36), Some(0))), 1000, ""),
        (
            "cut short",
            with(&|wav| wav.data.truncate(999)).with_data_size(2000),
            499,
            "2000 bytes of samples are promised, 999",
        ),
        ("half a sample more", with(&|wav| wav.data.truncate(1999)), 999, "last 1 bytes make no sample"),
        ("more than 4 GB", honest.clone().with_data_size(u32::MAX - 100), 1000, "2000 are there"),
        ("followed by a chunk", with(&|wav| wav.after = chunk(b"even")), 1000, ""),
        ("followed by a chunk, odd", with(&|wav| wav.after = chunk(b"odd")), 1000, ""),
        ("followed by rubbish", with(&|wav| wav.after = vec![0xff; 3]), 1000, ""),
        (
            "more than is promised",
            honest.clone().with_data_size(1600),
            800,
            "400 bytes behind its samples are no chunk",
        ),
        ("odd chunk", with(&|wav| wav.before = odd.clone()), 1000, ""),
        ("odd chunk, not padded", forgetful, 1000, ""),
    ];
    for (what, wav, samples, note) in cases {
        wav.write(&input);
        let run = example("process", &[&input, &out]).ok();
        assert_eq!(samples_in(&out), samples, "{what}");
        assert!(run.stderr.contains(note) && run.stderr.is_empty() == note.is_empty(), "{what}: {run:?}");
    }
}

#[test]
fn silence_nothing_and_what_is_no_number_do_no_harm() {
    let folder = Folder::new();
    let (input, out, opus, report) =
        (folder.file("in.wav"), folder.file("out.wav"), folder.file("out.opus"), folder.file("report.json"));
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE / 2.0, 1e9, -1e9];
    let sounds: [Vec<f32>; 4] = [
        vec![],
        vec![0.5],
        vec![0.0; 4800],
        (0..9600).map(|index| bad[index % bad.len()]).chain(sine(48_000, 1, 9600)).collect(),
    ];
    for sound in sounds {
        wav::write(&input, 48_000, 1, 32, &sound);
        let args = [&input as &dyn AsRef<_>, &out, &"--opus", &opus, &"--report", &report];
        let run = example("process", &args).ok();
        // It is done, as sox and ffmpeg would, but told.
        let note = match &sound[..] {
            [] => "there is no sound in it",
            [_] | [0.0, ..] => "",
            _ => "4116 samples are no numbers, and taken for silence",
        };
        assert!(run.stderr.contains(note) && run.stderr.is_empty() == note.is_empty(), "{run:?}");
        let samples = wav::read(&out).samples;
        assert_eq!(samples.len(), sound.len());
        assert!(samples.iter().all(|sample| sample.is_finite()));
        for field in ["rms_in_dbfs", "rms_out_dbfs", "real_time_factor"] {
            assert!(json(&report)[field].is_number(), "{field}: {}", json(&report));
        }
        example("meter", &[&input]).ok();
        example("decode", &[&opus, &out]).ok();
        assert_eq!(samples_in(&out), sound.len() as u64);
        if let Some(info) = tool("opusinfo", &[&opus]) {
            assert!(!info.stdout.contains("WARNING"), "{} samples: {}", sound.len(), info.stdout);
        }
    }
}

#[test]
fn bad_files_are_refused_in_one_line_and_leave_nothing() {
    let folder = Folder::new();
    let (input, out, opus) = (folder.file("bad.wav"), folder.file("out.wav"), folder.file("out.opus"));
    let wav = RawWav::new(vec![0; 960]);
    let raw = |change: &dyn Fn(&mut RawWav)| {
        let mut wav = wav.clone();
        change(&mut wav);
        wav.bytes()
    };
    let guid = |tag: u8| {
        [&[22, 0, 16, 0, 4, 0, 0, 0, tag, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155][..], &[113]].concat()
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "but empty"),
        (b"RIFF".to_vec(), "ends in its first header"),
        (b"RIFF\0\0\0\0AVI LIST".to_vec(), "'AVI '"),
        (b"fLaC\0\0\0\x22".to_vec(), ""),
        (b"ID3\x04".to_vec(), ""),
        (b"\xff\xfb\x90\x64".to_vec(), ""),
        (b"OggS\0\x02............................\x01vorbis".to_vec(), ""),
        (b"OggS\0\x02............................OpusHead".to_vec(), "ends within its headers"),
        (b"Dear diary".to_vec(), "not WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus, but something else"),
        (b"FORM\0\0\0\x20AIFFCOMM".to_vec(), ""),
        (b"\0\0\0\x1cftypM4A ".to_vec(), ""),
        (b"\xff\xf1\x50\x80".to_vec(), ""),
        (b".snd\0\0\0\x18".to_vec(), "an AU file"),
        (b"\x1a\x45\xdf\xa3\x9f\x42".to_vec(), "a Matroska or WebM file"),
        (raw(&|_| ())[..36].to_vec(), "no data chunk"),
        ([&raw(&|_| ())[..12], b"data\x04\0\0\0\0\0\0\0"].concat(), "before their format"),
        ([&raw(&|_| ())[..12], b"fmt \x04\0\0\0\0\0\0\0"].concat(), "only 4 bytes"),
        (raw(&|wav| wav.data_size = Some(961))[..44].to_vec(), "961 bytes are promised, 0 are there"),
        (raw(&|wav| wav.before = b"LIST\xff\0\0\x80".to_vec()), "'LIST' should have 2147483903 bytes"),
        (raw(&|wav| wav.channels = 0), "0 channels"),
        (raw(&|wav| (wav.channels, wav.block) = (9, 18)), "9 channels"),
        (raw(&|wav| wav.rate_hz = 7_999), "7999 Hz"),
        (raw(&|wav| wav.rate_hz = 192_001), "192001 Hz"),
        (raw(&|wav| wav.rate_hz = 0), "0 Hz"),
        (raw(&|wav| wav.block = 0), "blocks of 0 bytes"),
        (raw(&|wav| wav.bits = 24), "blocks of 2 bytes"),
        (raw(&|wav| wav.bits = 0), "0 bits"),
        (raw(&|wav| (wav.block, wav.bits) = (8, 64)), "64-bit integers"),
        (raw(&|wav| wav.tag = 3), "16-bit floats"),
        (raw(&|wav| wav.tag = 2), "Microsoft ADPCM"),
        (raw(&|wav| wav.tag = 6), "16-bit G.711"),
        (raw(&|wav| wav.tag = 0x1234), "0x1234"),
        (raw(&|wav| wav.tag = 0xfffe), "extensible fmt chunk has only 16 bytes"),
        (raw(&|wav| (wav.tag, wav.extra) = (0xfffe, guid(0x11))), "IMA ADPCM"),
        (raw(&|wav| (wav.tag, wav.extra) = (0xfffe, vec![1; 24])), "an unknown encoding"),
    ];
    for (bytes, reason) in cases {
        fs::write(&input, bytes).unwrap();
        example("process", &[&input, &out, &"--opus", &opus]).refused(&input, reason);
        example("process", &[&input, &out, &"--check"]).refused(&input, reason);
        example("encode", &[&input, &opus]).refused(&input, reason);
        example("meter", &[&input, &"--json"]).refused(&input, reason);
        example("call_sim", &[&input, &out]).refused(&input, reason);
        example("opus_loss", &[&input, &out]).refused(&input, reason);
        assert_eq!(folder.names(), ["bad.wav"]);
    }
    let missing = folder.file("missing.wav");
    example("process", &[&missing, &out]).refused(&missing, "No such file");
    example("process", &[&folder.0.path(), &out]).refused(folder.0.path(), "not a file");
}

#[test]
fn compressed_files_are_read_as_others_read_them() {
    let folder = Folder::new();
    let wav = voxframe_testkit::wav::fixture_path("speech_stereo_44100.wav");
    let sound = wav::read(&wav);
    let kinds = [
        ("in.flac", "flac", true),
        ("in.aiff", "pcm_s16be", true),
        ("alac.m4a", "alac", true),
        ("in.mp3", "libmp3lame", false),
        ("in.m4a", "aac", false),
        ("in.aac", "aac", false),
        ("in.ogg", "vorbis", false),
    ];
    for (name, encoder, lossless) in kinds {
        let (input, decoded, out) = (folder.file(name), folder.file("decoded.wav"), folder.file("out.wav"));
        let codec: [&dyn AsRef<_>; 4] = [&"-c:a", &encoder, &"-strict", &"-2"];
        let encode: [&dyn AsRef<_>; 4] = [&"-v", &"error", &"-i", &wav];
        if tool("ffmpeg", &[&encode[..], &codec, &[&input]].concat()).is_none() {
            return;
        }
        tool("ffmpeg", &[&"-v", &"error", &"-y", &"-i", &input, &decoded]).unwrap();
        let others = wav::read(&decoded);
        let run = example("meter", &[&input, &"--json"]).ok();
        let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(json["sample_rate_hz"], 44_100, "{name}");
        let samples = json["samples"].as_u64().unwrap();
        assert!(samples.abs_diff(others.header.samples) <= if lossless { 0 } else { 1152 }, "{name}: {samples}");
        for (index, channel) in others.planar().iter().enumerate() {
            let found = json["channels"][index]["rms_dbfs"].as_f64().unwrap();
            let wanted = f64::from(level(channel));
            assert!((found - wanted).abs() < 0.1, "{name}: {found} instead of {wanted} dBFS");
        }
        example("process", &[&input, &out]).ok();
        assert_eq!(samples_in(&out), rescale(samples, 44_100, 48_000), "{name}");
        if lossless {
            assert_eq!(others.samples, sound.samples);
            // Cut in the middle, it is refused, or what is left is read.
            let bytes = fs::read(&input).unwrap();
            fs::write(&input, &bytes[..bytes.len() / 2]).unwrap();
            let run = example("meter", &[&input, &"--json"]);
            assert!(run.code == Some(0) || run.code == Some(1) && run.stderr.lines().count() == 1, "{run:?}");
        }
    }
}
