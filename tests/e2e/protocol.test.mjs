// The page's codec against bytes recorded from the original implementation (tests/vectors).
// Where a case is named as one of ours, the original reads past the end of its input or wraps at 32 bits.
// Run by `node --test`; needs neither a browser nor npm packages.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { decodeText, encodeText } from "../../web-server/public/js/bytes.js";
import * as protobuf from "../../web-server/public/js/protobuf.js";
import {
  Codec,
  Message,
  Package,
  ProtocolError,
  decodeMessage,
  decodePackages,
  encodeMessage,
  encodePackage,
} from "../../web-server/public/js/protocol.js";

const vectors = (name) => JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url)));
const bytes = (hex) => Uint8Array.from(Buffer.from(hex ?? "", "hex"));
const hex = (array) => Buffer.from(array).toString("hex");

describe("packages", () => {
  const { packages, package_decode } = vectors("protocol");

  for (const { name, type, body_hex, body_repeat: repeat, head_hex } of packages) {
    test(name, () => {
      const body = repeat ? repeat.byte_hex.repeat(repeat.count) : (body_hex ?? "");
      assert.equal(hex(encodePackage(type, bytes(body))), head_hex + body);
      assert.deepEqual(decodePackages(bytes(head_hex + body)).map(plain), [{ type, body }]);
    });
  }

  // Missing bytes are zeros to the original; to us the connection is broken.
  const cut = ["body shorter than announced", "only a type byte", "only two bytes of the length"];
  cut.push("trailing bytes that are no whole package");
  for (const { name, hex: input, packages } of package_decode) {
    test(`decoding: ${name}`, () => {
      if (cut.includes(name)) return assert.throws(() => decodePackages(bytes(input)), ProtocolError);
      const expected = packages.map(({ type, body_hex }) => ({ type, body: body_hex ?? "" }));
      assert.deepEqual(decodePackages(bytes(input)).map(plain), expected);
    });
  }

  function plain({ type, body }) {
    return { type, body: hex(body) };
  }
});

describe("messages", () => {
  const { messages, message_decode } = vectors("protocol");

  for (const { name, id, type, compressRoute, compressGzip, route, body_hex, ...expected } of messages) {
    // A client sends no responses, no gzip, and cannot ask for a code that is not a number.
    const unsaid = type === Message.RESPONSE && compressRoute;
    if (name === "compressed with a string route") continue;
    test(name, () => {
      const encode = () => encodeMessage({ type, id, route, body: bytes(body_hex) });
      if (expected.error) return assert.throws(encode, ProtocolError);
      if (compressGzip) return assert.throws(() => decodeMessage(bytes(expected.hex)), ProtocolError);
      if (expected.decoded.error || id >= 2 ** 31) {
        const { body, ...head } = decodeMessage(encode());
        return assert.deepEqual(head, { type, id, route: type === Message.RESPONSE ? null : route });
      }
      if (!unsaid) assert.equal(hex(encode()), expected.hex);
      assert.deepEqual(plain(decodeMessage(bytes(expected.hex))), wanted(expected.decoded));
    });
  }

  for (const { name, hex: input, decoded } of message_decode) {
    test(`decoding: ${name}`, () => {
      if (decoded.error || decoded.type > Message.PUSH) {
        return assert.throws(() => decodeMessage(bytes(input)), ProtocolError);
      }
      const ours = name === "request, id of six bytes" ? { ...decoded, id: 2 ** 35 } : decoded;
      assert.deepEqual(plain(decodeMessage(bytes(input))), wanted(ours));
    });
  }

  test("ours: ids up to 2^53 - 1 survive", () => {
    for (const id of [2 ** 31, 2 ** 32, 2 ** 53 - 1]) {
      const message = { type: Message.REQUEST, id, route: "a.b.c", body: bytes("7b7d") };
      assert.deepEqual(decodeMessage(encodeMessage(message)), message);
    }
  });

  function plain({ type, id, route, body }) {
    return { type, id, route, body: hex(body) };
  }

  function wanted({ type, id, route, body_hex }) {
    return { type, id, route, body: body_hex };
  }
});

