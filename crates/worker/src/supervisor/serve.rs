//! The supervisor's process: one loop that waits for orders, output, ends and deadlines.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millstream_model::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::protocol::{Notice, Order};
use super::watched::{Source, Watched};

/// The largest order; it holds a process's whole environment.
const ORDER_MAX: usize = 16 * 1024 * 1024;

/// How much is read at once from one pipe.
const READ_SIZE: usize = 64 * 1024;

/// How often ends are asked for where the kernel has no pidfd.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How long killed processes have to disappear before the supervisor ends without them.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs the supervisor until its stdin closes: the body of the hidden subcommand.
pub fn main() -> ExitCode {
    let mut supervisor = Serving::default();
    let result = supervisor.run(io::stdin().as_fd());
    supervisor.kill_all();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The state of the loop.
#[derive(Default)]
struct Serving {
    watched: Vec<Watched>,
    unread: Vec<u8>,
}

/// What can be read now.
#[derive(Default)]
struct Ready {
    orders: Option<PollFlags>,
    processes: Vec<(usize, Source)>,
}

impl Serving {
    /// Serves until the worker's end of the pipe closes.
    fn run(&mut self, orders: BorrowedFd<'_>) -> io::Result<()> {
        let mut buffer = vec![0; READ_SIZE];
        loop {
            let ready = self.wait(orders)?;
            for (index, source) in ready.processes {
                if let Some(watched) = self.watched.get_mut(index) {
                    watched.read(source, &mut buffer, wall_clock());
                }
            }
            if ready.orders.is_some() {
                let count = rustix::io::read(orders, &mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                self.obey(buffer.get(..count).unwrap_or_default())?;
            }
            self.advance()?;
        }
    }

    /// Waits until something can be read or is due.
    fn wait(&self, orders: BorrowedFd<'_>) -> io::Result<Ready> {
        let mut names = Vec::new();
        let mut all = vec![PollFd::from_borrowed_fd(orders, PollFlags::IN)];
        for (index, watched) in self.watched.iter().enumerate() {
            for (source, pipe) in watched.sources() {
                names.push((index, source));
                all.push(PollFd::from_borrowed_fd(pipe, PollFlags::IN));
            }
        }
        let timeout = self.patience(Instant::now());
        match rustix::event::poll(&mut all, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready::default()),
            Err(errno) => return Err(errno.into()),
        }
        let mut flags = all.iter().map(PollFd::revents);
        let orders = flags.next().filter(|flags| !flags.is_empty());
        let processes =
            names.into_iter().zip(flags).filter(|(_, f)| !f.is_empty()).map(|(n, _)| n).collect();
        Ok(Ready { orders, processes })
    }

    /// How long nothing will be due; `None` for ever.
    fn patience(&self, now: Instant) -> Option<Timespec> {
        let due = self.watched.iter().filter_map(Watched::due_at).min();
        let asked = self.watched.iter().any(Watched::needs_asking).then(|| now + ASK_EVERY);
        let next = [due, asked].into_iter().flatten().min()?;
        Timespec::try_from(next.saturating_duration_since(now)).ok()
    }

    /// Carries out the orders that `bytes` completes.
    fn obey(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unread.extend_from_slice(bytes);
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            match serde_json::from_slice(&line)? {
                Order::Spawn { id, spec } => {
                    let notice = match Watched::spawn(id, *spec, Instant::now()) {
                        Ok(watched) => {
                            let pid = watched.pid();
                            self.watched.push(watched);
                            Notice::Started { id, pid }
                        }
                        Err(error) => Notice::Refused {
                            id,
                            errno: error.raw_os_error(),
                            message: error.to_string(),
                        },
                    };
                    tell(&notice)?;
                }
                Order::Stop { id, grace } => {
                    if let Some(watched) = self.watched.iter_mut().find(|w| w.id() == id) {
                        watched.stop(grace, Instant::now());
                    }
                }
            }
        }
        if self.unread.len() > ORDER_MAX {
            return Err(io::Error::other("an order is over the limit of 16 MiB"));
        }
        Ok(())
    }

    /// Does what is due and reports the processes that have ended.
    fn advance(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let mut notices = Vec::new();
        self.watched.retain_mut(|watched| match watched.advance(now, wall_clock()) {
            Some(ended) => {
                notices.push(Notice::Ended { id: watched.id(), ended });
                false
            }
            None => true,
        });
        notices.iter().try_for_each(tell)
    }

    /// Kills every group and waits, within limits, until they are gone.
    fn kill_all(&mut self) {
        self.watched.iter_mut().for_each(Watched::kill);
        let until = Instant::now() + LAST_WAIT;
        while !self.watched.is_empty() && Instant::now() < until {
            let now = Instant::now();
            self.watched
                .retain_mut(|watched| watched.advance(now + LAST_WAIT, wall_clock()).is_none());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Sends one notice. An error means that the worker is gone, which ends the supervisor.
fn tell(notice: &Notice) -> io::Result<()> {
    let mut line = serde_json::to_vec(notice)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
