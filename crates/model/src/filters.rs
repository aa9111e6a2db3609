//! The filters of templates that are Millstream's own.
//!
//! The worker gives them to the template language, and a definition that names another one which
//! that does not have either is refused.

/// The filters in templates of steps beside the template language's own.
pub const STEP_FILTERS: &[&str] = &["snake", "identifier", "shell", "default", "d", "tojson"];
