#!/usr/bin/env python3
"""Prints the active speech level (ITU-T P.56, method B) of the first channel of 16-bit WAV files.

Sample by sample, with one counter for each threshold, as the standard describes it, and written apart from the crate:
src/level/active.rs, which works in blocks of a millisecond, is tested against what this prints.

usage: scripts/p56.py FILE.wav...
"""
import array
import math
import sys
import wave

ENVELOPE_S, HANGOVER_S, MARGIN_DB = 0.03, 0.2, 15.9


def active_level(x, rate):
    g = math.exp(-1 / (rate * ENVELOPE_S))
    hangover = math.floor(HANGOVER_S * rate + 0.5)
    thresholds = [2.0 ** -k for k in range(15, 0, -1)]
    count = [0] * len(thresholds)
    quiet = [hangover] * len(thresholds)
    p = q = energy = 0.0
    for v in x:
        energy += v * v
        p = g * p + (1 - g) * abs(v)
        q = g * q + (1 - g) * p
        for j, c in enumerate(thresholds):
            if q >= c:
                count[j] += 1
                quiet[j] = 0
            elif quiet[j] < hangover:
                count[j] += 1
                quiet[j] += 1
    before = None
    for c, a in zip(thresholds, count):
        if a == 0:
            break
        level = 10 * math.log10(energy / a + 1e-20)
        excess = level - 20 * math.log10(c) - MARGIN_DB
        if excess <= 0:
            if before is None:
                return None, 0.0
            # the straight line between the two thresholds, solved
            lower, lower_excess = before
            level = lower + (level - lower) * lower_excess / (lower_excess - excess)
            return level, energy / len(x) / 10 ** (level / 10)
        before = level, excess
    return None, 0.0


for path in sys.argv[1:]:
    with wave.open(path) as w:
        pcm = array.array("h", w.readframes(w.getnframes()))
        x = [s / 32768 for s in pcm[::w.getnchannels()]]
        level, activity = active_level(x, w.getframerate())
    print(f"{path}: " + (f"{level:.3f} dBov, {activity:.4f} active" if level is not None else "no speech"))
