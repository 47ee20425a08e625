//! offerd's own log as evidence: for every slate that was shown, what it earned, and how likely two policies
//! would have been to show it.
//!
//! Both policies are asked through [`crate::decide::odds_of`]: the code that decides, with the model, the explorer, the
//! rules and the caps that would serve. What the log cannot tell is left out and counted, never guessed: answers that were
//! cut short, `test` requests, customers who withhold measurement, showings whose conversions are still
//! to come. An offer that a policy would show and that had no chance when the log was made earns
//! nothing here, and its share is told.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::Row;
use super::completion::Completion;
use crate::decide::record::{CandidateRecord, DecisionRecord, PlacementRecord};
use crate::decide::snapshot::{Catalog, Offer, Snapshot};
use crate::decide::{Scratch, SlateOdds, odds_of};
use crate::domain::record::read;
use crate::domain::{DecisionId, EventType, Millis, NameHash, OfferIx, Phase, Request};
use crate::learn::heard::{Head, Showing, is_event};

/// Which part of a log counts.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// When the log is read; ages are counted back from here.
    pub now: Millis,
    /// After so long nothing more is expected of a showing, in milliseconds; the catalog's windows where
    /// nothing is said.
    pub window_ms: Option<i64>,
    /// A showing younger than that counts where so large a share of conversions has usually come by
    /// its age, and then what it earned is divided by the share. 1: only closed windows count.
    pub completion_min: f64,
    /// No row weighs more, at any rank: a bound on what one row can claim.
    pub weight_max: f64,
    /// Decisions at most; what comes after them is counted.
    pub decisions_max: usize,
}

/// What became of the records.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Decisions read.
    pub decisions: u64,
    /// Records that are none, or of a newer form.
    pub unreadable: u64,
    /// Decisions that were read before.
    pub repeated: u64,
    /// Decisions of `test` requests.
    pub test: u64,
    /// Decisions whose customer withheld measurement.
    pub unmeasured: u64,
    /// Decisions whose answer was cut short.
    pub degraded: u64,
    /// Decisions beyond the limit.
    pub over_limit: u64,
    /// Slates that were shown in the decisions left.
    pub slates: u64,
    /// Of these, after a slate that the policy would never have shown.
    pub unreachable: u64,
    /// Of these, too young for their conversions to be known.
    pub open: u64,
    /// Of those left, younger than the window, with what they earned made whole.
    pub completed: u64,
}

/// What happened to one offer shown, and when (milliseconds since the Unix epoch), where that is told.
type Happened = [(EventType, Option<i64>)];

/// What happened to every offer shown, gathered before the decisions are read, because events come in any
/// order.
#[derive(Clone, Debug, Default)]
pub struct Happenings {
    of: HashMap<Showing, Vec<(EventType, Option<i64>)>>,
    /// The newest record's time.
    pub newest: Millis,
}

impl Happenings {
    /// Takes note of a record; those of no use here are ignored.
    pub fn hear(&mut self, record: &(impl AsRef<[u8]> + ?Sized)) {
        let Some(head) = Head::of(record) else {
            return;
        };
        let at = head.at_ms();
        self.newest = self.newest.max(Millis(at.unwrap_or(i64::MIN)));
        let Some(showing) = head.showing() else {
            return;
        };
        let Ok(kind) = head.kind.parse::<EventType>() else {
            return;
        };
        // Seen is not earned: most events need not be kept.
        if !matches!(kind, EventType::Impression | EventType::Viewable) {
            let happened = self.of.entry(showing).or_default();
            if happened.iter().all(|(known, _)| *known != kind) {
                happened.push((kind, at));
            }
        }
    }
}

impl Happenings {
    /// Whether an offer was converted for good.
    #[must_use]
    pub fn converted(&self, decision: DecisionId, slot: u8, rank: u8) -> bool {
        let happened = self.of.get(&(decision.0, slot, rank));
        let has = |kind| happened.is_some_and(|all| all.iter().any(|(k, _)| *k == kind));
        has(EventType::Conversion) && !has(EventType::Reversal)
    }
}

