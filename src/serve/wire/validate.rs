//! Every rule of a request, checked once, for both doors.
//!
//! A broken rule names its field and the allowed range. What comes out borrows from the message and
//! needs no checking ever again.

use super::check::{Budget, at_most, at_most_chars, brief, missing, narrow, range, string, word};
use super::limits;
use super::parse::Object;
use super::scalar::{Instant, Scalar, Text};
use super::{Appointment, Care, Customer, DecisionRequest, Features, Malformed, Technician};
use crate::domain::{
    self, Channel, Consent, DecisionId, Effort, FeatureValue, Millis, PlacementAsk, Request,
    SubjectKey, Trigger,
};

/// What the server knows about a request besides its message.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The id that the decision will have.
    pub decision: DecisionId,
    /// When the request came in.
    pub at: Millis,
    /// What the deadline leaves room for.
    pub effort: Effort,
    /// What the catalog assumes where the request says nothing about consent.
    pub consent_default: Consent,
    /// Whether the browser sent `Sec-GPC: 1`, which withholds personalization.
    pub gpc: bool,
    /// Whether the caller may speak for the operator. What a page alone says of its visitor's features,
    /// segments and products, and of the technician, is not believed; its word on care is, since that
    /// can only keep things from being sold.
    pub trusted: bool,
}

/// A message as the domain knows it, or the first rule that it breaks.
///
/// `subject_of` hashes a kind (`customer` or `appointment`) and an id under the operator's key.
///
/// # Errors
///
/// [`Malformed`], naming the field and the allowed range.
pub fn validate<'a>(
    wire: &'a DecisionRequest<'a>,
    arrival: &Arrival,
    subject_of: impl Fn(&str, &str) -> SubjectKey,
) -> Result<Request<'a>, Malformed> {
    let mut budget = Budget::default();
    let appointment = wire.appointment.as_deref();
    let appointment = appointment.ok_or_else(|| missing("appointment"))?;
    range("deadline_ms", wire.deadline_ms, limits::DEADLINE_MS)?;
    explain(wire.explain.as_ref())?;
    let token = wire.context_token.as_ref();
    string("context_token", token, limits::CONTEXT_TOKEN_CHARS)?;

    let mut request = Request {
        decision: arrival.decision,
        at: arrival.at,
        request_id: budget.id("request_id", &wire.request_id)?,
        channel: word("channel", &wire.channel)?.unwrap_or(Channel::Web),
        locale: budget.word("locale", &wire.locale)?,
        device: budget.word("device", &wire.device)?,
        test: wire.test.unwrap_or(false),
        effort: arrival.effort,
        appointment: visit(appointment, &mut budget).map_err(|e| e.within("appointment"))?,
        customer: match &wire.customer {
            Some(told) => customer(told, arrival.consent_default, &mut budget)
                .map_err(|e| e.within("customer"))?,
            None => unknown_customer(arrival.consent_default),
        },
        triggers: triggers(wire.triggers.as_deref(), &mut budget)?,
        placements: placements(wire.placements.as_deref(), &mut budget)?,
    };
    withhold(&mut request, arrival);
    let customer_id = wire.customer.as_ref().and_then(|c| c.id.as_ref());
    request.customer.subject = subject(&request, customer_id.map(Text::as_str), subject_of);
    Ok(request)
}

/// Takes away what the caller may not claim and what the customer has not agreed to.
fn withhold(request: &mut Request<'_>, arrival: &Arrival) {
    let customer = &mut request.customer;
    if !arrival.trusted {
        customer.features.clear();
        customer.segments.clear();
        customer.products.clear();
        request.appointment.technician = None;
    }
    if arrival.gpc {
        customer.consent.personalization = false;
    }
    if !customer.consent.personalization {
        customer.features.clear();
        customer.segments.clear();
    }
}

/// Whom the ledger counts: without personalization the visit, so that caps hold within it and no
/// history is kept of the person.
fn subject(
    request: &Request<'_>,
    customer: Option<&str>,
    subject_of: impl Fn(&str, &str) -> SubjectKey,
) -> Option<SubjectKey> {
    let customer = customer.map(|id| ("customer", id));
    let appointment = request.appointment.id.map(|id| ("appointment", id));
    let chosen = if request.customer.consent.personalization {
        customer.or(appointment)
    } else {
        appointment.or(customer)
    };
    chosen.map(|(kind, id)| subject_of(kind, id))
}

