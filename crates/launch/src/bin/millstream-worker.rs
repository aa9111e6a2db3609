//! A worker's process alone, as the tests of this crate start it: `millstream-worker FOLDER` takes
//! its order from stdin and keeps everything below the folder; without arguments it supervises.
//!
//! The product's own binary runs the same functions as hidden subcommands.

use std::path::PathBuf;
use std::process::ExitCode;

use millstream_launch::WorkerOrder;
use millstream_worker::{Blobs, RunEnd, Supervisor, Worker, WorkerSettings, supervisor};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return supervisor::main();
    };
    let (Ok(order), Ok(program)) =
        (WorkerOrder::read(std::io::stdin().lock()), std::env::current_exe())
    else {
        return ExitCode::FAILURE;
    };
    let name = format!("process {}", std::process::id());
    let scratch = folder.join("scratch");
    let settings = WorkerSettings::new(name, folder.clone(), scratch, program.clone());
    let supervisor = Supervisor::new(program, Vec::new());
    let worker = Worker::new(settings, supervisor, Blobs::folder(folder));
    match order.execute(&worker).await {
        Ok(RunEnd::Finished(_)) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
