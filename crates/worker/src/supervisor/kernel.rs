//! What the kernel says of processes, read from `/proc`.
//!
//! Called by the supervisor, and by the worker when it has lost one. A process may end between any
//! two looks, so what cannot be read is a process that uses nothing.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::process::Pid;

/// The most processes of one step that are looked at.
const FAMILY_MAX: usize = 10_000;

/// The largest file of `/proc` that is read about this process.
const STAT_MAX: usize = 4 * 1024;

/// The share of the machine's memory that a step may use where nothing else is said, in tenths.
const SHARE_TENTHS: u64 = 9;

/// Processes and all that descend from them, those that are gone and not reaped included.
pub(super) fn family(roots: impl Iterator<Item = Pid>) -> Vec<Pid> {
    let mut waiting: VecDeque<Pid> = roots.collect();
    let mut family = Vec::with_capacity(waiting.len());
    while let Some(pid) = waiting.pop_front() {
        family.push(pid);
        if family.len() + waiting.len() < FAMILY_MAX {
            waiting.extend(children(pid));
        }
    }
    family
}

/// All processes that there are.
pub(super) fn all() -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| pid_of(entry.file_name().to_str()?)).collect()
}

/// The children of all threads of `pid`.
pub(super) fn children(pid: Pid) -> Vec<Pid> {
    let folder = format!("/proc/{}/task", pid.as_raw_nonzero());
    let Ok(threads) = std::fs::read_dir(folder) else { return Vec::new() };
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(pid_of).collect::<Vec<_>>()).collect()
}

fn pid_of(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

/// The memory that `pid` holds and nobody else could be given: not the pages of files.
pub(super) fn memory(pid: Pid) -> u64 {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    std::fs::read_to_string(path).map_or(0, |status| memory_in(&status))
}

fn memory_in(status: &str) -> u64 {
    let held = ["RssAnon:", "RssShmem:", "VmSwap:"];
    let lines = status.lines().filter_map(|line| {
        let rest = held.iter().find_map(|name| line.strip_prefix(name))?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    lines.sum::<u64>().saturating_mul(1024)
}

/// The memory of `family` with what its processes share counted once. It is dear, so it is asked
/// where it matters.
pub(super) fn memory_shared_fairly(family: &[Pid]) -> u64 {
    let of = |pid: &Pid| {
        let path = format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero());
        let text = std::fs::read_to_string(path).ok()?;
        let lines = text.lines().filter_map(|line| {
            let fair = ["Pss_Anon:", "Pss_Shmem:", "SwapPss:"];
            let rest = fair.iter().find_map(|name| line.strip_prefix(name))?;
            rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        });
        Some(lines.sum::<u64>().saturating_mul(1024))
    };
    family.iter().map(|pid| of(pid).unwrap_or_else(|| memory(*pid))).sum()
}

/// The processor time that `pid` used, with that of its children that it has reaped.
pub(super) fn cpu_time(pid: Pid) -> Duration {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    ticks(fields(&stat).skip(USER_TIME).take(4))
}

/// Whether `pid` has ended and waits to be reaped.
pub(super) fn is_over(pid: Pid) -> bool {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    std::fs::read_to_string(path).map_or(true, |stat| fields(&stat).next() == Some("Z"))
}

/// The value of a variable that `pid` was started with.
pub(super) fn variable(pid: Pid, name: &str) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|it| it.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok().map(str::to_owned)
}

/// Where the times begin among the fields behind the name of a process.
const USER_TIME: usize = 11;

/// Where the times of the children begin.
const CHILDREN_TIME: usize = 13;

/// The fields of a `stat` file behind the name, which may hold anything.
pub(super) fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace()
}

fn ticks<'a>(fields: impl Iterator<Item = &'a str>) -> Duration {
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_micros(ticks.saturating_mul(1_000_000) / per_second)
}

/// The processor time of the children that this process has reaped.
///
/// The kernel counts it in ticks of 10 ms; what one reading lacks, a later one has, so that sums
/// are right.
#[derive(Debug)]
pub(super) struct ReapedTime {
    stat: Option<File>,
    told: Duration,
}

impl ReapedTime {
    /// Counts from now on.
    pub(super) fn new() -> Self {
        Self { stat: File::open("/proc/self/stat").ok(), told: Duration::ZERO }
    }

    /// What came to it since the last time this was asked.
    pub(super) fn more(&mut self) -> Duration {
        let mut buffer = [0; STAT_MAX];
        let read = self.stat.as_ref().and_then(|stat| stat.read_at(&mut buffer, 0).ok());
        let text = buffer.get(..read.unwrap_or_default()).unwrap_or_default();
        let text = std::str::from_utf8(text).unwrap_or_default();
        let total = ticks(fields(text).skip(CHILDREN_TIME).take(2)).max(self.told);
        total.saturating_sub(std::mem::replace(&mut self.told, total))
    }
}

/// How many processes the kernel has ended for want of memory since it started.
pub(super) fn killed_for_memory() -> u64 {
    let vmstat = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = vmstat.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}

/// Makes `pid` the first to go when the machine runs out of memory, before the server.
pub(super) fn offer_to_oom_killer(pid: Pid) {
    let path = format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero());
    // A container may forbid it; then the kernel chooses by size alone.
    std::fs::write(path, "500").ok();
}

/// What a step may use of this machine's memory where nothing else is said; `None` where the
/// machine does not tell what it has.
pub(crate) fn memory_share() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)?;
    let here = group_memory().map_or(total, |group| group.min(total));
    Some(here / 10 * SHARE_TENTHS)
}

/// The limit of the control group that this process is in, if it has one.
fn group_memory() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let name = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let path = format!("/sys/fs/cgroup{}/memory.max", name.trim_end_matches('/'));
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_files_are_not_memory_that_a_process_holds() {
        let status = "Name:\tx\nRssAnon:\t    1000 kB\nRssFile:\t  90000 kB\nRssShmem:\t  24 kB\n\
                      VmSwap:\t       0 kB\n";
        assert_eq!(memory_in(status), 1024 * 1024);
        assert_eq!(memory_in("State:\tZ (zombie)\n"), 0);
    }

    #[test]
    fn a_name_with_a_bracket_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 0 0 0 0 12 3 4 5 20 0 1 0 99 0 0";
        assert_eq!(fields(stat).next(), Some("S"));
        assert_eq!(fields(stat).skip(USER_TIME).take(4).collect::<Vec<_>>(), ["12", "3", "4", "5"]);
    }

    #[test]
    fn the_share_of_the_memory_is_less_than_the_machine_has() {
        assert!(memory_share().is_some_and(|share| share > 64 << 20));
    }
}
