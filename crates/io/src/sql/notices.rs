//! What a server says beside its answers: `RAISE NOTICE`, `RAISE WARNING` and its own remarks.
//!
//! The worker makes one for each step and writes what was heard to the step's log, also when the
//! step fails: what was said before an error often explains it.
//!
//! **Invariant.** A step that says more than fits costs no more memory than one that does not.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::error::DbError;

/// The most notices of a step.
const NOTICES_MAX: usize = 1_000;

/// The most characters of one.
const NOTICE_CHARS_MAX: usize = 2_000;

/// The notices of a step, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Notices(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    lines: Vec<String>,
    left_out: u64,
}

impl Notices {
    /// What was said, as lines for the log, and how much of it is left out.
    pub fn take(&self) -> Vec<String> {
        let Heard { mut lines, left_out } = std::mem::take(&mut *self.heard());
        if left_out > 0 {
            lines.push(format!("{left_out} more notices are left out"));
        }
        lines
    }

    /// Adds what the server has said.
    pub(super) fn add(&self, notice: &DbError) {
        let mut heard = self.heard();
        if heard.lines.len() < NOTICES_MAX {
            heard.lines.push(line(notice));
        } else {
            heard.left_out += 1;
        }
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(notice: &DbError) -> String {
    let mut line = format!("{}: {}", notice.severity().to_lowercase(), notice.message());
    for more in [notice.detail(), notice.hint()].into_iter().flatten() {
        line.push_str("; ");
        line.push_str(more);
    }
    if let Some((end, _)) = line.char_indices().nth(NOTICE_CHARS_MAX) {
        line.truncate(end);
        line.push_str(" …");
    }
    line
}
