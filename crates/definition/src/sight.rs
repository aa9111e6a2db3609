//! What templates see, by where they stand.
//!
//! The worker fills those of steps and settings, and the control plane those of conditions and
//! requests. Used by [`crate::template`] and by the decoders, which say which of these they read.

use millstream_model::STEP_FILTERS;
use millstream_model::seen::{DeliveryFound, EventFound, FileFound, Question, RunFound, RunOfStep};

/// What templates of one place see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    /// The names, each with its fields; without any where these are not known here.
    pub(crate) names: &'static [Name],
    /// Whether what a run is started with adds names of its own.
    pub(crate) is_open: bool,
    /// The filters beside the language's own.
    pub(crate) filters: &'static [&'static str],
}

/// The filters of what the control plane fills.
const DECIDED_FILTERS: &[&str] = &["default", "d", "tojson"];

/// A name with its fields.
type Name = (&'static str, &'static [&'static str]);

/// The names in a handler: those of a step, and its own two.
const HANDLER_NAMES: &[Name] = &[
    ("run", RunOfStep::FIELDS),
    ("tenant", &[]),
    ("partition", &[]),
    ("trigger", &[]),
    ("upstream", &[]),
    ("env", &[]),
    ("job_id", &[]),
    ("task_id", &[]),
    ("module", &[]),
    ("name", &[]),
];

const STEP_NAMES: &[Name] = match HANDLER_NAMES {
    [step @ .., _module, _name] => step,
    short => short,
};

impl Sight {
    /// The step of an asset or of a node.
    pub(crate) const STEP: Self = Self { names: STEP_NAMES, is_open: true, filters: STEP_FILTERS };

    /// A handler, which is a step of any asset or node.
    pub(crate) const HANDLER: Self = Self { names: HANDLER_NAMES, ..Self::STEP };

    /// The step that a sensor asks with.
    pub(crate) const QUESTION: Self = Self {
        names: &[
            ("run", RunOfStep::FIELDS),
            ("tenant", &[]),
            ("trigger", Question::FIELDS),
            ("sensor", &[]),
            ("cursor", &[]),
            ("nominal", &[]),
            ("env", &[]),
            ("job_id", &[]),
            ("task_id", &[]),
        ],
        is_open: false,
        filters: STEP_FILTERS,
    };

    /// Resources and IO managers: what is known without a run.
    pub(crate) const SETTING: Self =
        Self { names: &[("env", &[]), ("tenant", &[])], is_open: false, filters: STEP_FILTERS };

    /// Whether something is on.
    pub(crate) const CONDITION: Self = Self { filters: DECIDED_FILTERS, ..Self::SETTING };

    /// What a sensor requests of a program's answer.
    pub(crate) const ANSWER: Self =
        Self { names: &[("env", &[]), ("tenant", &[]), ("sensor", &[])], ..Self::CONDITION };

    /// What a sensor requests for a row.
    pub(crate) const ROW: Self = Self {
        names: &[("item", &[]), ("env", &[]), ("tenant", &[]), ("sensor", &[])],
        ..Self::CONDITION
    };

    /// What a sensor requests for a file.
    pub(crate) const FILE: Self = Self {
        names: &[("file", FileFound::FIELDS), ("env", &[]), ("tenant", &[]), ("sensor", &[])],
        ..Self::CONDITION
    };

    /// What a sensor requests for a materialization.
    pub(crate) const EVENT: Self = Self {
        names: &[
            ("event", EventFound::FIELDS),
            ("run", RunFound::FIELDS),
            ("env", &[]),
            ("tenant", &[]),
            ("sensor", &[]),
        ],
        ..Self::CONDITION
    };

    /// What a sensor requests for a run that ended.
    pub(crate) const RUN: Self = Self {
        names: &[("run", RunFound::FIELDS), ("env", &[]), ("tenant", &[]), ("sensor", &[])],
        ..Self::CONDITION
    };

    /// What a sensor requests for a delivery.
    pub(crate) const DELIVERY: Self = Self {
        names: &[
            ("delivery", DeliveryFound::FIELDS),
            ("env", &[]),
            ("tenant", &[]),
            ("sensor", &[]),
        ],
        ..Self::CONDITION
    };

    /// Its names without their fields.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &'static str> {
        self.names.iter().map(|(name, _)| *name)
    }

    /// The fields of `name`; none where they are not known, or the name is not there.
    pub(crate) fn fields(&self, name: &str) -> &'static [&'static str] {
        self.names.iter().find(|(known, _)| *known == name).map_or(&[], |(_, fields)| *fields)
    }
}
