//! Inputs as ranks, so that every split is one comparison of small whole numbers.
//!
//! A split asks `value <= threshold`. All that matters of a value is therefore how many of the
//! thresholds that the model has for this input lie below it: its *rank*. With the threshold's own place
//! in that order, `value > threshold` is `rank > place`, for every value, on 64 bits, exactly. One search
//! per value replaces thousands of float comparisons, and 16-bit ranks put 32 candidates into one
//! 512-bit register. (RapidScorer, Ye et al., KDD 2018, merges equal thresholds; this merges them all.)
//!
//! Missing values cost the splits nothing either: where NaN or zero go their own way, it is enough to give
//! them the rank that goes there. Splits on one input that disagree about it get columns of their own.
//! A category's rank is its code; those splits look it up in a set instead of comparing.

use std::hint::select_unpredictable;
use std::ops::Range;

use super::Unsupported;
use crate::model::ensemble::{Codes, Ensemble, Node, ZERO};

/// What a value looks like to the splits of its column: the number of thresholds below it, or a category.
pub(super) type Rank = i16;

/// Above every place: goes right everywhere.
const RIGHT: Rank = Rank::MAX;
/// The code of NaN in a column of categories.
const NAN: Rank = Rank::MAX;
/// Thresholds of one column, so that ranks stay below [`RIGHT`]. An input with more gets more columns.
const THRESHOLDS_MAX: usize = RIGHT as usize - 1;
/// Words of a category set, so that codes stay below [`NAN`].
const WORDS_MAX: usize = RIGHT as usize / 32;
/// Values that are searched for side by side, to hide the latency of each step.
pub(super) const SEARCHED: usize = 8;
/// Cells of a column's [`Grid`].
const CELLS: usize = 256;

/// How each input of a model becomes ranks.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    thresholds: Vec<f64>,
    starts: Vec<i32>,
    words: Vec<u32>,
    sets: Vec<CategorySet>,
    codes: Codes,
}

#[derive(Clone, Debug)]
struct Column {
    input: u16,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Number {
        /// Place among the thresholds; there ascending, each once.
        thresholds: Range<usize>,
        nan: Rank,
        zero: Option<Rank>,
        grid: Grid,
    },
    Category {
        /// All codes from here on are alike to every split.
        end: u32,
    },
}

/// What a split asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub column: u16,
    /// Of a number: goes right where the rank is greater.
    pub place: Rank,
    /// Of a category: which set to look into, from 1; 0 is none.
    pub set: u32,
}

#[derive(Clone, Copy, Debug)]
struct CategorySet {
    first: u32,
    words: u32,
    nan_left: bool,
    other_left: bool,
}

/// A numeric split on its way into a column. Orders by column, then threshold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Split {
    /// Input, and what the split does with zeros.
    group: (u16, Option<bool>),
    /// The threshold's bits, made to order as the numbers do.
    order: u64,
    node: u32,
}

impl Columns {
    /// The columns, and for each node of the ensemble what it asks; leaves ask nothing of column 0.
    pub fn new(ensemble: &Ensemble) -> Result<(Columns, Vec<Test>), Unsupported> {
        let mut columns = Columns {
            columns: Vec::new(),
            thresholds: Vec::new(),
            starts: Vec::new(),
            words: Vec::new(),
            sets: Vec::new(),
            codes: ensemble.codes(),
        };
        let nothing = Test {
            column: 0,
            place: 0,
            set: 0,
        };
        let mut tests = vec![nothing; ensemble.nodes().len()];
        columns.add_numbers(ensemble, &mut tests)?;
        columns.add_categories(ensemble, &mut tests)?;
        if columns.columns.is_empty() {
            let nothing = columns.numbers(0..0, 0, None);
            columns.push(0, nothing)?;
        }
        Ok((columns, tests))
    }

    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// The input that a column looks at.
    pub fn input(&self, column: usize) -> usize {
        usize::from(self.columns[column].input)
    }

    /// How many ranks a column of numbers tells apart beside [`RIGHT`]: one more than its thresholds.
    pub fn ranks(&self, column: usize) -> usize {
        match &self.columns[column].kind {
            Kind::Number { thresholds, .. } => thresholds.len() + 1,
            Kind::Category { .. } => 0,
        }
    }

    /// Whether a category's code goes right at a split with this set.
    #[inline(always)]
    pub fn is_outside(&self, set: u32, code: Rank) -> bool {
        let set = self.sets[set as usize - 1];
        if code == NAN {
            return !set.nan_left;
        }
        let code = u32::from(code.unsigned_abs());
        if code / 32 >= set.words {
            return !set.other_left;
        }
        let word = self.words[(set.first + code / 32) as usize];
        word >> (code % 32) & 1 == 0
    }

