//! Every value that `obp` 0.5.7 gives on its own sample of the Open Bandit Dataset (Saito et al. 2021).
//!
//! Goal: values, standard errors, bootstrap intervals and weights to 1e-9.
//! Method: the same log, odds and reward model through our estimators; for the bootstrap the same random
//! rows, from the generator that `obp` draws with. The files are in the folder that `OFFERD_SHARED` names.

use std::fs;
use std::io::Read;
use std::path::Path;

use offerd::learn::ope::{
    Distribution, Estimator, Guards, Interval, Row, Short, Table, Terms, Weights, bootstrap,
};
use serde_json::Value;

use super::shared;

/// Names of the reference, and ours.
const NAMES: [(&str, &str); 14] = [
    ("rm", "rm"),
    ("ipw", "ipw"),
    ("snipw", "snipw"),
    ("dm", "dm"),
    ("dr", "dr"),
    ("sndr", "sndr"),
    ("ipw_clip10", "ipw-clip=10"),
    ("ipw_clip5", "ipw-clip=5"),
    ("dr_clip5", "dr-clip=5"),
    ("switch-dr_5", "switch-dr=5"),
    ("dr-os_10", "dr-os=10"),
    ("dr-os_100", "dr-os=100"),
    ("sg-ipw_0.01", "sg-ipw=0.01"),
    ("sg-dr_0.01", "sg-dr=0.01"),
];

