//! One asset: what was made last and what was said about it, its partitions, its history.

use askama::Template;
use millstream_control::{
    Because, NeverMade, Tries, Try, check_words, failed_words, in_vain_words, last_try_words,
    tries_words,
};
use millstream_model::view::{
    AssetRow, FailedCheck, MadeBy, MaterializationRow, PartitionRow, PartitionState,
};
use millstream_model::{
    AssetKey, CheckSeverity, MetadataKind, PartitionKey, TenantId, Timestamp, shell_word,
};
use serde_json::Value;

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::pages::assets::{badge, counts};
use crate::pages::matrix::{CELLS_MAX, Matrix, number_in};
use crate::parts::{Badge, Built, Equivalent, Glyph, Plot, Shown};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct AssetPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The asset.
    pub asset: AssetRow,
    /// The assets that are made from it.
    pub feeds: Vec<AssetKey>,
    /// The newest materializations, newest first.
    pub history: Vec<MaterializationRow>,
    /// Its partitions in their order; empty for an asset that is one whole.
    pub partitions: Vec<PartitionRow>,
    /// Its tries since it was made, newest first; none of an asset with partitions.
    pub tries: Tries,
    /// Its partitions whose newest tries made nothing and did not fail, the newest first.
    pub in_vain: Vec<(PartitionKey, Try)>,
    /// Those of what it is made from that were never made.
    pub never_made: Vec<NeverMade>,
    /// What says that it is stale.
    pub stale: Vec<Because>,
    /// The first runs that have yet to make it, and how each stands.
    pub coming: Vec<Because>,
}

/// The states that the legend of the grid names, worst first.
const LEGEND: [PartitionState; 4] = [
    PartitionState::Failed,
    PartitionState::Running,
    PartitionState::Missing,
    PartitionState::Materialized,
];
/// Most characters of a text in the history.
const TEXT_SHOWN: usize = 32;
/// Most partitions in the list below the grid.
const LIST_MAX: usize = 200;

