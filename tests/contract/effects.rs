//! What each stage does, as an assertion that neither a pass-through nor silence in its place would meet.

use std::f64::consts::TAU;

use voxframe::control::LiveStage;
use voxframe::echo::{EchoCancel, far_end};
use voxframe::input_check::InputCheck;
use voxframe::pipeline::FrameProcessor;
use voxframe::{Format, Frame, Handle, LevelMeter, Processor, Stage, VoiceActivity};
use voxframe_testkit::random::noise;
use voxframe_testkit::signal::{level, run};
use voxframe_testkit::wav::fixture;

use crate::cases::{Case, boxed};

/// Looks for an effect; what was found instead, if it is not there.
pub type Effect = fn(&Probe) -> Result<(), String>;

/// What may be put in the place of a stage.
pub type Swap = fn(Box<FrameProcessor>) -> Box<FrameProcessor>;

/// A stage whose effect is looked for, or what is in its place.
pub struct Probe<'a> {
    pub case: &'a Case,
    pub swap: Swap,
}

impl Probe<'_> {
    /// The stage of the case at a rate, in mono.
    fn at(&self, rate_hz: u32) -> Box<FrameProcessor> {
        (self.swap)((self.case.prepare)(Format::mono(rate_hz).unwrap()).unwrap())
    }

    /// Puts mono sound through it.
    fn through(&self, rate_hz: u32, sound: &[f32]) -> Vec<f32> {
        run(&mut *self.at(rate_hz), &[sound.to_vec()]).0.remove(0)
    }

    /// A stage with a handle, in mono at 48 kHz.
    fn live<S>(&self, stage: S) -> (Box<FrameProcessor>, Handle<S>)
    where
        S: LiveStage<Processor: Processor<Input = Frame, Output = Frame> + Send + 'static>,
    {
        let (stage, handle) = stage.live();
        ((self.swap)(boxed(stage, Format::mono(48_000).unwrap()).unwrap()), handle)
    }
}

/// Puts each frame through a pass-through.
pub fn pass_through(stage: Box<FrameProcessor>) -> Box<FrameProcessor> {
    Box::new(None::<voxframe::Gain>.prepare(stage.input_format()).unwrap())
}

/// Puts each frame through what makes it silent.
pub fn silence(stage: Box<FrameProcessor>) -> Box<FrameProcessor> {
    let silent = voxframe::pipeline::process_fn(|frame| frame.samples_mut().fill(0.0));
    Box::new(silent.prepare(stage.input_format()).unwrap())
}

fn within(what: &str, found: f32, range: std::ops::RangeInclusive<f32>) -> Result<(), String> {
    if range.contains(&found) { Ok(()) } else { Err(format!("{what}: {found}, not in {range:?}")) }
}

/// A second of a sine.
fn sine(hz: f64, amplitude: f64, rate_hz: u32) -> Vec<f32> {
    (0..rate_hz).map(|i| (amplitude * (TAU * hz * f64::from(i) / f64::from(rate_hz)).sin()) as f32).collect()
}

/// By how much the second half of a sound became louder, in dB.
fn change(before: &[f32], after: &[f32]) -> f32 {
    level(&after[after.len() / 2..]) - level(&before[before.len() / 2..])
}

pub fn level_changes_by(probe: &Probe, db: f32) -> Result<(), String> {
    let sound = noise(1, 48_000, 0.2);
    within("change in dB", change(&sound, &probe.through(48_000, &sound)), db - 0.1..=db + 0.1)
}

/// A gate: closed on noise of −75 dBFS, with a change of at most `closed_db`; open with a gain on noise of −25.
pub fn closes_on_soft_noise(probe: &Probe, closed_db: f32, open_db: f32) -> Result<(), String> {
    for (peak, range) in [(0.0003, -60.0..=closed_db), (0.1, open_db - 0.5..=open_db + 0.5)] {
        let sound: Vec<f32> = (0..2 * 48_000 / 160).flat_map(|i| noise(1 + i % 7, 160, peak)).collect();
        within("change in dB", change(&sound, &probe.through(16_000, &sound)), range)?;
    }
    Ok(())
}

pub fn tells_the_level(probe: &Probe) -> Result<(), String> {
    let (mut meter, handle) = probe.live(LevelMeter::default());
    run(&mut *meter, &[sine(1000.0, 0.5, 48_000)]);
    within("RMS in dBFS", handle.reading().overall_rms_dbfs(0), -9.04..=-9.02)?;
    within("peak in dBFS", handle.reading().overall_peak_dbfs(0), -6.03..=-6.01)
}

/// A high-pass: −20 dB at least at `hz`, nothing at 1 kHz.
pub fn takes_low_tones(probe: &Probe, hz: f64) -> Result<(), String> {
    for (hz, range) in [(hz, -90.0..=-20.0), (1000.0, -0.1..=0.1)] {
        let sound = sine(hz, 0.5, 48_000);
        within("change in dB", change(&sound, &probe.through(48_000, &sound)), range)?;
    }
    Ok(())
}

