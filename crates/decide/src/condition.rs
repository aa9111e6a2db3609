//! Conditions written as templates: whether a schedule is on, whether a tick asks for runs.
//!
//! `control` renders them with what it knows; definitions were checked for their syntax at load.
//! What a condition may cost is bounded, and what it says must be a yes or a no.

use millstream_model::filling::language;
use millstream_model::named::{with_ids, with_texts};
use millstream_model::yes_or_no;
use minijinja::UndefinedBehavior;
use serde_json::Value;

use crate::template;

/// How much work one condition may be.
const FUEL: u64 = 10_000;

/// A condition that says neither yes nor no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the condition {condition:?} {problem}")]
pub struct ConditionError {
    /// The condition as written.
    pub condition: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Whether `condition` holds where `names` is what it can name.
pub fn holds(condition: &str, names: &Value) -> Result<bool, ConditionError> {
    let fail = |problem: String| ConditionError { condition: condition.to_owned(), problem };
    let mut environment = language(FUEL);
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    let said =
        environment.render_str(&with_texts(condition), with_ids(names)).map_err(|error| {
            let problem = template::problem(&environment, (condition, names), &error);
            fail(format!("cannot be evaluated: {problem}"))
        })?;
    if let Some(is_yes) = yes_or_no(&said) {
        return Ok(is_yes);
    }
    let said: String = said.chars().take(100).collect();
    Err(fail(format!(
        "says {said:?}, which is neither true nor false; compare it, as in `{{{{ … == 'on' }}}}`"
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn r130_a_variable_decides_and_its_absence_is_what_the_default_says() {
        let text = "{{ env.SENSOR_ENABLED | default(false) }}";
        assert_eq!(holds(text, &json!({ "env": {} })), Ok(false));
        assert_eq!(holds(text, &json!({ "env": { "SENSOR_ENABLED": "true" } })), Ok(true));
        assert_eq!(holds(text, &json!({ "env": { "SENSOR_ENABLED": "STOPPED" } })), Ok(false));
    }

    #[test]
    fn r132_an_environment_can_be_compared() {
        let text = "{{ env.ENVIRONMENT != 'dev' }}";
        assert_eq!(holds(text, &json!({ "env": { "ENVIRONMENT": "dev" } })), Ok(false));
        assert_eq!(holds(text, &json!({ "env": { "ENVIRONMENT": "prod" } })), Ok(true));
    }

    #[test]
    fn a_tenant_can_be_compared() {
        let names = json!({ "tenant": { "id": "jfk", "weight": 1 } });
        for (text, wanted) in [
            ("{{ tenant == 'jfk' }}", true),
            ("{{ tenant in ['lga', 'ewr'] }}", false),
            ("{{ tenant.weight == 1 }}", true),
        ] {
            assert_eq!(holds(text, &names), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_neither_yes_nor_no_is_an_error_that_says_so() {
        let error = holds("{{ env.A }}", &json!({ "env": { "A": "perhaps" } })).unwrap_err();
        assert!(error.to_string().contains("says \"perhaps\", which is neither"), "{error}");
    }

    #[test]
    fn a_null_alone_is_a_no() {
        let names = json!({ "item": { "a": null, "b": "yes" } });
        for (text, wanted) in [
            ("{{ item.a }}", Ok(false)),
            ("{{ item.a or item.b }}", Ok(true)),
            ("{{ item.b and item.a }}", Ok(false)),
            ("{{ item.a | default(true) }}", Ok(true)),
            ("{{ item.a == none }}", Ok(true)),
        ] {
            assert_eq!(holds(text, &names), wanted, "{text}");
        }
        let error = holds("{{ item }}", &names).unwrap_err().to_string();
        assert!(error.ends_with("neither true nor false; compare it, as in `{{ … == 'on' }}`"));
    }

    #[test]
    fn a_condition_names_what_it_lacks_and_not_what_may_be_missing() {
        let text = "{{ env.A | default(false) }}{% if env.B %}{{ env.C }}{% endif %}{{ env.D }}";
        let error = holds(text, &json!({ "env": {} })).unwrap_err();
        assert_eq!(error.problem, "cannot be evaluated: it names what is not there: `env.D`");
    }

    #[test]
    fn a_condition_that_would_go_on_for_long_is_ended() {
        let text = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        assert!(holds(text, &json!({})).is_err());
    }
}
