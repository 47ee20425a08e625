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
}

/// The beginning of the year 0.
const YEAR_0_MS: i64 = -62_167_219_200_000;
/// The beginning of the year 10000.
const YEAR_10000_MS: i64 = 253_402_300_800_000;

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
}
