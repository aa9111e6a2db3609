//! Files put together: who keeps a name, what references lead to, which versions are used.

use millstream_definition::{
    Draft, LocationCheck, LocationFile, ParsedFile, Places, Version, check_location, file_hash,
    parse_file,
};
use millstream_model::{CommandLine, ContentHash, Diagnostic, ErrorCode, HandlerTarget, Severity};

/// A parsed file with its hash.
struct Content(ParsedFile, ContentHash);

fn content(name: &str, text: &str) -> Content {
    let parsed = parse_file(name, text.as_bytes());
    assert_eq!(parsed.draft.is_some(), !parsed.diagnostics.is_empty(), "{name}: {parsed:#?}");
    let hash = parsed.manifest.as_ref().map_or_else(|| ContentHash::of(b""), file_hash);
    Content(parsed, hash)
}

impl Content {
    fn version(&self) -> Option<Version<'_>> {
        let Self(parsed, hash) = self;
        Some(Version { hash, manifest: parsed.manifest.as_ref()?, places: Some(&parsed.places) })
    }

    fn draft(&self) -> Option<(&Draft, &Places)> {
        Some((self.0.draft.as_ref()?, &self.0.places))
    }
}

/// Checks files given as (name, newest text, live text).
pub(crate) fn check(files: &[(&str, Option<&str>, Option<&str>)]) -> LocationCheck {
    let contents: Vec<(&str, Option<Content>, Option<Content>)> = files
        .iter()
        .map(|(name, newest, live)| {
            (*name, newest.map(|it| content(name, it)), live.map(|it| content(name, it)))
        })
        .collect();
    let files: Vec<LocationFile<'_>> = contents
        .iter()
        .map(|(name, newest, live)| LocationFile {
            name,
            newest: newest.as_ref().and_then(Content::version),
            draft: newest.as_ref().and_then(Content::draft),
            live: live.as_ref().and_then(Content::version),
        })
        .collect();
    check_location("files".parse().unwrap(), &files)
}

/// Checks new files.
pub(crate) fn check_new(files: &[(&str, &str)]) -> LocationCheck {
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, Some(*text), None)).collect();
    check(&files)
}

fn errors(check: &LocationCheck) -> Vec<&Diagnostic> {
    check.diagnostics.iter().filter(|it| it.severity == Severity::Error).collect()
}

const JOB: &str = "nodes: [{id: a, type: noop}]";

#[test]
fn files_see_each_others_things() {
    let found = check_new(&[
        ("a.yaml", "assets: {orders: {deps: [raw], partitions: day, io: lake}}"),
        (
            "b.yaml",
            "assets: {raw: {io: lake}}\npartitions: {day: {kind: daily, start: 2025-01-01}}",
        ),
        ("c.yaml", "io: {lake: {kind: json, base: lake}}"),
    ]);
    assert_eq!(found.diagnostics, []);
    assert_eq!(found.manifest.assets.len(), 2);
    assert_eq!(found.manifest.files.len(), 3);
}

#[test]
fn the_files_of_the_asset_manager_example_fit_together() {
    let found = check_new(&[
        ("flights.yaml", include_str!("../../../../examples/asset_manager/dags/flights.yaml")),
        ("metrics.yaml", include_str!("../../../../examples/asset_manager/dags/metrics.yaml")),
        ("tenants.yaml", include_str!("../../../../examples/asset_manager/dags/tenants.yaml")),
        ("warehouse.yaml", include_str!("../../../../examples/asset_manager/dags/warehouse.yaml")),
    ]);
    assert_eq!(found.diagnostics, []);
    assert_eq!(found.manifest.tenants.len(), 3);
}

