//! A validated request for a decision, borrowing its text from the message it came in.

use super::{Channel, DecisionId, Millis, NameHash, Phase, SubjectKey};

/// A feature's value as it came in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FeatureValue<'a> {
    /// A finite number.
    Number(f64),
    /// A string.
    Text(&'a str),
    /// A boolean.
    Flag(bool),
}

/// A list of short strings: segments, products, skills, stock.
pub type Lists<'a> = Vec<&'a str>;

/// How much work there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Score with the model.
    Full,
    /// The deadline is too near for the model: score with the prior and say so.
    PriorOnly,
    /// Too much comes at once for the model: score with the prior and say so.
    Overload,
    /// The deadline has passed: answer every placement with `deadline`.
    Nothing,
}

/// Everything one decision may depend on besides the snapshot and the ledger's facts.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Made by the server; the draw is derived from it.
    pub decision: DecisionId,
    /// When the request arrived. The only clock a decision ever sees.
    pub at: Millis,
    /// The caller's own id, echoed.
    pub request_id: Option<&'a str>,
    /// Where the offer would be read.
    pub channel: Channel,
    /// A BCP 47 tag such as `en-US`; `None` takes the catalog's default.
    pub locale: Option<&'a str>,
    /// The caller's word for the device, such as `mobile`.
    pub device: Option<&'a str>,
    /// Full path, but shipped apart and never counted or learnt from.
    pub test: bool,
    /// What there is room for.
    pub effort: Effort,
    /// The visit.
    pub appointment: Appointment<'a>,
    /// Who waits.
    pub customer: Customer<'a>,
    /// What the page has seen the customer do.
    pub triggers: Vec<Trigger<'a>>,
    /// Where on the page offers are asked for, in order.
    pub placements: Vec<PlacementAsk<'a>>,
}

/// The visit that the customer waits for.
#[derive(Clone, Debug)]
pub struct Appointment<'a> {
    /// The operator's id; `None` where it was not told.
    pub id: Option<&'a str>,
    /// Where it stands.
    pub phase: Phase,
    /// Such as `install` or `repair`.
    pub job_type: Option<&'a str>,
    /// Promised arrival, from.
    pub window_start: Option<Millis>,
    /// Promised arrival, to.
    pub window_end: Option<Millis>,
    /// Seconds until the technician arrives.
    pub eta_seconds: Option<u32>,
    /// Seconds behind the promise; negative when early.
    pub delay_seconds: Option<i32>,
    /// How often the visit was moved.
    pub reschedules: u32,
    /// Who comes, and with what; `None` where it was not told.
    pub technician: Option<Technician<'a>>,
}

/// What the visiting technician can do and has along.
#[derive(Clone, Debug, Default)]
pub struct Technician<'a> {
    /// Such as `wifi`.
    pub skills: Lists<'a>,
    /// Parts on the van.
    pub stock: Lists<'a>,
    /// Minutes to spare on the route; `None` where it was not told.
    pub slack_minutes: Option<u32>,
}

/// Who waits for the technician.
#[derive(Clone, Debug)]
pub struct Customer<'a> {
    /// Keyed hash under which the ledger counts; `None` without any id.
    pub subject: Option<SubjectKey>,
    /// Named values, at most one per name. Empty where personalization is withheld.
    pub features: Vec<(&'a str, FeatureValue<'a>)>,
    /// Such as `new_mover`. Empty where personalization is withheld.
    pub segments: Lists<'a>,
    /// Products the customer has.
    pub products: Lists<'a>,
    /// What the customer has agreed to; defaults already applied.
    pub consent: Consent,
    /// What weighs on the customer.
    pub care: Care,
}

/// What the customer has agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Use of features, segments and history.
    pub personalization: bool,
    /// Being sold to.
    pub marketing: bool,
    /// Being counted.
    pub measurement: bool,
}

/// Signs that this customer wants help, not offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Care {
    /// A ticket or complaint is open.
    pub open_issue: bool,
    /// Has said that paying is hard.
    pub payment_hardship: bool,
    /// The last rating given, 1 to 5.
    pub last_rating: Option<u8>,
}

/// Something the page saw the customer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger<'a> {
    /// Such as `map_viewed`.
    pub name: &'a str,
    /// How often, at least 1.
    pub count: u32,
    /// How long ago the last time was, in milliseconds.
    pub age_ms: u64,
}

/// One place on the page, and how many offers fit there.
#[derive(Clone, Debug)]
pub struct PlacementAsk<'a> {
    /// The placement's id, known to the catalog or not.
    pub id: &'a str,
    /// How many offers are wanted, 1 to 20.
    pub count: u8,
    /// Offers that are on the page already or were waved away.
    pub exclude_offers: Lists<'a>,
}

/// What the ledger knew about the customer when the decision was made.
///
/// It is written into the decision's record, so that caps can be replayed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Offers shown to this customer within the longest cap window, oldest first.
    pub exposures: Vec<Exposure>,
}

/// One offer shown (or about to be seen) earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Hash of the offer's id.
    pub offer: NameHash,
    /// Whether its class sells.
    pub sells: bool,
    /// When it was shown.
    pub at: Millis,
    /// Seen for certain; otherwise a reservation that still holds.
    pub confirmed: bool,
}

impl Request<'_> {
    /// The trigger of that name, if it happened.
    #[must_use]
    pub fn trigger(&self, name: &str) -> Option<&Trigger<'_>> {
        self.triggers.iter().find(|t| t.name == name)
    }
}
