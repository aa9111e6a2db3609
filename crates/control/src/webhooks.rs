//! Webhooks: what is posted to a sensor's address, checked, kept, and read by its tick.
//!
//! A delivery is in the store before it is answered. The tick that reads it takes it in the batch
//! that stores its runs, so that each is read once, in the order in which they came. One of which
//! no run can be made is tried again later, holds back no other, and is set aside at last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use millstream_decide::sensor::{Found, next_try};
use millstream_decide::template::Templates;
use millstream_model::seen::DeliveryFound;
use millstream_model::{
    DELIVERY_ID, DELIVERY_ID_MAX, SensorDef, SensorQuestion, TenantId, TickSource, Webhook,
    WebhookAuth,
};
use millstream_store::deliveries::{self, Kept, PutOff, StoredDelivery};
use millstream_store::{Batch, StoreError};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::refused::Refusal;
use crate::sensor_asking::SensorAsking;
use crate::{Control, ControlError};

/// Deliveries that one tick reads at most, and their bytes.
const READ_AT_ONCE: (u32, i64) = (1_000, 16 << 20);

/// Deliveries that wait for one sensor at most, and their bytes; as many may be set aside.
const WAITING_MAX: (u32, i64) = (10_000, 256 << 20);

/// How long a webhook's sensor rests when nothing comes. Whatever comes wakes it.
const IDLE: Duration = Duration::from_mins(5);

/// The longest text that is kept of what is wrong with a delivery, in letters.
const PROBLEM_MAX: usize = 1_000;

/// How long the id of a delivery that was read is known.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// The headers of a delivery that templates see, and their longest values.
const HEADERS_MAX: usize = 64;
const HEADER_MAX: usize = 1_000;

/// Headers that are nobody's business.
const PRIVATE: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// What the log says of a delivery to nowhere.
const NO_WEBHOOK: &str = "there is no webhook of this name";

/// Letters of a name that somebody has posted to which the log shows.
const NAME_LOGGED: usize = 100;

/// What somebody has posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The headers that are text, by their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What was posted to a sensor that is there, by somebody who knows its secret; only
/// [`Control::check_delivery`] makes one.
#[derive(Debug, Clone)]
pub struct Delivery {
    tenant: TenantId,
    source: TickSource,
    def: Arc<SensorDef>,
    posted: Posted,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// What it is called.
    pub id: String,
    /// Whether it came before.
    pub is_known: bool,
}

/// What waits for a sensor.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) found: Vec<Found>,
    pub(crate) read: Read,
    pub(crate) is_partial: bool,
}

/// The deliveries that a tick has read, and how often each was tried before.
pub(crate) type Read = BTreeMap<String, u32>;

/// What becomes of what a tick has read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Handled {
    /// What is done with.
    pub(crate) taken: Vec<String>,
    /// What is tried again or set aside.
    pub(crate) put_off: Vec<PutOff>,
}

impl Control {
    /// The delivery to the sensor called so, if there is a webhook and `posted` proves that its
    /// sender knows the secret; `None` says nothing about which of them is not so.
    pub async fn check_delivery(
        &self,
        (tenant, sensor): (&str, &str),
        posted: Posted,
    ) -> Result<Option<Delivery>, StoreError> {
        let nowhere = || {
            let [tenant, sensor] = [tenant, sensor].map(|it| it.chars().take(NAME_LOGGED));
            let (tenant, sensor) = (tenant.collect::<String>(), sensor.collect::<String>());
            tracing::warn!(tenant, sensor, why = NO_WEBHOOK, "a delivery was refused");
            Ok(None)
        };
        let Ok(id) = tenant.parse::<TenantId>() else { return nowhere() };
        let catalog = self.catalog().await?;
        let by_name =
            catalog.sensors().filter_map(|(it, _, live)| Some((it, live.get(&id, sensor)?)));
        // Senders that nobody has told of the new name go on to post to the old one.
        let before =
            catalog.sensors().filter_map(|(it, _, live)| Some((it, live.renamed(&id, sensor)?)));
        for (manifest, live) in by_name.chain(before) {
            let SensorQuestion::Webhook(webhook) = &live.def.question else { continue };
            let names = self.names(&id, manifest.tenants.get(&id));
            let source = crate::live_sensors::source_of(&manifest.location, live);
            if let Err(why) = self.proves(webhook, &posted, &names) {
                self.refuse((id, source), &why);
                return Ok(None);
            }
            let def = Arc::clone(&live.def);
            return Ok(Some(Delivery { tenant: id, source, def, posted }));
        }
        nowhere()
    }

    /// Says and remembers that a delivery to the webhook `to` was refused.
    fn refuse(&self, to: (TenantId, TickSource), refusal: &Refusal) {
        let (tenant, sensor, why) = (to.0.as_str(), to.1.name.as_str(), refusal.logged());
        tracing::warn!(tenant, sensor, why, "a delivery was refused");
        self.refused.count(to, (refusal.told(), self.now()));
    }

