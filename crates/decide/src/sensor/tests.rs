//! Ticks of sensors by example: conditions, run keys, partitions, limits and guards.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::seen::EventFound;
use millstream_model::{
    CURSOR_MAX, ErrorCode, MetadataValue, PartitionKey, REQUESTS_MAX, RunId, ScheduleTarget,
    SensorAnswer, SensorDef, SensorQuestion, Timestamp,
};
use millstream_model::{
    FileQuestion, FoundKind, HumanDuration, PartitionSync, PartitionsChange, RequestTemplate,
    SENSOR_EVERY, SENSOR_TIMEOUT, SensorRequest, StepConfig, Switch, TickWarning,
};
use serde_json::{Map, Value, json};

use super::*;

fn sensor(question: SensorQuestion, request: RequestTemplate) -> SensorDef {
    SensorDef {
        name: "it".parse().unwrap(),
        description: None,
        question,
        every: SENSOR_EVERY,
        timeout: SENSOR_TIMEOUT,
        when: None,
        request,
        enabled: Switch::Fixed(true),
        tenants: Vec::new(),
        renamed_from: None,
    }
}

fn noop() -> StepConfig {
    StepConfig::Noop(millstream_model::NoopStep {})
}

fn after_runs(request: RequestTemplate) -> SensorDef {
    let on = vec![millstream_model::RunStatus::Success];
    sensor(SensorQuestion::RunStatus { job: None, on }, request)
}

