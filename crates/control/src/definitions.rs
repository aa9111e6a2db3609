//! What a scan found becomes what is live, in one batch.

use std::collections::BTreeMap;

use millstream_decide::scan::{
    Deletions, KnownFile, PinnedSight, ScanVerdict, Sighting, decide, pin_stays,
};
use millstream_model::view::{FileRow, FileState};
use millstream_model::{ContentHash, Diagnostic, ErrorCode, FileManifest, LocationName, Timestamp};
use millstream_store::definitions::{self, StoredFile, StoredLocation};
use millstream_store::instance::{self, DaemonRequest};
use millstream_store::{Batch, Scope, StoreError, versions};

use crate::{Control, ControlError};

/// Requests that one pass of a daemon answers.
const REQUESTS_MAX: u32 = 100;

/// How long the answer to a request is kept: an hour.
const FORGET_AFTER_MICROS: i64 = 3_600_000_000;

/// One file whose state a scan changes.
#[derive(Debug, Clone)]
pub struct FileChange {
    /// The path below the root.
    pub name: String,
    /// What becomes of it.
    pub outcome: FileOutcome,
}

/// What becomes of a file.
#[derive(Debug, Clone)]
pub enum FileOutcome {
    /// Its content is good and goes live.
    Live {
        /// The hash of its bytes.
        checksum: ContentHash,
        /// Its version.
        version: ContentHash,
        /// What it says.
        content: Box<FileManifest>,
        /// What there is to warn of.
        warnings: Vec<Diagnostic>,
    },
    /// Its content has errors; the last good version stays.
    Bad {
        /// The hash of its bytes.
        checksum: ContentHash,
        /// The errors.
        diagnostics: Vec<Diagnostic>,
    },
    /// It is gone; its version stays in the history.
    Deleted,
}

/// What one scan changes.
#[derive(Debug, Clone)]
pub struct LocationChange {
    /// The location.
    pub location: LocationName,
    /// Its version when the scan began; another scan's change in between is a conflict.
    pub seen_version: i64,
    /// The files that change.
    pub files: Vec<FileChange>,
    /// Why the root cannot be believed, if it cannot.
    pub stale: Option<String>,
}

/// A location with its files, as the definitions page and `definitions status` show it.
#[derive(Debug, Clone)]
pub struct LocationView {
    /// The location.
    pub location: StoredLocation,
    /// Its files.
    pub files: Vec<FileRow>,
}

impl Control {
    /// Makes the location known, with the root it is scanned from.
    pub async fn add_location(&self, name: &LocationName, root: &str) -> Result<(), StoreError> {
        self.store.apply(definitions::create_location(name, root)).await.map(|_| ())
    }

    /// How often the live files of a location have changed.
    pub async fn location_version(&self, name: &LocationName) -> Result<i64, StoreError> {
        let stored = self.store.locations().await?;
        Ok(stored.iter().find(|location| location.name == *name).map_or(0, |found| found.version))
    }

    /// What is known of a location's files, and what the sighting of its root means to a server
    /// that saw `taken` there when all was last stored as it was at its root.
    pub async fn judge_scan(
        &self,
        location: &LocationName,
        (sighting, taken): (&Sighting, Option<&BTreeMap<String, ContentHash>>),
        deletions: Deletions,
    ) -> Result<(BTreeMap<String, StoredFile>, ScanVerdict), StoreError> {
        let stored = self.store.definition_files(location).await?;
        let files: BTreeMap<String, StoredFile> =
            stored.into_iter().map(|file| (file.row.name.clone(), file)).collect();
        let known = files
            .iter()
            .map(|(name, file)| {
                let deleted = file.row.state == FileState::Deleted;
                (name.clone(), KnownFile { checksum: file.checksum.clone(), deleted })
            })
            .collect();
        let mut verdict = decide(&known, sighting, deletions);
        if let (Sighting::Files(seen), Some(taken)) = (sighting, taken) {
            verdict = verdict.without_others(&known, seen, taken);
        }
        Ok((files, verdict))
    }

    /// The requests that wait for a daemon, the oldest first.
    pub async fn open_requests(&self) -> Result<Vec<DaemonRequest>, StoreError> {
        self.store.open_requests(REQUESTS_MAX).await
    }

    /// Answers a request, and forgets those that nobody waits for any more.
    pub async fn answer_request(&self, id: &str, answer: &str) -> Result<(), StoreError> {
        let forget = self.now().as_micros().saturating_sub(FORGET_AFTER_MICROS);
        let forget = Timestamp::from_micros(forget);
        self.store.apply(instance::answer_request(id, answer, forget)).await.map(|_| ())
    }

    /// The answer to a request, once there is one.
    pub async fn request_answer(&self, id: &str) -> Result<Option<String>, StoreError> {
        self.store.request_answer(id).await
    }

