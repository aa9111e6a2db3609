//! Steps of runs, and what they made.

use std::collections::BTreeMap;

use millstream_model::view::{MadeBy, MaterializationRow, PartitionState};
use millstream_model::{
    AssetKey, JobName, PartitionKey, PartitionsName, RunId, RunStatus, StepEvent, StepKey,
    StepStatus, TenantId, Timestamp,
};
use millstream_store::gone::{GoneCounts, PartitionsOf};
use millstream_store::materializations::{self, PartitionChange};
use millstream_store::outdated::{FailedPartition, Outdated};
use millstream_store::runs::{self, RunEnd};
use millstream_store::steps::{self, StepChange};
use millstream_store::{Batch, Store, StoreError, live};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::{at, claimed, conflict, duplicate, of_partition, queue, run_id, tenant};

conformance! {
    a_step_keeps_its_first_start_and_its_last_outcome,
    the_steps_of_several_runs_are_counted_by_status,
    the_attempt_that_is_due_first_of_each_run_is_known_until_its_time_has_come,
    a_step_changes_only_from_a_status_it_can_leave,
    a_step_that_never_started_cannot_succeed,
    the_open_steps_of_a_run_that_is_over_are_ended_and_counted,
    steps_that_are_over_are_counted_while_the_run_goes_on_and_after_it,
    the_newest_materialization_and_the_history_are_both_kept,
    the_versions_of_an_asset_are_those_of_its_partition_at_a_time,
    a_materialization_is_stored_once_a_run_and_partition,
    a_materialization_that_is_reported_again_takes_the_place_of_the_first,
    many_materializations_that_are_reported_again_in_one_batch_are_all_there,
    a_failed_partition_still_counts_as_touched_once,
    the_partitions_beside_known_keys_are_known_and_counted,
    the_partitions_whose_keys_are_gone_are_left_out,
    a_partition_is_tried_in_vain_whose_newest_try_made_nothing_and_did_not_fail,
    the_ends_of_a_step_are_those_since_a_run_and_a_time_newest_first,
    a_failed_try_is_one_after_which_the_asset_was_neither_made_nor_tried_in_another_way,
}

fn change(step: &StepKey, event: StepEvent, status: StepStatus, at: Timestamp) -> StepChange<'_> {
    StepChange {
        step,
        event,
        status,
        attempt: 1,
        at,
        retry_at: None,
        error: None,
        reason: None,
        result: None,
        result_ref: None,
    }
}

async fn apply(store: &Store, tenant: &TenantId, of: &StepChange<'_>) -> Result<(), StoreError> {
    let mut batch = Batch::for_tenant(tenant);
    steps::change(&mut batch, tenant, run_id(1), of);
    store.apply(batch).await.map(|_| ())
}

async fn a_step_keeps_its_first_start_and_its_last_outcome(db: Db) {
    use {StepEvent as E, StepStatus as S};
    let (tenant, step): (_, StepKey) = (tenant("a"), "load it".parse().unwrap());
    let result = serde_json::json!({"rows": 3});
    for (number, (event, status)) in [
        (E::Started, S::Started),
        (E::FailedWillRetry, S::Retrying),
        (E::Started, S::Started),
        (E::Succeeded, S::Success),
    ]
    .into_iter()
    .enumerate()
    {
        let mut now = change(&step, event, status, at(i64::try_from(number).unwrap()));
        now.result = (status == S::Success).then_some(&result);
        apply(&db.store, &tenant, &now).await.unwrap();
    }
    let stored = db.store.steps_of_run(&tenant, run_id(1)).await.unwrap();
    let stored = &stored[&step];
    assert_eq!((stored.started_at, stored.ended_at), (Some(at(0)), Some(at(3))));
    assert_eq!((stored.status, &stored.result), (S::Success, &result));
}

