//! Templates that the control plane fills itself: what a sensor requests for what it found.
//!
//! Strict: a name that is not known is an error. What one template may cost is bounded.

use std::fmt::Write as _;

use millstream_model::filling::{json, language, write};
use millstream_model::named::{with_ids, with_texts};
use millstream_model::{needed_names, put_name};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::Value;

/// How much work one template may be.
const FUEL: u64 = 50_000;

/// Missing names that one error names.
const MISSING_NAMED: usize = 3;

/// The longest text that a template may give.
const TEXT_MAX: usize = 1 << 20;

/// What stands for a null in a text that is looked at for nulls: Unicode keeps it for such uses.
const NULL: char = '\u{fdd0}';

/// Templates over one set of names.
pub struct Templates<'a> {
    environment: Environment<'static>,
    names: &'a Value,
}

impl std::fmt::Debug for Templates<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates").field("names", self.names).finish_non_exhaustive()
    }
}

/// A template that gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the template {template:?} cannot be filled: {problem}")]
pub struct TemplateError {
    /// The template as written.
    pub template: String,
    /// What is wrong with it.
    pub problem: String,
}

impl<'a> Templates<'a> {
    /// Templates that see `names`, an object.
    pub fn over(names: &'a Value) -> Self {
        Self { environment: language(FUEL), names }
    }

    /// The text that `template` gives.
    pub fn text(&self, template: &str) -> Result<String, TemplateError> {
        if !is_template(template) {
            return Ok(template.to_owned());
        }
        self.rendered(&self.environment, template)
    }

    fn rendered(
        &self,
        environment: &Environment<'_>,
        template: &str,
    ) -> Result<String, TemplateError> {
        let text = environment
            .render_str(&with_texts(template), with_ids(self.names))
            .map_err(|error| self.told(template, &error))?;
        if text.len() > TEXT_MAX {
            let problem = "it gives more than 1 MiB of text".to_owned();
            return Err(TemplateError { template: template.to_owned(), problem });
        }
        Ok(text)
    }

    /// As [`Templates::text`]; nothing where all that `template` gives is null.
    pub fn text_unless_null(&self, template: &str) -> Result<Option<String>, TemplateError> {
        let text = self.text(template)?;
        if !is_template(template) || !text.trim().is_empty() {
            return Ok(Some(text));
        }
        // Nothing, or a null.
        Ok(self.marked(template)?.trim().is_empty().then_some(text))
    }

    /// The key that `template` gives, nothing where it is null, or why it is none: a null in part
    /// of it would make one key of many things. `what` names it for people.
    pub fn key(&self, what: &str, template: &str) -> Result<Option<String>, String> {
        self.keys(what, template, |text| vec![text]).map(|keys| keys.into_iter().next())
    }

    /// As [`Templates::key`], of a template that gives a key a line.
    pub fn key_lines(&self, template: &str) -> Result<Vec<String>, String> {
        self.keys("key", template, |text| text.lines().collect())
    }

    fn keys(
        &self,
        what: &str,
        template: &str,
        parts: impl Fn(&str) -> Vec<&str>,
    ) -> Result<Vec<String>, String> {
        let marked = if is_template(template) {
            self.marked(template).map_err(|error| error.to_string())?
        } else {
            template.to_owned()
        };
        let mut keys = Vec::new();
        for part in parts(&marked) {
            let has_more = part.chars().any(|it| it != NULL && !it.is_whitespace());
            match (part.contains(NULL), has_more) {
                (false, _) => keys.push(part.to_owned()),
                (true, false) => {}
                (true, true) => {
                    let names = self.null_names(template);
                    return Err(format!(
                        "the {what} {template:?} is null in part{names}; say what stands for a \
                         null with `default`"
                    ));
                }
            }
        }
        Ok(keys)
    }

    /// The text that `template` gives, with [`NULL`] where it puts a null.
    fn marked(&self, template: &str) -> Result<String, TemplateError> {
        let mut marking = self.environment.clone();
        marking.set_formatter(|out, state, value| {
            if value.is_none() { Ok(out.write_char(NULL)?) } else { write(out, state, value) }
        });
        self.rendered(&marking, template)
    }

