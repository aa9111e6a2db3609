//! Sample rows of schedules and their ticks.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_model::view::{ScheduleRow, SwitchWord, TickRequest, TickTest};
use millstream_model::{
    CatchUp, ErrorCode, SkipReason, TickKind, TickRow, TickRun, TickSource, TickStatus, TickWarning,
};

use crate::samples::{before, now, run_id, tenant};

pub(crate) fn rows() -> Vec<ScheduleRow> {
    let row = |name: &str, cron: &str| ScheduleRow {
        tenant: tenant(),
        location: "project".parse().unwrap(),
        name: name.parse().unwrap(),
        description: Some("The metrics by day".to_owned()),
        cron: cron.to_owned(),
        timezone: "America/New_York".to_owned(),
        job: Some("marts_refresh".parse().unwrap()),
        select: None,
        partitions: None,
        catch_up: CatchUp::Last,
        max_active_runs: Some(1),
        deadline: None,
        exclude: Vec::new(),
        when: None,
        run_key: None,
        tags: BTreeMap::new(),
        start: None,
        end: None,
        enabled: true,
        enabled_default: true,
        enabled_override: None,
        unclear: None,
        job_off: false,
        next_at: Some(now().after(Duration::from_hours(3))),
        waits: None,
        waits_for: None,
        late_since: None,
        waiting: None,
        passed: None,
        last_tick: ticks().into_iter().next(),
    };
    let word = SwitchWord { on: false, by: "ana".to_owned(), at: before(90) };
    vec![
        row("marts_refresh", "*/5 * * * *"),
        ScheduleRow {
            enabled: false,
            enabled_override: Some(word),
            next_at: None,
            ..row("nightly", "0 3 * * *")
        },
    ]
}

pub(crate) fn ticks() -> Vec<TickRow> {
    let tick = |seconds: u64, status| TickRow {
        source: TickSource {
            kind: TickKind::Schedule,
            location: "project".parse().unwrap(),
            name: "nightly".to_owned(),
        },
        nominal: before(seconds),
        decided_at: before(seconds - 1),
        status,
        skipped: None,
        error: None,
        warnings: Vec::new(),
        requested: 0,
        times: 1,
        since: None,
        runs: Vec::new(),
    };
    let run = TickRun { run_key: "a".to_owned(), run_id: run_id(1), partition: None };
    let warning = TickWarning {
        partition: None,
        code: ErrorCode::PartitionKey,
        message: "Invalid partition key format: broken".to_owned(),
    };
    vec![
        TickRow {
            requested: 9,
            runs: vec![run],
            warnings: vec![warning.clone()],
            ..tick(60, TickStatus::Launched)
        },
        TickRow {
            skipped: Some(SkipReason::Overlap { active: 1, limit: 1 }),
            ..tick(360, TickStatus::Skipped)
        },
        TickRow { error: Some(warning), ..tick(660, TickStatus::Failed) },
    ]
}

pub(crate) fn test() -> TickTest {
    TickTest {
        nominal: now(),
        status: TickStatus::Launched,
        skipped: None,
        error: None,
        warnings: Vec::new(),
        requests: vec![TickRequest {
            run_key: "jfk_flights_day_20260602".to_owned(),
            partition: Some("jfk::day::flights".parse().unwrap()),
            tags: std::collections::BTreeMap::new(),
            is_known: false,
        }],
        enabled: true,
        in_the_way: None,
    }
}
