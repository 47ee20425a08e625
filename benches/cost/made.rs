//! Catalogs, models and requests of any size, made of a seed.
//!
//! Models are like those of `scripts/latency-budget`: 40 inputs, 28 of them the same for all candidates.

use std::fmt::Write;
use std::sync::Arc;

use offerd::control::{bind, catalog};
use offerd::decide::gate::Gates;
use offerd::decide::snapshot::{Catalog, LiveModel, Snapshot};
use offerd::domain::{FeatureValue, OfferIx, Request};
use offerd::model::{Split, Tree, load_unproven, write_forest};

use crate::support;

/// Inputs that a customer brings.
const SHARED: usize = 28;
/// Inputs that an offer brings.
const OWN: usize = 12;
/// What a tree of the made forests ends in.
const LEAVES: usize = 31;
/// As many offers as a catalog may hold.
const READ_AT_ONCE: usize = 10_000;

/// What the other offers of a catalog are excluded by.
#[derive(Clone, Copy)]
pub enum Barred {
    /// None of them is.
    Nobody,
    /// Their phases, which is the first thing that is looked at.
    ByPhase,
    /// Their condition, which is the last, and the same for all of them.
    ByRule,
    /// A condition of its own for each.
    ByRules,
}

/// Numbers that look random: splitmix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    /// In [0, 1), with few digits, so that files stay small.
    fn share(&mut self) -> f64 {
        self.below(10_000) as f64 / 10_000.0
    }
}

/// Offers `from` to `until` of a catalog of `all`, of whom `open` compete, evenly spread.
fn text(from: usize, until: usize, all: usize, open: usize, barred: Barred) -> String {
    let mut text = String::from(
        "[operator]\ncurrency = \"USD\"\ntime_zone = \"UTC\"\n\
         [[placement]]\nid = \"tracker_hero\"\ncount_max = 5\n",
    );
    let mut dice = Dice(from as u64);
    for i in from..until {
        let competes = i * open / all != (i + 1) * open / all;
        let rule =
            |more_than: usize| format!("when = {{ reschedules = {{ \"$gt\" = {more_than} }} }}\n");
        let line = match barred {
            _ if competes => String::new(),
            Barred::Nobody => String::new(),
            Barred::ByPhase => "phases = [\"completed\"]\n".into(),
            Barred::ByRule => rule(1_000),
            Barred::ByRules => rule(1_000 + i),
        };
        let (class, value) = (["service", "content"][i % 2], 100 + i * 7 % 900);
        write!(
            text,
            "[[offer]]\nid = \"o{i}\"\nclass = \"{class}\"\nvalue_minor = {value}\n{line}features = {{ "
        )
        .expect("text grows");
        for own in 0..OWN {
            let comma = if own > 0 { ", " } else { "" };
            write!(text, "{comma}f{own} = {:.4}", dice.share()).expect("text grows");
        }
        write!(
            text,
            " }}\n[[offer.creatives]]\ntitle = \"Offer {i}\"\nbody = \"While you wait.\"\n"
        )
        .expect("text grows");
    }
    text
}

/// A catalog of `all` offers of whom `open` compete. More than a file may hold are read in pieces and put
/// together: what deciding costs does not depend on where a catalog comes from.
pub fn catalog(all: usize, open: usize, barred: Barred) -> Arc<Catalog> {
    let read = |from: usize| {
        let text = text(from, all.min(from + READ_AT_ONCE), all, open, barred);
        catalog::read(&text).unwrap_or_else(|mistakes| panic!("catalog: {mistakes}"))
    };
    let mut whole = read(0);
    for from in (READ_AT_ONCE..all).step_by(READ_AT_ONCE) {
        let mut piece = read(from);
        let (whole, piece) = (
            Arc::get_mut(&mut whole).expect("nobody else has it"),
            Arc::get_mut(&mut piece).expect("nobody else has it"),
        );
        for offer in std::mem::take(&mut piece.offers) {
            let ix = OfferIx(u32::try_from(whole.offers.len()).expect("a few"));
            whole.offer_index.insert(offer.hash, ix);
            whole.placements[0].offers.push(ix);
            whole.offers.push(offer);
        }
    }
    if all > READ_AT_ONCE {
        let whole = Arc::get_mut(&mut whole).expect("nobody else has it");
        whole.gates = Gates::of(&whole.offers, &whole.default_locale);
    }
    whole
}

