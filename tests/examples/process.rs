//! `process` and `encode`: what becomes of noise and speech, exact lengths, and the report.

use std::fs;

use voxframe::level::SpeechLevel;
use voxframe_testkit::program::{example, tool};
use voxframe_testkit::signal::{delay, level};
use voxframe_testkit::wav::{self, fixture_path};

use crate::{Folder, PROFILES, json, rescale, samples_in};

const FIXTURES: [&str; 5] =
    ["noise_fan.wav", "speech_clean.wav", "speech_noisy.wav", "speech_room.wav", "speech_stereo_44100.wav"];

#[test]
fn noise_goes_speech_stays_and_nothing_moves() {
    let folder = Folder::new();
    let (out, opus, decoded) = (folder.file("out.wav"), folder.file("out.opus"), folder.file("decoded.wav"));
    let clean = wav::read(&fixture_path("speech_clean.wav")).samples;
    let noisy = wav::read(&fixture_path("speech_noisy.wav")).samples;
    // Noise alone, as the fixtures' README says; and the speech.
    let (before, speech) = (0..24_000, 24_000..clean.len() - 14_400);
    for profile in ["balanced", "high-quality"] {
        example("process", &[&fixture_path("speech_noisy.wav"), &out, &"--profile", &profile, &"--opus", &opus]).ok();
        example("decode", &[&opus, &decoded]).ok();
        // Stages keep phases; of the encoder's modes, VOIP has a high-pass, behind which low voices lead a little.
        for (path, most_lag) in [(&out, 0), (&decoded, if profile == "balanced" { 4 } else { 1 })] {
            let sound = wav::read(path).samples;
            let less = level(&noisy[before.clone()]) - level(&sound[before.clone()]);
            assert!(less > 10.0, "{profile}: noise lower by {less} dB");
            let (before, after) = (active_dbov(&clean[speech.clone()]), active_dbov(&sound[speech.clone()]));
            // To −20 dBov as far as the noise allows, which stays below −50 dBFS.
            assert!(after > before - 1.0 && after < -18.5, "{profile}: {before} to {after} dBov");
            assert!(level(&sound[12_000..24_000]) < -50.0, "{profile}: noise");
            let late = delay(&clean, &sound, 480);
            assert!(late.abs() <= most_lag, "{profile}: late by {late} samples");
        }
    }
}

/// The active level of speech at 48 kHz, by ITU-T P.56.
fn active_dbov(samples: &[f32]) -> f32 {
    let mut meter = SpeechLevel::new(48_000);
    meter.push(samples);
    meter.dbov().unwrap()
}