async fn the_steps_of_several_runs_are_counted_by_status(db: Db) {
    use {StepEvent as E, StepStatus as S};
    let tenant = tenant("a");
    let keys: [StepKey; 3] = ["a", "b", "c"].map(|key| key.parse().unwrap());
    for key in &keys {
        apply(&db.store, &tenant, &change(key, E::Started, S::Started, at(1))).await.unwrap();
    }
    apply(&db.store, &tenant, &change(&keys[0], E::Succeeded, S::Success, at(2))).await.unwrap();
    let counts = db.store.step_counts(&tenant, &[run_id(1), run_id(2)].into()).await.unwrap();
    let of_one = BTreeMap::from([(S::Success, 1), (S::Started, 2)]);
    assert_eq!(counts, BTreeMap::from([(run_id(1), of_one)]));
    assert_eq!(db.store.step_counts(&tenant, &[].into()).await.unwrap(), BTreeMap::new());
}

async fn the_attempt_that_is_due_first_of_each_run_is_known_until_its_time_has_come(db: Db) {
    use {StepEvent as E, StepStatus as S};
    let tenant = tenant("a");
    for (key, due) in [("late", Some(9)), ("soon", Some(5)), ("lost", None)] {
        let step = key.parse().unwrap();
        apply(&db.store, &tenant, &change(&step, E::Started, S::Started, at(1))).await.unwrap();
        let retry_at = due.map(at);
        let again = change(&step, E::FailedWillRetry, S::Retrying, at(2));
        apply(&db.store, &tenant, &StepChange { retry_at, ..again }).await.unwrap();
    }
    let runs = [run_id(1), run_id(2)].into();
    let next = async |now| {
        let found = db.store.next_attempts(&tenant, &runs, (at(now), 10)).await.unwrap();
        found.into_iter().map(|(run, it)| (run, it.step.to_string(), it.attempt, it.at)).collect()
    };
    let wanted = |step: &str, due| vec![(run_id(1), step.to_owned(), 2, at(due))];
    let found: [Vec<_>; 3] = [next(4).await, next(5).await, next(9).await];
    assert_eq!(found, [wanted("soon", 5), wanted("late", 9), Vec::new()]);
    let none = db.store.next_attempts(&tenant, &[].into(), (at(0), 10)).await.unwrap();
    assert_eq!(none, BTreeMap::new());
}

async fn a_step_changes_only_from_a_status_it_can_leave(db: Db) {
    use {StepEvent as E, StepStatus as S};
    let (tenant, step): (_, StepKey) = (tenant("a"), "load".parse().unwrap());
    let skipped = change(&step, E::Skipped, S::Skipped, at(1));
    apply(&db.store, &tenant, &skipped).await.unwrap();
    let late = change(&step, E::Started, S::Started, at(2));
    assert_eq!(conflict(apply(&db.store, &tenant, &late).await), "UPSERT_STEP");
    let stored = db.store.steps_of_run(&tenant, run_id(1)).await.unwrap();
    assert_eq!(stored[&step].status, S::Skipped);
}

async fn a_step_that_never_started_cannot_succeed(db: Db) {
    let (tenant, step): (_, StepKey) = (tenant("a"), "load".parse().unwrap());
    let success = change(&step, StepEvent::Succeeded, StepStatus::Success, at(1));
    assert_eq!(conflict(apply(&db.store, &tenant, &success).await), "UPDATE_STEP");
}

async fn the_open_steps_of_a_run_that_is_over_are_ended_and_counted(db: Db) {
    use {StepEvent as E, StepStatus as S};
    let tenant = tenant("a");
    queue(&db.store, &tenant, run_id(1)).await;
    let (done, open): (StepKey, StepKey) = ("done".parse().unwrap(), "open".parse().unwrap());
    for (step, event, status) in [
        (&done, E::Started, S::Started),
        (&done, E::Succeeded, S::Success),
        (&open, E::Started, S::Started),
    ] {
        apply(&db.store, &tenant, &change(step, event, status, at(1))).await.unwrap();
    }
    let mut batch = Batch::for_tenant(&tenant);
    steps::end_open(&mut batch, (&tenant, run_id(1)), "its worker was lost", at(5));
    db.store.apply(batch).await.unwrap();
    let stored = db.store.steps_of_run(&tenant, run_id(1)).await.unwrap();
    assert_eq!((stored[&done].status, stored[&done].ended_at), (S::Success, Some(at(1))));
    assert_eq!((stored[&open].status, stored[&open].ended_at), (S::Canceled, Some(at(5))));
    assert_eq!(stored[&open].reason.as_deref(), Some("its worker was lost"));
    let row = db.store.run(&tenant, run_id(1)).await.unwrap().unwrap();
    assert_eq!(row.steps_over, 2);
}

