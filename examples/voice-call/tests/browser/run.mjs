// The calls of test.sh, on loopback: two pages in two browsers, and what each hears. Ends with 1 where something is not as
// it should be. What is recorded goes into $VOICE_CALL_OUT, for score.py.

import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { openPage, sleep } from "./page.mjs";

const env = process.env;
const OUT = env.VOICE_CALL_OUT;
const URL = "http://127.0.0.1:8391";
const SECOND = "http://127.0.0.1:8392";

// ---- servers --------------------------------------------------------------------------------------------------------

const running = new Set();

async function startServer(url, ...more) {
  const args = ["serve", "--listen", url.slice(7), "--media-address", "127.0.0.1", "--simulation", ...more];
  if (env.VOICE_CALL_TURN_PORT) args.push("--turn", `turn:127.0.0.1:${env.VOICE_CALL_TURN_PORT}?transport=udp`, "--turn-secret", env.VOICE_CALL_SECRET);
  const log = openSync(`${OUT}/server.log`, "a");
  const server = spawn(env.VOICE_CALL, args, { stdio: ["ignore", log, log] });
  running.add(server);
  for (let tries = 0; tries < 100; tries += 1) {
    if ((await fetch(`${url}/health`).catch(() => null))?.ok) return server;
    await sleep(0.1);
  }
  throw new Error(`no server on ${url}`);
}

async function killServer(server) {
  server.kill("SIGKILL");
  running.delete(server);
  await sleep(0.2);
}

/** Processor time that a server has used, in s; 0 where that cannot be read. */
async function cpuSeconds(server) {
  const stat = await readFile(`/proc/${server.pid}/stat`, "utf8").catch(() => "");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100 || 0;
}

async function network(room, condition) {
  const answer = await fetch(`${URL}/api/rooms/${room}/network`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(condition),
  });
  if (!answer.ok) throw new Error(`network: ${answer.status}`);
}

// ---- checks ---------------------------------------------------------------------------------------------------------

const facts = {};
let failures = 0;

function check(what, isGood, figures = "") {
  failures += isGood ? 0 : 1;
  console.log(`${isGood ? "ok  " : "FAIL"} ${what}${figures !== "" ? `: ${figures}` : ""}`);
}

async function both(...actions) {
  return Promise.all(actions);
}

/** Whether a page hears somebody: the level of what it receives, over some seconds. */
async function loudest(participant, seconds = 3) {
  return participant.page.evaluate(async (ms) => {
    let max = -120;
    for (const end = performance.now() + ms; performance.now() < end; await new Promise((done) => setTimeout(done, 50))) {
      for (const { level } of window.voiceCall.peers.values()) max = Math.max(max, level?.dbfs ?? -120);
    }
    return max;
  }, seconds * 1000);
}

async function checkHeard(what, a, b) {
  const [first, second] = await both(loudest(a), loudest(b));
  check(`${what}: both hear each other`, first > -45 && second > -45, `${first.toFixed(0)} and ${second.toFixed(0)} dBFS`);
}

async function switchTo(a, b, text) {
  await a.page.click("#mode");
  await both(a.state(text), b.state(text));
}

/** Counters of what both receive. */
async function counters(...participants) {
  const all = await Promise.all(participants.map((participant) => participant.statistics()));
  return all.map((statistics) => Object.values(statistics)[0].shown);
}

// ---- calls ----------------------------------------------------------------------------------------------------------

async function directly(a, b) {
  await both(a.join(URL, "direct", "Ann"), b.join(URL, "direct", "Bob"));
  await both(a.state("In a call, directly"), b.state("In a call, directly"));
  await checkHeard("directly", a, b);
}

