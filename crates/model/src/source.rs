//! The sources of a step: the files of the project that its program or function consists of.
//!
//! The loader finds them and writes the hash of their [`SourceSet`] into the step, so that a
//! changed source makes another version; the worker runs the step with that set. Both ask [`named`]
//! which words of a command are meant.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{CommandLine, ContentHash};

/// What a step says of its sources, and what the loader found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepSources {
    /// Files and folders that the author names beside what the step runs; paths as in `cwd`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<String>,
    /// The hash of the set, once the loader has looked; `None` when there is nothing to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ContentHash>,
}

impl StepSources {
    /// Whether there is nothing to say.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Files as of one version, by their paths below the project's folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceSet {
    /// The files.
    pub files: BTreeMap<String, SourceFile>,
    /// Whether all Python files of the project are among them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub python: bool,
}

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// The hash of its content.
    pub content: ContentHash,
    /// Whether it may be started as a program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

impl SourceSet {
    /// The set as it is stored; the hash of this text is the set's own.
    pub fn json(&self) -> Vec<u8> {
        // Maps with text keys always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The set's hash.
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(&self.json())
    }
}

/// Whether a path is that of a file in Python.
pub fn is_python(path: &str) -> bool {
    has_extension(path, &["py"])
}

/// The endings of files that an interpreter is given.
const SCRIPTS: &[&str] = &[
    "py", "sh", "bash", "zsh", "sql", "js", "mjs", "cjs", "ts", "rb", "pl", "php", "r", "R", "jl",
    "lua", "awk", "jq", "jar",
];

fn has_extension(path: &str, known: &[&str]) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.rsplit_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && known.contains(&ending))
}

/// `path`, which is written below the folder `cwd` of the project, as a path below the project;
/// `None` where it is absolute, leads out of the project, is hidden or is a template.
pub fn below_project(cwd: Option<&str>, path: &str) -> Option<String> {
    let cwd = cwd.unwrap_or_default();
    if path.is_empty() || path.starts_with('/') || cwd.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in cwd.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            hidden if hidden.starts_with('.') => return None,
            part if part.contains("{{") || part.contains("{%") => return None,
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Why `path`, as it is written below `cwd`, can be no source: what to say after it where
/// [`below_project`] finds none.
pub fn why_no_source(cwd: Option<&str>, path: &str) -> &'static str {
    let has = |mark: &str| path.contains(mark) || cwd.is_some_and(|cwd| cwd.contains(mark));
    let is_whole = path.starts_with('/') || cwd.is_some_and(|cwd| cwd.starts_with('/'));
    let parts = || cwd.unwrap_or_default().split('/').chain(path.split('/'));
    let is_hidden = |part: &str| part.starts_with('.') && !matches!(part, "." | "..");
    if has("{{") || has("{%") {
        "has a template in it, and that has no value before the step starts"
    } else if is_whole {
        "is a whole path, and that is read as it is when the step starts"
    } else if parts().any(is_hidden) {
        "is hidden, and that is read as it is when the step starts"
    } else {
        "is not below the project's folder"
    }
}

/// The sources that a command names: of each program that it starts, the program itself where that
/// is a file of the project, or else the first script among its arguments.
///
/// `is_file` says whether a path below the project's folder is a file.
pub fn named(
    command: &CommandLine,
    cwd: Option<&str>,
    is_file: &mut dyn FnMut(&str) -> bool,
) -> Vec<String> {
    match command {
        CommandLine::Argv(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            source_of(&words, cwd, is_file).into_iter().collect()
        }
        CommandLine::Shell(line) => {
            let text = |range: &Range<usize>| line.get(range.clone()).unwrap_or_default();
            let commands = shell_commands(line);
            let words = commands.iter().map(|words| words.iter().map(text).collect::<Vec<_>>());
            words.filter_map(|words| source_of(&words, cwd, is_file)).collect()
        }
    }
}

fn source_of(
    words: &[&str],
    cwd: Option<&str>,
    is_file: &mut dyn FnMut(&str) -> bool,
) -> Option<String> {
    let mut file = |word: &str| below_project(cwd, word).filter(|path| is_file(path));
    let (program, arguments) = words.split_first()?;
    if program.contains('/')
        && let Some(path) = file(program)
    {
        return Some(path);
    }
    let mut before = "";
    arguments.iter().find_map(|word| {
        // What follows `-o`, `--output` or `--outfile` is written.
        let is_written = before == "-o" || before.starts_with("--out");
        before = word;
        if is_written || !has_extension(word, SCRIPTS) { None } else { file(word) }
    })
}

