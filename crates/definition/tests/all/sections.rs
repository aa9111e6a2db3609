//! Files of sections: what each section's keys come to.

use millstream_definition::parse_file;
use millstream_model::partitions::{Cadence, DynamicPartitions, TimeWindowPartitions};
use millstream_model::{
    Builtin, CommandLine, ErrorCode, HandlerTarget, HumanDuration, IoDef, Isolation, JobShape,
    LimitScope, MetadataKind, PartitionsDef, PartitionsName, ReadSource, ResourceDef, Severity,
    StepConfig, StepKey, TagValues,
};

use crate::location::check_new;
use crate::{errors, load};

#[test]
fn limits_of_a_step_that_has_no_process_are_a_warning_with_a_way_out() {
    let limits = "limits: {memory: 64 MiB}";
    for (kind, key) in [("noop", ""), ("http", "resource: r,"), ("lambda", "function_name: f,")] {
        let node = format!("nodes: [{{id: a, type: {kind}, {key} {limits}}}]");
        let asset = format!("assets: {{a: {{step: {{kind: {kind}, {key}}}, {limits}}}}}");
        for text in [node, asset] {
            let found = parse_file("a.yaml", text.as_bytes()).diagnostics;
            let about = found.iter().find(|it| it.message.starts_with("`limits` hold"));
            let about = about.unwrap_or_else(|| panic!("{text}: {found:#?}"));
            assert_eq!(
                (about.severity, about.code),
                (Severity::Warning, ErrorCode::DefinitionValue)
            );
            assert!(about.message.contains(&format!("`{kind}` steps have none")), "{about:?}");
            assert!(about.help.as_ref().is_some_and(|help| help.contains("`timeout`")));
        }
    }
    let text = format!("nodes: [{{id: a, type: command, command: [ls], {limits}}}]");
    assert_eq!(parse_file("a.yaml", text.as_bytes()).diagnostics, []);
}

#[test]
fn r182_a_library_need_not_declare_anything_and_is_no_job() {
    for text in ["null", "# nothing yet\n", "handlers: {'A.*': {builtin: noop}}"] {
        let library = parse_file("shared/_reusable.yaml", text.as_bytes());
        assert_eq!(library.diagnostics, [], "{text}");
        assert_eq!(library.manifest.unwrap().jobs, []);
    }
    assert_eq!(parse_file("_reusable.json", b"null").diagnostics, []);
    let found = errors("_reusable.yaml", "nodes: [{id: a, type: noop}]");
    assert_eq!(found[0].message, "A file whose name begins with `_` is a library, and no job");
    assert_eq!(errors("_reusable.yaml", "handler: {}")[0].code, ErrorCode::DefinitionUnknownKey);
    assert_eq!(errors("reusable.yaml", "null")[0].message, "YAML parse error: the file is empty");
}

#[test]
fn numbers_and_flags_are_taken_as_they_are_written_where_text_is_wanted() {
    let manifest = load(
        "1.yaml",
        "{name: 1, description: 5.10, nodes: [{id: 1, type: command, command: true}, \
         {id: 2, type: noop, depends_on: [1], pool: 7}, {id: true, type: noop}], \
         edges: [{from: 2, to: true}]}",
    );
    let job = &manifest.jobs[0];
    assert_eq!(job.description.as_deref(), Some("5.10"));
    let JobShape::Ops(ops) = &job.shape else { panic!("{job:?}") };
    let links: Vec<(&str, Vec<&str>)> = ops
        .iter()
        .map(|op| (op.id.as_str(), op.depends_on.iter().map(StepKey::as_str).collect()))
        .collect();
    assert_eq!(links, [("1", vec![]), ("2", vec!["1"]), ("true", vec!["2"])]);
    assert!(matches!(&ops[0].step, StepConfig::Command(step)
        if step.command == CommandLine::Shell("true".to_owned())));
    assert_eq!(ops[1].pool.as_ref().map(|pool| pool.name.as_str()), Some("7"));
    let manifest = load(
        "a.yaml",
        "{assets: {7: {group: 1.10, deps: [8], partitions: 9, step: {kind: sql, resource: 3, \
         statements: 4}}, 8: {}}, partitions: {9: {kind: daily, start: 2026-01-01}}}",
    );
    let asset = &manifest.assets[0];
    assert_eq!((asset.group.as_str(), asset.deps[0].to_string().as_str()), ("1.10", "8"));
    assert_eq!(asset.partitions.as_ref().map(PartitionsName::as_str), Some("9"));
    let found = errors("a.yaml", "nodes: [{id: [1], type: noop}, {id: a, type: {}}]");
    let found: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        found,
        ["`id` of node 1 must be text, not a list", "`type` of node 2 must be text, not an object"]
    );
}

