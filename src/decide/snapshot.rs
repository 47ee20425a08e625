//! Everything a decision may look at, frozen.
//!
//! `control::compile` makes one of these from a catalog and a model and checks it; a request loads
//! the pointer once and looks at nothing else. Two values that must agree are in here together.

use std::collections::HashMap;
use std::sync::Arc;

use super::bucketing;
use super::budget::{Budgets, Spent};
use super::condition::Condition;
use super::explore::Policy;
use super::gate::Gates;
use super::inputs::{Input, Vocabulary};
use super::learning::Learning;
use super::posterior::Posterior;
use super::words::Words;
use crate::domain::{
    Channel, Consent, Currency, Decision, DecisionId, Millis, Money, NameHash, OfferClass, OfferIx,
    Phase, PlacementIx, Request, SubjectKey, Tier,
};
use crate::model::{Roster, Scorer};

/// What one decision is made from, besides the request and the ledger's facts.
#[derive(Clone)]
pub struct Snapshot {
    /// Counts snapshots; every answer carries it.
    pub epoch: u64,
    /// Mixed into every draw, so that draws cannot be predicted from decision ids.
    pub salt: u64,
    /// Offers, placements and rules.
    pub catalog: Arc<Catalog>,
    /// What scores, except for the canary's customers.
    pub model: Arc<LiveModel>,
    /// What scores for a share of the customers; `None` where nothing is tried.
    pub canary: Option<Canary>,
    /// What scores alongside and is never shown; `None` where nothing is watched.
    pub shadow: Option<Shadow>,
    /// What has been learnt since the models were pushed; `None` where they answer alone.
    pub posterior: Option<Arc<Posterior>>,
    /// The classes that may not explore any more today.
    pub spent: Spent,
}

/// A model that decides for a share of the customers.
#[derive(Clone)]
pub struct Canary {
    /// How many of a hundred customers, 0 to 100.
    pub percent: f64,
    /// What scores for them.
    pub model: Arc<LiveModel>,
}

/// A model whose scores are put on record and never used.
#[derive(Clone)]
pub struct Shadow {
    /// The share of decisions that it scores too, 0 to 1: its time is spent on the request's thread.
    pub share: f64,
    /// What scores.
    pub model: Arc<LiveModel>,
}

impl Snapshot {
    /// Whether the canary decides this request.
    ///
    /// A customer stays on one side for as long as this canary lasts, and raising its share moves
    /// nobody out of it: both are GrowthBook's hash of who asks, seeded by the model's own label, so
    /// that the next canary does not meet the same customers again. Without a customer each decision
    /// falls where its own id does.
    #[must_use]
    pub fn is_canary(&self, request: &Request<'_>) -> bool {
        self.canary.as_ref().is_some_and(|canary| {
            place(
                &canary.model.label,
                request.customer.subject,
                request.decision,
            ) * 100.0
                < canary.percent
        })
    }

    /// Whether the shadow scores this request too.
    #[must_use]
    pub fn shadow_of(&self, decision: DecisionId) -> Option<&LiveModel> {
        let shadow = self.shadow.as_ref()?;
        (place(&shadow.model.label, None, decision) < shadow.share).then_some(&*shadow.model)
    }

    /// The model of the canary's customers, or of everybody else.
    #[must_use]
    pub fn model_of(&self, canary: bool) -> &Arc<LiveModel> {
        match &self.canary {
            Some(tried) if canary => &tried.model,
            _ => &self.model,
        }
    }

    /// Every model in it, in whichever role.
    pub fn models(&self) -> impl Iterator<Item = &Arc<LiveModel>> {
        let beside = [
            self.canary.as_ref().map(|c| &c.model),
            self.shadow.as_ref().map(|s| &s.model),
        ];
        std::iter::once(&self.model).chain(beside.into_iter().flatten())
    }

    /// The model that made a decision of this snapshot.
    #[must_use]
    pub fn decided_by(&self, decision: &Decision) -> &LiveModel {
        self.model_of(decision.canary)
    }
}

/// Where a customer, or without one a decision, falls on the line from 0 to 1.
fn place(seed: &str, subject: Option<SubjectKey>, decision: DecisionId) -> f64 {
    use std::io::Write;
    let mut text = [0_u8; 36];
    let mut rest = &mut text[..];
    let written = match subject {
        Some(subject) => write!(rest, "{subject}"),
        None => write!(rest, "{decision}"),
    };
    written.expect("an id has at most 36 characters");
    let unused = rest.len();
    let text = std::str::from_utf8(&text[..36 - unused]).expect("ids are ASCII");
    bucketing::hash(seed, text, 2).expect("version 2 exists")
}

