//! The list of runs: filtered by the URL, a page at a time.

use std::collections::BTreeSet;
use std::str::FromStr;

use askama::Template;
use millstream_control::{TAG_SEARCH_MAX, TagFilter};
use millstream_model::view::RunRow;
use millstream_model::{JobName, RunId, RunStatus, TenantId, Timestamp, shell_word};

use crate::format;
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::parts::{Equivalent, RunLine, RunTable};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct RunsPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// What was asked for.
    pub filter: RunFilter,
    /// The runs that pass the filter, newest first.
    pub runs: Vec<RunRow>,
    /// The run that the page begins behind, if it is not the first page.
    pub before: Option<RunId>,
    /// The last of them, if there are more after it.
    pub next: Option<RunId>,
    /// The last run that was searched for the label, if there are older ones.
    pub searched_to: Option<RunId>,
}

/// Which runs to list, as the one text field of the page says it: `status:failed job:etl`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// The text as it was written.
    pub text: String,
    /// Only runs of this status.
    pub status: Option<RunStatus>,
    /// Only runs of this job.
    pub job: Option<JobName>,
    /// Only runs with this label.
    pub tag: Option<TagFilter>,
    /// What the text says that no filter understands.
    pub unknown: Vec<String>,
}

/// The words of the status filter, which are those of the badges, and other spellings of them.
const STATUS_WORDS: &[(&str, RunStatus)] = &[
    ("failed", RunStatus::Failure),
    ("running", RunStatus::Started),
    ("queued", RunStatus::Queued),
    ("succeeded", RunStatus::Success),
    ("canceled", RunStatus::Canceled),
    ("cancelled", RunStatus::Canceled),
    ("canceling", RunStatus::Canceling),
    ("cancelling", RunStatus::Canceling),
    ("starting", RunStatus::Starting),
    ("not-started", RunStatus::NotStarted),
];

/// The status that a word of a filter or of the API means.
pub fn status_named(word: &str) -> Option<RunStatus> {
    let lower = word.to_ascii_lowercase();
    let by_word = STATUS_WORDS.iter().find(|(name, _)| *name == lower).map(|(_, status)| *status);
    by_word.or_else(|| RunStatus::from_str(&word.to_ascii_uppercase()).ok())
}

impl RunFilter {
    /// Reads the text of the filter; what it does not understand is kept to be shown.
    pub fn parse(text: &str) -> Self {
        let mut filter = Self { text: text.trim().to_owned(), ..Self::default() };
        for word in text.split_whitespace() {
            match word.split_once(':') {
                Some(("status", value)) if status_named(value).is_some() => {
                    filter.status = status_named(value);
                }
                Some(("job", value)) if JobName::from_str(value).is_ok() => {
                    filter.job = JobName::from_str(value).ok();
                }
                Some(("tag", value)) if TagFilter::parse(value).is_some() => {
                    filter.tag = TagFilter::parse(value);
                }
                _ => filter.unknown.push(word.to_owned()),
            }
        }
        filter
    }

