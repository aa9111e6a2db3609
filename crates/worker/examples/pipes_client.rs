//! A step's program that speaks Pipes with the crate `dagster_pipes_rust`, for the worker's tests.
//!
//! It logs, reports the asset named by its first argument with metadata and a check, sends what it
//! was told as a custom message, and fails with an exit code if the second argument says `fail`.

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;

use dagster_pipes_rust::{AssetCheckSeverity, PipesMetadataValue, open_dagster_pipes};
use serde_json::json;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let asset = arguments.next().unwrap_or_default();
    let fails = arguments.next().is_some_and(|word| word == "fail");
    let mut pipes = open_dagster_pipes()?;
    pipes.logger.warning("a word from rust")?;
    let metadata = HashMap::from([
        ("rows", PipesMetadataValue::from(3_i64)),
        ("job", PipesMetadataValue::from_job("nightly".to_owned())),
    ]);
    pipes.report_asset_materialization(&asset, metadata, Some("v7"))?;
    let metadata = HashMap::from([("share", PipesMetadataValue::from(0.5))]);
    pipes.report_asset_check("not_empty", true, &asset, &AssetCheckSeverity::Error, metadata)?;
    let told = json!({
        "run": pipes.data.run_id,
        "job": pipes.data.job_name,
        "retry": pipes.data.retry_number,
        "assets": pipes.data.asset_keys,
        "extras": pipes.data.extras,
    });
    pipes.report_custom_message(told)?;
    if !fails {
        return Ok(ExitCode::SUCCESS);
    }
    pipes.close(None)?;
    Ok(ExitCode::from(3))
}
