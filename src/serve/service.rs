//! What both doors do: decide, and record what happened then.
//!
//! HTTP and gRPC read bytes and write bytes; everything between is here, once.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::entries::{self, Attributed, Said, When};
use super::idempotency::{offer_event_keys, visit_event_keys};
use super::keys::{Keys, SubjectOf};
use super::names::Names;
use super::stamp;
use super::token::{Token, TokenConfig, TokenError, TokenKind, TokenText, hash16, hash32};
use super::wire::{
    self, Answering, Arrival, DecisionRequest, DecisionResponse, EventBatch, EventRejection,
    EventResponse, Malformed, RejectionCode, Sent, TokenUse,
};
use crate::decide::record;
use crate::decide::shadow::ShadowScores;
use crate::decide::snapshot::Snapshot;
use crate::decide::{self, Scratch, Views};
use crate::domain::{
    Ack, Choice, Decision, Effort, Entry, EventType, Facts, Millis, Money, OddInput,
    PlacementDecision, Request, Shown,
};
use crate::journal::{Appended, Journal};
use crate::ledger::{HOLD_MS_MAX, Ledger};
use crate::telemetry::tally::{Made, Tallies};
use crate::telemetry::{EventResult, Metrics, Outcome};

/// How decisions are made and held; a section of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionConfig {
    /// How long an offer that was answered but not yet seen counts against caps, in milliseconds.
    pub hold_ms: u32,
}

