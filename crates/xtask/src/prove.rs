//! `cargo xtask prove`: the proofs, each a command anybody can run alone.
//!
//! A proof is a test with a budget: the same test runs with a small one in `cargo test`. A goal is
//! proved by the tests that carry its name at the start of theirs, as `g14_` does. What is run is
//! printed first, variables and all, so that a line can be copied to a shell; the figures of the
//! goals that were named are the last lines.
#![expect(clippy::print_stdout, reason = "the commands are for the person who runs it")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};

use crate::check::{cargo, cargo_command, output_of};

/// How long the proofs may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Minutes: before a change of the core is merged.
    Short,
    /// Hours: at night.
    Long,
}

impl Budget {
    /// The variables that the proofs read: how many seeds and how many steps from each; of G1 how
    /// many seeds, schedules and minutes of trouble in each; of G2 how many seeds, and how many
    /// seconds a process may be silent; of G5 how many workers are stopped and woken; of G6 how
    /// many events are written; of G11 which zones, and how many days around each change of a
    /// clock; of G14 how much output, and how many runs beside it.
    pub fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Short => &[
                ("MILLSTREAM_SIM_SEEDS", "200"),
                ("MILLSTREAM_SIM_STEPS", "2000"),
                ("MILLSTREAM_SIM_TICK_SEEDS", "20"),
                ("MILLSTREAM_KILL_SEEDS", "1"),
                ("MILLSTREAM_KILL_LEASE", "1"),
                ("MILLSTREAM_ZOMBIES", "2"),
                ("MILLSTREAM_EVENTS", "50000"),
                ("MILLSTREAM_ZONES_DAYS", "2"),
                ("MILLSTREAM_FLOOD_BYTES", "1000000000"),
                ("MILLSTREAM_FLOOD_NEIGHBOURS", "10"),
            ],
            Self::Long => &[
                ("MILLSTREAM_SIM_SEEDS", "20000"),
                ("MILLSTREAM_SIM_STEPS", "5000"),
                ("MILLSTREAM_SIM_TICK_SEEDS", "200"),
                ("MILLSTREAM_SIM_SCHEDULES", "50"),
                ("MILLSTREAM_SIM_MINUTES", "70"),
                ("MILLSTREAM_KILL_SEEDS", "5"),
                ("MILLSTREAM_KILL_LEASE", "1"),
                ("MILLSTREAM_ZOMBIES", "100"),
                ("MILLSTREAM_EVENTS", "1000000"),
                ("MILLSTREAM_ZONES_ALL", "1"),
                ("MILLSTREAM_ZONES_DAYS", "3"),
                ("MILLSTREAM_FLOOD_BYTES", "10000000000"),
                ("MILLSTREAM_FLOOD_NEIGHBOURS", "100"),
            ],
        }
    }
}

/// Runs the workspace's tests with the simulator's budget set to `budget`: those of `goals`, or all
/// when there are none. A goal without a test is not proved.
pub fn run(root: &Path, budget: Budget, goals: &[&str]) -> anyhow::Result<()> {
    let names = goals.iter().map(|goal| name_of(goal)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut arguments = vec!["test", "--workspace"];
    if !names.is_empty() {
        arguments.extend(["--", "--nocapture"]);
        arguments.extend(names.iter().map(String::as_str));
        let listed = output_of(root, &[&arguments[..], &["--list"]].concat())?;
        if let Some(missing) = names.iter().find(|name| !is_listed(&listed, name)) {
            bail!("no test is called `{missing}…`, so nothing proves that goal");
        }
    }
    let variables = budget.variables();
    let shown: Vec<String> =
        variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    println!("{} cargo {}", shown.join(" "), arguments.join(" "));
    if names.is_empty() {
        return cargo(root, &arguments, variables);
    }
    let mut figures = Vec::new();
    echoed(root, &arguments, variables, |line| {
        if goals.iter().any(|goal| line.starts_with(&format!("{goal}: "))) {
            figures.push(line.to_owned());
        }
    })?;
    println!("{}", figures.join("\n"));
    Ok(())
}

/// Runs cargo as [`cargo`] does and shows each line that it prints to `look` as well.
fn echoed(
    root: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
    mut look: impl FnMut(&str),
) -> anyhow::Result<()> {
    let mut child = cargo_command(root, arguments)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo could not be started")?;
    let output = child.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        // The first line of a test follows its name, or the dots of those before it.
        look(line.rsplit_once(" ... ").map_or(&*line, |(_, rest)| rest).trim_start_matches('.'));
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`cargo {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// What the tests of `goal` are called by.
fn name_of(goal: &str) -> anyhow::Result<String> {
    let is_goal = goal.strip_prefix(['G', 'R']).is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    if !is_goal {
        bail!("{goal:?} is not a goal; write it like `G14` or `R019`");
    }
    Ok(format!("{}_", goal.to_lowercase()))
}

/// Whether a test among `listed`, as cargo prints them, is called by `name`.
fn is_listed(listed: &str, name: &str) -> bool {
    listed.lines().filter_map(|line| line.strip_suffix(": test")).any(|test| {
        let own = test.rsplit("::").next().unwrap_or(test);
        own.starts_with(name) || own.contains(&format!("_{name}"))
    })
}

/// Repeats the simulation of `seed`, which an earlier failure has named.
pub fn simulate(root: &Path, seed: &str) -> anyhow::Result<()> {
    let seed: u64 = seed.parse().with_context(|| format!("{seed:?} is not a seed"))?;
    let arguments = ["test", "-p", "millstream-testkit", "--test", "sim", "--", "--nocapture"];
    cargo(root, &arguments, &[("MILLSTREAM_SIM_SEED", &seed.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_names_its_tests_and_other_words_are_no_goals() {
        assert_eq!(name_of("G14").unwrap(), "g14_");
        assert_eq!(name_of("R019").unwrap(), "r019_");
        for wrong in ["G", "14", "G1x", "--quick"] {
            let error = name_of(wrong).unwrap_err().to_string();
            assert_eq!(error, format!("{wrong:?} is not a goal; write it like `G14` or `R019`"));
        }
    }

    #[test]
    fn a_goal_is_proved_by_a_test_that_carries_its_name_and_by_no_other() {
        let listed = "limits::g14_a_flood: test\nr195_g2_a_kill: test\nlog14_x: test\n";
        assert!(is_listed(listed, "g14_") && is_listed(listed, "g2_"));
        assert!(!is_listed(listed, "g4_") && !is_listed("log14_x: test", "g14_"));
    }

    #[test]
    fn the_long_budget_is_larger_than_the_short_one() {
        let size = |budget: Budget| -> u128 {
            budget.variables().iter().map(|(_, value)| value.parse::<u128>().unwrap()).product()
        };
        assert!(size(Budget::Long) > 10 * size(Budget::Short));
    }
}
