//! What lies below a definition root, hashed only where it may have changed.
//!
//! A file whose size, modification time and inode are as before has the hash it had before, so an
//! unchanged root costs a walk and a `stat` a file.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use millstream_control::Sighting;
use millstream_model::ContentHash;

/// The largest file that is read whole; a larger one is reported by its first bytes alone.
const READ_MAX: u64 = 2 << 20;

/// Files of one root.
const FILES_MAX: usize = 100_000;

/// How deep folders are followed.
const DEPTH_MAX: usize = 32;

/// A definition root with what is remembered of its files.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    remembered: BTreeMap<String, (Fingerprint, ContentHash)>,
}

/// What says that a file is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    size: u64,
    modified: (i64, i64),
    inode: u64,
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
        }
    }
}

impl Root {
    /// The root at `path`, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, remembered: BTreeMap::new() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every definition file below the root with the hash of its content.
    ///
    /// Hidden files and folders are passed over, and links are not followed: a root says what it
    /// holds itself. A file that cannot be read is left out of the hashes' memory and seen again.
    pub fn look(&mut self) -> Sighting {
        if !self.path.is_dir() {
            return Sighting::Unreadable(format!("{} is no directory", self.path.display()));
        }
        let mut files = BTreeMap::new();
        let mut remembered = BTreeMap::new();
        let walk = walkdir::WalkDir::new(&self.path)
            .max_depth(DEPTH_MAX)
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()));
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Sighting::Unreadable(error.to_string()),
            };
            let Some(name) = definition_name(&self.path, entry.path()) else { continue };
            if !entry.file_type().is_file() {
                continue;
            }
            // A file that is gone between the walk and the look was deleted: the next scan's news.
            let Ok(metadata) = entry.metadata() else { continue };
            let print = Fingerprint::of(&metadata);
            let known = self.remembered.get(&name).filter(|(known, _)| *known == print);
            let hash = match known {
                Some((_, hash)) => hash.clone(),
                None => match read(entry.path()) {
                    Ok(content) => ContentHash::of(&content),
                    Err(error) => ContentHash::of(format!("unreadable: {error}").as_bytes()),
                },
            };
            remembered.insert(name.clone(), (print, hash.clone()));
            files.insert(name, hash);
            if files.len() > FILES_MAX {
                return Sighting::Unreadable(format!("it holds more than {FILES_MAX} files"));
            }
        }
        self.remembered = remembered;
        Sighting::Files(files)
    }

    /// The content of the file called `name`.
    pub fn content(&self, name: &str) -> std::io::Result<Vec<u8>> {
        read(&self.path.join(name))
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(READ_MAX).read_to_end(&mut content)?;
    Ok(content)
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with('.')
}

/// The name of a definition file: its path below the root with `/` between parts.
fn definition_name(root: &Path, path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?;
    if !millstream_definition::EXTENSIONS.contains(&extension) {
        return None;
    }
    let parts: Option<Vec<&str>> =
        path.strip_prefix(root).ok()?.iter().map(std::ffi::OsStr::to_str).collect();
    Some(parts?.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sighting: &Sighting) -> Vec<&str> {
        match sighting {
            Sighting::Files(files) => files.keys().map(String::as_str).collect(),
            Sighting::Unreadable(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn r167_files_in_folders_are_found_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("production/.git")).unwrap();
        for name in ["a.json", "production/b.yaml", "production/.git/c.json", "data.csv", ".d.yml"]
        {
            std::fs::write(folder.path().join(name), "{}").unwrap();
        }
        let mut root = Root::new(folder.path().to_owned());
        assert_eq!(names(&root.look()), ["a.json", "production/b.yaml"]);
    }

    #[test]
    fn r162_touching_a_file_changes_nothing_and_editing_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        std::fs::write(&file, "{}").unwrap();
        let mut root = Root::new(folder.path().to_owned());
        let first = root.look();

        let later = std::time::SystemTime::UNIX_EPOCH;
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        assert_eq!(root.look(), first);

        std::fs::write(&file, "{\"nodes\": 1}").unwrap();
        assert_ne!(root.look(), first);
    }

    #[test]
    fn r158_a_root_that_does_not_exist_yet_is_seen_once_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let mut root = Root::new(folder.path().join("later"));
        assert!(matches!(root.look(), Sighting::Unreadable(_)));
        std::fs::create_dir(folder.path().join("later")).unwrap();
        assert!(names(&root.look()).is_empty());
    }
}
