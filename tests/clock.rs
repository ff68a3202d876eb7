//! The clock: it is set back or forward, trembles, stands still or leaps, and no limiter forgets, doubles or locks out.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::{START, Server, frozen};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const YEAR: i64 = 365 * 24 * HOUR;

/// 10 units in 10 s, by each algorithm. Aligned windows begin at [`START`].
const LIMITERS: [&str; 6] = [
    "TOKENBUCKET 10 10 10s",
    "LEAKYBUCKET 10 10 10s",
    "FIXED 10 10s",
    "FIXED 10 10s ALIGN",
    "SLIDINGCOUNTER 10 10s",
    "SLIDINGLOG 10 10s",
];
const LIMIT: i64 = 10;
const WINDOW: i64 = 10 * SECOND;

/// What a step back may leave of a limiter.
const STEPS_BACK: [i64; 8] = [1, 100, SECOND / 2, SECOND, SECOND + 1, 15 * SECOND, HOUR, YEAR];

/// Whether its windows are the clock's own.
fn is_aligned(limiter: &str) -> bool {
    limiter.contains("ALIGN") || limiter.contains("COUNTER")
}

/// Moves the clock, either way.
fn step(server: &Server, us: i64) {
    let by = Duration::from_micros(us.unsigned_abs());
    if us < 0 { server.clock.step_back(by) } else { server.clock.advance(by) }
}

/// What the one limiter on `key` has stored: the field's value, or member and score of the log's newest entry.
fn stored(server: &Server, key: &str) -> String {
    if server.text(&["TYPE", key]) == "hash" {
        return server.ask_texts(&format!("HVALS {key}")).join(" ");
    }
    server.ask_texts(&format!("ZRANGE {key} 0 -1 WITHSCORES")).join("@")
}

/// How often the dataset was changed.
fn writes(server: &Server) -> i64 {
    server.info_field("persistence", "rdb_changes_since_last_save").unwrap().parse().unwrap()
}

/// The seven integers of one limit, asked about `cost`.
fn peek(server: &Server, key: &str, limiter: &str, cost: i64) -> [i64; 7] {
    server.ask_several(&format!("RL.PEEK {key} {limiter} COST {cost}")).limits[0]
}

/// A limiter, what is charged to it and when, and what is stored of it where the clock stands at `now`.
struct Pull {
    limiter: &'static str,
    /// Units, each with the time since START.
    charges: &'static [(i64, i64)],
    /// The latest instant that lies no more than a second before the state, since START.
    tolerated: i64,
    left_alone: fn() -> String,
    pulled: fn(now: i64) -> String,
}

/// The start of the window of 10 s that `now` is in.
fn window_of(now: i64) -> i64 {
    now.div_euclid(WINDOW) * WINDOW
}

/// 2025-12-01, in UTC, and a year before.
const DECEMBER: i64 = 1_764_547_200 * SECOND;
const DECEMBER_BEFORE: i64 = DECEMBER - YEAR;

