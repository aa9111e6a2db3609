//! Runs before they have a plan, and why they wait.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Cause, HumanDuration, LeaseLeft, LimitScope, PartitionKey, PoolName, RunId, StepKey, TenantId,
    Timestamp,
};

/// A wish for a run: what, for whom, why, and with which context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The tenant whose run it will be.
    pub tenant: TenantId,
    /// Why.
    pub cause: Cause,
    /// The partition, for what is partitioned.
    pub partition: Option<PartitionKey>,
    /// The trigger context that every step sees: an object.
    pub context: serde_json::Map<String, serde_json::Value>,
    /// Labels beside the job's own.
    pub tags: BTreeMap<String, String>,
}

/// A run that a daemon has claimed, with the epoch its worker must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedRun {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// The epoch that the claim issued.
    pub epoch: i64,
}

impl ClaimedRun {
    /// The external name of the worker that this claim intends; the claim has stored it, so a
    /// launch whose answer was lost is found again by looking for it.
    pub fn worker_name(&self) -> String {
        format!("run-{}-{}", self.run, self.epoch)
    }
}

/// A step, or a whole run, that has what another waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// The step, where a step holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepKey>,
}

/// What says how many runs of the instance may be in progress at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitFrom {
    /// The instance's settings, or their default.
    #[default]
    Settings,
    /// Definitions, whose larger number takes the place of the default.
    Definitions,
}

/// A step that waits for slots of a pool before another may have any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// How many slots it needs.
    pub needs: u32,
    /// The step; none where it is another tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Holder>,
}

