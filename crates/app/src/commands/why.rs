//! `millstream why`: why a run, an asset, a schedule, a sensor or a job is as it is.

use millstream_model::ErrorCode;
use serde_json::Value;

use super::answer::{rows, text};
use super::tenants::{listed_tenants, searched_tenants};
use crate::cli::Global;
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

/// Asks every tenant that the command is about, and prints the answer of the one that knows the
/// subject; where several do, one has to be named. Those that take no part any more are asked last.
pub(super) async fn run(client: &Client, global: &Global, subject: &str) -> Result<(), AppError> {
    let listed = listed_tenants(client, global).await?;
    let (mut refusal, mut knowing) = asked(client, subject, &listed).await?;
    if knowing.is_empty() {
        let mut others = searched_tenants(client, global).await?;
        others.retain(|tenant| !listed.contains(tenant));
        let (refused, known) = asked(client, subject, &others).await?;
        (refusal, knowing) = (refusal.or(refused), known);
    }
    match knowing.as_slice() {
        [(_, answer)] if global.json => output::json(answer),
        [(_, answer)] => print(answer),
        [] => {
            return Err(refusal.unwrap_or(AppError::Unknown {
                code: ErrorCode::NotFound,
                message: format!("there is no run, asset, schedule, sensor or job {subject}"),
            }));
        }
        several => {
            let names: Vec<&str> = several.iter().map(|(tenant, _)| tenant.as_str()).collect();
            return Err(AppError::Usage {
                code: ErrorCode::TenantUnknown,
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

/// The answers of the tenants that know the subject, and the last refusal of one that does not.
async fn asked(
    client: &Client,
    subject: &str,
    tenants: &[String],
) -> Result<(Option<AppError>, Vec<(String, Value)>), AppError> {
    let nothing = Some(ErrorCode::NotFound.to_string());
    let (mut refusal, mut knowing) = (None::<AppError>, Vec::new());
    for tenant in tenants {
        match client.get(&format!("/{tenant}/api/v1/why/{}", encoded(subject))).await {
            Ok(answer) => knowing.push((tenant.clone(), answer)),
            Err(error) if error.is_unknown() => match &refusal {
                // What one tenant knows of the name says more than that another knows nothing.
                Some(told) if told.code() != nothing => {}
                _ => refusal = Some(error),
            },
            Err(error) => return Err(error),
        }
    }
    Ok((refusal, knowing))
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

#[cfg(test)]
mod tests {

    use axum::extract::Path;
    use axum::http::StatusCode;
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::json;

    use super::*;

    /// Four tenants: one knows the subject, one does not, one knows its new name, and one cannot
    /// say.
    async fn answer(Path((tenant, _)): Path<(String, String)>) -> (StatusCode, Json<Value>) {
        let refused = |code: &str| json!({ "error": { "code": code, "message": "no" } });
        match tenant.as_str() {
            "knows" => (StatusCode::OK, Json(json!({ "what": "a run", "answer": "it waits" }))),
            "other" => (StatusCode::NOT_FOUND, Json(refused("not-found"))),
            "renamed" => (StatusCode::NOT_FOUND, Json(refused("schedule-unknown"))),
            _ => (StatusCode::SERVICE_UNAVAILABLE, Json(refused("database-unavailable"))),
        }
    }

    /// What the command comes to on an instance that has `tenants`.
    async fn asked(tenants: &[&str]) -> Result<(), AppError> {
        let listed: Vec<Value> = tenants.iter().map(|id| json!({ "id": id })).collect();
        let listed = Json(json!({ "tenants": listed }));
        let router = Router::new()
            .route("/api/v1/tenants", get(async move || listed))
            .route("/{tenant}/api/v1/why/{subject}", get(answer));
        let client = Client::of(router).await;
        let global = Global { dir: ".".into(), url: None, tenant: None, json: true };
        run(&client, &global, "orders").await
    }

    #[tokio::test]
    async fn a_tenant_that_cannot_answer_is_told_of_though_another_one_knows_the_subject() {
        asked(&["knows", "other"]).await.unwrap();
        let code = async |tenants: &[&str]| asked(tenants).await.unwrap_err().code();
        let unavailable = Some("database-unavailable".to_owned());
        assert_eq!(code(&["other"]).await, Some("not-found".to_owned()));
        let renamed = Some("schedule-unknown".to_owned());
        assert_eq!(code(&["renamed", "other"]).await, renamed);
        assert_eq!(code(&["other", "renamed"]).await, renamed);
        assert_eq!(code(&["broken", "knows"]).await, unavailable);
        assert_eq!(code(&["knows", "broken"]).await, unavailable);
    }
}
