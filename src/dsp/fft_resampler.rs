//! FFT resampler: blocks between two rates, by overlap-add.
//!
//! The same bits as `rubato::Fft`, and its filter. But transforms and filter are there once for all streams, and what only a
//! block needs is kept by no stream.

use std::f64::consts::PI;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rubato::{WindowFunction, calculate_cutoff};

/// Design of the filter: its length, and its window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FilterDesign {
    /// Longest block in ms; the delay is half of a block.
    block_ms: f64,
    window: WindowFunction,
    /// Coefficients of the window: those of 0, 1, 2 and 3 periods of a cosine, with changing signs.
    cosines: [f64; 4],
}

impl FilterDesign {
    /// Shorter block. A window that rolls off faster makes up for some of what it loses.
    pub const LOW_LATENCY: Self =
        Self { block_ms: 5.0, window: WindowFunction::Blackman, cosines: [0.42, 0.5, 0.08, 0.0] };

    /// Longer block.
    pub const HIGH: Self =
        Self { block_ms: 10.0, window: WindowFunction::BlackmanHarris, cosines: [0.35875, 0.48829, 0.14128, 0.01168] };

    /// Window value for a tap of `length`.
    fn window(&self, tap: usize, length: usize) -> f32 {
        let [a, b, c, d] = self.cosines;
        let cosine = |periods: f64| (2.0 * periods * PI * tap as f64 / length as f64).cos();
        (a - b * cosine(1.0) + c * cosine(2.0) - d * cosine(3.0)) as f32
    }
}

/// Filter and transforms between two lengths of blocks, shared by all streams.
struct Plan {
    design: FilterDesign,
    /// Samples of a block, before and after.
    from: usize,
    to: usize,
    /// Spectrum of the filter, up to the lower Nyquist frequency.
    filter: Box<[Complex32]>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

impl Plan {
    fn new(design: FilterDesign, from: usize, to: usize) -> Self {
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(2 * from), planner.plan_fft_inverse(2 * to));
        let mut cutoff = calculate_cutoff::<f32>(from.min(to), design.window);
        if from > to {
            cutoff = cutoff * to as f32 / from as f32;
        }
        let sinc = |x: f32| if x == 0.0 { 1.0 } else { (x * std::f32::consts::PI).sin() / (x * std::f32::consts::PI) };
        let mut taps: Vec<f32> =
            (0..from).map(|tap| design.window(tap, from) * sinc((tap as f32 - (from / 2) as f32) * cutoff)).collect();
        let sum: f32 = taps.iter().sum();
        taps.iter_mut().for_each(|tap| *tap = *tap / sum / (2 * from) as f32);
        taps.resize(2 * from, 0.0);
        let mut filter = forward.make_output_vec();
        let done = forward.process(&mut taps, &mut filter);
        debug_assert!(done.is_ok(), "the lengths were planned");
        // Of the higher rate's bins the lower one has not even its own highest.
        filter.truncate(if from < to { from + 1 } else { to });
        Self { design, from, to, filter: filter.into(), forward, inverse }
    }

    /// Plan that all streams of this kind share.
    fn shared(design: FilterDesign, from: usize, to: usize) -> Arc<Self> {
        static PLANS: Mutex<Vec<Weak<Plan>>> = Mutex::new(Vec::new());
        let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        plans.retain(|plan| plan.strong_count() > 0);
        let mut known = plans.iter().filter_map(Weak::upgrade);
        known.find(|plan| (plan.design, plan.from, plan.to) == (design, from, to)).unwrap_or_else(|| {
            let plan = Arc::new(Self::new(design, from, to));
            plans.push(Arc::downgrade(&plan));
            plan
        })
    }

