//! A folder for one measurement, on the disk that the project's own state is on.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::AppError;

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// An empty folder below the state of the project in `project`.
    pub(super) fn below(project: &Path) -> Result<Self, AppError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let project = std::path::absolute(project).unwrap_or_else(|_| project.to_owned());
        let name = format!("{}-{number}", std::process::id());
        let path = project.join(".millstream").join("bench").join(name);
        make(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a definition file of the project that the folder is.
    pub(super) fn define(&self, name: &str, content: &str) -> Result<(), AppError> {
        let path = self.path.join("dags").join(name);
        if let Some(parent) = path.parent() {
            make(parent)?;
        }
        std::fs::write(&path, content).map_err(|source| AppError::Files { path, source })
    }
}

fn make(path: &Path) -> Result<(), AppError> {
    std::fs::create_dir_all(path)
        .map_err(|source| AppError::Files { path: path.to_owned(), source })
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a folder stays behind");
        }
        // The folders above go with the last one in them.
        let above = self.path.ancestors().skip(1).take(2);
        above.take_while(|path| std::fs::remove_dir(path).is_ok()).for_each(drop);
    }
}
