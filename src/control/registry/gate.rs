//! The gate before `live`: a version must show, on the log of the one that serves, that it will not earn less.
//!
//! Both are judged as they would serve: with today's catalog, rules, caps and explorers, on the requests of the
//! journal, by the code that decides. "The log cannot tell" is no pass; somebody may force a version in, with a
//! reason that is written into the journal.
//!
//! The very first version of a server that nobody has asked for an offer yet has no log to be judged on:
//! it goes in, and the answer says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Stage;
use super::apart::apart;
use crate::control::bind;
use crate::control::plane::{Control, ControlError, posterior};
use crate::control::state::ModelRef;
use crate::control::store::Folder;
use crate::decide::budget::Spent;
use crate::decide::snapshot::Snapshot;
use crate::domain::{EntryKind, Millis};
use crate::journal::{Journal, Position};
use crate::learn::ope::gate::{Outcome, Rule, Verdict};
use crate::learn::ope::{Evidence, Guards, Happenings, Judge, Scope};
use crate::model::Model;

/// When a version may become live; a part of the section `[models]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// Whether versions are judged before they become live.
    pub enabled: bool,
    /// A canary for more than so many of a hundred customers is judged like what becomes live, 0 to 100.
    pub canary_percent_max: f64,
    /// How far back the log is read, in hours, 1 to 8760.
    pub lookback_hours: u32,
    /// The newest decisions that are read, at most 1000000.
    pub decisions_max: usize,
    /// Reading stops after so many seconds, 1 to 600: somebody waits for the answer.
    pub seconds_max: u32,
    /// A showing whose attribution window is still open counts where so large a share of conversions has
    /// usually come by its age, 0.05 to 1; 1 for closed windows only.
    pub completion_min: f64,
    /// No slate weighs more, 1 to 10000.
    pub weight_max: f64,
    /// How much less than the live version it may earn, as a share of what that one does, 0 to 1.
    pub margin: f64,
    /// The chance that a version worse than that passes, 0.000001 to 0.5.
    pub alpha: f64,
    /// The largest part of its odds on offers that had no chance in the log, 0 to 1.
    pub uncovered_max: f64,
    /// When weights are worth believing.
    pub guards: Guards,
}

impl Default for GateConfig {
    fn default() -> GateConfig {
        let rule = Rule::default();
        GateConfig {
            enabled: true,
            canary_percent_max: 50.0,
            lookback_hours: 336,
            decisions_max: 100_000,
            seconds_max: 30,
            completion_min: 0.5,
            weight_max: 100.0,
            margin: rule.margin,
            alpha: rule.alpha,
            uncovered_max: rule.uncovered_max,
            guards: rule.guards,
        }
    }
}

impl GateConfig {
    /// What is wrong with the settings, if anything.
    pub(super) fn check(&self) -> Option<String> {
        let ranges = [
            (
                "lookback_hours",
                f64::from(self.lookback_hours),
                1.0,
                8_760.0,
            ),
            ("canary_percent_max", self.canary_percent_max, 0.0, 100.0),
            ("decisions_max", self.decisions_max as f64, 0.0, 1e6),
            ("seconds_max", f64::from(self.seconds_max), 1.0, 600.0),
            ("completion_min", self.completion_min, 0.05, 1.0),
            ("weight_max", self.weight_max, 1.0, 1e4),
        ];
        let wrong = |&(_, value, low, high): &(&str, f64, f64, f64)| !(low..=high).contains(&value);
        match ranges.into_iter().find(wrong) {
            Some((name, value, low, high)) => {
                Some(format!("{name}: expected {low} to {high}, found {value}"))
            }
            None => self.rule().problem(),
        }
    }

    fn rule(&self) -> Rule {
        Rule {
            margin: self.margin,
            alpha: self.alpha,
            uncovered_max: self.uncovered_max,
            guards: self.guards,
        }
    }

    fn scope(&self, now: Millis) -> Scope {
        Scope {
            now,
            window_ms: None,
            completion_min: self.completion_min,
            weight_max: self.weight_max,
            decisions_max: self.decisions_max,
        }
    }
}

/// How much somebody insists on a stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Insist<'a> {
    /// Although the trial objects.
    pub confirmed: bool,
    /// Although the gate does, and why.
    pub force: Option<&'a str>,
    /// Who does, for people.
    pub by: &'a str,
}

