//! Random jobs: graphs of steps with retries and limits.

use millstream_model::{Backoff, HumanDuration, JobDef, OpDef, RetryPolicy};
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
    op
}