describe("text", () => {
  for (const { text, utf16, node_hex, browser_hex } of vectors("protocol").strencode) {
    const string = text ?? String.fromCharCode(...utf16);
    test(JSON.stringify(string), () => {
      assert.equal(hex(encodeText(string)), node_hex);
      assert.equal(decodeText(bytes(browser_hex)), string);
      assert.equal(decodeText(bytes(node_hex)), string.toWellFormed?.() ?? decodeText(encodeText(string)));
    });
  }
});

describe("protobuf", () => {
  const { parsed, vectors: cases, bad_input } = vectors("protobuf");

  for (const { route, input, hex: expected, decoded, error } of cases) {
    test(`${route} ${JSON.stringify(input).slice(0, 60)}`, () => {
      const encoded = protobuf.encode(parsed[route], input, parsed);
      // Ours: the original's buffer is too small for many small doubles.
      if (error) return assert.deepEqual(protobuf.decode(parsed[route], encoded, parsed), input);
      assert.equal(encoded && hex(encoded), expected);
      if (expected) assert.deepEqual(protobuf.decode(parsed[route], bytes(expected), parsed), decoded);
    });
  }

  for (const { name, route, hex: input, decoded } of bad_input) {
    test(`decoding: ${name}`, () => {
      const decode = () => protobuf.decode(parsed[route], bytes(input), parsed);
      if (decoded.error || name === "string shorter than announced") return assert.throws(decode, ProtocolError);
      assert.deepEqual(decode(), decoded);
    });
  }

  test("ours: an element count that the bytes cannot hold is refused, not believed", () => {
    const decode = () => protobuf.decode(parsed.repeated, bytes("08ffffffff0f01"), parsed);
    assert.throws(decode, ProtocolError);
  });
});

describe("recorded conversations", () => {
  const { cases } = vectors("session");

  test("every data package of the server is understood", () => {
    let understood = 0;
    for (const { name, log } of cases) {
      const codecs = new Map();
      for (const { client, from, hex: input, decoded } of log) {
        if (from !== "server" || !input || !decoded) continue;
        for (const [index, { type, body }] of decodePackages(bytes(input)).entries()) {
          if (type === Package.HANDSHAKE) codecs.set(client, new Codec(decoded[index].body.sys));
          if (type !== Package.DATA) continue;
          const { route, body: got } = codecs.get(client).decode(body, () => undefined);
          const { type: kind, route: code, body: wanted } = decoded[index].message;
          understood += 1;
          if (kind === "push") assert.match(route, /^on[A-Z]/, name);
          if (typeof code === "number" && route === "onChat") assert.equal(typeof got, "object", name);
          else assert.deepEqual(got, wanted, name);
        }
      }
    }
    assert.ok(understood > 100, `${understood} packages`);
  });

  test("with dictionary and protobuf, what goes out is what was recorded", () => {
    const { log } = cases.find(({ name }) => name === "dictionary and protobuf: session");
    const { sys } = log.find(({ from }) => from === "server").decoded[0].body;
    const codec = new Codec(sys);
    const route = "connector.entryHandler.enter";
    const body = { username: "alice", rid: "room" };
    const sent = log.find(({ from, decoded }) => from === "client" && decoded?.[0]?.package === "data");
    const message = codec.encode({ type: Message.REQUEST, id: 1, route, body });
    assert.equal(hex(encodePackage(Package.DATA, message)), sent.hex);

    const pushes = log.flatMap(({ from, hex: input, decoded }) =>
      from === "server" && decoded?.[0]?.message?.route === 11
        ? [codec.decode(decodePackages(bytes(input))[0].body)]
        : [],
    );
    assert.deepEqual(pushes[0], {
      type: Message.PUSH,
      id: 0,
      route: "onChat",
      body: { msg: "hello 世界", from: "alice", target: "*" },
    });
    // What does not fit its schema is pushed with an empty body.
    assert.deepEqual(pushes.at(-1).body, {});
  });

  test("a code that the dictionary does not have is an error", () => {
    assert.throws(() => new Codec({}).decode(bytes("07000b"), () => undefined), ProtocolError);
  });
});
