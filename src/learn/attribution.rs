//! What became of each offer that was shown: which events are its consequences, and what that teaches.
//!
//! A showing waits for being seen, is then learnt once, a short hold later, with the label that it has by then,
//! and is corrected whenever its label changes after that: up when a sale arrives, down when it is taken back. So
//! a success is never learnt before the failures of the same minutes are, whatever is configured.
//!
//! The clock is the journal's own (the time at which records were written), so the same records give the same
//! lessons however late they are read. What is remembered is bounded; see [`Limits`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::decide::learning::{Learning, Seen};
use crate::domain::{EventType, OfferClass};

use super::rates::Rates;

/// Which showing.
pub type Key = super::heard::Showing;

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Showings, about 300 bytes each. Beyond it the oldest is forgotten, and what happens to it later is
    /// counted as `no_showing`.
    pub showings_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            showings_max: 500_000,
        }
    }
}

/// How long a showing is remembered beyond its last window, for events that happened in time and came late.
pub const LATE_MS: i64 = 24 * 3_600_000;

/// A placement's pages send `viewable` when at least one in so many impressions was followed by one.
const VIEWABLE_ONE_IN: u64 = 20;
/// Impressions after which both counts are halved, so that a page that changes is noticed.
const VIEWING_MEMORY: u64 = 10_000;

/// What is learnt of one showing.
pub enum Lesson<'a> {
    /// It was seen, and by now this is its label.
    Learn {
        /// Which.
        showing: &'a Showing,
        /// In [0, 1].
        label: f64,
        /// How many times it counts.
        weight: f64,
        /// By which a correction finds it again: [`Showing::lesson`]. 0 for the extra failure of a dismissal, which stands.
        number: u64,
    },
    /// Its label changed by so much after it was learnt.
    Correct {
        /// Which.
        showing: &'a Showing,
        /// New minus old.
        change: f64,
    },
}

/// Takes lessons.
pub type Teach<'t> = dyn FnMut(Lesson<'_>) + 't;

/// An offer that was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Showing {
    /// Hash of the offer's id.
    pub offer: u64,
    /// Its class, by index.
    pub class: u8,
    /// The model that scored it, an index into the learner's labels.
    pub model: u16,
    /// Log-odds of the model's, or the prior's, probability.
    pub base: f64,
    /// The probability believed with everything learnt by then.
    pub believed: f32,
    /// The shadow and the log-odds of what it said.
    pub shadow: Option<(u16, f64)>,
    /// What the terms look at.
    pub features: Vec<(u16, f32)>,
    /// The placement, an index into the attribution's placements.
    placement: u16,
    /// What counts, an index into the attribution's terms.
    terms: u16,
    /// When it was decided.
    decided_at: i64,
    /// The same by the journal's clock.
    heard_at: i64,
    /// When it was put on the page: as the sender says, and by the journal's clock.
    impression: Option<(i64, i64)>,
    /// When it was seen: likewise.
    seen: Option<(i64, i64)>,
    /// Bits of the event types that happened in their windows.
    happened: u16,
    /// How long after being seen its greatest success arrived, by the journal's clock.
    success_after: Option<i64>,
    /// The number of its lesson, from 1 on; 0 before.
    pub lesson: u64,
    /// The label that was learnt, and whether the extra failure of a dismissal was.
    learnt: Option<(f64, bool)>,
    /// When something is to be done with it.
    timer: i64,
}

/// A showing as it is when it is decided.
pub struct Shown<'a> {
    /// Which.
    pub key: Key,
    /// When it was decided.
    pub decided_at: i64,
    /// Where.
    pub placement: &'a str,
    /// Whether its pages could send `viewable` at all.
    pub has_screen: bool,
    /// Its offer's class.
    pub class: OfferClass,
    /// What the catalog of its time says.
    pub learning: &'a Learning,
    /// Hash of its offer's id.
    pub offer: u64,
    /// See [`Showing::model`].
    pub model: u16,
    /// See [`Showing::base`].
    pub base: f64,
    /// See [`Showing::believed`].
    pub believed: f64,
    /// See [`Showing::shadow`].
    pub shadow: Option<(u16, f64)>,
    /// See [`Showing::features`].
    pub features: Vec<(u16, f32)>,
}

/// What counts for showings of one class under one catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Terms {
    windows_ms: [i64; EventType::ALL.len()],
    shares: [f64; EventType::ALL.len()],
    hold_ms: i64,
    /// Index of the `Seen` word; `Impression` where there is no screen.
    seen: u8,
    success_window_ms: i64,
}

