//! Stereo link: one network for two channels.
//!
//! Two networks would suppress the channels differently from moment to moment, and the voice would wander. So the network
//! hears the mid signal. What it does there is read off as a gain for each frequency, and both channels get that gain.
//!
//! The transform that carries the gain is short (5 ms) and adds no delay: the channels are known further than what the
//! network gives back, and the gain used is that of the 2.5 ms before.

use std::ops::Range;
use std::sync::Arc;

use dasp::window::{Hanning, Window};
use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::suppressor::BLOCK;
use crate::dsp::curve::SmoothstepCurve;
use crate::dsp::kernels;
use crate::dsp::ramp::{GainCurve, Ramp};

const HOP: usize = 120;
const WINDOW: usize = 2 * HOP;
const BINS: usize = WINDOW / 2 + 1;

/// Power below which a bin counts as silent: −120 dBFS.
const SILENCE: f32 = 1e-12;

/// Smoothing factor of the channel correlation, for each block: a time constant of 0.5 s.
const CORRELATION_SMOOTHING: f32 = 0.02;

/// Correlation of the channels, −0.5 to 0.5, beyond which the polarity follows it: a fifth of what one sound in both
/// gives, so that two unlike channels do not flip it.
const POLARITY_THRESHOLD: f32 = 0.1;

kernels! {
    /// Gain of each bin, at most 1: that of a spectrum over the mid signal of two channels.
    fn gains_over_mid(
        gains: &mut [f32; BINS],
        spectrum: &[Complex32; BINS],
        left: &[Complex32; BINS],
        right: &[Complex32; BINS],
        polarity: f32,
    ) {
        for (((gain, bin), left), right) in gains.iter_mut().zip(spectrum).zip(left).zip(right) {
            let (re, im) = ((left.re + right.re * polarity) * 0.5, (left.im + right.im * polarity) * 0.5);
            let power = bin.re * bin.re + bin.im * bin.im;
            *gain = ((power + SILENCE) / (re * re + im * im + SILENCE)).sqrt().min(1.0);
        }
    }
}

/// Stereo link of a suppressor.
pub(super) struct StereoLink {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    scratch: Vec<Complex32>,
    window: [f32; WINDOW],
    time: [f32; WINDOW],
    wet_spectrum: [Complex32; BINS],
    /// Mid signal of a block, and what the suppressor made of it.
    mid: [f32; BLOCK],
    /// Last hop of the network's output.
    wet: [f32; HOP],
    gain: [f32; BINS],
    channels: [Channel; 2],
    correlation: f32,
    /// Sign of the right channel in the mid signal: −1 where one microphone is wired the wrong way round.
    polarity: f32,
    /// Share of the network's own output: 1 while the channels are identical.
    identical: Ramp,
}

