//! The benchmark in its tiny size: every goal is measured, and none is far too slow.

use serde_json::Value;

use crate::project::{Project, machine};

/// What is allowed here: builds for tests are slow, and machines that run them are busy.
const ALLOWANCE: f64 = 10.0;

/// The same for a time that no limit beside it says anything about.
const TIME_ALLOWANCE: f64 = 50.0;

/// Whether the best round of `figure` is over what is allowed: the machine's other work only ever
/// makes a round worse.
fn is_far_over(figure: &Value) -> bool {
    let ratios = figure["ratios"].as_array().unwrap().iter().filter_map(Value::as_f64);
    let best = ratios.reduce(f64::min).or(figure["judged"].as_f64()).unwrap();
    let is_bare_time = figure["limit"].is_null() && figure["unit"] == "us";
    let allowance = if is_bare_time { TIME_ALLOWANCE } else { ALLOWANCE };
    best > figure["gate"].as_f64().unwrap() * allowance
}

#[test]
fn r199_r200_every_goal_is_measured_and_none_is_far_over_its_gate() {
    let _machine = machine();
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
    for figure in figures.iter().filter(|figure| is_far_over(figure)) {
        // What else the machine did meanwhile is not to happen twice.
        let goal = figure["goal"].as_str().unwrap();
        let again = project.json(&["bench", "quick", "--size", "tiny", "--goal", goal]);
        let again = again["figures"].as_array().unwrap();
        let again = again.iter().find(|again| again["what"] == figure["what"]).unwrap();
        assert!(!is_far_over(again), "far over its gate, twice: {figure} and {again}");
    }
    assert!(!project.path(".millstream").exists(), "what was measured in is removed");
}

#[test]
fn a_goal_that_does_not_exist_is_answered_with_those_that_do() {
    let outcome = Project::new().run(&["bench", "quick", "--goal", "P99"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("there is no goal `P99`; choose from P1, P2, P3"), "{outcome:?}");
}
