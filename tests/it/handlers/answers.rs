//! Every way in which a handler answers, and every way in which it does not.

use chathost_tests::{Client, Setup, within};
use serde_json::{Value, json};

async fn client(setup: Setup) -> (chathost_tests::Cluster, Client) {
    let cluster = setup.fixture("answers").start().await;
    let client = cluster.client("connector-1").await;
    (cluster, client)
}

async fn ask(client: &mut Client, method: &str) -> Value {
    client
        .request(&format!("connector.labHandler.{method}"), json!({}))
        .await
}

#[tokio::test]
async fn answers() {
    let (_cluster, mut client) = client(Setup::connector("")).await;
    let unhandled = json!({ "code": 500 });
    for (method, answer) in [
        ("value", json!({ "a": 1 })),
        ("text", json!("text")),
        ("list", json!([1, "two", { "three": 3 }])),
        ("no", json!(false)),
        ("nothing", json!({})),
        ("two", json!({ "first": true })),
        // A raised table with a code is the answer; anything else is none of the client's business.
        (
            "raises",
            json!({ "code": 404, "message": "not here", "more": [1, 2] }),
        ),
        ("raisesWithoutCode", unhandled.clone()),
        ("raisesText", unhandled.clone()),
        ("raisesNil", unhandled.clone()),
        ("indexesNil", unhandled.clone()),
        ("returnsFunction", unhandled.clone()),
        ("returnsCircle", unhandled.clone()),
        ("failsInCoroutine", unhandled.clone()),
        // Pomelo's way.
        ("next", json!({ "a": 1 })),
        ("nextNothing", json!({})),
        ("nextLater", json!({ "later": true })),
        ("nextAfterWaiting", json!({ "waited": true })),
        ("nextTwice", json!({ "n": 1 })),
        ("nextError", unhandled.clone()),
        ("nextErrorWithAnswer", json!({ "code": 500, "note": "failed" })),
        ("nextErrorWithCode", json!({ "code": 418, "note": "failed" })),
        ("nextErrorTable", json!({ "code": 409, "message": "taken" })),
        ("throwsBeforeNext", unhandled.clone()),
        ("returnsAndNext", json!({ "by": "next" })),
        ("nosuch", unhandled),
    ] {
        assert_eq!(ask(&mut client, method).await, answer, "{method}");
    }
    assert_eq!(client.unasked(), [], "each is answered once");
}

/// No answer within the deadline is a 504; a session that waits for it waits alone.
#[tokio::test]
async fn deadline() {
    let settings = json!({ "connector": { "script": { "deadlineSeconds": 1 } } });
    let (cluster, mut other) = client(Setup::connector("").settings(&settings)).await;
    let mut waiting = Vec::new();
    for method in ["silent", "sleeps", "yieldsForEver"] {
        let mut client = cluster.client("connector-1").await;
        let id = client
            .ask(&format!("connector.labHandler.{method}"), json!({}))
            .await;
        waiting.push((method, client, id));
    }
    assert_eq!(ask(&mut other, "value").await, json!({ "a": 1 }));
    for (method, mut client, id) in waiting {
        let answer = json!({ "code": 504, "message": "no answer within the time limit" });
        assert_eq!(client.response(id).await, answer, "{method}");
        // The session goes on.
        assert_eq!(ask(&mut client, "value").await, json!({ "a": 1 }));
    }
}

/// Whatever a script uses too much of, its call is a 503, and nobody else has any harm from it.
#[tokio::test]
async fn over_budget() {
    let settings = json!({ "connector": { "script": { "callMs": 100, "memoryMb": 16 } } });
    let (cluster, mut client) = client(Setup::connector("").settings(&settings)).await;
    let mut other = cluster.client("connector-1").await;
    for method in [
        "loops",
        "loopsProtected",
        "loopsInCoroutine",
        "eats",
        "eatsInAVisit",
        "keepsWhatTheHostMakes",
        "pushesToAChannel",
        "pushesToUids",
        "answersTooMuch",
    ] {
        let id = client
            .ask(&format!("connector.labHandler.{method}"), json!({}))
            .await;
        let harmless = within("the others", ask(&mut other, "value")).await;
        assert_eq!(harmless, json!({ "a": 1 }), "{method}");
        let answer = json!({ "code": 503, "message": "the handler took more than it may" });
        assert_eq!(client.response(id).await, answer, "{method}");
        assert_eq!(ask(&mut client, "value").await, json!({ "a": 1 }));
    }
}

