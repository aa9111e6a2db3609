//! Leases that are raised along with a daemon's signs of life.

use millstream_control::{Control, TickWatch};

use crate::bench::{Bench, TIME_TO_LIVE};

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