fn explain(told: Option<&Text<'_>>) -> Result<(), Malformed> {
    match told.map(Text::as_str) {
        None | Some("none") => Ok(()),
        Some("summary" | "full") => Err(Malformed::new(
            "explain",
            "must be none: this version answers no other",
        )),
        Some(_) => Err(Malformed::new("explain", "must be none")),
    }
}

fn visit<'a>(
    told: &'a Appointment<'a>,
    budget: &mut Budget,
) -> Result<domain::Appointment<'a>, Malformed> {
    let (window_start, window_end) = (told.window_start, told.window_end);
    if let (Some(Instant(start)), Some(Instant(end))) = (window_start, window_end)
        && end < start
    {
        return Err(Malformed::new(
            "window_end",
            "must not be before window_start",
        ));
    }
    let eta = range("eta_seconds", told.eta_seconds, limits::ETA_SECONDS)?;
    let delay = range("delay_seconds", told.delay_seconds, limits::DELAY_SECONDS)?;
    Ok(domain::Appointment {
        id: budget.id("id", &told.id)?,
        phase: word("phase", &told.phase)?.ok_or_else(|| missing("phase"))?,
        job_type: budget.word("job_type", &told.job_type)?,
        window_start: window_start.map(|i| i.0),
        window_end: window_end.map(|i| i.0),
        eta_seconds: eta.map(narrow),
        delay_seconds: delay.map(narrow),
        reschedules: range("reschedules", told.reschedules, limits::RESCHEDULES)?.map_or(0, narrow),
        technician: match &told.technician {
            Some(told) => Some(technician(told, budget).map_err(|e| e.within("technician"))?),
            None => None,
        },
    })
}

pub(super) fn technician<'a>(
    told: &'a Technician<'a>,
    budget: &mut Budget,
) -> Result<domain::Technician<'a>, Malformed> {
    let slack = range("slack_minutes", told.slack_minutes, limits::SLACK_MINUTES)?;
    Ok(domain::Technician {
        skills: budget.list("skills", &told.skills, limits::WORD_CHARS)?,
        stock: budget.list("stock", &told.stock, limits::WORD_CHARS)?,
        slack_minutes: slack.map(narrow),
    })
}

/// The customer, as yet without a subject.
pub(super) fn customer<'a>(
    told: &'a Customer<'a>,
    consent_default: Consent,
    budget: &mut Budget,
) -> Result<domain::Customer<'a>, Malformed> {
    budget.id("id", &told.id)?;
    let consent = told.consent.as_deref().copied().unwrap_or_default();
    let default = consent_default;
    Ok(domain::Customer {
        subject: None,
        features: match &told.features {
            Some(told) => features(told, budget)?,
            None => Vec::new(),
        },
        segments: budget.list("segments", &told.segments, limits::WORD_CHARS)?,
        products: budget.list("products", &told.products, limits::WORD_CHARS)?,
        consent: Consent {
            personalization: consent.personalization.unwrap_or(default.personalization),
            marketing: consent.marketing.unwrap_or(default.marketing),
            measurement: consent.measurement.unwrap_or(default.measurement),
        },
        care: match &told.care {
            Some(told) => care(told).map_err(|e| e.within("care"))?,
            None => domain::Care::default(),
        },
    })
}

fn unknown_customer(consent: Consent) -> domain::Customer<'static> {
    domain::Customer {
        subject: None,
        features: Vec::new(),
        segments: Vec::new(),
        products: Vec::new(),
        consent,
        care: domain::Care::default(),
    }
}

fn care(told: &Care) -> Result<domain::Care, Malformed> {
    Ok(domain::Care {
        open_issue: told.open_issue.unwrap_or(false),
        payment_hardship: told.payment_hardship.unwrap_or(false),
        last_rating: range("last_rating", told.last_rating, limits::RATING)?.map(narrow),
    })
}

