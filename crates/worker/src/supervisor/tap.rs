//! Takes messages out of an output on its way into the log.
//!
//! A line that may be a message is held until it ends; everything else goes on as it comes.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::pipes::{LINE_MAX, may_be_message};

/// A tap on one output.
#[derive(Debug)]
pub(crate) struct Tap {
    path: PathBuf,
    file: Option<File>,
    held: Vec<u8>,
    is_inside_line: bool,
}

impl Tap {
    /// A tap that appends messages to the file at `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None, held: Vec::new(), is_inside_line: false }
    }

    /// What of `bytes`, and of what was held before, belongs into the log.
    pub(crate) fn filter(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut log = Vec::with_capacity(bytes.len());
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_end = piece.ends_with(b"\n");
            if self.is_inside_line {
                log.extend_from_slice(piece);
                self.is_inside_line = !is_end;
                continue;
            }
            self.held.extend_from_slice(piece);
            let may_begin = self.held.first() == Some(&b'{') && self.held.len() <= LINE_MAX;
            if is_end || !may_begin {
                self.is_inside_line = !is_end;
                log.append(&mut self.let_go()?);
            }
        }
        Ok(log)
    }

    /// What was held, because its line did not end, and belongs into the log.
    pub(crate) fn let_go(&mut self) -> io::Result<Vec<u8>> {
        let mut held = std::mem::take(&mut self.held);
        if held.len() > LINE_MAX || !may_be_message(&held) {
            return Ok(held);
        }
        if !held.ends_with(b"\n") {
            held.push(b'\n');
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::options().append(true).create(true).open(&self.path)?),
        };
        file.write_all(&held)?;
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_leave_the_log_wherever_the_output_is_cut() {
        let message = r#"{"__dagster_pipes_version": "0.1", "method": "opened", "params": {}}"#;
        let output = format!("one\n{message}\n{{\"a\": 1}}\ntwo {message}\nlast\n{message}");
        for size in [1, 3, 7, 64, 4096] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("messages");
            let mut tap = Tap::new(path.clone());
            let mut log = Vec::new();
            for piece in output.as_bytes().chunks(size) {
                log.extend(tap.filter(piece).unwrap());
            }
            log.extend(tap.let_go().unwrap());
            let log = String::from_utf8(log).unwrap();
            assert_eq!(log, format!("one\n{{\"a\": 1}}\ntwo {message}\nlast\n"), "in {size}s");
            let taken = std::fs::read_to_string(path).unwrap();
            assert_eq!(taken, format!("{message}\n{message}\n"), "in {size}s");
        }
    }

    #[test]
    fn a_line_that_cannot_be_a_message_is_not_held_back() {
        let mut tap = Tap::new(PathBuf::from("/nowhere"));
        assert_eq!(tap.filter(b"progress 1%").unwrap(), b"progress 1%");
        assert_eq!(tap.filter(b" 2%\n{\"a\"").unwrap(), b" 2%\n");
        assert_eq!(tap.let_go().unwrap(), b"{\"a\"");
    }
}
