//! Walking from node to node, several walks side by side.
//!
//! A step waits for a load, so one walk alone leaves the CPU idle; eight or sixteen fill it. Siblings lie
//! side by side and a leaf is its own successor, so that a step is a comparison and an addition and no
//! branch to mispredict: `next = left + (rank > place)`. Takes trees of any size, on any CPU.

use super::columns::{Columns, Rank, Test};
use crate::model::ensemble::{Ensemble, Node};

/// Candidates that are walked through a tree side by side.
pub(super) const CANDIDATES: usize = 8;
/// Trees that one candidate is walked through side by side.
const TREES: usize = 16;

/// All trees, laid out for walking.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    nodes: Vec<Step>,
    /// The value of each node; 0 where it is no leaf.
    values: Vec<f64>,
    /// Which set each node looks into; none at all where no split asks for a category.
    sets: Vec<u32>,
    roots: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    left: u32,
    column: u16,
    place: Rank,
}

impl Walk {
    pub fn new(ensemble: &Ensemble, tests: &[Test]) -> Walk {
        let mut walk = Walk {
            nodes: Vec::with_capacity(tests.len() + 1),
            values: Vec::with_capacity(tests.len() + 1),
            sets: Vec::new(),
            roots: Vec::with_capacity(ensemble.trees().len()),
        };
        // Belongs to no tree: makes room for the left of a leaf at the front.
        walk.push(0, 0, -1, 0.0);
        for &span in ensemble.trees() {
            let first = walk.nodes.len() as u32;
            walk.roots.push(first);
            let tests = &tests[span.first as usize..];
            for (node, test) in ensemble.tree(span).iter().zip(tests) {
                match *node {
                    // Every rank is above -1: a leaf goes right, from the node before it to itself.
                    Node::Leaf { value, .. } => {
                        walk.push(walk.nodes.len() as u32 - 1, 0, -1, value);
                    }
                    Node::Number { left, .. } | Node::Category { left, .. } => {
                        walk.push(first + left, test.column, test.place, 0.0);
                    }
                }
            }
        }
        if tests.iter().any(|test| test.set != 0) {
            let sets = tests.iter().map(|test| test.set);
            walk.sets = std::iter::once(0).chain(sets).collect();
        }
        walk
    }

    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    fn push(&mut self, left: u32, column: u16, place: Rank, value: f64) {
        self.nodes.push(Step {
            left,
            column,
            place,
        });
        self.values.push(value);
    }

    /// Adds every tree, in order, to the sum of each of `N` candidates, whose ranks lie one after another.
    #[inline(always)]
    pub fn add<const N: usize>(&self, columns: &Columns, ranks: &[Rank], sums: &mut [f64; N]) {
        for &root in &self.roots {
            let mut at = [root; N];
            self.finish(columns, ranks, |lane| lane * columns.len(), &mut at);
            for (sum, at) in sums.iter_mut().zip(at) {
                *sum += self.values[at as usize];
            }
        }
    }

    /// Adds every tree, in order, to the sum of one candidate.
    #[inline(always)]
    pub fn add_one(&self, columns: &Columns, ranks: &[Rank], sum: &mut f64) {
        let (many, rest) = self.roots.as_chunks::<TREES>();
        for roots in many {
            let mut at = *roots;
            self.finish(columns, ranks, |_| 0, &mut at);
            for at in at {
                *sum += self.values[at as usize];
            }
        }
        for &root in rest {
            let mut at = [root];
            self.finish(columns, ranks, |_| 0, &mut at);
            *sum += self.values[at[0] as usize];
        }
    }

    /// Steps until every walk has arrived at a leaf.
    #[inline(always)]
    fn finish<const N: usize>(
        &self,
        columns: &Columns,
        ranks: &[Rank],
        row: impl Fn(usize) -> usize,
        at: &mut [u32; N],
    ) {
        loop {
            let mut moved = 0;
            for (lane, at) in at.iter_mut().enumerate() {
                let node = self.nodes[*at as usize];
                let rank = ranks[row(lane) + usize::from(node.column)];
                let right = match self.sets.get(*at as usize) {
                    Some(&set) if set != 0 => columns.is_outside(set, rank),
                    _ => rank > node.place,
                };
                let next = node.left + u32::from(right);
                moved |= next ^ *at;
                *at = next;
            }
            if moved == 0 {
                return;
            }
        }
    }
}
