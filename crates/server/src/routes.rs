//! Every address of the server, in one table: the router, the authorization and the test matrix
//! are made from it, so that no route can exist without saying who may use it.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, post};
use millstream_model::{DELIVERY_MAX, Role};

use crate::access::{self, Gate};
use crate::guard::Carries;
use crate::state::{ServerParts, ServerState};
use crate::{api, finish, health, live, slash, ui, worker};

/// One address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub id: RouteId,
    /// The method.
    pub method: Verb,
    /// The path; `{tenant}` stands first where the route belongs to a tenant.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
}

impl Route {
    /// Whether it starts nothing: it only reads, or ends what there is.
    pub fn starts_nothing(&self) -> bool {
        self.method == Verb::Get || matches!(self.id, RouteId::Cancel | RouteId::CancelForm)
    }
}

/// The methods that routes take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Changes something, with JSON.
    Post,
    /// Changes something, with the fields of a page's form.
    Form,
    /// Removes something, with JSON.
    Delete,
    /// Brings something, as its sender writes it.
    Deliver,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the server.
    Public,
    /// Whoever has this role, or a higher one, in the tenant of the path.
    Tenant(Role),
    /// Whoever has this role, or a higher one, over the whole instance.
    Instance(Role),
    /// The worker that holds the run's token.
    Worker,
    /// Whoever knows the secret of the sensor that the path names.
    Sender,
}

macro_rules! routes {
    ($($id:ident $method:ident $path:literal $access:expr => $handler:expr;)*) => {
        /// The name of a route.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RouteId {
            $(
                #[doc = concat!("`", $path, "`")]
                $id,
            )*
        }

        /// Every address.
        pub const ROUTES: &[Route] = &[
            $(Route { id: RouteId::$id, method: Verb::$method, path: $path, access: $access },)*
        ];

        fn handler(id: RouteId) -> MethodRouter<ServerState> {
            match id { $(RouteId::$id => $handler,)* }
        }
    };
}

const PUBLIC: Access = Access::Public;
const VIEWER: Access = Access::Tenant(Role::Viewer);
const LAUNCHER: Access = Access::Tenant(Role::Launcher);
const EDITOR: Access = Access::Tenant(Role::Editor);