/// What pages of a placement send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Viewing {
    placement: String,
    impressions: u64,
    viewables: u64,
}

/// What became of showings and events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Showings that waited for being seen.
    pub showings: u64,
    /// Of these, learnt.
    pub learnt: u64,
    /// Of these, given up because nobody saw them in time.
    pub unseen: u64,
    /// Of these, forgotten before their time because there were too many.
    pub forgotten: u64,
    /// Labels that changed after they were learnt.
    pub corrected: u64,
    /// Extra failures of dismissals.
    pub dismissed: u64,
    /// Conversions taken back.
    pub reversed: u64,
    /// Events about an offer.
    pub events: u64,
    /// Of these, joined with their showing.
    pub joined: u64,
    /// Of these, used: they proved that it was seen, or changed its label.
    pub used: u64,
    /// Of those used, what came in after its window had closed.
    pub late: u64,
    /// Dropped: there is no showing of it here. It was forgotten, never teaches, or another node decided it.
    pub no_showing: u64,
    /// Dropped: it happened after its window.
    pub outside_window: u64,
    /// Dropped: the same had happened before.
    pub repeated: u64,
    /// Dropped: the catalog gives its type no share.
    pub no_share: u64,
}

/// Showings and their events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    showings: BTreeMap<Key, Showing>,
    timers: BTreeSet<(i64, Key)>,
    terms: Vec<Terms>,
    viewing: Vec<Viewing>,
    /// What became of everything.
    pub counts: Counts,
    /// Success rates by offer.
    pub rates: BTreeMap<u64, Rates>,
}

