//! Which leaves a row can still end at, given some of its inputs: QuickScorer, with both sides and tables.
//!
//! QuickScorer (Lucchese et al., SIGIR 2015) looks at splits input by input, thresholds ascending: those
//! below the value go right and strike out the leaves to their left. Here those above strike out the
//! leaves to their right as well, so that what remains is *exactly* what is reachable when only some
//! inputs are known; and when all are known, one leaf.
//!
//! A value's rank says how many of a column's splits go right. The struck-out leaves of all trees at
//! such a cut are tabulated for every [`Masks::stride`]-th cut: a row of the table holds, tree by tree,
//! what the splits outside one stretch strike out. A value costs one pass over its row and the splits
//! of one stretch: for 15,000 splits that is a tenth of applying each.

use super::columns::{Columns, Rank};
use super::parts::{Part, Split};
use super::residual;
use super::simd::{EIGHT, SIXTEEN};
use super::word::Word;

/// The tables' size at most: they compete with everything else for the second-level cache.
const TABLE_BYTES_MAX: usize = 2 << 20;
/// The shortest stretch: below it the table grows and the time does not fall.
const STRIDE_MIN: usize = 16;

/// All parts of an ensemble, seen from their inputs and from their splits.
#[derive(Clone, Debug)]
pub(super) struct Masks<W> {
    /// The leaves of each part that exist.
    full: Vec<W>,
    /// Where each part's leaves begin; one more at the end.
    leaves_from: Vec<u32>,
    leaves: Vec<f64>,
    columns: Vec<ColumnSplits>,
    by_column: ByColumn<W>,
    /// Where each column's ranks begin in `cuts`.
    cuts: Vec<u32>,
    table: Vec<W>,
    stride: usize,
    usually_own: Vec<bool>,
    categories: usize,
    pub by_part: ByPart<W>,
}

/// One column's splits, and its rows of the table.
#[derive(Clone, Copy, Debug)]
struct ColumnSplits {
    first: u32,
    count: u32,
    /// Of `cuts`: how many splits go right at each rank.
    cuts: u32,
    /// First row of the table; only where there is more than one stretch.
    row: u32,
    category: bool,
}

/// Splits in the order of their columns, therein of their thresholds.
#[derive(Clone, Debug, Default)]
struct ByColumn<W> {
    part: Vec<u32>,
    /// What remains where it goes right, and where it goes left.
    right: Vec<W>,
    left: Vec<W>,
    /// Of categories.
    set: Vec<u32>,
}

/// Splits in the order of their parts, therein those first that ask
/// about inputs which usually differ between candidates. Padded: sixteen are looked at
/// together, so that the last ones need some after them.
#[derive(Clone, Debug, Default)]
pub(super) struct ByPart<W> {
    /// Where each part's splits begin; one more at the end.
    pub from: Vec<u32>,
    /// Where those of each part end that ask about inputs which usually differ between candidates.
    pub own_until: Vec<u32>,
    /// The leaves on either side.
    pub left: Vec<W>,
    pub right: Vec<W>,
    /// Column and place; see [`residual::Split`].
    pub test: Vec<u32>,
    /// Which set each looks into, 0 for numbers.
    pub set: Vec<u32>,
    /// Whether a part has splits on categories.
    pub category: Vec<bool>,
}

impl<W: Word> Masks<W> {
    /// `own` tells which columns usually differ between candidates.
    pub fn new(parts: &[Part], columns: &Columns, own: &[bool]) -> Masks<W> {
        let mut masks = Masks {
            full: Vec::with_capacity(parts.len()),
            leaves_from: vec![0],
            leaves: Vec::new(),
            columns: Vec::with_capacity(columns.len()),
            by_column: ByColumn::default(),
            cuts: Vec::new(),
            table: Vec::new(),
            stride: STRIDE_MIN,
            usually_own: own.to_vec(),
            categories: 0,
            by_part: ByPart {
                from: vec![0],
                ..ByPart::default()
            },
        };
        for part in parts {
            masks.add(part, own);
        }
        masks.leaves.extend([0.0; EIGHT]);
        masks.categories = masks.by_part.set.iter().filter(|&&set| set != 0).count();
        masks.order_by_column(columns);
        masks.tabulate();
        masks.by_part.left.extend([W::NONE; SIXTEEN]);
        masks.by_part.right.extend([W::NONE; SIXTEEN]);
        masks.by_part.test.extend([0; SIXTEEN]);
        masks
    }

