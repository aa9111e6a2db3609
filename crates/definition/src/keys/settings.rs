//! The keys of resources, IO managers, handlers and tenants.

use super::{Key, Kind, Kinds, Object, Shape, TEXT_MAP, http, key, steps};

/// A resource.
pub(crate) const RESOURCE: Kinds = Kinds {
    name: "resource",
    says: "What steps talk to",
    list: &[
        Kind { word: "sqlite", says: "a SQLite file", keys: &[SQLITE] },
        Kind { word: "postgres", says: "a Postgres database", keys: &[POSTGRES] },
        Kind { word: "http", says: "an HTTP service", keys: &[http::RESOURCE] },
    ],
};

/// The keys of a SQLite file.
pub(crate) const SQLITE: &[Key] =
    &[key("path", Shape::Text, "the file, relative to the project's folder").needed()];

/// The keys of a Postgres database.
pub(crate) const POSTGRES: &[Key] = &[
    key("url", Shape::Text, "where it is, like `postgres://user@host/database`").needed(),
    key("schema", Shape::Text, "the schema that stands first in the search path"),
];

/// An IO manager.
pub(crate) const IO: Kinds = Kinds {
    name: "io",
    says: "Where the results of assets are kept",
    list: &[
        Kind { word: "json", says: "a JSON document for each result", keys: &[FOLDER] },
        Kind { word: "csv", says: "a CSV file for each result", keys: &[FOLDER] },
        Kind { word: "table", says: "a table of a database for each asset", keys: &[TABLE] },
    ],
};

/// The keys of an IO manager that keeps files.
pub(crate) const FOLDER: &[Key] =
    &[key("base", Shape::Text, "the folder they are below, relative to the project's folder")
        .needed()];

/// The keys of an IO manager that keeps tables.
pub(crate) const TABLE: &[Key] = &[
    key("resource", Shape::Text, "the database: a resource of kind `sqlite` or `postgres`")
        .needed(),
    key("schema", Shape::Text, "the tables' schema; on SQLite their names begin with it"),
    COLUMNS,
];

/// The types of a table's columns.
pub(crate) const COLUMNS: Key = key(
    "columns",
    Shape::Map(&Shape::Words(&["integer", "real", "text", "boolean", "json"])),
    "the types of columns by name; the others are found by looking at the rows",
);

/// A row of the handler table.
pub(crate) const HANDLER: Shape = Shape::Either(&[
    Shape::Object(&HANDLER_PROGRAM),
    Shape::Object(&HANDLER_PYTHON),
    Shape::Object(&HANDLER_BUILTIN),
]);

const HANDLER_PROGRAM: Object = Object {
    name: "handler_program",
    says: "A program that handles a module",
    one_of: &[],
    keys: &[steps::COMMAND],
};

const HANDLER_PYTHON: Object = Object {
    name: "handler_python",
    says: "A function in Python that handles a module",
    one_of: &[],
    keys: &[PYTHON, steps::PYTHON_CALL],
};

/// The key of a handler in Python.
pub(crate) const PYTHON: &[Key] = &[key(
    "python",
    Shape::Text,
    "`file.py:function`, where `{{ name }}` is the module's last part",
)
.needed()];

const HANDLER_BUILTIN: Object = Object {
    name: "handler_builtin",
    says: "A handler that comes with the product",
    one_of: &[],
    keys: &[BUILTIN],
};

/// The key of a handler that comes with the product.
pub(crate) const BUILTIN: &[Key] = &[key(
    "builtin",
    Shape::Words(&["noop", "echo", "fail"]),
    "`noop` succeeds, `echo` returns its context, `fail` fails with the text in `config.error`",
)
.needed()];

/// A tenant.
pub(crate) const TENANT: Object = Object {
    name: "tenant",
    says: "A tenant",
    one_of: &[],
    keys: &[&[
        key("name", Shape::Text, "what people call it"),
        key("database_url", Shape::Text, "for templates"),
        key("s3_bucket", Shape::Text, "for templates"),
        key("s3_prefix", Shape::Text, "for templates"),
        key("schema_name", Shape::Text, "for templates"),
        key(
            "schedule",
            Shape::Text,
            "a cron expression, for schedules whose `cron` is `{{ tenant.schedule }}`",
        ),
        key("enabled", Shape::Flag, "whether it takes part").or("true"),
        key("weight", Shape::Whole(1, 1_000), "its share of the queue against other tenants'")
            .or("1"),
        key("labels", TEXT_MAP, "for templates"),
    ]],
};
