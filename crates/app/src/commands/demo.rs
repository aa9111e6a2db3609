//! `millstream demo`: the Asset Manager over a year of real flights, from nothing to a result.

use std::path::Path;

use millstream_model::{Clock as _, ErrorCode};
use serde_json::{Value, json};

use super::answer::{rows, text};
use super::tenants::tenants;
use super::wait::{Awaited, until_over};
use crate::client::Client;
use crate::clock::SystemClock;
use crate::error::AppError;
use crate::output;
use crate::serve::{Served, ended};
use crate::settings::Settings;

/// The example's files by their paths in its folder.
const FILES: &[(&str, &[u8])] = &[
    ("README.md", include_bytes!("../../../../examples/asset_manager/README.md")),
    ("dags/flights.yaml", include_bytes!("../../../../examples/asset_manager/dags/flights.yaml")),
    ("dags/metrics.yaml", include_bytes!("../../../../examples/asset_manager/dags/metrics.yaml")),
    ("dags/tenants.yaml", include_bytes!("../../../../examples/asset_manager/dags/tenants.yaml")),
    (
        "dags/warehouse.yaml",
        include_bytes!("../../../../examples/asset_manager/dags/warehouse.yaml"),
    ),
    ("data/README.md", include_bytes!("../../../../examples/asset_manager/data/README.md")),
    ("data/airlines.csv", include_bytes!("../../../../examples/asset_manager/data/airlines.csv")),
    (
        "data/flights.csv.gz",
        include_bytes!("../../../../examples/asset_manager/data/flights.csv.gz"),
    ),
];

/// Names of a folder's content that a refusal lists.
const NAMES_SHOWN: usize = 5;

/// How the demo is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Whether it ends after the result.
    pub(super) exit: bool,
    /// Whether the result is JSON; what else there is to say goes to standard error then.
    pub(super) json: bool,
}

impl Manner {
    fn say(self, text: &str) {
        if self.json { output::note(text) } else { output::line(text) }
    }
}

/// Unpacks the example, runs all of it and shows the result; then serves the pages, unless it is
/// told to end.
pub(super) async fn run(folder: &Path, port: u16, manner: Manner) -> Result<(), AppError> {
    let clock = SystemClock::start();
    let settings = Settings::read(folder, |name| match name {
        // The example lies where it was unpacked, whatever the surroundings say.
        "DAGS_DIR" | "DAGS_ENABLED" | "MILLSTREAM_DATABASE_URL" => None,
        other => std::env::var(other).ok(),
    });
    output::warnings(manner.json, &settings.warnings);
    check_free(folder, &settings)?;
    unpack(folder)?;
    let (served, address) = Served::listen(settings, port).await?;
    served.scanned().await;
    let client = Client::Here(Box::new(served));
    manner.say(&format!("The Asset Manager example is in {}", folder.display()));
    manner.say(&format!("Serving on http://{address}"));

    let outcome = run_all(&client, manner).await;
    if outcome.is_ok() {
        manner.say("");
        manner.say(&format!("Done in {:.1} s.", clock.elapsed().as_secs_f64()));
        if !manner.exit {
            manner.say(&format!("Pages: http://{address} — Ctrl-C ends it."));
            ended().await;
        }
    }
    client.close().await;
    outcome
}

async fn run_all(client: &Client, manner: Manner) -> Result<(), AppError> {
    let all = tenants(client).await?;
    manner.say(&format!("Loading the flights of 2013 for {} tenants …", all.len()));
    let flights = json!({ "select": "flights" });
    materialize(client, &all, &flights, manner).await?;
    let metrics = json!({ "select": "metric_semantic_values+", "all": true });
    manner.say("Extracting and caching every metric, grain and tenant …");
    let count = materialize(client, &all, &metrics, manner).await?;
    manner.say(&format!("{count} partitions are materialized."));
    manner.say("");
    let results = results(client, &all).await?;
    if manner.json {
        output::json(&results);
    } else {
        print(&results);
    }
    Ok(())
}

/// Materializes in every tenant at once and waits; returns how many runs there were.
async fn materialize(
    client: &Client,
    all: &[String],
    wish: &Value,
    manner: Manner,
) -> Result<usize, AppError> {
    let mut awaited = Vec::new();
    for tenant in all {
        let answer = client.post(&format!("/{tenant}/api/v1/assets/materialize"), wish).await?;
        awaited.extend(
            rows(&answer, "runs")
                .iter()
                .map(|run| Awaited { tenant: text(run, "/tenant"), run: text(run, "/run_id") }),
        );
    }
    let over = until_over(client, &awaited).await?;
    for run in &over {
        if text(run, "/status") != "SUCCESS" {
            if manner.json {
                output::json(run);
            } else {
                super::outcome::print_outcome(run);
            }
            return Err(AppError::Failed);
        }
    }
    Ok(over.len())
}

