//! `millstream definitions plan`: what a change of the definition files would do.

use std::path::{Path, PathBuf};

use millstream_control::{
    Change, ChangeKind, Changes, FieldChange, FileDiffers, Heir, Lapsing, Proposal, Redivided,
    SourceSets, Stale, changes_between, name_files,
};
use millstream_model::{Clock as _, Severity, Timestamp};
use serde_json::{Value, json};

use super::compared::compared;
use super::dispatch::Way;
use super::files::{self, Files};
use crate::client::Client;
use crate::clock::SystemClock;
use crate::error::AppError;
use crate::output;
use crate::settings::Settings;

/// Files of a step's sources that are named.
const FILES_NAMED: usize = 3;

/// What is planned.
pub(super) struct Order {
    /// The folder of the files as they would be; the project's own when absent.
    pub(super) folder: Option<PathBuf>,
    /// The folder of the files as they are; what is live when absent.
    pub(super) against: Option<PathBuf>,
    /// What the exit code tells.
    pub(super) tells: Tells,
}

/// What the exit code of a plan tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// Whether the files could be planned.
    Success,
    /// That, and by a code of its own whether anything changes.
    Difference,
}

impl From<bool> for Tells {
    fn from(difference: bool) -> Self {
        if difference { Self::Difference } else { Self::Success }
    }
}

/// Shows what the change would do.
pub(super) async fn run(way: Way<'_>, order: Order) -> Result<(), AppError> {
    let global = way.global;
    let settings = Settings::of(&global.dir)?;
    let folder = match order.folder {
        Some(folder) => files::found(&folder, &settings)?,
        None => files::of_project(&settings)?,
    };
    let (files, sets) = files::read_with_sources(&folder, &settings.project_of(&folder))?;
    let check = files::together(&files);
    let findings = files::findings(&files, &check, |_| true);
    let errors = findings.iter().filter(|found| found.severity == Severity::Error).count();
    let changes = match &order.against {
        Some(against) => {
            output::warnings(global.json, &settings.warnings);
            against_folder((&check.manifest, sets), against, &settings)?
        }
        None => against_live(way, (&files, sets), &check.refused).await?,
    };
    if global.json {
        output::json(&json!({ "changes": changes, "diagnostics": findings, "errors": errors }));
    } else {
        files::draw(&files, &findings);
        show(&changes);
    }
    if errors > 0 {
        return Err(AppError::Failed);
    }
    if order.tells == Tells::Difference && !changes.is_empty() {
        return Err(AppError::Different);
    }
    Ok(())
}

fn against_folder(
    (new, mut sets): (&millstream_model::Manifest, SourceSets),
    folder: &Path,
    settings: &Settings,
) -> Result<Changes, AppError> {
    let (files, before) = files::read_with_sources(folder, &settings.project_of(folder))?;
    let old = files::together(&files).manifest;
    let mut changes = changes_between(&old, new, SystemClock::start().now());
    sets.extend(before);
    name_files(&mut changes, &sets);
    Ok(changes)
}

async fn against_live(
    way: Way<'_>,
    (files, sources): (&Files, SourceSets),
    refused: &std::collections::BTreeSet<String>,
) -> Result<Changes, AppError> {
    let content = |(name, file): (&String, &files::ReadFile)| {
        let fits = file.parsed.manifest.clone().filter(|_| !refused.contains(name));
        (name.clone(), fits)
    };
    let proposal = Proposal { files: files.iter().map(content).collect(), sources };
    let client = Client::connect(way.global, way.access).await?;
    let answer = client.post("/api/v1/definitions/plan", &json!(proposal)).await;
    let changes = answer.and_then(|answer| decoded(&client, answer));
    client.close().await;
    changes
}

/// The changes in an answer.
pub(super) fn decoded(client: &Client, answer: Value) -> Result<Changes, AppError> {
    serde_json::from_value(answer).map_err(|error| AppError::Unreachable {
        place: client.place().to_owned(),
        problem: format!("its answer is of another version: {error}"),
    })
}

