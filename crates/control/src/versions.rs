//! Versions of definition files: their history, and the rollback that keeps an older one live.
//!
//! A rollback pins a file to a version until the file's content changes; scans honour the pin
//! ([`crate::definitions`]). Runs are not touched: their plans are frozen.

use std::collections::BTreeMap;

use millstream_model::view::{FileRow, FileState, Pin, VersionRow};
use millstream_model::{ContentHash, FileManifest, LocationName, did_you_mean};
use millstream_store::definitions::{self, StoredFile};
use millstream_store::{Batch, Scope, StoreError, versions};

use crate::{Control, ControlError};

/// A definition file with its versions.
#[derive(Debug, Clone)]
pub struct FileHistory {
    /// The file as it is now.
    pub file: FileRow,
    /// Its versions, the newest first.
    pub versions: Vec<VersionRow>,
}

/// A wish to have an older version of a file live.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rollback {
    /// The file.
    pub file: String,
    /// The version's number.
    pub number: u32,
    /// Who wants it.
    pub by: String,
}

/// A rollback that can be checked against the other files, and then applied.
#[derive(Debug, Clone)]
pub struct RollbackPlan {
    /// The location.
    pub location: LocationName,
    /// What was asked for.
    pub rollback: Rollback,
    /// The version to go back to.
    pub version: VersionRow,
    /// What that version says.
    pub content: FileManifest,
    /// The location's version that this was made from.
    seen_version: i64,
    file: StoredFile,
    is_newest: bool,
}

impl Control {
    /// A definition file with its versions.
    pub async fn file_history(&self, name: &str) -> Result<FileHistory, ControlError> {
        let (_, _, file) = self.stored_file(name).await?;
        let versions = self.store.file_versions(&file.row.location, name).await?;
        Ok(FileHistory { file: file.row, versions })
    }

    /// What two versions of a file say.
    pub async fn two_versions(
        &self,
        name: &str,
        numbers: (u32, u32),
    ) -> Result<(FileManifest, FileManifest), ControlError> {
        let history = self.file_history(name).await?;
        let old = version(&history.versions, name, numbers.0)?;
        let new = version(&history.versions, name, numbers.1)?;
        let hashes = [old.hash.clone(), new.hash.clone()];
        let contents = self.store.definition_contents(&hashes).await?;
        Ok((content(&contents, old, name)?, content(&contents, new, name)?))
    }

    /// Asks a daemon to go back to a version of a file; returns the request's id, whose answer can
    /// be waited for.
    pub async fn ask_for_rollback(&self, rollback: &Rollback) -> Result<String, ControlError> {
        let history = self.file_history(&rollback.file).await?;
        version(&history.versions, &rollback.file, rollback.number)?;
        self.ask_daemon("rollback", &serde_json::json!(rollback)).await
    }

    /// What a rollback would make live.
    pub async fn plan_rollback(&self, rollback: Rollback) -> Result<RollbackPlan, ControlError> {
        let (location, seen_version, file) = self.stored_file(&rollback.file).await?;
        let versions = self.store.file_versions(&location, &rollback.file).await?;
        let version = version(&versions, &rollback.file, rollback.number)?.clone();
        if file.row.state == FileState::Deleted {
            return Err(ControlError::FileDeleted { file: rollback.file });
        }
        let contents = self.store.definition_contents(std::slice::from_ref(&version.hash)).await?;
        let content = content(&contents, &version, &rollback.file)?;
        let is_newest = versions.first().is_some_and(|newest| newest.number == version.number);
        Ok(RollbackPlan { location, rollback, version, content, seen_version, file, is_newest })
    }

    /// Makes the version live, and pins it unless it is the newest, which the file holds itself.
    ///
    /// Crash-safe: one batch. A scan at the same time makes one of the two a conflict.
    pub async fn apply_rollback(&self, plan: &RollbackPlan) -> Result<(), StoreError> {
        let now = self.now();
        let key = (&plan.location, plan.rollback.file.as_str());
        let mut batch = Batch::new(Scope::Instance);
        definitions::raise_location(&mut batch, &plan.location, plan.seen_version);
        let mut file = plan.file.clone();
        // What the file holds stays as wrong as it was, and is told beside what is live now.
        if matches!(file.row.state, FileState::Broken | FileState::LastGood) {
            file.row.state = FileState::LastGood;
        } else {
            file.row.state = FileState::Live;
            file.row.diagnostics = Vec::new();
        }
        file.row.loaded_at = Some(now);
        file.row.version = Some(plan.version.hash.clone());
        if plan.is_newest {
            versions::end_pin(&mut batch, key);
            // No content has this checksum, so that the next scan looks at the file anew.
            file.checksum = ContentHash::from_stored(String::new());
        } else {
            let Rollback { number, by, .. } = plan.rollback.clone();
            versions::set_pin(&mut batch, key, &Pin { number, by, at: now }, &file.checksum);
        }
        definitions::upsert_file(&mut batch, &file);
        self.store.apply(batch).await.map(|_| ())
    }

    /// The file called `name` with its location and the location's version.
    async fn stored_file(
        &self,
        name: &str,
    ) -> Result<(LocationName, i64, StoredFile), ControlError> {
        let mut others = Vec::new();
        for location in self.store.locations().await? {
            for file in self.store.definition_files(&location.name).await? {
                if file.row.name == name {
                    return Ok((location.name, location.version, file));
                }
                others.push(file.row.name);
            }
        }
        let near = did_you_mean(name, others.iter().map(String::as_str));
        Err(ControlError::FileUnknown { file: name.to_owned(), near })
    }
}

fn version<'a>(
    versions: &'a [VersionRow],
    file: &str,
    number: u32,
) -> Result<&'a VersionRow, ControlError> {
    versions.iter().find(|version| version.number == number).ok_or_else(|| {
        ControlError::VersionUnknown {
            file: file.to_owned(),
            number,
            newest: versions.first().map_or(0, |newest| newest.number),
        }
    })
}

fn content(
    contents: &BTreeMap<ContentHash, FileManifest>,
    version: &VersionRow,
    file: &str,
) -> Result<FileManifest, ControlError> {
    contents.get(&version.hash).cloned().ok_or_else(|| ControlError::VersionUnknown {
        file: file.to_owned(),
        number: version.number,
        newest: version.number,
    })
}
