//! What lies below a definition root, hashed only where it may have changed.
//!
//! A file whose size, modification time and inode are as before has the hash it had before, so an
//! unchanged root costs a walk and a `stat` a file. To the content of a definition file belong the
//! sources of its steps, see [`crate::sources`].

use std::collections::{BTreeMap, HashMap};
use std::fs::{DirEntry, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use millstream_blob::Blobs;
use millstream_control::Sighting;
use millstream_definition::{ParsedFile, file_hash};
use millstream_model::{ContentHash, Diagnostic, ErrorCode, Place, Severity};

use crate::sources::{Need, Sources, StoreSourcesError, Watched};

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
    sources: Option<Kept>,
    remembered: HashMap<String, Remembered>,
    /// The location's version when all that is remembered was last found to be stored.
    settled: Option<i64>,
    /// What was here when all of it was last found to be stored, or stored.
    taken: Option<BTreeMap<String, ContentHash>>,
}

/// The sources of the definitions' steps, and where they are kept.
#[derive(Debug)]
struct Kept {
    sources: Sources,
    blobs: Blobs,
}

/// What the last look saw of a file.
#[derive(Debug)]
struct Remembered {
    print: Fingerprint,
    /// The hash of its bytes alone.
    bytes: ContentHash,
    /// What the sources of its steps are found by.
    needs: Vec<Need>,
    /// The hash of its bytes and sources.
    checksum: ContentHash,
}

/// What says that a file is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    size: u64,
    modified: (i64, i64),
    inode: u64,
}