impl Attribution {
    /// How many showings are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.showings.len()
    }

    /// Does what was due by `now`, of the journal's clock.
    pub fn advance(&mut self, now: i64, teach: &mut Teach<'_>) {
        while let Some(&(due, key)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            self.due(key, due, teach);
        }
    }

    /// An offer was shown. A decision that was heard before is not heard again.
    pub fn shown(&mut self, shown: Shown<'_>, now: i64, limits: Limits) {
        if self.showings.contains_key(&shown.key) {
            return;
        }
        while self.showings.len() >= limits.showings_max.max(1) {
            self.forget_oldest(now);
        }
        let terms = self.terms_of(&shown);
        let placement = self.placement(shown.placement);
        let timer = now + self.terms[usize::from(terms)].window_of(EventType::Impression) + LATE_MS;
        self.counts.showings += 1;
        self.timers.insert((timer, shown.key));
        let showing = Showing {
            offer: shown.offer,
            class: shown.class as u8,
            model: shown.model,
            base: shown.base,
            believed: shown.believed as f32,
            shadow: shown.shadow,
            features: shown.features,
            placement,
            terms,
            decided_at: shown.decided_at,
            heard_at: now,
            impression: None,
            seen: None,
            happened: 0,
            success_after: None,
            lesson: 0,
            learnt: None,
            timer,
        };
        self.showings.insert(shown.key, showing);
    }

    /// An event about an offer, which happened at `at` as its sender says.
    pub fn happened(
        &mut self,
        key: Key,
        event: EventType,
        at: i64,
        now: i64,
        teach: &mut Teach<'_>,
    ) {
        self.counts.events += 1;
        let Some(mut showing) = self.showings.remove(&key) else {
            self.counts.no_showing += 1;
            return;
        };
        self.counts.joined += 1;
        self.timers.remove(&(showing.timer, key));
        self.join(&mut showing, event, at, now, teach);
        self.timers.insert((showing.timer, key));
        self.showings.insert(key, showing);
    }

    fn join(
        &mut self,
        showing: &mut Showing,
        event: EventType,
        at: i64,
        now: i64,
        teach: &mut Teach<'_>,
    ) {
        let terms = &self.terms[usize::from(showing.terms)];
        let window = terms.window_of(event);
        let since = showing.since(event);
        let proves = matches!(event, EventType::Impression | EventType::Viewable);
        let dropped = if at > since.0 + window {
            Some(&mut self.counts.outside_window)
        } else if showing.has(event) {
            Some(&mut self.counts.repeated)
        } else {
            None
        };
        if let Some(counter) = dropped {
            *counter += 1;
            return;
        }
        showing.happened |= bit(event);
        if !proves && event != EventType::Reversal && terms.share(event) == 0.0 {
            // It may still be what proves that somebody looked.
            self.counts.no_share += 1;
        } else {
            self.counts.used += 1;
            self.counts.late += u64::from(now > since.1 + window);
        }
        let sold = showing.has(EventType::Conversion);
        self.counts.reversed += u64::from(event == EventType::Reversal && sold);
        if event == EventType::Impression && showing.impression.is_none() {
            showing.impression = Some((at, now));
        }
        if proves {
            self.viewing[usize::from(showing.placement)].count(event);
        }
        self.see(showing, event, at, now);
        self.weigh(showing, event, now, teach);
    }

    /// Marks it seen where this event proves it.
    fn see(&self, showing: &mut Showing, event: EventType, at: i64, now: i64) {
        if showing.seen.is_some() {
            return;
        }
        let terms = &self.terms[usize::from(showing.terms)];
        let viewed = showing.has(EventType::Viewable);
        // Who uses it looks at it; who buys it may have done so elsewhere.
        let used = [EventType::Click, EventType::Dismiss, EventType::Element];
        let used = showing.impression.is_some() && used.iter().any(|e| showing.has(*e));
        let put = showing.impression.is_some() || viewed;
        let seen = match Seen::from_index(terms.seen).unwrap_or(Seen::Impression) {
            Seen::Impression => put,
            Seen::Viewable => viewed || used,
            Seen::Auto if self.viewing[usize::from(showing.placement)].sends_viewable() => {
                viewed || used
            }
            Seen::Auto => put,
        };
        if seen {
            // What came before (a sale whose impression was late) counts from here on.
            let since = match event {
                EventType::Impression | EventType::Viewable => (at, now),
                _ => showing.impression.unwrap_or((at, now)),
            };
            showing.seen = Some((since.0, since.1.min(now)));
            showing.timer = now + terms.hold_ms;
        }
    }

    /// Learns what the event changes about a showing that was learnt before.
    fn weigh(&mut self, showing: &mut Showing, event: EventType, now: i64, teach: &mut Teach<'_>) {
        let terms = &self.terms[usize::from(showing.terms)];
        if let Some((_, seen_at)) = showing.seen {
            if terms.is_success(event) && showing.success_after.is_none() {
                showing.success_after = Some(now - seen_at);
            }
            if !terms.succeeded(showing) {
                showing.success_after = None;
            } else if showing.success_after.is_none() {
                // It arrived before the proof that the offer was seen did.
                showing.success_after = Some(0);
            }
        }
        let Some((old, extra)) = showing.learnt else {
            return;
        };
        let label = terms.label(showing);
        let dismissed = terms.dismissal(showing);
        let reversal_window = terms.window_of(EventType::Reversal);
        showing.learnt = Some((label, extra || dismissed > 0.0));
        if label != old {
            self.counts.corrected += 1;
            let change = label - old;
            teach(Lesson::Correct { showing, change });
        }
        if dismissed > 0.0 && !extra {
            self.counts.dismissed += 1;
            teach(Lesson::Learn {
                showing,
                label: 0.0,
                weight: dismissed,
                number: 0,
            });
        }
        if event == EventType::Conversion {
            // As long as it may be taken back.
            showing.timer = showing.timer.max(now + reversal_window + LATE_MS);
        }
    }

    /// The hold is over, or nothing more can happen.
    fn due(&mut self, key: Key, due: i64, teach: &mut Teach<'_>) {
        let Some(mut showing) = self.showings.remove(&key) else {
            return;
        };
        let terms = &self.terms[usize::from(showing.terms)];
        match (showing.seen, showing.learnt) {
            (None, _) => {
                self.counts.unseen += 1;
                return;
            }
            (Some(_), Some(_)) => {
                self.rates
                    .entry(showing.offer)
                    .or_default()
                    .close(showing.success_after, due - showing.seen_at());
                return;
            }
            (Some((_, seen_at)), None) => {
                let (label, dismissed) = (terms.label(&showing), terms.dismissal(&showing));
                self.counts.learnt += 1;
                showing.lesson = self.counts.learnt;
                teach(Lesson::Learn {
                    showing: &showing,
                    label,
                    weight: 1.0,
                    number: showing.lesson,
                });
                if dismissed > 0.0 {
                    self.counts.dismissed += 1;
                    teach(Lesson::Learn {
                        showing: &showing,
                        label: 0.0,
                        weight: dismissed,
                        number: 0,
                    });
                }
                showing.learnt = Some((label, dismissed > 0.0));
                let window = if showing.has(EventType::Conversion) {
                    terms.window_of(EventType::Reversal)
                } else {
                    terms.success_window_ms
                };
                showing.timer = (seen_at + window + LATE_MS).max(due + 1);
            }
        }
        self.timers.insert((showing.timer, key));
        self.showings.insert(key, showing);
    }

    fn forget_oldest(&mut self, now: i64) {
        let Some((key, showing)) = self.showings.pop_first() else {
            return;
        };
        self.timers.remove(&(showing.timer, key));
        self.counts.forgotten += 1;
        if let Some((_, seen_at)) = showing.seen {
            let rates = self.rates.entry(showing.offer).or_default();
            rates.close(showing.success_after, now - seen_at);
        }
    }

    fn terms_of(&mut self, shown: &Shown<'_>) -> u16 {
        let learning = shown.learning;
        let seen = if shown.has_screen {
            learning.seen
        } else {
            Seen::Impression
        };
        let terms = Terms {
            windows_ms: learning.windows_ms,
            shares: learning.rewards_of(shown.class).shares,
            hold_ms: learning.hold_ms,
            seen: seen as u8,
            success_window_ms: learning.success_window_ms(shown.class),
        };
        place(&mut self.terms, |known| *known == terms, || terms.clone())
    }

    fn placement(&mut self, id: &str) -> u16 {
        place(
            &mut self.viewing,
            |known| known.placement == id,
            || Viewing {
                placement: id.to_owned(),
                impressions: 0,
                viewables: 0,
            },
        )
    }

    /// Each offer's success rate as of `now`, with what is still open.
    #[must_use]
    pub fn rates_at(&self, now: i64) -> BTreeMap<u64, Rates> {
        let mut rates = self.rates.clone();
        for showing in self.showings.values() {
            if let Some((_, seen_at)) = showing.seen {
                let of = rates.entry(showing.offer).or_default();
                of.close(showing.success_after, now - seen_at);
            }
        }
        rates
    }
}

