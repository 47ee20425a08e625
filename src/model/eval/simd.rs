//! Runs a piece of work compiled for the widest registers that this CPU has, and the few inner loops
//! that the compiler does not vectorise by itself.
//!
//! The only file of the project with `unsafe`, for two reasons. Code that uses AVX2 or AVX-512 is correct
//! only where the CPU has them, which the compiler cannot know: a [`Level`] above [`Level::PORTABLE`] is
//! given out by [`Level::available`] only after asking the CPU, so entering the copy compiled for it is
//! sound. And loads and stores take pointers: [`load`] and the like take them from arrays of the right
//! size. Every function has a portable twin, and property tests compare the two.
#![expect(
    unsafe_code,
    reason = "only a run-time check can tell that the CPU has the instructions"
)]

use std::ops::Range;

use super::kernel::{self, BLOCK, Ranks};
use super::known::{self, Block, GROUP};
use super::masks::{ByPart, LEAVES_READ};
use super::residual::{Kept, Residual, Split};
use super::word::{TreeWord, Word};

/// Numbers of 64 bits in a register.
pub(super) const EIGHT: usize = 8;
/// Numbers of 32 bits in a register.
pub(super) const SIXTEEN: usize = 16;

/// How wide the registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(Width);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Something to run. `run` must be `#[inline(always)]`, as must be what it calls: only then is it
/// compiled for the level.
pub(super) trait Work {
    fn run(self, simd: impl Simd);
}

impl Level {
    /// What every CPU of the architecture has.
    pub const PORTABLE: Level = Level(Width::Portable);

    /// The widest that this CPU has.
    #[must_use]
    pub fn detect() -> Level {
        Level::available()
            .last()
            .copied()
            .unwrap_or(Level::PORTABLE)
    }

    /// All that this CPU has, ascending.
    #[must_use]
    pub fn available() -> Vec<Level> {
        let mut levels = vec![Level::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 =
                has!("avx2") && has!("bmi1") && has!("bmi2") && has!("popcnt") && has!("lzcnt");
            if avx2 {
                levels.push(Level(Width::Avx2));
            }
            // All of what Ice Lake and Zen 4 brought; the first AVX-512 CPUs count bits no faster than AVX2.
            let avx512 = has!("avx512f")
                && has!("avx512bw")
                && has!("avx512vl")
                && has!("avx512dq")
                && has!("avx512bitalg")
                && has!("avx512vpopcntdq");
            if avx2 && avx512 {
                levels.push(Level(Width::Avx512));
            }
        }
        levels
    }

