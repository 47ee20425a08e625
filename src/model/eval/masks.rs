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
use super::parts::{LEAVES_MAX, Part, Split};
use super::residual;
use super::simd::SIXTEEN;
use super::word::Word;

/// The tables' size at most: they compete with everything else for the second-level cache.
const TABLE_BYTES_MAX: usize = 2 << 20;
/// The shortest stretch: below it the table grows and the time does not fall.
const STRIDE_MIN: usize = 16;

/// Leaf values that can be read from a part's first on: one more than a word has bits, so that no word,
/// not even an empty one, leads beyond them.
pub(super) const LEAVES_READ: usize = LEAVES_MAX + 1;

/// All parts of an ensemble, seen from their inputs and from their splits.
#[derive(Clone, Debug)]
pub(super) struct Masks<W> {
    /// The leaves of each part that exist, and no leaves of parts that do not: whole registers.
    full: Vec<[W; SIXTEEN]>,
    parts: usize,
    /// Where each part's leaves begin; one more at the end.
    leaves_from: Vec<u32>,
    leaves: Vec<f64>,
    columns: Vec<ColumnSplits>,
    by_column: ByColumn<W>,
    /// Where each column's ranks begin in `cuts`.
    cuts: Vec<u32>,
    table: Vec<[W; SIXTEEN]>,
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

/// Where a value falls in one column: the row of the table, and the splits that are not in it: those from
/// `begin` go right, those from `right` to before `end` left.
#[derive(Clone, Copy, Debug, Default)]
struct Stretch {
    row: u32,
    begin: u32,
    right: u32,
    end: u32,
}

/// Stands for the row of a column whose splits are a single stretch: nothing is struck out but by them.
const EVERYTHING: u32 = u32::MAX;
/// Rows of the table that are read side by side, so that the words between them stay in a register.
const STRETCHES: usize = 8;

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
            full: vec![[W::NONE; SIXTEEN]; parts.len().div_ceil(SIXTEEN)],
            parts: parts.len(),
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
        for (part, full) in parts.iter().zip(masks.full.as_flattened_mut()) {
            *full = W::range(0, part.leaves.len() as u8);
        }
        for part in parts {
            masks.add(part, own);
        }
        masks.leaves.extend([0.0; LEAVES_READ]);
        masks.categories = masks.by_part.set.iter().filter(|&&set| set != 0).count();
        masks.order_by_column(columns);
        masks.tabulate();
        masks.by_part.left.extend([W::NONE; SIXTEEN]);
        masks.by_part.right.extend([W::NONE; SIXTEEN]);
        masks.by_part.test.extend([0; SIXTEEN]);
        masks
    }

    pub fn parts(&self) -> usize {
        self.parts
    }

    /// How many words stand for all parts: some more, to fill a register.
    pub fn width(&self) -> usize {
        self.full.len() * SIXTEEN
    }

    /// Values of a part's leaves, and those after them: anything.
    #[inline(always)]
    pub fn leaves(&self, part: usize) -> &[f64; LEAVES_READ] {
        let from = &self.leaves[self.leaves_from[part] as usize..];
        from.first_chunk().expect("padded")
    }

    /// How many leaves a part has.
    #[inline(always)]
    pub fn leaves_of(&self, part: usize) -> usize {
        (self.leaves_from[part + 1] - self.leaves_from[part]) as usize
    }

    /// How many leaves the trees have together.
    pub fn leaves_in_all(&self) -> usize {
        self.leaves.len() - LEAVES_READ
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

    /// Every leaf of every part, [`Masks::width`] words.
    #[inline(always)]
    pub fn all(&self, words: &mut Vec<W>) {
        words.clear();
        words.extend_from_slice(self.full.as_flattened());
    }

    /// Strikes out what cannot be reached where the columns have these ranks.
    #[inline(always)]
    pub fn strike(
        &self,
        columns: &Columns,
        known: impl Iterator<Item = (usize, Rank)>,
        words: &mut [W],
    ) {
        let mut stretches = [Stretch::default(); STRETCHES];
        let mut waiting = 0;
        for (index, rank) in known {
            let column = self.columns[index];
            if column.count == 0 {
                continue;
            }
            if column.category {
                self.strike_categories(columns, column, rank, words);
                continue;
            }
            stretches[waiting] = self.stretch(column, rank);
            waiting += 1;
            if waiting == STRETCHES {
                self.strike_numbers(&stretches, words);
                waiting = 0;
            }
        }
        self.strike_numbers(&stretches[..waiting], words);
    }

    /// Where a rank falls among a column's splits.
    #[inline(always)]
    fn stretch(&self, column: ColumnSplits, rank: Rank) -> Stretch {
        let right = if rank == Rank::MAX {
            column.count
        } else {
            self.cuts[column.cuts as usize + rank as usize]
        };
        let stride = self.stride as u32;
        let stretches = column.count.div_ceil(stride);
        let stretch = (right / stride).min(stretches - 1);
        let begin = stretch * stride;
        Stretch {
            row: if stretches > 1 {
                column.row + stretch
            } else {
                EVERYTHING
            },
            begin: column.first + begin,
            right: column.first + right,
            end: column.first + column.count.min(begin + stride),
        }
    }

    /// Rows of the table first, all of them in one pass over the words, then the splits one by one.
    #[inline(always)]
    fn strike_numbers(&self, stretches: &[Stretch], words: &mut [W]) {
        let width = self.full.len();
        let mut rows = [&self.table[..0]; STRETCHES];
        let mut count = 0;
        for stretch in stretches.iter().filter(|s| s.row != EVERYTHING) {
            rows[count] = &self.table[stretch.row as usize * width..][..width];
            count += 1;
        }
        let (registers, _) = words.as_chunks_mut::<SIXTEEN>();
        for (i, register) in registers[..width].iter_mut().enumerate() {
            let mut left = *register;
            for row in &rows[..count] {
                for (word, keep) in left.iter_mut().zip(row[i]) {
                    *word &= keep;
                }
            }
            *register = left;
        }
        for stretch in stretches {
            let (begin, right, end) = (stretch.begin, stretch.right, stretch.end);
            let by_column = &self.by_column;
            self.apply(begin as usize..right as usize, &by_column.right, words);
            self.apply(right as usize..end as usize, &by_column.left, words);
        }
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
        let row_bytes = self.width() * size_of::<W>();
        let rows = |stride: usize| -> usize {
            let numbers = self.columns.iter().filter(|c| !c.category);
            let stretches = numbers.map(|c| (c.count as usize).div_ceil(stride));
            stretches.filter(|&s| s > 1).sum()
        };
        while rows(self.stride) * row_bytes > TABLE_BYTES_MAX {
            self.stride *= 2;
        }
        self.table = vec![[W::ALL; SIXTEEN]; rows(self.stride) * self.full.len()];
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
        let width = self.width();
        let splits = |stretch: usize, stride: usize| {
            let begin = column.first as usize + stretch * stride;
            begin..(begin + stride).min((column.first + column.count) as usize)
        };
        let table = self.table.as_flattened_mut();
        let mut running = vec![W::ALL; width];
        // What the stretches below strike out, then what those above do.
        for (stretches, keep) in [
            (Vec::from_iter(0..stretches), &self.by_column.right),
            (Vec::from_iter((0..stretches).rev()), &self.by_column.left),
        ] {
            running.fill(W::ALL);
            for stretch in stretches {
                let row = (column.row as usize + stretch) * width;
                for (cell, running) in table[row..][..width].iter_mut().zip(&running) {
                    *cell &= *running;
                }
                for split in splits(stretch, self.stride) {
                    running[self.by_column.part[split] as usize] &= keep[split];
                }
            }
        }
    }
}
