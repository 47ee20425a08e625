//! What nobody has to ask for: freeing, trusting what has lived, and taking back what breaks a guardrail.

use std::sync::Arc;

use super::apart;
use crate::control::plane::{Control, ControlError, Inner};
use crate::control::state::ModelRef;
use crate::control::store::Folder;
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
        let Some((model, breach)) = inner.watches.breach(&self.settings.tallies, rails, now) else {
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