    pub fn parts(&self) -> usize {
        self.full.len()
    }

    /// Values of a part's leaves, and [`EIGHT`] more or less readable ones.
    #[inline(always)]
    pub fn leaves(&self, part: usize) -> &[f64] {
        let end = self.leaves_from[part + 1] as usize + EIGHT;
        &self.leaves[self.leaves_from[part] as usize..end]
    }

    /// How many leaves the trees have together.
    pub fn leaves_in_all(&self) -> usize {
        self.leaves.len() - EIGHT
    }

    /// How many splits the parts have together.
    pub fn splits(&self) -> usize {
        self.by_column.part.len()
    }

    /// How many of them ask for a category.
    pub fn categories(&self) -> usize {
        self.categories
    }

    /// How many registers and splits a column's value touches in [`Masks::strike`].
    pub fn work_per_column(&self) -> usize {
        self.parts() * W::BITS as usize / 512 + self.stride
    }

    /// Whether a column was foreseen to differ between candidates.
    #[inline(always)]
    pub fn is_usually_own(&self, column: usize) -> bool {
        self.usually_own[column]
    }

    /// Every leaf of every part.
    #[inline(always)]
    pub fn all(&self, words: &mut Vec<W>) {
        words.clear();
        words.extend_from_slice(&self.full);
    }

    /// Strikes out what cannot be reached where the columns have these ranks.
    #[inline(always)]
    pub fn strike(
        &self,
        columns: &Columns,
        known: impl Iterator<Item = (usize, Rank)>,
        words: &mut [W],
    ) {
        for (index, rank) in known {
            let column = self.columns[index];
            if column.count == 0 {
                continue;
            }
            if column.category {
                self.strike_categories(columns, column, rank, words);
            } else {
                self.strike_numbers(column, rank, words);
            }
        }
    }

    #[inline(always)]
    fn strike_numbers(&self, column: ColumnSplits, rank: Rank, words: &mut [W]) {
        let count = column.count as usize;
        let right = if rank == Rank::MAX {
            count
        } else {
            self.cuts[column.cuts as usize + rank as usize] as usize
        };
        let stretches = count.div_ceil(self.stride);
        let stretch = (right / self.stride).min(stretches - 1);
        if stretches > 1 {
            let row = (column.row as usize + stretch) * words.len();
            let row = &self.table[row..][..words.len()];
            for (word, keep) in words.iter_mut().zip(row) {
                *word &= *keep;
            }
        }
        let begin = stretch * self.stride;
        let end = count.min(begin + self.stride);
        let first = column.first as usize;
        self.apply(first + begin..first + right, &self.by_column.right, words);
        self.apply(first + right..first + end, &self.by_column.left, words);
    }

    #[inline(always)]
    fn apply(&self, splits: std::ops::Range<usize>, keep: &[W], words: &mut [W]) {
        for (&part, &keep) in self.by_column.part[splits.clone()]
            .iter()
            .zip(&keep[splits])
        {
            words[part as usize] &= keep;
        }
    }

    #[inline(always)]
    fn strike_categories(
        &self,
        columns: &Columns,
        column: ColumnSplits,
        code: Rank,
        words: &mut [W],
    ) {
        for split in column.first as usize..(column.first + column.count) as usize {
            let outside = columns.is_outside(self.by_column.set[split], code);
            let keep = if outside {
                self.by_column.right[split]
            } else {
                self.by_column.left[split]
            };
            words[self.by_column.part[split] as usize] &= keep;
        }
    }

