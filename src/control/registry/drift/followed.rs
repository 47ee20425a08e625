//! What one version is asked, beside what was asked before it had its stage.
//!
//! Visits follow the clock: mornings are not evenings, and Sundays no Mondays. So there is not one reference but
//! several, and an input counts as far off only as far as it is from the *nearest* of them.

use std::collections::HashSet;

use serde::{Serialize, Serializer};

use super::bins::{Bins, Told, by_chance, stability_index};
use crate::control::registry::health::Guardrails;
use crate::decide::inputs::{Attribute, Fixed, InputKind, InputSource};
use crate::decide::snapshot::LiveModel;
use crate::model::Source;

/// Customers of one reference; of the widest model, 512 inputs, 16 MB until they are counted.
pub const REFERENCE_ROWS_MAX: usize = 2_000;
/// Customers that are looked at together; between this and half of it are in view at any time.
pub const WINDOW_ROWS_MAX: usize = 4_000;
/// Inputs that are told of, those furthest off first: more than anybody reads.
const TOLD_MAX: usize = 20;

crate::domain::vocabulary! {
    /// How far what a version is asked is from what was asked before.
    Level {
        /// Too little is known.
        Learning = "learning",
        /// As before.
        Steady = "steady",
        /// Somewhat: somebody should look.
        Watch = "watch",
        /// So far that what was known of the version was known of other requests.
        Alarm = "alarm",
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What drift there is in what one version is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// That of the input furthest off.
    pub level: Level,
    /// Customers looked at, of those who asked last.
    pub rows: u64,
    /// Customers of the references; 0 while there is none.
    pub reference_rows: u64,
    /// The largest index.
    pub largest: f64,
    /// At most the 20 inputs furthest off, those first.
    pub features: Vec<FeatureDrift>,
}

/// How far off one input is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureDrift {
    /// The manifest's name for it.
    pub feature: String,
    /// The population stability index against the nearest reference.
    pub psi: f64,
    /// What that means.
    pub level: Level,
}

/// The input for which a new version is taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Drifted {
    /// The manifest's name for it.
    pub feature: String,
    /// The population stability index against the nearest reference.
    pub psi: f64,
}

/// How fast an input may change of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// It is the customer's: the next hour's customers are like the last one's.
    Slow,
    /// It follows the visit and the time of day: the next hour says nothing, the same hour of another day does.
    Daily,
    /// It is the clock itself, which is never wrong.
    Clock,
}

/// One input of the version.
#[derive(Debug)]
struct Tracked {
    position: usize,
    name: Box<str>,
    numeric: bool,
    pace: Pace,
    bins: Bins,
    /// Of each reference, the count of each bin.
    references: Vec<Vec<u32>>,
    /// Of the window's older and newer half.
    halves: [Vec<u32>; 2],
}

/// A version that is followed.
#[derive(Debug)]
pub struct Followed {
    /// `name@version`.
    pub label: Box<str>,
    /// Since when it has had its stage.
    pub since: i64,
    inputs: Vec<Tracked>,
    /// Which references are of the hour in which it is new, on another day.
    same_hours: Vec<bool>,
    reference_rows: u64,
    /// What it was asked first, where nothing was asked before.
    first: Vec<Vec<Told>>,
    /// The reference is what it was asked first.
    own: bool,
    /// Customers in the newer half of the window.
    seen: HashSet<u128>,
    older_rows: u64,
}

/// The requests of one reference: what each told of every input of the model.
#[derive(Debug, Default)]
pub struct Reference {
    /// One row per customer.
    pub rows: Vec<Vec<Told>>,
    /// It is of the hour in which the version is new, on another day.
    pub same_hour: bool,
}

impl Followed {
    /// Follows a version from here on. References with fewer than `rows_min` customers say nothing; where none is
    /// left, what it is asked first becomes one.
    pub fn new(
        model: &LiveModel,
        since: i64,
        references: Vec<Reference>,
        rows_min: u64,
    ) -> Followed {
        let inputs = model.inputs.iter().enumerate();
        let inputs = inputs.filter_map(|(position, input)| {
            // What an offer is is the catalog's, and changes when somebody changes that.
            let InputSource::Request(key) = input.source else {
                return None;
            };
            Some(Tracked {
                position,
                name: input.name.clone(),
                numeric: matches!(input.kind, InputKind::Number),
                pace: pace(model.vocabulary.attribute(key)),
                bins: Bins::Numbers(Vec::new()),
                references: Vec::new(),
                halves: [Vec::new(), Vec::new()],
            })
        });
        let mut followed = Followed {
            label: model.label.clone(),
            since,
            inputs: inputs.collect(),
            same_hours: Vec::new(),
            reference_rows: 0,
            first: Vec::new(),
            own: false,
            seen: HashSet::new(),
            older_rows: 0,
        };
        let enough = |r: &Reference| r.rows.len() as u64 >= rows_min.max(1);
        let references: Vec<Reference> = references.into_iter().filter(enough).collect();
        if !references.is_empty() {
            followed.refer(&references);
        }
        followed
    }

