//! Which method is fastest for a model and a number of candidates.

use super::{AnyMasks, Layout, Level};

/// How an ensemble is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// [`crate::model::Ensemble::raw_row`], row by row.
    Reference,
    /// From node to node, several walks side by side.
    Walk,
    /// Strikes out leaves from tables, candidate by candidate.
    Lookup,
    /// Strikes out leaves once for what is shared, then asks the open splits of many candidates at once.
    Pruned,
}

/// What the methods cost, in units of about 6 cycles.
///
/// Measured on 100 to 500 trees of 31 and 64 leaves, 28 of 40 inputs shared (`docs/scoring.md`). There
/// pruning overtakes the lookup at about 9 candidates with AVX-512 and 20 to 25 without; the walk is
/// fastest only for few candidates of models with thousands of parts, whose tables are coarse.
struct Costs {
    /// A step of every tree's walk, for one candidate.
    walk_tree: usize,
    /// Pruning, in quarters per split.
    prune_split: usize,
    /// What a part costs however many candidates there are, in quarters.
    prune_part: usize,
    /// And for each candidate, in eighths.
    candidate_part: usize,
}

impl Costs {
    fn of(level: Level) -> Costs {
        if level.has_512_bits() {
            return Costs {
                walk_tree: 9,
                prune_split: 2,
                prune_part: 10,
                candidate_part: 1,
            };
        }
        Costs {
            walk_tree: 9,
            prune_split: 4,
            prune_part: 10,
            candidate_part: 4,
        }
    }
}

/// The method whose cost is least.
#[inline]
pub(super) fn fastest(
    layout: &Layout,
    level: Level,
    own_inputs: &[u16],
    candidates: usize,
) -> Method {
    let Some(masks) = &layout.masks else {
        return Method::Walk;
    };
    let (own, shared) = columns(layout, own_inputs);
    let (parts, splits, strike) = sizes(masks);
    let costs = Costs::of(level);
    let walk = candidates * layout.walk.trees() * costs.walk_tree;
    let lookup = shared * strike + candidates * (own * strike + parts);
    let pruned = shared * strike
        + splits * costs.prune_split / 4
        + parts * costs.prune_part / 4
        + candidates * parts * costs.candidate_part / 8;
    let methods = [
        (pruned, Method::Pruned),
        (lookup, Method::Lookup),
        (walk, Method::Walk),
    ];
    let fastest = methods.into_iter().min_by_key(|&(cost, _)| cost);
    fastest.map_or(Method::Walk, |(_, method)| method)
}

/// Whether not even striking out the shared inputs pays: for few candidates of models with thousands of
/// parts, whose tables are coarse.
#[inline]
pub(super) fn is_walk_faster_than_known(
    layout: &Layout,
    own_inputs: &[u16],
    candidates: usize,
) -> bool {
    let Some(masks) = &layout.masks else {
        return true;
    };
    let (_, shared) = columns(layout, own_inputs);
    let (parts, _, strike) = sizes(masks);
    let known = shared * strike + candidates * parts / 4;
    // The step of a walk costs the same at every level.
    let walk = candidates * layout.walk.trees() * Costs::of(Level::PORTABLE).walk_tree;
    walk < known
}

/// How many columns differ between candidates, and how many do not.
fn columns(layout: &Layout, own_inputs: &[u16]) -> (usize, usize) {
    let own = own_inputs.len().min(layout.columns.len());
    (own, layout.columns.len() - own)
}

/// Parts, splits and work per column.
fn sizes(masks: &AnyMasks) -> (usize, usize, usize) {
    match masks {
        AnyMasks::Narrow(masks) => (masks.parts(), masks.splits(), masks.work_per_column()),
        AnyMasks::Wide(masks) => (masks.parts(), masks.splits(), masks.work_per_column()),
    }
}
