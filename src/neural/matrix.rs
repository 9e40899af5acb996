//! Matrix of signed 8-bit weights for inputs of 16 bits.

use super::kernels;
use super::lockstep::few_at_a_time;
use super::products::{Instructions, MAX_BLOCKS, STREAMS, TILE, WordMatrix, WordPairs, add_scaled_sums};

/// Matrix, of whatever weights.
pub trait Multiply {
    /// `output = output + weights · input` for each stream.
    fn add_all<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32], &'a [f32])>);
}

/// Most inputs of a matrix.
pub const MAX_INPUTS: usize = 384;

/// Matrix of signed 8-bit weights, with a scale for each output and block of inputs. The inputs of a block are rounded to 16
/// bits of their largest magnitude: an error of −90 dB of it.
pub struct Matrix {
    weights: WordMatrix,
    /// Inputs of each block; as many are read as a multiple of four.
    blocks: Box<[usize]>,
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
        let padded = |inputs: &usize| inputs.next_multiple_of(4);
        let pairs = blocks.iter().map(padded).sum::<usize>() / 2;
        let tiles = outputs.div_ceil(TILE);
        let mut weights = vec![WordPairs([0; 2 * TILE]); tiles * pairs].into_boxed_slice();
        let mut scales = vec![[0.0; TILE]; tiles * blocks.len()].into_boxed_slice();
        for output in 0..outputs {
            let (tile, lane) = (output / TILE, output % TILE);
            let (mut from, mut padded_from) = (0, tile * pairs * 2);
            for (block, inputs) in blocks.iter().enumerate() {
                scales[tile * blocks.len() + block][lane] = scale(output, block);
                for input in 0..*inputs {
                    let at = padded_from + input;
                    weights[at / 2].0[2 * lane + at % 2] = weight(output, from + input) as u8;
                }
                from += inputs;
                padded_from += padded(inputs);
            }
        }
        debug_assert!(2 * pairs <= MAX_INPUTS && blocks.len() <= MAX_BLOCKS);
        let padded_pairs = blocks.iter().map(|inputs| padded(inputs) / 2).collect();
        let weights = WordMatrix { weights, scales, blocks: padded_pairs, pairs };
        Self { weights, blocks: blocks.into(), instructions: Instructions::new() }
    }

    /// `output = output + weights · input`.
    pub fn add(&self, output: &mut [f32], input: &[f32]) {
        self.add_few([Some((output, input))], None);
    }

    /// `output = output + weights · (factors · input)` for each stream, with a factor for each input.
    pub fn add_all_scaled<'a>(
        &self,
        streams: impl Iterator<Item = (&'a mut [f32], &'a [f32])>,
        factors: Option<&[f32]>,
    ) {
        few_at_a_time::<_, STREAMS>(streams, |alone| self.add_few(alone, factors), |few| self.add_few(few, factors));
    }

    fn add_few<const N: usize>(&self, mut streams: [Option<(&mut [f32], &[f32])>; N], factors: Option<&[f32]>) {
        let mut words = [[[0; 2]; MAX_INPUTS / 2]; N];
        let mut units = [[0.0; MAX_BLOCKS]; N];
        for ((stream, words), units) in streams.iter().zip(&mut words).zip(&mut units) {
            let Some((_, input)) = stream else { continue };
            let (mut from, mut pairs) = (0, 0);
            for ((inputs, padded), unit) in self.blocks.iter().zip(&self.weights.blocks).zip(units) {
                let words = &mut words[pairs..].as_flattened_mut()[..*inputs];
                let block = from..from + inputs;
                *unit = match factors {
                    None => kernels::quantise_to_words(words, &input[block]),
                    Some(factors) => kernels::quantise_products_to_words(words, &input[block.clone()], &factors[block]),
                };
                from += inputs;
                pairs += padded;
            }
        }
        if let [Some((output, _))] = &mut streams[..] {
            let words = &words[0][..self.weights.pairs];
            return self.instructions.add_word_products(output, &self.weights, words, &units[0]);
        }
        let mut outputs = streams.map(|stream| stream.map(|(output, _)| output.chunks_mut(TILE)));
        let mut sums = [[[0; TILE]; MAX_BLOCKS]; STREAMS];
        for (weights, scales) in self.weights.tiles() {
            let mut from = 0;
            for (index, pairs) in self.weights.blocks.iter().enumerate() {
                let block = from..from + pairs;
                let inputs = std::array::from_fn(|stream| &words[stream % N][block.clone()]);
                self.instructions.dot_words_of_streams(&mut sums, index, &weights[block], inputs);
                from += pairs;
            }
            for ((output, sums), units) in outputs.iter_mut().zip(&sums).zip(&units) {
                if let Some(output) = output.as_mut().and_then(Iterator::next) {
                    add_scaled_sums(output, sums, scales, units);
                }
            }
        }
    }
}

impl Multiply for Matrix {
    fn add_all<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32], &'a [f32])>) {
        self.add_all_scaled(streams, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_get_what_each_gets_alone() {
        let mut random = fastrand::Rng::with_seed(6);
        let weights: Vec<i8> = (0..70 * 58).map(|_| random.i8(..)).collect();
        let weight = |output: usize, input: usize| weights[output * 58 + input];
        let matrix = Matrix::new(70, &[42, 7, 9], weight, |_, block| 1.0 + block as f32);
        for streams in 0..10 {
            let inputs: Vec<[f32; 58]> = (0..streams).map(|_| std::array::from_fn(|_| random.f32() - 0.5)).collect();
            let mut wanted = vec![[1.0; 70]; streams];
            wanted.iter_mut().zip(&inputs).for_each(|(output, input)| matrix.add(output, input));
            let mut found = vec![[1.0; 70]; streams];
            matrix.add_all(found.iter_mut().zip(&inputs).map(|(output, input)| (&mut output[..], &input[..])));
            assert!(found == wanted, "{streams}");
        }
    }

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
