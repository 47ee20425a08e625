//! The answer, built once and sent through either door.

use std::borrow::Cow;

use offerd_proto::v1;
use serde::Serialize;
use utoipa::ToSchema;

use super::scalar::Instant;
use super::schema;
use super::text::render;
use crate::decide::condition::Attributes;
use crate::decide::snapshot::{self, Action, Creative, Snapshot};
use crate::domain::{
    self, Choice, Decision, Degraded, Exclusion, Millis, OfferClass, Phase, PlacementDecision,
    Request,
};

/// How long after the decision an offer may still be taken: as long as a click's token holds, so that
/// what a page shows in the morning can be ordered the same day.
pub const OFFER_VALID_MS: i64 = 24 * 3_600_000;

/// What a token is to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// Every event about the offer, sent by a script.
    Event,
    /// The one-pixel image that counts an impression.
    Impression,
    /// The link that counts a click and leads on.
    Click,
}

/// Everything an answer is made from.
#[derive(Clone, Copy)]
pub struct Answering<'a> {
    /// What decided.
    pub snapshot: &'a Snapshot,
    /// What was asked.
    pub request: &'a Request<'a>,
    /// What was decided.
    pub decision: &'a Decision,
    /// Whether the caller may see scores and odds.
    pub reveal: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DecisionResponse<'a> {
    /// A UUID, version 7.
    pub decision_id: String,
    /// The request's own id.
    pub request_id: Option<&'a str>,
    /// The number of the snapshot that decided.
    pub epoch: u64,
    /// What scored, as `name@version`.
    pub model: &'a str,
    /// One for each placement asked for, in order.
    #[schema(value_type = Vec<PlacementAnswer>)]
    pub placements: Vec<PlacementAnswer<'a>>,
    /// For how long the answer may be shown without asking again.
    pub ttl_ms: u32,
    /// What makes it stale before that.
    #[schema(schema_with = schema::refresh_on)]
    pub refresh_on: &'static [&'static str],
    /// The experiments that the customer is in.
    #[schema(value_type = Vec<ExperimentArm>)]
    pub experiments: Vec<ExperimentArm<'a>>,
    /// What the answer had to leave out.
    #[schema(schema_with = schema::degraded)]
    #[serde(serialize_with = "degraded")]
    pub degraded: Degraded,
}

/// What to show at one placement.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PlacementAnswer<'a> {
    /// The placement's id as it was asked for.
    pub id: &'a str,
    /// What to show, best first.
    #[schema(value_type = Vec<Offer>)]
    pub offers: Vec<Offer<'a>>,
    /// Why nothing is shown; null where something is.
    #[schema(schema_with = schema::no_offer_reason, required)]
    #[serde(serialize_with = "reason")]
    pub no_offer_reason: Option<Exclusion>,
}

/// An offer to show.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Offer<'a> {
    /// The catalog's id.
    pub offer_id: &'a str,
    /// The catalog's id of the words.
    pub creative_id: &'a str,
    /// 1 for the best place.
    pub rank: u8,
    /// What it is for.
    #[schema(schema_with = schema::offer_class, required)]
    #[serde(serialize_with = "class")]
    pub class: OfferClass,
    /// The words.
    #[schema(value_type = OfferContent)]
    pub content: OfferContent<'a>,
    /// What it costs the customer; null where nothing is sold.
    #[schema(value_type = Option<super::Money>)]
    pub price: Option<Price>,
    /// Until when the offer may be taken.
    #[schema(schema_with = schema::instant_required, required)]
    pub expires_at: Instant,
    /// Signed; every event about this offer carries it.
    pub token: String,
    /// Where to report seeing and tapping without a script.
    pub tracking: Tracking,
    /// Expected value in minor units; only for callers who may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub score: Option<f64>,
    /// The model's belief in a conversion; only for callers who may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub conversion_probability: Option<f64>,
    /// The exact probability with which it was drawn at this rank given the ranks before it; only for
    /// callers who may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub propensity: Option<f64>,
    /// Whether another eligible offer had the higher score; only for callers who may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub explored: Option<bool>,
}

/// An offer's words.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OfferContent<'a> {
    /// The heading.
    pub title: Cow<'a, str>,
    /// The paragraph.
    pub body: Cow<'a, str>,
    /// The picture.
    pub image_url: Option<&'a str>,
    /// The button's text.
    pub cta: Cow<'a, str>,
    /// What the button does.
    #[schema(value_type = OfferAction)]
    pub action: OfferAction<'a>,
}

