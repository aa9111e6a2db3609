//! The deliveries that wait for a webhook's sensor, and those that were set aside.

use askama::Template;
use millstream_control::WaitingDelivery;
use millstream_model::Timestamp;

use crate::format::{self, Moment};
use crate::parts::part;

/// The table.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/delivery_table.html")]
pub struct DeliveryTable {
    lines: Vec<DeliveryLine>,
    more: u64,
}

part!(DeliveryTable);

/// A delivery.
#[derive(Debug, Clone)]
struct DeliveryLine {
    name: String,
    came: Moment,
    size: String,
    tries: u32,
    fate: String,
    problem: String,
}

impl DeliveryTable {
    /// The table of `deliveries`, the first of `total`, as it reads at `now`.
    pub fn new(deliveries: &[WaitingDelivery], total: u64, now: Timestamp) -> Self {
        let more = total.saturating_sub(deliveries.len() as u64);
        Self { lines: deliveries.iter().map(|it| line(it, now)).collect(), more }
    }
}

fn line(it: &WaitingDelivery, now: Timestamp) -> DeliveryLine {
    let fate = match (it.set_aside_at, it.next_try) {
        (Some(at), _) => format!("set aside {}", format::relative(now, at)),
        (None, Some(at)) if at > now => format!("tried again {}", format::relative(now, at)),
        (None, Some(_)) => "tried again now".to_owned(),
        (None, None) => "waits".to_owned(),
    };
    DeliveryLine {
        name: it.delivery.clone(),
        came: Moment::relative(now, it.received_at),
        size: format::bytes(u64::from(it.bytes)),
        tries: it.tries,
        fate,
        problem: it.problem.clone().unwrap_or_default(),
    }
}