    /// The rank of one value.
    #[inline(always)]
    pub fn rank(&self, column: usize, value: f64) -> Rank {
        self.rank_all(column, [value])[0]
    }

    /// The ranks of some values of one column.
    #[inline(always)]
    pub fn rank_all<const N: usize>(&self, column: usize, values: [f64; N]) -> [Rank; N] {
        match &self.columns[column].kind {
            Kind::Number {
                thresholds,
                nan,
                zero,
                grid,
            } => {
                let thresholds = &self.thresholds[thresholds.clone()];
                let starts = &self.starts[grid.starts.clone()];
                let mut ranks = grid.search(starts, thresholds, &values);
                for (rank, value) in ranks.iter_mut().zip(values) {
                    *rank = if value.is_nan() { *nan } else { *rank };
                }
                if let Some(zero) = zero {
                    for (rank, value) in ranks.iter_mut().zip(values) {
                        *rank = if value.abs() <= ZERO { *zero } else { *rank };
                    }
                }
                ranks
            }
            Kind::Category { end } => values.map(|value| {
                if value.is_nan() {
                    return NAN;
                }
                // A number that is no category goes where categories go that no set lists.
                let code = self.codes.category(value).unwrap_or(u32::MAX);
                Rank::try_from(code.min(*end)).expect("WORDS_MAX fits")
            }),
        }
    }

    fn add_numbers(&mut self, ensemble: &Ensemble, tests: &mut [Test]) -> Result<(), Unsupported> {
        let mut splits: Vec<Split> = (0_u32..)
            .zip(ensemble.nodes())
            .filter_map(|(node, split)| match *split {
                Node::Number {
                    threshold,
                    input,
                    zero_left,
                    ..
                } => Some(Split {
                    group: (input, zero_left),
                    order: order(threshold),
                    node,
                }),
                _ => None,
            })
            .collect();
        splits.sort_unstable();
        let nan_left = |split: &Split| {
            matches!(
                ensemble.nodes()[split.node as usize],
                Node::Number { nan_left: true, .. }
            )
        };
        for group in splits.chunk_by(|a, b| a.group == b.group) {
            // Where NaN goes right at low thresholds and left at high ones, it has a rank among them.
            let (mut right, mut left) = (group.iter().filter(|s| !nan_left(s)), group.iter());
            let last_right = right.next_back().map(|s| s.order);
            let first_left = left.find(|s| nan_left(s)).map(|s| s.order);
            if last_right.is_none() || first_left.is_none() || last_right < first_left {
                self.add_group(group, last_right, tests)?;
            } else {
                let (left, right): (Vec<Split>, Vec<Split>) =
                    group.iter().partition(|s| nan_left(s));
                self.add_group(&left, None, tests)?;
                self.add_group(&right, last_right, tests)?;
            }
        }
        Ok(())
    }

    /// Makes columns of splits that agree about zeros. NaN goes right at those up to `last_right`.
    fn add_group(
        &mut self,
        splits: &[Split],
        last_right: Option<u64>,
        tests: &mut [Test],
    ) -> Result<(), Unsupported> {
        let mut same = splits.chunk_by(|a, b| a.order == b.order).peekable();
        while same.peek().is_some() {
            let first = self.thresholds.len();
            let column = u16::try_from(self.columns.len()).map_err(|_| Unsupported)?;
            let mut nan = 0;
            let (input, zero_left) = splits[0].group;
            for (place, splits) in (0..THRESHOLDS_MAX as Rank).zip(&mut same) {
                self.thresholds.push(number(splits[0].order));
                if Some(splits[0].order) <= last_right {
                    nan = place + 1;
                }
                for split in splits {
                    tests[split.node as usize] = Test {
                        column,
                        place,
                        set: 0,
                    };
                }
            }
            let zero = zero_left.map(|left| if left { 0 } else { RIGHT });
            let kind = self.numbers(first..self.thresholds.len(), nan, zero);
            self.push(input, kind)?;
        }
        Ok(())
    }

    fn add_categories(
        &mut self,
        ensemble: &Ensemble,
        tests: &mut [Test],
    ) -> Result<(), Unsupported> {
        let mut column_of = vec![None; ensemble.inputs()];
        for (node, test) in ensemble.nodes().iter().zip(tests) {
            let Node::Category {
                set,
                input,
                nan_left,
                other_left,
                ..
            } = *node
            else {
                continue;
            };
            let words = ensemble.set(set);
            if words.len() > WORDS_MAX {
                return Err(Unsupported);
            }
            let column = match column_of[usize::from(input)] {
                Some(column) => column,
                None => self.push(input, Kind::Category { end: 0 })?,
            };
            column_of[usize::from(input)] = Some(column);
            let words_here = words.len() as u32;
            if let Kind::Category { end } = &mut self.columns[usize::from(column)].kind {
                *end = (*end).max(words_here * 32);
            }
            self.sets.push(CategorySet {
                first: u32::try_from(self.words.len()).map_err(|_| Unsupported)?,
                words: words_here,
                nan_left,
                other_left,
            });
            self.words.extend_from_slice(words);
            *test = Test {
                column,
                place: 0,
                set: u32::try_from(self.sets.len()).map_err(|_| Unsupported)?,
            };
        }
        Ok(())
    }

