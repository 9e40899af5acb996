#!/usr/bin/env python3
"""Makes the packet traces in fixtures/traces. They are modelled on what was measured of Chromium, not recorded:

- Opus in packets of 20 ms; padding-only packets (empty payload, the timestamp of the packet before, a sequence number of
  their own): 3 in 5 s on a good network, hundreds on a bad one, in clusters that probe for bandwidth.
- In a pause (DTX) the first packet of one byte is sent, then nothing; each 400 ms an update of the comfort noise, and
  the one byte again.

The same bytes each time: seeds are fixed, and only `random.Random.random` is drawn from.
"""
import math
import pathlib
import random

SECONDS = 12
FOLDER = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "traces"


class Sender:
    """RTP packets with the time they are sent."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.sequence = 65_400
        self.begin = 2**32 - 96_000
        self.sent = []  # ms, sequence, timestamp, bytes

    def put(self, ms, ticks, size):
        self.sent.append((ms, self.sequence % 65_536, (self.begin + ticks) % 2**32, size))
        self.sequence += 1

    def padding(self, ms, ticks, count):
        for index in range(count):
            self.put(ms + 0.3 * (index + 1), ticks, 0)

    def size(self):
        return int(60 + 40 * self.random.random())


def exponential(source, mean):
    return -mean * math.log(1.0 - source.random())


def write(name, about, packets):
    lines = [f"# {line}" for line in ["Made by scripts/make-traces.py, not recorded. " + about[0], *about[1:]]]
    lines += ["# arrival_ms sequence timestamp payload_bytes"]
    lines += [f"{at:.1f} {sequence} {timestamp} {size}" for at, sequence, timestamp, size in sorted(packets)]
    (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="ascii")


def good():
    sender = Sender(1)
    for index in range(SECONDS * 50):
        ms, ticks = 20.0 * (index + 1), 960 * index
        sender.put(ms, ticks, sender.size())
        if index in (20, 90, 200, 330, 460, 540):
            sender.padding(ms, ticks, 1)
    arrived, last = [], 0.0
    for ms, *packet in sender.sent:
        last = max(last, ms + 12.0 + exponential(sender.random, 1.5))
        arrived.append((last, *packet))
    write("good.trace", ["A browser on a good network: way of 12 ms, jitter of 1.5 ms, nothing lost,",
                         "3 padding-only packets in 5 s."], arrived)


def bad():
    sender = Sender(2)
    for index in range(SECONDS * 50):
        ms, ticks = 20.0 * (index + 1), 960 * index
        sender.put(ms, ticks, sender.size())
        # A cluster of probes each 250 ms while the estimate of the bandwidth is low.
        if index % 12 == 7:
            sender.padding(ms, ticks, 5 + int(6 * sender.random.random()))
    arrived, last = [], 0.0
    for ms, *packet in sender.sent:
        queue = 25.0 * (1.0 + math.sin(ms / 900.0)) + exponential(sender.random, 12.0)
        last = max(last, ms + 40.0 + queue)
        if sender.random.random() >= 0.1:
            arrived.append((last, *packet))
    write("bad.trace", ["A browser on a bad network: way of 40 ms, a queue that swells to 50 ms, jitter of 12 ms,",
                        "10 % lost at random, padding-only packets in clusters of 5 to 10, four a second."], arrived)


def handover():
    sender = Sender(3)
    # Talkspurts in ms; between them DTX.
    speaking = [(0, 3000), (4300, 7600), (8300, SECONDS * 1000)]
    silent = 0
    for index in range(SECONDS * 50):
        ms, ticks = 20.0 * (index + 1), 960 * index
        if any(start <= 20 * index < end for start, end in speaking):
            silent = 0
            sender.put(ms, ticks, sender.size())
        else:
            # 20 packets without sound, then an update.
            if silent % 21 == 20:
                sender.put(ms, ticks, 18)
            elif silent % 21 == 0:
                sender.put(ms, ticks, 1)
            silent += 1
        if index in (30, 150, 300, 301, 302, 303, 450):
            sender.padding(ms, ticks, 1)
    arrived, last = [], 0.0
    for ms, *packet in sender.sent:
        # From 6 s on the way is longer by 120 ms, and for the 300 ms before nothing gets through.
        way = 15.0 + exponential(sender.random, 2.0) if ms < 6000.0 else 135.0 + exponential(sender.random, 6.0)
        at = ms + way if not 5700.0 <= ms < 6000.0 else max(ms + way, 6135.0)
        last = max(last, at)
        arrived.append((last, *packet))
    write("handover.trace", ["A browser that sends nothing in pauses (DTX, 3.0 to 4.3 s and 7.6 to 8.3 s) and changes from",
                             "Wi-Fi to a mobile network at 6 s: nothing for 300 ms, then 120 ms more of way."], arrived)


FOLDER.mkdir(parents=True, exist_ok=True)
good()
bad()
handover()
