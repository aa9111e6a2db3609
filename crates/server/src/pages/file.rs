//! A definition file: its versions, which of them is live, and the way back to another.

use askama::Template;
use millstream_model::view::{FileRow, FileState, VersionRow};
use millstream_model::{Timestamp, shell_word};

use super::definitions::{Finding, finding};
use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::parts::{Badge, Equivalent};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct FilePage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The file.
    pub file: FileRow,
    /// Its versions, the newest first.
    pub versions: Vec<VersionRow>,
}

#[derive(Template)]
#[template(path = "file.html")]
struct File {
    frame: Frame,
    name: String,
    badge: Badge,
    verdict: String,
    action: String,
    findings: Vec<Finding>,
    lines: Vec<Line>,
    equivalent: Equivalent,
}

struct Line {
    number: u32,
    hash: String,
    loaded: Moment,
    says: String,
    /// What its button says; none where it changes nothing.
    button: Option<String>,
}

/// The page.
pub fn file(page: FilePage) -> Html {
    let (tenant, name) = (&page.frame.tenant, &page.file.name);
    let word = shell_word(name);
    let newest = page.versions.first().map_or(0, |version| version.number);
    Html::render(&File {
        name: name.clone(),
        badge: Badge::file(page.file.state),
        verdict: verdict(&page.file, page.now),
        action: format!("{}/rollback", link::file(tenant, name)),
        findings: page.file.diagnostics.iter().map(finding).collect(),
        lines: page.versions.iter().map(|it| line(it, newest, &page)).collect(),
        equivalent: changing(&page, &word).with("As JSON", {
            let file = link::segment(name);
            format!("GET /api/v1/definitions/files/{file}/versions")
        }),
        frame: page.frame,
    })
}

/// What the command line says for the list, and where there is another version, for seeing what is
/// different and for going there.
fn changing(page: &FilePage, word: &str) -> Equivalent {
    let list =
        Equivalent::new().with("This list", format!("millstream definitions history {word}"));
    let [newest, older, ..] = page.versions.as_slice() else { return list };
    let (newest, older) = (newest.number, older.number);
    let list =
        list.with("What changed", format!("millstream definitions diff {word} v{older} v{newest}"));
    let back = |number: u32| format!("millstream definitions rollback {word} v{number}");
    match (&page.file.pin, page.file.state) {
        (_, FileState::Deleted) => list,
        (Some(_), _) => list.with("Follow the file again", back(newest)),
        (None, _) => list.with("Go back", back(older)),
    }
}

fn verdict(file: &FileRow, now: Timestamp) -> String {
    let number = file.number.unwrap_or_default();
    match (&file.pin, file.state) {
        (Some(pin), _) => format!(
            "v{} is live because {} went back to it {}; the file's next change ends that",
            pin.number,
            pin.by,
            format::relative(now, pin.at)
        ),
        (None, FileState::Deleted) => "The file was deleted; nothing of it is live".to_owned(),
        (None, FileState::Broken) => "No content of it was ever good".to_owned(),
        (None, FileState::LastGood) => {
            format!("v{number} is live: what the file holds now has errors")
        }
        (None, FileState::Live | FileState::Stale) => format!("v{number} is live"),
    }
}

fn line(version: &VersionRow, newest: u32, page: &FilePage) -> Line {
    let is_live = page.file.number == Some(version.number);
    let is_deleted = page.file.state == FileState::Deleted;
    Line {
        number: version.number,
        hash: version.hash.short().to_owned(),
        loaded: Moment::relative(page.now, version.loaded_at),
        says: match (is_live, &page.file.pin) {
            (true, Some(_)) => "live, and kept so".to_owned(),
            (true, None) => "live".to_owned(),
            (false, _) => String::new(),
        },
        button: match (is_live || is_deleted, version.number == newest) {
            (true, _) => None,
            (false, true) => Some("Follow the file again".to_owned()),
            (false, false) => Some(format!("Go back to v{}", version.number)),
        },
    }
}
