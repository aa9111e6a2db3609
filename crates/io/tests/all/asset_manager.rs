//! The SQL of `examples/asset_manager`, run as the worker runs it, against numbers that are
//! computed here from the CSV file alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use millstream_io::{
    Address, Content, FileForm, FileIo, Session, SqlOutcome, SqlRequest, Table, TableFile,
    quote_identifier, run_sqlite,
};
use millstream_model::{AssetKey, ReadSource, ResourceDef, StepConfig};
use minijinja::{Environment, context};
use serde_json::{Value, json};

use crate::yaml;

const TENANT: &str = "lga";

/// One flight as the CSV file has it.
struct Flight {
    date: Date,
    dep_delay: Option<f64>,
    cancelled: bool,
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/asset_manager")
}

/// The tenant's flights, read without any of our code.
fn flights_in_the_file() -> Vec<Flight> {
    let file = std::fs::File::open(example().join("data/flights.csv.gz")).unwrap();
    let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (date, origin, delay) = (at("date"), at("origin"), at("dep_delay"));
    let cancelled = at("cancelled");
    let mut flights = Vec::new();
    for record in reader.records() {
        let record = record.unwrap();
        if record[origin].eq_ignore_ascii_case(TENANT) {
            flights.push(Flight {
                date: record[date].parse().unwrap(),
                dep_delay: record[delay].parse().ok(),
                cancelled: &record[cancelled] == "1",
            });
        }
    }
    flights
}