/// What an offer earned by what happened, in minor units, and how long after the decision: the one place
/// where events become money. Each type of event is worth the share of the offer's value that the catalog's
/// `[learning]` gives to it; of several the greatest counts, and a reversal takes order and conversion back.
/// What came after its window is no consequence of the showing.
fn earned(
    catalog: &Catalog,
    offer: Option<&Offer>,
    happened: &Happened,
    decided: Millis,
) -> (f64, Option<i64>) {
    let Some(offer) = offer else {
        return (0.0, None);
    };
    let rewards = catalog.learning.rewards_of(offer.class);
    let reversed = happened
        .iter()
        .any(|(kind, _)| *kind == EventType::Reversal);
    let mut best = (0.0, None);
    for &(kind, at) in happened {
        let sold = matches!(kind, EventType::Order | EventType::Conversion);
        let delay = at.map(|at| Millis(at).since(decided).max(0));
        let late = delay.is_some_and(|delay| delay > catalog.learning.window_ms(kind));
        if rewards.of(kind) > best.0 && !(late || sold && reversed) {
            best = (rewards.of(kind), delay);
        }
    }
    (best.0 * worth(Some(offer)), best.1)
}

fn worth(offer: Option<&Offer>) -> f64 {
    offer.map_or(0.0, |offer| offer.value_minor as f64)
}

/// One policy's side of a slate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Side {
    /// Its odds of the first offer.
    pub target: f64,
    /// What the logged beliefs expect of it at the first rank, in minor units.
    pub expected: f64,
    /// The part of its odds at the first rank that the log had no chance for.
    pub uncovered: f64,
    /// Its odds of the first offer over those logged, limited.
    pub first: f64,
    /// Its odds of the whole slate over those logged, limited.
    pub slate: f64,
}

/// One slate that was shown.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// Index into [`Evidence::groups`].
    pub group: usize,
    /// What the first offer earned.
    pub reward: f64,
    /// What it could have.
    pub worth: f64,
    /// The logged odds of the first offer.
    pub propensity: f64,
    /// What the logged beliefs expect of the first offer.
    pub believed: f64,
    /// What the other ranks earned and could have, and the policies' weights down to each (new, champion).
    pub rest: Vec<(f64, f64, f64, f64)>,
    pub new: Side,
    pub champion: Side,
    /// Whether anything was earned.
    pub converted: bool,
    age_ms: i64,
    window_ms: i64,
    delay_ms: Option<i64>,
}

/// Slates, judged.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What became of the records.
    pub counts: Counts,
    /// Phase and placement of each group of slates.
    pub groups: Vec<(Phase, Box<str>)>,
    pub(super) slates: Vec<Judged>,
}

/// Asks two policies about a log.
pub struct Judge<'a> {
    new: &'a Snapshot,
    champion: Option<&'a Snapshot>,
    happened: Happenings,
    scope: Scope,
    read: HashSet<u128>,
    buffers: Buffers,
    evidence: Evidence,
}

#[derive(Default)]
struct Buffers {
    scratch: Scratch,
    new: Vec<SlateOdds>,
    champion: Vec<SlateOdds>,
}