fn etl() -> ScheduleTarget {
    ScheduleTarget::Job("etl".parse().unwrap())
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn run(context: &Value, tags: &[(&str, &str)]) -> Found {
    let tags: BTreeMap<String, String> =
        tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Found {
        key: "key".to_owned(),
        names: Map::from_iter([(
            "run".to_owned(),
            json!({ "id": "r1", "context": context, "tags": tags }),
        )]),
        partition: Some("day-1".parse().unwrap()),
        tags,
        of: Some(RunId::new(at(5), [1; 10])),
    }
}

#[test]
fn r122_a_run_whose_context_does_not_fit_is_skipped_with_the_condition() {
    let condition = "{{ run.context.graph_id == 'sec' }}";
    let def = SensorDef {
        when: Some(condition.to_owned()),
        ..after_runs(RequestTemplate { target: Some(etl()), ..RequestTemplate::default() })
    };
    let drafted = draft(&def, &[run(&json!({ "graph_id": "other" }), &[])], &Map::new());
    assert!(drafted.requests.is_empty());
    let unfit = drafted.unfit.unwrap();
    assert_eq!((unfit.what, unfit.count), (FoundKind::Run, 1));
    assert!(unfit.first.ends_with(condition), "{}", unfit.first);
    for (names, kind) in [
        (["event", "run"].as_slice(), FoundKind::Materialization),
        (["item"].as_slice(), FoundKind::Row),
        (["file"].as_slice(), FoundKind::File),
        (["delivery"].as_slice(), FoundKind::Delivery),
    ] {
        let names = names.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        let thing = Found { names, ..run(&json!({}), &[]) };
        let def = SensorDef { when: Some("false".to_owned()), ..def.clone() };
        assert_eq!(draft(&def, &[thing], &Map::new()).unfit.unwrap().what, kind);
    }
    let drafted = draft(&def, &[run(&json!({ "graph_id": "sec" }), &[])], &Map::new());
    assert_eq!(drafted.requests.len(), 1);
}

#[test]
fn a_materialization_that_does_not_fit_is_named_with_its_partition_and_who_made_it() {
    let (on, target) = ("{{ event.metadata.rows.value > 9 }}", Some(etl()));
    let question = SensorQuestion::Asset { select: "orders".to_owned() };
    let def = sensor(question, RequestTemplate { target, ..RequestTemplate::default() });
    let def = SensorDef { when: Some(on.to_owned()), ..def };
    let id = RunId::new(at(5), [1; 10]);
    for (partition, of, reported_by, words) in [
        (Some("jfk"), Some(id), None, format!("orders, partition jfk, made by run {id}")),
        (None, Some(id), None, format!("orders, made by run {id}")),
        (Some("jfk"), None, Some("ana"), "orders, partition jfk, reported by ana".to_owned()),
    ] {
        let event = json!(EventFound {
            asset: &"orders".parse().unwrap(),
            partition: partition.map(|key: &str| key.parse().unwrap()).as_ref(),
            metadata: &BTreeMap::from([("rows".to_owned(), MetadataValue::int(3))]),
            data_version: None,
            run_id: of,
            step: None,
            reported_by,
            at: at(5).to_string(),
        });
        let names = Map::from_iter([("event".to_owned(), event), ("run".to_owned(), json!({}))]);
        let thing = Found { names, of, ..run(&json!({}), &[]) };
        let said = draft(&def, &[thing], &Map::new()).unfit.unwrap().first;
        assert_eq!(said, format!("its condition does not hold for {words}: {on}"));
    }
}

#[test]
fn r151_a_request_takes_the_partition_and_the_named_labels_of_the_run_it_reacts_to() {
    let request = RequestTemplate {
        target: Some(etl()),
        pass_tags: vec!["batch_id".to_owned(), "absent".to_owned()],
        context: Map::from_iter([("of".to_owned(), json!("{{ run.id }}"))]),
        ..RequestTemplate::default()
    };
    let found = run(&json!({}), &[("batch_id", "b-1"), ("other", "x")]);
    let drafted = draft(&after_runs(request), &[found], &Map::new());
    let request = &drafted.requests[0];
    assert_eq!(request.partition.as_ref().unwrap().as_str(), "day-1");
    assert_eq!(request.tags, BTreeMap::from([("batch_id".to_owned(), "b-1".to_owned())]));
    assert_eq!(request.context["of"], "r1");
}

#[test]
fn one_thing_that_cannot_be_filled_is_a_warning_and_keeps_no_other_from_its_request() {
    let request = RequestTemplate {
        target: Some(etl()),
        run_key: Some("{{ run.context.id }}".to_owned()),
        ..RequestTemplate::default()
    };
    let found = [run(&json!({}), &[]), run(&json!({ "id": 7 }), &[])];
    let drafted = draft(&after_runs(request), &found, &Map::new());
    assert_eq!(drafted.requests.len(), 1);
    assert_eq!(drafted.requests[0].run_key, "7");
    assert_eq!(drafted.warnings.len(), 1);
}

#[test]
fn a_condition_that_cannot_be_answered_is_told_once_with_how_many_it_keeps_back() {
    let request = RequestTemplate { target: Some(etl()), ..RequestTemplate::default() };
    let def = SensorDef { when: Some("{{ run.id }}".to_owned()), ..after_runs(request) };
    let found: Vec<Found> = (0..150).map(|_| run(&json!({}), &[])).collect();
    let told = draft(&def, &found, &Map::new()).told();
    assert_eq!(told.len(), 1);
    assert!(told[0].message.ends_with(" (150 times)"), "{}", told[0].message);
    let told = draft(&def, &found[..1], &Map::new()).told();
    assert!(!told[0].message.contains("times"), "{}", told[0].message);
}

#[test]
fn what_no_database_stores_is_asked_for_by_nobody() {
    let by = |text: &str, request: RequestTemplate| {
        let def = after_runs(RequestTemplate { target: Some(etl()), ..request });
        let drafted = draft(&def, &[run(&json!({ "id": text }), &[])], &Map::new());
        (drafted.requests.len(), drafted.warnings.len())
    };
    let key = || {
        let run_key = Some("{{ run.context.id }}".to_owned());
        RequestTemplate { run_key, ..RequestTemplate::default() }
    };
    let label = || {
        let tags = BTreeMap::from([("id".to_owned(), "{{ run.context.id }}".to_owned())]);
        RequestTemplate { tags, ..RequestTemplate::default() }
    };
    assert_eq!((by("a", key()), by("a", label())), ((1, 0), (1, 0)));
    assert_eq!((by("a\0", key()), by("a\0", label())), ((0, 1), (0, 1)));
}

#[test]
fn r128_what_was_requested_before_is_listed_with_its_run() {
    let answer = SensorAnswer {
        requests: ["a", "b", "a"]
            .map(|key| SensorRequest { run_key: Some(key.to_owned()), ..SensorRequest::default() })
            .to_vec(),
        ..SensorAnswer::default()
    };
    let def = sensor(
        SensorQuestion::Own { step: Box::new(noop()) },
        RequestTemplate { target: Some(etl()), ..RequestTemplate::default() },
    );
    let drafted = of_answer(&def, &answer, at(1)).unwrap();
    let run = RunId::new(at(1), [7; 10]);
    let left = without_known(drafted, &BTreeMap::from([("b".to_owned(), run)]));
    assert_eq!(left.requests.len(), 1);
    let listed: Vec<&str> = left.warnings.iter().map(|it| it.message.as_str()).collect();
    let known = format!("deduplicated: run {} has the key b", run.short());
    assert_eq!(listed, ["deduplicated: key a, twice in one tick", known.as_str()]);
}

#[test]
fn an_empty_run_key_of_an_answer_is_a_warning_and_no_key() {
    let request = |key: &str| SensorRequest { run_key: Some(key.to_owned()), ..Default::default() };
    let answer =
        SensorAnswer { requests: vec![request(""), request("a")], ..SensorAnswer::default() };
    let def = sensor(
        SensorQuestion::Own { step: Box::new(noop()) },
        RequestTemplate { target: Some(etl()), ..RequestTemplate::default() },
    );
    let drafted = of_answer(&def, &answer, at(1)).unwrap();
    assert_eq!((drafted.requests.len(), drafted.warnings.len()), (1, 1));
    let told = &drafted.warnings[0].message;
    assert!(told.starts_with("requests[0]: the run key \"\" is empty"), "{told}");
}

#[test]
fn requests_without_a_run_key_are_never_the_same() {
    let answer =
        SensorAnswer { requests: vec![SensorRequest::default(); 3], ..SensorAnswer::default() };
    let def = sensor(
        SensorQuestion::Own { step: Box::new(noop()) },
        RequestTemplate { target: Some(etl()), ..RequestTemplate::default() },
    );
    assert_eq!(of_answer(&def, &answer, at(1)).unwrap().requests.len(), 3);
}

#[test]
fn an_answer_beyond_the_limits_is_refused_with_a_way_out() {
    let def = sensor(SensorQuestion::Own { step: Box::new(noop()) }, RequestTemplate::default());
    let keys = (0..=REQUESTS_MAX).map(|n| format!("k{n}").parse().unwrap()).collect();
    let change = PartitionsChange { add: keys, remove: Vec::new() };
    let long = SensorAnswer { cursor: Some("x".repeat(CURSOR_MAX + 1)), ..SensorAnswer::default() };
    let many = SensorAnswer {
        partitions: BTreeMap::from([("p".parse().unwrap(), change)]),
        ..SensorAnswer::default()
    };
    let nameless =
        SensorAnswer { requests: vec![SensorRequest::default()], ..SensorAnswer::default() };
    for answer in [long, many, nameless] {
        assert_eq!(of_answer(&def, &answer, at(1)).unwrap_err().code, ErrorCode::SensorAnswer);
    }
}

#[test]
fn equal_rows_have_one_run_key_and_other_rows_another() {
    let found = rows(json!([{ "id": 1 }, { "id": 1 }, { "id": 2 }]));
    assert_eq!(found[0].key, found[1].key);
    assert_ne!(found[0].key, found[2].key);
    assert_eq!(rows(Value::Null), []);
    assert_eq!(rows(json!({ "state": "ready" })).len(), 1);
}

fn partition_sync(remove_missing: bool) -> PartitionSync {
    PartitionSync {
        partitions: "p".parse().unwrap(),
        source: noop(),
        keys: Some("{% for m in item.metrics %}{{ item.id }}::{{ m }}\n{% endfor %}".to_owned()),
        remove_missing,
        max_removed: 20,
    }
}

fn keys(range: std::ops::Range<u32>) -> BTreeSet<PartitionKey> {
    range.map(|n| format!("k{n:03}").parse().unwrap()).collect()
}

/// What makes `present` the keys that the source names, each of a row.
fn synced(
    def: &PartitionSync,
    keys: BTreeSet<PartitionKey>,
    present: &BTreeSet<PartitionKey>,
) -> Result<SyncPlan, TickWarning> {
    sync(def, &NamedKeys { keys, keyless: None }, present, &BTreeSet::new())
}

#[test]
fn r027_keys_are_added_and_removed_to_match_the_source() {
    let rows = json!([{ "id": "t1", "metrics": ["a", "b"] }, { "id": "t2", "metrics": ["a"] }]);
    let wanted = keys_of_rows(&partition_sync(true), rows, &Map::new()).unwrap();
    let texts: Vec<&str> = wanted.keys.iter().map(PartitionKey::as_str).collect();
    assert_eq!((texts, wanted.keyless), (vec!["t1::a", "t1::b", "t2::a"], None));
    let plan = synced(&partition_sync(true), keys(1..10), &keys(0..9)).unwrap();
    assert_eq!(
        (plan.add, plan.remove, plan.total),
        (vec!["k009".parse().unwrap()], vec!["k000".parse().unwrap()], 9)
    );
    let kept = synced(&partition_sync(false), keys(5..10), &keys(0..9)).unwrap();
    assert_eq!((kept.add.len(), kept.remove.len()), (1, 0));
}

#[test]
fn a_key_with_a_null_in_part_fails_the_synchronization_and_one_that_is_null_is_none() {
    let by =
        |template: &str| PartitionSync { keys: Some(template.to_owned()), ..partition_sync(true) };
    let rows = json!([{ "id": "t1" }, { "id": null }]);
    let named = keys_of_rows(&by("{{ item.id }}"), rows.clone(), &Map::new()).unwrap();
    assert_eq!(named.keys.iter().map(PartitionKey::as_str).collect::<Vec<_>>(), ["t1"]);
    let told = keys_of_rows(&by("eu-{{ item.id }}"), rows, &Map::new()).unwrap_err();
    assert_eq!(
        told.message,
        "the key \"eu-{{ item.id }}\" is null in part, in `item.id`; say what stands for a null \
         with `default`; it is row 2 of 2, {\"id\":null}"
    );
}

#[test]
fn r028_an_empty_source_or_one_that_lost_much_removes_nothing() {
    for wanted in [keys(0..0), keys(0..5)] {
        let refused = synced(&partition_sync(true), wanted, &keys(0..10)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::SyncGuard);
        assert!(refused.message.contains("nothing was changed"), "{}", refused.message);
    }
    let one = synced(&partition_sync(true), keys(0..0), &keys(0..1)).unwrap_err();
    assert_eq!(one.code, ErrorCode::SyncGuard);
    let allowed = PartitionSync { max_removed: 100, ..partition_sync(true) };
    assert_eq!(synced(&allowed, keys(0..0), &keys(0..10)).unwrap().remove.len(), 10);
}

#[test]
fn a_wrong_answer_is_told_with_its_place_and_numbers_among_labels_are_text() {
    let read = |requests: Value| read_answer(json!({ "requests": requests }));
    let answer = read(json!([{ "tags": { "n": 3, "on": true, "t": "x" } }])).unwrap();
    let tags: Vec<&str> = answer.requests[0].tags.values().map(String::as_str).collect();
    assert_eq!(tags, ["3", "true", "x"]);
    let told = read(json!([{}, { "tags": { "n": [1] } }])).unwrap_err();
    assert_eq!(told, "the answer: requests[1].tags.n is no text");
    let told = read(json!([{}, { "run_key": 7 }])).unwrap_err();
    assert_eq!(told, "the answer: requests[1].run_key is a number, 7; a text is wanted");
    for (answer, told) in [
        (json!({ "cursor": 1 }), "the answer: cursor is a number, 1; a text is wanted"),
        (json!({ "skip": [] }), "the answer: skip is a list, []; a text is wanted"),
    ] {
        assert_eq!(read_answer(answer).unwrap_err(), told);
    }
    assert_eq!(read_answer(json!({ "cursor": null })), Ok(SensorAnswer::default()));
    assert_eq!(read_answer(Value::Null), Ok(SensorAnswer::default()));
}

#[test]
fn only_objects_are_read_where_an_answer_has_objects() {
    for (answer, told) in [
        (json!(["77", "because"]), "the answer is a list, [\"77\",\"because\"]; "),
        (json!("77"), "the answer is a text, \"77\"; "),
        (json!({ "requests": [{}, ["etl"]] }), "the answer: requests[1] is a list, [\"etl\"]; "),
        (json!({ "requests": [null] }), "the answer: requests[0] is null; "),
        (json!({ "requests": [{ "tags": [] }] }), "the answer: requests[0].tags is a list, []; "),
        (json!({ "partitions": [] }), "the answer: partitions is a list, []; "),
        (
            json!({ "partitions": { "shop": [[], ["s1"]] } }),
            "the answer: partitions.shop is a list, [[],[\"s1\"]]; ",
        ),
    ] {
        assert_eq!(read_answer(answer).unwrap_err(), format!("{told}a JSON object is wanted"));
    }
}

#[test]
fn r028_no_part_of_a_key_lets_a_whole_one_go() {
    let removed = |max_removed, wanted, present| {
        let def = PartitionSync { max_removed, ..partition_sync(true) };
        synced(&def, keys(0..wanted), &keys(0..present)).map(|plan| plan.remove.len())
    };
    for (max_removed, wanted, present) in [(50, 1, 3), (50, 2, 5), (50, 4, 10), (20, 3, 4)] {
        let refused = removed(max_removed, wanted, present).unwrap_err();
        assert_eq!(refused.code, ErrorCode::SyncGuard, "{wanted} of {present}");
    }
    for (max_removed, wanted, present) in [(50, 2, 3), (50, 5, 10), (20, 4, 5), (0, 4, 4)] {
        let gone = usize::try_from(present - wanted).unwrap();
        assert_eq!(removed(max_removed, wanted, present), Ok(gone), "{wanted} of {present}");
    }
}

#[test]
fn a_row_without_a_key_is_told_and_nothing_is_removed_while_there_is_one() {
    let def = |keys: Option<&str>, remove_missing| PartitionSync {
        keys: keys.map(str::to_owned),
        ..partition_sync(remove_missing)
    };
    let by_id = Some("{{ item.id }}");
    let rows = |last: Value| json!([{ "id": "k000" }, { "id": "k009" }, { "id": last }]);
    for nothing in [Value::Null, json!(""), json!("  ")] {
        let named = keys_of_rows(&def(by_id, true), rows(nothing.clone()), &Map::new()).unwrap();
        let plan = sync(&def(by_id, true), &named, &keys(0..3), &BTreeSet::new()).unwrap();
        let added = vec!["k009".parse().unwrap()];
        assert_eq!((plan.add, plan.remove, plan.total), (added, Vec::new(), 4));
        let told = format!(
            "row 3 of 3 has no key, {{\"id\":{nothing}}}; while a row has none, no key is removed: \
             2 that no row names stay"
        );
        assert_eq!(plan.told.unwrap().message, told);
        let adds = sync(&def(by_id, false), &named, &keys(0..3), &BTreeSet::new()).unwrap();
        assert!(adds.told.unwrap().message.ends_with(&format!("{{\"id\":{nothing}}}")));
    }
    let texts = json!(["k000", null, "", null]);
    let named = keys_of_rows(&def(None, true), texts, &Map::new()).unwrap();
    let words = "3 of 4 rows have no key, the first is row 2, null";
    assert_eq!((named.keys, named.keyless.as_deref()), (keys(0..1), Some(words)));
    // The guard says it where no row has one.
    let named = keys_of_rows(&def(by_id, true), json!([{ "id": null }]), &Map::new()).unwrap();
    let refused = sync(&def(by_id, true), &named, &keys(0..3), &BTreeSet::new()).unwrap_err();
    let words = "the source names no key at all (row 1 of 1 has no key, {\"id\":null}), and all 3";
    assert!(refused.message.starts_with(words), "{}", refused.message);
}

#[test]
fn a_row_without_the_field_of_its_key_is_as_one_whose_key_is_null() {
    let by =
        |template: &str| PartitionSync { keys: Some(template.to_owned()), ..partition_sync(true) };
    let named = |template: &str, rows| keys_of_rows(&by(template), rows, &Map::new());
    let rows = json!([{ "id": "k000", "at": { "id": "k001" } }, { "name": "x" }]);
    let words = "row 2 of 2 has no key, {\"name\":\"x\"}".to_owned();
    for (template, key) in [("{{ item.id }}", "k000"), ("{{ item.at.id }}", "k001")] {
        let named = named(template, rows.clone()).unwrap();
        let keys: Vec<&str> = named.keys.iter().map(PartitionKey::as_str).collect();
        assert_eq!((keys, named.keyless.as_ref()), (vec![key], Some(&words)), "{template}");
    }
    let lost = named("{{ item.id }}", rows.clone()).unwrap();
    let plan = sync(&by("{{ item.id }}"), &lost, &keys(0..3), &BTreeSet::new()).unwrap();
    assert_eq!((plan.add, plan.remove), (Vec::new(), Vec::new()));
    // What every row lacks is a mistake of the template, and a part is as one that is null.
    let told = named("{{ item.idd }}", rows.clone()).unwrap_err().message;
    assert!(told.contains("it names what is not there: `item.idd`; it is row 1 of 2"), "{told}");
    for template in ["eu-{{ item.id }}", "{{ item.id }}{{ nowhere }}"] {
        let told = named(template, rows.clone()).unwrap_err().message;
        assert!(told.contains("it names what is not there: `"), "{told}");
    }
    let text = named("{{ item.id }}", json!([{ "id": "k000" }, "k001"])).unwrap_err().message;
    assert!(text.ends_with("it is row 2 of 2, \"k001\""), "{text}");
}

#[test]
fn a_row_that_the_template_passes_over_on_purpose_names_no_key() {
    let text = "{% if item.open %}{{ item.id }}{% endif %}".to_owned();
    let def = PartitionSync { keys: Some(text), ..partition_sync(true) };
    let row = |id: Value, open| json!({ "id": id, "open": open });
    let closed = json!([row(json!("a"), true), row(json!("b"), false), row(Value::Null, false)]);
    let named = keys_of_rows(&def, closed, &Map::new()).unwrap();
    assert_eq!((named.keys.len(), named.keyless), (1, None));
    let open = json!([row(json!("a"), true), row(Value::Null, true)]);
    assert!(keys_of_rows(&def, open, &Map::new()).unwrap().keyless.is_some());
    let none = json!([{ "id": "t1", "metrics": [] }]);
    assert_eq!(keys_of_rows(&partition_sync(true), none, &Map::new()).unwrap().keyless, None);
}

#[test]
fn keys_of_the_file_are_counted_and_neither_added_nor_removed() {
    let named = |keys| NamedKeys { keys, keyless: None };
    let def = partition_sync(true);
    // k000 stands in the file, and was added before it did.
    let plan = sync(&def, &named(keys(1..6)), &keys(0..5), &keys(0..1)).unwrap();
    assert_eq!((plan.add.len(), plan.remove.len(), plan.total), (1, 0, 6));
    // k008 and k009 stand in the file alone.
    let plan = sync(&def, &named(keys(0..9)), &keys(0..5), &keys(8..10)).unwrap();
    assert_eq!((plan.add, plan.total), (keys(5..8).into_iter().collect(), 10));
    let refused = sync(&def, &named(keys(0..2)), &keys(0..4), &keys(0..1)).unwrap_err();
    let words = "2 of 3 that stand in no file would be removed, more than 20 %";
    assert!(refused.message.contains(words), "{}", refused.message);
}

#[test]
fn an_edit_keeps_the_cursor_unless_something_else_is_asked() {
    let runs = after_runs(RequestTemplate::default());
    let edited = SensorDef { every: HumanDuration::default(), ..runs.clone() };
    assert_ne!(version(&runs), version(&edited));
    assert!(!forgets(&version(&runs), &version(&edited)));
    let other = sensor(SensorQuestion::Own { step: Box::new(noop()) }, RequestTemplate::default());
    assert!(forgets(&version(&runs), &version(&other)));
}

#[test]
fn a_table_is_a_list_of_its_rows_by_their_columns_and_nothing_else_is() {
    let table = json!({ "columns": ["id", "open"], "rows": [[1, true], [2, null]] });
    let found: Vec<Value> = rows(table).into_iter().map(|it| it.names["item"].clone()).collect();
    assert_eq!(found, [json!({ "id": 1, "open": true }), json!({ "id": 2, "open": null })]);
    for other in [json!({ "rows": [[1]] }), json!({ "columns": [], "rows": [], "more": 1 })] {
        assert_eq!(rows(other.clone())[0].names["item"], other);
    }
}

#[test]
fn a_sensor_rests_for_the_job_that_all_it_may_request_now_is_of() {
    let files = |existing| {
        let settle = HumanDuration(std::time::Duration::ZERO);
        let (path, pattern) = ("in".to_owned(), None);
        SensorQuestion::Files(FileQuestion { path, pattern, settle, existing })
    };
    let asset = || SensorQuestion::Asset { select: "a".to_owned() };
    let run_status = || SensorQuestion::RunStatus { job: None, on: Vec::new() };
    let rests = |question, target, cursor| {
        let request = RequestTemplate { target, ..RequestTemplate::default() };
        resting_for(&sensor(question, request), cursor).is_some()
    };
    let before_and_after = [
        (SensorQuestion::Own { step: Box::new(noop()) }, (false, false)),
        (SensorQuestion::PartitionSync(Box::new(partition_sync(true))), (false, false)),
        (SensorQuestion::Rows { step: Box::new(noop()), cursor: None }, (true, true)),
        (files(true), (true, true)),
        (files(false), (false, true)),
        (asset(), (false, true)),
        (run_status(), (false, true)),
    ];
    for (question, (first, later)) in before_and_after {
        assert_eq!(rests(question.clone(), Some(etl()), None), first, "{question}");
        assert_eq!(rests(question.clone(), Some(etl()), Some("x")), later, "{question}");
        let select = ScheduleTarget::Select("a".to_owned());
        assert!(!rests(question.clone(), Some(select), Some("x")), "{question}");
        assert!(!rests(question, None, Some("x")));
    }
}