    /// The names in `template` that are null, as a message lists them.
    fn null_names(&self, template: &str) -> String {
        let Ok(parsed) = self.environment.template_from_str(template) else {
            return String::new();
        };
        let is_null = |path: &String| {
            let found = path.split('.').try_fold(self.names, |value, part| value.get(part));
            found.is_some_and(Value::is_null)
        };
        let mut paths: Vec<String> =
            parsed.undeclared_variables(true).into_iter().filter(is_null).collect();
        paths.sort();
        paths.truncate(MISSING_NAMED);
        if paths.is_empty() { String::new() } else { format!(", in `{}`", paths.join("` and `")) }
    }

    /// Whether `template`, which gives no text, puts something into it: nulls and empty texts. One
    /// that puts nothing into it, as where a condition does not hold, gives none on purpose.
    pub fn puts_something(&self, template: &str) -> Result<bool, TemplateError> {
        let mut seen = self.environment.clone();
        seen.set_formatter(|out, _, _| Ok(out.write_str("?")?));
        let again = seen
            .render_str(&with_texts(template), with_ids(self.names))
            .map_err(|error| self.told(template, &error))?;
        Ok(!again.trim().is_empty())
    }

    /// The names with a null for each of the fields of `object` that `template` needs and that are
    /// not there; nothing where none of them is to blame.
    pub fn with_nulls(&self, template: &str, object: &str) -> Option<Value> {
        self.names.get(object).filter(|value| value.is_object())?;
        let prefix = format!("{object}.");
        let mut needed = needed(&self.environment, template, self.names);
        needed.retain(|path| path.starts_with(&prefix));
        let mut names = (!needed.is_empty()).then(|| self.names.clone())?;
        for path in needed {
            put_name(&mut names, &path, &Value::Null);
        }
        Some(names)
    }