#[test]
fn r033_the_example_has_two_stages_with_lineage_and_groups() {
    let metrics = include_str!("../../../../examples/asset_manager/dags/metrics.yaml");
    let parsed = parse_file("metrics.yaml", metrics.as_bytes());
    let assets = parsed.manifest.unwrap().assets;
    let seen: Vec<(String, Vec<String>, &str)> = assets
        .iter()
        .map(|asset| {
            let deps = asset.deps.iter().map(ToString::to_string).collect();
            (asset.key.to_string(), deps, asset.group.as_str())
        })
        .collect();
    let stage = |key: &str, dep: &str, group| (key.to_owned(), vec![dep.to_owned()], group);
    assert_eq!(
        seen,
        [
            stage("metric_semantic_values", "flights", "semantic_extraction"),
            stage("snowflake_metric_cache", "metric_semantic_values", "semantic_loader"),
        ]
    );
}

#[test]
fn r167_of_two_new_files_with_one_name_the_first_by_name_keeps_it() {
    let json = r#"{"nodes": [{"id": "a", "type": "noop"}]}"#;
    let found = check_new(&[("etl.yaml", JOB), ("etl.json", json)]);
    let [taken] = errors(&found)[..] else { panic!("{:#?}", found.diagnostics) };
    assert_eq!(taken.code, ErrorCode::DefinitionNameTaken);
    assert_eq!(taken.message, "The job `etl` is already declared in `etl.json`");
    assert_eq!(taken.place.file, "etl.yaml");
    assert_eq!(found.manifest.files.len(), 1);
    assert_eq!(found.refused.iter().map(String::as_str).collect::<Vec<_>>(), ["etl.yaml"]);
}

#[test]
fn r167_a_live_file_keeps_its_name_against_a_new_one_that_sorts_before_it() {
    for _scan in 0..5 {
        let json = r#"{"nodes": [{"id": "a", "type": "noop"}]}"#;
        let found = check(&[("etl.json", Some(json), None), ("etl.yaml", Some(JOB), Some(JOB))]);
        assert_eq!(errors(&found)[0].place.file, "etl.json");
        assert_eq!(found.manifest.files[0].name, "etl.yaml");
    }
}

#[test]
fn r167_an_edited_file_keeps_its_live_name_against_a_new_one_that_sorts_before_it() {
    let found = check(&[
        ("a.yaml", Some("assets: {x: {}}"), None),
        ("b.yaml", Some("assets: {x: {}, y: {}}"), Some("assets: {x: {}}")),
    ]);
    let [taken] = errors(&found)[..] else { panic!("{:#?}", found.diagnostics) };
    assert_eq!(taken.place.file, "a.yaml");
    assert_eq!(found.manifest.assets.len(), 2, "the edit is used");
}

#[test]
fn an_unchanged_file_keeps_a_name_that_an_edited_one_takes() {
    let found = check(&[
        ("a.yaml", Some("assets: {x: {}, y: {}}"), Some("assets: {x: {}}")),
        ("b.yaml", Some("assets: {y: {}}"), Some("assets: {y: {}}")),
    ]);
    assert_eq!(errors(&found)[0].place.file, "a.yaml");
    assert_eq!((errors(&found)[0].place.line, errors(&found)[0].place.column), (1, 17));
    // The edited file falls back to its live version, which the other does not disturb.
    assert_eq!(found.manifest.assets.len(), 2);
    assert_eq!(found.manifest.files.len(), 2);
}

#[test]
fn r175_a_broken_newest_content_leaves_the_live_version_in_place() {
    let found = check(&[("a.yaml", None, Some("assets: {x: {}}")), ("b.yaml", Some(JOB), None)]);
    assert_eq!(found.diagnostics, []);
    assert_eq!((found.manifest.assets.len(), found.manifest.jobs.len()), (1, 1));
}

