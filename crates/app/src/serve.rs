//! An instance that serves: to pages and programs over a port, to commands over a socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use millstream_control::Store;
use millstream_daemon::DaemonHandle;
use millstream_model::HumanDuration;
use millstream_server::{
    Folder, LiveHub, PassedOver, ScanInfo, ServerOptions, ServerParts, router,
};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client;
use crate::commands::files;
use crate::error::AppError;
use crate::instance::{Instance, Purpose};
use crate::no_definitions;
use crate::output;
use crate::settings::{LauncherKind, Settings};
use crate::unlike;

/// How long requests may go on after the server was told to end.
const DRAIN: Duration = Duration::from_secs(5);

/// How often a database that another process owns is tried again: most commands take less.
pub(crate) const OWNED_TRIES: u32 = 60;

/// The pause between two tries.
pub(crate) const OWNED_PAUSE: Duration = Duration::from_millis(50);

/// An instance with its daemon, and routes to it.
pub(crate) struct Served {
    purpose: Purpose,
    instance: Instance,
    daemon: DaemonHandle,
    router: Router,
    live: LiveHub,
    listeners: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// The socket on which other commands reach this process, once it is there.
    socket: Option<PathBuf>,
}

impl Served {
    /// Starts the instance for one command: no port but what its workers need.
    pub(crate) async fn start(settings: Settings) -> Result<Self, AppError> {
        let served = Self::assemble(settings, None).await?;
        served.scanned().await;
        Ok(served)
    }

    /// Starts the instance with the pages on `port`.
    pub(crate) async fn listen(
        settings: Settings,
        port: u16,
    ) -> Result<(Self, SocketAddr), AppError> {
        let listener = bind(port).await?;
        let address = listener.local_addr().map_err(|source| AppError::Port { port, source })?;
        let mut served = Self::assemble(settings, Some(listener)).await?;
        let (live, control) = (served.live.clone(), served.instance.control.clone());
        served.listeners.spawn(async move { live.follow(control).await });
        Ok((served, address))
    }

    /// Opens the instance, serves it, and only then starts its daemon: a worker that is launched
    /// finds somebody to report to.
    async fn assemble(settings: Settings, listener: Option<TcpListener>) -> Result<Self, AppError> {
        let purpose = if listener.is_some() { Purpose::Serve } else { Purpose::Command };
        // A command has shown them where people see them.
        for warning in settings.warnings.iter().filter(|_| purpose == Purpose::Serve) {
            tracing::warn!("{warning}");
        }
        let mut instance = match purpose {
            Purpose::Serve => open_once_free(settings).await?,
            // Its owner may serve by then, so that there is somebody to ask.
            Purpose::Command => Instance::open(settings).await?,
        };
        let live = LiveHub::default();
        let router = router(ServerParts {
            control: instance.control.clone(),
            blobs: instance.blobs.clone(),
            live: live.clone(),
            options: options(&instance.settings, listener.as_ref()),
        });
        let stop = watch::Sender::new(false);
        let mut listeners = JoinSet::new();
        let path = instance.settings.socket();
        // What others ask for may need the definition files, so they wait for one that loads none.
        let commands = if instance.settings.loads { bind_socket(&path) } else { None };
        let socket = commands.is_some().then_some(path);
        if let Some(commands) = commands {
            let (app, stopped) = (router.clone(), stop.subscribe());
            listeners.spawn(async move {
                let serving = axum::serve(commands, app).with_graceful_shutdown(told(stopped));
                report_end(serving.await);
            });
        }
        let reported_by_port =
            socket.is_none() && instance.settings.launcher == LauncherKind::Process;
        let listener = match listener {
            None if reported_by_port => Some(bind(0).await?),
            listener => listener,
        };
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        if let Some(listener) = listener {
            let (app, stopped) = (router.clone(), stop.subscribe());
            listeners.spawn(async move {
                let serving = axum::serve(listener, app).with_graceful_shutdown(told(stopped));
                report_end(serving.await);
            });
        }
        let url = match (&socket, address) {
            (Some(socket), _) => format!("unix:{}", socket.display()),
            (None, address) => address.map_or_else(String::new, |it| format!("http://{it}")),
        };
        let daemon = instance.start_daemon(&url, purpose).await?;
        Ok(Self { purpose, instance, daemon, router, live, listeners, stop, socket })
    }

