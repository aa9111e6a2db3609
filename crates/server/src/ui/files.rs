//! The page of one definition file.

use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;

use crate::access::Visitor;
use crate::frame::Section;
use crate::html::Html;
use crate::input::{FilePath, Segments};
use crate::pages::file::{FilePage, file as page};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::ui::visit::Visit;

/// A definition file with its versions.
pub(crate) async fn file(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
    Segments(path): Segments<FilePath>,
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let frame = visit.frame(Section::System, "definitions".to_owned()).await?;
    let history = state.control.file_history(&path.file).await?;
    let now = state.control.now();
    Ok(page(FilePage { frame, now, file: history.file, versions: history.versions }))
}
