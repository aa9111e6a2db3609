//! The commands about schedules and sensors.

use clap::Subcommand;
use millstream_model::Timestamp;

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the schedules with their next times and last ticks.
    List,
    /// Show a schedule.
    Show {
        /// The schedule.
        name: String,
    },
    /// Let a schedule tick, whatever its file says.
    Start {
        /// The schedule.
        name: String,
    },
    /// Keep a schedule from ticking, whatever its file says.
    Stop {
        /// The schedule.
        name: String,
    },
    /// Take back what was said by hand, so that the file's word counts again.
    Reset {
        /// The schedule.
        name: String,
    },
    /// Show when a schedule ticks next.
    Preview {
        /// The schedule.
        name: String,
        /// How many times.
        #[arg(short = 'n', long = "count", default_value_t = 10)]
        count: usize,
    },
    /// Say what a tick would request, and request nothing.
    Test {
        /// The schedule.
        name: String,
        /// The nominal time, like `2026-01-31T06:00:00Z`; the next one when left out.
        #[arg(long, value_parser = point_in_time)]
        at: Option<Timestamp>,
    },
    /// Show the newest ticks and what came of them.
    Ticks {
        /// The schedule.
        name: String,
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SensorCommand {
    /// List the sensors with their last ticks.
    List,
    /// Show a sensor, what it remembers and how far it is behind.
    Show {
        /// The sensor.
        name: String,
    },
    /// Let a sensor tick, whatever its file says.
    Start {
        /// The sensor.
        name: String,
    },
    /// Keep a sensor from ticking, whatever its file says.
    Stop {
        /// The sensor.
        name: String,
    },
    /// Take back what was said by hand, so that the file's word counts again.
    Reset {
        /// The sensor.
        name: String,
    },
    /// Ask a sensor now and say what its tick would request; nothing is requested.
    Test {
        /// The sensor.
        name: String,
    },
    /// Show the newest ticks and what came of them.
    Ticks {
        /// The sensor.
        name: String,
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Give a sensor another cursor.
    Cursor {
        /// The sensor.
        name: String,
        /// The new cursor.
        #[arg(long, required_unless_present = "clear")]
        set: Option<String>,
        /// Let it begin anew, without a cursor.
        #[arg(long, conflicts_with = "set")]
        clear: bool,
    },
}

/// A point in time as an argument.
fn point_in_time(text: &str) -> Result<Timestamp, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "that is no point in time; write it like 2026-01-31T06:00:00Z".to_owned())
}