    /// Resamples a block, in memory for twice the longer block, and for its spectrum.
    fn process(
        &self,
        (time, spectrum): (&mut [f32], &mut [Complex32]),
        scratch: &mut [Complex32],
        input: &[f32],
        output: &mut [f32],
        overlap: &mut [f32],
    ) {
        let Self { from, to, .. } = *self;
        time[..from].copy_from_slice(input);
        time[from..2 * from].fill(0.0);
        let done = self.forward.process_with_scratch(&mut time[..2 * from], &mut spectrum[..=from], scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        spectrum.iter_mut().zip(&self.filter).for_each(|(bin, filter)| *bin *= filter);
        spectrum[self.filter.len()..=to].fill(Complex32::ZERO);
        let done = self.inverse.process_with_scratch(&mut spectrum[..=to], &mut time[..2 * to], scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        let (head, tail) = time[..2 * to].split_at(to);
        for (output, (head, overlap)) in output.iter_mut().zip(head.iter().zip(&*overlap)) {
            *output = head + overlap;
        }
        overlap.copy_from_slice(tail);
    }
}

/// Longest block whose memory is on the stack, in samples: 5 ms at 48 kHz.
const SHORT: usize = 240;

/// Memory for a block: twice its samples, and its spectrum.
type BlockMemory = (Box<[f32]>, Box<[Complex32]>);

/// FFT resampler for all channels of a stream.
pub(crate) struct FftResampler {
    plan: Arc<Plan>,
    /// Second half of the last block of each channel.
    overlaps: Box<[f32]>,
    scratch: Box<[Complex32]>,
    /// Memory for a block that is not [`SHORT`].
    long: Option<BlockMemory>,
}

impl FftResampler {
    /// Resampler between two rates, multiples of 100 Hz, whose blocks divide 10 ms. Allocates.
    pub fn new(design: FilterDesign, [from_hz, to_hz]: [u32; 2], channels: usize) -> Self {
        // So 10 ms hold a whole number of the smallest possible blocks.
        let smallest_blocks = gcd(from_hz, to_hz) / 100;
        let blocks = (1..=smallest_blocks)
            .find(|&n| smallest_blocks.is_multiple_of(n) && 10.0 / f64::from(n) <= design.block_ms)
            .unwrap_or(smallest_blocks);
        let [from, to] = [from_hz, to_hz].map(|hz| (hz / 100 / blocks) as usize);
        let plan = Plan::shared(design, from, to);
        let scratch = plan.forward.get_scratch_len().max(plan.inverse.get_scratch_len());
        let longer = from.max(to);
        Self {
            overlaps: vec![0.0; to * channels].into_boxed_slice(),
            scratch: vec![Complex32::ZERO; scratch].into_boxed_slice(),
            long: (longer > SHORT).then(|| (vec![0.0; 2 * longer].into(), vec![Complex32::ZERO; longer + 1].into())),
            plan,
        }
    }

    /// Samples of a block that comes in.
    pub fn block(&self) -> usize {
        self.plan.from
    }

    /// Resamples whole blocks of a channel.
    pub fn process(&mut self, channel: usize, input: &[f32], output: &mut [f32]) {
        let Self { plan, overlaps, scratch, long } = self;
        let overlap = &mut overlaps[channel * plan.to..][..plan.to];
        let (mut time, mut spectrum);
        let (time, spectrum) = match long {
            Some((time, spectrum)) => (&mut time[..], &mut spectrum[..]),
            None => {
                (time, spectrum) = ([0.0; 2 * SHORT], [Complex32::ZERO; SHORT + 1]);
                (&mut time[..], &mut spectrum[..])
            }
        };
        for (input, output) in input.chunks_exact(plan.from).zip(output.chunks_exact_mut(plan.to)) {
            plan.process((time, spectrum), scratch, input, output, overlap);
        }
    }

    /// Forgets all past sound. Realtime safe.
    pub fn reset(&mut self) {
        self.overlaps.fill(0.0);
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use rubato::audioadapter_buffers::direct::SequentialSlice;
    use rubato::{Fft, FixedSync, Resampler as _};

    use super::*;

    #[test]
    fn it_gives_the_bits_of_rubato() {
        let rates = [8_000, 11_000, 16_000, 22_100, 32_000, 44_100, 48_000, 88_200, 96_000, 191_900, 192_000];
        let mut random = fastrand::Rng::with_seed(1);
        for (from_hz, to_hz) in
            rates.iter().flat_map(|from| rates.map(|to| (*from, to))).filter(|(from, to)| from != to)
        {
            for design in [FilterDesign::LOW_LATENCY, FilterDesign::HIGH] {
                let mut ours = FftResampler::new(design, [from_hz, to_hz], 2);
                let [length, out_length] = [from_hz, to_hz].map(|hz| hz as usize / 50);
                let blocks = length / ours.block();
                let [from, to] = [from_hz, to_hz].map(|hz| hz as usize);
                let mut theirs =
                    Fft::<f32>::new_custom(from, to, length, blocks, 2, design.window, FixedSync::Input).unwrap();
                assert_eq!(theirs.fft_size_in(), ours.block());
                let (mut found, mut wanted) = (vec![0.0f32; 2 * out_length], vec![0.0f32; 2 * out_length]);
                for _ in 0..3 {
                    let sound: Vec<f32> = (0..2 * length).map(|_| random.f32() - 0.5).collect();
                    for channel in 0..2 {
                        let (sound, found) = (&sound[channel * length..], &mut found[channel * out_length..]);
                        ours.process(channel, &sound[..length], &mut found[..out_length]);
                    }
                    let sound = SequentialSlice::new(&sound, 2, length).unwrap();
                    let mut out = SequentialSlice::new_mut(&mut wanted, 2, out_length).unwrap();
                    theirs.process_into_buffer(&sound, &mut out, None).unwrap();
                    let same = found.iter().zip(&wanted).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{from_hz} to {to_hz} Hz, {design:?}");
                }
                assert!(found.iter().any(|sample| sample.abs() > 0.05), "{from_hz} to {to_hz} Hz");
            }
        }
    }

    #[test]
    fn streams_share_their_plan_while_there_are_any() {
        let new = || FftResampler::new(FilterDesign::HIGH, [37_000, 48_000], 1);
        let (one, other) = (new(), new());
        assert!(Arc::ptr_eq(&one.plan, &other.plan));
        let plan = Arc::downgrade(&one.plan);
        drop((one, other));
        assert_eq!(plan.strong_count(), 0);
    }
}