/// A limiter: a sine 6 dB over full scale comes out just under the ceiling.
pub fn holds_the_ceiling(probe: &Probe, ceiling_db: f32) -> Result<(), String> {
    let out = probe.through(48_000, &sine(1000.0, 2.0, 48_000));
    let peak = out[24_000..].iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    within("peak in dBFS", 20.0 * peak.log10(), ceiling_db - 0.3..=ceiling_db + 0.01)
}

/// Automatic gain: speech of about −40 dBov becomes at least 10 dB louder.
pub fn raises_soft_speech(probe: &Probe) -> Result<(), String> {
    let sound: Vec<f32> = fixture("speech_clean.wav")[0].iter().map(|sample| sample * 0.1).collect();
    within("change in dB", change(&sound, &probe.through(48_000, &sound)), 10.0..=25.0)
}

pub fn tells_speech_from_silence(probe: &Probe) -> Result<(), String> {
    let (mut stage, handle) = probe.live(VoiceActivity::default());
    let speech = fixture("speech_clean.wav").remove(0);
    // Silence for half a second, and then speech with a pause.
    run(&mut *stage, &[speech[..24_000].to_vec()]);
    within("ms of speech in silence", handle.reading().speech_ms as f32, 0.0..=0.0)?;
    run(&mut *stage, &[speech[24_000..].to_vec()]);
    within("ms of speech", handle.reading().speech_ms as f32, 2000.0..=4200.0)
}

/// Echo cancellation: an echo falls by 20 dB at least, and speech while the far end is silent by nothing.
pub fn cancels_echo(probe: &Probe) -> Result<(), String> {
    let format = Format::mono(16_000).unwrap();
    let (mut far_end, reference) = far_end(format);
    let mut stage = (probe.swap)(boxed(EchoCancel::default().with_far_end(&reference), format).unwrap());
    let voice: Vec<f32> = fixture("speech_clean.wav")[0].chunks_exact(3).map(|three| three[1]).collect();
    let mut far = voice.clone();
    far.resize(2 * voice.len(), 0.0);
    // An echo after 100 ms, and then the same words from the near end.
    let late = std::iter::repeat_n(&0.0, 1600).chain(&voice).map(|sample| 0.5 * sample);
    let near: Vec<f32> = late.take(voice.len()).chain(voice.iter().copied()).collect();
    let mut out = Vec::new();
    for (index, (far, near)) in far.chunks_exact(160).zip(near.chunks_exact(160)).enumerate() {
        let mut frame = Frame::new(format);
        frame.set_position(160 * index as i64);
        frame.samples_mut().copy_from_slice(far);
        far_end.push(&frame).unwrap();
        frame.samples_mut().copy_from_slice(near);
        out.extend_from_slice(stage.process(&mut frame).unwrap().unwrap().samples());
    }
    let change = |from: usize, to: usize| level(&out[from + 160..to + 160]) - level(&near[from..to]);
    within("change of the echo in dB", change(32_000, 64_000), -100.0..=-20.0)?;
    within("change of the near end in dB", change(voice.len() + 16_000, out.len() - 4000), -0.1..=0.1)
}

pub fn counts_what_is_no_sound(probe: &Probe) -> Result<(), String> {
    let (mut check, handle) = probe.live(InputCheck::default());
    let mut sound = noise(1, 48_000, 0.1);
    sound[1000..1007].fill(f32::NAN);
    run(&mut *check, &[sound]);
    within("samples that are none", handle.reading().invalid as f32, 7.0..=7.0)
}

pub fn reverses_frames(probe: &Probe) -> Result<(), String> {
    let sound = noise(1, 480, 0.1);
    let wanted: Vec<f32> = sound.iter().rev().copied().collect();
    if probe.through(48_000, &sound) == wanted { Ok(()) } else { Err("not reversed".into()) }
}

pub fn does_nothing(probe: &Probe) -> Result<(), String> {
    let sound = noise(1, 4800, 0.1);
    if probe.through(48_000, &sound) == sound { Ok(()) } else { Err("the sound is changed".into()) }
}

/// How much of a sound of whole periods of 1 kHz is a tone of 1 kHz: the level of that tone in dB below a full-scale
/// sine, and of all the rest.
#[cfg(feature = "resample")]
fn tone(sound: &[f32], rate_hz: u32) -> [f32; 2] {
    let step = TAU * 1000.0 / f64::from(rate_hz);
    let part = |wave: fn(f64) -> f64| -> f64 {
        let products = sound.iter().enumerate().map(|(i, s)| f64::from(*s) * wave(step * i as f64));
        2.0 * products.sum::<f64>() / sound.len() as f64
    };
    let (re, im) = (part(f64::cos), part(f64::sin));
    let wave = |i: usize| re * (step * i as f64).cos() + im * (step * i as f64).sin();
    let rest: Vec<f32> = sound.iter().enumerate().map(|(i, s)| s - wave(i) as f32).collect();
    [20.0 * re.hypot(im).log10() as f32, level(&rest)]
}

