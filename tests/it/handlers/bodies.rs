//! What a handler gets for the body that a client sends, and what a client gets for the value that a handler returns.

use chathost_tests::Setup;
use serde_json::{Value, json};

const SCRIPT: &str = r##"
local labHandler = {}

--- The body, without the route that handlers find in it.
function labHandler.echo(msg)
  if type(msg) == "table" then msg.__route__ = nil end
  return { echo = msg, type = type(msg) }
end

function labHandler.route(msg)
  return msg.__route__
end

--- An array is spread over the arguments.
function labHandler.spread(a, b, session)
  return { a = a, b = b, sid = session.id }
end

function labHandler.spreadNext(a, b, session, next)
  next(nil, { a = a, b = b, sid = session.id })
end

--- Declares what handlers declare, and gets less of an empty array.
function labHandler.usual(msg, session)
  return { second = session == nil }
end

function labHandler.count(...)
  return { count = select("#", ...) }
end

function labHandler.made()
  local emptied = json.array { 1 }
  table.remove(emptied)
  return {
    table = {}, array = json.array {}, emptied = emptied, null = json.null, holes = json.array { 1, nil, 3 },
    mixed = { 1, 2, x = 3 }, sparse = { [1] = "a", [3] = "c" }, nested = { json.array {}, {} },
    numbers = { 1, 1.5, 2 ^ 53, -0, 0 / 0, 1 / 0, 1e21 }, text = "tab\t quote\" 中 😀 \u{2028}",
  }
end

--- Takes the last element of a list that the client sent.
function labHandler.pop(msg)
  table.remove(msg.list)
  return { list = msg.list }
end

return { labHandler = labHandler }
"##;

#[tokio::test]
async fn bodies() {
    let cluster = Setup::connector(SCRIPT).start().await;
    let mut client = cluster.client("connector-1").await;
    let long = "x".repeat(20_000);
    // A null field is not there; a null in a list keeps its place.
    for (sent, back) in [
        (json!({}), json!({})),
        (
            json!({ "a": null, "b": [], "c": {}, "d": [1, null, 3], "e": [[]] }),
            json!({ "b": [], "c": {}, "d": [1, null, 3], "e": [[]] }),
        ),
        (
            json!({ "n": [0, -1, 0.1, 9_007_199_254_740_992_u64, 1e300] }),
            json!({ "n": [0, -1, 0.1, 9_007_199_254_740_992_u64, 1e300] }),
        ),
        (
            json!({ "中": "文", "😀": "\u{0}\u{7f}\"\\" }),
            json!({ "中": "文", "😀": "\u{0}\u{7f}\"\\" }),
        ),
        (json!({ "long": long }), json!({ "long": long })),
        (json!("text"), json!("text")),
        (json!(5), json!(5)),
        (json!(true), json!(true)),
        // What JavaScript takes for false is an empty body.
        (json!(null), json!({})),
        (json!(false), json!({})),
        (json!(0), json!({})),
        (json!(""), json!({})),
    ] {
        let answer = client.request("connector.labHandler.echo", sent.clone()).await;
        assert_eq!(answer["echo"], back, "{sent}");
    }
    let route = client.request("connector.labHandler.route", json!({})).await;
    assert_eq!(route, "connector.labHandler.route");
    let route = client.request("connector.route", json!({})).await;
    assert_eq!(
        route, "connector.labHandler.route",
        "whatever the client calls it"
    );
}

#[tokio::test]
async fn arrays_are_spread() {
    let cluster = Setup::connector(SCRIPT).start().await;
    let mut client = cluster.client("connector-1").await;
    for method in ["spread", "spreadNext"] {
        let route = format!("connector.labHandler.{method}");
        let answer = client.request(&route, json!([{ "x": 1 }, [2]])).await;
        assert_eq!(answer, json!({ "a": { "x": 1 }, "b": [2], "sid": 1 }), "{method}");
        let answer = client.request(&route, json!([null, "b"])).await;
        assert_eq!(answer, json!({ "b": "b", "sid": 1 }), "{method}");
    }
    let answer = client.request("connector.labHandler.usual", json!([])).await;
    assert_eq!(answer, json!({ "second": true }), "it does not wait for `next`");
    for (body, count) in [
        (json!([]), 1),
        (json!([1]), 2),
        (json!([1, null, null]), 4),
        (json!({}), 2),
    ] {
        let answer = client.request("connector.labHandler.count", body.clone()).await;
        assert_eq!(answer["count"], count, "{body}");
    }
}

#[tokio::test]
async fn what_scripts_make() {
    let cluster = Setup::connector(SCRIPT).start().await;
    let mut client = cluster.client("connector-1").await;
    let answer = client.request("connector.labHandler.made", json!({})).await;
    let expected = json!({
        "table": {}, "array": [], "emptied": [], "null": null, "holes": [1, null, 3],
        "mixed": { "1": 1, "2": 2, "x": 3 }, "sparse": { "1": "a", "3": "c" }, "nested": [[], {}],
        "numbers": [1, 1.5, 9_007_199_254_740_992_u64, 0, null, null, 1e21], "text": "tab\t quote\" 中 😀 \u{2028}",
    });
    assert_eq!(answer, expected);
    for (list, rest) in [
        (json!([1]), json!([])),
        (json!([1, 2]), json!([1])),
        (json!([]), json!([])),
    ] {
        let answer = client
            .request("connector.labHandler.pop", json!({ "list": list }))
            .await;
        assert_eq!(answer["list"], rest, "a list stays one when it is emptied");
    }
}

/// Bodies that are no JSON are empty ones; text in them is repaired.
#[tokio::test]
async fn no_json() {
    let cluster = Setup::connector(SCRIPT).start().await;
    let mut client = cluster.client("connector-1").await;
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for (id, body) in [&b"not json"[..], b"", b"{\"a\":", b"\xff\xfe", b"{} {}"]
        .into_iter()
        .enumerate()
    {
        let id = 1000 + id as u64;
        let mut package = client.request_package(id, "connector.labHandler.echo", json!({}));
        // `{}` stands at the end.
        package.truncate(package.len() - 2);
        package.extend_from_slice(body);
        let length = u32::try_from(package.len() - 4).unwrap().to_be_bytes();
        package[1..4].copy_from_slice(&length[1..]);
        client.send(&package).await;
        assert_eq!(
            client.response(id).await["echo"],
            json!({}),
            "{}",
            body.escape_ascii()
        );
    }
    // Too deep to be read: answered, and nothing more.
    let mut package = client.request_package(2000, "connector.labHandler.echo", json!({}));
    package.truncate(package.len() - 2);
    package.extend_from_slice(deep.as_bytes());
    let length = u32::try_from(package.len() - 4).unwrap().to_be_bytes();
    package[1..4].copy_from_slice(&length[1..]);
    client.send(&package).await;
    let answer: Value = client.response(2000).await;
    assert_eq!(answer, json!({ "code": 500 }));
}
