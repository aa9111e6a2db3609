//! How an instance is set up: the project's folder and its file of settings, the environment and
//! the command line.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use millstream_control::QueueLimits;
use millstream_model::{ByteSize, HumanDuration, StepLimits};
use millstream_postgres::with_defaults;
use millstream_worker::{AllowError, AllowList};

use crate::config_file;
use crate::error::AppError;
use crate::failure::FailureSettings;

/// How often the definition root is scanned when nothing else is said.
const SCAN_INTERVAL: Duration = Duration::from_secs(30);

/// How long a worker or a daemon may be silent before it counts as gone.
const TIME_TO_LIVE: Duration = Duration::from_secs(15);

/// Runs in progress at once when nothing else is said; Dagster's default is 10.
const MAX_CONCURRENT_RUNS: u32 = 10;

/// How often a run is given to a worker before its losses are its failure.
const LAUNCHES_MAX: u32 = 3;

/// The variable that names the database.
const DATABASE_URL: &str = "MILLSTREAM_DATABASE_URL";

/// The settings of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The project's folder; relative paths of definitions begin here.
    pub(crate) project: PathBuf,
    /// The folder that definition files are below.
    pub(crate) dags: PathBuf,
    /// How often that folder is scanned.
    pub(crate) scan_interval: Duration,
    /// Whether it is scanned at all.
    pub(crate) scans: bool,
    /// Whether this process loads what it finds there: not where it only looks at what is live.
    pub(crate) loads: bool,
    /// Whether runs that wait are started from the beginning.
    pub(crate) runs: bool,
    /// The Postgres database, or the embedded one when absent.
    pub(crate) database_url: Option<String>,
    /// Runs in progress at once.
    pub(crate) queue: QueueLimits,
    /// How long a worker or a daemon may be silent before it counts as gone.
    pub(crate) time_to_live: Duration,
    /// How often a run is given to a worker before its losses are its failure.
    pub(crate) launches_max: u32,
    /// What an attempt at a step may use where its definition does not say.
    pub(crate) limits: StepLimits,
    /// How large the log of each output of an attempt may become; the worker's default if absent.
    pub(crate) output_max: Option<ByteSize>,
    /// How long things may take, and whether runs are retried.
    pub(crate) failure: FailureSettings,
    /// Where a run's worker runs.
    pub(crate) launcher: LauncherKind,
    /// The Python that runs functions whose step names none.
    pub(crate) python: String,
    /// The variables of the environment that definitions may read as `env`, with their values.
    pub(crate) declared_env: BTreeMap<String, String>,
    /// The private addresses that HTTP steps may reach.
    pub(crate) outbound: AllowList,
    /// The settings that were not understood.
    pub(crate) warnings: Vec<Misread>,
}

/// A setting that was not understood, and what counts instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid {name}: {problem}")]
pub(crate) struct Misread {
    /// The variable, or the key of the file of settings.
    name: String,
    problem: String,
}

impl Misread {
    /// The variable called `name` is wrong, and how.
    pub(crate) fn new(name: &str, problem: impl Into<String>) -> Self {
        Self { name: name.to_owned(), problem: problem.into() }
    }

    /// The variable called `name` holds `text`, and its default counts.
    pub(crate) fn unusable(name: &str, text: &str) -> Self {
        Self::new(name, format!("{text}, using default"))
    }

    /// The same, which names the key of the file of settings where the value comes from that.
    fn told_from(mut self, file: &BTreeMap<String, String>) -> Self {
        let is_in_file = file.contains_key(&self.name) && std::env::var(&self.name).is_err();
        let key = config_file::KEYS.iter().find(|(_, name)| *name == self.name);
        if let Some((key, _)) = key.filter(|_| is_in_file) {
            self.name = format!("`{key}` in {}", config_file::NAME);
        }
        self
    }
}

/// Where a run's worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LauncherKind {
    /// As a task of this process.
    Local,
    /// As a process of its own.
    Process,
}

