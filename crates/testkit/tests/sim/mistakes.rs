//! Mistakes that are planted to be found: a simulator that finds none of them proves nothing.

use millstream_store::Sql;

use crate::clock::Measure;
use crate::faults::Rates;
use crate::sensing::{SensePlan, simulate_sensors};
use crate::ticking::{TickPlan, simulate_ticks};
use crate::world::{Plan, Scarce, simulate};

/// Seeds within which each mistake must be found.
const BUDGET: u64 = 150;

/// A report without its fence: a worker that was replaced is heard.
static NO_FENCE: [&Sql; 1] = [&Sql {
    name: "ADVANCE_LIVE_RUN",
    text: "UPDATE live_run SET seq = $5, beat = beat + 1, steps_done = steps_done + $6 \
           WHERE tenant = $1 AND run = $2 RETURNING cancel_requested",
}];

/// A run that goes to its next worker without a new epoch.
static NO_NEW_EPOCH: [&Sql; 1] = [&Sql {
    name: "CLAIM_QUEUED_RUNS",
    text: "UPDATE live_run \
           SET status = 'STARTING', epoch = MAX(epoch, 1), seq = -1, beat = 0, hold = NULL, \
               worker = 'run-' || run || '-' || CAST(MAX(epoch, 1) AS TEXT) \
           WHERE status = 'QUEUED' AND (tenant, run) IN (/*pairs $1*/) \
             AND EXISTS (SELECT 1 FROM lease WHERE name = 'queue' AND holder = $2 AND fence = $3) \
           RETURNING tenant, run, epoch",
}];

/// A claim that looks at the lease before it and not in it: look up, then write.
static CLAIM_WITHOUT_LEASE: [&Sql; 1] = [&Sql {
    name: "CLAIM_QUEUED_RUNS",
    text: "UPDATE live_run \
           SET status = 'STARTING', epoch = epoch + 1, seq = -1, beat = 0, hold = NULL, \
               worker = 'run-' || run || '-' || CAST(epoch + 1 AS TEXT) \
           WHERE status = 'QUEUED' AND (tenant, run) IN (/*pairs $1*/) AND $2 <> '' AND $3 > 0 \
           RETURNING tenant, run, epoch",
}];

/// A change of status that does not name the old one.
static NO_COMPARE: [&Sql; 1] = [&Sql {
    name: "MOVE_LIVE_RUN",
    text: "UPDATE live_run SET status = $5, handed_back = handed_back + $6 \
           WHERE tenant = $1 AND run = $2 AND $3 >= 0 AND $4 <> ''",
}];

/// A cursor that goes on to the next time instead of the one that was decided: a lost cursor.
static LOST_CURSOR: [&Sql; 1] = [&Sql {
    name: "MOVE_CURSORS",
    text: "WITH given (kind, location, name, timing, old_cursor, new_cursor, next_due) AS \
           (/*rows $2 text text text text int int int*/) \
           UPDATE tick_source SET cursor_at = COALESCE(given.next_due, given.new_cursor), \
               next_due = given.next_due \
           FROM given WHERE tick_source.tenant = $1 AND tick_source.name = given.name",
}];

/// A tick that is looked up and then inserted: nothing is asked of the cursor when it is written,
/// and a tick that is there already is no reason to stop.
static LOOKUP_THEN_INSERT: [&Sql; 3] = [
    &Sql {
        name: "MOVE_CURSORS",
        text: "WITH given (kind, location, name, timing, old_cursor, new_cursor, next_due) AS \
               (/*rows $2 text text text text int int int*/) \
               UPDATE tick_source SET cursor_at = given.new_cursor, next_due = given.next_due \
               FROM given WHERE tick_source.tenant = $1 AND tick_source.name = given.name",
    },
    &Sql {
        name: "INSERT_TICKS",
        text: "INSERT OR IGNORE INTO tick (tenant, kind, location, name, nominal, decided_at, \
               status, requested, skipped, error, warnings) \
               /*rows $1 text text text text int int text int text text text*/",
    },
    &Sql {
        name: "INSERT_TICK_RUNS",
        text: "INSERT OR IGNORE INTO tick_run (tenant, kind, location, name, run_key, nominal, \
               run, partition_key) /*rows $1 text text text text text int text text*/",
    },
];

