//! One line of the answer: ours, the limit, the gate, and what to think of it.

use serde_json::{Value, json};

use super::rounds::{Outcome, median};

/// What a figure is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Microseconds,
    Mebibytes,
    Percent,
}

/// What a figure may be at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Gate {
    /// This many times the limit; the second number is the aim beyond it.
    Ratio(f64, Option<f64>),
    /// This much, in the figure's own unit.
    Most(f64),
}

/// One line of the answer.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    /// The goal's or requirement's name, like `P1`.
    goal: &'static str,
    what: String,
    unit: Unit,
    ours: f64,
    limit: Option<f64>,
    ratios: Vec<f64>,
    noisy: usize,
    gate: Gate,
}

/// The heads of the table.
pub(super) const HEADS: [&str; 7] =
    ["GOAL", "OURS", "LIMIT", "OURS/LIMIT", "GATE", "STRETCH", "VERDICT"];

impl Figure {
    /// A figure that is judged by its ratio to a limit.
    pub(super) fn ratio(
        goal: &'static str,
        what: &str,
        outcome: Outcome,
        (gate, stretch): (f64, Option<f64>),
    ) -> Self {
        let Outcome { ours, limit, ratios, noisy } = outcome;
        Self {
            goal,
            what: what.to_owned(),
            unit: Unit::Microseconds,
            ours,
            limit: Some(limit),
            ratios,
            noisy,
            gate: Gate::Ratio(gate, stretch),
        }
    }

    /// A figure that is judged by itself.
    pub(super) fn most(
        goal: &'static str,
        what: &str,
        (ours, unit): (f64, Unit),
        most: f64,
    ) -> Self {
        Self {
            goal,
            what: what.to_owned(),
            unit,
            ours,
            limit: None,
            ratios: Vec::new(),
            noisy: 0,
            gate: Gate::Most(most),
        }
    }

    /// What the gate is held against.
    fn judged(&self) -> f64 {
        match self.gate {
            Gate::Ratio(..) => median(self.ratios.clone()),
            Gate::Most(_) => self.ours,
        }
    }

    fn verdict(&self) -> &'static str {
        let judged = self.judged();
        match self.gate {
            Gate::Ratio(_, Some(stretch)) if judged <= stretch => "stretch",
            Gate::Ratio(most, _) | Gate::Most(most) if judged <= most => "pass",
            // Also what is not a number.
            _ => "MISS",
        }
    }

    /// Whether the gate is held.
    pub(super) fn holds(&self) -> bool {
        self.verdict() != "MISS"
    }

    /// The line of the table.
    pub(super) fn row(&self) -> Vec<String> {
        let none = || "–".to_owned();
        let (gate, stretch) = match self.gate {
            Gate::Ratio(gate, stretch) => {
                (format!("≤ {gate:.1}×"), stretch.map_or_else(none, |most| format!("≤ {most:.1}×")))
            }
            Gate::Most(most) => (format!("≤ {}", shown(most, self.unit)), none()),
        };
        vec![
            format!("{} {}", self.goal, self.what),
            shown(self.ours, self.unit),
            self.limit.map_or_else(none, |limit| shown(limit, self.unit)),
            self.spread().unwrap_or_else(none),
            gate,
            stretch,
            self.verdict().to_owned(),
        ]
    }

    fn spread(&self) -> Option<String> {
        let low = self.ratios.iter().copied().reduce(f64::min)?;
        let high = self.ratios.iter().copied().reduce(f64::max)?;
        Some(format!("{:.2} ({low:.2}–{high:.2})", median(self.ratios.clone())))
    }

    /// The line for programs.
    pub(super) fn json(&self) -> Value {
        let (gate, stretch) = match self.gate {
            Gate::Ratio(gate, stretch) => (gate, stretch),
            Gate::Most(most) => (most, None),
        };
        json!({
            "goal": self.goal,
            "what": self.what,
            "unit": match self.unit {
                Unit::Microseconds => "us",
                Unit::Mebibytes => "MiB",
                Unit::Percent => "percent",
            },
            "ours": self.ours,
            "limit": self.limit,
            "ratios": self.ratios,
            "noisy_rounds": self.noisy,
            "judged": self.judged(),
            "gate": gate,
            "stretch": stretch,
            "verdict": self.verdict(),
        })
    }
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Microseconds if value >= 1e6 => format!("{:.2} s", value / 1e6),
        Unit::Microseconds if value >= 1e4 => format!("{:.1} ms", value / 1e3),
        Unit::Microseconds if value >= 1e3 => format!("{:.2} ms", value / 1e3),
        Unit::Microseconds => format!("{value:.0} µs"),
        Unit::Mebibytes => format!("{value:.1} MiB"),
        Unit::Percent => format!("{value:.3} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(ratios: &[f64]) -> Figure {
        let outcome = Outcome { ours: 300.0, limit: 200.0, ratios: ratios.to_vec(), noisy: 0 };
        Figure::ratio("P1", "durable no-op step", outcome, (2.0, Some(1.5)))
    }

    #[test]
    fn the_median_of_the_rounds_is_what_the_gate_is_held_against() {
        assert_eq!(figure(&[1.0, 1.4, 9.0]).verdict(), "stretch");
        assert_eq!(figure(&[1.0, 1.8, 9.0]).verdict(), "pass");
        assert_eq!(figure(&[1.0, 2.1, 9.0]).verdict(), "MISS");
        assert!(!figure(&[]).holds());
    }

    #[test]
    fn a_line_says_the_ratio_with_its_spread() {
        let expected = [
            "P1 durable no-op step",
            "300 µs",
            "200 µs",
            "1.80 (1.00–9.00)",
            "≤ 2.0×",
            "≤ 1.5×",
            "pass",
        ];
        assert_eq!(figure(&[1.0, 1.8, 9.0]).row(), expected);
    }
}
