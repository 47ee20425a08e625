//! One input's values, counted in a few bins, and how far two countings are apart.

/// Bins of a number between the least and the greatest value of the reference.
const QUANTILES: usize = 10;
/// Categories that are told apart: the most frequent ones.
const CATEGORIES_MAX: usize = 20;

/// What a request told a model of one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told {
    /// Nothing that the model can take.
    Missing,
    /// A category that is not in the model's list.
    Unheard,
    /// A number, or a category by its place in the list.
    Value(f64),
}

/// The bins of one input, fixed by its reference.
#[derive(Clone, Debug, PartialEq)]
pub enum Bins {
    /// Between these bounds, ascending, each belonging to the bin below it; the first is just below every value
    /// of the reference and the last its greatest, so that values never seen before have bins of their own.
    Numbers(Vec<f64>),
    /// These places of the list, and one bin for all others.
    Categories(Vec<f64>),
}

impl Bins {
    /// Deciles of the numbers in `values`; of a number that takes few values, those values.
    pub fn of_numbers(values: impl Iterator<Item = Told>) -> Bins {
        let mut values: Vec<f64> = numbers(values).collect();
        values.sort_unstable_by(f64::total_cmp);
        let Some(last) = values.len().checked_sub(1) else {
            return Bins::Numbers(Vec::new());
        };
        let below = values[0].next_down();
        let quantiles = (1..=QUANTILES).map(|i| values[last * i / QUANTILES]);
        let mut bounds: Vec<f64> = std::iter::once(below).chain(quantiles).collect();
        bounds.dedup();
        Bins::Numbers(bounds)
    }

    /// The most frequent categories in `values`.
    pub fn of_categories(values: impl Iterator<Item = Told>) -> Bins {
        let mut counts: Vec<(f64, u32)> = Vec::new();
        for value in numbers(values) {
            match counts.iter_mut().find(|(place, _)| *place == value) {
                Some((_, count)) => *count += 1,
                None => counts.push((value, 1)),
            }
        }
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.total_cmp(&b.0)));
        counts.truncate(CATEGORIES_MAX);
        Bins::Categories(counts.into_iter().map(|(place, _)| place).collect())
    }

    /// How many there are: those of the values, the one for all others, and the one for none.
    pub fn len(&self) -> usize {
        match self {
            Bins::Numbers(bounds) => bounds.len() + 2,
            Bins::Categories(places) => places.len() + 2,
        }
    }

    /// The bin of a value.
    pub fn place(&self, told: Told) -> usize {
        let missing = self.len() - 1;
        match (self, told) {
            (_, Told::Missing) => missing,
            (_, Told::Unheard) => missing - 1,
            (Bins::Numbers(bounds), Told::Value(x)) => bounds.partition_point(|bound| *bound < x),
            (Bins::Categories(places), Told::Value(x)) => {
                let found = places.iter().position(|place| *place == x);
                found.unwrap_or(missing - 1)
            }
        }
    }
}

fn numbers(values: impl Iterator<Item = Told>) -> impl Iterator<Item = f64> {
    values.filter_map(|told| match told {
        Told::Value(x) if x.is_finite() => Some(x),
        _ => None,
    })
}

/// The population stability index: the sum over bins of `(a - b) ln(a / b)`, where `a` and `b` are the bin's
/// shares of the two countings (Siddiqi 2006, "Credit Risk Scorecards"); the symmetric Kullback-Leibler divergence.
///
/// Half a row is added to every bin, so that an empty one is rare and not impossible.
pub fn stability_index(reference: &[u32], now: &[u32]) -> f64 {
    let shares = |counts: &[u32]| {
        let total = sum(counts) + counts.len() as f64 / 2.0;
        move |n: u32| (f64::from(n) + 0.5) / total
    };
    let (a, b) = (shares(reference), shares(now));
    let terms = reference.iter().zip(now).map(|(&n, &m)| {
        let (a, b) = (a(n), b(m));
        (a - b) * (a / b).ln()
    });
    terms.sum()
}

