//! The binary: reads the command line, wires an instance together, and prints what came of it.
//!
//! It holds no rule of the product. A command talks to the running server of its project's folder,
//! or answers through the same routes in this process when none runs.

mod bench;
mod cli;
mod client;
mod clock;
mod commands;
mod config_file;
mod crash;
mod draw;
mod entropy;
mod error;
mod failure;
mod instance;
mod logging;
mod no_definitions;
mod output;
mod serve;
mod settings;
mod unlike;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::cli::{Cli, Command};
use crate::error::AppError;
use crate::logging::Loudness;

/// Each step asks for memory in many small pieces, on several threads; SQLite too, which has it by
/// the feature `override`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            if !asked && std::env::args_os().any(|argument| argument == "--json") {
                let is_missing =
                    error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
                let said = error.to_string();
                let said =
                    if is_missing { "a command is missing; --help lists them" } else { &said };
                return finish(true, Err(AppError::mistyped(said)));
            }
            // Where help cannot be printed, an error about that cannot be either.
            drop(error.print());
            return ExitCode::from(if asked { 0 } else { 2 });
        }
    };
    crash::arm_writes();
    // These are the product's own child processes: single-threaded, and without a runtime.
    match &cli.command {
        Command::Supervisor => return millstream_worker::supervisor::main(),
        Command::Sql { request } => return millstream_io::sql_child::main(request),
        _ => {}
    }
    let serves = matches!(cli.command, Command::Dev { .. } | Command::Worker);
    logging::start(if serves { Loudness::News } else { Loudness::Trouble });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            return finish(cli.global.json, Err(AppError::Files { path: "/".into(), source }));
        }
    };
    let json = cli.global.json;
    let outcome = runtime.block_on(commands::run(cli));
    // What still runs on other threads belongs to a command that is over.
    runtime.shutdown_background();
    finish(json, outcome)
}

fn finish(json: bool, outcome: Result<(), AppError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(json, &error);
            ExitCode::from(error.exit_code())
        }
    }
}