/// A resampler: another rate, and in it the same tone and nothing else.
#[cfg(feature = "resample")]
pub fn changes_the_rate(probe: &Probe, from_hz: u32, to_hz: u32) -> Result<(), String> {
    within("rate", probe.at(from_hz).output_format().sample_rate_hz() as f32, to_hz as f32..=to_hz as f32)?;
    let out = probe.through(from_hz, &sine(1000.0, 0.5, from_hz));
    within("samples", out.len() as f32, to_hz as f32..=to_hz as f32)?;
    let [tone, rest] = tone(&out[out.len() / 2..], to_hz);
    within("tone in dB", tone, -6.12..=-5.92)?;
    within("rest in dBFS", rest, -120.0..=-80.0)
}

/// What only delays: by as much as it says.
#[cfg(any(feature = "resample", feature = "denoise"))]
pub fn delays_and_keeps_a_tone(probe: &Probe, rate_hz: u32) -> Result<(), String> {
    let latency = probe.at(rate_hz).latency();
    within("latency", latency as f32, 1.0..=1000.0)?;
    // It fades in, so that there is nothing above its band.
    let fade = |i: usize| (i as f32 / 2000.0).min(1.0);
    let sound: Vec<f32> = sine(440.0, 0.5, rate_hz).iter().enumerate().map(|(i, s)| s * fade(i)).collect();
    let out = probe.through(rate_hz, &sound);
    let error: Vec<f32> = out[latency..].iter().zip(&sound).map(|(out, sound)| out - sound).collect();
    within("error in dBFS", level(&error[error.len() / 2..]), -120.0..=-60.0)
}

/// A sine of 997 Hz at full scale in one channel has −3.01 LUFS (BS.1770-4).
#[cfg(feature = "loudness")]
pub fn tells_the_loudness(probe: &Probe) -> Result<(), String> {
    let (mut meter, handle) = probe.live(voxframe::loudness::LoudnessMeter::default());
    run(&mut *meter, &[sine(997.0, 0.1, 48_000)]);
    within("integrated loudness in LUFS", handle.reading().integrated_lufs(), -23.05..=-22.97)
}

#[cfg(feature = "spectrum")]
pub fn shows_a_tone(probe: &Probe) -> Result<(), String> {
    let (stage, mut analyser) = voxframe::spectrum::Spectrum::default().live();
    let mut stage = (probe.swap)(boxed(stage, Format::mono(48_000).unwrap()).unwrap());
    run(&mut *stage, &[sine(3000.0, 0.5, 48_000)]);
    let mut levels = vec![0.0; analyser.bins()];
    analyser.float_frequency_data(&mut levels);
    let loudest = (0..levels.len()).max_by(|&a, &b| levels[a].total_cmp(&levels[b])).unwrap_or(0);
    let hz = 24_000.0 * loudest as f32 / levels.len() as f32;
    within("loudest frequency in Hz", hz, 2970.0..=3030.0)?;
    // Half of full scale, on both sides of the spectrum, the gain of a Blackman window, and one step of smoothing.
    let wanted = 20.0 * (0.5f32 * 0.5 * 0.42 * 0.2).log10();
    within("level in dB", levels[loudest], wanted - 0.5..=wanted + 0.5)
}

/// Noise suppression: the noise before the first word falls by 10 dB at least, the words by 3 at most.
#[cfg(feature = "denoise")]
pub fn takes_noise_and_leaves_speech(probe: &Probe) -> Result<(), String> {
    let noisy = fixture("speech_noisy.wav").remove(0);
    let latency = probe.at(48_000).latency();
    let out = probe.through(48_000, &noisy);
    let change = |range: std::ops::Range<usize>| level(&out[latency..][range.clone()]) - level(&noisy[range]);
    within("change of the noise in dB", change(12_000..21_600), -100.0..=-10.0)?;
    within("change of the speech in dB", change(26_000..120_000), -3.0..=10.0)
}

/// Positions that stand still and leap count on; the sound stays.
pub fn steadies_positions(probe: &Probe) -> Result<(), String> {
    let mut stage = probe.at(48_000);
    let mut frame = Frame::new(stage.input_format());
    for (index, position) in [7, 7, 9000, -3, 480].into_iter().enumerate() {
        frame.set_position(position);
        frame.samples_mut().fill(0.5);
        let out = stage.process(&mut frame).unwrap().unwrap();
        if out.position() != index as i64 * 480 || out.samples()[100] != 0.5 {
            return Err(format!("frame {index} at {}", out.position()));
        }
    }
    Ok(())
}
