//! Every stage from frames to frames in one table.

use voxframe::call::switch;
use voxframe::echo::{Suppression, far_end};
use voxframe::input_check::InputCheck;
use voxframe::pipeline::{FrameProcessor, Restamp, process_fn};
use voxframe::{
    AutoGain, EchoCancel, Format, Frame, Gain, HighPass, LevelMeter, Limiter, NoiseGate, Pipeline, Processor, Result,
    Stage, VoiceActivity,
};

use crate::effects::{self, Effect};

/// A stage under test.
pub struct Case {
    pub name: &'static str,
    pub prepare: fn(Format) -> Result<Box<FrameProcessor>>,
    /// Whether a channel may influence the other: then not two mono runs are asked for, but that the balance stays.
    pub linked: bool,
    /// What the stage does that neither a pass-through nor silence in its place would.
    pub effect: Effect,
}

pub fn boxed<S>(stage: S, format: Format) -> Result<Box<FrameProcessor>>
where
    S: Stage<Processor: Processor<Input = Frame, Output = Frame> + Send + 'static>,
{
    Ok(Box::new(stage.prepare(format)?))
}

fn switched_gain(format: Format) -> Result<Box<FrameProcessor>> {
    let mut pipeline = Pipeline::new(format);
    pipeline.push("gain", Gain::db(-6.0))?;
    Ok(Box::new(switch(pipeline).0))
}

