//! `offerd simulate`: worlds whose truth is known, small enough to be played in seconds.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps what is not there fails, as it should"
)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use offerd::learn::simulation::{
    Base, Customers, Labels, Plan, Policy, Pushed, Setup, Study, World, picture, play, study,
};
use offerd::model::online::Context;
use serde_json::Value;

fn policy(name: &str) -> Policy {
    name.parse().unwrap()
}

fn plan(offers: usize, decisions: u32, policies: &[&str]) -> Plan {
    Plan {
        setup: Setup {
            offers,
            decisions,
            // A small world has its three weeks too, with fewer customers a day.
            per_day: f64::from(decisions) / 20.0,
            ..Setup::default()
        },
        worlds: 3,
        seed: 40,
        policies: policies.iter().map(|name| policy(name)).collect(),
        labels: Labels::Flip,
        pushed: false,
        threads: 2,
    }
}

fn played(plan: &Plan) -> Study {
    study(plan, &Customers::made_up(7, 2_000), &|| {})
}

fn share(study: &Study, name: &str) -> f64 {
    let found = study.policies.iter().find(|p| p.policy == name).unwrap();
    found.share.mean
}

#[test]
fn nobody_beats_the_oracle_and_learning_beats_chance() {
    let mut plan = plan(8, 8_000, &[]);
    plan.worlds = 2;
    plan.policies = Policy::all().collect();
    let study = played(&plan);
    for policy in &study.policies {
        assert!(
            policy.worlds.iter().all(|share| *share <= 1.0),
            "{policy:?}"
        );
        assert_eq!(policy.worlds.len(), 2);
        assert!(
            policy.regret.is_sorted(),
            "{} wins regret back",
            policy.policy
        );
    }
    assert_eq!(share(&study, "oracle"), 1.0);
    for policy in study.policies.iter().filter(|p| p.learns) {
        let (own, chance) = (policy.share.mean, share(&study, "uniform"));
        assert!(
            own > 1.15 * chance,
            "{}: {own} after {chance}",
            policy.policy
        );
    }
}

#[test]
fn failures_at_window_close_and_successes_on_arrival_lose_visibly() {
    let mut plan = plan(8, 24_000, &["epsilon-greedy"]);
    // The window is what it is, so days must be days: the world is short of them, not of customers.
    plan.setup.per_day = 2_000.0;
    let flip = share(&played(&plan), "epsilon-greedy");
    plan.labels = Labels::Naive;
    let naive = share(&played(&plan), "epsilon-greedy");
    assert!(naive < flip - 0.1, "naive {naive}, flip {flip}");
}

/// *Goal:* a posterior finds new offers and a season that a frozen model cannot know of. *Method:* both start from
/// the same model, and are compared after the season began and after the new offers started.
#[test]
fn who_learns_is_better_off_after_a_change_than_the_model_alone() {
    let mut plan = plan(
        12,
        40_000,
        &["epsilon-greedy", "model-epsilon", "model-greedy"],
    );
    plan.pushed = true;
    let study = played(&plan);
    let [learning, model, greedy] = study.policies.as_slice() else {
        panic!("three policies were asked for")
    };
    for frozen in [model, greedy] {
        assert!(learning.share.mean > frozen.share.mean, "{}", frozen.policy);
        assert!(learning.thirds[1] > frozen.thirds[1], "{}", frozen.policy);
    }
}

#[test]
fn a_pushed_model_ranks_better_than_chance_and_knows_no_offer_by_name() {
    let customers = Customers::made_up(7, 2_000);
    let setup = plan(12, 40_000, &[]).setup;
    let world = World::new(3, &customers, &setup);
    let pushed = Base::Pushed(Pushed::train(&world, &customers));
    let value = |policy| {
        play(
            &world,
            &customers,
            policy,
            Labels::Flip,
            (&Base::Prior, &pushed),
        )
    };
    let (model, uniform) = (value(policy("model-greedy")), value(Policy::Uniform));
    let (model, uniform) = (model.all.share(), uniform.all.share());
    assert!(model > 1.15 * uniform, "{model} after {uniform}");
    // An offer that it has never seen gets what its class and price say, and that is a number.
    let x = Context::of(&[(0, 1.0)]);
    assert!((0..12).all(|offer| pushed.logit(&world, offer, &x).is_finite()));
}