impl Settings {
    /// The settings for the project in `folder`, which must exist, under this process's own
    /// environment, and below it the project's file of settings.
    pub(crate) fn of(folder: &Path) -> Result<Self, AppError> {
        if !folder.is_dir() {
            return Err(AppError::NoProject { folder: folder.to_owned() });
        }
        let file = config_file::read(folder)?;
        let variable = |name: &str| std::env::var(name).ok().or_else(|| file.get(name).cloned());
        let mut settings = Self::read(folder, variable);
        settings.warnings = settings.warnings.into_iter().map(|it| it.told_from(&file)).collect();
        Ok(settings)
    }

    /// Whether the folder is a project's: it has a folder of definitions, a file of settings or
    /// the state of an instance, or its database is elsewhere.
    pub(crate) fn is_project(&self) -> bool {
        self.database_url.is_some()
            || self.dags.is_dir()
            || self.state().is_dir()
            || self.project.join(config_file::NAME).is_file()
    }

    /// The Postgres database of the project in `folder`: the one that is `given`, or that of this
    /// process's environment, or that of the project's file of settings; `None` without one.
    pub(crate) fn database(
        folder: &Path,
        given: Option<String>,
    ) -> Result<Option<String>, AppError> {
        let file = config_file::read(folder)?;
        let given = given.filter(|url| !url.is_empty());
        Ok(database_url(&|name: &str| match &given {
            Some(url) if name == DATABASE_URL => Some(url.clone()),
            _ => std::env::var(name).ok().or_else(|| file.get(name).cloned()),
        }))
    }

    /// The project's folder of the definition files in `folder`: where that is the definitions'
    /// folder of a copy of the project, the copy, and this project elsewhere.
    pub(crate) fn project_of(&self, folder: &Path) -> PathBuf {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let Ok(below) = self.dags.strip_prefix(&self.project) else { return self.project.clone() };
        let is_copy = below.components().count() > 0 && folder.ends_with(below);
        let copy = folder.ancestors().nth(below.components().count());
        copy.filter(|_| is_copy).map_or_else(|| self.project.clone(), Path::to_owned)
    }

