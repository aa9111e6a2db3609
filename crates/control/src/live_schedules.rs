//! Schedules as the definitions have them: what ticks in which tenant, and what is wrong with one.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_decide::renamed::stored_as;
use millstream_decide::schedule::Timing;
use millstream_model::{
    ErrorCode, JobShape, LocationName, Manifest, PartitionsDef, PartitionsName, ScheduleDef,
    ScheduleName, ScheduleTarget, TenantId, TickKind, TickPartitions, TickSource, date_format,
    nearest,
};
use millstream_plan::selection::{select, selection_help};
use millstream_plan::{PlanError, never_fits};

use crate::{Control, DefinitionProblem};

/// The names in templates of ticks beside dimensions and forms of a date.
const TEMPLATE_NAMES: [&str; 4] = ["tenant", "schedule", "job", "partition"];

/// A schedule in one tenant.
#[derive(Debug, Clone)]
pub(crate) struct LiveSchedule {
    pub(crate) tenant: TenantId,
    pub(crate) def: Arc<ScheduleDef>,
    pub(crate) timing: Arc<Timing>,
    /// The partitions of what it runs.
    pub(crate) division: Option<PartitionsName>,
}

/// The schedules of a location, by tenant and name.
#[derive(Debug, Default)]
pub(crate) struct LiveSchedules(pub(crate) BTreeMap<(TenantId, String), LiveSchedule>);

impl LiveSchedules {
    /// The schedules of `manifest` in every tenant that takes part.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let mut all = BTreeMap::new();
        for def in manifest.schedules.values() {
            let division = division(manifest, &def.target).ok().flatten().cloned();
            let def = Arc::new(def.clone());
            let mut shared: Option<Arc<Timing>> = None;
            for (id, tenant) in manifest.enabled_tenants() {
                if !def.tenants.is_empty() && !def.tenants.contains(id) {
                    continue;
                }
                let timing = match (&shared, &def.cron) {
                    (Some(timing), millstream_model::ScheduleCron::Text(_)) => Arc::clone(timing),
                    _ => match Timing::of(&def, tenant, manifest) {
                        Ok(Some(timing)) => Arc::new(timing),
                        Ok(None) => continue,
                        Err(problem) => {
                            tracing::warn!(schedule = %def.name, problem, "it does not tick");
                            continue;
                        }
                    },
                };
                shared = Some(Arc::clone(&timing));
                let (def, division) = (Arc::clone(&def), division.clone());
                let live = LiveSchedule { tenant: id.clone(), def, timing, division };
                all.insert((id.clone(), live.def.name.to_string()), live);
            }
        }
        Self(all)
    }

    /// The schedule of this name in a tenant.
    pub(crate) fn get(&self, tenant: &TenantId, name: &str) -> Option<&LiveSchedule> {
        self.0.get(&(tenant.clone(), name.to_owned()))
    }

    /// The name under which the store has what `schedule` has done.
    pub(crate) fn stored_as<'a>(
        &self,
        schedule: &'a LiveSchedule,
        is_stored: impl Fn(&str) -> bool,
    ) -> &'a str {
        let before = schedule.def.renamed_from.as_ref().map(ScheduleName::as_str);
        let names = (schedule.def.name.as_str(), before);
        stored_as(names, is_stored, |name| self.get(&schedule.tenant, name).is_some())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &LiveSchedule> {
        self.0.values()
    }
}

/// The partitions definition of what `target` runs; none when nothing in it is partitioned.
pub(crate) fn division<'a>(
    manifest: &'a Manifest,
    target: &ScheduleTarget,
) -> Result<Option<&'a PartitionsName>, PlanError> {
    let selection = match target {
        ScheduleTarget::Select(selection) => selection,
        ScheduleTarget::Job(job) => match manifest.jobs.get(job).map(|job| &job.shape) {
            Some(JobShape::Select(selection)) => selection,
            Some(JobShape::Ops(_)) | None => return Ok(None),
        },
    };
    let assets = select(manifest, selection)?;
    if assets.is_empty() {
        return Err(PlanError::SelectionEmpty { selection: selection.clone() });
    }
    let made = assets.iter().filter_map(|key| manifest.assets.get(key));
    Ok(made.filter(|asset| asset.step.is_some()).find_map(|asset| asset.partitions.as_ref()))
}

