//! Several daemons on one Postgres: one does the work that only one may do, and another takes it
//! over from one that is gone or stands still.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::crashes::scenes::{TICKS, check_ticks};
use crate::database::Database;
use crate::process;
use crate::project::{Project, wait_for};
use crate::queue::time;
use crate::server::Server;

/// How long a daemon may be silent.
const LEASE: Duration = Duration::from_secs(2);

/// Two projects with the same definitions and one database, and a server of each; the first was
/// there first.
struct Two {
    _projects: [Project; 2],
    first: Server,
    second: Server,
}

fn two() -> Option<Two> {
    let database = Database::on_postgres()?;
    let lease = format!("{}s", LEASE.as_secs());
    let project = || {
        let mut project = Project::with(TICKS).variable("MILLSTREAM_LEASE", &lease);
        project.set("MILLSTREAM_DATABASE_URL", database.url());
        project
    };
    let projects = [project(), project()];
    assert_eq!(projects[0].run(&["migrate"]).code, 0);
    let first = projects[0].serve();
    wait_for("the first tick", || (ticks(&first) > 0).then_some(()));
    let second = projects[1].serve();
    Some(Two { _projects: projects, first, second })
}

/// How many ticks there are.
fn ticks(server: &Server) -> usize {
    let ticks = server.get("/default/api/v1/schedules/beat/ticks?limit=500");
    ticks.as_array().unwrap().len()
}

/// Waits for `count` more ticks, as `server` sees them.
fn more_ticks(server: &Server, count: usize) {
    let before = ticks(server);
    wait_for("more ticks", || (ticks(server) >= before + count).then_some(()));
}

/// Waits until every run is over.
fn all_over(server: &Server) {
    let started = Instant::now();
    let is_open = |run: &&serde_json::Value| run["status"] != "SUCCESS";
    wait_for("the runs are over", || {
        let runs = server.get("/default/api/v1/runs?limit=1000");
        // The newest may be from this very second.
        let open = runs.as_array().unwrap().iter().skip(2).find(is_open).cloned();
        assert!(started.elapsed() < Duration::from_secs(50), "it does not end: {open:#?}");
        open.is_none().then_some(())
    });
}

