//! Nodes and edges of a job, in document 004's format and with its messages word for word.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{ErrorCode, OpDef, StepConfig, StepKey, nearest};

use crate::fields::{Field, Fields, is_known, parsed};
use crate::finding::{Findings, Spot};
use crate::graph;
use crate::keys::jobs::{EDGE, NODE};
use crate::keys::steps::TIMING;
use crate::limits;
use crate::queue;
use crate::sight::Sight;
use crate::steps::{self, Kind};
use crate::template;
use crate::timing;
use crate::tree::{Node, Value};

/// The ids that a wrong one is compared with to find the one that was meant.
const COMPARED_MAX: usize = 1_000;

/// The ops of a job, or as many as can be read when something is wrong.
pub(crate) fn of_job(job: &Fields<'_>, findings: &mut Findings) -> Vec<OpDef> {
    let Some(nodes) = job.raw("nodes") else {
        findings
            .error(ErrorCode::DefinitionMissingKey, job.spot, "Missing required fields: nodes")
            .help("a job lists its steps: `\"nodes\": [{\"id\": \"first\", \"type\": \"noop\"}]`");
        return Vec::new();
    };
    let Value::List(nodes) = &nodes.node.value else {
        findings
            .error(ErrorCode::DefinitionValue, nodes.node.spot, "nodes must be a list")
            .help(format!("it is {} now", nodes.node.shape()));
        return Vec::new();
    };
    if nodes.is_empty() {
        findings
            .error(ErrorCode::DefinitionValue, job.spot, "DAG must have at least one node")
            .help("write one like `{\"id\": \"first\", \"type\": \"noop\"}`");
        return Vec::new();
    }
    let drafts: Vec<Draft<'_>> = nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| Draft::read(index, node, findings))
        .collect();
    let mut links = Links::new(&drafts, findings);
    for (index, draft) in drafts.iter().enumerate() {
        links.depends_on(index, draft, findings);
    }
    if let Some(edges) = job.get("edges") {
        links.edges(&edges, findings);
    }
    links.report_circles(&drafts, findings);
    for (index, draft) in drafts.iter().enumerate() {
        links.reads(index, draft, findings);
    }
    links.ops(drafts)
}

/// A node whose id and type are there.
struct Draft<'n> {
    id: &'n str,
    id_spot: Spot,
    node: &'n Node,
    depends_on: Option<Field<'n>>,
    op: Option<OpDef>,
}

impl<'n> Draft<'n> {
    fn read(index: usize, node: &'n Node, findings: &mut Findings) -> Option<Self> {
        let text = |key: &str| {
            let value = &node.entry(key)?.value;
            Some((value.plain().filter(|text| !text.is_empty())?, value.spot))
        };
        let (Some((id, id_spot)), Some((kind, kind_spot))) = (text("id"), text("type")) else {
            let lacking = if text("id").is_none() { "id" } else { "type" };
            report_lacking(index + 1, node, lacking, findings);
            return None;
        };
        let fields = Fields::any(node, &format!("node `{id}`"), findings)?;
        let depends_on = fields.get("depends_on");
        let kind = Kind::named(kind, kind_spot, findings);
        let op = kind.and_then(|kind| op(kind, id, id_spot, fields, findings));
        Some(Self { id, id_spot, node, depends_on, op })
    }
}

/// Reports that node `number` has no text under `key`, or what stands there in its place.
fn report_lacking(number: usize, node: &Node, key: &str, findings: &mut Findings) {
    let written = node.entry(key).map(|entry| &entry.value);
    if let Some(value) = written.filter(|it| matches!(it.value, Value::List(_) | Value::Map(_))) {
        let message = format!("`{key}` of node {number} must be text, not {}", value.shape());
        findings.error(ErrorCode::DefinitionValue, value.spot, message);
        return;
    }
    let message = "All nodes must have 'id' and 'type' fields";
    let other = if key == "type" { "kind" } else { "name" };
    let help = match node.entry(other) {
        Some(_) => format!("node {number} has `{other}`; in a node that key is `{key}`"),
        None => format!("node {number} has no text under `{key}`"),
    };
    findings.error(ErrorCode::DefinitionMissingKey, node.spot, message).help(help);
}

