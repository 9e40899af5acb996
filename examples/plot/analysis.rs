//! What is known of a recording before it is drawn.

use std::path::Path;

use voxframe::device::InputSelection;
use voxframe::loudness::LoudnessMeter;
use voxframe::spectrum::Spectrum;
use voxframe::{Capture, Denoise, Format, Live, Processor, Stage, level};
use voxframe_testkit::wav::Header;

use crate::common::input::SoundInput;
use crate::common::{Of, Result};

/// Everything is looked at in mono at this rate.
pub const RATE_HZ: u32 = 48_000;
/// LevelReading are taken as often, over `SMOOTHED` of them.
const STEP: usize = RATE_HZ as usize / 100;
const SMOOTHED: usize = 5;
/// 43 ms: long enough to tell the harmonics of a voice apart.
const FFT_SIZE: u32 = 2048;

/// Longer file names are cut.
const MOST_LETTERS: usize = 32;

/// A recording.
pub struct Track {
    /// File name, rate, channels.
    pub name: String,
    /// The samples, mixed down, at `RATE_HZ`.
    pub samples: Vec<f32>,
    /// RMS level in dBFS over 50 ms, for each 10 ms.
    pub levels: Vec<f32>,
    /// Integrated loudness.
    pub lufs: f32,
    /// When, in seconds, and how likely there is speech.
    pub speech: Vec<(f64, f64)>,
    /// When, in seconds, and the level in dB at each multiple of `BIN_HZ`.
    pub spectra: Vec<(f64, Vec<f32>)>,
}

/// How far the levels of a spectrum are apart.
pub const BIN_HZ: f64 = RATE_HZ as f64 / FFT_SIZE as f64;

impl Track {
    pub fn load(path: &Path) -> Result<Self> {
        let mut wav = SoundInput::open(path)?;
        let Header { sample_rate_hz, channels, .. } = *wav.header();
        let length = wav.samples_at(RATE_HZ);
        let mut samples = Vec::new();
        while let block @ [_, ..] = wav.next_block()? {
            samples.extend_from_slice(block);
        }
        if length < u64::from(RATE_HZ) / 10 {
            return Err("shorter than 0.1 s").of(path);
        }
        let name: Vec<char> = path.file_name().unwrap_or_default().to_string_lossy().chars().collect();
        let cut = if name.len() > MOST_LETTERS { "…" } else { "" };
        let name: String = name.into_iter().take(MOST_LETTERS).collect();
        let layout = ["mono", "stereo"].get(channels - 1).copied().unwrap_or("surround");
        let mut track = Track {
            name: format!("{name}{cut}   {} kHz {layout}", f64::from(sample_rate_hz) / 1000.0),
            samples: Vec::new(),
            levels: Vec::new(),
            lufs: level::SILENCE_DBFS,
            speech: Vec::new(),
            spectra: Vec::new(),
        };
        track.listen(&samples, sample_rate_hz, channels, length as usize)?;
        Ok(track)
    }

    /// Runs the samples through the meters.
    fn listen(&mut self, samples: &[f32], rate_hz: u32, channels: usize, length: usize) -> Result<(), voxframe::Error> {
        let format = Format::mono(RATE_HZ)?;
        let mut capture = Capture::new(rate_hz, channels, format)?;
        capture.select(InputSelection::SpeakerDownmix)?;
        let (spectrum, mut analyser) = Spectrum { fft_size: FFT_SIZE, smoothing: 0.0, ..Spectrum::default() }.live();
        let (loudness, readings) = LoudnessMeter::default().live();
        // The denoiser is here for the speech probability alone: what it puts out is not drawn.
        let mut meters = loudness.then(spectrum).then(Denoise::default()).prepare(format)?;

        // Silence behind it, so that every delay lets go of what it holds.
        let silence = vec![0.0; rate_hz as usize / 10 * channels];
        for part in [samples, &silence] {
            capture.push_interleaved(part, |frame| {
                let start = frame.position();
                let heard = usize::try_from(-start).unwrap_or(0).min(frame.samples().len());
                self.samples.extend_from_slice(&frame.samples()[heard..]);
                if let Some(frame) = meters.process(frame)? {
                    let middle = frame.position() as f64 + 0.5 * frame.samples().len() as f64;
                    let probability = frame.speech_probability().unwrap_or(0.0);
                    self.speech.push((middle / f64::from(RATE_HZ), probability.into()));
                }
                let mut levels = vec![0.0; analyser.bins()];
                analyser.float_frequency_data(&mut levels);
                let middle = start as f64 + STEP as f64 - 0.5 * f64::from(FFT_SIZE);
                self.spectra.push((middle / f64::from(RATE_HZ), levels));
                if start < length as i64 {
                    self.lufs = readings.reading().integrated_lufs();
                }
                Ok::<(), voxframe::Error>(())
            })?;
        }
        self.samples.truncate(length);
        let seconds = self.seconds();
        self.speech.retain(|&(when, _)| (0.0..=seconds).contains(&when));
        self.levels = levels(&self.samples);
        Ok(())
    }

    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(RATE_HZ)
    }

    /// The level that a tenth of the time is quieter than, digital silence left out.
    pub fn noise_floor(&self) -> f32 {
        let mut levels: Vec<f32> = self.levels.iter().copied().filter(|&level| level > level::SILENCE_DBFS).collect();
        levels.sort_by(f32::total_cmp);
        levels.get(levels.len() / 10).copied().unwrap_or(level::SILENCE_DBFS)
    }
}

/// The moment, in seconds, that the level with this index is for.
pub fn when(index: usize) -> f64 {
    (index as f64 + 0.5) * STEP as f64 / f64::from(RATE_HZ)
}

fn levels(samples: &[f32]) -> Vec<f32> {
    let powers: Vec<f32> =
        samples.chunks(STEP).map(|step| step.iter().map(|s| s * s).sum::<f32>() / step.len() as f32).collect();
    (0..powers.len())
        .map(|index| {
            let around = &powers[index.saturating_sub(SMOOTHED / 2)..(index + SMOOTHED / 2 + 1).min(powers.len())];
            level::to_dbfs((around.iter().sum::<f32>() / around.len() as f32).sqrt())
        })
        .collect()
}