#[test]
fn a_variable_or_a_label_that_is_null_counts_as_left_out() {
    let manifest = load(
        "a.yaml",
        "{tags: {team: null, rank: 1}, \
         nodes: [{id: a, type: command, command: [ls], env: {C: null, D: 1}}]}",
    );
    let job = &manifest.jobs[0];
    assert_eq!(job.tags.keys().collect::<Vec<_>>(), ["rank"]);
    let JobShape::Ops(ops) = &job.shape else { panic!("{job:?}") };
    let StepConfig::Command(step) = &ops[0].step else { panic!("{ops:?}") };
    assert_eq!(step.env.keys().collect::<Vec<_>>(), ["D"]);
}

#[test]
fn an_asset_takes_all_its_keys() {
    let manifest = load(
        "a.yaml",
        r#"
assets:
  sales/orders:
    description: All orders
    deps: [raw/orders, raw/orders, customers]
    group: sales
    kinds: [sql, table]
    owners: [ana@example.com]
    tags: {priority: high, rank: 1.10}
    metadata: {rows: 3, note: {type: md, value: "*hi*"}}
    partitions: {kind: daily, start: 2025-01-01, timezone: Europe/Berlin}
    io: lake
    timeout: 5m
    retry: 2
    code_version: v7
    output_required: false
    step:
      kind: sql
      resource: db
      statements: [select 1]
      read: {flights: {csv: data/flights.csv.gz}, orders: {asset: raw/orders}}
      params: {limit: 5}
      rows: true
"#,
    );
    let asset = &manifest.assets[0];
    assert_eq!(asset.key.to_string(), "sales/orders");
    let deps: Vec<String> = asset.deps.iter().map(ToString::to_string).collect();
    assert_eq!(deps, ["raw/orders", "customers"]);
    assert_eq!((asset.group.as_str(), asset.kinds.len()), ("sales", 2));
    assert_eq!(asset.tags["rank"], "1.10");
    assert_eq!(asset.metadata["rows"].kind, MetadataKind::Int);
    assert_eq!(asset.metadata["note"].kind, MetadataKind::Md);
    assert_eq!(asset.timeout, Some(HumanDuration::from_secs(300)));
    assert_eq!(asset.retry.as_ref().map(|it| it.max), Some(2));
    assert_eq!(asset.code_version.as_deref(), Some("v7"));
    assert!(!asset.output_required);
    let Some(StepConfig::Sql(step)) = &asset.step else { panic!("{:?}", asset.step) };
    assert_eq!(step.read["flights"], ReadSource::Csv("data/flights.csv.gz".into()));
    assert_eq!(step.params["limit"], 5);
    let name = asset.partitions.as_ref().unwrap();
    assert_eq!(name.as_str(), "sales.orders");
    let PartitionsDef::TimeWindow(windows) = &manifest.partitions[name] else { panic!() };
    assert_eq!(windows.timezone, "Europe/Berlin");
}

#[test]
fn pipes_are_a_word_or_an_object_and_need_not_be_there() {
    use millstream_model::PipesChannel as C;
    for (written, channel) in [
        ("", C::File),
        (", pipes: stdout", C::Stdout),
        (", pipes: off", C::Off),
        (", pipes: false", C::Off),
        (", pipes: {messages: buffered_stderr, extras: {speed: 7}}", C::BufferedStderr),
    ] {
        let text = format!("assets: {{a: {{step: {{kind: command, command: ./a{written}}}}}}}");
        let manifest = load("a.yaml", &text);
        let Some(StepConfig::Command(step)) = &manifest.assets[0].step else { panic!("{text}") };
        assert_eq!(step.pipes.messages, channel, "{text}");
        let has_extras = written.contains("extras");
        assert_eq!(step.pipes.extras.get("speed").is_some(), has_extras, "{text}");
    }
    let found = errors("a.yaml", "assets: {a: {step: {kind: command, command: a, pipes: stdot}}}");
    assert_eq!(found.len(), 1);
    assert!(found[0].help.as_ref().is_some_and(|help| help.contains("`stdout`")), "{found:?}");
}

