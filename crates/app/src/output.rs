//! What commands print: tables for people, JSON for programs, errors with a way out.

use std::io::Write as _;

use serde::Serialize;

use crate::error::AppError;

/// Prints a line to standard output; a reader who has left is no failure of the command.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").is_err() {
        // The reader has left (`| head`); there is nobody to tell.
    }
}

/// Prints bytes as they are.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        // The reader has left (`| head`); there is nobody to tell.
    }
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(&text),
        Err(error) => note(&format!("the answer is no JSON: {error}")),
    }
}

/// Prints a remark for people to standard error.
pub(crate) fn note(text: &str) {
    let mut out = std::io::stderr().lock();
    if writeln!(out, "{text}").is_err() {
        // The reader has left; there is nobody to tell.
    }
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
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    let help = match error {
        AppError::Refused { help, .. } => help.clone(),
        _ => None,
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
