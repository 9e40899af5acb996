//! Readings and settings with serde: a reading is serialized as what it shows, in the units of its methods, and settings
//! come back as they were, a missing key meaning the default.

#![cfg(all(feature = "serde", feature = "loudness", feature = "spectrum"))]

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use voxframe::control::LiveStage;
use voxframe::denoise::{Denoise, DenoiseReading};
use voxframe::device::InputReading;
use voxframe::input_check::InputCheck;
use voxframe::loudness::LoudnessMeter;
use voxframe::opus::{OpusDecodeReading, OpusEncodeReading};
use voxframe::resample::{Quality, Resample};
use voxframe::spectrum::Spectrum;
use voxframe::vad::VoiceActivityReading;
use voxframe::*;

/// Reading of a stage behind a second of a tone that is 6 dB over full scale, at 48 kHz.
fn reading<S>(settings: S) -> S::Reading
where
    S: LiveStage<Processor: Processor<Input = Frame, Output = Frame>>,
{
    let (stage, handle) = settings.live();
    let mut processor = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
    for _ in 0..100 {
        let mut frame = Frame::new(processor.input_format());
        frame.samples_mut().iter_mut().enumerate().for_each(|(i, s)| *s = 2.0 * (i as f32 * 0.130_9).sin());
        processor.process(&mut frame).unwrap();
    }
    handle.reading()
}

/// The keys of a reading in order of the alphabet; all values are there.
fn keys(reading: impl Serialize) -> Vec<String> {
    fn check(value: &Value) {
        match value {
            Value::Number(number) => assert!(number.as_f64().unwrap().is_finite()),
            Value::Array(values) => values.iter().for_each(check),
            Value::Bool(_) => {}
            _ => panic!("neither a number nor a flag: {value}"),
        }
    }
    let Value::Object(map) = serde_json::to_value(reading).unwrap() else { panic!("not a map") };
    map.values().for_each(check);
    map.keys().cloned().collect()
}

#[test]
fn a_reading_is_serialized_as_what_it_shows() {
    assert_eq!(keys(reading(Gain::db(3.0))), ["gain_db"]);
    assert_eq!(keys(reading(NoiseGate::default())), ["gain_db", "level_dbfs", "noise_dbfs", "open"]);
    assert_eq!(keys(reading(HighPass::default())), ["input_dbfs", "output_dbfs"]);
    assert_eq!(keys(reading(AutoGain::default())), ["gain_db", "noise_dbfs", "speaking", "speech_dbov"]);
    assert_eq!(keys(reading(Limiter::default())), ["gain_db", "lowest_gain_db"]);
    assert_eq!(
        keys(reading(LevelMeter::default())),
        ["clipped", "held_peak_dbfs", "overall_peak_dbfs", "overall_rms_dbfs", "peak_dbfs", "rms_dbfs", "samples"]
    );
    assert_eq!(
        keys(reading(LoudnessMeter::default())),
        ["integrated_lufs", "momentary_lufs", "overall_true_peak_dbtp", "short_term_lufs", "true_peak_dbtp"]
    );
    assert_eq!(
        keys(reading(InputCheck::default())),
        ["clipped_runs", "dead", "denormal", "invalid", "level_dbfs", "quiet_ms", "silent", "still_ms"]
    );
    assert_eq!(keys(DenoiseReading::default()), ["speech_probability"]);
    keys(InputReading::default());
    keys(OpusEncodeReading::default());
    keys(OpusDecodeReading::default());
    #[cfg(feature = "opus")]
    {
        use voxframe::jitter::JitterBufferReading;
        let jitter = serde_json::to_value(JitterBufferReading::default()).unwrap();
        assert_eq!((&jitter["playing"], &jitter["playout_timestamp"]), (&json!(false), &Value::Null));
    }
    // The time since speech is null where there was none yet.
    let activity = serde_json::to_value(VoiceActivityReading::default()).unwrap();
    assert_eq!((&activity["since_speech_ms"], &activity["speaking"]), (&Value::Null, &json!(false)));
}