    /// Whether what was posted proves that its sender knows the secret; the error is for the log,
    /// and in part for `why`, and never for the sender.
    fn proves(&self, webhook: &Webhook, posted: &Posted, names: &Value) -> Result<(), Refusal> {
        let name = Templates::over(names)
            .text(&webhook.auth.secret().secret)
            .map_err(|error| Refusal::SecretUnnamed(error.to_string()))?;
        let key = self.secrets.get(&name).map_err(|variable| {
            let text = format!("there is no secret {name}; set {variable} where the server runs");
            Refusal::SecretUnset(text)
        })?;
        let header = webhook.auth.header();
        let missing = || Refusal::Plain(format!("it has no header {header}"));
        let shown = posted.headers.get(&header).ok_or_else(missing)?.trim();
        let is_proof = match &webhook.auth {
            WebhookAuth::Hmac { .. } => is_signature(key, &posted.body, shown),
            WebhookAuth::Bearer { header: Some(_), .. } => is_same(key, shown),
            WebhookAuth::Bearer { header: None, .. } => {
                shown.strip_prefix("Bearer ").is_some_and(|shown| is_same(key, shown.trim()))
            }
        };
        let unproven = || Refusal::Plain(format!("its header {header} proves nothing"));
        is_proof.then_some(()).ok_or_else(unproven)
    }

    /// Keeps a delivery until its sensor's tick reads it; it is stored when this returns.
    pub async fn receive(&self, delivery: Delivery) -> Result<Delivered, ControlError> {
        let to = (delivery.tenant.clone(), delivery.source.clone());
        let kept = self.keep(delivery).await;
        match &kept {
            Ok(_) => self.refused.forget(&to),
            Err(
                error @ (ControlError::DeliveryName { .. }
                | ControlError::DeliveryBinary
                | ControlError::DeliveryFull { .. }),
            ) => self.refuse(to, &Refusal::Plain(error.to_string())),
            Err(_) => {}
        }
        kept
    }

    async fn keep(&self, delivery: Delivery) -> Result<Delivered, ControlError> {
        let Delivery { tenant, source, def, posted } = delivery;
        let SensorQuestion::Webhook(webhook) = &def.question else {
            return Err(ControlError::DeliveryBinary);
        };
        let id = self.name_of(webhook, &posted)?;
        if def.renamed_from.is_some() {
            // What came under the old name is to be known.
            self.stored_sensor(&tenant, &source.location, &source.name).await?;
        }
        let proof = webhook.auth.header();
        let headers: Map<String, Value> = posted
            .headers
            .into_iter()
            .filter(|(name, value)| {
                !PRIVATE.contains(&name.as_str()) && *name != proof && value.len() <= HEADER_MAX
            })
            .take(HEADERS_MAX)
            .map(|(name, value)| (name, value.into()))
            .collect();
        // Postgres stores no NUL character in a text.
        let body = String::from_utf8(posted.body).ok().filter(|body| !body.contains('\0'));
        let body = body.ok_or(ControlError::DeliveryBinary)?;
        let (received_at, headers) = (self.now(), Value::Object(headers));
        let stored = StoredDelivery { id, received_at, headers, body, tries: 0 };
        let kept =
            self.store.keep_delivery((&tenant, &source), &stored, def.every.0, WAITING_MAX).await?;
        let id = stored.id;
        match kept {
            Kept::New => Ok(Delivered { id, is_known: false }),
            Kept::Known => Ok(Delivered { id, is_known: true }),
            Kept::Full => {
                let limit = "10,000 deliveries or 256 MiB";
                Err(ControlError::DeliveryFull { sensor: source.name, limit })
            }
        }
    }

    /// What a delivery is called: what its header says, or a new name where none has to.
    fn name_of(&self, webhook: &Webhook, posted: &Posted) -> Result<String, ControlError> {
        let header = webhook.delivery_id.as_deref().unwrap_or(DELIVERY_ID).to_ascii_lowercase();
        let problem = match posted.headers.get(&header).map(|id| id.trim()) {
            Some("") => "is empty".to_owned(),
            Some(id) if id.len() <= DELIVERY_ID_MAX => return Ok(id.to_owned()),
            Some(id) => format!("has {} bytes", id.len()),
            None if webhook.delivery_id.is_none() => return Ok(self.new_id().to_string()),
            None => "is missing".to_owned(),
        };
        Err(ControlError::DeliveryName { header, problem, limit: DELIVERY_ID_MAX })
    }

