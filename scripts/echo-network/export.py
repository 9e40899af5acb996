#!/usr/bin/env python3
"""Rounds what train.py wrote to 8-bit integers.

usage: scripts/echo-network/export.py IN.npz src/neural/echo/weights.bin

First come the integers of all tensors, then their scales: one for 64 weights of a matrix, or for 16 biases.
"""
import sys
import numpy as np

floats = np.load(sys.argv[1])
matrices = [floats[name] for name in ("dense", "input", "recurrent", "out")]
biases = [floats["dense_bias"], np.concatenate([floats["input_bias"], floats["recurrent_bias"]]), floats["out_bias"]]
integers, scales = [], []
for tensor, block in [(matrix, 64) for matrix in matrices] + [(bias, 16) for bias in biases]:
    flat = tensor.ravel()
    blocks = np.pad(flat, (0, -len(flat) % block)).reshape(-1, block)
    scale = np.maximum(np.abs(blocks).max(1), 1e-12).astype("<f4") / np.float32(127)
    scales.append(scale)
    integers.append(np.rint(blocks / scale[:, None]).astype("i1").ravel()[: len(flat)])
with open(sys.argv[2], "wb") as file:
    for part in integers + scales:
        file.write(part.tobytes())