    fn numbers(&mut self, thresholds: Range<usize>, nan: Rank, zero: Option<Rank>) -> Kind {
        let grid = Grid::new(&self.thresholds[thresholds.clone()], &mut self.starts);
        Kind::Number {
            thresholds,
            nan,
            zero,
            grid,
        }
    }

    fn push(&mut self, input: u16, kind: Kind) -> Result<u16, Unsupported> {
        let column = u16::try_from(self.columns.len()).map_err(|_| Unsupported)?;
        self.columns.push(Column { input, kind });
        Ok(column)
    }
}

/// Cells of equal width from the lowest threshold to the highest, to start a search from.
///
/// The cell of a number never falls as the number grows, however the arithmetic rounds. So thresholds in
/// cells before a value's are below it, those in cells after it are not, and only its own cell is searched.
#[derive(Clone, Debug)]
struct Grid {
    lowest: f64,
    cells_per_unit: f64,
    /// Place among the starts: how many thresholds lie in cells before each. Empty for a single cell.
    starts: Range<usize>,
    /// Thresholds that are searched: as many as the fullest cell has.
    window: usize,
}

impl Grid {
    fn new(thresholds: &[f64], starts: &mut Vec<i32>) -> Grid {
        let first = starts.len();
        let mut grid = Grid {
            lowest: 0.0,
            cells_per_unit: 0.0,
            starts: first..first,
            window: thresholds.len(),
        };
        let (Some(lowest), Some(highest)) = (thresholds.first(), thresholds.last()) else {
            return grid;
        };
        let cells_per_unit = CELLS as f64 / (highest - lowest);
        if thresholds.len() < SEARCHED || !cells_per_unit.is_finite() || cells_per_unit <= 0.0 {
            return grid;
        }
        (grid.lowest, grid.cells_per_unit) = (*lowest, cells_per_unit);
        let mut below = 0;
        let mut fullest = 0;
        for cell in 0..CELLS {
            starts.push(below as i32);
            let here = thresholds[below..].partition_point(|&t| grid.cell(t) <= cell);
            below += here;
            fullest = fullest.max(here);
        }
        // Where thresholds crowd together the cells would save little and cost a lookup.
        if fullest * 4 > thresholds.len() {
            starts.truncate(first);
            return grid;
        }
        grid.starts = first..starts.len();
        grid.window = fullest;
        grid
    }

    #[inline(always)]
    fn cell(&self, value: f64) -> usize {
        let cell = (value - self.lowest) * self.cells_per_unit;
        // NaN, from a NaN or from two infinities, becomes 0: where the value is -inf that is its cell.
        cell.max(0.0).min((CELLS - 1) as f64) as u8 as usize
    }

    /// How many of the thresholds are below each value; anything for NaN. Branchless: the number of steps
    /// depends on the column alone, and each is a load, a comparison and an addition per value.
    #[inline(always)]
    fn search<const N: usize>(
        &self,
        starts: &[i32],
        thresholds: &[f64],
        values: &[f64; N],
    ) -> [Rank; N] {
        if thresholds.is_empty() {
            return [0; N];
        }
        let mut base = [0_usize; N];
        if let Ok(starts) = <&[i32; CELLS]>::try_from(starts) {
            // A window that would reach past the end begins earlier: what it adds is below the value.
            let last = thresholds.len() - self.window;
            for (base, &value) in base.iter_mut().zip(values) {
                *base = (starts[self.cell(value)] as usize).min(last);
            }
        }
        let mut left = self.window;
        while left > 1 {
            let half = left / 2;
            for (base, value) in base.iter_mut().zip(values) {
                let below = thresholds[*base + half - 1] < *value;
                *base = select_unpredictable(below, *base + half, *base);
            }
            left -= half;
        }
        let mut ranks = [0; N];
        for ((rank, base), value) in ranks.iter_mut().zip(base).zip(values) {
            *rank = (base + usize::from(thresholds[base] < *value)) as Rank;
        }
        ranks
    }
}

/// Bits that order as the numbers do, with -0 as 0. Finite numbers only.
fn order(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// Back from [`order`].
fn number(order: u64) -> f64 {
    f64::from_bits(if order >> 63 == 1 {
        order & !(1 << 63)
    } else {
        !order
    })
}
