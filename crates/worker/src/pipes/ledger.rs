//! What follows from each message of one attempt.
//!
//! Pure: lines go in, events and lines for the log come out. Odd messages are remarked on in the
//! log, never refused aloud: the program cannot be asked.

use std::collections::BTreeSet;

use millstream_blob::LogStream;
use millstream_model::{AssetKey, EventBody, PartitionKey, StepKey};
use serde_json::{Map, Value};

use super::lines::{LINE_MAX, Line};
use super::message::{self, Message};
use super::{Exception, metadata};

/// The most events of one attempt; what a program reports beyond is left out.
const EVENTS_MAX: usize = 10_000;

/// The largest custom message that is an event.
const PAYLOAD_MAX: usize = 48 * 1024;

/// The longest name of a check, data version or asset key, in bytes.
const NAME_MAX: usize = 500;

/// What the messages of an attempt are about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The step.
    pub(crate) step: StepKey,
    /// The attempt, from 1.
    pub(crate) attempt: u32,
    /// The asset that the step makes, if it makes one.
    pub(crate) asset: Option<AssetKey>,
    /// The partition of it.
    pub(crate) partition: Option<PartitionKey>,
    /// The version of the code that makes it.
    pub(crate) code_version: String,
}

/// What follows from a message.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// Something happened.
    Event(EventBody),
    /// Text for one of the step's logs.
    Log(LogStream, String),
}

/// The messages of an attempt so far.
#[derive(Debug)]
pub(super) struct Ledger {
    subject: Subject,
    is_opened: bool,
    is_closed: bool,
    has_spoken: bool,
    events: usize,
    materialized: BTreeSet<AssetKey>,
    exception: Option<Exception>,
    said: Option<Value>,
}

impl Ledger {
    /// The ledger of an attempt that has said nothing yet.
    pub(super) fn new(subject: Subject) -> Self {
        Self {
            subject,
            is_opened: false,
            is_closed: false,
            has_spoken: false,
            events: 0,
            materialized: BTreeSet::new(),
            exception: None,
            said: None,
        }
    }

