//! The record of a decision just made, as a value: for whoever compares decisions. The server writes records
//! without it, see [`super::write`].

use jiff::fmt::temporal::DateTimePrinter;

use super::{
    CandidateRecord, ChoiceRecord, DecisionRecord, ExposureRecord, FeatureRecord, LISTED_MAX,
    PlacementRecord, RequestRecord, ShadowRecord, TechnicianRecord, Text, VERSION,
};
use crate::decide::snapshot::{Catalog, LiveModel, Set, Snapshot};
use crate::domain::{
    Candidate, Choice, Consent, Decision, Effort, Exclusion, Exposure, Facts, FeatureValue, Millis,
    OfferClass, PlacementDecision, Request, Verdict,
};

impl<'a> ShadowRecord<'a> {
    /// The record of what a shadow said.
    #[must_use]
    pub fn new(
        model: &'a LiveModel,
        decision: &Decision,
        probabilities: &[Vec<f64>],
    ) -> ShadowRecord<'a> {
        let finite = |p: f64| Some(p).filter(|p| p.is_finite());
        let answers = answers(decision, probabilities).map(|said| said.into_iter().map(finite));
        ShadowRecord {
            model: (&*model.label).into(),
            probabilities: answers.map(Iterator::collect).collect(),
        }
    }
}

/// What a shadow said, placement by placement, about the candidates that are listed.
pub(super) fn answers(
    decision: &Decision,
    probabilities: &[Vec<f64>],
) -> impl ExactSizeIterator<Item = Vec<f64>> {
    let one = |(placement, said): (&PlacementDecision, &Vec<f64>)| {
        let all = decision.candidates_of(placement);
        let listed = listed(all, decision.choices_of(placement));
        let eligible = (0..all.len()).filter(|i| is_eligible(&all[*i]));
        (eligible.zip(said))
            .filter(|(i, _)| listed.binary_search(i).is_ok())
            .map(|(_, p)| *p)
            .collect()
    };
    decision.placements.iter().zip(probabilities).map(one)
}

impl<'a> DecisionRecord<'a> {
    /// The record of a decision just made.
    #[must_use]
    pub fn new(
        snapshot: &'a Snapshot,
        request: &'a Request<'a>,
        facts: &Facts,
        decision: &Decision,
        decide_us: f64,
    ) -> DecisionRecord<'a> {
        let measured = request.customer.consent.measurement;
        DecisionRecord {
            v: VERSION,
            kind: "decision".into(),
            id: request.decision.to_string(),
            at: rfc3339(request.at),
            request_id: request.request_id.filter(|_| measured).map(Into::into),
            epoch: snapshot.epoch,
            model: (&*snapshot.decided_by(decision).label).into(),
            posterior: snapshot.posterior.as_ref().map(|p| p.version),
            catalog: snapshot.catalog.digest.as_str().into(),
            test: request.test,
            measured,
            effort: effort(request.effort).into(),
            request: RequestRecord::new(request, measured),
            exposures: if measured {
                exposures(facts)
            } else {
                Vec::new()
            },
            placements: placements(snapshot, request, decision),
            degraded: decision.degraded.words().map(Into::into).collect(),
            shadow: None,
            decide_us,
        }
    }
}

impl<'a> RequestRecord<'a> {
    fn new(request: &'a Request<'a>, measured: bool) -> RequestRecord<'a> {
        if !measured {
            return RequestRecord::unmeasured(request);
        }
        let visit = &request.appointment;
        let customer = &request.customer;
        let list = |list: &'a [&'a str]| list.iter().copied().map(Text::from).collect::<Vec<_>>();
        RequestRecord {
            channel: request.channel.as_str().into(),
            locale: request.locale.map(Into::into),
            device: request.device.map(Into::into),
            phase: visit.phase.as_str().into(),
            job_type: visit.job_type.map(Into::into),
            window_start: visit.window_start.map(|t| t.0),
            window_end: visit.window_end.map(|t| t.0),
            eta_seconds: visit.eta_seconds,
            delay_seconds: visit.delay_seconds,
            reschedules: visit.reschedules,
            technician: visit.technician.as_ref().map(|t| TechnicianRecord {
                skills: list(&t.skills),
                stock: list(&t.stock),
                slack_minutes: t.slack_minutes,
            }),
            subject: customer.subject.map(|s| s.to_string()),
            features: customer
                .features
                .iter()
                .map(|&(name, value)| (name.into(), value.into()))
                .collect(),
            segments: list(&customer.segments),
            products: list(&customer.products),
            consent: consent(customer.consent),
            care: (
                customer.care.open_issue,
                customer.care.payment_hardship,
                customer.care.last_rating,
            ),
            triggers: request
                .triggers
                .iter()
                .map(|t| (t.name.into(), t.count, t.age_ms))
                .collect(),
            placements: request
                .placements
                .iter()
                .map(|p| (p.id.into(), p.count, list(&p.exclude_offers)))
                .collect(),
        }
    }

    /// What may be on record of a customer who is not to be measured: what was asked for, and nothing
    /// of the visit or the page by which they could be told from others.
    fn unmeasured(request: &'a Request<'a>) -> RequestRecord<'a> {
        let asked = request.placements.iter();
        RequestRecord {
            channel: request.channel.as_str().into(),
            locale: None,
            device: None,
            phase: request.appointment.phase.as_str().into(),
            job_type: None,
            window_start: None,
            window_end: None,
            eta_seconds: None,
            delay_seconds: None,
            reschedules: 0,
            technician: None,
            subject: None,
            features: Vec::new(),
            segments: Vec::new(),
            products: Vec::new(),
            consent: consent(request.customer.consent),
            care: (false, false, None),
            triggers: Vec::new(),
            placements: asked.map(|p| (p.id.into(), p.count, Vec::new())).collect(),
        }
    }
}

