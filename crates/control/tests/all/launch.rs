//! A wish becomes a run in the queue.

use std::collections::BTreeMap;

use millstream_control::MaterializeRequest;
use millstream_model::view::PartitionState;
use millstream_model::{ErrorCode, FileManifest, RunId, RunStatus, TenantId};
use millstream_testkit::definitions::{
    asset, file_of_jobs, job, live, op, partitions_by_tenant, with_tenants,
};

use crate::bench::{Bench, location, request};

fn default() -> TenantId {
    TenantId::default_tenant()
}

#[tokio::test]
async fn a_launch_stores_the_run_its_plan_its_place_in_the_queue_and_an_event() {
    let ops = vec![op("extract", &[]), op("load", &["extract"])];
    let bench = Bench::of(file_of_jobs(vec![job("etl", ops)])).await;
    let before = bench.control.store().last_position().await.unwrap();

    let run = bench.launch("etl").await;

    let row = bench.row(run).await;
    assert_eq!((row.status, row.title.as_str()), (RunStatus::Queued, "etl"));
    assert_eq!((row.steps_total, row.steps_over, row.epoch), (2, 0, 0));
    let order = bench.control.store().run_order(&default(), run).await.unwrap().unwrap();
    let plan = bench.control.store().plan(&default(), &order.plan).await.unwrap().unwrap();
    assert_eq!(plan.steps.len(), 2);
    let heads = bench.control.store().queue_heads(10).await.unwrap();
    assert_eq!(heads.iter().map(|head| head.run).collect::<Vec<_>>(), [run]);
    assert_eq!(bench.told(run).await, ["run_queued"]);
    // One batch of events is one commit: everything above came with it.
    assert_eq!(bench.control.store().last_position().await.unwrap().0, before.0 + 1);
}

#[tokio::test]
async fn runs_with_equal_plans_share_one() {
    let bench = Bench::of(file_of_jobs(vec![job("etl", vec![op("a", &[])])])).await;
    let (one, two) = (bench.launch("etl").await, bench.launch("etl").await);
    let store = bench.control.store();
    let one = store.run_order(&default(), one).await.unwrap().unwrap();
    let two = store.run_order(&default(), two).await.unwrap().unwrap();
    assert_eq!(one.plan, two.plan);
}

#[tokio::test]
async fn an_unknown_job_is_refused_with_the_jobs_that_there_are() {
    let jobs = vec![job("etl", vec![op("a", &[])]), job("report", vec![op("a", &[])])];
    let bench = Bench::of(file_of_jobs(jobs)).await;
    let refused = bench.control.launch_job(&request(&default()), &"etk".parse().unwrap()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::JobUnknown);
    assert_eq!(
        refused.to_string(),
        "no job is called `etk`; did you mean `etl`? There are `etl`, `report`"
    );
}

#[tokio::test]
async fn r179_a_disabled_job_is_refused_until_somebody_enables_it_by_hand() {
    let disabled = || {
        let mut job = job("etl", vec![op("a", &[])]);
        job.enabled = false;
        file_of_jobs(vec![job])
    };
    let bench = Bench::of(disabled()).await;
    let etl = "etl".parse().unwrap();
    let refused = bench.control.launch_job(&request(&default()), &etl).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::JobDisabled);

    let place = (&location(), &etl);
    bench.control.override_job(&default(), place, Some(true), "ana").await.unwrap();
    bench.launch("etl").await;

    bench.control.override_job(&default(), place, None, "ana").await.unwrap();
    let refused = bench.control.launch_job(&request(&default()), &etl).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "job etl is disabled; `enabled` in its file, `millstream job start` or its page switches \
         it on"
    );
}

#[tokio::test]
async fn r179_a_pause_by_hand_survives_an_edit_of_the_file() {
    let bench = Bench::of(file_of_jobs(vec![job("etl", vec![op("a", &[])])])).await;
    let etl = "etl".parse().unwrap();
    let place = (&location(), &etl);
    bench.control.override_job(&default(), place, Some(false), "ana").await.unwrap();

    let edited = file_of_jobs(vec![job("etl", vec![op("a", &[]), op("b", &["a"])])]);
    bench.scan(vec![live("defs.yaml", edited)]).await;

    let rows = bench.control.job_rows(&default()).await.unwrap();
    let row = rows.first().unwrap();
    let word = row.enabled_override.as_ref().map(|word| (word.on, word.by.as_str()));
    assert_eq!((row.enabled, word, row.steps), (false, Some((false, "ana")), 2));
    let refused = bench.control.launch_job(&request(&default()), &etl).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "job etl is disabled by hand; `millstream job start` or its page switches it on"
    );
}

