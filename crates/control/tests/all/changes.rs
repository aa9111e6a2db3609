//! What a change of definitions does, in each section of them.

use millstream_control::{ChangeKind, Changes, changes_between};
use millstream_definition::parse_file;
use millstream_model::{ContentHash, FileVersion, Manifest, Timestamp};
use serde_json::{Value, json};

use crate::bench::location;

/// Something in every section.
const EVERYTHING: &str = "
tenants: { jfk: { schedule: '0 1 * * *' } }
resources: { db: { kind: sqlite, path: shop.db } }
io: { lake: { kind: json, base: lake } }
handlers: { 'A.*': { builtin: noop } }
pools: { slots: 4 }
queue: { max_concurrent_runs: 35, tag_limits: [{ key: team, value: sec, limit: 2 }] }
partitions: { grain: { kind: static, keys: [day] } }
assets: { orders: { group: sales } }
jobs:
  etl:
    nodes: [{ id: clean, type: noop }]
    schedule: { cron: '0 21 * * *', timezone: Europe/Paris }
calendars: { holidays: [1970-01-04] }
schedules:
  nightly: { job: etl, cron: '0 3 * * *', exclude: [holidays] }
  own: { job: etl, cron: '{{ tenant.schedule }}' }
sensors: { after: { kind: run_status, on: [SUCCESS] } }
";

fn manifest(text: &str) -> Manifest {
    let parsed = parse_file("all.yaml", text.as_bytes());
    assert_eq!(parsed.diagnostics, []);
    let content = parsed.manifest.unwrap();
    let version = FileVersion { name: "all.yaml".to_owned(), hash: ContentHash::of(b"all") };
    Manifest::merge(location(), [(version, &content)])
}

/// What it does to write `new` in place of `old`, seen a second after the epoch began.
fn written(old: &str, new: &str) -> Changes {
    assert_eq!(EVERYTHING.matches(old).count(), 1, "{old}");
    let (old, new) = (manifest(EVERYTHING), manifest(&EVERYTHING.replace(old, new)));
    changes_between(&old, &new, Timestamp::from_micros(1_000_000))
}

/// What fires at other times: its name, and the first time before and after.
fn retimed(old: &str, new: &str) -> Vec<(String, String, String)> {
    let first = |times: &[Timestamp]| times.first().map(ToString::to_string).unwrap_or_default();
    let all = written(old, new).retimed;
    all.iter().map(|it| (it.name.clone(), first(&it.before), first(&it.after))).collect()
}

fn row(name: &str, before: &str, after: &str) -> (String, String, String) {
    let time =
        |text: &str| if text.is_empty() { String::new() } else { format!("1970-01-{text}Z") };
    (name.to_owned(), time(before), time(after))
}

#[test]
fn a_change_in_any_section_is_seen_with_its_field_as_it_was_and_as_it_is() {
    let cases: [(&str, &str, &str, &str, Value, Value); 14] = [
        ("0 1 *", "0 2 *", "tenants jfk", "schedule", json!("0 1 * * *"), json!("0 2 * * *")),
        ("shop.db", "b.db", "resources db", "path", json!("shop.db"), json!("b.db")),
        ("base: lake", "base: b", "io lake", "base", json!("lake"), json!("b")),
        ("builtin: noop", "command: ls", "handlers A.*", "builtin", json!("noop"), Value::Null),
        ("slots: 4", "slots: 5", "pools slots", "slots", json!(4), json!(5)),
        ("35", "36", "queue limits", "max_concurrent_runs", json!(35), json!(36)),
        ("limit: 2", "limit: 3", "queue limits", "tag_limits.team=sec.limit", json!(2), json!(3)),
        ("[day]", "[hour]", "partitions grain", "keys", json!(["day"]), json!(["hour"])),
        ("sales", "raw", "assets orders", "group", json!("sales"), json!("raw")),
        ("0 21", "0 22", "jobs etl", "schedule", json!("0 21 * * *"), json!("0 22 * * *")),
        (
            "Europe/Paris",
            "Asia/Tokyo",
            "jobs etl",
            "schedule.timezone",
            json!("Europe/Paris"),
            json!("Asia/Tokyo"),
        ),
        (
            "1970-01-04",
            "1970-01-05",
            "calendars holidays",
            "days",
            json!(["1970-01-04"]),
            json!(["1970-01-05"]),
        ),
        ("0 3", "0 5", "schedules nightly", "cron", json!("0 3 * * *"), json!("0 5 * * *")),
        (
            "SUCCESS",
            "FAILURE",
            "sensors after",
            "question.on",
            json!(["SUCCESS"]),
            json!(["FAILURE"]),
        ),
    ];
    for (old, new, thing, field, before, after) in cases {
        let things = written(old, new).things;
        let shown: Vec<_> = things.iter().map(|it| format!("{} {}", it.kind, it.name)).collect();
        assert_eq!(shown, [thing], "{things:#?}");
        assert_eq!(things[0].change, ChangeKind::Changed);
        let found = things[0].fields.iter().find(|it| it.field == field);
        let found = found.unwrap_or_else(|| panic!("{field}: {things:#?}"));
        assert_eq!((&found.before, &found.after), (&before, &after), "{thing}");
    }
}

