//! Things that reviewers would otherwise have to look for: suppressed lints, bare notes, waits in
//! tests, printing, clocks and dice in logic, and channels without a bound.

use super::Finding;
use super::tree::File;

/// Where clocks and chance may be asked, and why.
const SEAMS: &[(&str, &str)] = &[
    ("/clock.rs", "the machine's clock behind the seam"),
    ("/seam.rs", "the seam itself"),
    ("/seams.rs", "the seam itself"),
    ("/entropy.rs", "the machine's chance behind the seam"),
    ("/bench/", "measures"),
    ("/bench.rs", "measures"),
    ("crates/xtask/", "measures its stages"),
    ("crates/worker/src/supervisor/serve.rs", "a child process that watches real processes"),
    ("crates/io/src/sql/", "a child process that measures a user's statement"),
    ("crates/store/src/sqlite/writer.rs", "what a commit takes says which thread makes the next"),
];
/// Where printing is the purpose.
const PRINTERS: &[&str] = &["crates/app/", "crates/xtask/", "/bench/"];

/// Finds each of `needles` as a whole word in `lines`.
fn search<'a>(
    file: &File,
    lines: impl Iterator<Item = (usize, &'a str)>,
    needles: &[&str],
    fix: &str,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, text) in lines {
        if let Some(needle) = needles.iter().find(|needle| has_word(text, needle)) {
            let wrong = format!("`{}`", needle.trim_end_matches('('));
            found.push(Finding::new(&file.path, line, wrong, fix));
        }
    }
    found
}

/// Whether `needle` stands in `text` and does not continue a longer name, nor a method call.
fn has_word(text: &str, needle: &str) -> bool {
    text.match_indices(needle).any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.')
    })
}

fn is_in(file: &File, places: &[&str]) -> bool {
    places.iter().any(|place| file.path.contains(place))
}

/// A lint is obeyed, or expected to fail for a reason that stands beside it.
pub(super) fn suppressed_lints(file: &File) -> Vec<Finding> {
    let Some(source) = &file.source else { return Vec::new() };
    let fix = "mend it, or write #[expect(…, reason = \"…\")]";
    let mut found = search(file, source.lines(), &["#[allow(", "#![allow("], fix);
    for (at, _) in source.code.match_indices("[expect(") {
        let (before, after) = source.code.split_at_checked(at).unwrap_or_default();
        let attribute = after.split(']').next().unwrap_or_default();
        if !attribute.contains("reason") {
            let line = before.matches('\n').count() + 1;
            found.push(Finding::new(&file.path, line, "`#[expect]` without a reason", fix));
        }
    }
    found
}

/// A note without an owner is never read again.
pub(super) fn bare_todo(file: &File) -> Vec<Finding> {
    let comments = file.source.iter().flat_map(|source| &source.comments);
    let is_bare = |text: &str| {
        let marks = ["TODO", "FIXME", "XXX"];
        marks.iter().any(|mark| {
            text.match_indices(mark).any(|(at, _)| {
                let after = text.get(at + mark.len()..).unwrap_or_default();
                !after.starts_with("(#") && !after.starts_with(char::is_alphanumeric)
            })
        })
    };
    comments
        .filter(|(_, text)| is_bare(text))
        .map(|(line, _)| {
            let fix = "do it now, or write TODO(#123) with the number of its issue";
            Finding::new(&file.path, *line, "a note without an issue", fix)
        })
        .collect()
}

/// A test waits for an event, and every test runs.
pub(super) fn tests_that_wait(file: &File) -> Vec<Finding> {
    let sleeps = ["sleep(", "thread::sleep(", "time::sleep(", "tokio::time::sleep("];
    let fix = "wait for what should happen, or move the fake clock";
    // A fake clock has the function; having it is not calling it.
    let lines = file.test_lines().filter(|(_, text)| !text.contains("fn sleep("));
    let mut found = search(file, lines, &sleeps, fix);
    let fix = "mend the test or remove it";
    found.extend(search(file, file.test_lines(), &["#[ignore"], fix));
    found
}

