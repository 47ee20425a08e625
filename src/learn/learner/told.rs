//! A decision's record as far as learning asks about it.
//!
//! Most of a record is candidates that were not shown, and what the customer's request held. The learner hears every
//! decision of its node on the processor that makes them, so it reads what it learns from and passes over the rest.
//! What it does not ask for is not checked either.

use serde::Deserialize;

use crate::decide::record::{ReplayError, RequestRecord, ShadowRecord, Text, VERSION};
use crate::domain::record::{Keyed, Later, Malformed};
use crate::domain::{
    Appointment, Care, Channel, Consent, Customer, DecisionId, Effort, Millis, Phase, Request,
};

/// See [`DecisionRecord`](crate::decide::record::DecisionRecord) for the fields.
#[derive(Deserialize)]
pub(super) struct Told<'a> {
    v: u32,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    at: Text<'a>,
    #[serde(borrow)]
    pub model: Text<'a>,
    #[serde(borrow)]
    pub catalog: Text<'a>,
    pub measured: bool,
    #[serde(borrow)]
    pub request: Later<'a, RequestRecord<'a>>,
    #[serde(borrow)]
    pub placements: Vec<Placement<'a>>,
    #[serde(borrow)]
    pub degraded: Vec<Text<'a>>,
    #[serde(borrow, default)]
    pub shadow: Option<ShadowRecord<'a>>,
}

/// What was decided at one placement.
#[derive(Deserialize)]
pub(super) struct Placement<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    candidates: Later<'a, Vec<Candidate<'a>>>,
    #[serde(borrow)]
    pub slate: Vec<Choice<'a>>,
}

/// One offer in the running.
#[derive(Clone, Deserialize)]
struct Candidate<'a> {
    #[serde(borrow)]
    offer: Text<'a>,
    #[serde(borrow, default)]
    excluded: Option<Text<'a>>,
    #[serde(default)]
    base: Option<f64>,
}

impl Keyed for Candidate<'_> {
    const KEY: &'static str = "offer";

    fn key(&self) -> &str {
        &self.offer
    }
}

/// One offer shown.
#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow)]
    pub offer: Text<'a>,
    pub rank: u8,
    pub probability: f64,
    pub explored: bool,
    #[serde(default)]
    pub gap: f64,
    #[serde(default)]
    pub behind: f64,
}

/// What every feature of a showing needs of a request.
#[derive(Deserialize)]
struct Brief<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    phase: Text<'a>,
}

/// When which decision was made.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub decision: DecisionId,
    pub at: Millis,
}

impl Told<'_> {
    /// Which decision it is.
    pub fn made(&self) -> Result<Made, ReplayError> {
        if self.v > VERSION {
            return Err(ReplayError::Version(self.v));
        }
        Ok(Made {
            decision: self.id.parse().map_err(|_| ReplayError::Field("id"))?,
            at: Millis::read(&self.at).ok_or(ReplayError::Field("at"))?,
        })
    }

    /// The request as if nothing but its channel and its phase had been told.
    pub fn brief(&self, made: Made) -> Result<Request<'static>, Unreadable> {
        let brief = self.request.part(|whole| Brief {
            channel: whole.channel.clone(),
            phase: whole.phase.clone(),
        })?;
        let channel = brief.channel.parse();
        let phase = brief.phase.parse();
        Ok(bare(
            made,
            channel.map_err(|_| ReplayError::Field("channel"))?,
            phase.map_err(|_| ReplayError::Field("phase"))?,
        ))
    }

    /// What the shadow said about the offer shown.
    pub fn shadow_said(
        &self,
        slot: u8,
        placement: &Placement<'_>,
        choice: &Choice<'_>,
    ) -> Result<Option<f64>, Malformed> {
        let shadow = self.shadow.as_ref();
        let Some(answers) = shadow.and_then(|s| s.probabilities.get(usize::from(slot))) else {
            return Ok(None);
        };
        let candidates = placement.candidates.read()?;
        let eligible = candidates.iter().filter(|c| c.excluded.is_none());
        let mut answered = eligible.zip(answers);
        let found = answered.find(|(c, _)| c.offer == choice.offer);
        Ok(found.and_then(|(_, probability)| *probability))
    }
}

impl Placement<'_> {
    /// What the model said about the offer shown: `base` beside a posterior, else what was believed.
    pub fn base(&self, choice: &Choice<'_>) -> Result<f64, Malformed> {
        let candidate = self.candidates.find(&choice.offer)?;
        Ok(candidate.and_then(|c| c.base).unwrap_or(choice.probability))
    }
}

/// Why a record cannot be learnt from; nobody is told more than that.
pub(super) struct Unreadable;

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Unreadable {
        Unreadable
    }
}

impl From<ReplayError> for Unreadable {
    fn from(_: ReplayError) -> Unreadable {
        Unreadable
    }
}

/// A request of which nothing else is known.
fn bare(made: Made, channel: Channel, phase: Phase) -> Request<'static> {
    Request {
        decision: made.decision,
        at: made.at,
        request_id: None,
        channel,
        locale: None,
        device: None,
        test: false,
        effort: Effort::Full,
        appointment: Appointment {
            id: None,
            phase,
            job_type: None,
            window_start: None,
            window_end: None,
            eta_seconds: None,
            delay_seconds: None,
            reschedules: 0,
            technician: None,
        },
        customer: Customer {
            subject: None,
            features: Vec::new(),
            segments: Vec::new(),
            products: Vec::new(),
            consent: Consent {
                personalization: true,
                marketing: true,
                measurement: true,
            },
            care: Care::default(),
        },
        triggers: Vec::new(),
        placements: Vec::new(),
    }
}
