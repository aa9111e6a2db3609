//! Drawing a diagnostic in its source, for a terminal.

use miette::{
    GraphicalReportHandler, LabeledSpan, MietteDiagnostic, NamedSource, Report, Severity,
};
use millstream_model::{Diagnostic, Severity as Seen};

/// The diagnostic with the line it is about, as text.
pub(crate) fn diagnostic(found: &Diagnostic, source: &str) -> String {
    let mut drawn = MietteDiagnostic::new(found.message.clone())
        .with_code(found.code.as_str())
        .with_severity(match found.severity {
            Seen::Error => Severity::Error,
            Seen::Warning => Severity::Warning,
        });
    if let Some(help) = &found.help {
        drawn = drawn.with_help(help.clone());
    }
    if let Some(offset) = offset(found, source) {
        drawn = drawn.with_labels([LabeledSpan::at_offset(offset, "here")]);
    }
    let named = NamedSource::new(found.place.file.clone(), source.to_owned());
    let report = Report::new(drawn).with_source_code(named);
    let mut text = String::new();
    let handler = GraphicalReportHandler::new().with_width(100);
    match handler.render_report(&mut text, report.as_ref()) {
        Ok(()) if found.place.line > 0 => text,
        // Without a line there is nothing to draw, so the file has to be named in words.
        _ => {
            let help = found.help.iter().map(|help| format!("\n  help: {help}"));
            let said = format!("{}: {} [{}]", found.place, found.message, found.code);
            help.fold(said, |said, help| said + &help)
        }
    }
}

/// Where in `source` the diagnostic is, in bytes.
fn offset(found: &Diagnostic, source: &str) -> Option<usize> {
    let line = usize::try_from(found.place.line.checked_sub(1)?).ok()?;
    let column = usize::try_from(found.place.column.saturating_sub(1)).ok()?;
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = source.get(start..)?;
    let within: usize = rest.chars().take(column).map(char::len_utf8).sum();
    Some((start + within).min(source.len()))
}
