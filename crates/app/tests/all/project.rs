//! A project's folder in a temporary place, and the binary run in it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The binary.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_millstream");

/// Where programs are found.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The longest that anything here may take, on a busy machine too.
const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks at what another process has done.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// A project and the variables that its commands get.
pub(crate) struct Project {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

impl Project {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// A folder with one definition file.
    pub(crate) fn with(definitions: &str) -> Self {
        let project = Self::new();
        project.write("dags/main.yaml", definitions);
        project
    }

    /// The same with a variable for all its commands.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a variable for the commands from now on; returns what it was before.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> Option<String> {
        let before = self.variables.iter().position(|(known, _)| known == name);
        let before = before.map(|place| self.variables.remove(place).1);
        self.variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        before
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Writes a program.
    pub(crate) fn program(&self, name: &str, content: &str) {
        self.write(name, content);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path(name), mode).unwrap();
    }

    /// The text of a file; empty when there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The binary with `arguments`, in the folder and with nothing of the test's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.plain(PROGRAM);
        command.args(arguments);
        command
    }

    /// Lines for the shell, in which `millstream` is the binary; the first that fails is the last.
    pub(crate) fn shell(&self, lines: &str) -> Command {
        let folder = Path::new(PROGRAM).parent().unwrap().display();
        let mut command = self.plain("/bin/sh");
        command.args(["-ec", lines]).env("PATH", format!("{folder}:{SEARCH_PATH}"));
        command
    }

    /// A program in the folder, with nothing of the test's environment.
    fn plain(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .env("HOME", self.dir.path())
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        Outcome {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Runs a command that has to succeed, and reads what it prints for programs.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let outcome = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
        outcome.json()
    }
}

impl Outcome {
    /// The JSON that it printed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Looks again and again, until `look` finds something; other processes send no word of what
/// they did.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// The short form of a run's id.
pub(crate) fn short(id: &str) -> &str {
    &id[id.len() - 8..]
}

/// The machine, for a test that uses all of it or that measures it: one of them at a time.
pub(crate) fn machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    // A test that failed leaves nothing behind in it.
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