#[test]
fn an_asset_needs_nothing_but_its_key() {
    let manifest = load("a.yaml", "assets: {raw: {}}");
    let asset = &manifest.assets[0];
    assert_eq!(asset.group, "default");
    assert_eq!((&asset.step, &asset.partitions, asset.output_required), (&None, &None, true));
}

#[test]
fn every_kind_of_partitions_loads() {
    let manifest = load(
        "a.yaml",
        r#"
partitions:
  site: {kind: static, keys: [jfk, lga, 007]}
  metric:
    kind: dynamic
    dimensions: [tenant, grain, metric]
    tenant: tenant
    keys: ["jfk::day::flights"]
  hour: {kind: hourly, start: 2025-01-01T06:00}
  week: {kind: weekly, start: 2025-01-06, end: 2026-01-05}
  month: {kind: monthly, start: 2025-01-01, format: "%Y-%m"}
  shift: {kind: cron, cron: "0 */8 * * *", start: 2025-01-01}
  grid:
    kind: multi
    dimensions:
      day: {kind: daily, start: 2025-01-01}
      site: {kind: static, keys: [jfk, lga]}
"#,
    );
    let of = |name: &str| &manifest.partitions[name];
    let PartitionsDef::Static { keys } = of("site") else { panic!() };
    assert_eq!(keys[2].as_str(), "007");
    let PartitionsDef::Dynamic(DynamicPartitions { separator, tenant, keys, .. }) = of("metric")
    else {
        panic!()
    };
    assert_eq!((separator.as_str(), keys.len()), ("::", 1));
    assert_eq!(tenant.as_ref().map(ToString::to_string).as_deref(), Some("tenant"));
    let cadence = |name: &str| match of(name) {
        PartitionsDef::TimeWindow(TimeWindowPartitions { cadence, .. }) => cadence.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(cadence("hour"), Cadence::Hourly);
    assert_eq!(cadence("week"), Cadence::Weekly);
    assert_eq!(cadence("month"), Cadence::Monthly);
    assert_eq!(cadence("shift"), Cadence::Cron("0 */8 * * *".into()));
    let PartitionsDef::Multi { dimensions } = of("grid") else { panic!() };
    assert_eq!(dimensions.len(), 2);
}

#[test]
fn partitions_that_cannot_work_are_refused_with_their_lines() {
    let cases = [
        (
            "{kind: daily, start: 2025-02-30}",
            "\"2025-02-30\" is no date; write `2025-07-01` or `2025-07-01T06:00`, in the local time",
            27,
        ),
        (
            "{kind: daily, start: 2025-02-02, end: 2025-02-02}",
            "end \"2025-02-02\" is not later than start \"2025-02-02\"; `end` is exclusive",
            44,
        ),
        ("{kind: static, keys: []}", "there are 0 keys; write 1 to 10000", 27),
        ("{kind: dynamic, dimensions: [a, b], keys: [x]}", "Invalid partition key format: x", 49),
        ("{kind: dynamic, dimensions: [a, a]}", "dimension `a` stands twice", 34),
        (
            "{kind: cron, cron: '* *', start: 2025-01-01}",
            "cron expression \"* *\" has 2 fields; write minute, hour, day, month and weekday, \
             like `0 6 * * 1`",
            25,
        ),
        (
            "{kind: multi, dimensions: {d: {kind: multi, dimensions: {e: {kind: static, keys: [a]}}}}}",
            "dimension `d` is of kind multi; list its dimensions beside the others",
            32,
        ),
        (
            "{kind: multi, dimensions: {d: {kind: static, keys: [a, a]}}}",
            "key `a` stands twice",
            61,
        ),
        (
            "{kind: multi, dimensions: {d: {kind: static, keys: [b, 'a|b']}}}",
            "key `a|b` of dimension `d` has a `|`, which stands between dimensions",
            61,
        ),
        ("{kind: static, keys: [a, '']}", "a partition key cannot be empty", 31),
    ];
    for (definition, message, column) in cases {
        let found = errors("a.yaml", &format!("partitions:\n  p: {definition}"));
        assert_eq!(found.len(), 1, "{definition}: {found:#?}");
        assert_eq!(found[0].message, message);
        assert_eq!((found[0].place.line, found[0].place.column), (2, column), "{definition}");
    }
}

#[test]
fn what_is_wrong_with_a_key_stands_at_that_key_with_the_form_of_one() {
    let long = "k".repeat(501);
    let text = format!(
        "partitions:\n  p: {{kind: static, keys: [a, '', {long}, [b]]}}\n  \
         q: {{kind: dynamic, dimensions: [shop, day], separator: '-', keys: [x, y-1, z-, x]}}"
    );
    let found = errors("a.yaml", &text);
    let told: Vec<(u32, u32, &str, Option<&str>)> = found
        .iter()
        .map(|it| (it.place.line, it.place.column, it.message.as_str(), it.help.as_deref()))
        .collect();
    let form = Some("a key is text of 1 to 500 bytes in one line");
    let parts = Some("a key here has 2 parts, none of them empty: `shop-day`");
    let too_long = format!("Invalid partition key format: {long}");
    assert_eq!(
        told,
        [
            (2, 31, "a partition key cannot be empty", form),
            (2, 35, too_long.as_str(), form),
            (2, 538, "`keys` must be a list of texts, not a list", None),
            (3, 70, "Invalid partition key format: x", parts),
            (3, 78, "Invalid partition key format: z-", parts),
            (3, 82, "key `x` stands twice", Some("leave one of them out")),
        ]
    );
}

#[test]
fn jobs_select_assets_or_list_nodes() {
    let manifest = load(
        "a.yaml",
        r#"
jobs:
  sync: {select: "orders+", tags: {team: data}, schedule: "@daily", max_parallel: 4}
  nightly/load:
    enabled: false
    nodes: [{id: a, type: noop}, {id: b, type: noop, depends_on: [a]}]
"#,
    );
    let [sync, load] = manifest.jobs.as_slice() else { panic!() };
    assert_eq!(sync.shape, JobShape::Select("orders+".into()));
    assert_eq!((sync.schedule.as_deref(), sync.max_parallel), (Some("@daily"), Some(4)));
    let JobShape::Ops(ops) = &load.shape else { panic!() };
    assert_eq!((load.name.as_str(), load.enabled, ops.len()), ("nightly/load", false, 2));
}

#[test]
fn resources_and_io_managers_load_with_templates_over_env_and_tenant() {
    let manifest = load(
        "a.yaml",
        r#"
resources:
  db: {kind: sqlite, path: "{{ env.DATA | default('data') }}/{{ tenant.id }}.db"}
  pg: {kind: postgres, url: "postgres://localhost/x", schema: "{{ tenant.schema_name }}"}
io:
  lake: {kind: json, base: "{{ env.LAKE }}"}
  sheets: {kind: csv, base: sheets}
"#,
    );
    let ResourceDef::Sqlite { path } = &manifest.resources["db"] else { panic!() };
    assert_eq!(path, "{{ env.DATA | default('data') }}/{{ tenant.id }}.db");
    assert!(matches!(&manifest.resources["pg"], ResourceDef::Postgres { schema: Some(_), .. }));
    assert!(matches!(&manifest.io["sheets"], IoDef::Csv(_)));
}

#[test]
fn r188_handlers_keep_the_order_of_the_file() {
    let manifest = load(
        "a.yaml",
        r#"
handlers:
  "Z.Send": {command: ["./send.sh", "{{ name }}"], env: {LEVEL: 3}}
  "A.*": {builtin: echo}
"#,
    );
    let [send, rest] = manifest.handlers.as_slice() else { panic!() };
    assert_eq!((send.pattern.as_str(), rest.pattern.as_str()), ("Z.Send", "A.*"));
    assert!(matches!(&send.target, HandlerTarget::Command(it) if it.env["LEVEL"] == "3"));
    assert_eq!(rest.target, HandlerTarget::Builtin(Builtin::Echo));
}

#[test]
fn a_handler_says_one_thing_that_runs() {
    for (said, both) in [
        ("{command: [./a.sh], python: \"a.py:run\"}", "`command` and `python`"),
        ("{builtin: echo, python: \"a.py:run\"}", "`python` and `builtin`"),
        ("{builtin: echo, command: [./a.sh], env: {A: 1}}", "`command` and `builtin`"),
    ] {
        let found = errors("a.yaml", &format!("handlers:\n  \"A.*\": {said}"));
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(one.message, format!("The handler `A.*` has both {both}"));
        assert_eq!(one.place.line, 2);
        assert!(one.help.as_deref().unwrap().starts_with("keep one of"), "{one:?}");
    }
}

#[test]
fn a_function_in_python_is_a_step_or_a_handler() {
    let manifest = load(
        "a.yaml",
        r#"
assets:
  rows:
    step:
      kind: python
      function: etl.load:rows
      isolation: warm
      params: {limit: 3}
      env: {LEVEL: 2}
      interpreter: .venv/bin/python
handlers:
  "MyApp.Tasks.*": {python: "tasks.py:{{ name | snake }}"}
"#,
    );
    let asset = manifest.assets.first().unwrap();
    let Some(StepConfig::Python(step)) = &asset.step else { panic!("{:?}", asset.step) };
    assert_eq!((step.function.as_str(), step.isolation), ("etl.load:rows", Isolation::Warm));
    assert_eq!((&step.params["limit"], step.env["LEVEL"].as_str()), (&3.into(), "2"));
    assert_eq!(step.interpreter.as_deref(), Some(".venv/bin/python"));
    let [handler] = manifest.handlers.as_slice() else { panic!() };
    let HandlerTarget::Python(step) = &handler.target else { panic!("{handler:?}") };
    assert_eq!(step.function, "tasks.py:{{ name | snake }}");
    assert_eq!(step.isolation, Isolation::Fork);
}

#[test]
fn tenants_have_the_fields_of_document_002_and_labels_of_their_own() {
    let manifest = load(
        "a.yaml",
        r#"
tenants:
  tenant_a:
    name: Tenant A
    database_url: postgres://localhost/a
    s3_bucket: data-lake-prod
    s3_prefix: tenant_a/
    schema_name: tenant_a
    schedule: "0 6 * * *"
    enabled: false
    labels: {region: eu, tier: 1}
  tenant_b:
"#,
    );
    let tenant = &manifest.tenants["tenant_a"];
    assert_eq!(tenant.s3_prefix.as_deref(), Some("tenant_a/"));
    assert_eq!((tenant.enabled, tenant.labels["tier"].as_str()), (false, "1"));
    assert!(manifest.tenants["tenant_b"].enabled);
}

#[test]
fn the_same_file_in_json_declares_the_same() {
    let yaml = "assets:\n  a: {deps: [b], tags: {x: y}}\n  b: {step: {kind: noop}}\n";
    let json = r#"{"assets": {"a": {"deps": ["b"], "tags": {"x": "y"}}, "b": {"step": {"kind": "noop"}}}}"#;
    assert_eq!(load("a.yaml", yaml), load("b.json", json));
}

#[test]
fn a_manifest_survives_its_json_form() {
    let text = "assets: {a: {step: {kind: sql, resource: db, statements: x}, retry: 1}}\n\
                partitions: {p: {kind: monthly, start: 2025-01-01}}\n\
                handlers: {'M.*': {builtin: noop}}\ntenants: {t: {}}\n";
    let manifest = load("a.yaml", text);
    let json = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<millstream_model::FileManifest>(&json).unwrap(), manifest);
}

