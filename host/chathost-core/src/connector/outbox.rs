//! What waits to be written to one client: a queue of shared frames, bounded in bytes.
//!
//! It belongs to its server's thread, so there is no lock. It knows nothing of sockets: [`super::outgoing`] asks for
//! bytes and reports how many the kernel took.

use bytes::Bytes;
use std::{collections::VecDeque, sync::Arc};

/// Bytes for one client, encoded and shared with all others that get them.
#[derive(Debug, Clone)]
pub struct Frame {
    bytes: Bytes,
    class: Class,
}

#[derive(Debug, Clone, PartialEq)]
enum Class {
    /// A push: may be dropped for a newer one, where the policy says so.
    Push,
    /// A push of a route of which only the newest counts.
    Latest(Arc<str>),
    /// A response or a control package: never dropped.
    Kept,
}

impl Frame {
    /// A push. `latest` names its route if only the newest of that route counts.
    pub fn push(bytes: Bytes, latest: Option<Arc<str>>) -> Self {
        Self {
            bytes,
            class: latest.map_or(Class::Push, Class::Latest),
        }
    }

    /// A response, a heartbeat, a kick.
    pub fn kept(bytes: Bytes) -> Self {
        Self {
            bytes,
            class: Class::Kept,
        }
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Frame>,
    /// Bytes in `frames`, those already written of the first one included.
    bytes: usize,
    /// Bytes of the first frame that are written. A frame that has begun is never dropped.
    begun: usize,
}

impl Outbox {
    /// Appends a frame, or gives it back if it does not fit. Alone any frame fits, or a large one never would.
    pub(crate) fn push(&mut self, frame: Frame, limit: usize) -> Result<(), Frame> {
        if self.bytes + frame.bytes.len() > limit && !self.frames.is_empty() {
            return Err(frame);
        }
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
        Ok(())
    }

    /// Makes room for a frame by dropping pushes: older ones of its route if only the newest counts, and with
    /// `oldest_first` any, the oldest first.
    pub(crate) fn make_room(&mut self, frame: &Frame, limit: usize, oldest_first: bool) {
        let mut excess = (self.bytes + frame.bytes.len()).saturating_sub(limit);
        let keep_first = usize::from(self.begun > 0);
        let mut place = 0;
        self.frames.retain(|old| {
            place += 1;
            let droppable = match (&old.class, &frame.class) {
                (Class::Latest(old), Class::Latest(new)) => old == new,
                (Class::Push | Class::Latest(_), _) => oldest_first && excess > 0,
                (Class::Kept, _) => false,
            };
            if place <= keep_first || !droppable {
                return true;
            }
            excess = excess.saturating_sub(old.bytes.len());
            self.bytes -= old.bytes.len();
            false
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Hands `write` the next bytes: small frames gathered in `scratch`, a large one as it is.
    pub(crate) fn next<R>(
        &self,
        scratch: &mut Vec<u8>,
        gather: usize,
        write: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        let first = self.frames.front()?.bytes.get(self.begun..)?;
        if self.frames.len() == 1 || first.len() >= gather {
            return Some(write(first));
        }
        scratch.clear();
        scratch.extend_from_slice(first);
        for frame in self.frames.iter().skip(1) {
            if scratch.len() + frame.bytes.len() > gather {
                break;
            }
            scratch.extend_from_slice(&frame.bytes);
        }
        Some(write(scratch))
    }

    /// The kernel took this many bytes.
    pub(crate) fn written(&mut self, mut count: usize) {
        count += self.begun;
        while let Some(first) = self
            .frames
            .front()
            .map(|frame| frame.bytes.len())
            .filter(|&len| len <= count)
        {
            count -= first;
            self.bytes -= first;
            self.frames.pop_front();
        }
        self.begun = count;
    }

    /// Forgets everything: nobody will write it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(text: &'static str) -> Frame {
        Frame::push(Bytes::from_static(text.as_bytes()), None)
    }

    fn drain(outbox: &mut Outbox) -> String {
        let mut all = Vec::new();
        while let Some(count) = outbox.next(&mut Vec::new(), 8, |bytes| {
            all.extend_from_slice(bytes);
            bytes.len()
        }) {
            outbox.written(count);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn gathers_and_survives_partial_writes() {
        let mut outbox = Outbox::default();
        for text in ["abc", "def", "ghi", "a long frame"] {
            outbox.push(push(text), 100).unwrap();
        }
        let mut scratch = Vec::new();
        assert_eq!(
            outbox.next(&mut scratch, 8, |bytes| bytes.to_vec()).unwrap(),
            b"abcdef"
        );
        outbox.written(4);
        assert_eq!(drain(&mut outbox), "efghia long frame");
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn a_full_outbox_takes_no_more() {
        let mut outbox = Outbox::default();
        outbox.push(push("larger than the limit"), 8).unwrap();
        outbox.push(push("x"), 8).unwrap_err();
    }

    #[test]
    fn drops_the_oldest_pushes() {
        let mut outbox = Outbox::default();
        for frame in [
            push("1111"),
            Frame::kept(Bytes::from_static(b"kept")),
            push("2222"),
            push("3333"),
        ] {
            outbox.push(frame, 16).unwrap();
        }
        outbox.written(2);
        let new = push("4444");
        outbox.make_room(&new, 16, true);
        outbox.push(new, 16).unwrap();
        assert_eq!(
            drain(&mut outbox),
            "11kept33334444",
            "the frame that has begun stays whole"
        );
    }

    #[test]
    fn keeps_the_newest_of_a_route() {
        let at = |text: &'static str| Frame::push(Bytes::from_static(text.as_bytes()), Some("onMove".into()));
        let mut outbox = Outbox::default();
        outbox.push(push("chat"), 8).unwrap();
        outbox.push(at("mov1"), 8).unwrap();
        outbox.make_room(&at("mov2"), 8, false);
        outbox.push(at("mov2"), 8).unwrap();
        assert_eq!(drain(&mut outbox), "chatmov2");
    }
}
