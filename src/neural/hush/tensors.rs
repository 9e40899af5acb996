//! Tensors of Hush: where each layer's weights lie in the model.
//!
//! `weights.bin` holds the Hush model by Weya AI (<https://huggingface.co/weya-ai/hush>), Apache License 2.0, as the crate
//! hush-vani 0.1.2 rounded it to 8-bit integers; the matrices of the recurrent units are rounded to 4 bits by
//! `scripts/four-bits` (see `NOTICE`).
//! First come these matrices, tile by tile, for each unit that of the input and that of the state, then the scales of each of
//! their tiles and blocks, then the integers of all other tensors, then the scales of those.

use crate::neural::int4::Int4Matrix;
use crate::neural::products::{MAX_BLOCKS, STEP, TILE};
use crate::neural::weights::{Reader, Tensor};

/// The file, on a cache line, so that no line of 4-bit weights lies on two.
#[repr(align(64))]
struct Model([u8; include_bytes!("weights.bin").len()]);

static MODEL: Model = Model(*include_bytes!("weights.bin"));

/// State of a recurrent unit, and its inputs.
pub(super) const STATE: usize = 256;

/// Recurrent units.
const UNITS: usize = 5;

/// Matrix of 4-bit weights for a state.
pub(super) type StateMatrix = Int4Matrix<{ STATE / MAX_BLOCKS / STEP }>;

/// Tiles of such a matrix with three outputs for each of a state.
const TILES: usize = 3 * STATE / TILE;

/// Offset in bytes of the tensors of 8-bit integers, and of their scales.
const INTEGERS: usize = 2 * UNITS * TILES * (TILE * STATE / 2 + 4 * MAX_BLOCKS * TILE);
const SCALES: usize = INTEGERS + 316_096;

/// Matrices of the input and the state of each recurrent unit: the encoder's, the mask decoder's, three of the filter
/// decoder. Allocates.
pub(super) fn state_matrices() -> [[StateMatrix; 2]; UNITS] {
    let mut model = Reader(&MODEL.0);
    let tiles: [_; UNITS] = std::array::from_fn(|_| [(); 2].map(|()| model.tiles(TILES)));
    tiles.map(|tiles| tiles.map(|tiles| Int4Matrix::new(tiles, &mut model)))
}

/// Tensor of `length` weights from byte `at` on, and of scales from the one numbered `scale_at` on.
const fn tensor(at: usize, length: usize, scale_at: usize, block: usize) -> Tensor {
    Tensor::of(&MODEL.0, SCALES, INTEGERS + at, length, scale_at, block)
}

// A convolution has weights and biases; of a recurrent unit the biases of both matrices are here.

// Encoder.
pub(super) const BANDS_IN: [Tensor; 2] = [tensor(70_144, 144, 1_649, 3), tensor(70_336, 16, 1_697, 16)];
pub(super) const BANDS_TAPS: [Tensor; 3] = [tensor(0, 48, 0, 3), tensor(64, 48, 16, 3), tensor(128, 48, 32, 3)];
pub(super) const BANDS_POINTWISE: [[Tensor; 2]; 3] = [
    [tensor(70_400, 256, 1_698, 1), tensor(70_656, 16, 1_954, 16)],
    [tensor(70_720, 256, 1_955, 1), tensor(70_976, 16, 2_211, 16)],
    [tensor(71_040, 256, 2_212, 1), tensor(71_296, 16, 2_468, 16)],
];
pub(super) const BINS_IN: Tensor = tensor(192, 144, 48, 3);
pub(super) const BINS_POINTWISE: [[Tensor; 2]; 2] = [
    [tensor(71_360, 256, 2_469, 1), tensor(71_616, 16, 2_725, 16)],
    [tensor(71_680, 256, 2_726, 1), tensor(71_936, 16, 2_982, 16)],
];
pub(super) const BINS_TAPS: Tensor = tensor(384, 48, 96, 3);
pub(super) const BINS_OUT: Tensor = tensor(448, 4_096, 112, 8);
pub(super) const ENCODER_IN: Tensor = tensor(4_544, 32_768, 624, 64);
pub(super) const ENCODER_BIAS: Tensor = tensor(72_000, 1_536, 2_983, 64);
pub(super) const ENCODER_OUT: Tensor = tensor(37_312, 32_768, 1_136, 64);

