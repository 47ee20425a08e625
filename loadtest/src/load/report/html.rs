//! The report as one page that needs nothing else: tables, and plots as SVG, light or dark as the
//! reader's system is.

use std::fmt::Write as _;

use super::super::latency::{Latency, QUANTILES};
use super::super::tally::total;
use super::{Phase, Report, Run};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2330; --dim: #667085; --line: #d7dce5; --paper: #fff; --band: #f4f6fa;
  --c0: #2563eb; --c1: #d97706; --c2: #059669; --c3: #db2777; --c4: #7c3aed; --c5: #0891b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9f0; --dim: #98a2b3; --line: #344054; --paper: #12161f;
  --band: #1b212d; --c0: #7aa7ff; --c1: #fbbf24; --c2: #34d399; --c3: #f472b6; --c4: #c4b5fd; --c5: #67e8f9; } }
body { margin: 2rem auto; max-width: 68rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } p { color: var(--dim); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } thead th { background: var(--band); font-weight: 600; }
svg { width: 100%; height: auto; } svg text { fill: var(--dim); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--line); } .series { fill: none; stroke-width: 2; stroke-linejoin: round; }
.key { display: inline-block; width: .9rem; height: .2rem; margin: 0 .35rem .2rem 1rem; }
code { font-size: .9em; overflow-wrap: anywhere; }";

/// Of a plot, in its own units.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
/// Room for the words at the left and at the bottom.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 28.0;
/// Colours that the style sheet has; further lines begin again.
const COLOURS: usize = 6;

/// The whole page.
pub fn page(report: &Report) -> String {
    let mut page = String::new();
    let title = format!("loadtest {}", report.command);
    let machine = &report.machine;
    put(
        &mut page,
        format_args!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<p>{} · {} x {} · {} MiB · Linux {} · \
         load average {:.1}<br><code>loadtest {}</code></p>\n",
            report.began,
            machine.processors,
            escape(&machine.processor),
            machine.memory_mib,
            escape(&machine.kernel),
            machine.load_average,
            escape(&report.arguments.join(" ")),
        ),
    );
    table(&mut page, report);
    by_percentile(&mut page, report);
    for run in &report.runs {
        over_time(&mut page, run);
    }
    trouble(&mut page, report);
    words(&mut page, report);
    page.push_str("</body></html>\n");
    page
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a string takes everything");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Every measured phase with a name that says which run it is of.
fn phases(report: &Report) -> Vec<(String, &Phase)> {
    let rounds = report.runs.iter().any(|run| run.round > 1);
    let each = report.runs.iter().flat_map(|run| {
        let measured = run.phases.iter().filter(|phase| phase.measured);
        measured.map(move |phase| {
            let round = if rounds {
                format!(" {}", run.round)
            } else {
                String::new()
            };
            (format!("{}{round}, {}", run.name, phase.name), phase)
        })
    });
    each.collect()
}

fn table(page: &mut String, report: &Report) {
    page.push_str("<h2>Figures</h2><div class=\"wide\"><table><thead><tr><th></th><th>asked/s</th><th>answered/s</th>");
    for (name, _) in QUANTILES {
        put(page, format_args!("<th>{name} ms</th>"));
    }
    page.push_str("<th>refused</th><th>failed</th><th>wrong</th><th>CPU µs</th><th>late p99 ms</th></tr></thead><tbody>");
    for (name, phase) in phases(report) {
        let rate = phase
            .rate
            .map_or("all it takes".to_owned(), |rate| format!("{rate:.0}"));
        put(
            page,
            format_args!(
                "<tr><td>{}</td><td>{rate}</td><td>{:.0}</td>",
                escape(&name),
                phase.goodput()
            ),
        );
        for (_, quantile) in QUANTILES {
            put(
                page,
                format_args!("<td>{:.3}</td>", phase.latency().us(quantile) / 1e3),
            );
        }
        let counts = &phase.counts;
        let cpu = phase.cpu_us.map_or("–".to_owned(), |us| format!("{us:.1}"));
        put(
            page,
            format_args!(
                "<td>{}</td><td>{}</td><td>{}</td><td>{cpu}</td><td>{:.3}</td></tr>",
                total(&counts.refused),
                total(&counts.failed),
                total(&counts.wrong),
                counts.lateness.us(0.99) / 1e3
            ),
        );
    }
    page.push_str("</tbody></table></div>\n");
}

