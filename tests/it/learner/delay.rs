//! Sales come minutes to days after the offer was seen: is what is told about each offer right meanwhile?

use offerd::decide::learning::Learning;
use offerd::domain::{EventType, OfferClass};
use offerd::learn::Dice;
use offerd::learn::attribution::{Attribution, Key, Limits, Shown};

use super::world::{HOUR, MINUTE};

const DAY: i64 = 24 * HOUR;

/// What is to happen: when, to which showing, and of which offer.
type Due = (i64, EventType, Key, usize);

/// A sale's delay: half within the hour, a third within a day, the rest in up to three.
fn delay(dice: &mut Dice) -> i64 {
    let (kind, part) = (dice.unit(), dice.unit());
    let (from, to) = match kind {
        k if k < 0.5 => (MINUTE, HOUR),
        k if k < 0.8 => (HOUR, DAY),
        _ => (DAY, 3 * DAY),
    };
    from + (part * (to - from) as f64) as i64
}

/// The share of sales that come within `age`.
fn come_by(age: i64) -> f64 {
    let part = |from: i64, to: i64| ((age - from) as f64 / (to - from) as f64).clamp(0.0, 1.0);
    0.5 * part(MINUTE, HOUR) + 0.3 * part(HOUR, DAY) + 0.2 * part(DAY, 3 * DAY)
}

/// What is told over a week, on average over offers and hours.
struct Told {
    /// The share of intervals that hold the truth.
    coverage: f64,
    /// Estimate less truth, as a part of the rate.
    bias: f64,
    /// The same of naive counting against the whole rate.
    naive: f64,
    /// The same on the first day.
    early: f64,
}

/// *Goal:* the rate of each offer is unbiased within its interval at every hour of a week. *Method:* twelve offers with known
/// rates, forty showings an hour each, and every hour the estimate held against the truth: the share that sells
/// within the age that it says it speaks of. Beside it what naive counting says. Five weeks, because the hours of
/// one are not independent.
#[test]
fn rates_are_right_at_every_hour_of_a_week() {
    let weeks: Vec<Told> = (0..5).map(week).collect();
    let mean = |of: fn(&Told) -> f64| weeks.iter().map(of).sum::<f64>() / weeks.len() as f64;
    let (coverage, bias) = (mean(|t| t.coverage), mean(|t| t.bias));
    let (naive, early) = (mean(|t| t.naive), mean(|t| t.early));
    println!("{coverage:.3} within, bias {bias:.4}; naive {naive:.4}, on the first day {early:.4}");
    assert!(coverage > 0.93, "{coverage}");
    // The standard error of the five weeks' mean is about one percent.
    assert!(bias.abs() < 0.03, "{bias}");
    assert!(naive < -0.1 && early < -0.3, "{naive} {early}");
}

fn week(seed: u64) -> Told {
    let mut dice = Dice::new(seed);
    let learning = Learning {
        hold_ms: MINUTE,
        ..Learning::default()
    };
    let rates: Vec<f64> = (0..12).map(|i| 0.01 * f64::from(i + 2)).collect();
    let mut attribution = Attribution::default();
    let mut due: Vec<Due> = Vec::new();
    for hour in 0..7 * 24 {
        for (offer, rate) in rates.iter().enumerate() {
            for _ in 0..40 {
                let at = hour * HOUR + (dice.unit() * HOUR as f64) as i64;
                let id = ((at as u128) << 64) | due.len() as u128;
                due.push((at, EventType::Impression, (id, 0, 1), offer));
                if dice.unit() < *rate {
                    let sold = at + delay(&mut dice);
                    due.push((sold, EventType::Conversion, (id, 0, 1), offer));
                }
            }
        }
    }
    due.sort_unstable_by_key(|d| (d.0, d.2));
    let mut due = due.into_iter().peekable();
    let (mut inside, mut told) = (0, 0);
    let (mut bias, mut naive, mut early) = (0.0, 0.0, 0.0);
    for hour in 1..=7 * 24_i64 {
        let now = hour * HOUR;
        while let Some((at, event, key, offer)) = due.next_if(|d| d.0 <= now) {
            let mut teach = |_: offerd::learn::attribution::Lesson<'_>| {};
            attribution.advance(at, &mut teach);
            if event == EventType::Impression {
                let shown = Shown {
                    key,
                    decided_at: at,
                    placement: "card",
                    has_screen: true,
                    class: OfferClass::Upsell,
                    learning: &learning,
                    offer: offer as u64,
                    model: 0,
                    base: -3.0,
                    believed: 0.05,
                    shadow: None,
                    features: vec![(0, 1.0)],
                };
                attribution.shown(shown, at, Limits::default());
            }
            attribution.happened(key, event, at, at, &mut teach);
        }
        let all = attribution.rates_at(now);
        for (offer, rate) in rates.iter().enumerate() {
            let estimate = all[&(offer as u64)].rate(90 * DAY);
            let truth = rate * come_by(estimate.horizon_ms);
            told += 1;
            inside += u32::from(estimate.low <= truth && truth <= estimate.high);
            bias += (estimate.rate - truth) / rate;
            naive += (estimate.naive - rate) / rate;
            early += if hour <= 24 {
                (estimate.naive - rate) / rate
            } else {
                0.0
            };
        }
    }
    let n = f64::from(told);
    println!("week {seed}: bias {:.4}", bias / n);
    Told {
        coverage: f64::from(inside) / n,
        bias: bias / n,
        naive: naive / n,
        early: early / (24.0 * rates.len() as f64),
    }
}
