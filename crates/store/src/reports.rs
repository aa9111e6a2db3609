//! The names of reports: what makes a report that is sent again the same one.
//!
//! `control` keeps a name in the batch that stores its report, so that neither is there without the
//! other, and of two that arrive together one conflicts.

use millstream_model::{AssetKey, RunId, TenantId, Timestamp};

use crate::batch::Expect;
use crate::statement::statements;
use crate::{Batch, Scope, Store, StoreError};

statements! {
    INSERT_REPORT_NAME = "
        INSERT INTO asset_report (tenant, asset, name, said, report, reported_by, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (tenant, asset, name) DO NOTHING";
    REPORT_NAMED = "
        SELECT said, report, reported_by, at FROM asset_report
        WHERE tenant = $1 AND asset = $2 AND name = $3";
    FORGET_REPORT_NAMES = "DELETE FROM asset_report WHERE tenant = $1 AND at < $2";
}

/// A report that was named by who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedReport {
    /// The hash of what it said.
    pub said: String,
    /// The report.
    pub report: RunId,
    /// Who sent it.
    pub reported_by: String,
    /// When it was stored.
    pub at: Timestamp,
}

/// Keeps the name of a report of an asset, and forgets those of before `forget`; it conflicts when
/// the name is known.
pub fn keep_name(
    batch: &mut Batch,
    (tenant, asset, name): (&TenantId, &AssetKey, &str),
    report: &NamedReport,
    forget: Timestamp,
) {
    batch.push(&FORGET_REPORT_NAMES, vec![tenant.into(), forget.into()], Expect::Any);
    let params = vec![
        tenant.into(),
        asset.into(),
        name.into(),
        report.said.as_str().into(),
        (&report.report).into(),
        report.reported_by.as_str().into(),
        report.at.into(),
    ];
    batch.push(&INSERT_REPORT_NAME, params, Expect::Rows(1));
}

impl Store {
    /// The report of an asset that was called so, if there is one.
    pub async fn report_named(
        &self,
        tenant: &TenantId,
        asset: &AssetKey,
        name: &str,
    ) -> Result<Option<NamedReport>, StoreError> {
        let params = vec![tenant.into(), asset.into(), name.into()];
        let rows = self.read_few(Scope::tenant(tenant), &REPORT_NAMED, params).await?;
        rows.into_iter()
            .next()
            .map(|mut row| {
                let (said, report) = (row.text()?, row.parse()?);
                let (reported_by, at) = (row.text()?, row.time()?);
                Ok(NamedReport { said, report, reported_by, at })
            })
            .transpose()
    }
}
