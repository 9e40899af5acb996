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
    /// Whether the last block was passed, so that its overlap is nothing but itself.
    passed: bool,
}

impl WeightedOverlapAdd {
    /// For blocks of `block` samples. Allocates.
    pub fn new(block: usize) -> Self {
        let window = |i| (std::f32::consts::PI * (i as f32 + 0.5) / (2 * block) as f32).sin();
        Self {
            window: (0..2 * block).map(window).collect(),
            previous: vec![0.0; block].into(),
            overlap: vec![0.0; block].into(),
            passed: true,
        }
    }

    pub fn reset(&mut self) {
        self.previous.fill(0.0);
        self.overlap.fill(0.0);
        self.passed = true;
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
        self.passed = false;
        transform.bins().copy_from_slice(spectrum);
        transform.inverse_all();
        let (first, second) = transform.time().split_at(block.len());
        let (rise, fall) = self.window.split_at(block.len());
        for (index, sample) in block.iter_mut().enumerate() {
            *sample = self.overlap[index] + first[index] * rise[index];
            self.overlap[index] = second[index] * fall[index];
        }
    }

    /// The same with gains of one, without a transform: bit for bit from the second block on.
    pub fn pass(&mut self, block: &mut [f32]) {
        let fall = &self.window[block.len()..];
        let rise = &self.window[..block.len()];
        for (index, sample) in block.iter_mut().enumerate() {
            let now = *sample;
            let before = self.previous[index];
            *sample = if self.passed { before } else { self.overlap[index] + before * rise[index] * rise[index] };
            self.overlap[index] = now * fall[index] * fall[index];
            self.previous[index] = now;
        }
        self.passed = true;
    }
}
