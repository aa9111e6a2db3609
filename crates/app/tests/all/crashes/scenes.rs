//! What goes on when somebody dies, what it must come to, and how that is seen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::server::Server;

/// What goes on when somebody dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scene {
    /// Three assets in a row are made.
    Chain,
    /// The same, and the second one's first attempt lasts until it is ended or let go.
    Lasting,
    /// The same is canceled.
    Canceled,
    /// The same was left by a server that died; the next one finds the loss.
    Lost,
    /// A run fails and is tried again.
    Retried,
    /// A run fails, and so does its retry.
    GivenUp,
    /// A step fails and is tried again.
    Repeated,
    /// A run takes longer than it may.
    TimedOut,
    /// Two steps share a slot.
    Slots,
    /// A schedule ticks every second.
    Ticks,
    /// A sensor requests a run and adds a partition each time it is asked.
    Sensed,
    /// A server starts on an empty database.
    Started,
    /// A server starts where another one has died.
    StartedAgain,
}

/// What a scene must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There never was a run.
    NoRun,
    /// The newest run ends so, and every other one ends somehow.
    Run(&'static str),
    /// Every second has one tick, and each tick one run.
    EachTickOnce,
    /// Every number has one run and one partition.
    EachNumberOnce,
}

const CHAIN: &str = r#"
io:
  lake: { kind: json, base: lake }
assets:
  first:
    io: lake
    step: { kind: command, command: "echo 1 > \"$MILLSTREAM_RESULT\"" }
  second:
    deps: [first]
    io: lake
    step:
      kind: command
      command: |
        if [ -e lasts ]; then
          rm lasts; tail -f /dev/null & setsid tail -f /dev/null & echo > begun
          while [ ! -e go ]; do sleep 0.02; done
        fi
        echo 2 > "$MILLSTREAM_RESULT"
  third:
    deps: [second]
    io: lake
    step: { kind: command, command: "echo 3 > \"$MILLSTREAM_RESULT\"" }
jobs:
  scene: { select: "*" }
"#;

const RETRIED: &str = r#"
jobs:
  scene:
    run_retries: 1
    nodes:
      - { id: a, type: command, config: { command: "[ -e been ] || { touch been; exit 1; }" } }
"#;

const GIVEN_UP: &str = r#"
jobs:
  scene:
    run_retries: 1
    nodes: [{ id: a, type: command, config: { command: "exit 1" } }]
"#;

const REPEATED: &str = r#"
jobs:
  scene:
    nodes:
      - id: a
        type: command
        retry: { max: 1, delay: 100ms }
        config: { command: "[ -e been ] || { touch been; exit 1; }" }
"#;

const TIMED_OUT: &str = r#"
jobs:
  scene:
    timeout: 1s
    nodes: [{ id: a, type: command, config: { command: "tail -f /dev/null" } }]
"#;

const SLOTS: &str = r#"
pools: { one: 1 }
jobs:
  scene:
    nodes:
      - { id: a, type: command, pool: one, config: { command: "echo a" } }
      - { id: b, type: command, pool: one, config: { command: "echo b" } }
"#;

/// A schedule that ticks every second, whatever happened meanwhile.
pub(crate) const TICKS: &str = r#"
jobs:
  beat:
    nodes: [{ id: a, type: noop }]
    schedule: { cron: "* * * * * *", catch_up: all }
"#;

const SENSED: &str = r#"
partitions:
  numbers: { kind: dynamic }
assets:
  sums: { partitions: numbers, step: { kind: noop } }
sensors:
  count:
    kind: command
    every: 1s
    command: |
      n=$((${MILLSTREAM_CURSOR:-0} + 1))
      echo "{\"cursor\": \"$n\", \"partitions\": {\"numbers\": {\"add\": [\"$n\"]}},
             \"requests\": [{\"run_key\": \"$n\", \"partition\": \"$n\"}]}"
    request: { select: sums }
"#;

/// How many ticks there are to be after the death.
const TICKS_MIN: usize = 4;

impl Scene {
    /// What is defined.
    pub(super) fn definitions(self) -> &'static str {
        match self {
            Self::Retried => RETRIED,
            Self::GivenUp => GIVEN_UP,
            Self::Repeated => REPEATED,
            Self::TimedOut => TIMED_OUT,
            Self::Slots => SLOTS,
            Self::Ticks => TICKS,
            Self::Sensed => SENSED,
            Self::Chain
            | Self::Lasting
            | Self::Canceled
            | Self::Lost
            | Self::Started
            | Self::StartedAgain => CHAIN,
        }
    }

    /// Whether the second step's first attempt lasts.
    pub(super) fn lasts(self) -> bool {
        matches!(self, Self::Lasting | Self::Canceled | Self::Lost)
    }

    /// Whether runs come about by themselves.
    pub(super) fn runs_itself(self) -> bool {
        matches!(self, Self::Ticks | Self::Sensed)
    }
}

