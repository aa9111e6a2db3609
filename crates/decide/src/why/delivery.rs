//! What went wrong with deliveries to a webhook, in words: those of which no run could be made,
//! and those that were refused.

use millstream_model::{FoundKind, Timestamp};

use super::{Because, because};

/// Deliveries to a webhook of which no run has come; there are none of another sensor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InVain {
    /// How many of those that wait were tried.
    pub tried: u32,
    /// The one of them that came last.
    pub last_tried: Option<Untaken>,
    /// The one that was set aside last.
    pub last_aside: Option<Untaken>,
    /// Those that this process has refused.
    pub refused: Option<Refused>,
}

/// A delivery of which no run could be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untaken {
    /// What it is called.
    pub delivery: String,
    /// What was wrong at the last try.
    pub problem: String,
}

/// Deliveries that were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub count: u32,
    /// When the first was.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
    /// Why that was.
    pub why: String,
}

/// The sentences behind an answer that say how many deliveries fail, of which so many were set
/// aside; nothing where none does.
pub(super) fn failing(in_vain: &InVain, set_aside: u32) -> String {
    let counted = |count| FoundKind::Delivery.counted(count);
    let vain = match in_vain.tried.saturating_add(set_aside) {
        0 => String::new(),
        count => format!(" No run could be made of {}.", counted(count)),
    };
    let refused = in_vain.refused.as_ref().map_or_else(String::new, |it| {
        let (were, last) = (were(it.count), it.last);
        format!(" {} {were} refused, the last at {last}: {}.", counted(it.count), it.why)
    });
    format!("{vain}{refused}")
}

/// How many of the deliveries that wait were tried in vain, and what is wrong with the last.
pub(super) fn tried(in_vain: &InVain) -> Option<Because> {
    let last = last_words(in_vain.last_tried.as_ref()?);
    let (counted, were) = (FoundKind::Delivery.counted(in_vain.tried), were(in_vain.tried));
    let text = format!("{counted} {were} tried in vain, and will be tried again{last}");
    Some(because(None, text))
}

/// How many deliveries were set aside, what is wrong with the last, and what tries those anew of
/// the sensor that a command calls `word`.
pub(super) fn aside(in_vain: &InVain, count: u32, word: &str) -> Option<Because> {
    let it = match count {
        0 => return None,
        1 => "it",
        _ => "them",
    };
    let (counted, were) = (FoundKind::Delivery.counted(count), were(count));
    let last = in_vain.last_aside.as_ref().map_or_else(String::new, last_words);
    let text = format!(
        "{counted} {were} set aside, because no run could be made of {it}: `millstream sensor \
         deliveries {word}` says why, and `millstream sensor resend {word}` tries {it} anew{last}"
    );
    Some(because(None, text))
}

/// What is wrong with the last of some deliveries.
fn last_words(Untaken { delivery, problem }: &Untaken) -> String {
    format!("; the last, {delivery}: {problem}")
}

/// How many deliveries this process has refused, and why the last.
pub(super) fn refused(in_vain: &InVain) -> Option<Because> {
    let Refused { count, first, last, why } = in_vain.refused.as_ref()?;
    let (counted, were) = (FoundKind::Delivery.counted(*count), were(*count));
    let text = format!(
        "{counted} {were} refused since {first}, as the server's log says of each; the last: {why}"
    );
    Some(because(*last, text))
}

fn were(count: u32) -> &'static str {
    if count == 1 { "was" } else { "were" }
}
