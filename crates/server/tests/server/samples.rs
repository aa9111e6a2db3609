//! Sample rows for pages: a small instance with everything that can go wrong, frozen at one time.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_model::view::{
    AssetRow, EventRow, FileRow, FileState, JobRow, MadeBy, MaterializationRow, PartitionRow,
    PartitionState, PoolRow, PoolStepRow, QueueRow, QueueView, RunRow, StepRow, SwitchWord,
    TenantRow,
};
use millstream_model::{
    Cause, Closed, ClosedAs, ContentHash, DaemonRow, DeadLetter, Diagnostic, ErrorCode, Event,
    EventBody, HoldReason, HumanDuration, LimitFrom, LimitScope, LoopRow, LoopState, MetadataKind,
    MetadataValue, Place, PlannedRetry, RetryFrom, RunId, RunStatus, Severity, StepError,
    StepStatus, StepUsage, TenantDef, TenantId, Timestamp,
};
use millstream_server::frame::{Frame, Section, Theme};
use serde_json::json;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(1_763_545_260_000_000)
}

pub(crate) fn before(seconds: u64) -> Timestamp {
    Timestamp::from_micros(now().as_micros() - i64::try_from(seconds).unwrap() * 1_000_000)
}

pub(crate) fn tenant() -> TenantId {
    "jfk".parse().unwrap()
}

pub(crate) fn frame(section: Section, theme: Theme) -> Frame {
    Frame {
        tenant: tenant(),
        tenants: ["ewr", "jfk", "lga"].map(|id| id.parse().unwrap()).to_vec(),
        section,
        theme,
        here: "/jfk".to_owned(),
        topics: "runs".to_owned(),
        problems: 2,
        broken: 1,
        round: 0,
        notice: None,
        idle: None,
    }
}

pub(crate) fn run_id(number: u8) -> RunId {
    let seed = number.wrapping_mul(73);
    RunId::new(before(u64::from(number) * 300), [seed, 1, 7, 9, 3, seed, 0x5c, seed, 0x0e, seed])
}

/// A run that succeeded; tests change what they are about.
pub(crate) fn run(number: u8) -> RunRow {
    let queued_at = before(u64::from(number) * 300 + 60);
    RunRow {
        tenant: tenant(),
        run_id: run_id(number),
        job: Some("marts_refresh".parse().unwrap()),
        title: "marts_refresh".to_owned(),
        status: RunStatus::Success,
        cause: Cause::Schedule { name: "every_five_minutes".to_owned(), nominal: queued_at },
        partition: None,
        tags: BTreeMap::new(),
        queued_at,
        started_at: Some(queued_at.after(Duration::from_millis(420))),
        ended_at: Some(queued_at.after(Duration::from_millis(17_800 + u64::from(number) * 310))),
        steps_total: 8,
        steps_over: 8,
        hold: None,
        waits: None,
        failure: None,
        epoch: 1,
        cancel_requested: false,
        retried_as: None,
    }
}

pub(crate) fn failed_run() -> RunRow {
    RunRow {
        status: RunStatus::Failure,
        title: "production/ingest_daily".to_owned(),
        job: Some("production/ingest_daily".parse().unwrap()),
        partition: Some("2025-11-19".parse().unwrap()),
        cause: Cause::User { name: "ana".to_owned() },
        steps_total: 7,
        steps_over: 7,
        failure: Some(
            "stg_payments: column 'amount_minor' is missing from payments_raw".to_owned(),
        ),
        tags: BTreeMap::from([("team".to_owned(), "finance".to_owned())]),
        epoch: 2,
        ..run(2)
    }
}