routes! {
    Home Get "/" PUBLIC => get(ui::site::home);
    Health Get "/health" PUBLIC => get(health::health);
    Ready Get "/ready" PUBLIC => get(health::ready);
    ServerInfo Get "/server_info" PUBLIC => get(health::server_info);
    Asset Get "/static/{hash}/{name}" PUBLIC => get(ui::site::vendored);
    Theme Form "/theme" PUBLIC => post(ui::site::theme);

    NowPage Get "/{tenant}" VIEWER => get(ui::read::now);
    RunsPage Get "/{tenant}/runs" VIEWER => get(ui::read::runs);
    RunPage Get "/{tenant}/runs/{run}" VIEWER => get(ui::read::run);
    WhyPage Get "/{tenant}/why/{subject}" VIEWER => get(ui::why::page);
    DeadLettersPage Get "/{tenant}/dead-letters" VIEWER => get(ui::dead_letters::page);
    AssetsPage Get "/{tenant}/assets" VIEWER => get(ui::read::assets);
    AssetPage Get "/{tenant}/assets/{asset}" VIEWER => get(ui::read::asset);
    AutomationPage Get "/{tenant}/automation" VIEWER => get(ui::read::automation);
    SchedulePage Get "/{tenant}/schedules/{schedule}" VIEWER => get(ui::schedules::show);
    SensorPage Get "/{tenant}/sensors/{sensor}" VIEWER => get(ui::sensors::show);
    JobPage Get "/{tenant}/jobs/{job}" VIEWER => get(ui::read::job);
    DefinitionsPage Get "/{tenant}/system" VIEWER => get(ui::read::definitions);
    FilePage Get "/{tenant}/system/files/{file}" VIEWER => get(ui::files::file);
    QueuePage Get "/{tenant}/system/queue" VIEWER => get(ui::read::queue);
    DaemonsPage Get "/{tenant}/system/daemons" VIEWER => get(ui::read::daemons);
    TenantsPage Get "/{tenant}/system/tenants" VIEWER => get(ui::read::tenants);
    Live Get "/{tenant}/live" VIEWER => get(live::stream);

    CancelForm Form "/{tenant}/runs/{run}/cancel" LAUNCHER => post(ui::act::cancel);
    RetryForm Form "/{tenant}/runs/{run}/retry" LAUNCHER => post(ui::dead_letters::retry);
    DiscardForm Form "/{tenant}/dead-letters/{run}/discard" LAUNCHER
        => post(ui::dead_letters::discard);
    MaterializeForm Form "/{tenant}/assets/{asset}/materialize" LAUNCHER
        => post(ui::act::materialize);
    LaunchForm Form "/{tenant}/jobs/{job}/launch" LAUNCHER => post(ui::act::launch);
    SwitchForm Form "/{tenant}/jobs/{job}/switch" EDITOR => post(ui::act::switch);
    ScheduleSwitchForm Form "/{tenant}/schedules/{schedule}/switch" EDITOR
        => post(ui::schedules::switch);
    ScheduleTestForm Form "/{tenant}/schedules/{schedule}/test" LAUNCHER
        => post(ui::schedules::test);
    SensorSwitchForm Form "/{tenant}/sensors/{sensor}/switch" EDITOR => post(ui::sensors::switch);
    SensorTestForm Form "/{tenant}/sensors/{sensor}/test" LAUNCHER => post(ui::sensors::test);
    SensorTickForm Form "/{tenant}/sensors/{sensor}/tick" LAUNCHER => post(ui::sensors::tick);
    ScanForm Form "/{tenant}/system/scan" EDITOR => post(ui::act::scan);
    RollbackForm Form "/{tenant}/system/files/{file}/rollback" EDITOR => post(ui::act::rollback);

    Jobs Get "/{tenant}/api/v1/jobs" VIEWER => get(api::jobs::list);
    Launch Post "/{tenant}/api/v1/jobs/{job}/launch" LAUNCHER => post(api::jobs::launch);
    Switch Post "/{tenant}/api/v1/jobs/{job}/switch" EDITOR => post(api::jobs::switch);
    Schedules Get "/{tenant}/api/v1/schedules" VIEWER => get(api::schedules::list);
    Schedule Get "/{tenant}/api/v1/schedules/{schedule}" VIEWER => get(api::schedules::show);
    SchedulePreview Get "/{tenant}/api/v1/schedules/{schedule}/preview" VIEWER
        => get(api::schedules::preview);
    ScheduleTicks Get "/{tenant}/api/v1/schedules/{schedule}/ticks" VIEWER
        => get(api::schedules::ticks);
    ScheduleTest Post "/{tenant}/api/v1/schedules/{schedule}/test" LAUNCHER
        => post(api::schedules::test);
    ScheduleSwitch Post "/{tenant}/api/v1/schedules/{schedule}/switch" EDITOR
        => post(api::schedules::switch);
    Sensors Get "/{tenant}/api/v1/sensors" VIEWER => get(api::sensors::list);
    Sensor Get "/{tenant}/api/v1/sensors/{sensor}" VIEWER => get(api::sensors::show);
    SensorTicks Get "/{tenant}/api/v1/sensors/{sensor}/ticks" VIEWER => get(api::sensors::ticks);
    SensorTest Post "/{tenant}/api/v1/sensors/{sensor}/test" LAUNCHER => post(api::sensors::test);
    SensorTick Post "/{tenant}/api/v1/sensors/{sensor}/tick" LAUNCHER => post(api::sensors::tick);
    SensorSwitch Post "/{tenant}/api/v1/sensors/{sensor}/switch" EDITOR
        => post(api::sensors::switch);
    SensorDeliveries Get "/{tenant}/api/v1/sensors/{sensor}/deliveries" VIEWER
        => get(api::sensors::deliveries);
    SensorResend Post "/{tenant}/api/v1/sensors/{sensor}/deliveries/resend" EDITOR
        => post(api::sensors::resend_deliveries);
    SensorDrop Post "/{tenant}/api/v1/sensors/{sensor}/deliveries/drop" EDITOR
        => post(api::sensors::drop_delivery);
    SensorCursor Post "/{tenant}/api/v1/sensors/{sensor}/cursor" EDITOR
        => post(api::sensors::set_cursor);
    Runs Get "/{tenant}/api/v1/runs" VIEWER => get(api::runs::list);
    Queue Get "/{tenant}/api/v1/queue" VIEWER => get(api::runs::queue);
    Run Get "/{tenant}/api/v1/runs/{run}" VIEWER => get(api::runs::show);
    RunEvents Get "/{tenant}/api/v1/runs/{run}/events" VIEWER => get(api::runs::events);
    RunLog Get "/{tenant}/api/v1/runs/{run}/logs/{step}/{attempt}/{stream}" VIEWER
        => get(api::logs::read);
    Cancel Post "/{tenant}/api/v1/runs/{run}/cancel" LAUNCHER => post(api::runs::cancel);
    Retry Post "/{tenant}/api/v1/runs/{run}/retry" LAUNCHER
        => post(api::dead_letters::retry_run);
    Why Get "/{tenant}/api/v1/why/{subject}" VIEWER => get(api::why::show);
    DeadLetters Get "/{tenant}/api/v1/dead-letters" VIEWER => get(api::dead_letters::list);
    DeadLetter Get "/{tenant}/api/v1/dead-letters/{run}" VIEWER => get(api::dead_letters::show);
    DeadLetterRetry Post "/{tenant}/api/v1/dead-letters/{run}/retry" LAUNCHER
        => post(api::dead_letters::retry);
    DeadLetterDiscard Post "/{tenant}/api/v1/dead-letters/{run}/discard" LAUNCHER
        => post(api::dead_letters::discard);
    Assets Get "/{tenant}/api/v1/assets" VIEWER => get(api::assets::list);
    AssetOne Get "/{tenant}/api/v1/assets/{asset}" VIEWER => get(api::assets::show);
    Materialize Post "/{tenant}/api/v1/assets/materialize" LAUNCHER
        => post(api::assets::materialize);
    AssetReport Post "/{tenant}/api/v1/assets/{asset}/report" LAUNCHER
        => post(api::assets::report);
    PartitionsAll Get "/{tenant}/api/v1/partitions" VIEWER => get(api::partitions::definitions);
    Partitions Get "/{tenant}/api/v1/partitions/{name}" VIEWER => get(api::partitions::list);
    PartitionsAdd Post "/{tenant}/api/v1/partitions/{name}" LAUNCHER
        => post(api::partitions::add);
    PartitionsRemove Delete "/{tenant}/api/v1/partitions/{name}" LAUNCHER
        => delete(api::partitions::remove);

    Definitions Get "/api/v1/definitions" Access::Instance(Role::Viewer)
        => get(api::definitions::status);
    Scan Post "/api/v1/definitions/scan" Access::Instance(Role::Editor)
        => post(api::definitions::scan);
    DefinitionsPlan Post "/api/v1/definitions/plan" Access::Instance(Role::Viewer)
        => post(api::versions::plan);
    FileHistory Get "/api/v1/definitions/files/{file}/versions" Access::Instance(Role::Viewer)
        => get(api::versions::history);
    FileDiff Get "/api/v1/definitions/files/{file}/diff" Access::Instance(Role::Viewer)
        => get(api::versions::diff);
    FileRollback Post "/api/v1/definitions/files/{file}/rollback" Access::Instance(Role::Editor)
        => post(api::versions::rollback);
    Daemons Get "/api/v1/daemons" Access::Instance(Role::Viewer) => get(api::daemons::list);
    Tenants Get "/api/v1/tenants" PUBLIC => get(api::definitions::tenants);
    PartitionOwner Get "/api/v1/partitions/owner" PUBLIC => get(api::partitions::owner);

    Deliver Deliver "/{tenant}/hooks/{sensor}" Access::Sender => post(api::hooks::deliver);

    Assignment Get "/worker/v1/runs/{run}/assignment" Access::Worker => get(worker::assignment);
    Report Post "/worker/v1/runs/{run}/events" Access::Worker => post(worker::report);
    Beat Post "/worker/v1/runs/{run}/beat" Access::Worker => post(worker::beat);
    Slots Post "/worker/v1/runs/{run}/slots" Access::Worker => post(worker::slots);
}

