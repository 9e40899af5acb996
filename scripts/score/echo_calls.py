#!/usr/bin/env python3
"""Makes calls with echo, whose near end is known, for `duplex`: rooms by the image method, loudspeakers that distort, noise.

usage: scripts/score/echo_calls.py AUDIO_DIR OUT_DIR SEED [CALLS [RATE]]

AUDIO_DIR holds speech/*.wav; of its voices (in order of name) an odd SEED takes every other one, an even SEED the rest, so
that one half can be tuned on and the other reported. For each call: NAME_far.wav, NAME_mic.wav, NAME_near.wav (near end and
noise, as they are in the microphone), mono, 12 s, at RATE (16000). Names say what a call is: dt (both talk, the near end from 3 s
on), fst (the far end alone), nst (the near end alone), move (the delay changes after 6 s), drift+PPM.
"""
import glob, os, sys
import numpy as np, soundfile as sf
from math import gcd
from scipy.signal import butter, fftconvolve, lfilter, resample_poly

RATE = int(sys.argv[5]) if len(sys.argv) > 5 else 16000
LENGTH, SOUND = 12 * RATE, 343.0


def voices(folder, seed):
    files = sorted(glob.glob(folder + "/speech/*.wav"))
    groups = sorted({os.path.basename(f)[:5] for f in files})[seed % 2 :: 2]
    return [[resampled(f) for f in files if os.path.basename(f)[:5] == g] for g in groups]


