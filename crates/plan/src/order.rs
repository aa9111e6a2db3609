//! The order of steps: everything after what it depends on, otherwise as it was written.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use millstream_model::{StepKey, StepPlan};

use crate::PlanError;

/// Sorts `steps` so that each comes after all it depends on; of those that could come next, the
/// one that was written first does. Takes time in proportion to steps and dependencies.
pub(crate) fn topological(steps: Vec<StepPlan>) -> Result<Vec<StepPlan>, PlanError> {
    let places: HashMap<StepKey, usize> =
        steps.iter().enumerate().map(|(place, step)| (step.key.clone(), place)).collect();
    let mut downstream: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    let mut missing: Vec<usize> = Vec::with_capacity(steps.len());
    for (place, step) in steps.iter().enumerate() {
        for needs in &step.depends_on {
            let upstream = places.get(needs).and_then(|needs| downstream.get_mut(*needs));
            let Some(upstream) = upstream else {
                return Err(PlanError::DependencyUnknown {
                    step: step.key.clone(),
                    needs: needs.clone(),
                });
            };
            upstream.push(place);
        }
        missing.push(step.depends_on.len());
    }

    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..steps.len()).filter(|place| missing.get(*place) == Some(&0)).map(Reverse).collect();
    let mut slots: Vec<Option<StepPlan>> = steps.into_iter().map(Some).collect();
    let mut sorted = Vec::with_capacity(slots.len());
    while let Some(Reverse(place)) = ready.pop() {
        sorted.extend(slots.get_mut(place).and_then(Option::take));
        for next in downstream.get(place).into_iter().flatten() {
            if let Some(count) = missing.get_mut(*next) {
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse(*next));
                }
            }
        }
    }

    let stuck: Vec<StepKey> = slots.into_iter().flatten().map(|step| step.key).collect();
    if stuck.is_empty() { Ok(sorted) } else { Err(PlanError::Cycle { steps: stuck }) }
}
