//! `cargo xtask <command>`: the tasks of the people who work on the project.
//!
//! Prints to standard output, ends with 1 when something is wrong, and never changes a file but
//! with `generate`.
#![expect(clippy::print_stderr, reason = "its errors are for the person who runs it")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use xtask::{check, generate, prove, tidy};

const USAGE: &str = "\
usage: cargo xtask <command>

  check           everything that has to hold before a change is merged
  tidy            the project's own rules alone (STYLE.md)
  generate        write the generated parts of the documents
  prove [--long] [GOAL…]
                  run the proofs with a larger budget than the tests have, of all goals or of those
                  named, like G14 or R019
  sim <seed>      repeat one simulation";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    // Cargo says where the crate is now; several clones may share one build directory.
    let home = std::env::var_os("CARGO_MANIFEST_DIR");
    let home = home.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = home.ancestors().nth(2).context("crates/xtask is not two folders below the root")?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["check"] => check::run(root),
        ["tidy"] => tidy::report(root),
        ["generate"] => generate::write(root),
        ["prove", "--long", goals @ ..] => prove::run(root, prove::Budget::Long, goals),
        ["prove", goals @ ..] => prove::run(root, prove::Budget::Short, goals),
        ["sim", seed] => prove::simulate(root, seed),
        _ => bail!("this is not a command\n\n{USAGE}"),
    }
}
