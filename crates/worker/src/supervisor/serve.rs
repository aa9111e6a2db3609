//! The supervisor's process: one loop that waits for orders, output, ends and deadlines.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millstream_model::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::protocol::{Notice, Order};
use super::watched::{Ledger, Source, Watched};
use super::{kernel, orphans};

/// The largest order; it holds a process's whole environment.
const ORDER_MAX: usize = 16 * 1024 * 1024;

/// How much is read at once from one pipe.
const READ_SIZE: usize = 64 * 1024;

/// How often ends are asked for where the kernel has no pidfd.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How often what a step left behind is asked for after it was killed.
const REAP_EVERY: Duration = Duration::from_millis(1);

/// How long the notice of a start may wait. A program that does nothing takes about as long.
const SOON: Duration = Duration::from_millis(1);

/// How long killed processes have to disappear before the supervisor ends without them.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs the supervisor until its stdin closes: the body of the hidden subcommand.
pub fn main() -> ExitCode {
    orphans::accept();
    let mut supervisor = Serving {
        watched: Vec::new(),
        unread: Vec::new(),
        unsaid: Vec::new(),
        ledger: Ledger::new(),
        is_to_end: false,
    };
    let result = supervisor.run(io::stdin().as_fd());
    supervisor.kill_all();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The state of the loop.
struct Serving {
    watched: Vec<Watched>,
    unread: Vec<u8>,
    /// Notices of starts, which are said with the next thing that happens, or [`SOON`]: who waits
    /// for a process that is over by then is not woken twice, and not while it runs.
    unsaid: Vec<u8>,
    ledger: Ledger,
    is_to_end: bool,
}

/// What can be read now.
#[derive(Default)]
struct Ready {
    orders: Option<PollFlags>,
    processes: Vec<(usize, Source)>,
}

impl Serving {
    /// Serves until the worker's end of the pipe closes, or the worker has it end.
    fn run(&mut self, orders: BorrowedFd<'_>) -> io::Result<()> {
        let mut buffer = vec![0; READ_SIZE];
        loop {
            let ready = self.wait(orders)?;
            for (index, source) in ready.processes {
                if let Some(watched) = self.watched.get_mut(index) {
                    watched.read(source, &mut buffer, wall_clock());
                }
            }
            self.advance()?;
            self.say()?;
            if ready.orders.is_some() {
                let count = rustix::io::read(orders, &mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                self.obey(buffer.get(..count).unwrap_or_default())?;
                if self.is_to_end {
                    return Ok(());
                }
            }
        }
    }

    /// Waits until something can be read or is due, and not long where there is something to say.
    fn wait(&self, orders: BorrowedFd<'_>) -> io::Result<Ready> {
        let mut names = Vec::new();
        let mut all = vec![PollFd::from_borrowed_fd(orders, PollFlags::IN)];
        for (index, watched) in self.watched.iter().enumerate() {
            for (source, pipe) in watched.sources() {
                names.push((index, source));
                all.push(PollFd::from_borrowed_fd(pipe, PollFlags::IN));
            }
        }
        // One that is too long for the kernel is as good as none.
        let timeout =
            self.patience(Instant::now()).and_then(|timeout| Timespec::try_from(timeout).ok());
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

    /// How long nothing will be due or has to be said; `None` for ever.
    fn patience(&self, now: Instant) -> Option<Duration> {
        let said = (!self.unsaid.is_empty()).then(|| now + SOON);
        let due = self.watched.iter().filter_map(Watched::due_at).min();
        let asked = self.watched.iter().any(Watched::needs_asking).then(|| now + ASK_EVERY);
        let is_left = |it: &Watched| it.is_draining() && it.has_orphans();
        let left = self.watched.iter().any(is_left).then(|| now + REAP_EVERY);
        let next = [said, due, asked, left].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Carries out the orders that `bytes` completes.
    fn obey(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unread.extend_from_slice(bytes);
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            match serde_json::from_slice(&line)? {
                Order::Spawn { id, spec } => {
                    // To start this one takes long enough for the one before to have children.
                    self.watched.iter_mut().for_each(Watched::offer);
                    let notice = match Watched::spawn(id, &spec, Instant::now()) {
                        Ok(watched) => {
                            let pid = watched.pid();
                            self.watched.push(watched);
                            Notice::Started { id, pid }
                        }
                        Err(error) => Notice::Refused { id, message: error.to_string() },
                    };
                    self.note(&notice)?;
                    if matches!(notice, Notice::Refused { .. }) {
                        self.say()?;
                    }
                }
                Order::Stop { id, grace } => {
                    if let Some(watched) = self.watched.iter_mut().find(|w| w.id() == id) {
                        watched.stop(grace, Instant::now());
                    }
                }
                Order::End => self.is_to_end = true,
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
        let mut is_over = false;
        let mut wants_a_look = false;
        for watched in &mut self.watched {
            wants_a_look |= watched.wants_a_look(now);
            is_over |= watched.advance(now, &mut self.ledger);
        }
        if is_over || wants_a_look {
            self.look(now);
        }
        if !is_over {
            return Ok(());
        }
        let wall_clock = wall_clock();
        let mut notices = Vec::new();
        self.watched.retain_mut(|watched| match watched.completed(now, wall_clock) {
            Some(ended) => {
                notices.push(Notice::Ended { id: watched.id(), ended });
                false
            }
            None => true,
        });
        notices.iter().try_for_each(|notice| self.note(notice))
    }

    /// Keeps a notice until the next thing is said.
    fn note(&mut self, notice: &Notice) -> io::Result<()> {
        serde_json::to_writer(&mut self.unsaid, notice)?;
        self.unsaid.push(b'\n');
        Ok(())
    }

    /// Sends the notices. An error means that the worker is gone, which ends the supervisor.
    fn say(&mut self) -> io::Result<()> {
        if self.unsaid.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(&self.unsaid)?;
        self.unsaid.clear();
        out.flush()
    }

    /// Looks at what the processes have become and what they use.
    fn look(&mut self, now: Instant) {
        for watched in self.watched.iter_mut().filter(|watched| watched.has_orphans()) {
            watched.reap_orphans(&mut self.ledger);
        }
        // After that: an orphan that is gone may have left orphans of its own.
        orphans::adopt(&mut self.watched);
        for watched in self.watched.iter_mut().filter(|watched| watched.wants_a_look(now)) {
            watched.look(now);
        }
    }

    /// Kills every group and waits, within limits, until they are gone and what they said before
    /// is in the logs.
    fn kill_all(&mut self) {
        let mut buffer = vec![0; READ_SIZE];
        self.watched.iter_mut().for_each(Watched::kill);
        let until = Instant::now() + LAST_WAIT;
        while Instant::now() < until {
            for watched in &mut self.watched {
                watched.read_rest(&mut buffer, wall_clock());
                watched.ask();
                watched.advance(Instant::now(), &mut self.ledger);
            }
            self.look(Instant::now());
            let now = Instant::now();
            self.watched.retain_mut(|watched| watched.completed(now, wall_clock()).is_none());
            if self.watched.is_empty() && kernel::children(rustix::process::getpid()).is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving() -> Serving {
        let (watched, unread, unsaid) = (Vec::new(), Vec::new(), Vec::new());
        Serving { watched, unread, unsaid, ledger: Ledger::new(), is_to_end: false }
    }

    #[test]
    fn the_notice_of_a_start_waits_for_what_happens_next_but_not_long() {
        let mut serving = serving();
        let now = Instant::now();
        assert_eq!(serving.patience(now), None, "there is nothing to do");
        serving.note(&Notice::Started { id: 1, pid: 2 }).unwrap();
        assert_eq!(serving.patience(now), Some(SOON));
    }
}
