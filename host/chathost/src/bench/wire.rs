//! The bytes of the bench's own client: WebSocket frames, packages and messages, read where they lie.
//!
//! The server's reader and writer are not used: the generator must be cheaper than what it measures, and it speaks to
//! other servers, too. Nothing here keeps state; the fleet calls it for every read and every send.

use bytes::BytesMut;
use pomelo_protocol::{PackageKind, encode_package};

/// How packages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// WebSocket
    Ws,
    /// Packages on the bare stream
    Tcp,
}

/// What a stream consists of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Package {
        kind: u8,
        body: &'a [u8],
    },
    Ping(&'a [u8]),
    Close,
    /// Nothing that a Pomelo server sends.
    Unreadable,
}

/// The pieces in some bytes; what is cut off at the end stays in `rest`.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    transport: Transport,
    /// Of the frame that is being read.
    payload: &'a [u8],
    pub(crate) rest: &'a [u8],
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(transport: Transport, bytes: &'a [u8]) -> Self {
        Self {
            transport,
            payload: &[],
            rest: bytes,
        }
    }

    /// The next piece; `None` if it is not all there.
    pub(crate) fn next(&mut self) -> Option<Piece<'a>> {
        if self.transport == Transport::Tcp {
            let (piece, rest) = package(self.rest)?;
            self.rest = rest;
            return Some(piece);
        }
        while self.payload.is_empty() {
            let (opcode, payload, rest) = frame(self.rest)?;
            self.rest = rest;
            match opcode {
                1 | 2 => self.payload = payload,
                8 => return Some(Piece::Close),
                9 => return Some(Piece::Ping(payload)),
                10 => {}
                _ => return Some(Piece::Unreadable),
            }
        }
        let Some((piece, rest)) = package(self.payload) else {
            self.payload = &[];
            return Some(Piece::Unreadable);
        };
        self.payload = rest;
        Some(piece)
    }
}

/// A frame's opcode and payload, and what follows it. A frame that is not final has the opcode 0.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let &[first, second, ref rest @ ..] = bytes else {
        return None;
    };
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            (usize::try_from(u64::from_be_bytes(*length)).ok()?, rest)
        }
        short => (usize::from(short), rest),
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    let opcode = if first & 0x80 == 0 { 0 } else { first & 0x0f };
    Some((opcode, payload, rest))
}

fn package(bytes: &[u8]) -> Option<(Piece<'_>, &[u8])> {
    let &[kind, a, b, c, ref rest @ ..] = bytes else {
        return None;
    };
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    let (body, rest) = rest.split_at_checked(length)?;
    Some((Piece::Package { kind, body }, rest))
}

/// What the server says in a data package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    Response { id: u64, body: &'a [u8] },
    Push,
}

/// Reads a data package's body.
pub(crate) fn message(bytes: &[u8]) -> Option<Heard<'_>> {
    let (&flag, mut rest) = bytes.split_first()?;
    match (flag >> 1) & 7 {
        2 => {
            let mut id = 0_u64;
            for place in 0..8 {
                let (&byte, after) = rest.split_first()?;
                rest = after;
                id |= u64::from(byte & 0x7f) << (7 * place);
                if byte < 0x80 {
                    return Some(Heard::Response { id, body: rest });
                }
            }
            None
        }
        3 => Some(Heard::Push),
        _ => None,
    }
}

/// Appends what carries `payload`, one or more packages, to the server.
pub(crate) fn wrap(dst: &mut Vec<u8>, transport: Transport, payload: &[u8]) {
    if transport == Transport::Ws {
        frame_header(dst, 2, payload.len());
    }
    dst.extend_from_slice(payload);
}

/// Appends a pong.
pub(crate) fn pong(dst: &mut Vec<u8>, payload: &[u8]) {
    frame_header(dst, 10, payload.len());
    dst.extend_from_slice(payload);
}

/// Masked, as clients must, with zeros, which changes nothing.
fn frame_header(dst: &mut Vec<u8>, opcode: u8, length: usize) {
    dst.push(0x80 | opcode);
    match length {
        0..126 => dst.push(0x80 | length as u8),
        126..0x1_0000 => {
            dst.push(0x80 | 126);
            dst.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            dst.push(0x80 | 127);
            dst.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    dst.extend_from_slice(&[0; 4]);
}

/// A frame as the server writes it, around a data package: what the limit writes.
pub(crate) fn served(message: &[u8]) -> Vec<u8> {
    let package = package_of(PackageKind::Data, message);
    let mut frame = vec![0x82];
    match package.len() {
        0..126 => frame.push(package.len() as u8),
        length => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&package);
    frame
}

/// A package; empty if it would be too long.
pub(crate) fn package_of(kind: PackageKind, body: &[u8]) -> BytesMut {
    let mut package = BytesMut::new();
    // A body that is too long writes nothing, and the server's silence tells.
    drop(encode_package(&mut package, kind, body));
    package
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cut of the stream gives the same pieces.
    #[test]
    fn pieces_of_a_stream_that_is_cut_anywhere() {
        let mut stream = served(b"one");
        stream.extend([0x89, 2, b'h', b'i']);
        stream.extend(served(&[b'x'; 300]));
        stream.extend([0x88, 0]);
        for cut in 0..=stream.len() {
            let (mut got, mut left) = (Vec::new(), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                left.extend_from_slice(part);
                let mut pieces = Pieces::new(Transport::Ws, &left);
                while let Some(piece) = pieces.next() {
                    got.push(match piece {
                        Piece::Package { kind: 4, body } => body.len(),
                        Piece::Ping(b"hi") => 1000,
                        Piece::Close => 2000,
                        other => panic!("{other:?}"),
                    });
                }
                left = pieces.rest.to_vec();
            }
            assert_eq!(got, [3, 1000, 300, 2000], "{cut}");
        }
    }

    #[test]
    fn several_packages_in_one_frame() {
        let mut bytes = vec![0x82, 8, 3, 0, 0, 0, 3, 0, 0, 0];
        bytes.extend([0x82, 3, 3, 0, 0]);
        let mut pieces = Pieces::new(Transport::Ws, &bytes);
        let beat = || Some(Piece::Package { kind: 3, body: &[] });
        assert_eq!([pieces.next(), pieces.next()], [beat(), beat()]);
        assert_eq!([pieces.next(), pieces.next()], [Some(Piece::Unreadable), None]);
    }

    #[test]
    fn messages() {
        let cases: [(&[u8], Option<Heard<'_>>); 5] = [
            (b"\x04\x81\x01{}", Some(Heard::Response { id: 129, body: b"{}" })),
            (b"\x06\x02onB", Some(Heard::Push)),
            (b"\x04\x81", None),
            (b"\x00\x01\x00", None),
            (b"", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(message(bytes), expected);
        }
    }

    #[test]
    fn frames_of_every_length() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut frame = Vec::new();
            wrap(&mut frame, Transport::Ws, &vec![1; length]);
            // The key lies before the payload, and `frame` takes it for the first four bytes of it.
            let header = frame.len() - length - 4;
            assert_eq!(
                header,
                if length < 126 {
                    2
                } else if length < 65_536 {
                    4
                } else {
                    10
                }
            );
        }
    }
}