/// Why a queued run, or a step of a run, has not started.
///
/// Its place among those that wait is no part of it: that changes with each start, and is counted
/// when somebody looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HoldReason {
    /// As many runs are in progress as the instance allows.
    NoFreeSlot {
        /// The limit.
        limit: u32,
        /// How many more are in progress: those that were when the limit was lowered.
        #[serde(default, skip_serializing_if = "is_zero")]
        over: u32,
        /// What says so.
        #[serde(default)]
        from: LimitFrom,
        /// The tenant's first few that are in progress, as they are when somebody looks.
        #[serde(default)]
        held_by: Vec<Holder>,
    },
    /// As many runs of the tenant are in progress as its definitions allow.
    TenantLimit {
        /// The limit.
        limit: u32,
        /// How many more are in progress: those that were when the limit was lowered.
        #[serde(default, skip_serializing_if = "is_zero")]
        over: u32,
        /// The first few of them, as they are when somebody looks.
        #[serde(default)]
        held_by: Vec<Holder>,
    },
    /// As many runs with a label are in progress as a limit allows.
    TagLimit {
        /// The label's key.
        key: String,
        /// The value that is counted apart from others, if values are.
        value: Option<String>,
        /// The limit.
        limit: u32,
        /// How many more count: those that did when the limit was lowered.
        #[serde(default, skip_serializing_if = "is_zero")]
        over: u32,
        /// Whose runs count.
        #[serde(default)]
        scope: LimitScope,
        /// Runs of the tenant that count: in progress, or about to be tried again. The first few.
        held_by: Vec<Holder>,
    },
    /// As many runs have started of late as a limit allows.
    RateLimit {
        /// The label's key; all runs count when absent.
        key: Option<String>,
        /// The limit.
        limit: u32,
        /// The time that it is about.
        per: HumanDuration,
        /// Whose runs count.
        #[serde(default)]
        scope: LimitScope,
        /// When the next run may start.
        until: Timestamp,
    },
    /// A pool has too few free slots for the step.
    PoolFull {
        /// The pool.
        pool: PoolName,
        /// How many slots it has.
        slots: u32,
        /// How many of them are held.
        held: u32,
        /// How many the step needs.
        needs: u32,
        /// Who holds them: the first few, and only those of the same tenant.
        held_by: Vec<Holder>,
        /// How many more steps of the same tenant hold some.
        #[serde(default, skip_serializing_if = "is_zero")]
        held_by_more: u32,
        /// How many of them steps of other tenants hold.
        #[serde(default)]
        held_by_others: u32,
        /// The step that waits for the pool first, where it is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        behind: Option<Ahead>,
    },
    /// The launcher could not start a worker; it is tried again.
    LaunchFailed {
        /// What the launcher said.
        error: String,
    },
    /// No daemon lives that would start it. It is never stored: it is so when somebody looks.
    NoDaemon {
        /// When the last one gave a sign of life, where one is known of.
        since: Option<Timestamp>,
        /// Whether it ended in order then.
        #[serde(default)]
        in_order: bool,
    },
    /// A daemon that is silent holds the queue's lease, and another has yet to take it over. It is
    /// never stored either.
    LeaseLeft(LeaseLeft),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFreeSlot { limit, over, from, held_by } => {
                let key = match from {
                    LimitFrom::Settings => "the instance's max_concurrent_runs",
                    LimitFrom::Definitions => {
                        "the largest queue.max_concurrent_runs in definition files"
                    }
                };
                full(f, (*limit, *over), "the instance", held_by)?;
                write!(f, " ({key})")
            }
            Self::TenantLimit { limit, over, held_by } => {
                full(f, (*limit, *over), "this tenant", held_by)?;
                f.write_str(" (queue.max_concurrent_runs in its definition files)")
            }
            Self::TagLimit { key, value, limit, over, scope, held_by } => {
                let label = value.as_ref().map_or_else(|| key.clone(), |it| format!("{key}={it}"));
                let of = of_whom(*scope);
                write!(f, "limit {limit} for tag `{label}`{of} is reached")?;
                if held_by.is_empty() && *scope == LimitScope::Instance && *limit > 0 {
                    return f.write_str(" by runs of other tenants");
                }
                counted(f, (*limit, *over), held_by)
            }
            Self::RateLimit { key, limit, per, scope, until } => {
                let of = of_whom(*scope);
                let what =
                    key.as_ref().map_or_else(String::new, |key| format!(" with tag `{key}`"));
                write!(f, "{limit} runs{of}{what} have started within {per}; ")?;
                write!(f, "the next may at {until}")
            }
            Self::PoolFull { pool, slots: 0, .. } => {
                write!(f, "waiting for pool `{pool}`, which has no slots")
            }
            Self::PoolFull {
                pool,
                slots,
                held,
                needs,
                held_by,
                held_by_more,
                held_by_others,
                behind,
            } => {
                write!(f, "waiting for pool `{pool}` ({held} of {slots} slots held")?;
                pool_holders(f, held_by, (*held_by_more, *held_by_others))?;
                pool_line(f, *needs, behind.as_ref())?;
                f.write_str(")")
            }
            Self::LaunchFailed { error } => write!(f, "the worker could not be launched: {error}"),
            Self::NoDaemon { since: None, .. } => {
                f.write_str("no server runs, and it waits until one starts (`millstream dev`)")
            }
            Self::NoDaemon { since: Some(since), in_order: true } => write!(
                f,
                "no server runs, and it waits until one starts (`millstream dev`): the last ended \
                 in order at {since}"
            ),
            Self::NoDaemon { since: Some(since), in_order: false } => write!(
                f,
                "no daemon has given a sign of life since {since}, and it waits until one starts"
            ),
            Self::LeaseLeft(left) => left.fmt(f),
        }
    }
}

impl HoldReason {
    /// The runs of the tenant that are in the way, where that is known.
    pub fn held_by(&self) -> &[Holder] {
        match self {
            Self::NoFreeSlot { held_by, .. }
            | Self::TenantLimit { held_by, .. }
            | Self::TagLimit { held_by, .. }
            | Self::PoolFull { held_by, .. } => held_by,
            Self::RateLimit { .. }
            | Self::LaunchFailed { .. }
            | Self::NoDaemon { .. }
            | Self::LeaseLeft(_) => &[],
        }
    }
}

