//! Messages: a flag byte, an id where somebody answers, a route where one is named, a body.
//!
//! The flag is `type << 1`, with bit 0 for a route that is a dictionary code and bit 4 for a body that is compressed.
//! Ids are base-128 numbers, the low seven bits first. A response has no route: the client finds it by the id.
//!
//! Nothing here knows what a code stands for ([`crate::Dictionary`]) or reads a body. The connector calls it for every
//! message, so reading copies nothing and writing takes no memory but its destination's.

use crate::{
    Error, MessageError,
    package::{self, PackageKind},
    text::decode_text,
};
use bytes::{Buf, Bytes, BytesMut};
use std::{borrow::Cow, fmt};

/// Ids above this are not whole numbers any more in JavaScript.
const LARGEST_ID: u64 = 1 << 53;
const CODED_ROUTE: u8 = 0x01;
const GZIP: u8 = 0x10;

/// The kinds of message; the numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageKind {
    /// Wants an answer.
    Request = 0,
    /// Wants none.
    Notify = 1,
    /// The answer.
    Response = 2,
    /// The server's own word.
    Push = 3,
}

impl MessageKind {
    fn from_flag(flag: u8) -> Result<Self, Error> {
        Ok(match (flag >> 1) & 0x07 {
            0 => Self::Request,
            1 => Self::Notify,
            2 => Self::Response,
            3 => Self::Push,
            other => return Err(Error::UnknownMessageKind(other)),
        })
    }

    fn has_id(self) -> bool {
        matches!(self, Self::Request | Self::Response)
    }

    fn has_route(self) -> bool {
        self != Self::Response
    }
}

/// A route as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageRoute {
    /// Written out.
    Name(RouteName),
    /// A code of the dictionary.
    Code(u16),
    /// A response has none.
    None,
}

/// A route's text, still in the bytes it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct RouteName(Bytes);

impl RouteName {
    /// The route.
    pub fn as_str(&self) -> &str {
        // Valid since it was made.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn new(bytes: Bytes) -> Self {
        match decode_text(&bytes) {
            Cow::Borrowed(_) => Self(bytes),
            Cow::Owned(repaired) => Self(repaired.into()),
        }
    }
}

impl fmt::Debug for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A route to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteRef<'a> {
    /// Written out.
    Name(&'a str),
    /// A code of the dictionary.
    Code(u16),
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The number of the request; 0 for what has none.
    pub id: u64,
    /// What it is.
    pub kind: MessageKind,
    /// What it is about.
    pub route: MessageRoute,
    /// The body is compressed. No client of Pomelo does it.
    pub gzip: bool,
    /// JSON, or protobuf where the route has a schema.
    pub body: Bytes,
}

impl Message {
    /// Reads the message of a data package. Copies nothing, unless a route has to be repaired.
    ///
    /// # Errors
    /// Bytes that are no message, with the request's id if that much could be read.
    pub fn decode(mut bytes: Bytes) -> Result<Self, MessageError> {
        let failed = |id, error| MessageError { id, error };
        let truncated = Error::Truncated("a message");
        let flag = bytes.try_get_u8().map_err(|_| failed(None, truncated.clone()))?;
        let kind = MessageKind::from_flag(flag).map_err(|error| failed(None, error))?;
        let id = if kind.has_id() {
            decode_id(&mut bytes).map_err(|error| failed(None, error))?
        } else {
            0
        };
        let owed = (kind == MessageKind::Request).then_some(id);
        let route = if !kind.has_route() {
            MessageRoute::None
        } else if flag & CODED_ROUTE != 0 {
            MessageRoute::Code(bytes.try_get_u16().map_err(|_| failed(owed, truncated))?)
        } else {
            let length = usize::from(bytes.try_get_u8().map_err(|_| failed(owed, truncated.clone()))?);
            if length > bytes.len() {
                return Err(failed(owed, truncated));
            }
            MessageRoute::Name(RouteName::new(bytes.split_to(length)))
        };
        Ok(Self {
            id,
            kind,
            route,
            gzip: flag & GZIP != 0,
            body: bytes,
        })
    }

