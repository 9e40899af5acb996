//! Tests of the products.

use super::*;

/// All sets of this machine.
fn sets() -> Vec<Instructions> {
    let mut sets = vec![Set::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        let has_avx2 = is_x86_feature_detected!("avx2");
        let has_avx512 = is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw");
        sets.extend(has_avx2.then_some(Set::Avx2));
        sets.extend((has_avx2 && has_avx_vnni()).then_some(Set::AvxVnni));
        sets.extend((has_avx2 && has_avx512).then_some(Set::Avx512Vnni));
        assert_eq!(has_avx2, Instructions::new().0 != Set::Portable);
    }
    #[cfg(target_arch = "aarch64")]
    {
        let has_dot_products = std::arch::is_aarch64_feature_detected!("dotprod");
        sets.push(Set::Neon);
        sets.extend(has_dot_products.then_some(Set::NeonDotProducts));
    }
    sets.into_iter().map(Instructions).collect()
}

/// Tile of any weights: where `extreme`, of the least and the greatest.
fn tile<const STEPS: usize>(random: &mut fastrand::Rng, extreme: bool) -> NibbleTile<STEPS> {
    let mut byte = || if extreme { 255 * random.u8(..2) } else { random.u8(..) };
    std::array::from_fn(|_| std::array::from_fn(|_| std::array::from_fn(|_| std::array::from_fn(|_| byte()))))
}

/// Any inputs: where `extreme`, the least or the greatest.
fn bytes<const STEPS: usize>(random: &mut fastrand::Rng, extreme: Option<i8>) -> Vec<i8> {
    (0..MAX_BLOCKS * STEPS * STEP).map(|_| extreme.unwrap_or_else(|| random.i8(..))).collect()
}

fn compare_nibbles_with_the_definition<const STEPS: usize>() {
    let mut random = fastrand::Rng::with_seed(3);
    for (case, extreme) in [None, Some(127), Some(-128)].into_iter().cycle().take(6).enumerate() {
        let weights = tile::<STEPS>(&mut random, case % 2 == 0);
        let input = bytes::<STEPS>(&mut random, extreme);
        let wanted: TileSums = std::array::from_fn(|block| {
            std::array::from_fn(|output| {
                let weight = |i: usize| {
                    let byte = weights[block][i / STEP][output / 16][output % 16 * 4 + i % 4];
                    i32::from(byte >> (i % STEP / 4 * 4) & 15) - 8
                };
                (0..STEPS * STEP).map(|i| weight(i) * i32::from(input[block * STEPS * STEP + i])).sum()
            })
        });
        for set in sets() {
            let mut sums = [[7; TILE]; MAX_BLOCKS];
            set.dot_nibbles(&mut sums, &weights, &NibbleInputs::new(&input));
            assert_eq!(sums, wanted, "{set:?}");
        }
    }
}

#[test]
fn products_of_nibbles_agree_with_the_definition() {
    compare_nibbles_with_the_definition::<8>();
    compare_nibbles_with_the_definition::<12>();
}

fn compare_added_nibbles_with_their_sums<const STEPS: usize>() {
    let mut random = fastrand::Rng::with_seed(6);
    for extreme in [None, Some(127), Some(-127)] {
        let tiles: [_; 3] = std::array::from_fn(|_| tile::<STEPS>(&mut random, extreme.is_some()));
        let inputs: Vec<i8> = bytes::<STEPS>(&mut random, extreme).into_iter().map(|input| input.max(-127)).collect();
        let scales: [[[f32; TILE]; MAX_BLOCKS]; 3] =
            std::array::from_fn(|_| std::array::from_fn(|_| std::array::from_fn(|_| random.f32() - 0.5)));
        let units = std::array::from_fn(|_| random.f32());
        let before: [[f32; TILE]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| random.f32()));
        let mut wanted = before;
        for ((wanted, tile), scales) in wanted.iter_mut().zip(&tiles).zip(&scales) {
            let mut sums = [[0; TILE]; MAX_BLOCKS];
            dot_nibbles(&mut sums, tile, &NibbleInputs::new(&inputs));
            add_scaled_sums(wanted, &sums, scales, &units);
        }
        assert!(wanted != before);
        for set in sets() {
            let mut output = before;
            set.add_nibble_products(&mut output, &tiles, &scales, &inputs, &units);
            assert_eq!(output, wanted, "{set:?}");
        }
    }
}

#[test]
fn added_products_of_nibbles_are_their_sums() {
    compare_added_nibbles_with_their_sums::<8>();
    compare_added_nibbles_with_their_sums::<12>();
}

