//! Instants as the data path uses them.

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// This instant moved by `ms` milliseconds, stopping at the ends of the range.
    #[must_use]
    pub fn plus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this instant; negative when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant as RFC 3339 text with milliseconds, in UTC and without an allocation; `None` outside the years 0 to
    /// 9999, which RFC 3339 cannot tell.
    ///
    /// The date by Hinnant, "chrono-compatible low-level date algorithms" (2013): years begin in March, so that the
    /// odd day is the last one.
    #[must_use]
    pub fn rfc3339(self) -> Option<[u8; 24]> {
        const DAY_MS: i64 = 86_400_000;
        if !(YEAR_0_MS..YEAR_10000_MS).contains(&self.0) {
            return None;
        }
        let day = self.0.div_euclid(DAY_MS) + 719_468;
        let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097) as u32);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, late) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        let year = (era * 400 + i64::from(year + late)) as u32;
        let ms = self.0.rem_euclid(DAY_MS) as u32;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut two = |at: usize, v: u32| {
            text[at] = b'0' + (v / 10) as u8;
            text[at + 1] = b'0' + (v % 10) as u8;
        };
        two(0, year / 100);
        two(2, year % 100);
        two(5, month);
        two(8, day);
        two(11, ms / 3_600_000);
        two(14, ms / 60_000 % 60);
        two(17, ms / 1_000 % 60);
        two(20, ms / 10 % 100);
        text[22] = b'0' + (ms % 10) as u8;
        Some(text)
    }

    /// The instant that RFC 3339 tells, to the millisecond.
    #[must_use]
    pub fn read(text: &str) -> Option<Millis> {
        ours(text.as_bytes()).or_else(|| {
            let at: jiff::Timestamp = text.parse().ok()?;
            Some(Millis(at.as_millisecond()))
        })
    }
}

/// The beginning of the year 0.
const YEAR_0_MS: i64 = -62_167_219_200_000;
/// The beginning of the year 10000.
const YEAR_10000_MS: i64 = 253_402_300_800_000;

/// The same of what we write ourselves, `2026-11-22T06:41:12.123Z`, which is nearly all that is ever read; `None`
/// for any other form.
fn ours(text: &[u8]) -> Option<Millis> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let marks = [4, 7, 10, 13, 16, 19, 23].map(|at| text[at]);
    if marks != *b"--T::.Z" {
        return None;
    }
    let number = |from: usize, until: usize| {
        text[from..until].iter().try_fold(0_i64, |number, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then(|| number * 10 + i64::from(digit))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // The last days of a long month, leap seconds and the ends of the calendar are for those who know.
    let is_plain = (1..=9_998).contains(&year)
        && (1..=12).contains(&month)
        && (1..=28).contains(&day)
        && (hour < 24 && minute < 60 && second < 60);
    let seconds = (days(year, month, day) * 24 + hour) * 3_600 + minute * 60 + second;
    is_plain.then_some(Millis(seconds * 1_000 + number(20, 23)?))
}

/// Days since the Unix epoch (Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that a leap day is the last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use jiff::fmt::temporal::DateTimePrinter;

    use super::*;

    #[test]
    fn an_instant_is_told_as_jiff_tells_it() {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        let known = (YEAR_0_MS..253_402_200_000_000).step_by(40_009_876_543);
        let edges = [YEAR_0_MS, 0, -1, 951_782_399_999, 951_782_400_000].into_iter();
        for ms in known.chain(edges) {
            let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap();
            let text = Millis(ms).rfc3339().unwrap();
            assert_eq!(
                std::str::from_utf8(&text).unwrap(),
                PRINTER.timestamp_to_string(&timestamp)
            );
        }
        assert_eq!(Millis(YEAR_0_MS - 1).rfc3339(), None);
        assert_eq!(Millis(YEAR_10000_MS).rfc3339(), None);
        let last = Millis(YEAR_10000_MS - 1).rfc3339().unwrap();
        assert_eq!(last, *b"9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn every_day_is_read_as_the_calendar_has_it() {
        let start: jiff::civil::Date = jiff::civil::date(1, 1, 1);
        let mut days = start.series(jiff::Span::new().days(97)).take(37_000);
        assert!(days.all(|date| {
            let text = format!("{date}T23:59:58.765Z");
            let at: jiff::Timestamp = text.parse().unwrap();
            Millis::read(&text) == Some(Millis(at.as_millisecond()))
        }));
    }

    #[test]
    fn other_forms_are_read_too_and_nonsense_is_not() {
        for text in [
            "2026-11-22T06:41:12Z",
            "2026-11-22T06:41:12.1234Z",
            "2026-11-22T06:41:12+02:00",
            "2026-02-29T06:41:12.123Z",
            "2028-02-29T06:41:12.123Z",
            "2026-06-30T23:59:60.123Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:61:00.000Z",
            "9999-12-31T00:00:00.000Z",
            "0000-01-01T00:00:00.000Z",
            "2026-01-01t00:00:00.000z",
            "+202-01-01T00:00:00.000Z",
            "2026-01-01T00:00:00.0 0Z",
            "",
            "now",
        ] {
            let at = text.parse::<jiff::Timestamp>().ok();
            let at = at.map(|at| Millis(at.as_millisecond()));
            assert_eq!(Millis::read(text), at, "{text}");
        }
    }
}
