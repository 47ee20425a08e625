//! A decision's record: what a person, a learner or a replay needs to know about it, as one JSON object.
//!
//! It carries the request without raw ids, the facts, every candidate's exclusion or odds, and the
//! slate with its propensities. Given the snapshot it names, [`DecisionRecord::request`] and
//! [`DecisionRecord::facts`] make the same decision again, bit for bit.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use jiff::fmt::temporal::DateTimePrinter;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

use super::budget::Spent;
use super::posterior::{Belief, Posterior};
use super::snapshot::{Catalog, LiveModel, Set, Snapshot};
use crate::domain::{
    Appointment, Candidate, Care, Channel, Choice, Consent, Customer, Decision, DecisionId, Effort,
    Exclusion, Exposure, Facts, FeatureValue, Millis, NameHash, OfferClass, Phase, PlacementAsk,
    PlacementDecision, Request, SubjectKey, Technician, Trigger, Verdict,
};

/// The version of this form. A reader refuses a higher one.
pub const VERSION: u32 = 1;

/// Up to so many candidates of a placement are listed one by one. Of more, the slate and those most
/// likely to be drawn are, and the others are counted by reason: a record of eight placements of a catalog of ten
/// thousand offers would outgrow what the journal takes, and with it the decision would be lost.
pub const LISTED_MAX: usize = 500;

/// One decision on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord<'a> {
    /// [`VERSION`].
    pub v: u32,
    /// Always `decision`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// The decision's id.
    pub id: String,
    /// When the request arrived, RFC 3339.
    pub at: String,
    /// The caller's own id; it too may lead to the customer.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<Cow<'a, str>>,
    /// The snapshot's number.
    pub epoch: u64,
    /// `name@version` of the model that decided: the live one, or the canary.
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    /// The version of the posterior, where one was asked; `base` and `spread` of its candidates are on
    /// record then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub posterior: Option<u64>,
    /// SHA-256 of the catalog that was live.
    #[serde(borrow)]
    pub catalog: Cow<'a, str>,
    /// A `test` request's: never learnt from.
    pub test: bool,
    /// False where the customer withholds measurement: then nothing about the customer is written.
    pub measured: bool,
    /// What there was room for: `full`, `prior` (the deadline was near), `overload` or `nothing`.
    #[serde(borrow)]
    pub effort: Cow<'a, str>,
    /// What was asked.
    #[serde(borrow)]
    pub request: RequestRecord<'a>,
    /// What the ledger knew.
    pub exposures: Vec<ExposureRecord>,
    /// What was decided, placement by placement.
    #[serde(borrow)]
    pub placements: Vec<PlacementRecord<'a>>,
    /// What the answer had to leave out.
    #[serde(borrow)]
    pub degraded: Vec<Cow<'a, str>>,
    /// What another model would have said; absent where none was asked.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub shadow: Option<ShadowRecord<'a>>,
    /// How long deciding took, in microseconds.
    pub decide_us: f64,
}

/// What a model in the stage `shadow` said about the same candidates. Nothing was decided by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowRecord<'a> {
    /// `name@version`.
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    /// For each placement, a probability for each candidate that is listed and not excluded, in their
    /// order; null where the model failed.
    pub probabilities: Vec<Vec<Option<f64>>>,
}

impl<'a> ShadowRecord<'a> {
    /// The record of what a shadow said.
    #[must_use]
    pub fn new(
        model: &'a LiveModel,
        decision: &Decision,
        probabilities: &[Vec<f64>],
    ) -> ShadowRecord<'a> {
        let finite = |p: &f64| Some(*p).filter(|p| p.is_finite());
        let one = |(placement, said): (&PlacementDecision, &Vec<f64>)| {
            let all = decision.candidates_of(placement);
            let listed = listed(all, decision.choices_of(placement));
            let eligible = (0..all.len()).filter(|i| is_eligible(&all[*i]));
            (eligible.zip(said))
                .filter(|(i, _)| listed.binary_search(i).is_ok())
                .map(|(_, p)| finite(p))
                .collect()
        };
        ShadowRecord {
            model: (&*model.label).into(),
            probabilities: decision
                .placements
                .iter()
                .zip(probabilities)
                .map(one)
                .collect(),
        }
    }
}