async function relayed(a, b) {
  if (!env.VOICE_CALL_TURN_PORT) return console.log("skip relay: no coturn");
  await both(a.join(`${URL}/?relay`, "relay", "Ann"), b.join(`${URL}/?relay`, "relay", "Bob"));
  await both(a.state("In a call, directly"), b.state("In a call, directly"));
  await checkHeard("through TURN only", a, b);
  await sleep(1.5);
  const kinds = (await counters(a, b)).map(({ localCandidate }) => localCandidate);
  check("through TURN only: both candidates are relays", kinds.every((kind) => kind === "relay"), kinds);
  await switchTo(a, b, "In a call, through the server");
  await checkHeard("through TURN and the server", a, b);
}

async function throughServer(a, b, server) {
  await both(a.join(URL, "mixed", "Ann"), b.join(URL, "mixed", "Bob"));
  await both(a.state("In a call, directly"), b.state("In a call, directly"));
  await switchTo(a, b, "In a call, through the server");
  await checkHeard("through the server", a, b);
  await sleep(5);
  const [before, cpu] = [await counters(a, b), await cpuSeconds(server)];
  await both(a.record(), b.record());
  const inServer = [];
  for (let second = 0; second < 60; second += 1) {
    await sleep(1);
    inServer.push(Object.values(await a.statistics())[0].serverMs);
  }
  facts.serverMs = inServer.reduce((sum, ms) => sum + ms) / inServer.length;
  const used = (await cpuSeconds(server)) - cpu;
  console.log(`     the server uses ${((used / 60) * 10 / 2).toFixed(2)} ms of a core for each participant and 10 ms`);
  const [first, second] = await both(a.stopRecording(`${OUT}/ann`), b.stopRecording(`${OUT}/bob`));
  const after = await counters(a, b);
  Object.assign(facts, { ann: first, bob: second });
  after.forEach((now, index) => {
    const [name, was] = [["Ann", "Bob"][index], before[index]];
    const concealed = (now.concealed - was.concealed - (now.silentConcealed - was.silentConcealed)) / (now.samples - was.samples);
    check(`clean network, 60 s, ${name}: no packet discarded`, now.discarded === was.discarded, now.discarded - was.discarded);
    const buffered = (now.jitterBufferDelay - was.jitterBufferDelay) / (now.jitterBufferEmitted - was.jitterBufferEmitted);
    facts[index ? "bob" : "ann"].bufferedMs = buffered * 1000;
    check(`clean network, 60 s, ${name}: concealed <= 1 %`, concealed <= 0.01, `${(concealed * 100).toFixed(2)} %`);
  });
  await a.page.screenshot({ path: `${OUT}/call.png`, fullPage: true });
  await a.page.click("#mute");
  await sleep(1.5);
  const level = await loudest(b, 2);
  check("through the server: nobody hears a muted user, or oneself", level < -60, `${level.toFixed(0)} dBFS`);
  await a.page.click("#mute");
}

/** Profiles by hand, on a clean network: no click at the switches. */
async function switches(a, b) {
  await b.record();
  facts.switches = [];
  for (const profile of ["", "low-latency", "high-quality", "balanced"]) {
    await a.page.selectOption("#profile", profile);
    if (profile) facts.switches.push(Date.now() / 1000);
    await sleep(7);
  }
  Object.assign(facts, { switched: await b.stopRecording(`${OUT}/switched`) });
  await a.page.selectOption("#profile", "");
  await sleep(3);
}

