//! IO managers for local files.

use std::path::Path;

use millstream_io::{Address, Content, FileForm, FileIo, IoError, Loaded, Place, Stored, Table};
use millstream_model::{ContentHash, ErrorCode};
use serde_json::{Value, json};

fn address(tenant: &str) -> Address {
    Address {
        tenant: tenant.parse().unwrap(),
        asset: "sales/orders".parse().unwrap(),
        partition: Some("2013-01".parse().unwrap()),
    }
}

fn table() -> Table {
    Table {
        columns: vec!["name".to_owned(), "n".to_owned()],
        rows: vec![vec![json!("a, \"b\"\n"), json!(1.5)], vec![Value::Null, json!(-2)]],
    }
}

fn path(stored: &Stored) -> &Path {
    let Place::File(path) = &stored.place else { panic!("{stored:?}") };
    path
}

fn text(stored: &Stored) -> String {
    std::fs::read_to_string(path(stored)).unwrap()
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[test]
fn r105_results_of_two_tenants_lie_in_folders_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let io = FileIo::new(FileForm::Json, folder.path().join("data"));
    let write = |tenant: &'static str| {
        let io = io.clone();
        std::thread::spawn(move || {
            for _ in 0..20 {
                io.store(&address(tenant), Content::Json(&json!({ "tenant": tenant }))).unwrap();
            }
        })
    };
    let writers = [write("jfk"), write("lga"), write("jfk")];
    for writer in writers {
        writer.join().unwrap();
    }
    for tenant in ["jfk", "lga"] {
        let loaded = io.load(&address(tenant)).unwrap();
        assert_eq!(loaded, Loaded::Json(json!({ "tenant": tenant })));
        let path = format!("data/{tenant}/sales/orders/2013-01.json");
        assert_eq!(io.path_of(&address(tenant)), folder.path().join(path));
    }
    assert_eq!(files_below(folder.path()), 2, "no temporary file is left");
}

#[test]
fn r105_a_result_that_cannot_be_kept_leaves_the_old_one_whole() {
    let folder = tempfile::tempdir().unwrap();
    let io = FileIo::new(FileForm::Csv, folder.path().to_owned());
    let first = io.store(&address("jfk"), Content::Table(&table())).unwrap();
    let before = text(&first);
    let error = io.store(&address("jfk"), Content::Json(&json!("no table"))).unwrap_err();
    assert!(matches!(error, IoError::NoTable { .. }), "{error}");
    assert_eq!(error.code(), ErrorCode::StepResult);
    assert_eq!(text(&first), before);
    assert_eq!(files_below(folder.path()), 1, "no temporary file is left");
}

#[test]
fn rows_of_objects_need_not_be_flat_nor_have_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let io = FileIo::new(FileForm::Csv, folder.path().to_owned());
    let rows = json!([{ "a": 1 }, { "a": {}, "b": [2, "x"] }]);
    let stored = io.store(&address("jfk"), Content::Json(&rows)).unwrap();
    assert_eq!(text(&stored), "a,b\n1,\n{},\"[2,\"\"x\"\"]\"\n");
}

#[test]
fn r106_a_missing_input_names_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let io = FileIo::new(FileForm::Csv, folder.path().to_owned());
    let error = io.load(&address("jfk")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::StepInput);
    let path = folder.path().join("jfk/sales/orders/2013-01.csv");
    let wanted = format!(
        "input sales/orders [2013-01] does not exist: there is no file {}; make it with \
         `millstream asset materialize sales/orders --partition 2013-01 --tenant jfk`",
        path.display()
    );
    assert_eq!(error.message(), wanted);
    assert_eq!(io.source(&address("jfk")).unwrap_err().message(), wanted);
}

