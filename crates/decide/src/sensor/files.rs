//! Which files are new: those that were not there as they are now at the tick before.
//!
//! The cursor holds a short hash of each file that is there, so that a file counts as new whatever
//! its times say, and one that is gone is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::seen::FileFound;
use millstream_model::{ContentHash, FileQuestion, REQUESTS_MAX, Timestamp};
use serde_json::{Map, json};

use super::Found;

/// A file below a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileSeen {
    /// Its path below the folder, with `/` between parts.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed or moved here.
    pub changed_at: Timestamp,
}

/// The most files that one sensor watches.
pub const FILES_MAX: usize = 50_000;

/// Letters of one hash in the cursor.
const MARK: usize = 16;

/// Until when a file must have been left alone to be looked at.
///
/// A first tick that leaves out what is there looks at all of it: a file that settles a moment
/// later was there all the same.
pub fn settled_until(question: &FileQuestion, cursor: Option<&str>, now: Timestamp) -> Timestamp {
    if cursor.is_none() && !question.existing {
        return Timestamp::from_micros(i64::MAX);
    }
    let settle = i64::try_from(question.settle.0.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(settle))
}

/// What is new among `files`, which are all that are there; the cursor after it; and whether there
/// is more than one tick takes.
pub fn new_files(
    question: &FileQuestion,
    cursor: Option<&str>,
    files: &[FileSeen],
) -> (Vec<Found>, String, bool) {
    let begins = cursor.is_none();
    let seen: BTreeSet<&str> = marks(cursor.unwrap_or_default()).collect();
    let mut kept = String::with_capacity(files.len() * MARK);
    let mut found = Vec::new();
    let mut is_partial = false;
    for file in files {
        let mark = mark(file);
        if !seen.contains(mark.as_str()) && (!begins || question.existing) {
            if found.len() >= REQUESTS_MAX {
                is_partial = true;
                continue;
            }
            found.push(found_file(question, file));
        }
        kept.push_str(&mark);
    }
    (found, kept, is_partial)
}

fn marks(cursor: &str) -> impl Iterator<Item = &str> {
    (0..cursor.len() / MARK).filter_map(|at| cursor.get(at * MARK..(at + 1) * MARK))
}

fn mark(file: &FileSeen) -> String {
    let text = format!("{}\0{}\0{}", file.path, file.size, file.changed_at.as_micros());
    ContentHash::of(text.as_bytes()).as_str().chars().take(MARK).collect()
}

fn found_file(question: &FileQuestion, file: &FileSeen) -> Found {
    let name = file.path.rsplit_once('/').map_or(file.path.as_str(), |(_, name)| name);
    let path = format!("{}/{}", question.path.trim_end_matches('/'), file.path);
    let names = json!(FileFound {
        path: &path,
        name,
        size: file.size,
        changed_at: file.changed_at.to_string(),
    });
    Found {
        key: format!("{path} {} {}", file.changed_at, file.size),
        names: Map::from_iter([("file".to_owned(), names)]),
        partition: None,
        tags: BTreeMap::new(),
        of: None,
    }
}

/// Whether a path below the folder matches a pattern: `*` and `?` within a name, `**` across.
pub fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    parts_match(&pattern, &path)
}

/// Whether the parts match, by the table of what each beginning of the pattern has matched so far.
fn parts_match(pattern: &[&str], path: &[&str]) -> bool {
    let mut reached = vec![false; path.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        let mut open = false;
        for (at, is_reached) in reached.iter().enumerate() {
            open |= is_reached;
            if *part == "**" {
                if let Some(slot) = next.get_mut(at) {
                    *slot |= open;
                }
            } else if *is_reached
                && path.get(at).is_some_and(|name| name_matches(part, name))
                && let Some(slot) = next.get_mut(at + 1)
            {
                *slot = true;
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or_default()
}

/// Whether a name matches a pattern with `*` and `?`; it takes time in proportion to both.
fn name_matches(pattern: &str, name: &str) -> bool {
    let letters: Vec<char> = name.chars().collect();
    let mut reached = vec![false; letters.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for wanted in pattern.chars() {
        let mut next = vec![false; letters.len() + 1];
        let mut open = false;
        for (at, is_reached) in reached.iter().enumerate() {
            open |= is_reached;
            let takes_one =
                *is_reached && letters.get(at).is_some_and(|it| wanted == '?' || *it == wanted);
            if wanted == '*' {
                if let Some(slot) = next.get_mut(at) {
                    *slot |= open;
                }
            } else if takes_one && let Some(slot) = next.get_mut(at + 1) {
                *slot = true;
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use millstream_model::HumanDuration;

    use super::*;

    fn question(existing: bool) -> FileQuestion {
        FileQuestion {
            path: "in".to_owned(),
            pattern: None,
            settle: HumanDuration::default(),
            existing,
        }
    }

    fn file(path: &str, size: u64) -> FileSeen {
        FileSeen { path: path.to_owned(), size, changed_at: Timestamp::from_micros(5) }
    }

    fn keys(found: &[Found]) -> Vec<&str> {
        found.iter().map(|it| it.names["file"]["path"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_file_is_new_once_and_again_when_it_changes_or_comes_back() {
        let (found, cursor, _) = new_files(&question(true), None, &[file("a", 1), file("b", 1)]);
        assert_eq!(keys(&found), ["in/a", "in/b"]);
        let (found, cursor, _) =
            new_files(&question(true), Some(&cursor), &[file("a", 2), file("c", 1)]);
        assert_eq!(keys(&found), ["in/a", "in/c"]);
        let (found, _, _) =
            new_files(&question(true), Some(&cursor), &[file("b", 1), file("c", 1)]);
        assert_eq!(keys(&found), ["in/b"]);
    }

    #[test]
    fn what_is_there_at_the_first_tick_can_be_left_out() {
        let (found, cursor, _) = new_files(&question(false), None, &[file("a", 1)]);
        assert_eq!(found, []);
        let files = [file("a", 1), file("b", 1)];
        let (found, _, _) = new_files(&question(false), Some(&cursor), &files);
        assert_eq!(keys(&found), ["in/b"]);
    }

    #[test]
    fn a_first_tick_that_leaves_out_what_is_there_waits_for_no_file_to_settle() {
        let now = Timestamp::from_micros(10_000_000);
        let settle = HumanDuration(std::time::Duration::from_secs(8));
        let until = |existing, cursor| {
            let question = FileQuestion { settle, ..question(existing) };
            settled_until(&question, cursor, now).as_micros()
        };
        for (existing, cursor) in [(true, None), (true, Some("")), (false, Some(""))] {
            assert_eq!(until(existing, cursor), 2_000_000, "{existing} {cursor:?}");
        }
        assert!(until(false, None) > now.as_micros());
    }

    #[test]
    fn a_pattern_is_about_names_and_folders() {
        for (pattern, path, expected) in [
            ("**", "a/b/c.csv", true),
            ("*.csv", "a.csv", true),
            ("*.csv", "a/b.csv", false),
            ("**/*.csv", "a/b.csv", true),
            ("**/*.csv", "b.csv", true),
            ("2026-??/*", "2026-01/x", true),
            ("2026-??/*", "2026-1/x", false),
            ("a/**/z", "a/b/c/z", true),
            ("a/**/z", "b/z", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