/// The request without raw ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord<'a> {
    /// Where the offer would be read.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// BCP 47.
    #[serde(borrow)]
    pub locale: Option<Cow<'a, str>>,
    /// Such as `mobile`.
    #[serde(borrow)]
    pub device: Option<Cow<'a, str>>,
    /// Where the appointment stands.
    #[serde(borrow)]
    pub phase: Cow<'a, str>,
    /// Such as `install`.
    #[serde(borrow)]
    pub job_type: Option<Cow<'a, str>>,
    /// Milliseconds since the Unix epoch.
    pub window_start: Option<i64>,
    /// Milliseconds since the Unix epoch.
    pub window_end: Option<i64>,
    /// Seconds until arrival.
    pub eta_seconds: Option<u32>,
    /// Seconds behind the promise.
    pub delay_seconds: Option<i32>,
    /// How often the visit was moved.
    pub reschedules: u32,
    /// Who comes, and with what.
    #[serde(borrow)]
    pub technician: Option<TechnicianRecord<'a>>,
    /// Keyed hash of the customer's (or the appointment's) id.
    pub subject: Option<String>,
    /// The customer's features, in the order of the request.
    #[serde(borrow)]
    pub features: Vec<(Cow<'a, str>, FeatureRecord<'a>)>,
    /// The customer's segments.
    #[serde(borrow)]
    pub segments: Vec<Cow<'a, str>>,
    /// The customer's products.
    #[serde(borrow)]
    pub products: Vec<Cow<'a, str>>,
    /// Personalization, marketing, measurement.
    pub consent: (bool, bool, bool),
    /// Open issue, payment hardship, last rating.
    pub care: (bool, bool, Option<u8>),
    /// Name, count, age in milliseconds.
    #[serde(borrow)]
    pub triggers: Vec<(Cow<'a, str>, u32, u64)>,
    /// Id, count, offers excluded.
    #[serde(borrow)]
    pub placements: Vec<(Cow<'a, str>, u8, Vec<Cow<'a, str>>)>,
}

/// The technician.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TechnicianRecord<'a> {
    /// Such as `wifi`.
    #[serde(borrow)]
    pub skills: Vec<Cow<'a, str>>,
    /// Parts on the van.
    #[serde(borrow)]
    pub stock: Vec<Cow<'a, str>>,
    /// Minutes to spare.
    pub slack_minutes: Option<u32>,
}

/// A feature's value as it came in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FeatureRecord<'a> {
    /// A boolean.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(Cow<'a, str>),
}

