//! Commands that only look, or need no files, leave what is live as it is, also in a folder with
//! other files.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::database::Database;
use crate::project::Project;

/// Something of each kind that a command can look at.
const LIVE: &str = r#"
partitions: { site: { kind: dynamic } }
assets:
  orders: { step: { kind: command, command: [echo, one] } }
jobs:
  etl: { select: orders, schedule: "0 6 * * *" }
  flaky: { run_retries: 1, nodes: [{ id: a, type: command, config: { command: "exit 1" } }] }
schedules: { nightly: { job: etl, cron: "0 5 * * *" } }
sensors:
  own: { kind: command, every: 1h, request: { job: etl }, command: "echo '{}'" }
  pushed: { kind: webhook, auth: { bearer: { secret: hook } }, request: { job: etl } }
"#;

/// A project over `database` with one file, whose step says `word`.
fn project(database: &Database, word: &str) -> Project {
    let mut project = Project::with(&LIVE.replace("one", word));
    project.set("MILLSTREAM_DATABASE_URL", database.url());
    project.set("MILLSTREAM_SECRET_HOOK", Some("s"));
    project
}

/// What the reference lists as commands that only look, and as commands that need no files.
fn lists() -> [Vec<String>; 2] {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let text = std::fs::read_to_string(reference.join("command-line.md")).unwrap();
    let (_, text) = text.split_once("\n## Which commands load the files\n\n").unwrap();
    let mut paragraphs = text.split("\n\n");
    [(); 2].map(|()| {
        let list = paragraphs.next().unwrap();
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    })
}

/// The arguments of a command of these lists, about what is live here.
fn arguments<'c>(command: &'c str, run: &'c str) -> Vec<&'c str> {
    let name = match command.split_once(' ').unwrap_or_default() {
        ("schedule", _) => "nightly",
        ("sensor", "deliveries NAME" | "drop NAME DELIVERY" | "resend NAME") => "pushed",
        ("sensor", _) => "own",
        ("job", _) => "etl",
        _ => "site",
    };
    let word = |word: &'c str| match word {
        "RUN" | "SUBJECT" => run,
        "KEY" => "orders",
        "FILE" => "main.yaml",
        "NAME" => name,
        "KEY…" => "jfk",
        said => said,
    };
    command.split(' ').map(word).collect()
}

/// What is live, as far as loading files would change it.
fn live(project: &Project) -> [Value; 2] {
    let status = project.json(&["definitions", "status"]);
    let history = project.json(&["definitions", "history", "main.yaml"]);
    [status["local_source"].clone(), history]
}

#[test]
fn a_command_that_only_looks_loads_no_files_into_a_shared_database_and_says_so() {
    let Some(database) = Database::on_postgres() else { return };
    let own = project(&database, "first");
    assert_eq!(own.run(&["migrate"]).code, 0);
    let early = own.run(&["asset", "list"]);
    assert_eq!(early.code, 0, "{early:?}");
    assert!(early.err.contains("warning: no definition file was ever loaded"), "{early:?}");
    let status = own.run(&["definitions", "status"]);
    assert_eq!(status.out, "No definition file was ever loaded.\n", "{status:?}");
    own.json(&["definitions", "scan"]);
    own.write("dags/main.yaml", &LIVE.replace("one", "second"));
    assert_eq!(own.run(&["job", "launch", "flaky"]).code, 1, "it loads the files, and fails");
    let letters = own.json(&["dead-letter", "list"]);
    let run = letters[0]["run_id"].as_str().unwrap();

    let other = project(&database, "other");
    other.write("dags/more.yaml", "jobs: { more: { select: orders } }");
    let before = live(&own);
    assert_eq!(before[1]["versions"].as_array().unwrap().len(), 2);
    let [all, _] = lists();
    assert!(all.len() > 25, "{all:?}");
    let instanceless = ["definitions validate", "errors", "schema"];
    for command in &all {
        let looked = other.run(&arguments(command, run));
        assert_eq!(looked.code, 0, "{command}: {looked:?}");
        assert_eq!(live(&own), before, "{command}");
        let warned = looked.err.contains(
            "warning: the definition files here are not those that are live (main.yaml, more.yaml)",
        );
        let is_silent = instanceless.contains(&command.as_str()) || command == "definitions plan";
        assert_eq!(warned, !is_silent, "{command}: {looked:?}");
    }
    let same = own.run(&["asset", "list"]);
    assert_eq!((same.code, same.err.as_str()), (0, ""), "these are the files that are live");
    let told = other.run(&["asset", "list", "--json"]).err;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["warning"].as_str().unwrap().contains("`millstream definitions plan`"), "{told}");

    // Others that come to the folder meanwhile are not served by who loads nothing.
    let waiting = own.json(&["job", "launch", "etl", "--no-wait"]);
    let run = waiting[0]["run_id"].as_str().unwrap();
    let mut follows = other.command(&["run", "logs", run, "--follow"]);
    let mut follows = follows.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(follows.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("warning: the definition files here"), "{said}");
    assert!(!other.path(".millstream/server.sock").exists());
    follows.kill().unwrap();
    follows.wait().unwrap();

    other.json(&["asset", "materialize", "orders"]);
    let after = live(&own);
    assert_eq!(after[1]["versions"].as_array().unwrap().len(), 3, "what does something loads");
    assert_ne!(after[0]["path"], before[0]["path"]);
}