def resampled(path):
    x, rate = sf.read(path, always_2d=True)
    d = gcd(rate, RATE)
    x = resample_poly(x[:, 0], RATE // d, rate // d)
    return x / (x.std() + 1e-9) * 0.08


def talk(voice, rng, pause):
    """Pieces of 1 to 4 s of a voice, with pauses."""
    y, at = np.zeros(LENGTH), int(rng.exponential(0.4) * RATE)
    while at < LENGTH:
        x = voice[rng.integers(len(voice))]
        n = min(int(rng.uniform(1, 4) * RATE), len(x), LENGTH - at)
        o = rng.integers(0, len(x) - n + 1)
        fade = np.minimum(1, np.minimum(np.arange(n), n - np.arange(n)) / 200)
        y[at : at + n] = x[o : o + n] * fade * rng.uniform(0.5, 1.4)
        at += n + int(rng.exponential(pause) * RATE)
    return y


def room(rng, rt60, distance):
    """Impulse response of a shoebox by the image method (Allen and Berkley, 1979), reflections to 1.2 rt60."""
    size = rng.uniform([2.5, 2.5, 2.3], [9, 7, 3.5])
    volume, area = size.prod(), 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    beta = np.sqrt(1 - min(0.95, 0.161 * volume / (area * rt60)))
    mic = rng.uniform(0.3, size - 0.3)
    way = rng.normal(size=3)
    source = np.clip(mic + distance * way / np.linalg.norm(way), 0.15, size - 0.15)
    reach = min(1.2 * rt60, 0.9) * SOUND
    counts = np.minimum(np.ceil(reach / (2 * size)).astype(int), 24)
    grid = np.stack(np.meshgrid(*[np.arange(-c, c + 1) for c in counts], indexing="ij"), -1).reshape(-1, 3)
    h = np.zeros(int((reach / SOUND + 0.05) * RATE))
    for corner in np.ndindex(2, 2, 2):
        p = np.array(corner)
        d = np.linalg.norm((1 - 2 * p) * source + 2 * grid * size - mic, axis=1)
        order = np.abs(grid - p).sum(1) + np.abs(grid).sum(1)
        at = np.rint(d / SOUND * RATE).astype(int)
        ok = at < len(h)
        # Walls are not quite alike, or echoes of a shoebox would flutter.
        gain = beta ** order[ok] / np.maximum(d[ok], 0.05) * rng.choice([-1, 1], ok.sum(), p=[0.15, 0.85])
        np.add.at(h, at[ok], gain)
    return h[int(distance / SOUND * RATE * 0.8) :]


def loudspeaker(x, rng, linear):
    """Band limits, resonances, and one of four distortions."""
    peak, kind = np.abs(x).max() + 1e-9, 0 if linear else rng.integers(4)
    if kind == 1:
        a = rng.uniform(0.8, 4) / peak
        x = np.tanh(a * x) / a
    elif kind == 2:
        x = np.clip(x, *(np.array([-1, 1]) * rng.uniform(0.3, 0.9) * peak))
    elif kind == 3:
        b = 1.5 * x / peak - 0.3 * (x / peak) ** 2
        x = (2 / (1 + np.exp(-np.where(b > 0, rng.uniform(1, 4), rng.uniform(0.5, 3)) * b)) - 1) * peak
    b, a = butter(2, [rng.uniform(80, 350) / (RATE / 2), rng.uniform(4500, 7800) / 8000], "band")
    y = x = lfilter(b, a, x)
    for _ in range(rng.integers(0, 3)):
        r, w = rng.uniform(0.7, 0.95), 2 * np.pi * rng.uniform(300, 6000) / RATE
        y = y + rng.uniform(0.1, 0.6) * lfilter([1 - r], [1, -2 * r * np.cos(w), r * r], x)
    return y


def call(name, kind, rng, people, noises, out, ppm=0.0):
    a, b = rng.permutation(len(people))[:2]
    far, near = talk(people[a], rng, rng.uniform(0.1, 0.8)), talk(people[b], rng, rng.uniform(0.4, 1.2))
    far = np.clip(far * 10 ** (rng.uniform(-9, 9) / 20), -1, 1) if kind != "nst" else np.zeros(LENGTH)
    near[: 3 * RATE if kind == "dt" else 0] = 0
    if kind not in ("dt", "nst"):
        near[:] = 0
    near = fftconvolve(near, room(rng, rng.uniform(0.15, 0.6), rng.uniform(0.3, 1)))[:LENGTH]
    rt60 = rng.choice([0.15, 0.25, 0.4, 0.6, 0.9])
    h = room(rng, rt60, rng.uniform(0.05, 1.2))
    played = loudspeaker(far, rng, linear=kind in ("move", "drift"))
    late = lambda ms: fftconvolve(np.concatenate([np.zeros(int(ms * RATE / 1000)), played]), h)[:LENGTH]
    delays = rng.uniform(5, 250), rng.uniform(5, 400)
    echo = late(delays[0])
    if kind == "move":
        echo[6 * RATE :] = late(delays[1])[6 * RATE :]
    if ppm:
        echo = np.interp(np.arange(LENGTH) * (1 + ppm * 1e-6), np.arange(LENGTH), echo)
    over = rng.uniform(-10, 10)
    if kind == "nst":
        echo[:] = 0
    power = near[3 * RATE :].var() if kind == "dt" else 0.005
    echo *= np.sqrt(power / (echo.var() + 1e-12)) * 10 ** (-over / 20) * (kind != "nst")
    hiss = lfilter([1], [1, -rng.uniform(0, 0.95)], rng.normal(size=LENGTH))
    if noises and rng.random() < 0.4:
        x = noises[rng.integers(len(noises))]
        hiss = np.resize(x[rng.integers(0, max(1, len(x) - LENGTH)) :], LENGTH)
    hiss *= np.sqrt(max(near.var(), echo.var())) / hiss.std() * 10 ** (-rng.uniform(20, 50) / 20)
    mic = near + hiss + echo
    gain = min(10 ** (rng.uniform(-38, -20) / 20) / mic.std(), 0.98 / np.abs(mic).max())
    for part, x in (("far", far), ("mic", mic * gain), ("near", (near + hiss) * gain)):
        sf.write(f"{out}/{name}_{part}.wav", x, RATE, "FLOAT")
    print(f"{name}: rt60 {rt60:.2f} s, delay {delays[0]:.0f} ms, near end over echo {over:.0f} dB")


if __name__ == "__main__":
    folder, out, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 12
    os.makedirs(out, exist_ok=True)
    people = voices(folder, seed)
    noises = [resampled(f) for f in sorted(glob.glob(folder + "/noise/*.wav"))[seed % 2 :: 2]]
    kinds = [("dt", count), ("fst", count // 2), ("nst", 2), ("move", max(2, count // 4))]
    for kind, calls in kinds:
        for i in range(calls):
            call(f"{kind}{i}", kind, np.random.default_rng([seed, len(kind), i, ord(kind[0])]), people, noises, out)
    for ppm in (-300, -200, 200, 300):
        call(f"drift{ppm:+d}", "drift", np.random.default_rng([seed, ppm + 1000]), people, noises, out, ppm)
