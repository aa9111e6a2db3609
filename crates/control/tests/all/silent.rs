//! What does not tick in one tenant, because that lacks what a template names.

use std::time::Duration;

use millstream_control::TickWatch;
use millstream_definition::parse_file;
use millstream_model::{ErrorCode, TenantId};
use millstream_testkit::definitions::live;

use crate::bench::{Bench, TIME_TO_LIVE};

#[tokio::test]
async fn who_asks_for_what_is_not_in_his_tenant_hears_why() {
    let text = |schedules: &str| {
        let text = format!(
            "tenants: {{ acme: {{}}, beta: {{}}, gone: {{ enabled: false }} }}\n\
             jobs: {{ etl: {{ nodes: [{{ id: a, type: noop }}] }} }}\n\
             schedules:\n  betas: {{ cron: '* * * * *', job: etl, tenants: [beta] }}\n{schedules}\
             sensors:\n  after: {{ kind: run_status, on: [SUCCESS], request: {{ job: etl }}, \
             tenants: [beta] }}\n"
        );
        let parsed = parse_file("a.yaml", text.as_bytes());
        assert_eq!(parsed.diagnostics, []);
        parsed.manifest.unwrap()
    };
    let bench = Bench::empty().await;
    let every = "  every: { cron: '* * * * *', job: etl }\n";
    bench.scan(vec![live("a.yaml", text(every))]).await;
    let tenant = |id: &str| id.parse::<TenantId>().unwrap();
    let (control, acme) = (&bench.control, tenant("acme"));
    let mut watch = TickWatch::default();
    control.tick_schedules("one", &mut watch, TIME_TO_LIVE).await.unwrap();
    bench.clock.advance(Duration::from_mins(1));
    control.tick_schedules("one", &mut watch, TIME_TO_LIVE).await.unwrap();
    let asked = async |id: &str, name: &str| {
        let error = control.why(&tenant(id), name).await.unwrap_err();
        (error.code(), error.to_string())
    };
    let words = "schedule betas does not tick in tenant acme: its `tenants` are beta".to_owned();
    assert_eq!(asked("acme", "betas").await, (ErrorCode::ScheduleUnknown, words.clone()));
    let shown = control.schedule_view(&acme, "betas").await.unwrap_err();
    assert_eq!(shown.to_string(), words);
    let words = "sensor after does not tick in tenant acme: its `tenants` are beta".to_owned();
    assert_eq!(asked("acme", "after").await, (ErrorCode::SensorUnknown, words));
    let words = "schedule every does not tick in tenant gone: the file of tenant gone has it off \
                 (`enabled: false`)";
    assert_eq!(asked("gone", "every").await.1, words);
    let words = "schedule every does not tick in tenant other: the tenant is in no definition file";
    assert_eq!(asked("other", "every").await.1, words);
    assert!(asked("acme", "nothing").await.1.starts_with("there is no run, asset, schedule"));
    // One that was taken out of the files is told of, with what it did.
    bench.scan(vec![live("a.yaml", text(""))]).await;
    control.tick_schedules("one", &mut watch, TIME_TO_LIVE).await.unwrap();
    let words = "schedule every does not tick in tenant acme: it is in no definition file any \
                 more; `millstream schedule ticks every` shows what it did";
    assert_eq!(asked("acme", "every").await.1, words);
    assert_eq!(control.schedule_ticks(&acme, "every", None, 9).await.unwrap().len(), 1);
    let never = control.schedule_ticks(&acme, "betas", None, 9).await.unwrap_err();
    assert_eq!(never.code(), ErrorCode::ScheduleUnknown);
}

#[tokio::test]
async fn what_a_tenant_lacks_for_a_schedule_to_tick_is_told() {
    let text = "tenants: { acme: { schedule: '@daily', labels: { open: 'yes' } }, beta: {} }\n\
                jobs: { etl: { nodes: [{ id: a, type: noop }] } }\n\
                schedules:\n  own: { cron: '{{ tenant.schedule }}', job: etl }\n  \
                acmes: { cron: '{{ tenant.schedule }}', job: etl, tenants: [acme] }\n  \
                open: { cron: '@daily', job: etl, enabled: '{{ tenant.open }}' }\n\
                sensors:\n  after: { kind: run_status, on: [SUCCESS], request: { job: etl }, \
                enabled: '{{ tenant.open }}' }\n";
    let parsed = parse_file("a.yaml", text.as_bytes());
    assert_eq!(parsed.diagnostics, []);
    let bench = Bench::empty().await;
    bench.scan(vec![live("a.yaml", parsed.manifest.unwrap())]).await;
    let tenant = |id: &str| id.parse::<TenantId>().unwrap();
    let (control, acme, beta) = (&bench.control, tenant("acme"), tenant("beta"));
    assert_eq!(control.silent(&acme).await.unwrap(), []);
    assert!(control.why(&acme, "open").await.unwrap().answer.starts_with("It has not ticked"));
    let unclear = "the condition \"{{ tenant.open }}\" cannot be evaluated: it names what is not \
                   there: `tenant.open`";
    let silent = control.silent(&beta).await.unwrap();
    let said: Vec<_> =
        silent.iter().map(|it| format!("{} {}: {}", it.kind, it.name, it.why)).collect();
    let lacks = "its `cron` is `{{ tenant.schedule }}`, and the tenant has no `schedule`";
    let off = format!("its `enabled` counts as off: {unclear}");
    let all = ["schedule own: ", "schedule open: ", "sensor after: "];
    assert_eq!(
        said,
        [format!("{}{lacks}", all[0]), format!("{}{off}", all[1]), format!("{}{off}", all[2]),]
    );
    let words = format!("schedule own does not tick in tenant beta: {lacks}");
    let why = control.why(&beta, "own").await.unwrap_err();
    let shown = control.schedule_view(&beta, "own").await.unwrap_err();
    for error in [why, shown] {
        assert_eq!((error.code(), error.to_string()), (ErrorCode::ScheduleUnknown, words.clone()));
    }
    let rows = control.tenant_rows().await.unwrap();
    let lacking: Vec<_> = rows.iter().map(|row| (row.id.as_str(), row.unscheduled.len())).collect();
    assert_eq!(lacking, [("acme", 0), ("beta", 1)], "the one of acme alone is not missed in beta");
    for name in ["open", "after"] {
        let why = control.why(&beta, name).await.unwrap();
        assert_eq!(why.because[0].text, off);
        let answer =
            format!("It is off, because its `enabled` is neither yes nor no here: {unclear};");
        assert!(why.answer.starts_with(&answer), "{}", why.answer);
    }
    let row = control.switch_schedule(&beta, "open", (Some(false), "ana")).await.unwrap();
    assert_eq!(row.unclear.as_deref(), Some(unclear));
    let why = control.why(&beta, "open").await.unwrap();
    assert!(why.answer.starts_with("It is off: `millstream"), "ana has said so: {}", why.answer);
}
