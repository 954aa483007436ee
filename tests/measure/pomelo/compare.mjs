// Runs the same `chathost bench` scenarios against Pomelo and against chathost, in turns, and prints what each cost.
// Called by `run`, which has seen to it that there are packages and a program.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bench, end, endAll, startChathost, startPomelo } from "./servers.mjs";

/** A figure of one part of the bench's report, which has to be there. */
function figure(part, group, name) {
  const value = part?.[group]?.[name];
  if (!Number.isFinite(value)) throw new Error(`the bench did not report "${name}": ${JSON.stringify(part)}`);
  return value;
}

const perDelivery = ([part]) => figure(part, "figures", "CPU per delivery µs");
const ofLimit = ([, limit]) => perDelivery([limit]);
const perRequest = ([part]) => figure(part, "figures", "CPU per response µs");
const perConnection = ([part]) => figure(part, "more", "memory of each connection bytes");
const perJoin = (parts) => {
  const joins = parts.filter(({ name }) => name.startsWith("join"));
  return joins.reduce((sum, part) => sum + figure(part, "more", "CPU of each µs"), 0) / joins.length;
};

// `target`: how many times less chathost should need. `fresh`: on a server that has done nothing before, because memory
// that was used once is there to be used again. `limit`: with a bare loop of `send` in turns with chathost, for what the
// kernel takes of both.
const SCENARIOS = [
  { name: "one", what: "a message to a room of 1,000, one at a time", unit: "µs per delivery", target: 4, limit: true,
    args: ["fanout", "--members", "1000", "--rounds", "1"], read: perDelivery },
  { name: "backlog", what: "the same, 16 at once", unit: "µs per delivery", target: 30,
    args: ["fanout", "--members", "1000", "--burst", "16", "--rounds", "1"], read: perDelivery },
  { name: "request", what: "a request and its answer through connector and chat, 10 clients", unit: "µs per request", target: 8,
    args: ["latency", "--clients", "10"], read: perRequest },
  { name: "join", what: "200 users enter a room", unit: "µs per join",
    args: ["join-storm", "--users", "200"], read: perJoin },
  { name: "idle", what: "2,000 connections", unit: "bytes of each", target: 4.5, fresh: true,
    args: ["idle", "--connections", "2000"], read: perConnection },
  { name: "entered", what: "2,000 connections, entered, in rooms of 10", unit: "bytes of each", target: 4.5, fresh: true,
    args: ["idle", "--connections", "2000", "--enter", "--members", "10"], read: perConnection },
];

const SIDES = [
  ["pomelo", startPomelo],
  ["chathost", startChathost],
];

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "4" },
    only: { type: "string" },
    json: { type: "string" },
  },
});
const rounds = Number(options.rounds);
const only = options.only?.split(",");
const unknown = only?.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name)) ?? [];
if (!(rounds >= 1) || !(Number(options.seconds) > 0) || unknown.length > 0) {
  console.error(`--rounds and --seconds are numbers, --only is some of ${SCENARIOS.map(({ name }) => name)}`);
  process.exit(2);
}

process.on("uncaughtException", ({ message }) => {
  console.error(`compare: ${message}`);
  process.exit(1);
});
const work = mkdtempSync(join(os.tmpdir(), "chathost-pomelo-"));
process.on("exit", () => {
  endAll();
  rmSync(work, { recursive: true, force: true });
});
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.on(signal, () => process.exit(code));
}

const scenarios = SCENARIOS.filter(({ name }) => !only || only.includes(name));
const results = await measure(scenarios);
report(results);
if (options.json) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
process.exitCode = results.every(({ target, ratio, mistakes }) => !mistakes && !(ratio < target)) ? 0 : 1;

/** All scenarios on both sides, round after round. Round 0 warms up: V8 compiles what it has seen often. */
async function measure(scenarios) {
  console.log(await machine());
  const lasting = new Map();
  for (const [side, start] of SIDES) lasting.set(side, await start(work));
  const results = scenarios.map((scenario) => ({ ...scenario, pomelo: [], chathost: [], limits: [], mistakes: "" }));
  for (let round = 0; round <= rounds; round += 1) {
    for (const result of results) {
      if (round === 0 && result.fresh) continue;
      for (const [side, start] of round % 2 ? SIDES : SIDES.toReversed()) {
        process.stderr.write(`${round === 0 ? "warm-up" : `round ${round} of ${rounds}`}: ${result.name}, ${side}\n`);
        const server = result.fresh ? await start(work) : lasting.get(side);
        const withLimit = result.limit && side === "chathost";
        const more = withLimit ? ["--with-limit"] : [];
        const { parts } = await bench(server, [...result.args, ...more, "--seconds", options.seconds]);
        if (result.fresh) await end(server);
        if (round === 0) continue;
        result[side].push(result.read(parts));
        if (withLimit) result.limits.push(ofLimit(parts));
        result.mistakes ||= mistakes(side, parts);
      }
    }
  }
  for (const server of lasting.values()) await end(server);
  return results.map(({ args, read, ...result }) => {
    const ratios = result.pomelo.map((cost, round) => cost / result.chathost[round]);
    return { ...result, command: `chathost bench ${args.join(" ")}`, ratios, ratio: median(ratios) };
  });
}

/** What should not have happened; empty if nothing did. */
function mistakes(side, parts) {
  const found = parts.flatMap(({ name, figures, errors }) => {
    const counts = ["lost", "repeated", "out of order"].map((what) => [what, figures[what] ?? 0]);
    const all = [...counts, ...Object.entries(errors)].filter(([, count]) => count > 0);
    return all.map(([what, count]) => `${name}: ${count} ${what}`);
  });
  return found.length > 0 ? `${side}: ${found.join(", ")}` : "";
}

function report(results) {
  const rows = [["", "", "Pomelo", "chathost", "ratio", "of the rounds", "target"]];
  for (const { what, unit, pomelo, chathost, ratio, ratios, target } of results) {
    const range = `${short(Math.min(...ratios))} - ${short(Math.max(...ratios))}`;
    const verdict = target ? `${target}${ratio < target ? " MISSED" : ""}` : "";
    rows.push([what, unit, short(median(pomelo)), short(median(chathost)), `${short(ratio)} x`, range, verdict]);
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  console.log();
  for (const row of rows) {
    const cells = row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])));
    console.log(cells.join("  ").trimEnd());
  }
  for (const { what, unit, pomelo, limits } of results) {
    if (limits.length === 0) continue;
    const [limit, times] = [median(limits), median(pomelo) / median(limits)].map(short);
    console.log(`\n${what}: a loop of send alone takes ${limit} ${unit}; no server could be more than ${times} x better.`);
  }
  for (const { name, mistakes } of results) if (mistakes) console.log(`${name}: ${mistakes}`);
  console.log(`\nMedians of ${rounds} rounds; the time is the CPU time of all processes of the server.`);
  console.log(`Load average now: ${load()}.`);
}

async function machine() {
  const { version } = JSON.parse(await readFile(new URL("node_modules/pomelo/package.json", import.meta.url)));
  const cpus = os.cpus();
  const system = `${os.type()} ${os.release()}, ${cpus.length} x ${cpus[0]?.model}`;
  return `Pomelo ${version} on Node ${process.versions.node}, ${system}, load average ${load()}`;
}

function load() {
  return os.loadavg().map((value) => value.toFixed(1)).join(" ");
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function short(value) {
  return value >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
}
