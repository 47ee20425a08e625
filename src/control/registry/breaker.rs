//! The crash-loop breaker: a model that takes the process down must not do so for ever.
//!
//! A model can end a process in ways that no check sees (Cloudflare's outage of 18 November 2025 was a
//! feature file). So the state file counts starts: a run that ends without saying goodbye before it
//! is trusted counts as a crash, and after two in a row the newest model is left out. Whether the
//! model was to blame nobody knows by then; that it can be staged again is certain.

use serde::{Deserialize, Serialize};

/// Crashes in a row after which a start leaves the newest model out.
const CRASHES_MAX: u32 = 2;

/// What the state file knows about the last run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// It has not ended cleanly, as far as anybody knows.
    pub open: bool,
    /// It lived long enough for its models to be trusted.
    pub trusted: bool,
    /// Runs in a row that were neither trusted nor ended cleanly.
    pub crashes: u32,
}

impl Run {
    /// Begins another run; whether the newest model should be left out of it.
    #[must_use]
    pub fn begin(&mut self) -> bool {
        let crashed = self.open && !self.trusted;
        let crashes = if crashed { self.crashes + 1 } else { 0 };
        let broken = crashes >= CRASHES_MAX;
        *self = Run {
            open: true,
            trusted: false,
            crashes: if broken { 0 } else { crashes },
        };
        broken
    }

    /// Other models serve from here on: what happened before is not theirs.
    pub fn renew(&mut self) {
        self.trusted = false;
        self.crashes = 0;
    }

    /// It ended as it should.
    pub fn end(&mut self) {
        self.open = false;
        self.crashes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `c` crash, `t` trusted and then crash, `s` clean stop, `p` push and then crash; in capitals
    /// where the start before it must leave the newest model out.
    #[track_caller]
    fn check(runs: &str) {
        let mut run = Run::default();
        for (i, what) in runs.chars().enumerate() {
            let broken = run.begin();
            assert_eq!(broken, what.is_ascii_uppercase(), "start {i} of {runs}");
            match what.to_ascii_lowercase() {
                'c' => {}
                't' => run.trusted = true,
                's' => run.end(),
                'p' => run.renew(),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn two_crashes_in_a_row_are_enough() {
        check("ccCcC");
        check("cscscs");
        check("ctctct");
        check("ttttt");
        check("cpcC");
        check("sccS");
    }
}
