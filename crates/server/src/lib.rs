//! Serving HTTP: pages, the REST API, the worker API, and who may use which of them.
//!
//! The app calls [`router`] and serves it on a port or a Unix socket. Handlers here authorize, ask
//! `control`, and shape the answer: pages are pure functions from rows to HTML (`pages`), routes
//! and the roles they need stand in one table (`routes`). The server never launches or evaluates
//! anything and holds no rule of the product.

mod access;
mod api;
pub mod assets;
mod body;
pub mod event_words;
mod finish;
pub mod format;
pub mod frame;
mod guard;
mod health;
pub mod html;
mod input;
pub mod link;
mod live;
mod mask;
pub mod pages;
pub mod parts;
mod problem;
mod routes;
mod slash;
mod state;
mod ui;
mod worker;

pub use live::LiveHub;
pub use routes::{Access, ROUTES, Route, RouteId, Verb, router};
pub use state::{Folder, PassedOver, Reach, ScanInfo, ServerOptions, ServerParts};
