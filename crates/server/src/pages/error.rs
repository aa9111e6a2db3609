//! What a page says when it cannot be shown: what failed, what still works, and what to quote.

use askama::Template;
use axum::http::StatusCode;
use millstream_model::{ErrorCode, TenantId};

use crate::assets;
use crate::frame::Theme;
use crate::html::Html;
use crate::link;
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
    /// The tenant whose pages the reader was among, where it is one.
    pub tenant: Option<TenantId>,
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
    nav: Vec<(&'static str, String)>,
    home: String,
    /// Whether the same request may be answered later.
    may_pass: bool,
    /// Whether the page of the code is still to be named.
    explain: bool,
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
    Html::render(&Error {
        glyph,
        still_works,
        style: assets::url("style.css"),
        icon: assets::url("icon.svg"),
        nav: page.tenant.as_ref().map(nav).unwrap_or_default(),
        home: page.tenant.as_ref().map_or_else(|| "/".to_owned(), link::now),
        may_pass: status.is_server_error(),
        explain: !page.help.contains("millstream errors "),
        page,
    })
    .with_status(status)
}

fn nav(tenant: &TenantId) -> Vec<(&'static str, String)> {
    vec![
        ("Now", link::now(tenant)),
        ("Runs", link::runs(tenant)),
        ("Assets", link::assets(tenant)),
        ("Automation", link::automation(tenant)),
        ("System", link::definitions(tenant)),
    ]
}
