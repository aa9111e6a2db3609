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
}

impl Watchers {
    fn none_lives(&self) -> bool {
        self.daemons.iter().all(|daemon| daemon.state == LoopState::Gone)
    }

    /// The newest sign of life of any daemon; its end in order is one.
    fn last_sign(&self) -> Option<Timestamp> {
        let beats = self.daemons.iter().flat_map(|daemon| &daemon.loops).map(|one| one.beat_at);
        beats.chain(self.ended_at).max()
    }
}

/// When a daemon last gave a sign of life, where none lives that would notice the loss of a run's
/// worker; `None` where one does, where none is known of, or where the run began after that: then
/// somebody else has begun it.
pub fn unwatched_since(watchers: &Watchers, began: Timestamp) -> Option<Timestamp> {
    watchers.last_sign().filter(|newest| watchers.none_lives() && began <= *newest)
}

/// Why a queued run waits that no daemon would start; nothing where one lives.
pub fn not_started(watchers: &Watchers) -> Option<HoldReason> {
    let since = watchers.last_sign();
    let in_order = since.is_some() && since == watchers.ended_at;
    watchers.none_lives().then_some(HoldReason::NoDaemon { since, in_order })
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
        Watchers { daemons: standing(beats, &BTreeMap::new(), now), ended_at }
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
        assert_eq!(unwatched_since(&seen(20), at(5)), None, "it lives");
        assert_eq!(unwatched_since(&seen(90), at(5)), Some(at(10)));
        assert_eq!(unwatched_since(&seen(90), at(50)), None, "somebody else has begun it");
        assert_eq!(unwatched_since(&Watchers::default(), at(5)), None, "nobody is known of");
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
        assert_eq!(unwatched_since(&seen(40), at(20)), Some(at(40)));
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
