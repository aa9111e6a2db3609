//! How templates are filled: the language, and how a value is put into a text.
//!
//! The worker fills those of steps and settings, decide those of conditions and sensors; each adds
//! what is its own. A value is written as in JSON, and not as in Python, from which the language
//! comes.

use std::borrow::Cow;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use serde_json::Value as Json;

use crate::named::{TEXT_FILTER, is_named, text_of_named};

/// How deep lists and maps may lie in each other.
const DEPTH_MAX: usize = 128;

/// The language of all templates: a name that is not known is an error, and one template costs at
/// most `fuel`.
pub fn language(fuel: u64) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(fuel));
    environment.set_formatter(write);
    environment.add_filter("default", or_default);
    environment.add_filter("d", or_default);
    environment.add_filter("join", join);
    environment.add_filter("string", string);
    environment.add_filter("tojson", to_json);
    environment.add_filter(TEXT_FILTER, text_of_named);
    environment
}

/// The text of a value: nothing of null, the words of JSON of a boolean, JSON of a list or map.
pub fn text_of(value: &Value) -> Result<Cow<'static, str>, Error> {
    Ok(match value.kind() {
        ValueKind::None => Cow::Borrowed(""),
        ValueKind::Bool => Cow::Borrowed(if value.is_true() { "true" } else { "false" }),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if !is_named(value) => {
            Cow::Owned(json(value)?.to_string())
        }
        _ => Cow::Owned(value.to_string()),
    })
}

/// Puts the text of a value into a text.
pub fn write(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None
        | ValueKind::Bool
        | ValueKind::Seq
        | ValueKind::Iterable
        | ValueKind::Map => Ok(output.write_str(&text_of(value)?)?),
        _ => minijinja::escape_formatter(output, state, value),
    }
}

/// A value as JSON; what is undefined anywhere in it is an error.
pub fn json(value: &Value) -> Result<Json, Error> {
    json_within(value, DEPTH_MAX)
}

fn json_within(value: &Value, depth: usize) -> Result<Json, Error> {
    let wrong = |what: &str| Error::new(ErrorKind::BadSerialization, what.to_owned());
    let inner = || depth.checked_sub(1).ok_or_else(|| wrong("it is nested too deep"));
    match value.kind() {
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        _ if is_named(value) => Ok(Json::String(value.to_string())),
        ValueKind::Seq | ValueKind::Iterable => {
            let depth = inner()?;
            value.try_iter()?.map(|item| json_within(&item, depth)).collect()
        }
        ValueKind::Map => {
            let depth = inner()?;
            let field = |key: Value| {
                let of = json_within(&value.get_item(&key)?, depth)?;
                Ok((text_of(&key)?.into_owned(), of))
            };
            value.try_iter()?.map(field).collect::<Result<_, _>>().map(Json::Object)
        }
        ValueKind::Invalid => Err(wrong(&value.to_string())),
        _ => serde_json::to_value(value).map_err(|error| wrong(&error.to_string())),
    }
}

/// The value, or `other` where it is undefined or null; with `true` behind `other` also where it is
/// empty, 0 or false.
fn or_default(value: &Value, other: Option<Value>, lax: Option<bool>) -> Value {
    let is_missing = value.is_undefined() || value.is_none();
    if is_missing || (lax == Some(true) && !value.is_true()) {
        return other.unwrap_or_else(|| Value::from(""));
    }
    value.clone()
}

/// The texts of the items of `value`, or of their field `attribute`, with `joiner` in between.
#[expect(clippy::needless_pass_by_value, reason = "the language gives a filter values")]
fn join(
    value: &Value,
    joiner: Option<Value>,
    attribute: Option<String>,
    named: Kwargs,
) -> Result<String, Error> {
    let joiner = joiner.map_or_else(|| named.get::<Option<Value>>("d"), |it| Ok(Some(it)))?;
    let attribute =
        attribute.map_or_else(|| named.get::<Option<String>>("attribute"), |it| Ok(Some(it)))?;
    named.assert_all_used()?;
    let joiner = joiner.as_ref().map(text_of).transpose()?.unwrap_or_default();
    let items = value.try_iter().map_err(|error| {
        let detail = format!("cannot join value of type {}", value.kind());
        Error::new(ErrorKind::InvalidOperation, detail).with_source(error)
    })?;
    let mut text = String::new();
    for (index, item) in items.enumerate() {
        let item = attribute
            .iter()
            .flat_map(|it| it.split('.'))
            .try_fold(item, |of, part| part_of(&of, part))?;
        if item.is_undefined() {
            return Err(ErrorKind::UndefinedError.into());
        }
        if index > 0 {
            text.push_str(&joiner);
        }
        text.push_str(&text_of(&item)?);
    }
    Ok(text)
}

