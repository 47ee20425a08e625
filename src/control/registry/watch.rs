//! New versions are watched, and taken back where they break a guardrail.

use crate::control::state::ModelRef;
use crate::domain::Millis;
use crate::telemetry::tally::{Counts, Tallies};

use super::drift::Drifts;
use super::health::{Breach, Evidence, Guardrails, judge};

/// The versions that are new.
#[derive(Debug, Default)]
pub struct Watches {
    /// Became live not long ago.
    pub live: Option<Watch>,
    /// Is tried since not long ago.
    pub canary: Option<Watch>,
}

/// A new version and what it is compared with.
#[derive(Debug)]
pub struct Watch {
    /// The new version.
    pub model: ModelRef,
    /// The label of the version that it replaced or runs beside.
    champion: String,
    /// What the champion had done when the two began to run side by side.
    before: Option<Counts>,
    since: Millis,
}

impl Watch {
    /// Begins to watch a version that replaces `champion`.
    pub fn instead_of(champion: &str, model: ModelRef, since: Millis) -> Watch {
        Watch {
            model,
            champion: champion.into(),
            before: None,
            since,
        }
    }

    /// Begins to watch a version that runs beside `champion`.
    pub fn beside(champion: &str, model: ModelRef, since: Millis, tallies: &Tallies) -> Watch {
        Watch {
            before: Some(tallies.read(champion).unwrap_or_default()),
            ..Watch::instead_of(champion, model, since)
        }
    }

    fn judge(
        &self,
        tallies: &Tallies,
        drifts: &Drifts,
        rails: &Guardrails,
        now: Millis,
    ) -> Option<Breach> {
        let label = self.model.to_string();
        let newcomer = tallies.read(&label)?;
        let drifted = drifts.drifted(&label, self.since);
        let champion = tallies.read(&self.champion).unwrap_or_default();
        let champion = match &self.before {
            Some(before) => champion.since(before),
            None => champion,
        };
        let evidence = Evidence {
            newcomer: &newcomer,
            champion: &champion,
            side_by_side: self.before.is_some(),
            age_s: self.age_s(now),
            drifted: drifted.as_ref(),
        };
        judge(evidence, rails)
    }

    fn age_s(&self, now: Millis) -> u64 {
        u64::try_from(now.since(self.since) / 1_000).unwrap_or(0)
    }
}

impl Watches {
    /// Since when a version is new, if it is.
    #[must_use]
    pub fn since(&self, label: &str) -> Option<Millis> {
        let all = [&self.live, &self.canary].into_iter().flatten();
        let watch = all.filter(|watch| watch.model.to_string() == label);
        watch.map(|watch| watch.since).next()
    }

    /// The first new version that must be taken back, and why. Forgets those no longer new.
    pub fn breach(
        &mut self,
        tallies: &Tallies,
        drifts: &Drifts,
        rails: &Guardrails,
        now: Millis,
    ) -> Option<(ModelRef, Breach)> {
        for slot in [&mut self.canary, &mut self.live] {
            slot.take_if(|watch| watch.age_s(now) >= rails.watch_s.into());
            let Some(watch) = slot else { continue };
            if let Some(breach) = watch.judge(tallies, drifts, rails, now) {
                return Some((watch.model.clone(), breach));
            }
        }
        None
    }
}
