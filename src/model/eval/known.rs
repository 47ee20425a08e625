//! Candidates that are known beforehand: what their own inputs rule out is struck out once for all requests.
//!
//! An offer's inputs are the catalog's, the same in every request. So the words of leaves that they leave
//! within reach are made when the model meets the catalog, and a request only makes the word of what is
//! shared: an AND of the two has one leaf per tree. Neither ranks nor pruned trees are needed, and no
//! split is asked more than once. Costs a word per tree and candidate of memory.

use std::ops::Range;

use super::call::NOTHING;
use super::masks::Masks;
use super::simd::Simd;
use super::word::TreeWord;

/// Words of all candidates of a model together: 64 MB. That is enough for 30,000 offers and 500
/// trees of 31 leaves; candidates beyond it are scored from their numbers.
pub(super) const BYTES_MAX: usize = 64 << 20;
/// Candidates that take turns at a tile.
const BLOCK: usize = 256;
/// Those that are added up side by side where registers allow it.
pub(super) const GROUP: usize = 16;
/// Parts that all candidates of a block go through before the next: their leaf values stay in the first-level cache.
const TILE: usize = 64;
/// Those that plain code adds up side by side: enough to hide what an addition waits for the one before.
const LANES: usize = 8;

/// The leaves that each candidate's own inputs leave within reach, part by part.
#[derive(Clone, Debug)]
pub(super) struct Table<W> {
    words: Vec<W>,
    /// Words per candidate: see [`Masks::width`].
    width: usize,
}

impl<W: TreeWord> Table<W> {
    /// No candidate yet. `None` where there would be too many.
    pub fn new(masks: &Masks<W>, candidates: usize) -> Option<Table<W>> {
        let width = masks.width();
        let words = candidates.checked_mul(width)?;
        let bytes = words.checked_mul(size_of::<W>())?;
        (bytes <= BYTES_MAX).then(|| Table {
            words: Vec::with_capacity(words),
            width,
        })
    }

    /// Adds a candidate's words.
    pub fn push(&mut self, words: &[W]) {
        self.words.extend_from_slice(words);
    }

    fn row(&self, row: u32) -> &[W] {
        &self.words[row as usize * self.width..][..self.width]
    }

    /// Adds up the trees for each of the `rows`, where the shared inputs leave the leaves `shared`.
    #[inline(always)]
    pub fn add(
        &self,
        simd: impl Simd,
        masks: &Masks<W>,
        shared: &[W],
        rows: &[u32],
        out: &mut [f64],
    ) {
        for (rows, out) in rows.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let mut words: [&[W]; BLOCK] = [&[]; BLOCK];
            // Where a group is not full, its last candidate is taken more often.
            let padded = rows.len().next_multiple_of(GROUP);
            for (i, words) in words[..padded].iter_mut().enumerate() {
                *words = self.row(rows[i.min(rows.len() - 1)]);
            }
            let (words, _) = words[..padded].as_chunks();
            let block = Block {
                masks,
                shared,
                words,
                candidates: rows.len(),
            };
            let mut sums = [[NOTHING; GROUP]; BLOCK / GROUP];
            for first in (0..masks.parts()).step_by(TILE) {
                let parts = first..masks.parts().min(first + TILE);
                W::add_known(simd, &block, parts, &mut sums[..words.len()]);
            }
            out.copy_from_slice(&sums.as_flattened()[..rows.len()]);
        }
    }
}

/// Candidates on their way through the trees.
pub(super) struct Block<'a, W> {
    pub masks: &'a Masks<W>,
    /// By part, the leaves that the shared inputs leave.
    pub shared: &'a [W],
    /// By candidate and part, those that its own inputs leave.
    pub words: &'a [[&'a [W]; GROUP]],
    /// How many candidates there are; the others need no sums.
    pub candidates: usize,
}

/// Adds some of the parts to the candidates' sums.
#[inline(always)]
pub(super) fn add<W: TreeWord>(
    block: &Block<'_, W>,
    parts: Range<usize>,
    sums: &mut [[f64; GROUP]],
) {
    if let ([words], 1) = (block.words, block.candidates) {
        return add_lanes(
            block,
            parts,
            [words[0]],
            sums[0].first_chunk_mut().expect("sixteen"),
        );
    }
    let (words, _) = block.words.as_flattened().as_chunks::<LANES>();
    let (sums, _) = sums.as_flattened_mut().as_chunks_mut::<LANES>();
    let needed = block.candidates.div_ceil(LANES);
    for (words, sums) in words.iter().zip(sums).take(needed) {
        add_lanes(block, parts.clone(), *words, sums);
    }
}

#[inline(always)]
fn add_lanes<W: TreeWord, const N: usize>(
    block: &Block<'_, W>,
    parts: Range<usize>,
    words: [&[W]; N],
    sums: &mut [f64; N],
) {
    let shared = &block.shared[parts.clone()];
    let words = words.map(|words| &words[parts.clone()]);
    let mut totals = *sums;
    for (i, part) in parts.enumerate() {
        let leaves = block.masks.leaves(part);
        for (total, words) in totals.iter_mut().zip(words) {
            *total += leaves[(shared[i] & words[i]).lowest() as usize];
        }
    }
    *sums = totals;
}
