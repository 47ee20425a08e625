//! The record of a decision just made, straight into the packed form.
//!
//! What [`DecisionRecord`](super::DecisionRecord) says about a decision, to the byte and in a quarter of the
//! instructions: neither its strings and lists nor serde are in between. That struct is what a record is, and what
//! reads it; a test holds this to it, with decisions of every kind. A field goes into both.

use super::make::{self, answers, budget_spent, counted, is_eligible, listed};
use super::{LISTED_MAX, VERSION};
use crate::decide::snapshot::{Catalog, LiveModel, Snapshot};
use crate::domain::record::{Name, Packer, Value, Writing};
use crate::domain::{
    Candidate, Choice, Consent, Decision, Exclusion, Exposure, Facts, FeatureValue, Millis,
    PlacementAsk, PlacementDecision, Record, Request, Technician, Verdict,
};

/// A decision just made, and all that it was made from.
#[derive(Clone, Copy)]
pub struct Made<'a> {
    /// What decided.
    pub snapshot: &'a Snapshot,
    /// What was asked.
    pub request: &'a Request<'a>,
    /// What the ledger knew.
    pub facts: &'a Facts,
    /// What was decided.
    pub decision: &'a Decision,
    /// What another model said, as [`ShadowScores::of`](crate::decide::shadow::ShadowScores::of) has it.
    pub shadow: Option<(&'a LiveModel, &'a [Vec<f64>])>,
    /// How long deciding took, in microseconds.
    pub decide_us: f64,
}

impl Made<'_> {
    /// Whether anything about the customer may be on record.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.request.customer.consent.measurement
    }

    /// `name@version` of the model that decided.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.snapshot.decided_by(self.decision).label
    }

    /// Its record.
    pub fn pack(&self, packer: &mut Packer) -> Record {
        packer.write(|to| self.write(to))
    }

    fn write(&self, to: &mut Writing) {
        let (snapshot, request, measured) = (self.snapshot, self.request, self.is_measured());
        let mut record = to.object();
        record.put(Name::V, VERSION);
        record.put(Name::Type, "decision");
        record.put(Name::Id, request.decision);
        record.put(Name::At, Instant(request.at));
        record.put_some(Name::RequestId, request.request_id.filter(|_| measured));
        record.put(Name::Epoch, snapshot.epoch);
        record.put(Name::Model, self.model());
        let posterior = snapshot.posterior.as_ref().map(|p| p.version);
        record.put_some(Name::Posterior, posterior);
        record.put(Name::Catalog, &*snapshot.catalog.digest);
        record.put(Name::Test, request.test);
        record.put(Name::Measured, measured);
        record.put(Name::Effort, make::effort(request.effort));
        write_request(record.field(Name::Request), request, measured);
        let exposures = if measured {
            &*self.facts.exposures
        } else {
            &[]
        };
        let field = record.field(Name::Exposures);
        field.list(exposures.iter(), write_exposure);
        let placements = self.decision.placements.iter();
        let field = record.field(Name::Placements);
        field.list(placements, |to, placement| self.placement(to, placement));
        let degraded = record.field(Name::Degraded);
        degraded.array(self.decision.degraded.words().count());
        (self.decision.degraded.words()).for_each(|word| degraded.put(word));
        if let Some((model, said)) = self.shadow {
            let mut shadow = record.field(Name::Shadow).object();
            shadow.put(Name::Model, &*model.label);
            let field = shadow.field(Name::Probabilities);
            field.list(answers(self.decision, said), |to, said| {
                to.list(said.into_iter(), Writing::put);
            });
            shadow.end();
        }
        record.put(Name::DecideUs, self.decide_us);
        record.end();
    }

    fn placement(&self, to: &mut Writing, placement: &PlacementDecision) {
        let (snapshot, request) = (self.snapshot, self.request);
        let catalog = &*snapshot.catalog;
        let all = self.decision.candidates_of(placement);
        let slate = self.decision.choices_of(placement);
        let asked = &request.placements[usize::from(placement.ask)];
        let known = placement.placement;
        let known = known.map(|ix| &catalog.placements[usize::from(ix.0)]);
        let mut record = to.object();
        record.put(Name::Id, asked.id);
        let reason = placement.no_offer.map(Exclusion::as_str);
        record.put(Name::NoOfferReason, reason);
        record.put(Name::Policy, known.map(|p| &*p.policy));
        let spent = budget_spent(snapshot, request, all);
        if !spent.is_empty() {
            record.put(Name::BudgetSpent, &*spent);
        }
        record.put(Name::JointPropensity, placement.joint);
        if all.len() <= LISTED_MAX {
            let withheld = Withheld::of(all);
            let running = all.iter().filter(|c| is_eligible(c));
            let field = record.field(Name::Candidates);
            field.array(all.len() - withheld.count);
            running.for_each(|c| write_candidate(field, snapshot, c));
            if withheld.count > 0 {
                withheld.write(record.field(Name::Withheld), catalog, all);
            }
        } else {
            let field = record.field(Name::Candidates);
            field.list(listed(all, slate).into_iter(), |to, i| {
                write_candidate(to, snapshot, &all[i]);
            });
            let excluded = counted(all);
            if !excluded.is_empty() {
                let field = record.field(Name::Excluded);
                field.list(excluded.into_iter(), |to, (why, n)| {
                    to.array(2);
                    to.put(why);
                    to.put(n);
                });
            }
        }
        let field = record.field(Name::Slate);
        field.list(slate.iter(), |to, choice| {
            write_choice(to, catalog, choice);
        });
        record.end();
    }
}

