//! Why an asset is as it is: made, stale, missing in parts, or tried in vain.

use millstream_model::view::{AssetRow, MadeBy, RunRow};
use millstream_model::{
    AssetKey, PartitionKey, RunId, RunStatus, StepError, StepKey, StepStatus, Timestamp, shell_word,
};

use crate::checks;

use super::parts::{failed_count, failed_parts, failed_words, in_vain_parts, in_vain_words, parts};
use super::schedule::{
    ScheduleFacts, but_waits, run_words, runs_words, stopped_words, tick_words, waiting_words,
};
use super::{Because, Why, because, error_words, kept, over_words};

/// Partitions that one sentence names.
pub const PARTITIONS_NAMED: u32 = 3;

/// Partitions that failed which an answer tells of; the others are counted.
pub const FAILED_NAMED: u32 = 5;

/// What is stored about an asset.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetFacts {
    /// The asset.
    pub asset: AssetRow,
    /// What it is made from.
    pub sources: Sources,
    /// How its step ended in the runs since it was made, newest first; empty for an asset with
    /// partitions, whose states say it.
    pub tries: Tries,
    /// Its partitions whose newest tries failed, the newest first, at most [`FAILED_NAMED`].
    pub failed: Vec<(PartitionKey, Try)>,
    /// Those whose newest tries made nothing and did not fail, in the same way.
    pub in_vain: Vec<(PartitionKey, Try)>,
    /// The first runs that have yet to make it, but for those of these schedules.
    pub coming: Vec<RunRow>,
    /// The schedules that make it.
    pub made_by: Vec<ScheduleFacts>,
    /// How many more schedules make it.
    pub made_by_more: usize,
}

/// What an asset is made from: other assets, and its code.
#[derive(Debug, Clone, PartialEq)]
pub struct Sources {
    /// How many of its partitions were ever made; none of an asset that is one whole.
    pub made: u64,
    /// The assets it is made from.
    pub upstream: Vec<Upstream>,
    /// The version of its code now, where it has a step.
    pub code_version: Option<String>,
}

/// An asset that another is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The asset.
    pub asset: AssetKey,
    /// When it was made.
    pub made: Made,
}

/// When something was made that another asset is made from.
#[derive(Debug, Clone, PartialEq)]
pub enum Made {
    /// It was never made.
    Never(Maker),
    /// The other is one whole; this is when it was made last.
    Whole(Timestamp),
    /// The other has partitions; these of them are older, if any.
    After(Option<OlderParts>),
}

/// What could make an asset that was never made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// Its step.
    Step,
    /// Its step, a partition at a time.
    StepOfPartitions,
    /// Nothing here: somebody reports it.
    Elsewhere,
}

/// The partitions of an asset that are older than what they are made from.
#[derive(Debug, Clone, PartialEq)]
pub struct OlderParts {
    /// How many there are.
    pub count: u64,
    /// The first of them, at most [`PARTITIONS_NAMED`].
    pub first: Vec<PartitionKey>,
    /// When the newest of what they are made from was made.
    pub newest: Timestamp,
}

/// How the step of an asset ended in the runs since it was made, as far back as was looked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tries {
    /// The newest of them, newest first, without the one that made it.
    pub newest: Vec<Try>,
    /// Whether there may be older ones than these.
    pub may_be_more: bool,
    /// Since when the runs were looked at, where there are older ones since it was made.
    pub looked_since: Option<Timestamp>,
}

/// How the step of an asset ended in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Try {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub status: StepStatus,
    /// When.
    pub at: Timestamp,
    /// Why, when it failed.
    pub error: Option<StepError>,
    /// The step before it that failed, when it did not start.
    pub blocked_by: Option<StepKey>,
    /// Why it was skipped, when it was.
    pub skipped: Option<String>,
}

