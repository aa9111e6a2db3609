//! The kinds of step and their keys.

use super::settings::COLUMNS;
use super::{ANY_OBJECT, Key, Object, Shape, TEXT_MAP, http, key};

/// One kind of step.
#[derive(Debug)]
pub(crate) struct StepKeys {
    /// Its name in definition files.
    pub(crate) word: &'static str,
    /// What it does.
    pub(crate) says: &'static str,
    /// Its keys. They stand in an asset's `step`, or in a node or the node's `config`.
    pub(crate) keys: &'static [Key],
    /// Whether a node's `config` may have further keys, which a handler sees.
    pub(crate) further: bool,
}

/// Every kind of step.
pub(crate) const STEPS: &[StepKeys] = &[
    StepKeys {
        word: "local",
        says: "a handler by name, which the section `handlers` resolves",
        keys: &[key("module", Shape::Text, "the handler's name").needed()],
        further: true,
    },
    StepKeys { word: "command", says: "a program", keys: COMMAND, further: false },
    StepKeys { word: "python", says: "a function in Python", keys: PYTHON, further: false },
    StepKeys { word: "sql", says: "statements on a database", keys: SQL, further: false },
    StepKeys { word: "http", says: "a request to a service", keys: http::STEP, further: false },
    StepKeys {
        word: "load",
        says: "the rows of an upstream asset, loaded into a table",
        keys: LOAD,
        further: false,
    },
    StepKeys { word: "lambda", says: "an AWS Lambda function", keys: LAMBDA, further: false },
    StepKeys { word: "noop", says: "nothing; it succeeds at once", keys: &[], further: false },
];

/// The program of a step or of a handler.
pub(crate) const COMMAND: &[Key] = &[
    key(
        "command",
        Shape::Either(&[Shape::List(1, &Shape::Text), Shape::Text]),
        "the program and its arguments as a list, or a line for `/bin/sh -c`",
    )
    .needed(),
    key("env", TEXT_MAP, "variables added to its environment"),
    key("cwd", Shape::Text, "its folder, relative to the project's folder"),
    SOURCES,
    SPEECH,
];

/// What a program or a function consists of beside what it runs.
const SOURCES: Key = key(
    "sources",
    Shape::List(1, &Shape::Text),
    "files and folders that belong to its code, beside what it runs",
);

/// How a program or a function may speak Pipes.
const SPEECH: Key = key(
    "pipes",
    Shape::Either(&[Shape::Words(PIPES_WORDS), Shape::Object(&PIPES)]),
    "how it may speak Dagster Pipes",
)
.or("\"file\"");

/// The ways of Pipes' messages.
const PIPES_WORDS: &[&str] =
    &["file", "stdout", "stderr", "buffered_stdout", "buffered_stderr", "off"];

/// How a program may speak Pipes, at length.
pub(crate) const PIPES: Object = Object {
    name: "pipes",
    says: "How a program may speak Dagster Pipes",
    one_of: &[],
    keys: &[&[
        key("messages", Shape::Words(PIPES_WORDS), "the way of its messages").or("\"file\""),
        key("extras", ANY_OBJECT, "what it is given beside the step's own context"),
    ]],
};

pub(crate) const PYTHON: &[Key] = &[
    key(
        "function",
        Shape::Text,
        "`file.py:function` or `package.module:function`, below the project's folder",
    )
    .needed(),
    ISOLATION,
    PARAMS,
    ENV,
    INTERPRETER,
    SOURCES,
    SPEECH,
];

/// How a function in Python is called, in a step or a handler.
pub(crate) const PYTHON_CALL: &[Key] = &[ISOLATION, PARAMS, ENV, INTERPRETER, SOURCES, SPEECH];

const ISOLATION: Key = key(
    "isolation",
    Shape::Words(&["fork", "warm", "process"]),
    "what it shares with other steps: imports, a process, or nothing",
)
.or("\"fork\"");

const PARAMS: Key = key("params", ANY_OBJECT, "what the function sees as `params`");

const ENV: Key = key("env", TEXT_MAP, "variables added to its environment");

const INTERPRETER: Key =
    key("interpreter", Shape::Text, "the Python that runs it: a path, or a name on `PATH`");

