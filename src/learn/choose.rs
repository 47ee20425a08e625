//! Which features to train on, where nobody says.
//!
//! What the catalog declares about customers and offers, where the visit stands, what the page has seen,
//! where the offer is read. Not by itself: the hour, the weekday and the locale, which a few days of log
//! confuse with the customers of those days; signs of hardship, which decide about care and nothing else;
//! an offer's id, which teaches nothing about the next offer; and what an offer is worth to the operator,
//! which the customer does not see and the decision multiplies with anyway.

use crate::decide::inputs::{Attribute, Values, Vocabulary, canonical};
use crate::decide::snapshot::{Catalog, OfferFeature};
use crate::domain::{Channel, OfferClass, Phase, Tier};
use crate::model::{Feature, Kind, Missing, Source};

/// Names of the request that are always looked at.
const REQUEST: [&str; 9] = [
    "phase",
    "job_type",
    "eta_seconds",
    "delay_seconds",
    "reschedules",
    "slack_minutes",
    "placement",
    "device",
    "channel",
];

/// A name that cannot be an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is a list, which is no model input")]
pub struct NoInput {
    name: String,
}

/// The features that `catalog` offers. `declared` are its customers' features; `more` are names to add
/// and `without` names to leave out. A category with an empty list is to be gathered from the data.
///
/// # Errors
/// If a name that was asked for cannot be an input.
pub fn features(
    catalog: &Catalog,
    declared: Vec<Feature>,
    more: &[String],
    without: &[String],
) -> Result<Vec<Feature>, NoInput> {
    let mut features = declared;
    let triggers = catalog.triggers.iter().map(|name| format!("{name}.count"));
    let offers = offer_names(catalog);
    let names = (REQUEST.iter().map(|name| (*name).to_owned()))
        .chain(triggers)
        .chain(offers)
        .chain(more.iter().map(|name| canonical(name).to_owned()));
    for name in names {
        if features.iter().all(|feature| feature.name != name) {
            features.push(feature(catalog, name)?);
        }
    }
    features.retain(|feature| without.iter().all(|name| canonical(name) != feature.name));
    Ok(features)
}

/// A feature of that name as its source has it.
///
/// # Errors
/// If it is a list.
pub fn feature(catalog: &Catalog, name: String) -> Result<Feature, NoInput> {
    let (source, kind) = match name.strip_prefix("offer.") {
        Some(own) => (Source::Offer, offer_kind(catalog, own)),
        None => request_kind(catalog, &name)?,
    };
    Ok(Feature {
        name,
        kind,
        source,
        missing: Missing::Nan,
    })
}

fn request_kind(catalog: &Catalog, name: &str) -> Result<(Source, Kind), NoInput> {
    let mut vocabulary = Vocabulary::default();
    let key = vocabulary.key(name);
    let attribute: &Attribute = vocabulary.attribute(key);
    let (source, values) = attribute.described();
    let kind = match (values, name) {
        (Values::Lists, _) => return Err(NoInput { name: name.into() }),
        (Values::Numbers, _) => Kind::Number,
        (Values::Words, "phase") => words(Phase::WORDS),
        (Values::Words, "channel") => words(Channel::WORDS),
        (Values::Words, "placement") => Kind::Category(
            catalog
                .placements
                .iter()
                .map(|p| p.id.to_string())
                .collect(),
        ),
        // A customer's feature that the catalog does not declare, and words that anybody may choose.
        (Values::Words | Values::Any, _) => Kind::Category(Vec::new()),
    };
    Ok((source, kind))
}

/// Every name that an offer declares, then those that every offer has and customers see.
fn offer_names(catalog: &Catalog) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let declared = catalog.offers.iter().flat_map(|offer| &offer.features);
    let declared = declared.map(|(name, _)| &**name);
    for name in declared.chain(["class", "price_minor"]) {
        let name = format!("offer.{name}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    // The same price in two units is one feature.
    if names.iter().any(|name| name == "offer.price") {
        names.retain(|name| name != "offer.price_minor");
    }
    names
}

fn offer_kind(catalog: &Catalog, name: &str) -> Kind {
    let mut texts: Vec<String> = Vec::new();
    let mut declared = false;
    for offer in &catalog.offers {
        for (_, value) in offer.features.iter().filter(|(n, _)| **n == *name) {
            declared = true;
            if let OfferFeature::Text(text) = value
                && !texts.iter().any(|t| **t == **text)
            {
                texts.push(text.to_string());
            }
        }
    }
    match name {
        _ if !texts.is_empty() => Kind::Category(texts),
        _ if declared => Kind::Number,
        "class" => words(OfferClass::WORDS),
        "tier" => words(Tier::WORDS),
        "id" => Kind::Category(catalog.offers.iter().map(|o| o.id.to_string()).collect()),
        _ => Kind::Number,
    }
}

fn words(words: &[&str]) -> Kind {
    Kind::Category(words.iter().map(|word| (*word).into()).collect())
}
