//! Times scoring against LightGBM's single-row-fast C API and lleaves' compiled function.
//!
//! All run in this process, one after another in short slices of a round, on the same rows, and are
//! timed by this thread's CPU time: neighbours on the machine then disturb all of them alike, and the
//! ratio within a round says more than any time does. Contexts rotate from call to call.
//!
//! Requests come in two kinds. With *offers of a catalog* an offer's inputs are the same in every request,
//! as in offerd, which then has them struck out beforehand; the peers get the same numbers as rows. With
//! *inputs given anew* half of an offer's inputs are other numbers in each request, as where they depend on
//! the customer, and nothing is known beforehand.
//!
//! The peers are entered through their C functions, so that no Python is in the way; they are found
//! with `dlopen`, so that nothing is linked.

mod peers;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use offerd::model::ensemble::Ensemble;
use offerd::model::eval::{Evaluator, Level, Method};
use offerd::model::{Batch, Function, Roster, ScorerScratch, load_unproven};
use peers::{LightGbm, Lleaves, cpu_ns};

const INPUTS: usize = 40;
const SHARED: usize = 28;
const REQUESTS: usize = 32;
const CANDIDATES: usize = 200;
/// How long one scorer runs before the next has its turn.
const SLICE_NS: f64 = 5e6;

/// Everything that is timed on one model.
struct Bench {
    given: Requests,
    catalog: Requests,
    roster: Roster,
    own_inputs: Vec<u16>,
    ensemble: Ensemble,
    evaluator: Evaluator,
    lightgbm: LightGbm,
    lleaves: Option<Lleaves>,
}

/// Requests of [`CANDIDATES`] rows each.
struct Requests {
    rows: Vec<f64>,
    /// Of the rows, the inputs that differ between candidates.
    own: Vec<f64>,
    /// Which of the roster's candidates each row is; empty where it is none of them.
    places: Vec<u32>,
}

type Times = BTreeMap<(usize, String), Vec<f64>>;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, library, rounds] = arguments.as_slice() else {
        anyhow::bail!("usage: scoring-peers MODELS LIB_LIGHTGBM ROUNDS");
    };
    let rounds: usize = rounds.parse().context("ROUNDS")?;
    for name in ["500x31", "100x31", "500x64"] {
        let bench = Bench::load(Path::new(folder), name, library, rounds)?;
        bench.check(Path::new(folder), name)?;
        for (kind, requests) in [
            ("offers of a catalog", &bench.catalog),
            ("inputs given anew", &bench.given),
        ] {
            println!("{name}, {kind}");
            print(&bench.run(rounds, requests));
        }
    }
    Ok(())
}

impl Bench {
    /// Loads a model into all scorers, telling what that costs.
    fn load(folder: &Path, name: &str, library: &str, rounds: usize) -> anyhow::Result<Bench> {
        let file = folder.join(format!("{name}.txt"));
        let rows = numbers(&folder.join("rows.f64"))?;
        let catalog = numbers(&folder.join("catalog.f64"))?;
        let own_inputs: Vec<u16> = (SHARED as u16..INPUTS as u16).collect();
        let manifest = manifest();
        let artifact = std::fs::read(&file).with_context(|| file.display().to_string())?;
        let mut ratios = Vec::new();
        for _ in 0..rounds {
            let began = cpu_ns();
            drop(load_unproven(&manifest, &artifact)?);
            let ours = cpu_ns() - began;
            let began = cpu_ns();
            drop(LightGbm::load(library, &file)?);
            ratios.push(ours / (cpu_ns() - began));
        }
        println!("{name}");
        println!(
            "  building the scorer / LightGBM loading, this thread's CPU: {}",
            spread(ratios)
        );
        let model = load_unproven(&manifest, &artifact)?;
        let Function::Forest(ensemble) = model.scorer.function.clone() else {
            anyhow::bail!("{name} is no forest");
        };
        let evaluator = Evaluator::new(&ensemble, &own_inputs);
        let began = cpu_ns();
        let roster = evaluator.strike(INPUTS, Roster::new(own_inputs.clone(), catalog.clone()));
        println!(
            "  striking out a catalog of {CANDIDATES} offers: {:.2} ms",
            (cpu_ns() - began) / 1e6
        );
        Ok(Bench {
            catalog: Requests::of_catalog(&rows, &catalog),
            given: Requests::new(rows, Vec::new()),
            roster,
            evaluator,
            own_inputs,
            ensemble,
            lightgbm: LightGbm::load(library, &file)?,
            lleaves: Lleaves::load(&folder.join(format!("{name}.so"))),
        })
    }

