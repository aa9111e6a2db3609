//! The JSON of a request: read into a type, or refused with the place in it that is wrong.
//!
//! Handlers take a [`Body`]. Its texts are those of axum's own extractor. That one follows the path
//! while it reads, which has the compiler write the reader of every type a second time; here the
//! path is looked up afterwards, in the text, and only of a body that was refused. Where a value
//! has the right kind and its own type refuses it, the path is that of what holds it; the message
//! then quotes the value.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::problem::Problem;

/// The body, which is JSON.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let text = json_of(request).await?;
        read(&text).map(Self)
    }
}

/// The bytes of a request that says that they are JSON.
async fn json_of(request: Request) -> Result<Bytes, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(is_json) {
        let message = "Expected request with `Content-Type: application/json`";
        return Err(Problem::bad_request(message));
    }
    let read = Bytes::from_request(request, &()).await;
    read.map_err(|error| Problem::of_status(error.status()))
}

/// Whether a content type is JSON's, or that of something written in it.
fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let within = essence.strip_prefix("application/");
    within.is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(text).map_err(|error| refused(text, &error))
}

fn refused(text: &[u8], error: &serde_json::Error) -> Problem {
    let what = match error.classify() {
        Category::Data => "Failed to deserialize the JSON body into the target type",
        Category::Syntax | Category::Eof | Category::Io => {
            "Failed to parse the request body as JSON"
        }
    };
    let path = path_after(as_far_as(text, error));
    let separator = if path.is_empty() { "" } else { ": " };
    Problem::bad_request(format!("{what}: {path}{separator}{error}"))
}

/// The part of `text` that was read when `error` was met.
fn as_far_as<'t>(text: &'t [u8], error: &serde_json::Error) -> &'t [u8] {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    // The place of a sign that is wrong is that of the sign, which then belongs to nothing.
    let looked_at = usize::from(error.is_syntax());
    text.get(..(before + error.column()).saturating_sub(looked_at)).unwrap_or(text)
}

/// An object or an array that is not yet closed.
enum Open {
    /// An object, with the key whose value comes or has come last.
    Object { key: Option<String>, is_key_next: bool },
    /// An array, with the number of the value.
    Array { index: usize },
}

/// The path of the value at which `read`, the beginning of a JSON text, ends, like `steps[2].name`.
fn path_after(read: &[u8]) -> String {
    let mut open: Vec<Open> = Vec::new();
    let mut rest = read;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, open.last_mut()) {
            // A value whose kind is wrong is refused at its first byte: nothing in it was read.
            (b'{' | b'[', _) if after.is_empty() => {}
            (b'{', _) => open.push(Open::Object { key: None, is_key_next: true }),
            (b'[', _) => open.push(Open::Array { index: 0 }),
            (b'}' | b']', _) => drop(open.pop()),
            (b',', Some(Open::Array { index })) => *index += 1,
            (b',', Some(Open::Object { key, is_key_next })) => (*key, *is_key_next) = (None, true),
            (b'"', inside) => {
                let (content, after) = string(after);
                rest = after;
                if let Some(Open::Object { key, is_key_next: is_key @ true }) = inside {
                    *is_key = false;
                    *key = serde_json::from_str(&format!("\"{content}\"")).ok();
                }
            }
            _ => {}
        }
    }
    let mut path = String::new();
    for inside in open {
        match inside {
            Open::Object { key: Some(key), .. } if path.is_empty() => path = key,
            Open::Object { key: Some(key), .. } => path.extend([".", &key]),
            Open::Object { key: None, .. } => {}
            Open::Array { index } => path.extend(["[", &index.to_string(), "]"]),
        }
    }
    path
}

/// Divides what follows a quotation mark into the rest of the string and what stands behind it.
fn string(text: &[u8]) -> (String, &[u8]) {
    let mut is_escaped = false;
    let is_end = |byte: &u8| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    };
    let length = text.iter().position(is_end).unwrap_or(text.len());
    let (content, behind) = text.split_at(length);
    (String::from_utf8_lossy(content).into_owned(), behind.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_model::{AssetKey, ErrorCode};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is refused, so nobody looks at it")]
    struct Order {
        name: String,
        #[serde(default)]
        count: u32,
        #[serde(default)]
        parts: Vec<Order>,
        #[serde(default)]
        assets: BTreeMap<String, AssetKey>,
        #[serde(default)]
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "what is read is refused, so nobody looks at it")]
    enum Kind {
        Plain,
        Sized { height: u8 },
    }

    const REFUSED: [&str; 19] = [
        "",
        "nope",
        "[1]",
        "5",
        "{}",
        r#"{"name": 5}"#,
        r#"{"name": {}}"#,
        r#"{"name": []}"#,
        r#"{"name": "a", "count": -1}"#,
        r#"{"name": "a", "bogus": 1}"#,
        r#"{"name": "a", "parts": [{"name": "b"}, {"name": true}]}"#,
        r#"{"name": "a", "parts": [{"name": "b"}, {"count": 1}], "count": 2}"#,
        r#"{"name": "a", "parts": [{"name": "b", "parts": [{"name": "c", "no": 1}]}]}"#,
        "{\n  \"name\": \"a\",\n  \"count\": \"two\"\n}",
        r#"{"name": "a", "assets": {"one": "fine", "tw\"o\\": 5}}"#,
        r#"{"name": "a,{[\"", "assets": 7}"#,
        r#"{"name": "a", "kind": {"sized": {"height": 300}}}"#,
        r#"{"name": "a", "kind": 3}"#,
        r#"{"name": "a"} {"#,
    ];

    #[test]
    fn a_body_is_refused_with_the_words_and_the_path_of_axums_extractor() {
        for text in REFUSED {
            let ours = read::<Order>(text.as_bytes()).unwrap_err();
            let theirs = axum::Json::<Order>::from_bytes(text.as_bytes()).unwrap_err();
            assert_eq!(ours.code, ErrorCode::BadRequest);
            assert_eq!(ours.message, theirs.body_text(), "{text}");
        }
    }

    #[test]
    fn a_value_that_its_own_type_refuses_is_quoted_with_the_path_of_what_holds_it() {
        let text = r#"{"name": "a", "assets": {"one": "fine", "two": "b//c"}}"#;
        let message = read::<Order>(text.as_bytes()).unwrap_err().message;
        assert!(message.contains(": assets: asset key \"b//c\" has an empty part"), "{message}");
    }

    #[test]
    fn a_text_that_is_no_json_is_refused_with_its_place() {
        for (text, place) in [
            (r#"{"name": "a", "count": }"#, "count: expected value at line 1 column 24"),
            (r#"{"parts": [{"name": "#, "parts[0].name: EOF while parsing"),
            (r#"{"name": "a" "count": 1}"#, "expected `,` or `}` at line 1 column 14"),
        ] {
            let message = read::<Order>(text.as_bytes()).unwrap_err().message;
            assert!(message.starts_with("Failed to parse the request body as JSON: "), "{message}");
            assert!(message.contains(place), "{message}");
        }
    }

    #[test]
    fn only_what_says_that_it_is_json_is_read() {
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/a+json"] {
            assert!(is_json(kind), "{kind}");
        }
        for kind in ["", "text/plain", "text/json", "application/jsonl", "application/xml"] {
            assert!(!is_json(kind), "{kind}");
        }
    }
}
