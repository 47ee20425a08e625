//! What becomes of a request: judged, booked, and told to the visit that waits for it.

use std::sync::atomic::Ordering;

use super::Engine;
use crate::load::check;
use crate::load::clock::now_ns;
use crate::load::tally::{Counts, Stretch, Tally, count};
use crate::load::wire::{self, Job, Kind, Outcome, Reply};

impl Engine {
    /// Books what became of a request, and lets its visit go on.
    pub fn settle(&self, job: Job, outcome: Outcome) {
        self.outstanding.set(self.outstanding.get() - 1);
        self.progress.in_flight.fetch_sub(1, Ordering::Relaxed);
        let took_ns = now_ns().saturating_sub(job.intended_ns);
        let reply = match outcome {
            Outcome::Answered(body) => self.answered(&job, &body, took_ns),
            Outcome::Refused(kind) => {
                self.refused(&job, &kind, took_ns);
                None
            }
            Outcome::Failed(kind, detail) => {
                self.failed(&job, &kind, &detail, took_ns);
                None
            }
        };
        if let Some(visit) = job.reply {
            // A visit that has ended meanwhile does not mind.
            drop(visit.send(reply));
        }
    }

    fn answered(&self, job: &Job, body: &[u8], took_ns: u64) -> Option<Reply> {
        let due = self.check_due.get() + self.line.check_share;
        let look = due >= 1.0 || job.reply.is_some();
        self.check_due.set(if due >= 1.0 { due - 1.0 } else { due });
        let read = look.then(|| self.read(job, body));
        let mut tally = self.tally.borrow_mut();
        let (reply, wrong) = match read {
            None => (None, None),
            Some(Ok(reply)) => (Some(reply), None),
            Some(Err((kind, detail))) => {
                tally.note(|| format!("{kind}: {detail}"));
                (None, Some(kind))
            }
        };
        let counts = &mut tally.phases[job.phase];
        counts.checked += u64::from(look);
        if let Some(kind) = wrong {
            count(&mut counts.wrong, kind);
            self.stretch(&mut tally, job).failed += 1;
            self.progress.failed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        counts.answered += 1;
        match job.prepared.kind {
            Kind::Decision => {
                counts.decisions.record(took_ns);
                let service = (job.intended_ns + took_ns).saturating_sub(job.sent_ns);
                counts.service.record(service);
                self.progress.last_ns.store(took_ns, Ordering::Relaxed);
            }
            Kind::Events => counts.events.record(took_ns),
        }
        if let Some(reply) = &reply {
            book(counts, reply);
        }
        let stretch = self.stretch(&mut tally, job);
        stretch.answered += 1;
        stretch.latency_us.saturating_record(took_ns / 1_000);
        self.progress.answered.fetch_add(1, Ordering::Relaxed);
        reply
    }

    fn read(&self, job: &Job, body: &[u8]) -> Result<Reply, (&'static str, String)> {
        let (door, asked) = (self.line.writer.door, &job.prepared.asked);
        let reply = wire::read(door, job.prepared.kind, body);
        let reply = reply.map_err(|detail| ("not understood", detail))?;
        let right = match &reply {
            Reply::Decision(answer) => check::decision(asked, answer, &self.models),
            Reply::Events(receipt) => check::receipt(asked, receipt),
        };
        match right {
            Ok(()) => Ok(reply),
            Err(kind) => Err((kind, format!("{asked:?} got {reply:?}"))),
        }
    }

    fn refused(&self, job: &Job, kind: &str, took_ns: u64) {
        let mut tally = self.tally.borrow_mut();
        let counts = &mut tally.phases[job.phase];
        count(&mut counts.refused, kind);
        counts.refusals.record(took_ns);
        self.stretch(&mut tally, job).refused += 1;
        self.progress.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, job: &Job, kind: &str, detail: &str, took_ns: u64) {
        let mut tally = self.tally.borrow_mut();
        let counts = &mut tally.phases[job.phase];
        count(&mut counts.failed, kind);
        // An answer that did not come took at least as long as was waited for it.
        if kind == "timeout" && job.prepared.kind == Kind::Decision {
            counts.decisions.record(took_ns);
        }
        let stretch = self.stretch(&mut tally, job);
        stretch.failed += 1;
        if kind == "timeout" {
            stretch.latency_us.saturating_record(took_ns / 1_000);
        }
        if !detail.is_empty() {
            tally.note(|| format!("{kind}: {detail}"));
        }
        self.progress.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn stretch<'a>(&self, tally: &'a mut Tally, job: &Job) -> &'a mut Stretch {
        tally.stretch(job.intended_ns.saturating_sub(self.began_ns.get()))
    }
}

/// Books what an answer says.
fn book(counts: &mut Counts, reply: &Reply) {
    match reply {
        Reply::Decision(answer) => {
            count(&mut counts.models, &answer.model);
            for word in &answer.degraded {
                count(&mut counts.degraded, word);
            }
            for placement in &answer.placements {
                counts.offers += placement.offers.len() as u64;
                if let Some(reason) = &placement.no_offer_reason {
                    count(&mut counts.empty, reason);
                }
            }
        }
        Reply::Events(receipt) => {
            counts.events_accepted += receipt.accepted;
            counts.events_duplicate += receipt.duplicates;
            for rejection in &receipt.rejected {
                count(&mut counts.events_rejected, &rejection.code);
            }
        }
    }
}
