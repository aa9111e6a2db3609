//! Addresses that end with a slash and are somebody's without it.
//!
//! The router calls it for what has no route. It asks nothing: where the address without the slash
//! leads, and to whom, that route says.

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

/// Sends a reader from `/jfk/` to `/jfk`; there is nothing at other addresses.
pub(crate) async fn without_slash(request: Request) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match shorter(request.uri().path()).filter(|_| is_read) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(path) => match request.uri().query() {
            None => Redirect::permanent(path).into_response(),
            Some(query) => Redirect::permanent(&format!("{path}?{query}")).into_response(),
        },
    }
}

/// `path` without the slashes at its end; nothing for one that would lead to another host.
fn shorter(path: &str) -> Option<&str> {
    let short = path.trim_end_matches('/');
    let is_here = !short.is_empty() && !short.starts_with("//") && !short.contains('\\');
    Some(short).filter(|short| is_here && short.len() < path.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_of_this_host_that_ends_with_a_slash_has_a_shorter_one() {
        assert_eq!(shorter("/jfk/"), Some("/jfk"));
        assert_eq!(shorter("/jfk/runs//"), Some("/jfk/runs"));
        for other in ["/", "//", "/jfk", "//evil.example/", "/\\evil.example/"] {
            assert_eq!(shorter(other), None, "{other}");
        }
    }
}
