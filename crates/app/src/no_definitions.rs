//! What is said where there is no folder of definition files: where it was looked for, and where
//! one is.
//!
//! Called by `millstream dev`, which goes on all the same, because the folder may be made later,
//! and by commands, which leave nothing in a folder that is no project's.

use std::path::{Path, PathBuf};

use crate::error::AppError;
use crate::settings::Settings;

/// The entries of the project's folder that are looked at.
const ENTRIES_MAX: usize = 1_000;

/// The folders above the project's that are looked at.
const LEVELS_MAX: usize = 5;

/// What to say where there is no folder of definition files.
pub(crate) fn notice(settings: &Settings) -> Option<String> {
    if settings.dags.is_dir() {
        return None;
    }
    let missing = format!("No definitions: there is no folder {}.", settings.dags.display());
    let advice = match another(settings) {
        Some(found) => {
            let found = found.display();
            format!("{found} has one; to serve that project: millstream dev {found}")
        }
        None => "Make it and put a definition file into it, which is then loaded; or name the \
                 project's folder, as in: millstream dev FOLDER"
            .to_owned(),
    };
    Some(format!("{missing} {advice}"))
}

/// The error of a command whose folder is no project's.
pub(crate) fn no_project(settings: &Settings) -> AppError {
    AppError::NotAProject {
        folder: settings.project.clone(),
        dags: settings.dags.clone(),
        another: another(settings),
    }
}

/// The nearest folder with definition files, if there is one.
fn another(settings: &Settings) -> Option<PathBuf> {
    let below = settings.dags.strip_prefix(&settings.project).ok()?;
    elsewhere(&settings.project, below)
}

/// A folder around `project`, or in it, that has a folder `below`.
fn elsewhere(project: &Path, below: &Path) -> Option<PathBuf> {
    let has = |folder: &Path| folder.join(below).is_dir();
    let mut above = project.ancestors().skip(1).take(LEVELS_MAX);
    if let Some(found) = above.find(|folder| has(folder)) {
        return Some(found.to_owned());
    }
    let entries = project.read_dir().ok()?.take(ENTRIES_MAX).flatten();
    let mut within: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|it| has(it)).collect();
    within.sort();
    within.into_iter().next()
}
