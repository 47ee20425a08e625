//! What has been learnt, bound to a catalog: offers by their places in it, columns by where its requests
//! have them.

use std::sync::Arc;

use super::Learnt;
use super::layers::{Layers, Terms};
use crate::decide::posterior::{self, PRIOR, Posterior};
use crate::decide::snapshot::Catalog;
use crate::model::online::layers::Prior;

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
    let new = Terms::new(width, Prior::OFFER).0;
    let terms = catalog.offers.iter().map(|offer| {
        let own = from.offers.get(&offer.hash.0);
        own.map_or_else(|| Arc::clone(&new), |own| Arc::clone(&own.0))
    });
    posterior::Layers {
        label: from.label.as_str().into(),
        platt: from.platt.clone(),
        everybody: Arc::clone(&from.everybody.0),
        classes: from.classes.iter().map(|c| Arc::clone(&c.0)).collect(),
        offers: terms.collect(),
    }
}
