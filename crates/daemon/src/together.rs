//! The definition files of a location put together, with what only the planner can say of them.
//!
//! [`together`] and [`findings_of`] are what a scan and `definitions validate` ask of the same
//! files, so that they say the same.

use std::collections::{BTreeMap, BTreeSet};

use millstream_control::{Control, DefinitionProblem};
use millstream_definition::{
    LocationCheck, LocationFile, Places, Version, Waiting, check_location,
};
use millstream_model::{
    ContentHash, Diagnostic, ErrorCode, FileManifest, FileVersion, JobDef, LocationName, Manifest,
    Place, ScheduleDef, SensorDef, Severity,
};

use crate::rings::rings;

/// The codes of what leads nowhere, or in a circle: that is said where it stands.
const REFERENCES: [ErrorCode; 2] = [ErrorCode::DefinitionReference, ErrorCode::DefinitionCycle];

/// The codes of what depends on how assets are divided.
const PARTITIONS: [ErrorCode; 2] = [ErrorCode::PartitionNeeded, ErrorCode::PartitionUnknown];

/// Puts `files` together as `location`, and looks at the selections of those that are new, and at
/// what their sensors do to each other.
pub fn together(location: LocationName, files: &[LocationFile<'_>]) -> LocationCheck {
    let mut check = check_location(location.clone(), files);
    let whole = Whole::of(location, files, &check);
    for file in files {
        let is_refused = check.refused.contains(file.name);
        let wrong = |manifest, content, places| {
            wrong_selections(manifest, file.name, (content, Some(places)))
        };
        match (file.newest, file.draft, &whole) {
            (Some(Version { manifest, places: Some(places), .. }), _, whole) if !is_refused => {
                let found = wrong(&check.manifest, manifest, places);
                if found.is_empty() {
                    continue;
                }
                check.refused.insert(file.name.to_owned());
                let Some(whole) = whole else {
                    check.diagnostics.extend(found);
                    continue;
                };
                let (told, waits) = whole.split(found, wrong(&whole.manifest, manifest, places));
                check.diagnostics.extend(told);
                check.waiting.extend(waits);
            }
            (Some(Version { manifest, places: Some(places), .. }), _, Some(whole)) => {
                check.diagnostics.extend(whole.told(wrong(&whole.manifest, manifest, places)));
            }
            (None, Some((draft, places)), Some(whole)) => {
                let found = wrong(&whole.manifest, &draft.content, places);
                check.diagnostics.extend(whole.told(found));
            }
            // Nothing of it is new.
            _ => {}
        }
    }
    let used: Vec<_> = files.iter().filter(|it| !check.refused.contains(it.name)).collect();
    check.diagnostics.extend(rings(&check.manifest, &used));
    check
}

/// All that is wrong with the file called `name`, by place: in itself, which is its `own`, beside
/// the others, and that it waits for them.
pub fn findings_of(name: &str, own: &[Diagnostic], check: &LocationCheck) -> Vec<Diagnostic> {
    let waiting = check.waiting.iter().map(|it| &it.diagnostic);
    let between = check.diagnostics.iter().chain(waiting).filter(|it| it.place.file == name);
    let mut all: Vec<Diagnostic> = own.iter().chain(between).cloned().collect();
    all.sort_by(|a, b| a.place.cmp(&b.place));
    all
}

/// All that authors wrote, with what is not used of it: a file that is refused is looked at with
/// it, so that its findings do not come one after the other.
struct Whole {
    manifest: Manifest,
    /// The files whose newest content is not used because of its errors.
    unused: Vec<String>,
    /// The first of them of which nothing could be read.
    unread: Option<String>,
    /// Whether it is not certain how all assets are divided.
    is_vague: bool,
}

impl Whole {
    /// What `files` say; none where all of it is used.
    fn of(
        location: LocationName,
        files: &[LocationFile<'_>],
        check: &LocationCheck,
    ) -> Option<Self> {
        // One that waits is not to be corrected itself.
        let errors = check.diagnostics.iter().filter(|it| it.severity == Severity::Error);
        let wrong: BTreeSet<&str> = errors.map(|it| it.place.file.as_str()).collect();
        let is_unused = |it: &&LocationFile<'_>| {
            it.draft.is_some() || check.refused.contains(it.name) && wrong.contains(it.name)
        };
        let unused: Vec<String> =
            files.iter().filter(is_unused).map(|it| it.name.to_owned()).collect();
        if unused.is_empty() {
            return None;
        }
        let drafts = || files.iter().filter_map(|file| Some((file.name, file.draft?.0)));
        let unread = drafts().find(|(_, draft)| draft.is_unread);
        let manifest = Manifest::merge(location, files.iter().filter_map(written));
        Some(Self {
            manifest,
            unused,
            unread: unread.map(|(name, _)| name.to_owned()),
            is_vague: drafts().any(|(_, draft)| draft.is_vague_about_partitions()),
        })
    }

    /// What is wrong with a file that is not used, without what has been said where it stands, and
    /// without what is not certain.
    fn told(&self, mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        found.retain(|it| {
            let is_vague = self.is_vague && PARTITIONS.contains(&it.code);
            !is_vague && !REFERENCES.contains(&it.code)
        });
        found.into_iter().map(|it| self.with_doubts(it)).collect()
    }

    /// What is wrong with a file that fits the others but for its selections, and whether it waits:
    /// nothing is wrong with what is `found` among what is used and not in all that is `written`.
    fn split(
        &self,
        found: Vec<Diagnostic>,
        written: Vec<Diagnostic>,
    ) -> (Vec<Diagnostic>, Option<Waiting>) {
        let mut written: BTreeMap<Place, Diagnostic> =
            written.into_iter().map(|it| (it.place.clone(), it)).collect();
        let (mut told, mut missed) = (Vec::new(), None);
        for it in found {
            match written.remove(&it.place) {
                Some(written) => told.push(self.with_doubts(written)),
                None => _ = missed.get_or_insert(it),
            }
        }
        (told, missed.map(|it| self.waiting(it)))
    }

    /// Says beside what a selection does not find who may declare it.
    fn with_doubts(&self, mut found: Diagnostic) -> Diagnostic {
        let is_lacking = matches!(found.code, ErrorCode::AssetUnknown | ErrorCode::SelectionEmpty);
        if let (true, Some(file)) = (is_lacking, &self.unread) {
            let doubt = format!("correct `{file}` first: it cannot be read, and may declare it");
            found.help = match found.help {
                None => Some(doubt),
                Some(help) => Some(format!("{doubt}; of what can be read, {help}")),
            };
        }
        found
    }

    /// That a file waits for the assets of others.
    fn waiting(&self, found: Diagnostic) -> Waiting {
        let files = self.unused.join("`, `");
        let (place, have) = match self.unused.as_slice() {
            [_] => ("in", "has"),
            _ => ("in one of", "have"),
        };
        let diagnostic = Diagnostic {
            message: format!(
                "What this selects is declared {place} `{files}`, which {have} errors"
            ),
            help: Some(format!("correct `{files}`: this file is then used too")),
            ..found
        };
        Waiting { on: self.unused.clone(), diagnostic }
    }
}

/// What an author wrote into a file, or what is live of it where that cannot be read.
fn written<'a>(file: &LocationFile<'a>) -> Option<(FileVersion, &'a FileManifest)> {
    let content = match (file.newest, file.draft) {
        (Some(newest), _) => newest.manifest,
        (None, Some((draft, _))) if !draft.is_unread => &draft.content,
        _ => file.live?.manifest,
    };
    // Nothing asks for its version, only for what is in it.
    Some((FileVersion { name: file.name.to_owned(), hash: ContentHash::of(b"") }, content))
}

