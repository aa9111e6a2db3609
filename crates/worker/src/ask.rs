//! A question: one step that is no run's, whose result is the answer.
//!
//! A daemon asks sensors' own code, queries and services this way. What runs, with which limits and
//! in which processes, is as for a step of a run; what it leaves behind is removed.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use millstream_blob::{LogKey, LogStream};
use millstream_model::worker_api::Assignment;
use millstream_model::{ErrorCode, StepConfig, StepError, StepPlan};
use millstream_plan::progress::AttemptEnd;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::run::results::{StepResult, load};
use crate::step::{AttemptOrder, RunScratch, RunSteps, Taken};
use crate::{Seams, StepRunner as _, Worker};

/// The most output that is read as an answer.
const ANSWER_MAX: u64 = 8 << 20;

/// Reports of a question, which nobody hears, that may wait.
const REPORTS: usize = 16;

/// What a question came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// The answer.
    Answer(Value),
    /// There is nothing to do, and why.
    Skipped(String),
}

impl Worker {
    /// Asks the one step of `question`.
    ///
    /// A program that leaves no result file has answered with what it printed, if that is JSON.
    /// Dropping the future kills its processes.
    pub fn ask<'a>(
        &'a self,
        question: &'a Assignment,
        seams: &'a Seams,
    ) -> BoxFuture<'a, Result<Asked, StepError>> {
        Box::pin(async move {
            let Some(asked) = question.plan.steps.first() else {
                return Err(failed("the question has no step".to_owned()));
            };
            let _pinned = self.python.pinned(question.run, question.epoch);
            let scratch = Arc::new(RunScratch::at(self.settings.run_scratch(question)));
            let steps = RunSteps { worker: Arc::new(self.clone()), scratch };
            let (_nobody, stop) = watch::channel(false);
            let (events, mut reports) = mpsc::channel(REPORTS);
            let order = AttemptOrder {
                assignment: &Arc::new(question.clone()),
                step: asked,
                number: 1,
                taken: Taken::already(),
                stop,
                seams,
                place: 0,
                upstream: Vec::new(),
                events,
            };
            let drained = async { while reports.recv().await.is_some() {} };
            let (done, ()) = tokio::join!(steps.execute(order), drained);
            let answer = self.answer(question, asked, done.end).await;
            if let Err(error) = self.blobs.remove_run(&question.tenant, question.run).await {
                tracing::warn!(%error, "what a question left behind stays");
            }
            answer
        })
    }

    async fn answer(
        &self,
        question: &Assignment,
        step: &StepPlan,
        end: AttemptEnd,
    ) -> Result<Asked, StepError> {
        let (result, result_ref) = match end {
            AttemptEnd::Succeeded { result, result_ref, .. } => (result, result_ref),
            AttemptEnd::Skipped { reason } => return Ok(Asked::Skipped(reason)),
            AttemptEnd::Failed(error)
            | AttemptEnd::FailedFor(error, _)
            | AttemptEnd::FailedForGood(error) => return Err(error),
            AttemptEnd::Canceled => return Err(failed("the question was stopped".to_owned())),
        };
        let result = match result_ref {
            Some(reference) => StepResult::Stored(reference),
            None => StepResult::Inline(Arc::new(result)),
        };
        let mut values =
            load(&self.blobs, vec![(step.key.clone(), result)]).await.map_err(failed)?;
        let value = values.remove(step.key.as_str()).unwrap_or(Value::Null);
        if value.is_null() && matches!(step.step, StepConfig::Command(_)) {
            return self.printed(question, step).await.map(Asked::Answer);
        }
        Ok(Asked::Answer(value))
    }

    /// What the program printed.
    async fn printed(&self, question: &Assignment, step: &StepPlan) -> Result<Value, StepError> {
        let key = LogKey {
            tenant: question.tenant.clone(),
            run: question.run,
            step: step.key.clone(),
            attempt: 1,
            stream: LogStream::Out,
        };
        let mut bytes = Vec::new();
        loop {
            let at = bytes.len() as u64;
            let part = self.blobs.read_log(&key, at, ANSWER_MAX).await;
            let part = part.map_err(|error| failed(format!("the answer: {error}")))?;
            if part.size > ANSWER_MAX {
                return Err(failed("the answer is longer than 8 MiB".to_owned()));
            }
            if part.bytes.is_empty() {
                break;
            }
            bytes.extend(part.bytes);
        }
        if bytes.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            let shown: String = String::from_utf8_lossy(&bytes).chars().take(200).collect();
            let message =
                format!("what the program printed is not one JSON value ({error}): {shown:?}");
            StepError { code: ErrorCode::SensorAnswer, message, detail: None }
        })
    }
}

fn failed(message: String) -> StepError {
    StepError { code: ErrorCode::SensorAsk, message, detail: None }
}
