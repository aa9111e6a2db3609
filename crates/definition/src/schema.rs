//! The JSON Schema of definition files, written from the table of keys for editors.
//!
//! Called by `millstream schema` and by `cargo xtask generate`. Draft 7, which every language
//! server reads. It is a little stricter than the decoders: a key without a value is a mistake in
//! an editor, while a file that is loaded counts it as left out.
//!
//! **Invariant.** What it accepts has only keys, kinds and words that the decoders know.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::keys::jobs::{JOB_FILE, NODE};
use crate::keys::partitions::PARTITIONS;
use crate::keys::steps::{OF_ASSET, STEPS, StepKeys, TIMING};
use crate::keys::{Key, Kinds, Object, Presence, SECTIONS, Shape};

/// What a schema that is published names itself.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of definition files.
pub fn schema() -> Value {
    let mut writer = Writer::default();
    let sections = writer.object(&SECTIONS);
    let job = writer.object(&JOB_FILE);
    let start = writer.start();
    let names = required_each(SECTIONS.keys);
    json!({
        "$schema": DRAFT,
        "title": "Millstream definition file",
        "description": "Assets, jobs and what they need; or one job of ops, which has `nodes`.",
        "type": "object",
        "if": { "required": ["nodes"] },
        "then": job,
        "else": {
            "if": { "anyOf": names },
            "then": sections,
            "else": start,
        },
        "definitions": writer.definitions,
    })
}

/// The schema of one kind of thing (`asset`, `step_sql`, `partitions_daily`), if it is one.
pub fn schema_of(name: &str) -> Option<Value> {
    let mut whole = schema();
    let definitions = whole.get_mut("definitions")?.take();
    definitions.get(name)?;
    let reference = reference(name);
    Some(json!({ "$schema": DRAFT, "allOf": [reference], "definitions": definitions }))
}

