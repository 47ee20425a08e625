//! Trees in the one form that every reader makes and every evaluator starts from.
//!
//! Trainers disagree about comparisons (`<` or `<=`, on 32 or 64 bits), about missing values and
//! about categories. The readers settle that once: here a number goes left exactly where
//! `value <= threshold` on 64 bits, and each split says where NaN goes, where zero goes if the trainer
//! took it for missing, and where a category goes that the split does not list. What a tree weighs
//! (DART, a sigmoid's slope) is in its leaves already.
//!
//! An [`Ensemble`] is sound: [`Builder`] has checked that every walk ends at a leaf. [`Ensemble::raw_row`]
//! is the plain node walk, the truth that faster evaluators are compared with; it is also what serves
//! where none of them does better.

mod build;

pub use build::{Builder, Draft, DraftNode};

use super::{Batch, Link, ScorerScratch};

/// The deepest tree. Trees that grow leaf by leaf may be chains; no trainer's usual 255 leaves are deeper.
pub const DEPTH_MAX: u16 = 255;
/// Trees of an ensemble: far beyond what fits into a deadline.
pub const TREES_MAX: usize = 10_000;
/// Nodes of an ensemble: 240 MB in memory.
pub const NODES_MAX: usize = 10_000_000;
/// Words of all category sets together: 16 MB. A set's size follows its largest category, not its
/// number of them, so a small file could ask for much.
pub const WORDS_MAX: usize = 1 << 22;
/// Numbers as near to 0 as this are 0 to LightGBM (its `kZeroThreshold`, a 32-bit 1e-35).
pub const ZERO: f64 = 1e-35_f32 as f64;

/// Trees, what their sum means, and nothing about how to walk them fast.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    inputs: usize,
    codes: Codes,
    output: Output,
    trees: Vec<Span>,
    nodes: Vec<Node>,
    words: Vec<u32>,
    gains: Option<Vec<f64>>,
}

/// From the sum of the leaves to the raw score: `base + sum / divisor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// The raw score of no trees.
    pub base: f64,
    /// 1 for boosted trees, their number where they are averaged.
    pub divisor: f64,
    /// What the raw score means.
    pub link: Link,
}

/// How an input becomes the number of a category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codes {
    /// As LightGBM does it: the fraction is cut off, so -0.5 is category 0.
    #[default]
    Truncated,
    /// As XGBoost does it: rounded to 32 bits, nothing below 0 and nothing from 2^24 on, then cut off.
    Single,
}

impl Codes {
    /// The category, or `None` for a number that stands for none. Not for NaN: ask
    /// [`Node::Category`]'s `nan_left` first.
    #[must_use]
    pub fn category(self, value: f64) -> Option<u32> {
        let (value, end) = match self {
            Codes::Truncated => (value.trunc(), 2_147_483_648.0),
            Codes::Single => (f64::from(value as f32), 16_777_216.0),
        };
        // -0.0 is at least 0.
        (value >= 0.0 && value < end).then_some(value as u32)
    }
}

/// One tree's place among the nodes, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The root, an index into all nodes.
    pub first: u32,
    /// Nodes, leaves included.
    pub nodes: u32,
    /// Leaves: one more than half the other nodes' children.
    pub leaves: u32,
    /// Steps from the root to the deepest leaf.
    pub depth: u16,
}

/// A node. Children are indexes into the tree's own nodes; the right child is always `left + 1`, and
/// children come after their parents, level by level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// Ends the walk.
    Leaf {
        /// What the tree adds; finite.
        value: f64,
        /// What the trainer calls this leaf (LightGBM's and XGBoost's `pred_leaf`).
        id: u32,
    },
    /// Goes left where `value <= threshold`.
    Number {
        /// Not NaN; infinite where everything but NaN goes left.
        threshold: f64,
        /// Which input.
        input: u16,
        /// Where NaN goes.
        nan_left: bool,
        /// Where values within [-[`ZERO`], [`ZERO`]] go if the comparison does not decide it.
        zero_left: Option<bool>,
        /// The left child.
        left: u32,
    },
    /// Goes left where the input's category is in the set.
    Category {
        /// The set: bit `c % 32` of word `c / 32` stands for category `c`. See [`Ensemble::set`].
        set: Set,
        /// Which input.
        input: u16,
        /// Where NaN goes.
        nan_left: bool,
        /// Where categories beyond the set's last word go, and numbers that are none.
        other_left: bool,
        /// The left child.
        left: u32,
    },
}