/// The state of each loop of the only daemon, by name.
fn loops(server: &Server) -> BTreeMap<String, String> {
    let answer = server.get("/api/v1/daemons");
    let loops = answer["daemons"][0]["loops"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    loops.iter().map(|row| (text(&row["name"]), text(&row["state"]))).collect()
}

#[test]
fn r004_a_loop_that_hangs_is_shown_as_unhealthy_and_the_others_go_on() {
    let project = Project::with(TICKS)
        .variable("MILLSTREAM_LEASE", "1s")
        .variable("MILLSTREAM_FREEZE_LOOP", "queue");
    let server = project.serve();
    wait_for("the loop is unhealthy", || {
        (loops(&server).get("queue")? == "unhealthy").then_some(())
    });
    more_ticks(&server, 3);
    let others = loops(&server);
    let healthy = others.iter().filter(|(name, _)| *name != "queue");
    assert!(others.len() >= 6 && healthy.into_iter().all(|(_, state)| state == "healthy"));
    assert_eq!(server.get("/server_info")["daemons"], "unhealthy");
    let listed = project.run(&["daemon", "list"]).out;
    let line = listed.lines().find(|line| line.contains(" queue ")).unwrap();
    assert!(line.contains("unhealthy") && line.contains("20"), "{listed}");
    let (_, page) = server.try_get("/default/system/daemons").unwrap();
    assert!(page.contains("Unhealthy") && page.contains("something is silent"), "{page}");
}

#[test]
fn r004_every_loop_of_a_daemon_is_heard_of_and_one_that_is_over_is_listed_no_more() {
    let project = Project::with(TICKS).variable("MILLSTREAM_LEASE", "1s");
    let server = project.serve();
    let names = ["losses", "queue", "requests", "scans", "schedules", "sensors"];
    let healthy: BTreeMap<String, String> =
        names.map(|name| (name.to_owned(), "healthy".to_owned())).into();
    wait_for("all loops are heard of", || (loops(&server) == healthy).then_some(()));
    assert_eq!(server.get("/server_info")["daemons"], "ok");
    let name = server.get("/api/v1/daemons")["daemons"][0]["name"].clone();
    server.kill();
    // A command is no daemon, and owns the database: the other is gone, however short ago it was.
    for _ in 0..2 {
        let listed = project.json(&["daemon", "list"]);
        let all = listed["daemons"].as_array().unwrap();
        assert_eq!(all.len(), 1, "{listed:#}");
        assert_eq!((&all[0]["name"], &all[0]["state"]), (&name, &"gone".into()), "{listed:#}");
    }
    let listed = project.run(&["daemon", "list"]);
    assert_eq!(listed.code, 0);
    assert!(listed.out.contains("does nothing any more"), "{}", listed.out);
    let server = project.serve();
    wait_for("the next one is heard of", || (loops(&server) == healthy).then_some(()));
    let all = server.get("/api/v1/daemons");
    assert_eq!(all["daemons"].as_array().unwrap().len(), 1, "{all:#}");
}

const SENSORS: &str = r#"
jobs:
  count: { nodes: [{ id: a, type: noop }] }
sensors:
  slow: { kind: command, every: 1s, command: "sleep 60", request: { job: count } }
  late:
    kind: command
    every: 1s
    timeout: 2s
    command: "if [ -e late ]; then sleep 5; fi; echo '{\"cursor\": \"one\"}'"
    request: { job: count }
  quick: { kind: command, every: 1s, command: "echo '{}'", request: { job: count } }
"#;

/// The newest ticks of a sensor.
fn sensed(server: &Server, name: &str) -> Vec<serde_json::Value> {
    let ticks = server.get(&format!("/default/api/v1/sensors/{name}/ticks"));
    ticks.as_array().unwrap().clone()
}

#[test]
fn r022_a_sensor_that_takes_a_minute_delays_no_other() {
    let project = Project::with(SENSORS);
    let server = project.serve();
    let started = Instant::now();
    // Equal ticks in a row are one, with the time of the last.
    let mut times = std::collections::BTreeSet::new();
    wait_for("five ticks of the quick one", || {
        times.extend(sensed(&server, "quick").iter().map(|tick| tick["nominal"].to_string()));
        (times.len() >= 5).then_some(())
    });
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    assert_eq!(sensed(&server, "slow"), [] as [serde_json::Value; 0]);
}

#[test]
fn r023_an_evaluation_over_its_timeout_fails_its_tick_and_keeps_the_cursor() {
    let project = Project::with(SENSORS);
    let server = project.serve();
    let cursor = || server.get("/default/api/v1/sensors/late")["cursor"].clone();
    wait_for("its cursor", || (cursor() == "one").then_some(()));
    project.write("late", "");
    let failed = wait_for("a tick that timed out", || {
        sensed(&server, "late").into_iter().find(|tick| tick["status"] == "FAILED")
    });
    assert!(failed["error"]["message"].as_str().unwrap().contains("2s"), "{failed:#}");
    assert_eq!(cursor(), "one");
    std::fs::remove_file(project.path("late")).unwrap();
    wait_for("the next tick", || {
        let newest = sensed(&server, "late").into_iter().next()?;
        (newest["status"] == "SKIPPED").then_some(())
    });
}

#[test]
fn r003_of_two_daemons_one_ticks_and_the_other_takes_over_within_the_lease() {
    let Some(Two { _projects, first, second }) = two() else { return };
    more_ticks(&second, 3);
    check_ticks(&second, "both live");
    first.kill();
    let died = Instant::now();
    more_ticks(&second, 1);
    let took = died.elapsed();
    // The lease, a look at it every third of it, and a busy machine.
    assert!(took < LEASE * 2 + Duration::from_secs(3), "the other took over after {took:?}");
    more_ticks(&second, 3);
    all_over(&second);
    check_ticks(&second, "one was killed");
}

#[test]
fn g5_r003_a_daemon_that_wakes_after_its_leases_were_taken_changes_nothing() {
    let Some(Two { _projects, first, second }) = two() else { return };
    process::stop(first.pid());
    more_ticks(&second, 3);
    process::wake(first.pid());
    more_ticks(&second, 3);
    all_over(&second);
    check_ticks(&second, "one stood still");
    check_ticks(&first, "one stood still");
    println!("G5: postgres: 1 daemon stopped, replaced and woken: 0 ticks missed, 0 double");
}

const SITS: &str = r#"
jobs:
  sit: { nodes: [{ id: a, type: command, config: { command: "sleep 60" } }] }
schedules:
  yearly: { cron: "@yearly", job: sit }
"#;

#[test]
fn a_run_whose_server_was_killed_says_since_when_no_daemon_lives() {
    let project = Project::with(SITS).variable("MILLSTREAM_LEASE", "1s");
    let server = project.serve();
    let run = server.queue(("default", "sit"), 1).remove(0);
    let began = wait_for("it goes on", || {
        time(&server.get(&format!("/default/api/v1/runs/{run}")), "started_at")
    });
    wait_for("a later sign of life", || {
        let daemons = server.get("/api/v1/daemons");
        let loops = daemons["daemons"][0]["loops"].as_array()?.clone();
        loops.iter().any(|one| time(one, "beat_at") > Some(began)).then_some(())
    });
    let said = "no daemon has given a sign of life since 20";
    assert!(!project.run(&["why", &run]).out.contains(said));
    server.kill();
    // The second time as well: no command takes the daemon's place.
    for _ in 0..2 {
        let why = project.run(&["why", &run]).out;
        assert!(why.contains(&format!("It runs: 0 of 1 steps are over; {said}")), "{why}");
    }
    let listed = project.run(&["run", "list"]).out;
    assert!(listed.contains(said), "{listed}");
    let why = project.run(&["why", "yearly"]).out;
    assert!(why.contains(&format!("01T00:00:00Z, but {said}")), "{why}");
    let why = project.run(&["why", "sit"]).out;
    assert!(why.contains("schedule yearly runs it next at 20"), "{why}");
    assert!(why.contains(&format!("01T00:00:00Z, but {said}")), "{why}");
    let listed = project.run(&["schedule", "list"]).out;
    assert!(listed.contains("on (no daemon)"), "{listed}");
}

#[test]
fn until_a_killed_daemons_leases_are_taken_over_what_waits_says_so() {
    let Some(database) = Database::on_postgres() else { return };
    let project = || {
        let mut project = Project::with(SITS).variable("MILLSTREAM_LEASE", "12s");
        project.set("MILLSTREAM_DATABASE_URL", database.url());
        project
    };
    let projects = [project(), project()];
    assert_eq!(projects[0].run(&["migrate"]).code, 0);
    let first = projects[0].serve();
    let name = first.get("/api/v1/daemons")["daemons"][0]["name"].as_str().unwrap().to_owned();
    let second = projects[1].serve();
    wait_for("both are heard of", || {
        (second.get("/api/v1/daemons")["daemons"].as_array()?.len() == 2).then_some(())
    });
    first.kill();
    let run = second.queue(("default", "sit"), 1).remove(0);
    let held = "the queue's lease is held by a daemon silent for ";
    let said = wait_for("it says who holds the lease", || {
        let why = projects[1].run(&["why", &run]).out;
        why.contains(held).then_some(why)
    });
    assert!(said.contains("It is queued: ") && said.contains("is taken over within "), "{said}");
    assert!(!said.contains(&name), "{said}");
    // The list names it, to who may see it, and never calls it healthy where the run does not.
    let listed = projects[1].run(&["daemon", "list"]).out;
    let lines: Vec<&str> = listed.lines().filter(|line| line.contains(&name)).collect();
    assert!(lines.iter().all(|line| line.contains("silent since 20")), "{listed}");
    assert!(lines.len() > 5 && listed.contains(" healthy "), "{listed}");
    let (_, page) = second.try_get("/default/system/daemons").unwrap();
    assert!(page.contains("something is silent") && page.contains("silent since <time"), "{page}");
    wait_for("the other starts it", || (second.in_status("default", "STARTED") == 1).then_some(()));
    let listed = projects[1].run(&["run", "list"]).out;
    assert!(!listed.contains("lease is held"), "{listed}");
}

const POOLED: &str = r#"
pools: { only: 1 }
jobs:
  hold:
    nodes:
      - id: a
        type: command
        pool: only
        config: { command: "until [ -e go ]; do sleep 0.1; done" }
"#;

#[test]
fn after_a_kill_each_step_that_had_a_slot_or_waited_is_counted_at_every_moment() {
    let Some(database) = Database::on_postgres() else { return };
    let project = || {
        let mut project = Project::with(POOLED).variable("MILLSTREAM_LEASE", "2s");
        project.set("MILLSTREAM_DATABASE_URL", database.url());
        project
    };
    let projects = [project(), project()];
    assert_eq!(projects[0].run(&["migrate"]).code, 0);
    let first = projects[0].serve();
    let second = projects[1].serve();
    let runs = first.queue(("default", "hold"), 2);
    let counts = || {
        let pool = second.get("/default/api/v1/queue")["pools"][0].clone();
        ["held_by", "waiting"].map(|of| pool[of].as_array().unwrap().len())
    };
    let begun = |epoch: i64| {
        let row = |run: &String| second.get(&format!("/default/api/v1/runs/{run}"));
        let has = |run| row(run)["status"] == "STARTED" && row(run)["epoch"] == epoch;
        runs.iter().all(has)
    };
    wait_for("one has the slot", || (begun(1) && counts() == [1, 1]).then_some(()));
    first.kill();
    wait_for("the other goes on with both", || {
        let [held, waiting] = counts();
        assert_eq!(held + waiting, 2, "{:#}", second.get("/default/api/v1/queue"));
        (begun(2) && held == 1).then_some(())
    });
    projects[1].write("go", "");
    wait_for("both are over", || (second.in_status("default", "SUCCESS") == 2).then_some(()));
    assert_eq!(counts(), [0, 0]);
}

/// Kills the server of a run that goes on, starts it again, and reads what is said of the run
/// before it is found to be lost.
fn kill_and_start_again(database: &Database) {
    let mut project = Project::with(SITS).variable("MILLSTREAM_LEASE", "8s");
    project.set("MILLSTREAM_DATABASE_URL", database.url());
    if database.url().is_some() {
        assert_eq!(project.run(&["migrate"]).code, 0);
    }
    let server = project.serve();
    let run = server.queue(("default", "sit"), 1).remove(0);
    wait_for("it goes on", || (server.in_status("default", "STARTED") == 1).then_some(()));
    server.kill();
    let server = project.serve();
    let silent = "its worker has given no sign of life since 20";
    let why = wait_for("its silence is told of", || {
        let why = project.run(&["why", &run]).out;
        why.contains(silent).then_some(why)
    });
    assert!(why.contains(&format!("It runs: 0 of 1 steps are over; {silent}")), "{why}");
    let listed = server.get("/default/api/v1/runs");
    assert!(listed[0]["waits"].as_str().unwrap().starts_with(silent), "{listed:#}");
    let path = format!("/default/api/v1/runs/{run}");
    wait_for("it is found to be lost, and goes on", || {
        let row = server.get(&path);
        (row["epoch"] == 2 && row["status"] == "STARTED" && row["waits"].is_null()).then_some(())
    });
}

#[test]
fn after_a_kill_and_a_start_a_run_in_progress_says_that_its_worker_is_silent_and_until_when() {
    kill_and_start_again(&Database::Embedded);
    let Some(database) = Database::on_postgres() else { return };
    kill_and_start_again(&database);
}

#[test]
fn a_daemon_that_is_told_to_end_publishes_its_last_words_and_gives_all_its_leases_back() {
    let Some(database) = Database::on_postgres() else { return };
    // No lease runs out while this test waits.
    let project = || {
        let mut project = Project::with(SITS).variable("MILLSTREAM_LEASE", "10m");
        project.set("MILLSTREAM_DATABASE_URL", database.url());
        project
    };
    let projects = [project(), project()];
    assert_eq!(projects[0].run(&["migrate"]).code, 0);
    let first = projects[0].serve();
    let run = first.queue(("default", "sit"), 1).remove(0);
    let path = format!("/default/api/v1/runs/{run}/events");
    let told = |server: &Server, kind: &str| {
        let events = server.get(&path);
        let of_kind = |event: &&serde_json::Value| event["kind"] == kind;
        events["events"].as_array().unwrap().iter().filter(of_kind).count()
    };
    wait_for("its step runs", || (told(&first, "step_started") == 1).then_some(()));
    let second = projects[1].serve();
    wait_for("both are heard of", || {
        (second.get("/api/v1/daemons")["daemons"].as_array()?.len() == 2).then_some(())
    });
    assert!(first.terminate().success());
    assert_eq!(told(&second, "worker_lost"), 1, "{:#}", second.get(&path));
    wait_for("the other goes on with it", || (told(&second, "step_started") == 2).then_some(()));
    wait_for("the other does all that only one may do", || {
        let listed = second.get("/api/v1/daemons");
        let [daemon] = listed["daemons"].as_array()?.as_slice() else { return None };
        let loops = daemon["loops"].as_array()?;
        loops.iter().all(|one| one["holds_lease"] != false).then_some(())
    });
}

/// A sensor that counts how often it has ticked, and takes a while to answer.
const COUNTING: &str = "jobs: { load: { nodes: [{ id: a, type: noop }] } }\n\
    sensors:\n  own:\n    kind: command\n    every: 1h\n    request: { job: load }\n    \
    command: |\n      \
    n=$((${MILLSTREAM_CURSOR:-0} + 1)); sleep 0.2\n      \
    printf '{\"cursor\": \"%s\", \"requests\": [{\"run_key\": \"k%s\"}]}' $n $n\n";

#[test]
fn a_tick_that_is_wished_for_is_made_once_by_all_daemons_of_a_database() {
    let Some(database) = Database::on_postgres() else { return };
    let project = || {
        let mut project = Project::with(COUNTING);
        project.set("MILLSTREAM_DATABASE_URL", database.url());
        project
    };
    let projects = [project(), project()];
    assert_eq!(projects[0].run(&["migrate"]).code, 0);
    let (first, _second) = (projects[0].serve(), projects[1].serve());
    let ticks = || {
        let ticks = first.get("/default/api/v1/sensors/own/ticks?limit=100");
        ticks.as_array().unwrap().len()
    };
    wait_for("its own first tick", || (ticks() == 1).then_some(()));
    for count in 2..=6 {
        let ticked = projects[count % 2].run(&["sensor", "tick", "own"]);
        assert!(ticked.code == 0 && ticked.out.contains(": LAUNCHED\n"), "{ticked:?}");
        assert_eq!(ticks(), count);
    }
}
