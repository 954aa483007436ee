//! What waits to be written to one client: a queue of shared frames, bounded in bytes.
//!
//! It belongs to its server's thread, so there is no lock. It knows nothing of sockets: [`super::outgoing`] asks for
//! bytes and reports how many the kernel took.

use super::{
    frame::{Class, Frame, OVERHEAD},
    push::Run,
};
use std::{collections::VecDeque, rc::Rc};

/// Frames in their order. The first one has a place of its own: there is seldom another, so an outbox usually needs no
/// second allocation, and a delivery no cache line of it.
#[derive(Debug, Default)]
struct Frames {
    first: Option<Frame>,
    /// Empty without a first one.
    rest: VecDeque<Frame>,
}

impl Frames {
    fn pop(&mut self) {
        self.first = self.rest.pop_front();
    }

    fn last(&self) -> Option<&Frame> {
        let first = self.first.as_ref()?;
        Some(self.rest.back().unwrap_or(first))
    }

    fn last_mut(&mut self) -> Option<&mut Frame> {
        self.rest.back_mut().or(self.first.as_mut())
    }

    fn is_single(&self) -> bool {
        self.first.is_some() && self.rest.is_empty()
    }

    fn retain(&mut self, mut keep: impl FnMut(&Frame) -> bool) {
        self.first = self.first.take().filter(&mut keep);
        self.rest.retain(keep);
        if self.first.is_none() {
            self.pop();
        }
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: Frames,
    /// What all frames but the last cost, those bytes already written of the first one included. The last may grow.
    cost: usize,
    /// Bytes of the first frame that are written. A frame that has begun is never dropped.
    begun: usize,
}

impl Outbox {
    /// Appends a frame, or gives it back if it does not fit. Alone any frame fits, or a large one never would.
    pub(crate) fn push(&mut self, frame: Frame, limit: usize) -> Result<(), Frame> {
        if self.is_empty() {
            self.frames.first = Some(frame);
            return Ok(());
        }
        let begun = self.begun > 0 && self.frames.is_single();
        if frame.is_control()
            && !begun
            && let Some(last) = self.frames.last_mut().filter(|last| last.is_control())
        {
            *last = frame;
            return Ok(());
        }
        let cost = self.total();
        if cost + frame.cost() > limit {
            return Err(frame);
        }
        self.cost = cost;
        self.frames.rest.push_back(frame);
        Ok(())
    }

    /// What all frames cost.
    fn total(&self) -> usize {
        self.cost + self.frames.last().map_or(0, Frame::cost)
    }

    /// The run that still grows here. Nothing may be pushed behind it before it was left or closed.
    pub(super) fn open_run(&self) -> Option<&Rc<Run>> {
        self.frames.last()?.open_run()
    }

    /// Keeps of the open run what it has up to now.
    pub(super) fn leave_run(&mut self) {
        if let Some(last) = self.frames.last_mut() {
            *last = last.so_far();
        }
    }

    /// Makes room for a frame by dropping pushes: older ones of its route if only the newest counts, and with
    /// `oldest_first` any, the oldest first.
    pub(crate) fn make_room(&mut self, frame: &Frame, limit: usize, oldest_first: bool) {
        // A quarter more than needed, so that a client that stays behind does not cost a search for every push.
        let mut cost = self.total();
        let mut excess = (cost + frame.cost()).saturating_sub(limit - limit / 4);
        let keep_first = usize::from(self.begun > 0);
        let mut place = 0;
        self.frames.retain(|old| {
            place += 1;
            let droppable = match (old.class(), frame.class()) {
                (Class::Latest(old), Class::Latest(new)) => old == new,
                (Class::Push | Class::Latest(_), _) => oldest_first && excess > 0,
                (Class::Kept | Class::Control, _) => false,
            };
            if place <= keep_first || !droppable {
                return true;
            }
            excess = excess.saturating_sub(old.cost());
            cost -= old.cost();
            false
        });
        self.cost = cost - self.frames.last().map_or(0, Frame::cost);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.first.is_none()
    }

    /// Hands `write` the next bytes: small frames gathered in `scratch`, a large one as it is. Nothing is appended to what
    /// was handed out.
    pub(crate) fn next<R>(
        &self,
        scratch: &mut Vec<u8>,
        gather: usize,
        write: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        self.frames.last()?.close_run();
        let first = self.frames.first.as_ref()?.bytes();
        let first = first.get(self.begun..)?;
        if self.frames.is_single() || first.len() >= gather {
            return Some(write(first));
        }
        scratch.clear();
        scratch.extend_from_slice(first);
        for frame in &self.frames.rest {
            let bytes = frame.bytes();
            if scratch.len() + bytes.len() > gather {
                break;
            }
            scratch.extend_from_slice(&bytes);
        }
        Some(write(scratch))
    }

