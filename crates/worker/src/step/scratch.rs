//! What one attempt has for itself on the disk while it runs: a folder, and files beside it.
//!
//! Every folder that is made and removed is work for the file system's journal, and a step that
//! does little is measured by it: so an attempt makes one, and the run's own stays until the run is
//! over.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The names of an attempt's files, behind its own.
const CONTEXT: &str = "context.json";
const RESULT: &str = "result.json";
const REQUEST: &str = "request.json";
const ANSWER: &str = "answer.json";
const ROWS: &str = "rows";
const MESSAGES: &str = "messages";
const PIPES_CONTEXT: &str = "pipes.json";

/// An attempt's folder and files; all of it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the folder at `path` and the one it is in, which only this user can enter: the context
    /// may hold secrets.
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    /// Only the files beside the folder at `path`, for a step that has no use for a folder.
    pub(super) fn of_files(path: PathBuf) -> io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        path.parent().map_or(Ok(()), |run| builder.recursive(true).mode(0o700).create(run))?;
        Ok(Self { path })
    }

    /// The file that the step's context is in.
    pub(super) fn context(&self) -> PathBuf {
        self.file(CONTEXT)
    }

    /// The file that the step leaves its result in.
    pub(super) fn result(&self) -> PathBuf {
        self.file(RESULT)
    }

    /// The file with what a SQL step asks for.
    pub(super) fn request(&self) -> PathBuf {
        self.file(REQUEST)
    }

    /// The file with what became of a SQL step.
    pub(super) fn answer(&self) -> PathBuf {
        self.file(ANSWER)
    }

    /// The file with the rows of a SQL step.
    pub(super) fn rows(&self) -> PathBuf {
        self.file(ROWS)
    }

    /// The file with a copy of the rows of one of the step's inputs, which goes with the folder.
    pub(super) fn input(&self, number: usize) -> PathBuf {
        self.path.join(format!("input.{number}"))
    }

    /// The file that the step's program writes its messages to.
    pub(super) fn messages(&self) -> PathBuf {
        self.file(MESSAGES)
    }

    /// The file with a context of Pipes that is too large for a variable.
    pub(super) fn pipes_context(&self) -> PathBuf {
        self.file(PIPES_CONTEXT)
    }

    /// The folder for the step's own temporary files.
    pub(super) fn tmp(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.with_added_extension(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for name in [CONTEXT, RESULT, REQUEST, ANSWER, ROWS, MESSAGES, PIPES_CONTEXT] {
            // Most attempts have but some of them.
            std::fs::remove_file(self.file(name)).ok();
        }
        // Most steps leave nothing in it, and some have none.
        match std::fs::remove_dir(&self.path) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => {}
        }
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a step's folder stays behind");
        }
    }
}

/// The folder of a run's attempts; it goes with the run, if nothing was left in it.
#[derive(Debug)]
pub(crate) struct RunScratch(pub(crate) PathBuf);

impl Drop for RunScratch {
    fn drop(&mut self) {
        // A run whose steps are no processes never had one.
        std::fs::remove_dir(&self.0).ok();
    }
}