/// Characters of a reason: a few sentences.
const REASON_CHARS_MAX: usize = 500;

impl<'a> Insist<'a> {
    /// As somebody asked for it.
    ///
    /// # Errors
    /// When force is asked for without a reason.
    pub fn new(
        confirmed: bool,
        force: bool,
        reason: Option<&'a str>,
        by: &'a str,
    ) -> Result<Insist<'a>, ControlError> {
        let reason = reason
            .map(str::trim)
            .filter(|reason| !reason.is_empty() && reason.chars().count() <= REASON_CHARS_MAX);
        match (force, reason) {
            (true, None) => Err(ControlError::Reason(REASON_CHARS_MAX)),
            (_, reason) => Ok(Insist {
                confirmed,
                force: reason.filter(|_| force),
                by,
            }),
        }
    }
}

/// What the gate said of a version that it let in.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// What the log says; where it is not `pass`, the version was the first or was forced in.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Whether it went in because there is no log yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
    /// Why it was forced in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced: Option<String>,
}

const BATCH_ENTRIES: usize = 1_024;
const BATCH_BYTES: usize = 4 << 20;

impl<D: Folder> Control<D> {
    /// Whether a version may decide for most customers. `None` where nothing is asked of it: the stage is none that
    /// does, the gate is off, or it is what was live just before, which is a way back and not a way forward.
    pub(super) fn pass_gate(
        &self,
        path: &ModelRef,
        model: &Arc<Model>,
        (stage, percent): (Stage, Option<f64>),
        insist: Insist<'_>,
        now: Millis,
    ) -> Result<Option<Entry>, ControlError> {
        let config = &self.settings.models.gate;
        let percent = percent.unwrap_or(self.settings.models.canary_percent);
        let decides_for_most = match stage {
            Stage::Live => true,
            // Who wants a model for everybody must not get it by calling it a trial. What is no percentage is
            // refused as that.
            Stage::Canary => percent > config.canary_percent_max && percent <= 100.0,
            Stage::Stored | Stage::Shadow => false,
        };
        if !decides_for_most {
            return Ok(None);
        }
        let stages = self.lock().state.stages.clone();
        let before = stages.before.last().and_then(Option::as_ref);
        if !config.enabled || stages.live.as_ref() == Some(path) || before == Some(path) {
            return Ok(None);
        }
        let [new, champion] = self.as_they_would_serve(model)?;
        let verdict = apart(|| {
            let evidence = weigh(config, &new, &champion, &self.journal, now)?;
            Ok::<_, std::io::Error>(config.rule().judge(&evidence))
        })?
        .map_err(ControlError::Log)?;
        let first = stages.live.is_none() && stages.before.is_empty() && verdict.log.slates == 0;
        if verdict.outcome != Outcome::Pass && !first {
            let Some(reason) = insist.force else {
                self.note(path, verdict.to_string(), now)?;
                let (model, verdict) = (path.to_string(), Box::new(verdict));
                return Err(ControlError::Gate { model, verdict });
            };
            tracing::warn!(model = %path, by = insist.by, reason, %verdict, "forced past the gate");
            self.note_forced(path, reason, insist.by, &verdict, now);
        }
        Ok(Some(Entry {
            forced: insist
                .force
                .filter(|_| verdict.outcome != Outcome::Pass && !first)
                .map(Into::into),
            first,
            verdict,
        }))
    }

    /// The policies with the model and with the one that is live: nobody's canary, nothing learnt over them.
    pub(super) fn side_by_side(&self, model: &Arc<Model>) -> Result<[Snapshot; 2], ControlError> {
        let live = self.live.load_full();
        let alone = |model| Snapshot {
            epoch: live.epoch,
            salt: live.salt,
            catalog: Arc::clone(&live.catalog),
            model,
            canary: None,
            shadow: None,
            posterior: None,
            // A budget is spent for a day; what is judged here serves for longer.
            spent: Spent::NOTHING,
        };
        let new = Arc::new(bind::bind(model, &live.catalog)?);
        Ok([alone(new), alone(Arc::clone(&live.model))])
    }

