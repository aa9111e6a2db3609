//! Schedules: when runs are requested by themselves, and of what.
//!
//! `definition` reads them, `decide::schedule` says which of their ticks are due, `control`
//! requests the runs. A schedule belongs to a code location and ticks once for each tenant that
//! takes part.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{CalendarName, DimensionName, HumanDuration, JobName, ScheduleName, TenantId};

/// A schedule of a code location.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleDef {
    /// Its name; the schedule that a job declares for itself has the job's.
    pub name: ScheduleName,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// When it is due.
    pub cron: ScheduleCron,
    /// The zone whose clock the cron expression reads, as an IANA name.
    pub timezone: String,
    /// What its runs run.
    pub target: ScheduleTarget,
    /// Which partitions a tick asks for: one run each.
    #[serde(default)]
    pub partitions: Option<TickPartitions>,
    /// What makes two requests the same, as a template like `{tenant}_{YYYYMMDD}`.
    #[serde(default)]
    pub run_key: Option<TickTemplate>,
    /// What becomes of ticks whose time passed while nothing ran.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// How old a tick may be and still be made up for.
    #[serde(default)]
    pub deadline: Option<HumanDuration>,
    /// How many runs of the schedule may be under way when it ticks again.
    #[serde(default)]
    pub max_active_runs: Option<u32>,
    /// The days on which it does not tick.
    #[serde(default)]
    pub exclude: Vec<Exclusion>,
    /// The condition under which a tick asks for runs, as a template.
    #[serde(default)]
    pub when: Option<String>,
    /// Labels of its runs beside the job's; the values may be templates like a run key.
    #[serde(default)]
    pub tags: BTreeMap<String, TickTemplate>,
    /// The trigger context of its runs.
    #[serde(default)]
    pub context: serde_json::Map<String, serde_json::Value>,
    /// Whether it ticks unless somebody starts or stops it by hand.
    pub enabled: Switch,
    /// The first instant at which it may tick, in its zone.
    #[serde(default)]
    pub start: Option<String>,
    /// The instant at which it stops, exclusive, in its zone.
    #[serde(default)]
    pub end: Option<String>,
    /// The tenants in which it ticks; all that take part when empty.
    #[serde(default)]
    pub tenants: Vec<TenantId>,
    /// The name it had before, whose history and switch it takes over.
    #[serde(default)]
    pub renamed_from: Option<ScheduleName>,
}

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleCron {
    /// By this expression.
    Text(String),
    /// By the `schedule` of each tenant; not at all in a tenant that has none.
    OfTenant,
}

/// What a schedule's runs run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleTarget {
    /// A job.
    Job(JobName),
    /// The assets that a selection names.
    Select(String),
}

/// Which partitions a tick asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickPartitions {
    /// Every one that exists.
    All,
    /// The newest window of time that has ended at the nominal time.
    Latest,
    /// Those whose parts are as named.
    Matching(BTreeMap<DimensionName, PartWanted>),
}

/// What a part of a wanted partition's key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartWanted {
    /// One of these texts.
    OneOf(Vec<String>),
    /// The newest window of time that has ended at the nominal time.
    Latest,
}

/// What becomes of ticks whose time passed while nothing ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They are skipped.
    None,
    /// The last of them is made up for, the others are skipped.
    #[default]
    Last,
    /// Each of them is made up for.
    All,
}

/// Days on which a schedule does not tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// These days.
    Days(DaySpan),
    /// The days of a calendar of the location.
    Calendar(CalendarName),
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(days) => days.fmt(f),
            Self::Calendar(name) => write!(f, "calendar {name}"),
        }
    }
}

/// Whether something is on unless somebody says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    /// As written.
    Fixed(bool),
    /// As a template over `env` and `tenant` says.
    Template(String),
}

const YES: [&str; 5] = ["true", "yes", "on", "1", "running"];
const NO: [&str; 6] = ["false", "no", "off", "0", "stopped", ""];

/// Whether a text says yes or no; `None` when it says neither.
pub fn yes_or_no(text: &str) -> Option<bool> {
    let word = text.trim().to_lowercase();
    match word.as_str() {
        word if YES.contains(&word) => Some(true),
        word if NO.contains(&word) => Some(false),
        _ => None,
    }
}