/// What is wrong with the selections of a file's jobs, schedules and sensors, among all assets.
pub(crate) fn wrong_selections(
    manifest: &Manifest,
    name: &str,
    (content, places): (&FileManifest, Option<&Places>),
) -> Vec<Diagnostic> {
    let told = |at: Option<(u32, u32)>, problem: DefinitionProblem| {
        let (line, column) = at.unwrap_or_default();
        Diagnostic {
            code: problem.code,
            severity: Severity::Error,
            message: problem.message,
            place: Place { file: name.to_owned(), line, column },
            help: problem.help,
        }
    };
    let of_job = |job: &JobDef| {
        let problem = Control::selection_problem(manifest, job)?;
        Some(told(places.map(|it| it.job(job.name.as_str())), problem))
    };
    let of_schedule = |schedule: &ScheduleDef| {
        let problem = Control::schedule_problem(manifest, schedule)?;
        let at = places.map(|it| it.schedule(schedule.name.as_str(), problem.key));
        Some(told(at, problem))
    };
    let of_sensor = |sensor: &SensorDef| {
        let problem = Control::sensor_problem(manifest, sensor)?;
        let at = places.map(|it| it.sensor(sensor.name.as_str(), problem.key));
        Some(told(at, problem))
    };
    let jobs = content.jobs.iter().filter_map(of_job);
    let schedules = content.schedules.iter().filter_map(of_schedule);
    jobs.chain(schedules).chain(content.sensors.iter().filter_map(of_sensor)).collect()
}
