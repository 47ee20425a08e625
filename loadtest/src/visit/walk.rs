//! A visit: one customer through the seven phases, as the tracker page would live through it.
//!
//! In each phase the page asks for its placements, the visitor reacts to what is shown and uses the
//! page, and the page reports it in batches as the SDK makes them: orders at once, the rest when there is
//! a pause. Triggers gather from phase to phase. Nothing waits for real time: a day passes in a moment.

use super::message::{
    Answer, Appointment, Ask, Event, Instant, Money, Offer, PHASES, Person, PlacementAsk, Trigger,
};
use super::page::{AGAIN_MS, ETA_SLIPS, HABITS, PHASE_MS, PLACEMENTS};
use super::visitor::{Reaction, Visitor};

/// Carries a visit's requests to the server.
pub trait Line {
    /// Why a visit cannot go on.
    type Stopped;

    /// A decision; `None` where there will be none.
    async fn decide(
        &mut self,
        visit: usize,
        phase: &'static str,
        ask: &Ask<'_>,
    ) -> Result<Option<Answer>, Self::Stopped>;

    /// Sends events, which may be more than one request takes, or none.
    async fn record(&mut self, visit: usize, events: Vec<Event>) -> Result<(), Self::Stopped>;
}

/// Leads one visitor through the phases; false if time was up before the end.
pub async fn walk<L: Line>(
    visitor: &Visitor<'_>,
    placements: &[String],
    line: &mut L,
    mut go_on: impl FnMut() -> bool,
) -> Result<bool, L::Stopped> {
    let mut visit = Visit::new(visitor, placements);
    for (index, phase) in PHASES.into_iter().enumerate() {
        if !go_on() {
            return Ok(false);
        }
        visit.enter(index);
        visit.ask_and_show(line, None).await?;
        visit.use_page(line).await?;
        if phase == "feedback" {
            visit.close(line).await?;
        }
        visit.leave(line).await?;
    }
    Ok(true)
}

/// Where a visit stands.
struct Visit<'a> {
    visitor: &'a Visitor<'a>,
    appointment_id: String,
    /// Asked for in every phase, in place of the page's own.
    placements: &'a [String],
    index: usize,
    last_rating: Option<u32>,
    triggers: Vec<Trigger>,
    /// Offers waved away or ordered: not to be shown again.
    finished: Vec<String>,
    /// Placements with nothing in them.
    empty: Vec<String>,
    /// Conversions that will be taken back.
    regretted: Vec<Event>,
    /// Events not sent yet.
    pending: Vec<Event>,
    asked: u32,
    /// Events of this phase: about offers, and about the visit.
    happened: (u32, u32),
}

impl<'a> Visit<'a> {
    fn new(visitor: &'a Visitor<'a>, placements: &'a [String]) -> Visit<'a> {
        Visit {
            visitor,
            appointment_id: visitor.appointment_id.clone(),
            placements,
            index: 0,
            last_rating: visitor.care.last_rating,
            triggers: Vec::new(),
            finished: Vec::new(),
            empty: Vec::new(),
            regretted: Vec::new(),
            pending: Vec::new(),
            asked: 0,
            happened: (0, 0),
        }
    }

    fn phase(&self) -> &'static str {
        PHASES[self.index]
    }

    fn enter(&mut self, index: usize) {
        if index > 0 {
            self.pass(PHASE_MS[index - 1]);
        }
        self.index = index;
        (self.asked, self.happened) = (0, (0, 0));
        self.trigger("page_viewed");
    }

    fn pass(&mut self, ms: u64) {
        for trigger in &mut self.triggers {
            trigger.age_ms += ms;
        }
    }

    fn trigger(&mut self, name: &'static str) {
        let known = self.triggers.iter_mut().find(|t| t.name == name);
        match known {
            Some(trigger) => (trigger.count, trigger.age_ms) = (trigger.count + 1, 0),
            None => self.triggers.push(Trigger {
                name,
                count: 1,
                age_ms: 0,
            }),
        }
    }

