//! The keys of what limits how much runs at once.

use super::{Key, Object, Shape, key};

/// The largest number of runs or slots.
pub(crate) const COUNT_MAX: u32 = 1_000_000;

/// Whose runs or steps a limit counts.
const SCOPE: Key = key(
    "scope",
    Shape::Words(&["tenant", "instance"]),
    "whose are counted: each tenant's own, or those of all tenants together",
)
.or("\"tenant\"");

/// A pool.
pub(crate) const POOL: Object = Object {
    name: "pool",
    says: "Slots that steps hold while they run",
    one_of: &[],
    keys: &[&[key("slots", Shape::Whole(0, COUNT_MAX), "how many there are").needed(), SCOPE]],
};

/// The slots that a step needs.
pub(crate) const POOL_USE: Object = Object {
    name: "pool_use",
    says: "The slots that a step holds while it runs",
    one_of: &[],
    keys: &[&[
        key("name", Shape::Text, "the pool").needed(),
        key("slots", Shape::Whole(1, COUNT_MAX), "how many of its slots").or("1"),
    ]],
};

/// The `pool` of an asset or a node.
pub(crate) const OF_STEP: Key = key(
    "pool",
    Shape::Either(&[Shape::Text, Shape::Object(&POOL_USE)]),
    "the pool whose slots an attempt holds: its name, or its name and how many",
);

/// The section `queue`.
pub(crate) const QUEUE: Object = Object {
    name: "queue",
    says: "What limits how many runs go on at once",
    one_of: &[],
    keys: &[&[
        key(
            "max_concurrent_runs",
            Shape::Whole(0, COUNT_MAX),
            "how many runs of a tenant may be in progress at once",
        ),
        key(
            "tag_limits",
            Shape::List(0, &Shape::Object(&TAG_LIMIT)),
            "how many runs with a label may be in progress at once",
        ),
        key(
            "rate_limits",
            Shape::List(0, &Shape::Object(&RATE_LIMIT)),
            "how many runs may start in a time",
        ),
    ]],
};

/// A limit on runs with a label.
pub(crate) const TAG_LIMIT: Object = Object {
    name: "tag_limit",
    says: "How many runs with a label may be in progress at once",
    one_of: &["limit", "limit_per_value"],
    keys: &[&[
        key("key", Shape::Text, "the label's key").needed(),
        key(
            "value",
            Shape::Either(&[Shape::Text, Shape::Object(&EACH_VALUE)]),
            "the value that counts; all values together when left out",
        ),
        key("limit", Shape::Whole(0, COUNT_MAX), "how many runs"),
        key("limit_per_value", Shape::Whole(0, COUNT_MAX), "how many runs of each value"),
        SCOPE,
    ]],
};

/// Dagster's way to count each value apart.
pub(crate) const EACH_VALUE: Object = Object {
    name: "each_value",
    says: "As Dagster says that each value is counted apart",
    one_of: &[],
    keys: &[&[key("applyLimitPerUniqueValue", Shape::Flag, "whether each value counts apart")]],
};

/// A limit on starts.
pub(crate) const RATE_LIMIT: Object = Object {
    name: "rate_limit",
    says: "How many runs may start in a time",
    one_of: &[],
    keys: &[&[
        key("key", Shape::Text, "the label's key; all runs count when left out"),
        key("value", Shape::Text, "the label's value; any when left out"),
        key("limit", Shape::Whole(1, COUNT_MAX), "how many starts").needed(),
        key("per", Shape::Duration, "in which time, at most 7 days").needed(),
        SCOPE,
    ]],
};