/// A day of the calendar, without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(jiff::civil::Date);

/// A text is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DayError {
    /// It is neither a day nor a range of days.
    #[error(
        "{text:?} is no day; write it like `2026-12-24`, or a range like `2026-12-24..2027-01-01`"
    )]
    NoDay {
        /// The rejected text.
        text: String,
    },
    /// It is a range that ends before it begins.
    #[error("the range {text:?} ends before it begins; write `{to}..{from}`")]
    Reversed {
        /// The rejected text.
        text: String,
        /// Its first day.
        from: Day,
        /// Its last day.
        to: Day,
    },
}

impl Day {
    /// The day as jiff's type.
    pub fn as_jiff(self) -> jiff::civil::Date {
        self.0
    }
}

impl From<jiff::civil::Date> for Day {
    fn from(date: jiff::civil::Date) -> Self {
        Self(date)
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let fail = || DayError::NoDay { text: text.to_owned() };
        let is_plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if !is_plain {
            return Err(fail());
        }
        text.parse().map(Self).map_err(|_| fail())
    }
}

impl TryFrom<String> for Day {
    type Error = DayError;

    fn try_from(text: String) -> Result<Self, DayError> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Some days in a row, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaySpan {
    /// The first.
    pub from: Day,
    /// The last.
    pub to: Day,
}

impl DaySpan {
    /// Whether `day` is one of them.
    pub fn contains(&self, day: Day) -> bool {
        (self.from..=self.to).contains(&day)
    }
}

impl FromStr for DaySpan {
    type Err = DayError;

    /// Reads a day, or two with `..` between them.
    fn from_str(text: &str) -> Result<Self, DayError> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let span = Self { from: from.trim().parse()?, to: to.trim().parse()? };
        if span.to < span.from {
            let (text, Self { from, to }) = (text.to_owned(), span);
            return Err(DayError::Reversed { text, from, to });
        }
        Ok(span)
    }
}

impl fmt::Display for DaySpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{}..{}", self.from, self.to)
        }
    }
}

/// A text with parts in braces that a tick fills: `{tenant}_{metric}_{YYYYMMDD}`.
///
/// **Invariant.** Every brace is closed, and what stands between two is a name or a form of a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TickTemplate(String);

/// A text is no template for ticks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {text:?} {problem}")]
pub struct TickTemplateError {
    /// The rejected text.
    pub text: String,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

/// The longest template in bytes.
const TEMPLATE_MAX: usize = 500;

/// The parts of a date as templates write them, with strftime's letters.
const DATE_PARTS: [(&str, &str); 6] =
    [("YYYY", "%Y"), ("MM", "%m"), ("DD", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S")];

/// The strftime format that `name` is the form of, if it is one: `YYYY-MM-DD` or `YYYYMMDDHH`.
pub fn date_format(name: &str) -> Option<String> {
    let mut rest = name;
    let mut format = String::new();
    while !rest.is_empty() {
        if let Some((word, letters)) = DATE_PARTS.iter().find(|(word, _)| rest.starts_with(word)) {
            format.push_str(letters);
            rest = rest.get(word.len()..)?;
            continue;
        }
        let separator = rest.chars().next().filter(|c| matches!(c, '-' | '_' | ':' | 'T'))?;
        format.push(separator);
        rest = rest.get(separator.len_utf8()..)?;
    }
    format.contains('%').then_some(format)
}

impl TickTemplate {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names in braces, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name)
    }

    /// The text with what `value` says for each name; the name for which it says nothing otherwise.
    pub fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
        let mut parts = self.0.split('{');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or((part, ""));
            filled.push_str(&value(name).ok_or_else(|| name.to_owned())?);
            filled.push_str(rest);
        }
        Ok(filled)
    }
}

impl FromStr for TickTemplate {
    type Err = TickTemplateError;