async fn steps_that_are_over_are_counted_while_the_run_goes_on_and_after_it(db: Db) {
    use {StepEvent as E, StepStatus as S};
    let tenant = tenant("a");
    let run = claimed(&db.store, &tenant, run_id(1)).await;
    let step: StepKey = "load".parse().unwrap();
    let count = async || db.store.run(&tenant, run.run).await.unwrap().unwrap().steps_over;
    let mut batch = Batch::for_tenant(&tenant);
    live::advance(&mut batch, (&tenant, run.run, run.epoch), (-1, 1), 1);
    steps::change(&mut batch, &tenant, run.run, &change(&step, E::Started, S::Started, at(1)));
    steps::change(&mut batch, &tenant, run.run, &change(&step, E::Succeeded, S::Success, at(1)));
    db.store.apply(batch).await.unwrap();
    assert_eq!(count().await, 1);
    let row = db.store.live_run(&tenant, run.run).await.unwrap().unwrap();
    let mut batch = Batch::for_tenant(&tenant);
    live::remove(&mut batch, &row);
    let end = RunEnd { status: RunStatus::Success, at: at(2), failure: None };
    runs::end(&mut batch, &tenant, run.run, &end);
    db.store.apply(batch).await.unwrap();
    assert_eq!(count().await, 1);
}

fn made(
    asset: &AssetKey,
    partition: Option<&str>,
    run: RunId,
    at: Timestamp,
) -> MaterializationRow {
    MaterializationRow {
        asset: asset.clone(),
        partition: partition.map(|key| key.parse().unwrap()),
        made_by: MadeBy::Run { run_id: run, step: "make".parse().unwrap() },
        at,
        metadata: BTreeMap::new(),
        data_version: None,
        code_version: "v1".to_owned(),
    }
}

async fn store_made(
    store: &Store,
    tenant: &TenantId,
    row: &MaterializationRow,
) -> Result<(), StoreError> {
    let mut batch = Batch::for_tenant(tenant);
    materializations::insert(&mut batch, tenant, row);
    store.apply(batch).await.map(|_| ())
}

async fn the_newest_materialization_and_the_history_are_both_kept(db: Db) {
    let (tenant, asset): (_, AssetKey) = (tenant("a"), "sales/orders".parse().unwrap());
    for number in 1..=3 {
        let row = made(&asset, Some("p"), run_id(number), at(i64::from(number)));
        store_made(&db.store, &tenant, &row).await.unwrap();
    }
    let latest = db.store.latest_materializations(&tenant).await.unwrap();
    assert_eq!(latest[&asset].made_by.run(), Some(run_id(3)));
    let partition: PartitionKey = "p".parse().unwrap();
    let history =
        db.store.materializations_of_asset(&tenant, &asset, Some(&partition), 2).await.unwrap();
    assert_eq!(
        history.iter().map(|row| row.made_by.run()).collect::<Vec<_>>(),
        [Some(run_id(3)), Some(run_id(2))]
    );
    let of_run = db.store.materializations_of_run(&tenant, run_id(2), 10).await.unwrap();
    assert_eq!(of_run.len(), 1);
}

