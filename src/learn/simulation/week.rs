//! A week in which conversions come late: what is told of each offer's rate, hour by hour, beside the truth.
//!
//! Offers are shown at random, are seen, and convert at rates that stay what they are. At the end of every hour
//! the rates are estimated from what has come by then, the way the learning report does it
//! ([`crate::learn::rates`]), and by counting: conversions so far over showings so far.

use serde::Serialize;

use super::labels::{DELAYS, WINDOW_MS, delay_ms};
use super::visits::{HOUR_MS, MINUTE_MS};
use crate::learn::Dice;
use crate::learn::rates::{Rate, Rates};

/// How many hours a week has.
pub const HOURS: u64 = 168;
/// The true rates of its offers: that of those that are seen and convert.
pub const RATES: [f64; 6] = [0.008, 0.015, 0.02, 0.03, 0.04, 0.06];
/// Showings of each offer in an hour.
const SHOWINGS: u64 = 60;

/// What is told of one offer at the end of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Told {
    /// Hours since the week began.
    pub hour: u64,
    /// Which of [`RATES`].
    pub offer: usize,
    /// The true share that converts within the horizon that the estimate tells of.
    pub truth: f64,
    /// The estimate, its interval, and the naive one.
    pub rate: Rate,
}

/// Every offer at every hour, the same for the same seed.
#[must_use]
pub fn week(seed: u64) -> Vec<Told> {
    let mut dice = Dice::new(seed);
    // By offer: when it was shown, and how long after that it converts.
    let mut shown: Vec<Vec<(u64, Option<u64>)>> = vec![Vec::new(); RATES.len()];
    let mut told = Vec::new();
    for hour in 1..=HOURS {
        for (offer, shown) in shown.iter_mut().enumerate() {
            for _ in 0..SHOWINGS {
                let at = (hour - 1) * HOUR_MS + (dice.unit() * HOUR_MS as f64) as u64;
                let delay = delay_ms(&mut dice);
                let converts = dice.chance(RATES[offer]) && delay < WINDOW_MS;
                shown.push((at, converts.then_some(delay)));
            }
            let rate = estimate(shown, hour * HOUR_MS);
            told.push(Told {
                hour,
                offer,
                truth: RATES[offer] * come_by(rate.horizon_ms as f64),
                rate,
            });
        }
    }
    told
}

fn estimate(shown: &[(u64, Option<u64>)], now_ms: u64) -> Rate {
    let mut rates = Rates::default();
    for (at, delay) in shown {
        let age = now_ms - at;
        let came = delay.filter(|delay| *delay <= age);
        let ms = |ms: u64| i64::try_from(ms).expect("a week is short");
        rates.close(came.map(ms), ms(age));
    }
    rates.rate(WINDOW_MS as i64)
}

/// The share of conversions that come within a time.
fn come_by(ms: f64) -> f64 {
    let kind =
        |(share, minutes): (f64, f64)| share * -(-ms / (minutes * MINUTE_MS as f64)).exp_m1();
    DELAYS.map(kind).iter().sum()
}
