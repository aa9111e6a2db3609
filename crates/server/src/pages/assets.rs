//! The list of assets, by group.

use std::collections::BTreeMap;

use askama::Template;
use millstream_control::{failed_mark, failed_try_mark};
use millstream_model::view::{AssetRow, FailedCheck, PartitionState};
use millstream_model::{CheckSeverity, Timestamp};

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::pages::now::is_built;
use crate::parts::{Badge, Built, Equivalent, Glyph};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct AssetsPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The assets.
    pub assets: Vec<AssetRow>,
}

#[derive(Template)]
#[template(path = "assets.html")]
struct Assets {
    frame: Frame,
    verdict: String,
    groups: Vec<(String, Vec<AssetLine>)>,
    equivalent: Equivalent,
}

struct AssetLine {
    key: String,
    href: String,
    badge: Badge,
    marks: Vec<(Glyph, String)>,
    description: String,
    kinds: String,
    partitions: String,
    latest: Option<Moment>,
}

/// The page.
pub fn assets(page: AssetsPage) -> Html {
    let built = page.assets.iter().filter(|asset| is_built(asset)).count();
    let total = format::plural(page.assets.len() as u64, "asset", "assets");
    let mut groups: BTreeMap<String, Vec<AssetLine>> = BTreeMap::new();
    for asset in &page.assets {
        groups.entry(asset.group.clone()).or_default().push(line(asset, page.now));
    }
    let tenant = &page.frame.tenant;
    let stale = page.assets.iter().filter(|asset| asset.is_stale == Some(true)).count();
    let stale = if stale > 0 { format!(" · {stale} stale") } else { String::new() };
    let unknown = page.assets.iter().filter(|asset| asset.is_stale.is_none()).count();
    let stale = match unknown {
        0 => stale,
        1 => format!("{stale} · 1 whose page says whether it is stale"),
        more => format!("{stale} · {more} whose pages say whether they are stale"),
    };
    let failed = page.assets.iter().filter(|asset| failed_try_mark(asset).is_some()).count();
    let failed = if failed > 0 { format!(" · {failed} failed") } else { String::new() };
    Html::render(&Assets {
        verdict: format!("{built} of {total} built{failed}{stale}"),
        groups: groups.into_iter().collect(),
        equivalent: Equivalent::new()
            .with("This list", format!("millstream asset list --tenant {tenant}"))
            .with("As JSON", format!("GET /{tenant}/api/v1/assets")),
        frame: page.frame,
    })
}

fn line(asset: &AssetRow, now: Timestamp) -> AssetLine {
    let is_stale = asset.is_stale == Some(true);
    // Of one that failed, is built in part or is being made, that is said first, and this beside.
    let is_built = badge(asset) == Badge::built(Built::Once);
    let stale = (is_stale && !is_built).then(|| (Glyph::Stale, "Stale".to_owned()));
    AssetLine {
        key: asset.asset.to_string(),
        href: link::asset(&asset.tenant, &asset.asset),
        badge: if is_stale && is_built { Badge::stale() } else { badge(asset) },
        marks: stale.into_iter().chain(checks(asset)).collect(),
        description: asset.description.clone().unwrap_or_default(),
        kinds: asset.kinds.join(", "),
        partitions: counts(asset, ""),
        latest: asset.latest.as_ref().map(|latest| Moment::relative(now, latest.at)),
    }
}

/// How many checks did not pass when the asset was made last.
fn checks(asset: &AssetRow) -> Option<(Glyph, String)> {
    let is_bad = |it: &FailedCheck| it.severity == CheckSeverity::Error;
    let is_bad = asset.failed_checks.iter().any(is_bad);
    let mark = failed_mark(&asset.failed_checks)?;
    Some((if is_bad { Glyph::Failed } else { Glyph::Warning }, format!("Checks: {mark}")))
}

/// The worst that is true of the asset, or of any of its partitions.
pub fn badge(asset: &AssetRow) -> Badge {
    let has = |state| asset.counts.get(&state).copied().unwrap_or(0) > 0;
    if has(PartitionState::Failed) || asset.failed_try.is_some() {
        Badge::partition(PartitionState::Failed)
    } else if has(PartitionState::Running) {
        Badge::partition(PartitionState::Running)
    } else if asset.is_made() && has(PartitionState::Missing) {
        Badge::built(Built::Partly)
    } else if asset.is_made() {
        Badge::built(Built::Once)
    } else {
        Badge::built(Built::Never)
    }
}

/// How many partitions are built, then the others by state, worst first, zeros left out, and those
/// built whose keys are no more; empty for an asset that is one whole. `noun` stands behind the
/// number of all, as ` partitions`.
pub fn counts(asset: &AssetRow, noun: &str) -> String {
    let total: u64 = asset.counts.values().sum();
    if asset.partitions.is_none() {
        return String::new();
    }
    let gone = match asset.gone_partitions {
        0 => String::new(),
        1 => " · 1 built of a key that is no more".to_owned(),
        more => format!(" · {} built of keys that are no more", format::count(more)),
    };
    if total == 0 {
        return format!("no partitions yet{gone}");
    }
    let number = |state| asset.counts.get(&state).copied().unwrap_or(0);
    let others = [
        (PartitionState::Failed, "failed"),
        (PartitionState::Running, "running"),
        (PartitionState::Missing, "never built"),
    ];
    let built = format::count(number(PartitionState::Materialized));
    let mut text = format!("{built} of {}{noun} built", format::count(total));
    for (state, word) in others.into_iter().filter(|(state, _)| number(*state) > 0) {
        text = format!("{text} · {} {word}", format::count(number(state)));
    }
    text + &gone
}
