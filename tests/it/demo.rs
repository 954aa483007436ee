//! The demo as it is shipped: one gate, three connectors, three chat servers, with dictionary and protobuf.

use chathost_tests::{Client, Cluster, Event, Hello, Incoming, Setup, Transport, root};
use pomelo_protocol::{Message, Package, PackageKind};
use serde_json::{Value, json};
use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    path::PathBuf,
    process::Command,
    sync::LazyLock,
};

const ENTER: &str = "connector.entryHandler.enter";
const SEND: &str = "chat.chatHandler.send";

/// What serves the chat: the demo's scripts, or the same in Rust. Both pass the same tests.
#[derive(Debug, Clone, Copy)]
enum ServedBy {
    Scripts,
    Library,
}

impl ServedBy {
    fn setup(self) -> Setup {
        match self {
            Self::Scripts => Setup::shipped(),
            Self::Library => Setup::shipped().config("handlers.json", &json!({ "chat": *LIBRARY })),
        }
    }
}

/// `plugins/chat`. Cargo does not build the library of another package for a test.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "-p", "chat"])
        .current_dir(root())
        .status();
    assert!(built.expect("cargo").success(), "plugins/chat does not build");
    let test = std::env::current_exe().expect("the test's own path");
    let built = test.ancestors().nth(2).expect("the target directory");
    built.join(format!("{DLL_PREFIX}chat{DLL_SUFFIX}"))
});

