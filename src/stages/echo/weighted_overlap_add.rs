//! Analysis and synthesis by weighted overlap-add: windows of 20 ms, every 10 ms.

use realfft::num_complex::Complex32;

use super::transform::Transform;

/// Weighted overlap-add with the same window on both ways, a sine, whose squares add up to one: with gains of one
/// the sound comes out a block later and else unchanged.
pub struct WeightedOverlapAdd {
    window: Box<[f32]>,
    previous: Box<[f32]>,
    /// Second half of the last synthesised window.
    overlap: Box<[f32]>,
}

impl WeightedOverlapAdd {
    /// For blocks of `block` samples. Allocates.
    pub fn new(block: usize) -> Self {
        let window = |i| (std::f32::consts::PI * (i as f32 + 0.5) / (2 * block) as f32).sin();
        Self {
            window: (0..2 * block).map(window).collect(),
            previous: vec![0.0; block].into(),
            overlap: vec![0.0; block].into(),
        }
    }

    pub fn reset(&mut self) {
        self.previous.fill(0.0);
        self.overlap.fill(0.0);
    }

    /// Windowed spectrum of the last two blocks, in `transform.bins()`.
    pub fn analyse(&mut self, block: &[f32], transform: &mut Transform) {
        let both = self.previous.iter().chain(block).zip(&self.window);
        for (to, (sample, window)) in transform.time().iter_mut().zip(both) {
            *to = sample * window;
        }
        self.previous.copy_from_slice(block);
        transform.forward_all();
    }

    /// Sound of a spectrum.
    pub fn synthesise(&mut self, spectrum: &[Complex32], transform: &mut Transform, block: &mut [f32]) {
        transform.bins().copy_from_slice(spectrum);
        transform.inverse_all();
        let (first, second) = transform.time().split_at(block.len());
        let (rise, fall) = self.window.split_at(block.len());
        for (index, sample) in block.iter_mut().enumerate() {
            *sample = self.overlap[index] + first[index] * rise[index];
            self.overlap[index] = second[index] * fall[index];
        }
    }

    /// The same with gains of one, without a transform.
    pub fn pass(&mut self, block: &mut [f32]) {
        let fall = &self.window[block.len()..];
        let rise = &self.window[..block.len()];
        for (index, sample) in block.iter_mut().enumerate() {
            let now = *sample;
            *sample = self.overlap[index] + self.previous[index] * rise[index] * rise[index];
            self.overlap[index] = now * fall[index] * fall[index];
            self.previous[index] = now;
        }
    }
}
