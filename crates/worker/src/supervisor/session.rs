//! Signalling a session: a process that forks, and the groups that it has made.
//!
//! The kernel signals groups, not sessions, so its members are looked for in `/proc`. That is done
//! when a leader ends or is to end, never for each of its forks.

use rustix::process::{Pid, Signal, kill_process};

use super::kernel;

/// How often members are looked for: one may fork while another is found.
const ROUNDS_MAX: usize = 16;

/// Asks the leader of a session to end, or kills it with all members of the session.
///
/// The leader is not reaped yet, so no other session has its id.
pub(super) fn signal(leader: Pid, signal: Signal) {
    // What is gone has nothing left to signal.
    kill_process(leader, signal).ok();
    if signal != Signal::KILL {
        return;
    }
    for _ in 0..ROUNDS_MAX {
        let members = members(leader);
        if members.is_empty() {
            return;
        }
        for member in members {
            kill_process(member, Signal::KILL).ok();
        }
    }
}

/// The live processes of the session but for its leader.
fn members(leader: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_member = |pid: &Pid| *pid != leader && session_of(*pid) == Some(leader);
    pids.filter_map(Pid::from_raw).filter(is_member).collect()
}

/// The session of a process that still runs.
fn session_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut fields = kernel::fields(&stat);
    let state = fields.next()?;
    let session = fields.nth(2)?.parse().ok()?;
    if state == "Z" || state == "X" { None } else { Pid::from_raw(session) }
}
