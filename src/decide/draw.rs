//! Odds → the slate. Nothing changes the choice after this.
//!
//! Each rank is drawn by inverse transform from the explorer's odds over the offers still in the
//! running, tier by tier: sampling without replacement, in which the propensity of a rank is exact
//! given the ranks before it and the probability of the slate is their product.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::explore::{Arms, Policy};
use super::scratch::{Runner, Scratch};
use super::snapshot::{Placement, Snapshot};
use crate::domain::{Choice, DecisionId, PlacementAsk, Propensity, Request, Tier, Verdict};

/// Who says which of the competing offers takes a rank: told the rank, and the odds in `scratch`. A
/// decision draws ([`by_chance`]); whoever asks for the odds of a slate that was logged names its offers.
pub(super) type Pick<'a> = dyn FnMut(usize, u8, &Scratch) -> Option<usize> + 'a;

/// The offer that the decision's own number falls on.
pub(super) fn by_chance(
    snapshot: &Snapshot,
    request: &Request<'_>,
) -> impl FnMut(usize, u8, &Scratch) -> Option<usize> {
    let (decision, salt) = (request.decision, snapshot.salt);
    move |ask, rank, scratch| pick(uniform(decision, salt, ask, rank), &scratch.odds)
}

/// Fills up to as many ranks as fit, and returns the probability of this slate in this order.
pub(super) fn slate(
    snapshot: &Snapshot,
    placement: &Placement,
    request: &Request<'_>,
    wanted: &PlacementAsk<'_>,
    ask: usize,
    choose: &mut Pick<'_>,
    scratch: &mut Scratch,
) -> f64 {
    let mut joint = 1.0;
    let mut open = None;
    let ranks = wanted.count.min(placement.count_max);
    for rank in 1..=ranks {
        let Some(tier) = compete(scratch) else {
            break;
        };
        odds(&placement.explorer, scratch);
        if open.replace(tier) != Some(tier) {
            write_odds(scratch);
        }
        let Some(i) = choose(ask, rank, scratch) else {
            break;
        };
        let choice = take(snapshot, request, rank, i, scratch);
        joint *= choice.propensity.get();
        note_shown(snapshot, &choice, scratch);
        if rank < ranks {
            bar_others(scratch);
        }
        scratch.decision.choices.push(choice);
    }
    joint
}

/// A number in [0, 1) that depends on nothing but its arguments, with 53 random bits.
///
/// The salt keeps outsiders from predicting draws; everything else is in the decision's record.
#[must_use]
pub fn uniform(decision: DecisionId, salt: u64, ask: usize, rank: u8) -> f64 {
    let mut bytes = [0u8; 18];
    bytes[..16].copy_from_slice(&decision.0.to_be_bytes());
    bytes[16] = ask as u8;
    bytes[17] = rank;
    (xxh3_64_with_seed(&bytes, salt) >> 11) as f64 / (1u64 << 53) as f64
}

/// Collects the runners of the best tier that still has any; `None` when nobody is left.
fn compete(scratch: &mut Scratch) -> Option<Tier> {
    let Scratch {
        running,
        competing,
        scores,
        probabilities,
        spreads,
        held,
        spent,
        ..
    } = scratch;
    let left = running.iter().filter(|runner| !runner.out);
    let tier = left.map(|runner| runner.tier).min()?;
    let competes = |runner: &&Runner| !runner.out && runner.tier == tier;
    competing.clear();
    let places = (0u32..).zip(running.iter());
    competing.extend(places.filter(|(_, r)| competes(r)).map(|(i, _)| i));
    let runners = || competing.iter().map(|i| &running[*i as usize]);
    // Each list by itself: of known length, it is filled without a look at its room for every number.
    refill(scores, runners().map(|runner| runner.score));
    refill(probabilities, runners().map(|runner| runner.probability));
    refill(spreads, runners().map(|runner| runner.spread));
    held.clear();
    if !spent.is_empty() {
        held.extend(runners().map(|runner| spent.has_class(runner.class)));
    }
    Some(tier)
}

fn refill(list: &mut Vec<f64>, with: impl Iterator<Item = f64>) {
    list.clear();
    list.extend(with);
}