#[test]
fn r126_a_queue_takes_limits_in_our_form_and_in_dagsters() {
    let manifest = load(
        "a.yaml",
        r"
queue:
  max_concurrent_runs: 35
  tag_limits:
    - {key: exclusive, limit_per_value: 1}
    - {key: quarter, value: {applyLimitPerUniqueValue: true}, limit: 1, scope: instance}
    - {key: team, value: sec, limit: 2}
    - {key: heavy, limit: 3}
  rate_limits:
    - {key: api, limit: 10, per: 1m}
",
    );
    assert_eq!(manifest.queue.max_concurrent_runs, Some(35));
    let limits: Vec<(&str, &TagValues, u32)> = manifest
        .queue
        .tag_limits
        .iter()
        .map(|limit| (limit.key.as_str(), &limit.values, limit.limit))
        .collect();
    let sec = TagValues::One("sec".to_owned());
    assert_eq!(
        limits,
        [
            ("exclusive", &TagValues::Each, 1),
            ("quarter", &TagValues::Each, 1),
            ("team", &sec, 2),
            ("heavy", &TagValues::All, 3),
        ]
    );
    assert_eq!(manifest.queue.tag_limits[1].scope, LimitScope::Instance);
    assert_eq!(manifest.queue.rate_limits[0].per, HumanDuration::from_secs(60));
}

