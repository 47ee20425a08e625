//! LightGBM's text models: `Booster.save_model`.
//!
//! A head of `key=value` lines, then a block of such lines for each tree. A line that changes what the
//! model answers is understood or refused by its name; the rest is for people.

use super::lines::{Lines, complain, number, numbers};
use super::names;
use crate::model::ensemble::{Builder, Codes, Draft, DraftNode, Output, ZERO};
use crate::model::{ArtifactError, Ensemble, Feature, Link};

/// Reads a model whose inputs are `features`.
pub(super) fn read(artifact: &[u8], features: &[Feature]) -> Result<Ensemble, ArtifactError> {
    let mut lines = Lines::of(artifact)?;
    let head = Head::read(&mut lines)?;
    let inputs = names::inputs(head.names.as_deref(), head.count, features)?;
    let mut builder = Builder::new(features.len(), Codes::Truncated);
    let mut block = Block::default();
    while lines.next_tree(builder.trees())? {
        block.read(&mut lines, builder.trees())?;
        builder.add(block.draft(&inputs, head.scale))?;
    }
    let divisor = if head.average {
        builder.trees().max(1)
    } else {
        1
    };
    builder.finish(Output {
        base: 0.0,
        divisor: divisor as f64,
        link: head.link,
    })
}

/// What the lines before the trees say.
struct Head {
    /// How many features the model has.
    count: usize,
    names: Option<Vec<String>>,
    link: Link,
    /// What a leaf is multiplied with to be log-odds: the `sigmoid` parameter.
    scale: f64,
    /// Whether the answer is the mean over the trees.
    average: bool,
}

impl Head {
    fn read(lines: &mut Lines<'_>) -> Result<Head, ArtifactError> {
        lines.expect("tree")?;
        let (mut count, mut names, mut objective, mut average) = (None, None, None, false);
        while let Some((key, value)) = lines.pair()? {
            match key {
                "num_class" | "num_tree_per_iteration" if value != "1" => {
                    return Err(complain(
                        key,
                        format!("is {value}, only models with one output (1) are supported"),
                    ));
                }
                "linear_tree" if value != "0" => {
                    return Err(complain(key, "is not supported"));
                }
                "max_feature_idx" => count = Some(1 + number::<u16>(key, value)? as usize),
                "feature_names" => {
                    names = Some(value.split_ascii_whitespace().map(Into::into).collect());
                }
                "objective" => objective = Some(self::objective(value)?),
                "average_output" => average = true,
                _ => {}
            }
        }
        let problem =
            "is missing: a model of an objective of your own does not tell what it predicts";
        let (link, scale) = objective.ok_or_else(|| complain("objective", problem))?;
        Ok(Head {
            count: count.ok_or_else(|| complain("max_feature_idx", "is missing"))?,
            names,
            link,
            scale,
            average,
        })
    }
}

/// The link, and what a leaf is multiplied with, of an objective such as `binary sigmoid:1`.
fn objective(text: &str) -> Result<(Link, f64), ArtifactError> {
    let mut words = text.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let link = match name {
        "binary" | "cross_entropy" => Link::Logistic,
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" => Link::Identity,
        "poisson" | "gamma" | "tweedie" => Link::Exp,
        _ => {
            let problem = format!(
                "is `{name}`, supported are binary, cross_entropy, regression, regression_l1, \
                 huber, fair, quantile, mape, poisson, gamma, tweedie"
            );
            return Err(complain("objective", problem));
        }
    };
    let mut scale = 1.0;
    for word in words {
        match word.split_once(':') {
            Some(("sigmoid", slope)) if name == "binary" => scale = number("sigmoid", slope)?,
            // `reg_sqrt` squares the answer.
            None if word == "sqrt" => return Err(complain("reg_sqrt", "is not supported")),
            // Others, such as the quantile's `alpha`, matter only in training.
            _ => {}
        }
    }
    Ok((link, scale))
}

