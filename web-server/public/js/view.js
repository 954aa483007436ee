// The page: draws what chat.js tells and reports what the user does. Decides nothing about the chat.
// Whatever people wrote becomes text nodes, never markup.

import { EVERYONE } from "./chat.js";

/** Messages of one person within this time stand together under one name. */
const GROUP_MS = 5 * 60 * 1000;
/** So near to the end, in pixels, one is taken to be reading along. */
const NEAR_END = 60;
/** As many lines as the model keeps. */
const MAX_LINES = 1000;

const time = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const byName = new Intl.Collator().compare;

const STATES = {
  closed: "Not connected",
  connecting: "Connecting…",
  open: "Connected",
  waiting: "Offline",
};

export class View {
  #on;
  #page;
  #name = "";
  #room = "";
  #state = "closed";
  #people = [];
  #lastLine = null;
  /** Messages that came while the page was not looked at, and while one was reading further up. */
  #unread = 0;
  #newer = 0;

  /**
   * @param {{ login: (name: string, room: string) => void, leave: () => void, retry: () => void,
   *   send: (text: string, target: string) => Promise<boolean> }} on what the user does
   */
  constructor(on) {
    this.#on = on;
    this.#page = Object.fromEntries(
      [...document.querySelectorAll("[id]")].map((element) => [element.id, element]),
    );
    this.#listen();
  }

  /** @param {{ name: string, room: string, error?: string }} prefilled */
  showLogin({ name, room, error }) {
    const { loginView, chatView, loginUser, channelList, login } = this.#page;
    chatView.hidden = true;
    loginView.hidden = false;
    loginUser.value = name;
    channelList.value = room;
    this.#unread = 0;
    this.#drawTitle();
    this.showLoginError(error ?? "", null);
    if (!name) loginUser.focus();
    else if (!room) channelList.focus();
    else login.focus();
  }

  /** @param {string} text @param {"name" | "room" | null} field the one to blame, which gets the focus */
  showLoginError(text, field) {
    const { loginError, loginUser, channelList, login } = this.#page;
    loginError.textContent = text;
    loginError.hidden = !text;
    login.focus();
    for (const [input, name] of [[loginUser, "name"], [channelList, "room"]]) {
      const wrong = field === name;
      input.setAttribute("aria-invalid", String(wrong));
      input.setAttribute("aria-describedby", wrong ? "loginError loginHint" : "loginHint");
      if (wrong) {
        input.focus();
        input.select();
      }
    }
  }

  /** While logging in, the button waits. @param {boolean} busy */
  showBusy(busy) {
    const { login, loginForm } = this.#page;
    login.disabled = busy;
    login.textContent = busy ? "Joining…" : "Join";
    loginForm.setAttribute("aria-busy", String(busy));
  }

  /** Empties the room before its first lines and people arrive. */
  prepareChat(name, room) {
    const { chatHistory, nothingYet, entry, usersList } = this.#page;
    this.#name = name;
    this.#room = room;
    this.#people = [];
    this.#lastLine = null;
    this.#page.name.textContent = name;
    this.#page.room.textContent = room;
    chatHistory.replaceChildren(nothingYet);
    nothingYet.hidden = false;
    entry.value = "";
    usersList.replaceChildren();
    this.#drawTargets();
    this.#setTarget(EVERYONE);
    this.#setPeopleOpen(false);
    this.#countNewer(0);
  }

  showChat() {
    const { loginView, chatView, chatHistory, entry } = this.#page;
    loginView.hidden = true;
    chatView.hidden = false;
    this.#drawTitle();
    this.#scrollToEnd();
    // On a touch screen the keyboard would cover what is to be read first.
    if (matchMedia("(pointer: coarse)").matches) chatHistory.focus();
    else entry.focus();
  }

  /** @param {string} state @param {Error & { duplicate?: boolean }} [cause] */
  showState(state, cause) {
    const { connection, lost, lostText, send } = this.#page;
    this.#state = state;
    connection.dataset.state = state;
    connection.textContent = STATES[state];
    send.setAttribute("aria-disabled", String(state !== "open"));
    lost.hidden = !cause || state === "open" || state === "closed";
    lostText.textContent = cause?.duplicate
      ? "The server still holds your old connection. You come back as soon as it lets go."
      : "The connection is lost. Reconnecting; what has been said stays here.";
  }

  /** @param {string[]} names everybody in the room, oneself included */
  showPeople(names) {
    const { peopleList, peopleCount } = this.#page;
    this.#people = names.filter((name) => name !== this.#name).sort(byName);
    peopleCount.textContent = String(names.length);
    const focused = document.activeElement?.closest?.("#peopleList li")?.dataset.name;
    peopleList.replaceChildren(
      ...(names.includes(this.#name) ? [this.#personItem(this.#name)] : []),
      ...this.#people.map((name) => this.#personItem(name)),
    );
    for (const item of peopleList.children) {
      if (item.dataset.name === focused) item.querySelector("button")?.focus();
    }
    this.#drawTargets();
  }

  /** @param {object} line as chat.js describes it */
  addLine(line) {
    const { chatHistory, nothingYet } = this.#page;
    const reading = this.#isAtEnd();
    nothingYet.hidden = true;
    chatHistory.append(line.kind === "message" ? this.#messageElement(line) : this.#eventElement(line));
    while (chatHistory.childElementCount > MAX_LINES + 1) nothingYet.nextElementSibling.remove();
    this.#lastLine = line;
    if (line.kind === "message" && !line.own && document.hidden) {
      this.#unread += 1;
      this.#drawTitle();
    }
    if (reading || line.own) this.#scrollToEnd();
    else if (line.kind === "message") this.#countNewer(this.#newer + 1);
  }

  #listen() {
    const { loginForm, loginUser, channelList, toolbar, entry, usersList, leave, retry } = this.#page;
    const { peopleToggle, peopleList, people, chatHistory, newer } = this.#page;

    loginForm.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.#page.login.disabled) this.#on.login(loginUser.value, channelList.value);
    });
    toolbar.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    entry.addEventListener("keydown", (event) => {
      // While an input method is composing, Enter chooses a character.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#send();
      } else if (event.key === "Escape" && !event.isComposing) {
        this.#setTarget(EVERYONE);
      }
    });
    usersList.addEventListener("change", () => this.#setTarget(usersList.value));
    leave.addEventListener("click", () => this.#on.leave());
    retry.addEventListener("click", () => this.#on.retry());
    peopleToggle.addEventListener("click", () => {
      this.#setPeopleOpen(peopleToggle.getAttribute("aria-expanded") !== "true");
    });
    people.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || peopleToggle.getAttribute("aria-expanded") !== "true") return;
      this.#setPeopleOpen(false);
      peopleToggle.focus();
    });
    peopleList.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const { name } = button.closest("li").dataset;
      this.#setTarget(name === usersList.value ? EVERYONE : name);
      this.#setPeopleOpen(false);
      entry.focus();
    });
    chatHistory.addEventListener("scroll", () => this.#isAtEnd() && this.#countNewer(0), { passive: true });
    newer.addEventListener("click", () => {
      this.#scrollToEnd();
      chatHistory.focus();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#unread = 0;
      this.#drawTitle();
    });
  }

  /** The text is taken away at once and given back if it did not arrive. */
  async #send() {
    const { entry, usersList } = this.#page;
    const text = entry.value;
    if (!text.trim() || this.#state !== "open") return;
    entry.value = "";
    const arrived = await this.#on.send(text, usersList.value);
    if (!arrived && !entry.value) entry.value = text;
  }

  #setTarget(target) {
    const { usersList, toolbar, entry } = this.#page;
    usersList.value = target;
    this.#drawTargets();
    const secret = target !== EVERYONE;
    toolbar.classList.toggle("secret", secret);
    entry.placeholder = secret ? `Only ${target} will read this` : `Message everyone in ${this.#room}`;
    for (const item of this.#page.peopleList.children) {
      item.querySelector("button")?.setAttribute("aria-pressed", String(item.dataset.name === target));
    }
  }

  /** Whoever is chosen stays chosen, even when gone: what was meant for one must not go to all. */
  #drawTargets() {
    const { usersList } = this.#page;
    const target = usersList.value || EVERYONE;
    const options = [
      new Option("Everyone", EVERYONE),
      ...this.#people.map((name) => new Option(name, name)),
      new Option(`${this.#name} (you)`, this.#name),
    ];
    if (!options.some(({ value }) => value === target)) options.push(new Option(`${target} (left)`, target));
    usersList.replaceChildren(...options);
    usersList.value = target;
  }

  #personItem(name) {
    const item = element("li");
    item.dataset.name = name;
    if (name === this.#name) {
      item.append(avatar(name), element("span", "person", name), element("span", "tag", "you"));
      return item;
    }
    const button = element("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(this.#page.usersList.value === name));
    button.append(avatar(name), element("span", "person", name), element("span", "unseen", ", write privately"));
    item.append(button);
    return item;
  }

  #messageElement(line) {
    const { from, target, text, own, secret } = line;
    const article = element("article", "message");
    article.classList.toggle("own", own);
    article.classList.toggle("secret", secret);
    article.classList.toggle("grouped", this.#continues(line));
    Object.assign(article.dataset, { kind: "message", from, target });
    const head = element("header");
    head.append(element("span", "from", own ? "You" : from));
    if (secret) head.append(" ", element("span", "tag", own ? `only to ${target}` : "only to you"));
    head.append(" ", clock(line.time));
    const words = element("p", "text", text);
    words.dir = "auto";
    const bubble = element("div", "bubble");
    bubble.append(head, words);
    if (!own) article.append(avatar(from));
    article.append(bubble);
    tint(article, from);
    return article;
  }

  #continues({ from, target, time: now }) {
    const last = this.#lastLine;
    return last?.kind === "message" && last.from === from && last.target === target && now - last.time < GROUP_MS;
  }

  #eventElement(line) {
    const { kind, name } = line;
    const text = { joined: `${name} joined`, left: `${name} left` }[kind] ?? line.text;
    const paragraph = element("p", "event", text);
    paragraph.dataset.kind = kind;
    if (name) paragraph.dataset.name = name;
    paragraph.append(" ", clock(line.time));
    return paragraph;
  }

  #setPeopleOpen(open) {
    const { people, peopleToggle } = this.#page;
    people.classList.toggle("open", open);
    peopleToggle.setAttribute("aria-expanded", String(open));
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#page.chatHistory;
    return scrollHeight - scrollTop - clientHeight < NEAR_END;
  }

  #scrollToEnd() {
    const { chatHistory } = this.#page;
    chatHistory.scrollTop = chatHistory.scrollHeight;
    this.#countNewer(0);
  }

  #countNewer(count) {
    const { newer } = this.#page;
    this.#newer = count;
    newer.hidden = count === 0;
    newer.textContent = count === 1 ? "1 new message ↓" : `${count} new messages ↓`;
  }

  #drawTitle() {
    const place = this.#page.chatView.hidden ? "chathost" : `${this.#room} · chathost`;
    document.title = this.#unread > 0 ? `(${this.#unread}) ${place}` : place;
  }
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function avatar(name) {
  const [first = ""] = name;
  const circle = element("span", "avatar", first.toUpperCase());
  circle.setAttribute("aria-hidden", "true");
  tint(circle, name);
  return circle;
}

/** Gives a person the same colour everywhere. */
function tint(target, name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 997;
  // The golden angle keeps neighbouring numbers far apart on the wheel.
  target.style.setProperty("--hue", String(Math.round((hash * 137.5) % 360)));
}

function clock(date) {
  const shown = element("time", "", time.format(date));
  shown.dateTime = date.toISOString();
  return shown;
}