/// The index of what `is` it, made if new. There are as many as catalogs say different things: few; the last
/// number is shared by what comes after 65,535 of them.
fn place<T>(list: &mut Vec<T>, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> u16 {
    let found = list.iter().position(is);
    let index = found.unwrap_or_else(|| {
        if list.len() < usize::from(u16::MAX) {
            list.push(make());
        }
        list.len() - 1
    });
    u16::try_from(index).expect("no longer than u16::MAX")
}

fn bit(event: EventType) -> u16 {
    1 << event as u16
}

impl Showing {
    fn has(&self, event: EventType) -> bool {
        self.happened & bit(event) != 0
    }

    /// From when the event's window runs: as the sender says, and by the journal's clock.
    fn since(&self, event: EventType) -> (i64, i64) {
        let decided = (self.decided_at, self.heard_at);
        match event {
            EventType::Impression | EventType::Viewable => decided,
            _ => self.seen.or(self.impression).unwrap_or(decided),
        }
    }

    fn seen_at(&self) -> i64 {
        self.seen.map_or(self.heard_at, |(_, at)| at)
    }
}

impl Viewing {
    fn count(&mut self, event: EventType) {
        if event == EventType::Viewable {
            self.viewables += 1;
        } else {
            self.impressions += 1;
        }
        if self.impressions >= VIEWING_MEMORY {
            self.impressions /= 2;
            self.viewables /= 2;
        }
    }

    fn sends_viewable(&self) -> bool {
        self.viewables > 0 && self.viewables * VIEWABLE_ONE_IN >= self.impressions
    }
}

impl Terms {
    fn window_of(&self, event: EventType) -> i64 {
        self.windows_ms[event as usize]
    }

    fn share(&self, event: EventType) -> f64 {
        self.shares[event as usize]
    }

    /// The greatest share among what happened and was not taken back.
    fn label(&self, showing: &Showing) -> f64 {
        let happened = EventType::ALL.iter().filter(|e| showing.stands(**e));
        happened.map(|e| self.share(*e)).fold(0.0, f64::max)
    }

    /// The weight of the extra failure, where it was dismissed.
    fn dismissal(&self, showing: &Showing) -> f64 {
        if showing.has(EventType::Dismiss) {
            -self.share(EventType::Dismiss).min(0.0)
        } else {
            0.0
        }
    }

    /// Whether the event is worth as much as any.
    fn is_success(&self, event: EventType) -> bool {
        let most = self.shares.iter().copied().fold(0.0, f64::max);
        most > 0.0 && self.share(event) == most
    }

    fn succeeded(&self, showing: &Showing) -> bool {
        let mut all = EventType::ALL.iter();
        all.any(|e| self.is_success(*e) && showing.stands(*e))
    }
}

impl Showing {
    /// Whether it happened and was not taken back: a reversal takes back the order with the conversion.
    fn stands(&self, event: EventType) -> bool {
        let taken_back = matches!(event, EventType::Conversion | EventType::Order)
            && self.has(EventType::Reversal);
        self.has(event) && !taken_back
    }
}