/// What each tenant has: its flights of the year, and the tables that were cached.
async fn results(client: &Client, all: &[String]) -> Result<Vec<Value>, AppError> {
    let mut results = Vec::new();
    for tenant in all {
        let flights = client.get(&format!("/{tenant}/api/v1/assets/flights")).await?;
        let cache = client.get(&format!("/{tenant}/api/v1/assets/snowflake_metric_cache")).await?;
        let fact = |name: &str| flights.pointer(&format!("/latest/metadata/{name}/value"));
        let cached = rows(&cache, "partition_rows")
            .iter()
            .filter(|row| text(row, "/state") == "materialized")
            .count();
        results.push(json!({
            "tenant": tenant,
            "flights": fact("flights"),
            "mean_dep_delay": fact("mean_dep_delay"),
            "cancelled": fact("cancelled"),
            "first_date": fact("first_date"),
            "last_date": fact("last_date"),
            "metric_tables": cached,
            "warehouse": format!("warehouse/{tenant}.db"),
        }));
    }
    Ok(results)
}

/// Prints the results as a table.
fn print(results: &[Value]) {
    let line = |of: &Value| {
        let fact = |name: &str| text(of, &format!("/{name}"));
        vec![
            fact("tenant").to_uppercase(),
            fact("flights"),
            fact("mean_dep_delay"),
            fact("cancelled"),
            format!("{} – {}", fact("first_date"), fact("last_date")),
            format!("{} in {}", fact("metric_tables"), fact("warehouse")),
        ]
    };
    let table: Vec<Vec<String>> = results.iter().map(line).collect();
    let heads = ["AIRPORT", "FLIGHTS", "MEAN DELAY (MIN)", "CANCELLED", "PERIOD", "METRIC TABLES"];
    output::table(&heads, &table);
}

/// Whether the example may lie in `folder`: where there is nothing yet, or it lies there already,
/// and no server runs. Nothing has been written by then.
fn check_free(folder: &Path, settings: &Settings) -> Result<(), AppError> {
    let refused = |message: String| AppError::Usage { code: ErrorCode::BadRequest, message };
    let place = folder.display();
    if std::os::unix::net::UnixStream::connect(settings.socket()).is_ok() {
        return Err(refused(format!(
            "a server runs on {place}; end it, or name another folder: `millstream demo FOLDER`"
        )));
    }
    let failed = |source| AppError::Files { path: folder.to_owned(), source };
    let mut names = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(entries) => entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<String>, std::io::Error>>()
            .map_err(failed)?,
    };
    if names.is_empty() || is_the_demo(folder) {
        return Ok(());
    }
    names.sort();
    names.truncate(NAMES_SHOWN);
    Err(refused(format!(
        "{place} is not the demo's folder: there is {}; name one that is new or empty: \
         `millstream demo FOLDER`",
        names.join(", ")
    )))
}

/// Whether the example lies in `folder`, or part of it: how its first file begins says so.
fn is_the_demo(folder: &Path) -> bool {
    let Some((name, content)) = FILES.first() else { return false };
    let begin = |bytes: &[u8]| {
        bytes.split(|byte| *byte == b'\n').take(3).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let there = std::fs::read(folder.join(name)).unwrap_or_default();
    begin(&there) == begin(content)
}

/// Writes the example's files that are not there yet, so that what somebody changed stays.
fn unpack(folder: &Path) -> Result<(), AppError> {
    for (name, content) in FILES {
        let path = folder.join(name);
        let failed = |source| AppError::Files { path: path.clone(), source };
        if path.exists() {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        std::fs::write(&path, content).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_unpacks_every_file_of_the_example() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/asset_manager");
        let mut expected = Vec::new();
        for entry in ["", "dags", "data"] {
            for file in std::fs::read_dir(example.join(entry)).unwrap() {
                let path = file.unwrap().path();
                if path.is_file() {
                    let below = path.strip_prefix(&example).unwrap();
                    expected.push(below.to_string_lossy().into_owned());
                }
            }
        }
        expected.sort();
        let mut packed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        packed.sort_unstable();
        assert_eq!(packed, expected);
    }
}
