//! The probability with which something was really chosen.

/// The probability with which an offer was chosen: above 0, at most 1.
///
/// Zero is refused because the learner divides by it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Propensity(f64);

impl Propensity {
    /// Certainty.
    pub const ONE: Propensity = Propensity(1.0);

    /// `p` as a propensity, or `None` outside (0, 1].
    #[must_use]
    pub fn new(p: f64) -> Option<Propensity> {
        (0.0 < p && p <= 1.0).then_some(Propensity(p))
    }

    /// The number itself.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}