/// A catalog, compiled.
pub struct Catalog {
    /// SHA-256 of the text it was read from, hexadecimal.
    pub digest: String,
    /// The text it was read from.
    pub source: Arc<str>,
    /// What every amount is in.
    pub currency: Currency,
    /// Where dayparts and hours are told.
    pub time_zone: jiff::tz::TimeZone,
    /// The locale of creatives where the request's has none.
    pub default_locale: Box<str>,
    /// What is assumed where a request says nothing about consent.
    pub consent: Consent,
    /// When a customer is in care.
    pub care: CarePolicy,
    /// Caps over all offers that sell.
    pub selling_caps: Vec<Cap>,
    /// What exploring may cost a day.
    pub exploring: Budgets,
    /// What is learnt from events.
    pub learning: Learning,
    /// Every attribute that a condition or a model looks at.
    pub vocabulary: Vocabulary,
    /// Names of triggers that pages may send.
    pub triggers: Vec<Box<str>>,
    /// Placements in the order of the file.
    pub placements: Vec<Placement>,
    /// Placement ids.
    pub placement_index: HashMap<Box<str>, PlacementIx>,
    /// Offers in the order of the file.
    pub offers: Vec<Offer>,
    /// What keeps each of them from competing; [`Gates::of`] the offers.
    pub gates: Gates,
    /// Hashes of offer ids.
    pub offer_index: HashMap<NameHash, OfferIx>,
    /// [`Catalog::cap_window_ms_max`], looked up once: every decision asks for it while the customer's
    /// account is held.
    pub cap_window_ms: i64,
}

/// When service comes before selling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CarePolicy {
    /// An open issue puts the customer in care.
    pub open_issue: bool,
    /// Payment hardship puts the customer in care.
    pub payment_hardship: bool,
    /// A last rating at or below this does.
    pub rating_max: Option<u8>,
    /// A visit this late does, in seconds.
    pub delay_seconds_min: Option<i32>,
    /// A visit moved this often does.
    pub reschedules_min: Option<u32>,
}

/// A place on a page.
pub struct Placement {
    /// What pages call it.
    pub id: Box<str>,
    /// Hash of the id.
    pub hash: NameHash,
    /// Phases in which it shows anything.
    pub phases: Set,
    /// Channels it exists on.
    pub channels: Set,
    /// The most offers it takes.
    pub count_max: u8,
    /// How it explores.
    pub explorer: Policy,
    /// The same as records tell it, such as `softmax(0.25,0.05)`.
    pub policy: Box<str>,
    /// Offers that may compete here, ascending.
    pub offers: Vec<OfferIx>,
}

/// A set of values of one small vocabulary (phases, channels, classes), by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(pub u16);

impl Set {
    /// Every value.
    pub const ALL: Set = Set(u16::MAX);

    /// With the value at `index` added.
    #[must_use]
    pub fn with(self, index: u8) -> Set {
        Set(self.0 | 1 << index)
    }

    /// Whether the phase is in the set.
    #[must_use]
    pub fn has_phase(self, phase: Phase) -> bool {
        self.0 >> phase as u8 & 1 == 1
    }

    /// Whether the channel is in the set.
    #[must_use]
    pub fn has_channel(self, channel: Channel) -> bool {
        self.0 >> channel as u8 & 1 == 1
    }

    /// Whether the class is in the set.
    #[must_use]
    pub fn has_class(self, class: OfferClass) -> bool {
        self.0 >> class as u8 & 1 == 1
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Something that can be shown.
pub struct Offer {
    /// What the catalog calls it.
    pub id: Box<str>,
    /// Hash of the id.
    pub hash: NameHash,
    /// For people.
    pub name: Box<str>,
    /// What it is for.
    pub class: OfferClass,
    /// Which tier it competes in.
    pub tier: Tier,
    /// What a conversion is worth, in minor units.
    pub value_minor: i64,
    /// What it costs the customer; `None` where nothing is sold.
    pub price: Option<Money>,
    /// The operator's multiplier on its expected value.
    pub lever: f64,
    /// Probability of a conversion where no model answers.
    pub prior: f64,
    /// Phases it may be shown in.
    pub phases: Set,
    /// Triggers it waits for; all of them.
    pub triggers: Vec<TriggerRule>,
    /// Whom it is for.
    pub when: Option<Condition>,
    /// Whether `when` looks at what personalization withholds.
    pub personal: bool,
    /// When it runs: from, until (exclusive).
    pub flight: (Option<Millis>, Option<Millis>),
    /// At which hours it runs.
    pub daypart: Option<Daypart>,
    /// How often one customer may see it.
    pub caps: Vec<Cap>,
    /// What the technician must have; `None` where nothing.
    pub requires: Option<Requires>,
    /// The last phase its price holds in.
    pub valid_while: Option<Phase>,
    /// Products that make it pointless.
    pub owned: Vec<Box<str>>,
    /// Offers that share a bit are not shown in the same answer.
    pub labels: u64,
    /// Its own model inputs, by name.
    pub features: Vec<(Box<str>, OfferFeature)>,
    /// Its words, by channel and locale.
    pub creatives: Vec<Creative>,
}

/// A feature of an offer, for models.
#[derive(Clone, Debug, PartialEq)]
pub enum OfferFeature {
    /// A finite number.
    Number(f64),
    /// A category.
    Text(Box<str>),
    /// A boolean.
    Flag(bool),
}

/// A trigger an offer waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerRule {
    /// Its name.
    pub name: Box<str>,
    /// At least so many times.
    pub count_min: u32,
    /// The last time at most so long ago.
    pub age_ms_max: Option<u64>,
}

/// Weekdays and local hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Daypart {
    /// Bit 0 is Monday.
    pub weekdays: u8,
    /// Minute of the day it begins at.
    pub from_minute: u16,
    /// Minute of the day it ends before; at or below `from_minute` it passes midnight.
    pub until_minute: u16,
}

