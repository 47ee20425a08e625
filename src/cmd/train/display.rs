//! What a training came to, for people.

use std::fmt;

use crate::learn::log::Counts;
use crate::learn::metrics::Quality;
use crate::learn::train::Report;

/// What a log held, one line for each thing that occurred.
pub(super) struct Log<'a>(pub &'a Counts);

impl fmt::Display for Log<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.0;
        write!(
            f,
            "{} decisions, {} offers shown, {} examples, {} converted",
            c.decisions, c.shown, c.examples, c.conversions
        )?;
        let left_out = [
            (c.unseen, "offers were shown and never seen"),
            (c.reversed, "conversions were taken back: no success"),
            (c.test, "decisions of test requests"),
            (c.unmeasured, "decisions without consent to measurement"),
            (c.degraded, "decisions cut short"),
            (c.repeated, "decisions read twice"),
            (c.unreadable, "records not readable"),
            (
                c.no_catalog,
                "decisions whose catalog is not at hand: give one with --catalog",
            ),
            (c.unknown_offer, "offers that the catalog does not have"),
            (
                c.over_limit,
                "examples beyond the limit: raise it with --rows",
            ),
        ];
        for (count, what) in left_out.iter().filter(|(count, _)| *count > 0) {
            write!(f, "\n  {count} {what}")?;
        }
        if c.examples > 0 {
            let (effective, clipped) = (c.effective_examples, c.clipped);
            write!(
                f,
                "\n  weighted by propensity: worth {effective:.0} examples, {clipped} weights limited"
            )?;
        }
        Ok(())
    }
}

/// The same after an error.
pub(super) fn summary(counts: &Counts) -> String {
    format!("\nthe log: {}", Log(counts))
}

/// The figures for people.
pub(super) struct Table<'a>(pub &'a Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            rows_train,
            rows_calibrate,
            rows_held_out,
            positives_held_out,
            held_out,
            held_out_weighted,
            baseline,
        } = self.0;
        writeln!(
            f,
            "trained on {rows_train} rows, calibrated on {rows_calibrate}, measured on {rows_held_out} \
             with {positives_held_out} conversions"
        )?;
        writeln!(f, "{:<10} {:>9} {:>7} {:>8}", "", "log-loss", "AUC", "ECE")?;
        let line = |name: &str, q: &Quality| {
            format!(
                "{name:<10} {:>9.5} {:>7.4} {:>8.5}",
                q.log_loss, q.auc, q.ece
            )
        };
        writeln!(f, "{}", line("model", held_out))?;
        if let Some(weighted) = held_out_weighted {
            writeln!(f, "{}", line("weighted", weighted))?;
        }
        write!(f, "{}", line("base rate", baseline))
    }
}
