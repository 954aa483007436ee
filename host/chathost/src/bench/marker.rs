//! `~sender:seq:nanos~`: what a message of the bench carries, and how its receivers check it.
//!
//! The marker is text that neither JSON nor protobuf changes, so a receiver finds it by looking at the bytes of a
//! body and decodes nothing.

/// Who said it, as which of its messages, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) sender: u32,
    /// From 1.
    pub(crate) seq: u32,
    pub(crate) nanos: u64,
}

impl Marker {
    /// The text, filled up with dots to `length` bytes.
    pub(crate) fn text(self, length: usize) -> String {
        let mut text = format!("~{}:{}:{}~", self.sender, self.seq, self.nanos);
        while text.len() < length {
            text.push('.');
        }
        text
    }

    /// The first marker in these bytes, and where it begins and ends.
    pub(crate) fn find(bytes: &[u8]) -> Option<(Self, usize, usize)> {
        let start = bytes.iter().position(|&byte| byte == b'~')?;
        let mut numbers = [0_u64; 3];
        let mut which = 0;
        for (offset, &byte) in bytes.iter().enumerate().skip(start + 1) {
            match byte {
                b'0'..=b'9' => {
                    let number = numbers.get_mut(which)?;
                    *number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                }
                b':' => which += 1,
                b'~' if which == 2 => {
                    let [sender, seq, nanos] = numbers;
                    let marker = Self {
                        sender: u32::try_from(sender).ok()?,
                        seq: u32::try_from(seq).ok()?,
                        nanos,
                    };
                    return Some((marker, start, offset + 1));
                }
                _ => return None,
            }
        }
        None
    }
}

/// What one receiver has had from one sender.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Track {
    /// The largest number so far.
    last: u32,
    /// Bit n: `last - n` was there.
    seen: u64,
}

/// What a message was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one, or a later one; this many in between have not come.
    Ahead(u32),
    /// One that should have come before.
    Late,
    /// It was there already.
    Again,
}

impl Track {
    /// The largest number so far.
    pub(crate) fn last(&self) -> u32 {
        self.last
    }

    pub(crate) fn note(&mut self, seq: u32) -> Arrival {
        if seq > self.last {
            let step = seq - self.last;
            self.seen = self.seen.checked_shl(step).unwrap_or(0) | 1;
            self.last = seq;
            return Arrival::Ahead(step - 1);
        }
        let bit = 1_u64.checked_shl(self.last - seq).unwrap_or(0);
        // Older than the bits tell: a message that late is counted as a repetition.
        if bit == 0 || self.seen & bit != 0 {
            return Arrival::Again;
        }
        self.seen |= bit;
        Arrival::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let marker = Marker {
            sender: 7,
            seq: 12,
            nanos: 9_876_543_210,
        };
        let body = format!("{{\"msg\":\"{}\",\"from\":\"u\"}}", marker.text(40));
        let (found, start, end) = Marker::find(body.as_bytes()).unwrap();
        assert_eq!(found, marker);
        assert_eq!(&body[start..end], "~7:12:9876543210~");
        for body in ["", "~", "~1:2~", "~1:2:x~", "~1:2:3", "~1:2:3:4~"] {
            assert_eq!(Marker::find(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn order() {
        use Arrival::{Again, Ahead, Late};
        let mut track = Track::default();
        let arrivals = [1, 2, 5, 4, 4, 3, 6, 200, 6].map(|seq| track.note(seq));
        assert_eq!(
            arrivals,
            [
                Ahead(0),
                Ahead(0),
                Ahead(2),
                Late,
                Again,
                Late,
                Ahead(0),
                Ahead(193),
                Again
            ]
        );
    }
}
