//! Definition files read by a command, without loading them: for `validate` and `plan`.

use std::collections::BTreeMap;
use std::fs::FileType;
use std::path::{Path, PathBuf};

use millstream_control::SourceSets;
use millstream_daemon::{Sources, findings_of, unreadable};
use millstream_definition::{EXTENSIONS, LocationCheck, LocationFile, ParsedFile, Version};
use millstream_model::{ContentHash, Diagnostic, did_you_mean, nearest};
use millstream_server::PassedOver;

use crate::cli::Global;
use crate::error::AppError;
use crate::settings::Settings;
use crate::{draw, instance, no_definitions, output};

/// The largest file that is read; the parser refuses smaller ones already.
const READ_MAX: u64 = 2 << 20;

/// The most files of sources that a plan is sent with.
const SOURCES_MAX: usize = 10_000;

/// A file that was read.
pub(super) struct ReadFile {
    text: String,
    /// What it says, or what is wrong with it.
    pub(super) parsed: ParsedFile,
    hash: Option<ContentHash>,
}

/// Files by their names below their root.
pub(super) type Files = BTreeMap<String, ReadFile>;

/// What a server calls the file that `typed` names: by its path as it is typed, or by that below
/// the definitions' folder.
pub(super) fn name_of(global: &Global, typed: &str) -> Result<String, AppError> {
    if global.url.is_some() && !global.dir.is_dir() {
        return Ok(typed.to_owned());
    }
    let settings = Settings::of(&global.dir)?;
    let path = Path::new(typed);
    let own = settings.dags.canonicalize().unwrap_or_else(|_| settings.dags.clone());
    let below = settings.root_of(path).filter(|(root, _)| *root == own);
    let is_name = !path.exists() && settings.dags.join(path).exists();
    Ok(below.filter(|_| !is_name).map_or_else(|| typed.to_owned(), |(_, name)| name))
}

/// The project's folder of definition files, which has to be there.
pub(super) fn of_project(settings: &Settings) -> Result<PathBuf, AppError> {
    if settings.dags.is_dir() {
        return Ok(settings.dags.clone());
    }
    Err(no_definitions::no_project(settings))
}

/// The file or folder that `path` names: as it is typed, or below the definitions' folder.
pub(super) fn found(path: &Path, settings: &Settings) -> Result<PathBuf, AppError> {
    let below = settings.dags.join(path);
    match (path.exists(), below.exists()) {
        (true, _) => return Ok(path.to_owned()),
        (false, true) => return Ok(below),
        (false, false) => {}
    }
    let known = definition_files(&settings.dags).unwrap_or_default();
    let name = settings.root_of(path).map_or_else(|| path.display().to_string(), |(_, name)| name);
    let near = did_you_mean(&name, known.iter().map(|(name, _)| name.as_str()));
    let (path, dags) = (path.to_owned(), settings.dags.clone());
    Err(AppError::NoDefinitions { path, near, dags })
}

/// The root of what `path` asks about, and the names of the files that it means.
///
/// What lies below the definitions' folder has that as its root, because the files there see each
/// other. Any other file is alone, and any other folder is the root of all below it.
pub(super) fn asked(path: &Path, settings: &Settings) -> Result<(PathBuf, Vec<String>), AppError> {
    let names = |files: Vec<(String, PathBuf)>| files.into_iter().map(|(name, _)| name);
    match settings.root_of(path) {
        Some((root, name)) if path.is_file() && is_definition(path) => Ok((root, vec![name])),
        Some((root, folder)) if path.is_dir() => {
            let below = format!("{folder}/");
            let names = names(definition_files(&root)?).filter(|name| name.starts_with(&below));
            Ok((root, names.collect()))
        }
        _ => Ok((path.to_owned(), names(definition_files(path)?).collect())),
    }
}

/// The definition files at `root`, a file or a folder, with their steps' sources below `project`.
pub(super) fn read(root: &Path, project: &Path) -> Result<Files, AppError> {
    read_with_sources(root, project).map(|(files, _)| files)
}

/// The same, with what those sources consist of; with nothing where that is too much to be sent.
pub(super) fn read_with_sources(
    root: &Path,
    project: &Path,
) -> Result<(Files, SourceSets), AppError> {
    let mut files = BTreeMap::new();
    let mut sources = Sources::new(project.to_owned());
    for (name, path) in definition_files(root)? {
        let (content, parsed) = match content(&path) {
            Ok(content) => {
                let mut parsed = millstream_definition::parse_file(&name, &content);
                sources.fill(&name, &mut parsed);
                (content, parsed)
            }
            Err(error) => (Vec::new(), unreadable(&name, &error)),
        };
        let hash = parsed.manifest.as_ref().map(millstream_definition::file_hash);
        let text = String::from_utf8_lossy(&content).into_owned();
        files.insert(name, ReadFile { text, parsed, hash });
    }
    let sets = sources.sets().map(|(hash, set)| (hash.clone(), set));
    let count: usize = sources.sets().map(|(_, set)| set.files.len()).sum();
    let sets = sets.filter(|_| count <= SOURCES_MAX).map(|(hash, set)| (hash, set.clone()));
    let sets = sets.collect();
    Ok((files, sets))
}

