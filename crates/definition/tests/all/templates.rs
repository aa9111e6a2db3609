//! What is known at load of the names, filters, tests and functions in templates.

use millstream_definition::parse_file;
use millstream_model::{Diagnostic, ErrorCode, Severity};

use crate::location::check_new;

/// What is found in `files` beside what they need to be whole, as `line severity message; help`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let told = |it: Diagnostic| {
        assert!(it.place.column > 0, "a place: {it:?}");
        let severity = if it.severity == Severity::Error { "" } else { "warning: " };
        let help = it.help.unwrap_or_default();
        format!("{} {severity}{}; {help}", it.place.line, it.message)
    };
    let alone = files.iter().map(|(name, text)| parse_file(name, text.as_bytes()));
    let mut checked: Vec<Diagnostic> = alone.flat_map(|it| it.diagnostics).collect();
    if checked.iter().all(|it| it.severity == Severity::Error) {
        checked.extend(check_new(files).diagnostics);
    }
    let is_ours = |it: &Diagnostic| {
        matches!(it.code, ErrorCode::DefinitionTemplate | ErrorCode::DefinitionReference)
    };
    let mut found: Vec<String> = checked.into_iter().filter(is_ours).map(told).collect();
    found.sort();
    found.dedup();
    found
}

/// What is found of an asset whose command is `text`, with these keys beside its step.
fn of_asset(keys: &str, text: &str) -> Vec<String> {
    let file = format!(
        "tenants: {{jfk: {{labels: {{region: us}}}}}}\nassets:\n  orders: {{}}\n  a:\n    {keys}\n    \
         step:\n      kind: command\n      command:\n        - echo\n        - \"{text}\"\n"
    );
    found(&[("a.yaml", &file)])
}

/// What is found of a node that follows another one, whose argument is `text`.
fn of_node(text: &str) -> Vec<String> {
    let file = format!(
        "nodes:\n- {{id: one, type: noop}}\n- id: two\n  type: command\n  depends_on: [one]\n  config: \
         {{command: [echo, \"{text}\"]}}\nedges: []\n"
    );
    found(&[("a.yaml", &file)])
}

#[test]
fn extras_of_pipes_are_checked_like_the_rest_of_a_step() {
    let file = "nodes:\n- id: one\n  type: command\n  config:\n    command: [echo]\n    \
                pipes:\n      extras: {told: [\"{{ run.jobb }}\"]}\nedges: []\n";
    let told = found(&[("a.yaml", file)]);
    let wanted = "7 The template names `run.jobb`, which does not exist";
    assert!(matches!(told.as_slice(), [it] if it.starts_with(wanted)), "{told:?}");
}

#[test]
fn an_asset_without_partitions_names_no_field_of_one() {
    let help = "give the asset `partitions`; what a run is started with is `trigger.partition`";
    assert_eq!(
        of_asset("group: g", "{{ partition.key }}"),
        [format!("10 The template names `partition.key`, and asset `a` has no partitions; {help}")]
    );
    assert_eq!(
        of_asset("group: g", "{{ partition }}"),
        [format!(
            "10 warning: The template names `partition`, and asset `a` has no partitions: it is \
             there only if a run is given it; {help}"
        )]
    );
    for text in ["{{ partition | default('all') }}", "{{ trigger.partition }}"] {
        assert_eq!(of_asset("group: g", text), [""; 0], "{text}");
    }
    let daily = "partitions: {kind: daily, start: 2025-01-01}";
    assert_eq!(of_asset(daily, "{{ partition }} {{ partition.key }}"), [""; 0]);
    // While the asset itself is wrong, nobody knows whether it has partitions.
    let wrong = of_asset("partitons: {kind: daily, start: 2025-01-01}", "{{ partition.key }}");
    assert!(wrong.iter().all(|it| !it.contains("partition.key")), "{wrong:?}");
}

