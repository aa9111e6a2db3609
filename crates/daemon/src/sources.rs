//! The files of a project that steps consist of, as the loader and `definitions plan` see them.
//!
//! [`Sources::fill`] writes into each step that a file declares the hash of the set of files that
//! it runs; [`Sources::store`] keeps those files where workers find them. A file whose stamp is as
//! it was is not read again, and within one look nothing is looked at twice, so that the steps of a
//! look agree about a file that is changed meanwhile.
//!
//! **Invariant.** A version goes live only after all of its sources were stored.

mod lacking;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use millstream_blob::{BlobError, Blobs};
use millstream_definition::{ParsedFile, parse_file};
use millstream_host::{CODE_BYTES_MAX, CodeError, PythonFiles, Stamp, python_files};
use millstream_model::{
    CommandLine, ContentHash, Diagnostic, ErrorCode, FileManifest, Place, Program, Severity,
    SourceFile, SourceSet, StepSources, below_project, chain, is_python, named,
};

use self::lacking::{Known, Lack};

/// Files that the sources of one step may be.
const FILES_MAX: usize = 20_000;

/// The sources of a project's steps.
#[derive(Debug)]
pub struct Sources {
    project: PathBuf,
    known: HashMap<String, (Stamp, SourceFile)>,
    /// The sets that this process has found to be stored, or has stored.
    kept: HashSet<ContentHash>,
    look: Look,
}

/// What one look has seen.
#[derive(Debug, Default)]
struct Look {
    stamps: HashMap<String, Option<Stamp>>,
    python: HashMap<String, Result<PythonFiles, SourceProblem>>,
    /// What `sources` names, and the folders below that.
    named: BTreeSet<String>,
    codes: HashMap<Need, Result<Option<ContentHash>, SourceProblem>>,
    sets: HashMap<ContentHash, SourceSet>,
}

/// What a step says that its sources are found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Need {
    /// The command with its folder; `None` for a function in Python.
    command: Option<(CommandLine, Option<String>)>,
    named: Vec<String>,
}

/// What the sources of a project were found by: a change of any of it is one of theirs.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// Files, whether they exist or not.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Folders in which each new file in Python is a source.
    pub(crate) modules: BTreeSet<PathBuf>,
    /// Folders in which everything is a source.
    pub(crate) folders: BTreeSet<PathBuf>,
}

/// Why the sources of a step cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum SourceProblem {
    /// What `sources` names does not exist.
    #[error("`sources` names `{0}`, and the project has no such file or folder")]
    Missing(String),
    /// There is too much of it.
    #[error("its sources are over {0}")]
    TooMuch(String),
    /// Too much would have to be looked at for the files in Python.
    #[error("its sources are all files in Python, and {0}")]
    TooMuchPython(String),
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

impl SourceProblem {
    fn help(&self) -> &'static str {
        match self {
            Self::Missing(_) => "name files and folders by their paths below the project's folder",
            Self::TooMuch(_) | Self::TooMuchPython(_) => {
                "keep data and large programs outside of the project, or in a folder whose name \
                 begins with a dot, and name them by their whole path"
            }
            Self::Unreadable(_) => "check the rights of the project's files",
        }
    }
}

impl From<&CodeError> for SourceProblem {
    fn from(error: &CodeError) -> Self {
        match error {
            CodeError::TooMuch { problem, .. } => {
                Self::TooMuchPython(format!("the project {problem}"))
            }
            CodeError::Files { .. } => Self::Unreadable(chain(error)),
        }
    }
}

/// The sources of a version cannot be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreSourcesError {
    /// A file is another one than was seen; the next look sees that.
    #[error("{0} was changed while it was looked at")]
    Changed(String),
    /// No file that was looked at has them.
    #[error("its sources of version {} were not looked at", .0.short())]
    NotSeen(ContentHash),
    /// The place of sources refused.
    #[error("the sources of its steps cannot be stored")]
    Blobs(#[from] BlobError),
}

impl Need {
    fn of(program: &Program<'_>) -> Self {
        match program {
            Program::Python(step) => Self { command: None, named: step.sources.named.clone() },
            Program::Command(step) => {
                let named = step.sources.named.clone();
                Self { command: Some((step.command.clone(), step.cwd.clone())), named }
            }
        }
    }

    fn cwd(&self) -> Option<&str> {
        self.command.as_ref().and_then(|(_, cwd)| cwd.as_deref())
    }
}

impl Sources {
    /// The sources of the project in `project`.
    pub fn new(project: PathBuf) -> Self {
        let (known, kept) = (HashMap::new(), HashSet::new());
        Self { project, known, kept, look: Look::default() }
    }

