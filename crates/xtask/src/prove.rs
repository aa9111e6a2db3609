//! `cargo xtask prove`: the proofs, each a command anybody can run alone.
//!
//! A proof is a test with a budget: the same test runs with a small one in `cargo test`. A goal is
//! proved by the tests that carry its name at the start of theirs, as `g14_` does. What is run is
//! printed first, variables and all, so that a line can be copied to a shell.
#![expect(clippy::print_stdout, reason = "the commands are for the person who runs it")]

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::check::{cargo, output_of};

/// How long the proofs may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Minutes: before a change of the core is merged.
    Short,
    /// Hours: at night.
    Long,
}

impl Budget {
    /// The variables that the simulator reads: how many seeds, and how many steps from each.
    pub fn variables(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Short => [("MILLSTREAM_SIM_SEEDS", "200"), ("MILLSTREAM_SIM_STEPS", "2000")],
            Self::Long => [("MILLSTREAM_SIM_SEEDS", "20000"), ("MILLSTREAM_SIM_STEPS", "5000")],
        }
    }
}

/// Runs the workspace's tests with the simulator's budget set to `budget`: those of `goals`, or all
/// when there are none. A goal without a test is not proved.
pub fn run(root: &Path, budget: Budget, goals: &[&str]) -> anyhow::Result<()> {
    let names = goals.iter().map(|goal| name_of(goal)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut arguments = vec!["test", "--workspace"];
    if !names.is_empty() {
        arguments.push("--");
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
    cargo(root, &arguments, &variables)
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
        let size = |budget: Budget| -> u64 {
            budget.variables().iter().map(|(_, value)| value.parse::<u64>().unwrap()).product()
        };
        assert!(size(Budget::Long) > 10 * size(Budget::Short));
    }
}