    fn quick(&self, word: &str) -> String {
        let job = self.job.as_ref().map(|job| format!("job:{job}"));
        let status = (!word.is_empty()).then(|| format!("status:{word}"));
        let tag = self.tag.as_ref().map(|tag| format!("tag:{tag}"));
        [status, job, tag].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

struct Quick {
    word: &'static str,
    href: String,
    is_current: bool,
}

#[derive(Template)]
#[template(path = "runs.html")]
struct Runs {
    frame: Frame,
    filter: RunFilter,
    quick: Vec<Quick>,
    verdict: String,
    table: RunTable,
    next: Option<String>,
    equivalent: Equivalent,
}

/// The page.
pub fn runs(page: RunsPage) -> Html {
    let tenant = &page.frame.tenant;
    let failed = page.runs.iter().filter(|run| run.status == RunStatus::Failure).count();
    let shown = page.runs.len();
    let more = if page.next.is_some() { "newest " } else { "" };
    let mut verdict = match (shown, failed) {
        (0, _) if page.searched_to.is_some() => "no run".to_owned(),
        (0, _) => String::new(),
        (_, 0) => format!("{more}{}, none failed", format::plural(shown as u64, "run", "runs")),
        _ => format!("{more}{}, {failed} failed", format::plural(shown as u64, "run", "runs")),
    };
    // Of a part of the chain nobody could say where all of it is.
    let is_whole = page.before.is_none() && page.next.is_none() && page.filter.status.is_none();
    if page.filter.tag.is_some()
        && is_whole
        && let Some(stage) = stage(&page.runs, page.now)
    {
        verdict = format!("{verdict}; {stage}");
    }
    let searched_to = page.searched_to.filter(|_| page.next.is_none());
    if searched_to.is_some() {
        verdict = format!("{verdict}; {TAG_SEARCH_MAX} runs were searched");
    }
    let next = page
        .next
        .or(searched_to)
        .map(|id| format!("{}&before={id}", query(tenant, &page.filter.text)));
    Html::render(&Runs {
        quick: quick(tenant, &page.filter),
        verdict,
        next,
        table: RunTable::new(&page.runs, page.now),
        equivalent: equivalent(tenant, &page.filter),
        filter: page.filter,
        frame: page.frame,
    })
}

/// Where the chain is that runs of one label make: the oldest that has not succeeded, that nothing
/// tries again and that no newer run of the same for the same partition stands for, with why.
fn stage(runs: &[RunRow], now: Timestamp) -> Option<String> {
    let mut seen = BTreeSet::new();
    let newest = runs.iter().filter(|run| seen.insert((&run.title, &run.partition)));
    let open = |run: &&RunRow| run.status != RunStatus::Success && run.retried_as.is_none();
    let run = newest.filter(open).last()?;
    let line = RunLine::new(run, now);
    let word = if run.status.is_terminal() { "stopped at" } else { "now at" };
    let why = if line.why.is_empty() { String::new() } else { format!(": {}", line.why) };
    Some(format!("{word} {} ({}){why}", line.title, line.badge.word.to_lowercase()))
}

fn query(tenant: &TenantId, text: &str) -> String {
    link::runs_where(tenant, text)
}

fn quick(tenant: &TenantId, filter: &RunFilter) -> Vec<Quick> {
    let entry = |word: &'static str, name: &str, status: Option<RunStatus>| Quick {
        word,
        href: query(tenant, &filter.quick(name)),
        is_current: filter.status == status,
    };
    vec![
        entry("All", "", None),
        entry("Failed", "failed", Some(RunStatus::Failure)),
        entry("Running", "running", Some(RunStatus::Started)),
        entry("Queued", "queued", Some(RunStatus::Queued)),
        entry("Succeeded", "succeeded", Some(RunStatus::Success)),
    ]
}

/// The command that lists the same; what stands in it comes from whoever wrote the address.
fn command(tenant: &TenantId, filter: &RunFilter) -> String {
    let status = filter.status.map(|status| format!(" --status {status}"));
    let job = filter.job.as_ref().map(|job| format!(" --job {}", shell_word(job.as_str())));
    let tag = filter.tag.as_ref().map(|tag| format!(" --tag {}", shell_word(&tag.to_string())));
    let options: String = [status, job, tag].into_iter().flatten().collect();
    format!("millstream run list --tenant {tenant}{options}")
}

fn equivalent(tenant: &TenantId, filter: &RunFilter) -> Equivalent {
    let status = filter.status.map(|status| format!("status={status}"));
    let job = filter.job.as_ref().map(|job| format!("job={}", link::segment(job.as_str())));
    let tag = filter.tag.as_ref().map(|tag| format!("tag={}", link::segment(&tag.to_string())));
    let query: Vec<String> = [status, job, tag].into_iter().flatten().collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let request = format!("GET /{tenant}/api/v1/runs{mark}{}", query.join("&"));
    let command = command(tenant, filter);
    Equivalent::new().with("This list", command).with("As JSON", request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_reads_status_and_job_and_keeps_what_it_does_not_know() {
        let filter =
            RunFilter::parse("status:failed job:production/etl tag:batch_id=b-7 colour:red");
        assert_eq!(filter.status, Some(RunStatus::Failure));
        assert_eq!(filter.job.unwrap().as_str(), "production/etl");
        assert_eq!(filter.tag.unwrap().to_string(), "batch_id=b-7");
        assert_eq!(filter.unknown, ["colour:red"]);
    }

    #[test]
    fn a_filter_stays_one_word_in_the_command_that_is_copied() {
        let filter = RunFilter::parse("job:a$(b) tag:a=$(curl${IFS}x|sh)");
        assert_eq!(
            command(&TenantId::default_tenant(), &filter),
            "millstream run list --tenant default --job 'a$(b)' --tag 'a=$(curl${IFS}x|sh)'"
        );
    }

    #[test]
    fn a_status_may_be_said_as_pages_or_as_the_api_say_it() {
        for status in RunStatus::ALL {
            assert_eq!(status_named(status.as_str()), Some(status));
        }
        assert_eq!(status_named("cancelled"), Some(RunStatus::Canceled));
        assert_eq!(status_named("purple"), None);
    }
}
