// What the tests share: where the demo is, how one logs in to it, and a small server with handlers of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PAGE = process.env.CHATHOST_URL;
if (!PAGE) throw new Error("CHATHOST_URL is not set: start chathost and give the address of its page");

/** The program, for tests that need other handlers than the demo's. */
const PROGRAM = process.env.CHATHOST ?? fileURLToPath(new URL("../../target/debug/chathost", import.meta.url));

/** Where the gate of the running demo is, as its page is told. */
export async function gate() {
  const { gate } = await (await fetch(new URL("/config.json", PAGE))).json();
  return { host: gate.host ?? new URL(PAGE).hostname, port: gate.port };
}

let rooms = 0;
/** A room that no other test uses. */
export function newRoom(prefix = "interop") {
  rooms += 1;
  return `${prefix}_${process.pid}_${rooms}`;
}

/** Gate, then connector, then the room, on one client as the original page does it. Resolves with the answer of enter. */
export async function login(client, name, room, options) {
  await client.connect(await gate());
  const entry = await client.request("gate.gateHandler.queryEntry", { uid: name });
  client.disconnect();
  if (entry.code !== 200) throw new Error(`the gate answered ${JSON.stringify(entry)}`);
  await client.connect(entry, options);
  return enter(client, name, room);
}

export function enter(client, name, room) {
  return client.request("connector.entryHandler.enter", { username: name, rid: room });
}

export function say(client, content, target = "*") {
  return client.request("chat.chatHandler.send", { content, target });
}

/** A chathost with the configuration and the handlers of `host/`. Resolves with its connector's address. */
export async function startHost() {
  const base = mkdtempSync(join(tmpdir(), "chathost-"));
  cpSync(fileURLToPath(new URL("host", import.meta.url)), base, { recursive: true });
  const args = ["start", "--servers", join(base, "config/servers.json"), "--directory", base];
  const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(base, { recursive: true });
  };
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /clients on port (\d+)/.exec(line)?.[1];
    if (port) return { host: "127.0.0.1", port: Number(port), stop };
  }
  rmSync(base, { recursive: true });
  throw new Error(`${PROGRAM} did not start`);
}
