//! From bytes to packages: what stands between the socket and [`super::inbound`].
//!
//! The first bytes of a connection decide (POMELO.md E6): an HTTP method opens a WebSocket, anything else is raw TCP.
//! tungstenite does the upgrade, the frames, fragments and control frames, as a state machine without IO: it reads
//! from the bytes that came and writes into the connection's outbox. Its buffer is small, because what is idle should
//! cost nothing; it never sees what the server sends.

use super::CloseReason;
use bytes::{Bytes, BytesMut};
use pomelo_protocol::{Error, Package};
use std::io::{self, Read, Write};
use tokio_tungstenite::tungstenite::{
    self,
    handshake::{
        machine::TryParse,
        server::{Request, create_response, write_response},
    },
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

/// Requests for the upgrade that are longer are refused.
const MAX_UPGRADE: usize = 8 * 1024;

/// What an idle WebSocket keeps for reading: room for a chat message. A longer one makes room for itself, and is copied in
/// pieces of this size.
const WEBSOCKET_BUFFER: usize = 128;

/// Answered to a plain HTTP request.
const UPGRADE_REQUIRED: &[u8] = b"HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nUpgrade: websocket\r\n\
    Content-Type: text/plain\r\nContent-Length: 55\r\n\r\nThis port speaks Pomelo's protocol over WebSocket/TCP.\n";

/// The reading side of one connection.
#[derive(Debug)]
pub enum Inflow {
    /// Nothing came yet.
    Opening,
    /// An HTTP request, not whole yet.
    Upgrading(BytesMut),
    /// Frames.
    WebSocket(Box<WebSocketContext>),
    /// Packages as they are.
    Tcp(BytesMut),
}

/// What came of some bytes.
#[derive(Debug)]
pub enum Event {
    /// It turned out to be a WebSocket.
    WebSocket {
        /// The answer to the upgrade.
        response: Vec<u8>,
        /// Only browsers say on which page they are.
        browser: bool,
    },
    /// It turned out to be raw TCP.
    Tcp,
    /// A ping, a pong or a close of WebSocket's own. tungstenite has seen to it.
    Control,
    /// One package.
    Package(Package),
}

/// Why no more can be read, and what to write before closing.
#[derive(Debug)]
pub struct Broken {
    /// Why.
    pub reason: CloseReason,
    /// Raw bytes for the socket.
    pub last_words: Vec<u8>,
}

impl From<CloseReason> for Broken {
    fn from(reason: CloseReason) -> Self {
        Self {
            reason,
            last_words: Vec::new(),
        }
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        match error {
            Error::PackageTooLarge { .. } => CloseReason::PackageTooLarge.into(),
            _ => CloseReason::Malformed.into(),
        }
    }
}

impl Inflow {
    /// Takes bytes from the socket and tells `on` what they mean, in order. A package's body may have `max_body` bytes
    /// at that moment, and never more than `most`. `control` gets what WebSocket itself wants
    /// to answer: pong, close.
    ///
    /// # Errors
    /// The bytes are no Pomelo, too long, or the client said good-bye.
    pub fn feed(
        &mut self,
        mut input: &[u8],
        most: usize,
        max_body: impl Fn() -> usize,
        mut control: impl FnMut(&[u8]),
        mut on: impl FnMut(Event),
    ) -> Result<(), Broken> {
        if let Self::Opening = self {
            // No package type is a letter, and every HTTP method begins with one.
            *self = match input.first() {
                None => return Ok(()),
                Some(byte) if byte.is_ascii_uppercase() => Self::Upgrading(BytesMut::new()),
                Some(_) => {
                    on(Event::Tcp);
                    Self::Tcp(BytesMut::new())
                }
            };
        }
        if let Self::Upgrading(request) = self {
            request.extend_from_slice(input);
            let Some(Upgrade {
                length,
                response,
                browser,
            }) = upgrade(request)?
            else {
                return Ok(());
            };
            // A client that does not wait for the answer.
            input = input
                .get(input.len() - (request.len() - length)..)
                .unwrap_or_default();
            let config = WebSocketConfig::default()
                .read_buffer_size(WEBSOCKET_BUFFER)
                .write_buffer_size(0)
                .max_message_size(Some(most + 4))
                .max_frame_size(Some(most + 4));
            *self = Self::WebSocket(Box::new(WebSocketContext::new(Role::Server, Some(config))));
            on(Event::WebSocket { response, browser });
        }
        match self {
            Self::WebSocket(context) => frames(context, input, &max_body, &mut control, &mut on),
            Self::Tcp(buffer) => {
                buffer.extend_from_slice(input);
                while let Some(package) = Package::decode(buffer, max_body())? {
                    on(Event::Package(package));
                }
                if buffer.is_empty() {
                    *buffer = BytesMut::new();
                }
                Ok(())
            }
            Self::Opening | Self::Upgrading(_) => Ok(()),
        }
    }
}

struct Upgrade {
    /// Of the request.
    length: usize,
    response: Vec<u8>,
    browser: bool,
}

/// The answer to a WebSocket upgrade; `None` while the request is not whole.
fn upgrade(request: &[u8]) -> Result<Option<Upgrade>, Broken> {
    let refused = |_| Broken {
        reason: CloseReason::Malformed,
        last_words: UPGRADE_REQUIRED.to_vec(),
    };
    // Parsed once, however many pieces it comes in.
    if !request.windows(4).any(|end| end == b"\r\n\r\n") {
        return if request.len() > MAX_UPGRADE {
            Err(CloseReason::Malformed.into())
        } else {
            Ok(None)
        };
    }
    let parsed = Request::try_parse(request).map_err(refused)?;
    let (length, parsed) = parsed
        .filter(|(length, _)| *length <= MAX_UPGRADE)
        .ok_or(CloseReason::Malformed)?;
    let response = create_response(&parsed).map_err(refused)?;
    let mut bytes = Vec::with_capacity(160);
    write_response(&mut bytes, &response).map_err(refused)?;
    let browser = parsed.headers().contains_key("origin");
    Ok(Some(Upgrade {
        length,
        response: bytes,
        browser,
    }))
}

fn frames(
    context: &mut WebSocketContext,
    input: &[u8],
    max_body: &impl Fn() -> usize,
    control: &mut impl FnMut(&[u8]),
    on: &mut impl FnMut(Event),
) -> Result<(), Broken> {
    let mut stream = Stream { input, control };
    loop {
        let mut payload: Bytes = match context.read(&mut stream) {
            Ok(tungstenite::Message::Binary(payload)) => payload,
            // The original takes a text message for its bytes.
            Ok(tungstenite::Message::Text(text)) => text.into(),
            Ok(_) => {
                on(Event::Control);
                continue;
            }
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
                return Err(CloseReason::ClientClosed.into());
            }
            Err(tungstenite::Error::Capacity(_)) => return Err(CloseReason::PackageTooLarge.into()),
            Err(_) => return Err(CloseReason::Malformed.into()),
        };
        if payload.is_empty() {
            return Err(CloseReason::Malformed.into());
        }
        while let Some(package) = Package::decode_frame(&mut payload, max_body())? {
            on(Event::Package(package));
        }
    }
}

/// What tungstenite takes for a socket: the bytes that came in, and a way out for control frames.
struct Stream<'a, F> {
    input: &'a [u8],
    control: F,
}

impl<F> Read for Stream<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer)? {
            // Not the end, only all there is.
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl<F: FnMut(&[u8])> Write for Stream<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.control)(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
