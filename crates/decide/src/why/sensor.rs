//! Why a sensor ticked, did not, or will; and what became of the runs it asked for.

use millstream_model::view::{RunRow, SensorRow, SensorStand};
use millstream_model::{TickRow, TickStatus, Timestamp, shell_word};

use super::schedule::{off_words, outcome_words, runs_words, switch_words};
use super::{InVain, Why, because, delivery};

/// What is stored about a sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorFacts {
    /// The sensor.
    pub sensor: SensorRow,
    /// What it remembers, and what waits for it.
    pub stand: SensorStand,
    /// The deliveries to a webhook of which no run has come.
    pub in_vain: InVain,
    /// The runs that its last tick requested, or what tries them again; a few of them.
    pub runs: Vec<RunRow>,
    /// The time at which this is asked.
    pub now: Timestamp,
}

/// Why a sensor ticked, did not, or will.
pub fn why_sensor(facts: &SensorFacts) -> Why {
    let sensor = &facts.sensor;
    let word = shell_word(sensor.name.as_str());
    let mut reasons = Vec::new();
    let (by_hand, unclear) = (sensor.enabled_override.as_ref(), sensor.unclear.as_deref());
    reasons.extend(switch_words(sensor.enabled, by_hand, unclear));
    let stopped = stopped_words(sensor);
    reasons.extend(stopped.clone().map(|text| because(None, text)));
    let last = sensor.last_tick.as_ref().map(|tick| (tick, tick_words(tick)));
    if let Some((tick, text)) = &last {
        reasons.push(because(tick.decided_at, text.clone()));
        let warnings = tick.warnings.iter();
        reasons.extend(warnings.map(|it| because(tick.decided_at, it.message.clone())));
    }
    reasons.extend(runs_words(&facts.runs));
    if let Some(lag) = facts.stand.lag.filter(|lag| lag.events > 0) {
        let text = match sensor.kind.as_str() {
            "webhook" => {
                let wait = waits(lag.events, ["delivery", "deliveries"]);
                format!(
                    "{wait} for it: `millstream sensor deliveries {word}` lists what waits, and \
                     `millstream sensor drop {word} DELIVERY` drops one"
                )
            }
            _ => format!("{} for it", waits(lag.events, ["event", "events"])),
        };
        reasons.push(because(lag.since, text));
    }
    reasons.extend(delivery::tried(&facts.in_vain));
    let set_aside = facts.stand.set_aside.unwrap_or(0);
    reasons.extend(delivery::aside(&facts.in_vain, set_aside, &word));
    reasons.extend(delivery::refused(&facts.in_vain));
    let next = match sensor.next_at {
        _ if sensor.waits.is_some() => sensor.waits.clone().unwrap_or_default(),
        Some(next) if next <= facts.now => {
            format!("it was due at {next}, and is being asked or is so at the next look")
        }
        Some(next) => format!("it is asked at {next} at the latest"),
        None => "no daemon has looked at it yet".to_owned(),
    };
    let on = match stopped.filter(|_| sensor.enabled) {
        Some(stopped) => format!("It is on, but {stopped}. "),
        None => String::new(),
    };
    let answer = match &last {
        _ if !sensor.enabled => {
            let off = off_words(by_hand, unclear);
            format!("{off} `millstream sensor start {word}` switches it on.")
        }
        None => format!("It has not ticked yet; {next}."),
        Some((tick, text)) if tick.status == TickStatus::Failed => {
            let ticks = format!("`millstream sensor ticks {word}` shows the ones before");
            format!("It fails: {text}; {next}. {ticks}.")
        }
        Some((_, text)) => format!("It is on: {text}; {next}."),
    };
    let what = format!("sensor {}", sensor.name);
    let answer = match on.as_str() {
        "" => answer,
        on => format!("{on}{}", answer.replacen("It is on: its", "Its", 1)),
    };
    let failing = delivery::failing(&facts.in_vain, set_aside);
    Why { what, answer: format!("{answer}{failing}"), because: reasons }
}

/// That the job of a sensor is off, and what switches it on; nothing when it is not.
fn stopped_words(sensor: &SensorRow) -> Option<String> {
    let job = sensor.stopped_by()?;
    let word = shell_word(job);
    Some(format!(
        "its job {job} is switched off, so that no run of it is requested: `millstream job start \
         {word}` switches it on"
    ))
}

/// That `count` of what is called so wait.
fn waits(count: u32, [one, many]: [&str; 2]) -> String {
    if count == 1 { format!("1 {one} waits") } else { format!("{count} {many} wait") }
}

/// What a tick of a sensor came to. It is known by the time at which the sensor was asked, so that
/// what passed until it was decided is what the answer took.
fn tick_words(tick: &TickRow) -> String {
    let took = tick.lateness().as_secs();
    let took = if took > 0 { format!(", which took {took} s,") } else { String::new() };
    format!("its tick of {}{took} {}", tick.nominal, outcome_words(tick))
}
