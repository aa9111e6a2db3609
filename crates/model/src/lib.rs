//! The vocabulary of Millstream: the nouns of `docs/glossary.md` as types.
//!
//! Every crate may use this one, and it uses none of ours. It holds what things are and the rules
//! that hold for one value at a time (what a key may contain, which status follows which event);
//! it never reads a clock, a file, a socket or a database, and has no async.

mod answer;
mod asset;
mod bytes;
mod caller;
mod cause;
mod chain;
mod code;
pub mod cron;
mod diagnostic;
mod duration;
mod event;
mod exact;
mod failure;
pub mod filling;
mod filters;
mod handler;
mod hash;
mod http;
mod id;
mod job;
mod key;
mod lacking;
mod limits;
mod liveness;
mod manifest;
mod metadata;
mod name;
pub mod named;
pub mod partitions;
mod pipes;
mod plan;
mod queue;
mod resource;
mod retry;
mod run;
mod schedule;
mod seam;
mod secret;
pub mod seen;
mod sensor;
mod shell;
mod some;
mod source;
pub mod sql_text;
mod status;
mod step;
mod tenant;
mod tick;
mod time;
pub mod view;
mod webhook;
pub mod worker_api;
mod zone;

pub use answer::{DaemonAnswer, RollbackOutcome};
pub use asset::{AssetDef, IoRef};
pub use bytes::{ByteSize, ByteSizeError};
pub use caller::{Caller, Grant, Role, TenantScope};
pub use cause::Cause;
pub use chain::chain;
pub use code::{ErrorCode, page_hint};
pub use diagnostic::{Diagnostic, Place, Severity, did_you_mean, nearest};
pub use duration::{HumanDuration, HumanDurationError};
pub use event::{CheckSeverity, Event, EventBody, EventPosition, PlannedRetry, StepError};
pub use exact::{ExactJson, numbers_kept};
pub use failure::{
    Closed, ClosedAs, DeadLetter, FailureCause, GaveUp, RETRIES_TAG, RetryFrom, RunRetries,
    retries_of,
};
pub use filters::STEP_FILTERS;
pub use handler::{Builtin, HandlerDef, HandlerTarget};
pub use hash::{ContentHash, ContentHasher};
pub use http::{
    CursorPlace, HttpAuth, HttpBody, HttpMethod, HttpRequest, HttpResource, HttpStep, PageBy,
    Paginate, RetryWhile, SecretRef, TextOrSecret,
};
pub use id::{RunId, RunIdError};
pub use job::{JobDef, JobShape, OpDef};
pub use key::{AssetKey, AssetKeyError};
pub use lacking::{needed_names, put_name};
pub use limits::{StepLimits, StepUsage};
pub use liveness::{DaemonRow, LeaseLeft, LoopRow, LoopState, are_healthy};
pub use manifest::{FileManifest, FileVersion, Manifest, Program, is_library};
pub use metadata::{MetadataKind, MetadataValue};
pub use name::{
    CalendarName, DimensionName, IoName, JobName, LocationName, NameError, PartitionsName,
    PoolName, ResourceName, ScheduleName, SensorName, StepKey, TenantId,
};
pub use partitions::{PartitionKey, PartitionsDef};
pub use pipes::{PipesChannel, PipesConfig};
pub use plan::{AssetStep, InputSource, RunPlan, StepInput, StepPlan};
pub use queue::{
    LimitScope, PRIORITY_MAX, PRIORITY_TAG, PoolDef, PoolUse, QueueDef, RateLimit, TagLimit,
    TagValues, priority_of,
};
pub use resource::{ColumnType, FolderIo, IoDef, ResourceDef, TableIo};
pub use retry::{Backoff, RetryPolicy};
pub use run::{Ahead, ClaimedRun, HoldReason, Holder, LimitFrom, RunRequest};
pub use schedule::{
    CatchUp, Day, DayError, DaySpan, Exclusion, PartWanted, ScheduleCron, ScheduleDef,
    ScheduleTarget, Switch, TickPartitions, TickTemplate, TickTemplateError, date_format,
    yes_or_no,
};
pub use seam::{Clock, Entropy};
pub use secret::{Secrets, variable_name};
pub use sensor::{
    CURSOR_MAX, FileQuestion, PartitionSync, PartitionsChange, REQUESTS_MAX, RequestTemplate,
    SENSOR_EVERY, SENSOR_EVERY_MIN, SENSOR_TIMEOUT, SensorAnswer, SensorDef, SensorQuestion,
    SensorRequest,
};
pub use shell::shell_word;
pub use some::some_names;
pub use source::{
    SourceFile, SourceSet, StepSources, below_project, is_python, missing_source, named,
    shell_commands, why_no_source,
};
pub use status::{
    IllegalTransition, RunEvent, RunStatus, StepEvent, StepStatus, run_status_table,
    step_status_table,
};
pub use step::{
    CommandLine, CommandStep, Invocation, Isolation, LambdaStep, LoadMode, LoadStep, LocalStep,
    NoopStep, PythonStep, ReadSource, SqlStep, StepConfig,
};
pub use tenant::TenantDef;
pub use tick::{
    FoundKind, SkipReason, TickKind, TickRow, TickRun, TickSource, TickStatus, TickWarning,
    TickWordError,
};
pub use time::Timestamp;
pub use webhook::{DELIVERY_ID, DELIVERY_ID_MAX, DELIVERY_MAX, Webhook, WebhookAuth};
pub use zone::{Zone, ZoneError};
