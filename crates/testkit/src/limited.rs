//! Checks the ticks of schedules whose runs are limited: none is lost that its rules keep, none is
//! double, no more runs are under way than allowed, and a tick that waits goes on when there is
//! room.
//!
//! It knows the rules as they are documented, and nothing of how the product keeps them. Times are
//! microseconds.

use std::collections::BTreeMap;

use crate::ticks::TickVerdict;

/// A tick up to this late is on time.
const ON_TIME: i64 = 60_000_000;

/// A shorter deadline counts as this.
const DEADLINE_MIN: i64 = 5_000_000;

/// How long a schedule may leave a tick that could be decided, once all is well; and how much may
/// pass between the look at the runs and what is decided.
const PROMPT: i64 = 1_000_000;

/// Which ticks are made up for that are no longer on time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Each; one for which there is no room waits.
    All,
    /// The last; one for which there is no room is skipped.
    Last,
}

/// What a schedule promises.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The first of its times.
    pub first: i64,
    /// The time from one to the next.
    pub period: i64,
    /// How many of its runs may be under way.
    pub limit: usize,
    /// Which late ticks it keeps.
    pub keeps: Keeps,
    /// How late a tick may be.
    pub deadline: Option<i64>,
}

/// What became of one tick, as its history says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It requested its run.
    Launched,
    /// It was later than the deadline.
    TooLate,
    /// It was late, and not the last.
    Missed,
    /// There was no room.
    Full,
}

/// What was seen of a schedule.
#[derive(Debug, Clone)]
pub struct SeenLimited {
    /// What it promises.
    pub rules: Rules,
    /// What became of its times, each with the time on the clock of whoever decided it.
    pub decided: Vec<(i64, i64, Came)>,
    /// Every launch, as (nominal time, time of the launch).
    pub launches: Vec<(i64, i64)>,
    /// How many runs were under way from each change on, in the order of time.
    pub under_way: Vec<(i64, usize)>,
    /// Its last time that was decided before all was well.
    pub before: i64,
}

/// What is wrong with schedules that have been `well`, with right clocks, since the first of these
/// times, and were seen until the second.
pub fn check_limited<'a>(
    schedules: impl IntoIterator<Item = (&'a str, &'a SeenLimited)>,
    (well, end): (i64, i64),
) -> TickVerdict {
    let mut verdict = TickVerdict::default();
    for (name, seen) in schedules {
        let mut check = Check { name, seen, well, end, verdict: &mut verdict };
        check.limit();
        check.launches();
        check.history();
        check.reasons();
        check.promptness();
    }
    verdict
}

struct Check<'a> {
    name: &'a str,
    seen: &'a SeenLimited,
    well: i64,
    end: i64,
    verdict: &'a mut TickVerdict,
}

