//! Trees as leaf sets: leaves numbered from left to right, and for each split which of them it parts.
//!
//! A set must fit into 64 bits. A larger tree is cut: each subtree that fits becomes a part of its own,
//! reached through copies of the splits above it, whose other sides are empty leaves; so does the rest of
//! the tree, with an empty leaf where the subtree was. For every row exactly one part ends at a leaf of the
//! tree and the others at empty ones, and adding -0.0 changes no sum. So the parts of a tree are trees.

use super::columns::Test;
use super::{PARTS_MAX, Unsupported};
use crate::model::ensemble::{Ensemble, Node, Span};

/// Leaves of a part: as many as a word has bits.
pub(super) const LEAVES_MAX: usize = 64;

/// Leaves of a tree that is cut. Larger ones, which no boosting makes, would take too many parts.
const TREE_LEAVES_MAX: usize = 1024;

/// What an empty leaf adds: the only number that changes no sum, not even one of zero.
const EMPTY: f64 = -0.0;

/// A tree of at most [`LEAVES_MAX`] leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// The leaves' values from left to right.
    pub leaves: Vec<f64>,
    /// The splits, one fewer than leaves.
    pub splits: Vec<Split>,
}

/// A split: rows that go right cannot end in the leaves from `first` to before `middle`, rows that go
/// left not in those from there to before `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub test: Test,
    pub first: u8,
    pub middle: u8,
    pub end: u8,
}

/// All parts of all trees, in the order in which they are added up.
pub(super) fn of(ensemble: &Ensemble, tests: &[Test]) -> Result<Vec<Part>, Unsupported> {
    let mut parts = Vec::with_capacity(ensemble.trees().len());
    for &span in ensemble.trees() {
        if span.leaves as usize > TREE_LEAVES_MAX {
            return Err(Unsupported);
        }
        let nodes = ensemble.tree(span);
        let tests = &tests[span.first as usize..];
        let mut cutter = Cutter::new(span, nodes, tests);
        cutter.cut()?;
        for &root in &cutter.roots {
            parts.push(cutter.part(root));
        }
        if parts.len() > PARTS_MAX {
            return Err(Unsupported);
        }
    }
    Ok(parts)
}

/// One tree, and where it is cut.
struct Cutter<'a> {
    nodes: &'a [Node],
    tests: &'a [Test],
    /// Leaves under each node, a subtree that is cut off counting as one.
    leaves: Vec<u32>,
    parents: Vec<u32>,
    /// Where parts begin, the tree's own root last.
    roots: Vec<u32>,
    is_root: Vec<bool>,
    depths: Vec<u16>,
}

impl<'a> Cutter<'a> {
    fn new(span: Span, nodes: &'a [Node], tests: &'a [Test]) -> Cutter<'a> {
        let mut cutter = Cutter {
            nodes,
            tests,
            leaves: vec![1; nodes.len()],
            parents: Vec::new(),
            roots: Vec::new(),
            is_root: vec![false; nodes.len()],
            depths: Vec::new(),
        };
        if span.leaves as usize > LEAVES_MAX {
            cutter.parents = vec![0; nodes.len()];
            cutter.depths = vec![0; nodes.len()];
            for (i, node) in nodes.iter().enumerate() {
                if let Some(left) = left_of(node) {
                    for child in [left, left + 1] {
                        cutter.parents[child as usize] = i as u32;
                        cutter.depths[child as usize] = cutter.depths[i] + 1;
                    }
                }
            }
            cutter.count();
        } else {
            cutter.leaves[0] = span.leaves;
        }
        cutter
    }

    /// Counts leaves bottom-up: children come after their parents.
    fn count(&mut self) {
        for i in (0..self.nodes.len()).rev() {
            self.leaves[i] = match left_of(&self.nodes[i]) {
                Some(left) => self.seen_from_above(left) + self.seen_from_above(left + 1),
                None => 1,
            };
        }
    }

    fn seen_from_above(&self, node: u32) -> u32 {
        if self.is_root[node as usize] {
            1
        } else {
            self.leaves[node as usize]
        }
    }

    /// Cuts until every part fits.
    fn cut(&mut self) -> Result<(), Unsupported> {
        while self.leaves[0] as usize > LEAVES_MAX {
            let subtree = self.largest_that_fits().ok_or(Unsupported)?;
            self.is_root[subtree as usize] = true;
            self.roots.push(subtree);
            // Those above it have fewer leaves now.
            let gone = self.leaves[subtree as usize] - 1;
            let mut at = subtree;
            while at != 0 {
                at = self.parents[at as usize];
                self.leaves[at as usize] -= gone;
                if self.is_root[at as usize] {
                    break;
                }
            }
        }
        self.roots.push(0);
        Ok(())
    }

    /// The subtree with most leaves that fits into a part with the way to it.
    fn largest_that_fits(&self) -> Option<u32> {
        (1..self.nodes.len() as u32)
            .filter(|&i| {
                let i = i as usize;
                let leaves = self.leaves[i] as usize;
                leaves > 1 && !self.is_root[i] && leaves + usize::from(self.depths[i]) <= LEAVES_MAX
            })
            .max_by_key(|&i| (self.leaves[i as usize], std::cmp::Reverse(i)))
    }

    /// The part that begins at `root`, with the way to it.
    fn part(&self, root: u32) -> Part {
        let mut part = Part::default();
        let mut way = Vec::new();
        let mut at = root;
        while at != 0 {
            way.push(at);
            at = self.parents[at as usize];
        }
        self.descend(0, &mut way, &mut part);
        part
    }

    /// Adds what is below a node, following `way` (its last entry first) as long as there is one.
    fn descend(&self, node: u32, way: &mut Vec<u32>, part: &mut Part) {
        let Some(left) = left_of(&self.nodes[node as usize]) else {
            let Node::Leaf { value, .. } = self.nodes[node as usize] else {
                unreachable!("only leaves have no children")
            };
            part.leaves.push(value);
            return;
        };
        let next = way.pop();
        let first = part.leaves.len() as u8;
        let mut middle = first;
        for child in [left, left + 1] {
            middle = if child == left {
                middle
            } else {
                part.leaves.len() as u8
            };
            match next {
                Some(next) if next != child => part.leaves.push(EMPTY),
                Some(_) => self.descend(child, way, part),
                None if self.is_root[child as usize] => part.leaves.push(EMPTY),
                None => self.descend(child, way, part),
            }
        }
        part.splits.push(Split {
            test: self.tests[node as usize],
            first,
            middle,
            end: part.leaves.len() as u8,
        });
    }
}

fn left_of(node: &Node) -> Option<u32> {
    match *node {
        Node::Leaf { .. } => None,
        Node::Number { left, .. } | Node::Category { left, .. } => Some(left),
    }
}
