//! One call: from a request's numbers to ranks, and from there to sums by one of the methods.

use super::columns::{Columns, Rank, SEARCHED};
use super::kernel::{BLOCK, Ranks};
use super::known::Table;
use super::masks::Masks;
use super::residual::{Kept, Residual};
use super::simd::{Simd, Work};
use super::walk::{self, Walk};
use super::word::TreeWord;
use super::{AnyMasks, Layout, Method};
use crate::model::{Batch, Roster};

/// What sums start from: adding to it changes nothing, not even the sign of a zero. It is what
/// `Iterator::sum` starts from, too.
pub(super) const NOTHING: f64 = -0.0;
/// Stands for an input or column that all candidates share.
const SHARED: u32 = u32::MAX;

/// Buffers of all methods. They grow to the model's needs and stay.
#[derive(Debug, Default)]
pub(in crate::model) struct Scratch {
    inputs: Inputs,
    narrow: WordScratch<u32>,
    wide: WordScratch<u64>,
    pruned: Pruned,
    /// Ranks of a few candidates, row after row.
    rows: Vec<Rank>,
}

/// A request's inputs as ranks.
#[derive(Debug, Default)]
struct Inputs {
    /// By column: the rank; 0 where candidates differ.
    shared: Vec<Rank>,
    /// By column: the value's place among a candidate's own, or [`SHARED`].
    places: Vec<u32>,
    /// The columns that differ, with that place.
    own: Vec<(u32, u32)>,
    /// By input: its place among a candidate's own, or [`SHARED`].
    by_input: Vec<u32>,
}

#[derive(Debug, Default)]
struct WordScratch<W> {
    /// By part, the leaves within reach of every candidate.
    shared: Vec<W>,
    /// And of one.
    own: Vec<W>,
    kept: Kept<W>,
}

#[derive(Debug, Default)]
struct Pruned {
    /// What is left in the context that `of` tells.
    residual: Residual,
    /// The evaluator, what was shared, and its ranks.
    of: (u64, Vec<u32>, Vec<Rank>),
    /// By column, a block's ranks.
    ranks: Vec<Ranks>,
}

/// A call on its way through [`super::Level::run`].
pub(super) struct Call<'a> {
    pub id: u64,
    pub method: Method,
    pub layout: &'a Layout,
    pub batch: &'a Batch<'a>,
    pub scratch: &'a mut Scratch,
    pub out: &'a mut [f64],
}

/// The same for candidates that were struck out beforehand.
pub(super) struct KnownCall<'a> {
    pub columns: &'a Columns,
    pub struck: StruckFor<'a>,
    pub shared: &'a [f64],
    pub own_inputs: &'a [u16],
    pub rows: &'a [u32],
    pub scratch: &'a mut Scratch,
    pub out: &'a mut [f64],
}

/// Masks and what they struck out of each row, in words of the same width.
pub(super) enum StruckFor<'a> {
    Narrow(&'a Masks<u32>, &'a Table<u32>),
    Wide(&'a Masks<u64>, &'a Table<u64>),
}

impl Work for Call<'_> {
    #[inline(always)]
    fn run(self, simd: impl Simd) {
        let Call {
            id,
            method,
            layout,
            batch,
            scratch,
            out,
        } = self;
        let columns = &layout.columns;
        let inputs = &mut scratch.inputs;
        inputs.bind(columns, batch.shared, batch.own_inputs);
        match (method, &layout.masks) {
            (Method::Lookup, Some(AnyMasks::Narrow(masks))) => {
                look_up(columns, masks, inputs, &mut scratch.narrow, batch, out);
            }
            (Method::Lookup, Some(AnyMasks::Wide(masks))) => {
                look_up(columns, masks, inputs, &mut scratch.wide, batch, out);
            }
            (Method::Pruned, Some(masks)) => {
                let pruned = &mut scratch.pruned;
                match masks {
                    AnyMasks::Narrow(masks) => {
                        pruned.prune(simd, id, columns, masks, inputs, &mut scratch.narrow);
                    }
                    AnyMasks::Wide(masks) => {
                        pruned.prune(simd, id, columns, masks, inputs, &mut scratch.wide);
                    }
                }
                pruned.score(simd, columns, inputs, batch, out);
            }
            _ => walk_all(columns, &layout.walk, inputs, &mut scratch.rows, batch, out),
        }
    }
}

