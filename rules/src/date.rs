//! A calendar day, as a waiver's `until = "YYYY-MM-DD"` writes it.

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// Parses exactly `YYYY-MM-DD`, from the year 2000 on. `None` for any other text and for a date
    /// that does not exist.
    #[must_use]
    pub const fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let (Some(year), Some(month), Some(day)) =
            (number(bytes, 0, 4), number(bytes, 5, 7), number(bytes, 8, 10))
        else {
            return None;
        };
        if year < 2000
            || month == 0
            || month > 12
            || day == 0
            || day > days_in(year, month as u8) as u16
        {
            return None;
        }
        Some(Self { year, month: month as u8, day: day as u8 })
    }

    /// The date `days` days after 1970-01-01; saturates at the limits of `Date`.
    #[must_use]
    pub const fn from_unix_days(days: i64) -> Self {
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
        let days = days.saturating_add(719_468);
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + (month <= 2) as i64;
        if year < 0 {
            return Self { year: 0, month: 1, day: 1 };
        }
        if year > u16::MAX as i64 {
            return Self { year: u16::MAX, month: 12, day: 31 };
        }
        Self { year: year as u16, month: month as u8, day: day as u8 }
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn to_unix_days(self) -> i64 {
        let year = self.year as i64 - (self.month <= 2) as i64;
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = self.month as i64;
        let shifted = if month > 2 { month - 3 } else { month + 9 };
        let of_year = (153 * shifted + 2) / 5 + self.day as i64 - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468
    }
}

impl core::fmt::Display for Date {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

const fn number(bytes: &[u8], from: usize, to: usize) -> Option<u16> {
    let mut value = 0;
    let mut i = from;
    while i < to {
        if !bytes[i].is_ascii_digit() {
            return None;
        }
        value = value * 10 + (bytes[i] - b'0') as u16;
        i += 1;
    }
    Some(value)
}

const fn days_in(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    #[test]
    fn reads_days_that_exist_and_no_others() {
        for good in ["2027-03-01", "2028-02-29", "2000-02-29", "2026-12-31"] {
            assert_eq!(Date::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "", "2027-3-1", "2027-02-29", "2100-02-29", "2027-13-01", "2027-00-10", "2027-04-31",
            "2027-01-00", "1999-12-31", "2027/03/01", "2027-03/01", "2027/03-01", " 2027-03-01",
            "2027-03-01T00:00", "tomorrow", "２027-03-0",
        ] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn counts_days_both_ways() {
        assert_eq!(Date::from_unix_days(0).to_string(), "1970-01-01");
        assert_eq!(Date::from_unix_days(20_780).to_string(), "2026-11-23");
        for (days, date) in [
            (-719_468, "0000-03-01"),
            (-719_528, "0000-01-01"),
            (-719_529, "0000-01-01"),
            (23_216_790, "65535-06-01"),
            (23_217_003, "65535-12-31"),
            (23_217_004, "65535-12-31"),
            (23_317_003, "65535-12-31"),
            (i64::MIN, "0000-01-01"),
            (i64::MAX, "65535-12-31"),
        ] {
            assert_eq!(Date::from_unix_days(days).to_string(), date, "{days}");
        }
        for days in -719_000..100_000 {
            assert_eq!(Date::from_unix_days(days).to_unix_days(), days);
        }
    }
}
