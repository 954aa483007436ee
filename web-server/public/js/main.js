// Puts the page together: where the gate is, who one was last time, and the wires between model and view.

import { Chat, checkLogin } from "./chat.js";
import { View } from "./view.js";

/** Pomelo's port of the gate, when nobody says otherwise. */
const DEFAULT_PORT = 3014;

const asked = new URLSearchParams(location.search);

const view = new View({ login, send: (text, target) => chat.send(text, target), leave, retry });
const chat = new Chat(findGate(), {
  state: (state, cause) => {
    view.showState(state, cause);
    // Kicked, or refused when coming back: without a wish of the user.
    if (state === "closed" && cause) view.showLogin({ ...remembered(), error: reasonFor(cause) });
  },
  people: (names) => view.showPeople(names),
  line: (line) => view.addLine(line),
}, { secure: location.protocol === "https:" });

addEventListener("online", retry);
document.addEventListener("visibilitychange", () => document.hidden || retry());

view.showLogin({
  name: asked.get("name") ?? remembered().name,
  room: asked.get("room") ?? remembered().room,
});

async function login(name, room) {
  const wrong = checkLogin(name, room);
  if (wrong) return view.showLoginError(wrong.text, wrong.field);
  view.showBusy(true);
  view.prepareChat(name, room);
  try {
    await chat.login(name, room);
  } catch (error) {
    view.showBusy(false);
    return view.showLoginError(error.message, error.duplicate ? "name" : null);
  }
  view.showBusy(false);
  remember(name, room);
  view.showChat();
}

function leave() {
  chat.leave();
  view.showLogin(remembered());
}

function retry() {
  chat.retryNow();
}

function reasonFor(cause) {
  return cause.code === "kicked"
    ? `The server has ended your session (${cause.message}).`
    : `The server does not let you back in: ${cause.message}.`;
}

/** `?gate=host:port` in the address, else what the server of the page says, else the usual place. */
async function findGate() {
  const [, host, port] = /^(\[.+\]|[^:]*)(?::(\d+))?$/.exec(asked.get("gate") ?? "") ?? [];
  let told = {};
  try {
    told = (await (await fetch("config.json")).json()).gate ?? {};
  } catch {
    // Any file server can serve this page; not every one knows the gate.
  }
  return {
    host: host || told.host || location.hostname,
    port: Number(port ?? told.port ?? DEFAULT_PORT),
  };
}

/** Name and room of the last login; a browser may forbid to store them. */
function remembered() {
  try {
    return { name: localStorage.getItem("name") ?? "", room: localStorage.getItem("room") ?? "" };
  } catch {
    return { name: "", room: "" };
  }
}

function remember(name, room) {
  try {
    localStorage.setItem("name", name);
    localStorage.setItem("room", room);
  } catch {
    // Then they are typed again next time.
  }
}