async function degraded(a, b) {
  const states = async () => Object.values(await a.statistics())[0];
  const log = [];
  const watch = async (seconds) => {
    for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(0.25)) log.push({ at: Date.now() / 1000, ...(await states()) });
  };
  const start = Date.now() / 1000;
  await network("mixed", { loss: 0.1, jitter_ms: 50 });
  await watch(20);
  await a.page.screenshot({ path: `${OUT}/poor.png`, fullPage: true });
  const worst = log.at(-1);
  await network("mixed", {});
  const end = Date.now() / 1000;
  await watch(15);
  await writeFile(`${OUT}/degraded.json`, JSON.stringify(log));
  for (const direction of ["send", "receive"]) {
    const during = log.find(({ at, [direction]: state }) => at > start && state.quality === "poor");
    const state = worst[direction];
    check(`10 % loss, 50 ms jitter, ${direction}: poor, and why`, state.quality === "poor" && /loss|jitter/.test(state.reason),
      `after ${during ? (during.at - start).toFixed(1) : "–"} s: ${state.reason}`);
    check(`10 % loss, 50 ms jitter, ${direction}: bit rate and profile follow`,
      state.bitrateBps === 32000 && state.profile === "low-latency" && state.fec, state.reasons.join("; "));
    const isBack = ({ at, [direction]: now }) => at > end && now.quality !== "poor" && now.bitrateBps === 64000 && now.profile === "balanced";
    const back = log.find(isBack);
    const excellent = log.find(({ at, [direction]: now }) => at > end && now.quality === "excellent" && !now.fec);
    check(`clean again, ${direction}: all back within 15 s`, Boolean(back && excellent),
      `bit rate and profile after ${back ? (back.at - end).toFixed(1) : "–"} s, excellent after ${excellent ? (excellent.at - end).toFixed(1) : "–"} s`);
  }
  check("10 % loss: Chromium sends at the lower rate", worst.shown.sentBps < 45_000, `${(worst.shown.sentBps / 1000).toFixed(0)} kb/s`);
}

async function restarted(a, b, server, how) {
  await killServer(server);
  await sleep(3);
  await a.page.screenshot({ path: `${OUT}/lost.png`, fullPage: true });
  const again = await startServer(URL);
  const start = Date.now();
  const text = `In a call, ${how}`;
  const back = await both(a.state(text, 40), b.state(text, 40)).then(() => true, () => false);
  check(`server killed and restarted, ${how}: both pages are back`, back, `${((Date.now() - start) / 1000).toFixed(1)} s after its start`);
  await checkHeard(`behind the restart, ${how}`, a, b);
  return again;
}

async function shared(a, b) {
  if (!env.VOICE_CALL_TEST_REDIS) return console.log("skip two servers: no Redis");
  const more = ["--redis", env.VOICE_CALL_TEST_REDIS];
  const servers = [await startServer(URL, ...more), await startServer(SECOND, ...more)];
  await both(a.join(URL, "shared", "Ann"), b.join(SECOND, "shared", "Bob"));
  await both(a.state("In a call, directly"), b.state("In a call, directly"));
  await checkHeard("two servers and Redis, directly", a, b);
  await switchTo(a, b, "In a call, through the server");
  await checkHeard("two servers and Redis, through one of them", a, b);
  await killServer(servers[1]);
  const alone = await a.page.waitForFunction(() => document.getElementById("state").textContent.includes("alone"), null, { timeout: 20_000 })
    .then(() => true, () => false);
  check("two servers and Redis: a dead server's users are gone", alone || (await (await fetch(`${URL}/api/rooms/shared`)).json()).users.length === 1);
  await killServer(servers[0]);
}

/** A native participant instead of the second page. */
async function native(a, clean) {
  for (const [how, ...more] of [["directly"], ["through the server", "--through-server"]]) {
    const output = `${OUT}/native.wav`;
    await a.join(URL, `native-${more.length}`, "Ann");
    await a.state("alone");
    const log = openSync(`${OUT}/join.log`, "a");
    const args = ["join", URL, `native-${more.length}`, "--name", "Rust", "--input", clean, "--repeat", "--output", output, "--seconds", "8"];
    const participant = spawn(env.VOICE_CALL, [...args, ...more], { stdio: ["ignore", log, log] });
    const ended = new Promise((done) => participant.on("exit", done));
    await a.state(`In a call, ${how}`);
    const level = await loudest(a);
    check(`native participant, ${how}: the page hears it`, level > -45, `${level.toFixed(0)} dBFS`);
    check(`native participant, ${how}: ends well`, (await ended) === 0);
    const wav = await readFile(output);
    const samples = new Int16Array(wav.buffer.slice(wav.byteOffset + 44, wav.byteOffset + wav.length - (wav.length % 2)));
    const peak = 20 * Math.log10(samples.reduce((max, sample) => Math.max(max, Math.abs(sample)), 1) / 32768);
    check(`native participant, ${how}: it hears the page`, peak > -30, `peak ${peak.toFixed(0)} dBFS in ${(samples.length / 48000).toFixed(1)} s`);
  }
}

