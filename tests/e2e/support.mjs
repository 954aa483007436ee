// What the browser tests share: Chromium, a user with a page of their own, and a hand on the wires.
// CHATHOST_URL says where the page is; CHROMIUM where the browser is, if not at Debian's place.

import assert from "node:assert/strict";

import { chromium } from "playwright-core";

const PAGE = process.env.CHATHOST_URL;
if (!PAGE) throw new Error("CHATHOST_URL is not set: start chathost and give the address of its page");

/** Long enough for a busy machine; nothing here waits longer than it must. */
const TIMEOUT = 20_000;

/** A headless Chromium that stays away from the network. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

let rooms = 0;
/** A room that no other test uses. */
export function newRoom(prefix = "room") {
  rooms += 1;
  return `${prefix}_${process.pid}_${rooms}`;
}

/** Somebody at a browser of their own: a context shares nothing with the others. */
export class User {
  /** What the page should never do: throw, or log an error. */
  errors = [];

  static async open(browser, name, room, { query = {}, ...options } = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    context.setDefaultTimeout(TIMEOUT);
    const user = new User(await context.newPage());
    user.name = name;
    user.room = room;
    user.url = `${new URL("/", PAGE)}?${new URLSearchParams({ name, room, ...query })}`;
    return user;
  }

  constructor(page) {
    this.page = page;
    page.on("pageerror", (error) => this.errors.push(error));
  }

  /** Opens the page and enters the room. */
  static async join(browser, name, room, options) {
    const user = await User.open(browser, name, room, options);
    await user.page.goto(user.url);
    await user.login();
    return user;
  }

  async login() {
    await this.page.locator("#login").click();
    await this.page.locator("#chatView").waitFor();
    await this.waitForState("open");
  }

  async tryLogin(name, room) {
    await this.page.locator("#loginUser").fill(name);
    await this.page.locator("#channelList").fill(room);
    await this.page.locator("#login").click();
  }

  async loginError() {
    const error = this.page.locator("#loginError");
    await error.waitFor();
    return error.textContent();
  }

  async say(text, target = "*") {
    await this.page.locator("#usersList").selectOption(target);
    await this.page.locator("#entry").fill(text);
    await this.page.locator("#entry").press("Enter");
  }

  /** Waits until the people list and the list of targets hold exactly these names. */
  async waitForPeople(...names) {
    await this.page.waitForFunction((expected) => {
      const sorted = (values) => JSON.stringify([...values].sort());
      const shown = [...document.querySelectorAll("#peopleList li")].map((item) => item.dataset.name);
      const targets = [...document.querySelectorAll("#usersList option")].map((option) => option.value);
      return sorted(shown) === sorted(expected) && sorted(targets) === sorted(["*", ...expected]);
    }, names);
  }

  async waitForState(state) {
    await this.page.locator(`#connection[data-state="${state}"]`).waitFor();
  }

  /** Waits for a line: `message` with a text, `joined` or `left` with a name, `notice` with a part of its text. */
  async waitForLine(kind, what) {
    const line = this.page.locator(`#chatHistory [data-kind="${kind}"]`).filter({ hasText: what });
    await line.first().waitFor();
  }

  /** All messages, as { from, target, text }. */
  messages() {
    return this.page.locator('#chatHistory [data-kind="message"]').evaluateAll((articles) =>
      articles.map((article) => ({
        from: article.dataset.from,
        target: article.dataset.target,
        text: article.querySelector(".text").textContent,
      })),
    );
  }

  /** Goes, and vouches for the page: nothing was thrown in it. */
  async close() {
    await this.page.context().close();
    assert.deepEqual(this.errors, []);
  }
}

/**
 * Takes the WebSockets of a page into our hands; call before the page is opened.
 * A wire has two ends: `page` towards the browser, `server` towards chathost.
 */
export async function holdWires(user) {
  const wires = {
    /** While down, every new connection fails. */
    down: false,
    /** The latest connection. */
    last: null,
  };
  await user.page.routeWebSocket(/.*/, (page) => {
    if (wires.down) return page.close();
    wires.last = { page, server: page.connectToServer() };
  });
  return wires;
}
