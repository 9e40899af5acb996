//! Noise suppression alone, on recordings: how the engines of `Denoise` are scored.
//!
//! `cargo run --release --example denoise -- target/clean --engine best --depth 60 fixtures/speech_noisy.wav`

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Parser;
use voxframe::denoise::Engine;
use voxframe::{Denoise, Format, Frame, Processor, Stage};

/// Takes the noise out of WAV files. Each output is as long as its input, the delay taken off, in 32-bit floats.
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

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.folder)?;
    let denoise = Denoise { engine: args.engine, ..Denoise::db(args.depth) };
    for input in &args.inputs {
        let name = input.file_name().ok_or("an input without a name")?;
        run(denoise, input, &args.folder.join(name))?;
    }
    Ok(())
}

fn run(denoise: Denoise, input: &Path, output: &Path) -> Result<(), Box<dyn Error>> {
    let mut wav = hound::WavReader::open(input)?;
    let spec = wav.spec();
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => wav.samples::<f32>().collect::<Result<_, _>>()?,
        hound::SampleFormat::Int => {
            let scale = 1.0 / (1u64 << (spec.bits_per_sample - 1)) as f32;
            wav.samples::<i32>().map(|sample| Ok(sample? as f32 * scale)).collect::<Result<_, hound::Error>>()?
        }
    };
    let channels = usize::from(spec.channels);
    let format = Format::new(spec.sample_rate, channels)?;
    let mut processor = denoise.prepare(format)?;
    let spec = hound::WavSpec { bits_per_sample: 32, sample_format: hound::SampleFormat::Float, ..spec };
    let mut out = hound::WavWriter::create(output, spec)?;

    let frame_samples = format.samples_per_channel() * channels;
    let (mut skip, mut left) = (processor.latency() * channels, samples.len());
    let mut blocks = samples.chunks(frame_samples).chain(std::iter::repeat(&[][..]));
    let mut frame = Frame::new(format);
    while left > 0 {
        let block = blocks.next().unwrap_or_default();
        for (channel, samples) in frame.channels_mut().enumerate() {
            let mut sound = block.iter().skip(channel).step_by(channels);
            samples.fill_with(|| sound.next().copied().unwrap_or(0.0));
        }
        let Some(frame) = processor.process(&mut frame)? else { continue };
        let length = format.samples_per_channel();
        let sound = (0..frame_samples).map(|i| frame.samples()[i % channels * length + i / channels]);
        for sample in sound.skip(skip.min(frame_samples)).take(left) {
            out.write_sample(sample)?;
            left -= 1;
        }
        skip = skip.saturating_sub(frame_samples);
    }
    out.finalize()?;
    Ok(())
}
