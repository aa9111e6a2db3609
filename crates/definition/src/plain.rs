//! A file of settings: texts, numbers and flags under nested keys, all of them known.
//!
//! Called by the binary for `millstream.yaml`. Pure like the rest: it is given name and content.

use std::collections::BTreeMap;

use millstream_model::{Diagnostic, ErrorCode, nearest};

use crate::finding::{Findings, Spot};
use crate::tree::{Entry, Node, Value};
use crate::{source, yaml};

/// The settings in the YAML `content`, by their keys with dots between them (`dags.dir`).
///
/// Values are texts as they are written; a list becomes one text with commas. Every key that is
/// none of `known` is an error, as is everything that is no YAML of this form.
pub fn plain_settings(
    name: &str,
    content: &[u8],
    known: &[&str],
) -> Result<BTreeMap<String, String>, Vec<Diagnostic>> {
    let mut reading = Reading { known, found: BTreeMap::new(), findings: Findings::new(name) };
    let text = source::text_of(content, &mut reading.findings);
    // A file in which everything is commented out sets nothing.
    let is_empty = |text: &str| {
        text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    };
    if let Some(text) = text.filter(|text| !is_empty(text))
        && let Some(root) = yaml::parse(text, &mut reading.findings)
    {
        reading.object("", &root);
    }
    let Reading { found, findings, .. } = reading;
    if findings.error_count() == 0 { Ok(found) } else { Err(findings.finish()) }
}

struct Reading<'k> {
    known: &'k [&'k str],
    found: BTreeMap<String, String>,
    findings: Findings,
}

impl Reading<'_> {
    /// Reads the object below `path`. Recursion is as deep as a file may be.
    fn object(&mut self, path: &str, node: &Node) {
        let Value::Map(entries) = &node.value else {
            self.wrong(path, node.spot, &format!("must be an object, not {}", node.shape()));
            return;
        };
        for entry in entries {
            let path =
                if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            let below = format!("{path}.");
            if self.known.contains(&path.as_str()) {
                self.value(path, &entry.value);
            } else if self.known.iter().any(|known| known.starts_with(&below)) {
                self.object(&path, &entry.value);
            } else {
                self.unknown(&path, entry);
            }
        }
    }

    fn value(&mut self, path: String, node: &Node) {
        let text = match &node.value {
            Value::Null => return,
            Value::List(items) => {
                items.iter().map(Node::plain).collect::<Option<Vec<_>>>().map(|all| all.join(","))
            }
            _ => node.plain().map(str::to_owned),
        };
        match text {
            Some(text) => {
                self.found.insert(path, text);
            }
            None => self.wrong(&path, node.spot, &format!("cannot be {}", node.shape())),
        }
    }

    fn wrong(&mut self, path: &str, spot: Spot, problem: &str) {
        let what = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
        self.findings.error(ErrorCode::DefinitionValue, spot, format!("{what} {problem}"));
    }

    fn unknown(&mut self, path: &str, entry: &Entry) {
        let list = self.known.join("`, `");
        let help = match nearest(path, self.known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? Known settings are `{list}`"),
            None => format!("known settings are `{list}`"),
        };
        self.findings
            .error(
                ErrorCode::DefinitionUnknownKey,
                entry.key_spot,
                format!("Unknown setting `{path}`"),
            )
            .help(help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, String>, Vec<Diagnostic>> {
        plain_settings("x.yaml", text.as_bytes(), &["dags.dir", "env", "lease"])
    }

    #[test]
    fn settings_are_found_under_their_keys_as_they_are_written() {
        let found = read("dags: {dir: etl}\nenv: [A, B]\nlease: 1.10\n").unwrap();
        let shown: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(shown, [("dags.dir", "etl"), ("env", "A,B"), ("lease", "1.10")]);
        assert!(read("# dags: {dir: etl}\n").unwrap().is_empty());
    }

    #[test]
    fn an_unknown_setting_is_refused_with_its_place_and_the_nearest_one() {
        let found = read("dags:\n  dri: etl\n").unwrap_err();
        assert_eq!(found[0].message, "Unknown setting `dags.dri`");
        assert_eq!((found[0].place.line, found[0].place.column), (2, 3));
        assert!(found[0].help.as_ref().unwrap().starts_with("did you mean `dags.dir`?"));
    }

    #[test]
    fn a_list_of_objects_or_a_text_for_an_object_is_refused() {
        assert!(read("env: [{a: 1}]").is_err());
        assert!(read("dags: etl").is_err());
        assert!(read("[]").is_err());
    }
}