    /// Begins a new look: every file may be another one than in the last.
    pub fn look_again(&mut self) {
        self.look = Look::default();
    }

    /// Forgets what the look, which has seen everything, has not seen.
    pub(crate) fn forget_unseen(&mut self) {
        let look = &self.look;
        self.known.retain(|path, _| look.stamps.contains_key(path));
        self.kept.retain(|code| look.sets.contains_key(code));
    }

    /// What the steps in a definition file's content are found by; nothing for most files.
    pub(crate) fn needs(name: &str, content: &[u8]) -> Vec<Need> {
        let has = |word: &[u8]| content.windows(word.len()).any(|window| window == word);
        if !has(b"command") && !has(b"python") {
            return Vec::new();
        }
        parse_file(name, content).manifest.map_or_else(Vec::new, |mut it| Self::needs_of(&mut it))
    }

    /// The same of a file that was parsed.
    pub(crate) fn needs_of(manifest: &mut FileManifest) -> Vec<Need> {
        let needs: BTreeSet<_> = manifest.programs().iter().map(|(_, it)| Need::of(it)).collect();
        needs.into_iter().collect()
    }

    /// The checksum of a definition file whose bytes hash to `bytes`, with its sources.
    pub(crate) fn checksum(&mut self, bytes: &ContentHash, needs: &[Need]) -> ContentHash {
        let mut text = bytes.to_string();
        for need in needs {
            match self.code(need) {
                Ok(None) => {}
                Ok(Some(code)) => text.push_str(code.as_str()),
                Err(problem) => text.push_str(&problem.to_string()),
            }
            // Whoever makes the folder has the file read again, which was warned of it.
            if need.cwd().is_some_and(|cwd| self.lacks_folder(cwd)) {
                text.push_str("no folder");
            }
        }
        if text == bytes.as_str() { bytes.clone() } else { ContentHash::of(text.as_bytes()) }
    }

    /// Writes into the steps of a file the versions of their sources, or what is wrong with them;
    /// warns of a step whose own file, function or folder is not there.
    pub fn fill(&mut self, name: &str, parsed: &mut ParsedFile) {
        let ParsedFile { manifest, draft, places, diagnostics, .. } = parsed;
        let draft = draft.as_mut().map(|draft| &mut draft.content);
        let Some(content) = manifest.as_mut().or(draft) else { return };
        let (mut errors, mut known) = (Vec::new(), Known::new());
        for (path, program) in content.programs() {
            let place = {
                let (line, column) = places.program(&path);
                Place { file: name.to_owned(), line, column }
            };
            let lack = self.lacking(&program, &mut known);
            diagnostics.extend(lack.map(|Lack { message, help }| Diagnostic {
                code: ErrorCode::DefinitionSources,
                severity: Severity::Warning,
                message: about(&path, &message),
                place: place.clone(),
                help: Some(help),
            }));
            let code = self.code(&Need::of(&program));
            let sources: &mut StepSources = match program {
                Program::Command(step) => &mut step.sources,
                Program::Python(step) => &mut step.sources,
            };
            match code {
                Ok(code) => sources.code = code,
                Err(problem) => errors.push(Diagnostic {
                    code: ErrorCode::DefinitionSources,
                    severity: Severity::Error,
                    message: about(&path, &problem.to_string()),
                    place,
                    help: Some(problem.help().to_owned()),
                }),
            }
        }
        parsed.refuse(errors);
    }

    /// What the sets of the look consist of, by their hashes.
    pub fn sets(&self) -> impl Iterator<Item = (&ContentHash, &SourceSet)> {
        self.look.sets.iter()
    }

    /// The sets of the look.
    pub(crate) fn seen(&self) -> Vec<ContentHash> {
        self.look.sets.keys().cloned().collect()
    }

    /// Keeps the files of the set with this hash, which the look has seen, in `blobs`. What is
    /// missing of one that was kept is stored anew; whether something is, is asked once a process.
    pub(crate) async fn store(
        &mut self,
        code: &ContentHash,
        blobs: &Blobs,
    ) -> Result<(), StoreSourcesError> {
        if self.kept.contains(code) {
            return Ok(());
        }
        let not_seen = || StoreSourcesError::NotSeen(code.clone());
        let set = self.look.sets.get(code).ok_or_else(not_seen)?;
        let size = |path| self.look.stamps.get(path).copied().flatten().map_or(0, |it| it.size());
        let wanted = set.files.iter().map(|(path, file)| (file.content.clone(), size(path)));
        let missing = blobs.missing_sources(wanted.collect()).await;
        let is_missing: HashSet<&ContentHash> = missing.iter().collect();
        for (path, file) in set.files.iter().filter(|(_, it)| is_missing.contains(&it.content)) {
            let changed = || StoreSourcesError::Changed(path.clone());
            let content = tokio::fs::read(self.project.join(path)).await.map_err(|_| changed())?;
            if blobs.put_source(&content).await? != file.content {
                return Err(changed());
            }
        }
        blobs.sync_sources(&missing).await?;
        // The set comes last: where it is, all of its files are.
        let list = set.json();
        let is_new = blobs.read_source(code).await?.is_none();
        blobs.put_source(&list).await?;
        if is_new {
            blobs.sync_sources(std::slice::from_ref(code)).await?;
        }
        self.kept.insert(code.clone());
        Ok(())
    }