#[test]
fn each_section_that_comes_or_goes_is_seen() {
    let (all, none) = (manifest(EVERYTHING), manifest("tenants: { jfk: {} }"));
    let now = Timestamp::from_micros(1_000_000);
    for (old, new, change) in [(&all, &none, ChangeKind::Removed), (&none, &all, ChangeKind::Added)]
    {
        let things = changes_between(old, new, now).things;
        let kinds: Vec<_> =
            things.iter().filter(|it| it.change == change).map(|it| it.kind.as_str()).collect();
        let sections = [
            "resources",
            "io",
            "handlers",
            "pools",
            "queue",
            "partitions",
            "assets",
            "jobs",
            "calendars",
            "schedules",
            "schedules",
            "sensors",
        ];
        assert_eq!(kinds, sections, "the tenant alone is on both sides");
    }
    assert!(changes_between(&all, &all, now).is_empty());
}

#[test]
fn a_schedule_shows_its_next_times_before_and_after() {
    let nightly = row("schedule nightly", "01T03:00:00", "01T05:00:00");
    assert_eq!(retimed("0 3", "0 5"), [nightly]);
    let etl = row("job etl", "01T20:00:00", "01T12:00:00");
    assert_eq!(retimed("Europe/Paris", "Asia/Tokyo"), [etl]);
    let own = row("schedule own in jfk", "01T01:00:00", "01T02:00:00");
    assert_eq!(retimed("0 1 *", "0 2 *"), [own]);
    assert_eq!(written("0 3", "0 5").retimed[0].after.len(), 5);
}

#[test]
fn another_way_to_write_the_same_times_moves_no_fire() {
    let found = written("0 3 * * *", "0 3 */1 * *");
    assert_eq!((found.things.len(), found.retimed.len()), (1, 0));
}

#[test]
fn a_day_far_off_that_is_excluded_is_shown_with_the_times_about_it() {
    let nightly = row("schedule nightly", "20T03:00:00", "21T03:00:00");
    assert_eq!(retimed("[1970-01-04]", "[1970-01-04, 1970-01-20]"), [nightly]);
}

#[test]
fn what_is_switched_off_fires_no_more() {
    let names = |old: &str, new: &str| -> Vec<String> {
        let gone = retimed(old, new).into_iter().filter(|(_, _, after)| after.is_empty());
        gone.map(|(name, _, _)| name).collect()
    };
    assert_eq!(names("exclude: [holidays]", "enabled: false"), ["schedule nightly"]);
    let (on, off) = ("    nodes:", "    enabled: false\n    nodes:");
    let job_off = written(on, off).job_off;
    let job_off: Vec<&str> = job_off.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(job_off, ["job etl", "schedule nightly", "schedule own"], "they tick in vain");
    assert_eq!(retimed(on, off), []);
}

/// The things that differ with the names of the fields that do, and the schedules that fire at
/// other times.
fn renamed(old: &str, new: &str) -> (Vec<String>, Vec<(String, String, String)>) {
    let things = written(old, new).things;
    let words = |thing: &millstream_control::Change| {
        let before = thing.renamed_from.as_deref().unwrap_or("-");
        let fields: Vec<_> = thing.fields.iter().map(|it| it.field.as_str()).collect();
        let (kind, name, change) = (&thing.kind, &thing.name, thing.change);
        format!("{change:?} {kind} {name} from {before}: {}", fields.join(","))
    };
    (things.iter().map(words).collect(), retimed(old, new))
}

