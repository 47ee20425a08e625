//! Every method, at every level that this CPU has, gives the bits of the plain node walk.

use proptest::prelude::*;

use super::{Evaluator, Level, Method};
use crate::model::ensemble::{Builder, Codes, Draft, DraftNode, Ensemble, Output};
use crate::model::{Batch, Link, Roster, ScorerScratch};

const INPUTS: usize = 6;

/// A small generator: the cases are proptest's, what is in them follows from one seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) % end as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Few different numbers, so that thresholds repeat and inputs hit them; and all the odd ones.
    fn number(&mut self) -> f64 {
        const ODD: [f64; 9] = [
            0.0,
            -0.0,
            1e-36,
            -1e-36,
            1e-35,
            f64::MIN_POSITIVE,
            1.0,
            f64::MAX,
            f64::MIN,
        ];
        match self.below(4) {
            0 => ODD[self.below(ODD.len())],
            1 => self.below(9) as f64 - 4.0,
            2 => (self.below(41) as f64 - 20.0) / 8.0,
            _ => self.below(1 << 20) as f64 / 1e5 - 5.0,
        }
    }

    fn input(&mut self) -> f64 {
        match self.below(12) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => self.below(200) as f64,
            4 => self.number().next_up(),
            5 => self.number().next_down(),
            _ => self.number(),
        }
    }

    fn leaf(&mut self) -> DraftNode {
        let value = (self.below(2001) as f64 - 1000.0) / 700.0;
        DraftNode::Leaf { value, id: 0 }
    }

    /// A tree of so many leaves; a chain-like one if `deep`.
    fn tree(&mut self, leaves: usize, deep: bool, categories: bool) -> Draft {
        let mut draft = Draft {
            nodes: vec![self.leaf()],
            ..Draft::default()
        };
        let mut open = vec![0_usize];
        for _ in 1..leaves {
            let pick = if deep {
                open.len() - 1
            } else {
                self.below(open.len())
            };
            let at = open.swap_remove(pick);
            let left = draft.nodes.len() as u32;
            open.extend([left as usize, left as usize + 1]);
            // Inputs 4 and 5 are categories where there are any.
            draft.nodes[at] = if categories && self.chance(30) {
                let set = (draft.words.len() as u32, self.below(4) as u32);
                for _ in 0..set.1 {
                    draft.words.push(self.below(1 << 31) as u32 * 2 + 1);
                }
                DraftNode::Category {
                    input: 4 + self.below(2) as u32,
                    set,
                    nan_left: self.chance(50),
                    other_left: self.chance(50),
                    left,
                    right: left + 1,
                }
            } else {
                DraftNode::Number {
                    input: self.below(if categories { 4 } else { INPUTS }) as u32,
                    threshold: self.number(),
                    nan_left: self.chance(50),
                    zero_left: self.chance(30).then(|| self.chance(50)),
                    left,
                    right: left + 1,
                }
            };
            for _ in 0..2 {
                let leaf = self.leaf();
                draft.nodes.push(leaf);
            }
        }
        draft
    }

    fn ensemble(
        &mut self,
        trees: usize,
        leaves_max: usize,
        deep: bool,
        categories: bool,
    ) -> Ensemble {
        let codes = if self.chance(50) {
            Codes::Truncated
        } else {
            Codes::Single
        };
        let mut builder = Builder::new(INPUTS, codes);
        for _ in 0..trees {
            let leaves = 1 + self.below(leaves_max);
            builder.add(&self.tree(leaves, deep, categories)).unwrap();
        }
        let output = Output {
            base: 0.25,
            divisor: trees as f64,
            link: Link::Identity,
        };
        builder.finish(output).unwrap()
    }
}

fn methods() -> impl Iterator<Item = (Level, Method)> {
    let all = [Method::Walk, Method::Lookup, Method::Pruned];
    let levels = Level::available().into_iter();
    levels.flat_map(move |level| all.map(|method| (level, method)))
}

