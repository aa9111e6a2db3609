//! What a step may see: the document in `MILLSTREAM_CONTEXT`, its variables and its templates.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use millstream_model::seen::RunOfStep;
use millstream_model::worker_api::Assignment;
use millstream_model::{AssetStep, StepConfig, StepError, StepPlan, variable_name};
use serde_json::{Map, Value, json};

use super::attempt::Attempt;
use super::template::{Sight, Templates};

/// The context of one attempt.
#[derive(Debug, Clone)]
pub(super) struct Context {
    json: Map<String, Value>,
    variables: BTreeMap<String, String>,
    declared_env: BTreeMap<String, String>,
    module: Option<String>,
}

impl Context {
    /// The context of `attempt`, whose direct upstream steps returned `results`.
    pub(super) fn new(attempt: &Attempt<'_>, results: BTreeMap<String, Value>) -> Self {
        Self {
            json: document(attempt, results),
            variables: variables(attempt),
            declared_env: attempt.worker.settings.declared_env.clone(),
            module: None,
        }
    }

    /// Resolves the templates in what the handler is configured with.
    pub(super) fn fill_config(&mut self) -> Result<(), StepError> {
        let config = self.json.get("config").unwrap_or(&Value::Null);
        let filled = self.templates().render_json(config)?;
        self.json.insert("config".to_owned(), filled);
        Ok(())
    }

    /// Lets templates see the handler's `module` and `name`, its last part.
    pub(super) fn name_module(&mut self, module: &str) {
        self.module = Some(module.to_owned());
    }

    /// Says where the inputs of the step's asset are.
    pub(super) fn add_inputs(&mut self, inputs: Map<String, Value>) {
        self.json.insert("inputs".to_owned(), Value::Object(inputs));
    }

    /// Says what the function is called with beside all this.
    pub(super) fn add_params(&mut self, params: Map<String, Value>) {
        self.json.insert("params".to_owned(), Value::Object(params));
    }

    /// The document.
    pub(super) fn json(&self) -> &Map<String, Value> {
        &self.json
    }

    /// The document, taken.
    pub(super) fn into_json(self) -> Map<String, Value> {
        self.json
    }

    /// The `MILLSTREAM_…` variables that say what the document says.
    pub(super) fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The templates' view of all this.
    pub(super) fn templates(&self) -> Templates<'_> {
        Templates::new(Sight {
            json: Cow::Borrowed(&self.json),
            declared_env: Cow::Borrowed(&self.declared_env),
            module: self.module.as_deref().map(Cow::Borrowed),
        })
    }

    /// The same for as long as they are needed.
    pub(super) fn into_templates(self) -> Templates<'static> {
        Templates::new(Sight {
            json: Cow::Owned(self.json),
            declared_env: Cow::Owned(self.declared_env),
            module: self.module.map(Cow::Owned),
        })
    }
}

/// What all steps of a run see alike, which is put together once.
#[derive(Debug, Default)]
pub(crate) struct RunContext(OnceLock<Map<String, Value>>);

impl RunContext {
    fn of(&self, assignment: &Assignment) -> &Map<String, Value> {
        self.0.get_or_init(|| {
            let plan = &assignment.plan;
            let document = json!({
                "run": RunOfStep {
                    id: assignment.run,
                    short: assignment.run.short(),
                    job: plan.job.as_ref(),
                    location: &plan.location,
                    queued_at: assignment.queued_at,
                    tags: &plan.tags,
                },
                "tenant": plan.tenant_def.seen(&plan.tenant),
                "partition": plan.partition,
                "dimensions": plan.dimensions,
                "trigger": assignment.context,
            });
            match document {
                Value::Object(document) => document,
                _ => Map::new(),
            }
        })
    }
}

fn document(attempt: &Attempt<'_>, results: BTreeMap<String, Value>) -> Map<String, Value> {
    let StepPlan { key, step, asset, .. } = attempt.step;
    let config = match step {
        StepConfig::Local(local) => local.config.clone(),
        _ => Map::new(),
    };
    let mut document = attempt.run_context.of(attempt.assignment).clone();
    let asset = asset.as_ref().map(|asset| json!(asset.key));
    document.extend([
        ("config".to_owned(), Value::Object(config)),
        ("step".to_owned(), key.as_str().into()),
        ("attempt".to_owned(), attempt.number.into()),
        ("asset".to_owned(), asset.unwrap_or_default()),
        // Moved in, not copied: results may be large.
        ("upstream_results".to_owned(), Value::Object(results.into_iter().collect())),
    ]);
    document
}

fn variables(attempt: &Attempt<'_>) -> BTreeMap<String, String> {
    let assignment = attempt.assignment;
    let plan = &assignment.plan;
    let mut variables = BTreeMap::from([
        ("MILLSTREAM_RUN_ID".to_owned(), assignment.run.to_string()),
        ("MILLSTREAM_STEP".to_owned(), attempt.step.key.to_string()),
        ("MILLSTREAM_ATTEMPT".to_owned(), attempt.number.to_string()),
        ("MILLSTREAM_TENANT".to_owned(), plan.tenant.to_string()),
    ]);
    if let Some(job) = &plan.job {
        variables.insert("MILLSTREAM_JOB".to_owned(), job.to_string());
    }
    if let Some(AssetStep { key, .. }) = &attempt.step.asset {
        variables.insert("MILLSTREAM_ASSET".to_owned(), key.to_string());
    }
    if let Some(partition) = &plan.partition {
        variables.insert("MILLSTREAM_PARTITION_KEY".to_owned(), partition.to_string());
        for (dimension, value) in &plan.dimensions {
            variables.insert(variable_name("MILLSTREAM_PARTITION_", dimension), value.clone());
        }
    }
    variables
}
