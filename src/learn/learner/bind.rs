//! What has been learnt, bound to a catalog: offers by their places in it, columns by where its requests
//! have them.

use super::Learnt;
use super::layers::Layers;
use crate::decide::posterior::{self, PRIOR, Posterior};
use crate::decide::snapshot::Catalog;

/// The posterior of a catalog, for the models of these labels and the offers' priors.
#[must_use]
pub fn bind(learnt: &Learnt, catalog: &Catalog, labels: &[&str]) -> Posterior {
    let mut all: Vec<&str> = labels.to_vec();
    all.push(PRIOR);
    all.dedup();
    let layers = all.into_iter().map(|label| {
        let width = learnt.space.width();
        match learnt.models.find(label) {
            Some(known) => layers(known, catalog, width),
            None => layers(&learnt.models.newcomer(label, width), catalog, width),
        }
    });
    let layers = layers.collect();
    let columns = learnt.space.columns(catalog);
    Posterior::learnt(learnt.version, posterior::Learnt { columns, layers })
}

fn layers(from: &Layers, catalog: &Catalog, width: usize) -> posterior::Layers {
    // What an offer that nothing is known of has, made once.
    let new = from.terms.newcomer(width);
    let terms = catalog.offers.iter().map(|offer| {
        let own = from.terms.offers.get(&offer.hash.0);
        own.unwrap_or(&new).clone()
    });
    posterior::Layers {
        label: from.label.as_str().into(),
        platt: from.terms.platt.clone(),
        classes: from.terms.classes.clone(),
        offers: terms.collect(),
    }
}
