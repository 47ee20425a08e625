//! What has been learnt, bound to a catalog: offers by their places in it, columns by where its requests
//! have them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Learnt;
use super::layers::{Layers, Terms};
use crate::decide::posterior::{self, PRIOR, Posterior};
use crate::decide::snapshot::Catalog;
use crate::model::online::BayesLogistic;

/// The posterior of a catalog, for the models of these labels and the offers' priors.
#[must_use]
pub fn bind(learnt: &Learnt, catalog: &Catalog, labels: &[&str]) -> Posterior {
    let mut all: Vec<&str> = labels.to_vec();
    all.push(PRIOR);
    all.dedup();
    let layers = all.into_iter().map(|label| {
        let width = learnt.space.width();
        match learnt.models.find(label) {
            Some(known) => layers(known, catalog),
            None => layers(&learnt.models.newcomer(label, width), catalog),
        }
    });
    let layers = layers.collect();
    let columns = learnt.space.columns(catalog);
    Posterior::learnt(learnt.version, posterior::Learnt { columns, layers })
}

fn layers(from: &Layers, catalog: &Catalog) -> posterior::Layers {
    // What an offer that nothing is known of begins with, made once per class.
    let mut new: HashMap<u8, Arc<BayesLogistic>> = HashMap::new();
    let terms = catalog.offers.iter().map(|offer| {
        if let Some(own) = from.offers.get(&offer.hash.0) {
            return Arc::clone(&own.0);
        }
        let class = offer.class as u8;
        let theirs = || Terms::around(from.classes[usize::from(class)].0.mean()).0;
        Arc::clone(new.entry(class).or_insert_with(theirs))
    });
    posterior::Layers {
        label: from.label.as_str().into(),
        platt: from.platt.clone(),
        terms: terms.collect(),
    }
}
