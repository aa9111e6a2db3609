//! Runs in lists, and what they were ordered with.

use std::collections::BTreeMap;

use millstream_model::{
    Cause, Closed, ClosedAs, ContentHash, FailureCause, GaveUp, HoldReason, JobName, LimitFrom,
    PartitionKey, RunId, RunPlan, RunStatus, TenantId,
};
use millstream_store::attention::Among;
use millstream_store::dead_letters::DeadLetterFilter;
use millstream_store::overrides::{self, JobOverride};
use millstream_store::runs::{self, NewRun, RunEnd, RunFilter, TagFilter};
use millstream_store::{Batch, Expect, Store, dead_letters, live};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::{at, claimed, conflict, labelled, queue, run_id, tenant};

conformance! {
    a_list_over_several_tenants_is_one_list_newest_first,
    a_list_shows_the_live_status_and_filters_by_it,
    r151_a_list_shows_the_runs_with_a_label_and_no_others,
    a_run_of_another_tenant_does_not_exist,
    a_short_id_finds_its_runs_among_the_tenants_named,
    a_run_ends_once,
    runs_are_counted_by_status_since_a_time,
    what_failed_last_is_found_by_what_it_is_about_and_not_by_how_new_it_is,
    dead_letters_are_listed_by_when_they_were_given_up_page_by_page,
    what_goes_on_of_a_tenant_is_counted_and_found_by_its_runs,
    a_plan_is_stored_once_and_read_back,
    the_plans_of_runs_that_are_not_over_are_listed_page_by_page,
    an_override_is_kept_until_it_is_taken_back,
}

async fn ids(store: &Store, tenants: &[TenantId], filter: &RunFilter, limit: u32) -> Vec<RunId> {
    let rows = store.run_list(tenants, filter, limit).await.unwrap();
    rows.into_iter().map(|row| row.run_id).collect()
}

async fn a_list_over_several_tenants_is_one_list_newest_first(db: Db) {
    let tenants = [tenant("a"), tenant("b"), tenant("c")];
    for number in 0..9 {
        queue(&db.store, &tenants[number as usize % 3], run_id(number)).await;
    }
    let everything = RunFilter::default();
    let both = ids(&db.store, &tenants[..2], &everything, 4).await;
    assert_eq!(both, [7, 6, 4, 3].map(run_id));
    let next = RunFilter { before: Some(run_id(3)), ..RunFilter::default() };
    assert_eq!(ids(&db.store, &tenants[..2], &next, 4).await, [1, 0].map(run_id));
    assert_eq!(ids(&db.store, &[], &everything, 4).await, []);
}

async fn a_list_shows_the_live_status_and_filters_by_it(db: Db) {
    let tenant = tenant("a");
    claimed(&db.store, &tenant, run_id(1)).await;
    queue(&db.store, &tenant, run_id(2)).await;
    let mut hold = Batch::for_tenant(&tenant);
    let reason = HoldReason::NoFreeSlot {
        limit: 1,
        over: 0,
        from: LimitFrom::Settings,
        held_by: Vec::new(),
    };
    live::set_hold(&mut hold, &tenant, run_id(2), &reason);
    db.store.apply(hold).await.unwrap();
    let starting = RunFilter { status: Some(RunStatus::Starting), ..RunFilter::default() };
    assert_eq!(ids(&db.store, std::slice::from_ref(&tenant), &starting, 9).await, [run_id(1)]);
    let row = db.store.run(&tenant, run_id(2)).await.unwrap().unwrap();
    assert_eq!((row.status, row.hold), (RunStatus::Queued, Some(reason)));
    let partition: PartitionKey = "p".parse().unwrap();
    let of_partition = RunFilter { partition: Some(partition), ..RunFilter::default() };
    assert_eq!(ids(&db.store, &[tenant], &of_partition, 9).await, []);
}

