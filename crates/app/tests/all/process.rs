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

fn all() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect()
}

fn folder(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}
