//! Collecting what is wrong: every finding of a file, with its place, up to a bound.
//!
//! All decoders of this crate report here and go on, so that an author sees all findings at once.

use millstream_model::{Diagnostic, ErrorCode, Place, Severity};

/// The findings that are kept of one file; more help nobody.
const FINDINGS_MAX: usize = 100;

/// The longest message or help, in bytes; texts of the file in it may be longer.
const TEXT_MAX: usize = 1_000;

/// `diagnostics` by place, with at most a bounded number of each file, each of bounded length.
pub(crate) fn bounded(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by(|a, b| a.place.cmp(&b.place));
    let mut kept: Vec<Diagnostic> = Vec::new();
    let mut count = 0;
    for mut diagnostic in diagnostics {
        let is_same_file = kept.last().is_some_and(|last| last.place.file == diagnostic.place.file);
        count = if is_same_file { count + 1 } else { 1 };
        if count <= FINDINGS_MAX {
            diagnostic.message = shortened(diagnostic.message);
            diagnostic.help = diagnostic.help.map(shortened);
            kept.push(diagnostic);
        }
    }
    kept
}

/// Words as a sentence lists them: `a, b and c`.
pub(crate) fn listed_words(words: &[String]) -> String {
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// A line and a column of the file at hand, both from 1; both 0 for the file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Spot {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Spot {
    /// The file as a whole.
    pub(crate) const FILE: Self = Self { line: 0, column: 0 };

    /// The place of this spot in `file`.
    pub(crate) fn place(self, file: &str) -> Place {
        Place { file: file.to_owned(), line: self.line, column: self.column }
    }
}

/// The findings of one file.
pub(crate) struct Findings {
    file: String,
    list: Vec<Diagnostic>,
    left_out: usize,
    errors: usize,
}

impl Findings {
    /// No findings in `file` yet.
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), list: Vec::new(), left_out: 0, errors: 0 }
    }

    /// Reports an error; the answer takes a way out.
    pub(crate) fn error(
        &mut self,
        code: ErrorCode,
        spot: Spot,
        message: impl Into<String>,
    ) -> Help<'_> {
        self.errors += 1;
        self.add(code, Severity::Error, spot, message.into())
    }

    /// Reports something that does not keep the file from being used.
    pub(crate) fn warning(
        &mut self,
        code: ErrorCode,
        spot: Spot,
        message: impl Into<String>,
    ) -> Help<'_> {
        self.add(code, Severity::Warning, spot, message.into())
    }

    fn add(
        &mut self,
        code: ErrorCode,
        severity: Severity,
        spot: Spot,
        message: String,
    ) -> Help<'_> {
        if self.list.len() >= FINDINGS_MAX {
            self.left_out += 1;
            return Help(None);
        }
        let place = spot.place(&self.file);
        let message = shortened(message);
        self.list.push(Diagnostic { code, severity, message, place, help: None });
        Help(self.list.last_mut())
    }

    /// The errors so far, those beyond the bound included.
    pub(crate) fn error_count(&self) -> usize {
        self.errors
    }

    /// Whether an error stands at `from` or after it and before `to`, or may: those beyond the
    /// bound have no place. A wrong template is text all the same, of which all is known.
    pub(crate) fn has_error_within(&self, from: Spot, to: Option<Spot>) -> bool {
        let is_within = |place: &Place| {
            let spot = Spot { line: place.line, column: place.column };
            spot >= from && to.is_none_or(|to| spot < to)
        };
        let leaves_doubts = |it: &&Diagnostic| {
            it.severity == Severity::Error && it.code != ErrorCode::DefinitionTemplate
        };
        let mut errors = self.list.iter().filter(leaves_doubts);
        self.left_out > 0 || errors.any(|error| is_within(&error.place))
    }

    /// All findings in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.list.sort_by(|a, b| a.place.cmp(&b.place));
        if self.left_out > 0 {
            let findings = if self.left_out == 1 { "finding" } else { "findings" };
            let rest = format!("and {} more {findings} like these", self.left_out);
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            self.list.push(Diagnostic {
                code: ErrorCode::DefinitionTooLarge,
                severity,
                message: rest,
                place: Spot::FILE.place(&self.file),
                help: Some("correct the first ones and load the file again".to_owned()),
            });
        }
        self.list
    }
}

/// The finding just reported, open for a way out.
pub(crate) struct Help<'a>(Option<&'a mut Diagnostic>);

impl Help<'_> {
    /// Says what to write instead.
    pub(crate) fn help(self, text: impl Into<String>) {
        if let Some(diagnostic) = self.0 {
            diagnostic.help = Some(shortened(text.into()));
        }
    }

    /// Says what to write instead; `text` is only called for a finding that is kept.
    pub(crate) fn help_with(self, text: impl FnOnce() -> String) {
        if let Some(diagnostic) = self.0 {
            diagnostic.help = Some(shortened(text()));
        }
    }
}
