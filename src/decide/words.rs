//! A fixed list of words, each found in one look.
//!
//! Every request names its features and its categories by words, dozens of them, and a decision has
//! microseconds. The lists are known when a snapshot is compiled, so each gets a hash of its own under which no
//! two of its words meet: a look hashes the word, reads one cell, and compares one string, whether the word is
//! in the list or not. Made by *hash and displace* (Belazzougui, Botelho, Dietzfelbinger, "Hash, displace, and
//! compress", ESA 2009), without the compression: lists are short.

/// Marks a cell that no word fell into.
const EMPTY: u32 = u32::MAX;

/// Displacements tried for one bucket before all begins anew under another seed. A bucket of a table that is at
/// most half full needs a handful.
const DISPLACEMENTS_MAX: u32 = 1 << 12;

/// A list of different words.
#[derive(Clone, Debug, Default)]
pub struct Words {
    words: Vec<Box<str>>,
    seed: u64,
    /// By bucket: what moves its words to cells of their own. Their number is a power of two.
    displacements: Vec<u32>,
    /// Places in the list, or [`EMPTY`]. Their number is a power of two.
    cells: Vec<u32>,
}

impl Words {
    /// The words in their order; a word that was there already keeps its first place.
    #[must_use]
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Words {
        let words: Vec<Box<str>> = words.into_iter().map(Into::into).collect();
        let mut places: Vec<u32> = (0..).take(words.len()).collect();
        let word = |place: &u32| &*words[*place as usize];
        places.sort_by_key(|place| (word(place), *place));
        places.dedup_by_key(|place| word(place));
        // Different words part under almost every seed, so this ends.
        let (seed, (displacements, cells)) = (0_u64..)
            .find_map(|seed| Some((seed, arrange(&words, &places, seed)?)))
            .expect("there are 2^64 seeds");
        Words {
            words,
            seed,
            displacements,
            cells,
        }
    }

    /// The word's place in the list.
    #[must_use]
    pub fn place(&self, word: &str) -> Option<u32> {
        if self.words.is_empty() {
            return None;
        }
        let hash = hash(word, self.seed);
        let displacement = self.displacements[bucket(hash, self.displacements.len())];
        let place = self.cells[cell(hash, displacement, self.cells.len())];
        (self.words.get(place as usize)).and_then(|found| (**found == *word).then_some(place))
    }

    /// How many words there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|word| &**word)
    }
}

/// Displacements and cells for these places, or `None` where the seed is an unlucky one.
fn arrange(words: &[Box<str>], places: &[u32], seed: u64) -> Option<(Vec<u32>, Vec<u32>)> {
    let mut cells = vec![EMPTY; (places.len() * 2).next_power_of_two()];
    let mut displacements = vec![0; (places.len() / 2).max(1).next_power_of_two()];
    let mut buckets = vec![Vec::new(); displacements.len()];
    for &place in places {
        let hash = hash(&words[place as usize], seed);
        buckets[bucket(hash, displacements.len())].push((hash, place));
    }
    // The fullest first, while there is the most room.
    let mut order: Vec<usize> = (0..buckets.len()).collect();
    order.sort_by_key(|&b| std::cmp::Reverse(buckets[b].len()));
    let mut taken = Vec::new();
    for b in order {
        displacements[b] = (0..DISPLACEMENTS_MAX).find(|&displacement| {
            taken.clear();
            buckets[b].iter().all(|&(hash, _)| {
                let at = cell(hash, displacement, cells.len());
                let free = cells[at] == EMPTY && !taken.contains(&at);
                taken.push(at);
                free
            })
        })?;
        for (&(_, place), &at) in buckets[b].iter().zip(&taken) {
            cells[at] = place;
        }
    }
    Some((displacements, cells))
}

/// A hash of short words, eight bytes at a time: it only has to part the list's own words under some seed, and half of
/// a look is spent in it. The last step takes in the last eight bytes, some of them for the second time.
#[inline]
fn hash(word: &str, seed: u64) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let fold = |v: u64| {
        let product = u128::from(v) * u128::from(ODD);
        product as u64 ^ (product >> 64) as u64
    };
    let bytes = word.as_bytes();
    let mut hash = seed ^ (bytes.len() as u64 + 1).wrapping_mul(ODD);
    for chunk in bytes.as_chunks().0 {
        hash = fold(hash ^ u64::from_le_bytes(*chunk));
    }
    let last = match (bytes, bytes.first_chunk(), bytes.last_chunk()) {
        ([.., a, b, c, d, e, f, g, h], ..) => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        (_, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        ([a, .., b], ..) => {
            u64::from(*a) | u64::from(bytes[bytes.len() / 2]) << 8 | u64::from(*b) << 16
        }
        ([a], ..) => u64::from(*a),
        ([], ..) => 0,
    };
    fold(fold(hash ^ last))
}

/// The hash's low bits choose the bucket.
fn bucket(hash: u64, buckets: usize) -> usize {
    hash as usize & (buckets - 1)
}

/// Its high half, moved by the bucket's displacement times another odd number of the hash's own, chooses the cell.
fn cell(hash: u64, displacement: u32, cells: usize) -> usize {
    let step = (hash >> 16) as u32 | 1;
    let at = ((hash >> 32) as u32).wrapping_add(displacement.wrapping_mul(step));
    at as usize & (cells - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str]) {
        let list = Words::new(words.iter().copied());
        assert_eq!(list.len(), words.len());
        for (i, word) in words.iter().enumerate() {
            let first = words.iter().position(|w| w == word).unwrap();
            assert_eq!(list.place(word), Some(first as u32), "{word} at {i}");
            assert_eq!(list.place(&format!("{word} ")), None);
        }
        for other in ["", "tenur", "tenure\0", "ténure", &"x".repeat(10_000)] {
            if !words.contains(&other) {
                assert_eq!(list.place(other), None, "{other}");
            }
        }
    }

    #[test]
    fn every_word_is_found_and_no_other() {
        check(&[]);
        check(&["tenure"]);
        check(&["", "a"]);
        check(&["tenure", "Contract", "tenure", "Contract", "x"]);
        for count in [2, 3, 7, 60, 255, 4_096] {
            let words: Vec<String> = (0..count).map(|i| format!("feature_{i}")).collect();
            check(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
