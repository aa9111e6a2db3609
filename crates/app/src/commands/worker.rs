//! The process that executes one run for the process launcher.

use millstream_blob::Blobs;
use millstream_launch::WorkerOrder;

use crate::cli::Global;
use crate::error::AppError;
use crate::instance;
use crate::settings::Settings;

pub(super) async fn run(global: &Global) -> Result<(), AppError> {
    let settings = Settings::of(&global.dir)?;
    let order = WorkerOrder::read(std::io::stdin().lock())
        .map_err(|source| AppError::Files { path: "the worker's order".into(), source })?;
    let program = std::env::current_exe()
        .map_err(|source| AppError::Files { path: "/proc/self/exe".into(), source })?;
    let worker = instance::worker(&settings, &Blobs::folder(settings.state()), program);
    let (run, url) = (order.run, order.url.clone());
    match order.execute(&worker).await {
        Ok(end) => {
            tracing::info!(%run, ?end, "the run is over for this worker");
            Ok(())
        }
        Err(error) => Err(AppError::Unreachable { place: url, problem: error.to_string() }),
    }
}