    /// The kernel took this many bytes.
    pub(crate) fn written(&mut self, mut count: usize) {
        count += self.begun;
        while let Some(first) = &self.frames.first {
            let len = first.len();
            if len > count {
                break;
            }
            count -= len;
            self.frames.pop();
            if !self.is_empty() {
                self.cost -= len + OVERHEAD;
            }
        }
        self.begun = count;
    }

    /// Forgets everything but the rest of a frame that has begun.
    pub(crate) fn cut(&mut self) {
        let begun = self.frames.first.take().filter(|_| self.begun > 0);
        let written = self.begun;
        self.clear();
        (self.frames.first, self.begun) = (begun, written);
    }

    /// Forgets everything: nobody will write it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    /// What a frame of four bytes costs.
    const FRAME: usize = 4 + OVERHEAD;

    fn push(text: &'static str) -> Frame {
        Frame::push(BytesMut::from(text), None)
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
            outbox.push(push(text), 1000).unwrap();
        }
        let mut scratch = Vec::new();
        assert_eq!(
            outbox.next(&mut scratch, 8, |bytes| bytes.to_vec()).unwrap(),
            b"abcdef"
        );
        outbox.written(4);
        assert_eq!(drain(&mut outbox), "efghia long frame");
        assert!(outbox.is_empty());
        assert_eq!(outbox.cost, 0);
    }

    #[test]
    fn a_full_outbox_takes_no_more() {
        let mut outbox = Outbox::default();
        outbox.push(push("larger than the limit"), 8).unwrap();
        outbox.push(push("x"), 8).unwrap_err();
    }

    #[test]
    fn what_has_begun_is_finished() {
        let mut outbox = Outbox::default();
        for text in ["1111", "2222"] {
            outbox.push(push(text), 1000).unwrap();
        }
        outbox.written(1);
        outbox.cut();
        outbox.push(Frame::kept(BytesMut::from("bye")), 1000).unwrap();
        assert_eq!(drain(&mut outbox), "111bye");
        assert_eq!(outbox.cost, 0);
        outbox.push(push("3333"), 1000).unwrap();
        outbox.cut();
        assert!(outbox.is_empty());
    }

    #[test]
    fn drops_the_oldest_pushes() {
        let mut outbox = Outbox::default();
        for frame in [
            push("1111"),
            Frame::kept(BytesMut::from("kept")),
            push("2222"),
            push("3333"),
        ] {
            outbox.push(frame, 4 * FRAME).unwrap();
        }
        outbox.written(2);
        let new = push("4444");
        outbox.make_room(&new, 4 * FRAME, true);
        outbox.push(new, 4 * FRAME).unwrap();
        assert_eq!(
            drain(&mut outbox),
            "11kept4444",
            "the frame that has begun stays whole, and there is room for more"
        );
    }

    #[test]
    fn keeps_the_newest_of_a_route() {
        let at = |text: &'static str| Frame::push(BytesMut::from(text), Some("onMove".into()));
        let mut outbox = Outbox::default();
        outbox.push(push("chat"), 2 * FRAME).unwrap();
        outbox.push(at("mov1"), 2 * FRAME).unwrap();
        outbox.make_room(&at("mov2"), 2 * FRAME, false);
        outbox.push(at("mov2"), 2 * FRAME).unwrap();
        assert_eq!(drain(&mut outbox), "chatmov2");
    }

    #[test]
    fn a_run_grows_until_it_is_written_or_left() {
        let limit = 5 * FRAME;
        let run = Run::of(8);
        let frame = Frame::run("run1".into(), &run);
        let (mut stays, mut leaves) = (Outbox::default(), Outbox::default());
        for outbox in [&mut stays, &mut leaves] {
            outbox.push(push("1111"), limit).unwrap();
            outbox.push(frame.clone(), limit).unwrap();
        }
        frame.append(b"run2");
        leaves.leave_run();
        leaves.push(push("2222"), limit).unwrap();
        frame.append(b"run3");

        assert!(stays.open_run().is_some() && leaves.open_run().is_none());
        assert_eq!(
            (stays.total(), leaves.total()),
            (2 * FRAME + 8, 3 * FRAME + 4),
            "what was appended costs its bytes"
        );
        assert_eq!(drain(&mut leaves), "1111run1run22222");
        assert!(run.is_open());
        assert_eq!(drain(&mut stays), "1111run1run2run3");
        assert!(!run.is_open(), "what is written grows no more");
        assert_eq!((stays.cost, leaves.cost), (0, 0));
    }

    #[test]
    fn one_pong_is_enough() {
        let control = |text: &'static str| Frame::control(BytesMut::from(text));
        let mut outbox = Outbox::default();
        for frame in [
            control("p1"),
            control("p2"),
            push("chat"),
            control("p3"),
            control("p4"),
        ] {
            outbox.push(frame, 3 * FRAME).unwrap();
        }
        outbox.written(1);
        outbox.push(control("p5"), 3 * FRAME).unwrap();
        assert_eq!(drain(&mut outbox), "2chatp5");
        assert_eq!(outbox.cost, 0);
    }
}
