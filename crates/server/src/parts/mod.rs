//! Parts that several pages are made of; each renders itself and is safe to put into a template.

mod badge;
mod delivery_table;
mod equivalent;
mod glyph;
mod metadata;
mod plot;
mod run_table;
mod tick_table;

pub use badge::{Badge, Built, Switch};
pub use delivery_table::DeliveryTable;
pub use equivalent::Equivalent;
pub use glyph::{Glyph, Tone};
pub use metadata::Shown;
pub use plot::Plot;
pub use run_table::{RunLine, RunTable, cause, over, took};
pub use tick_table::{TickName, TickTable, why, with_word};

/// Lets a template part stand in another template without being escaped again.
macro_rules! part {
    ($($type:ty),*) => {
        $(impl askama::filters::HtmlSafe for $type {})*
    };
}
pub(crate) use part;
