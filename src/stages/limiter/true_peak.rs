//! True-peak detector: the peaks of the waveform between the samples.

use std::sync::OnceLock;

use super::held::HeldPeak;
use super::interpolation::{BLOCK, Bound, Bounds, Interpolators, LONG, NEAR, SHORT, find_bounds, raise_bends};
use super::search::{Channels, find_wanted, raise_peaks};
use crate::core::{Format, Frame};
use crate::dsp::kernels;
use crate::dsp::kernels::higher;
use crate::dsp::scratch::Scratch;
use crate::dsp::window::{kaiser, sinc};

/// Delay of a peak behind its sample, in samples: half the longest interpolator.
pub(super) const DELAY: usize = LONG;

/// Samples before a frame that peaks need: the first ones, and one.
const HISTORY: usize = 2 * LONG;

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

/// Peaks that are searched at a time, a whole number of blocks.
const PART: usize = 240;

/// Detector of the true peak beside each sample: the highest that any of the usual meters would show.
///
/// Meters differ by some tenths of a dB near half the sampling rate, because each interpolates with a filter of its
/// own. So this one takes the highest of several: that of BS.1770-4 (four points a sample), one as in libebur128 (12
/// taps a point, Hann), and one as in FFmpeg (32 taps, Kaiser 9), the last at eight points a sample, so that a peak
/// between two points is missed by 0.1 dB at most up to 0.42 of the sampling rate.
#[derive(Clone, Debug)]
pub(super) struct TruePeakDetector {
    filters: &'static Filters,
    /// Samples before a frame that are kept: [`HISTORY`] or more.
    kept: usize,
    /// Of each channel what is kept, the frame, and room up to a whole number of blocks.
    samples: Box<[f32]>,
    /// Second differences, the largest of all channels.
    bends: Scratch,
    held: HeldPeak,
}

/// Filters, and how high they can reach.
#[derive(Debug)]
struct Filters {
    interpolators: Interpolators,
    /// Largest sum of the magnitudes of the taps: highest value over the peak of the samples.
    of_peak: f32,
    bounds: Bounds,
}

/// Filters, shared by all streams. Allocates at the first call in a program.
fn filters() -> &'static Filters {
    static FILTERS: OnceLock<Filters> = OnceLock::new();
    FILTERS.get_or_init(|| {
        let long = [1, 2, 3, 4].map(|eighths| kaiser_sinc(f64::from(eighths) / 8.0));
        let short = [BS_1770[0], BS_1770[1], hann_sinc(0.25), hann_sinc(0.5)];
        let (all_long, all_short) = (|| long.iter().map(|taps| &taps[..]), || short.iter().map(|taps| &taps[..]));
        let reaches = all_long().chain(all_short()).map(|taps| taps.iter().map(|tap| tap.abs()).sum());
        Filters {
            interpolators: Interpolators::new(&long, &short),
            of_peak: reaches.fold(1.0, f64::max) as f32,
            bounds: Bounds { long: Bound::new(all_long()), short: Bound::new(all_short()) },
        }
    })
}

impl TruePeakDetector {
    /// Detector that [delays](Self::delay) by `delay` samples, [`HISTORY`] or more, for a smoother that holds peaks for `hold`
    /// samples longer than it must.
    pub fn new(format: Format, delay: usize, hold: usize) -> Self {
        Self {
            filters: filters(),
            kept: delay,
            samples: vec![0.0; (delay + padded(format)) * format.channels()].into_boxed_slice(),
            bends: Scratch::new(HISTORY + padded(format) - 2),
            held: HeldPeak::new(hold),
        }
    }

    /// Takes in a frame with this peak; returns whether a true peak may be above `ceiling`.
    pub fn hear(&mut self, frame: &Frame, peak: f32, ceiling: f32) -> bool {
        let (length, kept, stride) = (frame.format().samples_per_channel(), self.kept, self.stride(frame.format()));
        let mut highest = peak;
        for (samples, channel) in self.samples.chunks_exact_mut(stride).zip(frame.channels()) {
            samples.copy_within(length..length + kept, 0);
            samples[kept..kept + length].copy_from_slice(channel);
            highest = higher(highest, kernels::peak(&samples[kept - HISTORY..kept]));
        }
        let may_be_above = highest > ceiling / self.filters.of_peak;
        if !may_be_above {
            self.held.reset();
        }
        may_be_above
    }

    /// Length of a channel in `samples`.
    fn stride(&self, format: Format) -> usize {
        self.kept + padded(format)
    }

    /// Replaces that frame by what came before it.
    pub fn delay(&self, frame: &mut Frame) {
        let (length, stride) = (frame.format().samples_per_channel(), self.stride(frame.format()));
        for (samples, channel) in self.samples.chunks_exact(stride).zip(frame.channels_mut()) {
            channel.copy_from_slice(&samples[..length]);
        }
    }

