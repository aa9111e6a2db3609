//! Runs that are played through, by hand and at random.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_model::worker_api::StepProgress;
use millstream_model::{
    Backoff, CommandStep, ErrorCode, EventBody, HumanDuration, RetryPolicy, RunPlan, StepConfig,
    StepError, StepKey, StepStatus, Timestamp,
};
use millstream_plan::progress::{AttemptEnd, Need, Progress, ProgressError, RunOutcome};
use proptest::prelude::*;

use crate::plan_of;

const START: Timestamp = Timestamp::EPOCH;

fn key(text: &str) -> StepKey {
    text.parse().unwrap()
}

fn succeeded() -> AttemptEnd {
    AttemptEnd::Succeeded {
        took: Duration::from_millis(5),
        result: serde_json::Value::Null,
        result_ref: None,
    }
}

fn skipped() -> AttemptEnd {
    AttemptEnd::Skipped { reason: "nothing new".to_owned() }
}

fn error() -> StepError {
    StepError { code: ErrorCode::StepExit, message: "exit code 1".to_owned(), detail: None }
}

fn failed() -> AttemptEnd {
    AttemptEnd::Failed(error())
}

/// `a` and `b` above `join`, and `end` below it.
fn diamond(retry: &RetryPolicy) -> RunPlan {
    plan_of(&[("a", &[]), ("b", &[]), ("join", &["a", "b"]), ("end", &["join"])], retry)
}

fn begin(plan: &RunPlan) -> Progress {
    let (progress, events) = Progress::new(plan, &[], START);
    assert_eq!(events, [], "nothing follows from a fresh start");
    progress
}

fn play(progress: &mut Progress, step: &str, end: AttemptEnd) -> Vec<EventBody> {
    progress.start(&key(step), START).unwrap();
    progress.finish(&key(step), end, START, 0.5).unwrap()
}

/// What happened to which step, in one word each.
fn words(events: &[EventBody]) -> Vec<String> {
    events.iter().map(|e| format!("{} {}", e.kind(), e.step().unwrap())).collect()
}

fn ready(progress: &Progress) -> Vec<String> {
    progress.ready(START, 100).iter().map(ToString::to_string).collect()
}

#[test]
fn r194_a_run_without_a_failed_step_succeeds() {
    let mut run = begin(&diamond(&RetryPolicy::NEVER));
    assert_eq!(ready(&run), ["a", "b"]);
    for step in ["b", "a", "join", "end"] {
        assert_eq!(run.outcome(), None);
        play(&mut run, step, succeeded());
    }
    assert_eq!(run.outcome(), Some(RunOutcome::Succeeded));
    assert_eq!(begin(&plan_of(&[], &RetryPolicy::NEVER)).outcome(), Some(RunOutcome::Succeeded));
}

#[test]
fn r194_a_failure_takes_all_below_it_along_and_names_itself() {
    let mut run = begin(&diamond(&RetryPolicy::NEVER));
    let events = play(&mut run, "b", failed());
    assert_eq!(
        words(&events),
        ["step_failed b", "step_upstream_failed join", "step_upstream_failed end"]
    );
    assert_eq!(
        events.last(),
        Some(&EventBody::StepUpstreamFailed { step: key("end"), upstream: key("b") })
    );
    assert_eq!(run.outcome(), None, "a has yet to end");
    assert_eq!(play(&mut run, "a", succeeded()).len(), 1);
    let reason = "step `b` failed: exit code 1".to_owned();
    assert_eq!(run.outcome(), Some(RunOutcome::Failed { reason }));
}

#[test]
fn r136_a_skipped_step_skips_those_below_it_and_fails_nothing() {
    let mut run = begin(&diamond(&RetryPolicy::NEVER));
    assert_eq!(words(&play(&mut run, "a", skipped())), ["step_skipped a"]);
    let events = play(&mut run, "b", succeeded());
    let reason = |above: &str| format!("upstream `{above}` was skipped");
    assert_eq!(
        events.get(1..),
        Some(
            [("join", "a"), ("end", "join")]
                .map(|(step, above)| EventBody::StepSkipped {
                    step: key(step),
                    attempt: 0,
                    reason: reason(above),
                })
                .as_slice()
        )
    );
    assert_eq!(run.outcome(), Some(RunOutcome::Succeeded));
}

