//! From a host's name to addresses, of which a guarded client sees the allowed ones alone.
//!
//! **Invariant.** A guarded client connects only to an address that was judged here in the same
//! look-up: a name that leads elsewhere a moment later changes nothing.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::allow::{AllowList, Refusal};

/// Where names lead.
pub trait Names: Send + Sync {
    /// The addresses of `host`.
    fn look_up(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// Where names lead according to the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemNames;

impl Names for SystemNames {
    fn look_up(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}

/// A name leads to addresses of which none is allowed.
#[derive(Debug, thiserror::Error)]
#[error("{host} leads to {address}, which {refusal}")]
pub(crate) struct NameRefused {
    host: String,
    address: IpAddr,
    pub(crate) refusal: Refusal,
}

/// Looks names up and keeps the allowed addresses.
pub(crate) struct GuardedNames {
    pub(crate) names: Arc<dyn Names>,
    pub(crate) allow: AllowList,
}

impl fmt::Debug for GuardedNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedNames").field("allow", &self.allow).finish_non_exhaustive()
    }
}

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (found, allow) = (self.names.look_up(host.clone()), self.allow.clone());
        Box::pin(async move {
            let mut allowed = Vec::new();
            let mut refused = None;
            for address in found.await? {
                match allow.judge(&host, address) {
                    // The port is the address's own; 0 stands for it.
                    Ok(()) => allowed.push(SocketAddr::new(address, 0)),
                    Err(refusal) => {
                        refused.get_or_insert(NameRefused { host: host.clone(), address, refusal });
                    }
                }
            }
            match refused {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}
