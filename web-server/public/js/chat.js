// The chat as a model: who is in the room, what was said, how the connection is. No DOM: view.js draws it.
//
// Logging in is Pomelo's: the gate names a connector, the connector lets one into the room. After a lost
// connection the same is done again with the same name and room, and the history goes on.

import { Client, Connection } from "./client.js";

/** Everybody in the room, as a target. */
export const EVERYONE = "*";

/** Texts of the original page. */
export const LOGIN_ERROR = "There is no server to log in, please wait.";
export const LENGTH_ERROR = "Name/Channel is too long or too short. 20 character max.";
export const NAME_ERROR =
  "Bad character in Name/Channel. Can only have letters, numbers, Chinese characters, and '_'";
export const DUPLICATE_ERROR = "Please change your name to login.";

const MAX_LENGTH = 20;
const ALLOWED = /^[a-zA-Z0-9_\u4e00-\u9fa5]+$/;

/** Lines kept; older ones go first. */
const MAX_HISTORY = 1000;

/** The server's answer was a no; `duplicate` if somebody of that name is in the room. */
export class ChatError extends Error {
  name = "ChatError";

  constructor(message, { duplicate = false } = {}) {
    super(message);
    this.duplicate = duplicate;
  }
}

/**
 * What is wrong with a name and a room, and with which of the two; lengths first, as in the original.
 * @param {string} name @param {string} room
 * @returns {{ text: string, field: "name" | "room" } | null}
 */
export function checkLogin(name, room) {
  const fields = Object.entries({ name, room });
  const long = fields.find(([, text]) => text.length === 0 || text.length > MAX_LENGTH);
  if (long) return { text: LENGTH_ERROR, field: long[0] };
  const bad = fields.find(([, text]) => !ALLOWED.test(text));
  return bad ? { text: NAME_ERROR, field: bad[0] } : null;
}

/**
 * Events, as methods of the listener given to the constructor:
 *
 * - `state(state, cause)`: `closed`, `connecting`, `open` or `waiting` to try again, and why
 * - `people(names)`: who is in the room, oneself included
 * - `line(line)`: a new line of the history, { kind, time, … }:
 *   `message` { from, target, text, own, secret }, `joined` { name }, `left` { name }, `notice` { text }
 */
export class Chat {
  #gate;
  #secure;
  #listener;
  #client;
  #people = new Set();
  /** Pushes that came while logging in; they are newer than the list of people in the answer. */
  #early = null;

  name = "";
  room = "";
  history = [];

