// The page's client and chat model against a scripted server, with the clock in our hands: what a browser test
// would have to wait for. Run by `node --test`; needs neither a browser nor npm packages.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";

import { Chat } from "../../web-server/public/js/chat.js";
import { Client, Connection } from "../../web-server/public/js/client.js";
import {
  Codec,
  Message,
  Package,
  decodePackages,
  encodePackage,
} from "../../web-server/public/js/protocol.js";

const json = (value) => new TextEncoder().encode(JSON.stringify(value));
const codec = new Codec();

/** Stands in for the browser's WebSocket; the test is the server behind it. */
class Wire {
  static all = [];
  static get last() {
    return Wire.all.at(-1);
  }

  /** The packages that the client sent, { type, body }; a DATA package as { type, message }. */
  sent = [];
  closed = false;

  constructor(url) {
    this.url = url;
    Wire.all.push(this);
  }

  send(bytes) {
    for (const { type, body } of decodePackages(bytes)) {
      this.sent.push(type === Package.DATA ? { type, message: codec.decode(body) } : { type, body });
    }
  }

  close() {
    this.closed = true;
  }

  /** The server's side: accept and shake hands. */
  async accept(sys = {}, code = 200) {
    this.onopen();
    await this.deliver(encodePackage(Package.HANDSHAKE, json({ code, sys })));
  }

  /** One WebSocket message of the server, then time for what follows from it. */
  async deliver(...packages) {
    this.onmessage({ data: Buffer.concat(packages) });
    await settled();
  }

  async drop() {
    this.onclose();
    await settled();
  }

  count(type) {
    return this.sent.filter((item) => item.type === type).length;
  }
}

const response = (id, body) => encodePackage(Package.DATA, codec.encode({ type: Message.RESPONSE, id, route: "", body }));
const push = (route, body) => encodePackage(Package.DATA, codec.encode({ type: Message.PUSH, route, body }));
const heartbeat = encodePackage(Package.HEARTBEAT);