#[test]
fn levels_are_those_of_the_methods() {
    let close = |value: &Value, shown: f32| {
        assert!((value.as_f64().unwrap() - f64::from(shown)).abs() < 1e-5, "{value}, not {shown}");
    };
    let levels = reading(LevelMeter::default());
    let json = serde_json::to_value(levels).unwrap();
    assert!((levels.rms_dbfs(0) - 3.0).abs() < 0.1, "{levels:?}");
    close(&json["rms_dbfs"][0], levels.rms_dbfs(0));
    close(&json["held_peak_dbfs"][0], levels.held_peak_dbfs(0));
    close(&json["overall_rms_dbfs"][0], levels.overall_rms_dbfs(0));
    close(&json["rms_dbfs"][1], level::SILENCE_DBFS);

    let limiter = reading(Limiter::default());
    assert!(limiter.gain_db() < -6.0);
    close(&serde_json::to_value(limiter).unwrap()["gain_db"], limiter.gain_db());

    let gate = reading(NoiseGate::default());
    close(&serde_json::to_value(gate).unwrap()["level_dbfs"], gate.level_dbfs());
    let loudness = reading(LoudnessMeter::default());
    assert!(loudness.momentary_lufs() > 0.0);
    close(&serde_json::to_value(loudness).unwrap()["momentary_lufs"], loudness.momentary_lufs());
}

/// Round trip of `changed`, which differs from the default in `key` alone; and without any key, the default.
fn settings<S>(changed: S, key: &str)
where
    S: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + Default,
{
    let json = serde_json::to_value(&changed).unwrap();
    assert_eq!(serde_json::from_value::<S>(json.clone()).unwrap(), changed);
    let alone = json!({ key: json[key] });
    assert_eq!(serde_json::from_value::<S>(alone).unwrap(), changed, "every other key missing");
    assert_eq!(serde_json::from_value::<S>(json!({})).unwrap(), S::default());
    assert_ne!(changed, S::default());
}

#[test]
fn settings_come_back_and_a_missing_key_is_the_default() {
    settings(Gain { muted: true, ..Gain::default() }, "muted");
    settings(NoiseGate { hold_ms: 7.0, ..NoiseGate::default() }, "hold_ms");
    settings(HighPass { order: 2, ..HighPass::default() }, "order");
    settings(AutoGain { max_noise_dbfs: -60.0, ..AutoGain::default() }, "max_noise_dbfs");
    settings(Limiter { release_ms: 7.0, ..Limiter::default() }, "release_ms");
    settings(LevelMeter { hold_ms: 7.0, ..LevelMeter::default() }, "hold_ms");
    settings(LoudnessMeter { dual_mono: true, ..LoudnessMeter::default() }, "dual_mono");
    settings(Spectrum { fft_size: 512, ..Spectrum::default() }, "fft_size");
    settings(InputCheck { silence_ms: 70.0, ..InputCheck::default() }, "silence_ms");
    settings(Denoise { bypassed: true, ..Denoise::default() }, "bypassed");
    settings(VoiceActivity { hangover_ms: 7.0, ..VoiceActivity::default() }, "hangover_ms");
    settings(OpusEncode { dtx: true, ..OpusEncode::default() }, "dtx");
    settings(OpusDecode { gain_db: 7.0, ..OpusDecode::default() }, "gain_db");
    #[cfg(feature = "opus")]
    {
        use voxframe::call::Downlink;
        settings(Downlink { volume: Gain::db(7.0), ..Downlink::default() }, "volume");
    }

    let resample = Resample::deserialize(json!({ "sample_rate_hz": 16_000 })).unwrap();
    assert_eq!(resample, Resample { sample_rate_hz: 16_000, quality: Quality::High });
    assert!(Resample::deserialize(json!({})).is_err(), "no rate is the default one");
}
