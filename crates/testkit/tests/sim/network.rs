//! The way between a worker and a server: messages are lost, late or delivered twice.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_control::Control;
use millstream_daemon::DirectControlPlane;
use millstream_model::worker_api::{Assignment, Report, ReportAnswer, SlotAnswer, SlotAsk};
use millstream_model::{RunId, TenantId};
use millstream_testkit::chance::Chance;
use millstream_worker::{ControlPlane, ReportError};
use tokio::sync::oneshot;

use crate::executor::{Machines, ProcessId, Sleep};
use crate::faults::{Faults, strikes};

/// How long a worker waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The servers that live.
#[derive(Clone, Default)]
pub(crate) struct Servers(Arc<Mutex<Vec<(ProcessId, Control)>>>);

impl Servers {
    pub(crate) fn add(&self, process: ProcessId, control: Control) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((process, control));
    }

    /// The servers that live, in the order of their start.
    pub(crate) fn alive(&self, machines: &Machines) -> Vec<(ProcessId, Control)> {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|(process, _)| machines.is_alive(*process));
        servers.clone()
    }
}

/// The control plane as one worker reaches it.
pub(crate) struct Network {
    pub(crate) machines: Machines,
    pub(crate) servers: Servers,
    pub(crate) faults: Faults,
    pub(crate) chance: Mutex<Chance>,
}

impl Network {
    fn strikes(&self, rate: u64) -> bool {
        strikes(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner), rate)
    }

    fn below(&self, end: u64) -> u64 {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner).below(end)
    }

    fn travel(&self, longest_millis: u64) -> Sleep {
        self.machines.sleep(Duration::from_millis(self.below(longest_millis)))
    }

    /// Has some server answer.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(DirectControlPlane) -> BoxFuture<'static, Result<T, ReportError>>,
    ) -> Result<T, ReportError> {
        let unavailable = |reason: &str| ReportError::Unavailable { reason: reason.to_owned() };
        let rates = self.faults.rates();
        self.travel(3).await;
        if self.strikes(rates.message_lost) {
            self.machines.sleep(TIMEOUT).await;
            return Err(unavailable("the request was lost"));
        }
        let alive = self.servers.alive(&self.machines);
        let place = self.below(alive.len() as u64);
        let Some((process, control)) = alive.get(usize::try_from(place).unwrap()) else {
            return Err(unavailable("no server answers"));
        };
        let server = DirectControlPlane::new(control.clone());
        if self.strikes(rates.message_twice) {
            let (again, late) = (question(server.clone()), self.travel(30_000));
            self.machines.spawn(*process, async move {
                late.await;
                // Nobody waits for the second answer.
                again.await.ok();
            });
        }
        let (answer, answered) = oneshot::channel();
        let work = question(server);
        self.machines.spawn(*process, async move {
            // A worker that died does not hear it.
            answer.send(work.await).ok();
        });
        let answer = tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| unavailable("the server died"))?,
            () = self.machines.sleep(TIMEOUT) => return Err(unavailable("no answer came")),
        };
        if matches!(answer, Err(ReportError::Stale)) {
            self.faults.count_refused();
        }
        self.travel(3).await;
        if self.strikes(rates.message_lost) {
            return Err(unavailable("the answer was lost"));
        }
        answer
    }
}

impl ControlPlane for Network {
    fn assignment<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        epoch: i64,
    ) -> BoxFuture<'a, Result<Assignment, ReportError>> {
        self.ask(move |server| {
            let tenant = tenant.clone();
            async move { server.assignment(&tenant, run, epoch).await }.boxed()
        })
        .boxed()
    }

    fn report<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        report: Report,
    ) -> BoxFuture<'a, Result<ReportAnswer, ReportError>> {
        self.ask(move |server| {
            let (tenant, report) = (tenant.clone(), report.clone());
            async move { server.report(&tenant, run, report).await }.boxed()
        })
        .boxed()
    }

    fn beat<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        epoch: i64,
    ) -> BoxFuture<'a, Result<ReportAnswer, ReportError>> {
        self.ask(move |server| {
            let tenant = tenant.clone();
            async move { server.beat(&tenant, run, epoch).await }.boxed()
        })
        .boxed()
    }

    fn slots<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        ask: SlotAsk,
    ) -> BoxFuture<'a, Result<SlotAnswer, ReportError>> {
        // Real timers are none of the simulation's: the worker asks again.
        let ask = SlotAsk { wait_millis: 0, ..ask };
        self.ask(move |server| {
            let (tenant, ask) = (tenant.clone(), ask.clone());
            async move { server.slots(&tenant, run, ask).await }.boxed()
        })
        .boxed()
    }
}
