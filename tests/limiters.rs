//! A life of each limiter: calls at the instants given, with their seven integers and the state they leave.

use redis::Value;

use crate::support::{START, Server, frozen, words};

/// A step of a life: its number; the µs that pass before it; the call; allowed, limit, remaining,
/// retry_after_ms, reset_after_ms, next_after_ms, used; the state of `k` after it, with times in µs since the
/// start.
type Step = (usize, u64, &'static str, [i64; 7], &'static str);

#[track_caller]
fn live(server: &Server, steps: &[Step]) {
    let start = server.clock.now_us();
    for (index, (number, us, call, seven, state)) in steps.iter().enumerate() {
        assert_eq!(index + 1, *number, "steps are numbered");
        server.pass_us(*us);
        assert_eq!(server.ask(call), seven, "{number}. {call}");
        assert_eq!(state_since(server, start), *state, "state after {number}. {call}");
    }
}

/// What `k` holds: `field=value` of a hash, `member@score` of a log; times count from `start`.
fn state_since(server: &Server, start: i64) -> String {
    let since = |time: &str| (time.parse::<i64>().unwrap() - start).to_string();
    let mut parts: Vec<String> = if server.text(&["TYPE", "k"]) == "hash" {
        let pairs = server.ask_texts("HGETALL k");
        pairs
            .chunks(2)
            .map(|pair| {
                let (value, time) = pair[1].split_once('@').unwrap();
                format!("{}={value}@{}", pair[0], since(time))
            })
            .collect()
    } else {
        let members = server.ask_texts("ZRANGE k 0 -1 WITHSCORES");
        return members
            .chunks(2)
            .map(|pair| format!("{}@{}", pair[0], since(&pair[1])))
            .collect::<Vec<_>>()
            .join(" ");
    };
    parts.sort();
    parts.join(" ")
}

#[test]
fn a_token_bucket_refills_at_a_constant_rate() {
    live(
        &frozen(),
        &[
            (1, 0, "RL.TOKENBUCKET k 10 5 1s", [1, 10, 9, 0, 200, 200, 1], "tb:1000=1@0"),
            (2, 0, "RL.TOKENBUCKET k 10 5 1s COST 9", [1, 10, 0, 0, 2000, 200, 10], "tb:1000=10@0"),
            (3, 0, "RL.TOKENBUCKET k 10 5 1s", [0, 10, 0, 200, 2000, 200, 10], "tb:1000=10@0"),
            // Half a token is back: it counts once it is whole.
            (4, 100_000, "RL.TOKENBUCKET k 10 5 1s", [0, 10, 0, 100, 1900, 100, 10], "tb:1000=10@0"),
            (5, 99_999, "RL.TOKENBUCKET k 10 5 1s", [0, 10, 0, 1, 1801, 1, 10], "tb:1000=10@0"),
            (6, 1, "RL.TOKENBUCKET k 10 5 1s", [1, 10, 0, 0, 2000, 200, 10], "tb:1000=10@200000"),
            // COST 0 asks and writes nothing.
            (7, 300_000, "RL.TOKENBUCKET k 10 5 1s COST 0", [1, 10, 1, 0, 1700, 100, 9], "tb:1000=10@200000"),
            (8, 0, "RL.TOKENBUCKET k 10 5 1s", [1, 10, 0, 0, 1900, 100, 10], "tb:1000=9.5@500000"),
            (9, 0, "RL.TOKENBUCKET k 10 5 1s COST -2", [1, 10, 2, 0, 1500, 100, 8], "tb:1000=7.5@500000"),
            // What was used stays used when capacity and rate change.
            (10, 0, "RL.TOKENBUCKET k 20 5 1s", [1, 20, 11, 0, 1700, 100, 9], "tb:1000=8.5@500000"),
            (11, 0, "RL.TOKENBUCKET k 5 5 1s", [0, 5, 0, 900, 1700, 900, 9], "tb:1000=8.5@500000"),
            (12, 0, "RL.TOKENBUCKET k 10 1 1s", [1, 10, 0, 0, 9500, 500, 10], "tb:1000=9.5@500000"),
            (13, 0, "RL.TOKENBUCKET k 10 1 1s COST 11", [0, 10, 0, -1, 9500, 500, 10], "tb:1000=9.5@500000"),
            // A debt is worked off.
            (
                14,
                0,
                "RL.TOKENBUCKET k 10 1 1s COST 3 FORCE",
                [0, 10, 0, 5500, 12_500, 3500, 13],
                "tb:1000=12.5@500000",
            ),
            (
                15,
                0,
                "RL.TOKENBUCKET k 10 1 1s COST 0",
                [0, 10, 0, 2500, 12_500, 3500, 13],
                "tb:1000=12.5@500000",
            ),
            (
                16,
                12_500_000,
                "RL.TOKENBUCKET k 10 1 1s COST 0",
                [1, 10, 10, 0, 0, 0, 0],
                "tb:1000=12.5@500000",
            ),
            (
                17,
                0,
                "RL.TOKENBUCKET k 10 1 1s COST 15 PARTIAL",
                [10, 10, 0, 0, 10_000, 1000, 10],
                "tb:1000=10@13000000",
            ),
            (
                18,
                0,
                "RL.TOKENBUCKET k 10 1 1s COST 15 PARTIAL",
                [0, 10, 0, 1000, 10_000, 1000, 10],
                "tb:1000=10@13000000",
            ),
            // Nothing used is no state.
            (19, 0, "RL.TOKENBUCKET k 10 1 1s COST -100", [1, 10, 10, 0, 0, 0, 0], ""),
            (20, 0, "RL.TOKENBUCKET k 10 1 1s COST -1", [1, 10, 10, 0, 0, 0, 0], ""),
        ],
    );
}

