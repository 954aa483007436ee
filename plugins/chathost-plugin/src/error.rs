//! What goes wrong, and who is told.

use std::fmt;

/// The outcome of most things here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a handler, or of something that it asked its server for.
///
/// [`Error::new`] makes one that is meant for whoever asked: a client gets `{"code":404,"message":"…"}`, another server
/// an error with that code. Any other error turns into one by `?`, and is nobody's business: it is logged, and a client
/// gets `{"code":500}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: i64,
    message: String,
    meant: bool,
}

impl Error {
    /// For whoever asked: a code of at least 1 and a sentence.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code: code.max(1),
            message: message.into(),
            meant: true,
        }
    }

    /// For the log: something that should not happen.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::host(500, message.into())
    }

    pub(crate) fn host(code: i64, message: String) -> Self {
        Self {
            code,
            message,
            meant: false,
        }
    }

    /// `404`, what [`Error::new`] was given, or what the server said.
    pub fn code(&self) -> i64 {
        self.code
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// As the host wants it: what nobody meant is negative.
    pub(crate) fn status(&self) -> i64 {
        if self.meant { self.code } else { -self.code }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

// Not an `Error` itself, so that every one becomes one.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::internal(error.to_string())
    }
}