async fn r151_a_list_shows_the_runs_with_a_label_and_no_others(db: Db) {
    let a = tenant("a");
    let labels: [&[(&str, &str)]; 6] = [
        &[("batch", "b-7")],
        &[("alpha", "x"), ("batch", "b-7")],
        &[("batch", "b-77")],
        &[("x\"batch", "b-7")],
        &[("note", ",\"batch\":\"b-7\"")],
        &[("ba%ch", "b_7")],
    ];
    for (number, tags) in (0..).zip(labels) {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        db.store.apply(labelled(&a, run_id(number), 0, &tags.collect())).await.unwrap();
    }
    let of = async |tag: &str| {
        let filter = RunFilter { tag: TagFilter::parse(tag), ..RunFilter::default() };
        ids(&db.store, std::slice::from_ref(&a), &filter, 9).await
    };
    assert_eq!(of("batch=b-7").await, [1, 0].map(run_id));
    assert_eq!(of("batch").await, [2, 1, 0].map(run_id));
    assert_eq!(of("ba%ch=b_7").await, [run_id(5)]);
    assert_eq!(of("b").await, []);
    assert_eq!(TagFilter::parse("=b-7"), None);
    let labelled = RunFilter { tag: TagFilter::parse("b"), ..RunFilter::default() };
    let all = std::slice::from_ref(&a);
    assert_eq!(db.store.run_search_end(all, &labelled).await.unwrap(), None, "all are searched");
}

async fn a_run_of_another_tenant_does_not_exist(db: Db) {
    queue(&db.store, &tenant("a"), run_id(1)).await;
    assert_eq!(db.store.run(&tenant("b"), run_id(1)).await.unwrap(), None);
    assert_eq!(db.store.run_order(&tenant("b"), run_id(1)).await.unwrap(), None);
    assert!(db.store.run_order(&tenant("a"), run_id(1)).await.unwrap().is_some());
    assert_eq!(db.store.live_run(&tenant("b"), run_id(1)).await.unwrap(), None);
}

async fn a_short_id_finds_its_runs_among_the_tenants_named(db: Db) {
    let tenants = [tenant("a"), tenant("b")];
    queue(&db.store, &tenants[0], run_id(0x00ab_cdef)).await;
    queue(&db.store, &tenants[1], run_id(0x10ab_cdef)).await;
    let found = async |tenants: &[TenantId], short: &str| {
        db.store.runs_by_short_id(tenants, short).await.unwrap().len()
    };
    assert_eq!(found(&tenants, "abcdef").await, 2, "ambiguous");
    assert_eq!(found(&tenants, "10ABCDEF").await, 1, "capital digits are digits");
    assert_eq!(found(&tenants[..1], "10abcdef").await, 0);
    assert_eq!(found(&tenants, "10%").await, 0, "a wildcard finds nothing");
}

async fn a_run_ends_once(db: Db) {
    let tenant = tenant("a");
    let run = claimed(&db.store, &tenant, run_id(1)).await;
    let end = |status: RunStatus, when| {
        let mut batch = Batch::for_tenant(&tenant);
        runs::start(&mut batch, &tenant, run.run, at(3));
        let failure = Some("step `load` failed".to_owned());
        runs::end(&mut batch, &tenant, run.run, &RunEnd { status, at: when, failure });
        batch
    };
    db.store.apply(end(RunStatus::Failure, at(5))).await.unwrap();
    assert_eq!(conflict(db.store.apply(end(RunStatus::Success, at(9))).await), "END_RUN");
    let row = db.store.run(&tenant, run.run).await.unwrap().unwrap();
    let times = (row.started_at, row.ended_at);
    assert_eq!(times, (Some(at(3)), Some(at(5))), "the second end stored nothing of its batch");
}

async fn runs_are_counted_by_status_since_a_time(db: Db) {
    let tenant = tenant("a");
    claimed(&db.store, &tenant, run_id(1)).await;
    for number in 2..5 {
        queue(&db.store, &tenant, run_id(number)).await;
    }
    let counts = db.store.run_counts(std::slice::from_ref(&tenant), at(0)).await.unwrap();
    let counts: Vec<_> = counts.into_iter().collect();
    assert_eq!(counts, [(RunStatus::Queued, 3), (RunStatus::Starting, 1)]);
    let recent = db.store.run_counts(&[tenant], at(1_004)).await.unwrap();
    assert_eq!(recent.into_iter().collect::<Vec<_>>(), [(RunStatus::Queued, 1)]);
}

