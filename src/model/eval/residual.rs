//! What is left of a forest once the inputs that all candidates share are known.
//!
//! Most splits ask about the customer and the moment. In one request their answer is the same for every
//! candidate, so a tree shrinks to the splits on offer inputs that still have reachable leaves on both
//! sides, and a tree with one reachable leaf to a number. Of 15,000 splits some 1,700 are left. Leaves
//! are numbered anew, so that most trees then fit into 16 bits: more candidates in a register.
//!
//! With nothing shared the whole forest is left: that is the plain vectorised QuickScorer (Lucchese et
//! al., SIGIR 2016), tree by tree instead of input by input, so that the bits stay in a register.

use std::ops::Range;

use super::columns::{Columns, Rank, Test};
use super::masks::{ByPart, Masks};
use super::simd::{EIGHT, Simd};
use super::word::{TreeWord, Word};

/// Trees of so many leaves and fewer have their splits as masks; see [`Split`].
pub(super) const NARROW: u32 = 32;
/// Leaf values that are loaded at once.
const LEAVES_LOADED: usize = 32;

/// A forest for one context.
#[derive(Debug, Default)]
pub(super) struct Residual {
    /// How many leaves each tree has. They are the next ones in `leaves`, its splits (one fewer)
    /// the next ones in `splits`.
    pub trees: Vec<u8>,
    pub splits: Vec<Split>,
    /// Longer than needed: the rest is anything.
    pub leaves: Vec<f64>,
    /// Splits on categories, each looked up into a column of its own: the category's column, and the set.
    pub lookups: Vec<(u16, u32)>,
}

/// The splits that are kept, before their leaves are numbered anew. Longer than needed.
#[derive(Debug, Default)]
pub(super) struct Kept<W> {
    /// Column and place.
    pub test: Vec<u32>,
    /// The leaves to its left.
    pub left: Vec<W>,
    /// All reachable leaves of its tree.
    pub reachable: Vec<W>,
}

/// A split as 64 bits, from the lowest: column, place, and what a rank above the place rules out: where
/// the tree has at most [`NARROW`] leaves those leaves as a mask, else the first of them and one past
/// the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Split(pub u64);

impl Split {
    /// Column and place of what a split asks, as the lower half of a split.
    pub fn packed(test: Test) -> u32 {
        u32::from(test.column) | u32::from(test.place.cast_unsigned()) << 16
    }

    /// A split of which only column and place are known.
    #[inline(always)]
    pub fn of(test: u32) -> Split {
        Split(u64::from(test))
    }

    #[inline(always)]
    pub fn column(self) -> u16 {
        self.0 as u16
    }

    #[inline(always)]
    pub fn place(self) -> Rank {
        ((self.0 >> 16) as u16).cast_signed()
    }

    /// What is ruled out, in a tree of at most [`NARROW`] leaves.
    #[inline(always)]
    pub fn mask(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// What is ruled out, in a larger tree.
    #[inline(always)]
    pub fn wide_mask(self) -> u64 {
        let (first, end) = ((self.0 >> 32) as u8, (self.0 >> 40) as u8);
        u64::below(end) & !u64::below(first)
    }

    /// The split among the reachable leaves alone. `left` are the leaves to its left.
    #[inline(always)]
    fn renumbered(test: u32, left: u64, reachable: u64) -> Split {
        let before = (left & left.wrapping_neg()).wrapping_sub(1);
        let first = u64::from((reachable & before).count_ones());
        let end = u64::from((reachable & (before | left)).count_ones());
        let mask = (1_u64 << (end & 63)).wrapping_sub(1 << (first & 63));
        let range = first | end << 8;
        let narrow = reachable.count_ones() <= NARROW;
        Split(u64::from(test) | if narrow { mask } else { range } << 32)
    }
}

impl Residual {
    /// What is left of `masks` where only the leaves in `reachable` can be reached. Splits on known columns
    /// fall away by themselves: one side of them is out of reach. In the `usual` case, where no other inputs
    /// differ between candidates than was foreseen, most of them are not even looked at.
    #[inline(always)]
    pub fn prune<W: TreeWord>(
        &mut self,
        simd: impl Simd,
        masks: &Masks<W>,
        reachable: &[W],
        columns: &Columns,
        usual: bool,
        kept: &mut Kept<W>,
    ) {
        let all = &masks.by_part;
        let ends = if usual {
            &all.own_until
        } else {
            &all.from[1..]
        };
        self.trees.clear();
        self.lookups.clear();
        self.lookups.reserve(masks.categories());
        self.trees.reserve(masks.parts());
        self.leaves
            .resize(masks.leaves_in_all() + LEAVES_LOADED, 0.0);
        kept.test.resize(all.test.len(), 0);
        kept.left.resize(all.test.len(), W::NONE);
        kept.reachable.resize(all.test.len(), W::NONE);
        let (mut splits, mut leaves) = (0, 0);
        for (part, &reachable) in reachable[..masks.parts()].iter().enumerate() {
            let count = reachable.count() as usize;
            self.trees.push(count as u8);
            let values = masks.leaves(part);
            if count == 1 {
                self.leaves[leaves] = values[reachable.lowest() as usize];
            } else {
                let count_all = masks.leaves_of(part);
                simd.keep_leaves(
                    values,
                    count_all,
                    reachable.wide(),
                    &mut self.leaves[leaves..],
                );
                let range = all.from[part] as usize..ends[part] as usize;
                if all.category[part] {
                    self.give_columns(all, range, reachable, columns, kept, splits);
                } else {
                    W::keep(simd, all, range, reachable, kept, splits);
                }
            }
            splits += count - 1;
            leaves += count;
        }
        self.splits.clear();
        // All that any context may leave, so that a later one does not allocate.
        self.splits.reserve(masks.splits());
        let kept = kept.test[..splits]
            .iter()
            .zip(&kept.left)
            .zip(&kept.reachable);
        self.splits.extend(kept.map(|((&test, &left), &reachable)| {
            Split::renumbered(test, left.wide(), reachable.wide())
        }));
    }

    /// Keeps a part's splits as [`Simd::keep_32`] does, and gives those on categories columns of their
    /// own.
    #[inline(always)]
    fn give_columns<W: Word>(
        &mut self,
        all: &ByPart<W>,
        range: Range<usize>,
        reachable: W,
        columns: &Columns,
        kept: &mut Kept<W>,
        mut at: usize,
    ) {
        for split in range {
            let (left, right) = (all.left[split], all.right[split]);
            if left & reachable == W::NONE || right & reachable == W::NONE {
                continue;
            }
            let (mut test, set) = (all.test[split], all.set[split]);
            if set != 0 {
                let own = columns.len() + self.lookups.len();
                self.lookups.push((Split::of(test).column(), set));
                let column = u16::try_from(own).expect("splits on categories were counted");
                test = Split::packed(Test {
                    column,
                    place: 0,
                    set,
                });
            }
            (kept.test[at], kept.left[at], kept.reachable[at]) = (test, left, reachable);
            at += 1;
        }
    }

    /// Looks up the categorical splits of `N` candidates, given and left column by column.
    #[inline(always)]
    pub fn look_up<const N: usize>(&self, columns: &Columns, ranks: &mut [[Rank; N]]) {
        for (i, &(column, set)) in self.lookups.iter().enumerate() {
            let codes = ranks[usize::from(column)];
            ranks[columns.len() + i] = codes.map(|code| Rank::from(columns.is_outside(set, code)));
        }
    }
}

const _: () = assert!(LEAVES_LOADED >= EIGHT);
