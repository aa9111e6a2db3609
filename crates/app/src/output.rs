//! What commands print: tables for people, JSON for programs, errors with a way out.

use std::io::{IsTerminal as _, Write as _};

use millstream_model::page_hint;
use serde::Serialize;

use crate::error::AppError;
use crate::settings::Misread;

/// Prints a line to standard output; a reader who has left is no failure of the command.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").is_err() {
        // The reader has left (`| head`); there is nobody to tell.
    }
}

/// Writes what a step has written: as it is, or on a terminal as text that only shows.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let written = if out.is_terminal() {
        out.write_all(readable(bytes).as_bytes())
    } else {
        out.write_all(bytes)
    };
    if written.and_then(|()| out.flush()).is_err() {
        // The reader has left (`| head`); there is nobody to tell.
    }
}

/// `bytes` as text that a terminal shows and does not obey, save for colours.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(character) = rest.chars().next() {
        let colour = colour_length(rest);
        let length = colour.unwrap_or(character.len_utf8());
        let (piece, after) = rest.split_at(length);
        if colour.is_some() || matches!(character, '\n' | '\t') || !character.is_control() {
            out.push_str(piece);
        }
        rest = after;
    }
    out
}

/// How long the sequence is that `text` begins with, if it changes the colour.
fn colour_length(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let end = codes.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    codes.get(end..)?.starts_with('m').then_some(end + "\u{1b}[m".len())
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(&text),
        Err(error) => note(&format!("the answer is no JSON: {error}")),
    }
}

/// Prints a value as JSON in one line.
pub(crate) fn json_line(value: &serde_json::Value) {
    line(&value.to_string());
}

/// Prints a remark for people to standard error.
pub(crate) fn note(text: &str) {
    let mut out = std::io::stderr().lock();
    if writeln!(out, "{text}").is_err() {
        // The reader has left; there is nobody to tell.
    }
}

/// Prints to standard error which settings were not understood.
pub(crate) fn warnings(as_json: bool, warnings: &[Misread]) {
    for each in warnings {
        warning(as_json, &each.to_string());
    }
}

/// Prints a warning to standard error.
pub(crate) fn warning(as_json: bool, text: &str) {
    if as_json {
        note(&serde_json::json!({ "warning": text }).to_string());
    } else {
        note(&format!("warning: {text}"));
    }
}

/// The first `max` letters of `text`, with an ellipsis where it has more.
pub(crate) fn shortened(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let start: String = text.chars().take(max).collect();
    format!("{start}…")
}

/// Prints a table with its columns aligned; nothing but the heads when there are no rows.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| {
                let missing = width.saturating_sub(cell.chars().count());
                format!("{cell}{}", " ".repeat(missing))
            })
            .collect();
        line(padded.join("  ").trim_end());
    };
    print(&mut heads.iter().copied());
    for row in rows {
        print(&mut row.iter().map(String::as_str));
    }
}

/// Prints why a command failed, what its code is, and what to do.
pub(crate) fn error(as_json: bool, error: &AppError) {
    if matches!(error, AppError::Failed | AppError::Different | AppError::Interrupted) {
        return;
    }
    let message = millstream_model::chain(error);
    let help = match error {
        AppError::Refused { help, .. } => help.clone(),
        _ => error.code().map(|code| page_hint(&code)),
    };
    if as_json {
        let body = serde_json::json!({
            "error": { "code": error.code(), "message": message, "help": help }
        });
        note(&body.to_string());
        return;
    }
    match error.code() {
        Some(code) => note(&format!("error: {message} [{code}]")),
        None => note(&format!("error: {message}")),
    }
    if let Some(help) = help {
        note(&format!("  help: {help}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g14_bytes_that_are_no_text_show_on_a_terminal_and_do_nothing_to_it() {
        let said = b"ok\xff\x07 \x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07\tend\r\n";
        let shown = "ok\u{fffd} \u{1b}[31mred\u{1b}[0m [2J]0;title\tend\n";
        assert_eq!(readable(said), shown);
        assert_eq!(readable(b"\x1b["), "[");
    }
}
