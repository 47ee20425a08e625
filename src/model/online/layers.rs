//! What is learnt over one model: its level, and the terms of its classes and of its offers, which add up.
//!
//! One type for the server, for `offerd simulate` and for `offerd bandit`. The log-odds of an offer are the model's, put right by
//! Platt's two numbers, plus what its class does plus what tells it apart from its class. A class is learnt from all of its offers,
//! row by row, for as long as there are any, and forgets its level slowly; so a new offer is its class. An offer's own terms are
//! fitted again to all of its rows (`arm.rs`), over what model and class said when each row was learnt: classes follow
//! what changes, and an offer what is its own.
//!
//! How much offers of a class differ is different everywhere: in level only, where a class has a hundred tariffs, or in
//! everything. So it is learnt from all offers together: MacKay's (1992) estimate of a prior's precision from the
//! parameters that the data determine.
//!
//! Updates are sequential: the order of lessons matters, and those of two nodes do not add up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::arm::{Arm, CURVATURE_MIN, Found};
use super::bayes::{BayesLogistic, Belief};
use super::rows::About;
use super::{Context, FULL_MAX, Feature, OnlinePlatt, Terms, packed, sum};

/// How far weights lie from 0, which is to say from the layer below, before anything was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Standard deviation of the intercept, which is weight 0: of levels.
    pub intercept: f64,
    /// Standard deviation of every other weight: of what phases, places and customers change.
    pub weight: f64,
}

impl Prior {
    /// How a class differs from the model. Classes appeal to different people, and rates differ by factors.
    pub const CLASS: Prior = Prior {
        intercept: 1.2,
        weight: 0.6,
    };
    /// How an offer differs from its class before anything is known of how much offers do: in anything, by a lot.
    pub const OFFER: Prior = Prior {
        intercept: 1.5,
        weight: 2.5,
    };

    /// A layer of `d` weights that was told nothing.
    #[must_use]
    pub fn start(self, d: usize) -> BayesLogistic {
        self.around(&vec![0.0; d])
    }

    /// As unsure as new around those weights.
    #[must_use]
    pub fn around(self, mean: &[f64]) -> BayesLogistic {
        BayesLogistic::with_prior(mean.to_vec(), &self.precisions(mean.len()))
    }

    pub(super) fn precisions(self, d: usize) -> Vec<f64> {
        let mut precisions = vec![self.weight.powi(-2); d];
        if let Some(intercept) = precisions.first_mut() {
            *intercept = self.intercept.powi(-2);
        }
        precisions
    }
}

/// The variance that the level of a class gains in a time: 0.2 a day, which makes a season's start (a factor
/// of 2.5) nothing unusual in four. With it a class that was given up is tried again.
#[must_use]
pub fn drift(elapsed_ms: u64) -> f64 {
    const DAY_MS: f64 = 86_400_000.0;
    0.2 * elapsed_ms as f64 / DAY_MS
}

/// Bytes that the terms of one model's offers may have: ten thousand offers of 57 columns. Offers beyond have none of
/// their own, and are believed to be like their class.
pub const TERMS_BYTES_MAX: usize = 256 << 20;

/// Bytes of rows that one model's offers may remember: some 400,000 rows of ten features. They are saved with the learner's
/// state. Offers share them equally; what does not fit is kept as a quadratic.
pub const ROWS_BYTES_MAX: usize = 32 << 20;

/// Features beyond this are somebody's mistake: one such row would outweigh all others.
pub const FEATURE_MAX: f64 = 1e4;

/// Rows of one offer that are remembered.
const ROWS_MAX: usize = 4_096;
/// And that are remembered at least: with fewer there is nothing to fit again.
const ROWS_MIN: usize = 16;
/// An offer counts for how much offers differ from so many rows per weight on. Earlier it would say more about the prior
/// than about itself.
const ROWS_PER_WEIGHT: u64 = 5;
/// How strongly the first guess about that is held, in parameters.
const GUESS: f64 = 1.0;
/// What the precision can come to.
const PRECISION_RANGE: (f64, f64) = (0.01, 1_000.0);

/// What is believed over one model. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layers {
    /// The model's level.
    pub platt: OnlinePlatt,
    /// How each class differs from the model, by its index.
    pub classes: Vec<Terms>,
    /// How each offer differs from its class, by its number.
    pub offers: BTreeMap<u64, Terms>,
    /// Of an offer's weights around 0, but for the intercept.
    precision: f64,
}

/// What offers' terms are fitted to again: it is only looked at to learn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    arms: BTreeMap<u64, Arm>,
}

/// One row of a lesson.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// By which a correction finds it again; 0 where none comes.
    pub number: u64,
    /// Number of the offer.
    pub offer: u64,
    /// Its class, by index; one that does not exist is none.
    pub class: usize,
    /// Log-odds of the model's probability.
    pub base: f64,
    /// What the terms look at; the first feature is 0, with the value 1.
    pub x: &'a Context,
}

