//! Files with errors among others: all findings come at once, and nothing that a broken file
//! declares is called unknown.

use millstream_definition::LocationCheck;
use millstream_model::{ErrorCode, Severity};

use crate::location::{check, check_new};

/// The file, the line and the message of each finding between files.
fn found(check: &LocationCheck) -> Vec<(&str, u32, &str)> {
    let each = check.diagnostics.iter();
    each.map(|it| (it.place.file.as_str(), it.place.line, it.message.as_str())).collect()
}

/// The same of the files that wait for others.
fn waiting(check: &LocationCheck) -> Vec<(&str, u32, &str)> {
    let each = check.waiting.iter().map(|it| &it.diagnostic);
    each.map(|it| (it.place.file.as_str(), it.place.line, it.message.as_str())).collect()
}

#[test]
fn a_bad_value_hides_no_reference_and_no_circle_of_its_file() {
    let text = "assets:\n  orders: {timeout: soon, deps: [nowhere]}\n  a: {deps: [b]}\n  \
                b: {deps: [a]}\nschedules:\n  nightly: {cron: '@daily', job: none}\n";
    let check = check_new(&[("a.yaml", text)]);
    let wanted = [
        ("a.yaml", 2, "Asset `orders` depends on `nowhere`, which no file declares"),
        ("a.yaml", 3, "Assets depend on each other in a circle: a → b → a"),
        ("a.yaml", 6, "Schedule `nightly` names the job `none`, which no file declares"),
    ];
    assert_eq!(found(&check), wanted);
}

#[test]
fn a_file_that_needs_what_a_broken_one_declares_waits_and_is_told_so_once() {
    let broken = "assets: {orders: {timeout: soon}, items: 5}\n\
                  partitions: {day: {kind: daily, start: never}}\n\
                  jobs: {etl: {select: 7}}\nresources: {db: {kind: nothing}}\npools: {p: many}\n\
                  tenants: {t1: 5}\ncalendars: {off: 5}\nio: {lake: 5}\n";
    let needs = "assets:\n  sum:\n    deps: [orders, items]\n    partitions: day\n    io: lake\n\
                 \x20   pool: p\n    step: {kind: sql, resource: db, statements: select 1}\n\
                 schedules:\n  s: {cron: '@daily', job: etl, tenants: [t1], \
                 exclude: off}\n";
    let check = check_new(&[("broken.yaml", broken), ("needs.yaml", needs)]);
    assert_eq!(found(&check), []);
    let wanted = "The asset `items`, the asset `orders`, the calendar `off` and 6 more are \
                  declared in `broken.yaml`, which has errors";
    assert_eq!(waiting(&check), [("needs.yaml", 3, wanted)]);
    assert_eq!(check.waiting[0].on, ["broken.yaml"]);
    assert!(check.refused.contains("needs.yaml"));
}

