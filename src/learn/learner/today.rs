//! The operator's wall clock, for one moment after another of the same day.
//!
//! Finding out what a clock shows takes a time zone's rules, and the text of a day takes memory; a million decisions
//! have the same day. Between two changes of the offset a day is a stretch of time.

use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::report::day;
use crate::decide::inputs::Clock;
use crate::domain::Millis;

/// A minute, and a day without a change of the offset, in milliseconds.
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The day that was asked about last.
#[derive(Default)]
pub(super) struct Today {
    zone: Option<TimeZone>,
    /// The part of it that has the offset of that moment.
    within: Range<i64>,
    /// From UTC to the wall clock, milliseconds.
    offset: i64,
    weekday: u8,
    text: String,
}

impl Today {
    /// The day of that moment, as [`day`] has it.
    pub fn day(&mut self, zone: &TimeZone, at: i64) -> &str {
        self.look(zone, at);
        &self.text
    }

    /// What a clock shows in that moment, as [`Clock::at`] has it.
    pub fn clock(&mut self, zone: &TimeZone, at: Millis) -> Clock {
        self.look(zone, at.0);
        if !self.within.contains(&at.0) {
            return Clock::at(at, zone);
        }
        let minute = (at.0 + self.offset).rem_euclid(DAY_MS) / MINUTE_MS;
        Clock {
            weekday: self.weekday,
            minute: u16::try_from(minute).expect("a day has 1,440"),
        }
    }

    fn look(&mut self, zone: &TimeZone, at: i64) {
        if self.within.contains(&at) && self.zone.as_ref() == Some(zone) {
            return;
        }
        let known = Timestamp::from_millisecond(at).ok();
        let found = known.and_then(|instant| {
            let offset = i64::from(zone.to_offset(instant).seconds()) * 1_000;
            let midnight = (at + offset).div_euclid(DAY_MS) * DAY_MS - offset;
            // Both are whole seconds. What begins with a change has the offset after it.
            let last = zone
                .preceding(instant.checked_add(MILLISECOND).ok()?)
                .next();
            let next = zone.following(instant).next();
            let from = last.map_or(i64::MIN, |change| change.timestamp().as_millisecond());
            let until = next.map_or(i64::MAX, |change| change.timestamp().as_millisecond());
            Some((offset, midnight.max(from)..(midnight + DAY_MS).min(until)))
        });
        (self.offset, self.within) = found.unwrap_or_default();
        self.weekday = Clock::at(Millis(at), zone).weekday;
        self.text = day(zone, at);
        self.zone = Some(zone.clone());
    }
}

const MILLISECOND: jiff::SignedDuration = jiff::SignedDuration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Expects every moment of a stretch to be told as without a memory.
    #[track_caller]
    fn check(zone: &str, around: &str, step_ms: i64) {
        let zone = TimeZone::get(zone).unwrap();
        let around: Timestamp = around.parse().unwrap();
        let mut today = Today::default();
        for step in -3_000..3_000 {
            let at = around.as_millisecond() + step * step_ms;
            assert_eq!(today.day(&zone, at), day(&zone, at), "{at}");
            let clock = Clock::at(Millis(at), &zone);
            assert_eq!(today.clock(&zone, Millis(at)), clock, "{at}");
        }
    }

    #[test]
    fn a_day_is_told_as_the_zone_has_it() {
        // Steps that are no divisors of a day: all its minutes come by.
        let steps = [1, 997, 61_001, 3_599_999];
        for (zone, around) in [
            ("UTC", "2026-11-22T00:00:00Z"),
            ("UTC", "1969-12-31T23:59:59Z"),
            ("America/Chicago", "2026-11-01T07:00:00Z"),
            ("America/Chicago", "2026-03-08T08:00:00Z"),
            // Midnight comes twice.
            ("America/Havana", "2026-11-01T05:00:00Z"),
            ("America/St_Johns", "2006-10-29T02:31:00Z"),
            // Midnight does not come.
            ("America/Asuncion", "2023-10-01T04:00:00Z"),
            // A day does not come.
            ("Pacific/Apia", "2011-12-30T10:00:00Z"),
            // An offset of other than whole minutes.
            ("Europe/Amsterdam", "1937-06-30T23:40:28Z"),
        ] {
            for step in steps {
                check(zone, around, step);
            }
        }
    }

    #[test]
    fn another_zone_is_another_day() {
        let (utc, there) = (TimeZone::UTC, TimeZone::get("America/Chicago").unwrap());
        let (mut today, at) = (Today::default(), 1_763_776_800_000);
        for zone in [&utc, &there, &utc] {
            assert_eq!(today.day(zone, at), day(zone, at));
        }
    }

    #[test]
    fn what_no_calendar_has_is_told_all_the_same() {
        let mut today = Today::default();
        for at in [i64::MIN, i64::MAX] {
            assert_eq!(today.day(&TimeZone::UTC, at), day(&TimeZone::UTC, at));
            let clock = Clock::at(Millis(at), &TimeZone::UTC);
            assert_eq!(today.clock(&TimeZone::UTC, Millis(at)), clock);
        }
    }
}