impl<'a> Judge<'a> {
    /// Asks `new`'s policy and `champion`'s, or where there is none compares with the policies that made the
    /// log. Values are those of `new`'s catalog, for both.
    #[must_use]
    pub fn new(
        new: &'a Snapshot,
        champion: Option<&'a Snapshot>,
        happened: Happenings,
        scope: Scope,
    ) -> Judge<'a> {
        Judge {
            new,
            champion,
            happened,
            scope,
            read: HashSet::new(),
            buffers: Buffers::default(),
            evidence: Evidence::default(),
        }
    }

    /// Takes a record; those that are no decision are ignored.
    pub fn add(&mut self, record: &(impl AsRef<[u8]> + ?Sized)) {
        if is_event(record) {
            return;
        }
        let counts = &mut self.evidence.counts;
        counts.decisions += 1;
        let Ok(record) = read::<DecisionRecord<'_>>(record) else {
            counts.unreadable += 1;
            return;
        };
        let counter = if record.test {
            &mut counts.test
        } else if !record.measured {
            &mut counts.unmeasured
        } else if record.is_cut_short() {
            &mut counts.degraded
        } else if self.read.len() >= self.scope.decisions_max {
            &mut counts.over_limit
        } else {
            match (record.request(), record.facts()) {
                (Ok(request), Ok(facts)) if self.read.insert(request.decision.0) => {
                    return self.judge(&record, &request, &facts);
                }
                (Ok(_), Ok(_)) => &mut counts.repeated,
                _ => &mut counts.unreadable,
            }
        };
        *counter += 1;
    }

    fn judge(
        &mut self,
        record: &DecisionRecord<'_>,
        request: &Request<'_>,
        facts: &crate::domain::Facts,
    ) {
        if record.placements.iter().all(|p| p.slate.is_empty()) {
            return;
        }
        let Buffers {
            scratch,
            new,
            champion,
        } = &mut self.buffers;
        let both = [
            Some((self.new, &mut *new)),
            self.champion.map(|c| (c, &mut *champion)),
        ];
        for (snapshot, odds) in both.into_iter().flatten() {
            let logged = slates(&snapshot.catalog, record);
            odds_of(snapshot, request, facts, &logged, scratch, odds);
        }
        let age_ms = self.scope.now.since(request.at);
        for (slot, placement) in (0_u8..).zip(&record.placements) {
            if placement.slate.is_empty() {
                continue;
            }
            self.evidence.counts.slates += 1;
            let place = usize::from(slot);
            let champion = self
                .champion
                .map(|c| (&*c.catalog, &self.buffers.champion[place]));
            let sides = [
                Some((&*self.new.catalog, &self.buffers.new[place])),
                champion,
            ];
            if sides.iter().flatten().any(|(_, side)| !side.reached) {
                self.evidence.counts.unreachable += 1;
                continue;
            }
            let slate = Slate {
                catalog: &self.new.catalog,
                placement,
                sides,
                weight_max: self.scope.weight_max,
            };
            let happened = |rank: u8| {
                let key = (request.decision.0, slot, rank);
                self.happened.of.get(&key).map_or(&[][..], Vec::as_slice)
            };
            let mut judged = slate.judge(happened, request.at);
            judged.age_ms = age_ms;
            judged.window_ms = self.scope.window_ms.unwrap_or(judged.window_ms);
            judged.group = self
                .evidence
                .group(request.appointment.phase, &placement.id);
            self.evidence.slates.push(judged);
        }
    }

    /// What was found: showings too young are left out, or what they earned is made whole.
    #[must_use]
    pub fn finish(self) -> Evidence {
        let (scope, mut evidence) = (self.scope, self.evidence);
        let seen = (evidence.slates.iter()).filter_map(|s| Some((s.delay_ms?, s.age_ms)));
        let completion = Completion::of(seen.collect());
        let counts = &mut evidence.counts;
        evidence.slates.retain_mut(|slate| {
            if slate.age_ms >= slate.window_ms {
                return true;
            }
            let Some(share) = completion
                .share(slate.age_ms)
                .filter(|s| *s >= scope.completion_min)
            else {
                counts.open += 1;
                return false;
            };
            counts.completed += 1;
            slate.reward /= share;
            slate.worth /= share;
            for (reward, worth, ..) in &mut slate.rest {
                *reward /= share;
                *worth /= share;
            }
            true
        });
        evidence
    }
}

impl Evidence {
    fn group(&mut self, phase: Phase, placement: &str) -> usize {
        let known = |(p, name): &(Phase, Box<str>)| *p == phase && **name == *placement;
        self.groups.iter().position(known).unwrap_or_else(|| {
            self.groups.push((phase, placement.into()));
            self.groups.len() - 1
        })
    }

    /// The first offers of the slates as rows, for the new policy and for the champion.
    #[must_use]
    pub fn rows(&self) -> [Vec<Row>; 2] {
        let row = |slate: &Judged, side: &Side| Row {
            reward: slate.reward,
            propensity: slate.propensity,
            target: side.target,
            expected_logged: slate.believed,
            expected: side.expected,
        };
        let all = &self.slates;
        [
            all.iter().map(|s| row(s, &s.new)).collect(),
            all.iter().map(|s| row(s, &s.champion)).collect(),
        ]
    }

    /// How many slates there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slates.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slates.is_empty()
    }
}

