//! What keeps an offer from competing, 32 bytes for each: most offers of a large catalog are not for now,
//! and finding that out must not fetch each of them, its words and its rules from memory.
//!
//! Rules that say the same are one rule here, and asked once for each placement: marketers write a hundred
//! offers for the same three segments. What a row cannot tell (hours, triggers, products, the words of a
//! foreign language) it says of itself, and the offer is asked.

use std::collections::HashMap;

use super::eligibility::same_language;
use super::snapshot::{Offer, Set};
use crate::domain::{Channel, Exclusion, Millis, OfferIx, Phase};

/// One row for each offer of a catalog, in its order.
#[derive(Debug, Default)]
pub struct Gates {
    pub(super) rows: Vec<Gate>,
    /// The first offer that has each rule.
    pub(super) rules: Vec<OfferIx>,
}

/// What there is to know about one offer before it competes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    /// When it runs: from, until (exclusive).
    flight: (Millis, Millis),
    /// Phases in which its price does not hold any more.
    ended: Set,
    /// Phases it may be shown in.
    phases: Set,
    /// Channels on which it has words for everybody.
    pub words: Set,
    /// Channels on which it has words for some.
    pub foreign: Set,
    /// Which rule it is for.
    rule: u32,
    /// What the offer itself must be asked.
    pub more: More,
}

/// What only the offer can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct More {
    /// It runs at certain hours.
    pub hours: bool,
    /// It waits for triggers.
    pub triggers: bool,
    /// Its rule looks at what personalization withholds.
    pub personal: bool,
    /// Some products make it pointless.
    pub owned: bool,
}

impl More {
    const NOTHING: More = More {
        hours: false,
        triggers: false,
        personal: false,
        owned: false,
    };
}

const _: () = assert!(size_of::<Gate>() == 32);

/// No rule: it is for everybody.
const EVERYBODY: u32 = u32::MAX;

impl Gates {
    /// The gates of a catalog's offers.
    #[must_use]
    pub fn of(offers: &[Offer], default_locale: &str) -> Gates {
        let mut gates = Gates::default();
        let mut known = HashMap::new();
        for (offer, ix) in offers.iter().zip((0..).map(OfferIx)) {
            let rule = offer.when.as_ref().map_or(EVERYBODY, |when| {
                *known.entry(when.source()).or_insert_with(|| {
                    gates.rules.push(ix);
                    u32::try_from(gates.rules.len() - 1).expect("offers are indexed by u32")
                })
            });
            gates.rows.push(Gate::of(offer, rule, default_locale));
        }
        gates
    }
}

impl Gate {
    fn of(offer: &Offer, rule: u32, default_locale: &str) -> Gate {
        let ended = |last: Phase| {
            let after = Phase::ALL.iter().filter(|phase| **phase > last);
            after.fold(Set::default(), |set, phase| set.with(*phase as u8))
        };
        let (mut words, mut foreign) = (Set::default(), Set::default());
        for creative in &offer.creatives {
            let for_all = creative.locale.as_deref();
            match for_all.is_none_or(|tag| same_language(tag, default_locale)) {
                true => words.0 |= creative.channels.0,
                false => foreign.0 |= creative.channels.0,
            }
        }
        Gate {
            flight: (
                offer.flight.0.unwrap_or(Millis(i64::MIN)),
                offer.flight.1.unwrap_or(Millis(i64::MAX)),
            ),
            ended: offer.valid_while.map_or(Set::default(), ended),
            phases: offer.phases,
            words,
            foreign,
            rule,
            more: More {
                hours: offer.daypart.is_some(),
                triggers: !offer.triggers.is_empty(),
                personal: offer.personal,
                owned: !offer.owned.is_empty(),
            },
        }
    }

    /// Whether it is for this phase and runs.
    #[inline]
    pub(super) fn is_for_now(&self, phase: Phase, now: Millis) -> bool {
        let (from, until) = self.flight;
        Set(self.phases.0 & !self.ended.0).has_phase(phase) && (from <= now && now < until)
    }

    /// Whether nothing else could keep it from competing on this channel.
    #[inline]
    pub(super) fn is_open(&self, channel: Channel) -> bool {
        self.rule == EVERYBODY && self.more == More::NOTHING && self.words.has_channel(channel)
    }

    /// Why it is not for now.
    pub(super) fn early_objection(&self, phase: Phase, now: Millis) -> Exclusion {
        if self.ended.has_phase(phase) {
            Exclusion::Ended
        } else if !self.phases.has_phase(phase) {
            Exclusion::PhaseMismatch
        } else if now < self.flight.0 {
            Exclusion::NotStarted
        } else {
            Exclusion::Ended
        }
    }

    /// Its rule, an index into [`Gates::rules`]; `None` where it is for everybody.
    pub(super) fn rule(&self) -> Option<usize> {
        (self.rule != EVERYBODY).then_some(self.rule as usize)
    }
}
