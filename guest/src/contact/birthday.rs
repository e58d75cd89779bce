//! The canonical form of birthdays: a date without time and place.
//!
//! Both services store an instant for it, and each of their clients has chosen another one for the
//! same day. Reading adds twelve hours before the date is taken, so that midnight on either side of
//! the zone, and noon, all mean the day that the user saw.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::fmt;

/// A day in somebody's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Birthday(Date);

/// Days that both sides can hold. Exchange counts time from 1601 (MS-DTYP, 2.3.3 `FILETIME`).
/// Beyond 2199 stands what was never a day: milliseconds taken for seconds, and Outlook's 4501 for
/// "none".
pub const YEARS: std::ops::RangeInclusive<i16> = 1601..=2199;

/// The zone in whose midnights the CRM keeps dates.
const BERLIN: TimeZone = jiff::tz::get!("Europe/Berlin");

const HALF_DAY: SignedDuration = SignedDuration::from_hours(12);

impl Birthday {
    /// This day, if both sides can hold it.
    pub fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        Date::new(year, month, day)
            .ok()
            .and_then(Self::within_limits)
    }

    /// Reads what a mailbox holds: an instant, or a plain date. `None` where it is neither, or
    /// beyond [`YEARS`].
    pub fn from_mailbox(text: &str) -> Option<Self> {
        let text = text.trim();
        let instant = text.parse::<Timestamp>().ok().or_else(|| {
            let without_zone = text.parse::<DateTime>().ok()?;
            Some(without_zone.to_zoned(TimeZone::UTC).ok()?.timestamp())
        })?;
        let day = instant.checked_add(HALF_DAY).ok()?;
        Self::within_limits(day.to_zoned(TimeZone::UTC).date())
    }

    /// Reads a value of the CRM: the epoch seconds of midnight in Berlin. A text that holds such a
    /// number or writes a date is understood as well.
    pub fn from_crm(value: &Value) -> Option<Self> {
        match CrmForm::of(value)? {
            CrmForm::Seconds | CrmForm::SecondsText => Self::from_seconds(seconds(value)?),
            CrmForm::IsoDate => Self::within_limits(value.as_str()?.trim().parse().ok()?),
            CrmForm::GermanDate => Self::within_limits(german_date(value.as_str()?)?),
        }
    }

    /// As Exchange is told it: 11:59 in UTC is the same day from UTC-11 to UTC+12 (MS-ASCNTC,
    /// 2.2.2.6 asks readers to ignore the time).
    pub fn to_mailbox(self) -> String {
        format!("{}T11:59:00Z", self.0)
    }

    /// As the CRM is told it: the epoch seconds of midnight in Berlin.
    pub fn to_crm(self) -> Value {
        Value::from(self.seconds())
    }

    /// As the CRM is told it, in the form of the value that stood there before.
    pub fn to_crm_like(self, previous: Option<&Value>) -> Value {
        match previous.and_then(CrmForm::of) {
            None | Some(CrmForm::Seconds) => self.to_crm(),
            Some(CrmForm::SecondsText) => Value::from(self.seconds().to_string()),
            Some(CrmForm::IsoDate) => Value::from(self.0.to_string()),
            Some(CrmForm::GermanDate) => Value::from(self.0.strftime("%d.%m.%Y").to_string()),
        }
    }

    fn within_limits(date: Date) -> Option<Self> {
        YEARS.contains(&date.year()).then_some(Self(date))
    }

    fn from_seconds(seconds: i64) -> Option<Self> {
        let midnight = Timestamp::from_second(seconds).ok()?;
        let day = midnight.checked_add(HALF_DAY).ok()?;
        Self::within_limits(day.to_zoned(BERLIN).date())
    }

    fn seconds(self) -> i64 {
        self.0
            .to_zoned(BERLIN)
            .map_or(0, |midnight| midnight.timestamp().as_second())
    }
}

/// `1974-07-22`
impl fmt::Display for Birthday {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How a CRM writes a date. Only the first was ever seen (estates, recorded answers); the others
/// are understood so that an unusual schema loses nothing, and mirrored when written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CrmForm {
    Seconds,
    SecondsText,
    IsoDate,
    GermanDate,
}

