//! Packages: one byte of type, three bytes of length (big-endian), a body.
//!
//! Over TCP they follow each other as they are; over WebSocket each message holds one or more. What a package means
//! in the state its connection is in is not said here: that is the connector's, which calls this from both framings.

use crate::Error;
use bytes::{Buf, Bytes, BytesMut};

/// The type and the length.
const HEADER: usize = 4;
/// What three bytes of length can say.
const LONGEST: usize = 0xff_ffff;

/// The kinds of package; the numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PackageKind {
    /// Request and response of the handshake.
    Handshake = 1,
    /// The client has read the handshake's response.
    HandshakeAck = 2,
    /// Both sides send it, empty.
    Heartbeat = 3,
    /// A [`crate::Message`].
    Data = 4,
    /// The server's good-bye.
    Kick = 5,
}

impl PackageKind {
    fn from_byte(byte: u8) -> Result<Self, Error> {
        Ok(match byte {
            1 => Self::Handshake,
            2 => Self::HandshakeAck,
            3 => Self::Heartbeat,
            4 => Self::Data,
            5 => Self::Kick,
            other => return Err(Error::UnknownPackageKind(other)),
        })
    }
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// What it is.
    pub kind: PackageKind,
    /// What it carries.
    pub body: Bytes,
}

impl Package {
    /// Takes the next package from a stream; `None` until all of it is there.
    ///
    /// # Errors
    /// A type that does not exist, or a body of more than `max_body` bytes: as soon as the header says so.
    pub fn decode(stream: &mut BytesMut, max_body: usize) -> Result<Option<Self>, Error> {
        let Some((&byte, _)) = stream.split_first() else {
            return Ok(None);
        };
        let kind = PackageKind::from_byte(byte)?;
        let Some(length) = length(stream, max_body)? else {
            return Ok(None);
        };
        if stream.len() < HEADER + length {
            return Ok(None);
        }
        stream.advance(HEADER);
        Ok(Some(Self {
            kind,
            body: stream.split_to(length).freeze(),
        }))
    }

    /// Takes the next package from a WebSocket message; `None` at its end. A body shorter than announced is taken as it
    /// is, as the original takes it (and fills it up with zeros).
    ///
    /// # Errors
    /// A type that does not exist, a header that is cut, or a body of more than `max_body` bytes.
    pub fn decode_frame(frame: &mut Bytes, max_body: usize) -> Result<Option<Self>, Error> {
        let Some((&byte, _)) = frame.split_first() else {
            return Ok(None);
        };
        let kind = PackageKind::from_byte(byte)?;
        let length = length(frame, max_body)?.ok_or(Error::Truncated("a package's header"))?;
        frame.advance(HEADER);
        let body = frame.split_to(length.min(frame.len()));
        Ok(Some(Self { kind, body }))
    }
}

/// The length that a header announces, if the header is there.
fn length(bytes: &[u8], max_body: usize) -> Result<Option<usize>, Error> {
    let [_, a, b, c, ..] = *bytes else { return Ok(None) };
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if length > max_body {
        return Err(Error::PackageTooLarge {
            length,
            limit: max_body,
        });
    }
    Ok(Some(length))
}

/// Appends a package.
///
/// # Errors
/// A body that three bytes of length cannot announce.
pub fn encode_package(dst: &mut BytesMut, kind: PackageKind, body: &[u8]) -> Result<(), Error> {
    encode_header(dst, kind, body.len())?;
    dst.extend_from_slice(body);
    Ok(())
}

/// Appends a header and makes room for the body; nothing if the body is too long.
pub(crate) fn encode_header(dst: &mut BytesMut, kind: PackageKind, length: usize) -> Result<(), Error> {
    if length > LONGEST {
        return Err(Error::PackageTooLarge {
            length,
            limit: LONGEST,
        });
    }
    dst.reserve(HEADER + length);
    // Three bytes: checked above.
    let [.., a, b, c] = length.to_be_bytes();
    dst.extend_from_slice(&[kind as u8, a, b, c]);
    Ok(())
}