#[test]
fn added_products_of_words_are_their_sums() {
    let mut random = fastrand::Rng::with_seed(7);
    for (outputs, blocks) in [(64, vec![32]), (70, vec![22, 4, 6]), (1, vec![2]), (33, vec![64, 64, 2, 62])] {
        let (pairs, tiles) = (blocks.iter().sum::<usize>(), usize::div_ceil(outputs, TILE));
        let matrix = WordMatrix {
            weights: (0..tiles * pairs).map(|_| WordPairs(std::array::from_fn(|_| random.u8(..)))).collect(),
            scales: (0..tiles * blocks.len()).map(|_| std::array::from_fn(|_| random.f32() - 0.5)).collect(),
            blocks: blocks.into(),
            pairs,
        };
        let inputs: Vec<[i16; 2]> = (0..pairs).map(|_| [random.i16(..), random.i16(..)]).collect();
        let units: [f32; MAX_BLOCKS] = std::array::from_fn(|_| random.f32());
        let before: Vec<f32> = (0..outputs).map(|_| random.f32()).collect();
        let mut wanted = before.clone();
        for (output, (weights, scales)) in wanted.chunks_mut(TILE).zip(matrix.tiles()) {
            let mut from = 0;
            let mut dot = |pairs: &usize| {
                from += pairs;
                dot_words(&weights[from - pairs..from], &inputs[from - pairs..from])
            };
            let sums: Vec<_> = matrix.blocks.iter().map(&mut dot).collect();
            add_scaled_sums(output, &sums, scales, &units);
        }
        assert!(wanted != before);
        for set in sets() {
            let mut output = before.clone();
            set.add_word_products(&mut output, &matrix, &inputs, &units);
            assert_eq!(output, wanted, "{set:?}");
        }
    }
}

fn compare_nibbles_with_each_alone<const STEPS: usize>() {
    let mut random = fastrand::Rng::with_seed(5);
    for extreme in [false, true] {
        let weights = tile::<STEPS>(&mut random, extreme);
        let streams: [_; STREAMS] =
            std::array::from_fn(|stream| bytes::<STEPS>(&mut random, (extreme && stream % 2 == 0).then_some(-128)));
        let inputs = streams.each_ref().map(|inputs| NibbleInputs::new(inputs));
        let mut wanted = [[[7; TILE]; MAX_BLOCKS]; STREAMS];
        wanted.iter_mut().zip(&inputs).for_each(|(sums, inputs)| dot_nibbles(sums, &weights, inputs));
        assert!(wanted[0] != wanted[1] && wanted[1] != wanted[3]);
        for set in sets() {
            let mut sums = [[[7; TILE]; MAX_BLOCKS]; STREAMS];
            set.dot_nibbles_of_streams(&mut sums, &weights, inputs.each_ref());
            assert_eq!(sums, wanted, "{set:?}");
        }
    }
}

#[test]
fn products_of_streams_are_those_of_each_alone() {
    compare_nibbles_with_each_alone::<8>();
    compare_nibbles_with_each_alone::<12>();
    let mut random = fastrand::Rng::with_seed(5);
    for pairs in [0, 2, 22, 64] {
        let weights: Vec<_> = (0..pairs).map(|_| WordPairs(std::array::from_fn(|_| random.u8(..)))).collect();
        let streams: [Vec<[i16; 2]>; STREAMS] =
            std::array::from_fn(|_| (0..pairs).map(|_| [random.i16(..), random.i16(..)]).collect());
        let inputs = streams.each_ref().map(|input| &input[..]);
        let wanted = inputs.map(|input| dot_words(&weights, input));
        for set in sets() {
            let mut sums = [[[7; TILE]; MAX_BLOCKS]; STREAMS];
            set.dot_words_of_streams(&mut sums, 2, &weights, inputs);
            assert_eq!(sums, wanted.map(|sums| [[7; TILE], [7; TILE], sums, [7; TILE]]), "{set:?}");
        }
    }
}

#[test]
fn products_of_words_agree_with_the_definition() {
    let mut random = fastrand::Rng::with_seed(4);
    for pairs in [0, 2, 22, 64] {
        let weights: Vec<WordPairs> = (0..pairs).map(|_| WordPairs(std::array::from_fn(|_| random.u8(..)))).collect();
        let input: Vec<[i16; 2]> = (0..pairs).map(|_| [random.i16(..), random.i16(..)]).collect();
        let wanted: [i32; TILE] = std::array::from_fn(|output| {
            let product =
                |pair: usize, i: usize| i32::from(weights[pair].0[2 * output + i] as i8) * i32::from(input[pair][i]);
            (0..pairs).map(|pair| product(pair, 0) + product(pair, 1)).sum()
        });
        for set in sets() {
            let mut sums = [7; TILE];
            set.dot_words(&mut sums, &weights, &input);
            assert_eq!(sums, wanted, "{set:?}");
        }
    }
}
