//! One scan of a definition root: look, decide, parse what is new, put it live in one batch.
//!
//! The log lines are those of document 004, because people search for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_control::{
    Control, Deletions, FileChange, FileOutcome, LocationChange, ScanVerdict, StoreError,
    StoredFile,
};
use millstream_definition::{Draft, LocationFile, ParsedFile, Places, Version, file_hash};
use millstream_model::view::FileState;
use millstream_model::{
    ContentHash, Diagnostic, ErrorCode, FileManifest, LocationName, Place, Severity, chain,
};

use crate::files::{Root, unreadable};
use crate::sources::StoreSourcesError;
use crate::together::{findings_of, together};

/// What a scan found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScanReport {
    /// Files at the root.
    pub files: usize,
    /// Files that went live.
    pub loaded: usize,
    /// Files with errors that are new.
    pub failed: usize,
    /// Files that are gone.
    pub deleted: usize,
    /// Why nothing of what was seen was stored, where that is so.
    pub stale: Option<String>,
}

/// After a change below a root, files are given this long to be complete before they are read.
pub(crate) const SETTLE: Duration = Duration::from_millis(50);

/// How often a scan looks while what it looks at, or what is stored, is changed by others.
const LOOKS_MAX: usize = 3;

/// Scans `root` as `location`.
///
/// Crash-safe: what goes live does so in one batch, and a scan that died is done again. Two scans
/// at once cannot mix: the second finds the location's version changed, and looks again.
pub async fn scan(
    control: &Control,
    location: &LocationName,
    root: &mut Root,
    deletions: Deletions,
) -> Result<ScanReport, StoreError> {
    for _ in 0..LOOKS_MAX {
        match scan_once(control, location, root, deletions).await {
            Ok(Scanned::Done(report)) => return Ok(report),
            Ok(Scanned::Changed(what)) => tracing::debug!("{what}; all is looked at again"),
            Err(error) if error.is_conflict() => {
                tracing::debug!(
                    "another daemon was faster to store its scan; all is looked at again"
                );
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(SETTLE).await;
    }
    let reason = "what is scanned is changed all the time; the next scan tries again";
    tracing::warn!("{reason}");
    Ok(ScanReport { stale: Some(reason.to_owned()), ..ScanReport::default() })
}

/// What came of a scan.
enum Scanned {
    Done(ScanReport),
    /// A source was changed meanwhile, so that nothing of what was seen may go live.
    Changed(StoreSourcesError),
}

async fn scan_once(
    control: &Control,
    location: &LocationName,
    root: &mut Root,
    deletions: Deletions,
) -> Result<Scanned, StoreError> {
    let seen_version = control.location_version(location).await?;
    if let Some(files) = root.unchanged(seen_version) {
        control.apply_scan(&nothing_new(location, seen_version)).await?;
        return Ok(Scanned::Done(ScanReport { files, ..ScanReport::default() }));
    }
    let sighting = root.look();
    let files = sighting.count();
    let judged = control.judge_scan(location, (&sighting, root.taken()), deletions).await?;
    let (known, verdict) = judged;
    if let Some(reason) = verdict.stale.clone() {
        tracing::warn!("[LOCAL_SOURCE] {}: {reason}", root.path().display());
        let change = LocationChange {
            location: location.clone(),
            seen_version,
            files: Vec::new(),
            stale: Some(reason.clone()),
        };
        control.apply_scan(&change).await?;
        let stale = Some(reason);
        return Ok(Scanned::Done(ScanReport { files, stale, ..ScanReport::default() }));
    }
    for name in &verdict.left {
        let path = root.path().join(name);
        tracing::warn!(
            "[DAG_LOADER] {} is left as it is stored: another server has changed it, and here it \
             has not changed since; what is here is used once it changes, or this server starts \
             again",
            path.display()
        );
    }
    if verdict.parse.is_empty() && verdict.deleted.is_empty() {
        root.take(sighting.into_files());
        control.apply_scan(&nothing_new(location, seen_version)).await?;
        match root.keep_seen_sources().await {
            Ok(()) => root.settle(seen_version),
            Err(error) => tracing::warn!("{}; the next scan tries again", chain(&error)),
        }
        return Ok(Scanned::Done(ScanReport { files, ..ScanReport::default() }));
    }
    let mut scan = Scan { control, location, root, known };
    let mut seen = sighting.into_files();
    let mut fresh = scan.parse(&scan.worth_parsing(&verdict, &seen), &seen);
    if let Err(changed) = scan.keep_sources(&mut fresh).await {
        return Ok(Scanned::Changed(changed));
    }
    let changes = scan.changes(fresh, &verdict).await?;
    let report = summarize(&changes, files);
    seen.retain(|name, checksum| {
        verdict.left.contains(name) || scan.is_stored(name, checksum, &changes)
    });
    let change =
        LocationChange { location: location.clone(), seen_version, files: changes, stale: None };
    control.apply_scan(&change).await?;
    root.take(seen);
    Ok(Scanned::Done(report))
}

/// A scan that found what is stored: only that it took place is news.
fn nothing_new(location: &LocationName, seen_version: i64) -> LocationChange {
    LocationChange { location: location.clone(), seen_version, files: Vec::new(), stale: None }
}

fn summarize(changes: &[FileChange], files: usize) -> ScanReport {
    let mut report = ScanReport { files, ..ScanReport::default() };
    for change in changes {
        match &change.outcome {
            FileOutcome::Live { .. } => report.loaded += 1,
            FileOutcome::Bad { .. } => report.failed += 1,
            FileOutcome::Deleted => report.deleted += 1,
        }
    }
    report
}

struct Scan<'a> {
    control: &'a Control,
    location: &'a LocationName,
    root: &'a mut Root,
    known: BTreeMap<String, StoredFile>,
}

/// A file that was read in this scan.
struct Fresh {
    checksum: ContentHash,
    parsed: ParsedFile,
    version: Option<ContentHash>,
}

impl Scan<'_> {
    /// Keeps the sources of what was read, before anything of it is put together: so all of it
    /// goes live, or what is left out is seen to be. A file whose sources cannot be stored has
    /// that as its error.
    async fn keep_sources(
        &mut self,
        fresh: &mut BTreeMap<String, Fresh>,
    ) -> Result<(), StoreSourcesError> {
        let mut refused: BTreeMap<ContentHash, String> = BTreeMap::new();
        for (name, file) in fresh {
            let Some(content) = &mut file.parsed.manifest else { continue };
            let programs = content.programs();
            let codes: BTreeSet<ContentHash> =
                programs.iter().filter_map(|(_, program)| program.code().cloned()).collect();
            for code in codes {
                if !refused.contains_key(&code) {
                    match self.root.keep_sources(&code).await {
                        Ok(()) => continue,
                        Err(changed @ StoreSourcesError::Changed(_)) => return Err(changed),
                        Err(error) => _ = refused.insert(code.clone(), chain(&error)),
                    }
                }
                file.refuse(name, refused.get(&code).map(String::as_str).unwrap_or_default());
                break;
            }
        }
        Ok(())
    }

    async fn changes(
        &mut self,
        fresh: BTreeMap<String, Fresh>,
        verdict: &ScanVerdict,
    ) -> Result<Vec<FileChange>, StoreError> {
        let live = self.control.live_files(self.location).await?;
        let live: BTreeMap<String, (ContentHash, FileManifest)> = live
            .into_iter()
            .filter(|(version, _)| !verdict.deleted.contains(&version.name))
            .map(|(version, content)| (version.name, (version.hash, content)))
            .collect();
        let mut changes: Vec<FileChange> =
            verdict.deleted.iter().map(|name| deleted(name)).collect();
        changes.extend(self.judge(fresh, &live));
        Ok(changes)
    }

    /// What is new, and what had errors before: those may be gone now that another file changed.
    fn worth_parsing(
        &self,
        verdict: &ScanVerdict,
        seen: &BTreeMap<String, ContentHash>,
    ) -> BTreeSet<String> {
        let had_errors = self.known.iter().filter(|(name, file)| {
            // What another server has stored is no matter of this one's.
            matches!(file.row.state, FileState::Broken | FileState::LastGood)
                && seen.get(*name) == Some(&file.checksum)
        });
        verdict.parse.iter().cloned().chain(had_errors.map(|(name, _)| name.clone())).collect()
    }

    /// Whether a file is stored with this checksum once `changes` are.
    fn is_stored(&self, name: &str, checksum: &ContentHash, changes: &[FileChange]) -> bool {
        let news = changes.iter().find(|change| change.name == name);
        let stored = match news.map(|change| &change.outcome) {
            Some(FileOutcome::Live { checksum, .. } | FileOutcome::Bad { checksum, .. }) => {
                Some(checksum)
            }
            Some(FileOutcome::Deleted) => None,
            None => self.known.get(name).map(|file| &file.checksum),
        };
        stored == Some(checksum)
    }

    fn parse(
        &mut self,
        names: &BTreeSet<String>,
        checksums: &BTreeMap<String, ContentHash>,
    ) -> BTreeMap<String, Fresh> {
        let mut fresh = BTreeMap::new();
        for name in names {
            let Some(seen) = checksums.get(name) else { continue };
            let shown = job_name(name);
            if self.known.get(name).is_none_or(|file| file.checksum != *seen) {
                tracing::info!(
                    "[DAG_LOADER] Loading DAG: {shown} from local:{}",
                    self.root.path().join(name).display()
                );
            }
            let (checksum, parsed) = match self.root.parse(name) {
                Ok(parsed) => parsed,
                Err(error) => (seen.clone(), unreadable(name, &error)),
            };
            let version = parsed.manifest.as_ref().map(file_hash);
            fresh.insert(name.clone(), Fresh { checksum, parsed, version });
        }
        fresh
    }

    /// What becomes of each file, once all are put together.
    fn judge(
        &self,
        fresh: BTreeMap<String, Fresh>,
        live: &BTreeMap<String, (ContentHash, FileManifest)>,
    ) -> Vec<FileChange> {
        let names: BTreeSet<&String> = fresh.keys().chain(live.keys()).collect();
        let files: Vec<LocationFile<'_>> = names
            .iter()
            .map(|name| LocationFile {
                name: name.as_str(),
                newest: match fresh.get(*name) {
                    Some(fresh) => fresh.version(),
                    None => live_version(live, name),
                },
                draft: fresh.get(*name).and_then(Fresh::draft),
                live: live_version(live, name),
            })
            .collect();
        let check = together(self.location.clone(), &files);
        let mut changes = Vec::new();
        for (name, file) in fresh {
            let diagnostics = findings_of(&name, &file.parsed.diagnostics, &check);
            let refused = check.refused.contains(&name);
            let outcome = match (file.parsed.manifest, file.version) {
                (Some(content), Some(version)) if !refused => FileOutcome::Live {
                    checksum: file.checksum,
                    version,
                    content: Box::new(content),
                    warnings: diagnostics,
                },
                _ => FileOutcome::Bad { checksum: file.checksum, diagnostics },
            };
            changes.extend(self.news(name, outcome));
        }
        changes
    }

    /// The change, unless everything about it is known already: one error a content, not a scan.
    fn news(&self, name: String, outcome: FileOutcome) -> Option<FileChange> {
        let shown = job_name(&name);
        let known = self.known.get(&name);
        match &outcome {
            FileOutcome::Bad { checksum, diagnostics } => {
                let same = known.is_some_and(|file| {
                    file.checksum == *checksum
                        && file.row.diagnostics == *diagnostics
                        && matches!(file.row.state, FileState::Broken | FileState::LastGood)
                });
                if same {
                    return None;
                }
                let first = diagnostics.iter().find(|found| found.severity == Severity::Error);
                let why = first.map_or(String::new(), |found| found.message.clone());
                let place = first.map_or_else(|| name.clone(), |found| found.place.to_string());
                tracing::error!(%place, "[DAG_LOADER] Failed to load DAG {shown}: {why}");
            }
            FileOutcome::Live { .. } => {
                tracing::info!("[DAG_LOADER] Successfully loaded DAG: {shown}");
            }
            FileOutcome::Deleted => {}
        }
        Some(FileChange { name, outcome })
    }
}