fn op(
    kind: Kind,
    id: &str,
    id_spot: Spot,
    node: Fields<'_>,
    findings: &mut Findings,
) -> Option<OpDef> {
    let known = [NODE, TIMING, kind.keys()];
    node.refuse_unknown(&known, findings);
    let at_node = node.get("pool");
    let pool = at_node.and_then(|it| queue::pool_use(&it, findings));
    let fields = with_config(kind, node, findings)?;
    let timeout = timing::timeout(&fields, findings);
    let retry = timing::retry(&fields, findings);
    let mut extra = serde_json::Map::new();
    if kind == Kind::Local {
        let own = |field: &Field<'_>| match field.name {
            // In a node's `config` it is a value for the handler.
            "pool" => at_node.is_some_and(|at_node| at_node.name_spot == field.name_spot),
            name => is_known(name, &known),
        };
        let handed_on = fields.iter().filter(|field| !own(field));
        extra = handed_on.map(|field| (field.name.to_owned(), field.node.json())).collect();
    }
    let step: Option<StepConfig> = steps::config(kind, &fields, extra, findings);
    let limits = limits::of_step(&fields, step.as_ref(), findings);
    let id: StepKey = parsed(id, id_spot, findings)?;
    Some(OpDef { id, depends_on: Vec::new(), step: step?, timeout, retry, limits, pool })
}

/// The fields of a node together with those of its `config`, which win.
fn with_config<'n>(kind: Kind, node: Fields<'n>, findings: &mut Findings) -> Option<Fields<'n>> {
    for field in node.iter() {
        template::check(field.node, &Sight::STEP, findings);
    }
    let Some(config) = node.get("config") else {
        let Some((key, help)) = kind.needed_key() else { return Some(node) };
        if node.get(key).is_some() {
            return Some(node);
        }
        // One that is only mistyped has been reported as that.
        if !node.iter().any(|field| field.name != key && nearest(field.name, [key]).is_some()) {
            let message = format!("The {} has no `config`", node.what);
            findings
                .error(ErrorCode::DefinitionMissingKey, node.spot, message)
                .help(format!("put `{key}` into it, or into the node itself; {help}"));
        }
        return None;
    };
    let inner = Fields::any(config.node, &format!("config of {}", node.what), findings)?;
    if kind != Kind::Local {
        inner.refuse_unknown(&[TIMING, kind.keys()], findings);
    }
    Some(node.merged_under(inner))
}

/// Which node comes before which, from `depends_on` and `edges` together.
struct Links<'n> {
    ids: BTreeMap<&'n str, usize>,
    seen: BTreeSet<(usize, usize)>,
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

