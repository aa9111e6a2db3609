//! Partitions and assets from the command line.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::project::{Project, short};

const METRICS: &str = r#"
tenants:
  ewr: {}
  jfk: {}
partitions:
  tenant_grain_metric:
    kind: dynamic
    dimensions: [tenant, grain, metric]
    separator: "::"
    tenant: tenant
    keys: ["ewr::day::flights", "ewr::week::flights", "jfk::day::flights", "jfk::day::delay"]
io:
  lake: { kind: json, base: lake }
assets:
  metric_semantic_values:
    partitions: tenant_grain_metric
    io: lake
    step:
      kind: command
      command: echo '{"by":"{{ tenant }}","metric":"{{ partition.metric }}"}' > "$MILLSTREAM_RESULT"
  metric_cache:
    deps: [metric_semantic_values]
    partitions: tenant_grain_metric
    step: { kind: noop }
"#;

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect()
}

#[test]
fn r034_one_partition_is_materialized_in_the_tenant_that_its_key_names() {
    let project = Project::with(METRICS);
    let select = ["asset", "materialize", "--select", "metric_semantic_values", "--partition"];
    let run = project.json(&[&select[..], &["jfk::day::flights"]].concat());
    assert_eq!((&run["tenant"], &run["status"]), (&json!("jfk"), &json!("SUCCESS")), "{run}");
    let runs = project.json(&["run", "list"]);
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    let shown = project.json(&["asset", "show", "metric_semantic_values", "--tenant", "jfk"]);
    let made: Vec<(&str, &str)> = shown["partition_rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["partition"].as_str().unwrap(), row["state"].as_str().unwrap()))
        .collect();
    assert!(made.contains(&("jfk::day::flights", "materialized")), "{made:?}");
    assert_eq!(made.iter().filter(|(_, state)| *state == "materialized").count(), 1, "{made:?}");

    let told = project.run(&["asset", "show", "metric_semantic_values", "--tenant", "jfk"]).out;
    let made = told.find("  materialized  jfk::day::flights\n");
    assert!(made < told.find("\n  missing  jfk::") && made.is_some(), "{told}");

    let near = project.run(&[&select[..], &["jfk::day::flihgts"]].concat());
    assert_eq!(near.code, 1, "{near:?}");
    assert!(near.err.contains("near it are"), "{near:?}");
    assert!(near.err.contains("jfk::day::flights"), "{near:?}");
    let nobody = project.run(&[&select[..], &["xyz::day::flights"]].concat());
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(nobody.err.contains("Unknown tenant: xyz"), "{nobody:?}");
    assert_eq!(project.json(&["run", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_key_names_the_tenant_also_where_another_definition_takes_any_key() {
    let jobs = "jobs: { mm: { select: metric_cache } }\n";
    let any = "partitions:\n  any: { kind: dynamic }\n  tenant";
    let metrics = METRICS.replace("partitions:\n  tenant", any);
    let project = Project::with(&(metrics + jobs));
    let key = "jfk::day::flights";
    for command in
        [vec!["asset", "materialize", "metric_semantic_values"], vec!["job", "launch", "mm"]]
    {
        let done = project.json(&[&command[..], &["--partition", key]].concat());
        assert_eq!(done["tenant"], json!("jfk"), "{command:?}: {done}");
    }
    let report = ["asset", "report", "metric_semantic_values", "--partition", key];
    let reported = project.run(&report);
    assert!(reported.out.contains("is reported in tenant jfk"), "{reported:?}");
}

#[test]
fn a_partition_that_failed_is_listed_first_and_named_with_its_run_and_its_error() {
    let step = "command: test {{ partition.metric }} = delay && echo";
    let project = Project::with(&METRICS.replace("command: echo", step));
    let mut run = String::new();
    for key in ["jfk::day::delay", "jfk::day::flights"] {
        let made = ["asset", "materialize", "metric_semantic_values", "--partition", key];
        run = project.run(&[&made[..], &["--json"]].concat()).json()["run_id"].to_string();
    }
    let of_jfk = |command: &[&str]| {
        let all = [command, &["metric_semantic_values", "--tenant", "jfk"]].concat();
        project.run(&all).out
    };
    let shown = of_jfk(&["asset", "show"]);
    let failed = shown.find("  failed  jfk::day::flights\n");
    assert!(failed < shown.find("  materialized  jfk::day::delay\n"), "{shown}");
    assert!(failed.is_some(), "{shown}");
    let why = of_jfk(&["why"]);
    let run = short(run.trim_matches('"'));
    let named = format!("partition jfk::day::flights failed in run {run}: ");
    assert!(why.contains(&named) && why.contains("[step-exit]"), "{why}");
}

#[test]
fn a_refused_tenant_is_told_with_the_way_to_take_all_where_there_is_one() {
    let project = Project::with(
        "tenants: {ewr: {}, jfk: {}, lga: {enabled: false}}\nassets: {a: {step: {kind: noop}}}\n",
    );
    let way = "; `--all-tenants` takes every enabled one";
    for (tenant, refusal) in [
        (None, "name one with `--tenant`: ewr, jfk"),
        (Some("bos"), "Unknown tenant: bos; there are `ewr`, `jfk`, `lga`"),
        (Some("jkf"), "Unknown tenant: jkf; did you mean `jfk`? There are `ewr`, `jfk`, `lga`"),
        (Some("lga"), "tenant `lga` is disabled; set `enabled: true` where it is declared"),
    ] {
        let named = tenant.map_or_else(Vec::new, |id| vec!["--tenant", id]);
        let refused = project.run(&[&["asset", "materialize", "a"], &named[..]].concat());
        assert!(refused.err.contains(&format!("{refusal}{way}")), "{refused:?}");
        let refused = project.run(&[&["asset", "report", "a"], &named[..]].concat());
        assert!(!refused.err.contains(way), "{refused:?}");
    }
}

#[test]
fn a_key_that_is_none_and_a_name_that_is_near_another_are_told_as_that() {
    let project = Project::with(
        "partitions: { site: { kind: dynamic }, day: { kind: daily, \
                                 start: 2026-01-01 } }",
    );
    for keys in [["", "bos"], ["bos", ""]] {
        let refused = project.run(&["partition", "add", "site", keys[0], keys[1]]);
        let wanted = "error: a partition key cannot be empty [partition-key]\n";
        assert!(refused.code == 1 && refused.err.starts_with(wanted), "{refused:?}");
    }
    let near = project.run(&["partition", "list", "dya"]);
    assert!(near.err.contains("called `dya`; did you mean `day`? There are `day`"), "{near:?}");
    let none = project.run(&["partition", "list", "nope"]);
    assert!(none.err.contains("called `nope`; there are `day`, `site`"), "{none:?}");
    let added = project.json(&["partition", "add", "site", "bos", "x y"]);
    assert_eq!(added["keys"], json!(["bos", "x y"]));
}

#[test]
fn r035_a_tenant_has_its_own_metrics_and_grains_alone() {
    let project = Project::with(METRICS);
    let of =
        |tenant| project.json(&["partition", "list", "tenant_grain_metric", "--tenant", tenant]);
    assert_eq!(keys(&of("ewr")), ["ewr::day::flights", "ewr::week::flights"]);
    assert_eq!(keys(&of("jfk")), ["jfk::day::delay", "jfk::day::flights"]);
    let several = project.run(&["why", "metric_cache"]);
    assert_eq!(several.code, 2, "{several:?}");
    assert!(several.err.contains("name one with `--tenant`: ewr, jfk"), "{several:?}");
    let one = project.run(&["why", "metric_cache", "--tenant", "jfk"]);
    assert!(one.out.contains("It was never made, nor was "), "{one:?}");
    let foreign = ["asset", "materialize", "metric_cache", "--partition", "ewr::day::flights"];
    let refused = project.run(&[&foreign[..], &["--tenant", "jfk"]].concat());
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(project.json(&["run", "list"]), json!([]));
}

#[test]
fn r060_an_unknown_asset_is_refused_with_the_choices() {
    let project = Project::with(METRICS);
    let typo =
        ["asset", "materialize", "metric_semantic_value", "--partition", "jfk::day::flights"];
    let refused = project.run(&typo);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("did you mean `metric_semantic_values`"), "{refused:?}");
    assert!(refused.err.contains("metric_cache"), "{refused:?}");
    let shown = project.run(&["asset", "show", "metric_semantic_value"]);
    assert_eq!(shown.code, 1, "{shown:?}");
}

#[test]
fn r105_r106_results_lie_below_their_tenant_and_a_missing_one_is_named_with_its_path() {
    let readers = r#"
resources:
  warehouse: { kind: sqlite, path: "{{ tenant.id }}.db" }
io:
  lake: { kind: csv, base: lake }
assets:
  raw:
    io: lake
    step: { kind: sql, resource: warehouse, statements: "SELECT 1 AS n UNION SELECT 2", rows: true }
  total:
    deps: [raw]
    step:
      kind: sql
      resource: warehouse
      read: { numbers: { asset: raw } }
      statements: SELECT sum(n) AS total FROM numbers
      rows: true
"#;
    let project = Project::with(readers);
    let missing = project.run(&["asset", "materialize", "total"]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.out.contains("lake/default/raw/_.csv"), "{missing:?}");
    assert_eq!(project.run(&["asset", "materialize", "raw"]).code, 0);
    let found = project.json(&["asset", "materialize", "total"]);
    assert_eq!(found["status"], "SUCCESS", "the input was made by another run: {found}");
    let shown = project.json(&["asset", "show", "total"]);
    assert_eq!(shown["latest"]["metadata"]["total"]["value"], 3, "{shown}");
    let files: Vec<String> = std::fs::read_dir(project.path("lake/default/raw"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, ["_.csv"], "whole files alone");
}

#[test]
fn r026_ten_thousand_keys_are_added_listed_in_pages_found_and_deleted() {
    let project = Project::with(METRICS);
    let _server = project.serve();
    let name = "tenant_grain_metric";
    let all: Vec<String> = (0..10_000).map(|number| format!("jfk::day::m{number:05}")).collect();
    let new: Vec<&str> = all.iter().map(String::as_str).collect();
    let added = project.json(&[&["partition", "add", name][..], &new].concat());
    assert_eq!(added["keys"].as_array().unwrap().len(), 10_000);

    let list = ["partition", "list", name, "--tenant", "jfk"];
    let started = Instant::now();
    let page = project.json(&[&list[..], &["--contains", "::m"]].concat());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(keys(&page), new[..1_000]);
    let after = [&list[..], &["--after", "jfk::day::m00999", "--limit", "5"]].concat();
    assert_eq!(keys(&project.json(&after)), new[1_000..1_005]);
    let found = project.json(&[&list[..], &["--contains", "m0777"]].concat());
    assert_eq!(keys(&found), new[7_770..7_780]);

    let again = project.run(&["partition", "add", name, new[0], "jfk::day::a::b"]);
    assert_eq!(again.out, "1 added, 1 unchanged\n", "a metric may hold the separator");
    let wrong = project.run(&["partition", "add", name, "jfk::day"]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("partition-key"), "{wrong:?}");
    let deleted = project.run(&["partition", "delete", name, new[7_777], "jfk::day::never"]);
    assert_eq!(deleted.out, "1 deleted, 1 unchanged\n");
    let found = project.json(&[&list[..], &["--contains", "m0777"]].concat());
    assert_eq!(found.as_array().unwrap().len(), 9);
}

#[test]
fn keys_that_cannot_be_deleted_are_told_with_the_reason_and_deleting_none_is_a_failure() {
    let project = Project::with(METRICS);
    let delete = ["partition", "delete", "tenant_grain_metric"];
    let of_file = project.run(&[&delete[..], &["jfk::day::flights"]].concat());
    assert_eq!((of_file.code, of_file.out.as_str()), (1, "0 deleted, 1 unchanged\n"));
    let place = "`jfk::day::flights` stands in main.yaml, under the `keys` of \
                 `tenant_grain_metric`\n";
    assert!(of_file.err.contains(place), "{of_file:?}");
    let never = project.run(&[&delete[..], &["jfk::day::flight"]].concat());
    let near = "there is no partition `jfk::day::flight` in `tenant_grain_metric`; near it are \
                `jfk::day::flights`, `jfk::day::delay`; ";
    assert!(never.code == 1 && never.err.contains(near), "{never:?}");
    assert_eq!(project.run(&["partition", "add", delete[2], "jfk::day::x"]).code, 0);
    let one = project.run(&[&delete[..], &["jfk::day::x", "jfk::day::y"]].concat());
    assert_eq!((one.code, one.out.as_str()), (0, "1 deleted, 1 unchanged\n"), "{one:?}");
    assert!(one.err.contains("there is no partition `jfk::day::y`"), "{one:?}");
}

#[test]
fn keys_of_a_tenant_that_takes_no_part_are_left_out_and_belong_to_nobody_else() {
    let all = ["asset", "materialize", "metric_cache", "--all-partitions"];
    let off = METRICS.replace("  ewr: {}", "  ewr: { enabled: false }");
    let gone = METRICS.replace("  ewr: {}\n", "");
    for (definitions, why) in [(off, "disabled"), (gone, "not declared")] {
        let project = Project::with(&definitions);
        for tenants in [&["--tenant", "jfk"][..], &["--all-tenants"]] {
            let before = project.json(&["run", "list"]).as_array().unwrap().len();
            let made = project.run(&[&all[..], tenants].concat());
            assert_eq!(made.code, 0, "{made:?}");
            let told = format!("2 keys of tenant ewr are left out: the tenant is {why}\n");
            assert!(made.err.contains(&told), "{made:?}");
            assert_eq!(made.out.matches("(tenant jfk)").count(), 2, "{made:?}");
            let runs = project.json(&["run", "list"]);
            assert_eq!(runs.as_array().unwrap().len(), before + 2, "{runs}");
        }
        let of_jfk = |command: &[&str]| project.run(&[command, &["--tenant", "jfk"]].concat()).out;
        for command in [
            &["partition", "list", "tenant_grain_metric"][..],
            &["asset", "show", "metric_semantic_values"],
            &["why", "metric_semantic_values"],
        ] {
            let told = of_jfk(command);
            assert!(!told.contains("ewr") && !told.is_empty(), "{command:?}: {told}");
        }
    }
}

#[test]
fn the_keys_near_an_unknown_one_are_those_of_its_tenant_also_added_ones_the_likest_first() {
    let project = Project::with(METRICS);
    let added = ["partition", "add", "tenant_grain_metric", "jfk::day::a", "jfk::day::flightz"];
    assert_eq!(project.run(&added).code, 0);
    let make = ["asset", "materialize", "metric_cache", "--partition", "jfk::day::fligtz"];
    let refused = project.run(&make);
    let near = "near it are `jfk::day::flightz`, `jfk::day::flights`, ";
    assert!(refused.err.contains(near) && !refused.err.contains("ewr"), "{refused:?}");
}

#[test]
fn history_of_a_tenant_that_is_no_longer_declared_is_read_and_nothing_is_started_for_it() {
    let job = "jobs: { j: { nodes: [{ id: a, type: noop }] } }\n";
    let project = Project::with(job);
    let run = project.json(&["job", "launch", "j"])["run_id"].as_str().unwrap().to_owned();
    project.write("dags/main.yaml", &format!("{job}tenants: {{ t1: {{}}, t2: {{}} }}\n"));
    let shown = project.json(&["run", "show", &run]);
    assert_eq!((&shown["tenant"], &shown["status"]), (&json!("default"), &json!("SUCCESS")));
    let listed = project.json(&["run", "list", "--tenant", "default"]);
    assert_eq!(listed[0]["run_id"], json!(run), "{listed}");
    assert!(project.run(&["tenant", "list"]).out.contains("default  not declared"));
    let refused = project.run(&["job", "launch", "j", "--tenant", "default"]);
    let told = "Unknown tenant: default; no file declares it any more: its history can be read, \
                and nothing new is started for it";
    assert!(refused.code == 1 && refused.err.contains(told), "{refused:?}");

    let t1 = project.json(&["job", "launch", "j", "--tenant", "t1"])["run_id"].clone();
    let off = "tenants: { t1: { enabled: false }, t2: {} }";
    project.write("dags/main.yaml", &format!("{job}{off}\n"));
    let told = project.run(&["why", t1.as_str().unwrap()]);
    assert!(told.code == 0 && told.out.contains("succeeded"), "{told:?}");
    project.write("dags/main.yaml", &format!("{job}tenants: {{ t2: {{}} }}\n"));
    let shown = project.json(&["run", "show", t1.as_str().unwrap(), "--tenant", "t1"]);
    assert_eq!(shown["tenant"], json!("t1"), "{shown}");
    assert_eq!(project.run(&["run", "list", "--tenant", "t3"]).code, 1);

    let waiting = project.json(&["job", "launch", "j", "--tenant", "t2", "--no-wait"]);
    let waiting = waiting[0]["run_id"].as_str().unwrap();
    project.write("dags/main.yaml", &format!("{job}tenants: {{ t4: {{}} }}\n"));
    assert_eq!(project.run(&["run", "cancel", waiting, "--tenant", "t2"]).code, 0);
    let shown = project.json(&["run", "show", waiting, "--tenant", "t2"]);
    assert_eq!(shown["status"], json!("CANCELED"), "{shown}");
}
