//! A rendered page as an answer.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A page: its status and its text, or why its template failed.
#[derive(Debug)]
pub struct Html {
    status: StatusCode,
    body: Result<String, askama::Error>,
}

impl Html {
    /// The page that `template` makes.
    pub fn render(template: &impl Template) -> Self {
        Self { status: StatusCode::OK, body: template.render() }
    }

    /// The same page with another status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The page's text; empty when its template failed.
    pub fn text(&self) -> &str {
        self.body.as_deref().unwrap_or_default()
    }
}

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        match self.body {
            Ok(text) => (self.status, [(header::CONTENT_TYPE, kind)], text).into_response(),
            Err(error) => {
                tracing::error!(%error, "a template failed");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