/// What a creative's button does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct OfferAction<'a> {
    /// Add the product in place, open the URL, or show more text.
    #[schema(schema_with = schema::action_kind, required)]
    #[serde(serialize_with = "action_kind")]
    pub kind: snapshot::ActionKind,
    /// Where it leads; null where the page acts by itself.
    pub url: Option<&'a str>,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Minor units (cents).
    pub amount_minor: i64,
    /// An ISO 4217 code.
    pub currency: String,
}

/// Paths below the public address that report without a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tracking {
    /// A one-pixel image.
    pub impression: String,
    /// Counts the click and leads on to the offer's own address.
    pub click: String,
}

/// An experiment and the arm that the customer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExperimentArm<'a> {
    /// The catalog's id.
    pub id: &'a str,
    /// The arm.
    pub arm: &'a str,
}

/// The answer to a request.
///
/// `attributes` gives what placeholders look at, for a placement's id; `tokens` signs what the caller
/// sends back.
pub fn answer<'a, A: Attributes, T: AsRef<str>>(
    from: Answering<'a>,
    attributes: impl Fn(&'a str) -> A,
    mut tokens: impl FnMut(&PlacementDecision, &Choice, TokenUse) -> T,
) -> DecisionResponse<'a> {
    let Answering {
        snapshot,
        request,
        decision,
        ..
    } = from;
    let mut placements = Vec::with_capacity(decision.placements.len());
    for placement in &decision.placements {
        let id = request.placements[usize::from(placement.ask)].id;
        let seen = attributes(id);
        let choices = decision.choices_of(placement).iter();
        placements.push(PlacementAnswer {
            id,
            offers: choices
                .map(|choice| {
                    offer(from, &seen, choice, |usage| {
                        tokens(placement, choice, usage)
                    })
                })
                .collect(),
            no_offer_reason: placement.no_offer,
        });
    }
    let id = decision.id.unwrap_or(request.decision);
    DecisionResponse {
        decision_id: id.to_string(),
        request_id: request.request_id,
        epoch: decision.epoch,
        model: &snapshot.decided_by(decision).label,
        ttl_ms: ttl_ms(request, &placements),
        placements,
        refresh_on: refresh_on(request.appointment.phase),
        experiments: Vec::new(),
        degraded: decision.degraded,
    }
}

fn offer<'a, T: AsRef<str>>(
    from: Answering<'a>,
    attributes: &impl Attributes,
    choice: &Choice,
    mut token: impl FnMut(TokenUse) -> T,
) -> Offer<'a> {
    let offer = from.snapshot.catalog.offer(choice.offer);
    let creative = &offer.creatives[usize::from(choice.creative.0)];
    Offer {
        offer_id: &offer.id,
        creative_id: &creative.id,
        rank: choice.rank,
        class: offer.class,
        content: content(creative, attributes),
        price: offer.price.map(Price::from),
        expires_at: Instant(expires_at(from.request.at, offer.flight.1)),
        token: token(TokenUse::Event).as_ref().to_owned(),
        tracking: Tracking {
            impression: ["/v1/t/", token(TokenUse::Impression).as_ref()].concat(),
            click: ["/v1/t/", token(TokenUse::Click).as_ref()].concat(),
        },
        score: from.reveal.then_some(choice.score),
        conversion_probability: from.reveal.then_some(choice.probability),
        propensity: from.reveal.then(|| choice.propensity.get()),
        explored: from.reveal.then_some(choice.explored),
    }
}

fn content<'a>(creative: &'a Creative, attributes: &impl Attributes) -> OfferContent<'a> {
    let Action { kind, url } = &creative.action;
    OfferContent {
        title: render(&creative.title, attributes),
        body: render(&creative.body, attributes),
        image_url: creative.image_url.as_deref(),
        cta: render(&creative.cta, attributes),
        action: OfferAction {
            kind: *kind,
            url: url.as_deref(),
        },
    }
}

/// A day from now, or the end of the offer's flight if that is sooner.
fn expires_at(now: Millis, flight_end: Option<Millis>) -> Millis {
    let day = now.plus(OFFER_VALID_MS);
    flight_end.map_or(day, |end| end.min(day))
}

