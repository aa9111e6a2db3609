//! The sections beside assets and jobs: resources, IO managers, handlers and tenants.

use std::collections::BTreeMap;

use millstream_model::{
    Builtin, ColumnType, ErrorCode, FolderIo, HandlerDef, HandlerTarget, IoDef, IoName,
    ResourceDef, ResourceName, TableIo, TenantDef, TenantId,
};

use crate::cron;
use crate::fields::{Field, Fields, parsed};
use crate::finding::Findings;
use crate::http;
use crate::keys::steps::{COMMAND, PYTHON_CALL};
use crate::keys::{KIND, settings as keys};
use crate::python;
use crate::reader::Reader;
use crate::sight::Sight;
use crate::steps;
use crate::template;

#[derive(Clone, Copy)]
enum Resource {
    Sqlite,
    Postgres,
    Http,
}

const RESOURCES: &[(&str, Resource)] =
    &[("sqlite", Resource::Sqlite), ("postgres", Resource::Postgres), ("http", Resource::Http)];

#[derive(Clone, Copy)]
enum Io {
    Json,
    Csv,
    Table,
}

const IO_KINDS: &[(&str, Io)] = &[("json", Io::Json), ("csv", Io::Csv), ("table", Io::Table)];

const COLUMN_TYPES: &[(&str, ColumnType)] = &[
    ("integer", ColumnType::Integer),
    ("real", ColumnType::Real),
    ("text", ColumnType::Text),
    ("boolean", ColumnType::Boolean),
    ("json", ColumnType::Json),
];

const BUILTINS: &[(&str, Builtin)] =
    &[("noop", Builtin::Noop), ("echo", Builtin::Echo), ("fail", Builtin::Fail)];

/// Reads a `resources` section.
pub(crate) fn resources(field: &Field<'_>, reader: &mut Reader) {
    let findings = &mut reader.findings;
    let Some(entries) = Fields::any(field.node, "section `resources`", findings) else { return };
    for entry in entries.iter() {
        let findings = &mut reader.findings;
        let name: Option<ResourceName> = parsed(entry.name, entry.name_spot, findings);
        template::check(entry.node, &Sight::SETTING, findings);
        if let (Some(name), Some(definition)) = (name, resource(&entry, findings)) {
            reader.places.note(&["resource", entry.name], entry.name_spot);
            template::note_names(entry.node, &["resource", entry.name], &mut reader.places);
            reader.manifest.resources.insert(name, definition);
        }
    }
}

fn resource(entry: &Field<'_>, findings: &mut Findings) -> Option<ResourceDef> {
    let fields = Fields::any(entry.node, &format!("resource `{}`", entry.name), findings)?;
    let kind = fields.need("kind", "it is one of `sqlite`, `postgres` and `http`", findings)?;
    match kind.choice(RESOURCES, findings)? {
        Resource::Sqlite => {
            fields.refuse_unknown(&[KIND, keys::SQLITE], findings);
            let path = fields.need(
                "path",
                "write the file's path below the project's folder",
                findings,
            )?;
            Some(ResourceDef::Sqlite { path: path.filled(findings)? })
        }
        Resource::Postgres => {
            fields.refuse_unknown(&[KIND, keys::POSTGRES], findings);
            let help = "write it like `postgres://user@host/database`";
            let url = fields.need("url", help, findings)?.filled(findings);
            let schema = fields.get("schema").and_then(|it| it.filled(findings));
            Some(ResourceDef::Postgres { url: url?, schema })
        }
        Resource::Http => http::resource(&fields, findings),
    }
}

/// Reads an `io` section.
pub(crate) fn io(field: &Field<'_>, reader: &mut Reader) {
    let findings = &mut reader.findings;
    let Some(entries) = Fields::any(field.node, "section `io`", findings) else { return };
    for entry in entries.iter() {
        let findings = &mut reader.findings;
        let name: Option<IoName> = parsed(entry.name, entry.name_spot, findings);
        template::check(entry.node, &Sight::SETTING, findings);
        if let (Some(name), Some(definition)) = (name, io_manager(&entry, findings)) {
            reader.places.note(&["io", entry.name], entry.name_spot);
            reader.places.note_key(entry.node, &["io", entry.name], "resource");
            template::note_names(entry.node, &["io", entry.name], &mut reader.places);
            reader.manifest.io.insert(name, definition);
        }
    }
}

fn io_manager(entry: &Field<'_>, findings: &mut Findings) -> Option<IoDef> {
    let fields = Fields::any(entry.node, &format!("IO manager `{}`", entry.name), findings)?;
    let kind = fields.need("kind", "it is one of `json`, `csv` and `table`", findings)?;
    match kind.choice(IO_KINDS, findings)? {
        Io::Json => folder_io(&fields, findings).map(IoDef::Json),
        Io::Csv => folder_io(&fields, findings).map(IoDef::Csv),
        Io::Table => table_io(&fields, findings).map(IoDef::Table),
    }
}

fn folder_io(fields: &Fields<'_>, findings: &mut Findings) -> Option<FolderIo> {
    fields.refuse_unknown(&[KIND, keys::FOLDER], findings);
    let base = fields.need("base", "write a folder below the project's: `base: lake`", findings)?;
    Some(FolderIo { base: base.filled(findings)? })
}

