// What the demo does not show: kicks, heartbeats, protobuf and dictionary for more than one push. The server is a small
// one of our own (host/), with a heartbeat every second.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { jsclient, multiClient, nodeClient } from "./clients.mjs";
import { startHost } from "./support.mjs";

let host;
let clients = [];

before(async () => {
  host = await startHost();
});
after(() => host?.stop());
afterEach(() => {
  for (const client of clients) client.end();
  clients = [];
});

async function connect(make, uid) {
  const client = make();
  clients.push(client);
  await client.connect(host);
  if (uid) assert.deepEqual(await client.request("connector.entryHandler.login", { uid }), { code: 200 });
  return client;
}

describe("pomelo-jsclient-websocket", () => {
  test("hears why it is kicked, and is disconnected", async () => {
    const alice = await connect(jsclient, "alice");
    const operator = await connect(jsclient);
    await operator.request("connector.entryHandler.kick", { uid: "alice", reason: "再见" });
    assert.deepEqual(await alice.next("onKick"), { reason: "再见" });
    await alice.next("disconnect");
    // Nobody of that name is no error.
    assert.deepEqual(await operator.request("connector.entryHandler.kick", { uid: "alice" }), { code: 200 });
  });

  test("sends and gets protobuf, scalars and lists", async () => {
    const client = await connect(jsclient);
    const message = { text: "你好 😀", count: 300, numbers: [0, -1, 1, 2_000_000, -2_000_000] };
    assert.deepEqual(await client.request("connector.entryHandler.echo", message), message);
    const request = client.wire.sent.at(-1);
    assert.equal(request.includes("{"), false, "no JSON went out");
  });

  test("a push that is in the dictionary and in protobuf is small and readable", async () => {
    const client = await connect(jsclient, "carol");
    client.notify("connector.entryHandler.tell", { text: "news 😀" });
    assert.deepEqual(await client.next("onNews"), { text: "news 😀" });
    const push = client.wire.received.find((bytes) => bytes.includes("news"));
    // Package header, flag, two bytes of route, then tag, length, text with its two surrogates of three bytes.
    assert.equal(push.length, 4 + 1 + 2 + 2 + "news ".length + 6);
  });

  test("stays while its heartbeats are answered", async () => {
    const client = await connect(jsclient);
    const beats = (packages) => packages.filter((bytes) => bytes[0] === 3).length;
    const { wire } = client;
    while (beats(wire.received) < 4) await new Promise((resolve) => wire.once("message", resolve));
    assert.equal(beats(wire.sent) >= 3, true);
    assert.deepEqual(client.events, [["ready", undefined]]);
    assert.equal((await client.request("connector.entryHandler.echo", { text: "here" })).text, "here");
  });
});

for (const [name, make] of [
  ["pomelo-client-websocket", multiClient],
  ["pomelo-nodejsclient-websocket", nodeClient],
]) {
  test(`${name} reads protobuf and the dictionary, and is kicked`, async () => {
    const client = await connect(make, name);
    const message = { text: "你好", count: 300, numbers: [-1, 1] };
    assert.deepEqual({ ...(await client.request("connector.entryHandler.echo", message)) }, message);
    client.notify("connector.entryHandler.tell", { text: "新闻" });
    assert.deepEqual({ ...(await client.next("onNews")) }, { text: "新闻" });
    const operator = await connect(jsclient);
    await operator.request("connector.entryHandler.kick", { uid: name });
    await client.next("onKick");
    await client.next("close");
  });
}
