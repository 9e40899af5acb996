//! The weights of the network, and where each layer's lie.
//!
//! `weights.bin` is the file of that name in the crate hush-vani 0.1.2, unchanged: the Hush model by Weya AI
//! (<https://huggingface.co/weya-ai/hush>), licensed under the Apache License 2.0, its weights rounded to 8-bit integers
//! by that crate. First come the integers, then the scales, one for each few of them.

static WEIGHTS: &[u8] = include_bytes!("weights.bin");

/// Where the scales begin.
const SCALES: usize = 2_282_176;

/// Some weights of one layer.
#[derive(Clone, Copy)]
pub(in crate::neural) struct Tensor {
    at: usize,
    length: usize,
    scale_at: usize,
    /// How many weights share a scale.
    pub block: usize,
}

const fn tensor(at: usize, length: usize, scale_at: usize, block: usize) -> Tensor {
    Tensor { at, length, scale_at, block }
}

impl Tensor {
    /// The integers: each byte holds one with a sign.
    pub fn weights(self) -> &'static [u8] {
        &WEIGHTS[self.at..self.at + self.length]
    }

    /// The scales: each four bytes hold a float.
    pub fn scales(self) -> &'static [[u8; 4]] {
        let (scales, _) = WEIGHTS[SCALES..].as_chunks::<4>();
        &scales[self.scale_at..self.scale_at + self.length.div_ceil(self.block)]
    }

    /// The weights themselves. Allocates.
    pub fn values(self) -> Box<[f32]> {
        let blocks = self.weights().chunks(self.block).zip(self.scales());
        blocks
            .flat_map(|(weights, scale)| weights.iter().map(|&w| f32::from(w as i8) * f32::from_le_bytes(*scale)))
            .collect()
    }
}

/// The three tensors of a recurrent unit: input matrix, state matrix, biases of both.
pub(in crate::neural) type GruTensors = [Tensor; 3];

/// The weights of a 1×1 convolution, and its biases.
pub(in crate::neural) type PointwiseTensors = [Tensor; 2];

// The encoder.
pub(in crate::neural) const BANDS_IN: PointwiseTensors = [tensor(70_144, 144, 1_649, 3), tensor(70_336, 16, 1_697, 16)];
pub(in crate::neural) const BANDS_TAPS: [Tensor; 3] =
    [tensor(0, 48, 0, 3), tensor(64, 48, 16, 3), tensor(128, 48, 32, 3)];
pub(in crate::neural) const BANDS_MIX: [PointwiseTensors; 3] = [
    [tensor(70_400, 256, 1_698, 1), tensor(70_656, 16, 1_954, 16)],
    [tensor(70_720, 256, 1_955, 1), tensor(70_976, 16, 2_211, 16)],
    [tensor(71_040, 256, 2_212, 1), tensor(71_296, 16, 2_468, 16)],
];
pub(in crate::neural) const BINS_IN: Tensor = tensor(192, 144, 48, 3);
pub(in crate::neural) const BINS_MIX: [PointwiseTensors; 2] = [
    [tensor(71_360, 256, 2_469, 1), tensor(71_616, 16, 2_725, 16)],
    [tensor(71_680, 256, 2_726, 1), tensor(71_936, 16, 2_982, 16)],
];
pub(in crate::neural) const BINS_TAPS: Tensor = tensor(384, 48, 96, 3);
pub(in crate::neural) const BINS_OUT: Tensor = tensor(448, 4_096, 112, 8);
pub(in crate::neural) const ENCODER_IN: Tensor = tensor(4_544, 32_768, 624, 64);
pub(in crate::neural) const ENCODER: GruTensors =
    [tensor(72_000, 196_608, 2_983, 64), tensor(268_608, 196_608, 6_055, 64), tensor(465_216, 1_536, 9_127, 64)];
pub(in crate::neural) const ENCODER_OUT: Tensor = tensor(37_312, 32_768, 1_136, 64);

// The decoder of the mask.
pub(in crate::neural) const MASK_IN: Tensor = tensor(466_880, 32_768, 9_279, 64);
pub(in crate::neural) const MASK: GruTensors =
    [tensor(534_976, 196_608, 12_167, 64), tensor(731_584, 196_608, 15_239, 64), tensor(928_192, 1_536, 18_311, 64)];
pub(in crate::neural) const MASK_OUT: Tensor = tensor(499_648, 32_768, 9_791, 64);
pub(in crate::neural) const MASK_SKIPS: [PointwiseTensors; 4] = [
    [tensor(532_608, 256, 10_351, 1), tensor(532_864, 16, 10_607, 16)],
    [tensor(533_248, 256, 10_865, 1), tensor(533_504, 16, 11_121, 16)],
    [tensor(533_888, 256, 11_379, 1), tensor(534_144, 16, 11_635, 16)],
    [tensor(534_528, 256, 11_893, 1), tensor(534_784, 16, 12_149, 16)],
];
pub(in crate::neural) const MASK_TAPS: [Tensor; 3] =
    [tensor(532_416, 48, 10_303, 3), tensor(532_480, 48, 10_319, 3), tensor(532_544, 48, 10_335, 3)];
pub(in crate::neural) const MASK_MIX: [PointwiseTensors; 3] = [
    [tensor(532_928, 256, 10_608, 1), tensor(533_184, 16, 10_864, 16)],
    [tensor(533_568, 256, 11_122, 1), tensor(533_824, 16, 11_378, 16)],
    [tensor(534_208, 256, 11_636, 1), tensor(534_464, 16, 11_892, 16)],
];
pub(in crate::neural) const MASK_LAST: PointwiseTensors =
    [tensor(534_848, 48, 12_150, 3), tensor(534_912, 1, 12_166, 1)];

// The decoder of the filter.
pub(in crate::neural) const FILTER_IN: Tensor = tensor(929_728, 4_096, 18_335, 32);
pub(in crate::neural) const FILTER: [GruTensors; 3] = [
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
pub(in crate::neural) const FILTER_OUT: Tensor = tensor(933_824, 163_840, 18_463, 64);
pub(in crate::neural) const FILTER_SKIP: PointwiseTensors =
    [tensor(1_097_664, 160, 21_023, 1), tensor(1_097_856, 10, 21_183, 10)];