  /**
   * @param {Promise<{ host: string, port: number }>} gate awaited at the first login
   * @param {{ state: Function, people: Function, line: Function }} listener
   * @param {{ secure?: boolean, timeout?: number }} [options] `secure`: wss instead of ws
   */
  constructor(gate, listener, { secure = false, timeout } = {}) {
    this.#gate = gate;
    this.#secure = secure;
    this.#listener = listener;
    this.#client = new Client({
      locate: () => this.#locate(timeout),
      enter: (connection) => this.#enter(connection),
      onState: (state, cause) => listener.state(state, cause),
      timeout,
    });
    const pushes = { onAdd: this.#onAdd, onLeave: this.#onLeave, onChat: this.#onChat };
    for (const [route, handle] of Object.entries(pushes)) {
      this.#client.on(route, (body) => {
        if (this.#early) this.#early.push(() => handle.call(this, body));
        else handle.call(this, body);
      });
    }
  }

  /** How the connection is. */
  get state() {
    return this.#client.state;
  }

  /**
   * Enters a room under a name, with an empty history. Rejects with an error whose message is for the user.
   * @param {string} name @param {string} room
   */
  async login(name, room) {
    this.name = name;
    this.room = room;
    this.history = [];
    this.#people = new Set();
    try {
      await this.#client.connect();
    } catch (error) {
      if (error.code === "unreachable" || error.code === "timeout") {
        throw new ChatError(`The chat server cannot be reached: ${error.message}.`);
      }
      throw error;
    }
  }

  /** Leaves the room; the history stays until the next login. */
  leave() {
    this.#client.disconnect();
  }

  /** Tries at once what waits to be tried again. */
  retryNow() {
    this.#client.retryNow();
  }

  /**
   * Says `text` to the room or to one person. What went wrong becomes a line of the history.
   * @param {string} text @param {string} [target]
   * @returns {Promise<boolean>} whether it arrived
   */
  async send(text, target = EVERYONE) {
    const { name, room } = this;
    try {
      const body = { rid: room, content: text, from: name, target };
      const answer = await this.#client.request("chat.chatHandler.send", body);
      if (answer.code !== undefined && answer.code !== 200) {
        const why = answer.message ?? (target === EVERYONE ? "the server failed" : `${target} did not get it`);
        this.#notice(`Not delivered: ${why}.`);
        return false;
      }
    } catch (error) {
      if (this.state !== "closed") this.#notice(`The message may not have arrived: ${error.message}.`);
      return false;
    }
    // The server sends a private message to its target only.
    if (target !== EVERYONE && target !== name) this.#message(name, target, text);
    return true;
  }

  /** Asks the gate for the address of a connector. */
  async #locate(timeout) {
    const { host, port } = await this.#gate;
    const connection = new Connection(this.#url(host, port), { timeout });
    try {
      await connection.opened;
      const answer = await connection.request("gate.gateHandler.queryEntry", { uid: this.name });
      if (answer.code !== 200) throw new ChatError(answer.message ?? LOGIN_ERROR);
      // A connector that calls itself "this machine" is on the machine of the gate.
      return this.#url(isLoopback(answer.host) ? host : answer.host, answer.port);
    } finally {
      connection.close();
    }
  }

  #url(host, port) {
    const bare = host.replace(/^\[|\]$/g, "");
    return `${this.#secure ? "wss" : "ws"}://${bare.includes(":") ? `[${bare}]` : bare}:${port}`;
  }

  async #enter(connection) {
    const again = this.#people.size > 0;
    this.#early = [];
    try {
      const answer = await connection.request("connector.entryHandler.enter", {
        username: this.name,
        rid: this.room,
      });
      if (answer.error) throw new ChatError(DUPLICATE_ERROR, { duplicate: true });
      if (!Array.isArray(answer.users)) throw new ChatError(answer.message ?? "The server did not let you in.");
      this.#replacePeople(answer.users.map(String), again);
      this.#early.forEach((push) => push());
    } finally {
      this.#early = null;
    }
  }

  /** After a reconnect, who came and went meanwhile is told like any coming and going. */
  #replacePeople(names, again) {
    const before = this.#people;
    this.#people = new Set(names);
    if (again) {
      for (const name of before) if (!this.#people.has(name)) this.#line({ kind: "left", name });
      for (const name of names) if (!before.has(name)) this.#line({ kind: "joined", name });
    }
    this.#listener.people([...this.#people]);
  }

  #onAdd({ user }) {
    const name = String(user);
    // A server may tell a newcomer of itself.
    if (this.#people.has(name)) return;
    this.#people.add(name);
    this.#listener.people([...this.#people]);
    this.#line({ kind: "joined", name });
  }

  #onLeave({ user }) {
    const name = String(user);
    if (!this.#people.delete(name)) return;
    this.#listener.people([...this.#people]);
    this.#line({ kind: "left", name });
  }

  #onChat({ msg, from, target }) {
    if (msg === undefined || msg === null) return;
    const text = typeof msg === "string" ? msg : JSON.stringify(msg);
    this.#message(String(from), String(target), text);
  }

  #message(from, target, text) {
    this.#line({ kind: "message", from, target, text, own: from === this.name, secret: target !== EVERYONE });
  }

  #notice(text) {
    this.#line({ kind: "notice", text });
  }

  #line(line) {
    line.time = new Date();
    this.history.push(line);
    if (this.history.length > MAX_HISTORY) this.history.shift();
    this.#listener.line(line);
  }
}

function isLoopback(host) {
  return /^(localhost|127\.[\d.]+|\[?::1\]?|0\.0\.0\.0)$/.test(host);
}
