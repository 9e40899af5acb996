// A headless Chromium with a recording as its microphone, and the page in it.

import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";

// Where setup.sh has installed it.
const require = createRequire(`${process.env.VOICE_CALL_NODE ?? process.cwd()}/`);
const { chromium } = require("playwright-core");

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
  "--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns",
];

/** Worklet that hands on what goes through it. */
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) {
    if (input[0]) this.port.postMessage([currentTime, input[0].slice()]);
    return true;
  }
})`;

export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Opens a browser. `microphone` is a WAV file, or null for none; `options` are those of the context. */
export async function openPage(microphone, { deny = false, ...options } = {}) {
  const fake = microphone ? ["--use-fake-device-for-media-stream", `--use-file-for-fake-audio-capture=${microphone}`] : [];
  const permission = deny ? "--deny-permission-prompts" : "--use-fake-ui-for-media-stream";
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [...FLAGS, ...fake, permission],
  });
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(message.text());
  });
  return new Participant(browser, page, problems);
}

export class Participant {
  constructor(browser, page, problems) {
    Object.assign(this, { browser, page, problems });
  }

  async join(url, room, name) {
    await this.page.goto(`${url}${url.includes("?") ? "&" : "/?"}${new URLSearchParams({ room, name })}`);
    await this.page.click("#join button");
  }

  /** Waits until the state line says it. */
  async state(text, seconds = 20) {
    await this.page.waitForFunction((wanted) => document.getElementById("state").textContent.includes(wanted), text, {
      timeout: seconds * 1000,
    });
  }

  /** Statistics of all connections: { peer: { send, receive, shown, kind } }. */
  async statistics() {
    return this.page.evaluate(() =>
      Object.fromEntries([...window.voiceCall.peers].map(([peer, { states, shown, serverMs }]) => [peer, { ...states, shown, serverMs }])));
  }

  /** Begins to record what is heard and what is spoken, with the time of each block. */
  async record() {
    await this.page.evaluate(async (code) => {
      const context = new AudioContext({ sampleRate: 48000 });
      await context.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
      const call = window.voiceCall;
      const heard = [...call.peers.values()].map(({ audio }) => audio.srcObject);
      window.taps = [heard[0], call.stream].map((stream) => {
        const tap = { blocks: [], offset: Infinity };
        const source = context.createMediaStreamSource(stream);
        const node = new AudioWorkletNode(context, "tap", { channelCount: 1, channelCountMode: "explicit" });
        node.port.onmessage = ({ data: [at, samples] }) => {
          // The least difference of the two clocks is that without waiting.
          tap.offset = Math.min(tap.offset, Date.now() / 1000 - at - samples.length / 48000);
          tap.blocks.push([at, samples]);
        };
        source.connect(node);
        return Object.assign(tap, { source, node });
      });
      window.tapContext = context;
    }, TAP);
  }

  /** Ends the recording: `PREFIX.heard.wav`, `PREFIX.spoken.wav`, and the times at which they begin, in s. */
  async stopRecording(prefix) {
    const [heard, spoken] = await this.page.evaluate(async () => {
      const encode = (tap) => {
        const start = tap.blocks[0]?.[0] ?? 0;
        const length = tap.blocks.reduce((end, [at, { length }]) => Math.max(end, Math.round((at - start) * 48000) + length), 0);
        const pcm = new Int16Array(length);
        for (const [at, samples] of tap.blocks) {
          const offset = Math.round((at - start) * 48000);
          samples.forEach((sample, index) => (pcm[offset + index] = Math.max(-32768, Math.min(32767, sample * 32768))));
        }
        const bytes = new Uint8Array(pcm.buffer);
        let text = "";
        for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
        return { at: start + tap.offset, data: btoa(text) };
      };
      const taps = window.taps.map(encode);
      window.taps.forEach(({ source }) => source.disconnect());
      await window.tapContext.close();
      return taps;
    });
    for (const [name, { data }] of [["heard", heard], ["spoken", spoken]]) {
      await writeFile(`${prefix}.${name}.wav`, wav(Buffer.from(data, "base64")));
    }
    return { heardAt: heard.at, spokenAt: spoken.at };
  }

  async close() {
    await this.browser.close();
  }
}

/** WAV file of 48 kHz, 16 bit, mono. */
function wav(pcm) {
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + pcm.length, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(48000, 24);
  header.writeUInt32LE(96000, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36);
  header.writeUInt32LE(pcm.length, 40);
  return Buffer.concat([header, pcm]);
}
