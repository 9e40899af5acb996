//! True-peak detector: the peaks of the waveform between the samples.

use crate::core::{Format, Frame};
use crate::dsp::kernels;

/// Delay of a peak behind its sample, in samples: half the longest interpolator.
pub(super) const DELAY: usize = LONG;

/// Half the lengths of the two kinds of interpolators, in samples.
const LONG: usize = 16;
const SHORT: usize = 6;

/// Samples before a frame that its first peaks need.
const HISTORY: usize = 2 * LONG - 1;

/// Interpolator of ITU-R BS.1770-4, annex 2: the filters for an eighth and three eighths behind a sample. Those for
/// five and seven eighths are their mirror images.
const BS_1770: [[f64; 2 * SHORT]; 2] = [
    [
        -0.008_300_781_25,
        0.014_892_578_125,
        -0.026_611_328_125,
        0.047_607_421_875,
        -0.102_294_921_875,
        0.972_167_968_75,
        0.137_329_101_562_5,
        -0.059_448_242_187_5,
        0.033_203_125,
        -0.019_653_320_312_5,
        0.010_986_328_125,
        0.001_708_984_375,
    ],
    [
        -0.018_920_898_437_5,
        0.033_081_054_687_5,
        -0.058_227_539_062_5,
        0.101_562_5,
        -0.200_317_382_812_5,
        0.779_785_156_25,
        0.465_087_890_625,
        -0.166_503_906_25,
        0.089_111_328_125,
        -0.051_757_812_5,
        0.029_296_875,
        -0.029_174_804_687_5,
    ],
];

/// TruePeakDetector of the true peak beside each sample: the highest that any of the usual meters would show.
///
/// Meters differ by some tenths of a dB near half the sampling rate, because each interpolates with a filter of its
/// own. So this one takes the highest of several: that of BS.1770-4 (four points a sample), one as in libebur128 (12
/// taps a point, Hann), and one as in FFmpeg (32 taps, Kaiser 9), the last at eight points a sample, so that a peak
/// between two points is missed by 0.1 dB at most up to 0.42 of the sampling rate.
#[derive(Clone, Debug)]
pub(super) struct TruePeakDetector {
    long: Box<[f32]>,
    short: Box<[f32]>,
    /// Largest gain of any of the filters: by so much a true peak can exceed all samples.
    bound: f32,
    /// History and frame of each channel, and room up to a whole number of lanes.
    samples: Box<[f32]>,
}

impl TruePeakDetector {
    pub fn new(format: Format) -> Self {
        let long: Vec<_> = [1, 2, 3, 4].map(|eighths| kaiser_sinc(f64::from(eighths) / 8.0).to_vec()).into();
        let short: Vec<_> = [BS_1770[0], BS_1770[1], hann_sinc(0.25), hann_sinc(0.5)].map(|taps| taps.to_vec()).into();
        let gains = long.iter().chain(&short).map(|taps| taps.iter().map(|tap| tap.abs()).sum::<f64>());
        let stride = HISTORY + padded(format);
        Self {
            bound: gains.fold(1.0, f64::max) as f32,
            long: long.iter().flat_map(|taps| even_and_odd(taps)).collect(),
            short: short.iter().flat_map(|taps| even_and_odd(taps)).collect(),
            samples: vec![0.0; stride * format.channels()].into_boxed_slice(),
        }
    }

    /// Writes the true peaks, all channels together; returns whether any is above `ceiling`. `peaks` has
    /// [`padded`] length, and begins [`DELAY`] samples before the frame.
    pub fn process(&mut self, frame: &Frame, ceiling: f32, peaks: &mut [f32]) -> bool {
        let length = frame.format().samples_per_channel();
        // Samples below this have no true peak above the ceiling.
        let threshold = ceiling / self.bound;
        let mut any = false;
        for (samples, channel) in self.samples.chunks_exact_mut(HISTORY + peaks.len()).zip(frame.channels()) {
            samples[HISTORY..HISTORY + length].copy_from_slice(channel);
            if kernels::peak(samples) > threshold {
                if !any {
                    peaks.fill(0.0);
                    any = true;
                }
                kernels::accumulate_peaks(peaks, &samples[LONG - 1..]);
                kernels::accumulate_true_peaks(peaks, samples, LONG, &self.long, threshold);
                kernels::accumulate_true_peaks(peaks, &samples[LONG - SHORT..], SHORT, &self.short, threshold);
            }
            samples.copy_within(length..length + HISTORY, 0);
        }
        any && kernels::peak(peaks) > ceiling
    }

    pub fn reset(&mut self) {
        self.samples.fill(0.0);
    }
}

/// Samples per channel of a frame, up to a whole number of lanes.
pub(super) fn padded(format: Format) -> usize {
    format.samples_per_channel().next_multiple_of(kernels::LANES)
}

/// Even part and odd part of a filter, which give its value and that of its mirror image.
fn even_and_odd(taps: &[f64]) -> Vec<f32> {
    let mirrored = taps.iter().zip(taps.iter().rev()).take(taps.len() / 2);
    let even = mirrored.clone().map(|(a, b)| 0.5 * (a + b));
    let odd = mirrored.map(|(a, b)| 0.5 * (a - b));
    even.chain(odd).map(|part| part as f32).collect()
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) }
}

