//! `millstream queue`: what waits, for what, and who has it.

use serde_json::Value;

use super::answer::{rows, text};
use super::outcome::{short, why};
use super::tenants::{every_tenant, is_idle, note_idle_of};
use crate::cli::Global;
use crate::client::Client;
use crate::error::AppError;
use crate::output;

/// Shows the queues and pools of the tenants that are asked for; of those that take no part, where
/// none is named, the ones whose runs wait or hold slots.
pub(super) async fn show(client: &Client, global: &Global) -> Result<(), AppError> {
    let known = every_tenant(client).await?;
    let asked: Vec<String> = match &global.tenant {
        Some(named) => vec![named.clone()],
        None => known.iter().map(|row| row.id.to_string()).collect(),
    };
    let mut all = serde_json::Map::new();
    for tenant in asked {
        let queue = client.get(&format!("/{tenant}/api/v1/queue")).await?;
        let takes_part = !known.iter().any(|row| row.id.as_str() == tenant && is_idle(row));
        if global.tenant.is_some() || takes_part || goes_on(&queue) {
            all.insert(tenant, queue);
        }
    }
    if global.json {
        output::json(&all);
        return Ok(());
    }
    let mut pools = Vec::new();
    let mut waiting = Vec::new();
    for (tenant, queue) in &all {
        waiting.extend(line_of(tenant, queue));
        pools.extend(rows(queue, "pools").iter().map(|pool| pool_line(tenant, pool)));
    }
    if waiting.is_empty() {
        output::line("no run waits");
    }
    for (number, line) in waiting.iter().enumerate() {
        if number > 0 {
            output::line("");
        }
        output::table(&["PLACE", "RUN", "TENANT", "WHAT", "WHY"], &line.runs);
        line.more.iter().for_each(|more| output::line(more));
    }
    if waiting.len() > 1 {
        output::line("");
        output::line("each tenant's runs have their own order; between tenants places go in turn");
    }
    if !pools.is_empty() {
        output::line("");
        output::table(&["POOL", "TENANT", "HELD", "HELD BY", "WAITING"], &pools);
    }
    for row in &known {
        if let Some(queue) = all.get(row.id.as_str()) {
            note_idle_of(row, queue);
        }
    }
    Ok(())
}

/// Whether something of a tenant waits, or holds slots that others may wait for.
fn goes_on(queue: &Value) -> bool {
    let some = |pool: &Value| ["held_by", "waiting"].iter().any(|it| !rows(pool, it).is_empty());
    line_of("", queue).is_some() || rows(queue, "pools").iter().any(some)
}

/// The runs of one tenant that wait.
struct Line {
    runs: Vec<Vec<String>>,
    more: Option<String>,
}

/// The runs of a tenant that wait, in their order; nothing where none does.
fn line_of(tenant: &str, queue: &Value) -> Option<Line> {
    let runs = rows(queue, "waiting").iter().map(|run| {
        let place = text(run, "/place");
        vec![place, short(&text(run, "/run_id")), tenant.to_owned(), text(run, "/title"), why(run)]
    });
    let line = Line { runs: runs.collect(), more: more_of(tenant, queue) };
    (!line.runs.is_empty() || line.more.is_some()).then_some(line)
}

/// How many runs of a tenant wait behind those that are listed.
fn more_of(tenant: &str, queue: &Value) -> Option<String> {
    let total = queue.get("waiting_total")?.as_u64()?;
    let listed = u64::try_from(rows(queue, "waiting").len()).ok()?;
    let more = total.checked_sub(listed).filter(|more| *more > 0)?;
    Some(format!("and {more} more of tenant {tenant}"))
}

fn pool_line(tenant: &str, pool: &Value) -> Vec<String> {
    let holders = rows(pool, "held_by");
    let others = pool.get("held_by_others").and_then(Value::as_u64).unwrap_or(0);
    let own: u64 = holders.iter().filter_map(|it| it.get("slots")?.as_u64()).sum();
    let held = own + others;
    let mut names: Vec<String> = holders
        .iter()
        .map(|it| format!("{} of {}", text(it, "/step"), short(&text(it, "/run_id"))))
        .collect();
    if others > 0 {
        names.push(format!("{others} by other tenants"));
    }
    vec![
        text(pool, "/name"),
        tenant.to_owned(),
        format!("{held} of {}", text(pool, "/slots")),
        if names.is_empty() { "–".to_owned() } else { names.join(", ") },
        rows(pool, "waiting").len().to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_runs_of_each_tenant_are_a_list_of_their_own() {
        let run = |place: u32| json!({ "place": place, "run_id": "0123456789", "title": "etl" });
        let of = |tenant, places: &[u32]| {
            let waiting: Vec<Value> = places.iter().copied().map(run).collect();
            line_of(tenant, &json!({ "waiting": waiting, "waiting_total": places.len() }))
        };
        let lines: Vec<Line> =
            [of("a", &[1, 2]), of("b", &[]), of("c", &[1])].into_iter().flatten().collect();
        let places: Vec<Vec<[&str; 2]>> = lines
            .iter()
            .map(|line| line.runs.iter().map(|run| [run[2].as_str(), run[0].as_str()]).collect())
            .collect();
        assert_eq!(places, [vec![["a", "1"], ["a", "2"]], vec![["c", "1"]]]);
    }

    #[test]
    fn of_a_pool_that_all_tenants_share_the_slots_of_others_count() {
        let pool = json!({ "name": "lic", "slots": 1, "held_by": [], "held_by_others": 1,
                           "waiting": [{}] });
        assert_eq!(pool_line("acme", &pool), ["lic", "acme", "1 of 1", "1 by other tenants", "1"]);
    }

    #[test]
    fn a_tenant_goes_on_while_a_run_waits_or_a_step_of_its_holds_slots_or_waits_for_some() {
        let of = |pool: Value| json!({ "waiting": [], "waiting_total": 0, "pools": [pool] });
        assert!(goes_on(&json!({ "waiting": [{ "place": 1 }], "waiting_total": 1 })));
        assert!(goes_on(&of(json!({ "held_by": [], "waiting": [{}] }))));
        assert!(goes_on(&of(json!({ "held_by": [{ "slots": 1 }], "waiting": [] }))));
        assert!(!goes_on(&of(json!({ "held_by": [], "held_by_others": 1, "waiting": [] }))));
    }

    #[test]
    fn runs_behind_those_that_are_listed_are_counted() {
        let queue = |listed: usize, total: u64| {
            let waiting = vec![json!({}); listed];
            json!({ "waiting": waiting, "waiting_total": total })
        };
        let more = more_of("acme", &queue(100, 325));
        assert_eq!(more.as_deref(), Some("and 225 more of tenant acme"));
        assert_eq!(more_of("acme", &queue(2, 2)), None);
        // One has left the queue while the answer was made.
        assert_eq!(more_of("acme", &queue(2, 1)), None);
    }
}