async fn the_versions_of_an_asset_are_those_of_its_partition_at_a_time(db: Db) {
    let (tenant, asset): (_, AssetKey) = (tenant("a"), "sales/orders".parse().unwrap());
    for (number, partition) in [(1, Some("p")), (2, Some("q")), (3, Some("p")), (4, None)] {
        let row = made(&asset, partition, run_id(number), at(i64::from(number)));
        let version = Some(format!("d{number}"));
        let row = MaterializationRow { data_version: version, ..row };
        store_made(&db.store, &tenant, &row).await.unwrap();
    }
    let partition: PartitionKey = "p".parse().unwrap();
    for (partition, time, wanted) in [
        (Some(&partition), 9, Some("d3")),
        (Some(&partition), 2, Some("d1")),
        (Some(&partition), 0, None),
        (None, 9, Some("d4")),
    ] {
        let found = db.store.versions_of_asset(&tenant, &asset, partition, at(time)).await.unwrap();
        let version = found.and_then(|it| it.data_version);
        assert_eq!(version.as_deref(), wanted, "{partition:?} at {time}");
    }
    let newest = db.store.newest_versions(&tenant, &[&asset]).await.unwrap();
    assert_eq!(newest[&asset].data_version.as_deref(), Some("d4"));
    assert_eq!((newest.len(), &newest[&asset].partition), (1, &None));
}

async fn a_materialization_is_stored_once_a_run_and_partition(db: Db) {
    let (tenant, asset): (_, AssetKey) = (tenant("a"), "orders".parse().unwrap());
    let row = made(&asset, None, run_id(1), at(1));
    store_made(&db.store, &tenant, &row).await.unwrap();
    let again = store_made(&db.store, &tenant, &row).await;
    assert_eq!(duplicate(again), "INSERT_MATERIALIZATION");
    let other = made(&asset, Some("p"), run_id(1), at(1));
    store_made(&db.store, &tenant, &other).await.unwrap();
}

async fn a_materialization_that_is_reported_again_takes_the_place_of_the_first(db: Db) {
    let (tenant, asset): (_, AssetKey) = (tenant("a"), "orders".parse().unwrap());
    let first = made(&asset, Some("p"), run_id(1), at(1));
    let second = made(&asset, Some("p"), run_id(1), at(2));
    for row in [&first, &second] {
        let mut batch = Batch::for_tenant(&tenant);
        materializations::replace(&mut batch, &tenant, row);
        db.store.apply(batch).await.unwrap();
    }
    let of_run = db.store.materializations_of_run(&tenant, run_id(1), 10).await.unwrap();
    assert_eq!(of_run, std::slice::from_ref(&second));
    assert_eq!(db.store.latest_materializations(&tenant).await.unwrap()[&asset], second);
}

/// On Postgres many inserts of a batch go out as one, which none of the deletions may follow.
async fn many_materializations_that_are_reported_again_in_one_batch_are_all_there(db: Db) {
    let (tenant, asset): (_, AssetKey) = (tenant("a"), "orders".parse().unwrap());
    for second in [1, 2] {
        let mut batch = Batch::for_tenant(&tenant);
        for number in 0..60 {
            let row = made(&asset, Some(&format!("p{number}")), run_id(1), at(second));
            materializations::replace(&mut batch, &tenant, &row);
        }
        db.store.apply(batch).await.unwrap();
        let of_run = db.store.materializations_of_run(&tenant, run_id(1), 100).await.unwrap();
        assert_eq!(of_run.len(), 60);
        assert!(of_run.iter().all(|row| row.at == at(second)));
    }
}

