//! Which daemons and which of their loops live.
//!
//! Pure: [`standing`] maps what loops have said of themselves to a state each. `control::daemons`
//! loads it; nothing is done about it but to show it, because leases take work over by themselves.

use std::collections::{BTreeMap, BTreeSet};
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

/// How often a daemon tells of its loops in the time for which they may be silent.
const TOLD_IN_SILENCE_MAX: u32 = 6;

/// How many times it does so in the time after which it is silent.
const TOLD_IN_SILENCE: u32 = 2;

/// The same where a lease that it holds is known to be left.
const TOLD_IN_SILENCE_OF_LEASE: u32 = 1;

/// What a process has seen of the daemons' signs of life, on its own clock.
#[derive(Debug, Clone, Default)]
pub struct DaemonWatch {
    seen: BTreeMap<String, DaemonSeen>,
    own: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy)]
struct DaemonSeen {
    newest: Timestamp,
    since: Duration,
    /// Whether it was seen to come, so that its age is known.
    has_come: bool,
}

impl DaemonWatch {
    /// The daemon `name` is of this process: it is not silent to itself.
    pub fn is_own(&mut self, name: &str) {
        if !self.own.contains(name) {
            self.own.insert(name.to_owned());
        }
    }

    /// Takes in the signs of life that are there at `elapsed`.
    pub fn look(&mut self, beats: &[LoopBeat], elapsed: Duration) {
        let mut newest: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for beat in beats {
            let of_it = newest.entry(&beat.daemon).or_insert(beat.beat_at);
            *of_it = beat.beat_at.max(*of_it);
        }
        let seen = newest.into_iter().map(|(name, newest)| {
            let before = self.seen.get(name).copied();
            let seen = before.filter(|seen| seen.newest == newest).unwrap_or(DaemonSeen {
                newest,
                since: elapsed,
                has_come: before.is_some(),
            });
            (name.to_owned(), seen)
        });
        self.seen = seen.collect();
    }

    /// For how long a daemon is silent whose sign of life was seen to come.
    fn silence(&self, name: &str, elapsed: Duration) -> Option<Duration> {
        let seen = self.seen.get(name).filter(|seen| seen.has_come)?;
        Some(elapsed.saturating_sub(seen.since))
    }
}

/// When somebody looks at the daemons, and what that process has seen of them.
#[derive(Debug, Clone, Copy)]
pub struct DaemonLook<'a> {
    /// Who holds the leases called as the loops that need one.
    pub holders: &'a BTreeMap<String, String>,
    /// For how long the holders of these leases are known to be silent.
    pub left: &'a BTreeMap<String, Duration>,
    /// What it has seen of them.
    pub watch: &'a DaemonWatch,
    /// The time of day.
    pub now: Timestamp,
    /// The process's own clock.
    pub elapsed: Duration,
}

/// The daemons, by name.
///
/// All loops of a daemon are told of by one of them, so that of a process that is gone all are
/// silent. Nothing was heard of it for longer than it takes to tell of itself twice, or once where
/// a lease that it holds is left: it is silent; for longer than the most impatient of its loops may
/// be silent: it is gone. A loop that hangs is told from the others by the clock that timed them
/// all; one whose lease is left is silent before that. For how long a whole daemon is silent is
/// measured by the clock of who has seen its last sign of life come; who has not compares the
/// daemon's clock with `now`.
pub fn standing(beats: &[LoopBeat], look: DaemonLook<'_>) -> Vec<DaemonRow> {
    let mut daemons: BTreeMap<&str, Vec<&LoopBeat>> = BTreeMap::new();
    for beat in beats {
        daemons.entry(&beat.daemon).or_default().push(beat);
    }
    daemons.into_iter().map(|(name, beats)| daemon(name, beats, look)).collect()
}