    /// Takes in one line.
    pub(super) fn take(&mut self, line: Line) -> Vec<Effect> {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong => {
                return vec![remark(&format!("a message over {LINE_MAX} bytes is left out"))];
            }
        };
        let Some(message) = message::read(&line) else {
            let text = String::from_utf8_lossy(&line);
            return vec![Effect::Log(LogStream::Out, with_end(&text))];
        };
        self.has_spoken = true;
        match message {
            Message::Opened => self.is_opened = true,
            Message::Closed { exception } => {
                self.is_closed = true;
                // A client may close twice; the first one knows what happened.
                let exception = exception.as_ref().map(Exception::new);
                self.exception = self.exception.take().or(exception);
            }
            Message::Log { level, text } => {
                let level: String = level.to_uppercase().chars().take(20).collect();
                return vec![Effect::Log(LogStream::Out, with_end(&format!("{level} {text}")))];
            }
            Message::Output { is_error, text } => {
                let stream = if is_error { LogStream::Err } else { LogStream::Out };
                return vec![Effect::Log(stream, text)];
            }
            Message::Materialized { asset, data_version, metadata } => {
                return self.materialized(asset, data_version, metadata);
            }
            Message::Checked { .. } => return self.checked(message),
            Message::Custom(payload) => return self.custom(payload),
            Message::Unknown { method } => {
                let method: String = method.chars().take(100).collect();
                return vec![remark(&format!("the message {method:?} is not known or not whole"))];
            }
        }
        Vec::new()
    }

    /// What is to be said when no message can come any more.
    pub(super) fn end(&self) -> Vec<Effect> {
        match (self.has_spoken, self.is_opened, self.is_closed) {
            (true, false, _) => vec![remark("the messages began without `opened`")],
            (true, true, false) => {
                vec![remark("the program ended without `closed`; its messages count")]
            }
            _ => Vec::new(),
        }
    }

    /// Whether the step's own asset was reported.
    pub(super) fn has_made_asset(&self) -> bool {
        self.subject.asset.as_ref().is_some_and(|asset| self.materialized.contains(asset))
    }

    /// The exception that the program closed with.
    pub(super) fn exception(&self) -> Option<&Exception> {
        self.exception.as_ref()
    }

    /// The last custom message, taken.
    pub(super) fn take_said(&mut self) -> Option<Value> {
        self.said.take()
    }

    fn materialized(
        &mut self,
        asset: Option<String>,
        data_version: Option<String>,
        given: Map<String, Value>,
    ) -> Vec<Effect> {
        let asset = match self.asset_of(asset) {
            Ok(asset) => asset,
            Err(problem) => return vec![remark(&problem)],
        };
        if self.materialized.contains(&asset) {
            return vec![remark(&format!(
                "asset {asset} was reported before; the first report counts"
            ))];
        }
        let (metadata, dropped) = metadata::read(given);
        let is_own = self.subject.asset.as_ref() == Some(&asset);
        let event = EventBody::Materialized {
            step: self.subject.step.clone(),
            partition: self.subject.partition.clone().filter(|_| is_own),
            metadata,
            data_version: data_version.map(|version| version.chars().take(NAME_MAX).collect()),
            code_version: self.subject.code_version.clone(),
            remark: None,
            asset: asset.clone(),
        };
        let effects = self.event(event, &dropped);
        self.materialized.insert(asset);
        effects
    }

    fn checked(&mut self, message: Message) -> Vec<Effect> {
        let Message::Checked { asset, check, passed, severity, metadata } = message else {
            return Vec::new();
        };
        let asset = match self.asset_of(asset) {
            Ok(asset) => asset,
            Err(problem) => return vec![remark(&problem)],
        };
        if check.is_empty() || check.len() > NAME_MAX || check.chars().any(char::is_control) {
            return vec![remark(&format!("a check of asset {asset} has no name that can be kept"))];
        }
        let (metadata, dropped) = metadata::read(metadata);
        let is_own = self.subject.asset.as_ref() == Some(&asset);
        let event = EventBody::AssetChecked {
            step: self.subject.step.clone(),
            partition: self.subject.partition.clone().filter(|_| is_own),
            asset,
            check,
            passed,
            severity,
            metadata,
        };
        self.event(event, &dropped)
    }

    fn custom(&mut self, payload: Value) -> Vec<Effect> {
        let effects = if payload.to_string().len() > PAYLOAD_MAX {
            vec![remark("a custom message is too large for an event")]
        } else {
            let Subject { step, attempt, .. } = &self.subject;
            let (step, attempt) = (step.clone(), *attempt);
            self.event(EventBody::StepMessage { step, attempt, payload: payload.clone() }, &[])
        };
        self.said = Some(payload);
        effects
    }

    /// The asset that a message is about: the step's own, or any for a step that makes none.
    fn asset_of(&self, named: Option<String>) -> Result<AssetKey, String> {
        let own = &self.subject.asset;
        let Some(named) = named.filter(|named| !named.is_empty()) else {
            return own.clone().ok_or_else(|| "a report names no asset".to_owned());
        };
        if named.len() > NAME_MAX {
            return Err(format!("an asset key has more than {NAME_MAX} bytes"));
        }
        let asset: AssetKey = named.parse().map_err(|error| format!("{error}"))?;
        match own {
            Some(own) if *own != asset => {
                Err(format!("asset {asset} is not what this step makes, which is {own}"))
            }
            _ => Ok(asset),
        }
    }

    fn event(&mut self, event: EventBody, dropped: &[String]) -> Vec<Effect> {
        self.events += 1;
        if self.events > EVENTS_MAX {
            let is_first = self.events == EVENTS_MAX + 1;
            let text = format!("reports beyond {EVENTS_MAX} are left out");
            return is_first.then(|| remark(&text)).into_iter().collect();
        }
        let mut effects = vec![Effect::Event(event)];
        if !dropped.is_empty() {
            let names = dropped.join(", ");
            effects.push(remark(&format!("metadata too large for an event is left out: {names}")));
        }
        effects
    }
}

/// A line of our own in the step's log.
fn remark(text: &str) -> Effect {
    Effect::Log(LogStream::Err, format!("[pipes] {text}\n"))
}

