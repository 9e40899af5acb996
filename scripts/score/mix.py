#!/usr/bin/env python3
"""Makes the pairs of noisy and clean speech that noise suppression is scored on.

usage: scripts/score/mix.py RECORDINGS OUT_DIR
RECORDINGS holds speech/ and noise/ (recordings.tsv). Each pair is OUT_DIR/NAME.clean.wav and OUT_DIR/NAME.noisy.wav, 48 kHz mono
32-bit float. The same inputs give the same files. Needs ffmpeg.
"""
import os
import subprocess
import sys

import numpy as np
import soundfile as sf

RATE = 48000
SPEECH = ["en_f2_48k", "en_m1_48k", "de_f_kerstin_0004", "nl_f_nathalie_1", "nl_f_nathalie_100"]
NOISE = ["babble_coffee-shop_48k", "street_city_48k", "wind_48k", "dishes_16k", "exercise_bike_motor_16k", "laptop_taps_48k"]
SNRS_DB = [0, 5, 10, 15]
NOISES_EACH = 3
# Where in the noise a mixture begins: not at its start, which may be faded in.
NOISE_START = 7919


def load(path):
    command = ["ffmpeg", "-v", "error", "-i", path, "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.float32).astype(np.float64)


def mix(speech, noise, snr_db):
    """Clean and noisy speech: a second of noise alone first, so that a suppressor can settle as in a call."""
    speech = np.concatenate([np.zeros(RATE), speech, np.zeros(RATE // 2)])
    end = NOISE_START + len(speech)
    noise = np.tile(noise, -(-end // len(noise)))[NOISE_START:end]
    active = speech[np.abs(speech) > 0]
    gain = np.sqrt((active**2).mean() / (noise**2).mean() / 10 ** (snr_db / 10))
    noisy = speech + gain * noise
    peak = max(1.0, np.abs(noisy).max() / 0.98)
    return speech / peak, noisy / peak


def main(recordings, out):
    os.makedirs(out, exist_ok=True)
    noises = [load(f"{recordings}/noise/{name}.wav") for name in NOISE]
    count = 0
    for i, name in enumerate(SPEECH):
        speech = load(f"{recordings}/speech/{name}.wav")
        for j in range(NOISES_EACH):
            which, snr_db = (i * NOISES_EACH + j) % len(NOISE), SNRS_DB[(i + j) % len(SNRS_DB)]
            pair = f"{out}/{count:02d}_{name}_{NOISE[which]}_{snr_db}dB"
            for kind, samples in zip(["clean", "noisy"], mix(speech, noises[which], snr_db)):
                sf.write(f"{pair}.{kind}.wav", samples.astype(np.float32), RATE, subtype="FLOAT")
            count += 1
    print(count, "pairs")


if len(sys.argv) != 3:
    sys.exit(__doc__)
main(*sys.argv[1:])
