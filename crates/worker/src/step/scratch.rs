//! The folder that one attempt has for itself while it runs.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// A folder that is removed, with all that is in it, when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the folder, which only this user can enter: the context may hold secrets.
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path.join("tmp"))?;
        Ok(Self { path })
    }

    /// The file that the step's context is in.
    pub(super) fn context(&self) -> PathBuf {
        self.path.join("context.json")
    }

    /// The file that the step leaves its result in.
    pub(super) fn result(&self) -> PathBuf {
        self.path.join("result.json")
    }

    /// The file with what a SQL step asks for.
    pub(super) fn request(&self) -> PathBuf {
        self.path.join("request.json")
    }

    /// The file with what became of a SQL step.
    pub(super) fn answer(&self) -> PathBuf {
        self.path.join("answer.json")
    }

    /// The file with the rows of a SQL step.
    pub(super) fn rows(&self) -> PathBuf {
        self.path.join("rows")
    }

    /// The folder for the step's own temporary files.
    pub(super) fn tmp(&self) -> PathBuf {
        self.path.join("tmp")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a step's folder stays behind");
        }
        // The run's folder goes with its last attempt; until then it is not empty.
        if let Some(run) = self.path.parent() {
            std::fs::remove_dir(run).ok();
        }
    }
}
