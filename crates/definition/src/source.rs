//! The text of a definition file: from bytes to checked UTF-8, and from byte offsets to places.
//!
//! The first step of [`crate::parse_file`]; whatever passes it is text of bounded size.

use millstream_model::ErrorCode;

use crate::finding::{Findings, Spot};

/// The largest definition file, in bytes.
pub(crate) const FILE_MAX: usize = 1 << 20;

/// The deepest nesting of objects and lists in a definition file.
pub(crate) const DEPTH_MAX: usize = 64;

/// The text of a file without a byte order mark, or `None` after reporting why it is none.
pub(crate) fn text_of<'a>(bytes: &'a [u8], findings: &mut Findings) -> Option<&'a str> {
    if bytes.len() > FILE_MAX {
        let message = format!("the file has {} bytes; at most {FILE_MAX} are read", bytes.len());
        findings
            .error(ErrorCode::DefinitionTooLarge, Spot::FILE, message)
            .help("split it into several files: files of one root see each other's objects");
        return None;
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        findings
            .error(ErrorCode::DefinitionEncoding, Spot::FILE, "the file is UTF-16, not UTF-8")
            .help("save it as UTF-8");
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let spot = Lines::at_byte(bytes, error.valid_up_to());
            findings
                .error(ErrorCode::DefinitionEncoding, spot, "the file is not text in UTF-8")
                .help("save it as UTF-8; this byte is the first that is not");
            return None;
        }
    };
    if let Some(offset) = text.find('\0') {
        let spot = Lines::at_byte(bytes, offset);
        findings
            .error(ErrorCode::DefinitionEncoding, spot, "the file holds a NUL character")
            .help("is it a half-written or a binary file? Definition files are text");
        return None;
    }
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Turns byte offsets into lines and columns; offsets must not go down from call to call.
///
/// Forward only, because counting characters from the start of a long line for each of its
/// thousands of values would take quadratic time.
pub(crate) struct Lines<'a> {
    text: &'a str,
    offset: usize,
    spot: Spot,
}

impl<'a> Lines<'a> {
    /// Starts at the first character of `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, offset: 0, spot: Spot { line: 1, column: 1 } }
    }

    /// The place of the character at `offset`.
    pub(crate) fn spot(&mut self, offset: usize) -> Spot {
        let passed = self.text.get(self.offset..offset).unwrap_or("");
        for character in passed.chars() {
            if character == '\n' {
                self.spot = Spot { line: self.spot.line.saturating_add(1), column: 1 };
            } else {
                self.spot.column = self.spot.column.saturating_add(1);
            }
        }
        self.offset = self.offset.max(offset);
        self.spot
    }

    /// The place of the byte at `offset`, where all bytes before it are UTF-8.
    fn at_byte(bytes: &[u8], offset: usize) -> Spot {
        let before = bytes.get(..offset).and_then(|valid| std::str::from_utf8(valid).ok());
        Lines::new(before.unwrap_or("")).spot(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_start_at_one() {
        let mut lines = Lines::new("aé\nx");
        assert_eq!(lines.spot(0), Spot { line: 1, column: 1 });
        assert_eq!(lines.spot(3), Spot { line: 1, column: 3 });
        assert_eq!(lines.spot(4), Spot { line: 2, column: 1 });
    }
}
