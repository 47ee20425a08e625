//! A weighted sum of the inputs.
//!
//! Categories have one weight per value. A plain sum ranks the offers alike for everybody, so pairs
//! of categories may be crossed: a weight for every combination, such as phase with offer class.

use super::{Batch, Link, ScorerScratch};

/// A linear model. Made by `import` or training, which check that the parts fit together.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// What the sum means.
    pub link: Link,
    /// The sum where every input adds nothing.
    pub intercept: f64,
    /// One per input, in the manifest's order.
    pub coefficients: Vec<Coefficient>,
    /// Weights of pairs of categories.
    pub crosses: Vec<Cross>,
    /// Where the trainer rounds each step to 32 bits: the inputs in the order in which it adds them up. Without
    /// scaled features most of what the two sums share cancels out, and probabilities differ by more than
    /// golden rows may. Only for sums of numbers.
    pub rounded: Option<Vec<u16>>,
}

/// What one input adds to the sum.
#[derive(Clone, Debug, PartialEq)]
pub enum Coefficient {
    /// `weight * value`, or `missing` where there is no value.
    Number {
        /// Per unit.
        weight: f64,
        /// Instead, where the value is NaN.
        missing: f64,
    },
    /// The weight of the category, or `missing` where there is none or it is unheard of.
    Category {
        /// One per category.
        weights: Vec<f64>,
        /// Instead, where the value is not the number of a category.
        missing: f64,
    },
}

/// What a combination of two categories adds to the sum; nothing where either is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Cross {
    /// Which two inputs.
    pub inputs: [u16; 2],
    /// How many categories the second one has.
    pub columns: usize,
    /// Row after row: `weights[first * columns + second]`.
    pub weights: Vec<f64>,
}

impl Linear {
    /// How many inputs it has.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.coefficients.len()
    }

    /// Writes the sum for each candidate into `out`.
    ///
    /// What the candidates share is added up once.
    pub fn raw(&self, batch: &Batch<'_>, scratch: &mut ScorerScratch, out: &mut [f64]) {
        let ScorerScratch { row, own, .. } = scratch;
        row.clear();
        row.extend_from_slice(batch.shared);
        if let Some(order) = &self.rounded {
            for (candidate, sum) in out.iter_mut().enumerate() {
                batch.overwrite(candidate, row);
                *sum = self.rounded(order, row).into();
            }
            return;
        }
        own.clear();
        own.resize(row.len(), false);
        for &input in batch.own_inputs {
            own[usize::from(input)] = true;
        }
        let shared = self.shared(row, own);
        for (candidate, sum) in out.iter_mut().enumerate() {
            batch.overwrite(candidate, row);
            *sum = shared + self.own(batch.own_inputs, row, own);
        }
    }

    /// The sum as XGBoost makes it: on 32 bits, in its order, passing over what is missing.
    fn rounded(&self, order: &[u16], row: &[f64]) -> f32 {
        (order.iter()).fold(self.intercept as f32, |sum, &input| {
            let (value, input) = (row[usize::from(input)], usize::from(input));
            match self.coefficients[input] {
                Coefficient::Number { weight, .. } if !value.is_nan() => {
                    sum + value as f32 * weight as f32
                }
                _ => sum,
            }
        })
    }

    /// The intercept and everything that no own input touches.
    fn shared(&self, row: &[f64], own: &[bool]) -> f64 {
        let mut sum = self.intercept;
        for ((coefficient, &value), _) in self
            .coefficients
            .iter()
            .zip(row)
            .zip(own)
            .filter(|(_, own)| !**own)
        {
            sum += coefficient.of(value);
        }
        for cross in self.crosses.iter().filter(|c| !c.touches(own)) {
            sum += cross.of(row);
        }
        sum
    }

    /// Everything that an own input touches.
    fn own(&self, own_inputs: &[u16], row: &[f64], own: &[bool]) -> f64 {
        let mut sum = 0.0;
        for &input in own_inputs {
            let input = usize::from(input);
            sum += self.coefficients[input].of(row[input]);
        }
        for cross in self.crosses.iter().filter(|c| c.touches(own)) {
            sum += cross.of(row);
        }
        sum
    }
}

impl Coefficient {
    /// How far the weight, or the farthest of a category's weights, is from 0.
    #[must_use]
    pub fn reach(&self) -> f64 {
        match self {
            Coefficient::Number { weight, .. } => weight.abs(),
            Coefficient::Category { weights, .. } => weights
                .iter()
                .fold(0.0, |most, weight| weight.abs().max(most)),
        }
    }

