//! Who owns an embedded database: one process at a time, by a lock that ends with it.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::StoreError;

/// The lock on a database file; dropping it gives the file free.
pub(super) struct Owner {
    file: File,
}

impl Drop for Owner {
    fn drop(&mut self) {
        // To close it would not do: a process that is just being started has it open as well, until
        // it becomes another program.
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::warn!(%error, "the lock on the database stays until this process ends");
        }
    }
}

impl Owner {
    /// Takes the lock beside `database`, or says which process has it.
    ///
    /// The kernel drops the lock when the process ends, however it ends; the process id in the
    /// file only tells people whom to ask.
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = lock_path(database);
        let failed =
            |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut owner = String::new();
            file.read_to_string(&mut owner).map_err(failed)?;
            return Err(StoreError::Owned {
                path: database.display().to_string(),
                owner: owner.trim().to_owned(),
            });
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    database.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_free_at_once_though_a_process_that_starts_has_it_open_still() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("some.db");
        let owner = Owner::take(&database).unwrap();
        let of_a_child = owner.file.try_clone().unwrap();
        drop(owner);
        Owner::take(&database).unwrap();
        drop(of_a_child);
    }
}
