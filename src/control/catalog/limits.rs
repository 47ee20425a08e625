//! How much a catalog may hold. Beyond a limit the catalog is refused and the one that serves stays.
//!
//! The limits keep a snapshot small enough to be compiled in a moment and to sit in the processor's
//! caches; none of them is near what an operator needs.

/// Bytes of the whole text.
pub const FILE_BYTES_MAX: usize = 8 << 20;
/// Mistakes that are told; after so many the first ones are what matters.
pub const MISTAKES_MAX: usize = 200;
/// Offers.
pub const OFFERS_MAX: usize = 10_000;
/// Placements; tracker pages have about ten.
pub const PLACEMENTS_MAX: usize = 256;
/// Offers that one answer may put at one placement.
pub const COUNT_MAX: i64 = 20;
/// Creatives of one offer: channels times locales.
pub const CREATIVES_MAX: usize = 64;
/// Declared customer features.
pub const FEATURES_MAX: usize = 1_024;
/// Values that a category feature declares.
pub const CATEGORY_VALUES_MAX: usize = 1_024;
/// Declared triggers, besides those that every page knows.
pub const TRIGGERS_MAX: usize = 256;
/// Named groups for `$inGroup`.
pub const GROUPS_MAX: usize = 256;
/// Values in one group.
pub const GROUP_VALUES_MAX: usize = 100_000;
/// Distinct labels: one bit each in a word.
pub const LABELS_MAX: usize = 64;
/// Caps of one offer, and caps over everything that sells.
pub const CAPS_MAX: usize = 8;
/// Showings that one cap allows.
pub const CAP_COUNT_MAX: i64 = 10_000;
/// Hours that a cap looks back: the ledger must remember as long.
pub const CAP_HOURS_MAX: i64 = 366 * 24;
/// Entries in an offer's short lists: triggers, skills, stock, owned products, labels.
pub const LIST_MAX: usize = 64;
/// Model inputs that one offer brings along.
pub const OFFER_FEATURES_MAX: usize = 64;
/// Characters of an id.
pub const ID_CHARS_MAX: usize = 64;
/// Characters of a name, a heading or a button.
pub const NAME_CHARS_MAX: usize = 120;
/// Characters of a paragraph.
pub const BODY_CHARS_MAX: usize = 1_000;
/// Characters of a URL.
pub const URL_CHARS_MAX: usize = 2_048;
/// Placeholders in one text.
pub const PLACEHOLDERS_MAX: usize = 16;
/// Minor units of a value or a price: ten million dollars.
pub const MINOR_MAX: i64 = 1_000_000_000;
/// The operator's multiplier.
pub const LEVER: std::ops::RangeInclusive<f64> = 0.01..=100.0;
/// Probability of a conversion before any model: zero would never be shown by score.
pub const PRIOR: std::ops::RangeInclusive<f64> = 0.0001..=1.0;
/// How sharply softmax prefers the best, as a share of the best score.
pub const TEMPERATURE: std::ops::RangeInclusive<f64> = 0.001..=100.0;
/// How fast inverse-gap weighting falls with the gap, as a share of the best score.
pub const GAMMA: std::ops::RangeInclusive<f64> = 0.0..=1e6;
/// What a posterior's deviations are multiplied by: 1 is Thompson's exploring, 0 the best alone.
pub const ALPHA: std::ops::RangeInclusive<f64> = 0.0..=10.0;
/// Hours after being seen in which an event is the showing's consequence. An hour is longer than any hold;
/// what is remembered for longer than a quarter is remembered for nothing.
pub const WINDOW_HOURS: std::ops::RangeInclusive<i64> = 1..=90 * 24;
/// Columns that the terms of an offer may have. Up to 40 they are learnt with every covariance, beyond
/// that each by itself, and the time of a decision grows with them.
pub const LEARNING_COLUMNS_MAX: usize = 256;