impl Control {
    /// What is wrong with a schedule among all the definitions of its location; it is asked when
    /// definitions are loaded.
    pub fn schedule_problem(manifest: &Manifest, def: &ScheduleDef) -> Option<DefinitionProblem> {
        let key = match def.target {
            ScheduleTarget::Job(_) => "job",
            ScheduleTarget::Select(_) => "select",
        };
        let division = match division(manifest, &def.target) {
            Ok(division) => division,
            Err(error) => {
                let (code, message) = (error.code(), error.to_string());
                let help = selection_help(manifest, &error);
                return Some(DefinitionProblem { key, code, message, help });
            }
        };
        let (name, target) = (&def.name, &def.target);
        let needed = |message: String, help: &str| {
            let (code, help) = (ErrorCode::PartitionNeeded, Some(help.to_owned()));
            Some(DefinitionProblem { key: "partitions", code, message, help })
        };
        let dimensions = match (division, &def.partitions) {
            (None, None) => Vec::new(),
            (None, Some(_)) => {
                let message = format!("nothing that `{target}` runs has partitions");
                return needed(message, "leave `partitions` out");
            }
            (Some(by), None) => {
                let message = format!(
                    "`{target}` is partitioned by `{by}`, and schedule `{name}` names none"
                );
                let help = "write `partitions: latest` for windows of time, parts like \
                            `{ grain: day }`, or `all`";
                return needed(message, help);
            }
            (Some(by), Some(wanted)) => {
                let def = manifest.partitions.get(by);
                let known = def.map(PartitionsDef::part_names).unwrap_or_default();
                if let Some(misfit) = def.and_then(|def| never_fits((by, def), wanted)) {
                    return needed(misfit.message, &misfit.help);
                }
                if let TickPartitions::Matching(parts) = wanted
                    && let Some(unknown) = parts.keys().find(|it| !known.contains(&it.to_string()))
                {
                    let message = format!("`{unknown}` is no dimension of `{by}`");
                    let help = format!("its dimensions are: {}", known.join(", "));
                    return needed(message, &help);
                }
                known
            }
        };
        template_problem(def, &dimensions)
    }
}

/// What ticks in the store where `schedule` does in the definitions.
pub(crate) fn source_of(manifest: &Manifest, schedule: &LiveSchedule) -> TickSource {
    schedule_source(&manifest.location, schedule.def.name.as_str())
}

/// The schedule called `name` in the store.
pub(crate) fn schedule_source(location: &LocationName, name: &str) -> TickSource {
    TickSource { kind: TickKind::Schedule, location: location.clone(), name: name.to_owned() }
}

/// The first name in a template of `def` that a tick cannot fill.
fn template_problem(def: &ScheduleDef, dimensions: &[String]) -> Option<DefinitionProblem> {
    let of_tags = def.tags.values().map(|template| ("tags", template));
    let all = def.run_key.iter().map(|template| ("run_key", template)).chain(of_tags);
    let is_known = |name: &str| {
        TEMPLATE_NAMES.contains(&name)
            || dimensions.iter().any(|dimension| dimension == name)
            || date_format(name).is_some()
    };
    for (key, template) in all {
        if let Some(unknown) = template.names().find(|name| !is_known(name)) {
            let mut known: Vec<&str> = dimensions.iter().map(String::as_str).collect();
            known.extend(TEMPLATE_NAMES);
            known.extend(["YYYYMMDD", "YYYY-MM-DD", "HH", "mm", "ss"]);
            let near = nearest(unknown, known.iter().copied());
            let near = near.map(|near| format!("did you mean `{{{near}}}`? ")).unwrap_or_default();
            return Some(DefinitionProblem {
                key,
                code: ErrorCode::DefinitionTemplate,
                message: format!("schedule `{}` has no `{{{unknown}}}`", def.name),
                help: Some(format!("{near}there are {}", known.join(", "))),
            });
        }
    }
    None
}
