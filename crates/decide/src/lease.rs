//! Who does the work that only one daemon may do at a time.
//!
//! A holder raises the lease's beat. Another daemon takes over only after it has itself seen the
//! beat unchanged for the time-to-live, on its own clock; no two clocks are compared. What a
//! former holder still believes does no harm: its writes name an older fence.

use std::time::Duration;

/// A lease as a daemon sees it in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// Who holds it; empty when it was given back.
    pub holder: String,
    /// How often it was taken.
    pub fence: i64,
    /// The holder's sign of life.
    pub beat: i64,
}

/// What to do about a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseMove {
    /// Nobody ever held it: make it.
    Create,
    /// We hold it: raise the beat and work.
    Raise {
        /// Our fence.
        fence: i64,
    },
    /// Its holder is gone: take it as it was seen.
    Take,
    /// Its holder lives, or may live.
    Wait,
}

/// What one daemon remembers of one lease between its passes.
#[derive(Debug, Clone, Default)]
pub struct LeaseWatch {
    seen: Option<(i64, i64, Duration)>,
}

impl LeaseWatch {
    /// What `me` should do now, `elapsed` on its own clock, about the lease as `view` shows it.
    pub fn decide(
        &mut self,
        view: Option<&LeaseView>,
        me: &str,
        elapsed: Duration,
        time_to_live: Duration,
    ) -> LeaseMove {
        let Some(view) = view else { return LeaseMove::Create };
        if view.holder == me {
            self.seen = None;
            return LeaseMove::Raise { fence: view.fence };
        }
        if view.holder.is_empty() {
            return LeaseMove::Take;
        }
        match self.seen {
            Some((fence, beat, since)) if (fence, beat) == (view.fence, view.beat) => {
                if elapsed.saturating_sub(since) >= time_to_live {
                    LeaseMove::Take
                } else {
                    LeaseMove::Wait
                }
            }
            _ => {
                self.seen = Some((view.fence, view.beat, elapsed));
                LeaseMove::Wait
            }
        }
    }
}

/// When a holder last did what keeps its lease, on the process's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseUse {
    /// When it was raised last.
    pub raised: Duration,
    /// When a pass last went by it.
    pub used: Duration,
    /// Whether its daemon's signs of life raise it, so that passes need not.
    pub is_kept: bool,
}

impl LeaseUse {
    /// Whether a pass may go by it at `elapsed` without raising it.
    pub fn is_fresh(&self, elapsed: Duration, time_to_live: Duration) -> bool {
        let fresh = if self.is_kept { time_to_live / 2 } else { time_to_live / 4 };
        elapsed.saturating_sub(self.raised) < fresh
    }

    /// Whether a sign of life at `elapsed` raises it. One that no pass has gone by for half of its
    /// time-to-live is left to run out: its loop hangs, and another daemon's may not.
    pub fn is_used(&self, elapsed: Duration, time_to_live: Duration) -> bool {
        elapsed.saturating_sub(self.used) <= time_to_live / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(15);

    fn view(holder: &str, fence: i64, beat: i64) -> LeaseView {
        LeaseView { holder: holder.to_owned(), fence, beat }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_taken_only_after_its_beat_stood_still_for_the_time_to_live() {
        let mut watch = LeaseWatch::default();
        let theirs = view("b", 1, 7);
        assert_eq!(watch.decide(Some(&theirs), "a", at(100), TTL), LeaseMove::Wait);
        assert_eq!(watch.decide(Some(&theirs), "a", at(114), TTL), LeaseMove::Wait);
        let alive = view("b", 1, 8);
        assert_eq!(watch.decide(Some(&alive), "a", at(115), TTL), LeaseMove::Wait);
        assert_eq!(watch.decide(Some(&alive), "a", at(129), TTL), LeaseMove::Wait);
        assert_eq!(watch.decide(Some(&alive), "a", at(130), TTL), LeaseMove::Take);
    }

    #[test]
    fn a_holder_raises_its_lease_in_time_and_signs_of_life_only_what_passes_go_by() {
        let of_passes = LeaseUse { raised: at(100), used: at(100), is_kept: false };
        assert!(of_passes.is_fresh(at(103), TTL) && !of_passes.is_fresh(at(104), TTL));
        let kept = LeaseUse { is_kept: true, ..of_passes };
        assert!(kept.is_fresh(at(107), TTL) && !kept.is_fresh(at(108), TTL));
        assert!(kept.is_used(at(107), TTL) && !kept.is_used(at(108), TTL));
    }

    #[test]
    fn a_lease_that_was_given_back_or_never_held_is_free_at_once() {
        let mut watch = LeaseWatch::default();
        assert_eq!(watch.decide(None, "a", at(0), TTL), LeaseMove::Create);
        assert_eq!(watch.decide(Some(&view("", 3, 9)), "a", at(0), TTL), LeaseMove::Take);
    }

    #[test]
    fn the_holder_goes_on_with_its_own_fence() {
        let mut watch = LeaseWatch::default();
        let ours = view("a", 4, 2);
        assert_eq!(watch.decide(Some(&ours), "a", at(0), TTL), LeaseMove::Raise { fence: 4 });
    }
}
