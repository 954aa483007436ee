// The chat page in a real browser, against a running chathost (CHATHOST_URL).
// Started by the Rust test suite, or by hand: CHATHOST_URL=http://127.0.0.1:3001/ node --test

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { Package, encodePackage } from "../../web-server/public/js/protocol.js";
import { User, holdWires, launch, newRoom } from "./support.mjs";

let browser;
let users = [];

before(async () => {
  browser = await launch();
});
after(() => browser?.close());
afterEach(async () => {
  const gone = users;
  users = [];
  for (const user of gone) await user.close();
});

async function join(name, room, options) {
  const user = await User.join(browser, name, room, options);
  users.push(user);
  return user;
}

async function open(name, room, options) {
  const user = await User.open(browser, name, room, options);
  users.push(user);
  return user;
}

describe("in a room", () => {
  test("two users see each other come", async () => {
    const room = newRoom();
    const alice = await join("alice", room);
    await alice.waitForPeople("alice");
    const bob = await join("bob", room);
    await bob.waitForPeople("alice", "bob");
    await alice.waitForPeople("alice", "bob");
    await alice.waitForLine("joined", "bob joined");
    assert.equal(await alice.page.locator("#room").textContent(), room);
    assert.equal(await alice.page.locator("#name").textContent(), "alice");
    assert.equal(await bob.page.locator('[data-kind="joined"]').count(), 0, "nobody joined after bob");
  });

  test("a message to all is seen by all, once, and by nobody in another room", async () => {
    const room = newRoom();
    const alice = await join("alice", room);
    const bob = await join("bob", room);
    const carol = await join("carol", newRoom());
    await alice.say("good morning");
    await bob.waitForLine("message", "good morning");
    await bob.say("and to you");
    await alice.waitForLine("message", "and to you");
    await bob.waitForLine("message", "and to you");
    const said = [
      { from: "alice", target: "*", text: "good morning" },
      { from: "bob", target: "*", text: "and to you" },
    ];
    assert.deepEqual(await alice.messages(), said);
    assert.deepEqual(await bob.messages(), said);
    await carol.say("anybody here?");
    await carol.waitForLine("message", "anybody here?");
    assert.equal((await carol.messages()).length, 1);
  });

  test("a private message is seen by its target and its sender only", async () => {
    const room = newRoom();
    const alice = await join("alice", room);
    const bob = await join("bob", room);
    const carol = await join("carol", room);
    await alice.waitForPeople("alice", "bob", "carol");
    await alice.say("just between us", "bob");
    await bob.waitForLine("message", "just between us");
    await alice.waitForLine("message", "just between us");
    await alice.say("and this is for all");
    for (const user of [alice, bob, carol]) await user.waitForLine("message", "and this is for all");

    const secret = { from: "alice", target: "bob", text: "just between us" };
    const open = { from: "alice", target: "*", text: "and this is for all" };
    assert.deepEqual(await alice.messages(), [secret, open]);
    assert.deepEqual(await bob.messages(), [secret, open]);
    assert.deepEqual(await carol.messages(), [open]);
    assert.match(await bob.page.locator(".message.secret").textContent(), /only to you/);
    assert.match(await alice.page.locator(".message.secret").textContent(), /only to bob/);
  });

  test("who is chosen in the people list is written to privately, until chosen again", async () => {
    const room = newRoom();
    const alice = await join("alice", room);
    await join("bob", room);
    const bob = alice.page.getByRole("button", { name: "bob" });
    await bob.click();
    assert.equal(await alice.page.locator("#usersList").inputValue(), "bob");
    assert.equal(await bob.getAttribute("aria-pressed"), "true");
    await bob.click();
    assert.equal(await alice.page.locator("#usersList").inputValue(), "*");
  });

  test("a private message to somebody who has left is not delivered, and says so", async () => {
    const room = newRoom();
    const alice = await join("alice", room);
    const bob = await join("bob", room);
    await alice.waitForPeople("alice", "bob");
    await alice.page.locator("#usersList").selectOption("bob");
    await bob.page.locator("#leave").click();
    await alice.waitForLine("left", "bob left");
    // The choice stays: what was meant for bob must not go to all.
    assert.equal(await alice.page.locator("#usersList").inputValue(), "bob");
    await alice.page.locator("#entry").fill("are you there?");
    await alice.page.locator("#entry").press("Enter");
    await alice.waitForLine("notice", "Not delivered: bob is not in this room");
    assert.deepEqual(await alice.messages(), []);
    assert.equal(await alice.page.locator("#entry").inputValue(), "are you there?");
  });

  test("who leaves is gone from the lists, and may come back", async () => {
    const room = newRoom();
    const alice = await join("alice", room);
    const bob = await join("bob", room);
    await alice.waitForPeople("alice", "bob");
    await bob.page.locator("#leave").click();
    await alice.waitForLine("left", "bob left");
    await alice.waitForPeople("alice");
    await bob.page.locator("#loginView").waitFor();
    assert.equal(await bob.page.title(), "chathost");
    await bob.login();
    await alice.waitForPeople("alice", "bob");
  });

  test("one may go to another room", async () => {
    const [first, second] = [newRoom(), newRoom()];
    const alice = await join("alice", first);
    const bob = await join("bob", second);
    await alice.page.locator("#leave").click();
    await alice.tryLogin("alice", second);
    await bob.waitForPeople("alice", "bob");
    await alice.waitForPeople("alice", "bob");
  });

  test("a reload leaves the room and comes back with one key", async () => {
    const room = newRoom();
    const alice = await join("alice", room);
    const bob = await join("bob", room);
    await bob.page.goto(new URL("/", bob.url).href);
    await alice.waitForLine("left", "bob left");
    assert.equal(await bob.page.locator("#loginUser").inputValue(), "bob", "remembered, not from the address");
    assert.equal(await bob.page.locator("#channelList").inputValue(), room);
    await bob.page.reload();
    await bob.page.locator("#login").waitFor();
    await bob.page.keyboard.press("Enter");
    await bob.waitForPeople("alice", "bob");
    await alice.waitForPeople("alice", "bob");
  });
});