async fn a_failed_partition_still_counts_as_touched_once(db: Db) {
    let (tenant, asset): (_, AssetKey) = (tenant("a"), "orders".parse().unwrap());
    for (key, states) in [
        ("b", vec![PartitionState::Running, PartitionState::Materialized, PartitionState::Failed]),
        ("a", vec![PartitionState::Materialized]),
    ] {
        let partition: PartitionKey = key.parse().unwrap();
        for state in states {
            let mut batch = Batch::for_tenant(&tenant);
            let (asset, partition) = (&asset, &partition);
            let now = PartitionChange {
                asset,
                partition,
                state,
                run: run_id(1),
                reported_by: None,
                at: at(1),
            };
            materializations::change_partition(&mut batch, &tenant, &now);
            db.store.apply(batch).await.unwrap();
        }
    }
    let counts = db.store.partition_counts(&tenant).await.unwrap();
    let expected = [(PartitionState::Failed, 1), (PartitionState::Materialized, 1)];
    assert_eq!(counts[&asset], BTreeMap::from(expected));
    let all = PartitionsOf { asset: &asset, gone: &[] };
    let rows = db.store.partition_states(&tenant, &all, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.partition.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(db.store.partitions_made(&tenant, &all).await.unwrap(), 2);
    let other = "other".parse().unwrap();
    let outdated =
        async |at| db.store.partitions_outdated(&tenant, &all, (&other, at), 1).await.unwrap();
    assert_eq!(outdated(Some(at(1))).await, None);
    let first = vec!["a".parse().unwrap()];
    assert_eq!(outdated(Some(at(2))).await, Some(Outdated { count: 2, newest: at(2), first }));
    assert_eq!(outdated(None).await, None, "the other was never made");
    let failed = db.store.partitions_failed(&tenant, &all, &"orders".parse().unwrap(), 9).await;
    let (partition, run) = ("b".parse().unwrap(), run_id(1));
    // The run is one of which no step is known.
    let b = FailedPartition { partition, run, at: at(1), error: None, blocked_by: None };
    assert_eq!(failed.unwrap(), [b]);
}

/// Gives partitions these states, one after the other.
async fn touch(db: &Db, tenant: &TenantId, touched: &[(&AssetKey, &str, &[PartitionState])]) {
    for (asset, key, states) in touched {
        for state in *states {
            let (run, partition) = (run_id(1), &key.parse().unwrap());
            let (state, reported_by) = (*state, None);
            let now = PartitionChange { asset, partition, state, run, reported_by, at: at(1) };
            let mut batch = Batch::for_tenant(tenant);
            materializations::change_partition(&mut batch, tenant, &now);
            db.store.apply(batch).await.unwrap();
        }
    }
}

async fn the_partitions_beside_known_keys_are_known_and_counted(db: Db) {
    use PartitionState as S;
    let (tenant, asset): (_, AssetKey) = (tenant("a"), "orders".parse().unwrap());
    let other: AssetKey = "other".parse().unwrap();
    let [name, elsewhere] = ["shop", "elsewhere"].map(|it| it.parse::<PartitionsName>().unwrap());
    let touched: [(_, _, &[S]); 4] = [
        (&asset, "a", &[S::Failed]),
        (&asset, "b", &[S::Materialized, S::Failed]),
        (&asset, "c", &[S::Materialized]),
        (&other, "c", &[S::Missing]),
    ];
    touch(&db, &tenant, &touched).await;
    let keys: Vec<PartitionKey> = ["a", "b", "c"].map(|key| key.parse().unwrap()).into();
    let assets = [(&asset, &name), (&other, &name)];
    let beside = async |known: &[(&PartitionsName, &PartitionKey)], limit| {
        let found = db.store.keys_beside(&tenant, &assets, known, limit).await.unwrap();
        found.into_values().flatten().collect::<Vec<_>>()
    };
    assert_eq!(beside(&[], 10).await, keys);
    assert_eq!(beside(&[], 1).await, keys[..1]);
    assert_eq!(beside(&[(&name, &keys[0])], 10).await, keys[1..]);
    assert_eq!(beside(&[(&elsewhere, &keys[0])], 10).await, keys, "keys of another definition");

    let counts = async |gone: &[(&PartitionsName, &PartitionKey)]| {
        db.store.gone_counts(&tenant, &assets, gone).await.unwrap()
    };
    let found = counts(&[(&name, &keys[1]), (&name, &keys[2])]).await;
    let of =
        |states: &[(S, u64)], made| GoneCounts { states: states.iter().copied().collect(), made };
    assert_eq!(found[&asset], of(&[(S::Failed, 1), (S::Materialized, 1)], 2));
    assert_eq!(found[&other], of(&[(S::Missing, 1)], 0));
    assert_eq!(counts(&[(&elsewhere, &keys[1])]).await, BTreeMap::new());
}

async fn the_partitions_whose_keys_are_gone_are_left_out(db: Db) {
    use PartitionState as S;
    let (tenant, asset): (_, AssetKey) = (tenant("a"), "orders".parse().unwrap());
    let touched: [(_, _, &[S]); 3] = [
        (&asset, "a", &[S::Failed]),
        (&asset, "b", &[S::Materialized, S::Failed]),
        (&asset, "c", &[S::Materialized]),
    ];
    touch(&db, &tenant, &touched).await;
    let keys: Vec<PartitionKey> = ["a", "b", "c"].map(|key| key.parse().unwrap()).into();
    let ever = db.store.keys_made(&tenant, &asset, 10).await.unwrap();
    assert_eq!(ever.into_iter().collect::<Vec<_>>(), keys[1..]);
    assert_eq!(db.store.keys_made(&tenant, &asset, 1).await.unwrap().len(), 1);

    let (step, other) = ("orders".parse().unwrap(), "other".parse().unwrap());
    for (gone, left, made) in [(&keys[..0], vec!["a", "b", "c"], 2), (&keys[..2], vec!["c"], 1)] {
        let of = PartitionsOf { asset: &asset, gone };
        let states = db.store.partition_states(&tenant, &of, 10).await.unwrap();
        assert_eq!(states.iter().map(|it| it.partition.as_str()).collect::<Vec<_>>(), left);
        assert_eq!(db.store.partitions_made(&tenant, &of).await.unwrap(), made);
        let failed = db.store.partitions_failed(&tenant, &of, &step, 10).await.unwrap();
        let failed: Vec<&str> = failed.iter().map(|it| it.partition.as_str()).collect();
        assert_eq!(failed, left[..left.len() - 1]);
        let from = (&other, Some(at(2)));
        let older = db.store.partitions_outdated(&tenant, &of, from, 10).await.unwrap();
        assert_eq!(older.unwrap().count, made);
    }
}

async fn a_partition_is_tried_in_vain_whose_newest_try_made_nothing_and_did_not_fail(db: Db) {
    use {StepEvent as E, StepStatus as S};
    let (tenant, asset): (_, AssetKey) = (tenant("a"), "orders".parse().unwrap());
    let step: StepKey = "orders".parse().unwrap();
    let ends = async |number: u32, key: &str, job: &str, status: S| {
        let (run, key) = (run_id(number), key.parse().unwrap());
        let when = at(i64::from(number) * 10);
        db.store.apply(of_partition(&tenant, run, (job, &key))).await.unwrap();
        let mut batch = Batch::for_tenant(&tenant);
        steps::change(&mut batch, &tenant, run, &change(&step, E::Started, S::Started, when));
        let event = match status {
            S::Skipped => E::Skipped,
            S::Failure => E::Failed,
            _ => E::Succeeded,
        };
        let ended = StepChange {
            reason: (status == S::Skipped).then_some("nothing new"),
            ..change(&step, event, status, when)
        };
        steps::change(&mut batch, &tenant, run, &ended);
        db.store.apply(batch).await.unwrap();
    };
    let is_made = async |number: u32, key: &str, second: i64| {
        let (partition, run): (PartitionKey, _) = (key.parse().unwrap(), run_id(number));
        let mut batch = Batch::for_tenant(&tenant);
        let row = made(&asset, Some(key), run, at(second));
        materializations::insert(&mut batch, &tenant, &row);
        let change = PartitionChange {
            asset: &asset,
            partition: &partition,
            state: PartitionState::Materialized,
            run,
            reported_by: None,
            at: at(second),
        };
        materializations::change_partition(&mut batch, &tenant, &change);
        db.store.apply(batch).await.unwrap();
    };
    let known = async |gone: &[PartitionKey], limit| {
        let (of, ops) = (PartitionsOf { asset: &asset, gone }, "ops".parse().unwrap());
        let but: [&JobName; 1] = [&ops];
        let found = db.store.partitions_in_vain(&tenant, &of, (&step, &but), limit).await.unwrap();
        found.into_iter().map(|it| (it.partition.to_string(), it.status)).collect::<Vec<_>>()
    };
    let of = |key: &str, status| (key.to_owned(), status);

    ends(1, "a", "etl", S::Skipped).await;
    ends(2, "b", "etl", S::Success).await;
    // A step of that job's own, and a run that made what it should.
    ends(3, "c", "ops", S::Success).await;
    ends(4, "d", "etl", S::Success).await;
    is_made(4, "d", 40).await;
    ends(5, "e", "etl", S::Failure).await;
    assert_eq!(known(&[], 9).await, [of("b", S::Success), of("a", S::Skipped)]);
    assert_eq!(known(&[], 1).await, [of("b", S::Success)]);
    assert_eq!(known(&["b".parse().unwrap()], 9).await, [of("a", S::Skipped)]);

    // The newest try counts, and what was made after it.
    ends(6, "a", "etl", S::Failure).await;
    is_made(7, "b", 70).await;
    ends(8, "d", "etl", S::Skipped).await;
    assert_eq!(known(&[], 9).await, [of("d", S::Skipped)]);
}

async fn the_ends_of_a_step_are_those_since_a_run_and_a_time_newest_first(db: Db) {
    use {StepEvent as E, StepStatus as S};
    let (tenant, step): (_, StepKey) = (tenant("a"), "load".parse().unwrap());
    for number in 1..=4 {
        queue(&db.store, &tenant, run_id(number)).await;
        let mut batch = Batch::for_tenant(&tenant);
        let skipped = change(&step, E::Skipped, S::Skipped, at(i64::from(number)));
        steps::change(&mut batch, &tenant, run_id(number), &skipped);
        db.store.apply(batch).await.unwrap();
    }
    for (first, since, limit, wanted) in [
        (None, 0, 10, vec![run_id(4), run_id(3), run_id(2), run_id(1)]),
        (Some(run_id(3)), 0, 10, vec![run_id(4), run_id(3)]),
        (Some(run_id(3)), 3, 10, vec![run_id(4)]),
        (None, 0, 1, vec![run_id(4)]),
    ] {
        let of = (&tenant, &step);
        let ends = db.store.ends_of_step(of, (first, at(since)), limit).await.unwrap();
        assert_eq!(ends.newest.iter().map(|end| end.run).collect::<Vec<_>>(), wanted);
        assert_eq!(ends.looked_since, None, "there are no older ones");
    }
}

async fn a_failed_try_is_one_after_which_the_asset_was_neither_made_nor_tried_in_another_way(
    db: Db,
) {
    use {StepEvent as E, StepStatus as S};
    let (tenant, step): (_, StepKey) = (tenant("a"), "load".parse().unwrap());
    let ends = async |number: u32, status: StepStatus| {
        queue(&db.store, &tenant, run_id(number)).await;
        let mut batch = Batch::for_tenant(&tenant);
        let when = at(i64::from(number) * 10);
        if status == S::Failure {
            let started = change(&step, E::Started, S::Started, when);
            steps::change(&mut batch, &tenant, run_id(number), &started);
            let failed = change(&step, E::Failed, S::Failure, when);
            steps::change(&mut batch, &tenant, run_id(number), &failed);
        } else {
            let skipped = change(&step, E::Skipped, S::Skipped, when);
            steps::change(&mut batch, &tenant, run_id(number), &skipped);
        }
        db.store.apply(batch).await.unwrap();
    };
    let failed = async |but: &[&JobName]| {
        let found = db.store.failed_tries(&tenant, but).await.unwrap();
        found.into_iter().map(|(step, (run, at))| (step, run, at)).collect::<Vec<_>>()
    };
    ends(1, S::Failure).await;
    assert_eq!(failed(&[]).await, [("load".to_owned(), run_id(1), at(10))]);
    assert_eq!(failed(&[&"nightly".parse().unwrap()]).await.len(), 1, "its runs are of another");
    ends(2, S::Skipped).await;
    assert_eq!(failed(&[]).await, []);
    ends(3, S::Failure).await;
    assert_eq!(failed(&[]).await, [("load".to_owned(), run_id(3), at(30))]);

    let mut batch = Batch::for_tenant(&tenant);
    let asset: AssetKey = "load".parse().unwrap();
    materializations::insert(&mut batch, &tenant, &made(&asset, None, run_id(2), at(40)));
    db.store.apply(batch).await.unwrap();
    assert_eq!(failed(&[]).await, [], "it was made after that");
    ends(5, S::Failure).await;
    assert_eq!(failed(&[]).await, [("load".to_owned(), run_id(5), at(50))]);
}
