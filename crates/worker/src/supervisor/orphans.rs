//! Processes that outlive the one that started them, and come to the supervisor for that.
//!
//! The kernel gives it every descendant whose parent has ended, also those that left their group
//! with `setsid`. Each belongs to a step, and goes with it.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::kernel;
use super::watched::Watched;

/// The variable that says which of the supervisor's processes one descends from.
pub(super) const OWNER: &str = "MILLSTREAM_PROCESS";

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

fn owner(watched: &mut [Watched], orphan: Pid) -> Option<&mut Watched> {
    let group = rustix::process::getpgid(Some(orphan)).ok();
    let by_kin = watched.iter().position(|it| it.is_kin(orphan, group));
    let place = match (by_kin, kernel::variable(orphan, OWNER)) {
        (Some(place), _) => place,
        (None, Some(id)) => watched.iter().position(|it| it.id().to_string() == id)?,
        (None, None) if kernel::is_over(orphan) => return None,
        // It hides where it comes from. Whoever does that does it early.
        (None, None) => watched.len().checked_sub(1)?,
    };
    watched.get_mut(place)
}

/// Ends a child that is not reaped yet, so that its id is still its own.
pub(super) fn kill(child: Pid) {
    rustix::process::kill_process(child, Signal::KILL).ok();
}

/// Whether `child` has ended; it is reaped if so.
pub(super) fn is_reaped(child: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    !matches!(rustix::process::waitid(WaitId::Pid(child), look), Ok(None))
}