impl CrmForm {
    fn of(value: &Value) -> Option<Self> {
        if value.is_number() {
            return seconds(value).map(|_| Self::Seconds);
        }
        let text = value.as_str()?.trim();
        if seconds(value).is_some() {
            Some(Self::SecondsText)
        } else if text.parse::<Date>().is_ok() {
            Some(Self::IsoDate)
        } else {
            german_date(text).map(|_| Self::GermanDate)
        }
    }
}

fn seconds(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            // Whole, and small enough to be exact.
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked to be whole and small"
            )]
            (float.fract() == 0.0 && float.abs() < 1e15).then_some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn german_date(text: &str) -> Option<Date> {
    Date::strptime("%d.%m.%Y", text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn day(year: i16, month: i8, day: i8) -> Birthday {
        Birthday::new(year, month, day).expect("a day within limits")
    }

    #[test]
    fn every_client_of_exchange_means_the_same_day() {
        for text in [
            "1974-07-22",
            "1974-07-22T00:00:00Z",
            "1974-07-22T11:59:00Z",
            "1974-07-21T22:00:00Z",
            "1974-07-22T04:00:00Z",
            "1974-07-22T00:00:00+02:00",
            "1974-07-22T00:00:00",
            "1974-07-22T11:59:00.0000000Z",
            " 1974-07-22T11:59:00Z ",
        ] {
            assert_eq!(
                Birthday::from_mailbox(text),
                Some(day(1974, 7, 22)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_day_is_opaque_in_the_mailbox() {
        for text in [
            "",
            "morgen",
            "1974-02-30",
            "4501-01-01T00:00:00Z",
            "0001-01-01",
            "1974",
        ] {
            assert_eq!(Birthday::from_mailbox(text), None, "{text}");
        }
    }

    /// The recorded values of facts: `1540767600` and `1856383200`, both midnight in Berlin.
    #[test]
    fn the_crm_keeps_midnight_in_berlin() {
        for (seconds, expected) in [
            (1_540_767_600, day(2018, 10, 29)),
            (1_856_383_200, day(2028, 10, 29)),
            // Midnight in winter time, said in summer time.
            (1_540_764_000, day(2018, 10, 29)),
            (0, day(1970, 1, 1)),
            (-3600, day(1970, 1, 1)),
            (-2_208_992_400_i64, day(1900, 1, 1)),
            (-2_209_078_800, day(1899, 12, 31)),
        ] {
            assert_eq!(
                Birthday::from_crm(&json!(seconds)),
                Some(expected),
                "{seconds}"
            );
        }
        assert_eq!(day(2018, 10, 29).to_crm(), json!(1_540_767_600));
        assert_eq!(day(1899, 12, 31).to_crm(), json!(-2_209_078_800_i64));
    }

    #[test]
    fn the_form_of_the_crm_value_is_mirrored() {
        for (before, after) in [
            (json!(1_540_767_600), json!(143_679_600)),
            (json!(1_540_767_600.0), json!(143_679_600)),
            (json!("1540767600"), json!("143679600")),
            (json!("2018-10-29"), json!("1974-07-22")),
            (json!("29.10.2018"), json!("22.07.1974")),
        ] {
            assert_eq!(
                Birthday::from_crm(&before),
                Some(day(2018, 10, 29)),
                "{before}"
            );
            assert_eq!(
                day(1974, 7, 22).to_crm_like(Some(&before)),
                after,
                "{before}"
            );
        }
        assert_eq!(
            day(1974, 7, 22).to_crm_like(Some(&json!({}))),
            json!(143_679_600)
        );
    }

    #[test]
    fn what_is_no_day_is_opaque_in_the_crm() {
        for value in [
            json!(null),
            json!(""),
            json!("31.02.2018"),
            json!({"day": 1}),
            json!(1_540_767_600_000_i64),
            json!(1.5),
            json!(1e300),
            json!(i64::MIN),
            json!(u64::MAX),
        ] {
            assert_eq!(Birthday::from_crm(&value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_birthday_survives_both_sides(year in YEARS, month in 1_i8..=12, day in 1_i8..=28) {
            let birthday = Birthday::new(year, month, day).expect("within limits");
            prop_assert_eq!(Birthday::from_mailbox(&birthday.to_mailbox()), Some(birthday));
            prop_assert_eq!(Birthday::from_crm(&birthday.to_crm()), Some(birthday));
        }
    }
}