const PULLS: [Pull; 8] = [
    Pull {
        limiter: "TOKENBUCKET 10 10 10s",
        charges: &[(9, 0), (2, 2_500_000)],
        tolerated: 1_500_000,
        left_alone: || format!("8.5@{}", START + 2_500_000),
        pulled: |now| format!("8.5@{now}"),
    },
    Pull {
        limiter: "LEAKYBUCKET 10 10 10s AS name",
        charges: &[(10, 4 * SECOND)],
        tolerated: 3 * SECOND,
        left_alone: || format!("10@{}", START + 4 * SECOND),
        pulled: |now| format!("10@{now}"),
    },
    Pull {
        limiter: "FIXED 10 10s",
        charges: &[(4, 4 * SECOND), (3, 6 * SECOND)],
        tolerated: 3 * SECOND,
        left_alone: || format!("7@{}", START + 14 * SECOND),
        pulled: |now| format!("7@{}", now + WINDOW),
    },
    Pull {
        limiter: "FIXED 10 10s ALIGN",
        charges: &[(7, 4 * SECOND)],
        tolerated: -SECOND,
        left_alone: || format!("7@{}", START + WINDOW),
        pulled: |now| format!("7@{}", window_of(now) + WINDOW),
    },
    Pull {
        limiter: "FIXED 10 10s ALIGN OFFSET 3s",
        charges: &[(7, 4 * SECOND)],
        tolerated: 2 * SECOND,
        left_alone: || format!("7@{}", START + 13 * SECOND),
        pulled: |now| format!("7@{}", window_of(now - 3 * SECOND) + 13 * SECOND),
    },
    Pull {
        limiter: "FIXED 10 1mo ALIGN AS name",
        charges: &[(7, DECEMBER - START + HOUR)],
        tolerated: DECEMBER - SECOND - START,
        left_alone: || format!("7@{}", DECEMBER + 31 * 24 * HOUR),
        pulled: |now| format!("7@{}", if now < DECEMBER_BEFORE { DECEMBER_BEFORE } else { DECEMBER }),
    },
    Pull {
        limiter: "SLIDINGCOUNTER 10 10s",
        charges: &[(4, -SECOND), (6, 4 * SECOND)],
        tolerated: -SECOND,
        left_alone: || format!("6,4@{START}"),
        pulled: |now| format!("6,4@{}", window_of(now)),
    },
    Pull {
        limiter: "SLIDINGLOG 10 10s",
        // The first has gone when the last comes.
        charges: &[(1, -7 * SECOND), (2, -6 * SECOND), (1, 2 * SECOND), (3, 3 * SECOND)],
        tolerated: 2 * SECOND,
        left_alone: || {
            let entries = [("1", -7), ("3:2", -6), ("4", 2), ("7:3", 3)];
            entries.map(|(member, at)| format!("{member}@{}", START + at * SECOND)).join("@")
        },
        pulled: |now| format!("6:6@{now}"),
    },
];

impl Pull {
    /// A key with the state, on a clock that stands at `now` since START.
    fn set_up(&self, server: &Server, now: i64) {
        server.ask_value("FLUSHALL");
        for (units, at) in self.charges {
            server.clock.freeze(START + at);
            assert_eq!(server.ask(&format!("RL.{} COST {units}", self.on("k")))[0], 1);
        }
        assert_eq!(stored(server, "k"), (self.left_alone)(), "{}", self.limiter);
        server.clock.freeze(START + now);
    }

    /// The limiter's words with a key, for its own command.
    fn on(&self, key: &str) -> String {
        self.limiter.replacen(' ', &format!(" {key} "), 1)
    }
}

#[test]
fn state_up_to_a_second_ahead_is_left_alone() {
    let server = frozen();
    for pull in &PULLS {
        for now in [pull.tolerated, pull.tolerated + 1, pull.tolerated + SECOND] {
            pull.set_up(&server, now);
            let before = writes(&server);
            let reply = server.ask(&format!("RL.{} COST 10", pull.on("k")));
            assert_eq!(reply[0], 0, "{}", pull.limiter);
            assert_eq!(stored(&server, "k"), (pull.left_alone)(), "{}", pull.limiter);
            assert_eq!(writes(&server), before, "{}", pull.limiter);
        }
    }
}

#[test]
fn state_further_ahead_is_pulled_and_written_back_even_by_a_denied_call() {
    let server = frozen();
    for pull in &PULLS {
        for beyond in [1, 100, 15 * SECOND, HOUR, YEAR] {
            pull.set_up(&server, pull.tolerated - beyond);
            let now = server.clock.now_us();
            let expected = (pull.pulled)(now);
            let reply = server.ask(&format!("RL.{} COST 10", pull.on("k")));
            assert_eq!(reply[0], 0, "{}", pull.limiter);
            assert_eq!(stored(&server, "k"), expected, "{} by {beyond}", pull.limiter);
            // Once is enough.
            let before = writes(&server);
            server.ask(&format!("RL.{} COST 10", pull.on("k")));
            assert_eq!((stored(&server, "k"), writes(&server)), (expected, before), "{}", pull.limiter);
        }
    }
}

