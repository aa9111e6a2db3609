//! Which daemons and which of their loops live.
//!
//! Pure: [`standing`] maps what loops have said of themselves to a state each. `control::daemons`
//! loads it; nothing is done about it but to show it, because leases take work over by themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_model::{DaemonRow, HoldReason, HumanDuration, LoopRow, LoopState, Timestamp};

/// What a loop last said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopBeat {
    /// Its daemon.
    pub daemon: String,
    /// Its name.
    pub name: String,
    /// How long it may be silent.
    pub silence_max: Duration,
    /// When it last got around.
    pub beat_at: Timestamp,
    /// Whether the process of its daemon is known to have ended.
    pub is_over: bool,
}

/// The daemons, by name. `holders` says who holds the leases called as the loops that need one.
///
/// All loops of a daemon are told of by one of them, so that of a process that is gone all are
/// silent, and it is gone once the newest sign of life is older than the most impatient of its
/// loops may be silent. A loop that hangs is told from the others by the clock that timed them all;
/// only whether a whole daemon is gone compares its clock with `now`.
pub fn standing(
    beats: &[LoopBeat],
    holders: &BTreeMap<String, String>,
    now: Timestamp,
) -> Vec<DaemonRow> {
    let mut daemons: BTreeMap<&str, Vec<&LoopBeat>> = BTreeMap::new();
    for beat in beats {
        daemons.entry(&beat.daemon).or_default().push(beat);
    }
    daemons.into_iter().map(|(name, beats)| daemon(name, beats, (holders, now))).collect()
}

fn daemon(
    name: &str,
    mut beats: Vec<&LoopBeat>,
    (holders, now): (&BTreeMap<String, String>, Timestamp),
) -> DaemonRow {
    beats.sort_by(|a, b| a.name.cmp(&b.name));
    let newest = beats.iter().map(|beat| beat.beat_at).max().unwrap_or(now);
    let silence_max = beats.iter().map(|beat| beat.silence_max).min().unwrap_or_default();
    let is_gone = now.since(newest) > silence_max || beats.iter().any(|beat| beat.is_over);
    let row = |beat: &&LoopBeat| {
        let is_silent = newest.since(beat.beat_at) > beat.silence_max;
        let state = if is_silent { LoopState::Unhealthy } else { LoopState::Healthy };
        LoopRow {
            name: beat.name.clone(),
            state: if is_gone { LoopState::Gone } else { state },
            beat_at: beat.beat_at,
            silence_max: HumanDuration(beat.silence_max),
            holds_lease: holders.get(&beat.name).map(|holder| holder == name),
        }
    };
    let loops: Vec<LoopRow> = beats.iter().map(row).collect();
    let hangs = loops.iter().any(|row| row.state == LoopState::Unhealthy);
    let state = if hangs { LoopState::Unhealthy } else { LoopState::Healthy };
    let state = if is_gone { LoopState::Gone } else { state };
    DaemonRow { name: name.to_owned(), state, loops }
}

/// Who would start runs, and notice the loss of their workers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watchers {
    /// The daemons that were heard of and have not ended in order.
    pub daemons: Vec<DaemonRow>,
    /// When the last daemon that ended in order did.
    pub ended_at: Option<Timestamp>,
    /// Whether no other process can have begun a run, and go on with it: the database is one
    /// process's.
    pub are_alone: bool,
}

/// That no daemon lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoneLives {
    /// When the last one gave a sign of life, where one is known of.
    pub since: Option<Timestamp>,
    /// Whether it ended in order then.
    pub in_order: bool,
}

impl Watchers {
    /// That none of them lives; the end in order of one is a sign of life too.
    fn none_lives(&self) -> Option<NoneLives> {
        let beats = self.daemons.iter().flat_map(|daemon| &daemon.loops).map(|one| one.beat_at);
        let since = beats.chain(self.ended_at).max();
        let in_order = since.is_some() && since == self.ended_at;
        let are_gone = self.daemons.iter().all(|daemon| daemon.state == LoopState::Gone);
        are_gone.then_some(NoneLives { since, in_order })
    }

    /// Whether one of them can have begun what began then: before it ended, or before it was silent
    /// for so long that it is known to be gone.
    fn may_have_begun(&self, began: Timestamp) -> bool {
        let by_one = |daemon: &DaemonRow| {
            let newest = daemon.loops.iter().map(|one| one.beat_at).max();
            let silence_max = daemon.loops.iter().map(|one| one.silence_max.0).min();
            let last = newest.zip(silence_max).map(|(newest, silent)| newest.after(silent));
            last.is_some_and(|last| began <= last)
        };
        self.are_alone
            || self.ended_at.is_some_and(|ended| began <= ended)
            || self.daemons.iter().any(by_one)
    }
}

/// That no daemon lives that would notice the loss of a run's worker; `None` where one does, or
/// where another process has begun the run.
pub fn unwatched(watchers: &Watchers, began: Timestamp) -> Option<NoneLives> {
    watchers.none_lives().filter(|_| watchers.may_have_begun(began))
}