#[test]
fn r194_a_failure_above_outweighs_a_skip_whichever_comes_first() {
    for order in [["a", "b"], ["b", "a"]] {
        let mut run = begin(&diamond(&RetryPolicy::NEVER));
        for step in order {
            play(&mut run, step, if step == "a" { skipped() } else { failed() });
        }
        assert_eq!(run.status(&key("end")), Some(StepStatus::UpstreamFailed), "{order:?}");
    }
}

#[test]
fn r191_a_step_waits_its_delay_and_fails_after_the_last_attempt() {
    let twice = RetryPolicy {
        max: 1,
        delay: HumanDuration::from_secs(2),
        backoff: Backoff::Exponential,
        jitter: false,
    };
    let mut run = begin(&plan_of(&[("a", &[]), ("b", &["a"])], &twice));
    let events = play(&mut run, "a", failed());
    let [EventBody::StepFailed { attempt: 1, retry: Some(retry), .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((retry.attempt, retry.delay()), (2, Duration::from_secs(2)));

    let due = START.after(Duration::from_secs(2));
    assert_eq!(ready(&run), [""; 0]);
    assert_eq!(run.next_wakeup(START), Some(due));
    assert!(matches!(run.start(&key("a"), START), Err(ProgressError::NotReady { .. })));
    assert_eq!(run.ready(due, 1), [key("a")]);
    assert_eq!(run.next_wakeup(due), None, "what is due already needs no waking");

    let started = run.start(&key("a"), due).unwrap();
    assert_eq!(started, EventBody::StepStarted { step: key("a"), attempt: 2 });
    let events = run.finish(&key("a"), failed(), due, 0.5).unwrap();
    assert_eq!(words(&events), ["step_failed a", "step_upstream_failed b"]);
}

#[test]
fn a_failure_that_asks_for_time_gets_it_within_its_policy() {
    let retry = RetryPolicy { max: 2, delay: HumanDuration::from_secs(5), ..RetryPolicy::NEVER };
    let mut run = begin(&plan_of(&[("a", &[])], &retry));
    let asked = |seconds| AttemptEnd::FailedFor(error(), Duration::from_secs(seconds));
    let wait_of = |events: &[EventBody]| match events {
        [EventBody::StepFailed { retry, .. }] => retry.map(|retry| retry.delay().as_secs()),
        other => panic!("{other:?}"),
    };
    assert_eq!(wait_of(&play(&mut run, "a", asked(30))), Some(30));
    let due = START.after(Duration::from_secs(30));
    run.start(&key("a"), due).unwrap();
    let events = run.finish(&key("a"), asked(1), due, 0.5).unwrap();
    assert_eq!(wait_of(&events), Some(5), "its own wait is longer");
    let due = due.after(Duration::from_secs(5));
    run.start(&key("a"), due).unwrap();
    let events = run.finish(&key("a"), asked(30), due, 0.5).unwrap();
    assert_eq!(wait_of(&events), None, "its attempts are used up");
}

#[test]
fn a_failure_that_no_attempt_can_mend_is_not_tried_again() {
    let patient = RetryPolicy { max: 9, ..RetryPolicy::NEVER };
    let mut run = begin(&plan_of(&[("a", &[])], &patient));
    let events = run.finish(&key("a"), AttemptEnd::FailedForGood(error()), START, 0.5).unwrap();
    assert!(matches!(events.as_slice(), [EventBody::StepFailed { attempt: 0, retry: None, .. }]));
    assert!(matches!(run.outcome(), Some(RunOutcome::Failed { .. })));
}

#[test]
fn no_more_steps_start_than_may_go_on_at_once() {
    let plan = plan_of(&[("a", &[]), ("b", &[]), ("c", &[])], &RetryPolicy::NEVER);
    let mut run = begin(&plan);
    assert_eq!(run.ready(START, 2), [key("a"), key("b")]);
    run.start(&key("a"), START).unwrap();
    assert_eq!(run.ready(START, 2), [key("b")]);
    run.start(&key("b"), START).unwrap();
    assert_eq!(run.ready(START, 2), []);
    assert_eq!(run.running().count(), 2);
}

/// `count` commands and then one step that does nothing.
fn many(count: usize) -> RunPlan {
    let names: Vec<String> = (0..=count).map(|number| format!("s{number}")).collect();
    let steps: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    let mut plan = plan_of(&steps, &RetryPolicy::NEVER);
    let command: CommandStep =
        serde_json::from_value(serde_json::json!({ "command": ["true"] })).unwrap();
    for step in &mut plan.steps[..count] {
        step.step = StepConfig::Command(command.clone());
    }
    plan
}

#[test]
fn a_step_that_needs_nothing_is_found_behind_ten_thousand_that_wait_for_a_place() {
    let mut run = begin(&many(10_000));
    assert_eq!(run.ready_for(&[Need::Nothing], START, 1), [key("s10000")]);
    let both = run.ready_for(&[Need::Place, Need::Nothing], START, 2);
    assert_eq!(both, [key("s0"), key("s1")], "in the order of the plan");
    run.start(&key("s10000"), START).unwrap();
    assert_eq!((run.running_count(), run.running_idle_count()), (1, 1));
    assert_eq!(run.ready_for(&[Need::Nothing], START, 9), []);
    run.finish(&key("s10000"), succeeded(), START, 0.5).unwrap();
    assert_eq!((run.running_count(), run.running_idle_count()), (0, 0));
}

#[test]
fn each_of_ten_thousand_steps_is_told_once_to_who_starts_all_that_it_is_told() {
    let mut run = begin(&many(10_000));
    let (mut told, mut places) = (0, Vec::new());
    while run.outcome().is_none() {
        for step in run.ready_for(&[Need::Place], START, 4 - places.len()) {
            told += 1;
            run.start(&step, START).unwrap();
            places.push(step);
        }
        let idle = run.ready_for(&[Need::Nothing], START, 256);
        told += idle.len();
        for step in idle {
            run.start(&step, START).unwrap();
            run.finish(&step, succeeded(), START, 0.5).unwrap();
        }
        if let Some(step) = places.pop() {
            run.finish(&step, succeeded(), START, 0.5).unwrap();
        }
    }
    assert_eq!(told, 10_001);
}

#[test]
fn r203_a_cancel_stops_what_waits_and_waits_for_what_runs() {
    let retry = RetryPolicy { max: 1, delay: HumanDuration::from_secs(9), ..RetryPolicy::NEVER };
    let mut run = begin(&diamond(&retry));
    play(&mut run, "a", failed());
    run.start(&key("b"), START).unwrap();
    assert_eq!(
        words(&run.cancel()),
        ["step_canceled a", "step_canceled join", "step_canceled end"]
    );
    assert_eq!(run.cancel(), [], "a second cancel changes nothing");
    assert_eq!((ready(&run), run.next_wakeup(START)), (Vec::new(), None));
    assert_eq!(run.outcome(), None);
    let events = run.finish(&key("b"), AttemptEnd::Canceled, START, 0.5).unwrap();
    assert_eq!(words(&events), ["step_canceled b"]);
    assert_eq!(run.outcome(), Some(RunOutcome::Canceled));
}

#[test]
fn r203_a_step_that_fails_while_the_run_stops_is_not_tried_again() {
    let patient = RetryPolicy { max: 9, ..RetryPolicy::NEVER };
    let mut run = begin(&plan_of(&[("a", &[]), ("b", &["a"])], &patient));
    run.start(&key("a"), START).unwrap();
    run.cancel();
    let events = run.finish(&key("a"), failed(), START, 0.5).unwrap();
    assert!(matches!(events.as_slice(), [EventBody::StepFailed { retry: None, .. }]));
    assert_eq!(run.outcome(), Some(RunOutcome::Canceled), "b was stopped");
}

#[test]
fn r203_work_that_was_done_before_the_cancel_arrived_counts() {
    let mut run = begin(&plan_of(&[("a", &[])], &RetryPolicy::NEVER));
    run.start(&key("a"), START).unwrap();
    run.cancel();
    run.finish(&key("a"), succeeded(), START, 0.5).unwrap();
    assert_eq!(run.outcome(), Some(RunOutcome::Succeeded));
}

fn left(step: &str, status: StepStatus, attempt: u32) -> StepProgress {
    let result = serde_json::Value::Null;
    StepProgress { step: key(step), status, attempt, retry_at: None, result, result_ref: None }
}

#[test]
fn r195_a_new_worker_loses_the_attempt_of_the_old_one_and_counts_on() {
    let earlier = [left("a", StepStatus::Success, 1), left("b", StepStatus::Started, 1)];
    let (mut run, events) = Progress::new(&diamond(&RetryPolicy::NEVER), &earlier, START);
    assert_eq!(events, [EventBody::StepLost { step: key("b"), attempt: 1 }]);
    assert_eq!(ready(&run), ["b"]);
    let started = run.start(&key("b"), START).unwrap();
    assert_eq!(started, EventBody::StepStarted { step: key("b"), attempt: 2 });
    run.finish(&key("b"), succeeded(), START, 0.5).unwrap();
    assert_eq!(ready(&run), ["join"]);
}

#[test]
fn a_new_worker_keeps_the_time_that_was_announced_for_the_next_attempt() {
    let due = START.after(Duration::from_secs(40));
    let waits = StepProgress { retry_at: Some(due), ..left("a", StepStatus::Retrying, 1) };
    let lost = left("b", StepStatus::Retrying, 1);
    let seconds = HumanDuration::from_secs;
    let retry = RetryPolicy { max: 1, delay: seconds(60), ..RetryPolicy::NEVER };
    let earlier = [waits, lost];
    let (mut run, events) = Progress::new(&diamond(&retry), &earlier, START);
    assert_eq!(events, []);
    assert_eq!(ready(&run), ["b"], "what was lost with a worker is made again at once");
    assert_eq!(run.next_wakeup(START), Some(due));
    assert!(matches!(run.start(&key("a"), START), Err(ProgressError::NotReady { .. })));
    let started = run.start(&key("a"), due).unwrap();
    assert_eq!(started, EventBody::StepStarted { step: key("a"), attempt: 2 });
    // By a clock that was ahead it would have to wait for longer than it ever does.
    let retry = RetryPolicy { delay: seconds(30), ..retry };
    let (run, _) = Progress::new(&diamond(&retry), &earlier, START);
    assert_eq!(run.next_wakeup(START), Some(START.after(Duration::from_secs(30))));
}

#[test]
fn r195_what_an_old_worker_had_no_time_to_report_follows_at_once() {
    let earlier = [left("a", StepStatus::Failure, 1)];
    let (run, events) = Progress::new(&diamond(&RetryPolicy::NEVER), &earlier, START);
    assert_eq!(words(&events), ["step_upstream_failed join", "step_upstream_failed end"]);
    assert_eq!(ready(&run), ["b"]);

    let half = [left("b", StepStatus::Failure, 1), left("join", StepStatus::UpstreamFailed, 0)];
    let (mut run, events) = Progress::new(&diamond(&RetryPolicy::NEVER), &half, START);
    let end = EventBody::StepUpstreamFailed { step: key("end"), upstream: key("b") };
    assert_eq!(events, [end]);
    play(&mut run, "a", succeeded());
    let reason = "step `b` failed".to_owned();
    assert_eq!(run.outcome(), Some(RunOutcome::Failed { reason }));
}

#[test]
fn r203_a_new_worker_goes_on_with_the_cancel_that_an_old_one_began() {
    let earlier = [left("a", StepStatus::Canceled, 1), left("b", StepStatus::Started, 1)];
    let (run, events) = Progress::new(&diamond(&RetryPolicy::NEVER), &earlier, START);
    assert_eq!(
        words(&events),
        ["step_lost b", "step_canceled b", "step_canceled join", "step_canceled end"]
    );
    assert_eq!(run.outcome(), Some(RunOutcome::Canceled));
}

#[test]
fn r195_a_step_that_ended_does_not_start_or_end_again() {
    let mut run = begin(&diamond(&RetryPolicy::NEVER));
    play(&mut run, "a", succeeded());
    assert!(matches!(run.start(&key("a"), START), Err(ProgressError::NotReady { .. })));
    let again = run.finish(&key("a"), succeeded(), START, 0.5);
    assert!(matches!(again, Err(ProgressError::Illegal { .. })));
    let early = run.finish(&key("end"), skipped(), START, 0.5);
    assert!(matches!(early, Err(ProgressError::NotReady { .. })));
    assert!(matches!(run.start(&key("x"), START), Err(ProgressError::UnknownStep { .. })));
}

#[test]
fn a_run_of_ten_thousand_steps_with_a_wide_fan_in_is_played_quickly() {
    let names: Vec<String> = (0..10_000).map(|i| format!("s{i}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut steps: Vec<(&str, &[&str])> = all.iter().map(|name| (*name, [].as_slice())).collect();
    steps.push(("join", &all));
    let mut run = begin(&plan_of(&steps, &RetryPolicy::NEVER));
    let mut count = 0;
    while let Some(step) = run.ready(START, 8).first().cloned() {
        play(&mut run, step.as_str(), succeeded());
        count += 1;
    }
    assert_eq!((count, run.outcome()), (10_001, Some(RunOutcome::Succeeded)));
}

/// A graph whose steps depend only on earlier ones, and what each attempt at a step comes to.
#[derive(Debug, Clone)]
struct Game {
    depends_on: Vec<Vec<usize>>,
    /// For each step how many attempts fail first, and whether the next one then skips.
    fates: Vec<(u32, bool)>,
    /// Which of the running steps ends next, and after how many moves a worker is lost or the run
    /// is canceled.
    moves: Vec<usize>,
    worker_lost_at: Option<usize>,
    cancel_at: Option<usize>,
    max_parallel: usize,
}

const RETRIES: u32 = 2;

fn games() -> impl Strategy<Value = Game> {
    (1_usize..14).prop_flat_map(|count| {
        let depends_on: Vec<_> =
            (0..count).map(|step| proptest::collection::btree_set(0..step.max(1), 0..4)).collect();
        let fates = proptest::collection::vec((0_u32..5, proptest::bool::weighted(0.2)), count);
        let moves = proptest::collection::vec(0_usize..14, 200);
        let lost = proptest::option::weighted(0.3, 0_usize..20);
        let cancel = proptest::option::weighted(0.2, 0_usize..20);
        (depends_on, fates, moves, lost, cancel, 1_usize..5).prop_map(
            |(depends_on, fates, moves, worker_lost_at, cancel_at, max_parallel)| Game {
                depends_on: depends_on
                    .into_iter()
                    .enumerate()
                    .map(|(step, above)| above.into_iter().filter(|a| *a < step).collect())
                    .collect(),
                fates,
                moves,
                worker_lost_at,
                cancel_at,
                max_parallel,
            },
        )
    })
}

/// What a reader of the events believes: the statuses and attempts they add up to.
#[derive(Default)]
struct Log {
    steps: BTreeMap<StepKey, (StepStatus, u32)>,
    starts: BTreeSet<(StepKey, u32)>,
    canceled: bool,
}

impl Log {
    fn read(&mut self, events: &[EventBody]) {
        for event in events {
            let step = event.step().unwrap().clone();
            let (status, attempt) =
                self.steps.get(&step).copied().unwrap_or((StepStatus::Pending, 0));
            let status = status.after(event.step_event().unwrap()).unwrap();
            let attempt = match event {
                EventBody::StepStarted { attempt, .. } => {
                    assert!(self.starts.insert((step.clone(), *attempt)), "{step} twice");
                    assert!(!self.canceled, "{step} started after the cancel");
                    *attempt
                }
                _ => attempt,
            };
            self.steps.insert(step, (status, attempt));
        }
    }

    fn left(&self) -> Vec<StepProgress> {
        let left = |(step, (status, attempt)): (&StepKey, &(StepStatus, u32))| {
            left(step.as_str(), *status, *attempt)
        };
        self.steps.iter().map(left).collect()
    }
}

fn plan_of_game(game: &Game) -> RunPlan {
    let names: Vec<String> = (0..game.depends_on.len()).map(|i| format!("s{i}")).collect();
    let above: Vec<Vec<&str>> = game
        .depends_on
        .iter()
        .map(|above| above.iter().map(|i| names[*i].as_str()).collect())
        .collect();
    let steps: Vec<(&str, &[&str])> =
        names.iter().zip(&above).map(|(name, above)| (name.as_str(), above.as_slice())).collect();
    plan_of(&steps, &RetryPolicy { max: RETRIES, ..RetryPolicy::NEVER })
}

/// Plays `game` to its end and returns the log and the outcome.
fn play_game(game: &Game) -> (Log, RunOutcome) {
    let plan = plan_of_game(game);
    let mut log = Log::default();
    let mut run = begin(&plan);
    for (count, chosen) in game.moves.iter().enumerate() {
        // A run that is canceled and loses its worker is canceled then, and given to no other.
        if game.worker_lost_at == Some(count) && !log.canceled {
            let (next, events) = Progress::new(&plan, &log.left(), START);
            log.read(&events);
            run = next;
        }
        if game.cancel_at == Some(count) {
            log.read(&run.cancel());
            log.canceled = true;
        }
        for step in run.ready(START, game.max_parallel) {
            log.read(&[run.start(&step, START).unwrap()]);
        }
        let running: Vec<StepKey> = run.running().cloned().collect();
        assert!(running.len() <= game.max_parallel);
        let Some(step) = running.get(chosen % running.len().max(1)) else { break };
        let place: usize = step.as_str()[1..].parse().unwrap();
        let (failures, skips) = game.fates[place];
        let end = match run.attempt(step).unwrap() {
            attempt if attempt <= failures => failed(),
            _ if skips => skipped(),
            _ => succeeded(),
        };
        log.read(&run.finish(step, end, START, 0.5).unwrap());
    }
    // With no step ready and none running, the run has ended.
    (log, run.outcome().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn r194_r195_every_run_ends_and_its_steps_agree_with_the_rules(game in games()) {
        let (log, outcome) = play_game(&game);
        let status = |step: usize| log.steps.get(&key(&format!("s{step}"))).unwrap().0;
        let mut any_failed = false;
        let mut any_canceled = false;
        for (step, above) in game.depends_on.iter().enumerate() {
            let above: Vec<StepStatus> = above.iter().map(|above| status(*above)).collect();
            let blocked =
                above.iter().any(|s| matches!(s, StepStatus::Failure | StepStatus::UpstreamFailed));
            match status(step) {
                StepStatus::Success => {
                    prop_assert!(above.iter().all(|s| *s == StepStatus::Success));
                }
                StepStatus::Failure => {
                    prop_assert!(above.iter().all(|s| *s == StepStatus::Success));
                    any_failed = true;
                }
                StepStatus::UpstreamFailed => prop_assert!(blocked),
                StepStatus::Skipped => prop_assert!(!blocked),
                StepStatus::Canceled => any_canceled = true,
                other => prop_assert!(false, "s{step} stayed {other}"),
            }
        }
        let expected_failure = matches!(outcome, RunOutcome::Failed { .. });
        prop_assert_eq!(outcome == RunOutcome::Canceled, any_canceled);
        prop_assert_eq!(expected_failure, any_failed && !any_canceled);
    }

    #[test]
    fn r194_the_order_in_which_steps_end_does_not_change_what_becomes_of_them(
        game in games(),
        other_moves in proptest::collection::vec(0_usize..14, 200),
    ) {
        let game = Game { worker_lost_at: None, cancel_at: None, ..game };
        let other = Game { moves: other_moves, max_parallel: 9, ..game.clone() };
        let ends = |log: Log| -> Vec<(StepKey, StepStatus)> {
            log.steps.into_iter().map(|(step, (status, _))| (step, status)).collect()
        };
        prop_assert_eq!(ends(play_game(&game).0), ends(play_game(&other).0));
    }
}
