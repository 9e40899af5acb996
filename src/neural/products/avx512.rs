//! Inner loops of the products for AVX-512 VNNI.
//!
//! Registers of 512 bits are no values of functions that may be compiled without AVX-512, as they must be for this crate's
//! oldest compiler. So the loops are assembly. Those for one stream use the upper half of the registers, which no other code
//! does; those for four streams use more, and clear what other code would wait for.

use std::arch::asm;

use super::{BYTE_GROUP, BYTE_ROWS, ByteGroup, PANEL, STREAMS, TILE, WordPairs};

/// Groups of inputs that are spread over a register each, at a time.
const SPREAD: usize = 96;

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
/// The machine must have AVX-512 VNNI; there must be as many weights as sums times inputs.
pub unsafe fn add_bytes(sums: &mut [[i32; BYTE_ROWS]], weights: &[ByteGroup], input: &[[u8; BYTE_GROUP]]) {
    let (mut spread, mut from) = ([[[0; BYTE_GROUP]; BYTE_ROWS]; SPREAD], 0);
    // No network has others.
    if !input.len().is_multiple_of(4) || input.len() > SPREAD {
        return super::add_bytes(sums, weights, input);
    }
    for (spread, input) in spread.iter_mut().zip(input) {
        *spread = [*input; BYTE_ROWS];
    }
    for sums in sums {
        // SAFETY: the block has as many groups as there are inputs, of 32 bytes each, like those spread out; four are
        // read at a time. The sums are 32 bytes. The registers and the flags are named.
        unsafe {
            asm!(
                "vpxord zmm16, zmm16, zmm16",
                "vpxord zmm17, zmm17, zmm17",
                "2:",
                "vmovdqu64 zmm18, [rsi]",
                "vmovdqu64 zmm19, [rsi + 64]",
                "vpdpbusd zmm16, zmm18, [rdx]",
                "vpdpbusd zmm17, zmm19, [rdx + 64]",
                "add rsi, 128",
                "add rdx, 128",
                "dec rcx",
                "jnz 2b",
                "vpaddd zmm16, zmm16, zmm17",
                "vextracti64x4 ymm17, zmm16, 1",
                "vpaddd ymm16, ymm16, ymm17",
                "vpaddd ymm16, ymm16, [rdi]",
                "vmovdqu32 [rdi], ymm16",
                inout("rsi") spread.as_ptr() => _,
                inout("rdx") weights.as_ptr().add(from) => _,
                inout("rcx") input.len() / 4 => _,
                inout("rdi") sums.as_mut_ptr() => _,
                clobber_abi("sysv64"),
                options(nostack),
            );
        }
        from += input.len();
    }
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

/// Lanes of two groups of weights, so that those of an output are neighbours.
static PAIRED: [u32; 16] = [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15];

/// Adds to the sums of four blocks the products of their weights and two groups of inputs at an address.
macro_rules! add_products {
    ($input:literal: $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!("vpbroadcastq zmm20, qword ptr [", $input, " + rax]\n"),
            concat!("vpdpbusd zmm", $a, ", zmm20, zmm16\n"),
            concat!("vpdpbusd zmm", $b, ", zmm20, zmm17\n"),
            concat!("vpdpbusd zmm", $c, ", zmm20, zmm18\n"),
            concat!("vpdpbusd zmm", $d, ", zmm20, zmm19\n"),
        )
    };
}

/// Adds the sums of four blocks, two neighbours of which belong to an output, to those in memory.
macro_rules! store_sums {
    ($at:literal: $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            store_sums!($a, $at, "0"),
            store_sums!($b, $at, "32"),
            store_sums!($c, $at, "64"),
            store_sums!($d, $at, "96")
        )
    };
    ($sum:literal, $at:literal, $block:literal) => {
        concat!(
            concat!("vpsrlq zmm20, zmm", $sum, ", 32\n"),
            concat!("vpaddd zmm20, zmm20, zmm", $sum, "\n"),
            "vpmovqd ymm20, zmm20\n",
            concat!("vpaddd ymm20, ymm20, [rcx + ", $at, " + ", $block, "]\n"),
            concat!("vmovdqu32 [rcx + ", $at, " + ", $block, "], ymm20\n"),
        )
    };
}

