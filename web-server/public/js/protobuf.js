// Pomelo's protobuf dialect: bodies after a schema that the server sends in its handshake.
// Not Google's format: every signed integer is zigzag, a repeated number is written as tag, COUNT of elements,
// elements, and fields stand in the order of the message. Called by protocol.js.
//
// A schema is what the handshake carries: a table of fields, each { option, type, tag }, with `__tags` (tag to
// name) and `__messages` (the message types declared inside it).

import { Reader, ProtocolError, concat, decodeText, encodeText, varint } from "./bytes.js";

/** Wire type, reader and writer of every scalar. */
const SCALARS = {
  uInt32: { wire: 0, read: (reader) => reader.varint(), write: (value) => varint(integer(value)) },
  sInt32: { wire: 0, read: readZigzag, write: writeZigzag },
  int32: { wire: 0, read: readZigzag, write: writeZigzag },
  float: { wire: 5, read: (reader) => reader.float(), write: (value) => float(4, value) },
  double: { wire: 1, read: (reader) => reader.double(), write: (value) => float(8, value) },
  string: {
    wire: 2,
    read: (reader) => decodeText(reader.take(reader.varint())),
    write: (value) => sized(encodeText(String(value))),
  },
};
const LENGTH_DELIMITED = 2;

/**
 * Decodes `bytes` as a message of `schema`. A required field may be missing; an unknown tag is an error,
 * because nothing says how long its value is.
 * @param {object} schema
 * @param {Uint8Array} bytes
 * @param {object} root all schemas of this side, where shared types are found as "message Name"
 */
export function decode(schema, bytes, root) {
  const reader = new Reader(bytes);
  const message = {};
  while (reader.left > 0) {
    const tag = Math.floor(reader.varint() / 8);
    const name = schema.__tags?.[tag];
    const field = schema[name];
    if (!field) throw new ProtocolError(`no field has the tag ${tag}`);
    const codec = codecOf(field.type, schema, root);
    if (field.option !== "repeated") {
      message[name] = codec.read(reader);
    } else if (codec.wire === LENGTH_DELIMITED) {
      (message[name] ??= []).push(codec.read(reader));
    } else {
      const elements = (message[name] ??= []);
      for (let count = reader.varint(); count > 0; count--) elements.push(codec.read(reader));
    }
  }
  return message;
}

/**
 * Encodes `message`, or returns null when it does not fit: a required field is missing, or nothing would be
 * written. Fields that the schema does not name are left out.
 * @param {object} schema
 * @param {object} message
 * @param {object} root
 * @returns {Uint8Array | null}
 */
export function encode(schema, message, root) {
  const parts = [];
  for (const [name, field] of fields(schema)) {
    if (field.option === "required" && message[name] == null) return null;
  }
  for (const [name, value] of Object.entries(message)) {
    const field = Object.hasOwn(schema, name) && !name.startsWith("__") ? schema[name] : null;
    if (!field || value == null) continue;
    const codec = codecOf(field.type, schema, root);
    const tag = varint(field.tag * 8 + codec.wire);
    const values = field.option === "repeated" ? Array.from(value, codec.write) : [codec.write(value)];
    if (values.includes(null)) return null;
    if (field.option === "repeated" && codec.wire !== LENGTH_DELIMITED) {
      if (values.length > 0) parts.push(tag, varint(values.length), ...values);
    } else {
      for (const bytes of values) parts.push(tag, bytes);
    }
  }
  return parts.length > 0 ? concat(...parts) : null;
}

function fields(schema) {
  return Object.entries(schema).filter(([name]) => !name.startsWith("__"));
}

/** A scalar's codec, or one for the message type that `schema` or the whole side declares by that name. */
function codecOf(type, schema, root) {
  if (Object.hasOwn(SCALARS, type)) return SCALARS[type];
  const nested = schema.__messages?.[type] ?? root[`message ${type}`];
  if (!nested) throw new ProtocolError(`the schema has no type ${type}`);
  return {
    wire: LENGTH_DELIMITED,
    read: (reader) => decode(nested, reader.take(reader.varint()), root),
    write: (value) => {
      const bytes = encode(nested, value, root);
      return bytes && sized(bytes);
    },
  };
}

function readZigzag(reader) {
  const value = reader.varint();
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

function writeZigzag(value) {
  const number = integer(value);
  return varint(number < 0 ? -number * 2 - 1 : number * 2);
}

/** Text that holds a number is a number, and fractions are cut, as in the original. */
function integer(value) {
  const number = Math.trunc(Number(value));
  if (!Number.isSafeInteger(number)) throw new ProtocolError(`${value} is not an integer`);
  return number;
}

function float(size, value) {
  const view = new DataView(new ArrayBuffer(size));
  if (size === 4) view.setFloat32(0, value, true);
  else view.setFloat64(0, value, true);
  return new Uint8Array(view.buffer);
}

function sized(bytes) {
  return concat(varint(bytes.length), bytes);
}
