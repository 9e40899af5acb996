// Connection to one peer, a user or the server: negotiation without glare, ICE restart, and a new connection where
// that does not help.

import { BACK_OFF_S } from "./signalling.js";

/** Time that an ICE restart, or a new connection, may take. */
const RESTART_MS = 5000;

/** Time for which a connection may be interrupted before something is done about it. */
const PATIENCE_MS = 2000;

export const SERVER = "server";

/**
 * Events: `track` (detail: MediaStream), `state` (detail: "connecting" | "connected" | "restarting" | "failed").
 */
export class Connection extends EventTarget {
  #send;
  #options;
  #track;
  #pc = null;
  #isMakingOffer = false;
  #ignoresOffer = false;
  #candidates = [];
  #hasBeenUp = false;
  #tries = 0;
  #timer = 0;
  #advice = { bitrateBps: 0, fec: true, packetMs: 20 };
  #state = "connecting";

  /** `options`: { iceServers, relayOnly, isPolite, offers } */
  constructor(peer, track, options, send) {
    super();
    this.peer = peer;
    this.#track = track;
    this.#options = options;
    this.#send = send;
    this.#build();
  }

  get pc() {
    return this.#pc;
  }

  get state() {
    return this.#state;
  }

  #build() {
    this.#pc?.close();
    const { iceServers, relayOnly } = this.#options;
    const pc = new RTCPeerConnection({ iceServers, iceTransportPolicy: relayOnly ? "relay" : "all", bundlePolicy: "max-bundle" });
    this.#pc = pc;
    this.#candidates = [];
    this.#hasBeenUp = false;
    pc.ontrack = ({ streams, track }) => {
      const stream = streams[0] ?? new MediaStream([track]);
      this.dispatchEvent(new CustomEvent("track", { detail: stream }));
    };
    pc.onicecandidate = ({ candidate }) => {
      if (candidate) this.#send({ type: "candidate", to: this.peer, candidate: candidate.toJSON() });
    };
    pc.onnegotiationneeded = () => {
      if (this.#options.offers || this.#hasBeenUp) this.#offer();
    };
    pc.onconnectionstatechange = () => this.#changed(pc);
    pc.addTrack(this.#track, new MediaStream([this.#track]));
  }

  #set(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  #changed(pc) {
    if (pc !== this.#pc) return;
    if (pc.connectionState === "connected") {
      clearTimeout(this.#timer);
      this.#timer = 0;
      this.#tries = 0;
      this.#hasBeenUp = true;
      this.#set("connected");
      this.#applyBitrate();
    } else if (pc.connectionState === "failed") {
      this.recover(0);
    } else if (pc.connectionState === "disconnected") {
      this.recover(PATIENCE_MS);
    }
  }

  /** Restarts ICE after `delay` ms; where that does not help, makes a new connection, more and more seldom. */
  recover(delay) {
    if (this.#timer) return;
    this.#set("restarting");
    this.#timer = setTimeout(() => {
      if (this.#pc.connectionState === "connected") {
        this.#timer = 0;
        this.#set("connected");
        return;
      }
      this.#restart();
      this.#timer = setTimeout(() => this.#again(), RESTART_MS);
    }, delay);
  }

  #again() {
    this.#timer = 0;
    if (this.#pc.connectionState === "connected") return;
    const seconds = BACK_OFF_S[this.#tries];
    this.#tries += 1;
    if (seconds === undefined) {
      this.#set("failed");
      return;
    }
    this.#timer = setTimeout(() => {
      this.renew();
      this.#timer = setTimeout(() => this.#again(), RESTART_MS);
    }, seconds * 1000);
  }