impl Route {
    /// What a change through it carries.
    pub(crate) fn carries(&self) -> Carries {
        match self.method {
            Verb::Form => Carries::Form,
            Verb::Get | Verb::Post | Verb::Delete => Carries::Json,
            Verb::Deliver => Carries::Anything,
        }
    }

    /// Its method in HTTP.
    pub fn http_method(&self) -> Method {
        match self.method {
            Verb::Get => Method::GET,
            Verb::Post | Verb::Form | Verb::Deliver => Method::POST,
            Verb::Delete => Method::DELETE,
        }
    }

    /// The largest body it takes, in bytes.
    pub(crate) fn body_max(&self) -> usize {
        match (self.access, self.method) {
            // A report holds thousands of events of up to 64 KiB; workers split larger ones.
            (Access::Worker, _) => 64 << 20,
            // Ten thousand partition keys of 500 bytes.
            (_, Verb::Post | Verb::Delete) => 8 << 20,
            (_, Verb::Form | Verb::Get) => 1 << 20,
            (_, Verb::Deliver) => DELIVERY_MAX,
        }
    }
}

/// The router of every address in the table.
pub fn router(parts: ServerParts) -> Router {
    let state = ServerState::of(parts);
    let mut router = Router::new();
    for route in ROUTES {
        let gate = Gate { state: state.clone(), route: *route };
        let handler = handler(route.id)
            .layer(DefaultBodyLimit::max(route.body_max()))
            .layer(middleware::from_fn_with_state(gate, access::authorize));
        router = router.route(route.path, handler);
    }
    let router = router.fallback(slash::without_slash);
    router.layer(middleware::from_fn_with_state(state.clone(), finish::finish)).with_state(state)
}