/// A run of a thing that is over: of a job of this name, or of assets where it begins with `+`;
/// with a partition behind an `@`.
async fn over(store: &Store, tenant: &TenantId, (number, thing, status): (u32, &str, RunStatus)) {
    let (title, part) = thing.split_once('@').unwrap_or((thing, ""));
    let job: Option<JobName> = (!title.starts_with('+')).then(|| title.parse().unwrap());
    let partition: Option<PartitionKey> = (!part.is_empty()).then(|| part.parse().unwrap());
    let mut batch = Batch::for_tenant(tenant);
    let new = NewRun {
        tenant,
        run: run_id(number),
        location: &"files".parse().unwrap(),
        job: job.as_ref(),
        title,
        cause: &Cause::User { name: "ann".to_owned() },
        partition: partition.as_ref(),
        tags: &BTreeMap::new(),
        context: &serde_json::Map::new(),
        plan: &ContentHash::of(b"plan"),
        steps: 1,
        queued_at: at(1),
    };
    runs::insert(&mut batch, &new);
    runs::end(&mut batch, tenant, run_id(number), &RunEnd { status, at: at(5), failure: None });
    store.apply(batch).await.unwrap();
}

async fn what_failed_last_is_found_by_what_it_is_about_and_not_by_how_new_it_is(db: Db) {
    let (store, tenant, other) = (&db.store, tenant("a"), tenant("b"));
    let (failed, good) = (RunStatus::Failure, RunStatus::Success);
    let things = [
        (1, "old", failed),
        (2, "+given up", failed),
        (3, "+aside", failed),
        (4, "mended", failed),
        (5, "mended", good),
        (6, "+far back", failed),
        (7, "parts@x", failed),
        (8, "parts@y", good),
        (9, "+new", failed),
        (10, "old", RunStatus::Canceled),
    ];
    for thing in things {
        over(store, &tenant, thing).await;
    }
    over(store, &other, (11, "old", good)).await;
    let mut letters = Batch::for_tenant(&tenant);
    for number in [2, 3, 4, 7] {
        let reason = GaveUp::new(FailureCause::Step, 2);
        dead_letters::insert(&mut letters, (&tenant, run_id(number)), (reason, "no"), at(5));
    }
    let closed = Closed { outcome: ClosedAs::Discarded, by: "ann".to_owned(), at: at(6) };
    dead_letters::close(&mut letters, (&tenant, run_id(3)), &closed, Expect::Rows(1));
    store.apply(letters).await.unwrap();

    let jobs: Vec<JobName> = ["old", "mended", "parts"].map(|job| job.parse().unwrap()).into();
    let jobs: Vec<&JobName> = jobs.iter().collect();
    let found = async |among| {
        let rows = store.last_failed(&tenant, among).await.unwrap();
        rows.into_iter().map(|row| row.run_id).collect::<Vec<_>>()
    };
    let all = Among { jobs: &jobs, letters: 4, newest: 2 };
    assert_eq!(found(all).await, [9, 7, 2, 1].map(run_id));
    assert_eq!(found(Among { letters: 1, ..all }).await, [9, 7, 1].map(run_id));
    assert_eq!(found(Among { newest: 5, ..all }).await, [9, 7, 6, 2, 1].map(run_id));
}

async fn dead_letters_are_listed_by_when_they_were_given_up_page_by_page(db: Db) {
    let (store, tenants) = (&db.store, [tenant("a"), tenant("b")]);
    for (of, number, seconds) in [(0, 1, 9), (0, 2, 7), (1, 3, 8), (0, 4, 7), (0, 5, 5), (0, 6, 8)]
    {
        queue(store, &tenants[of], run_id(number)).await;
        let reason = GaveUp::new(FailureCause::Step, 2);
        let mut batch = Batch::for_tenant(&tenants[of]);
        let named = (&tenants[of], run_id(number));
        dead_letters::insert(&mut batch, named, (reason, "no"), at(seconds));
        if number == 4 {
            let closed = Closed { outcome: ClosedAs::Discarded, by: "ann".to_owned(), at: at(10) };
            dead_letters::close(&mut batch, named, &closed, Expect::Rows(1));
        }
        store.apply(batch).await.unwrap();
    }
    let page = async |of: usize, filter, before: Option<u32>| {
        let page = (filter, before.map(run_id));
        let letters = store.dead_letters(&tenants[of], page, 3).await.unwrap();
        letters.into_iter().map(|it| it.run_id).collect::<Vec<_>>()
    };
    let (open, all) = (DeadLetterFilter::Open, DeadLetterFilter::All);
    assert_eq!(page(0, all, None).await, [1, 6, 4].map(run_id));
    assert_eq!(page(0, all, Some(4)).await, [2, 5].map(run_id));
    assert_eq!(page(0, open, None).await, [1, 6, 2].map(run_id));
    assert_eq!(page(0, open, Some(4)).await, [2, 5].map(run_id));
    assert_eq!(page(0, open, Some(9)).await, [], "of no dead letter");
    assert_eq!(page(0, open, Some(3)).await, [], "it is another tenant's");
    assert_eq!(page(1, open, None).await, [3].map(run_id));
}

