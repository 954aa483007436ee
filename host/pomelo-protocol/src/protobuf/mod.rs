//! Pomelo's dialect of protocol buffers.
//!
//! Schemas are JSON (`"required string msg": 1`). What differs from Google's: `int32` is zigzag like `sInt32`; a
//! repeated number has one tag, then the *count* of elements; fields are written in the order of the input; a tag that
//! is not in the schema is an error.
//!
//! A message goes from JSON text to bytes and back without a value in between.

mod decode;
mod encode;
mod schema;

pub use encode::Astral;
pub use schema::Schema;

use crate::Error;
use base64::{Engine, prelude::BASE64_STANDARD};

/// Messages in messages: in a schema, and in what is read and written, because a schema may contain itself.
const MAX_DEPTH: usize = 32;

/// Both directions: `serverProtos.json` for what the server sends, `clientProtos.json` for what clients send.
#[derive(Debug)]
pub struct Protos {
    /// What the server sends.
    pub server: Schema,
    /// What clients send.
    pub client: Schema,
    version: String,
    json: String,
}

impl Protos {
    /// Reads both files. An empty text is an empty schema.
    ///
    /// # Errors
    /// The first thing in one of them that is not the grammar: file, message, field, cause.
    pub fn new(server: &str, client: &str) -> Result<Self, Error> {
        let server = Schema::parse(server).map_err(|error| in_file("serverProtos.json", &error))?;
        let client = Schema::parse(client).map_err(|error| in_file("clientProtos.json", &error))?;
        let version = BASE64_STANDARD.encode(*md5::compute(format!("{}{}", client.json(), server.json())));
        let json = format!(
            "{{\"server\":{},\"client\":{},\"version\":{}}}",
            server.json(),
            client.json(),
            serde_json::Value::from(version.as_str()),
        );
        Ok(Self {
            server,
            client,
            version,
            json,
        })
    }

    /// base64 of the MD5 of both.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the handshake sends: both schemas as clients want them, parsed.
    pub fn json(&self) -> &str {
        &self.json
    }
}

fn in_file(file: &str, error: &Error) -> Error {
    Error::Schema(format!("{file}: {error}"))
}
