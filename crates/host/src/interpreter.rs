//! Which Python runs code: what is called so is asked once what it really is.
//!
//! `python3` is often a script that looks for one; to go through it for each process would cost
//! many times what the process does.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Mutex;

/// The oldest Python that the shim runs on.
const OLDEST: (u32, u32) = (3, 9);

/// How long an interpreter may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(20);

const QUESTION: &str = "import sys; print(sys.executable); print(*sys.version_info[:2])";

/// An interpreter cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterpreterError {
    /// It cannot be started, or does not answer as Python does.
    #[error(
        "cannot use {name:?} as a Python interpreter: {problem}; install Python 3.9 or newer, or \
         name one by `interpreter` or MILLSTREAM_PYTHON"
    )]
    Unusable {
        /// As it was asked for.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// The interpreters that were asked for, with their programs.
#[derive(Debug, Default)]
pub struct Interpreters {
    known: Mutex<HashMap<String, PathBuf>>,
}

impl Interpreters {
    /// The program that `name`, a path or a name on `PATH`, really is.
    pub async fn find(
        &self,
        name: &str,
        env: &BTreeMap<String, String>,
        folder: &Path,
    ) -> Result<PathBuf, InterpreterError> {
        let mut known = self.known.lock().await;
        if let Some(program) = known.get(name) {
            return Ok(program.clone());
        }
        let unusable =
            |problem: String| InterpreterError::Unusable { name: name.to_owned(), problem };
        // A relative path begins at the project, as all paths of definitions do.
        let asked = if name.contains('/') { folder.join(name) } else { PathBuf::from(name) };
        let program = ask(&asked, env, folder).await.map_err(unusable)?;
        known.insert(name.to_owned(), program.clone());
        Ok(program)
    }
}

async fn ask(
    program: &Path,
    env: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<PathBuf, String> {
    let asking = Command::new(program)
        .args(["-I", "-c", QUESTION])
        .env_clear()
        .envs(env)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, asking)
        .await
        .map_err(|_| format!("it did not answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let (path, version) = read(&said).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("it answered {:?} {:?}", said.trim(), errors.trim())
    })?;
    if version < OLDEST {
        return Err(format!("it is Python {}.{}", version.0, version.1));
    }
    Ok(path)
}

fn read(said: &str) -> Option<(PathBuf, (u32, u32))> {
    let mut lines = said.lines();
    let path = PathBuf::from(lines.next().filter(|path| path.starts_with('/'))?);
    let (major, minor) = lines.next()?.split_once(' ')?;
    Some((path, (major.parse().ok()?, minor.parse().ok()?)))
}