    /// The routes, for requests in this process.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Starts runs that wait, from now on, where none were started so far.
    pub(crate) fn begin_runs(&self) {
        self.daemon.begin_runs();
    }

    /// What to say where the definition files of the folder are not those that are live, and this
    /// process loads none.
    pub(crate) async fn unlike(&self) -> Vec<String> {
        unlike::note(&self.instance).await
    }

    /// The database, for what is measured beside the server.
    pub(crate) fn store(&self) -> &Store {
        self.instance.control.store()
    }

    /// Waits until the definitions have been scanned once.
    pub(crate) async fn scanned(&self) {
        let mut scanned = self.daemon.scanned();
        // A daemon that has ended scans no more; what is stored is what there is.
        if scanned.wait_for(|done| *done).await.is_err() {}
    }

    /// Ends the server, the daemon and the workers of this process, in this order. What a command
    /// has begun comes to its end first.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        self.live.close();
        let drained = async { while self.listeners.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::debug!("requests were still open when the server ended");
        }
        self.listeners.abort_all();
        let Self { purpose, instance, daemon, socket, .. } = self;
        let workers = async {
            if purpose == Purpose::Command {
                instance.finish_workers().await;
            }
            instance.stop_workers().await;
        };
        daemon.stop_after(workers).await;
        if let Some(socket) = socket
            && let Err(error) = std::fs::remove_file(socket)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "the commands' socket stays behind");
        }
    }
}

/// Opens the instance, after the commands that own its database for a moment.
async fn open_once_free(settings: Settings) -> Result<Instance, AppError> {
    let mut tries = OWNED_TRIES;
    loop {
        match Instance::open(settings.clone()).await {
            Err(error) if error.is_owned() && tries > 0 => tries -= 1,
            opened => return opened,
        }
        tokio::time::sleep(OWNED_PAUSE).await;
    }
}

/// Serves a project until the process is told to end.
pub(crate) async fn dev(settings: Settings, port: u16) -> Result<(), AppError> {
    let notice = no_definitions::notice(&settings);
    let (served, address) = match Served::listen(settings.clone(), port).await {
        Ok(listening) => listening,
        Err(error) => return Err(unless_served(&settings, error).await),
    };
    output::line(&format!("Serving on http://{address}"));
    if let Some(notice) = notice {
        output::line(&notice);
    }
    ended().await;
    served.stop().await;
    Ok(())
}

/// Why a server cannot begin: because of one of the project's that runs already, or else `error`.
async fn unless_served(settings: &Settings, error: AppError) -> AppError {
    if !error.is_owned() && !matches!(error, AppError::Port { .. }) {
        return error;
    }
    match client::address_of(settings).await {
        Some(url) => AppError::Served { url, source: Box::new(error) },
        None => error,
    }
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn ended() {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    match terminate {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be waited for");
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn options(settings: &Settings, listener: Option<&TcpListener>) -> ServerOptions {
    let interval = HumanDuration(settings.scan_interval).to_string();
    ServerOptions {
        scan: ScanInfo { interval: settings.scans.then_some(interval) },
        address: listener.and_then(|it| it.local_addr().ok()).map(|it| format!("http://{it}")),
        folder: Some(Folder { path: settings.dags.clone(), passed_over }),
        ..ServerOptions::default()
    }
}

/// What is passed over in `folder`; where that cannot be read, the scan says so.
fn passed_over(folder: &Path) -> Vec<PassedOver> {
    files::passed_over(folder).unwrap_or_default()
}

async fn bind(port: u16) -> Result<TcpListener, AppError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| AppError::Port { port, source })
}

/// The socket on which commands and workers of this machine reach the process.
///
/// `None` when another process of this folder answers there already, which can only be where the
/// database is a server's; or when there can be no socket, because the path is too long for one:
/// then commands need `--url`, and workers report to the port.
fn bind_socket(path: &Path) -> Option<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return None;
    }
    // Nobody answers, so a socket that is there was left behind.
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "the old socket cannot be removed");
        return None;
    }
    let private = std::fs::Permissions::from_mode(0o600);
    let bound = UnixListener::bind(path)
        .and_then(|listener| std::fs::set_permissions(path, private).map(|()| listener));
    match bound {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "there is no socket for commands");
            None
        }
    }
}

async fn told(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has ended with the server.
    if stopped.wait_for(|stop| *stop).await.is_err() {}
}

fn report_end(ended: std::io::Result<()>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a listener has ended");
    }
}
