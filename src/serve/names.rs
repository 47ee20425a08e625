//! From the hashes in a token back to names.
//!
//! A token outlives catalogs and models. The names of everything that served since the start are
//! kept; an event on something older carries the hash instead, and its decision id still finds the
//! record that has the name.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::token::hash32;
use crate::decide::snapshot::Snapshot;
use crate::domain::NameHash;

/// Every name that served since the start.
#[derive(Debug, Default)]
pub struct Names(RwLock<Book>);

/// The names, readable.
#[derive(Debug)]
pub struct NamesRead<'a>(RwLockReadGuard<'a, Book>);

#[derive(Debug, Default)]
struct Book {
    /// The newest snapshot whose names are in.
    epoch: u64,
    offers: HashMap<NameHash, Box<str>>,
    placements: HashMap<u32, Box<str>>,
    models: HashMap<u32, Box<str>>,
}

impl Names {
    /// The names, those of this snapshot among them.
    pub fn of(&self, snapshot: &Snapshot) -> NamesRead<'_> {
        let book = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if book.epoch >= snapshot.epoch {
            return NamesRead(book);
        }
        drop(book);
        let mut book = self.0.write().unwrap_or_else(PoisonError::into_inner);
        book.learn(snapshot);
        drop(book);
        NamesRead(self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Book {
    fn learn(&mut self, snapshot: &Snapshot) {
        self.epoch = self.epoch.max(snapshot.epoch);
        for offer in &snapshot.catalog.offers {
            self.offers.insert(offer.hash, offer.id.clone());
        }
        for placement in &snapshot.catalog.placements {
            self.placements
                .insert(hash32(&placement.id), placement.id.clone());
        }
        let canary = snapshot.canary.as_ref().map(|c| &c.model);
        for model in canary.into_iter().chain([&snapshot.model]) {
            self.models
                .insert(hash32(&model.label), model.label.clone());
        }
    }
}

impl NamesRead<'_> {
    /// The offer's id.
    pub fn offer(&self, hash: NameHash) -> String {
        let known = self.0.offers.get(&hash);
        known.map_or_else(|| format!("#{:016x}", hash.0), |name| name.to_string())
    }

    /// The placement's id.
    pub fn placement(&self, hash: u32) -> String {
        named(&self.0.placements, hash)
    }

    /// The model's `name@version`.
    pub fn model(&self, hash: u32) -> String {
        named(&self.0.models, hash)
    }
}

fn named(names: &HashMap<u32, Box<str>>, hash: u32) -> String {
    names
        .get(&hash)
        .map_or_else(|| format!("#{hash:08x}"), |name| name.to_string())
}
