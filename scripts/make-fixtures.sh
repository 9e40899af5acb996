#!/bin/sh
# Makes the recordings in fixtures/ anew: synthetic speech by espeak-ng, resampled by sox, the rest from a seeded
# generator. The same versions of the tools give the same bytes.
#
# usage: scripts/make-fixtures.sh [OUT_DIR]   (default: fixtures)
# needs: espeak-ng, sox, python3
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
out=${1:-fixtures}
for tool in espeak-ng sox python3; do
    command -v $tool >/dev/null || { echo "make-fixtures: error: needs $tool" >&2; exit 1; }
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$out"

# say NAME RATE VOICE SPEED TEXT: mono 32-bit float at RATE
say() {
    espeak-ng -v "$3" -s "$4" -w "$tmp/$1.wav" "$5"
    sox -R -D -V1 "$tmp/$1.wav" -t f32 "$tmp/$1.$2" gain -6 rate -v "$2"
}
say female 48000 en-us+f2 165 "Good morning. Can you hear me clearly, or is the fan too loud?"
say male 48000 en-gb+m3 165 "Let us meet in the small room at ten, and bring the blue folder with you."
say left 44100 en-us+f4 170 "Today I am sitting a little to your left."

cat >"$tmp/fixtures.py" <<'PYTHON'
import array, math, random, subprocess, sys, wave

TMP, OUT = sys.argv[1], sys.argv[2]
PEAK = 10 ** (-6 / 20)  # of the speech


def raw(path):
    x = array.array("f")
    with open(path, "rb") as f:
        x.frombytes(f.read())
    return list(x)


def write(name, rate, *channels):
    pcm = array.array("h", (max(-32768, min(32767, math.floor(v * 32768 + 0.5))) for s in zip(*channels) for v in s))
    with wave.open(f"{OUT}/{name}.wav", "wb") as w:
        w.setnchannels(len(channels))
        w.setsampwidth(2)
        w.setframerate(rate)
        w.writeframes(pcm.tobytes())


def scaled(x, peak):
    g = peak / max(abs(v) for v in x)
    return [g * v for v in x]


def speech(name, rate, lead, tail):
    """Speech without the silence around it, between `lead` and `tail` seconds of digital silence."""
    x = scaled(raw(f"{TMP}/{name}.{rate}"), PEAK)
    loud = [i for i, v in enumerate(x) if abs(v) > 0.002]
    return [0.0] * int(lead * rate) + x[loud[0]:loud[-1] + 1] + [0.0] * int(tail * rate)


def power(x):
    return sum(v * v for v in x) / len(x)


def fan(n, rate, seed):
    """A fan: pink noise and brown rumble above 40 Hz, and a little mains hum. Power 1."""
    r = random.Random(seed)
    b = [0.0] * 7
    brown = 0.0
    air, rumble = [], []
    for _ in range(n + rate):  # the first second only settles the filters
        w = 2 * r.random() - 1
        # pink: Paul Kellet's filter
        for k, (a, g) in enumerate(((0.99886, 0.0555179), (0.99332, 0.0750759), (0.96900, 0.1538520),
                                    (0.86650, 0.3104856), (0.55000, 0.5329522), (-0.7616, -0.0168980))):
            b[k] = a * b[k] + g * w
        air.append(sum(b) + 0.5362 * w)
        b[6] = 0.115926 * w
        # brown: an integrator that leaks
        brown = 0.998 * brown + (2 * r.random() - 1)
        rumble.append(brown)
    air, rumble = (highpass(highpass(p, 40, rate), 40, rate)[rate:] for p in (air, rumble))
    hum = [0.0] * n
    for hz, level in ((50.0, 1.0), (100.0, 0.7)):
        phase = r.random()
        hum = [h + level * math.sin(2 * math.pi * (phase + hz * i / rate)) for i, h in enumerate(hum)]
    parts = [(math.sqrt(share / power(p)), p) for share, p in ((0.70, air), (0.25, rumble), (0.05, hum))]
    x = [sum(s) for s in zip(*([g * v for v in p] for g, p in parts))]
    g = 1 / math.sqrt(power(x))
    return [g * v for v in x]


def highpass(x, hz, rate):
    k, low, y = 1 - math.exp(-2 * math.pi * hz / rate), 0.0, []
    for v in x:
        low += k * (v - low)
        y.append(v - low)
    return y


def room(x, rate, seed):
    """x in a small room: the direct sound, five early reflections and a tail that falls 60 dB in 0.35 s."""
    r = random.Random(seed)
    n = int(0.40 * rate)
    fall, level, lowpass = 10 ** (-3 / (0.35 * rate)), 1.0, 0.0
    ir = []
    for i in range(n):
        lowpass += 0.45 * ((2 * r.random() - 1) * level - lowpass)  # walls absorb what is high
        ir.append(0.045 * lowpass if i > 0.004 * rate else 0.0)
        level *= fall
    for ms, g in ((2.9, 0.45), (4.7, -0.36), (7.3, 0.30), (9.1, -0.22), (12.7, 0.19)):
        ir[int(ms * rate / 1000)] += g
    ir[0] = 1.0
    with open(f"{TMP}/ir.txt", "w") as f:  # sox takes the middle of a filter for time zero
        f.writelines(f"{v:.12g}\n" for v in [0.0] * (n - 1) + ir)
    y = subprocess.run(["sox", "-R", "-D", "-V1", "-t", "f32", "-L", "-r", str(rate), "-c", "1", "-", "-t", "f32", "-L", "-",
                        "gain", "-20", "fir", f"{TMP}/ir.txt"], input=array.array("f", x).tobytes(),
                       capture_output=True, check=True).stdout
    with open(f"{TMP}/room", "wb") as f:
        f.write(y)
    return scaled(raw(f"{TMP}/room"), PEAK)


clean = speech("female", 48000, 0.5, 0.3)
write("speech_clean", 48000, clean)

# 10 dB below the speech (its silences within counted, those around it not)
level = math.sqrt(power(clean[24000:-14400]) / 10)
noisy = [s + level * v for s, v in zip(clean, fan(len(clean), 48000, 1))]
write("speech_noisy", 48000, noisy)
write("noise_fan", 48000, [level * v for v in fan(72000, 48000, 2)])

write("speech_room", 48000, room(speech("male", 48000, 0.25, 0.4), 48000, 3))

left = speech("left", 44100, 0.2, 0.2)
level = math.sqrt(power(left[8820:-8820]) / 10 ** 2.5)  # 25 dB below the left channel's speech
pan = 10 ** (-6 / 20)
write("speech_stereo_44100", 44100,
      [s + level * v for s, v in zip(left, fan(len(left), 44100, 4))],
      [pan * s + level * v for s, v in zip(left, fan(len(left), 44100, 5))])
PYTHON
python3 "$tmp/fixtures.py" "$tmp" "$out"
