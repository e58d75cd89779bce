//! How long to wait.

use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;

use crate::outside::Timestamp;

/// The first pause after a refusal that names none, once the short ones in place were in vain.
const BACK_OFF_MS_MIN: u64 = 5_000;

/// The longest pause that is proposed without the service naming it.
const BACK_OFF_MS_MAX: u64 = 300_000;

/// The pause after this many refusals (from 0): doubled each time, within bounds.
pub(super) fn back_off_ms(refusals: u32) -> u64 {
    BACK_OFF_MS_MIN
        .saturating_mul(1_u64 << refusals.min(10))
        .min(BACK_OFF_MS_MAX)
}

/// What `Retry-After` asks for: seconds, or a date
/// (<https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>). `None` if it is neither.
pub(super) fn retry_after_ms(text: &str, now: Timestamp) -> Option<u64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a pause without end: the caller bounds it.
        return Some(
            text.parse::<u64>()
                .unwrap_or(u64::MAX)
                .saturating_mul(1_000),
        );
    }
    let until = http_date(text)?;
    Some(u64::try_from(until.since_ms(now)).unwrap_or(0))
}

/// The three forms that a recipient must accept
/// (<https://www.rfc-editor.org/rfc/rfc9110#name-date-time-formats>).
fn http_date(text: &str) -> Option<Timestamp> {
    if let Ok(instant) = DateTimeParser::new().parse_timestamp(text) {
        return Some(Timestamp(instant.as_millisecond()));
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|format| {
            let civil = DateTime::strptime(format, text).ok()?;
            let instant = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
            Some(Timestamp(instant.as_millisecond()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06T08:49:37Z, the example of RFC 9110.
    const EXAMPLE: i64 = 784_111_777_000;

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let now = Timestamp(EXAMPLE - 7_000);
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120_000)),
            (" 2 ", Some(2_000)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7_000)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7_000)),
            ("Sun Nov  6 08:49:37 1994", Some(7_000)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("+5", None),
            ("soon", None),
            ("", None),
            ("1.5", None),
        ] {
            assert_eq!(retry_after_ms(text, now), expected, "{text:?}");
        }
    }

    #[test]
    fn back_off_doubles_within_bounds() {
        let pauses: Vec<u64> = (0..8).map(back_off_ms).collect();
        assert_eq!(
            pauses,
            [
                5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000
            ]
        );
        assert_eq!(back_off_ms(u32::MAX), 300_000);
    }
}
