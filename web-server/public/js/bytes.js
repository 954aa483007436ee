// Bytes: a reader that never runs past its end, and text as UTF-8.
// Used by the two codecs, protocol.js and protobuf.js; knows nothing of either.

/** The server sent bytes that are not what the protocol says. */
export class ProtocolError extends Error {
  name = "ProtocolError";
}

/** Takes values off the front of a byte array; every step checks that the bytes are there. */
export class Reader {
  #bytes;
  #view;
  #offset = 0;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** How many bytes are left. */
  get left() {
    return this.#bytes.length - this.#offset;
  }

  uint8() {
    return this.#view.getUint8(this.#step(1));
  }

  /** Big-endian, as route codes are. */
  uint16() {
    return this.#view.getUint16(this.#step(2));
  }

  /** Big-endian, as package lengths are. */
  uint24() {
    return this.uint8() * 0x10000 + this.uint16();
  }

  /** Little-endian, as all numbers of the protobuf dialect are. */
  float() {
    return this.#view.getFloat32(this.#step(4), true);
  }

  double() {
    return this.#view.getFloat64(this.#step(8), true);
  }

  /** Seven bits to a byte, lowest first. Multiplied, not shifted: request ids may pass 2^31. */
  varint() {
    let value = 0;
    for (let factor = 1; ; factor *= 0x80) {
      const byte = this.uint8();
      value += (byte & 0x7f) * factor;
      if (!Number.isSafeInteger(value)) throw new ProtocolError("a number is too large");
      if (byte < 0x80) return value;
    }
  }

  /** The next `length` bytes, not copied. */
  take(length = this.left) {
    const start = this.#step(length);
    return this.#bytes.subarray(start, start + length);
  }

  #step(length) {
    if (length > this.left) throw new ProtocolError("the bytes end too early");
    const start = this.#offset;
    this.#offset += length;
    return start;
  }
}

/** @param {number} value an integer from 0 to 2^53 - 1 @returns {number[]} */
export function varint(value) {
  const bytes = [];
  while (value >= 0x80) {
    bytes.push((value % 0x80) + 0x80);
    value = Math.floor(value / 0x80);
  }
  bytes.push(value);
  return bytes;
}

/** @param {...(Uint8Array | number[])} parts @returns {Uint8Array} */
export function concat(...parts) {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** @param {string} text */
export function encodeText(text) {
  return encoder.encode(text);
}

/**
 * Reads UTF-8, and CESU-8 too: Pomelo's first browser client wrote a character above U+FFFF as two halves of
 * three bytes each (ED A0..BF xx), and servers send it that way so that this client can read it.
 * @param {Uint8Array} bytes
 */
export function decodeText(bytes) {
  let text = "";
  let start = 0;
  for (let at = bytes.indexOf(0xed); at !== -1; at = bytes.indexOf(0xed, at + 1)) {
    const [, second, third] = bytes.subarray(at, at + 3);
    if (second >> 5 !== 0b101 || third >> 6 !== 0b10) continue;
    text += decoder.decode(bytes.subarray(start, at));
    text += String.fromCharCode(0xd000 | ((second & 0x3f) << 6) | (third & 0x3f));
    start = at + 3;
  }
  return text + decoder.decode(bytes.subarray(start));
}