/// The slates of a record as a catalog knows their offers.
fn slates(catalog: &Catalog, record: &DecisionRecord<'_>) -> Vec<Vec<Option<OfferIx>>> {
    let index = |offer: &str| catalog.offer_index.get(&NameHash::of(offer)).copied();
    let slate = |p: &PlacementRecord<'_>| p.slate.iter().map(|c| index(&c.offer)).collect();
    record.placements.iter().map(slate).collect()
}

/// One placement's slate, and what two policies say of it.
struct Slate<'a> {
    catalog: &'a Catalog,
    placement: &'a PlacementRecord<'a>,
    /// The policies' catalogs and odds; `None` for those that made the log.
    sides: [Option<(&'a Catalog, &'a SlateOdds)>; 2],
    weight_max: f64,
}

impl Slate<'_> {
    fn judge<'h>(&self, happened: impl Fn(u8) -> &'h Happened, decided: Millis) -> Judged {
        let catalog = self.catalog;
        let offer = |id: &str| catalog.offer_by_hash(NameHash::of(id));
        let [new, champion] = self.sides.map(|side| match side {
            Some((catalog, odds)) => self.side(catalog, odds),
            None => self.as_logged(),
        });
        let (mut rest, mut weights) = (Vec::new(), [1.0; 2]);
        let (mut reward, mut converted) = (0.0, false);
        let (mut delay_ms, mut window_ms) = (None, 0);
        for (place, choice) in self.placement.slate.iter().enumerate() {
            for (weight, side) in weights.iter_mut().zip(self.sides) {
                *weight *= side.map_or(1.0, |(_, odds)| odds.ranks[place] / choice.propensity);
            }
            let (offer, what) = (offer(&choice.offer), happened(choice.rank));
            let (earned, delay) = earned(catalog, offer, what, decided);
            converted |= earned != 0.0;
            delay_ms = delay_ms.or(delay);
            let window = offer.map(|o| catalog.learning.success_window_ms(o.class));
            window_ms = window_ms.max(window.unwrap_or(0));
            if place == 0 {
                reward = earned;
            } else {
                let [n, c] = weights.map(|w| w.min(self.weight_max));
                rest.push((earned, worth(offer), n, c));
            }
        }
        let first = &self.placement.slate[0];
        let limited = |side: Side, slate: f64| Side {
            first: (side.target / first.propensity).min(self.weight_max),
            slate: slate.min(self.weight_max),
            ..side
        };
        Judged {
            group: 0,
            reward,
            worth: worth(offer(&first.offer)),
            propensity: first.propensity,
            believed: first.probability * worth(offer(&first.offer)),
            rest,
            new: limited(new, weights[0]),
            champion: limited(champion, weights[1]),
            converted,
            age_ms: 0,
            window_ms,
            delay_ms,
        }
    }

    /// What a policy's odds at the first rank come to, by what was believed when the log was made.
    fn side(&self, catalog: &Catalog, odds: &SlateOdds) -> Side {
        let mut found = Side {
            target: odds.ranks[0],
            ..Side::default()
        };
        for &(offer, p) in &odds.first {
            let offer = catalog.offer(offer);
            match self.logged(&offer.id) {
                Some(probability) => {
                    let value = self.catalog.offer_by_hash(offer.hash);
                    found.expected += p * probability * worth(value);
                }
                None => found.uncovered += p,
            }
        }
        found
    }

    /// The side of the policy that made the log: its odds are on record.
    fn as_logged(&self) -> Side {
        let offer = |id: &str| self.catalog.offer_by_hash(NameHash::of(id));
        let first = &self.placement.slate[0];
        let tier = offer(&first.offer).map(|o| o.tier);
        // Odds of other tiers are of draws at later ranks.
        let rivals = self.placement.candidates.iter().filter_map(|c| {
            let offer = offer(&c.offer).filter(|o| Some(o.tier) == tier);
            Some(c.odds? * c.probability? * worth(Some(offer?)))
        });
        Side {
            target: first.propensity,
            expected: rivals.sum(),
            ..Side::default()
        }
    }

    /// What was believed of an offer that had a chance at the first rank.
    fn logged(&self, offer: &str) -> Option<f64> {
        let had_a_chance =
            |c: &&CandidateRecord<'_>| *c.offer == *offer && c.odds.is_some_and(|odds| odds > 0.0);
        let candidate = self.placement.candidates.iter().find(had_a_chance)?;
        candidate.probability
    }
}
