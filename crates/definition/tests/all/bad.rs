//! Malformed files: each has one mistake, and one finding that names it, its place and a way out.

use millstream_definition::parse_file;
use millstream_model::ErrorCode::{self as Code};
use millstream_model::Severity;

use crate::errors;

macro_rules! bad {
    ($($name:literal, $code:ident, $message:literal, $line:literal;)*) => {
        &[$(($name, include_bytes!(concat!("../bad/", $name)), Code::$code, $message, $line),)*]
    };
}

type Case = (&'static str, &'static [u8], Code, &'static str, u32);

#[rustfmt::skip]
const CASES: &[Case] = bad! {
    "01_empty.json", DefinitionJson, "JSON parse error: the file is empty", 0;
    "02_only_a_comment.yaml", DefinitionYaml, "YAML parse error: the file is empty", 0;
    "03_unfinished.json", DefinitionJson, "JSON parse error: Unterminated array", 2;
    "04_trailing_comma.json", DefinitionJson, "JSON parse error: Trailing commas are not allowed", 3;
    "05_comment.json", DefinitionJson, "JSON parse error: Comments are not allowed", 2;
    "06_two_values.json", DefinitionJson,
        "JSON parse error: Text cannot contain more than one JSON value", 2;
    "07_bad_indentation.yaml", DefinitionYaml, "YAML parse error: ?", 4;
    "08_alias.yaml", DefinitionYaml, "YAML parse error: aliases (`*name`) are not allowed", 3;
    "09_two_documents.yaml", DefinitionYaml, "YAML parse error: more than one document", 2;
    "10_tag.yaml", DefinitionYaml, "YAML parse error: tags (`!name`) are not allowed", 1;
    "11_list.json", DefinitionNotAMap, "DAG definition must be a map", 1;
    "12_no_nodes.json", DefinitionMissingKey, "Missing required fields: nodes", 1;
    "13_nodes_not_a_list.json", DefinitionValue, "nodes must be a list", 1;
    "14_no_node.json", DefinitionValue, "DAG must have at least one node", 1;
    "15_node_without_id.json", DefinitionMissingKey,
        "All nodes must have 'id' and 'type' fields", 4;
    "16_node_without_type.yaml", DefinitionMissingKey,
        "All nodes must have 'id' and 'type' fields", 2;
    "17_duplicate_ids.json", DefinitionDuplicateNode, "Duplicate node IDs: task_1, task_2", 5;
    "18_edges_not_a_list.json", DefinitionValue, "edges must be a list", 3;
    "19_edge_to_nowhere.json", DefinitionReference,
        "All edges must have valid 'from' and 'to' node IDs", 4;
    "20_edge_without_from.yaml", DefinitionReference,
        "All edges must have valid 'from' and 'to' node IDs", 3;
    "21_cycle.yaml", DefinitionCycle, "DAG contains a cycle (circular dependency)", 2;
    "22_unknown_type.json", DefinitionStepKind, "Unknown step kind `k8s`", 3;
    "23_no_config.json", DefinitionMissingKey, "The node `a` has no `config`", 3;
    "24_local_without_module.json", DefinitionMissingKey, "The node `a` has no `module`", 3;
    "25_lambda_without_function.json", DefinitionMissingKey,
        "The node `a` has no `function_name`", 3;
    "26_depends_on_nothing.json", DefinitionReference,
        "Node 'load' depends on 'extrat', which is no node", 4;
    "27_bad_cron.yaml", DefinitionCron, "cron expression \"61 * * * *\" ?", 2;
    "28_conditional_edge.yaml", DefinitionValue, "An edge's `type` can only be `success`", 3;
    "29_unknown_key.yaml", DefinitionUnknownKey, "Unknown key `depend_on` in the node `a`", 4;
    "30_duplicate_key.json", DefinitionDuplicateKey,
        "The key `schedule` stands twice in one object", 4;
    "31_enabled_is_text.yaml", DefinitionValue, "`enabled` must be true or false, not text", 2;
    "32_bad_timeout.yaml", DefinitionValue,
        "duration \"soon\" is not understood; write it like `30s`, `5m` or `2h 30m`", 2;
    "33_open_template.yaml", DefinitionTemplate, "The template is not valid: ?", 4;
    "34_later_section.yaml", DefinitionUnknownKey,
        "Unknown key `alerts` in the definition file", 1;
    "35_daily_without_start.yaml", DefinitionMissingKey,
        "The partitions definition `day` has no `start`", 2;
    "36_unknown_zone.yaml", DefinitionValue,
        "time zone \"Mars/Olympus\" is not known; write an IANA name like `UTC` or `Europe/London`", 5;
    "37_ambiguous_format.yaml", DefinitionValue,
        "format \"%Y-%m\" does not tell windows apart?", 2;
    "38_tenant_is_no_dimension.yaml", DefinitionReference,
        "tenant: `tenant` is none of the dimensions", 5;
    "39_sql_without_statements.yaml", DefinitionMissingKey,
        "The step has no `statements`", 3;
    "40_reserved_tenant.yaml", DefinitionValue,
        "tenant id \"api\" is reserved for the server's own URLs; choose another id", 2;
    "41_resource_kind.yaml", DefinitionValue, "`kind` cannot be `sqlit`", 2;
    "42_resource_names_a_run.yaml", DefinitionTemplate,
        "The template names `run`, which does not exist here", 2;
    "43_python_handler.yaml", DefinitionValue,
        "`tasks.py` does not say which function of the file it means", 2;
    "44_job_of_nothing.yaml", DefinitionMissingKey,
        "The job `load` has neither `select` nor `nodes`", 2;
    "45_asset_key.yaml", DefinitionValue,
        "asset key \"sales//orders\" has an empty part; write it like `sales/orders`", 2;
    "46_unsupported.toml", DefinitionExtension, "Unsupported file extension: .toml", 0;
    "47_nul.yaml", DefinitionEncoding, "the file holds a NUL character", 2;
    "48_latin1.yaml", DefinitionEncoding, "the file is not text in UTF-8", 2;
    "49_io_without_base.yaml", DefinitionMissingKey, "The IO manager `lake` has no `base`", 2;
    "50_twice_the_same_key.yaml", DefinitionDuplicateKey, "key `a` stands twice", 2;
    "51_isolation.yaml", DefinitionValue, "`isolation` cannot be `forked`", 3;
    "52_python_outside.yaml", DefinitionValue,
        "`../tasks.py` is not below the project's folder", 3;
    "53_python_no_place.yaml", DefinitionValue,
        "`bin/tasks` is neither a file that ends in `.py` nor a module", 3;
    "54_hidden_source.yaml", DefinitionValue,
        "`.env` is hidden, and that is read as it is when the step starts", 3;
    "55_template_without_quotes.yaml", DefinitionYaml,
        "YAML parse error: a value that holds a template must stand in quotes", 5;
    "56_open_quote.yaml", DefinitionYaml,
        "YAML parse error: the quote that opens here is not closed on its line", 2;
    "57_open_bracket.yaml", DefinitionYaml,
        "YAML parse error: the `{` that opens here is not closed", 3;
    "58_section_in_the_singular.yaml", DefinitionUnknownKey,
        "Unknown key `asset` in the definition file", 1;
    "59_at_without_quotes.yaml", DefinitionYaml,
        "YAML parse error: a value cannot begin with `@`", 2;
    "60_quote_that_ends_in_the_next.yaml", DefinitionYaml,
        "YAML parse error: the quote that opens here is not closed on its line", 3;
    "61_two_statements_in_an_item.yaml", DefinitionValue,
        "An item of `statements` holds more than one statement", 9;
};

#[test]
fn r168_each_malformed_file_has_one_error_with_code_message_line_and_help() {
    for (name, content, code, message, line) in CASES {
        let parsed = parse_file(name, content);
        assert!(parsed.manifest.is_none(), "{name} was accepted");
        let [found] = parsed.diagnostics.as_slice() else {
            panic!("{name} has not one finding: {:#?}", parsed.diagnostics);
        };
        assert_eq!(found.code, *code, "{name}");
        // `?` stands for further words, which a library may change with its version.
        match message.strip_suffix('?') {
            Some(beginning) => assert!(found.message.starts_with(beginning), "{name}: {found:?}"),
            None => assert_eq!(found.message, *message, "{name}"),
        }
        assert_eq!(found.severity, Severity::Error);
        assert_eq!((found.place.file.as_str(), found.place.line), (*name, *line), "{name}");
        assert_eq!(found.place.column == 0, *line == 0, "{name}: a line has a column");
    }
}

#[test]
fn all_findings_come_at_once_in_the_order_of_the_lines() {
    let text = "nodes:\n  - {id: a, type: k8s}\n  - {id: b, type: local}\n\
                \x20 - {id: b, type: noop, depends_on: [c], retry: {}}\n\
                edges: [{from: a, to: x}]\nschedule: never\nenabled: 1\n";
    let found: Vec<(u32, Code)> =
        errors("a.yaml", text).into_iter().map(|it| (it.place.line, it.code)).collect();
    let expected = [
        (2, Code::DefinitionStepKind),
        (3, Code::DefinitionMissingKey),
        (4, Code::DefinitionDuplicateNode),
        (4, Code::DefinitionReference),
        (4, Code::DefinitionMissingKey),
        (5, Code::DefinitionReference),
        (6, Code::DefinitionCron),
        (7, Code::DefinitionValue),
    ];
    assert_eq!(found, expected);
}

fn help(text: &str) -> String {
    errors("a.yaml", text)[0].help.clone().unwrap()
}

#[test]
fn r172_an_edge_that_leads_nowhere_is_named_with_the_node_it_may_have_meant() {
    let text = "nodes: [{id: extract, type: noop}]\nedges: [{from: extract, to: extrakt}]";
    let expected = "edge 1: `to` is `extrakt`, which is no node; did you mean `extract`?";
    assert_eq!(help(text), expected);
    let text = "nodes: [{id: extract, type: noop}]\nedges: [{to: extract}]";
    assert_eq!(help(text), "edge 1 has no `from`");
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let found = help("nodes: [{id: a, type: noop}]\nshedule: '@daily'");
    assert!(found.starts_with("did you mean `schedule`?"), "{found}");
    for (section, meant) in [
        ("asset: {a: {}}", "assets"),
        ("job: {a: {select: '*'}}", "jobs"),
        ("schedule: {a: {cron: '@daily', job: b}}", "schedules"),
        ("resource: {a: {kind: sqlite, path: a.db}}", "resources"),
    ] {
        let [found] = &errors("a.yaml", section)[..] else { panic!("{section}") };
        let help = found.help.as_deref().unwrap();
        assert!(help.starts_with(&format!("did you mean `{meant}`?")), "{section}: {help}");
    }
    let found = help("alerts: {}");
    assert!(found.contains("`assets`, `partitions`, `jobs`, `resources`"), "{found}");
}

#[test]
fn a_template_without_quotes_is_shown_as_it_is_to_be_written() {
    let found = help("nodes:\n  - {id: a, type: command, config: {command: {{ run.id }} }}");
    assert!(found.contains("`\"{{ run.id }}\"`"), "{found}");
}

#[test]
fn a_timeout_of_0_is_told_what_leaving_it_out_means() {
    let found = help("nodes: [{id: a, type: noop, timeout: 0}]");
    assert!(found.starts_with("leave it out for 24 hours"), "{found}");
}

#[test]
fn r174_a_missing_dependency_names_both_nodes() {
    let text = "nodes: [{id: extract, type: noop}, {id: load, type: noop, depends_on: [extrat]}]";
    assert_eq!(
        errors("a.yaml", text)[0].message,
        "Node 'load' depends on 'extrat', which is no node"
    );
    assert_eq!(help(text), "did you mean `extract`?");
}

/// The messages of the errors in a JSON file.
fn messages(text: &str) -> Vec<String> {
    errors("a.json", text).into_iter().map(|found| found.message).collect()
}

#[test]
fn r019_limits_that_nothing_could_keep_are_errors_at_load() {
    for (limits, wanted) in [
        (
            r#"{"memory": "lots"}"#,
            "size \"lots\" is not understood; write it like `512 MiB` or `2GB`",
        ),
        (r#"{"memory": "1 MiB"}"#, "`memory` is 1 MiB, with which no program can start"),
        (r#"{"cpu": 0}"#, "`cpu` must be a whole number from 1 to 4096"),
        (r#"{"cpu_time": 0}"#, "`cpu_time` must be longer than 0"),
        (r#"{"open_files": 3}"#, "`open_files` must be a whole number from 16 to 1048576"),
        (r#"{"memmory": "1 GiB"}"#, "Unknown key `memmory` in the `limits`"),
    ] {
        let node = format!(r#"{{"id": "a", "type": "noop", "limits": {limits}}}"#);
        assert_eq!(messages(&format!("{{\"nodes\": [{node}]}}")), [wanted]);
    }
}

#[test]
fn r169_a_file_without_nodes_says_so_in_document_004s_words() {
    assert_eq!(messages("{}"), ["Missing required fields: nodes"]);
}

#[test]
fn r170_two_nodes_with_one_id_are_named_in_document_004s_words() {
    let node = r#"{"id": "task_1", "type": "noop"}"#;
    let text = format!("{{\"nodes\": [{node}, {node}]}}");
    assert_eq!(messages(&text), ["Duplicate node IDs: task_1"]);
}

#[test]
fn r173_a_node_without_config_or_of_an_unknown_kind_is_an_error_at_load() {
    let of = |node: &str| messages(&format!("{{\"nodes\": [{node}]}}"));
    for (node, word) in [
        (r#"{"id": "a", "type": "local"}"#, "config"),
        (r#"{"id": "a", "type": "k8s", "config": {}}"#, "k8s"),
        (r#"{"id": "a", "type": "local", "config": {}}"#, "module"),
        (r#"{"id": "a", "type": "lambda", "config": {}}"#, "function_name"),
    ] {
        let [message] = &of(node)[..] else { panic!("{node}: {:?}", of(node)) };
        assert!(message.contains(word), "{node}: {message}");
    }
}

#[test]
fn what_is_often_mistaken_is_told_with_the_way_out() {
    let help = |text: &str| {
        let found = parse_file("a.yaml", text.as_bytes()).diagnostics;
        found.first().and_then(|it| it.help.clone()).unwrap_or_default()
    };
    let asset = |key: &str| help(&format!("assets: {{a: {{step: {{kind: noop}}, {key}}}}}\n"));
    assert_eq!(asset("deps: b"), "write brackets around it: `[b]`");
    assert_eq!(asset("owners: me"), "write brackets around it: `[me]`");
    assert_eq!(asset("tags: [a]"), "write it like `{key: value}`");
    assert_eq!(
        help("schedules:\n  s:\n    cron: */5 * * * *\n"),
        "a value that begins with `*` stands in quotes, like `\"*/5 * * * *\"`; without them it \
         repeats what `&` has marked before"
    );
    assert_eq!(
        help("nodes: [{name: a, kind: noop}]\nedges: []\n"),
        "node 1 has `name`; in a node that key is `id`"
    );
}
