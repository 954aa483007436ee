//! How a call between servers fails, and what a client is told.
//!
//! A leaf. Protocol violations are `pomelo_protocol::Error`, the operator's mistakes [`crate::config`]'s errors.

use bytes::Bytes;
use serde::Serialize;
use std::fmt;

/// A call to another server (or to a service of this one) that did not come back with a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// What scripts see as `code`: one of the constants below, or what the remote raised.
    pub code: i64,
    /// A sentence for the log and for the script that called.
    pub message: String,
}

impl CallError {
    /// The remote function failed, or a service refused.
    pub const FAILED: i64 = 500;
    /// There is no server to send to, or it is gone.
    pub const NO_TARGET: i64 = 502;
    /// The queue to the server, or the number of calls that wait for it, is at its limit.
    pub const BUSY: i64 = 503;
    /// No answer within the timeout.
    pub const TIMEOUT: i64 = 504;

    /// An error with one of this type's codes.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The remote function failed, or a service refused.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Self::FAILED, message)
    }

    /// No server can take the call.
    pub fn no_target(message: impl Into<String>) -> Self {
        Self::new(Self::NO_TARGET, message)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

impl std::error::Error for CallError {}

/// What a client gets for its request.
#[derive(Debug, Clone)]
pub struct Reply {
    /// JSON.
    pub body: Bytes,
    /// Whether the handler failed. For filters and counters; the client reads the body.
    pub failed: bool,
}

impl Reply {
    /// What a handler returned.
    pub fn ok(body: Bytes) -> Self {
        Self { body, failed: false }
    }

    /// A handler that returned nothing: `{}`.
    pub fn empty() -> Self {
        Self::ok(Bytes::from_static(b"{}"))
    }

    /// Any error that nobody chose to explain: `{"code":500}`, byte for byte the original's.
    pub fn unhandled() -> Self {
        Self {
            body: Bytes::from_static(b"{\"code\":500}"),
            failed: true,
        }
    }

    /// An error that the client is told about: `{"code":…,"message":…}`.
    pub fn error(code: i64, message: &str) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            code: i64,
            message: &'a str,
        }
        let body = serde_json::to_vec(&Body { code, message }).unwrap_or_else(|_| b"{\"code\":500}".to_vec());
        Self {
            body: body.into(),
            failed: true,
        }
    }

    /// The answer for a call that never reached its handler, or never came back from it.
    pub fn from_call_error(error: &CallError) -> Self {
        match error.code {
            CallError::BUSY => Self::error(503, "the server is busy, try again"),
            CallError::TIMEOUT => Self::error(504, "no answer within the time limit"),
            CallError::FAILED | CallError::NO_TARGET => Self::unhandled(),
            // A remote's own `error { code, message }`, which its caller did not catch.
            code => Self::error(code, &error.message),
        }
    }
}