  /** Tries again, by hand. */
  retry() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#tries = 0;
    this.#set("restarting");
    this.#again();
  }

  /** Makes sure that the connection still is one, when the server is back: ICE restart first. */
  refresh() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const isUp = this.#pc.connectionState === "connected";
    if (isUp && this.peer !== SERVER) return;
    if (!isUp) this.#set("restarting");
    if (this.#hasBeenUp) {
      this.#restart();
      this.#timer = setTimeout(() => this.#again(), RESTART_MS);
    } else {
      this.renew();
    }
  }

  /** Drops the connection, and makes a new one. */
  renew() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#options.offers = true;
    this.#build();
    this.#timer = setTimeout(() => this.#again(), RESTART_MS);
  }

  #restart() {
    // From stable, so that a lost answer does not block for ever.
    if (this.#pc.signalingState === "have-local-offer") this.#pc.setLocalDescription({ type: "rollback" }).catch(() => {});
    this.#pc.restartIce();
  }

  async #offer() {
    const pc = this.#pc;
    try {
      this.#isMakingOffer = true;
      await pc.setLocalDescription();
      this.#send({ type: "offer", to: this.peer, sdp: pc.localDescription.sdp, restart: this.#hasBeenUp });
    } catch (error) {
      if (pc === this.#pc) console.warn("offer:", error);
    } finally {
      this.#isMakingOffer = false;
    }
  }

  /** Takes an offer of the peer. */
  async onOffer(sdp, isRestart) {
    // A first offer over an old connection: the peer has forgotten it.
    if (!isRestart && this.#hasBeenUp) {
      this.#options.offers = false;
      this.#build();
    }
    const pc = this.#pc;
    const collides = this.#isMakingOffer || pc.signalingState !== "stable";
    this.#ignoresOffer = collides && !this.#options.isPolite;
    if (this.#ignoresOffer) return;
    await pc.setRemoteDescription({ type: "offer", sdp: this.#adapted(sdp) });
    await this.#addWaiting(pc);
    await pc.setLocalDescription();
    this.#send({ type: "answer", to: this.peer, sdp: pc.localDescription.sdp });
  }

  /** Takes the answer of the peer. */
  async onAnswer(sdp) {
    const pc = this.#pc;
    if (pc.signalingState !== "have-local-offer") return;
    await pc.setRemoteDescription({ type: "answer", sdp: this.#adapted(sdp) });
    await this.#addWaiting(pc);
  }

  /** Takes a candidate of the peer. */
  async onCandidate(candidate) {
    if (!this.#pc.remoteDescription) {
      this.#candidates.push(candidate);
      return;
    }
    try {
      await this.#pc.addIceCandidate(candidate);
    } catch (error) {
      if (!this.#ignoresOffer) console.warn("candidate:", error);
    }
  }

  async #addWaiting(pc) {
    for (const candidate of this.#candidates.splice(0)) await pc.addIceCandidate(candidate).catch(() => {});
  }

  /** Follows advice for what is sent: { bitrateBps, fec, packetMs }. */
  follow(advice) {
    const { bitrateBps, fec, packetMs } = advice;
    const before = this.#advice;
    this.#advice = { bitrateBps, fec, packetMs };
    if (bitrateBps !== before.bitrateBps) this.#applyBitrate();
    // Packet length and error correction of what is sent are what the far side asks for in its description.
    const isStable = this.#pc.signalingState === "stable" && this.#state === "connected";
    if ((fec !== before.fec || packetMs !== before.packetMs) && isStable) this.#offer();
  }

  #applyBitrate() {
    const sender = this.#pc.getSenders()[0];
    const parameters = sender?.getParameters();
    if (!parameters?.encodings?.length || !this.#advice.bitrateBps) return;
    parameters.encodings[0].maxBitrate = this.#advice.bitrateBps;
    sender.setParameters(parameters).catch((error) => console.warn("bit rate:", error));
  }

  /** The peer's description, with the packet length and error correction that are advised. */
  #adapted(sdp) {
    const payload = /^a=rtpmap:(\d+) opus\/48000/im.exec(sdp)?.[1];
    if (!payload) return sdp;
    const { fec, packetMs } = this.#advice;
    const format = new RegExp(`^a=fmtp:${payload} .*\\r?\\n`, "m");
    const kept = (format.exec(sdp)?.[0] ?? "").trim().replace(/^a=fmtp:\d+ /, "").split(";")
      .filter((field) => field && !/^(useinbandfec|ptime|minptime)=/.test(field.trim()));
    const line = `a=fmtp:${payload} ${[...kept, "minptime=10", `useinbandfec=${fec ? 1 : 0}`].join(";")}\r\n`;
    const without = sdp.replace(format, "").replace(/^a=ptime:.*\r?\n/gm, "");
    return without.replace(/^(a=rtpmap:\d+ opus\/48000.*\r?\n)/im, `$1${line}a=ptime:${packetMs}\r\n`);
  }

  /** Sends another track from now on. */
  async replaceTrack(track) {
    this.#track = track;
    await this.#pc.getSenders()[0]?.replaceTrack(track);
  }

  close() {
    clearTimeout(this.#timer);
    this.#pc.onconnectionstatechange = null;
    this.#pc.close();
  }
}
