//! `cargo xtask check`: every gate, in the order in which it is cheapest to fail.
//!
//! The workspace's tests come last, so that cargo's own summary ends the output. The first stage
//! that fails ends the check with its own message.
#![expect(clippy::print_stdout, reason = "the titles are for the person who runs it")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::{generate, tidy};

/// Runs every stage on the repository at `root`.
pub fn run(root: &Path) -> anyhow::Result<()> {
    stage("format", || cargo(root, &["fmt", "--all", "--check"], &[]))?;
    stage("clippy", || {
        let lints = ["--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        cargo(root, &[&["clippy"], &lints[..]].concat(), &[])
    })?;
    stage("tidy", || tidy::report(root))?;
    stage("documentation", || {
        let docs = ["doc", "--no-deps", "--workspace", "--quiet"];
        cargo(root, &docs, &[("RUSTDOCFLAGS", "-D warnings")])
    })?;
    stage("generated texts", || generate::compare(root))?;
    println!("== tests");
    cargo(root, &["test", "--workspace"], &[])
}

fn stage(title: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("== {title}");
    let start = Instant::now();
    work().with_context(|| format!("the stage `{title}` failed"))?;
    println!("   {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Cargo as it runs this program, with `arguments`, in `root`.
pub fn cargo_command(root: &Path, arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root);
    command
}

/// What cargo prints when it is run with `arguments` in `root`.
pub fn output_of(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = cargo_command(root, arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be started")?;
    if !output.status.success() {
        bail!("`cargo {}` ended with {}", arguments.join(" "), output.status);
    }
    String::from_utf8(output.stdout).context("cargo prints no text")
}

/// Runs cargo with `arguments` and the further variables of `environment` in `root`.
pub fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let status = cargo_command(root, arguments)
        .envs(environment.iter().copied())
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("`cargo {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}
