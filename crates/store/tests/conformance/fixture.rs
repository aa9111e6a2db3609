//! Rows that cases begin with: one visible difference from the default each.

use std::collections::BTreeMap;

use millstream_model::{
    Cause, ContentHash, Event, EventBody, LocationName, PartitionKey, RunId, StepKey, TenantId,
    Timestamp,
};
use millstream_store::runs::NewRun;
use millstream_store::{Batch, Sql, Store, StoreError, Value, events, leases, live, runs};

/// A point in time, in seconds after the epoch.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// The `number`th run; later ones have higher ids.
pub(crate) fn run_id(number: u32) -> RunId {
    let mut random = [0; 10];
    random[6..].copy_from_slice(&number.to_be_bytes());
    RunId::new(at(1_000 + i64::from(number)), random)
}

pub(crate) fn text(value: &impl ToString) -> Value {
    Value::Text(value.to_string())
}

/// A batch with a run in the queue.
pub(crate) fn queued(tenant: &TenantId, run: RunId, priority: i64) -> Batch {
    labelled(tenant, run, priority, &BTreeMap::new())
}

/// A batch with a run of a job in the queue that is about a partition.
pub(crate) fn of_partition(tenant: &TenantId, run: RunId, of: (&str, &PartitionKey)) -> Batch {
    inserted((tenant, run), 0, &BTreeMap::new(), (of.0, Some(of.1)))
}

/// A batch with a run in the queue that has labels.
pub(crate) fn labelled(
    tenant: &TenantId,
    run: RunId,
    priority: i64,
    tags: &BTreeMap<String, String>,
) -> Batch {
    inserted((tenant, run), priority, tags, ("orders", None))
}

fn inserted(
    (tenant, run): (&TenantId, RunId),
    priority: i64,
    tags: &BTreeMap<String, String>,
    (job, partition): (&str, Option<&PartitionKey>),
) -> Batch {
    let location: LocationName = "files".parse().unwrap();
    let (job, context) = (job.parse().unwrap(), serde_json::Map::new());
    let (cause, plan) = (Cause::User { name: "ann".to_owned() }, ContentHash::of(b"plan"));
    let mut batch = Batch::for_tenant(tenant);
    let new = NewRun {
        tenant,
        run,
        location: &location,
        job: Some(&job),
        title: "orders",
        cause: &cause,
        partition,
        tags,
        context: &context,
        plan: &plan,
        steps: 2,
        queued_at: at(1),
    };
    runs::insert(&mut batch, &new);
    // The lane as `decide` would say, for a run that no limit is about.
    let lane = format!("{:010}", 5_000_000_000 - priority);
    let waiting = live::NewLiveRun {
        tenant,
        run,
        priority,
        lane: &lane,
        tags,
        queued_at: at(1),
        timeout: None,
        again: false,
    };
    live::insert(&mut batch, &waiting);
    batch
}

/// Puts a run into the queue.
pub(crate) async fn queue(store: &Store, tenant: &TenantId, run: RunId) {
    store.apply(queued(tenant, run, 0)).await.unwrap();
}

/// The lease called `name`, held by `holder` for the first time; returns its fence.
pub(crate) async fn hold_lease(store: &Store, name: &str, holder: &str) -> i64 {
    store.apply(leases::create(name, holder)).await.unwrap();
    store.lease(name).await.unwrap().unwrap().fence
}

/// A queued run that the daemon `d` has claimed for the first time.
pub(crate) async fn claimed(
    store: &Store,
    tenant: &TenantId,
    run: RunId,
) -> millstream_model::ClaimedRun {
    queue(store, tenant, run).await;
    let fence = match store.lease("queue").await.unwrap() {
        Some(lease) => lease.fence,
        None => hold_lease(store, "queue", "d").await,
    };
    let batch = live::claim_queued_runs(&[(tenant.clone(), run)], "d", fence);
    let rows = store.apply(batch).await.unwrap().rows(0);
    live::claimed(rows).unwrap().remove(0)
}

/// An event of a worker of `run`.
pub(crate) fn event(tenant: &TenantId, run: RunId, epoch: i64, seq: i64) -> Event {
    let step: StepKey = "extract".parse().unwrap();
    let body = EventBody::StepStarted { step, attempt: 1 };
    Event { v: 1, at: at(2), tenant: tenant.clone(), run, epoch, seq, body }
}

/// A batch of one event.
pub(crate) fn event_batch(tenant: &TenantId, id: &str, event: &Event) -> Batch {
    let mut batch = Batch::for_tenant(tenant);
    events::insert(&mut batch, tenant, id, std::slice::from_ref(event));
    batch
}

/// Publishes until nothing is left, under a lease of its own.
pub(crate) async fn publish_all(store: &Store) {
    let lease = store.lease(events::PUBLISHER_LEASE).await.unwrap();
    let fence = match lease {
        Some(lease) => lease.fence,
        None => hold_lease(store, events::PUBLISHER_LEASE, "p").await,
    };
    while store.publish("p", fence).await.unwrap() > 0 {}
}

/// The statement that `outcome` says was beaten by someone faster.
pub(crate) fn conflict<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> &'static str {
    match outcome {
        Err(StoreError::Conflict { statement }) => statement,
        other => panic!("{other:?} is no conflict"),
    }
}

/// The statement whose key `outcome` says is taken.
pub(crate) fn duplicate<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> &'static str {
    match outcome {
        Err(StoreError::Duplicate { statement }) => statement,
        other => panic!("{other:?} is no duplicate"),
    }
}

/// What `outcome` says the database refused.
pub(crate) fn refused<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> String {
    match outcome {
        Err(StoreError::Refused { message, .. }) => message,
        other => panic!("{other:?} is no refusal"),
    }
}

/// Asserts that `outcome` says the database does not answer.
pub(crate) fn assert_unavailable<T: std::fmt::Debug>(outcome: &Result<T, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
}

/// Settings as plain rows, for cases about batches as such.
pub(crate) static SET: Sql =
    Sql { name: "SET", text: "INSERT INTO instance (key, value) VALUES ($1, $2)" };

/// Changes a setting.
pub(crate) static CHANGE: Sql =
    Sql { name: "CHANGE", text: "UPDATE instance SET value = $2 WHERE key = $1" };
