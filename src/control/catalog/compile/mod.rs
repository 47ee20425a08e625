//! A catalog as written → a catalog as decisions read it.
//!
//! Here entries are held against each other: every id that is named must be there, and an offer that
//! could never be shown is a mistake, because nobody writes an offer in order not to show it.

mod learning;
mod names;
mod offer;
mod reach;
mod text;
mod when;

use std::collections::HashMap;

use super::file::{File, NO_FLOOR, PlacementEntry};
use super::mistake::{Notes, Placed};
use crate::decide::explore::Policy;
use crate::decide::gate::Gates;
use crate::decide::inputs::Vocabulary;
use crate::decide::learning::Learning;
use crate::decide::snapshot::{Catalog, Placement, Set};
use crate::domain::{NameHash, OfferClass, OfferIx, PlacementIx};
use names::Names;

/// Compiles `file`, which was read from `source`.
///
/// A catalog comes back even where there are mistakes, so that all of them are found; it must not
/// be used unless `notes` is empty.
pub(super) fn compile(file: File<'_>, source: &str, notes: &Notes) -> Catalog {
    let File {
        settings,
        placements,
        offers,
    } = file;
    let names = Names::new(settings.features, settings.triggers, settings.groups, notes);
    let mut catalog = Catalog {
        digest: digest(source),
        source: source.into(),
        currency: settings.operator.currency,
        time_zone: settings.operator.time_zone,
        default_locale: settings.operator.default_locale,
        consent: settings.consent,
        care: settings.care,
        selling_caps: settings.selling_caps,
        exploring: settings.exploring,
        learning: Learning::default(),
        vocabulary: Vocabulary::default(),
        triggers: names.triggers.clone(),
        placements: Vec::new(),
        placement_index: HashMap::new(),
        offers: Vec::new(),
        gates: Gates::default(),
        offer_index: HashMap::new(),
        cap_window_ms: 0,
    };
    let classes = placements.iter().map(classes).collect::<Vec<_>>();
    add_placements(&mut catalog, placements, settings.explorer, notes);
    offer::add_all(&mut catalog, offers, &names, &classes, notes);
    catalog.learning = learning::compile(
        settings.learning,
        &names,
        catalog.placements.len(),
        &mut catalog.vocabulary,
        notes,
    );
    catalog.cap_window_ms = catalog.cap_window_ms_max();
    catalog.gates = Gates::of(&catalog.offers, &catalog.default_locale);
    catalog
}

/// SHA-256, hexadecimal.
fn digest(source: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, source.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn add_placements(
    catalog: &mut Catalog,
    entries: Vec<PlacementEntry>,
    explorer: Policy,
    notes: &Notes,
) {
    let mut ids = Ids::default();
    for (i, entry) in entries.into_iter().enumerate() {
        let hash = ids.add(&entry.id, "placement", notes);
        let ix = PlacementIx(u16::try_from(i).expect("PLACEMENTS_MAX fits"));
        let own = entry.explorer;
        if !catalog.exploring.is_empty() && own.is_some_and(|own| own.explores_without_floor()) {
            notes.add(&entry.id.place, NO_FLOOR);
        }
        let explorer = own.unwrap_or(explorer);
        catalog.placement_index.insert(entry.id.value.clone(), ix);
        catalog.placements.push(Placement {
            id: entry.id.value,
            hash,
            phases: set(entry.phases.as_deref(), |phase| phase as u8),
            channels: set(entry.channels.as_deref(), |channel| channel as u8),
            count_max: entry.count_max,
            explorer,
            policy: explorer.to_string().into(),
            offers: Vec::<OfferIx>::new(),
        });
    }
}

/// The classes that a placement takes.
fn classes(entry: &PlacementEntry) -> Vec<OfferClass> {
    match &entry.classes {
        Some(classes) => classes.iter().map(|class| class.value).collect(),
        None => OfferClass::ALL.to_vec(),
    }
}

/// Words as a set; `None` is every word.
fn set<W: Copy>(words: Option<&[Placed<W>]>, index: impl Fn(W) -> u8) -> Set {
    words.map_or(Set::ALL, |words| {
        words
            .iter()
            .fold(Set::default(), |set, word| set.with(index(word.value)))
    })
}

/// Ids seen so far, by hash: a second of the same name, or of the same hash, is a mistake.
#[derive(Default)]
struct Ids(HashMap<NameHash, Box<str>>);

impl Ids {
    fn add(&mut self, id: &Placed<Box<str>>, what: &str, notes: &Notes) -> NameHash {
        let hash = NameHash::of(&id.value);
        if let Some(other) = self.0.insert(hash, id.value.clone()) {
            let message = if other == id.value {
                format!("expected each {what} id once, found {:?} again", id.value)
            } else {
                format!("expected an id whose hash differs from {what} {other:?}'s; choose another")
            };
            notes.add(&id.place, message);
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::catalog::mistake::Place;

    #[test]
    fn ids_that_collide_are_told_apart_from_ids_that_repeat() {
        let id = |value: &str| Placed {
            value: value.into(),
            place: Place::default(),
        };
        let mut ids = Ids::default();
        let notes = Notes::default();
        let hash = ids.add(&id("a"), "offer", &notes);
        ids.0.insert(hash, "b".into());
        ids.add(&id("a"), "offer", &notes);
        ids.add(&id("a"), "offer", &notes);
        let told = notes
            .into_mistakes("")
            .expect_err("two mistakes")
            .to_string();
        assert!(told.contains("hash differs from offer \"b\""), "{told}");
        assert!(told.contains("found \"a\" again"), "{told}");
    }
}
