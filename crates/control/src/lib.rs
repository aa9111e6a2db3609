//! The use cases: load a snapshot, decide or plan, write one batch.
//!
//! [`Control`] is what the server and the daemon call. It knows the rules' owners (`plan`,
//! `decide`) and the store, and nothing of HTTP or processes. Each module is one use case; what it
//! writes is one [`Batch`](millstream_store::Batch), so a crash leaves all of it or nothing.

mod absent;
mod adopted;
mod asset_reports;
mod attention;
mod cancel;
mod catalog;
mod checks;
mod coming;
mod control;
mod daemons;
mod definition_problem;
mod definitions;
mod dropped;
mod error;
mod failure;
mod job_off;
mod jobs;
mod lapsed;
mod lapsing;
mod launch;
mod lease;
mod left_out;
mod listed;
mod live_schedules;
mod live_sensors;
mod lost;
mod made_good;
mod part_counts;
mod partitions;
mod plans;
mod pools;
mod proposal;
mod provenance;
mod publish;
mod queue;
mod refused;
mod remarks;
mod renames;
mod report;
mod retimed;
mod schedule_standing;
mod schedules;
mod sensing;
mod sensor_asking;
mod sensor_events;
mod sensor_groups;
mod sensor_replies;
mod sensor_rest;
mod sensor_runs;
mod sensor_standing;
mod sensor_ticks;
mod sensor_wishes;
mod sensors;
mod silent;
mod sources;
mod stale;
mod switches;
mod taking_part;
mod tenants;
mod tick_batches;
mod tick_runs;
mod tick_waits;
mod ticking_on;
mod ticks;
mod token;
mod versions;
mod views;
mod waiting;
mod webhooks;
mod why;

pub use asset_reports::{AssetReport, Reported};
pub use attention::GoingOn;
pub use catalog::Catalog;
pub use control::{Control, Seams};
pub use daemons::LoopSaid;
pub use definition_problem::DefinitionProblem;
pub use definitions::{FileChange, FileOutcome, LocationChange, LocationView};
pub use error::{ControlError, ReportError};
pub use launch::{Launched, MaterializeRequest};
pub use left_out::LeftOut;
pub use listed::ListedRun;
pub use lost::LostWatch;
pub use millstream_decide::checks::{check_words, failed_mark, failed_words};
pub use millstream_decide::lost::Patience;
pub use millstream_decide::scan::{Deletions, ScanVerdict, Sighting};
pub use millstream_decide::sensor::{
    FILES_MAX as SENSOR_FILES_MAX, matches as path_matches, settled_until,
};
pub use millstream_decide::why::{
    Because, Tries, Try, Why, failed_try_mark, in_vain_words, last_try_words, tries_words,
};
pub use millstream_model::ClaimedRun;
pub use millstream_plan::changes::{
    Change, ChangeKind, Changes, FieldChange, FileDiffers, Heir, JobOff, Lapsing, Redivided,
    Retimed, Sensing, SourceSets, Stale, name_files, sets_of,
};
pub use millstream_plan::{choices, reactions};
pub use millstream_store::dead_letters::DeadLetterFilter;
pub use millstream_store::definitions::{StoredFile, StoredLocation};
pub use millstream_store::deliveries::WaitingDelivery;
pub use millstream_store::instance::DaemonRequest;
pub use millstream_store::runs::{RunFilter, TAG_SEARCH_MAX, TagFilter};
pub use millstream_store::steps::StepCounts;
pub use millstream_store::{SchemaState, Store, StoreError};
pub use partitions::KeyFor;
pub use proposal::{Proposal, changes_between};
pub use publish::PublishWatch;
pub use queue::{QueueLimits, QueueWatch};
pub use sensor_asking::SensorAsking;
pub use sensor_groups::Sensor;
pub use sensor_replies::{FileSeen, SensorReply};
pub use sensor_ticks::{SensorPass, SensorTicked, SensorWatch};
pub use sensor_wishes::{DAEMON_WAIT, TickWish, Wished};
pub use silent::Silent;
pub use sources::{SourcesError, SourcesWatch};
pub use ticks::{TickPass, TickWatch};
pub use token::RunRight;
pub use versions::{FileHistory, Rollback, RollbackPlan};
pub use views::{AssetView, NeverMade, RunView};
pub use webhooks::{Delivered, Delivery, Posted};