#[test]
fn what_is_renamed_is_one_thing_that_goes_on() {
    let of = |old: &str, new: &str| renamed(old, new);
    let never: Vec<(String, String, String)> = Vec::new();
    let daily = "Changed schedules daily from nightly: ".to_owned();
    let name = "daily: { renamed_from: nightly, job: etl, cron: '0 3";
    assert_eq!(of("nightly: { job: etl, cron: '0 3", name), (vec![daily], never.clone()));
    let daily = "Changed schedules daily from nightly: cron".to_owned();
    let later = row("schedule daily", "01T03:00:00", "01T05:00:00");
    let name = name.replace("'0 3", "'0 5");
    assert_eq!(of("nightly: { job: etl, cron: '0 3", &name), (vec![daily], vec![later]));
    let per_tenant = "Changed schedules each from own: ".to_owned();
    let name = "each: { renamed_from: own, job";
    assert_eq!(of("own: { job", name), (vec![per_tenant], never.clone()));
    let sensor = "Changed sensors later from after: question.on".to_owned();
    let name = "later: { renamed_from: after, kind: run_status, on: [FAILURE]";
    assert_eq!(of("after: { kind: run_status, on: [SUCCESS]", name), (vec![sensor], never));
}

#[test]
fn a_schedule_that_moves_out_of_its_job_is_renamed_too() {
    let (job, alone) = ("    schedule: { cron: '0 21 * * *', timezone: Europe/Paris }\n", "own: {");
    let moved = "late: { renamed_from: etl, job: etl, cron: '0 21 * * *', timezone: Europe/Paris }";
    let old = manifest(EVERYTHING);
    let text = EVERYTHING.replace(job, "").replace(alone, &format!("{moved}\n  {alone}"));
    let new = manifest(&text);
    let found = changes_between(&old, &new, Timestamp::from_micros(1_000_000));
    let names: Vec<_> =
        found.things.iter().map(|it| (it.name.as_str(), it.renamed_from.as_deref())).collect();
    assert_eq!(names, [("etl", None), ("late", Some("etl"))]);
    assert_eq!(found.things[1].fields, []);
    assert_eq!(found.retimed, []);
}

#[test]
fn the_schedule_of_a_job_with_a_new_name_fires_on_and_names_the_old_one() {
    let old = manifest(EVERYTHING);
    let text = EVERYTHING.replace("  etl:", "  load:").replace("job: etl", "job: load");
    let text = text.replace("timezone: Eu", "renamed_from: etl, timezone: Eu");
    let found = changes_between(&old, &manifest(&text), Timestamp::from_micros(1_000_000));
    assert_eq!(found.retimed, []);
    assert!(found.things.iter().all(|it| it.kind != "schedules" || it.name != "etl"));
    let load = found.things.iter().find(|it| it.name == "load").unwrap();
    assert_eq!(load.change, ChangeKind::Added);
    let fields: Vec<_> = load.fields.iter().map(|it| (it.field.as_str(), &it.after)).collect();
    assert_eq!(fields, [("schedule.renamed_from", &json!("etl"))]);
}

#[test]
fn a_name_that_is_still_used_or_was_there_before_is_no_old_name() {
    let words = |old: &str, new: &str| renamed(old, new).0;
    let new = "daily: { renamed_from: own, job: etl, cron: '@daily' }\n  own: { job: etl, cron";
    assert_eq!(words("own: { job: etl, cron", new), ["Added schedules daily from -: "]);
    let new = "own: { renamed_from: gone, job: etl, cron";
    assert_eq!(words("own: { job: etl, cron", new), ["Changed schedules own from -: renamed_from"]);
}

/// One schedule and one sensor in two tenants.
const IN_TENANTS: &str = "
tenants: { ewr: {}, jfk: {} }
jobs: { etl: { nodes: [{ id: clean, type: noop }] } }
schedules: { nightly: { job: etl, cron: '0 3 * * *' } }
sensors: { after: { kind: run_status, on: [SUCCESS] } }
";

