//! One network for two channels.
//!
//! Two networks would suppress the channels differently from moment to moment, and the voice would wander. So the
//! network hears the middle, what it does there is read off as a gain for each frequency, and both channels get that
//! gain. The transform that carries it is short (5 ms), and adds no delay: the channels are known 10 ms further than
//! what the network gives back, and the gain used is that of the 2.5 ms before.

use std::sync::Arc;

use dasp::window::{Hanning, Window};
use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::engine::Network;
use super::rnnoise::BLOCK;
use crate::dsp::kernels;
use crate::dsp::ramp::{GainCurve, Ramp};

const HOP: usize = 120;
const WINDOW: usize = 2 * HOP;
const BINS: usize = WINDOW / 2 + 1;

/// Power below which a bin tells nothing: −120 dBFS.
const NOTHING: f32 = 1e-12;

/// How fast the polarity follows, a block.
const POLARITY_SPEED: f32 = 0.02;

pub(super) struct StereoLink {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    scratch: Vec<Complex32>,
    window: [f32; WINDOW],
    time: [f32; WINDOW],
    wet_spectrum: [Complex32; BINS],
    /// The last hop of what the network gave back.
    wet: [f32; HOP],
    gain: [f32; BINS],
    channels: [Channel; 2],
    /// The correlation of the channels: where it is negative (one microphone is wired the wrong way round) their
    /// difference is the middle.
    correlation: f32,
    polarity: f32,
    /// 1 while the channels are the same: then both get just what the network gives.
    same: Ramp,
}

/// What overlaps from one hop to the next.
#[derive(Clone)]
struct Channel {
    /// The spectrum of the last window, before the gain.
    spectrum: [Complex32; BINS],
    shaped: [Complex32; BINS],
    tail: [f32; HOP],
}