describe("logging in", () => {
  test("a name that is taken in the room is refused, and free in another", async () => {
    const room = newRoom();
    await join("alice", room);
    const second = await open("alice", room);
    await second.page.goto(second.url);
    await second.page.locator("#login").click();
    assert.equal(await second.loginError(), "Please change your name to login.");
    assert.equal(await second.page.evaluate(() => document.activeElement.id), "loginUser");
    await second.tryLogin("alice", newRoom());
    await second.waitForPeople("alice");
  });

  const LENGTH = "Name/Channel is too long or too short. 20 character max.";
  const CHARACTER = "Bad character in Name/Channel. Can only have letters, numbers, Chinese characters, and '_'";
  const BAD = [
    ["", "room", LENGTH, "loginUser"],
    ["alice", "", LENGTH, "channelList"],
    ["a".repeat(21), "room", LENGTH, "loginUser"],
    ["alice", "r".repeat(21), LENGTH, "channelList"],
    ["bad name", "", LENGTH, "channelList"],
    ["bad name", "room", CHARACTER, "loginUser"],
    ["alice*room", "room", CHARACTER, "loginUser"],
    ["alice", "room-1", CHARACTER, "channelList"],
    ["😀", "room", CHARACTER, "loginUser"],
    ["<b>", "room", CHARACTER, "loginUser"],
  ];
  test("bad names and rooms are refused with the original's words", async () => {
    const user = await open("", "");
    await user.page.goto(user.url);
    for (const [name, room, text, field] of BAD) {
      await user.tryLogin(name, room);
      assert.equal(await user.loginError(), text, `${name} in ${room}`);
      assert.equal(await user.page.locator('[aria-invalid="true"]').getAttribute("id"), field, `${name} in ${room}`);
    }
  });

  test("twenty Chinese characters are a good name", async () => {
    const name = "张三李四王五赵六钱七孙八周九吴十郑一冯二";
    const user = await join(name, newRoom("大厅"));
    await user.waitForPeople(name);
  });

  test("a gate without connectors asks for patience", async () => {
    const user = await open("alice", newRoom());
    await user.page.routeWebSocket(/.*/, (gate) => {
      gate.onMessage((bytes) => {
        const json = (type, value) => gate.send(Buffer.from(encodePackage(type, Buffer.from(value))));
        if (bytes[0] === Package.HANDSHAKE) json(Package.HANDSHAKE, '{"code":200,"sys":{}}');
        if (bytes[0] === Package.DATA) json(Package.DATA, '\x04\x01{"code":500}');
      });
    });
    await user.page.goto(user.url);
    await user.page.locator("#login").click();
    assert.equal(await user.loginError(), "There is no server to log in, please wait.");
  });

  test("a gate that is not there is named", async () => {
    // Port 1 is reserved and nobody listens on it.
    const user = await open("alice", newRoom(), { query: { gate: "127.0.0.1:1" } });
    await user.page.goto(user.url);
    await user.page.locator("#login").click();
    assert.match(await user.loginError(), /cannot be reached.*127\.0\.0\.1:1/);
    assert.equal(await user.page.evaluate(() => document.activeElement.id), "login", "ready for another try");
  });
});

