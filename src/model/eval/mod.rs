//! Adding up the trees of an ensemble, as fast as the CPU at hand can.
//!
//! One ensemble, several ways to evaluate it. All of them end at the same leaf for every row, and all of
//! them add the leaves' values on 64 bits in the order of the trees, so they give the same *bits* as
//! [`Ensemble::raw_row`]: which one runs is a matter of time alone.
//!
//! - *Walk* goes from node to node, several walks side by side. Any tree, any CPU. See `walk`.
//! - *Lookup* strikes out the leaves that each input rules out, most of them from a table, until one leaf
//!   per tree is left. For a few candidates. See `masks`.
//! - *Pruned* does that once per request for the inputs that all candidates share, and asks only the
//!   splits that are still open for each candidate, up to 128 candidates side by side. See `residual`,
//!   `kernel` and `simd`. What was left for the last context is kept, so that a request's second
//!   placement does not pay again.
//!
//! Candidates that are known beforehand, as a catalog's offers are, are faster than by any of these: what
//! their own inputs rule out is struck out once for all requests. See `known`.
//!
//! All start from ranks instead of numbers: see `columns`.

mod call;
mod choice;
mod columns;
mod kernel;
mod known;
mod masks;
mod parts;
mod residual;
mod simd;
#[cfg(test)]
mod tests;
mod walk;
mod word;

pub use choice::Method;
pub use simd::Level;

pub(super) use call::Scratch;

use std::sync::atomic::{AtomicU64, Ordering};

use super::ensemble::Ensemble;
use super::{Batch, Roster, ScorerScratch};
use call::{Call, KnownCall, StruckFor};
use columns::Columns;
use known::Table;
use masks::Masks;
use walk::Walk;

/// Parts of an ensemble's trees at most, and splits on categories beside them. More than that is walked:
/// it is far from a deadline anyway.
const PARTS_MAX: usize = 20_000;

/// An ensemble, or a part of it, that an evaluator does not take.
#[derive(Clone, Copy, Debug)]
struct Unsupported;

/// An ensemble laid out for speed.
#[derive(Clone, Debug)]
pub struct Evaluator {
    /// Tells what a scratch still holds of this evaluator from what it holds of another.
    id: u64,
    level: Level,
    layout: Option<Layout>,
}

/// What the evaluators read. Without it the ensemble walks itself.
#[derive(Clone, Debug)]
struct Layout {
    columns: Columns,
    walk: Walk,
    masks: Option<AnyMasks>,
}

/// Candidates that were struck out beforehand, by the evaluator with this id.
#[derive(Clone, Debug)]
pub(super) struct Struck {
    id: u64,
    table: AnyTable,
}

#[derive(Clone, Debug)]
enum AnyTable {
    Narrow(Table<u32>),
    Wide(Table<u64>),
}

/// Words as wide as the largest tree asks for.
#[derive(Clone, Debug)]
enum AnyMasks {
    Narrow(Masks<u32>),
    Wide(Masks<u64>),
}

impl Evaluator {
    /// Lays an ensemble out. `own_inputs` are those that usually differ between candidates; that others do
    /// is slower, not wrong.
    #[must_use]
    pub fn new(ensemble: &Ensemble, own_inputs: &[u16]) -> Evaluator {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Evaluator {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            level: Level::detect(),
            layout: Layout::new(ensemble, own_inputs).ok(),
        }
    }

    /// The same with narrower registers, for comparisons.
    #[must_use]
    pub fn at_level(mut self, level: Level) -> Evaluator {
        self.level = level;
        self
    }

    /// Writes the raw score of each candidate into `out`. The ensemble must be the one of [`Evaluator::new`].
    pub fn raw(
        &self,
        ensemble: &Ensemble,
        batch: &Batch<'_>,
        scratch: &mut ScorerScratch,
        out: &mut [f64],
    ) {
        let method = self.method(batch, out.len());
        self.raw_by(method, ensemble, batch, scratch, out);
    }

    /// The method that [`Evaluator::raw`] takes for so many candidates.
    #[must_use]
    pub fn method(&self, batch: &Batch<'_>, candidates: usize) -> Method {
        (self.layout.as_ref()).map_or(Method::Reference, |layout| {
            choice::fastest(layout, self.level, batch.own_inputs, candidates)
        })
    }

