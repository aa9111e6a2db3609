//! What a command does to the instance.
//!
//! This is the only place that says it: the way to the instance follows from it, and
//! `docs/reference/command-line.md` lists the same.

use super::{
    AssetCommand, Command, DeadLetterCommand, DefinitionsCommand, JobCommand, PartitionCommand,
    QueueCommand, RunCommand, ScheduleCommand, SensorCommand, TenantCommand,
};
use crate::cli::DaemonCommand;
use crate::settings::Settings;

/// What a command does to the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It shows what there is.
    Reads,
    /// It shows what loading the definition files would change, and loads none wherever it runs.
    Compares,
    /// It changes something of what is live, or of what was done, and needs no definition files
    /// for that.
    Acts,
    /// It changes something by what definition files say, or has it done.
    Does,
}

impl Access {
    /// Whether a process that does the work itself loads the definition files of its folder.
    ///
    /// The embedded database is the folder's own. Another is shared, and what is live there is
    /// not replaced because somebody looks, or acts on what is there.
    pub(crate) fn loads(self, settings: &Settings) -> bool {
        match self {
            Self::Reads | Self::Acts => settings.database_url.is_none(),
            Self::Compares => false,
            Self::Does => true,
        }
    }
}

impl Command {
    /// What the command does to the instance.
    pub(crate) fn access(&self) -> Access {
        match self {
            Self::Job(command) => command.access(),
            Self::Schedule(command) => command.access(),
            Self::Sensor(command) => command.access(),
            Self::Asset(command) => command.access(),
            Self::Partition(command) => command.access(),
            Self::Run(command) => command.access(),
            Self::DeadLetter(command) => command.access(),
            Self::Definitions(command) => command.access(),
            Self::Why { .. }
            | Self::Queue(QueueCommand::Show)
            | Self::Daemon(DaemonCommand::List)
            | Self::Tenant(TenantCommand::List)
            | Self::Schema { .. }
            | Self::Errors { .. } => Access::Reads,
            Self::Demo { .. }
            | Self::Dev { .. }
            | Self::Migrate { .. }
            | Self::Bench(_)
            | Self::Supervisor
            | Self::Sql { .. }
            | Self::Worker => Access::Does,
        }
    }
}

impl JobCommand {
    fn access(&self) -> Access {
        match self {
            Self::List => Access::Reads,
            Self::Start(_) | Self::Stop(_) | Self::Reset(_) => Access::Acts,
            Self::Launch { .. } => Access::Does,
        }
    }
}

impl ScheduleCommand {
    fn access(&self) -> Access {
        match self {
            Self::List
            | Self::Show(_)
            | Self::Preview { .. }
            | Self::Test { .. }
            | Self::Ticks(_) => Access::Reads,
            Self::Switch(_) => Access::Acts,
        }
    }
}

impl SensorCommand {
    fn access(&self) -> Access {
        match self {
            Self::List | Self::Show(_) | Self::Test(_) | Self::Ticks(_) | Self::Deliveries(_) => {
                Access::Reads
            }
            Self::Switch(_) | Self::Resend { .. } | Self::Drop { .. } | Self::Cursor { .. } => {
                Access::Acts
            }
            Self::Tick(_) => Access::Does,
        }
    }
}

impl AssetCommand {
    fn access(&self) -> Access {
        match self {
            Self::List | Self::Show { .. } => Access::Reads,
            Self::Report { .. } => Access::Acts,
            Self::Materialize { .. } => Access::Does,
        }
    }
}

impl PartitionCommand {
    fn access(&self) -> Access {
        match self {
            Self::List { .. } => Access::Reads,
            Self::Add { .. } | Self::Delete { .. } => Access::Acts,
        }
    }
}

impl RunCommand {
    fn access(&self) -> Access {
        match self {
            Self::List { .. } | Self::Show { .. } | Self::Logs { .. } => Access::Reads,
            // A retry runs the plan of the run that failed.
            Self::Retry(_) | Self::Cancel { .. } => Access::Acts,
        }
    }
}

impl DeadLetterCommand {
    fn access(&self) -> Access {
        match self {
            Self::List { .. } | Self::Show { .. } => Access::Reads,
            Self::Retry(_) | Self::Discard { .. } => Access::Acts,
        }
    }
}

impl DefinitionsCommand {
    fn access(&self) -> Access {
        match self {
            Self::Status | Self::Validate { .. } | Self::History { .. } | Self::Diff { .. } => {
                Access::Reads
            }
            Self::Plan { .. } => Access::Compares,
            Self::Scan { .. } | Self::Rollback { .. } => Access::Does,
        }
    }
}