    /// Appends the message, as the body of a data package without its header. For tests and tools: a server writes
    /// with [`encode_push`] and [`encode_response`].
    ///
    /// # Errors
    /// A route that is too long.
    pub fn encode(&self, dst: &mut BytesMut) -> Result<(), Error> {
        let route = match &self.route {
            MessageRoute::Name(name) => RouteRef::Name(name.as_str()),
            MessageRoute::Code(code) => RouteRef::Code(*code),
            MessageRoute::None => RouteRef::Name(""),
        };
        dst.reserve(head_length(self.kind, self.id, route)? + self.body.len());
        let start = dst.len();
        encode_head(dst, self.kind, self.id, route);
        if let Some(flag) = dst.get_mut(start).filter(|_| self.gzip) {
            *flag |= GZIP;
        }
        dst.extend_from_slice(&self.body);
        Ok(())
    }
}

/// Appends the data package of a push.
///
/// # Errors
/// A route of more than 255 bytes, or a body that no package can hold; then nothing was written.
pub fn encode_push(dst: &mut BytesMut, route: RouteRef<'_>, body: &[u8]) -> Result<(), Error> {
    encode_data(dst, MessageKind::Push, 0, route, body)
}

/// Appends the data package of a response.
///
/// # Errors
/// A body that no package can hold; then nothing was written.
pub fn encode_response(dst: &mut BytesMut, id: u64, body: &[u8]) -> Result<(), Error> {
    encode_data(dst, MessageKind::Response, id, RouteRef::Name(""), body)
}

/// Appends the data package of a request: what clients send.
///
/// # Errors
/// As [`encode_push`].
pub fn encode_request(dst: &mut BytesMut, id: u64, route: RouteRef<'_>, body: &[u8]) -> Result<(), Error> {
    encode_data(dst, MessageKind::Request, id, route, body)
}

/// Appends the data package of a notify: what clients send.
///
/// # Errors
/// As [`encode_push`].
pub fn encode_notify(dst: &mut BytesMut, route: RouteRef<'_>, body: &[u8]) -> Result<(), Error> {
    encode_data(dst, MessageKind::Notify, 0, route, body)
}

/// Everything that can fail comes before the first byte, so a failure leaves nothing half-written.
fn encode_data(
    dst: &mut BytesMut,
    kind: MessageKind,
    id: u64,
    route: RouteRef<'_>,
    body: &[u8],
) -> Result<(), Error> {
    let length = head_length(kind, id, route)? + body.len();
    package::encode_header(dst, PackageKind::Data, length)?;
    encode_head(dst, kind, id, route);
    dst.extend_from_slice(body);
    Ok(())
}

/// The bytes in front of the body.
fn head_length(kind: MessageKind, id: u64, route: RouteRef<'_>) -> Result<usize, Error> {
    let route = match route {
        _ if !kind.has_route() => 0,
        RouteRef::Code(_) => 2,
        RouteRef::Name(name) if name.len() > usize::from(u8::MAX) => {
            return Err(Error::RouteTooLong(name.len()));
        }
        RouteRef::Name(name) => 1 + name.len(),
    };
    Ok(1 + if kind.has_id() { id_length(id) } else { 0 } + route)
}

/// Only for a route of which [`head_length`] knows that it fits.
fn encode_head(dst: &mut BytesMut, kind: MessageKind, id: u64, route: RouteRef<'_>) {
    let coded = kind.has_route() && matches!(route, RouteRef::Code(_));
    dst.extend_from_slice(&[(kind as u8) << 1 | u8::from(coded)]);
    if kind.has_id() {
        encode_id(dst, id);
    }
    match route {
        _ if !kind.has_route() => {}
        RouteRef::Code(code) => dst.extend_from_slice(&code.to_be_bytes()),
        RouteRef::Name(name) => {
            dst.extend_from_slice(&[name.len() as u8]);
            dst.extend_from_slice(name.as_bytes());
        }
    }
}

fn encode_id(dst: &mut BytesMut, mut id: u64) {
    while id >= 0x80 {
        dst.extend_from_slice(&[(id & 0x7f) as u8 | 0x80]);
        id >>= 7;
    }
    dst.extend_from_slice(&[id as u8]);
}

fn id_length(id: u64) -> usize {
    // Seven bits a byte, and at least one byte.
    (64 - (id | 1).leading_zeros() as usize).div_ceil(7)
}

fn decode_id(bytes: &mut Bytes) -> Result<u64, Error> {
    let mut id = 0_u64;
    // Eight bytes hold 56 bits; the largest id has 54.
    for place in 0..8 {
        let byte = bytes.try_get_u8().map_err(|_| Error::Truncated("a request id"))?;
        id |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return if id > LARGEST_ID {
                Err(Error::IdTooLarge)
            } else {
                Ok(id)
            };
        }
    }
    Err(Error::IdTooLarge)
}
