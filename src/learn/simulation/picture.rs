//! Studies as one SVG file: regret over time on the left, value over the oracle's on the right.
//!
//! One row per study. Lines are named where they end. A policy that learns nothing loses so much that nobody
//! else could be told apart beside it, so the scale is that of the learning ones and whoever leaves it is
//! cut off and says so. Colours are those of Okabe and Ito (2008), which can be told apart by almost everybody, and the
//! page's colours follow the reader's light or dark mode.

use std::fmt::Write;

use super::play::BINS;
use super::policy::Policy;
use super::study::{Comparison, Study};
use super::world::{SEASON, STARTS};

const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8d6e63", "#888888",
];

/// Pixels: of a row of panels and what is around it.
const ROW: f64 = 360.0;
const TOP: f64 = 64.0;
const HEIGHT: f64 = 230.0;
/// Left and width of the curves, and of the values.
const CURVES: (f64, f64) = (70.0, 430.0);
const VALUES: (f64, f64) = (820.0, 240.0);
const WIDTH: f64 = 1_130.0;
const TICKS: u32 = 4;
/// Names of lines are at least so far apart.
const LINE_HEIGHT: f64 = 15.0;

const STYLE: &str = "<style>\
    svg{background:#fff;color:#18181b}.grid{stroke:#e4e4e7}.soft{fill:#52525b}.band{fill:#f4f4f5}\
    @media (prefers-color-scheme:dark){svg{background:#18181b;color:#f4f4f5}.grid{stroke:#3f3f46}.soft{fill:#a1a1aa}.band{fill:#27272a}}\
    text{fill:currentColor}text.soft{fill:#71717a}</style>";

/// Draws them, one below the other.
#[must_use]
pub fn picture(studies: &[Study]) -> String {
    let height = ROW * studies.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>Policies in simulated worlds: regret over time, and value over the \
         oracle's</title>\n{STYLE}\n"
    );
    for (row, study) in studies.iter().enumerate() {
        let _ = writeln!(svg, "<g transform=\"translate(0 {})\">", ROW * row as f64);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"26\" font-size=\"15\" font-weight=\"600\">{} offers, {} worlds of {:.0} decisions, labels \
             {}, starting from a {}</text>",
            CURVES.0,
            study.offers,
            study.policies.first().map_or(0, |p| p.worlds.len()),
            study.decisions,
            study.labels,
            study.base,
        );
        curves(&mut svg, study);
        values(&mut svg, study);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// Regret over time.
