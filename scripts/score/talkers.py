#!/usr/bin/env python3
"""How much of each clean talker is left.

usage: scripts/score/talkers.py CLEAN_DIR SYSTEM_DIR...
CLEAN_DIR holds NAME.wav, clean speech at 48 kHz; each SYSTEM_DIR holds NAME.wav as processed, without delay and without automatic gain.
Prints for each file and system the change of level (dB) above 100 Hz of the loud part (blocks of 10 ms within 25 dB of the loudest twentieth):
of its mean power, and of the worst tenth of its blocks. Below 100 Hz is rumble: in two of the recordings it is as loud between words as soft
speech, and to be taken away. The last line is the worst file of each.
"""
import glob
import os
import sys

import numpy as np
import soundfile as sf
from scipy.signal import butter, sosfiltfilt

BLOCK = 480
ABOVE_RUMBLE = butter(4, 100, "high", fs=48000, output="sos")


def load(path):
    x, rate = sf.read(path, dtype="float64", always_2d=True)
    assert rate == 48000, (path, rate)
    return x[:, 0]


def kept_db(clean, out):
    clean, out = (sosfiltfilt(ABOVE_RUMBLE, x) for x in (clean, out))
    n = min(len(clean), len(out)) // BLOCK
    clean, out = ((x[: n * BLOCK].reshape(n, BLOCK) ** 2).mean(1) for x in (clean, out))
    loud = clean > np.percentile(clean, 95) * 10**-2.5
    mean, worst = out[loud].mean() / clean[loud].mean(), np.percentile(out[loud] / clean[loud], 10)
    return 10 * np.log10(mean + 1e-12), 10 * np.log10(worst + 1e-12)


def main(clean, *systems):
    systems = [os.path.normpath(system) for system in systems]
    print(f"{'':40s}" + "".join(f"{os.path.basename(system):>20s}" for system in systems))
    rows = []
    for path in sorted(glob.glob(f"{clean}/*.wav")):
        name = os.path.basename(path)
        rows.append([kept_db(load(path), load(f"{system}/{name}")) for system in systems])
        print(f"{name[:-4]:40s}" + "".join(f"{mean:12.1f} {worst:7.1f}" for mean, worst in rows[-1]), flush=True)
    print(f"{'worst':40s}" + "".join(f"{mean:12.1f} {worst:7.1f}" for mean, worst in np.min(rows, axis=0)))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
