//! One definition file: from its path and bytes to what it declares.

use millstream_model::{ContentHash, Diagnostic, ErrorCode, FileManifest, is_library};

use crate::draft::{self, Draft};
use crate::fields::{Field, Fields, is_known, unknown_key};
use crate::finding::{Findings, Spot};
use crate::places::Places;
use crate::reader::Reader;
use crate::tree::{Node, Value};
use crate::{
    assets, jobs, json, keys, partitions, queue, schedules, sensors, settings, source, yaml,
};

/// What a file says, or why it says nothing.
///
/// **Invariant.** `manifest` is `None` exactly when a diagnostic is an error, and `draft` is `None`
/// exactly when none is.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedFile {
    /// What the file declares.
    pub manifest: Option<FileManifest>,
    /// What could be read of a file that has errors.
    pub draft: Option<Draft>,
    /// Where it declares it.
    pub places: Places,
    /// What is wrong with it, in the order of its lines.
    pub diagnostics: Vec<Diagnostic>,
}

impl ParsedFile {
    /// A file of which nothing could be read; `diagnostic`, an error, says why.
    pub fn unread(diagnostic: Diagnostic) -> Self {
        let draft = Some(Draft::unread());
        let (places, diagnostics) = (Places::default(), vec![diagnostic]);
        Self { manifest: None, draft, places, diagnostics }
    }

    /// Adds errors that only show beyond the file itself, so that its content is not used.
    pub fn refuse(&mut self, errors: Vec<Diagnostic>) {
        if errors.is_empty() {
            return;
        }
        self.diagnostics.extend(errors);
        if let Some(content) = self.manifest.take() {
            self.draft = Some(Draft { content, ..Draft::default() });
        }
    }
}

/// The file name extensions that are definition files.
pub const EXTENSIONS: &[&str] = &["json", "yaml", "yml"];

/// Reads one section of a file.
type Section = fn(&Field<'_>, &mut Reader);

/// The sections in the order they are read: what is inline in an asset gives way to what is named.
const SECTIONS: &[(&str, Section)] = &[
    ("tenants", settings::tenants),
    ("resources", settings::resources),
    ("io", settings::io),
    ("handlers", settings::handlers),
    ("pools", queue::pools),
    ("queue", queue::section),
    ("partitions", partitions::section),
    ("assets", assets::section),
    ("jobs", jobs::section),
    ("calendars", schedules::calendars),
    ("schedules", schedules::section),
    ("sensors", sensors::section),
];

/// Sections that later versions read; a file that has one is no job.
const LATER_SECTIONS: &[&str] = &["checks", "alerts"];

/// Reads the file at `path`, which is relative to its root with `/` between parts.
///
/// All findings come at once; content that is not even JSON or YAML has one.
pub fn parse_file(path: &str, content: &[u8]) -> ParsedFile {
    let mut reader = Reader::new(path);
    let root = tree(path, content, &mut reader.findings);
    if let Some(root) = &root {
        read(path, root, &mut reader);
    }
    let Reader { findings, manifest, places } = reader;
    if findings.error_count() == 0 {
        let diagnostics = findings.finish();
        return ParsedFile { manifest: Some(manifest), draft: None, places, diagnostics };
    }
    let draft = match &root {
        Some(root) => {
            let mut doubtful = draft::doubtful(root, &findings);
            if root.entry("nodes").is_some() {
                doubtful.insert("job", stem(path));
            }
            Draft { content: manifest, doubtful, is_unread: false }
        }
        None => Draft::unread(),
    };
    ParsedFile { manifest: None, draft: Some(draft), places, diagnostics: findings.finish() }
}

/// What a file in document 004's format calls its job: its path without the extension.
pub(crate) fn stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, _)| stem)
}

/// The version of a file: the hash of what it declares, however that is written.
pub fn file_hash(manifest: &FileManifest) -> ContentHash {
    // A manifest holds only maps with text keys, so that it always has a JSON form.
    ContentHash::of(&serde_json::to_vec(manifest).unwrap_or_default())
}

fn tree(path: &str, content: &[u8], findings: &mut Findings) -> Option<Node> {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let parse = match extension {
        Some("json") => json::parse,
        Some("yaml" | "yml") if is_library(path) => yaml::parse_any,
        Some("yaml" | "yml") => yaml::parse,
        other => {
            let shown = other.map_or_else(|| "none".to_owned(), |other| format!(".{other}"));
            let message = format!("Unsupported file extension: {shown}");
            findings
                .error(ErrorCode::DefinitionExtension, Spot::FILE, message)
                .help("definition files end in `.json`, `.yaml` or `.yml`");
            return None;
        }
    };
    parse(source::text_of(content, findings)?, findings)
}

fn read(path: &str, root: &Node, reader: &mut Reader) {
    let is_library = is_library(path);
    if is_library && root.value == Value::Null {
        return;
    }
    let Value::Map(entries) = &root.value else {
        reader
            .findings
            .error(ErrorCode::DefinitionNotAMap, root.spot, "DAG definition must be a map")
            .help(format!("the file's top level is {}; write keys and values", root.shape()));
        return;
    };
    let is_section = |key: &str| SECTIONS.iter().any(|(name, _)| *name == key);
    let has_sections = entries.iter().any(|entry| {
        is_section(&entry.key)
            || LATER_SECTIONS.contains(&entry.key.as_str())
            || draft::is_meant_as_section(entry)
    });
    match root.entry("nodes") {
        Some(nodes) if is_library => {
            let message = "A file whose name begins with `_` is a library, and no job";
            reader
                .findings
                .error(ErrorCode::DefinitionValue, nodes.key_spot, message)
                .help("take the `_` off its name, or put the job under `jobs`");
        }
        None if has_sections || is_library => {
            let what = "definition file";
            let Some(fields) = Fields::any(root, what, &mut reader.findings) else { return };
            for field in fields.iter().filter(|field| !is_section(field.name)) {
                unknown_key(&field, what, keys::SECTIONS.keys, &mut reader.findings);
            }
            sections(&fields, reader);
        }
        _ => {
            let Some(fields) = Fields::any(root, "job file", &mut reader.findings) else { return };
            jobs::of_file(path, &fields, reader);
            refuse_beside_nodes(&fields, reader);
            // What they declare is no more unknown to others than what a good file declares.
            sections(&fields, reader);
        }
    }
}

/// Reads each section among `fields`.
fn sections(fields: &Fields<'_>, reader: &mut Reader) {
    for (name, section) in SECTIONS {
        if let Some(field) = fields.get(name) {
            section(&field, reader);
        }
    }
}

/// Reports each section that stands beside the `nodes` of a file that is one job.
fn refuse_beside_nodes(fields: &Fields<'_>, reader: &mut Reader) {
    for field in fields.iter().filter(|it| is_known(it.name, keys::SECTIONS.keys)) {
        let name = field.name;
        let message = format!("A file with `nodes` is one job, and cannot have `{name}` beside it");
        reader.findings.error(ErrorCode::DefinitionUnknownKey, field.name_spot, message).help(
            format!(
                "put `nodes` below a job's name under `jobs:`, or `{name}` into a file of its own"
            ),
        );
    }
}
