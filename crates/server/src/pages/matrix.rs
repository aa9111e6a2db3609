//! The partitions of an asset as a grid: the first part of the key down, the others across.
//!
//! Every cell is a checkbox, so that a selection needs no script; a table of the same partitions
//! stands below it for those who prefer to read.

use std::collections::BTreeMap;

use askama::Template;
use millstream_model::view::{PartitionRow, PartitionState};

use crate::parts::{Badge, part};

/// The partitions of one asset.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/matrix.html")]
pub struct Matrix {
    form: &'static str,
    shape: Shape,
}

part!(Matrix);

#[derive(Debug, Clone)]
enum Shape {
    /// Keys of one part, side by side.
    Strip(Vec<Cell>),
    /// Keys of several parts.
    Grid(Grid),
}

#[derive(Debug, Clone)]
struct Grid {
    /// The upper header: a word and how many columns it covers; empty for keys of two parts.
    bands: Vec<(String, usize)>,
    columns: Vec<Column>,
    rows: Vec<(String, Vec<Option<Cell>>)>,
}

#[derive(Debug, Clone)]
struct Column {
    label: String,
    /// The class of the first column of a band; empty for the others.
    apart: &'static str,
}

#[derive(Debug, Clone)]
struct Cell {
    key: String,
    badge: Badge,
    /// The class of the column's first cell in a band; empty for the others.
    apart: &'static str,
}

/// Widest grid; wider ones are shown as a strip.
const COLUMNS_MAX: usize = 60;
/// Most cells of one page.
pub const CELLS_MAX: usize = 5_000;

impl Matrix {
    /// The grid of `partitions`, whose checkboxes belong to the form with the id `form`.
    pub fn new(partitions: &[PartitionRow], form: &'static str) -> Self {
        let shown = partitions.get(..CELLS_MAX.min(partitions.len())).unwrap_or(partitions);
        let shape = grid(shown).map_or_else(
            || Shape::Strip(shown.iter().map(|row| cell(row, "")).collect()),
            Shape::Grid,
        );
        Self { form, shape }
    }
}

fn cell(row: &PartitionRow, apart: &'static str) -> Cell {
    Cell { key: row.partition.to_string(), badge: Badge::partition(row.state), apart }
}

/// The parts of a key, whichever separator it has.
fn parts(key: &str) -> Vec<&str> {
    let separator = if key.contains('|') { "|" } else { "::" };
    key.split(separator).collect()
}

fn grid(partitions: &[PartitionRow]) -> Option<Grid> {
    let keys: Vec<Vec<&str>> = partitions.iter().map(|row| parts(row.partition.as_str())).collect();
    let width = keys.first()?.len();
    if width < 2 || keys.iter().any(|key| key.len() != width) {
        return None;
    }
    let mut columns: Vec<Vec<&str>> = Vec::new();
    let mut cells: BTreeMap<(&str, Vec<&str>), &PartitionRow> = BTreeMap::new();
    let mut rows: Vec<&str> = Vec::new();
    for (key, partition) in keys.iter().zip(partitions) {
        let (first, rest) = key.split_first()?;
        if !rows.contains(first) {
            rows.push(first);
        }
        if cells.insert((first, rest.to_vec()), partition).is_none() {
            columns.push(rest.to_vec());
        }
    }
    in_order_of_appearance(&mut columns);
    if columns.len() > COLUMNS_MAX || rows.len() < 2 && columns.len() < 2 {
        return None;
    }
    let mut bands: Vec<(String, usize)> = Vec::new();
    let mut header = Vec::new();
    for column in &columns {
        let (last, above) = column.split_last()?;
        let band = above.join(" · ");
        let starts = bands.last().is_none_or(|(name, _)| *name != band);
        match bands.last_mut() {
            Some((_, number)) if !starts => *number += 1,
            _ => bands.push((band, 1)),
        }
        let apart = if starts && width > 2 { " apart" } else { "" };
        header.push(Column { label: (*last).to_owned(), apart });
    }
    let line = |row: &str| {
        let at = |(column, header): (&Vec<&str>, &Column)| {
            cells.get(&(row, column.clone())).map(|found| cell(found, header.apart))
        };
        (row.to_owned(), columns.iter().zip(&header).map(at).collect())
    };
    let rows = rows.into_iter().map(line).collect();
    Some(Grid { bands: if width > 2 { bands } else { Vec::new() }, columns: header, rows })
}

/// Sorts and dedups `columns` so that each part of a key stands where it first appeared: a
/// definition lists day before week, and the alphabet does not know better.
fn in_order_of_appearance(columns: &mut Vec<Vec<&str>>) {
    let mut ranks: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    for column in columns.iter() {
        for (depth, part) in column.iter().enumerate() {
            let rank = ranks.len();
            ranks.entry((depth, *part)).or_insert(rank);
        }
    }
    columns.sort_by_cached_key(|column| {
        let rank = |(depth, part): (usize, &&str)| ranks.get(&(depth, *part)).copied();
        column.iter().enumerate().map(rank).collect::<Vec<_>>()
    });
    columns.dedup();
}

/// How many of `partitions` are in `state`.
pub fn number_in(partitions: &[PartitionRow], state: PartitionState) -> u64 {
    partitions.iter().filter(|row| row.state == state).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(keys: &[&str]) -> Vec<PartitionRow> {
        let row = |key: &&str| PartitionRow {
            partition: key.parse().unwrap(),
            state: PartitionState::Missing,
            run_id: None,
            at: None,
        };
        keys.iter().map(row).collect()
    }

    #[test]
    fn a_key_of_three_parts_becomes_a_row_a_band_and_a_column() {
        let partitions = rows(&["ewr::day::delay", "jfk::day::delay", "jfk::week::delay"]);
        let grid = grid(&partitions).unwrap();
        assert_eq!(grid.bands, [("day".to_owned(), 1), ("week".to_owned(), 1)]);
        let cells: Vec<usize> =
            grid.rows.iter().map(|(_, cells)| cells.iter().flatten().count()).collect();
        assert_eq!(cells, [1, 2], "ewr has no week, and that cell stays empty");
    }

    #[test]
    fn keys_of_one_part_or_of_mixed_forms_are_side_by_side() {
        assert!(grid(&rows(&["2026-01-01", "2026-01-02"])).is_none());
        assert!(grid(&rows(&["a::b", "c"])).is_none());
    }

    #[test]
    fn every_cell_says_its_state_in_words() {
        let html = Matrix::new(&rows(&["a::b", "a::c"]), "f").to_string();
        assert!(html.contains("a::b: Never built"), "{html}");
    }
}
