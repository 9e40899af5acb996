//! Analyser of a [`Spectrum`]: computes on the thread that reads.

use std::f64::consts::TAU;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::processor::SampleStore;
use super::settings::Spectrum;
use crate::control::{Handle, WithHandle};

impl Spectrum {
    /// This stage, and an analyser for another thread. Short for [`Analyser::new`] and the [`attach`](Handle::attach)
    /// of its handle.
    pub fn live(self) -> (WithHandle<Self>, Analyser) {
        let analyser = Analyser::new(self);
        (analyser.handle.attach(), analyser)
    }
}

/// Analyser of what goes through a running [`Spectrum`], from another thread: Web Audio's `AnalyserNode`, where a frame
/// stands for what is called a render quantum there.
///
/// It computes when it is read, from the newest [`fft_size`](Spectrum::fft_size) samples, down-mixed to mono: Blackman
/// window (α = 0.16), discrete Fourier transform divided by its length, magnitude, smoothing. Smoothing thus goes by
/// readings, not by time; read between two frames, it gives the same data again. Before the first frame and after a
/// reset of the processor there is silence.
///
/// An analyser outlives the processors it shows, as its [`handle`](Self::handle) does: it goes on with the processor
/// attached last. A clone has the same handle, and smooths on its own from then on: give each display its own. Displays
/// that want other settings need a `Spectrum` each.
///
/// # Realtime safety
/// Never waits for the processor, nor the processor for it. Reading allocates after a change of the FFT length only,
/// but an FFT is not for an audio thread.
#[derive(Clone)]
pub struct Analyser {
    handle: Handle<Spectrum>,
    /// Samples of the processor attached last.
    store: Option<Arc<SampleStore>>,
    fft: Arc<dyn RealToComplex<f64>>,
    window: Box<[f64]>,
    /// Newest samples, oldest first.
    waveform: Box<[f32]>,
    /// Position of the samples that `magnitudes` has taken in last.
    analysed: Option<u64>,
    /// Smoothed magnitudes.
    magnitudes: Box<[f64]>,
    windowed: Box<[f64]>,
    transformed: Box<[Complex<f64>]>,
    scratch: Box<[Complex<f64>]>,
}

impl Analyser {
    /// Analyser of no processor yet, with a handle of its own. Settings out of range are reported when a processor is
    /// prepared; the analyser uses the default ones until then.
    pub fn new(settings: Spectrum) -> Self {
        Self::with_handle(Handle::new(settings))
    }

    fn with_handle(handle: Handle<Spectrum>) -> Self {
        let length = valid(&handle).fft_size as usize;
        let fft = RealFftPlanner::new().plan_fft_forward(length);
        let window = |n| {
            let turn = TAU * n as f64 / length as f64;
            (1.0 - 0.16) / 2.0 - 0.5 * turn.cos() + 0.16 / 2.0 * (2.0 * turn).cos()
        };
        Self {
            handle,
            store: None,
            window: (0..length).map(window).collect(),
            waveform: vec![0.0; length].into(),
            analysed: None,
            magnitudes: vec![0.0; length / 2].into(),
            windowed: fft.make_input_vec().into(),
            transformed: fft.make_output_vec().into(),
            scratch: fft.make_scratch_vec().into(),
            fft,
        }
    }

    /// Handle to the stage: attaches the next processor, and changes the settings. A new
    /// [`fft_size`](Spectrum::fft_size) begins smoothing afresh.
    pub fn handle(&self) -> &Handle<Spectrum> {
        &self.handle
    }

    /// Number of frequency bins: half of [`fft_size`](Spectrum::fft_size).
    pub fn bins(&self) -> usize {
        valid(&self.handle).fft_size as usize / 2
    }

    /// Distance of two bins in Hz: bin `k` is for `k` times as much. 0 until a processor is prepared.
    pub fn bin_hz(&self) -> f32 {
        let rate_hz = self.handle.shared::<SampleStore>().map_or(0, |store| store.sample_rate_hz);
        rate_hz as f32 / valid(&self.handle).fft_size as f32
    }

