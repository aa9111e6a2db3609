//! The output of steps, by byte offset while it grows.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use millstream_blob::{BlobError, Blobs, LogKey, LogStream};
use millstream_model::view::{RunRow, StepRow};
use serde::Deserialize;

use crate::access::Visitor;
use crate::input::{Params, Segments};
use crate::pages::log::Growth;
use crate::problem::Problem;
use crate::state::ServerState;

/// Most bytes in one answer that is no download.
const CHUNK: u64 = 256 * 1024;

/// Whether the attempt is over, so that nothing more will be written.
const DONE: HeaderName = HeaderName::from_static("millstream-log-done");
/// How long the log is.
const SIZE: HeaderName = HeaderName::from_static("millstream-log-size");

/// Which log.
#[derive(Debug, Deserialize)]
pub(crate) struct LogPath {
    run: String,
    step: String,
    attempt: u32,
    stream: LogStream,
}

/// Which part of it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct LogQuery {
    #[serde(default)]
    offset: u64,
    download: Option<u8>,
}

/// Up to 256 KiB from `offset` on as they were written; all of it as a file with `download=1`.
pub(crate) async fn read(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<LogPath>,
    Params(query): Params<LogQuery>,
) -> Result<Response, Problem> {
    let tenant = visitor.tenant()?;
    let run = state.control.find_run(std::slice::from_ref(tenant), &path.run).await?.run_id;
    let (row, _, steps) = state.control.stored_run(tenant, run).await?;
    let step = steps.iter().find(|step| step.step.as_str() == path.step).ok_or_else(|| {
        Problem::not_found(format!("run {} has no step {:?}", run.short(), path.step))
    })?;
    let (attempt, stream) = (path.attempt, path.stream);
    let key = LogKey { tenant: tenant.clone(), run, step: step.step.clone(), attempt, stream };
    let mut headers = HeaderMap::new();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, text);
    if query.download.is_some() {
        let name = format!(
            "attachment; filename=\"{}.{attempt}.{}.log\"",
            run.short(),
            stream.extension()
        );
        if let Ok(value) = HeaderValue::from_str(&name) {
            headers.insert(header::CONTENT_DISPOSITION, value);
        }
        return Ok((headers, whole(state.blobs.clone(), key)).into_response());
    }
    let part = state.blobs.read_log(&key, query.offset, CHUNK).await?;
    let closed = growth(&row, step, attempt) == Growth::Closed;
    let done = HeaderValue::from_static(if closed { "true" } else { "false" });
    headers.insert(DONE, done);
    headers.insert(SIZE, HeaderValue::from(part.size));
    Ok((headers, part.bytes).into_response())
}

/// The whole log, read piece by piece as the reader takes it.
fn whole(blobs: Blobs, key: LogKey) -> Body {
    let pieces = stream::try_unfold((blobs, key, 0), |(blobs, key, offset)| async move {
        let part = blobs.read_log(&key, offset, CHUNK).await?;
        let next = part.next;
        let piece = Bytes::from(part.bytes);
        Ok::<_, BlobError>((!piece.is_empty()).then_some((piece, (blobs, key, next))))
    });
    Body::from_stream(pieces)
}

/// Whether `attempt` of `step` may still write.
pub(crate) fn growth(run: &RunRow, step: &StepRow, attempt: u32) -> Growth {
    let over = run.status.is_terminal() || step.status.is_terminal() || attempt < step.attempt;
    if over { Growth::Closed } else { Growth::Open }
}
