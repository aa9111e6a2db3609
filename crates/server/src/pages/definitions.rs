//! The definition files: what is live of each, and what is wrong with it.

use askama::Template;
use millstream_control::Silent;
use millstream_model::view::{FileRow, FileState};
use millstream_model::{Diagnostic, Severity, TenantId, Timestamp};

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::parts::{Badge, Equivalent, Glyph};
use crate::state::PassedOver;

/// Files that were passed over which are named; the others are counted.
const PASSED_OVER_SHOWN: usize = 20;

/// What the page shows.
#[derive(Debug, Clone)]
pub struct DefinitionsPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The folder that they are read from; empty before it was read for the first time.
    pub root: String,
    /// The files.
    pub files: Vec<FileRow>,
    /// What does not tick in the page's tenant for want of something that its templates name.
    pub silent: Vec<Silent>,
    /// What is not read and was probably meant as a definition file.
    pub passed_over: Vec<PassedOver>,
}

#[derive(Template)]
#[template(path = "definitions.html")]
struct Definitions {
    frame: Frame,
    glyph: Glyph,
    verdict: String,
    root: String,
    files: Vec<FileLine>,
    silent: Vec<SilentLine>,
    passed_over: Vec<PassedOver>,
    more_passed_over: usize,
    scan: String,
    equivalent: Equivalent,
}

struct FileLine {
    name: String,
    badge: Badge,
    says: String,
    href: String,
    version: String,
    loaded: Option<Moment>,
    diagnostics: Vec<Finding>,
}

/// What does not tick in the page's tenant.
struct SilentLine {
    name: String,
    why: String,
}

/// What is wrong at one place of a file.
pub(super) struct Finding {
    pub(super) glyph: Glyph,
    pub(super) place: String,
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) code: String,
}

/// The page.
pub fn definitions(page: DefinitionsPage) -> Html {
    let mut files: Vec<&FileRow> = page.files.iter().collect();
    // What needs work first; a stable sort keeps the order of names within a state.
    files.sort_by_key(|file| rank(file.state));
    let bad = page.files.iter().filter(|file| rank(file.state) < 3).count();
    let total = format::plural(page.files.len() as u64, "file", "files");
    let tenant = &page.frame.tenant;
    Html::render(&Definitions {
        glyph: if bad == 0 { Glyph::Ok } else { Glyph::Warning },
        verdict: match bad {
            0 => format!("{total}, all live"),
            1 => format!("1 of {total} needs work; everything else is live"),
            _ => format!("{bad} of {total} need work; everything else is live"),
        },
        root: page.root,
        files: files.into_iter().map(|file| line(file, tenant, page.now)).collect(),
        more_passed_over: page.passed_over.len().saturating_sub(PASSED_OVER_SHOWN),
        passed_over: page.passed_over.into_iter().take(PASSED_OVER_SHOWN).collect(),
        silent: page.silent.into_iter().map(silent).collect(),
        scan: format!("{}/scan", link::definitions(tenant)),
        equivalent: Equivalent::new()
            .with("This list", "millstream definitions status".to_owned())
            .with("Look again", "millstream definitions scan".to_owned())
            .with("Check without loading", "millstream definitions validate".to_owned())
            .with("What a change would do", "millstream definitions plan".to_owned())
            .with("As JSON", "GET /api/v1/definitions".to_owned()),
        frame: page.frame,
    })
}

fn rank(state: FileState) -> u8 {
    match state {
        FileState::Broken => 0,
        FileState::LastGood => 1,
        FileState::Stale => 2,
        FileState::Live => 3,
        FileState::Deleted => 4,
    }
}

fn line(file: &FileRow, tenant: &TenantId, now: Timestamp) -> FileLine {
    let found = format::plural(file.diagnostics.len() as u64, "finding", "findings");
    let says = match file.state {
        FileState::Live if file.pin.is_some() => {
            "kept at an older version until the file changes".to_owned()
        }
        FileState::Live if file.diagnostics.is_empty() => String::new(),
        FileState::Live => found,
        FileState::LastGood => format!("{found}; the last good version stays live"),
        FileState::Broken => format!("{found}; nothing of it is live"),
        FileState::Stale => {
            "the file cannot be seen; its last version stays live until deletions are accepted"
                .to_owned()
        }
        FileState::Deleted => "deleted".to_owned(),
    };
    FileLine {
        name: file.name.clone(),
        badge: Badge::file(file.state),
        says,
        href: link::file(tenant, &file.name),
        version: file.number.map_or_else(String::new, |number| format!("v{number}")),
        loaded: file.loaded_at.map(|at| Moment::relative(now, at)),
        diagnostics: file.diagnostics.iter().map(finding).collect(),
    }
}

fn silent(it: Silent) -> SilentLine {
    SilentLine { name: format!("{} {}", it.kind, it.name), why: it.why }
}

pub(super) fn finding(found: &Diagnostic) -> Finding {
    Finding {
        glyph: match found.severity {
            Severity::Error => Glyph::Failed,
            Severity::Warning => Glyph::Warning,
        },
        place: found.place.to_string(),
        message: found.message.clone(),
        help: found.help.clone(),
        code: found.code.to_string(),
    }
}
