//! Where requests come from.
//!
//! **Decisions**: prepared once and sent again and again, customers in turn, so that the generator costs
//! as little as it can and the server's caches see different customers. **Appointments**: visits as the
//! drive leads them, each going on when it is answered. At every moment of the plan the next visit that
//! is ready sends its next request, and if none is, somebody new comes: the rate is kept whatever the
//! server does, and who waits is the visit, not the load.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::visit::customers::Customer;
use crate::visit::message::{
    Answer, Appointment, Ask, BATCH_EVENTS_MAX, Event, PHASES, Person, PlacementAsk, Trigger,
};
use crate::visit::visitor::Visitor;
use crate::visit::walk::{Line, walk};

use super::wire::{Prepared, Reply, Writer};

/// Visits that are ready ahead of their moment: as many as may fall due before their tasks run again.
const SPARE: usize = 64;
/// Decisions that are prepared, all customers over; beyond it the customers would not fit in memory.
const PREPARED_MAX: usize = 100_000;

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Whole visits: phases, triggers, decisions, impressions, clicks, orders, conversions.
    Appointment,
    /// Decisions only.
    Decisions,
}

/// What the requests are made of.
#[derive(Clone, Debug)]
pub struct Cast {
    pub scenario: Scenario,
    pub customers: Arc<Vec<Customer>>,
    pub seed: u64,
    /// In place of the demo catalog's, in every phase, with how many offers each.
    pub placements: Vec<String>,
    /// Offers asked for at each placement of a decision.
    pub offers: u32,
    /// The phase that decisions are in.
    pub phase: &'static str,
}

/// A request without its moment.
#[derive(Debug)]
pub struct Draft {
    pub prepared: Prepared,
    pub reply: Option<oneshot::Sender<Option<Reply>>>,
}

impl From<Prepared> for Draft {
    fn from(prepared: Prepared) -> Draft {
        Draft {
            prepared,
            reply: None,
        }
    }
}

/// Gives one request after another.
pub enum Source {
    Decisions {
        prepared: Vec<Prepared>,
        next: Cell<usize>,
    },
    Visits(Rc<Visits>),
}

impl Source {
    /// The source of one of several generators: each begins with other customers.
    pub fn new(cast: &Cast, writer: &Writer, generator: usize, of: usize) -> Source {
        match cast.scenario {
            Scenario::Decisions => {
                let prepared = decisions(cast, writer, PREPARED_MAX);
                Source::Decisions {
                    next: Cell::new(prepared.len() * generator / of),
                    prepared,
                }
            }
            Scenario::Appointment => Source::Visits(Rc::new(Visits {
                cast: cast.clone(),
                writer: writer.clone(),
                ready: RefCell::default(),
                next: Cell::new(generator),
                of,
                starting: Cell::new(0),
            })),
        }
    }

    /// The next request, if any is ready; visits get ready when other tasks have run.
    pub fn take(&self) -> Option<Draft> {
        match self {
            Source::Decisions { prepared, next } => {
                let at = next.get();
                next.set((at + 1) % prepared.len());
                Some(prepared[at].clone().into())
            }
            Source::Visits(visits) => {
                let draft = visits.ready.borrow_mut().pop_front();
                visits.keep_spare();
                draft
            }
        }
    }
}

/// A decision for the first customer.
pub fn first_decision(cast: &Cast, writer: &Writer) -> Prepared {
    decisions(cast, writer, 1).remove(0)
}