#[test]
fn a_refused_file_takes_new_ones_along_that_need_it_and_no_others() {
    let found = check(&[
        ("a.yaml", Some("assets: {x: {}}"), Some("assets: {x: {}}")),
        ("b.yaml", Some("assets: {x: {}, y: {}}"), None),
        ("c.yaml", Some("assets: {z: {deps: [y]}}"), None),
        ("d.yaml", Some("assets: {w: {deps: [x]}}"), None),
    ]);
    let files: Vec<&str> = errors(&found).iter().map(|it| it.place.file.as_str()).collect();
    assert_eq!(files, ["b.yaml"]);
    let [waits] = &found.waiting[..] else { panic!("{:#?}", found.waiting) };
    assert_eq!(
        (&waits.diagnostic.place.file[..], &waits.on[..]),
        ("c.yaml", &["b.yaml".into()][..])
    );
    assert!(found.refused.contains("c.yaml"));
    let live: Vec<&str> = found.manifest.files.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(live, ["a.yaml", "d.yaml"]);
}

#[test]
fn a_live_file_stays_when_a_deleted_one_took_its_partitions_along_and_says_so() {
    let asset = "assets: {x: {partitions: day}}";
    let found = check(&[("a.yaml", Some(asset), Some(asset)), ("b.yaml", None, None)]);
    assert_eq!(errors(&found)[0].code, ErrorCode::DefinitionReference);
    assert!(found.refused.is_empty());
    assert_eq!(found.manifest.assets.len(), 1);
}

#[test]
fn references_that_lead_nowhere_name_what_may_have_been_meant() {
    let text = "resources:\n  warehouse: {kind: sqlite, path: w.db}\n\
                partitions:\n  site: {kind: static, keys: [a]}\n\
                io:\n  lake: {kind: csv, base: lake}\n\
                assets:\n  orders: {}\n  sum:\n    deps:\n    - order\n    partitions: sites\n\
                \x20   io: lakes\n    step: {kind: sql, resource: warehous, statements: select 1}\n\
                \x20 day:\n    partitions: daily\n";
    let found = check_new(&[("a.yaml", text)]);
    let shown: Vec<(u32, &str, &str)> = errors(&found)
        .iter()
        .map(|it| (it.place.line, it.message.as_str(), it.help.as_deref().unwrap()))
        .collect();
    assert_eq!(
        shown,
        [
            (
                11,
                "Asset `sum` depends on `order`, which no file declares",
                "did you mean `orders`?"
            ),
            (
                12,
                "Asset `sum` names the partitions `sites`, which no file declares",
                "did you mean `site`?"
            ),
            (
                13,
                "Asset `sum` names the IO manager `lakes`, which no file declares",
                "did you mean `lake`?"
            ),
            (
                14,
                "Asset `sum` names the resource `warehous`, which no file declares",
                "did you mean `warehouse`?"
            ),
            (
                16,
                "Asset `day` names the partitions `daily`, which no file declares",
                "write its start too: `partitions: {kind: daily, start: 2025-01-01}`"
            ),
        ]
    );
}

#[test]
fn rows_are_only_read_of_assets_that_are_upstream_and_kept() {
    let step = "kind: sql, resource: db, statements: x, read: {t: {asset: raw}}";
    let text = format!(
        "resources: {{db: {{kind: sqlite, path: w.db}}}}\nassets:\n  raw: {{}}\n  sum: {{step: {{{step}}}}}"
    );
    let found = check_new(&[("a.yaml", &text)]);
    let messages: Vec<&str> = errors(&found).iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "Asset `sum` reads the asset `raw`, which no IO manager keeps",
            "Asset `sum` reads `raw` without depending on it"
        ]
    );
}

#[test]
fn an_asset_that_reads_one_divided_in_another_way_cannot_be_made_and_says_so() {
    let head = "partitions: {site: {kind: static, keys: [a]}, day: {kind: static, keys: [b]}}\n\
                assets:\n  orders: {partitions: site}\n  rates: {}\n  sum: ";
    let step = "step: {kind: command, command: [sum]}";
    for (sum, message) in [
        ("{partitions: site, deps: [orders, rates], STEP}", None),
        ("{deps: [rates], STEP}", None),
        // Nothing makes it, so that nothing has to know which partition it is made from.
        ("{deps: [orders]}", None),
        (
            "{deps: [orders], STEP}",
            Some(
                "Asset `sum` is not divided and depends on `orders`, which is divided by `site`: \
                 no partition of it follows",
            ),
        ),
        (
            "{partitions: day, deps: [orders], STEP}",
            Some(
                "Asset `sum` is divided by `day` and depends on `orders`, which is divided by \
                 `site`: no partition of it follows",
            ),
        ),
    ] {
        let found = check_new(&[("a.yaml", &format!("{head}{}", sum.replace("STEP", step)))]);
        let first = errors(&found).first().map(|it| (it.code, it.message.clone()));
        let wanted = message.map(|message| (ErrorCode::PartitionMapping, message.to_owned()));
        assert_eq!(first, wanted, "{sum}");
    }
}

