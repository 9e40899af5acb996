#!/usr/bin/env python3
"""Makes the reference of RNNoise 0.2: what the C library gives for a fixture.

usage: rnnoise2-reference.py LIBRNNOISE.so IN.wav OUT.wav OUT.vad
(the library of scripts/rnnoise2-weights.py.) IN.wav: 48 kHz mono, 16-bit. OUT.wav: its frames 100 to 249 without noise, as the
library gives them, 20 ms late. OUT.vad: the speech probability of every frame, 32-bit floats.

The package is built with a second set of weights, of floats, which the library prefers. It is taken away here, so that the library
computes with the 8-bit integers.
"""
import array
import ctypes
import sys
import wave

FRAME, FIRST, LAST = 480, 100, 250
LAYERS, LAYER_BYTES, FLOAT_WEIGHTS, INTEGER_WEIGHTS = 10, 0x40, 0x18, 0x10

library = ctypes.CDLL(sys.argv[1])
library.rnnoise_create.restype = ctypes.c_void_p
library.rnnoise_create.argtypes = [ctypes.c_void_p]
library.rnnoise_process_frame.restype = ctypes.c_float
library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] + 2 * [ctypes.POINTER(ctypes.c_float)]

state = library.rnnoise_create(None)
for layer in range(LAYERS):
    at = lambda offset: ctypes.cast(state + layer * LAYER_BYTES + offset, ctypes.POINTER(ctypes.c_void_p))
    if at(INTEGER_WEIGHTS)[0]:
        at(FLOAT_WEIGHTS)[0] = None

with wave.open(sys.argv[2]) as file:
    assert file.getparams()[:3] == (1, 2, 48000)
    samples = array.array("h", file.readframes(file.getnframes()))
sound, probabilities = array.array("h"), array.array("f")
for index in range(len(samples) // FRAME):
    frame = (ctypes.c_float * FRAME)(*samples[index * FRAME:(index + 1) * FRAME])
    out = (ctypes.c_float * FRAME)()
    probabilities.append(library.rnnoise_process_frame(state, out, frame))
    if FIRST <= index < LAST:
        sound.extend(round(sample) for sample in out)
with wave.open(sys.argv[3], "wb") as file:
    file.setparams((1, 2, 48000, 0, "NONE", ""))
    file.writeframes(sound.tobytes())
open(sys.argv[4], "wb").write(probabilities.tobytes())