#[test]
fn lengths_are_exact_and_other_decoders_agree() {
    let folder = Folder::new();
    let (wav, opus, decoded) = (folder.file("out.wav"), folder.file("out.opus"), folder.file("decoded.wav"));
    for (name, profile) in FIXTURES.iter().flat_map(|name| PROFILES.iter().map(move |profile| (name, profile))) {
        let input = fixture_path(name);
        let spec = wav::read(&input).header;
        let wanted = rescale(spec.samples, spec.sample_rate_hz, 48_000);
        example("process", &[&input, &wav, &"--profile", profile, &"--opus", &opus]).ok();

        let out = wav::read(&wav).header;
        let rate_hz = if *profile == "low-latency" { 16_000 } else { 48_000 };
        assert_eq!((out.sample_rate_hz, out.channels, out.bits), (rate_hz, spec.channels, 16));
        assert_eq!(samples_in(&wav), rescale(spec.samples, spec.sample_rate_hz, rate_hz), "{name} {profile}");

        example("decode", &[&opus, &decoded]).ok();
        assert_eq!(samples_in(&decoded), wanted, "{name} {profile}");
        let ours = wav::read(&decoded).samples;
        if tool("opusdec", &[&"--quiet", &"--rate", &"48000", &opus, &decoded]).is_some() {
            assert_eq!(samples_in(&decoded), wanted, "{name} {profile}: opusdec");
            // Of suppressed noise little is left but opusdec's dither.
            let late = if *name == "noise_fan.wav" { 0 } else { delay(&ours, &wav::read(&decoded).samples, 48) };
            assert_eq!(late, 0, "{name} {profile}: opusdec");
        }
        if tool("ffmpeg", &[&"-v", &"error", &"-y", &"-i", &opus, &decoded]).is_some() {
            assert_eq!(samples_in(&decoded), wanted, "{name} {profile}: ffmpeg");
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
fn the_report_says_what_the_table_says() {
    let folder = Folder::new();
    let (out, opus, report) = (folder.file("out.wav"), folder.file("out.opus"), folder.file("report.json"));
    let input = fixture_path("speech_noisy.wav");
    let run = example("process", &[&input, &out, &"--opus", &opus, &"--report", &report]).ok();
    let json = json(&report);
    let number = |field: &str| json[field].as_f64().unwrap_or_else(|| panic!("no {field} in {json}"));
    let noisy = wav::read(&input).samples;
    let sound = wav::read(&out).samples;
    assert_eq!(
        (number("input_seconds"), number("output_seconds")),
        (noisy.len() as f64 / 48e3, sound.len() as f64 / 48e3)
    );
    assert!((number("rms_in_dbfs") - f64::from(level(&noisy))).abs() < 0.01);
    assert!((number("rms_out_dbfs") - f64::from(level(&sound))).abs() < 0.01);
    assert!(number("real_time_factor") > 0.0);

    let stages = json["stages"].as_array().unwrap();
    let names: Vec<_> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["capture", "gain", "denoise", "high-pass", "auto-gain", "gate", "limiter", "meter", "opus"]);
    assert!(stages.iter().all(|stage| stage["ns_per_frame"].as_f64().unwrap() > 0.0), "{json}");
    let latencies: Vec<_> = stages.iter().map(|stage| stage["latency_ms"].as_f64().unwrap()).collect();
    let limiter = 68.0 / 48.0;
    assert_eq!(latencies, [0.0, 0.0, 20.0, 0.0, 0.0, 0.0, limiter, 0.0, 6.5]);
    assert!((number("latency_ms") - 26.5 - limiter).abs() < 1e-9);
    assert!((json["opus"]["microphone_to_packet_ms"].as_f64().unwrap() - 46.5 - limiter).abs() < 1e-9);

    // 4.7 s and 27.9 ms in packets of 20 ms.
    assert_eq!(json["opus"]["packets"], 237);
    let kbps = json["opus"]["bitrate_kbps"].as_f64().unwrap();
    assert!((24.0..48.0).contains(&kbps), "{kbps}");
    for wanted in names.iter().copied().chain(["20.0 ms", "47.9 ms", "4.705 s", "237 of 20 ms"]) {
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
        wav::read(&wav).samples
    };
    for profile in PROFILES {
        let input = fixture_path("speech_stereo_44100.wav");
        example("process", &[&input, &wav, &"--profile", &profile, &"--opus", &opus]).ok();
        let processed = decode();
        example("encode", &[&input, &opus, &"--profile", &profile]).ok();
        let encoded = decode();
        if profile == "low-latency" {
            // 16 kHz before the one encoder, 48 kHz in a band of 8 kHz before the other.
            let difference = level(&processed) - level(&encoded);
            assert!(processed.len() == encoded.len() && difference.abs() < 0.3, "{difference} dB");
        } else {
            assert!(processed == encoded, "{profile}");
        }
    }
    let mut sizes = Vec::new();
    for kbps in ["12", "24", "48", "96"] {
        example("encode", &[&fixture_path("speech_room.wav"), &opus, &"--bitrate-kbps", &kbps]).ok();
        sizes.push(fs::metadata(&opus).unwrap().len());
    }
    assert!(sizes.windows(2).all(|pair| pair[1] as f64 > 1.5 * pair[0] as f64), "{sizes:?}");
    let run = example("encode", &[&fixture_path("speech_room.wav"), &opus, &"--bitrate-kbps", &"5"]);
    assert_eq!(run.code, Some(2));
}
