//! What becomes of the ticks that are due and not decided where a schedule ticks on by another
//! rule.
//!
//! A plan of an edit asks [`Fates`]; what becomes of them is [`super::decide`]'s, which judges a
//! tick by the same rule.

use std::collections::BTreeMap;

use millstream_model::{ContentHash, SkipReason, Timestamp};

use super::Timing;
use super::due::{TickPolicy, TickVerdict, verdict};
use super::standing::Lapsed;

/// What a schedule does with its ticks, by one definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conduct {
    /// Which of them fire, and when.
    pub policy: TickPolicy,
    /// Whether one that fires requests nothing: its job is off, or its condition says no.
    pub is_mute: bool,
}

/// What becomes of a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It requests its runs at once.
    Fires,
    /// It waits until runs of its schedule have ended.
    Waits,
    /// It requests nothing once it is its turn, because its schedule is mute.
    Mute,
    /// It requests nothing.
    Skipped(SkipReason),
}

/// Ticks of which the same becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fated {
    /// What.
    pub fate: Fate,
    /// Which.
    pub ticks: Lapsed,
    /// Whether there may be more of them, which are not counted.
    pub at_least: bool,
}

/// A timing, between which times, by what rule before and by what from then on.
type Key = (ContentHash, (Timestamp, Timestamp), (Option<Conduct>, Conduct));

/// What becomes of the ticks of many schedules: of those that stand alike, as one schedule in many
/// tenants, they are looked at once.
#[derive(Debug, Default)]
pub struct Fates(BTreeMap<Key, Vec<Fated>>);

/// The ticks of a schedule as they are judged, one after the other.
struct Course {
    conduct: Conduct,
    is_waiting: bool,
}

impl Fates {
    /// What becomes of the first ticks after a time that are due at another, once what a schedule
    /// does with them is not what it was before; where that is not known, what becomes of them at
    /// all. Those that would request nothing either way are not told.
    pub fn of(
        &mut self,
        timing: &Timing,
        between: (Timestamp, Timestamp),
        (before, after): (Option<Conduct>, Conduct),
    ) -> &[Fated] {
        let key = (timing.hash().clone(), between, (before, after));
        self.0.entry(key).or_insert_with(|| fates(timing, between, (before, after)))
    }
}

fn fates(
    timing: &Timing,
    (from, now): (Timestamp, Timestamp),
    (before, after): (Option<Conduct>, Conduct),
) -> Vec<Fated> {
    if before == Some(after) {
        return Vec::new();
    }
    let (mut before, mut after) = (before.map(Course::of), Course::of(after));
    let mut found: Vec<Fated> = Vec::new();
    let due = timing.fires(from).take_while(|at| *at <= now);
    for (number, at) in (1..=SkipReason::RETIMED_MAX).zip(due) {
        let before = before.as_mut().map(|it| it.next(timing, (at, now)));
        let fate = after.next(timing, (at, now));
        if fate.is_nothing() && before.is_some_and(|it| it.is_nothing()) {
            continue;
        }
        let at_least = number == SkipReason::RETIMED_MAX;
        match found.iter_mut().find(|it| it.fate == fate) {
            Some(it) => {
                it.ticks = Lapsed { count: it.ticks.count + 1, last: at, ..it.ticks };
                it.at_least = at_least;
            }
            None => found.push(Fated {
                fate,
                ticks: Lapsed { count: 1, first: at, last: at },
                at_least,
            }),
        }
    }
    found
}

impl Fate {
    /// Whether the tick requests no runs, neither now nor later.
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Mute | Self::Skipped(_))
    }
}

impl Course {
    fn of(conduct: Conduct) -> Self {
        Self { conduct, is_waiting: false }
    }

