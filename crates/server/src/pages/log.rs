//! The output of one attempt at a step: a window of its bytes, as lines.

use askama::Template;
use millstream_blob::LogStream;
use millstream_model::StepKey;

use crate::link;
use crate::parts::part;

/// A window of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogWindow {
    /// The step.
    pub step: StepKey,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Which of its two streams.
    pub stream: LogStream,
    /// Where the window starts, in bytes.
    pub offset: u64,
    /// How many bytes the stream has so far.
    pub size: u64,
    /// The bytes of the window.
    pub bytes: Vec<u8>,
    /// Whether the attempt goes on, so that more may come.
    pub growth: Growth,
}

/// Whether more bytes may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// The attempt goes on.
    Open,
    /// It is over.
    Closed,
}

/// Most bytes in one page.
pub const WINDOW_BYTES: u64 = 64 * 1024;
/// Most lines in one page.
const LINES_MAX: usize = 300;

/// The window as a part of the run's page.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/log.html")]
pub struct LogView {
    step: String,
    attempt: u32,
    tabs: Vec<(&'static str, String, bool)>,
    attempts: Vec<(u32, String, bool)>,
    address: String,
    end: u64,
    follow: &'static str,
    partial: &'static str,
    class: &'static str,
    lines: Vec<String>,
    earlier: Option<String>,
    later: Option<String>,
    download: String,
    size: String,
}

part!(LogView);

impl LogView {
    /// The window of `log`; `base` is the run's page, `api` where its logs are read, and
    /// `attempts` how many attempts the step has had.
    pub fn new(log: &LogWindow, base: &str, api: &str, attempts: u32) -> Self {
        let step = link::segment(log.step.as_str());
        let at = |attempt: u32, stream: LogStream| {
            let stream = stream.extension();
            format!("{base}?tab=output&step={step}&attempt={attempt}&stream={stream}")
        };
        let here = at(log.attempt, log.stream);
        let address = format!("{api}/logs/{step}/{}/{}", log.attempt, log.stream.extension());
        let (lines, skipped) = lines(&log.bytes);
        let start = log.offset + skipped;
        let end = log.offset + log.bytes.len() as u64;
        let tab = |word, stream| (word, at(log.attempt, stream), stream == log.stream);
        Self {
            step: log.step.to_string(),
            attempt: log.attempt,
            tabs: vec![tab("stdout", LogStream::Out), tab("stderr", LogStream::Err)],
            attempts: if attempts > 1 {
                (1..=attempts).map(|n| (n, at(n, log.stream), n == log.attempt)).collect()
            } else {
                Vec::new()
            },
            follow: if log.growth == Growth::Open && end == log.size { "true" } else { "false" },
            partial: if log.bytes.last().is_some_and(|last| *last != b'\n') {
                "true"
            } else {
                "false"
            },
            class: if log.stream == LogStream::Err { " err" } else { "" },
            earlier: (start > 0)
                .then(|| format!("{here}&offset={}", start.saturating_sub(WINDOW_BYTES))),
            later: (end < log.size).then(|| format!("{here}&offset={end}")),
            download: format!("{address}?download=1"),
            size: crate::format::bytes(log.size),
            address,
            end,
            lines,
        }
    }
}

/// The last lines of `bytes` without terminal colours, and how many bytes stand before them.
fn lines(bytes: &[u8]) -> (Vec<String>, u64) {
    let mut all: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if all.last().is_some_and(|last| last.is_empty()) {
        all.pop();
    }
    let surplus = all.len().saturating_sub(LINES_MAX);
    let skipped = all.iter().take(surplus).map(|line| line.len() as u64 + 1).sum();
    let kept = all.into_iter().skip(surplus);
    (kept.map(|line| plain(&String::from_utf8_lossy(line))).collect(), skipped)
}

/// `text` without escape sequences, which a page would show as rubbish.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' && characters.peek() == Some(&'[') {
            characters.next();
            for next in characters.by_ref() {
                if next.is_ascii_alphabetic() {
                    break;
                }
            }
        } else if character == '\t' || !character.is_control() {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_colours_and_control_characters_are_left_out() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m\r"), "red");
        assert_eq!(plain("a\tb\u{7}"), "a\tb");
    }

    #[test]
    fn only_the_last_lines_are_shown_and_the_skipped_bytes_are_known() {
        let text = "one\n".repeat(10) + &"two\n".repeat(300);
        let (lines, skipped) = lines(text.as_bytes());
        assert_eq!((lines.len(), lines[0].as_str(), skipped), (300, "two", 40));
    }
}
