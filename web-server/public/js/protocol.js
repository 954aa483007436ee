// Pomelo's wire protocol: packages, the messages inside them, and the bodies inside those.
// Bytes in, values out, and back; no sockets and no timers. Called by client.js.
//
//   package  type (1 byte), length of the body (3 bytes, big-endian), body
//   message  flag, id (request and response), route (all but response), body

import { Reader, ProtocolError, concat, decodeText, encodeText, varint } from "./bytes.js";
import * as protobuf from "./protobuf.js";

export { ProtocolError };

/** Kinds of packages. */
export const Package = Object.freeze({ HANDSHAKE: 1, ACK: 2, HEARTBEAT: 3, DATA: 4, KICK: 5 });

/** Kinds of messages, which travel in DATA packages. */
export const Message = Object.freeze({ REQUEST: 0, NOTIFY: 1, RESPONSE: 2, PUSH: 3 });

/** Bit 0 of a message's flag: the route is a code of the dictionary. Bits 1-3 are the kind. */
const COMPRESSED_ROUTE = 0x01;
/** Bit 4: the body is gzip. Pomelo has the bit but does not use it unless told to. */
const GZIP = 0x10;

const NO_BYTES = new Uint8Array(0);

/** @param {number} type @param {Uint8Array} [body] @returns {Uint8Array} */
export function encodePackage(type, body = NO_BYTES) {
  if (body.length > 0xffffff) throw new ProtocolError("a package holds at most 16 MiB");
  return concat([type, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff], body);
}

/**
 * All packages of one WebSocket message: a server may put several into one.
 * @param {Uint8Array} bytes
 * @returns {{ type: number, body: Uint8Array }[]}
 */
export function decodePackages(bytes) {
  const reader = new Reader(bytes);
  const packages = [];
  while (reader.left > 0) {
    packages.push({ type: reader.uint8(), body: reader.take(reader.uint24()) });
  }
  return packages;
}

/**
 * @param {{ type: number, id?: number, route?: string | number | null, body?: Uint8Array }} message
 *   a number as route is a code of the dictionary
 * @returns {Uint8Array}
 */
export function encodeMessage({ type, id = 0, route = null, body = NO_BYTES }) {
  if (!(type in KINDS)) throw new ProtocolError(`there is no message of type ${type}`);
  const compressed = typeof route === "number" && KINDS[type].route;
  return concat(
    [(type << 1) | (compressed ? COMPRESSED_ROUTE : 0)],
    KINDS[type].id ? varint(id) : NO_BYTES,
    KINDS[type].route ? encodeRoute(route) : NO_BYTES,
    body,
  );
}

/**
 * @param {Uint8Array} bytes
 * @returns {{ type: number, id: number, route: string | number | null, body: Uint8Array }}
 */
export function decodeMessage(bytes) {
  const reader = new Reader(bytes);
  const flag = reader.uint8();
  const type = (flag >> 1) & 0x07;
  if (!(type in KINDS)) throw new ProtocolError(`there is no message of type ${type}`);
  if (flag & GZIP) throw new ProtocolError("this client does not read gzip");
  const id = KINDS[type].id ? reader.varint() : 0;
  let route = null;
  if (KINDS[type].route) {
    route = flag & COMPRESSED_ROUTE ? reader.uint16() : decodeText(reader.take(reader.uint8()));
  }
  return { type, id, route, body: reader.take() };
}

/** What the head of each kind of message holds, by its number. */
const KINDS = {
  [Message.REQUEST]: { id: true, route: true },
  [Message.NOTIFY]: { id: false, route: true },
  [Message.RESPONSE]: { id: true, route: false },
  [Message.PUSH]: { id: false, route: true },
};

function encodeRoute(route) {
  if (typeof route === "number") {
    if (route > 0xffff) throw new ProtocolError("a route code has 16 bits");
    return [route >> 8, route & 0xff];
  }
  const bytes = encodeText(route ?? "");
  if (bytes.length > 0xff) throw new ProtocolError("a route has at most 255 bytes");
  return concat([bytes.length], bytes);
}

/**
 * Messages as objects, for one connection: route names through the dictionary and bodies through the schemas
 * that its handshake brought, JSON for all others.
 */
export class Codec {
  #routeToCode;
  #codeToRoute;
  #sent;
  #received;

  /** @param {{ routeToCode?: object, dict?: object, protos?: { client?: object, server?: object } }} [sys] */
  constructor(sys = {}) {
    const dictionary = Object.entries(sys.routeToCode ?? sys.dict ?? {});
    this.#routeToCode = new Map(dictionary);
    this.#codeToRoute = new Map(dictionary.map(([route, code]) => [code, route]));
    this.#sent = sys.protos?.client ?? {};
    this.#received = sys.protos?.server ?? {};
  }

  /** @param {{ type: number, id?: number, route: string, body: object }} message @returns {Uint8Array} */
  encode({ type, id, route, body }) {
    const schema = ownField(this.#sent, route);
    const bytes = schema ? protobuf.encode(schema, body, this.#sent) : encodeText(JSON.stringify(body));
    if (!bytes) throw new ProtocolError(`the message does not fit the server's schema of ${route}`);
    return encodeMessage({ type, id, route: this.#routeToCode.get(route) ?? route, body: bytes });
  }

  /**
   * @param {Uint8Array} bytes
   * @param {(id: number) => string | undefined} routeOfRequest a response carries no route: it is its request's
   */
  decode(bytes, routeOfRequest) {
    const { type, id, route: named, body } = decodeMessage(bytes);
    const route = type === Message.RESPONSE ? routeOfRequest(id) : this.#routeName(named);
    const schema = ownField(this.#received, route);
    return { type, id, route, body: schema ? protobuf.decode(schema, body, this.#received) : parse(body) };
  }

  #routeName(route) {
    const name = typeof route === "number" ? this.#codeToRoute.get(route) : route;
    if (name === undefined) throw new ProtocolError(`the dictionary has no route ${route}`);
    return name;
  }
}

/** @param {Uint8Array} bytes the JSON of a body or handshake; nothing at all reads as {} */
export function parse(bytes) {
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(decodeText(bytes));
  } catch {
    throw new ProtocolError("the body is not JSON");
  }
}

function ownField(table, key) {
  return key !== undefined && Object.hasOwn(table, key) ? table[key] : undefined;
}