fn daemon(name: &str, mut beats: Vec<&LoopBeat>, look: DaemonLook<'_>) -> DaemonRow {
    beats.sort_by(|a, b| a.name.cmp(&b.name));
    let newest = beats.iter().map(|beat| beat.beat_at).max().unwrap_or(look.now);
    let silence_max = beats.iter().map(|beat| beat.silence_max).min().unwrap_or_default();
    let is_holder = |lease: &str| look.holders.get(lease).map(|holder| holder == name);
    let silence = look.watch.silence(name, look.elapsed);
    let silence = silence.unwrap_or_else(|| look.now.since(newest));
    let is_gone = silence > silence_max || beats.iter().any(|beat| beat.is_over);
    let left = |lease: &str| look.left.get(lease).filter(|_| is_holder(lease) == Some(true));
    let of_leases = beats.iter().filter_map(|beat| left(&beat.name)).max().copied();
    let told = of_leases.map_or(TOLD_IN_SILENCE, |_| TOLD_IN_SILENCE_OF_LEASE);
    let is_late = silence > silence_max * told / TOLD_IN_SILENCE_MAX;
    let whole = match (is_gone, is_late && !look.watch.own.contains(name)) {
        (true, _) => Some(LoopState::Gone),
        (false, is_silent) => is_silent.then_some(LoopState::Silent),
    };
    let silence = of_leases.map_or(silence, |of_leases| of_leases.max(silence));
    let row = |beat: &&LoopBeat| {
        let hangs = newest.since(beat.beat_at) > beat.silence_max;
        let state = match left(&beat.name) {
            _ if hangs => LoopState::Unhealthy,
            Some(_) => LoopState::Silent,
            None => LoopState::Healthy,
        };
        let state = whole.unwrap_or(state);
        LoopRow {
            name: beat.name.clone(),
            state,
            beat_at: beat.beat_at,
            silent_since: (state == LoopState::Silent).then(|| look.now.before(silence)),
            silence_max: HumanDuration(beat.silence_max),
            holds_lease: is_holder(&beat.name),
        }
    };
    let loops: Vec<LoopRow> = beats.iter().map(row).collect();
    let has = |state: &LoopState| loops.iter().any(|row| row.state == *state);
    let worst = [LoopState::Unhealthy, LoopState::Silent].into_iter().find(has);
    let state = whole.or(worst).unwrap_or(LoopState::Healthy);
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

    fn second(at: i64) -> Timestamp {
        Timestamp::from_micros(at * 1_000_000)
    }

    /// What is seen at a second by a process that looks for the first time.
    fn first_look(beats: &[LoopBeat], now: i64) -> Vec<DaemonRow> {
        look(beats, &BTreeMap::new(), &BTreeMap::new(), now)
    }

    /// The same, who knows of holders of leases, some of them silent for a while.
    fn look(
        beats: &[LoopBeat],
        holders: &BTreeMap<String, String>,
        left: &BTreeMap<String, Duration>,
        now: i64,
    ) -> Vec<DaemonRow> {
        let (watch, now, elapsed) = (DaemonWatch::default(), second(now), Duration::ZERO);
        standing(beats, DaemonLook { holders, left, watch: &watch, now, elapsed })
    }

    /// What is known at a second.
    fn of(beats: &[LoopBeat], now: i64, ended_at: Option<Timestamp>) -> Watchers {
        let daemons = first_look(beats, now);
        Watchers { daemons, ended_at, are_alone: false }
    }

    fn states(beats: &[LoopBeat]) -> Vec<(String, LoopState, Vec<LoopState>)> {
        let rows = first_look(beats, 100);
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
    fn a_daemon_that_has_missed_two_of_its_beats_is_silent_with_all_its_loops() {
        use LoopState::{Gone, Healthy, Silent};
        let state = |age: i64| {
            let row = first_look(&[beat("a", "queue", 100 - age)], 100).remove(0);
            let words = row.loops[0].state_words();
            assert_eq!(row.state, row.loops[0].state);
            (row.state, words)
        };
        assert_eq!(state(10), (Healthy, "healthy".to_owned()));
        assert_eq!(state(11), (Silent, "silent since 1970-01-01T00:01:29Z".to_owned()));
        assert_eq!(state(30).0, Silent);
        assert_eq!(state(31), (Gone, "gone".to_owned()));
    }

    #[test]
    fn who_has_seen_a_sign_of_life_come_measures_by_its_own_clock_and_nobody_by_another() {
        use LoopState::{Gone, Healthy, Silent};
        let (holders, left) = (BTreeMap::new(), BTreeMap::new());
        let mut watch = DaemonWatch::default();
        // Its clock is an hour behind.
        let at = |told: i64| [beat("a", "queue", told - 3_600)];
        let mut state = |told: i64, now: i64| {
            let elapsed = Duration::from_secs(u64::try_from(now).unwrap());
            watch.look(&at(told), elapsed);
            let (holders, left, now) = (&holders, &left, second(now + 5_000));
            let look = DaemonLook { holders, left, watch: &watch, now, elapsed };
            standing(&at(told), look).remove(0)
        };
        assert_eq!(state(0, 1).state, Gone, "nobody has seen it come");
        assert_eq!(state(5, 6).state, Healthy);
        assert_eq!(state(5, 16).state, Healthy);
        let silent = state(5, 17);
        assert_eq!((silent.state, silent.loops[0].silent_since), (Silent, Some(second(5_006))));
        assert_eq!(state(5, 37).state, Gone);
        assert_eq!(state(38, 38).state, Healthy);
        watch.is_own("a");
        let (now, elapsed) = (second(5_050), Duration::from_secs(50));
        let (holders, left) = (&holders, &left);
        let look = DaemonLook { holders, left, watch: &watch, now, elapsed };
        assert_eq!(standing(&at(38), look)[0].state, Healthy, "it is this process's own");
    }

    #[test]
    fn who_holds_a_lease_that_is_left_is_silent_whole_unless_its_other_loops_are_heard_of() {
        use LoopState::{Healthy, Silent};
        let holders = BTreeMap::from([("queue".to_owned(), "a".to_owned())]);
        let left = BTreeMap::from([("queue".to_owned(), Duration::from_secs(8))]);
        let states = |told: i64| {
            let beats =
                [beat("a", "queue", told), beat("a", "scans", told), beat("b", "queue", 99)];
            let rows = look(&beats, &holders, &left, 100);
            assert_eq!(rows[1].state, Healthy, "the lease is not its");
            assert_eq!(rows[0].loops[0].silent_since, Some(second(92)));
            let loops: Vec<LoopState> = rows[0].loops.iter().map(|one| one.state).collect();
            (rows[0].state, loops)
        };
        assert_eq!(states(97), (Silent, vec![Silent, Healthy]), "its loop hangs");
        assert_eq!(states(93), (Silent, vec![Silent, Silent]));
    }

    #[test]
    fn a_loop_is_not_silent_because_the_clock_of_its_machine_is_slow() {
        let beats = [beat("a", "queue", 65), beat("a", "losses", 92)];
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
        let rows = look(&beats, &holders, &BTreeMap::new(), 0);
        let holds = |row: &DaemonRow| row.loops.iter().map(|one| one.holds_lease).collect();
        let holds: Vec<Vec<Option<bool>>> = rows.iter().map(holds).collect();
        assert_eq!(holds, [vec![Some(true), None], vec![Some(false)]]);
    }
}
