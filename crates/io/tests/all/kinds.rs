//! What every IO manager promises, as one suite over all kinds, and what tables promise beside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_io::{IoError, Output};
use millstream_model::ErrorCode;
use serde_json::{Value, json};

use crate::kinds_bench::{Bench, address, sorted, table};

#[tokio::test]
async fn r104_r105_what_is_stored_is_read_back_equal() {
    for bench in Bench::all() {
        let here = address("jfk", "sales/orders", None);
        let stored = table(
            &["id", "price", "note", "paid", "tags", "day", "nothing", "declared"],
            json!([
                [1, 0.1, "a\tb\\c\n\"d\", ü 🚀", true, {"a": [1, 2.5]}, "2013-01-01", null, "007"],
                [i64::MAX, 1e300, "\\N", false, [], "NaN", null, "1"],
                [i64::MIN, 5e-324, null, null, null, null, null, null],
                [0, 0.030_000_000_000_000_002, "", true, {}, "1999-12-31", null, ""],
            ]),
        );
        let told = bench.store(&here, &stored).await.unwrap();
        assert_eq!(told.rows, Some(4), "{}", bench.kind);
        let mut wanted = stored.clone();
        for value in wanted.rows.iter_mut().flatten() {
            *value = bench.comes_back(value);
        }
        let loaded = bench.load(&here).await.unwrap();
        assert_eq!(sorted(loaded), sorted(wanted), "{}", bench.kind);

        let again = bench.store(&here, &stored).await.unwrap();
        assert_eq!(again.hash, told.hash, "{}: the version is that of the data", bench.kind);
        let value = json!([{ "id": 7 }, { "id": 8 }]);
        let manager = bench.manager("jfk");
        manager.store(&here, Output::Value(value)).await.unwrap();
        let loaded = bench.load(&here).await.unwrap();
        let wanted = [[bench.comes_back(&json!(7))], [bench.comes_back(&json!(8))]];
        assert_eq!(
            (loaded.columns.join(","), loaded.rows),
            ("id".to_owned(), wanted.map(Vec::from).into())
        );
    }
}

#[tokio::test]
async fn r104_odd_names_are_kept_as_they_are() {
    for bench in Bench::all() {
        let odd = "o'r\"d; DROP TABLE é/\u{1F680} x";
        for (tenant, asset, partition) in [
            ("jfk", odd, None),
            ("jfk", "plain", Some("2013|\"01\"; '%\\ü")),
            ("a.b-c_d", "select", Some("_")),
        ] {
            let here = address(tenant, asset, partition);
            let columns = ["select", "a \"b\"", "größe; --", "it's"];
            let rows = table(&columns, json!([["1", "2", "3", "4"]]));
            bench.store(&here, &rows).await.unwrap_or_else(|e| panic!("{}: {e}", bench.kind));
            assert_eq!(bench.load(&here).await.unwrap(), rows, "{} {here:?}", bench.kind);
        }
    }
}

#[tokio::test]
async fn r106_a_missing_input_names_its_place_its_partition_and_how_to_make_it() {
    for bench in Bench::all() {
        let rows = table(&["a"], json!([[1]]));
        bench.store(&address("jfk", "orders", Some("2013-01")), &rows).await.unwrap();
        for (asset, partition) in [("orders", "2013-02"), ("other", "2013-01")] {
            let error = bench.load(&address("jfk", asset, Some(partition))).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::StepInput, "{}", bench.kind);
            let message = error.message();
            let make = format!("asset materialize {asset} --partition {partition} --tenant jfk`");
            for part in [format!("input {asset} [{partition}]"), asset.to_owned(), make] {
                assert!(message.contains(&part), "{}: {message}", bench.kind);
            }
        }
        let error = bench.load(&address("lga", "orders", Some("2013-01"))).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::StepInput, "{}: another tenant's", bench.kind);
    }
}

#[tokio::test]
async fn a_partition_is_replaced_alone_and_may_be_empty() {
    for bench in Bench::all() {
        let of = |day: &str| address("jfk", "orders", Some(day));
        let rows = |n: i64| table(&["n", "day"], json!([[n, "a"], [n + 1, "b"]]));
        let back = |n: i64| {
            let mut table = rows(n);
            table.rows.iter_mut().flatten().for_each(|value| *value = bench.comes_back(value));
            table
        };
        bench.store(&of("1"), &rows(10)).await.unwrap();
        bench.store(&of("2"), &rows(20)).await.unwrap();
        bench.store(&of("1"), &rows(30)).await.unwrap();
        assert_eq!(sorted(bench.load(&of("1")).await.unwrap()), back(30), "{}", bench.kind);
        assert_eq!(sorted(bench.load(&of("2")).await.unwrap()), back(20), "{}", bench.kind);
        bench.store(&of("2"), &table(&["n", "day"], json!([]))).await.unwrap();
        let empty = bench.load(&of("2")).await.unwrap();
        assert_eq!(empty.columns, ["n", "day"], "{}", bench.kind);
        assert_eq!(empty.rows, Vec::<Vec<Value>>::new(), "{}", bench.kind);
        assert_eq!(sorted(bench.load(&of("1")).await.unwrap()), back(30), "{}", bench.kind);
    }
}