impl Default for DecisionConfig {
    fn default() -> DecisionConfig {
        DecisionConfig {
            hold_ms: 30 * 60_000,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hold_ms is {found}; it must be from {HOLD_MS_MIN} to {HOLD_MS_MAX}")]
pub struct DecisionConfigError {
    /// What it was set to.
    pub found: u32,
}

/// A second: sooner no page has shown what it was answered, and two of them would pass a cap together.
const HOLD_MS_MIN: i64 = 1_000;

impl DecisionConfig {
    /// Checks that every setting is within its range.
    ///
    /// # Errors
    /// A hold that the ledger could not keep, or that would be none.
    pub fn check(&self) -> Result<(), DecisionConfigError> {
        let found = self.hold_ms;
        if (HOLD_MS_MIN..=HOLD_MS_MAX).contains(&i64::from(found)) {
            return Ok(());
        }
        Err(DecisionConfigError { found })
    }
}

/// The data path, ready to be called.
pub struct Service {
    live: Arc<ArcSwap<Snapshot>>,
    journal: Journal,
    ledger: Arc<Ledger>,
    keys: Arc<Keys>,
    metrics: Arc<Metrics>,
    tallies: Arc<Tallies>,
    names: Names,
    decisions: DecisionConfig,
    tokens: TokenConfig,
}

/// What the transport knows about a request for a decision.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// When its last byte was read.
    pub since: Instant,
    /// What the deadline leaves room for.
    pub effort: Effort,
    /// The browser sent `Sec-GPC: 1`.
    pub gpc: bool,
    /// What is said about the customer is to be believed.
    pub believed: bool,
    /// The caller may see scores and odds.
    pub reveal: bool,
}

thread_local! {
    static SCRATCH: RefCell<Buffers> = RefCell::default();
}

/// One thread's buffers.
#[derive(Default)]
struct Buffers {
    scratch: Scratch,
    facts: Facts,
    shown: Vec<Shown>,
    shadow: ShadowScores,
}

impl Service {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        live: Arc<ArcSwap<Snapshot>>,
        journal: Journal,
        ledger: Arc<Ledger>,
        keys: Arc<Keys>,
        metrics: Arc<Metrics>,
        decisions: DecisionConfig,
        tokens: TokenConfig,
    ) -> Service {
        Service {
            live,
            journal,
            ledger,
            keys,
            metrics,
            tallies: Arc::default(),
            names: Names::default(),
            decisions,
            tokens,
        }
    }

    /// Counts what each model version does there too.
    #[must_use]
    pub fn counting(self, tallies: Arc<Tallies>) -> Service {
        Service { tallies, ..self }
    }

    /// What counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What signs.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Decides, reserves, puts on record, and hands the answer to `render`.
    ///
    /// Everything happens on the caller's thread without waiting for anything.
    ///
    /// # Errors
    /// The first rule of the contract that the request breaks.
    pub fn decide<R>(
        &self,
        message: &DecisionRequest<'_>,
        asked: Asked,
        render: impl FnOnce(DecisionResponse<'_>) -> R,
    ) -> Result<R, Malformed> {
        let snapshot = self.live.load();
        self.names.learn(&snapshot);
        let at = stamp::now();
        let arrival = Arrival {
            decision: stamp::decision_id(at),
            at,
            effort: asked.effort,
            consent_default: snapshot.catalog.consent,
            gpc: asked.gpc,
            trusted: asked.believed,
        };
        let request = wire::validate(message, &arrival, |kind, id| {
            self.keys.subject(match kind {
                "customer" => SubjectOf::Customer(id),
                _ => SubjectOf::Appointment(id),
            })
        })
        .inspect_err(|_| self.metrics.decision(Outcome::Refused))?;
        SCRATCH.with_borrow_mut(|buffers| {
            let Buffers {
                scratch,
                facts,
                shown,
                shadow,
            } = buffers;
            let began = Instant::now();
            self.make(&snapshot, &request, facts, scratch, shown);
            let scratch = &*scratch;
            let decision = scratch.decision();
            let by = snapshot.decided_by(decision);
            let model = hash32(&by.label);
            let made = Made {
                failed: decision.degraded.model_failed,
                took: began.elapsed(),
            };
            self.tally(
                model,
                &request,
                made,
                &decision.choices,
                &decision.odd_inputs,
            );
            let record = record::Made {
                snapshot: &snapshot,
                request: &request,
                facts,
                decision,
                shadow: None,
                decide_us: asked.since.elapsed().as_nanos() as f64 / 1_000.0,
            };
            let logged = self.log(record, shadow, shown);
            self.count(decision, logged);
            let views = Views::of(&snapshot, &request, scratch);
            let unknown = views.unknown_features() as u64;
            if unknown > 0 {
                self.metrics.features_ignored.increment(unknown);
            }
            let from = Answering {
                snapshot: &snapshot,
                request: &request,
                decision,
                reveal: asked.reveal,
            };
            let sign = |placement: &PlacementDecision, choice: &Choice, usage| {
                self.sign(&snapshot, &request, placement, choice, usage, model)
            };
            let mut answer = wire::answer(from, |place| views.at(place), sign);
            answer.degraded.unlogged |= !logged;
            Ok(render(answer))
        })
    }

    /// Decides while the customer's account is held, so that two pages cannot overshoot a cap; notes in
    /// `shown` what the ledger counts.
    fn make(
        &self,
        snapshot: &Snapshot,
        request: &Request<'_>,
        facts: &mut Facts,
        scratch: &mut Scratch,
        shown: &mut Vec<Shown>,
    ) {
        facts.exposures.clear();
        let Some(subject) = request.customer.subject else {
            let decision = decide::decide(snapshot, request, facts, scratch);
            return entries::shown(snapshot, decision, shown);
        };
        self.ledger.with(subject, request.at, |account| {
            account.facts_into(snapshot.catalog.cap_window_ms, facts);
            let decision = decide::decide(snapshot, request, facts, scratch);
            entries::shown(snapshot, decision, shown);
            if !request.test {
                account.reserve(request.decision, shown, self.hold_until(request));
            }
        });
    }

    /// Until when what is answered now counts without having been seen.
    fn hold_until(&self, request: &Request<'_>) -> Millis {
        request.at.plus(i64::from(self.decisions.hold_ms))
    }

    /// Queues the record, with what the shadow says to it; false where the queue is full.
    fn log(&self, record: record::Made<'_>, shadow: &mut ShadowScores, shown: &[Shown]) -> bool {
        let (snapshot, request) = (record.snapshot, record.request);
        let began = Instant::now();
        let said = shadow.of(snapshot, request, record.decision);
        let tallied = said.map(|(model, scores)| {
            let failed = scores.iter().flatten().any(|p| p.is_nan());
            let took = began.elapsed();
            (hash32(&model.label), Made { failed, took })
        });
        let record = record::Made {
            shadow: said,
            ..record
        };
        let entry = entries::decision(&record, shown, self.hold_until(request));
        if let Some((model, made)) = tallied {
            self.tally(model, request, made, &[], shadow.odd_inputs());
        }
        self.journal.record(entry)
    }

    /// Counts for a version that decided, or scored alongside and chose nothing.
    fn tally(
        &self,
        model: u32,
        request: &Request<'_>,
        made: Made,
        choices: &[Choice],
        odd: &[OddInput],
    ) {
        // What is not measured can have no conversions, and would look like a model that sells nothing.
        if request.test || !request.customer.consent.measurement {
            return;
        }
        self.tallies.count(model, |tally| {
            tally.decision(made, choices.iter().map(|c| (c.base, c.probability)));
            tally.odd_inputs(odd);
        });
    }

    fn count(&self, decision: &Decision, logged: bool) {
        let empty = decision.choices.is_empty();
        self.metrics.decision(if empty {
            Outcome::Empty
        } else {
            Outcome::Offered
        });
        self.metrics.degraded(decision.degraded.words());
        for reason in decision.placements.iter().filter_map(|p| p.no_offer) {
            self.metrics.no_offer(reason);
        }
        if !logged {
            self.metrics.degraded(std::iter::once("unlogged"));
        }
    }

    fn sign(
        &self,
        snapshot: &Snapshot,
        request: &Request<'_>,
        placement: &PlacementDecision,
        choice: &Choice,
        usage: TokenUse,
        model: u32,
    ) -> TokenText {
        let offer = snapshot.catalog.offer(choice.offer);
        let id = request.placements[usize::from(placement.ask)].id;
        let token = Token {
            kind: match usage {
                TokenUse::Event => TokenKind::Any,
                TokenUse::Impression => TokenKind::Impression,
                TokenUse::Click => TokenKind::Click,
            },
            test: request.test,
            unmeasured: !request.customer.consent.measurement,
            sells: offer.class.sells(),
            phase: request.appointment.phase,
            issued: request.at,
            decision: request.decision,
            slot: placement.ask,
            rank: choice.rank,
            offer: offer.hash,
            placement: hash32(id),
            creative: hash16(&offer.creatives[usize::from(choice.creative.0)].id),
            model,
            subject: request.customer.subject,
            propensity: choice.propensity,
        };
        self.keys.sign(&token)
    }

    /// Records a batch. Answers when the journal holds each event as firmly as its type asks.
    ///
    /// # Errors
    /// Where the batch as a whole is none; a bad item is in the answer.
    pub async fn record(&self, batch: &EventBatch<'_>) -> Result<EventResponse, Malformed> {
        let received = stamp::now();
        let items = batch.validate(received)?;
        let mut response = EventResponse::default();
        let mut accepted = Vec::with_capacity(items.len());
        let mut entries = Vec::with_capacity(items.len());
        for (index, item) in (0..).zip(items) {
            let checked = item.and_then(|sent| {
                let (kind, value) = (sent.kind, sent.value);
                self.entry(&sent, received)
                    .map_err(|(code, detail)| EventRejection {
                        index,
                        code,
                        detail,
                    })
                    .map(|(entry, kind, token)| (entry, kind, token, value))
                    .inspect_err(|_| self.metrics.event(kind, EventResult::Rejected))
            });
            match checked {
                Ok((entry, kind, token, value)) => {
                    entries.push((entry, kind.ack()));
                    accepted.push((index, kind, token, value));
                }
                Err(rejection) => response.rejected.push(rejection),
            }
        }
        let results = self.journal.append_all(entries).await;
        for ((index, kind, token, value), result) in accepted.into_iter().zip(results) {
            match result {
                Ok(Appended::New(_)) => {
                    self.booked(kind, token.as_ref(), value, received);
                    response.accepted += 1;
                }
                Ok(Appended::Duplicate) => {
                    self.metrics.event(kind, EventResult::Duplicate);
                    response.duplicates += 1;
                }
                Err(error) => {
                    self.metrics.event(kind, EventResult::Failed);
                    let code = RejectionCode::Unavailable;
                    let detail = format!("the journal cannot take it now: {error}");
                    response.rejected.push(EventRejection {
                        index,
                        code,
                        detail,
                    });
                }
            }
        }
        response.rejected.sort_by_key(|r| r.index);
        Ok(response)
    }

    /// Counts what an impression's image or a click's link tells.
    ///
    /// # Errors
    /// Why the token is refused. The event itself may be lost to a full disk: an image has nobody to
    /// tell, so it is counted and the answer is the same.
    pub async fn track(&self, text: &str) -> Result<Tracked, TokenError> {
        let now = stamp::now();
        let token = self.keys.read(text).inspect_err(|e| self.refused(*e))?;
        let kind = match token.kind {
            TokenKind::Click => EventType::Click,
            TokenKind::Impression | TokenKind::Any => EventType::Impression,
        };
        if token.kind == TokenKind::Any {
            return Err(TokenError::WrongKind);
        }
        token
            .check(kind, now, &self.tokens)
            .inspect_err(|e| self.refused(*e))?;
        let tracked = match kind {
            EventType::Click => Tracked::Click(self.url_of(&token)),
            _ => Tracked::Impression,
        };
        if token.unmeasured {
            self.confirm(kind, &token, now);
            return Ok(tracked);
        }
        let id = format!("{kind}:{}:{}:{}", token.decision, token.slot, token.rank);
        let sent = Sent::tracked(kind, &id, now);
        let entry = self.attributed_entry(&sent, &token, now);
        match self.journal.append(entry, Ack::Written).await {
            Ok(Appended::New(_)) => self.booked(kind, Some(&token), None, now),
            Ok(Appended::Duplicate) => self.metrics.event(kind, EventResult::Duplicate),
            Err(_) => self.metrics.event(kind, EventResult::Failed),
        }
        Ok(tracked)
    }

    /// The clicked offer's own URL, as the live catalog has it: links go nowhere else.
    fn url_of(&self, token: &Token) -> Option<String> {
        let snapshot = self.live.load();
        let offer = snapshot.catalog.offer_by_hash(token.offer)?;
        let mut shown = offer
            .creatives
            .iter()
            .filter(|c| hash16(&c.id) == token.creative);
        shown
            .next()
            .and_then(|c| c.action.url.as_deref())
            .map(str::to_owned)
    }

    fn booked(&self, kind: EventType, token: Option<&Token>, value: Option<Money>, at: Millis) {
        self.metrics.event(kind, EventResult::Accepted);
        if let Some(token) = token {
            self.confirm(kind, token, at);
            self.attribute(kind, token, value);
        }
    }

    /// Counts a conversion for the version that chose the offer: at what the event says that it was
    /// worth, else at what the catalog does.
    fn attribute(&self, kind: EventType, token: &Token, value: Option<Money>) {
        if token.test || !matches!(kind, EventType::Conversion | EventType::Reversal) {
            return;
        }
        let catalog_value = || {
            let snapshot = self.live.load();
            let offer = snapshot.catalog.offer_by_hash(token.offer);
            offer.map_or(0, |offer| offer.value_minor)
        };
        let value = value.map_or_else(catalog_value, |money| money.amount_minor);
        self.tallies.count(token.model, |tally| {
            tally.conversion(value, kind == EventType::Reversal);
        });
    }

    /// An impression turns the reservation into a showing that counts.
    fn confirm(&self, kind: EventType, token: &Token, at: Millis) {
        if kind != EventType::Impression || token.test {
            return;
        }
        if let Some(subject) = token.subject {
            let shown = Shown {
                offer: token.offer.0,
                sells: token.sells,
            };
            self.ledger.confirm(subject, token.decision, shown, at);
        }
    }

    fn refused(&self, error: TokenError) {
        (self.metrics.tokens_rejected)(error.code()).increment(1);
    }

    fn entry(
        &self,
        sent: &Sent<'_>,
        received: Millis,
    ) -> Result<(Entry, EventType, Option<Token>), (RejectionCode, String)> {
        let kind = sent.kind;
        let Some(text) = sent.token.filter(|_| kind.takes_token()) else {
            return Ok((self.visit_entry(sent, received), kind, None));
        };
        let token = self
            .keys
            .open(text, kind, received, &self.tokens)
            .map_err(|error| {
                self.refused(error);
                (RejectionCode::from(error), error.to_string())
            })?;
        if token.unmeasured {
            // Nothing is written, but the showing still uses up the customer's caps.
            self.confirm(kind, &token, received);
            let detail = "the customer withholds measurement: nothing is recorded";
            return Err((RejectionCode::NoConsent, detail.into()));
        }
        Ok((
            self.attributed_entry(sent, &token, received),
            kind,
            Some(token),
        ))
    }

    /// An event about an offer, told apart by its token.
    fn attributed_entry(&self, sent: &Sent<'_>, token: &Token, received: Millis) -> Entry {
        // After a restart events come before decisions do.
        self.names.learn(&self.live.load());
        let names = self.names.read();
        let offer = names.offer(token.offer);
        let placement = names.placement(token.placement);
        let model = names.model(token.model);
        let attributed = Attributed {
            decision: token.decision,
            subject: token.subject,
            offer_hash: token.offer,
            sells: token.sells,
            offer: &offer,
            placement: &placement,
            phase: token.phase,
            model: &model,
            slot: token.slot,
            rank: token.rank,
            propensity: token.propensity.get(),
            test: token.test,
        };
        let own_id = format!(
            "{}:{}:{}:{}",
            sent.kind, token.decision, token.slot, token.rank
        );
        let id = sent.id.unwrap_or(&own_id);
        // Nothing can be done with an offer before it is decided; a page that says so could make a
        // hundred clicks of one.
        let at = sent.at.max(token.issued);
        let keys = offer_event_keys(token, sent.kind, sent.id, at);
        let when = When { at, received };
        entries::event(sent.kind, id, when, Some(attributed), self.said(sent), keys)
    }

    /// An event about the visit.
    fn visit_entry(&self, sent: &Sent<'_>, received: Millis) -> Entry {
        let id = sent.id.unwrap_or_default();
        let keys = visit_event_keys(sent.appointment_id.unwrap_or_default(), id);
        let when = When {
            at: sent.at,
            received,
        };
        entries::event(sent.kind, id, when, None, self.said(sent), keys)
    }

    fn said<'a>(&self, sent: &Sent<'a>) -> Said<'a> {
        let appointment = sent.appointment_id.map(SubjectOf::Appointment);
        Said {
            value: sent.value,
            appointment: appointment.map(|a| self.keys.subject(a)),
            phase: sent.phase,
            dwell_ms: sent.dwell_ms,
            element: sent.element,
            rating: sent.rating,
        }
    }
}

/// What a tracking URL told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// An image was loaded.
    Impression,
    /// A link was followed; where to, if the offer still has a URL.
    Click(Option<String>),
}