/// The file of the project that a command begins with, by its path there, where it is none: the
/// program that is started, or the script that a known interpreter is given.
///
/// Of a line for the shell only the first command is looked at: it may make what others run.
pub fn missing_source(
    command: &CommandLine,
    cwd: Option<&str>,
    is_file: &mut dyn FnMut(&str) -> bool,
) -> Option<String> {
    let words: Vec<&str> = match command {
        CommandLine::Argv(words) => words.iter().map(String::as_str).collect(),
        CommandLine::Shell(line) => {
            let first = shell_commands(line).into_iter().next()?;
            first.into_iter().filter_map(|range| line.get(range)).collect()
        }
    };
    let (program, arguments) = words.split_first()?;
    let name = program.rsplit_once('/').map_or(*program, |(_, name)| name);
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let meant = if program.contains('/') && !program.starts_with('/') {
        program
    } else if INTERPRETERS.contains(&stem) {
        arguments.iter().find(|word| !word.starts_with('-'))?
    } else {
        return None;
    };
    let is_script = meant == program || has_extension(meant, SCRIPTS);
    below_project(cwd, meant).filter(|path| is_script && !is_file(path))
}

/// The programs whose first argument is a script.
const INTERPRETERS: &[&str] = &[
    "sh", "bash", "zsh", "dash", "ksh", "python", "node", "ruby", "perl", "php", "Rscript", "lua",
];

/// The plain words of a line for the shell, by the commands that they belong to.
///
/// A word with anything in it that the shell reads (quotes, variables, patterns) is left out, and
/// so is what follows `>`. After a `cd` paths begin elsewhere: nothing more is taken.
pub fn shell_commands(line: &str) -> Vec<Vec<Range<usize>>> {
    let mut commands: Vec<Vec<Range<usize>>> = vec![Vec::new()];
    let mut skips_next = false;
    for (range, kind) in tokens(line) {
        match kind {
            Token::Ends => {
                commands.push(Vec::new());
                skips_next = false;
            }
            Token::Writes => skips_next = true,
            Token::Other => skips_next = false,
            Token::Word if std::mem::take(&mut skips_next) => {}
            Token::Word => {
                let is_first = commands.last().is_some_and(Vec::is_empty);
                if is_first && matches!(line.get(range.clone()), Some("cd" | "pushd")) {
                    break;
                }
                if let Some(words) = commands.last_mut() {
                    words.push(range);
                }
            }
        }
    }
    commands.retain(|words| !words.is_empty());
    commands
}

enum Token {
    /// A word without anything special in it.
    Word,
    /// A word that only the shell can read.
    Other,
    /// What follows is a file to write.
    Writes,
    /// The command is over.
    Ends,
}

fn tokens(line: &str) -> Vec<(Range<usize>, Token)> {
    let mut found = Vec::new();
    let mut word: Option<(usize, bool)> = None;
    let mut quote: Option<char> = None;
    let mut is_escaped = false;
    for (at, letter) in line.char_indices() {
        if is_escaped || quote.is_some() {
            let escapes = !is_escaped && letter == '\\' && quote != Some('\'');
            let was_escaped = std::mem::replace(&mut is_escaped, escapes);
            if !was_escaped && quote == Some(letter) {
                quote = None;
            }
            continue;
        }
        let is_break = letter.is_whitespace() || ";|&()<>\n".contains(letter);
        if !is_break {
            let is_plain = letter.is_alphanumeric() || "_-./+@%,:".contains(letter);
            let (start, was_plain) = word.unwrap_or((at, true));
            word = Some((start, was_plain && is_plain));
            is_escaped = letter == '\\';
            quote = Some(letter).filter(|letter| "'\"`".contains(*letter));
            continue;
        }
        found.extend(word.take().map(|(start, is_plain)| ended(start..at, is_plain)));
        match letter {
            '>' => found.push((at..at, Token::Writes)),
            ';' | '|' | '&' | '(' | ')' | '\n' => found.push((at..at, Token::Ends)),
            _ => {}
        }
    }
    found.extend(word.map(|(start, is_plain)| ended(start..line.len(), is_plain)));
    found
}