/// Why an asset is as it is: made, stale, missing in parts.
pub fn why_asset(facts: &AssetFacts) -> Why {
    let asset = &facts.asset;
    let what = format!("asset {}", asset.asset);
    let of_parts = failed_words(facts);
    let in_vain = facts.in_vain.iter().find_map(in_vain_words);
    let tried = tries_words(&facts.tries).map(|(_, words)| words).or_else(|| of_parts.clone());
    let last = last_try_words(&facts.tries);
    let told = last.as_ref().map(|(at, words)| because(*at, format!("its {words}")));
    let last = last.map(|(_, words)| words).or(of_parts).or(in_vain);
    let unlooked = facts.tries.looked_since.map(|since| {
        because(None, format!("only the newest runs were looked at, those since {since}"))
    });
    let missing = missing(facts).map(|text| because(None, text));
    let stale = stale(asset, &facts.sources);
    let above = asset.stale_upstream.as_ref().filter(|_| stale.is_empty());
    let above_told = above.map(|above| because(None, above_words(above)));
    let rest = above_told.into_iter().chain(told).chain(unlooked).chain(missing);
    let rest = rest.chain(parts(asset)).chain(failed_parts(facts)).chain(in_vain_parts(facts));
    let rest = rest.chain(facts.coming.iter().filter_map(coming_words)).chain(makers(facts));
    let Some(latest) = &asset.latest else {
        let tried = last.map_or_else(String::new, |words| format!(" Its {words}."));
        let missing = never_made(facts);
        let answer = format!("It was never made{missing}.{tried}{}", held_up(facts));
        return Why { what, answer, because: rest.collect() };
    };
    let made = match &latest.made_by {
        MadeBy::Run { run_id, .. } => format!("run {} made it", run_id.short()),
        MadeBy::Report { reported_by, .. } => format!("{reported_by} reported it"),
    };
    let answer = match (stale.first(), &tried) {
        (Some(first), Some(tried)) => {
            format!("It is stale: {}. Its {tried}.{}", first.text, held_up(facts))
        }
        (Some(first), None) => format!("It is stale: {}.{}", first.text, held_up(facts)),
        (None, Some(tried)) => format!("It was made, but its {tried}.{}", held_up(facts)),
        (None, None) if !asset.is_made() => {
            format!("It was made, but no partition of it that there is now.{}", held_up(facts))
        }
        (None, None) => {
            let above = above.map(|above| format!(", but {above} above it is")).unwrap_or_default();
            match checks::failed_words(&asset.failed_checks) {
                Some(failed) => format!("It was made, but its {failed}.{}", coming(facts)),
                None => format!(
                    "It was made, and nothing stored says that it is stale{above}.{}",
                    coming(facts)
                ),
            }
        }
    };
    let made = because(latest.at, made);
    let checks = asset.failed_checks.iter().map(|it| because(it.at, checks::check_words(it)));
    let because = std::iter::once(made).chain(checks).chain(stale).chain(rest).collect();
    Why { what, answer, because }
}

/// What says that an asset is stale; nothing of one that was never made.
pub fn stale(asset: &AssetRow, sources: &Sources) -> Vec<Because> {
    let mut stale = Vec::new();
    let Some(latest) = asset.latest.as_ref().filter(|_| asset.is_made()) else { return stale };
    let made = latest.at;
    // Who has made it elsewhere, or an op that reports it, need not say by which code.
    let code = latest.known_code().zip(sources.code_version.as_deref());
    if let Some((version, _)) = code.filter(|(version, now)| version != now) {
        let than = match &latest.made_by {
            MadeBy::Report { reported_by, .. } => {
                format!(" than {version:?}, with which {reported_by} reported it")
            }
            MadeBy::Run { .. } => String::new(),
        };
        stale.push(because(None, format!("its code is another now{than}")));
    }
    let is_whole = asset.partitions.is_none();
    for upstream in &sources.upstream {
        match &upstream.made {
            Made::After(Some(older)) => stale.push(stale_parts(sources.made, upstream, older)),
            Made::Whole(at) if is_whole && *at > made => {
                stale.push(because(*at, format!("{} was made after it", upstream.asset)));
            }
            Made::Never(_) | Made::Whole(_) | Made::After(None) => {}
        }
    }
    stale
}

/// That an asset above one that is not stale is, and when it becomes so too.
fn above_words(above: &AssetKey) -> String {
    let word = shell_word(&above.to_string());
    format!(
        "{above} above it is stale (`millstream why {word}`): it becomes stale once what it is \
         made from is made again"
    )
}

