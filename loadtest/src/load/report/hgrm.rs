//! HdrHistogram's text form.

use std::fmt::Write as _;

use super::super::latency::Latency;

/// The text that HdrHistogram's plotters read: milliseconds.
pub fn text(latency: &Latency) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for (us, quantile, seen) in latency.by_quantile(5) {
        let value = us / 1e3;
        let line = match quantile < 1.0 {
            true => writeln!(
                text,
                "{value:12.3} {quantile:2.12} {seen:10} {:14.2}",
                1.0 / (1.0 - quantile)
            ),
            false => writeln!(text, "{value:12.3} {quantile:2.12} {seen:10}"),
        };
        line.expect("a string takes everything");
    }
    let (mean, deviation) = (latency.mean_us() / 1e3, latency.deviation_us() / 1e3);
    let (max, count) = (latency.us(1.0) / 1e3, latency.count());
    writeln!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    )
    .and_then(|()| writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]"))
    .expect("a string takes everything");
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;

    #[test]
    fn hgrm_ends_at_the_maximum() {
        let report = report(&(1..=1_000).collect::<Vec<_>>(), 0);
        let text = super::text(report.main_phase().unwrap().latency());
        assert!(text.contains(" 1.000000000000       1000\n"), "{text}");
        assert!(text.contains("Total count    =         1000"), "{text}");
    }
}
