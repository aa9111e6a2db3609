//! A whole instance in memory: definitions loaded, the clock still, the router asked in process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::{Router, http};
use http_body_util::BodyExt;
use millstream_blob::Blobs;
use millstream_control::{
    Control, FileChange, FileOutcome, LocationChange, QueueLimits, QueueWatch, Seams, Store,
};
use millstream_model::view::FileState;
use millstream_model::worker_api::{Report, ReportedEvent};
use millstream_model::{
    Caller, Clock, ContentHash, Diagnostic, Entropy, ErrorCode, EventBody, FileManifest, Grant,
    LocationName, Place, Role, RunId, Severity, TenantId, TenantScope, Timestamp,
};
use millstream_server::{LiveHub, ScanInfo, ServerOptions, ServerParts, router};
use serde_json::json;
use tempfile::TempDir;
use tower::ServiceExt;

struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        crate::samples::now()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// Numbers in their order, so that every id is another and every run of the tests the same.
#[derive(Default)]
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&number.to_be_bytes()[..chunk.len()]);
        }
    }
}

pub(crate) struct Instance {
    pub(crate) control: Control,
    pub(crate) blobs: Blobs,
    pub(crate) live: LiveHub,
    pub(crate) router: Router,
    _folder: TempDir,
}

/// An answer with its body read.
pub(crate) struct Heard {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Heard {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn location(&self) -> &str {
        self.headers[header::LOCATION].to_str().unwrap()
    }
}

pub(crate) fn location() -> LocationName {
    "project".parse().unwrap()
}

fn noop() -> serde_json::Value {
    json!({"kind": "noop"})
}

/// Two tenants, a job whose name has a slash, an asset in parts, and one in partitions.
pub(crate) fn manifest() -> FileManifest {
    serde_json::from_value(json!({
        "tenants": {"jfk": {"enabled": true, "database_url": "postgres://app:s3cret@db/x"},
                    "lga": {"enabled": true}},
        "jobs": [{
            "name": "production/daily etl", "enabled": true, "schedule": "@daily",
            "shape": {"ops": [
                {"id": "extract", "step": noop()},
                {"id": "load", "depends_on": ["extract"], "step": noop()},
            ]},
        }],
        "assets": [
            {"key": "marts/flights", "group": "marts", "step": noop()},
            {"key": "days", "group": "marts", "partitions": "days", "step": noop()},
        ],
        "partitions": {"days": {"kind": "dynamic", "separator": "::"}},
    }))
    .unwrap()
}

pub(crate) fn caller(role: Role, tenants: TenantScope) -> Caller {
    Caller { name: "ana".to_owned(), grants: vec![Grant { tenants, role }] }
}

impl Instance {
    /// An instance whose definitions are loaded, used by the developer on the machine.
    pub(crate) async fn new() -> Self {
        let instance = Self::empty(Caller::loopback_developer()).await;
        instance.load(manifest()).await;
        instance
    }

    /// An instance that has scanned nothing yet, used by `everybody`.
    pub(crate) async fn empty(everybody: Caller) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_memory().unwrap();
        let seams = Seams { clock: Arc::new(StillClock), entropy: Arc::<Counter>::default() };
        let control = Control::new(store, seams);
        let blobs = Blobs::folder(folder.path().to_owned());
        let live = LiveHub::default();
        let scan = ScanInfo { interval: Some("30s".to_owned()) };
        let options = ServerOptions { everybody, scan, ..ServerOptions::default() };
        let (control_, blobs_, live_) = (control.clone(), blobs.clone(), live.clone());
        let state = ServerParts { control: control_, blobs: blobs_, live: live_, options };
        control.add_location(&location(), "/project/dags").await.unwrap();
        Self { control, blobs, live, router: router(state), _folder: folder }
    }

    /// The same instance as another caller sees it.
    pub(crate) fn seen_by(&self, everybody: Caller) -> Router {
        let scan = ScanInfo { interval: Some("30s".to_owned()) };
        let options = ServerOptions { everybody, scan, ..ServerOptions::default() };
        router(ServerParts {
            control: self.control.clone(),
            blobs: self.blobs.clone(),
            live: self.live.clone(),
            options,
        })
    }

