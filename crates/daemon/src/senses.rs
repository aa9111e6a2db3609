//! How a daemon gets the answer to a sensor's question: from a step, from a folder, or not at all.
//!
//! User code runs in child processes through the asker; nothing here decides what an answer means.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use millstream_control::{Control, FileSeen, SensorAsking, SensorReply};
use millstream_launch::{Answered, Asked, Asker};
use millstream_model::{
    ErrorCode, FileQuestion, HumanDuration, SensorQuestion, StepError, TickWarning, Timestamp,
    chain,
};
use millstream_outbound::{Aws, Client, Limits};

use crate::objects::objects;

/// How long after its timeout a question may still take to end its processes.
const GRACE: Duration = Duration::from_secs(30);

/// Files that a walk looks at, whether they match or not.
const WALKED_MAX: usize = 500_000;

/// Letters of a program's last words that a tick keeps.
const SAID_MAX: usize = 500;

/// Folders that lie in one another.
const DEPTH_MAX: usize = 32;

/// What a daemon asks with.
#[derive(Clone)]
pub struct Senses {
    /// Asks steps.
    pub asker: Arc<dyn Asker>,
    /// The project's folder, which files are below.
    pub project: PathBuf,
    /// The account in whose name objects are listed.
    pub aws: Aws,
    /// The client for it, which all that ask share.
    pub client: Arc<OnceLock<Client>>,
}

/// Limits of requests to S3, which those of a listing replace.
const S3_LIMITS: Limits =
    Limits { connect: Duration::from_secs(10), total: Duration::from_mins(1), answer_max: 1 << 20 };

/// What a sensor's question came to.
pub(crate) struct Replied {
    /// The answer, or why there is none.
    pub(crate) reply: Result<SensorReply, TickWarning>,
    /// The end of what its program wrote beside the answer.
    pub(crate) said: String,
}

impl Replied {
    /// An answer that no program gave.
    pub(crate) fn of(reply: Result<SensorReply, TickWarning>) -> Self {
        Self { reply, said: String::new() }
    }
}

impl Senses {
    /// What is said to a sensor's question, or why nothing is, and what its program wrote.
    pub(crate) async fn reply(&self, control: &Control, asking: &SensorAsking) -> Replied {
        // Where that cannot be read the tick cannot be stored either.
        if control.rests(asking).await.unwrap_or(false) {
            return Replied::of(Ok(SensorReply::Resting));
        }
        let question = match &asking.def.question {
            SensorQuestion::Files(_) => return Replied::of(self.files(control, asking).await),
            _ => control.question_of(asking),
        };
        let question = match question {
            None => return Replied::of(Ok(SensorReply::None)),
            Some(Err(warning)) => return Replied::of(Err(warning)),
            Some(Ok(question)) => question,
        };
        let limit = asking.def.timeout.0;
        let asked = tokio::time::timeout(limit + GRACE, self.asker.ask(question)).await;
        let Ok(Answered { came, said }) = asked else {
            let message = format!("it was not answered in {}", asking.def.timeout);
            return Replied::of(Err(failed(message)));
        };
        let reply = match came {
            Ok(Asked::Answer(value)) => Ok(SensorReply::Value(value)),
            Ok(Asked::Skipped(reason)) => Ok(SensorReply::Skipped(reason)),
            Err(error) => Err(unanswered(error, asking.def.timeout)),
        };
        Replied { reply, said }
    }

    /// The files that a sensor looks for.
    async fn files(
        &self,
        control: &Control,
        asking: &SensorAsking,
    ) -> Result<SensorReply, TickWarning> {
        if let SensorQuestion::Files(question) = &asking.def.question {
            let now = control.now();
            let until = millstream_control::settled_until(question, asking.cursor.as_deref(), now);
            if question.path.starts_with(FileQuestion::S3) {
                let objects = self.objects(question, (until, now));
                let limit = asking.def.timeout;
                let listed = tokio::time::timeout(limit.0, objects).await;
                let listed = listed.unwrap_or_else(|_| Err(format!("it took longer than {limit}")));
                return listed.map(SensorReply::Files).map_err(failed);
            }
            let (folder, question) = (self.project.join(&question.path), question.clone());
            let walk = move || files(&folder, &question, until);
            let walked = tokio::task::spawn_blocking(walk).await;
            let walked = walked.unwrap_or_else(|error| Err(format!("the walk broke: {error}")));
            return walked.map(SensorReply::Files).map_err(failed);
        }
        Ok(SensorReply::None)
    }
}

