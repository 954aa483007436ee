//! Pomelo's wire: package, message, handshake, dictionary, protobuf. No IO, no clock, no tokio.
//!
//! ```
//! use bytes::BytesMut;
//! use pomelo_protocol::{Message, Package, RouteRef, encode_push};
//!
//! let mut wire = BytesMut::new();
//! encode_push(&mut wire, RouteRef::Name("onChat"), br#"{"msg":"hi"}"#).unwrap();
//! let package = Package::decode(&mut wire, 64 * 1024).unwrap().unwrap();
//! let message = Message::decode(package.body).unwrap();
//! assert_eq!(&message.body[..], br#"{"msg":"hi"}"#);
//! ```
//!
//! A connection carries *packages* ([`package`]); a data package carries a *message* ([`message`]); its body is JSON
//! ([`text`]) or Pomelo's dialect of protocol buffers ([`protobuf`]). Incomplete input is `Ok(None)`, never an error;
//! wrong input is an [`Error`], never a panic, and a length it announces is checked before anything is allocated for it.

pub mod dictionary;
pub mod error;
pub mod handshake;
pub mod message;
pub mod package;
pub mod protobuf;
pub mod text;

pub use dictionary::Dictionary;
pub use error::{Error, MessageError};
pub use handshake::{HandshakeRequest, HandshakeResponse};
pub use message::{
    Message, MessageKind, MessageRoute, RouteName, RouteRef, encode_notify, encode_push, encode_request,
    encode_response,
};
pub use package::{Package, PackageKind, encode_package};
pub use protobuf::{Astral, Protos, Schema};
