//! The course of one number over the last builds.

use std::fmt::Write as _;

use askama::Template;
use millstream_model::view::MaterializationRow;
use millstream_model::{MetadataKind, Timestamp};

use crate::format;
use crate::parts::part;

/// One numeric metadata value, oldest build left.
#[derive(Debug, Clone, PartialEq, Template)]
#[template(path = "parts/plot.html")]
pub struct Plot {
    /// What is plotted.
    pub name: String,
    /// The newest value.
    pub latest: String,
    /// The points of the line in a box of 100 by 100; empty when there is only one.
    pub points: String,
    /// What the picture shows, in words.
    pub summary: String,
}

part!(Plot);

/// Most builds in one plot.
const POINTS_MAX: usize = 50;
/// Most plots of one asset.
const PLOTS_MAX: usize = 6;

impl Plot {
    /// A plot for each number that the newest of `history` (newest first) has.
    pub fn all(history: &[MaterializationRow]) -> Vec<Self> {
        let Some(newest) = history.first() else { return Vec::new() };
        let numeric = |kind| matches!(kind, MetadataKind::Int | MetadataKind::Float);
        let names = newest.metadata.iter().filter(|(_, value)| numeric(value.kind));
        names.take(PLOTS_MAX).filter_map(|(name, _)| Self::new(name, history)).collect()
    }

    fn new(name: &str, history: &[MaterializationRow]) -> Option<Self> {
        let value = |row: &MaterializationRow| {
            row.metadata.get(name).and_then(|value| value.value.as_f64()).map(|v| (row.at, v))
        };
        let mut values: Vec<(Timestamp, f64)> =
            history.iter().filter_map(value).take(POINTS_MAX).collect();
        values.reverse();
        let latest = values.last().map(|(_, value)| *value)?;
        let least = values.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
        let most = values.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
        Some(Self {
            name: name.to_owned(),
            latest: format::decimal(latest),
            points: points(&values, least, most),
            summary: format!(
                "{name}: {} over {}, from {} to {}",
                format::decimal(latest),
                format::plural(values.len() as u64, "build", "builds"),
                format::decimal(least),
                format::decimal(most),
            ),
        })
    }
}

fn points(values: &[(Timestamp, f64)], least: f64, most: f64) -> String {
    let mut text = String::new();
    if values.len() < 2 {
        return text;
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 50 points")]
    let step = 100.0 / (values.len() - 1) as f64;
    let span = if most > least { most - least } else { 1.0 };
    let mut x = 0.0;
    for (_, value) in values {
        let y = if most > least { 95.0 - (value - least) / span * 90.0 } else { 50.0 };
        // Writing to a string cannot fail.
        let _written = write!(text, "{x:.1},{y:.1} ");
        x += step;
    }
    text
}
