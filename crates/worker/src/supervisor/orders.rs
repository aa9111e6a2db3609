//! The pipe to the supervisor: orders are written by whoever gives them, at once while there is
//! room in it, so that an order costs no way through another task.
//!
//! What does not fit waits here, and a task writes it until nothing waits any more. Dropping the
//! last handle closes the pipe, which ends the supervisor.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::unix::pipe;
use tokio::process::ChildStdin;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::protocol::Order;

/// How much may wait before those who want to start further processes wait with it.
const WAITING_MAX: usize = 16 * 1024 * 1024;

/// The way to one supervisor.
#[derive(Debug, Clone)]
pub(super) struct Orders(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pipe: pipe::Sender,
    waiting: Mutex<Waiting>,
    /// Told when nothing waits any more.
    room: Notify,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// How much of them was written.
    written: usize,
    is_broken: bool,
}

impl Orders {
    /// The way into `stdin`; it needs the runtime it is called in.
    pub(super) fn into(stdin: ChildStdin) -> io::Result<Self> {
        let pipe = pipe::Sender::from_owned_fd(stdin.into_owned_fd()?)?;
        let (waiting, room) = (Mutex::default(), Notify::new());
        Ok(Self(Arc::new(Shared { pipe, waiting, room, runtime: Handle::current() })))
    }

    /// Gives `order`, after those that were given before it. An error means that the supervisor is
    /// gone.
    pub(super) fn give(&self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !waiting.bytes.is_empty() {
            waiting.bytes.append(&mut line);
            return Ok(());
        }
        waiting.bytes = line;
        if !self.0.write(&mut waiting)? {
            let orders = Arc::clone(&self.0);
            self.0.runtime.spawn(async move { orders.write_rest().await });
        }
        Ok(())
    }

    /// Waits while so much waits that nothing large should be added.
    pub(super) async fn has_room(&self) {
        loop {
            let room = self.0.room.notified();
            if self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).bytes.len()
                < WAITING_MAX
            {
                return;
            }
            room.await;
        }
    }
}

impl Shared {
    /// Writes of what waits as much as fits; whether that was all.
    fn write(&self, waiting: &mut Waiting) -> io::Result<bool> {
        while let Some(rest) = waiting.bytes.get(waiting.written..).filter(|it| !it.is_empty()) {
            match self.pipe.try_write(rest) {
                Ok(count) => waiting.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    *waiting = Waiting { is_broken: true, ..Waiting::default() };
                    self.room.notify_waiters();
                    return Err(error);
                }
            }
        }
        *waiting = Waiting::default();
        self.room.notify_waiters();
        Ok(true)
    }

    async fn write_rest(&self) {
        while self.pipe.writable().await.is_ok() {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            match self.write(&mut waiting) {
                Ok(false) => {}
                // Whoever gives the next order hears of an error.
                Ok(true) | Err(_) => return,
            }
        }
    }
}
