//! Who does the work that only one daemon may do at a time.
//!
//! A holder raises the lease's beat. Another daemon takes over only after it has itself seen the
//! beat unchanged for the time-to-live, on its own clock; no two clocks are compared. What a
//! former holder still believes does no harm: its writes name an older fence.

use std::time::Duration;

use millstream_model::{DaemonRow, HumanDuration, LeaseLeft, LoopState, Timestamp};

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
    seen: Option<LeaseSeen>,
}

/// A lease of another daemon as one has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseSeen {
    /// How often it was taken.
    pub fence: i64,
    /// The holder's sign of life.
    pub beat: i64,
    /// Since when both are as they are, on the clock of who sees it.
    pub since: Duration,
}

impl LeaseSeen {
    fn is_of(&self, view: &LeaseView) -> bool {
        (self.fence, self.beat) == (view.fence, view.beat)
    }
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
            Some(seen) if seen.is_of(view) => {
                if elapsed.saturating_sub(seen.since) >= time_to_live {
                    LeaseMove::Take
                } else {
                    LeaseMove::Wait
                }
            }
            _ => {
                let (fence, beat) = (view.fence, view.beat);
                self.seen = Some(LeaseSeen { fence, beat, since: elapsed });
                LeaseMove::Wait
            }
        }
    }

    /// The lease of another daemon as it was seen last.
    pub fn seen(&self) -> Option<LeaseSeen> {
        self.seen
    }
}

/// A lease that somebody waits for who does not hold it.
#[derive(Debug, Clone, Copy)]
pub struct LeaseWaited<'a> {
    /// Its name, which is that of the loops that need it.
    pub name: &'a str,
    /// As it is stored.
    pub view: &'a LeaseView,
    /// What the daemon of this process has seen of it, which would take it over, and after which
    /// time-to-live; absent where there is none.
    pub seen: Option<(LeaseSeen, Duration)>,
    /// The daemons that were heard of.
    pub daemons: &'a [DaemonRow],
}

impl LeaseWaited<'_> {
    /// That its holder is silent and that nothing is done under it until another daemon takes it
    /// over; nothing where the holder may live. `now` and `elapsed` are this process's.
    ///
    /// A holder raises its lease a little later than every third of the time-to-live, so that one
    /// seen to stand still for half of it is not at work. Whoever watches goes by that alone.
    /// Whoever does not goes by what the holder's loop has said, which compares clocks, and waits
    /// longer.
    pub fn left(&self, now: Timestamp, elapsed: Duration) -> Option<LeaseLeft> {
        let Self { name, view, seen, daemons } = *self;
        if view.holder.is_empty() || seen.is_some_and(|(seen, _)| !seen.is_of(view)) {
            return None;
        }
        let of_it = |it: &&DaemonRow| it.name == view.holder;
        let (silent_for, time_to_live, is_silent) = if let Some((seen, time_to_live)) = seen {
            let stood = elapsed.saturating_sub(seen.since);
            (stood, time_to_live, stood > time_to_live / 2)
        } else {
            let said = daemons.iter().find(of_it)?.loop_called(name)?;
            let said_ago = now.since(said.beat_at);
            // A loop may be silent for two times-to-live.
            let time_to_live = said.silence_max.0 / 2;
            (said_ago, time_to_live, said_ago >= time_to_live)
        };
        if !is_silent {
            return None;
        }
        let watched = seen.map_or(Duration::ZERO, |_| silent_for);
        let takes = |it: &DaemonRow| {
            let state = it.loop_called(name).map(|it| it.state);
            it.name != view.holder && state == Some(LoopState::Healthy)
        };
        let is_taken = seen.is_some() || daemons.iter().any(takes);
        // Whoever waits for it looks at it every third of the time-to-live.
        let within = time_to_live.saturating_sub(watched) + time_to_live / 3;
        Some(LeaseLeft {
            lease: name.to_owned(),
            silent_for: HumanDuration::from_secs(silent_for.as_secs()),
            taken_within: is_taken.then(|| HumanDuration::from_secs(within.as_secs() + 1)),
        })
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::liveness::{DaemonLook, DaemonWatch, LoopBeat, standing};

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

    /// The daemon `name` as seen at second 100, whose loop of schedules got around at `second`.
    fn said(name: &str, second: i64) -> DaemonRow {
        let beat = LoopBeat {
            daemon: name.to_owned(),
            name: "schedules".to_owned(),
            silence_max: TTL * 2,
            beat_at: Timestamp::from_micros(second * 1_000_000),
            is_over: false,
        };
        let (holders, left, watch) = (BTreeMap::new(), BTreeMap::new(), DaemonWatch::default());
        let (now, elapsed) = (Timestamp::from_micros(100_000_000), Duration::ZERO);
        let (holders, left, watch) = (&holders, &left, &watch);
        standing(&[beat], DaemonLook { holders, left, watch, now, elapsed }).remove(0)
    }

    /// What is said at second 100 of a lease that `a` holds, by a process whose daemon has seen it
    /// stand still for so many seconds, or that has none.
    fn left(view: &LeaseView, stood: Option<u64>, daemons: &[DaemonRow]) -> Option<LeaseLeft> {
        let seen =
            stood.map(|stood| (LeaseSeen { fence: 1, beat: 7, since: at(100 - stood) }, TTL));
        let waited = LeaseWaited { name: "schedules", view, seen, daemons };
        waited.left(Timestamp::from_micros(100_000_000), at(100))
    }

    #[test]
    fn a_lease_seen_to_stand_still_for_half_of_its_time_says_so_whatever_other_clocks_say() {
        let held = view("a", 1, 7);
        let words =
            |stood, daemons: &[DaemonRow]| left(&held, stood, daemons).map(|left| left.to_string());
        let expected = "the schedules' lease is held by a daemon silent for 8s, and is taken \
                        over within 13s";
        // Its loop is heard of by the clock of another machine, or not at all.
        for daemons in [vec![said("a", 92)], vec![said("a", 40)], vec![said("a", 100)], vec![]] {
            assert_eq!(words(Some(0), &daemons), None);
            assert_eq!(words(Some(7), &daemons), None, "it may be raised in a moment");
            assert_eq!(words(Some(8), &daemons).as_deref(), Some(expected));
        }
        assert_eq!(left(&view("a", 1, 8), Some(8), &[said("a", 80)]), None, "its beat was raised");
        assert_eq!(left(&view("", 2, 7), None, &[]), None, "it is free");
    }

    #[test]
    fn who_watches_no_lease_goes_by_what_its_holder_has_said_and_by_who_else_lives() {
        let held = view("a", 1, 7);
        assert_eq!(left(&held, None, &[said("a", 90), said("b", 99)]), None);
        assert_eq!(left(&held, None, &[said("b", 99)]), None, "nothing is known of its holder");
        let within = |daemons: &[DaemonRow]| left(&held, None, daemons).unwrap().taken_within;
        assert_eq!(within(&[said("a", 85), said("b", 99)]), Some(HumanDuration::from_secs(21)));
        assert_eq!(within(&[said("a", 85)]), None);
        assert_eq!(within(&[said("a", 85), said("b", 60)]), None, "that one is gone too");
        let words = left(&held, None, &[said("a", 85)]).unwrap().to_string();
        assert!(words.ends_with("for 15s, and no other daemon lives that would take it over"));
    }
}
