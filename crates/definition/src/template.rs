//! Checking `{{ … }}` templates at load: their syntax, and names where these can be known.
//!
//! What a name resolves to is known only when a step starts; the worker renders templates then.

use millstream_model::{ErrorCode, nearest};
use minijinja::Environment;

use crate::finding::{Findings, Spot};
use crate::tree::Node;

/// The names that templates of resources and IO managers may use: what is known without a run.
const SETTING_NAMES: &[&str] = &["env", "tenant"];

/// Whether `text` is rendered before it is used.
fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Checks the syntax of every template in `node`.
pub(crate) fn check_all(node: &Node, findings: &mut Findings) {
    node.for_each_text(&mut |spot, text| {
        if is_template(text) {
            check_syntax(&Environment::empty(), text, spot, findings);
        }
    });
}

/// Checks the syntax of every template in `node`, and that it names `env` and `tenant` alone.
pub(crate) fn check_setting(node: &Node, findings: &mut Findings) {
    node.for_each_text(&mut |spot, text| {
        if !is_template(text) {
            return;
        }
        let environment = Environment::empty();
        check_syntax(&environment, text, spot, findings);
        let Ok(template) = environment.template_from_str(text) else { return };
        let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        names.sort_unstable();
        for name in names.iter().filter(|name| !SETTING_NAMES.contains(&name.as_str())) {
            let help = match nearest(name, SETTING_NAMES.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "templates here see `env` and `tenant`".to_owned(),
            };
            let message = format!("The template names `{name}`, which does not exist here");
            findings.error(ErrorCode::DefinitionTemplate, spot, message).help(help);
        }
    });
}

fn check_syntax(environment: &Environment<'_>, text: &str, spot: Spot, findings: &mut Findings) {
    if let Err(error) = environment.template_from_str(text) {
        let detail = error.detail().unwrap_or("it cannot be read");
        let message = format!("The template is not valid: {detail}");
        findings
            .error(ErrorCode::DefinitionTemplate, spot, message)
            .help("close what was opened; a literal `{{` is written `{{ '{{' }}`");
    }
}
