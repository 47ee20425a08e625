//! From what a file says to an [`Ensemble`]: the checks, and the order of the nodes.
//!
//! A file's tree may be anything: a cycle, two parents for one node, a child that is not there. Walking
//! it once from its root, level by level, finds all of that and gives the order that evaluators like.

use super::{Codes, DEPTH_MAX, Ensemble, NODES_MAX, Node, Output, Set, Span, TREES_MAX, WORDS_MAX};
use crate::model::ArtifactError;

/// A tree as a file tells it; node 0 is the root.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// Its nodes, in any order.
    pub nodes: Vec<DraftNode>,
    /// The words of its category sets.
    pub words: Vec<u32>,
    /// What each node's split gained in training, or nothing if the file does not tell.
    pub gains: Vec<f32>,
    /// How many nodes may be there that nothing leads to: pruned ones that the trainer left behind.
    pub spare: usize,
}

/// A node as a file tells it: as [`Node`], but with two children anywhere, and nothing checked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of `Node`")]
pub enum DraftNode {
    Leaf {
        value: f64,
        id: u32,
    },
    Number {
        input: u32,
        threshold: f64,
        nan_left: bool,
        zero_left: Option<bool>,
        left: u32,
        right: u32,
    },
    Category {
        input: u32,
        /// First word and number of words.
        set: (u32, u32),
        nan_left: bool,
        other_left: bool,
        left: u32,
        right: u32,
    },
}

/// Adds up checked trees.
#[derive(Clone, Debug)]
pub struct Builder {
    ensemble: Ensemble,
    /// The breadth-first order of the tree that is being added, kept for its memory.
    order: Vec<u32>,
    seen: Vec<bool>,
}

/// Inputs before [`Builder::bind`] tells which they are.
const INPUTS_UNBOUND: usize = u16::MAX as usize;

