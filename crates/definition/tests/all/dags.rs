//! Document 004's format: its example files, and what each of its keys comes to.

use millstream_definition::{file_hash, parse_file};
use millstream_model::{
    Backoff, ByteSize, CommandLine, FileManifest, HumanDuration, JobShape, OpDef, RetryPolicy,
    StepConfig, StepLimits,
};

use crate::{errors, load};

macro_rules! sample {
    ($name:literal, $nodes:literal, $links:literal) => {
        (
            concat!($name, ".json"),
            include_str!(concat!("../../../../examples/cascade/dags/", $name, ".json")),
            $nodes,
            $links,
        )
    };
}

/// The files with their numbers of nodes and of distinct links.
const DAGS: [(&str, &str, usize, usize); 10] = [
    sample!("cloud_test_pipeline", 2, 1),
    sample!("daily_etl_pipeline", 4, 3),
    sample!("data_processing_pipeline", 16, 20),
    sample!("hybrid_processing_pipeline", 7, 8),
    sample!("imported_pipeline", 3, 2),
    sample!("inline_tasks_example", 4, 5),
    sample!("literary_analysis_pipeline", 9, 10),
    sample!("my_dag", 3, 2),
    sample!("terraform_my_dag", 3, 2),
    sample!("test_flaky_dag", 3, 2),
];

fn ops(manifest: &FileManifest) -> &[OpDef] {
    match &manifest.jobs[0].shape {
        JobShape::Ops(ops) => ops,
        JobShape::Select(_) => panic!("the job has no ops"),
    }
}

fn links(manifest: &FileManifest) -> Vec<(String, Vec<String>)> {
    let text = |op: &OpDef| op.depends_on.iter().map(ToString::to_string).collect();
    ops(manifest).iter().map(|op| (op.id.to_string(), text(op))).collect()
}

#[test]
fn r164_the_ten_example_files_load_unchanged_without_a_finding() {
    for (path, text, node_count, link_count) in DAGS {
        let parsed = parse_file(path, text.as_bytes());
        assert_eq!(parsed.diagnostics, [], "{path}");
        let manifest = parsed.manifest.unwrap();
        assert_eq!(ops(&manifest).len(), node_count, "{path}");
        assert_eq!(ops(&manifest).iter().map(|op| op.depends_on.len()).sum::<usize>(), link_count);
        assert_eq!(Some(manifest.jobs[0].name.as_str()), path.strip_suffix(".json"));
    }
}

#[test]
fn r164_every_part_of_a_lambda_node_arrives() {
    let (path, text, ..) = DAGS[6];
    let manifest = load(path, text);
    let op = &ops(&manifest)[0];
    assert_eq!(op.timeout, Some(HumanDuration::from_secs(120)));
    assert_eq!(op.retry.as_ref().map(|it| it.max), Some(3));
    let StepConfig::Lambda(step) = &op.step else { panic!("{:?} is no lambda", op.step) };
    assert_eq!(step.function_name, "cascade-fetch-book");
    assert_eq!(step.memory, Some(512));
    assert!(step.store_output_to_s3);
    assert_eq!(step.output_s3_key.as_deref(), Some("literary-analysis/{{job_id}}/book1_raw.txt"));
    assert_eq!(step.payload["book_id"], "{{book1_id}}");
}

#[test]
fn r165_a_file_without_edges_loads_and_its_nodes_wait_for_nothing() {
    let manifest = load("a.yaml", "nodes: [{id: a, type: noop}, {id: b, type: noop}]");
    assert_eq!(links(&manifest), [("a".into(), vec![]), ("b".into(), vec![])]);
}

#[test]
fn r166_depends_on_and_edges_give_the_same_links_and_duplicates_count_once() {
    let nodes = "nodes: [{id: a, type: noop}, {id: b, type: noop";
    let edges = "edges: [{from: a, to: b}, {from: a, to: b, type: success}]";
    let by_edges = load("a.yaml", &format!("{nodes}}}]\n{edges}"));
    let by_depends_on = load("a.yaml", &format!("{nodes}, depends_on: [a]}}]"));
    let by_both = load("a.yaml", &format!("{nodes}, depends_on: [a, a]}}]\n{edges}"));
    assert_eq!(links(&by_edges)[1], ("b".to_owned(), vec!["a".to_owned()]));
    assert_eq!(by_edges, by_depends_on);
    assert_eq!(by_edges, by_both);
}

#[test]
fn r167_a_job_is_named_by_its_path_without_the_extension() {
    let manifest = load("production/daily.etl.json", r#"{"nodes": [{"id": "a", "type": "noop"}]}"#);
    assert_eq!(manifest.jobs[0].name.as_str(), "production/daily.etl");
    assert!(manifest.jobs[0].enabled);
}

#[test]
fn r171_the_circle_is_named_for_edges_depends_on_a_mix_and_a_node_on_itself() {
    let two = |more: &str| format!("nodes: [{{id: a, type: noop}}, {{id: b, type: noop}}]\n{more}");
    let mixed = "nodes: [{id: a, type: noop}, {id: b, type: noop, depends_on: [a]}]\n\
                 edges: [{from: b, to: a}]";
    let by_depends_on = "nodes: [{id: a, type: noop, depends_on: [b]}, \
                         {id: b, type: noop, depends_on: [a]}]";
    let cases = [
        (two("edges: [{from: a, to: b}, {from: b, to: a}]"), "the circle is a → b → a"),
        (two("edges: [{from: b, to: b}]"), "the circle is b → b"),
        (mixed.to_owned(), "the circle is a → b → a"),
        (by_depends_on.to_owned(), "the circle is a → b → a"),
    ];
    for (text, help) in cases {
        let found = errors("a.yaml", &text);
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0].message, "DAG contains a cycle (circular dependency)");
        assert_eq!(found[0].help.as_deref(), Some(help));
    }
}

