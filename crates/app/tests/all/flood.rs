//! A gigabyte of output: what it costs the server, and the runs beside it.

use crate::process::{children, peak_memory};
use crate::project::Project;

/// The most memory that the server and its supervisor may hold, each.
const MEMORY_MAX: u64 = 200 << 20;

/// Runs beside the flood.
const NEIGHBOURS: usize = 5;

const DEFINITIONS: &str = r#"
jobs:
  flood:
    nodes:
      - id: talk
        type: command
        config: { command: "until [ -e go ]; do sleep 0.1; done; head -c 1000000000 /dev/zero" }
  quiet:
    nodes:
      - { id: work, type: command, config: { command: "true" } }
"#;

#[test]
fn g14_a_gigabyte_of_output_is_capped_and_costs_neither_memory_nor_the_runs_beside_it() {
    let project = Project::with(DEFINITIONS).variable("MILLSTREAM_OUTPUT_MAX", "8 MiB");
    let server = project.serve();
    let launched = project.json(&["job", "launch", "flood", "--no-wait"]);
    let flood = launched[0]["run_id"].as_str().unwrap();
    project.write("go", "");
    for _ in 0..NEIGHBOURS {
        let run = project.json(&["job", "launch", "quiet"]);
        assert_eq!(run["status"], "SUCCESS", "{run}");
    }
    let run = server.get(&format!("/default/api/v1/runs/{flood}?wait=30"));
    assert_eq!(run["status"], "SUCCESS", "{run}");
    let marks = format!(
        "\n[millstream: output capped at 8 MiB; what follows is dropped]\n\
         [millstream: {} bytes dropped]\n",
        1_000_000_000 - (8 << 20)
    );
    let logs = project.run(&["run", "logs", flood, "--tail", &marks.len().to_string()]);
    assert_eq!(logs.out, marks);
    let all = [vec![server.pid()], children(server.pid())].concat();
    assert!(all.len() > 1, "the supervisor is a child of the server");
    for pid in all {
        let peak = peak_memory(pid);
        assert!(peak < MEMORY_MAX, "process {pid} has held {peak} bytes");
    }
}
