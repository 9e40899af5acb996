//! Matrix of 4-bit weights.

use super::kernels;
use super::lockstep::few_at_a_time;
use super::matrix::{MAX_INPUTS, Multiply};
use super::products::{Instructions, MAX_BLOCKS, NibbleInputs, NibbleTile, STEP, STREAMS, TILE, add_scaled_sums};
use super::weights::Reader;

/// Streams that take turns with a tile of weights.
const GROUP: usize = 16;

/// Output and inputs of a stream, and the step of the inputs of each block.
type Operands<'a> = (&'a mut [f32], &'a [i8], [f32; MAX_BLOCKS]);

/// Matrix of 4-bit weights, with a scale for each output and block of inputs. There are four blocks, of `STEPS` times 8 inputs.
pub struct Int4Matrix<const STEPS: usize> {
    tiles: &'static [NibbleTile<STEPS>],
    /// For each tile the scales of each block.
    scales: Box<[[[f32; TILE]; MAX_BLOCKS]]>,
    instructions: Instructions,
}

impl<const STEPS: usize> Int4Matrix<STEPS> {
    /// Inputs of a matrix.
    pub const INPUTS: usize = MAX_BLOCKS * STEPS * STEP;

    /// Matrix of these weights and the scales that a model goes on with. Allocates.
    pub fn new(tiles: &'static [NibbleTile<STEPS>], scales: &mut Reader) -> Self {
        let scales = scales.floats(tiles.len() * MAX_BLOCKS * TILE);
        Self { tiles, scales: scales.as_chunks().0.as_chunks().0.into(), instructions: Instructions::new() }
    }

    /// A row of weights for each output.
    #[cfg(test)]
    pub fn to_floats(&self) -> Vec<f32> {
        let weight = |tile: usize, lane: usize, i: usize| {
            let byte = self.tiles[tile].as_flattened()[i / STEP][lane / 16][lane % 16 * 4 + i % 4];
            let nibble = if i % STEP < STEP / 2 { byte & 15 } else { byte >> 4 };
            (f32::from(nibble) - 8.0) * self.scales[tile][i / (STEPS * STEP)][lane]
        };
        let rows = (0..self.tiles.len()).flat_map(|tile| (0..TILE).map(move |lane| (tile, lane)));
        rows.flat_map(|(tile, lane)| (0..Self::INPUTS).map(move |i| weight(tile, lane, i))).collect()
    }

