//! What schedules, sensors and keys of partitions say of the other things of their location: jobs,
//! calendars, tenants.
//!
//! Called once the names of all files are known. What a schedule's selection and partitions mean
//! is asked of the planner, by whoever loads the files.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    CalendarName, Exclusion, JobName, JobShape, PartitionsDef, ScheduleCron, ScheduleDef,
    ScheduleTarget, SensorDef, SensorQuestion, TenantId,
};

use crate::draft::Names;
use crate::location::{Finding, Tried};
use crate::references::meant;
use crate::reporter::Reporter;

/// The findings about undeclared tenants of the keys of one partitions definition.
const TENANT_FINDINGS_MAX: usize = 3;

/// Everything that schedules refer to.
struct Known<'a> {
    jobs: BTreeMap<&'a str, &'a JobShape>,
    calendars: BTreeSet<&'a str>,
    tenants: BTreeSet<&'a str>,
    follows_tenants: bool,
    /// Whether a file of which nothing is known may declare tenants.
    is_unread: bool,
}

/// Reports each reference of a schedule that leads nowhere, and tenants' schedules that none
/// follows.
pub(crate) fn check(files: &[Tried<'_>], doubts: &Names, findings: &mut Vec<Finding>) {
    let manifests = || files.iter().map(|file| file.manifest);
    let schedules = || manifests().flat_map(|manifest| &manifest.schedules);
    let jobs = manifests().flat_map(|manifest| &manifest.jobs);
    let calendars = manifests().flat_map(|manifest| manifest.calendars.keys());
    let tenants = manifests().flat_map(|manifest| manifest.tenants.keys());
    let known = Known {
        jobs: jobs.map(|job| (job.name.as_str(), &job.shape)).collect(),
        calendars: calendars.map(CalendarName::as_str).collect(),
        tenants: tenants.map(TenantId::as_str).collect(),
        follows_tenants: schedules().any(|schedule| schedule.cron == ScheduleCron::OfTenant)
            || doubts.any("schedule")
            || files.iter().any(|file| file.draft.is_some_and(|it| it.is_unread)),
        is_unread: files.iter().any(Tried::is_unknown),
    };
    for (index, file) in files.iter().enumerate() {
        let report = Reporter { index, file, doubts, findings };
        let mut about = About { known: &known, report };
        for schedule in &file.manifest.schedules {
            about.schedule(schedule);
        }
        for sensor in &file.manifest.sensors {
            about.sensor(sensor);
        }
        about.tenants();
        about.keys();
    }
}

/// The findings about one file.
struct About<'f, 'a> {
    known: &'f Known<'a>,
    report: Reporter<'f, 'a>,
}

impl About<'_, '_> {
    fn schedule(&mut self, schedule: &ScheduleDef) {
        let name = schedule.name.as_str();
        if let ScheduleTarget::Job(job) = &schedule.target {
            self.job(schedule, job);
        }
        for exclusion in &schedule.exclude {
            if let Exclusion::Calendar(calendar) = exclusion
                && !self.known.calendars.contains(calendar.as_str())
            {
                let message =
                    format!("Schedule `{name}` names the calendar `{calendar}`, which no file has");
                let help = match self.known.calendars.iter().next() {
                    Some(_) => meant(calendar.as_str(), self.known.calendars.iter().copied()),
                    None => format!("write it: `calendars: {{ {calendar}: [2026-12-25] }}`"),
                };
                let thing = ("calendar", calendar.as_str());
                self.report.missing(thing, &["schedule", name, "exclude"], message, help);
            }
        }
        self.known_tenants(("schedule", name), &schedule.tenants);
    }

    fn sensor(&mut self, sensor: &SensorDef) {
        let name = sensor.name.as_str();
        let followed = match &sensor.question {
            SensorQuestion::RunStatus { job, .. } => job.as_ref().map(|job| (job, "job")),
            _ => None,
        };
        let requested = match &sensor.request.target {
            Some(ScheduleTarget::Job(job)) => Some((job, "request")),
            Some(ScheduleTarget::Select(_)) | None => None,
        };
        for (job, key) in followed.into_iter().chain(requested) {
            if !self.known.jobs.contains_key(job.as_str()) {
                let message =
                    format!("Sensor `{name}` names the job `{job}`, which no file declares");
                let help = meant(job.as_str(), self.known.jobs.keys().copied());
                self.report.missing(("job", job.as_str()), &["sensor", name, key], message, help);
            }
        }
        self.known_tenants(("sensor", name), &sensor.tenants);
    }

    /// Reports tenants of a schedule or sensor that no file declares.
    fn known_tenants(&mut self, (kind, name): (&str, &str), tenants: &[TenantId]) {
        let what = if kind == "sensor" { "Sensor" } else { "Schedule" };
        for tenant in tenants {
            if !self.known.tenants.contains(tenant.as_str()) {
                let message =
                    format!("{what} `{name}` names the tenant `{tenant}`, which no file declares");
                let help = meant(tenant.as_str(), self.known.tenants.iter().copied());
                let thing = ("tenant", tenant.as_str());
                self.report.missing(thing, &[kind, name, "tenants"], message, help);
            }
        }
    }

    fn job(&mut self, schedule: &ScheduleDef, job: &JobName) {
        let name = schedule.name.as_str();
        match self.known.jobs.get(job.as_str()) {
            None => {
                let message =
                    format!("Schedule `{name}` names the job `{job}`, which no file declares");
                let help = meant(job.as_str(), self.known.jobs.keys().copied());
                self.report.missing(
                    ("job", job.as_str()),
                    &["schedule", name, "job"],
                    message,
                    help,
                );
            }
            Some(_) if self.report.doubts.has("job", job.as_str()) => {}
            Some(JobShape::Ops(_)) if schedule.partitions.is_some() => {
                let message =
                    format!("Schedule `{name}` selects partitions of `{job}`, a job of ops");
                let help = "only assets have partitions; leave `partitions` out";
                self.report.error(&["schedule", name, "partitions"], message, help.to_owned());
            }
            Some(_) => {}
        }
        // The schedule that a job declares has the job's name; another one may not take it.
        let is_own = schedule.name.as_str() == job.as_str();
        if !is_own && self.known.jobs.contains_key(name) {
            let message = format!("Schedule `{name}` of job `{job}` has the name of another job");
            let help = "give it a name of its own: a job's own schedule is named after the job";
            self.report.error(&["schedule", name], message, help.to_owned());
        }
    }

    /// Warns of a tenant's `schedule` that nothing follows.
    fn tenants(&mut self) {
        if self.known.follows_tenants {
            return;
        }
        let tenants = &self.report.file.manifest.tenants;
        let Some((id, _)) = tenants.iter().find(|(_, tenant)| tenant.schedule.is_some()) else {
            return;
        };
        let message = format!("Tenant `{id}` has a `schedule` that no schedule follows");
        let help = "say what runs then: \
                    `schedules: { per_tenant: { cron: \"{{ tenant.schedule }}\", job: etl } }`";
        self.report.warning(&["tenant", id.as_str()], message, help.to_owned());
    }

    /// Warns of keys that name a tenant which no file declares: they are nobody's.
    fn keys(&mut self) {
        if self.known.is_unread {
            return;
        }
        for (name, def) in &self.report.file.manifest.partitions {
            let path = ["partitions", name.as_str()];
            let mut named = BTreeMap::new();
            count_tenants(def, &mut named);
            let is_declared = |id: &str| {
                if self.known.tenants.is_empty() {
                    id == TenantId::default_tenant().as_str()
                } else {
                    self.known.tenants.contains(id)
                }
            };
            named.retain(|id, _| !is_declared(id) && !self.report.doubts.has("tenant", id));
            for (id, count) in named.into_iter().take(TENANT_FINDINGS_MAX) {
                let keys = if count == 1 { "1 key" } else { &format!("{count} keys") };
                let verb = if count == 1 { "names" } else { "name" };
                let message = format!(
                    "{keys} of the partitions `{name}` {verb} the tenant `{id}`, which no file \
                     declares; no tenant has them"
                );
                let help = meant(&id, self.known.tenants.iter().copied());
                self.report.warning(&path, message, help);
            }
        }
    }
}

/// Adds to `named` how many keys of a definition, as its file has them, name which tenant.
fn count_tenants(def: &PartitionsDef, named: &mut BTreeMap<String, usize>) {
    match def {
        PartitionsDef::Static { .. } | PartitionsDef::TimeWindow(_) => {}
        PartitionsDef::Multi { dimensions } => {
            for def in dimensions.values() {
                count_tenants(def, named);
            }
        }
        PartitionsDef::Dynamic(def) => {
            let Some(dimension) = &def.tenant else { return };
            let parts = def.keys.iter().filter_map(|key| def.parse_key(key).ok());
            for tenant in parts.filter_map(|mut parts| parts.remove(dimension.as_str())) {
                *named.entry(tenant).or_insert(0) += 1;
            }
        }
    }
}