#[test]
fn a_token_bucket_carries_the_fraction_of_a_millionth() {
    live(
        &frozen(),
        &[
            (1, 0, "RL.TOKENBUCKET k 10 1 3s", [1, 10, 9, 0, 3000, 3000, 1], "tb:3000=1@0"),
            // A third of a millionth is back: none yet, and the microsecond stays on the account.
            (2, 1, "RL.TOKENBUCKET k 10 1 3s", [1, 10, 8, 0, 6000, 3000, 2], "tb:3000=2@0"),
            // Five thirds: one, and two microseconds.
            (3, 4, "RL.TOKENBUCKET k 10 1 3s", [1, 10, 7, 0, 9000, 3000, 3], "tb:3000=2.999999@3"),
            (4, 8_999_993, "RL.TOKENBUCKET k 10 1 3s COST 0", [1, 10, 9, 0, 1, 1, 1], "tb:3000=2.999999@3"),
            // Unused exactly nine seconds after the first of three calls.
            (5, 2, "RL.TOKENBUCKET k 10 1 3s COST 0", [1, 10, 10, 0, 0, 0, 0], "tb:3000=2.999999@3"),
        ],
    );
}

#[test]
fn a_leaky_bucket_tells_how_long_to_wait_for_ones_turn() {
    live(
        &frozen(),
        &[
            (1, 0, "RL.LEAKYBUCKET k 3 1 1s", [1, 3, 2, 0, 1000, 1000, 1], "lb:1000=1@0"),
            (2, 0, "RL.LEAKYBUCKET k 3 1 1s", [1, 3, 1, 1000, 2000, 1000, 2], "lb:1000=2@0"),
            (3, 0, "RL.LEAKYBUCKET k 3 1 1s", [1, 3, 0, 2000, 3000, 1000, 3], "lb:1000=3@0"),
            // The queue is full.
            (4, 0, "RL.LEAKYBUCKET k 3 1 1s", [0, 3, 0, 1000, 3000, 1000, 3], "lb:1000=3@0"),
            (5, 0, "RL.LEAKYBUCKET k 3 1 1s COST 0", [1, 3, 0, 3000, 3000, 1000, 3], "lb:1000=3@0"),
            (6, 1_500_000, "RL.LEAKYBUCKET k 3 1 1s", [1, 3, 0, 1500, 2500, 500, 3], "lb:1000=2.5@1500000"),
            // Who gives back waits for nothing.
            (7, 0, "RL.LEAKYBUCKET k 3 1 1s COST -1", [1, 3, 1, 0, 1500, 500, 2], "lb:1000=1.5@1500000"),
            (
                8,
                0,
                "RL.LEAKYBUCKET k 3 1 1s COST 5 PARTIAL",
                [1, 3, 0, 1500, 2500, 500, 3],
                "lb:1000=2.5@1500000",
            ),
            (
                9,
                0,
                "RL.LEAKYBUCKET k 3 1 1s COST 2 FORCE",
                [0, 3, 0, 3500, 4500, 2500, 5],
                "lb:1000=4.5@1500000",
            ),
            (
                10,
                0,
                "RL.LEAKYBUCKET k 3 1 1s COST 2 PARTIAL",
                [0, 3, 0, 2500, 4500, 2500, 5],
                "lb:1000=4.5@1500000",
            ),
            // Twice the leak, half the waits; twice the room.
            (11, 0, "RL.LEAKYBUCKET k 6 2 1s", [1, 6, 0, 2250, 2750, 250, 6], "lb:1000=5.5@1500000"),
            (
                12,
                2_750_000,
                "RL.LEAKYBUCKET k 6 2 1s COST 6",
                [1, 6, 0, 0, 3000, 500, 6],
                "lb:1000=6@4250000",
            ),
            (13, 0, "RL.LEAKYBUCKET k 6 2 1s COST -6", [1, 6, 6, 0, 0, 0, 0], ""),
        ],
    );
}

#[test]
fn a_fixed_window_opens_at_the_first_charge() {
    live(
        &frozen(),
        &[
            (1, 0, "RL.FIXED k 3 10s", [1, 3, 2, 0, 10_000, 10_000, 1], "fw:10000=1@10000000"),
            (2, 4_000_000, "RL.FIXED k 3 10s COST 2", [1, 3, 0, 0, 6000, 6000, 3], "fw:10000=3@10000000"),
            (3, 0, "RL.FIXED k 3 10s", [0, 3, 0, 6000, 6000, 6000, 3], "fw:10000=3@10000000"),
            (4, 5_999_999, "RL.FIXED k 3 10s", [0, 3, 0, 1, 1, 1, 3], "fw:10000=3@10000000"),
            (5, 1, "RL.FIXED k 3 10s", [1, 3, 2, 0, 10_000, 10_000, 1], "fw:10000=1@20000000"),
            // What was used stays used when the limit changes.
            (6, 0, "RL.FIXED k 5 10s COST 4", [1, 5, 0, 0, 10_000, 10_000, 5], "fw:10000=5@20000000"),
            (7, 0, "RL.FIXED k 2 10s", [0, 2, 0, 10_000, 10_000, 10_000, 5], "fw:10000=5@20000000"),
            (8, 0, "RL.FIXED k 5 10s COST -1", [1, 5, 1, 0, 10_000, 10_000, 4], "fw:10000=4@20000000"),
            (
                9,
                0,
                "RL.FIXED k 5 10s COST 3 FORCE",
                [0, 5, 0, 10_000, 10_000, 10_000, 7],
                "fw:10000=7@20000000",
            ),
            (10, 0, "RL.FIXED k 5 10s COST 6", [0, 5, 0, -1, 10_000, 10_000, 7], "fw:10000=7@20000000"),
            (11, 0, "RL.FIXED k 5 10s PARTIAL", [0, 5, 0, 10_000, 10_000, 10_000, 7], "fw:10000=7@20000000"),
            // The window's end forgives the debt.
            (12, 10_000_000, "RL.FIXED k 5 10s COST 0", [1, 5, 5, 0, 0, 0, 0], "fw:10000=7@20000000"),
            // A window opens at the charge, not where the last one ended.
            (
                13,
                500_000,
                "RL.FIXED k 5 10s COST 9 PARTIAL",
                [5, 5, 0, 0, 10_000, 10_000, 5],
                "fw:10000=5@30500000",
            ),
            (14, 0, "RL.FIXED k 5 10s COST -9", [1, 5, 5, 0, 0, 0, 0], ""),
        ],
    );
}

