//! Where commands look: for the project, its settings, its server and its definition files.

use serde_json::Value;

use crate::project::Project;

const NOOP: &str = "nodes: [{ id: a, type: noop }]";

#[test]
fn a_folder_that_is_no_project_is_refused_and_stays_empty() {
    let project = Project::with(NOOP);
    project.write("scripts/work.sh", "");
    for arguments in [["run", "list"], ["definitions", "validate"], ["job", "list"]] {
        let refused = project.run(&[&["--dir", "scripts"], &arguments[..]].concat());
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{refused:?}");
        let said = "there is no folder";
        assert!(refused.err.contains(said), "{refused:?}");
        assert!(refused.err.contains("[project-unknown]"), "{refused:?}");
        let near = format!("--dir {}", project.path("").canonicalize().unwrap().display());
        assert!(refused.err.contains(near.trim_end_matches('/')), "{refused:?}");
    }
    assert!(!project.path("scripts/.millstream").exists());
    project.write("scripts/millstream.yaml", "");
    assert_eq!(project.run(&["--dir", "scripts", "run", "list"]).code, 0);
}

#[test]
fn a_setting_that_is_not_understood_is_told_by_every_command_with_its_key() {
    let project = Project::with(NOOP).variable("MILLSTREAM_RUN_TIMEOUT", "soon");
    project.write("millstream.yaml", "lease: never\n");
    for arguments in [["run", "list"], ["definitions", "validate"]] {
        let told = project.run(&arguments);
        assert_eq!(told.code, 0, "{told:?}");
        let wanted = "warning: Invalid `lease` in millstream.yaml: never, using default\n\
                      warning: Invalid MILLSTREAM_RUN_TIMEOUT: soon, using default\n";
        assert_eq!(told.err, wanted);
    }
    let json = project.run(&["--json", "run", "list"]);
    let first: Value = serde_json::from_str(json.err.lines().next().unwrap()).unwrap();
    let wanted = "Invalid `lease` in millstream.yaml: never, using default";
    assert_eq!((first["warning"].as_str(), json.code), (Some(wanted), 0));
}

#[test]
fn an_address_that_is_none_or_of_another_server_is_told_as_that() {
    let project = Project::with(NOOP);
    let scheme = project.run(&["run", "list", "--url", "127.0.0.1:34521"]);
    assert_eq!(scheme.code, 2, "{scheme:?}");
    assert!(scheme.err.contains("write it like `http://127.0.0.1:34521`"), "{scheme:?}");

    let foreign = foreign_server();
    let foreign = project.run(&["run", "list", "--url", &foreign]);
    assert_eq!((foreign.code, foreign.out.as_str()), (1, ""), "{foreign:?}");
    assert!(foreign.err.contains("there is no Millstream"), "{foreign:?}");
    assert!(foreign.err.contains("help: `millstream errors server-unreachable`"), "{foreign:?}");
}

/// The address of a server that answers `{}` to one request, whatever it is.
fn foreign_server() -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        // The headers end with an empty line.
        lines.map_while(Result::ok).find(String::is_empty).unwrap();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2";
        stream.write_all(format!("{head}\r\n\r\n{{}}").as_bytes()).unwrap();
    });
    url
}

#[test]
fn a_second_server_of_a_project_is_refused_with_the_address_of_the_first() {
    let project = Project::with(NOOP);
    let server = project.serve();
    let port = server.port().to_string();
    for wanted in ["0", port.as_str()] {
        let refused = project.run(&["dev", "--port", wanted]);
        assert_eq!(refused.code, 1, "{refused:?}");
        let said = format!("a server of this project runs already, at http://127.0.0.1:{port};");
        assert!(refused.err.contains(&said), "{refused:?}");
        assert!(refused.err.contains("[server-running]"), "{refused:?}");
    }
}

#[test]
fn whatever_is_refused_is_json_with_a_code_where_json_is_asked_for() {
    let project = Project::with(NOOP);
    for (arguments, code, exit) in [
        (vec!["run", "lst"], "bad-request", 2),
        (vec!["run"], "bad-request", 2),
        (vec!["run", "list", "--limit", "0"], "bad-request", 2),
        (vec!["run", "list", "--limit", "-1"], "bad-request", 2),
        (vec!["run", "list", "--job", "nope"], "job-unknown", 1),
        (vec!["job", "launch", "nope"], "job-unknown", 1),
        (vec!["run", "show", "00000000"], "run-unknown", 1),
        (vec!["asset", "show", "nope"], "asset-unknown", 1),
        (vec!["why", "nope"], "not-found", 1),
        (vec!["run", "list", "--dir", "nope"], "project-unknown", 2),
        (vec!["definitions", "validate", "nope.yaml"], "definition-file-unknown", 1),
        (vec!["definitions", "plan", "nope"], "definition-file-unknown", 1),
        (vec!["partition", "list", "dya"], "partition-unknown", 1),
    ] {
        let refused = project.run(&[&["--json"], &arguments[..]].concat());
        let error: Value = serde_json::from_str(&refused.err).unwrap();
        assert_eq!((&error["error"]["code"], refused.code), (&code.into(), exit), "{refused:?}");
    }
    let limit = project.run(&["run", "list", "--limit", "-1"]);
    assert!(limit.err.contains("-1 is not in 1.."), "{limit:?}");
    assert_eq!(project.run(&["run", "list", "--job", "main"]).code, 0);
    // Whether there is a run of it, these do not ask.
    let other = ["run", "list", "--job", "nope", "--status", "FAILURE"];
    assert_eq!(project.run(&other).code, 0);
    let missing = project.run(&["--json", "run"]);
    assert!(missing.err.contains("a command is missing; --help lists them"), "{missing:?}");
}

#[test]
fn a_file_outside_of_the_project_is_named_as_it_was_typed_and_one_passed_over_is_told() {
    let project = Project::with(NOOP);
    project.write("etl/p.py", "");
    project.write("etl/bad.yaml", "nodes: 3");
    project.write("dags/b.ymll", NOOP);
    for file in ["etl/p.py", "etl/bad.yaml"] {
        let checked = project.run(&["definitions", "validate", file]);
        assert!(checked.code == 1 && checked.out.contains(file), "{checked:?}");
    }
    let checked = project.run(&["definitions", "validate"]);
    let wanted = "1 file(s) checked, 0 error(s)\nPassed over, because a definition file ends in \
                  .json, .yaml, .yml: b.ymll\n";
    assert_eq!((checked.code, checked.out.as_str()), (0, wanted));
    assert_eq!(project.json(&["definitions", "validate"])["passed_over"][0], "b.ymll");
}
