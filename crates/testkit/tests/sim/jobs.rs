//! Random jobs: graphs of steps with retries, limits and pools.

use std::collections::BTreeMap;

use millstream_model::{
    Backoff, FileManifest, HumanDuration, JobDef, LimitScope, OpDef, PoolDef, PoolUse, QueueDef,
    RetryPolicy, TagLimit, TagValues,
};
use millstream_testkit::chance::Chance;
use millstream_testkit::definitions::{job, op};

/// A job of at most `steps_max` steps.
pub(crate) fn random(name: &str, steps_max: u64, chance: &mut Chance) -> JobDef {
    let count = 1 + chance.below(steps_max);
    let ops = (0..count).map(|place| random_op(place, chance)).collect();
    let mut job = job(name, ops);
    job.max_parallel = match chance.below(4) {
        0 => None,
        limit => Some(u32::try_from(limit).unwrap()),
    };
    job
}

fn random_op(place: u64, chance: &mut Chance) -> OpDef {
    let above: Vec<String> =
        (0..place).filter(|_| chance.happens(1, 3)).map(|above| format!("s{above}")).collect();
    let above: Vec<&str> = above.iter().map(String::as_str).collect();
    let mut op = op(&format!("s{place}"), &above);
    op.retry = chance.happens(1, 2).then(|| RetryPolicy {
        max: u32::try_from(chance.below(3)).unwrap(),
        delay: HumanDuration::from_secs(chance.below(4)),
        backoff: Backoff::Exponential,
        jitter: true,
    });
    op.pool = chance.happens(1, 2).then(|| {
        let name = if chance.happens(1, 2) { OWN_POOL } else { SHARED_POOL };
        let slots = 1 + u32::try_from(chance.below(2)).unwrap();
        PoolUse { name: name.parse().unwrap(), slots }
    });
    op
}

/// A pool that each tenant has for itself.
pub(crate) const OWN_POOL: &str = "own";

/// A pool that all tenants share.
pub(crate) const SHARED_POOL: &str = "shared";

/// The label whose values are limited.
pub(crate) const LIMITED: &str = "quarter";

/// `file` with random pools and limits.
pub(crate) fn limited(file: FileManifest, chance: &mut Chance) -> FileManifest {
    let mut pool = |scope| PoolDef { slots: 2 + u32::try_from(chance.below(3)).unwrap(), scope };
    let pools = BTreeMap::from([
        (OWN_POOL.parse().unwrap(), pool(LimitScope::Tenant)),
        (SHARED_POOL.parse().unwrap(), pool(LimitScope::Instance)),
    ]);
    let limit = 1 + u32::try_from(chance.below(2)).unwrap();
    let (key, values, scope) = (LIMITED.to_owned(), TagValues::Each, LimitScope::Tenant);
    let tag_limits = vec![TagLimit { key, values, limit, scope }];
    FileManifest { pools, queue: QueueDef { tag_limits, ..QueueDef::default() }, ..file }
}
