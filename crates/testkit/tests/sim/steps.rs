//! Steps without processes: how long each attempt takes and how it ends follows from the seed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_model::{ErrorCode, RunId, StepError, StepKey};
use millstream_plan::progress::AttemptEnd;
use millstream_testkit::chance::Chance;
use millstream_worker::{AttemptDone, AttemptOrder, StepRunner};

use crate::executor::Machines;

/// What attempts have done to the world, whatever became of their workers.
#[derive(Clone, Default)]
pub(crate) struct Effects(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    begun: BTreeSet<(RunId, StepKey, u32)>,
    twice: Option<String>,
}

impl Effects {
    fn begin(&self, run: RunId, step: &StepKey, attempt: u32) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.begun.insert((run, step.clone(), attempt)) {
            seen.twice = Some(format!("attempt {attempt} at step {step} of {run} began twice"));
        }
    }

    /// An attempt that began twice, if any did.
    pub(crate) fn broken(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).twice.clone()
    }
}

/// The steps of one simulation.
pub(crate) struct SimulatedSteps {
    pub(crate) machines: Machines,
    pub(crate) effects: Effects,
    pub(crate) seed: u64,
}

/// What lies in an attempt.
struct Fate {
    takes: Duration,
    end: AttemptEnd,
    heeds_stop: bool,
}

impl SimulatedSteps {
    fn fate(&self, order: &AttemptOrder<'_>) -> Fate {
        let name = format!("{}/{}/{}", order.assignment.run, order.step.key, order.number);
        let start = name
            .bytes()
            .fold(self.seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut chance = Chance::new(start);
        let error = |message: &str| StepError {
            code: ErrorCode::StepExit,
            message: message.to_owned(),
            detail: None,
        };
        let longest = if chance.happens(1, 8) { 40_000 } else { 2_000 };
        let takes = Duration::from_millis(chance.below(longest));
        let end = match chance.below(100) {
            0..15 => AttemptEnd::Failed(error("exit 1")),
            15..18 => AttemptEnd::FailedForGood(error("no such file")),
            18..25 => AttemptEnd::Skipped { reason: "nothing new".to_owned() },
            number => {
                AttemptEnd::Succeeded { took: takes, result: number.into(), result_ref: None }
            }
        };
        Fate { takes, end, heeds_stop: chance.happens(3, 4) }
    }

    async fn execute(&self, mut order: AttemptOrder<'_>) -> AttemptDone {
        let step = order.step.key.clone();
        order.taken.wait().await;
        self.effects.begin(order.assignment.run, &step, order.number);
        let fate = self.fate(&order);
        let work = self.machines.sleep(fate.takes);
        let end = tokio::select! {
            biased;
            _ = order.stop.wait_for(|stop| *stop), if fate.heeds_stop => AttemptEnd::Canceled,
            () = work => fate.end,
        };
        AttemptDone { step, end, materialized: None, usage: None }
    }
}

impl StepRunner for SimulatedSteps {
    fn execute<'a>(&'a self, order: AttemptOrder<'a>) -> BoxFuture<'a, AttemptDone> {
        self.execute(order).boxed()
    }
}
