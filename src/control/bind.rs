//! A model's inputs, bound once to where a request and a catalog keep them.
//!
//! After this no name is looked up on the data path: request inputs are vocabulary keys, offer
//! inputs are numbers in a table, one row per offer. What cannot mean anything (a number taken from the
//! phase, an offer feature no offer has) is refused here, with the model that serves untouched.

use std::sync::Arc;

use crate::decide::inputs::{Attribute, Fixed, Input, InputKind, InputSource, Values, Vocabulary};
use crate::decide::offer_inputs;
use crate::decide::snapshot::{Catalog, LiveModel, Offer, OfferFeature};
use crate::decide::words::Words;
use crate::model::{Feature, Kind, Model, Scorer, Source};

/// Why a model does not fit a catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("features, {feature}: {problem}")]
pub struct BindError {
    /// The manifest's feature.
    pub feature: String,
    /// What does not fit.
    pub problem: String,
}

/// Binds a model to a catalog.
///
/// The catalog may be serving already, so its vocabulary is copied: the copy learns the names that only
/// the model looks at, and every key of the catalog means the same in it.
///
/// # Errors
/// Names the first feature that has no place in a request or in the catalog's offers.
pub fn bind(model: &Model, catalog: &Catalog) -> Result<LiveModel, BindError> {
    let features = &model.manifest.features;
    let mut vocabulary = catalog.vocabulary.clone();
    let inputs = (features.iter())
        .map(|feature| input(feature, &mut vocabulary))
        .collect::<Result<Vec<_>, _>>()?;
    let own_inputs = (0_u16..)
        .zip(&inputs)
        .filter(|(_, input)| input.source == InputSource::Offer)
        .map(|(position, _)| position)
        .collect::<Vec<_>>();
    let placement_inputs = (0_u16..)
        .zip(&inputs)
        .filter(|(_, input)| match input.source {
            InputSource::Request(key) => {
                *vocabulary.attribute(key) == Attribute::Fixed(Fixed::Placement)
            }
            InputSource::Offer => false,
        })
        .map(|(position, _)| position)
        .collect::<Vec<_>>();
    let columns = (own_inputs.iter())
        .map(|&position| column(&inputs[usize::from(position)], &catalog.offers))
        .collect::<Result<Vec<_>, _>>()?;
    let own = (0..catalog.offers.len())
        .flat_map(|offer| columns.iter().map(move |column| column[offer]))
        .collect();
    Ok(LiveModel {
        name: model.manifest.name.as_str().into(),
        version: model.manifest.version.as_str().into(),
        label: model.manifest.label().into(),
        scorer: Some(Arc::clone(&model.scorer) as _),
        features: vocabulary.features(),
        vocabulary,
        inputs,
        placement_inputs,
        offers: model.scorer.roster(own_inputs, own),
    })
}

fn input(feature: &Feature, vocabulary: &mut Vocabulary) -> Result<Input, BindError> {
    let source = if feature.source == Source::Offer {
        InputSource::Offer
    } else {
        let key = vocabulary.key(&feature.name);
        check_request(feature, vocabulary.attribute(key))?;
        InputSource::Request(key)
    };
    Ok(Input {
        name: feature.name.as_str().into(),
        source,
        kind: match &feature.kind {
            Kind::Number => InputKind::Number,
            Kind::Category(categories) => {
                InputKind::Category(Words::new(categories.iter().map(String::as_str)))
            }
        },
        missing: feature.missing.value(),
    })
}

/// Refuses a feature that says something else about its source or kind than is so.
fn check_request(feature: &Feature, attribute: &Attribute) -> Result<(), BindError> {
    let (source, values) = attribute.described();
    if feature.source != source {
        let problem = format!(
            "source is {}, but it comes from the {source}",
            feature.source
        );
        return Err(refused(feature, problem));
    }
    match (&feature.kind, values) {
        (_, Values::Lists) => Err(refused(feature, "is a list, which is no model input")),
        (Kind::Number, Values::Words) => {
            Err(refused(feature, "kind is number, but its values are words"))
        }
        (Kind::Category(_), Values::Numbers) => Err(refused(
            feature,
            "kind is category, but its values are numbers",
        )),
        _ => Ok(()),
    }
}

