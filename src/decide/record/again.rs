//! The decision again: what a record holds, as deciding takes it.

use std::collections::HashMap;

use super::{
    DecisionRecord, ExposureRecord, FeatureRecord, LISTED_MAX, RequestRecord, Text, VERSION,
};
use crate::decide::budget::Spent;
use crate::decide::posterior::{Belief, Posterior};
use crate::decide::snapshot::Catalog;
use crate::domain::{
    Appointment, Care, Channel, Consent, Customer, DecisionId, Effort, Exclusion, Exposure, Facts,
    FeatureValue, Millis, NameHash, OfferClass, Phase, PlacementAsk, Request, SubjectKey,
    Technician, Trigger,
};

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
        let at = Millis::read(&self.at).ok_or(ReplayError::Field("at"))?;
        self.request.request(
            self.id.parse().map_err(|_| ReplayError::Field("id"))?,
            at,
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
            let unlisted = |(why, _): &(Text<'_>, u32)| *why == *Exclusion::LostOnScore.as_str();
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
}

impl<'a> RequestRecord<'a> {
    /// The request of a record that says the rest beside it.
    ///
    /// # Errors
    /// When a field is of another form.
    pub fn request(
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

impl FeatureRecord<'_> {
    fn borrow(&self) -> FeatureValue<'_> {
        match self {
            FeatureRecord::Flag(f) => FeatureValue::Flag(*f),
            FeatureRecord::Number(n) => FeatureValue::Number(*n),
            FeatureRecord::Text(t) => FeatureValue::Text(t),
        }
    }
}

fn borrow<'a>(list: &'a [Text<'a>]) -> Vec<&'a str> {
    list.iter().map(|s| &**s).collect()
}
