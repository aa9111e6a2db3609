//! Cron expressions in the zones of the world, against Python's zoneinfo: another program, another
//! calendar, another reader of the zone data.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use millstream_model::cron::CronSchedule;
use millstream_model::{Timestamp, Zone};
use serde::Deserialize;

use crate::number;

/// The zones of the short budget: gaps at midnight, of half an hour, three hours and a day, offsets
/// of a quarter, two rules a year, none, and the south.
const SHORT: [&str; 16] = [
    "America/Danmarkshavn",
    "America/Havana",
    "America/New_York",
    "America/St_Johns",
    "Africa/Casablanca",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Europe/London",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
];

/// The arithmetic of hashes, which the script has too.
const PRIME: u128 = (1 << 61) - 1;

/// What the script says of a zone.
#[derive(Debug, Deserialize)]
struct Expected {
    zone: String,
    offsets: u64,
    spans: Vec<(i64, i64)>,
    fires: BTreeMap<String, (u64, u64)>,
}

fn hashed(hash: u64, value: i64) -> u64 {
    let value = u128::try_from(value).unwrap();
    u64::try_from((u128::from(hash) * 1_000_003 + value) % PRIME).unwrap()
}

/// A hash of the zone's offset on every day and of its changes, as the script makes it.
fn offsets(zone: &Zone) -> u64 {
    let offset = |at: i64| {
        let at = jiff::Timestamp::from_second(at).unwrap();
        i64::from(zone.as_jiff().to_offset(at).seconds())
    };
    let last = Timestamp::at_local("2037-12-30", &Zone::UTC).unwrap().as_micros() / 1_000_000;
    let (mut at, mut hash) = (2 * 86_400, 0);
    let mut before = offset(at);
    while at < last {
        let after = offset(at + 86_400);
        hash = hashed(hash, after + 100_000);
        if after != before {
            let (mut low, mut high) = (at, at + 86_400);
            while high - low > 1 {
                let middle = i64::midpoint(low, high);
                *(if offset(middle) == before { &mut low } else { &mut high }) = middle;
            }
            hash = hashed(hash, high);
        }
        (before, at) = (after, at + 86_400);
    }
    hash
}

/// How often `text` fires in `spans`, and a hash of the times.
fn fires(text: &str, zone: &Zone, spans: &[(i64, i64)]) -> (u64, u64) {
    let cron = CronSchedule::parse(text).unwrap();
    let (mut count, mut hash) = (0, 0);
    for (start, end) in spans {
        let mut at = Timestamp::from_micros(start * 1_000_000);
        loop {
            at = cron.next_after(at, zone).unwrap();
            let second = at.as_micros() / 1_000_000;
            if second > *end {
                break;
            }
            (count, hash) = (count + 1, hashed(hash, second));
        }
    }
    (count, hash)
}

#[test]
fn g11_r150_cron_fires_as_an_independent_reader_of_the_zones_says() {
    let is_long = number("MILLSTREAM_ZONES_ALL").is_some();
    let zones: Vec<String> = if is_long {
        jiff::tz::db().available().map(|name| name.to_string()).collect()
    } else {
        SHORT.map(str::to_owned).to_vec()
    };
    let days = number("MILLSTREAM_ZONES_DAYS").unwrap_or(1).to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sim/cron_fires.py");
    let script = Command::new("python3")
        .arg(script)
        .arg(&days)
        .args(zones.iter().filter(|zone| has_file(zone)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let Ok(output) = script else {
        assert!(std::env::var("CI").is_err(), "python3 is not there");
        println!("skipped: there is no python3");
        return;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let (mut compared, mut total, mut other_data) = (0, 0, Vec::new());
    let mut different = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let expected: Expected = serde_json::from_str(line).unwrap();
        let zone: Zone = expected.zone.parse().unwrap();
        if offsets(&zone) != expected.offsets {
            other_data.push(expected.zone);
            continue;
        }
        compared += 1;
        for (text, told) in &expected.fires {
            let ours = fires(text, &zone, &expected.spans);
            total += ours.0;
            if ours != *told {
                different.push(format!("{text} in {}: {ours:?}, not {told:?}", expected.zone));
            }
        }
    }
    let others = other_data.len();
    println!(
        "G11: {compared} zones 1970-2037, {total} fire times: {} expressions differ \
         ({others} zones of other data not compared: {})",
        different.len(),
        other_data.join(", ")
    );
    assert!(different.is_empty(), "{different:#?}");
    assert!(others * 4 <= zones.len(), "too much of the zone data differs: {other_data:?}");
}

/// Names that zoneinfo has no file for.
fn has_file(name: &str) -> bool {
    !matches!(name, "posixrules" | "Factory" | "localtime")
}