/// A retry that is not counted among the runs of its schedule.
static UNCOUNTED_RETRY: [&Sql; 1] = [&Sql {
    name: "COUNT_RETRY",
    text: "DELETE FROM tick_run WHERE tenant = $1 AND run = $2 AND $3 = ''",
}];

/// A sensor's tick that asks neither what the cursor was nor whether the tick is there.
static SENSED_TWICE: [&Sql; 2] = [
    &Sql {
        name: "SETTLE_SENSOR",
        text: "UPDATE tick_source SET cursor_at = $7, cursor = $8, next_due = $9 \
               WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4 \
                 AND timing = $5 AND $6 >= 0",
    },
    &Sql {
        name: "INSERT_TICK_RUNS",
        text: "INSERT OR IGNORE INTO tick_run (tenant, kind, location, name, run_key, nominal, \
               run, partition_key) /*rows $1 text text text text int text text*/",
    },
];

/// A retry that does not ask whether the run was retried already, and is not stopped by an event
/// that is there.
static DOUBLE_RETRY: [&Sql; 2] = [
    &Sql {
        name: "MARK_RETRIED",
        text: "UPDATE run SET retried_as = $3 WHERE tenant = $1 AND id = $2",
    },
    &Sql {
        name: "INSERT_EVENT",
        text: "INSERT OR IGNORE INTO event (tenant, run, epoch, seq, batch, at, body \
                                            /*place column*/) \
               VALUES ($1, $2, $3, $4, $5, $6, $7 /*place of $1, $5*/)",
    },
];

/// Slots that nobody frees when a worker is lost: a counter that only good ends count down.
static NO_FREEING: [&Sql; 1] = [&Sql {
    name: "KEEP_PLACES",
    text: "UPDATE slot SET hold = NULL WHERE tenant = $1 AND run = $2",
}];

/// A question for slots that does not ask whether the attempt has come and gone.
static LATE_QUESTION: [&Sql; 1] = [&Sql {
    name: "ASK_SLOTS",
    text: "INSERT INTO slot (tenant, run, step, attempt, epoch, pool, slots, priority, asked_at, \
                             granted) \
           SELECT $1, $2, $3, $4, $5, $6, $7, priority, $8, FALSE FROM live_run \
           WHERE tenant = $1 AND run = $2 ON CONFLICT (tenant, run, step) DO UPDATE \
           SET attempt = excluded.attempt, epoch = excluded.epoch WHERE slot.epoch = 0",
}];

/// Slots that are granted without the lease in the write: look up, then write.
static GRANT_WITHOUT_LEASE: [&Sql; 1] = [&Sql {
    name: "GRANT_SLOTS",
    text: "UPDATE slot SET granted = TRUE, hold = NULL \
           WHERE (tenant, run, step) IN (/*rows $1 text text text*/) AND epoch > 0 \
             AND $2 <> '' AND $3 > 0",
}];

/// Slots that are granted to the place of a step whose worker is gone.
static GRANT_TO_NOBODY: [&Sql; 1] = [&Sql {
    name: "GRANT_SLOTS",
    text: "UPDATE slot SET granted = TRUE, hold = NULL \
           WHERE (tenant, run, step) IN (/*rows $1 text text text*/) \
             AND EXISTS (SELECT 1 FROM lease WHERE name = 'queue' AND holder = $2 AND fence = $3)",
}];

/// Processes that stop for a while just before or just after a call of the store, and nothing else.
const PAUSES_AT_CALLS: Rates = Rates { pause_at_call: 150, ..Rates::NONE };

