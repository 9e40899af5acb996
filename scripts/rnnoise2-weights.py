#!/usr/bin/env python3
"""Extracts the weights of RNNoise 0.2 (Xiph.Org, BSD-3-Clause) from the library that the PyPI package pyrnnoise ships.

usage: rnnoise2-weights.py LIBRNNOISE.so WEIGHTS.bin
(pip download --no-deps pyrnnoise==0.4.5, unzip it; the library is in it.) Needs nothing but Python.

WEIGHTS.bin is src/neural/rnnoise2/weights.bin: the arrays below, one after the other, byte for byte as in the library. A matrix
of 8-bit integers lies in blocks of 8 outputs, and in each in groups of 4 inputs: 32 bytes, 4 of each output. The library can
leave blocks out (`_idx`); in this model none is.
"""
import struct
import sys

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
MATRICES = [("conv2", 384, 384)] + [(name, 384, 1152) for name in GRUS]

out = b""
for name, inputs, outputs in MATRICES:
    weights = array(f"{name}_weights_int8", inputs * outputs)
    # AVX2 adds two products of an unsigned and a signed byte with saturation; inputs go up to 254.
    signed = [byte - 256 if byte > 127 else byte for byte in weights]
    pairs = zip(signed[::2], signed[1::2])
    assert all(254 * max(max(a, 0) + max(b, 0), -min(a, 0) - min(b, 0)) < 32768 for a, b in pairs), name
    if name != "conv2":
        index = array(f"{name}_weights_idx", outputs // 8 * (inputs // 4 + 1) * 4)
        row = struct.pack(f"<{inputs // 4 + 1}i", inputs // 4, *range(0, inputs, 4))
        assert index == row * (outputs // 8), f"{name} is sparse"
    out += weights
for name, _, outputs in MATRICES:
    out += array(f"{name}_scale", 4 * outputs) + array(f"{name}_bias", 4 * outputs)
for name in GRUS[1::2]:
    out += array(f"{name}_weights_diag", 4 * 1152)
# Of floats, a row for each input.
for name, inputs, outputs in [("conv1", 195, 128), ("dense_out", 1536, 32), ("vad_dense", 1536, 1)]:
    out += array(f"{name}_weights_float", 4 * inputs * outputs) + array(f"{name}_bias", 4 * outputs)
open(sys.argv[2], "wb").write(out)
print(len(out), "bytes")
