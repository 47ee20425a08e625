//! The figures for people.

use std::fmt;

use crate::learn::ope::{Interval, Short, Weights};

/// Of a log of choices.
pub(super) struct Figures<'a>(pub &'a super::Figures);

/// Of a log of slates.
pub(super) struct SlateFigures<'a>(pub &'a super::SlateFigures);

impl fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let super::Figures {
            rows,
            logged,
            conversions,
            weights,
            short,
            estimates,
            verdict,
        } = self.0;
        writeln!(
            f,
            "{rows} choices, {conversions} of them earned something; logged {logged:.6} each"
        )?;
        write!(f, "{}", Worth { weights, short })?;
        head(f)?;
        for e in estimates {
            let ends = [e.interval, e.bootstrap];
            let parameter = e.parameter.map_or(String::new(), |p| format!("={p}"));
            line(
                f,
                &format!("{}{parameter}", e.estimator),
                e.value,
                e.standard_error,
                ends,
            )?;
            write!(f, " {:>9.0}", e.effective_sample_size)?;
            if let Some(lower) = e.lower {
                write!(f, "  above {:.6}", lower.betting.max(lower.bernstein))?;
            }
        }
        if let Some(verdict) = verdict {
            write!(f, "\nthe gate: {verdict}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SlateFigures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let super::SlateFigures {
            slates,
            logged,
            estimates,
        } = self.0;
        writeln!(f, "{slates} slates; logged {logged:.6} each")?;
        head(f)?;
        for e in estimates {
            let ends = [e.interval, e.bootstrap];
            line(f, e.estimator, e.value, e.standard_error, ends)?;
            write!(f, " {:>9.0}", e.effective_sample_size)?;
        }
        Ok(())
    }
}

/// What the weights are worth.
pub(super) struct Worth<'a> {
    pub weights: &'a Weights,
    pub short: &'a [Short],
}

impl fmt::Display for Worth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let w = self.weights;
        writeln!(
            f,
            "weights: worth {:.1} rows, mean {:.4} (se {:.4}), largest {:.2}, which is {:.2} % of all",
            w.effective,
            w.mean,
            w.mean_error,
            w.max,
            w.max_share * 100.0
        )?;
        for short in self.short {
            writeln!(f, "  not to be believed: {short}")?;
        }
        Ok(())
    }
}

fn head(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let [a, b, c, d, e] = ["value", "se", "95 % normal", "95 % bootstrap", "eff. rows"];
    write!(f, "{:<14} {a:>12} {b:>11} {c:>25} {d:>25} {e:>9}", "")
}

fn line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: f64,
    error: f64,
    intervals: [Interval; 2],
) -> fmt::Result {
    write!(f, "\n{name:<14} {value:>12.6} {error:>11.6}")?;
    for Interval { low, high } in intervals {
        write!(f, " {:>25}", format!("{low:.6} .. {high:.6}"))?;
    }
    Ok(())
}
