//! Sound files in, a block at a time: memory does not grow with the file.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use voxframe::device::InputSelection;
use voxframe::{Capture, Format, Frame};
use voxframe_testkit::file_kind::file_kind;
use voxframe_testkit::wav::{Encoding, Header, WavReader};

use super::compressed::CompressedSource;
#[cfg(all(feature = "opus", feature = "ogg"))]
use super::opus_sound::OpusSource;
use super::{Of, Result, note, rescale};

/// How WAV files begin.
const WAV_KINDS: [&[u8]; 3] = [b"RIFF", b"RF64", b"BW64"];

/// Below this no progress is shown.
const LONG_SECONDS: u64 = 60;

/// The most silence that is pushed behind a file to get its end out of every delay.
const TAIL_SECONDS: u32 = 2;

/// What gives the samples of a file, whatever its kind.
pub trait SoundSource {
    /// Puts the next samples into `block`, which is empty, interleaved; none at the end. `path` is for errors.
    fn read(&mut self, path: &Path, block: &mut Vec<f32>) -> Result;

    /// What was found wrong while the samples were read.
    fn late_note(&self) -> Option<String> {
        None
    }
}

/// A file that was opened.
pub struct Opened {
    pub header: Header,
    /// What is wrong with the file, and does not keep it from being read.
    pub notes: Vec<String>,
    pub source: Box<dyn SoundSource>,
}

/// A sound file being read: WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus.
pub struct SoundInput {
    path: PathBuf,
    header: Header,
    source: Box<dyn SoundSource>,
    block: Vec<f32>,
    /// Samples, all channels together, that are not read yet.
    left: u64,
    /// Samples that were no numbers.
    not_finite: u64,
    shows_progress: bool,
}

impl SoundInput {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        check_is_file(path)?;
        let mut head = Vec::new();
        File::open(path).and_then(|file| file.take(64).read_to_end(&mut head)).of(path)?;
        let Opened { header, notes, source } = if CompressedSource::is_compressed(&head) {
            CompressedSource::open(path).of(path)?
        } else if head.starts_with(b"OggS") {
            open_opus(path)?
        } else if !WAV_KINDS.iter().any(|kind| head.starts_with(kind)) {
            let kind = file_kind(&head);
            return Err(format!("not WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus, but {kind}")).of(path);
        } else {
            let wav = WavReader::open(path).of(path)?;
            Opened { header: *wav.header(), notes: wav.notes().to_vec(), source: Box::new(wav) }
        };
        notes.iter().for_each(|what| note(path, what));
        if header.samples == 0 {
            note(path, "there is no sound in it");
        }
        let left = header.samples * header.channels as u64;
        let path = path.to_owned();
        Ok(Self { path, header, source, block: Vec::new(), left, not_finite: 0, shows_progress: true })
    }

    /// Shows no progress, where it is one of many.
    pub fn hide_progress(&mut self) {
        self.shows_progress = false;
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn header(&self) -> &Header {
        &self.header
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
        self.block.clear();
        self.source.read(&self.path, &mut self.block)?;
        self.not_finite += self.block.iter().filter(|sample| !sample.is_finite()).count() as u64;
        let was_left = self.left;
        self.left = was_left.saturating_sub(self.block.len() as u64);
        if self.left == 0 && was_left > 0 {
            self.source.late_note().iter().for_each(|what| note(&self.path, what));
            if self.not_finite > 0 {
                note(&self.path, format!("{} samples are no numbers, and taken for silence", self.not_finite));
            }
        }
        Ok(&self.block)
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
        while !(done && self.left == 0) {
            self.next_block()?;
            let is_tail = self.block.is_empty();
            let block = if is_tail { &silence } else { &self.block };
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
        ProgressBar::new(self.left).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }
}

impl SoundSource for WavReader {
    fn read(&mut self, path: &Path, block: &mut Vec<f32>) -> Result {
        block.extend_from_slice(self.next_block().of(path)?);
        Ok(())
    }
}

#[cfg(all(feature = "opus", feature = "ogg"))]
fn open_opus(path: &Path) -> Result<Opened> {
    OpusSource::open(path)
}

#[cfg(not(all(feature = "opus", feature = "ogg")))]
fn open_opus(path: &Path) -> Result<Opened> {
    Err("an Ogg file: of those only Vorbis is read without the features opus and ogg").of(path)
}

/// Refuses what is there, and no file: reading a pipe would wait, and a device may never end.
pub fn check_is_file(path: &Path) -> Result {
    if path == Path::new("-") {
        return Err("stdin is not read, since the length must be known before (./- is a file)").of(path);
    }
    let there = path.metadata().of(path)?;
    if there.is_dir() {
        return Err("not a file but a folder").of(path);
    }
    if !there.is_file() {
        return Err("not a file but a pipe or device, whose length is not known").of(path);
    }
    Ok(())
}
