//! Code locations and their files: what was seen, what is live, and every version there was.

use std::collections::BTreeMap;

use millstream_model::view::{FileRow, FileState, Pin};
use millstream_model::{ContentHash, FileManifest, LocationName, Timestamp};

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Store, StoreError, Value};

statements! {
    CREATE_LOCATION = "
        INSERT INTO location (name, root, version) VALUES ($1, $2, 0)
        ON CONFLICT (name) DO UPDATE SET root = excluded.root";
    LOCATIONS = "
        SELECT name, root, version, scanned_at, stale_since, stale_reason
        FROM location ORDER BY name LIMIT 1000";
    RAISE_LOCATION = "
        UPDATE location SET version = version + 1 WHERE name = $1 AND version = $2";
    SET_SCANNED = "
        UPDATE location
        SET scanned_at = $2, stale_reason = $4,
            stale_since = CASE WHEN CAST($4 AS TEXT) IS NULL THEN NULL
                               ELSE COALESCE(stale_since, $3) END
        WHERE name = $1";
    FILES = "
        SELECT f.location, f.name, f.state, f.version, f.loaded_at, f.diagnostics, f.checksum,
               COALESCE(p.number, (SELECT MAX(v.number) FROM definition_version v
                                   WHERE v.location = f.location AND v.name = f.name
                                     AND v.hash = f.version)) AS number,
               p.checksum AS pinned, p.set_by, p.set_at
        FROM definition_file f
        LEFT JOIN definition_pin p ON p.location = f.location AND p.name = f.name
        WHERE f.location = $1 ORDER BY f.name";
    UPSERT_FILE = "
        INSERT INTO definition_file (location, name, state, checksum, version, loaded_at,
                                     diagnostics)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (location, name) DO UPDATE
        SET state = excluded.state, checksum = excluded.checksum, version = excluded.version,
            loaded_at = excluded.loaded_at, diagnostics = excluded.diagnostics";
    INSERT_CONTENT = "
        INSERT INTO definition_content (hash, json) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    CONTENTS = "
        SELECT hash, json FROM definition_content WHERE hash IN (/*texts $1*/)";
    INSERT_VERSION = "
        INSERT INTO definition_version (location, name, number, hash, loaded_at)
        SELECT $1, $2, COALESCE(MAX(number), 0) + 1, $3, $4 FROM definition_version
        WHERE location = $1 AND name = $2";
}

/// A code location as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLocation {
    /// Its name.
    pub name: LocationName,
    /// Its root, as the daemon that scans it was told.
    pub root: String,
    /// How often its live files have changed; caches compare it.
    pub version: i64,
    /// When it was last scanned.
    pub scanned_at: Option<Timestamp>,
    /// Since when its root cannot be believed.
    pub stale_since: Option<Timestamp>,
    /// Why not.
    pub stale_reason: Option<String>,
}

/// A definition file as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFile {
    /// What readers see.
    pub row: FileRow,
    /// The hash of the bytes that were last looked at.
    pub checksum: ContentHash,
    /// The hash of the bytes that the file had when its live version was pinned, if one is.
    pub pinned: Option<ContentHash>,
}

/// Makes a location, or tells an existing one its root.
pub fn create_location(name: &LocationName, root: &str) -> Batch {
    Batch::new(Scope::Instance).then_one(&CREATE_LOCATION, vec![name.into(), root.into()])
}

/// Raises a location's version from `seen`, or conflicts: every change of its files names it.
pub fn raise_location(batch: &mut Batch, name: &LocationName, seen: i64) {
    batch.push(&RAISE_LOCATION, vec![name.into(), seen.into()], Expect::Rows(1));
    // Schedules may have come, gone or moved.
    batch.wakes_daemon = true;
}

/// Stores that a location was scanned, and why its root cannot be believed, if it cannot.
pub fn set_scanned(
    batch: &mut Batch,
    name: &LocationName,
    at: Timestamp,
    stale_reason: Option<&str>,
) {
    let params = vec![name.into(), at.into(), at.into(), stale_reason.into()];
    batch.push(&SET_SCANNED, params, Expect::Rows(1));
}

