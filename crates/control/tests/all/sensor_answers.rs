//! Answers of sensors that are not as they should be, and what of them counts.

use millstream_control::SensorTicked;
use serde_json::{Value, json};

use crate::sensors::{World, jobs, shops, tenant};

#[tokio::test]
async fn r148_an_answer_counts_the_keys_that_it_really_adds_and_removes() {
    let text = format!("{}sensors:\n  own: {{kind: command, command: [./x]}}\n", shops());
    let mut world = World::of(&text).await;
    for (add, remove, said) in [
        (json!(["a", "b"]), json!([]), "added=2 deleted=0 total=2"),
        (json!(["b", "c", "c"]), json!(["x"]), "added=1 deleted=0 total=3"),
        (json!(["a", "b"]), json!([]), "added=0 deleted=0 total=3"),
        (json!(["d"]), json!(["a", "d", "x"]), "added=0 deleted=1 total=2"),
    ] {
        let answer = json!({ "partitions": { "shop": { "add": add, "remove": remove } } });
        assert_eq!(world.answer(answer).await, [SensorTicked::Skipped]);
        let reason = world.last("own").await.skipped.unwrap().to_string();
        assert_eq!(reason, format!("partitions: {said}"));
    }
}

#[tokio::test]
async fn an_answer_that_is_a_list_fails_the_tick_and_changes_nothing() {
    let text = format!("{}sensors:\n  own: {{kind: command, command: [./x]}}\n", shops());
    let mut world = World::of(&text).await;
    let shop = json!({ "shop": { "add": ["s1"] } });
    world.answer(json!({ "cursor": "5", "partitions": shop })).await;
    for list in [json!(["77", "because"]), json!({ "partitions": { "shop": [[], ["s1"]] } })] {
        assert_eq!(world.answer(list).await, [SensorTicked::Failed]);
    }
    let control = world.control();
    assert_eq!(control.sensor_stand(&tenant(), "own").await.unwrap().cursor.as_deref(), Some("5"));
    let name = "shop".parse().unwrap();
    assert_eq!(control.store().count_dynamic_partitions(&tenant(), &name).await.unwrap(), 1);
}

#[tokio::test]
async fn a_null_in_part_of_a_key_leaves_that_request_out() {
    let text = format!(
        "{}resources:\n  db: {{kind: sqlite, path: a.db}}\nsensors:\n  rows:\n    kind: sql\n    \
         query: {{resource: db, statements: select 1}}\n    \
         request: {{job: etl, run_key: 'x-{{{{ item.key }}}}', partition: '{{{{ item.day }}}}'}}\n",
        jobs(&["etl"])
    );
    let mut world = World::of(&text).await;
    let rows = json!([{ "key": null, "day": null }, { "key": "a", "day": null }]);
    assert_eq!(world.answer(rows).await, [SensorTicked::Launched(1)]);
    let told = world.last("rows").await.warnings.remove(0).message;
    assert_eq!(
        told,
        "the run key \"x-{{ item.key }}\" is null in part, in `item.key`; say what stands for a \
         null with `default`"
    );
}