    /// The question for these placements, or for all of the phase's.
    fn ask(&mut self, only: Option<&[String]>) -> Ask<'_> {
        self.asked += 1;
        let phase = self.phase();
        let visitor = self.visitor;
        let excluded = &self.finished;
        let own: Vec<(&str, u32)> = match self.placements {
            [] => PLACEMENTS[self.index].to_vec(),
            told => told.iter().map(|id| (id.as_str(), 1)).collect(),
        };
        let placements = own
            .into_iter()
            .filter(|(id, _)| only.is_none_or(|only| only.iter().any(|o| o == id)))
            .map(|(id, count)| PlacementAsk {
                id,
                count,
                exclude_offers: excluded,
            });
        let mut care = visitor.care;
        care.last_rating = self.last_rating;
        Ask {
            request_id: format!("{}-{phase}-{}", self.appointment_id, self.asked),
            channel: "web",
            locale: visitor.locale,
            device: visitor.device,
            appointment: Appointment {
                id: &visitor.appointment_id,
                phase,
                job_type: visitor.job_type,
                eta_seconds: match phase {
                    "en_route" => Some(1_260),
                    "arriving" => Some(240),
                    _ => None,
                },
                // Days ahead, nobody knows yet who will be late.
                delay_seconds: if self.index > 0 {
                    visitor.delay_seconds
                } else {
                    0
                },
                reschedules: visitor.reschedules,
                technician: &visitor.technician,
            },
            customer: Person {
                id: &visitor.customer.id,
                features: &visitor.customer.features,
                segments: &visitor.segments,
                products: &visitor.products,
                consent: visitor.consent,
                care,
            },
            triggers: &self.triggers,
            placements: placements.collect(),
            gpc: visitor.gpc,
        }
    }

    async fn ask_and_show<L: Line>(
        &mut self,
        line: &mut L,
        only: Option<Vec<String>>,
    ) -> Result<(), L::Stopped> {
        let (number, phase) = (self.visitor.number, self.phase());
        let ask = self.ask(only.as_deref());
        let answer = line.decide(number, phase, &ask).await?;
        match answer {
            Some(answer) => self.show(line, &answer).await,
            None => Ok(()),
        }
    }

    /// Puts the offers on the page and lets the visitor react.
    async fn show<L: Line>(&mut self, line: &mut L, answer: &Answer) -> Result<(), L::Stopped> {
        self.empty.clear();
        for placement in &answer.placements {
            if placement.offers.is_empty() {
                self.empty.push(placement.id.clone());
            }
            for offer in &placement.offers {
                self.about(&answer.decision_id, "impression", offer, None);
            }
        }
        for placement in &answer.placements {
            for offer in &placement.offers {
                self.react(line, &answer.decision_id, &placement.id, offer)
                    .await?;
            }
        }
        Ok(())
    }

    async fn react<L: Line>(
        &mut self,
        line: &mut L,
        decision: &str,
        placement: &str,
        offer: &Offer,
    ) -> Result<(), L::Stopped> {
        let reaction = self.visitor.reaction(self.phase(), placement, offer);
        if reaction >= Reaction::Seen {
            self.about(decision, "viewable", offer, None);
        }
        if reaction == Reaction::Dismissed {
            self.about(decision, "dismiss", offer, None);
            self.finished.push(offer.offer_id.clone());
        }
        if reaction < Reaction::Clicked {
            return Ok(());
        }
        self.about(decision, "click", offer, None);
        if reaction == Reaction::Clicked {
            return Ok(());
        }
        self.finished.push(offer.offer_id.clone());
        if offer.content.action.kind == "order" {
            self.about(decision, "order", offer, offer.price.clone());
            // The page waits for the order to be on disk, and sends what is pending along with it.
            self.flush(line).await?;
        }
        if reaction >= Reaction::Converted {
            self.about(decision, "conversion", offer, offer.price.clone());
            self.flush(line).await?;
        }
        if reaction == Reaction::Reversed {
            let regretted = self.event(decision, "reversal", offer, offer.price.clone());
            self.regretted.extend(regretted);
        }
        Ok(())
    }

    /// What the visitor does with the page besides; empty placements are asked for again when it may
    /// have opened the way for an offer, all of them when the arrival slips.
    async fn use_page<L: Line>(&mut self, line: &mut L) -> Result<(), L::Stopped> {
        let mut used = false;
        for (share, trigger, element) in HABITS[self.index] {
            let mut dice = self.visitor.dice(&[self.phase(), trigger]);
            if !dice.chance(*share) {
                continue;
            }
            used = true;
            self.trigger(trigger);
            if let Some(element) = element {
                self.visit_event(Event {
                    kind: "element",
                    element: Some(element),
                    ..Event::default()
                });
            }
        }
        let slips =
            self.phase() == "en_route" && self.visitor.dice(&["eta_slip"]).chance(ETA_SLIPS);
        let again = match (slips, used && !self.empty.is_empty()) {
            (true, _) => None,
            (false, true) => Some(std::mem::take(&mut self.empty)),
            (false, false) => return Ok(()),
        };
        self.pass(AGAIN_MS);
        self.ask_and_show(line, again).await
    }

    /// The end of the visit: a rating, another look at what it opens, and second thoughts.
    async fn close<L: Line>(&mut self, line: &mut L) -> Result<(), L::Stopped> {
        let mut dice = self.visitor.dice(&["rating"]);
        if dice.chance(0.7) {
            let happy = self.visitor.delay_seconds < 1_800 && !self.visitor.care.open_issue;
            let rating = if happy {
                dice.whole(3, 5)
            } else {
                dice.whole(1, 4)
            };
            self.last_rating = Some(rating);
            self.trigger("feedback_given");
            self.visit_event(Event {
                kind: "feedback",
                rating: Some(rating),
                ..Event::default()
            });
            self.ask_and_show(line, None).await?;
        }
        let regretted = std::mem::take(&mut self.regretted);
        line.record(self.visitor.number, regretted).await
    }

    /// The page goes out of view: dwell and whatever is pending go out in a last batch.
    async fn leave<L: Line>(&mut self, line: &mut L) -> Result<(), L::Stopped> {
        let dwell = self
            .visitor
            .dice(&[self.phase(), "dwell"])
            .between(2.0, 90.0);
        self.visit_event(Event {
            kind: "phase_view",
            dwell_ms: Some((dwell * 1_000.0) as u32),
            ..Event::default()
        });
        self.flush(line).await
    }

    async fn flush<L: Line>(&mut self, line: &mut L) -> Result<(), L::Stopped> {
        let pending = std::mem::take(&mut self.pending);
        line.record(self.visitor.number, pending).await
    }

    fn about(&mut self, decision: &str, kind: &'static str, offer: &Offer, value: Option<Money>) {
        let event = self.event(decision, kind, offer, value);
        self.pending.extend(event);
    }

    /// An event about an offer; none from a page that may not report.
    fn event(
        &mut self,
        decision: &str,
        kind: &'static str,
        offer: &Offer,
        value: Option<Money>,
    ) -> Option<Event> {
        self.happened.0 += 1;
        self.visitor.measured().then(|| Event {
            id: self.event_id('o', self.happened.0),
            kind,
            at: Instant::now(),
            token: Some(offer.token.clone()),
            value,
            decision: Some(decision.to_owned()),
            ..Event::default()
        })
    }

    /// An event about the visit.
    fn visit_event(&mut self, event: Event) {
        if !self.visitor.measured() {
            return;
        }
        self.happened.1 += 1;
        let event = Event {
            id: self.event_id('v', self.happened.1),
            at: Instant::now(),
            appointment_id: Some(self.appointment_id.clone()),
            phase: Some(self.phase()),
            ..event
        };
        self.pending.push(event);
    }

    /// Made of seed, customer, phase and number, and so the same for the same event on every run. The two
    /// kinds are numbered apart: what the visit tells does not depend on which offers were drawn.
    fn event_id(&self, about: char, number: u32) -> String {
        format!("{}-{}-{about}{number}", self.appointment_id, self.phase())
    }
}
