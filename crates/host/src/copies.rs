//! The folder of copies of sources: how a copy is made, used and removed.
//!
//! [`crate::CodeStore`] calls it. Several processes share the folder: whoever uses a copy holds a
//! shared lock on its file `.used`, whose time says when that was, and whoever removes one needs
//! the lock alone. Where files cannot be locked, no copy is removed.
//!
//! **Invariant.** What has the name of a copy is whole: it is made and removed under names that
//! begin with a dot.

use std::collections::BTreeMap;
use std::fs::{DirEntry, File, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};

use millstream_model::{ContentHash, SourceSet};

/// How many copies are kept however long ago they were used.
const COPIES_MAX: usize = 500;

/// A copy that was used within this time is kept.
const UNUSED: Duration = Duration::from_hours(24);

/// How old the time of the last use may be before it is written anew.
const USED_FOR: Duration = Duration::from_mins(1);

/// What is still a draft after this time was left behind.
const DRAFT: Duration = Duration::from_hours(1);

/// The file in a copy that those who use it lock, and write to, so that its time says when.
const USED: &str = ".used";

/// What a copy is called while it is removed.
const GONE: &str = ".gone-";

/// The folder.
#[derive(Debug)]
pub(crate) struct Copies {
    folder: PathBuf,
    swept: Once,
}

/// A copy that nobody removes until this is dropped.
#[derive(Debug)]
pub(crate) struct InUse {
    pub(crate) root: PathBuf,
    /// What tells it from one that was made later in its place.
    pub(crate) made: u64,
    /// The lock is this file's.
    _used: File,
}

