// Web socket to the server: messages, signs of life, and reconnection with exponential back-off.

/** Seconds between tries to reconnect. */
export const BACK_OFF_S = [1, 2, 4, 8, 16];

const PING_MS = 4000;
const SILENCE_MS = 9000;

/**
 * Events: `open`, `message` (detail: the message), `lost` (detail: { seconds, tries } until the next try),
 * `gone` when all tries were in vain.
 */
export class Signalling extends EventTarget {
  #socket = null;
  #tries = 0;
  #timer = 0;
  #ping = 0;
  #heard = 0;
  #wanted = false;

  constructor(url) {
    super();
    this.url = url;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connects, and stays connected until `close`. */
  open() {
    this.#wanted = true;
    this.#tries = 0;
    this.#connect();
  }

  close() {
    this.#wanted = false;
    this.#end();
  }

  /** Sends a message; whether that was possible. */
  send(message) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #connect() {
    this.#end();
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#heard = performance.now();
      this.#ping = setInterval(() => this.#live(), PING_MS);
      this.dispatchEvent(new Event("open"));
    };
    socket.onmessage = (event) => {
      this.#heard = performance.now();
      let message;
      try {
        message = JSON.parse(event.data);
      } catch {
        return;
      }
      if (message.type === "joined") this.#tries = 0;
      this.dispatchEvent(new CustomEvent("message", { detail: message }));
    };
    socket.onclose = () => this.#lost(socket);
  }

  #live() {
    if (performance.now() - this.#heard > SILENCE_MS) this.#lost(this.#socket);
    else this.send({ type: "ping" });
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#end();
    if (!this.#wanted) return;
    const seconds = BACK_OFF_S[this.#tries];
    this.#tries += 1;
    if (seconds === undefined) {
      this.#wanted = false;
      this.dispatchEvent(new Event("gone"));
      return;
    }
    this.dispatchEvent(new CustomEvent("lost", { detail: { seconds, tries: this.#tries } }));
    this.#timer = setTimeout(() => this.#connect(), seconds * 1000);
  }

  #end() {
    clearTimeout(this.#timer);
    clearInterval(this.#ping);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    }
  }
}
