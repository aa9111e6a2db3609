//! The definition files that are measured.

use serde_json::{Value, json};

/// A job whose `length` steps follow one another, each with this type and configuration.
pub(super) fn chain(length: usize, kind: &str, config: &Value) -> String {
    let nodes: Vec<Value> = (0..length)
        .map(|place| {
            let above: Vec<String> = (place > 0).then(|| name(place - 1)).into_iter().collect();
            json!({ "id": name(place), "type": kind, "config": config, "depends_on": above })
        })
        .collect();
    json!({ "nodes": nodes }).to_string()
}

/// A job of `length` steps that do nothing, one after the other.
pub(super) fn noops(length: usize) -> String {
    chain(length, "noop", &json!({}))
}

fn name(place: usize) -> String {
    format!("step-{place}")
}