fn show(changes: &Changes) {
    if changes.is_empty() {
        output::line("Nothing changes.");
        return;
    }
    show_things(changes);
    show_stale("Stale at once, until they are made again:", &changes.stale);
    show_stale("Stale once what they are made from is made again:", &changes.stale_later);
    for line in divided_anew(changes) {
        output::line(&line);
    }
    if !changes.retimed.is_empty() {
        output::line("\nFires at other times:");
        for retimed in &changes.retimed {
            let (before, after) = (times(&retimed.before), times(&retimed.after));
            output::line(&format!("  {}", retimed.name));
            output::line(&format!("    before: {before}"));
            output::line(&format!("    after:  {after}"));
        }
    }
    if !changes.sensing.is_empty() {
        output::line("\nBegins to look (+), or looks no more (-):");
        for sensing in &changes.sensing {
            output::line(&format!("  {} {}", sign(sensing.change), sensing.name));
        }
    }
    for line in jobs_off(changes).into_iter().chain(ticks_that_wait(changes)) {
        output::line(&line);
    }
}

/// What is said of the assets that are divided in another way.
pub(super) fn divided_anew(changes: &Changes) -> Vec<String> {
    let mut lines = Vec::new();
    if !changes.redivided.is_empty() {
        lines.push("\nDivided in another way:".to_owned());
    }
    for Redivided { asset, gone, missing, .. } in &changes.redivided {
        let gone = gone.map(|count| match count {
            0 => "all that is made stays".to_owned(),
            1 => "1 made partition is of a key that is no more".to_owned(),
            more => format!("{more} made partitions are of keys that are no more"),
        });
        let missing = missing.map(|count| match count {
            0 => "no new one is missing".to_owned(),
            1 => "1 new one is missing".to_owned(),
            more => format!("{more} new ones are missing"),
        });
        let words = gone.zip(missing).map(|(gone, missing)| format!(": {gone}, and {missing}"));
        lines.push(format!("  {asset}{}", words.unwrap_or_default()));
    }
    lines
}

/// What is said of the schedules whose job is off, or on again.
fn jobs_off(changes: &Changes) -> Vec<String> {
    let begins = "Ticks on, and each tick is skipped, because its job is off:";
    let ends = "Ticks on, and requests runs again, because its job is on:";
    let mut lines = Vec::new();
    for (heading, off) in [(begins, true), (ends, false)] {
        let mut names = changes.job_off.iter().filter(|it| it.off == off).peekable();
        if names.peek().is_some() {
            lines.push(format!("\n{heading}"));
        }
        lines.extend(names.map(|it| format!("  {}", it.name)));
    }
    lines
}

/// What is said of the ticks that are due and not decided yet.
fn ticks_that_wait(changes: &Changes) -> Vec<String> {
    let kinds = [
        ("lapses", &changes.lapsing),
        ("skipped when it is its turn", &changes.skipped),
        ("made up for once it ticks again by the same timing", &changes.kept),
        ("made up for at once", &changes.made_up),
        ("made up for as its runs end (max_active_runs)", &changes.held),
    ];
    let mut lines = Vec::new();
    for (what, all) in kinds {
        if !all.is_empty() {
            lines.push(format!("\nDue, not decided yet, and {what}:"));
        }
        for Lapsing { name, count, at_least, since, reason, heir } in all {
            let least = if *at_least { "at least " } else { "" };
            let ticks = if *count == 1 { "tick" } else { "ticks" };
            let reason = reason.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
            lines.push(format!("  {name}: {least}{count} {ticks} from {since} on{reason}"));
            if let Some(Heir { name, renamed_from }) = heir {
                let word = format!("`renamed_from: {renamed_from}`");
                lines.push(format!("    {name} takes them over with {word}, and not without"));
            }
        }
    }
    lines
}

