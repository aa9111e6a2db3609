//! Functions in Python: the keys of a `python` step and of a handler that is one.
//!
//! Only the form is checked here. Whether the file is there and has the function shows when the
//! code is loaded for a run.

use millstream_model::seen::CONTEXT_ENTRIES;
use millstream_model::{ErrorCode, Isolation, PythonStep};

use crate::fields::{Field, Fields};
use crate::finding::{Findings, Spot};
use crate::steps;

/// How a function is written.
pub(crate) const FUNCTION_HELP: &str =
    "write it like `tasks.py:extract`, or `package.module:extract`";

const ISOLATIONS: &[(&str, Isolation)] =
    &[("fork", Isolation::Fork), ("warm", Isolation::Warm), ("process", Isolation::Process)];

/// The step whose function stands in `function`, with the rest of `fields`.
pub(crate) fn step(
    function: Option<Field<'_>>,
    fields: &Fields<'_>,
    findings: &mut Findings,
) -> Option<PythonStep> {
    let function = function.and_then(|it| name(&it, findings));
    let isolation = fields.get("isolation").and_then(|it| it.choice(ISOLATIONS, findings));
    let params = fields.get("params");
    let params = params.map(|it| steps::params(&it, CONTEXT_ENTRIES, findings)).unwrap_or_default();
    let env = fields.get("env").map(|it| it.text_map(findings)).unwrap_or_default();
    let interpreter = fields.get("interpreter").and_then(|it| it.filled(findings));
    let pipes = fields.get("pipes").map(|it| steps::pipes(&it, findings)).unwrap_or_default();
    let isolation = isolation.unwrap_or_default();
    let sources = steps::sources(fields, None, findings);
    Some(PythonStep { function: function?, isolation, params, env, interpreter, pipes, sources })
}

/// A function's name: where it is, a colon, and what it is called there.
fn name(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.filled(findings)?;
    let mut refuse = |spot: Spot, message: String, help: &str| {
        findings.error(ErrorCode::DefinitionValue, spot, message).help(help);
    };
    let spot = field.node.spot;
    let Some((place, function)) = text.rsplit_once(':') else {
        let message = format!("`{text}` does not say which function of the file it means");
        refuse(spot, message, FUNCTION_HELP);
        return None;
    };
    let is_template = |text: &str| text.contains("{{");
    if !is_template(function) && !function.split('.').all(is_identifier) {
        refuse(spot, format!("`{function}` is no name of a function"), FUNCTION_HELP);
        return None;
    }
    if is_template(place) {
        return Some(text);
    }
    let is_file = place.strip_suffix(".py").is_some();
    if !is_file && !place.split('.').all(is_identifier) {
        let message = format!("`{place}` is neither a file that ends in `.py` nor a module");
        refuse(spot, message, FUNCTION_HELP);
        return None;
    }
    if is_file && (place.starts_with('/') || place.split('/').any(|part| part == "..")) {
        let message = format!("`{place}` is not below the project's folder");
        refuse(spot, message, "name a file by its path below the project's folder");
        return None;
    }
    Some(text)
}

fn is_identifier(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c == '_' || c.is_alphabetic());
    starts_well && text.chars().all(|c| c == '_' || c.is_alphanumeric())
}
