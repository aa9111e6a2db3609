//! The machine's processes, as /proc shows them.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

/// Asks a process to end.
pub(crate) fn terminate(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::TERM).unwrap();
}

/// Ends a process as a crash would.
pub(crate) fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

/// Has a process stand still.
pub(crate) fn stop(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::STOP).unwrap();
}

/// Has a process that stands still go on.
pub(crate) fn wake(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::CONT).unwrap();
}

/// The live processes whose environment holds `variable`, like `NAME=value`.
pub(crate) fn with_variable(variable: &str) -> Vec<u32> {
    let holds = |pid: &u32| {
        let environment = std::fs::read(folder(*pid).join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    all().into_iter().filter(holds).collect()
}

/// The live processes whose command line holds `text`.
pub(crate) fn with_argument(text: &str) -> Vec<u32> {
    all().into_iter().filter(|pid| command_line(*pid).contains(text)).collect()
}

/// The command line of a process, with spaces between its arguments.
pub(crate) fn command_line(pid: u32) -> String {
    let line = std::fs::read(folder(pid).join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

/// The processes that `pid` has started and that are alive.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let is_child = |child: &u32| {
        let stat = std::fs::read_to_string(folder(*child).join("stat")).unwrap_or_default();
        // The name before it may hold anything, even a parenthesis.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(2));
        parent == Some(pid.to_string().as_str())
    };
    all().into_iter().filter(is_child).collect()
}

/// The most memory that a process has held until now, in bytes.
pub(crate) fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(folder(pid).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

fn all() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect()
}

fn folder(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}
