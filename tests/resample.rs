//! How faithful resampling is: its pass band, and what folds back or is mirrored.
#![cfg(feature = "resample")]

use voxframe::resample::Quality;
use voxframe::{Format, Resample, Stage};
use voxframe_testkit::signal::{level, run};

/// The gain a sine of `hz` gets, and the level of all that comes out besides it, in dB.
fn response(from_hz: u32, to_hz: u32, quality: Quality, hz: f64) -> (f32, f32) {
    let stage = Resample { sample_rate_hz: to_hz, quality };
    let mut resampler = stage.prepare(Format::mono(from_hz).unwrap()).unwrap();
    let step = std::f64::consts::TAU * hz / f64::from(from_hz);
    let sine: Vec<f32> = (0..from_hz / 4).map(|i| (step * f64::from(i)).sin() as f32).collect();
    let (out, _) = run(&mut resampler, &[sine]);
    // A tenth of a second: whole periods of a multiple of 10 Hz.
    let steady = &out[0][out[0].len() - to_hz as usize / 10..];
    let step = std::f64::consts::TAU * hz / f64::from(to_hz);
    let (mut re, mut im) = (0.0, 0.0);
    if hz < f64::from(to_hz) / 2.0 {
        for (i, s) in steady.iter().enumerate() {
            re += f64::from(*s) * (step * i as f64).cos() * 2.0 / steady.len() as f64;
            im += f64::from(*s) * (step * i as f64).sin() * 2.0 / steady.len() as f64;
        }
    }
    let sine = |i: usize| (step * i as f64).cos() * re + (step * i as f64).sin() * im;
    let rest: Vec<f32> = steady.iter().enumerate().map(|(i, s)| s - sine(i) as f32).collect();
    (voxframe::level::to_dbfs(re.hypot(im) as f32), level(&rest) + 3.01)
}

#[test]
fn the_pass_band_is_flat_and_nothing_folds_back() {
    // Rates, quality; up to which share of the lower Nyquist frequency it is flat; the loudest alias or image in dB.
    for (from, to, quality, flat, most) in [
        (44_100, 48_000, Quality::LowLatency, 0.90, -90.0),
        (48_000, 44_100, Quality::LowLatency, 0.90, -90.0),
        (48_000, 16_000, Quality::LowLatency, 0.85, -90.0),
        (16_000, 48_000, Quality::LowLatency, 0.85, -90.0),
        (44_100, 48_000, Quality::High, 0.95, -110.0),
        (48_000, 44_100, Quality::High, 0.95, -110.0),
        (48_000, 16_000, Quality::High, 0.90, -110.0),
        (16_000, 48_000, Quality::High, 0.90, -110.0),
        (96_000, 48_000, Quality::High, 0.95, -110.0),
    ] {
        let nyquist = f64::from(from.min(to)) / 2.0;
        for share in [0.02, 0.1, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.3, 1.6, 1.9, 2.3] {
            let hz = (share * nyquist / 10.0).round() * 10.0;
            if hz >= f64::from(from) / 2.0 {
                continue;
            }
            let (gain, rest) = response(from, to, quality, hz);
            println!("{from} -> {to} {quality:?} {share}: {gain:.2} dB, rest {rest:.1} dB");
            assert!(share > flat || gain.abs() < 0.1, "{from} -> {to} {quality:?}: {gain} dB at {hz} Hz");
            assert!(rest < most, "{from} -> {to} {quality:?}: {rest} dB besides {hz} Hz");
        }
    }
}
