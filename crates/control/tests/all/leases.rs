//! Leases that are raised along with a daemon's signs of life.

use std::time::Duration;

use millstream_control::{
    Control, LoopSaid, QueueLimits, QueueWatch, RunFilter, Seams, SensorWatch, TickWatch,
};
use millstream_model::{HoldReason, TenantId};
use millstream_testkit::chance::SeededEntropy;
use millstream_testkit::definitions::live;

use crate::bench::{Bench, TIME_TO_LIVE};
use crate::schedules::{at, parsed};

/// How often the holder of the schedules' lease has shown that it lives, and who it is.
async fn lease(control: &Control) -> (String, i64, i64) {
    let lease = control.store().lease("schedules").await.unwrap().unwrap();
    (lease.holder, lease.fence, lease.beat)
}

/// A pass over the schedules; says whether it held the lease.
async fn pass(bench: &Bench, me: &str, watch: &mut TickWatch) -> bool {
    bench.control.tick_schedules(me, watch, TIME_TO_LIVE).await.unwrap().is_holder
}

#[tokio::test]
async fn signs_of_life_raise_the_leases_of_loops_that_get_around_so_that_passes_need_not() {
    let bench = Bench::empty().await;
    let mut watch = TickWatch::default();
    assert!(pass(&bench, "one", &mut watch).await);
    let (_, fence, first) = lease(&bench.control).await;
    for round in 1..=6 {
        bench.clock.advance(TIME_TO_LIVE / 3);
        bench.control.keep_loops("one", &[]).await.unwrap();
        let raised = ("one".to_owned(), fence, first + round);
        assert_eq!(lease(&bench.control).await, raised, "the sign of life has not raised it");
        assert!(pass(&bench, "one", &mut watch).await);
        assert_eq!(lease(&bench.control).await, raised, "the pass has raised it once more");
    }
}

#[tokio::test]
async fn signs_of_life_leave_the_lease_of_a_loop_that_hangs_to_others() {
    let bench = Bench::empty().await;
    let (mut hangs, mut waits) = (TickWatch::default(), TickWatch::default());
    assert!(pass(&bench, "one", &mut hangs).await);
    let mut taken_after = 0;
    while !pass(&bench, "two", &mut waits).await {
        bench.clock.advance(TIME_TO_LIVE / 3);
        bench.control.keep_loops("one", &[]).await.unwrap();
        taken_after += 1;
        assert!(taken_after < 10, "the other daemon never gets it");
    }
    let (holder, fence, _) = lease(&bench.control).await;
    assert_eq!(holder, "two");
    // What the first one believed is over: its next sign of life is stored all the same.
    bench.control.keep_loops("one", &[]).await.unwrap();
    assert!(!pass(&bench, "one", &mut hangs).await);
    assert_eq!(lease(&bench.control).await.1, fence);
}

#[tokio::test]
async fn a_sign_of_life_is_stored_when_a_lease_of_its_daemon_was_lost() {
    let bench = Bench::empty().await;
    let mut watch = TickWatch::default();
    assert!(pass(&bench, "one", &mut watch).await);
    bench.control.release_schedules("one").await.unwrap();
    assert!(pass(&bench, "two", &mut TickWatch::default()).await);
    let before = lease(&bench.control).await;
    let said = millstream_control::LoopSaid {
        name: "schedules",
        silence_max: TIME_TO_LIVE,
        silent_for: std::time::Duration::ZERO,
    };
    bench.control.keep_loops("one", &[said]).await.unwrap();
    assert_eq!(lease(&bench.control).await, before);
    let daemons = bench.control.daemons().await.unwrap();
    assert!(daemons.iter().any(|daemon| daemon.name == "one"), "{daemons:?}");
    assert!(!pass(&bench, "one", &mut watch).await);
}

#[tokio::test]
async fn a_daemon_that_begins_on_an_embedded_database_takes_the_place_of_the_one_before() {
    let bench = Bench::empty().await;
    let said = |name| millstream_control::LoopSaid {
        name,
        silence_max: TIME_TO_LIVE,
        silent_for: std::time::Duration::ZERO,
    };
    bench.control.keep_loops("one", &[said("queue"), said("scans")]).await.unwrap();
    bench.control.begin_loops("two", &[said("queue")]).await.unwrap();
    let daemons = bench.control.daemons().await.unwrap();
    let of = |daemon: &millstream_model::DaemonRow| (daemon.name.clone(), daemon.loops.len());
    assert_eq!(daemons.iter().map(of).collect::<Vec<_>>(), [("two".to_owned(), 1)]);
}