/// One tree's arrays, kept from tree to tree for their memory.
#[derive(Default)]
struct Block {
    leaves: usize,
    split_feature: Vec<u32>,
    split_gain: Vec<f32>,
    threshold: Vec<f64>,
    decision_type: Vec<u8>,
    left_child: Vec<i32>,
    right_child: Vec<i32>,
    leaf_value: Vec<f64>,
    cat_boundaries: Vec<u32>,
    cat_threshold: Vec<u32>,
    draft: Draft,
}

/// Bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// What a split takes for missing: `decision_type >> 2`.
const MISSING_NONE: u8 = 0;
const MISSING_ZERO: u8 = 1;
const MISSING_NAN: u8 = 2;

impl Block {
    fn read(&mut self, lines: &mut Lines<'_>, tree: usize) -> Result<(), ArtifactError> {
        self.clear();
        while let Some((key, value)) = lines.pair()? {
            let read = match key {
                "num_leaves" => number(key, value).map(|leaves| self.leaves = leaves),
                "split_feature" => numbers(key, value, &mut self.split_feature),
                "split_gain" => numbers(key, value, &mut self.split_gain),
                "threshold" => numbers(key, value, &mut self.threshold),
                "decision_type" => numbers(key, value, &mut self.decision_type),
                "left_child" => numbers(key, value, &mut self.left_child),
                "right_child" => numbers(key, value, &mut self.right_child),
                "leaf_value" => numbers(key, value, &mut self.leaf_value),
                "cat_boundaries" => numbers(key, value, &mut self.cat_boundaries),
                "cat_threshold" => numbers(key, value, &mut self.cat_threshold),
                "is_linear" if value != "0" => {
                    Err(complain("is_linear", "linear_tree is not supported"))
                }
                _ => Ok(()),
            };
            read.map_err(|e| e.within(&format!("trees[{tree}]")))?;
        }
        (self.check_lengths().and_then(|()| self.fill_draft()))
            .map_err(|e| e.within(&format!("trees[{tree}]")))
    }

    fn clear(&mut self) {
        self.leaves = 0;
        self.split_feature.clear();
        self.split_gain.clear();
        self.threshold.clear();
        self.decision_type.clear();
        self.left_child.clear();
        self.right_child.clear();
        self.leaf_value.clear();
        self.cat_boundaries.clear();
        self.cat_threshold.clear();
    }