/// Scores rows that share all but `own_inputs` by every method, with scratch from the call before.
#[track_caller]
fn check(
    ensemble: &Ensemble,
    usual: &[u16],
    own_inputs: &[u16],
    candidates: usize,
    dice: &mut Dice,
    scratch: &mut ScorerScratch,
) {
    let shared: Vec<f64> = (0..INPUTS).map(|_| dice.input()).collect();
    let own: Vec<f64> = (0..candidates * own_inputs.len())
        .map(|_| dice.input())
        .collect();
    let batch = Batch {
        shared: &shared,
        own_inputs,
        own: &own,
    };
    let mut expected = vec![0.0; candidates];
    ensemble.raw(&batch, scratch, &mut expected);
    let evaluator = Evaluator::new(ensemble, usual);
    for (level, method) in methods() {
        let evaluator = evaluator.clone().at_level(level);
        // Twice: the second finds what the first left in the scratch.
        for _ in 0..2 {
            let mut out = vec![0.5; candidates];
            evaluator.raw_by(method, ensemble, &batch, scratch, &mut out);
            let bits = |raw: &[f64]| raw.iter().map(|raw| raw.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                bits(&out),
                bits(&expected),
                "{method:?} at {}",
                level.name()
            );
        }
    }
    check_known(ensemble, &evaluator, &batch, &expected, scratch);
}

/// Scores the candidates of a batch as known ones, in another order and some more than once.
#[track_caller]
fn check_known(
    ensemble: &Ensemble,
    evaluator: &Evaluator,
    batch: &Batch<'_>,
    expected: &[f64],
    scratch: &mut ScorerScratch,
) {
    let roster = Roster::new(batch.own_inputs.to_vec(), batch.own.to_vec());
    let known = evaluator.strike(INPUTS, roster.clone());
    let count = expected.len() as u32;
    let rows: Vec<u32> = (0..count).map(|i| (i * 7 + 3) % count).collect();
    let expected: Vec<u64> = rows
        .iter()
        .map(|&i| expected[i as usize].to_bits())
        .collect();
    // The second was struck out for another evaluator, the third not at all.
    let other = Evaluator::new(ensemble, &[]).strike(INPUTS, roster.clone());
    for level in Level::available() {
        let evaluator = evaluator.clone().at_level(level);
        for roster in [&known, &other, &roster] {
            let mut out = vec![0.5; rows.len()];
            evaluator.raw_known(ensemble, batch.shared, roster, &rows, scratch, &mut out);
            let bits: Vec<u64> = out.iter().map(|raw| raw.to_bits()).collect();
            assert_eq!(bits, expected, "known at {}", level.name());
        }
    }
}

const OWN: [&[u16]; 5] = [&[], &[1], &[0, 4], &[2, 3, 5], &[0, 1, 2, 3, 4, 5]];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_method_gives_the_bits_of_the_walk(
        seed in any::<u64>(),
        trees in prop_oneof![1_usize..8, 8_usize..60],
        leaves in prop_oneof![1_usize..9, 9_usize..33, 33_usize..65, 65_usize..256],
        deep in prop::bool::weighted(0.2),
        categories in any::<bool>(),
        usual in 0..OWN.len(),
        own in 0..OWN.len(),
        candidates in prop_oneof![1_usize..10, 10_usize..140, 140_usize..300],
    ) {
        let mut dice = Dice(seed);
        let ensemble = dice.ensemble(trees, leaves.min(if deep { 200 } else { 255 }), deep, categories);
        let mut scratch = ScorerScratch::default();
        for candidates in [candidates, 1, 33] {
            check(&ensemble, OWN[usual], OWN[own], candidates, &mut dice, &mut scratch);
        }
    }
}

#[test]
fn a_thousand_trees_and_five_hundred_candidates() {
    for (seed, leaves) in [(1, 31), (2, 64)] {
        let mut dice = Dice(seed);
        let ensemble = dice.ensemble(1000, leaves, false, seed == 2);
        let mut scratch = ScorerScratch::default();
        check(&ensemble, &[1, 4], &[1, 4], 500, &mut dice, &mut scratch);
    }
}

