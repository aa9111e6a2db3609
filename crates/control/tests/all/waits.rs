//! What is said of runs and steps that wait, beyond the limits themselves.

use std::collections::BTreeMap;

use millstream_control::RunFilter;
use millstream_model::{FileManifest, LimitScope, PoolDef, TenantId};
use millstream_testkit::definitions::{file_of_jobs, job, with_tenants};

use crate::bench::{Bench, TestWorker, request, started};
use crate::limits::{granted, pooled};

/// An instance of these tenants whose job `etl` needs a slot of the pool `warehouse`.
async fn pool_bench(pool: PoolDef, tenants: &[&str]) -> Bench {
    let pools = BTreeMap::from([("warehouse".parse().unwrap(), pool)]);
    let file = file_of_jobs(vec![job("etl", vec![pooled("a", 1)])]);
    Bench::of(with_tenants(FileManifest { pools, ..file }, tenants)).await
}

/// A run of `etl` whose worker has started and asked for its slot.
async fn asking<'a>(bench: &'a Bench, tenant: &TenantId) -> TestWorker<'a> {
    let job = "etl".parse().unwrap();
    let run = bench.control.launch_job(&request(tenant), &job).await.unwrap().run_id;
    let mut worker = bench.claimed(run).await;
    worker.say(vec![started()]).await.unwrap();
    granted(bench, &worker, &["a"]).await;
    worker
}

#[tokio::test]
async fn the_slots_that_other_tenants_hold_of_a_shared_pool_are_counted_and_no_run_of_theirs_named()
{
    let tenants = ["ta", "tb"].map(|id| id.parse::<TenantId>().unwrap());
    let shared = pool_bench(PoolDef { slots: 1, scope: LimitScope::Instance }, &["ta", "tb"]).await;
    asking(&shared, &tenants[0]).await;
    let waits = asking(&shared, &tenants[1]).await;
    let pool = shared.control.queue_view(&tenants[1]).await.unwrap().pools.remove(0);
    assert_eq!((pool.held_by.len(), pool.held_by_others, pool.waiting.len()), (0, 1, 1));
    let pool = shared.control.queue_view(&tenants[0]).await.unwrap().pools.remove(0);
    assert_eq!((pool.held_by.len(), pool.held_by_others, pool.waiting.len()), (1, 0, 0));
    let view = shared.control.run_view(&tenants[1], waits.run()).await.unwrap();
    let why = "waiting for pool `warehouse` (1 of 1 slots held, 1 by other tenants)";
    assert_eq!(view.steps[0].reason.as_deref(), Some(why));

    let own = pool_bench(PoolDef { slots: 1, scope: LimitScope::Tenant }, &["ta", "tb"]).await;
    asking(&own, &tenants[0]).await;
    let pool = own.control.queue_view(&tenants[1]).await.unwrap().pools.remove(0);
    assert_eq!(pool.held_by_others, 0, "each has such a pool for itself");
}

#[tokio::test]
async fn a_job_and_a_list_say_what_a_run_that_goes_on_waits_for_as_the_run_does() {
    let tenant = TenantId::default_tenant();
    let pool = PoolDef { slots: 0, scope: LimitScope::Tenant };
    let bench = pool_bench(pool, &[tenant.as_str()]).await;
    let run = asking(&bench, &tenant).await.run();
    let waits = "step a is waiting for pool `warehouse`, which has no slots";
    let answer = bench.control.why(&tenant, &run.to_string()).await.unwrap().answer;
    assert_eq!(answer, format!("It runs: 0 of 1 steps are over; {waits}."));
    let answer = bench.control.why(&tenant, "etl").await.unwrap().answer;
    let run = run.short();
    let goes_on = format!("its newest run {run} goes on: 0 of 1 steps are over; {waits}");
    assert_eq!(answer, format!("It is on: {goes_on}."));
    let listed = bench.control.newest_runs(&tenant, &RunFilter::default(), 9).await.unwrap();
    assert_eq!(listed[0].waits.as_deref(), Some(waits));
}
