//! Sound files in, a block at a time: memory does not grow with the file.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use voxframe::device::InputSelection;
use voxframe::{Capture, Format, Frame};
use voxframe_testkit::wav::{Encoding, Header, WavReader};

use super::compressed::CompressedReader;
use super::{Of, Result, note, rescale};

/// Below this no progress is shown.
const LONG_SECONDS: u64 = 60;

/// The most silence that is pushed behind a file to get its end out of every delay.
const TAIL_SECONDS: u32 = 2;

/// A sound file being read: WAV, FLAC, MP3 or Ogg Vorbis.
pub struct SoundInput {
    path: PathBuf,
    source: Source,
    shows_progress: bool,
}

impl SoundInput {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        let source = match CompressedReader::open(path).of(path)? {
            Some(compressed) => Source::Compressed(compressed),
            None => Source::Wav(WavReader::open(path).of(path)?),
        };
        let notes = match &source {
            Source::Wav(wav) => wav.notes(),
            Source::Compressed(compressed) => compressed.notes(),
        };
        notes.iter().for_each(|what| note(path, what));
        Ok(Self { path: path.to_owned(), source, shows_progress: true })
    }

    /// Shows no progress, where it is one of many.
    pub fn hide_progress(&mut self) {
        self.shows_progress = false;
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn header(&self) -> &Header {
        match &self.source {
            Source::Wav(wav) => wav.header(),
            Source::Compressed(compressed) => compressed.header(),
        }
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
        match &mut self.source {
            Source::Wav(wav) => wav.next_block().of(&self.path),
            Source::Compressed(compressed) => compressed.next_block().of(&self.path),
        }
    }

    /// Samples, all channels together, that are not read yet.
    fn left(&self) -> u64 {
        match &self.source {
            Source::Wav(wav) => wav.left(),
            Source::Compressed(compressed) => compressed.left(),
        }
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
        while !(done && self.left() == 0) {
            let read = self.next_block()?;
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
        ProgressBar::new(self.left()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }
}

/// What reads the file.
enum Source {
    Wav(WavReader),
    Compressed(CompressedReader),
}