/// The features that were told, sorted by name, so that the order of a message's map means nothing.
fn features<'a>(
    told: &'a Features<'a>,
    budget: &mut Budget,
) -> Result<Vec<(&'a str, FeatureValue<'a>)>, Malformed> {
    at_most("features", told.0.len(), limits::FEATURES_MAX)?;
    let mut features = Vec::with_capacity(told.0.len());
    for (name, value) in &told.0 {
        let within = |e: Malformed| Malformed::new(format!("features.{}", brief(name)), e.detail);
        let name = budget.take("", name, limits::WORD_CHARS).map_err(within)?;
        if let Some(value) = value {
            features.push((name, feature(value, budget).map_err(within)?));
        }
    }
    features.sort_unstable_by_key(|(name, _)| *name);
    match features.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Malformed::new(
            format!("features.{}", pair[0].0),
            "must be told only once",
        )),
        None => Ok(features),
    }
}

fn feature<'a>(value: &'a Scalar<'a>, budget: &mut Budget) -> Result<FeatureValue<'a>, Malformed> {
    match value {
        Scalar::Flag(flag) => Ok(FeatureValue::Flag(*flag)),
        Scalar::Number(number) if number.abs() <= limits::NUMBER_MAX => {
            Ok(FeatureValue::Number(*number))
        }
        Scalar::Number(number) => Err(Malformed::new(
            "",
            format_args!("must be a finite number from -1e15 to 1e15, got {number}"),
        )),
        Scalar::Text(text) => {
            at_most_chars("", text, limits::TEXT_CHARS_MAX)?;
            budget.spend("", text)?;
            Ok(FeatureValue::Text(text.as_str()))
        }
    }
}

fn triggers<'a>(
    told: Option<&'a [Object<super::Trigger<'a>>]>,
    budget: &mut Budget,
) -> Result<Vec<Trigger<'a>>, Malformed> {
    let told = told.unwrap_or_default();
    at_most("triggers", told.len(), limits::TRIGGERS_MAX)?;
    let mut triggers: Vec<Trigger<'a>> = Vec::with_capacity(told.len());
    for (i, told) in told.iter().enumerate() {
        let new = trigger(told, budget).map_err(|e| e.within(format_args!("triggers[{i}]")))?;
        match triggers.iter_mut().find(|t| t.name == new.name) {
            Some(known) => {
                known.count = known.count.saturating_add(new.count);
                known.age_ms = known.age_ms.min(new.age_ms);
            }
            None => triggers.push(new),
        }
    }
    Ok(triggers)
}

fn trigger<'a>(
    told: &'a super::Trigger<'a>,
    budget: &mut Budget,
) -> Result<Trigger<'a>, Malformed> {
    let name = budget.word("name", &told.name)?;
    Ok(Trigger {
        name: name.ok_or_else(|| missing("name"))?,
        count: range("count", told.count, limits::TRIGGER_COUNT)?.map_or(1, narrow),
        age_ms: range("age_ms", told.age_ms, limits::SPAN_MS)?.map_or(0, i64::unsigned_abs),
    })
}

fn placements<'a>(
    told: Option<&'a [Object<super::PlacementAsk<'a>>]>,
    budget: &mut Budget,
) -> Result<Vec<PlacementAsk<'a>>, Malformed> {
    let told = told.unwrap_or_default();
    if !limits::PLACEMENTS.contains(&told.len()) {
        let got = told.len();
        let (least, most) = (limits::PLACEMENTS.start(), limits::PLACEMENTS.end());
        return Err(Malformed::new(
            "placements",
            format_args!("must be {least} to {most} entries, got {got}"),
        ));
    }
    let each = told.iter().enumerate();
    each.map(|(i, told)| {
        placement(told, budget).map_err(|e| e.within(format_args!("placements[{i}]")))
    })
    .collect()
}

fn placement<'a>(
    told: &'a super::PlacementAsk<'a>,
    budget: &mut Budget,
) -> Result<PlacementAsk<'a>, Malformed> {
    let id = budget.id("id", &told.id)?;
    Ok(PlacementAsk {
        id: id.ok_or_else(|| missing("id"))?,
        count: range("count", told.count, limits::COUNT)?.map_or(1, narrow),
        exclude_offers: budget.list("exclude_offers", &told.exclude_offers, limits::ID_CHARS)?,
    })
}
