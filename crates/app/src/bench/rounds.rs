//! Rounds: a limit, the product, the limit again; so that a machine that drifts moves both.

use crate::error::AppError;

/// Two probes of a limit that differ by more than this say that the machine was disturbed.
const AGREEMENT: f64 = 1.5;

/// How often a round may be repeated, on average.
const REPEATS_MAX: usize = 4;

/// What the rounds of one goal gave.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// The median of the product's figures.
    pub(super) ours: f64,
    /// The median of the limits.
    pub(super) limit: f64,
    /// Ours over the limit, a round each.
    pub(super) ratios: Vec<f64>,
    /// Rounds that were repeated because their probes disagreed.
    pub(super) noisy: usize,
}

/// One round: the product's figure and the mean of the two probes around it.
#[derive(Debug, Clone, Copy)]
struct Round {
    ours: f64,
    limit: f64,
}

/// Takes `wanted` rounds; `probe` and `ours` each give one figure of the same unit.
///
/// Where the machine never gives that many quiet rounds, those that are nearest to quiet count.
pub(super) async fn interleave(
    wanted: usize,
    mut probe: impl AsyncFnMut() -> Result<f64, AppError>,
    mut ours: impl AsyncFnMut() -> Result<f64, AppError>,
) -> Result<Outcome, AppError> {
    // What is measured first pays for what is prepared once.
    ours().await?;
    let mut before = probe().await?;
    let mut rounds: Vec<(f64, Round)> = Vec::new();
    let mut quiet = 0;
    while quiet < wanted && rounds.len() < wanted * REPEATS_MAX {
        let figure = ours().await?;
        let after = probe().await?;
        let disagreement = (before / after).max(after / before);
        quiet += usize::from(disagreement <= AGREEMENT);
        rounds.push((disagreement, Round { ours: figure, limit: f64::midpoint(before, after) }));
        before = after;
    }
    let noisy = rounds.len() - quiet;
    rounds.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    rounds.truncate(wanted);
    Ok(outcome(&rounds.into_iter().map(|(_, round)| round).collect::<Vec<_>>(), noisy))
}

fn outcome(rounds: &[Round], noisy: usize) -> Outcome {
    Outcome {
        ours: median(rounds.iter().map(|round| round.ours).collect()),
        limit: median(rounds.iter().map(|round| round.limit).collect()),
        ratios: rounds.iter().map(|round| round.ours / round.limit).collect(),
        noisy,
    }
}

/// The middle one of `values`; not a number when there are none.
pub(super) fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value below which a share of `values` lies, by the nearest rank.
pub(super) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among a few thousand values"
    )]
    let rank = (last as f64 * share).round() as usize;
    values.get(rank).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn rounds_over(limits: &[f64]) -> Outcome {
        let mut limits = limits.iter().copied().chain(std::iter::repeat(10.0));
        interleave(2, async || Ok(limits.next().unwrap()), async || Ok(15.0)).await.unwrap()
    }

    #[tokio::test]
    async fn the_ratio_is_taken_against_the_probes_around_each_measurement() {
        let outcome = rounds_over(&[10.0, 14.0, 10.0]).await;
        assert_eq!(outcome.ratios, [1.25, 1.25]);
        assert_eq!(outcome.noisy, 0);
    }

    #[tokio::test]
    async fn a_round_whose_probes_disagree_is_repeated_and_left_out() {
        let outcome = rounds_over(&[10.0, 40.0, 10.0, 10.0]).await;
        assert_eq!(outcome.ratios, [1.5, 1.5]);
        assert_eq!(outcome.noisy, 2);
    }

    #[tokio::test]
    async fn a_machine_that_is_never_quiet_still_gets_an_answer() {
        let noise: Vec<f64> = (0..20).map(|i| if i % 2 == 0 { 10.0 } else { 20.0 }).collect();
        let outcome = rounds_over(&noise).await;
        assert_eq!(outcome.ratios, [1.0, 1.0]);
        assert_eq!(outcome.noisy, 8);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values = vec![5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!(median(values.clone()).to_bits(), 3.0_f64.to_bits());
        assert_eq!(quantile(values, 0.99).to_bits(), 5.0_f64.to_bits());
        assert!(median(Vec::new()).is_nan());
    }
}
