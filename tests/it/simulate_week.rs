//! Conversions that come minutes to days late: what is told of rates meanwhile.

use offerd::learn::simulation::week::{HOURS, RATES, Told, week};

/// How many weeks are looked at.
const WEEKS: u64 = 24;

/// *Goal:* at every hour of a week the estimated rate of each offer is right on average, and within its interval as
/// often as the interval promises; counting is neither. *Method:* many weeks, each offer's estimate over its truth.
#[test]
fn rates_are_unbiased_at_every_hour_and_counts_are_not() {
    let weeks: Vec<Vec<Told>> = (0..WEEKS).map(week).collect();
    let samples = WEEKS as f64 * RATES.len() as f64;
    let mut within = 0;
    for hour in 1..=HOURS {
        let told = || weeks.iter().flatten().filter(move |t| t.hour == hour);
        let ratios: Vec<f64> = told().map(|t| t.rate.rate / t.truth).collect();
        let mean = ratios.iter().sum::<f64>() / samples;
        let variance = ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (samples - 1.0);
        let error = (variance / samples).sqrt();
        assert!(
            (mean - 1.0).abs() < 4.0 * error,
            "hour {hour}: {mean} with an error of {error}"
        );
        within += told()
            .filter(|t| (t.rate.low..=t.rate.high).contains(&t.truth))
            .count();
        // What counting tells is meant to be the rate, whatever time has passed.
        let rate = |t: &Told| RATES[t.offer];
        let counted = told().map(|t| t.rate.naive / rate(t)).sum::<f64>() / samples;
        assert!(counted < 1.0, "hour {hour}: counting finds {counted}");
        assert!(
            hour > 6 || counted < 0.8,
            "hour {hour}: counting finds {counted}"
        );
    }
    let share = within as f64 / (samples * HOURS as f64);
    assert!(
        (0.92..=0.98).contains(&share),
        "within the interval: {share}"
    );
}