    pub(crate) async fn load(&self, content: FileManifest) {
        let hash = ContentHash::of(serde_json::to_string(&content).unwrap().as_bytes());
        let broken = Diagnostic {
            code: ErrorCode::DefinitionUnknownKey,
            severity: Severity::Error,
            message: "node `a` has the unknown key `depend_on`".to_owned(),
            place: Place { file: "broken.yaml".to_owned(), line: 3, column: 5 },
            help: Some("did you mean `depends_on`?".to_owned()),
        };
        let good = FileOutcome::Live {
            checksum: hash.clone(),
            version: hash.clone(),
            content: Box::new(content),
            warnings: Vec::new(),
        };
        let bad = FileOutcome::Bad { checksum: hash, diagnostics: vec![broken] };
        let known = self.control.location_views().await.unwrap();
        let change = LocationChange {
            location: location(),
            seen_version: known.first().map_or(0, |view| view.location.version),
            files: vec![
                FileChange { name: "all.yaml".to_owned(), outcome: good },
                FileChange { name: "broken.yaml".to_owned(), outcome: bad },
            ],
            stale: None,
        };
        self.control.apply_scan(&change).await.unwrap();
        let views = self.control.location_views().await.unwrap();
        assert_eq!(views[0].files[1].state, FileState::Broken);
    }

    pub(crate) async fn get(&self, path: &str) -> Heard {
        ask(&self.router, request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &serde_json::Value) -> Heard {
        let request = Request::post(path).header(header::HOST, "localhost:3000");
        let request = request.header(header::CONTENT_TYPE, "application/json");
        ask(&self.router, request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Sends a form as a browser does from a page of this server.
    pub(crate) async fn form(&self, path: &str, fields: &str) -> Heard {
        let request = Request::post(path)
            .header(header::HOST, "localhost:3000")
            .header(header::ORIGIN, "http://localhost:3000")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        ask(&self.router, request.body(Body::from(fields.to_owned())).unwrap()).await
    }

    pub(crate) async fn launch(&self) -> RunId {
        let path = "/jfk/api/v1/jobs/production%2Fdaily%20etl/launch";
        let heard = self.post(path, &json!({"context": {"day": 3}})).await;
        assert_eq!(heard.status, StatusCode::CREATED, "{}", heard.text);
        heard.json()["run_id"].as_str().unwrap().parse().unwrap()
    }

    /// Takes the one queued run from the queue, as a daemon does before it launches a worker.
    pub(crate) async fn claim(&self) {
        let (limits, mut watch) = (QueueLimits::of(None), QueueWatch::default());
        let ttl = Duration::from_secs(15);
        let claimed = self.control.claim_runs("daemon", &mut watch, limits, ttl).await.unwrap();
        assert_eq!(claimed.len(), 1);
    }

    /// Reports `events` for `run` as its first worker.
    pub(crate) async fn report(&self, run: RunId, events: Vec<EventBody>) {
        self.report_at(crate::samples::now(), run, events).await;
    }

    /// Reports `events`, which happened at `at`, for `run` as its first worker.
    pub(crate) async fn report_at(&self, at: Timestamp, run: RunId, events: Vec<EventBody>) {
        self.claim().await;
        let tenant: TenantId = "jfk".parse().unwrap();
        let numbered = events.into_iter().zip(0..);
        let events = numbered.map(|(body, seq)| ReportedEvent { seq, at, body }).collect();
        self.control.report(&tenant, run, &Report { epoch: 1, events }).await.unwrap();
    }
}

pub(crate) fn request(method: Method, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.header(http::header::HOST, "localhost:3000").body(Body::empty()).unwrap()
}

pub(crate) async fn ask(router: &Router, request: Request<Body>) -> Heard {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Heard { status: parts.status, headers: parts.headers, text }
}