impl Fingerprint {
    /// What no file has.
    const NEVER: Self = Self { size: 0, modified: (0, 0), inode: 0 };

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
        Self { path, sources: None, remembered: HashMap::new(), settled: None, taken: None }
    }

    /// The same root, whose definitions' steps have their sources below `project`; they are kept in
    /// `blobs`, and belong to the versions of the definitions.
    #[must_use]
    pub fn with_sources(self, project: PathBuf, blobs: Blobs) -> Self {
        let sources = Some(Kept { sources: Sources::new(project), blobs });
        Self { sources, ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every definition file below the root with the hash of its content.
    ///
    /// Hidden files and folders are passed over, and links are not followed: a root says what it
    /// holds itself. A file that cannot be read is read again at the next look.
    pub fn look(&mut self) -> Sighting {
        self.settled = None;
        let mut sources = self.sources.as_mut().map(|kept| &mut kept.sources);
        if let Some(sources) = &mut sources {
            sources.look_again();
        }
        if !self.path.is_dir() {
            let reason = "there is no such folder; make it, or name another with DAGS_DIR";
            return Sighting::Unreadable(reason.to_owned());
        }
        let mut remembered = HashMap::new();
        let walked = walk(&self.path, &mut |found| {
            let print = Fingerprint::of(&found.metadata);
            let mut entry = match self.remembered.remove(found.name) {
                Some(known) if known.print == print => known,
                known => Remembered::new(&self.path, &found, print, known),
            };
            if let Some(sources) = &mut sources {
                entry.checksum = sources.checksum(&entry.bytes, &entry.needs);
            }
            remembered.insert(found.name.to_owned(), entry);
            Look::Further
        });
        if let Err(reason) = walked {
            return Sighting::Unreadable(reason);
        }
        self.remembered = remembered;
        if let Some(sources) = sources {
            sources.forget_unseen();
        }
        let files = self.remembered.iter();
        Sighting::Files(files.map(|(name, file)| (name.clone(), file.checksum.clone())).collect())
    }

    /// Remembers that what the last look saw is stored, as the location's version `version` says.
    pub(crate) fn settle(&mut self, version: i64) {
        self.settled = Some(version);
    }

    /// What was here when all of it was last found to be stored, or stored.
    pub(crate) fn taken(&self) -> Option<&BTreeMap<String, ContentHash>> {
        self.taken.as_ref()
    }

    /// Remembers that `files` are stored as they are here.
    pub(crate) fn take(&mut self, files: BTreeMap<String, ContentHash>) {
        self.taken = Some(files);
    }

    /// How many files there are, if all is as it was when it was settled at `version`.
    pub(crate) fn unchanged(&mut self, version: i64) -> Option<usize> {
        if self.settled != Some(version) {
            return None;
        }
        let mut seen = 0;
        let walked = walk(&self.path, &mut |found| {
            let known = self.remembered.get(found.name);
            if known.is_some_and(|known| known.print == Fingerprint::of(&found.metadata)) {
                seen += 1;
                Look::Further
            } else {
                seen = usize::MAX;
                Look::Enough
            }
        });
        let is_same = walked.is_ok() && seen == self.remembered.len() && self.has_same_sources();
        is_same.then_some(seen)
    }

    /// Whether the sources of all steps are as they were at the last look.
    fn has_same_sources(&mut self) -> bool {
        let Some(Kept { sources, .. }) = &mut self.sources else { return true };
        sources.look_again();
        let mut files = self.remembered.values().filter(|file| !file.needs.is_empty());
        files.all(|file| sources.checksum(&file.bytes, &file.needs) == file.checksum)
    }

    /// What the file called `name` declares with the versions of its sources, and the hash of both.
    pub(crate) fn parse(&mut self, name: &str) -> std::io::Result<(ContentHash, ParsedFile)> {
        let content = self.content(name)?;
        let mut parsed = millstream_definition::parse_file(name, &content);
        let bytes = ContentHash::of(&content);
        let Some(Kept { sources, .. }) = &mut self.sources else { return Ok((bytes, parsed)) };
        let needs = parsed.manifest.as_mut().map(Sources::needs_of).unwrap_or_default();
        let checksum = sources.checksum(&bytes, &needs);
        sources.fill(name, &mut parsed);
        Ok((checksum, parsed))
    }

    /// The version of the file called `name`, as a scan would load it; `None` for one that says
    /// nothing to load, or cannot be read.
    pub fn version(&mut self, name: &str) -> Option<ContentHash> {
        let (_, parsed) = self.parse(name).ok()?;
        parsed.manifest.as_ref().map(file_hash)
    }

    /// Keeps the sources of a step, before the version that names them goes live.
    pub(crate) async fn keep_sources(
        &mut self,
        code: &ContentHash,
    ) -> Result<(), StoreSourcesError> {
        let Some(Kept { sources, blobs }) = &mut self.sources else { return Ok(()) };
        sources.store(code, blobs).await
    }

    /// Has the next look read all files, also those that seem to be as they were: one that was
    /// changed within a tick of the file system's clock and kept its size does.
    pub(crate) fn read_anew(&mut self) {
        self.settled = None;
        for known in self.remembered.values_mut() {
            known.print = Fingerprint::NEVER;
        }
        if let Some(Kept { sources, .. }) = &mut self.sources {
            sources.forget_read();
        }
    }

    /// Has the next scan look at everything, and renew the sources of all that it sees.
    pub fn renew_sources(&mut self) {
        self.settled = None;
        if let Some(Kept { sources, .. }) = &mut self.sources {
            sources.forget_kept();
        }
    }

    /// Keeps the sources of all that the last look has seen, where something of them is lost.
    pub(crate) async fn keep_seen_sources(&mut self) -> Result<(), StoreSourcesError> {
        let seen = self.sources.iter().flat_map(|kept| kept.sources.seen());
        for code in seen.collect::<Vec<_>>() {
            self.keep_sources(&code).await?;
        }
        Ok(())
    }

    /// What the last look depended on outside of the root.
    pub(crate) fn watched(&self) -> Watched {
        let mut watched = self.sources.as_ref().map(|it| it.sources.watched()).unwrap_or_default();
        let Watched { files, modules, folders } = &mut watched;
        for paths in [files, modules, folders] {
            paths.retain(|path| !path.starts_with(&self.path));
        }
        watched
    }

    /// The content of the file called `name`.
    pub fn content(&self, name: &str) -> std::io::Result<Vec<u8>> {
        read(&self.path.join(name))
    }
}

impl Remembered {
    /// What there is to remember of a file that was not seen before, or may have changed since
    /// this was `known` of it.
    fn new(root: &Path, found: &Found<'_>, print: Fingerprint, known: Option<Self>) -> Self {
        let (print, bytes, needs) = match read(&root.join(found.name)) {
            Ok(content) => {
                let bytes = ContentHash::of(&content);
                let needs = match known {
                    Some(known) if known.bytes == bytes => known.needs,
                    _ => Sources::needs(found.name, &content),
                };
                (print, bytes, needs)
            }
            Err(error) => {
                let hash = ContentHash::of(format!("unreadable: {error}").as_bytes());
                (Fingerprint::NEVER, hash, Vec::new())
            }
        };
        Self { print, checksum: bytes.clone(), bytes, needs }
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(READ_MAX).read_to_end(&mut content)?;
    Ok(content)
}

/// The definition files below `root`, by their paths below it, sorted; the error is why there is
/// no saying.
pub fn definition_files(root: &Path) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    walk(root, &mut |found| {
        names.push(found.name.to_owned());
        Look::Further
    })?;
    names.sort_unstable();
    Ok(names)
}

/// What is known of a file that cannot be read: that, and why.
pub fn unreadable(name: &str, error: &std::io::Error) -> ParsedFile {
    let diagnostic = Diagnostic {
        code: ErrorCode::DefinitionUnreadable,
        severity: Severity::Error,
        message: format!("the file cannot be read: {error}"),
        place: Place { file: name.to_owned(), line: 0, column: 0 },
        help: Some("check the file's rights; it is read again at the next scan".to_owned()),
    };
    ParsedFile::unread(diagnostic)
}

/// A definition file on a walk.
struct Found<'a> {
    /// Its path below the root with `/` between parts.
    name: &'a str,
    metadata: Metadata,
}