/// Which of the `made` partitions are older than what `upstream` has for them.
fn stale_parts(made: u64, upstream: &Upstream, older: &OlderParts) -> Because {
    let named: Vec<&str> = older.first.iter().map(PartitionKey::as_str).collect();
    let more = match older.count.saturating_sub(named.len() as u64) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let text = format!(
        "{} was made after {} of its {made} partitions that are made: {}{more}",
        upstream.asset,
        older.count,
        named.join(", ")
    );
    because(older.newest, text)
}

/// When the newest of `tries` failed, and that it did and why, as words behind "its"; nothing when
/// the newest did not fail.
pub fn tries_words(tries: &Tries) -> Option<(Timestamp, String)> {
    let is_failed =
        |tried: &&Try| matches!(tried.status, StepStatus::Failure | StepStatus::UpstreamFailed);
    let failed = tries.newest.iter().take_while(is_failed).count();
    let newest = tries.newest.first().filter(is_failed)?;
    let is_all = failed == tries.newest.len();
    let reason = reason_words(newest);
    let (run, at) = (newest.run.short(), newest.at);
    let words = match failed {
        1 => format!("last try failed, in run {run} at {at}: {reason}"),
        _ if is_all && tries.may_be_more => {
            format!(
                "last tries failed, at least {failed}, the newest in run {run} at {at}: {reason}"
            )
        }
        _ => format!("last {failed} tries failed, the newest in run {run} at {at}: {reason}"),
    };
    Some((at, words))
}

/// Why a step failed, or did not start.
pub(super) fn reason_words(tried: &Try) -> String {
    match &tried.blocked_by {
        Some(step) => format!("step {step} before it failed"),
        None => error_words(tried.error.as_ref()),
    }
}

/// That the last try of an asset failed, or those of so many partitions of it, for a list; nothing
/// where none did.
pub fn failed_try_mark(asset: &AssetRow) -> Option<String> {
    match (&asset.failed_try, failed_count(asset)) {
        (Some(failed), _) => Some(format!("failed, in run {}", failed.run_id.short())),
        (None, 0) => None,
        (None, 1) => Some("failed, of 1 partition".to_owned()),
        (None, count) => Some(format!("failed, of {count} partitions")),
    }
}

/// When the newest of `tries` ended that made nothing, and how, as words behind "its".
pub fn last_try_words(tries: &Tries) -> Option<(Timestamp, String)> {
    let newest = tries.newest.first()?;
    match idle_words(newest) {
        Some(words) => Some((newest.at, format!("last try {words}"))),
        None => tries_words(tries),
    }
}

/// That a try made nothing and did not fail, when and why, as words behind what was tried; nothing
/// of one that failed. Those that made something are no tries in vain.
pub(super) fn idle_words(tried: &Try) -> Option<String> {
    let (run, at) = (tried.run.short(), tried.at);
    let reason = tried.skipped.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    match tried.status {
        StepStatus::Skipped => Some(format!("was skipped, in run {run} at {at}{reason}")),
        StepStatus::Success => Some(format!("succeeded and made nothing, in run {run} at {at}")),
        _ => None,
    }
}

/// Which of what an asset is made from was never made, as words behind "It was never made".
fn never_made(facts: &AssetFacts) -> String {
    let never = |it: &&Upstream| matches!(it.made, Made::Never(_));
    let mut names = facts.sources.upstream.iter().filter(never).map(|it| it.asset.to_string());
    match (names.next(), names.count()) {
        (None, _) => String::new(),
        (Some(name), 0) => format!(", nor was {name}, which it is made from"),
        (Some(name), 1) => format!(", nor were {name} and 1 more that it is made from"),
        (Some(name), more) => format!(", nor were {name} and {more} more that it is made from"),
    }
}

/// What of an asset's upstream was never made, each with the command that makes it.
fn missing(facts: &AssetFacts) -> impl Iterator<Item = String> {
    facts.sources.upstream.iter().filter_map(|it| {
        let Made::Never(maker) = it.made else { return None };
        Some(missing_words(&it.asset, maker))
    })
}