/// Messages fill a VM, too. One that has no room left for the next message begins anew.
#[tokio::test]
async fn a_full_memory() {
    let settings = json!({
        "connector": {
            "script": { "memoryMb": 16 },
            "limits": { "messagesPerSecond": 100_000, "burst": 100_000 },
        },
    });
    let (_cluster, mut client) = client(Setup::connector("").settings(&settings)).await;
    // No metamethod is asked what a filter is.
    assert_eq!(ask(&mut client, "filters").await["code"], 500);
    let text = "x".repeat(50_000);
    let (mut counts, mut refused) = (Vec::new(), 0);
    for n in 0..600 {
        let body = json!({ "text": format!("{n} {text}") });
        let answer = client.request("connector.labHandler.remembers", body).await;
        match answer["count"].as_u64() {
            Some(count) => counts.push(count),
            None => {
                assert_eq!(answer["code"], 503, "{answer}");
                refused += 1;
            }
        }
    }
    assert!(counts.contains(&100), "{counts:?}");
    assert!((1..=8).contains(&refused), "{refused} of 600 were refused");
    assert_eq!(ask(&mut client, "value").await, json!({ "a": 1 }));
}

/// A notify runs the handler and is never answered, whatever it comes to.
#[tokio::test]
async fn notifies() {
    let (_cluster, mut client) = client(Setup::connector("")).await;
    for method in [
        "value",
        "raises",
        "raisesText",
        "next",
        "nextLater",
        "nextError",
        "nosuch",
    ] {
        client
            .notify(&format!("connector.labHandler.{method}"), json!({}))
            .await;
    }
    assert_eq!(ask(&mut client, "value").await, json!({ "a": 1 }));
    assert_eq!(client.unasked(), []);
}

/// What a script catches is a text or a `{ code, message }`, whoever raised it: it can be written to the log and joined
/// to other text.
#[tokio::test]
async fn caught_errors() {
    let script = r#"
        local labHandler = {}
        function labHandler.caught(msg, session)
          local function tries()
            return {
              misuse = function() session:on("gone", "f") end,
              argument = function() session:get({}) end,
              dot = function() session.get("rid") end,
              other = function() session.get(app.channelService:createChannel("room"), "rid") end,
              waiting = function() session:bind({}) end,
              own = function() error("own", 0) end,
              answer = function() error { code = 404, message = "not here" } end,
            }
          end
          local caught = {}
          for name, try in tries() do
            local _, a = pcall(try)
            local _, b = xpcall(try, function(raised) return raised end)
            local _, c = coroutine.resume(coroutine.create(try))
            local _, d = pcall(coroutine.wrap(try))
            local kinds = json.array {}
            for place, raised in { a, b, c, d } do
              kinds[place] = type(raised)
              log.info(raised)
            end
            caught[name] = { kinds = kinds, text = if type(a) == "table" then a.message else "it said: " .. a }
          end
          return caught
        end
        return { labHandler = labHandler }"#;
    let cluster = Setup::connector(script).start().await;
    let mut client = cluster.client("connector-1").await;
    let caught = ask(&mut client, "caught").await;
    let (texts, tables) = (
        json!(["string", "string", "string", "string"]),
        json!(["table", "table", "table", "table"]),
    );
    for (name, kinds, text) in [
        (
            "misuse",
            &texts,
            "it said: there is no event gone: bind, unbind or closed",
        ),
        ("argument", &texts, "it said: "),
        ("dot", &texts, "it said: a method is called with a colon"),
        ("other", &texts, "it said: a method is called with a colon"),
        ("waiting", &tables, "a uid is a string or a number, not table"),
        ("own", &texts, "it said: own"),
        ("answer", &tables, "not here"),
    ] {
        assert_eq!(caught[name]["kinds"], *kinds, "{name}: {caught}");
        let is = caught[name]["text"].as_str().unwrap();
        assert!(is.starts_with(text), "{name}: {is}");
    }
}
