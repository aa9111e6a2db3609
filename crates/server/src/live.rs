//! News for pages: one watcher a process, a bounded broadcast, one event stream a page.
//!
//! An event names a topic and the position up to which something happened; the page then fetches
//! itself again. Nothing else is sent, so a lost event costs nothing but time. What happens while
//! a page is on its way to its reader is not lost: it names the round of news that it was made in,
//! and hears at once when there was another one.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream;
use millstream_control::{Control, StoreError};
use millstream_model::view::EventRow;
use millstream_model::{ErrorCode, EventBody, EventPosition, TenantId};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use crate::access::Visitor;
use crate::input::Params;
use crate::problem::Problem;
use crate::state::ServerState;

/// News that a slow page may lag behind before it is told to fetch everything again.
const BACKLOG: usize = 1_024;
/// Pages that may listen at once.
const STREAMS_MAX: usize = 512;
/// The shortest time between two looks at the log.
const PAUSE: Duration = Duration::from_millis(100);
/// Batches of events in one look.
const BATCHES_MAX: u32 = 500;

/// Where news comes in and pages listen; clones share it.
#[derive(Debug, Clone)]
pub struct LiveHub {
    news: broadcast::Sender<News>,
    streams: Arc<Semaphore>,
    closed: watch::Sender<bool>,
    /// How often there was news.
    round: Arc<AtomicU64>,
}

/// Something that pages may want to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    /// Whose it is; `None` for what every tenant may hear.
    tenant: Option<TenantId>,
    /// What it is about: `runs`, `run-<id>`, `assets`, `definitions`.
    topic: String,
    /// Up to where in the log.
    position: i64,
}

impl Default for LiveHub {
    fn default() -> Self {
        Self {
            news: broadcast::Sender::new(BACKLOG),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            closed: watch::Sender::new(false),
            round: Arc::default(),
        }
    }
}

