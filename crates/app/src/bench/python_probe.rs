//! What Python can do at best on this machine: fork, and answer over a pipe.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use super::bed::{broken, micros};
use crate::error::AppError;

/// Forks, has the child send a little JSON, and reaps it; prints the mean time in microseconds.
const FORKS: &str = r#"
import gc, json, os, sys, time
count = int(sys.argv[1])
gc.collect(); gc.freeze()
start = time.perf_counter()
for _ in range(count):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps({"done": True}).encode())
        os._exit(0)
    os.close(write)
    json.loads(os.read(read, 65536))
    os.close(read)
    os.waitpid(pid, 0)
print((time.perf_counter() - start) / count * 1e6)
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

/// The mean time of `count` forks.
pub(super) fn forks(python: &Path, count: u32) -> Result<f64, AppError> {
    let mut command = Command::new(python);
    command.args(["-I", "-c", FORKS, &count.to_string()]).env_clear().stdin(Stdio::null());
    let output = command.output().map_err(|source| no_python(python, source))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| broken(&String::from_utf8_lossy(&output.stderr)))
}

/// A program that answers.
#[derive(Debug)]
pub(super) struct Echo {
    path: PathBuf,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Echo {
    pub(super) fn start(python: &Path) -> Result<Self, AppError> {
        let mut command = Command::new(python);
        command.args(["-I", "-c", ECHO]).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|source| no_python(python, source))?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| broken(&"the program has no pipes"))?;
        let answers = BufReader::new(answers);
        Ok(Self { path: python.to_owned(), child, orders, answers })
    }

    /// The mean time of `count` round trips.
    pub(super) fn trips(&mut self, count: u32) -> Result<f64, AppError> {
        let start = Instant::now();
        for _ in 0..count {
            self.trip().map_err(|source| no_python(&self.path, source))?;
        }
        Ok(micros(start.elapsed()) / f64::from(count))
    }

    fn trip(&mut self) -> io::Result<()> {
        let Some(orders) = &mut self.orders else { return Err(io::ErrorKind::BrokenPipe.into()) };
        orders.write_all(b"{\"function\": \"nothing\", \"context\": {}}\n")?;
        self.answers.read_line(&mut String::new()).map(|_| ())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It ends with its input.
        self.orders = None;
        self.child.wait().ok();
    }
}

fn no_python(python: &Path, source: io::Error) -> AppError {
    AppError::Files { path: python.to_owned(), source }
}
