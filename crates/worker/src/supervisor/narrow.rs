//! Limits that a new process has from its first moment on, because it inherits them: this process
//! takes them on itself while it starts the other.

use rustix::process::{Pid, Resource, Rlimit};
use rustix::thread::CpuSet;

use millstream_model::StepLimits;

/// What this process had before; it has it again when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Narrowed {
    cores: Option<CpuSet>,
    files: Option<Rlimit>,
}

impl Narrowed {
    /// Narrows this process to `limits`. Different steps, by their `id`, begin at different cores.
    pub(super) fn to(limits: &StepLimits, id: u64) -> Self {
        Self {
            cores: limits.cpu.and_then(|count| narrow_cores(count, id)),
            files: limits.open_files.and_then(narrow_files),
        }
    }

    /// Gives the number of open files back early; whether it was narrowed. A program that holds
    /// many files open cannot start another one with fewer.
    pub(super) fn widen_files(&mut self) -> bool {
        let Some(files) = self.files.take() else { return false };
        // It was this process's own a moment ago.
        rustix::process::setrlimit(Resource::Nofile, files).ok();
        true
    }
}

impl Drop for Narrowed {
    fn drop(&mut self) {
        self.widen_files();
        if let Some(cores) = self.cores.take() {
            rustix::thread::sched_setaffinity(None, &cores).ok();
        }
    }
}

fn narrow_cores(count: u32, id: u64) -> Option<CpuSet> {
    let all = rustix::thread::sched_getaffinity(None).ok()?;
    let mut some = CpuSet::new();
    some_cores(count, id)?.into_iter().for_each(|core| some.set(core));
    rustix::thread::sched_setaffinity(None, &some).ok()?;
    Some(all)
}

/// As many of this process's cores as `count` says, unless it has no more; different ones for
/// different `id`s.
pub(crate) fn some_cores(count: u32, id: u64) -> Option<Vec<usize>> {
    let all = rustix::thread::sched_getaffinity(None).ok()?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    if count >= cores.len() {
        return None;
    }
    let start = usize::try_from(id).unwrap_or_default().wrapping_mul(count) % cores.len();
    Some(cores.iter().copied().cycle().skip(start).take(count).collect())
}

fn narrow_files(count: u32) -> Option<Rlimit> {
    let own = rustix::process::getrlimit(Resource::Nofile);
    // The hard limit stays: nobody could raise it again.
    let narrow = Rlimit { current: Some(count.into()), ..own };
    rustix::process::setrlimit(Resource::Nofile, narrow).ok()?;
    Some(own)
}

/// Keeps `pid` from raising again what it inherited.
pub(super) fn seal(pid: Pid, limits: &StepLimits) {
    if let Some(files) = limits.open_files.map(u64::from) {
        let limit = Rlimit { current: Some(files), maximum: Some(files) };
        // It fails only for a process that has ended already.
        rustix::process::prlimit(Some(pid), Resource::Nofile, limit).ok();
    }
}
