//! The demo's result, checked against numbers that are computed here from the same flights.

use std::collections::BTreeMap;
use std::io::BufReader;

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};

use crate::project::Project;

const METRICS: [&str; 3] = ["flights", "mean_dep_delay", "cancellation_rate"];
const GRAINS: [&str; 3] = ["day", "week", "month"];

/// What is counted of the flights of one period.
#[derive(Debug, Default, Clone)]
struct Tally {
    flights: f64,
    delay: f64,
    departed: f64,
    canceled: f64,
}

impl Tally {
    fn value(&self, metric: &str) -> f64 {
        match metric {
            "flights" => self.flights,
            "mean_dep_delay" => self.delay / self.departed,
            _ => self.canceled / self.flights,
        }
    }
}

/// The flights by airport, grain and period.
type Tallies = BTreeMap<(String, &'static str, String), Tally>;

/// Reads the example's flights without anything of the product's.
fn tallies() -> Tallies {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/asset_manager/data");
    let file = std::fs::File::open(format!("{path}/flights.csv.gz")).unwrap();
    let unpacked = flate2::read::GzDecoder::new(BufReader::new(file));
    let mut reader = csv::Reader::from_reader(BufReader::new(unpacked));
    let heads = reader.headers().unwrap().clone();
    let column = |name: &str| heads.iter().position(|head| head == name).unwrap();
    let (date, origin) = (column("date"), column("origin"));
    let (delay, canceled) = (column("dep_delay"), column("cancelled"));
    let mut all = Tallies::new();
    let mut periods: BTreeMap<String, [String; 3]> = BTreeMap::new();
    for row in reader.records() {
        let row = row.unwrap();
        let periods = periods.entry(row[date].to_owned()).or_insert_with_key(|day| {
            let date: Date = day.parse().unwrap();
            let since_monday = date.weekday().since(Weekday::Monday);
            let week = date - i64::from(since_monday).days();
            [date, week, date.first_of_month()].map(|date| date.to_string())
        });
        for (grain, period) in GRAINS.into_iter().zip(periods) {
            let key = (row[origin].to_lowercase(), grain, period.clone());
            let tally = all.entry(key).or_default();
            tally.flights += 1.0;
            tally.canceled += row[canceled].parse::<f64>().unwrap();
            if let Ok(minutes) = row[delay].parse::<f64>() {
                tally.delay += minutes;
                tally.departed += 1.0;
            }
        }
    }
    all
}

fn expected(all: &Tallies, tenant: &str, grain: &str, metric: &str) -> Vec<(String, f64)> {
    all.iter()
        .filter(|((airport, of, _), _)| airport == tenant && *of == grain)
        .map(|((_, _, period), tally)| (period.clone(), tally.value(metric)))
        .collect()
}

/// The rows of a metric's table in the tenant's warehouse.
fn cached(warehouse: &rusqlite::Connection, grain: &str, metric: &str) -> Vec<(String, f64)> {
    let sql = format!("SELECT period, value FROM metric_{metric}_{grain} ORDER BY period");
    let mut statement = warehouse.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The rows of a metric's file in the lake.
fn extracted(project: &Project, tenant: &str, grain: &str, metric: &str) -> Vec<(String, f64)> {
    let name = format!("{tenant}::{grain}::{metric}.csv");
    let path = project.path(&format!("demo/lake/{tenant}/metric_semantic_values/{name}"));
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

fn assert_same(found: &[(String, f64)], expected: &[(String, f64)], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for ((period, value), (wanted_period, wanted)) in found.iter().zip(expected) {
        assert_eq!(period, wanted_period, "{what}");
        let near = (value - wanted).abs() <= 1e-9 * wanted.abs().max(1.0);
        assert!(near, "{what} {period}: {value} instead of {wanted}");
    }
}

#[test]
fn the_demo_ends_with_the_years_flights_of_three_airports_that_share_nothing() {
    let project = Project::new();
    let outcome = project.run(&["demo", "demo", "--exit", "--port", "0"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let table = [
        ("EWR", "120835", "15.11", "3239", "9 in warehouse/ewr.db"),
        ("JFK", "111279", "12.11", "1863", "9 in warehouse/jfk.db"),
        ("LGA", "104662", "10.35", "3153", "9 in warehouse/lga.db"),
    ];
    for (airport, flights, delay, canceled, tables) in table {
        let line = outcome.out.lines().find(|line| line.starts_with(airport)).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1..4], [flights, delay, canceled], "{line}");
        assert!(line.ends_with(tables), "{line}");
    }
    assert!(outcome.out.contains("27 partitions are materialized"), "{}", outcome.out);
    assert!(outcome.out.contains("http://127.0.0.1:"), "the page's address: {}", outcome.out);

    let again = project.run(&["--json", "demo", "demo", "--exit", "--port", "0"]).json();
    let facts = ["tenant", "flights", "cancelled", "metric_tables"].map(|name| &again[0][name]);
    assert_eq!(serde_json::json!(facts), serde_json::json!(["ewr", 120_835, 3239, 9]), "{again}");

    let all = tallies();
    for tenant in ["ewr", "jfk", "lga"] {
        let path = project.path(&format!("demo/warehouse/{tenant}.db"));
        let warehouse = rusqlite::Connection::open(path).unwrap();
        for grain in GRAINS {
            for metric in METRICS {
                let what = format!("{tenant}::{grain}::{metric}");
                let expected = expected(&all, tenant, grain, metric);
                assert_same(&cached(&warehouse, grain, metric), &expected, &what);
                assert_same(&extracted(&project, tenant, grain, metric), &expected, &what);
            }
        }
        r036_r098_nothing_of_others(&project, &warehouse, tenant);
    }
}

/// R036, R098: a tenant's warehouse and its part of the lake hold its own rows alone.
fn r036_r098_nothing_of_others(project: &Project, warehouse: &rusqlite::Connection, tenant: &str) {
    let mut statement = warehouse.prepare("SELECT DISTINCT lower(origin) FROM flights").unwrap();
    let origins: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(origins, [tenant]);
    let folder = project.path(&format!("demo/lake/{tenant}/metric_semantic_values"));
    let files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files.len(), 9);
    assert!(files.iter().all(|name| name.starts_with(&format!("{tenant}::"))), "{files:?}");
}
