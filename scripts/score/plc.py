#!/usr/bin/env python3
"""PLCMOS and PESQ-WB of what was heard over a lossy network.

usage: scripts/score/plc.py REFERENCE.wav HEARD.wav...   one row each
"""
import os
import sys
import warnings

import numpy as np
import soundfile as sf
from pesq import pesq
from scipy.signal import fftconvolve, resample_poly
from speechmos import plcmos

RATE = 16000
warnings.filterwarnings("ignore")


def load(path):
    x, rate = sf.read(path, dtype="float64", always_2d=True)
    x = x[:, 0]
    if rate != RATE:
        common = np.gcd(rate, RATE)
        x = resample_poly(x, RATE // common, rate // common)
    return x


if len(sys.argv) < 3:
    sys.exit(__doc__)
reference = load(sys.argv[1])
for path in sys.argv[2:]:
    heard = load(path)
    n = min(len(heard), len(reference))
    correlation = fftconvolve(heard[:n], reference[:n][::-1])
    lag = int(np.argmax(correlation[n - 1 : n - 1 + RATE // 2]))
    heard = heard[lag : lag + n]
    n = min(len(heard), len(reference))
    mos = plcmos.run(np.clip(heard[:n], -1, 1), RATE)["plcmos"]
    score = pesq(RATE, reference[:n], heard[:n], "wb")
    print(f"{os.path.basename(path):40s} delay {lag / 16:.1f} ms  PLCMOS {mos:.2f}  PESQ {score:.2f}")
