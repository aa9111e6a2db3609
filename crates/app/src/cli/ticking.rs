//! The commands about schedules and sensors.

use clap::{Args, Subcommand};
use millstream_model::Timestamp;

/// What a command is about, where its name says which.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: String,
}

/// The newest ticks of a schedule or a sensor.
#[derive(Debug, Args)]
pub(crate) struct Newest {
    /// Its name.
    pub(crate) name: String,
    /// How many at most.
    #[arg(long, default_value_t = 20, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// Whether a schedule or a sensor ticks.
#[derive(Debug, Subcommand)]
pub(crate) enum SwitchCommand {
    /// Let it tick, whatever its file says.
    Start(Named),
    /// Keep it from ticking, whatever its file says.
    Stop(Named),
    /// Take back what was said by hand, so that the file's word counts again.
    Reset(Named),
}

impl SwitchCommand {
    /// What is switched, and to which of the API's words.
    pub(crate) fn order(&self) -> (&str, &'static str) {
        match self {
            Self::Start(Named { name }) => (name, "on"),
            Self::Stop(Named { name }) => (name, "off"),
            Self::Reset(Named { name }) => (name, "file"),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the schedules with their next times and last ticks.
    List,
    /// Show a schedule.
    Show(Named),
    #[command(flatten)]
    Switch(SwitchCommand),
    /// Show when a schedule ticks next.
    Preview {
        /// The schedule.
        name: String,
        /// How many times.
        #[arg(short = 'n', long = "count", default_value_t = 10,
            value_parser = clap::value_parser!(u32).range(1..=1_000))]
        count: u32,
        /// The time after which they are looked for, like `2026-01-31T06:00:00Z`; otherwise now.
        #[arg(long, value_parser = point_in_time)]
        from: Option<Timestamp>,
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
    Ticks(Newest),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SensorCommand {
    /// List the sensors with their last ticks.
    List,
    /// Show a sensor, what it remembers and how far it is behind.
    Show(Named),
    #[command(flatten)]
    Switch(SwitchCommand),
    /// Ask a sensor now and say what its tick would request; nothing is requested.
    Test(Named),
    /// Have a sensor tick now, whenever it is due.
    Tick(Named),
    /// Show the newest ticks and what came of them.
    Ticks(Newest),
    /// List the deliveries that wait for a webhook's sensor, or were set aside, and why.
    Deliveries(Newest),
    /// Have deliveries tried anew that were set aside, or that wait for their next try.
    Resend {
        /// The sensor.
        name: String,
        /// The delivery, as `sensor deliveries` names it; all of them when left out.
        delivery: Option<String>,
    },
    /// Drop a delivery that waits or was set aside, so that the sensor does not read it any more.
    Drop {
        /// The sensor.
        name: String,
        /// The delivery, as `sensor deliveries` and the ticks name it.
        delivery: String,
    },
    /// Give a sensor another cursor.
    #[command(group = clap::ArgGroup::new("to").required(true))]
    Cursor {
        /// The sensor.
        name: String,
        /// The new cursor.
        #[arg(long, group = "to")]
        set: Option<String>,
        /// Let it begin anew, without a cursor.
        #[arg(long, group = "to")]
        clear: bool,
    },
}

/// A point in time as an argument.
fn point_in_time(text: &str) -> Result<Timestamp, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "that is no point in time; write it like 2026-01-31T06:00:00Z".to_owned())
}