    fn of(&self, value: f64) -> f64 {
        match self {
            Coefficient::Number { missing, .. } if value.is_nan() => *missing,
            Coefficient::Number { weight, .. } => weight * value,
            Coefficient::Category { weights, missing } => {
                place(value, weights.len()).map_or(*missing, |i| weights[i])
            }
        }
    }
}

impl Cross {
    fn touches(&self, own: &[bool]) -> bool {
        self.inputs.iter().any(|&i| own[usize::from(i)])
    }

    fn of(&self, row: &[f64]) -> f64 {
        let [first, second] = self.inputs.map(|i| row[usize::from(i)]);
        let rows = self.weights.len() / self.columns;
        match (place(first, rows), place(second, self.columns)) {
            (Some(i), Some(j)) => self.weights[i * self.columns + j],
            _ => 0.0,
        }
    }
}

/// The category that `value` is the number of, if it is one of `count`.
fn place(value: f64, count: usize) -> Option<usize> {
    let index = value as usize; // Saturates: NaN and negatives become 0, which is not equal below.
    (index < count && index as f64 == value).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1 + 2 x`, missing 5; categories 10, 20, missing 30; their cross with `z` of 3 categories.
    fn model() -> Linear {
        let category = |weights: &[f64], missing| Coefficient::Category {
            weights: weights.to_vec(),
            missing,
        };
        Linear {
            link: Link::Logistic,
            intercept: 1.0,
            coefficients: vec![
                Coefficient::Number {
                    weight: 2.0,
                    missing: 5.0,
                },
                category(&[10.0, 20.0], 30.0),
                category(&[0.0, 0.0, 0.0], 0.0),
            ],
            crosses: vec![Cross {
                inputs: [1, 2],
                columns: 3,
                weights: vec![100.0, 200.0, 300.0, 400.0, 500.0, 600.0],
            }],
            rounded: None,
        }
    }

    /// Every split of the row into shared and own inputs must give the same sum.
    #[track_caller]
    fn check(row: [f64; 3], expected: f64) {
        let mut scratch = ScorerScratch::default();
        for split in 0..8_u16 {
            let own_inputs: Vec<u16> = (0..3).filter(|i| split >> i & 1 == 1).collect();
            let own: Vec<f64> = own_inputs.iter().map(|&i| row[usize::from(i)]).collect();
            let mut shared = row;
            for &i in &own_inputs {
                shared[usize::from(i)] = f64::INFINITY; // Must not be read.
            }
            let batch = Batch {
                shared: &shared,
                own_inputs: &own_inputs,
                own: &own.repeat(2),
            };
            let mut out = [0.0; 2];
            model().raw(&batch, &mut scratch, &mut out);
            assert_eq!(out, [expected; 2], "{row:?}, own {own_inputs:?}");
        }
    }

    #[test]
    fn rounds_where_the_trainer_does() {
        let number = |weight: f32| Coefficient::Number {
            weight: weight.into(),
            missing: 0.0,
        };
        let linear = Linear {
            intercept: 0.25,
            coefficients: vec![number(1.0), number(0.1), number(-1.0)],
            crosses: Vec::new(),
            rounded: Some(vec![2, 1, 0]),
            ..model()
        };
        let batch = Batch {
            shared: &[3e7, 0.0, 3e7],
            own_inputs: &[1],
            own: &[7.0, f64::NAN],
        };
        let mut out = [0.0; 2];
        linear.raw(&batch, &mut ScorerScratch::default(), &mut out);
        let first = 0.25_f32 - 3e7 + 7.0 * 0.1 + 3e7;
        let second = 0.25_f32 - 3e7 + 3e7;
        assert_eq!(out, [first, second].map(f64::from));
    }

    #[test]
    fn sums_what_is_there() {
        let nan = f64::NAN;
        check([3.0, 0.0, 0.0], 1.0 + 6.0 + 10.0 + 100.0);
        check([0.5, 1.0, 2.0], 1.0 + 1.0 + 20.0 + 600.0);
        check([nan, 1.0, 0.0], 1.0 + 5.0 + 20.0 + 400.0);
        check([0.0, nan, 1.0], 1.0 + 30.0);
        check([0.0, 0.0, nan], 1.0 + 10.0);
        for unheard_of in [2.0, -1.0, 0.5, 1e300, f64::INFINITY] {
            check([0.0, unheard_of, 1.0], 1.0 + 30.0);
        }
    }
}