impl Work for KnownCall<'_> {
    #[inline(always)]
    fn run(self, simd: impl Simd) {
        let KnownCall {
            columns,
            struck,
            shared,
            own_inputs,
            rows,
            scratch,
            out,
        } = self;
        let inputs = &mut scratch.inputs;
        inputs.bind(columns, shared, own_inputs);
        match struck {
            StruckFor::Narrow(masks, table) => {
                let words = &mut scratch.narrow.shared;
                masks.all(words);
                masks.strike(columns, inputs.known(), words);
                table.add(simd, masks, words, rows, out);
            }
            StruckFor::Wide(masks, table) => {
                let words = &mut scratch.wide.shared;
                masks.all(words);
                masks.strike(columns, inputs.known(), words);
                table.add(simd, masks, words, rows, out);
            }
        }
    }
}

/// What the own inputs of each candidate leave within reach; `None` where they have none, or where that is
/// too much to keep.
pub(super) fn strike_rows<W: TreeWord>(
    columns: &Columns,
    masks: &Masks<W>,
    inputs: usize,
    roster: &Roster,
) -> Option<Table<W>> {
    let own_inputs = roster.own_inputs();
    if own_inputs.is_empty() {
        return None;
    }
    let rows = roster.own().chunks_exact(own_inputs.len());
    let mut table = Table::new(masks, rows.len())?;
    let mut bound = Inputs::default();
    bound.bind(columns, &vec![f64::NAN; inputs], own_inputs);
    let mut words = Vec::new();
    for row in rows {
        masks.all(&mut words);
        masks.strike(columns, bound.of(columns, row), &mut words);
        table.push(&words);
    }
    Some(table)
}

impl Inputs {
    /// Ranks what is shared, and notes what is not.
    #[inline(always)]
    fn bind(&mut self, columns: &Columns, shared: &[f64], own_inputs: &[u16]) {
        self.by_input.clear();
        self.by_input.resize(shared.len(), SHARED);
        for (place, &input) in (0..).zip(own_inputs) {
            self.by_input[usize::from(input)] = place;
        }
        self.shared.clear();
        self.places.clear();
        self.own.clear();
        for column in 0..columns.len() {
            let input = columns.input(column);
            let place = self.by_input[input];
            self.places.push(place);
            if place == SHARED {
                self.shared.push(columns.rank(column, shared[input]));
            } else {
                self.shared.push(0);
                self.own.push((column as u32, place));
            }
        }
    }

    /// The shared columns and their ranks.
    #[inline(always)]
    fn known(&self) -> impl Iterator<Item = (usize, Rank)> {
        let columns = self.places.iter().zip(&self.shared).enumerate();
        columns.filter_map(|(column, (&place, &rank))| (place == SHARED).then_some((column, rank)))
    }

    /// The other columns and one candidate's ranks.
    #[inline(always)]
    fn of(&self, columns: &Columns, own: &[f64]) -> impl Iterator<Item = (usize, Rank)> {
        self.own.iter().map(|&(column, place)| {
            let column = column as usize;
            (column, columns.rank(column, own[place as usize]))
        })
    }
}

/// The method *lookup*.
#[inline(always)]
fn look_up<W: TreeWord>(
    columns: &Columns,
    masks: &Masks<W>,
    inputs: &Inputs,
    words: &mut WordScratch<W>,
    batch: &Batch<'_>,
    out: &mut [f64],
) {
    masks.all(&mut words.shared);
    masks.strike(columns, inputs.known(), &mut words.shared);
    for (candidate, sum) in out.iter_mut().enumerate() {
        let own = batch.own_of(candidate);
        words.own.clone_from(&words.shared);
        masks.strike(columns, inputs.of(columns, own), &mut words.own);
        let ends = words.own[..masks.parts()].iter().enumerate();
        let leaves = ends.map(|(part, word)| masks.leaves(part)[word.lowest() as usize]);
        *sum = leaves.fold(NOTHING, |sum, leaf| sum + leaf);
    }
}

