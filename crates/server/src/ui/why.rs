//! The page that says why: the same text as the API's and the command line's.

use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;

use crate::access::Visitor;
use crate::frame::Section;
use crate::html::Html;
use crate::input::{Segments, WhyPath};
use crate::pages::why::{WhyPage, why};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::ui::visit::Visit;

/// The page.
pub(crate) async fn page(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
    Segments(path): Segments<WhyPath>,
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let answer = state.control.why(visit.tenant, &path.subject).await?;
    let frame = visit.frame(Section::Now, "runs definitions".to_owned()).await?;
    Ok(why(WhyPage { frame, now: state.control.now(), subject: path.subject, answer }))
}