/// Only commands talk to a terminal; the rest reports by values and `tracing`.
pub(super) fn printing(file: &File) -> Vec<Finding> {
    if is_in(file, PRINTERS) {
        return Vec::new();
    }
    let prints = ["println!", "eprintln!", "print!", "eprint!"];
    search(file, file.code_lines(), &prints, "return it, or use tracing")
}

/// Time and chance are arguments, so that a simulation repeats.
pub(super) fn clocks_and_dice(file: &File) -> Vec<Finding> {
    if SEAMS.iter().any(|(place, _)| file.path.contains(place)) {
        return Vec::new();
    }
    let clocks = ["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now"];
    let fix = "take the time as an argument, or ask the clock that is passed in";
    let mut found = search(file, file.code_lines(), &clocks, fix);
    let dice = ["rand::rng", "rand::random", "thread_rng", "Uuid::now_v7", "Uuid::new_v4"];
    let fix = "take the chance as an argument, or ask the entropy that is passed in";
    found.extend(search(file, file.code_lines(), &dice, fix));
    found
}

/// A channel without a bound is memory without a bound.
pub(super) fn unbounded_channels(file: &File) -> Vec<Finding> {
    let channels = ["unbounded_channel(", "mpsc::unbounded(", "unbounded("];
    search(file, file.code_lines(), &channels, "give the channel a capacity")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rule: fn(&File) -> Vec<Finding>, text: &str) -> usize {
        rule(&File::new("crates/a/src/b.rs", text)).len()
    }

    #[test]
    fn a_lint_is_expected_with_a_reason_or_obeyed() {
        assert_eq!(count(suppressed_lints, "#[allow(dead_code)]\nfn a() {}"), 1);
        assert_eq!(count(suppressed_lints, "#[expect(dead_code)]\nfn a() {}"), 1);
        let good = "#[expect(\n    dead_code,\n    reason = \"it is for later readers\"\n)]";
        assert_eq!(count(suppressed_lints, good), 0);
        assert_eq!(count(suppressed_lints, "// #[allow(x)]"), 0);
    }

    #[test]
    fn a_note_names_its_issue() {
        assert_eq!(count(bare_todo, "// TODO: later"), 1);
        assert_eq!(count(bare_todo, "// TODO(#12): after the release\nlet TODO = 1;"), 0);
    }

    #[test]
    fn a_test_neither_sleeps_nor_is_ignored() {
        let test = |body: &str| format!("#[cfg(test)]\nmod tests {{\n{body}\n}}");
        assert_eq!(count(tests_that_wait, &test("std::thread::sleep(second);")), 1);
        assert_eq!(count(tests_that_wait, &test("thread::sleep(second);")), 1);
        assert_eq!(count(tests_that_wait, &test("#[ignore]")), 1);
        assert_eq!(count(tests_that_wait, &test("clock.sleep(second); run(\"sleep(1)\");")), 0);
        assert_eq!(count(tests_that_wait, "thread::sleep(second);"), 0);
    }

    #[test]
    fn printing_is_for_commands() {
        assert_eq!(count(printing, "println!();"), 1);
        assert_eq!(printing(&File::new("crates/app/src/a.rs", "println!();")), []);
    }

    #[test]
    fn time_and_chance_come_from_their_seams() {
        assert_eq!(count(clocks_and_dice, "let a = Instant::now();"), 1);
        assert_eq!(count(clocks_and_dice, "let a = jiff::Timestamp::now();"), 1);
        assert_eq!(count(clocks_and_dice, "let id = uuid::Uuid::now_v7();"), 1);
        let clock = File::new("crates/app/src/clock.rs", "let a = Instant::now();");
        assert_eq!(clocks_and_dice(&clock), []);
    }

    #[test]
    fn a_channel_has_a_capacity() {
        assert_eq!(count(unbounded_channels, "let (a, b) = mpsc::unbounded_channel();"), 1);
        assert_eq!(count(unbounded_channels, "let (a, b) = mpsc::channel(8);"), 0);
    }
}