    fn from_str(text: &str) -> Result<Self, TickTemplateError> {
        let fail = |problem: &str| {
            let text = text.chars().take(TEMPLATE_MAX).collect();
            Err(TickTemplateError { text, problem: problem.to_owned() })
        };
        if text.len() > TEMPLATE_MAX || text.chars().any(char::is_control) {
            return fail("is not text of at most 500 characters on one line");
        }
        if text.contains("{{") || text.contains("}}") {
            return fail("has double braces; write single ones, like `{tenant}_{YYYYMMDD}`");
        }
        let mut parts = text.split('{');
        let before = parts.next().unwrap_or_default();
        let closed = !before.contains('}')
            && parts.all(|part| part.matches('}').count() == 1 && !part.starts_with('}'));
        if closed { Ok(Self(text.to_owned())) } else { fail("has a brace that is not closed") }
    }
}

impl TryFrom<String> for TickTemplate {
    type Error = TickTemplateError;

    fn try_from(text: String) -> Result<Self, TickTemplateError> {
        text.parse()
    }
}

impl From<TickTemplate> for String {
    fn from(template: TickTemplate) -> String {
        template.0
    }
}

impl fmt::Display for ScheduleTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => write!(f, "{job}"),
            Self::Select(selection) => f.write_str(selection),
        }
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Last => "last",
            Self::All => "all",
        })
    }
}

impl ScheduleDef {
    /// The schedule of a job by its own cron expression, with the defaults of everything else.
    pub fn of_job(job: &JobName, name: ScheduleName, cron: String) -> Self {
        Self::new(name, ScheduleCron::Text(cron), ScheduleTarget::Job(job.clone()))
    }

    /// A schedule with the defaults of everything else.
    pub fn new(name: ScheduleName, cron: ScheduleCron, target: ScheduleTarget) -> Self {
        Self {
            name,
            description: None,
            cron,
            timezone: "UTC".to_owned(),
            target,
            partitions: None,
            run_key: None,
            catch_up: CatchUp::default(),
            deadline: None,
            max_active_runs: None,
            exclude: Vec::new(),
            when: None,
            tags: BTreeMap::new(),
            context: serde_json::Map::new(),
            enabled: Switch::Fixed(true),
            start: None,
            end: None,
            tenants: Vec::new(),
            renamed_from: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r030_a_run_key_is_filled_from_the_partition_and_the_date() {
        let key: TickTemplate = "{tenant}_{metric}_{grain}_{YYYYMMDD}".parse().unwrap();
        let filled = key.fill(|name| {
            Some(match date_format(name) {
                Some(format) => format!("<{format}>"),
                None => name.to_uppercase(),
            })
        });
        assert_eq!(filled.unwrap(), "TENANT_METRIC_GRAIN_<%Y%m%d>");
        assert_eq!(key.fill(|_| None).unwrap_err(), "tenant");
    }

    #[test]
    fn a_template_with_an_open_brace_or_doubled_ones_is_refused() {
        for text in ["{a", "a}", "{a{b}}", "{{ a }}", "{}", "x\ny"] {
            assert!(text.parse::<TickTemplate>().is_err(), "{text:?} was accepted");
        }
        assert_eq!("plain".parse::<TickTemplate>().unwrap().names().count(), 0);
    }

    #[test]
    fn the_forms_of_a_date_are_made_of_its_parts() {
        assert_eq!(date_format("YYYY-MM-DDTHH:mm:ss").as_deref(), Some("%Y-%m-%dT%H:%M:%S"));
        assert_eq!(date_format("HH").as_deref(), Some("%H"));
        assert_eq!(date_format("YYYYX"), None);
        assert_eq!(date_format("metric"), None);
    }

    #[test]
    fn a_span_of_days_holds_both_its_ends_and_is_not_backwards() {
        let span: DaySpan = "2026-12-24..2027-01-01".parse().unwrap();
        assert!(span.contains("2026-12-24".parse().unwrap()));
        assert!(span.contains("2027-01-01".parse().unwrap()));
        assert!(!span.contains("2027-01-02".parse().unwrap()));
        assert!("2027-01-01..2026-12-24".parse::<DaySpan>().is_err());
        assert!("2026-02-30".parse::<DaySpan>().is_err());
        assert!("2026-2-3".parse::<DaySpan>().is_err());
    }
}
