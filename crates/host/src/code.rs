//! The sources of a project as of one version: a copy that no later change touches.
//!
//! A copy mirrors the project's folder: the files of the version are copied, and whatever else lies
//! beside them is a link to the original, so that a path that begins at a file's own folder still
//! leads somewhere. The hash of the copied files is the version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirEntry, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_model::{ContentHash, SourceFile, SourceSet, is_python};

use crate::tree::{CodeError, PythonFiles, Stamp, python_files};

/// The most bytes that the sources of one version have together.
pub const CODE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many versions are kept; the ones that no run has used for the longest time go.
const VERSIONS_MAX: usize = 50;

/// The most links that a copy has to what lies beside its files.
const LINKS_MAX: usize = 20_000;

/// The file in a copy that is written anew when a run uses it.
const USED: &str = ".used";

/// The sources as of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The version.
    pub hash: ContentHash,
    /// Where the copy is.
    pub root: PathBuf,
    /// What was copied.
    pub set: SourceSet,
}

/// Where copies are kept, and the one that was used last.
#[derive(Debug)]
pub struct CodeStore {
    folder: PathBuf,
    root: PathBuf,
    last: Mutex<Option<Last>>,
}

/// The copy of the project that was made last, with what it was made of.
#[derive(Debug)]
struct Last {
    sources: PythonFiles,
    code: Arc<Code>,
}

impl CodeStore {
    /// Keeps copies of the project in `root` below `folder`.
    pub fn new(folder: PathBuf, root: PathBuf) -> Self {
        Self { folder, root, last: Mutex::default() }
    }

    /// The project's Python files as they are now, for a step whose definition names no version.
    /// It looks at files, which takes a while: call it where that holds nobody up.
    pub fn pin(&self) -> Result<Arc<Code>, CodeError> {
        let sources = python_files(&self.root, "")?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && last.sources == sources
            && last.code.root.is_dir()
        {
            return Ok(Arc::clone(&last.code));
        }
        let (set, contents) = self.read(&sources)?;
        let code = match self.find(&set)? {
            Some(code) => code,
            None => self.check_out(set, &contents)?,
        };
        *last = Some(Last { sources, code: Arc::clone(&code) });
        Ok(code)
    }

    /// The copy of `set`, if there is one already.
    pub fn find(&self, set: &SourceSet) -> Result<Option<Arc<Code>>, CodeError> {
        let code = self.code(set.clone());
        if !code.root.is_dir() {
            return Ok(None);
        }
        self.used(&code).map(Some)
    }

    /// Copies `set`, whose files have `contents`, by their hashes.
    pub fn check_out(
        &self,
        set: SourceSet,
        contents: &BTreeMap<ContentHash, Vec<u8>>,
    ) -> Result<Arc<Code>, CodeError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let code = self.code(set);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let new = self.folder.join(format!(".{}-{number}", std::process::id()));
        let written = write(&new, &code.set, contents).and_then(|()| {
            // Another worker may have been faster, with the same content.
            std::fs::rename(&new, &code.root).or_else(|error| {
                if code.root.is_dir() { std::fs::remove_dir_all(&new) } else { Err(error) }
            })
        });
        written.map_err(|source| files(&new, source))?;
        self.remove_oldest();
        self.used(&code)
    }

    fn code(&self, set: SourceSet) -> Code {
        let hash = set.hash();
        let root = self.folder.join(hash.as_str().get(..32).unwrap_or_default());
        Code { hash, root, set }
    }

    /// The copy, marked as used and with links to what lies beside its files now.
    fn used(&self, code: &Code) -> Result<Arc<Code>, CodeError> {
        let used = code.root.join(USED);
        std::fs::write(&used, []).map_err(|source| files(&used, source))?;
        self.link(code).map_err(|source| files(&code.root, source))?;
        Ok(Arc::new(code.clone()))
    }

    /// Links what is beside the copied files and no source.
    fn link(&self, code: &Code) -> io::Result<()> {
        let copied = &code.set.files;
        let mut folders = BTreeSet::from([String::new()]);
        for path in copied.keys() {
            let above = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
            folders.extend(above.map(str::to_owned));
        }
        let mut links = 0;
        for folder in &folders {
            let Ok(entries) = std::fs::read_dir(self.root.join(folder)) else { continue };
            for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
                let path =
                    if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                let is_left_out = name.starts_with('.')
                    || name == "__pycache__"
                    || (code.set.python && is_python(&name));
                if is_left_out || copied.contains_key(&path) || folders.contains(&path) {
                    continue;
                }
                links += 1;
                if links > LINKS_MAX {
                    return Ok(());
                }
                match std::os::unix::fs::symlink(self.root.join(&path), code.root.join(&path)) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn read(
        &self,
        sources: &PythonFiles,
    ) -> Result<(SourceSet, BTreeMap<ContentHash, Vec<u8>>), CodeError> {
        if sources.values().map(Stamp::size).sum::<u64>() > CODE_BYTES_MAX {
            let problem = format!("has Python files of over {CODE_BYTES_MAX} bytes");
            return Err(CodeError::TooMuch { root: self.root.clone(), problem });
        }
        let mut set = SourceSet { python: true, ..SourceSet::default() };
        let mut contents = BTreeMap::new();
        for (path, stamp) in sources {
            let from = self.root.join(path);
            let content = std::fs::read(&from).map_err(|source| files(&from, source))?;
            let hash = ContentHash::of(&content);
            let executable = stamp.is_executable();
            set.files.insert(path.clone(), SourceFile { content: hash.clone(), executable });
            contents.insert(hash, content);
        }
        Ok((set, contents))
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
}

/// Writes the files of `set` below `folder`; nobody is to write to them.
fn write(
    folder: &Path,
    set: &SourceSet,
    contents: &BTreeMap<ContentHash, Vec<u8>>,
) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (path, file) in &set.files {
        let to = folder.join(path);
        let content = contents.get(&file.content).ok_or(io::ErrorKind::NotFound)?;
        to.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(&to, content)?;
        let mode = if file.executable { 0o555 } else { 0o444 };
        std::fs::set_permissions(&to, Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn files(path: &Path, source: io::Error) -> CodeError {
    CodeError::Files { path: path.to_owned(), source }
}
