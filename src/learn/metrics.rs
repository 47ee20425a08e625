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

/// One of the bins that a calibration error is summed over.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Bin {
    /// Mean probability.
    pub predicted: f64,
    /// Share that converted.
    pub happened: f64,
    /// Rows, or their weight.
    pub weight: f64,
}

/// A row: probability, outcome, weight.
type Row = (f64, bool, f64);

impl Quality {
    /// The figures of `probabilities` (not NaN) against `labels`, of the same length. The AUC is NaN
    /// where only one of the two outcomes happened.
    #[must_use]
    pub fn of(probabilities: &[f64], labels: &[bool]) -> Quality {
        Quality::weighted(probabilities, labels, &vec![1.0; labels.len()])
    }

    /// The same where rows count by `weights`, which are above 0.
    #[must_use]
    pub fn weighted(probabilities: &[f64], labels: &[bool], weights: &[f64]) -> Quality {
        let ranked = ranked(probabilities, labels, weights);
        let total: f64 = ranked.iter().map(|row| row.2).sum();
        let gap = |bin: &Bin| (bin.predicted - bin.happened).abs() * bin.weight;
        Quality {
            log_loss: log_loss(&ranked, total),
            auc: auc(&ranked),
            ece: bins(&ranked, total).iter().map(gap).sum::<f64>() / total,
        }
    }
}

/// Ten bins of equal size, from improbable to probable: what a reliability diagram shows.
#[must_use]
pub fn reliability(probabilities: &[f64], labels: &[bool], weights: &[f64]) -> Vec<Bin> {
    let ranked = ranked(probabilities, labels, weights);
    let total = ranked.iter().map(|row| row.2).sum();
    bins(&ranked, total)
}

fn ranked(probabilities: &[f64], labels: &[bool], weights: &[f64]) -> Vec<Row> {
    let mut ranked: Vec<Row> = (probabilities.iter().zip(labels).zip(weights))
        .map(|((&p, &label), &weight)| (p, label, weight))
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked
}

fn log_loss(rows: &[Row], total: f64) -> f64 {
    let loss = |&(p, label, weight): &Row| {
        let given = if label { p } else { 1.0 - p };
        -given.max(PROBABILITY_MIN).ln() * weight
    };
    rows.iter().map(loss).sum::<f64>() / total
}

/// Mann and Whitney's statistic; equal probabilities count half.
fn auc(ranked: &[Row]) -> f64 {
    let (mut below, mut above, mut wins) = (0.0, 0.0, 0.0);
    for equal in ranked.chunk_by(|a, b| a.0 == b.0) {
        let weight = |label: bool| -> f64 {
            let rows = equal.iter().filter(|row| row.1 == label);
            rows.map(|row| row.2).sum()
        };
        let (positives, negatives) = (weight(true), weight(false));
        wins += positives * (below + negatives / 2.0);
        below += negatives;
        above += positives;
    }
    wins / (below * above)
}

fn bins(ranked: &[Row], total: f64) -> Vec<Bin> {
    let mut bins = Vec::with_capacity(BINS);
    let (mut rest, mut left) = (ranked, total);
    for bins_left in (1..=BINS).rev() {
        let (target, mut weight) = (left / bins_left as f64, 0.0);
        let mut size = 0;
        while size < rest.len() && (bins_left == 1 || weight < target * (1.0 - 1e-9)) {
            weight += rest[size].2;
            size += 1;
        }
        let (rows, after) = rest.split_at(size);
        rest = after;
        left -= weight;
        if !rows.is_empty() {
            bins.push(Bin::of(rows, weight));
        }
    }
    bins
}

impl Bin {
    fn of(rows: &[Row], weight: f64) -> Bin {
        let converted = rows.iter().filter(|row| row.1);
        Bin {
            predicted: rows.iter().map(|row| row.0 * row.2).sum::<f64>() / weight,
            happened: converted.map(|row| row.2).sum::<f64>() / weight,
            weight,
        }
    }
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

    #[test]
    fn a_row_of_weight_two_is_two_rows() {
        let rows = [
            (0.1, false),
            (0.4, true),
            (0.3, false),
            (0.8, true),
            (0.6, false),
        ];
        let weights = [1.0, 2.0, 3.0, 1.0, 2.0];
        let (p, labels): (Vec<f64>, Vec<bool>) = rows.into_iter().unzip();
        let copies = rows.iter().zip(weights);
        let (all_p, all_labels): (Vec<f64>, Vec<bool>) = copies
            .flat_map(|(row, weight)| vec![*row; weight as usize])
            .unzip();
        let (weighted, repeated) = (
            Quality::weighted(&p, &labels, &weights),
            Quality::of(&all_p, &all_labels),
        );
        assert!((weighted.log_loss - repeated.log_loss).abs() < 1e-12);
        assert!((weighted.auc - repeated.auc).abs() < 1e-12);
    }
}
