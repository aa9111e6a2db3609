//! `millstream daemon`: which daemons there are, and whether their loops still get around.

use millstream_model::LoopRow;
use serde_json::Value;

use super::answer::{rows, text};
use crate::cli::Global;
use crate::client::Client;
use crate::error::AppError;
use crate::output;

/// Lists the loops of each daemon.
pub(super) async fn list(client: &Client, global: &Global) -> Result<(), AppError> {
    let answer = client.get("/api/v1/daemons").await?;
    if global.json {
        output::json(&answer);
        return Ok(());
    }
    let daemons = rows(&answer, "daemons");
    if daemons.is_empty() {
        output::line("no daemon was heard of: runs wait, and nothing ticks, until one starts");
        return Ok(());
    }
    let mut lines = Vec::new();
    for daemon in daemons {
        lines.extend(rows(daemon, "loops").iter().map(|row| loop_line(daemon, row)));
    }
    output::table(&["DAEMON", "LOOP", "STATE", "LAST GOT AROUND", "WORK"], &lines);
    Ok(())
}

fn loop_line(daemon: &Value, row: &Value) -> Vec<String> {
    let known = serde_json::from_value::<LoopRow>(row.clone()).ok();
    let state = known.as_ref().map_or_else(|| text(row, "/state"), LoopRow::state_words);
    let work = known.as_ref().map_or("–", LoopRow::work);
    vec![text(daemon, "/name"), text(row, "/name"), state, text(row, "/beat_at"), work.to_owned()]
}