#[test]
fn all_wrong_names_of_a_step_are_told_at_once() {
    let daily = "partitions: {kind: daily, start: 2025-01-01}";
    let found = of_asset(daily, "{{ partition.kye }} {{ tenant.nme }} {{ run.idd }}");
    for name in ["`partition.kye`", "`tenant.nme`", "`run.idd`"] {
        assert_eq!(found.iter().filter(|it| it.contains(name)).count(), 1, "{name}: {found:#?}");
    }
}

#[test]
fn the_config_of_a_handler_is_checked_as_that_of_any_step() {
    let file = "nodes:\n- {id: one, type: noop}\n- id: two\n  type: local\n  config:\n    module: A.B\n    \
                list:\n    - \"{{ run.idd }}\"\n    - \"{{ upstream.one.n }}\"\n    \
                own: \"{% raw %}{{ run.idd }}{% endraw %}\"\nedges: []\n";
    let found = found(&[("a.yaml", file), ("b.yaml", "handlers: {A.B: {builtin: echo}}\n")]);
    assert_eq!(
        found,
        [
            "8 The template names `run.idd`, which does not exist; did you mean `run.id`?",
            "9 Node `two` reads `upstream.one`, which it does not depend on; add `one` to its \
             `depends_on`"
        ]
    );
}

#[test]
fn a_node_names_no_field_of_a_partition() {
    assert_eq!(
        of_node("{{ partition.key }}"),
        ["6 Node `two` reads `partition.key`, and only assets have partitions; make it an \
             asset; what a run is started with is `trigger.partition.key`"]
    );
    assert_eq!(of_node("{{ partition }}"), [""; 0], "what a run is started with may have it");
}

#[test]
fn fields_that_no_run_and_no_tenant_has_are_refused() {
    for (text, wanted) in [
        ("run.idd", "`run.idd`, which does not exist; did you mean `run.id`?"),
        ("run['idd']", "`run.idd`, which does not exist; did you mean `run.id`?"),
        (
            "run.x",
            "`run.x`, which does not exist; there is `run.id`, `run.short`, `run.job`, \
             `run.location`, `run.queued_at` and `run.tags`",
        ),
        ("tenant.regoin", "`tenant.regoin`, which no tenant has; did you mean `tenant.region`?"),
        (
            "tenant.country",
            "`tenant.country`, which no tenant has; declare it among the `labels` of the tenants: \
             `labels: {country: …}`",
        ),
    ] {
        let text = format!("{{{{ {text} }}}}");
        let wanted = format!("The template names {wanted}");
        assert_eq!(of_asset("group: g", &text), [format!("10 {wanted}")]);
        if !text.contains("regoin") {
            assert_eq!(of_node(&text), [format!("6 {wanted}")], "also of a node");
        }
    }
    let known = "{{ run.tags.x }} {{ run.id }} {{ tenant.region }} {{ tenant.weight }} {{ env.X }} \
                 {{ run.idd | default(1) }} {{ city }} {{ trigger.city.name }} {{ job_id }}";
    assert_eq!(of_asset("group: g", known), [""; 0]);
}

#[test]
fn an_asset_reads_no_result_of_what_it_does_not_depend_on() {
    let deps = "deps: [orders]";
    assert_eq!(of_asset(deps, "{{ upstream.orders.rows }}"), [""; 0]);
    assert_eq!(
        of_asset(deps, "{{ upstream.ordres }}"),
        ["10 Asset `a` reads `upstream.ordres`, which it does not depend on; did you mean \
             `upstream.orders`?"]
    );
    let no_deps = of_asset("group: g", "{{ upstream.orders }}");
    assert!(no_deps[0].ends_with("; have the asset `orders` among its `deps`"), "{no_deps:?}");
}

#[test]
fn a_slip_in_a_name_is_a_warning_where_a_run_may_be_given_it() {
    for found in [of_asset("group: g", "{{ partiton.key }}"), of_node("{{ partiton }}")] {
        let [one] = &found[..] else { panic!("{found:?}") };
        assert!(
            one.ends_with(
                "warning: The template names `partiton`, which is there only if a run is given it; \
                 did you mean `partition`? What a run is started with is `trigger.partiton`"
            ),
            "{one}"
        );
    }
    for text in ["{{ book_id }} {{ path }} {{ trigger.partiton }}", "{{ partiton | d(1) }}"] {
        assert_eq!(of_node(text), [""; 0], "{text}");
    }
}

