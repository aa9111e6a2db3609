//! The log of events in SQL: what `dialect` fills in where a statement reads or writes it.
//!
//! On Postgres a batch of events is a row, which has its position once a publisher has given it. On
//! SQLite the one writer gives positions itself: an event's key is its place in the log, which is
//! the position of its batch and, in the lower bits, its place within the batch, that of its run,
//! epoch and `seq`. An index by position would be one more page in each commit.

/// The bits of a place on SQLite that are the place within the batch. A batch of more events than
/// that would go on at the next position.
const BITS: u32 = 20;

/// Behind all positions: the last that has a place, with one more behind it.
const LAST: i64 = (1 << (i64::BITS - 1 - BITS)) - 2;

/// What fills the hole `name` with `argument` on SQLite; `None` when there is no such hole.
pub(crate) fn on_sqlite(name: &str, argument: &str) -> Option<String> {
    Some(match (name, argument) {
        ("batch", "table") => "event".to_owned(),
        ("batch", "positions") => "SELECT DISTINCT position FROM event NOT INDEXED".to_owned(),
        ("batch", "order") => "place".to_owned(),
        // One that is the last one's namesake would share its position.
        ("batch", "row") => "SELECT 1 WHERE ($1, $2) IS NOT \
                             (SELECT tenant, batch FROM event ORDER BY place DESC LIMIT 1)"
            .to_owned(),
        ("batch", _) => {
            let (batch, event) = argument.split_once(" of ")?;
            format!("JOIN event {batch} ON {batch}.place = {event}.place")
        }
        ("log", _) => {
            let (batch, event, _) = log(argument)?;
            // Without statistics it would go over all that the tenant has.
            format!(
                "event {batch} NOT INDEXED \
                 CROSS JOIN event {event} ON {event}.place = {batch}.place"
            )
        }
        ("places", _) => {
            let (batch, bounds) = argument.split_once(' ')?;
            let (from, upto) = bounds.split_once(' ')?;
            format!(
                "AND {batch}.place >= MIN({from}, {LAST}) << {BITS} \
                 AND {batch}.place < (MIN({upto}, {LAST}) + 1) << {BITS}"
            )
        }
        ("behind", _) => format!("AND place >= (MIN({argument}, {LAST}) + 1) << {BITS}"),
        ("order", _) => format!("{}.place", argument.split_once(' ')?.0),
        ("last", "position") => {
            "SELECT COALESCE((SELECT position FROM event ORDER BY place DESC LIMIT 1), 0)"
                .to_owned()
        }
        ("publish", "") => "SELECT position FROM event WHERE FALSE LIMIT $1".to_owned(),
        ("unpublished", "") => "FALSE".to_owned(),
        ("place", "column") => ", place".to_owned(),
        // Behind the last event, if it is of the same batch, or at the next position.
        ("place", _) => format!(
            ", COALESCE((SELECT CASE WHEN (tenant, batch) = ({}) THEN place + 1 \
             ELSE (position + 1) << {BITS} END \
             FROM event ORDER BY place DESC LIMIT 1), 1 << {BITS})",
            argument.strip_prefix("of ")?
        ),
        _ => return None,
    })
}

/// What fills the hole `name` with `argument` on Postgres; `None` when there is no such hole.
pub(crate) fn on_postgres(name: &str, argument: &str) -> Option<String> {
    Some(match (name, argument) {
        ("batch", "table") => "event_batch".to_owned(),
        ("batch", "positions") => "SELECT position FROM event_batch".to_owned(),
        ("batch", "order") => "position".to_owned(),
        ("batch", "row") => "INSERT INTO event_batch (tenant, id) VALUES ($1, $2)".to_owned(),
        ("batch", _) => {
            let (batch, event) = argument.split_once(" of ")?;
            format!(
                "JOIN event_batch {batch} \
                 ON {batch}.tenant = {event}.tenant AND {batch}.id = {event}.batch"
            )
        }
        ("log", _) => {
            let (batch, event, condition) = log(argument)?;
            // The events of each batch are looked up by its id, as a range in the index's order:
            // the planner would take an index that has fewer of the columns.
            format!(
                "(SELECT {batch}.* FROM event_batch {batch} WHERE {condition} \
                 ORDER BY {batch}.position OFFSET 0) AS {batch} \
                 CROSS JOIN LATERAL (SELECT {event}.* FROM event {event} \
                 WHERE {event}.tenant = {batch}.tenant \
                 AND {event}.batch >= {batch}.id AND {event}.batch <= {batch}.id \
                 ORDER BY {event}.batch OFFSET 0) AS {event}"
            )
        }
        // A publisher gives the position, and nobody else may.
        ("places" | "behind" | "place", _) => String::new(),
        ("order", _) => {
            let (batch, event) = argument.split_once(' ')?;
            format!("{batch}.position, {event}.run, {event}.epoch, {event}.seq")
        }
        ("last", "position") => "SELECT COALESCE(MAX(position), 0) FROM event_batch".to_owned(),
        ("publish", "") => PUBLISH.to_owned(),
        ("unpublished", "") => "position IS NULL".to_owned(),
        _ => return None,
    })
}

/// Gives positions to the batches that have none and arrived first.
const PUBLISH: &str = "
    UPDATE event_batch SET position = fresh.place
    FROM (SELECT tenant AS of_tenant, id AS of_batch,
                 (SELECT COALESCE(MAX(position), 0) FROM event_batch)
                 + ROW_NUMBER() OVER (ORDER BY arrival) AS place
          FROM event_batch WHERE position IS NULL ORDER BY arrival LIMIT $1) AS fresh
    WHERE tenant = fresh.of_tenant AND id = fresh.of_batch
    RETURNING position";

/// The two names and the condition of `b e if condition`.
fn log(argument: &str) -> Option<(&str, &str, &str)> {
    let (names, condition) = argument.split_once(" if ")?;
    let (batch, event) = names.split_once(' ')?;
    Some((batch, event, condition))
}
