//! Processes that outlive the one that started them, and come to the supervisor for that.
//!
//! The kernel gives it every descendant whose parent has ended, also those that left their group
//! with `setsid`. Each belongs to a step, and goes with it.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::kernel;
use super::watched::Watched;

/// The variable that says which supervisor's processes one descends from, and which of them.
pub(super) const OWNER: &str = "MILLSTREAM_PROCESS";

/// Looks for what a lost supervisor has left, at most; a process may start another between two.
const LOOKS_MAX: usize = 20;

/// What [`OWNER`] is for the process that `supervisor` calls `id`.
pub(super) fn name(supervisor: Pid, id: u64) -> String {
    format!("{}.{id}", supervisor.as_raw_nonzero())
}

/// Ends all processes of a supervisor that is gone, and is not reaped yet, so that no other has its
/// id: it may have started one and died before it could say so, or one may have left its group.
pub(super) fn end_all_of(supervisor: Pid) {
    let own = name(supervisor, 0);
    let own = own.trim_end_matches('0');
    let is_left = |pid: &Pid| {
        let owner = kernel::variable(*pid, OWNER);
        owner.is_some_and(|owner| owner.starts_with(own)) && !kernel::is_over(*pid)
    };
    for _ in 0..LOOKS_MAX {
        let left: Vec<Pid> = kernel::all().into_iter().filter(is_left).collect();
        if left.is_empty() {
            break;
        }
        left.into_iter().for_each(kill);
    }
}

/// Has the kernel give this process its orphaned descendants, where it tells who they are.
pub(super) fn accept() {
    let own = rustix::process::getpid();
    let list = format!("/proc/{0}/task/{0}/children", own.as_raw_nonzero());
    // Without the list nobody would reap them, so they stay with the system as before.
    if std::path::Path::new(&list).exists() {
        rustix::process::set_child_subreaper(Some(own)).ok();
    }
}

/// Gives each orphan to the step that it belongs to, and ends those whose step is over.
pub(super) fn adopt(watched: &mut [Watched]) {
    if has_no_children() {
        return;
    }
    let own = rustix::process::getpid();
    for orphan in kernel::children(own) {
        if watched.iter().any(|it| it.is_known(orphan)) {
            continue;
        }
        if let Some(owner) = owner(watched, orphan) {
            owner.adopt(orphan);
        } else {
            kill(orphan);
            is_reaped(orphan);
        }
    }
}

/// Whether this process has no children at all, which is cheaper to ask than who they are.
fn has_no_children() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(rustix::process::waitid(WaitId::All, look), Err(Errno::CHILD))
}

fn owner(watched: &mut [Watched], orphan: Pid) -> Option<&mut Watched> {
    let group = rustix::process::getpgid(Some(orphan)).ok();
    let by_kin = watched.iter().position(|it| it.is_kin(orphan, group));
    let place = match (by_kin, kernel::variable(orphan, OWNER)) {
        (Some(place), _) => place,
        (None, Some(id)) => {
            watched.iter().position(|it| name(rustix::process::getpid(), it.id()) == id)?
        }
        (None, None) if kernel::is_over(orphan) => return None,
        // It hides where it comes from. Whoever does that does it early.
        (None, None) => watched.len().checked_sub(1)?,
    };
    watched.get_mut(place)
}

/// Ends a process: a child that is not reaped yet, so that its id is still its own, or one that was
/// just seen to be a supervisor's.
pub(super) fn kill(child: Pid) {
    rustix::process::kill_process(child, Signal::KILL).ok();
}

/// Whether `child` has ended; it is reaped if so.
pub(super) fn is_reaped(child: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    !matches!(rustix::process::waitid(WaitId::Pid(child), look), Ok(None))
}
