//! Which sources of steps are still wanted, and which daemon removes the others.

use std::collections::BTreeSet;
use std::time::Duration;

use millstream_decide::sources::kept;
use millstream_model::{ContentHash, TenantId};
use millstream_store::StoreError;

use crate::Control;
use crate::lease::HeldLease;

/// The lease of the daemon that removes sources.
const SOURCES_LEASE: &str = "sources";

/// Contents of versions, or plans, that are asked for at once.
const PAGE: u32 = 100;

/// Tenants with runs, and plans of one tenant's, that are looked through; with more, there is no
/// saying what is wanted.
const LOOKED_THROUGH_MAX: u32 = 100_000;

/// What one daemon remembers between its looks at sources that nobody wants.
#[derive(Debug, Default)]
pub struct SourcesWatch {
    lease: HeldLease,
}

/// Why there is no saying which sources are wanted.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// The store failed, or holds what this version cannot read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is more to look through than is looked through.
    #[error("over {limit} {what} would have to be looked through for the sources they want")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are looked through.
        limit: u32,
    },
    /// What a version says, or a run's plan, is not there.
    #[error("the content {} of a version or plan is missing", .0.short())]
    Missing(ContentHash),
}

impl Control {
    /// Whether this daemon may remove sources now.
    pub async fn hold_sources(
        &self,
        me: &str,
        watch: &mut SourcesWatch,
        time_to_live: Duration,
    ) -> Result<bool, StoreError> {
        let held = self.hold_lease(SOURCES_LEASE, me, &mut watch.lease, time_to_live).await?;
        Ok(held.is_some())
    }

    /// Lets another daemon remove sources.
    pub async fn release_sources(
        &self,
        me: &str,
        watch: &mut SourcesWatch,
    ) -> Result<(), StoreError> {
        watch.lease.doubt();
        self.release_lease(SOURCES_LEASE, me).await
    }

    /// The sets of sources that a version that is kept, or a run that is not over, consists of.
    ///
    /// Runs come last: what one is launched with meanwhile was live when its version was looked at.
    pub async fn wanted_sources(&self) -> Result<BTreeSet<ContentHash>, SourcesError> {
        let mut wanted = self.sources_of_versions().await?;
        let tenants = self.store.tenants_with_runs(LOOKED_THROUGH_MAX).await?;
        is_all(tenants.len(), "tenants with runs")?;
        for tenant in tenants {
            wanted.append(&mut self.sources_of_runs(&tenant).await?);
        }
        Ok(wanted)
    }

    async fn sources_of_versions(&self) -> Result<BTreeSet<ContentHash>, SourcesError> {
        let mut hashes = BTreeSet::new();
        for location in self.store.locations().await? {
            for file in self.store.definition_files(&location.name).await? {
                let versions = self.store.file_versions(&location.name, &file.row.name).await?;
                hashes.append(&mut kept(&versions, file.row.version.as_ref(), self.now()));
            }
        }
        let mut wanted = BTreeSet::new();
        let hashes: Vec<ContentHash> = hashes.into_iter().collect();
        for page in hashes.chunks(PAGE as usize) {
            let mut contents = self.store.definition_contents(page).await?;
            if let Some(missing) = page.iter().find(|hash| !contents.contains_key(hash)) {
                return Err(SourcesError::Missing(missing.clone()));
            }
            for content in contents.values_mut() {
                let programs = content.programs();
                wanted.extend(programs.iter().filter_map(|(_, program)| program.code().cloned()));
            }
        }
        Ok(wanted)
    }

    async fn sources_of_runs(
        &self,
        tenant: &TenantId,
    ) -> Result<BTreeSet<ContentHash>, SourcesError> {
        let mut wanted = BTreeSet::new();
        let (mut after, mut seen) = (String::new(), 0);
        loop {
            let page = self.store.plans_of_live_runs(tenant, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(wanted) };
            last.as_str().clone_into(&mut after);
            seen += page.len();
            is_all(seen, "plans of runs")?;
            for hash in page {
                let plan = self.store.plan(tenant, &hash).await?;
                wanted.append(&mut plan.ok_or(SourcesError::Missing(hash))?.sources());
            }
        }
    }
}

/// Refuses to go on where more may be left out than was seen.
fn is_all(seen: usize, what: &'static str) -> Result<(), SourcesError> {
    let limit = LOOKED_THROUGH_MAX;
    if seen < limit as usize { Ok(()) } else { Err(SourcesError::TooMany { what, limit }) }
}
