//! A gigabyte of output: what it costs the server, and the runs beside it.

use std::time::{Duration, Instant};

use crate::process::{children, peak_memory};
use crate::project::{Project, wait_for};

/// The most memory that the server and its supervisor may hold, each.
const MEMORY_MAX: u64 = 200 << 20;

/// A number of the budget, which `cargo xtask prove` sets.
fn budget(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What the flood writes at once, in bytes.
const PIECE: u64 = 10_000_000;

/// A flood of at least `pieces` pieces, which does not end before it is told, and a run beside it.
fn definitions(pieces: u64) -> String {
    format!(
        r#"
jobs:
  flood:
    nodes:
      - id: talk
        type: command
        config:
          command: |
            until [ -e go ]; do sleep 0.1; done
            while [ $((n += 1)) -le {pieces} ] || [ ! -e enough ]; do
              head -c {PIECE} /dev/zero
              echo >> pieces
            done
  quiet:
    nodes:
      - {{ id: work, type: command, config: {{ command: "true" }} }}
"#
    )
}

/// How long the runs beside the flood take, in the middle of `count` of them, of at least one.
fn neighbours(project: &Project, count: u64) -> Duration {
    let run = |_| {
        let began = Instant::now();
        let run = project.json(&["job", "launch", "quiet"]);
        assert_eq!(run["status"], "SUCCESS", "{run}");
        began.elapsed()
    };
    let mut took: Vec<Duration> = (0..count.max(1)).map(run).collect();
    took.sort();
    took[took.len() / 2]
}

#[test]
fn g14_a_gigabyte_of_output_is_capped_and_costs_neither_memory_nor_the_runs_beside_it() {
    let bytes = budget("MILLSTREAM_FLOOD_BYTES", 1_000_000_000);
    let count = budget("MILLSTREAM_FLOOD_NEIGHBOURS", 5);
    let project =
        Project::with(&definitions(bytes / PIECE)).variable("MILLSTREAM_OUTPUT_MAX", "8 MiB");
    let server = project.serve();
    let alone = neighbours(&project, count);
    let launched = project.json(&["job", "launch", "flood", "--no-wait"]);
    let flood = launched[0]["run_id"].as_str().unwrap();
    project.write("go", "");
    let log = format!("/default/api/v1/runs/{flood}/logs/talk/1/out");
    wait_for("the flood's first bytes", || {
        let (status, text) = server.try_get(&log)?;
        (status == 200 && !text.is_empty()).then_some(())
    });
    let beside = neighbours(&project, count);
    let going = server.get(&format!("/default/api/v1/runs/{flood}"));
    assert_eq!(going["status"], "STARTED", "the flood was over before the runs beside it were");
    project.write("enough", "");
    assert!(beside < alone * 5 + Duration::from_secs(2), "{beside:?} beside it, {alone:?} alone");
    let mut run = server.get(&format!("/default/api/v1/runs/{flood}?wait=30"));
    // A long proof has more to say than fits one wait.
    for _ in 0..bytes / 1_000_000_000 {
        if run["status"] == "STARTED" {
            run = server.get(&format!("/default/api/v1/runs/{flood}?wait=30"));
        }
    }
    assert_eq!(run["status"], "SUCCESS", "{run}");
    let bytes = PIECE * u64::try_from(project.read("pieces").lines().count()).unwrap();
    let marks = format!(
        "\n[millstream: output capped at 8 MiB; what follows is dropped]\n\
         [millstream: {} bytes dropped]\n",
        bytes - (8 << 20)
    );
    let logs = project.run(&["run", "logs", flood, "--tail", &marks.len().to_string()]);
    assert_eq!(logs.out, marks);
    let all = [vec![server.pid()], children(server.pid())].concat();
    assert!(all.len() > 1, "the supervisor is a child of the server");
    let mut most = 0;
    for pid in all {
        let peak = peak_memory(pid);
        assert!(peak < MEMORY_MAX, "process {pid} has held {peak} bytes");
        most = most.max(peak);
    }
    println!(
        "G14: {bytes} bytes of output, capped with marks: at most {} MiB held by the server and its \
         supervisor, each (200 allowed); runs beside it took {:.1} times as long as alone",
        most >> 20,
        beside.as_secs_f64() / alone.as_secs_f64()
    );
}
