//! Serving HTTP: pages, the REST API, the worker API, and who may use which of them.
//!
//! The app calls [`router`] and serves it on a port or a Unix socket. Handlers here authorize, ask
//! `control`, and shape the answer: pages are pure functions from rows to HTML (`pages`), routes
//! and the roles they need stand in one table (`routes`). The server never launches or evaluates
//! anything and holds no rule of the product.

pub mod assets;
pub mod format;
pub mod frame;
pub mod html;
pub mod link;
pub mod pages;
pub mod parts;
