// Other people's Pomelo clients, each behind the same few promises. Their files are loaded as npm delivers them; what
// they expect around them, a browser's window, is given to them from outside.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { compileFunction } from "node:vm";

import WebSocket from "ws";

import { Connection } from "../../web-server/public/js/client.js";

const require = createRequire(import.meta.url);

/** Long enough for a busy machine; nothing here waits longer than it must. */
const TIMEOUT = 20_000;
/** What a client waits before its first attempt to come back. Nobody else has to. */
const RECONNECT_DELAY = 5000;

const quiet = { log() {}, info() {}, warn() {}, error() {}, trace() {}, debug() {} };

/** Runs a script of a package as a browser's page would, with this `window`; returns what it exports. */
function loadInto(window, path) {
  const file = require.resolve(path);
  const module = { exports: {} };
  const { WebSocket } = window;
  const names = { window, module, exports: module.exports, WebSocket, console: quiet, setTimeout: timersOf(window) };
  const script = compileFunction(readFileSync(file, "utf8"), Object.keys(names), { filename: file });
  script.apply(window, Object.values(names));
  return module.exports;
}

/** A page's timers, which end with it. */
function timersOf(window) {
  const run = (callback) => window.closed || callback();
  return (callback, delay) => setTimeout(run, delay === RECONNECT_DELAY ? 0 : delay, callback);
}

/** A WebSocket class that keeps its sockets within reach: what went over them, and a way to cut them. */
function spiedWebSocket(wires) {
  return class extends WebSocket {
    /** The packages of both directions, as bytes. */
    sent = [];
    received = [];

    constructor(url) {
      // As a page does; the original client was written for one.
      super(url, { origin: "http://localhost" });
      wires.push(this);
      this.on("message", (data) => this.received.push(Buffer.from(data)));
    }

    send(data, ...options) {
      this.sent.push(Buffer.from(data));
      super.send(data, ...options);
    }
  };
}

/** Where a page keeps things. */
class Storage extends Map {
  getItem(key) {
    return this.get(key) ?? null;
  }
  setItem(key, value) {
    this.set(key, String(value));
  }
}

/** What all clients here can do. */
class Client {
  /** What was pushed, as [route, body], and other events, as [name, argument]. */
  events = [];
  #waiting = [];

  heard(name, body) {
    this.events.push([name, body]);
    this.#waiting = this.#waiting.filter((wakes) => !wakes());
  }

  /** The body of the first event of that name for which `matches` holds; waits for it, and takes it out. */
  async next(name, matches = () => true) {
    const take = () => {
      const index = this.events.findIndex(([heard, body]) => heard === name && matches(body));
      return index < 0 ? undefined : this.events.splice(index, 1)[0];
    };
    const wait = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const heard = JSON.stringify(this.events.map(([event]) => event));
        reject(new Error(`${this.kind} waited for ${name} and heard ${heard}`));
      }, TIMEOUT);
      const wakes = () => {
        const event = take();
        if (!event) return false;
        clearTimeout(timer);
        resolve(event[1]);
        return true;
      };
      if (!wakes()) this.#waiting.push(wakes);
    });
    return wait;
  }
}

const EVENTS = ["onAdd", "onLeave", "onChat", "onKick", "onNews", "disconnect", "close", "reconnect", "heartbeat timeout", "error"];

/** A client with Pomelo's usual face: init, request, notify, on, disconnect, and callbacks. */
class CallbackClient extends Client {
  constructor(kind, pomelo, window = {}) {
    super();
    Object.assign(this, { kind, pomelo, window });
    for (const name of EVENTS) pomelo.on(name, (body) => this.heard(name, body));
  }

  connect({ host, port }, options = {}) {
    return answered(`${this.kind} connects`, (done) => {
      this.pomelo.init({ host, port, ...options }, () => {
        // Called after every handshake, also when it came back by itself.
        this.heard("ready");
        done();
      });
    });
  }

  request(route, body) {
    return answered(route, (done) => this.pomelo.request(route, body, done));
  }

  notify(route, body) {
    this.pomelo.notify(route, body);
  }

  disconnect() {
    this.pomelo.disconnect();
  }

  /** Closes the page. One that comes back by itself would do so even after `disconnect`. */
  end() {
    this.window.closed = true;
    this.disconnect();
  }

  /** The latest connection. */
  get wire() {
    return this.window.wires.at(-1);
  }
}

/** Answers with `err` first. */
class NodeStyleClient extends CallbackClient {
  request(route, body) {
    return answered(route, (done, fail) => {
      this.pomelo.request(route, body, (error, answer) => (error ? fail(error) : done(answer)));
    });
  }
}

/** The page's own client. */
class PageClient extends Client {
  kind = "the page's client";

  async connect({ host, port }) {
    this.connection = new Connection(`ws://${host}:${port}`, {
      onPush: (route, body) => this.heard(route, body),
      onEnd: (error) => this.heard(error.code === "kicked" ? "onKick" : "close", { reason: error.message }),
    });
    await this.connection.opened;
  }

  request(route, body) {
    return this.connection.request(route, body);
  }

  notify(route, body) {
    this.connection.notify(route, body);
  }

  disconnect() {
    this.connection.close();
  }

  end() {
    this.disconnect();
  }
}

/** Calls with functions that settle the promise; one of them has to be called in time. */
function answered(what, call) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: no answer`)), TIMEOUT);
    const settle = (settled) => (value) => {
      clearTimeout(timer);
      settled(value);
    };
    call(settle(resolve), settle(reject));
  });
}

/**
 * Pomelo's own client for browsers. It is a component: others bring what it needs, as members of `window`. Each load is
 * a page of its own, because the client is one object per page.
 *
 * The package asks its protobuf for `decodeStr`, which the component for browsers calls `decode`.
 */
export function jsclient({ storage } = {}) {
  const window = page(storage);
  const protobuf = loadInto(window, "pomelo-protobuf/lib/client/protobuf.js");
  window.protobuf = Object.assign(protobuf, { decodeStr: protobuf.decode });
  return new CallbackClient("pomelo-jsclient-websocket", loadInto(window, "pomelo-jsclient-websocket"), window);
}

/** The same with what npm installs for Node in place of the component: Buffers and Node's UTF-8. */
export function jsclientOnNode() {
  const window = page();
  window.protobuf = require("pomelo-protobuf");
  const pomelo = loadInto(window, "pomelo-jsclient-websocket");
  return new CallbackClient("pomelo-jsclient-websocket with Node's protobuf", pomelo, window);
}

function page(localStorage = new Storage()) {
  const wires = [];
  const window = { localStorage, wires, WebSocket: spiedWebSocket(wires), EventEmitter: require("component-emitter") };
  window.Protocol = loadInto(window, "pomelo-protocol/lib/protocol.js");
  return window;
}

/** A rewrite for Node and for several connections at a time. */
export function multiClient() {
  const Pomelo = require("pomelo-client-websocket");
  return new CallbackClient("pomelo-client-websocket", new Pomelo());
}

/** Another one for Node, on pomelo-protocol and pomelo-protobuf as they are. */
export function nodeClient() {
  const Pomelo = require("pomelo-nodejsclient-websocket");
  return new NodeStyleClient("pomelo-nodejsclient-websocket", new Pomelo({ logger: quiet }));
}

export function pageClient() {
  globalThis.WebSocket ??= WebSocket;
  return new PageClient();
}

export { Storage };
