//! Policies judged on offerd's own records.
//!
//! Method: the simulator's customers ask the demo operator's own decision code, the simulator decides what they
//! then do; how likely that was is known, so what any policy truly earns is too.

use std::sync::Arc;

use offerd::control::bind;
use offerd::decide::record::DecisionRecord;
use offerd::decide::snapshot::Snapshot;
use offerd::decide::{Scratch, decide, odds_of};
use offerd::domain::{Facts, Millis};
use offerd::learn::Dice;
use offerd::learn::ope::gate::{Outcome, Rule, Verdict};
use offerd::learn::ope::{Evidence, Happenings, Judge, Scope};
use offerd::learn::train::Calibrator;
use offerd::model::Format;

use crate::support::{DEMO, NOON, by_model, by_prior, request};
use crate::train::{LIMITS, Log, examples, exploring, log, trained};

/// Every window has closed.
const SCOPE: Scope = Scope {
    now: Millis(NOON.0 + 86_400_000_000),
    window_ms: Some(1),
    completion_min: 1.0,
    weight_max: 100.0,
    decisions_max: 1_000_000,
};

fn evidence(new: &Snapshot, champion: &Snapshot, records: &[String], scope: Scope) -> Evidence {
    let mut happened = Happenings::default();
    records.iter().for_each(|record| happened.hear(record));
    let mut judge = Judge::new(new, Some(champion), happened, scope);
    records.iter().for_each(|record| judge.add(record));
    judge.finish()
}

fn verdict(new: &Snapshot, champion: &Snapshot, records: &[String]) -> Verdict {
    Rule::default().judge(&evidence(new, champion, records, SCOPE))
}