/// Two tenants and an asset with partitions that name theirs.
pub(crate) fn airports() -> FileManifest {
    let mut flights = asset("flights", &[]);
    flights.partitions = Some("by_airport".parse().unwrap());
    let file = FileManifest {
        assets: vec![flights],
        partitions: [("by_airport".parse().unwrap(), partitions_by_tenant())].into(),
        ..FileManifest::default()
    };
    with_tenants(file, &["jfk", "lga"])
}

fn wish(keys: &[&str]) -> MaterializeRequest {
    MaterializeRequest {
        select: "flights".to_owned(),
        partitions: keys.iter().map(|key| key.parse().unwrap()).collect(),
        all_partitions: false,
    }
}

#[tokio::test]
async fn materializing_queues_one_run_for_each_partition() {
    let bench = Bench::of(airports()).await;
    let jfk: TenantId = "jfk".parse().unwrap();
    let keys = ["jfk::a".parse().unwrap(), "jfk::b".parse().unwrap()];
    let name = "by_airport".parse().unwrap();
    bench.control.add_partitions(&jfk, &name, &keys).await.unwrap();

    let all = MaterializeRequest { all_partitions: true, ..wish(&[]) };
    let launched = bench.control.materialize(&request(&jfk), &all).await.unwrap();
    let made: Vec<_> = launched.iter().filter_map(|run| run.partition.clone()).collect();
    assert_eq!(made, keys);

    let rows = bench.control.asset_rows(&jfk).await.unwrap();
    assert_eq!(rows.first().unwrap().counts.get(&PartitionState::Missing), Some(&2));
}

#[tokio::test]
async fn one_unknown_partition_among_many_queues_nothing() {
    let bench = Bench::of(airports()).await;
    let jfk: TenantId = "jfk".parse().unwrap();
    let name = "by_airport".parse().unwrap();
    let keys = ["jfk::a".parse().unwrap()];
    bench.control.add_partitions(&jfk, &name, &keys).await.unwrap();

    let refused = bench.control.materialize(&request(&jfk), &wish(&["jfk::a", "jfk::z"])).await;

    assert_eq!(refused.unwrap_err().code(), ErrorCode::PartitionUnknown);
    assert!(bench.control.store().queue_heads(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_is_found_by_the_end_of_its_id_and_never_by_a_text_that_is_none() {
    let bench = Bench::of(file_of_jobs(vec![job("etl", vec![op("a", &[])])])).await;
    let run = bench.launch("etl").await;
    let tenants = [default()];
    let found = bench.control.find_run(&tenants, &run.short()).await.unwrap();
    assert_eq!(found.run_id, run);
    let last = run.short().pop().unwrap();
    for text in ["nope".to_owned(), format!("zz9{last}"), format!("n-{}", run.short())] {
        let refused = bench.control.find_run(&tenants, &text).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::RunUnknown, "{text}");
    }
}

#[tokio::test]
async fn a_selection_of_nothing_is_refused_in_its_own_words() {
    let bench = Bench::of(airports()).await;
    let request = request(&"jfk".parse().unwrap());
    let nothing = MaterializeRequest { select: "group:none".to_owned(), ..wish(&[]) };
    let refused = bench.control.materialize(&request, &nothing).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SelectionEmpty);
    assert!(refused.to_string().contains("`group:none`"), "{refused}");
}

#[tokio::test]
async fn of_runs_that_end_alike_each_is_named_and_too_few_digits_are_said_to_be_so() {
    let bench = Bench::of(file_of_jobs(vec![job("etl", vec![op("a", &[])])])).await;
    let tenants = [TenantId::default_tenant()];
    let end = |run: RunId| run.to_string().split_off(32);
    let mut known = BTreeMap::new();
    let (first, second) = loop {
        let run = bench.launch("etl").await;
        if let Some(other) = known.insert(end(run), run) {
            break (other, run);
        }
    };
    let said = async |text: &str| {
        let refused = bench.control.find_run(&tenants, text).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::RunUnknown);
        refused.to_string()
    };
    let ambiguous = said(&end(first)).await;
    let both = format!("{second} (etl, QUEUED), {first} (etl, QUEUED)");
    assert!(
        ambiguous.ends_with(&format!("give more digits or the whole id: {both}")),
        "{ambiguous}"
    );
    assert!(bench.control.find_run(&tenants, &first.short()).await.is_ok());
    let short = "12 is too short for a run: give its id, or at least its last 4 digits";
    assert!(said("12").await.starts_with(short));
    assert!(said("nowhere").await.starts_with("there is no run nowhere"));
}