impl<'n> Links<'n> {
    /// No links yet between `drafts`; reports ids that stand twice.
    fn new(drafts: &[Draft<'n>], findings: &mut Findings) -> Self {
        let mut ids = BTreeMap::new();
        let mut repeated: Vec<(&str, Spot)> = Vec::new();
        let mut told = BTreeSet::new();
        for (index, draft) in drafts.iter().enumerate() {
            if ids.contains_key(draft.id) {
                if told.insert(draft.id) {
                    repeated.push((draft.id, draft.id_spot));
                }
            } else {
                ids.insert(draft.id, index);
            }
        }
        if let Some((_, spot)) = repeated.first() {
            let list: Vec<&str> = repeated.iter().map(|(id, _)| *id).collect();
            let message = format!("Duplicate node IDs: {}", list.join(", "));
            findings
                .error(ErrorCode::DefinitionDuplicateNode, *spot, message)
                .help("give each node of a job an id of its own; this is the second one");
        }
        let none = vec![Vec::new(); drafts.len()];
        Self { ids, seen: BTreeSet::new(), before: none.clone(), after: none }
    }

    fn depends_on(&mut self, index: usize, draft: &Draft<'n>, findings: &mut Findings) {
        let Some(field) = &draft.depends_on else { return };
        for item in field.list(findings).unwrap_or_default() {
            let Some(id) = item.plain() else {
                Field { node: item, ..*field }.mistyped("a list of node ids", findings);
                continue;
            };
            if let Some(upstream) = self.ids.get(id) {
                self.add(*upstream, index);
                continue;
            }
            let message = format!("Node '{}' depends on '{id}', which is no node", draft.id);
            findings
                .error(ErrorCode::DefinitionReference, item.spot, message)
                .help_with(|| self.meant(id));
        }
    }

    fn edges(&mut self, field: &Field<'n>, findings: &mut Findings) {
        let Value::List(edges) = &field.node.value else {
            findings
                .error(ErrorCode::DefinitionValue, field.node.spot, "edges must be a list")
                .help("write them like `[{\"from\": \"extract\", \"to\": \"load\"}]`");
            return;
        };
        for (index, edge) in edges.iter().enumerate() {
            match (self.end(edge, "from"), self.end(edge, "to")) {
                (Some(from), Some(to)) => self.add(from, to),
                (from, _) => {
                    let key = if from.is_none() { "from" } else { "to" };
                    let spot = edge.entry(key).map_or(edge.spot, |entry| entry.value.spot);
                    let message = "All edges must have valid 'from' and 'to' node IDs";
                    findings
                        .error(ErrorCode::DefinitionReference, spot, message)
                        .help_with(|| self.edge_problem(index + 1, edge, key));
                }
            }
            refuse_conditions(edge, findings);
        }
    }

    /// The node that `edge` names under `key`.
    fn end(&self, edge: &Node, key: &str) -> Option<usize> {
        self.ids.get(edge.entry(key)?.value.plain()?).copied()
    }

    fn edge_problem(&self, number: usize, edge: &Node, key: &str) -> String {
        let Some(value) = edge.entry(key).map(|entry| &entry.value) else {
            return format!("edge {number} has no `{key}`");
        };
        let Some(id) = value.plain() else {
            return format!("edge {number}: `{key}` must be text, not {}", value.shape());
        };
        let meant = self.meant(id);
        format!("edge {number}: `{key}` is `{id}`, which is no node; {meant}")
    }

    fn meant(&self, id: &str) -> String {
        match nearest(id, self.ids.keys().copied().take(COMPARED_MAX)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name the `id` of a node of this job".to_owned(),
        }
    }

    fn add(&mut self, from: usize, to: usize) {
        if !self.seen.insert((from, to)) {
            return;
        }
        if let Some(list) = self.before.get_mut(to) {
            list.push(from);
        }
        if let Some(list) = self.after.get_mut(from) {
            list.push(to);
        }
    }

    /// Reports templates that read results of steps which the node does not depend on, or a
    /// partition.
    fn reads(&self, index: usize, draft: &Draft<'n>, findings: &mut Findings) {
        let before: BTreeSet<usize> =
            self.before.get(index).into_iter().flatten().copied().collect();
        draft.node.for_each_text(&mut |spot, text| {
            for (name, field) in template::needed_in(text) {
                let Some(field) = field else { continue };
                let id = match name.as_str() {
                    "upstream" => field,
                    "partition" => {
                        refuse_partition(draft.id, &field, spot, findings);
                        continue;
                    }
                    _ => continue,
                };
                let found = self.ids.get(id.as_str());
                if found.is_some_and(|upstream| before.contains(upstream)) {
                    continue;
                }
                let message = format!(
                    "Node `{}` reads `upstream.{id}`, which it does not depend on",
                    draft.id
                );
                findings.error(ErrorCode::DefinitionReference, spot, message).help_with(|| {
                    match found {
                        Some(_) => format!("add `{id}` to its `depends_on`"),
                        None => self.meant(&id),
                    }
                });
            }
        });
    }

    fn report_circles(&self, drafts: &[Draft<'n>], findings: &mut Findings) {
        for circle in graph::circles(&self.after) {
            let nodes: Vec<&Draft<'n>> =
                circle.iter().filter_map(|index| drafts.get(*index)).collect();
            let names: Vec<&str> = nodes.iter().map(|draft| draft.id).collect();
            let spot = nodes.first().map_or(Spot::FILE, |draft| draft.id_spot);
            let message = "DAG contains a cycle (circular dependency)";
            findings
                .error(ErrorCode::DefinitionCycle, spot, message)
                .help(format!("the circle is {}", graph::path_text(&names)));
        }
    }

    fn ops(&self, drafts: Vec<Draft<'n>>) -> Vec<OpDef> {
        let keys: Vec<Option<StepKey>> =
            drafts.iter().map(|draft| draft.op.as_ref().map(|op| op.id.clone())).collect();
        let key_of = |index: &usize| keys.get(*index).cloned().flatten();
        let depends_on = |before: &Vec<usize>| before.iter().filter_map(key_of).collect();
        drafts
            .into_iter()
            .zip(&self.before)
            .filter_map(|(draft, before)| {
                Some(OpDef { depends_on: depends_on(before), ..draft.op? })
            })
            .collect()
    }
}

/// Reports a node that reads a field of its partition.
fn refuse_partition(id: &str, field: &str, spot: Spot, findings: &mut Findings) {
    let message = format!("Node `{id}` reads `partition.{field}`, and only assets have partitions");
    findings.error(ErrorCode::DefinitionTemplate, spot, message).help(format!(
        "make it an asset; what a run is started with is `trigger.partition.{field}`"
    ));
}

/// Reports keys of an edge that are not known, and a type that would make it conditional.
fn refuse_conditions(edge: &Node, findings: &mut Findings) {
    let Value::Map(_) = &edge.value else { return };
    let Some(fields) = Fields::open(edge, "edge", EDGE.keys, findings) else { return };
    let Some(kind) = fields.get("type") else { return };
    if kind.str(findings).is_some_and(|kind| kind != "success") {
        findings
            .error(
                ErrorCode::DefinitionValue,
                kind.node.spot,
                "An edge's `type` can only be `success`",
            )
            .help("a step starts when all steps before it succeeded; leave `type` out");
    }
}
