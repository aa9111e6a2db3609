//! Why an asset is as it is: made, stale, missing in parts, or tried in vain.

use std::collections::BTreeMap;

use millstream_model::view::{AssetRow, MadeBy, PartitionState};
use millstream_model::{AssetKey, PartitionKey, RunId, StepError, StepKey, StepStatus, Timestamp};

use super::schedule::{ScheduleFacts, late_since, run_reasons, run_words, tick_words};
use super::{Because, Why, because, error_words};

/// Partitions that one sentence names.
const NAMED: usize = 3;

/// What is stored about an asset.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetFacts {
    /// The asset.
    pub asset: AssetRow,
    /// When each of its partitions was made last; empty for an asset that is one whole.
    pub made: BTreeMap<PartitionKey, Timestamp>,
    /// The assets it is made from.
    pub upstream: Vec<Upstream>,
    /// How its step ended in the runs since it was made, newest first; empty for an asset with
    /// partitions, whose states say it.
    pub tries: Vec<Try>,
    /// The version of its code now, where it has a step.
    pub code_version: Option<String>,
    /// The schedules that make it.
    pub made_by: Vec<ScheduleFacts>,
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
    /// All of it is read; this is when it was made last, if ever.
    Whole(Option<Timestamp>),
    /// Each partition is made from the one of the same key.
    Parts(BTreeMap<PartitionKey, Timestamp>),
}

impl Made {
    /// When what `partition` is made from was made last.
    fn under(&self, partition: &PartitionKey) -> Option<Timestamp> {
        match self {
            Self::Whole(at) => *at,
            Self::Parts(parts) => parts.get(partition).copied(),
        }
    }
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
}

/// Why an asset is as it is: made, stale, missing in parts.
pub fn why_asset(facts: &AssetFacts) -> Why {
    let asset = &facts.asset;
    let what = format!("asset {}", asset.asset);
    let tried = tries_words(&facts.tries);
    let failed = tried.as_ref().map(|(at, tried)| because(*at, format!("its {tried}")));
    let rest = failed.into_iter().chain(parts(asset)).chain(makers(facts));
    let Some(latest) = &asset.latest else {
        let tried = tried.map_or_else(String::new, |(_, words)| format!(" Its {words}."));
        let answer = format!("It was never made.{tried}{}", held_up(facts));
        return Why { what, answer, because: rest.collect() };
    };
    let made = match &latest.made_by {
        MadeBy::Run { run_id, .. } => format!("run {} made it", run_id.short()),
        MadeBy::Report { reported_by, .. } => format!("{reported_by} reported it"),
    };
    let stale = stale(facts, latest.at, &latest.code_version);
    let answer = match (stale.first(), &tried) {
        (Some(first), Some((_, tried))) => {
            format!("It is stale: {}. Its {tried}.{}", first.text, held_up(facts))
        }
        (Some(first), None) => format!("It is stale: {}.{}", first.text, held_up(facts)),
        (None, Some((_, tried))) => format!("It was made, but its {tried}.{}", held_up(facts)),
        (None, None) => "It was made, and nothing stored says that it is stale.".to_owned(),
    };
    let made = because(latest.at, made);
    let because = std::iter::once(made).chain(stale).chain(rest).collect();
    Why { what, answer, because }
}

/// What says that an asset that was made at `made`, by the code of `version`, is stale.
fn stale(facts: &AssetFacts, made: Timestamp, version: &str) -> Vec<Because> {
    let mut stale = Vec::new();
    if facts.code_version.as_ref().is_some_and(|now| now != version) {
        stale.push(because(None, "its code is another now".to_owned()));
    }
    let is_whole = facts.asset.partitions.is_none();
    for upstream in &facts.upstream {
        match &upstream.made {
            // Of a partitioned asset the newest of all parts says nothing about one of them.
            _ if !is_whole => stale.extend(stale_parts(&facts.made, upstream)),
            Made::Whole(Some(at)) if *at > made => {
                stale.push(because(*at, format!("{} was made after it", upstream.asset)));
            }
            Made::Whole(_) | Made::Parts(_) => {}
        }
    }
    stale
}

/// Which partitions are older than what `upstream` has for them.
fn stale_parts(made: &BTreeMap<PartitionKey, Timestamp>, upstream: &Upstream) -> Option<Because> {
    let mut newer = Vec::new();
    for (key, at) in made {
        if let Some(under) = upstream.made.under(key).filter(|under| under > at) {
            newer.push((under, key.as_str()));
        }
    }
    let last = newer.iter().map(|(at, _)| *at).max()?;
    let named: Vec<&str> = newer.iter().take(NAMED).map(|(_, key)| *key).collect();
    let more = match newer.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let text = format!(
        "{} was made after {} of its {} partitions that are made: {}{more}",
        upstream.asset,
        newer.len(),
        made.len(),
        named.join(", ")
    );
    Some(because(last, text))
}

/// When the newest of `tries` failed, and that it did and why, as words behind "its"; nothing when
/// the newest did not fail.
pub fn tries_words(tries: &[Try]) -> Option<(Timestamp, String)> {
    let is_failed =
        |tried: &&Try| matches!(tried.status, StepStatus::Failure | StepStatus::UpstreamFailed);
    let failed = tries.iter().take_while(is_failed).count();
    let newest = tries.first().filter(is_failed)?;
    let reason = match &newest.blocked_by {
        Some(step) => format!("step {step} before it failed"),
        None => error_words(newest.error.as_ref()),
    };
    let (run, at) = (newest.run.short(), newest.at);
    let words = match failed {
        1 => format!("last try failed, in run {run} at {at}: {reason}"),
        _ => format!("last {failed} tries failed, the newest in run {run} at {at}: {reason}"),
    };
    Some((at, words))
}

/// What keeps the runs that would make an asset, as a sentence behind another; empty when nothing
/// does.
fn held_up(facts: &AssetFacts) -> String {
    let mut runs = facts.made_by.iter().flat_map(|facts| &facts.runs);
    match runs.find_map(run_words) {
        Some(words) => format!(" Of its schedule's last tick {words}."),
        None => String::new(),
    }
}

/// What is stored about the schedules that make an asset.
fn makers(facts: &AssetFacts) -> Vec<Because> {
    let of_one = |facts: &ScheduleFacts| {
        let name = &facts.schedule.name;
        let stand = match (late_since(facts), facts.schedule.next_at) {
            _ if !facts.schedule.enabled => format!("schedule {name} would make it, and is off"),
            (Some(due), _) => {
                format!("schedule {name} makes it, and is late: it was due at {due}")
            }
            (None, Some(next)) => format!("schedule {name} makes it next at {next}"),
            (None, None) => format!("schedule {name} would make it, and is never due again"),
        };
        let tick =
            facts.schedule.last_tick.as_ref().map(|tick| {
                because(tick.decided_at, format!("schedule {name}: {}", tick_words(tick)))
            });
        let mut reasons = vec![because(None, stand)];
        reasons.extend(tick);
        reasons.extend(run_reasons(facts));
        reasons
    };
    facts.made_by.iter().flat_map(of_one).collect()
}

/// What is stored about the partitions.
fn parts(asset: &AssetRow) -> Vec<Because> {
    let word = |state| match state {
        PartitionState::Failed => "failed when they were made last",
        PartitionState::Running => "are being made",
        PartitionState::Missing => "were never made",
        PartitionState::Materialized => "are made",
    };
    let some = asset.counts.iter().filter(|(_, count)| **count > 0);
    some.map(|(state, count)| because(None, format!("{count} partitions {}", word(*state))))
        .collect()
}