    /// Has all files read again, also those whose stamps are as they were.
    pub(crate) fn forget_read(&mut self) {
        self.known.clear();
    }

    /// Has the sources of all that is seen stored and renewed again.
    pub(crate) fn forget_kept(&mut self) {
        self.kept.clear();
    }

    /// What the last look depended on.
    pub(crate) fn watched(&self) -> Watched {
        let python = self.look.python.values().flatten().flat_map(PythonFiles::keys);
        let python: Vec<PathBuf> = python.map(|path| self.project.join(path)).collect();
        let files = self.look.stamps.keys().chain(&self.look.named);
        let mut watched = Watched {
            files: files.map(|path| self.project.join(path)).collect(),
            modules: self.look.python.keys().map(|it| self.project.join(it)).collect(),
            folders: self.look.named.iter().map(|it| self.project.join(it)).collect(),
        };
        watched.modules.extend(python.iter().filter_map(|it| it.parent()).map(Path::to_owned));
        watched.files.extend(python);
        watched
    }

    /// The hash of the set that a step needs; none when it has no files of the project's.
    fn code(&mut self, need: &Need) -> Result<Option<ContentHash>, SourceProblem> {
        if let Some(known) = self.look.codes.get(need) {
            return known.clone();
        }
        let set = self.set(need);
        let code = set.map(|set| {
            (!set.files.is_empty()).then(|| {
                let hash = set.hash();
                self.look.sets.insert(hash.clone(), set);
                hash
            })
        });
        self.look.codes.insert(need.clone(), code.clone());
        code
    }

    fn set(&mut self, need: &Need) -> Result<SourceSet, SourceProblem> {
        let mut paths: BTreeSet<String> = BTreeSet::new();
        for written in &need.named {
            let missing = || SourceProblem::Missing(written.clone());
            let path = below_project(need.cwd(), written).ok_or_else(missing)?;
            if self.project.join(&path).is_dir() {
                self.below(&path, &mut paths)?;
            } else if self.stamp(&path).is_some() {
                paths.insert(path);
            } else {
                return Err(missing());
            }
        }
        if let Some((command, cwd)) = &need.command {
            let found = named(command, cwd.as_deref(), &mut |path| self.stamp(path).is_some());
            paths.extend(found);
        }
        let python = need.command.is_none() || paths.iter().any(|path| is_python(path));
        if python {
            let scripts: Vec<String> = paths.iter().filter(|it| is_python(it)).cloned().collect();
            self.add_python("", &mut paths)?;
            for script in scripts {
                // What it imports lies beside it, also where no import from the root gets to.
                let folder = script.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.add_python(folder, &mut paths)?;
            }
        }
        self.read(paths, python)
    }

    /// Adds the Python files below a folder.
    fn add_python(
        &mut self,
        folder: &str,
        paths: &mut BTreeSet<String>,
    ) -> Result<(), SourceProblem> {
        let project = &self.project;
        let found = self.look.python.entry(folder.to_owned()).or_insert_with(|| {
            python_files(project, folder).map_err(|error| SourceProblem::from(&error))
        });
        let found = found.as_ref().map_err(SourceProblem::clone)?;
        for (path, stamp) in found {
            self.look.stamps.insert(path.clone(), Some(*stamp));
            paths.insert(path.clone());
        }
        Ok(())
    }

