//! Our own JSON for a linear model; `docs/models.md` describes it.

use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use crate::model::manifest::limits::{CATEGORIES_MAX, FEATURES_MAX};
use crate::model::{ArtifactError, Coefficient, Cross, Feature, Kind, Linear, Link};

/// Crosses of a linear model; beyond a few a forest does better.
const CROSSES_MAX: usize = 64;

/// The file as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    link: LinkWord,
    intercept: f64,
    coefficients: Bounded<Weights, FEATURES_MAX>,
    #[serde(default)]
    missing: Option<Bounded<f64, FEATURES_MAX>>,
    #[serde(default)]
    crosses: Bounded<CrossFile, CROSSES_MAX>,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LinkWord {
    #[default]
    Logistic,
    Identity,
    Exp,
}

impl From<LinkWord> for Link {
    fn from(word: LinkWord) -> Link {
        match word {
            LinkWord::Logistic => Link::Logistic,
            LinkWord::Identity => Link::Identity,
            LinkWord::Exp => Link::Exp,
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Weights {
    One(f64),
    Each(Bounded<f64, CATEGORIES_MAX>),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct CrossFile {
    features: [String; 2],
    weights: Bounded<Bounded<f64, CATEGORIES_MAX>, CATEGORIES_MAX>,
}

/// The model as a file that [`read`] gives back.
pub(in crate::model) fn write(model: &Linear, features: &[Feature]) -> Vec<u8> {
    let (weights, missing) = (model.coefficients.iter())
        .map(|coefficient| match coefficient {
            Coefficient::Number { weight, missing } => (Weights::One(*weight), *missing),
            Coefficient::Category { weights, missing } => {
                (Weights::Each(Bounded(weights.clone())), *missing)
            }
        })
        .unzip();
    let crosses = (model.crosses.iter())
        .map(|cross| CrossFile {
            features: cross.inputs.map(|i| features[usize::from(i)].name.clone()),
            weights: Bounded(
                cross
                    .weights
                    .chunks(cross.columns)
                    .map(|row| Bounded(row.to_vec()))
                    .collect(),
            ),
        })
        .collect();
    let file = File {
        link: match model.link {
            Link::Logistic => LinkWord::Logistic,
            Link::Identity => LinkWord::Identity,
            Link::Exp => LinkWord::Exp,
        },
        intercept: model.intercept,
        coefficients: Bounded(weights),
        missing: Some(Bounded(missing)),
        crosses: Bounded(crosses),
    };
    let mut text = serde_json::to_vec_pretty(&file).expect("finite numbers serialize");
    text.push(b'\n');
    text
}

/// Reads a linear model whose inputs are `features`.
pub(super) fn read(artifact: &[u8], features: &[Feature]) -> Result<Linear, ArtifactError> {
    model(
        serde_json::from_slice(artifact).map_err(|e| super::json_error(&e))?,
        features,
    )
}

/// The model that a file describes, if it fits `features`.
pub(super) fn model(file: File, features: &[Feature]) -> Result<Linear, ArtifactError> {
    let missing = missing(file.missing, features.len())?;
    if file.coefficients.0.len() != features.len() {
        return Err(ArtifactError::new(
            "coefficients",
            format!(
                "has {} entries, the manifest declares {} features",
                file.coefficients.0.len(),
                features.len()
            ),
        ));
    }
    let coefficients = (features
        .iter()
        .zip(file.coefficients.0)
        .zip(missing)
        .enumerate())
    .map(|(i, ((feature, weights), missing))| coefficient(i, feature, weights, missing))
    .collect::<Result<_, _>>()?;
    let crosses = (file.crosses.0.into_iter().enumerate())
        .map(|(i, file)| cross(i, file, features))
        .collect::<Result<_, _>>()?;
    Ok(Linear {
        link: file.link.into(),
        intercept: finite("intercept", file.intercept)?,
        coefficients,
        crosses,
        rounded: None,
    })
}

fn missing(
    given: Option<Bounded<f64, FEATURES_MAX>>,
    count: usize,
) -> Result<Vec<f64>, ArtifactError> {
    let missing = given.map_or_else(|| vec![0.0; count], |m| m.0);
    if missing.len() != count {
        let problem = format!(
            "has {} entries, the manifest declares {count} features",
            missing.len()
        );
        return Err(ArtifactError::new("missing", problem));
    }
    all_finite("missing", &missing)?;
    Ok(missing)
}

fn coefficient(
    index: usize,
    feature: &Feature,
    weights: Weights,
    missing: f64,
) -> Result<Coefficient, ArtifactError> {
    let at = format!("coefficients[{index}]");
    match (&feature.kind, weights) {
        (Kind::Number, Weights::One(weight)) => Ok(Coefficient::Number {
            weight: finite(&at, weight)?,
            missing,
        }),
        (Kind::Category(categories), Weights::Each(weights)) => {
            expect_len(&at, &feature.name, weights.0.len(), categories.len())?;
            all_finite(&at, &weights.0)?;
            Ok(Coefficient::Category {
                weights: weights.0,
                missing,
            })
        }
        (Kind::Number, Weights::Each(_)) => {
            let problem = format!("is a list, but {} is a number", feature.name);
            Err(ArtifactError::new(at, problem))
        }
        (Kind::Category(_), Weights::One(_)) => {
            let problem = format!(
                "is one weight, but {} is a category: one for each",
                feature.name
            );
            Err(ArtifactError::new(at, problem))
        }
    }
}

fn cross(index: usize, file: CrossFile, features: &[Feature]) -> Result<Cross, ArtifactError> {
    let at = format!("crosses[{index}]");
    let [(first, rows), (second, columns)] = [
        category(&format!("{at}.features[0]"), &file.features[0], features)?,
        category(&format!("{at}.features[1]"), &file.features[1], features)?,
    ];
    let at = format!("{at}.weights");
    expect_len(&at, &file.features[0], file.weights.0.len(), rows)?;
    let mut weights = Vec::new();
    for (i, row) in file.weights.0.into_iter().enumerate() {
        let at = format!("{at}[{i}]");
        expect_len(&at, &file.features[1], row.0.len(), columns)?;
        all_finite(&at, &row.0)?;
        weights.extend(row.0);
    }
    Ok(Cross {
        inputs: [first, second],
        columns,
        weights,
    })
}

/// The input of that name and how many categories it has.
fn category(at: &str, name: &str, features: &[Feature]) -> Result<(u16, usize), ArtifactError> {
    let found = features.iter().position(|f| f.name == name);
    match found.map(|i| (i, &features[i].kind)) {
        Some((i, Kind::Category(categories))) => {
            let input = u16::try_from(i).expect("FEATURES_MAX fits");
            Ok((input, categories.len()))
        }
        Some((_, Kind::Number)) => Err(ArtifactError::new(at, format!("{name} is not a category"))),
        None => {
            let problem = format!("{name} is not a feature of the manifest");
            Err(ArtifactError::new(at, problem))
        }
    }
}

fn expect_len(at: &str, name: &str, found: usize, expected: usize) -> Result<(), ArtifactError> {
    if found == expected {
        return Ok(());
    }
    let problem = format!("has {found} entries, {name} has {expected} categories");
    Err(ArtifactError::new(at, problem))
}

fn all_finite(at: &str, numbers: &[f64]) -> Result<(), ArtifactError> {
    for (i, &number) in numbers.iter().enumerate() {
        finite(&format!("{at}[{i}]"), number)?;
    }
    Ok(())
}

fn finite(at: &str, number: f64) -> Result<f64, ArtifactError> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(ArtifactError::new(
            at,
            format!("is {number}, must be finite"),
        ))
    }
}
