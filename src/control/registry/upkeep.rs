//! What nobody has to ask for: freeing, trusting what has lived, and taking back what breaks a guardrail.

use std::sync::Arc;

use super::apart;
use super::drift::Wanted;
use crate::control::plane::{Control, ControlError, Inner};
use crate::control::state::ModelRef;
use crate::control::store::Folder;
use crate::decide::snapshot::Snapshot;
use crate::domain::Millis;

/// What happened that nobody asked for is told by `/readyz`; more than this nobody reads.
const ALARMS_MAX: usize = 16;

impl<D: Folder> Control<D> {
    /// What happened to models that nobody asked for, since the start.
    #[must_use]
    pub fn alarms(&self) -> Vec<String> {
        self.lock().alarms.clone()
    }

    /// Frees what no request reads any more, trusts what has lived, and takes back what breaks a
    /// guardrail. To be called every second.
    pub fn tick(&self, now: Millis) {
        let mut inner = self.lock();
        let unread = |old: &mut Arc<_>| Arc::strong_count(old) == 1;
        apart::free(inner.retired.extract_if(.., unread).collect());
        self.trust(&mut inner, now);
        let rails = &self.settings.models.guardrails;
        let (tallies, drifts) = (&self.settings.tallies, &self.drifts);
        let Some((model, breach)) = inner.watches.breach(tallies, drifts, rails, now) else {
            return;
        };
        let why = breach.to_string();
        match self.take_back(&mut inner, &model, &why, now) {
            Ok(epoch) => tracing::error!(%model, why, epoch, "guardrail: model taken back"),
            // It is tried again in a second.
            Err(error) => tracing::error!(%model, why, %error, "guardrail: failed to take back"),
        }
        drop(inner);
        self.note_snapshot(now);
    }

    /// Looks at what the versions in the stages are asked, for drift. To be called every second where nobody
    /// waits: a version that is new takes seconds.
    pub fn observe(&self) {
        let rails = &self.settings.models.guardrails;
        if rails.drift_rows_min == 0 {
            return;
        }
        let snapshot = self.live.load_full();
        let wanted = self.observed(&snapshot);
        let followed =
            apart::apart(|| (self.drifts).follow(&self.journal, &snapshot, &wanted, rails));
        match followed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "failed to read the journal for drift"),
            Err(error) => tracing::error!(%error, "drift is not looked for"),
        }
    }

    /// The versions that are told what requests hold.
    fn observed(&self, snapshot: &Snapshot) -> Vec<Wanted> {
        let inner = self.lock();
        let shadow = snapshot.shadow.as_ref().map(|s| &*s.model.label);
        let models = snapshot.models().filter(|model| !model.inputs.is_empty());
        let wanted = models.map(|model| {
            let pushed = ModelRef {
                name: (&*model.name).into(),
                version: (&*model.version).into(),
            };
            // Whose watch has ended, or was forgotten at a restart, has been here since it was pushed.
            let known = self.drifts.of(&model.label).is_some();
            let pushed = if known {
                0
            } else {
                self.store.pushed(&pushed).at
            };
            Wanted {
                model: Arc::clone(model),
                since: inner.watches.since(&model.label),
                else_since: if pushed == 0 {
                    inner.since
                } else {
                    Millis(pushed)
                },
                alongside: shadow == Some(&*model.label),
            }
        });
        wanted.collect()
    }

    /// Remembers that the process ended as it should.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn stop(&self) -> Result<(), ControlError> {
        let mut inner = self.lock();
        inner.state.run.end();
        Ok(self.store.save(&inner.state)?)
    }

    fn trust(&self, inner: &mut Inner, now: Millis) {
        let lived = now.since(inner.since) >= i64::from(self.settings.models.crash_loop_s) * 1_000;
        if !lived || inner.state.run.trusted {
            return;
        }
        inner.state.run.trusted = true;
        if let Err(error) = self.store.save(&inner.state) {
            inner.state.run.trusted = false;
            tracing::warn!(%error, "failed to remember that the models are sound");
        }
    }

    fn take_back(
        &self,
        inner: &mut Inner,
        model: &ModelRef,
        why: &str,
        now: Millis,
    ) -> Result<u64, ControlError> {
        let mut stages = inner.state.stages.clone();
        if stages.live.as_ref() == Some(model) {
            let live = inner.models.live.manifest.name.clone();
            stages.roll_back(&live, &live)?;
        } else {
            stages.withdraw(model);
        }
        stages.note(model, why.into(), now.0);
        let epoch = self.serve(inner, stages, None, now)?;
        inner.watches.live.take_if(|w| w.model == *model);
        inner.alarms.push(format!("{model} was taken back: {why}"));
        let extra = inner.alarms.len().saturating_sub(ALARMS_MAX);
        inner.alarms.drain(..extra);
        Ok(epoch)
    }
}