impl<'a> From<FeatureValue<'a>> for FeatureRecord<'a> {
    fn from(value: FeatureValue<'a>) -> FeatureRecord<'a> {
        match value {
            FeatureValue::Number(n) => FeatureRecord::Number(n),
            FeatureValue::Text(t) => FeatureRecord::Text(t.into()),
            FeatureValue::Flag(f) => FeatureRecord::Flag(f),
        }
    }
}

/// The word for what there was room for.
pub(super) fn effort(effort: Effort) -> &'static str {
    match effort {
        Effort::Full => "full",
        Effort::PriorOnly => "prior",
        Effort::Overload => "overload",
        Effort::Nothing => "nothing",
    }
}

/// As the record has it: personalization, marketing, measurement.
fn consent(consent: Consent) -> (bool, bool, bool) {
    let Consent {
        personalization,
        marketing,
        measurement,
    } = consent;
    (personalization, marketing, measurement)
}

fn exposures(facts: &Facts) -> Vec<ExposureRecord> {
    let record = |e: &Exposure| ExposureRecord {
        offer: String::from_utf8_lossy(&e.offer.text()).into_owned(),
        sells: e.sells,
        at: e.at.0,
        confirmed: e.confirmed,
    };
    facts.exposures.iter().map(record).collect()
}

fn placements<'a>(
    snapshot: &'a Snapshot,
    request: &'a Request<'a>,
    decision: &Decision,
) -> Vec<PlacementRecord<'a>> {
    let catalog = &snapshot.catalog;
    let one = |p: &PlacementDecision| PlacementRecord {
        id: request.placements[usize::from(p.ask)].id.into(),
        no_offer_reason: p.no_offer.map(|r| r.as_str().into()),
        policy: p
            .placement
            .map(|ix| (&*catalog.placements[usize::from(ix.0)].policy).into()),
        budget_spent: budget_spent(snapshot, request, decision.candidates_of(p))
            .into_iter()
            .map(Text::from)
            .collect(),
        joint_propensity: p.joint,
        withheld: withheld(catalog, decision.candidates_of(p)),
        excluded: counted(decision.candidates_of(p))
            .into_iter()
            .map(|(why, n)| (why.into(), n))
            .collect(),
        candidates: candidates(snapshot, decision.candidates_of(p), decision.choices_of(p)),
        slate: decision
            .choices_of(p)
            .iter()
            .map(|c| {
                let offer = catalog.offer(c.offer);
                ChoiceRecord {
                    offer: (&*offer.id).into(),
                    creative: (&*offer.creatives[usize::from(c.creative.0)].id).into(),
                    rank: c.rank,
                    probability: c.probability,
                    score: c.score,
                    propensity: c.propensity.get(),
                    explored: c.explored,
                    gap: c.gap,
                    behind: c.behind,
                }
            })
            .collect(),
    };
    decision.placements.iter().map(one).collect()
}

/// Those in the running, or the likeliest of them.
fn candidates<'a>(
    snapshot: &'a Snapshot,
    all: &[Candidate],
    slate: &[Choice],
) -> Vec<CandidateRecord<'a>> {
    let learnt = snapshot.posterior.is_some();
    let record = |candidate: &Candidate| {
        let offer = &snapshot.catalog.offer(candidate.offer).id;
        CandidateRecord::new(offer, candidate.verdict, learnt)
    };
    // Room for all at once: most are, and growing copies what is there again and again.
    let mut records = Vec::with_capacity(all.len().min(LISTED_MAX));
    if all.len() <= LISTED_MAX {
        records.extend(all.iter().filter_map(record));
    } else {
        let listed = listed(all, slate).into_iter();
        records.extend(listed.filter_map(|i| record(&all[i])));
    }
    records
}