    fn check_lengths(&self) -> Result<(), ArtifactError> {
        let leaves = self.leaves;
        if leaves == 0 {
            return Err(complain(
                "num_leaves",
                "is 0 or missing, must be at least 1",
            ));
        }
        for (name, found, expected) in [
            ("split_feature", self.split_feature.len(), leaves - 1),
            ("threshold", self.threshold.len(), leaves - 1),
            ("decision_type", self.decision_type.len(), leaves - 1),
            ("left_child", self.left_child.len(), leaves - 1),
            ("right_child", self.right_child.len(), leaves - 1),
            ("leaf_value", self.leaf_value.len(), leaves),
        ] {
            if found != expected {
                let problem =
                    format!("has {found} entries, a tree of {leaves} leaves has {expected}");
                return Err(complain(name, problem));
            }
        }
        if self.cat_boundaries.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(complain("cat_boundaries", "must ascend"));
        }
        let (end, words) = (self.cat_boundaries.last(), self.cat_threshold.len());
        if end.is_some_and(|&end| end as usize > words) {
            let problem = format!("goes beyond the {words} entries of cat_threshold");
            return Err(complain("cat_boundaries", problem));
        }
        Ok(())
    }

    /// Inner nodes first, as the file numbers them, then the leaves.
    fn fill_draft(&mut self) -> Result<(), ArtifactError> {
        let mut nodes = std::mem::take(&mut self.draft.nodes);
        nodes.clear();
        for i in 0..self.leaves - 1 {
            nodes.push(self.split(i)?);
        }
        let leaf = |(&value, id)| DraftNode::Leaf { value, id };
        nodes.extend(self.leaf_value.iter().zip(0..).map(leaf));
        self.draft.nodes = nodes;
        Ok(())
    }

    fn split(&self, i: usize) -> Result<DraftNode, ArtifactError> {
        let decision = self.decision_type[i];
        let left = self.child("left_child", self.left_child[i], i)?;
        let right = self.child("right_child", self.right_child[i], i)?;
        let input = self.split_feature[i];
        if decision & CATEGORICAL != 0 {
            let set = self.set(i)?;
            // Whatever is not in the set goes right: the missing, the unseen, the negative.
            return Ok(DraftNode::Category {
                input,
                set,
                nan_left: false,
                other_left: false,
                left,
                right,
            });
        }
        let threshold = settled(self.threshold[i]);
        let zero_left = 0.0 <= threshold;
        let default_left = decision & DEFAULT_LEFT != 0;
        let (nan_left, zero_left) = match decision >> 2 {
            // NaN is read as 0 ...
            MISSING_NONE => (zero_left, None),
            // ... and in these goes with 0, which is all of [-ZERO, ZERO]. Mostly that is where the
            // comparison would send it anyway.
            MISSING_ZERO => (
                default_left,
                Some(default_left).filter(|&left| left != zero_left),
            ),
            MISSING_NAN => (default_left, None),
            missing => {
                let problem = format!("is {decision}, its missing type {missing} is unknown");
                return Err(complain(&format!("decision_type[{i}]"), problem));
            }
        };
        Ok(DraftNode::Number {
            input,
            threshold,
            nan_left,
            zero_left,
            left,
            right,
        })
    }

    /// A child as an index into inner nodes and then leaves; the file counts leaves from -1 downwards.
    fn child(&self, name: &str, child: i32, i: usize) -> Result<u32, ArtifactError> {
        let inner = self.leaves - 1;
        let (index, count) = if child < 0 {
            (!child as usize, self.leaves)
        } else {
            (child as usize, inner)
        };
        if index >= count {
            let problem = format!("is {child}, must be -{} to {}", self.leaves, inner - 1);
            return Err(complain(&format!("{name}[{i}]"), problem));
        }
        let index = if child < 0 { inner + index } else { index };
        Ok(u32::try_from(index).expect("a file has fewer numbers than 2^32"))
    }

    /// The words of a categorical split, whose threshold is the number of its set.
    fn set(&self, i: usize) -> Result<(u32, u32), ArtifactError> {
        let threshold = self.threshold[i];
        let index = threshold as usize;
        match self.cat_boundaries.get(index..).and_then(|b| b.get(..2)) {
            Some(&[first, end]) if index as f64 == threshold => Ok((first, end - first)),
            _ => {
                let sets = self.cat_boundaries.len().saturating_sub(1);
                let problem = format!("is {threshold}, the tree has {sets} category sets");
                Err(complain(&format!("threshold[{i}]"), problem))
            }
        }
    }

    fn draft(&mut self, inputs: &[u32], scale: f64) -> &Draft {
        let draft = &mut self.draft;
        for node in &mut draft.nodes {
            match node {
                DraftNode::Leaf { value, .. } => *value *= scale,
                DraftNode::Number { input, .. } | DraftNode::Category { input, .. } => {
                    // One that the file does not have stays one that nobody has.
                    *input = inputs.get(*input as usize).copied().unwrap_or(u32::MAX);
                }
            }
        }
        std::mem::swap(&mut draft.words, &mut self.cat_threshold);
        std::mem::swap(&mut draft.gains, &mut self.split_gain);
        draft
    }
}

/// LightGBM drops numbers within [-`ZERO`, `ZERO`] from a row and so compares them as 0. The same
/// threshold moved to the interval's edge sends them the same way without that.
fn settled(threshold: f64) -> f64 {
    if (0.0..ZERO).contains(&threshold) {
        ZERO
    } else if (-ZERO..0.0).contains(&threshold) {
        (-ZERO).next_down()
    } else {
        threshold
    }
}
