//! The versions of definition files: what there was of each, and which of them are pinned.
//!
//! A version is written when it is loaded ([`crate::definitions`]) and is never changed.

use millstream_model::view::{Pin, VersionRow};
use millstream_model::{ContentHash, LocationName};

use crate::batch::Expect;
use crate::statement::statements;
use crate::{Batch, Row, Scope, Store, StoreError};

/// The versions of a file, or of a location, that are listed, the newest first.
const VERSIONS_MAX: u32 = 1_000;

statements! {
    VERSIONS = "
        SELECT number, hash, loaded_at FROM definition_version
        WHERE location = $1 AND name = $2 ORDER BY number DESC LIMIT $3";
    VERSIONS_OF_LOCATION = "
        SELECT name, number, hash, loaded_at FROM definition_version
        WHERE location = $1 ORDER BY loaded_at DESC, number DESC LIMIT $2";
    SET_PIN = "
        INSERT INTO definition_pin (location, name, number, checksum, set_by, set_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (location, name) DO UPDATE
        SET number = excluded.number, checksum = excluded.checksum, set_by = excluded.set_by,
            set_at = excluded.set_at";
    END_PIN = "DELETE FROM definition_pin WHERE location = $1 AND name = $2";
}

/// Keeps the version in `pin` of a file live for as long as its bytes hash to `checksum`.
pub fn set_pin(
    batch: &mut Batch,
    (location, name): (&LocationName, &str),
    pin: &Pin,
    checksum: &ContentHash,
) {
    let params = vec![
        location.into(),
        name.into(),
        pin.number.into(),
        checksum.into(),
        pin.by.as_str().into(),
        pin.at.into(),
    ];
    batch.push(&SET_PIN, params, Expect::Rows(1));
}

/// Lets a file follow its content again.
pub fn end_pin(batch: &mut Batch, (location, name): (&LocationName, &str)) {
    batch.push(&END_PIN, vec![location.into(), name.into()], Expect::Any);
}

fn version_row(mut row: Row) -> Result<VersionRow, StoreError> {
    Ok(VersionRow {
        number: row.count()?,
        hash: ContentHash::from_stored(row.text()?),
        loaded_at: row.time()?,
    })
}

impl Store {
    /// The versions of a file, the newest first; those beyond a thousand are left out.
    pub async fn file_versions(
        &self,
        location: &LocationName,
        name: &str,
    ) -> Result<Vec<VersionRow>, StoreError> {
        let params = vec![location.into(), name.into(), VERSIONS_MAX.into()];
        let rows = self.read(Scope::Instance, &VERSIONS, params).await?;
        rows.into_iter().map(version_row).collect()
    }

    /// The versions of all files of a location with the files' names, the newest first; those
    /// beyond a thousand are left out.
    pub async fn versions_of_location(
        &self,
        location: &LocationName,
    ) -> Result<Vec<(String, VersionRow)>, StoreError> {
        let params = vec![location.into(), VERSIONS_MAX.into()];
        let rows = self.read(Scope::Instance, &VERSIONS_OF_LOCATION, params).await?;
        rows.into_iter().map(|mut row| Ok((row.text()?, version_row(row)?))).collect()
    }
}