#[test]
fn an_aligned_window_ends_where_the_clock_says() {
    live(
        &frozen(),
        &[
            (1, 50_000_000, "RL.FIXED k 2 1m ALIGN", [1, 2, 1, 0, 10_000, 10_000, 1], "fa:60000=1@60000000"),
            (2, 9_999_999, "RL.FIXED k 2 1m ALIGN", [1, 2, 0, 0, 1, 1, 2], "fa:60000=2@60000000"),
            (3, 0, "RL.FIXED k 2 1m ALIGN", [0, 2, 0, 1, 1, 1, 2], "fa:60000=2@60000000"),
            (4, 1, "RL.FIXED k 2 1m ALIGN", [1, 2, 1, 0, 60_000, 60_000, 1], "fa:60000=1@120000000"),
            // With another offset an open window ends no later than that has it. It is the same limiter.
            (
                5,
                0,
                "RL.FIXED k 2 1m ALIGN OFFSET 30s",
                [1, 2, 0, 0, 30_000, 30_000, 2],
                "fa:60000=2@90000000",
            ),
            (
                6,
                60_000_000,
                "RL.FIXED k 2 1m OFFSET 30s ALIGN",
                [1, 2, 1, 0, 30_000, 30_000, 1],
                "fa:60000=1@150000000",
            ),
            // It may end earlier: then it ends as it was opened.
            (7, 0, "RL.FIXED k 2 1m ALIGN", [1, 2, 0, 0, 30_000, 30_000, 2], "fa:60000=2@150000000"),
            // Aligned and not are two limiters.
            (
                8,
                0,
                "RL.FIXED k 2 1m",
                [1, 2, 1, 0, 60_000, 60_000, 1],
                "fa:60000=2@150000000 fw:60000=1@180000000",
            ),
        ],
    );
}

/// Sunday, 2025-11-23, 23:59:59 UTC.
const SUNDAY_NIGHT: i64 = 1_763_942_399_000_000;

#[test]
fn days_and_weeks_begin_where_the_offset_says() {
    let server = frozen();
    server.clock.freeze(SUNDAY_NIGHT);
    let reset = |line: &str| server.ask(line)[4];
    const SECOND: i64 = 1000;
    const DAY: i64 = 86_400 * SECOND;
    assert_eq!(reset("RL.FIXED day 9 1d ALIGN"), SECOND);
    assert_eq!(reset("RL.FIXED day-of-tokyo 9 1d ALIGN OFFSET 15h"), SECOND + 15 * DAY / 24);
    // The epoch was a Thursday.
    assert_eq!(reset("RL.FIXED week-from-thursday 9 7d ALIGN"), SECOND + 3 * DAY);
    assert_eq!(reset("RL.FIXED week-from-thursday-too 9 7d ALIGN OFFSET 0s"), SECOND + 3 * DAY);
    assert_eq!(reset("RL.FIXED week 9 7d ALIGN OFFSET 4d"), SECOND);
    assert_eq!(reset("RL.FIXED week-given-with-weeks 9 7d ALIGN OFFSET 11d"), SECOND);
    // Offsets go either way, and count modulo the window.
    assert_eq!(reset("RL.FIXED day-of-tokyo-from-behind 9 1d ALIGN OFFSET -9h"), SECOND + 15 * DAY / 24);
    assert_eq!(reset("RL.FIXED day-of-new-york 9 1d ALIGN OFFSET 5h"), SECOND + 5 * DAY / 24);
    assert_eq!(reset("RL.FIXED week-from-behind 9 7d ALIGN OFFSET -3d"), SECOND);
    assert_eq!(reset("RL.FIXED week-from-far-behind 9 7d ALIGN OFFSET -3657d"), SECOND);
    assert_eq!(reset("RL.FIXED second 9 1s ALIGN OFFSET -3660d"), SECOND);
    assert_eq!(reset("RL.FIXED second-and-a-half 9 1s ALIGN OFFSET -1500ms"), SECOND / 2);
    assert_eq!(reset("RL.FIXED midnight 9 1d ALIGN OFFSET -0h"), SECOND);

    server.pass_ms(1000);
    assert_eq!(server.ask("RL.FIXED day 9 1d ALIGN"), [1, 9, 8, 0, DAY, DAY, 1]);
    assert_eq!(server.ask("RL.FIXED week 9 7d ALIGN OFFSET 4d"), [1, 9, 8, 0, 7 * DAY, 7 * DAY, 1]);
    assert_eq!(server.ask("RL.FIXED week-from-thursday 9 7d ALIGN"), [1, 9, 7, 0, 3 * DAY, 3 * DAY, 2]);
}

/// Instants in UTC, as `date -u +%s -d` tells them.
const NOVEMBER_2025: i64 = 1_761_955_200_000_000;
const DECEMBER_2025: i64 = 1_764_547_200_000_000;
const JANUARY_2026: i64 = 1_767_225_600_000_000;
const FEBRUARY_2026: i64 = 1_769_904_000_000_000;
const MARCH_2026: i64 = 1_772_323_200_000_000;
const FEBRUARY_2028: i64 = 1_832_976_000_000_000;
const DAY_US: i64 = 86_400_000_000;
const HOUR_US: i64 = 3_600_000_000;

