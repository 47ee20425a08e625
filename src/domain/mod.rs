//! The glossary as types: what the rest of the program talks about.
//!
//! Everything here is a plain value. Rules are checked once, when a value is made; nothing here
//! reads a clock, rolls dice or knows that a network exists.

mod class;
mod decision;
mod entry;
mod event;
mod exclusion;
mod ids;
mod money;
mod phase;
mod propensity;
pub mod record;
mod request;
mod time;

pub use class::{Class, Lack};
pub use decision::{
    Candidate, Choice, Decision, Degraded, OddInput, Oddity, PlacementDecision, Verdict,
};
pub use entry::{Ack, Entry, EntryKind, Shown};
pub use event::EventType;
pub use exclusion::Exclusion;
pub use ids::{CreativeIx, DecisionId, NameHash, OfferIx, ParseIdError, PlacementIx, SubjectKey};
pub use money::{Currency, Money};
pub use phase::{Channel, OfferClass, Phase, Tier, UnknownWord};
pub use propensity::Propensity;
pub use record::Record;
pub use request::{
    Appointment, Care, Consent, Customer, Effort, Exposure, Facts, FeatureValue, Lists,
    PlacementAsk, Request, Technician, Trigger,
};
pub use time::Millis;

pub(crate) use phase::vocabulary;