    /// Writes the true peaks of that frame, all channels together; returns whether any is above `ceiling`. `peaks` are
    /// zeros, as many as [`peaks`], and begin [`DELAY`] samples before the frame. Where all true peaks of a [`BLOCK`] are below the ceiling, they
    /// are zeros.
    pub fn find_peaks(&mut self, ceiling: f32, peaks: &mut [f32]) -> bool {
        self.held.reset();
        self.search(ceiling, None, peaks)
    }

    /// Writes the gains that bring those peaks down to `ceiling`, if any is above it, 1 for those below, and for those that need no more gain to
    /// be missing than a peak before them leaves. `decay` is the share of the missing gain that is left after a [`BLOCK`].
    pub fn find_gains(&mut self, ceiling: f32, decay: f32, gains: &mut [f32]) -> bool {
        self.search(ceiling, Some(decay), gains)
    }

    fn search(&mut self, ceiling: f32, decay: Option<f32>, peaks: &mut [f32]) -> bool {
        let Self { filters, kept, samples, bends, held, .. } = self;
        let stride = *kept + peaks.len() - 1;
        let channels = Channels { samples: &samples[*kept - HISTORY..], stride, count: samples.len() / stride };
        bends.with(|bends| {
            let mut max_bend = 0.0;
            for channel in 0..channels.count {
                kernels::accumulate_peaks(peaks, channels.of(channel, LONG));
                max_bend = raise_bends(bends, channels.of(channel, 0));
            }
            let (mut all, mut long, mut max_peak) = ([0.0; PART], [0.0; PART], 0.0);
            for start in (0..peaks.len() - 1).step_by(PART) {
                let end = (start + PART).min(peaks.len() - 1);
                let (all, long) = (&mut all[..end - start], &mut long[..end - start]);
                find_bounds(all, long, &peaks[start..], &bends[start + LONG - NEAR..], max_bend, &filters.bounds);
                let peaks = &mut peaks[start..end];
                let wanted = find_wanted(all, long, peaks, ceiling, held, decay.unwrap_or(0.0));
                max_peak = raise_peaks(
                    peaks,
                    &channels,
                    start + 1,
                    wanted,
                    &filters.interpolators,
                    max_peak,
                    decay.map(|_| ceiling),
                );
            }
            max_peak > ceiling
        })
    }

    pub fn reset(&mut self) {
        self.samples.fill(0.0);
        self.held.reset();
    }
}

/// Number of peaks for [`TruePeakDetector::find_peaks`].
pub(super) fn peaks(format: Format) -> usize {
    padded(format) + 1
}

/// Samples per channel of a frame, up to a whole number of blocks.
fn padded(format: Format) -> usize {
    format.samples_per_channel().next_multiple_of(BLOCK)
}

