//! `millstream bench quick`: every goal in turn, one table.

use std::time::Duration;

use millstream_control::Store;
use serde_json::json;

use super::database::Database;
use super::figure::{Figure, HEADS};
use super::folder::Folder;
use super::{
    burst, chain, claims, cpu, definitions, due, flight, idle, logs, process, python, scan,
    sensing, start, trigger,
};
use crate::cli::{BenchSize, Global};
use crate::error::AppError;
use crate::output;

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) size: BenchSize,
    /// Only these goals; all when empty.
    pub(crate) goals: Vec<String>,
    /// A database for P1 on Postgres.
    pub(crate) postgres: Option<String>,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(super) struct Size {
    /// Rounds that count.
    pub(super) rounds: usize,
    /// Runs in one round.
    pub(super) runs: u32,
    /// Runs of P2 that go on at once.
    pub(super) flights: u32,
    /// Runs that are triggered at once.
    pub(super) bursts: [u32; 2],
    /// Runs that wait while memory is measured.
    pub(super) waiting: u32,
    /// Triggers in one round.
    pub(super) triggers: usize,
    /// How long a server is watched that does nothing.
    pub(super) idle: Duration,
    /// Files of the large scan.
    pub(super) files: usize,
    /// Lines of output in one round.
    pub(super) lines: usize,
    /// Schedules that are due in the same second.
    pub(super) schedules: usize,
    /// Runs that wait and are claimed.
    pub(super) claims: u32,
    /// Sensors that are due at the same time.
    pub(super) sensors: usize,
    /// Files of the large load, and nodes of the large job.
    pub(super) load: (usize, usize),
}

impl Size {
    fn of(size: BenchSize) -> Self {
        match size {
            BenchSize::Tiny => Self {
                rounds: 2,
                runs: 1,
                flights: 8,
                bursts: [10, 40],
                waiting: 500,
                triggers: 4,
                idle: Duration::from_secs(1),
                files: 500,
                lines: 20_000,
                schedules: 200,
                claims: 200,
                sensors: 50,
                load: (200, 500),
            },
            BenchSize::Full => Self {
                rounds: 9,
                runs: 10,
                flights: 64,
                bursts: [100, 1_000],
                waiting: 100_000,
                triggers: 40,
                idle: Duration::from_secs(20),
                files: 10_000,
                lines: 1_000_000,
                schedules: 10_000,
                claims: 5_000,
                sensors: 1_000,
                load: (5_000, 10_000),
            },
        }
    }
}

/// The goals that can be asked for.
const GOALS: [&str; 21] = [
    "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "P11", "P12", "P13", "P14", "P15",
    "P16", "QUEUE", "R196", "R199", "R200", "SENSORS",
];

/// Measures what `order` asks for and prints the table; fails when a gate is missed.
pub(crate) async fn run(global: &Global, order: &Order) -> Result<(), AppError> {
    let goals = chosen(&order.goals)?;
    let size = Size::of(order.size);
    let header = header(order.postgres.as_deref()).await?;
    let mut figures = Vec::new();
    for goal in goals {
        output::note(&format!("{goal} …"));
        figures.extend(measure(global, goal, &size, order.postgres.as_deref()).await?);
    }
    if global.json {
        let lines: Vec<_> = figures.iter().map(Figure::json).collect();
        output::json(&json!({ "header": header, "figures": lines }));
    } else {
        output::line(&header);
        output::table(&HEADS, &figures.iter().map(Figure::row).collect::<Vec<_>>());
    }
    // In a tiny size the figures say too little to fail for them.
    let judged = order.size == BenchSize::Full;
    if judged && !figures.iter().all(Figure::holds) { Err(AppError::Failed) } else { Ok(()) }
}

fn chosen(asked: &[String]) -> Result<Vec<&'static str>, AppError> {
    if asked.is_empty() {
        return Ok(GOALS.to_vec());
    }
    let find = |name: &String| {
        let found = GOALS.into_iter().find(|goal| goal.eq_ignore_ascii_case(name));
        found.ok_or_else(|| AppError::Usage {
            code: millstream_model::ErrorCode::BadRequest,
            message: format!("there is no goal `{name}`; choose from {}", GOALS.join(", ")),
        })
    };
    asked.iter().map(find).collect()
}

async fn measure(
    global: &Global,
    goal: &str,
    size: &Size,
    postgres: Option<&str>,
) -> Result<Vec<Figure>, AppError> {
    let below = || Folder::below(&global.dir);
    let mut figures = Vec::new();
    for database in Database::each(postgres) {
        figures.extend(match goal {
            "P1" => vec![chain::measure(below()?, size, database).await?],
            "P2" => vec![flight::measure(below()?, size, database).await?],
            "P3" => vec![process::measure(below()?, size, database).await?],
            "P8" => trigger::measure(&below()?, size, database).await?,
            "P9" => burst::runs(&below()?, size, database).await?,
            "P13" => due::measure(below()?, size, database).await?,
            "P16" => vec![cpu::measure(below()?, size, database).await?],
            "QUEUE" => vec![claims::measure(below()?, size, database).await?],
            "SENSORS" => sensing::measure(below()?, size, database).await?,
            _ => return measure_embedded(goal, below()?, size).await,
        });
    }
    if goal == "P9" {
        figures.extend(burst::memory(&below()?, size).await?);
    }
    Ok(figures)
}

/// Measures what does not depend on the database.
async fn measure_embedded(
    goal: &str,
    folder: Folder,
    size: &Size,
) -> Result<Vec<Figure>, AppError> {
    match goal {
        "P4" => python::fork(folder, size).await,
        "P5" => python::warm(folder, size).await,
        "P6" => Ok(vec![python::cold(folder, size).await?]),
        "P7" => Ok(vec![python::long(folder, size).await?]),
        "P10" => Ok(vec![burst::steps(&folder, size).await?]),
        "P11" => start::measure(&folder, size).await,
        "P12" => idle::measure(&folder, size).await,
        "P14" => Ok(vec![logs::measure(folder, size).await?]),
        "P15" => Ok(vec![scan::measure(folder, size).await?]),
        "R196" => trigger::roots(&folder, size).await,
        "R199" => definitions::small(folder).await,
        _ => definitions::large(folder, size).await,
    }
}

/// What the figures were taken with: the program, the machine, and how durable a commit is.
async fn header(postgres: Option<&str>) -> Result<String, AppError> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    let postgres = match postgres {
        Some(url) => {
            let settings = Store::connect_postgres(url, 1).await?.durability().await?;
            format!("; Postgres with {settings}")
        }
        None => String::new(),
    };
    Ok(format!(
        "millstream {} ({build}), {cores} cores; durable: SQLite WAL with synchronous=FULL\
         {postgres}",
        env!("CARGO_PKG_VERSION")
    ))
}
