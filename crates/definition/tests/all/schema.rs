//! The schema and the decoders know the same keys and words: the samples that hold every key are
//! gone through, and each key of theirs is spoiled in turn.

use std::collections::BTreeSet;

use millstream_definition::{file_hash, parse_file, schema, schema_names, schema_of};
use millstream_model::{ContentHash, Severity, StepConfig};
use serde_json::{Value, json};

/// The samples with every key, by name.
const SAMPLES: &[(&str, &str)] = &[
    ("every_key.json", include_str!("../good/every_key.json")),
    ("every_key_of_a_job.json", include_str!("../good/every_key_of_a_job.json")),
];

/// A key of the schema that a sample has.
struct Found {
    /// The object of the schema and the key in it: `asset.deps`.
    key: String,
    /// Where the sample has it, as a JSON pointer.
    at: String,
    /// What the schema says of it.
    schema: Value,
}

/// Goes through a value along the schema.
struct Walk {
    whole: Value,
    found: Vec<Found>,
}

impl Walk {
    fn of(sample: &Value) -> Vec<Found> {
        let mut walk = Self { whole: schema(), found: Vec::new() };
        let start = walk.whole.clone();
        walk.step(&start, sample, ("file", ""));
        walk.found
    }

    fn resolved(&self, schema: &Value) -> (Option<String>, Value) {
        let Some(path) = schema.get("$ref").and_then(Value::as_str) else {
            return (None, schema.clone());
        };
        let name = path.rsplit('/').next().unwrap().to_owned();
        (Some(name), self.whole.pointer(path.trim_start_matches('#')).unwrap().clone())
    }

    fn step(&mut self, schema: &Value, value: &Value, (object, at): (&str, &str)) {
        let (name, schema) = self.resolved(schema);
        let object = name.as_deref().unwrap_or(object);
        for branch in list(&schema, "allOf") {
            self.step(branch, value, (object, at));
        }
        if let Some(branch) = list(&schema, "anyOf").iter().find(|it| self.fits(it, value)) {
            self.step(branch, value, (object, at));
        }
        if let Some(condition) = schema.get("if") {
            let branch = if holds(condition, value) { "then" } else { "else" };
            self.step(schema.get(branch).unwrap_or(&Value::Null), value, (object, at));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.step(&schema["items"], item, (object, &format!("{at}/{index}")));
        }
        for (key, inner) in value.as_object().into_iter().flatten() {
            let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
            if let Some(known) = schema.pointer(&format!("/properties/{key}")) {
                let key = format!("{object}.{key}");
                self.step(known, inner, (&key, &at));
                self.found.push(Found { key, at, schema: known.clone() });
            } else if let Some(rest) = schema.get("additionalProperties") {
                self.step(rest, inner, (object, &at));
            }
        }
    }

    /// Whether `value` is of the schema's type and has only keys that it knows.
    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let (_, schema) = self.resolved(schema);
        let shape = match value {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "integer",
            Value::Bool(_) => "boolean",
            Value::Null => "null",
        };
        let closed = schema.get("additionalProperties") == Some(&json!(false));
        let known = |key: &String| schema.pointer(&format!("/properties/{key}")).is_some();
        let is_of = |wanted: &Value| match wanted {
            Value::Array(shapes) => shapes.iter().any(|it| it == shape),
            one => one == shape,
        };
        schema.get("type").is_some_and(is_of)
            && (!closed || value.as_object().is_none_or(|map| map.keys().all(known)))
    }
}

fn list<'a>(schema: &'a Value, key: &str) -> &'a [Value] {
    schema.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether `value` has what a condition of the schema requires.
fn holds(condition: &Value, value: &Value) -> bool {
    let any = list(condition, "anyOf");
    let required = list(condition, "required");
    let constants = condition.get("properties").and_then(Value::as_object);
    (any.is_empty() || any.iter().any(|each| holds(each, value)))
        && required.iter().all(|key| value.get(key.as_str().unwrap()).is_some())
        && constants.is_none_or(|map| map.iter().all(|(key, it)| value.get(key) == it.get("const")))
}

/// Every key that a definition of the schema has.
fn all_keys() -> BTreeSet<String> {
    let whole = schema();
    let mut keys = BTreeSet::new();
    for (name, definition) in whole["definitions"].as_object().unwrap() {
        add_keys(name, definition, &mut keys);
    }
    keys
}

fn add_keys(object: &str, schema: &Value, keys: &mut BTreeSet<String>) {
    for (key, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let key = format!("{object}.{key}");
        add_keys(&key, inner, keys);
        keys.insert(key);
    }
}

/// What a sample declares, and what is wrong with it.
fn outcome(name: &str, sample: &Value) -> (Option<ContentHash>, Vec<String>) {
    let parsed = parse_file(name, sample.to_string().as_bytes());
    let texts = parsed
        .diagnostics
        .iter()
        .map(|it| format!("{} {}", it.message, it.help.as_deref().unwrap_or("")));
    (parsed.manifest.as_ref().map(file_hash), texts.collect())
}

#[test]
fn the_samples_hold_every_key_of_the_schema() {
    let mut missing = all_keys();
    for (_, text) in SAMPLES {
        for found in Walk::of(&serde_json::from_str(text).unwrap()) {
            missing.remove(&found.key);
        }
    }
    assert!(missing.is_empty(), "write these keys into tests/good/every_key.json: {missing:#?}");
}

