#!/usr/bin/env python3
"""Makes the calls that the network of the echo suppressor learns from: rooms by the image method, loudspeakers that distort, noise.

usage: scripts/echo-network/calls.py AUDIO_DIR OUT_DIR CALLS SEED [PART/PARTS]

AUDIO_DIR holds train/*.flac (voices), and noise/ with the recordings named below. Three more voices are flite's
(apt-get install flite). For each call NAME.far, NAME.mic, NAME.near (near end and noise, as they are in the microphone) and
NAME.speech (near end alone): 10 s at 16 kHz, little-endian 32-bit floats. About one call in three has no double talk: the far end alone, the near end alone, a headset.
"""
import glob, os, subprocess, sys, tempfile
import numpy as np, soundfile as sf

ARGUMENTS, sys.argv[1:] = sys.argv[1:], []  # echo_calls has arguments of its own
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../score"))
from echo_calls import room
from scipy.signal import butter, fftconvolve, lfilter, resample_poly

RATE, LENGTH = 16000, 160000
NOISES = ["dishes_16k", "iphone_rub_48k", "music_loop_48k", "wind_48k"]
SENTENCES = """The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. It is easy to tell the depth of a well.
These days a chicken leg is a rare dish. Rice is often served in round bowls. The juice of lemons makes fine punch.
The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage. Four hours of steady work faced us.
A large size in stockings is hard to sell. The boy was there when the sun rose. A rod is used to catch pink salmon.
The source of the huge river is the clear spring. Kick the ball straight and follow through. Help the woman get back to her feet.
A pot of tea helps to pass the evening. Smoky fires lack flame and heat. The soft cushion broke the man's fall.
The salt breeze came across from the sea. The girl at the booth sold fifty bonds. The small pup gnawed a hole in the sock.
The fish twisted and turned on the bent hook. Press the pants and sew a button on the vest. The swan dive was far short of perfect.
The beauty of the view stunned the young boy. Two blue fish swam in the tank. Her purse was full of useless trash.
The colt reared and threw the tall rider. It snowed, rained, and hailed the same morning. Read verse out loud for pleasure."""


