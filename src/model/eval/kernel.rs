//! Adds up the trees of a residual forest for many candidates side by side.
//!
//! For each tree a word per candidate collects the leaves that are ruled out; the lowest that is not is
//! where the candidate ends (QuickScorer). Plain loops over arrays, shaped so that the compiler keeps the
//! words of a few candidates in one register; `simd` has the same with wider ones.

use super::columns::Rank;
use super::residual::{NARROW, Residual, Split};
use super::word::Word;

/// Candidates that are scored side by side.
pub(super) const BLOCK: usize = 128;
/// Those of them whose words are in one register.
const LANES: usize = 16;

/// A column's ranks of a block of candidates.
pub(super) type Ranks = [Rank; BLOCK];

/// Adds every tree, in order, to the sums of the first `count` candidates, and anything to the others.
#[inline(always)]
pub(super) fn add(residual: &Residual, ranks: &[Ranks], count: usize, sums: &mut [f64; BLOCK]) {
    let sums = &mut sums[..count.next_multiple_of(LANES)];
    let (mut splits, mut leaves) = (&residual.splits[..], &residual.leaves[..]);
    for &count in &residual.trees {
        let (here, after) = splits.split_at(usize::from(count) - 1);
        if count == 1 {
            sums.iter_mut().for_each(|sum| *sum += leaves[0]);
        } else {
            add_tree(here, &leaves[..usize::from(count)], ranks, sums);
        }
        splits = after;
        leaves = &leaves[usize::from(count)..];
    }
}

/// Adds one tree.
#[inline(always)]
pub(super) fn add_tree(splits: &[Split], leaves: &[f64], ranks: &[Ranks], sums: &mut [f64]) {
    if leaves.len() <= 16 {
        add_lanes(splits, |split| split.mask() as u16, leaves, ranks, sums);
    } else if leaves.len() <= NARROW as usize {
        add_lanes(splits, Split::mask, leaves, ranks, sums);
    } else {
        add_lanes(splits, Split::wide_mask, leaves, ranks, sums);
    }
}

#[inline(always)]
fn add_lanes<W: Word>(
    splits: &[Split],
    mask: impl Fn(Split) -> W,
    leaves: &[f64],
    ranks: &[Ranks],
    sums: &mut [f64],
) {
    let (sums, _) = sums.as_chunks_mut::<LANES>();
    for (chunk, sums) in sums.iter_mut().enumerate() {
        let mut ends = [W::ALL; LANES];
        for &split in splits {
            let (ranks, _) = ranks[usize::from(split.column())].as_chunks::<LANES>();
            let (ranks, place, mask) = (ranks[chunk], split.place(), mask(split));
            for lane in 0..LANES {
                let ruled_out = if ranks[lane] > place { mask } else { W::NONE };
                ends[lane] &= !ruled_out;
            }
        }
        for lane in 0..LANES {
            sums[lane] += leaves[ends[lane].lowest() as usize];
        }
    }
}
