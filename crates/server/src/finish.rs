//! What happens around every request: an id, a time limit, a net under panics, security headers,
//! and one form for what went wrong.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::FutureExt;
use millstream_model::{ErrorCode, Role, TenantId, page_hint};

use crate::frame::Theme;
use crate::guard;
use crate::health::PlainStatus;
use crate::link;
use crate::pages::error::{ErrorPage, error};
use crate::problem::{Problem, Renamed};
use crate::state::ServerState;

/// How long a request may take before its answer begins.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What a page may load: files of this server, and nothing that stands in the page itself.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// The headers of every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Forms must name their origin, which `no-referrer` would take from them.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The name of the header with the request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who reads an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// A person, with a browser.
    Person(Theme),
    /// A program.
    Program,
}

/// Serves one request.
pub(crate) async fn finish(
    State(state): State<ServerState>,
    request: Request,
    next: Next,
) -> Response {
    let id = state.control.new_id().to_string();
    let reader = reader(request.uri().path(), request.headers());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let (parts, body) = request.into_parts();
    let answered = if let Err(problem) = guard::check_host(&parts, state.options.reach) {
        Err(problem)
    } else {
        answer(next.run(Request::from_parts(parts, body))).await
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    let failed = response.status().is_client_error() || response.status().is_server_error();
    if failed && response.extensions().get::<PlainStatus>().is_none() {
        let of_status = || Problem::of_status(response.status());
        let problem = response.extensions().get::<Problem>().cloned().unwrap_or_else(of_status);
        if problem.status.is_server_error() {
            tracing::error!(%id, %method, path = uri.path(), code = %problem.code,
                problem = problem.message, "a request failed");
        }
        let tenant = tenant_of(uri.path(), problem.code);
        response = match &problem.renamed {
            Some(it) if method == Method::GET && reader != Reader::Program => {
                Redirect::to(&page_of(it, uri.path())).into_response()
            }
            Some(_) => shown(&problem, (&id, tenant), reader),
            None => {
                let problem = with_broken_files(&state, problem, uri.path()).await;
                shown(&problem, (&id, tenant), reader)
            }
        };
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// The page under its new name of what has its old one in `path`.
fn page_of(renamed: &Renamed, path: &str) -> String {
    let Renamed { tenant, kind, name } = renamed;
    match path.split('/').nth(2) {
        Some("why") => link::why(tenant, name),
        _ => link::ticking(tenant, *kind, name),
    }
}

/// Adds to the refusal of a name that nothing has which definition files are broken: it may stand
/// in one of them. Files are the instance's, so it is said where everybody may look at that.
async fn with_broken_files(state: &ServerState, problem: Problem, path: &str) -> Problem {
    let is_of_name = match problem.code {
        ErrorCode::JobUnknown
        | ErrorCode::AssetUnknown
        | ErrorCode::ScheduleUnknown
        | ErrorCode::SensorUnknown => true,
        ErrorCode::NotFound => path.contains("/why/"),
        _ => false,
    };
    let may_look = state.options.everybody.instance_role() >= Some(Role::Viewer);
    if !is_of_name || !may_look {
        return problem;
    }
    // Where the files cannot be read in time there is only less to add.
    let broken = tokio::time::timeout(TIME_LIMIT, state.control.broken_files()).await;
    let broken = broken.ok().and_then(Result::ok).unwrap_or_default();
    let Some(first) = broken.first() else { return problem };
    let (files, are) = match broken.len() {
        1 => (format!("file {first}"), "is"),
        many => (format!("files {first} and {} more", many - 1), "are"),
    };
    let message = format!(
        "{}; the definition {files} {are} broken, and what is new there is not loaded: `millstream \
         definitions status` shows why",
        problem.message
    );
    Problem { message, ..problem }
}

async fn answer(work: impl Future<Output = Response>) -> Result<Response, Problem> {
    // Whatever a handler was about to change is one batch in the store: all of it or nothing.
    let guarded = AssertUnwindSafe(work).catch_unwind();
    match tokio::time::timeout(TIME_LIMIT, guarded).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(_)) => Err(Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR)),
        Err(_) => {
            let message = format!("no answer within {} s; try again", TIME_LIMIT.as_secs());
            let problem = Problem::new(ErrorCode::DatabaseUnavailable, message);
            Err(problem)
        }
    }
}

fn reader(path: &str, headers: &HeaderMap) -> Reader {
    let mut segments = path.split('/').skip(1);
    let (first, second) = (segments.next(), segments.next());
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let machine = ["api", "worker", "health", "ready", "server_info"];
    if first.is_some_and(|first| machine.contains(&first))
        || matches!(second, Some("api" | "hooks"))
        || accept.is_some_and(|accept| accept.starts_with("application/json"))
    {
        return Reader::Program;
    }
    Reader::Person(theme(headers))
}

/// The theme that the reader's cookie names.
pub(crate) fn theme(headers: &HeaderMap) -> Theme {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    let named = pairs.find(|(name, _)| name.trim() == "theme");
    named.map_or(Theme::Auto, |(_, value)| Theme::named(value.trim()))
}

/// The tenant whose pages `path` is among, unless the failure is that there is none.
fn tenant_of(path: &str, code: ErrorCode) -> Option<TenantId> {
    let (first, rest) = path.strip_prefix('/')?.split_once('/')?;
    let is_page = ["runs", "assets", "automation", "jobs", "system"]
        .iter()
        .any(|page| rest.split('/').next() == Some(page));
    if code == ErrorCode::TenantUnknown || !is_page { None } else { first.parse().ok() }
}

fn shown(problem: &Problem, (id, tenant): (&str, Option<TenantId>), reader: Reader) -> Response {
    let help = help(problem.code);
    match reader {
        Reader::Program => {
            let error = serde_json::json!({
                "code": problem.code,
                "message": problem.message,
                "help": help,
                "request_id": id,
                "diagnostics": problem.diagnostics,
            });
            (problem.status, Json(serde_json::json!({ "error": error }))).into_response()
        }
        Reader::Person(theme) => error(ErrorPage {
            status: problem.status,
            code: problem.code,
            message: sentence(&problem.message),
            help,
            request_id: id.to_owned(),
            tenant,
            theme,
        })
        .into_response(),
    }
}

/// The fragment `message` with a capital, as the first line of a page.
fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn help(code: ErrorCode) -> String {
    match code {
        ErrorCode::DatabaseUnavailable => {
            format!("Try again in a moment; `millstream errors {code}` says what to look at.")
        }
        ErrorCode::Internal => {
            "Try again; if it fails again, the server's log has more under the request's id."
                .to_owned()
        }
        code => page_hint(code.as_str()),
    }
}
