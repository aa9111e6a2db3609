//! The keys of jobs, of their nodes and of their edges.

use millstream_model::PRIORITY_MAX;

use super::{ANY_OBJECT, Key, Object, Shape, TEXT_MAP, key, queue, schedules};

/// The keys of every job.
const SHARED: &[Key] = &[
    key("description", Shape::Text, "what it is for"),
    key("enabled", Shape::Flag, "whether it may run").or("true"),
    key(
        "schedule",
        Shape::Either(&[Shape::Text, Shape::Object(&schedules::JOB_SCHEDULE)]),
        "when it runs: a cron expression in UTC, `@daily` and the like, or the keys of a schedule",
    ),
    key("metadata", ANY_OBJECT, "any object; it has no meaning"),
    key("tags", TEXT_MAP, "labels that its runs carry, at most 50"),
    key("max_parallel", Shape::Whole(1, 10_000), "how many steps of a run may go on at once"),
    key(
        "priority",
        Shape::Signed(PRIORITY_MAX),
        "the place of its runs in the queue: higher goes first",
    )
    .or("0"),
    key("timeout", Shape::Duration, "how long a run may go on, queue aside"),
    key(
        "run_retries",
        Shape::Either(&[Shape::Whole(0, 100), Shape::Object(&RUN_RETRIES)]),
        "how often a failed run is tried again, as a new run",
    )
    .or("0"),
];

/// The steps of a job of ops.
const NODES: Key = key("nodes", Shape::List(1, &Shape::Node), "its steps");

/// What starts after what.
const EDGES: Key = key(
    "edges",
    Shape::List(0, &Shape::Object(&EDGE)),
    "what starts after what, beside the nodes' `depends_on`",
);

/// An entry of the section `jobs`.
pub(crate) const JOB: Object = Object {
    name: "job",
    says: "A job: the assets that `select` names, or the steps under `nodes`",
    one_of: &["select", "nodes"],
    keys: &[
        &[key("select", Shape::Text, "the assets it materializes, like `sales/orders+`")],
        &[NODES, EDGES],
        SHARED,
    ],
};

/// A file that is one job.
pub(crate) const JOB_FILE: Object = Object {
    name: "job_file",
    says: "A file that is one job of ops, named by its path",
    one_of: &[],
    keys: &[
        &[NODES.needed(), EDGES],
        SHARED,
        &[key("name", Shape::Text, "ignored: the file's path names the job")],
    ],
};

/// How a failed run is tried again.
pub(crate) const RUN_RETRIES: Object = Object {
    name: "run_retries",
    says: "How a failed run is tried again",
    one_of: &[],
    keys: &[&[
        key("max", Shape::Whole(0, 100), "runs after the first").needed(),
        key(
            "from",
            Shape::Words(&["failure", "start"]),
            "what a retry does again: only what did not succeed, or everything",
        )
        .or("\"failure\""),
    ]],
};

/// What every node has beside the keys of its kind.
pub(crate) const NODE: &[Key] = &[
    key("id", Shape::Text, "its name, unique in the job").needed(),
    key("type", Shape::Text, "the kind of step it is").needed(),
    key("config", ANY_OBJECT, "the keys of its kind, and `timeout`, `retry` and `limits`"),
    key("depends_on", Shape::List(0, &Shape::Text), "the ids of the nodes before it"),
    queue::OF_STEP,
];

/// An edge.
pub(crate) const EDGE: Object = Object {
    name: "edge",
    says: "`to` starts after `from` succeeded",
    one_of: &[],
    keys: &[&[
        key("from", Shape::Text, "the id of the node that comes first").needed(),
        key("to", Shape::Text, "the id of the node that follows").needed(),
        key("type", Shape::Words(&["success"]), "may say `success` and nothing else")
            .or("\"success\""),
    ]],
};