    fn next(&mut self, timing: &Timing, (at, now): (Timestamp, Timestamp)) -> Fate {
        let Conduct { policy, is_mute } = &mut self.conduct;
        let verdict = if self.is_waiting { None } else { verdict(timing, policy, (at, now)) };
        match verdict {
            Some(TickVerdict::Skip(reason)) => Fate::Skipped(reason),
            _ if *is_mute => Fate::Mute,
            None => {
                self.is_waiting = true;
                Fate::Waits
            }
            Some(TickVerdict::Fire) => {
                policy.active_runs = policy.active_runs.saturating_add(1);
                Fate::Fires
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_model::{
        CatchUp, HumanDuration, Manifest, ScheduleCron, ScheduleDef, ScheduleTarget, TenantDef,
    };

    use super::*;
    use crate::schedule::decide;

    fn at(text: &str) -> Timestamp {
        Timestamp::from(text.parse::<jiff::Timestamp>().unwrap())
    }

    fn by(cron: &str) -> Timing {
        let target = ScheduleTarget::Job("sync".parse().unwrap());
        let cron = ScheduleCron::Text(cron.to_owned());
        let def = ScheduleDef::new("it".parse().unwrap(), cron, target);
        let manifest = Manifest::merge("files".parse().unwrap(), []);
        Timing::of(&def, &TenantDef::default(), &manifest).unwrap().unwrap()
    }

    fn rule(catch_up: CatchUp) -> Conduct {
        let policy = TickPolicy { catch_up, deadline: None, max_active_runs: None, active_runs: 1 };
        Conduct { policy, is_mute: false }
    }

    fn limited(catch_up: CatchUp, limit: u32) -> Conduct {
        let policy = TickPolicy { max_active_runs: Some(limit), ..rule(catch_up).policy };
        Conduct { policy, is_mute: false }
    }

    fn too_late(conduct: Conduct, hours: u64) -> Conduct {
        let deadline = Some(HumanDuration::from_secs(hours * 3_600));
        Conduct { policy: TickPolicy { deadline, ..conduct.policy }, ..conduct }
    }

    /// The hours from 08:00 on by what becomes of them, of an hourly schedule at 12:30.
    fn told(before: Option<Conduct>, after: Conduct) -> Vec<(&'static str, u32)> {
        let between = (at("2026-03-01T08:00:00Z"), at("2026-03-01T12:30:00Z"));
        let mut fates = Fates::default();
        let told = fates.of(&by("0 * * * *"), between, (before, after)).iter().map(|it| {
            let fate = match it.fate {
                Fate::Fires => "fires",
                Fate::Waits => "waits",
                Fate::Mute => "mute",
                Fate::Skipped(SkipReason::Missed { .. }) => "missed",
                Fate::Skipped(SkipReason::TooLate { .. }) => "late",
                Fate::Skipped(SkipReason::Overlap { .. }) => "overlap",
                Fate::Skipped(_) => "otherwise",
            };
            (fate, it.ticks.count)
        });
        told.collect()
    }

    #[test]
    fn an_edit_of_what_a_schedule_does_tells_of_each_tick_that_waits() {
        let (all, one) = (rule(CatchUp::All), limited(CatchUp::All, 1));
        assert_eq!(told(Some(one), one), []);
        assert_eq!(told(Some(one), limited(CatchUp::All, 3)), [("fires", 2), ("waits", 2)]);
        assert_eq!(told(Some(limited(CatchUp::All, 3)), one), [("waits", 4)]);
        assert_eq!(told(Some(one), all), [("fires", 4)]);
        assert_eq!(told(Some(one), too_late(one, 2)), [("late", 2), ("waits", 2)]);
        assert_eq!(told(Some(one), too_late(all, 2)), [("late", 2), ("fires", 2)]);
        assert_eq!(told(Some(all), rule(CatchUp::Last)), [("missed", 3), ("fires", 1)]);
        assert_eq!(told(Some(one), limited(CatchUp::Last, 1)), [("missed", 3), ("overlap", 1)]);
        let mute = Conduct { is_mute: true, ..one };
        assert_eq!(told(Some(one), mute), [("mute", 4)]);
        assert_eq!(told(Some(mute), one), [("waits", 4)]);
    }

    #[test]
    fn what_would_request_nothing_either_way_is_not_told() {
        let (last, none) = (rule(CatchUp::Last), rule(CatchUp::None));
        assert_eq!(told(Some(last), none), [("missed", 1)]);
        assert_eq!(told(None, none), [("missed", 4)], "it is not known what it did before");
        assert_eq!(told(Some(too_late(last, 2)), too_late(last, 3)), [("fires", 1)]);
        let mute = Conduct { is_mute: true, ..last };
        assert_eq!(told(Some(mute), too_late(mute, 2)), []);
        assert_eq!(told(Some(last), mute), [("mute", 1)]);
    }

    #[test]
    fn what_is_told_of_ticks_that_wait_is_what_is_decided_then() {
        let (timing, from) = (by("0 * * * *"), at("2026-03-01T08:00:00Z"));
        for now in ["12:00:00", "12:01:00", "12:01:00.000001", "12:30:00"] {
            let now = at(&format!("2026-03-01T{now}Z"));
            for catch_up in [CatchUp::None, CatchUp::Last, CatchUp::All] {
                let rules = [rule(catch_up), limited(catch_up, 1), limited(catch_up, 3)];
                for conduct in rules.into_iter().flat_map(|it| [it, too_late(it, 2)]) {
                    let mut fates = Fates::default();
                    let told = fates.of(&timing, (from, now), (None, conduct));
                    let count = |is: &dyn Fn(&Fate) -> bool| -> u32 {
                        told.iter().filter(|it| is(&it.fate)).map(|it| it.ticks.count).sum()
                    };
                    let decided = decide(&timing, &conduct.policy, from, now).ticks;
                    let is_fire = |it: &&crate::schedule::DueTick| it.verdict == TickVerdict::Fire;
                    let fires = decided.iter().filter(is_fire).count();
                    let words = format!("{now} {conduct:?}");
                    assert_eq!(count(&|it| *it == Fate::Fires) as usize, fires, "{words}");
                    let skips = count(&|it| matches!(it, Fate::Skipped(_))) as usize;
                    assert_eq!(skips, decided.len() - fires, "{words}");
                    let waits = count(&|it| *it == Fate::Waits) as usize;
                    assert_eq!(waits, 4 - decided.len(), "{words}");
                }
            }
        }
    }

    #[test]
    fn ticks_of_many_tenants_are_looked_at_once_and_no_further_than_they_are_counted() {
        let (timing, mut fates) = (by("* * * * *"), Fates::default());
        let between = (at("2026-01-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        let (one, all) = (limited(CatchUp::All, 1), rule(CatchUp::All));
        let last = at("2026-01-01T16:40:00Z");
        let ticks = Lapsed { count: 1_000, first: at("2026-01-01T00:01:00Z"), last };
        for _ in 0..1_000 {
            let many = [Fated { fate: Fate::Fires, ticks, at_least: true }];
            assert_eq!(fates.of(&timing, between, (Some(one), all)), many);
        }
        assert_eq!(fates.0.len(), 1);
        let few = fates.of(&timing, between, (Some(one), limited(CatchUp::All, 3)));
        let few: BTreeMap<_, _> = few.iter().map(|it| (it.ticks.count, it.at_least)).collect();
        assert_eq!(few, [(2, false), (998, true)].into());
    }
}
