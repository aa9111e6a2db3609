//! An instance in memory with a job of one step, and what launches it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_control::{Control, LocationChange, Seams, Store};
use millstream_model::{RunRequest, TenantId};
use millstream_testkit::chance::SeededEntropy;
use millstream_testkit::definitions::{file_of_jobs, job, live, op};
use millstream_testkit::time::FakeClock;

/// An instance whose location `local` has the job `etl`.
pub(crate) async fn with_job(clock: Arc<FakeClock>) -> Control {
    let seams = Seams { clock, entropy: Arc::new(SeededEntropy::new(1)) };
    let control = Control::new(Store::in_memory().unwrap(), seams);
    let location = "local".parse().unwrap();
    control.add_location(&location, "/definitions").await.unwrap();
    let files = vec![live("defs.yaml", file_of_jobs(vec![job("etl", vec![op("a", &[])])]))];
    let seen_version = control.location_version(&location).await.unwrap();
    let change = LocationChange { location, seen_version, files, stale: None };
    control.apply_scan(&change).await.unwrap();
    control
}

/// What asks for a run of a job by hand.
pub(crate) fn request() -> RunRequest {
    RunRequest {
        tenant: TenantId::default_tenant(),
        cause: Control::by_hand("ana"),
        partition: None,
        context: serde_json::Map::new(),
        tags: BTreeMap::new(),
    }
}
