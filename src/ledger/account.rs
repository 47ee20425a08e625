//! What one customer has been shown, while its lock is held.

use super::Limits;
use super::slot::Slot;
use super::stripe::Tally;
use crate::domain::{DecisionId, Facts, Millis, Shown};

/// One customer's account as of one instant.
pub struct Account<'a> {
    /// Ascending, and exactly as long as it must be: most accounts are never touched again.
    pub(super) slots: &'a mut Box<[Slot]>,
    pub(super) tally: &'a mut Tally,
    pub(super) limits: &'a Limits,
    pub(super) now: Millis,
}

impl Account<'_> {
    /// Puts into `facts` what counts now and is younger than `horizon_ms`, oldest first: offers seen,
    /// and reservations that still hold. Whatever `facts` held is gone.
    pub fn facts_into(&self, horizon_ms: i64, facts: &mut Facts) {
        let horizon_ms = horizon_ms.min(self.limits.horizon_ms);
        let counting = self.slots.iter().filter(|s| s.counts(self.now, horizon_ms));
        facts.exposures.clear();
        facts.exposures.extend(counting.map(Slot::exposure));
    }

    /// Reserves what the decision puts on the page, until `hold_until` or an impression.
    ///
    /// Reserving an offer of the same decision again changes nothing, nor does it where the
    /// impression came first.
    pub fn reserve(&mut self, decision: DecisionId, shown: &[Shown], hold_until: Millis) {
        if shown.is_empty() {
            return;
        }
        let (now, horizon_ms) = (self.now, self.limits.horizon_ms);
        self.edit(|slots| {
            slots.retain(|slot| slot.counts(now, horizon_ms));
            slots.reserve_exact(shown.len());
            for shown in shown {
                match slots.iter_mut().find(|s| s.is(decision, shown.offer())) {
                    Some(slot) => slot.mark_sells(shown.sells),
                    None => slots.push(Slot::reserved(decision, *shown, now, hold_until)),
                }
            }
        });
    }

    /// Notes that the customer sees an offer of that decision now.
    pub(super) fn confirm(&mut self, decision: DecisionId, shown: Shown) {
        let now = self.now;
        self.edit(
            |slots| match slots.iter_mut().find(|s| s.is(decision, shown.offer())) {
                Some(slot) => {
                    slot.confirm(now);
                    slot.mark_sells(shown.sells);
                }
                None => {
                    slots.reserve_exact(1);
                    slots.push(Slot::confirmed(decision, shown, now));
                }
            },
        );
    }

    /// Changes the slots, then brings back their order, their limit and the counts.
    fn edit(&mut self, change: impl FnOnce(&mut Vec<Slot>)) {
        self.tally.remove(self.slots);
        let mut slots = std::mem::take(self.slots).into_vec();
        change(&mut slots);
        slots.sort_unstable();
        let excess = slots.len().saturating_sub(self.limits.exposures);
        forget(&mut slots, excess, self.now);
        *self.slots = slots.into_boxed_slice();
        self.tally.add(self.slots);
        self.tally.forgotten += excess as u64;
    }
}

/// Forgets so many slots, reservations from before `now` first: a page that asks anew every minute
/// makes dozens of them, and they must not drive out what was really seen.
fn forget(slots: &mut Vec<Slot>, excess: usize, now: Millis) {
    let mut left = excess;
    slots.retain(|slot| {
        let keep = left == 0 || slot.is_confirmed() || slot.at() >= now;
        left -= usize::from(!keep);
        keep
    });
    slots.drain(..left);
}
