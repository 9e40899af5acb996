//! Matrix of signed 8-bit weights for inputs of 16 bits.

use super::kernels;
use super::products::{Instructions, TILE, WordPairs};

/// Most inputs of a matrix.
pub const MAX_INPUTS: usize = 384;

/// Most blocks of inputs.
const MAX_BLOCKS: usize = 4;

/// Matrix of signed 8-bit weights, with a scale for each output and block of inputs. The inputs of a block are rounded to 16
/// bits of their largest magnitude: an error of −90 dB of it.
pub struct Matrix {
    /// Tiles of outputs; in each the pairs of inputs, one after the other.
    weights: Box<[WordPairs]>,
    /// For each tile the scales of each block.
    scales: Box<[[f32; TILE]]>,
    /// Inputs of each block, and as many as are read: two pairs at a time.
    blocks: Box<[(usize, usize)]>,
    instructions: Instructions,
}

impl Matrix {
    /// Matrix of `weight(output, input)` and `scale(output, block)`, with so many inputs in each block. There are at most
    /// [`MAX_INPUTS`] inputs, in at most [`MAX_BLOCKS`] blocks. Allocates.
    pub fn new(
        outputs: usize,
        blocks: &[usize],
        weight: impl Fn(usize, usize) -> i8,
        scale: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let blocks: Box<[_]> = blocks.iter().map(|inputs| (*inputs, inputs.next_multiple_of(4))).collect();
        let pairs = blocks.iter().map(|(_, padded)| padded).sum::<usize>() / 2;
        let tiles = outputs.div_ceil(TILE);
        let mut weights = vec![WordPairs([0; 2 * TILE]); tiles * pairs].into_boxed_slice();
        let mut scales = vec![[0.0; TILE]; tiles * blocks.len()].into_boxed_slice();
        for output in 0..outputs {
            let (tile, lane) = (output / TILE, output % TILE);
            let (mut from, mut padded_from) = (0, tile * pairs * 2);
            for (block, &(inputs, padded)) in blocks.iter().enumerate() {
                scales[tile * blocks.len() + block][lane] = scale(output, block);
                for input in 0..inputs {
                    let at = padded_from + input;
                    weights[at / 2].0[2 * lane + at % 2] = weight(output, from + input) as u8;
                }
                from += inputs;
                padded_from += padded;
            }
        }
        debug_assert!(2 * pairs <= MAX_INPUTS && blocks.len() <= MAX_BLOCKS);
        Self { weights, scales, blocks, instructions: Instructions::new() }
    }

    /// `output = output + weights · input`.
    pub fn add(&self, output: &mut [f32], input: &[f32]) {
        let mut words = [[0; 2]; MAX_INPUTS / 2];
        let mut units = [0.0; MAX_BLOCKS];
        let (mut from, mut pairs) = (0, 0);
        for (&(inputs, padded), unit) in self.blocks.iter().zip(&mut units) {
            let words = &mut words[pairs..][..padded / 2];
            *unit = kernels::quantise_to_words(words.as_flattened_mut(), &input[from..from + inputs]);
            from += inputs;
            pairs += padded / 2;
        }
        let tiles = self.weights.chunks_exact(pairs).zip(self.scales.chunks_exact(self.blocks.len()));
        for (output, (weights, scales)) in output.chunks_mut(TILE).zip(tiles) {
            let mut sums = [[0; TILE]; MAX_BLOCKS];
            let (mut weights, mut words) = (weights, &words[..pairs]);
            for (sums, (_, padded)) in sums.iter_mut().zip(&self.blocks) {
                let (block, later) = weights.split_at(padded / 2);
                let (input, later_input) = words.split_at(padded / 2);
                *sums = self.instructions.dot_words(block, input);
                (weights, words) = (later, later_input);
            }
            kernels::add_scaled_sums(output, &sums[..scales.len()], scales, &units);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_agrees_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(1);
        for (outputs, block_lengths) in [(70, &[42, 7, 9][..]), (64, &[64; 4]), (1, &[24]), (24, &[4, 4])] {
            let (inputs, blocks) = (block_lengths.iter().sum::<usize>(), block_lengths.len());
            let weights: Vec<i8> = (0..outputs * inputs).map(|_| random.i8(..)).collect();
            let scales: Vec<f32> = (0..outputs * blocks).map(|_| random.f32()).collect();
            let weight = |output: usize, input: usize| weights[output * inputs + input];
            let scale = |output: usize, block: usize| scales[output * blocks + block];
            let input: Vec<f32> = (0..inputs).map(|_| random.f32() - 0.5).collect();
            let mut found = vec![1.0; outputs];
            Matrix::new(outputs, block_lengths, weight, scale).add(&mut found, &input);
            for (output, found) in found.iter().enumerate() {
                let block_of = block_lengths.iter().enumerate().flat_map(|(block, &length)| vec![block; length]);
                let product = |(i, block): (usize, usize)| {
                    f64::from(weight(output, i)) * f64::from(scale(output, block)) * f64::from(input[i])
                };
                let wanted = 1.0 + block_of.enumerate().map(product).sum::<f64>();
                assert!((f64::from(*found) - wanted).abs() < 0.02, "{found} {wanted}");
            }
        }
    }
}
