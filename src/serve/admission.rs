//! Who is let in, and who goes first when not everybody can be.
//!
//! Work beyond what the machine can do only makes everybody late, so it is refused at once and cheaply, in
//! two ways. [`Admission::pass`] asks before anything of a request is read: what part of its class is
//! let in is ruled anew every [`WINDOW`] by how long ready requests have waited (see `super::overload`).
//! [`Admission::enter`] then takes one of a fixed number of permits for the work itself, which bounds
//! memory whatever the machine is doing. Clicks make room for decisions, and decisions for
//! conversions, which nobody sends twice for nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::overload::{Controller, Ruling, WHOLE, Window, spread};
use crate::domain::{Class, Lack};

/// How often what is let in is ruled anew.
pub const WINDOW: Duration = Duration::from_millis(50);

/// Refusals held back at once, which bounds the memory they take. Further ones are told at once.
const HELD_MAX: usize = 16_384;

/// Nobody waits longer for an answer than some seconds, and so not for a refusal either.
const HOLD_MS_LIMIT: usize = 2_000;

/// How much may be done at once; a section of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionConfig {
    /// Requests in flight, over all connections. A decision takes well under a millisecond, so this
    /// many waiting already means some hundred milliseconds.
    pub in_flight_max: usize,
    /// Decisions are refused when this part of it is in flight, in percent.
    pub decision_share_percent: usize,
    /// Impressions and clicks are refused when this part of it is in flight, in percent.
    pub click_share_percent: usize,
    /// Reports are refused when this part of it is in flight, in percent.
    pub report_share_percent: usize,
    /// Microseconds that requests may have to wait for their turn before some are refused. More makes
    /// everybody wait as long in an overload; less takes a burst for one.
    pub queue_us_target: usize,
    /// Milliseconds that a refusal may be held back where there are very many, give or take half; a page that waits
    /// must be told in time to do without. 0 tells everybody at once, which serves callers who keep away when
    /// they are refused, and costs goodput with those who ask again at once.
    pub hold_ms_max: usize,
}

impl Default for AdmissionConfig {
    fn default() -> AdmissionConfig {
        AdmissionConfig {
            in_flight_max: 1_024,
            decision_share_percent: 90,
            click_share_percent: 70,
            report_share_percent: 50,
            queue_us_target: 5_000,
            hold_ms_max: 250,
        }
    }
}