    /// Adds all files below a folder that are not hidden.
    fn below(&mut self, folder: &str, paths: &mut BTreeSet<String>) -> Result<(), SourceProblem> {
        let mut open = vec![folder.to_owned()];
        while let Some(folder) = open.pop() {
            self.look.named.insert(folder.clone());
            let unreadable =
                |error: std::io::Error| SourceProblem::Unreadable(format!("`{folder}`: {error}"));
            for entry in std::fs::read_dir(self.project.join(&folder)).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let name = entry.file_name();
                let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                    continue;
                };
                let path = format!("{folder}/{name}");
                match entry.file_type().map_err(unreadable)? {
                    kind if kind.is_dir() && name != "__pycache__" => open.push(path),
                    kind if kind.is_file() => _ = paths.insert(path),
                    _ => {}
                }
                if paths.len() + open.len() > FILES_MAX {
                    return Err(SourceProblem::TooMuch(format!("{FILES_MAX} files")));
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, paths: BTreeSet<String>, python: bool) -> Result<SourceSet, SourceProblem> {
        if paths.len() > FILES_MAX {
            return Err(SourceProblem::TooMuch(format!("{FILES_MAX} files")));
        }
        let mut set = SourceSet { python, ..SourceSet::default() };
        let mut total: u64 = 0;
        for path in paths {
            // What is gone meanwhile was not there.
            let Some(stamp) = self.stamp(&path) else { continue };
            total = total.saturating_add(stamp.size());
            if total > CODE_BYTES_MAX {
                return Err(SourceProblem::TooMuch(format!("{} MiB", CODE_BYTES_MAX >> 20)));
            }
            let file = match self.known.get(&path).filter(|(known, _)| *known == stamp) {
                Some((_, file)) => file.clone(),
                None => self.hashed(&path, stamp)?,
            };
            set.files.insert(path, file);
        }
        Ok(set)
    }

    fn hashed(&mut self, path: &str, stamp: Stamp) -> Result<SourceFile, SourceProblem> {
        let content = std::fs::read(self.project.join(path))
            .map_err(|error| SourceProblem::Unreadable(format!("`{path}`: {error}")))?;
        let content = ContentHash::of(&content);
        let file = SourceFile { content, executable: stamp.is_executable() };
        self.known.insert(path.to_owned(), (stamp, file.clone()));
        Ok(file)
    }

    /// The stamp of a file, if it is one.
    fn stamp(&mut self, path: &str) -> Option<Stamp> {
        let project = &self.project;
        let look = || stamp_of(&project.join(path));
        *self.look.stamps.entry(path.to_owned()).or_insert_with(look)
    }
}

/// `problem` with the step or handler at `path` that has it.
fn about(path: &[String], problem: &str) -> String {
    match path {
        [_, job, node] if node != "step" => format!("Node `{node}` of `{job}`: {problem}"),
        [kind, name, ..] => format!("The {kind} `{name}`: {problem}"),
        _ => problem.to_owned(),
    }
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.is_file().then(|| Stamp::of(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project with a script, the sources of a step that runs it, and their version.
    fn seen() -> (tempfile::TempDir, Sources, ContentHash) {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("work.sh"), "echo one").unwrap();
        let mut sources = Sources::new(project.path().to_owned());
        let step = "nodes: [{ id: a, type: command, config: { command: [sh, work.sh] } }]";
        let [need] = Sources::needs("a.yaml", step.as_bytes()).try_into().unwrap();
        let version = sources.code(&need).unwrap().unwrap();
        (project, sources, version)
    }

    #[tokio::test]
    async fn a_source_that_is_changed_after_the_look_is_not_stored_as_what_was_seen() {
        let (project, mut sources, version) = seen();
        let blobs = Blobs::folder(project.path().join(".millstream"));
        std::fs::write(project.path().join("work.sh"), "echo two").unwrap();
        let changed = sources.store(&version, &blobs).await.unwrap_err();
        assert!(matches!(changed, StoreSourcesError::Changed(path) if path == "work.sh"));
        assert_eq!(blobs.read_source(&version).await.unwrap(), None);

        std::fs::write(project.path().join("work.sh"), "echo one").unwrap();
        sources.store(&version, &blobs).await.unwrap();
        assert!(blobs.read_source(&version).await.unwrap().is_some());
    }

    #[test]
    fn a_source_that_was_changed_within_a_tick_of_the_clock_is_seen_where_all_is_read_again() {
        let (project, mut sources, version) = seen();
        let path = project.path().join("work.sh");
        std::fs::write(&path, "echo two").unwrap();
        // As if the stamp had stayed as it was.
        sources.known.get_mut("work.sh").unwrap().0 = stamp_of(&path).unwrap();
        let need = sources.look.codes.keys().next().unwrap().clone();
        sources.look_again();
        assert_eq!(sources.code(&need), Ok(Some(version.clone())));
        sources.forget_read();
        sources.look_again();
        assert_ne!(sources.code(&need), Ok(Some(version)));
    }

    #[tokio::test]
    async fn a_version_that_no_look_has_seen_is_not_taken_for_stored() {
        let (project, mut sources, version) = seen();
        let blobs = Blobs::folder(project.path().join(".millstream"));
        sources.look_again();
        let refused = sources.store(&version, &blobs).await.unwrap_err();
        assert!(matches!(refused, StoreSourcesError::NotSeen(_)), "{refused}");
    }
}
