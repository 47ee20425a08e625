//! How good probabilities are, on rows the model has not seen.

/// Figures of predicted probabilities against what happened.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Quality {
    /// Mean of `-ln` of the probability given to what happened; lower is better.
    pub log_loss: f64,
    /// Area under the ROC curve: how often a converting row is ranked above one that does not.
    pub auc: f64,
    /// Expected calibration error over ten bins of equal size (Naeini, Cooper and Hauskrecht 2015).
    pub ece: f64,
}

/// A probability of exactly 0 or 1 would cost infinitely much when wrong.
const PROBABILITY_MIN: f64 = 1e-12;
/// Bins of the calibration error.
const BINS: usize = 10;

impl Quality {
    /// The figures of `probabilities` (not NaN) against `labels`, of the same length. The AUC is NaN
    /// where only one of the two outcomes happened.
    #[must_use]
    pub fn of(probabilities: &[f64], labels: &[bool]) -> Quality {
        let mut ranked: Vec<(f64, bool)> = probabilities
            .iter()
            .copied()
            .zip(labels.iter().copied())
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        Quality {
            log_loss: log_loss(&ranked),
            auc: auc(&ranked),
            ece: ece(&ranked),
        }
    }
}

fn log_loss(rows: &[(f64, bool)]) -> f64 {
    let loss = |&(p, label): &(f64, bool)| {
        let given = if label { p } else { 1.0 - p };
        -given.max(PROBABILITY_MIN).ln()
    };
    rows.iter().map(loss).sum::<f64>() / rows.len() as f64
}

/// Mann and Whitney's statistic; equal probabilities count half.
fn auc(ranked: &[(f64, bool)]) -> f64 {
    let (mut below, mut wins) = (0.0, 0.0);
    for equal in ranked.chunk_by(|a, b| a.0 == b.0) {
        let positives = equal.iter().filter(|(_, label)| *label).count() as f64;
        let negatives = equal.len() as f64 - positives;
        wins += positives * (below + negatives / 2.0);
        below += negatives;
    }
    wins / (below * (ranked.len() as f64 - below))
}

fn ece(ranked: &[(f64, bool)]) -> f64 {
    let size = ranked.len().div_ceil(BINS).max(1);
    let gap = |bin: &[(f64, bool)]| {
        let predicted: f64 = bin.iter().map(|(p, _)| p).sum();
        let happened = bin.iter().filter(|(_, label)| *label).count() as f64;
        (predicted - happened).abs()
    };
    ranked.chunks(size).map(gap).sum::<f64>() / ranked.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: &[(f64, u8)], log_loss: f64, auc: f64, ece: f64) {
        let (p, labels): (Vec<f64>, Vec<bool>) = rows.iter().map(|&(p, l)| (p, l == 1)).unzip();
        let found = Quality::of(&p, &labels);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(found.log_loss, log_loss), "{found:?}");
        assert!(near(found.auc, auc), "{found:?}");
        assert!(near(found.ece, ece), "{found:?}");
    }

    #[test]
    fn figures_by_hand() {
        let half = std::f64::consts::LN_2;
        check(&[(0.5, 1), (0.5, 0)], half, 0.5, 0.5);
        check(&[(0.25, 0), (0.75, 1)], -(0.75_f64.ln()), 1.0, 0.25);
        check(&[(0.75, 0), (0.25, 1)], -(0.25_f64.ln()), 0.0, 0.75);
        // Twenty rows, two a bin: each bin predicts 0.5 and sees one of two convert.
        let fair: Vec<(f64, u8)> = (0..20).map(|i| (0.5, i % 2)).collect();
        check(&fair, half, 0.5, 0.0);
    }
}
