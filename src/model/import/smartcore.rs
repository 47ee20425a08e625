//! Our own JSON for a forest that smartcore trained; `docs/models.md` describes it.
//!
//! Not smartcore's serde form: that one follows its private fields, changes between its releases,
//! and a cycle in it hangs its `predict` for ever.

use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use crate::model::forest::{NODES_MAX, TREES_MAX};
use crate::model::{ArtifactError, Feature, Forest, Split, Tree};

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

/// Trees as a file that [`read`] makes a forest of.
pub(in crate::model) fn write(trees: &[Tree]) -> Vec<u8> {
    let file = File {
        trees: Bounded(trees.iter().map(TreeFile::of).collect()),
    };
    let mut text = serde_json::to_vec(&file).expect("finite numbers serialize");
    text.push(b'\n');
    text
}

/// Reads a forest whose inputs are `features`.
pub(super) fn read(artifact: &[u8], features: &[Feature]) -> Result<Forest, ArtifactError> {
    let file: File = serde_json::from_slice(artifact).map_err(|e| super::json_error(&e))?;
    if file.trees.0.is_empty() {
        let problem = "is empty, a forest needs at least one tree";
        return Err(ArtifactError::new("trees", problem));
    }
    let mut forest = Forest::new(features.len());
    for (index, tree) in file.trees.0.into_iter().enumerate() {
        forest.add(&nodes(index, &tree)?)?;
    }
    Ok(forest)
}

fn nodes(index: usize, file: &TreeFile) -> Result<Tree, ArtifactError> {
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
    let node = |i: usize| match (file.left.0[i], file.right.0[i]) {
        (0, 0) => Split::Leaf {
            value: file.value.0[i],
        },
        (left, right) => Split::Inner {
            input: file.feature.0[i],
            threshold: file.threshold.0[i],
            left,
            right,
        },
    };
    Ok(Tree {
        nodes: (0..count).map(node).collect(),
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