/// A line of a plot.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Latency against percentile; each step to the right is ten times fewer requests.
fn by_percentile(page: &mut String, report: &Report) {
    let line = |latency: &Latency| -> Vec<(f64, f64)> {
        // Beyond the last request there is nothing to see.
        let least = 1.0 / latency.count().max(1) as f64;
        let rows = latency.by_quantile(10).into_iter();
        rows.map(|(us, quantile, _)| (-(1.0 - quantile).max(least).log10(), us / 1e3))
            .collect()
    };
    let shown = phases(report)
        .into_iter()
        .filter(|(_, phase)| phase.latency().count() > 0);
    let lines: Vec<Line> = shown
        .map(|(name, phase)| Line {
            name,
            points: line(phase.latency()),
        })
        .collect();
    let most = lines
        .iter()
        .flat_map(|l| &l.points)
        .map(|p| p.0)
        .fold(1.0, f64::max);
    let marks = (0..=most.ceil() as u32).map(|nine| {
        let percent = 100.0 - 100.0 * 10_f64.powi(-(nine as i32));
        (f64::from(nine), format!("{percent}%"))
    });
    page.push_str("<h2>Latency by percentile, ms</h2>");
    plot(page, &lines, &marks.collect::<Vec<_>>(), true);
}

fn over_time(page: &mut String, run: &Run) {
    let seconds = |at: usize| at as f64 * run.step_ms / 1e3;
    let line = |name: &str, of: fn(&super::Point) -> u64, unit: f64| Line {
        name: name.to_owned(),
        points: (run.timeline.iter().enumerate())
            .map(|(at, point)| (seconds(at), of(point) as f64 * unit))
            .collect(),
    };
    let end = seconds(run.timeline.len());
    let marks: Vec<(f64, String)> = (0..=8)
        .map(|n| {
            (
                end * f64::from(n) / 8.0,
                format!("{:.1} s", end * f64::from(n) / 8.0),
            )
        })
        .collect();
    let name = format!("{} {}", run.name, run.round);
    put(
        page,
        format_args!("<h2>{}: latency over time, ms</h2>", escape(&name)),
    );
    let latencies = [
        line("p50", |p| p.p50_us, 1e-3),
        line("p99", |p| p.p99_us, 1e-3),
        line("max", |p| p.max_us, 1e-3),
    ];
    plot(page, &latencies, &marks, true);
    put(
        page,
        format_args!("<h2>{}: answers per second</h2>", escape(&name)),
    );
    let per_second = 1e3 / run.step_ms;
    let counts = [
        line("answered", |p| p.answered, per_second),
        line("refused", |p| p.refused, per_second),
        line("failed", |p| p.failed, per_second),
    ];
    plot(page, &counts, &marks, false);
}

