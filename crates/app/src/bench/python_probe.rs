//! What Python can do at best on this machine: fork, and answer over a pipe.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::bed::broken;
use crate::error::AppError;

/// For each line of JSON: forks, has the child send a little JSON, reaps it, and answers with that.
const FORKS: &str = r#"
import gc, json, os
gc.collect(); gc.freeze()
while True:
    data = os.read(0, 65536)
    if not data:
        break
    json.loads(data)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps({"done": True}).encode())
        os._exit(0)
    os.close(write)
    result = os.read(read, 65536)
    os.close(read)
    os.waitpid(pid, 0)
    os.write(1, result + b"\n")
"#;

/// Answers each line of JSON with one.
const ECHO: &str = r#"
import json, os
while True:
    data = os.read(0, 65536)
    if not data:
        break
    json.loads(data)
    os.write(1, json.dumps({"done": True}).encode() + b"\n")
"#;

/// A program that answers lines.
#[derive(Debug)]
pub(super) struct Answering {
    path: PathBuf,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Answering {
    /// One that answers by itself.
    pub(super) fn itself(python: &Path) -> Result<Self, AppError> {
        Self::start(python, ECHO)
    }

    /// One that has a fork of its own make each answer.
    pub(super) fn by_forks(python: &Path) -> Result<Self, AppError> {
        Self::start(python, FORKS)
    }

    fn start(python: &Path, source: &str) -> Result<Self, AppError> {
        let mut command = Command::new(python);
        command.args(["-I", "-c", source]).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|source| no_python(python, source))?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| broken(&"the program has no pipes"))?;
        let answers = BufReader::new(answers);
        Ok(Self { path: python.to_owned(), child, orders, answers })
    }

    /// One line there and one back.
    pub(super) fn trip(&mut self) -> Result<(), AppError> {
        self.exchange().map_err(|source| no_python(&self.path, source))
    }

    fn exchange(&mut self) -> io::Result<()> {
        let Some(orders) = &mut self.orders else { return Err(io::ErrorKind::BrokenPipe.into()) };
        orders.write_all(b"{\"function\": \"nothing\", \"context\": {}}\n")?;
        let answered = self.answers.read_line(&mut String::new())?;
        if answered == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // It ends with its input.
        self.orders = None;
        self.child.wait().ok();
    }
}

fn no_python(python: &Path, source: io::Error) -> AppError {
    AppError::Files { path: python.to_owned(), source }
}