/// The same, more often: slots are granted less often than runs are claimed.
const MANY_PAUSES: Rates = Rates { pause_at_call: 500, ..Rates::NONE };

/// Launches whose answer is lost, and calls that take long.
const LOST_LAUNCHES: Rates = Rates { launch_answer_lost: 5_000, call_slow: 2_000, ..Rates::NONE };

/// Which program is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// The product with the mistake.
    Mistaken,
    /// The product as it is.
    Right,
}

/// Fails unless some seed finds the mistaken program to be broken, and the right one not.
fn must_be_found(what: &str, finding: impl Fn(u64, Program) -> Option<String>) {
    let found = (1..=BUDGET).find_map(|seed| Some((seed, finding(seed, Program::Mistaken)?)));
    assert!(found.is_some(), "{what} is not found in {BUDGET} seeds");
    let (seed, found) = found.unwrap();
    assert_eq!(finding(seed, Program::Right), None, "seed {seed} finds more than {what}");
    println!("G19: {what}: found by seed {seed}: {found}");
}

impl Program {
    fn mistakes(self, planted: &'static [&'static Sql]) -> &'static [&'static Sql] {
        match self {
            Self::Mistaken => planted,
            Self::Right => &[],
        }
    }
}

/// Fails unless `mistakes` are found, where `rates` of a seed say what goes wrong.
fn found_by(what: &str, mistakes: &'static [&'static Sql], rates: impl Fn(Rates) -> Rates) {
    must_be_found(what, |seed, program| {
        let plan = crate::anything(seed);
        let (rates, mistakes) = (rates(plan.rates), program.mistakes(mistakes));
        simulate(&Plan { rates, mistakes, ..plan }).err().map(|broken| broken.what)
    });
}

/// Runs that go on arriving while daemons stand still around their calls of the store, for longer
/// than the lease of the queue.
fn busy(seed: u64, scarce: Scarce) -> Plan {
    Plan { rates: PAUSES_AT_CALLS, scarce, runs: 40, steps: 6_000, ..crate::anything(seed) }
}

#[test]
fn g19_a_report_without_its_fence_is_found() {
    found_by("a report without its fence", &NO_FENCE, |drawn| drawn);
}

#[test]
fn g19_a_requeued_run_without_a_new_epoch_is_found() {
    found_by("a requeued run without a new epoch", &NO_NEW_EPOCH, |drawn| drawn);
}

#[test]
fn g19_a_claim_without_the_lease_is_found() {
    must_be_found("a claim without the lease", |seed, program| {
        let mistakes = program.mistakes(&CLAIM_WITHOUT_LEASE);
        simulate(&Plan { mistakes, ..busy(seed, Scarce::Places) }).err().map(|broken| broken.what)
    });
}

#[test]
fn g19_a_change_of_status_without_the_old_one_is_found() {
    found_by("a change of status without the old one", &NO_COMPARE, |_| LOST_LAUNCHES);
}

/// What is wrong with the ticks in a simulation.
fn wrong_ticks(plan: &TickPlan) -> Option<String> {
    let verdict = simulate_ticks(plan).map(|it| (!it.is_valid()).then(|| it.to_string()));
    verdict.unwrap_or_else(Some)
}

/// Fails unless `mistakes` are found in the ticks of schedules.
fn found_by_ticks(what: &str, mistakes: &'static [&'static Sql], rates: impl Fn(Rates) -> Rates) {
    must_be_found(what, |seed, program| {
        let plan = crate::ticking(seed, 10, std::time::Duration::from_mins(5));
        let mistakes = program.mistakes(mistakes);
        let plan = TickPlan { mistakes, rates: rates(plan.rates), ..plan };
        wrong_ticks(&plan)
    });
}

#[test]
fn g19_a_cursor_that_skips_a_time_is_found() {
    found_by_ticks("a lost cursor", &LOST_CURSOR, |drawn| drawn);
}

