//! Warns of sensors that answer each other's runs in a circle.
//!
//! Called by [`crate::together`] with the files that are used.

use std::collections::BTreeSet;

use millstream_control::reactions;
use millstream_definition::{LocationFile, Version, circles, path_text};
use millstream_model::{Diagnostic, ErrorCode, Manifest, Place, RunStatus, Severity};

/// What keeps a circle going, in words.
const ENDS: [(RunStatus, &str); 2] =
    [(RunStatus::Success, "succeed"), (RunStatus::Failure, "fail")];

/// A warning for each circle of sensors, in each file of `files` that declares one of them.
pub(crate) fn rings(manifest: &Manifest, files: &[&LocationFile<'_>]) -> Vec<Diagnostic> {
    let (mut told, mut found) = (BTreeSet::new(), Vec::new());
    for (end, word) in ENDS {
        let sensors = reactions(manifest, end);
        let after: Vec<Vec<usize>> = sensors.iter().map(|it| it.answered_by.clone()).collect();
        for circle in circles(&after) {
            let members = circle.iter().filter_map(|place| sensors.get(*place));
            let names: Vec<&str> = members.map(|it| it.sensor.name.as_str()).collect();
            if !told.insert(names.iter().copied().collect::<BTreeSet<&str>>()) {
                continue;
            }
            let path = path_text(&names);
            let message =
                format!("Sensors answer each other's runs for ever, while these {word}: {path}");
            found.extend(files.iter().filter_map(|file| warning(file, &names, &message)));
        }
    }
    found
}

/// The warning at the first of the sensors that a file declares.
fn warning(file: &LocationFile<'_>, names: &[&str], message: &str) -> Option<Diagnostic> {
    let Version { manifest, places: Some(places), .. } = file.newest? else { return None };
    let declares = |name: &&&str| manifest.sensors.iter().any(|it| it.name.as_str() == **name);
    let (line, column) = places.sensor(names.iter().find(declares)?, "request");
    Some(Diagnostic {
        code: ErrorCode::DefinitionCycle,
        severity: Severity::Warning,
        message: message.to_owned(),
        place: Place { file: file.name.to_owned(), line, column },
        help: Some("say with `when` which runs it does not answer".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use millstream_definition::{file_hash, parse_file};

    use crate::together;

    /// The warnings of a file with these sensors, each with its line.
    fn warned(sensors: &str) -> Vec<String> {
        let jobs =
            "jobs: { x: { select: a }, y: { select: b }, ops: { nodes: [{ id: o, type: noop }] } }";
        let assets = "assets: { a: { step: { kind: noop } }, b: { step: { kind: noop } } }";
        let tenants = "tenants: { t1: {}, t2: {} }";
        let text = format!("{jobs}\n{assets}\n{tenants}\nsensors:\n{sensors}");
        let parsed = parse_file("all.yaml", text.as_bytes());
        let manifest =
            parsed.manifest.as_ref().unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
        let hash = file_hash(manifest);
        let newest = super::Version { hash: &hash, manifest, places: Some(&parsed.places) };
        let file =
            super::LocationFile { name: "all.yaml", newest: Some(newest), draft: None, live: None };
        let check = together("main".parse().unwrap(), &[file]);
        assert!(check.refused.is_empty(), "{:?}", check.diagnostics);
        check.diagnostics.iter().map(|it| format!("{}: {}", it.place.line, it.message)).collect()
    }

    fn of_run(name: &str, job: &str, on: &str, request: &str) -> String {
        format!(
            "  {name}: {{ kind: run_status, job: {job}, on: [{on}], request: {{ job: {request} }} }}\n"
        )
    }

    #[test]
    fn sensors_that_answer_each_other_s_runs_in_a_circle_are_named() {
        let success =
            "5: Sensors answer each other's runs for ever, while these succeed: p → q → p";
        let both = of_run("p", "x", "SUCCESS", "y") + &of_run("q", "y", "SUCCESS, FAILURE", "x");
        assert_eq!(warned(&both), [success]);
        let fail = of_run("p", "x", "FAILURE", "y") + &of_run("q", "y", "SUCCESS, FAILURE", "x");
        assert_eq!(warned(&fail), [success.replace("succeed", "fail")]);
        let assets = "  p: { kind: asset, select: a, request: { job: y } }\n  \
                      q: { kind: asset, select: '*', request: { select: a } }\n";
        assert_eq!(warned(assets), [success]);
        let every = "  p: { kind: run_status, on: [SUCCESS], request: { job: ops } }\n".to_owned();
        assert_eq!(warned(&(every.clone() + &of_run("q", "ops", "SUCCESS", "x"))), [success]);
        assert_eq!(warned(&(every + &of_run("q", "x", "SUCCESS", "y"))), [""; 0]);
    }

    #[test]
    fn sensors_that_end_by_themselves_are_not() {
        let p = of_run("p", "x", "SUCCESS", "y");
        let own = of_run("p", "x", "SUCCESS", "x");
        let other_end = p.clone() + &of_run("q", "y", "FAILURE", "x");
        let line = p.clone() + &of_run("q", "y", "SUCCESS", "ops");
        for sensors in [own, other_end, line] {
            assert_eq!(warned(&sensors), [""; 0], "{sensors}");
        }
        for key in [r#"when: "{{ 'sensor' not in run.cause }}""#, "enabled: false", "tenants: [t2]"]
        {
            let p = p.replace("kind:", "tenants: [t1], kind:");
            let q = of_run("q", "y", "SUCCESS", "x").replace("kind:", &format!("{key}, kind:"));
            assert_eq!(warned(&(p + &q)), [""; 0], "{key}");
        }
        let keyed = of_run("q", "y", "SUCCESS", "x, run_key: '{{ run.partition }}'");
        assert_eq!(warned(&(p + &keyed)), [""; 0]);
    }
}
