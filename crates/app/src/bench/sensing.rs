//! SENSORS: many sensors that are due at the same time, with nothing new and with news for each.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use millstream_control::{
    Control, PublishWatch, QueueLimits, QueueWatch, Sensor, SensorTicked, SensorWatch,
};
use serde_json::{Map, Value, json};

use super::bed::{Bed, TIME_TO_LIVE, broken, micros};
use super::database::Database;
use super::figure::{Figure, Unit};
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::rounds::median;
use crate::error::AppError;

/// Sensors of a group, and groups that tick at the same time, as in a daemon.
const GROUP: usize = 64;
const AT_ONCE: usize = 2;

/// How often each sensor looks, and a bit more.
const EVERY: &str = "1s";
const REST: Duration = Duration::from_millis(1_100);

/// Rounds, of which the middle one counts.
const ROUNDS: usize = 3;

/// The most that one look of all of them may take, in microseconds: as often as they look.
const LOOK_MAX: f64 = 1_000_000.0;

/// The most until all of them have their runs in the queue.
const NEWS_MAX: f64 = 2_000_000.0;

/// Measures on `database`.
pub(super) async fn measure(
    folder: Folder,
    size: &Size,
    database: Database<'_>,
) -> Result<Vec<Figure>, AppError> {
    define(&folder, size.sensors)?;
    let mut bed = Bed::open(folder, database).await?;
    bed.scan().await?;
    let control = bed.control().clone();
    let mut watch = SensorWatch::default();
    let mut publisher = PublishWatch::default();
    control.release_sensors("bench").await?;
    // A new sensor's first tick begins at the log's end.
    look(&control, &mut watch, size.sensors).await?;
    let (mut quiet, mut news) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds.min(ROUNDS) {
        tokio::time::sleep(REST).await;
        let start = Instant::now();
        look(&control, &mut watch, size.sensors).await?;
        quiet.push(micros(start.elapsed()));

        bed.run("source").await?;
        while control.needs_publisher()
            && control.publish("bench", &mut publisher, TIME_TO_LIVE).await? > 0
        {}
        tokio::time::sleep(REST).await;
        let start = Instant::now();
        let requested = look(&control, &mut watch, size.sensors).await?;
        news.push(micros(start.elapsed()));
        if requested != size.sensors {
            return Err(broken(&format!("{requested} of {} sensors had news", size.sensors)));
        }
        clear(&control, requested).await?;
    }
    control.release_sensors("bench").await?;
    let what = |what: &str| format!("{} sensors due at once, {what}, {database}", size.sensors);
    let figure = |of: &str, each, most| {
        Figure::most("SENSORS", &what(of), (median(each), Unit::Microseconds), most)
    };
    Ok(vec![
        figure("with nothing new", quiet, LOOK_MAX),
        figure("each of which requests a run", news, NEWS_MAX),
    ])
}

/// Writes sensors that react to the end of one job with runs of another.
fn define(folder: &Folder, count: usize) -> Result<(), AppError> {
    folder.define("source.json", &job::noops(1))?;
    folder.define("one.json", &job::noops(1))?;
    let sensors: Map<String, Value> = (0..count)
        .map(|number| {
            let sensor = json!({
                "kind": "run_status", "job": "source", "on": ["SUCCESS"], "every": EVERY,
                "request": { "job": "one" },
            });
            (format!("s{number}"), sensor)
        })
        .collect();
    folder.define("sensors.json", &json!({ "sensors": sensors }).to_string())
}

/// Has each of `count` sensors tick once; how many requested a run.
async fn look(control: &Control, watch: &mut SensorWatch, count: usize) -> Result<usize, AppError> {
    let pass = control.due_sensors("bench", watch, TIME_TO_LIVE).await;
    let due = pass.map_err(|error| broken(&error))?.readers;
    if due.len() != count {
        return Err(broken(&format!("{} of {count} sensors are due", due.len())));
    }
    let groups = due.chunks(GROUP).map(|group| tick(control, group));
    let ticked: Vec<usize> = stream::iter(groups).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(ticked.into_iter().sum())
}

/// A tick of each; how many requested a run.
async fn tick(control: &Control, group: &[Sensor]) -> Result<usize, AppError> {
    let mut requested = 0;
    for ticked in control.tick_readers(group).await {
        match ticked?.ok_or_else(|| broken(&"a sensor is not there"))? {
            SensorTicked::Launched(_) => requested += 1,
            SensorTicked::Skipped => {}
            other => return Err(broken(&format!("a sensor's tick came to {other:?}"))),
        }
    }
    Ok(requested)
}

/// Takes the runs that were requested out of the queue again.
async fn clear(control: &Control, count: usize) -> Result<(), AppError> {
    let (mut watch, mut taken) = (QueueWatch::default(), 0);
    while taken < count {
        let limits = QueueLimits::of(None);
        let claimed = control.claim_runs("bench", &mut watch, limits, TIME_TO_LIVE).await?;
        if claimed.is_empty() {
            return Err(broken(&"what sensors requested is not in the queue"));
        }
        super::claims::end(control, &claimed).await?;
        taken += claimed.len();
    }
    Ok(())
}
