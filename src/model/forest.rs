//! The average over decision trees.
//!
//! All nodes of all trees lie in one array, siblings side by side, so that a step is one comparison
//! and one addition and no branch to mispredict: `next = left + (value > threshold)`. A leaf's
//! threshold is NaN and its `left` the index before its own, which makes it its own successor; a
//! tree can then be walked for exactly its depth, several candidates at a time, without asking who
//! has arrived. A missing value (NaN) fails the comparison and goes right, as it does in smartcore.

use super::{ArtifactError, Batch, ScorerScratch};

/// Candidates walked through a tree side by side: enough to hide the latency of the loads.
const LANES: usize = 8;

/// The deepest tree; a limit against hostile files that no trainer's default comes near.
pub(super) const DEPTH_MAX: u8 = 64;
/// Trees of a forest: far beyond what fits into a deadline.
pub(super) const TREES_MAX: usize = 10_000;
/// Nodes of a forest: 160 MB in memory.
pub(super) const NODES_MAX: usize = 10_000_000;

/// An average over trees, laid out for walking.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    inputs: usize,
    /// `nodes[0]` belongs to no tree: it makes room for a leaf's `left` at the front.
    nodes: Vec<Node>,
    /// The value of each node; 0 where it is no leaf.
    values: Vec<f64>,
    trees: Vec<Root>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    threshold: f64,
    input: u32,
    left: u32,
}

/// A leaf's threshold is NaN, which equals itself here: two forests are equal if they are the same.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        let key = |n: &Node| (n.threshold.to_bits(), n.input, n.left);
        key(self) == key(other)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Root {
    node: u32,
    depth: u8,
}

/// One tree as a file tells it: node 0 is the root.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// Its nodes; children come after their parents.
    pub nodes: Vec<Split>,
}

/// A node of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Split {
    /// Goes to `left` where `value <= threshold`, else (and where it is missing) to `right`.
    Inner {
        /// Which input is looked at.
        input: u16,
        /// What it is compared with; finite.
        threshold: f64,
        /// A node after this one.
        left: u32,
        /// Another node after this one.
        right: u32,
    },
    /// Ends the walk.
    Leaf {
        /// The tree's answer; finite.
        value: f64,
    },
}

impl Forest {
    /// An empty forest over so many inputs, at least 1. It answers NaN until a tree is added.
    #[must_use]
    pub fn new(inputs: usize) -> Forest {
        let mut forest = Forest {
            inputs,
            nodes: Vec::new(),
            values: Vec::new(),
            trees: Vec::new(),
        };
        forest.push_leaf(0.0);
        forest
    }

    /// Adds a tree, after checking that walking it ends at a leaf whatever the inputs are.
    ///
    /// # Errors
    /// Names the node: children must come after their parent, each node must have one parent, inputs
    /// must exist, numbers must be finite, the depth be at most 64.
    pub fn add(&mut self, tree: &Tree) -> Result<(), ArtifactError> {
        let at = |place: String| format!("trees[{}].{place}", self.trees.len());
        let complain = |place: String, problem: String| ArtifactError::new(at(place), problem);
        if self.trees.len() == TREES_MAX {
            let problem = format!("too many trees, allowed are {TREES_MAX}");
            return Err(ArtifactError::new("trees", problem));
        }
        if self.nodes.len() + tree.nodes.len() > NODES_MAX {
            let problem = format!("too many nodes, allowed are {NODES_MAX} in all trees together");
            return Err(ArtifactError::new("trees", problem));
        }
        let depth = depth(tree, self.inputs)
            .map_err(|(node, problem)| complain(format!("node[{node}]"), problem))?;
        self.place(tree, depth);
        Ok(())
    }

