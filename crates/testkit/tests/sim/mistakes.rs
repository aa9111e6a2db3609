//! Mistakes that are planted to be found: a simulator that finds none of them proves nothing.

use millstream_store::Sql;

use crate::world::{Plan, simulate};

/// Seeds within which each mistake must be found.
const BUDGET: u64 = 40;

/// A report without its fence: a worker that was replaced is heard.
static NO_FENCE: Sql = Sql {
    name: "ADVANCE_LIVE_RUN",
    text: "UPDATE live_run SET seq = $5, beat = beat + 1 WHERE tenant = $1 AND run = $2 \
           RETURNING cancel_requested",
};

/// A run that goes to its next worker without a new epoch.
static NO_NEW_EPOCH: Sql = Sql {
    name: "CLAIM_QUEUED_RUNS",
    text: "UPDATE live_run \
           SET status = 'STARTING', epoch = MAX(epoch, 1), seq = -1, beat = 0, hold = NULL \
           WHERE status = 'QUEUED' AND (tenant, run) IN (/*pairs $1*/) \
             AND EXISTS (SELECT 1 FROM lease WHERE name = 'queue' AND holder = $2 AND fence = $3) \
           RETURNING tenant, run, epoch",
};

/// A claim that looks at the lease before it and not in it: look up, then write.
static CLAIM_WITHOUT_LEASE: Sql = Sql {
    name: "CLAIM_QUEUED_RUNS",
    text: "UPDATE live_run \
           SET status = 'STARTING', epoch = epoch + 1, seq = -1, beat = 0, hold = NULL \
           WHERE status = 'QUEUED' AND (tenant, run) IN (/*pairs $1*/) AND $2 <> '' AND $3 > 0 \
           RETURNING tenant, run, epoch",
};

/// A change of status that does not name the old one.
static NO_COMPARE: Sql = Sql {
    name: "MOVE_LIVE_RUN",
    text: "UPDATE live_run SET status = $5 WHERE tenant = $1 AND run = $2 AND $3 >= 0 \
           AND $4 <> ''",
};

/// The seed that finds `mistake`.
fn found_by(mistake: &'static Sql) -> Option<u64> {
    (1..=BUDGET).find(|seed| {
        let plan = Plan { mistake: Some(mistake), ..crate::anything(*seed) };
        simulate(&plan).is_err()
    })
}

#[test]
fn a_report_without_its_fence_is_found() {
    assert!(found_by(&NO_FENCE).is_some());
}

#[test]
fn a_requeued_run_without_a_new_epoch_is_found() {
    assert!(found_by(&NO_NEW_EPOCH).is_some());
}

#[test]
fn a_claim_without_the_lease_is_found() {
    assert!(found_by(&CLAIM_WITHOUT_LEASE).is_some());
}

#[test]
fn a_change_of_status_without_the_old_one_is_found() {
    assert!(found_by(&NO_COMPARE).is_some());
}
