#!/usr/bin/env python3
"""Makes the reference of RNNoise 0.2: what the C library gives for a fixture with the weights of this crate.

usage: rnnoise2-reference.py LIBRNNOISE.so IN.wav OUT.wav OUT.vad
(the library of the PyPI package pyrnnoise 0.4.5. Needs numpy.) IN.wav: 48 kHz mono, 16-bit. OUT.wav: its frames 100 to 249 without
noise, as the library gives them, 20 ms late. OUT.vad: the speech probability of every frame, 32-bit floats.

The large matrices are read from src/neural/rnnoise2/weights.bin, become floats again, and are put in the place of the library's own
floats, which it prefers to its 8-bit integers. It does not round the inputs of a matrix.
"""
import ctypes
import sys
import wave

import numpy as np

FRAME, FIRST, LAST = 480, 100, 250
LAYERS, LAYER_BYTES, FLOAT_WEIGHTS, INTEGER_WEIGHTS = 10, 0x40, 0x18, 0x10
INPUTS, TILE, BLOCKS = 384, 32, 4
OUTPUTS = [384] + 6 * [1152]


def matrices(path):
    """Weights of each matrix, a row for each output. What is 1 for this crate's bytes is 127."""
    with open(path, "rb") as file:
        codes = [np.frombuffer(file.read(outputs * INPUTS // 2), np.uint8) for outputs in OUTPUTS]
        for outputs, packed in zip(OUTPUTS, codes):
            scales = np.frombuffer(file.read(4 * outputs * BLOCKS), np.float32).reshape(-1, BLOCKS, TILE)
            file.read(4 * outputs)
            # Tile, step, half of the tile, output, input of a group; and the group.
            packed = packed.reshape(outputs // TILE, INPUTS // 8, 2, TILE // 2, 4)
            values = np.stack([packed & 15, packed >> 4], 2).transpose(0, 3, 4, 1, 2, 5).reshape(outputs, BLOCKS, -1)
            rows = scales.transpose(0, 2, 1).reshape(outputs, BLOCKS, 1)
            yield (127 * rows * (values - 8.0)).reshape(outputs, INPUTS).astype(np.float32)


library = ctypes.CDLL(sys.argv[1])
library.rnnoise_create.restype = ctypes.c_void_p
library.rnnoise_create.argtypes = [ctypes.c_void_p]
library.rnnoise_process_frame.restype = ctypes.c_float
library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] + 2 * [ctypes.POINTER(ctypes.c_float)]

state = library.rnnoise_create(None)
ours = matrices("src/neural/rnnoise2/weights.bin")
kept = []
for layer in range(LAYERS):
    at = lambda offset: ctypes.cast(state + layer * LAYER_BYTES + offset, ctypes.POINTER(ctypes.c_void_p))
    if at(INTEGER_WEIGHTS)[0]:
        weights = next(ours)
        # A dense layer has a row for each input, a sparse one does in each block of 8 outputs.
        width = len(weights) if len(weights) == INPUTS else 8
        weights = np.ascontiguousarray(weights.reshape(-1, width, INPUTS).transpose(0, 2, 1))
        theirs = np.ctypeslib.as_array(ctypes.cast(at(FLOAT_WEIGHTS)[0], ctypes.POINTER(ctypes.c_float)), weights.shape)
        assert np.corrcoef(theirs.ravel(), weights.ravel())[0, 1] > 0.98, layer
        kept.append(weights)
        at(FLOAT_WEIGHTS)[0] = weights.ctypes.data

with wave.open(sys.argv[2]) as file:
    assert file.getparams()[:3] == (1, 2, 48000)
    samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32)
sound, probabilities = [], []
for index in range(len(samples) // FRAME):
    frame = (ctypes.c_float * FRAME)(*samples[index * FRAME:(index + 1) * FRAME])
    out = (ctypes.c_float * FRAME)()
    probabilities.append(library.rnnoise_process_frame(state, out, frame))
    if FIRST <= index < LAST:
        sound.extend(round(sample) for sample in out)
with wave.open(sys.argv[3], "wb") as file:
    file.setparams((1, 2, 48000, 0, "NONE", ""))
    file.writeframes(np.array(sound, np.int16).tobytes())
with open(sys.argv[4], "wb") as file:
    file.write(np.array(probabilities, np.float32).tobytes())
