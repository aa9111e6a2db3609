//! Which hosts and origins a request may name.
//!
//! Without login the server listens on loopback only, which every web page that a browser on this
//! machine shows can reach too. So the host must be a loopback one (a foreign name that resolves to
//! 127.0.0.1 is refused), and what changes something must come from a page of this server, or from
//! a program that can say `application/json`, which a foreign page cannot without asking first.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use millstream_model::ErrorCode;

use crate::problem::Problem;
use crate::state::Reach;

/// What a changing request may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// JSON, as programs send it.
    Json,
    /// The fields of a page's form.
    Form,
    /// Whatever its sender writes, who proves with each request that it may.
    Anything,
}

/// Refuses a request whose host is not this server's.
pub(crate) fn check_host(parts: &Parts, reach: Reach) -> Result<(), Problem> {
    if reach == Reach::Anybody {
        return Ok(());
    }
    let host = host(parts).unwrap_or_default();
    if is_loopback(host) {
        return Ok(());
    }
    let message = format!(
        "the request names the host {host:?}, which is not this server's; use http://localhost or \
         http://127.0.0.1 with its port"
    );
    Err(Problem::new(ErrorCode::HostRefused, message))
}

/// Refuses a changing request that another page may have sent, or that carries something else.
pub(crate) fn check_change(parts: &Parts, carries: Carries) -> Result<(), Problem> {
    if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    check_origin(parts, carries)?;
    let wanted = match carries {
        Carries::Json => "application/json",
        Carries::Form => "application/x-www-form-urlencoded",
        Carries::Anything => return Ok(()),
    };
    let kind = text(&parts.headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let message = format!("this address takes a body of type {wanted}, not {kind:?}");
    Err(Problem::bad_request(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

fn check_origin(parts: &Parts, carries: Carries) -> Result<(), Problem> {
    let refused = |what: &str| {
        let message = format!("{what}; only this server's own pages may send this");
        Err(Problem::new(ErrorCode::CrossOrigin, message))
    };
    let site = text(&parts.headers, "sec-fetch-site");
    match text(&parts.headers, header::ORIGIN.as_str()) {
        Some(origin) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            if authority.is_some() && authority == host(parts) {
                Ok(())
            } else {
                refused(&format!("the request comes from {origin}"))
            }
        }
        None if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) => {
            refused("the browser says that another site sent the request")
        }
        // Browsers always name the origin of a form, so one without it comes from no page of ours.
        None if carries == Carries::Form => refused("the form does not name its origin"),
        None => Ok(()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn host(parts: &Parts) -> Option<&str> {
    text(&parts.headers, header::HOST.as_str())
        .or_else(|| parts.uri.authority().map(axum::http::uri::Authority::as_str))
}

/// Whether `host`, with or without a port, can only mean this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_hosts_that_can_mean_this_machine_are_served() {
        for host in [
            "localhost",
            "localhost:3000",
            "LOCALHOST.",
            "a.localhost:1",
            "127.0.0.1:3000",
            "[::1]:3000",
        ] {
            let parts = parts("GET", &[("host", host)]);
            assert_eq!(check_host(&parts, Reach::Loopback), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:3000",
            "10.0.0.7",
            "",
        ] {
            let parts = parts("GET", &[("host", host)]);
            assert!(check_host(&parts, Reach::Loopback).is_err(), "{host} was served");
            assert_eq!(check_host(&parts, Reach::Anybody), Ok(()));
        }
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let json = ("content-type", "application/json");
        let host = ("host", "localhost:3000");
        for foreign in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:4000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let parts = parts("POST", &[host, json, foreign]);
            let problem = check_change(&parts, Carries::Json).unwrap_err();
            assert_eq!(problem.code, ErrorCode::CrossOrigin, "{foreign:?}");
        }
        let own = parts("POST", &[host, json, ("origin", "http://localhost:3000")]);
        assert_eq!(check_change(&own, Carries::Json), Ok(()));
        let program = parts("DELETE", &[host, json]);
        assert_eq!(check_change(&program, Carries::Json), Ok(()));
    }

    #[test]
    fn a_body_of_a_type_that_any_page_may_send_is_refused() {
        let host = ("host", "localhost");
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
            let parts = parts("POST", &[host, ("content-type", kind)]);
            let problem = check_change(&parts, Carries::Json).unwrap_err();
            assert_eq!(problem.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
        }
        let form = ("content-type", "application/x-www-form-urlencoded");
        let nameless = parts("POST", &[host, form]);
        let problem = check_change(&nameless, Carries::Form).unwrap_err();
        assert_eq!(problem.code, ErrorCode::CrossOrigin);
        let ours = parts("POST", &[host, form, ("origin", "http://localhost")]);
        assert_eq!(check_change(&ours, Carries::Form), Ok(()));
    }
}
