//! Times in UTC. The C library's local times depend on a file that the environment names, so no
//! program at a change of user uses them.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// A second of the calendar in UTC. `Display` writes it as RFC 3339 does: 2024-02-29T01:02:03Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    /// The year, as 2024.
    pub year: i64,
    /// The month, from 1.
    pub month: i64,
    /// The day of the month, from 1.
    pub day: i64,
    /// The hour, from 0 to 23.
    pub hour: i64,
    /// The minute.
    pub minute: i64,
    /// The second.
    pub second: i64,
}

impl Utc {
    /// The calendar's second for a number of seconds since 1970.
    pub fn of(seconds: u64) -> Utc {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let (days, time) = (seconds / DAY, seconds % DAY);
        // Years that begin in March: a leap day is the last day of its year. From 0000-03-01 on, in
        // eras of 400 years.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, carried) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year + carried;
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        Utc { year, month, day, hour, minute, second }
    }

    /// The seconds since 1970; none for a day or time that does not exist, or one before 1970. A
    /// leap second (60) counts as the second after it.
    pub fn seconds(&self) -> Option<u64> {
        let Utc { year, month, day, hour, minute, second } = *self;
        let exists = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60).contains(&second);
        if !exists {
            return None;
        }
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, of_era) = (year / 400, year % 400);
        let of_year = (153 * month + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        u64::try_from(days * DAY + hour * 3600 + minute * 60 + second).ok()
    }
}

impl Display for Utc {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Utc { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The time since 1970; zero for a clock that is before.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A time since 1970 as RFC 3339 writes it, with milliseconds: 2024-02-29T01:02:03.004Z.
pub fn with_milliseconds(time: Duration) -> String {
    let second = Utc::of(time.as_secs()).to_string();
    format!("{}.{:03}Z", second.trim_end_matches('Z'), time.subsec_millis())
}

/// Reads a time: `@<seconds since 1970>`, or a date and a time of day as RFC 3339 writes them, also
/// with a blank in the place of `T`, without seconds, and with a fraction of at most nine digits.
/// Without an offset (`Z`, `+01:00`) it is UTC. None for anything else.
pub fn parse(text: &str) -> Option<Duration> {
    if let Some(seconds) = text.strip_prefix('@') {
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        return Some(Duration::new(number(whole, 1..=12)?.try_into().ok()?, nanos(fraction)?));
    }
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (time, offset) = time.split_at(at);
    let mut times = time.split(':');
    let (hour, minute, second) = (times.next()?, times.next()?, times.next().unwrap_or("00"));
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    if parts.next().is_some() || times.next().is_some() {
        return None;
    }
    let two = |digits: &str| number(digits, 2..=2);
    let utc = Utc {
        year: number(year, 4..=4)?,
        month: two(month)?,
        day: two(day)?,
        hour: two(hour)?,
        minute: two(minute)?,
        second: two(second)?,
    };
    let seconds = i64::try_from(utc.seconds()?).ok()?.checked_sub(offset_seconds(offset)?)?;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanos(fraction)?))
}

/// The seconds that an offset is east of UTC.
fn offset_seconds(offset: &str) -> Option<i64> {
    let (sign, rest) = match offset {
        "" | "Z" | "z" => return Some(0),
        offset => (if offset.starts_with('+') { 1 } else { -1 }, offset.get(1..)?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (number(hours, 2..=2)?, number(minutes, 2..=2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A number of as many digits as the range says.
fn number(digits: &str, length: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let is_number = length.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// The nanoseconds of a fraction of a second.
fn nanos(fraction: &str) -> Option<u32> {
    let value = number(fraction, 1..=9)?;
    let scale = 10_i64.pow(9 - u32::try_from(fraction.len()).ok()?);
    u32::try_from(value * scale).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::{Utc, parse, with_milliseconds};

    #[test]
    fn a_time_is_shown_in_utc() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Utc::of(seconds).to_string(), expected);
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same_time() {
        for _ in 0..20_000 {
            let time = Duration::from_millis(fastrand::u64(..253_402_300_800_000));
            assert_eq!(parse(&with_milliseconds(time)), Some(time));
            assert_eq!(Utc::of(time.as_secs()).seconds(), Some(time.as_secs()));
        }
    }

    #[test]
    fn offsets_blanks_and_missing_seconds_are_understood() {
        let expected = parse("2026-11-24T03:10:00Z");
        assert_eq!(expected, Some(Duration::from_secs(1_795_489_800)));
        for text in [
            "2026-11-24 03:10",
            "2026-11-24T03:10",
            "2026-11-24 03:10:00",
            "2026-11-24T04:10:00+01:00",
            "2026-11-23 21:40-05:30",
            "2026-11-24t03:10:00.000z",
            "@1795489800",
            "@1795489800.0",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("@1.25"), Some(Duration::from_millis(1250)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "@",
            "@-1",
            "@+1",
            "@1x",
            "now",
            "2026-11-24",
            "2026-11-24T",
            "2026-11-31T00:00",
            "2026-02-29T00:00",
            "2026-13-01T00:00",
            "2026-00-01T00:00",
            "2026-01-00T00:00",
            "2026-1-01T00:00",
            "26-01-01T00:00",
            "2026-01-01T24:00",
            "2026-01-01T00:60",
            "2026-01-01T00:00:61",
            "2026-01-01T00:00:00.",
            "2026-01-01T00:00:00.1234567890",
            "2026-01-01T00:00:00+1",
            "2026-01-01T00:00:00+25:00",
            "2026-01-01T00:00:00Zx",
            "2026-01-01-01T00:00",
            "2026-01-01T00:00:00:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
