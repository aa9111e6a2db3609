//! The codes of everything that can go wrong for a user.
//!
//! A code is a slug that never changes once released; `docs/errors/<slug>.md` explains it, and a
//! test holds codes and pages one-to-one.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $slug:literal,)*) => {
        /// The stable code of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $slug)] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in alphabetical order of the slugs' groups.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The slug, which is also the name of the code's page.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }
        }
    };
}

/// Where the page of the error with this code is.
pub fn page_hint(code: &str) -> String {
    format!("`millstream errors {code}` has the cause, an example and the way out.")
}

codes! {
    /// The request's body, query or header is not what the route takes.
    BadRequest = "bad-request",
    /// Another page of the browser tried to change something.
    CrossOrigin = "cross-origin",
    /// The database did not answer.
    DatabaseUnavailable = "database-unavailable",
    /// The connection to the database is not encrypted as its address asks.
    DatabaseTls = "database-tls",
    /// A row holds what this version cannot read.
    DatabaseValue = "database-value",
    /// Another process owns the embedded database file.
    DatabaseOwned = "database-owned",
    /// The database's schema is older or newer than this program.
    DatabaseSchema = "database-schema",
    /// A definition file is larger, deeper or longer than the limits.
    DefinitionTooLarge = "definition-too-large",
    /// A definition file is not text in UTF-8.
    DefinitionEncoding = "definition-encoding",
    /// A file ends in something that is no definition format.
    DefinitionExtension = "definition-extension",
    /// A definition file is not valid JSON.
    DefinitionJson = "definition-json",
    /// A definition file is not valid YAML.
    DefinitionYaml = "definition-yaml",
    /// A definition file's top level is not an object.
    DefinitionNotAMap = "definition-not-a-map",
    /// A required key is missing.
    DefinitionMissingKey = "definition-missing-key",
    /// A key is not known here.
    DefinitionUnknownKey = "definition-unknown-key",
    /// A key stands twice in one object.
    DefinitionDuplicateKey = "definition-duplicate-key",
    /// A value has the wrong type or form.
    DefinitionValue = "definition-value",
    /// Two nodes of one job have the same id.
    DefinitionDuplicateNode = "definition-duplicate-node",
    /// An edge or a dependency names something that does not exist.
    DefinitionReference = "definition-reference",
    /// Things depend on each other in a circle.
    DefinitionCycle = "definition-cycle",
    /// A step kind is not known.
    DefinitionStepKind = "definition-step-kind",
    /// A cron expression is not valid.
    DefinitionCron = "definition-cron",
    /// Another file already declared this name.
    DefinitionNameTaken = "definition-name-taken",
    /// A definition file cannot be read.
    DefinitionUnreadable = "definition-unreadable",
    /// There is no definition file or folder at this path.
    DefinitionFileUnknown = "definition-file-unknown",
    /// A definition file does not have this version, or there is no such file.
    DefinitionVersionUnknown = "definition-version-unknown",
    /// The version to go back to does not fit the other files.
    DefinitionRollback = "definition-rollback",
    /// The sources of a step are missing, too many, too large or cannot be read.
    DefinitionSources = "definition-sources",
    /// The sources of an older version of a definition file were removed.
    DefinitionSourcesGone = "definition-sources-gone",
    /// A template is not valid, or names something that does not exist.
    DefinitionTemplate = "definition-template",
    /// A file or folder that the program needs cannot be used.
    FileUnusable = "file-unusable",
    /// A step's handler is not in the handler table.
    HandlerUnknown = "handler-unknown",
    /// Something failed that should not; the server's log has the request's id.
    Internal = "internal",
    /// The caller's role does not reach.
    Forbidden = "forbidden",
    /// The thing does not exist, or not for this caller.
    NotFound = "not-found",
    /// The host in the request is not this server's.
    HostRefused = "host-refused",
    /// No job of this name.
    JobUnknown = "job-unknown",
    /// No schedule of this name.
    ScheduleUnknown = "schedule-unknown",
    /// No sensor of this name.
    SensorUnknown = "sensor-unknown",
    /// A sensor's answer is not what an answer may be.
    SensorAnswer = "sensor-answer",
    /// A sensor could not be asked.
    SensorAsk = "sensor-ask",
    /// The source of partitions would have removed too many of them.
    SyncGuard = "sync-guard",
    /// No webhook is at this address, or the delivery does not prove that its sender knows the
    /// secret.
    DeliveryRefused = "delivery-refused",
    /// More deliveries wait for their sensor than are kept.
    DeliveryFull = "delivery-full",
    /// Another report of this asset has the same idempotency key.
    ReportKeyKnown = "report-key-known",
    /// A run was requested before under this run key.
    RunKeyKnown = "run-key-known",
    /// The job is disabled.
    JobDisabled = "job-disabled",
    /// Definition files are not scanned, because loading them is off.
    ScanDisabled = "scan-disabled",
    /// No asset of this key.
    AssetUnknown = "asset-unknown",
    /// The selection's text is not valid.
    SelectionSyntax = "selection-syntax",
    /// The selection names nothing that can be materialized.
    SelectionEmpty = "selection-empty",
    /// The partition key does not exist.
    PartitionUnknown = "partition-unknown",
    /// The partition key does not have the form of its definition.
    PartitionKey = "partition-key",
    /// The asset is partitioned and no partition was named, or the other way round.
    PartitionNeeded = "partition-needed",
    /// An asset reads one that is divided in a way from which no partition follows.
    PartitionMapping = "partition-mapping",
    /// The server cannot listen at the port.
    PortUnusable = "port-unusable",
    /// There is no project in this folder.
    ProjectUnknown = "project-unknown",
    /// A server of this project runs already.
    ServerRunning = "server-running",
    /// No tenant of this id.
    TenantUnknown = "tenant-unknown",
    /// The tenant is declared and switched off.
    TenantDisabled = "tenant-disabled",
    /// No run of this id.
    RunUnknown = "run-unknown",
    /// The run is in a status in which this cannot be done.
    RunStatus = "run-status",
    /// The writer has been replaced: its epoch is older than the run's.
    EpochStale = "epoch-stale",
    /// The trigger context is not a JSON object.
    ContextJson = "context-json",
    /// The command could not be started.
    StepSpawn = "step-spawn",
    /// The supervisor of the step's processes was lost each time the step ran.
    StepSupervisor = "step-supervisor",
    /// The step's process ended with a code that is not zero, or by a signal.
    StepExit = "step-exit",
    /// A function in Python could not be loaded: its file, its imports or its name.
    StepLoad = "step-load",
    /// A function in Python raised an exception.
    StepPython = "step-python",
    /// The step ran longer than its timeout.
    StepTimeout = "step-timeout",
    /// The step used more memory than it may, or than the machine has.
    StepOutOfMemory = "step-out-of-memory",
    /// The step used more processor time or processes than it may.
    StepLimit = "step-limit",
    /// The step's result is not what a result may be.
    StepResult = "step-result",
    /// A template in the step's configuration could not be resolved at run time.
    StepTemplate = "step-template",
    /// A statement of a SQL step failed.
    StepSql = "step-sql",
    /// A request of an HTTP step got no answer, or one that is not what the step needs.
    StepHttp = "step-http",
    /// A Lambda function failed or gave no answer, or its result could not be stored.
    StepLambda = "step-lambda",
    /// There are no credentials to ask AWS with.
    AwsCredentials = "aws-credentials",
    /// A request would have gone to an address where requests may not go.
    AddressRefused = "address-refused",
    /// No secret of this name.
    SecretUnknown = "secret-unknown",
    /// The server that a command was sent to cannot be reached, or gave no answer that it knows.
    ServerUnreachable = "server-unreachable",
    /// The step needs a resource that the definition does not declare.
    StepResource = "step-resource",
    /// The input that a step reads does not exist yet.
    StepInput = "step-input",
    /// The worker was lost while the run was going on.
    WorkerLost = "worker-lost",
    /// The worker could not be launched.
    WorkerLaunch = "worker-launch",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