    /// How many inputs it has.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many trees it has.
    #[must_use]
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// How many nodes its trees have together.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len() - 1
    }

    /// Writes the average for each candidate into `out`.
    pub fn raw(&self, batch: &Batch<'_>, scratch: &mut ScorerScratch, out: &mut [f64]) {
        let rows = &mut scratch.row;
        rows.clear();
        for _ in 0..LANES.min(out.len()) {
            rows.extend_from_slice(batch.shared);
        }
        let mut first = 0;
        let mut blocks = out.chunks_exact_mut(LANES);
        for block in &mut blocks {
            self.block::<LANES>(batch, first, rows, block);
            first += LANES;
        }
        for one in blocks.into_remainder().chunks_mut(1) {
            self.block::<1>(batch, first, rows, one);
            first += 1;
        }
    }

    /// Scores `N` candidates from `first` on.
    fn block<const N: usize>(
        &self,
        batch: &Batch<'_>,
        first: usize,
        rows: &mut [f64],
        out: &mut [f64],
    ) {
        let width = self.inputs;
        for (lane, row) in rows.chunks_exact_mut(width).take(N).enumerate() {
            batch.overwrite(first + lane, row);
        }
        let mut sums = [0.0; N];
        for tree in &self.trees {
            let mut at = [tree.node; N];
            for _ in 0..tree.depth {
                for (lane, at) in at.iter_mut().enumerate() {
                    let node = &self.nodes[*at as usize];
                    let value = rows[lane * width + node.input as usize];
                    *at = node.left + u32::from(goes_right(value, node.threshold));
                }
            }
            for (sum, at) in sums.iter_mut().zip(at) {
                *sum += self.values[at as usize];
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum / self.trees.len() as f64;
        }
    }

    /// Lays the tree out breadth first, siblings side by side.
    fn place(&mut self, tree: &Tree, depth: u8) {
        let root = self.next();
        self.trees.push(Root { node: root, depth });
        // Nodes of the file in the order they are laid out; the n-th lies at `root + n`.
        let mut order = Vec::with_capacity(tree.nodes.len());
        order.push(0_u32);
        let mut done = 0;
        while let Some(&index) = order.get(done) {
            match tree.nodes[index as usize] {
                Split::Leaf { value } => self.push_leaf(value),
                Split::Inner {
                    input,
                    threshold,
                    left,
                    right,
                } => {
                    self.nodes.push(Node {
                        threshold,
                        input: input.into(),
                        left: root + order.len() as u32,
                    });
                    self.values.push(0.0);
                    order.extend([left, right]);
                }
            }
            done += 1;
        }
    }

    fn push_leaf(&mut self, value: f64) {
        self.nodes.push(Node {
            threshold: f64::NAN,
            input: 0,
            left: self.next().saturating_sub(1),
        });
        self.values.push(value);
    }

    /// The index of the node that is laid out next.
    fn next(&self) -> u32 {
        u32::try_from(self.nodes.len()).expect("NODES_MAX fits")
    }
}

/// Not `value > threshold`: NaN on either side goes right.
#[inline]
#[expect(
    clippy::neg_cmp_op_on_partial_ord,
    reason = "a missing value must fail the comparison and go right"
)]
fn goes_right(value: f64, threshold: f64) -> bool {
    !(value <= threshold)
}