/// The method *pruned*.
impl Pruned {
    /// Makes the residual forest, unless it is there from the last call.
    #[inline(always)]
    fn prune<W: TreeWord>(
        &mut self,
        simd: impl Simd,
        id: u64,
        columns: &Columns,
        masks: &Masks<W>,
        inputs: &Inputs,
        words: &mut WordScratch<W>,
    ) {
        let (of, places, shared) = &mut self.of;
        if *of == id && *places == inputs.places && *shared == inputs.shared {
            return;
        }
        *of = id;
        places.clone_from(&inputs.places);
        shared.clone_from(&inputs.shared);
        masks.all(&mut words.shared);
        masks.strike(columns, inputs.known(), &mut words.shared);
        let usual = inputs
            .own
            .iter()
            .all(|&(column, _)| masks.is_usually_own(column as usize));
        self.residual
            .prune(simd, masks, &words.shared, columns, usual, &mut words.kept);
    }

    #[inline(always)]
    fn score(
        &mut self,
        simd: impl Simd,
        columns: &Columns,
        inputs: &Inputs,
        batch: &Batch<'_>,
        out: &mut [f64],
    ) {
        let width = columns.len() + self.residual.lookups.capacity();
        self.ranks.resize(width, [0; BLOCK]);
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            self.rank(columns, inputs, batch, first..first + out.len());
            self.residual.look_up(columns, &mut self.ranks);
            let mut sums = [NOTHING; BLOCK];
            simd.add(&self.residual, &self.ranks, out.len(), &mut sums);
            out.copy_from_slice(&sums[..out.len()]);
        }
    }

    /// Ranks a block of candidates, column after column.
    #[inline(always)]
    fn rank(
        &mut self,
        columns: &Columns,
        inputs: &Inputs,
        batch: &Batch<'_>,
        candidates: std::ops::Range<usize>,
    ) {
        let width = batch.own_inputs.len();
        let own = &batch.own[candidates.start * width..candidates.end * width];
        for &(column, place) in &inputs.own {
            let column = column as usize;
            let (ranks, _) = self.ranks[column].as_chunks_mut::<SEARCHED>();
            let rows = own.chunks(width * SEARCHED);
            for (ranks, rows) in ranks.iter_mut().zip(rows) {
                let mut values = [0.0; SEARCHED];
                for (value, row) in values.iter_mut().zip(rows.chunks_exact(width)) {
                    *value = row[place as usize];
                }
                *ranks = columns.rank_all(column, values);
            }
        }
    }
}

/// The method *walk*.
#[inline(always)]
fn walk_all(
    columns: &Columns,
    walk: &Walk,
    inputs: &Inputs,
    rows: &mut Vec<Rank>,
    batch: &Batch<'_>,
    out: &mut [f64],
) {
    rows.clear();
    for _ in 0..walk::CANDIDATES.min(out.len()) {
        rows.extend_from_slice(&inputs.shared);
    }
    let fill = |row: &mut [Rank], candidate: usize| {
        for (column, rank) in inputs.of(columns, batch.own_of(candidate)) {
            row[column] = rank;
        }
    };
    let (blocks, rest) = out.as_chunks_mut::<{ walk::CANDIDATES }>();
    let done = blocks.len() * walk::CANDIDATES;
    for (block, sums) in blocks.iter_mut().enumerate() {
        for (lane, row) in rows.chunks_exact_mut(columns.len()).enumerate() {
            fill(row, block * walk::CANDIDATES + lane);
        }
        *sums = [NOTHING; walk::CANDIDATES];
        walk.add(columns, rows, sums);
    }
    for (candidate, sum) in rest.iter_mut().enumerate() {
        fill(&mut rows[..columns.len()], done + candidate);
        *sum = NOTHING;
        walk.add_one(columns, rows, sum);
    }
}
