//! What daemons are asked for.

use std::sync::Arc;
use std::time::Duration;

use millstream_control::{Deletions, Rollback};
use millstream_testkit::time::FakeClock;

use crate::instance::with_job;
use crate::launches::{Never, start};

#[tokio::test]
async fn a_scan_is_left_to_a_daemon_that_scans() {
    let control = with_job(Arc::new(FakeClock::default())).await;
    let mut changes = control.store().changes();
    let scan = control.ask_for_scan(Deletions::Guarded).await.unwrap();
    let wish = Rollback { file: "defs.yaml".to_owned(), number: 1, by: "ana".to_owned() };
    let later = control.ask_for_rollback(&wish).await.unwrap();
    let daemon = start(&control, Arc::new(Never::default()));
    let answered = async {
        while control.request_answer(&later).await.unwrap().is_none() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answered).await.expect("it is answered");
    daemon.stop().await;
    assert_eq!(control.request_answer(&scan).await.unwrap(), None);
}