impl LiveHub {
    /// Ends every stream, so that the server can stop.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits until the streams are ended: the server is about to stop.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The hub itself holds the sender.
        if closed.wait_for(|closed| *closed).await.is_err() {}
    }

    /// How often there was news so far; a page reads it before it reads anything else.
    pub(crate) fn round(&self) -> u64 {
        self.round.load(Ordering::Acquire)
    }

    /// Follows the log until [`LiveHub::close`]; the app runs this once a process.
    ///
    /// The store's failures are waited out: pages that miss news fetch themselves when they
    /// reconnect.
    pub async fn follow(&self, control: Control) {
        let mut closed = self.closed.subscribe();
        let work = async {
            let mut changes = control.store().changes();
            let mut seen = Seen::default();
            loop {
                if let Err(error) = self.look(&control, &mut seen).await {
                    tracing::warn!(%error, "news for pages cannot be read; trying again");
                    tokio::time::sleep(PAUSE * 10).await;
                    continue;
                }
                tokio::time::sleep(PAUSE).await;
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
    }

    async fn look(&self, control: &Control, seen: &mut Seen) -> Result<(), StoreError> {
        if seen.position.is_some() && self.skips(control, seen).await? {
            return Ok(());
        }
        let locations = control.store().locations().await?;
        let versions = locations.iter().map(|location| location.version).sum();
        let Some(position) = seen.position else {
            // The first look is where the process begins; earlier news is no news.
            seen.position = Some(control.store().last_position().await?);
            seen.versions = versions;
            self.send_all(Vec::new());
            return Ok(());
        };
        let mut news = Vec::new();
        if versions != seen.versions {
            seen.versions = versions;
            let topic = "definitions".to_owned();
            news.push(News { tenant: None, topic, position: position.0 });
        }
        let tenants = control.catalog().await?.tenant_ids();
        let events = control.store().events_after(&tenants, position, BATCHES_MAX).await?;
        if let Some(last) = events.iter().filter_map(|row| row.position).max() {
            seen.position = Some(last);
        }
        news.extend(digest(&events));
        if !news.is_empty() {
            self.send_all(news);
        }
        Ok(())
    }

    /// Passes over what nobody listens for, which costs one row instead of all events.
    ///
    /// The round counts before it is asked who listens: a page that begins to listen after that
    /// sees that there was another round, and one that began before is told as usual.
    async fn skips(&self, control: &Control, seen: &mut Seen) -> Result<bool, StoreError> {
        if self.news.receiver_count() > 0 {
            return Ok(false);
        }
        let last = control.store().last_position().await?;
        self.round.fetch_add(1, Ordering::AcqRel);
        if self.news.receiver_count() > 0 {
            return Ok(false);
        }
        seen.position = Some(last);
        Ok(true)
    }

    /// Begins a round. It counts before it is sent: a page that begins to listen in between hears
    /// of it twice, and never not at all.
    fn send_all(&self, news: Vec<News>) {
        self.round.fetch_add(1, Ordering::AcqRel);
        for news in news {
            // No page listens: then nobody misses it.
            let _heard = self.news.send(news);
        }
    }
}

#[derive(Default)]
struct Seen {
    position: Option<EventPosition>,
    versions: i64,
}

/// The news in `events`, each topic once with its newest position.
fn digest(events: &[EventRow]) -> Vec<News> {
    let mut all: Vec<News> = Vec::new();
    for row in events {
        let position = row.position.map_or(0, |position| position.0);
        let event = &row.event;
        let mut topics = vec![format!("run-{}", event.run), "runs".to_owned()];
        if matches!(event.body, EventBody::Materialized { .. }) || event.body.step().is_none() {
            // The end of a run changes what is known of its partitions.
            topics.push("assets".to_owned());
        }
        for topic in topics {
            let tenant = Some(event.tenant.clone());
            match all.iter_mut().find(|known| known.topic == topic && known.tenant == tenant) {
                Some(known) => known.position = known.position.max(position),
                None => all.push(News { tenant, topic, position }),
            }
        }
    }
    all
}

/// What a page says of itself when it begins to listen.
#[derive(Debug, Deserialize)]
pub(crate) struct Since {
    /// The round of news that it was made in.
    since: Option<u64>,
}

/// The event stream of one page of a tenant.
pub(crate) async fn stream(
    State(state): State<ServerState>,
    Params(Since { since }): Params<Since>,
    visitor: Visitor,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let tenant = visitor.tenant()?.clone();
    let hub = &state.live;
    let permit = Arc::clone(&hub.streams).try_acquire_owned().map_err(|_| {
        let message =
            format!("more than {STREAMS_MAX} pages listen already; reload when you need to");
        Problem::new(ErrorCode::DatabaseUnavailable, message)
    })?;
    let news = hub.news.subscribe();
    let listener = Listener {
        news,
        is_behind: since.is_some_and(|since| since != hub.round()),
        closed: hub.closed.subscribe(),
        tenant,
        _permit: permit,
    };
    let events = stream::unfold(listener, |mut listener| async {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

struct Listener {
    news: broadcast::Receiver<News>,
    /// Whether something happened since the page was made, of which it has not been told.
    is_behind: bool,
    closed: watch::Receiver<bool>,
    tenant: TenantId,
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// The next event for this page, or `None` when the server stops.
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.is_behind) {
            return Some(everything());
        }
        loop {
            let heard = tokio::select! {
                heard = self.news.recv() => heard,
                _ = self.closed.wait_for(|closed| *closed) => return None,
            };
            match heard {
                Ok(news) if news.tenant.as_ref().is_none_or(|tenant| *tenant == self.tenant) => {
                    return Some(
                        Event::default().event(news.topic).data(news.position.to_string()),
                    );
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    return Some(everything());
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Tells a page to fetch itself, whatever it is about.
fn everything() -> Event {
    Event::default().event("everything").data("0")
}
