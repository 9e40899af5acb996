"""Scores what the pages heard: delay from mouth to ear, DNSMOS of the noisy microphone, clicks at switches.

usage: score.py FOLDER, with the recordings and facts.json of run.mjs
"""

import json
import sys
import wave

import numpy as np

RATE = 48000
folder = sys.argv[1]
facts = json.load(open(f"{folder}/facts.json"))
failures = 0


def check(what, good, figures):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {what}: {figures}")


def read(name):
    with wave.open(f"{folder}/{name}.wav") as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768.0


def delay_ms(spoken, heard, lead):
    """Lag of `heard` behind `spoken` by the peak of their cross-correlation (PHAT), between 0 and 1 s. `lead` is how
    much later `heard` begins, in s."""
    shift = round(lead * RATE)
    spoken, heard = (spoken[shift:], heard) if shift >= 0 else (spoken, heard[-shift:])
    length = min(len(spoken), len(heard)) - RATE
    lags = []
    for start in range(0, length - 8 * RATE, 8 * RATE):
        a, b = spoken[start : start + 8 * RATE], heard[start : start + 9 * RATE]
        size = 1 << 20
        cross = np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size))
        correlation = np.fft.irfft(cross / (np.abs(cross) ** 0.5 + 1e-9))[:RATE]
        lags.append(1000 * np.argmax(correlation) / RATE)
    return float(np.median(lags)), float(np.max(lags))


def steepness(sound):
    """Largest second difference in each ms, over that of the 40 ms around."""
    bend = np.abs(np.diff(sound, 2))
    blocks = bend[: len(bend) // 48 * 48].reshape(-1, 48).max(1)
    around = np.sqrt(np.convolve(blocks**2, np.ones(41) / 41, "same"))
    return blocks / np.maximum(around, 10 / 32768)


if "ann" in facts:
    for speaker, listener in (("ann", "bob"), ("bob", "ann")):
        spoken, heard = read(f"{speaker}.spoken"), read(f"{listener}.heard")
        lead = facts[listener]["heardAt"] - facts[speaker]["spokenAt"]
        median, longest = delay_ms(spoken, heard, lead)
        check(f"mouth to ear, {speaker} to {listener}, <= 200 ms", median <= 200, f"{median:.0f} ms, at most {longest:.0f}")
        # WebAudio's own queues, which grow on a busy machine, are in both recordings. Without them: device buffer, packet
        # and lookahead of Opus, server, jitter buffer of the listener.
        parts = [10, 26.5, facts["serverMs"], facts[listener]["bufferedMs"]]
        figures = " + ".join(f"{part:.0f}" for part in parts)
        check(f"the same by its parts, {speaker} to {listener}, <= 200 ms", sum(parts) <= 200, f"{figures} = {sum(parts):.0f} ms")

    try:
        from scipy.signal import resample_poly
        from speechmos import dnsmos
    except ImportError:
        print("skip DNSMOS: no speechmos here (see scripts/score/README.md)")
    else:
        def overall(sound):
            """Mean over pieces of 10 s."""
            sound = np.clip(resample_poly(sound, 1, 3), -1, 1)
            pieces = [sound[i : i + 160000] for i in range(32000, len(sound) - 160000, 160000)]
            return float(np.mean([dnsmos.run(piece, 16000)["ovrl_mos"] for piece in pieces]))

        before, after = overall(read("ann.spoken")), overall(read("bob.heard"))
        check("DNSMOS OVRL of the noisy microphone, up by >= 0.5", after - before >= 0.5, f"{before:.2f} to {after:.2f}")

if "switches" in facts:
    steep = steepness(read("switched.heard"))
    at = np.arange(len(steep)) / 1000 + facts["switched"]["heardAt"]
    near = np.zeros(len(steep), bool)
    for time in facts["switches"]:
        near |= (at > time) & (at < time + 5)
    there, elsewhere = steep[near].max(), steep[~near].max()
    check("no click at the switches", there <= 1.25 * elsewhere, f"steepest {there:.1f} there, {elsewhere:.1f} elsewhere")

sys.exit(failures > 0)
