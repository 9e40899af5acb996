#!/usr/bin/env python3
"""Makes four minutes of speech in noise that 4-bit weights are rounded by.

usage: sounds.py FOLDER OUT.wav SEED
FOLDER holds train/*.flac (voices) and noise/ (recordings.tsv of scripts/score). Voices at other speeds, noise of recordings and made
one, at many levels, now and then behind a filter or in a room: 48 kHz mono, 32-bit floats. The same seed gives the same file.
"""
import glob
import sys

import numpy as np
import soundfile as sf
from scipy.signal import fftconvolve, lfilter, resample_poly

RATE, SECONDS = 48000, 240
# Voices that are scored are in no sound here.
SCORED = ["kerstin_de_rhasspy-0265", "nathalie_nl_rhasspy_249", "kerstin_de_rhasspy-1106", "nathalie_nl_rhasspy_635"]
NOISES = ["babble_coffee-shop_48k", "street_city_48k", "wind_48k", "dishes_16k", "exercise_bike_motor_16k", "laptop_taps_48k"]

folder, out, rng = sys.argv[1], sys.argv[2], np.random.default_rng(int(sys.argv[3]))


def load(path, percent=100):
    """A recording, at another speed."""
    x, rate = sf.read(path, always_2d=True)
    return resample_poly(x[:, 0], RATE // 50 * percent // 10, rate // 50 * 10)


def level(low_db, high_db):
    return 10 ** (rng.uniform(low_db, high_db) / 20)


voices = [path for path in sorted(glob.glob(f"{folder}/train/*.flac")) if not any(name in path for name in SCORED)]
noises = [load(f"{folder}/noise/{name}.wav") for name in NOISES]


def noise(length):
    kind = rng.random()
    if kind < 0.55:
        x = noises[rng.integers(len(noises))]
        start = rng.integers(max(len(x) - length, 0) + 1)
        x = np.resize(x[start:], length)
    elif kind < 0.8:
        x = lfilter([1], [1, -rng.uniform(-0.2, 0.98)], rng.standard_normal(length))
    elif kind < 0.9:
        pitch, time = rng.uniform(45, 400), np.arange(length) / RATE
        tones = (rng.random() / i * np.sin(2 * np.pi * pitch * i * time + rng.uniform(0, 6)) for i in range(1, 20))
        x = sum(tones) + 0.05 * rng.standard_normal(length)
    else:
        x = 1e-3 * rng.standard_normal(length)
        for _ in range(length // RATE * 3):
            at = rng.integers(length - 2000)
            x[at:at + 2000] += rng.standard_normal(2000) * np.exp(-np.arange(2000) / rng.uniform(30, 500))
    x = x - x.mean()
    if rng.random() < 0.3:
        at = np.arange(0, length + RATE, RATE // 2)
        x = x * np.interp(np.arange(length), at, 10 ** (rng.uniform(-20, 0, len(at)) / 20))
    return x / (x.std() + 1e-9)


def room(x):
    echo = rng.standard_normal(int(0.4 * RATE)) * np.exp(-np.arange(int(0.4 * RATE)) / (rng.uniform(0.03, 0.12) * RATE))
    echo /= np.sqrt((echo ** 2).sum())
    echo[0] += rng.uniform(0.5, 2)
    return fftconvolve(x, echo)[:len(x)]


sound, at = np.zeros(SECONDS * RATE), 0
while at < len(sound) - RATE:
    length = min(int(rng.uniform(6, 14) * RATE), len(sound) - at)
    speech, next_voice = np.zeros(length), int(rng.uniform(0, 1.5) * RATE)
    while next_voice < length - RATE // 2 and rng.random() < 0.93:
        x = load(voices[rng.integers(len(voices))], int(rng.integers(75, 126)) if rng.random() < 0.7 else 100)
        x = (x / (x.std() + 1e-9))[:length - next_voice]
        speech[next_voice:next_voice + len(x)] += x * level(-12, 6)
        next_voice += len(x) + int(rng.exponential(0.5) * RATE)
    x = speech + noise(length) * (level(-30, 5) if rng.random() < 0.85 else 1e-3)
    if rng.random() < 0.4:
        x = lfilter([1, rng.uniform(-0.7, 0.7)], [1], x)
    if rng.random() < 0.15:
        x = resample_poly(resample_poly(x, 1, 3), 3, 1)[:length]
    if rng.random() < 0.2:
        x = room(x)
    sound[at:at + length] = x * level(-45, -16)
    at += length
sf.write(out, np.clip(sound, -1, 1).astype(np.float32), RATE, subtype="FLOAT")
