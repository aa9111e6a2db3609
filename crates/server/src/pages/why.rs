//! Why something is as it is: the answer, and what is stored that says so.

use askama::Template;
use millstream_control::Why;
use millstream_model::{Timestamp, shell_word};

use crate::format::Moment;
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::parts::Equivalent;

/// What the page shows.
#[derive(Debug, Clone)]
pub struct WhyPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// What was asked about, as it was written.
    pub subject: String,
    /// The answer.
    pub answer: Why,
}

#[derive(Template)]
#[template(path = "why.html")]
struct Page {
    frame: Frame,
    what: String,
    answer: String,
    because: Vec<(Option<Moment>, String)>,
    equivalent: Equivalent,
}

/// The page.
pub fn why(page: WhyPage) -> Html {
    let tenant = &page.frame.tenant;
    let because = page.answer.because.into_iter();
    Html::render(&Page {
        what: page.answer.what,
        answer: page.answer.answer,
        because: because
            .map(|it| (it.at.map(|at| Moment::relative(page.now, at)), it.text))
            .collect(),
        equivalent: Equivalent::new()
            .with(
                "This answer",
                format!("millstream why {} --tenant {tenant}", shell_word(&page.subject)),
            )
            .with("As JSON", format!("GET {}", link::why_api(tenant, &page.subject))),
        frame: page.frame,
    })
}