#[test]
fn a_window_of_months_ends_with_the_month() {
    let server = frozen();
    server.clock.freeze(JANUARY_2026 - 1_000_000);
    const DAY: i64 = 86_400_000;
    const JANUARY: i64 = 31 * DAY;
    const FEBRUARY: i64 = 28 * DAY;
    live(
        &server,
        &[
            (1, 0, "RL.FIXED k 2 1mo ALIGN", [1, 2, 1, 0, 1000, 1000, 1], "fa:1mo=1@1000000"),
            (2, 999_999, "RL.FIXED k 2 1mo ALIGN", [1, 2, 0, 0, 1, 1, 2], "fa:1mo=2@1000000"),
            (3, 0, "RL.FIXED k 2 1mo ALIGN", [0, 2, 0, 1, 1, 1, 2], "fa:1mo=2@1000000"),
            (4, 1, "RL.FIXED k 2 1mo ALIGN COST 0", [1, 2, 2, 0, 0, 0, 0], "fa:1mo=2@1000000"),
            (
                5,
                0,
                "RL.FIXED k 2 1mo ALIGN COST 2",
                [1, 2, 0, 0, JANUARY, JANUARY, 2],
                "fa:1mo=2@2678401000000",
            ),
            (
                6,
                2_678_399_999_000,
                "RL.FIXED k 2 1mo ALIGN COST 3 FORCE",
                [0, 2, 0, -1, 1, 1, 5],
                "fa:1mo=5@2678401000000",
            ),
            // The month's end forgives a debt, and February is shorter.
            (
                7,
                1000,
                "RL.FIXED k 2 1mo ALIGN COST 9 PARTIAL",
                [2, 2, 0, 0, FEBRUARY, FEBRUARY, 2],
                "fa:1mo=2@5097601000000",
            ),
            // With another offset it is the same limiter, whose window ends with the offset's; who asks writes nothing.
            (
                8,
                0,
                "RL.FIXED k 5 1mo ALIGN OFFSET 27d COST 0",
                [1, 5, 3, 0, FEBRUARY - DAY, FEBRUARY - DAY, 2],
                "fa:1mo=2@5097601000000",
            ),
            (9, 0, "RL.FIXED k 2 1mo ALIGN COST -2", [1, 2, 2, 0, 0, 0, 0], ""),
        ],
    );
}

#[test]
fn months_quarters_and_years_are_the_calendars() {
    let server = frozen();
    for (now, window, ends) in [
        (NOVEMBER_2025, "1mo", DECEMBER_2025),
        (DECEMBER_2025 - 1, "1mo", DECEMBER_2025),
        (NOVEMBER_2025, "3mo", JANUARY_2026),
        (JANUARY_2026 - 1, "3mo", JANUARY_2026),
        (JANUARY_2026, "12mo", JANUARY_2026 + 365 * DAY_US),
        (NOVEMBER_2025, "6mo", JANUARY_2026),
        (NOVEMBER_2025, "2mo", JANUARY_2026),
        // Counted from January 1970: this one from November 2025 on.
        (JANUARY_2026, "5mo", 1_775_001_600_000_000),
        (FEBRUARY_2026, "1mo", MARCH_2026),
        (FEBRUARY_2028, "1mo", FEBRUARY_2028 + 29 * DAY_US),
        // Ten years from 1970 on: from 2020 to 2030.
        (NOVEMBER_2025, "120mo", 1_893_456_000_000_000),
    ] {
        server.ask_value("DEL k");
        server.clock.freeze(now);
        let reset_ms = (ends - now + 999) / 1000;
        assert_eq!(
            server.ask(&format!("RL.FIXED k 5 {window} ALIGN")),
            [1, 5, 4, 0, reset_ms, reset_ms, 1],
            "{window} at {now}"
        );
        assert_eq!(server.text(&["HGET", "k", &format!("fa:{window}")]), format!("1@{ends}"));
        let lives_ms = now / 1000 + reset_ms + reset_ms / 8 + 1000;
        assert_eq!(server.ask_int("PEXPIRETIME k"), lives_ms, "{window} at {now}");
    }
}

#[test]
fn billing_days_and_time_zones_are_offsets_of_months() {
    let server = frozen();
    for (now, offset, ends) in [
        // From the 15th.
        (DECEMBER_2025, "14d", DECEMBER_2025 + 14 * DAY_US),
        (DECEMBER_2025 + 14 * DAY_US - 1, "14d", DECEMBER_2025 + 14 * DAY_US),
        (DECEMBER_2025 + 14 * DAY_US, "14d", JANUARY_2026 + 14 * DAY_US),
        // From the 28th, the last day that every month has.
        (FEBRUARY_2026 + 27 * DAY_US - 1, "27d", FEBRUARY_2026 + 27 * DAY_US),
        (FEBRUARY_2026 + 27 * DAY_US, "27d", MARCH_2026 + 27 * DAY_US),
        // From midnight in Tokyo.
        (JANUARY_2026 - 9 * HOUR_US - 1, "-9h", JANUARY_2026 - 9 * HOUR_US),
        (JANUARY_2026 - 9 * HOUR_US, "-9h", FEBRUARY_2026 - 9 * HOUR_US),
        // In New York, in winter; in Mumbai; from the 15th in Tokyo.
        (JANUARY_2026, "5h", JANUARY_2026 + 5 * HOUR_US),
        (JANUARY_2026, "-330m", FEBRUARY_2026 - 330 * 60_000_000),
        (JANUARY_2026, "327h", JANUARY_2026 + 14 * DAY_US - 9 * HOUR_US),
        (JANUARY_2026 - DAY_US, "-24h", FEBRUARY_2026 - DAY_US),
    ] {
        server.ask_value("DEL k");
        server.clock.freeze(now);
        let reset_ms = (ends - now + 999) / 1000;
        let call = format!("RL.FIXED k 5 1mo ALIGN OFFSET {offset}");
        assert_eq!(server.ask(&call)[4], reset_ms, "{offset} at {now}");
        assert_eq!(server.text(&["HGET", "k", "fa:1mo"]), format!("1@{ends}"));
    }
}

#[test]
fn a_month_may_begin_before_1970() {
    let server = frozen();
    for (now, offset, ends) in [
        (1, "14d", 14 * DAY_US),
        (1_000_000, "27d", 27 * DAY_US),
        (1_000_000, "-9h", 31 * DAY_US - 9 * HOUR_US),
    ] {
        server.ask_value("DEL k");
        server.clock.freeze(now);
        server.ask(&format!("RL.FIXED k 5 1mo ALIGN OFFSET {offset}"));
        assert_eq!(server.text(&["HGET", "k", "fa:1mo"]), format!("1@{ends}"));
        assert_eq!(server.ask(&format!("RL.FIXED k 5 1mo ALIGN OFFSET {offset}"))[6], 2);
    }
}