fn part_of(value: &Value, part: &str) -> Result<Value, Error> {
    match part.parse() {
        Ok(index) => value.get_item_by_index(index),
        Err(_) => value.get_attr(part),
    }
}

/// The text of a value, as a value.
fn string(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        ValueKind::String => Ok(value.clone()),
        _ => Ok(Value::from(text_of(value)?.into_owned())),
    }
}

/// A value as a text of JSON, which is as little to be trusted as any other text.
fn to_json(value: &Value) -> Result<String, Error> {
    json(value).map(|json| json.to_string())
}

#[cfg(test)]
mod tests {
    use minijinja::value::Serde;
    use serde_json::json;

    use super::*;
    use crate::named::Named;

    fn filled(text: &str) -> Result<String, Error> {
        let names = json!({ "none": null, "is": true, "of": { "a": null }, "rows": [{"n": true}] });
        let names = [
            ("it", Value::from(Serde(names))),
            ("tenant", Named::value("jfk", &json!({ "name": "J" }))),
        ];
        language(100_000).render_str(text, Value::from_pairs(names))
    }

    #[test]
    fn a_list_or_a_map_in_a_text_is_json() {
        for (text, wanted) in [
            ("{{ [true, none, 1, 1.5, 'a\"b'] }}", r#"[true,null,1,1.5,"a\"b"]"#),
            ("{{ {'a': [none], 'b': {'c': false}} }}", r#"{"a":[null],"b":{"c":false}}"#),
            ("{{ it.of }} {{ it.rows }}", r#"{"a":null} [{"n":true}]"#),
            ("{{ range(3) }} {{ it.rows | map(attribute='n') }}", "[0,1,2] [true]"),
            ("{{ tenant }} {{ [tenant, tenant.name] }}", r#"jfk ["jfk","J"]"#),
            ("{{ {1: true} }}", r#"{"1":true}"#),
            (
                "{{ 'a\"' | tojson }} {{ none | tojson }} {{ tenant | tojson }}",
                r#""a\"" null "jfk""#,
            ),
            ("{{ it.rows | tojson | replace('n', 'm') }}", r#"[{"m":true}]"#),
            ("{{ 'a b/c' | urlencode }}", "a%20b/c"),
        ] {
            assert_eq!(filled(text).unwrap(), wanted, "{text}");
        }
        assert!(filled("{{ [it.nothing] }}").is_err(), "a list hides nothing that is missing");
    }

    #[test]
    fn what_is_joined_or_made_a_text_is_written_as_in_a_text() {
        for (text, wanted) in [
            ("{{ [true, none, 'x', [none]] | join(', ') }}", "true, , x, [null]"),
            ("{{ it.rows | join(attribute='n') }} {{ [[1], [2]] | join('-', '0') }}", "true 1-2"),
            ("{{ [1, 2] | join(d=0) }}{{ [] | join }}", "102"),
            (
                "{{ it.is | string }}|{{ it.none | string }}|{{ it.of | string }}",
                "true||{\"a\":null}",
            ),
            ("{{ [true, none] | map('string') | join('/') }}", "true/"),
        ] {
            assert_eq!(filled(text).unwrap(), wanted, "{text}");
        }
        for wrong in ["{{ 1 | join }}", "{{ [1] | join(x=1) }}", "{{ it.rows | join('', 'm') }}"] {
            assert!(filled(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_nested_without_end_is_an_error() {
        let deep = "{% set it = namespace(x=1) %}{% for i in range(500) %}{% set it.x = [it.x] %}\
                    {% endfor %}{{ it.x }}";
        assert!(filled(deep).unwrap_err().to_string().contains("nested too deep"));
    }
}