/// What the files make together, with what is wrong with the selections of their jobs.
pub(super) fn together(files: &Files) -> LocationCheck {
    let each: Vec<LocationFile<'_>> = files
        .iter()
        .map(|(name, file)| LocationFile {
            name,
            newest: version(file),
            draft: file.parsed.draft.as_ref().map(|draft| (draft, &file.parsed.places)),
            live: None,
        })
        .collect();
    millstream_daemon::together(instance::location_name(), &each)
}

/// All that is wrong with the files that are `asked` about, each alone and together, by place: what
/// a scan says of them.
pub(super) fn findings(
    files: &Files,
    check: &LocationCheck,
    asked: impl Fn(&str) -> bool,
) -> Vec<Diagnostic> {
    let of =
        |(name, file): (&String, &ReadFile)| findings_of(name, &file.parsed.diagnostics, check);
    files.iter().filter(|(name, _)| asked(name)).flat_map(of).collect()
}

/// Shows findings with the lines that they are about.
pub(super) fn draw<'f>(files: &Files, findings: impl IntoIterator<Item = &'f Diagnostic>) {
    for diagnostic in findings {
        // A file that was checked alone is shown by the path that was typed.
        let alone = || files.values().next().filter(|_| files.len() == 1);
        let file = files.get(&diagnostic.place.file).or_else(alone);
        output::line(&draw::diagnostic(diagnostic, file.map_or("", |file| file.text.as_str())));
    }
}

/// The files below `root` that are not read and were probably meant as definition files: by the
/// ending of their names, or because they are links.
pub(crate) fn passed_over(root: &Path) -> Result<Vec<PassedOver>, AppError> {
    let is_near = |path: &Path| {
        let extension = path.extension().and_then(std::ffi::OsStr::to_str);
        let extension = extension.map(str::to_ascii_lowercase);
        extension.is_some_and(|it| nearest(&it, EXTENSIONS.iter().copied()).is_some())
    };
    if root.is_file() {
        return Ok(Vec::new());
    }
    let why = |path: &Path, kind: FileType| {
        if kind.is_file() && !is_definition(path) && is_near(path) {
            return Some(format!("a definition file ends in .{}", EXTENSIONS.join(", .")));
        }
        let is_linked = kind.is_symlink() && is_definition(path) && path.is_file();
        is_linked.then(|| "links are not followed".to_owned())
    };
    let mut found = files_below(root, why)?;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn version(file: &ReadFile) -> Option<Version<'_>> {
    Some(Version {
        hash: file.hash.as_ref()?,
        manifest: file.parsed.manifest.as_ref()?,
        places: Some(&file.parsed.places),
    })
}

/// The definition files at `root`, a file or a folder, with their names below it.
fn definition_files(root: &Path) -> Result<Vec<(String, PathBuf)>, AppError> {
    let failed = |source| AppError::Files { path: root.to_owned(), source };
    if root.metadata().map_err(failed)?.is_file() {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![(name, root.to_owned())]);
    }
    let names = millstream_daemon::definition_files(root);
    let names = names.map_err(|reason| failed(std::io::Error::other(reason)))?;
    Ok(names.into_iter().map(|name| (name.clone(), root.join(name))).collect())
}

/// What lies below `root`, is not hidden, and has a reason to be passed over.
fn files_below(
    root: &Path,
    why: impl Fn(&Path, FileType) -> Option<String>,
) -> Result<Vec<PassedOver>, AppError> {
    let failed = |source| AppError::Files { path: root.to_owned(), source };
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() && !is_hidden {
                folders.push(path);
            } else if !is_hidden && let Some(why) = why(&path, kind) {
                let below = path.strip_prefix(root).unwrap_or(&path);
                found.push(PassedOver { name: below.to_string_lossy().into_owned(), why });
            }
        }
    }
    Ok(found)
}

fn is_definition(path: &Path) -> bool {
    let extension = path.extension().and_then(std::ffi::OsStr::to_str);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(READ_MAX).read_to_end(&mut content)?;
    Ok(content)
}
