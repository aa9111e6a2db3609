//! CSV files: read a record at a time with what stood in quotes, what their columns are, and how a
//! field is written so that it comes back as it was.
//!
//! Here and not a library's, because a library does not say which fields stood in quotes, and takes
//! the end of the file for the end of a quote that nobody closed.

mod columns;
mod read;
mod write;

pub(crate) use columns::{CsvColumn, CsvLook};
pub(crate) use read::{CsvReader, Field, Quotes, Record};
pub(crate) use write::CsvLine;
use write::needs_quotes;