#[tokio::test]
async fn a_null_moves_no_cursor_and_is_no_run_key() {
    let text = format!(
        "{}resources:\n  db: {{kind: sqlite, path: a.db}}\nsensors:\n  rows:\n    kind: sql\n    \
         query: {{resource: db, statements: select * from t where upd > :cursor}}\n    \
         cursor: '{{{{ item.upd }}}}'\n    \
         request: {{job: etl, run_key: '{{{{ item.key }}}}'}}\n",
        jobs(&["etl"])
    );
    let mut world = World::of(&text).await;
    let row = |key: Value, upd: Value| json!({ "key": key, "upd": upd });
    let answer = json!([row(json!("a"), json!(11)), row(json!("b"), Value::Null)]);
    assert_eq!(world.answer(answer.clone()).await, [SensorTicked::Launched(2)]);
    let stand = world.control().sensor_stand(&tenant(), "rows").await.unwrap();
    assert_eq!(stand.cursor.as_deref(), Some("11"));
    let told = world.last("rows").await.warnings.remove(0).message;
    assert!(told.contains("null in row 2 of 2, {\"key\":\"b\",\"upd\":null}"), "{told}");
    // A null alone leaves the cursor of the tick before.
    assert_eq!(world.answer(json!([answer[1]])).await, [SensorTicked::Skipped]);
    let stand = world.control().sensor_stand(&tenant(), "rows").await.unwrap();
    assert_eq!(stand.cursor.as_deref(), Some("11"));
    // A null for a run key is no key that later ones have too.
    let nameless = json!([row(Value::Null, json!(12)), row(json!("c"), json!(13))]);
    assert_eq!(world.answer(nameless).await, [SensorTicked::Launched(1)]);
    let told = world.last("rows").await.warnings.remove(0).message;
    assert_eq!(told, "the run key \"{{ item.key }}\" is null");
    for key in [Value::Null, json!("")] {
        assert_eq!(world.answer(json!([row(key, json!(14))])).await, [SensorTicked::Failed]);
    }
    let stand = world.control().sensor_stand(&tenant(), "rows").await.unwrap();
    assert_eq!(stand.cursor.as_deref(), Some("13"));
}

fn with_keys_of_the_file() -> String {
    "partitions:\n  shop: {kind: dynamic, keys: [paris]}\nresources:\n  \
     db: {kind: sqlite, path: a.db}\nsensors:\n  "
        .to_owned()
}

#[tokio::test]
async fn a_synchronization_counts_the_keys_of_the_file_and_leaves_them_alone() {
    let text = format!(
        "{}sync:\n    kind: partition_sync\n    partitions: shop\n    remove_missing: true\n    \
         source: {{kind: sql, resource: db, statements: select shop from shops}}\n    \
         keys: '{{{{ item.shop }}}}'\n",
        with_keys_of_the_file()
    );
    let mut world = World::of(&text).await;
    for (shops, said) in [
        (json!(["oslo", "rome", "bonn"]), "added=3 deleted=0 total=4"),
        (json!(["oslo", "rome", "bonn", "paris"]), "added=0 deleted=0 total=4"),
        (json!(["oslo", "rome", "bonn", "kyiv", null]), "added=1 deleted=0 total=5"),
        (json!(["oslo", "rome", null]), "added=0 deleted=0 total=5"),
    ] {
        let rows: Value =
            shops.as_array().unwrap().iter().map(|it| json!({ "shop": it })).collect();
        world.bench.clock.advance(std::time::Duration::from_mins(5));
        world.answer(rows).await;
        let tick = world.last("sync").await;
        assert_eq!(tick.skipped.unwrap().to_string(), format!("partitions: {said}"));
        let keyless = shops.as_array().unwrap().contains(&Value::Null);
        assert_eq!(tick.warnings.len(), usize::from(keyless), "{:?}", tick.warnings);
    }
    let name = "shop".parse().unwrap();
    let listed = world.control().partition_keys(&tenant(), &name, ("", ""), 100).await.unwrap();
    assert_eq!(listed.len(), 5);
}

#[tokio::test]
async fn an_answer_counts_the_keys_of_the_file_too() {
    let text = format!("{}own: {{kind: command, command: [./x]}}\n", with_keys_of_the_file());
    let mut world = World::of(&text).await;
    for (add, remove, said) in [
        (json!(["oslo"]), json!([]), "added=1 deleted=0 total=2"),
        (json!(["paris"]), json!([]), "added=0 deleted=0 total=2"),
        (json!(["rome"]), json!(["paris"]), "added=1 deleted=0 total=3"),
    ] {
        let answer = json!({ "partitions": { "shop": { "add": add, "remove": remove } } });
        world.answer(answer).await;
        let reason = world.last("own").await.skipped.unwrap().to_string();
        assert_eq!(reason, format!("partitions: {said}"));
    }
}