    /// Spectrum in dB: a full-scale sine on a bin's frequency has −13.6 dB there (half of it is in the negative
    /// frequencies, and the window takes its part), silence −∞.
    ///
    /// If `levels` is shorter than [`bins`](Self::bins), the highest frequencies are left out; if it is longer, the
    /// rest stays as it is. So it is with all four.
    pub fn float_frequency_data(&mut self, levels: &mut [f32]) {
        self.analyse();
        for (level, db) in levels.iter_mut().zip(self.decibels()) {
            *level = db as f32;
        }
    }

    /// Spectrum in bytes, from 0 at [`min_db`](Spectrum::min_db) or below to 255 at [`max_db`](Spectrum::max_db) or
    /// above.
    pub fn byte_frequency_data(&mut self, levels: &mut [u8]) {
        let settings = self.analyse();
        let (min, max) = (f64::from(settings.min_db), f64::from(settings.max_db));
        for (level, db) in levels.iter_mut().zip(self.decibels()) {
            *level = byte(255.0 / (max - min) * (db - min));
        }
    }

    /// Audio level, 0 to 1: the mean of [`byte_frequency_data`](Self::byte_frequency_data) as a share of 255, as web pages
    /// show it beside a microphone.
    pub fn audio_level(&mut self) -> f32 {
        let settings = self.analyse();
        let (min, max) = (f64::from(settings.min_db), f64::from(settings.max_db));
        let (mut sum, mut bins) = (0, 0u32);
        for db in self.decibels() {
            sum += u32::from(byte(255.0 / (max - min) * (db - min)));
            bins += 1;
        }
        sum as f32 / (255 * bins.max(1)) as f32
    }

    /// Newest [`fft_size`](Spectrum::fft_size) samples, oldest first.
    pub fn float_time_domain_data(&mut self, samples: &mut [f32]) {
        self.update_waveform();
        for (to, from) in samples.iter_mut().zip(&self.waveform) {
            *to = *from;
        }
    }

    /// Newest [`fft_size`](Spectrum::fft_size) samples in bytes, oldest first: 0 is −1, 128 is 0, and 255 is 1 and
    /// above.
    pub fn byte_time_domain_data(&mut self, samples: &mut [u8]) {
        self.update_waveform();
        for (to, from) in samples.iter_mut().zip(&self.waveform) {
            *to = byte(128.0 * (1.0 + f64::from(*from)));
        }
    }

    /// Takes over settings, processor and samples; returns the settings, and the position of the samples.
    fn update_waveform(&mut self) -> (Spectrum, Option<u64>) {
        let settings = valid(&self.handle);
        if settings.fft_size as usize != self.waveform.len() {
            *self = Self::with_handle(self.handle.clone());
        }
        let newest = self.handle.shared::<SampleStore>();
        if newest.as_ref().map(Arc::as_ptr) != self.store.as_ref().map(Arc::as_ptr) {
            (self.store, self.analysed) = (newest, None);
        }
        let position = self.store.as_ref().and_then(|store| store.ring.read(&mut self.waveform));
        (settings, position)
    }

    /// Takes the newest samples into the spectrum, unless they are in it already; returns the settings.
    fn analyse(&mut self) -> Spectrum {
        let (settings, position) = self.update_waveform();
        if position.is_none() || position == self.analysed {
            return settings;
        }
        self.analysed = position;
        for ((to, sample), weight) in self.windowed.iter_mut().zip(&self.waveform).zip(&self.window) {
            *to = f64::from(*sample) * weight;
        }
        let done = self.fft.process_with_scratch(&mut self.windowed, &mut self.transformed, &mut self.scratch);
        debug_assert!(done.is_ok(), "the buffers are those it asked for");
        let smoothing = f64::from(settings.smoothing);
        let weight = (1.0 - smoothing) / f64::from(settings.fft_size);
        for (magnitude, bin) in self.magnitudes.iter_mut().zip(&self.transformed) {
            *magnitude = smoothing * *magnitude + weight * bin.norm();
        }
        settings
    }

    fn decibels(&self) -> impl Iterator<Item = f64> {
        self.magnitudes.iter().map(|magnitude| 20.0 * magnitude.log10())
    }
}