/// # Safety
///
/// The machine must have AVX-512 VNNI; all inputs must be as long as the first, of an even number of groups and at least two,
/// and there must be as many weights as a panel has outputs times inputs.
pub unsafe fn add_panel(
    sums: &mut [[i32; PANEL]; STREAMS],
    weights: &[ByteGroup],
    inputs: [&[[u8; BYTE_GROUP]]; STREAMS],
    part: usize,
) {
    let groups = inputs[0].len();
    let (block, bytes) = (groups * size_of::<ByteGroup>(), groups * BYTE_GROUP);
    let [a, b, c, d] = inputs.map(|input| input.as_ptr_range().end);
    // SAFETY: each of the four blocks has as many groups as there are inputs, of 32 bytes each; two are read at a time, and 8
    // bytes of the inputs of each stream, counted from their ends. What is fetched ahead may lie behind the matrix. The sums
    // are 512 bytes. The registers and the flags are named.
    unsafe {
        asm!(
            "vmovdqu32 zmm24, [{paired}]",
            clear!("0", "1", "2", "3"),
            clear!("4", "5", "6", "7"),
            clear!("8", "9", "10", "11"),
            clear!("12", "13", "14", "15"),
            "2:",
            "vpermd zmm16, zmm24, [rdx]",
            "vpermd zmm17, zmm24, [rdx + r8]",
            "vpermd zmm18, zmm24, [rdx + 2 * r8]",
            "vpermd zmm19, zmm24, [rdx + r9]",
            "prefetcht0 [rdx + {next}]",
            add_products!("rsi": "0", "1", "2", "3"),
            add_products!("rdi": "4", "5", "6", "7"),
            add_products!("r10": "8", "9", "10", "11"),
            add_products!("r11": "12", "13", "14", "15"),
            "add rdx, 64",
            "add rax, 8",
            "jnz 2b",
            store_sums!("0": "0", "1", "2", "3"),
            store_sums!("128": "4", "5", "6", "7"),
            store_sums!("256": "8", "9", "10", "11"),
            store_sums!("384": "12", "13", "14", "15"),
            "vzeroupper",
            paired = in(reg) PAIRED.as_ptr(),
            next = in(reg) (PANEL / BYTE_ROWS + part) * block,
            inout("rdx") weights.as_ptr() => _,
            in("r8") block,
            in("r9") 3 * block,
            in("rsi") a,
            in("rdi") b,
            in("r10") c,
            in("r11") d,
            inout("rax") -(bytes as isize) => _,
            in("rcx") sums.as_mut_ptr(),
            clobber_abi("sysv64"),
            options(nostack),
        );
    }
}

/// Adds to the sums of a stream the products of two pairs of weights of each output and two pairs of inputs at an address.
macro_rules! add_words {
    ($input:literal: $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!("vpdpwssd zmm", $a, ", zmm24, dword ptr [", $input, " + rax]{{1to16}}\n"),
            concat!("vpdpwssd zmm", $b, ", zmm25, dword ptr [", $input, " + rax]{{1to16}}\n"),
            concat!("vpdpwssd zmm", $c, ", zmm26, dword ptr [", $input, " + rax + 4]{{1to16}}\n"),
            concat!("vpdpwssd zmm", $d, ", zmm27, dword ptr [", $input, " + rax + 4]{{1to16}}\n"),
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
            add_words!("rsi": "0", "1", "2", "3"),
            add_words!("rdi": "4", "5", "6", "7"),
            add_words!("r10": "16", "17", "18", "19"),
            add_words!("r11": "20", "21", "22", "23"),
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
