//! How large anything in a public message may be, and why.
//!
//! Every limit is stated three times from these constants: in the check, in the error that names
//! the allowed range, and in the API description. Lengths of strings are counted in characters, as
//! JSON Schema counts them; the sum over a message is counted in bytes, since it bounds memory.

use std::ops::RangeInclusive;

/// A body of a decision or of a batch of events: some forty times a usual one.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How deep JSON may nest. The contract needs 5; ignored fields of newer clients may be deeper.
pub const DEPTH_MAX: usize = 16;

/// All strings of a request together: what one request can make the record of a decision grow by.
pub const STRING_BYTES_MAX: usize = 16 * 1024;

/// Any id: four times a UUID's text, since operators build ids from parts.
pub const ID_CHARS: RangeInclusive<usize> = 1..=128;

/// Short words: names of features, triggers, skills, parts, segments, products, elements.
pub const WORD_CHARS: RangeInclusive<usize> = 1..=64;

/// The value of a feature.
pub const TEXT_CHARS_MAX: usize = 256;

/// A context token: what fits a request header of other people's proxies, too.
pub const CONTEXT_TOKEN_CHARS: RangeInclusive<usize> = 1..=4096;

/// An offer's token: five times our own, which are under 100 characters.
pub const TOKEN_CHARS: RangeInclusive<usize> = 1..=512;

/// Placements of one page.
pub const PLACEMENTS: RangeInclusive<usize> = 1..=8;

/// Offers wanted at one placement: what people scroll through.
pub const COUNT: RangeInclusive<i64> = 1..=20;

/// Features of one customer: more than the models that score within the budget look at.
pub const FEATURES_MAX: usize = 64;

/// Triggers: three times as many as the page's own script knows.
pub const TRIGGERS_MAX: usize = 32;

/// Entries of a list of words: segments, products, skills, stock, offers to leave out.
pub const LIST_MAX: usize = 256;

/// The largest absolute value of a number: below 2^53, so that JSON readers in every language agree on it.
pub const NUMBER_MAX: f64 = 1e15;

/// How long a caller may wait. A minute is far beyond any page's patience.
pub const DEADLINE_MS: RangeInclusive<i64> = 1..=60_000;

/// Stars.
pub const RATING: RangeInclusive<i64> = 1..=5;

/// Seconds until the technician arrives: a year, since visits are scheduled ahead.
pub const ETA_SECONDS: RangeInclusive<i64> = 0..=31_536_000;

/// Seconds behind the promise, either way: a year.
pub const DELAY_SECONDS: RangeInclusive<i64> = -31_536_000..=31_536_000;

/// How often a visit was moved.
pub const RESCHEDULES: RangeInclusive<i64> = 0..=1_000;

/// A technician's minutes to spare: a week.
pub const SLACK_MINUTES: RangeInclusive<i64> = 0..=10_080;

/// How often a trigger happened.
pub const TRIGGER_COUNT: RangeInclusive<i64> = 1..=1_000_000;

/// How long ago something happened, or how long it lasted, in milliseconds: a year.
pub const SPAN_MS: RangeInclusive<i64> = 0..=31_536_000_000;

/// An amount in minor units.
pub const AMOUNT_MINOR: RangeInclusive<i64> = -1_000_000_000_000..=1_000_000_000_000;

/// Events in one batch: what a page gathers between two beacons.
pub const EVENTS: RangeInclusive<usize> = 1..=100;

/// How far ahead of ours a sender's clock may be.
pub const EVENT_AHEAD_MS_MAX: i64 = 60_000;

/// How old an event may be: conversion tokens live 30 days, and a late batch may take five more.
pub const EVENT_AGE_MS_MAX: i64 = 35 * 24 * 3_600_000;

/// For how long a context token holds.
pub const CONTEXT_TTL_SECONDS: RangeInclusive<i64> = 1..=900;
