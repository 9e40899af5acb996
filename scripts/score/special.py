#!/usr/bin/env python3
"""What the profiles make of sounds that are no ordinary speech.

usage: scripts/score/special.py RECORDINGS OUT_DIR PROCESS
RECORDINGS holds speech/ and noise/ (recordings.tsv); PROCESS is the example `process`, built with --release. Makes OUT_DIR/NAME.wav (48 kHz
mono, the same each time), runs each through every profile with --keep-level, and prints the change of level (dB) of its loud part (blocks of
10 ms within 25 dB of the loudest twentieth, above 100 Hz): of its mean power, and of the worst tenth of its blocks. Whisper, laughter, DTMF, dog, siren and music
on hold are synthetic; a child's voice is a woman's, 1.35 times as fast. Of music, also prints how far automatic gain lifts it in the end. Needs
ffmpeg.
"""
import os
import subprocess
import sys

import numpy as np
import soundfile as sf
from scipy.signal import lfilter, resample_poly

from talkers import BLOCK, kept_db

RATE = 48000
PROFILES = ["low-latency", "balanced", "high-quality"]
# Room noise under everything, dBFS: a microphone is never silent.
ROOM_DB = -75.0


def load(path):
    command = ["ffmpeg", "-v", "error", "-i", path, "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32).astype(np.float64)


def seconds(s):
    return np.arange(int(s * RATE)) / RATE


def to_level(x, dbfs):
    """The sound with its loud part at this level."""
    power = (x[: len(x) // BLOCK * BLOCK].reshape(-1, BLOCK) ** 2).mean(1)
    return x * 10 ** (dbfs / 20) / np.sqrt(power[power > power.max() * 10**-2.5].mean())


def resonances(source, formants):
    for hz, width in formants:
        r = np.exp(-np.pi * width / RATE)
        source = lfilter([1 - r], [1, -2 * r * np.cos(2 * np.pi * hz / RATE), r * r], source)
    return source


def whisper(speech, rng, order=44):
    """Speech whose voice is replaced by noise of the same spectral envelope (linear prediction)."""
    size, out = 3 * BLOCK, np.zeros(len(speech))
    speech, window = lfilter([1, -0.8], [1], speech), np.hanning(size)
    for start in range(0, len(speech) - size, BLOCK):
        block = speech[start : start + size] * window
        r = np.correlate(block, block, "full")[size - 1 : size + order]
        a, error = np.zeros(order + 1), r[0] * 1.00001 + 1e-9
        a[0] = 1
        for i in range(1, order + 1):
            k = -(a[:i] @ r[i:0:-1]) / error
            a[: i + 1] += k * a[: i + 1][::-1].copy()
            error *= 1 - k * k
        shaped = lfilter([1], a, rng.standard_normal(size) * window)
        out[start : start + size] += shaped * np.sqrt(r[0] / ((shaped**2).sum() + 1e-12))
    return out


def laughter(rng):
    """Three bouts of seven falling, weakening "ha"."""
    out = np.zeros(6 * RATE)
    for bout in range(3):
        for n in range(7):
            t = seconds(0.13)
            phase = np.cumsum(2 * np.pi * (330 - 15 * n) * (1 + 0.1 * np.sin(np.pi * t / 0.13)) / RATE)
            pulses = np.maximum(np.cos(phase), 0) ** 8 - 0.27 + 0.08 * rng.standard_normal(len(t))
            breath = 0.15 * rng.standard_normal(int(0.07 * RATE))
            ha = np.concatenate([breath, pulses * np.hanning(len(t)) ** 0.5])
            ha = resonances(ha, [(850, 90), (1350, 110), (2800, 170), (3900, 250)])
            at = int((0.5 + 1.9 * bout + 0.21 * n) * RATE)
            out[at : at + len(ha)] += ha * 0.88**n
    return out


def dtmf():
    rows, columns, out = [697, 770, 852, 941], [1209, 1336, 1477], [np.zeros(RATE // 2)]
    for key in [0, 1, 2, 4, 5, 6, 8, 9, 10, 3 * 3 + 1]:
        t = seconds(0.2)
        tones = np.sin(2 * np.pi * rows[key // 3] * t) + np.sin(2 * np.pi * columns[key % 3] * t)
        out += [tones, np.zeros(RATE // 10)]
    return np.concatenate(out * 2)


def dog(rng):
    out = np.zeros(6 * RATE)
    for at in [0.5, 0.9, 2.0, 2.4, 2.8, 4.2, 4.6]:
        t = seconds(0.18)
        phase = np.cumsum(2 * np.pi * (420 + 280 * np.sin(np.pi * t / 0.18)) / RATE)
        bark = sum(np.sin(k * phase) / k for k in range(1, 9)) + 0.7 * rng.standard_normal(len(t))
        start = int(at * RATE)
        out[start : start + len(t)] += resonances(bark * np.hanning(len(t)), [(900, 200), (1900, 300)])
    return out


def siren():
    """Two tones of a fire engine, then the wail of a police car."""
    t = seconds(4)
    two_tones = np.where(t % 1 < 0.5, 435.0, 580.0)
    wail = 900 + 500 * np.sin(2 * np.pi * 0.4 * t)
    phase = np.cumsum(2 * np.pi * np.concatenate([two_tones, wail]) / RATE)
    return sum(np.sin(k * phase) / k for k in range(1, 7))


def music_on_hold(rng):
    """A waltz of plucked chords and a lead, 20 s; every 4 s it surges by 20 dB within a second, and falls away again."""
    chords, lead, out = [[0, 4, 7], [9, 12, 16], [5, 9, 12], [7, 11, 14]], [12, 16, 19, 21, 19, 16], np.zeros(20 * RATE)
    tone = lambda note, t: sum(np.sin(2 * np.pi * 220 * 2 ** (note / 12) * k * t) / k**1.5 for k in range(1, 7))
    for beat in range(50):
        start, t = int(0.4 * beat * RATE), seconds(min(1.2, 20 - 0.4 * beat))
        notes = [chords[beat // 3 % 4][0] - 12] if beat % 3 == 0 else chords[beat // 3 % 4]
        notes = [*notes, *([lead[rng.integers(6)]] if beat % 2 else [])]
        out[start : start + len(t)] += sum(tone(note, t) for note in notes) * np.exp(-t / 0.4) * np.minimum(t / 0.005, 1)
    surge = np.interp(np.arange(len(out)) / RATE % 4, [0, 1, 2, 3, 4], [-20, -20, 0, 0, -20])
    return out * 10 ** (surge / 20)


def sounds(recordings):
    rng = np.random.default_rng(1)
    voice = lambda name: load(f"{recordings}/speech/{name}.wav")
    first, second = to_level(voice("en_f2_48k"), -24), to_level(voice("ja_16k"), -36)
    room = lambda x: x + 10 ** (ROOM_DB / 20) * rng.standard_normal(len(x))
    # The sound, and where what is measured is in it.
    yield "music", room(to_level(load(f"{recordings}/noise/music_loop_48k.wav"), -24)), None
    yield "DTMF", room(to_level(dtmf(), -20)), None
    yield "laughter", room(to_level(laughter(rng), -24)), None
    for name in ["en_f2_48k", "en_m1_48k", "de_f_kerstin_0004", "lyra1_48k", "ja_16k"]:
        # Five times over: what is left depends on the noise in the whisper.
        yield f"whisper, {name}", room(to_level(whisper(np.tile(voice(name), 5), rng), -40)), None
    second_at = slice(len(first), len(first) + len(second))
    yield "two talkers, the one 12 dB softer", room(np.concatenate([first, second, first, second])), second_at
    yield "child", room(to_level(resample_poly(voice("en_f2_48k"), 100, 135), -24)), None
    yield "keyboard", room(load(f"{recordings}/noise/laptop_taps_48k.wav")), None
    yield "dog", room(to_level(dog(rng), -24)), None
    yield "siren", room(to_level(siren(), -24)), None
    for dbfs in [-24, -34, -44]:
        yield f"music on hold, {dbfs} dBFS", room(to_level(music_on_hold(rng), dbfs)), None


def lift_db(before, after):
    """Level of the last 4 s after automatic gain against that without."""
    return 10 * np.log10((after[-4 * RATE :] ** 2).mean() / (before[-4 * RATE :] ** 2).mean())


def main(recordings, out, process):
    os.makedirs(out, exist_ok=True)
    print("| sound | " + " | ".join(PROFILES) + " |\n|" + " --- |" * (len(PROFILES) + 1))
    lifts = []
    for name, sound, part in sounds(recordings):
        path = f"{out}/{name.replace(', ', '_').replace(' ', '-')}"
        sf.write(f"{path}.wav", sound.astype(np.float32), RATE, subtype="FLOAT")
        cells = []
        for profile in PROFILES:
            done = f"{path}.{profile}.wav"
            command = [process, f"{path}.wav", done, "--profile", profile]
            if name.startswith("music"):
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                lifted = load(done)
            subprocess.run([*command, "--keep-level"], check=True, stdout=subprocess.DEVNULL)
            if name.startswith("music"):
                lifts.append(f"{name}, {profile}: lifted by {lift_db(load(done), lifted):.1f} dB")
            whole = slice(None) if part is None else part
            mean, worst = kept_db(sound[whole], load(done)[whole])
            cells.append(f"{mean:.1f} / {worst:.1f}".replace("-", "−"))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("\n" + "\n".join(lifts))


if len(sys.argv) != 4:
    sys.exit(__doc__)
main(*sys.argv[1:])
