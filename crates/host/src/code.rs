//! The sources of a project as of one version: a copy that no later change touches.
//!
//! A copy mirrors the project's folder: Python files are copied, and whatever else lies beside them
//! is a link to the original, so that a path that begins at `__file__` still leads somewhere. The
//! hash of the copied files is the version.

use std::collections::BTreeMap;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_model::{ContentHash, ContentHasher};

/// The most files and folders of a project that are looked at.
const ENTRIES_MAX: usize = 20_000;

/// The most bytes that its Python files have together.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How deep folders are looked into.
const DEPTH_MAX: usize = 32;

/// How many versions are kept; the ones that no run has used for the longest time go.
const VERSIONS_MAX: usize = 50;

/// The file in a copy that is written anew when a run uses it.
const USED: &str = ".used";

/// The sources as of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The version.
    pub hash: ContentHash,
    /// Where the copy is.
    pub root: PathBuf,
}

/// The sources cannot be copied.
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
    #[error("the project's Python files cannot be copied: {}", path.display())]
    Files {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Where copies are kept, and the one that was used last.
#[derive(Debug)]
pub struct CodeStore {
    folder: PathBuf,
    root: PathBuf,
    last: Mutex<Option<Last>>,
}

/// The copy that was used last, with what it was made of.
#[derive(Debug)]
struct Last {
    sources: Sources,
    code: Arc<Code>,
}

/// The Python files of a project by their paths relative to it.
type Sources = BTreeMap<PathBuf, Stamp>;

/// What tells a file that was changed from one that was not, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What an entry of a folder is.
enum Kind {
    /// Not looked at.
    Nothing,
    Source(Stamp),
    /// A folder that may have sources.
    Package,
    Other,
}

/// What was found below a project's folder; paths are relative to it.
#[derive(Debug, Default)]
struct Found {
    sources: Sources,
    /// Files that are no sources, and folders without any.
    links: Vec<PathBuf>,
    entries: usize,
}

impl CodeStore {
    /// Keeps copies of the project in `root` below `folder`.
    pub fn new(folder: PathBuf, root: PathBuf) -> Self {
        Self { folder, root, last: Mutex::default() }
    }

    /// The sources as they are now. It looks at files, which takes a while: call it where that
    /// holds nobody up.
    pub fn pin(&self) -> Result<Arc<Code>, CodeError> {
        let mut found = Found::default();
        self.walk(Path::new(""), 0, &mut found)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Last { sources, code }) = &*last
            && *sources == found.sources
            && code.root.is_dir()
        {
            return Ok(Arc::clone(code));
        }
        let code = Arc::new(self.copy(&found)?);
        *last = Some(Last { sources: found.sources, code: Arc::clone(&code) });
        Ok(code)
    }

    /// Looks through a folder; true when there is a source in it or below.
    fn walk(&self, folder: &Path, depth: usize, found: &mut Found) -> Result<bool, CodeError> {
        let path = self.root.join(folder);
        let entries = std::fs::read_dir(&path).map_err(|source| files(&path, source))?;
        let mut links = Vec::new();
        let before = found.sources.len();
        for entry in entries {
            let entry = entry.map_err(|source| files(&path, source))?;
            found.entries += 1;
            if found.entries > ENTRIES_MAX {
                return Err(self.too_much(format!("has over {ENTRIES_MAX} files and folders")));
            }
            let path = folder.join(entry.file_name());
            match self.kind(&entry, &path, depth) {
                Kind::Nothing => {}
                Kind::Source(stamp) => _ = found.sources.insert(path, stamp),
                Kind::Package if self.walk(&path, depth + 1, found)? => {}
                Kind::Package | Kind::Other => links.push(path),
            }
        }
        let has_sources = found.sources.len() > before;
        if has_sources {
            found.links.append(&mut links);
        }
        Ok(has_sources)
    }

    fn kind(&self, entry: &DirEntry, path: &Path, depth: usize) -> Kind {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // A link may be broken, and what is gone meanwhile was not there.
        let Ok(metadata) = std::fs::metadata(self.root.join(path)) else { return Kind::Nothing };
        if name.starts_with('.') || name == "__pycache__" {
            Kind::Nothing
        } else if metadata.is_dir() {
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            let is_walked = !is_link && depth < DEPTH_MAX && self.may_be_package(path, &name);
            if is_walked { Kind::Package } else { Kind::Other }
        } else if path.extension().is_some_and(|extension| extension == "py") {
            Kind::Source(Stamp::of(&metadata))
        } else {
            Kind::Other
        }
    }

    /// Whether an import can look into the folder: its name is one, and it is no environment.
    fn may_be_package(&self, path: &Path, name: &str) -> bool {
        let is_name = name.chars().all(|c| c == '_' || c.is_alphanumeric());
        is_name && name != "node_modules" && !self.root.join(path).join("pyvenv.cfg").exists()
    }

    fn copy(&self, found: &Found) -> Result<Code, CodeError> {
        let total: u64 = found.sources.values().map(|stamp| stamp.size).sum();
        if total > BYTES_MAX {
            return Err(self.too_much(format!("has Python files of over {BYTES_MAX} bytes")));
        }
        let mut contents = Vec::with_capacity(found.sources.len());
        let mut hasher = ContentHasher::default();
        for path in found.sources.keys() {
            let from = self.root.join(path);
            let content = std::fs::read(&from).map_err(|source| files(&from, source))?;
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(&[0]);
            hasher.update(ContentHash::of(&content).as_str().as_bytes());
            contents.push((path, content));
        }
        let hash = hasher.finish();
        let root = self.folder.join(hash.as_str().get(..32).unwrap_or_default());
        if !root.is_dir() {
            self.write(&root, &contents, &found.links)?;
            self.remove_oldest();
        }
        let used = root.join(USED);
        std::fs::write(&used, []).map_err(|source| files(&used, source))?;
        Ok(Code { hash, root })
    }

    fn write(
        &self,
        root: &Path,
        contents: &[(&PathBuf, Vec<u8>)],
        links: &[PathBuf],
    ) -> Result<(), CodeError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let new = self.folder.join(format!(".{}-{number}", std::process::id()));
        let written = (|| {
            std::fs::create_dir_all(&new)?;
            for (path, content) in contents {
                let to = new.join(path);
                to.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                std::fs::write(to, content)?;
            }
            for path in links {
                std::os::unix::fs::symlink(self.root.join(path), new.join(path))?;
            }
            // Another worker may have been faster, with the same content.
            std::fs::rename(&new, root).or_else(|error| {
                if root.is_dir() { std::fs::remove_dir_all(&new) } else { Err(error) }
            })
        })();
        written.map_err(|source| files(&new, source))
    }

    /// Removes the versions beyond those that are kept. One that stays behind harms nobody.
    fn remove_oldest(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let used = |entry: DirEntry| {
            let used = std::fs::metadata(entry.path().join(USED)).and_then(|it| it.modified());
            Some((used.ok()?, entry.path()))
        };
        let mut versions: Vec<_> = entries.flatten().filter_map(used).collect();
        versions.sort();
        let excess = versions.len().saturating_sub(VERSIONS_MAX);
        for (_, path) in versions.into_iter().take(excess) {
            std::fs::remove_dir_all(path).ok();
        }
    }

    fn too_much(&self, problem: String) -> CodeError {
        CodeError::TooMuch { root: self.root.clone(), problem }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn files(path: &Path, source: io::Error) -> CodeError {
    CodeError::Files { path: path.to_owned(), source }
}
