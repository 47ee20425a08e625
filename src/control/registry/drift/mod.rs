//! Is a version asked what it was judged on? The inputs of the last customers beside those of the log.
//!
//! A model is as good as the gate says on the requests that the gate saw. When a feature changes its unit, or a page
//! stops sending one, it still answers, and calibration tells only when conversions have come or failed to. Inputs
//! tell at once, and nothing that is learnt online can hide or cause what they tell: they are looked at before
//! any layer.
//!
//! It is worked out from the records of the journal, as the trial's requests are, on a thread of the lowest
//! priority: the path of a decision counts nothing for it. Its cost is bounded, not the traffic's: so many records
//! are read a second, and so few of them parsed.

mod bins;
mod follow;
mod followed;

pub use follow::{Drifts, Wanted};
pub use followed::{Drift, Drifted, FeatureDrift, Level, REFERENCE_ROWS_MAX};
