//! Assets that are made elsewhere, and somebody who says so.
//!
//! A report is one event of the log that belongs to no run, with the materialization that it says,
//! in one batch: asset sensors and pages see it as they see what a step made.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_model::view::{CODE_ELSEWHERE, MadeBy, MaterializationRow, PartitionState};
use millstream_model::{
    AssetKey, ContentHash, Event, EventBody, MetadataValue, PartitionKey, TenantId,
};
use millstream_plan::check_made;
use millstream_store::materializations::{self, PartitionChange};
use millstream_store::reports::{self, NamedReport};
use millstream_store::{Batch, StoreError, events};

use crate::{Control, ControlError};

/// The most that a report says, in bytes of JSON: it has to fit into an event.
const SAID_MAX: usize = 60 << 10;

/// The longest key that makes a report the same one when it is sent again, in bytes.
const KEY_MAX: usize = 200;

/// How long a key is known.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// What somebody says who has made an asset elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetReport {
    /// The asset.
    pub asset: AssetKey,
    /// The partition, when the asset is partitioned.
    pub partition: Option<PartitionKey>,
    /// What there is to say about it.
    pub metadata: BTreeMap<String, MetadataValue>,
    /// The version of the data.
    pub data_version: Option<String>,
    /// The version of the code that made it.
    pub code_version: Option<String>,
    /// What makes it the same report when it is sent again.
    pub key: Option<String>,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// The materialization that it is.
    pub row: MaterializationRow,
    /// Whether it came before.
    pub is_known: bool,
}

impl Control {
    /// Stores that an asset, or one partition of it, was made elsewhere.
    ///
    /// A report that has a key and is sent twice is one; another report under the same key is
    /// refused. One without a key is two: whoever reports knows what was answered.
    pub async fn report_asset(
        &self,
        tenant: &TenantId,
        report: AssetReport,
        by: &str,
    ) -> Result<Reported, ControlError> {
        let catalog = self.catalog().await?;
        let unknown = || ControlError::TenantUnknown { tenant: tenant.to_string() };
        let manifest = catalog.for_asset(tenant, &report.asset).ok_or_else(unknown)?;
        let choice = self.choice(manifest, tenant, report.partition.as_ref()).await?;
        check_made(manifest, tenant, &report.asset, choice.as_ref())?;
        let named = match &report.key {
            Some(key) => Some((checked(key)?, said(&report)?)),
            None => None,
        };
        let AssetReport { asset, partition, metadata, data_version, code_version, .. } = report;
        let (id, at, by) = (self.new_id(), self.now(), by.to_owned());
        let body = EventBody::Reported {
            by: by.clone(),
            asset: asset.clone(),
            partition: partition.clone(),
            metadata: metadata.clone(),
            data_version: data_version.clone(),
        };
        let event = Event { v: 1, at, tenant: tenant.clone(), run: id, epoch: 0, seq: 0, body };
        let code_version = code_version.unwrap_or_else(|| CODE_ELSEWHERE.to_owned());
        let made_by = MadeBy::Report { report_id: id, reported_by: by.clone() };
        let row = MaterializationRow {
            asset,
            partition,
            made_by,
            at,
            metadata,
            data_version,
            code_version,
        };
        let size = serde_json::to_vec(&row).map_or(usize::MAX, |json| json.len());
        if size > SAID_MAX {
            let (count, what, limit) = (size, "bytes of metadata and versions", SAID_MAX);
            return Err(ControlError::TooMany { count, what, limit });
        }
        let mut batch = Batch::for_tenant(tenant);
        if let Some((key, said)) = &named {
            let (said, reported_by) = (said.clone(), by.clone());
            let report = NamedReport { said, report: id, reported_by, at };
            let forget = at.before(REMEMBERED);
            reports::keep_name(&mut batch, (tenant, &row.asset, key), &report, forget);
        }
        materializations::insert(&mut batch, tenant, &row);
        if let Some(partition) = &row.partition {
            let (asset, state) = (&row.asset, PartitionState::Materialized);
            let reported_by = Some(by.as_str());
            let change = PartitionChange { asset, partition, state, run: id, reported_by, at };
            materializations::change_partition(&mut batch, tenant, &change);
        }
        events::insert(&mut batch, tenant, &self.new_id().to_string(), &[event]);
        match (self.store.apply(batch).await, named) {
            (Ok(_), _) => Ok(Reported { row, is_known: false }),
            (Err(error), Some(named)) if error.is_conflict() => {
                self.known_report(tenant, row, named).await?.ok_or_else(|| error.into())
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// The report that came first under a key, if it said what `row` says.
    async fn known_report(
        &self,
        tenant: &TenantId,
        row: MaterializationRow,
        (key, said): (String, String),
    ) -> Result<Option<Reported>, ControlError> {
        let Some(first) = self.store.report_named(tenant, &row.asset, &key).await? else {
            return Ok(None);
        };
        if first.said != said {
            return Err(ControlError::ReportKeyKnown { asset: row.asset, key });
        }
        let made_by = MadeBy::Report { report_id: first.report, reported_by: first.reported_by };
        let row = MaterializationRow { made_by, at: first.at, ..row };
        Ok(Some(Reported { row, is_known: true }))
    }
}

fn checked(key: &str) -> Result<String, ControlError> {
    let fits = !key.is_empty() && key.len() <= KEY_MAX && !key.chars().any(char::is_control);
    fits.then(|| key.to_owned()).ok_or(ControlError::ReportKey { limit: KEY_MAX })
}

/// The hash of all that a report says.
fn said(report: &AssetReport) -> Result<String, ControlError> {
    let all = (&report.partition, &report.metadata, &report.data_version, &report.code_version);
    let json = serde_json::to_vec(&all)
        .map_err(|error| StoreError::Unavailable(format!("the report is no JSON: {error}")))?;
    Ok(ContentHash::of(&json).to_string())
}