#[test]
fn r149_a_step_names_the_slots_of_a_pool_that_it_holds() {
    let manifest = load(
        "a.yaml",
        r"
pools: {sec_download: 2, warehouse: {slots: 4, scope: instance}}
assets:
  filing: {step: {kind: noop}, pool: sec_download}
jobs:
  load:
    priority: -1
    nodes:
      - {id: heavy, type: noop, pool: {name: warehouse, slots: 3}}
      - {id: own, type: local, config: {module: A.B, pool: mine}}
",
    );
    let pool = manifest.assets[0].pool.as_ref().unwrap();
    assert_eq!((pool.name.as_str(), pool.slots), ("sec_download", 1));
    let job = &manifest.jobs[0];
    let JobShape::Ops(ops) = &job.shape else { panic!() };
    assert_eq!((job.priority, ops[0].pool.as_ref().unwrap().slots), (Some(-1), 3));
    let StepConfig::Local(step) = &ops[1].step else { panic!() };
    assert_eq!(step.config["pool"], "mine", "a value of the handler's own is handed on");
    assert_eq!(manifest.pools.len(), 2);
}

#[test]
fn r145_a_priority_that_is_no_number_is_refused() {
    let text = "jobs: {a: {select: b, tags: {dagster/priority: high}}}\n";
    assert_eq!(errors("a.yaml", text)[0].message, "`dagster/priority` cannot be `high`");
    let text = "schedules: {s: {cron: '@daily', select: a, tags: {dagster/priority: high}}}\n";
    assert_eq!(errors("a.yaml", text)[0].message, "`dagster/priority` cannot be `high`");
}

