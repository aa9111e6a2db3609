//! The kinds of partitions definition and their keys.

use super::{Key, Kind, Kinds, Shape, TEXTS, key};

/// A partitions definition.
pub(crate) const PARTITIONS: Kinds = Kinds {
    name: "partitions",
    says: "How an asset is divided",
    list: &[
        Kind { word: "static", says: "a fixed list", keys: &[STATIC] },
        Kind {
            word: "dynamic",
            says: "a list that grows and shrinks at run time",
            keys: &[DYNAMIC],
        },
        Kind { word: "hourly", says: "a window for each hour", keys: &[WINDOWS] },
        Kind { word: "daily", says: "a window for each day", keys: &[WINDOWS] },
        Kind { word: "weekly", says: "a window for each week", keys: &[WINDOWS] },
        Kind { word: "monthly", says: "a window for each month", keys: &[WINDOWS] },
        Kind { word: "cron", says: "a window from each tick to the next", keys: &[WINDOWS, CRON] },
        Kind { word: "multi", says: "every combination of its dimensions", keys: &[MULTI] },
    ],
};

/// The keys of a fixed list.
pub(crate) const STATIC: &[Key] = &[key("keys", TEXTS, "the partitions, in their order").needed()];

/// The keys of a list that changes at run time.
pub(crate) const DYNAMIC: &[Key] = &[
    key("dimensions", TEXTS, "the names of a key's parts"),
    key("separator", Shape::Text, "what stands between the parts").or("\"::\""),
    key("tenant", Shape::Text, "the dimension that holds the tenant"),
    key("keys", TEXTS, "the partitions that are there from the start"),
];

/// The keys of windows of time.
pub(crate) const WINDOWS: &[Key] = &[
    key("start", Shape::Text, "the first window, like `2025-01-01`").needed(),
    key("end", Shape::Text, "the end of the last window, exclusive"),
    key("timezone", Shape::Text, "the IANA name of the zone").or("\"UTC\""),
    key("format", Shape::Text, "how keys are written, in strftime's letters"),
];

/// What windows between ticks have beside that.
pub(crate) const CRON: &[Key] =
    &[key("cron", Shape::Text, "the ticks between windows, like `0 6 * * *`").needed()];

/// The keys of a product.
pub(crate) const MULTI: &[Key] = &[key(
    "dimensions",
    Shape::Map(&Shape::Partitions),
    "a partitions definition for each dimension, by name",
)
.needed()];