/// The first day of the period that `date` is in.
fn period(grain: &str, date: Date) -> Date {
    match grain {
        "day" => date,
        "week" => {
            let days = date.weekday().to_monday_zero_offset();
            date.checked_sub(jiff::Span::new().days(days)).unwrap()
        }
        "month" => date.first_of_month(),
        other => panic!("no grain {other}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a year has far fewer flights than 2^52")]
fn value(metric: &str, flights: &[&Flight]) -> Option<f64> {
    let count = flights.len() as f64;
    match metric {
        "flights" => Some(count),
        "cancellation_rate" => {
            Some(flights.iter().filter(|flight| flight.cancelled).count() as f64 / count)
        }
        "mean_dep_delay" => {
            let delays: Vec<f64> = flights.iter().filter_map(|flight| flight.dep_delay).collect();
            (!delays.is_empty()).then(|| delays.iter().sum::<f64>() / delays.len() as f64)
        }
        other => panic!("no metric {other}"),
    }
}

/// What is known of a run while its steps are resolved.
struct Project {
    folder: tempfile::TempDir,
    metrics: Value,
    flights: Value,
}

impl Project {
    fn new() -> Self {
        let read = |name: &str| {
            yaml::read(&std::fs::read_to_string(example().join("dags").join(name)).unwrap())
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            metrics: read("metrics.yaml"),
            flights: read("flights.yaml"),
        }
    }

    fn warehouse(&self) -> PathBuf {
        self.folder.path().join("lga.db")
    }

    fn lake(&self) -> FileIo {
        FileIo::new(FileForm::Csv, self.folder.path().join("lake"))
    }

    /// The SQL step of `asset` as the worker resolves it for a partition.
    fn request(&self, file: &Value, asset: &str, partition: [&str; 2]) -> SqlRequest {
        let step = file["assets"][asset]["step"].clone();
        let Ok(StepConfig::Sql(step)) = serde_json::from_value(step) else {
            panic!("{asset} has no SQL step");
        };
        let [metric, grain] = partition;
        let params = [("tenant", TENANT), ("partition_metric", metric), ("partition_grain", grain)];
        let source = |source| match source {
            ReadSource::Csv(path) => TableFile::Csv(example().join(path)),
            ReadSource::Asset(asset) => self.lake().source(&address(asset, metric, grain)).unwrap(),
        };
        SqlRequest {
            resource: ResourceDef::Sqlite { path: self.warehouse().to_str().unwrap().to_owned() },
            statements: step.statements.iter().map(|text| render(text, metric, grain)).collect(),
            params: params.map(|(name, value)| (name.to_owned(), json!(value))).into(),
            read: step.read.into_iter().map(|(table, it)| (table, source(it))).collect(),
            emptied: BTreeSet::new(),
            rows: step.rows.then(|| self.folder.path().join("rows")),
            read_only: step.read_only,
            kept: BTreeMap::new(),
            session: Session::default(),
        }
    }

    /// Runs both stages for one partition; how many rows the table has then.
    fn sync(&self, metric: &str, grain: &str) -> Value {
        let partition = [metric, grain];
        run(&self.request(&self.metrics, "metric_semantic_values", partition));
        let address = address("metric_semantic_values".parse().unwrap(), metric, grain);
        let rows = self.folder.path().join("rows");
        self.lake().store(&address, Content::RowsFile(&rows)).unwrap();
        let load = self.request(&self.metrics, "snowflake_metric_cache", partition);
        run(&load).1.rows[0][0].clone()
    }

    /// What a person sees who opens the warehouse.
    fn cached(&self, table: &str) -> Vec<(Date, Option<f64>)> {
        let connection = rusqlite::Connection::open(self.warehouse()).unwrap();
        let text = format!("SELECT period, value FROM {table} ORDER BY period");
        let mut statement = connection.prepare(&text).unwrap();
        let rows = statement.query_map([], |row| {
            let period: String = row.get(0)?;
            Ok((period.parse().unwrap(), row.get(1)?))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}

fn run(request: &SqlRequest) -> (SqlOutcome, Table) {
    let outcome = run_sqlite(request).unwrap();
    let table = Table::from_rows_file(request.rows.as_deref().unwrap(), 1 << 20).unwrap();
    (outcome, table)
}

fn address(asset: AssetKey, metric: &str, grain: &str) -> Address {
    let partition = format!("{TENANT}::{grain}::{metric}").parse().unwrap();
    Address { tenant: TENANT.parse().unwrap(), asset, partition: Some(partition) }
}

fn render(text: &str, metric: &str, grain: &str) -> String {
    let mut templates = Environment::new();
    templates.add_filter("identifier", |name: &str| {
        quote_identifier(name).map_err(|error| {
            minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, error.to_string())
        })
    });
    let partition = context! { tenant => TENANT, metric, grain };
    templates.render_str(text, context! { partition }).unwrap()
}

#[test]
fn the_cached_metrics_of_a_tenant_are_those_of_the_csv_file() {
    let project = Project::new();
    let load = project.request(&project.flights, "flights", ["", ""]);
    let (outcome, summary) = run(&load);
    assert_eq!(outcome.rows_affected, [0, 0, 104_662, 0]);
    assert_eq!(outcome.notes, Vec::<String>::new());
    let row = json!([104_662, "2013-01-01", "2013-12-31", 10.35, 3_153]);
    assert_eq!(json!(summary.rows[0]), row);

    let flights = flights_in_the_file();
    for grain in ["day", "week", "month"] {
        let mut periods: BTreeMap<Date, Vec<&Flight>> = BTreeMap::new();
        for flight in &flights {
            periods.entry(period(grain, flight.date)).or_default().push(flight);
        }
        assert!(periods.len() >= 12);
        for metric in ["flights", "mean_dep_delay", "cancellation_rate"] {
            let rows = project.sync(metric, grain);
            assert_eq!(rows, json!(periods.len()), "{metric} by {grain}");
            let cached = project.cached(&format!("metric_{metric}_{grain}"));
            for ((period, cached), (day, flights)) in cached.iter().zip(&periods) {
                assert_eq!(period, day, "{metric} by {grain}");
                match (cached, value(metric, flights)) {
                    (Some(cached), Some(wanted)) => {
                        assert!((cached - wanted).abs() < 1e-9, "{metric} by {grain}, {day}");
                    }
                    (cached, wanted) => assert_eq!(*cached, wanted, "{metric} by {grain}, {day}"),
                }
            }
        }
    }
    // A second sync replaces the table.
    assert_eq!(project.sync("flights", "month"), json!(12));
}
