#!/usr/bin/env python3
"""Scores processed files against their clean references.

usage: scripts/score/score.py PAIRS_DIR SYSTEM_DIR...
PAIRS_DIR holds NAME.clean.wav and NAME.noisy.wav (mix.py); each SYSTEM_DIR holds NAME.wav at any rate. Prints a row for the noisy files
and one for each system, means over all: the delay found (ms), PESQ-WB, STOI, SI-SDR (dB), DNSMOS OVRL, SIG and BAK, the noise left
before the speech (dB below the noisy input) and the change of the speech's level (dB).
"""
import glob
import os
import sys

import numpy as np
import soundfile as sf
from pesq import pesq
from pystoi import stoi
from scipy.signal import fftconvolve, resample_poly
from speechmos import dnsmos

RATE = 48000


def load(path):
    x, rate = sf.read(path, dtype="float64", always_2d=True)
    x = x[:, 0]
    if rate != RATE:
        common = np.gcd(rate, RATE)
        x = resample_poly(x, RATE // common, rate // common)
    return x


def align(clean, x):
    """Both of one length, the delay of up to 250 ms taken off; and that delay in samples."""
    n = min(len(clean), len(x))
    early = int(0.02 * RATE)
    correlation = fftconvolve(x[:n], clean[:n][::-1])
    lag = int(np.argmax(correlation[n - 1 - early : n - 1 + RATE // 4])) - early
    x = x[lag:] if lag >= 0 else np.concatenate([np.zeros(-lag), x])
    n = min(len(clean), len(x))
    return clean[:n], x[:n], lag


def si_sdr(clean, x):
    clean, x = clean - clean.mean(), x - x.mean()
    target = (x @ clean) / (clean @ clean) * clean
    error = x - target
    return 10 * np.log10((target @ target) / (error @ error + 1e-20))


def score(clean, noisy, x):
    # Nothing but the delay is matched: an inverted output must not score well.
    clean, x, lag = align(clean, x)
    before_speech, loud = slice(9600, 45600), np.abs(clean) > 0.02
    left = 10 * np.log10(((x[before_speech] ** 2).mean() + 1e-12) / ((noisy[before_speech] ** 2).mean() + 1e-12))
    level = 20 * np.log10(np.abs(x[loud]).mean() / np.abs(clean[loud]).mean())
    clean, x = resample_poly(clean, 1, 3), resample_poly(x, 1, 3)
    mos = dnsmos.run(np.clip(x, -1, 1), 16000)
    clean, x = clean[16000:], x[16000:]  # the second of noise alone left out
    marks = [pesq(16000, clean, x, "wb"), stoi(clean, x, 16000), si_sdr(clean, x)]
    return [1000 * lag / RATE, *marks, mos["ovrl_mos"], mos["sig_mos"], mos["bak_mos"], left, level]


def main(pairs, *systems):
    names = sorted(os.path.basename(path)[: -len(".clean.wav")] for path in glob.glob(f"{pairs}/*.clean.wav"))
    print(f"{'system':28s}  n  delay  PESQ  STOI  SISDR  OVRL  SIG   BAK    left  level")
    for system in [None, *systems]:
        path = lambda name: f"{system}/{name}.wav" if system else f"{pairs}/{name}.noisy.wav"
        there = [name for name in names if os.path.exists(path(name))]
        title = os.path.basename(os.path.normpath(system)) if system else "noisy"
        if not there:
            print(title, "no files")
            continue
        load_all = lambda name: (load(f"{pairs}/{name}.clean.wav"), load(f"{pairs}/{name}.noisy.wav"), load(path(name)))
        m = np.mean([score(*load_all(name)) for name in there], axis=0)
        print(f"{title:28s} {len(there):2d} {m[0]:6.1f} {m[1]:5.2f} {m[2]:5.3f} {m[3]:6.2f}", end=" ")
        print(f"{m[4]:5.2f} {m[5]:5.2f} {m[6]:5.2f} {m[7]:7.1f} {m[8]:6.1f}", flush=True)


if len(sys.argv) < 2:
    sys.exit(__doc__)
main(*sys.argv[1:])
