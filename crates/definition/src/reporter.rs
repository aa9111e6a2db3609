//! Reports what is wrong between files: the findings about one of them, each with its place.
//!
//! Called by [`crate::references`] and [`crate::triggers`], which look for what is wrong.
//!
//! **Invariant.** That a thing is declared nowhere is never reported of one that a file with errors
//! declares.

use millstream_model::{Diagnostic, ErrorCode, Severity};

use crate::draft::Names;
use crate::finding::Spot;
use crate::location::{Finding, Needs, Tried};

/// Takes the findings about one file.
pub(crate) struct Reporter<'f, 'a> {
    /// The file's index.
    pub(crate) index: usize,
    pub(crate) file: &'f Tried<'a>,
    /// What is declared, and nothing else of it is certain.
    pub(crate) doubts: &'f Names,
    pub(crate) findings: &'f mut Vec<Finding>,
}

impl Reporter<'_, '_> {
    /// Reports that no file declares a thing, given by its kind and name.
    pub(crate) fn missing(
        &mut self,
        (kind, name): (&'static str, &str),
        path: &[&str],
        message: String,
        help: String,
    ) {
        if self.doubts.has(kind, name) {
            return;
        }
        self.error(path, message, help);
        if let Some(finding) = self.findings.last_mut() {
            finding.needs = Needs::Thing((kind, name.to_owned()));
        }
    }

    /// Reports a wrong reference.
    pub(crate) fn error(&mut self, path: &[&str], message: String, help: String) {
        self.tell((ErrorCode::DefinitionReference, Severity::Error), path, message, help);
    }

    /// Reports a reference that keeps no file from being used.
    pub(crate) fn warning(&mut self, path: &[&str], message: String, help: String) {
        self.tell((ErrorCode::DefinitionReference, Severity::Warning), path, message, help);
    }

    /// Reports a finding of any kind.
    pub(crate) fn tell(
        &mut self,
        (code, severity): (ErrorCode, Severity),
        path: &[&str],
        message: String,
        help: String,
    ) {
        let spot = self.file.places.map_or(Spot::FILE, |places| places.spot(path));
        let place = spot.place(self.file.name);
        let diagnostic = Diagnostic { code, severity, message, place, help: Some(help) };
        self.findings.push(Finding { file: self.index, diagnostic, needs: Needs::Nothing });
    }
}
