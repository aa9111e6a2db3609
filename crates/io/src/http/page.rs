//! From one page to the next.

use millstream_model::{CursorPlace, HttpBody, PageBy, Paginate};
use millstream_outbound::{Answer, Located, located, next_page};
use serde_json::Value;

use super::ask::Question;
use super::{HttpCall, HttpError};

/// The pages of a call.
pub(super) struct Pages<'a> {
    call: &'a HttpCall,
    number: u32,
    /// How many rows the first page had.
    first: Option<u64>,
    cursor: Option<Value>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(call: &'a HttpCall) -> Self {
        let number = match call.paginate.as_ref().map(|it| &it.by) {
            Some(PageBy::Page { start, .. }) => *start,
            _ => 0,
        };
        Self { call, number, first: None, cursor: None }
    }

    /// The first question.
    pub(super) fn first(&self) -> Result<Question, HttpError> {
        self.question(&[])
    }

    /// The question for the page after `answer`, which had `rows` rows; `None` after the last.
    pub(super) fn after(
        &mut self,
        asked: &Question,
        answer: &Answer,
        content: &Value,
        rows: u64,
    ) -> Result<Option<Question>, HttpError> {
        let Some(Paginate { by, .. }) = &self.call.paginate else { return Ok(None) };
        let next = match by {
            PageBy::Page { size, .. } => {
                // A service may give fewer at a time than it is asked for, so how long a page is
                // says the first one.
                let first = *self.first.get_or_insert(rows);
                if rows == 0 || size.is_some_and(|size| rows < u64::from(size).min(first)) {
                    return Ok(None);
                }
                self.number = self.number.saturating_add(1);
                self.question(&[])?
            }
            PageBy::Cursor { next, into } => {
                let cursor = match content.pointer(next) {
                    None | Some(Value::Null) => return Ok(None),
                    Some(Value::String(text)) if text.is_empty() => return Ok(None),
                    Some(cursor) => cursor.clone(),
                };
                if self.cursor.as_ref() == Some(&cursor) {
                    return Err(same_page(asked, self.call));
                }
                let question = self.with_cursor(&cursor, into)?;
                self.cursor = Some(cursor);
                question
            }
            PageBy::Link => {
                let Some(link) = answer.header("link") else { return Ok(None) };
                let url = next_page(&answer.url, link).map_err(HttpError::Outbound)?;
                let Some(url) = url else { return Ok(None) };
                Question { url, body: asked.body.clone() }
            }
        };
        if next == *asked { Err(same_page(asked, self.call)) } else { Ok(Some(next)) }
    }

    /// Where the first answer, `content`, should have named the next page and has nothing, not even
    /// null: another spelling of the place would look like the end of the pages.
    pub(super) fn place_without_next(&self, content: &Value) -> Option<&'a str> {
        match self.call.paginate.as_ref().map(|it| &it.by) {
            Some(PageBy::Cursor { next, .. }) => content.pointer(next).is_none().then_some(next),
            _ => None,
        }
    }

    /// Whether pages are asked for by their numbers, so that there may be none of the next number.
    pub(super) fn are_numbered(&self) -> bool {
        let by = self.call.paginate.as_ref().map(|it| &it.by);
        matches!(by, Some(PageBy::Page { .. }))
    }

    /// Whether `error`, which came instead of a page after the first, says that there is no such
    /// page: 404 does, and where the first page may have been all there is, other words of it do.
    pub(super) fn end_with(&self, error: &HttpError) -> bool {
        let HttpError::Status { status, .. } = error else { return false };
        let Some(PageBy::Page { size, .. }) = self.call.paginate.as_ref().map(|it| &it.by) else {
            return false;
        };
        let was_short = self.first.zip(*size).is_some_and(|(first, size)| first < u64::from(size));
        match status {
            404 => self.first.is_some(),
            400 | 410 | 416 | 422 => was_short,
            _ => false,
        }
    }

    fn with_cursor(&self, cursor: &Value, into: &CursorPlace) -> Result<Question, HttpError> {
        match into {
            CursorPlace::Param(name) => {
                let text = match cursor {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                self.question(&[(name.clone(), text)])
            }
            CursorPlace::Body(pointer) => {
                let mut question = self.question(&[])?;
                let place = || HttpError::CursorPlace { pointer: pointer.clone() };
                let HttpBody::Json(body) = &mut question.body else { return Err(place()) };
                put(body, pointer, cursor).ok_or_else(place)?;
                Ok(question)
            }
        }
    }

    /// The call's question, with `more` parameters in its query.
    fn question(&self, more: &[(String, String)]) -> Result<Question, HttpError> {
        let call = self.call;
        let mut added: Vec<(String, String)> = more.to_vec();
        if let Some(Paginate { by: PageBy::Page { param, size, size_param, .. }, .. }) =
            &call.paginate
        {
            added.push((param.clone(), self.number.to_string()));
            if let (Some(name), Some(size)) = (size_param, size) {
                added.push((name.clone(), size.to_string()));
            }
        }
        let is_added = |name: &String| added.iter().any(|(other, _)| other == name);
        let mut query: Vec<(String, String)> =
            call.query.iter().filter(|(name, _)| !is_added(name)).cloned().collect();
        query.extend(added.iter().cloned());
        let parts = Located { base: &call.base_url, path: &call.path, query: &query };
        let url = located(parts).map_err(HttpError::Outbound)?;
        Ok(Question { url, body: call.body.clone() })
    }
}

fn same_page(asked: &Question, call: &HttpCall) -> HttpError {
    let url = millstream_outbound::shown_url(&asked.url);
    HttpError::SamePage { request: format!("{} {url}", call.method.as_str()) }
}

/// Puts `value` at `pointer` in `body`, whose object above it must be there.
fn put(body: &mut Value, pointer: &str, value: &Value) -> Option<()> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    body.pointer_mut(parent)?.as_object_mut()?.insert(key, value.clone());
    Some(())
}