/// That an asset was never made, and the command that makes it.
pub fn missing_words(asset: &AssetKey, maker: Maker) -> String {
    let word = shell_word(&asset.to_string());
    let way = match maker {
        Maker::Step => format!("`millstream asset materialize {word}` makes it"),
        Maker::StepOfPartitions => {
            format!("`millstream asset materialize {word} --partition KEY` makes one of it")
        }
        Maker::Elsewhere => {
            format!("it has no step here, and `millstream asset report {word}` says that it is")
        }
    };
    format!("{asset} was never made: {way}")
}

/// What keeps the runs that would make an asset, as a sentence behind another; empty when nothing
/// does.
fn held_up(facts: &AssetFacts) -> String {
    let mut runs = facts.made_by.iter().flat_map(|facts| &facts.runs);
    match runs.find_map(run_words) {
        Some(words) => format!("{} Of its schedule's last tick {words}.", coming(facts)),
        None => coming(facts),
    }
}

/// The first run that has yet to make an asset, as a sentence behind another; empty when none has.
fn coming(facts: &AssetFacts) -> String {
    let first = facts.coming.iter().find_map(coming_words);
    first.map_or_else(String::new, |it| format!(" Run {}.", it.text.trim_start_matches("run ")))
}

/// That a run has yet to make an asset or a partition of it, and how it stands; nothing of one that
/// will not any more.
pub fn coming_words(run: &RunRow) -> Option<Because> {
    let short = run.run_id.short();
    let what = match &run.partition {
        Some(partition) => format!("partition {partition} of it"),
        None => "it".to_owned(),
    };
    let (at, words) = match run.status {
        RunStatus::Queued | RunStatus::NotStarted => {
            let hold = run.hold.as_ref().map(|hold| format!(": {hold}")).unwrap_or_default();
            (run.queued_at, format!("is queued to make {what}{hold}"))
        }
        RunStatus::Starting => (run.queued_at, format!("is starting to make {what}{}", kept(run))),
        RunStatus::Started => {
            let at = run.started_at.unwrap_or(run.queued_at);
            (at, format!("is running to make {what}: {}", over_words(run)))
        }
        RunStatus::Canceling | RunStatus::Success | RunStatus::Failure | RunStatus::Canceled => {
            return None;
        }
    };
    Some(because(at, format!("run {short} {words}")))
}

/// What is stored about the schedules that make an asset.
fn makers(facts: &AssetFacts) -> Vec<Because> {
    let of_one = |facts: &ScheduleFacts| {
        let name = &facts.schedule.name;
        let waiting = waiting_words(&facts.schedule);
        let waits = but_waits(&facts.schedule);
        let stand = match (facts.schedule.late_since, facts.schedule.next_at) {
            _ if !facts.schedule.enabled => format!("schedule {name} would make it, and is off"),
            (Some(due), _) => {
                let waiting = waiting.map_or_else(String::new, |words| format!("; {words}"));
                format!(
                    "schedule {name} makes it, and is late: it was due at {due}{waits}{waiting}"
                )
            }
            _ if facts.schedule.job_off => {
                let stopped = stopped_words(&facts.schedule).unwrap_or_default();
                format!("schedule {name} would make it, but {stopped}")
            }
            _ if waiting.is_some() => {
                let waiting = waiting.unwrap_or_default();
                format!("schedule {name} makes it, and is behind: {waiting}{waits}")
            }
            (None, Some(next)) => format!("schedule {name} makes it next at {next}{waits}"),
            (None, None) => format!("schedule {name} would make it, and is never due again"),
        };
        let tick =
            facts.schedule.last_tick.as_ref().map(|tick| {
                because(tick.decided_at, format!("schedule {name}: {}", tick_words(tick)))
            });
        let mut reasons = vec![because(None, stand)];
        reasons.extend(tick);
        reasons.extend(runs_words(&facts.runs));
        reasons
    };
    let more = match facts.made_by_more {
        0 => None,
        1 => Some("1 more schedule makes it".to_owned()),
        more => Some(format!("{more} more schedules make it")),
    };
    let more = more.map(|text| because(None, text));
    facts.made_by.iter().flat_map(of_one).chain(more).collect()
}
