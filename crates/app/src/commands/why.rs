//! `millstream why`: why a run, an asset or a schedule is as it is.

use serde_json::Value;

use super::answer::{rows, text};
use super::tenants::listed_tenants;
use crate::cli::Global;
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

/// Asks every tenant that the command is about, until one knows the subject.
pub(super) async fn run(client: &Client, global: &Global, subject: &str) -> Result<(), AppError> {
    let mut refusal = None;
    for tenant in listed_tenants(client, global).await? {
        match client.get(&format!("/{tenant}/api/v1/why/{}", encoded(subject))).await {
            Ok(answer) => {
                if global.json {
                    output::json(&answer);
                } else {
                    print(&answer);
                }
                return Ok(());
            }
            Err(error @ AppError::Refused { .. }) => refusal = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refusal.unwrap_or(AppError::Usage {
        code: millstream_model::ErrorCode::NotFound,
        message: format!("there is no run, asset or schedule {subject}"),
    }))
}

fn print(answer: &Value) {
    output::line(&format!("{}: {}", text(answer, "/what"), text(answer, "/answer")));
    for reason in rows(answer, "because") {
        let at = match text(reason, "/at") {
            none if none == "–" => String::new(),
            at => format!("{at}  "),
        };
        output::line(&format!("  {at}{}", text(reason, "/text")));
    }
}