pub(crate) const SQL: &[Key] = &[
    key("resource", Shape::Text, "the database: a resource of kind `sqlite` or `postgres`")
        .needed(),
    key(
        "statements",
        Shape::Either(&[Shape::List(1, &Shape::Text), Shape::Text]),
        "a statement or a list of them, run in order in one transaction",
    )
    .needed(),
    key("read", Shape::Map(&Shape::Object(&TABLE)), "temporary tables to fill first, by name"),
    key("params", ANY_OBJECT, "values to bind as `:name`, beside those that are always there"),
    key("rows", Shape::Flag, "whether the rows of the last statement are the result").or("false"),
    key("read_only", Shape::Flag, "whether the database is opened for reading alone").or("false"),
];

/// A temporary table.
pub(crate) const TABLE: Object = Object {
    name: "table",
    says: "What a temporary table is filled from: one of its keys",
    one_of: &["csv", "asset"],
    keys: &[&[
        key(
            "csv",
            Shape::Text,
            "a file with a header line, plain or `.gz`, relative to the project's folder",
        ),
        key("asset", Shape::Text, "an asset of `deps`, whose rows an IO manager keeps"),
    ]],
};

const LOAD: &[Key] = &[
    key("resource", Shape::Text, "the database: a resource of kind `sqlite` or `postgres`")
        .needed(),
    key("asset", Shape::Text, "the asset of `deps` whose rows are loaded, if there are several"),
    key("table", Shape::Text, "the table's name, a template; it is made when there is none")
        .needed(),
    key("schema", Shape::Text, "the table's schema; that of the resource when left out"),
    key(
        "mode",
        Shape::Words(&["replace", "append"]),
        "whether the rows take the place of those that are there or are added to them",
    )
    .or("\"replace\""),
    COLUMNS,
];

const LAMBDA: &[Key] = &[
    key("function_name", Shape::Text, "the function's name or ARN").needed(),
    key(
        "invocation_type",
        Shape::Words(&["sync", "async"]),
        "whether the step waits for the answer",
    )
    .or("\"sync\""),
    key("memory", Shape::Whole(1, u32::MAX), "the function's memory in MiB; for people"),
    key("store_output_to_s3", Shape::Flag, "whether the result is stored as an object").or("false"),
    key("output_s3_key", Shape::Text, "the object's key, a template over `job_id` and `task_id`"),
    key("payload", ANY_OBJECT, "what the function is given beside its context"),
];

/// The keys of an asset's step beside those of its kind.
pub(crate) const OF_ASSET: &[Key] =
    &[key("config", ANY_OBJECT, "what the handler of a local step sees")];

/// How long an attempt may take, how often it is tried again, and what it may use.
pub(crate) const TIMING: &[Key] = &[
    key("timeout", Shape::Duration, "how long an attempt may take, longer than 0"),
    key(
        "retry",
        Shape::Either(&[Shape::Whole(0, 1_000), Shape::Object(&RETRY)]),
        "attempts after the first: their number, or a policy",
    ),
    key("limits", Shape::Object(&LIMITS), "what an attempt may use"),
];

/// What an attempt may use.
pub(crate) const LIMITS: Object = Object {
    name: "limits",
    says: "What the processes of an attempt may use together",
    one_of: &[],
    keys: &[&[
        key("memory", Shape::Size, "the memory that they may hold, at least 4 MiB"),
        key("cpu", Shape::Whole(1, 4_096), "how many cores they may run on"),
        key("cpu_time", Shape::Duration, "the processor time that they may take, longer than 0"),
        key("processes", Shape::Whole(1, 1 << 22), "how many they may be"),
        key("open_files", Shape::Whole(16, 1 << 20), "how many files each may hold open"),
    ]],
};

/// A retry policy.
pub(crate) const RETRY: Object = Object {
    name: "retry",
    says: "How often and when a step is tried again",
    one_of: &[],
    keys: &[&[
        key("max", Shape::Whole(0, 1_000), "how many attempts follow the first").needed(),
        key("delay", Shape::Duration, "the time before the second attempt").or("0"),
        key("backoff", Shape::Words(&["constant", "linear", "exponential"]), "how the delay grows")
            .or("\"constant\""),
        key("jitter", Shape::Flag, "whether the delay is moved by up to a quarter").or("false"),
    ]],
};