macro_rules! served_by_both {
    ($($test:ident),* $(,)?) => {
        mod scripts {
            $(#[tokio::test] async fn $test() { super::$test(super::ServedBy::Scripts).await; })*
        }
        mod library {
            $(#[tokio::test] async fn $test() { super::$test(super::ServedBy::Library).await; })*
        }
    };
}

served_by_both!(
    enter_talk_and_leave,
    somebody_absent,
    before_entering,
    a_name_twice,
    a_second_room,
    odd_names,
    the_gate_s_choice,
    chinese,
    emoji,
    codes_and_schemas,
);

/// The way of the page: ask the gate for a connector, connect there, enter. The connection, and what `enter` answered.
async fn enter_as(cluster: &Cluster, name: &str, room: &str, hello: &Hello) -> (Client, Value) {
    let mut gate = cluster.client("gate-server-1").await;
    let entry = gate
        .request("gate.gateHandler.queryEntry", json!({ "uid": name }))
        .await;
    assert_eq!(
        (&entry["code"], &entry["host"]),
        (&json!(200), &json!("127.0.0.1")),
        "{entry}"
    );
    gate.close().await;
    let connector = (1..=3)
        .map(|number| format!("connector-server-{number}"))
        .find(|id| entry["port"] == cluster.address(id).port())
        .unwrap_or_else(|| panic!("{entry} is no connector's"));
    let mut client = cluster.client_with(&connector, Transport::WebSocket, hello).await;
    let answer = client
        .request(ENTER, json!({ "username": name, "rid": room }))
        .await;
    (client, answer)
}

/// Enters, and finds these people there.
async fn enter(cluster: &Cluster, name: &str, room: &str, users: &[&str]) -> Client {
    let (client, answer) = enter_as(cluster, name, room, &Hello::default()).await;
    assert_eq!(answer, json!({ "users": users }), "{name} enters {room}");
    client
}

/// Says something in a request.
async fn say(client: &mut Client, content: &str, target: &str) -> Value {
    // `from` is not believed, `rid` is not needed; the page sends both.
    client
        .request(
            SEND,
            json!({ "rid": "x", "content": content, "from": "mallory", "target": target }),
        )
        .await
}

fn chat(msg: &str, from: &str, target: &str) -> Value {
    json!({ "msg": msg, "from": from, "target": target })
}

/// Asks the room's server something: what it pushed before has arrived when the answer has.
async fn nothing_else(client: &mut Client) {
    client.request("chat.chatHandler.nosuch", json!({})).await;
    let left = client.unasked();
    let left: Vec<_> = left.iter().filter(|event| **event != Event::Heartbeat).collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn enter_talk_and_leave(by: ServedBy) {
    let cluster = by.setup().start().await;
    let mut alice = enter(&cluster, "alice", "tea", &["alice"]).await;
    let mut bob = enter(&cluster, "bob", "tea", &["alice", "bob"]).await;
    assert_eq!(
        alice.push("onAdd").await,
        json!({ "route": "onAdd", "user": "bob" })
    );
    let mut carol = enter(&cluster, "carol", "tea", &["alice", "bob", "carol"]).await;
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.push("onAdd").await["user"], "carol");
    }
    let mut dave = enter(&cluster, "dave", "coffee", &["dave"]).await;

    // To everybody in the room, the sender too.
    assert_eq!(say(&mut alice, "hello", "*").await, json!({}));
    for client in [&mut alice, &mut bob, &mut carol] {
        assert_eq!(client.push("onChat").await, chat("hello", "alice", "*"));
    }
    // To one.
    assert_eq!(say(&mut bob, "psst", "carol").await, json!({}));
    assert_eq!(carol.push("onChat").await, chat("psst", "bob", "carol"));
    // A notify is heard as well, and not answered.
    carol
        .notify(SEND, json!({ "content": "quietly", "target": "alice" }))
        .await;
    assert_eq!(alice.push("onChat").await, chat("quietly", "carol", "alice"));

    // One says good-bye, the other's connection breaks.
    bob.close().await;
    for client in [&mut alice, &mut carol] {
        assert_eq!(
            client.push("onLeave").await,
            json!({ "route": "onLeave", "user": "bob" })
        );
    }
    carol.abort();
    assert_eq!(alice.push("onLeave").await["user"], "carol");
    let mut bob = enter(&cluster, "bob", "tea", &["alice", "bob"]).await;
    assert_eq!(alice.push("onAdd").await["user"], "bob");
    for client in [&mut alice, &mut bob, &mut dave] {
        nothing_else(client).await;
    }
}

/// A private message to somebody who is not there is answered, and says so.
async fn somebody_absent(by: ServedBy) {
    let cluster = by.setup().start().await;
    let mut alice = enter(&cluster, "alice", "tea", &["alice"]).await;
    let _elsewhere = enter(&cluster, "dave", "coffee", &["dave"]).await;
    for name in ["nobody", "dave", "alice*tea", ""] {
        let answer = say(&mut alice, "psst", name).await;
        assert_eq!(answer["code"], 404, "{name}: {answer}");
        assert_eq!(answer["message"], format!("{name} is not in this room"));
    }
    let answer = alice.request(SEND, json!({ "content": "to whom?" })).await;
    assert_eq!(answer["code"], 400, "{answer}");
    nothing_else(&mut alice).await;
}

/// A message before entering is refused as the original refuses it.
async fn before_entering(by: ServedBy) {
    let cluster = by.setup().start().await;
    let mut stranger = cluster.client("connector-server-1").await;
    assert_eq!(say(&mut stranger, "hello?", "*").await, json!({ "code": 500 }));
    let answer = stranger
        .request(ENTER, json!({ "username": "late", "rid": "tea" }))
        .await;
    assert_eq!(answer, json!({ "users": ["late"] }));
    assert_eq!(say(&mut stranger, "hello", "*").await, json!({}));
}

/// A name is taken in its room, on whichever connection; in another room it is another name.
async fn a_name_twice(by: ServedBy) {
    let cluster = by.setup().start().await;
    let mut alice = enter(&cluster, "alice", "tea", &["alice"]).await;
    let taken = json!({ "code": 500, "error": true });
    let (mut second, answer) = enter_as(&cluster, "alice", "tea", &Hello::default()).await;
    assert_eq!(answer, taken);
    let again = alice
        .request(ENTER, json!({ "username": "alice", "rid": "tea" }))
        .await;
    assert_eq!(again, taken);
    // Who was refused is in no room, and may try another.
    assert_eq!(say(&mut second, "am I here?", "*").await, json!({ "code": 500 }));
    let other = second
        .request(ENTER, json!({ "username": "alice", "rid": "coffee" }))
        .await;
    assert_eq!(other, json!({ "users": ["alice"] }));
    assert_eq!(say(&mut alice, "still here", "*").await, json!({}));
    assert_eq!(alice.push("onChat").await, chat("still here", "alice", "*"));
    nothing_else(&mut alice).await;
    nothing_else(&mut second).await;
}

/// Entering a second room on one connection moves the user, and leaves no ghost in the first.
async fn a_second_room(by: ServedBy) {
    let cluster = by.setup().start().await;
    let mut bob = enter(&cluster, "bob", "first", &["bob"]).await;
    let mut carol = enter(&cluster, "carol", "second", &["carol"]).await;
    let mut alice = enter(&cluster, "alice", "first", &["bob", "alice"]).await;
    assert_eq!(bob.push("onAdd").await["user"], "alice");

    let moved = alice
        .request(ENTER, json!({ "username": "alice", "rid": "second" }))
        .await;
    assert_eq!(moved, json!({ "users": ["carol", "alice"] }));
    assert_eq!(bob.push("onLeave").await["user"], "alice");
    assert_eq!(carol.push("onAdd").await["user"], "alice");
    say(&mut alice, "I am here", "*").await;
    assert_eq!(carol.push("onChat").await, chat("I am here", "alice", "*"));
    assert_eq!(alice.push("onChat").await, chat("I am here", "alice", "*"));
    assert_eq!(say(&mut bob, "where are you", "alice").await["code"], 404);

    // Under another name, too; and the close leaves the room that she is in.
    let renamed = alice
        .request(ENTER, json!({ "username": "alicia", "rid": "second" }))
        .await;
    assert_eq!(renamed, json!({ "users": ["carol", "alicia"] }));
    assert_eq!(carol.push("onLeave").await["user"], "alice");
    assert_eq!(carol.push("onAdd").await["user"], "alicia");
    alice.close().await;
    assert_eq!(carol.push("onLeave").await["user"], "alicia");
    enter(&cluster, "alice", "first", &["bob", "alice"])
        .await
        .close()
        .await;
    assert_eq!(bob.push("onAdd").await["user"], "alice");
    assert_eq!(bob.push("onLeave").await["user"], "alice");
    nothing_else(&mut bob).await;
    nothing_else(&mut carol).await;
}

/// What is no name and no room is refused; a number is the text that it looks like.
async fn odd_names(by: ServedBy) {
    let cluster = by.setup().start().await;
    let mut client = cluster.client("connector-server-1").await;
    for body in [
        json!({}),
        json!({ "username": "alice" }),
        json!({ "rid": "tea" }),
        json!({ "username": null, "rid": null }),
        json!({ "username": {}, "rid": "tea" }),
        json!({ "username": "alice", "rid": ["tea"] }),
        json!("text"),
        json!([]),
    ] {
        let answer = client.request(ENTER, body.clone()).await;
        assert_eq!(answer["code"], 500, "{body}: {answer}");
    }
    let answer = client.request(ENTER, json!({ "username": 42, "rid": 7 })).await;
    assert_eq!(answer, json!({ "users": ["42"] }));
    assert_eq!(say(&mut client, "I am a number", "42").await, json!({}));
    assert_eq!(client.push("onChat").await, chat("I am a number", "42", "42"));

    // The gate refuses what it cannot place.
    let mut gate = cluster.client("gate-server-1").await;
    for uid in [json!(null), json!(""), json!(0), json!({}), json!(false)] {
        let answer = gate
            .request("gate.gateHandler.queryEntry", json!({ "uid": uid }))
            .await;
        assert_eq!(answer, json!({ "code": 500 }), "{uid}");
    }
}

/// The same name is led to the same connector, by the original's checksum.
async fn the_gate_s_choice(by: ServedBy) {
    let cluster = by.setup().start().await;
    let mut gate = cluster.client("gate-server-1").await;
    for (name, checksum) in [
        ("alice", 663_665_735),
        ("bob", 171_200_192),
        ("张三", 1_384_018_183),
    ] {
        let expected = format!("connector-server-{}", checksum % 3 + 1);
        for _ in 0..2 {
            let entry = gate
                .request("gate.gateHandler.queryEntry", json!({ "uid": name }))
                .await;
            assert_eq!(entry["port"], cluster.address(&expected).port(), "{name}");
        }
    }
}

async fn chinese(by: ServedBy) {
    let cluster = by.setup().start().await;
    let mut zhang = enter(&cluster, "张三", "大厅", &["张三"]).await;
    let mut ming = enter(&cluster, "小明", "大厅", &["张三", "小明"]).await;
    assert_eq!(zhang.push("onAdd").await["user"], "小明");
    assert_eq!(say(&mut ming, "你好，世界", "张三").await, json!({}));
    assert_eq!(zhang.push("onChat").await, chat("你好，世界", "小明", "张三"));
    assert_eq!(say(&mut ming, "大家好", "*").await, json!({}));
    for client in [&mut zhang, &mut ming] {
        assert_eq!(client.push("onChat").await, chat("大家好", "小明", "*"));
    }
    ming.close().await;
    assert_eq!(zhang.push("onLeave").await["user"], "小明");
}

/// The body of the next push, as its bytes.
async fn raw_push(client: &mut Client) -> Vec<u8> {
    loop {
        let received = chathost_tests::within("a push", client.socket().receive()).await;
        let Incoming::Bytes(mut frame) = received else {
            panic!("the connection ended")
        };
        while let Some(package) = Package::decode_frame(&mut frame, 1 << 20).unwrap() {
            if package.kind == PackageKind::Data {
                return Message::decode(package.body).unwrap().body.to_vec();
            }
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

const CESU: &[u8] = b"\xed\xa0\xbd\xed\xb8\x80";

/// The original's JavaScript client writes an emoji as two surrogates of three bytes and reads it so; others use UTF-8.
/// In JSON everybody reads the escapes.
async fn emoji(by: ServedBy) {
    for (protobuf, kind, expected) in [
        (true, "js-websocket", CESU),
        (true, "c", "😀".as_bytes()),
        (false, "js-websocket", br"\uD83D\uDE00"),
        (false, "c", br"\uD83D\uDE00"),
    ] {
        let settings = json!({ "connector": { "useProtobuf": protobuf } });
        let cluster = by.setup().settings(&settings).start().await;
        let (mut reader, _) = enter_as(&cluster, "reader", "tea", &Hello::of_type(kind)).await;
        let mut writer = enter(&cluster, "writer", "tea", &["reader", "writer"]).await;
        reader.push("onAdd").await;
        // Written as the old client does, and as everybody else does.
        for (id, emoji) in [(1000, CESU), (1001, "😀".as_bytes())] {
            let plain = json!({ "content": "MARK", "target": "reader" });
            let package = writer.request_package(id, SEND, plain);
            let place = package.windows(4).position(|window| window == b"MARK").unwrap();
            let mut message = [&package[4..place], emoji, &package[place + 4..]].concat();
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            message.splice(..0, [4, length[1], length[2], length[3]]);
            writer.send(&message).await;
            assert_eq!(writer.response(id).await, json!({}));
            let body = raw_push(&mut reader).await;
            assert!(
                contains(&body, expected),
                "{kind}, protobuf {protobuf}: {}",
                body.escape_ascii()
            );
            assert!(contains(&body, b"writer"), "{}", body.escape_ascii());
        }
    }
}

/// What the original hands out: codes and schemas, and pushes that use both.
async fn codes_and_schemas(by: ServedBy) {
    let cluster = by.setup().start().await;
    let mut first = cluster.open("connector-server-1", Transport::WebSocket).await;
    let told = first.log_in(&Hello::default()).await;
    let sys = &told["sys"];
    let routes = json!({ "chat.chatHandler.send": 1, "connector.entryHandler.enter": 2, "gate.gateHandler.queryEntry": 3 });
    assert_eq!((&sys["dict"], &sys["routeToCode"]), (&routes, &routes));
    assert_eq!((&sys["useDict"], &sys["useProto"]), (&json!(true), &json!(true)));
    assert_eq!(
        sys["protos"]["server"]["onChat"]["msg"],
        json!({ "option": "required", "type": "string", "tag": 1 })
    );
    // Who knows them is not told again, and understands all the same.
    let versions = json!({
        "type": "x", "version": "1", "dictVersion": sys["dictVersion"], "protoVersion": sys["protos"]["version"],
    });
    let hello = Hello {
        sys: versions,
        user: json!({}),
    };
    let mut second = cluster.open("connector-server-1", Transport::WebSocket).await;
    let told_again = second.log_in(&hello).await;
    assert_eq!(
        told_again["sys"],
        json!({ "heartbeat": 3, "useDict": true, "useProto": true })
    );
    second.dictionary().clone_from(first.dictionary());
    let answer = second
        .request(ENTER, json!({ "username": "bob", "rid": "tea" }))
        .await;
    assert_eq!(answer, json!({ "users": ["bob"] }));
    second
        .notify(SEND, json!({ "content": "hi", "target": "*" }))
        .await;
    // Three fields, in whichever order a script's table has them.
    let body = raw_push(&mut second).await;
    for field in [&b"\x0a\x02hi"[..], b"\x12\x03bob", b"\x1a\x01*"] {
        assert!(contains(&body, field), "{}", body.escape_ascii());
    }
    assert_eq!(body.len(), 12);

    // The gate hands out schemas and no codes, as the original's.
    let mut gate = cluster.open("gate-server-1", Transport::WebSocket).await;
    let told = gate.log_in(&Hello::default()).await;
    let keys: Vec<_> = told["sys"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys, ["protos", "useProto"]);
}
