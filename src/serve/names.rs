//! From the hashes in a token back to names.
//!
//! A token outlives catalogs and models. The names of everything that decided since the start are
//! kept; an event on something older carries the hash instead, and its decision id still finds the
//! record that has the name.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::token::hash32;
use crate::decide::snapshot::Snapshot;
use crate::domain::NameHash;

/// Every name that decided since the start.
#[derive(Debug, Default)]
pub struct Names {
    book: RwLock<Book>,
    /// The newest snapshot whose names are in the book.
    epoch: AtomicU64,
}

/// The names, readable.
#[derive(Debug)]
pub struct NamesRead<'a>(RwLockReadGuard<'a, Book>);

#[derive(Debug, Default)]
struct Book {
    offers: HashMap<NameHash, Box<str>>,
    placements: HashMap<u32, Box<str>>,
    models: HashMap<u32, Box<str>>,
}

impl Names {
    /// Notes the names of a snapshot that decides: with the first decision of each, so that its events
    /// find them however soon the next catalog comes. Later ones cost one atomic load.
    pub fn learn(&self, snapshot: &Snapshot) {
        if self.epoch.load(Ordering::Acquire) >= snapshot.epoch {
            return;
        }
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        book.learn(snapshot);
        self.epoch.fetch_max(snapshot.epoch, Ordering::Release);
    }

    /// The names.
    pub fn read(&self) -> NamesRead<'_> {
        NamesRead(self.book.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Book {
    fn learn(&mut self, snapshot: &Snapshot) {
        // Most names of a new catalog are those of the old one: only new ones are copied.
        for offer in &snapshot.catalog.offers {
            let name = self.offers.entry(offer.hash);
            name.or_insert_with(|| offer.id.clone());
        }
        for placement in &snapshot.catalog.placements {
            let name = self.placements.entry(hash32(&placement.id));
            name.or_insert_with(|| placement.id.clone());
        }
        let canary = snapshot.canary.as_ref().map(|c| &c.model);
        for model in canary.into_iter().chain([&snapshot.model]) {
            let name = self.models.entry(hash32(&model.label));
            name.or_insert_with(|| model.label.clone());
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