/// Overlap of one channel from hop to hop.
#[derive(Clone)]
struct Channel {
    /// Spectrum of the last window, before the gain.
    spectrum: [Complex32; BINS],
    shaped: [Complex32; BINS],
    overlap: [f32; HOP],
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
            mid: [0.0; BLOCK],
            wet: [0.0; HOP],
            gain: [1.0; BINS],
            channels: std::array::from_fn(|_| Channel { spectrum: zeros, shaped: zeros, overlap: [0.0; HOP] }),
            correlation: 0.0,
            polarity: 1.0,
            identical: Ramp::new(1.0, BLOCK),
        }
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        self.reset_overlap();
        self.correlation = 0.0;
        self.polarity = 1.0;
        self.identical.jump_to(1.0);
    }

    fn reset_overlap(&mut self) {
        self.wet.fill(0.0);
        self.gain.fill(1.0);
        for channel in &mut self.channels {
            channel.spectrum.fill(Complex32::ZERO);
            channel.overlap.fill(0.0);
        }
    }

    /// Mid signal of the newest block, for the suppressor to replace; `dry` and `ahead` as in [`shape`](Self::shape).
    pub fn mid(
        &mut self,
        [left, right]: [&[f32; BLOCK]; 2],
        [dry, ahead]: [[&[f32; BLOCK]; 2]; 2],
    ) -> &mut [f32; BLOCK] {
        self.follow_polarity(left, right);
        let identical = self.polarity > 0.0 && left == right && dry[0] == dry[1] && ahead[0] == ahead[1];
        self.identical.set(if identical { 1.0 } else { 0.0 }, BLOCK);
        for ((mid, left), right) in self.mid.iter_mut().zip(left).zip(right) {
            *mid = 0.5 * (left + self.polarity * right);
        }
        &mut self.mid
    }

    /// Replaces the block of both channels by the block `dry` without noise, by what the suppressor made of the
    /// [mid signal](Self::mid). `dry` is as late as that, `ahead` is the block behind it.
    pub fn shape(&mut self, [left, right]: [&mut [f32; BLOCK]; 2], [dry, ahead]: [[&[f32; BLOCK]; 2]; 2]) {
        let shares = match self.identical.advance(BLOCK) {
            GainCurve::Steady(1.0) => {
                *left = self.mid;
                *right = self.mid;
                return self.reset_overlap();
            }
            GainCurve::Steady(share) => SmoothstepCurve::constant(share),
            GainCurve::Moving(shares) => shares,
        };
        for hop in 0..BLOCK / HOP {
            let range = hop * HOP..(hop + 1) * HOP;
            self.update_gain(range.clone());
            for (index, out) in [&mut *left, &mut *right].into_iter().enumerate() {
                let dry = dry[index];
                let next = dry.get(range.end..range.end + HOP).unwrap_or(&ahead[index][..HOP]);
                self.shape_hop(index, &dry[range.clone()], next, &mut out[range.clone()]);
            }
        }
        for channel in [left, right] {
            shares.blend(channel, &self.mid);
        }
    }

    fn follow_polarity(&mut self, left: &[f32; BLOCK], right: &[f32; BLOCK]) {
        let product: f32 = left.iter().zip(right).map(|(l, r)| l * r).sum();
        let power = kernels::energy(left) + kernels::energy(right) + SILENCE;
        self.correlation += CORRELATION_SMOOTHING * (product / power - self.correlation);
        if self.correlation.abs() > POLARITY_THRESHOLD {
            self.polarity = self.correlation.signum();
        }
    }

    /// Gain of each bin over the last hop and this one: the network's output, relative to its input.
    fn update_gain(&mut self, hop: Range<usize>) {
        let wet = &self.mid[hop];
        self.time[..HOP].copy_from_slice(&self.wet);
        self.time[HOP..].copy_from_slice(wet);
        self.wet.copy_from_slice(wet);
        kernels::multiply(&mut self.time, &self.window);
        transform(&*self.forward, &mut self.time, &mut self.wet_spectrum, &mut self.scratch);
        let [left, right] = &self.channels;
        gains_over_mid(&mut self.gain, &self.wet_spectrum, &left.spectrum, &right.spectrum, self.polarity);
    }

    /// Applies the gain to one hop of a channel; `next` is the hop behind it.
    fn shape_hop(&mut self, channel: usize, hop: &[f32], next: &[f32], out: &mut [f32]) {
        let channel = &mut self.channels[channel];
        self.time[..HOP].copy_from_slice(hop);
        self.time[HOP..].copy_from_slice(next);
        kernels::multiply(&mut self.time, &self.window);
        transform(&*self.forward, &mut self.time, &mut channel.spectrum, &mut self.scratch);
        for ((shaped, spectrum), gain) in channel.shaped.iter_mut().zip(&channel.spectrum).zip(&self.gain) {
            *shaped = spectrum * gain;
        }
        // The transform of a real signal is real at both ends.
        channel.shaped[0].im = 0.0;
        channel.shaped[BINS - 1].im = 0.0;
        let done = self.inverse.process_with_scratch(&mut channel.shaped, &mut self.time, &mut self.scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        kernels::multiply(&mut self.time, &self.window);
        for ((out, head), overlap) in out.iter_mut().zip(&self.time[..HOP]).zip(&channel.overlap) {
            *out = head / WINDOW as f32 + overlap;
        }
        kernels::copy_scaled(&mut channel.overlap, &self.time[HOP..], 1.0 / WINDOW as f32);
    }
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
