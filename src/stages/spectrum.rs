//! Spectrum and waveform for displays.

mod analyser;
mod ring;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub use analyser::Analyser;

use crate::core::error::in_range;
use crate::core::{Error, Format, Frame, Processor, Result, Stage};

/// The longest FFT.
const LONGEST: usize = 32_768;

/// Twice the longest FFT: a reader has as long to copy the samples as it took to record them.
type Ring = ring::Ring<{ 2 * LONGEST }>;

/// Lets other threads see the spectrum and the waveform, by the definition of Web Audio's `AnalyserNode`.
///
/// The sound passes unchanged. Latency: none. The processor only stores the samples; [`Analyser`], which
/// [`live`](Self::live) returns, does all the computing, on the thread that reads.
///
/// ```
/// use voxframe::{Format, Frame, Processor, Stage};
/// use voxframe::spectrum::Spectrum;
/// let (spectrum, mut analyser) = Spectrum { fft_size: 512, ..Spectrum::default() }.live();
/// let mut spectrum = spectrum.prepare(Format::mono(48_000)?)?;
/// let mut bars = [0; 256];
/// let drawing = std::thread::spawn(move || {
///     analyser.byte_frequency_data(&mut bars); // once for each picture
///     assert_eq!(analyser.bin_hz(), 93.75);
/// });
/// spectrum.process(&mut Frame::new(spectrum.input_format()))?;
/// # drawing.join().unwrap();
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Spectrum {
    /// Samples in one FFT, a power of two from 32 to 32 768. Default 2048 (Web Audio).
    pub fft_size: u32,
    /// How much of the last spectrum stays in the next one that is read, 0 (nothing) to 1 (all). Default 0.8 (Web
    /// Audio).
    pub smoothing: f32,
    /// The level in dB whose byte is 0, −300 to below `max_db`. Default −100 (Web Audio).
    pub min_db: f32,
    /// The level in dB whose byte is 255, from above `min_db` to 300. Default −30 (Web Audio).
    pub max_db: f32,
}

impl Default for Spectrum {
    fn default() -> Self {
        Self { fft_size: 2048, smoothing: 0.8, min_db: -100.0, max_db: -30.0 }
    }
}

impl Spectrum {
    /// This stage, and an analyser for another thread.
    ///
    /// Settings out of range are reported when the stage is prepared; the analyser has the default ones then.
    pub fn live(self) -> (LiveSpectrum, Analyser) {
        let feed = Arc::new(Feed { ring: Ring::new(), sample_rate_hz: AtomicU32::new(0) });
        let settings = if self.validate().is_ok() { self } else { Self::default() };
        let analyser = Analyser::new(settings, Arc::clone(&feed));
        (LiveSpectrum { settings: self, feed }, analyser)
    }

    fn validate(&self) -> Result<()> {
        let (min, max) = (32, LONGEST as u32);
        if !self.fft_size.is_power_of_two() || !(min..=max).contains(&self.fft_size) {
            let (value, min, max) = (self.fft_size as f32, min as f32, max as f32);
            return Err(Error::OutOfRange { setting: "Spectrum::fft_size (a power of two)", value, min, max });
        }
        in_range("Spectrum::smoothing", self.smoothing, 0.0, 1.0)?;
        in_range("Spectrum::min_db", self.min_db, -300.0, 300.0)?;
        in_range("Spectrum::max_db", self.max_db, self.min_db.next_up(), 300.0)
    }
}

impl Stage for Spectrum {
    type Processor = SpectrumProcessor;

    fn prepare(self, input: Format) -> Result<SpectrumProcessor> {
        self.live().0.prepare(input)
    }
}

/// What the processor leaves for the analysers.
#[derive(Debug)]
struct Feed {
    ring: Ring,
    /// 0 until the stage is prepared.
    sample_rate_hz: AtomicU32,
}

/// A [`Spectrum`] that an [`Analyser`] can see: the first of the two things that [`Spectrum::live`] returns.
#[derive(Debug)]
pub struct LiveSpectrum {
    settings: Spectrum,
    feed: Arc<Feed>,
}

impl Stage for LiveSpectrum {
    type Processor = SpectrumProcessor;

    fn prepare(self, input: Format) -> Result<SpectrumProcessor> {
        self.settings.validate()?;
        self.feed.sample_rate_hz.store(input.sample_rate_hz(), Ordering::Relaxed);
        Ok(SpectrumProcessor { format: input, feed: self.feed })
    }
}

/// A running [`Spectrum`].
#[derive(Debug)]
pub struct SpectrumProcessor {
    format: Format,
    feed: Arc<Feed>,
}

