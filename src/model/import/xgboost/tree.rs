//! XGBoost's trees: arrays with one entry for each node, and the categories of some splits beside them.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use super::super::{bounded::Bounded, single};
use super::scalar::Scalar;
use crate::model::ArtifactError;
use crate::model::ensemble::{Builder, Codes, Draft, DraftNode, NODES_MAX, WORDS_MAX};

/// XGBoost keeps categories as 32-bit floats, which count no further.
const CATEGORIES_END: i32 = 1 << 24;

/// All trees, checked one by one as they are read: no more than one is ever held as it was written.
pub(super) struct Trees(pub Result<Builder, ArtifactError>);

impl<'de> Deserialize<'de> for Trees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Trees;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of trees")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Trees, A::Error> {
        let mut builder = Builder::unbound(Codes::Single);
        while let Some(file) = seq.next_element::<TreeFile>()? {
            let at = format!("trees[{}]", builder.trees());
            let draft = file.draft().map_err(|e| e.within(&at));
            if let Err(error) = draft.and_then(|draft| builder.add(&draft)) {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Trees(Err(error)));
            }
        }
        Ok(Trees(Ok(builder)))
    }
}

type PerNode<T> = Bounded<T, NODES_MAX>;

#[derive(Deserialize)]
struct TreeFile {
    left_children: PerNode<i32>,
    right_children: PerNode<i32>,
    split_indices: PerNode<u32>,
    /// Thresholds, and at leaves their values.
    split_conditions: PerNode<f32>,
    default_left: PerNode<Bit>,
    /// Absent before release 1.3, when all splits were numerical.
    split_type: Option<PerNode<u8>>,
    #[serde(default)]
    categories: PerNode<i32>,
    /// Which nodes split by category, and where in `categories` theirs begin, and how many they are.
    #[serde(default)]
    categories_nodes: PerNode<u32>,
    #[serde(default)]
    categories_segments: PerNode<u64>,
    #[serde(default)]
    categories_sizes: PerNode<u64>,
    #[serde(default)]
    loss_changes: PerNode<f32>,
    tree_param: TreeParam,
}

#[derive(Deserialize)]
struct TreeParam {
    num_deleted: Option<Scalar>,
    size_leaf_vector: Option<Scalar>,
}

/// Number or boolean, by release.
#[derive(Clone, Copy)]
struct Bit(bool);

