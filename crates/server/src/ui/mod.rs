//! Serving pages: what they need is loaded here, `pages` draws it, and forms come back to `act`.

pub(crate) mod act;
pub(crate) mod dead_letters;
pub(crate) mod files;
pub(crate) mod read;
pub(crate) mod schedules;
pub(crate) mod sensors;
pub(crate) mod site;
mod visit;
pub(crate) mod why;
