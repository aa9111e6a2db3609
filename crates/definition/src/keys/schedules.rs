//! The keys of schedules and of what stands in them.

use super::{ANY_OBJECT, Key, Object, Shape, TEXT_MAP, TEXTS, key};

/// An entry of the section `schedules`.
pub(crate) const SCHEDULE: Object = Object {
    name: "schedule",
    says: "When runs of a job, or of the assets that `select` names, are requested",
    one_of: &["job", "select"],
    keys: &[
        &[
            key("job", Shape::Text, "the job that runs"),
            key("select", Shape::Text, "the assets that are made, like `sales/orders+`"),
        ],
        SHARED,
    ],
};

/// The schedule that a job declares for itself, when it is more than an expression.
pub(crate) const JOB_SCHEDULE: Object = Object {
    name: "job_schedule",
    says: "When runs of this job are requested",
    one_of: &[],
    keys: &[SHARED],
};

/// The keys of every schedule.
const SHARED: &[Key] = &[
    key(
        "cron",
        Shape::Text,
        "when it is due: five fields, six with seconds first, `@daily` and the like, or \
         `{{ tenant.schedule }}`",
    )
    .needed(),
    key("timezone", Shape::Text, "the IANA name of the zone whose clock it reads").or("\"UTC\""),
    key("description", Shape::Text, "what it is for"),
    key("partitions", PARTITIONS, "the partitions that a tick asks for, one run each"),
    key(
        "run_key",
        Shape::Text,
        "what makes two requests the same, like `{tenant}_{metric}_{YYYYMMDD}`",
    ),
    key(
        "catch_up",
        Shape::Words(&["none", "last", "all"]),
        "which ticks are made up for whose time passed while nothing ran",
    )
    .or("\"last\""),
    key("deadline", Shape::Duration, "how old a tick may be and still be made up for"),
    key(
        "max_active_runs",
        Shape::Whole(1, 100_000),
        "how many of its runs may be under way when it ticks again",
    ),
    key("exclude", EXCLUDE, "days, ranges of days and calendars on which it does not tick"),
    key("when", Shape::Text, "a template over `env` and `tenant`; a tick is skipped when it is no"),
    key("tags", TEXT_MAP, "labels of its runs beside the job's; filled like `run_key`"),
    key("context", ANY_OBJECT, "the trigger context of its runs"),
    key(
        "enabled",
        Shape::Either(&[Shape::Flag, Shape::Text]),
        "whether it ticks, or a template that says so",
    )
    .or("true"),
    key("start", Shape::Text, "the first local date or time at which it may tick"),
    key("end", Shape::Text, "the local date or time at which it stops, exclusive"),
    key("tenants", TEXTS, "the tenants in which it ticks; all when left out"),
    key("renamed_from", Shape::Text, "the name it had, whose history and switch it takes over"),
];

/// Which partitions a tick asks for.
const PARTITIONS: Shape = Shape::Either(&[
    Shape::Words(&["all", "latest"]),
    Shape::Map(&Shape::Either(&[Shape::Text, TEXTS])),
]);

/// What a schedule leaves out.
const EXCLUDE: Shape = Shape::Either(&[Shape::Text, Shape::List(0, &DAYS)]);

/// A day like `2026-12-25`, a range like `2026-12-24..2027-01-01`, or an object.
const DAYS: Shape = Shape::Either(&[Shape::Text, Shape::Object(&DAY_RANGE)]);

/// An entry of the section `calendars`.
pub(crate) const CALENDAR: Shape = Shape::List(0, &DAYS);

/// Days in a row.
pub(crate) const DAY_RANGE: Object = Object {
    name: "day_range",
    says: "Days in a row, both ends included",
    one_of: &[],
    keys: &[&[
        key("from", Shape::Text, "the first day").needed(),
        key("to", Shape::Text, "the last day").needed(),
    ]],
};