#[test]
fn unknown_words_of_the_language_are_refused() {
    for (text, wanted) in [
        ("{{ a | shel }}", "names the filter `shel`"),
        ("{{ a is nosuch }}", "names the test `nosuch`"),
        ("{{ nosuch() }}", "calls the function `nosuch`"),
        ("{{ a | map('nope') }}", "names the filter `nope`"),
        ("{% if a | select('nope') %}{% endif %}", "names the test `nope`"),
    ] {
        let found = of_node(text);
        let [one] = &found[..] else { panic!("{found:?}") };
        assert!(one.starts_with(&format!("6 The template {wanted}, which does not exist; ")));
    }
    let known =
        "{{ a | map('upper') | select('defined') | list | snake }}{{ range(3) }}{{ b is odd }}";
    assert_eq!(of_node(known), [""; 0]);
    let comment = of_node("echo {# no end");
    assert_eq!(
        comment,
        ["6 The template is not valid: unexpected end of comment; close what was opened; a \
             literal `{#` is written `{{ '{#' }}`"]
    );
}

#[test]
fn what_a_sensor_asks_and_requests_names_only_what_is_there() {
    let of_sensor = |keys: &str| {
        let file = format!(
            "jobs: {{j: {{nodes: [{{id: a, type: noop}}]}}}}\nsensors:\n  s:\n    {keys}\n"
        );
        found(&[("a.yaml", &file)])
    };
    let files = "kind: files\n    path: in\n    request: {job: j, context: {x: \"{{ TEXT }}\"}}";
    let command = "kind: command\n    command: [echo, \"{{ TEXT }}\"]\n    request: {job: j}";
    let ended =
        "kind: run_status\n    on: [FAILURE]\n    request: {job: j, run_key: \"{{ TEXT }}\"}";
    for (keys, text, line, wanted) in [
        (files, "file.nmae", 6, "`file.nmae`, which does not exist; did you mean `file.name`?"),
        (ended, "run.conf", 6, "`run.conf`, which does not exist; did you mean `run.config`?"),
        (
            files,
            "file.name | snake",
            6,
            "the filter `snake`, which does not exist; there are `default`, `d`, `tojson`, and those of the \
             language Jinja",
        ),
        (
            command,
            "trigger.curser",
            5,
            "`trigger.curser`, which does not exist; did you mean `trigger.cursor`?",
        ),
        (
            command,
            "partition",
            5,
            "`partition`, which does not exist here; templates here see `run`, `tenant`, \
             `trigger`, `sensor`, `cursor`, `nominal`, `env`, `job_id` and `task_id`",
        ),
        (
            command,
            "tenant.x",
            5,
            "`tenant.x`, which no tenant has; declare it among the `labels` of the tenants: \
             `labels: {x: …}`",
        ),
    ] {
        let wanted = format!("{line} The template names {wanted}");
        assert_eq!(of_sensor(&keys.replace("TEXT", text)), [wanted]);
    }
    for (keys, text) in [(files, "file.size"), (ended, "run.tags.x"), (command, "trigger.cursor")] {
        assert_eq!(of_sensor(&keys.replace("TEXT", text)), [""; 0], "{text}");
    }
}

