//! Calendar months: of the proleptic Gregorian calendar, in UTC, counted from January 1970.
//!
//! Days and months are turned into each other as in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms"
//! (<https://howardhinnant.github.io/date_algorithms.html>, `days_from_civil` and `civil_from_days`). Years begin in March
//! there, so that a leap day is a year's last; and every era of 400 years has the same 146,097 days.

use super::time::{Span, Time};

/// The most months that a window may have: ten years.
pub const MAX_MONTHS: i64 = 120;

/// No window that is measured in time is shorter than this, in microseconds.
const SHORTEST_US: i64 = 1000;

const DAY_US: i64 = 86_400_000_000;
const DAYS_OF_ERA: i64 = 146_097;
const YEARS_OF_ERA: i64 = 400;

/// From March 1 of the year 0 to January 1, 1970.
const DAYS_BEFORE_1970: i64 = 719_468;
const MONTHS_BEFORE_1970: i64 = 12 * 1970 - 2;

/// A window of `count` calendar months, 1 to [`MAX_MONTHS`].
///
/// Months have no one length, so it only names the window: as many microseconds as months, fewer than any other window
/// has. Thus what tells windows apart need not know of months, and calls that name none pay nothing for them.
#[must_use]
pub fn window_of_months(count: i64) -> Span {
    Span::from_us(count)
}

/// How many calendar months `window` has; None if it is measured in time.
#[must_use]
#[inline(always)]
pub fn months_of(window: Span) -> Option<i64> {
    (window.us() < SHORTEST_US).then_some(window.us())
}

/// When the window of `count` months that holds `at` ends, if January 1970 begins at `origin`.
#[must_use]
#[cold]
#[inline(never)]
pub fn end_of_months(count: i64, origin: Time, at: Time) -> Time {
    let count = count.clamp(1, MAX_MONTHS);
    let month = month_of(at.us().saturating_sub(origin.us()).div_euclid(DAY_US));
    let into = month.checked_rem_euclid(count).unwrap_or(0);
    let first_day = first_day_of(month.saturating_sub(into).saturating_add(count));
    Time::from_us(first_day.saturating_mul(DAY_US).saturating_add(origin.us()))
}

/// The month of a day, both counted from January 1, 1970.
#[allow(clippy::arithmetic_side_effects, reason = "an i64 of microseconds has fewer than 2^27 days")]
fn month_of(day: i64) -> i64 {
    let day = day + DAYS_BEFORE_1970;
    let (era, day) = (day.div_euclid(DAYS_OF_ERA), day.rem_euclid(DAYS_OF_ERA));
    // Less the leap days before it, every year has 365 days. The last term is the era's own last day.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, each five months have 153 days.
    let month = (5 * day + 2) / 153;
    (era * YEARS_OF_ERA + year) * 12 + month - MONTHS_BEFORE_1970
}

/// The first day of a month, both counted from January 1, 1970.
#[allow(clippy::arithmetic_side_effects, reason = "an i64 of microseconds has fewer than 2^24 months")]
fn first_day_of(month: i64) -> i64 {
    let month = month + MONTHS_BEFORE_1970;
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12));
    let (era, year) = (year.div_euclid(YEARS_OF_ERA), year.rem_euclid(YEARS_OF_ERA));
    let day = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5;
    era * DAYS_OF_ERA + day - DAYS_BEFORE_1970
}