def load(path):
    x, rate = sf.read(path, always_2d=True)
    return resample_poly(x[:, 0], 1, rate // RATE) if rate % RATE == 0 else resample_poly(x[:, 0], 320, rate // 50)


def flite(voice):
    utterances = []
    for sentence in SENTENCES.replace("\n", " ").split(". "):
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            subprocess.run(["flite", "-voice", voice, "-t", sentence + ".", "-o", file.name], check=True)
            utterances.append(load(file.name))
    return utterances


def voices(folder):
    recorded = [[load(f) for f in sorted(glob.glob(f"{folder}/train/{name}*"))] for name in ("kerstin", "nathalie")]
    return recorded + [flite(name) for name in ("awb", "rms", "kal16")]


def talk(people, rng, pause):
    """A voice at some pitch and pace, with pauses."""
    voice = people[rng.choice(len(people), p=[0.28, 0.28, 0.16, 0.16, 0.12])]
    pace, tilt = int(rng.integers(13, 21)), rng.uniform(-0.4, 0.5)
    y, at = np.zeros(LENGTH), int(rng.exponential(0.4) * RATE)
    while at < LENGTH:
        x = lfilter([1, tilt], [1], resample_poly(voice[rng.integers(len(voice))], pace, 16))
        x = x[: LENGTH - at] / (x.std() + 1e-9) * 0.08 * rng.uniform(0.5, 1.4)
        y[at : at + len(x)] = x
        at += len(x) + int(rng.exponential(pause) * RATE)
    return y


def loudspeaker(x, rng):
    """Gain and distortion of a loudspeaker, its band limits, and resonances."""
    peak, kind = np.abs(x).max() + 1e-9, rng.choice(6, p=[0.3, 0.2, 0.15, 0.15, 0.1, 0.1])
    if kind == 1:
        a = rng.uniform(0.8, 5) / peak
        x = np.tanh(a * x) / a
    elif kind == 2:
        x = np.clip(x, *(np.array([-1, 1]) * rng.uniform(0.2, 0.9, 2) * peak))
    elif kind == 3:
        b = x / peak + rng.uniform(-0.4, 0.4) * (x / peak) ** 2
        x = (2 / (1 + np.exp(-np.where(b > 0, rng.uniform(1, 6), rng.uniform(0.5, 4)) * b)) - 1) * peak
    elif kind == 4:
        x = x + rng.uniform(-0.5, 0.5) * x**2 / peak + rng.uniform(0, 0.5) * x**3 / peak**2
    elif kind == 5:
        # Excursion by the low frequencies modulates the rest.
        b, a = butter(2, rng.uniform(300, 900) / (RATE / 2))
        x = x * (1 + rng.uniform(0.2, 0.7) * lfilter(b, a, x) / peak)
    b, a = butter(2, [rng.uniform(60, 400) / (RATE / 2), rng.uniform(3500, 7900) / (RATE / 2)], "band")
    y = x = lfilter(b, a, x)
    for _ in range(rng.integers(0, 3)):
        r, w = rng.uniform(0.7, 0.97), 2 * np.pi * rng.uniform(300, 6000) / RATE
        y = y + rng.uniform(0.1, 0.6) * lfilter([1 - r], [1, -2 * r * np.cos(w), r * r], x)
    return y


def decibels(rng, low, high):
    return 10 ** (rng.uniform(low, high) / 20)


def echo_of(played, rooms, rng):
    """Echo of what is played, now and then of a path that changes, of a clock that is not the same, or with a limiter behind it."""
    late = lambda: fftconvolve(np.concatenate([np.zeros(int(rng.uniform(0, 0.3) * RATE)), played]), rooms[rng.integers(len(rooms))])[:LENGTH]
    echo = late()
    if rng.random() < 0.25:
        other, at, length = late(), int(rng.uniform(3, 8) * RATE), int(rng.uniform(0.01, 0.5) * RATE)
        share = np.clip((np.arange(LENGTH) - at) / length, 0, 1)
        echo = echo * (1 - share) + other * share * echo.std() / (other.std() + 1e-9) * decibels(rng, -6, 6)
    if rng.random() < 0.12:
        echo = np.interp(np.arange(LENGTH) * (1 + rng.uniform(-2e-4, 2e-4)), np.arange(LENGTH), echo)
    return echo


def noise(noises, rng):
    hiss = lfilter([1], [1, -rng.uniform(0, 0.97)], rng.normal(size=LENGTH))
    if rng.random() < 0.35:
        x = noises[rng.integers(len(noises))]
        hiss = np.resize(x[rng.integers(0, max(1, len(x) - LENGTH)) :], LENGTH) + 0.05 * hiss * x.std() / hiss.std()
    return hiss / (hiss.std() + 1e-9)


def call(people, noises, near_rooms, far_rooms, rng):
    kind = rng.choice(["double", "far", "near", "headset"], p=[0.66, 0.22, 0.05, 0.07])
    far = talk(people, rng, rng.uniform(0.1, 1.0))
    if rng.random() < 0.1:
        far = np.resize(noises[2][rng.integers(len(noises[2])) :], LENGTH)
    if kind == "near":
        far = rng.normal(size=LENGTH) * decibels(rng, -90, -60)
    far = np.clip(far * decibels(rng, -12, 12), -1, 1)
    near = np.zeros(LENGTH)
    if kind != "far":
        near = fftconvolve(talk(people, rng, rng.uniform(0.3, 2)), near_rooms[rng.integers(len(near_rooms))])[:LENGTH]
        near[: int(rng.choice([0, rng.uniform(0, 5)]) * RATE)] = 0
    echo = echo_of(loudspeaker(far, rng), far_rooms, rng)
    level = near.std() if kind != "far" else 0.07
    echo *= 0 if kind in ("near", "headset") else level / (echo.std() + 1e-9) / decibels(rng, -15, 12)
    speech, near = near, near + noise(noises, rng) * max(near.std(), echo.std()) * decibels(rng, -60, -12)
    mic = near + echo
    gain = min(decibels(rng, -45, -18) / mic.std(), 0.98 / np.abs(mic).max())
    speech, near, mic = speech * gain, near * gain, mic * gain
    if rng.random() < 0.08:
        mic = np.clip(mic, *(np.array([-1, 1]) * rng.uniform(0.5, 1) * np.abs(mic).max()))
    return far, mic, near, speech


if __name__ == "__main__":
    folder, out, calls, seed = ARGUMENTS[0], ARGUMENTS[1], int(ARGUMENTS[2]), int(ARGUMENTS[3])
    part, parts = (int(value) for value in (ARGUMENTS[4:] + ["0/1"])[0].split("/"))
    os.makedirs(out, exist_ok=True)
    people, noises = voices(folder), [load(f"{folder}/noise/{name}.wav") for name in NOISES]
    rng = np.random.default_rng([seed, part, parts])
    near_rooms = [room(rng, rng.uniform(0.1, 0.7), rng.uniform(0.2, 1.2)) for _ in range(60)]
    far_rooms = [room(rng, rng.choice([0.1, 0.2, 0.3, 0.5, 0.8, 1.2]), rng.uniform(0.04, 1.5)) for _ in range(120)]
    for index in range(part, calls, parts):
        for end, x in zip(("far", "mic", "near", "speech"), call(people, noises, near_rooms, far_rooms, np.random.default_rng([seed, index]))):
            x.astype("<f4").tofile(f"{out}/{index:04}.{end}")
