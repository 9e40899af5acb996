#!/usr/bin/env python3
"""Takes the weights of RNNoise 0.2 (Xiph.Org, BSD-3-Clause) out of the library that the PyPI package pyrnnoise ships, and rounds
the large matrices to 4 bits.

usage: rnnoise2.py LIBRNNOISE.so PRODUCTS WEIGHTS.bin
(pip download --no-deps pyrnnoise==0.4.5, unzip it; the library is in it.)

WEIGHTS.bin is src/neural/rnnoise2/weights.bin: the codes of the matrices, then for each the scales of its tiles and blocks and its
biases, then the other arrays, as in the library. The library has the matrices as floats too; these are rounded. A row for each
input, of all outputs in a dense layer, of each 8 outputs in the others, of which the library can leave blocks out (`_idx`); in
this model none is.
"""
import struct
import sys

import numpy as np

from rounding import pack, pack_scales, quantise, read_products

data = open(sys.argv[1], "rb").read()
assert data[:6] == b"\x7fELF\x02\x01", "an ELF file, 64 bits, little-endian"
table, = struct.unpack_from("<Q", data, 0x28)
entry, count = struct.unpack_from("<HH", data, 0x3A)
sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * entry) for i in range(count)]

def content(section):
    return data[section[4]:section[4] + section[5]]

def at(address, size):
    """Bytes at an address of the loaded library."""
    for _, kind, _, start, offset, length, *_ in sections:
        if start and kind != 8 and start <= address and address + size <= start + length:
            return data[address - start + offset:address - start + offset + size]
    raise SystemExit(f"nothing at {address:#x}")

symbols = {}
for section in sections:
    if section[1] == 2:  # SHT_SYMTAB
        names, rows = content(sections[section[6]]), content(section)
        for i in range(0, len(rows), 24):
            name, _, _, _, value, size = struct.unpack_from("<IBBHQQ", rows, i)
            symbols[names[name:names.index(b"\0", name)].decode()] = (value, size)

def array(name, size):
    address, found = symbols[name]
    assert found == size, (name, found, size)
    return at(address, size)

GRUS = [f"gru{i}_{part}" for i in (1, 2, 3) for part in ("input", "recurrent")]
MATRICES = ["conv2", *GRUS]
# In each unit a frame needs the state first.
NEEDED = ["conv2", *(name for pair in zip(GRUS[1::2], GRUS[::2]) for name in pair)]
INPUTS = 384

products = dict(zip(NEEDED, read_products(sys.argv[2])[0]))
codes, others = b"", b""
for name in MATRICES:
    outputs = 384 if name == "conv2" else 1152
    width = 384 if name == "conv2" else 8
    if name != "conv2":
        index = array(f"{name}_weights_idx", outputs // 8 * (INPUTS // 4 + 1) * 4)
        row = struct.pack(f"<{INPUTS // 4 + 1}i", INPUTS // 4, *range(0, INPUTS, 4))
        assert index == row * (outputs // 8), f"{name} is sparse"
    rows = np.frombuffer(array(f"{name}_weights_float", 4 * INPUTS * outputs), "<f4").reshape(-1, INPUTS, width)
    matrix_codes, scales = quantise(rows.transpose(0, 2, 1).reshape(outputs, INPUTS), products[name], 0.2)
    codes += pack(matrix_codes)
    # Inputs are bytes, of which 127 are 1.
    others += pack_scales(scales / 127) + array(f"{name}_bias", 4 * outputs)
for name in GRUS[1::2]:
    others += array(f"{name}_weights_diag", 4 * 1152)
for name, inputs, outputs in [("conv1", 195, 128), ("dense_out", 1536, 32), ("vad_dense", 1536, 1)]:
    others += array(f"{name}_weights_float", 4 * inputs * outputs) + array(f"{name}_bias", 4 * outputs)
with open(sys.argv[3], "wb") as file:
    file.write(codes + others)