fn sign(change: ChangeKind) -> char {
    match change {
        ChangeKind::Added => '+',
        ChangeKind::Removed => '-',
        ChangeKind::Changed => '~',
    }
}

fn show_stale(heading: &str, all: &[Stale]) {
    if all.is_empty() {
        return;
    }
    output::line(&format!("\n{heading}"));
    for stale in all {
        let why = match &stale.upstream {
            None => "its code changes".to_owned(),
            Some(upstream) => format!("it is made from {upstream}"),
        };
        let how_much = match (&stale.partitions, stale.built) {
            (Some(_), Some(1)) => " (1 built partition)".to_owned(),
            (Some(_), Some(count)) => format!(" ({count} built partitions)"),
            (Some(name), None) => format!(" (every built partition of {name})"),
            (None, _) => String::new(),
        };
        output::line(&format!("  {}{how_much}: {why}", stale.asset));
    }
}

/// Shows what is added, removed and changed.
pub(super) fn show_things(changes: &Changes) {
    for change in &changes.things {
        let sign = sign(change.change);
        let before = change.renamed_from.as_ref();
        let before = before.map(|it| format!(" (renamed from {it})")).unwrap_or_default();
        output::line(&format!("{sign} {} {}{before}", change.kind, change.name));
        for field in &change.fields {
            let name = &field.field;
            if let Some(step) = name.strip_suffix(".sources.code") {
                output::line(&format!("    {step}: {}", files_words(field)));
                continue;
            }
            let [before, after] = compared(&field.before, &field.after);
            output::line(&format!("    {name}: {before} → {after}"));
        }
    }
    let count = |kind| changes.things.iter().filter(|it: &&Change| it.change == kind).count();
    output::line(&format!(
        "{} added, {} removed, {} changed",
        count(ChangeKind::Added),
        count(ChangeKind::Removed),
        count(ChangeKind::Changed)
    ));
}

/// Which files of a step's sources differ, the first of them by their paths.
fn files_words(field: &FieldChange) -> String {
    let words = |file: &FileDiffers| {
        let word = match file.change {
            ChangeKind::Added => "is new",
            ChangeKind::Removed => "is gone",
            ChangeKind::Changed => "is another one",
        };
        format!("{}, which it runs, {word}", file.path)
    };
    let mut named: Vec<String> = field.files.iter().take(FILES_NAMED).map(words).collect();
    let hidden = field.files.len().saturating_sub(FILES_NAMED) as u64;
    match hidden.saturating_add(field.more_files) {
        0 => {}
        1 => named.push("and 1 more file".to_owned()),
        more => named.push(format!("and {more} more files")),
    }
    if named.is_empty() {
        "a file that it runs is another one".to_owned()
    } else {
        named.join("; ")
    }
}