fn odds(policy: &Policy, scratch: &mut Scratch) {
    scratch.odds.clear();
    scratch.odds.resize(scratch.scores.len(), 0.0);
    let arms = Arms {
        scores: &scratch.scores,
        probabilities: &scratch.probabilities,
        spreads: &scratch.spreads,
    };
    if scratch.held.contains(&true) {
        policy.fill_held(&arms, &scratch.held, &mut scratch.odds);
    } else {
        policy.fill(&arms, &mut scratch.odds);
    }
}

/// Writes the odds of the first draw of a tier into the verdicts.
fn write_odds(scratch: &mut Scratch) {
    for (&i, &p) in scratch.competing.iter().zip(&scratch.odds) {
        let candidate = scratch.running[i as usize].candidate;
        let verdict = &mut scratch.decision.candidates[candidate as usize].verdict;
        if let Verdict::Eligible { odds, .. } = verdict {
            *odds = p;
        }
    }
}

/// The index whose part of the unit interval holds `u`; never one without a part.
#[must_use]
pub fn pick(u: f64, odds: &[f64]) -> Option<usize> {
    let mut sum = 0.0;
    let mut last = None;
    for (i, &p) in odds.iter().enumerate() {
        if p > 0.0 {
            sum += p;
            last = Some(i);
            if u < sum {
                return last;
            }
        }
    }
    // Rounding can leave the sum a hair below 1: the last with a part takes the rest.
    last
}

/// The chosen offer, taken out of the running.
fn take(
    snapshot: &Snapshot,
    request: &Request<'_>,
    rank: u8,
    i: usize,
    scratch: &mut Scratch,
) -> Choice {
    let best = scratch
        .scores
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    let gaps = (scratch.odds.iter().zip(&scratch.scores)).map(|(p, score)| p * (best - score));
    let gap = gaps.sum();
    let runner = &mut scratch.running[scratch.competing[i] as usize];
    runner.out = true;
    let candidate = &scratch.decision.candidates[runner.candidate as usize];
    let offer_ix = candidate.offer;
    let base = match candidate.verdict {
        Verdict::Eligible { base, .. } => base,
        Verdict::Excluded(_) => runner.probability,
    };
    let offer = snapshot.catalog.offer(offer_ix);
    let locale = &snapshot.catalog.default_locale;
    Choice {
        offer: offer_ix,
        creative: super::creative_for(offer, request.channel, request.locale, locale)
            .expect("offers without a creative were excluded"),
        rank,
        base,
        probability: runner.probability,
        score: runner.score,
        propensity: Propensity::new(scratch.odds[i].min(1.0))
            .expect("only what has odds above 0 is picked"),
        explored: runner.score < best,
        gap,
        behind: best - runner.score,
    }
}

/// Notes what is shown now, and with it what may not be any more.
fn note_shown(snapshot: &Snapshot, choice: &Choice, scratch: &mut Scratch) {
    let drawn = snapshot.catalog.offer(choice.offer);
    scratch.labels |= drawn.labels;
    if drawn.class.sells() {
        scratch.selling_left = scratch.selling_left.saturating_sub(1);
    }
}

/// Takes those out of the running that may not be shown beside what was drawn.
fn bar_others(scratch: &mut Scratch) {
    let (labels, sold_out) = (scratch.labels, scratch.selling_left == 0);
    for runner in &mut scratch.running {
        runner.out |= runner.labels & labels != 0 || sold_out && runner.class.sells();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(u: f64, odds: &[f64], expected: Option<usize>) {
        assert_eq!(pick(u, odds), expected, "u = {u}, odds = {odds:?}");
    }

    #[test]
    fn never_picks_the_impossible() {
        check(0.0, &[0.0, 1.0], Some(1));
        check(0.3, &[0.3, 0.7, 0.0], Some(1));
        check(0.999_999_999, &[0.3, 0.7, 0.0], Some(1));
        check(0.999_999_999, &[0.3, 0.699, 0.0], Some(1));
        check(0.5, &[], None);
        check(0.5, &[0.0], None);
    }

    #[test]
    fn uniform_is_uniform() {
        let n = 100_000u32;
        let mut bins = [0u32; 10];
        for i in 0..n {
            let u = uniform(DecisionId(u128::from(i)), 7, 0, 1);
            bins[(u * 10.0) as usize] += 1;
        }
        // Each bin is binomial(100,000, 0.1): 4.5 standard deviations are 427.
        assert!(bins.iter().all(|&b| b.abs_diff(n / 10) < 427), "{bins:?}");
    }
}