    /// The first deliveries that wait for a sensor.
    pub(crate) async fn deliveries_for(
        &self,
        asking: &SensorAsking,
    ) -> Result<Waiting, StoreError> {
        let (count_max, bytes_max) = READ_AT_ONCE;
        let upto = (count_max, bytes_max, asking.tries_upto);
        let waiting = self.store.waiting_deliveries(&asking.tenant, &asking.source, upto).await?;
        let size: usize = waiting.iter().map(|delivery| delivery.body.len()).sum();
        let is_partial = waiting.len() >= count_max as usize
            || i64::try_from(size).is_ok_and(|size| size >= bytes_max);
        let read = waiting.iter().map(|it| (it.id.clone(), it.tries)).collect();
        let found = waiting.into_iter().map(found).collect();
        Ok(Waiting { found, read, is_partial })
    }
}

impl SensorAsking {
    /// What becomes of the deliveries that a tick has `read`, of which those in `failed` cannot be
    /// requested.
    pub(crate) fn handled(&self, read: Read, mut failed: BTreeMap<String, String>) -> Handled {
        let mut handled = Handled::default();
        for (id, tried) in read {
            let Some(problem) = failed.remove(&id) else {
                handled.taken.push(id);
                continue;
            };
            let tries = tried.saturating_add(1);
            let problem = problem.chars().take(PROBLEM_MAX).collect();
            let due = next_try(tries, self.nominal);
            handled.put_off.push(PutOff { id, tries, problem, due });
        }
        handled
    }

    /// Adds to the batch of a webhook's tick what becomes of the deliveries that it has read.
    pub(crate) fn take(&self, batch: &mut Batch, handled: &Handled) {
        let (tenant, source) = (&self.tenant, &self.source);
        let Handled { taken, put_off } = handled;
        deliveries::take(batch, tenant, source, (taken, self.nominal));
        deliveries::put_off(batch, tenant, source, (put_off, self.nominal), WAITING_MAX);
        let micros = i64::try_from(REMEMBERED.as_micros()).unwrap_or(i64::MAX);
        let known_since = self.nominal.as_micros().saturating_sub(micros);
        let known_since = millstream_model::Timestamp::from_micros(known_since);
        deliveries::forget(batch, tenant, source, known_since);
        let due = self.nominal.after(self.def.every.0);
        deliveries::wake_if_waiting(batch, tenant, source, due);
    }
}

impl Handled {
    /// What a log says of those that are set aside.
    pub(crate) fn given_up(&self) -> impl Iterator<Item = String> {
        self.put_off.iter().filter(|it| it.due.is_none()).map(
            |PutOff { id, tries, problem, .. }| {
                format!("delivery {id} is set aside after {tries} tries: {problem}")
            },
        )
    }
}

/// How long a webhook's sensor rests after a tick that has read all there was to be tried.
pub(crate) fn rest(every: Duration) -> Duration {
    every.max(IDLE)
}

/// A delivery as templates see it: `delivery`, whose `body` is JSON where it is written so.
fn found(delivery: StoredDelivery) -> Found {
    let StoredDelivery { id, received_at, headers, body, tries: _ } = delivery;
    let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
    let received_at = received_at.to_string();
    let names = json!(DeliveryFound { id: &id, received_at, headers: &headers, body: &body });
    Found {
        key: id,
        names: Map::from_iter([("delivery".to_owned(), names)]),
        partition: None,
        tags: BTreeMap::new(),
        of: None,
    }
}

/// Whether `shown` is the signature of `body` under `key`, in hex or Base64. The comparison takes
/// the same time wherever they differ.
fn is_signature(key: &str, body: &[u8], shown: &str) -> bool {
    let shown = shown.strip_prefix("sha256=").unwrap_or(shown);
    let Some(signature) = from_hex(shown).or_else(|| BASE64.decode(shown).ok()) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return false };
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}

/// The 32 bytes that 64 digits of a hexadecimal number are.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..64)
        .step_by(2)
        .map(|at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

/// Whether two secrets are the same; their hashes' comparison takes the same time wherever they
/// differ.
fn is_same(key: &str, shown: &str) -> bool {
    blake3::hash(key.as_bytes()) == blake3::hash(shown.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_read_as_hex_and_as_base64_and_of_the_whole_body_alone() {
        // The example in GitHub's documentation.
        let (key, body) = ("It's a Secret to Everybody", b"Hello, World!");
        let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        for shown in [hex, &hex.to_uppercase(), &format!("sha256={hex}")] {
            assert!(is_signature(key, body, shown), "{shown}");
        }
        let base64 = BASE64.encode(from_hex(hex).unwrap());
        assert!(is_signature(key, body, &base64));
        assert!(!is_signature(key, b"Hello, World", hex));
        assert!(!is_signature("another", body, hex));
        for wrong in ["", "x", "sha256=", &hex[..62], &format!("{hex}00"), "zz"] {
            assert!(!is_signature(key, body, wrong), "{wrong:?}");
        }
    }
}