    /// `value` with the templates in its texts filled; a text that is one expression alone gives
    /// what that is, and not its text.
    pub fn json(&self, value: &Value) -> Result<Value, TemplateError> {
        Ok(match value {
            Value::String(text) => match expression(&with_texts(text)) {
                Some(expression) => self.evaluate(text, expression)?,
                None => Value::String(self.text(text)?),
            },
            Value::Array(items) => {
                Value::Array(items.iter().map(|it| self.json(it)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => Value::Object(self.object(fields)?),
            plain => plain.clone(),
        })
    }

    /// As [`Templates::json`], of an object.
    pub fn object(
        &self,
        fields: &serde_json::Map<String, Value>,
    ) -> Result<serde_json::Map<String, Value>, TemplateError> {
        fields.iter().map(|(key, value)| Ok((key.clone(), self.json(value)?))).collect()
    }

    fn evaluate(&self, text: &str, expression: &str) -> Result<Value, TemplateError> {
        self.environment
            .compile_expression(expression)
            .and_then(|expression| expression.eval(with_ids(self.names)))
            .and_then(|value| json(&value))
            .map_err(|error| self.told(text, &error))
    }

    fn told(&self, template: &str, error: &Error) -> TemplateError {
        let problem = problem(&self.environment, (template, self.names), error);
        TemplateError { template: template.chars().take(200).collect(), problem }
    }
}

/// What is wrong with `template`, which was rendered with `names`.
pub(crate) fn problem(
    environment: &Environment<'_>,
    (template, names): (&str, &Value),
    error: &Error,
) -> String {
    match (error.kind(), error.detail()) {
        (_, Some(detail)) => detail.to_owned(),
        (ErrorKind::UndefinedError, None) => {
            match missing(environment, template, names).as_slice() {
                [] => "it names something that is not there".to_owned(),
                names => format!("it names what is not there: `{}`", names.join("` or `")),
            }
        }
        (kind, None) => kind.to_string(),
    }
}

/// The names in `template` that are not there and have to be, each up to the part that is missing.
fn missing(environment: &Environment<'_>, template: &str, names: &Value) -> Vec<String> {
    let needed = needed(environment, template, names);
    let mut missing: Vec<String> =
        needed.iter().filter_map(|path| missing_part(names, path)).collect();
    missing.sort();
    missing.dedup();
    missing.truncate(MISSING_NAMED);
    missing
}

/// The names in `template` that are not there and have to be.
fn needed(environment: &Environment<'_>, template: &str, names: &Value) -> Vec<String> {
    let Ok(parsed) = environment.template_from_str(template) else { return Vec::new() };
    let is_built_in = |name: &str| environment.globals().any(|(global, _)| global == name);
    let mut paths: Vec<String> = parsed.undeclared_variables(true).into_iter().collect();
    paths.retain(|path| !is_built_in(path) && missing_part(names, path).is_some());
    paths.sort();
    needed_names(paths, |others, value| {
        let mut names = names.clone();
        for path in others {
            put_name(&mut names, path, value);
        }
        environment.render_str(&with_texts(template), with_ids(&names)).is_ok()
    })
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The expression that is all of `text`, if it is one.
fn expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then_some(inner)
}

/// `path`, as in `delivery.body.order`, up to the first part that `names` lacks.
fn missing_part(names: &Value, path: &str) -> Option<String> {
    let mut value = names;
    let mut seen = Vec::new();
    for part in path.split('.') {
        seen.push(part);
        match value.get(part) {
            Some(inner) => value = inner,
            None => return Some(seen.join(".")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_expression_alone_keeps_its_type_and_a_text_around_it_does_not() {
        let names = json!({ "run": { "tags": { "n": 3 }, "list": [1, 2] } });
        let templates = Templates::over(&names);
        let given = json!({ "a": "{{ run.list }}", "b": "n={{ run.tags.n }}", "c": [true] });
        let wanted = json!({ "a": [1, 2], "b": "n=3", "c": [true] });
        assert_eq!(templates.json(&given), Ok(wanted));
    }

    #[test]
    fn a_run_and_a_tenant_alone_are_their_ids() {
        let names = json!({ "run": { "id": "r", "n": 3 }, "tenant": { "id": "jfk", "weight": 1 } });
        let templates = Templates::over(&names);
        let given =
            json!({ "a": "{{ run }}", "b": "{{ tenant == 'jfk' }}", "c": "{{ [tenant] }}" });
        let wanted = json!({ "a": "r", "b": true, "c": ["jfk"] });
        assert_eq!(templates.json(&given), Ok(wanted));
        let text = "{{ tenant }}-{{ run | upper }}-{{ run.n }}-{{ tenant.weight }}";
        assert_eq!(templates.text(text).as_deref(), Ok("jfk-R-3-1"));
        let told = templates.text("{{ tenant.city }}{{ tenant ~ '' }}").unwrap_err();
        assert_eq!(told.problem, "it names what is not there: `tenant.city`");
    }

    #[test]
    fn what_is_not_there_is_an_error_that_shows_the_template() {
        let names = json!({ "run": {} });
        let error = Templates::over(&names).text("{{ run.tags.batch }}").unwrap_err();
        assert!(error.to_string().contains("{{ run.tags.batch }}"), "{error}");
        assert!(Templates::over(&names).json(&json!("{{ nothing }}")).is_err());
    }

    #[test]
    fn a_default_takes_the_place_of_what_is_null() {
        let names = json!({ "run": { "graph": null, "n": 0 } });
        let text = "{{ run.graph | default('sec') }}{{ run.n | d(7) }}{{ run.x | default(1) }}";
        assert_eq!(Templates::over(&names).text(text).unwrap(), "sec01");
    }

    #[test]
    fn a_null_alone_is_told_from_a_text_of_nothing() {
        let names = json!({ "item": { "a": null, "name": "None", "id": 7, "empty": "" } });
        let fill = Templates::over(&names);
        let text = |template: &str| fill.text_unless_null(template).unwrap();
        for null in
            ["{{ item.a }}", " {{ item.a }}{{ item.a }}", "{% if true %}{{ item.a }}{% endif %}"]
        {
            assert_eq!(text(null), None, "{null}");
        }
        for (some, wanted) in [
            ("{{ item.name }}", "None"),
            ("None", "None"),
            ("{{ item.empty }}", ""),
            ("{{ item.a }}-{{ item.id }}", "-7"),
            ("{{ item.a | default(0) }}", "0"),
        ] {
            assert_eq!(text(some).as_deref(), Some(wanted), "{some}");
        }
    }

    #[test]
    fn a_key_with_a_null_in_part_is_none_and_the_null_is_named() {
        let names = json!({ "item": { "a": null, "b": null, "id": 7, "empty": "" } });
        let fill = Templates::over(&names);
        let key = |template: &str| fill.key("run key", template);
        for (template, wanted) in [
            ("{{ item.a }}", None),
            (" {{ item.a }}{{ item.b }} ", None),
            ("x-{{ item.id }}", Some("x-7")),
            ("{{ item.empty }}-{{ item.id }}", Some("-7")),
            ("x-{{ item.a | default('all') }}", Some("x-all")),
            ("x{% if item.a %}-{{ item.a }}{% endif %}", Some("x")),
            ("plain", Some("plain")),
        ] {
            assert_eq!(key(template).as_ref().map(Option::as_deref), Ok(wanted), "{template}");
        }
        assert_eq!(
            key("x-{{ item.a }}-{{ item.id }}").unwrap_err(),
            "the run key \"x-{{ item.a }}-{{ item.id }}\" is null in part, in `item.a`; say what \
             stands for a null with `default`"
        );
        let two = key("{{ item.a }}-{{ item['b'] }}").unwrap_err();
        assert!(two.contains("is null in part, in `item.a`"), "{two}");
        assert!(key("{{ nothing }}").is_err());
    }

    #[test]
    fn of_many_lines_each_is_a_key_or_a_null() {
        let names = json!({ "item": [["a", 1], [null, null], ["b", 2]], "hole": null });
        let fill = Templates::over(&names);
        let lines = "{% for it in item %}{{ it[0] }}\n{% endfor %}";
        assert_eq!(fill.key_lines(lines).unwrap(), ["a", "b"]);
        let told = fill.key_lines("a\nb-{{ hole }}\n").unwrap_err();
        assert!(told.starts_with("the key \"a\\nb-{{ hole }}\\n\" is null in part, in `hole`;"));
    }

    #[test]
    fn in_a_text_null_is_nothing_and_a_boolean_is_as_in_json() {
        let names = json!({ "item": { "none": null, "is": true } });
        let text = "{{ item.none }}|{{ item.is }}|{{ not item.is }}";
        assert_eq!(Templates::over(&names).text(text).unwrap(), "|true|false");
    }

    #[test]
    fn what_was_found_is_never_read_as_a_template() {
        let names = json!({ "item": { "name": "{{ env.SECRET }}" }, "env": { "SECRET": "x" } });
        let text = Templates::over(&names).text("{{ item.name }}").unwrap();
        assert_eq!(text, "{{ env.SECRET }}");
    }

    #[test]
    fn a_name_that_is_not_there_is_said_up_to_the_part_that_is_missing() {
        let names = json!({ "delivery": { "body": { "ref": "main" } } });
        let fill = Templates::over(&names);
        let problem = |template: &str| fill.text(template).unwrap_err().problem;
        assert_eq!(
            problem("order-{{ delivery.body.order.id }}"),
            "it names what is not there: `delivery.body.order`"
        );
        assert_eq!(problem("{{ event }}"), "it names what is not there: `event`");
        assert_eq!(
            problem("{{ delivery.size | default(1) }} {{ delivery.body.z }}"),
            "it names what is not there: `delivery.body.z`"
        );
        assert_eq!(
            problem("{{ event.run.id }} {{ nope | default('x') }}"),
            "it names what is not there: `event`"
        );
        let of_json = fill.json(&json!("{{ delivery.body.z }}")).unwrap_err().problem;
        assert_eq!(of_json, "it names what is not there: `delivery.body.z`");
    }
}