impl Fresh {
    /// Makes of it a file whose sources cannot be stored, and why.
    fn refuse(&mut self, name: &str, why: &str) {
        // No file has this checksum, so that each scan tries again.
        self.checksum = ContentHash::of(format!("{} not stored", self.checksum).as_bytes());
        self.version = None;
        self.parsed.refuse(vec![Diagnostic {
            code: ErrorCode::DefinitionSources,
            severity: Severity::Error,
            message: why.to_owned(),
            place: Place { file: name.to_owned(), line: 0, column: 0 },
            help: Some("each scan tries again".to_owned()),
        }]);
    }

    fn draft(&self) -> Option<(&Draft, &Places)> {
        Some((self.parsed.draft.as_ref()?, &self.parsed.places))
    }

    fn version(&self) -> Option<Version<'_>> {
        Some(Version {
            hash: self.version.as_ref()?,
            manifest: self.parsed.manifest.as_ref()?,
            places: Some(&self.parsed.places),
        })
    }
}

fn live_version<'a>(
    live: &'a BTreeMap<String, (ContentHash, FileManifest)>,
    name: &str,
) -> Option<Version<'a>> {
    let (hash, manifest) = live.get(name)?;
    Some(Version { hash, manifest, places: None })
}

fn deleted(name: &str) -> FileChange {
    tracing::info!("[DAG_LOADER] DAG deleted: {}", job_name(name));
    FileChange { name: name.to_owned(), outcome: FileOutcome::Deleted }
}

/// What the loader's log calls a file: its path without the extension.
fn job_name(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
