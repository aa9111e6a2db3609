//! How a command reaches an instance: over the socket of the folder's server, over a URL, or,
//! when no server runs, through the same routes in this process.

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use millstream_model::ErrorCode;
use millstream_outbound::{Body as Sent, Limits, OutboundError, Request};
use serde_json::Value;
use tower::ServiceExt as _;

/// The method of a request.
pub(crate) use millstream_outbound::Method;
/// A path part or a value of a query as it stands in a URL.
pub(crate) use millstream_server::link::segment as encoded;

use crate::cli::{Access, Global};
use crate::error::AppError;
use crate::serve::{OWNED_PAUSE, OWNED_TRIES, Served};
use crate::settings::Settings;
use crate::{no_definitions, output};

/// The most that an answer may hold.
const ANSWER_MAX: usize = 64 << 20;

/// Where a server says what it is.
const SERVER_INFO: &str = "/server_info";

/// The header that says how long a log is.
const LOG_SIZE: &str = "millstream-log-size";

/// How long a request may take before the server counts as gone.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(10),
    total: Duration::from_mins(1),
    answer_max: ANSWER_MAX,
};

/// A way to an instance.
pub(crate) enum Client {
    /// A server elsewhere.
    Remote {
        /// The HTTP client.
        http: millstream_outbound::Client,
        /// What requests begin with.
        base: String,
        /// Where it is, for people.
        place: String,
    },
    /// The server of the folder, or a command that serves it while it goes on.
    Folder(Folder),
    /// This process itself.
    Here(Box<Served>),
}

/// The way to whoever serves a folder, also when that is another process by now.
pub(crate) struct Folder {
    http: millstream_outbound::Client,
    place: String,
    socket: PathBuf,
}

/// The address of the pages of the server that serves the project, if one does.
pub(crate) async fn address_of(settings: &Settings) -> Option<String> {
    let socket = settings.socket();
    let http = http(Some(&socket)).ok()?;
    let url = format!("http://localhost{SERVER_INFO}");
    let answer = send(&http, &url, Method::Get, None).await.ok()?;
    let info: Value = serde_json::from_slice(&answer.bytes).ok()?;
    info.get("address").and_then(Value::as_str).map(str::to_owned)
}

/// What came back.
struct Answer {
    status: u16,
    /// How long the log is that was asked for.
    log_size: Option<u64>,
    bytes: Vec<u8>,
}

impl Client {
    /// The way to the instance that `global` names: its URL, the server of its folder, or this
    /// process, which then does the work itself; runs are begun there once it is told to, and
    /// definition files are loaded as the command's `access` says.
    pub(crate) async fn connect(global: &Global, access: Access) -> Result<Self, AppError> {
        if let Some(url) = &global.url {
            return Self::remote(url).await;
        }
        let mut settings = Settings::of(&global.dir)?;
        output::warnings(global.json, &settings.warnings);
        settings.runs = false;
        settings.loads = access.loads(&settings);
        let socket = settings.socket();
        let mut tries = OWNED_TRIES;
        loop {
            if tokio::net::UnixStream::connect(&socket).await.is_ok() {
                let place = socket.display().to_string();
                let http = http(Some(&socket))?;
                return Ok(Self::Folder(Folder { http, place, socket }));
            }
            if !settings.is_project() {
                return Err(no_definitions::no_project(&settings));
            }
            match Served::start(settings.clone()).await {
                // Its owner is about to serve, or about to end.
                Err(error) if error.is_owned() && tries > 0 => tries -= 1,
                started => {
                    let served = Box::new(started?);
                    if access != Access::Compares {
                        for unlike in served.unlike().await {
                            output::warning(global.json, &unlike);
                        }
                    }
                    return Ok(Self::Here(served));
                }
            }
            tokio::time::sleep(OWNED_PAUSE).await;
        }
    }

    /// The way to the server at `url`, which answers as one of ours.
    async fn remote(url: &str) -> Result<Self, AppError> {
        let base = url.trim_end_matches('/').to_owned();
        if !["http://", "https://"].iter().any(|scheme| base.starts_with(scheme)) {
            let host = base.rsplit_once("://").map_or(base.as_str(), |(_, host)| host);
            return Err(AppError::Usage {
                code: ErrorCode::ServerUnreachable,
                message: format!(
                    "`{url}` is no address of a server; write it like `http://{host}`"
                ),
            });
        }
        let client = Self::Remote { http: http(None)?, place: base.clone(), base };
        let info = client.get(SERVER_INFO).await?;
        if info.get("name").and_then(Value::as_str) == Some("millstream") {
            return Ok(client);
        }
        let problem = format!("what answers {SERVER_INFO} there is no Millstream");
        Err(AppError::Unreachable { place: client.place().to_owned(), problem })
    }

    /// Whether the work is done in this process, so that it ends with the command.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// Runs that wait are begun from now on where the work is done in this process: the command
    /// waits for some that it has launched.
    pub(crate) fn begin_runs(&self) {
        if let Self::Here(served) = self {
            served.begin_runs();
        }
    }

    /// Ends what this process has started.
    pub(crate) async fn close(self) {
        if let Self::Here(served) = self {
            served.stop().await;
        }
    }

