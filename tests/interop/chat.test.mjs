// The demo through other people's clients: gate, connector, enter, say, leave. Run by `node --test` with CHATHOST_URL.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { Storage, jsclient, jsclientOnNode, multiClient, nodeClient, pageClient } from "./clients.mjs";
import { enter, gate, login, newRoom, say } from "./support.mjs";

const EMOJI = "😀 𝄞 👩‍🚀 ok";
const CHINESE = "你好，世界";

let clients = [];
afterEach(() => {
  for (const client of clients) client.end();
  clients = [];
});

/** A client that is gone after the test. */
function open(make, options) {
  const client = make(options);
  clients.push(client);
  return client;
}

async function join(make, name, room, options) {
  const client = open(make);
  const answer = await login(client, name, room, options);
  return { client, answer };
}

/** Two in a room, the first of whom knows of the second. */
async function pair(first, second, room = newRoom()) {
  const { client: alice } = await join(first, "alice", room);
  const { client: bob } = await join(second, "bob", room);
  await alice.next("onAdd", ({ user }) => user === "bob");
  return { alice, bob, room };
}

describe("pomelo-jsclient-websocket", () => {
  test("the gate names a connector, or says 500 to nobody", async () => {
    const client = open(jsclient);
    await client.connect(await gate());
    const { code, host, port } = await client.request("gate.gateHandler.queryEntry", { uid: "alice" });
    assert.deepEqual([code, typeof host, typeof port], [200, "string", "number"]);
    assert.deepEqual(await client.request("gate.gateHandler.queryEntry", {}), { code: 500 });
  });

  test("the handshake brings dictionary and protobuf, and both are used", async () => {
    const storage = new Storage();
    const alice = open(jsclient, { storage });
    await login(alice, "alice", newRoom());
    const { server, version } = JSON.parse(storage.getItem("protos"));
    assert.deepEqual(Object.keys(server), ["onChat"]);
    assert.notEqual(version, undefined);

    const { sent, received } = alice.wire;
    const [before, heard] = [sent.length, received.length];
    await say(alice, "hello");
    // A data package, a request with a route of two bytes: not its 21 letters.
    const request = sent[before];
    assert.deepEqual([request[0], request[4] & 0x0f], [4, 0b0001]);
    assert.equal(request.includes("chatHandler"), false);
    await alice.next("onChat");
    const pushed = received.slice(heard).find((bytes) => bytes.includes("hello"));
    assert.equal(pushed.includes("{"), false, "the push is no JSON");
  });

  test("who connects again has the protos already", async () => {
    const storage = new Storage();
    await login(open(jsclient, { storage }), "alice", newRoom());
    const again = open(jsclient, { storage });
    const room = newRoom();
    assert.deepEqual(await login(again, "bob", room), { users: ["bob"] });
    const handshake = again.wire.received[0].subarray(4).toString();
    assert.equal("protos" in JSON.parse(handshake).sys, false, "not sent a second time");
    await say(again, "still readable");
    assert.deepEqual(await again.next("onChat"), { msg: "still readable", from: "bob", target: "*" });
  });

  test("two users enter, talk, whisper and leave", async () => {
    const room = newRoom();
    const { client: alice, answer: first } = await join(jsclient, "alice", room);
    assert.deepEqual(first, { users: ["alice"] });
    const { client: bob, answer: second } = await join(jsclient, "bob", room);
    assert.deepEqual(second.users.toSorted(), ["alice", "bob"]);
    assert.equal((await alice.next("onAdd")).user, "bob");

    assert.deepEqual(await say(alice, "good morning"), {});
    const said = { msg: "good morning", from: "alice", target: "*" };
    assert.deepEqual(await alice.next("onChat"), said);
    assert.deepEqual(await bob.next("onChat"), said);

    assert.deepEqual(await say(bob, "only you", "alice"), {});
    assert.deepEqual(await alice.next("onChat"), { msg: "only you", from: "bob", target: "alice" });
    const { code } = await say(bob, "nobody", "carol");
    assert.equal(code, 404);
    await say(bob, "and now all");
    assert.equal((await bob.next("onChat")).msg, "and now all", "what was whispered came back to nobody");

    bob.disconnect();
    assert.equal((await alice.next("onLeave")).user, "bob");
    assert.equal((await alice.next("onChat")).msg, "and now all");
    assert.deepEqual(alice.events.filter(([name]) => name === "onChat" || name === "onAdd"), []);
  });

  test("nobody hears of another room", async () => {
    const { alice, bob } = await pair(jsclient, jsclient);
    const { client: carol } = await join(jsclient, "carol", newRoom());
    await say(carol, "anybody?");
    await carol.next("onChat");
    await say(alice, "here");
    assert.equal((await bob.next("onChat")).msg, "here");
  });

  test("a name that is taken is refused, and is free when its user has gone", async () => {
    const { alice, bob, room } = await pair(jsclient, jsclient);
    const twin = open(jsclient);
    assert.deepEqual(await login(twin, "bob", room), { code: 500, error: true });
    bob.disconnect();
    await alice.next("onLeave", ({ user }) => user === "bob");
    const { users } = await enter(twin, "bob", room);
    assert.deepEqual(users.toSorted(), ["alice", "bob"]);
  });

  test("messages keep their order, and answers find their requests", async () => {
    const { alice, bob } = await pair(jsclient, jsclient);
    // More than 127, for ids of two bytes; at most 64 at a time, which is the server's limit.
    for (let batch = 0; batch < 3; batch += 1) {
      const texts = Array.from({ length: 50 }, (_, index) => `message ${batch} ${index}`);
      assert.deepEqual(await Promise.all(texts.map((text) => say(alice, text))), texts.map(() => ({})));
      for (const text of texts) assert.equal((await bob.next("onChat")).msg, text);
    }
  });

  test("a route that is not there is answered", async () => {
    const { client: alice } = await join(jsclient, "alice", newRoom());
    for (const route of ["chat.chatHandler.nothing", "nowhere.at.all"]) {
      assert.equal((await alice.request(route, {})).code >= 400, true, route);
    }
  });

  test("a lost connection leaves the room, and comes back by itself", async () => {
    const room = newRoom();
    const { client: alice } = await join(jsclient, "alice", room);
    const { client: bob } = await join(jsclient, "bob", room, { reconnect: true });
    await alice.next("onAdd");
    await bob.next("ready"); // the gate
    await bob.next("ready"); // the connector
    const lost = bob.wire;
    lost.terminate();
    await bob.next("disconnect", (event) => event.target === lost);
    await bob.next("reconnect");
    await bob.next("ready");
    await alice.next("onLeave", ({ user }) => user === "bob");
    // It shakes hands again by itself; to enter again is the page's business.
    const { users } = await enter(bob, "bob", room);
    assert.deepEqual(users.toSorted(), ["alice", "bob"]);
    await alice.next("onAdd");
    await say(alice, "welcome back");
    assert.equal((await bob.next("onChat")).msg, "welcome back");
  });

  test("Chinese names, rooms and texts", async () => {
    const room = newRoom("大厅");
    const { client: first } = await join(jsclient, "张三", room);
    const { client: second, answer } = await join(jsclient, "小明", room);
    assert.deepEqual(answer.users.toSorted(), ["小明", "张三"]);
    assert.equal((await first.next("onAdd")).user, "小明");
    await say(second, CHINESE, "张三");
    assert.deepEqual(await first.next("onChat"), { msg: CHINESE, from: "小明", target: "张三" });
    second.disconnect();
    assert.equal((await first.next("onLeave")).user, "小明");
  });
});

