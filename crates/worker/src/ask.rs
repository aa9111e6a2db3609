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
use crate::step::{AttemptOrder, RunSteps, Taken};
use crate::{Seams, StepRunner as _, Worker};

/// The most output that is read as an answer.
const ANSWER_MAX: u64 = 8 << 20;

/// The bytes at the end of each output of a question that are told.
const SAID_MAX: u64 = 4 << 10;

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

/// What a question came to, and what was written meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The answer, or why there is none.
    pub came: Result<Asked, StepError>,
    /// The end of what its program wrote, save for what a program prints as its answer.
    pub said: String,
}

impl Answered {
    fn failed(message: String) -> Self {
        Self { came: Err(failed(message)), said: String::new() }
    }
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
    ) -> BoxFuture<'a, Answered> {
        Box::pin(async move {
            let Some(asked) = question.plan.steps.first() else {
                return Answered::failed("the question has no step".to_owned());
            };
            let _pinned = self.python.pinned(question.run, question.epoch);
            let steps = RunSteps::new(self, self.settings.run_scratch(question));
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
            let came = self.answer(question, asked, done.end).await;
            let said = self.said(question, asked).await;
            if let Err(error) = self.blobs.remove_run(&question.tenant, question.run).await {
                tracing::warn!(%error, "what a question left behind stays");
            }
            Answered { came, said }
        })
    }

    /// The end of what the program wrote: what a command prints may be its answer, and is left out.
    async fn said(&self, question: &Assignment, step: &StepPlan) -> String {
        let streams: &[LogStream] = match &step.step {
            StepConfig::Command(_) => &[LogStream::Err],
            StepConfig::Python(_) | StepConfig::Local(_) => &[LogStream::Out, LogStream::Err],
            _ => &[],
        };
        let mut said = String::new();
        for stream in streams {
            let key = log_key(question, step, *stream);
            let end = async {
                let size = self.blobs.read_log(&key, u64::MAX, 0).await?.size;
                self.blobs.read_log(&key, size.saturating_sub(SAID_MAX), SAID_MAX).await
            };
            match end.await {
                Ok(part) => said.push_str(&String::from_utf8_lossy(&part.bytes)),
                Err(error) => tracing::warn!(%error, "what a question wrote cannot be read"),
            }
        }
        said.trim_end().to_owned()
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
        let key = log_key(question, step, LogStream::Out);
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

fn log_key(question: &Assignment, step: &StepPlan, stream: LogStream) -> LogKey {
    let (tenant, step) = (question.tenant.clone(), step.key.clone());
    LogKey { tenant, run: question.run, step, attempt: 1, stream }
}

fn failed(message: String) -> StepError {
    StepError { code: ErrorCode::SensorAsk, message, detail: None }
}
