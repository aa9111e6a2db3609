//! The way through a call: question after question, until the last page.

use std::time::Duration;

use millstream_model::{ContentHash, ContentHasher, ExactJson};
use millstream_outbound::{Answer, Client};
use serde_json::Value;

use super::ask::{Asking, Question, excerpt};
use super::page::Pages;
use super::rows::Rows;
use super::{HttpCall, HttpError, Mask, Pace};

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpOutcome {
    /// The last answer's status.
    pub status: u16,
    /// How many pages there were.
    pub pages: u32,
    /// How many requests were sent.
    pub requests: u64,
    /// How many bytes the answers had.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// What was fetched.
    pub fetched: Fetched,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq)]
pub enum Fetched {
    /// The body: JSON, or text as it is; null when there was none.
    Body(Value),
    /// Rows, which are in the call's file.
    Rows {
        /// Their columns.
        columns: Vec<String>,
        /// How many there are.
        count: u64,
    },
}

/// Carries `call` out.
///
/// It may be dropped at any time: nothing is left but what the service has done.
pub async fn fetch(
    client: &Client,
    call: &HttpCall,
    pace: &dyn Pace,
) -> Result<HttpOutcome, HttpError> {
    let started = pace.now();
    let client = client.within(call.timeout, call.max_response);
    let mut asking = Asking { client, call, pace, requests: 0, bytes: 0 };
    let (status, pages, fetched) = match &call.rows {
        None => {
            let (answer, request) = asking.ask(&Pages::new(call).first()?).await?;
            let status = answer.status;
            let mask = call.mask.clone();
            let reading = in_background(move || body(answer, request, &mask));
            let ExactJson { value, note } = reading.await?;
            say(pace, note);
            (status, 1, Fetched::Body(value))
        }
        Some((pointer, path)) => {
            let rows = Rows::create(path.clone())?;
            all_pages(&mut asking, pointer, rows).await?
        }
    };
    let took = pace.now().since(started);
    let Asking { requests, bytes, .. } = asking;
    Ok(HttpOutcome { status, pages, requests, bytes, took, fetched })
}

fn say(pace: &dyn Pace, note: Option<String>) {
    if let Some(note) = note {
        pace.say(&note);
    }
}

async fn all_pages(
    asking: &mut Asking<'_>,
    pointer: &str,
    mut rows: Rows,
) -> Result<(u16, u32, Fetched), HttpError> {
    let call = asking.call;
    let limit = call.paginate.as_ref().map_or(1, |it| it.max_pages);
    let mut pages = Pages::new(call);
    let mut question = pages.first()?;
    let mut number = 0;
    let mut has_told = false;
    let mut status = 0;
    let mut before = if pages.are_numbered() { Before::None } else { Before::Any };
    loop {
        let (answer, request) = match asking.ask(&question).await {
            Ok(answered) => answered,
            Err(error) if pages.end_with(&error) => {
                asking.pace.say(&format!("{error}: page {number} was the last"));
                break;
            }
            Err(error) => return Err(error),
        };
        status = answer.status;
        number += 1;
        let page = Page {
            pointer: pointer.to_owned(),
            request,
            number,
            mask: call.mask.clone(),
            before: before.clone(),
        };
        let read = in_background(move || page.read(answer, rows)).await?;
        rows = read.rows;
        if read.is_repeated {
            let last = number - 1;
            asking.pace.say(&format!("page {number} is page {last} again, which was the last"));
            break;
        }
        if let Some(hash) = read.hash {
            before = Before::Page(hash);
        }
        // Of thousands of pages, one tells.
        if !has_told {
            has_told = read.note.is_some();
            say(asking.pace, read.note);
        }
        if call.paginate.is_some() {
            asking.pace.say(&format!("page {number}: {} rows", read.count));
        }
        let next: Option<Question> =
            pages.after(&question, &read.answer, &read.content, read.count)?;
        let Some(next) = next else {
            if number == 1 && read.count > 0 {
                say(asking.pace, only_page(&pages, &read.content));
            }
            break;
        };
        if number >= limit {
            return Err(HttpError::TooManyPages { request: read.request, limit });
        }
        question = next;
    }
    let (columns, count) = in_background(move || rows.finish()).await?;
    Ok((status, number, Fetched::Rows { columns, count }))
}