/// That as many runs of `whom` are in progress as may be, or more since the limit was lowered.
fn full(
    f: &mut fmt::Formatter<'_>,
    (limit, over): (u32, u32),
    whom: &str,
    held_by: &[Holder],
) -> fmt::Result {
    let count = limit.saturating_add(over);
    let of_limit = if over == 0 { format!(" of {limit}") } else { String::new() };
    write!(f, "{count}{of_limit} runs of {whom} are in progress")?;
    some(f, count, held_by)?;
    match (over, limit) {
        (0, _) => Ok(()),
        (_, 0) => f.write_str("; none may be"),
        (_, _) => write!(f, "; {limit} may be, and {} must end first", over.saturating_add(1)),
    }
}

/// Who has reached the limit of a tag; all of them are named, or counted.
fn counted(
    f: &mut fmt::Formatter<'_>,
    (limit, over): (u32, u32),
    held_by: &[Holder],
) -> fmt::Result {
    let count = limit.saturating_add(over);
    if over == 0 && (held_by.is_empty() || are_all(count, held_by)) {
        return holders(f, held_by);
    }
    write!(f, " by {count} runs")?;
    some(f, count, held_by)?;
    if limit == 0 || over == 0 {
        return Ok(());
    }
    write!(f, "; {} must end first", over.saturating_add(1))
}

/// Whether as many are known as there are.
fn are_all(count: u32, held_by: &[Holder]) -> bool {
    u32::try_from(held_by.len()).is_ok_and(|known| known >= count)
}

/// The holders that are known of as many as `count`.
fn some(f: &mut fmt::Formatter<'_>, count: u32, held_by: &[Holder]) -> fmt::Result {
    let are_all = are_all(count, held_by);
    for (number, holder) in held_by.iter().enumerate() {
        f.write_str(match number {
            0 if are_all => ": ",
            0 => ", among them ",
            _ => ", ",
        })?;
        write!(f, "{holder}")?;
    }
    Ok(())
}

/// Whose runs a limit counts, where these are not the tenant's alone.
fn of_whom(scope: LimitScope) -> &'static str {
    match scope {
        LimitScope::Tenant => "",
        LimitScope::Instance => " of all tenants",
    }
}

/// Who holds slots of a pool: some steps, how many more of the tenant's, and others' slots.
fn pool_holders(
    f: &mut fmt::Formatter<'_>,
    held_by: &[Holder],
    (more, others): (u32, u32),
) -> fmt::Result {
    holders(f, held_by)?;
    if more > 0 {
        write!(f, " and {more} more")?;
    }
    if others > 0 { write!(f, ", {others} by other tenants") } else { Ok(()) }
}

/// How many slots a step needs, where that is not plain, and the step that it waits behind.
fn pool_line(f: &mut fmt::Formatter<'_>, needs: u32, behind: Option<&Ahead>) -> fmt::Result {
    match (needs, behind) {
        (1, Some(ahead)) if ahead.needs > 1 => f.write_str("; 1 is needed, ")?,
        (1, Some(_)) => f.write_str("; ")?,
        (1, None) => return Ok(()),
        (_, Some(_)) => write!(f, "; {needs} are needed, ")?,
        (_, None) => return write!(f, "; {needs} are needed"),
    }
    let Some(ahead) = behind else { return Ok(()) };
    f.write_str("behind ")?;
    match &ahead.step {
        Some(holder) => write!(f, "{holder}")?,
        None => f.write_str("a step of another tenant")?,
    }
    if ahead.needs > 1 { write!(f, ", which needs {}", ahead.needs) } else { Ok(()) }
}