/// Why a queued run waits that no daemon would start; nothing where one lives.
pub fn not_started(watchers: &Watchers) -> Option<HoldReason> {
    let NoneLives { since, in_order } = watchers.none_lives()?;
    Some(HoldReason::NoDaemon { since, in_order })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(daemon: &str, name: &str, second: i64) -> LoopBeat {
        LoopBeat {
            daemon: daemon.to_owned(),
            name: name.to_owned(),
            silence_max: Duration::from_secs(30),
            beat_at: Timestamp::from_micros(second * 1_000_000),
            is_over: false,
        }
    }

    /// What is known at a second.
    fn of(beats: &[LoopBeat], now: i64, ended_at: Option<Timestamp>) -> Watchers {
        let now = Timestamp::from_micros(now * 1_000_000);
        let daemons = standing(beats, &BTreeMap::new(), now);
        Watchers { daemons, ended_at, are_alone: false }
    }

    fn states(beats: &[LoopBeat]) -> Vec<(String, LoopState, Vec<LoopState>)> {
        let rows = standing(beats, &BTreeMap::new(), Timestamp::from_micros(100_000_000));
        let states = |row: &DaemonRow| row.loops.iter().map(|one| one.state).collect();
        rows.iter().map(|row| (row.name.clone(), row.state, states(row))).collect()
    }

    #[test]
    fn a_loop_is_unhealthy_after_its_limit_and_the_others_are_not() {
        use LoopState::{Healthy, Unhealthy};
        let beats = [beat("a", "queue", 59), beat("a", "losses", 90)];
        assert_eq!(states(&beats), [("a".to_owned(), Unhealthy, vec![Healthy, Unhealthy])]);
    }

    #[test]
    fn a_loop_is_not_silent_because_the_clock_of_its_machine_is_slow() {
        let beats = [beat("a", "queue", 65), beat("a", "losses", 72)];
        assert_eq!(states(&beats)[0].1, LoopState::Healthy);
    }

    #[test]
    fn a_daemon_whose_loops_are_all_silent_is_gone_and_another_is_not() {
        use LoopState::{Gone, Healthy};
        let beats = [beat("b", "queue", 90), beat("a", "queue", 1), beat("a", "losses", 2)];
        let wanted =
            [("a".to_owned(), Gone, vec![Gone, Gone]), ("b".to_owned(), Healthy, vec![Healthy])];
        assert_eq!(states(&beats), wanted);
    }

    #[test]
    fn a_daemon_is_gone_as_a_whole_though_one_of_its_loops_may_be_silent_for_longer() {
        let patient = LoopBeat { silence_max: Duration::from_mins(1), ..beat("a", "scans", 68) };
        let beats = [beat("a", "queue", 69), patient];
        assert_eq!(states(&beats)[0], ("a".to_owned(), LoopState::Gone, vec![LoopState::Gone; 2]));
    }

    #[test]
    fn a_daemon_whose_process_is_known_to_have_ended_is_gone_at_once() {
        let beats = [LoopBeat { is_over: true, ..beat("a", "queue", 99) }];
        assert_eq!(states(&beats)[0].1, LoopState::Gone);
    }

    #[test]
    fn a_run_is_unwatched_once_all_daemons_are_gone_unless_it_began_after_that() {
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let seen = |now: i64| of(&[beat("a", "queue", 10)], now, None);
        let gone = Some(NoneLives { since: Some(at(10)), in_order: false });
        assert_eq!(unwatched(&seen(20), at(5)), None, "it lives");
        assert_eq!(unwatched(&seen(90), at(5)), gone);
        assert_eq!(unwatched(&seen(90), at(40)), gone, "begun after its last sign of life");
        assert_eq!(unwatched(&seen(90), at(41)), None, "somebody else has begun it");
        let alone = Watchers { are_alone: true, ..seen(90) };
        assert_eq!(unwatched(&alone, at(41)), gone, "there is nobody else");
        assert_eq!(unwatched(&Watchers::default(), at(5)), None, "nobody is known of");
        let alone = Watchers { are_alone: true, ..Watchers::default() };
        assert_eq!(unwatched(&alone, at(5)), Some(NoneLives { since: None, in_order: false }));
    }

    #[test]
    fn a_queued_run_waits_for_a_daemon_while_none_lives() {
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let seen = |now: i64| of(&[beat("a", "queue", 10)], now, None);
        assert_eq!(not_started(&seen(20)), None, "it lives");
        let gone = Some(HoldReason::NoDaemon { since: Some(at(10)), in_order: false });
        assert_eq!(not_started(&seen(90)), gone);
        let unknown = Some(HoldReason::NoDaemon { since: None, in_order: false });
        assert_eq!(not_started(&Watchers::default()), unknown);
    }

    #[test]
    fn the_newest_sign_of_life_is_that_of_any_daemon_however_it_ended() {
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let seen = |ended: i64| of(&[beat("a", "queue", 10)], 90, Some(at(ended)));
        let said = |since: i64, in_order| HoldReason::NoDaemon { since: Some(at(since)), in_order };
        assert_eq!(not_started(&seen(5)), Some(said(10, false)), "the crash was later");
        assert_eq!(not_started(&seen(40)), Some(said(40, true)));
        let ended = NoneLives { since: Some(at(40)), in_order: true };
        assert_eq!(unwatched(&seen(40), at(20)), Some(ended));
        assert_eq!(not_started(&of(&[beat("a", "queue", 80)], 90, Some(at(40)))), None, "it lives");
    }

    #[test]
    fn who_holds_a_lease_works_and_the_others_stand_by() {
        let holders = BTreeMap::from([("queue".to_owned(), "a".to_owned())]);
        let beats = [beat("a", "queue", 1), beat("a", "scans", 1), beat("b", "queue", 1)];
        let rows = standing(&beats, &holders, Timestamp::from_micros(0));
        let holds = |row: &DaemonRow| row.loops.iter().map(|one| one.holds_lease).collect();
        let holds: Vec<Vec<Option<bool>>> = rows.iter().map(holds).collect();
        assert_eq!(holds, [vec![Some(true), None], vec![Some(false)]]);
    }
}