impl Layers {
    /// Of a model of which nothing is known.
    #[must_use]
    pub fn new(classes: usize, width: usize) -> Layers {
        Layers {
            platt: OnlinePlatt::default(),
            classes: vec![Terms::from(Prior::CLASS.start(width)); classes],
            offers: BTreeMap::new(),
            precision: Prior::OFFER.weight.powi(-2),
        }
    }

    /// Of a model that comes after another: with what was learnt over that one, as unsure as new.
    #[must_use]
    pub fn after(before: &Layers) -> Layers {
        let around = |prior: Prior, terms: &Terms| Terms::from(prior.around(terms.mean()));
        let classes = before.classes.iter().map(|c| around(Prior::CLASS, c));
        let prior = before.prior();
        let offers = before.offers.iter();
        Layers {
            platt: OnlinePlatt::default(),
            classes: classes.collect(),
            offers: offers.map(|(id, o)| (*id, around(prior, o))).collect(),
            precision: before.precision,
        }
    }

    /// What is known of an offer that nothing is known of.
    #[must_use]
    pub fn newcomer(&self, width: usize) -> Terms {
        Terms::from(self.prior().start(width))
    }

    /// How far the weights of offers lie from those of their class, as far as that is known.
    fn prior(&self) -> Prior {
        Prior {
            weight: self.precision.powf(-0.5),
            ..Prior::OFFER
        }
    }

    /// Learns a label, in [0, 1], counting `weight` times, over `width` features.
    ///
    /// A row that is not finite, or whose features are beyond [`FEATURE_MAX`], is not learnt from.
    pub fn learn(
        &mut self,
        memory: &mut Memory,
        row: &Row<'_>,
        (label, weight): (f64, f64),
        width: usize,
    ) {
        let within = |(_, v): &Feature| v.abs() <= FEATURE_MAX;
        if !row.x.features().iter().all(within) {
            return;
        }
        let level = self.platt.logit(row.base);
        let class = self.classes.get(row.class);
        let offset = level + class.map_or(0.0, |class| class.dot(row.x));
        self.admit(memory, row.offer, width);
        let mut parts = self.parts(row, width);
        let learnt = (label, weight);
        if !sum::learn_at_least(&mut parts, row.x, level, learnt, CURVATURE_MIN) {
            return;
        }
        self.platt.learn(row.base, label, weight);
        let about = About::new(row.number, offset, label, weight);
        let arm = memory.arms.get_mut(&row.offer);
        if arm.is_some_and(|arm| arm.remember(about, row.x)) {
            self.fit(memory, row.offer);
        }
    }

    /// Takes back or adds a part of a label.
    pub fn correct(&mut self, memory: &mut Memory, row: &Row<'_>, change: f64, width: usize) {
        for part in self.parts(row, width) {
            part.correct(row.x, change);
        }
        self.platt.correct(row.base, change);
        if let Some(arm) = memory.arms.get_mut(&row.offer) {
            arm.relabel(row.number, change);
        }
    }

    /// Admits that the levels of classes may have moved: by that much variance.
    pub fn loosen(&mut self, variance: f64) {
        for class in &mut self.classes {
            class.open().loosen(0, variance);
        }
    }

    /// Gives an offer terms of its own, where there is room.
    fn admit(&mut self, memory: &mut Memory, offer: u64, width: usize) {
        // What rows beyond the memory say takes as much as the terms.
        let bytes = 2 * size_of::<f64>() * packed::len(width.min(FULL_MAX)).max(width);
        let room = (self.offers.len() + 1) * bytes <= TERMS_BYTES_MAX;
        if !self.offers.contains_key(&offer) && room {
            self.offers.insert(offer, self.newcomer(width));
        }
        if width > FULL_MAX {
            // Without the whole covariance there is nothing to fit: rows are seen once.
            memory.arms.clear();
        } else if let Some(terms) = self.offers.get(&offer) {
            let new = || Arm::new(terms.mean().to_vec());
            memory.arms.entry(offer).or_insert_with(new);
        }
    }

    /// The layers that the row is about, to learn in, and wide enough.
    fn parts(&mut self, row: &Row<'_>, width: usize) -> Vec<&mut BayesLogistic> {
        let (class, offer) = (Prior::CLASS, self.prior());
        let class = (self.classes.get_mut(row.class)).map(|c| c.open_to(width, class));
        let offer = (self.offers.get_mut(&row.offer)).map(|o| o.open_to(width, offer));
        class.into_iter().chain(offer).collect()
    }