#[test]
fn r145_a_number_of_retries_that_is_none_is_refused() {
    let text = "jobs: {a: {select: b, tags: {dagster/max_retries: often}}}\n";
    let found = errors("a.yaml", text);
    assert_eq!(found[0].message, "`dagster/max_retries` cannot be `often`");
    assert!(found[0].help.as_deref().unwrap().ends_with("a whole number up to 1000"));
}

/// What is found in a sensor of files with `keys`, beside a job.
fn of_files(keys: &str) -> Vec<String> {
    let text = format!(
        "jobs: {{etl: {{nodes: [{{id: a, type: noop}}]}}}}\nsensors: {{s: {{kind: files, path: in, \
         {keys}}}}}\n"
    );
    parse_file("a.yaml", text.as_bytes()).diagnostics.into_iter().map(|it| it.message).collect()
}

#[test]
fn what_a_sensor_can_never_find_or_say_is_told_at_load() {
    for (keys, said) in [
        (
            "request: {job: etl, context: {path: '{{ flie.path }}'}}",
            "The template names `flie`, which does not exist here",
        ),
        (
            "when: '{{ run.id }}', request: {job: etl}",
            "The template names `run`, which does not exist here",
        ),
        ("when: maybe", "`when` says \"maybe\", which is neither true nor false"),
        ("pattern: '['", "`pattern` has `[`, which stands for itself alone"),
        ("pattern: '/a.csv'", "`pattern` matches nothing: \"/a.csv\" begins with `/`"),
    ] {
        assert_eq!(of_files(keys), [said], "{keys}");
    }
    let fine = "when: 'yes', pattern: '**/*.csv', request: {job: etl, run_key: '{{ file.path }} \
                {{ tenant.id }} {{ env.A }} {{ sensor }} {{ range(3) | length }}'}";
    assert_eq!(of_files(fine), [""; 0]);
}

