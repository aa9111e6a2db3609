//! Many rows of one table in one statement.
//!
//! Called by `apply` before a batch is sent: a statement for each row costs the server twice what
//! the rows cost it. It changes nothing about what a batch means: it holds where each single
//! statement would hold, no row goes past a statement that names its table, and what each gave
//! back is found at its old place.

use std::collections::{HashMap, HashSet};

use super::text::Texts;
use crate::Row;
use crate::batch::{Expect, Step};

/// The rows of one statement; those left over have one each, so that few texts are prepared.
pub(super) const ROWS: u32 = 50;

/// Where the steps that are sent stood in their batch.
pub(super) struct Places {
    /// The place of each; nothing when all stand there still.
    moved: Option<Vec<usize>>,
    /// How many steps the batch has.
    count: usize,
}

/// `steps`, of which those that insert single rows are put together.
pub(super) fn gather(steps: Vec<Step>, texts: &Texts) -> (Vec<Step>, Places) {
    let count = steps.len();
    if count < ROWS as usize {
        return (steps, Places { moved: None, count });
    }
    let mut gathered: Vec<(usize, Step)> = Vec::with_capacity(count);
    let mut waiting: HashMap<&'static str, Vec<(usize, Step)>> = HashMap::new();
    for (place, step) in steps.into_iter().enumerate() {
        if step.expect != Expect::Rows(1) || !texts.inserts_one(step.sql) {
            // It may see the rows of a table that it names: those after it stay after it.
            waiting.retain(|text, group| {
                let is_seen = texts.may_see(step.sql, table_of(text));
                if is_seen {
                    gathered.append(group);
                }
                !is_seen
            });
            gathered.push((place, step));
            continue;
        }
        let group = waiting.entry(step.sql.text).or_default();
        group.push((place, step));
        if group.len() == ROWS as usize {
            gathered.extend(together(std::mem::take(group)));
        }
    }
    gathered.extend(waiting.into_values().flatten());
    gathered.sort_by_key(|(place, _)| *place);
    let (places, steps) = gathered.into_iter().unzip();
    (steps, Places { moved: Some(places), count })
}

impl Places {
    /// What each step of the batch gave back, from what was sent for them.
    pub(super) fn apart(self, rows: Vec<Vec<Row>>) -> Vec<Vec<Row>> {
        let Some(moved) = self.moved else { return rows };
        let mut apart: Vec<Vec<Row>> = std::iter::repeat_with(Vec::new).take(self.count).collect();
        for (place, rows) in moved.into_iter().zip(rows) {
            if let Some(one) = apart.get_mut(place) {
                *one = rows;
            }
        }
        apart
    }
}

/// The table that `text` inserts into.
fn table_of(text: &str) -> &str {
    text.split_whitespace().nth(2).unwrap_or_default()
}

/// The tables that `text` reads or writes: what follows the words that tables follow.
pub(super) fn tables_in(text: &str) -> HashSet<String> {
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let words: Vec<&str> = text.split(|it| !is_name(it)).filter(|it| !it.is_empty()).collect();
    let places = ["FROM", "JOIN", "INTO", "UPDATE", "ONLY", "USING"];
    let pairs = words.iter().zip(words.iter().skip(1));
    pairs.filter(|(word, _)| places.contains(word)).map(|(_, it)| (*it).to_owned()).collect()
}

/// One statement for the rows of all, where the first of them stood.
fn together(steps: Vec<(usize, Step)>) -> Option<(usize, Step)> {
    let mut steps = steps.into_iter();
    let (place, mut first) = steps.next()?;
    first.params.extend(steps.flat_map(|(_, step)| step.params));
    first.expect = Expect::Rows(ROWS);
    Some((place, first))
}

/// `text`, which inserts one row of values, for `rows` rows; nothing when it does something else.
pub(super) fn rows_of(text: &str, rows: u32) -> Option<String> {
    let (head, row) = text.split_once("VALUES (")?;
    let is_plain = text.trim_start().starts_with("INSERT INTO")
        && !["SELECT", "ON CONFLICT", "RETURNING"].iter().any(|word| text.contains(word));
    let params = row.split('$').skip(1).filter_map(leading_number).max()?;
    let all = (0..rows).map(|number| format!("({}", shifted(row, number as usize * params)));
    is_plain.then(|| format!("{head}VALUES {}", all.collect::<Vec<_>>().join(", ")))
}

