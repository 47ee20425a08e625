//! What crosses the wire, and the one place where it is checked.
//!
//! Two doors, one set of types: a JSON body is read into [`DecisionRequest`] borrowing its text, a
//! gRPC message is moved into the same type, and [`validate`] turns either into the domain's
//! `Request`. So a rule exists once, and the two doors cannot drift apart. On the way out an answer
//! is built once as [`DecisionResponse`], which serializes itself as JSON and turns into its proto
//! twin.
//!
//! Reading JSON: unknown fields are ignored, an explicit `null` means absent, a field told twice is an
//! error. There are three readers: a quick one for what nearly all send, serde for the rest, and one that
//! keeps the path for what serde refuses, so that well-formed requests do not pay for the names in the
//! errors of others.
//!
//! Nothing in here decides, waits, looks at a clock or knows a socket. No wire type leaves `serve`.

mod check;
mod context;
mod event;
pub mod limits;
mod nesting;
mod openapi;
mod parse;
mod proto;
mod quick;
mod refusal;
mod request;
mod response;
mod scalar;
mod schema;
mod text;
mod validate;

pub use context::{Context, ContextRequest, ContextResponse};
pub use event::{
    Event, EventBatch, EventRejection, EventRequest, EventResponse, RejectionCode, Sent,
    read_events,
};
pub use openapi::openapi;
pub use parse::{Object, parse};
pub(super) use quick::proto::decide_request;
pub use refusal::{Malformed, Problem, Refusal};
pub use request::{
    Appointment, Care, Consent, Customer, DecisionRequest, Features, Money, PlacementAsk,
    Technician, Trigger,
};
pub use response::{
    Answering, DecisionResponse, ExperimentArm, OFFER_VALID_MS, Offer, OfferAction, OfferContent,
    PlacementAnswer, Price, TokenUse, Tracking, answer,
};
pub use scalar::{Instant, Scalar, Text, Whole};
pub use validate::{Arrival, validate};