#[test]
fn what_a_broken_file_lacks_is_told_of_those_who_wait_for_it_too() {
    let needs = "assets: {sum: {deps: [orders, lost]}}";
    let check = check_new(&[("broken.yaml", "assets: {orders: {retry: {}}}"), ("n.yaml", needs)]);
    assert_eq!(
        found(&check),
        [("n.yaml", 1, "Asset `sum` depends on `lost`, which no file declares")]
    );
    assert_eq!(waiting(&check).len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_named_as_one_that_may_declare_what_is_missing() {
    let needs = "assets:\n  sum: {deps: [orders, sun]}\n  sum2:\n    io: lake\n";
    let check = check_new(&[("broken.yaml", "assets: {orders: {}"), ("needs.yaml", needs)]);
    let told: Vec<_> = check
        .diagnostics
        .iter()
        .map(|it| (it.place.line, it.place.column, it.message.as_str(), it.help.as_deref()))
        .collect();
    let may = |otherwise: &str| {
        format!(
            "`broken.yaml`, which cannot be read, may declare it: correct that first; otherwise: \
             {otherwise}"
        )
    };
    let [declare, near] = ["declare it in a file of this root", "did you mean `sum`?"].map(may);
    let says = |what: &str| format!("{what}, which no file declares that can be read");
    let wanted = [
        says("Asset `sum` depends on `orders`"),
        says("Asset `sum` depends on `sun`"),
        says("Asset `sum2` names the IO manager `lake`"),
    ];
    assert_eq!(
        told,
        [
            (2, 16, wanted[0].as_str(), Some(declare.as_str())),
            (2, 24, wanted[1].as_str(), Some(near.as_str())),
            (4, 9, wanted[2].as_str(), Some(declare.as_str())),
        ]
    );
    assert_eq!(waiting(&check), []);
}

#[test]
fn nothing_is_said_of_the_content_of_what_could_not_be_read() {
    let broken = "assets:\n  rows: {io: [5], step: {kind: sql, resource: db, statements: select 1}}\n\
                  resources: {db: {kind: sqlite, path: a.db}}\nhandlers: {'App.*': {comand: [x]}}\n\
                  pools: {p: {slots: none}}\nio: {lake: {kind: csv, base: lake}}\n";
    let reads = "assets:\n  sum:\n    deps: [rows]\n    io: lake\n    pool: {name: p, slots: 9}\n\
                 \x20   step: {kind: sql, resource: db, statements: select 1, \
                 read: {r: {asset: rows}}, rows: true}\n\
                 \x20 own: {step: {kind: local, module: App.Own}}\n";
    let check = check_new(&[("broken.yaml", broken), ("reads.yaml", reads)]);
    assert_eq!(found(&check), []);
    assert_eq!(waiting(&check).len(), 1);
}

#[test]
fn names_and_references_are_told_at_once() {
    let check = check_new(&[
        ("a.yaml", "assets: {x: {}}"),
        ("b.yaml", "assets: {x: {}, y: {deps: [lost]}}"),
        ("c.yaml", "assets: {z: {deps: [gone]}}"),
    ]);
    let codes: Vec<(&str, ErrorCode)> =
        check.diagnostics.iter().map(|it| (it.place.file.as_str(), it.code)).collect();
    let (taken, lost) = (ErrorCode::DefinitionNameTaken, ErrorCode::DefinitionReference);
    assert_eq!(codes, [("b.yaml", taken), ("b.yaml", lost), ("c.yaml", lost)]);
}

#[test]
fn a_name_in_a_broken_file_takes_nothing_from_a_good_one() {
    let check = check_new(&[
        ("a.yaml", "assets: {x: {timeout: soon}}"),
        ("b.yaml", "assets: {x: {}, y: {deps: [x]}}"),
    ]);
    let wanted = "The asset `x` is already declared in `b.yaml`";
    assert_eq!(found(&check), [("a.yaml", 1, wanted)]);
    assert!(check.refused.is_empty());
    assert_eq!(check.manifest.assets.len(), 2);
}

#[test]
fn of_several_files_that_cannot_be_read_the_first_is_named_and_the_others_are_counted() {
    let broken = "assets: {orders: {}";
    let needs = "assets: {sum: {deps: [lost]}}";
    for (rest, wanted) in [
        (&[("b.yaml", broken)][..], "`a.yaml` and 1 more file, which cannot be read, "),
        (&[("b.yaml", broken), ("c.yaml", broken)], "`a.yaml` and 2 more files, which cannot"),
    ] {
        let files = [&[("a.yaml", broken), ("needs.yaml", needs)], rest].concat();
        let check = check_new(&files);
        let help = check.diagnostics[0].help.as_deref().unwrap();
        assert!(help.starts_with(wanted), "{help}");
    }
}

#[test]
fn what_is_live_of_a_broken_file_can_be_referred_to() {
    let broken = Some("assets: {x: {timeout: soon}}");
    let check = check(&[
        ("a.yaml", broken, Some("assets: {x: {}, w: {}}")),
        ("b.yaml", Some("assets: {y: {deps: [x, w]}}"), None),
    ]);
    assert_eq!((found(&check), waiting(&check)), (vec![], vec![]));
    assert_eq!(check.manifest.assets.len(), 3);
}

#[test]
fn a_live_file_whose_newest_content_cannot_be_read_still_declares_what_it_did() {
    let needs = "assets:\n  y: {deps: [x, orrders]}\n  z: {deps: [new]}\n";
    let check = check(&[
        ("a.yaml", Some("assets: {x: {}"), Some("assets: {x: {}, orders: {}}")),
        ("b.yaml", Some(needs), None),
    ]);
    let wanted = [
        ("b.yaml", 2, "Asset `y` depends on `orrders`, which no file declares that can be read"),
        ("b.yaml", 3, "Asset `z` depends on `new`, which no file declares that can be read"),
    ];
    assert_eq!(found(&check), wanted);
    let help = "`a.yaml`, which cannot be read, may declare it: correct that first; otherwise: did \
                you mean `orders`?";
    assert_eq!(check.diagnostics[0].help.as_deref(), Some(help));
    assert!(check.diagnostics.iter().all(|it| it.severity == Severity::Error));
}

#[test]
fn what_moves_out_of_a_file_with_errors_waits_for_that_and_is_not_called_taken() {
    let moved = "assets: {x: {}, v: {}, y: {deps: [w]}}";
    let live = Some("assets: {x: {}, v: {}, w: {}}");
    let had = "The asset `v` and the asset `x` are still live from an older version of `a.yaml`, \
               which is not used as it is now";
    for broken in ["assets: {w: {timeout: soon}}", "assets: {w: {}"] {
        let check = check(&[("a.yaml", Some(broken), live), ("b.yaml", Some(moved), None)]);
        assert_eq!(found(&check), [], "{broken}");
        assert_eq!(waiting(&check), [("b.yaml", 1, had)], "{broken}");
        assert_eq!(check.waiting[0].on, ["a.yaml"]);
        assert!(check.refused.contains("b.yaml"));
    }
    // What is wrong with the other file may only show beside the others.
    let lost = Some("assets: {w: {deps: [lost]}}");
    let check = check(&[("a.yaml", lost, live), ("b.yaml", Some(moved), None)]);
    let wanted = "Asset `w` depends on `lost`, which no file declares";
    assert_eq!(found(&check), [("a.yaml", 1, wanted)]);
    assert_eq!(waiting(&check), [("b.yaml", 1, had)]);
}

#[test]
fn what_moves_is_used_once_both_files_are_right() {
    let moved = Some("assets: {x: {}}");
    let live = Some("assets: {x: {}, w: {}}");
    let check = check(&[("a.yaml", Some("assets: {w: {}}"), live), ("b.yaml", moved, None)]);
    assert_eq!((found(&check), waiting(&check)), (vec![], vec![]));
    assert_eq!(check.manifest.files.len(), 2);
}

#[test]
fn a_file_keeps_what_is_live_of_it_though_it_has_errors() {
    let broken = Some("assets: {x: {timeout: soon}}");
    let check = check(&[
        ("z.yaml", broken, Some("assets: {x: {}}")),
        ("b.yaml", Some("assets: {x: {}}"), None),
    ]);
    assert_eq!(found(&check), [("b.yaml", 1, "The asset `x` is already declared in `z.yaml`")]);
    assert_eq!(waiting(&check), []);
}