fn table_io(fields: &Fields<'_>, findings: &mut Findings) -> Option<TableIo> {
    fields.refuse_unknown(&[KIND, keys::TABLE], findings);
    let help = "name a resource of kind `sqlite` or `postgres`";
    let resource = fields.need("resource", help, findings).and_then(|it| it.parsed(findings));
    let schema = fields.get("schema").and_then(|it| it.filled(findings));
    let columns = columns(fields, findings);
    Some(TableIo { resource: resource?, schema, columns })
}

/// The types of columns: `{code: text, amount: real}`.
pub(crate) fn columns(
    fields: &Fields<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, ColumnType> {
    let mut types = BTreeMap::new();
    let columns = fields.get("columns").and_then(|it| Fields::any(it.node, "columns", findings));
    for column in columns.iter().flat_map(Fields::iter) {
        let kind = column.choice(COLUMN_TYPES, findings);
        types.extend(kind.map(|kind| (column.name.to_owned(), kind)));
    }
    types
}

/// Reads a `handlers` section, whose order counts.
pub(crate) fn handlers(field: &Field<'_>, reader: &mut Reader) {
    let findings = &mut reader.findings;
    let Some(entries) = Fields::any(field.node, "section `handlers`", findings) else { return };
    for entry in entries.iter() {
        let findings = &mut reader.findings;
        let pattern = entry.name.to_owned();
        let stem = pattern.strip_suffix('*').unwrap_or(&pattern);
        if pattern.is_empty() || stem.contains('*') {
            let message = format!("`{pattern}` is no pattern of module names");
            findings
                .error(ErrorCode::DefinitionValue, entry.name_spot, message)
                .help("write a module's name, or its beginning and a `*`: `MyApp.Tasks.*`");
        }
        // One that names all of another's modules leaves it none.
        let is_wide = |row: &&HandlerDef| row.pattern.ends_with('*') && row.matches(stem);
        if let Some(first) = reader.manifest.handlers.iter().find(is_wide) {
            let message = format!(
                "The handler `{pattern}` is never used: the first that matches decides, and `{}` \
                 before it matches all that it does",
                first.pattern
            );
            let help = format!("move it before `{}`", first.pattern);
            findings.warning(ErrorCode::DefinitionValue, entry.name_spot, message).help(help);
        }
        if let Some(target) = handler(&entry, findings) {
            reader.places.note(&["handler", entry.name], entry.name_spot);
            reader.manifest.handlers.push(HandlerDef { pattern, target });
        }
    }
}

/// The keys of a handler of which each says what runs.
const TARGETS: [&str; 3] = ["command", "python", "builtin"];

fn handler(entry: &Field<'_>, findings: &mut Findings) -> Option<HandlerTarget> {
    let fields = Fields::any(entry.node, &format!("handler `{}`", entry.name), findings)?;
    template::check(entry.node, &Sight::HANDLER, findings);
    let said: Vec<Field<'_>> = TARGETS.iter().filter_map(|key| fields.get(key)).collect();
    if let [first, second, ..] = said.as_slice() {
        let message =
            format!("The {} has both `{}` and `{}`", fields.what, first.name, second.name);
        findings
            .error(ErrorCode::DefinitionValue, second.name_spot, message)
            .help("keep one of `command`, `python` and `builtin`: each says what runs");
        return None;
    }
    if let Some(function) = fields.get("python") {
        fields.refuse_unknown(&[keys::PYTHON, PYTHON_CALL], findings);
        return python::step(Some(function), &fields, findings).map(HandlerTarget::Python);
    }
    if let Some(builtin) = fields.get("builtin") {
        fields.refuse_unknown(&[keys::BUILTIN], findings);
        return builtin.choice(BUILTINS, findings).map(HandlerTarget::Builtin);
    }
    fields.refuse_unknown(&[COMMAND, keys::BUILTIN, keys::PYTHON], findings);
    steps::command(&fields, findings).map(HandlerTarget::Command)
}

/// Reads a `tenants` section.
pub(crate) fn tenants(field: &Field<'_>, reader: &mut Reader) {
    let findings = &mut reader.findings;
    let Some(entries) = Fields::any(field.node, "section `tenants`", findings) else { return };
    for entry in entries.iter() {
        let findings = &mut reader.findings;
        let id: Option<TenantId> = parsed(entry.name, entry.name_spot, findings);
        if let (Some(id), Some(definition)) = (id, tenant(&entry, findings)) {
            reader.places.note(&["tenant", entry.name], entry.name_spot);
            reader.manifest.tenants.insert(id, definition);
        }
    }
}

fn tenant(entry: &Field<'_>, findings: &mut Findings) -> Option<TenantDef> {
    let fields = Fields::open_or_empty(
        entry.node,
        &format!("tenant `{}`", entry.name),
        keys::TENANT.keys,
        findings,
    )?;
    let mut text = |key: &str| fields.get(key).and_then(|it| it.filled(findings));
    Some(TenantDef {
        name: text("name"),
        database_url: text("database_url"),
        s3_bucket: text("s3_bucket"),
        s3_prefix: text("s3_prefix"),
        schema_name: text("schema_name"),
        schedule: fields.get("schedule").and_then(|it| cron::expression(&it, findings)),
        enabled: fields.get("enabled").and_then(|it| it.flag(findings)).unwrap_or(true),
        weight: fields.get("weight").and_then(|it| it.whole(1, 1_000, findings)).unwrap_or(1),
        labels: fields.get("labels").map(|it| it.text_map(findings)).unwrap_or_default(),
    })
}