#[test]
fn a_template_that_reads_a_step_which_its_node_does_not_depend_on_says_so() {
    let job = |command: &str, edges: &str| {
        format!(
            "nodes:\n  - {{id: one, type: noop}}\n  - {{id: two, type: noop, depends_on: [one]}}\n  \
             - {{id: sum, type: command, depends_on: [two], config: {{command: [say, \"{command}\"]}}}}\n\
             edges: {edges}\n"
        )
    };
    let no_edges = "[{from: one, to: two}]";
    for (command, edges, help) in [
        ("{{ upstream.two.rows }}", no_edges, None),
        ("{{ upstream.one.rows }}", "[{from: one, to: sum}]", None),
        ("{{ upstream.one | d(0) }}", no_edges, None),
        ("{% if trigger.full %}{{ upstream.one.rows }}{% endif %}", no_edges, None),
        ("{{ upstream.one.rows if trigger.full else 0 }}", no_edges, None),
        ("{{ upstream.one.rows }}", no_edges, Some("add `one` to its `depends_on`")),
        // The default is that of `rows`; where `one` itself is not there, no default helps.
        ("{{ upstream.one.rows | default(0) }}", no_edges, Some("add `one` to its `depends_on`")),
        ("{{ upstream.twoo }}", no_edges, Some("did you mean `two`?")),
    ] {
        let parsed = millstream_definition::parse_file("a.yaml", job(command, edges).as_bytes());
        let found = parsed.diagnostics.first();
        assert_eq!(found.and_then(|it| it.help.as_deref()), help, "{command}: {found:?}");
        if let Some(found) = found {
            assert_eq!((found.code, found.place.line), (ErrorCode::DefinitionReference, 4));
        }
    }
}

#[test]
fn a_load_step_knows_whose_rows_it_loads() {
    let head = "resources: {db: {kind: sqlite, path: w.db}}\n\
                io: {lake: {kind: csv, base: lake}}\n\
                partitions: {site: {kind: static, keys: [a]}}\n\
                assets:\n  raw: {io: lake}\n  other: {io: lake}\n";
    let step = "step: {kind: load, resource: db, table: t";
    for (asset, message) in [
        ("{deps: [raw], STEP}}", None),
        ("{deps: [raw, other], STEP, asset: other}}", None),
        (
            "{deps: [raw, other], STEP}}",
            Some("Asset `x` loads the rows of one asset, and depends on 2 of them"),
        ),
        (
            "{deps: [raw], STEP, asset: other}}",
            Some("Asset `x` reads `other` without depending on it"),
        ),
        (
            "{deps: [raw], partitions: site, STEP}}",
            Some(
                "Asset `x` is partitioned and replaces the table `t` as a whole, so that it \
                 keeps one partition",
            ),
        ),
        ("{deps: [raw], partitions: site, STEP, mode: append}}", None),
    ] {
        let text = format!("{head}  x: {}", asset.replace("STEP", step));
        let found = check_new(&[("a.yaml", &text)]);
        let messages: Vec<&str> = found.diagnostics.iter().map(|it| it.message.as_str()).collect();
        assert_eq!(messages.first().copied(), message, "{asset}");
    }
    let meant = |name: &str| {
        let text = format!("{head}  x: {{deps: [raw], {step}, asset: {name}}}}}");
        let found = check_new(&[("a.yaml", &text)]);
        let message = format!("Asset `x` reads the asset `{name}`, which no file declares");
        let [finding] = errors(&found)[..] else { panic!("{found:#?}") };
        assert_eq!(finding.message, message);
        finding.help.clone().unwrap()
    };
    assert_eq!(meant("othr"), "did you mean `other`?");
    assert_eq!(meant("y"), "an asset whose rows are read has a `step` with rows and an `io`");
    let job = "nodes: [{id: a, type: load, resource: db, table: t}]";
    let found = check_new(&[("a.yaml", head), ("j.yaml", job)]);
    assert_eq!(errors(&found)[0].message, "Node `a` loads rows and is no asset");
}