async fn what_goes_on_of_a_tenant_is_counted_and_found_by_its_runs(db: Db) {
    let (store, tenant) = (&db.store, tenant("a"));
    for number in 1..4 {
        claimed(store, &tenant, run_id(number)).await;
    }
    queue(store, &tenant, run_id(4)).await;
    assert_eq!(store.count_in_progress_of(&tenant).await.unwrap(), 3);
    assert_eq!(store.count_in_progress_of(&"b".parse().unwrap()).await.unwrap(), 0);
    let wanted = [4, 1, 9].map(run_id);
    let found = store.runs_among(&tenant, &wanted).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|row| (row.run_id, row.status)).collect();
    assert_eq!(found, [(run_id(4), RunStatus::Queued), (run_id(1), RunStatus::Starting)]);
}

async fn a_plan_is_stored_once_and_read_back(db: Db) {
    let tenant = tenant("a");
    let plan = serde_json::json!({
        "tenant": "a", "tenant_def": {"enabled": true}, "location": "files", "job": null, "partition": null,
        "steps": [], "resources": {}, "max_parallel": null,
    });
    let plan: RunPlan = serde_json::from_value(plan).unwrap();
    let json = serde_json::to_string(&plan).unwrap();
    let hash = RunPlan::hash(&json);
    for _ in 0..2 {
        let mut batch = Batch::for_tenant(&tenant);
        millstream_store::plans::insert(&mut batch, &tenant, &hash, &json);
        db.store.apply(batch).await.unwrap();
    }
    assert_eq!(db.store.plan(&tenant, &hash).await.unwrap(), Some(plan));
    assert_eq!(db.store.plan(&crate::fixture::tenant("b"), &hash).await.unwrap(), None);
}

async fn an_override_is_kept_until_it_is_taken_back(db: Db) {
    let (tenant, location, job) =
        (tenant("a"), "files".parse().unwrap(), "etl/load".parse().unwrap());
    let word = |enabled| JobOverride { location: &location, job: &job, enabled, by: "ann" };
    for enabled in [Some(true), Some(false)] {
        db.store.apply(overrides::set(&tenant, &word(enabled), at(1))).await.unwrap();
    }
    let words = db.store.job_overrides(&tenant, &location).await.unwrap();
    assert_eq!(words.get(&job), Some(&false));
    let said = db.store.job_words(&tenant, &location).await.unwrap().remove(&job).unwrap();
    assert_eq!((said.on, said.by.as_str(), said.at), (false, "ann", at(1)));
    db.store.apply(overrides::set(&tenant, &word(None), at(2))).await.unwrap();
    assert!(db.store.job_overrides(&tenant, &location).await.unwrap().is_empty());
}

async fn the_plans_of_runs_that_are_not_over_are_listed_page_by_page(db: Db) {
    let (a, b) = (tenant("a"), tenant("b"));
    assert_eq!(db.store.tenants_with_runs(9).await.unwrap(), []);
    for (tenant, number) in [(&a, 0), (&a, 1), (&b, 2)] {
        queue(&db.store, tenant, run_id(number)).await;
    }
    assert_eq!(db.store.tenants_with_runs(9).await.unwrap(), [a.clone(), b.clone()]);
    assert!(db.store.has_history(&b).await.unwrap());
    assert!(!db.store.has_history(&tenant("c")).await.unwrap());
    let plan = ContentHash::of(b"plan");
    let of_a = db.store.plans_of_live_runs(&a, "", 9).await.unwrap();
    assert_eq!(of_a, std::slice::from_ref(&plan), "its runs have one plan");
    assert_eq!(db.store.plans_of_live_runs(&a, plan.as_str(), 9).await.unwrap(), []);
}
