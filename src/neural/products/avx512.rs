//! Inner loops of the products for AVX-512 VNNI.
//!
//! Registers of 512 bits are no values of functions that may be compiled without AVX-512, as they must be for this crate's
//! oldest compiler. So the loops are assembly. Those for one stream use the upper half of the registers, which no other code
//! does; those for four streams use more, and clear what other code would wait for.

use std::arch::asm;

use super::{MAX_BLOCKS, NibbleInputs, NibbleTile, STEP, STREAMS, TILE, TileSums, WordPairs};

/// Clears four registers of sums.
macro_rules! clear {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(clear!($a), clear!($b), clear!($c), clear!($d))
    };
    ($sum:literal) => {
        concat!("vpxord zmm", $sum, ", zmm", $sum, ", zmm", $sum, "\n")
    };
}

/// # Safety
///
/// The machine must have AVX-512 VNNI; there must be as many weights as inputs, an even number.
#[inline]
pub unsafe fn dot_words(sums: &mut [i32; TILE], weights: &[WordPairs], input: &[[i16; 2]]) {
    // SAFETY: two pairs of weights, of 64 bytes, and of inputs, of 4 bytes, are read at a time, and twice as much as long as
    // there is as much. The sums are 128 bytes. The registers and the flags are named.
    unsafe {
        asm!(
            // As many sums as hide the latency of a product.
            clear!("16", "17", "18", "19"),
            clear!("20", "21", "22", "23"),
            "test rcx, rcx",
            "jz 3f",
            "2:",
            "vpmovsxbw zmm24, [rdx]",
            "vpmovsxbw zmm25, [rdx + 32]",
            "vpmovsxbw zmm26, [rdx + 64]",
            "vpmovsxbw zmm27, [rdx + 96]",
            "vpmovsxbw zmm28, [rdx + 128]",
            "vpmovsxbw zmm29, [rdx + 160]",
            "vpmovsxbw zmm30, [rdx + 192]",
            "vpmovsxbw zmm31, [rdx + 224]",
            "vpdpwssd zmm16, zmm24, dword ptr [rsi]{{1to16}}",
            "vpdpwssd zmm17, zmm25, dword ptr [rsi]{{1to16}}",
            "vpdpwssd zmm18, zmm26, dword ptr [rsi + 4]{{1to16}}",
            "vpdpwssd zmm19, zmm27, dword ptr [rsi + 4]{{1to16}}",
            "vpdpwssd zmm20, zmm28, dword ptr [rsi + 8]{{1to16}}",
            "vpdpwssd zmm21, zmm29, dword ptr [rsi + 8]{{1to16}}",
            "vpdpwssd zmm22, zmm30, dword ptr [rsi + 12]{{1to16}}",
            "vpdpwssd zmm23, zmm31, dword ptr [rsi + 12]{{1to16}}",
            "add rsi, 16",
            "add rdx, 256",
            "dec rcx",
            "jnz 2b",
            "3:",
            "test r8, r8",
            "jz 4f",
            "vpmovsxbw zmm24, [rdx]",
            "vpmovsxbw zmm25, [rdx + 32]",
            "vpmovsxbw zmm26, [rdx + 64]",
            "vpmovsxbw zmm27, [rdx + 96]",
            "vpdpwssd zmm16, zmm24, dword ptr [rsi]{{1to16}}",
            "vpdpwssd zmm17, zmm25, dword ptr [rsi]{{1to16}}",
            "vpdpwssd zmm18, zmm26, dword ptr [rsi + 4]{{1to16}}",
            "vpdpwssd zmm19, zmm27, dword ptr [rsi + 4]{{1to16}}",
            "4:",
            "vpaddd zmm16, zmm16, zmm18",
            "vpaddd zmm17, zmm17, zmm19",
            "vpaddd zmm20, zmm20, zmm22",
            "vpaddd zmm21, zmm21, zmm23",
            "vpaddd zmm16, zmm16, zmm20",
            "vpaddd zmm17, zmm17, zmm21",
            "vmovdqu32 [rdi], zmm16",
            "vmovdqu32 [rdi + 64], zmm17",
            inout("rsi") input.as_ptr() => _,
            inout("rdx") weights.as_ptr() => _,
            inout("rcx") input.len() / 4 => _,
            in("r8") input.len() / 2 % 2,
            in("rdi") sums.as_mut_ptr(),
            clobber_abi("sysv64"),
            options(nostack),
        );
    }
}

/// Adds to four registers of sums the products of the weights in registers 24 to 27 and two groups of inputs at an address: the
/// first group for 24 and 25, the next for 26 and 27.
macro_rules! add_products {
    ($product:literal, $input:literal: $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!($product, " zmm", $a, ", zmm24, dword ptr [", $input, " + rax]{{1to16}}\n"),
            concat!($product, " zmm", $b, ", zmm25, dword ptr [", $input, " + rax]{{1to16}}\n"),
            concat!($product, " zmm", $c, ", zmm26, dword ptr [", $input, " + rax + 4]{{1to16}}\n"),
            concat!($product, " zmm", $d, ", zmm27, dword ptr [", $input, " + rax + 4]{{1to16}}\n"),
        )
    };
}