#[test]
fn a_step_that_gives_its_io_manager_no_rows_is_told_the_key_that_gives_them() {
    let head = "resources:\n  db: {kind: sqlite, path: w.db}\n  \
                api: {kind: http, base_url: \"https://api.example.com\"}\n\
                io:\n  files: {kind: csv, base: lake}\n  documents: {kind: json, base: lake}\n  \
                tables: {kind: table, resource: db}\n";
    let sql = "{kind: sql, resource: db, statements: select 1 as n";
    let http = "{kind: http, resource: api, request: {path: /users}";
    let no_rows = "Asset `x` has an `io` and its statements give no rows";
    let only = format!("{no_rows}: only how many they changed would be kept");
    let nowhere = "Asset `x` is kept as rows, and its step does not say where they are in the \
                   answer";
    for (io, step, wanted) in [
        ("files", format!("{sql}}}"), Some((Severity::Error, no_rows))),
        ("tables", format!("{sql}}}"), Some((Severity::Error, no_rows))),
        ("documents", format!("{sql}}}"), Some((Severity::Warning, only.as_str()))),
        ("tables", format!("{sql}, rows: true}}"), None),
        ("files", format!("{http}}}"), Some((Severity::Warning, nowhere))),
        ("tables", format!("{http}}}"), Some((Severity::Warning, nowhere))),
        ("documents", format!("{http}}}"), None),
        ("files", format!("{http}, rows: /data}}"), None),
        ("files", format!("{http}, rows: \"\"}}"), None),
    ] {
        let asset = format!("assets:\n  x:\n    io: {io}\n    step: {step}");
        let found = check_new(&[("a.yaml", head), ("b.yaml", &asset)]);
        let told = found.diagnostics.iter().map(|it| (it.severity, it.message.as_str()));
        assert_eq!(told.collect::<Vec<_>>(), Vec::from_iter(wanted), "{io} {step}");
        if let Some(told) = found.diagnostics.first() {
            assert_eq!(told.place.line, 4, "{io} {step}");
            assert!(told.help.as_ref().unwrap().contains("write `rows: "), "{told:?}");
        }
    }
    let asset = format!("assets:\n  x:\n    step: {sql}}}");
    assert_eq!(check_new(&[("a.yaml", head), ("b.yaml", &asset)]).diagnostics, []);
}

#[test]
fn assets_that_would_share_a_table_and_tables_without_a_database_are_errors() {
    let text = "io: {warehouse: {kind: table, resource: db}}\n\
                assets: {sales/orders: {io: warehouse}, Sales__Orders: {io: warehouse}}";
    let found = check_new(&[("a.yaml", text)]);
    let messages: Vec<&str> = errors(&found).iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "IO manager `warehouse` names the resource `db`, which no file declares",
            "Assets `sales/orders` and `Sales__Orders` would both be kept in the table \
             `sales__orders`",
        ]
    );
}