fn with_end(text: &str) -> String {
    format!("{}\n", text.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use millstream_model::MetadataValue;
    use serde_json::json;

    use super::*;

    fn ledger(asset: Option<&str>) -> Ledger {
        Ledger::new(Subject {
            step: "s".parse().unwrap(),
            attempt: 1,
            asset: asset.map(|asset| asset.parse().unwrap()),
            partition: Some("p".parse().unwrap()),
            code_version: "v1".to_owned(),
        })
    }

    fn say(ledger: &mut Ledger, method: &str, params: &Value) -> Vec<Effect> {
        let line = json!({ "__dagster_pipes_version": "0.1", "method": method, "params": params });
        ledger.take(Line::Whole(line.to_string().into_bytes()))
    }

    fn remarks(effects: &[Effect]) -> usize {
        let is_remark = |effect: &&Effect| matches!(effect, Effect::Log(_, text) if text.starts_with("[pipes]"));
        effects.iter().filter(is_remark).count()
    }

    const MADE: &str = "report_asset_materialization";

    #[test]
    fn the_first_report_of_an_asset_counts_and_carries_its_partition() {
        let mut ledger = ledger(Some("a/b"));
        let params = json!({
            "asset_key": "a/b", "data_version": "d",
            "metadata": { "rows": { "raw_value": 3, "type": "__infer__" } },
        });
        let effects = say(&mut ledger, MADE, &params);
        let [Effect::Event(EventBody::Materialized { partition, metadata, data_version, .. })] =
            effects.as_slice()
        else {
            panic!("{effects:?}");
        };
        assert_eq!(partition.as_ref().unwrap().as_str(), "p");
        assert_eq!(metadata["rows"], MetadataValue::int(3));
        assert_eq!(data_version.as_deref(), Some("d"));
        assert!(ledger.has_made_asset());
        let again = say(&mut ledger, MADE, &params);
        assert_eq!((again.len(), remarks(&again)), (1, 1));
    }

    #[test]
    fn a_step_of_an_asset_reports_only_that_one_and_an_op_any() {
        let params = json!({ "asset_key": r"x\/y/z", "metadata": null });
        let effects = say(&mut ledger(Some("a")), MADE, &params);
        assert_eq!((effects.len(), remarks(&effects)), (1, 1));
        let effects = say(&mut ledger(None), MADE, &params);
        let [Effect::Event(EventBody::Materialized { asset, partition: None, .. })] =
            effects.as_slice()
        else {
            panic!("{effects:?}");
        };
        assert_eq!(asset.parts(), ["x/y", "z"]);
        assert_eq!(remarks(&say(&mut ledger(None), MADE, &json!({ "asset_key": null }))), 1);
    }

    #[test]
    fn a_check_is_an_event_with_its_severity() {
        let params = json!({ "check_name": "c", "passed": false, "severity": "WARN" });
        let effects = say(&mut ledger(Some("a")), "report_asset_check", &params);
        assert!(matches!(
            effects.as_slice(),
            [Effect::Event(EventBody::AssetChecked { passed: false, severity, .. })]
                if *severity == millstream_model::CheckSeverity::Warn
        ));
    }

    #[test]
    fn messages_after_closed_count_and_a_second_closed_hides_no_exception() {
        let mut ledger = ledger(None);
        say(&mut ledger, "opened", &json!({}));
        say(&mut ledger, "closed", &json!({ "message": "no", "name": "E" }));
        let params = json!({ "stream": "stdout", "text": "late\n" });
        let late = say(&mut ledger, "log_external_stream", &params);
        assert_eq!(late, [Effect::Log(LogStream::Out, "late\n".to_owned())]);
        say(&mut ledger, "closed", &Value::Null);
        assert_eq!(ledger.exception().unwrap().headline, "E: no");
        assert_eq!(ledger.end(), []);
    }

    #[test]
    fn what_cannot_be_read_goes_to_the_log_and_stops_nothing() {
        let mut ledger = ledger(None);
        let effects = ledger.take(Line::Whole(b"not \xff json".to_vec()));
        assert_eq!(effects, [Effect::Log(LogStream::Out, "not \u{fffd} json\n".to_owned())]);
        assert_eq!(ledger.end(), [], "a program that never spoke is not spoken of");
        assert_eq!(remarks(&say(&mut ledger, "dance", &json!({}))), 1);
        assert_eq!(remarks(&ledger.take(Line::TooLong)), 1);
        assert_eq!(remarks(&ledger.end()), 1);
    }

    #[test]
    fn reports_are_bounded() {
        let mut ledger = ledger(None);
        for _ in 0..EVENTS_MAX {
            assert_eq!(
                say(&mut ledger, "report_custom_message", &json!({ "payload": 1 })).len(),
                1
            );
        }
        let beyond = say(&mut ledger, "report_custom_message", &json!({ "payload": 2 }));
        assert_eq!(remarks(&beyond), 1);
        assert_eq!(say(&mut ledger, "report_custom_message", &json!({ "payload": 3 })), []);
        assert_eq!(ledger.take_said(), Some(json!(3)), "the last one is the result all the same");
    }
}
