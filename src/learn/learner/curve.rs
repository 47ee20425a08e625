//! The learning curve: how well what was believed before each showing foretold its outcome, beside what the
//! pushed model alone foretold (progressive validation: Blum, Kalai and Langford 1999).
//!
//! Log loss is linear in the label, so a conversion that arrives a day later corrects the point that its
//! showing belongs to. These are sums: those of several nodes add up.

use serde::{Deserialize, Serialize};

use crate::model::online::{logit, sigmoid};

/// Points that are kept; when they are full, neighbours are put together and each tells of twice as many
/// showings.
pub const POINTS_MAX: usize = 64;

/// Showings of the first points.
const SHOWINGS_MIN: u64 = 100;

/// A part of the curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Showings learnt.
    pub showings: u64,
    /// Sum of their labels.
    pub labels: f64,
    /// Sum of what was believed of them.
    pub believed: f64,
    /// Sum of what the model said.
    pub base: f64,
    /// Log loss of what was believed.
    pub loss: f64,
    /// Log loss of what the model said.
    pub base_loss: f64,
}

/// Points, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Showings that a point tells of.
    pub width: u64,
    /// Oldest first.
    pub points: Vec<Point>,
    total: u64,
}

impl Default for Curve {
    fn default() -> Curve {
        Curve {
            width: SHOWINGS_MIN,
            points: Vec::new(),
            total: 0,
        }
    }
}

impl Curve {
    /// Adds a showing.
    pub fn learn(&mut self, believed: f64, base: f64, label: f64) {
        let open = self.points.last().is_some_and(|p| p.showings < self.width);
        if !open {
            if self.points.len() >= POINTS_MAX {
                self.halve();
            }
            self.points.push(Point::default());
        }
        self.total += 1;
        if let Some(point) = self.points.last_mut() {
            let base = sigmoid(base);
            point.showings += 1;
            point.labels += label;
            point.believed += believed;
            point.base += base;
            point.loss += loss(believed, label);
            point.base_loss += loss(base, label);
        }
    }

    /// A label changed; it is booked on the newest point, which is a little late and never wrong in sum.
    pub fn correct(&mut self, believed: f64, base: f64, change: f64) {
        if let Some(point) = self.points.last_mut() {
            point.labels += change;
            point.loss -= change * logit(believed);
            point.base_loss -= change * base;
        }
    }

    fn halve(&mut self) {
        let pairs = self.points.chunks(2);
        self.points = pairs
            .map(|pair| pair.iter().fold(Point::default(), Point::plus))
            .collect();
        self.width *= 2;
    }
}

impl Point {
    fn plus(self, other: &Point) -> Point {
        Point {
            showings: self.showings + other.showings,
            labels: self.labels + other.labels,
            believed: self.believed + other.believed,
            base: self.base + other.base,
            loss: self.loss + other.loss,
            base_loss: self.base_loss + other.base_loss,
        }
    }
}

fn loss(p: f64, label: f64) -> f64 {
    let z = logit(p);
    // ln(1 + e^z) - label z, without overflow.
    z.max(0.0) + (-z.abs()).exp().ln_1p() - label * z
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_when_points_are_put_together() {
        let mut curve = Curve::default();
        for i in 0..50_000_u32 {
            curve.learn(0.1, -2.0, f64::from(u8::from(i % 10 == 0)));
        }
        assert!(curve.points.len() <= POINTS_MAX);
        let sum = curve.points.iter().fold(Point::default(), Point::plus);
        assert_eq!((sum.showings, sum.labels), (50_000, 5_000.0));
        // The entropy of a tenth, which is what a belief that is right costs.
        assert!((sum.loss / 50_000.0 - 0.325_083).abs() < 1e-5, "{sum:?}");
        assert!(sum.base_loss > sum.loss);
    }

    #[test]
    fn a_late_label_is_a_label() {
        let (mut late, mut at_once) = (Curve::default(), Curve::default());
        at_once.learn(0.2, -3.0, 1.0);
        late.learn(0.2, -3.0, 0.0);
        late.correct(0.2, -3.0, 1.0);
        let (a, b) = (at_once.points[0], late.points[0]);
        assert!((a.loss - b.loss).abs() < 1e-12 && (a.base_loss - b.base_loss).abs() < 1e-12);
    }
}
