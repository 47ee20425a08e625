//! A decision's record: what a person, a learner or a replay needs to know about it, as one JSON object.
//!
//! It carries the request without raw ids, the facts, every candidate's exclusion or odds, and the
//! slate with its propensities. Given the snapshot it names, [`DecisionRecord::request`] and
//! [`DecisionRecord::facts`] make the same decision again, bit for bit.

mod again;
mod make;
mod text;
mod write;

use serde::{Deserialize, Serialize};

pub use self::again::ReplayError;
pub use self::make::rfc3339;
pub use self::text::Text;
pub use self::write::Made;

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
    pub kind: Text<'a>,
    /// The decision's id.
    pub id: String,
    /// When the request arrived, RFC 3339.
    pub at: String,
    /// The caller's own id; it too may lead to the customer.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<Text<'a>>,
    /// The snapshot's number.
    pub epoch: u64,
    /// `name@version` of the model that decided: the live one, or the canary.
    #[serde(borrow)]
    pub model: Text<'a>,
    /// The version of the posterior, where one was asked; `base` and `spread` of its candidates are on
    /// record then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub posterior: Option<u64>,
    /// SHA-256 of the catalog that was live.
    #[serde(borrow)]
    pub catalog: Text<'a>,
    /// A `test` request's: never learnt from.
    pub test: bool,
    /// False where the customer withholds measurement: then nothing about the customer is written.
    pub measured: bool,
    /// What there was room for: `full`, `prior` (the deadline was near), `overload` or `nothing`.
    #[serde(borrow)]
    pub effort: Text<'a>,
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
    pub degraded: Vec<Text<'a>>,
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
    pub model: Text<'a>,
    /// For each placement, a probability for each candidate that is listed and not excluded, in their
    /// order; null where the model failed.
    pub probabilities: Vec<Vec<Option<f64>>>,
}

/// The request without raw ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord<'a> {
    /// Where the offer would be read.
    #[serde(borrow)]
    pub channel: Text<'a>,
    /// BCP 47.
    #[serde(borrow)]
    pub locale: Option<Text<'a>>,
    /// Such as `mobile`.
    #[serde(borrow)]
    pub device: Option<Text<'a>>,
    /// Where the appointment stands.
    #[serde(borrow)]
    pub phase: Text<'a>,
    /// Such as `install`.
    #[serde(borrow)]
    pub job_type: Option<Text<'a>>,
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
    pub features: Vec<(Text<'a>, FeatureRecord<'a>)>,
    /// The customer's segments.
    #[serde(borrow)]
    pub segments: Vec<Text<'a>>,
    /// The customer's products.
    #[serde(borrow)]
    pub products: Vec<Text<'a>>,
    /// Personalization, marketing, measurement.
    pub consent: (bool, bool, bool),
    /// Open issue, payment hardship, last rating.
    pub care: (bool, bool, Option<u8>),
    /// Name, count, age in milliseconds.
    #[serde(borrow)]
    pub triggers: Vec<(Text<'a>, u32, u64)>,
    /// Id, count, offers excluded.
    #[serde(borrow)]
    pub placements: Vec<(Text<'a>, u8, Vec<Text<'a>>)>,
}

/// The technician.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TechnicianRecord<'a> {
    /// Such as `wifi`.
    #[serde(borrow)]
    pub skills: Vec<Text<'a>>,
    /// Parts on the van.
    #[serde(borrow)]
    pub stock: Vec<Text<'a>>,
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
    Text(Text<'a>),
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
    pub id: Text<'a>,
    /// Why nothing is shown.
    #[serde(borrow)]
    pub no_offer_reason: Option<Text<'a>>,
    /// The policy that drew.
    #[serde(borrow)]
    pub policy: Option<Text<'a>>,
    /// Classes of the candidates that had spent what exploring may cost on that day: of these the policy gave the
    /// best its odds, and the others the floor.
    #[serde(borrow, skip_serializing_if = "Vec::is_empty", default)]
    pub budget_spent: Vec<Text<'a>>,
    /// Probability of this slate in this order.
    pub joint_propensity: f64,
    /// Every offer that stayed in the running; where more than [`LISTED_MAX`] were looked at, the slate
    /// and those with the highest odds.
    #[serde(borrow)]
    pub candidates: Vec<CandidateRecord<'a>>,
    /// The offers that left the running, by the reason of their exclusion; empty where more than
    /// [`LISTED_MAX`] were looked at.
    #[serde(borrow, skip_serializing_if = "Vec::is_empty", default)]
    pub withheld: Vec<(Text<'a>, Vec<Text<'a>>)>,
    /// How many are not listed, by the reason of their exclusion; eligible ones as `lost_on_score`.
    #[serde(borrow, skip_serializing_if = "Vec::is_empty", default)]
    pub excluded: Vec<(Text<'a>, u32)>,
    /// The offers shown, best rank first.
    #[serde(borrow)]
    pub slate: Vec<ChoiceRecord<'a>>,
}

/// One offer in the running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateRecord<'a> {
    /// The offer's id.
    #[serde(borrow)]
    pub offer: Text<'a>,
    /// Why it left the running, in a record of before [`PlacementRecord::withheld`]; not written any more.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub excluded: Option<Text<'a>>,
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
    pub offer: Text<'a>,
    /// The creative's id.
    #[serde(borrow)]
    pub creative: Text<'a>,
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

/// See [`DecisionRecord::is_cut_short`]; of what is in its `degraded`.
#[must_use]
pub fn is_cut_short(degraded: &[Text<'_>]) -> bool {
    degraded.iter().any(|word| word != "prior_only")
}

impl DecisionRecord<'_> {
    /// Whether a deadline or a failure cut the answer short: it says little about the policy, and never teaches.
    /// Where no model is live the priors are the policy.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        is_cut_short(&self.degraded)
    }

    /// Whether another decision on the same request came to the same end: every exclusion, every
    /// probability, the slate and its propensities, to the bit.
    #[must_use]
    pub fn same_outcome(&self, other: &DecisionRecord<'_>) -> bool {
        self.placements == other.placements && self.degraded == other.degraded
    }
}
