//! One sensor: what it asks and remembers, what its ticks came to, and what one would do now.

use askama::Template;
use millstream_control::WaitingDelivery;
use millstream_model::view::{SensorRow, SensorStand, SensorTest};
use millstream_model::{TenantId, TickRow, Timestamp, shell_word};

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::pages::automation::{Decided, UNCLEAR, switch_of_job};
use crate::parts::{Badge, DeliveryTable, Equivalent, TickName, TickTable, why, with_word};

/// Requests of a test that are shown.
const REQUESTS_SHOWN: usize = 20;

/// Letters of a cursor that are shown.
const CURSOR_SHOWN: usize = 120;

/// Unread events that are counted; more are as many.
const LAG_COUNTED: u32 = 10_000;

/// The kind of sensors that are posted to.
pub(crate) const WEBHOOK: &str = "webhook";

/// The kind of sensors that look after partitions, and have no cursor either.
const SYNC: &str = "partition_sync";

/// What the page shows.
#[derive(Debug, Clone)]
pub struct SensorPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The sensor.
    pub sensor: SensorRow,
    /// What it remembers, and how far it is behind.
    pub stand: SensorStand,
    /// The first deliveries that wait for it or were set aside, if it is posted to.
    pub deliveries: Vec<WaitingDelivery>,
    /// Its newest ticks, newest first.
    pub ticks: Vec<TickRow>,
    /// What a tick would do, after somebody asked.
    pub test: Option<SensorTest>,
}

#[derive(Template)]
#[template(path = "sensor.html")]
struct Sensor {
    frame: Frame,
    line: SensorLine,
    description: String,
    verdict: String,
    lag: String,
    deliveries: DeliveryTable,
    ticks: TickTable,
    test: Option<TestLine>,
    facts: Vec<(&'static str, String)>,
    test_action: String,
    tick_action: Option<String>,
    equivalent: Equivalent,
}

/// A sensor in a list.
pub struct SensorLine {
    /// Its name.
    pub name: String,
    /// Its page.
    pub href: String,
    /// Whether it ticks.
    pub badge: Badge,
    /// Who decided that.
    pub decided: Decided,
    /// Whether its job is off, so that it requests no run of it.
    pub job_off: bool,
    /// Whether it is off because its `enabled` cannot be evaluated.
    pub is_unclear: bool,
    /// What it asks.
    pub asks: String,
    /// What it runs.
    pub target: String,
    /// How often it is asked.
    pub every: String,
    /// Its last tick.
    pub last: Option<(Badge, Moment, String)>,
    /// Where its switch posts.
    pub switch: String,
    /// What its switch would set.
    pub turns: &'static str,
}

/// What a tick would do.
struct TestLine {
    badge: Badge,
    says: String,
    lines: Vec<String>,
    warnings: Vec<String>,
    more: usize,
    output: String,
}

impl SensorLine {
    /// The line of `row` as it reads at `now`.
    pub fn new(tenant: &TenantId, row: &SensorRow, now: Timestamp) -> Self {
        let last = row
            .last_tick
            .as_ref()
            .map(|tick| (Badge::tick(tick.status), Moment::relative(now, tick.nominal), why(tick)));
        let by_hand = row.enabled_override.is_some();
        Self {
            name: row.name.to_string(),
            href: link::sensor(tenant, &row.name),
            badge: Badge::switch(row.enabled.into()),
            decided: if by_hand { Decided::Override } else { Decided::File },
            job_off: row.job_off,
            is_unclear: !row.enabled && !by_hand && row.unclear.is_some(),
            asks: row.asks.clone(),
            target: row.target.clone().unwrap_or_else(|| "–".to_owned()),
            every: format!("every {}", row.every),
            last,
            switch: link::sensor_switch(tenant, &row.name),
            turns: if row.enabled { "off" } else { "on" },
        }
    }

    /// What the button says.
    pub fn verb(&self) -> &'static str {
        if self.turns == "on" { "Start" } else { "Stop" }
    }

    /// What the page says about the switch, beside its state.
    pub fn word(&self) -> &'static str {
        if self.is_unclear { UNCLEAR } else { self.decided.beside(self.job_off) }
    }
}

/// The page.
pub fn sensor(page: SensorPage) -> Html {
    let (row, tenant) = (&page.sensor, &page.frame.tenant);
    let name = shell_word(row.name.as_str());
    let command = |verb: &str| format!("millstream sensor {verb} {name} --tenant {tenant}");
    let mut equivalent = switch_of_job(row.stopped_by(), tenant)
        .with("Start and stop it", command("start"))
        .with("Its ticks", command("ticks"))
        .with("What a tick would do", command("test"))
        .with("Have it tick now", command("tick"));
    if row.kind == WEBHOOK {
        equivalent = equivalent
            .with("What waits or was set aside", command("deliveries"))
            .with("Try that anew", command("resend"));
    } else if row.kind != SYNC {
        equivalent = equivalent.with("Let it begin anew", command("cursor --clear"));
    }
    let address = format!("GET /{tenant}/api/v1/sensors/{}", link::segment(row.name.as_str()));
    Html::render(&Sensor {
        line: SensorLine::new(tenant, row, page.now),
        description: row.description.clone().unwrap_or_default(),
        verdict: verdict(row, page.now),
        lag: lag(&page.stand, page.now),
        deliveries: DeliveryTable::new(&page.deliveries, kept(&page.stand), page.now),
        ticks: TickTable::new(tenant, ["Asked", "Took"], &page.ticks, |tick| {
            TickName::Ago(Moment::relative(page.now, tick.nominal))
        }),
        test: page.test.as_ref().map(test_line),
        facts: facts(row, &page.stand),
        test_action: link::sensor_test(tenant, &row.name),
        tick_action: row.enabled.then(|| link::sensor_tick(tenant, &row.name)),
        equivalent: equivalent.with("As JSON", address),
        frame: page.frame,
    })
}

