//! What is sent when: phases of a run, and the intended moment of each request.
//!
//! Moments are made from the plan alone. Nothing that the server does moves them, and every latency is
//! counted from them: a server that stalls is asked on, and each request that had to wait shows it.

use std::time::Duration;

use crate::visit::dice::Dice;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Requests per second, whether answers come or not.
    PerSecond(f64),
    /// As many as the server takes: every connection always has its fill. A closed loop, for capacity
    /// only; its latencies say nothing.
    Saturate,
}

/// How moments are spread at one rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Spread {
    /// Evenly.
    #[default]
    Fixed,
    /// Independently of each other, as many independent callers send: exponential gaps.
    Poisson,
}

/// A part of a run at one pace.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    pub name: String,
    pub pace: Pace,
    pub lasts: Duration,
    /// False for the warm-up, which is not reported.
    pub measured: bool,
}

impl Phase {
    pub fn new(name: &str, pace: Pace, lasts: Duration) -> Phase {
        Phase {
            name: name.to_owned(),
            pace,
            lasts,
            measured: true,
        }
    }

    /// Not reported.
    pub fn warm_up(pace: Pace, lasts: Duration) -> Phase {
        Phase {
            measured: false,
            ..Phase::new("warm-up", pace, lasts)
        }
    }
}

/// All that a generator has to send.
#[derive(Clone, Debug)]
pub struct Plan {
    pub phases: Vec<Phase>,
    pub spread: Spread,
    pub seed: u64,
    /// No more than so many requests in the phases that are measured.
    pub requests_max: Option<u64>,
}

/// An intended request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// Index of its phase.
    pub phase: usize,
    /// Nanoseconds since the run began.
    pub at_ns: u64,
}

impl Plan {
    /// Length of the whole run.
    pub fn lasts(&self) -> Duration {
        self.phases.iter().map(|p| p.lasts).sum()
    }

    /// When each phase begins, in nanoseconds since the run began.
    pub fn begins_ns(&self) -> Vec<u64> {
        let mut begin = 0;
        let begins = self.phases.iter().map(|phase| {
            let this = begin;
            begin += nanos(phase.lasts);
            this
        });
        begins.collect()
    }

    /// The phase that runs so many nanoseconds after the beginning, if any does.
    pub fn phase_at(&self, ns: u64) -> Option<usize> {
        let mut end = 0;
        self.phases.iter().position(|phase| {
            end += nanos(phase.lasts);
            ns < end
        })
    }

    /// The share of one of several generators that together keep the plan: their moments interleave.
    pub fn arrivals(&self, generator: usize, of: usize) -> Arrivals<'_> {
        Arrivals {
            plan: self,
            dice: Dice::new(self.seed, &["arrivals", &generator.to_string()]),
            generator,
            of,
            phase: 0,
            begin_ns: 0,
            n: 0,
            at: 0.0,
            left: self
                .requests_max
                .map_or(u64::MAX, |n| n.div_ceil(of as u64)),
        }
    }
}

fn nanos(lasts: Duration) -> u64 {
    u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX)
}

/// Moments in order. A phase that saturates has none: its requests are sent when there is room.
#[derive(Debug)]
pub struct Arrivals<'a> {
    plan: &'a Plan,
    dice: Dice,
    generator: usize,
    of: usize,
    phase: usize,
    begin_ns: u64,
    /// Requests of this phase so far.
    n: u64,
    /// Of the last Poisson arrival, in seconds since the phase began.
    at: f64,
    left: u64,
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            let phase = self.plan.phases.get(self.phase)?;
            let at = match phase.pace {
                Pace::PerSecond(rate) => self.moment(rate),
                Pace::Saturate => f64::INFINITY,
            };
            if at < phase.lasts.as_secs_f64() && self.left > 0 {
                self.n += 1;
                self.at = at;
                self.left -= u64::from(phase.measured);
                return Some(Arrival {
                    phase: self.phase,
                    at_ns: self.begin_ns + (at * 1e9) as u64,
                });
            }
            self.begin_ns += nanos(phase.lasts);
            (self.phase, self.n, self.at) = (self.phase + 1, 0, 0.0);
        }
    }
}

impl Arrivals<'_> {
    /// Seconds since the phase began.
    fn moment(&mut self, rate: f64) -> f64 {
        let of = self.of as f64;
        match self.plan.spread {
            // Counted, not added up: the hundred-millionth is as exact as the first.
            Spread::Fixed => (self.n as f64 * of + self.generator as f64) / rate,
            Spread::Poisson => self.at - (1.0 - self.dice.unit()).ln() * of / rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(spread: Spread, phases: &[(f64, u64)]) -> Plan {
        let phase = |&(rate, ms)| Phase::new("p", Pace::PerSecond(rate), Duration::from_millis(ms));
        Plan {
            phases: phases.iter().map(phase).collect(),
            spread,
            seed: 7,
            requests_max: None,
        }
    }

    fn moments(plan: &Plan, generator: usize, of: usize) -> Vec<u64> {
        plan.arrivals(generator, of).map(|a| a.at_ns).collect()
    }

    #[test]
    fn a_fixed_rate_is_even_through_all_phases() {
        let plan = plan(Spread::Fixed, &[(1_000.0, 3), (500.0, 4)]);
        let expected = [0, 1_000_000, 2_000_000, 3_000_000, 5_000_000];
        assert_eq!(moments(&plan, 0, 1), expected);
        assert_eq!(plan.begins_ns(), [0, 3_000_000]);
        let at = |ns| plan.phase_at(ns);
        assert_eq!(
            (at(0), at(3_000_000), at(7_000_000)),
            (Some(0), Some(1), None)
        );
    }

    #[test]
    fn generators_interleave() {
        let plan = plan(Spread::Fixed, &[(1_000.0, 10)]);
        let mut all = [
            moments(&plan, 0, 3),
            moments(&plan, 1, 3),
            moments(&plan, 2, 3),
        ]
        .concat();
        all.sort_unstable();
        assert_eq!(all, moments(&plan, 0, 1));
    }

    #[test]
    fn a_poisson_rate_has_the_rate_and_its_spread() {
        let plan = plan(Spread::Poisson, &[(10_000.0, 2_000)]);
        let moments = moments(&plan, 0, 1);
        // Five standard deviations of 20,000.
        assert!(moments.len().abs_diff(20_000) < 710, "{}", moments.len());
        let gaps: Vec<f64> = moments.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let square = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = square.sqrt() / mean;
        assert!(
            (0.95..1.05).contains(&variation),
            "exponential: {variation}"
        );
        assert_eq!(
            moments,
            super::tests::moments(&plan, 0, 1),
            "a seed is a seed"
        );
    }

    #[test]
    fn counts_bound_what_is_measured() {
        let mut plan = plan(Spread::Fixed, &[(1_000.0, 10), (1_000.0, 10)]);
        plan.phases[0].measured = false;
        plan.requests_max = Some(4);
        let of = |phase| plan.arrivals(0, 1).filter(|a| a.phase == phase).count();
        assert_eq!((of(0), of(1)), (10, 4));
    }
}
