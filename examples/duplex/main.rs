//! A recording with echo, and what the far end played: the echo taken out, and how much of it over time.
//!
//! `cargo run --release --example duplex -- FAR.wav MIC.wav OUT.wav --plot echo.png`

#[path = "../common/mod.rs"]
mod common;
mod far;
mod log;
mod picture;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use common::canvas::PngOutput;
use common::identity::all_different;
use common::input::SoundInput;
use common::json::JsonOutput;
use common::output::{commit, print};
use common::wav::WavOutput;
use common::{Of, Result};
use far::FarInput;
use log::Log;
use voxframe::echo::{EchoCancel, Suppression, far_end};
use voxframe::{Frame, Live, Processor, Stage};

/// Takes the echo of FAR out of MIC.
///
/// OUTPUT has exactly the length of MIC, the delay taken off, at its rate; 16-bit PCM if MIC holds no more than 16 bits,
/// else 32-bit floats. Each begins when the other does; a FAR that ends early is silent from then on.
#[derive(Parser)]
struct Args {
    /// What the loudspeaker plays: PCM of 8 to 32 bits, 1 to 8 channels, 8 to 192 kHz
    far: PathBuf,
    /// What the microphone hears: the same
    mic: PathBuf,
    /// The WAV file to write
    output: PathBuf,
    /// Also write what the linear filter alone leaves
    #[arg(long, value_name = "FILE")]
    linear: Option<PathBuf>,
    /// How much of the rest is suppressed
    #[arg(long, default_value = "full")]
    suppression: Strength,
    /// Expected delay of the echo; 0: unknown
    #[arg(long, default_value_t = 0.0)]
    delay_hint_ms: f32,
    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Also write a picture of levels, ERLE, delay and drift over time, a PNG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Strength {
    Off,
    Light,
    Full,
}

impl From<Strength> for Suppression {
    fn from(strength: Strength) -> Self {
        match strength {
            Strength::Off => Self::Off,
            Strength::Light => Self::Light,
            Strength::Full => Self::Full,
        }
    }
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let mut mic = SoundInput::open(&args.mic)?;
    let mut far = FarInput::open(&args.far)?;
    let mut capture = mic.capture()?;
    let format = capture.output_format();
    let (mut far_end, reference) = far_end(far.format());
    let settings =
        EchoCancel { suppression: args.suppression.into(), delay_hint_ms: args.delay_hint_ms, ..EchoCancel::default() };
    let (stage, control) = settings.live();
    let mut canceller = stage.with_far_end(&reference).prepare(format).of(&args.mic)?;
    let linear = EchoCancel { suppression: Suppression::Off, ..settings };
    let mut linear = linear.with_far_end(&reference).prepare(format).of(&args.mic)?;

    all_different(
        [&args.far, &args.mic, &args.output].into_iter().chain(&args.linear).chain(&args.report).chain(&args.plot),
    )?;
    let samples = mic.samples_at(format.sample_rate_hz());
    let mut wav = WavOutput::create(&args.output, format, mic.fits_16_bits(), Some(samples))?;
    let create = |path: &PathBuf| WavOutput::create(path, format, mic.fits_16_bits(), Some(samples));
    let mut linear_wav = args.linear.as_ref().map(create).transpose()?;
    let json = args.report.as_ref().map(|path| JsonOutput::create(path)).transpose()?;
    let png = args.plot.as_ref().map(|path| PngOutput::create(path)).transpose()?;

    let mut log = Log::new(&canceller);
    let mut copy = Frame::new(format);
    mic.feed(&mut capture, |frame| {
        let played = far.next_frame()?;
        far_end.push(played)?;
        log.note_far(played);
        log.note_mic(frame);
        copy.copy_from(frame)?;
        let start = Instant::now();
        let frame = canceller.process(frame)?;
        log.note_time(start.elapsed());
        if let Some(frame) = frame {
            log.note_out(frame, control.reading());
            wav.write(frame, samples as i64)?;
        }
        if let Some(wav) = &mut linear_wav
            && let Some(frame) = linear.process(&mut copy)?
        {
            wav.write(frame, samples as i64)?;
        }
        Ok(wav.samples() == samples)
    })?;

    let mut outputs = vec![wav.finish()?];
    outputs.extend(linear_wav.map(WavOutput::finish).transpose()?);
    outputs.extend(json.map(|json| json.finish(&log.to_json())).transpose()?);
    outputs.extend(png.map(|png| png.finish(picture::draw(&log))).transpose()?);
    commit(outputs)?;
    print(&log.to_string())
}
