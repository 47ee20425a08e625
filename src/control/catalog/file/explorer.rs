//! `[explorer]`: how often another offer than the best is tried.

use super::super::fields::{Fields, Item};
use super::super::limits::{ALPHA, GAMMA, TEMPERATURE};
use crate::decide::explore::{Explorer, Policy};

/// Where nothing is said.
pub(super) const EXPLORER_DEFAULT: Policy = Policy {
    explorer: Explorer::DEFAULT,
    uniform_share: 0.0,
};
const ALPHA_DEFAULT: f64 = 0.2;
const FLOOR_DEFAULT: f64 = 0.005;

/// The kinds of an explorer, before their parameters.
#[derive(Clone, Copy)]
enum Kind {
    Deterministic,
    EpsilonGreedy,
    Softmax,
    Uniform,
    InverseGap,
    InverseGapBudget,
    PairwiseOdds,
    Thompson,
}

const KINDS: [(&str, Kind); 8] = [
    ("pairwise_odds", Kind::PairwiseOdds),
    ("thompson", Kind::Thompson),
    ("inverse_gap_budget", Kind::InverseGapBudget),
    ("inverse_gap", Kind::InverseGap),
    ("softmax", Kind::Softmax),
    ("epsilon_greedy", Kind::EpsilonGreedy),
    ("uniform", Kind::Uniform),
    ("deterministic", Kind::Deterministic),
];

/// `[explorer]`, or a placement's own.
pub(super) fn explorer(item: Item<'_>) -> Option<Policy> {
    let mut fields = Fields::open(item)?;
    let kind = fields.need("kind", "how it explores, such as \"pairwise_odds\"");
    // Where the kind is not known neither are its keys: that is one mistake and not one per key.
    let kind = kind.and_then(|item| item.one_of(&KINDS))?;
    let explorer = read(kind, &mut fields);
    let uniform_share = share(&mut fields, "uniform_share", 0.0);
    fields.close();
    Some(Policy {
        explorer: explorer?,
        uniform_share: uniform_share?,
    })
}

fn read(kind: Kind, fields: &mut Fields<'_>) -> Option<Explorer> {
    let mut number = |key, default, range| {
        let item = fields.take(key);
        item.map_or(Some(default), |item| item.number(range))
    };
    const SHARE: std::ops::RangeInclusive<f64> = 0.0..=1.0;
    Some(match kind {
        Kind::Uniform => Explorer::Uniform,
        Kind::Deterministic => Explorer::Deterministic {
            floor: number("floor", 0.0, SHARE)?,
        },
        Kind::EpsilonGreedy => Explorer::EpsilonGreedy {
            epsilon: number("epsilon", 0.1, SHARE)?,
        },
        Kind::Softmax => {
            let temperature = number("temperature", 0.25, TEMPERATURE);
            let floor = number("floor", 0.05, SHARE)?;
            Explorer::Softmax {
                temperature: temperature?,
                floor,
            }
        }
        Kind::InverseGap => {
            let gamma = number("gamma", 100.0, GAMMA);
            let floor = number("floor", FLOOR_DEFAULT, SHARE)?;
            Explorer::InverseGap {
                gamma: gamma?,
                floor,
            }
        }
        Kind::InverseGapBudget => {
            let budget = number("budget", Explorer::UNSURE_BUDGET, SHARE);
            let floor = number("floor", FLOOR_DEFAULT, SHARE)?;
            Explorer::InverseGapBudget {
                budget: budget?,
                floor,
            }
        }
        Kind::PairwiseOdds => {
            let alpha = number("alpha", ALPHA_DEFAULT, ALPHA);
            let floor = number("floor", FLOOR_DEFAULT, SHARE)?;
            Explorer::PairwiseOdds {
                alpha: alpha?,
                floor,
            }
        }
        Kind::Thompson => {
            let alpha = number("alpha", ALPHA_DEFAULT, ALPHA);
            let floor = number("floor", FLOOR_DEFAULT, SHARE)?;
            Explorer::Thompson {
                alpha: alpha?,
                floor,
            }
        }
    })
}

fn share(fields: &mut Fields<'_>, key: &'static str, default: f64) -> Option<f64> {
    let item = fields.take(key);
    item.map_or(Some(default), |item| item.number(0.0..=1.0))
}
