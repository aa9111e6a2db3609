//! The sources of a project as of one version: a copy that no later change touches.
//!
//! A copy mirrors the project's folder: the files of the version are copied, and whatever else lies
//! beside them is a link to the original, so that a path that begins at a file's own folder still
//! leads somewhere. The hash of the copied files is the version. What was copied is remembered, so
//! that to use a copy again costs a lock and a `stat` of each folder with sources.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_model::{ContentHash, SourceFile, SourceSet};

use crate::beside::{Beside, Pair};
use crate::copies::{Copies, InUse, is_whole};
use crate::tree::{CodeError, PythonFiles, Stamp, python_files};

/// The most bytes that the sources of one version have together.
pub const CODE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many sets are remembered, and how many files they have together.
const SETS_MAX: (usize, usize) = (1_000, 200_000);

/// The most folders that are looked at on the spot.
const READY_MAX: usize = 64;

/// The sources as of one version. The copy stays where it is until this is dropped.
#[derive(Debug)]
pub struct Code {
    /// The version.
    pub hash: ContentHash,
    /// Where the copy is.
    pub root: PathBuf,
    /// What was copied.
    pub set: Arc<SourceSet>,
    _in_use: InUse,
}

/// Where copies are kept, and what is known of them.
#[derive(Debug)]
pub struct CodeStore {
    copies: Copies,
    root: PathBuf,
    known: Mutex<Sets>,
    last: Mutex<Option<Last>>,
}

/// The copy of the project that was made last, with what it was made of.
#[derive(Debug)]
struct Last {
    sources: PythonFiles,
    hash: ContentHash,
}

/// The sets that were used last.
#[derive(Debug, Default)]
struct Sets {
    by_version: HashMap<ContentHash, (u64, Arc<Known>)>,
    files: usize,
    uses: u64,
}

/// A set whose copy was whole when this process first used it.
#[derive(Debug)]
struct Known {
    set: Arc<SourceSet>,
    beside: Mutex<Beside>,
}

impl CodeStore {
    /// Keeps copies of the project in `root` below `folder`.
    pub fn new(folder: PathBuf, root: PathBuf) -> Self {
        let copies = Copies::new(folder);
        Self { copies, root, known: Mutex::default(), last: Mutex::default() }
    }

    /// The project's Python files as they are now, for a step whose definition names no version.
    /// It looks at files, which takes a while: call it where that holds nobody up.
    pub fn pin(&self) -> Result<Arc<Code>, CodeError> {
        let sources = python_files(&self.root, "")?;
        let mut last = lock(&self.last);
        if let Some(last) = &*last
            && last.sources == sources
            && let Some(code) = self.find(&last.hash)?
        {
            return Ok(code);
        }
        let (set, contents) = self.read(&sources)?;
        let hash = set.hash();
        let code = self.check_out(&hash, set, &contents)?;
        *last = Some(Last { sources, hash });
        Ok(code)
    }

    /// The copy of `version`, if it was used lately and all is as it was then. This takes so little
    /// that it holds nobody up.
    pub fn ready(&self, version: &ContentHash) -> Option<Arc<Code>> {
        let known = lock(&self.known).get(version)?;
        let copy = {
            let beside = known.beside.try_lock().ok().filter(|it| it.len() <= READY_MAX)?;
            let copy = self.copies.take(version).ok()??;
            beside.is_current(&self.root, &copy).then_some(copy)?
        };
        Some(handed_out(version, &known, copy))
    }

    /// The copy of `version`, if this process knows what is in it.
    pub fn find(&self, version: &ContentHash) -> Result<Option<Arc<Code>>, CodeError> {
        let known = lock(&self.known).get(version);
        known.map_or(Ok(None), |known| self.used(version, &known))
    }

    /// The copy of `version`, which is `set`, if there is one.
    pub fn open(
        &self,
        version: &ContentHash,
        set: SourceSet,
    ) -> Result<Option<Arc<Code>>, CodeError> {
        let place = self.copies.place(version);
        if !place.is_dir() {
            return Ok(None);
        }
        if !is_whole(&place, &set) {
            tracing::warn!("{}: the copy is not whole and is made anew", place.display());
            self.copies.remove(&place).map_err(|source| files(&place, source))?;
            return Ok(None);
        }
        let beside = Mutex::new(Beside::of(&set));
        let known = Arc::new(Known { set: Arc::new(set), beside });
        let code = self.used(version, &known)?;
        if code.is_some() {
            lock(&self.known).insert(version.clone(), known);
        }
        Ok(code)
    }

    /// Copies `set`, which is `version` and whose files have `contents`, by their hashes, unless
    /// there is a copy.
    pub fn check_out(
        &self,
        version: &ContentHash,
        set: SourceSet,
        contents: &BTreeMap<ContentHash, Vec<u8>>,
    ) -> Result<Arc<Code>, CodeError> {
        let place = self.copies.place(version);
        if let Some(code) = self.open(version, set.clone())? {
            return Ok(code);
        }
        self.copies.make(version, &set, contents).map_err(|source| files(&place, source))?;
        let gone = || files(&place, io::ErrorKind::NotFound.into());
        self.open(version, set)?.ok_or_else(gone)
    }

    /// The copy with links to what lies beside its files now.
    fn used(&self, version: &ContentHash, known: &Known) -> Result<Option<Arc<Code>>, CodeError> {
        let failed = |source| files(&self.copies.place(version), source);
        let Some(copy) = self.copies.take(version).map_err(failed)? else { return Ok(None) };
        let pair = Pair {
            project: &self.root,
            copy: &copy,
            set: &known.set,
            copies: self.copies.folder(),
        };
        lock(&known.beside).link(&pair).map_err(failed)?;
        Ok(Some(handed_out(version, known, copy)))
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
}

impl Sets {
    fn get(&mut self, version: &ContentHash) -> Option<Arc<Known>> {
        self.uses += 1;
        let (used, known) = self.by_version.get_mut(version)?;
        *used = self.uses;
        Some(Arc::clone(known))
    }

    fn insert(&mut self, version: ContentHash, known: Arc<Known>) {
        self.uses += 1;
        self.files += known.set.files.len();
        if let Some((_, old)) = self.by_version.insert(version, (self.uses, known)) {
            self.files -= old.set.files.len();
        }
        // The one that was just used is kept, whatever its size.
        while self.by_version.len() > 1
            && (self.by_version.len() > SETS_MAX.0 || self.files > SETS_MAX.1)
        {
            let oldest = self.by_version.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(version, _)| version.clone()) else { return };
            let gone = self.by_version.remove(&oldest);
            self.files -= gone.map_or(0, |(_, known)| known.set.files.len());
        }
    }
}

fn handed_out(version: &ContentHash, known: &Known, copy: InUse) -> Arc<Code> {
    let set = Arc::clone(&known.set);
    Arc::new(Code { hash: version.clone(), root: copy.root.clone(), set, _in_use: copy })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn files(path: &Path, source: io::Error) -> CodeError {
    CodeError::Files { path: path.to_owned(), source }
}
