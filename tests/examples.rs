//! The examples, run as programs: what they make of good files, and what they say to bad ones.
#![cfg(all(feature = "resample", feature = "denoise", feature = "opus", feature = "ogg"))]

mod cli;

use std::fs;
use std::path::{Path, PathBuf};

use cli::{RawWav, example, files_in, fixture, lag, length, level, read_wav, tool, write_wav};
use serde_json::Value;
use tempfile::TempDir;
use voxframe::level::SpeechLevel;

const FIXTURES: [&str; 5] =
    ["noise_fan.wav", "speech_clean.wav", "speech_noisy.wav", "speech_room.wav", "speech_stereo_44100.wav"];
const PROFILES: [&str; 3] = ["low-latency", "balanced", "high-quality"];

/// A folder to work in, and names of files in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        files_in(self.0.path())
    }
}

/// A sine of 440 Hz at −6 dBFS, louder by 1 dB in each further channel.
fn sine(rate_hz: u32, channels: u16, length: usize) -> Vec<f32> {
    let mut samples = Vec::new();
    for index in 0..length {
        let value = (index as f64 * 440.0 * std::f64::consts::TAU / f64::from(rate_hz)).sin();
        samples.extend((0..channels).map(|channel| (0.3 * value * 10f64.powf(f64::from(channel) / 20.0)) as f32));
    }
    samples
}

/// The active level of speech at 48 kHz, by ITU-T P.56.
fn active_dbov(samples: &[f32]) -> f32 {
    let mut meter = SpeechLevel::new(48_000);
    meter.push(samples);
    meter.dbov().unwrap()
}

