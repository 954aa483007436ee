//! A client's end of a connection: bytes out, bytes in, over WebSocket or raw TCP. Knows nothing of packages.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::HeaderValue,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

/// What a client speaks below Pomelo's packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A package or several in each message.
    WebSocket,
    /// Packages as they are.
    Tcp,
}

/// What comes from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A WebSocket message, or whatever TCP had.
    Bytes(Bytes),
    /// The end: the WebSocket close code, if one was said.
    Closed(Option<u16>),
}

/// A connection.
#[derive(Debug)]
pub enum Socket {
    /// Upgraded.
    WebSocket(Box<WebSocketStream<TcpStream>>),
    /// As it is.
    Tcp(TcpStream),
}

impl Socket {
    /// Connects.
    pub async fn open(address: SocketAddr, transport: Transport) -> Self {
        Self::open_with(address, transport, None).await
    }

    /// Connects; `receive_buffer` is the most that the kernel keeps for a client that does not read.
    pub async fn open_with(address: SocketAddr, transport: Transport, receive_buffer: Option<u32>) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(size) = receive_buffer {
            socket.set_recv_buffer_size(size).expect("a buffer's size");
        }
        let stream = socket.connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        match transport {
            Transport::Tcp => Self::Tcp(stream),
            Transport::WebSocket => {
                let mut request = format!("ws://{address}/")
                    .into_client_request()
                    .expect("a request");
                // As a browser's page.
                request
                    .headers_mut()
                    .insert("Origin", HeaderValue::from_static("http://localhost"));
                let upgraded = client_async(request, stream).await;
                Self::WebSocket(Box::new(upgraded.expect("the upgrade").0))
            }
        }
    }

    /// Sends bytes: one binary message, or as they are. A connection that the server has closed takes nothing.
    pub async fn send(&mut self, bytes: &[u8]) {
        // What comes back tells what became of it.
        match self {
            Self::WebSocket(socket) => {
                drop(socket.send(Message::Binary(Bytes::copy_from_slice(bytes))).await);
            }
            Self::Tcp(stream) => drop(stream.write_all(bytes).await),
        }
    }

    /// Sends a WebSocket message of text.
    pub async fn send_text(&mut self, text: &str) {
        let Self::WebSocket(socket) = self else {
            panic!("text messages are WebSocket's")
        };
        socket.send(Message::text(text)).await.expect("sent");
    }

    /// Sends one WebSocket message in as many frames as there are parts.
    pub async fn send_fragments(&mut self, parts: &[&[u8]]) {
        let Self::WebSocket(socket) = self else {
            panic!("fragments are WebSocket's")
        };
        for (place, part) in parts.iter().enumerate() {
            let kind = if place == 0 { Data::Binary } else { Data::Continue };
            let last = place + 1 == parts.len();
            let frame = Frame::message(part.to_vec(), OpCode::Data(kind), last);
            socket.send(Message::Frame(frame)).await.expect("sent");
        }
    }

    /// Sends bytes past WebSocket's framing.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        let stream = match self {
            Self::WebSocket(socket) => socket.get_mut(),
            Self::Tcp(stream) => stream,
        };
        stream.write_all(bytes).await.expect("sent");
    }

    /// Sends a WebSocket ping; what the pong brings.
    pub async fn ping(&mut self, payload: &'static [u8]) -> Bytes {
        let Self::WebSocket(socket) = self else {
            panic!("pings are WebSocket's")
        };
        let ping = Message::Ping(Bytes::from_static(payload));
        socket.send(ping).await.expect("sent");
        match crate::within("a pong", socket.next()).await {
            Some(Ok(Message::Pong(payload))) => payload,
            other => panic!("no pong but {other:?}"),
        }
    }

    /// What comes next.
    pub async fn receive(&mut self) -> Incoming {
        match self {
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Binary(bytes))) => return Incoming::Bytes(bytes),
                    Some(Ok(Message::Close(frame))) => {
                        return Incoming::Closed(frame.map(|frame| frame.code.into()));
                    }
                    Some(Ok(Message::Text(text))) => panic!("the server sent text: {text}"),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Incoming::Closed(None),
                }
            },
            Self::Tcp(stream) => {
                let mut bytes = BytesMut::with_capacity(16 * 1024);
                match stream.read_buf(&mut bytes).await {
                    Ok(0) | Err(_) => Incoming::Closed(None),
                    Ok(_) => Incoming::Bytes(bytes.freeze()),
                }
            }
        }
    }

    /// Says good-bye. The server's own comes as [`Incoming::Closed`].
    pub async fn say_goodbye(&mut self) {
        match self {
            Self::WebSocket(socket) => drop((**socket).close(None).await),
            Self::Tcp(stream) => drop(stream.shutdown().await),
        }
    }

    /// The connection is gone, without a word.
    pub fn abort(self) {
        let stream = match self {
            Self::WebSocket(socket) => socket.into_inner(),
            Self::Tcp(stream) => stream,
        };
        stream.set_zero_linger().expect("SO_LINGER");
    }

    /// The client's own address.
    pub fn local_addr(&self) -> SocketAddr {
        let stream = match self {
            Self::WebSocket(socket) => socket.get_ref(),
            Self::Tcp(stream) => stream,
        };
        stream.local_addr().expect("connected")
    }
}
