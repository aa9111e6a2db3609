//! What goes wrong, how often, and when: drawn once for each simulation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_store::testing::{Call, Interposer};
use millstream_store::{Batch, Sql, Store, StoreError};
use millstream_testkit::chance::Chance;

use crate::executor::{Machines, ProcessId};

/// How many in ten thousand cases each fault happens in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// A process dies at a call of the store, before it or after.
    pub(crate) death_at_call: u64,
    /// A call of the store fails and does nothing.
    pub(crate) call_fails: u64,
    /// A batch is stored and its answer lost.
    pub(crate) answer_lost: u64,
    /// A call of the store takes long.
    pub(crate) call_slow: u64,
    /// A message between worker and server is lost, one way or the other.
    pub(crate) message_lost: u64,
    /// A message is delivered twice, the second time late.
    pub(crate) message_twice: u64,
    /// A launch fails.
    pub(crate) launch_fails: u64,
    /// A launch succeeds and its answer is lost.
    pub(crate) launch_answer_lost: u64,
    /// At a step of the simulation, some process is killed.
    pub(crate) kill: u64,
    /// At a step, some process is stopped for a while.
    pub(crate) pause: u64,
    /// At a step, a clock jumps by up to an hour either way.
    pub(crate) jump: u64,
    /// At a step, the database is gone for a while.
    pub(crate) outage: u64,
    /// At a step, somebody cancels a run.
    pub(crate) cancel: u64,
    /// A process is stopped for a while at a call of the store, before it or after.
    pub(crate) pause_at_call: u64,
    /// At a step, two people retry the same run at once.
    pub(crate) retry: u64,
}

impl Rates {
    /// Nothing goes wrong.
    pub(crate) const NONE: Self = Self {
        death_at_call: 0,
        call_fails: 0,
        answer_lost: 0,
        call_slow: 0,
        message_lost: 0,
        message_twice: 0,
        launch_fails: 0,
        launch_answer_lost: 0,
        kill: 0,
        pause: 0,
        jump: 0,
        outage: 0,
        cancel: 0,
        pause_at_call: 0,
        retry: 0,
    };

    /// Each fault with even odds of being there at all: many small mixtures find more than one
    /// large one.
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let mut rate = |most: u64| if chance.happens(1, 2) { chance.below(most) } else { 0 };
        Self {
            death_at_call: rate(60),
            call_fails: rate(400),
            answer_lost: rate(400),
            call_slow: rate(600),
            message_lost: rate(1_500),
            message_twice: rate(1_500),
            launch_fails: rate(2_500),
            launch_answer_lost: rate(2_500),
            kill: rate(60),
            pause: rate(200),
            jump: rate(60),
            outage: rate(15),
            cancel: rate(60),
            pause_at_call: rate(60),
            retry: rate(60),
        }
    }

    /// Processes stop for a while, mostly for longer than others wait for them, and nothing else
    /// happens.
    pub(crate) fn stopping() -> Self {
        Self { pause: 300, pause_at_call: 60, ..Self::NONE }
    }

    /// Clocks are set, and runs canceled, whose steps need not heed it; nobody stands still.
    pub(crate) fn setting_clocks() -> Self {
        Self { jump: 300, cancel: 100, ..Self::NONE }
    }

    /// Processes are killed, and nothing else happens.
    pub(crate) fn killing() -> Self {
        Self { kill: 150, ..Self::NONE }
    }
}

/// The faults of one simulation, for whoever asks whether one happens now.
#[derive(Clone)]
pub(crate) struct Faults {
    shared: Arc<Shared>,
}

struct Shared {
    rates: Rates,
    healed: AtomicBool,
    outage_until: Mutex<Duration>,
    mistakes: &'static [&'static Sql],
    /// Words of replaced workers that were refused.
    refused: AtomicU64,
}

impl Faults {
    pub(crate) fn new(rates: Rates, mistakes: &'static [&'static Sql]) -> Self {
        let shared = Shared {
            rates,
            healed: AtomicBool::new(false),
            outage_until: Mutex::new(Duration::ZERO),
            mistakes,
            refused: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The rates that hold now: none once the simulation has healed.
    pub(crate) fn rates(&self) -> Rates {
        if self.shared.healed.load(Ordering::Relaxed) { Rates::NONE } else { self.shared.rates }
    }

    /// `store` as those have it to whom nothing happens, with the planted mistakes.
    pub(crate) fn planted_in(&self, store: &Store) -> Store {
        store.interposed(Arc::new(Planted(self.clone())))
    }

    fn plant(&self, batch: &mut Batch) {
        self.shared.mistakes.iter().for_each(|mistake| batch.plant(mistake));
    }

    /// A worker was told that another one has its run.
    pub(crate) fn count_refused(&self) {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a worker was told so.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.shared.healed.store(true, Ordering::Relaxed);
        self.start_outage(Duration::ZERO);
    }

    /// The database answers nobody until then.
    pub(crate) fn start_outage(&self, until: Duration) {
        *self.shared.outage_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn is_outage(&self, now: Duration) -> bool {
        now < *self.shared.outage_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True in `rate` of ten thousand cases.
pub(crate) fn strikes(chance: &mut Chance, rate: u64) -> bool {
    rate > 0 && chance.happens(rate, 10_000)
}

/// The way of one process to the database.
pub(crate) struct FaultyDatabase {
    pub(crate) machines: Machines,
    pub(crate) process: ProcessId,
    pub(crate) faults: Faults,
    pub(crate) chance: Mutex<Chance>,
}

impl FaultyDatabase {
    fn strikes(&self, rate: u64) -> bool {
        strikes(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner), rate)
    }

    fn below(&self, end: u64) -> u64 {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner).below(end)
    }

    /// A way through the network, on which the process may die.
    async fn travel(&self) -> Result<(), StoreError> {
        let rates = self.faults.rates();
        if self.strikes(rates.death_at_call) {
            self.machines.kill(self.process);
            std::future::pending::<()>().await;
        }
        if self.strikes(rates.pause_at_call) {
            self.machines.pause(self.process, Duration::from_millis(self.below(90_000)));
            // It goes on here when the pause is over.
            self.machines.sleep(Duration::ZERO).await;
        }
        let millis = if self.strikes(rates.call_slow) { 4_000 } else { 4 };
        let wait = self.below(millis);
        if wait > 0 {
            self.machines.sleep(Duration::from_millis(wait)).await;
        }
        if self.faults.is_outage(self.machines.elapsed()) {
            return Err(StoreError::Unavailable("it is gone for a while".to_owned()));
        }
        Ok(())
    }

    async fn before(&self, call: Call<'_>) -> Result<(), StoreError> {
        self.travel().await?;
        if self.strikes(self.faults.rates().call_fails) {
            return Err(StoreError::Unavailable("the call did not arrive".to_owned()));
        }
        if let Call::Apply(batch) = call {
            self.faults.plant(batch);
        }
        Ok(())
    }

    async fn after(&self) -> Result<(), StoreError> {
        self.travel().await?;
        if self.strikes(self.faults.rates().answer_lost) {
            return Err(StoreError::Unavailable("the answer was lost".to_owned()));
        }
        Ok(())
    }
}

impl Interposer for FaultyDatabase {
    fn before<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        self.before(call).boxed()
    }

    fn after(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.after().boxed()
    }
}

/// The way to the database on which nothing happens.
struct Planted(Faults);

impl Interposer for Planted {
    fn before<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        if let Call::Apply(batch) = call {
            self.0.plant(batch);
        }
        std::future::ready(Ok(())).boxed()
    }

    fn after(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }
}