fn verdict(row: &SensorRow, now: Timestamp) -> String {
    let what = match row.next_at {
        Some(at) if at > now && row.kind == WEBHOOK => {
            format!("Asked once something is posted, at most every {}", row.every)
        }
        Some(at) if at > now => {
            format!("Asked every {}, next {}", row.every, format::relative(now, at))
        }
        Some(_) if row.waits.is_none() => format!("Asked every {}, now", row.every),
        _ if row.enabled => match &row.waits {
            Some(waits) => format!("Asked every {}, but {waits}", row.every),
            None => format!("Asked every {}, as soon as a daemon looks at it", row.every),
        },
        _ => format!("Would be asked every {}, but is off", row.every),
    };
    let what = match row.stopped_by() {
        Some(job) => format!("{what}; its job {job} is off, so that no run of it is requested"),
        None => what,
    };
    let what = match &row.unclear {
        Some(unclear) => format!("{what}; its `enabled` counts as off: {unclear}"),
        None => what,
    };
    with_word(&what, row.enabled_override.as_ref(), row.enabled_default.into())
}

/// How far it is behind, if it is.
fn lag(stand: &SensorStand, now: Timestamp) -> String {
    let aside = stand.set_aside.filter(|count| *count > 0).map(|count| {
        let deliveries = format::plural(u64::from(count), "delivery", "deliveries");
        format!("{deliveries} of which no run could be made were set aside.")
    });
    let Some(lag) = stand.lag.filter(|lag| lag.events > 0) else {
        return aside.unwrap_or_default();
    };
    let is_more = lag.events >= LAG_COUNTED;
    let since = lag.since.map(|at| format::relative(now, at));
    // Of what is kept for a webhook's sensor some may have been tried in vain.
    let Some(_) = stand.set_aside else {
        let events = format::plural(u64::from(lag.events), "event", "events");
        let since = since.map(|at| format!(", the first {at}")).unwrap_or_default();
        let more = if is_more { "at least " } else { "" };
        return format!("It has not read {more}{events} yet{since}.");
    };
    let wait = format::plural(u64::from(lag.events), "delivery waits", "deliveries wait");
    let since = since.map(|at| format!(", the first came {at}")).unwrap_or_default();
    let aside = aside.map(|aside| format!(" {aside}")).unwrap_or_default();
    let more = if is_more { "At least " } else { "" };
    format!("{more}{wait} for it{since}.{aside}")
}

/// How many deliveries are kept for it.
fn kept(stand: &SensorStand) -> u64 {
    let waiting = stand.lag.map_or(0, |lag| lag.events);
    u64::from(waiting) + u64::from(stand.set_aside.unwrap_or(0))
}

fn test_line(test: &SensorTest) -> TestLine {
    let tick = &test.tick;
    let runs = format::plural(tick.requests.len() as u64, "run", "runs");
    let says = match (&tick.skipped, &tick.error) {
        (Some(beside), _) if !tick.requests.is_empty() => {
            format!("{runs} would be requested; {}", beside.beside_runs())
        }
        (Some(reason), _) => format!("no run would be requested: {reason}"),
        (None, Some(error)) => error.message.clone(),
        (None, None) => format!("{runs} would be requested"),
    };
    let mut lines: Vec<String> = tick
        .requests
        .iter()
        .take(REQUESTS_SHOWN)
        .map(|request| match &request.partition {
            Some(partition) => format!("{partition} under the run key {}", request.run_key),
            None => format!("under the run key {}", request.run_key),
        })
        .collect();
    let more = tick.requests.len().saturating_sub(lines.len());
    for (name, change) in &test.partitions {
        let (added, removed) = (change.add.len(), change.remove.len());
        lines.push(format!("partitions {name}: {added} added, {removed} removed"));
    }
    if test.cursor_after != test.cursor_before {
        lines.push(format!("the cursor would be {}", shown(test.cursor_after.as_deref())));
    }
    TestLine {
        badge: Badge::tick(tick.status),
        says,
        lines,
        warnings: tick.warnings.iter().map(|it| it.message.clone()).collect(),
        more,
        output: test.output.clone(),
    }
}

fn facts(row: &SensorRow, stand: &SensorStand) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Asks", row.asks.clone()),
        ("Runs", row.target.clone().unwrap_or_else(|| without_request(&row.kind).to_owned())),
        ("Every", row.every.to_string()),
        ("Timeout", row.timeout.to_string()),
        ("Cursor", shown(stand.cursor.as_deref())),
        ("Location", row.location.to_string()),
    ];
    facts.extend(row.query.clone().map(|it| ("Query", it)));
    facts.extend(row.when.clone().map(|it| ("When", it)));
    facts.extend(row.guard.clone().map(|it| ("Guard", it)));
    if row.kind == WEBHOOK {
        facts.insert(1, ("Address", format!("POST {}", link::hook(&row.tenant, &row.name))));
    }
    facts
}

/// What a sensor without a `request` runs: only a program or a function may say that itself.
fn without_request(kind: &str) -> &'static str {
    match kind {
        "command" | "python" => "what it says itself",
        SYNC => "none",
        _ => "none: it has no `request`",
    }
}

/// A cursor for people.
fn shown(cursor: Option<&str>) -> String {
    match cursor {
        None => "none yet".to_owned(),
        Some(text) => format::middle(text, CURSOR_SHOWN),
    }
}