/// Whether a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Further,
    Enough,
}

/// Shows every definition file below `root` to `see`; the error is why there is no saying.
fn walk(root: &Path, see: &mut impl FnMut(Found<'_>) -> Look) -> Result<(), String> {
    let mut walk = Walk { see, name: String::new(), files: 0 };
    walk.folder(root, 1).map(|_| ())
}

/// A walk under way: the path below the root is one text, so that no file costs a new one.
struct Walk<'s, S> {
    see: &'s mut S,
    name: String,
    files: usize,
}

impl<S: FnMut(Found<'_>) -> Look> Walk<'_, S> {
    fn folder(&mut self, path: &Path, depth: usize) -> Result<Look, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file_name = entry.file_name();
            // A name that is no text cannot be written in a definition's place.
            let Some(part) = file_name.to_str().filter(|part| !part.starts_with('.')) else {
                continue;
            };
            let kind = entry.file_type().map_err(failed)?;
            let above = self.name.len();
            if above > 0 {
                self.name.push('/');
            }
            self.name.push_str(part);
            let look = if kind.is_dir() && depth < DEPTH_MAX {
                self.folder(&entry.path(), depth + 1)?
            } else if kind.is_file() && is_definition(part) {
                self.file(&entry)?
            } else {
                Look::Further
            };
            self.name.truncate(above);
            if look == Look::Enough {
                return Ok(look);
            }
        }
        Ok(Look::Further)
    }

    fn file(&mut self, entry: &DirEntry) -> Result<Look, String> {
        // A file that is gone between the walk and the look was deleted: the next scan's news.
        let Ok(metadata) = entry.metadata() else { return Ok(Look::Further) };
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(format!("it holds more than {FILES_MAX} files"));
        }
        Ok((self.see)(Found { name: &self.name, metadata }))
    }
}

/// Whether the extension says that a file holds definitions.
fn is_definition(file_name: &str) -> bool {
    file_name
        .rsplit_once('.')
        .is_some_and(|(_, extension)| millstream_definition::EXTENSIONS.contains(&extension))
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