    fn refer(&mut self, references: &[Reference]) {
        self.same_hours = references.iter().map(|r| r.same_hour).collect();
        self.reference_rows = references.iter().map(|r| r.rows.len() as u64).sum();
        for input in &mut self.inputs {
            let told = |r: &'_ Reference| r.rows.iter().map(|row| row[input.position]).collect();
            let told: Vec<Vec<Told>> = references.iter().map(told).collect();
            let all = told.iter().flatten().copied();
            input.bins = match input.numeric {
                true => Bins::of_numbers(all),
                false => Bins::of_categories(all),
            };
            let empty = vec![0; input.bins.len()];
            let counted = |values: &Vec<Told>| {
                let mut counts = empty.clone();
                values
                    .iter()
                    .for_each(|v| counts[input.bins.place(*v)] += 1);
                counts
            };
            input.references = told.iter().map(counted).collect();
            input.halves = [empty.clone(), empty];
        }
    }

    /// Whether that customer is in the newer half of the window: a page that asks every few seconds is one
    /// customer, or few of them would pass for many.
    pub fn knows(&self, customer: u128) -> bool {
        self.seen.contains(&customer)
    }

    /// Counts what a customer's request told of every input of the model.
    pub fn add(&mut self, customer: u128, row: Vec<Told>) {
        if !self.seen.insert(customer) {
            return;
        }
        if self.reference_rows == 0 {
            self.first.push(row);
            if self.first.len() >= REFERENCE_ROWS_MAX {
                let rows = std::mem::take(&mut self.first);
                self.own = true;
                self.seen.clear();
                self.refer(&[Reference {
                    rows,
                    same_hour: false,
                }]);
            }
            return;
        }
        for input in &mut self.inputs {
            let bin = input.bins.place(row[input.position]);
            input.halves[1][bin] += 1;
        }
        if self.seen.len() >= WINDOW_ROWS_MAX / 2 {
            self.older_rows = self.seen.len() as u64;
            self.seen.clear();
            for input in &mut self.inputs {
                input.halves.swap(0, 1);
                input.halves[1].fill(0);
            }
        }
    }

    fn rows(&self) -> u64 {
        self.older_rows + self.seen.len() as u64
    }

    /// How far off what it is asked is, and the input for which a new version is taken back.
    pub fn judge(&self, rails: &Guardrails) -> (Drift, Option<Drifted>) {
        let rows = self.rows();
        let judged = self.reference_rows > 0 && rows >= rails.drift_rows_min;
        let inputs = self.inputs.iter().filter(|_| judged);
        let mut found: Vec<(FeatureDrift, Pace)> = inputs
            .map(|input| (input.judge(rails), input.pace))
            .collect();
        found.sort_by(|(a, _), (b, _)| b.psi.total_cmp(&a.psi));
        // What came first is no evidence of how it should be, and an hour says nothing of the next one.
        let same_hour = self.same_hours.contains(&true);
        let telling = |pace: Pace| match pace {
            Pace::Slow => !self.own,
            Pace::Daily => same_hour,
            Pace::Clock => false,
        };
        let breach = found
            .iter()
            .find(|(f, pace)| f.level == Level::Alarm && telling(*pace));
        let breach = breach.map(|(f, _)| Drifted {
            feature: f.feature.clone(),
            psi: f.psi,
        });
        let worst = found.iter().map(|(f, _)| f.level).max();
        let level = worst.unwrap_or(if judged {
            Level::Steady
        } else {
            Level::Learning
        });
        let largest = found.first().map_or(0.0, |(f, _)| f.psi);
        found.truncate(TOLD_MAX);
        let drift = Drift {
            level,
            rows: if self.reference_rows > 0 { rows } else { 0 },
            reference_rows: self.reference_rows,
            largest,
            features: found.into_iter().map(|(f, _)| f).collect(),
        };
        (drift, breach)
    }
}

impl Tracked {
    /// The nearest reference decides.
    fn judge(&self, rails: &Guardrails) -> FeatureDrift {
        let [older, newer] = &self.halves;
        let now: Vec<u32> = older.iter().zip(newer).map(|(a, b)| a + b).collect();
        let of = |reference: &Vec<u32>| {
            let psi = stability_index(reference, &now);
            let real = psi > by_chance(reference, &now, rails.z_min);
            let level = match psi {
                psi if real && psi > rails.drift_alarm => Level::Alarm,
                psi if real && psi > rails.drift_watch => Level::Watch,
                _ => Level::Steady,
            };
            (level, psi)
        };
        let nearest = self.references.iter().map(of);
        let nearest = nearest.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let (level, psi) = nearest.unwrap_or((Level::Learning, 0.0));
        FeatureDrift {
            feature: self.name.to_string(),
            psi,
            level,
        }
    }
}

fn pace(attribute: &Attribute) -> Pace {
    match attribute {
        Attribute::Fixed(Fixed::Hour | Fixed::Weekday) => Pace::Clock,
        other if other.described().0 == Source::Customer => Pace::Slow,
        _ => Pace::Daily,
    }
}

#[cfg(test)]
mod tests;
