//! Customer caps: how often one customer may be shown one offer, or offers that sell at all.
//!
//! A cap removes an offer before scoring, never after the draw: removing it later would leave a
//! written propensity higher than the chance really given.
//!
//! What the customer has been shown comes with the facts. This module never looks anything up.

use super::concerns;
use crate::decide::snapshot::Cap;
use crate::domain::{Facts, Millis, NameHash};

/// Showings within the cap's window, of one offer or of all that sell.
fn used(cap: &Cap, facts: &Facts, now: Millis, offer: Option<NameHash>) -> u32 {
    let since = now.plus(-cap.window_ms);
    let counted = facts
        .exposures
        .iter()
        .filter(|e| e.at > since && concerns(e, offer));
    u32::try_from(counted.count()).unwrap_or(u32::MAX)
}

/// Whether the cap allows no further showing.
pub(super) fn spent(cap: &Cap, facts: &Facts, now: Millis, offer: Option<NameHash>) -> bool {
    used(cap, facts, now, offer) >= cap.count
}

/// How many more selling offers the customer may be shown; `u32::MAX` without a cap.
pub(in crate::decide) fn selling_left(caps: &[Cap], facts: &Facts, now: Millis) -> u32 {
    let left = |cap: &Cap| cap.count.saturating_sub(used(cap, facts, now, None));
    caps.iter().map(left).min().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Exposure;

    fn facts(shown: &[(u64, bool, i64)]) -> Facts {
        let exposure = |&(offer, sells, at)| Exposure {
            offer: NameHash(offer),
            sells,
            at: Millis(at),
            confirmed: true,
        };
        Facts {
            exposures: shown.iter().map(exposure).collect(),
        }
    }

    #[test]
    fn a_cap_counts_its_own_window() {
        let cap = Cap {
            count: 2,
            window_ms: 100,
        };
        let facts = facts(&[(1, true, 0), (1, true, 50), (2, false, 60), (1, true, 120)]);
        for (now, expected) in [(120, true), (149, true), (150, false), (1_000, false)] {
            let spent = spent(&cap, &facts, Millis(now), Some(NameHash(1)));
            assert_eq!(spent, expected, "at {now}");
        }
    }

    #[test]
    fn what_sells_is_counted_together() {
        let facts = facts(&[(1, true, 10), (2, true, 20), (3, false, 30)]);
        let caps = [
            Cap {
                count: 3,
                window_ms: 100,
            },
            Cap {
                count: 9,
                window_ms: 1_000,
            },
        ];
        assert_eq!(selling_left(&caps, &facts, Millis(50)), 1);
        assert_eq!(selling_left(&caps, &facts, Millis(115)), 2);
        assert_eq!(selling_left(&[], &facts, Millis(50)), u32::MAX);
    }
}
