//! What belongs to no tenant: the first page, the vendored files, the theme.

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use millstream_model::ErrorCode;
use serde::Deserialize;

use crate::access::Visitor;
use crate::assets;
use crate::frame::Theme;
use crate::input::{Fields, Segments};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::ui::read;
use crate::ui::visit::visible_tenants;

/// The first page: that of the first tenant that the caller sees.
pub(crate) async fn home(
    State(state): State<ServerState>,
    visitor: Visitor,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(tenant) = visible_tenants(&state, &visitor).await?.into_iter().next() else {
        let message = "no definitions are loaded yet, so there is no tenant to show; this takes a \
                       moment after the start, and `millstream definitions status` says more";
        return Err(Problem::new(ErrorCode::DatabaseUnavailable, message));
    };
    let visitor = visitor.in_tenant(tenant);
    Ok(read::now(State(state), visitor, uri, headers).await?.into_response())
}

/// Where a vendored file is.
#[derive(Debug, Deserialize)]
pub(crate) struct Vendored {
    hash: String,
    name: String,
}

/// A vendored file, to be kept for ever under this address.
pub(crate) async fn vendored(Segments(at): Segments<Vendored>) -> Result<Response, Problem> {
    let found = assets::find(&at.hash, &at.name);
    let asset = found.ok_or_else(|| Problem::not_found("there is no such file in this version"))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.text).into_response())
}

/// What the theme button sends.
#[derive(Debug, Deserialize)]
pub(crate) struct ThemeForm {
    theme: String,
    back: String,
}

/// Keeps the chosen theme in a cookie and goes back to the page.
pub(crate) async fn theme(Fields(form): Fields<ThemeForm>) -> Response {
    let theme = Theme::named(&form.theme).as_str();
    let cookie = format!("theme={theme}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly");
    let mut response = Redirect::to(back(&form.back)).into_response();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

/// `path` when it is an address of this server, so that no form can send anybody elsewhere.
fn back(path: &str) -> &str {
    let own = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if own { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_back_to_this_server_only() {
        assert_eq!(back("/jfk/runs?q=a%20b"), "/jfk/runs?q=a%20b");
        for path in ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\nb"] {
            assert_eq!(back(path), "/", "{path:?}");
        }
    }
}
