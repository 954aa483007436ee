//! Why a connection ended.

use std::fmt;

/// The reasons, with the numbers that logs show. A number never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said good-bye.
    ClientClosed = 1,
    /// The network ended it, without a word.
    ConnectionLost = 2,
    /// A handler, an operator or the attack check kicked the session.
    Kicked = 3,
    /// The handshake was refused: no `sys`, `checkClient` or the user's callback said no.
    HandshakeRefused = 4,
    /// No handshake, or no ack to it, in time.
    HandshakeTimeout = 5,
    /// Heartbeats are configured and none came.
    HeartbeatTimeout = 6,
    /// No heartbeats are configured and nothing came.
    IdleTimeout = 7,
    /// Bytes that are no package, or a package that no client may send.
    Malformed = 8,
    /// A package announced a body over the limit.
    PackageTooLarge = 9,
    /// More messages than the rate and its burst allow, after the warnings (429) went unheard.
    TooManyMessages = 10,
    /// The client reads slower than it is sent to, and its outbox is full.
    OutboxFull = 11,
    /// The client reads nothing at all.
    WriteTimeout = 12,
    /// The server ends.
    ServerStopped = 13,
}

impl CloseReason {
    /// What scripts and logs see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client closed",
            Self::ConnectionLost => "connection lost",
            Self::Kicked => "kick",
            Self::HandshakeRefused => "handshake refused",
            Self::HandshakeTimeout => "handshake timeout",
            Self::HeartbeatTimeout => "heartbeat timeout",
            Self::IdleTimeout => "idle timeout",
            Self::Malformed => "malformed package",
            Self::PackageTooLarge => "package too large",
            Self::TooManyMessages => "too many messages",
            Self::OutboxFull => "outbox full",
            Self::WriteTimeout => "write timeout",
            Self::ServerStopped => "server stopped",
        }
    }

    /// The number in the log.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