#[derive(Template)]
#[template(path = "asset.html")]
struct Asset {
    frame: Frame,
    key: String,
    badge: Badge,
    verdict: String,
    description: Option<String>,
    plots: Vec<Plot>,
    latest: Option<Latest>,
    checks: Vec<CheckLine>,
    history: Vec<HistoryLine>,
    matrix: Option<Matrix>,
    cells_hidden: usize,
    legend: [Badge; 4],
    list: Vec<PartitionLine>,
    missing: u64,
    failed: u64,
    total: u64,
    action: String,
    why: String,
    facts: Vec<(&'static str, String)>,
    upstream: Vec<(String, String)>,
    downstream: Vec<(String, String)>,
    equivalent: Equivalent,
}

struct Latest {
    when: Moment,
    by: Maker,
    partition: Option<String>,
    metadata: Vec<(String, Shown)>,
}

/// A check that did not pass.
struct CheckLine {
    glyph: Glyph,
    when: Moment,
    words: String,
}

struct HistoryLine {
    key: String,
    when: Moment,
    partition: String,
    by: Maker,
    facts: String,
}

/// Who made something: a run with its page, or whoever reported it.
enum Maker {
    Run { short: String, href: String },
    Reporter(String),
}

impl Maker {
    fn of(tenant: &TenantId, made_by: &MadeBy) -> Self {
        match made_by {
            MadeBy::Run { run_id, .. } => {
                Self::Run { short: run_id.short(), href: link::run(tenant, run_id) }
            }
            MadeBy::Report { reported_by, .. } => Self::Reporter(reported_by.clone()),
        }
    }
}

struct PartitionLine {
    key: String,
    badge: Badge,
    run: Option<(String, String)>,
    when: Option<Moment>,
}

/// The page.
pub fn asset(page: AssetPage) -> Html {
    let asset = &page.asset;
    let tenant = &asset.tenant;
    let newest = page.history.first().or(asset.latest.as_ref());
    let failed = tries_words(&page.tries).map(|_| Badge::partition(PartitionState::Failed));
    // Of one that partly failed or is being made, that is said first.
    let is_built = badge(asset) == Badge::built(Built::Once);
    let stale = (is_built && !page.stale.is_empty()).then(Badge::stale);
    Html::render(&Asset {
        key: asset.asset.to_string(),
        badge: failed.or(stale).unwrap_or_else(|| badge(asset)),
        verdict: verdict(&page),
        description: asset.description.clone(),
        plots: if asset.partitions.is_none() { Plot::all(&page.history) } else { Vec::new() },
        latest: newest.map(|row| latest(tenant, row, page.now)),
        checks: asset.failed_checks.iter().map(|it| check_line(it, page.now)).collect(),
        history: page.history.iter().map(|row| history(tenant, row, page.now)).collect(),
        matrix: (!page.partitions.is_empty()).then(|| Matrix::new(&page.partitions, "build")),
        cells_hidden: page.partitions.len().saturating_sub(CELLS_MAX),
        legend: LEGEND.map(Badge::partition),
        list: list(&page),
        missing: number_in(&page.partitions, PartitionState::Missing),
        failed: number_in(&page.partitions, PartitionState::Failed),
        total: page.partitions.len() as u64,
        action: link::materialize(tenant, &asset.asset),
        why: link::why(tenant, &asset.asset.to_string()),
        facts: facts(asset),
        upstream: links(tenant, &asset.deps),
        downstream: links(tenant, &page.feeds),
        equivalent: equivalent(asset),
        frame: page.frame,
    })
}

fn verdict(page: &AssetPage) -> String {
    let newest = page.history.first().or(page.asset.latest.as_ref());
    let when = newest.map(|row| format::relative(page.now, row.at));
    let partitions = counts(&page.asset, " partitions");
    let tried = last_try_words(&page.tries).map(|(_, words)| format!(" Its {words}."));
    let tried = match (tried, page.tries.looked_since) {
        (Some(tried), _) => tried,
        (None, Some(since)) => {
            let since = format::relative(page.now, since);
            format!(" Its tries until {since} were not looked at.")
        }
        (None, None) => String::new(),
    };
    let in_vain = page.in_vain.iter().find_map(in_vain_words);
    let in_vain = in_vain.map_or_else(String::new, |words| format!(" Its {words}."));
    let verdict = match (when, partitions.is_empty()) {
        (Some(when), true) => format!("Built {when}.{tried}"),
        (None, true) => format!("Never built.{tried}"),
        (Some(when), false) => format!("{partitions} · newest build {when}.{in_vain}"),
        (None, false) => format!("{partitions}.{in_vain}"),
    };
    let stale: Vec<&str> = page.stale.iter().map(|it| it.text.as_str()).collect();
    let verdict = match &page.asset.stale_upstream {
        Some(above) => format!("{verdict} It is not stale, but {above} above it is."),
        None if stale.is_empty() => verdict,
        None => format!("{verdict} It is stale: {}.", stale.join("; ")),
    };
    let verdict = match failed_words(&page.asset.failed_checks) {
        Some(words) => format!("{verdict} Its {words}."),
        None => verdict,
    };
    let coming = page.coming.first().map(|it| it.text.trim_start_matches("run "));
    let verdict = match coming {
        Some(words) => format!("{verdict} Run {words}."),
        None => verdict,
    };
    let names: Vec<String> = page.never_made.iter().map(|it| it.asset.to_string()).collect();
    match names.as_slice() {
        [] => verdict,
        [only] => format!("{verdict} {only}, which it is made from, was never built."),
        all => format!("{verdict} Of what it is made from, never built: {}.", all.join(", ")),
    }
}

fn check_line(failed: &FailedCheck, now: Timestamp) -> CheckLine {
    let glyph = match failed.severity {
        CheckSeverity::Warn => Glyph::Warning,
        CheckSeverity::Error => Glyph::Failed,
    };
    CheckLine { glyph, when: Moment::relative(now, failed.at), words: check_words(failed) }
}

fn latest(tenant: &TenantId, row: &MaterializationRow, now: Timestamp) -> Latest {
    Latest {
        when: Moment::relative(now, row.at),
        by: Maker::of(tenant, &row.made_by),
        partition: row.partition.as_ref().map(ToString::to_string),
        metadata: row
            .metadata
            .iter()
            .map(|(name, value)| (name.clone(), Shown::new(value)))
            .collect(),
    }
}

fn history(tenant: &TenantId, row: &MaterializationRow, now: Timestamp) -> HistoryLine {
    let (numbers, others): (Vec<_>, Vec<_>) = row
        .metadata
        .iter()
        .partition(|(_, value)| matches!(value.kind, MetadataKind::Int | MetadataKind::Float));
    let numbers = numbers.into_iter().map(|(name, value)| {
        let number = value.value.as_f64().map_or_else(String::new, format::decimal);
        format!("{name} {number}")
    });
    let words = others.into_iter().filter_map(|(name, value)| match (value.kind, &value.value) {
        (MetadataKind::Text, Value::String(text)) => {
            Some(format!("{name} {}", format::middle(text, TEXT_SHOWN)))
        }
        (MetadataKind::Bool, truth) => Some(format!("{name} {truth}")),
        _ => None,
    });
    // Numbers first: they are what is compared from one to the next.
    let facts = numbers.chain(words).take(4);
    let id = match &row.made_by {
        MadeBy::Run { run_id: id, .. } | MadeBy::Report { report_id: id, .. } => id,
    };
    HistoryLine {
        key: format!("{id}-{}", row.partition.as_ref().map_or("", |key| key.as_str())),
        when: Moment::relative(now, row.at),
        partition: row.partition.as_ref().map_or_else(String::new, ToString::to_string),
        by: Maker::of(tenant, &row.made_by),
        facts: facts.collect::<Vec<_>>().join(" · "),
    }
}

fn list(page: &AssetPage) -> Vec<PartitionLine> {
    let mut rows: Vec<&PartitionRow> = page.partitions.iter().collect();
    // Exceptions first; a stable sort keeps the order of the keys within a state.
    rows.sort_by_key(|row| row.state);
    let line = |row: &PartitionRow| PartitionLine {
        key: row.partition.to_string(),
        badge: Badge::partition(row.state),
        run: row.run_id.map(|id| (id.short(), link::run(&page.asset.tenant, &id))),
        when: row.at.map(|at| Moment::relative(page.now, at)),
    };
    rows.into_iter().take(LIST_MAX).map(line).collect()
}

fn facts(asset: &AssetRow) -> Vec<(&'static str, String)> {
    let newest = asset.latest.as_ref();
    let all = [
        ("Group", Some(asset.group.clone())),
        ("Kinds", (!asset.kinds.is_empty()).then(|| asset.kinds.join(", "))),
        ("Owners", (!asset.owners.is_empty()).then(|| asset.owners.join(", "))),
        ("Partitions", asset.partitions.as_ref().map(ToString::to_string)),
        ("Code", newest.map(code)),
        ("Data", newest.and_then(|row| row.data_version.as_ref()).map(|v| format::middle(v, 12))),
    ];
    all.into_iter().filter_map(|(word, value)| value.map(|value| (word, value))).collect()
}

fn code(newest: &MaterializationRow) -> String {
    let known = newest.known_code().map(|version| format::middle(version, 12));
    known.unwrap_or_else(|| "not known: it was reported".to_owned())
}

fn links(tenant: &TenantId, deps: &[AssetKey]) -> Vec<(String, String)> {
    deps.iter().map(|key| (key.to_string(), link::asset(tenant, key))).collect()
}

fn equivalent(asset: &AssetRow) -> Equivalent {
    let (tenant, key) = (&asset.tenant, shell_word(&asset.asset.to_string()));
    let all = if asset.partitions.is_some() { " --all-partitions" } else { "" };
    Equivalent::new()
        .with("Build it", format!("millstream asset materialize {key}{all} --tenant {tenant}"))
        .with("Show it", format!("millstream asset show {key} --tenant {tenant}"))
        .with("As JSON", format!("GET /{tenant}/api/v1/assets/{}", link::segment(&key)))
        .with("Build by API", format!("POST /{tenant}/api/v1/assets/materialize"))
}
