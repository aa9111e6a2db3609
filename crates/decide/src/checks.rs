//! Which checks of assets did not pass, and the words for it. `control` shows them with the asset.
//!
//! Of the answers of a check to one run the newest counts, as where a step was tried again.

use std::collections::BTreeMap;

use millstream_model::view::FailedCheck;
use millstream_model::{
    AssetKey, CheckSeverity, Event, EventBody, MetadataKind, MetadataValue, RunId,
};

/// Most characters of a description that is shown with its check.
const DESCRIPTION_MAX: usize = 200;

/// The checks that did not pass, of each run and asset; `events` are the answers, in any order.
pub fn not_passed(events: &[Event]) -> BTreeMap<(RunId, AssetKey), Vec<FailedCheck>> {
    let mut newest = BTreeMap::new();
    for event in events {
        let EventBody::AssetChecked { asset, check, partition, .. } = &event.body else { continue };
        let known = newest.entry((event.run, asset, check, partition)).or_insert(event);
        if (known.epoch, known.seq) < (event.epoch, event.seq) {
            *known = event;
        }
    }
    let mut failed: BTreeMap<_, Vec<FailedCheck>> = BTreeMap::new();
    for ((run, asset, check, partition), event) in newest {
        let EventBody::AssetChecked { passed: false, severity, metadata, .. } = &event.body else {
            continue;
        };
        failed.entry((run, asset.clone())).or_default().push(FailedCheck {
            check: check.clone(),
            severity: *severity,
            partition: partition.clone(),
            at: event.at,
            run_id: run,
            description: metadata.get("description").and_then(description),
        });
    }
    for checks in failed.values_mut() {
        checks.sort_by_key(|it| it.severity == CheckSeverity::Warn);
    }
    failed
}

/// What a check says of itself, where that is one short line.
fn description(value: &MetadataValue) -> Option<String> {
    let text = value.value.as_str().filter(|_| value.kind == MetadataKind::Text)?;
    let is_short = text.chars().count() <= DESCRIPTION_MAX && !text.contains(char::is_control);
    (is_short && !text.is_empty()).then(|| text.to_owned())
}

/// That a check did not pass, in which run, and what it says of itself.
pub fn check_words(failed: &FailedCheck) -> String {
    let mut words = format!("check {}", failed.check);
    if let Some(partition) = &failed.partition {
        words = format!("{words} of partition {partition}");
    }
    words = format!("{words} did not pass{}", warning(failed.severity));
    words = format!("{words}, in run {}", failed.run_id.short());
    match &failed.description {
        Some(description) => format!("{words}: {description}"),
        None => words,
    }
}

fn warning(severity: CheckSeverity) -> &'static str {
    match severity {
        CheckSeverity::Warn => ", which is a warning",
        CheckSeverity::Error => "",
    }
}

/// That checks did not pass, the worst first, as words behind "its"; nothing when all did.
pub fn failed_words(failed: &[FailedCheck]) -> Option<String> {
    let first = failed.first()?;
    let warning = warning(first.severity);
    Some(match failed {
        [only] => format!("check {} did not pass{warning}", only.check),
        all => format!("{} checks did not pass, the first {}{warning}", all.len(), first.check),
    })
}

/// How many checks did not pass, for a list; nothing when all did.
pub fn failed_mark(failed: &[FailedCheck]) -> Option<String> {
    let warned = failed.iter().filter(|it| it.severity == CheckSeverity::Warn).count();
    match (failed.len().saturating_sub(warned), warned) {
        (0, 0) => None,
        (bad, 0) => Some(format!("{bad} failed")),
        (0, warned) => Some(format!("{warned} warned")),
        (bad, warned) => Some(format!("{bad} failed, {warned} warned")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use millstream_model::{TenantId, Timestamp};

    fn answer(check: &str, seq: i64, passed: bool, severity: CheckSeverity) -> Event {
        Event {
            v: 1,
            at: Timestamp::from_micros(seq),
            tenant: TenantId::default_tenant(),
            run: "00000000-0000-7000-8000-000000000001".parse().unwrap(),
            epoch: 1,
            seq,
            body: EventBody::AssetChecked {
                step: "orders".parse().unwrap(),
                asset: "orders".parse().unwrap(),
                partition: None,
                check: check.to_owned(),
                passed,
                severity,
                metadata: [("description".to_owned(), MetadataValue::text("3 rows"))].into(),
            },
        }
    }

    #[test]
    fn the_newest_answer_of_a_check_counts_and_the_worst_comes_first() {
        let events = [
            answer("again", 4, true, CheckSeverity::Error),
            answer("again", 1, false, CheckSeverity::Error),
            answer("early", 2, false, CheckSeverity::Warn),
            answer("full", 3, false, CheckSeverity::Error),
        ];
        let found = not_passed(&events);
        let [failed] = &found.values().collect::<Vec<_>>()[..] else { panic!("{found:?}") };
        let names: Vec<&str> = failed.iter().map(|it| it.check.as_str()).collect();
        assert_eq!(names, ["full", "early"]);
        assert_eq!(failed_mark(failed).as_deref(), Some("1 failed, 1 warned"));
        let words = failed_words(failed);
        assert_eq!(words.as_deref(), Some("2 checks did not pass, the first full"));
        let told = "check early did not pass, which is a warning, in run 00000001: 3 rows";
        assert_eq!(check_words(&failed[1]), told);
        assert_eq!((failed_mark(&[]), failed_words(&[])), (None, None));
    }

    #[test]
    fn a_description_is_shown_where_it_is_one_short_line_of_text() {
        assert_eq!(description(&MetadataValue::text("late")).as_deref(), Some("late"));
        let long = "x".repeat(DESCRIPTION_MAX + 1);
        for value in
            [MetadataValue::text(&long), MetadataValue::text("a\nb"), MetadataValue::int(3)]
        {
            assert_eq!(description(&value), None);
        }
    }
}