#[test]
fn the_samples_load_without_an_error() {
    for (name, text) in SAMPLES {
        let parsed = parse_file(name, text.as_bytes());
        let errors: Vec<_> =
            parsed.diagnostics.iter().filter(|it| it.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn r207_every_key_of_the_schema_is_read_and_checked() {
    for (name, text) in SAMPLES {
        let sample: Value = serde_json::from_str(text).unwrap();
        let good = outcome(name, &sample);
        for found in Walk::of(&sample) {
            let mut spoiled = sample.clone();
            *spoiled.pointer_mut(&found.at).unwrap() = json!([[{ "\u{1}": [] }]]);
            assert_ne!(outcome(name, &spoiled), good, "nothing reads `{}`", found.key);
        }
    }
}

#[test]
fn r207_an_unknown_key_is_refused_in_every_object_that_the_schema_closes() {
    for (name, text) in SAMPLES {
        let sample: Value = serde_json::from_str(text).unwrap();
        for found in Walk::of(&sample) {
            let (object, key) = found.at.rsplit_once('/').unwrap();
            let wrong = format!("{}x", key.replace("~1", "/"));
            let mut spoiled = sample.clone();
            let map = spoiled.pointer_mut(object).unwrap().as_object_mut().unwrap();
            map.insert(wrong.clone(), Value::Null);
            // What stands beside a local step's module is its handler's.
            if found.key.starts_with("node_local.config.") {
                continue;
            }
            let (_, texts) = outcome(name, &spoiled);
            let told = texts.iter().any(|text| {
                text.contains(&format!("Unknown key `{wrong}`"))
                    && text.contains(&format!("`{}`", key.replace("~1", "/")))
            });
            assert!(told, "`{wrong}` beside `{}`: {texts:#?}", found.key);
        }
    }
}

/// The keys that the schema has for a definition, in it or in what it is made of.
fn keys_of(definition: &Value) -> BTreeSet<String> {
    let own = definition.get("properties").and_then(Value::as_object);
    let own = own.into_iter().flat_map(|keys| keys.keys().cloned());
    own.chain(list(definition, "allOf").iter().flat_map(keys_of)).collect()
}

#[test]
fn r207_each_kind_of_step_has_a_schema_and_names_the_nearest_key_with_its_line() {
    for kind in StepConfig::KINDS {
        let keys = keys_of(&schema()["definitions"][format!("step_{kind}")]);
        assert!(keys.contains("kind"), "the schema has no `step_{kind}`: {keys:?}");
        let config = schema()["definitions"][format!("node_{kind}")]["properties"]["config"].take();
        let in_asset = ("assets:\n  a:\n    step:\n      kind", keys);
        let in_node = ("nodes:\n  - id: a\n    config: {}\n    type", BTreeSet::new());
        let in_config = match config.get("additionalProperties") {
            // What stands beside a local step's module is its handler's.
            Some(Value::Bool(true)) => BTreeSet::new(),
            _ => keys_of(&config),
        };
        for (start, keys) in [in_asset, in_node] {
            for key in keys.iter().map(String::as_str).chain(["no such"]) {
                let text = format!("{start}: {kind}\n    {}", line_of(start, key));
                refused(&text, 5, key);
            }
        }
        for key in &in_config {
            refused(&format!("nodes:\n- id: a\n  type: {kind}\n  config:\n    {key}x: 1"), 5, key);
        }
    }
}

/// A line with a misspelt key, as far in as the object that begins in `start`.
fn line_of(start: &str, key: &str) -> String {
    let indent = if start.starts_with("assets") { "  " } else { "" };
    format!("{indent}{key}x: 1")
}

fn refused(text: &str, line: u32, key: &str) {
    let parsed = parse_file("steps.yaml", text.as_bytes());
    let told = parsed.diagnostics.iter().find(|found| {
        found.place.line == line && found.message.contains(&format!("Unknown key `{key}x`"))
    });
    let told = told.unwrap_or_else(|| panic!("{text}\n{:#?}", parsed.diagnostics));
    let help = told.help.as_deref().unwrap_or_default();
    assert!(key == "no such" || help.contains(&format!("`{key}`")), "{text}\n{help}");
}

#[test]
fn the_words_of_the_schema_are_those_that_the_decoders_name() {
    let mut compared = 0;
    for (name, text) in SAMPLES {
        let sample: Value = serde_json::from_str(text).unwrap();
        for found in Walk::of(&sample) {
            let words: BTreeSet<&str> =
                list(&found.schema, "enum").iter().filter_map(Value::as_str).collect();
            if words.len() < 2 {
                continue;
            }
            let mut spoiled = sample.clone();
            *spoiled.pointer_mut(&found.at).unwrap() = json!("\u{1}");
            let (_, texts) = outcome(name, &spoiled);
            let named = texts.iter().find_map(|text| text.split_once("it is one of "));
            let Some((_, named)) = named else { panic!("`{}`: {texts:#?}", found.key) };
            let named: BTreeSet<&str> = named.split('`').skip(1).step_by(2).collect();
            assert_eq!(named, words, "`{}`", found.key);
            compared += 1;
        }
    }
    assert!(compared > 10, "only {compared} words were compared");
}

#[test]
fn a_part_of_the_schema_is_asked_for_by_name_and_holds_what_it_refers_to() {
    let part = schema_of("step_sql").unwrap();
    assert_eq!(part["allOf"][0]["$ref"], "#/definitions/step_sql");
    assert!(part["definitions"]["table"].is_object());
    assert_eq!(schema_of("dag"), None);
    assert!(schema_names().iter().any(|name| name == "partitions_daily"));
}
