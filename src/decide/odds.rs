//! What a policy would have done about a slate that was logged: the odds of its offers, by the code that
//! decides.
//!
//! Not a second implementation of the policy, which would be right until it is not: every stage runs as it
//! does for a customer, and only who takes a rank is not drawn but taken from the log.

use super::scratch::Scratch;
use super::snapshot::Snapshot;
use crate::domain::{Facts, OfferIx, Request};

/// The odds that a policy gives to one placement's slate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlateOdds {
    /// Whether the policy could have come here: false after a placement of the same answer whose slate it
    /// would never have shown. What it would do here then depends on what nobody knows.
    pub reached: bool,
    /// Everybody who competed for the first rank, with their odds; empty where the policy shows nothing.
    pub first: Vec<(OfferIx, f64)>,
    /// For each rank that was logged, the probability of its offer given the offers before it. After
    /// one that the policy would never have shown, 0.
    pub ranks: Vec<f64>,
}

impl SlateOdds {
    /// The probability of the whole slate in this order.
    #[must_use]
    pub fn joint(&self) -> f64 {
        self.ranks.iter().product()
    }
}

/// The odds that the policy of `snapshot` gives to `logged`: for each placement of the request, the offers shown,
/// best rank first, `None` for one that the catalog no longer has. `odds` is overwritten and keeps its buffers.
pub fn odds_of(
    snapshot: &Snapshot,
    request: &Request<'_>,
    facts: &Facts,
    logged: &[Vec<Option<OfferIx>>],
    scratch: &mut Scratch,
    odds: &mut Vec<SlateOdds>,
) {
    odds.resize_with(logged.len(), SlateOdds::default);
    let mut lost = logged.len();
    for (slate, offers) in odds.iter_mut().zip(logged) {
        slate.first.clear();
        slate.ranks.clear();
        slate.ranks.resize(offers.len(), 0.0);
    }
    let mut choose = |ask: usize, rank: u8, scratch: &Scratch| {
        let slate = odds.get_mut(ask).filter(|_| ask <= lost)?;
        if rank == 1 {
            let running = scratch.competing.iter().map(|&i| offer(scratch, i));
            slate
                .first
                .extend(running.zip(scratch.odds.iter().copied()));
        }
        let place = usize::from(rank) - 1;
        let wanted = logged[ask].get(place)?;
        let mut competing = scratch.competing.iter();
        let found = wanted.and_then(|wanted| competing.position(|&i| offer(scratch, i) == wanted));
        let found = found.filter(|i| scratch.odds[*i] > 0.0);
        match found {
            Some(i) => slate.ranks[place] = scratch.odds[i].min(1.0),
            None => lost = ask,
        }
        found
    };
    super::run(snapshot, request, facts, &mut choose, scratch);
    // A slate that stopped before its last logged rank was never shown either.
    let short = |s: &SlateOdds| s.ranks.contains(&0.0);
    let lost = odds.iter().position(short).unwrap_or(logged.len());
    for (ask, slate) in odds.iter_mut().enumerate() {
        slate.reached = ask <= lost;
    }
}

fn offer(scratch: &Scratch, runner: u32) -> OfferIx {
    let candidate = scratch.running[runner as usize].candidate;
    scratch.decision.candidates[candidate as usize].offer
}
