//! What can be wrong with a peer's bytes, or with what is to become bytes.
//!
//! A leaf. What happens to the connection is not said here: `chathost-core` maps these to the reasons for closing it.

/// A violation of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A package of none of the five kinds.
    #[error("unknown package type {0}")]
    UnknownPackageKind(u8),
    /// A package announces more than it may carry.
    #[error("a package of {length} bytes, where at most {limit} are allowed")]
    PackageTooLarge {
        /// What its header says.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// It ends before it should.
    #[error("{0} ends too early")]
    Truncated(&'static str),
    /// A message of none of the four kinds.
    #[error("unknown message type {0}")]
    UnknownMessageKind(u8),
    /// A request id that JavaScript cannot count to.
    #[error("a request id above 2^53")]
    IdTooLarge,
    /// One byte holds the length of a route.
    #[error("a route of {0} bytes, where at most 255 fit")]
    RouteTooLong(usize),
    /// A body that does not fit its schema.
    #[error("protobuf: {0}")]
    Protobuf(String),
    /// A schema that makes no sense: which message and field, and why.
    #[error("{0}")]
    Schema(String),
}

/// A message that cannot be read, and the request id if that much could be: who asked is owed an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct MessageError {
    /// The id of the request.
    pub id: Option<u64>,
    /// What is wrong.
    pub error: Error,
}
