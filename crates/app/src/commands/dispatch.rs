//! Which command is which, and the way to the instance that each needs.

use millstream_control::Store;
use millstream_model::ErrorCode;

use super::{
    asset, daemon, dead_letter, definitions, demo, errors, job, partition, queue,
    run as run_command, schedule, schema, sensor, tenant, why, worker,
};
use crate::cli::{Access, BenchCommand, Cli, Command, DaemonCommand, Global, QueueCommand};
use crate::client::Client;
use crate::error::AppError;
use crate::settings::Settings;
use crate::{bench, crash, output, serve};

/// Which instance a command is about, and what it does there.
#[derive(Clone, Copy)]
pub(super) struct Way<'g> {
    pub(super) global: &'g Global,
    pub(super) access: Access,
}

/// Runs a command.
pub(crate) async fn run(cli: Cli) -> Result<(), AppError> {
    let Cli { global, command } = cli;
    let way = Way { global: &global, access: command.access() };
    match command {
        Command::Dev { folder, port } => {
            let folder = folder.unwrap_or_else(|| global.dir.clone());
            serve::dev(Settings::of(&folder)?, port).await
        }
        Command::Migrate { database_url } => migrate(&global, database_url).await,
        Command::Definitions(command) => definitions::run(way, command).await,
        Command::Errors { code } => errors::run(code.as_deref(), global.json),
        Command::Schema { kind } => schema::run(kind.as_deref()),
        Command::Worker => worker::run(&global).await,
        Command::Job(command) => {
            with_client(way, async |c| job::run(c, &global, command).await).await
        }
        Command::Schedule(command) => {
            with_client(way, async |c| schedule::run(c, &global, command).await).await
        }
        Command::Sensor(command) => {
            with_client(way, async |c| sensor::run(c, &global, command).await).await
        }
        Command::Asset(command) => {
            with_client(way, async |c| asset::run(c, &global, command).await).await
        }
        Command::Partition(command) => {
            with_client(way, async |c| partition::run(c, &global, command).await).await
        }
        Command::Run(command) => {
            with_client(way, async |c| run_command::run(c, &global, command).await).await
        }
        Command::Why { subject } => {
            with_client(way, async |c| why::run(c, &global, &subject).await).await
        }
        Command::DeadLetter(command) => {
            with_client(way, async |c| dead_letter::run(c, &global, command).await).await
        }
        Command::Queue(QueueCommand::Show) => {
            with_client(way, async |c| queue::show(c, &global).await).await
        }
        Command::Daemon(DaemonCommand::List) => {
            with_client(way, async |c| daemon::list(c, &global).await).await
        }
        Command::Tenant(command) => {
            with_client(way, async |c| tenant::run(c, &global, &command).await).await
        }
        Command::Demo { folder, port, exit } => {
            demo::run(&folder, port, demo::Manner { exit, json: global.json }).await
        }
        Command::Bench(BenchCommand::Quick { size, goals, postgres }) => {
            bench::run(&global, &bench::Order { size, goals, postgres }).await
        }
        // Handled before the runtime was started.
        Command::Supervisor | Command::Sql { .. } => Ok(()),
    }
}

/// Runs `work` with a way to the instance, and ends what this process started for it.
pub(super) async fn with_client(
    way: Way<'_>,
    work: impl AsyncFnOnce(&Client) -> Result<(), AppError>,
) -> Result<(), AppError> {
    let client = Client::connect(way.global, way.access).await?;
    let outcome = work(&client).await;
    client.close().await;
    outcome
}

async fn migrate(global: &Global, given: Option<String>) -> Result<(), AppError> {
    let url = Settings::database(&global.dir, given)?.ok_or_else(|| AppError::Usage {
        code: ErrorCode::BadRequest,
        message: "no Postgres database is named; write `--database-url URL`, set \
                  MILLSTREAM_DATABASE_URL, or give `database_url` in millstream.yaml (the embedded \
                  database needs no `migrate`)"
            .to_owned(),
    })?;
    let store = crash::armed(Store::connect_postgres(&url, 1).await?);
    let count = store.migrate().await?;
    if global.json {
        output::json(&serde_json::json!({ "applied": count }));
    } else if count == 0 {
        output::line("The schema is current; nothing to do.");
    } else {
        output::line(&format!("Applied {count} migration(s); the schema is current."));
    }
    Ok(())
}