#[test]
fn worlds_last_as_long_as_they_should_and_change_when_they_should() {
    let customers = Customers::made_up(7, 2_000);
    let world = World::new(5, &customers, &plan(16, 30_000, &[]).setup);
    let looks = &world.looks;
    assert!((29_000..31_000).contains(&looks.len()), "{}", looks.len());
    assert!(looks.is_sorted_by_key(|look| look.at_ms));
    let running = |at_ms| (0..16).filter(|&offer| world.runs(offer, at_ms)).count();
    let at = |share: f64| (world.length_ms as f64 * share) as u64;
    assert_eq!(
        [0.1, 0.55, 0.9].map(|share| running(at(share))),
        [12, 16, 12]
    );
    for offer in &world.offers {
        assert!((0.005..=0.05).contains(&offer.rate) && (200.0..=8_000.0).contains(&offer.margin));
    }
    // Every phase is looked at, and many looks fall on the way and at the door.
    let mut phases = [0_usize; 7];
    looks
        .iter()
        .for_each(|look| phases[look.phase as usize] += 1);
    assert!(phases.iter().all(|n| *n > 300_usize), "{phases:?}");
    assert!(phases[2] + phases[3] > looks.len() / 3, "{phases:?}");
}

fn command(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offerd"));
    command.arg("simulate").args(arguments).output().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_one_thread_and_on_two() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, seed: &str, threads: &str| {
        let svg = dir.path().join(name);
        let (small, svg_text) = (["--offers", "5", "--worlds", "2"], svg.to_str().unwrap());
        let more = [
            "--decisions",
            "3000",
            "--policies",
            "epsilon-greedy,uniform,oracle",
            "--json",
        ];
        let output = command(
            &[
                &small[..],
                &more,
                &["--seed", seed, "--threads", threads, "--svg", svg_text],
            ]
            .concat(),
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        (output.stdout, fs::read(svg).unwrap())
    };
    let first = run("a.svg", "5", "2");
    assert_eq!(run("b.svg", "5", "1"), first);
    assert_ne!(run("c.svg", "6", "2"), first);
    let studies: Vec<Value> = serde_json::from_slice(&first.0).unwrap();
    assert_eq!(studies[0]["policies"][2]["share"]["mean"], 1.0);
    let picture = String::from_utf8(first.1).unwrap();
    assert!(picture.contains("prefers-color-scheme:dark") && !picture.contains("NaN"));
    assert_eq!(
        picture.matches("stroke-width=\"2\"").count(),
        5,
        "two curves, three values"
    );
}

#[test]
fn a_picture_of_nothing_is_a_picture() {
    assert!(picture(&[]).ends_with("</svg>\n"));
}

fn telco() -> Option<PathBuf> {
    let shared = std::env::var("OFFERD_SHARED").unwrap_or_else(|_| "../shared".into());
    let path = PathBuf::from(shared).join("data/telco/Telco-Customer-Churn.csv");
    if !path.exists() {
        println!("not tested: {} is absent", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn customers_come_from_a_table() {
    let Some(path) = telco() else { return };
    let output = command(&[
        "--customers",
        path.to_str().unwrap(),
        "--offers",
        "4",
        "--worlds",
        "1",
        "--decisions",
        "1000",
        "--policies",
        "uniform,oracle",
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("oracle") && text.contains("1.000"), "{text}");
}

#[test]
fn another_table_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let check = |table: String, told: &str| {
        let path = dir.path().join("table.csv");
        fs::write(&path, table).unwrap();
        let output = command(&["--customers", path.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(told), "{text}");
    };
    let head = "tenure,gender,SeniorCitizen,Partner,Dependents,PaymentMethod,Contract,InternetService,Churn,MultipleLines,\
                OnlineSecurity,OnlineBackup,DeviceProtection,TechSupport,StreamingTV,StreamingMovies,PaperlessBilling";
    let row = "1,F,0,No,No,Check,One year,DSL,No,No,No,No,No,No,No,No,No\n";
    check("a,b\n1,2\n".into(), "no column `tenure`");
    check(
        format!("{head}\n{}", row.repeat(3)),
        "3 customers are too few: expected at least 500",
    );
    let odd = row.replacen('1', "long", 1);
    check(
        format!("{head}\n{}{odd}", row.repeat(600)),
        "row 601, `tenure`",
    );
    check(
        format!("{head}\n1,2\n"),
        "record 2 has 2 cells, the header 17",
    );
    check("a\n\"b".into(), "record 2");
    let output = command(&["--policies", "best"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("no policy `best`: expected one of"), "{text}");
}