/// Interpolator for the value `behind` a sample: a sinc in a Kaiser window, with a gain of 1 for DC.
fn kaiser_sinc(behind: f64) -> [f64; 2 * LONG] {
    let mut taps = std::array::from_fn(|i| {
        let t = i as f64 - (LONG - 1) as f64 - behind;
        sinc(t) * kaiser(t / LONG as f64, 9.0)
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

    impl TruePeakDetector {
        /// True peaks of the next frame, and whether any is above the ceiling.
        fn process(&mut self, frame: &Frame, ceiling: f32, peaks: &mut [f32]) -> bool {
            self.hear(frame, kernels::peak(frame.samples()), ceiling) && {
                peaks.fill(0.0);
                self.find_peaks(ceiling, peaks)
            }
        }
    }

    /// The highest peak the detector sees in a sine of amplitude 1, over some phases: the lowest and the highest
    /// reading in dB.
    fn of_a_sine(hz: f64) -> (f32, f32) {
        let format = Format::mono(48_000).unwrap();
        let (mut min, mut max) = (f32::INFINITY, 0.0f32);
        for phase in 0..16 {
            let mut detector = TruePeakDetector::new(format, HISTORY, 480);
            let mut peaks = vec![0.0; peaks(format)];
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

    /// Value of the interpolator between the two samples in the middle, for a sine around them.
    fn interpolated<const TAPS: usize>(taps: [f64; TAPS], behind: f64, hz: f64, phase: f64) -> [f64; 2] {
        let sine = |t: f64| (std::f64::consts::TAU * (hz / 48_000.0 * t + phase)).sin();
        let first = (TAPS / 2 - 1) as f64;
        let found = taps.iter().enumerate().map(|(i, tap)| tap * sine(i as f64 - first)).sum();
        [found, sine(behind)]
    }

    #[test]
    fn interpolators_follow_a_sine_up_to_where_their_windows_let_them() {
        for (step, phase) in (0..8).flat_map(|step| (0..8).map(move |phase| (step, f64::from(phase) / 8.0))) {
            let behind = f64::from(step) / 8.0;
            for (hz, long_error, short_error) in [(1_000.0, 1e-4, 1e-3), (10_000.0, 1e-4, 1e-3), (18_000.0, 1e-4, 0.03)]
            {
                let [found, sine] = interpolated(kaiser_sinc(behind), behind, hz, phase);
                assert!((found - sine).abs() < long_error, "Kaiser, {behind}, {hz} Hz: {found} {sine}");
                let [found, sine] = interpolated(hann_sinc(behind), behind, hz, phase);
                assert!((found - sine).abs() < short_error, "Hann, {behind}, {hz} Hz: {found} {sine}");
            }
        }
    }

    #[test]
    fn an_impulse_is_found_where_it_is() {
        let format = Format::stereo(48_000).unwrap();
        for (at, channel) in [(0, 0), (31, 1), (200, 0), (462, 1)] {
            let mut detector = TruePeakDetector::new(format, HISTORY, 480);
            let mut peaks = vec![9.0; peaks(format)];
            let mut frame = Frame::new(format);
            assert!(!detector.process(&frame, 0.1, &mut peaks));
            frame.samples_mut()[480 * channel + at] = -2.0;
            // So low a ceiling leaves nothing out.
            assert!(detector.process(&frame, 1e-7, &mut peaks));
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
            let mut detector = TruePeakDetector::new(format, HISTORY, 480);
            let mut peaks = vec![0.0; peaks(format)];
            let mut frame = Frame::new(format);
            for (s, tap) in frame.samples_mut()[100..].iter_mut().zip(&taps) {
                *s = tap.signum() as f32;
            }
            assert!(!detector.process(&frame, 1.001 * detector.filters.of_peak, &mut peaks));
            detector.reset();
            assert!(detector.process(&frame, 1.001, &mut peaks));
            highest = peaks.iter().fold(highest, |a, b| a.max(*b));
            assert!(highest < 1.001 * detector.filters.of_peak);
        }
        let bound = filters().of_peak;
        assert!((highest / bound - 1.0).abs() < 1e-3, "{highest} and {bound}");
    }

    /// Tones of random level and frequency, clicks among them.
    fn sounds(seed: u64) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        let tones: Vec<[f32; 3]> =
            (0..5).map(|_| [0.5 * random.f32(), random.f32().powi(4), 6.3 * random.f32()]).collect();
        let tone = |i: usize| tones.iter().map(|[level, turn, start]| level * (turn * i as f32 + start).sin()).sum();
        (0..4800).map(|i| if random.u32(..900) == 0 { 2.0 } else { tone(i) }).collect()
    }

    /// Missing gain where gains are held for so many samples and then released, as the smoother does it.
    fn missing(gains: &[f32], hold: usize, share: f64) -> Vec<f64> {
        let mut missing = 0.0f64;
        let held =
            |end: usize| gains[end.saturating_sub(hold - 1)..=end].iter().fold(1.0f32, |min, gain| min.min(*gain));
        let needs = (0..gains.len()).map(|end| 1.0 - f64::from(held(end)));
        needs
            .map(|need| {
                missing = need.max(missing * share);
                missing
            })
            .collect()
    }

    #[test]
    fn what_is_left_out_the_smoother_need_not_know() {
        // The smoother holds what it must, and `hold` on top.
        let (ceiling, must, hold, share) = (0.2, 57, 480, (-1.0f64 / 2880.0).exp());
        let (mut left_out, mut blocks) = (0, 0);
        for seed in 0..40 {
            let sounds = sounds(seed);
            let format = Format::mono(48_000).unwrap();
            let run = |ceiling: f32, find: &dyn Fn(&mut TruePeakDetector, &mut [f32])| -> Vec<f32> {
                let mut detector = TruePeakDetector::new(format, HISTORY, hold);
                let (mut frame, mut found) = (Frame::new(format), vec![0.0; peaks(format)]);
                let frames = sounds.chunks_exact(480).flat_map(|samples| {
                    frame.samples_mut().copy_from_slice(samples);
                    found.fill(0.0);
                    if detector.hear(&frame, kernels::peak(samples), ceiling) {
                        find(&mut detector, &mut found);
                    } else {
                        found.fill(1.0);
                    }
                    found[..480].to_vec()
                });
                frames.collect()
            };
            let peaks = run(1e-6, &|detector, peaks| assert!(detector.find_peaks(1e-6, peaks)));
            let all: Vec<f32> = peaks.iter().map(|peak| ceiling / peak.max(ceiling)).collect();
            let decay = share.powi(BLOCK as i32) as f32;
            let some = run(ceiling, &|detector, gains| {
                detector.find_gains(ceiling, decay, gains);
            });
            assert!(missing(&all, must + hold, share) == missing(&some, must + hold, share), "{seed}");
            // Whatever becomes of the release, each peak gets what it needs.
            let (needed, given) = (missing(&all, must, 0.0), missing(&some, must + hold, 0.0));
            assert!(needed.iter().zip(&given).all(|(needed, given)| needed <= given), "{seed}");
            blocks += 600;
            left_out += all.chunks(8).zip(some.chunks(8)).filter(|(all, some)| all != some).count();
        }
        assert!(3 * left_out > 2 * blocks, "{left_out} of {blocks}");
    }
}
