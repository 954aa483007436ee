//! How bytes look on one connection: framing, dictionary, protobuf; pinned when the client shook hands.
//!
//! Connections that look alike share one [`Wire`], so a push is encoded once per wire and its bytes are shared by all
//! ([`super::PushEncoder`]).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pomelo_protocol::{
    Astral, Dictionary, Error, Message, MessageRoute, PackageKind, Protos, RouteRef, text,
};
use std::{borrow::Cow, cell::RefCell, rc::Rc, sync::Arc};

/// Room in front of a package for the longest header of a server's WebSocket frame.
const HEADROOM: usize = 10;

/// The tables that a handshake hands out.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// Route codes; `None` without `useDict`.
    pub dictionary: Option<Arc<Dictionary>>,
    /// Protobuf schemas; `None` without `useProtobuf`.
    pub protos: Option<Arc<Protos>>,
}

/// What packages are wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each in a binary WebSocket message.
    WebSocket,
    /// As they are.
    Tcp,
}

/// One form of the wire.
#[derive(Debug)]
pub struct Wire {
    framing: Framing,
    tables: Tables,
    /// How protobuf strings hold emoji: Pomelo's own JavaScript client cannot read their UTF-8.
    astral: Astral,
}

impl Wire {
    /// What the handshake handed out.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// The route of a client's message; `None` if its code is in no dictionary of this connection.
    pub(super) fn route<'a>(&'a self, message: &'a Message) -> Option<Cow<'a, str>> {
        match &message.route {
            MessageRoute::Name(name) => Some(name.as_str().into()),
            MessageRoute::Code(code) => self.tables.dictionary.as_ref()?.route(*code).map(Cow::from),
            MessageRoute::None => None,
        }
    }

    /// The body of a client's message as JSON.
    pub(super) fn decode_body(&self, route: &str, body: Bytes) -> Result<Bytes, Error> {
        match &self.tables.protos {
            Some(protos) if protos.client.has(route) => Ok(protos.client.decode(route, &body)?.into()),
            _ => Ok(text::normalize_json_text(body)),
        }
    }

    /// A response. It carries no route, but the route of the request decides whether it is protobuf.
    pub(super) fn encode_response(&self, id: u64, route: &str, body: &[u8]) -> Result<BytesMut, Error> {
        let body = self.encode_body(route, body);
        self.frame(body.len() + 32, |dst| {
            pomelo_protocol::encode_response(dst, id, &body)
        })
    }

    pub(super) fn encode_push(&self, route: &str, body: &[u8]) -> Result<BytesMut, Error> {
        let code = self
            .tables
            .dictionary
            .as_ref()
            .and_then(|dictionary| dictionary.code(route));
        let body = self.encode_body(route, body);
        let route = code.map_or(RouteRef::Name(route), RouteRef::Code);
        self.frame(body.len() + 264, |dst| {
            pomelo_protocol::encode_push(dst, route, &body)
        })
    }

    /// A package other than data.
    pub(super) fn encode_package(&self, kind: PackageKind, body: &[u8]) -> Result<BytesMut, Error> {
        self.frame(body.len() + 8, |dst| {
            pomelo_protocol::encode_package(dst, kind, body)
        })
    }

    /// What is sent before the socket is closed: WebSocket's close frame with code 1000, as the original's.
    pub(super) fn farewell(&self) -> Option<Bytes> {
        (self.framing == Framing::WebSocket).then(|| Bytes::from_static(&[0x88, 0x02, 0x03, 0xe8]))
    }

