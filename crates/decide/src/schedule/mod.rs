//! Which ticks of a schedule are due, what becomes of each, and when it is due next.
//!
//! Pure: [`decide`] maps the cursor (the nominal time of the last tick that was decided) and the
//! time to verdicts; `control::ticks` loads the one and stores the other. Time is only compared
//! with nominal times, so a clock that jumps forward makes ticks due and one that jumps back makes
//! none due again.
//!
//! **Invariant.** Verdicts come in the order of time, all after the cursor, and none is left out.
//! **Invariant.** The new cursor is the last decided tick's nominal time, never "now".

mod due;
mod fate;
mod standing;
#[cfg(test)]
mod tests;
mod timing;

pub use due::{Decided, DueTick, ON_TIME, TickPolicy, TickVerdict, decide, in_time, waiting};
pub use fate::{Conduct, Fate, Fated, Fates};
pub use standing::{Lapsed, LapsedTicks, Look, Standing, adopt, brought_forward};
pub use timing::Timing;
