//! The checks that did not pass are shown with their asset.

use millstream_control::MaterializeRequest;
use millstream_model::{CheckSeverity, EventBody, FileManifest, MetadataValue, RunId, TenantId};
use millstream_testkit::definitions::asset;

use crate::bench::{Bench, request, step_started, step_succeeded};

fn check(name: &str, passed: bool, severity: CheckSeverity) -> EventBody {
    EventBody::AssetChecked {
        step: "orders".parse().unwrap(),
        asset: "orders".parse().unwrap(),
        partition: None,
        check: name.to_owned(),
        passed,
        severity,
        metadata: [("description".to_owned(), MetadataValue::text("3 rows"))].into(),
    }
}

/// A run that makes `orders` after what `said`.
async fn makes(bench: &Bench, said: Vec<EventBody>) -> RunId {
    let select = "orders".to_owned();
    let wish = MaterializeRequest { select, partitions: Vec::new(), all_partitions: false };
    let launched = bench.control.materialize(&request(&TenantId::default_tenant()), &wish).await;
    let mut worker = bench.start_again(launched.unwrap().first().unwrap().run_id).await;
    worker.say(vec![step_started("orders", 1)]).await.unwrap();
    worker.say(said).await.unwrap();
    let made = EventBody::Materialized {
        step: "orders".parse().unwrap(),
        asset: "orders".parse().unwrap(),
        partition: None,
        metadata: std::collections::BTreeMap::new(),
        data_version: None,
        code_version: "1".to_owned(),
        remark: None,
    };
    let ended = vec![made, step_succeeded("orders", 1), EventBody::RunSucceeded {}];
    worker.say(ended).await.unwrap();
    worker.run()
}

#[tokio::test]
async fn checks_that_did_not_pass_in_the_run_that_made_an_asset_last_are_told_with_it() {
    let assets = vec![asset("orders", &[]), asset("sums", &["orders"])];
    let bench = Bench::of(FileManifest { assets, ..FileManifest::default() }).await;
    let tenant = TenantId::default_tenant();
    let said = vec![
        check("early", false, CheckSeverity::Warn),
        check("full", false, CheckSeverity::Error),
        check("known", true, CheckSeverity::Error),
    ];
    let run = makes(&bench, said).await;

    let rows = bench.control.listed_assets(&tenant).await.unwrap();
    let names = |index: usize| {
        let checks = &rows[index].failed_checks;
        checks.iter().map(|it| (it.check.as_str(), it.run_id)).collect::<Vec<_>>()
    };
    assert_eq!((names(0), names(1)), (vec![("full", run), ("early", run)], Vec::new()));
    let view = bench.control.asset_view(&tenant, &"orders".parse().unwrap()).await.unwrap();
    assert_eq!(view.asset.failed_checks, rows[0].failed_checks);
    let why = bench.control.why(&tenant, "orders").await.unwrap();
    let told: Vec<&str> = why.because.iter().map(|it| it.text.as_str()).collect();
    let full = format!("check full did not pass, in run {}: 3 rows", run.short());
    let early =
        format!("check early did not pass, which is a warning, in run {}: 3 rows", run.short());
    assert!(told.contains(&full.as_str()) && told.contains(&early.as_str()), "{told:?}");

    // The next run speaks for the asset now.
    bench.clock.advance(std::time::Duration::from_secs(1));
    makes(&bench, vec![check("full", true, CheckSeverity::Error)]).await;
    let rows = bench.control.listed_assets(&tenant).await.unwrap();
    assert_eq!(rows[0].failed_checks, []);
}