impl Builder {
    /// No trees yet, over so many inputs.
    #[must_use]
    pub fn new(inputs: usize, codes: Codes) -> Builder {
        Builder {
            ensemble: Ensemble {
                inputs,
                codes,
                output: Output {
                    base: 0.0,
                    divisor: 1.0,
                    link: crate::model::Link::Identity,
                },
                trees: Vec::new(),
                nodes: Vec::new(),
                words: Vec::new(),
                gains: None,
            },
            order: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// For files that tell their features only after their trees: to be bound at the end.
    #[must_use]
    pub fn unbound(codes: Codes) -> Builder {
        Builder::new(INPUTS_UNBOUND, codes)
    }

    /// Says which of `inputs` inputs each of the file's features is.
    ///
    /// # Errors
    /// If a split looks at a feature that the file does not have.
    pub fn bind(&mut self, input_of: &[u32], inputs: usize) -> Result<(), ArtifactError> {
        let ensemble = &mut self.ensemble;
        ensemble.inputs = inputs;
        for (index, tree) in ensemble.trees.iter().enumerate() {
            let nodes = &mut ensemble.nodes[tree.first as usize..][..tree.nodes as usize];
            for node in nodes {
                let (Node::Number { input, .. } | Node::Category { input, .. }) = node else {
                    continue;
                };
                *input = match input_of.get(usize::from(*input)) {
                    Some(&bound) => known(bound, inputs),
                    None => Err(format!(
                        "feature is {input}, the model has {}",
                        input_of.len()
                    )),
                }
                .map_err(|problem| ArtifactError::new(format!("trees[{index}]"), problem))?;
            }
        }
        if let Some(gains) = &mut ensemble.gains {
            let mut bound = vec![0.0; inputs];
            for (&input, &gain) in input_of.iter().zip(gains.iter()) {
                bound[input as usize] += gain;
            }
            *gains = bound;
        }
        Ok(())
    }

    /// Multiplies each tree's leaves with its weight.
    ///
    /// # Errors
    /// If there is not one finite weight for each tree.
    pub fn weigh(&mut self, weights: &[f32]) -> Result<(), ArtifactError> {
        let Ensemble { trees, nodes, .. } = &mut self.ensemble;
        if weights.len() != trees.len() {
            let problem = format!("{} weights for {} trees", weights.len(), trees.len());
            return Err(ArtifactError::new("length", problem));
        }
        for (tree, (span, &weight)) in trees.iter().zip(weights).enumerate() {
            if !weight.is_finite() {
                let problem = format!("is {weight}, must be finite");
                return Err(ArtifactError::new(format!("tree {tree}"), problem));
            }
            for node in &mut nodes[span.first as usize..][..span.nodes as usize] {
                if let Node::Leaf { value, .. } = node {
                    // Exact, of two 32-bit numbers.
                    *value *= f64::from(weight);
                }
            }
        }
        Ok(())
    }

    /// How many trees were added.
    #[must_use]
    pub fn trees(&self) -> usize {
        self.ensemble.trees.len()
    }

    /// Adds a tree, after checking that walking it ends at a leaf whatever the inputs are.
    ///
    /// # Errors
    /// Names the node: children must exist, each node must have one parent, inputs must exist, values
    /// must be finite and thresholds numbers, the depth be at most [`DEPTH_MAX`].
    pub fn add(&mut self, draft: &Draft) -> Result<(), ArtifactError> {
        let tree = self.trees();
        self.check_size(draft)?;
        let first = self.ensemble.nodes.len();
        let depth = self.place(draft).map_err(|(node, problem)| {
            ArtifactError::new(format!("trees[{tree}].node[{node}]"), problem)
        })?;
        let placed = self.ensemble.nodes.len() - first;
        if placed + draft.spare < draft.nodes.len() {
            let stray = self.seen.iter().position(|seen| !seen).unwrap_or_default();
            let at = format!("trees[{tree}].node[{stray}]");
            return Err(ArtifactError::new(at, "is no node's child"));
        }
        let span = |n: usize| u32::try_from(n).expect("NODES_MAX fits");
        self.ensemble.trees.push(Span {
            first: span(first),
            nodes: span(placed),
            leaves: span(placed / 2 + 1),
            depth,
        });
        Ok(())
    }

    /// The ensemble.
    ///
    /// # Errors
    /// If it has no trees, or the output's numbers mean nothing.
    pub fn finish(self, output: Output) -> Result<Ensemble, ArtifactError> {
        let mut ensemble = self.ensemble;
        if ensemble.trees.is_empty() {
            let problem = "is empty, at least one tree is needed";
            return Err(ArtifactError::new("trees", problem));
        }
        if !output.base.is_finite() {
            let problem = format!("is {}, must be finite", output.base);
            return Err(ArtifactError::new("base_score", problem));
        }
        debug_assert!(output.divisor >= 1.0);
        ensemble.output = output;
        ensemble.nodes.shrink_to_fit();
        if let Some(gains) = &mut ensemble.gains {
            gains.resize(ensemble.inputs, 0.0);
        }
        Ok(ensemble)
    }

    fn check_size(&self, draft: &Draft) -> Result<(), ArtifactError> {
        let tree = self.trees();
        if tree == TREES_MAX {
            let problem = format!("too many trees, allowed are {TREES_MAX}");
            return Err(ArtifactError::new("trees", problem));
        }
        if draft.nodes.is_empty() {
            let problem = "a tree needs at least one node";
            return Err(ArtifactError::new(
                format!("trees[{tree}].node[0]"),
                problem,
            ));
        }
        if self.ensemble.nodes.len() + draft.nodes.len() > NODES_MAX {
            let problem = format!("too many nodes, allowed are {NODES_MAX} in all trees together");
            return Err(ArtifactError::new("trees", problem));
        }
        if self.ensemble.words.len() + draft.words.len() > WORDS_MAX {
            let problem = format!(
                "its category sets are too large, allowed are {} categories in all splits together",
                WORDS_MAX * 32
            );
            return Err(ArtifactError::new(format!("trees[{tree}]"), problem));
        }
        Ok(())
    }

    /// Lays the tree out level by level, siblings side by side; returns its depth.
    fn place(&mut self, draft: &Draft) -> Result<u16, (u32, String)> {
        let count = draft.nodes.len();
        let words = u32::try_from(self.ensemble.words.len()).expect("WORDS_MAX fits");
        self.ensemble.words.extend_from_slice(&draft.words);
        self.seen.clear();
        self.seen.resize(count, false);
        self.seen[0] = true;
        self.order.clear();
        self.order.push(0);
        let (mut done, mut level_ends, mut depth) = (0, 1, 0);
        while let Some(&index) = self.order.get(done) {
            if done == level_ends {
                depth += 1;
                level_ends = self.order.len();
            }
            let node = draft.nodes[index as usize];
            let left = u32::try_from(self.order.len()).expect("NODES_MAX fits");
            if let DraftNode::Number { left, right, .. } | DraftNode::Category { left, right, .. } =
                node
            {
                if depth == DEPTH_MAX {
                    return Err((index, format!("is deeper than {DEPTH_MAX}")));
                }
                for (side, child) in [("left", left), ("right", right)] {
                    self.adopt(child, count)
                        .map_err(|problem| (index, format!("{side} is {child}, {problem}")))?;
                }
            }
            let node = node
                .check(self.ensemble.inputs, draft.words.len(), words, left)
                .map_err(|problem| (index, problem))?;
            if let (Some(input), Some(&gain)) = (node.input(), draft.gains.get(index as usize)) {
                self.ensemble.add_gain(input, gain);
            }
            self.ensemble.nodes.push(node);
            done += 1;
        }
        Ok(depth)
    }

    /// Takes up a node as somebody's child.
    fn adopt(&mut self, child: u32, count: usize) -> Result<(), String> {
        match self.seen.get_mut(child as usize) {
            None => Err(format!("must be 0 to {}", count - 1)),
            Some(true) => Err("which is the root or has a parent already".into()),
            Some(seen) => {
                *seen = true;
                self.order.push(child);
                Ok(())
            }
        }
    }
}

impl Ensemble {
    fn add_gain(&mut self, input: u16, gain: f32) {
        let gains = self.gains.get_or_insert_default();
        let input = usize::from(input);
        if gains.len() <= input {
            gains.resize(input + 1, 0.0);
        }
        if gain.is_finite() {
            gains[input] += f64::from(gain);
        }
    }
}

impl DraftNode {
    /// The node in its place, or what is wrong with it. Its children begin at `left`, its tree's words
    /// at `first_word`.
    fn check(
        self,
        inputs: usize,
        words: usize,
        first_word: u32,
        left: u32,
    ) -> Result<Node, String> {
        Ok(match self {
            DraftNode::Leaf { value, id } => Node::Leaf {
                value: finite("value", value)?,
                id,
            },
            DraftNode::Number {
                input,
                threshold,
                nan_left,
                zero_left,
                ..
            } => Node::Number {
                threshold: number("threshold", threshold)?,
                input: known(input, inputs)?,
                nan_left,
                zero_left,
                left,
            },
            DraftNode::Category {
                input,
                set: (first, count),
                nan_left,
                other_left,
                ..
            } => {
                if first as usize + count as usize > words {
                    return Err(format!("its category set ends after the {words} words"));
                }
                Node::Category {
                    set: Set {
                        first: first_word + first,
                        words: count,
                    },
                    input: known(input, inputs)?,
                    nan_left,
                    other_left,
                    left,
                }
            }
        })
    }
}

/// LightGBM splits the missing from all others with a threshold of plus infinity.
fn number(name: &str, value: f64) -> Result<f64, String> {
    if value.is_nan() {
        return Err(format!("{name} is NaN, must be a number"));
    }
    Ok(value)
}

fn finite(name: &str, value: f64) -> Result<f64, String> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(format!("{name} is {value}, must be finite"))
}

fn known(input: u32, inputs: usize) -> Result<u16, String> {
    (u16::try_from(input).ok())
        .filter(|&i| usize::from(i) < inputs)
        .ok_or_else(|| format!("feature is {input}, the manifest declares {inputs}"))
}
