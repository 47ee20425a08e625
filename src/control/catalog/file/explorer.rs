//! `[explorer]`: how often another offer than the best is tried.

use super::super::fields::{Fields, Item};
use super::super::limits::{ALPHA, GAMMA, MINOR_MAX, TEMPERATURE};
use crate::decide::budget::Budgets;
use crate::decide::explore::{Explorer, Policy};
use crate::domain::OfferClass;

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

/// `[explorer]`: the policy of placements without one of their own, and what exploring may cost.
pub(super) fn explorer(item: Item<'_>) -> Option<(Policy, Budgets)> {
    let mut fields = Fields::open(item.clone())?;
    let kind = kind(&mut fields)?;
    let policy = policy(kind, &mut fields);
    let budgets = fields.table(BUDGET).map(budgets).unwrap_or_default();
    fields.close();
    let policy = policy?;
    if !budgets.is_empty() && policy.explores_without_floor() {
        item.note(NO_FLOOR);
    }
    Some((policy, budgets))
}

/// A placement's own explorer.
pub(super) fn own_explorer(item: Item<'_>) -> Option<Policy> {
    let mut fields = Fields::open(item)?;
    let kind = kind(&mut fields)?;
    let policy = policy(kind, &mut fields);
    if let Some(item) = fields.take(BUDGET) {
        item.note(format!(
            "expected `{BUDGET}` in the catalog's [explorer] only: a class has one budget, wherever it is shown"
        ));
    }
    fields.close();
    policy
}

/// What exploring may cost a day, by class.
const BUDGET: &str = "daily_budget_minor";

/// What is wrong with a budget for an explorer that has nothing to fall back to.
pub(in crate::control::catalog) const NO_FLOOR: &str = "expected a `floor` or a `uniform_share` above 0 beside a daily budget: \
     once it is spent nothing else is explored, and the log could judge no other policy";

fn budgets(mut fields: Fields<'_>) -> Budgets {
    let mut budgets = Budgets::default();
    for class in OfferClass::ALL {
        let item = fields.take(class.as_str());
        if let Some(minor) = item.and_then(|item| item.integer(0..=MINOR_MAX)) {
            budgets = budgets.with(*class, minor);
        }
    }
    fields.close();
    budgets
}

/// Where the kind is not known neither are its keys: that is one mistake and not one per key.
fn kind(fields: &mut Fields<'_>) -> Option<Kind> {
    let kind = fields.need("kind", "how it explores, such as \"pairwise_odds\"");
    kind.and_then(|item| item.one_of(&KINDS))
}

fn policy(kind: Kind, fields: &mut Fields<'_>) -> Option<Policy> {
    let explorer = read(kind, fields);
    let uniform_share = share(fields, "uniform_share", 0.0);
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