#[test]
fn g19_a_tick_that_is_looked_up_and_then_inserted_is_found() {
    found_by_ticks("a tick looked up and then inserted", &LOOKUP_THEN_INSERT, |_| PAUSES_AT_CALLS);
}

#[test]
fn g19_a_retry_that_is_not_counted_is_found() {
    found_by_ticks("a retry that is not counted", &UNCOUNTED_RETRY, |_| Rates::NONE);
}

#[test]
fn g19_a_lease_that_is_measured_by_the_time_of_day_is_found() {
    must_be_found("a lease by the time of day", |seed, program| {
        let measure = match program {
            Program::Mistaken => Measure::TimeOfDay,
            Program::Right => Measure::OwnClock,
        };
        let plan = Plan { rates: Rates::setting_clocks(), measure, ..crate::anything(seed) };
        let lost = simulate(&plan).map(|outcome| outcome.lost).map_err(|broken| broken.what);
        let found = lost.map(|lost| (lost > 0).then(|| format!("{lost} live workers lost")));
        found.unwrap_or_else(Some)
    });
}

/// People who retry the same run at once, and calls that take long.
const RETRIES: Rates = Rates { retry: 500, call_slow: 500, ..Rates::NONE };

#[test]
fn g19_a_run_that_is_retried_twice_is_found() {
    found_by("a double retry", &DOUBLE_RETRY, |_| RETRIES);
}

/// Messages that come twice, the second time late.
const TWICE: Rates = Rates { message_twice: 5_000, ..Rates::NONE };

#[test]
fn g9_g19_slots_that_a_lost_worker_keeps_are_found() {
    found_by("slots that a lost worker keeps", &NO_FREEING, |_| Rates::killing());
}

#[test]
fn g9_g19_a_late_question_for_slots_that_leaves_a_row_is_found() {
    found_by("a late question for slots", &LATE_QUESTION, |_| TWICE);
}

/// Processes that are killed, and others that stop for a while at a call of the store.
const KILLS_AND_PAUSES: Rates = Rates { kill: 150, pause_at_call: 150, ..Rates::NONE };

#[test]
fn g9_g19_slots_that_are_granted_to_a_place_without_a_worker_are_found() {
    found_by("slots granted to nobody", &GRANT_TO_NOBODY, |_| KILLS_AND_PAUSES);
}

#[test]
fn g9_g19_slots_that_are_granted_without_the_lease_are_found() {
    must_be_found("slots granted without the lease", |seed, program| {
        let mistakes = program.mistakes(&GRANT_WITHOUT_LEASE);
        let plan = Plan { mistakes, rates: MANY_PAUSES, ..busy(seed, Scarce::Labels) };
        simulate(&plan).err().map(|broken| broken.what)
    });
}

/// A limit on labels is passed where the claim trusts an earlier look at the lease. Nothing else
/// limits the runs here: a limit of the queue would be passed first, and hide it.
#[test]
fn g9_g19_a_label_limit_that_is_looked_up_and_then_acted_on_is_found() {
    must_be_found("a label's limit looked up and then acted on", |seed, program| {
        let mistakes = program.mistakes(&CLAIM_WITHOUT_LEASE);
        let plan = Plan { mistakes, ..busy(seed, Scarce::Labels) };
        let found = simulate(&plan).err().map(|broken| broken.what);
        found.filter(|what| what.contains("runs have the label"))
    });
}

#[test]
fn g19_a_sensor_whose_tick_does_not_ask_for_its_cursor_is_found() {
    must_be_found("a sensor's tick without its cursor", |seed, program| {
        let (rates, mistakes) = (PAUSES_AT_CALLS, program.mistakes(&SENSED_TWICE));
        simulate_sensors(&SensePlan { rates, mistakes, ..crate::sensing(seed) }).err()
    });
}
