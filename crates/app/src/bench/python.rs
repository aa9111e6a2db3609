//! P4 to P7: steps that are functions in Python, in each of the three isolations.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_host::Interpreters;
use serde_json::json;

use super::bed::{Bed, broken, micros};
use super::database::Database;
use super::figure::{Figure, Unit};
use super::folder::Folder;
use super::job;
use super::python_probe::Answering;
use super::quick::Size;
use super::rounds::{Outcome, interleave, median};
use crate::error::AppError;

/// Steps of the chain.
const LENGTH: u32 = 40;

/// Steps of the chain whose processes are cold.
const COLD_LENGTH: u32 = 10;

/// Steps of the chain that computes.
const LONG_LENGTH: usize = 10;

/// The functions.
const SOURCE: &str = r#"
import time

def nothing():
    return {"done": True}

def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def short():
    return fib(10)

def long():
    start = time.perf_counter()
    # What it does to tell its time is its own time too.
    with open("took", "a") as file:
        value = fib(33)
        file.write(f"{time.perf_counter() - start}\n")
    return value
"#;

/// The longest that forty short functions may take, by isolation, in microseconds.
const SHORT_MAX: [(&str, &str, f64); 2] = [("fork", "P4", 80_000.0), ("warm", "P5", 20_000.0)];

/// What is measured in: a bed with chains of functions, and the interpreter.
struct Ground {
    bed: Bed,
    python: PathBuf,
    runs: u32,
    rounds: usize,
}

impl Ground {
    async fn open(folder: Folder, size: &Size) -> Result<Self, AppError> {
        let path = folder.path().join("tasks.py");
        std::fs::write(&path, SOURCE).map_err(|source| AppError::Files { path, source })?;
        for (name, length, isolation, function) in [
            ("fork", LENGTH, "fork", "nothing"),
            ("warm", LENGTH, "warm", "nothing"),
            ("cold", COLD_LENGTH, "process", "nothing"),
            ("fork_short", LENGTH, "fork", "short"),
            ("warm_short", LENGTH, "warm", "short"),
            ("long", u32::try_from(LONG_LENGTH).unwrap_or_default(), "fork", "long"),
        ] {
            let function = format!("tasks.py:{function}");
            let config = json!({ "function": function, "isolation": isolation });
            let length = usize::try_from(length).unwrap_or_default();
            folder.define(&format!("{name}.json"), &job::chain(length, "python", &config))?;
        }
        let env = std::env::vars().collect();
        let python = Interpreters::default().find("python3", &env, folder.path()).await;
        let python = python.map_err(|error| broken(&error))?;
        let bed = Bed::open(folder, Database::Embedded).await?;
        Ok(Self { bed, python, runs: size.runs, rounds: size.rounds })
    }

    /// The mean time of a step of `job`.
    async fn step(&self, job: &str, length: u32) -> Result<f64, AppError> {
        let mut took = 0.0;
        for _ in 0..self.runs {
            took += micros(self.bed.run(job).await?);
        }
        Ok(took / f64::from(length * self.runs))
    }

    /// The mean time of a trip to `program` and one commit, in turns.
    async fn limit(&self, program: &Arc<Mutex<Answering>>) -> Result<f64, AppError> {
        let program = Arc::clone(program);
        let trip = move || program.lock().unwrap_or_else(PoisonError::into_inner).trip();
        self.bed.turns(LENGTH * self.runs, trip).await
    }

    /// The mean time of a step of `job`, and what a program of the same kind and a commit take.
    async fn outcome(&self, job: &str, program: Answering) -> Result<Outcome, AppError> {
        let program = Arc::new(Mutex::new(program));
        let (limit, ours) =
            (async || self.limit(&program).await, async || self.step(job, LENGTH).await);
        interleave(self.rounds, limit, ours).await
    }

    /// The median time of forty short functions.
    async fn short(&self, isolation: &str) -> Result<f64, AppError> {
        let mut took = Vec::new();
        for _ in 0..self.rounds.max(3) {
            took.push(micros(self.bed.run(&format!("{isolation}_short")).await?));
        }
        Ok(median(took))
    }

    async fn short_figure(&self, place: usize) -> Result<Option<Figure>, AppError> {
        let Some((isolation, goal, most)) = SHORT_MAX.get(place) else { return Ok(None) };
        let what = format!("40 × fib(10) in sequence, `{isolation}`");
        let took = (self.short(isolation).await?, Unit::Microseconds);
        Ok(Some(Figure::most(goal, &what, took, *most)))
    }
}

/// P4: forks of a process that has imported the code.
pub(super) async fn fork(folder: Folder, size: &Size) -> Result<Vec<Figure>, AppError> {
    let ground = Ground::open(folder, size).await?;
    let outcome = ground.outcome("fork", Answering::by_forks(&ground.python)?).await?;
    let what = "Python step in a fork / fork, JSON, reap + commit";
    let ratio = Figure::ratio("P4", what, outcome, (1.5, Some(1.3)));
    Ok([ratio].into_iter().chain(ground.short_figure(0).await?).collect())
}

/// P5: a warm process.
pub(super) async fn warm(folder: Folder, size: &Size) -> Result<Vec<Figure>, AppError> {
    let ground = Ground::open(folder, size).await?;
    let outcome = ground.outcome("warm", Answering::itself(&ground.python)?).await?;
    let what = "Python step in a warm process / JSON round trip + commit";
    let ratio = Figure::ratio("P5", what, outcome, (2.0, Some(1.5)));
    Ok([ratio].into_iter().chain(ground.short_figure(1).await?).collect())
}

/// P6: a process of its own.
pub(super) async fn cold(folder: Folder, size: &Size) -> Result<Figure, AppError> {
    let ground = Ground::open(folder, size).await?;
    let python = ground.python.clone();
    let outcome = interleave(
        size.rounds,
        async || {
            let python = python.clone();
            ground.bed.turns(COLD_LENGTH * size.runs, move || start(&python)).await
        },
        async || ground.step("cold", COLD_LENGTH).await,
    )
    .await?;
    let what = "cold Python step / `python -I` with json + commit";
    Ok(Figure::ratio("P6", what, outcome, (1.2, None)))
}

/// P7: what is not spent in the functions themselves, as a share of what is.
pub(super) async fn long(folder: Folder, size: &Size) -> Result<Figure, AppError> {
    let ground = Ground::open(folder, size).await?;
    let path = ground.bed.folder.path().join("took");
    let files = |source| AppError::Files { path: path.clone(), source };
    let mut shares = Vec::new();
    // The process that forks is there already, as it is for all runs but the first.
    ground.bed.run("fork").await?;
    for _ in 0..(size.rounds / 3).max(1) {
        std::fs::write(&path, "").map_err(files)?;
        let whole = ground.bed.run("long").await?.as_secs_f64();
        let text = std::fs::read_to_string(&path).map_err(files)?;
        let inside: f64 = text.lines().filter_map(|line| line.parse::<f64>().ok()).sum();
        shares.push((whole - inside) / inside * 100.0);
    }
    let what = "10 × fib(33) in sequence: what is added to the functions' own time";
    Ok(Figure::most("P7", what, (median(shares), Unit::Percent), 1.0))
}

/// Starts Python with what any step needs, and waits for its end.
fn start(python: &Path) -> Result<(), AppError> {
    let mut command = Command::new(python);
    command.args(["-I", "-c", "import json"]).env_clear().stdin(Stdio::null());
    let ended = command.status();
    ended.map(|_| ()).map_err(|source| AppError::Files { path: python.to_owned(), source })
}
