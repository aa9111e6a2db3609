//! The steps that nothing keeps from starting, apart by what a start takes.
//!
//! Whoever has places, but no slots, looks at the steps that need only a place: what a look costs
//! does not grow with the others.

use std::collections::BTreeSet;

use millstream_model::{StepConfig, StepPlan};

/// What it takes to start a step that may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A place among the steps that go on at once.
    Place,
    /// A place, and slots of a pool.
    Slots,
    /// Nothing: it neither runs nor keeps anything.
    Nothing,
}

impl Need {
    pub(super) fn of(step: &StepPlan) -> Self {
        match step.step {
            _ if step.pool.is_some() => Self::Slots,
            StepConfig::Noop(_) if step.asset.is_none() => Self::Nothing,
            _ => Self::Place,
        }
    }
}

/// The places in the plan of pending steps that may start, by what they need.
#[derive(Debug, Clone, Default)]
pub(super) struct Ready {
    place: BTreeSet<usize>,
    slots: BTreeSet<usize>,
    nothing: BTreeSet<usize>,
}

impl Ready {
    pub(super) fn of(&self, need: Need) -> &BTreeSet<usize> {
        match need {
            Need::Place => &self.place,
            Need::Slots => &self.slots,
            Need::Nothing => &self.nothing,
        }
    }

    pub(super) fn of_mut(&mut self, need: Need) -> &mut BTreeSet<usize> {
        match need {
            Need::Place => &mut self.place,
            Need::Slots => &mut self.slots,
            Need::Nothing => &mut self.nothing,
        }
    }
}
