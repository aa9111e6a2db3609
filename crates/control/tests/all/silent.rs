//! What does not tick in one tenant, because that lacks what a template names.

use millstream_definition::parse_file;
use millstream_model::{ErrorCode, TenantId};
use millstream_testkit::definitions::live;

use crate::bench::Bench;

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
