// Starts and ends the two servers, each on ports that are free, and runs the bench against one of them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PROGRAM = process.env.CHATHOST;
const PATIENCE = 60_000;

/** Everything that was started and has not ended. */
const children = new Set();

/** One gate, one connector, one chat server and their master, each a process, as `node app.js` starts them. */
export async function startPomelo(work) {
  const base = mkdtempSync(join(work, "pomelo-"));
  for (const name of ["app.js", "preload.js", "app", "config"]) {
    cpSync(join(HERE, name), join(base, name), { recursive: true });
  }
  symlinkSync(join(HERE, "node_modules"), join(base, "node_modules"));
  const [master, gate, connector, connectorRpc, chat] = await freePorts(5);
  change(join(base, "config/master.json"), ({ development }) => (development.port = master));
  change(join(base, "config/servers.json"), ({ development }) => {
    development.gate[0].clientPort = gate;
    development.connector[0].clientPort = connector;
    development.connector[0].port = connectorRpc;
    development.chat[0].port = chat;
  });
  // The input stays open as long as we live, see preload.js.
  const child = start(process.execPath, ["app.js", "env=development"], {
    cwd: base,
    env: { ...process.env, NODE_OPTIONS: "--require ./preload.js" },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const server = { name: "Pomelo", child, gate, connector, pids: [child.pid] };
  await ready(server);
  server.pids.push(...childrenOf(child.pid));
  if (server.pids.length !== 4) throw new Error(`Pomelo has ${server.pids.length} processes, not 4`);
  return server;
}

/** chathost as config/bench has it: gate, connector and chat server, in one process. */
export async function startChathost(work) {
  const base = mkdtempSync(join(work, "chathost-"));
  mkdirSync(join(base, "config"));
  const source = join(ROOT, "config/bench");
  for (const name of readdirSync(source)) cpSync(join(source, name), join(base, "config", name));
  // Port 0 is any that is free; it says which.
  change(join(base, "config/master.json"), ({ development }) => (development.port = 0));
  change(join(base, "config/servers.json"), ({ development }) => {
    development.gate[0].clientPort = 0;
    development.connector[0].clientPort = 0;
  });
  symlinkSync(join(ROOT, "handlers"), join(base, "handlers"));
  const args = ["start", "--servers", join(base, "config/servers.json"), "--directory", base];
  const child = start(PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"] });
  const port = async (id) => {
    const line = new RegExp(`${id} .* port (\\d+)`);
    await until(() => line.test(child.said) || child.exitCode !== null, () => failure("chathost", child));
    if (!line.test(child.said)) throw new Error(failure("chathost", child));
    return Number(line.exec(child.said)[1]);
  };
  const server = { name: "chathost", child, pids: [child.pid] };
  server.gate = await port("gate-server-1");
  server.connector = await port("connector-server-1");
  await ready(server);
  return server;
}

/** Ends a server and waits until it has ended. */
export async function end({ child, pids }) {
  child.stdin ? child.stdin.end() : child.kill("SIGTERM");
  const gone = () => pids.every((pid) => !alive(pid));
  await until(gone, () => `${pids} do not end`, 10_000).catch(() => pids.forEach(kill));
}

/** Ends all at once, without waiting. What a master leaves behind ends by itself, see preload.js. */
export function endAll() {
  for (const { pid } of children) kill(pid);
}

/** Runs the bench against a server: its report. */
export async function bench({ name, connector, pids }, args) {
  const watched = pids.flatMap((pid) => ["--pid", pid]);
  const all = ["bench", ...args, "--connector", `127.0.0.1:${connector}`, ...watched, "--json"];
  const { code, said, complained } = await run(all, 300_000);
  if (code !== 0) throw new Error(`chathost ${all.join(" ")} (${name}) ended with ${code}: ${complained}`);
  return JSON.parse(said);
}

/** Waits until somebody got in through the gate and heard an answer. */
async function ready({ name, child, gate }) {
  let problem = "";
  const args = ["bench", "latency", "--seconds", "0.1", "--gate", `127.0.0.1:${gate}`];
  const works = async () => {
    if (child.exitCode !== null) throw new Error(failure(name, child));
    const { code, complained } = await run(args, 15_000);
    problem = complained;
    return code === 0;
  };
  await until(works, () => `${failure(name, child)}${problem}`);
}

async function run(args, milliseconds) {
  const child = start(PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"], timeout: milliseconds, killSignal: "SIGKILL" });
  const [code, signal] = await once(child, "close");
  return { code: code ?? signal, said: child.said, complained: child.complained };
}

/** A process whose words are kept. */
function start(program, args, options) {
  const child = spawn(program, args.map(String), options);
  children.add(child);
  child.once("exit", () => children.delete(child));
  child.once("error", (error) => {
    throw new Error(`${program} does not start: ${error.message}`);
  });
  child.said = "";
  child.complained = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (child.said += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (child.complained += text));
  return child;
}

async function until(condition, otherwise, milliseconds = PATIENCE) {
  const last = Date.now() + milliseconds;
  while (!(await condition())) {
    if (Date.now() > last) throw new Error(otherwise());
    await wait(100);
  }
}

function failure(name, { said, complained, exitCode }) {
  const state = exitCode === null ? "does not answer" : `ended with exit code ${exitCode}`;
  return `${name} ${state}\n${said}${complained}`;
}

function kill(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}

function alive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** From /proc/…/stat: the parent follows the name, which is in brackets, and the state. */
function childrenOf(parent) {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
    } catch {
      return false;
    }
  });
}

/** Ports that nobody listens on now. */
async function freePorts(count) {
  const listeners = Array.from({ length: count }, () => createServer().listen(0));
  await Promise.all(listeners.map((listener) => once(listener, "listening")));
  const ports = listeners.map((listener) => listener.address().port);
  await Promise.all(listeners.map((listener) => once(listener.close(), "close")));
  return ports;
}

function change(file, edit) {
  const content = JSON.parse(readFileSync(file, "utf8"));
  edit(content);
  writeFileSync(file, JSON.stringify(content));
}