    /// Fits an offer's terms to its rows, and learns from them how much offers differ.
    fn fit(&mut self, memory: &mut Memory, offer: u64) {
        let prior = self.prior();
        let arms = memory.arms.len();
        let both = (self.offers.get_mut(&offer)).zip(memory.arms.get_mut(&offer));
        let Some((terms, arm)) = both else {
            return;
        };
        let terms = terms.open();
        let rows_max = ROWS_BYTES_MAX / (arms * arm.row_bytes());
        let precisions = prior.precisions(terms.width());
        arm.fit(terms, &precisions, rows_max.clamp(ROWS_MIN, ROWS_MAX));
        self.precision = memory.precision(terms.width());
    }
}

impl Memory {
    /// The precision of a weight that the offers' weights make likely.
    fn precision(&self, width: usize) -> f64 {
        let known = ROWS_PER_WEIGHT * width as u64;
        let guess = Found {
            determined: GUESS,
            squares: GUESS * Prior::OFFER.weight.powi(2),
        };
        let arms = self.arms.values().filter(|arm| arm.count() >= known);
        let all = arms.fold(guess, |all, arm| Found {
            determined: all.determined + arm.found().determined,
            squares: all.squares + arm.found().squares,
        });
        (all.determined / all.squares).clamp(PRECISION_RANGE.0, PRECISION_RANGE.1)
    }
}