/// A decision for each customer, in one phase.
fn decisions(cast: &Cast, writer: &Writer, most: usize) -> Vec<Prepared> {
    let customers = cast.customers.iter().take(most).enumerate();
    let prepared = customers.map(|(number, customer)| {
        let visitor = Visitor::new(cast.seed, number, customer);
        let triggers = [("map_viewed", 3, 4_200), ("eta_viewed", 1, 900)];
        let triggers = triggers.map(|(name, count, age_ms)| Trigger {
            name,
            count,
            age_ms,
        });
        let placements = cast.placements.iter().map(|id| PlacementAsk {
            id,
            count: cast.offers,
            exclude_offers: &[],
        });
        writer.ask(&Ask {
            request_id: format!("{}-{}", cast.seed, customer.id),
            channel: "web",
            locale: visitor.locale,
            device: visitor.device,
            appointment: Appointment {
                id: &visitor.appointment_id,
                phase: cast.phase,
                job_type: visitor.job_type,
                eta_seconds: Some(1_260),
                delay_seconds: visitor.delay_seconds,
                reschedules: visitor.reschedules,
                technician: &visitor.technician,
            },
            customer: Person {
                id: &customer.id,
                features: &customer.features,
                segments: &visitor.segments,
                products: &visitor.products,
                consent: visitor.consent,
                care: visitor.care,
            },
            triggers: &triggers,
            placements: placements.collect(),
            gpc: visitor.gpc,
        })
    });
    prepared.collect()
}

/// The phase of that name.
pub fn phase(name: &str) -> Option<&'static str> {
    PHASES.into_iter().find(|phase| *phase == name)
}

/// Visits on their way.
pub struct Visits {
    cast: Cast,
    writer: Writer,
    /// Requests that wait for their moment.
    ready: RefCell<VecDeque<Draft>>,
    /// The next visit to begin; customers come again with other appointments.
    next: Cell<usize>,
    of: usize,
    /// Visits begun whose first request is not ready yet.
    starting: Cell<usize>,
}

impl Visits {
    /// Begins visits until enough requests are ready or about to be.
    pub fn keep_spare(self: &Rc<Visits>) {
        while self.ready.borrow().len() + self.starting.get() < SPARE {
            self.begin();
        }
    }

    fn begin(self: &Rc<Visits>) {
        let number = self.next.get();
        self.next.set(number + self.of);
        self.starting.set(self.starting.get() + 1);
        let visits = self.clone();
        tokio::task::spawn_local(async move {
            let customers = visits.cast.customers.clone();
            let (lap, at) = (number / customers.len(), number % customers.len());
            let seed = visits.cast.seed.wrapping_add(lap as u64);
            let visitor = Visitor::new(seed, at, &customers[at]);
            let mut line = VisitLine {
                visits: &visits,
                began: false,
            };
            let walked = walk(&visitor, &visits.cast.placements, &mut line, || true).await;
            let Ok(_) = walked;
        });
    }
}

/// Hands a visit's requests to the plan.
struct VisitLine<'a> {
    visits: &'a Visits,
    began: bool,
}

impl VisitLine<'_> {
    async fn send(&mut self, prepared: Prepared) -> Option<Reply> {
        if !std::mem::replace(&mut self.began, true) {
            let starting = &self.visits.starting;
            starting.set(starting.get() - 1);
        }
        let (reply, answer) = oneshot::channel();
        let draft = Draft {
            prepared,
            reply: Some(reply),
        };
        self.visits.ready.borrow_mut().push_back(draft);
        answer.await.ok().flatten()
    }
}

impl Line for VisitLine<'_> {
    type Stopped = Infallible;

    async fn decide(
        &mut self,
        _: usize,
        _: &'static str,
        ask: &Ask<'_>,
    ) -> Result<Option<Answer>, Infallible> {
        match self.send(self.visits.writer.ask(ask)).await {
            Some(Reply::Decision(answer)) => Ok(Some(answer)),
            _ => Ok(None),
        }
    }

    /// What is not taken is lost to this visit: it is counted, and the load goes on.
    async fn record(&mut self, _: usize, events: Vec<Event>) -> Result<(), Infallible> {
        for batch in events.chunks(BATCH_EVENTS_MAX) {
            self.send(self.visits.writer.events(batch)).await;
        }
        Ok(())
    }
}