/// Stores what was seen of a file and what is live of it.
pub fn upsert_file(batch: &mut Batch, file: &StoredFile) {
    let row = &file.row;
    let params: Vec<Value> = vec![
        (&row.location).into(),
        row.name.as_str().into(),
        state_name(row.state).into(),
        (&file.checksum).into(),
        row.version.as_ref().into(),
        row.loaded_at.into(),
        json(&row.diagnostics),
    ];
    batch.push(&UPSERT_FILE, params, Expect::Rows(1));
}

/// Stores a new version of a file and its content.
pub fn insert_version(
    batch: &mut Batch,
    (location, name): (&LocationName, &str),
    hash: &ContentHash,
    content: &FileManifest,
    now: Timestamp,
) {
    batch.push(&INSERT_CONTENT, vec![hash.into(), json(content)], Expect::Any);
    let params = vec![location.into(), name.into(), hash.into(), now.into()];
    batch.push(&INSERT_VERSION, params, Expect::Rows(1));
}

const STATES: [(FileState, &str); 5] = [
    (FileState::Live, "LIVE"),
    (FileState::LastGood, "LAST_GOOD"),
    (FileState::Broken, "BROKEN"),
    (FileState::Stale, "STALE"),
    (FileState::Deleted, "DELETED"),
];

fn state_name(state: FileState) -> &'static str {
    STATES.iter().find(|(each, _)| *each == state).map_or("BROKEN", |(_, name)| name)
}

/// A stored state's name, on its way back.
struct StateName(FileState);

impl std::str::FromStr for StateName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        STATES.iter().find(|(_, name)| *name == text).map(|(state, _)| Self(*state)).ok_or(())
    }
}

fn stored_file(mut row: Row) -> Result<StoredFile, StoreError> {
    let mut file = FileRow {
        location: row.parse()?,
        name: row.text()?,
        state: row.parse::<StateName>()?.0,
        version: row.text_opt()?.map(ContentHash::from_stored),
        number: None,
        pin: None,
        loaded_at: row.time_opt()?,
        diagnostics: row.json()?,
    };
    let checksum = ContentHash::from_stored(row.text()?);
    file.number = row.int_opt()?.and_then(|number| u32::try_from(number).ok());
    let pinned = row.text_opt()?.map(ContentHash::from_stored);
    if let (Some(number), Some(by), Some(at)) = (file.number, row.text_opt()?, row.time_opt()?) {
        file.pin = Some(Pin { number, by, at });
    }
    Ok(StoredFile { row: file, checksum, pinned })
}

impl Store {
    /// Every code location.
    pub async fn locations(&self) -> Result<Vec<StoredLocation>, StoreError> {
        let rows = self.read_few(Scope::Instance, &LOCATIONS, Vec::new()).await?;
        rows.into_iter()
            .map(|mut row| {
                Ok(StoredLocation {
                    name: row.parse()?,
                    root: row.text()?,
                    version: row.int()?,
                    scanned_at: row.time_opt()?,
                    stale_since: row.time_opt()?,
                    stale_reason: row.text_opt()?,
                })
            })
            .collect()
    }

    /// Every file of a location that was ever seen, by name.
    pub async fn definition_files(
        &self,
        location: &LocationName,
    ) -> Result<Vec<StoredFile>, StoreError> {
        let rows = self.read(Scope::Instance, &FILES, vec![location.into()]).await?;
        rows.into_iter().map(stored_file).collect()
    }

    /// The contents with these hashes; one that is missing is left out.
    pub async fn definition_contents(
        &self,
        hashes: &[ContentHash],
    ) -> Result<BTreeMap<ContentHash, FileManifest>, StoreError> {
        let rows = self.read(Scope::Instance, &CONTENTS, vec![json(&hashes)]).await?;
        rows.into_iter()
            .map(|mut row| Ok((ContentHash::from_stored(row.text()?), row.json()?)))
            .collect()
    }
}
