//! Writing to clients, at the end of a turn.
//!
//! A connection whose outbox got its first frame is put on the dirty list; [`crate::turn`] flushes the list in slices.
//! One write per connection carries what the turn gathered. What the kernel does not take stays in the outbox, and the
//! connection's task waits until the socket can be written again.

use super::{CloseReason, Tables, connection::Connection, task, wire::Wires};
use rustix::net::SendFlags;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    rc::Rc,
};
use tokio::io::Interest;

/// Frames below this are copied together: copying beats a vectored write for small ones.
pub(super) const GATHER: usize = 16 * 1024;

/// Connections that are fetched from memory at the same time. Few, because the kernel's work on each pushes others out.
const FETCHED: usize = 8;

/// What one read takes at most, before other connections get their turn.
const READ_BUFFER: usize = 16 * 1024;

/// The connections of one server that have something to write.
#[derive(Debug, Default)]
pub struct Outgoing {
    dirty: RefCell<VecDeque<Rc<Connection>>>,
    scratch: RefCell<Vec<u8>>,
    read_buffer: RefCell<Vec<u8>>,
    written: Cell<u64>,
    /// The forms that frames take on this server.
    pub(super) wires: Wires,
}

impl Outgoing {
    /// From the next handshake on clients get these tables; who is connected keeps the old ones.
    pub fn set_tables(&self, tables: Tables) {
        self.wires.set_tables(tables);
    }

    /// The buffer that sockets are read into; one for all connections of the server.
    pub(super) fn take_read_buffer(&self) -> Vec<u8> {
        let mut buffer = self.read_buffer.take();
        buffer.resize(READ_BUFFER, 0);
        buffer
    }

    /// Gives the buffer back for the next read.
    pub(super) fn give_read_buffer(&self, buffer: Vec<u8>) {
        self.read_buffer.replace(buffer);
    }

    /// Flush this one at the end of the turn.
    pub(crate) fn mark(&self, connection: Rc<Connection>) {
        self.dirty.borrow_mut().push_back(connection);
    }

    /// Flushes up to `slice` connections. True while more are dirty.
    #[doc(hidden)]
    pub fn flush_slice(&self, slice: usize) -> bool {
        for place in 0..slice {
            let connection = {
                let mut dirty = self.dirty.borrow_mut();
                if place.is_multiple_of(FETCHED) {
                    Connection::fetch(dirty.iter().take(FETCHED));
                }
                dirty.pop_front()
            };
            let Some(connection) = connection else {
                return false;
            };
            connection.dirty.set(false);
            self.flush(&connection);
        }
        !self.dirty.borrow().is_empty()
    }

    /// Writes until the outbox is empty or the kernel takes no more.
    pub(crate) fn flush(&self, connection: &Connection) {
        let mut scratch = self.scratch.borrow_mut();
        let mut outbox = connection.outbox.borrow_mut();
        // Past tokio, which would look up its own idea of the socket for each write: two cache lines more.
        let send = |bytes: &[u8]| rustix::net::send(&connection.stream, bytes, SendFlags::NOSIGNAL);
        while let Some(written) = outbox.next(&mut scratch, GATHER, send) {
            match written.map_err(io::Error::from) {
                Ok(count) => {
                    self.written.set(self.written.get() + 1);
                    outbox.written(count);
                    connection.blocked.set(None);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    task::clear_readiness(&connection.stream, Interest::WRITABLE);
                    return connection.block();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    outbox.clear();
                    return connection.fail(CloseReason::ConnectionLost);
                }
            }
        }
        connection.blocked.set(None);
    }

    /// Writes made so far.
    pub fn writes(&self) -> u64 {
        self.written.get()
    }
}
