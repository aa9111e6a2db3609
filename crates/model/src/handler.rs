//! The handler table: what a `local` step's module name means.

use serde::{Deserialize, Serialize};

use crate::{CommandStep, PythonStep};

/// One row of the table; the first row whose pattern matches decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandlerDef {
    /// A module name, where a trailing `*` stands for any ending (`MyApp.Tasks.*`).
    pub pattern: String,
    /// What runs.
    pub target: HandlerTarget,
}

/// What a handler is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandlerTarget {
    /// A program; `{{ name }}` is the module's last part, `{{ module }}` the whole.
    Command(CommandStep),
    /// A function in Python, whose name may hold the same templates.
    Python(PythonStep),
    /// One that comes with the product.
    Builtin(Builtin),
}

/// The handlers that come with the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builtin {
    /// Succeeds at once without a result.
    Noop,
    /// Returns the step's context as its result.
    Echo,
    /// Fails with the text in the node's `config.error`.
    Fail,
}

impl HandlerDef {
    /// Whether `module` is one of this row's.
    pub fn matches(&self, module: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(prefix) => module.starts_with(prefix),
            None => module == self.pattern,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r188_a_star_matches_any_ending_and_a_plain_name_only_itself() {
        let row = |pattern: &str| HandlerDef {
            pattern: pattern.to_owned(),
            target: HandlerTarget::Builtin(Builtin::Noop),
        };
        assert!(row("MyApp.Tasks.*").matches("MyApp.Tasks.Extract"));
        assert!(!row("MyApp.Tasks.*").matches("MyApp.Other"));
        assert!(row("Reports.Send").matches("Reports.Send"));
        assert!(!row("Reports.Send").matches("Reports.SendAll"));
    }
}
