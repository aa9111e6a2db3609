//! From what definitions say and what a caller asks for to what a run does.
//!
//! Pure: [`plan_job`], [`plan_assets`] and [`plan_selection`] map a manifest and a request to one
//! frozen `RunPlan`, and [`tenant_of`] says whose a partition is; `control` calls them before it
//! enqueues a run. [`changes`] is what a change of definitions does, and [`below`] what is made
//! from an asset. [`progress`] is how far one run has come; `worker` keeps one. Nothing here knows
//! which runs exist or what time it is; the time is part of the request.
//!
//! **Invariant.** Planning the same request against the same manifest gives the same plan.

mod assets;
mod below;
pub mod changes;
mod error;
mod fitting;
mod job;
mod order;
mod partition;
pub mod progress;
mod reactions;
pub mod selection;
mod wanted;

pub use assets::{check_made, code_version, plan_assets, plan_selection};
pub use below::{Below, below};
pub use error::{PlanError, choices};
pub use fitting::{Misfit, never_fits};
pub use job::{plan_job, plan_question};
pub use partition::{PartitionChoice, gone_keys, is_key_of, named_tenant, parts_of, tenant_of};
pub use reactions::{Reaction, reactions};
pub use wanted::{WantedKeys, wanted_keys};