// Everybody with everybody who uses another way to write text: surrogates, UTF-8, Node's Buffers.
describe("emoji arrive as they were sent", () => {
  for (const [name, first, second] of [
    ["between two of Pomelo's clients", jsclient, jsclient],
    ["from Pomelo's client to the page's", jsclient, pageClient],
    ["from the page's client to Pomelo's", pageClient, jsclient],
    ["from a client on Node's Buffers to Pomelo's", nodeClient, jsclient],
    ["from pomelo-client-websocket to Pomelo's", multiClient, jsclient],
  ]) {
    test(name, async () => {
      const { alice, bob } = await pair(first, second);
      await say(alice, EMOJI);
      assert.deepEqual(await bob.next("onChat"), { msg: EMOJI, from: "alice", target: "*" });
      await say(alice, EMOJI, "bob");
      assert.deepEqual(await bob.next("onChat"), { msg: EMOJI, from: "alice", target: "bob" });
    });
  }
});

for (const [name, make] of [
  ["pomelo-jsclient-websocket with pomelo-protobuf for Node", jsclientOnNode],
  ["pomelo-client-websocket", multiClient],
  ["pomelo-nodejsclient-websocket", nodeClient],
]) {
  test(`${name} enters, talks, whispers and leaves`, async () => {
    const { alice, bob } = await pair(make, make);
    for (const target of ["*", "bob"]) {
      assert.deepEqual(await say(alice, CHINESE, target), {});
      assert.deepEqual({ ...(await bob.next("onChat")) }, { msg: CHINESE, from: "alice", target });
    }
    bob.disconnect();
    assert.equal((await alice.next("onLeave")).user, "bob");
  });
}
