//! XGBoost's JSON and UBJSON models: `Booster.save_model` to a name that ends in `.json` or `.ubj`.
//!
//! Both have the same structure, so serde reads both into the same types; which of them a file is shows
//! in its second byte. XGBoost adds fields from release to release: those not named here are skipped, and
//! what would change the answers (more outputs, leaves that are vectors) shows in fields that are named.

mod scalar;
mod tree;
mod ubj;

use serde::Deserialize;

use self::scalar::Scalar;
use self::tree::Trees;
use super::bounded::Bounded;
use super::{json_error, names};
use crate::model::ensemble::{Output, TREES_MAX};
use crate::model::manifest::limits::FEATURES_MAX;
use crate::model::{ArtifactError, Coefficient, Feature, Function, Linear, Link};

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    feature_names: Bounded<String, FEATURES_MAX>,
    gradient_booster: Booster,
    learner_model_param: Param,
    objective: Objective,
}

#[derive(Deserialize)]
struct Param {
    base_score: Scalar,
    num_class: Option<Scalar>,
    num_target: Option<Scalar>,
    num_feature: Scalar,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    /// Of `gbtree` and `gblinear`.
    model: Option<Model>,
    /// Of `dart`: the trees that `weight_drop` weighs.
    gbtree: Option<Weighed>,
    weight_drop: Option<Bounded<f32, TREES_MAX>>,
}

#[derive(Deserialize)]
struct Weighed {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    trees: Option<Trees>,
    /// Of `gblinear`: one for each feature, and the bias.
    weights: Option<Bounded<f32, { FEATURES_MAX + 1 }>>,
}

/// Reads a model whose inputs are `features`.
pub(super) fn read(artifact: &[u8], features: &[Feature]) -> Result<Function, ArtifactError> {
    let learner = parse(artifact)?.learner;
    learner.learner_model_param.check()?;
    let count = learner
        .learner_model_param
        .num_feature
        .parse("num_feature")?;
    let names = Some(learner.feature_names.0.as_slice()).filter(|names| !names.is_empty());
    let inputs = names::inputs(names, count, features)?;
    let link = learner.objective.link()?;
    let base = base(&learner.learner_model_param.base_score, link)?;
    let booster = learner.gradient_booster;
    match booster.name.as_str() {
        "gblinear" => {
            let weights = booster.model.and_then(|model| model.weights);
            linear(required(weights, "weights")?.0, &inputs, link, base).map(Function::Linear)
        }
        "gbtree" | "dart" => {
            let model = booster
                .model
                .or(booster.gbtree.map(|weighed| weighed.model));
            let trees = required(model.and_then(|model| model.trees), "trees")?;
            let mut builder = trees.0?;
            builder.bind(&inputs, features.len())?;
            if let Some(weights) = booster.weight_drop {
                builder
                    .weigh(&weights.0)
                    .map_err(|e| e.within("weight_drop"))?;
            }
            let output = Output {
                base,
                divisor: 1.0,
                link,
            };
            builder.finish(output).map(Function::Forest)
        }
        other => {
            let problem = format!("is `{other}`, supported are gbtree, dart, gblinear");
            Err(ArtifactError::new("gradient_booster.name", problem))
        }
    }
}

fn parse(artifact: &[u8]) -> Result<File, ArtifactError> {
    // After a brace, UBJSON has the size of a key's size; JSON a quote or a space.
    if artifact.get(1).is_some_and(|b| b"iUIlL".contains(b)) {
        return ubj::from_slice(artifact).map_err(|e| ArtifactError::new("ubj", e.to_string()));
    }
    serde_json::from_slice(artifact).map_err(|e| json_error(&e))
}

fn required<T>(value: Option<T>, name: &str) -> Result<T, ArtifactError> {
    value.ok_or_else(|| ArtifactError::new(format!("gradient_booster.model.{name}"), "is missing"))
}

impl Param {
    /// Refuses models with more than one output.
    fn check(&self) -> Result<(), ArtifactError> {
        for (name, value) in [
            ("num_class", &self.num_class),
            ("num_target", &self.num_target),
        ] {
            let count: u32 = value.as_ref().map_or(Ok(0), |value| value.parse(name))?;
            if count > 1 {
                let problem = format!("is {count}, only models with one output are supported");
                return Err(ArtifactError::new(name, problem));
            }
        }
        Ok(())
    }
}

impl Objective {
    fn link(&self) -> Result<Link, ArtifactError> {
        match self.name.as_str() {
            "binary:logistic" | "reg:logistic" => Ok(Link::Logistic),
            "reg:squarederror"
            | "reg:linear"
            | "reg:squaredlogerror"
            | "reg:absoluteerror"
            | "reg:pseudohubererror"
            | "reg:quantileerror" => Ok(Link::Identity),
            "count:poisson" | "reg:gamma" | "reg:tweedie" => Ok(Link::Exp),
            other => {
                let problem = format!(
                    "is `{other}`, supported are binary:logistic, reg:logistic, reg:squarederror, \
                     reg:squaredlogerror, reg:absoluteerror, reg:pseudohubererror, \
                     reg:quantileerror, count:poisson, reg:gamma, reg:tweedie"
                );
                Err(ArtifactError::new("objective.name", problem))
            }
        }
    }
}

/// The raw score of no trees. The file has it as a prediction: the link is undone, on 32 bits as XGBoost
/// does it.
fn base(score: &Scalar, link: Link) -> Result<f64, ArtifactError> {
    let score: f32 = score.parse("base_score")?;
    let base = match link {
        Link::Logistic => -(1.0 / score - 1.0).ln(),
        Link::Identity => score,
        Link::Exp => score.ln(),
    };
    if base.is_finite() {
        return Ok(base.into());
    }
    let problem = format!("is {score}, which the objective never predicts");
    Err(ArtifactError::new("base_score", problem))
}

fn linear(
    weights: Vec<f32>,
    inputs: &[u32],
    link: Link,
    base: f64,
) -> Result<Linear, ArtifactError> {
    let at = |i: usize| format!("gradient_booster.model.weights[{i}]");
    if let Some(i) = weights.iter().position(|weight| !weight.is_finite()) {
        let problem = format!("is {}, must be finite", weights[i]);
        return Err(ArtifactError::new(at(i), problem));
    }
    let Some((bias, weights)) = weights
        .split_last()
        .filter(|(_, w)| w.len() == inputs.len())
    else {
        let problem = format!(
            "has {} entries, a model of {} features has one more than that",
            weights.len(),
            inputs.len()
        );
        return Err(ArtifactError::new(
            "gradient_booster.model.weights",
            problem,
        ));
    };
    let number = |weight| Coefficient::Number {
        weight,
        missing: 0.0,
    };
    let mut coefficients = vec![number(0.0); inputs.len()];
    for (&input, &weight) in inputs.iter().zip(weights) {
        coefficients[input as usize] = number(weight.into());
    }
    Ok(Linear {
        link,
        intercept: base + f64::from(*bias),
        coefficients,
        crosses: Vec::new(),
        // A manifest has at most 512 features.
        rounded: Some(inputs.iter().map(|&input| input as u16).collect()),
    })
}