    /// The same with what has been learnt over each: a version that is new begins with the layers of the one
    /// that has learnt most, as it would if it served.
    fn as_they_would_serve(&self, model: &Arc<Model>) -> Result<[Snapshot; 2], ControlError> {
        let sides = self.side_by_side(model)?;
        let inner = self.lock();
        Ok(sides.map(|side| Snapshot {
            posterior: posterior(&inner, &side),
            ..side
        }))
    }

    /// Writes into the journal who forced what in, why, and what spoke against it.
    fn note_forced(&self, path: &ModelRef, reason: &str, by: &str, verdict: &Verdict, now: Millis) {
        let snapshot = self.live.load();
        let json = serde_json::json!({
            "v": 1,
            "type": EntryKind::Snapshot.as_str(),
            "epoch": snapshot.epoch,
            "catalog": snapshot.catalog.digest,
            "model": &*snapshot.model.label,
            "forced": { "model": path.to_string(), "by": by, "reason": reason, "verdict": verdict },
        });
        let entry = crate::domain::Entry {
            kind: EntryKind::Snapshot as u8,
            id: snapshot.epoch.to_string(),
            at: now.0,
            model: Some(path.to_string()),
            record: json.to_string().into(),
            ..crate::domain::Entry::empty()
        };
        if !self.journal.record(entry) {
            tracing::warn!(model = %path, reason, "a forced model is not noted in the journal");
        }
    }
}

/// Judges both policies on the newest decisions of the journal.
fn weigh(
    config: &GateConfig,
    new: &Snapshot,
    champion: &Snapshot,
    journal: &Journal,
    now: Millis,
) -> std::io::Result<Evidence> {
    let begun = Instant::now();
    let time_max = Duration::from_secs(config.seconds_max.into());
    let from = Position {
        ms: now
            .0
            .saturating_sub(i64::from(config.lookback_hours) * 3_600_000),
        seq: 0,
    };
    let mut happened = Happenings::default();
    let mut decisions = 0_usize;
    let read = |visit: &mut dyn FnMut(crate::domain::Entry) -> bool| -> std::io::Result<()> {
        let mut reader = journal.reader(from);
        loop {
            let batch = reader.next_batch(BATCH_ENTRIES, BATCH_BYTES)?;
            if batch.is_empty() || !batch.into_iter().all(|(_, entry)| visit(entry)) {
                return Ok(());
            }
        }
    };
    read(&mut |entry| {
        match entry.kind() {
            Some(EntryKind::Decision) => decisions += 1,
            // Most entries, and none that earns anything.
            None | Some(EntryKind::Impression | EntryKind::Viewable | EntryKind::Snapshot) => {}
            Some(_) => happened.hear(&entry.record),
        }
        true
    })?;
    let mut skip = decisions.saturating_sub(config.decisions_max);
    let mut judge = Judge::new(new, Some(champion), happened, config.scope(now));
    read(&mut |entry| {
        if entry.kind() == Some(EntryKind::Decision) {
            match skip.checked_sub(1) {
                Some(left) => skip = left,
                None => judge.add(&entry.record),
            }
        }
        begun.elapsed() < time_max
    })?;
    Ok(judge.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn force_needs_a_reason() {
        let insist =
            |force, reason| Insist::new(false, force, reason, "me").map(|i| i.force.is_some());
        assert!(matches!(insist(false, None), Ok(false)));
        assert!(matches!(insist(false, Some("why")), Ok(false)));
        assert!(matches!(insist(true, Some("a campaign")), Ok(true)));
        for reason in [None, Some(""), Some(" \n"), Some(&*"x".repeat(501))] {
            assert!(insist(true, reason).is_err(), "{reason:?}");
        }
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let check = |change: &dyn Fn(&mut GateConfig), named: &str| {
            let mut config = GateConfig::default();
            change(&mut config);
            let problem = config.check().unwrap_or_default();
            assert!(problem.starts_with(named), "{problem}");
        };
        assert_eq!(GateConfig::default().check(), None);
        check(&|c| c.seconds_max = 0, "seconds_max");
        check(&|c| c.completion_min = f64::NAN, "completion_min");
        check(&|c| c.margin = 2.0, "margin");
        check(&|c| c.guards.weight_share_max = -1.0, "weight_share_max");
    }
}