/// The tree's depth, or the first unsound node and what is wrong with it.
///
/// One pass suffices: children come after their parents, so a node's depth is known when its turn comes.
fn depth(tree: &Tree, inputs: usize) -> Result<u8, (usize, String)> {
    let count = tree.nodes.len();
    if count == 0 {
        return Err((0, "a tree needs at least one node".into()));
    }
    // 0 stands for "nobody's child yet"; the root is at level 1.
    let mut level = vec![0_u8; count];
    level[0] = 1;
    let mut deepest = 0;
    for (index, node) in tree.nodes.iter().enumerate() {
        if level[index] == 0 {
            return Err((index, "is no node's child".into()));
        }
        deepest = deepest.max(level[index] - 1);
        match *node {
            Split::Leaf { value } if !value.is_finite() => {
                return Err((index, format!("value is {value}, must be finite")));
            }
            Split::Leaf { .. } => {}
            Split::Inner { input, .. } if usize::from(input) >= inputs => {
                let problem = format!("feature is {input}, the manifest declares {inputs}");
                return Err((index, problem));
            }
            Split::Inner { threshold, .. } if !threshold.is_finite() => {
                return Err((index, format!("threshold is {threshold}, must be finite")));
            }
            Split::Inner { left, right, .. } => {
                if level[index] > DEPTH_MAX {
                    return Err((index, format!("is deeper than {DEPTH_MAX}")));
                }
                for (side, child) in [("left", left), ("right", right)] {
                    let child = child as usize;
                    if child <= index || child >= count {
                        let allowed = format!("must be {} to {}", index + 1, count - 1);
                        return Err((index, format!("{side} is {child}, {allowed}")));
                    }
                    if level[child] != 0 {
                        return Err((
                            index,
                            format!("{side} is {child}, which has a parent already"),
                        ));
                    }
                    level[child] = level[index] + 1;
                }
            }
        }
    }
    Ok(deepest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(value: f64) -> Split {
        Split::Leaf { value }
    }

    fn inner(input: u16, threshold: f64, left: u32, right: u32) -> Split {
        Split::Inner {
            input,
            threshold,
            left,
            right,
        }
    }

    /// The obvious walk, one node after the other.
    fn walk(tree: &Tree, row: &[f64]) -> f64 {
        let mut at = 0;
        loop {
            match tree.nodes[at] {
                Split::Leaf { value } => return value,
                Split::Inner {
                    input,
                    threshold,
                    left,
                    right,
                } => {
                    let goes_left = row[usize::from(input)] <= threshold;
                    at = if goes_left { left } else { right } as usize;
                }
            }
        }
    }

    fn score(forest: &Forest, rows: &[Vec<f64>], own_inputs: &[u16]) -> Vec<f64> {
        let own: Vec<f64> = rows
            .iter()
            .flat_map(|row| own_inputs.iter().map(|&i| row[usize::from(i)]))
            .collect();
        let mut out = vec![0.0; rows.len()];
        let batch = Batch {
            shared: &rows[0],
            own_inputs,
            own: &own,
        };
        forest.raw(&batch, &mut ScorerScratch::default(), &mut out);
        out
    }

    /// A tree from random bytes: each inner node's children are the next two nodes not yet used.
    fn tree(shape: &[(bool, u16, f64, f64)]) -> Tree {
        let mut nodes = Vec::new();
        let mut planned = 1;
        let mut shape = shape.iter();
        while nodes.len() < planned {
            nodes.push(match shape.next() {
                Some(&(true, input, threshold, _)) => {
                    planned += 2;
                    inner(input, threshold, planned as u32 - 2, planned as u32 - 1)
                }
                Some(&(false, _, _, value)) => leaf(value),
                None => leaf(0.5),
            });
        }
        Tree { nodes }
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_walk(
            shapes in prop::collection::vec(
                prop::collection::vec((prop::bool::weighted(0.7), 0_u16..3, -2.0..2.0, 0.0..1.0), 1..40),
                1..6,
            ),
            rows in prop::collection::vec(
                prop::collection::vec(prop_oneof![-2.5..2.5, Just(f64::NAN), Just(f64::INFINITY)], 3),
                1..20,
            ),
        ) {
            let trees: Vec<Tree> = shapes.iter().map(|s| tree(s)).collect();
            let mut forest = Forest::new(3);
            for tree in &trees {
                forest.add(tree).unwrap();
            }
            let expected: Vec<f64> = rows
                .iter()
                .map(|row| trees.iter().map(|t| walk(t, row)).sum::<f64>() / trees.len() as f64)
                .collect();
            prop_assert_eq!(score(&forest, &rows, &[0, 1, 2]), expected);
        }
    }

    #[test]
    fn shared_inputs_are_read_from_the_shared_row() {
        let mut forest = Forest::new(2);
        let nodes = vec![
            inner(0, 0.0, 1, 2),
            leaf(1.0),
            inner(1, 0.0, 3, 4),
            leaf(2.0),
            leaf(3.0),
        ];
        forest.add(&Tree { nodes }).unwrap();
        forest
            .add(&Tree {
                nodes: vec![leaf(0.0)],
            })
            .unwrap();
        let rows: Vec<Vec<f64>> = (0..19).map(|i| vec![1.0, f64::from(i % 2)]).collect();
        let expected: Vec<f64> = (0..19)
            .map(|i| if i % 2 == 0 { 1.0 } else { 1.5 })
            .collect();
        assert_eq!(score(&forest, &rows, &[1]), expected);
        assert_eq!((forest.trees(), forest.nodes()), (2, 6));
    }

    #[track_caller]
    fn check_refused(nodes: Vec<Split>, node: usize, problem: &str) {
        let error = Forest::new(2).add(&Tree { nodes }).unwrap_err();
        assert_eq!(error.at, format!("trees[0].node[{node}]"), "{error}");
        assert!(error.problem.contains(problem), "{error}");
    }

    #[test]
    fn an_unsound_tree_is_refused() {
        let nan = f64::NAN;
        check_refused(vec![], 0, "at least one node");
        check_refused(vec![leaf(nan)], 0, "value is NaN");
        check_refused(vec![leaf(1.0), leaf(1.0)], 1, "no node's child");
        check_refused(
            vec![inner(2, 0.0, 1, 2), leaf(0.0), leaf(0.0)],
            0,
            "feature is 2",
        );
        check_refused(
            vec![inner(0, nan, 1, 2), leaf(0.0), leaf(0.0)],
            0,
            "threshold",
        );
        check_refused(
            vec![inner(0, 0.0, 0, 1), leaf(0.0)],
            0,
            "left is 0, must be 1 to 1",
        );
        check_refused(
            vec![inner(0, 0.0, 1, 2), leaf(0.0)],
            0,
            "right is 2, must be 1 to 1",
        );
        check_refused(
            vec![inner(0, 0.0, 1, 1), leaf(0.0)],
            0,
            "has a parent already",
        );
        let shared = vec![
            inner(0, 0.0, 1, 2),
            inner(0, 0.0, 3, 4),
            inner(0, 0.0, 4, 5),
        ];
        let shared = shared.into_iter().chain([leaf(0.0); 3]).collect();
        check_refused(shared, 2, "has a parent already");
    }

    #[test]
    fn depth_is_limited() {
        let chain = |depth: u32| {
            let steps = (0..depth).flat_map(|i| [inner(0, 0.0, 2 * i + 1, 2 * i + 2), leaf(0.0)]);
            // Each step's left child is the leaf after it, its right one the next step.
            Tree {
                nodes: steps.chain([leaf(1.0)]).collect(),
            }
        };
        let mut forest = Forest::new(1);
        forest.add(&chain(64)).unwrap();
        assert_eq!(score(&forest, &[vec![1.0]], &[]), [1.0]);
        assert!(forest.add(&chain(65)).is_err());
    }
}
