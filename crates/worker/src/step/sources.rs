//! The command of a step with its sources as of the step's version: each word that names one of
//! them names the copy instead.
//!
//! The folder that the program works in stays the project's, so that what it reads and writes by
//! paths of its own is where it always was.

use std::path::Path;

use millstream_model::{CommandLine, CommandStep, SourceSet, below_project, named, shell_commands};

/// A program with its arguments.
type Command = (String, Vec<String>);

/// The program and arguments of `step`, which works in `cwd`, with the files of a copy in place of
/// the project's: those that the step runs, and those that it names as its sources. Any other word
/// may be a file that it writes.
pub(super) fn of_version(
    (program, args): Command,
    (step, cwd): (&CommandStep, Option<&str>),
    code: (&Path, &SourceSet),
) -> Command {
    let (root, set) = code;
    let is_shell = matches!(step.command, CommandLine::Shell(_));
    let line = match (is_shell, args.as_slice()) {
        (true, [.., line]) => CommandLine::Shell(line.clone()),
        _ => CommandLine::Argv([vec![program.clone()], args.clone()].concat()),
    };
    let is_copied = |path: &str| set.files.contains_key(path);
    let runs = named(&line, cwd, &mut |path| is_copied(path));
    let sources = step.sources.named.iter().filter_map(|path| below_project(cwd, path));
    let sources: Vec<_> = sources.collect();
    let is_ours =
        |path: &String| runs.contains(path) || sources.iter().any(|source| is_within(path, source));
    let copy = |word: &str| {
        let path = below_project(cwd, word).filter(|path| is_copied(path) && is_ours(path))?;
        Some(root.join(path).to_string_lossy().into_owned())
    };
    if let (CommandLine::Shell(line), [flags @ .., _]) = (&line, args.as_slice()) {
        return (program, [flags, &[in_shell(line, copy)]].concat());
    }
    let args = args.iter().map(|word| copy(word).unwrap_or_else(|| word.clone())).collect();
    // A plain name is looked for on `PATH`, whatever the project has.
    let is_path = program.contains('/');
    (copy(&program).filter(|_| is_path).unwrap_or(program), args)
}

/// Whether `path` is `source` or, where that is a folder, below it.
fn is_within(path: &str, source: &str) -> bool {
    path.strip_prefix(source).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The project's file that `program` is a copy of, in a folder of `copies`.
pub(super) fn original<'p>(program: &'p str, copies: &Path) -> Option<&'p str> {
    let below = program.strip_prefix(copies.to_str()?)?.strip_prefix('/')?;
    below.split_once('/').map(|(_, file)| file)
}

fn in_shell(line: &str, copy: impl Fn(&str) -> Option<String>) -> String {
    let mut changed = String::with_capacity(line.len());
    let mut done = 0;
    for range in shell_commands(line).into_iter().flatten() {
        let Some(copy) = line.get(range.clone()).and_then(&copy) else { continue };
        changed.push_str(line.get(done..range.start).unwrap_or_default());
        changed.push('\'');
        changed.push_str(&copy.replace('\'', "'\\''"));
        changed.push('\'');
        done = range.end;
    }
    changed.push_str(line.get(done..).unwrap_or_default());
    changed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_model::{ContentHash, PipesConfig, SourceFile, StepSources};

    use super::*;

    #[test]
    fn a_copy_is_told_by_the_file_that_it_is_one_of() {
        let original = |program| original(program, Path::new("/p/.millstream/code"));
        assert_eq!(original("/p/.millstream/code/4a09/etl/load.sh"), Some("etl/load.sh"));
        assert_eq!(original("/p/etl/load.sh"), None);
    }

    fn set() -> SourceSet {
        let file = SourceFile { content: ContentHash::of(b""), executable: true };
        let files = ["work.sh", "etl/load.py", "sql/a.sql", "sql/b.sql"];
        let files = files.map(|path| (path.to_owned(), file.clone()));
        SourceSet { files: files.into(), python: false }
    }

    fn argv(words: &[&str], cwd: Option<&str>, sources: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        run(CommandLine::Argv(words.clone()), &words, cwd, sources)
    }

    fn run(
        command: CommandLine,
        words: &[String],
        cwd: Option<&str>,
        sources: &[&str],
    ) -> Vec<String> {
        let named = sources.iter().map(|path| (*path).to_owned()).collect();
        let step = CommandStep {
            command,
            env: BTreeMap::new(),
            cwd: cwd.map(str::to_owned),
            pipes: PipesConfig::default(),
            sources: StepSources { named, code: None },
        };
        let (program, args) = words.split_first().unwrap();
        let command = (program.clone(), args.to_vec());
        let (program, args) = of_version(command, (&step, cwd), (Path::new("/c d"), &set()));
        [vec![program], args].concat()
    }

    #[test]
    fn what_a_command_runs_is_the_copy_and_what_it_may_write_is_not() {
        let words = ["python3", "load.py", "../work.sh"];
        assert_eq!(argv(&words, Some("etl"), &[]), ["python3", "/c d/etl/load.py", "../work.sh"]);
        let copied = ["python3", "/c d/etl/load.py", "/c d/work.sh"];
        assert_eq!(argv(&words, Some("etl"), &["../work.sh"]), copied);
    }

    #[test]
    fn every_file_of_a_folder_among_the_sources_is_the_copy() {
        let words = ["psql", "-f", "sql/a.sql", "-f", "./sql/b.sql", "sql/new.sql"];
        let copied = ["psql", "-f", "/c d/sql/a.sql", "-f", "/c d/sql/b.sql", "sql/new.sql"];
        assert_eq!(argv(&words, None, &["sql"]), copied);
        let of_the_command = ["psql", "-f", "/c d/sql/a.sql", "-f", "./sql/b.sql", "sql/new.sql"];
        assert_eq!(argv(&words, None, &["sql/b"]), of_the_command);
    }

    #[test]
    fn a_program_that_is_no_path_is_looked_for_where_programs_are() {
        assert_eq!(argv(&["work.sh", "--all"], None, &["work.sh"]), ["work.sh", "--all"]);
    }

    #[test]
    fn in_a_line_for_the_shell_the_copy_is_one_word() {
        let line = "./work.sh a && sh < etl/load.py > work.sh; echo 'work.sh'".to_owned();
        let words = vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()];
        let wanted = "'/c d/work.sh' a && sh < '/c d/etl/load.py' > work.sh; echo 'work.sh'";
        assert_eq!(run(CommandLine::Shell(line), &words, None, &[]), ["/bin/sh", "-c", wanted]);
    }
}
