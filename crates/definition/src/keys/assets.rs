//! The keys of an asset.

use super::{ANY_OBJECT, Object, Shape, TEXT_MAP, TEXTS, key, queue, steps};

/// An asset.
pub(crate) const ASSET: Object = Object {
    name: "asset",
    says: "A thing that runs make and keep",
    one_of: &[],
    keys: &[
        &[
            key("description", Shape::Text, "what it is"),
            key("deps", TEXTS, "the assets it is made from"),
            key("group", Shape::Text, "the group it is shown in").or("\"default\""),
            key("kinds", TEXTS, "what it is made with or of, like `sql` or `table`"),
            key("owners", TEXTS, "who answers for it"),
            key("tags", TEXT_MAP, "labels for selections, at most 50"),
            key(
                "metadata",
                ANY_OBJECT,
                "what its author says about it: any JSON, or `{type, value}`",
            ),
            key(
                "partitions",
                Shape::Either(&[Shape::Text, Shape::Partitions]),
                "how it is divided: the name of a partitions definition, or one",
            ),
            key(
                "io",
                Shape::Text,
                "the IO manager that keeps its result; without one the step takes care of that",
            ),
            key(
                "step",
                Shape::Step,
                "what makes it; without one it is made elsewhere and only observed",
            ),
            key(
                "code_version",
                Shape::Text,
                "the version of its code; the hash of its definition when left out",
            ),
            key("output_required", Shape::Flag, "whether a step that makes nothing fails")
                .or("true"),
        ],
        &[queue::OF_STEP],
        steps::TIMING,
    ],
};
