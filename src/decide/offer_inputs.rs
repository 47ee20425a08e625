//! What a model may know of an offer, by name.

use super::snapshot::{Offer, OfferFeature};

/// What every offer has without declaring it. Amounts are minor units, as the catalog has them; a price
/// in major units, as models are usually trained with, is the catalog's to declare.
pub const BUILT_IN: [&str; 6] = ["id", "class", "tier", "value", "margin", "price_minor"];

/// The value of `name` (without `offer.`) for one of the catalog's `offers`.
///
/// A name that any offer declares hides the built-in one for all: units must not mix in one input.
#[must_use]
pub fn value(offers: &[Offer], offer: &Offer, name: &str) -> Option<OfferFeature> {
    if declared_by_any(offers, name) {
        declared(offer, name).cloned()
    } else {
        built_in(offer, name)
    }
}

/// Whether any offer has it among its features.
#[must_use]
pub fn declared_by_any(offers: &[Offer], name: &str) -> bool {
    offers.iter().any(|offer| declared(offer, name).is_some())
}

fn declared<'a>(offer: &'a Offer, name: &str) -> Option<&'a OfferFeature> {
    let found = offer.features.iter().find(|(n, _)| **n == *name)?;
    Some(&found.1)
}

fn built_in(offer: &Offer, name: &str) -> Option<OfferFeature> {
    match name {
        "id" => Some(OfferFeature::Text(offer.id.clone())),
        "class" => Some(OfferFeature::Text(offer.class.as_str().into())),
        "tier" => Some(OfferFeature::Text(offer.tier.as_str().into())),
        "value" | "margin" => Some(OfferFeature::Number(offer.value_minor as f64)),
        "price_minor" => Some(OfferFeature::Number(offer.price?.amount_minor as f64)),
        _ => None,
    }
}
