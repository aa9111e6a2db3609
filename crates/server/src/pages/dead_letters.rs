//! The dead letters: runs that were given up, until somebody retries or discards them.

use askama::Template;
use millstream_model::{ClosedAs, DeadLetter, TenantId, Timestamp};

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::parts::{Equivalent, Glyph};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct DeadLettersPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The dead letters, newest first.
    pub letters: Vec<DeadLetter>,
}

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct DeadLetters {
    frame: Frame,
    verdict: String,
    lines: Vec<Line>,
    equivalent: Equivalent,
}

struct Line {
    id: String,
    short: String,
    href: String,
    title: String,
    glyph: Glyph,
    what: String,
    reason: String,
    failure: String,
    when: Moment,
    actions: Option<Actions>,
}

struct Actions {
    retry: String,
    discard: String,
}

/// The page.
pub fn dead_letters(page: DeadLettersPage) -> Html {
    let tenant = &page.frame.tenant;
    let open = page.letters.iter().filter(|letter| letter.closed.is_none()).count();
    let verdict = match open {
        0 => "Nothing waits for anybody.".to_owned(),
        open => format!("{} for somebody.", format::plural(open as u64, "run waits", "runs wait")),
    };
    Html::render(&DeadLetters {
        verdict,
        lines: page.letters.iter().map(|letter| line(tenant, letter, page.now)).collect(),
        equivalent: Equivalent::new()
            .with("This list", format!("millstream dead-letter list --all --tenant {tenant}"))
            .with("Try one again", "millstream dead-letter retry RUN".to_owned())
            .with("Put one aside", "millstream dead-letter discard RUN".to_owned())
            .with("As JSON", format!("GET /{tenant}/api/v1/dead-letters?show=all")),
        frame: page.frame,
    })
}

fn line(tenant: &TenantId, letter: &DeadLetter, now: Timestamp) -> Line {
    let (glyph, what) = match &letter.closed {
        None => (Glyph::Failed, "open".to_owned()),
        Some(closed) => {
            let glyph = match closed.outcome {
                ClosedAs::Retried => Glyph::Queued,
                ClosedAs::Discarded => Glyph::Cancelled,
            };
            (glyph, format!("{} by {}", closed.outcome.as_str(), closed.by))
        }
    };
    let run = &letter.run_id;
    Line {
        id: run.to_string(),
        short: run.short(),
        href: link::run(tenant, run),
        title: letter.title.clone(),
        glyph,
        what,
        reason: letter.reason.in_words(),
        failure: letter.failure.clone(),
        when: Moment::relative(now, letter.at),
        actions: letter.closed.is_none().then(|| Actions {
            retry: link::retry(tenant, run),
            discard: link::discard(tenant, run),
        }),
    }
}
