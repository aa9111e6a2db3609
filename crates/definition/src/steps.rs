//! Step configurations by kind, for nodes of jobs and for assets alike.

use std::collections::BTreeMap;

use millstream_model::{
    AssetKey, CommandLine, CommandStep, ErrorCode, Invocation, LambdaStep, LoadMode, LoadStep,
    LocalStep, NoopStep, PipesChannel, PipesConfig, ReadSource, SqlStep, StepConfig, StepSources,
    below_project, why_no_source,
};

use crate::fields::{Field, Fields, is_known, one_of, unknown_key};
use crate::finding::{Findings, Spot};
use crate::http;
use crate::keys::assets::ASSET;
use crate::keys::steps::{OF_ASSET, PIPES, STEPS, TABLE};
use crate::keys::{KIND, Key};
use crate::python;
use crate::settings;
use crate::sight::Sight;
use crate::sql_params::{EVERYWHERE, is_several};
use crate::template;
use crate::tree::Value;

/// A kind of step by its name in definition files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Local,
    Command,
    Python,
    Sql,
    Http,
    Load,
    Lambda,
    Noop,
}

impl Kind {
    const ALL: &[Self] = &[
        Self::Local,
        Self::Command,
        Self::Python,
        Self::Sql,
        Self::Http,
        Self::Load,
        Self::Lambda,
        Self::Noop,
    ];

    /// The kind called `text`; reports an unknown one and how to write one.
    pub(crate) fn named(text: &str, spot: Spot, findings: &mut Findings) -> Option<Self> {
        let kind = Self::ALL.iter().copied().find(|kind| kind.word() == text);
        if kind.is_none() {
            let message = format!("Unknown step kind `{text}`");
            findings
                .error(ErrorCode::DefinitionStepKind, spot, message)
                .help(one_of(text, StepConfig::KINDS));
        }
        kind
    }

    /// Its name in definition files.
    fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Command => "command",
            Self::Python => "python",
            Self::Sql => "sql",
            Self::Http => "http",
            Self::Load => "load",
            Self::Lambda => "lambda",
            Self::Noop => "noop",
        }
    }

    /// The keys of the kind's configuration.
    pub(crate) fn keys(self) -> &'static [Key] {
        STEPS.iter().find(|step| step.word == self.word()).map_or(&[], |step| step.keys)
    }

    /// The key without which a step of this kind means nothing, and how it is written.
    pub(crate) fn needed_key(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Local => {
                Some(("module", "name a handler: `\"module\": \"MyApp.Tasks.Extract\"`"))
            }
            Self::Command => Some(("command", "write it like `[\"./extract.sh\", \"--all\"]`")),
            Self::Python => Some(("function", python::FUNCTION_HELP)),
            Self::Sql | Self::Load => {
                Some(("resource", "name a resource of kind `sqlite` or `postgres`"))
            }
            Self::Http => Some(("resource", "name a resource of kind `http`")),
            Self::Lambda => Some(("function_name", "write the function's name or ARN")),
            Self::Noop => None,
        }
    }
}

/// The step in an asset's `step` object, or in a sensor's `source`, whose templates see `sight`.
pub(crate) fn of_object(
    field: &Field<'_>,
    sight: &Sight,
    findings: &mut Findings,
) -> Option<StepConfig> {
    let fields = Fields::any(field.node, "step", findings)?;
    let help = match fields.get("type") {
        Some(_) => "it has `type`; in the step of an asset that key is `kind`".to_owned(),
        None => one_of("", StepConfig::KINDS),
    };
    let kind = fields.need("kind", &help, findings)?;
    let kind = Kind::named(kind.str(findings)?, kind.node.spot, findings)?;
    let mut known = vec![KIND, kind.keys()];
    let mut extra = serde_json::Map::new();
    if kind == Kind::Local {
        known.push(OF_ASSET);
        if let Some(config) = fields.get("config") {
            let config = Fields::any(config.node, "step's config", findings)?;
            extra = config.iter().map(|it| (it.name.to_owned(), it.node.json())).collect();
        }
    }
    for field in fields.iter().filter(|field| !is_known(field.name, &known)) {
        if is_known(field.name, ASSET.keys) {
            refuse_key_of_asset(&field, findings);
        } else {
            unknown_key(&field, &fields.what, &known, findings);
        }
    }
    template::check(field.node, sight, findings);
    config(kind, &fields, extra, findings)
}

/// Reports a key in an asset's step that belongs to the asset.
fn refuse_key_of_asset(field: &Field<'_>, findings: &mut Findings) {
    let name = field.name;
    let message = format!("Unknown key `{name}` in the step");
    findings
        .error(ErrorCode::DefinitionUnknownKey, field.name_spot, message)
        .help(format!("`{name}` is a key of the asset: write it beside `step`"));
}