/// How soon a page should ask again even if nothing it knows of changes: the nearer the technician,
/// the sooner, since customers then look at the page and the answer grows stale while they do. Never
/// beyond the end of an offer that is shown.
fn ttl_ms(request: &Request<'_>, placements: &[PlacementAnswer<'_>]) -> u32 {
    let phase = match request.appointment.phase {
        Phase::Scheduled => 900_000,
        Phase::DayOf => 300_000,
        Phase::EnRoute => 45_000,
        Phase::Arriving => 20_000,
        Phase::OnSite => 120_000,
        Phase::Completed => 300_000,
        Phase::Feedback => 900_000,
    };
    let offers = placements.iter().flat_map(|p| &p.offers);
    let ends = offers.map(|o| o.expires_at.0.since(request.at)).min();
    let left = ends.map_or(u32::MAX, |ms| u32::try_from(ms.max(0)).unwrap_or(u32::MAX));
    left.min(phase)
}

/// The arrival can only slip while somebody is still to arrive.
fn refresh_on(phase: Phase) -> &'static [&'static str] {
    match phase {
        Phase::DayOf | Phase::EnRoute | Phase::Arriving => &["phase", "eta_slip"],
        _ => &["phase"],
    }
}

impl From<domain::Money> for Price {
    fn from(money: domain::Money) -> Price {
        Price {
            amount_minor: money.amount_minor,
            currency: money.currency.as_str().to_owned(),
        }
    }
}

impl From<DecisionResponse<'_>> for v1::DecideResponse {
    fn from(answer: DecisionResponse<'_>) -> v1::DecideResponse {
        let degraded = answer.degraded.words();
        let degraded = degraded.map(|w| format!("DEGRADATION_{}", w.to_ascii_uppercase()));
        v1::DecideResponse {
            decision_id: answer.decision_id,
            request_id: answer.request_id.map(str::to_owned),
            epoch: answer.epoch,
            model: answer.model.to_owned(),
            placements: answer.placements.into_iter().map(Into::into).collect(),
            ttl_ms: answer.ttl_ms,
            refresh_on: answer
                .refresh_on
                .iter()
                .map(|word| match *word {
                    "phase" => v1::RefreshOn::Phase.into(),
                    _ => v1::RefreshOn::EtaSlip.into(),
                })
                .collect(),
            experiments: answer
                .experiments
                .into_iter()
                .map(|e| v1::ExperimentArm {
                    id: e.id.to_owned(),
                    arm: e.arm.to_owned(),
                })
                .collect(),
            degraded: degraded
                .filter_map(|name| v1::Degradation::from_str_name(&name))
                .map(i32::from)
                .collect(),
        }
    }
}

impl From<PlacementAnswer<'_>> for v1::Placement {
    fn from(answer: PlacementAnswer<'_>) -> v1::Placement {
        v1::Placement {
            id: answer.id.to_owned(),
            offers: answer.offers.into_iter().map(Into::into).collect(),
            // Proto enums count from 1, as 0 is "not told"; a test compares the names.
            no_offer_reason: answer.no_offer_reason.map_or(0, |r| r as i32 + 1),
        }
    }
}

impl From<Offer<'_>> for v1::Offer {
    fn from(offer: Offer<'_>) -> v1::Offer {
        let content = offer.content;
        v1::Offer {
            offer_id: offer.offer_id.to_owned(),
            creative_id: offer.creative_id.to_owned(),
            rank: offer.rank.into(),
            class: offer.class as i32 + 1,
            content: Some(v1::Content {
                title: content.title.into_owned(),
                body: content.body.into_owned(),
                image_url: content.image_url.map(str::to_owned),
                cta: content.cta.into_owned(),
                action: Some(v1::Action {
                    kind: content.action.kind as i32 + 1,
                    url: content.action.url.map(str::to_owned),
                }),
            }),
            price: offer.price.map(|p| v1::Money {
                amount_minor: p.amount_minor,
                currency: p.currency,
            }),
            expires_at: Some(offer.expires_at.into()),
            token: offer.token,
            tracking: Some(v1::Tracking {
                impression: offer.tracking.impression,
                click: offer.tracking.click,
            }),
            score: offer.score,
            conversion_probability: offer.conversion_probability,
            propensity: offer.propensity,
            explored: offer.explored,
        }
    }
}

fn degraded<S: serde::Serializer>(degraded: &Degraded, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(degraded.words())
}

fn reason<S: serde::Serializer>(
    reason: &Option<Exclusion>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    reason.map(Exclusion::as_str).serialize(serializer)
}

fn class<S: serde::Serializer>(class: &OfferClass, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(class.as_str())
}

fn action_kind<S: serde::Serializer>(
    kind: &snapshot::ActionKind,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}