impl Check<'_> {
    fn note(&mut self, what: &str, at: i64) {
        let name = self.name;
        self.verdict.note(format!("{what} {name} at {at}"));
    }

    /// Its times until the end.
    fn times(&self) -> impl Iterator<Item = i64> + use<> {
        let Rules { first, period, .. } = self.seen.rules;
        (0..).map(move |number| first + number * period).take_while({
            let end = self.end;
            move |at| *at <= end
        })
    }

    fn limit(&mut self) {
        let seen = self.seen;
        for (at, _) in seen.under_way.iter().filter(|(_, count)| *count > seen.rules.limit) {
            self.verdict.over += 1;
            self.note("over the limit", *at);
        }
    }

    /// Each tick that says so has launched, once, and no other has.
    fn launches(&mut self) {
        let mut by_time: BTreeMap<i64, usize> = BTreeMap::new();
        let seen = self.seen;
        for (nominal, _) in &seen.launches {
            *by_time.entry(*nominal).or_default() += 1;
        }
        for (nominal, _, came) in &seen.decided {
            let count = by_time.remove(nominal).unwrap_or_default();
            match (came, count) {
                (Came::Launched, 0) => {
                    self.verdict.missed += 1;
                    self.note("no launch of", *nominal);
                }
                (Came::Launched, 1) | (_, 0) => {}
                (Came::Launched, more) => {
                    self.verdict.doubled += more - 1;
                    self.note("double", *nominal);
                }
                (_, more) => {
                    self.verdict.extra += more;
                    self.note("skipped and launched", *nominal);
                }
            }
        }
        for (nominal, count) in by_time {
            self.verdict.extra += count;
            self.note("extra", nominal);
        }
    }

    /// Each of its times until the last that is decided is decided once, and nothing else is.
    fn history(&mut self) {
        let seen = self.seen;
        let Rules { first, period, .. } = seen.rules;
        let mut wanted = first;
        for (nominal, _, _) in &seen.decided {
            while wanted < *nominal {
                self.verdict.missed += 1;
                self.note("nothing became of", wanted);
                wanted += period;
            }
            if wanted == *nominal {
                wanted += period;
            } else {
                self.verdict.extra += 1;
                self.note("no time, or decided twice,", *nominal);
            }
        }
        self.verdict.targets += self.times().count();
    }

    /// What was skipped was so for a reason that its rules have, and nothing else was launched.
    fn reasons(&mut self) {
        let seen = self.seen;
        let Rules { keeps, deadline, period, .. } = seen.rules;
        for &(nominal, at, came) in &seen.decided {
            let late = at - nominal;
            let too_late = deadline.is_some_and(|it| late > it.max(DEADLINE_MIN));
            let lapsed = keeps == Keeps::Last && late > ON_TIME && nominal + period <= at;
            let holds = match came {
                Came::Launched => !too_late && !lapsed,
                Came::TooLate => too_late,
                Came::Missed => lapsed,
                Came::Full => keeps == Keeps::Last && self.was_full(nominal, at),
            };
            if holds {
                continue;
            }
            if came == Came::Launched {
                self.verdict.extra += 1;
            } else {
                self.verdict.missed += 1;
            }
            self.note(&format!("wrongly {came:?}"), nominal);
        }
    }

    /// Whether there was no room at some instant at which the tick may have been decided: between
    /// the launches around it, and where the clock was right when it says.
    fn was_full(&self, nominal: i64, at: i64) -> bool {
        let launches = &self.seen.launches;
        let earlier = launches.iter().rfind(|(other, _)| *other < nominal);
        let later = launches.iter().find(|(other, _)| *other > nominal);
        let (mut from, mut to) =
            (earlier.map_or(i64::MIN, |it| it.1), later.map_or(self.end, |it| it.1));
        if nominal > self.seen.before {
            (from, to) = (from.max(at - PROMPT), to.min(at + PROMPT));
        }
        self.stretches(from, to).any(|(_, _, count)| count >= self.seen.rules.limit)
    }

    /// The stretches between `from` and `to`, each with the runs that were under way.
    fn stretches(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, i64, usize)> {
        let all = &self.seen.under_way;
        let starts = std::iter::once((i64::MIN, 0)).chain(all.iter().copied());
        let ends = all.iter().map(|it| it.0).chain([i64::MAX]);
        starts
            .zip(ends)
            .map(move |((begin, count), end)| (begin.max(from), end.min(to), count))
            .filter(|(begin, end, _)| begin <= end)
    }

    /// The longest time between `from` and `to` for which there was room.
    fn longest_room(&self, from: i64, to: i64) -> i64 {
        let (mut since, mut longest) = (None, 0);
        for (begin, end, count) in self.stretches(from, to) {
            if count < self.seen.rules.limit {
                longest = longest.max(end - *since.get_or_insert(begin));
            } else {
                since = None;
            }
        }
        longest
    }

    /// Once all is well, no tick is left while it could be decided.
    fn promptness(&mut self) {
        let keeps = self.seen.rules.keeps;
        let decided: BTreeMap<i64, i64> =
            self.seen.decided.iter().map(|(nominal, at, _)| (*nominal, *at)).collect();
        let launched: BTreeMap<i64, i64> = self.seen.launches.iter().copied().collect();
        let before = self.seen.before;
        for nominal in self.times().filter(|it| *it > before) {
            let from = nominal.max(self.well);
            let to = decided.get(&nominal).copied().unwrap_or(self.end);
            let left = match keeps {
                Keeps::All => self.longest_room(from, to),
                Keeps::Last => to - from,
            };
            if left > PROMPT {
                self.verdict.late += 1;
                self.note("left while it could be decided:", nominal);
            } else if to - from > PROMPT && launched.contains_key(&nominal) {
                self.verdict.waited += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks at 10, 20 and 30 seconds, one run at a time: the first runs for 15.
    fn waited(keeps: Keeps) -> SeenLimited {
        let rules =
            Rules { first: 10 * S, period: 10 * S, limit: 1, keeps, deadline: Some(20 * S) };
        let launches = vec![(10 * S, 10 * S), (20 * S, 25 * S), (30 * S, 30 * S)];
        let decided = launches.iter().map(|(it, at)| (*it, *at, Came::Launched)).collect();
        let under_way =
            vec![(10 * S, 1), (25 * S, 0), (25 * S, 1), (28 * S, 0), (30 * S, 1), (31 * S, 0)];
        SeenLimited { rules, decided, launches, under_way, before: 0 }
    }

    const S: i64 = 1_000_000;

    fn verdict(seen: &SeenLimited) -> TickVerdict {
        check_limited([("it", seen)], (0, 35 * S))
    }

    #[test]
    fn ticks_that_wait_for_room_and_no_longer_are_valid() {
        let found = verdict(&waited(Keeps::All));
        assert!(found.is_valid(), "{found}");
        assert_eq!((found.targets, found.waited), (3, 1));
        let mut seen = waited(Keeps::Last);
        (seen.decided[1], seen.launches) =
            ((20 * S, 20 * S, Came::Full), vec![(10 * S, 10 * S), (30 * S, 30 * S)]);
        seen.under_way = vec![(10 * S, 1), (25 * S, 0), (30 * S, 1)];
        let found = verdict(&seen);
        assert!(found.is_valid(), "{found}");
    }

    #[test]
    fn more_runs_than_the_limit_are_found() {
        let mut seen = waited(Keeps::All);
        seen.under_way[1].1 = 2;
        assert_eq!(verdict(&seen).over, 1);
    }

    #[test]
    fn what_is_lost_doubled_or_launched_though_it_was_skipped_is_told_apart() {
        let mut seen = waited(Keeps::All);
        seen.launches.remove(1);
        assert_eq!(verdict(&seen).missed, 1);
        let mut seen = waited(Keeps::All);
        seen.launches.push((30 * S, 31 * S));
        assert_eq!(verdict(&seen).doubled, 1);
        let mut seen = waited(Keeps::All);
        seen.decided.remove(1);
        let found = verdict(&seen);
        assert_eq!((found.missed, found.extra), (1, 1), "{found}");
    }

    #[test]
    fn a_reason_that_does_not_hold_is_found() {
        for came in [Came::TooLate, Came::Missed, Came::Full] {
            for keeps in [Keeps::All, Keeps::Last] {
                let mut seen = waited(keeps);
                seen.launches.remove(2);
                seen.decided[2].2 = came;
                seen.under_way.truncate(4);
                assert_eq!(verdict(&seen).missed, 1, "{came:?} {keeps:?}");
            }
        }
        let mut seen = waited(Keeps::All);
        seen.decided[1].1 = 41 * S;
        assert_eq!(verdict(&seen).extra, 1, "it was launched too late");
    }

    #[test]
    fn a_tick_that_is_left_while_there_is_room_is_late() {
        let mut seen = waited(Keeps::All);
        (seen.decided[1].1, seen.launches[1].1) = (27 * S, 27 * S);
        seen.under_way[2].0 = 27 * S;
        assert_eq!(verdict(&seen).late, 1);
        assert_eq!(verdict(&waited(Keeps::Last)).late, 1, "that policy has none wait");
        let mut seen = waited(Keeps::All);
        (seen.decided, seen.launches) = (seen.decided[..1].to_vec(), seen.launches[..1].to_vec());
        seen.under_way.truncate(2);
        assert_eq!(verdict(&seen).late, 2, "from 25 s on there was room");
    }
}