#[test]
fn r019_limits_stand_in_the_node_or_in_its_config_and_sizes_are_written_as_people_say_them() {
    let limits = "{memory: 512 MiB, cpu: 2, cpu_time: 10m, processes: 8, open_files: 64}";
    let text = format!(
        "nodes:\n- {{id: a, type: noop, limits: {limits}}}\n\
         - {{id: b, type: command, config: {{command: x, limits: {limits}}}}}"
    );
    let manifest = load("a.yaml", &text);
    let wanted = StepLimits {
        memory: Some(ByteSize(512 << 20)),
        cpu: Some(2),
        cpu_time: Some(HumanDuration::from_secs(600)),
        processes: Some(8),
        open_files: Some(64),
    };
    assert_eq!(ops(&manifest).iter().map(|op| op.limits).collect::<Vec<_>>(), [wanted, wanted]);
}

#[test]
fn r188_a_local_node_takes_its_module_from_either_place_and_hands_the_rest_on() {
    let text = "nodes:\n- {id: a, type: local, module: M.A}\n\
                - {id: b, type: local, config: {module: M.B, timeout: 5m, table: t, n: 1.10}}";
    let manifest = load("a.yaml", text);
    let [StepConfig::Local(first), StepConfig::Local(second)] =
        [&ops(&manifest)[0].step, &ops(&manifest)[1].step]
    else {
        panic!("not two local steps");
    };
    assert_eq!((first.module.as_str(), first.config.len()), ("M.A", 0));
    assert_eq!(second.module, "M.B");
    assert_eq!(
        serde_json::Value::from(second.config.clone()),
        serde_json::json!({"table": "t", "n": 1.1})
    );
    assert_eq!(ops(&manifest)[1].timeout, Some(HumanDuration::from_secs(300)));
}

#[test]
fn r191_retry_counts_attempts_after_the_first_and_what_is_no_number_means_none() {
    let retry = |written: &str| {
        let text = format!(
            r#"{{"nodes": [{{"id": "a", "type": "local", "config": {{"module": "M", "retry": {written}}}}}]}}"#
        );
        ops(&load("a.json", &text))[0].retry.clone()
    };
    assert_eq!(retry("3").map(|it| it.attempts()), Some(4));
    assert_eq!(retry("null"), None);
    for written in ["\"\"", "\"x\"", "0", "-2", "1.5", "[]", "true"] {
        assert_eq!(retry(written), Some(RetryPolicy::NEVER), "{written}");
    }
    let policy = retry(r#"{"max": 2, "delay": "2s", "backoff": "exponential", "jitter": true}"#);
    let expected = RetryPolicy {
        max: 2,
        delay: HumanDuration::from_secs(2),
        backoff: Backoff::Exponential,
        jitter: true,
    };
    assert_eq!(policy, Some(expected));
}

#[test]
fn r185_aliases_five_fields_and_six_are_cron_expressions() {
    for cron in ["@daily", "@midnight", "@yearly", "*/5 * * * *", "30 0 2 * * MON-FRI"] {
        let text = format!("nodes: [{{id: a, type: noop}}]\nschedule: '{cron}'");
        assert_eq!(load("a.yaml", &text).jobs[0].schedule.as_deref(), Some(cron));
    }
}

#[test]
fn command_and_sql_nodes_are_typed_like_the_rest() {
    let text = "nodes:\n- {id: a, type: command, config: {command: [./a.sh, 1], env: {N: 1.10}}}\n\
                - {id: b, type: command, config: {command: './b.sh | wc', cwd: work}}\n\
                - {id: c, type: sql, config: {resource: db, statements: select 1, rows: true}}";
    let manifest = load("a.yaml", text);
    let StepConfig::Command(argv) = &ops(&manifest)[0].step else { panic!() };
    assert_eq!(argv.command, CommandLine::Argv(vec!["./a.sh".into(), "1".into()]));
    assert_eq!(argv.env["N"], "1.10");
    let StepConfig::Command(shell) = &ops(&manifest)[1].step else { panic!() };
    assert_eq!(shell.command, CommandLine::Shell("./b.sh | wc".into()));
    let StepConfig::Sql(sql) = &ops(&manifest)[2].step else { panic!() };
    assert_eq!((sql.statements.as_slice(), sql.rows), (["select 1".to_owned()].as_slice(), true));
}

#[test]
fn r162_the_version_is_that_of_the_content_however_it_is_written() {
    let json = load("a.json", r#"{"nodes": [{"id": "a", "type": "noop"}], "enabled": true}"#);
    let yaml = load("a.yaml", "enabled: true\n# a comment\nnodes:\n- type: noop\n  id: a\n");
    let paused = load("a.yaml", "enabled: false\nnodes: [{id: a, type: noop}]");
    assert_eq!(file_hash(&json), file_hash(&yaml));
    assert_ne!(file_hash(&json), file_hash(&paused));
}
