//! Lines out of pieces that begin and end anywhere.

/// The largest message; a longer line is skipped.
pub(crate) const LINE_MAX: usize = 16 * 1024 * 1024;

/// A line that is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its bytes, without the end of the line.
    Whole(Vec<u8>),
    /// It was longer than a message may be, by its size so far.
    TooLong,
}

/// What came of the line that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    held: Vec<u8>,
    is_skipping: bool,
}

impl Lines {
    /// The lines that `bytes` completes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut complete = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, is_end) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            if self.held.len() + piece.len() > LINE_MAX {
                self.is_skipping = true;
                self.held = Vec::new();
            }
            if !self.is_skipping {
                self.held.extend_from_slice(piece);
            }
            if is_end {
                complete.extend(self.rest());
            }
        }
        complete
    }

    /// The last line, which nothing ends; blank lines are none.
    pub(super) fn rest(&mut self) -> Option<Line> {
        if std::mem::take(&mut self.is_skipping) {
            return Some(Line::TooLong);
        }
        let held = std::mem::take(&mut self.held);
        (!held.trim_ascii().is_empty()).then_some(Line::Whole(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_wherever_the_pieces_are_cut() {
        let mut lines = Lines::default();
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        assert_eq!(lines.push(b"on"), []);
        assert_eq!(lines.push(b"e\n\ntw"), [whole("one")]);
        assert_eq!(lines.push(b"o\nthree\nlast"), [whole("two"), whole("three")]);
        assert_eq!(lines.rest(), Some(whole("last")));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_read() {
        let mut lines = Lines::default();
        let part = vec![b'x'; LINE_MAX / 2];
        for _ in 0..4 {
            assert_eq!(lines.push(&part), []);
        }
        assert_eq!(lines.push(b"\nnext\n"), [Line::TooLong, Line::Whole(b"next".to_vec())]);
    }
}