#[tokio::test]
async fn a_partition_without_rows_may_be_the_first_of_its_table() {
    for bench in Bench::tables().into_iter().map(Bench::undeclared) {
        let of = |day: &str| address("jfk", "orders", Some(day));
        let none = || Output::Value(json!([]));
        for _ in 0..2 {
            let told = bench.manager("jfk").store(&of("1"), none()).await.unwrap();
            assert_eq!(told.rows, Some(0), "{}", bench.kind);
        }
        let empty = bench.load(&of("1")).await.unwrap();
        assert_eq!((empty.columns.len(), empty.rows.len()), (0, 0), "{}", bench.kind);
        let rows = table(&["n", "day"], json!([[1, "a"]]));
        bench.store(&of("2"), &rows).await.unwrap();
        assert_eq!(bench.load(&of("2")).await.unwrap(), rows, "{}", bench.kind);
        let empty = bench.load(&of("1")).await.unwrap();
        assert_eq!((empty.columns, empty.rows.len()), (rows.columns, 0), "{}", bench.kind);

        let whole = address("jfk", "whole", None);
        let error = bench.manager("jfk").store(&whole, none()).await.unwrap_err().message();
        for way in ["declare them under `columns`", "`output_required: false`"] {
            assert!(error.contains(way), "{}: {error}", bench.kind);
        }
    }
}