#[test]
fn months_are_charged_and_asked_about_beside_other_limits() {
    let server = frozen();
    server.clock.freeze(DECEMBER_2025);
    let december = 31 * 86_400_000;
    let name = "x".repeat(32);
    let specs =
        format!("k FIXED 9 1mo ALIGN FIXED 9 120mo ALIGN AS {name} FIXED 1 1d ALIGN OFFSET -9h COST 1");
    let all = server.ask_several(&format!("RL.ALL {specs} KEY {{k}}j FIXED 3 1mo ALIGN OFFSET 14d COST 2"));
    assert_eq!((all.allowed, all.retry_after_ms), (1, 0));
    assert_eq!(all.limits[0], [1, 9, 8, 0, december, december, 1]);
    assert_eq!(all.limits[3][4], 14 * 86_400_000);
    let mut fields = server.ask_texts("HKEYS k");
    fields.sort();
    assert_eq!(fields, [format!("fa:120mo:{name}"), "fa:1mo".into(), "fa:86400000".into()]);
    // A day's limit denies, and nothing is charged to the month.
    let all = server.ask_several(&format!("RL.ALL {specs}"));
    assert_eq!((all.allowed, all.retry_after_ms, all.limits[0][6]), (0, 15 * 3_600_000, 1));
    let peek = server.ask_several("RL.PEEK k FIXED 1 1mo ALIGN FIXED 9 3mo ALIGN");
    assert_eq!((peek.allowed, peek.retry_after_ms), (0, december));
    assert_eq!(peek.limits, [[0, 1, 0, december, december, december, 1], [1, 9, 9, 0, 0, 0, 0]]);
}

#[test]
fn a_sliding_counter_lets_the_window_before_fade() {
    live(
        &frozen(),
        &[
            (
                1,
                5_000_000,
                "RL.SLIDINGCOUNTER k 10 10s COST 6",
                [1, 10, 4, 0, 15_000, 6667, 6],
                "sc:10000=6,0@0",
            ),
            (2, 0, "RL.SLIDINGCOUNTER k 10 10s COST 5", [0, 10, 4, 6667, 15_000, 6667, 6], "sc:10000=6,0@0"),
            // Nine tenths of the window before still count: 5.4 units, and 4 more here.
            (
                3,
                6_000_000,
                "RL.SLIDINGCOUNTER k 10 10s COST 4",
                [1, 10, 0, 0, 19_000, 667, 10],
                "sc:10000=4,6@10000000",
            ),
            (4, 0, "RL.SLIDINGCOUNTER k 10 10s", [0, 10, 0, 667, 19_000, 667, 10], "sc:10000=4,6@10000000"),
            (5, 666_666, "RL.SLIDINGCOUNTER k 10 10s", [0, 10, 0, 1, 18_334, 1, 10], "sc:10000=4,6@10000000"),
            (6, 1, "RL.SLIDINGCOUNTER k 10 10s", [1, 10, 0, 0, 18_334, 1667, 10], "sc:10000=5,6@10000000"),
            (
                7,
                8_333_333,
                "RL.SLIDINGCOUNTER k 10 10s COST 0",
                [1, 10, 5, 0, 10_000, 2000, 5],
                "sc:10000=5,6@10000000",
            ),
            // Only what was charged in this window can be given back.
            (
                8,
                0,
                "RL.SLIDINGCOUNTER k 10 10s COST 2",
                [1, 10, 3, 0, 20_000, 2000, 7],
                "sc:10000=2,5@20000000",
            ),
            (
                9,
                0,
                "RL.SLIDINGCOUNTER k 10 10s COST -3",
                [1, 10, 5, 0, 10_000, 2000, 5],
                "sc:10000=0,5@20000000",
            ),
            (10, 0, "RL.SLIDINGCOUNTER k 3 10s", [0, 3, 0, 6000, 10_000, 6000, 5], "sc:10000=0,5@20000000"),
            // A debt is carried one window.
            (
                11,
                0,
                "RL.SLIDINGCOUNTER k 10 10s COST 8 FORCE",
                [0, 10, 0, 17_500, 20_000, 8000, 13],
                "sc:10000=8,5@20000000",
            ),
            (
                12,
                0,
                "RL.SLIDINGCOUNTER k 10 10s COST 2 PARTIAL",
                [0, 10, 0, 8000, 20_000, 8000, 13],
                "sc:10000=8,5@20000000",
            ),
            (
                13,
                18_750_000,
                "RL.SLIDINGCOUNTER k 10 10s COST 0",
                [1, 10, 9, 0, 1250, 1250, 1],
                "sc:10000=8,5@20000000",
            ),
            (
                14,
                1_250_000,
                "RL.SLIDINGCOUNTER k 10 10s COST 12 PARTIAL",
                [10, 10, 0, 0, 20_000, 11_000, 10],
                "sc:10000=10,0@40000000",
            ),
            (15, 0, "RL.SLIDINGCOUNTER k 10 10s COST -11", [1, 10, 10, 0, 0, 0, 0], ""),
        ],
    );
}

