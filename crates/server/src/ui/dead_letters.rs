//! The page of dead letters, and what its forms and that of a failed run do.

use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::Redirect;
use millstream_control::DeadLetterFilter;

use crate::access::Visitor;
use crate::api::dead_letters::RetryWish;
use crate::frame::Section;
use crate::html::Html;
use crate::input::{Fields, RunPath, Segments};
use crate::link;
use crate::pages::dead_letters::{DeadLettersPage, dead_letters};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::ui::visit::Visit;

/// Dead letters on the page; the API pages on.
const LIMIT: u32 = 200;

/// The page.
pub(crate) async fn page(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let frame = visit.frame(Section::Runs, "runs".to_owned()).await?;
    let page = (DeadLetterFilter::All, None);
    let letters = state.control.dead_letters(visit.tenant, page, LIMIT).await?;
    Ok(dead_letters(DeadLettersPage { frame, now: state.control.now(), letters }))
}

/// Tries a failed run again and shows the new one; that closes its dead letter, if it has one.
pub(crate) async fn retry(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<RunPath>,
    Fields(wish): Fields<RetryWish>,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    let run = state.control.find_run(std::slice::from_ref(tenant), &path.run).await?.run_id;
    let by = &visitor.caller.name;
    let launched = state.control.retry_run(tenant, run, wish.from, by).await?;
    Ok(Redirect::to(&link::run(tenant, &launched.run_id)))
}

/// Puts a dead letter aside.
pub(crate) async fn discard(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<RunPath>,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    let run = state.control.find_run(std::slice::from_ref(tenant), &path.run).await?.run_id;
    state.control.discard_dead_letter(tenant, run, &visitor.caller.name).await?;
    Ok(Redirect::to(&link::dead_letters(tenant)))
}