pub(crate) fn runs() -> Vec<RunRow> {
    let mut runs: Vec<RunRow> = (0..24).map(run).collect();
    runs[0] = RunRow {
        status: RunStatus::Queued,
        title: "forecast".to_owned(),
        job: Some("forecast".parse().unwrap()),
        started_at: None,
        ended_at: None,
        hold: Some(HoldReason::NoFreeSlot {
            limit: 10,
            over: 0,
            from: LimitFrom::Settings,
            held_by: Vec::new(),
        }),
        cause: Cause::User { name: "ana".to_owned() },
        ..run(0)
    };
    runs[1] = running_run();
    runs[2] = failed_run();
    runs[5] = RunRow {
        title: "metric_semantic_values and 1 more".to_owned(),
        job: None,
        partition: Some("jfk::day::cancellation_rate".parse().unwrap()),
        cause: Cause::User { name: "developer".to_owned() },
        ..run(5)
    };
    runs[7] = RunRow {
        status: RunStatus::Canceled,
        cause: Cause::User { name: "ben".to_owned() },
        ..run(7)
    };
    runs[9] = RunRow { cause: retry_of(run_id(12)), ..run(9) };
    runs[12] = RunRow {
        status: RunStatus::Failure,
        title: "snapshot".to_owned(),
        failure: Some("the worker was lost: no beat for 30s".to_owned()),
        ..run(12)
    };
    runs
}

pub(crate) fn running_run() -> RunRow {
    RunRow {
        status: RunStatus::Started,
        started_at: Some(before(62)),
        queued_at: before(63),
        ended_at: None,
        steps_over: 5,
        ..run(1)
    }
}

fn step(key: &str, deps: &[&str], start: u64, end: u64) -> StepRow {
    let from = failed_run().started_at.unwrap();
    StepRow {
        step: key.parse().unwrap(),
        kind: "command".to_owned(),
        depends_on: deps.iter().map(|dep| dep.parse().unwrap()).collect(),
        status: StepStatus::Success,
        attempt: 1,
        attempts: 3,
        started_at: Some(from.after(Duration::from_millis(start))),
        ended_at: Some(from.after(Duration::from_millis(end))),
        retry_at: None,
        error: None,
        reason: None,
        result: json!({"rows": 1_200}),
        result_ref: None,
    }
}

pub(crate) fn steps() -> Vec<StepRow> {
    let waiting = |key, deps: &[&str], status, reason: &str| StepRow {
        status,
        attempt: 0,
        started_at: None,
        ended_at: None,
        reason: Some(reason.to_owned()),
        ..step(key, deps, 0, 0)
    };
    vec![
        step("customers_raw", &[], 20, 2_400),
        step("orders_raw", &[], 25, 5_600),
        step("payments_raw", &[], 30, 8_300),
        StepRow {
            status: StepStatus::Skipped,
            reason: Some("no new file since 2025-11-18".to_owned()),
            ..step("fx_rates", &[], 2_500, 2_900)
        },
        step("stg_orders", &["customers_raw", "orders_raw"], 6_900, 9_700),
        StepRow {
            status: StepStatus::Failure,
            attempt: 3,
            error: Some(StepError {
                code: ErrorCode::StepExit,
                message: "ValueError: schema drift: column 'amount_minor' is missing from \
                          payments_raw"
                    .to_owned(),
                detail: Some(
                    "Traceback (most recent call last):\n  File \"defs.py\", line 37, in \
                     stg_payments\n    raise ValueError(f\"schema drift: {missing}\")\nValueError: \
                     schema drift: column 'amount_minor' is missing from payments_raw"
                        .to_owned(),
                ),
            }),
            ..step("stg_payments", &["payments_raw"], 8_350, 17_900)
        },
        waiting(
            "fct_payments",
            &["stg_orders", "stg_payments"],
            StepStatus::UpstreamFailed,
            "stg_payments",
        ),
    ]
}

fn skipped() -> EventBody {
    EventBody::StepSkipped {
        step: "fx_rates".parse().unwrap(),
        attempt: 1,
        reason: "no new file since 2025-11-18".to_owned(),
    }
}

const SECOND: PlannedRetry = PlannedRetry { attempt: 2, delay_micros: 2_000_000 };