/// What a decision of that policy truly earns, among those that show anything.
fn truth(snapshot: &Snapshot, log: &Log) -> f64 {
    let values = log.records.iter().filter_map(|record| {
        let record: DecisionRecord<'_> = serde_json::from_str(record).ok()?;
        let choice = record.placements[0].slate.first()?;
        let offer = (snapshot.catalog.offers.iter()).find(|o| *o.id == *choice.offer)?;
        let id: offerd::domain::DecisionId = record.id.parse().ok()?;
        // Nine of ten offers shown are seen.
        Some(0.9 * log.truth[&id.0] * offer.value_minor as f64)
    });
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn a_policy_gives_its_own_slates_the_odds_that_it_logged() {
    let snapshot = by_prior(DEMO);
    let (mut scratch, facts) = (Scratch::default(), Facts::default());
    let mut found = Vec::new();
    let (mut ranks, mut sums) = (0, 0);
    for id in 1..=500 {
        let request = request(id);
        let decision = decide(&snapshot, &request, &facts, &mut scratch).clone();
        let logged: Vec<Vec<_>> = (decision.placements.iter())
            .map(|p| {
                decision
                    .choices_of(p)
                    .iter()
                    .map(|c| Some(c.offer))
                    .collect()
            })
            .collect();
        odds_of(
            &snapshot,
            &request,
            &facts,
            &logged,
            &mut scratch,
            &mut found,
        );
        for (placement, odds) in decision.placements.iter().zip(&found) {
            let propensities = decision
                .choices_of(placement)
                .iter()
                .map(|c| c.propensity.get());
            assert!(odds.reached && propensities.eq(odds.ranks.iter().copied()));
            assert_eq!(odds.joint(), placement.joint);
            ranks += odds.ranks.len();
            let sum: f64 = odds.first.iter().map(|(_, p)| p).sum();
            sums += usize::from((sum - 1.0).abs() < 1e-12);
        }
    }
    assert!(ranks > 1_000 && sums == 1_000, "{ranks} {sums}");
}

#[test]
fn what_a_policy_would_never_show_has_no_odds_and_ends_there() {
    let snapshot = by_prior(DEMO);
    let (mut scratch, facts) = (Scratch::default(), Facts::default());
    let request = request(7);
    let decision = decide(&snapshot, &request, &facts, &mut scratch).clone();
    let mut logged: Vec<Vec<_>> = (decision.placements.iter())
        .map(|p| {
            decision
                .choices_of(p)
                .iter()
                .map(|c| Some(c.offer))
                .collect()
        })
        .collect();
    let mut found = Vec::new();
    logged[0][0] = None;
    odds_of(
        &snapshot,
        &request,
        &facts,
        &logged,
        &mut scratch,
        &mut found,
    );
    assert_eq!(found[0].joint(), 0.0);
    assert!(found[0].reached && !found[1].reached, "{found:?}");
    assert!(!found[0].first.is_empty() && found[1].first.is_empty());
}

/// How many standard errors the estimates of eight logs are off the truth: of a new policy, and of the one
/// that made the log.
#[test]
fn estimates_are_near_what_policies_truly_earn() {
    let (logged, new) = (exploring(), by_model("propensity-linear"));
    let runs = 8;
    let mut off = [0.0; 2];
    for seed in 21..21 + runs {
        let made = log(&logged, seed, 3_000);
        let found = verdict(&new, &logged, &made.records).all;
        // The same customers, and what the other policy shows them.
        let expected = [truth(&new, &log(&new, seed, 3_000)), truth(&logged, &made)];
        for ((off, value), expected) in off
            .iter_mut()
            .zip([found.new, found.champion])
            .zip(expected)
        {
            *off += (value - expected) / expected / f64::from(runs as u32);
        }
    }
    // Eight logs have about 500 conversions, of unequal worth: a tenth is one standard error.
    assert!(off.iter().all(|off| off.abs() < 0.15), "{off:?}");
}

#[test]
fn what_the_log_cannot_tell_is_left_out_and_counted() {
    let snapshot = by_prior(DEMO);
    let made = log(&snapshot, 5, 60).records;
    let counts = |change: &dyn Fn(&str) -> String, scope: Scope| {
        let records: Vec<String> = made.iter().map(|r| change(r)).collect();
        let found = evidence(&snapshot, &snapshot, &records, scope);
        (found.len() as u64, found.counts)
    };
    let (rows, as_is) = counts(&|r| r.to_owned(), SCOPE);
    assert!(rows > 40 && rows == as_is.slates, "{as_is:?}");
    let changed = |from: &str, to: &str| counts(&|r| r.replace(from, to), SCOPE);
    assert_eq!(changed("\"test\":false", "\"test\":true").1.test, 60);
    assert_eq!(
        changed("\"measured\":true", "\"measured\":false")
            .1
            .unmeasured,
        60
    );
    let degraded = changed(
        "\"degraded\":[\"prior_only\"]",
        "\"degraded\":[\"unlogged\"]",
    );
    assert_eq!((degraded.0, degraded.1.degraded), (0, 60));
    let newer = changed(
        "{\"v\":1,\"type\":\"decision\"",
        "{\"v\":9,\"type\":\"decision\"",
    );
    assert_eq!(newer.1.unreadable, 60);
    let young = Scope {
        window_ms: Some(i64::MAX),
        ..SCOPE
    };
    let (rows, open) = counts(&|r| r.to_owned(), young);
    assert_eq!((rows, open.open), (0, as_is.slates));
    let few = Scope {
        decisions_max: 10,
        ..SCOPE
    };
    assert_eq!(counts(&|r| r.to_owned(), few).1.over_limit, 50);
}

#[test]
fn little_evidence_is_no_pass() {
    let (logged, new) = (exploring(), by_model("propensity-linear"));
    let found = verdict(&new, &logged, &log(&logged, 3, 300).records);
    assert_eq!(found.outcome, Outcome::Inconclusive);
    assert!(
        !found.short.is_empty() && found.more_rows > Some(300),
        "{found:?}"
    );
    let nothing = verdict(&new, &logged, &[]);
    assert_eq!(
        (nothing.outcome, nothing.more_rows),
        (Outcome::Inconclusive, None)
    );
}

#[test]
fn a_policy_is_as_good_as_itself() {
    let snapshot = exploring();
    let found = verdict(&snapshot, &snapshot, &log(&snapshot, 4, 4_000).records);
    assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
    assert_eq!((found.all.difference, found.weights.mean), (0.0, 1.0));
}

/// Goal: a worse model is refused and a better one accepted.
/// Method: twenty times a champion is trained on a log, another one on twice as much of it, and a third on that with
/// its labels shuffled; the champion then serves, and both are judged on its log. Prints the error rates.
/// `OFFERD_GATE_ROWS` says how long the judged logs are.
#[test]
#[ignore = "minutes: cargo test --release --test it evaluate::own::error_rates -- --ignored --nocapture"]
fn error_rates_of_the_gate() {
    let rows = std::env::var("OFFERD_GATE_ROWS").map_or(60_000, |rows| rows.parse().unwrap());
    let (mut refused, mut accepted, mut passed_worse) = (0, 0, 0);
    let mut judged = 0;
    for seed in 0..20 {
        let random = exploring();
        let long = log(&random, 100 + seed, 60_000).records;
        let half = long.len() / 2;
        let serving = |data: &_| {
            let model = trained(data, Format::Linear, Calibrator::Platt).model;
            let mut snapshot = by_prior(DEMO);
            snapshot.model = Arc::new(bind::bind(&model, &snapshot.catalog).unwrap());
            snapshot
        };
        let (first, _) = examples(&random, &long[..half], LIMITS);
        let (mut all, _) = examples(&random, &long, LIMITS);
        let (champion, better) = (serving(&first), serving(&all));
        let mut dice = Dice::new(seed);
        for i in (1..all.labels.len()).rev() {
            all.labels.swap(i, dice.below(i + 1));
        }
        let shuffled = trained_anyhow(&all);
        let made = log(&champion, 1_000 + seed, rows);
        let good = verdict(&better, &champion, &made.records);
        accepted += u32::from(good.outcome == Outcome::Pass);
        judged += 1;
        println!("{seed}: twice the data {}", told(&good));
        let bad = shuffled.map(|model| {
            let mut worse = by_prior(DEMO);
            worse.model = Arc::new(bind::bind(&model, &worse.catalog).unwrap());
            verdict(&worse, &champion, &made.records)
        });
        match bad {
            Some(bad) => {
                refused += u32::from(bad.outcome == Outcome::NotBetter);
                passed_worse += u32::from(bad.outcome == Outcome::Pass);
                println!("{seed}: shuffled       {}", told(&bad));
            }
            None => println!("{seed}: shuffled       the trainer refuses it: it does not rank"),
        }
    }
    println!(
        "of {judged}: twice the data accepted {accepted}; shuffled not_better {refused}, passed {passed_worse}"
    );
    assert_eq!(passed_worse, 0);
    assert!(accepted * 10 >= judged * 9, "{accepted} of {judged}");
}

/// The trainer refuses a model that does not rank, as one on shuffled labels should not.
fn trained_anyhow(data: &offerd::learn::dataset::Dataset) -> Option<offerd::model::Model> {
    let options = crate::train::options(Format::Linear, Calibrator::Platt);
    offerd::learn::train::train(data, options, |_| ())
        .ok()
        .map(|t| t.model)
}

fn told(v: &Verdict) -> String {
    format!(
        "{} new {:.2} champion {:.2} difference {:+.3} se {:.3} lower {:+.3} margin {:.3} effective {:.0} {:?}",
        v.outcome,
        v.all.new,
        v.all.champion,
        v.all.difference,
        v.all.standard_error,
        v.lower,
        v.margin,
        v.all.effective,
        v.short
    )
}
