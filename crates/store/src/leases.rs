//! Leases: which daemon does the work that only one may do at a time.
//!
//! A holder raises `beat`; another takes over only after it has seen `beat` unchanged for the
//! time-to-live on its own clock. Each taking raises `fence`, and what the holder writes names it.

use crate::statement::statements;
use crate::{Batch, Scope, Store, StoreError};

statements! {
    LEASE = "SELECT holder, fence, beat FROM lease WHERE name = $1";
    CREATE_LEASE = "
        INSERT INTO lease (name, holder, fence, beat) VALUES ($1, $2, 1, 0)
        ON CONFLICT (name) DO NOTHING";
    TAKE_LEASE = "
        UPDATE lease SET holder = $2, fence = fence + 1, beat = 0
        WHERE name = $1 AND fence = $3 AND beat = $4";
    RAISE_LEASE = "
        UPDATE lease SET beat = beat + 1 WHERE name = $1 AND holder = $2 AND fence = $3";
    RELEASE_LEASE = "
        UPDATE lease SET holder = '', fence = fence + 1
        WHERE name = $1 AND holder = $2 AND fence = $3";
}

/// A lease as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it; empty when it was given back.
    pub holder: String,
    /// How often it was taken.
    pub fence: i64,
    /// The holder's sign of life.
    pub beat: i64,
}

/// Under which lease somebody works who may lose it meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The lease.
    pub lease: &'static str,
    /// Who holds it, or held it.
    pub holder: String,
    /// The fence under which it was taken.
    pub fence: i64,
}

/// Makes the lease, held by `holder`, or conflicts when it exists.
pub fn create(name: &str, holder: &str) -> Batch {
    Batch::new(Scope::Daemon).then_one(&CREATE_LEASE, vec![name.into(), holder.into()])
}

/// Takes the lease over from the holder who had it as `seen`, or conflicts.
pub fn take(name: &str, holder: &str, seen: &Lease) -> Batch {
    let params = vec![name.into(), holder.into(), seen.fence.into(), seen.beat.into()];
    Batch::new(Scope::Daemon).then_one(&TAKE_LEASE, params)
}

/// Raises the holder's beat, or conflicts when it has lost the lease.
pub fn raise(name: &str, holder: &str, fence: i64) -> Batch {
    let params = vec![name.into(), holder.into(), fence.into()];
    Batch::new(Scope::Daemon).then_one(&RAISE_LEASE, params)
}

/// Gives the lease back, so that the next daemon need not wait.
pub fn release(name: &str, holder: &str, fence: i64) -> Batch {
    let params = vec![name.into(), holder.into(), fence.into()];
    Batch::new(Scope::Daemon).then(&RELEASE_LEASE, params)
}

impl Store {
    /// The lease called `name`, if anybody ever took it.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        let rows = self.read_few(Scope::Daemon, &LEASE, vec![name.into()]).await?;
        rows.into_iter()
            .next()
            .map(|mut row| Ok(Lease { holder: row.text()?, fence: row.int()?, beat: row.int()? }))
            .transpose()
    }
}
