//! `cargo xtask prove`: the proofs, each a command anybody can run alone.
//!
//! A proof is a test with a budget: the same test runs with a small one in `cargo test`. What is
//! run is printed first, variables and all, so that a line can be copied to a shell.
#![expect(clippy::print_stdout, reason = "the commands are for the person who runs it")]

use std::path::Path;

use anyhow::Context as _;

use crate::check::cargo;

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

/// Runs the workspace's tests with the simulator's budget set to `budget`.
pub fn run(root: &Path, budget: Budget) -> anyhow::Result<()> {
    let variables = budget.variables();
    let shown: Vec<String> =
        variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    println!("{} cargo test --workspace", shown.join(" "));
    cargo(root, &["test", "--workspace"], &variables)
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
    fn the_long_budget_is_larger_than_the_short_one() {
        let size = |budget: Budget| -> u64 {
            budget.variables().iter().map(|(_, value)| value.parse::<u64>().unwrap()).product()
        };
        assert!(size(Budget::Long) > 10 * size(Budget::Short));
    }
}
