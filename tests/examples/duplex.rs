//! `duplex`: the echo goes, the near end stays where it was, and the report says so.

use voxframe_testkit::program::example;
use voxframe_testkit::signal::{delay, level};
use voxframe_testkit::wav::{self, fixture};

use crate::{Folder, json};

const RATE: usize = 48_000;

#[test]
fn the_echo_goes_and_the_near_end_stays() {
    let folder = Folder::new();
    let [far_wav, mic_wav, out, linear, report, plot] =
        ["far.wav", "mic.wav", "out.wav", "linear.wav", "report.json", "plot.png"].map(|name| folder.file(name));
    // Five seconds of far end with its echo, and then the near end alone.
    let voice = fixture("speech_clean.wav").remove(0);
    let far: Vec<f32> = voice.iter().cycle().copied().take(5 * RATE).collect();
    let mut mic = vec![0.0; 5 * RATE + voice.len()];
    mic[RATE / 10..][..5 * RATE].iter_mut().zip(&far).for_each(|(mic, far)| *mic = 0.5 * far);
    mic[5 * RATE + RATE / 2..].iter_mut().zip(&voice).for_each(|(mic, near)| *mic += near);
    wav::write(&far_wav, RATE as u32, 1, 16, &far);
    wav::write(&mic_wav, RATE as u32, 1, 16, &mic);

    let run =
        example("duplex", &[&far_wav, &mic_wav, &out, &"--linear", &linear, &"--report", &report, &"--plot", &plot])
            .ok();
    let echo = RATE..5 * RATE;
    let mut erle_db = 0.0;
    for path in [&linear, &out] {
        let out = wav::read(path);
        assert_eq!((out.samples.len(), out.header.sample_rate_hz, out.header.bits), (mic.len(), RATE as u32, 16));
        erle_db = level(&mic[echo.clone()]) - level(&out.samples[echo.clone()]);
        assert!(erle_db > 20.0, "{erle_db} dB");
        let near = 5 * RATE + RATE / 2 + RATE / 4..mic.len();
        assert_eq!(delay(&mic[near.clone()], &out.samples[near.clone()], 960), 0);
        assert!((level(&out.samples[near.clone()]) - level(&mic[near])).abs() < 0.1);
    }
    let report = json(&report);
    println!("{}{erle_db:.1} dB, {}", run.stdout, report["erle_db"]);
    assert!((report["delay_ms"].as_f64().unwrap() - 100.0).abs() <= 20.0, "{report}");
    assert!(report["erle_db"].as_f64().unwrap() > 15.0 && report["latency_ms"] == 10.0, "{report}");
    assert!((report["drift_ppm"].as_f64().unwrap()).abs() < 20.0 && report["is_transparent"] == true, "{report}");
    let steps = report["over_time"]["seconds"].as_array().unwrap().len();
    assert_eq!(steps, mic.len().div_ceil(RATE / 10));
    assert!(std::fs::read(&plot).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn nothing_is_written_where_something_is_wrong() {
    let folder = Folder::new();
    let (far, mic, out) = (folder.file("far.wav"), folder.file("mic.wav"), folder.file("out.wav"));
    wav::write(&far, RATE as u32, 1, 16, &[0.0; 4800]);
    example("duplex", &[&far, &mic, &out]).refused(&mic, "");
    wav::write(&mic, RATE as u32, 1, 16, &[0.0; 4800]);
    example("duplex", &[&far, &mic, &mic]).refused(&mic, "");
    assert_eq!(folder.names(), ["far.wav", "mic.wav"]);
}