/// The names that [`schema_of`] knows.
pub fn schema_names() -> Vec<String> {
    let mut whole = schema();
    match whole.get_mut("definitions").map(Value::take) {
        Some(Value::Object(definitions)) => definitions.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

/// The definitions so far.
#[derive(Default)]
struct Writer {
    definitions: BTreeMap<String, Value>,
}

/// What is known of an object beside its keys.
#[derive(Clone, Copy, Default)]
struct About<'a> {
    says: &'a str,
    /// The key that says the kind, and the word under it.
    tag: Option<(&'a str, &'a str)>,
    /// Whether it may have further keys.
    further: bool,
}

impl Writer {
    /// A reference to the definition called `name`, made by `make` if there is none yet.
    fn once(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.definitions.contains_key(name) {
            // Taken before it is made, so that what refers to itself ends.
            self.definitions.insert(name.to_owned(), Value::Null);
            let schema = make(self);
            self.definitions.insert(name.to_owned(), schema);
        }
        reference(name)
    }

    /// A file that does not say yet which of the two it is.
    fn start(&mut self) -> Value {
        let groups = [SECTIONS.keys, JOB_FILE.keys].concat();
        let about = About { says: "sections, or one job with `nodes`", ..About::default() };
        let mut schema = self.with_keys(about, &groups);
        set(&mut schema, "required", Value::Null, false);
        let mut each = required_each(SECTIONS.keys);
        each.push(json!({ "required": ["nodes"] }));
        set(&mut schema, "anyOf", json!(each), true);
        schema
    }

    fn object(&mut self, object: &Object) -> Value {
        self.once(object.name, |writer| {
            let about = About { says: object.says, ..About::default() };
            let mut schema = writer.with_keys(about, object.keys);
            let each: Vec<Value> =
                object.one_of.iter().map(|key| json!({ "required": [key] })).collect();
            let some = !each.is_empty();
            set(&mut schema, "oneOf", json!(each), some);
            schema
        })
    }

    fn with_keys(&mut self, about: About<'_>, groups: &[&[Key]]) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for key in groups.iter().copied().flatten() {
            let mut schema = self.key(key);
            if let Some((tag, word)) = about.tag
                && tag == key.name
            {
                schema = json!({ "const": word, "description": about.says });
            }
            properties.insert(key.name.to_owned(), schema);
            if key.presence == Presence::Needed {
                required.push(key.name);
            }
        }
        let mut schema = json!({
            "type": "object",
            "description": format!("{}.", capitalized(about.says)),
            "properties": properties,
            "additionalProperties": about.further,
        });
        set(&mut schema, "required", json!(required), !required.is_empty());
        schema
    }

    fn key(&mut self, key: &Key) -> Value {
        let mut schema = self.shape(&key.shape);
        if schema.get("$ref").is_some() {
            // Beside a reference nothing else counts in this draft.
            schema = json!({ "allOf": [schema] });
        }
        set(&mut schema, "description", json!(format!("{}.", capitalized(key.says))), true);
        if let Presence::Default(text) = key.presence {
            let value = serde_json::from_str(text).unwrap_or(Value::Null);
            set(&mut schema, "default", value, true);
        }
        schema
    }

    fn shape(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Text => json!({ "type": ["string", "number", "boolean"] }),
            Shape::Flag => json!({ "type": "boolean" }),
            Shape::Whole(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
            Shape::Signed(most) => json!({ "type": "integer", "minimum": -most, "maximum": most }),
            Shape::Duration | Shape::Size => json!({ "type": ["string", "number"] }),
            Shape::Words(words) => json!({ "type": "string", "enum": words }),
            Shape::List(least, item) => {
                json!({ "type": "array", "items": self.shape(item), "minItems": least })
            }
            Shape::Map(value) => {
                json!({ "type": "object", "additionalProperties": self.shape(value) })
            }
            Shape::Object(object) => self.object(object),
            Shape::Kinds(kinds) => self.kinds(kinds),
            Shape::Either(shapes) => {
                let each: Vec<Value> = shapes.iter().map(|shape| self.shape(shape)).collect();
                json!({ "anyOf": each })
            }
            Shape::Step => self.steps("step", "kind", Self::step),
            Shape::Node => self.steps("node", "type", Self::node),
            Shape::Partitions => self.kinds(&PARTITIONS),
            Shape::Null => json!({ "type": "null" }),
            Shape::Any => json!({}),
        }
    }

    fn kinds(&mut self, kinds: &Kinds) -> Value {
        self.once(kinds.name, |writer| {
            let mut each = Vec::new();
            for kind in kinds.list {
                let groups: Vec<&[Key]> = [&[crate::keys::KIND], kind.keys].concat();
                let about =
                    About { says: kind.says, tag: Some(("kind", kind.word)), further: false };
                let name = format!("{}_{}", kinds.name, kind.word);
                let made = writer.once(&name, |writer| writer.with_keys(about, &groups));
                each.push((kind.word, kind.says, made));
            }
            told_apart(kinds.says, "kind", &each)
        })
    }

    fn steps(
        &mut self,
        name: &str,
        tag: &str,
        make: impl Fn(&mut Self, &StepKeys) -> Value,
    ) -> Value {
        self.once(name, |writer| {
            let mut each = Vec::new();
            for step in STEPS {
                let name = format!("{name}_{}", step.word);
                let schema = writer.once(&name, |writer| make(writer, step));
                each.push((step.word, step.says, schema));
            }
            told_apart("What runs", tag, &each)
        })
    }

    /// The step of an asset.
    fn step(&mut self, step: &StepKeys) -> Value {
        let about = About { says: step.says, tag: Some(("kind", step.word)), further: false };
        let mut groups = vec![crate::keys::KIND, step.keys];
        groups.extend(step.further.then_some(OF_ASSET));
        self.with_keys(about, &groups)
    }

    /// A node of a job: the keys of its kind stand in it or in its `config`.
    fn node(&mut self, step: &StepKeys) -> Value {
        let config = About { says: step.says, tag: None, further: step.further };
        let mut config = self.with_keys(config, &[step.keys, TIMING]);
        set(&mut config, "required", Value::Null, false);
        let about = About { says: step.says, tag: Some(("type", step.word)), further: false };
        let mut node = self.with_keys(about, &[NODE, step.keys, TIMING]);
        if let Some(slot) = node.pointer_mut("/properties/config") {
            *slot = config;
        }
        set(&mut node, "required", json!(["id", "type"]), true);
        let needed = step.keys.iter().filter(|key| key.presence == Presence::Needed);
        let either: Vec<Value> = needed.map(|key| here_or_in_config(key.name)).collect();
        let some = !either.is_empty();
        set(&mut node, "allOf", json!(either), some);
        node
    }
}

/// A node that has `key`, or whose `config` has it.
fn here_or_in_config(key: &str) -> Value {
    let inside =
        json!({ "properties": { "config": { "required": [key] } }, "required": ["config"] });
    json!({ "anyOf": [{ "required": [key] }, inside] })
}

/// An object that has the keys of the kind it names.
fn told_apart(says: &str, tag: &str, kinds: &[(&str, &str, Value)]) -> Value {
    let words: Vec<&str> = kinds.iter().map(|(word, ..)| *word).collect();
    let list: Vec<String> =
        kinds.iter().map(|(word, says, _)| format!("- `{word}`: {says}")).collect();
    let branches: Vec<Value> = kinds
        .iter()
        .map(|(word, _, schema)| {
            let is_it = json!({ "properties": { tag: { "const": word } }, "required": [tag] });
            json!({ "if": is_it, "then": schema })
        })
        .collect();
    json!({
        "type": "object",
        "description": format!("{says}."),
        "properties": { tag: { "enum": words, "description": list.join("\n") } },
        "required": [tag],
        "allOf": branches,
    })
}

/// For each key the condition that it is there.
fn required_each(groups: &[&[Key]]) -> Vec<Value> {
    groups.iter().copied().flatten().map(|key| json!({ "required": [key.name] })).collect()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// Sets a key of an object, or takes it away.
fn set(schema: &mut Value, key: &str, value: Value, wanted: bool) {
    if let Value::Object(map) = schema {
        if wanted {
            map.insert(key.to_owned(), value);
        } else {
            map.remove(key);
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