/// RFC 3339.
struct Instant(Millis);

impl Value for Instant {
    fn put(self, to: &mut Writing) {
        match self.0.rfc3339() {
            Some(text) => to.put(std::str::from_utf8(&text).expect("digits are ASCII")),
            None => to.put(&*make::rfc3339(self.0)),
        }
    }
}

fn write_request(to: &mut Writing, request: &Request<'_>, measured: bool) {
    // Of a customer who is not to be measured only what was asked for is on record.
    let told = measured.then_some(request);
    let visit = told.map(|r| &r.appointment);
    let customer = told.map(|r| &r.customer);
    let mut record = to.object();
    record.put(Name::Channel, request.channel.as_str());
    record.put(Name::Locale, told.and_then(|r| r.locale));
    record.put(Name::Device, told.and_then(|r| r.device));
    record.put(Name::Phase, request.appointment.phase.as_str());
    record.put(Name::JobType, visit.and_then(|v| v.job_type));
    let window_start = visit.and_then(|v| v.window_start);
    record.put(Name::WindowStart, window_start.map(|t| t.0));
    let window_end = visit.and_then(|v| v.window_end);
    record.put(Name::WindowEnd, window_end.map(|t| t.0));
    record.put(Name::EtaSeconds, visit.and_then(|v| v.eta_seconds));
    record.put(Name::DelaySeconds, visit.and_then(|v| v.delay_seconds));
    record.put(Name::Reschedules, visit.map_or(0, |v| v.reschedules));
    let technician = visit.and_then(|v| v.technician.as_ref());
    record.put(Name::Technician, technician);
    record.put(Name::Subject, customer.and_then(|c| c.subject));
    let features = customer.map_or(&[][..], |c| &c.features);
    let field = record.field(Name::Features);
    field.list(features.iter(), |to, &(name, value)| {
        to.array(2);
        to.put(name);
        to.put(value);
    });
    record.put(Name::Segments, customer.map_or(&[][..], |c| &c.segments));
    record.put(Name::Products, customer.map_or(&[][..], |c| &c.products));
    let Consent {
        personalization,
        marketing,
        measurement,
    } = request.customer.consent;
    let consent = [personalization, marketing, measurement].into_iter();
    record.field(Name::Consent).list(consent, Writing::put);
    let care = customer.map(|c| c.care).unwrap_or_default();
    let field = record.field(Name::Care);
    field.array(3);
    field.put(care.open_issue);
    field.put(care.payment_hardship);
    field.put(care.last_rating);
    let triggers = told.map_or(&[][..], |r| &r.triggers);
    let field = record.field(Name::Triggers);
    field.list(triggers.iter(), |to, trigger| {
        to.array(3);
        to.put(trigger.name);
        to.put(trigger.count);
        to.put(trigger.age_ms);
    });
    let field = record.field(Name::Placements);
    field.list(request.placements.iter(), |to, asked: &PlacementAsk<'_>| {
        to.array(3);
        to.put(asked.id);
        to.put(asked.count);
        to.put(told.map_or(&[][..], |_| &asked.exclude_offers));
    });
    record.end();
}

