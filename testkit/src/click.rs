//! Click metric: the energy outside the band of a test sine.

use std::f64::consts::TAU;
use std::ops::Range;

use realfft::RealFftPlanner;

/// Samples in a window, a power of two.
const WINDOW: usize = 2048;

/// Highest level outside `band_hz` in any window of 2048 samples, in dB relative to a sine of `amplitude`.
pub fn outside_band_db(sound: &[f64], rate_hz: u32, band_hz: &Range<f64>, amplitude: f64) -> f64 {
    // Blackman-Harris: its own leakage is below −92 dB.
    let window: Vec<f64> = (0..WINDOW)
        .map(|i| {
            let t = TAU * i as f64 / WINDOW as f64;
            0.35875 - 0.48829 * t.cos() + 0.14128 * (2.0 * t).cos() - 0.01168 * (3.0 * t).cos()
        })
        .collect();
    // By Parseval, the energy of the sine in the positive frequencies.
    let sine = window.iter().map(|w| w.powi(2)).sum::<f64>() * WINDOW as f64 * amplitude.powi(2) / 4.0;
    let fft = RealFftPlanner::new().plan_fft_forward(WINDOW);
    let (mut time, mut spectrum) = (fft.make_input_vec(), fft.make_output_vec());
    let is_outside = |bin: &usize| !band_hz.contains(&(*bin as f64 * f64::from(rate_hz) / WINDOW as f64));
    let mut outside_db = |samples: &[f64]| {
        for ((time, sample), window) in time.iter_mut().zip(samples).zip(&window) {
            *time = sample * window;
        }
        fft.process(&mut time, &mut spectrum).unwrap();
        let energy: f64 = (0..WINDOW / 2).filter(is_outside).map(|bin| spectrum[bin].norm_sqr()).sum();
        10.0 * (energy / sine).log10()
    };
    sound.windows(WINDOW).step_by(WINDOW / 4).map(&mut outside_db).fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sine_is_in_its_band_and_a_jump_is_not() {
        let sine = |gain: fn(usize) -> f64| -> Vec<f64> {
            (0..48_000).map(|i| gain(i) * 0.1 * (TAU * 1000.0 * i as f64 / 48_000.0).sin()).collect()
        };
        let found = |sound: &[f64]| outside_band_db(sound, 48_000, &(500.0..1500.0), 0.1);
        assert!(found(&sine(|_| 1.0)) < -90.0);
        // 0.2 dB.
        let jump = found(&sine(|i| if i < 24_010 { 1.0 } else { 0.9772 }));
        assert!((-56.0..-50.0).contains(&jump), "{jump}");
        // Every second sample alone: half of it is mirrored at half the rate.
        assert!((found(&sine(|i| if i % 2 == 0 { 1.0 } else { 0.0 })) + 6.0).abs() < 0.1);
    }
}