describe("what is written", () => {
  test("markup stays text", async () => {
    const room = newRoom();
    const alice = await join("alice", room);
    const bob = await join("bob", room);
    const text = '<img src=x onerror="window.hit = 1"><script>window.hit = 1</script><b>&amp;</b>';
    await alice.say(text);
    for (const user of [alice, bob]) {
      await user.waitForLine("message", "onerror");
      assert.deepEqual(await user.messages(), [{ from: "alice", target: "*", text }]);
      const { page } = user;
      assert.equal(await page.locator("#chatHistory :is(img, script, b)").count(), 0);
      assert.equal(await page.evaluate(() => window.hit), undefined);
    }
  });

  test("emoji and Chinese arrive as they were sent, in both directions", async () => {
    const room = newRoom("大厅");
    const first = await join("张三", room);
    const second = await join("小明", room);
    const texts = ["你好，世界 😀", "👩‍👩‍👧‍👦 𝒳 🇨🇳 é ñ"];
    await first.say(texts[0]);
    await second.waitForLine("message", texts[0]);
    await second.say(texts[1]);
    await first.waitForLine("message", texts[1]);
    await second.say(texts[0], "张三");
    await first.page.locator(".message.secret").waitFor();
    const wanted = [
      { from: "张三", target: "*", text: texts[0] },
      { from: "小明", target: "*", text: texts[1] },
      { from: "小明", target: "张三", text: texts[0] },
    ];
    assert.deepEqual(await first.messages(), wanted);
    await second.page.locator(".message.secret").waitFor();
    assert.deepEqual(await second.messages(), wanted);
  });

  test("several lines, and nothing for an empty message", async () => {
    const alice = await join("alice", newRoom());
    const entry = alice.page.locator("#entry");
    await entry.press("Enter");
    await entry.fill("   ");
    await entry.press("Enter");
    await entry.fill("one");
    await entry.press("Shift+Enter");
    await entry.pressSequentially("two");
    await entry.press("Enter");
    await alice.waitForLine("message", "one");
    assert.deepEqual(await alice.messages(), [{ from: "alice", target: "*", text: "one\ntwo" }]);
    assert.equal(await entry.inputValue(), "");
  });

  test("messages that come while the page is hidden are counted in its title", async () => {
    const room = newRoom();
    const alice = await join("alice", room);
    const bob = await join("bob", room);
    const hide = (hidden) =>
      alice.page.evaluate((value) => {
        Object.defineProperty(document, "hidden", { value, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    assert.equal(await alice.page.title(), `${room} · chathost`);
    await hide(true);
    await bob.say("one");
    await bob.say("two");
    await alice.waitForLine("message", "two");
    assert.equal(await alice.page.title(), `(2) ${room} · chathost`);
    await hide(false);
    assert.equal(await alice.page.title(), `${room} · chathost`);
  });

  test("who reads further up is not torn away, but told", async () => {
    const room = newRoom();
    const alice = await join("alice", room, { viewport: { width: 800, height: 400 } });
    const bob = await join("bob", room);
    for (let number = 1; number <= 12; number++) await bob.say(`message ${number}.`);
    await alice.waitForLine("message", "message 12.");
    const history = alice.page.locator("#chatHistory");
    await history.evaluate((element) => (element.scrollTop = 0));
    await bob.say("message 13.");
    await alice.page.locator("#newer", { hasText: "1 new message" }).click();
    await alice.page.locator("#newer").waitFor({ state: "hidden" });
    const rest = await history.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight);
    assert.ok(rest < 2, `${rest} pixels from the end`);
  });
});

describe("for everybody", () => {
  test("a phone shows everything without scrolling sideways", async () => {
    const room = newRoom("r".repeat(8));
    const phone = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };
    const alice = await open("a_name_of_20_letters", room, phone);
    const fits = async (where) => {
      const [content, width] = await alice.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(content <= width && width === 360, `${where}: ${content} of ${width} pixels`);
    };
    await alice.page.goto(alice.url);
    await fits("login");
    await alice.login();
    const bob = await join("another_of_20_letter", room);
    await bob.say(`${"endless".repeat(60)} and a long address https://example.org/${"path/".repeat(60)}`);
    await alice.waitForLine("message", "endless");
    await fits("chat");
    await alice.page.locator("#people").waitFor({ state: "hidden" });
    await alice.page.locator("#peopleToggle").click();
    await fits("people");
    await alice.page.getByRole("button", { name: "another_of_20_letter" }).click();
    await alice.page.locator("#people").waitFor({ state: "hidden" });
    await fits("private");
    await alice.page.locator("#entry").fill("hello");
    await alice.page.locator("#send").click();
    await bob.page.locator(".message.secret").waitFor();
  });

  test("a keyboard is enough", async () => {
    const room = newRoom();
    const bob = await join("bob", room);
    const alice = await open("", "");
    await alice.page.goto(alice.url);
    const { keyboard } = alice.page;
    await keyboard.type("alice");
    await keyboard.press("Tab");
    await keyboard.type(room);
    await keyboard.press("Enter");
    await alice.waitForPeople("alice", "bob");
    await keyboard.type("by keyboard");
    await keyboard.press("Enter");
    await bob.waitForLine("message", "by keyboard");
    await alice.page.getByRole("button", { name: "bob" }).focus();
    await keyboard.press("Space");
    await keyboard.type("in private");
    await keyboard.press("Enter");
    await bob.page.locator(".message.secret").waitFor();
    await keyboard.press("Escape");
    assert.equal(await alice.page.locator("#usersList").inputValue(), "*");
  });

  test("every control has a name, and new lines are announced", async () => {
    const alice = await open("alice", newRoom());
    await alice.page.goto(alice.url);
    await alice.page.getByRole("textbox", { name: "Name" }).waitFor();
    await alice.page.getByRole("textbox", { name: "Channel" }).waitFor();
    await alice.login();
    await alice.page.getByRole("log", { name: "Messages" }).waitFor();
    await alice.page.getByRole("textbox", { name: "Message" }).waitFor();
    await alice.page.getByRole("combobox", { name: "To" }).waitFor();
    await alice.page.getByRole("complementary", { name: "In this room" }).waitFor();
    await alice.page.getByRole("status").filter({ hasText: "Connected" }).waitFor();
  });
});

describe("when the connection goes", () => {
  test("it says so, comes back into the room, and keeps what was said", async () => {
    const room = newRoom();
    const alice = await open("alice", room);
    const wires = await holdWires(alice);
    await alice.page.goto(alice.url);
    await alice.login();
    const bob = await join("bob", room);
    await bob.say("before");
    await alice.waitForLine("message", "before");

    wires.down = true;
    await wires.last.server.close();
    await wires.last.page.close();
    await alice.waitForState("waiting");
    await alice.page.locator("#lost", { hasText: "Reconnecting" }).waitFor();
    await bob.waitForLine("left", "alice left");
    await alice.say("lost?");
    assert.equal(await alice.page.locator("#entry").inputValue(), "lost?", "kept until it can be sent");
    const carol = await join("carol", room);
    await bob.page.locator("#leave").click();
    await carol.waitForPeople("carol");

    wires.down = false;
    // Not a real click: it may have come back by itself just now, and the button be gone.
    await alice.page.locator("#retry").evaluate((button) => button.click());
    await alice.waitForState("open");
    await alice.page.locator("#lost").waitFor({ state: "hidden" });
    await alice.waitForPeople("alice", "carol");
    await alice.waitForLine("left", "bob left");
    await alice.waitForLine("joined", "carol joined");
    await alice.page.locator("#entry").press("Enter");
    await carol.waitForLine("message", "lost?");
    await alice.waitForLine("message", "lost?");
    assert.deepEqual((await alice.messages()).map(({ text }) => text), ["before", "lost?"]);
  });

  test("it waits for the server to let the old session go", async () => {
    const room = newRoom();
    const alice = await open("alice", room);
    const wires = await holdWires(alice);
    await alice.page.goto(alice.url);
    await alice.login();
    // The browser has lost the connection, the server has not noticed.
    const { page, server } = wires.last;
    page.onClose(() => {});
    await page.close();
    await alice.page.locator("#lost", { hasText: "still holds your old connection" }).waitFor();
    await server.close();
    await alice.waitForState("open");
    await alice.waitForPeople("alice");
  });

  test("leaving while it is away ends the attempts", async () => {
    const alice = await open("alice", newRoom());
    const wires = await holdWires(alice);
    await alice.page.goto(alice.url);
    await alice.login();
    wires.down = true;
    await wires.last.server.close();
    await wires.last.page.close();
    await alice.waitForState("waiting");
    await alice.page.locator("#leave").click();
    await alice.page.locator("#loginView").waitFor();
    wires.down = false;
    await alice.login();
    await alice.waitForPeople("alice");
  });

  test("who is kicked is told why, and does not come back by itself", async () => {
    const alice = await open("alice", newRoom());
    const wires = await holdWires(alice);
    await alice.page.goto(alice.url);
    await alice.login();
    const { page } = wires.last;
    page.send(Buffer.from(encodePackage(Package.KICK, Buffer.from('{"reason":"be kind"}'))));
    assert.match(await alice.loginError(), /be kind/);
    assert.equal(wires.last.page, page, "no new connection");
  });
});
