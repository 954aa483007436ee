//! The handshake: what a client says of itself, and what it is told.
//!
//! The response's keys stand in the order of the original's, and the dictionary stands in it twice, under its old name
//! and its new one. Whether a client may connect is not decided here; the connector's handshake asks and answers.

use crate::{Dictionary, Protos, text::escape_astral};
use serde_json::Value;
use std::borrow::Cow;

/// What a client sends first. Anything may be missing, and it may be no JSON at all: then it is as good as `{}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HandshakeRequest {
    message: Value,
}

impl HandshakeRequest {
    /// Reads the body of a handshake package.
    pub fn parse(body: &[u8]) -> Self {
        let message = serde_json::from_str(&crate::text::decode_text(body));
        Self {
            message: message.unwrap_or_else(|_| Value::Object(serde_json::Map::new())),
        }
    }

    /// The whole of it.
    pub fn message(&self) -> &Value {
        &self.message
    }

    /// Whether there is a `sys` that JavaScript takes for true. Without it the handshake fails.
    pub fn has_sys(&self) -> bool {
        match &self.message["sys"] {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(_) | Value::Object(_) => true,
        }
    }

    /// `js-websocket`, `c`, …
    pub fn client_type(&self) -> &Value {
        &self.message["sys"]["type"]
    }

    /// The client's version.
    pub fn client_version(&self) -> &Value {
        &self.message["sys"]["version"]
    }

    /// The public key of a client that signs its messages; `null` if it does not.
    pub fn rsa(&self) -> &Value {
        &self.message["sys"]["rsa"]
    }

    /// The version of the dictionary that it kept.
    pub fn dict_version(&self) -> &Value {
        &self.message["sys"]["dictVersion"]
    }

    /// The version of the protobuf schemas that it kept.
    pub fn proto_version(&self) -> &Value {
        &self.message["sys"]["protoVersion"]
    }

    /// Whether it is Pomelo's own JavaScript client, which reads and writes surrogates instead of UTF-8.
    pub fn is_js_websocket(&self) -> bool {
        self.client_type() == "js-websocket"
    }
}

/// What a client is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct HandshakeResponse<'a> {
    /// Seconds between heartbeats; without it the client sends none.
    pub heartbeat: Option<u32>,
    /// The route codes. Sent unless the client has this version.
    pub dictionary: Option<&'a Dictionary>,
    /// The protobuf schemas. Sent unless the client has this version.
    pub protos: Option<&'a Protos>,
    /// The user callback's JSON.
    pub user: Option<&'a [u8]>,
}

impl HandshakeResponse<'_> {
    /// No `sys`, or the user callback refused.
    pub const FAILED: &'static [u8] = br#"{"code":500}"#;
    /// `checkClient` refused.
    pub const OLD_CLIENT: &'static [u8] = br#"{"code":501}"#;

    /// The body of the handshake package for this client.
    pub fn encode(&self, request: &HandshakeRequest) -> Vec<u8> {
        let mut body = br#"{"code":200,"sys":"#.to_vec();
        let mut sys = Object::default();
        if let Some(heartbeat) = self.heartbeat {
            sys.entry(&mut body, "heartbeat", &heartbeat.to_string());
        }
        if let Some(dictionary) = self.dictionary {
            if request.dict_version() != dictionary.version() {
                sys.entry(&mut body, "dict", dictionary.route_to_code());
                sys.entry(&mut body, "routeToCode", dictionary.route_to_code());
                sys.entry(&mut body, "codeToRoute", dictionary.code_to_route());
                sys.entry(
                    &mut body,
                    "dictVersion",
                    &Value::from(dictionary.version()).to_string(),
                );
            }
            sys.entry(&mut body, "useDict", "true");
        }
        if let Some(protos) = self.protos {
            if request.proto_version() != protos.version() {
                sys.entry(&mut body, "protos", protos.json());
            }
            sys.entry(&mut body, "useProto", "true");
        }
        sys.end(&mut body);
        if let Some(user) = self.user {
            body.extend_from_slice(b",\"user\":");
            body.extend_from_slice(user);
        }
        body.push(b'}');
        // The old JavaScript client reads this like any text of ours: it knows no UTF-8 above U+FFFF.
        match escape_astral(&body) {
            Cow::Borrowed(_) => body,
            Cow::Owned(escaped) => escaped,
        }
    }
}

/// An object that is being written.
#[derive(Default)]
struct Object {
    begun: bool,
}

impl Object {
    /// `key` is one of ours, `value` is JSON.
    fn entry(&mut self, body: &mut Vec<u8>, key: &str, value: &str) {
        let before: &[u8] = if self.begun { b",\"" } else { b"{\"" };
        self.begun = true;
        for part in [before, key.as_bytes(), b"\":", value.as_bytes()] {
            body.extend_from_slice(part);
        }
    }

    fn end(self, body: &mut Vec<u8>) {
        body.extend_from_slice(if self.begun { b"}" } else { b"{}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerant() {
        for (body, sys) in [
            (&b"{\"sys\":{}}"[..], true),
            (b"{\"sys\":[]}", true),
            (b"{\"sys\":\"x\"}", true),
            (b"{\"sys\":0}", false),
            (b"{\"sys\":null}", false),
            (b"{\"sys\":\"\"}", false),
            (b"{}", false),
            (b"null", false),
            (b"[1]", false),
            (b"not json", false),
            (b"", false),
            (b"\xff", false),
        ] {
            assert_eq!(
                HandshakeRequest::parse(body).has_sys(),
                sys,
                "{}",
                body.escape_ascii()
            );
        }
    }

    #[test]
    fn a_version_that_is_known_is_not_sent() {
        let dictionary = Dictionary::new(["a.b.c".to_owned()], &[]);
        let response = HandshakeResponse {
            dictionary: Some(&dictionary),
            ..HandshakeResponse::default()
        };
        let known = format!(r#"{{"sys":{{"dictVersion":"{}"}}}}"#, dictionary.version());
        let body = response.encode(&HandshakeRequest::parse(known.as_bytes()));
        assert_eq!(body, br#"{"code":200,"sys":{"useDict":true}}"#);
    }

    #[test]
    fn every_client_can_read_it() {
        let response = HandshakeResponse {
            user: Some("{\"name\":\"😀\"}".as_bytes()),
            ..HandshakeResponse::default()
        };
        let body = response.encode(&HandshakeRequest::default());
        assert_eq!(body, br#"{"code":200,"sys":{},"user":{"name":"\uD83D\uDE00"}}"#);
    }
}