impl Copies {
    /// Copies below `folder`, which is made with the first.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, swept: Once::new() }
    }

    /// Where the copy of a version is, or would be.
    pub(crate) fn place(&self, version: &ContentHash) -> PathBuf {
        self.folder.join(version.as_str().get(..32).unwrap_or_default())
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The copy of a version, if there is one.
    pub(crate) fn take(&self, version: &ContentHash) -> io::Result<Option<InUse>> {
        let root = self.place(version);
        let path = root.join(USED);
        let file = match File::options().create(true).truncate(false).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if let Err(error) = file.lock_shared() {
            tracing::debug!(path = %path.display(), %error, "the copy cannot be locked");
        }
        let used = file.metadata()?;
        // Whoever removed it between the opening and the lock has renamed it.
        if !std::fs::metadata(&path).is_ok_and(|it| it.ino() == used.ino()) {
            return Ok(None);
        }
        if is_older(used.modified()?, USED_FOR) {
            (&file).write_all(b".")?;
        }
        Ok(Some(InUse { root, made: used.ino(), _used: file }))
    }

    /// Makes the copy of a version, unless another worker has been faster.
    pub(crate) fn make(
        &self,
        version: &ContentHash,
        set: &SourceSet,
        contents: &BTreeMap<ContentHash, Vec<u8>>,
    ) -> io::Result<()> {
        self.swept.call_once(|| self.sweep());
        let place = self.place(version);
        std::fs::create_dir_all(&self.folder)?;
        let draft = self.hidden(".new-");
        std::fs::create_dir(&draft)?;
        let made = write(&draft, set, contents).and_then(|()| std::fs::rename(&draft, &place));
        if made.is_err() {
            std::fs::remove_dir_all(&draft).ok();
        }
        made.or_else(|error| if place.is_dir() { Ok(()) } else { Err(error) })?;
        self.remove_unused();
        Ok(())
    }

    /// Removes the copy in `place`; what stays of it under another name is swept later.
    pub(crate) fn remove(&self, place: &Path) -> io::Result<()> {
        let gone = self.hidden(GONE);
        std::fs::rename(place, &gone)?;
        std::fs::remove_dir_all(&gone).ok();
        Ok(())
    }

    /// A name in the folder that nothing else has, not even what a process of the same id has left.
    fn hidden(&self, begin: &str) -> PathBuf {
        self.folder.join(format!("{begin}{:016x}", RandomState::new().hash_one(0_u8)))
    }

    /// Removes what processes left that ended while they made or removed a copy.
    fn sweep(&self) {
        let is_left = |entry: &DirEntry| {
            let name = entry.file_name();
            let is_old = || entry.metadata()?.modified().map(|it| is_older(it, DRAFT));
            let name = name.to_string_lossy();
            name.starts_with(GONE) || (name.starts_with('.') && is_old().unwrap_or(false))
        };
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten().filter(is_left) {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }

    /// Removes copies beyond those that are kept; one that stays behind harms nobody.
    fn remove_unused(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let used = |entry: DirEntry| {
            let is_copy = !entry.file_name().to_string_lossy().starts_with('.');
            let used = std::fs::metadata(entry.path().join(USED)).and_then(|it| it.modified());
            Some((used.ok().filter(|_| is_copy)?, entry.path()))
        };
        let mut copies: Vec<_> = entries.flatten().filter_map(used).collect();
        copies.sort();
        let excess = copies.len().saturating_sub(COPIES_MAX);
        for (_, place) in copies.into_iter().take(excess) {
            if let Err(error) = self.remove_if_unused(&place) {
                tracing::debug!(path = %place.display(), %error, "the copy stays");
            }
        }
    }

    fn remove_if_unused(&self, place: &Path) -> io::Result<()> {
        let used = File::options().write(true).open(place.join(USED))?;
        used.try_lock()?;
        // Somebody may have used it before the lock.
        if is_older(used.metadata()?.modified()?, UNUSED) { self.remove(place) } else { Ok(()) }
    }
}

/// Whether every file of `set` is below `place`, and is not one that a power failure has emptied.
pub(crate) fn is_whole(place: &Path, set: &SourceSet) -> bool {
    let empty = ContentHash::of(b"");
    set.files.iter().all(|(path, file)| {
        let found = std::fs::symlink_metadata(place.join(path));
        found.is_ok_and(|it| it.is_file() && (it.len() > 0 || file.content == empty))
    })
}

/// Writes the files of `set` below `folder`; nobody is to write to them.
fn write(
    folder: &Path,
    set: &SourceSet,
    contents: &BTreeMap<ContentHash, Vec<u8>>,
) -> io::Result<()> {
    for (path, file) in &set.files {
        let to = folder.join(path);
        let content = contents.get(&file.content).ok_or(io::ErrorKind::NotFound)?;
        to.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(&to, content)?;
        let mode = if file.executable { 0o555 } else { 0o444 };
        std::fs::set_permissions(&to, Permissions::from_mode(mode))?;
    }
    std::fs::write(folder.join(USED), [])
}

fn is_older(time: SystemTime, age: Duration) -> bool {
    // A time in the future is that of a clock that was set back: what it says is not old.
    time.elapsed().is_ok_and(|passed| passed > age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used_a_week_ago(copies: &Copies, count: usize) -> Vec<ContentHash> {
        let versions = (0..count).map(|it| ContentHash::of(it.to_string().as_bytes()));
        let versions: Vec<_> = versions.collect();
        for version in &versions {
            std::fs::create_dir_all(copies.place(version)).unwrap();
            let used = File::create(copies.place(version).join(USED)).unwrap();
            used.set_modified(SystemTime::now() - 7 * UNUSED).unwrap();
        }
        versions
    }

    #[test]
    fn copies_beyond_the_limit_go_once_nobody_has_used_them_for_a_day_or_uses_them() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::new(folder.path().to_owned());
        let old = used_a_week_ago(&copies, COPIES_MAX + 2);
        let [held, recent, ..] = old.as_slice() else { panic!("there are {}", old.len()) };
        // Another process, or a run of this one.
        let lock = File::open(copies.place(held).join(USED)).unwrap();
        lock.lock_shared().unwrap();
        drop(copies.take(recent).unwrap().unwrap());
        let new = ContentHash::of(b"new");
        copies.make(&new, &SourceSet::default(), &BTreeMap::new()).unwrap();
        let is_there = |version: &&ContentHash| copies.place(version).is_dir();
        assert!(is_there(&held) && is_there(&recent) && is_there(&&new));
        let left = old.iter().filter(is_there).count() + 1;
        assert!((COPIES_MAX..COPIES_MAX + 2).contains(&left), "{left}");
    }

    #[test]
    fn a_copy_within_the_limit_stays_however_long_nobody_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::new(folder.path().to_owned());
        let old = used_a_week_ago(&copies, 2);
        copies.make(&ContentHash::of(b"new"), &SourceSet::default(), &BTreeMap::new()).unwrap();
        assert!(old.iter().all(|version| copies.place(version).is_dir()));
    }

    #[test]
    fn what_processes_left_is_swept_and_the_draft_of_one_that_runs_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - 2 * DRAFT;
        for (name, modified) in [(".7-0", old), (".new-1", SystemTime::now()), (".gone-1", old)] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("left.py"), "").unwrap();
            File::open(folder.path().join(name)).unwrap().set_modified(modified).unwrap();
        }
        let copies = Copies::new(folder.path().to_owned());
        copies.make(&ContentHash::of(b"new"), &SourceSet::default(), &BTreeMap::new()).unwrap();
        let is_there = [".7-0", ".new-1", ".gone-1"].map(|name| folder.path().join(name).exists());
        assert_eq!(is_there, [false, true, false]);
    }

    #[test]
    fn a_copy_that_cannot_be_made_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::new(folder.path().to_owned());
        let file = millstream_model::SourceFile {
            content: ContentHash::of(b"nobody has it"),
            executable: false,
        };
        let files = [("a.py".to_owned(), file)].into();
        let set = SourceSet { files, python: true };
        assert!(copies.make(&set.hash(), &set, &BTreeMap::new()).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
