//! What lies beside the copied files: a link to each of the project's own.
//!
//! [`crate::CodeStore`] calls it for each use of a copy. A folder that is as it was at the last
//! look costs a `stat`.
//!
//! **Invariant.** No link leads an import to Python files that are not the version's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirEntry;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use millstream_model::{SourceSet, is_python};

use crate::copies::InUse;
use crate::tree::{ENTRIES_MAX, may_be_package};

/// The most links that are made at once.
const LINKS_MAX: usize = 20_000;

/// Hidden folders that are nothing of a program's.
const LEFT_OUT: &[&str] = &[".git", ".millstream", ".venv", "__pycache__"];

/// A change this soon after another may leave a folder's time as it is.
const GRAIN: Duration = Duration::from_secs(2);

/// The folders with files of a set, by their paths below the project, as they were last seen.
#[derive(Debug)]
pub(crate) struct Beside {
    folders: BTreeMap<String, Seen>,
    /// The copy that has the links.
    made: Option<u64>,
}

/// What says that a folder has the entries that it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It has not been looked at, or was changed too short a time before that.
    Never,
    /// It was not there.
    Gone,
    /// It was there, with this inode and time of change.
    At(u64, i64, i64),
}

/// The project and a copy of it.
pub(crate) struct Pair<'a> {
    pub(crate) project: &'a Path,
    pub(crate) copy: &'a InUse,
    pub(crate) set: &'a SourceSet,
    /// Where copies are.
    pub(crate) copies: &'a Path,
}

impl Beside {
    /// The folders of a set; nothing is linked yet.
    pub(crate) fn of(set: &SourceSet) -> Self {
        let mut folders = BTreeMap::from([(String::new(), Seen::Never)]);
        for path in set.files.keys() {
            let above = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
            folders.extend(above.map(|folder| (folder.to_owned(), Seen::Never)));
        }
        Self { folders, made: None }
    }

    /// How many folders there are to look at.
    pub(crate) fn len(&self) -> usize {
        self.folders.len()
    }

    /// Whether the copy has links to all that is there.
    pub(crate) fn is_current(&self, project: &Path, copy: &InUse) -> bool {
        let is_same = |(path, seen): (&String, &Seen)| {
            *seen != Seen::Never && seen_now(&project.join(path)) == *seen
        };
        self.made == Some(copy.made) && self.folders.iter().all(is_same)
    }

    /// Links what was added since the last look.
    pub(crate) fn link(&mut self, pair: &Pair<'_>) -> io::Result<()> {
        if self.made != Some(pair.copy.made) {
            self.folders.values_mut().for_each(|seen| *seen = Seen::Never);
            self.made = Some(pair.copy.made);
        }
        let folders: BTreeSet<String> = self.folders.keys().cloned().collect();
        let mut links = 0;
        for (folder, seen) in &mut self.folders {
            let now = seen_now(&pair.project.join(folder));
            if *seen == now && now != Seen::Never {
                continue;
            }
            links += pair.link_folder(folder, &folders, LINKS_MAX - links)?;
            *seen = now;
            if links == LINKS_MAX {
                // The rest is linked when the copy is used again.
                *seen = Seen::Never;
                let root = pair.project.display();
                tracing::warn!("{root}: over {LINKS_MAX} entries lie beside sources of steps");
                break;
            }
        }
        Ok(())
    }
}

impl Pair<'_> {
    /// Makes up to `most` links in one folder, and says how many.
    fn link_folder(
        &self,
        folder: &str,
        folders: &BTreeSet<String>,
        most: usize,
    ) -> io::Result<usize> {
        let Ok(entries) = std::fs::read_dir(self.project.join(folder)) else { return Ok(0) };
        let there = std::fs::read_dir(self.copy.root.join(folder))?.flatten();
        let there: BTreeSet<_> = there.map(|entry| entry.file_name()).collect();
        let mut links = 0;
        for entry in entries.flatten().filter(|entry| !there.contains(&entry.file_name())) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let is_copied = self.set.files.contains_key(&path) || folders.contains(&path);
            if is_copied || self.is_left_out(&entry, &name, &path) {
                continue;
            }
            if links == most {
                break;
            }
            links += 1;
            match std::os::unix::fs::symlink(entry.path(), self.copy.root.join(&path)) {
                // Another worker uses the copy too.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(links)
    }

    fn is_left_out(&self, entry: &DirEntry, name: &str, path: &str) -> bool {
        LEFT_OUT.contains(&name)
            || self.copies.starts_with(entry.path())
            || (self.set.python && (is_python(name) || self.is_new_package(entry, name, path)))
    }

    /// Whether the entry is a folder with Python files that are not the version's. A link to a
    /// folder is no part of any version, and hides a module only where it has the module's name.
    fn is_new_package(&self, entry: &DirEntry, name: &str, path: &str) -> bool {
        let Ok(kind) = entry.file_type() else { return false };
        if kind.is_symlink() {
            let has_module = self.set.files.contains_key(&format!("{path}.py"));
            return has_module && entry.path().join("__init__.py").exists();
        }
        kind.is_dir() && may_be_package(self.project, path, name) && holds_python(&entry.path())
    }
}

fn holds_python(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(ENTRIES_MAX);
    entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(is_python))
}

fn seen_now(folder: &Path) -> Seen {
    let Ok(metadata) = std::fs::metadata(folder) else { return Seen::Gone };
    let age = metadata.modified().ok().and_then(|modified| modified.elapsed().ok());
    // Of a folder that was changed just now, or by its time will be, the time says nothing.
    if age.is_none_or(|age| age <= GRAIN) {
        return Seen::Never;
    }
    Seen::At(metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}
