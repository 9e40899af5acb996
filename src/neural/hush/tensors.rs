//! Tensors of Hush: where each layer's weights lie in the model.
//!
//! `weights.bin` is the file of that name in the crate hush-vani 0.1.2, unchanged: the Hush model by Weya AI
//! (<https://huggingface.co/weya-ai/hush>), Apache License 2.0, rounded to 8-bit integers by that crate (see `NOTICE`).
//! First come the integers, then the scales.

use crate::neural::weights::Tensor;

static MODEL: &[u8] = include_bytes!("weights.bin");

/// Offset of the scales, in bytes.
const SCALES: usize = 2_282_176;

/// Tensor of `length` weights from byte `at` on, and of scales from the one numbered `scale_at` on.
const fn tensor(at: usize, length: usize, scale_at: usize, block: usize) -> Tensor {
    Tensor::of(MODEL, SCALES, at, length, scale_at, block)
}

// A convolution has weights and biases, a recurrent unit an input matrix, a recurrent matrix and the biases of both.

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
pub(super) const ENCODER: [Tensor; 3] =
    [tensor(72_000, 196_608, 2_983, 64), tensor(268_608, 196_608, 6_055, 64), tensor(465_216, 1_536, 9_127, 64)];
pub(super) const ENCODER_OUT: Tensor = tensor(37_312, 32_768, 1_136, 64);

// Decoder of the mask.
pub(super) const MASK_IN: Tensor = tensor(466_880, 32_768, 9_279, 64);
pub(super) const MASK: [Tensor; 3] =
    [tensor(534_976, 196_608, 12_167, 64), tensor(731_584, 196_608, 15_239, 64), tensor(928_192, 1_536, 18_311, 64)];
pub(super) const MASK_OUT: Tensor = tensor(499_648, 32_768, 9_791, 64);
pub(super) const MASK_SKIPS: [[Tensor; 2]; 4] = [
    [tensor(532_608, 256, 10_351, 1), tensor(532_864, 16, 10_607, 16)],
    [tensor(533_248, 256, 10_865, 1), tensor(533_504, 16, 11_121, 16)],
    [tensor(533_888, 256, 11_379, 1), tensor(534_144, 16, 11_635, 16)],
    [tensor(534_528, 256, 11_893, 1), tensor(534_784, 16, 12_149, 16)],
];
pub(super) const MASK_TAPS: [Tensor; 3] =
    [tensor(532_416, 48, 10_303, 3), tensor(532_480, 48, 10_319, 3), tensor(532_544, 48, 10_335, 3)];
pub(super) const MASK_POINTWISE: [[Tensor; 2]; 3] = [
    [tensor(532_928, 256, 10_608, 1), tensor(533_184, 16, 10_864, 16)],
    [tensor(533_568, 256, 11_122, 1), tensor(533_824, 16, 11_378, 16)],
    [tensor(534_208, 256, 11_636, 1), tensor(534_464, 16, 11_892, 16)],
];
pub(super) const MASK_LAST: [Tensor; 2] = [tensor(534_848, 48, 12_150, 3), tensor(534_912, 1, 12_166, 1)];

// Decoder of the deep filter.
pub(super) const FILTER_IN: Tensor = tensor(929_728, 4_096, 18_335, 32);
pub(super) const FILTER: [[Tensor; 3]; 3] = [
    [
        tensor(1_097_920, 196_608, 21_184, 64),
        tensor(1_294_528, 196_608, 24_256, 64),
        tensor(1_491_136, 1_536, 27_328, 64),
    ],
    [
        tensor(1_492_672, 196_608, 27_352, 64),
        tensor(1_689_280, 196_608, 30_424, 64),
        tensor(1_885_888, 1_536, 33_496, 64),
    ],
    [
        tensor(1_887_424, 196_608, 33_520, 64),
        tensor(2_084_032, 196_608, 36_592, 64),
        tensor(2_280_640, 1_536, 39_664, 64),
    ],
];
pub(super) const FILTER_OUT: Tensor = tensor(933_824, 163_840, 18_463, 64);
pub(super) const FILTER_SKIP: [Tensor; 2] = [tensor(1_097_664, 160, 21_023, 1), tensor(1_097_856, 10, 21_183, 10)];