#[test]
fn a_table_is_the_same_from_memory_from_json_and_from_a_rows_file() {
    let folder = tempfile::tempdir().unwrap();
    let rows_file = folder.path().join("rows");
    std::fs::write(&rows_file, "[\"name\",\"n\"]\n[\"a, \\\"b\\\"\\n\",1.5]\n[null,-2]\n").unwrap();
    let json = serde_json::to_value(table()).unwrap();
    let csv = FileIo::new(FileForm::Csv, folder.path().join("csv"));
    let document = FileIo::new(FileForm::Json, folder.path().join("json"));
    let contents = [Content::Table(&table()), Content::Json(&json), Content::RowsFile(&rows_file)];
    for content in contents {
        let stored = csv.store(&address("jfk"), content).unwrap();
        assert_eq!(text(&stored), "name,n\n\"a, \"\"b\"\"\n\",1.5\n,-2\n");
        assert_eq!((stored.rows, stored.bytes), (Some(2), text(&stored).len() as u64));
        assert_eq!(stored.hash, ContentHash::of(text(&stored).as_bytes()));
        assert_eq!(stored.log_line(), format!("Wrote to {}", path(&stored).display()));

        document.store(&address("jfk"), content).unwrap();
        assert_eq!(document.load(&address("jfk")).unwrap(), Loaded::Json(json.clone()));
    }
    let Loaded::Table(loaded) = csv.load(&address("jfk")).unwrap() else { panic!("no table") };
    assert_eq!(loaded.rows[1], [Value::Null, json!("-2")]);
}

#[test]
fn columns_that_nothing_could_read_again_are_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let io = FileIo::new(FileForm::Csv, folder.path().join("data"));
    let rows = folder.path().join("scratch.rows");
    for (columns, wanted) in [
        (["n", "n"], "two columns are called \"n\""),
        (["n", "N"], "two columns are called \"N\""),
        (["n", ""], "column 2 has no name"),
    ] {
        std::fs::write(&rows, format!("{}\n[1,2]\n", json!(columns))).unwrap();
        let value = json!({ "columns": columns, "rows": [[1, 2]] });
        for content in [Content::RowsFile(&rows), Content::Json(&value)] {
            let error = io.store(&address("jfk"), content).unwrap_err();
            assert_eq!(error.code(), ErrorCode::StepResult);
            let message = error.message();
            assert!(message.contains(wanted) && !message.contains("scratch"), "{message}");
        }
    }
    assert_eq!(files_below(&folder.path().join("data")), 0, "something was stored");
}

#[test]
fn rows_that_are_none_have_the_columns_of_what_was_stored_before() {
    let folder = tempfile::tempdir().unwrap();
    let io = FileIo::new(FileForm::Csv, folder.path().to_owned());
    let none = json!([]);
    let error = io.store(&address("jfk"), Content::Json(&none)).unwrap_err();
    assert!(error.message().contains("nothing is stored whose columns they could have"), "{error}");
    io.store(&address("jfk"), Content::Table(&table())).unwrap();
    let other = Address { partition: Some("2013-02".parse().unwrap()), ..address("jfk") };
    for address in [other, address("jfk")] {
        let stored = io.store(&address, Content::Json(&none)).unwrap();
        assert_eq!((text(&stored).as_str(), stored.rows), ("name,n\n", Some(0)));
    }
    let stored = io.store(&address("jfk"), Content::Json(&json!([{}]))).unwrap();
    assert_eq!(text(&stored), "name,n\n,\n");
}

#[test]
fn an_empty_text_is_told_from_null_but_alone_in_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let io = FileIo::new(FileForm::Csv, folder.path().to_owned());
    let rows = json!([{ "a": "", "b": "x", "c": null }, { "a": null, "b": "" }]);
    let stored = io.store(&address("jfk"), Content::Json(&rows)).unwrap();
    assert_eq!(text(&stored), "a,b,c\n\"\",x,\n,\"\",\n");
    assert_eq!(stored.notes, Vec::<String>::new());
    let Loaded::Table(loaded) = io.load(&address("jfk")).unwrap() else { panic!("no table") };
    assert_eq!(loaded, Table::from_json(&rows).unwrap());

    let stored = io.store(&address("jfk"), Content::Json(&json!([{ "a": "" }]))).unwrap();
    let told = "column \"a\" has empty texts, and alone in a CSV file they are null";
    assert_eq!(stored.notes, [told]);
}

#[test]
fn a_text_that_looks_like_a_number_stands_in_quotes() {
    let folder = tempfile::tempdir().unwrap();
    let io = FileIo::new(FileForm::Csv, folder.path().to_owned());
    let rows = json!([
        { "text": "1.10", "n": 1.1 },
        { "text": "007", "n": 7 },
        { "text": ".5", "n": 1e300 },
        { "text": "1.1.1", "n": 5e-7 },
    ]);
    let stored = io.store(&address("jfk"), Content::Json(&rows)).unwrap();
    assert_eq!(text(&stored), "n,text\n1.1,\"1.10\"\n7,\"007\"\n1e+300,\".5\"\n5e-7,1.1.1\n");
}
