//! Inside one run: executes the plan's steps, keeps their output, and reports what happens.
//!
//! A launcher gives [`Worker::run`] an assignment. It asks `plan::progress` what may start and what
//! follows, starts processes through the [`supervisor`], and reports events to a [`ControlPlane`].
//! It knows no other run and never opens the database.
//!
//! **Invariant.** A step's process starts only after the control plane has taken its start, so a
//! worker that was replaced starts nothing.
//! **Invariant.** User code runs in child processes alone.

mod ask;
mod control_plane;
mod http;
mod pipes;
mod python;
mod run;
mod seams;
mod sink;
mod step;
pub mod supervisor;
mod worker;

pub use millstream_blob::Blobs;
pub use millstream_outbound::{AllowError, AllowList, Aws};

pub use ask::{Answered, Asked};
pub use control_plane::{ControlPlane, ReportError};
pub use http::HttpControlPlane;
pub use millstream_model::Secrets;
pub use run::{RunEnd, drive};
pub use seams::{Clock, Entropy, Seams, SystemClock, SystemEntropy};
pub use step::{AttemptDone, AttemptOrder, StepRunner, Taken};
pub use supervisor::Supervisor;
pub use worker::{CancelSignal, Canceler, Worker, WorkerSettings};
