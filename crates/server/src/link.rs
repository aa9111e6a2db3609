//! The addresses of pages and actions.
//!
//! Templates never build an address: a name may contain anything (`production/etl`, `a::b`), and
//! only this file knows how it stands in a path: as one percent-encoded segment.

use std::fmt::Write as _;

use millstream_model::{AssetKey, JobName, RunId, ScheduleName, SensorName, TenantId, TickKind};

/// `text` as one segment of a path or one value of a query.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _written = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The first page of a tenant.
pub fn now(tenant: &TenantId) -> String {
    format!("/{tenant}")
}

/// The runs of a tenant.
pub fn runs(tenant: &TenantId) -> String {
    format!("/{tenant}/runs")
}

/// The runs that `query`, in the filter's grammar, leaves.
pub fn runs_where(tenant: &TenantId, query: &str) -> String {
    format!("/{tenant}/runs?q={}", segment(query))
}

/// The page of a run.
pub fn run(tenant: &TenantId, id: &RunId) -> String {
    format!("/{tenant}/runs/{id}")
}

/// The page of a run of which the end of the id is known.
pub fn short_run(tenant: &TenantId, short: &str) -> String {
    format!("/{tenant}/runs/{}", segment(short))
}

/// Where a run's page posts its cancel button.
pub fn cancel(tenant: &TenantId, id: &RunId) -> String {
    format!("/{tenant}/runs/{id}/cancel")
}

/// Where a webhook's sensor is posted to.
pub fn hook(tenant: &TenantId, name: &SensorName) -> String {
    format!("/{tenant}/hooks/{}", segment(name.as_str()))
}

/// Where a failed run's page posts its retry button.
pub fn retry(tenant: &TenantId, id: &RunId) -> String {
    format!("/{tenant}/runs/{id}/retry")
}

/// Why something is as it is.
pub fn why(tenant: &TenantId, subject: &str) -> String {
    format!("/{tenant}/why/{}", segment(subject))
}

/// The same, for programs.
pub fn why_api(tenant: &TenantId, subject: &str) -> String {
    format!("/{tenant}/api/v1/why/{}", segment(subject))
}

/// The runs that were given up.
pub fn dead_letters(tenant: &TenantId) -> String {
    format!("/{tenant}/dead-letters")
}

/// Where a dead letter is put aside.
pub fn discard(tenant: &TenantId, id: &RunId) -> String {
    format!("/{tenant}/dead-letters/{id}/discard")
}

/// The assets of a tenant.
pub fn assets(tenant: &TenantId) -> String {
    format!("/{tenant}/assets")
}

/// The page of an asset.
pub fn asset(tenant: &TenantId, key: &AssetKey) -> String {
    format!("/{tenant}/assets/{}", segment(&key.to_string()))
}

/// Where an asset's page posts its form.
pub fn materialize(tenant: &TenantId, key: &AssetKey) -> String {
    format!("{}/materialize", asset(tenant, key))
}

/// What runs by itself in a tenant.
pub fn automation(tenant: &TenantId) -> String {
    format!("/{tenant}/automation")
}

/// The page of a job.
pub fn job(tenant: &TenantId, name: &JobName) -> String {
    format!("/{tenant}/jobs/{}", segment(name.as_str()))
}

/// Where a job's page posts its launch form.
pub fn launch(tenant: &TenantId, name: &JobName) -> String {
    format!("{}/launch", job(tenant, name))
}

/// Where the switch of a job posts: paused, resumed, or back to the file's word.
pub fn switch(tenant: &TenantId, name: &JobName) -> String {
    format!("{}/switch", job(tenant, name))
}

/// The page of what ticks.
pub fn ticking(tenant: &TenantId, kind: TickKind, name: &str) -> String {
    let pages = match kind {
        TickKind::Schedule => "schedules",
        TickKind::Sensor => "sensors",
    };
    format!("/{tenant}/{pages}/{}", segment(name))
}

/// The page of a schedule.
pub fn schedule(tenant: &TenantId, name: &ScheduleName) -> String {
    ticking(tenant, TickKind::Schedule, name.as_str())
}

/// Where the switch of a schedule posts: started, stopped, or back to the file's word.
pub fn schedule_switch(tenant: &TenantId, name: &ScheduleName) -> String {
    format!("{}/switch", schedule(tenant, name))
}

/// Where a schedule's page asks what a tick would do.
pub fn schedule_test(tenant: &TenantId, name: &ScheduleName) -> String {
    format!("{}/test", schedule(tenant, name))
}

/// The page of a sensor.
pub fn sensor(tenant: &TenantId, name: &SensorName) -> String {
    ticking(tenant, TickKind::Sensor, name.as_str())
}

/// Where the switch of a sensor posts: started, stopped, or back to the file's word.
pub fn sensor_switch(tenant: &TenantId, name: &SensorName) -> String {
    format!("{}/switch", sensor(tenant, name))
}

/// Where a sensor's page has it tick now.
pub fn sensor_tick(tenant: &TenantId, name: &SensorName) -> String {
    format!("{}/tick", sensor(tenant, name))
}

/// Where a sensor's page asks what a tick would do.
pub fn sensor_test(tenant: &TenantId, name: &SensorName) -> String {
    format!("{}/test", sensor(tenant, name))
}

/// The definition files.
pub fn definitions(tenant: &TenantId) -> String {
    format!("/{tenant}/system")
}

/// A definition file with its versions.
pub fn file(tenant: &TenantId, name: &str) -> String {
    format!("{}/files/{}", definitions(tenant), segment(name))
}

/// What waits in the queue and for pools.
pub fn queue(tenant: &TenantId) -> String {
    format!("/{tenant}/system/queue")
}

/// The daemons of the instance.
pub fn daemons(tenant: &TenantId) -> String {
    format!("/{tenant}/system/daemons")
}

/// The tenants of the instance.
pub fn tenants(tenant: &TenantId) -> String {
    format!("/{tenant}/system/tenants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_slashes_stays_one_segment() {
        let tenant = TenantId::default_tenant();
        let name: JobName = "production/daily etl".parse().unwrap();
        assert_eq!(launch(&tenant, &name), "/default/jobs/production%2Fdaily%20etl/launch");
        let key: AssetKey = r"a\/b/ü".parse().unwrap();
        assert_eq!(asset(&tenant, &key), "/default/assets/a%5C%2Fb%2F%C3%BC");
    }
}