    /// Compares all methods with what LightGBM said when it had trained the model.
    fn check(&self, folder: &Path, name: &str) -> anyhow::Result<()> {
        let expected = numbers(&folder.join(format!("{name}.f64")))?;
        let mut scratch = ScorerScratch::default();
        let mut out = [0.0; CANDIDATES];
        for request in 0..REQUESTS {
            let first = request * CANDIDATES;
            for (_, evaluator, method) in self.ways() {
                let batch = self.given.batch(&self.own_inputs, first, CANDIDATES);
                evaluator.raw_by(method, &self.ensemble, &batch, &mut scratch, &mut out);
                compare(&out, expected[first..].iter().copied())?;
            }
            for level in Level::available() {
                let evaluator = self.evaluator.clone().at_level(level);
                self.score(&evaluator, &self.catalog, first, &mut scratch, &mut out);
                let rows = self.catalog.rows[first * INPUTS..].chunks_exact(INPUTS);
                compare(&out, rows.map(|row| self.lightgbm.score(row)))?;
            }
        }
        Ok(())
    }

    /// Scores as offerd does: candidates that are known beforehand are named, others given.
    fn score(
        &self,
        evaluator: &Evaluator,
        requests: &Requests,
        first: usize,
        scratch: &mut ScorerScratch,
        out: &mut [f64],
    ) {
        if let Some(places) = requests.places.get(first..first + out.len()) {
            let shared = &requests.rows[first * INPUTS..][..INPUTS];
            evaluator.raw_known(&self.ensemble, shared, &self.roster, places, scratch, out);
        } else {
            let batch = requests.batch(&self.own_inputs, first, out.len());
            evaluator.raw(&self.ensemble, &batch, scratch, out);
        }
    }

    /// Every method at every level, and what serves.
    fn ways(&self) -> Vec<(String, Evaluator, Method)> {
        let mut ways = Vec::new();
        for level in Level::available() {
            let evaluator = self.evaluator.clone().at_level(level);
            for method in [Method::Walk, Method::Lookup, Method::Pruned] {
                let name = format!("{} {method:?}", level.name()).to_lowercase();
                ways.push((name, evaluator.clone(), method));
            }
        }
        ways
    }

    fn run(&self, rounds: usize, requests: &Requests) -> Times {
        let mut times = Times::new();
        let mut scratch = ScorerScratch::default();
        let mut dice = Dice(12345);
        let levels: Vec<Evaluator> = (Level::available().into_iter())
            .map(|level| self.evaluator.clone().at_level(level))
            .collect();
        for _ in 0..rounds {
            for candidates in [1, 10, 50, 200] {
                let mut time = |name: &str, score: &mut dyn FnMut(usize, &mut [f64])| {
                    let mut out = [0.0; CANDIDATES];
                    let mut once = || {
                        let first = dice.below(REQUESTS) * CANDIDATES
                            + dice.below(CANDIDATES - candidates + 1);
                        score(first, &mut out[..candidates]);
                    };
                    (0..3).for_each(|_| once());
                    let (began, mut calls) = (cpu_ns(), 0.0);
                    while cpu_ns() - began < SLICE_NS {
                        (0..4).for_each(|_| once());
                        calls += 4.0;
                    }
                    let key = (candidates, name.to_owned());
                    times
                        .entry(key)
                        .or_default()
                        .push((cpu_ns() - began) / calls);
                };
                time("lightgbm", &mut |first, out| {
                    for (i, out) in out.iter_mut().enumerate() {
                        *out = self
                            .lightgbm
                            .score(&requests.rows[(first + i) * INPUTS..][..INPUTS]);
                    }
                });
                if let Some(lleaves) = &self.lleaves {
                    time("lleaves", &mut |first, out| {
                        lleaves.score(&requests.rows[first * INPUTS..][..out.len() * INPUTS], out);
                    });
                }
                for (level, evaluator) in Level::available().into_iter().zip(&levels) {
                    time(level.name(), &mut |first, out| {
                        self.score(evaluator, requests, first, &mut scratch, out);
                    });
                }
                for (name, evaluator, method) in self.ways() {
                    if !requests.places.is_empty() {
                        break;
                    }
                    time(&name, &mut |first, out| {
                        let batch = requests.batch(&self.own_inputs, first, out.len());
                        evaluator.raw_by(method, &self.ensemble, &batch, &mut scratch, out);
                    });
                }
            }
        }
        times
    }
}