/// By hand: as an untagged enum, serde words an error for each kind that a value is not, and a learner reads some twenty
/// values per record.
impl<'de: 'a, 'a> Deserialize<'de> for FeatureRecord<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = FeatureRecord<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean, a number or a string")
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(FeatureRecord::Flag(flag))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(FeatureRecord::Number(number as f64))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(FeatureRecord::Number(number as f64))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
                Ok(FeatureRecord::Number(number))
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(FeatureRecord::Text(text.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(FeatureRecord::Text(text.to_owned().into()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// One showing that the ledger knew of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExposureRecord {
    /// Hash of the offer's id, hexadecimal.
    pub offer: String,
    /// Whether it sells.
    pub sells: bool,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Seen for certain.
    pub confirmed: bool,
}

/// The outcome at one placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlacementRecord<'a> {
    /// The placement asked for.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Why nothing is shown.
    #[serde(borrow)]
    pub no_offer_reason: Option<Cow<'a, str>>,
    /// The policy that drew.
    #[serde(borrow)]
    pub policy: Option<Cow<'a, str>>,
    /// Classes of the candidates that had spent what exploring may cost on that day: of these the policy gave the
    /// best its odds, and the others the floor.
    #[serde(borrow, skip_serializing_if = "Vec::is_empty", default)]
    pub budget_spent: Vec<Cow<'a, str>>,
    /// Probability of this slate in this order.
    pub joint_propensity: f64,
    /// Every offer that stayed in the running; where more than [`LISTED_MAX`] were looked at, the slate
    /// and those with the highest odds.
    #[serde(borrow)]
    pub candidates: Vec<CandidateRecord<'a>>,
    /// The offers that left the running, by the reason of their exclusion; empty where more than
    /// [`LISTED_MAX`] were looked at.
    #[serde(borrow, skip_serializing_if = "Vec::is_empty", default)]
    pub withheld: Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)>,
    /// How many are not listed, by the reason of their exclusion; eligible ones as `lost_on_score`.
    #[serde(borrow, skip_serializing_if = "Vec::is_empty", default)]
    pub excluded: Vec<(Cow<'a, str>, u32)>,
    /// The offers shown, best rank first.
    #[serde(borrow)]
    pub slate: Vec<ChoiceRecord<'a>>,
}

/// One offer in the running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateRecord<'a> {
    /// The offer's id.
    #[serde(borrow)]
    pub offer: Cow<'a, str>,
    /// Why it left the running, in a record of before [`PlacementRecord::withheld`]; not written any more.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub excluded: Option<Cow<'a, str>>,
    /// Probability of a success as the model, or the offer's prior, says; only beside a posterior.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base: Option<f64>,
    /// Believed probability of a success.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probability: Option<f64>,
    /// Standard deviation of its logarithm; only beside a posterior.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spread: Option<f64>,
    /// Expected value in minor units.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub score: Option<f64>,
    /// Probability of being drawn first of its tier.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub odds: Option<f64>,
}

/// One offer shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceRecord<'a> {
    /// The offer's id.
    #[serde(borrow)]
    pub offer: Cow<'a, str>,
    /// The creative's id.
    #[serde(borrow)]
    pub creative: Cow<'a, str>,
    /// 1 for the best place.
    pub rank: u8,
    /// Believed probability of a conversion.
    pub probability: f64,
    /// Expected value in minor units.
    pub score: f64,
    /// Exact probability of drawing it at this rank, given the ranks before it.
    pub propensity: f64,
    /// Whether another eligible offer of its tier had the higher score.
    pub explored: bool,
    /// What exploring costs at this rank in expectation, minor units: the best score less the mean score
    /// under the odds.
    #[serde(default)]
    pub gap: f64,
    /// What it cost this time: the best score less this one.
    #[serde(default)]
    pub behind: f64,
}