/// A number of samples at one rate as the nearest at another.
fn rescale(samples: u64, from_hz: u32, to_hz: u32) -> u64 {
    (samples as f64 * f64::from(to_hz) / f64::from(from_hz)).round() as u64
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn noise_goes_speech_stays_and_nothing_moves() {
    let folder = Folder::new();
    let (out, opus, decoded) = (folder.file("out.wav"), folder.file("out.opus"), folder.file("decoded.wav"));
    let (_, clean) = read_wav(&fixture("speech_clean.wav"));
    let (_, noisy) = read_wav(&fixture("speech_noisy.wav"));
    // Noise alone, as the fixtures' README says; and the speech.
    let (before, speech) = (0..24_000, 24_000..clean.len() - 14_400);
    for profile in ["balanced", "high-quality"] {
        example("process", &[&fixture("speech_noisy.wav"), &out, &"--profile", &profile, &"--opus", &opus]).ok();
        example("decode", &[&opus, &decoded]).ok();
        // Stages keep phases; of the encoder's modes, VOIP has a high-pass, behind which low voices lead a little.
        for (path, most_lag) in [(&out, 0), (&decoded, if profile == "balanced" { 4 } else { 1 })] {
            let (_, sound) = read_wav(path);
            let less = level(&noisy[before.clone()]) - level(&sound[before.clone()]);
            assert!(less > 10.0, "{profile}: noise lower by {less} dB");
            let (before, after) = (active_dbov(&clean[speech.clone()]), active_dbov(&sound[speech.clone()]));
            // To −20 dBov as far as the noise allows, which stays below −50 dBFS.
            assert!(after > before - 1.0 && after < -18.5, "{profile}: {before} to {after} dBov");
            assert!(level(&sound[12_000..24_000]) < -50.0, "{profile}: noise");
            let late = lag(&clean, &sound, 480);
            assert!(late.unsigned_abs() <= most_lag, "{profile}: late by {late} samples");
        }
    }
}

#[test]
fn lengths_are_exact_and_other_decoders_agree() {
    let folder = Folder::new();
    let (wav, opus, decoded) = (folder.file("out.wav"), folder.file("out.opus"), folder.file("decoded.wav"));
    for (name, profile) in FIXTURES.iter().flat_map(|name| PROFILES.iter().map(move |profile| (name, profile))) {
        let input = fixture(name);
        let (spec, samples) = read_wav(&input);
        let samples = samples.len() as u64 / u64::from(spec.channels);
        let wanted = rescale(samples, spec.sample_rate, 48_000);
        example("process", &[&input, &wav, &"--profile", profile, &"--opus", &opus]).ok();

        let (out, _) = read_wav(&wav);
        let rate_hz = if *profile == "low-latency" { 16_000 } else { 48_000 };
        assert_eq!((out.sample_rate, out.channels, out.bits_per_sample), (rate_hz, spec.channels, 16));
        assert_eq!(length(&wav), rescale(samples, spec.sample_rate, rate_hz), "{name} {profile}");

        example("decode", &[&opus, &decoded]).ok();
        assert_eq!(length(&decoded), wanted, "{name} {profile}");
        let (_, ours) = read_wav(&decoded);
        if tool("opusdec", &[&"--quiet", &"--rate", &"48000", &opus, &decoded]).is_some() {
            assert_eq!(length(&decoded), wanted, "{name} {profile}: opusdec");
            // Of suppressed noise little is left but opusdec's dither.
            let late = if *name == "noise_fan.wav" { 0 } else { lag(&ours, &read_wav(&decoded).1, 48) };
            assert_eq!(late, 0, "{name} {profile}: opusdec");
        }
        if tool("ffmpeg", &[&"-v", &"error", &"-y", &"-i", &opus, &decoded]).is_some() {
            assert_eq!(length(&decoded), wanted, "{name} {profile}: ffmpeg");
        }
        if let Some(info) = tool("opusinfo", &[&opus]) {
            let said = info.stdout + &info.stderr;
            let complaints = ["WARNING", "ERROR", "Note", "buggy", "invalid", "Negative"];
            assert!(!complaints.iter().any(|word| said.contains(word)), "{name} {profile}: {said}");
            assert!(said.contains("Logical stream 1 ended"), "{said}");
        }
    }
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
        write_wav(&input, 16_000, 1, bits, &sine(16_000, 1, 4801));
        example("process", &[&input, &out, &"--profile", &"low-latency"]).ok();
        let (spec, sound) = read_wav(&out);
        assert_eq!(spec.bits_per_sample, if [8, 16].contains(&bits) { 16 } else { 32 }, "{bits}");
        assert_eq!(sound.len(), 4801);
        if plain.is_empty() {
            plain = sound.clone();
        }
        let off = plain.iter().zip(&sound).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= rounding * HIGH_PASS, "{bits} bits are off by {off}");
        assert!(level(&sound[1600..]) > -14.0);

        for channels in 1..=8 {
            write_wav(&input, 44_100, channels, bits, &sine(44_100, channels, 4410));
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
        write_wav(&input, rate_hz, channels, 16, &sine(rate_hz, channels, samples));
        example("process", &[&input, &out, &"--opus", &opus]).ok();
        let (spec, sound) = read_wav(&out);
        assert_eq!((spec.sample_rate, spec.channels), (48_000, channels.min(2)));
        let wanted = rescale(samples as u64, rate_hz, 48_000);
        assert_eq!(sound.len() as u64, wanted * u64::from(spec.channels), "{rate_hz}");
        example("decode", &[&opus, &out]).ok();
        assert_eq!(length(&out), wanted, "{rate_hz}");
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
    let cases: [(&str, RawWav, u64, &str); 11] = [
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
        ("followed by rubbish", with(&|wav| wav.after = vec![0xff; 3]), 1000, ""),
        ("odd chunk", with(&|wav| wav.before = odd.clone()), 1000, ""),
        ("odd chunk, not padded", forgetful, 1000, ""),
    ];
    for (what, wav, samples, note) in cases {
        wav.write(&input);
        let run = example("process", &[&input, &out]).ok();
        assert_eq!(length(&out), samples, "{what}");
        assert!(run.stderr.contains(note) && run.stderr.is_empty() == note.is_empty(), "{what}: {run:?}");
    }
}

impl RawWav {
    fn with_data_size(self, size: u32) -> Self {
        Self { data_size: Some(size), ..self }
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
        write_wav(&input, 48_000, 1, 32, &sound);
        let args = [&input as &dyn AsRef<_>, &out, &"--opus", &opus, &"--report", &report];
        example("process", &args).ok();
        let (_, samples) = read_wav(&out);
        assert_eq!(samples.len(), sound.len());
        assert!(samples.iter().all(|sample| sample.is_finite()));
        for field in ["rms_in_dbfs", "rms_out_dbfs", "real_time_factor"] {
            assert!(json(&report)[field].is_number(), "{field}: {}", json(&report));
        }
        example("meter", &[&input]).ok();
        example("decode", &[&opus, &out]).ok();
        assert_eq!(length(&out), sound.len() as u64);
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
        (vec![], "not a WAV file but empty"),
        (b"RIFF".to_vec(), "ends in its first header"),
        (b"RIFF\0\0\0\0AVI LIST".to_vec(), "'AVI '"),
        (b"fLaC\0\0\0\x22".to_vec(), "FLAC"),
        (b"ID3\x04".to_vec(), "MP3"),
        (b"Dear diary".to_vec(), "something else"),
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
        (raw(&|wav| (wav.tag, wav.block, wav.bits) = (3, 8, 64)), "64-bit floats"),
        (raw(&|wav| wav.tag = 3), "16-bit floats"),
        (raw(&|wav| wav.tag = 2), "Microsoft ADPCM"),
        (raw(&|wav| wav.tag = 6), "A-law"),
        (raw(&|wav| wav.tag = 0x1234), "0x1234"),
        (raw(&|wav| wav.tag = 0xfffe), "extensible fmt chunk has only 16 bytes"),
        (raw(&|wav| (wav.tag, wav.extra) = (0xfffe, guid(7))), "µ-law"),
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
fn outputs_appear_whole_or_not_at_all() {
    let folder = Folder::new();
    let (input, out) = (folder.file("in.wav"), folder.file("out.wav"));
    fs::copy(fixture("noise_fan.wav"), &input).unwrap();
    let before = fs::read(&input).unwrap();

    let nowhere = folder.file("nowhere/out.wav");
    example("process", &[&input, &nowhere]).refused(&nowhere, "No such file");
    example("process", &[&input, &out, &"--opus", &nowhere]).refused(&nowhere, "No such file");
    example("process", &[&input, &folder.0.path()]).refused(folder.0.path(), "not a file");
    example("process", &[&input, &input]).refused(&input, "named twice");
    example("process", &[&input, &out, &"--report", &out]).refused(&out, "named twice");
    example("encode", &[&input, &folder.file("../").join(folder.0.path()).join("in.wav")])
        .refused(&input, "named twice");
    assert_eq!(folder.names(), ["in.wav"]);
    assert_eq!(fs::read(&input).unwrap(), before);

    // 6 GB of 48 kHz would come of it. The file takes no room: it is a hole.
    let large = folder.file("large.wav");
    RawWav { rate_hz: 8_000, block: 1, bits: 8, data_size: Some(500 << 20), ..RawWav::new(vec![]) }.write(&large);
    fs::File::options().write(true).open(&large).unwrap().set_len(44 + (500 << 20)).unwrap();
    example("process", &[&large, &out]).refused(&out, "4 GiB");
    fs::remove_file(&large).unwrap();

    // What was there is replaced, through a link too.
    fs::write(&out, "old").unwrap();
    example("process", &[&input, &out]).ok();
    assert_eq!(length(&out), 72_000);
    #[cfg(unix)]
    {
        fs::write(&out, "old").unwrap();
        let link = folder.file("link.wav");
        std::os::unix::fs::symlink(&out, &link).unwrap();
        example("process", &[&input, &link]).ok();
        assert!(link.is_symlink());
        assert_eq!(length(&out), 72_000);
        fs::remove_file(link).unwrap();
    }
    assert_eq!(folder.names(), ["in.wav", "out.wav"]);
}

#[test]
fn checking_finds_mistakes_and_leaves_nothing() {
    let folder = Folder::new();
    let (input, out, opus) = (fixture("speech_stereo_44100.wav"), folder.file("out.wav"), folder.file("out.opus"));
    let run = example("process", &[&input, &out, &"--opus", &opus, &"--check"]).ok();
    assert!(run.stdout.contains("2.377 s, 44100 Hz, 2 channels, 16-bit integer"), "{run:?}");
    let nowhere = folder.file("nowhere/report.json");
    example("process", &[&input, &out, &"--report", &nowhere, &"--check"]).refused(&nowhere, "No such file");
    let run = example("process", &[&input, &out, &"--profile", &"studio", &"--check"]);
    assert_eq!(run.code, Some(2));
    assert!(PROFILES.iter().all(|name| run.stderr.contains(name)), "{run:?}");
    assert!(folder.names().is_empty());
}

#[test]
fn the_report_says_what_the_table_says() {
    let folder = Folder::new();
    let (out, opus, report) = (folder.file("out.wav"), folder.file("out.opus"), folder.file("report.json"));
    let input = fixture("speech_noisy.wav");
    let run = example("process", &[&input, &out, &"--opus", &opus, &"--report", &report]).ok();
    let json = json(&report);
    let number = |field: &str| json[field].as_f64().unwrap_or_else(|| panic!("no {field} in {json}"));
    let (_, noisy) = read_wav(&input);
    let (_, sound) = read_wav(&out);
    assert_eq!(
        (number("input_seconds"), number("output_seconds")),
        (noisy.len() as f64 / 48e3, sound.len() as f64 / 48e3)
    );
    assert!((number("rms_in_dbfs") - level(&noisy)).abs() < 0.01);
    assert!((number("rms_out_dbfs") - level(&sound)).abs() < 0.01);
    assert!(number("real_time_factor") > 0.0);

    let stages = json["stages"].as_array().unwrap();
    let names: Vec<_> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["capture", "gain", "denoise", "high-pass", "auto-gain", "gate", "limiter", "meter", "opus"]);
    assert!(stages.iter().all(|stage| stage["ns_per_frame"].as_f64().unwrap() > 0.0), "{json}");
    let latencies: Vec<_> = stages.iter().map(|stage| stage["latency_ms"].as_f64().unwrap()).collect();
    let limiter = 68.0 / 48.0;
    assert_eq!(latencies, [0.0, 0.0, 10.0, 0.0, 0.0, 0.0, limiter, 0.0, 6.5]);
    assert!((number("latency_ms") - 16.5 - limiter).abs() < 1e-9);
    assert!((json["opus"]["microphone_to_packet_ms"].as_f64().unwrap() - 36.5 - limiter).abs() < 1e-9);

    // 4.7 s and 17.9 ms in packets of 20 ms.
    assert_eq!(json["opus"]["packets"], 237);
    let kbps = json["opus"]["bitrate_kbps"].as_f64().unwrap();
    assert!((24.0..48.0).contains(&kbps), "{kbps}");
    for wanted in names.iter().copied().chain(["10.0 ms", "37.9 ms", "4.705 s", "237 of 20 ms"]) {
        assert!(run.stdout.contains(wanted), "no {wanted} in {}", run.stdout);
    }

    example("process", &[&input, &out, &"--report", &report]).ok();
    assert!(self::json(&report)["opus"].is_null());
}

#[test]
fn encode_is_the_same_uplink_and_obeys_the_bit_rate() {
    let folder = Folder::new();
    let (wav, opus) = (folder.file("out.wav"), folder.file("out.opus"));
    let decode = || {
        example("decode", &[&opus, &wav]).ok();
        read_wav(&wav).1
    };
    for profile in PROFILES {
        let input = fixture("speech_stereo_44100.wav");
        example("process", &[&input, &wav, &"--profile", &profile, &"--opus", &opus]).ok();
        let processed = decode();
        example("encode", &[&input, &opus, &"--profile", &profile]).ok();
        assert!(processed == decode(), "{profile}");
    }
    let mut sizes = Vec::new();
    for kbps in ["12", "24", "48", "96"] {
        example("encode", &[&fixture("speech_room.wav"), &opus, &"--bitrate-kbps", &kbps]).ok();
        sizes.push(fs::metadata(&opus).unwrap().len());
    }
    assert!(sizes.windows(2).all(|pair| pair[1] as f64 > 1.5 * pair[0] as f64), "{sizes:?}");
    let run = example("encode", &[&fixture("speech_room.wav"), &opus, &"--bitrate-kbps", &"5"]);
    assert_eq!(run.code, Some(2));
}

#[test]
fn a_stage_of_ones_own_works() {
    let run = example("custom_stage", &[]).ok();
    assert!(run.stdout.contains("refused: Tremolo::depth must be from 0 to 1, not 2"), "{run:?}");
}

#[test]
fn a_simulated_call_is_told_drawn_and_the_same_for_a_seed() {
    let folder = Folder::new();
    let trace = folder.file("trace.txt");
    fs::write(&trace, "0 0 0 0 0 0 0 0 0 1\n").unwrap();
    let call = |out: &Path, more: &[&str]| {
        let speech = fixture("speech_clean.wav");
        let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&speech, &out];
        args.extend(more.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
        let said = example("call_sim", &args);
        (said.code == Some(0), said.stdout, said.stderr)
    };
    let bad = ["--loss", "0.1", "--burst", "2", "--jitter-ms", "40", "--reorder", "0.05", "--drift-ppm", "-200"];
    let (one, two, other) = (folder.file("one.wav"), folder.file("two.wav"), folder.file("other.wav"));
    let picture = folder.file("call.png");
    let drawn = [&bad[..], &["--seed", "7", "--plot", picture.to_str().unwrap()]].concat();
    let (done, told, _) = call(&one, &drawn);
    assert!(done && told.contains("end to end ms") && told.contains("lost            "), "{told}");
    assert_eq!(call(&two, &[&bad[..], &["--seed", "7"]].concat()).1, told);
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    assert!(call(&other, &[&bad[..], &["--seed", "8"]].concat()).0);
    assert_ne!(fs::read(&one).unwrap(), fs::read(&other).unwrap());
    assert!(fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    // What was spoken is heard, for as long.
    let heard = level(&read_wav(&one).1[48_000..]) - level(&read_wav(&fixture("speech_clean.wav")).1[48_000..]);
    assert!(heard.abs() < 2.0, "{heard} dB");

    let lossy = ["--loss-trace", trace.to_str().unwrap()];
    let (_, plain, _) = call(&one, &lossy);
    let (_, fec, _) = call(&one, &[&lossy[..], &["--fec", "--bitrate-kbps", "40"]].concat());
    assert!(plain.contains(" % by the network, 1.00 in a row"), "{plain}");
    assert!(plain.contains("0.00 % FEC") && !fec.contains("0.00 % FEC"), "{fec}");
    for wrong in [&["--loss", "2"][..], &["--jitter-ms", "nan"], &["--burst", "0"], &["--loss-trace", "nowhere"]] {
        let (done, _, error) = call(&two, wrong);
        assert!(!done && error.to_lowercase().contains("error"), "{wrong:?}: {error}");
    }
}
