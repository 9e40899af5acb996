#!/usr/bin/env python3
"""Makes the pairs of noisy and clean speech that noise suppression is scored on.

usage: scripts/score/mix.py RECORDINGS OUT_DIR [other]
Makes 15 pairs; with "other" 14, of other voices, and of other stretches of more noises. RECORDINGS holds speech/, noise/
and, for "other", train/ (recordings.tsv). Each pair is OUT_DIR/NAME.clean.wav and OUT_DIR/NAME.noisy.wav, 48 kHz mono
32-bit float. The same inputs give the same files. Needs ffmpeg.
"""
import os
import subprocess
import sys

import numpy as np
import soundfile as sf

RATE = 48000
SPEECH = ["en_f2_48k", "en_m1_48k", "de_f_kerstin_0004", "nl_f_nathalie_1", "nl_f_nathalie_100"]
OTHER_SPEECH = ["fr_16k", "ja_16k", "lyra1_48k", "kerstin_de_rhasspy-0265", "nathalie_nl_rhasspy_249", "kerstin_de_rhasspy-1106", "nathalie_nl_rhasspy_635"]
NOISE = ["babble_coffee-shop_48k", "street_city_48k", "wind_48k", "dishes_16k", "exercise_bike_motor_16k", "laptop_taps_48k"]
OTHER_NOISE = [*NOISE, "iphone_rub_48k", "music_loop_48k"]
SNRS_DB = [0, 5, 10, 15]
# Where in the noise a mixture begins: not at its start, which may be faded in.
NOISE_START = 7919
OTHER_NOISE_START = 100_003


def load(path):
    command = ["ffmpeg", "-v", "error", "-i", path, "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.float32).astype(np.float64)


def find(recordings, name):
    folder = "train" if "rhasspy" in name else "speech"
    return f"{recordings}/{folder}/{name}.{'flac' if folder == 'train' else 'wav'}"


def mix(speech, noise, noise_start, snr_db):
    """Clean and noisy speech: a second of noise alone first, so that a suppressor can settle as in a call."""
    speech = np.concatenate([np.zeros(RATE), speech, np.zeros(RATE // 2)])
    end = noise_start + len(speech)
    noise = np.tile(noise, -(-end // len(noise)))[noise_start:end]
    active = speech[np.abs(speech) > 0]
    gain = np.sqrt((active**2).mean() / (noise**2).mean() / 10 ** (snr_db / 10))
    noisy = speech + gain * noise
    peak = max(1.0, np.abs(noisy).max() / 0.98)
    return speech / peak, noisy / peak


def main(recordings, out, kind="tuned"):
    os.makedirs(out, exist_ok=True)
    other = kind == "other"
    speech_names, noise_names, start = (OTHER_SPEECH, OTHER_NOISE, OTHER_NOISE_START) if other else (SPEECH, NOISE, NOISE_START)
    noises = [load(f"{recordings}/noise/{name}.wav") for name in noise_names]
    noises_each, count = 2 if other else 3, 0
    for i, name in enumerate(speech_names):
        speech = load(find(recordings, name))
        for j in range(noises_each):
            which, snr_db = (i * noises_each + j) % len(noises), SNRS_DB[(i + j) % len(SNRS_DB)]
            pair = f"{out}/{count:02d}_{name}_{noise_names[which]}_{snr_db}dB"
            for kind, samples in zip(["clean", "noisy"], mix(speech, noises[which], start, snr_db)):
                sf.write(f"{pair}.{kind}.wav", samples.astype(np.float32), RATE, subtype="FLOAT")
            count += 1
    print(count, "pairs")


if len(sys.argv) not in (3, 4):
    sys.exit(__doc__)
main(*sys.argv[1:])
