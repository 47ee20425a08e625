//! Sets of leaves as the bits of a word: leaf 0, the leftmost, is the lowest bit.

use std::fmt::Debug;
use std::ops::{BitAnd, BitAndAssign, Not, Range};

use super::known::{Block, GROUP};
use super::masks::ByPart;
use super::residual::Kept;
use super::simd::Simd;

/// An unsigned integer that holds a set of leaves.
pub(super) trait Word:
    Copy + Debug + Default + PartialEq + BitAnd<Output = Self> + BitAndAssign + Not<Output = Self>
{
    const BITS: u32;
    const NONE: Self;
    const ALL: Self;

    /// The leaves from `first` to before `end`, which is at most [`Word::BITS`].
    fn range(first: u8, end: u8) -> Self;
    /// The leaves before `end`, which is below [`Word::BITS`].
    fn below(end: u8) -> Self;
    /// The lowest leaf of a set that is not empty.
    fn lowest(self) -> u32;
    /// How many leaves.
    fn count(self) -> u32;
    /// As 64 bits.
    fn wide(self) -> u64;
}

macro_rules! word {
    ($($word:ty),*) => {$(
        impl Word for $word {
            const BITS: u32 = <$word>::BITS;
            const NONE: $word = 0;
            const ALL: $word = <$word>::MAX;

            #[inline(always)]
            fn range(first: u8, end: u8) -> $word {
                // Computed on 128 bits, where a shift by 64 is one.
                ((1_u128 << end) - (1_u128 << first)) as $word
            }

            #[inline(always)]
            fn below(end: u8) -> $word {
                (1 << end) - 1
            }

            #[inline(always)]
            fn lowest(self) -> u32 {
                self.trailing_zeros()
            }

            #[inline(always)]
            fn count(self) -> u32 {
                self.count_ones()
            }

            #[inline(always)]
            fn wide(self) -> u64 {
                u64::from(self)
            }
        }
    )*};
}

word!(u16, u32, u64);

/// A word of which there is one per tree: those for which `simd` has special code.
pub(super) trait TreeWord: Word {
    /// Has `simd` keep a part's splits; see [`Simd::keep_32`].
    fn keep(
        simd: impl Simd,
        all: &ByPart<Self>,
        range: Range<usize>,
        reachable: Self,
        kept: &mut Kept<Self>,
        at: usize,
    );

    /// Has `simd` add parts to the sums of known candidates; see [`Simd::add_known_32`].
    fn add_known(
        simd: impl Simd,
        block: &Block<'_, Self>,
        parts: Range<usize>,
        sums: &mut [[f64; GROUP]],
    );
}

macro_rules! tree_word {
    ($word:ty, $keep:ident, $add_known:ident) => {
        impl TreeWord for $word {
            #[inline(always)]
            fn keep(
                simd: impl Simd,
                all: &ByPart<$word>,
                range: Range<usize>,
                reachable: $word,
                kept: &mut Kept<$word>,
                at: usize,
            ) {
                simd.$keep(all, range, reachable, kept, at);
            }

            #[inline(always)]
            fn add_known(
                simd: impl Simd,
                block: &Block<'_, $word>,
                parts: Range<usize>,
                sums: &mut [[f64; GROUP]],
            ) {
                simd.$add_known(block, parts, sums);
            }
        }
    };
}

tree_word!(u32, keep_32, add_known_32);
tree_word!(u64, keep_64, add_known_64);
