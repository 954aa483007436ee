// A client of Pomelo's protocol: requests, notifies and pushes over a WebSocket, kept open.
// `Connection` is one socket from its handshake to its end; `Client` opens the next one when it is lost.
// Knows nothing of chat: chat.js says where to connect and how to log in.

import { Codec, Message, Package, ProtocolError, decodePackages, encodePackage, parse } from "./protocol.js";
import { encodeText } from "./bytes.js";

/** How long a handshake or an answer may take, in milliseconds. */
const TIMEOUT = 10_000;
/** Waits before a lost connection is tried again: doubling from the first to the last, in milliseconds. */
const FIRST_WAIT = 500;
const LAST_WAIT = 10_000;

/**
 * Why a connection or a request ended. `code` is one of
 * `unreachable` (no connection), `refused` (the handshake was answered with an error), `timeout`,
 * `lost` (the connection broke), `closed` (by us), `kicked` (by the server; the message is its reason).
 */
export class ClientError extends Error {
  name = "ClientError";

  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** One WebSocket. It is usable once `opened` resolves and ends once, with a ClientError. */
export class Connection {
  #socket;
  #onPush;
  #onEnd;
  #codec = null;
  #ended = null;
  #nextId = 1;
  /** Requests without an answer: id to { route, resolve, reject, timer }. */
  #waiting = new Map();
  /** Seconds between heartbeats, in milliseconds; 0 when the server wants none. */
  #interval = 0;
  #beat = null;
  #deadline = null;
  #settleOpened;