    /// The definitions' folder that `path` is below, this project's or that of a copy of it, and
    /// its name there; `None` for what no scan of it would find.
    pub(crate) fn root_of(&self, path: &Path) -> Option<(PathBuf, String)> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = real(std::path::absolute(path).ok()?.parent()?);
        let own = real(&self.dags);
        let root = if folder.starts_with(&own) {
            own
        } else {
            let below = self.dags.strip_prefix(&self.project).ok()?;
            let is_copy = |it: &&Path| below.components().count() > 0 && it.ends_with(below);
            folder.ancestors().find(is_copy)?.to_owned()
        };
        let found = folder.join(path.file_name()?);
        let name = found.strip_prefix(&root).ok()?.to_str()?.to_owned();
        let is_hidden = name.split('/').any(|part| part.starts_with('.'));
        (!is_hidden).then_some((root, name))
    }

    /// The settings for `project` under an environment that `variable` looks up.
    pub(crate) fn read(project: &Path, variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut warnings = Vec::new();
        let project = whole(project);
        let dags = variable("DAGS_DIR").unwrap_or_else(|| "dags".to_owned());
        let scan_interval = match variable("DAGS_SCAN_INTERVAL") {
            None => SCAN_INTERVAL,
            Some(text) => interval(&text).unwrap_or_else(|| {
                warnings.push(Misread::unusable("DAGS_SCAN_INTERVAL", &text));
                SCAN_INTERVAL
            }),
        };
        let mut number = |name: &str, least: u32, default: u32| match variable(name) {
            None => default,
            Some(text) => text.parse().ok().filter(|it| *it >= least).unwrap_or_else(|| {
                warnings.push(Misread::unusable(name, &text));
                default
            }),
        };
        let runs = number("MILLSTREAM_MAX_CONCURRENT_RUNS", 0, MAX_CONCURRENT_RUNS);
        let is_set = variable("MILLSTREAM_MAX_CONCURRENT_RUNS").is_some();
        let launches_max = number("MILLSTREAM_LAUNCHES_MAX", 1, LAUNCHES_MAX);
        let time_to_live = match variable("MILLSTREAM_LEASE") {
            None => TIME_TO_LIVE,
            Some(text) => interval(&text).unwrap_or_else(|| {
                warnings.push(Misread::unusable("MILLSTREAM_LEASE", &text));
                TIME_TO_LIVE
            }),
        };
        let failure = FailureSettings::read(&variable, &mut warnings);
        let launcher = match variable("MILLSTREAM_LAUNCHER").as_deref() {
            Some("process") => LauncherKind::Process,
            None | Some("local") => LauncherKind::Local,
            Some(other) => {
                let problem = format!("{other}, using local");
                warnings.push(Misread::new("MILLSTREAM_LAUNCHER", problem));
                LauncherKind::Local
            }
        };
        let outbound = outbound(variable("MILLSTREAM_OUTBOUND_ALLOW").as_deref(), &mut warnings);
        let limits = limits(&variable, &mut warnings);
        let output_max = value("MILLSTREAM_OUTPUT_MAX", &variable, &mut warnings);
        let names = variable("MILLSTREAM_ENV").unwrap_or_default();
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let declared_env =
            names.filter_map(|name| Some((name.to_owned(), variable(name)?))).collect();
        let python = variable("MILLSTREAM_PYTHON").filter(|name| !name.is_empty());
        Self {
            python: python.unwrap_or_else(|| "python3".to_owned()),
            declared_env,
            dags: whole(&project.join(dags)),
            scan_interval,
            scans: variable("DAGS_ENABLED").is_none_or(|text| text == "true"),
            loads: true,
            runs: true,
            database_url: database_url(&variable),
            queue: QueueLimits { raised_by_definitions: !is_set, ..QueueLimits::of(Some(runs)) },
            time_to_live,
            launches_max,
            failure,
            limits,
            output_max,
            launcher,
            outbound,
            warnings,
            project,
        }
    }

    /// The folder that holds the instance's own state.
    pub(crate) fn state(&self) -> PathBuf {
        self.project.join(".millstream")
    }

    /// The socket on which the instance's server answers commands.
    pub(crate) fn socket(&self) -> PathBuf {
        self.state().join("server.sock")
    }
}

/// The path from the root, as it is shown: without `..`, where it is there.
fn whole(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let goes_back = path.components().any(|it| it == Component::ParentDir);
    // Only the system knows where `..` leads to behind a link.
    let found = if goes_back { path.canonicalize().ok() } else { None };
    found.unwrap_or(path)
}

/// The address of the database, encrypted as the variables of Postgres's own programs say unless it
/// says so itself.
fn database_url(variable: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let said = |name: &str| variable(name).filter(|text| !text.is_empty());
    let (mode, file) = (said("PGSSLMODE"), said("PGSSLROOTCERT"));
    let url = said(DATABASE_URL)?;
    Some(with_defaults(&url, mode.as_deref(), file.as_deref()))
}

/// The addresses that HTTP steps may reach: by default this machine, which is where `dev` runs.
///
/// A list that is not understood allows nothing; what it was to keep out is not known.
fn outbound(text: Option<&str>, warnings: &mut Vec<Misread>) -> AllowList {
    match text {
        None => AllowList::this_machine(),
        Some("none") => AllowList::none(),
        Some(text) => text.parse().unwrap_or_else(|error: AllowError| {
            let problem = format!("{error}; HTTP steps reach no private address");
            warnings.push(Misread::new("MILLSTREAM_OUTBOUND_ALLOW", problem));
            AllowList::none()
        }),
    }
}