    /// Asks for `path` and reads the answer as JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, AppError> {
        self.request(Method::Get, path, None).await
    }

    /// Sends `body` to `path` and reads the answer as JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, AppError> {
        self.request(Method::Post, path, Some(body)).await
    }

    /// Removes what `body` names at `path` and reads the answer as JSON.
    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Result<Value, AppError> {
        self.request(Method::Delete, path, Some(body)).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, AppError> {
        let (status, bytes) = self.bytes(method, path, body).await?;
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|error| AppError::Unreachable {
                place: self.place().to_owned(),
                problem: format!("it answered {status} with something that is no JSON: {error}"),
            })?;
        if (200..300).contains(&status) { Ok(value) } else { Err(refused(status, &value)) }
    }

    /// Asks for `path` and returns the status and the bytes of the answer.
    pub(crate) async fn bytes(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>), AppError> {
        let Answer { status, bytes, .. } = self.answer(method, path, body).await?;
        Ok((status, bytes))
    }

    /// How long the log at `path` is; 0 when there is none.
    pub(crate) async fn log_size(&self, path: &str) -> Result<u64, AppError> {
        Ok(self.answer(Method::Get, path, None).await?.log_size.unwrap_or_default())
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, AppError> {
        match self {
            Self::Remote { http, base, place } => {
                let sent = send(http, &format!("{base}{path}"), method, body).await;
                sent.map_err(|error| unreachable(place, &error))
            }
            Self::Folder(folder) => folder.answer(method, path, body).await,
            Self::Here(served) => in_process(served.router(), method, path, body).await,
        }
    }

    /// Where it is, for people.
    pub(crate) fn place(&self) -> &str {
        match self {
            Self::Remote { place, .. } => place,
            Self::Folder(folder) => &folder.place,
            Self::Here(_) => "this process",
        }
    }
}

impl Folder {
    /// Asks whoever serves the folder. Where that one ends before it answers, the next one is asked
    /// what only looks, and what was not sent.
    ///
    /// This process never takes its place: it would keep a server out that is started again.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, AppError> {
        let url = format!("http://localhost{path}");
        let mut tries = OWNED_TRIES;
        loop {
            let error = match send(&self.http, &url, method, body).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !matches!(error, OutboundError::NoAnswer { .. }) {
                return Err(unreachable(&self.place, &error));
            }
            let is_harmless = error.is_unsent() || matches!(method, Method::Get);
            if !is_harmless {
                let help = "it may have done what it was asked before it ended: look before you \
                            repeat the command";
                return Err(self.gone(&error, help));
            }
            if !self.is_served_again(&mut tries).await {
                let help = "the process that served the folder has ended, and no other has begun \
                            to: repeat the command, or start the server again";
                return Err(self.gone(&error, help));
            }
        }
    }

    fn gone(&self, error: &OutboundError, help: &str) -> AppError {
        let problem = format!("{}; {help}", millstream_model::chain(error));
        AppError::Unreachable { place: self.place.clone(), problem }
    }

    /// Waits until a process serves the folder, or as long as one takes that starts.
    async fn is_served_again(&self, tries: &mut u32) -> bool {
        while *tries > 0 {
            *tries -= 1;
            if tokio::net::UnixStream::connect(&self.socket).await.is_ok() {
                return true;
            }
            tokio::time::sleep(OWNED_PAUSE).await;
        }
        false
    }
}

async fn send(
    http: &millstream_outbound::Client,
    url: &str,
    method: Method,
    body: Option<&Value>,
) -> Result<Answer, OutboundError> {
    let body = body.map(|body| Sent::json(body.to_string().into_bytes()));
    let answer = http.send(Request { method, url, headers: &[], body }).await?;
    let log_size = answer.header(LOG_SIZE).and_then(|size| size.parse().ok());
    Ok(Answer { status: answer.status, log_size, bytes: answer.body })
}

fn unreachable(place: &str, error: &OutboundError) -> AppError {
    AppError::Unreachable { place: place.to_owned(), problem: millstream_model::chain(&error) }
}

fn http(socket: Option<&std::path::Path>) -> Result<millstream_outbound::Client, AppError> {
    match socket {
        Some(socket) => millstream_outbound::Client::over_socket(socket, LIMITS),
        None => millstream_outbound::Client::direct(LIMITS),
    }
    .map_err(|error| unreachable("this process", &error))
}

async fn in_process(
    router: Router,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer, AppError> {
    let failed =
        |problem: String| AppError::Unreachable { place: "this process".to_owned(), problem };
    let content = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let request = axum::http::Request::builder()
        .method(method.as_str())
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(content)
        .map_err(|error| failed(error.to_string()))?;
    let answer = match router.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let status = answer.status().as_u16();
    let log_size = answer.headers().get(LOG_SIZE).and_then(|size| size.to_str().ok()?.parse().ok());
    let limited = http_body_util::Limited::new(answer.into_body(), ANSWER_MAX);
    let bytes = limited.collect().await.map_err(|error| failed(error.to_string()))?.to_bytes();
    Ok(Answer { status, log_size, bytes: bytes.to_vec() })
}

fn refused(status: u16, value: &Value) -> AppError {
    let field = |name: &str| {
        value.pointer(&format!("/error/{name}")).and_then(Value::as_str).map(str::to_owned)
    };
    let code = field("code").unwrap_or_else(|| "internal".to_owned());
    let message = field("message").unwrap_or_else(|| format!("the server answered {status}"));
    AppError::Refused { status, code, message, help: field("help") }
}

#[cfg(test)]
impl Client {
    /// A client of a server with these routes, which ends with the test's runtime.
    pub(crate) async fn of(router: axum::Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let second = std::time::Duration::from_secs(10);
        let limits =
            millstream_outbound::Limits { connect: second, total: second, answer_max: 1 << 20 };
        let http = millstream_outbound::Client::direct(limits).unwrap();
        Self::Remote { http, place: base.clone(), base }
    }
}