/// Writes the sums of a stream, which are in two parts.
macro_rules! store_words {
    ($to:literal: $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!("vpaddd zmm", $a, ", zmm", $a, ", zmm", $c, "\n"),
            concat!("vpaddd zmm", $b, ", zmm", $b, ", zmm", $d, "\n"),
            concat!("vmovdqu32 [", $to, "], zmm", $a, "\n"),
            concat!("vmovdqu32 [", $to, " + 64], zmm", $b, "\n"),
        )
    };
}

/// # Safety
///
/// The machine must have AVX-512 VNNI; there must be as many weights as inputs of each stream, an even number.
pub unsafe fn dot_words_of_four(
    sums: [&mut [i32; TILE]; STREAMS],
    weights: &[WordPairs],
    inputs: [&[[i16; 2]]; STREAMS],
) {
    if weights.is_empty() {
        return sums.into_iter().for_each(|sums| *sums = [0; TILE]);
    }
    let [a, b, c, d] = inputs.map(|input| input.as_ptr_range().end);
    let [first, second, third, last] = sums.map(|sums| sums.as_mut_ptr());
    // SAFETY: two pairs of weights, of 64 bytes, and of the inputs of each stream, of 4 bytes, are read at a time; the inputs
    // are counted from their ends. The sums of each stream are 128 bytes. The registers and the flags are named.
    unsafe {
        asm!(
            clear!("0", "1", "2", "3"),
            clear!("4", "5", "6", "7"),
            clear!("16", "17", "18", "19"),
            clear!("20", "21", "22", "23"),
            "2:",
            "vpmovsxbw zmm24, [rdx]",
            "vpmovsxbw zmm25, [rdx + 32]",
            "vpmovsxbw zmm26, [rdx + 64]",
            "vpmovsxbw zmm27, [rdx + 96]",
            add_products!("vpdpwssd", "rsi": "0", "1", "2", "3"),
            add_products!("vpdpwssd", "rdi": "4", "5", "6", "7"),
            add_products!("vpdpwssd", "r10": "16", "17", "18", "19"),
            add_products!("vpdpwssd", "r11": "20", "21", "22", "23"),
            "sub rdx, -128",
            "add rax, 8",
            "jnz 2b",
            store_words!("rcx": "0", "1", "2", "3"),
            store_words!("r8": "4", "5", "6", "7"),
            store_words!("r9": "16", "17", "18", "19"),
            store_words!("{last}": "20", "21", "22", "23"),
            "vzeroupper",
            inout("rdx") weights.as_ptr() => _,
            in("rsi") a,
            in("rdi") b,
            in("r10") c,
            in("r11") d,
            inout("rax") -(size_of_val(inputs[0]) as isize) => _,
            in("rcx") first,
            in("r8") second,
            in("r9") third,
            last = in(reg) last,
            clobber_abi("sysv64"),
            options(nostack),
        );
    }
}

/// Nibbles of a step at an address: the low ones into registers 24 and 25, the high ones, 16-fold, into 26 and 27. They save a
/// shift for each line: the sums of the high nibbles are shifted at the end.
macro_rules! unpack {
    ($at:literal) => {
        concat!(
            concat!("vmovdqu64 zmm30, [", $at, "]\n"),
            concat!("vmovdqu64 zmm31, [", $at, " + 64]\n"),
            "vpandd zmm24, zmm30, zmm28\n",
            "vpandd zmm25, zmm31, zmm28\n",
            "vpandd zmm26, zmm30, zmm29\n",
            "vpandd zmm27, zmm31, zmm29\n",
        )
    };
}

/// Starts the sums of a block with the number at an address: in two registers, and with 0 in those of the high nibbles.
macro_rules! start {
    ($at:literal: $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!("vpbroadcastd zmm", $a, ", [", $at, "]\n"),
            concat!("vmovdqa32 zmm", $b, ", zmm", $a, "\n"),
            clear!($c),
            clear!($d),
        )
    };
}

/// Writes the sums of a block, whose high nibbles were 16-fold.
macro_rules! store_nibbles {
    ($to:literal: $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!("vpsrad zmm", $c, ", zmm", $c, ", 4\n"),
            concat!("vpsrad zmm", $d, ", zmm", $d, ", 4\n"),
            store_words!($to: $a, $b, $c, $d),
        )
    };
}

/// Fetches the two lines of a step that are so many bytes further on: the processor fetches too few ahead by itself.
macro_rules! prefetch {
    ($ahead:literal) => {
        concat!("prefetcht0 [rdx + ", $ahead, "]\nprefetcht0 [rdx + ", $ahead, " + 64]\n")
    };
}

/// Low nibbles of four bytes.
const LOW: u32 = 0x0f0f_0f0f;

