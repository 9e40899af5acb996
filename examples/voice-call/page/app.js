// The call: joins a room, keeps a connection to each peer, and shows what happens.

import { Connection, SERVER } from "./connection.js";
import { Signalling } from "./signalling.js";
import { Level, Statistics } from "./statistics.js";
import * as view from "./view.js";

const $ = (id) => document.getElementById(id);
const parameters = new URLSearchParams(location.search);

/** Pages with `?relay` use TURN servers only. */
const relayOnly = parameters.has("relay");

/** Time between two reports: what adapts can follow no sooner. */
const STATISTICS_MS = 500;

const signalling = new Signalling(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
const call = {
  /** Wanted: { room, name, session }. */
  wish: null,
  id: null,
  mode: "p2p",
  users: new Map(),
  iceServers: [],
  /** By peer: { connection, statistics, states, shown, level, audio }. */
  peers: new Map(),
  stream: null,
  muted: false,
  context: null,
  ownLevel: null,
  /** Whether the browser cleans the present track. */
  isCleaned: null,
  serverLevels: new Map(),
  speaker: null,
};
// For tests and for whoever looks for trouble.
window.voiceCall = call;

// ---- microphone -----------------------------------------------------------------------------------------------------

const TROUBLE = {
  NotFoundError: "No microphone was found. Plug one in, or choose another one below, and join again.",
  OverconstrainedError: "The chosen microphone is not there any more. Choose another one below.",
  NotAllowedError: "The browser does not let this page use the microphone. Allow it beside the address, and join again.",
  NotReadableError: "The microphone is in use by another program, or does not answer.",
  SecurityError: "The browser gives the microphone only to secure pages: use https, or localhost.",
};

/** Whether the browser cleans the voice: through the server voxframe does, and twice would harm. */
function isCleanedHere() {
  const advised = [...call.peers.values()].map(({ states }) => states?.send.profile);
  const profile = $("profile").value || (advised.includes("low-latency") ? "low-latency" : "balanced");
  return call.mode === "p2p" && profile !== "low-latency";
}

async function openMicrophone() {
  if (!navigator.mediaDevices) throw new DOMException("no secure context", "SecurityError");
  const deviceId = $("microphone").value;
  const cleaned = isCleanedHere();
  call.isCleaned = cleaned;
  const audio = { echoCancellation: true, noiseSuppression: cleaned, autoGainControl: cleaned, channelCount: 1 };
  if (deviceId) audio.deviceId = { exact: deviceId };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  call.stream?.getTracks().forEach((track) => track.stop());
  call.stream = stream;
  const [track] = stream.getAudioTracks();
  track.enabled = !call.muted;
  track.onended = () => view.showAlert("The microphone was unplugged. Choose another one below.");
  call.ownLevel?.close();
  call.ownLevel = new Level(call.context, stream);
  await Promise.all([...call.peers.values()].map(({ connection }) => connection.replaceTrack(track)));
  listMicrophones();
}

async function listMicrophones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const select = $("microphone");
  const chosen = select.value;
  const inputs = devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId && deviceId !== "default");
  select.replaceChildren(
    new Option("Default microphone", ""),
    ...inputs.map(({ deviceId, label }, index) => new Option(label || `Microphone ${index + 1}`, deviceId)),
  );
  select.value = chosen;
  if (select.selectedIndex < 0) select.value = "";
}