/// Lines over common axes, the vertical one by powers of ten or plain.
fn plot(page: &mut String, lines: &[Line], marks: &[(f64, String)], by_tens: bool) {
    let right = marks.last().map_or(1.0, |mark| mark.0).max(1e-9);
    let values = || lines.iter().flat_map(|l| &l.points).map(|p| p.1);
    let most = values().fold(0.0, f64::max).max(1e-3);
    let least = values().filter(|v| *v > 0.0).fold(most, f64::min);
    let scale = |value: f64| {
        if by_tens {
            value.max(least).log10()
        } else {
            value
        }
    };
    let (low, high) = match by_tens {
        true => (
            least.log10().floor(),
            most.log10().ceil().max(least.log10().floor() + 1.0),
        ),
        false => (0.0, most * 1.05),
    };
    let x = |value: f64| LEFT + (WIDTH - LEFT - 8.0) * value / right;
    let y = |value: f64| (HEIGHT - BOTTOM) - (HEIGHT - BOTTOM - 8.0) * (value - low) / (high - low);
    put(
        page,
        format_args!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">"),
    );
    let steps = if by_tens { (high - low) as u32 } else { 4 };
    for step in 0..=steps {
        let at = low + (high - low) * f64::from(step) / f64::from(steps);
        let word = if by_tens { 10_f64.powf(at) } else { at };
        let word = if word >= 10.0 || word == 0.0 {
            format!("{word:.0}")
        } else {
            format!("{word}")
        };
        put(
            page,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>\
             <text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{word}</text>",
                y(at),
                LEFT - 8.0,
                y(at) + 4.0
            ),
        );
    }
    for (at, word) in marks {
        put(
            page,
            format_args!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{word}</text>",
                x(*at).clamp(LEFT, WIDTH - 30.0),
                HEIGHT - 8.0
            ),
        );
    }
    for (n, line) in lines.iter().enumerate() {
        let points: Vec<String> = (line.points.iter())
            .map(|&(at, value)| format!("{:.1},{:.1}", x(at), y(scale(value))))
            .collect();
        put(
            page,
            format_args!(
                "<polyline class=\"series\" style=\"stroke: var(--c{})\" points=\"{}\"><title>{}</title></polyline>",
                n % COLOURS,
                points.join(" "),
                escape(&line.name)
            ),
        );
    }
    page.push_str("</svg><div>");
    for (n, line) in lines.iter().enumerate() {
        put(
            page,
            format_args!(
                "<span class=\"key\" style=\"background: var(--c{})\"></span>{}",
                n % COLOURS,
                escape(&line.name)
            ),
        );
    }
    page.push_str("</div>\n");
}

fn trouble(page: &mut String, report: &Report) {
    let mut rows = String::new();
    for (name, phase) in phases(report) {
        let counts = &phase.counts;
        for (what, kinds) in [
            ("refused", &counts.refused),
            ("failed", &counts.failed),
            ("wrong", &counts.wrong),
            ("degraded", &counts.degraded),
            ("event rejected", &counts.events_rejected),
            ("empty placement", &counts.empty),
        ] {
            for (kind, n) in kinds {
                put(
                    &mut rows,
                    format_args!(
                        "<tr><td>{}</td><td>{what}</td><td>{}</td><td>{n}</td></tr>",
                        escape(&name),
                        escape(kind)
                    ),
                );
            }
        }
    }
    if !rows.is_empty() {
        put(
            page,
            format_args!(
                "<h2>What was not an offer</h2><div class=\"wide\"><table><tbody>{rows}</tbody></table></div>\n"
            ),
        );
    }
}

fn words(page: &mut String, report: &Report) {
    if !report.figures.is_empty() {
        page.push_str("<h2>Found out</h2><table><tbody>");
        for (name, value) in &report.figures {
            put(
                page,
                format_args!("<tr><td>{}</td><td>{value:.3}</td></tr>", escape(name)),
            );
        }
        page.push_str("</tbody></table>\n");
    }
    for note in report.machine.scheduling.iter().chain(&report.notes) {
        put(page, format_args!("<p>{}</p>\n", escape(note)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_page_stands_alone_and_balances() {
        let mut report = report(&(1..=2_000).collect::<Vec<_>>(), 3);
        report.runs[0].name = "<b>&".into();
        let page = page(&report);
        for tag in ["svg", "table", "tr", "td", "div", "h2", "p", "body", "html"] {
            let count = |text: &str| page.matches(text).count();
            let opened = count(&format!("<{tag}>")) + count(&format!("<{tag} "));
            assert_eq!(opened, count(&format!("</{tag}>")), "{tag}");
        }
        assert_eq!(
            page.matches("<svg").count(),
            3,
            "by percentile, over time twice"
        );
        assert!(!page.contains("<b>") && !page.contains("NaN") && !page.contains("inf"));
        for outside in ["http://", "https://", "src=", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn nothing_measured_is_still_a_page() {
        assert!(page(&report(&[], 0)).ends_with("</html>\n"));
    }
}