/// A job, a schedule of it that ticks each minute, and a sensor.
const BOTH: &str = "jobs: { etl: { nodes: [{ id: a, type: noop }] } }\n\
    schedules: { tick: { job: etl, cron: '* * * * *', catch_up: all },\n\
    \u{20}            none: { job: etl, cron: '* * * * *', exclude: [2026-06-01] } }\n\
    sensors: { ask: { kind: command, every: 30s, command: x, request: { job: etl } } }\n";

/// The process of a daemon, and what that remembers of the leases.
struct Process {
    control: Control,
    name: &'static str,
    queue: QueueWatch,
    ticks: TickWatch,
    sensors: SensorWatch,
}

impl Process {
    fn of(bench: &Bench, name: &'static str) -> Self {
        let entropy = std::sync::Arc::new(SeededEntropy::new(2));
        let seams = Seams { clock: bench.clock.clone(), entropy };
        let control = Control::new(bench.control.store().clone(), seams);
        control.begin_runs();
        let (queue, ticks, sensors) = Default::default();
        Self { control, name, queue, ticks, sensors }
    }

    /// Each loop gets around once; says how many hold their leases.
    async fn round(&mut self) -> usize {
        let loops = ["queue", "schedules", "sensors"].map(|name| LoopSaid {
            name,
            silence_max: 2 * TIME_TO_LIVE,
            silent_for: Duration::ZERO,
        });
        let (control, me) = (&self.control, self.name);
        control.keep_loops(me, &loops).await.unwrap();
        let limits = QueueLimits::of(None);
        control.claim_runs(me, &mut self.queue, limits, TIME_TO_LIVE).await.unwrap();
        let ticks = control.tick_schedules(me, &mut self.ticks, TIME_TO_LIVE).await.unwrap();
        let asks = control.due_sensors(me, &mut self.sensors, TIME_TO_LIVE).await.unwrap();
        usize::from(ticks.is_holder) + usize::from(asks.is_holder)
    }
}

#[tokio::test]
async fn until_a_lease_is_taken_over_all_that_waits_says_that_its_holder_is_silent() {
    let (bench, id) = (Bench::without_daemon().await, TenantId::default_tenant());
    bench.clock.set(at("2026-06-01T08:00:58"));
    bench.scan(vec![live("defs.yaml", parsed("defs.yaml", BOTH))]).await;
    let (mut dead, mut next) = (Process::of(&bench, "dead"), Process::of(&bench, "next"));
    assert_eq!((dead.round().await, next.round().await), (2, 0));
    bench.clock.advance(Duration::from_secs(4));
    let run = bench.launch("etl").await.to_string();
    let why = async |what: &str| next.control.why(&id, what).await.unwrap().answer;
    // The holder is at work as far as anybody knows: it has raised its lease.
    dead.control.keep_loops("dead", &[]).await.unwrap();
    let starts = "It is queued, and nothing holds it: it starts at the next look.";
    assert_eq!(why(&run).await, starts);
    assert_eq!(next.round().await, 0);

    bench.clock.advance(Duration::from_secs(8));
    let words = "lease is held by a daemon silent for 8s, and is taken over within 13s";
    let why = async |what: &str| next.control.why(&id, what).await.unwrap().answer;
    assert_eq!(why(&run).await, format!("It is queued: the queue's {words}."));
    assert!(why("etl").await.contains(&format!("waits: the queue's {words}")));
    let listed = next.control.newest_runs(&id, &RunFilter::default(), 9).await.unwrap();
    assert_eq!(listed[0].hold.as_ref().unwrap().to_string(), format!("the queue's {words}"));
    let late = "It is late: it was due at 2026-06-01T08:01:00Z, 10 s ago, and no daemon has let it";
    let answer = why("tick").await;
    assert!(answer.starts_with(&format!("{late} tick: the schedules' {words}; 1 ")), "{answer}");
    let answer = why("ask").await;
    assert_eq!(answer, format!("It has not ticked yet; the sensors' {words}."));
    let row = next.control.schedule_view(&id, "tick").await.unwrap();
    let Some(HoldReason::LeaseLeft(left)) = row.waits_for else { panic!("{:?}", row.waits_for) };
    assert_eq!(Some(left.to_string()), row.waits);
    let row = next.control.schedule_view(&id, "none").await.unwrap();
    assert_eq!((row.waits, row.late_since), (None, None), "its times are excluded");
    let sensors = next.control.sensor_rows(&id).await.unwrap();
    assert!(matches!(sensors[0].waits_for, Some(HoldReason::LeaseLeft(_))), "{sensors:?}");

    for _ in 0..3 {
        bench.clock.advance(TIME_TO_LIVE / 3);
        next.round().await;
    }
    assert_eq!(next.round().await, 2);
    let answer = next.control.why(&id, &run).await.unwrap().answer;
    assert_eq!(answer, "It is being given to worker 1.");
    assert_eq!(next.control.schedule_view(&id, "tick").await.unwrap().waits, None);
}
