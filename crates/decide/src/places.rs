//! Which steps of a run wait for nothing but a place among those that go on at once.
//!
//! Pure: `control::waiting` asks for the steps of a run in progress, and pages show the words. A
//! worker gives the places itself, as `plan::progress` says, and does not tell; what is stored of
//! the steps says it too.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::view::StepRow;
use millstream_model::{StepKey, StepStatus, Timestamp};

/// The steps that wait for a place, and why there is none, in words. A step of `steps` that could
/// start and has a reason waits for a pool: it has its place already.
#[must_use]
pub fn waits(
    steps: &[StepRow],
    max_parallel: Option<u32>,
    now: Timestamp,
) -> BTreeMap<StepKey, String> {
    // Where the plan does not say how many may go on, one that does nothing takes no place.
    let needs_place = |step: &&StepRow| max_parallel.is_some() || step.kind != "noop";
    let counted: Vec<&StepRow> = steps.iter().filter(needs_place).collect();
    let running = counted.iter().filter(|step| step.status == StepStatus::Started).count();
    let pooled = counted.iter().filter(|step| is_open(step) && step.reason.is_some()).count();
    let taken = running + pooled;
    // How many a worker runs at once by itself is not stored: its first place is never missing.
    let places = max_parallel.map_or(1, |max| usize::try_from(max).unwrap_or(usize::MAX));
    if taken < places.max(1) {
        return BTreeMap::new();
    }
    let over: BTreeSet<&StepKey> =
        steps.iter().filter(|step| step.status.is_terminal()).map(|step| &step.step).collect();
    let waits = |step: &&&StepRow| {
        is_open(step)
            && step.reason.is_none()
            && step.retry_at.is_none_or(|at| at <= now)
            && step.depends_on.iter().all(|upstream| over.contains(upstream))
    };
    let why = words(taken, pooled, max_parallel);
    counted.iter().filter(waits).map(|step| (step.step.clone(), why.clone())).collect()
}

fn is_open(step: &StepRow) -> bool {
    matches!(step.status, StepStatus::Pending | StepStatus::Retrying)
}

fn words(taken: usize, pooled: usize, max_parallel: Option<u32>) -> String {
    let doing = if pooled == 0 { "running" } else { "running or waiting for a pool" };
    if let Some(max) = max_parallel {
        let of = format!("{taken} of {max} steps of this run are {doing}");
        return format!("waiting for a place: {of} (max_parallel)");
    }
    let are = if taken == 1 { "step of this run is" } else { "steps of this run are" };
    format!(
        "waiting for a place: {taken} {are} {doing}, and without max_parallel its worker runs as \
         many at once as it has processors"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, status: StepStatus) -> StepRow {
        StepRow {
            step: name.parse().unwrap(),
            kind: "command".to_owned(),
            depends_on: Vec::new(),
            status,
            attempt: 0,
            attempts: 1,
            started_at: None,
            ended_at: None,
            retry_at: None,
            error: None,
            reason: None,
            result: serde_json::Value::Null,
            result_ref: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn names(waits: &BTreeMap<StepKey, String>) -> Vec<&str> {
        waits.keys().map(StepKey::as_str).collect()
    }

    #[test]
    fn steps_that_could_start_wait_while_all_places_are_taken() {
        let steps = [
            step("a", StepStatus::Started),
            step("b", StepStatus::Started),
            step("c", StepStatus::Pending),
        ];
        let found = waits(&steps, Some(2), at(0));
        assert_eq!(names(&found), ["c"]);
        let why = "waiting for a place: 2 of 2 steps of this run are running (max_parallel)";
        assert_eq!(found.values().next().unwrap(), why);
        assert!(waits(&steps, Some(3), at(0)).is_empty(), "it starts at once");
    }

    #[test]
    fn a_step_that_waits_for_others_or_for_its_next_attempt_waits_for_no_place() {
        let steps = [
            step("a", StepStatus::Started),
            step("b", StepStatus::Success),
            StepRow {
                depends_on: vec!["a".parse().unwrap()],
                ..step("after_a", StepStatus::Pending)
            },
            StepRow {
                depends_on: vec!["b".parse().unwrap()],
                ..step("after_b", StepStatus::Pending)
            },
            StepRow { retry_at: Some(at(9)), ..step("again", StepStatus::Retrying) },
        ];
        assert_eq!(names(&waits(&steps, Some(1), at(5))), ["after_b"]);
        assert_eq!(names(&waits(&steps, Some(1), at(9))), ["after_b", "again"]);
    }

    #[test]
    fn a_step_that_does_nothing_takes_no_place_unless_the_plan_counts_it() {
        let noop = |name, status| StepRow { kind: "noop".to_owned(), ..step(name, status) };
        let steps = [
            noop("idle", StepStatus::Started),
            noop("next", StepStatus::Pending),
            step("a", StepStatus::Pending),
        ];
        assert!(waits(&steps, None, at(0)).is_empty(), "nothing takes a place");
        assert_eq!(names(&waits(&steps, Some(1), at(0))), ["a", "next"]);
        let [idle, next, _] = steps;
        let busy = [idle, next, step("a", StepStatus::Started), step("b", StepStatus::Pending)];
        assert_eq!(names(&waits(&busy, None, at(0))), ["b"]);
    }

    #[test]
    fn a_step_that_waits_for_a_pool_has_its_place() {
        let pooled = StepRow {
            reason: Some("waiting for pool `w`".to_owned()),
            ..step("pooled", StepStatus::Pending)
        };
        let steps = [pooled, step("plain", StepStatus::Pending)];
        let found = waits(&steps, Some(1), at(0));
        assert_eq!(names(&found), ["plain"]);
        let why = found.values().next().unwrap();
        assert!(
            why.contains("1 of 1 steps of this run are running or waiting for a pool"),
            "{why}"
        );
    }

    #[test]
    fn without_a_number_of_its_own_a_run_says_what_its_worker_goes_by() {
        let steps = [step("a", StepStatus::Started), step("b", StepStatus::Pending)];
        let found = waits(&steps, None, at(0));
        let why = found.values().next().unwrap();
        assert!(
            why.starts_with("waiting for a place: 1 step of this run is running, and"),
            "{why}"
        );
        assert!(waits(&steps[1..], None, at(0)).is_empty());
    }
}
