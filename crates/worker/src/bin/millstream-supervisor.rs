//! The supervisor alone, as the tests of this crate start it.
//!
//! The product's own binary runs the same function as a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream_worker::supervisor::main()
}
