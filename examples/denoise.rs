//! Noise suppression alone, on recordings: how the engines of `Denoise` are scored.
//!
//! `cargo run --release --example denoise -- target/clean --engine best --depth 60 fixtures/speech_noisy.wav`

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use common::identity::all_different;
use common::input::SoundInput;
use common::output::commit;
use common::wav::WavOutput;
use common::{Of, Result};
use voxframe::denoise::Engine;
use voxframe::{Denoise, Processor, Stage};

/// Takes the noise out of sound files. Each output, a WAV file, is as long as its input, the delay taken off, in 32-bit floats.
#[derive(Parser)]
struct Args {
    /// The folder to write to
    folder: PathBuf,
    /// Recordings at 48 kHz, mono or stereo
    inputs: Vec<PathBuf>,
    /// light, standard or best
    #[arg(long, default_value = "standard", value_parser = engine)]
    engine: Engine,
    /// Maximum noise suppression in dB
    #[arg(long, default_value_t = 100.0)]
    depth: f32,
}

fn engine(name: &str) -> Result<Engine, String> {
    match name {
        "light" => Ok(Engine::Light),
        "standard" => Ok(Engine::Standard),
        "best" => Ok(Engine::Best),
        _ => Err("light, standard or best".into()),
    }
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let denoise = Denoise { engine: args.engine, ..Denoise::db(args.depth) };
    let output = |input: &PathBuf| -> Result<PathBuf> {
        let name = input.file_name().ok_or("is not the name of a file").of(input)?;
        Ok(args.folder.join(name).with_extension("wav"))
    };
    let outputs = args.inputs.iter().map(output).collect::<Result<Vec<_>>>()?;
    std::fs::create_dir_all(&args.folder).of(&args.folder)?;
    all_different(args.inputs.iter().chain(&outputs))?;
    args.inputs.iter().zip(&outputs).try_for_each(|(input, output)| run_one(denoise, input, output))
}

fn run_one(denoise: Denoise, input: &Path, output: &Path) -> Result {
    let mut input = SoundInput::open(input)?;
    let mut capture = input.capture()?;
    let format = capture.output_format();
    let mut processor = denoise.prepare(format).of(input.path())?;
    let samples = input.samples_at(format.sample_rate_hz());
    let mut wav = WavOutput::create(output, format, false, Some(samples))?;
    input.feed(&mut capture, |frame| {
        if let Some(frame) = processor.process(frame)? {
            wav.write(frame, samples as i64)?;
        }
        Ok(wav.samples() == samples)
    })?;
    commit(vec![wav.finish()?])
}
