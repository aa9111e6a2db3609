//! Every death that is tried: in which scene, whose, at which point, and what it must come to.

use super::scenes::End::{self, EachNumberOnce, EachTickOnce, NoRun, Run};
use super::scenes::Scene;

/// Who dies when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// The server, at a commit of its own.
    Server(&'static str),
    /// The run's worker process, at a commit of the server that it reports to.
    Worker(&'static str),
    /// Whoever brings the schema up to date, before the commit of this migration.
    Migration(&'static str),
    /// The server, while a step's process runs.
    ServerMidStep,
    /// The run's worker process, while a step's process runs.
    WorkerMidStep,
    /// The server, while a step's process runs; the run's worker process lives on.
    ServerOfWorkerMidStep,
    /// The process that starts steps and ends them, while a step's process runs.
    SupervisorMidStep,
    /// The step's process alone.
    StepMidStep,
}

/// One death.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) scene: Scene,
    pub(super) death: Death,
    pub(super) end: End,
    /// How often the point comes at least: a seed chooses at which time somebody dies.
    pub(super) times: u64,
}

impl Case {
    /// Whether this point exists on the embedded database too.
    pub(super) fn is_everywhere(&self) -> bool {
        !matches!(self.death, Death::Server(point) if point.ends_with("PUBLISH_EVENT_BATCHES"))
    }
}

const fn server(scene: Scene, point: &'static str, end: End) -> Case {
    Case { scene, death: Death::Server(point), end, times: 1 }
}

const fn worker(scene: Scene, point: &'static str, end: End) -> Case {
    Case { scene, death: Death::Worker(point), end, times: 1 }
}

const fn migration(name: &'static str) -> Case {
    Case { scene: Scene::Started, death: Death::Migration(name), end: SUCCESS, times: 1 }
}

const fn mid_step(death: Death, end: End) -> Case {
    Case { scene: Scene::Lasting, death, end, times: 1 }
}

const fn up_to(times: u64, case: Case) -> Case {
    Case { times, ..case }
}

const SUCCESS: End = Run("SUCCESS");
const FAILURE: End = Run("FAILURE");
const CANCELED: End = Run("CANCELED");

/// All of them.
pub(super) const CASES: &[Case] = &[
    // A run on its way.
    server(Scene::Chain, "before:run_queued", NoRun),
    server(Scene::Chain, "after:run_queued", SUCCESS),
    server(Scene::Chain, "before:CLAIM_QUEUED_RUNS", SUCCESS),
    server(Scene::Chain, "after:CLAIM_QUEUED_RUNS", SUCCESS),
    server(Scene::Chain, "before:run_started", SUCCESS),
    server(Scene::Chain, "after:run_started", SUCCESS),
    up_to(3, server(Scene::Chain, "before:step_started", SUCCESS)),
    up_to(3, server(Scene::Chain, "after:step_started", SUCCESS)),
    up_to(3, server(Scene::Chain, "before:materialized", SUCCESS)),
    up_to(3, server(Scene::Chain, "after:step_succeeded", SUCCESS)),
    server(Scene::Chain, "before:run_succeeded", SUCCESS),
    server(Scene::Chain, "after:run_succeeded", SUCCESS),
    up_to(2, server(Scene::Chain, "before:PUBLISH_EVENT_BATCHES", SUCCESS)),
    up_to(2, server(Scene::Chain, "after:PUBLISH_EVENT_BATCHES", SUCCESS)),
    up_to(2, server(Scene::Lasting, "before:RAISE_BEAT", SUCCESS)),
    up_to(2, server(Scene::Lasting, "after:RAISE_BEAT", SUCCESS)),
    // Cancels and losses.
    server(Scene::Canceled, "before:cancel_requested", SUCCESS),
    server(Scene::Canceled, "after:cancel_requested", CANCELED),
    server(Scene::Canceled, "before:run_canceled", CANCELED),
    server(Scene::Canceled, "after:run_canceled", CANCELED),
    server(Scene::Lost, "before:worker_lost", SUCCESS),
    server(Scene::Lost, "after:worker_lost", SUCCESS),
    // Failures, and what follows them.
    server(Scene::Retried, "before:run_retried", SUCCESS),
    server(Scene::Retried, "after:run_retried", SUCCESS),
    server(Scene::GivenUp, "before:run_gave_up", FAILURE),
    server(Scene::GivenUp, "after:run_gave_up", FAILURE),
    server(Scene::Repeated, "before:step_failed", SUCCESS),
    server(Scene::Repeated, "after:step_failed", SUCCESS),
    server(Scene::TimedOut, "before:run_failed", FAILURE),
    server(Scene::TimedOut, "after:run_failed", FAILURE),
    // Slots.
    server(Scene::Slots, "before:ASK_SLOTS", SUCCESS),
    server(Scene::Slots, "after:ASK_SLOTS", SUCCESS),
    up_to(2, server(Scene::Slots, "before:GRANT_SLOTS", SUCCESS)),
    up_to(2, server(Scene::Slots, "after:GRANT_SLOTS", SUCCESS)),
    up_to(2, server(Scene::Slots, "before:FREE_SLOTS", SUCCESS)),
    up_to(2, server(Scene::Slots, "after:FREE_SLOTS", SUCCESS)),
    // Schedules and sensors.
    server(Scene::Ticks, "before:ADOPT_SOURCES", EachTickOnce),
    server(Scene::Ticks, "after:ADOPT_SOURCES", EachTickOnce),
    up_to(3, server(Scene::Ticks, "before:INSERT_TICKS", EachTickOnce)),
    up_to(3, server(Scene::Ticks, "after:INSERT_TICKS", EachTickOnce)),
    up_to(3, server(Scene::Ticks, "before:CLAIM_QUEUED_RUNS", EachTickOnce)),
    up_to(3, server(Scene::Ticks, "after:CLAIM_QUEUED_RUNS", EachTickOnce)),
    server(Scene::Sensed, "before:ADOPT_SENSORS", EachNumberOnce),
    server(Scene::Sensed, "after:ADOPT_SENSORS", EachNumberOnce),
    up_to(3, server(Scene::Sensed, "before:SETTLE_SENSOR", EachNumberOnce)),
    up_to(3, server(Scene::Sensed, "after:SETTLE_SENSOR", EachNumberOnce)),
    // A server that starts, and the leases that it takes.
    server(Scene::Started, "before:RAISE_LOCATION", SUCCESS),
    server(Scene::Started, "after:RAISE_LOCATION", SUCCESS),
    up_to(3, server(Scene::Started, "before:CREATE_LEASE", SUCCESS)),
    up_to(3, server(Scene::Started, "after:CREATE_LEASE", SUCCESS)),
    up_to(3, server(Scene::StartedAgain, "before:TAKE_LEASE", SUCCESS)),
    up_to(3, server(Scene::StartedAgain, "after:TAKE_LEASE", SUCCESS)),
    up_to(5, server(Scene::StartedAgain, "before:RAISE_LEASE", SUCCESS)),
    up_to(5, server(Scene::StartedAgain, "after:RAISE_LEASE", SUCCESS)),
    // The schema: the first tables, tables that are made anew, and the last change.
    migration("0001_start"),
    migration("0009_fewer_pages"),
    migration("0013_log"),
    migration("0015_deliveries"),
    // Workers, between what they say and what they hear.
    worker(Scene::Chain, "before:run_started", SUCCESS),
    worker(Scene::Chain, "after:run_started", SUCCESS),
    up_to(3, worker(Scene::Chain, "before:step_started", SUCCESS)),
    up_to(3, worker(Scene::Chain, "after:step_started", SUCCESS)),
    up_to(3, worker(Scene::Chain, "before:materialized", SUCCESS)),
    up_to(3, worker(Scene::Chain, "after:materialized", SUCCESS)),
    worker(Scene::Chain, "before:run_succeeded", SUCCESS),
    worker(Scene::Chain, "after:run_succeeded", SUCCESS),
    worker(Scene::Lasting, "before:RAISE_BEAT", SUCCESS),
    worker(Scene::Lasting, "after:RAISE_BEAT", SUCCESS),
    worker(Scene::Canceled, "after:cancel_requested", CANCELED),
    worker(Scene::Canceled, "before:run_canceled", CANCELED),
    worker(Scene::Retried, "after:run_retried", SUCCESS),
    worker(Scene::Slots, "before:ASK_SLOTS", SUCCESS),
    up_to(2, worker(Scene::Slots, "after:GRANT_SLOTS", SUCCESS)),
    up_to(2, worker(Scene::Slots, "before:FREE_SLOTS", SUCCESS)),
    // What needs no point, because it can be seen from outside.
    mid_step(Death::ServerMidStep, SUCCESS),
    mid_step(Death::WorkerMidStep, SUCCESS),
    mid_step(Death::ServerOfWorkerMidStep, SUCCESS),
    mid_step(Death::SupervisorMidStep, SUCCESS),
    mid_step(Death::StepMidStep, FAILURE),
];