#[test]
fn rl_peek_and_cost_0_answer_as_if_it_were_pulled_and_write_nothing() {
    let server = frozen();
    for pull in &PULLS {
        for beyond in [-SECOND / 2, 0, 1, 15 * SECOND, HOUR, YEAR] {
            pull.set_up(&server, pull.tolerated - beyond);
            let before = writes(&server);
            let peeked = peek(&server, "k", pull.limiter, 10);
            let asked = server.ask(&format!("RL.{} COST 0", pull.on("k")));
            assert_eq!(stored(&server, "k"), (pull.left_alone)(), "{}", pull.limiter);
            assert_eq!(writes(&server), before, "{}", pull.limiter);
            let denied = server.ask(&format!("RL.{} COST 10", pull.on("k")));
            assert_eq!(peeked.as_slice(), denied, "{} by {beyond}", pull.limiter);
            assert_eq!((asked[0], &asked[4..]), (1, &denied[4..]), "{} by {beyond}", pull.limiter);
            // And once more, of what was written.
            assert_eq!(peek(&server, "k", pull.limiter, 10).as_slice(), denied, "{}", pull.limiter);
        }
    }
}

#[test]
fn an_allowed_call_is_charged_on_top_of_what_was_pulled() {
    let server = frozen();
    let expected: [fn(i64) -> String; 8] = [
        |now| format!("9.5@{now}"),
        |now| format!("9@{now}"),
        |now| format!("8@{}", now + WINDOW),
        |now| format!("8@{}", window_of(now) + WINDOW),
        |now| format!("8@{}", window_of(now - 3 * SECOND) + 13 * SECOND),
        |_| format!("8@{DECEMBER}"),
        |now| format!("7,4@{}", window_of(now)),
        |now| format!("6:6@{now}@7@{}", now + 1),
    ];
    for (pull, expected) in PULLS.iter().zip(expected) {
        // To where little of the window before counts; and the full queue has first been given something back.
        pull.set_up(&server, pull.tolerated - HOUR);
        let now = window_of(server.clock.now_us()) + WINDOW - 1;
        server.clock.freeze(now);
        if pull.limiter.starts_with("LEAKY") {
            assert_eq!(server.ask(&format!("RL.{} COST -2", pull.on("k")))[0], 1);
        }
        assert_eq!(server.ask(&format!("RL.{}", pull.on("k")))[0], 1, "{}", pull.limiter);
        assert_eq!(stored(&server, "k"), expected(now), "{}", pull.limiter);
    }
}

#[test]
fn rl_all_pulls_every_limit_and_charges_none_when_one_refuses() {
    let server = frozen();
    server.ask("RL.FIXED a 10 10s COST 10");
    server.ask("RL.TOKENBUCKET a 10 10 10s COST 3");
    server.ask("RL.SLIDINGLOG l 10 10s COST 4");
    step(&server, -HOUR);
    let now = START - HOUR;
    let several = server.ask_several("RL.ALL a FIXED 10 10s TOKENBUCKET 10 10 10s KEY l SLIDINGLOG 10 10s");
    assert_eq!((several.allowed, several.retry_after_ms), (0, 10_000));
    assert_eq!(
        server.ask_texts("HMGET a fw:10000 tb:10000"),
        [format!("10@{}", now + WINDOW), format!("3@{now}"),]
    );
    assert_eq!(stored(&server, "l"), format!("4:4@{now}"));
}

#[test]
fn expiries_are_not_brought_nearer_but_for_the_logs() {
    let server = frozen();
    for limiter in LIMITERS {
        let key = limiter.replace(' ', "-");
        server.clock.freeze(START);
        let call = format!("RL.{}", limiter.replacen(' ', &format!(" {key} "), 1));
        server.ask(&format!("{call} COST 10"));
        let before = server.ask_int(&format!("PEXPIRETIME {key}"));
        for back in [1, SECOND, HOUR, YEAR] {
            server.clock.freeze(START - back);
            assert_eq!(server.ask(&call)[0], 0);
            let expected = if limiter.starts_with("SLIDINGLOG") && back > SECOND {
                server.clock.now_us() / 1000 + 10_000 + 1250 + 1000
            } else {
                before
            };
            assert_eq!(server.ask_int(&format!("PEXPIRETIME {key}")), expected, "{limiter} {back}");
        }
        // And none outlives its expiry.
        server.clock.freeze((before + 1) * 1000);
        assert!(!server.holds(&key), "{limiter}");
    }
}

