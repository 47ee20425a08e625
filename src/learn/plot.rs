//! A reliability diagram as one SVG file: what was predicted against what happened.

use std::fmt::Write;

use super::metrics::Bin;

/// Pixels of the square that the points are in, and around it.
const SIDE: f64 = 420.0;
const MARGIN: f64 = 56.0;
/// Ticks on each axis besides 0.
const TICKS: u32 = 4;

/// Draws `bins`. Both axes go from 0 to the same number, a little above the largest rate; the area of a
/// point is the weight of its bin, and the whisker is two standard errors of a rate of that many rows.
#[must_use]
pub fn reliability(title: &str, bins: &[Bin]) -> String {
    let largest = bins
        .iter()
        .map(|b| b.predicted.max(b.happened))
        .fold(0.0, f64::max);
    let end = nice(largest);
    let x = |p: f64| MARGIN + p / end * SIDE;
    let y = |p: f64| MARGIN + SIDE - (p / end).clamp(0.0, 1.0) * SIDE;
    let size = SIDE + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"13\" role=\"img\">\n<title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN}\" y=\"30\" font-size=\"15\" font-weight=\"600\">{title}</text>\n",
        title = escaped(title)
    );
    for tick in 0..=TICKS {
        let p = end * f64::from(tick) / f64::from(TICKS);
        let _ = write!(
            svg,
            "<path d=\"M{l} {at_y:.1}H{r}M{at_x:.1} {l}V{r}\" stroke=\"#e4e4e7\" fill=\"none\"/>\n\
             <text x=\"{tx}\" y=\"{ty:.1}\" text-anchor=\"end\" fill=\"#52525b\">{label}</text>\n\
             <text x=\"{at_x:.1}\" y=\"{by}\" text-anchor=\"middle\" fill=\"#52525b\">{label}</text>\n",
            l = MARGIN,
            r = MARGIN + SIDE,
            at_x = x(p),
            at_y = y(p),
            tx = MARGIN - 8.0,
            ty = y(p) + 4.0,
            by = MARGIN + SIDE + 18.0,
            label = percent(p),
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{} {}L{} {}\" stroke=\"#a1a1aa\" stroke-dasharray=\"5 4\"/>",
        x(0.0),
        y(0.0),
        x(end),
        y(end)
    );
    let total: f64 = bins.iter().map(|b| b.weight).sum();
    for bin in bins {
        let error = 2.0 * (bin.happened * (1.0 - bin.happened) / bin.weight).sqrt();
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {low:.1}V{high:.1}\" stroke=\"#2563eb\"/>\
             <circle cx=\"{at:.1}\" cy=\"{mid:.1}\" r=\"{r:.1}\" fill=\"#2563eb\" fill-opacity=\".75\"><title>predicted {p}, \
             happened {h}</title></circle>",
            at = x(bin.predicted),
            low = y((bin.happened - error).max(0.0)),
            high = y(bin.happened + error),
            mid = y(bin.happened),
            r = 3.0 + 12.0 * (bin.weight / total).sqrt(),
            p = percent(bin.predicted),
            h = percent(bin.happened),
        );
    }
    let middle = MARGIN + SIDE / 2.0;
    let _ = write!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">predicted</text>\n\
         <text transform=\"translate(14 {middle}) rotate(-90)\" text-anchor=\"middle\">happened</text>\n</svg>\n",
        size - 12.0
    );
    svg
}

/// The next of 1, 1.5, 2, 3, 5, 7.5 times a power of ten; at most 1.
fn nice(largest: f64) -> f64 {
    let power = 10_f64.powf(largest.max(1e-6).log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0];
    let step = steps
        .into_iter()
        .find(|step| step * power >= largest * 1.05);
    (step.unwrap_or(15.0) * power).min(1.0)
}

fn percent(p: f64) -> String {
    let digits = if p < 0.1 { 2 } else { 1 };
    format!("{:.digits$}%", p * 100.0)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bin_is_a_point_inside_the_picture() {
        let bins: Vec<Bin> = (0..10)
            .map(|i| Bin {
                predicted: f64::from(i) * 0.011,
                happened: f64::from(i) * 0.012,
                weight: 500.0,
            })
            .collect();
        let svg = reliability("a < b & c", &bins);
        assert_eq!(svg.matches("<circle").count(), 10);
        assert!(svg.contains("a &lt; b &amp; c"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(!svg.contains("http://") || svg.matches("http://").count() == 1);
        assert!((nice(0.108) - 0.15).abs() < 1e-12 && nice(0.99) == 1.0);
    }
}