#[test]
fn a_command_that_needs_no_files_loads_none_into_a_shared_database() {
    let Some(database) = Database::on_postgres() else { return };
    let own = project(&database, "first");
    assert_eq!(own.run(&["migrate"]).code, 0);
    for _ in 0..3 {
        assert_eq!(own.run(&["job", "launch", "flaky"]).code, 1, "it loads the files, and fails");
    }
    let letters = own.json(&["dead-letter", "list"]);
    let failed = |index: usize| letters[index]["run_id"].as_str().unwrap();
    let waiting = own.json(&["job", "launch", "etl", "--no-wait"]);

    let other = project(&database, "other");
    let before = live(&own);
    let [_, all] = lists();
    assert!(all.len() > 15, "{all:?}");
    for command in &all {
        let run = match command.as_str() {
            "dead-letter discard RUN" => failed(0),
            "dead-letter retry RUN" => failed(1),
            "run retry RUN" => failed(2),
            _ => waiting[0]["run_id"].as_str().unwrap(),
        };
        let acted = other.run(&arguments(command, run));
        // There is no delivery that it could drop.
        let code = i32::from(command == "sensor drop NAME DELIVERY");
        assert_eq!(acted.code, code, "{command}: {acted:?}");
        let warning = "warning: the definition files here are not those that are live (main.yaml), \
                       and this command loads none";
        assert!(acted.err.contains(warning), "{command}: {acted:?}");
        assert_eq!(live(&own), before, "{command}");
    }
    let nightly = own.json(&["schedule", "show", "nightly"]);
    assert_eq!(nightly["enabled_override"]["on"], false, "{nightly}");
}

/// Has a Postgres database run a statement.
fn change(database: &Database, statement: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = database.url().unwrap();
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(statement).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    });
}

#[test]
fn what_differs_from_what_is_live_is_told_of_folders_without_files_and_of_files_rolled_back() {
    let Some(database) = Database::on_postgres() else { return };
    let own = project(&database, "first");
    assert_eq!(own.run(&["migrate"]).code, 0);
    let other = project(&database, "first");
    let told = |project: &Project| {
        let listed = project.run(&["run", "list"]);
        assert_eq!(listed.code, 0, "{listed:?}");
        listed.err
    };
    std::fs::remove_file(other.path("dags/main.yaml")).unwrap();
    assert_eq!(told(&other), "", "there is nothing here, and nothing is live");
    own.json(&["definitions", "scan"]);
    let differ = "warning: the definition files here are not those that are live (main.yaml), and";
    assert!(told(&other).starts_with(differ), "the folder is empty");
    std::fs::remove_dir(other.path("dags")).unwrap();
    let gone = "warning: the definition files that are live cannot be looked for here: there is no \
                such folder";
    assert!(told(&other).starts_with(gone), "{}", told(&other));

    other.write("dags/main.yaml", &own.read("dags/main.yaml"));
    assert_eq!(told(&other), "");
    own.write("dags/main.yaml", &LIVE.replace("one", "second"));
    own.json(&["definitions", "scan"]);
    assert!(told(&other).starts_with(differ), "{}", told(&other));
    own.json(&["definitions", "rollback", "main.yaml", "v1"]);
    let back = "warning: definition files are rolled back, so that other versions are live than \
                are here (main.yaml); ";
    assert!(told(&own).starts_with(back), "{}", told(&own));
    assert_eq!(told(&other), "", "this is the version that is live");
    other.write("dags/main.yaml", &LIVE.replace("one", "third"));
    let third = told(&other);
    assert!(third.starts_with(differ) && !third.contains("rolled back"), "{third}");

    change(&database, "ALTER TABLE definition_pin RENAME TO gone");
    let unknown =
        "warning: the definition files here cannot be compared with those that are live: ";
    let listed = other.run(&["run", "list"]);
    assert!(listed.code == 1 && listed.err.starts_with(unknown), "{listed:?}");
}

#[test]
fn a_command_that_only_looks_shows_what_the_files_of_a_project_of_its_own_say() {
    let project = Project::with(LIVE);
    let first = project.run(&["asset", "list"]);
    assert!(first.out.contains("orders") && first.err.is_empty(), "{first:?}");
    project.write("dags/main.yaml", &LIVE.replace("one", "two").replace("nightly", "daily"));
    let schedules = project.json(&["schedule", "list"]);
    assert!(schedules.to_string().contains("\"daily\""), "{schedules}");
    let history = project.json(&["definitions", "history", "main.yaml"]);
    assert_eq!(history["versions"].as_array().unwrap().len(), 2);
}
