//! No click anywhere: every live setting of every stage is changed at random moments while a sine goes through, and what
//! appears outside the sine's band is bounded.
//!
//! A new stage is one line in [`no_stage_clicks`]: all of its settings, each with the values it may jump between. It does
//! not compile while one is missing. Times for which a change may last begin at 5 ms: whoever asks for less asks for a
//! click. What a limiter without lookahead does to a sine is distortion, change or no change, and not looked at here.

use std::f64::consts::TAU;

use voxframe::control::LiveStage;
#[cfg(feature = "denoise")]
use voxframe::denoise::Engine;
use voxframe::input_check::InputCheck;
use voxframe::pipeline::process_fn;
use voxframe::*;
use voxframe_testkit::click::outside_band_db;
use voxframe_testkit::random::Random;

const SINE_HZ: f64 = 1000.0;
/// −20 dBFS (RMS −23), so that the thresholds and ceilings below are on both sides of it.
const AMPLITUDE: f64 = 0.1;
/// What a change may do to a sine: half an octave down and up.
const BAND_HZ: std::ops::Range<f64> = 500.0..1500.0;
/// How much may be outside, relative to the sine: a jump of 0.2 dB puts more there (−54).
const MOST_DB: f64 = -55.0;
const RATE_HZ: u32 = 48_000;
const SECONDS: usize = 12;

type Change<S> = fn(&mut S, &mut Random);

/// The loudest that is ever found outside the sine's band, in dB relative to the sine.
fn outside_db(processor: &mut impl Processor<Input = Frame, Output = Frame>, mut before: impl FnMut()) -> f64 {
    let format = processor.input_format();
    let mut frame = Frame::new(format);
    let mut out: Vec<f64> = Vec::new();
    let mut time = 0;
    for _ in 0..SECONDS * 100 {
        before();
        for (i, sample) in frame.samples_mut().iter_mut().enumerate() {
            *sample = (AMPLITUDE * (TAU * SINE_HZ * (time + i) as f64 / f64::from(RATE_HZ)).sin()) as f32;
        }
        time += format.samples_per_channel();
        out.extend(processor.process(&mut frame).unwrap().unwrap().samples().iter().map(|&s| f64::from(s)));
    }
    // Nothing is said of the start, which is a click in itself.
    outside_band_db(&out[RATE_HZ as usize / 2..], RATE_HZ, &BAND_HZ, AMPLITUDE)
}

/// Changes one setting after another, at random, 15 times a second.
fn clicks_db<S>(settings: S, changes: &[Change<S>]) -> f64
where
    S: LiveStage<Processor: Processor<Input = Frame, Output = Frame>>,
{
    let (stage, handle) = settings.live();
    let mut processor = stage.prepare(Format::mono(RATE_HZ).unwrap()).unwrap();
    let mut random = Random::new(1);
    outside_db(&mut processor, || {
        if random.unit() < 0.15 {
            let change = random.of(changes);
            // Thresholds that would cross are refused.
            let _ = handle.update(|settings| change(settings, &mut random));
        }
    })
}

macro_rules! no_clicks {
    ($($stage:ident { $($field:ident: $pick:ident($($arg:expr),*)),* $(,)? })*) => {$(
        // Fails to compile if a setting is missing.
        let $stage { $($field: _),* } = $stage::default();
        let changes: &[Change<$stage>] = &[$(|settings, random| settings.$field = random.$pick($($arg),*)),*];
        let found = clicks_db($stage::default(), changes);
        println!("{}: {found:.1} dB", stringify!($stage));
        assert!(found < MOST_DB, "{}: {found:.1} dB outside the sine's band", stringify!($stage));
    )*};
}

#[test]
fn a_click_is_found() {
    let mut frames = 0;
    let clicking = process_fn(move |frame| {
        frames += 1;
        // 0.2 dB down and up, twice a second.
        let gain = if frames % 50 < 25 { 1.0 } else { 0.9772 };
        frame.samples_mut().iter_mut().for_each(|sample| *sample *= gain);
    });
    let found = outside_db(&mut clicking.prepare(Format::mono(RATE_HZ).unwrap()).unwrap(), || ());
    assert!(found > MOST_DB, "{found:.1} dB");
}

#[test]
#[rustfmt::skip] // a line a stage
fn no_stage_clicks() {
    no_clicks! {
        Gain { gain_db: between(-40.0, 6.0), muted: flip(), ramp_ms: between(5.0, 50.0) }
        NoiseGate { open_db: between(-33.0, -13.0), close_db: between(-38.0, -18.0), attack_ms: between(5.0, 50.0), hold_ms: between(0.0, 100.0), release_ms: between(5.0, 200.0), floor_db: between(-100.0, 0.0), window_ms: between(1.0, 20.0), above_noise_db: between(0.0, 40.0), lookahead_ms: between(0.0, 50.0) }
        HighPass { cutoff_hz: between(20.0, 500.0), order: of(&[2, 3, 4]), rumble_db: between(-100.0, 0.0), bypassed: flip() }
        Limiter { ceiling_db: between(-40.0, 0.0), lookahead_ms: of(&[0.0, 1.0, 5.0]), release_ms: between(5.0, 200.0) }
        LevelMeter { interval_ms: between(10.0, 500.0), hold_ms: between(0.0, 500.0), fall_db_per_s: between(0.0, 100.0) }
        AutoGain { target_dbov: between(-40.0, -10.0), max_gain_db: between(0.0, 60.0), up_db_per_s: between(1.0, 100.0), down_db_per_s: between(1.0, 100.0), tolerance_db: between(1.0, 12.0), max_noise_dbfs: between(-90.0, 0.0), bypassed: flip() }
        VoiceActivity { onset_threshold: between(0.5, 1.0), offset_threshold: between(0.0, 0.5), hangover_ms: between(0.0, 500.0) }
        InputCheck { silence_db: between(-100.0, 0.0), silence_ms: between(10.0, 1000.0) }
    }
    #[cfg(feature = "denoise")]
    const ENGINES: &[Engine] = &[
        Engine::Light,
        Engine::Standard,
        #[cfg(feature = "hush")]
        Engine::Best,
    ];
    #[cfg(feature = "denoise")]
    no_clicks! {
        Denoise { engine: of(ENGINES), suppression_db: between(0.0, 100.0), bypassed: flip() }
    }
    #[cfg(feature = "loudness")]
    use voxframe::loudness::LoudnessMeter;
    #[cfg(feature = "loudness")]
    no_clicks! {
        LoudnessMeter { dual_mono: flip(), programme: of(&[1, 2, 3]) }
    }
}
