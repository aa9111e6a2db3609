//! What a page says when it cannot be shown: what failed, what still works, and what to quote.

use askama::Template;
use axum::http::StatusCode;
use millstream_model::ErrorCode;

use crate::assets;
use crate::frame::Theme;
use crate::html::Html;
use crate::parts::Glyph;

/// What the page shows.
#[derive(Debug, Clone)]
pub struct ErrorPage {
    /// The status of the answer.
    pub status: StatusCode,
    /// The code, whose page explains it.
    pub code: ErrorCode,
    /// What happened, in one sentence.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// What to quote when asking somebody; the server's log has it too.
    pub request_id: String,
    /// The palette that the reader chose.
    pub theme: Theme,
}

#[derive(Template)]
#[template(path = "error.html")]
struct Error {
    page: ErrorPage,
    glyph: Glyph,
    style: String,
    icon: String,
    still_works: &'static str,
}

/// The page; it has a frame of its own because the ordinary one may be what failed.
pub fn error(page: ErrorPage) -> Html {
    let status = page.status;
    let (glyph, still_works) = match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            (Glyph::Failed, "Runs in progress go on; their workers report again once it answers.")
        }
        status if status.is_server_error() => {
            (Glyph::Failed, "Only this request failed; runs and other pages go on.")
        }
        _ => (Glyph::Warning, "Nothing was changed."),
    };
    let (style, icon) = (assets::url("style.css"), assets::url("icon.svg"));
    Html::render(&Error { page, glyph, style, icon, still_works }).with_status(status)
}