    fn add(&mut self, part: &Part, own: &[bool]) {
        self.full.push(W::range(0, part.leaves.len() as u8));
        self.leaves.extend_from_slice(&part.leaves);
        self.leaves_from.push(self.leaves.len() as u32);
        let is_own = |split: &&Split| own[usize::from(split.test.column)];
        let (first, last): (Vec<&Split>, Vec<&Split>) = part.splits.iter().partition(is_own);
        let own_until = self.by_part.test.len() + first.len();
        self.by_part.own_until.push(own_until as u32);
        for split in first.into_iter().chain(last) {
            self.by_part.left.push(W::range(split.first, split.middle));
            self.by_part.right.push(W::range(split.middle, split.end));
            self.by_part.test.push(residual::Split::packed(split.test));
            self.by_part.set.push(split.test.set);
        }
        let category = part.splits.iter().any(|split| split.test.set != 0);
        self.by_part.category.push(category);
        self.by_part.from.push(self.by_part.test.len() as u32);
    }

    fn order_by_column(&mut self, columns: &Columns) {
        let by_part = &self.by_part;
        let mut order: Vec<(u16, Rank, u32, u32)> = Vec::with_capacity(by_part.test.len());
        for (part, ends) in (0_u32..).zip(by_part.from.windows(2)) {
            let splits = ends[0]..ends[1];
            order.extend(splits.map(|split| {
                let test = residual::Split::of(by_part.test[split as usize]);
                (test.column(), test.place(), part, split)
            }));
        }
        order.sort_unstable();
        let mut rest = order.as_slice();
        for index in 0..columns.len() {
            let count = rest.partition_point(|&(column, ..)| usize::from(column) <= index);
            let (splits, others) = rest.split_at(count);
            rest = others;
            self.columns.push(ColumnSplits {
                first: self.by_column.part.len() as u32,
                count: count as u32,
                cuts: self.cuts.len() as u32,
                row: 0,
                category: columns.ranks(index) == 0,
            });
            for rank in 0..columns.ranks(index) {
                let right = splits.partition_point(|&(_, place, ..)| (place as usize) < rank);
                self.cuts.push(right as u32);
            }
            for &(_, _, part, split) in splits {
                let split = split as usize;
                self.by_column.part.push(part);
                self.by_column.right.push(!by_part.left[split]);
                self.by_column.left.push(!by_part.right[split]);
                self.by_column.set.push(by_part.set[split]);
            }
        }
    }

    /// Fills the table with the shortest stretches for which it is small enough.
    fn tabulate(&mut self) {
        let row_bytes = self.parts() * size_of::<W>();
        let rows = |stride: usize| -> usize {
            let numbers = self.columns.iter().filter(|c| !c.category);
            let stretches = numbers.map(|c| (c.count as usize).div_ceil(stride));
            stretches.filter(|&s| s > 1).sum()
        };
        while rows(self.stride) * row_bytes > TABLE_BYTES_MAX {
            self.stride *= 2;
        }
        self.table = vec![W::ALL; rows(self.stride) * self.parts()];
        let mut row = 0;
        for column in &mut self.columns {
            let stretches = (column.count as usize).div_ceil(self.stride);
            if column.category || stretches < 2 {
                continue;
            }
            column.row = row as u32;
            row += stretches;
        }
        for column in self.columns.clone() {
            self.tabulate_column(column);
        }
    }

    fn tabulate_column(&mut self, column: ColumnSplits) {
        let stretches = (column.count as usize).div_ceil(self.stride);
        if column.category || stretches < 2 {
            return;
        }
        let parts = self.parts();
        let splits = |stretch: usize, stride: usize| {
            let begin = column.first as usize + stretch * stride;
            begin..(begin + stride).min((column.first + column.count) as usize)
        };
        let mut running = vec![W::ALL; parts];
        // What the stretches below strike out, then what those above do.
        for (stretches, keep) in [
            (Vec::from_iter(0..stretches), &self.by_column.right),
            (Vec::from_iter((0..stretches).rev()), &self.by_column.left),
        ] {
            running.fill(W::ALL);
            for stretch in stretches {
                let row = (column.row as usize + stretch) * parts;
                for (cell, running) in self.table[row..][..parts].iter_mut().zip(&running) {
                    *cell &= *running;
                }
                for split in splits(stretch, self.stride) {
                    running[self.by_column.part[split] as usize] &= keep[split];
                }
            }
        }
    }
}