/** After all promises that can settle now. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function pass(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}

beforeEach(() => {
  Wire.all = [];
  globalThis.WebSocket = Wire;
  mock.timers.enable({ apis: ["setTimeout"] });
  // Without the spread: waits are exactly what they are.
  mock.method(Math, "random", () => 0.5);
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

describe("a connection", () => {
  async function connected(sys, options) {
    const connection = new Connection("ws://test", options);
    await Wire.last.accept(sys);
    await connection.opened;
    return connection;
  }

  test("shakes hands and acknowledges", async () => {
    await connected({}, { user: { token: 7 } });
    const [hello, ack] = Wire.last.sent;
    assert.equal(hello.type, Package.HANDSHAKE);
    assert.deepEqual(JSON.parse(Buffer.from(hello.body)).user, { token: 7 });
    assert.equal(ack.type, Package.ACK);
  });

  test("a refused handshake is an error", async () => {
    for (const code of [500, 501]) {
      const connection = new Connection("ws://test");
      await Wire.last.accept({}, code);
      await assert.rejects(connection.opened, { code: "refused" });
      assert.equal(Wire.last.closed, true);
    }
  });

  test("a server that says nothing is given up", async () => {
    const connection = new Connection("ws://test", { timeout: 1000 });
    await pass(1000);
    await assert.rejects(connection.opened, { code: "timeout" });
    assert.equal(Wire.last.closed, true);
  });

  test("answers find their requests, in any order and several in one frame", async () => {
    const connection = await connected();
    const answers = [connection.request("a.b.c", { n: 1 }), connection.request("a.b.d", { n: 2 })];
    const [first, second] = Wire.last.sent.slice(2).map(({ message }) => message);
    assert.deepEqual([first.route, second.route], ["a.b.c", "a.b.d"]);
    await Wire.last.deliver(response(second.id, { is: 2 }), response(first.id, { is: 1 }));
    assert.deepEqual(await Promise.all(answers), [{ is: 1 }, { is: 2 }]);
  });

  test("a request without an answer times out, and the late answer is nobody's", async () => {
    const connection = await connected({}, { timeout: 1000 });
    const answer = connection.request("a.b.c");
    mock.timers.tick(1000);
    await assert.rejects(answer, { code: "timeout" });
    await Wire.last.deliver(response(1, {}));
    assert.equal(connection.ended, null);
  });

  test("what waits for an answer is rejected when the connection is lost", async () => {
    const ends = [];
    const connection = await connected({}, { onEnd: (error) => ends.push(error.code) });
    const answer = connection.request("a.b.c");
    await Promise.all([assert.rejects(answer, { code: "lost" }), Wire.last.drop()]);
    await assert.rejects(connection.request("a.b.c"), { code: "lost" });
    assert.deepEqual(ends, ["lost"]);
  });

  test("a heartbeat goes out one interval after the server's", async () => {
    await connected({ heartbeat: 2 });
    const wire = Wire.last;
    await wire.deliver(heartbeat);
    await pass(1999);
    assert.equal(wire.count(Package.HEARTBEAT), 0);
    await pass(1);
    assert.equal(wire.count(Package.HEARTBEAT), 1);
    await wire.deliver(heartbeat, heartbeat);
    await pass(2000);
    assert.equal(wire.count(Package.HEARTBEAT), 2, "one answer, however many came");
  });

  test("a server that falls silent is left; any package counts as life", async () => {
    const connection = await connected({ heartbeat: 2 });
    await Wire.last.deliver(heartbeat);
    await pass(5999);
    await Wire.last.deliver(push("onChat", {}));
    await pass(5999);
    assert.equal(connection.ended, null);
    await pass(1);
    assert.equal(connection.ended.code, "lost");
  });

  test("without a heartbeat setting nothing beats and silence is fine", async () => {
    const connection = await connected({});
    await pass(3_600_000);
    assert.equal(connection.ended, null);
    assert.equal(Wire.last.count(Package.HEARTBEAT), 0);
  });

  test("unreadable bytes end it", async () => {
    for (const bytes of [[9, 0, 0, 0], [4, 0, 0, 9, 1], [4, 0, 0, 1, 0x0e], [4, 0, 0, 3, 7, 0, 1]]) {
      const connection = await connected();
      await Wire.last.deliver(Uint8Array.from(bytes));
      assert.equal(connection.ended.code, "lost", String(bytes));
    }
  });
});

describe("a client", () => {
  let states;
  function client(options) {
    states = [];
    return new Client({
      locate: async () => "ws://test",
      enter: async () => {},
      onState: (state, cause) => states.push(cause ? `${state}: ${cause.code ?? cause.message}` : state),
      ...options,
    });
  }

  async function connected(options) {
    const made = client(options);
    const connecting = made.connect();
    await settled();
    await Wire.last.accept();
    await connecting;
    return made;
  }

  test("does not try again what never worked", async () => {
    const connecting = client().connect();
    await settled();
    await Promise.all([assert.rejects(connecting, { code: "unreachable" }), Wire.last.drop()]);
    await pass(60_000);
    assert.equal(Wire.all.length, 1);
    assert.deepEqual(states, ["connecting", "closed"]);
  });

  test("tries again after 0.5, 1, 2, 4, 8 and then every 10 seconds", async () => {
    const made = await connected();
    await Wire.last.drop();
    for (const wait of [500, 1000, 2000, 4000, 8000, 10_000, 10_000]) {
      const before = Wire.all.length;
      await pass(wait - 1);
      assert.equal(Wire.all.length, before, `not before ${wait} ms`);
      await pass(1);
      assert.equal(Wire.all.length, before + 1, `after ${wait} ms`);
      await Wire.last.drop();
    }
    await pass(10_000);
    await Wire.last.accept();
    assert.equal(made.state, "open");
    await Wire.last.drop();
    await pass(500);
    assert.equal(made.state, "connecting", "the waits start anew");
  });

  test("tries at once when asked", async () => {
    const made = await connected();
    await Wire.last.drop();
    made.retryNow();
    await settled();
    await Wire.last.accept();
    assert.equal(made.state, "open");
  });

  test("comes back until logging in works, but not when that fails for good", async () => {
    const outcomes = [null, new Error("not yet"), Object.assign(new Error("never"), { final: true })];
    const made = await connected({
      enter: async () => {
        const error = outcomes.shift();
        if (error) throw error;
      },
    });
    await Wire.last.drop();
    await pass(500);
    await Wire.last.accept();
    assert.equal(states.at(-1), "waiting: not yet");
    await pass(1000);
    await Wire.last.accept();
    assert.equal(states.at(-1), "closed: never");
    assert.equal(made.state, "closed");
  });

  test("does not come back after a kick, not even one that came with the answer to the login", async () => {
    const kick = encodePackage(Package.KICK, json({ reason: "out" }));
    const made = await connected();
    await Wire.last.deliver(kick);
    assert.deepEqual(states, ["connecting", "open", "closed: kicked"]);

    const entering = client({ enter: (connection) => connection.request("enter") });
    const connecting = entering.connect();
    await settled();
    await Wire.last.accept();
    await Promise.all([
      assert.rejects(connecting, { code: "kicked", message: "out" }),
      Wire.last.deliver(response(1, {}), kick),
    ]);
    await pass(60_000);
    assert.equal(Wire.all.length, 2);
    assert.equal(made.state, "closed");
  });

  test("disconnecting calls off whatever is under way", async () => {
    const made = client();
    const connecting = made.connect();
    await settled();
    made.disconnect();
    await Promise.all([assert.rejects(connecting, { code: "closed" }), settled()]);
    assert.equal(Wire.last.closed, true);

    const second = await connected();
    await Wire.last.drop();
    second.disconnect();
    await pass(60_000);
    assert.deepEqual(states, ["connecting", "open", "waiting: lost", "closed"]);
    await assert.rejects(second.request("a.b.c"), { code: "closed" });
  });

  test("listeners hear their route until taken off", async () => {
    const made = await connected();
    const heard = [];
    const listener = ({ n }) => heard.push(n);
    made.on("onChat", listener);
    await Wire.last.deliver(push("onChat", { n: 1 }), push("onAdd", { n: 2 }));
    made.off("onChat", listener);
    await Wire.last.deliver(push("onChat", { n: 3 }));
    assert.deepEqual(heard, [1]);
  });
});

describe("the chat", () => {
  let people;
  let lines;
  function chat(host = "gate") {
    people = [];
    lines = [];
    return new Chat(Promise.resolve({ host, port: 3014 }), {
      state: () => {},
      people: (names) => (people = names),
      line: ({ kind, name, text }) => lines.push(`${kind} ${name ?? text}`),
    });
  }

  /** Through the gate to the connector, up to the request that enters the room. */
  async function atTheDoor(connector = { host: "connector", port: 3050 }) {
    await settled();
    await Wire.last.accept();
    await Wire.last.deliver(response(1, { code: 200, ...connector }));
    await Wire.last.accept();
    return Wire.last;
  }

  test("asks the gate by name, then enters at the connector it names", async () => {
    const login = chat().login("alice", "room");
    const wire = await atTheDoor();
    await wire.deliver(response(1, { users: ["bob", "alice"] }));
    await login;
    const [gate, connector] = Wire.all;
    assert.equal(gate.url, "ws://gate:3014");
    assert.deepEqual(gate.sent.at(-1).message.body, { uid: "alice" });
    assert.equal(gate.closed, true);
    assert.equal(connector.url, "ws://connector:3050");
    assert.deepEqual(connector.sent.at(-1).message.body, { username: "alice", rid: "room" });
    assert.deepEqual(people, ["bob", "alice"]);
  });

  test("a connector that calls itself this machine is on the machine of the gate", async () => {
    for (const [gate, named, url] of [
      ["chat.example", "127.0.0.1", "ws://chat.example:3050"],
      ["[2001:db8::1]", "localhost", "ws://[2001:db8::1]:3050"],
      ["127.0.0.1", "10.0.0.9", "ws://10.0.0.9:3050"],
      ["127.0.0.1", "2001:db8::2", "ws://[2001:db8::2]:3050"],
    ]) {
      const login = chat(gate).login("alice", "room");
      const wire = await atTheDoor({ host: named, port: 3050 });
      await wire.deliver(response(1, { users: ["alice"] }));
      await login;
      assert.equal(wire.url, url);
    }
  });

  test("what happens while entering comes after the list of the answer", async () => {
    const login = chat().login("alice", "room");
    const wire = await atTheDoor();
    await wire.deliver(push("onAdd", { user: "alice" }), push("onAdd", { user: "carol" }), push("onLeave", { user: "bob" }));
    assert.deepEqual(lines, []);
    await wire.deliver(response(1, { users: ["bob", "alice"] }));
    await login;
    assert.deepEqual(people, ["alice", "carol"]);
    assert.deepEqual(lines, ["joined carol", "left bob"]);
  });

  test("a message that was not confirmed is told as uncertain", async () => {
    const room = chat();
    const login = room.login("alice", "room");
    const wire = await atTheDoor();
    await wire.deliver(response(1, { users: ["alice"] }));
    await login;
    const sent = room.send("hello");
    await wire.drop();
    assert.equal(await sent, false);
    assert.match(lines.at(-1), /^notice The message may not have arrived/);
  });

  test("an error without a reason still says that it was not delivered", async () => {
    const room = chat();
    const login = room.login("alice", "room");
    const wire = await atTheDoor();
    await wire.deliver(response(1, { users: ["alice"] }));
    await login;
    const sent = room.send("hello", "bob");
    await wire.deliver(response(2, { code: 500 }));
    assert.equal(await sent, false);
    assert.deepEqual(lines, ["notice Not delivered: bob did not get it."]);
  });
});
