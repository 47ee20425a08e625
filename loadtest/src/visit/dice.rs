//! Chance that comes out the same on every run.
//!
//! Each die is made from the seed and the names of what it decides about (this customer, this phase,
//! this offer). What happens to one thing therefore never depends on how many dice were thrown for
//! another, nor on the order in which answers arrive.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice for what `names` name, under `seed`.
    pub fn new(seed: u64, names: &[&str]) -> Dice {
        // FNV-1a, with a byte between names that no name ends in, so that ("a", "bc") is not ("ab", "c").
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        for name in names {
            name.bytes().for_each(&mut eat);
            eat(0xff);
        }
        let mut dice = Dice(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0, below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with that probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// At least `low`, below `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number from `low` to `high`, both possible.
    pub fn whole(&mut self, low: u32, high: u32) -> u32 {
        low + (self.next() % (u64::from(high - low) + 1)) as u32
    }

    /// One of them, each equally likely.
    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[(self.next() % of.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_names_throw_the_same() {
        let throw = |seed, names: &[&str]| Dice::new(seed, names).next();
        assert_eq!(throw(1, &["a", "bc"]), throw(1, &["a", "bc"]));
        assert_ne!(throw(1, &["a", "bc"]), throw(1, &["ab", "c"]));
        assert_ne!(throw(1, &["a", "bc"]), throw(2, &["a", "bc"]));
    }

    #[test]
    fn chances_are_as_told() {
        let hit = |p: f64| {
            let mut dice = Dice::new(7, &["chance"]);
            (0..10_000).filter(|_| dice.chance(p)).count()
        };
        assert_eq!(hit(0.0), 0);
        assert_eq!(hit(1.0), 10_000);
        // Five standard deviations of a binomial with p = 0.3.
        assert!(hit(0.3).abs_diff(3_000) < 230, "{}", hit(0.3));
    }

    #[test]
    fn ranges_are_closed() {
        let mut dice = Dice::new(7, &["whole"]);
        let seen: std::collections::BTreeSet<u32> = (0..200).map(|_| dice.whole(3, 5)).collect();
        assert_eq!(seen, [3, 4, 5].into());
    }
}
