//! What messages and documents tell people to type is there to be typed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};

use super::{Access, Cli};

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

/// The words of each command that people type, with something for all that it asks for.
fn typed(command: &clap::Command, words: &[String], found: &mut Vec<Vec<String>>) {
    if command.has_subcommands() {
        for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            typed(below, &[words, &[below.get_name().to_owned()]].concat(), found);
        }
        return;
    }
    // It is a name, a path and a version.
    let mut words = words.to_vec();
    words.extend(command.get_positionals().map(|_| "v1".to_owned()));
    if command.get_name() == "cursor" {
        words.push("--clear".to_owned());
    }
    found.push(words);
}

#[test]
fn the_reference_lists_the_commands_that_look_and_those_that_need_no_files() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let text = std::fs::read_to_string(reference.join("command-line.md")).unwrap();
    let (_, lists) = text.split_once("\n## Which commands load the files\n\n").unwrap();
    let mut lists = lists.split("\n\n");
    let is_verb = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.ends_with(char::is_numeric)
    };
    let name = |words: &[&str]| {
        let verbs = words.iter().copied().filter(is_verb);
        verbs.collect::<Vec<_>>().join(" ")
    };
    let mut listed = || -> BTreeSet<String> {
        lists.next().unwrap().split('`').skip(1).step_by(2).map(|it| name(&words(it))).collect()
    };
    let (looking, acting) = (listed(), listed());
    let mut found = Vec::new();
    typed(&Cli::command(), &[], &mut found);
    assert!(found.len() > 50, "{found:?}");
    let with = |wanted: &[Access]| -> BTreeSet<String> {
        let access = |words: &&Vec<String>| {
            let cli = Cli::try_parse_from([&["millstream".to_owned()], words.as_slice()].concat());
            wanted.contains(&cli.unwrap().command.access())
        };
        let of = |words: &Vec<String>| name(&words.iter().map(String::as_str).collect::<Vec<_>>());
        found.iter().filter(access).map(of).collect()
    };
    assert_eq!(looking, with(&[Access::Reads, Access::Compares]));
    assert_eq!(acting, with(&[Access::Acts]));
}
