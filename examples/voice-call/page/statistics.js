// Statistics of a connection: from getStats to the reports that the server takes, and to what the page shows.

/** Reads one connection, twice a second. */
export class Statistics {
  #before = null;

  /** { send, receive, shown } of a peer connection; reports as the server's `stats` message has them. */
  async read(pc) {
    const byType = new Map();
    for (const entry of (await pc.getStats()).values()) {
      if (entry.kind && entry.kind !== "audio") continue;
      if (entry.type === "candidate-pair" && !(entry.nominated && entry.state === "succeeded")) continue;
      byType.set(entry.type, entry);
    }
    const inbound = byType.get("inbound-rtp");
    const outbound = byType.get("outbound-rtp");
    const remote = byType.get("remote-inbound-rtp");
    const pair = byType.get("candidate-pair");
    const now = performance.now();
    const before = this.#before ?? { now, sent: 0, received: 0 };
    const rate = (bytes, last) => (now > before.now ? Math.max(0, ((bytes - last) * 8000) / (now - before.now)) : 0);
    const sent = outbound?.bytesSent ?? 0;
    const received = inbound?.bytesReceived ?? 0;
    const rtt = pair?.currentRoundTripTime ?? remote?.roundTripTime;
    const ms = (seconds) => (seconds === undefined ? undefined : seconds * 1000);
    const shown = {
      sentBps: rate(sent, before.sent),
      receivedBps: rate(received, before.received),
      concealed: inbound?.concealedSamples ?? 0,
      silentConcealed: inbound?.silentConcealedSamples ?? 0,
      samples: inbound?.totalSamplesReceived ?? 0,
      discarded: inbound?.packetsDiscarded ?? 0,
      jitterBufferDelay: inbound?.jitterBufferDelay ?? 0,
      jitterBufferEmitted: inbound?.jitterBufferEmittedCount ?? 0,
      localCandidate: pair && (await candidateType(pc, pair.localCandidateId)),
    };
    this.#before = { now, sent, received };
    // availableOutgoingBitrate is left out: with audio alone it knows of no more than what is sent.
    const send = clean({
      loss: remote?.fractionLost,
      jitter_ms: ms(remote?.jitter),
      round_trip_time_ms: ms(rtt),
    });
    const receive = inbound && clean({
      packets_lost: inbound.packetsLost,
      packets_received: inbound.packetsReceived,
      jitter_ms: ms(inbound.jitter),
      round_trip_time_ms: ms(rtt),
    });
    return { send, receive: receive ?? {}, shown };
  }
}

async function candidateType(pc, id) {
  return (await pc.getStats()).get(id)?.candidateType;
}

function clean(report) {
  return Object.fromEntries(Object.entries(report).filter(([, value]) => Number.isFinite(value)));
}

/** Level of a stream, by the browser's AnalyserNode. */
export class Level {
  #analyser;
  #source;
  #samples = new Float32Array(1024);

  constructor(context, stream) {
    this.#source = context.createMediaStreamSource(stream);
    this.#analyser = new AnalyserNode(context, { fftSize: 1024 });
    this.#source.connect(this.#analyser);
  }

  /** RMS in dBFS. */
  get dbfs() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    return power > 1e-12 ? 10 * Math.log10(power) : -120;
  }

  close() {
    this.#source.disconnect();
  }
}