fn refused(feature: &Feature, problem: impl Into<String>) -> BindError {
    BindError {
        feature: feature.name.clone(),
        problem: problem.into(),
    }
}

/// One offer input's value for every offer.
fn column(input: &Input, offers: &[Offer]) -> Result<Vec<f64>, BindError> {
    let name = input.name.strip_prefix("offer.").unwrap_or(&input.name);
    let declared = offer_inputs::declared_by_any(offers, name);
    if !declared && !offer_inputs::BUILT_IN.contains(&name) && !offers.is_empty() {
        return Err(BindError {
            feature: input.name.to_string(),
            problem: format!(
                "no offer has it among its features, and it is not one of offer.{}",
                offer_inputs::BUILT_IN.join(", offer.")
            ),
        });
    }
    (offers.iter())
        .map(|offer| own_value(input, offer, offer_inputs::value(offers, offer, name)))
        .collect()
}

/// The model's input for an offer's value; an unheard-of category is missing, a wrong kind an error.
fn own_value(input: &Input, offer: &Offer, value: Option<OfferFeature>) -> Result<f64, BindError> {
    match (&input.kind, value) {
        (_, None) => Ok(input.missing),
        (InputKind::Number, Some(OfferFeature::Number(number))) => Ok(number),
        (InputKind::Number, Some(OfferFeature::Flag(flag))) => Ok(f64::from(u8::from(flag))),
        (InputKind::Category(words), Some(OfferFeature::Text(text))) => {
            Ok(words.place(&text).map_or(input.missing, f64::from))
        }
        (kind, Some(value)) => Err(BindError {
            feature: input.name.to_string(),
            problem: format!(
                "offer {} has {}, but kind is {}",
                offer.id,
                match value {
                    OfferFeature::Number(number) => format!("the number {number}"),
                    OfferFeature::Text(text) => format!("the text `{text}`"),
                    OfferFeature::Flag(flag) => format!("the flag {flag}"),
                },
                match kind {
                    InputKind::Number => "number",
                    InputKind::Category(_) => "category",
                }
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::snapshot::{CarePolicy, Set};
    use crate::domain::{Consent, Currency, Money, NameHash, OfferClass, Tier};
    use crate::model::load_unproven;
    use serde_json::{Value, json};

    fn offer(id: &str, class: OfferClass, features: &[(&str, OfferFeature)]) -> Offer {
        let features = features.iter().map(|(n, v)| ((*n).into(), v.clone()));
        Offer {
            id: id.into(),
            hash: NameHash::of(id),
            name: id.into(),
            class,
            tier: Tier::Auction,
            value_minor: 450,
            price: Some(Money {
                amount_minor: 999,
                currency: Currency::new("USD").unwrap(),
            }),
            lever: 1.0,
            prior: 0.01,
            phases: Set::ALL,
            triggers: Vec::new(),
            when: None,
            personal: false,
            flight: (None, None),
            daypart: None,
            caps: Vec::new(),
            requires: None,
            valid_while: None,
            owned: Vec::new(),
            labels: 0,
            features: features.collect(),
            creatives: Vec::new(),
        }
    }

    fn catalog() -> Catalog {
        let complexity = |x| ("complexity", OfferFeature::Number(x));
        Catalog {
            digest: String::new(),
            source: "".into(),
            currency: Currency::new("USD").unwrap(),
            time_zone: jiff::tz::TimeZone::UTC,
            default_locale: "en".into(),
            consent: Consent {
                personalization: true,
                marketing: true,
                measurement: true,
            },
            care: CarePolicy {
                open_issue: true,
                payment_hardship: true,
                rating_max: None,
                delay_seconds_min: None,
                reschedules_min: None,
            },
            selling_caps: Vec::new(),
            exploring: crate::decide::budget::Budgets::default(),
            learning: crate::decide::learning::Learning::default(),
            vocabulary: Vocabulary::default(),
            triggers: Vec::new(),
            placements: Vec::new(),
            placement_index: Default::default(),
            offers: vec![
                offer(
                    "tips",
                    OfferClass::Content,
                    &[("bundle", OfferFeature::Flag(true))],
                ),
                offer("sports", OfferClass::Upsell, &[complexity(0.25)]),
            ],
            gates: Default::default(),
            offer_index: Default::default(),
            cap_window_ms: 0,
        }
    }

    /// A linear model with these features and zero weights.
    fn model(features: Value) -> Model {
        let weights: Vec<Value> = (features.as_array().unwrap().iter())
            .map(|f| {
                f["categories"]
                    .as_array()
                    .map_or(json!(0), |c| json!(vec![0; c.len()]))
            })
            .collect();
        let manifest = json!({
            "name": "propensity", "version": "1", "format": "linear", "target": "conversion",
            "features": features,
        });
        let artifact = json!({ "intercept": 0, "coefficients": weights });
        load_unproven(&manifest.to_string(), artifact.to_string().as_bytes()).unwrap()
    }

    fn number(name: &str, source: &str) -> Value {
        json!({ "name": name, "kind": "number", "source": source, "missing": -1.0 })
    }

    fn category(name: &str, source: &str, categories: &[&str]) -> Value {
        json!({ "name": name, "kind": "category", "source": source, "categories": categories })
    }

    #[test]
    fn inputs_find_their_place() {
        let mut catalog = catalog();
        let before = catalog.vocabulary.key("tenure");
        let live = bind(
            &model(json!([
                category("offer.class", "offer", &["upsell", "care"]),
                number("tenure", "customer"),
                number("offer.complexity", "offer"),
                category("phase", "appointment", &["scheduled", "day_of"]),
                number("map_viewed.count", "trigger"),
                number("offer.price_minor", "offer"),
                number("offer.bundle", "offer"),
            ])),
            &catalog,
        )
        .unwrap();
        assert_eq!(&*live.label, "propensity@1");
        assert_eq!(live.inputs[1].source, InputSource::Request(before));
        let InputSource::Request(count) = live.inputs[4].source else {
            panic!("{:?}", live.inputs[4]);
        };
        let trigger = Attribute::TriggerCount("map_viewed".into());
        assert_eq!(*live.vocabulary.attribute(count), trigger);
        assert_eq!(live.offers.own_inputs(), [0, 2, 5, 6]);
        let (tips, sports) = live.offers.own().split_at(4);
        assert!(
            tips[0].is_nan(),
            "content is not among the categories: missing"
        );
        assert_eq!(tips[1..], [-1.0, 999.0, 1.0]);
        assert_eq!(sports, [0.0, 0.25, 999.0, -1.0]);
    }

    #[track_caller]
    fn check_refused(feature: Value, problem: &str) {
        let name = feature["name"].as_str().unwrap().to_owned();
        let error = bind(&model(json!([feature])), &catalog()).err().unwrap();
        assert_eq!(error.feature, name);
        assert!(error.problem.contains(problem), "{error}");
    }

    #[test]
    fn what_cannot_mean_anything_is_refused() {
        check_refused(number("phase", "appointment"), "values are words");
        check_refused(
            category("eta_seconds", "appointment", &["1"]),
            "values are numbers",
        );
        check_refused(number("segments", "customer"), "a list");
        check_refused(
            number("eta_seconds", "context"),
            "comes from the appointment",
        );
        check_refused(number("tenure", "trigger"), "comes from the customer");
        check_refused(number("offer.margarine", "offer"), "no offer has it");
        check_refused(
            number("offer.class", "offer"),
            "offer tips has the text `content`",
        );
        check_refused(
            category("offer.bundle", "offer", &["a"]),
            "offer tips has the flag true",
        );
    }

    #[test]
    fn a_declared_feature_hides_the_built_in_one_for_every_offer() {
        let mut catalog = catalog();
        catalog.offers[1]
            .features
            .push(("value".into(), OfferFeature::Number(9.99)));
        let live = bind(&model(json!([number("offer.value", "offer")])), &catalog).unwrap();
        assert_eq!(live.offers.own(), [-1.0, 9.99]);
    }
}