#[test]
fn a_step_back_grants_nothing_to_who_has_used_all() {
    let server = frozen();
    for at in [0, 1, 4 * SECOND, WINDOW - 1] {
        for back in STEPS_BACK {
            for limiter in LIMITERS {
                let key = format!("{}-{at}-{back}", limiter.replace(' ', "-"));
                let call = format!("RL.{}", limiter.replacen(' ', &format!(" {key} "), 1));
                server.clock.freeze(START + at);
                assert_eq!(server.ask(&format!("{call} COST 10"))[0], 1);
                step(&server, -back);
                let reply = server.ask(&format!("{call} COST 10 PARTIAL"));
                assert_eq!((reply[0], reply[6]), (0, 10), "{limiter} {at} {back}");
            }
        }
    }
}

#[test]
fn jitter_makes_no_denied_call_write() {
    let server = frozen();
    let mut rng = StdRng::seed_from_u64(1);
    for at in [0, 1, 50, 4 * SECOND] {
        for limiter in LIMITERS {
            let key = format!("{}-{at}", limiter.replace(' ', "-"));
            let call = format!("RL.{}", limiter.replacen(' ', &format!(" {key} "), 1));
            server.clock.freeze(START + at);
            server.ask(&format!("{call} COST 10"));
            let (before, state) = (writes(&server), stored(&server, &key));
            for _ in 0..60 {
                server.clock.freeze(START + at + rng.random_range(-100..=100));
                assert_eq!(server.ask(&call)[0], 0, "{limiter}");
            }
            assert_eq!((writes(&server), stored(&server, &key)), (before, state), "{limiter}");
        }
    }
}

#[test]
fn a_month_that_the_clock_leaves_backwards_is_pulled_into_the_one_before_once() {
    let server = frozen();
    let on_the_15th = DECEMBER + 14 * 24 * HOUR;
    for (offset, boundary) in [("0s", DECEMBER), ("14d", on_the_15th), ("-9h", DECEMBER - 9 * HOUR)] {
        let call = format!("RL.FIXED k 3 1mo ALIGN OFFSET {offset}");
        server.ask_value("DEL k");
        server.clock.freeze(boundary);
        server.ask(&format!("{call} COST 3"));
        let charged = stored(&server, "k");
        // The tolerance: the month before lasts a second more for it.
        step(&server, -SECOND);
        assert_eq!(server.ask(&call)[..3], [0, 3, 0], "{offset}");
        assert_eq!(stored(&server, "k"), charged, "{offset}");
        step(&server, -1);
        assert_eq!(server.ask(&call), [0, 3, 0, 1001, 1001, 1001, 3], "{offset}");
        assert_eq!(stored(&server, "k"), format!("3@{boundary}"), "{offset}");
        // When the clock is there again, a new month begins.
        server.clock.freeze(boundary);
        assert_eq!(server.ask(&call)[6], 1, "{offset}");
    }
}

#[test]
fn where_time_stands_still_the_limit_is_exact() {
    let server = frozen();
    for limiter in LIMITERS {
        let key = limiter.replace(' ', "-");
        let call = format!("RL.{}", limiter.replacen(' ', &format!(" {key} "), 1));
        let replies: Vec<Vec<i64>> = (0..50).map(|_| server.ask(&call)).collect();
        assert_eq!(replies.iter().filter(|reply| reply[0] == 1).count(), 10, "{limiter}");
        assert!(replies[10..].iter().all(|reply| *reply == replies[10]), "{limiter}");
    }
}

/// Random moves of a clock.
struct Moves {
    rng: StdRng,
    /// Microseconds that passed, small steps forward included.
    passed: i64,
    /// Large steps forward, and back.
    leaps: i64,
    returns: i64,
    /// The latest that the clock ever showed.
    latest: i64,
}