const USAGE: StepUsage =
    StepUsage { cpu_micros: 1_900_000, peak_memory_bytes: 96_000_000, output_dropped_bytes: 0 };

/// A failed attempt that used nothing worth a word.
fn failed(step: &str, attempt: u32, error: &StepError, retry: Option<PlannedRetry>) -> EventBody {
    let (step, error) = (step.parse().unwrap(), error.clone());
    EventBody::StepFailed { step, attempt, error, retry, usage: None }
}

pub(crate) fn events() -> Vec<EventRow> {
    let run = failed_run();
    let from = run.queued_at;
    let key = |text: &str| text.parse().unwrap();
    let error = steps()[5].error.clone().unwrap();
    let bodies = [
        (0, EventBody::RunQueued { cause: run.cause.clone() }),
        (420, EventBody::RunStarted { worker: "process 4711 on mill-1".to_owned() }),
        (440, EventBody::StepStarted { step: key("customers_raw"), attempt: 1 }),
        (
            2_820,
            EventBody::StepSucceeded {
                step: key("customers_raw"),
                attempt: 1,
                took_micros: 2_380_000,
                result: json!({"rows": 1_200, "file": "customers.csv"}),
                result_ref: None,
                usage: Some(USAGE),
            },
        ),
        (3_300, skipped()),
        (
            9_000,
            EventBody::Materialized {
                step: key("payments_raw"),
                asset: "raw/payments".parse().unwrap(),
                partition: Some("2025-11-19".parse().unwrap()),
                metadata: BTreeMap::from([("rows".to_owned(), MetadataValue::int(349_913))]),
                data_version: None,
                code_version: "041e9bc0".to_owned(),
                remark: None,
            },
        ),
        (11_000, failed("stg_payments", 1, &error, Some(SECOND))),
        (18_300, failed("stg_payments", 3, &error, None)),
        (
            18_310,
            EventBody::StepUpstreamFailed {
                step: key("fct_payments"),
                upstream: key("stg_payments"),
            },
        ),
        (18_320, EventBody::RunFailed { reason: run.failure.clone().unwrap() }),
    ];
    let row = |(seq, (millis, body)): (usize, (u64, EventBody))| EventRow {
        position: None,
        event: Event {
            v: 1,
            at: from.after(Duration::from_millis(millis)),
            tenant: run.tenant.clone(),
            run: run.run_id,
            epoch: 1,
            seq: i64::try_from(seq).unwrap(),
            body,
        },
    };
    bodies.into_iter().enumerate().map(row).collect()
}

pub(crate) fn jobs() -> Vec<JobRow> {
    let job = |name: &str, schedule: Option<&str>, next: Option<u64>| JobRow {
        location: "project".parse().unwrap(),
        name: name.parse().unwrap(),
        description: Some("Loads yesterday's files and refreshes the marts".to_owned()),
        enabled: true,
        enabled_override: None,
        schedule: schedule.map(ToOwned::to_owned),
        next_at: next.map(|seconds| now().after(Duration::from_secs(seconds))),
        late_since: None,
        steps: 8,
        file: format!("{name}.yaml"),
        version: ContentHash::of(name.as_bytes()),
    };
    vec![
        job("forecast", None, None),
        job("marts_refresh", Some("*/5 * * * *"), Some(130)),
        job("production/ingest_daily", Some("30 6 * * *"), Some(75_000)),
        JobRow {
            enabled: false,
            enabled_override: Some(SwitchWord { on: false, by: "ana".to_owned(), at: now() }),
            ..job("snapshot", Some("@hourly"), None)
        },
    ]
}

