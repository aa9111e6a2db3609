//! Which of the names that a template lacks it cannot do without.
//!
//! Asked by those who render templates, when one fails for a name that is not there: the parser
//! says what a template names, and not what has a default or is only asked for.

use serde_json::{Map, Value, json};

/// The most names of one template that are tried one by one.
const TRIED_MAX: usize = 10;

/// Those of the `missing` names that are to blame; all of them where it cannot be found out.
///
/// `renders` says whether the template can be rendered where all the names that it is given stand
/// for the value beside them, and what else is missing still is.
pub fn needed_names(
    mut missing: Vec<String>,
    renders: impl Fn(&[&str], &Value) -> bool,
) -> Vec<String> {
    if missing.len() < 2 || missing.len() > TRIED_MAX {
        return missing;
    }
    // What another name may stand for is not known: a text or a number fits most.
    let values = [json!(""), json!(1)];
    let is_needed = |name: &String| {
        let others: Vec<&str> =
            missing.iter().filter(|other| *other != name).map(String::as_str).collect();
        !values.iter().any(|value| renders(&others, value))
    };
    let needed: Vec<bool> = missing.iter().map(is_needed).collect();
    if needed.contains(&true) {
        let mut needed = needed.into_iter();
        missing.retain(|_| needed.next().unwrap_or(true));
    }
    missing
}

/// Puts `value` where `path`, like `delivery.body.order`, leads in `names`.
pub fn put_name(names: &mut Value, path: &str, value: &Value) {
    let mut place = names;
    for part in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(fields) = place else { return };
        place = fields.entry(part).or_insert(Value::Null);
    }
    *place = value.clone();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_name_is_needed_where_all_others_do_not_help() {
        let needed = needed_names(names(&["a", "b", "c"]), |others, _| others.contains(&"b"));
        assert_eq!(needed, ["b"]);
        let two = needed_names(names(&["a", "b", "c"]), |others, _| {
            others.contains(&"b") && others.contains(&"c")
        });
        assert_eq!(two, ["b", "c"]);
        let by_number = needed_names(names(&["a", "b"]), |others, value| {
            others.contains(&"b") && value.is_number()
        });
        assert_eq!(by_number, ["b"]);
    }

    #[test]
    fn all_are_named_where_no_one_is_to_blame_alone_and_where_they_are_many() {
        assert_eq!(needed_names(names(&["a", "b"]), |_, _| true), ["a", "b"]);
        let many: Vec<String> = (0..=TRIED_MAX).map(|number| number.to_string()).collect();
        assert_eq!(needed_names(many.clone(), |others, _| !others.contains(&"0")), many);
    }

    #[test]
    fn a_name_is_put_beside_what_is_there() {
        let mut names = json!({ "run": { "id": 7 }, "key": "k" });
        for path in ["run.tags.n", "item", "key.part"] {
            put_name(&mut names, path, &json!(1));
        }
        let wanted =
            json!({ "run": { "id": 7, "tags": { "n": 1 } }, "item": 1, "key": { "part": 1 } });
        assert_eq!(names, wanted);
    }
}
