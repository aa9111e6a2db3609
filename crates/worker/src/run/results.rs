//! What steps returned, kept while a step that depends on them can still ask.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millstream_blob::Blobs;
use millstream_model::worker_api::StepProgress;
use millstream_model::{RunPlan, StepKey, StepStatus};
use serde_json::Value;

/// The result of a step: the value, which all who ask share, or where a large one is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StepResult {
    Inline(Arc<Value>),
    Stored(String),
}

/// The results that are still needed.
#[derive(Debug)]
pub(super) struct Results {
    kept: HashMap<StepKey, StepResult>,
    /// How many steps that depend on a step are not over yet.
    askers: HashMap<StepKey, usize>,
}

impl Results {
    /// What earlier workers of the run left.
    pub(super) fn new(plan: &RunPlan, earlier: Vec<StepProgress>) -> Self {
        let mut askers: HashMap<StepKey, usize> = HashMap::new();
        for upstream in plan.steps.iter().flat_map(|step| &step.depends_on) {
            *askers.entry(upstream.clone()).or_default() += 1;
        }
        let mut results = Self { kept: HashMap::new(), askers };
        for step in earlier.into_iter().filter(|step| step.status == StepStatus::Success) {
            let result = match step.result_ref {
                Some(reference) => StepResult::Stored(reference),
                None => StepResult::Inline(Arc::new(step.result)),
            };
            results.keep(&step.step, result);
        }
        results
    }

    /// Keeps what `step` returned, if anybody may ask for it.
    pub(super) fn keep(&mut self, step: &StepKey, result: StepResult) {
        if self.askers.get(step).is_some_and(|askers| *askers > 0) {
            self.kept.insert(step.clone(), result);
        }
    }

    /// A step with these upstream steps is over and will not ask again.
    pub(super) fn release(&mut self, upstream: &[StepKey]) {
        for step in upstream {
            if let Some(askers) = self.askers.get_mut(step) {
                *askers = askers.saturating_sub(1);
                if *askers == 0 {
                    self.kept.remove(step);
                }
            }
        }
    }

    /// The results of `upstream`, for a step that depends on them.
    pub(super) fn of(&self, upstream: &[StepKey]) -> Vec<(StepKey, StepResult)> {
        upstream
            .iter()
            .filter_map(|step| Some((step.clone(), self.kept.get(step)?.clone())))
            .collect()
    }
}

/// The values behind `results`; the error says which could not be read.
pub(crate) async fn load(
    blobs: &Blobs,
    results: Vec<(StepKey, StepResult)>,
) -> Result<BTreeMap<String, Value>, String> {
    let mut values = BTreeMap::new();
    for (step, result) in results {
        let value = match result {
            StepResult::Inline(value) => Arc::unwrap_or_clone(value),
            StepResult::Stored(reference) => read(blobs, &reference)
                .await
                .map_err(|problem| format!("the result of step `{step}` {problem}"))?,
        };
        values.insert(step.into(), value);
    }
    Ok(values)
}

async fn read(blobs: &Blobs, reference: &str) -> Result<Value, String> {
    let bytes = blobs.read_result(reference).await.map_err(|error| {
        tracing::warn!(reference, %error, "a stored result cannot be read");
        format!("cannot be read: {error}")
    })?;
    let bytes = bytes.ok_or_else(|| "has been deleted; run that step again".to_owned())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_a_result_shares_it() {
        let step: StepKey = "a".parse().unwrap();
        let askers = HashMap::from([(step.clone(), 2)]);
        let mut results = Results { kept: HashMap::new(), askers };
        let value = Arc::new(Value::from("long"));
        results.keep(&step, StepResult::Inline(Arc::clone(&value)));
        for _ in 0..2 {
            let asked = results.of(std::slice::from_ref(&step));
            let [(_, StepResult::Inline(shared))] = asked.as_slice() else { panic!("{asked:?}") };
            assert!(Arc::ptr_eq(shared, &value));
        }
    }
}
