//! The simulator: real control, daemon passes, plans and worker loops over one database in memory,
//! in virtual time, with everything that can go wrong (docs/decisions/0006-simulation.md).
//!
//! `MILLSTREAM_SIM_SEEDS` says how many seeds, `MILLSTREAM_SIM_STEPS` how many steps long things go
//! wrong in each, and `MILLSTREAM_SIM_SEED` repeats one.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "what tests share fails as the tests themselves do, and says what it tried"
)]

mod clock;
mod executor;
mod faults;
mod jobs;
mod launcher;
mod limited;
mod mistakes;
mod network;
mod scene;
mod sensing;
mod slots;
mod steps;
mod ticking;
mod witness;
mod world;
mod zones;

use faults::Rates;
use std::time::Duration;

use clock::Measure;
use millstream_testkit::chance::Chance;
use millstream_testkit::ticks::TickVerdict;
use sensing::{SensePlan, simulate_sensors};
use ticking::{TickPlan, simulate_ticks};
use world::{Broken, Outcome, Plan, Scarce, Victims, simulate};

/// The number in an environment variable.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The seeds to simulate: the one that is repeated, or the first `count`.
fn seeds(count: u64) -> std::ops::RangeInclusive<u64> {
    number("MILLSTREAM_SIM_SEED").map_or(1..=count, |seed| seed..=seed)
}

/// A simulation in which anything may go wrong.
fn anything(seed: u64) -> Plan {
    let rates = Rates::draw(&mut Chance::new(seed ^ 0x5eed));
    let steps = number("MILLSTREAM_SIM_STEPS").unwrap_or(1_500);
    let scarce = if seed.is_multiple_of(3) { Scarce::Labels } else { Scarce::Places };
    let (victims, measure) = (Victims::Anybody, Measure::OwnClock);
    Plan { seed, rates, victims, runs: 10, steps, scarce, measure, mistakes: &[] }
}

/// Simulates every seed; what was tried is the last line.
fn try_all(seeds: std::ops::RangeInclusive<u64>, plan: impl Fn(u64) -> Plan) -> Vec<Outcome> {
    let tried = format!("seed {}..={}", seeds.start(), seeds.end());
    let results = seeds.map(|seed| simulate(&plan(seed)));
    let (held, broken): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
    let held: Vec<Outcome> = held.into_iter().filter_map(Result::ok).collect();
    let broken: Vec<Broken> = broken.into_iter().filter_map(Result::err).collect();
    for broken in &broken {
        println!("{broken}");
    }
    let runs: usize = held.iter().map(|outcome| outcome.runs).sum();
    let lost: usize = held.iter().map(|outcome| outcome.lost).sum();
    println!("{tried}: {runs} runs tried, {lost} workers lost, {} failed", broken.len());
    assert!(broken.is_empty(), "{}", broken[0]);
    held
}

#[test]
fn whatever_goes_wrong_the_invariants_hold_and_every_run_ends() {
    try_all(seeds(number("MILLSTREAM_SIM_SEEDS").unwrap_or(40)), anything);
}

#[test]
fn g9_no_slot_is_held_without_an_owner_and_no_limit_is_passed_at_any_step() {
    let count = number("MILLSTREAM_SIM_SEEDS").unwrap_or(20);
    // Other seeds than those of the simulations above.
    let outcomes = try_all(seeds(count), |seed| anything(seed + 1_000_000));
    let steps: u64 = outcomes.iter().map(|outcome| outcome.steps).sum();
    let holders: usize = outcomes.iter().map(|outcome| outcome.holders).sum();
    let lost: usize = outcomes.iter().map(|outcome| outcome.lost).sum();
    assert!(holders > outcomes.len(), "too few slots were held: {holders}");
    println!(
        "G9: {steps} steps, {holders} holders of slots, {lost} workers lost: 0 slots without an \
         owner, 0 pools, labels or queues above their limit"
    );
}