impl Node {
    /// The input that a split looks at.
    #[must_use]
    pub fn input(&self) -> Option<u16> {
        match *self {
            Node::Leaf { .. } => None,
            Node::Number { input, .. } | Node::Category { input, .. } => Some(input),
        }
    }
}

/// A category set's place among the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    first: u32,
    words: u32,
}

impl Ensemble {
    /// How many inputs it has.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How inputs become categories.
    #[must_use]
    pub fn codes(&self) -> Codes {
        self.codes
    }

    /// What the sum of the leaves means.
    #[must_use]
    pub fn output(&self) -> Output {
        self.output
    }

    /// Where each tree lies, in the trainer's order; at least one.
    #[must_use]
    pub fn trees(&self) -> &[Span] {
        &self.trees
    }

    /// The nodes of all trees.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One tree's nodes; its root is the first.
    #[must_use]
    pub fn tree(&self, tree: Span) -> &[Node] {
        &self.nodes[tree.first as usize..][..tree.nodes as usize]
    }

    /// The words of a category set.
    #[must_use]
    pub fn set(&self, set: Set) -> &[u32] {
        &self.words[set.first as usize..][..set.words as usize]
    }

    /// Per input, how many splits look at it.
    #[must_use]
    pub fn splits(&self) -> Vec<usize> {
        let mut splits = vec![0; self.inputs];
        for input in self.nodes.iter().filter_map(Node::input) {
            splits[usize::from(input)] += 1;
        }
        splits
    }

    /// How many splits look at categories.
    #[must_use]
    pub fn categorical_splits(&self) -> usize {
        let categorical = |node: &&Node| matches!(node, Node::Category { .. });
        self.nodes.iter().filter(categorical).count()
    }

    /// Per input, what its splits gained in training together, if the file told.
    #[must_use]
    pub fn gains(&self) -> Option<&[f64]> {
        self.gains.as_deref()
    }

    /// The raw score that this sum of leaves means.
    #[must_use]
    pub fn finish(&self, sum: f64) -> f64 {
        self.output.base + sum / self.output.divisor
    }

    /// The raw score of one row, tree after tree, node after node.
    #[must_use]
    pub fn raw_row(&self, row: &[f64]) -> f64 {
        let leaves = self.trees.iter().map(|&tree| self.leaf(tree, row));
        self.finish(leaves.map(|(value, _)| value).sum())
    }

    /// The value and name of the leaf that a row ends at.
    #[must_use]
    pub fn leaf(&self, tree: Span, row: &[f64]) -> (f64, u32) {
        let nodes = self.tree(tree);
        let mut at = 0;
        loop {
            let (goes_left, left) = match nodes[at] {
                Node::Leaf { value, id } => return (value, id),
                node @ (Node::Number { input, left, .. } | Node::Category { input, left, .. }) => {
                    (self.goes_left(&node, row[usize::from(input)]), left)
                }
            };
            at = left as usize + usize::from(!goes_left);
        }
    }

    /// Which way a value goes at a split; whatever at a leaf.
    #[must_use]
    pub fn goes_left(&self, node: &Node, value: f64) -> bool {
        match *node {
            Node::Leaf { .. } => true,
            Node::Number { nan_left, .. } | Node::Category { nan_left, .. } if value.is_nan() => {
                nan_left
            }
            Node::Number {
                threshold,
                zero_left,
                ..
            } => match zero_left {
                Some(left) if value.abs() <= ZERO => left,
                _ => value <= threshold,
            },
            Node::Category {
                set, other_left, ..
            } => {
                let words = self.set(set);
                let bit = self.codes.category(value).and_then(|category| {
                    let word = words.get(category as usize / 32)?;
                    Some(word >> (category % 32) & 1 == 1)
                });
                bit.unwrap_or(other_left)
            }
        }
    }

    /// Writes the raw score of each candidate into `out`.
    pub fn raw(&self, batch: &Batch<'_>, scratch: &mut ScorerScratch, out: &mut [f64]) {
        let row = &mut scratch.row;
        row.clear();
        row.extend_from_slice(batch.shared);
        for (candidate, raw) in out.iter_mut().enumerate() {
            batch.overwrite(candidate, row);
            *raw = self.raw_row(row);
        }
    }
}

#[cfg(test)]
mod tests;