/// What scores.
#[derive(Clone, Copy)]
pub enum Scorer {
    /// Every offer's prior.
    Prior,
    /// A weight for every input.
    Linear,
    /// So many trees.
    Forest(usize),
}

/// A snapshot that decides over a catalog by a model.
pub fn snapshot(catalog: Arc<Catalog>, scorer: Scorer) -> Snapshot {
    let (format, artifact) = match scorer {
        Scorer::Prior => ("", Vec::new()),
        Scorer::Linear => ("linear", linear()),
        Scorer::Forest(trees) => ("smartcore", forest(trees)),
    };
    let model = if artifact.is_empty() {
        LiveModel::prior(&catalog)
    } else {
        let model = load_unproven(&manifest(format), &artifact).expect("a made model loads");
        bind::bind(&model, &catalog).expect("it fits the made catalog")
    };
    Snapshot {
        model: Arc::new(model),
        catalog,
        ..support::by_prior(support::DEMO)
    }
}

fn manifest(format: &str) -> String {
    let feature = |name: String, source: &str| {
        format!(r#"{{"name":"{name}","kind":"number","source":"{source}","missing":"nan"}}"#)
    };
    let shared = (0..SHARED).map(|i| feature(format!("x{i}"), "customer"));
    let own = (0..OWN).map(|i| feature(format!("offer.f{i}"), "offer"));
    let features: Vec<String> = shared.chain(own).collect();
    format!(
        r#"{{"name":"made","version":"1","format":"{format}","target":"conversion","features":[{}],"golden":[]}}"#,
        features.join(",")
    )
}

fn linear() -> Vec<u8> {
    let mut dice = Dice(1);
    let weights: Vec<f64> = (0..SHARED + OWN).map(|_| dice.share() - 0.5).collect();
    let missing = vec![0.0; SHARED + OWN];
    format!(
        r#"{{"link":"logistic","intercept":-3.0,"coefficients":{weights:?},"missing":{missing:?}}}"#
    )
    .into_bytes()
}

fn forest(trees: usize) -> Vec<u8> {
    let mut dice = Dice(2);
    let trees: Vec<Tree> = (0..trees).map(|_| tree(&mut dice)).collect();
    write_forest(&trees)
}

/// A tree that grew by splitting any of its leaves, as boosters' trees do.
fn tree(dice: &mut Dice) -> Tree {
    let mut nodes = vec![Split::Leaf { value: 0.5 }];
    let mut leaves = vec![0];
    while leaves.len() < LEAVES {
        let leaf = leaves.swap_remove(dice.below(leaves.len()));
        let left = u32::try_from(nodes.len()).expect("a few");
        nodes[leaf as usize] = Split::Inner {
            input: u16::try_from(dice.below(SHARED + OWN)).expect("a few"),
            threshold: dice.share(),
            left,
            right: left + 1,
        };
        for child in [left, left + 1] {
            let value = dice.share();
            nodes.push(Split::Leaf { value });
            leaves.push(child);
        }
    }
    Tree { nodes }
}

/// A request for one offer with everything told that the made models ask for.
pub fn request() -> Request<'static> {
    const NAMES: [&str; SHARED] = [
        "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
        "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26",
        "x27",
    ];
    let mut dice = Dice(3);
    let mut request = support::request(1);
    request.placements.truncate(1);
    request.placements[0].count = 1;
    let features = NAMES.map(|name| (name, FeatureValue::Number(dice.share())));
    request.customer.features = features.to_vec();
    request
}