  /**
   * @param {string} url
   * @param {{ user?: object, timeout?: number, onPush?: (route: string, body: object) => void,
   *   onEnd?: (error: ClientError) => void }} [options] `user` goes to the server in the handshake; `onEnd` is
   *   called once, and only if the connection had opened
   */
  constructor(url, { user = {}, timeout = TIMEOUT, onPush = () => {}, onEnd = () => {} } = {}) {
    this.url = url;
    this.#onPush = onPush;
    this.#onEnd = onEnd;
    /** Resolves when the handshake is done. @type {Promise<void>} */
    this.opened = new Promise((resolve, reject) => (this.#settleOpened = { resolve, reject }));
    // Who never looks at `opened` must not see an unhandled rejection for it.
    this.opened.catch(() => {});
    this.#deadline = setTimeout(() => this.#end(new ClientError("timeout", `${url} did not answer`)), timeout);
    this.timeout = timeout;
    try {
      this.#socket = new WebSocket(url);
    } catch (error) {
      this.#end(new ClientError("unreachable", error.message));
      return;
    }
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => {
      const hello = { sys: { type: "js-websocket", version: "0.0.1" }, user };
      this.#send(Package.HANDSHAKE, encodeText(JSON.stringify(hello)));
    };
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = () => {
      const code = this.#codec ? "lost" : "unreachable";
      this.#end(new ClientError(code, code === "lost" ? "the connection was lost" : `${url} cannot be reached`));
    };
  }

  /**
   * Sends a request and resolves with its answer, whatever `code` it holds.
   * @param {string} route @param {object} [body] @returns {Promise<object>}
   */
  request(route, body = {}) {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#send(Package.DATA, this.#codec.encode({ type: Message.REQUEST, id, route, body }));
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new ClientError("timeout", `${route} was not answered`));
      }, this.timeout);
      this.#waiting.set(id, { route, resolve, reject, timer });
    });
  }

  /** Sends a message that is not answered. @param {string} route @param {object} [body] */
  notify(route, body = {}) {
    if (this.#ended) throw this.#ended;
    this.#send(Package.DATA, this.#codec.encode({ type: Message.NOTIFY, route, body }));
  }

  /** Why it ended, or null. @returns {ClientError | null} */
  get ended() {
    return this.#ended;
  }

  /** Ends the connection; what still waits for an answer is rejected. */
  close() {
    this.#end(new ClientError("closed", "the connection was closed"));
  }

  #send(type, body) {
    this.#socket.send(encodePackage(type, body));
  }

  #receive(data) {
    try {
      for (const { type, body } of decodePackages(new Uint8Array(data))) {
        if (this.#ended) return;
        this.#handle(type, body);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#end(new ClientError("lost", `the server sent something unreadable: ${error.message}`));
    }
  }

  #handle(type, body) {
    if (type === Package.HANDSHAKE) this.#shakeHands(parse(body));
    else if (type === Package.HEARTBEAT) this.#answerHeartbeat();
    else if (type === Package.DATA) this.#dispatch(body);
    else if (type === Package.KICK) this.#end(new ClientError("kicked", String(parse(body).reason ?? "kick")));
    else throw new ProtocolError(`there is no package of type ${type}`);
    this.#expectMore();
  }

  #shakeHands({ code, sys, user }) {
    if (this.#codec) return;
    if (code !== 200) {
      const why = code === 501 ? "the server does not accept this client" : "the server refused the handshake";
      this.#end(new ClientError("refused", why));
      return;
    }
    this.#codec = new Codec(sys);
    this.#interval = (sys?.heartbeat ?? 0) * 1000;
    this.#send(Package.ACK);
    this.#settleOpened.resolve(user);
  }

  #dispatch(body) {
    if (!this.#codec) return;
    const message = this.#codec.decode(body, (id) => this.#waiting.get(id)?.route);
    if (message.type === Message.PUSH) {
      this.#onPush(message.route, message.body);
    } else if (message.type === Message.RESPONSE) {
      const request = this.#waiting.get(message.id);
      // An answer after its timeout is nobody's.
      if (!request) return;
      this.#waiting.delete(message.id);
      clearTimeout(request.timer);
      request.resolve(message.body);
    }
  }

  /** One interval after the server's heartbeat, ours; the server answers that at once. */
  #answerHeartbeat() {
    if (!this.#interval || this.#beat) return;
    this.#beat = setTimeout(() => {
      this.#beat = null;
      this.#send(Package.HEARTBEAT);
    }, this.#interval);
  }

  /** Our heartbeat goes out one interval after the server's, and its answer has two more. */
  #expectMore() {
    if (this.#ended || !this.#codec) return;
    clearTimeout(this.#deadline);
    if (!this.#interval) return;
    this.#deadline = setTimeout(() => {
      this.#end(new ClientError("lost", "the server has fallen silent"));
    }, 3 * this.#interval);
  }

  #end(error) {
    if (this.#ended) return;
    this.#ended = error;
    clearTimeout(this.#deadline);
    clearTimeout(this.#beat);
    this.#socket?.close();
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#waiting.clear();
    this.#settleOpened.reject(error);
    if (this.#codec) this.#onEnd(error);
  }
}

/**
 * A connection that comes back. Its state is `closed`, `connecting`, `open` or `waiting` (for the next try).
 *
 *     const client = new Client({ locate, enter, onState });
 *     client.on("onChat", (body) => …);
 *     await client.connect();
 *     const answer = await client.request("chat.chatHandler.send", { … });
 */
export class Client {
  #options;
  #listeners = new Map();
  #connection = null;
  #wake = () => {};
  /** Grows with every connect and disconnect: what began under an older number has been called off. */
  #turn = 0;

  state = "closed";

  /**
   * @param {object} options
   * @param {() => Promise<string>} options.locate the address to connect to, asked before every try
   * @param {(connection: Connection) => Promise<void>} options.enter logs in on a new connection; what it
   *   throws ends this try, and all further ones if the error says `final`
   * @param {(state: string, cause?: Error) => void} [options.onState] `cause` is why it waits or is closed
   * @param {object} [options.user]
   * @param {number} [options.timeout]
   */
  constructor({ locate, enter, onState = () => {}, ...connection }) {
    this.#options = { locate, enter, onState, connection };
  }

  /** Calls `listener` with the body of every push to `route`. */
  on(route, listener) {
    if (!this.#listeners.has(route)) this.#listeners.set(route, new Set());
    this.#listeners.get(route).add(listener);
  }

  off(route, listener) {
    this.#listeners.get(route)?.delete(listener);
  }

  /** Connects and logs in once. If that fails it rejects and stays closed: only a connection that stood is
   * opened again by itself. */
  async connect() {
    const turn = this.#begin();
    this.#enterState("connecting");
    try {
      await this.#open(turn);
    } catch (error) {
      if (turn === this.#turn) this.#enterState("closed");
      throw error;
    }
  }

  /** @param {string} route @param {object} [body] @returns {Promise<object>} */
  async request(route, body) {
    return this.#opened().request(route, body);
  }

  notify(route, body) {
    this.#opened().notify(route, body);
  }

  disconnect() {
    this.#begin();
    if (this.state !== "closed") this.#enterState("closed");
  }

  /** Tries now what waits to be tried again. */
  retryNow() {
    this.#wake();
  }

  /** Calls off whatever is under way. */
  #begin() {
    this.#turn += 1;
    this.#wake();
    this.#connection?.close();
    this.#connection = null;
    return this.#turn;
  }

  #opened() {
    if (this.state !== "open") throw new ClientError("closed", "there is no connection");
    return this.#connection;
  }

  #enterState(state, cause) {
    this.state = state;
    this.#options.onState(state, cause);
  }

  async #open(turn) {
    const { locate, enter, connection: options } = this.#options;
    const url = await locate();
    this.#checkTurn(turn);
    const connection = new Connection(url, {
      ...options,
      onPush: (route, body) => this.#listeners.get(route)?.forEach((listener) => listener(body)),
      onEnd: (error) => {
        if (turn === this.#turn && this.state === "open") this.#reopen(turn, error);
      },
    });
    this.#connection = connection;
    try {
      await connection.opened;
      await enter(connection);
      this.#checkTurn(turn);
      // It may have ended in the very package that brought the answer.
      if (connection.ended) throw connection.ended;
    } catch (error) {
      connection.close();
      throw error;
    }
    this.#enterState("open");
  }

  async #reopen(turn, cause) {
    for (let wait = FIRST_WAIT; !isFinal(cause); wait = Math.min(2 * wait, LAST_WAIT)) {
      this.#enterState("waiting", cause);
      // Spread, so that not all clients of a server that was restarted return in the same instant.
      await this.#sleep(wait * (0.75 + Math.random() / 2));
      if (turn !== this.#turn) return;
      this.#enterState("connecting", cause);
      try {
        return await this.#open(turn);
      } catch (error) {
        if (turn !== this.#turn) return;
        cause = error;
      }
    }
    this.#begin();
    this.#enterState("closed", cause);
  }

  #sleep(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #checkTurn(turn) {
    if (turn !== this.#turn) throw new ClientError("closed", "the connection was closed");
  }
}

/** Coming back after a kick would be to argue with the server. */
function isFinal(error) {
  return error.final === true || error.code === "kicked" || error.code === "refused";
}