    /// Stores what a scan changes: all of it or nothing.
    pub async fn apply_scan(&self, change: &LocationChange) -> Result<(), StoreError> {
        let now = self.now();
        let mut batch = Batch::new(Scope::Instance);
        definitions::set_scanned(&mut batch, &change.location, now, change.stale.as_deref());
        if change.files.is_empty() {
            return self.store.apply(batch).await.map(|_| ());
        }
        definitions::raise_location(&mut batch, &change.location, change.seen_version);
        let known = self.store.definition_files(&change.location).await?;
        let known: BTreeMap<&str, &StoredFile> =
            known.iter().map(|stored| (stored.row.name.as_str(), stored)).collect();
        for file in &change.files {
            let before = known.get(file.name.as_str()).copied();
            let key = (&change.location, file.name.as_str());
            let keeps_pin = before.is_some_and(|before| keeps_pin(before, &file.outcome));
            let stored = self.changed(&change.location, file, before.map(|it| (it, keeps_pin)));
            if !keeps_pin && before.is_some_and(|before| before.pinned.is_some()) {
                versions::end_pin(&mut batch, key);
            }
            if let FileOutcome::Live { version, content, .. } = &file.outcome
                && !keeps_pin
                && before.and_then(|before| before.row.version.as_ref()) != Some(version)
            {
                definitions::insert_version(&mut batch, key, version, content, now);
            }
            definitions::upsert_file(&mut batch, &stored);
        }
        self.store.apply(batch).await.map(|_| ())
    }

    /// What is stored of a file after its change; `before` says whether its pin stays.
    fn changed(
        &self,
        location: &LocationName,
        file: &FileChange,
        before: Option<(&StoredFile, bool)>,
    ) -> StoredFile {
        let keeps_pin = before.is_some_and(|(_, keeps_pin)| keeps_pin);
        let before = before.map(|(before, _)| before);
        let old_version = before.and_then(|before| before.row.version.clone());
        let old_loaded = before.and_then(|before| before.row.loaded_at);
        let row = |state, version, loaded_at, diagnostics| FileRow {
            location: location.clone(),
            name: file.name.clone(),
            state,
            version,
            number: None,
            pin: None,
            loaded_at,
            diagnostics,
        };
        let stored = |row, checksum: &ContentHash| StoredFile {
            row,
            checksum: checksum.clone(),
            pinned: None,
        };
        match &file.outcome {
            FileOutcome::Live { checksum, .. } if keeps_pin => {
                stored(row(FileState::Live, old_version, old_loaded, Vec::new()), checksum)
            }
            FileOutcome::Live { checksum, version, warnings, .. } => {
                let same = old_version.as_ref() == Some(version);
                let loaded_at = if same { old_loaded } else { Some(self.now()) };
                let version = Some(version.clone());
                stored(row(FileState::Live, version, loaded_at, warnings.clone()), checksum)
            }
            FileOutcome::Bad { checksum, diagnostics } => {
                let state = match old_version {
                    Some(_) => FileState::LastGood,
                    None => FileState::Broken,
                };
                stored(row(state, old_version, old_loaded, diagnostics.clone()), checksum)
            }
            FileOutcome::Deleted => {
                let checksum = before.map_or_else(
                    || ContentHash::from_stored(String::new()),
                    |before| before.checksum.clone(),
                );
                stored(row(FileState::Deleted, None, old_loaded, Vec::new()), &checksum)
            }
        }
    }

    /// Every location with its files.
    pub async fn location_views(&self) -> Result<Vec<LocationView>, StoreError> {
        let mut views = Vec::new();
        for location in self.store.locations().await? {
            let files = self.store.definition_files(&location.name).await?;
            let stale = location.stale_since.is_some();
            let files = files.into_iter().map(|file| shown(file.row, stale)).collect();
            views.push(LocationView { location, files });
        }
        Ok(views)
    }

    /// The files whose newest content has errors, so that what is new in it is not loaded.
    pub async fn broken_files(&self) -> Result<Vec<String>, StoreError> {
        let views = self.location_views().await?;
        let files = views.into_iter().flat_map(|view| view.files);
        Ok(files.filter(|file| file.state.is_broken()).map(|file| file.name).collect())
    }

    /// Asks a daemon for a scan; returns the request's id, whose answer can be waited for.
    pub async fn ask_for_scan(&self, deletions: Deletions) -> Result<String, ControlError> {
        let accepted = deletions == Deletions::Accepted;
        self.ask_daemon("scan", &serde_json::json!({ "accept_deletions": accepted })).await
    }

    /// Asks a daemon for something of a kind; returns the request's id.
    pub(crate) async fn ask_daemon(
        &self,
        kind: &str,
        body: &serde_json::Value,
    ) -> Result<String, ControlError> {
        let id = self.new_id().to_string();
        let (kind, body) = (kind.to_owned(), body.to_string());
        let request = DaemonRequest { id: id.clone(), kind, body };
        self.store.apply(instance::ask_daemon(&request, self.now())).await?;
        Ok(id)
    }
}

/// Whether the version that somebody rolled back to stays live after a change of the file.
fn keeps_pin(before: &StoredFile, outcome: &FileOutcome) -> bool {
    let is_unreadable = |found: &Diagnostic| found.code == ErrorCode::DefinitionUnreadable;
    let sight = match outcome {
        FileOutcome::Bad { diagnostics, .. } if diagnostics.iter().any(is_unreadable) => {
            PinnedSight::Unreadable
        }
        FileOutcome::Live { checksum, .. } | FileOutcome::Bad { checksum, .. } => {
            PinnedSight::Bytes(checksum)
        }
        FileOutcome::Deleted => PinnedSight::Gone,
    };
    before.pinned.as_ref().is_some_and(|pinned| pin_stays(pinned, sight))
}

/// A live file of a root that cannot be believed is shown as stale.
fn shown(mut row: FileRow, stale: bool) -> FileRow {
    if stale && row.state == FileState::Live {
        row.state = FileState::Stale;
    }
    row
}