/// Interpolator for the value `behind` a sample: a sinc in a Kaiser window, with a gain of 1 for DC.
fn kaiser_sinc(behind: f64) -> [f64; 2 * LONG] {
    /// Modified Bessel function of order 0, by its series.
    fn bessel(x: f64) -> f64 {
        (1..50)
            .scan(1.0, |term, k| {
                *term *= (x / (2.0 * f64::from(k))).powi(2);
                Some(*term)
            })
            .sum::<f64>()
            + 1.0
    }
    let mut taps = std::array::from_fn(|i| {
        let t = i as f64 - (LONG - 1) as f64 - behind;
        let within = 1.0 - (t / LONG as f64).powi(2);
        sinc(t) * bessel(9.0 * within.max(0.0).sqrt())
    });
    let sum: f64 = taps.iter().sum();
    taps.iter_mut().for_each(|tap| *tap /= sum);
    taps
}

/// Interpolator for the value `behind` a sample: a sinc in a Hann window.
fn hann_sinc(behind: f64) -> [f64; 2 * SHORT] {
    std::array::from_fn(|i| {
        let t = i as f64 - (SHORT - 1) as f64 - behind;
        sinc(t) * 0.5 * (1.0 + (std::f64::consts::PI * t / SHORT as f64).cos())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The highest peak the detector sees in a sine of amplitude 1, over some phases: the lowest and the highest
    /// reading in dB.
    fn of_a_sine(hz: f64) -> (f32, f32) {
        let format = Format::mono(48_000).unwrap();
        let (mut min, mut max) = (f32::INFINITY, 0.0f32);
        for phase in 0..16 {
            let mut detector = TruePeakDetector::new(format);
            let mut peaks = vec![0.0; padded(format)];
            let mut frame = Frame::new(format);
            for block in 0..2 {
                for (i, s) in frame.samples_mut().iter_mut().enumerate() {
                    let t = std::f64::consts::TAU * (hz * (480 * block + i) as f64 + f64::from(phase) / 32.0);
                    *s = t.sin() as f32;
                }
                assert!(detector.process(&frame, 0.9, &mut peaks));
            }
            let highest = peaks[..480].iter().fold(0.0f32, |a, b| a.max(*b));
            (min, max) = (min.min(highest), max.max(highest));
        }
        (20.0 * min.log10(), 20.0 * max.log10())
    }

    #[test]
    fn a_sine_reads_its_amplitude_whatever_its_phase() {
        // BS.1770's own filter reads up to 0.2 dB more, in ripples.
        for hz in [0.01, 0.05, 0.125, 0.2, 0.25, 0.3, 1.0 / 3.0, 0.4, 0.42] {
            let (min, max) = of_a_sine(hz);
            assert!(min > -0.15 && max < 0.25, "{hz} of the sampling rate: {min} to {max} dB");
        }
    }

    #[test]
    fn an_impulse_is_found_where_it_is() {
        let format = Format::stereo(48_000).unwrap();
        for (at, channel) in [(0, 0), (31, 1), (200, 0), (462, 1)] {
            let mut detector = TruePeakDetector::new(format);
            let mut peaks = vec![9.0; padded(format)];
            let mut frame = Frame::new(format);
            assert!(!detector.process(&frame, 0.1, &mut peaks));
            frame.samples_mut()[480 * channel + at] = -2.0;
            assert!(detector.process(&frame, 0.1, &mut peaks));
            assert_eq!(peaks[at + DELAY], 2.0);
            let far = |i: usize| i.abs_diff(at + DELAY) > DELAY;
            assert!((0..480).all(|i| peaks[i] <= 2.0 && (peaks[i] == 0.0 || !far(i))));
            // What lies between this sample and the next is as high as what lies between this and the one before.
            let between = |ahead: usize| (peaks[at + DELAY + ahead], peaks[at + DELAY - 1 - ahead]);
            assert!((1..DELAY.min(479 - at - DELAY)).map(between).all(|(after, before)| (after - before).abs() < 1e-6));
        }
    }

    #[test]
    fn the_bound_is_the_worst_case_of_its_filters() {
        // The worst input for a filter is full scale with the signs of its taps: its peak is the bound.
        let format = Format::mono(48_000).unwrap();
        let mut highest = 0.0f32;
        for taps in [kaiser_sinc(0.5).to_vec(), BS_1770[1].to_vec(), hann_sinc(0.5).to_vec()] {
            let mut detector = TruePeakDetector::new(format);
            let mut peaks = vec![0.0; padded(format)];
            let mut frame = Frame::new(format);
            for (s, tap) in frame.samples_mut()[100..].iter_mut().zip(&taps) {
                *s = tap.signum() as f32;
            }
            assert!(!detector.process(&frame, 1.001 * detector.bound, &mut peaks));
            detector.reset();
            assert!(detector.process(&frame, 1.001, &mut peaks));
            highest = peaks.iter().fold(highest, |a, b| a.max(*b));
            assert!(highest < 1.001 * detector.bound);
        }
        let bound = TruePeakDetector::new(format).bound;
        assert!((highest / bound - 1.0).abs() < 1e-3, "{highest} and {bound}");
    }
}
