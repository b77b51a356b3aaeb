//! Days and points in time as texts (ISO 8601; `dateTimeStamp` of XML Schema 1.1 part 2 section 3.4.28), in UTC.
use crate::time::Timestamp;

/// A day of the proleptic Gregorian calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Date {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

impl Date {
    /// A full date, `YYYY-MM-DD` (ISO 8601). The year 0000 (OpenID Connect: "omitted") and a year alone are none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut number = |length: usize| -> Option<i64> {
            let part = parts.next()?;
            (part.len() == length && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
        };
        let date = Self { year: number(4)?, month: number(2)?, day: number(2)? };
        let real = date.year > 0 && (1..=12).contains(&date.month) && (1..=date.days_of_month()).contains(&date.day);
        (parts.next().is_none() && real).then_some(date)
    }

    fn days_of_month(self) -> i64 {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// The day in UTC. Eras of 400 years of 146,097 days each, years that start in March, so that a leap day is the
    /// last of its year. 719,468 days lie between 0000-03-01 and 1970-01-01.
    pub(crate) fn of(time: Timestamp) -> Self {
        let days = time.unix().div_euclid(86_400) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day }
    }

    /// Whole years from this day to another.
    pub(crate) fn years_until(self, other: Self) -> i64 {
        let before = (other.month, other.day) < (self.month, self.day);
        other.year - self.year - i64::from(before)
    }

    /// Days since 1970-01-01: the inverse of [`of`](Self::of).
    fn days(self) -> i64 {
        let (year, month) = if self.month > 2 { (self.year, self.month - 3) } else { (self.year - 1, self.month + 9) };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month + 2) / 5 + self.day - 1;
        era * 146_097 + day_of_era - 719_468
    }
}

/// A point in time as a text says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DateTime {
    /// the whole second that it falls in
    pub(crate) floor: Timestamp,
    /// the first whole second that is not before it
    pub(crate) ceil: Timestamp,
}

impl DateTime {
    /// `YYYY-MM-DDThh:mm:ss` with an optional fraction and a time zone, `Z` or `±hh:mm` (`dateTimeStamp` of XML Schema
    /// 1.1). A time without a zone is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', 't'])?;
        let (clock, zone) = match time.strip_suffix(['Z', 'z']) {
            Some(clock) => (clock, 0),
            None => {
                let (clock, zone) = time.split_at_checked(time.len().checked_sub(6)?)?;
                let (sign, zone) = zone.split_at_checked(1)?;
                let (hours, minutes) = zone.split_once(':')?;
                let minutes = two_digits(hours, 14)? * 60 + two_digits(minutes, 59)?;
                (
                    clock,
                    match sign {
                        "+" => minutes * 60,
                        "-" => -minutes * 60,
                        _ => return None,
                    },
                )
            }
        };
        let (clock, fraction) = match clock.split_once('.') {
            Some((clock, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) => {
                (clock, fraction.bytes().any(|b| b != b'0'))
            }
            Some(_) => return None,
            None => (clock, false),
        };
        let mut parts = clock.split(':');
        let mut part = |most: i64| parts.next().and_then(|part| two_digits(part, most));
        let seconds = part(23)? * 3600 + part(59)? * 60 + part(59)?;
        if parts.next().is_some() {
            return None;
        }
        let floor = Date::parse(date)?.days() * 86_400 + seconds - zone;
        Some(Self { floor: Timestamp::from_unix(floor), ceil: Timestamp::from_unix(floor + i64::from(fraction)) })
    }
}

/// `YYYY-MM-DDThh:mm:ssZ`. `None` for years that have not four digits.
pub(crate) fn format(time: Timestamp) -> Option<String> {
    let Date { year, month, day } = Date::of(time);
    let second = time.unix().rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    (1..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

fn two_digits(text: &str, most: i64) -> Option<i64> {
    let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?.filter(|number| *number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_a_point_in_time() {
        for (text, floor, ceil) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2026-11-22T12:34:56Z", 1_795_350_896, 1_795_350_896),
            ("2026-11-22T12:34:56.000Z", 1_795_350_896, 1_795_350_896),
            ("2026-11-22T12:34:56.001Z", 1_795_350_896, 1_795_350_897),
            ("2026-11-22T14:34:56+02:00", 1_795_350_896, 1_795_350_896),
            ("2026-11-22T05:04:56-07:30", 1_795_350_896, 1_795_350_896),
            ("2024-02-29T23:59:59Z", 1_709_251_199, 1_709_251_199),
        ] {
            let time = DateTime::parse(text).unwrap();
            assert_eq!((time.floor.unix(), time.ceil.unix()), (floor, ceil), "{text}");
        }
        for bad in [
            "",
            "T",
            "2026-11-22",
            "2026-11-22T12:34:56",
            "2026-11-22 12:34:56Z",
            "2026-11-22T12:34Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T12:60:00Z",
            "2026-11-22T12:34:60Z",
            "2026-11-22T12:34:56.Z",
            "2026-11-22T12:34:56+2:00",
            "2026-11-22T12:34:56+15:00",
            "2026-11-22T12:34:56+02:60",
            "2026-02-29T00:00:00Z",
            "2026-11-22T12:34:56ZZ",
            "2026-11-22T12:34:5\u{e9}Z",
            "\u{e9}\u{e9}T\u{e9}\u{e9}\u{e9}",
            "0000-01-01T00:00:00Z",
            "2026-11-22T12:34:56:00Z",
        ] {
            assert_eq!(DateTime::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(seconds in -62_000_000_000_i64..=253_402_300_799) {
            let time = Timestamp::from_unix(seconds);
            let text = format(time).unwrap();
            prop_assert_eq!(DateTime::parse(&text), Some(DateTime { floor: time, ceil: time }));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = (DateTime::parse(&text), Date::parse(&text));
        }
    }
}
