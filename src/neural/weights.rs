//! Quantised weights, read where they lie in the program.

#[cfg(feature = "denoise")]
use super::products::NibbleTile;

/// Tensor of signed 8-bit weights, with one scale for each block of consecutive ones.
#[derive(Clone, Copy, Debug)]
pub struct Tensor {
    weights: &'static [u8],
    scales: &'static [[u8; 4]],
    block: usize,
}

impl Tensor {
    /// Tensor of `weights` (two's complement) and `scales` (little-endian floats), one for each `block` weights. The last
    /// block may be shorter.
    pub const fn new(weights: &'static [u8], scales: &'static [[u8; 4]], block: usize) -> Self {
        assert!(scales.len() == weights.len().div_ceil(block));
        Self { weights, scales, block }
    }

    /// Part of a model that holds integers up to byte `scales`, and behind them scales: `length` weights from byte `at` on,
    /// and the scales from the one numbered `scale_at` on.
    pub const fn of(
        model: &'static [u8],
        scales: usize,
        at: usize,
        length: usize,
        scale_at: usize,
        block: usize,
    ) -> Self {
        let (weights, scales) = model.split_at(scales);
        let (weights, _) = weights.split_at(at).1.split_at(length);
        let (scales, _) = scales.as_chunks::<4>();
        let (scales, _) = scales.split_at(scale_at).1.split_at(length.div_ceil(block));
        Self::new(weights, scales, block)
    }

    /// Integers, each in two's complement.
    pub fn weights(&self) -> &'static [u8] {
        self.weights
    }

    /// Scales, each a little-endian float.
    pub fn scales(&self) -> &'static [[u8; 4]] {
        self.scales
    }

    /// Weights that share a scale.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Weights as floats. Allocates.
    pub fn to_floats(self) -> Box<[f32]> {
        let blocks = self.weights.chunks(self.block).zip(self.scales);
        blocks
            .flat_map(|(weights, scale)| weights.iter().map(|&w| f32::from(w as i8) * f32::from_le_bytes(*scale)))
            .collect()
    }
}

/// What is left of a model that is read from its first byte to its last.
#[cfg(feature = "denoise")]
pub struct Reader(pub &'static [u8]);

#[cfg(feature = "denoise")]
impl Reader {
    /// The next bytes.
    pub fn bytes(&mut self, count: usize) -> &'static [u8] {
        let (now, rest) = self.0.split_at(count);
        self.0 = rest;
        now
    }

    /// Floats, little-endian. Allocates.
    pub fn floats(&mut self, count: usize) -> Box<[f32]> {
        self.bytes(4 * count).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    /// Tiles of 4-bit weights.
    pub fn tiles<const STEPS: usize>(&mut self, count: usize) -> &'static [NibbleTile<STEPS>] {
        let lines = self.bytes(count * size_of::<NibbleTile<STEPS>>()).as_chunks().0;
        lines.as_chunks().0.as_chunks().0.as_chunks().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_has_its_scale() {
        static WEIGHTS: [u8; 5] = [1, 0xff, 0x80, 127, 2];
        static SCALES: [[u8; 4]; 3] = [0.5f32.to_le_bytes(), 2.0f32.to_le_bytes(), (-1.0f32).to_le_bytes()];
        const TENSOR: Tensor = Tensor::new(&WEIGHTS, &SCALES, 2);
        assert_eq!(*TENSOR.to_floats(), [0.5, -0.5, -256.0, 254.0, -2.0]);
    }
}