/// What the index stays below by chance, `z` standard errors out: between two samples of one population it is
/// distributed as `(1/n + 1/m)` times a chi-square with one degree of freedom less than there are bins (Yurdakul 2018,
/// "Statistical Properties of Population Stability Index"), whose quantile is Wilson and Hilferty's (1931).
pub fn by_chance(reference: &[u32], now: &[u32], z: f64) -> f64 {
    let freedom = (reference.len() as f64 - 1.0).max(1.0);
    let spread = 2.0 / (9.0 * freedom);
    let quantile = freedom * (1.0 - spread + z * spread.sqrt()).powi(3);
    quantile * (1.0 / sum(reference).max(1.0) + 1.0 / sum(now).max(1.0))
}

fn sum(counts: &[u32]) -> f64 {
    counts.iter().map(|n| f64::from(*n)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Dice;

    fn told(values: impl IntoIterator<Item = f64>) -> impl Iterator<Item = Told> {
        values.into_iter().map(Told::Value)
    }

    #[track_caller]
    fn check(bins: &Bins, cases: &[(Told, usize)]) {
        for (value, expected) in cases {
            assert_eq!(bins.place(*value), *expected, "{value:?} in {bins:?}");
        }
        assert!(cases.iter().all(|(_, bin)| *bin < bins.len()));
    }

    #[test]
    fn every_value_has_a_bin() {
        use Told::{Missing, Unheard, Value};
        let tenths = Bins::of_numbers(told((0..=100).map(f64::from)));
        check(
            &tenths,
            &[
                (Value(-1.0), 0),
                (Value(0.0), 1),
                (Value(10.0), 1),
                (Value(11.0), 2),
            ],
        );
        check(
            &tenths,
            &[(Value(100.0), 10), (Value(101.0), 11), (Missing, 12)],
        );
        // A flag: below, no, yes, above.
        let flag = Bins::of_numbers(told((0..100).map(|i| f64::from(u8::from(i > 90)))));
        check(
            &flag,
            &[
                (Value(0.0), 1),
                (Value(1.0), 2),
                (Value(2.0), 3),
                (Missing, 4),
            ],
        );
        let nothing = Bins::of_numbers(std::iter::empty());
        check(&nothing, &[(Value(7.0), 0), (Missing, 1)]);
        let words = Bins::of_categories(told([3.0, 1.0, 3.0]));
        check(
            &words,
            &[
                (Value(3.0), 0),
                (Value(1.0), 1),
                (Value(0.0), 2),
                (Unheard, 2),
                (Missing, 3),
            ],
        );
        let many = Bins::of_categories(told((0..4_096).map(f64::from)));
        assert_eq!(many.len(), CATEGORIES_MAX + 2);
    }

    #[test]
    fn the_index_is_the_textbook_one() {
        // (0.5 - 0.25) ln 2 + (0.5 - 0.75) ln(2/3), up to the half rows.
        let index = stability_index(&[500_000, 500_000], &[250_000, 750_000]);
        assert!((index - 0.25 * 3_f64.ln()).abs() < 1e-5, "{index}");
        assert_eq!(stability_index(&[3, 4, 0], &[3, 4, 0]), 0.0);
        let (there, back) = ([10, 90, 0], [40, 50, 10]);
        let apart = stability_index(&there, &back);
        assert!((apart - stability_index(&back, &there)).abs() < 1e-12 && apart > 0.5);
    }

    /// Goal: two samples of one population are rarely further apart than `by_chance` says.
    #[test]
    fn chance_is_what_it_is_said_to_be() {
        let mut dice = Dice::new(7);
        let (mut beyond, mut total) = ([0, 0], 0.0);
        let runs = 2_000;
        for _ in 0..runs {
            let [a, b] = [800, 400].map(|rows| {
                let mut counts = [0_u32; 10];
                (0..rows).for_each(|_| counts[dice.below(10)] += 1);
                counts
            });
            let index = stability_index(&a, &b);
            total += index;
            for (beyond, z) in beyond.iter_mut().zip([1.645, 4.0]) {
                *beyond += u32::from(index > by_chance(&a, &b, z));
            }
        }
        // Nine degrees of freedom on average; one in twenty beyond 1.645, and next to none beyond 4.
        let expected = 9.0 * (1.0 / 800.0 + 1.0 / 400.0);
        let mean = total / f64::from(runs);
        assert!((mean / expected - 1.0).abs() < 0.05, "{mean}");
        assert!(
            (60..140).contains(&beyond[0]) && beyond[1] <= 1,
            "{beyond:?}"
        );
    }
}
