//! What the program of a step needs and the project does not have: its file, its function, its
//! folder.
//!
//! Used by [`Sources::fill`](super::Sources::fill), which warns of it. Nothing is run or imported:
//! of a function only the file's text is asked, and where that leaves a doubt it counts as there.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use millstream_model::{Program, below_project, is_python, missing_source, nearest};

use super::Sources;

/// The way out for a step whose own file is not there; the project's folder follows.
const FILE_HELP: &str = "its steps fail until the file is there; a path begins at the step's \
                         `cwd`, or else at the project's folder";

/// The way out for a step whose folder is not there; the project's folder follows.
const FOLDER_HELP: &str = "its steps fail until the folder is there; the path begins at the \
                           project's folder";

/// The way out for a step whose function is not in its file.
const FUNCTION_HELP: &str = "its steps fail until the file has it; the file was only read, and \
                             nothing in it was run";

/// The largest file in Python that is looked into.
const TEXT_MAX: u64 = 1 << 20;

/// What can give a module names that its text does not show.
const MAKES_NAMES: &[&str] =
    &["import *", "globals(", "locals(", "vars(", "exec(", "setattr(", "__getattr__"];

/// Something that is not there, and the way out.
#[derive(Debug)]
pub(super) struct Lack {
    pub(super) message: String,
    pub(super) help: String,
}

/// The names of the files in Python that were looked into, by their paths in the project.
pub(super) type Known = HashMap<String, Option<Names>>;

impl Sources {
    /// What `program` needs and the project does not have.
    pub(super) fn lacking(&mut self, program: &Program<'_>, known: &mut Known) -> Option<Lack> {
        let (file, cwd) = match program {
            Program::Command(step) => {
                let mut is_file = |path: &str| self.stamp(path).is_some();
                let cwd = step.cwd.as_deref();
                (missing_source(&step.command, cwd, &mut is_file), cwd)
            }
            Program::Python(step) => {
                let (place, function) = step.function.rsplit_once(':')?;
                if is_python(place) {
                    let file = below_project(None, place)?;
                    if self.stamp(&file).is_none() {
                        return Some(self.no_file(&file));
                    }
                }
                return self.no_function(place, function, known);
            }
        };
        if let Some(cwd) = cwd.filter(|cwd| self.lacks_folder(cwd)) {
            let message = format!("there is no folder `{cwd}`, which is its `cwd`");
            let help = format!("{FOLDER_HELP} {}", self.project.display());
            return Some(Lack { message, help });
        }
        file.map(|file| self.no_file(&file))
    }

    /// Whether the folder that a step runs in is known and not there.
    pub(super) fn lacks_folder(&mut self, cwd: &str) -> bool {
        if cwd.contains("{{") || cwd.contains("{%") {
            return false;
        }
        if let Some(path) = below_project(None, cwd) {
            // Asked as a file, so that its coming is noticed.
            self.stamp(&path);
        }
        !self.project.join(cwd).is_dir()
    }

    fn no_file(&self, file: &str) -> Lack {
        let message = format!("the project has no file `{file}`");
        Lack { message, help: format!("{FILE_HELP} {}", self.project.display()) }
    }

    /// That the file of a function does not have it, where its text leaves no doubt.
    fn no_function(&mut self, place: &str, function: &str, known: &mut Known) -> Option<Lack> {
        let name = function.split('.').next().filter(|name| !name.contains("{{"))?;
        let file = self.module(place)?;
        let path = self.project.join(&file);
        let names = known.entry(file.clone()).or_insert_with(|| Names::of_file(&path)).as_ref()?;
        if names.may_have(name) {
            return None;
        }
        let near = nearest(name, names.functions.iter().map(String::as_str));
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let message = format!("`{file}` has no function `{name}`");
        Some(Lack { message, help: format!("{near}{FUNCTION_HELP}") })
    }

    /// The file of the project that a place is, which names it or its module.
    fn module(&mut self, place: &str) -> Option<String> {
        if is_python(place) {
            return below_project(None, place).filter(|file| self.stamp(file).is_some());
        }
        let stem = below_project(None, &place.replace('.', "/"))?;
        let files = [format!("{stem}.py"), format!("{stem}/__init__.py")];
        files.into_iter().find(|file| self.stamp(file).is_some())
    }
}

/// The names that a module in Python may have, as far as its text tells.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Whether it may have any name.
    is_open: bool,
    words: BTreeSet<String>,
    functions: BTreeSet<String>,
}

impl Names {
    fn of_file(path: &Path) -> Option<Self> {
        let is_small = path.metadata().is_ok_and(|it| it.len() <= TEXT_MAX);
        let text = is_small.then(|| std::fs::read_to_string(path).ok()).flatten()?;
        Some(Self::of(&text))
    }

    /// The names in `text`: each word in it that is not only called, and no field of something.
    fn of(text: &str) -> Self {
        let is_open = MAKES_NAMES.iter().any(|words| text.contains(words));
        let mut names = Self { is_open, ..Self::default() };
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            names.add(line);
        }
        names
    }

    fn add(&mut self, line: &str) {
        let mut rest = line;
        let mut before = "";
        let is_word = |letter: char| letter == '_' || letter.is_alphanumeric();
        while let Some(start) = rest.find(is_word) {
            let (gap, from) = rest.split_at(start);
            let end = from.find(|letter| !is_word(letter)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            let is_field = gap.trim_end().ends_with('.');
            let is_defined = matches!(before, "def" | "class");
            if is_defined || !(is_field || after.trim_start().starts_with('(')) {
                self.words.insert(word.to_owned());
            }
            if is_defined {
                self.functions.insert(word.to_owned());
            }
            (before, rest) = (word, after);
        }
    }

    fn may_have(&self, name: &str) -> bool {
        self.is_open || self.words.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_missing_only_where_the_text_leaves_no_doubt() {
        let text = "from steps import (\n    load,\n    tidy as clean,\n)\nimport lib\n\
                    # def old(): ...\nasync def fetch(): ...\nclass Store:\n    pass\n\
                    if True:\n    def extract(context):\n        lib.transform()\n\
                    \nship = print\nwork()\n";
        let names = Names::of(text);
        for name in ["load", "clean", "fetch", "Store", "extract", "ship", "lib"] {
            assert!(names.may_have(name), "{name}");
        }
        for name in ["old", "transform", "work", "extrac", "ext"] {
            assert!(!names.may_have(name), "{name}");
        }
        for opens in ["from lib import *", "globals()['a'] = 1", "def __getattr__(name): ..."] {
            assert!(Names::of(opens).may_have("anything"), "{opens}");
        }
    }
}
