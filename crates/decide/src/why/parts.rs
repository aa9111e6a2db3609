//! What is said of the partitions of an asset: how many there are in which state, which failed, and
//! which were tried in vain.

use millstream_model::view::{AssetRow, PartitionState};
use millstream_model::{PartitionKey, shell_word};

use super::asset::{AssetFacts, Try, idle_words, reason_words};
use super::{Because, because};

/// What is stored about the partitions.
pub(super) fn parts(asset: &AssetRow) -> Vec<Because> {
    let words = |state, count| match (state, count) {
        (PartitionState::Failed, 1) => "1 partition failed when it was made last".to_owned(),
        (PartitionState::Running, 1) => "1 partition is being made".to_owned(),
        (PartitionState::Missing, 1) => "1 partition was never made".to_owned(),
        (PartitionState::Materialized, 1) => "1 partition is made".to_owned(),
        (PartitionState::Failed, _) => {
            format!("{count} partitions failed when they were made last")
        }
        (PartitionState::Running, _) => format!("{count} partitions are being made"),
        (PartitionState::Missing, _) => format!("{count} partitions were never made"),
        (PartitionState::Materialized, _) => format!("{count} partitions are made"),
    };
    let some = asset.counts.iter().filter(|(_, count)| **count > 0);
    let gone = match asset.gone_partitions {
        0 => None,
        1 => Some("1 more partition is made, of a key that is no more".to_owned()),
        more => Some(format!("{more} more partitions are made, of keys that are no more")),
    };
    some.map(|(state, count)| words(*state, *count))
        .chain(gone)
        .map(|words| because(None, words))
        .collect()
}

/// How many partitions of an asset failed when they were tried last.
pub(super) fn failed_count(asset: &AssetRow) -> u64 {
    asset.counts.get(&PartitionState::Failed).copied().unwrap_or_default()
}

/// That the newest tries of partitions failed, and why the newest did, as words behind "its".
pub(super) fn failed_words(facts: &AssetFacts) -> Option<String> {
    let (partition, newest) = facts.failed.first()?;
    let (run, at, reason) = (newest.run.short(), newest.at, reason_words(newest));
    Some(match failed_count(&facts.asset) {
        0 | 1 => {
            format!("last try of partition {partition} failed, in run {run} at {at}: {reason}")
        }
        count => format!(
            "last tries of {count} partitions failed, the newest, of {partition}, in run {run} at \
             {at}: {reason}"
        ),
    })
}

/// Which partitions failed, each with when, in which run and why, and what lists the others.
pub(super) fn failed_parts(facts: &AssetFacts) -> Vec<Because> {
    let words = |(partition, tried): &(PartitionKey, Try)| {
        let (run, reason) = (tried.run.short(), reason_words(tried));
        because(tried.at, format!("partition {partition} failed in run {run}: {reason}"))
    };
    let more = failed_count(&facts.asset).saturating_sub(facts.failed.len() as u64);
    let more = (more > 0).then(|| {
        let word = shell_word(&facts.asset.asset.to_string());
        because(None, format!("and {more} more failed: `millstream asset show {word}` lists them"))
    });
    facts.failed.iter().map(words).chain(more).collect()
}

/// That the newest try of a partition made nothing and did not fail, as words behind "its"; nothing
/// of one that failed.
pub fn in_vain_words((partition, tried): &(PartitionKey, Try)) -> Option<String> {
    idle_words(tried).map(|words| format!("last try of partition {partition} {words}"))
}

/// Which partitions were tried last and made nothing, without a failure.
pub(super) fn in_vain_parts(facts: &AssetFacts) -> impl Iterator<Item = Because> {
    let words =
        |it: &(PartitionKey, Try)| Some(because(it.1.at, format!("its {}", in_vain_words(it)?)));
    facts.in_vain.iter().filter_map(words)
}