impl Senses {
    async fn objects(
        &self,
        question: &FileQuestion,
        (until, now): (Timestamp, Timestamp),
    ) -> Result<Vec<FileSeen>, String> {
        let client = if let Some(client) = self.client.get() {
            client
        } else {
            let client = Client::direct(S3_LIMITS).map_err(|error| chain(&error))?;
            self.client.get_or_init(|| client)
        };
        let micros = u64::try_from(now.as_micros()).unwrap_or_default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        objects((client, &self.aws), question, (until, now)).await
    }
}

/// Why there is no answer, of a sensor that may take as long as `limit`.
fn unanswered(error: StepError, limit: HumanDuration) -> TickWarning {
    let message = match error.code {
        ErrorCode::StepTimeout => format!("timeout: the sensor took longer than {limit}"),
        _ => error.message,
    };
    let detail = error.detail.filter(|detail| !detail.trim().is_empty());
    let message = match detail {
        Some(detail) => format!("{message}: {}", one_line(&detail)),
        None => message,
    };
    TickWarning { partition: None, code: error.code, message }
}

/// The end of what a program wrote, as one line.
pub(crate) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join(" · ");
    let from = text.char_indices().rev().nth(SAID_MAX).map_or(0, |(at, _)| at);
    text.get(from..).unwrap_or_default().to_owned()
}

fn failed(message: String) -> TickWarning {
    TickWarning { partition: None, code: ErrorCode::SensorAsk, message }
}

/// The files below `folder` that match and have been left alone since `until`, sorted by path.
fn files(
    folder: &Path,
    question: &FileQuestion,
    until: Timestamp,
) -> Result<Vec<FileSeen>, String> {
    let mut walk = Walk {
        pattern: question.pattern.as_deref().unwrap_or("**"),
        until,
        walked: 0,
        found: Vec::new(),
    };
    walk.folder(folder, "", 1)?;
    walk.found.sort();
    Ok(walk.found)
}

struct Walk<'p> {
    pattern: &'p str,
    until: Timestamp,
    walked: usize,
    found: Vec<FileSeen>,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, below: &str, depth: usize) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            // A name that is no text can be in no run key.
            let Some(name) = name.to_str() else { continue };
            let path_below =
                if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            // Links are not followed: they could lead out of the folder.
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() && depth < DEPTH_MAX {
                self.folder(&entry.path(), &path_below, depth + 1)?;
            } else if kind.is_file() {
                self.file(&entry, path_below)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, entry: &std::fs::DirEntry, path: String) -> Result<(), String> {
        use std::os::unix::fs::MetadataExt as _;
        self.walked += 1;
        if self.walked > WALKED_MAX {
            return Err(format!("there are more than {WALKED_MAX} files below it"));
        }
        // A file that is gone between the walk and the look is no news.
        let Ok(metadata) = entry.metadata() else { return Ok(()) };
        // The time of the last change of any kind, which a move sets too.
        let seconds = metadata.ctime().saturating_mul(1_000_000);
        let changed_at = Timestamp::from_micros(seconds + metadata.ctime_nsec() / 1_000);
        if changed_at > self.until || !millstream_control::path_matches(self.pattern, &path) {
            return Ok(());
        }
        if self.found.len() >= millstream_control::SENSOR_FILES_MAX {
            let limit = millstream_control::SENSOR_FILES_MAX;
            return Err(format!("more than {limit} files match; choose a narrower pattern"));
        }
        self.found.push(FileSeen { path, size: metadata.len(), changed_at });
        Ok(())
    }
}
