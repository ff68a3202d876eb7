//! Windows of calendar months against another calendar, chrono's, which counts its days by tables: every day of 1970 to
//! 2255.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime};
use redis_limiter::algorithms::decision::{Charge, Extent, Mode, Outcome};
use redis_limiter::algorithms::{
    FieldAlgorithm, FixedWindow, MAX_MONTHS, Quota, Time, end_of_months, months_of, window_of_months,
};

const YEARS: RangeInclusive<i32> = 1970..=2255;
const COUNTS: [i32; 6] = [1, 3, 5, 12, 119, 120];
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// None, billing days, and time zones both ways.
const OFFSETS: [i64; 8] =
    [0, 14 * DAY, 27 * DAY, -9 * HOUR, -24 * HOUR, 330 * MINUTE, -DAY + 1, 27 * DAY - 1];

fn us(date: NaiveDate) -> i64 {
    date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros()
}

/// The first day of the month that is so many months after January 1970.
fn first_of(month: i32) -> NaiveDate {
    let zero = month.rem_euclid(12).unsigned_abs();
    NaiveDate::from_ymd_opt(1970 + month.div_euclid(12), zero + 1, 1).unwrap()
}

fn end(count: i32, offset: i64, at: i64) -> i64 {
    end_of_months(count.into(), Time::from_us(offset), Time::from_us(at)).us()
}

/// Every day from the day before 1970, in which an offset may see it, to the end of 2255.
fn days() -> impl Iterator<Item = NaiveDate> {
    let first = NaiveDate::from_ymd_opt(*YEARS.start(), 1, 1).unwrap().pred_opt().unwrap();
    first.iter_days().take_while(|day| day.year() <= *YEARS.end())
}

#[test]
fn every_day_is_in_the_window_that_another_calendar_has_it_in() {
    for count in COUNTS {
        let mut windows = 0;
        let mut before = None;
        for day in days() {
            let month = (day.year() - 1970) * 12 + day.month0() as i32;
            let window = month.div_euclid(count);
            let (starts, ends) = (us(first_of(window * count)), us(first_of((window + 1) * count)));
            let begins = us(day);
            for offset in OFFSETS {
                for at in [begins, begins + 1, begins + DAY / 2, begins + DAY - 1] {
                    assert_eq!(end(count, offset, at + offset), ends + offset, "{day} {count}mo {offset}");
                }
                // The window before it ends where this one starts.
                assert_eq!(
                    end(count, offset, starts + offset - 1),
                    starts + offset,
                    "{day} {count}mo {offset}"
                );
            }
            if before != Some(window) {
                before = Some(window);
                windows += 1;
            }
        }
        let months = (YEARS.end() - YEARS.start() + 1) * 12;
        assert_eq!(windows, 1 + (months + count - 1) / count, "the day before 1970 is in one more");
    }
}

#[test]
fn a_month_begins_at_midnight_of_a_time_zone() {
    for hours in [-12, -9, -1, 0, 1, 9, 14] {
        let zone = FixedOffset::east_opt(hours * 3600).unwrap();
        // East of Greenwich midnight comes earlier.
        let offset = -i64::from(hours) * HOUR;
        let local = |at: i64| DateTime::from_timestamp_micros(at).unwrap().with_timezone(&zone);
        for day in days().skip(2).step_by(5) {
            let begins = NaiveDateTime::from(day).and_local_timezone(zone).unwrap().timestamp_micros();
            for at in [begins, begins + DAY - 1] {
                let end = end(1, offset, at);
                let (last, next) = (local(end - 1), local(end));
                assert_eq!(
                    (last.year(), last.month()),
                    (local(at).year(), local(at).month()),
                    "{day} {zone}"
                );
                assert_eq!((next.day(), next.time()), (1, chrono::NaiveTime::MIN), "{day} {zone}");
            }
        }
    }
}