/// The limits of steps that `variable` gives.
fn limits(variable: &impl Fn(&str) -> Option<String>, warnings: &mut Vec<Misread>) -> StepLimits {
    StepLimits {
        memory: value("MILLSTREAM_STEP_MEMORY", variable, warnings),
        cpu: value("MILLSTREAM_STEP_CPU", variable, warnings),
        cpu_time: value("MILLSTREAM_STEP_CPU_TIME", variable, warnings),
        processes: value("MILLSTREAM_STEP_PROCESSES", variable, warnings),
        open_files: value("MILLSTREAM_STEP_OPEN_FILES", variable, warnings),
    }
}

/// The value of the variable called `name`; one that is none, or nothing at all, is a warning.
fn value<T: FromStr + Default + PartialEq>(
    name: &str,
    variable: &impl Fn(&str) -> Option<String>,
    warnings: &mut Vec<Misread>,
) -> Option<T> {
    let text = variable(name)?;
    let value = text.parse().ok().filter(|value| *value != T::default());
    if value.is_none() {
        warnings.push(Misread::unusable(name, &text));
    }
    value
}

/// A positive duration; a bare number means seconds.
pub(crate) fn interval(text: &str) -> Option<Duration> {
    text.parse::<HumanDuration>().ok().map(|duration| duration.0).filter(|d| !d.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(Path::new("/project"), |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_variable_that_is_read_has_a_key_in_the_file_of_settings() {
        let asked = std::cell::RefCell::new(Vec::new());
        Settings::read(Path::new("/project"), |name| {
            asked.borrow_mut().push(name.to_owned());
            None
        });
        let known: Vec<&str> = config_file::KEYS.iter().map(|(_, name)| *name).collect();
        for name in asked.into_inner() {
            assert!(known.contains(&name.as_str()), "give {name} a key in config_file.rs");
        }
    }

    /// What is said of the settings that were not understood.
    fn told(settings: &Settings) -> Vec<String> {
        settings.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_lease_and_a_number_of_launches_that_make_no_sense_are_warned_about() {
        let settings = read(&[("MILLSTREAM_LEASE", "never"), ("MILLSTREAM_LAUNCHES_MAX", "0")]);
        assert_eq!((settings.time_to_live, settings.launches_max), (TIME_TO_LIVE, LAUNCHES_MAX));
        let wanted = [
            "Invalid MILLSTREAM_LAUNCHES_MAX: 0, using default",
            "Invalid MILLSTREAM_LEASE: never, using default",
        ];
        assert_eq!(told(&settings), wanted);
    }

    #[test]
    fn what_is_wrong_in_the_file_of_settings_is_told_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = "lease: never\ntimeouts: { start: 1 parsec }\noutbound: { allow: [10/99] }\n";
        std::fs::write(folder.path().join(config_file::NAME), file).unwrap();
        let told = told(&Settings::of(folder.path()).unwrap());
        let wanted = [
            "Invalid `lease` in millstream.yaml: never, using default",
            "Invalid `timeouts.start` in millstream.yaml: 1 parsec, using default",
        ];
        assert_eq!(told.get(..2), Some(&wanted.map(str::to_owned)[..]), "{told:?}");
        let third = told.get(2).unwrap();
        assert!(third.starts_with("Invalid `outbound.allow` in millstream.yaml: "), "{told:?}");
    }

    #[test]
    fn r159_a_bad_interval_is_a_warning_and_the_default() {
        let settings = read(&[("DAGS_SCAN_INTERVAL", "abc")]);
        assert_eq!(settings.scan_interval, Duration::from_secs(30));
        assert_eq!(told(&settings), ["Invalid DAGS_SCAN_INTERVAL: abc, using default"]);
        assert_eq!(read(&[("DAGS_SCAN_INTERVAL", "0")]).warnings.len(), 1);
        assert_eq!(read(&[("DAGS_SCAN_INTERVAL", "60")]).scan_interval, Duration::from_mins(1));
    }

    #[test]
    fn r158_definitions_lie_in_their_folder_of_the_project_unless_said_otherwise() {
        assert_eq!(read(&[]).dags, Path::new("/project/dags"));
        assert_eq!(read(&[("DAGS_DIR", "etl")]).dags, Path::new("/project/etl"));
        assert_eq!(read(&[("DAGS_DIR", "/elsewhere")]).dags, Path::new("/elsewhere"));
    }

    #[test]
    fn definitions_see_the_variables_that_were_named_and_no_others() {
        let variables = [("MILLSTREAM_ENV", "LAKE, GONE"), ("LAKE", "/lake"), ("SECRET", "x")];
        let seen = read(&variables).declared_env;
        assert_eq!(seen, BTreeMap::from([("LAKE".to_owned(), "/lake".to_owned())]));
    }

    #[test]
    fn http_steps_reach_this_machine_unless_a_list_says_otherwise() {
        let variable = |text| read(&[("MILLSTREAM_OUTBOUND_ALLOW", text)]);
        assert_eq!(read(&[]).outbound, AllowList::this_machine());
        assert_eq!(variable("none").outbound, AllowList::none());
        assert_eq!(variable("10.0.0.0/8").outbound, "10.0.0.0/8".parse().unwrap());
        let wrong = variable("10.0.0.0/88");
        assert_eq!((wrong.outbound, wrong.warnings.len()), (AllowList::none(), 1));
    }

    #[test]
    fn r019_limits_of_steps_are_written_as_people_say_them_and_bad_ones_are_warned_about() {
        let settings = read(&[
            ("MILLSTREAM_STEP_MEMORY", "512 MiB"),
            ("MILLSTREAM_STEP_CPU_TIME", "10m"),
            ("MILLSTREAM_STEP_PROCESSES", "0"),
            ("MILLSTREAM_OUTPUT_MAX", "much"),
        ]);
        assert_eq!(settings.limits.memory, Some(ByteSize(512 << 20)));
        assert_eq!(settings.limits.cpu_time, Some(HumanDuration::from_secs(600)));
        assert_eq!((settings.limits.processes, settings.output_max), (None, None));
        assert_eq!(
            told(&settings),
            [
                "Invalid MILLSTREAM_STEP_PROCESSES: 0, using default",
                "Invalid MILLSTREAM_OUTPUT_MAX: much, using default"
            ]
        );
    }

    #[test]
    fn r008_the_variables_of_postgres_say_how_the_database_is_reached() {
        let url = |variables: &[(&str, &str)]| read(variables).database_url.unwrap();
        let database = ("MILLSTREAM_DATABASE_URL", "postgres://db/x");
        assert_eq!(url(&[database]), "postgres://db/x");
        let required = ("PGSSLMODE", "require");
        assert_eq!(url(&[database, required]), "postgres://db/x?sslmode=require");
        let own = ("MILLSTREAM_DATABASE_URL", "postgres://db/x?sslmode=verify-full");
        assert_eq!(url(&[own, required]), "postgres://db/x?sslmode=verify-full");
    }

    #[test]
    fn the_database_of_the_file_of_settings_counts_unless_another_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let database = |given: Option<&str>| {
            Settings::database(folder.path(), given.map(str::to_owned)).unwrap()
        };
        let other = Some("postgres://db/given".to_owned());
        assert_eq!(database(Some("postgres://db/given")), other, "without a file");
        let file = "database_url: postgres://db/file\ndatabase_sslmode: require\n";
        std::fs::write(folder.path().join(config_file::NAME), file).unwrap();
        assert_eq!(database(None), Some("postgres://db/file?sslmode=require".to_owned()));
        let other = Some("postgres://db/given?sslmode=require".to_owned());
        assert_eq!(database(Some("postgres://db/given")), other);
    }

    #[test]
    fn r160_only_true_keeps_loading_on() {
        assert!(read(&[]).scans);
        assert!(read(&[("DAGS_ENABLED", "true")]).scans);
        assert!(!read(&[("DAGS_ENABLED", "false")]).scans);
    }
}