async function changeMicrophone() {
  if (!call.stream) return;
  try {
    await openMicrophone();
    view.showAlert(null);
  } catch (error) {
    view.showAlert(TROUBLE[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
}

// ---- joining and leaving --------------------------------------------------------------------------------------------

async function join(event) {
  event?.preventDefault();
  view.showAlert(null);
  const button = $("join").querySelector("button");
  button.disabled = true;
  view.showState("wait", "Waiting for the microphone …");
  try {
    call.context ??= new AudioContext();
    await call.context.resume();
    await openMicrophone();
  } catch (error) {
    view.showState("bad", "Not connected");
    view.showAlert(TROUBLE[error.name] ?? `The microphone cannot be used: ${error.message}`);
    button.disabled = false;
    return;
  }
  call.wish = { room: $("room").value.trim(), name: $("name").value.trim(), session: session() };
  history.replaceState(null, "", `?${new URLSearchParams({ ...Object.fromEntries(parameters), room: call.wish.room })}`);
  view.showState("wait", "Connecting …");
  signalling.open();
}

/** Secret of this window: after a reconnection one is the same user. */
function session() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function leave() {
  signalling.send({ type: "leave" });
  end();
  view.showState("idle", "Not connected");
  $("room").focus();
}

function end() {
  signalling.close();
  for (const peer of [...call.peers.keys()]) drop(peer);
  call.stream?.getTracks().forEach((track) => track.stop());
  call.ownLevel?.close();
  Object.assign(call, { wish: null, id: null, stream: null, ownLevel: null, mode: "p2p" });
  call.users.clear();
  $("call").hidden = true;
  $("join").hidden = false;
  $("join").querySelector("button").disabled = false;
  view.clear();
}

// ---- signalling -----------------------------------------------------------------------------------------------------

signalling.addEventListener("open", () => {
  if (call.wish) signalling.send({ type: "join", ...call.wish });
});

signalling.addEventListener("lost", ({ detail: { seconds, tries } }) => {
  call.serverLevels.clear();
  call.speaker = null;
  view.showStale(true);
  view.showState("wait", `The server does not answer. Trying again in ${seconds} s (${tries} of 5) …`);
});

signalling.addEventListener("gone", () => {
  view.showState("bad", "Server gone");
  view.showAlert("The server cannot be reached. Check your network, then try again.", "Try again");
});

const handlers = {
  joined(message) {
    const isBack = call.id !== null;
    const modeBefore = call.mode;
    Object.assign(call, { id: message.id, mode: message.mode, iceServers: message.iceServers });
    call.users = new Map(message.members.map((user) => [user.id, user]));
    // A server that was restarted knows no mode any more: whoever is back first says it.
    if (isBack && message.members.length === 0 && modeBefore !== call.mode) {
      call.mode = modeBefore;
      signalling.send({ type: "mode", mode: call.mode });
    }
    if (call.muted) signalling.send({ type: "mute", muted: true });
    $("join").hidden = true;
    $("call").hidden = false;
    $("call-title").textContent = `Room ${message.room}`;
    view.showAlert(null);
    view.log(isBack ? "Back in the room" : "Joined the room");
    showMode();
    for (const { connection } of call.peers.values()) connection.refresh();
    // Who comes later offers.
    connectAll(true);
    if (modeBefore !== call.mode) changeMicrophone();
    if ($("profile").value) signalling.send({ type: "profile", profile: $("profile").value });
    if (!isBack) $("mute").focus();
  },
  "user-joined"({ user }) {
    const isNew = !call.users.has(user.id);
    call.users.set(user.id, user);
    if (isNew) view.log(`${user.name} is in the room`);
    showPeople();
  },
  "user-left"({ id, lost }) {
    const user = call.users.get(id);
    call.users.delete(id);
    if (user) view.log(`${user.name} ${lost ? "has lost the connection" : "has left"}`);
    const peer = call.peers.get(id);
    // Without the server two may still hear each other, and both may be back soon.
    if (peer && lost && peer.connection.state === "connected") setTimeout(() => call.users.has(id) || drop(id), 20_000);
    else drop(id);
    showPeople();
  },
  mode({ mode, by }) {
    if (mode === call.mode) return;
    call.mode = mode;
    const name = by === call.id ? "You" : call.users.get(by)?.name ?? "Somebody";
    view.log(`${name} switched: ${mode === "server" ? "through the server" : "directly"}`);
    for (const peer of [...call.peers.keys()]) drop(peer);
    showMode();
    changeMicrophone();
    // Of two, the one with the greater identity offers.
    connectAll(false);
  },
  muted({ id, muted }) {
    const user = call.users.get(id);
    if (user) user.muted = muted;
    showPeople();
  },
  async offer({ from, sdp, restart }) {
    if (call.mode !== "p2p") return;
    const known = call.peers.get(from) ?? connect(from, false);
    await known.connection.onOffer(sdp, restart);
  },
  async answer({ from, sdp }) {
    await call.peers.get(from)?.connection.onAnswer(sdp);
  },
  async candidate({ from, candidate }) {
    if (candidate && call.mode === "p2p") await (call.peers.get(from) ?? connect(from, false)).connection.onCandidate(candidate);
  },
  connection({ peer, send, receive, serverMs }) {
    const known = call.peers.get(peer);
    if (!known) return;
    view.showStale(false);
    known.states = { send, receive };
    known.serverMs = serverMs;
    if (call.isCleaned !== isCleanedHere()) changeMicrophone();
    showPeople();
    known.connection.follow(send);
  },
  levels({ levels, speaker }) {
    call.serverLevels = new Map(levels);
    call.speaker = speaker;
  },
  error({ code, message }) {
    const ends = { replaced: 1, abuse: 1, "room-full": 1, "too-many-rooms": 1, "bad-room": 1, "bad-name": 1 };
    if (code === "no-session") {
      call.peers.get(SERVER)?.connection.renew();
    } else if (code in ends) {
      end();
      view.showState("bad", "Not connected");
      view.showAlert(`The server refused: ${message}.`);
    } else if (code !== "no-such-user") {
      view.log(`The server refused something: ${message}`);
    }
  },
};

signalling.addEventListener("message", async ({ detail }) => {
  try {
    await handlers[detail.type]?.(detail);
  } catch (error) {
    console.warn(detail.type, error);
  }
});

// ---- peers ----------------------------------------------------------------------------------------------------------

/** Connects to whoever there is no connection to. */
function connectAll(offers) {
  if (call.mode === "server") {
    if (!call.peers.has(SERVER)) connect(SERVER, true);
    for (const peer of call.peers.keys()) if (peer !== SERVER) drop(peer);
  } else {
    drop(SERVER);
    for (const id of call.users.keys()) {
      if (!call.peers.has(id) && (offers || call.id > id)) connect(id, true);
    }
  }
  showPeople();
}

function connect(peer, offers) {
  const options = { iceServers: call.iceServers, relayOnly, isPolite: call.id < peer, offers };
  const connection = new Connection(peer, call.stream.getAudioTracks()[0], options, (message) => signalling.send(message));
  const audio = new Audio();
  audio.autoplay = true;
  audio.volume = $("volume").value / 100;
  $("sound").append(audio);
  const known = { connection, audio, statistics: new Statistics(), states: null, shown: null, level: null, since: performance.now() };
  call.peers.set(peer, known);
  connection.addEventListener("track", ({ detail: stream }) => {
    audio.srcObject = stream;
    audio.play().catch(() => view.showAlert("The browser does not play sound by itself.", "Play"));
    known.level?.close();
    known.level = new Level(call.context, stream);
  });
  connection.addEventListener("state", ({ detail: state }) => {
    if (state === "restarting") view.log(`Connection to ${nameOf(peer)} is interrupted: restarting`);
    if (state === "failed") view.showAlert(`No connection to ${nameOf(peer)}. A firewall may be in the way.`, "Try again");
    if (state === "connected") view.showAlert(null);
    showPeople();
  });
  return known;
}

function drop(peer) {
  const known = call.peers.get(peer);
  if (!known) return;
  call.peers.delete(peer);
  known.connection.close();
  known.level?.close();
  known.audio.srcObject = null;
  known.audio.remove();
}

function nameOf(peer) {
  return peer === SERVER ? "the server" : call.users.get(peer)?.name ?? "somebody who left";
}

let levelsAt = 0;

// ---- what is shown --------------------------------------------------------------------------------------------------

function showMode() {
  const isServer = call.mode === "server";
  $("mode").textContent = isServer ? "Talk directly" : "Talk through the server";
  $("mode-help").textContent = isServer
    ? "Through the server: voices are cleaned and mixed there."
    : "Directly: sound goes from browser to browser, and the server does not hear it.";
}

function showPeople() {
  const notes = { connecting: "connecting", restarting: "interrupted", failed: "no connection" };
  const others = [...call.users.values()].map((user) => ({ ...user, note: notes[call.peers.get(user.id)?.connection.state] }));
  view.showPeople([{ id: call.id, name: call.wish?.name ?? "", muted: call.muted, isSelf: true }, ...others]);
  if (!call.wish || !signalling.isOpen) return;
  const states = [...call.peers.values()].map(({ connection }) => connection.state);
  if (states.includes("failed")) view.showState("bad", "No connection");
  else if (states.some((state) => state !== "connected")) view.showState("wait", "Connecting …");
  else if (states.length === 0 || (call.mode === "server" && others.length === 0)) view.showState("good", "In the room, alone");
  else {
    const way = call.mode === "server" ? "through the server" : "directly";
    const isPoor = [...call.peers.values()].some(({ states }) => [states?.send, states?.receive].some((state) => state?.quality === "poor"));
    view.showState(isPoor ? "bad" : "good", `In a call, ${way}${isPoor ? ": poor connection" : ""}`);
  }
}

function showLevels(now = 0) {
  requestAnimationFrame(showLevels);
  // Often enough for an eye, and a quarter of the work.
  if (now - levelsAt < 60) return;
  levelsAt = now;
  if (!call.id || !call.ownLevel) return;
  view.showLevel(call.id, call.muted ? -120 : call.ownLevel.dbfs, call.speaker === call.id);
  for (const id of call.users.keys()) {
    const level = call.mode === "server" ? call.serverLevels.get(id) : call.peers.get(id)?.level?.dbfs;
    const dbfs = level ?? -120;
    view.showLevel(id, dbfs, call.mode === "server" ? call.speaker === id : dbfs > -45);
  }
}

async function readStatistics() {
  for (const [peer, known] of call.peers) {
    const { send, receive, shown } = await known.statistics.read(known.connection.pc);
    known.shown = shown;
    signalling.send({ type: "stats", peer, send, receive });
  }
  const all = [...call.peers].filter(([, { states }]) => states);
  if (all.length === 0 || !signalling.isOpen) return;
  view.showQuality(all.flatMap(([peer, { states, shown }]) => [
    { name: nameOf(peer), direction: "sent", state: states.send, bps: shown?.sentBps },
    { name: nameOf(peer), direction: "received", state: states.receive, bps: shown?.receivedBps },
  ]));
  view.showDecisions(all.flatMap(([peer, { states }]) => [
    { title: `To ${nameOf(peer)}`, ...states.send },
    { title: `From ${nameOf(peer)}`, ...states.receive },
  ]));
  const worst = (of, pick) => pick(...all.flatMap(([, { states }]) => [of(states.send), of(states.receive)]).filter(Number.isFinite));
  const order = ["poor", "fair", "good", "excellent"];
  const qualities = all.flatMap(([, { states }]) => [states.send.quality, states.receive.quality]);
  const largest = (of) => { const value = worst(of, Math.max); return Number.isFinite(value) ? value : undefined; };
  view.addPoint({
    loss: largest((state) => state.loss * 100),
    rtt: largest((state) => state.roundTripTimeMs),
    jitter: largest((state) => state.jitterMs),
    quality: order[Math.min(...qualities.map((quality) => order.indexOf(quality)))],
    kbps: (all[0][1].shown?.sentBps ?? 0) / 1000,
  });
}

// ---- controls -------------------------------------------------------------------------------------------------------

$("join").addEventListener("submit", join);
$("leave").addEventListener("click", leave);
$("mute").addEventListener("click", () => {
  call.muted = !call.muted;
  call.stream?.getAudioTracks().forEach((track) => (track.enabled = !call.muted));
  $("mute").setAttribute("aria-pressed", call.muted);
  $("mute-text").textContent = call.muted ? "Muted" : "Mute";
  signalling.send({ type: "mute", muted: call.muted });
  showPeople();
});
$("volume").addEventListener("input", () => {
  $("volume-value").textContent = `${$("volume").value} %`;
  for (const { audio } of call.peers.values()) audio.volume = $("volume").value / 100;
});
$("mode").addEventListener("click", () => signalling.send({ type: "mode", mode: call.mode === "server" ? "p2p" : "server" }));
$("microphone").addEventListener("change", changeMicrophone);
$("profile").addEventListener("change", () => {
  signalling.send({ type: "profile", profile: $("profile").value || null });
  if (call.mode === "p2p") changeMicrophone();
});
$("retry").addEventListener("click", () => {
  view.showAlert(null);
  for (const { audio } of call.peers.values()) audio.play().catch(() => {});
  if (!signalling.isOpen && call.wish) {
    view.showState("wait", "Connecting …");
    signalling.open();
  }
  for (const { connection } of call.peers.values()) if (connection.state === "failed") connection.retry();
});
// Leaving the page is a good-bye; without one the others would wait.
addEventListener("pagehide", () => signalling.send({ type: "leave" }));
addEventListener("resize", view.drawChart);
navigator.mediaDevices?.addEventListener("devicechange", listMicrophones);

$("room").value = parameters.get("room") ?? "";
$("name").value = parameters.get("name") ?? "";
listMicrophones();
showLevels();
setInterval(() => readStatistics().catch((error) => console.warn("statistics:", error)), STATISTICS_MS);