impl StereoLink {
    pub fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(WINDOW);
        let inverse = planner.plan_fft_inverse(WINDOW);
        let scratch = vec![Complex32::ZERO; forward.get_scratch_len().max(inverse.get_scratch_len())];
        let zeros = [Complex32::ZERO; BINS];
        let phase = |i: usize| (i as f32 + 0.5) / WINDOW as f32;
        Self {
            forward,
            inverse,
            scratch,
            window: std::array::from_fn(|i| <Hanning as Window<f32>>::window(phase(i)).sqrt()),
            time: [0.0; WINDOW],
            wet_spectrum: zeros,
            wet: [0.0; HOP],
            gain: [1.0; BINS],
            channels: std::array::from_fn(|_| Channel { spectrum: zeros, shaped: zeros, tail: [0.0; HOP] }),
            correlation: 0.0,
            polarity: 1.0,
            same: Ramp::new(1.0, BLOCK, BLOCK),
        }
    }

    pub fn reset(&mut self) {
        self.forget_overlap();
        self.correlation = 0.0;
        self.polarity = 1.0;
        self.same.jump_to(1.0);
    }

    fn forget_overlap(&mut self) {
        self.wet.fill(0.0);
        self.gain.fill(1.0);
        for channel in &mut self.channels {
            channel.spectrum.fill(Complex32::ZERO);
            channel.tail.fill(0.0);
        }
    }

    /// Replaces the newest block of both channels by what the block before, `dry`, was without noise; how likely that
    /// block holds speech.
    pub fn process(
        &mut self,
        network: &mut Network,
        (left, right): (&mut [f32], &mut [f32]),
        (dry_left, dry_right): (&[f32], &[f32]),
    ) -> f32 {
        self.follow_polarity(left, right);
        let mut middle = [0.0; BLOCK];
        for ((middle, left), right) in middle.iter_mut().zip(&*left).zip(&*right) {
            *middle = 0.5 * (left + self.polarity * right);
        }
        let same = self.polarity > 0.0 && left == right && dry_left == dry_right;
        self.same.set(if same { 1.0 } else { 0.0 }, BLOCK);
        let probability = network.process(&mut middle);

        let course = self.same.advance(BLOCK);
        if matches!(course, GainCurve::Steady(1.0)) {
            left.copy_from_slice(&middle);
            right.copy_from_slice(&middle);
            self.forget_overlap();
            return probability;
        }
        let mut sames = [0.0; BLOCK];
        if let GainCurve::Moving(course) = course {
            sames.copy_from_slice(course);
        }
        let ahead: [[f32; HOP]; 2] = [first_hop(left), first_hop(right)];
        for hop in 0..BLOCK / HOP {
            let range = hop * HOP..(hop + 1) * HOP;
            self.learn_gain(&middle[range.clone()]);
            for (index, (dry, out)) in [(dry_left, &mut *left), (dry_right, &mut *right)].into_iter().enumerate() {
                let next = dry.get(range.end..range.end + HOP).unwrap_or(&ahead[index]);
                self.shape(index, &dry[range.clone()], next, &mut out[range.clone()]);
            }
        }
        for channel in [left, right] {
            kernels::blend(channel, &middle, &sames);
        }
        probability
    }

    fn follow_polarity(&mut self, left: &[f32], right: &[f32]) {
        let now: f32 = left.iter().zip(right).map(|(l, r)| l * r).sum();
        let power = kernels::energy(left) + kernels::energy(right) + NOTHING;
        self.correlation += POLARITY_SPEED * (now / power - self.correlation);
        // A fifth of what one sound in both channels gives, so that two unlike channels do not flip it.
        if self.correlation.abs() > 0.1 {
            self.polarity = self.correlation.signum();
        }
    }

    /// Reads the gain off the last hop and this one: what the network gave back, against what it was given.
    fn learn_gain(&mut self, wet: &[f32]) {
        self.time[..HOP].copy_from_slice(&self.wet);
        self.time[HOP..].copy_from_slice(wet);
        self.wet.copy_from_slice(wet);
        kernels::multiply(&mut self.time, &self.window);
        transform(&*self.forward, &mut self.time, &mut self.wet_spectrum, &mut self.scratch);
        let [left, right] = &self.channels;
        for (bin, gain) in self.gain.iter_mut().enumerate() {
            let given = (left.spectrum[bin] + right.spectrum[bin] * self.polarity) * 0.5;
            *gain = ((self.wet_spectrum[bin].norm_sqr() + NOTHING) / (given.norm_sqr() + NOTHING)).sqrt().min(1.0);
        }
    }

    /// Gives one hop of a channel the gain.
    fn shape(&mut self, channel: usize, now: &[f32], next: &[f32], out: &mut [f32]) {
        let channel = &mut self.channels[channel];
        self.time[..HOP].copy_from_slice(now);
        self.time[HOP..].copy_from_slice(next);
        kernels::multiply(&mut self.time, &self.window);
        transform(&*self.forward, &mut self.time, &mut channel.spectrum, &mut self.scratch);
        for ((shaped, spectrum), gain) in channel.shaped.iter_mut().zip(&channel.spectrum).zip(&self.gain) {
            *shaped = spectrum * gain;
        }
        // What an inverse transform of real sound demands of its ends.
        channel.shaped[0].im = 0.0;
        channel.shaped[BINS - 1].im = 0.0;
        let done = self.inverse.process_with_scratch(&mut channel.shaped, &mut self.time, &mut self.scratch);
        debug_assert!(done.is_ok());
        kernels::multiply(&mut self.time, &self.window);
        for ((out, head), tail) in out.iter_mut().zip(&self.time[..HOP]).zip(&channel.tail) {
            *out = head / WINDOW as f32 + tail;
        }
        kernels::copy_scaled(&mut channel.tail, &self.time[HOP..], 1.0 / WINDOW as f32);
    }
}

fn first_hop(block: &[f32]) -> [f32; HOP] {
    std::array::from_fn(|i| block[i])
}

fn transform(
    forward: &dyn RealToComplex<f32>,
    time: &mut [f32],
    spectrum: &mut [Complex32],
    scratch: &mut [Complex32],
) {
    let done = forward.process_with_scratch(time, spectrum, scratch);
    debug_assert!(done.is_ok(), "the lengths were planned");
}
