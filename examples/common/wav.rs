//! WAV files in and out, a block at a time: memory does not grow with the file.

use std::fs::File;
use std::io::{BufWriter, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hound::{SampleFormat, WavSpec, WavWriter};
use indicatif::{ProgressBar, ProgressStyle};
use voxframe::device::InputSelection;
use voxframe::{Capture, Format, Frame};
use voxframe_testkit::wav::{Encoding, Header, WavReader};

use super::output::Output;
use super::{Of, Result, note, rescale};

/// Below this no progress is shown.
const LONG_SECONDS: u64 = 60;

/// The most silence that is pushed behind a file to get its end out of every delay.
const TAIL_SECONDS: u32 = 2;

/// A WAV file being read.
pub struct WavInput {
    path: PathBuf,
    wav: WavReader,
    shows_progress: bool,
}

impl WavInput {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        let wav = WavReader::open(path).of(path)?;
        wav.notes().iter().for_each(|what| note(path, what));
        Ok(Self { path: path.to_owned(), wav, shows_progress: true })
    }

    /// Shows no progress, where it is one of many.
    pub fn hide_progress(&mut self) {
        self.shows_progress = false;
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn header(&self) -> &Header {
        self.wav.header()
    }

    /// Whether 16-bit PCM can hold what is in it.
    pub fn fits_16_bits(&self) -> bool {
        self.header().encoding != Encoding::Float && self.header().bits <= 16
    }

    pub fn seconds(&self) -> f64 {
        self.header().samples as f64 / f64::from(self.header().sample_rate_hz)
    }

    /// Its length in samples per channel at another rate.
    pub fn samples_at(&self, rate_hz: u32) -> u64 {
        rescale(self.header().samples, self.header().sample_rate_hz, rate_hz)
    }

    /// Frames for its sound: at its own rate, or at 48 kHz where that fits no frame; more than two channels mixed to
    /// stereo.
    pub fn capture(&self) -> Result<Capture> {
        let Header { sample_rate_hz, channels, .. } = *self.header();
        let rate_hz = if sample_rate_hz % 100 == 0 { sample_rate_hz } else { 48_000 };
        let format = Format::new(rate_hz, channels.min(2)).of(&self.path)?;
        let mut capture = Capture::new(sample_rate_hz, channels, format).of(&self.path)?;
        capture.select(InputSelection::SpeakerDownmix).of(&self.path)?;
        Ok(capture)
    }

    /// The next samples, interleaved; none at the end.
    pub fn next_block(&mut self) -> Result<&[f32]> {
        self.wav.next_block().of(&self.path)
    }

    /// Pushes all of it through `capture`, and then silence, until `each` has got a frame at which it returns `true`.
    /// Returns the time that took, without the time in `each`.
    pub fn feed(
        &mut self,
        capture: &mut Capture,
        mut each: impl FnMut(&mut Frame) -> Result<bool>,
    ) -> Result<Duration> {
        let bar = self.progress();
        let mut own = Duration::ZERO;
        let mut done = false;
        let silence = vec![0.0; self.header().channels * (self.header().sample_rate_hz as usize / 100)];
        let mut tail = 0;
        while !(done && self.wav.left() == 0) {
            let read = self.wav.next_block().of(&self.path)?;
            let is_tail = read.is_empty();
            let block = if is_tail { &silence } else { read };
            let start = Instant::now();
            let mut inside = Duration::ZERO;
            capture.push_interleaved(block, |frame| -> Result {
                let start = Instant::now();
                done = each(frame)?;
                inside += start.elapsed();
                Ok(())
            })?;
            own += start.elapsed() - inside;
            bar.inc(block.len() as u64);
            tail += u32::from(is_tail);
            if tail > 100 * TAIL_SECONDS {
                return Err(format!("its end has not come out after {TAIL_SECONDS} s of silence")).of(&self.path);
            }
        }
        bar.finish_and_clear();
        Ok(own)
    }

    fn progress(&self) -> ProgressBar {
        let long = self.header().samples > LONG_SECONDS * u64::from(self.header().sample_rate_hz);
        if !self.shows_progress || !long || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{wide_bar} {percent} %, {eta} left");
        ProgressBar::new(self.wav.left()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }
}

/// A WAV file being written: 16-bit PCM, or 32-bit floats, which lose nothing of what was finer or louder than that.
pub struct WavOutput {
    // Before the file that it writes to, so that it is dropped first.
    writer: WavWriter<BufWriter<File>>,
    output: Output,
    samples: u64,
    energy: f64,
}

impl WavOutput {
    /// For `samples` samples per channel of the frames' rate and channels; of which it may be more in the end.
    pub fn create(path: &Path, format: Format, in_16_bits: bool, samples: u64) -> Result<Self> {
        let (bits_per_sample, sample_format) =
            if in_16_bits { (16, SampleFormat::Int) } else { (32, SampleFormat::Float) };
        let sample_rate = format.sample_rate_hz();
        let spec = WavSpec { channels: format.channels() as u16, sample_rate, bits_per_sample, sample_format };
        check_size(&spec, samples).of(path)?;
        let (output, file) = Output::create(path)?;
        Ok(Self { writer: WavWriter::new(file, spec).of(path)?, output, samples: 0, energy: 0.0 })
    }

    /// Writes the samples of a frame whose positions are 0 or more, and less than `end`.
    pub fn write(&mut self, frame: &Frame, end: i64) -> Result {
        let length = frame.format().samples_per_channel();
        let within =
            |position: i64| usize::try_from(position.saturating_sub(frame.position())).unwrap_or(0).min(length);
        let (from, to) = (within(0), within(end.max(0)));
        check_size(&self.writer.spec(), self.samples + (to - from) as u64).of(self.output.path())?;
        for index in from..to {
            for channel in frame.channels() {
                let sample = channel[index];
                self.energy += f64::from(sample).powi(2);
                let written = match self.writer.spec().sample_format {
                    SampleFormat::Float => self.writer.write_sample(sample),
                    // The cast saturates.
                    SampleFormat::Int => self.writer.write_sample((sample * 32_768.0).round() as i16),
                };
                written.of(self.output.path())?;
            }
        }
        self.samples += (to - from) as u64;
        Ok(())
    }

    /// Samples per channel so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    pub fn seconds(&self) -> f64 {
        self.samples as f64 / f64::from(self.writer.spec().sample_rate)
    }

    /// RMS of all samples so far, before they were rounded.
    pub fn rms(&self) -> f32 {
        let samples = self.samples * u64::from(self.writer.spec().channels);
        (self.energy / samples.max(1) as f64).sqrt() as f32
    }

    /// Completes the file, but for its name.
    pub fn finish(self) -> Result<Output> {
        self.writer.finalize().of(self.output.path())?;
        Ok(self.output)
    }
}

/// A WAV file counts its bytes in 32 bits; hound does not look.
fn check_size(spec: &WavSpec, samples: u64) -> Result<(), &'static str> {
    const HEADER: u64 = 68;
    let bytes = samples * u64::from(spec.channels) * u64::from(spec.bits_per_sample / 8);
    if bytes + HEADER <= u32::MAX.into() { Ok(()) } else { Err("would be larger than a WAV file can be (4 GiB)") }
}