impl Value for &Technician<'_> {
    fn put(self, to: &mut Writing) {
        let mut record = to.object();
        record.put(Name::Skills, &*self.skills);
        record.put(Name::Stock, &*self.stock);
        record.put(Name::SlackMinutes, self.slack_minutes);
        record.end();
    }
}

impl Value for FeatureValue<'_> {
    fn put(self, to: &mut Writing) {
        match self {
            FeatureValue::Flag(flag) => to.put(flag),
            FeatureValue::Number(number) => to.put(number),
            FeatureValue::Text(text) => to.put(text),
        }
    }
}

fn write_exposure(to: &mut Writing, exposure: &Exposure) {
    let mut record = to.object();
    record.put(Name::Offer, exposure.offer);
    record.put(Name::Sells, exposure.sells);
    record.put(Name::At, exposure.at.0);
    record.put(Name::Confirmed, exposure.confirmed);
    record.end();
}

#[inline]
fn write_candidate(to: &mut Writing, snapshot: &Snapshot, candidate: &Candidate) {
    let Verdict::Eligible {
        base,
        probability,
        spread,
        score,
        odds,
    } = candidate.verdict
    else {
        return;
    };
    let learnt = snapshot.posterior.is_some();
    let mut record = to.object();
    record.put(Name::Offer, &*snapshot.catalog.offer(candidate.offer).id);
    record.put_some(Name::Base, learnt.then_some(base));
    record.put(Name::Probability, probability);
    record.put_some(Name::Spread, learnt.then_some(spread));
    record.put(Name::Score, score);
    record.put(Name::Odds, odds);
    record.end();
}

fn write_choice(to: &mut Writing, catalog: &Catalog, choice: &Choice) {
    let offer = catalog.offer(choice.offer);
    let creative = &offer.creatives[usize::from(choice.creative.0)];
    let mut record = to.object();
    record.put(Name::Offer, &*offer.id);
    record.put(Name::Creative, &*creative.id);
    record.put(Name::Rank, choice.rank);
    record.put(Name::Probability, choice.probability);
    record.put(Name::Score, choice.score);
    record.put(Name::Propensity, choice.propensity.get());
    record.put(Name::Explored, choice.explored);
    record.put(Name::Gap, choice.gap);
    record.put(Name::Behind, choice.behind);
    record.end();
}

/// Those who left the running, by reason in the order in which reasons came up: chained, so that each is
/// looked at twice however many reasons there are.
struct Withheld {
    count: usize,
    groups: [Group; Exclusion::ALL.len()],
    /// How many groups there are, and which reasons'.
    order: ([Exclusion; Exclusion::ALL.len()], usize),
    /// For each candidate the next one of its group.
    next: [u16; LISTED_MAX],
}

#[derive(Clone, Copy, Default)]
struct Group {
    first: u16,
    last: u16,
    count: u16,
}

impl Withheld {
    /// Of at most [`LISTED_MAX`] candidates.
    fn of(all: &[Candidate]) -> Withheld {
        let mut withheld = Withheld {
            count: 0,
            groups: [Group::default(); Exclusion::ALL.len()],
            order: ([Exclusion::PhaseMismatch; Exclusion::ALL.len()], 0),
            next: [0; LISTED_MAX],
        };
        for (i, candidate) in (0u16..).zip(all) {
            let Verdict::Excluded(reason) = candidate.verdict else {
                continue;
            };
            let group = &mut withheld.groups[reason as usize];
            if group.count == 0 {
                group.first = i;
                let (order, len) = &mut withheld.order;
                order[*len] = reason;
                *len += 1;
            } else {
                withheld.next[usize::from(group.last)] = i;
            }
            group.last = i;
            group.count += 1;
            withheld.count += 1;
        }
        withheld
    }

    fn write(&self, to: &mut Writing, catalog: &Catalog, all: &[Candidate]) {
        let (order, len) = &self.order;
        to.list(order[..*len].iter(), |to, reason| {
            let group = self.groups[*reason as usize];
            to.array(2);
            to.put(reason.as_str());
            to.array(usize::from(group.count));
            let mut at = group.first;
            for _ in 0..group.count {
                let offer = all[usize::from(at)].offer;
                to.put(&*catalog.offer(offer).id);
                at = self.next[usize::from(at)];
            }
        });
    }
}