fn holders(f: &mut fmt::Formatter<'_>, held_by: &[Holder]) -> fmt::Result {
    for (number, holder) in held_by.iter().enumerate() {
        f.write_str(if number == 0 { " by " } else { ", " })?;
        write!(f, "{holder}")?;
    }
    Ok(())
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = &self.step {
            write!(f, "`{step}` of ")?;
        }
        write!(f, "run {}", self.run.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/guide/queue.md");

    /// What the page has of a reason, without what differs from run to run.
    fn on_page(reason: &HoldReason) -> &'static [&'static str] {
        match reason {
            HoldReason::NoFreeSlot { .. } => &["runs of the instance are in progress"],
            HoldReason::TenantLimit { .. } => &["runs of this tenant are in progress"],
            HoldReason::TagLimit { scope: LimitScope::Instance, .. } => {
                &["limit 1 for tag `gpu` of all tenants is reached by runs of other tenants"]
            }
            HoldReason::TagLimit { .. } => &["limit 0 for tag `gpu` is reached"],
            HoldReason::RateLimit { key: Some(_), .. } => {
                &["10 runs with tag `api` have started within 1m; the next may at "]
            }
            HoldReason::RateLimit { .. } => {
                &["100 runs of all tenants have started within 1m; the next may at "]
            }
            HoldReason::PoolFull { slots: 0, .. } => {
                &["waiting for pool `warehouse`, which has no slots"]
            }
            HoldReason::PoolFull { .. } => {
                &["(2 of 2 slots held, 2 by other tenants; behind a step of another tenant)"]
            }
            HoldReason::LaunchFailed { .. } => &["the worker could not be launched: "],
            HoldReason::NoDaemon { since: Some(_), in_order: false } => {
                &["no daemon has given a sign of life since ", ", and it waits until one starts"]
            }
            HoldReason::NoDaemon { .. } => &["no server runs, and it waits until one starts "],
            HoldReason::LeaseLeft(LeaseLeft { taken_within: None, .. }) => &[
                "the queue's lease is held by a daemon silent for ",
                ", and no other daemon lives that would take it over",
            ],
            HoldReason::LeaseLeft(_) => &[
                "the queue's lease is held by a daemon silent for ",
                ", and is taken over within ",
            ],
        }
    }

    #[test]
    fn the_guide_to_the_queue_has_each_reason_to_wait_in_its_words() {
        let at = Timestamp::from_micros(0);
        let tag = |limit, scope| {
            let (key, value, held_by) = ("gpu".to_owned(), None, Vec::new());
            HoldReason::TagLimit { key, value, limit, over: 0, scope, held_by }
        };
        let rate = |key: Option<&str>, limit, scope| {
            let per = HumanDuration::from_secs(60);
            HoldReason::RateLimit { key: key.map(str::to_owned), limit, per, scope, until: at }
        };
        let pool = |slots, behind| HoldReason::PoolFull {
            pool: "warehouse".parse().unwrap(),
            slots,
            held: slots,
            needs: 1,
            held_by: Vec::new(),
            held_by_more: 0,
            held_by_others: slots,
            behind,
        };
        let left = |taken_within| LeaseLeft {
            lease: "queue".to_owned(),
            silent_for: HumanDuration::from_secs(9),
            taken_within,
        };
        let reasons = [
            HoldReason::NoFreeSlot {
                limit: 10,
                over: 0,
                from: LimitFrom::Settings,
                held_by: Vec::new(),
            },
            HoldReason::TenantLimit { limit: 35, over: 0, held_by: Vec::new() },
            tag(1, LimitScope::Instance),
            tag(0, LimitScope::Tenant),
            rate(Some("api"), 10, LimitScope::Tenant),
            rate(None, 100, LimitScope::Instance),
            pool(0, None),
            pool(2, Some(Ahead { step: None, needs: 1 })),
            HoldReason::LaunchFailed { error: "no place".to_owned() },
            HoldReason::NoDaemon { since: Some(at), in_order: false },
            HoldReason::NoDaemon { since: Some(at), in_order: true },
            HoldReason::NoDaemon { since: None, in_order: false },
            HoldReason::LeaseLeft(left(None)),
            HoldReason::LeaseLeft(left(Some(HumanDuration::from_secs(11)))),
        ];
        for reason in reasons {
            let (said, words) = (reason.to_string(), on_page(&reason));
            let has_all = |text: &str| words.iter().all(|words| text.contains(words));
            assert!(has_all(&said), "{said}: {words:?}");
            let mut rows = PAGE.lines().filter(|line| line.starts_with("| "));
            assert!(rows.any(has_all), "the page lacks {words:?}");
        }
    }
}
