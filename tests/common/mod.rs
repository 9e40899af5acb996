//! What the tests share: every frame stage in one table, and sounds to put through it.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::PathBuf;

use voxframe::input_check::InputCheck;
use voxframe::pipeline::{FrameProcessor, process_fn};
use voxframe::{
    AutoGain, Format, Frame, Gain, HighPass, LevelMeter, Limiter, NoiseGate, Processor, Result, Stage, VoiceActivity,
};

/// A stage under test.
pub struct Case {
    pub name: &'static str,
    pub prepare: fn(Format) -> Result<Box<FrameProcessor>>,
    /// Whether a channel may influence the other: then not two mono runs are asked for, but that the balance stays.
    pub linked: bool,
}

fn boxed<S>(stage: S, format: Format) -> Result<Box<FrameProcessor>>
where
    S: Stage<Processor: Processor<Input = Frame, Output = Frame> + Send + 'static>,
{
    Ok(Box::new(stage.prepare(format)?))
}

/// Every stage from frames to frames, and what is made of them. A new stage is one line here.
pub fn cases() -> Vec<Case> {
    let independent = |name, prepare| Case { name, prepare, linked: false };
    let linked = |name, prepare| Case { name, prepare, linked: true };
    #[allow(unused_mut, reason = "without features there is nothing to add")]
    let mut cases = vec![
        independent("gain", |f| boxed(Gain::db(-6.0), f)),
        linked("gate", |f| boxed(NoiseGate::default(), f)),
        linked("gate, lookahead", |f| boxed(NoiseGate { lookahead_ms: 7.3, ..NoiseGate::default() }, f)),
        independent("meter", |f| boxed(LevelMeter::default(), f)),
        independent("high-pass", |f| boxed(HighPass::default(), f)),
        linked("high-pass against rumble", |f| boxed(HighPass { rumble_db: -20.0, ..HighPass::default() }, f)),
        independent("high-pass, 2nd order", |f| boxed(HighPass { order: 2, ..HighPass::hz(120.0) }, f)),
        linked("limiter", |f| boxed(Limiter::default(), f)),
        linked("limiter, no lookahead", |f| boxed(Limiter { lookahead_ms: 0.0, ..Limiter::default() }, f)),
        linked("limiter, 5 ms", |f| boxed(Limiter { lookahead_ms: 5.0, ..Limiter::db(-6.0) }, f)),
        linked("automatic gain", |f| boxed(AutoGain::default(), f)),
        independent("voice activity", |f| boxed(VoiceActivity::default(), f)),
        independent("scrub", |f| boxed(InputCheck::default(), f)),
        independent("closure", |f| boxed(process_fn(|frame| frame.samples_mut().reverse()), f)),
        independent("absent", |f| boxed(None::<Gain>, f)),
        linked("chain", |f| boxed(Gain::db(6.0).then(NoiseGate { lookahead_ms: 3.0, ..NoiseGate::default() }), f)),
    ];
    #[cfg(feature = "resample")]
    {
        use voxframe::Resample;
        use voxframe::resample::Quality;
        fn quick(sample_rate_hz: u32) -> Resample {
            Resample { sample_rate_hz, quality: Quality::LowLatency }
        }
        cases.extend([
            independent("resample to 48 kHz", |f| boxed(Resample::to(48_000), f)),
            independent("resample to 44.1 kHz", |f| boxed(Resample::to(44_100), f)),
            independent("resample to 16 kHz", |f| boxed(Resample::to(16_000), f)),
            independent("resample quickly to 48 kHz", |f| boxed(quick(48_000), f)),
            independent("resample quickly to 16 kHz", |f| boxed(quick(16_000), f)),
            independent("resample there and back", |f| {
                boxed(Resample::to(48_000).then(Resample::to(f.sample_rate_hz())), f)
            }),
        ]);
    }
    #[cfg(feature = "loudness")]
    cases.push(independent("loudness", |f| boxed(voxframe::loudness::LoudnessMeter::default(), f)));
    #[cfg(feature = "spectrum")]
    cases.push(independent("spectrum", |f| boxed(voxframe::spectrum::Spectrum::default(), f)));
    #[cfg(feature = "denoise")]
    {
        use voxframe::Denoise;
        cases.extend([
            linked("denoise", |f| boxed(Denoise::default(), f)),
            independent("denoise, bypassed", |f| boxed(Denoise { bypassed: true, ..Denoise::default() }, f)),
        ]);
    }
    #[cfg(feature = "hush")]
    {
        use voxframe::Denoise;
        use voxframe::denoise::Engine;
        cases.extend([
            linked("denoise by Hush", |f| boxed(Denoise { engine: Engine::Hush, ..Denoise::default() }, f)),
            independent("denoise by Hush, bypassed", |f| {
                boxed(Denoise { engine: Engine::Hush, bypassed: true, ..Denoise::default() }, f)
            }),
        ]);
    }
    #[cfg(all(feature = "denoise", feature = "resample"))]
    {
        use voxframe::Profile;
        cases.extend([
            linked("low-latency", |f| boxed(Profile::low_latency(), f)),
            linked("balanced", |f| boxed(Profile::balanced(), f)),
            linked("high-quality", |f| boxed(Profile::high_quality(), f)),
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

/// Planar sound through a processor, frame by frame; the positions of what came out, too.
pub fn run(processor: &mut FrameProcessor, channels: &[Vec<f32>]) -> (Vec<Vec<f32>>, Vec<i64>) {
    let format = processor.input_format();
    let length = format.samples_per_channel();
    let mut out = vec![Vec::new(); format.channels()];
    let mut positions = Vec::new();
    for start in (0..channels[0].len()).step_by(length) {
        let mut frame = Frame::new(format);
        frame.set_position(start as i64);
        for (to, from) in frame.channels_mut().zip(channels) {
            let from = &from[start..from.len().min(start + length)];
            to[..from.len()].copy_from_slice(from);
        }
        if let Some(frame) = processor.process(&mut frame).unwrap() {
            positions.push(frame.position());
            for (to, from) in out.iter_mut().zip(frame.channels()) {
                to.extend_from_slice(from);
            }
        }
    }
    (out, positions)
}

/// White noise in ±`peak`, the same for a seed.
pub fn noise(seed: u64, samples: usize, peak: f32) -> Vec<f32> {
    use dasp::Signal;
    dasp::signal::noise(seed).take(samples).map(|s| s as f32 * peak).collect()
}

/// A bundled recording, 48 kHz mono unless its name says otherwise, planar.
pub fn fixture(name: &str) -> Vec<Vec<f32>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    let mut reader = hound::WavReader::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let count = usize::from(reader.spec().channels);
    let mut channels = vec![Vec::new(); count];
    for (index, sample) in reader.samples::<i16>().enumerate() {
        channels[index % count].push(f32::from(sample.unwrap()) / 32_768.0);
    }
    channels
}

/// The delay in samples at which `out` is most like `reference`, from −`most` to `most`.
pub fn delay(reference: &[f32], out: &[f32], most: i64) -> i64 {
    let likeness = |lag: i64| -> f64 {
        let from = lag.max(0) as usize;
        let skip = (-lag).max(0) as usize;
        let reference = &reference[skip.min(reference.len())..];
        let out = &out[from.min(out.len())..];
        reference.iter().zip(out).map(|(a, b)| f64::from(a * b)).sum()
    };
    (-most..=most).max_by(|&a, &b| likeness(a).total_cmp(&likeness(b))).unwrap()
}

/// RMS in dBFS.
pub fn level(samples: &[f32]) -> f32 {
    voxframe::level::rms_dbfs(samples)
}