impl Requests {
    fn new(rows: Vec<f64>, places: Vec<u32>) -> Requests {
        let own = (rows.chunks_exact(INPUTS)).flat_map(|row| row[SHARED..].to_vec());
        Requests {
            own: own.collect(),
            rows,
            places,
        }
    }

    /// The contexts of `rows`, each with the catalog's offers in an order of its own.
    fn of_catalog(rows: &[f64], catalog: &[f64]) -> Requests {
        let mut rows = rows.to_vec();
        let mut dice = Dice(99);
        let mut places = Vec::with_capacity(REQUESTS * CANDIDATES);
        for request in rows.chunks_exact_mut(CANDIDATES * INPUTS) {
            let mut order: Vec<usize> = (0..CANDIDATES).collect();
            for row in request.chunks_exact_mut(INPUTS) {
                let offer = order.swap_remove(dice.below(order.len()));
                let width = INPUTS - SHARED;
                row[SHARED..].copy_from_slice(&catalog[offer * width..][..width]);
                places.push(offer as u32);
            }
        }
        Requests::new(rows, places)
    }

    fn batch<'a>(&'a self, own_inputs: &'a [u16], first: usize, candidates: usize) -> Batch<'a> {
        let width = own_inputs.len();
        Batch {
            shared: &self.rows[first * INPUTS..][..INPUTS],
            own_inputs,
            own: &self.own[first * width..][..candidates * width],
        }
    }
}

/// A small generator of numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

fn compare(found: &[f64], expected: impl Iterator<Item = f64>) -> anyhow::Result<()> {
    for (raw, expected) in found.iter().zip(expected) {
        let near = (raw - expected).abs() <= 1e-9;
        ensure!(near, "{raw} is not LightGBM's {expected}");
    }
    Ok(())
}

/// Times, and how many times as fast as each peer, round by round.
fn print(times: &Times) {
    println!(
        "  {:>4}  {:<18} {:>9}   {:<24} x lleaves",
        "n", "scorer", "us", "x LightGBM"
    );
    for ((candidates, name), own) in times {
        let against = |peer: &str| {
            let peer = times.get(&(*candidates, peer.to_owned()))?;
            Some(spread(
                peer.iter().zip(own).map(|(peer, own)| peer / own).collect(),
            ))
        };
        let mut sorted = own.clone();
        sorted.sort_by(f64::total_cmp);
        println!(
            "  {candidates:>4}  {name:<18} {:>9.2}   {:<24} {}",
            sorted[sorted.len() / 2] / 1e3,
            against("lightgbm").unwrap_or_default(),
            against("lleaves").unwrap_or_default(),
        );
    }
}

/// The median, and the quarters.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: usize| values[(values.len() - 1) * share / 4];
    format!("{:.2} ({:.2}..{:.2})", at(2), at(1), at(3))
}

fn numbers(file: &Path) -> anyhow::Result<Vec<f64>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let (numbers, _) = bytes.as_chunks::<8>();
    Ok(numbers
        .iter()
        .map(|bytes| f64::from_le_bytes(*bytes))
        .collect())
}

fn manifest() -> String {
    let features: Vec<String> = (0..INPUTS)
        .map(|i| {
            let (prefix, source) = if i < SHARED {
                ("", "customer")
            } else {
                ("offer.", "offer")
            };
            format!(r#"{{"name":"{prefix}Column_{i}","kind":"number","source":"{source}"}}"#)
        })
        .collect();
    format!(
        r#"{{"name":"bench","version":"1","format":"lightgbm","target":"conversion","features":[{}]}}"#,
        features.join(",")
    )
}