pub(crate) fn materialization(number: u8) -> MaterializationRow {
    let flights = 349_913 - i64::from(number) * i64::from(number) * 310;
    let metadata = BTreeMap::from([
        ("flights".to_owned(), MetadataValue::int(flights)),
        ("mean_delay".to_owned(), MetadataValue::float(12.639 + f64::from(number % 5) / 7.0)),
        (
            "made_at".to_owned(),
            MetadataValue { kind: MetadataKind::Timestamp, value: json!(1_763_545_000) },
        ),
        ("query".to_owned(), MetadataValue::text("select count(*) from flights")),
        (
            "note".to_owned(),
            MetadataValue {
                kind: MetadataKind::Md,
                value: json!("# Quality\n- **no** <script>alert(1)</script>"),
            },
        ),
        (
            "sample".to_owned(),
            MetadataValue {
                kind: MetadataKind::Table,
                value: json!([{"carrier": "B6", "flights": 42_076}, {"carrier": "DL", "flights": 20_701}]),
            },
        ),
    ]);
    MaterializationRow {
        asset: "marts/flights".parse().unwrap(),
        partition: None,
        made_by: MadeBy::Run { run_id: run_id(number), step: "marts/flights".parse().unwrap() },
        at: before(u64::from(number) * 3_700 + 240),
        metadata,
        data_version: Some("9f86d081884c7d65".to_owned()),
        code_version: "041e9bc0".to_owned(),
    }
}

pub(crate) fn assets() -> Vec<AssetRow> {
    let asset = |key: &str, group: &str| AssetRow {
        tenant: tenant(),
        asset: key.parse().unwrap(),
        group: group.to_owned(),
        description: Some("One row for each flight that left New York in 2013".to_owned()),
        kinds: vec!["sql".to_owned()],
        owners: vec!["team:flights".to_owned()],
        deps: vec!["raw/flights".parse().unwrap()],
        partitions: None,
        latest: Some(materialization(0)),
        counts: BTreeMap::new(),
        gone_partitions: 0,
        is_stale: Some(false),
        stale_upstream: None,
        failed_checks: Vec::new(),
        failed_try: None,
    };
    vec![
        asset("marts/flights", "marts"),
        AssetRow { latest: None, ..asset("marts/delays", "marts") },
        AssetRow {
            partitions: Some("tenant_grain_metric".parse().unwrap()),
            counts: BTreeMap::from([
                (PartitionState::Failed, 1),
                (PartitionState::Running, 2),
                (PartitionState::Missing, 6),
                (PartitionState::Materialized, 18),
            ]),
            ..asset("metric_semantic_values", "semantic_extraction")
        },
    ]
}

pub(crate) fn partitions() -> Vec<PartitionRow> {
    let mut rows = Vec::new();
    for tenant in ["ewr", "jfk", "lga"] {
        for grain in ["day", "week", "month"] {
            for metric in ["flights", "mean_delay", "cancellation_rate"] {
                let number = u8::try_from(rows.len()).unwrap();
                let state = match number {
                    4 => PartitionState::Failed,
                    7 | 8 => PartitionState::Running,
                    21.. => PartitionState::Missing,
                    _ => PartitionState::Materialized,
                };
                rows.push(PartitionRow {
                    partition: format!("{tenant}::{grain}::{metric}").parse().unwrap(),
                    state,
                    run_id: (number < 21).then(|| run_id(number)),
                    at: (number < 21).then(|| before(u64::from(number) * 60)),
                });
            }
        }
    }
    rows
}