/// The classes in the running that may not explore.
pub(super) fn budget_spent(
    snapshot: &Snapshot,
    request: &Request<'_>,
    candidates: &[Candidate],
) -> Vec<&'static str> {
    let spent = snapshot.spent.at(request.at);
    if spent.is_empty() {
        return Vec::new();
    }
    let class = |c: &Candidate| snapshot.catalog.offer(c.offer).class;
    let running = candidates.iter().filter(|c| is_eligible(c)).map(class);
    let running = running.fold(Set::default(), |set, class| set.with(class as u8));
    let held = |class: &&OfferClass| spent.has_class(**class) && running.has_class(**class);
    let held = OfferClass::ALL.iter().filter(held);
    held.map(|class| class.as_str()).collect()
}

impl<'a> CandidateRecord<'a> {
    /// `None` for one that left the running: those are listed by their reason.
    fn new(offer: &'a str, verdict: Verdict, learnt: bool) -> Option<CandidateRecord<'a>> {
        let Verdict::Eligible {
            base,
            probability,
            spread,
            score,
            odds,
        } = verdict
        else {
            return None;
        };
        Some(CandidateRecord {
            offer: offer.into(),
            excluded: None,
            base: learnt.then_some(base),
            probability: Some(probability),
            spread: learnt.then_some(spread),
            score: Some(score),
            odds: Some(odds),
        })
    }
}

/// Whom the record lists, by index and in the order they were looked at.
pub(super) fn listed(all: &[Candidate], slate: &[Choice]) -> Vec<usize> {
    if all.len() <= LISTED_MAX {
        return (0..all.len()).filter(|i| is_eligible(&all[*i])).collect();
    }
    let odds = |candidate: &Candidate| match candidate.verdict {
        Verdict::Eligible { .. } if slate.iter().any(|c| c.offer == candidate.offer) => f64::MAX,
        Verdict::Eligible { odds, .. } => odds,
        Verdict::Excluded(_) => f64::MIN,
    };
    let eligible = (0..all.len()).filter(|i| is_eligible(&all[*i]));
    let mut likeliest: Vec<(usize, f64)> = eligible.map(|i| (i, odds(&all[i]))).collect();
    if likeliest.len() > LISTED_MAX {
        // Ties by place, so that a replay lists the same ones.
        likeliest
            .select_nth_unstable_by(LISTED_MAX, |(i, p), (j, q)| q.total_cmp(p).then(i.cmp(j)));
        likeliest.truncate(LISTED_MAX);
    }
    let mut listed: Vec<usize> = likeliest.into_iter().map(|(i, _)| i).collect();
    listed.sort_unstable();
    listed
}

pub(super) fn is_eligible(candidate: &Candidate) -> bool {
    matches!(candidate.verdict, Verdict::Eligible { .. })
}

/// Those who left the running, by reason: most offers are not for now, and there are few reasons.
fn withheld<'a>(catalog: &'a Catalog, all: &[Candidate]) -> Vec<(Text<'a>, Vec<Text<'a>>)> {
    let mut groups: Vec<(Text<'a>, Vec<Text<'a>>)> = Vec::new();
    if all.len() > LISTED_MAX {
        return groups;
    }
    for candidate in all {
        let Verdict::Excluded(reason) = candidate.verdict else {
            continue;
        };
        let offer = Text::from(&*catalog.offer(candidate.offer).id);
        match groups.iter_mut().find(|(why, _)| *why == reason.as_str()) {
            Some((_, offers)) => offers.push(offer),
            None => groups.push((reason.as_str().into(), vec![offer])),
        }
    }
    groups
}

/// Those who are not listed, by reason.
pub(super) fn counted(all: &[Candidate]) -> Vec<(&'static str, u32)> {
    if all.len() <= LISTED_MAX {
        return Vec::new();
    }
    let mut counts = [0u32; Exclusion::ALL.len()];
    let mut running = 0;
    for candidate in all {
        match candidate.verdict {
            Verdict::Excluded(reason) => counts[reason as usize] += 1,
            Verdict::Eligible { .. } => running += 1,
        }
    }
    let listed = u32::try_from(LISTED_MAX).expect("a few hundred");
    counts[Exclusion::LostOnScore as usize] += u32::saturating_sub(running, listed);
    let nonzero = Exclusion::ALL.iter().zip(counts).filter(|(_, n)| *n > 0);
    nonzero.map(|(reason, n)| (reason.as_str(), n)).collect()
}

/// RFC 3339 with milliseconds, UTC; the epoch for instants outside the calendar.
#[must_use]
pub fn rfc3339(at: Millis) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    match at.rfc3339() {
        Some(text) => String::from_utf8_lossy(&text).into_owned(),
        None => PRINTER
            .timestamp_to_string(&jiff::Timestamp::from_millisecond(at.0).unwrap_or_default()),
    }
}