/// The configuration of a step of `kind`; `extra` is what a local step's handler sees.
pub(crate) fn config(
    kind: Kind,
    fields: &Fields<'_>,
    extra: serde_json::Map<String, serde_json::Value>,
    findings: &mut Findings,
) -> Option<StepConfig> {
    match kind {
        Kind::Local => {
            let module = need(kind, fields, findings)?.filled(findings)?;
            Some(StepConfig::Local(LocalStep { module, config: extra }))
        }
        Kind::Command => command(fields, findings).map(StepConfig::Command),
        Kind::Python => {
            let function = need(kind, fields, findings);
            python::step(function, fields, findings).map(StepConfig::Python)
        }
        Kind::Sql => sql(fields, findings).map(StepConfig::Sql),
        Kind::Http => {
            let resource = need(kind, fields, findings);
            http::step(resource, fields, findings).map(|step| StepConfig::Http(Box::new(step)))
        }
        Kind::Load => load(fields, findings).map(StepConfig::Load),
        Kind::Lambda => lambda(fields, findings).map(StepConfig::Lambda),
        Kind::Noop => Some(StepConfig::Noop(NoopStep {})),
    }
}

fn need<'n>(kind: Kind, fields: &Fields<'n>, findings: &mut Findings) -> Option<Field<'n>> {
    let (key, help) = kind.needed_key()?;
    fields.need(key, help, findings)
}

/// A program with its environment and folder.
pub(crate) fn command(fields: &Fields<'_>, findings: &mut Findings) -> Option<CommandStep> {
    let field = need(Kind::Command, fields, findings);
    let env = fields.get("env").map(|it| it.text_map(findings)).unwrap_or_default();
    let cwd = fields.get("cwd").and_then(|it| it.filled(findings));
    let pipes = fields.get("pipes").map(|it| pipes(&it, findings)).unwrap_or_default();
    let sources = sources(fields, cwd.as_deref(), findings);
    let field = field?;
    let command = match &field.node.value {
        _ if field.node.plain().is_some() => CommandLine::Shell(field.filled(findings)?),
        Value::List(items) if items.is_empty() => {
            let message = "`command` must name a program";
            findings
                .error(ErrorCode::DefinitionValue, field.node.spot, message)
                .help("write it like `[\"./extract.sh\", \"--all\"]`");
            return None;
        }
        Value::List(_) => CommandLine::Argv(field.texts(findings)),
        _ => {
            field.mistyped("a list of arguments or a line for the shell", findings);
            return None;
        }
    };
    Some(CommandStep { command, env, cwd, pipes, sources })
}

/// The files and folders under `sources`, whose content counts to the version.
pub(crate) fn sources(
    fields: &Fields<'_>,
    cwd: Option<&str>,
    findings: &mut Findings,
) -> StepSources {
    let Some(field) = fields.get("sources") else { return StepSources::default() };
    let named = field.texts(findings);
    for path in named.iter().filter(|path| below_project(cwd, path).is_none()) {
        let message = format!("`{path}` {}", why_no_source(cwd, path));
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("name files and folders by their paths below the project's folder, or the `cwd`");
    }
    StepSources { named, code: None }
}

/// How a program may speak Pipes: a word for the channel, or `{messages: stdout, extras: {…}}`.
pub(crate) fn pipes(field: &Field<'_>, findings: &mut Findings) -> PipesConfig {
    if field.node.value == Value::Bool(false) {
        return PipesConfig { messages: PipesChannel::Off, ..PipesConfig::default() };
    }
    if matches!(field.node.value, Value::Text(_)) {
        let messages = field.choice(PipesChannel::WORDS, findings).unwrap_or_default();
        return PipesConfig { messages, ..PipesConfig::default() };
    }
    let Some(fields) = Fields::open(field.node, "step's `pipes`", PIPES.keys, findings) else {
        return PipesConfig::default();
    };
    let messages = fields.get("messages");
    let extras = fields.get("extras");
    let extras = extras.and_then(|it| Fields::any(it.node, "step's `pipes.extras`", findings));
    PipesConfig {
        messages: messages
            .and_then(|it| it.choice(PipesChannel::WORDS, findings))
            .unwrap_or_default(),
        extras: extras
            .map(|extras| extras.iter().map(|it| (it.name.to_owned(), it.node.json())).collect())
            .unwrap_or_default(),
    }
}