impl End {
    /// The runs, once it has come to this end; `None` as long as it may still come to it.
    pub(super) fn reached(self, server: &Server) -> Option<Vec<Value>> {
        let runs = server.get("/default/api/v1/runs?limit=1000");
        let runs = runs.as_array().unwrap();
        match self {
            Self::NoRun => {
                assert!(runs.is_empty(), "{runs:#?}");
                Some(Vec::new())
            }
            Self::Run(_) => {
                let all_over = !runs.is_empty() && runs.iter().all(is_over);
                // On Postgres events are seen once they are published, which a next daemon does.
                all_over.then(|| runs.iter().map(|run| told(server, run)).collect::<Option<_>>())?
            }
            Self::EachTickOnce => {
                let ticks = server.get("/default/api/v1/schedules/beat/ticks?limit=500");
                (ticks.as_array().unwrap().len() >= TICKS_MIN).then_some(())?;
                let first: Vec<&Value> = runs.iter().rev().take(TICKS_MIN).collect();
                first.iter().all(|run| is_over(run)).then(Vec::new)
            }
            Self::EachNumberOnce => {
                let first: Vec<&Value> = runs.iter().rev().take(TICKS_MIN).collect();
                (first.len() == TICKS_MIN && first.iter().all(|run| is_over(run))).then(Vec::new)
            }
        }
    }

    /// Fails unless what was reached is right.
    pub(super) fn check(self, server: &Server, runs: &[Value], what: &str) {
        match self {
            Self::NoRun => {}
            Self::Run(status) => {
                let newest = &runs[0];
                assert_eq!(newest["status"], status, "{what}: {newest:#}");
                for run in runs {
                    assert_one_end(run, what);
                }
                let pools = &server.get("/default/api/v1/queue")["pools"];
                for pool in pools.as_array().unwrap() {
                    assert_eq!(pool["held_by"], serde_json::json!([]), "{what}: {pool:#}");
                }
            }
            Self::EachTickOnce => check_ticks(server, what),
            Self::EachNumberOnce => check_numbers(server, what),
        }
    }
}

fn is_over(run: &Value) -> bool {
    matches!(run["status"].as_str().unwrap(), "SUCCESS" | "FAILURE" | "CANCELED")
}

/// A run with its events, once the last of them is there.
fn told(server: &Server, run: &Value) -> Option<Value> {
    let id = run["run_id"].as_str().unwrap();
    let mut shown = server.get(&format!("/default/api/v1/runs/{id}"));
    let events = server.get(&format!("/default/api/v1/runs/{id}/events?limit=1000"));
    let events = events["events"].as_array().unwrap().clone();
    let is_told = events.iter().any(|event| is_end(&event["kind"]));
    shown["events"] = Value::Array(events);
    is_told.then_some(shown)
}

fn is_end(kind: &Value) -> bool {
    ["run_succeeded", "run_failed", "run_canceled"].iter().any(|end| kind == end)
}

/// Each step has succeeded at most once, and starts no attempt of a number twice; the run has one
/// end, and says of its steps what its events say.
fn assert_one_end(run: &Value, what: &str) {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for event in run["events"].as_array().unwrap() {
        let data = &event["data"];
        let kind = event["kind"].as_str().unwrap();
        let key = match kind {
            _ if is_end(&event["kind"]) => "the run's end".to_owned(),
            "step_succeeded" => format!("{kind} {}", data["step"]),
            "step_started" => format!("{kind} {} {}", data["step"], data["attempt"]),
            "run_queued" | "run_retried" | "run_gave_up" => kind.to_owned(),
            _ => continue,
        };
        *counts.entry(key).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "{what}: {counts:?} {run:#}");
    let steps = run["steps"].as_array().unwrap();
    let succeeded = counts.keys().filter(|key| key.starts_with("step_succeeded")).count();
    let shown = steps.iter().filter(|step| step["status"] == "SUCCESS").count();
    assert_eq!(succeeded, shown, "{what}: {run:#}");
    let open = |step: &&Value| matches!(step["status"].as_str(), Some("STARTED" | "RETRYING"));
    assert_eq!(steps.iter().find(open), None, "{what}: {run:#}");
}

/// Fails unless every second between the first tick and the last has one, and each has one run,
/// which is its own.
pub(crate) fn check_ticks(server: &Server, what: &str) {
    let ticks = server.get("/default/api/v1/schedules/beat/ticks?limit=500");
    let ticks = ticks.as_array().unwrap();
    let seconds: BTreeSet<i64> = ticks.iter().map(|tick| second(&tick["nominal"])).collect();
    let (first, last) = (seconds.first().unwrap(), seconds.last().unwrap());
    let wanted = usize::try_from(last - first + 1).unwrap();
    assert_eq!((seconds.len(), ticks.len()), (wanted, wanted), "{what}: {ticks:#?}");
    let runs = server.get("/default/api/v1/runs?limit=1000");
    let mut of_second: BTreeMap<i64, u32> = BTreeMap::new();
    for run in runs.as_array().unwrap() {
        *of_second.entry(second(&run["cause"]["nominal"])).or_default() += 1;
    }
    let once = seconds.iter().all(|second| of_second.get(second) == Some(&1));
    assert!(once && of_second.values().all(|count| *count == 1), "{what}: {of_second:?}");
}

fn second(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

/// The numbers count up from 1 without a gap; each has one run and is one partition.
fn check_numbers(server: &Server, what: &str) {
    let keys = server.get("/default/api/v1/partitions/numbers");
    let runs = server.get("/default/api/v1/runs?limit=1000");
    let runs: Vec<&str> =
        runs.as_array().unwrap().iter().map(|run| run["partition"].as_str().unwrap()).collect();
    let numbers: BTreeSet<u64> = runs.iter().map(|run| run.parse().unwrap()).collect();
    let wanted: BTreeSet<u64> = (1..=runs.len() as u64).collect();
    assert_eq!(numbers, wanted, "{what}: {runs:?}");
    // It may have counted on meanwhile.
    let known = keys["keys"].as_array().unwrap().len();
    assert!(known <= runs.len() && known + 2 >= runs.len(), "{what}: {known} keys, {runs:?}");
}