#[test]
fn g5_nothing_lands_that_a_worker_says_after_it_was_replaced() {
    let count = number("MILLSTREAM_SIM_SEEDS").unwrap_or(20);
    let rates = Rates::stopping();
    let outcomes =
        try_all(seeds(count), |seed| Plan { rates, runs: 20, ..anything(seed + 2_000_000) });
    let lost: usize = outcomes.iter().map(|outcome| outcome.lost).sum();
    let refused: u64 = outcomes.iter().map(|outcome| outcome.refused).sum();
    assert!(lost > outcomes.len() && refused > 0, "{lost} replaced, {refused} refused");
    println!(
        "G5: {} simulations, {lost} workers replaced while they stood still, {refused} words of \
         theirs refused: 0 stored, 0 ends changed",
        outcomes.len()
    );
}

/// A simulation in which clocks are set, and nothing else goes wrong.
fn with_jumping_clocks(seed: u64) -> Plan {
    Plan { rates: Rates::setting_clocks(), ..anything(seed) }
}

#[test]
fn clocks_that_jump_make_nobody_lose_a_worker() {
    let outcomes = try_all(seeds(20), with_jumping_clocks);
    assert!(outcomes.iter().all(|outcome| outcome.lost == 0));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| simulate(&anything(seed)).map(|outcome| outcome.trace);
    assert_eq!(trace(7).unwrap(), trace(7).unwrap());
    assert_ne!(trace(7).unwrap(), trace(8).unwrap());
    // Seed 10 cancels a run two of whose steps go on.
    let trace = |seed| simulate(&with_jumping_clocks(seed)).map(|outcome| outcome.trace).unwrap();
    let first = trace(10);
    for _ in 0..8 {
        assert_eq!(trace(10), first);
    }
}

#[test]
fn r195_of_a_thousand_random_jobs_with_dying_workers_no_step_succeeds_or_starts_twice() {
    let outcomes = try_all(seeds(25), |seed| Plan {
        seed,
        rates: Rates::killing(),
        victims: Victims::Workers,
        runs: 40,
        steps: 4_000,
        scarce: Scarce::Places,
        measure: Measure::OwnClock,
        mistakes: &[],
    });
    let runs: usize = outcomes.iter().map(|outcome| outcome.runs).sum();
    let lost: usize = outcomes.iter().map(|outcome| outcome.lost).sum();
    assert_eq!(runs, 40 * outcomes.len());
    assert!(lost > runs / 4, "{lost} workers lost");
}

/// The schedules and their trouble in the simulation of one seed.
fn ticking(seed: u64, schedules: u64, trouble: Duration) -> TickPlan {
    let rates = Rates::draw(&mut Chance::new(seed ^ 0x5eed));
    TickPlan { seed, rates, schedules, trouble, mistakes: &[] }
}

#[test]
fn g1_whatever_goes_wrong_every_tick_is_launched_once_and_soon_after_healing() {
    let count = number("MILLSTREAM_SIM_TICK_SEEDS").unwrap_or(6);
    let schedules = number("MILLSTREAM_SIM_SCHEDULES").unwrap_or(40);
    let trouble = Duration::from_mins(number("MILLSTREAM_SIM_MINUTES").unwrap_or(10));
    let mut all = TickVerdict::default();
    for seed in seeds(count) {
        let verdict = simulate_ticks(&ticking(seed, schedules, trouble)).unwrap();
        assert!(verdict.is_valid(), "seed {seed}: {verdict}");
        all.add(verdict);
    }
    assert!(
        number("MILLSTREAM_SIM_SEED").is_some() || all.waited > 0,
        "nothing waited for a run to end"
    );
    let simulated = schedules * count;
    println!("G1: {simulated} schedules, {all} (after healing at most 30 s)");
}

/// The sensors and their trouble in the simulation of one seed.
fn sensing(seed: u64) -> SensePlan {
    let rates = Rates::draw(&mut Chance::new(seed ^ 0x5eed));
    let trouble = Duration::from_mins(number("MILLSTREAM_SIM_MINUTES").unwrap_or(10));
    SensePlan { seed, rates, trouble, mistakes: &[] }
}

#[test]
fn g1_whatever_goes_wrong_sensors_that_tick_together_request_each_run_once() {
    let mut requested = 0;
    for seed in seeds(number("MILLSTREAM_SIM_SENSE_SEEDS").unwrap_or(6)) {
        requested += simulate_sensors(&sensing(seed)).unwrap();
    }
    assert!(requested > 0);
    println!("G1: {requested} runs requested by sensors that tick together, each once");
}
