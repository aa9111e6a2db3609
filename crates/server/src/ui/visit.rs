//! One request for a page: who asks, for which tenant, and what stands around every page.

use axum::extract::OriginalUri;
use axum::http::HeaderMap;
use millstream_control::{ControlError, RunFilter};
use millstream_model::TenantId;
use millstream_model::view::RunRow;

use crate::access::Visitor;
use crate::finish;
use crate::frame::{Frame, Section, Theme};
use crate::pages::now::unresolved;
use crate::problem::Problem;
use crate::state::ServerState;

/// Runs that are looked at for what needs attention.
const ATTENTION_RUNS: u32 = 100;

/// What a page knows about the request it answers.
pub(super) struct Visit<'a> {
    state: &'a ServerState,
    pub(super) tenant: &'a TenantId,
    visitor: &'a Visitor,
    here: String,
    theme: Theme,
    round: u64,
}

impl<'a> Visit<'a> {
    pub(super) fn new(
        state: &'a ServerState,
        visitor: &'a Visitor,
        (uri, headers): (&OriginalUri, &HeaderMap),
    ) -> Result<Self, Problem> {
        // Before anything is read, so that no news falls between the page and its event stream.
        let round = state.live.round();
        let here = uri.path_and_query().map_or_else(String::new, ToString::to_string);
        let tenant = visitor.tenant()?;
        Ok(Self { state, tenant, visitor, here, theme: finish::theme(headers), round })
    }

    /// The newest runs of the tenant, from which the bar counts problems.
    pub(super) async fn newest_runs(&self) -> Result<Vec<RunRow>, Problem> {
        let tenants = [self.tenant.clone()];
        let store = self.state.control.store();
        let runs = store.run_list(&tenants, &RunFilter::default(), ATTENTION_RUNS).await;
        runs.map_err(|error| ControlError::from(error).into())
    }

    pub(super) async fn frame(&self, section: Section, topics: String) -> Result<Frame, Problem> {
        let attention = self.attention(&self.newest_runs().await?).await?;
        self.frame_around(&attention, section, topics).await
    }

    /// Those of the newest runs that failed and were not made good.
    pub(super) async fn attention(&self, runs: &[RunRow]) -> Result<Vec<RunRow>, Problem> {
        let failed = unresolved(runs).into_iter().cloned().collect();
        let left = self.state.control.not_made_good(self.tenant, failed).await;
        left.map_err(|error| ControlError::from(error).into())
    }

    /// The frame of a page, where these runs need attention.
    pub(super) async fn frame_around(
        &self,
        attention: &[RunRow],
        section: Section,
        topics: String,
    ) -> Result<Frame, Problem> {
        let catalog = self.state.control.catalog().await.map_err(ControlError::from)?;
        Ok(Frame {
            tenant: self.tenant.clone(),
            tenants: visible_tenants(self.state, self.visitor).await?,
            section,
            theme: self.theme,
            here: self.here.clone(),
            topics,
            round: self.round,
            problems: attention.len() as u64,
            broken: catalog.broken_files(),
            notice: None,
            idle: catalog.tenant(self.tenant).idle_words(),
        })
    }
}

/// The tenants in which the visitor has any role, in the order of their ids.
pub(super) async fn visible_tenants(
    state: &ServerState,
    visitor: &Visitor,
) -> Result<Vec<TenantId>, Problem> {
    let catalog = state.control.catalog().await.map_err(ControlError::from)?;
    let ids = catalog.tenant_ids().into_iter();
    Ok(ids.filter(|id| visitor.caller.role_in(id).is_some()).collect())
}
