//! Hostile and huge content: bounded answers, never a panic.

use std::fmt::Write as _;

use millstream_definition::parse_file;
use millstream_model::{ErrorCode, JobShape};
use proptest::prelude::*;

use crate::{errors, load};

#[test]
fn r200_ten_thousand_nodes_in_a_row_load() {
    let mut text = String::from("{\"nodes\": [");
    for number in 0..10_000 {
        let comma = if number == 0 { "" } else { "," };
        let upstream = if number == 0 { String::new() } else { format!("\"n{}\"", number - 1) };
        write!(
            text,
            "{comma}{{\"id\": \"n{number}\", \"type\": \"noop\", \"depends_on\": [{upstream}]}}"
        )
        .unwrap();
    }
    text.push_str("]}");
    let manifest = load("big.json", &text);
    let JobShape::Ops(ops) = &manifest.jobs[0].shape else { panic!() };
    assert_eq!(ops.len(), 10_000);
    assert_eq!(ops[9_999].depends_on[0].as_str(), "n9998");
}

#[test]
fn r200_a_circle_through_ten_thousand_nodes_is_found_without_a_deep_stack() {
    let mut text = String::from("nodes:\n");
    for number in 0..10_000 {
        writeln!(
            text,
            "- {{id: n{number}, type: noop, depends_on: [n{}]}}",
            (number + 9_999) % 10_000
        )
        .unwrap();
    }
    let found = errors("big.yaml", &text);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, ErrorCode::DefinitionCycle);
}

#[test]
fn r200_deep_nesting_is_refused_in_either_format() {
    for depth in [100, 1_000, 100_000] {
        for open in ["[", "{\"a\":", "{\"a\":["] {
            let text = open.repeat(depth);
            assert_eq!(errors("deep.json", &text)[0].code, ErrorCode::DefinitionTooLarge);
        }
        for open in ["[", "{a: ", "- "] {
            let text = open.repeat(depth);
            let found = errors("deep.yaml", &text);
            let codes = [ErrorCode::DefinitionTooLarge, ErrorCode::DefinitionYaml];
            assert!(codes.contains(&found[0].code), "{open}: {found:?}");
        }
    }
}

#[test]
fn r200_a_large_file_is_refused_by_its_size() {
    let text = format!("# {}\nnodes: []", "x".repeat(1 << 20));
    let found = errors("large.yaml", &text);
    assert_eq!(found[0].code, ErrorCode::DefinitionTooLarge);
    assert_eq!(found[0].place.line, 0);
}

#[test]
fn a_template_that_would_end_the_parsers_stack_is_refused() {
    for (open, unit) in [
        ("{{ ", "-"),
        ("{{ ", "not "),
        ("{{ x", "+x"),
        ("{{ x", ".y"),
        ("{{ ", "("),
        ("{% if x %}", "{% elif x %}"),
        ("", "{% if x %}"),
    ] {
        let text = format!("{open}{}", unit.repeat(1_000_000 / unit.len()));
        let file = format!("resources: {{a: {{kind: sqlite, path: '{text}'}}}}");
        assert_eq!(errors("a.yaml", &file)[0].message, "The template is too complex", "{unit}");
    }
}

#[test]
fn a_thousand_mistakes_are_reported_as_a_bounded_list() {
    let mut text = String::from("nodes:\n");
    for number in 0..1_000 {
        writeln!(text, "- {{id: n{number}, type: nope, depends_on: [x{number}]}}").unwrap();
    }
    let found = errors("bad.yaml", &text);
    assert_eq!(found.len(), 101);
    assert!(found[100].message.starts_with("and 19"), "{:?}", found[100]);
}

#[test]
fn a_message_stays_short_however_long_the_text_it_is_about() {
    let key = "é".repeat(100_000);
    let found = errors("a.yaml", &format!("assets: {{{key}: {{x: 1, y: 2}}}}"));
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|it| it.message.len() < 1_010), "{}", found[0].message.len());
}

#[test]
fn many_assets_with_many_dependencies_are_read_in_time() {
    let names: Vec<String> = (0..100_000).map(|number| number.to_string()).collect();
    let manifest = load("a.yaml", &format!("assets: {{x: {{deps: [{}]}}}}", names.join(",")));
    assert_eq!(manifest.assets[0].deps.len(), 100_000);
    let manifest = load("a.yaml", &format!("assets: {{{}: }}", names[..50_000].join(": ,")));
    assert_eq!(manifest.assets.len(), 50_000);
}

#[test]
fn a_byte_order_mark_is_no_error() {
    load("a.json", "\u{feff}{\"nodes\": [{\"id\": \"a\", \"type\": \"noop\"}]}");
    load("a.yaml", "\u{feff}nodes: [{id: a, type: noop}]");
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_place() {
    for (content, line) in
        [(&b"nodes:\n  \xff"[..], 2), (&b"nodes: \0"[..], 1), (&b"\xff\xfen\0o\0"[..], 0)]
    {
        let parsed = parse_file("a.yaml", content);
        assert!(parsed.manifest.is_none());
        assert_eq!(parsed.diagnostics[0].code, ErrorCode::DefinitionEncoding);
        assert_eq!(parsed.diagnostics[0].place.line, line);
    }
}

/// Words and marks of definition files, so that random text gets past the parsers.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "nodes",
            "edges",
            "id",
            "type",
            "config",
            "depends_on",
            "assets",
            "partitions",
            "step",
            "kind",
            "daily",
            "start",
            "2025-01-01",
            "multi",
            "dimensions",
            "retry",
            "timeout",
            "noop",
            "local",
            "sql",
            "handlers",
            "tenants",
            ": ",
            ":\n  ",
            "\n",
            "\n- ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "\"",
            "'",
            "&a ",
            "*a",
            "!!str ",
            "|\n  ",
            "? ",
            "--- ",
            "{{ ",
            " }}",
            "null",
            "1e999",
            "-",
            "\u{feff}",
            "\0",
            "é",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_are_never_silent(
        content in prop::collection::vec(any::<u8>(), 0..300),
        extension in prop::sample::select(vec!["json", "yaml", "yml", "star", ""]),
    ) {
        let parsed = parse_file(&format!("a.{extension}"), &content);
        prop_assert!(parsed.manifest.is_some() || !parsed.diagnostics.is_empty());
    }

    #[test]
    fn texts_that_look_like_definitions_never_panic(
        fragments in prop::collection::vec(fragment(), 0..60),
        extension in prop::sample::select(vec!["json", "yaml"]),
    ) {
        let parsed = parse_file(&format!("a.{extension}"), fragments.concat().as_bytes());
        prop_assert!(parsed.manifest.is_some() || !parsed.diagnostics.is_empty());
    }

    #[test]
    fn mutilated_files_never_panic(cut in 0_usize..2_000, byte in any::<u8>()) {
        let text = include_bytes!("../../../../examples/cascade/dags/inline_tasks_example.json");
        let mut content = text.to_vec();
        let at = cut % content.len();
        content[at] = byte;
        let _parsed = parse_file("a.json", &content);
        content.truncate(at);
        let parsed = parse_file("a.json", &content);
        prop_assert!(parsed.manifest.is_none());
    }
}