#[test]
fn a_limit_that_lets_no_run_start_is_told() {
    let found = |most: u32| {
        let text = format!("queue: {{max_concurrent_runs: {most}}}\n");
        let found = parse_file("a.yaml", text.as_bytes()).diagnostics;
        found.into_iter().map(|it| (it.severity, it.message)).collect::<Vec<_>>()
    };
    let message = "`max_concurrent_runs` is 0: no run ever starts".to_owned();
    assert_eq!((found(0), found(1)), (vec![(Severity::Warning, message)], Vec::new()));
}

#[test]
fn parameters_that_are_called_like_what_every_step_has_are_told() {
    for (step, name) in [
        ("kind: python, function: 'a.py:f', params: {run: 1, day: 2}", "run"),
        ("kind: sql, resource: db, statements: [select 1], params: {run_id: 1, run: 2}", "run_id"),
    ] {
        let text = format!("assets: {{a: {{step: {{{step}}}}}}}\n");
        let found = parse_file("a.yaml", text.as_bytes()).diagnostics;
        let said = found.iter().map(|it| (it.severity, it.message.as_str()));
        let wanted = format!("`{name}` under `params` is not what the step sees as `{name}`");
        assert!(said.eq([(Severity::Warning, wanted.as_str())]), "{found:?}");
    }
}

#[test]
fn keys_of_a_request_that_only_an_answer_says_are_told() {
    let text = "sensors: {s: {kind: command, command: [./x], request: {select: a, run_key: k}}}\n\
                assets: {a: {step: {kind: noop}}}\n";
    let found = parse_file("a.yaml", text.as_bytes()).diagnostics;
    assert_eq!(found[0].message, "`run_key` of this `request` does nothing: the answer says it");
    assert_eq!((found.len(), found[0].severity), (1, Severity::Warning));
}

#[test]
fn a_schedule_that_can_never_tick_is_an_error() {
    let of = |keys: &str| {
        let job = "jobs: {etl: {nodes: [{id: a, type: noop}]}}";
        let text = format!("{job}\nschedules: {{s: {{job: etl, cron: '@daily', {keys}}}}}\n");
        errors("a.yaml", &text).into_iter().map(|it| it.message).collect::<Vec<_>>()
    };
    let never = "schedule `s` ends before it starts, and never ticks";
    for end in ["2026-01-31", "2026-02-01", "2026-02-01T00:00"] {
        assert_eq!(of(&format!("start: 2026-02-01, end: {end}")), [never], "{end}");
    }
    assert_eq!(of("start: 2026-02-01, end: 2026-02-01T00:01"), [""; 0]);
    assert_eq!(of("when: maybe"), ["`when` says \"maybe\", which is neither true nor false"]);
}

#[test]
fn r145_the_labels_that_a_sensor_gives_are_checked_but_for_templates() {
    let sensor = |tag: &str| {
        format!(
            "sensors: {{s: {{kind: command, command: [./x], request: {{select: a, \
             tags: {{{tag}}}}}}}}}\nassets: {{a: {{step: {{kind: noop}}}}}}\n"
        )
    };
    let found = errors("a.yaml", &sensor("dagster/priority: high"));
    assert_eq!(found[0].message, "`dagster/priority` cannot be `high`");
    let found = errors("a.yaml", &sensor("dagster/max_retries: 1001"));
    assert_eq!(found[0].message, "`dagster/max_retries` cannot be `1001`");
    load("a.yaml", &sensor("dagster/priority: '{{ tenant.id }}'"));
}

#[test]
fn the_keys_of_a_kind_may_stand_in_the_node_itself_and_a_mistyped_one_is_reported_once() {
    assert_eq!(load("a.yaml", "nodes: [{id: a, type: command, command: [ls]}]").jobs.len(), 1);
    let found = errors("a.yaml", "nodes: [{id: a, type: command, comand: [ls]}]");
    let found: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(found, ["Unknown key `comand` in the node `a`"]);
    let found = errors("a.yaml", "nodes: [{id: a, type: command}]");
    assert_eq!(found[0].message, "The node `a` has no `config`");
    let help = found[0].help.as_deref().unwrap();
    assert!(help.starts_with("put `command` into it, or into the node itself; "), "{help}");
}