/// # Safety
///
/// The machine must have AVX-512 VNNI.
pub unsafe fn dot_nibbles<const STEPS: usize>(
    sums: &mut TileSums,
    weights: &NibbleTile<STEPS>,
    inputs: &NibbleInputs<'_, STEPS>,
) {
    let (sums, _) = sums.as_chunks_mut::<2>();
    let pairs =
        weights.as_chunks::<2>().0.iter().zip(inputs.blocks.as_chunks::<2>().0).zip(inputs.starts.as_chunks::<2>().0);
    // Two blocks side by side are as many sums as hide the latency of a product.
    for (sums, ((weights, values), starts)) in sums.iter_mut().zip(pairs) {
        // SAFETY: a step is 128 bytes; of its inputs, counted from the end of the first block, two groups are read
        // at a time, and as many of the second block. The sums of a block are 128 bytes. The registers and the flags are named.
        unsafe {
            asm!(
                "vpbroadcastd zmm28, {low:e}",
                "vpslld zmm29, zmm28, 4",
                start!("r8": "16", "17", "18", "19"),
                start!("r8 + 4": "20", "21", "22", "23"),
                "2:",
                unpack!("rdx"),
                add_products!("vpdpbusd", "rsi": "16", "17", "18", "19"),
                unpack!("rdx + {block}"),
                add_products!("vpdpbusd", "rsi + {inputs}": "20", "21", "22", "23"),
                prefetch!("2 * {block}"),
                prefetch!("3 * {block}"),
                "sub rdx, -128",
                "add rax, 8",
                "jnz 2b",
                store_nibbles!("rdi": "16", "17", "18", "19"),
                store_nibbles!("rdi + 128": "20", "21", "22", "23"),
                low = in(reg) LOW,
                block = const size_of::<NibbleTile<STEPS>>() / MAX_BLOCKS,
                inputs = const STEPS * STEP,
                in("r8") starts.as_ptr(),
                inout("rdx") weights.as_ptr() => _,
                in("rsi") values.as_ptr().add(1),
                inout("rax") -((STEPS * STEP) as isize) => _,
                in("rdi") sums.as_mut_ptr(),
                clobber_abi("sysv64"),
                options(nostack),
            );
        }
    }
}

/// Sums of a block of `$steps` steps for several streams, for which its weights are unpacked once. Of each stream: the address of
/// what its sums start with, and the one they go to; the register with the end of its inputs, and that; four registers for sums.
macro_rules! dot_block {
    ($sums:expr, $weights:expr, $starts:expr, $steps:ident,
        $($start:literal, $to:literal, $inputs:tt = $end:expr, $a:literal, $b:literal, $c:literal, $d:literal;)+) => {
        asm!(
            "vpbroadcastd zmm28, {low:e}",
            "vpslld zmm29, zmm28, 4",
            $(start!($start: $a, $b, $c, $d),)+
            "2:",
            unpack!("rdx"),
            $(add_products!("vpdpbusd", $inputs: $a, $b, $c, $d),)+
            prefetch!("{ahead}"),
            "sub rdx, -128",
            "add rax, 8",
            "jnz 2b",
            $(store_nibbles!($to: $a, $b, $c, $d),)+
            "vzeroupper",
            low = in(reg) LOW,
            ahead = const size_of::<NibbleTile<$steps>>(),
            in("r8") $starts.as_ptr(),
            inout("rdx") $weights.as_ptr() => _,
            $(in($inputs) $end,)+
            inout("rax") -(($steps * STEP) as isize) => _,
            in("rcx") $sums,
            clobber_abi("sysv64"),
            options(nostack),
        )
    };
}

/// # Safety
///
/// The machine must have AVX-512 VNNI.
pub unsafe fn dot_nibbles_of_four<const STEPS: usize>(
    sums: &mut [TileSums; STREAMS],
    weights: &NibbleTile<STEPS>,
    inputs: [&NibbleInputs<'_, STEPS>; STREAMS],
) {
    for (block, weights) in weights.iter().enumerate() {
        let starts = inputs.map(|inputs| inputs.starts[block]);
        // Those of the other streams lie behind, so this is a pointer to all.
        let to = sums.as_flattened_mut()[block..].as_mut_ptr();
        let [a, b, c, d] = inputs.map(|inputs| inputs.blocks[block].as_ptr_range().end);
        // SAFETY: a step is 128 bytes; two groups of the inputs of each stream, counted from their ends, are read at
        // a time. The sums of a block are 128 bytes, those of a stream 512. The registers and the flags are named.
        unsafe {
            dot_block!(to, weights, starts, STEPS,
                "r8", "rcx", "rsi" = a, "0", "1", "2", "3";
                "r8 + 4", "rcx + 512", "rdi" = b, "4", "5", "6", "7";
                "r8 + 8", "rcx + 1024", "r10" = c, "16", "17", "18", "19";
                "r8 + 12", "rcx + 1536", "r11" = d, "20", "21", "22", "23";
            );
        }
    }
}
