//! Selections: texts that name assets, the same in files, on pages and on the command line.
//!
//! | text | selects |
//! | --- | --- |
//! | `a`, `raw/orders`, `"any key"` | one asset |
//! | `*`, `raw/*`, `key:raw*` | all assets, those whose key fits |
//! | `a+`, `+a`, `a*`, `*a` | with all downstream, with all upstream |
//! | `a+2`, `2+a` | the same, as many levels |
//! | `tag:x`, `tag:x=y`, `group:x`, `kind:x`, `owner:x` | assets that say so; `*` fits any text |
//! | `a, b`, `a or b` | either |
//! | `a and b`, `not a`, `(…)`, `+(…)+` | both, the others, brackets |
//!
//! Pure: a text becomes a [`Selection`] or an error with its place, and a selection becomes the
//! keys that a manifest has for it. Text and nesting are limited, so that neither can exhaust us.

mod evaluate;
mod lacking;
mod parse;
mod pattern;
mod tree;

pub use evaluate::select;
pub use lacking::selection_help;
pub use tree::{Selection, SelectionError};
