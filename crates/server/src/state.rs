//! What every handler works with.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_blob::Blobs;
use millstream_control::Control;
use millstream_model::Caller;

use crate::live::LiveHub;

/// What every handler is given: the server's parts, which clones share.
#[derive(Clone)]
pub(crate) struct ServerState(Arc<ServerParts>);

impl ServerState {
    /// The state of a server of these parts.
    pub(crate) fn of(parts: ServerParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for ServerState {
    type Target = ServerParts;

    fn deref(&self) -> &ServerParts {
        &self.0
    }
}

/// What the server is made of.
pub struct ServerParts {
    /// The use cases.
    pub control: Control,
    /// The logs of steps.
    pub blobs: Blobs,
    /// Who hears about changes.
    pub live: LiveHub,
    /// How it was configured.
    pub options: ServerOptions,
}

/// How the server was configured.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Who may reach it.
    pub reach: Reach,
    /// Who everybody is while there is no login.
    pub everybody: Caller,
    /// What `definitions status` says about scanning.
    pub scan: ScanInfo,
    /// Where its pages are; absent while it serves but commands.
    pub address: Option<String>,
    /// The folder of the definition files, where it is on this machine.
    pub folder: Option<Folder>,
}

/// The folder of the definition files, and how what is passed over in it is found.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// The files below it that are not read and were probably meant to be.
    pub passed_over: fn(&Path) -> Vec<PassedOver>,
}

/// A file that is not read and was probably meant as a definition file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Its path below the folder.
    pub name: String,
    /// Why it is not read.
    pub why: String,
}

impl ServerOptions {
    /// What is passed over in the folder of the definition files as it is now.
    pub(crate) async fn passed_over(&self) -> Vec<PassedOver> {
        let Some(Folder { path, passed_over }) = self.folder.clone() else { return Vec::new() };
        let found = tokio::task::spawn_blocking(move || passed_over(&path)).await;
        found.unwrap_or_default()
    }
}

/// Who may reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Programs on this machine: the request's host must be a loopback name or address.
    Loopback,
    /// Whoever can open a connection, because `auth.mode: none` says so.
    Anybody,
}

/// What the instance was told about scanning its roots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanInfo {
    /// How often, for people (`5s`); absent when only on demand.
    pub interval: Option<String>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            reach: Reach::Loopback,
            everybody: Caller::loopback_developer(),
            scan: ScanInfo::default(),
            address: None,
            folder: None,
        }
    }
}