#[test]
fn a_circle_of_assets_across_files_refuses_the_new_ones_in_it() {
    let found = check(&[
        ("a.yaml", Some("assets: {a: {deps: [c]}}"), Some("assets: {a: {}}")),
        ("b.yaml", Some("assets: {b: {deps: [a]}}"), Some("assets: {b: {deps: [a]}}")),
        ("c.yaml", Some("assets: {c: {deps: [b]}}"), Some("assets: {c: {deps: [b]}}")),
    ]);
    let [circle] = errors(&found)[..] else { panic!("{:#?}", found.diagnostics) };
    assert_eq!(circle.message, "Assets depend on each other in a circle: a → b → c → a");
    assert_eq!(circle.place.file, "a.yaml");
    assert_eq!(found.manifest.assets.len(), 3);
}

#[test]
fn r188_modules_without_a_handler_are_a_warning_and_matched_ones_are_not() {
    let job = "nodes:\n- {id: a, type: local, module: M.A}\n- {id: b, type: local, module: N.B}";
    let handlers = "handlers: {'M.*': {builtin: noop}}";
    let found = check_new(&[("a.yaml", job), ("b.yaml", handlers)]);
    let [warning] = found.diagnostics.as_slice() else { panic!("{:#?}", found.diagnostics) };
    assert_eq!(warning.code, ErrorCode::HandlerUnknown);
    assert_eq!(warning.severity, Severity::Warning);
    assert_eq!(warning.message, "No handler is called `N.B`; its steps will fail");
    assert!(found.refused.is_empty());
}

#[test]
fn a_module_that_is_nearly_a_handlers_name_is_told_at_its_line_with_the_name() {
    let job = "nodes:\n- {id: a, type: noop}\n- {id: b, type: local, module: Foo.Bra}";
    let asset = "assets:\n  sales: {step: {kind: local, module: Foo.Baz}}";
    let handlers = "handlers: {Foo.Bar: {builtin: noop}}";
    for (text, line) in [(job, 3), (asset, 2)] {
        let found = check_new(&[("a.yaml", text), ("b.yaml", handlers)]);
        let [warning] = found.diagnostics.as_slice() else { panic!("{:#?}", found.diagnostics) };
        assert_eq!((warning.code, warning.place.line), (ErrorCode::HandlerUnknown, line));
        assert!(warning.help.as_deref().unwrap().starts_with("did you mean `Foo.Bar`? "));
    }
}

#[test]
fn a_file_that_cannot_be_read_hides_no_missing_handler() {
    let job = "nodes: [{id: a, type: local, module: N.B}]";
    let found = check_new(&[("a.yaml", job), ("x.yaml", "nodes: [")]);
    let warnings: Vec<&Diagnostic> =
        found.diagnostics.iter().filter(|it| it.code == ErrorCode::HandlerUnknown).collect();
    let [warning] = warnings[..] else { panic!("{:#?}", found.diagnostics) };
    let wanted = "No handler is called `N.B`; its steps will fail, unless `x.yaml`, which cannot \
                  be read, has it";
    assert_eq!(warning.message, wanted);
    assert!(warning.help.as_deref().unwrap().starts_with("correct `x.yaml` first; "));
}

#[test]
fn r200_five_thousand_files_are_put_together() {
    let texts: Vec<(String, String)> = (0..5_000)
        .map(|number| {
            let upstream = if number == 0 { String::new() } else { format!("a{}", number - 1) };
            (format!("f{number:04}.yaml"), format!("assets: {{a{number}: {{deps: [{upstream}]}}}}"))
        })
        .collect();
    let files: Vec<(&str, &str)> =
        texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let found = check_new(&files);
    assert_eq!(found.diagnostics, []);
    assert_eq!(found.manifest.assets.len(), 5_000);
}

#[test]
fn r149_a_pool_that_is_missing_or_too_small_is_reported_where_it_is_named() {
    let found = check_new(&[
        ("a.yaml", "pools: {warehouse: 4}\n"),
        ("b.yaml", "assets: {orders: {step: {kind: noop}, pool: warehous}}\n"),
        ("c.yaml", "assets: {items: {step: {kind: noop}, pool: {name: warehouse, slots: 5}}}\n"),
    ]);
    let messages: Vec<&str> = errors(&found).iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "Asset `orders` names the pool `warehous`, which no file declares",
            "Asset `items` needs 5 slots of the pool `warehouse`",
        ]
    );
}

