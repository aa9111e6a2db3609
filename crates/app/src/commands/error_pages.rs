//! The pages of error codes, as `cargo xtask generate` lists them.
//!
//! `errors` prints them. A code without a page does not compile.

use millstream_model::ErrorCode;

macro_rules! pages {
    ($($variant:ident = $slug:literal,)*) => {
        /// The page that explains `code`.
        pub(super) fn page(code: ErrorCode) -> &'static str {
            match code {
                $(ErrorCode::$variant => {
                    include_str!(concat!("../../../../docs/errors/", $slug, ".md"))
                })*
            }
        }
    };
}

pages! {
    BadRequest = "bad-request",
    CrossOrigin = "cross-origin",
    DatabaseUnavailable = "database-unavailable",
    DatabaseTls = "database-tls",
    DatabaseValue = "database-value",
    DatabaseOwned = "database-owned",
    DatabaseSchema = "database-schema",
    DefinitionTooLarge = "definition-too-large",
    DefinitionEncoding = "definition-encoding",
    DefinitionExtension = "definition-extension",
    DefinitionJson = "definition-json",
    DefinitionYaml = "definition-yaml",
    DefinitionNotAMap = "definition-not-a-map",
    DefinitionMissingKey = "definition-missing-key",
    DefinitionUnknownKey = "definition-unknown-key",
    DefinitionDuplicateKey = "definition-duplicate-key",
    DefinitionValue = "definition-value",
    DefinitionDuplicateNode = "definition-duplicate-node",
    DefinitionReference = "definition-reference",
    DefinitionCycle = "definition-cycle",
    DefinitionStepKind = "definition-step-kind",
    DefinitionCron = "definition-cron",
    DefinitionNameTaken = "definition-name-taken",
    DefinitionUnreadable = "definition-unreadable",
    DefinitionFileUnknown = "definition-file-unknown",
    DefinitionVersionUnknown = "definition-version-unknown",
    DefinitionRollback = "definition-rollback",
    DefinitionSources = "definition-sources",
    DefinitionSourcesGone = "definition-sources-gone",
    DefinitionTemplate = "definition-template",
    FileUnusable = "file-unusable",
    HandlerUnknown = "handler-unknown",
    Internal = "internal",
    Forbidden = "forbidden",
    NotFound = "not-found",
    HostRefused = "host-refused",
    JobUnknown = "job-unknown",
    ScheduleUnknown = "schedule-unknown",
    SensorUnknown = "sensor-unknown",
    SensorAnswer = "sensor-answer",
    SensorAsk = "sensor-ask",
    SyncGuard = "sync-guard",
    DeliveryRefused = "delivery-refused",
    DeliveryFull = "delivery-full",
    ReportKeyKnown = "report-key-known",
    RunKeyKnown = "run-key-known",
    JobDisabled = "job-disabled",
    ScanDisabled = "scan-disabled",
    AssetUnknown = "asset-unknown",
    SelectionSyntax = "selection-syntax",
    SelectionEmpty = "selection-empty",
    PartitionUnknown = "partition-unknown",
    PartitionKey = "partition-key",
    PartitionNeeded = "partition-needed",
    PartitionMapping = "partition-mapping",
    PortUnusable = "port-unusable",
    ProjectUnknown = "project-unknown",
    ServerRunning = "server-running",
    TenantUnknown = "tenant-unknown",
    TenantDisabled = "tenant-disabled",
    RunUnknown = "run-unknown",
    RunStatus = "run-status",
    EpochStale = "epoch-stale",
    ContextJson = "context-json",
    StepSpawn = "step-spawn",
    StepSupervisor = "step-supervisor",
    StepExit = "step-exit",
    StepLoad = "step-load",
    StepPython = "step-python",
    StepTimeout = "step-timeout",
    StepOutOfMemory = "step-out-of-memory",
    StepLimit = "step-limit",
    StepResult = "step-result",
    StepTemplate = "step-template",
    StepSql = "step-sql",
    StepHttp = "step-http",
    StepLambda = "step-lambda",
    AwsCredentials = "aws-credentials",
    AddressRefused = "address-refused",
    SecretUnknown = "secret-unknown",
    ServerUnreachable = "server-unreachable",
    StepResource = "step-resource",
    StepInput = "step-input",
    WorkerLost = "worker-lost",
    WorkerLaunch = "worker-launch",
}
