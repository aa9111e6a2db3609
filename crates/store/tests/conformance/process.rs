//! An embedded file and the processes around it: one owner, and nothing acknowledged is lost.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use millstream_store::{Store, StoreError, instance, leases};

/// Tells the copy of this program that it is the writer, and where the file is.
const WRITER_FILE: &str = "STORE_CONFORMANCE_WRITER_FILE";

#[test]
fn a_second_open_of_a_file_is_refused_and_names_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let first = Store::open_sqlite(&path).unwrap();
    match Store::open_sqlite(&path) {
        Err(StoreError::Owned { owner, .. }) => assert_eq!(owner, std::process::id().to_string()),
        other => panic!("{other:?}"),
    }
    drop(first);
    Store::open_sqlite(&path).unwrap();
}

#[tokio::test]
async fn whoever_opens_the_file_finds_every_lease_free_under_a_new_fence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let first = Store::open_sqlite(&path).unwrap();
    first.apply(leases::create("queue", "gone")).await.unwrap();
    let held = first.lease("queue").await.unwrap().unwrap();
    drop(first);
    let next = Store::open_sqlite(&path).unwrap();
    let free = next.lease("queue").await.unwrap().unwrap();
    assert_eq!((free.holder.as_str(), free.fence), ("", held.fence + 1));
}

#[test]
fn a_writer_that_is_killed_loses_nothing_it_acknowledged() {
    if let Some(path) = std::env::var_os(WRITER_FILE) {
        return write_until_killed(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut acknowledged = 0_u32;
    for round in 1..=3 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("process::a_writer_that_is_killed_loses_nothing_it_acknowledged")
            .env(WRITER_FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(writer.stdout.take().unwrap()).lines();
        for line in said.map_while(Result::ok) {
            if let Some(number) = line.strip_prefix("stored ") {
                acknowledged = number.parse().unwrap();
            }
            if acknowledged >= round * 25 {
                writer.kill().unwrap();
            }
        }
        writer.wait().unwrap();
        let store = Store::open_sqlite(&path).unwrap();
        for number in 1..=acknowledged {
            let value = runtime.block_on(store.setting(&number.to_string())).unwrap();
            assert_eq!(value.as_deref(), Some("1"), "batch {number} of {acknowledged}");
        }
    }
    assert!(acknowledged >= 75);
}

/// Stores numbers and says each one that is stored, from the first that is missing on.
fn write_until_killed(path: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open_sqlite(path).unwrap();
        for number in 1_u64.. {
            let key = number.to_string();
            store.apply(instance::keep_first_setting(&key, "1")).await.unwrap();
            println!("stored {number}");
        }
    });
}