impl<'de> Deserialize<'de> for Bit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Bit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0, 1, false or true")
            }

            fn visit_bool<E: Error>(self, bit: bool) -> Result<Bit, E> {
                Ok(Bit(bit))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Bit, E> {
                Ok(Bit(number != 0))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Bit, E> {
                Ok(Bit(number != 0))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl TreeFile {
    fn draft(&self) -> Result<Draft, ArtifactError> {
        self.check_lengths()?;
        let mut draft = Draft {
            gains: self.loss_changes.0.clone(),
            spare: self.deleted()?,
            ..Draft::default()
        };
        for i in 0..self.left_children.0.len() {
            draft.nodes.push(self.node(i)?);
        }
        for i in 0..self.categories_nodes.0.len() {
            self.add_categories(i, &mut draft)?;
        }
        let unlisted = |node: &DraftNode| matches!(node, DraftNode::Category { set: (_, 0), .. });
        if let Some(i) = draft.nodes.iter().position(unlisted) {
            let problem = "the node is categorical, but categories_nodes does not list it";
            return Err(ArtifactError::new(format!("split_type[{i}]"), problem));
        }
        Ok(draft)
    }

    fn check_lengths(&self) -> Result<(), ArtifactError> {
        let nodes = self.left_children.0.len();
        let types = self.split_type.as_ref().map_or(nodes, |t| t.0.len());
        let sets = self.categories_nodes.0.len();
        for (name, found, expected) in [
            ("right_children", self.right_children.0.len(), nodes),
            ("split_indices", self.split_indices.0.len(), nodes),
            ("split_conditions", self.split_conditions.0.len(), nodes),
            ("default_left", self.default_left.0.len(), nodes),
            ("split_type", types, nodes),
            (
                "categories_segments",
                self.categories_segments.0.len(),
                sets,
            ),
            ("categories_sizes", self.categories_sizes.0.len(), sets),
        ] {
            if found != expected {
                let problem = format!("has {found} entries, expected are {expected}");
                return Err(ArtifactError::new(name, problem));
            }
        }
        let width: u32 = (self.tree_param.size_leaf_vector.as_ref())
            .map_or(Ok(0), |width| width.parse("tree_param.size_leaf_vector"))?;
        if width > 1 {
            let problem = format!("is {width}, only leaves with one value are supported");
            return Err(ArtifactError::new("tree_param.size_leaf_vector", problem));
        }
        Ok(())
    }

    fn deleted(&self) -> Result<usize, ArtifactError> {
        (self.tree_param.num_deleted.as_ref())
            .map_or(Ok(0), |count| count.parse("tree_param.num_deleted"))
    }

    fn node(&self, i: usize) -> Result<DraftNode, ArtifactError> {
        let (left, right) = (self.left_children.0[i], self.right_children.0[i]);
        let condition = self.split_conditions.0[i];
        if left == -1 {
            return Ok(DraftNode::Leaf {
                value: condition.into(),
                id: u32::try_from(i).expect("NODES_MAX fits"),
            });
        }
        // A child below 0 becomes one that no tree is large enough to have.
        let [left, right] = [left, right].map(|child| u32::try_from(child).unwrap_or(u32::MAX));
        let input = self.split_indices.0[i];
        let nan_left = self.default_left.0[i].0;
        match self.split_type.as_ref().map_or(0, |t| t.0[i]) {
            0 if condition > f32::NEG_INFINITY => Ok(DraftNode::Number {
                input,
                threshold: single::below(condition),
                nan_left,
                zero_left: None,
                left,
                right,
            }),
            0 => {
                let problem = format!("is {condition}, must be above minus infinity");
                Err(ArtifactError::new(
                    format!("split_conditions[{i}]"),
                    problem,
                ))
            }
            // Its set is filled in later; empty ones do not exist.
            1 => Ok(DraftNode::Category {
                input,
                set: (0, 0),
                nan_left,
                // What is not listed goes left: the unseen and the negative.
                other_left: true,
                left,
                right,
            }),
            other => {
                let problem = format!("is {other}, known are 0 and 1");
                Err(ArtifactError::new(format!("split_type[{i}]"), problem))
            }
        }
    }

    /// Gives a categorical split its set. The file lists the categories that go right.
    fn add_categories(&self, i: usize, draft: &mut Draft) -> Result<(), ArtifactError> {
        let node = self.categories_nodes.0[i];
        let at = |name: &str| format!("{name}[{i}]");
        let Some(DraftNode::Category { set, .. }) = draft.nodes.get_mut(node as usize) else {
            let problem = format!("is {node}, which is no categorical split");
            return Err(ArtifactError::new(at("categories_nodes"), problem));
        };
        let (first, count) = (self.categories_segments.0[i], self.categories_sizes.0[i]);
        let listed = (usize::try_from(first).ok())
            .and_then(|first| self.categories.0.get(first..))
            .and_then(|rest| rest.get(..usize::try_from(count).ok()?))
            .filter(|listed| !listed.is_empty() && set.1 == 0);
        let Some(listed) = listed else {
            let problem = format!(
                "{count} categories from {first} on: there are {}, and each split has some once",
                self.categories.0.len()
            );
            return Err(ArtifactError::new(at("categories_segments"), problem));
        };
        if let Some(bad) = listed.iter().find(|c| !(0..CATEGORIES_END).contains(*c)) {
            let problem = format!("node {node} lists category {bad}, must be 0 to 16777215");
            return Err(ArtifactError::new("categories", problem));
        }
        let most = listed.iter().copied().max().unwrap_or_default() as u32;
        let (start, words) = (draft.words.len(), most / 32 + 1);
        if start + words as usize > WORDS_MAX {
            return Err(ArtifactError::new(
                "categories",
                "its category sets are too large",
            ));
        }
        *set = (u32::try_from(start).expect("WORDS_MAX fits"), words);
        draft.words.resize(start + words as usize, u32::MAX);
        for &category in listed {
            draft.words[start + category as usize / 32] &= !(1 << (category % 32));
        }
        Ok(())
    }
}
