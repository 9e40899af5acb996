//! A recording through the stages of a profile, into files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use voxframe::opus::OpusEncodeProcessor;
use voxframe::{Capture, Pipeline, Processor, Profile, Stage};

use super::input::SoundInput;
use super::ogg_opus::OpusOutput;
use super::output::Output;
use super::report::Report;
use super::wav::WavOutput;
use super::{Failure, Of, Result};

/// What is done to a recording.
#[derive(Args)]
pub struct Processing {
    /// low-latency, balanced or high-quality
    #[arg(long, default_value = "balanced")]
    pub profile: Profile,
    /// Leave the level of the speech as it is: no automatic gain
    #[arg(long)]
    pub keep_level: bool,
}

/// A recording with everything that is made of it, ready to run.
pub struct Job {
    capture: Capture,
    pipeline: Pipeline,
    encoder: OpusEncodeProcessor,
    wav: WavOutput,
    opus: Option<OpusOutput>,
    samples: u64,
    report: Report,
}

impl Job {
    /// Opens all files. Whatever is wrong with them, or with the settings, is found here.
    pub fn create(input: &SoundInput, settings: &Processing, output: &Path, opus: Option<&PathBuf>) -> Result<Self> {
        let capture = input.capture()?;
        let mut profile = settings.profile;
        profile.auto_gain = profile.auto_gain.filter(|_| !settings.keep_level);
        let pipeline = profile.prepare(capture.output_format()).of(input.path())?;
        let format = pipeline.output_format();
        let encoder = profile.encoder(format.channels()).prepare(format).of(input.path())?;
        let samples = input.samples_at(format.sample_rate_hz());
        let wav = WavOutput::create(output, format, input.fits_16_bits(), Some(samples))?;
        let opus = opus.map(|path| OpusOutput::create(path, format.channels(), input)).transpose()?;
        let report = Report::new(&profile, input, &capture, &pipeline);
        Ok(Self { capture, pipeline, encoder, wav, opus, samples, report })
    }

    /// Processes all of it: what was found out, and files that are complete but for their names. `stopped` is asked before
    /// each frame, and ends it as a failure.
    pub fn run(mut self, input: &mut SoundInput, stopped: impl Fn() -> bool) -> Result<(Report, Vec<Output>)> {
        let edge = self.feed(input, stopped)?;
        self.report.finish(edge, &self.wav, self.opus.as_ref());
        let mut outputs = vec![self.wav.finish()?];
        outputs.extend(self.opus.map(OpusOutput::finish).transpose()?);
        Ok((self.report, outputs))
    }

    fn feed(&mut self, input: &mut SoundInput, stopped: impl Fn() -> bool) -> Result<Duration> {
        let Self { capture, pipeline, encoder, wav, opus, samples, report } = self;
        input.feed(capture, |frame| {
            if stopped() {
                return Err(Failure("stopped".into()));
            }
            report.count(frame);
            let Some(frame) = report.run_stages(pipeline, frame)? else { return Ok(false) };
            wav.write(frame, *samples as i64)?;
            if let Some(opus) = opus
                && let Some(packet) = report.encode(encoder, frame)?
            {
                opus.write(packet)?;
            }
            Ok(wav.samples() == *samples && opus.as_ref().is_none_or(OpusOutput::is_full))
        })
    }
}