    /// `output = output + weights · input` for each stream. Inputs are −127 to 127; their step is part of the scales.
    pub fn add_bytes<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32], &'a [i8])>) {
        let streams = streams.map(|(output, inputs)| (output, inputs, [1.0; MAX_BLOCKS]));
        few_at_a_time::<_, GROUP>(streams, |alone| self.add_alone(alone), |group| self.add_group(group));
    }

    fn add_alone(&self, stream: [Option<Operands<'_>>; 1]) {
        for (output, inputs, units) in stream.into_iter().flatten() {
            #[cfg(test)]
            self.record(inputs, &units);
            let output = output.as_chunks_mut().0;
            self.instructions.add_nibble_products(output, self.tiles, &self.scales, inputs, &units);
        }
    }

    /// Adds the products of inputs and the steps of their blocks for a group of streams: each tile of weights for all of them,
    /// while the first cache holds it.
    fn add_group<const N: usize>(&self, streams: [Option<Operands<'_>>; N]) {
        #[cfg(test)]
        streams.iter().flatten().for_each(|(_, inputs, units)| self.record(inputs, units));
        let mut streams = streams.map(|stream| {
            stream.map(|(output, inputs, units)| {
                (output.as_chunks_mut::<TILE>().0.iter_mut(), NibbleInputs::new(inputs), units)
            })
        });
        let mut sums = [[[0; TILE]; MAX_BLOCKS]; STREAMS];
        for (tile, scales) in self.tiles.iter().zip(&self.scales) {
            for few in streams.chunks_mut(STREAMS) {
                let Some((_, first, _)) = &few[0] else { break };
                if matches!(few, [_, Some(_), ..]) {
                    let inputs = |stream: usize| few.get(stream)?.as_ref().map(|(_, inputs, _)| inputs);
                    let inputs = std::array::from_fn(|stream| inputs(stream).unwrap_or(first));
                    self.instructions.dot_nibbles_of_streams(&mut sums, tile, inputs);
                } else {
                    self.instructions.dot_nibbles(&mut sums[0], tile, first);
                }
                for ((outputs, _, units), sums) in few.iter_mut().flatten().zip(&sums) {
                    if let Some(output) = outputs.next() {
                        add_scaled_sums(output, sums, scales, units);
                    }
                }
            }
        }
    }

    /// Keeps the inputs for the rounding of the weights.
    #[cfg(test)]
    fn record(&self, inputs: &[i8], units: &[f32; MAX_BLOCKS]) {
        let values = inputs.iter().enumerate().map(|(i, &x)| f32::from(x) * units[i / (STEPS * STEP)]);
        calibration::record(self.tiles, values);
    }

    /// Adds the products of floats, rounded, by `add`.
    fn add_rounded<const N: usize>(
        &self,
        streams: [Option<(&mut [f32], &[f32])>; N],
        add: impl FnOnce([Option<Operands<'_>>; N]),
    ) {
        let mut bytes = [[0; MAX_INPUTS]; N];
        let mut bytes = bytes.iter_mut();
        add(streams.map(|stream| {
            let ((output, input), bytes) = stream.zip(bytes.next())?;
            let bytes = &mut bytes[..Self::INPUTS];
            let mut units = [0.0; MAX_BLOCKS];
            let blocks = bytes.chunks_exact_mut(STEPS * STEP).zip(input.chunks_exact(STEPS * STEP));
            for ((bytes, input), unit) in blocks.zip(&mut units) {
                *unit = kernels::quantise_to_bytes_of_peak(bytes, input);
            }
            Some((output, &*bytes, units))
        }));
    }
}

impl<const STEPS: usize> Multiply for Int4Matrix<STEPS> {
    /// The inputs of a block are rounded to 127 steps of their largest magnitude: an error of −53 dB of it.
    fn add_all<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32], &'a [f32])>) {
        few_at_a_time::<_, STREAMS>(
            streams,
            |alone| self.add_rounded(alone, |alone| self.add_alone(alone)),
            |few| self.add_rounded(few, |few| self.add_group(few)),
        );
    }
}

/// What the weights are rounded by.
#[cfg(test)]
pub mod calibration {
    use std::cell::RefCell;

    use super::NibbleTile;

    /// Sums of the products of all pairs of inputs, for each matrix: where its tiles are, and the sums.
    pub type Products = Vec<(usize, Vec<f32>)>;

    thread_local! {
        /// Where they are asked for, the sums since then, in the order in which the matrices were needed first.
        pub static PRODUCTS: RefCell<Option<Products>> = const { RefCell::new(None) };
    }

    /// Adds the inputs of a matrix.
    pub fn record<const STEPS: usize>(tiles: &'static [NibbleTile<STEPS>], inputs: impl Iterator<Item = f32>) {
        PRODUCTS.with_borrow_mut(|products| {
            let Some(products) = products else { return };
            let inputs: Vec<f32> = inputs.collect();
            let key = tiles.as_ptr().addr();
            let at = products.iter().position(|(tiles, _)| *tiles == key).unwrap_or_else(|| {
                products.push((key, vec![0.0; inputs.len() * inputs.len()]));
                products.len() - 1
            });
            for (row, x) in products[at].1.chunks_exact_mut(inputs.len()).zip(&inputs) {
                row.iter_mut().zip(&inputs).for_each(|(sum, y)| *sum += x * y);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: usize = 8;

    /// Bytes of any model.
    fn model(tiles: usize) -> &'static [u8] {
        let mut random = fastrand::Rng::with_seed(1);
        let mut bytes: Vec<u8> = (0..tiles * size_of::<NibbleTile<STEPS>>()).map(|_| random.u8(..)).collect();
        (0..tiles * MAX_BLOCKS * TILE).for_each(|_| bytes.extend((random.f32() - 0.5).to_le_bytes()));
        bytes.leak()
    }

    fn matrix(tiles: usize) -> Int4Matrix<STEPS> {
        let mut reader = Reader(model(tiles));
        let tiles = reader.tiles(tiles);
        Int4Matrix::new(tiles, &mut reader)
    }

    /// The products, one by one.
    fn definition(weights: &[f32], inputs: &[f64], output: usize) -> f64 {
        let row = &weights[output * inputs.len()..];
        row.iter().zip(inputs).map(|(weight, input)| f64::from(*weight) * input).sum()
    }

    #[test]
    fn products_of_bytes_agree_with_the_definition_for_any_number_of_streams() {
        let mut random = fastrand::Rng::with_seed(2);
        let matrix = matrix(3);
        let weights = matrix.to_floats();
        let inputs: Vec<Vec<i8>> =
            (0..2 * GROUP).map(|_| (0..Int4Matrix::<STEPS>::INPUTS).map(|_| random.i8(-127..)).collect()).collect();
        let mut alone = vec![[1.0; 3 * TILE]; inputs.len()];
        for (output, inputs) in alone.iter_mut().zip(&inputs) {
            matrix.add_bytes(std::iter::once((&mut output[..], &inputs[..])));
            let inputs: Vec<f64> = inputs.iter().map(|&input| input.into()).collect();
            for (index, output) in output.iter().enumerate() {
                let wanted = 1.0 + definition(&weights, &inputs, index);
                assert!((f64::from(*output) - wanted).abs() < 1e-5 * wanted.abs().max(100.0), "{output} {wanted}");
            }
        }
        assert!(alone[0] != alone[1]);
        for streams in 1..=inputs.len() {
            let mut outputs = vec![[1.0; 3 * TILE]; streams];
            matrix.add_bytes(outputs.iter_mut().zip(&inputs).map(|(output, inputs)| (&mut output[..], &inputs[..])));
            assert!(outputs == alone[..streams], "{streams}");
        }
    }

    #[test]
    fn products_of_floats_agree_with_the_definition_for_any_number_of_streams() {
        let mut random = fastrand::Rng::with_seed(3);
        let matrix = matrix(2);
        let weights = matrix.to_floats();
        // One block is far louder than the others, one is silent.
        let value = |i: usize, random: f32| [1e4, 1.0, 0.0, 1e-3][i / (STEPS * STEP)] * (random - 0.5);
        let inputs: Vec<Vec<f32>> =
            (0..9).map(|_| (0..Int4Matrix::<STEPS>::INPUTS).map(|i| value(i, random.f32())).collect()).collect();
        let mut alone = vec![[1.0; 2 * TILE]; inputs.len()];
        for (output, inputs) in alone.iter_mut().zip(&inputs) {
            matrix.add_all(std::iter::once((&mut output[..], &inputs[..])));
            let rounded = |block: &[f32]| {
                let step = f64::from(block.iter().fold(1e-30f32, |peak, x| peak.max(x.abs()))) / 127.0;
                block.iter().map(|&x| (f64::from(x) / step).round() * step).collect::<Vec<_>>()
            };
            let inputs: Vec<f64> = inputs.chunks(STEPS * STEP).flat_map(rounded).collect();
            for (index, output) in output.iter().enumerate() {
                let wanted = 1.0 + definition(&weights, &inputs, index);
                assert!((f64::from(*output) - wanted).abs() < 0.02, "{output} {wanted}");
            }
        }
        assert!(alone[0] != alone[1]);
        for streams in 1..=inputs.len() {
            let mut outputs = vec![[1.0; 2 * TILE]; streams];
            matrix.add_all(outputs.iter_mut().zip(&inputs).map(|(output, inputs)| (&mut output[..], &inputs[..])));
            assert!(outputs == alone[..streams], "{streams}");
        }
    }
}
