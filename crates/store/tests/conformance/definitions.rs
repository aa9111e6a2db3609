//! Code locations, their files and versions, and requests for a daemon.

use millstream_model::view::{FileRow, FileState};
use millstream_model::{ContentHash, FileManifest, LocationName};
use millstream_store::definitions::{self, StoredFile};
use millstream_store::instance::{self, DaemonRequest};
use millstream_store::{Batch, Scope, Sql};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::{at, conflict, text};

conformance! {
    a_location_that_exists_keeps_its_version_and_learns_its_root,
    a_change_of_a_location_conflicts_with_one_it_did_not_see,
    a_location_is_stale_since_the_first_scan_that_said_so,
    a_file_is_replaced_and_its_versions_are_numbered,
    the_first_value_of_a_setting_stays,
    a_request_is_answered_once_and_forgotten_when_old,
}

fn location() -> LocationName {
    "files".parse().unwrap()
}

async fn a_location_that_exists_keeps_its_version_and_learns_its_root(db: Db) {
    db.store.apply(definitions::create_location(&location(), "/one")).await.unwrap();
    let mut change = Batch::new(Scope::Instance);
    definitions::raise_location(&mut change, &location(), 0);
    db.store.apply(change).await.unwrap();
    db.store.apply(definitions::create_location(&location(), "/two")).await.unwrap();
    let stored = db.store.locations().await.unwrap().remove(0);
    assert_eq!((stored.version, stored.root.as_str()), (1, "/two"));
}

async fn a_change_of_a_location_conflicts_with_one_it_did_not_see(db: Db) {
    db.store.apply(definitions::create_location(&location(), "/one")).await.unwrap();
    let change = |seen| {
        let mut batch = Batch::new(Scope::Instance);
        definitions::raise_location(&mut batch, &location(), seen);
        batch
    };
    db.store.apply(change(0)).await.unwrap();
    assert_eq!(conflict(db.store.apply(change(0)).await), "RAISE_LOCATION");
}

async fn a_location_is_stale_since_the_first_scan_that_said_so(db: Db) {
    db.store.apply(definitions::create_location(&location(), "/one")).await.unwrap();
    let scanned = async |seconds, reason| {
        let mut batch = Batch::new(Scope::Instance);
        definitions::set_scanned(&mut batch, &location(), at(seconds), reason);
        db.store.apply(batch).await.unwrap();
        db.store.locations().await.unwrap().remove(0).stale_since
    };
    assert_eq!(scanned(1, Some("gone")).await, Some(at(1)));
    assert_eq!(scanned(2, Some("gone")).await, Some(at(1)));
    assert_eq!(scanned(3, None).await, None);
}

async fn a_file_is_replaced_and_its_versions_are_numbered(db: Db) {
    static NUMBERS: Sql = Sql {
        name: "NUMBERS",
        text: "SELECT number, hash FROM definition_version WHERE location = $1 ORDER BY number",
    };
    let content = FileManifest::default();
    let hashes = [b"one", b"two"].map(|text| ContentHash::of(text));
    for (hash, state) in hashes.iter().zip([FileState::Live, FileState::Stale]) {
        let row = FileRow {
            location: location(),
            name: "a.yaml".to_owned(),
            state,
            version: Some(hash.clone()),
            number: None,
            pin: None,
            loaded_at: Some(at(1)),
            diagnostics: Vec::new(),
        };
        let mut batch = Batch::new(Scope::Instance);
        definitions::upsert_file(
            &mut batch,
            &StoredFile { row, checksum: hash.clone(), pinned: None },
        );
        let file = (&location(), "a.yaml");
        definitions::insert_version(&mut batch, file, hash, &content, at(1));
        db.store.apply(batch).await.unwrap();
    }
    let files = db.store.definition_files(&location()).await.unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!((files[0].row.state, &files[0].checksum), (FileState::Stale, &hashes[1]));
    let contents = db.store.definition_contents(&hashes).await.unwrap();
    assert_eq!(contents.get(&hashes[0]), Some(&content));

    let asked = Batch::new(Scope::Instance).then(&NUMBERS, vec![text(&location())]);
    let rows = db.store.apply(asked).await.unwrap().rows(0);
    let numbers: Vec<i64> = rows.into_iter().map(|mut row| row.int().unwrap()).collect();
    assert_eq!(numbers, [1, 2]);

    let mut batch = Batch::new(Scope::Instance);
    definitions::insert_version(&mut batch, (&location(), "b.yaml"), &hashes[0], &content, at(2));
    db.store.apply(batch).await.unwrap();
    let all = db.store.versions_of_location(&location()).await.unwrap();
    let shown: Vec<_> = all.iter().map(|(name, it)| (name.as_str(), it.number)).collect();
    assert_eq!(shown, [("b.yaml", 1), ("a.yaml", 2), ("a.yaml", 1)], "the newest first");
    assert_eq!((all[0].1.loaded_at, &all[1].1.hash), (at(2), &hashes[1]));
}

async fn the_first_value_of_a_setting_stays(db: Db) {
    for value in ["first", "second"] {
        db.store.apply(instance::keep_first_setting("id", value)).await.unwrap();
    }
    assert_eq!(db.store.setting("id").await.unwrap().as_deref(), Some("first"));
}

async fn a_request_is_answered_once_and_forgotten_when_old(db: Db) {
    let request = |id: &str| DaemonRequest {
        id: id.to_owned(),
        kind: "scan".to_owned(),
        body: "{}".to_owned(),
    };
    db.store.apply(instance::ask_daemon(&request("old"), at(1))).await.unwrap();
    db.store.apply(instance::ask_daemon(&request("new"), at(9))).await.unwrap();
    let open = db.store.open_requests(10).await.unwrap();
    assert_eq!(open, [request("old"), request("new")]);
    for answer in ["done", "again"] {
        db.store.apply(instance::answer_request("new", answer, at(5))).await.unwrap();
    }
    assert_eq!(db.store.request_answer("new").await.unwrap().as_deref(), Some("done"));
    assert_eq!(db.store.open_requests(10).await.unwrap(), []);
}