/// What there is to say when the first answer, `content`, was the last for want of the key that
/// would name the next page.
fn only_page(pages: &Pages<'_>, content: &Value) -> Option<String> {
    let place = pages.place_without_next(content)?;
    let found = keys(content);
    Some(format!("page 1 has nothing at `{place}`, so it was taken as the last; it has {found}"))
}

/// A page that has come.
struct Page {
    pointer: String,
    request: String,
    number: u32,
    mask: Mask,
    before: Before,
}

/// The page before another one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Before {
    /// It does not matter: the service says which page is the next one.
    Any,
    /// There was none.
    None,
    /// The page whose rows have this hash.
    Page(ContentHash),
}

/// A page whose rows are written.
struct Read {
    answer: Answer,
    /// The answer without its rows.
    content: Value,
    count: u64,
    rows: Rows,
    /// The hash of its rows, where pages have numbers.
    hash: Option<ContentHash>,
    /// Whether its rows are those of the page before, and were left out.
    is_repeated: bool,
    request: String,
    /// Which numbers became text.
    note: Option<String>,
}

impl Page {
    /// Writes the rows of `answer` to `rows`.
    fn read(self, mut answer: Answer, mut rows: Rows) -> Result<Read, HttpError> {
        let request = self.request;
        let bytes = std::mem::take(&mut answer.body);
        if answer.status == 204 {
            let content = Value::Null;
            let (hash, is_repeated) = (None, false);
            let count = 0;
            return Ok(Read {
                answer,
                content,
                count,
                rows,
                hash,
                is_repeated,
                request,
                note: None,
            });
        }
        let ExactJson { value: mut content, note } = match ExactJson::read(&bytes) {
            Ok(content) => content,
            Err(error) => {
                let excerpt = excerpt(&bytes, &self.mask);
                let problem = error.to_string();
                return Err(HttpError::NotJson { request, problem, excerpt });
            }
        };
        drop(bytes);
        let found = match content.pointer_mut(&self.pointer) {
            Some(Value::Array(list)) => Ok(std::mem::take(list)),
            // Behind the last page.
            Some(Value::Null) if matches!(self.before, Before::Page(_)) => Ok(Vec::new()),
            Some(other) => Err(format!("there is {}", shape(other))),
            None => Err(format!("page {} has {}", self.number, keys(&content))),
        };
        let list = found.map_err(|found| {
            let (request, pointer) = (request.clone(), self.pointer.clone());
            HttpError::NoRows { request, pointer, found }
        })?;
        let count = list.len() as u64;
        let hash = (self.before != Before::Any).then(|| hash_of(&list));
        let is_repeated = match (&self.before, &hash) {
            (Before::Page(before), Some(hash)) => count > 0 && before == hash,
            _ => false,
        };
        if !is_repeated {
            rows.add(list)?;
        }
        Ok(Read { answer, content, count, rows, hash, is_repeated, request, note })
    }
}

fn hash_of(rows: &[Value]) -> ContentHash {
    let mut hasher = ContentHasher::default();
    for row in rows {
        hasher.update(row.to_string().as_bytes());
        hasher.update(b"\n");
    }
    hasher.finish()
}

/// The whole body as a value.
fn body(answer: Answer, request: String, mask: &Mask) -> Result<ExactJson, HttpError> {
    let is_json = answer.header("content-type").is_some_and(|it| it.contains("json"));
    if answer.body.trim_ascii().is_empty() {
        return Ok(ExactJson::default());
    }
    match ExactJson::read(&answer.body) {
        Ok(value) => Ok(value),
        Err(error) if is_json => {
            let (problem, excerpt) = (error.to_string(), excerpt(&answer.body, mask));
            Err(HttpError::NotJson { request, problem, excerpt })
        }
        Err(_) => match String::from_utf8(answer.body) {
            Ok(text) => Ok(Value::String(text).into()),
            Err(_) => Err(HttpError::NotText { request }),
        },
    }
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn keys(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let keys: Vec<&str> = fields.keys().take(10).map(String::as_str).collect();
            format!("the keys `{}`", keys.join("`, `"))
        }
        other => shape(other).to_owned(),
    }
}

/// Does what may take long, as to read a large answer, beside the runtime's threads.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HttpError> + Send + 'static,
) -> Result<T, HttpError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(HttpError::RowsFile {
            path: "the answer".into(),
            source: std::io::Error::other(error),
        }),
    }
}