#[test]
fn a_pool_or_a_resource_that_is_not_there_is_reported_where_its_name_stands() {
    let file = r#"
resources: { api: { kind: http, base_url: "https://a.example" } }
partitions: { shops: { kind: dynamic } }
io:
  lake: { kind: table, resource: db1 }
jobs:
  load:
    nodes:
      - { id: a, type: noop, pool: one }
      - { id: b, type: sql, resource: db2, statements: select 1 }
      - { id: c, type: sql, config: { resource: db3, statements: select 1 } }
      - { id: d, type: sql, config: { statements: select 1, resource: api } }
assets:
  a: { step: { kind: load, table: t, resource: db4, asset: a } }
sensors:
  rows: { kind: sql, query: { statements: select 1, resource: db5 }, request: { job: load } }
  sync: { kind: partition_sync, partitions: shops, source: { kind: http, resource: db6 } }
"#;
    let found = check_new(&[("a.yaml", file)]);
    let mut wanted = Vec::new();
    for (number, line) in (1_u32..).zip(file.lines()) {
        for name in ["one", "db1", "db2", "db3", "resource: api", "db4", "db5", "db6"] {
            let name = (name, name.rsplit(' ').next().unwrap());
            if let Some(column) = line.find(name.0) {
                let column = column + name.0.len() - name.1.len();
                wanted.push((number, u32::try_from(column).unwrap() + 1, name.1));
            }
        }
    }
    let mut told = Vec::new();
    for finding in errors(&found) {
        let name = finding.message.split('`').nth(3).unwrap();
        if ["pool", "resource", "runs SQL"].iter().any(|it| finding.message.contains(it)) {
            told.push((finding.place.line, finding.place.column, name));
        }
    }
    told.sort_unstable();
    assert_eq!(told, wanted, "{:#?}", found.diagnostics);
}

#[test]
fn r182_libraries_count_before_other_files_however_those_are_called() {
    let row = |target: &str| format!("handlers: {{'A.*': {{command: [{target}]}}}}");
    let files =
        [("0.yaml", row("late")), ("shared/_tasks.yaml", row("first")), ("Z.yaml", row("last"))];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    let found = check_new(&files);
    assert_eq!(found.diagnostics, []);
    let Some(HandlerTarget::Command(step)) = found.manifest.handler("A.x").map(|it| &it.target)
    else {
        panic!("{found:?}");
    };
    assert_eq!(step.command, CommandLine::Argv(vec!["first".to_owned()]));
    let names: Vec<&str> = found.manifest.files.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["0.yaml", "Z.yaml", "shared/_tasks.yaml"]);
    let twice = [("0.yaml", "pools: {p: 1}"), ("_tasks.yaml", "pools: {p: 2}")];
    let found = check_new(&twice);
    assert_eq!(found.refused.iter().map(String::as_str).collect::<Vec<_>>(), ["0.yaml"]);
}

#[test]
fn keys_of_a_tenant_that_no_file_declares_are_told_once_and_keep_no_file_from_being_used() {
    let keys = "partitions:\n  site: {kind: dynamic, dimensions: [tenant, what], tenant: tenant, \
                keys: ['jkf::a', 'jkf::b', 'jfk::a']}\n";
    let found = check_new(&[("keys.yaml", keys), ("t.yaml", "tenants: {jfk: {}}")]);
    let [told] = &found.diagnostics[..] else { panic!("{:#?}", found.diagnostics) };
    assert_eq!((told.severity, told.code), (Severity::Warning, ErrorCode::DefinitionReference));
    assert_eq!(
        told.message,
        "2 keys of the partitions `site` name the tenant `jkf`, which no file declares; no tenant \
         has them"
    );
    assert_eq!(told.help.as_deref(), Some("did you mean `jfk`?"));
    assert_eq!((told.place.file.as_str(), told.place.line), ("keys.yaml", 2));
    assert_eq!(found.manifest.partitions.len(), 1);
    let unread = check_new(&[("keys.yaml", keys), ("t.yaml", "tenants: {")]);
    assert!(unread.diagnostics.iter().all(|it| it.place.file == "t.yaml"), "{unread:#?}");
}

