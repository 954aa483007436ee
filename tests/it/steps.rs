//! Calls of the API that scripts see, made through a socket: the fixture `steps` runs them in a handler.

use chathost_tests::{Client, Setup};
use serde_json::{Value, json};

/// `connector-1`, `chat-1` and `gate-1` with the handlers of the fixture.
pub(crate) fn setup() -> Setup {
    Setup::connector("")
        .servers("chat", 1)
        .servers("gate", 1)
        .fixture("steps")
}

/// Calls within one request on a server of this type; for each the list of its results, or `{ error }`.
pub(crate) async fn steps(client: &mut Client, server_type: &str, steps: Value) -> Vec<Value> {
    let route = format!("{server_type}.labHandler.steps");
    let mut answer = client.request(&route, json!({ "steps": steps })).await;
    match answer["outcomes"].take() {
        Value::Array(outcomes) => outcomes,
        _ => panic!("{steps}: {answer}"),
    }
}

/// One call; the list of its results, or `{ error }`.
pub(crate) async fn step(client: &mut Client, server_type: &str, step: Value) -> Value {
    steps(client, server_type, json!([step])).await.remove(0)
}

/// The `code` and the `message` that a call raised.
pub(crate) fn raised(outcome: &Value) -> (i64, &str) {
    let error = &outcome["error"];
    let code = error["code"]
        .as_i64()
        .unwrap_or_else(|| panic!("{outcome} is no error with a code"));
    (code, error["message"].as_str().unwrap_or_default())
}