    /// As [`Evaluator::raw`] by a given method, or the nearest one that takes this ensemble.
    pub fn raw_by(
        &self,
        method: Method,
        ensemble: &Ensemble,
        batch: &Batch<'_>,
        scratch: &mut ScorerScratch,
        out: &mut [f64],
    ) {
        let Some(layout) = (self.layout.as_ref()).filter(|_| method != Method::Reference) else {
            return ensemble.raw(batch, scratch, out);
        };
        self.level.run(Call {
            id: self.id,
            method,
            layout,
            batch,
            scratch: &mut scratch.eval,
            out,
        });
        for raw in out {
            *raw = ensemble.finish(*raw);
        }
    }
}

/// Candidates that are known beforehand.
impl Evaluator {
    /// The roster with what its candidates' own inputs rule out struck out, for a model of so many `inputs`;
    /// as it is where that would not help, or take more than 64 MB.
    #[must_use]
    pub fn strike(&self, inputs: usize, mut roster: Roster) -> Roster {
        roster.struck = self.struck(inputs, &roster);
        roster
    }

    fn struck(&self, inputs: usize, roster: &Roster) -> Option<Struck> {
        let layout = self.layout.as_ref()?;
        let columns = &layout.columns;
        let table = match layout.masks.as_ref()? {
            AnyMasks::Narrow(masks) => {
                AnyTable::Narrow(call::strike_rows(columns, masks, inputs, roster)?)
            }
            AnyMasks::Wide(masks) => {
                AnyTable::Wide(call::strike_rows(columns, masks, inputs, roster)?)
            }
        };
        Some(Struck { id: self.id, table })
    }

    /// What was struck out of a roster, where it is this evaluator's and the fastest way for so many candidates.
    fn struck_for<'a>(
        &'a self,
        roster: &'a Roster,
        candidates: usize,
    ) -> Option<(&'a Layout, StruckFor<'a>)> {
        let layout = self.layout.as_ref()?;
        let struck = (roster.struck.as_ref()).filter(|struck| struck.id == self.id)?;
        if choice::is_walk_faster_than_known(layout, roster.own_inputs(), candidates) {
            return None;
        }
        let struck = match (layout.masks.as_ref()?, &struck.table) {
            (AnyMasks::Narrow(masks), AnyTable::Narrow(table)) => StruckFor::Narrow(masks, table),
            (AnyMasks::Wide(masks), AnyTable::Wide(table)) => StruckFor::Wide(masks, table),
            _ => return None,
        };
        Some((layout, struck))
    }

    /// Writes the raw score of each of the `rows` of a roster into `out`.
    pub fn raw_known(
        &self,
        ensemble: &Ensemble,
        shared: &[f64],
        roster: &Roster,
        rows: &[u32],
        scratch: &mut ScorerScratch,
        out: &mut [f64],
    ) {
        let Some((layout, struck)) = self.struck_for(roster, rows.len()) else {
            return roster.with_batch(shared, rows, scratch, |batch, scratch| {
                self.raw(ensemble, batch, scratch, out);
            });
        };
        self.level.run(KnownCall {
            columns: &layout.columns,
            struck,
            shared,
            own_inputs: roster.own_inputs(),
            rows,
            scratch: &mut scratch.eval,
            out,
        });
        for raw in out {
            *raw = ensemble.finish(*raw);
        }
    }
}

impl Layout {
    fn new(ensemble: &Ensemble, own_inputs: &[u16]) -> Result<Layout, Unsupported> {
        let (columns, tests) = Columns::new(ensemble)?;
        let own: Vec<bool> = (0..columns.len())
            .map(|column| {
                own_inputs
                    .iter()
                    .any(|&i| usize::from(i) == columns.input(column))
            })
            .collect();
        let categories = tests.iter().filter(|test| test.set != 0).count();
        let parts = parts::of(ensemble, &tests).ok();
        let masks = (parts.filter(|_| categories <= PARTS_MAX)).map(|parts| {
            if parts.iter().all(|part| part.leaves.len() <= 32) {
                AnyMasks::Narrow(Masks::new(&parts, &columns, &own))
            } else {
                AnyMasks::Wide(Masks::new(&parts, &columns, &own))
            }
        });
        Ok(Layout {
            walk: Walk::new(ensemble, &tests),
            columns,
            masks,
        })
    }
}
