//! What messages and documents tell people to type is there to be typed.

use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::Cli;

/// The texts below `folder` that people read, in files and in the sources' messages.
fn texts(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in folder.read_dir().unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let extension = path.extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        if entry.file_type().unwrap().is_dir() {
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with('.') && name != "target" && name != "tests" {
                texts(&path, found);
            }
        } else if ["md", "rs", "html"].contains(&extension) && !path.ends_with("cli/tests.rs") {
            found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The commands in `text`, without the program's name: between backticks, and on own lines.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let quoted = text.split("`millstream").skip(1).filter(|rest| rest.starts_with([' ', '\n']));
    let quoted = quoted.filter_map(|rest| rest.split('`').next());
    let lines = text.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line));
    let lines = lines.filter_map(|line| line.strip_prefix("millstream "));
    quoted.chain(lines).map(words).collect()
}

/// The words of `text`, without the signs of a comment or a string that goes on.
fn words(text: &str) -> Vec<&str> {
    let signs = ["///", "//!", "//", "\\"];
    text.split_whitespace().filter(|word| !signs.contains(word)).collect()
}

/// The word of a command that no command has, if there is one.
fn unknown<'w>(words: &[&'w str]) -> Option<&'w str> {
    let mut command = &Cli::command();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word.starts_with("--") {
            if ["--dir", "--url", "--tenant"].contains(word) {
                words.next();
            }
            continue;
        }
        // What follows is the command's own, or stands for something that is typed in its place.
        if !command.has_subcommands() || !word.starts_with(|c: char| c.is_lowercase() || c == '_') {
            return None;
        }
        let Some(below) = command.find_subcommand(word) else { return Some(*word) };
        command = below;
    }
    None
}

#[test]
fn each_command_that_a_message_or_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    texts(&root, &mut found);
    let mut count = 0;
    for (path, text) in &found {
        for command in commands(text) {
            let word = unknown(&command);
            assert_eq!(word, None, "{}: millstream {}", path.display(), command.join(" "));
            count += 1;
        }
    }
    assert!(count > 100, "only {count} commands were found; are they looked for?");
    assert_eq!(unknown(&["partition", "remove"]), Some("remove"));
    assert_eq!(unknown(&["--tenant", "jfk", "doctor"]), Some("doctor"));
}