#[test]
fn sections_beside_nodes_are_reported_as_such_and_what_they_declare_is_known() {
    let text = "resources: {db: {kind: sqlite, path: a.db}}\n\
                nodes: [{id: a, type: sql, resource: db, statements: select 1}]\n";
    let check = check_new(&[("etl.yaml", text)]);
    assert_eq!(check.diagnostics, []);
    let found = errors("etl.yaml", text);
    let messages: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(messages, ["A file with `nodes` is one job, and cannot have `resources` beside it"]);
    assert!(found[0].help.as_deref().unwrap().contains("`jobs:`"), "{found:?}");
}

#[test]
fn a_key_of_an_asset_that_stands_beside_it_is_told_where_it_belongs() {
    let found = errors("a.yaml", "assets:\n  x:\n  step: {kind: noop}\n");
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!(found.message, "`step` stands beside the asset `x`, which has nothing below it");
    assert_eq!(found.place.line, 3);
    let manifest = load("a.yaml", "assets:\n  x:\n  tags: {deps: [x]}\n  kinds:\n");
    assert_eq!(manifest.assets.len(), 3);
}

#[test]
fn a_kind_under_the_key_of_the_other_form_is_told_the_right_key() {
    let help = |text: &str| errors("a.yaml", text)[0].help.clone().unwrap();
    let found = help("nodes: [{id: a, kind: noop}]");
    assert_eq!(found, "node 1 has `kind`; in a node that key is `type`");
    let found = help("assets: {a: {step: {type: noop}}}");
    assert_eq!(found, "it has `type`; in the step of an asset that key is `kind`");
}

#[test]
fn a_key_of_the_asset_in_its_step_is_told_where_it_belongs() {
    for key in ["retry", "timeout", "pool"] {
        let found = errors("a.yaml", &format!("assets: {{a: {{step: {{kind: noop, {key}: 3}}}}}}"));
        assert_eq!(found[0].message, format!("Unknown key `{key}` in the step"));
        let help = found[0].help.as_deref().unwrap();
        assert_eq!(help, format!("`{key}` is a key of the asset: write it beside `step`"));
    }
}

#[test]
fn r188_a_handler_behind_one_that_matches_all_that_it_does_is_warned_of() {
    let row = |name: &str| format!("  {name:?}: {{builtin: noop}}\n");
    let found = |rows: [&str; 2]| {
        let text = format!("handlers:\n{}{}", row(rows[0]), row(rows[1]));
        parse_file("a.yaml", text.as_bytes()).diagnostics
    };
    for rows in [["A.*", "A.Never"], ["A.*", "A.B.*"], ["*", "A.*"]] {
        let found = found(rows);
        let said = format!("The handler `{}` is never used: ", rows[1]);
        assert!(found[0].message.starts_with(&said), "{found:?}");
        assert_eq!(found[0].place.line, 3);
        assert_eq!(found[0].help, Some(format!("move it before `{}`", rows[0])));
    }
    for rows in [["A.Send", "A.*"], ["A.B", "A.B.C"], ["A.B", "A.B*"], ["A.*", "B.*"]] {
        assert_eq!(found(rows), [], "{rows:?}");
    }
}

#[test]
fn a_text_that_was_cut_at_its_comma_is_told_to_need_quotes() {
    let cut = "{kind: sql, statements: select v, typeof(v) kind from x, resource: db}";
    let found = errors("a.yaml", &format!("assets: {{a: {{step: {cut}}}}}"));
    let said = "Unknown key `typeof(v) kind from x` in the step";
    let found = found.iter().find(|it| it.message.starts_with(said)).unwrap();
    let help = found.help.as_deref().unwrap();
    assert!(help.starts_with("a comma ends a value between `{` and `}`: write quotes"), "{help}");
}

#[test]
fn a_retry_that_means_none_is_shown_as_it_was_written() {
    for (written, shown) in [("-1", "-1"), ("1.50", "1.50"), ("true", "true"), ("[]", "a list")] {
        let text = format!("nodes: [{{id: a, type: noop, retry: {written}}}]");
        let found = parse_file("a.yaml", text.as_bytes()).diagnostics;
        assert_eq!(found[0].message, format!("`retry` is {shown}, which means no retry"));
    }
}