#[track_caller]
fn check(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    let off = (found - expected).abs();
    assert!(
        off <= 1e-9 * expected.abs(),
        "{what}: {found}, expected {expected}"
    );
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn unzipped(path: &Path) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// The reference, the log, the odds' table and the reward model's answers of a campaign.
fn campaign(name: &str) -> Option<(Value, String, String, String)> {
    let path = |rest: &str| shared(&format!("ope_{name}{rest}"));
    let text = |rest: &str| path(rest).map(|path| fs::read_to_string(path).unwrap());
    Some((
        json(&path(".json")?),
        text("_log.csv")?,
        text("_action_dist.csv")?,
        unzipped(&path("_qhat.csv.gz")?),
    ))
}

fn check_campaign(name: &str) {
    let Some((reference, log, odds, answers)) = campaign(name) else {
        return;
    };
    let odds = Distribution::parse(&odds).unwrap();
    let rows = Table::parse(&log, Some(&odds), Some(&answers))
        .unwrap()
        .rows;
    assert_eq!(reference["n"], rows.len());
    assert_eq!(reference["n_actions"], odds.actions());
    for (theirs, ours) in NAMES {
        check_estimator(&reference, theirs, ours.parse().unwrap(), &rows);
    }
    let listed = reference["values"].as_object().unwrap().len();
    assert_eq!(listed, NAMES.len(), "every estimator of the reference");
    let weights = Weights::of(rows.iter().map(Row::weight));
    let expected = &reference["weights"];
    check(weights.mean, &expected["mean"], "mean weight");
    check(weights.max, &expected["max"], "largest weight");
    check(weights.min, &expected["min"], "smallest weight");
    check(weights.effective, &expected["ess"], "effective rows");
    check(
        weights.effective / rows.len() as f64,
        &expected["ess_frac"],
        "their share",
    );
    let clicks: f64 = rows.iter().map(|row| row.reward).sum();
    check(clicks, &reference["clicks"], "clicks");
    check(
        clicks / rows.len() as f64,
        &reference["random_policy_mean_click"],
        "random",
    );
    check_certain(
        &reference["deterministic_argmax_bts"],
        &log,
        &odds,
        &answers,
    );
}

fn check_estimator(reference: &Value, theirs: &str, ours: Estimator, rows: &[Row]) {
    let found = ours.estimate(rows, 0, 0).unwrap();
    check(found.value, &reference["values"][theirs], theirs);
    let rounds = &reference["round_rewards"][theirs];
    check(found.rounds.mean, &rounds["mean"], theirs);
    check(found.rounds.std, &rounds["std_ddof1"], theirs);
    check(found.rounds.standard_error, &rounds["se"], theirs);
    let rounds = Terms::of(ours, rows).rounds();
    let mean = |sample: &[u32]| {
        let sum: f64 = sample.iter().map(|i| rounds[*i as usize]).sum();
        sum / sample.len() as f64
    };
    let mut generator = Twister::new(12_345);
    let values = bootstrap(rows.len(), 1_000, mean, |n| generator.below(n));
    let interval = Interval::middle(&values);
    let expected = &reference["bootstrap_ci_95"][theirs];
    check(
        values.iter().sum::<f64>() / 1_000.0,
        &expected["mean"],
        theirs,
    );
    check(interval.low, &expected["95.0% CI (lower)"], theirs);
    check(interval.high, &expected["95.0% CI (upper)"], theirs);
}

/// A policy that takes the likeliest action of each position for certain.
fn check_certain(reference: &Value, log: &str, odds: &Distribution, answers: &str) {
    let likeliest = |position: usize| {
        let at = |a: usize| odds.odds(a, position).unwrap();
        (0..odds.actions())
            .reduce(|b, a| if at(a) > at(b) { a } else { b })
            .unwrap()
    };
    let best = [0, 1, 2].map(likeliest);
    let expected = reference["actions"].as_array().unwrap();
    assert!(best.iter().zip(expected).all(|(a, e)| *e == *a), "{best:?}");
    let row = |action| best.map(|b| if b == action { "1" } else { "0" }).join(",");
    let table: Vec<String> = (0..odds.actions()).map(row).collect();
    let certain = Distribution::parse(&format!("a,b,c\n{}\n", table.join("\n"))).unwrap();
    let log = log.replacen("pi_e", "was", 1);
    let rows = Table::parse(&log, Some(&certain), Some(answers))
        .unwrap()
        .rows;
    let matched = rows.iter().filter(|row| row.target == 1.0).count();
    assert_eq!(reference["matched"], matched);
    for (name, value) in reference["values"].as_object().unwrap() {
        let estimator: Estimator = name.parse().unwrap();
        check(Terms::of(estimator, &rows).value().unwrap(), value, name);
    }
}

#[test]
fn men() {
    check_campaign("men");
}

#[test]
fn women() {
    check_campaign("women");
}

/// The reverse: the log of a policy with odds as small as one in a million, asked about uniform choice.
fn reverse(name: &str) -> Option<(Value, Vec<Row>)> {
    let reference = json(&shared(&format!("ope_{name}_bts_to_uniform.json"))?);
    let log = fs::read_to_string(shared(&format!("ope_{name}_bts_log.csv"))?).unwrap();
    let actions = reference["K"].as_u64().unwrap();
    let each = 1.0 / actions as f64;
    let odds = format!(
        "a,b,c\n{}",
        format!("{each},{each},{each}\n").repeat(actions as usize)
    );
    let odds = Distribution::parse(&odds).unwrap();
    let rows = Table::parse(&log, Some(&odds), None).unwrap().rows;
    Some((reference, rows))
}

fn check_reverse(name: &str) {
    let Some((reference, rows)) = reverse(name) else {
        return;
    };
    assert_eq!(reference["n"], rows.len());
    let named = [
        ("ipw", "ipw"),
        ("snipw", "snipw"),
        ("ipw_clip10", "ipw-clip=10"),
        ("ipw_clip100", "ipw-clip=100"),
    ];
    for (theirs, ours) in named {
        let value = Terms::of(ours.parse().unwrap(), &rows).value().unwrap();
        check(value, &reference[theirs], theirs);
    }
    let ipw = Estimator::Ipw.estimate(&rows, 0, 0).unwrap();
    check(ipw.standard_error, &reference["ipw_se"], "its error");
    let weights = Weights::of(rows.iter().map(Row::weight));
    check(weights.mean, &reference["weight_mean"], "mean weight");
    check(weights.max, &reference["weight_max"], "largest weight");
    check(weights.effective, &reference["ess"], "effective rows");
    let least = rows.iter().map(|row| row.propensity).fold(1.0, f64::min);
    check(least, &reference["pscore_min"], "least propensity");
}

#[test]
fn men_in_reverse() {
    check_reverse("men");
}

#[test]
fn women_in_reverse() {
    check_reverse("women");
}

/// One row has 69 % of the weight, and its error does not show it: the guards must.
#[test]
fn a_log_that_one_row_decides_is_not_believed() {
    let Some((_, rows)) = reverse("women") else {
        return;
    };
    let weights = Weights::of(rows.iter().map(Row::weight));
    let short = Guards::default().judge(&weights, u64::MAX);
    let [
        Short::EffectiveRows { found, .. },
        Short::WeightShare { found: share, .. },
    ] = short[..]
    else {
        panic!("{short:?}");
    };
    assert!((2.0..2.1).contains(&found) && share > 0.5, "{short:?}");
    let ipw = Estimator::Ipw.estimate(&rows, 200, 1).unwrap();
    // What uniform choice earned in truth: 0.0046.
    let lower = ipw.lower.unwrap();
    assert!(lower.betting < 0.0046 && lower.bernstein < 0.0, "{lower:?}");
}

/// MT19937 (Matsumoto and Nishimura 1998), seeded and asked as NumPy's `RandomState.choice` does.
struct Twister {
    state: [u32; 624],
    next: usize,
}

impl Twister {
    fn new(seed: u32) -> Twister {
        let mut state = [seed; 624];
        for i in 1..624 {
            let before = state[i - 1] ^ state[i - 1] >> 30;
            state[i] = before.wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Twister { state, next: 624 }
    }

    fn bits(&mut self) -> u32 {
        if self.next == 624 {
            for i in 0..624 {
                let y = self.state[i] & 1 << 31 | self.state[(i + 1) % 624] & !(1 << 31);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % 624] ^ y >> 1 ^ odd;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// As many bits as the largest allowed number has, until it is not exceeded.
    fn below(&mut self, n: usize) -> usize {
        let mask = (n as u32).next_power_of_two() - 1;
        loop {
            let found = (self.bits() & mask) as usize;
            if found < n {
                return found;
            }
        }
    }
}