#[test]
fn a_sliding_log_counts_every_call_of_the_last_window() {
    live(
        &frozen(),
        &[
            (1, 0, "RL.SLIDINGLOG k 3 10s", [1, 3, 2, 0, 10_000, 10_000, 1], "1@0"),
            (2, 2_000_000, "RL.SLIDINGLOG k 3 10s COST 2", [1, 3, 0, 0, 10_000, 8000, 3], "1@0 3:2@2000000"),
            (3, 0, "RL.SLIDINGLOG k 3 10s", [0, 3, 0, 8000, 10_000, 8000, 3], "1@0 3:2@2000000"),
            (4, 7_999_999, "RL.SLIDINGLOG k 3 10s COST 2", [0, 3, 0, 2001, 2001, 1, 3], "1@0 3:2@2000000"),
            // The first call is a window old: it no longer counts. It might lie there a little longer.
            (5, 1, "RL.SLIDINGLOG k 3 10s", [1, 3, 0, 0, 10_000, 2000, 3], "3:2@2000000 4@10000000"),
            // Two calls never share an instant.
            (
                6,
                0,
                "RL.SLIDINGLOG k 5 10s",
                [1, 5, 1, 0, 10_001, 2000, 4],
                "3:2@2000000 4@10000000 5@10000001",
            ),
            // A debt is held one window.
            (
                7,
                0,
                "RL.SLIDINGLOG k 5 10s COST 3 FORCE",
                [0, 5, 0, 10_001, 10_001, 10_000, 7],
                "3:2@2000000 4@10000000 5@10000001 8:3@10000002",
            ),
            // What is given back are the oldest units in the window.
            (
                8,
                0,
                "RL.SLIDINGLOG k 5 10s COST -3",
                [1, 5, 1, 0, 10_001, 10_001, 4],
                "5@10000001 8:3@10000002",
            ),
            (9, 0, "RL.SLIDINGLOG k 5 10s COST -2", [1, 5, 3, 0, 10_001, 10_001, 2], "8:2@10000002"),
            (
                10,
                0,
                "RL.SLIDINGLOG k 5 10s COST 9 PARTIAL",
                [3, 5, 0, 0, 10_001, 10_001, 5],
                "8:2@10000002 11:3@10000003",
            ),
            (
                11,
                0,
                "RL.SLIDINGLOG k 5 10s COST 9 PARTIAL",
                [0, 5, 0, 10_001, 10_001, 10_001, 5],
                "8:2@10000002 11:3@10000003",
            ),
            (
                12,
                0,
                "RL.SLIDINGLOG k 4 10s COST 5",
                [0, 4, 0, -1, 10_001, 10_001, 5],
                "8:2@10000002 11:3@10000003",
            ),
            (13, 0, "RL.SLIDINGLOG k 5 10s COST -9", [1, 5, 5, 0, 0, 0, 0], ""),
            // A log whose entries are all stale starts anew.
            (14, 0, "RL.SLIDINGLOG k 5 10s COST 5", [1, 5, 0, 0, 10_000, 10_000, 5], "5:5@10000000"),
            (15, 10_000_000, "RL.SLIDINGLOG k 5 10s", [1, 5, 4, 0, 10_000, 10_000, 1], "1@20000000"),
        ],
    );
}

/// A call of each algorithm, all with limit 10, to which options may be added.
const LIMITERS: [&str; 6] = [
    "RL.TOKENBUCKET k 10 10 1h",
    "RL.LEAKYBUCKET k 10 10 1h",
    "RL.FIXED k 10 1h",
    "RL.FIXED k 10 1h ALIGN",
    "RL.SLIDINGCOUNTER k 10 1h",
    "RL.SLIDINGLOG k 10 1h",
];

/// Each of [`LIMITERS`] on an unused `k`.
fn each_unused(server: &Server) -> impl Iterator<Item = &'static str> {
    LIMITERS.into_iter().inspect(|_| {
        server.ask_value("DEL k");
    })
}

const MOST: i64 = 1_000_000_000_000;

#[test]
fn a_limit_of_zero_refuses_every_cost() {
    let server = frozen();
    for command in [
        "RL.TOKENBUCKET k 0 1 1s",
        "RL.LEAKYBUCKET k 0 1 1s",
        "RL.FIXED k 0 1s",
        "RL.FIXED k 0 1s ALIGN",
        "RL.SLIDINGCOUNTER k 0 1s",
        "RL.SLIDINGLOG k 0 1s",
    ] {
        assert_eq!(server.ask(command), [0, 0, 0, -1, 0, -1, 0], "{command}");
        assert_eq!(server.ask(&format!("{command} PARTIAL")), [0, 0, 0, -1, 0, -1, 0], "{command}");
        assert_eq!(server.ask(&format!("{command} COST 0")), [1, 0, 0, 0, 0, -1, 0], "{command}");
        assert_eq!(server.ask(&format!("{command} COST -1")), [1, 0, 0, 0, 0, -1, 0], "{command}");
        assert_eq!(server.ask_int("EXISTS k"), 0, "{command}");
    }
}

#[test]
fn a_limit_of_one_lets_one_through() {
    let server = frozen();
    for command in LIMITERS.map(|command| command.replace(" 10 10 ", " 1 1 ").replace(" 10 ", " 1 ")) {
        server.ask_value("DEL k");
        let (first, second) = (server.ask(&command), server.ask(&command));
        assert_eq!((&first[..4], first[6]), (&[1, 1, 0, 0][..], 1), "{command}");
        assert_eq!((&second[..3], second[6]), (&[0, 1, 0][..], 1), "{command}");
        assert!(second[3] > 0, "{command}");
    }
}

#[test]
fn a_limit_of_ten_to_the_twelfth_is_counted_exactly() {
    let server = frozen();
    for command in LIMITERS.map(|command| {
        command.replace(" 10 10 ", &format!(" {MOST} {MOST} ")).replace(" 10 ", &format!(" {MOST} "))
    }) {
        server.ask_value("DEL k");
        let ask = |cost: i64| server.ask(&format!("{command} COST {cost}"));
        let parts = |seven: Vec<i64>| (seven[0], seven[1], seven[2], seven[6]);
        assert_eq!(parts(ask(MOST - 1)), (1, MOST, 1, MOST - 1), "{command}");
        assert_eq!(parts(ask(2)), (0, MOST, 1, MOST - 1), "{command}");
        assert_eq!(parts(ask(1)), (1, MOST, 0, MOST), "{command}");
        assert_eq!(parts(ask(1)), (0, MOST, 0, MOST), "{command}");
        assert_eq!(parts(ask(-MOST)), (1, MOST, MOST, 0), "{command}");
        assert_eq!(server.ask_int("EXISTS k"), 0, "{command}");
    }
}