/// A record that cannot be decided again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Written by a newer release.
    #[error("record has version {0}, this release reads up to {VERSION}")]
    Version(u32),
    /// A field is not of its form.
    #[error("record's {0} is not of the expected form")]
    Field(&'static str),
    /// There were more candidates than are listed, and what the posterior believed of the others is not on
    /// record.
    #[error("more than {LISTED_MAX} candidates: not every belief is on record")]
    Unlisted,
    /// The customer withheld measurement, so the record does not hold the inputs.
    #[error("the customer withheld measurement: the inputs are not on record")]
    Unmeasured,
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
            effort: match request.effort {
                Effort::Full => "full",
                Effort::PriorOnly => "prior",
                Effort::Overload => "overload",
                Effort::Nothing => "nothing",
            }
            .into(),
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

    /// Whether a deadline or a failure cut the answer short: it says little about the policy, and never teaches.
    /// Where no model is live the priors are the policy.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        self.degraded.iter().any(|word| word != "prior_only")
    }

    /// The request to decide again.
    ///
    /// # Errors
    /// When the record is of another form or does not hold its inputs.
    pub fn request(&'a self) -> Result<Request<'a>, ReplayError> {
        if self.v > VERSION {
            return Err(ReplayError::Version(self.v));
        }
        if !self.measured {
            return Err(ReplayError::Unmeasured);
        }
        let at: jiff::Timestamp = self.at.parse().map_err(|_| ReplayError::Field("at"))?;
        self.request.request(
            self.id.parse().map_err(|_| ReplayError::Field("id"))?,
            Millis(at.as_millisecond()),
            self.request_id.as_deref(),
            self.test,
            match &*self.effort {
                "full" => Effort::Full,
                "prior" => Effort::PriorOnly,
                "overload" => Effort::Overload,
                "nothing" => Effort::Nothing,
                _ => return Err(ReplayError::Field("effort")),
            },
        )
    }

    /// The facts to decide again with.
    ///
    /// # Errors
    /// When an offer's hash is not one.
    pub fn facts(&self) -> Result<Facts, ReplayError> {
        let exposure = |e: &ExposureRecord| {
            let offer = u64::from_str_radix(&e.offer, 16);
            Ok(Exposure {
                offer: NameHash(offer.map_err(|_| ReplayError::Field("exposures.offer"))?),
                sells: e.sells,
                at: Millis(e.at),
                confirmed: e.confirmed,
            })
        };
        Ok(Facts {
            exposures: self
                .exposures
                .iter()
                .map(exposure)
                .collect::<Result<_, _>>()?,
        })
    }

    /// What the posterior believed, for a decision that is made again; `None` where none was asked.
    ///
    /// # Errors
    /// When the beliefs about some candidates are not on record.
    pub fn beliefs(&self, catalog: &Catalog) -> Result<Option<Posterior>, ReplayError> {
        let Some(version) = self.posterior else {
            return Ok(None);
        };
        let mut beliefs = HashMap::new();
        for (ask, placement) in (0_u8..).zip(&self.placements) {
            let unlisted =
                |(why, _): &(Cow<'_, str>, u32)| *why == *Exclusion::LostOnScore.as_str();
            if placement.excluded.iter().any(unlisted) {
                return Err(ReplayError::Unlisted);
            }
            for candidate in &placement.candidates {
                let offer = catalog.offer_index.get(&NameHash::of(&candidate.offer));
                if let (Some(&offer), Some(probability)) = (offer, candidate.probability) {
                    let spread = candidate.spread.unwrap_or(0.0);
                    let belief = Belief {
                        probability,
                        spread,
                    };
                    beliefs.insert((ask, offer), belief);
                }
            }
        }
        Ok(Some(Posterior::recorded(version, beliefs)))
    }

    /// The classes that had spent what exploring may cost, for a decision that is made again.
    ///
    /// # Errors
    /// When a class is none of ours.
    pub fn spent(&self) -> Result<Spent, ReplayError> {
        let mut spent = Spent::NOTHING;
        for word in self.placements.iter().flat_map(|p| &p.budget_spent) {
            let class = word.parse::<OfferClass>();
            let class = class.map_err(|_| ReplayError::Field("placements.budget_spent"))?;
            spent.classes = spent.classes.with(class as u8);
        }
        Ok(spent)
    }

    /// Whether another decision on the same request came to the same end: every exclusion, every
    /// probability, the slate and its propensities, to the bit.
    #[must_use]
    pub fn same_outcome(&self, other: &DecisionRecord<'_>) -> bool {
        self.placements == other.placements && self.degraded == other.degraded
    }
}

impl<'a> RequestRecord<'a> {
    fn new(request: &'a Request<'a>, measured: bool) -> RequestRecord<'a> {
        if !measured {
            return RequestRecord::unmeasured(request);
        }
        let visit = &request.appointment;
        let customer = &request.customer;
        let list = |list: &'a [&'a str]| list.iter().copied().map(Cow::from).collect::<Vec<_>>();
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

    fn request(
        &'a self,
        decision: DecisionId,
        at: Millis,
        request_id: Option<&'a str>,
        test: bool,
        effort: Effort,
    ) -> Result<Request<'a>, ReplayError> {
        let channel: Channel = self
            .channel
            .parse()
            .map_err(|_| ReplayError::Field("channel"))?;
        let phase: Phase = self
            .phase
            .parse()
            .map_err(|_| ReplayError::Field("phase"))?;
        let subject = self
            .subject
            .as_deref()
            .map(|hex| u128::from_str_radix(hex, 16))
            .transpose();
        let (personalization, marketing, measurement) = self.consent;
        let (open_issue, payment_hardship, last_rating) = self.care;
        Ok(Request {
            decision,
            at,
            request_id,
            channel,
            locale: self.locale.as_deref(),
            device: self.device.as_deref(),
            test,
            effort,
            appointment: Appointment {
                id: None,
                phase,
                job_type: self.job_type.as_deref(),
                window_start: self.window_start.map(Millis),
                window_end: self.window_end.map(Millis),
                eta_seconds: self.eta_seconds,
                delay_seconds: self.delay_seconds,
                reschedules: self.reschedules,
                technician: self.technician.as_ref().map(|t| Technician {
                    skills: borrow(&t.skills),
                    stock: borrow(&t.stock),
                    slack_minutes: t.slack_minutes,
                }),
            },
            customer: Customer {
                subject: subject
                    .map_err(|_| ReplayError::Field("request.subject"))?
                    .map(SubjectKey),
                features: self
                    .features
                    .iter()
                    .map(|(n, v)| (&**n, v.borrow()))
                    .collect(),
                segments: borrow(&self.segments),
                products: borrow(&self.products),
                consent: Consent {
                    personalization,
                    marketing,
                    measurement,
                },
                care: Care {
                    open_issue,
                    payment_hardship,
                    last_rating,
                },
            },
            triggers: self
                .triggers
                .iter()
                .map(|(name, count, age_ms)| Trigger {
                    name,
                    count: *count,
                    age_ms: *age_ms,
                })
                .collect(),
            placements: self
                .placements
                .iter()
                .map(|(id, count, exclude)| PlacementAsk {
                    id,
                    count: *count,
                    exclude_offers: borrow(exclude),
                })
                .collect(),
        })
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

impl FeatureRecord<'_> {
    fn borrow(&self) -> FeatureValue<'_> {
        match self {
            FeatureRecord::Flag(f) => FeatureValue::Flag(*f),
            FeatureRecord::Number(n) => FeatureValue::Number(*n),
            FeatureRecord::Text(t) => FeatureValue::Text(t),
        }
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

fn borrow<'a>(list: &'a [Cow<'a, str>]) -> Vec<&'a str> {
    list.iter().map(|s| &**s).collect()
}

fn exposures(facts: &Facts) -> Vec<ExposureRecord> {
    let record = |e: &Exposure| ExposureRecord {
        offer: format!("{:016x}", e.offer.0),
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
        budget_spent: budget_spent(snapshot, request, decision.candidates_of(p)),
        joint_propensity: p.joint,
        withheld: withheld(catalog, decision.candidates_of(p)),
        excluded: counted(decision.candidates_of(p)),
        candidates: listed(decision.candidates_of(p), decision.choices_of(p))
            .into_iter()
            .filter_map(|i| {
                let candidate = &decision.candidates_of(p)[i];
                let learnt = snapshot.posterior.is_some();
                CandidateRecord::new(
                    &catalog.offer(candidate.offer).id,
                    candidate.verdict,
                    learnt,
                )
            })
            .collect(),
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

/// The classes in the running that may not explore.
fn budget_spent(
    snapshot: &Snapshot,
    request: &Request<'_>,
    candidates: &[Candidate],
) -> Vec<Cow<'static, str>> {
    let spent = snapshot.spent.at(request.at);
    if spent.is_empty() {
        return Vec::new();
    }
    let class = |c: &Candidate| snapshot.catalog.offer(c.offer).class;
    let running = candidates.iter().filter(|c| is_eligible(c)).map(class);
    let running = running.fold(Set::default(), |set, class| set.with(class as u8));
    let held = |class: &&OfferClass| spent.has_class(**class) && running.has_class(**class);
    let held = OfferClass::ALL.iter().filter(held);
    held.map(|class| class.as_str().into()).collect()
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
fn listed(all: &[Candidate], slate: &[Choice]) -> Vec<usize> {
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

fn is_eligible(candidate: &Candidate) -> bool {
    matches!(candidate.verdict, Verdict::Eligible { .. })
}

/// Those who left the running, by reason: most offers are not for now, and there are few reasons.
fn withheld<'a>(catalog: &'a Catalog, all: &[Candidate]) -> Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)> {
    let mut groups: Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)> = Vec::new();
    if all.len() > LISTED_MAX {
        return groups;
    }
    for candidate in all {
        let Verdict::Excluded(reason) = candidate.verdict else {
            continue;
        };
        let offer = Cow::from(&*catalog.offer(candidate.offer).id);
        match groups.iter_mut().find(|(why, _)| *why == reason.as_str()) {
            Some((_, offers)) => offers.push(offer),
            None => groups.push((reason.as_str().into(), vec![offer])),
        }
    }
    groups
}

/// Those who are not listed, by reason.
fn counted(all: &[Candidate]) -> Vec<(Cow<'static, str>, u32)> {
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
    nonzero
        .map(|(reason, n)| (reason.as_str().into(), n))
        .collect()
}

/// RFC 3339 with milliseconds, UTC; the epoch for instants outside the calendar.
#[must_use]
pub fn rfc3339(at: Millis) -> String {
    // A third of what formatting it takes.
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    PRINTER.timestamp_to_string(&jiff::Timestamp::from_millisecond(at.0).unwrap_or_default())
}