/// Forty thousand thresholds on one input: more than ranks of 16 bits tell apart.
#[test]
fn an_input_with_more_thresholds_than_ranks_gets_more_columns() {
    let mut dice = Dice(3);
    let mut builder = Builder::new(INPUTS, Codes::Truncated);
    let mut next = 0.0;
    for _ in 0..1000 {
        let mut draft = dice.tree(41, false, false);
        for node in &mut draft.nodes {
            if let DraftNode::Number {
                input,
                threshold,
                nan_left,
                ..
            } = node
            {
                next += 1.0;
                (*input, *threshold, *nan_left) = (1, next / 1000.0 - 20.0, next > 35_000.0);
            }
        }
        builder.add(&draft).unwrap();
    }
    let ensemble = builder
        .finish(Output {
            base: 0.0,
            divisor: 1.0,
            link: Link::Identity,
        })
        .unwrap();
    let mut scratch = ScorerScratch::default();
    check(&ensemble, &[1], &[1], 200, &mut dice, &mut scratch);
}

#[test]
fn few_candidates_are_looked_up_and_many_pruned() {
    let mut dice = Dice(5);
    let ensemble = dice.ensemble(300, 31, false, false);
    let batch = Batch {
        shared: &[0.0; INPUTS],
        own_inputs: &[1, 2],
        own: &[],
    };
    for level in Level::available() {
        let evaluator = Evaluator::new(&ensemble, &[1, 2]).at_level(level);
        assert_eq!(
            evaluator.method(&batch, 1),
            Method::Lookup,
            "{}",
            level.name()
        );
        assert_eq!(
            evaluator.method(&batch, 200),
            Method::Pruned,
            "{}",
            level.name()
        );
    }
}

#[test]
fn what_cannot_be_cut_is_walked() {
    let mut dice = Dice(6);
    let ensemble = dice.ensemble(3, 200, true, false);
    let batch = Batch {
        shared: &[0.0; INPUTS],
        own_inputs: &[1],
        own: &[],
    };
    assert_eq!(
        Evaluator::new(&ensemble, &[1]).method(&batch, 200),
        Method::Walk
    );
}

/// Contexts leave more or less of a forest; the most that one leaves must fit from the first call on.
#[test]
fn nothing_is_allocated_once_the_scratch_has_grown() {
    let mut dice = Dice(7);
    let ensemble = dice.ensemble(50, 40, false, true);
    let evaluator = Evaluator::new(&ensemble, &[1, 4]);
    let mut scratch = ScorerScratch::default();
    let mut out = [0.0; 150];
    let own: Vec<f64> = (0..300).map(|_| dice.input()).collect();
    let plain = Roster::new(vec![1, 4], own.clone());
    let known = evaluator.strike(INPUTS, plain.clone());
    let rows: Vec<u32> = (0..150).rev().collect();
    let mut score = |dice: &mut Dice| {
        let shared: [f64; INPUTS] = std::array::from_fn(|_| dice.input());
        let batch = Batch {
            shared: &shared,
            own_inputs: &[1, 4],
            own: &own,
        };
        for method in [Method::Walk, Method::Lookup, Method::Pruned] {
            evaluator.raw_by(method, &ensemble, &batch, &mut scratch, &mut out);
        }
        for roster in [&plain, &known] {
            evaluator.raw_known(&ensemble, &shared, roster, &rows, &mut scratch, &mut out);
        }
    };
    score(&mut dice);
    let allocations = allocation_counter::measure(|| (0..50).for_each(|_| score(&mut dice)));
    assert_eq!(allocations.count_total, 0, "{allocations:?}");
}

#[test]
fn candidates_that_would_take_too_much_memory_are_not_struck_out() {
    let mut dice = Dice(8);
    let ensemble = dice.ensemble(2000, 4, false, false);
    let evaluator = Evaluator::new(&ensemble, &[1]);
    let struck = |candidates: usize| {
        let roster = Roster::new(vec![1], vec![0.5; candidates]);
        evaluator.strike(INPUTS, roster).struck.is_some()
    };
    let most = super::known::BYTES_MAX / (2000 * size_of::<u32>());
    assert!(struck(most));
    assert!(!struck(most + 1));
}
