//! A server in this process, and a client that has it run jobs.

use serde_json::{Value, json};

use super::bed::broken;
use super::database::Database;
use super::folder::Folder;
use crate::cli::{Access, Global};
use crate::client::Client;
use crate::error::AppError;
use crate::serve::Served;
use crate::settings::Settings;

/// A server in this process, so that the limit is probed through its writer; and a client to it.
///
/// `places` is how many runs may go on at once.
pub(super) async fn serve(
    folder: &Folder,
    (places, database): (&str, Database<'_>),
) -> Result<(Served, Client), AppError> {
    let mut settings = Settings::read(folder.path(), |name| {
        (name == "MILLSTREAM_MAX_CONCURRENT_RUNS").then(|| places.to_owned())
    });
    settings.database_url = database.url();
    let (served, address) = Served::listen(settings, 0).await?;
    served.scanned().await;
    let url = Some(format!("http://{address}"));
    let global = Global { dir: folder.path().to_owned(), url, tenant: None, json: false };
    Ok((served, Client::connect(&global, Access::Does).await?))
}

/// Launches `job`; returns the run's id.
pub(super) async fn launch(client: &Client, job: &str) -> Result<String, AppError> {
    let path = format!("/default/api/v1/jobs/{job}/launch");
    let launched = client.post(&path, &json!({})).await?;
    let run = launched.get("run_id").and_then(Value::as_str);
    Ok(run.ok_or_else(|| broken(&"the launch answers no run"))?.to_owned())
}

/// Waits until the client sees that `run` is over; returns how it is shown.
pub(super) async fn finished(client: &Client, run: &str) -> Result<Value, AppError> {
    let path = format!("/default/api/v1/runs/{run}?wait=30");
    let shown = client.get(&path).await?;
    match shown.get("status").and_then(Value::as_str) {
        Some("SUCCESS") => Ok(shown),
        status => Err(broken(&format!("the run is {status:?} and not SUCCESS"))),
    }
}
