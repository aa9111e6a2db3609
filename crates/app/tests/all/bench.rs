//! The benchmark in its tiny size: every goal is measured, and none is far too slow.

use serde_json::Value;

use crate::project::Project;

/// What is allowed here: builds for tests are slow, and machines that run them are busy.
const ALLOWANCE: f64 = 10.0;

/// The same for a time, or a share of one, that no quiet limit beside it says anything about.
const TIME_ALLOWANCE: f64 = 50.0;

#[test]
fn r199_r200_every_goal_is_measured_and_none_is_far_over_its_gate() {
    let project = Project::new();
    let answer = project.json(&["bench", "quick", "--size", "tiny"]);

    assert!(answer["header"].as_str().unwrap().contains("synchronous=FULL"), "{answer}");
    let figures = answer["figures"].as_array().unwrap();
    for goal in [
        "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "P11", "P12", "P13", "P14",
        "P15", "P16", "QUEUE", "R196", "R199", "R200", "SENSORS",
    ] {
        assert!(figures.iter().any(|figure| figure["goal"] == goal), "{goal} is not measured");
    }
    for figure in figures {
        // The best round: what else the machine does meanwhile only ever makes one worse.
        let ratios = figure["ratios"].as_array().unwrap().iter().filter_map(Value::as_f64);
        let best = ratios.reduce(f64::min).or(figure["judged"].as_f64()).unwrap();
        let gate = figure["gate"].as_f64().unwrap();
        // Where the machine was disturbed, no limit beside the figure says how much.
        let is_bare = figure["limit"].is_null() && figure["unit"] != "MiB";
        let is_disturbed = figure["noisy_rounds"] != 0;
        let allowance = if is_bare || is_disturbed { TIME_ALLOWANCE } else { ALLOWANCE };
        assert!(best <= gate * allowance, "far over its gate: {figure}");
    }
    assert!(!project.path(".millstream").exists(), "what was measured in is removed");
}

#[test]
fn a_goal_that_does_not_exist_is_answered_with_those_that_do() {
    let outcome = Project::new().run(&["bench", "quick", "--goal", "P99"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("there is no goal `P99`; choose from P1, P2, P3"), "{outcome:?}");
}