impl AdmissionConfig {
    /// Checks that every setting is within its range.
    ///
    /// # Errors
    ///
    /// Names the first one that is not.
    pub fn check(&self) -> Result<(), AdmissionConfigError> {
        let (decision, click) = (self.decision_share_percent, self.click_share_percent);
        for (field, found, min, max) in [
            ("in_flight_max", self.in_flight_max, 1, 1 << 20),
            ("decision_share_percent", decision, 1, 100),
            ("click_share_percent", click, 1, decision),
            ("report_share_percent", self.report_share_percent, 1, click),
            ("queue_us_target", self.queue_us_target, 100, 1_000_000),
            ("hold_ms_max", self.hold_ms_max, 0, HOLD_MS_LIMIT),
        ] {
            if !(min..=max).contains(&found) {
                return Err(AdmissionConfigError {
                    field,
                    found,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }
}

/// A setting outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}; it must be from {min} to {max}")]
pub struct AdmissionConfigError {
    /// The setting's name.
    pub field: &'static str,
    /// What it was set to.
    pub found: usize,
    /// The smallest value that works.
    pub min: usize,
    /// The largest.
    pub max: usize,
}

/// Too much comes: 503, or `RESOURCE_EXHAUSTED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is busy; retry in {retry_after_s} s")]
pub struct Overloaded {
    /// Of what.
    pub lack: Lack,
    /// For `Retry-After`: from 1 to 5, and not the same for everybody.
    pub retry_after_s: u8,
}

/// The gate all requests go through.
#[derive(Clone, Debug)]
pub struct Admission {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limits: [usize; Class::ALL.len()],
    in_flight: AtomicUsize,
    refused: AtomicU64,
    /// Requests of this window that came, by class.
    offered: [AtomicU64; Class::ALL.len()],
    admitted: AtomicU64,
    /// What part of each class is let in, of [`WHOLE`].
    shares: [AtomicU32; Class::ALL.len()],
    by_prior: AtomicBool,
    /// How long a refusal is held back, in milliseconds.
    hold_ms: AtomicU32,
    /// Refusals held back now.
    held: AtomicUsize,
    /// The usual wait in the last window, in microseconds.
    waited_us: AtomicU64,
    /// Used once a window, by whoever ends it.
    controller: Mutex<Controller>,
}

/// The right to be worked on; given back on drop.
#[derive(Debug)]
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit {
    inner: Arc<Inner>,
}

/// A refusal that is held back; whoever hangs up meanwhile is held no more.
struct Held {
    inner: Arc<Inner>,
    /// How many were held already.
    before: usize,
}

impl Held {
    fn new(inner: Arc<Inner>) -> Held {
        let before = inner.held.fetch_add(1, Relaxed);
        Held { inner, before }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inner.held.fetch_sub(1, Relaxed);
    }
}

impl Inner {
    /// Whether the `n`-th request of that class in this window is not let in. Every so many-th is, evenly: where
    /// the whole part of `n` shares grows by one.
    fn leaves_out(&self, class: Class, n: u64) -> bool {
        let share = u64::from(self.shares[class as usize].load(Relaxed));
        let part = |n: u64| n.wrapping_mul(share) / u64::from(WHOLE);
        share < u64::from(WHOLE) && part(n + 1) == part(n)
    }
}

impl Admission {
    /// A gate with nothing in flight.
    ///
    /// # Errors
    ///
    /// Names the first setting that is out of range.
    pub fn new(config: &AdmissionConfig) -> Result<Admission, AdmissionConfigError> {
        config.check()?;
        // A share rounds up, so that none is nothing.
        let share = |percent: usize| (config.in_flight_max * percent).div_ceil(100);
        let inner = Inner {
            limits: [
                config.in_flight_max,
                share(config.decision_share_percent),
                share(config.click_share_percent),
                share(config.report_share_percent),
            ],
            in_flight: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            offered: Default::default(),
            admitted: AtomicU64::new(0),
            shares: std::array::from_fn(|_| AtomicU32::new(WHOLE)),
            by_prior: AtomicBool::new(false),
            hold_ms: AtomicU32::new(0),
            held: AtomicUsize::new(0),
            waited_us: AtomicU64::new(0),
            controller: Mutex::new(Controller::new(
                config.queue_us_target as u64,
                config.hold_ms_max as u32,
            )),
        };
        Ok(Admission {
            inner: Arc::new(inner),
        })
    }

    /// Lets a request of that class be read, or refuses it before it is.
    ///
    /// # Errors
    ///
    /// Requests wait, and it is not among those of its class that are let in.
    pub fn pass(&self, class: Class) -> Result<(), Overloaded> {
        let inner = &self.inner;
        let n = inner.offered[class as usize].fetch_add(1, Relaxed);
        if inner.leaves_out(class, n) {
            return Err(self.refuse(Lack::Queue));
        }
        inner.admitted.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Whether decisions are refused before they are read.
    #[must_use]
    pub fn sheds(&self) -> bool {
        self.inner.shares[Class::Decision as usize].load(Relaxed) < WHOLE
    }

    /// Refuses the next request of that class if [`Admission::pass`] would. Else nothing is counted, and it is
    /// to be asked there.
    #[must_use]
    pub fn refuse_unread(&self, class: Class) -> Option<Overloaded> {
        let offered = &self.inner.offered[class as usize];
        let next = |n| self.inner.leaves_out(class, n).then_some(n + 1);
        let refused = offered.fetch_update(Relaxed, Relaxed, next);
        refused.ok().map(|_| self.refuse(Lack::Queue))
    }

    /// Lets a request of that class be worked on, or refuses it at once: there is no queue.
    ///
    /// # Errors
    ///
    /// The class's share is in flight.
    pub fn enter(&self, class: Class) -> Result<Permit, Overloaded> {
        let inner = &self.inner;
        let limit = inner.limits[class as usize];
        let entered = inner
            .in_flight
            .fetch_update(Relaxed, Relaxed, |n| (n < limit).then_some(n + 1));
        if entered.is_ok() {
            return Ok(Permit {
                inner: inner.clone(),
            });
        }
        Err(self.refuse(Lack::InFlight))
    }

    fn refuse(&self, lack: Lack) -> Overloaded {
        let refused = self.inner.refused.fetch_add(1, Relaxed);
        // Spread by hash: those refused together must not come back together.
        let retry_after_s = 1 + (xxh3_64(&refused.to_be_bytes()) % 5) as u8;
        Overloaded {
            lack,
            retry_after_s,
        }
    }

    /// Whether decisions are to be made without the model, because requests wait.
    #[must_use]
    pub fn by_prior(&self) -> bool {
        self.inner.by_prior.load(Relaxed)
    }

    /// Ends a window that lasted so long, in which what was ready usually waited `wait` for its
    /// turn: to be called about every [`WINDOW`].
    pub fn turn(&self, wait: Duration, lasted: Duration) {
        let inner = &self.inner;
        let wait_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        // A window that came late has counted more: the budget is for one of the usual length.
        let usual = WINDOW.as_secs_f64() / lasted.max(WINDOW / 8).as_secs_f64();
        let take = |count: &AtomicU64| (count.swap(0, Relaxed) as f64 * usual).round() as u64;
        let window = Window {
            offered: std::array::from_fn(|class| take(&inner.offered[class])),
            admitted: take(&inner.admitted),
            wait_us,
        };
        inner.waited_us.store(wait_us, Relaxed);
        let mut controller = inner
            .controller
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Ruling {
            shares,
            by_prior,
            hold_ms,
        } = controller.turn(&window);
        for (held, share) in inner.shares.iter().zip(shares) {
            held.store(share, Relaxed);
        }
        inner.by_prior.store(by_prior, Relaxed);
        inner.hold_ms.store(hold_ms, Relaxed);
    }

    /// Holds a refusal back, where there are so many that they take the time from those let in: None where
    /// there are not. Who asks again as soon as it is refused is slowed by it, and it costs nothing while it lasts.
    pub fn hold(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let ms = self.inner.hold_ms.load(Relaxed);
        if ms == 0 {
            return None;
        }
        let ms = spread(ms, self.inner.refused.load(Relaxed));
        let held = Held::new(Arc::clone(&self.inner));
        (held.before < HELD_MAX).then_some(async move {
            tokio::time::sleep(Duration::from_millis(ms.into())).await;
            drop(held);
        })
    }

    /// Requests in flight now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.inner.in_flight.load(Relaxed)
    }

    /// What part of that class is let in now, 0 to 1.
    #[must_use]
    pub fn share(&self, class: Class) -> f64 {
        f64::from(self.inner.shares[class as usize].load(Relaxed)) / f64::from(WHOLE)
    }

    /// How long ready requests usually waited in the last window.
    #[must_use]
    pub fn wait(&self) -> Duration {
        Duration::from_micros(self.inner.waited_us.load(Relaxed))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(in_flight_max: usize) -> Admission {
        let config = AdmissionConfig {
            in_flight_max,
            ..AdmissionConfig::default()
        };
        Admission::new(&config).unwrap()
    }

    fn fill(admission: &Admission, class: Class) -> Vec<Permit> {
        std::iter::from_fn(|| admission.enter(class).ok()).collect()
    }

    #[test]
    fn the_less_urgent_make_room() {
        let admission = admission(10);
        let reports = fill(&admission, Class::Report);
        let clicks = fill(&admission, Class::Click);
        let decisions = fill(&admission, Class::Decision);
        let conversions = fill(&admission, Class::Conversion);
        let taken = [&reports, &clicks, &decisions, &conversions].map(Vec::len);
        assert_eq!(taken, [5, 2, 2, 1]);
        drop(reports);
        assert_eq!(admission.in_flight(), 5);
        assert_eq!(fill(&admission, Class::Click).len(), 2);
    }

    #[test]
    fn every_class_gets_in_when_nothing_is_in_flight() {
        for class in Class::ALL.iter().copied() {
            let admission = admission(1);
            assert_eq!(fill(&admission, class).len(), 1, "{class}");
            assert_eq!(admission.pass(class), Ok(()), "{class}");
        }
    }

    #[test]
    fn those_refused_come_back_at_different_times() {
        let admission = admission(1);
        let _permit = admission.enter(Class::Click).unwrap();
        let mut seen = [0; 7];
        for _ in 0..1_000 {
            let refused = admission.enter(Class::Conversion).unwrap_err();
            assert_eq!(refused.lack, Lack::InFlight);
            seen[usize::from(refused.retry_after_s)] += 1;
        }
        assert_eq!((seen[0], seen[6]), (0, 0));
        assert!(seen[1..6].iter().all(|n| *n > 150), "{seen:?}");
    }

    #[test]
    fn threads_never_pass_the_limit_together() {
        let admission = admission(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let permit = admission.enter(Class::Conversion);
                        assert!(admission.in_flight() <= 4);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(admission.in_flight(), 0);
    }

    /// Windows in which a hundred of each class come and somebody always waits so long.
    fn windows(admission: &Admission, wait: Duration, count: usize) -> [usize; 4] {
        let mut passed = [0; 4];
        for _ in 0..count {
            passed = [0; 4];
            for class in Class::ALL.iter().copied() {
                let all = (0..100).map(|_| admission.pass(class));
                passed[class as usize] = all.filter(Result::is_ok).count();
            }
            admission.turn(wait, WINDOW);
        }
        passed
    }

    #[test]
    fn a_queue_that_stands_costs_the_model_then_reports_then_clicks_then_decisions() {
        let admission = admission(10);
        let long = Duration::from_millis(50);
        assert_eq!(windows(&admission, Duration::ZERO, 5), [100; 4]);
        assert!(!admission.by_prior());
        assert_eq!(windows(&admission, long, 1), [100; 4]);
        assert!(admission.by_prior());
        assert_eq!(admission.wait(), long);
        let passed: Vec<[usize; 4]> = (0..5).map(|_| windows(&admission, long, 1)).collect();
        assert_eq!(
            passed[0], [100; 4],
            "what holds is ruled when a window ends"
        );
        assert_eq!(passed[1], [100, 100, 0, 0]);
        assert_eq!(passed[2], [100, 0, 0, 0]);
        assert_eq!(admission.share(Class::Conversion), 1.0);
        assert_eq!(windows(&admission, Duration::ZERO, 60), [100; 4]);
        assert!(!admission.by_prior());
    }

    #[test]
    fn those_let_in_are_spread_evenly() {
        let admission = admission(10);
        windows(&admission, Duration::from_millis(7), 2);
        let share = admission.share(Class::Click);
        assert!((0.1..0.9).contains(&share), "{share}");
        let passed: Vec<bool> = (0..1_000)
            .map(|_| admission.pass(Class::Click).is_ok())
            .collect();
        for piece in passed.chunks(100) {
            let n = piece.iter().filter(|p| **p).count() as f64;
            assert!((n - 100.0 * share).abs() <= 1.0, "{n} of {share}");
        }
        let refused = admission.pass(Class::Report).map_err(|o| o.lack);
        assert_eq!(refused, Err(Lack::Queue));
    }

    #[test]
    fn a_setting_outside_its_range_is_named() {
        let config = AdmissionConfig {
            click_share_percent: 91,
            ..AdmissionConfig::default()
        };
        let error = Admission::new(&config).unwrap_err();
        let said = "click_share_percent is 91; it must be from 1 to 90";
        assert_eq!(error.to_string(), said);
    }
}
