//! Steps that are SQL statements.

use millstream_model::{ErrorCode, SqlStep};

use super::context::Context;
use super::{Attempt, Ending, Returned};

/// Runs the statements of `step`.
pub(super) async fn run(
    _attempt: &mut Attempt<'_>,
    _step: &SqlStep,
    _context: &Context,
) -> Result<Returned, Ending> {
    Err(Ending::for_good(ErrorCode::StepKindUnsupported, "not yet".to_owned()))
}
