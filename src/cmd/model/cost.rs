//! What a model costs a decision: measured on the spot, with the evaluator that would serve it.
//!
//! A guess from the number of trees would be off by a factor of ten either way, since it depends on the CPU, on how
//! many inputs the offers differ in, and on how many offers compete. So the model scores its own golden rows (or
//! rows made up where there are none): each call has the request's inputs of one row and the offers' of others, and no
//! two calls in a row have the same, so that nothing is saved which a server would not save.

use std::time::{Duration, Instant};

use crate::model::{Batch, Kind, Model, Scorer, ScorerScratch, Source};

/// Offers that compete at one placement.
const CANDIDATES: [usize; 4] = [1, 10, 50, 200];

/// The longest that each of them is measured: nobody should have to wait for `inspect`.
const TIME_MAX: Duration = Duration::from_millis(100);

/// Calls that are enough for a median.
const CALLS_MAX: usize = 4_000;

/// Rows made up for a model without golden rows.
const ROWS_MADE_UP: usize = 64;

/// What one call to a model takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    /// Offers that compete.
    pub candidates: usize,
    /// The median, in microseconds.
    pub us: f64,
}

/// Measures the model on this machine.
pub(super) fn measure(model: &Model) -> Vec<Cost> {
    let rows = rows(model);
    (CANDIDATES.iter())
        .map(|&candidates| Cost {
            candidates,
            us: median_us(model, &rows, candidates),
        })
        .collect()
}

/// Where the rows come from, for people.
pub(super) fn source(model: &Model) -> &'static str {
    match model.manifest.golden.is_empty() {
        true => "made-up rows",
        false => "the golden rows",
    }
}

fn rows(model: &Model) -> Vec<Vec<f64>> {
    let features = &model.manifest.features;
    if !model.manifest.golden.is_empty() {
        let encoded = model.manifest.golden.iter().map(|row| {
            let values = features.iter().zip(&row.features);
            values
                .map(|(feature, value)| feature.input(*value))
                .collect()
        });
        return encoded.collect();
    }
    // Any numbers do: which branches they take is not what a made-up row can tell.
    let value = |row: usize, feature: usize| (row * 7_919 + feature * 104_729) % 1_009;
    let made_up = |row: usize| {
        let kinds = features.iter().enumerate();
        kinds
            .map(|(i, feature)| match &feature.kind {
                Kind::Number => value(row, i) as f64 / 10.0,
                Kind::Category(categories) => (value(row, i) % categories.len()) as f64,
            })
            .collect()
    };
    (0..ROWS_MADE_UP).map(made_up).collect()
}

fn median_us(model: &Model, rows: &[Vec<f64>], candidates: usize) -> f64 {
    let features = (0_u16..).zip(&model.manifest.features);
    let own_inputs: Vec<u16> = features
        .filter(|(_, feature)| feature.source == Source::Offer)
        .map(|(position, _)| position)
        .collect();
    let mut scratch = ScorerScratch::default();
    let (mut own, mut out) = (Vec::new(), vec![0.0; candidates]);
    let mut took = Vec::with_capacity(CALLS_MAX);
    let begun = Instant::now();
    while took.len() < CALLS_MAX && (took.is_empty() || begun.elapsed() < TIME_MAX) {
        let call = took.len();
        own.clear();
        for candidate in 0..candidates {
            let row = &rows[(call + 31 * (candidate + 1)) % rows.len()];
            own.extend(own_inputs.iter().map(|&input| row[usize::from(input)]));
        }
        let batch = Batch {
            shared: &rows[call % rows.len()],
            own_inputs: &own_inputs,
            own: &own,
        };
        let began = Instant::now();
        model.scorer.score(&batch, &mut scratch, &mut out);
        took.push(began.elapsed());
    }
    let middle = took.len() / 2;
    let (_, median, _) = took.select_nth_unstable(middle);
    median.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With golden rows and without: every size is measured, and in bounded time.
    #[test]
    fn every_size_takes_some_time() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/models/propensity-linear");
        let file = |name: &str| std::fs::read_to_string(format!("{dir}/{name}")).unwrap();
        let (manifest, artifact) = (file("manifest.json"), file("artifact.json"));
        let mut bare: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        bare.as_object_mut().unwrap().remove("golden");
        for (manifest, expected) in [
            (manifest, "the golden rows"),
            (bare.to_string(), "made-up rows"),
        ] {
            let model = crate::model::load_unproven(&manifest, artifact.as_bytes()).unwrap();
            assert_eq!(source(&model), expected);
            let costs = measure(&model);
            assert_eq!(
                costs.iter().map(|c| c.candidates).collect::<Vec<_>>(),
                CANDIDATES
            );
            assert!(costs.iter().all(|c| c.us > 0.0 && c.us < 1e6), "{costs:?}");
        }
    }
}