    /// JSON, unless the route has a schema. A body that does not fit its schema is sent empty, as the original does.
    fn encode_body<'a>(&self, route: &str, body: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(protos) = self
            .tables
            .protos
            .as_ref()
            .filter(|protos| protos.server.has(route))
        else {
            return text::escape_astral(body);
        };
        protos.server.encode(route, body, self.astral).map_or_else(
            |error| {
                tracing::warn!(%route, %error, "a message does not fit serverProtos.json and is sent empty");
                Cow::Borrowed(&[][..])
            },
            Cow::Owned,
        )
    }

    fn frame(
        &self,
        size: usize,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), Error>,
    ) -> Result<BytesMut, Error> {
        if self.framing == Framing::Tcp {
            let mut dst = BytesMut::with_capacity(size);
            encode(&mut dst)?;
            return Ok(dst);
        }
        let mut dst = BytesMut::with_capacity(HEADROOM + size);
        dst.put_bytes(0, HEADROOM);
        encode(&mut dst)?;
        // A server's frame is unmasked and this one is whole: final, binary, then 7, 16 or 64 bits of length
        // (RFC 6455, 5.2).
        let payload = dst.len() - HEADROOM;
        let mut header = [0_u8; HEADROOM];
        header[0] = 0x82;
        let length = match payload {
            0..=125 => {
                header[1] = payload as u8;
                2
            }
            126..=0xffff => {
                header[1] = 126;
                header[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
                4
            }
            _ => {
                header[1] = 127;
                header[2..10].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        dst[HEADROOM - length..HEADROOM].copy_from_slice(&header[..length]);
        dst.advance(HEADROOM - length);
        Ok(dst)
    }
}

/// The forms in use on one server: one of each.
#[derive(Debug)]
pub(crate) struct Wires {
    tables: RefCell<Tables>,
    known: RefCell<Vec<Rc<Wire>>>,
}

impl Default for Wires {
    fn default() -> Self {
        let plain = |framing| {
            Rc::new(Wire {
                framing,
                tables: Tables::default(),
                astral: Astral::Utf8,
            })
        };
        Self {
            tables: RefCell::default(),
            known: RefCell::new(vec![plain(Framing::WebSocket), plain(Framing::Tcp)]),
        }
    }
}

impl Wires {
    pub(super) fn set_tables(&self, tables: Tables) {
        self.tables.replace(tables);
    }

    /// The form before the handshake, which hands the tables out.
    pub(super) fn plain(&self, framing: Framing) -> Rc<Wire> {
        self.of(framing, &Tables::default(), Astral::Utf8)
    }

    /// The form from this handshake on.
    pub(super) fn current(&self, framing: Framing, astral: Astral) -> Rc<Wire> {
        let tables = self.tables.borrow();
        // JSON has escapes for them; without protobuf all clients look alike.
        let astral = if tables.protos.is_some() {
            astral
        } else {
            Astral::Utf8
        };
        self.of(framing, &tables, astral)
    }

    fn of(&self, framing: Framing, tables: &Tables, astral: Astral) -> Rc<Wire> {
        fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
            a.map(Arc::as_ptr) == b.map(Arc::as_ptr)
        }
        let mut known = self.known.borrow_mut();
        let found = known.iter().find(|wire| {
            wire.framing == framing
                && wire.astral == astral
                && same(wire.tables.dictionary.as_ref(), tables.dictionary.as_ref())
                && same(wire.tables.protos.as_ref(), tables.protos.as_ref())
        });
        if let Some(wire) = found {
            return wire.clone();
        }
        // Forms of tables that were replaced go with their last connection.
        known.retain(|wire| Rc::strong_count(wire) > 1);
        let wire = Rc::new(Wire {
            framing,
            tables: tables.clone(),
            astral,
        });
        known.push(wire.clone());
        wire
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies around each border of RFC 6455's three lengths.
    #[test]
    fn websocket_header() {
        let wires = Wires::default();
        for (body, header) in [
            (0, vec![0x82, 4]),
            (121, vec![0x82, 125]),
            (122, vec![0x82, 126, 0, 126]),
            (65_531, vec![0x82, 126, 0xff, 0xff]),
            (65_532, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let body = vec![b'x'; body];
            let tcp = wires
                .plain(Framing::Tcp)
                .encode_package(PackageKind::Data, &body)
                .unwrap();
            let frame = wires
                .plain(Framing::WebSocket)
                .encode_package(PackageKind::Data, &body)
                .unwrap();
            assert_eq!(frame, [header, tcp.to_vec()].concat());
        }
    }

    #[test]
    fn one_form_of_each() {
        let wires = Wires::default();
        let plain = wires.current(Framing::Tcp, Astral::Surrogates);
        assert!(Rc::ptr_eq(&plain, &wires.plain(Framing::Tcp)));
        let dictionary = Arc::new(Dictionary::new(["a.b.c".to_owned()], &[]));
        wires.set_tables(Tables {
            dictionary: Some(dictionary),
            protos: None,
        });
        let coded = wires.current(Framing::Tcp, Astral::Surrogates);
        assert!(!Rc::ptr_eq(&coded, &plain));
        assert!(Rc::ptr_eq(
            &coded,
            &wires.current(Framing::Tcp, Astral::Surrogates)
        ));
    }
}