/// What begins and stops where `new` is written in place of `old`: the schedules, each with whether
/// it fires before and after, and the sensors.
fn begin_and_stop(old: &str, new: &str) -> (Vec<String>, Vec<String>) {
    let of = |old: &Manifest, new: &Manifest| {
        let found = changes_between(old, new, Timestamp::from_micros(1_000_000));
        let fires = |times: &[Timestamp]| if times.is_empty() { "never" } else { "fires" };
        let schedules = found.retimed.iter();
        let schedules =
            schedules.map(|it| format!("{}: {}, {}", it.name, fires(&it.before), fires(&it.after)));
        let sensors = found.sensing.iter().map(|it| format!("{:?} {}", it.change, it.name));
        (schedules.collect::<Vec<_>>(), sensors.collect::<Vec<_>>())
    };
    let text = IN_TENANTS.replace(old, new);
    let (before, after) = (manifest(IN_TENANTS), manifest(&text));
    let (there, back) = (of(&before, &after), of(&after, &before));
    assert_eq!((there.0.len(), there.1.len()), (back.0.len(), back.1.len()), "{back:?}");
    there
}

#[test]
fn what_begins_or_stops_in_some_tenants_is_told_with_these() {
    let of = |schedules: &[&str], sensors: &[&str]| {
        let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        (texts(schedules), texts(sensors))
    };
    let stops = "schedule nightly in jfk: fires, never";
    let both = of(&[stops], &["Removed sensor after in jfk"]);
    assert_eq!(begin_and_stop("jfk: {}", "jfk: { enabled: false }"), both);
    assert_eq!(begin_and_stop(", jfk: {}", ""), both);
    assert_eq!(begin_and_stop("job: etl,", "job: etl, tenants: [ewr],"), of(&[stops], &[]));
    let sensor = ("kind: run", "tenants: [jfk], kind: run");
    assert_eq!(begin_and_stop(sensor.0, sensor.1), of(&[], &["Removed sensor after in ewr"]));
    let begins = of(&["schedule nightly in lga: never, fires"], &["Added sensor after in lga"]);
    assert_eq!(begin_and_stop("jfk: {}", "jfk: {}, lga: {}"), begins);
    let whole = of(&["schedule nightly: fires, never"], &["Removed sensor after"]);
    let off = "ewr: { enabled: false }, jfk: { enabled: false }";
    assert_eq!(begin_and_stop("ewr: {}, jfk: {}", off), whole);
    assert_eq!(
        begin_and_stop("kind: run", "enabled: false, kind: run"),
        of(&[], &[whole.1[0].as_str()])
    );
    let moved = ("job: etl, cron: '0 3", "job: etl, tenants: [jfk], cron: '0 4");
    let later =
        of(&["schedule nightly: fires, fires", "schedule nightly in ewr: fires, never"], &[]);
    assert_eq!(begin_and_stop(moved.0, moved.1), later);
}

#[test]
fn of_many_tenants_in_which_something_stops_the_first_are_named() {
    let ids: Vec<String> = (1..=8).map(|number| format!("t{number}: {{}}")).collect();
    let text = |count: usize| IN_TENANTS.replace("ewr: {}, jfk: {}", &ids[..count].join(", "));
    let found = changes_between(
        &manifest(&text(8)),
        &manifest(&text(1)),
        Timestamp::from_micros(1_000_000),
    );
    assert_eq!(found.retimed[0].name, "schedule nightly in t2, t3, t4, t5, t6 and 2 more");
    assert_eq!(found.sensing[0].name, "sensor after in t2, t3, t4, t5, t6 and 2 more");
}

#[test]
fn a_file_that_leaves_the_tenants_to_others_says_not_in_which_something_stops() {
    let all = "tenants: { ewr: {}, jfk: {} }";
    let alone = manifest(&IN_TENANTS.replace(all, ""));
    let text = IN_TENANTS.replace(all, "").replace("job: etl,", "job: etl, tenants: [jfk],");
    let found = changes_between(&alone, &manifest(&text), Timestamp::from_micros(1_000_000));
    assert_eq!((found.things.len(), found.retimed, found.sensing), (1, Vec::new(), Vec::new()));
}