/// At most so many showings to one customer in a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Showings allowed.
    pub count: u32,
    /// In so long, milliseconds.
    pub window_ms: i64,
}

/// What the visiting technician must have for an offer to be fulfilled on the spot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requires {
    /// All of these skills.
    pub skills: Vec<Box<str>>,
    /// All of these parts.
    pub stock: Vec<Box<str>>,
    /// This much time to spare.
    pub slack_minutes: u32,
}

/// An offer's words on one channel in one locale.
#[derive(Clone, Debug)]
pub struct Creative {
    /// Such as `sports_pack.en`.
    pub id: Box<str>,
    /// Where it can be read.
    pub channels: Set,
    /// Such as `en` or `en-US`; `None` fits any.
    pub locale: Option<Box<str>>,
    /// The heading.
    pub title: Text,
    /// The paragraph.
    pub body: Text,
    /// The picture.
    pub image_url: Option<Box<str>>,
    /// The button.
    pub cta: Text,
    /// What the button does.
    pub action: Action,
}

/// Text with placeholders, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Span>);

/// A piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// As it stands.
    Literal(Box<str>),
    /// `{{key|fallback}}`: the attribute's value, or the fallback where it is missing.
    Placeholder {
        /// Which attribute, an index into the catalog's vocabulary.
        key: super::condition::Key,
        /// Instead of a missing value.
        fallback: Box<str>,
    },
}

/// What a creative's button does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// `order`, `link` or `info`.
    pub kind: ActionKind,
    /// Where a click leads; the only place the click redirect ever goes.
    pub url: Option<Box<str>>,
}

crate::domain::vocabulary! {
    /// What a creative's button does.
    ActionKind {
        /// The page adds the product to the visit in place.
        Order = "order",
        /// The page opens the URL.
        Link = "link",
        /// The page shows more text.
        Info = "info",
    }
}

/// The model that scores, and how requests become its inputs.
pub struct LiveModel {
    /// Such as `propensity`; `prior` where no model is live.
    pub name: Box<str>,
    /// Such as `2026-11-20.1`.
    pub version: Box<str>,
    /// `name@version`, as answers and records carry it.
    pub label: Box<str>,
    /// `None`: every offer's prior answers.
    pub scorer: Option<Arc<dyn Scorer>>,
    /// The catalog's vocabulary and the attributes that only the model looks at.
    pub vocabulary: Vocabulary,
    /// The names of the customer's features that the vocabulary knows, slot by slot.
    pub features: Words,
    /// Where each model input comes from, in the model's order.
    pub inputs: Vec<Input>,
    /// Positions of the inputs that differ between placements of one request, ascending.
    pub placement_inputs: Vec<u16>,
    /// The inputs that differ between candidates: one row per offer of the catalog.
    pub offers: Roster,
}

impl Catalog {
    /// The placement of that id.
    #[must_use]
    pub fn placement(&self, id: &str) -> Option<(PlacementIx, &Placement)> {
        let ix = *self.placement_index.get(id)?;
        Some((ix, &self.placements[usize::from(ix.0)]))
    }

    /// The offer at `ix`.
    #[must_use]
    pub fn offer(&self, ix: OfferIx) -> &Offer {
        &self.offers[ix.0 as usize]
    }

    /// The offer whose id has that hash.
    #[must_use]
    pub fn offer_by_hash(&self, hash: NameHash) -> Option<&Offer> {
        self.offer_index.get(&hash).map(|&ix| self.offer(ix))
    }

    /// The longest cap window, in milliseconds: how far back the ledger must remember.
    #[must_use]
    pub fn cap_window_ms_max(&self) -> i64 {
        let all = self
            .offers
            .iter()
            .flat_map(|o| &o.caps)
            .chain(&self.selling_caps);
        all.map(|c| c.window_ms).max().unwrap_or(0)
    }
}

impl LiveModel {
    /// No model: every offer's prior answers.
    #[must_use]
    pub fn prior(catalog: &Catalog) -> LiveModel {
        LiveModel {
            name: "prior".into(),
            version: "0".into(),
            label: "prior@0".into(),
            scorer: None,
            vocabulary: catalog.vocabulary.clone(),
            features: catalog.vocabulary.features(),
            inputs: Vec::new(),
            placement_inputs: Vec::new(),
            offers: Roster::default(),
        }
    }
}
