//! Whether an offer can be shown at all: some placement, phase and channel must be left for it.

use crate::control::catalog::file::OfferEntry;
use crate::control::catalog::mistake::{Notes, Placed, did_you_mean};
use crate::decide::snapshot::{Catalog, Offer, Set};
use crate::domain::{OfferClass, Phase};

/// The placements that an offer competes in, by index, noting what keeps it from being shown.
pub(super) fn placements(
    catalog: &Catalog,
    entry: &OfferEntry<'_>,
    offer: &Offer,
    classes: &[Vec<OfferClass>],
    notes: &Notes,
) -> Vec<usize> {
    let takes = |i: &usize| classes[*i].contains(&offer.class);
    let chosen: Vec<usize> = match &entry.placements {
        None => (0..catalog.placements.len()).filter(takes).collect(),
        Some(ids) => ids
            .iter()
            .filter_map(|id| named(catalog, id, notes).map(|i| (id, i)))
            .filter(|(id, i)| takes(i) || refuse(id, offer.class, notes))
            .map(|(_, i)| i)
            .collect(),
    };
    check_reach(catalog, entry, offer, &chosen, notes);
    chosen
}

/// Notes that a placement does not take the class; always false.
fn refuse(id: &Placed<Box<str>>, class: OfferClass, notes: &Notes) -> bool {
    let id_text = &id.value;
    let message = format!("expected a placement that takes class {class}; {id_text:?} does not");
    notes.add(&id.place, message);
    false
}

fn named(catalog: &Catalog, id: &Placed<Box<str>>, notes: &Notes) -> Option<usize> {
    if let Some((ix, _)) = catalog.placement(&id.value) {
        return Some(usize::from(ix.0));
    }
    let known = catalog.placements.iter().map(|p| &*p.id);
    let near = did_you_mean(&id.value, known);
    let message = format!(
        "expected the id of a [[placement]], found {:?}{near}",
        id.value
    );
    notes.add(&id.place, message);
    None
}

fn check_reach(
    catalog: &Catalog,
    entry: &OfferEntry<'_>,
    offer: &Offer,
    chosen: &[usize],
    notes: &Notes,
) {
    let chosen = || chosen.iter().map(|&i| &catalog.placements[i]);
    if chosen().next().is_none() {
        // Named ones that are unknown or do not take it were told one by one.
        if entry.placements.is_none() {
            let message = format!(
                "expected a placement that takes class {}; there is none",
                offer.class
            );
            notes.add(&entry.class.place, message);
        }
        return;
    }
    let never = "so the offer can never be shown";
    if !chosen().any(|p| overlap(p.phases, while_valid(offer))) {
        let message =
            format!("expected a phase that one of its placements shows; they share none, {never}");
        notes.add(&entry.place, message);
    }
    let channels = offer
        .creatives
        .iter()
        .fold(Set::default(), |all, c| Set(all.0 | c.channels.0));
    if !offer.creatives.is_empty() && !chosen().any(|p| overlap(p.channels, channels)) {
        let message = format!(
            "expected a creative for a channel of one of its placements; found none, {never}"
        );
        notes.add(&entry.place, message);
    }
    check_price_holds(entry, offer, notes);
}

/// A phase after the one its price holds in is a contradiction.
fn check_price_holds(entry: &OfferEntry<'_>, offer: &Offer, notes: &Notes) {
    let (Some(last), Some(phases)) = (offer.valid_while, &entry.phases) else {
        return;
    };
    for phase in phases.iter().filter(|phase| phase.value > last) {
        let message = format!(
            "expected phases up to {last}, in which its price last holds (`valid_while`); found {}",
            phase.value
        );
        notes.add(&phase.place, message);
    }
}

/// The offer's phases up to the one its price last holds in.
fn while_valid(offer: &Offer) -> Set {
    let phases = Phase::ALL.iter().filter(|&&phase| {
        offer.phases.has_phase(phase) && offer.valid_while.is_none_or(|last| phase <= last)
    });
    phases.fold(Set::default(), |set, &phase| set.with(phase as u8))
}

fn overlap(a: Set, b: Set) -> bool {
    a.0 & b.0 & ALL_PHASES_AND_CHANNELS != 0
}

/// `Set::ALL` has bits that no word stands for.
const ALL_PHASES_AND_CHANNELS: u16 = (1 << Phase::ALL.len()) - 1;