impl Belief {
    /// What a class believes of a row, by itself, and the own terms of one of its offers, over what the model says by
    /// today's level. The deviation is that of both.
    #[must_use]
    pub fn and(self, own: &BayesLogistic, x: &Context, level: f64) -> Belief {
        let own = own.believe(x, level + self.mean);
        let variance = own.deviation * own.deviation + self.deviation * self.deviation;
        Belief {
            deviation: variance.sqrt(),
            ..own
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::online::sigmoid;

    /// Rows of two features that look random, by number.
    fn row(i: u64) -> Context {
        let value = (i as f64 * 0.618_033_988_749_895).fract();
        Context::of(&[(0, 1.0), (1, 2.0 * value - 1.0)])
    }

    /// Two classes or none, and what they are fitted to.
    fn new(classes: usize) -> (Layers, Memory) {
        (Layers::new(classes, 2), Memory::default())
    }

    fn teach((layers, memory): &mut (Layers, Memory), offer: u64, i: u64, label: f64) {
        let row = Row {
            number: i + 1,
            offer,
            class: 0,
            base: -2.0,
            x: &row(i),
        };
        layers.learn(memory, &row, (label, 1.0), 2);
    }

    fn believed(layers: &Layers, offer: u64, x: &Context) -> Belief {
        let new = layers.newcomer(2);
        let own = layers.offers.get(&offer).unwrap_or(&new);
        let level = layers.platt.logit(-2.0);
        match layers.classes.first() {
            Some(class) => class.believe(x, 0.0).and(own, x, level),
            None => own.believe(x, level),
        }
    }

    #[test]
    fn a_class_learns_from_all_of_its_offers_and_a_new_one_is_its_class() {
        let mut learnt = new(1);
        for i in 0..12_000 {
            teach(&mut learnt, i % 12, i, f64::from(u8::from(i % 7 == 0)));
        }
        let x = Context::of(&[(0, 1.0)]);
        let (fresh, known) = (believed(&learnt.0, 99, &x), believed(&learnt.0, 3, &x));
        for belief in [fresh, known] {
            assert!(
                (belief.probability() - 1.0 / 7.0).abs() < 0.04,
                "{belief:?}"
            );
        }
        assert!(fresh.deviation > known.deviation);
    }

    /// *Goal:* whatever rows say, all of them count alike. *Method:* outcomes exactly as likely as weights say, more rows than
    /// are remembered.
    #[test]
    fn an_offer_finds_the_weights_that_made_the_outcomes() {
        let mut learnt = new(0);
        for i in 0..ROWS_MAX as u64 * 2 {
            let slope = row(i).features()[1].1;
            teach(&mut learnt, 1, i, sigmoid(-1.0 + 2.0 * slope));
        }
        for at in [-1.0, 0.0, 1.0] {
            let belief = believed(&learnt.0, 1, &Context::of(&[(0, 1.0), (1, at)]));
            let off = belief.mean - (-1.0 + 2.0 * at);
            assert!(off.abs() < 0.05, "{at}: {belief:?}");
        }
    }

    #[test]
    fn how_much_offers_differ_is_learnt() {
        let precision = |weight: f64| {
            let mut learnt = new(0);
            for i in 0..3_000 {
                let slope = row(i).features()[1].1;
                teach(&mut learnt, i % 3, i, sigmoid(weight * slope));
            }
            learnt.0.precision
        };
        let (nothing, much) = (precision(0.0), precision(8.0));
        assert!(nothing > 0.4 && much < 0.1, "{nothing}, {much}");
    }

    #[test]
    fn a_label_that_changes_late_leads_where_it_would_have_at_once() {
        let (mut at_once, mut late) = (new(1), new(1));
        for i in 0..3_000 {
            let label = f64::from(u8::from(i % 23 == 0));
            teach(&mut at_once, i % 2, i, label);
            teach(&mut late, i % 2, i, 0.0);
            let (layers, memory) = &mut late;
            let row = Row {
                number: i + 1,
                offer: i % 2,
                class: 0,
                base: -2.0,
                x: &row(i),
            };
            layers.correct(memory, &row, label, 2);
        }
        for i in 0..20 {
            let (a, b) = (
                believed(&at_once.0, i % 2, &row(i)),
                believed(&late.0, i % 2, &row(i)),
            );
            assert!((a.mean - b.mean).abs() < 0.1, "{a:?} {b:?}");
        }
    }

    #[test]
    fn the_next_models_begin_where_these_end() {
        let mut learnt = new(2);
        for i in 0..2_000 {
            teach(&mut learnt, i % 2, i, f64::from(u8::from(i % 5 == 0)));
        }
        let after = Layers::after(&learnt.0);
        assert_eq!(after.platt, OnlinePlatt::default());
        let known = &learnt.0.offers[&1];
        assert_eq!(after.offers[&1].mean(), known.mean());
        let x = row(3);
        assert!(after.offers[&1].believe(&x, 0.0).deviation > known.believe(&x, 0.0).deviation);
    }

    #[test]
    fn the_same_lessons_give_the_same_bits_also_when_saved_in_between() {
        let mut learnt = new(1);
        let mut saved = new(1);
        for i in 0..500 {
            teach(&mut learnt, i % 3, i, f64::from(u8::from(i % 4 == 0)));
            teach(&mut saved, i % 3, i, f64::from(u8::from(i % 4 == 0)));
            if i % 100 == 50 {
                let bytes = postcard::to_stdvec(&saved).unwrap();
                saved = postcard::from_bytes(&bytes).unwrap();
            }
        }
        assert_eq!(learnt, saved);
    }

    #[test]
    fn what_is_not_sound_teaches_nothing() {
        let mut learnt = new(1);
        (0..50).for_each(|i| teach(&mut learnt, 1, i, 0.0));
        let before = learnt.clone();
        for (x, base, label, weight) in [
            (f64::NAN, 0.0, 1.0, 1.0),
            (1e9, 0.0, 1.0, 1.0),
            (1.0, f64::NAN, 1.0, 1.0),
            (1.0, 0.0, 2.0, 1.0),
            (1.0, 0.0, 1.0, -1.0),
        ] {
            let row = Row {
                number: 60,
                offer: 1,
                class: 0,
                base,
                x: &Context::of(&[(0, 1.0), (1, x)]),
            };
            let (layers, memory) = &mut learnt;
            layers.learn(memory, &row, (label, weight), 2);
        }
        assert_eq!(learnt, before);
    }

    #[test]
    fn more_features_than_a_whole_covariance_has_are_learnt_row_by_row() {
        let mut learnt = new(1);
        (0..300).for_each(|i| teach(&mut learnt, 1, i, f64::from(u8::from(i % 3 == 0))));
        let (layers, memory) = &mut learnt;
        for i in 300..600 {
            let row = Row {
                number: i + 1,
                offer: 1,
                class: 0,
                base: -2.0,
                x: &row(i),
            };
            let label = f64::from(u8::from(i % 3 == 0));
            layers.learn(memory, &row, (label, 1.0), FULL_MAX + 9);
        }
        let belief = believed(layers, 1, &Context::of(&[(0, 1.0)]));
        assert!((belief.probability() - 1.0 / 3.0).abs() < 0.1, "{belief:?}");
        assert_eq!(layers.offers[&1].width(), FULL_MAX + 9);
    }

    #[test]
    fn a_loosened_class_is_unsure_again() {
        let mut learnt = new(1);
        (0..3_000).for_each(|i| teach(&mut learnt, i % 9, i, f64::from(u8::from(i % 11 == 0))));
        let x = Context::of(&[(0, 1.0)]);
        let before = learnt.0.classes[0].believe(&x, 0.0);
        learnt.0.loosen(drift(30 * 86_400_000));
        let after = learnt.0.classes[0].believe(&x, 0.0);
        assert_eq!(before.mean.to_bits(), after.mean.to_bits());
        assert!(
            after.deviation > before.deviation + 0.5,
            "{before:?}, {after:?}"
        );
        // Nonsense loosens nothing.
        let same = learnt.0.clone();
        learnt.0.loosen(f64::NAN);
        learnt.0.loosen(-1.0);
        assert_eq!(learnt.0, same);
    }
}
