//! `millstream why`: why a run, an asset or a schedule is as it is.

use serde_json::Value;

use super::answer::{rows, text};
use super::tenants::listed_tenants;
use crate::cli::Global;
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

/// Asks every tenant that the command is about, and prints the answer of the one that knows the
/// subject; where several do, one has to be named.
pub(super) async fn run(client: &Client, global: &Global, subject: &str) -> Result<(), AppError> {
    let (mut refusal, mut knowing) = (None, Vec::new());
    for tenant in listed_tenants(client, global).await? {
        match client.get(&format!("/{tenant}/api/v1/why/{}", encoded(subject))).await {
            Ok(answer) => knowing.push((tenant, answer)),
            Err(error @ AppError::Refused { .. }) => refusal = Some(error),
            Err(error) => return Err(error),
        }
    }
    match knowing.as_slice() {
        [(_, answer)] if global.json => output::json(answer),
        [(_, answer)] => print(answer),
        [] => {
            return Err(refusal.unwrap_or(AppError::Usage {
                code: millstream_model::ErrorCode::NotFound,
                message: format!("there is no run, asset or schedule {subject}"),
            }));
        }
        several => {
            let names: Vec<&str> = several.iter().map(|(tenant, _)| tenant.as_str()).collect();
            return Err(AppError::Usage {
                code: millstream_model::ErrorCode::TenantUnknown,
                message: format!(
                    "there is more than one tenant that has {subject}; name one with \
                     `--tenant`: {}",
                    names.join(", ")
                ),
            });
        }
    }
    Ok(())
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