#[test]
fn windows_last_from_a_millisecond_to_ten_years() {
    const DAY: i64 = 86_400_000;
    const LONGEST: i64 = 3660 * DAY;
    let server = frozen();
    // In the order of `LIMITERS`, for 1 of 1 used: reset_after_ms.
    let resets = |window: &str| {
        each_unused(&server)
            .map(|command| {
                let command = command.replace(" 10 10 1h", " 1 1 1h").replace(" 10 1h", " 1 1h");
                server.ask(&command.replace(" 1h", &format!(" {window}")))[4]
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(resets("1ms"), [1, 1, 1, 1, 2, 1]);
    let now = START / 1000;
    let rest = LONGEST - now % LONGEST;
    assert_eq!(resets("3660d"), [LONGEST, LONGEST, LONGEST, rest, rest + LONGEST, LONGEST]);
    // The units mean what they say.
    for (window, ms) in
        [("1ms", 1), ("1s", 1000), ("1m", 60_000), ("1h", 3_600_000), ("1d", DAY), ("90s", 90_000)]
    {
        assert_eq!(server.ask(&format!("RL.FIXED {window} 1 {window}"))[4], ms, "{window}");
        assert_eq!(server.text(&["HGET", window, &format!("fw:{ms}")]), format!("1@{}", START + ms * 1000));
    }
}

#[test]
fn the_same_duration_in_another_unit_is_the_same_limiter() {
    let server = frozen();
    for (used, window) in (1..).zip(["1d", "24h", "1440m", "86400s", "86400000ms", "00001d"]) {
        assert_eq!(server.ask(&format!("RL.FIXED k 10 {window}"))[6], used);
    }
    assert_eq!(server.ask_int("HLEN k"), 1);
}

#[test]
fn names_tell_limiters_of_one_key_apart() {
    let server = frozen();
    let longest = "Az_09.-Az_09.-Az_09.-Az_09.-Az_0";
    for command in LIMITERS.iter().filter(|command| !command.contains("SLIDINGLOG")) {
        server.ask_value("DEL k");
        assert_eq!(server.ask(&format!("{command} COST 3"))[6], 3);
        assert_eq!(server.ask(&format!("{command} COST 4 AS a"))[6], 4);
        assert_eq!(server.ask(&format!("{command} COST 5 AS A"))[6], 5);
        assert_eq!(server.ask(&format!("{command} COST 6 AS {longest}"))[6], 6);
        let used = |name: &str| server.ask(&format!("{command} COST 0 {name}"))[6];
        assert_eq!([used(""), used("AS a"), used("AS A"), used(&format!("AS {longest}"))], [3, 4, 5, 6]);
        let mut fields = server.ask_texts("HKEYS k");
        fields.sort();
        let field = &fields[0];
        assert_eq!(fields[1..], [format!("{field}:A"), format!("{field}:{longest}"), format!("{field}:a")]);
    }
}

#[test]
fn options_come_in_any_order_and_case() {
    let server = frozen();
    for (used, line) in (1..).map(|calls| calls * 2).zip([
        "RL.FIXED k 99 1m ALIGN OFFSET 10s COST 2 FORCE AS n",
        "rl.fixed k 99 1m as n force cost 2 offset 10s align",
        "Rl.Fixed k 99 1m Offset 10s As n Align Cost 2 Force",
        "RL.FIXED k 99 1m COST 2 ALIGN PARTIAL AS n OFFSET 10s",
        "RL.FIXED k 99 1m cOsT 2 OfFsEt 10s pArTiAl aS n aLiGn",
    ]) {
        assert_eq!(server.ask(line)[6], used, "{line}");
    }
    assert_eq!(server.ask_texts("HKEYS k"), ["fa:60000:n"]);
    // A value may look like an option.
    assert_eq!(server.ask("RL.FIXED k 99 1m AS COST COST 2 FORCE")[6], 2);
    assert_eq!(server.ask("RL.FIXED k 99 1m FORCE AS FORCE COST 3")[6], 3);
    assert_eq!(server.ask("RL.FIXED FORCE 99 1m AS AS COST 4")[6], 4);
    assert_eq!(server.text(&["HGET", "FORCE", "fw:60000:AS"]), format!("4@{}", START + 60_000_000));
}

#[test]
fn both_protocols_answer_alike() {
    let server = frozen();
    let mut resp3 = server.connection_resp3();
    for options in ["", "COST 10", "COST 0", "COST 20 PARTIAL", "COST 2 FORCE", "COST -1"] {
        for command in LIMITERS {
            server.ask_value("DEL k");
            let line = format!("{command} {options}");
            let mut command = redis::Cmd::new();
            for word in words(&line) {
                command.arg(word);
            }
            let plain = server.ask_value(&line);
            server.ask_value("DEL k");
            let modern: Value = command.query(&mut resp3).unwrap();
            assert_eq!(plain, modern, "{line}");
            assert!(matches!(plain, Value::Array(seven) if seven.len() == 7), "{line}");
        }
    }
}

#[test]
fn a_key_is_any_bytes() {
    let server = frozen();
    let long = vec![b'x'; 100_000];
    let keys: [&[u8]; 7] = [b"", b"\0", b"a\0b", b"a\0c", b"\xff\xfe\xc0", b"\r\n", &long];
    for command in LIMITERS {
        server.ask_value("FLUSHALL");
        for (cost, key) in (1..).zip(keys) {
            let cost = cost.to_string();
            let mut line: Vec<&[u8]> = words(command).into_iter().map(str::as_bytes).collect();
            line[1] = key;
            line.extend([b"COST", cost.as_bytes()]);
            let expected: i64 = cost.parse().unwrap();
            assert_eq!(server.ints(&line)[6], expected, "{command} {key:?}");
        }
        assert_eq!(server.ask_int("DBSIZE"), 7, "{command}");
    }
}

#[test]
fn several_limiters_share_one_hash() {
    let server = frozen();
    let lines = [
        "RL.TOKENBUCKET k 10 1 1s COST 1",
        "RL.TOKENBUCKET k 10 1 1m COST 2",
        "RL.LEAKYBUCKET k 10 1 1s COST 3",
        "RL.FIXED k 10 1s COST 4",
        "RL.FIXED k 10 1s ALIGN COST 5",
        "RL.FIXED k 10 1s AS b COST 6",
        "RL.SLIDINGCOUNTER k 10 1s COST 7",
    ];
    for (cost, line) in (1..).zip(lines) {
        assert_eq!(server.ask(line)[6], cost, "{line}");
    }
    assert_eq!(server.ask_int("HLEN k"), 7);
    // HDEL resets one of them, DEL all.
    assert_eq!(server.ask_int("HDEL k fw:1000"), 1);
    for (cost, line) in (1..).zip(lines) {
        let (limiter, _) = line.split_once(" COST").unwrap();
        let used = if line == lines[3] { 0 } else { cost };
        assert_eq!(server.ask(&format!("{limiter} COST 0"))[6], used, "{line}");
    }
    server.ask_value("DEL k");
    assert_eq!(server.ask("RL.SLIDINGLOG k 10 1s")[6], 1);
}

#[test]
fn deleting_the_key_resets_a_limiter() {
    let server = frozen();
    for command in each_unused(&server) {
        let spent = format!("{command} COST 10");
        assert_eq!(server.ask(&spent)[0], 1, "{command}");
        assert_eq!(server.ask(&spent)[0], 0, "{command}");
        assert_eq!(server.ask_int("DEL k"), 1);
        assert_eq!(server.ask(&spent)[0], 1, "{command}");
    }
}

#[test]
fn a_log_is_one_limiter_whatever_its_window() {
    let server = frozen();
    assert_eq!(server.ask("RL.SLIDINGLOG k 10 1m COST 4")[6], 4);
    server.pass_ms(6000);
    assert_eq!(server.ask("RL.SLIDINGLOG k 10 10s COST 3")[6], 7);
    server.pass_ms(6000);
    assert_eq!(server.ask("RL.SLIDINGLOG k 10 10s COST 0")[6], 3);
    assert_eq!(server.ask("RL.SLIDINGLOG k 10 1m COST 0")[6], 7);
    // To the short window all is stale: it lets the log start anew, and the long one finds less than it charged.
    server.pass_ms(4000);
    assert_eq!(server.ask("RL.SLIDINGLOG k 10 10s")[6], 1);
    assert_eq!(server.ask("RL.SLIDINGLOG k 10 1m COST 0")[6], 1);
}

#[test]
fn a_cost_of_zero_or_less_has_no_modes() {
    let server = frozen();
    for command in LIMITERS {
        for cost in [0, -1] {
            let [plain, force, partial] = ["", "FORCE", "PARTIAL"].map(|mode| {
                server.ask_value("DEL k");
                server.ask(&format!("{command} COST 6"));
                server.ask(&format!("{command} COST {cost} {mode}"))
            });
            assert_eq!((&force, &partial), (&plain, &plain), "{command} COST {cost}");
        }
    }
}

#[test]
fn giving_back_is_always_allowed_and_never_goes_below_unused() {
    let server = frozen();
    for command in each_unused(&server) {
        let ask = |cost: i64| server.ask(&format!("{command} COST {cost} FORCE"));
        let parts = |seven: Vec<i64>| (seven[0], seven[2], seven[3], seven[6]);
        assert_eq!(parts(ask(-5)), (1, 10, 0, 0), "{command}");
        assert_eq!(server.ask_int("EXISTS k"), 0, "{command}");
        // In debt, too.
        ask(15);
        assert_eq!(parts(ask(-1)), (1, 0, 0, 14), "{command}");
        assert_eq!(server.ask(&format!("{command} COST 0"))[0], 0, "{command}");
        assert_eq!(parts(ask(-5)), (1, 1, 0, 9), "{command}");
        assert_eq!(parts(ask(-1_000_000_000_000)), (1, 10, 0, 0), "{command}");
        assert_eq!(server.ask_int("EXISTS k"), 0, "{command}");
    }
}

#[test]
fn databases_have_limiters_of_their_own() {
    let server = frozen();
    let mut other = server.connection();
    redis::cmd("SELECT").arg(5).exec(&mut other).unwrap();
    for command in each_unused(&server) {
        assert_eq!(server.ask(&format!("{command} COST 7"))[6], 7, "{command}");
        let mut there = redis::Cmd::new();
        for word in words(command) {
            there.arg(word);
        }
        assert_eq!(there.query::<Vec<i64>>(&mut other).unwrap()[6], 1, "{command}");
        redis::cmd("DEL").arg("k").exec(&mut other).unwrap();
        assert_eq!(server.ask(command)[6], 8, "{command}");
    }
}

#[test]
fn a_hash_of_many_limiters_serves_each_of_them() {
    let server = frozen();
    for round in 1..=2 {
        for name in 0..1000 {
            assert_eq!(server.ask(&format!("RL.FIXED k 10 1h AS {name}"))[6], round, "{name}");
        }
    }
    assert_eq!(server.ask_int("HLEN k"), 1000);
    assert_eq!(server.text(&["OBJECT", "ENCODING", "k"]), "hashtable");
    assert_eq!(server.ask("RL.TOKENBUCKET k 10 1 1h")[6], 1);
}

#[test]
fn a_key_that_is_renamed_or_copied_takes_its_limiters_along() {
    let server = frozen();
    for command in each_unused(&server) {
        server.ask_value("DEL copy");
        server.ask(&format!("{command} COST 7"));
        let asked = server.ask(&format!("{command} COST 0"));
        server.ask_value("COPY k copy");
        server.ask_value("RENAME k renamed");
        for key in ["copy", "renamed"] {
            assert_eq!(
                server.ask(&format!("{command} COST 0").replace(" k ", &format!(" {key} "))),
                asked,
                "{command}"
            );
        }
        assert_eq!(server.ask(command)[6], 1, "{command}");
    }
}