impl Processor for SpectrumProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        let (first, second) = frame.samples().split_at(self.format.samples_per_channel());
        if self.format.channels() == 1 {
            self.feed.ring.write(first.iter().copied());
        } else {
            // Down-mixed as Web Audio does for loudspeakers.
            self.feed.ring.write(first.iter().zip(second).map(|(left, right)| 0.5 * (left + right)));
        }
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.feed.ring.write(std::iter::repeat_n(0.0, LONGEST));
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use realfft::num_complex::Complex;
    use std::f64::consts::TAU;

    /// The current frequency data by the text of the Web Audio specification, step by step: the magnitudes smoothed,
    /// from those before.
    fn by_the_text(x: &[f32], before: &[f64], tau: f64) -> Vec<f64> {
        let n_all = x.len() as f64;
        let alpha = 0.16;
        let (a0, a1, a2) = ((1.0 - alpha) / 2.0, 0.5, alpha / 2.0);
        let windowed: Vec<f64> = (0..x.len())
            .map(|n| {
                let w = a0 - a1 * (TAU * n as f64 / n_all).cos() + a2 * (2.0 * TAU * n as f64 / n_all).cos();
                f64::from(x[n]) * w
            })
            .collect();
        let turns: Vec<Complex<f64>> = (0..x.len()).map(|i| Complex::cis(-TAU * i as f64 / n_all)).collect();
        (0..x.len() / 2)
            .map(|k| {
                let sum: Complex<f64> = windowed.iter().enumerate().map(|(n, w)| turns[k * n % x.len()] * w).sum();
                tau * before[k] + (1.0 - tau) * (sum / n_all).norm()
            })
            .collect()
    }

    /// Speech-like: a few partials over noise, different in each channel.
    fn sound(position: i64, channel: usize) -> f32 {
        let t = position as f32 / 48_000.0;
        let partials: f32 = (1..20).map(|n| (TAU as f32 * 137.3 * n as f32 * t).sin() / (n * n) as f32).sum();
        let noise = (position as u32).wrapping_mul(2_654_435_761).wrapping_add(channel as u32 * 77_777) >> 8;
        0.3 * partials * (1.0 - 0.5 * channel as f32) + 1e-4 * noise as f32 / (1 << 24) as f32
    }

    /// Processes frames from `start` on; all that was heard, down-mixed.
    fn run(processor: &mut SpectrumProcessor, start: usize, frames: usize, heard: &mut Vec<f32>) {
        let format = processor.input_format();
        let length = format.samples_per_channel();
        for index in start..start + frames {
            let mut frame = Frame::new(format);
            for (c, channel) in frame.channels_mut().enumerate() {
                for (i, sample) in channel.iter_mut().enumerate() {
                    *sample = sound((index * length + i) as i64, c);
                }
            }
            let before = frame.clone();
            assert_eq!(processor.process(&mut frame).unwrap().unwrap(), &before);
            let channels: Vec<&[f32]> = frame.channels().collect();
            heard.extend((0..length).map(|i| channels.iter().map(|c| c[i]).sum::<f32>() / channels.len() as f32));
        }
    }

    #[test]
    fn it_follows_the_text_of_web_audio() {
        for (fft_size, smoothing, format) in [
            (32, 0.8, Format::mono(8_000)),
            (256, 0.0, Format::stereo(44_100)),
            (2048, 0.8, Format::stereo(48_000)),
            (4096, 0.5, Format::mono(48_000)),
        ] {
            let settings = Spectrum { fft_size, smoothing, ..Spectrum::default() };
            let (spectrum, mut analyser) = settings.live();
            let mut spectrum = spectrum.prepare(format.unwrap()).unwrap();
            let length = fft_size as usize;
            let mut heard = vec![0.0; length];
            let mut wanted = vec![0.0; length / 2];
            let mut start = 0;
            for frames in [1, 3, 1, 7, 2] {
                run(&mut spectrum, start, frames, &mut heard);
                start += frames;
                let newest = &heard[heard.len() - length..];
                wanted = by_the_text(newest, &wanted, f64::from(smoothing));

                let mut levels = vec![0.0; length / 2];
                analyser.float_frequency_data(&mut levels);
                let mut bytes = vec![0; length / 2];
                analyser.byte_frequency_data(&mut bytes);
                for (k, (&level, &byte)) in levels.iter().zip(&bytes).enumerate() {
                    let db = 20.0 * wanted[k].log10();
                    assert!((f64::from(level) - db).abs() < 0.01, "bin {k} of {length}: {level} dB, not {db}");
                    let scaled = (255.0 / 70.0 * (db + 100.0)).clamp(0.0, 255.0);
                    assert!((f64::from(byte) - scaled.floor()).abs() <= f64::from(scaled.fract().abs() < 0.05));
                }
                let mut waveform = vec![0.0; length];
                analyser.float_time_domain_data(&mut waveform);
                assert_eq!(waveform, newest);
            }
        }
    }

    #[test]
    fn a_sine_on_a_bin_has_the_level_the_documentation_states() {
        let (spectrum, mut analyser) = Spectrum { fft_size: 32_768, smoothing: 0.0, ..Spectrum::default() }.live();
        let mut spectrum = spectrum.prepare(Format::mono(48_000).unwrap()).unwrap();
        for index in 0..69 {
            let mut frame = Frame::new(spectrum.input_format());
            for (i, sample) in frame.samples_mut().iter_mut().enumerate() {
                *sample = (TAU * 1000.0 * (index * 480 + i) as f64 / 32_768.0).sin() as f32;
            }
            spectrum.process(&mut frame).unwrap();
        }
        let mut levels = vec![7.0; 16_400];
        analyser.float_frequency_data(&mut levels);
        assert!((levels[1000] - 20.0 * (0.42f32 / 2.0).log10()).abs() < 1e-3, "{}", levels[1000]);
        assert!(levels[..990].iter().chain(&levels[1010..16_384]).all(|&db| db < -140.0));
        assert_eq!(levels[16_384..], [7.0; 16], "what is over is left alone");
        assert_eq!((analyser.bins(), analyser.bin_hz()), (16_384, 48_000.0 / 32_768.0));
    }

    #[test]
    fn a_reading_between_two_frames_smooths_nothing() {
        let (spectrum, mut analyser) = Spectrum { fft_size: 32, ..Spectrum::default() }.live();
        let mut spectrum = spectrum.prepare(Format::mono(48_000).unwrap()).unwrap();
        run(&mut spectrum, 0, 1, &mut Vec::new());
        let read = |analyser: &mut Analyser| {
            let mut levels = [0.0; 16];
            analyser.float_frequency_data(&mut levels);
            levels
        };
        let first = read(&mut analyser);
        assert_eq!(read(&mut analyser), first);
        let mut other = analyser.clone();
        run(&mut spectrum, 1, 1, &mut Vec::new());
        let second = read(&mut analyser);
        assert_ne!(second, first);
        assert_eq!(read(&mut other), second);
        spectrum.reset();
        let after = read(&mut analyser);
        let fall = 20.0 * 0.8f32.log10();
        assert!(after.iter().zip(second).all(|(after, before)| (after - before - fall).abs() < 1e-3));
    }

    #[test]
    fn bytes_of_the_waveform_are_held_in_their_range() {
        let (spectrum, mut analyser) = Spectrum { fft_size: 32, ..Spectrum::default() }.live();
        let mut spectrum = spectrum.prepare(Format::mono(8_000).unwrap()).unwrap();
        let mut frame = Frame::new(spectrum.input_format());
        let newest = [-9.0, -1.0, -0.999, -0.5, -0.001, 0.0, 0.007, 0.008, 0.5, 0.999, 1.0, 9.0];
        frame.samples_mut()[80 - newest.len()..].copy_from_slice(&newest);
        spectrum.process(&mut frame).unwrap();
        let mut bytes = [0; 32];
        analyser.byte_time_domain_data(&mut bytes);
        assert_eq!(bytes[20..], [0, 0, 0, 64, 127, 128, 128, 129, 192, 255, 255, 255]);
        let mut few = [0; 3];
        analyser.byte_time_domain_data(&mut few);
        assert_eq!(few, [128; 3], "the oldest, as the text has it");
    }

    #[test]
    fn settings_change_where_they_are_read() {
        let (spectrum, mut analyser) = Spectrum::default().live();
        let mut spectrum = spectrum.prepare(Format::mono(48_000).unwrap()).unwrap();
        let mut heard = Vec::new();
        run(&mut spectrum, 0, 100, &mut heard);
        let mut levels = vec![0.0; 16_384];
        analyser.float_frequency_data(&mut levels);
        let mut other = analyser.clone();
        // Samples from before the change are in the longer FFT.
        analyser.update(|spectrum| (spectrum.fft_size, spectrum.smoothing) = (32_768, 0.5)).unwrap();
        analyser.float_frequency_data(&mut levels);
        let mut waveform = vec![0.0; 32_768];
        analyser.float_time_domain_data(&mut waveform);
        assert_eq!(waveform, heard[heard.len() - 32_768..]);
        assert_eq!((other.bins(), analyser.bins()), (1024, 16_384));

        other.update(|spectrum| (spectrum.min_db, spectrum.max_db) = (-300.0, -299.0)).unwrap();
        let mut bytes = [7; 1024];
        other.byte_frequency_data(&mut bytes);
        assert_eq!(bytes, [255; 1024]);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let format = Format::mono(48_000).unwrap();
        let good = Spectrum::default();
        for bad in [
            Spectrum { fft_size: 0, ..good },
            Spectrum { fft_size: 16, ..good },
            Spectrum { fft_size: 1000, ..good },
            Spectrum { fft_size: 65_536, ..good },
            Spectrum { smoothing: 1.01, ..good },
            Spectrum { smoothing: f32::NAN, ..good },
            Spectrum { min_db: -30.0, ..good },
            Spectrum { max_db: f32::INFINITY, ..good },
            Spectrum { min_db: f32::NAN, ..good },
        ] {
            let (stage, mut analyser) = bad.live();
            assert!(stage.prepare(format).is_err(), "{bad:?}");
            assert_eq!(analyser.settings(), good);
            assert!(analyser.update(|spectrum| *spectrum = bad).is_err());
            let mut levels = [0.0; 4];
            analyser.float_frequency_data(&mut levels);
            assert_eq!(levels, [f32::NEG_INFINITY; 4]);
        }
    }
}