fn curves(svg: &mut String, study: &Study) {
    let (left, width) = CURVES;
    let drawn = || {
        let each = study.policies.iter().enumerate();
        each.filter(|(_, p)| p.policy != Policy::Oracle.to_string())
    };
    let learning = drawn().filter(|(_, p)| p.learns);
    let most = learning.map(|(_, p)| last(p)).fold(0.0, f64::max);
    let most = if most > 0.0 {
        most
    } else {
        drawn().map(|(_, p)| last(p)).fold(1.0, f64::max)
    };
    let end = nice(most * 1.05);
    let x = |share: f64| left + share * width;
    let y = |regret: f64| TOP + HEIGHT - regret / end * HEIGHT;
    let _ = writeln!(
        svg,
        "<text class=\"soft\" x=\"{left}\" y=\"{}\">regret so far, in currency units, against the oracle</text>\n\
         <rect class=\"band\" x=\"{:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"soft\" x=\"{:.1}\" y=\"{}\">season</text>\n\
         <path class=\"grid\" stroke-dasharray=\"4 4\" d=\"M{starts:.1} {TOP}v{HEIGHT}\"/>\n\
         <text class=\"soft\" x=\"{:.1}\" y=\"{}\">new offers</text>",
        TOP - 12.0,
        x(SEASON.0),
        x(SEASON.1) - x(SEASON.0),
        x(SEASON.0) + 4.0,
        TOP + 13.0,
        x(STARTS) + 4.0,
        TOP + 27.0,
        starts = x(STARTS),
    );
    for tick in 0..=TICKS {
        let share = f64::from(tick) / f64::from(TICKS);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" fill=\"none\" d=\"M{left} {at:.1}h{width}\"/><text class=\"soft\" x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{:.0}</text><text class=\"soft\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">day {:.digits$}</text>",
            left - 8.0,
            y(end * share) + 4.0,
            end * share,
            x(share),
            TOP + HEIGHT + 18.0,
            study.days * share,
            digits = usize::from(study.days < 8.0),
            at = y(end * share),
        );
    }
    let mut names: Vec<(f64, usize)> = Vec::new();
    for (i, policy) in drawn() {
        let mut path = format!("M{left} {:.1}", y(0.0));
        for (bin, regret) in policy.regret.iter().enumerate() {
            if *regret > end {
                break;
            }
            let _ = write!(
                path,
                "L{:.1} {:.1}",
                x((bin + 1) as f64 / BINS as f64),
                y(*regret)
            );
        }
        let _ = writeln!(
            svg,
            "<path fill=\"none\" stroke-width=\"2\" stroke=\"{}\" d=\"{path}\"><title>{}</title></path>",
            colour(i),
            policy.policy
        );
        names.push((y(last(policy).min(end)), i));
    }
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut below = f64::INFINITY;
    for (at, i) in names {
        let at = at.min(below - LINE_HEIGHT);
        below = at;
        let policy = &study.policies[i];
        let more = if last(policy) > end {
            " (beyond the scale)"
        } else {
            ""
        };
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{at:.1}\" r=\"4\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}{more}</text>",
            left + width + 10.0,
            colour(i),
            left + width + 18.0,
            at + 4.0,
            policy.policy,
        );
    }
}

/// Value over the oracle's, with intervals.
fn values(svg: &mut String, study: &Study) {
    let (left, width) = VALUES;
    let lowest = study
        .policies
        .iter()
        .map(|p| p.share.low)
        .fold(1.0, f64::min);
    let from = ((lowest * 5.0).floor() / 5.0).clamp(0.0, 0.8);
    let x = |share: f64| left + (share.clamp(from, 1.0) - from) / (1.0 - from) * width;
    let _ = writeln!(
        svg,
        "<text class=\"soft\" x=\"{left}\" y=\"{}\">value over the oracle's, 95 % interval over worlds</text>",
        TOP - 12.0
    );
    for tick in 0..=TICKS {
        let share = from + (1.0 - from) * f64::from(tick) / f64::from(TICKS);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{at:.1} {TOP}v{HEIGHT}\"/><text class=\"soft\" x=\"{at:.1}\" y=\"{}\" \
             text-anchor=\"middle\">{share:.2}</text>",
            TOP + HEIGHT + 18.0,
            at = x(share)
        );
    }
    let step = HEIGHT / study.policies.len().max(1) as f64;
    for (i, policy) in study.policies.iter().enumerate() {
        let at = TOP + step * (i as f64 + 0.5);
        let share = &policy.share;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><path stroke=\"{colour}\" stroke-width=\"2\" \
             d=\"M{:.1} {at:.1}H{:.1}\"/><circle cx=\"{:.1}\" cy=\"{at:.1}\" r=\"4\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.3}</text>",
            left - 10.0,
            at + 4.0,
            policy.policy,
            x(share.low),
            x(share.high),
            x(share.mean),
            left + width + 10.0,
            at + 4.0,
            share.mean,
            colour = colour(i),
        );
    }
}

fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

fn last(policy: &Comparison) -> f64 {
    policy.regret.last().copied().unwrap_or(0.0)
}

/// The next of 1, 2, 4, 6, 8 times a power of ten: its quarters are round.
fn nice(largest: f64) -> f64 {
    let power = 10_f64.powf(largest.max(1e-6).log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= largest);
    step.unwrap_or(10.0) * power
}
