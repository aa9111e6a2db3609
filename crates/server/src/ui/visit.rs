//! One request for a page: who asks, for which tenant, and what stands around every page.

use axum::extract::OriginalUri;
use axum::http::HeaderMap;
use millstream_control::ControlError;
use millstream_model::TenantId;
use millstream_model::view::RunRow;

use crate::access::Visitor;
use crate::finish;
use crate::frame::{Frame, Section, Theme};
use crate::problem::Problem;
use crate::state::ServerState;

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

    pub(super) async fn frame(&self, section: Section, topics: String) -> Result<Frame, Problem> {
        let attention = self.state.control.attention(self.tenant).await?;
        self.frame_around(&attention, section, topics).await
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
            idle: self.state.control.idle_words(self.tenant).await?,
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