const DIVIDED: &str = r"
partitions:
  day_and_site:
    kind: multi
    dimensions:
      day: { kind: daily, start: 2025-01-01 }
      site: { kind: static, keys: [jfk] }
  metric: { kind: dynamic, dimensions: [tenant, grain] }
";

#[test]
fn a_template_names_no_field_that_the_partitions_do_not_have() {
    let asset = |partitions: &str, step: &str| {
        let text = format!("assets:\n  a:\n    partitions: {partitions}\n    step: {step}\n");
        check_new(&[("divided.yaml", DIVIDED), ("a.yaml", &text)]).diagnostics
    };
    let command = |text: &str| format!("{{kind: command, command: \"echo '{text}'\"}}");
    let daily = "{kind: daily, start: 2025-01-01}";
    for (partitions, field, help) in [
        ("day_and_site", "siet", "did you mean `partition.site`?"),
        ("metric", "grian", "did you mean `partition.grain`?"),
        (daily, "grian", "there is `partition.key`"),
        ("day_and_site", "sight", "there is `partition.day`, `partition.site` and `partition.key`"),
    ] {
        let found = asset(partitions, &command(&format!("{{{{ partition.{field} }}}}")));
        let [one] = found.as_slice() else { panic!("{field}: {found:#?}") };
        assert_eq!((one.code, one.severity), (ErrorCode::DefinitionTemplate, Severity::Error));
        assert!(one.message.contains(&format!("`partition.{field}`")), "{one:?}");
        assert_eq!(one.help.as_deref(), Some(help));
        assert_eq!((one.place.line, one.place.file.as_str()), (4, "a.yaml"), "the text: {one:?}");
        assert!(one.place.column > 20, "the text: {one:?}");
    }
    for (partitions, text, help) in [
        (
            "day_and_site",
            "site.nope",
            "there is `partition.day`, `partition.site` and `partition.key`",
        ),
        ("metric", "grain.tenant", "did you mean `partition.tenant`?"),
        (daily, "key.month", "there is `partition.key`"),
    ] {
        let found = asset(partitions, &command(&format!("{{{{ partition.{text} }}}}")));
        let [one] = found.as_slice() else { panic!("{text}: {found:#?}") };
        assert_eq!((one.code, one.severity), (ErrorCode::DefinitionTemplate, Severity::Error));
        assert!(one.message.contains(&format!("`partition.{text}`")), "{one:?}");
        assert_eq!((one.help.as_deref(), one.place.line), (Some(help), 4), "{one:?}");
        assert!(one.place.column > 20, "the text: {one:?}");
    }
    for (partitions, text) in [
        ("day_and_site", "{{ partition.site.nope | default(1) }} {{ partition.site | upper }}"),
        ("day_and_site", "{{ partition }} {{ partition.key }} {{ partition.day }}"),
        ("metric", "{{ partition.grain }} {{ partition.tenant }}"),
        (daily, "{{ partition.grain | default(1) }} {{ partition.key }}"),
        ("metric", "create table if not exists {{ partition.grain }}"),
    ] {
        assert_eq!(asset(partitions, &command(text)), [], "{text}");
    }
    let sql =
        "{kind: sql, resource: db, statements: \"drop table if exists {{ partition.grian }}\"}";
    let found = asset("metric", sql);
    assert!(found.iter().any(|it| it.code == ErrorCode::DefinitionTemplate), "{found:#?}");
    let local = "{kind: local, module: M.T, config: {text: \"{{ partition.grian }}\"}}";
    let found = asset("metric", local);
    assert!(found.iter().any(|it| it.code == ErrorCode::DefinitionTemplate), "{found:#?}");
}