/// Every stage from frames to frames, and what is made of them. A new stage is one line here.
#[rustfmt::skip] // a line a stage
pub fn cases() -> Vec<Case> {
    let independent = |name, prepare, effect| Case { name, prepare, linked: false, effect };
    let linked = |name, prepare, effect| Case { name, prepare, linked: true, effect };
    #[allow(unused_mut, reason = "without features there is nothing to add")]
    let mut cases = vec![
        independent("gain", |f| boxed(Gain::db(-6.0), f), |p| effects::level_changes_by(p, -6.0)),
        linked("gate", |f| boxed(NoiseGate::default(), f), |p| effects::closes_on_soft_noise(p, -30.0, 0.0)),
        linked("gate, lookahead", |f| boxed(NoiseGate { lookahead_ms: 7.3, ..NoiseGate::default() }, f), |p| effects::closes_on_soft_noise(p, -30.0, 0.0)),
        independent("meter", |f| boxed(LevelMeter::default(), f), effects::tells_the_level),
        independent("high-pass", |f| boxed(HighPass::default(), f), |p| effects::takes_low_tones(p, 20.0)),
        linked("high-pass against rumble", |f| boxed(HighPass { rumble_db: -20.0, ..HighPass::default() }, f), |p| effects::takes_low_tones(p, 20.0)),
        independent("high-pass, 2nd order", |f| boxed(HighPass { order: 2, ..HighPass::hz(120.0) }, f), |p| effects::takes_low_tones(p, 30.0)),
        linked("limiter", |f| boxed(Limiter::default(), f), |p| effects::holds_the_ceiling(p, -1.0)),
        linked("limiter, no lookahead", |f| boxed(Limiter { lookahead_ms: 0.0, ..Limiter::default() }, f), |p| effects::holds_the_ceiling(p, -1.0)),
        linked("limiter, 5 ms", |f| boxed(Limiter { lookahead_ms: 5.0, ..Limiter::db(-6.0) }, f), |p| effects::holds_the_ceiling(p, -6.0)),
        linked("automatic gain", |f| boxed(AutoGain::default(), f), effects::raises_soft_speech),
        independent("voice activity", |f| boxed(VoiceActivity::default(), f), effects::tells_speech_from_silence),
        linked("echo cancellation", |f| boxed(EchoCancel::default(), f), effects::cancels_echo),
        linked("echo cancellation, silent far end", |f| boxed(EchoCancel::default().with_far_end(&far_end(f).1), f), effects::cancels_echo),
        linked("echo cancellation, linear", |f| boxed(EchoCancel { suppression: Suppression::Off, ..EchoCancel::default() }.with_far_end(&far_end(f).1), f), effects::cancels_echo),
        independent("scrub", |f| boxed(InputCheck::default(), f), effects::counts_what_is_no_sound),
        independent("closure", |f| boxed(process_fn(|frame| frame.samples_mut().reverse()), f), effects::reverses_frames),
        independent("restamp", |f| boxed(Restamp, f), effects::steadies_positions),
        independent("switch", switched_gain, |p| effects::level_changes_by(p, -6.0)),
        independent("absent", |f| boxed(None::<Gain>, f), effects::does_nothing),
        linked("chain", |f| boxed(Gain::db(6.0).then(NoiseGate { lookahead_ms: 3.0, ..NoiseGate::default() }), f), |p| effects::closes_on_soft_noise(p, -30.0, 6.0)),
    ];
    #[cfg(feature = "resample")]
    {
        use voxframe::Resample;
        use voxframe::resample::Quality;
        fn quick(sample_rate_hz: u32) -> Resample {
            Resample { sample_rate_hz, quality: Quality::LowLatency }
        }
        cases.extend([
            independent("resample to 48 kHz", |f| boxed(Resample::to(48_000), f), |p| effects::changes_the_rate(p, 16_000, 48_000)),
            independent("resample to 44.1 kHz", |f| boxed(Resample::to(44_100), f), |p| effects::changes_the_rate(p, 48_000, 44_100)),
            independent("resample to 16 kHz", |f| boxed(Resample::to(16_000), f), |p| effects::changes_the_rate(p, 44_100, 16_000)),
            independent("resample quickly to 48 kHz", |f| boxed(quick(48_000), f), |p| effects::changes_the_rate(p, 44_100, 48_000)),
            independent("resample quickly to 16 kHz", |f| boxed(quick(16_000), f), |p| effects::changes_the_rate(p, 48_000, 16_000)),
            independent("resample there and back", |f| boxed(Resample::to(48_000).then(Resample::to(f.sample_rate_hz())), f), |p| effects::delays_and_keeps_a_tone(p, 16_000)),
        ]);
    }
    #[cfg(feature = "loudness")]
    cases.push(independent("loudness", |f| boxed(voxframe::loudness::LoudnessMeter::default(), f), effects::tells_the_loudness));
    #[cfg(feature = "spectrum")]
    cases.push(independent("spectrum", |f| boxed(voxframe::spectrum::Spectrum::default(), f), effects::shows_a_tone));
    #[cfg(feature = "denoise")]
    {
        use voxframe::Denoise;
        cases.extend([
            linked("denoise", |f| boxed(Denoise::default(), f), effects::takes_noise_and_leaves_speech),
            independent("denoise, bypassed", |f| boxed(Denoise { bypassed: true, ..Denoise::default() }, f), |p| effects::delays_and_keeps_a_tone(p, 48_000)),
        ]);
    }
    #[cfg(feature = "hush")]
    {
        use voxframe::Denoise;
        use voxframe::denoise::Engine;
        cases.extend([
            linked("denoise, three networks", |f| boxed(Denoise { engine: Engine::Best, ..Denoise::default() }, f), effects::takes_noise_and_leaves_speech),
            independent("denoise, three networks, bypassed", |f| boxed(Denoise { engine: Engine::Best, bypassed: true, ..Denoise::default() }, f), |p| effects::delays_and_keeps_a_tone(p, 48_000)),
        ]);
    }
    #[cfg(all(feature = "denoise", feature = "resample"))]
    {
        use voxframe::Profile;
        cases.extend([
            linked("low-latency", |f| boxed(Profile::low_latency(), f), |p| effects::closes_on_soft_noise(p, -9.0, 0.0)),
            linked("balanced", |f| boxed(Profile::balanced(), f), effects::takes_noise_and_leaves_speech),
            linked("high-quality", |f| boxed(Profile::high_quality(), f), effects::takes_noise_and_leaves_speech),
        ]);
    }
    cases
}

/// The formats of the table that a stage takes.
pub fn formats(case: &Case) -> Vec<Format> {
    let mut formats = Vec::new();
    for rate in [8_000, 16_000, 44_100, 48_000, 96_000] {
        for channels in [1, 2] {
            for frame_ms in [10, 20] {
                let format = Format::new(rate, channels).unwrap().with_frame_ms(frame_ms).unwrap();
                if (case.prepare)(format).is_ok() {
                    formats.push(format);
                }
            }
        }
    }
    assert!(!formats.is_empty(), "{} takes no format", case.name);
    formats
}
