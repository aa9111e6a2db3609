//! The keys of sensors and of what stands in them.

use super::{ANY_OBJECT, Key, Kind, Kinds, Object, Shape, TEXT_MAP, TEXTS, http, key, steps};

/// An entry of the section `sensors`.
pub(crate) const SENSOR: Kinds = Kinds {
    name: "sensor",
    says: "A question that is asked again and again, and that may request runs",
    list: &[
        Kind {
            word: "command",
            says: "a program that answers with JSON",
            keys: &[steps::COMMAND, SHARED, RUN],
        },
        Kind {
            word: "python",
            says: "a function in Python that answers itself",
            keys: &[steps::PYTHON, SHARED, RUN],
        },
        Kind { word: "sql", says: "the rows of a query", keys: &[SQL, SHARED, RUN, FOUND] },
        Kind { word: "http", says: "the answer of a service", keys: &[HTTP, SHARED, RUN, FOUND] },
        Kind { word: "files", says: "files below a folder", keys: &[FILES, SHARED, RUN, FOUND] },
        Kind {
            word: "asset",
            says: "materializations of assets",
            keys: &[ASSET, SHARED, RUN, FOUND],
        },
        Kind {
            word: "run_status",
            says: "runs that have ended",
            keys: &[RUN_STATUS, SHARED, RUN, FOUND],
        },
        Kind {
            word: "webhook",
            says: "what is posted to an address of its own",
            keys: &[WEBHOOK, SHARED, RUN, FOUND],
        },
        Kind {
            word: "partition_sync",
            says: "the keys that dynamic partitions should have",
            keys: &[SYNC, SHARED],
        },
    ],
};

/// The keys of every sensor.
pub(crate) const SHARED: &[Key] = &[
    key("description", Shape::Text, "what it is for"),
    key("every", Shape::Duration, "the least time between two ticks; of a webhook `1s`")
        .or("\"30s\""),
    key("timeout", Shape::Duration, "how long an answer may take, longer than 0").or("\"60s\""),
    key(
        "enabled",
        Shape::Either(&[Shape::Flag, Shape::Text]),
        "whether it ticks, or a template that says so",
    )
    .or("true"),
    key("tenants", TEXTS, "the tenants in which it ticks; all when left out"),
    key("renamed_from", Shape::Text, "the name it had, whose cursor and switch it takes over"),
];

/// The key of a sensor that requests runs.
pub(crate) const RUN: &[Key] =
    &[key("request", Shape::Object(&REQUEST), "the run that is requested, if any is")];

/// The key of a sensor that finds things.
pub(crate) const FOUND: &[Key] = &[key(
    "when",
    Shape::Text,
    "a template over what was found; it requests no run when this is no",
)];

/// The keys of a query.
pub(crate) const SQL: &[Key] =
    &[key("query", Shape::Object(&SQL_QUERY), "what is asked of which database").needed(), CURSOR];

/// The keys of a request to a service.
pub(crate) const HTTP: &[Key] =
    &[key("query", Shape::Object(&HTTP_QUERY), "what is asked of which service").needed(), CURSOR];

const CURSOR: Key =
    key("cursor", Shape::Text, "what is remembered after a row, as a template over `item`");

const SQL_QUERY: Object = Object {
    name: "sensor_sql_query",
    says: "A query on a database, which sees the cursor as `:cursor`",
    one_of: &[],
    keys: &[steps::SQL],
};

const HTTP_QUERY: Object = Object {
    name: "sensor_http_query",
    says: "A request to a service, whose templates see the cursor as `trigger.cursor`",
    one_of: &[],
    keys: &[http::STEP],
};

/// The keys of files.
pub(crate) const FILES: &[Key] = &[
    key(
        "path",
        Shape::Text,
        "the folder, relative to the project's folder, or `s3://bucket/prefix`",
    )
    .needed(),
    key("pattern", Shape::Text, "which files below it: `*.csv`, `**/*.json`").or("\"**\""),
    key("settle", Shape::Duration, "how long a file must have been left alone").or("\"2s\""),
    key(
        "existing",
        Shape::Words(&["take", "skip"]),
        "what becomes of the files that are there at the first tick",
    )
    .or("\"take\""),
];

/// The key of assets.
pub(crate) const ASSET: &[Key] =
    &[key("select", Shape::Text, "the assets, like `sales/orders`").needed()];

/// The keys of runs.
pub(crate) const RUN_STATUS: &[Key] = &[
    key("job", Shape::Text, "the job whose runs count; every run's when left out"),
    key(
        "on",
        Shape::List(1, &Shape::Words(&["SUCCESS", "FAILURE", "CANCELED"])),
        "the ends that count",
    )
    .needed(),
];

/// The keys of webhooks.
pub(crate) const WEBHOOK: &[Key] = &[
    key("auth", Shape::Object(&WEBHOOK_AUTH), "what a delivery has to prove").needed(),
    key("delivery_id", Shape::Text, "the header that names a delivery; each then needs it"),
];

/// What a delivery has to prove.
pub(crate) const WEBHOOK_AUTH: Object = Object {
    name: "webhook_auth",
    says: "What a delivery has to prove: one of its keys",
    one_of: &["hmac", "bearer"],
    keys: &[&[
        key("hmac", Shape::Object(&WEBHOOK_PROOF), "a signature of the body with HMAC-SHA256"),
        key("bearer", Shape::Object(&WEBHOOK_PROOF), "the secret itself"),
    ]],
};

/// Which secret, and where its proof stands.
pub(crate) const WEBHOOK_PROOF: Object = Object {
    name: "webhook_proof",
    says: "Which secret it is, and which header proves that the sender knows it",
    one_of: &[],
    keys: &[&[
        http::SECRET_NAME,
        key("header", Shape::Text, "the header: `X-Hub-Signature-256`, or `Authorization`"),
    ]],
};

/// The keys of partitions.
pub(crate) const SYNC: &[Key] = &[
    key("partitions", Shape::Text, "the dynamic partitions").needed(),
    key("source", Shape::Step, "the step whose rows name the keys").needed(),
    key("keys", Shape::Text, "the keys of a row, as a template over `item`: one a line"),
    key("remove_missing", Shape::Flag, "whether keys that the source does not name are removed")
        .or("false"),
    key("guard", Shape::Object(&GUARD), "what keeps the partitions from being wiped"),
];

/// What keeps partitions from being wiped.
pub(crate) const GUARD: Object = Object {
    name: "sync_guard",
    says: "What keeps partitions from being wiped",
    one_of: &[],
    keys: &[&[key("max_removed", Shape::Text, "the part of the keys that one tick may remove")
        .or("\"20%\"")]],
};

/// A run that a sensor requests.
pub(crate) const REQUEST: Object = Object {
    name: "sensor_request",
    says: "The run that a sensor requests; texts are templates over what was found",
    one_of: &["job", "select"],
    keys: &[&[
        key("job", Shape::Text, "the job that runs"),
        key("select", Shape::Text, "the assets that are made, like `sales/orders+`"),
        key("run_key", Shape::Text, "what makes two requests the same, like `{{ run.id }}`"),
        key("partition", Shape::Text, "the partition; that of what was found when left out"),
        key("tags", TEXT_MAP, "labels of the run beside the job's"),
        key("pass_tags", TEXTS, "labels that the run gets from the run it reacts to"),
        key("context", ANY_OBJECT, "the trigger context of the run"),
    ]],
};
