//! Schedules on the command line, beside a server whose clock is the real one.

use serde_json::Value;

use crate::project::{Project, wait_for};

const DEFINITIONS: &str = "jobs:
  beat:
    nodes: [{ id: a, type: noop }]
    schedule: { cron: '* * * * * *', catch_up: none }
  nightly: { nodes: [{ id: b, type: noop }] }
schedules:
  new_york:
    cron: '30 1 1 1 *'
    timezone: America/New_York
    job: nightly
    exclude: ['2030-01-01..2040-01-01']
";

/// The state of each schedule, as the table shows it.
fn state(project: &Project, schedule: &str) -> String {
    let shown = project.run(&["schedule", "show", schedule]);
    let line = shown.out.lines().find(|line| line.trim_start().starts_with("state"));
    line.unwrap_or_default().trim().trim_start_matches("state").trim().to_owned()
}

#[test]
fn r032_r185_a_schedule_ticks_by_itself_and_its_ticks_name_their_runs() {
    let project = Project::with(DEFINITIONS);
    let _server = project.serve();
    let ticks = wait_for("two ticks", || {
        let ticks = project.json(&["schedule", "ticks", "beat"]).as_array().cloned()?;
        (ticks.len() >= 2).then_some(ticks)
    });
    for tick in &ticks {
        assert_eq!((&tick["status"], tick["requested"].as_u64()), (&"LAUNCHED".into(), Some(1)));
    }
    let run = ticks[1]["runs"][0]["run_id"].as_str().unwrap();
    let shown = wait_for("the run's end", || {
        let shown = project.json(&["run", "show", run]);
        (shown["status"] == "SUCCESS").then_some(shown)
    });
    assert_eq!(shown["job"], "beat");
    assert_eq!(shown["cause"]["nominal"], ticks[1]["nominal"]);
}

#[test]
fn r130_a_word_by_hand_is_shown_beside_the_files_and_kept_when_the_server_starts_again() {
    let project = Project::with(DEFINITIONS);
    let server = project.serve();
    assert_eq!(state(&project, "new_york"), "on");
    let stopped = project.run(&["schedule", "stop", "new_york"]);
    assert_eq!(stopped.out, "new_york is off (by hand); next: –\n");
    drop(server);

    let _server = project.serve();
    assert_eq!(state(&project, "new_york"), "off (by hand)");
    let shown = project.run(&["schedule", "show", "new_york"]);
    assert!(shown.out.contains("file says     on\n"), "{shown:?}");
    assert!(shown.out.contains("by hand       off, said by"), "{shown:?}");
    assert!(shown.out.contains("exclude       2030-01-01..2040-01-01\n"), "{shown:?}");
    let tried = project.run(&["schedule", "test", "new_york"]);
    let said = "new_york is off, and does not tick: `millstream schedule start new_york`";
    assert!(format!("{}{}", tried.out, tried.err).contains(said), "{tried:?}");
    assert_eq!(project.json(&["schedule", "test", "new_york"])["enabled"], false);
    project.run(&["schedule", "reset", "new_york"]);
    assert_eq!(state(&project, "new_york"), "on");
}

#[test]
fn r032_the_next_times_are_shown_on_both_clocks_and_a_test_says_what_would_come_of_one() {
    let project = Project::with(DEFINITIONS);
    let preview = project.json(&["schedule", "preview", "new_york", "-n", "20"]);
    let fires = preview["fires"].as_array().unwrap();
    let last = fires.last().unwrap();
    assert_eq!(last["local"].as_str().unwrap().split_once('-').unwrap().1, "01-01 01:30:00 -05:00");
    assert!(fires.iter().all(|fire| !fire["at"].as_str().unwrap().starts_with("203")), "{fires:?}");

    let from = ["schedule", "preview", "new_york", "-n", "1", "--from", "2040-06-01T00:00:00Z"];
    assert_eq!(project.json(&from)["fires"][0]["at"], "2041-01-01T06:30:00Z");
    for count in ["0", "1001"] {
        let refused = project.run(&["schedule", "preview", "new_york", "-n", count]);
        assert!(refused.code == 2 && refused.err.contains("1..=1000"), "{refused:?}");
    }

    let tried = project.run(&["schedule", "test", "new_york", "--at", "2035-01-01T06:30:00Z"]);
    let said = "SKIPPED: its day is excluded by 2030-01-01..2040-01-01";
    assert!(tried.out.contains(said), "{tried:?}");
    let tried = project.json(&["schedule", "test", "new_york"]);
    assert_eq!(tried["requests"].as_array().unwrap().len(), 1);
    assert_eq!(project.json(&["run", "list", "--job", "nightly"]), Value::Array(Vec::new()));
}

#[test]
fn a_time_that_is_none_and_a_schedule_that_is_not_there_are_told_so() {
    let project = Project::with(DEFINITIONS);
    let wrong = project.run(&["schedule", "test", "beat", "--at", "yesterday"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("write it like 2026-01-31T06:00:00Z"), "{wrong:?}");
    let unknown = project.run(&["schedule", "show", "new_yorck"]);
    assert!(unknown.err.contains("did you mean new_york?"), "{unknown:?}");
    assert!(unknown.err.contains("[schedule-unknown]"), "{unknown:?}");
}

#[test]
fn what_becomes_of_the_ticks_of_a_schedule_that_is_switched_is_said_beside_its_state() {
    let project = Project::with(
        "jobs:\n  nightly: { nodes: [{ id: b, type: noop }] }\nschedules:\n  \
         lapses: { cron: '@yearly', job: nightly }\n  \
         kept: { cron: '@yearly', job: nightly, catch_up: all }\n",
    );
    for (name, words) in [
        ("lapses", "what passes meanwhile lapses (catch_up: last)"),
        ("kept", "what passes meanwhile is made up for then (catch_up: all)"),
    ] {
        let stopped = project.run(&["schedule", "stop", name]);
        assert_eq!(stopped.out, format!("{name} is off (by hand); next: –\n"));
        assert!(stopped.err.contains(&format!("While it is off: {words}.\n")), "{stopped:?}");
    }
    project.run(&["job", "stop", "nightly"]);
    let started = project.run(&["schedule", "start", "kept"]);
    let on = "kept is on (by hand, job off, no daemon); next: ";
    assert!(started.out.starts_with(on), "{started:?}");
    let job = "Its job nightly is off, and does not run: `millstream job start nightly` switches \
               it on.\n";
    assert!(started.err.contains(job) && !started.err.contains("While it is off"), "{started:?}");
}

#[test]
fn a_schedule_that_is_started_says_how_many_of_its_ticks_wait() {
    let kept = "schedules:\n  kept: { cron: '* * * * * *', job: nightly, catch_up: all }\n";
    let project = Project::with(&DEFINITIONS.replace("schedules:\n", kept));
    assert_eq!(project.run(&["schedule", "stop", "kept"]).code, 0);
    wait_for("one to pass", || {
        let passed = project.json(&["schedule", "show", "kept"])["passed"]["count"].as_u64();
        passed.filter(|count| *count > 0)
    });
    for args in [["schedule", "start", "kept"].as_slice(), &["schedule", "list"]] {
        let said = project.run(args).out;
        let line = said.lines().find(|line| line.contains("kept") && line.contains(" wait"));
        assert!(line.is_some(), "{said}");
    }
}