fn sql(fields: &Fields<'_>, findings: &mut Findings) -> Option<SqlStep> {
    let resource = need(Kind::Sql, fields, findings).and_then(|it| it.parsed(findings));
    let help = "write a statement, or a list of them: `[\"insert into t select 1\"]`";
    let statements = fields.need("statements", help, findings);
    let statements = match statements {
        Some(Field { node, .. }) if node.plain().is_some() => {
            statements.and_then(|it| it.filled(findings)).into_iter().collect()
        }
        Some(field) => field.texts(findings),
        None => Vec::new(),
    };
    if let (Some(field), true) = (fields.get("statements"), statements.is_empty()) {
        let message = "`statements` must have at least one statement";
        findings.error(ErrorCode::DefinitionValue, field.node.spot, message).help(help);
    }
    if let Some(field) = fields.get("statements") {
        field.node.for_each_text(&mut |spot, text| {
            if is_several(text) {
                let message = "An item of `statements` holds more than one statement";
                let help = "write each as its own item: `[\"delete from t\", \"insert into t \
                            select 1\"]`";
                findings.error(ErrorCode::DefinitionValue, spot, message).help(help);
            }
        });
    }
    let read = fields.get("read").map(|it| read(&it, findings)).unwrap_or_default();
    let params = fields.get("params").map(|it| params(&it, EVERYWHERE, findings));
    Some(SqlStep {
        resource: resource?,
        statements,
        read,
        params: params.unwrap_or_default(),
        rows: fields.get("rows").and_then(|it| it.flag(findings)).unwrap_or_default(),
        read_only: fields.get("read_only").and_then(|it| it.flag(findings)).unwrap_or_default(),
    })
}

/// The temporary tables: `{flights: {csv: data/flights.csv.gz}}`.
fn read(field: &Field<'_>, findings: &mut Findings) -> BTreeMap<String, ReadSource> {
    let mut tables = BTreeMap::new();
    let Some(fields) = Fields::any(field.node, "step's `read`", findings) else { return tables };
    for table in fields.iter() {
        let what = format!("table `{}`", table.name);
        let Some(source) = Fields::open(table.node, &what, TABLE.keys, findings) else { continue };
        let source = match (source.get("csv"), source.get("asset")) {
            (Some(csv), None) => csv.filled(findings).map(ReadSource::Csv),
            (None, Some(asset)) => asset.parsed::<AssetKey>(findings).map(ReadSource::Asset),
            _ => {
                let message = format!("The {what} needs one of `csv` and `asset`");
                findings
                    .error(ErrorCode::DefinitionValue, table.node.spot, message)
                    .help("write `{csv: data/rows.csv}` or `{asset: orders}`");
                None
            }
        };
        tables.extend(source.map(|source| (table.name.to_owned(), source)));
    }
    tables
}

fn load(fields: &Fields<'_>, findings: &mut Findings) -> Option<LoadStep> {
    let modes = &[("replace", LoadMode::Replace), ("append", LoadMode::Append)];
    let resource = need(Kind::Load, fields, findings).and_then(|it| it.parsed(findings));
    let asset = fields.get("asset").and_then(|it| it.parsed(findings));
    let help = "name the table: `table: orders`";
    let table = fields.need("table", help, findings).and_then(|it| it.filled(findings));
    let schema = fields.get("schema").and_then(|it| it.filled(findings));
    let mode = fields.get("mode").and_then(|it| it.choice(modes, findings)).unwrap_or_default();
    let columns = settings::columns(fields, findings);
    Some(LoadStep { resource: resource?, asset, table: table?, schema, mode, columns })
}

/// The values under a step's `params`, of which those in `taken` are never seen.
pub(crate) fn params<M>(field: &Field<'_>, taken: &[&str], findings: &mut Findings) -> M
where
    M: Default + FromIterator<(String, serde_json::Value)>,
{
    let Some(fields) = Fields::any(field.node, "step's `params`", findings) else {
        return M::default();
    };
    for param in fields.iter().filter(|it| taken.contains(&it.name)) {
        let name = param.name;
        let message = format!("`{name}` under `params` is not what the step sees as `{name}`");
        findings
            .warning(ErrorCode::DefinitionValue, param.name_spot, message)
            .help("every step has a value of that name, which goes first; call yours otherwise");
    }
    fields.iter().map(|it| (it.name.to_owned(), it.node.json())).collect()
}

fn lambda(fields: &Fields<'_>, findings: &mut Findings) -> Option<LambdaStep> {
    let words = &[("sync", Invocation::Sync), ("async", Invocation::Async)];
    let name = need(Kind::Lambda, fields, findings).and_then(|it| it.filled(findings));
    let payload = fields
        .get("payload")
        .and_then(|it| Fields::any(it.node, "function's `payload`", findings))
        .map(|payload| payload.iter().map(|it| (it.name.to_owned(), it.node.json())).collect())
        .unwrap_or_default();
    Some(LambdaStep {
        function_name: name?,
        invocation_type: fields
            .get("invocation_type")
            .and_then(|it| it.choice(words, findings))
            .unwrap_or_default(),
        memory: fields.get("memory").and_then(|it| it.whole(1, u32::MAX, findings)).map(u64::from),
        store_output_to_s3: fields
            .get("store_output_to_s3")
            .and_then(|it| it.flag(findings))
            .unwrap_or_default(),
        output_s3_key: fields.get("output_s3_key").and_then(|it| it.filled(findings)),
        payload,
    })
}
