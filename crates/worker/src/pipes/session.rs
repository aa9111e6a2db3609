//! The doing: follows the file for messages while a program runs, and keeps what it says.
//!
//! Whoever runs a program of a step opens a [`Session`], runs the program within
//! [`Session::follow`], and asks then what it said. The file is open from the start, so a program
//! cannot have another one read.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use millstream_blob::{LogStream, LogWriter};
use millstream_model::{EventBody, PipesChannel};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::bootstrap::{self, Facts};
use super::ledger::{Effect, Ledger};
use super::lines::{Line, Lines};
use super::{Exception, Subject};
use crate::Clock;
use crate::supervisor::MessageTap;

/// How often a program that runs is listened to.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How much is read at once.
const READ_SIZE: usize = 1024 * 1024;

/// Where a session's files are, and who hears of its events.
pub(crate) struct Channel {
    /// Where messages go.
    pub(crate) kind: PipesChannel,
    /// The file for messages.
    pub(crate) messages: PathBuf,
    /// The file for a context that is too large for a variable.
    pub(crate) context: PathBuf,
    /// The step's logs: its standard output, and its standard error.
    pub(crate) logs: [PathBuf; 2],
    /// When log lines came.
    pub(crate) clock: Arc<dyn Clock>,
    /// Who hears of events.
    pub(crate) events: mpsc::Sender<EventBody>,
}

/// What a program said in all.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Whether it reported the step's own asset, which then is not reported again.
    pub(crate) has_made_asset: bool,
    /// Its last custom message.
    pub(crate) said: Option<Value>,
    /// The exception it closed with.
    pub(crate) exception: Option<Exception>,
}

/// One program of a step, and what it has said so far.
pub(crate) struct Session {
    channel: Channel,
    file: Arc<File>,
    /// How much of the file was read.
    offset: u64,
    lines: Lines,
    ledger: Ledger,
    /// Events that nobody has heard of yet; what was read at once bounds them.
    waiting: VecDeque<EventBody>,
}

impl Session {
    /// Adds the variables that tell a program of the file for messages to `env`; `messages` opens
    /// the file, which is empty.
    ///
    /// `None` where the author has turned Pipes off. What the author has set stays as it is.
    pub(crate) fn open(
        channel: Channel,
        subject: Subject,
        facts: &Facts<'_>,
        messages: impl FnOnce() -> io::Result<Arc<File>>,
        env: &mut BTreeMap<String, String>,
    ) -> io::Result<Option<Self>> {
        let path = channel.messages.to_string_lossy();
        let Some(told) = bootstrap::messages(channel.kind, &path) else { return Ok(None) };
        let file = messages()?;
        let data = facts.context()?;
        let context = if data.len() <= bootstrap::INLINE_MAX {
            format!(r#"{{"data":{data}}}"#)
        } else {
            std::fs::write(&channel.context, data)?;
            json!({ "path": channel.context.to_string_lossy() }).to_string()
        };
        let mut set = |name: &str, value: &str| {
            if let Entry::Vacant(place) = env.entry(name.to_owned()) {
                place.insert(bootstrap::encode(value));
            }
        };
        set(bootstrap::CONTEXT, &context);
        set(bootstrap::MESSAGES, &told.to_string());
        Ok(Some(Self {
            channel,
            file,
            offset: 0,
            lines: Lines::default(),
            ledger: Ledger::new(subject),
            waiting: VecDeque::new(),
        }))
    }

    /// The output that messages are to be taken out of, if they stand in one.
    pub(crate) fn tapped(&self) -> Option<MessageTap> {
        let stream = match self.channel.kind {
            PipesChannel::Stdout | PipesChannel::BufferedStdout => LogStream::Out,
            PipesChannel::Stderr | PipesChannel::BufferedStderr => LogStream::Err,
            PipesChannel::File | PipesChannel::Off => return None,
        };
        Some(MessageTap { stream, path: self.channel.messages.clone() })
    }

    /// Listens until `end` has come, and then to what is left.
    pub(crate) async fn follow<T>(&mut self, end: impl Future<Output = T>) -> T {
        let events = self.channel.events.clone();
        let clock = Arc::clone(&self.channel.clock);
        let mut end = pin!(end);
        let ended = loop {
            let has_news = !self.waiting.is_empty();
            tokio::select! {
                biased;
                ended = &mut end => break ended,
                // While nobody hears of events, no more are read.
                permit = events.reserve(), if has_news => {
                    let Ok(permit) = permit else { break end.await };
                    if let Some(event) = self.waiting.pop_front() {
                        permit.send(event);
                    }
                }
                () = clock.sleep(LOOK_EVERY), if !has_news => self.look().await,
            }
        };
        loop {
            while let Some(event) = self.waiting.pop_front() {
                // Whoever does not listen any more has given the run up.
                self.channel.events.send(event).await.ok();
            }
            if self.unread() == 0 {
                break;
            }
            self.look().await;
        }
        let mut effects = Vec::new();
        if let Some(line) = self.lines.rest() {
            effects.extend(self.ledger.take(line));
        }
        effects.extend(self.ledger.end());
        self.carry_out(effects);
        while let Some(event) = self.waiting.pop_front() {
            self.channel.events.send(event).await.ok();
        }
        ended
    }

    /// What the program said, once it has ended.
    pub(crate) fn told(&mut self) -> Told {
        Told {
            has_made_asset: self.ledger.has_made_asset(),
            said: self.ledger.take_said(),
            exception: self.ledger.exception().cloned(),
        }
    }

    fn unread(&self) -> u64 {
        // A file that cannot be asked has nothing more to say.
        self.file.metadata().map_or(0, |file| file.len().saturating_sub(self.offset))
    }

    /// Reads what is new, up to a limit.
    async fn look(&mut self) {
        let unread = usize::try_from(self.unread()).unwrap_or(READ_SIZE).min(READ_SIZE);
        if unread == 0 {
            return;
        }
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; unread];
            let count = file.read_at(&mut bytes, offset)?;
            bytes.truncate(count);
            io::Result::Ok(bytes)
        });
        let bytes = match reading.await.map_err(io::Error::other).flatten() {
            Ok(bytes) => bytes,
            Err(error) => {
                let path = self.channel.messages.display();
                tracing::warn!(%error, %path, "messages of a step are lost");
                self.offset = u64::MAX;
                return;
            }
        };
        self.offset += bytes.len() as u64;
        let lines: Vec<Line> = self.lines.push(&bytes);
        let effects = lines.into_iter().flat_map(|line| self.ledger.take(line)).collect();
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let mut logged = [String::new(), String::new()];
        for effect in effects {
            match effect {
                Effect::Event(event) => self.waiting.push_back(event),
                Effect::Log(stream, text) => {
                    let [out, err] = &mut logged;
                    match stream {
                        LogStream::Out => out.push_str(&text),
                        LogStream::Err => err.push_str(&text),
                    }
                }
            }
        }
        for (path, text) in self.channel.logs.iter().zip(logged) {
            let mut log = LogWriter::new(path.clone());
            if let Err(error) = log.append(text.as_bytes(), self.channel.clock.now()) {
                tracing::warn!(path = %path.display(), %error, "lines of a step's log are missing");
            }
        }
    }
}