fn times(times: &[Timestamp]) -> String {
    if times.is_empty() {
        return "never".to_owned();
    }
    let shown: Vec<String> = times.iter().take(3).map(ToString::to_string).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use millstream_control::JobOff;
    use millstream_model::SkipReason;

    use super::*;

    fn row(count: u32) -> Lapsing {
        let (name, since) = ("schedule it".to_owned(), Timestamp::from_micros(0));
        Lapsing { name, count, at_least: false, since, reason: None, heir: None }
    }

    #[test]
    fn of_files_that_differ_the_first_are_named_and_the_others_counted() {
        let file = |path: &str, change| FileDiffers { path: path.to_owned(), change };
        let of = |files, more_files| {
            let field = FieldChange::of("step.sources.code".to_owned(), Value::Null, Value::Null);
            files_words(&FieldChange { files, more_files, ..field })
        };
        assert_eq!(of(Vec::new(), 0), "a file that it runs is another one");
        let three = vec![
            file("a.py", ChangeKind::Changed),
            file("b.py", ChangeKind::Added),
            file("c.py", ChangeKind::Removed),
        ];
        let named = "a.py, which it runs, is another one; b.py, which it runs, is new; c.py, which \
                     it runs, is gone";
        assert_eq!(of(three.clone(), 0), named);
        let four = [three, vec![file("d.py", ChangeKind::Added)]].concat();
        assert_eq!(of(four.clone(), 0), format!("{named}; and 1 more file"));
        assert_eq!(of(four, 2), format!("{named}; and 3 more files"));
    }

    #[test]
    fn of_an_asset_that_is_divided_anew_what_is_lost_and_what_is_missing_is_told() {
        let row = |asset: &str, counts: Option<(u64, u64)>| Redivided {
            asset: asset.parse().unwrap(),
            partitions: None,
            gone: counts.map(|it| it.0),
            missing: counts.map(|it| it.1),
        };
        let redivided = vec![
            row("a", Some((0, 1))),
            row("b", Some((1, 0))),
            row("c", Some((2, 3))),
            row("d", None),
        ];
        let changes = Changes { redivided, ..Changes::default() };
        let said = [
            "\nDivided in another way:",
            "  a: all that is made stays, and 1 new one is missing",
            "  b: 1 made partition is of a key that is no more, and no new one is missing",
            "  c: 2 made partitions are of keys that are no more, and 3 new ones are missing",
            "  d",
        ];
        assert_eq!(divided_anew(&changes), said);
        assert!(!changes.is_empty());
        assert_eq!(divided_anew(&Changes::default()), Vec::<String>::new());
    }

    #[test]
    fn ticks_that_wait_are_told_by_what_becomes_of_them_and_how_far_they_are_counted() {
        let (lapsing, made_up, held) = (vec![row(1)], vec![row(2)], vec![row(3)]);
        let reason = Some(SkipReason::JobDisabled {});
        let skipped = vec![Lapsing { reason, ..row(4) }];
        let heir = Heir { name: "schedule old".to_owned(), renamed_from: "it".to_owned() };
        let kept = vec![Lapsing { at_least: true, heir: Some(heir), ..row(2_000) }];
        let changes = Changes { lapsing, skipped, kept, made_up, held, ..Changes::default() };
        let said = [
            "\nDue, not decided yet, and lapses:",
            "  schedule it: 1 tick from 1970-01-01T00:00:00Z on",
            "\nDue, not decided yet, and skipped when it is its turn:",
            "  schedule it: 4 ticks from 1970-01-01T00:00:00Z on: its job is switched off",
            "\nDue, not decided yet, and made up for once it ticks again by the same timing:",
            "  schedule it: at least 2000 ticks from 1970-01-01T00:00:00Z on",
            "    schedule old takes them over with `renamed_from: it`, and not without",
            "\nDue, not decided yet, and made up for at once:",
            "  schedule it: 2 ticks from 1970-01-01T00:00:00Z on",
            "\nDue, not decided yet, and made up for as its runs end (max_active_runs):",
            "  schedule it: 3 ticks from 1970-01-01T00:00:00Z on",
        ];
        assert_eq!(ticks_that_wait(&changes), said);
        assert_eq!(ticks_that_wait(&Changes::default()), Vec::<String>::new());
    }

    #[test]
    fn schedules_whose_job_is_off_are_told_apart_from_those_whose_job_is_on_again() {
        let job_off = [("job etl", false), ("schedule a", true), ("schedule b", true)]
            .map(|(name, off)| JobOff { name: name.to_owned(), off });
        let changes = Changes { job_off: job_off.into(), ..Changes::default() };
        let said = [
            "\nTicks on, and each tick is skipped, because its job is off:",
            "  schedule a",
            "  schedule b",
            "\nTicks on, and requests runs again, because its job is on:",
            "  job etl",
        ];
        assert_eq!(jobs_off(&changes), said);
        assert!(!changes.is_empty());
        assert_eq!(jobs_off(&Changes::default()), Vec::<String>::new());
    }
}