/// Settings of the handle. Before a processor is prepared they may be out of range: then the default ones.
fn valid(handle: &Handle<Spectrum>) -> Spectrum {
    let settings = handle.settings();
    if settings.check().is_ok() { settings } else { Spectrum::default() }
}

/// Whole number below, clamped to 0 and 255.
fn byte(value: f64) -> u8 {
    value.floor() as u8
}

impl std::fmt::Debug for Analyser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Analyser({:?})", self.handle.settings())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Format, Frame, Processor, Stage};
    use crate::stages::spectrum::processor::SpectrumProcessor;
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
                let mean = bytes.iter().map(|&byte| f32::from(byte)).sum::<f32>() / bytes.len() as f32;
                assert!((analyser.audio_level() - mean / 255.0).abs() < 1e-6);
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
    fn settings_change_by_the_handle_for_all_clones() {
        let (spectrum, mut analyser) = Spectrum::default().live();
        let mut spectrum = spectrum.prepare(Format::mono(48_000).unwrap()).unwrap();
        let mut heard = Vec::new();
        run(&mut spectrum, 0, 100, &mut heard);
        let mut levels = vec![0.0; 16_384];
        analyser.float_frequency_data(&mut levels);
        let mut other = analyser.clone();
        // Samples from before the change are in the longer FFT.
        analyser.handle().update(|spectrum| (spectrum.fft_size, spectrum.smoothing) = (32_768, 0.5)).unwrap();
        for analyser in [&mut analyser, &mut other] {
            analyser.float_frequency_data(&mut levels);
            let mut waveform = vec![0.0; 32_768];
            analyser.float_time_domain_data(&mut waveform);
            assert_eq!(waveform, heard[heard.len() - 32_768..]);
            assert_eq!(analyser.bins(), 16_384);
        }

        other.handle().update(|spectrum| (spectrum.min_db, spectrum.max_db) = (-300.0, -299.0)).unwrap();
        let mut bytes = [7; 1024];
        analyser.byte_frequency_data(&mut bytes);
        assert_eq!(bytes, [255; 1024]);
    }

    #[test]
    fn an_analyser_goes_on_with_the_processor_attached_last() {
        let mut analyser = Analyser::new(Spectrum { fft_size: 32, smoothing: 0.0, ..Spectrum::default() });
        let newest = |analyser: &mut Analyser| {
            let mut samples = [7.0; 32];
            analyser.float_time_domain_data(&mut samples);
            samples
        };
        assert_eq!((newest(&mut analyser), analyser.bin_hz()), ([0.0; 32], 0.0));
        let mut process = |rate_hz, sample| {
            let mut spectrum = analyser.handle().attach().prepare(Format::mono(rate_hz).unwrap()).unwrap();
            assert_eq!(newest(&mut analyser), [0.0; 32], "a new processor begins in silence");
            let mut frame = Frame::new(spectrum.input_format());
            frame.samples_mut().fill(sample);
            spectrum.process(&mut frame).unwrap();
            assert_eq!((newest(&mut analyser), analyser.bin_hz()), ([sample; 32], rate_hz as f32 / 32.0));
            let mut levels = [0.0; 16];
            analyser.float_frequency_data(&mut levels);
            // A window of this kind has a mean of 0.42.
            assert!((levels[0] - 20.0 * (0.42 * sample).log10()).abs() < 0.01, "{}", levels[0]);
            spectrum
        };
        let mut first = process(48_000, 0.5);
        let second = process(16_000, 0.25);
        first.reset();
        assert_eq!(newest(&mut analyser), [0.25; 32], "the one before is no longer seen");
        drop(second);
        assert!(!analyser.handle().is_attached());
        assert_eq!(newest(&mut analyser), [0.25; 32], "the last sound stays");
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
            assert_eq!(analyser.bins(), 1024, "the default");
            assert!(analyser.handle().update(|spectrum| *spectrum = bad).is_err());
            let mut levels = [0.0; 4];
            analyser.float_frequency_data(&mut levels);
            assert_eq!(levels, [f32::NEG_INFINITY; 4]);
        }
    }
}