    /// Such as `avx2`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Width::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => "avx512",
        }
    }

    /// Whether registers have 512 bits.
    #[must_use]
    pub(super) fn has_512_bits(self) -> bool {
        self.name() == "avx512"
    }

    /// Runs the work at this level.
    #[inline]
    pub(super) fn run(self, work: impl Work) {
        match self.0 {
            Width::Portable => work.run(Portable),
            // SAFETY: the field is private, and `available` alone makes these levels, after asking the CPU.
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => unsafe { avx2(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => unsafe { avx512::run(work) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
fn avx2(work: impl Work) {
    work.run(Portable);
}

/// The inner loops of scoring, each in plain code.
pub(super) trait Simd: Copy {
    /// Writes the values of the reachable leaves, all among the first `count`, to the front of `out`;
    /// anything may be after them.
    #[inline(always)]
    fn keep_leaves(
        self,
        values: &[f64; LEAVES_READ],
        _count: usize,
        reachable: u64,
        out: &mut [f64],
    ) {
        let mut left = reachable;
        for out in out {
            if left == 0 {
                return;
            }
            *out = values[left.trailing_zeros() as usize];
            left &= left - 1;
        }
    }

    /// Writes those of a part's splits that have reachable leaves on both sides to `kept`, from `at` on;
    /// anything may be after them.
    #[inline(always)]
    fn keep_32(
        self,
        all: &ByPart<u32>,
        range: Range<usize>,
        reachable: u32,
        kept: &mut Kept<u32>,
        at: usize,
    ) {
        keep_splits(all, range, reachable, kept, at);
    }

    /// As [`Simd::keep_32`].
    #[inline(always)]
    fn keep_64(
        self,
        all: &ByPart<u64>,
        range: Range<usize>,
        reachable: u64,
        kept: &mut Kept<u64>,
        at: usize,
    ) {
        keep_splits(all, range, reachable, kept, at);
    }

    /// Adds every tree, in order, to the sums of the first `count` candidates, and anything to the others.
    #[inline(always)]
    fn add(self, residual: &Residual, ranks: &[Ranks], count: usize, sums: &mut [f64; BLOCK]) {
        kernel::add(residual, ranks, count, sums);
    }

    /// Adds some parts, in order, to the sums of a block's known candidates; see [`known`].
    #[inline(always)]
    fn add_known_32(self, block: &Block<'_, u32>, parts: Range<usize>, sums: &mut [[f64; GROUP]]) {
        known::add(block, parts, sums);
    }

    /// As [`Simd::add_known_32`].
    #[inline(always)]
    fn add_known_64(self, block: &Block<'_, u64>, parts: Range<usize>, sums: &mut [[f64; GROUP]]) {
        known::add(block, parts, sums);
    }
}

#[inline(always)]
fn keep_splits<W: Word>(
    all: &ByPart<W>,
    range: Range<usize>,
    reachable: W,
    kept: &mut Kept<W>,
    mut at: usize,
) {
    let (left, right) = (&all.left[range.clone()], &all.right[range.clone()]);
    for ((&left, &right), &test) in left.iter().zip(right).zip(&all.test[range]) {
        // Written in any case, and kept by not writing over it: which ones stay is hard to predict.
        (kept.test[at], kept.left[at], kept.reachable[at]) = (test, left, reachable);
        at += usize::from(left & reachable != W::NONE) & usize::from(right & reachable != W::NONE);
    }
}

/// Plain code throughout.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Simd for Portable {}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    //! 512 bits: 32 candidates' ranks, or eight splits or leaves.

    use std::arch::x86_64::*;

    use super::super::masks::Masks;
    use super::*;

    /// Proof that the CPU has AVX-512: only [`run`] makes one.
    #[derive(Clone, Copy)]
    struct Avx512(());

    #[target_feature(
        enable = "avx2,bmi1,bmi2,popcnt,lzcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512bitalg,avx512vpopcntdq"
    )]
    pub fn run(work: impl Work) {
        work.run(Avx512(()));
    }

    impl Simd for Avx512 {
        #[inline(always)]
        fn keep_leaves(
            self,
            values: &[f64; LEAVES_READ],
            count: usize,
            reachable: u64,
            out: &mut [f64],
        ) {
            // SAFETY: an `Avx512` is proof of the CPU's features.
            unsafe { keep_leaves(values, count, reachable, out) }
        }

        #[inline(always)]
        fn keep_32(
            self,
            all: &ByPart<u32>,
            range: Range<usize>,
            reachable: u32,
            kept: &mut Kept<u32>,
            at: usize,
        ) {
            // SAFETY: as above.
            unsafe { keep_32(all, range, reachable, kept, at) }
        }

        #[inline(always)]
        fn keep_64(
            self,
            all: &ByPart<u64>,
            range: Range<usize>,
            reachable: u64,
            kept: &mut Kept<u64>,
            at: usize,
        ) {
            // SAFETY: as above.
            unsafe { keep_64(all, range, reachable, kept, at) }
        }

        #[inline(always)]
        fn add_known_32(
            self,
            block: &Block<'_, u32>,
            parts: Range<usize>,
            sums: &mut [[f64; GROUP]],
        ) {
            // SAFETY: as above.
            unsafe { add_known(block, parts, sums) }
        }

        #[inline(always)]
        fn add_known_64(
            self,
            block: &Block<'_, u64>,
            parts: Range<usize>,
            sums: &mut [[f64; GROUP]],
        ) {
            // SAFETY: as above.
            unsafe { add_known(block, parts, sums) }
        }

        #[inline(always)]
        fn add(self, residual: &Residual, ranks: &[Ranks], count: usize, sums: &mut [f64; BLOCK]) {
            // SAFETY: as above.
            unsafe {
                match count.div_ceil(LANES) {
                    0 | 1 => add::<1>(residual, ranks, sums),
                    2 => add::<2>(residual, ranks, sums),
                    3 => add::<3>(residual, ranks, sums),
                    _ => add::<4>(residual, ranks, sums),
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,popcnt")]
    fn keep_leaves(values: &[f64; LEAVES_READ], count: usize, mut reachable: u64, out: &mut [f64]) {
        let mut kept = 0;
        // The last of them may belong to the next part; they are out of reach.
        for eight in values.chunks_exact(EIGHT).take(count.div_ceil(EIGHT)) {
            let here = reachable as u8;
            let packed = _mm512_maskz_compress_pd(here, load_f64(eight));
            store_f64(&mut out[kept..], packed);
            kept += here.count_ones() as usize;
            reachable >>= 8;
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,popcnt")]
    fn keep_32(
        all: &ByPart<u32>,
        range: Range<usize>,
        reachable: u32,
        kept: &mut Kept<u32>,
        mut at: usize,
    ) {
        let reachable = _mm512_set1_epi32(reachable.cast_signed());
        for from in range.clone().step_by(SIXTEEN) {
            let left = load_u32(&all.left[from..]);
            let right = load_u32(&all.right[from..]);
            let open =
                _mm512_test_epi32_mask(left, reachable) & _mm512_test_epi32_mask(right, reachable);
            // Those past the end belong to the next part.
            let open = open & (0xFFFF_u32 >> (from + SIXTEEN).saturating_sub(range.end)) as u16;
            let test = load_u32(&all.test[from..]);
            store_u32(
                &mut kept.test[at..],
                _mm512_maskz_compress_epi32(open, test),
            );
            store_u32(
                &mut kept.left[at..],
                _mm512_maskz_compress_epi32(open, left),
            );
            store_u32(&mut kept.reachable[at..], reachable);
            at += open.count_ones() as usize;
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,popcnt")]
    fn keep_64(
        all: &ByPart<u64>,
        range: Range<usize>,
        reachable: u64,
        kept: &mut Kept<u64>,
        mut at: usize,
    ) {
        let reachable = _mm512_set1_epi64(reachable.cast_signed());
        for from in range.clone().step_by(EIGHT) {
            let left = load_u64(&all.left[from..]);
            let right = load_u64(&all.right[from..]);
            let open =
                _mm512_test_epi64_mask(left, reachable) & _mm512_test_epi64_mask(right, reachable);
            let open = open & (0xFF_u32 >> (from + EIGHT).saturating_sub(range.end)) as u8;
            let test = load_u32(&all.test[from..]);
            let test = _mm512_maskz_compress_epi32(open.into(), test);
            store_u32(&mut kept.test[at..], test);
            store_u64(
                &mut kept.left[at..],
                _mm512_maskz_compress_epi64(open, left),
            );
            store_u64(&mut kept.reachable[at..], reachable);
            at += open.count_ones() as usize;
        }
    }

    /// Candidates whose ranks fill a register.
    const LANES: usize = 32;

    /// Sums of a block, eight to a register.
    type Totals<const R: usize> = [[__m512d; 4]; R];

    /// `R` times [`LANES`] candidates: the more, the better what is done once per tree is shared.
    #[inline]
    #[target_feature(
        enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bitalg,avx512vpopcntdq,popcnt"
    )]
    fn add<const R: usize>(residual: &Residual, ranks: &[Ranks], sums: &mut [f64; BLOCK]) {
        let mut totals = fill(sums);
        let (mut splits, mut leaves) = (&residual.splits[..], &residual.leaves[..]);
        for &count in &residual.trees {
            let count = usize::from(count);
            let (here, after) = splits.split_at(count - 1);
            match count {
                1 => add_everywhere::<R>(leaves[0], &mut totals),
                2..=16 => add_16(here, leaves, ranks, &mut totals),
                17..=32 => add_32(here, leaves, ranks, &mut totals),
                _ => {
                    spill(&totals, sums);
                    kernel::add_tree(here, &leaves[..count], ranks, &mut sums[..R * LANES]);
                    totals = fill(sums);
                }
            }
            splits = after;
            leaves = &leaves[count..];
        }
        spill(&totals, sums);
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn fill<const R: usize>(sums: &[f64; BLOCK]) -> Totals<R> {
        let mut totals = [[_mm512_setzero_pd(); 4]; R];
        for (total, sums) in totals
            .as_flattened_mut()
            .iter_mut()
            .zip(sums.chunks_exact(EIGHT))
        {
            *total = load_f64(sums);
        }
        totals
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn spill<const R: usize>(totals: &Totals<R>, sums: &mut [f64; BLOCK]) {
        for (total, sums) in totals
            .as_flattened()
            .iter()
            .zip(sums.chunks_exact_mut(EIGHT))
        {
            store_f64(sums, *total);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add_everywhere<const R: usize>(value: f64, totals: &mut Totals<R>) {
        for total in totals.as_flattened_mut() {
            *total = _mm512_add_pd(*total, _mm512_set1_pd(value));
        }
    }

    /// A tree of at most 16 leaves: 32 candidates' words in a register.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bitalg")]
    fn add_16<const R: usize>(
        splits: &[Split],
        leaves: &[f64],
        ranks: &[Ranks],
        totals: &mut Totals<R>,
    ) {
        let mut out = [_mm512_setzero_si512(); R];
        for split in splits {
            let ranks = &ranks[usize::from(split.column())];
            let place = _mm512_set1_epi16(split.place());
            let mask = (split.mask() as u16).cast_signed();
            for (quarter, out) in out.iter_mut().enumerate() {
                let right = _mm512_cmpgt_epi16_mask(load_ranks(ranks, quarter), place);
                *out = _mm512_or_si512(*out, _mm512_maskz_set1_epi16(right, mask));
            }
        }
        let low = load_f64(leaves);
        let high = load_f64(&leaves[EIGHT..]);
        for (out, totals) in out.into_iter().zip(totals) {
            // The lowest bit that is not set: count those below it.
            let carried = _mm512_add_epi16(out, _mm512_set1_epi16(1));
            let index = _mm512_popcnt_epi16(_mm512_andnot_si512(carried, out));
            let index = [
                _mm512_castsi512_si128(index),
                _mm512_extracti32x4_epi32::<1>(index),
                _mm512_extracti32x4_epi32::<2>(index),
                _mm512_extracti32x4_epi32::<3>(index),
            ];
            for (total, index) in totals.iter_mut().zip(index) {
                let index = _mm512_cvtepu16_epi64(index);
                let value = if splits.len() < EIGHT {
                    _mm512_permutexvar_pd(index, low)
                } else {
                    _mm512_permutex2var_pd(low, index, high)
                };
                *total = _mm512_add_pd(*total, value);
            }
        }
    }

    /// A tree of at most 32 leaves: 16 candidates' words in a register.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
    fn add_32<const R: usize>(
        splits: &[Split],
        leaves: &[f64],
        ranks: &[Ranks],
        totals: &mut Totals<R>,
    ) {
        let mut out = [[_mm512_setzero_si512(); 2]; R];
        for split in splits {
            let ranks = &ranks[usize::from(split.column())];
            let place = _mm512_set1_epi16(split.place());
            let mask = split.mask().cast_signed();
            for (quarter, [low, high]) in out.iter_mut().enumerate() {
                let right = _mm512_cmpgt_epi16_mask(load_ranks(ranks, quarter), place);
                *low = _mm512_or_si512(*low, _mm512_maskz_set1_epi32(right as u16, mask));
                let upper = (right >> 16) as u16;
                *high = _mm512_or_si512(*high, _mm512_maskz_set1_epi32(upper, mask));
            }
        }
        let table = load_32(leaves);
        let totals = totals.as_flattened_mut().chunks_exact_mut(2);
        for (&out, totals) in out.as_flattened().iter().zip(totals) {
            let carried = _mm512_add_epi32(out, _mm512_set1_epi32(1));
            let index = _mm512_popcnt_epi32(_mm512_andnot_si512(carried, out));
            let halves = [
                _mm512_castsi512_si256(index),
                _mm512_extracti64x4_epi64::<1>(index),
            ];
            for (total, half) in totals.iter_mut().zip(halves) {
                let index = _mm512_cvtepu32_epi64(half);
                *total = _mm512_add_pd(*total, pick_32(&table, index));
            }
        }
    }

    /// Words of which a register's worth, or two, are looked at together.
    trait KnownWord: TreeWord {
        /// The lowest leaf that both words leave, for each of [`SIXTEEN`] parts.
        ///
        /// # Safety
        /// The CPU must have AVX-512 as [`run`] asks for it.
        unsafe fn exits(shared: &[Self], own: &[Self]) -> __m512i;
    }

    impl KnownWord for u32 {
        #[inline(always)]
        unsafe fn exits(shared: &[u32], own: &[u32]) -> __m512i {
            // SAFETY: the caller's.
            unsafe { exits_32(shared, own) }
        }
    }

    impl KnownWord for u64 {
        #[inline(always)]
        unsafe fn exits(shared: &[u64], own: &[u64]) -> __m512i {
            // SAFETY: the caller's.
            unsafe {
                let low = exits_64(shared, own);
                let high = exits_64(&shared[EIGHT..], &own[EIGHT..]);
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    fn exits_32(shared: &[u32], own: &[u32]) -> __m512i {
        let left = _mm512_and_si512(load_u32(shared), load_u32(own));
        // The lowest bit: count those below it.
        let below = _mm512_add_epi32(left, _mm512_set1_epi32(-1));
        _mm512_popcnt_epi32(_mm512_andnot_si512(left, below))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    fn exits_64(shared: &[u64], own: &[u64]) -> __m256i {
        let left = _mm512_and_si512(load_u64(shared), load_u64(own));
        let below = _mm512_add_epi64(left, _mm512_set1_epi64(-1));
        _mm512_cvtepi64_epi32(_mm512_popcnt_epi64(_mm512_andnot_si512(left, below)))
    }

    /// Known candidates for which plain code is faster.
    const FEW: usize = 3;

    /// The exit leaves of a group of known candidates in sixteen parts; see [`transpose`].
    type Exits = [[u8; 64]; 4];

    #[inline]
    #[target_feature(
        enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bitalg,avx512vpopcntdq,popcnt"
    )]
    fn add_known<W: KnownWord>(
        block: &Block<'_, W>,
        parts: Range<usize>,
        sums: &mut [[f64; GROUP]],
    ) {
        if block.candidates < FEW {
            // Sixteen words to use one or two of them is more work than one or two words.
            return known::add(block, parts, sums);
        }
        let (mut words, mut sums) = (block.words, sums);
        let mut candidates = block.candidates;
        while !words.is_empty() {
            // Four groups share what is done once per tree; three and three are better than four and two.
            let groups = words.len().div_ceil(words.len().div_ceil(4));
            let (here, rest) = words.split_at(groups);
            let (sums_here, rest_of_sums) = sums.split_at_mut(groups);
            let quads = candidates.div_ceil(4).min(groups * 4);
            match groups {
                1 => add_groups::<W, 1>(block, here, quads, parts.clone(), sums_here),
                2 => add_groups::<W, 2>(block, here, quads, parts.clone(), sums_here),
                3 => add_groups::<W, 3>(block, here, quads, parts.clone(), sums_here),
                _ => add_groups::<W, 4>(block, here, quads, parts.clone(), sums_here),
            }
            (words, sums) = (rest, rest_of_sums);
            candidates = candidates.saturating_sub(groups * GROUP);
        }
    }

    /// `R` groups of candidates, of which the first `quads` times four are needed, go through sixteen parts
    /// at a time: their exit leaves first, then the values.
    #[inline]
    #[target_feature(
        enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bitalg,avx512vpopcntdq,popcnt"
    )]
    fn add_groups<W: KnownWord, const R: usize>(
        block: &Block<'_, W>,
        words: &[[&[W]; GROUP]],
        quads: usize,
        parts: Range<usize>,
        sums: &mut [[f64; GROUP]],
    ) {
        let mut totals = [[_mm512_setzero_pd(); 2]; R];
        for (total, sums) in totals.iter_mut().zip(&*sums) {
            *total = [load_f64(sums), load_f64(&sums[EIGHT..])];
        }
        let mut exits: [Exits; R] = [[[0; 64]; 4]; R];
        for first in parts.clone().step_by(SIXTEEN) {
            let shared = &block.shared[first..];
            for (group, (words, exits)) in words.iter().zip(&mut exits).enumerate() {
                let (words, _) = words.as_chunks();
                let needed = quads.saturating_sub(4 * group);
                find_exits(shared, &words[..words.len().min(needed)], first, exits);
            }
            for part in first..parts.end.min(first + SIXTEEN) {
                add_leaves(block.masks, part, part - first, &exits, &mut totals);
            }
        }
        for (total, sums) in totals.iter().zip(sums) {
            store_f64(sums, total[0]);
            store_f64(&mut sums[EIGHT..], total[1]);
        }
    }

    /// The exit leaves of candidates, four by four, in sixteen parts.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vpopcntdq")]
    fn find_exits<W: KnownWord>(
        shared: &[W],
        words: &[[&[W]; 4]],
        first: usize,
        exits: &mut Exits,
    ) {
        let mut found = [_mm512_setzero_si512(); 4];
        for (found, words) in found.iter_mut().zip(words) {
            // SAFETY: this function asks for the same features.
            let [a, b, c, d] = words.map(|words| unsafe { W::exits(shared, &words[first..]) });
            // Each part's four leaves side by side, as bytes.
            let low = _mm512_or_si512(a, _mm512_slli_epi32::<8>(b));
            let high = _mm512_or_si512(c, _mm512_slli_epi32::<8>(d));
            *found = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
        }
        transpose(found, exits);
    }

    /// Adds the leaf values of one part, of which there are exits at `index`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn add_leaves<W: KnownWord, const R: usize>(
        masks: &Masks<W>,
        part: usize,
        index: usize,
        exits: &[Exits; R],
        totals: &mut [[__m512d; 2]; R],
    ) {
        let (leaves, count) = (masks.leaves(part), masks.leaves_of(part));
        let half_of = |exits: &Exits, half: usize| {
            let bytes = &exits[index % 4][index / 4 * SIXTEEN + half * EIGHT..];
            _mm512_cvtepu8_epi64(load_bytes(bytes))
        };
        if count <= EIGHT {
            let table = load_f64(leaves);
            for (totals, exits) in totals.iter_mut().zip(exits) {
                for (half, total) in totals.iter_mut().enumerate() {
                    let value = _mm512_permutexvar_pd(half_of(exits, half), table);
                    *total = _mm512_add_pd(*total, value);
                }
            }
        } else if count <= SIXTEEN {
            let (low, high) = (load_f64(leaves), load_f64(&leaves[EIGHT..]));
            for (totals, exits) in totals.iter_mut().zip(exits) {
                for (half, total) in totals.iter_mut().enumerate() {
                    let value = _mm512_permutex2var_pd(low, half_of(exits, half), high);
                    *total = _mm512_add_pd(*total, value);
                }
            }
        } else if count <= 32 || W::BITS == 32 {
            let table = load_32(leaves);
            for (totals, exits) in totals.iter_mut().zip(exits) {
                for (half, total) in totals.iter_mut().enumerate() {
                    let value = pick_32(&table, half_of(exits, half));
                    *total = _mm512_add_pd(*total, value);
                }
            }
        } else {
            let (low, high) = (load_32(leaves), load_32(&leaves[32..]));
            for (totals, exits) in totals.iter_mut().zip(exits) {
                for (half, total) in totals.iter_mut().enumerate() {
                    let index = half_of(exits, half);
                    let upper = _mm512_test_epi64_mask(index, _mm512_set1_epi64(32));
                    let (low, high) = (pick_32(&low, index), pick_32(&high, index));
                    *total = _mm512_add_pd(*total, _mm512_mask_blend_pd(upper, low, high));
                }
            }
        }
    }

    /// From four candidates' bytes part by part to all sixteen: part `p` is quarter `p / 4` of `exits[p % 4]`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transpose([a, b, c, d]: [__m512i; 4], exits: &mut Exits) {
        let (ab, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        store_u8(&mut exits[0], _mm512_unpacklo_epi64(ab, cd));
        store_u8(&mut exits[1], _mm512_unpackhi_epi64(ab, cd));
        store_u8(&mut exits[2], _mm512_unpacklo_epi64(ab_high, cd_high));
        store_u8(&mut exits[3], _mm512_unpackhi_epi64(ab_high, cd_high));
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load_32(leaves: &[f64]) -> [__m512d; 4] {
        [
            load_f64(leaves),
            load_f64(&leaves[8..]),
            load_f64(&leaves[16..]),
            load_f64(&leaves[24..]),
        ]
    }

    /// The table's value at each index, of which the lowest five bits are looked at.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn pick_32(table: &[__m512d; 4], index: __m512i) -> __m512d {
        let low = _mm512_permutex2var_pd(table[0], index, table[1]);
        let high = _mm512_permutex2var_pd(table[2], index, table[3]);
        let upper = _mm512_test_epi64_mask(index, _mm512_set1_epi64(16));
        _mm512_mask_blend_pd(upper, low, high)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store_u8(bytes: &mut [u8; 64], register: __m512i) {
        // SAFETY: the array is as long as the register; unaligned stores are fine.
        unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), register) }
    }

    /// Eight bytes.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load_bytes(bytes: &[u8]) -> __m128i {
        let bytes: &[u8; EIGHT] = bytes.first_chunk().expect("half a group");
        _mm_cvtsi64_si128(i64::from_le_bytes(*bytes))
    }

    /// Loads and stores of a whole register, from the front of a slice that is long enough.
    macro_rules! moves {
        ($($load:ident, $store:ident: [$number:ty; $count:expr] as $register:ty, $from:ident, $to:ident;)*) => {$(
            #[inline]
            #[target_feature(enable = "avx512f")]
            fn $load(numbers: &[$number]) -> $register {
                let numbers: &[$number; $count] = numbers.first_chunk().expect("padded");
                // SAFETY: the array is as long as the register; unaligned loads are fine.
                unsafe { $from(numbers.as_ptr().cast()) }
            }

            #[inline]
            #[target_feature(enable = "avx512f")]
            fn $store(numbers: &mut [$number], register: $register) {
                let numbers: &mut [$number; $count] = numbers.first_chunk_mut().expect("padded");
                // SAFETY: as above.
                unsafe { $to(numbers.as_mut_ptr().cast(), register) }
            }
        )*};
    }

    moves! {
        load_f64, store_f64: [f64; EIGHT] as __m512d, _mm512_loadu_pd, _mm512_storeu_pd;
        load_u64, store_u64: [u64; EIGHT] as __m512i, _mm512_loadu_si512, _mm512_storeu_si512;
        load_u32, store_u32: [u32; SIXTEEN] as __m512i, _mm512_loadu_si512, _mm512_storeu_si512;
    }

    /// The ranks of one quarter of a block.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load_ranks(ranks: &Ranks, quarter: usize) -> __m512i {
        let (quarters, _) = ranks.as_chunks::<LANES>();
        // SAFETY: the array is as long as the register; unaligned loads are fine.
        unsafe { _mm512_loadu_si512(quarters[quarter].as_ptr().cast()) }
    }
}