pub(crate) fn files() -> Vec<FileRow> {
    let file = |name: &str, state| FileRow {
        location: "project".parse().unwrap(),
        name: name.to_owned(),
        state,
        version: Some(ContentHash::of(name.as_bytes())),
        number: Some(3),
        pin: None,
        loaded_at: Some(before(200)),
        diagnostics: Vec::new(),
    };
    let diagnostic = |line, severity, code, message: &str| Diagnostic {
        code,
        severity,
        message: message.to_owned(),
        place: Place { file: "production/ingest_daily.yaml".to_owned(), line, column: 7 },
        help: Some("did you mean `depends_on`?".to_owned()),
    };
    vec![
        file("assets.yaml", FileState::Live),
        file("forecast.json", FileState::Live),
        FileRow {
            diagnostics: vec![
                diagnostic(
                    14,
                    Severity::Error,
                    ErrorCode::DefinitionUnknownKey,
                    "node `extract` has the unknown key `depend_on`",
                ),
                diagnostic(
                    31,
                    Severity::Error,
                    ErrorCode::DefinitionCycle,
                    "the nodes a → b → a depend on each other",
                ),
            ],
            ..file("production/ingest_daily.yaml", FileState::LastGood)
        },
        FileRow {
            version: None,
            loaded_at: None,
            diagnostics: vec![Diagnostic {
                code: ErrorCode::DefinitionJson,
                severity: Severity::Error,
                message: "Invalid JSON: a comma is missing".to_owned(),
                place: Place { file: "broken.json".to_owned(), line: 3, column: 1 },
                help: None,
            }],
            ..file("broken.json", FileState::Broken)
        },
        file("old/legacy.yaml", FileState::Stale),
    ]
}

pub(crate) fn tenants() -> Vec<TenantRow> {
    let row = |id: &str, name: &str| TenantRow {
        id: id.parse().unwrap(),
        declared: true,
        unscheduled: Vec::new(),
        tenant: TenantDef {
            name: Some(name.to_owned()),
            database_url: Some("postgres://app:***@db.internal/flights".to_owned()),
            s3_bucket: Some("data-lake-prod".to_owned()),
            schedule: Some("0 6 * * *".to_owned()),
            ..TenantDef::default()
        },
    };
    let mut rows = vec![row("ewr", "Newark"), row("jfk", "Kennedy"), row("lga", "LaGuardia")];
    rows[2].tenant.enabled = false;
    rows
}

/// The cause of a retry that a job asked for.
fn retry_of(of: RunId) -> Cause {
    Cause::Retry { of, number: 1, from: RetryFrom::Failure, by: None }
}

/// Two dead letters: one open, one discarded.
pub(crate) fn dead_letters() -> Vec<DeadLetter> {
    let open = DeadLetter {
        tenant: tenant(),
        run_id: run_id(7),
        title: "daily_refresh".to_owned(),
        reason: "stale_after_3_attempts".parse().unwrap(),
        failure: "its worker has given no sign of life for 15 s".to_owned(),
        at: now(),
        closed: None,
    };
    let closed = Closed { outcome: ClosedAs::Discarded, by: "ben".to_owned(), at: now() };
    vec![open.clone(), DeadLetter { run_id: run_id(6), closed: Some(closed), ..open }]
}

pub(crate) fn queue() -> QueueView {
    let step = |number: u8, name: &str| PoolStepRow {
        run_id: run_id(number),
        step: name.parse().unwrap(),
        slots: 1,
        since: now(),
        hold: None,
    };
    QueueView {
        waiting: vec![QueueRow { place: 1, run: runs().remove(0) }],
        waiting_total: 3,
        pools: vec![PoolRow {
            name: "warehouse".parse().unwrap(),
            slots: 3,
            scope: LimitScope::Instance,
            held_by: vec![step(21, "stg_orders"), step(22, "stg_payments")],
            held_by_others: 1,
            waiting: vec![step(23, "stg_orders")],
        }],
    }
}

pub(crate) fn daemons() -> Vec<DaemonRow> {
    let row = |name: &str, state, holds_lease| LoopRow {
        name: name.to_owned(),
        state,
        beat_at: before(if state == LoopState::Healthy { 3 } else { 95 }),
        silent_since: None,
        silence_max: HumanDuration::from_secs(30),
        holds_lease,
    };
    let (healthy, unhealthy) = (LoopState::Healthy, LoopState::Unhealthy);
    vec![DaemonRow {
        name: "daemon-4711-9f3a01c2".to_owned(),
        state: unhealthy,
        loops: vec![
            row("losses", healthy, None),
            row("queue", unhealthy, Some(true)),
            row("schedules", healthy, Some(false)),
        ],
    }]
}