// Decoder of the mask.
pub(super) const MASK_IN: Tensor = tensor(73_664, 32_768, 3_135, 64);
pub(super) const MASK_BIAS: Tensor = tensor(141_760, 1_536, 6_023, 64);
pub(super) const MASK_OUT: Tensor = tensor(106_432, 32_768, 3_647, 64);
pub(super) const MASK_SKIPS: [[Tensor; 2]; 4] = [
    [tensor(139_392, 256, 4_207, 1), tensor(139_648, 16, 4_463, 16)],
    [tensor(140_032, 256, 4_721, 1), tensor(140_288, 16, 4_977, 16)],
    [tensor(140_672, 256, 5_235, 1), tensor(140_928, 16, 5_491, 16)],
    [tensor(141_312, 256, 5_749, 1), tensor(141_568, 16, 6_005, 16)],
];
pub(super) const MASK_TAPS: [Tensor; 3] =
    [tensor(139_200, 48, 4_159, 3), tensor(139_264, 48, 4_175, 3), tensor(139_328, 48, 4_191, 3)];
pub(super) const MASK_POINTWISE: [[Tensor; 2]; 3] = [
    [tensor(139_712, 256, 4_464, 1), tensor(139_968, 16, 4_720, 16)],
    [tensor(140_352, 256, 4_978, 1), tensor(140_608, 16, 5_234, 16)],
    [tensor(140_992, 256, 5_492, 1), tensor(141_248, 16, 5_748, 16)],
];
pub(super) const MASK_LAST: [Tensor; 2] = [tensor(141_632, 48, 6_006, 3), tensor(141_696, 1, 6_022, 1)];

// Decoder of the deep filter.
pub(super) const FILTER_IN: Tensor = tensor(143_296, 4_096, 6_047, 32);
pub(super) const FILTER_BIAS: [Tensor; 3] =
    [tensor(311_488, 1_536, 8_896, 64), tensor(313_024, 1_536, 8_920, 64), tensor(314_560, 1_536, 8_944, 64)];
pub(super) const FILTER_OUT: Tensor = tensor(147_392, 163_840, 6_175, 64);
pub(super) const FILTER_SKIP: [Tensor; 2] = [tensor(311_232, 160, 8_735, 1), tensor(311_424, 10, 8_895, 10)];

#[cfg(test)]
pub mod tests {
    use super::*;

    /// All weights as floats, in the order of `tensors.txt`, and that list, in the format of hush-vani: name, shape, first
    /// float, and number of floats.
    pub fn for_hush_vani() -> (Vec<u8>, String) {
        const MATRIX: usize = 3 * STATE * STATE;
        let (mut floats, mut list) = (Vec::new(), String::new());
        let mut matrices = state_matrices().into_iter().flatten();
        let mut left_out = 0;
        for line in include_str!("tensors.txt").lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            let [at, length, scale_at, block] = [2, 3, 4, 5].map(|i| words[i].parse::<usize>().unwrap());
            list += &format!("{} {} {} {length}\n", words[0], words[1], floats.len());
            if length == MATRIX {
                floats.extend(matrices.next().unwrap().to_floats());
                left_out += MATRIX;
            } else {
                floats.extend(tensor(at - left_out, length, scale_at - left_out / 64, block).to_floats());
            }
        }
        assert!(matrices.next().is_none());
        (floats.iter().flat_map(|value: &f32| value.to_le_bytes()).collect(), list)
    }
}
