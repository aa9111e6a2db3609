//! The kinds of step and what each is configured with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AssetKey, ColumnType, HttpStep, PipesConfig, ResourceName, StepSources};

/// What a step runs, with the typed configuration of its kind.
///
/// Texts in it may hold `{{ … }}` templates; they are resolved when the step starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StepConfig {
    /// A handler by name: document 004's `local` node.
    Local(LocalStep),
    /// A program.
    Command(CommandStep),
    /// A function in Python.
    Python(PythonStep),
    /// Statements on a database.
    Sql(SqlStep),
    /// A request to an HTTP service.
    Http(Box<HttpStep>),
    /// The rows of an upstream asset, loaded into a table.
    Load(LoadStep),
    /// An AWS Lambda function: document 004's `lambda` node.
    Lambda(LambdaStep),
    /// Nothing; it succeeds at once.
    Noop(NoopStep),
}

impl StepConfig {
    /// The kinds' names as definition files write them.
    pub const KINDS: &[&str] =
        &["local", "command", "python", "sql", "http", "load", "lambda", "noop"];

    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Command(_) => "command",
            Self::Python(_) => "python",
            Self::Sql(_) => "sql",
            Self::Http(_) => "http",
            Self::Load(_) => "load",
            Self::Lambda(_) => "lambda",
            Self::Noop(_) => "noop",
        }
    }

    /// Whether limits have anything to hold: a process that works for the step alone.
    pub fn has_processes(&self) -> bool {
        match self {
            Self::Local(_) | Self::Command(_) | Self::Python(_) | Self::Sql(_) | Self::Load(_) => {
                true
            }
            Self::Http(_) | Self::Lambda(_) | Self::Noop(_) => false,
        }
    }

    /// The resource that a step of its own kind talks to.
    pub fn resource(&self) -> Option<&ResourceName> {
        match self {
            Self::Sql(sql) => Some(&sql.resource),
            Self::Http(http) => Some(&http.resource),
            Self::Load(load) => Some(&load.resource),
            Self::Local(_)
            | Self::Command(_)
            | Self::Python(_)
            | Self::Lambda(_)
            | Self::Noop(_) => None,
        }
    }

    /// The upstream assets that it names, whose rows it reads by itself.
    pub fn reads(&self) -> Vec<&AssetKey> {
        match self {
            Self::Sql(sql) => sql.read.values().filter_map(ReadSource::asset).collect(),
            Self::Load(load) => load.asset.iter().collect(),
            Self::Local(_)
            | Self::Command(_)
            | Self::Python(_)
            | Self::Http(_)
            | Self::Lambda(_)
            | Self::Noop(_) => Vec::new(),
        }
    }
}

/// A handler by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalStep {
    /// The name that the handler table resolves.
    pub module: String,
    /// Whatever else stood in the node's `config`; the handler sees it.
    #[serde(default)]
    pub config: serde_json::Map<String, serde_json::Value>,
}

/// A program with its arguments, environment and working directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandStep {
    /// What is run.
    pub command: CommandLine,
    /// Variables added to the step's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The working directory, relative to the definition root; the root itself when absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// How it may speak Pipes.
    #[serde(default, skip_serializing_if = "PipesConfig::is_default")]
    pub pipes: PipesConfig,
    /// The files that it consists of.
    #[serde(default, skip_serializing_if = "StepSources::is_default")]
    pub sources: StepSources,
}

/// A command as a list of arguments or as a line for the shell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CommandLine {
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// The program and its arguments; no shell reads them.
    Argv(Vec<String>),
}

/// A function in Python, with what it is called with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PythonStep {
    /// The function: `file.py:function`, or `package.module:function`; both below the root.
    pub function: String,
    /// What it shares with other steps.
    #[serde(default)]
    pub isolation: Isolation,
    /// What the function sees as `params`.
    #[serde(default)]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Variables added to the environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The interpreter, a path or a name on `PATH`; the worker's own choice when absent.
    #[serde(default)]
    pub interpreter: Option<String>,
    /// How it may speak Pipes.
    #[serde(default, skip_serializing_if = "PipesConfig::is_default")]
    pub pipes: PipesConfig,
    /// The files that it consists of.
    #[serde(default, skip_serializing_if = "StepSources::is_default")]
    pub sources: StepSources,
}

/// What a step in Python shares with other steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Imports: it is a fork of a process that has imported the code.
    #[default]
    Fork,
    /// A process, which runs one step of a tenant after another.
    Warm,
    /// Nothing: it is a process of its own.
    Process,
}

/// Statements on a database, with bound parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SqlStep {
    /// The database: a resource of kind `sqlite` or `postgres`.
    pub resource: ResourceName,
    /// The statements, run in order in one transaction. `:name` is a bound parameter.
    pub statements: Vec<String>,
    /// Temporary tables filled before the statements run, by name (SQLite only).
    #[serde(default)]
    pub read: BTreeMap<String, ReadSource>,
    /// Further parameters to bind; `tenant`, `run_id`, `partition_key` and the partition's
    /// dimensions are always there.
    #[serde(default)]
    pub params: BTreeMap<String, serde_json::Value>,
    /// Whether the rows of the last statement are the step's result.
    #[serde(default)]
    pub rows: bool,
    /// Whether the database is opened for reading alone.
    #[serde(default)]
    pub read_only: bool,
}

/// What a temporary table is filled from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadSource {
    /// A CSV file with a header line, plain or gzipped (`.gz`); the path is relative to the root.
    Csv(String),
    /// The rows of an upstream asset, from its IO manager.
    Asset(AssetKey),
}

impl ReadSource {
    /// The asset, if it is one.
    pub fn asset(&self) -> Option<&AssetKey> {
        match self {
            Self::Asset(asset) => Some(asset),
            Self::Csv(_) => None,
        }
    }
}

/// Rows of an upstream asset, and the table they go into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadStep {
    /// The database: a resource of kind `sqlite` or `postgres`.
    pub resource: ResourceName,
    /// The upstream asset; the one that the step's asset depends on when absent.
    #[serde(default)]
    pub asset: Option<AssetKey>,
    /// The table's name, a template; the schema is no part of it.
    pub table: String,
    /// The schema, a template; that of the resource when absent.
    #[serde(default)]
    pub schema: Option<String>,
    /// What becomes of the rows that the table has.
    #[serde(default)]
    pub mode: LoadMode,
    /// The types of columns whose values do not say them, by the columns' names.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnType>,
}

/// What loading does with the rows that a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadMode {
    /// The new rows take their place.
    #[default]
    Replace,
    /// The new rows are added to them.
    Append,
}

/// An AWS Lambda function and how it is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LambdaStep {
    /// The function's name or ARN.
    pub function_name: String,
    /// Whether the step waits for the answer.
    #[serde(default)]
    pub invocation_type: Invocation,
    /// The function's memory in MiB; informational.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Whether the result is stored as an object.
    #[serde(default)]
    pub store_output_to_s3: bool,
    /// The object's key, a template over `job_id` and `task_id`.
    #[serde(default)]
    pub output_s3_key: Option<String>,
    /// What the function is given beside its context.
    #[serde(default)]
    pub payload: serde_json::Map<String, serde_json::Value>,
}

/// Whether a caller waits for a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invocation {
    /// It waits for the answer.
    #[default]
    Sync,
    /// It hands the event over and goes on.
    Async,
}

/// Nothing to configure.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NoopStep {}
