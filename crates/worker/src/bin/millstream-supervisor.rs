//! The children of a worker alone, as the tests of this crate start them: the supervisor, and with
//! `__sql REQUEST` the process of a SQL step.
//!
//! The product's own binary runs the same functions as hidden subcommands.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next()) {
        (Some(name), Some(request)) if name == millstream_io::sql_child::SUBCOMMAND => {
            millstream_io::sql_child::main(Path::new(&request))
        }
        _ => millstream_worker::supervisor::main(),
    }
}
