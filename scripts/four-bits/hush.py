#!/usr/bin/env python3
"""Rounds the recurrent matrices of Hush to 4 bits.

usage: hush.py HUSH_VANI/weights.bin PRODUCTS WEIGHTS.bin
Reads the weights as the crate hush-vani 0.1.2 ships them: 8-bit integers, then a scale for each few of them. Writes the matrices in 4
bits, their scales, and what is left of the integers and of the scales, as `src/neural/hush/tensors.rs` reads them.
"""
import sys

import numpy as np

from rounding import pack, pack_scales, quantise, read_products

INTEGERS, MATRIX, BLOCK, STATE = 2_282_176, 3 * 256 * 256, 64, 256
# Input and state of the encoder, the mask decoder, and three units of the filter decoder: first integer, first scale.
MATRICES = [(72000, 2983), (268608, 6055), (534976, 12167), (731584, 15239), (1097920, 21184),
            (1294528, 24256), (1492672, 27352), (1689280, 30424), (1887424, 33520), (2084032, 36592)]

data = np.fromfile(sys.argv[1], np.uint8)
integers, scales = data[:INTEGERS].view(np.int8), data[INTEGERS:].view("<f4")
_, products = read_products(sys.argv[2])
all_codes, all_scales = b"", b""
for (at, scale_at), inputs in zip(MATRICES, products):
    blocks = integers[at:at + MATRIX].astype(np.float64).reshape(-1, BLOCK)
    weights = blocks * scales[scale_at:scale_at + len(blocks), None]
    codes, new_scales = quantise(weights.reshape(-1, STATE), inputs, 0.01)
    all_codes += pack(codes)
    all_scales += pack_scales(new_scales)
left = np.ones(len(integers), bool)
scales_left = np.ones(len(scales), bool)
for at, scale_at in MATRICES:
    left[at:at + MATRIX] = False
    scales_left[scale_at:scale_at + MATRIX // BLOCK] = False
with open(sys.argv[3], "wb") as file:
    file.write(all_codes + all_scales + integers[left].tobytes() + scales[scales_left].tobytes())