#[test]
fn a_field_that_no_tenant_has_is_refused_wherever_templates_stand() {
    let file = "jobs: {j: {nodes: [{id: a, type: noop}]}}
resources:
  lite: {kind: sqlite, path: '{{ tenant.a }}.db'}
io:
  kept: {kind: csv, base: 'data/{{ tenant.b }}'}
schedules:
  night:
    {cron: '0 1 * * *', job: j, description: 'not {{ tenant.x }}', when: \"{{ tenant.c == 'x' }}\"}
  day: {cron: '{{ tenant.schedule }}', job: j, enabled: '{{ tenant.d }}'}
sensors:
  failed:
    kind: run_status
    on: [FAILURE]
    when: \"{{ tenant.e == 'x' }}\"
    request: {job: j, run_key: '{{ tenant.f }}', context: {x: '{{ tenant.g | default(1) }}'}}
  news:
    kind: sql
    query: {resource: lite, statements: select 1}
    cursor: '{{ tenant.h }}'
    request: {job: j}
";
    let found = found(&[("a.yaml", file)]);
    let mut told: Vec<String> = found
        .iter()
        .map(|one| one.split(", which no tenant has").next().unwrap_or_default().to_owned())
        .collect();
    told.sort();
    let wanted = [(14, "e"), (15, "f"), (19, "h"), (3, "a"), (5, "b"), (8, "c"), (9, "d")];
    let wanted = wanted.map(|(line, name)| format!("{line} The template names `tenant.{name}`"));
    assert_eq!(told, wanted);
}

#[test]
fn a_value_that_is_plainly_no_text_is_joined_to_none() {
    let told = of_node("{{ 'a' ~ true }}");
    assert_eq!(
        told,
        ["6 The template joins a boolean to a text with `~`; that would write it as Python does; \
          write the two beside each other, as in `{{ a }}{{ b }}`"]
    );
    assert_eq!(of_node("{{ 'a' ~ run.id }}{{ [true] }}"), [""; 0]);
}

#[test]
fn a_parameter_that_no_step_provides_is_refused() {
    let head = "resources:\n  lite: {kind: sqlite, path: a.db}\n  pg: {kind: postgres, url: postgres://h/d}\n\
                partitions: {by: {kind: dynamic, dimensions: [shop, day]}}\n";
    let of_asset = |resource: &str, keys: &str, statement: &str| {
        let file = format!(
            "{head}assets:\n  a:\n    {keys}\n    step:\n      kind: sql\n      resource: {resource}\n      \
             params: {{limit: 3}}\n      statements:\n        - select 1\n        - \"{statement}\"\n"
        );
        found(&[("a.yaml", &file)])
    };
    let all = "`:limit`, `:tenant`, `:run_id` and `:partition_key`; declare more under `params`";
    let of_step = "names the parameter `:NAME`, which its step does not have; ";
    for (resource, keys, name, help) in [
        ("lite", "partitions: by", "partition_dya", "did you mean `:partition_day`?".to_owned()),
        ("pg", "group: g", "limt", "did you mean `:limit`?".to_owned()),
        ("pg", "group: g", "zebra", format!("there are {all}")),
        (
            "lite",
            "group: g",
            "partition_day",
            format!("it has no partitions with dimensions; there are {all}"),
        ),
    ] {
        let text = format!("select ':x', :limit, :tenant, :{name}");
        let wanted = format!("14 Asset `a` {}{help}", of_step.replace("NAME", name));
        assert_eq!(of_asset(resource, keys, &text), [wanted]);
    }
    for (resource, text) in [
        ("pg", "select :limit, :tenant, :run_id, :partition_key, :partition_shop, a::date, b[1:2]"),
        ("lite", "select [a :b], :partition_day"),
        ("lite", "select '{{ tenant.id }}', :partition_{{ trigger.part }}"),
    ] {
        assert_eq!(of_asset(resource, "partitions: by", text), [""; 0], "{text}");
    }
    let rest = format!(
        "{head}jobs:\n  j:\n    nodes:\n    - {{id: a, type: sql, config: {{resource: pg, statements: \
         \"select :cursor\"}}}}\nsensors:\n  s: {{kind: sql, query: {{resource: pg, statements: \
         \"select :cursor, :cursr\"}}, request: {{job: j}}}}\n"
    );
    assert_eq!(
        found(&[("a.yaml", &rest)]),
        [
            format!("10 Sensor `s` {}did you mean `:cursor`?", of_step.replace("NAME", "cursr")),
            format!(
                "8 Node `a` {}there are `:tenant`, `:run_id` and `:partition_key`; declare more \
                 under `params`",
                of_step.replace("NAME", "cursor")
            ),
        ]
    );
}