impl Moves {
    fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), passed: 0, leaps: 0, returns: 0, latest: START }
    }

    /// Lets time pass, tremble, step or leap.
    fn go_on(&mut self, server: &Server) {
        let us = match self.rng.random_range(0..100) {
            0..30 => 0,
            30..45 => self.rng.random_range(1..200),
            45..65 => self.rng.random_range(1..SECOND),
            65..80 => self.rng.random_range(SECOND..2 * WINDOW),
            80..90 => self.rng.random_range(-100..=100),
            90..94 => self.pick(&[-SECOND, SECOND]),
            94..96 => -self.rng.random_range(1..3 * SECOND),
            96..99 => self.pick(&[-HOUR, HOUR]),
            _ => self.pick(&[-YEAR, YEAR]),
        };
        step(server, us);
        match us {
            HOUR.. => self.leaps += 1,
            0.. => self.passed += us,
            _ if us < -SECOND => self.returns += 1,
            _ => {}
        }
        self.latest = self.latest.max(server.clock.now_us());
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }
}

#[test]
fn no_step_lets_more_than_a_limits_worth_through() {
    for seed in 0..4 {
        let server = frozen();
        let mut moves = Moves::new(seed);
        let mut admitted = [0; LIMITERS.len()];
        // What the log let through: when, after how many leaps, how much.
        let mut log = Vec::new();
        for _ in 0..300 {
            moves.go_on(&server);
            for (index, limiter) in LIMITERS.iter().enumerate() {
                let cost = moves.pick(&[1, 1, 3, 100]);
                let call =
                    format!("RL.{} COST {cost} PARTIAL", limiter.replacen(' ', &format!(" k{index} "), 1));
                let reply = server.ask(&call);
                // A counter that was pulled to its window's start weighs the window before in full again.
                let most = if limiter.contains("COUNTER") { 2 * LIMIT } else { LIMIT };
                assert!(reply[6] <= most, "{limiter}");
                admitted[index] += reply[0];
                let Moves { passed, leaps, returns, .. } = moves;
                let most = match *limiter {
                    bucket if bucket.contains("BUCKET") => LIMIT + LIMIT * passed / WINDOW + LIMIT * leaps,
                    aligned if is_aligned(aligned) => LIMIT * (2 + passed / WINDOW + leaps + returns),
                    _ => LIMIT * (1 + passed / WINDOW + leaps),
                };
                assert!(admitted[index] <= most, "{limiter}: {} of {most}, {passed} µs", admitted[index]);
                if limiter.starts_with("SLIDINGLOG") && reply[0] > 0 {
                    log.push((passed, leaps, reply[0]));
                    let in_window = log.iter().rev().take_while(|(at, after, _)| {
                        // Calls of one instant lie a microsecond apart in the log.
                        *at > passed - WINDOW + 100 && *after == leaps
                    });
                    assert!(in_window.map(|(_, _, units)| units).sum::<i64>() <= LIMIT, "{log:?}");
                }
            }
        }
        // That was no idle life.
        assert!(admitted.iter().all(|units| *units > 5 * LIMIT), "{admitted:?}");
    }
}

#[test]
fn nobody_waits_longer_than_who_has_used_as_much_just_now_and_a_second() {
    for seed in 10..14 {
        let server = frozen();
        let mut moves = Moves::new(seed);
        for _ in 0..150 {
            moves.go_on(&server);
            let now = server.clock.now_us();
            for (index, limiter) in LIMITERS.iter().enumerate() {
                let on = |key: &str| format!("RL.{}", limiter.replacen(' ', &format!(" {key} "), 1));
                let key = format!("k{index}");
                let [.., reset, _, used] = peek(&server, &key, limiter, 0);
                let cost = moves.rng.random_range(1..=LIMIT);
                let retry = peek(&server, &key, limiter, cost)[3];
                if used > 0 {
                    // Waits of one who has used as much at an instant, seen from now.
                    let waits = |at: i64| {
                        server.clock.freeze(now + at);
                        server.ask(&format!("{} COST {used} FORCE", on("other")));
                        let [_, _, _, retry, reset, ..] = peek(&server, "other", limiter, cost);
                        server.ask_value("DEL other");
                        server.clock.freeze(now);
                        [retry + at / 1000, reset + at / 1000]
                    };
                    let mut most = waits(0);
                    if is_aligned(limiter) {
                        // A window that the clock was just in, it will be in again within a second.
                        let then = waits(SECOND);
                        most = [0, 1].map(|wait| most[wait].max(then[wait] - 1000));
                    }
                    assert!(retry <= most[0] + 1000, "{limiter}: {retry} for {cost}, {most:?}");
                    assert!(reset <= most[1] + 1000, "{limiter}: {reset}, {most:?}");
                    assert!(server.holds(&key));
                    let expiry = server.ask_int(&format!("PEXPIRETIME {key}"));
                    assert!(expiry + 1 >= now / 1000 + reset, "{limiter} is forgotten too early");
                    let longest = 6 * WINDOW / 1000;
                    assert!(
                        expiry <= moves.latest / 1000 + longest * 9 / 8 + 1001,
                        "{limiter} stays too long"
                    );
                }
                let charge = match moves.rng.random_range(0..10) {
                    0 => format!("COST {} FORCE", moves.rng.random_range(1..30)),
                    1 => format!("COST -{}", moves.rng.random_range(1..12)),
                    2..6 => "COST 3".into(),
                    _ => "COST 1".into(),
                };
                if used < 3 * LIMIT {
                    server.ask(&format!("{} {charge}", on(&key)));
                }
            }
        }
        // Whatever the clock did, all of it goes in the end.
        server.clock.freeze(moves.latest + HOUR);
        for index in 0..LIMITERS.len() {
            assert!(!server.holds(&format!("k{index}")));
        }
    }
}