async function errors(noisy) {
  const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: "dark" };
  const alert = (participant) => participant.page.waitForSelector("#alert:not([hidden])").then(() => participant.page.textContent("#alert-text"));
  for (const [name, microphone, options, words] of [
    ["no-microphone", null, {}, "No microphone was found"],
    ["denied", noisy, { deny: true, ...phone }, "does not let this page use the microphone"],
  ]) {
    const participant = await openPage(microphone, options);
    await participant.join(URL, "errors", "Ann");
    const text = await alert(participant).catch(String);
    check(`error in words: ${name}`, text.includes(words), text);
    await participant.page.screenshot({ path: `${OUT}/${name}.png`, fullPage: true });
    await participant.close();
  }
}

async function onPhone(noisy, clean) {
  const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true };
  const [a, b] = await both(openPage(noisy, phone), openPage(clean));
  await both(a.join(URL, "phone", "Ann"), b.join(URL, "phone", "Bob, with a name that is rather long"));
  await both(a.state("In a call"), b.state("In a call"));
  await sleep(3);
  const width = await a.page.evaluate(() => document.documentElement.scrollWidth);
  check("phone: nothing sticks out", width <= 390, `${width} of 390`);
  await a.page.screenshot({ path: `${OUT}/phone.png`, fullPage: true });
  check("phone: no error on the pages' consoles", a.problems.length + b.problems.length === 0, [...a.problems, ...b.problems].join(" | "));
  await both(a.close(), b.close());
}

async function main() {
  const [noisy, clean] = [env.VOICE_CALL_NOISY, env.VOICE_CALL_CLEAN];
  let server = await startServer(URL);
  // The recorder is a script that the page's policy would not run; the pages of `onPhone` have that policy.
  const [a, b] = await both(openPage(noisy, { bypassCSP: true }), openPage(clean, { bypassCSP: true }));
  const parts = (env.VOICE_CALL_PARTS ?? "direct relay server switches degraded restart native shared errors phone").split(" ");
  if (parts.includes("direct")) await directly(a, b);
  if (parts.includes("direct") && parts.includes("restart")) server = await restarted(a, b, server, "directly");
  if (parts.includes("relay")) await relayed(a, b);
  if (parts.includes("server")) await throughServer(a, b, server);
  if (parts.includes("switches")) await switches(a, b);
  if (parts.includes("degraded")) await degraded(a, b);
  if (parts.includes("server") && parts.includes("restart")) server = await restarted(a, b, server, "through the server");
  if (parts.includes("native")) await native(a, clean);
  if (parts.includes("errors")) await errors(noisy);
  if (parts.includes("phone")) await onPhone(noisy, clean);
  await killServer(server);
  if (parts.includes("shared")) await shared(a, b);
  const problems = [...a.problems, ...b.problems].filter((text) => !/ERR_CONNECTION_REFUSED|WebSocket connection|Failed to load resource/.test(text));
  check("no error on the pages' consoles", problems.length === 0, problems.join(" | "));
  await both(a.close(), b.close());
  await writeFile(`${OUT}/facts.json`, JSON.stringify(facts));
}

try {
  await main();
} catch (error) {
  check("the test ran to its end", false, error.stack);
}
for (const server of running) server.kill("SIGKILL");
console.log(failures ? `${failures} failed` : "all as it should be");
process.exit(failures ? 1 : 0);