/// How often a result is replaced while it is read.
const ROUNDS: i64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn r104_r105_a_reader_sees_the_old_or_the_new_result_and_never_half() {
    for bench in Bench::all() {
        let bench = Arc::new(bench);
        // The columns change every third time, so that tables are swapped too.
        let result = |round: i64| {
            let columns = if round % 3 == 0 { ["a", "b"] } else { ["a", "c"] };
            let rows: Vec<Value> = (0..200).map(|row| json!([round, row])).collect();
            table(&columns, json!(rows))
        };
        let here = address("jfk", "orders", None);
        bench.store(&here, &result(0)).await.unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn({
            let (bench, here, is_over) = (bench.clone(), here.clone(), is_over.clone());
            async move {
                let mut looks = 0;
                while !is_over.load(Ordering::Relaxed) || looks == 0 {
                    let table = bench.load(&here).await.unwrap();
                    assert_eq!(table.rows.len(), 200, "{}", bench.kind);
                    let first = &table.rows[0][0];
                    let is_one = table.rows.iter().all(|row| &row[0] == first);
                    assert!(is_one, "{}: rows of two results", bench.kind);
                    looks += 1;
                }
            }
        });
        for round in 1..=ROUNDS {
            bench.store(&here, &result(round)).await.unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r105_two_tenants_that_write_at_once_do_not_mix() {
    for bench in Bench::all() {
        let bench = Arc::new(bench);
        let write = |tenant: &'static str| {
            let bench = bench.clone();
            tokio::spawn(async move {
                for part in ["1", "2", "3"] {
                    let rows: Vec<Value> = (0..50).map(|_| json!([tenant, part])).collect();
                    let rows = table(&["tenant", "part"], json!(rows));
                    bench.store(&address(tenant, "orders", Some(part)), &rows).await.unwrap();
                }
            })
        };
        let writers = [write("jfk"), write("lga"), write("jfk"), write("ewr")];
        for writer in writers {
            writer.await.unwrap();
        }
        for tenant in ["jfk", "lga", "ewr"] {
            for part in ["1", "2", "3"] {
                let loaded = bench.load(&address(tenant, "orders", Some(part))).await.unwrap();
                assert_eq!(loaded.rows.len(), 50, "{}", bench.kind);
                let wanted = [json!(tenant), json!(part)];
                assert!(loaded.rows.iter().all(|row| *row == wanted), "{}", bench.kind);
            }
        }
    }
}

#[tokio::test]
async fn r105_a_table_that_two_tenants_would_share_is_refused() {
    for bench in Bench::tables() {
        let rows = table(&["a"], json!([[1]]));
        bench.store(&address("jfk", "orders", None), &rows).await.unwrap();
        let other = address("lga", "orders", None);
        let shared = bench.manager("jfk");
        let value = json!([{ "a": 2 }]);
        let error = shared.store(&other, Output::Value(value)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::StepSql);
        let message = error.message();
        assert!(message.contains("holds the asset orders of tenant jfk"), "{message}");
        assert!(message.contains("{{ tenant.id }}"), "{message}");
        let copy = bench.copy();
        let error = shared.rows(&other, &copy).await.unwrap_err();
        assert!(matches!(error, IoError::Missing { .. }), "{}: {error}", bench.kind);
        assert_eq!(bench.load(&address("jfk", "orders", None)).await.unwrap(), rows);
    }
}

#[tokio::test]
async fn columns_of_partitions_may_grow_and_do_not_change() {
    for bench in Bench::tables() {
        let of = |day: &str| address("jfk", "orders", Some(day));
        bench.store(&of("1"), &table(&["n", "t"], json!([[1, "x"]]))).await.unwrap();
        bench.store(&of("2"), &table(&["n", "u"], json!([[1.5, true]]))).await.unwrap();
        let loaded = bench.load(&of("2")).await.unwrap();
        assert_eq!(loaded, table(&["n", "t", "u"], json!([[1.5, null, true]])), "{}", bench.kind);
        let error = bench.store(&of("3"), &table(&["t"], json!([[{ "a": 1 }]]))).await.unwrap_err();
        let message = error.message();
        assert!(message.contains("column \"t\""), "{}: {message}", bench.kind);
        assert!(message.contains("is of type `text`"), "{}: {message}", bench.kind);
        let alone = "; declare `t: text` under `columns`";
        assert!(message.ends_with(alone), "{}: {message}", bench.kind);
        bench.store(&of("3"), &table(&["n", "declared"], json!([[3, "007"]]))).await.unwrap();
        bench.store(&of("4"), &table(&["n", "declared"], json!([[4, 100]]))).await.unwrap();
        let loaded = bench.load(&of("4")).await.unwrap();
        let place = loaded.columns.iter().position(|it| it == "declared").unwrap();
        assert_eq!(loaded.rows[0][place], json!("100"), "{}", bench.kind);
        let whole = address("jfk", "orders", None);
        bench.store(&whole, &table(&["n"], json!([["now text"]]))).await.unwrap();
        let error = bench.load(&of("1")).await.unwrap_err();
        assert!(matches!(error, IoError::Missing { .. }), "{}: {error}", bench.kind);
        bench.store(&of("1"), &table(&["n"], json!([[5]]))).await.unwrap();
        assert_eq!(bench.load(&of("1")).await.unwrap(), table(&["n"], json!([[5]])));
        assert!(bench.load(&whole).await.is_err(), "{}: the whole is gone", bench.kind);
    }
}

#[tokio::test]
async fn a_column_that_holds_only_null_takes_the_type_of_later_rows() {
    for bench in Bench::tables() {
        let of = |day: &str| address("jfk", "orders", Some(day));
        let columns = ["a", "b", "c", "d", "t"];
        let nulls = table(&columns, json!([[null, null, null, null, null]]));
        bench.store(&of("1"), &nulls).await.unwrap();
        let rows = table(&columns, json!([[1, 0.5, true, { "k": [1] }, "x"]]));
        bench.store(&of("2"), &rows).await.unwrap();
        for (day, stored) in [("1", nulls), ("2", rows)] {
            let loaded = bench.load(&of(day)).await.unwrap();
            for (index, column) in columns.iter().enumerate() {
                let place = loaded.columns.iter().position(|it| it == column).unwrap();
                let (back, wanted) = (&loaded.rows[0][place], &stored.rows[0][index]);
                assert_eq!(back, wanted, "{} {day} {column}", bench.kind);
            }
        }
        let error = bench.store(&of("3"), &table(&["t"], json!([[1]]))).await.unwrap_err();
        assert!(error.message().contains("column \"t\""), "{}", error.message());
    }
}

#[tokio::test]
async fn what_a_table_cannot_keep_is_named_and_changes_nothing() {
    for bench in Bench::tables() {
        let here = address("jfk", "orders", Some("1"));
        let before = table(&["a"], json!([[1]]));
        bench.store(&here, &before).await.unwrap();
        let long = "x".repeat(64);
        for (columns, rows, wanted) in [
            (["a", "_partition"], json!([[1, 2]]), "the partition stands in it"),
            (["a", "A"], json!([[1, 2]]), "two columns are called \"A\""),
            (["a", long.as_str()], json!([[1, 2]]), "is longer than 63 bytes"),
        ] {
            let error = bench.store(&here, &table(&columns, rows)).await.unwrap_err().message();
            assert!(error.contains(wanted), "{}: {error}", bench.kind);
            assert!(!error.contains('/'), "a scratch file is nobody's business: {error}");
        }
        let (manager, new) = (bench.manager("jfk"), address("jfk", "new", None));
        manager.store(&new, Output::Value(json!([]))).await.unwrap();
        assert_eq!(bench.load(&new).await.unwrap(), table(&["declared"], json!([])));
        assert_eq!(bench.load(&here).await.unwrap(), before, "{}", bench.kind);
    }
}
