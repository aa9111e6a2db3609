//! Assets that are made elsewhere, and somebody who says so.
//!
//! A report is one event of the log that belongs to no run, with the materialization that it says,
//! in one batch: asset sensors and pages see it as they see what a step made.

use std::collections::BTreeMap;

use millstream_model::view::{MadeBy, MaterializationRow, PartitionState};
use millstream_model::{AssetKey, Event, EventBody, MetadataValue, PartitionKey, TenantId};
use millstream_plan::check_made;
use millstream_store::materializations::{self, PartitionChange};
use millstream_store::{Batch, events};

use crate::{Control, ControlError};

/// The most that a report says, in bytes of JSON: it has to fit into an event.
const SAID_MAX: usize = 60 << 10;

/// The version of code that nobody names.
const CODE_ELSEWHERE: &str = "external";

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
}

impl Control {
    /// Stores that an asset, or one partition of it, was made elsewhere.
    ///
    /// A report that is sent twice is two: whoever reports knows what was answered.
    pub async fn report_asset(
        &self,
        tenant: &TenantId,
        report: AssetReport,
        by: &str,
    ) -> Result<MaterializationRow, ControlError> {
        let catalog = self.catalog().await?;
        let unknown = || ControlError::TenantUnknown { tenant: tenant.to_string() };
        let manifest = catalog.for_asset(tenant, &report.asset).ok_or_else(unknown)?;
        let choice = self.choice(manifest, tenant, report.partition.as_ref()).await?;
        check_made(manifest, tenant, &report.asset, choice.as_ref())?;
        let AssetReport { asset, partition, metadata, data_version, code_version } = report;
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
        materializations::insert(&mut batch, tenant, &row);
        if let Some(partition) = &row.partition {
            let (asset, state) = (&row.asset, PartitionState::Materialized);
            let reported_by = Some(by.as_str());
            let change = PartitionChange { asset, partition, state, run: id, reported_by, at };
            materializations::change_partition(&mut batch, tenant, &change);
        }
        events::insert(&mut batch, tenant, &self.new_id().to_string(), &[event]);
        self.store.apply(batch).await?;
        Ok(row)
    }
}
