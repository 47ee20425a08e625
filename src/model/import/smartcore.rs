//! Our own JSON for a forest that smartcore trained; `docs/models.md` describes it.
//!
//! Not smartcore's serde form: that one follows its private fields, changes between its releases,
//! and a cycle in it hangs its `predict` for ever.

use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use crate::model::ensemble::{Builder, Codes, Draft, DraftNode, NODES_MAX, Output, TREES_MAX};
use crate::model::{ArtifactError, Ensemble, Feature, Link};

/// One tree as the file tells it: node 0 is the root.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// Its nodes.
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
        /// Another node.
        left: u32,
        /// A third one.
        right: u32,
    },
    /// Ends the walk.
    Leaf {
        /// The tree's answer; finite.
        value: f64,
    },
}

/// The file as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    trees: Bounded<TreeFile, TREES_MAX>,
}

/// One tree: arrays of equal length, `left` and `right` 0 at a leaf.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TreeFile {
    feature: Bounded<u16, NODES_MAX>,
    threshold: Bounded<f64, NODES_MAX>,
    left: Bounded<u32, NODES_MAX>,
    right: Bounded<u32, NODES_MAX>,
    value: Bounded<f64, NODES_MAX>,
}

/// Trees as a file that [`read`] makes an ensemble of.
pub(in crate::model) fn write(trees: &[Tree]) -> Vec<u8> {
    let file = File {
        trees: Bounded(trees.iter().map(TreeFile::of).collect()),
    };
    let mut text = serde_json::to_vec(&file).expect("finite numbers serialize");
    text.push(b'\n');
    text
}

/// Reads a forest whose inputs are `features`; its raw score is the mean over the trees.
pub(super) fn read(artifact: &[u8], features: &[Feature]) -> Result<Ensemble, ArtifactError> {
    let file: File = serde_json::from_slice(artifact).map_err(|e| super::json_error(&e))?;
    let mut builder = Builder::new(features.len(), Codes::default());
    for (index, tree) in file.trees.0.into_iter().enumerate() {
        builder.add(&draft(index, &tree)?)?;
    }
    let divisor = builder.trees() as f64;
    builder.finish(Output {
        base: 0.0,
        divisor,
        link: Link::Identity,
    })
}

fn draft(index: usize, file: &TreeFile) -> Result<Draft, ArtifactError> {
    let count = file.feature.0.len();
    for (name, found) in [
        ("threshold", file.threshold.0.len()),
        ("left", file.left.0.len()),
        ("right", file.right.0.len()),
        ("value", file.value.0.len()),
    ] {
        if found != count {
            let problem = format!("has {found} entries, feature has {count}");
            return Err(ArtifactError::new(
                format!("trees[{index}].{name}"),
                problem,
            ));
        }
    }
    let node = |(i, id): (usize, u32)| match (file.left.0[i], file.right.0[i]) {
        (0, 0) => DraftNode::Leaf {
            value: file.value.0[i],
            id,
        },
        (left, right) => DraftNode::Number {
            input: file.feature.0[i].into(),
            threshold: file.threshold.0[i],
            nan_left: false,
            zero_left: None,
            left,
            right,
        },
    };
    Ok(Draft {
        nodes: (0..count).zip(0..).map(node).collect(),
        ..Draft::default()
    })
}

impl TreeFile {
    fn of(tree: &Tree) -> TreeFile {
        let mut file = TreeFile {
            feature: Bounded::default(),
            threshold: Bounded::default(),
            left: Bounded::default(),
            right: Bounded::default(),
            value: Bounded::default(),
        };
        for node in &tree.nodes {
            let (inner, value) = match *node {
                Split::Leaf { value } => ((0, 0.0, 0, 0), value),
                Split::Inner {
                    input,
                    threshold,
                    left,
                    right,
                } => ((input, threshold, left, right), 0.0),
            };
            file.feature.0.push(inner.0);
            file.threshold.0.push(inner.1);
            file.left.0.push(inner.2);
            file.right.0.push(inner.3);
            file.value.0.push(value);
        }
        file
    }
}
