//! scikit-learn's models in a small JSON of ours, which `docs/models.md` describes.
//!
//! scikit-learn itself saves pickles, which are programs and never read here. Its forests are arrays that
//! any script can write down: `tree_.children_left` and so on become the arrays of the same names.

use serde::Deserialize;

use super::bounded::Bounded;
use super::{json_error, linear, names, single};
use crate::model::ensemble::{Builder, Codes, Draft, DraftNode, NODES_MAX, Output, TREES_MAX};
use crate::model::manifest::limits::FEATURES_MAX;
use crate::model::{ArtifactError, Ensemble, Feature, Function};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    feature_names: Option<Bounded<String, FEATURES_MAX>>,
    /// As in the format `linear`, in the manifest's order.
    linear: Option<linear::File>,
    forest: Option<Forest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forest {
    #[serde(default)]
    link: linear::LinkWord,
    #[serde(default)]
    base: f64,
    /// What the sum of the trees is divided by.
    #[serde(default = "one")]
    divisor: f64,
    /// How many bits inputs are rounded to before they are compared.
    bits: Bits,
    trees: Bounded<Tree, TREES_MAX>,
}

/// 32 of trees and their forests, 64 of histogram boosting.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "u8")]
enum Bits {
    Single,
    Double,
}

impl TryFrom<u8> for Bits {
    type Error = &'static str;

    fn try_from(bits: u8) -> Result<Bits, &'static str> {
        match bits {
            32 => Ok(Bits::Single),
            64 => Ok(Bits::Double),
            _ => Err("bits must be 32 or 64"),
        }
    }
}

/// One entry per node; a leaf's children are -1 and its feature and threshold anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tree {
    children_left: Bounded<i32, NODES_MAX>,
    children_right: Bounded<i32, NODES_MAX>,
    feature: Bounded<i32, NODES_MAX>,
    /// Null for plus infinity, with which scikit-learn splits the missing from all others.
    threshold: Bounded<Option<f64>, NODES_MAX>,
    missing_go_to_left: Option<Bounded<u8, NODES_MAX>>,
    value: Bounded<f64, NODES_MAX>,
}

fn one() -> f64 {
    1.0
}

/// Reads a model whose inputs are `features`.
pub(super) fn read(artifact: &[u8], features: &[Feature]) -> Result<Function, ArtifactError> {
    let file: File = serde_json::from_slice(artifact).map_err(|e| json_error(&e))?;
    let names = file.feature_names.as_ref().map(|names| names.0.as_slice());
    let count = names.map_or(features.len(), <[String]>::len);
    let inputs = names::inputs(names, count, features)?;
    match (file.linear, file.forest) {
        (Some(linear), None) => {
            if !inputs.iter().zip(0..).all(|(&input, i)| input == i) {
                let problem = "must be in the manifest's order where the model is linear";
                return Err(ArtifactError::new("feature_names", problem));
            }
            linear::model(linear, features)
                .map(Function::Linear)
                .map_err(|e| e.within("linear"))
        }
        (None, Some(forest)) => forest
            .ensemble(&inputs)
            .map(Function::Forest)
            .map_err(|e| e.within("forest")),
        _ => {
            let problem = "exactly one of linear and forest must be there";
            Err(ArtifactError::new("linear", problem))
        }
    }
}

impl Forest {
    fn ensemble(self, inputs: &[u32]) -> Result<Ensemble, ArtifactError> {
        if !(self.divisor.is_finite() && self.divisor >= 1.0) {
            let problem = format!("is {}, must be at least 1", self.divisor);
            return Err(ArtifactError::new("divisor", problem));
        }
        let mut builder = Builder::new(inputs.len(), Codes::default());
        for (index, tree) in self.trees.0.iter().enumerate() {
            let draft = tree.draft(self.bits, inputs);
            let draft = draft.map_err(|e| e.within(&format!("trees[{index}]")))?;
            builder.add(&draft)?;
        }
        builder.finish(Output {
            base: self.base,
            divisor: self.divisor,
            link: self.link.into(),
        })
    }
}

impl Tree {
    fn draft(&self, bits: Bits, inputs: &[u32]) -> Result<Draft, ArtifactError> {
        let nodes = self.feature.0.len();
        let missing = (self.missing_go_to_left.as_ref()).map_or(nodes, |m| m.0.len());
        for (name, found) in [
            ("children_left", self.children_left.0.len()),
            ("children_right", self.children_right.0.len()),
            ("threshold", self.threshold.0.len()),
            ("missing_go_to_left", missing),
            ("value", self.value.0.len()),
        ] {
            if found != nodes {
                let problem = format!("has {found} entries, feature has {nodes}");
                return Err(ArtifactError::new(name, problem));
            }
        }
        let nodes = (0..nodes).map(|i| self.node(i, bits, inputs));
        Ok(Draft {
            nodes: nodes.collect::<Result<_, _>>()?,
            ..Draft::default()
        })
    }

    fn node(&self, i: usize, bits: Bits, inputs: &[u32]) -> Result<DraftNode, ArtifactError> {
        let children = [self.children_left.0[i], self.children_right.0[i]];
        if children == [-1, -1] {
            return Ok(DraftNode::Leaf {
                value: self.value.0[i],
                id: u32::try_from(i).expect("NODES_MAX fits"),
            });
        }
        // Children and features below 0 become ones that nobody has.
        let [left, right] = children.map(|child| u32::try_from(child).unwrap_or(u32::MAX));
        let feature = usize::try_from(self.feature.0[i]).ok();
        let threshold = match (self.threshold.0[i], bits) {
            (None, _) => f64::INFINITY,
            (Some(threshold), Bits::Double) => threshold,
            (Some(threshold), Bits::Single) => match floor(threshold) {
                Some(threshold) => single::at_most(threshold),
                None => {
                    let problem = format!("is {threshold}, must be a 32-bit number");
                    return Err(ArtifactError::new(format!("threshold[{i}]"), problem));
                }
            },
        };
        Ok(DraftNode::Number {
            input: feature
                .and_then(|f| inputs.get(f).copied())
                .unwrap_or(u32::MAX),
            threshold,
            nan_left: (self.missing_go_to_left.as_ref()).is_some_and(|m| m.0[i] != 0),
            zero_left: None,
            left,
            right,
        })
    }
}

/// The largest 32-bit number that is at most `threshold`: no other lies between them.
fn floor(threshold: f64) -> Option<f32> {
    let near = threshold as f32;
    if !near.is_finite() {
        return None;
    }
    let above = f64::from(near) > threshold;
    Some(if above { near.next_down() } else { near })
}
