//! The Python files of a project, found without reading them.
//!
//! [`crate::CodeStore`] copies them for a run, and the daemon's loader watches them.

use std::collections::BTreeMap;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most files and folders of a project that are looked at.
pub(crate) const ENTRIES_MAX: usize = 20_000;

/// How deep folders are looked into.
const DEPTH_MAX: usize = 32;

/// The sources of a project cannot be found or copied.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// There are too many of them.
    #[error(
        "the project's folder {} {problem}; keep data, and environments that are no Python ones, \
         outside of it or in a folder whose name begins with a dot",
        root.display()
    )]
    TooMuch {
        /// The project's folder.
        root: PathBuf,
        /// What there is too much of.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("the project's sources cannot be read or copied: {}", path.display())]
    Files {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// The Python files of a project by their paths relative to it.
pub type PythonFiles = BTreeMap<String, Stamp>;

/// What tells a file that was changed from one that was not, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    size: u64,
    inode: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            inode: metadata.ino(),
            mode: metadata.mode(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether its owner may start it as a program.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

/// The Python files below `folder` of the project in `root`: those that an import can reach.
pub fn python_files(root: &Path, folder: &str) -> Result<PythonFiles, CodeError> {
    let mut walk = Walk { root, found: PythonFiles::new(), entries: 0 };
    walk.folder(folder, 0)?;
    Ok(walk.found)
}

struct Walk<'r> {
    root: &'r Path,
    found: PythonFiles,
    entries: usize,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str, depth: usize) -> Result<(), CodeError> {
        let path = self.root.join(folder);
        let failed = |source| CodeError::Files { path: path.clone(), source };
        let entries = match std::fs::read_dir(&path) {
            Err(error) if depth > 0 && is_no_package(&error) => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                let problem = format!("has over {ENTRIES_MAX} files and folders");
                return Err(CodeError::TooMuch { root: self.root.to_owned(), problem });
            }
            self.entry(&entry, folder, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, folder: &str, depth: usize) -> Result<(), CodeError> {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
            return Ok(());
        };
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        // A link may be broken, and what is gone meanwhile was not there.
        let Ok(metadata) = std::fs::metadata(self.root.join(&path)) else { return Ok(()) };
        if metadata.is_dir() {
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !is_link && depth < DEPTH_MAX && may_be_package(self.root, &path, name) {
                self.folder(&path, depth + 1)?;
            }
        } else if millstream_model::is_python(name) {
            self.found.insert(path, Stamp::of(&metadata));
        }
        Ok(())
    }
}

/// Whether a folder that cannot be read is one that no import gets into: it is gone meanwhile, or
/// it is somebody else's.
fn is_no_package(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::NotFound | Kind::NotADirectory | Kind::PermissionDenied)
}

/// Whether an import can look into the folder: its name is one, and it is no environment.
pub(crate) fn may_be_package(root: &Path, path: &str, name: &str) -> bool {
    let is_name = name.chars().all(|c| c == '_' || c.is_alphanumeric());
    is_name
        && name != "node_modules"
        && name != "__pycache__"
        && !root.join(path).join("pyvenv.cfg").exists()
}