#[test]
fn a_leap_to_the_year_2200_overflows_nothing() {
    const YEAR_2200: i64 = 7_258_118_400_000_000;
    let server = frozen();
    let debt = "RL.LEAKYBUCKET debt 10 1 3660d COST";
    let on = |key: &str, limiter: &str| format!("RL.{}", limiter.replacen(' ', &format!(" {key} "), 1));
    let longest = [
        "TOKENBUCKET 1000000000000 1 3660d",
        "LEAKYBUCKET 1000000000000 1 3660d",
        "FIXED 1000000000000 3660d",
        "FIXED 1000000000000 3660d ALIGN OFFSET 3660d",
        "FIXED 1000000000000 3660d ALIGN OFFSET -3660d",
        "FIXED 1000000000000 120mo ALIGN OFFSET 27d",
        "FIXED 1000000000000 1mo ALIGN OFFSET -24h",
        "SLIDINGCOUNTER 1000000000000 3660d",
        "SLIDINGLOG 1000000000000 3660d",
    ];
    let limiters: Vec<(String, &str)> = LIMITERS
        .iter()
        .chain(&longest)
        .enumerate()
        .map(|(index, limiter)| (format!("k{index}"), *limiter))
        .collect();
    for (key, limiter) in &limiters {
        server.ask(&format!("{} COST 10", on(key, limiter)));
        // Live, not merely expired: what an operator has made to stay.
        server.ask_value(&format!("PERSIST {key}"));
    }
    server.ask(&format!("{debt} 1000000000000 FORCE"));
    server.clock.freeze(YEAR_2200);
    for (key, limiter) in &limiters {
        let long_bucket = limiter.contains("BUCKET 1000000000000");
        // 17.4 periods have passed.
        let used = if long_bucket { 0 } else { peek(&server, key, limiter, 1)[6] };
        assert_eq!(used, 0, "{limiter}");
        let reply = server.ask(&format!("{} COST 10", on(key, limiter)));
        assert_eq!((reply[0], reply[6]), (1, 10), "{limiter}");
        let expiry = server.ask_int(&format!("PEXPIRETIME {key}"));
        assert!(expiry >= YEAR_2200 / 1000 + reply[4], "{limiter}: {reply:?}");
    }
    assert_eq!(server.ask(&format!("{debt} 0"))[6], 1_000_000_000_000 - 17);
    // And back, where all of it lies in the future.
    server.clock.freeze(START);
    for (key, limiter) in &limiters {
        let [.., used] = peek(&server, key, limiter, 1);
        assert_eq!(used, 10, "{limiter}");
        let reply = server.ask(&on(key, limiter));
        let expected = if limiter.contains("1000000000000") { (1, 11) } else { (0, 10) };
        assert_eq!((reply[0], reply[6]), expected, "{limiter}");
    }
}