#[test]
fn a_billing_day_is_the_same_in_every_month() {
    for day in days().skip(1) {
        for billing_day in [2, 15, 28] {
            let offset = i64::from(billing_day - 1) * DAY;
            let next = DateTime::from_timestamp_micros(end(1, offset, us(day))).unwrap().date_naive();
            assert_eq!(next.day(), billing_day);
            let days = (next - day).num_days();
            assert!((1..=31).contains(&days), "{day}: {days} days to {next}");
            let is_february = next.month() == 3 && day.day() == billing_day;
            if is_february && day.month() == 2 {
                assert_eq!(days, if day.leap_year() { 29 } else { 28 }, "{day}");
            }
        }
    }
}

#[test]
fn leap_years_are_those_of_the_gregorian_calendar() {
    for (year, leap) in
        [(1900, false), (1972, true), (2000, true), (2023, false), (2024, true), (2100, false)]
    {
        let february = us(NaiveDate::from_ymd_opt(year, 2, 1).unwrap());
        assert_eq!((end(1, 0, february) - february) / DAY, if leap { 29 } else { 28 }, "{year}");
        let january = us(NaiveDate::from_ymd_opt(year, 1, 1).unwrap());
        assert_eq!((end(12, 0, january) - january) / DAY, if leap { 366 } else { 365 }, "{year}");
    }
}

#[test]
fn a_window_may_begin_before_1970() {
    // December 15, 1969, to January 15, 1970.
    for at in [0, 1, DAY, 14 * DAY - 1] {
        assert_eq!(end(1, 14 * DAY, at), 14 * DAY);
    }
    assert_eq!(end(1, -9 * HOUR, 0), 31 * DAY - 9 * HOUR);
    assert_eq!(end(1, -9 * HOUR, -9 * HOUR - 1), -9 * HOUR);
    assert_eq!(end(120, 27 * DAY, 0), 27 * DAY);
    assert_eq!(end(120, 0, -1), 0);
}

#[test]
fn no_instant_is_too_early_or_too_late() {
    let ages = [
        i64::MIN,
        i64::MIN + 1,
        -1_000_000_000_000_000_000,
        -1,
        0,
        1_000_000_000_000_000_000,
        i64::MAX - 1,
        i64::MAX,
    ];
    for at in ages {
        for offset in OFFSETS.into_iter().chain([i64::MIN, i64::MAX]) {
            for count in (1..=MAX_MONTHS).chain([i64::MIN, 0, i64::MAX]) {
                let end = end_of_months(count, Time::from_us(offset), Time::from_us(at));
                let is_far = at.unsigned_abs() > 1 << 60;
                if !is_far && OFFSETS.contains(&offset) {
                    assert!(end.us() > at && end.us() - at < 3660 * DAY, "{at} {offset} {count}");
                }
            }
        }
    }
}

#[test]
fn a_window_of_months_is_no_window_in_milliseconds() {
    for count in 1..=MAX_MONTHS {
        assert_eq!(months_of(window_of_months(count)), Some(count));
    }
    for ms in [1, 2, 120, 1000, 316_224_000_000] {
        assert_eq!(months_of(redis_limiter::algorithms::Span::from_ms(ms)), None);
    }
}

#[test]
fn a_call_waits_to_the_end_of_its_month() {
    let algorithm = FieldAlgorithm::of::<FixedWindow>();
    for (at, count, offset, days) in [
        ("2024-02-01", 1, 0, 29),
        ("2024-02-29", 1, 0, 1),
        ("2024-02-14", 1, 14, 1),
        ("2024-02-15", 1, 14, 29),
        ("2025-12-31", 12, 0, 1),
        ("2026-02-01", 3, 0, 59),
    ] {
        let at: NaiveDate = at.parse().unwrap();
        let origin = Some(Time::from_us(offset * DAY));
        let quota = Quota { limit: 1, refill: 1, window: window_of_months(count), origin };
        let mut outcome = Outcome::default();
        let charge = Charge { cost: 1, mode: Mode::Whole };
        algorithm.decide(&quota, None, Time::from_us(us(at)), &charge, Extent::All, &mut outcome).unwrap();
        assert_eq!(outcome.decision.reset_after_ms, days * DAY / 1000, "{at}");
        assert_eq!(outcome.text.as_bytes(), format!("1@{}", us(at) + days * DAY).as_bytes());
    }
}