fn ended(range: Range<usize>, is_plain: bool) -> (Range<usize>, Token) {
    (range, if is_plain { Token::Word } else { Token::Other })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(command: &CommandLine) -> Vec<String> {
        let files = ["work.sh", "etl/load.py", "q.sql", "out.sql", "bin/tool"];
        named(command, None, &mut |path| files.contains(&path))
    }

    #[test]
    fn a_command_names_its_program_or_the_script_that_an_interpreter_is_given() {
        let table: &[(&[&str], &[&str])] = &[
            (&["./work.sh", "1"], &["work.sh"]),
            (&["bin/tool", "q.sql"], &["bin/tool"]),
            (&["python3", "-u", "etl/load.py", "q.sql"], &["etl/load.py"]),
            (&["psql", "-o", "out.sql", "-f", "q.sql"], &["q.sql"]),
            (&["node", "--openssl-legacy-provider", "etl/load.py"], &["etl/load.py"]),
            (&["tool", "--output", "out.sql", "--outfile", "out.sql", "q.sql"], &["q.sql"]),
            (&["echo", "work"], &[]),
            (&["/bin/sh", "../work.sh"], &[]),
            (&["./missing.sh"], &[]),
            (&["./{{ name }}.sh"], &[]),
        ];
        for (words, wanted) in table {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(found(&CommandLine::Argv(words)), *wanted, "{wanted:?}");
        }
    }

    #[test]
    fn a_file_that_a_command_begins_with_is_missed_and_nothing_that_only_might_be_one() {
        let files = ["work.sh", "etl/load.py"];
        let argv = |line: &str| CommandLine::Argv(line.split(' ').map(str::to_owned).collect());
        let shell = |line: &str| CommandLine::Shell(line.to_owned());
        for (command, wanted) in [
            (argv("./gone.sh 1"), Some("gone.sh")),
            (argv("python3 -u etl/gone.py"), Some("etl/gone.py")),
            (argv("sh gone.sh work.sh"), Some("gone.sh")),
            (shell("bash gone.sh && ./made.sh"), Some("gone.sh")),
            (shell("make && ./made.sh"), None),
            (argv("./work.sh gone.sh"), None),
            (argv("python3 etl/load.py gone.py"), None),
            (argv("python3 -m etl"), None),
            (argv("sh -c exit"), None),
            (argv("psql -f gone.sql"), None),
            (argv("/bin/gone.sh"), None),
            (argv(".venv/bin/python x"), None),
            (argv("./{{ name }}.sh"), None),
        ] {
            let found = missing_source(&command, None, &mut |path| files.contains(&path));
            assert_eq!(found.as_deref(), wanted, "{command:?}");
        }
    }

    #[test]
    fn a_line_for_the_shell_is_read_command_by_command() {
        let table: &[(&str, &[&str])] = &[
            ("./work.sh a && python3 etl/load.py", &["work.sh", "etl/load.py"]),
            ("psql < q.sql > out.sql", &["q.sql"]),
            ("LEVEL=3 ./work.sh; echo './work.sh'", &["work.sh"]),
            ("cat x | sh work.sh", &["work.sh"]),
            ("cd bin && ./work.sh", &[]),
            ("echo \"a ; ./work.sh\"", &[]),
            (r#"echo "say \"hi\"" && ./work.sh"#, &["work.sh"]),
            (r#"echo "ends with \\" && ./work.sh"#, &["work.sh"]),
            (r"echo 'a \' && ./work.sh", &["work.sh"]),
            ("echo $(./work.sh)", &["work.sh"]),
        ];
        for (line, wanted) in table {
            assert_eq!(found(&CommandLine::Shell((*line).to_owned())), *wanted, "{line}");
        }
    }

    #[test]
    fn a_path_is_read_from_the_step_s_folder_and_stays_in_the_project() {
        let table = [
            (None, "./a/../work.sh", Some("work.sh")),
            (Some("etl"), "load.py", Some("etl/load.py")),
            (Some("etl"), "../work.sh", Some("work.sh")),
            (None, "../work.sh", None),
            (None, "/work.sh", None),
            (Some("/tmp"), "work.sh", None),
            (None, ".venv/bin/python", None),
            (Some("{{ tenant }}"), "work.sh", None),
        ];
        for (cwd, path, wanted) in table {
            assert_eq!(below_project(cwd, path).as_deref(), wanted, "{cwd:?} {path}");
        }
    }
    #[test]
    fn what_can_be_no_source_is_told_from_what_is_elsewhere() {
        let table = [
            (None, ".env", "is hidden"),
            (Some("a"), "../.config/x", "is hidden"),
            (None, "/etc/hosts", "is a whole path"),
            (Some("/srv"), "x.sql", "is a whole path"),
            (None, "{{ tenant }}.sql", "has a template in it"),
            (Some("a"), "../../x", "is not below the project's folder"),
        ];
        for (cwd, path, why) in table {
            assert_eq!(below_project(cwd, path), None, "{path}");
            assert!(why_no_source(cwd, path).starts_with(why), "{path}");
        }
    }
}