/// `row` with its parameters counted from `by` on.
fn shifted(row: &str, by: usize) -> String {
    let mut parts = row.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|it: char| it.is_ascii_digit());
        let number = leading_number(part).unwrap_or_default() + by;
        text.push('$');
        text.push_str(&number.to_string());
        text.push_str(rest);
    }
    text
}

fn leading_number(part: &str) -> Option<usize> {
    let end = part.find(|it: char| !it.is_ascii_digit()).unwrap_or(part.len());
    part.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sql, Value};

    static ADD: Sql =
        Sql { name: "ADD", text: "INSERT INTO a (b, c, d) VALUES ($1, 'X', CAST($2 AS BIGINT))" };
    static TAKE: Sql = Sql { name: "TAKE", text: "DELETE FROM a WHERE b = $1" };

    #[test]
    fn one_row_of_values_is_written_for_many() {
        let text = rows_of(ADD.text, 2).unwrap();
        assert_eq!(
            text,
            "INSERT INTO a (b, c, d) VALUES ($1, 'X', CAST($2 AS BIGINT)), \
             ($3, 'X', CAST($4 AS BIGINT))"
        );
        assert_eq!(rows_of(TAKE.text, 2), None);
    }

    #[test]
    fn rows_of_one_table_go_into_one_statement_and_answers_to_their_old_places() {
        let texts = Texts::new();
        let sql = crate::all_statements().find(|sql| sql.name == "INSERT_EVENT_BATCH").unwrap();
        let row =
            |id: i64| Step { sql, params: vec!["t".into(), id.into()], expect: Expect::Rows(1) };
        let other = || Step { sql: &TAKE, params: vec!["x".into()], expect: Expect::Any };
        let mut steps = vec![other()];
        steps.extend((0..i64::from(ROWS) + 3).map(row));
        steps.push(other());
        let count = steps.len();
        let (sent, places) = gather(steps, &texts);
        assert_eq!(sent.len(), 1 + 1 + 3 + 1);
        assert_eq!(sent[1].expect, Expect::Rows(ROWS));
        assert_eq!(sent[1].params.len(), 2 * ROWS as usize);
        assert_eq!(sent[1].params[2 * ROWS as usize - 1], Value::Int(i64::from(ROWS) - 1));
        assert_eq!(sent[2].params[1], Value::Int(i64::from(ROWS)));
        let gave = |number: i64| vec![Row::new("T", vec![Value::Int(number)])];
        let apart = places.apart((0..6).map(gave).collect());
        let told = apart.into_iter().map(|rows| rows.into_iter().next().map(|mut row| row.int()));
        // The first of the rows stands for those that went with it, which give nothing back.
        let rows = ROWS as usize;
        let mut wanted = vec![None; count];
        for (sent, place) in (0..).zip([0, 1, rows + 1, rows + 2, rows + 3, count - 1]) {
            wanted[place] = Some(sent);
        }
        let told: Vec<Option<i64>> = told.map(|it| it.map(Result::unwrap)).collect();
        assert_eq!(told, wanted);
    }

    #[test]
    fn no_row_goes_past_a_statement_that_sees_its_table() {
        let texts = Texts::new();
        let find = |name: &str| crate::all_statements().find(|sql| sql.name == name).unwrap();
        let step =
            |name: &str, expect| Step { sql: find(name), params: vec![1_i64.into()], expect };
        let mut steps = Vec::new();
        for _ in 0..ROWS {
            steps.push(step("DELETE_MATERIALIZATION", Expect::Any));
            steps.push(step("INSERT_MATERIALIZATION", Expect::Rows(1)));
        }
        let (sent, _) = gather(steps.clone(), &texts);
        assert_eq!(sent, steps);
        let tables =
            tables_in("WITH a AS (SELECT 1 FROM one JOIN two ON TRUE) UPDATE three SET b = 1");
        let wanted = ["one", "two", "three"].map(str::to_owned);
        assert_eq!(tables, wanted.into());
    }

    #[test]
    fn a_few_rows_stay_as_they_are() {
        let (sent, places) =
            gather(vec![Step { sql: &TAKE, params: vec![], expect: Expect::Any }], &Texts::new());
        assert_eq!((sent.len(), places.moved.is_none()), (1, true));
    }
}
