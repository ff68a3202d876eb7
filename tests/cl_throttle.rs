//! CL.THROTTLE: redis-cell's arguments and replies, errors where redis-cell has none, and the keys that it left.

use crate::support::{Observed, START, Server, State, frozen};

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const OF_LOGS: &str = "WRONGTYPE Operation against a key holding the wrong kind of value: if it is a \
                       SLIDINGLOG's or a LEASE's, that must have its key alone";

/// The five replies: limited, limit, remaining, retry after, reset after (both in seconds).
type Five = [i64; 5];

#[track_caller]
fn ask(server: &Server, line: &str) -> Five {
    server.ask(line).try_into().unwrap_or_else(|reply| panic!("{line}: {reply:?}"))
}

/// A call that must change nothing.
#[track_caller]
fn ask_idly(server: &Server, line: &str) -> Five {
    let before = State::of(server);
    let reply = ask(server, line);
    assert_eq!(State::of(server), before, "{line}");
    reply
}

/// An error that must change nothing.
#[track_caller]
fn fail_idly(server: &Server, line: &str) -> String {
    let before = State::of(server);
    let error = server.ask_error(line);
    assert_eq!(State::of(server), before, "{line}");
    error
}

// As redis-cell answers.

#[test]
fn the_example_of_redis_cells_readme() {
    let server = frozen();
    assert_eq!(ask(&server, "CL.THROTTLE user123 15 30 60"), [0, 16, 15, -1, 2]);
    // A token more: `… 60 1` is the same call.
    assert_eq!(ask(&server, "CL.THROTTLE user123 15 30 60 1"), [0, 16, 14, -1, 4]);
    assert_eq!(ask(&server, "CL.THROTTLE user123-write-rate 5 10 60"), [0, 6, 5, -1, 6]);
}

#[test]
fn the_life_of_a_bucket_in_redis_cells_unit_test() {
    // One a second, five at once; when (ms), quantity, and what its test expects, in whole seconds.
    let life: [(i64, i64, Five); 15] = [
        // More than the limit never fits.
        (0, 6, [1, 5, 5, -1, 0]),
        (0, 1, [0, 5, 4, -1, 1]),
        (0, 1, [0, 5, 3, -1, 2]),
        (0, 1, [0, 5, 2, -1, 3]),
        (0, 1, [0, 5, 1, -1, 4]),
        (0, 1, [0, 5, 0, -1, 5]),
        (0, 1, [1, 5, 0, 1, 5]),
        (3000, 1, [0, 5, 2, -1, 3]),
        (3100, 1, [0, 5, 1, -1, 4]), // 3.9
        (4000, 1, [0, 5, 1, -1, 4]),
        (8000, 1, [0, 5, 4, -1, 1]),
        (9500, 1, [0, 5, 4, -1, 1]),
        // A quantity of 0 asks.
        (9500, 0, [0, 5, 4, -1, 1]),
        (9500, 2, [0, 5, 2, -1, 3]),
        (9500, 5, [1, 5, 2, 3, 3]),
    ];
    let server = frozen();
    for (number, (at_ms, quantity, expected)) in life.into_iter().enumerate() {
        server.clock.freeze(START + at_ms * 1000);
        let reply = ask(&server, &format!("CL.THROTTLE foo 4 1 1 {quantity}"));
        assert_eq!(reply, expected, "number {number}: {quantity} at {at_ms} ms");
    }
}

#[test]
fn the_calls_of_redis_cells_end_to_end_test() {
    let server = frozen();
    let line = "CL.THROTTLE user123 0 1 2 1";
    assert_eq!(ask(&server, line), [0, 1, 0, -1, 2]);
    assert_eq!(ask_idly(&server, line), [1, 1, 0, 2, 2]);
    server.pass_ms(2000);
    assert_eq!(ask(&server, line), [0, 1, 0, -1, 2]);
}

// Quantities.

#[test]
fn a_quantity_of_0_asks_and_writes_nothing() {
    let observed = Observed::frozen();
    assert_eq!(observed.effects_of("CL.THROTTLE k 4 1 1 0"), [""; 0]);
    assert_eq!(ask_idly(&observed, "CL.THROTTLE k 4 1 1 0"), [0, 5, 5, -1, 0]);
    assert!(!observed.holds("k"));
    ask(&observed, "CL.THROTTLE k 4 1 1 5");
    assert_eq!(ask_idly(&observed, "CL.THROTTLE k 4 1 1 0"), [0, 5, 0, -1, 5]);
    // In debt, since the limit was lowered.
    assert_eq!(ask_idly(&observed, "CL.THROTTLE k 2 1 1 0"), [1, 3, 0, 2, 5]);
}

#[test]
fn a_negative_quantity_gives_back_to_unused_at_most() {
    let observed = Observed::frozen();
    assert_eq!(ask_idly(&observed, "CL.THROTTLE k 4 1 1 -3"), [0, 5, 5, -1, 0]);
    assert!(!observed.holds("k"));
    ask(&observed, "CL.THROTTLE k 4 1 1 5");
    assert_eq!(ask(&observed, "CL.THROTTLE k 4 1 1 -2"), [0, 5, 2, -1, 3]);
    // redis-cell lifts above the limit and leaves a key without expiry.
    assert_eq!(observed.effects_of("CL.THROTTLE k 4 1 1 -4"), ["HDEL k tb:1000"]);
    assert_eq!(ask(&observed, "CL.THROTTLE k 4 1 1 6"), [1, 5, 5, -1, 0]);
}

#[test]
fn a_quantity_above_the_limit_never_fits() {
    let server = frozen();
    assert_eq!(ask_idly(&server, "CL.THROTTLE k 4 1 1 6"), [1, 5, 5, -1, 0]);
    ask(&server, "CL.THROTTLE k 4 1 1 3");
    assert_eq!(ask_idly(&server, "CL.THROTTLE k 4 1 1 6"), [1, 5, 2, -1, 3]);
    assert_eq!(ask_idly(&server, "CL.THROTTLE k 4 1 1 1000000000000"), [1, 5, 2, -1, 3]);
}

// Seconds.

#[test]
fn seconds_are_rounded_up() {
    let server = frozen();
    // Two a second: empty after half a second.
    assert_eq!(ask(&server, "CL.THROTTLE k 0 2 1"), [0, 1, 0, -1, 1]);
    for (at_us, expected) in [(1, [1, 1, 0, 1, 1]), (499_999, [1, 1, 0, 1, 1]), (500_000, [0, 1, 1, -1, 0])] {
        server.clock.freeze(START + at_us);
        assert_eq!(ask(&server, "CL.THROTTLE k 0 2 1 0")[4], expected[4], "at {at_us}");
        if expected[0] == 1 {
            assert_eq!(ask_idly(&server, "CL.THROTTLE k 0 2 1"), expected, "at {at_us}");
        }
    }
    // Whole seconds stay, a microsecond more is another.
    ask(&server, "CL.THROTTLE slow 0 1 3600");
    assert_eq!(ask(&server, "CL.THROTTLE slow 0 1 3600"), [1, 1, 0, 3600, 3600]);
    server.pass_us(999_999);
    assert_eq!(ask(&server, "CL.THROTTLE slow 0 1 3600"), [1, 1, 0, 3600, 3600]);
    server.pass_us(1);
    assert_eq!(ask(&server, "CL.THROTTLE slow 0 1 3600"), [1, 1, 0, 3599, 3599]);
}

#[test]
fn whoever_waits_as_told_is_let_through() {
    let server = frozen();
    for (line, seconds) in [
        ("CL.THROTTLE a 0 1 7", 7),
        ("CL.THROTTLE b 9 7 60 10", 86),
        ("CL.THROTTLE c 99 1000 1 100", 1),
        ("CL.THROTTLE d 0 1 316224000", 316_224_000),
    ] {
        assert_eq!(ask(&server, line)[0], 0, "{line}");
        let [limited, _, _, retry_after, reset_after] = ask(&server, line);
        assert_eq!((limited, retry_after, reset_after), (1, seconds, seconds), "{line}");
        server.pass_ms((retry_after * 1000).unsigned_abs());
        assert_eq!(ask(&server, line)[0], 0, "{line}");
    }
}

// Where redis-cell crashes or lets everything through.

#[test]
fn rates_above_a_thousand_a_second_still_limit() {
    for rate in [1000, 1001, 6000, 1_000_000, 999_999_937, 1_000_000_000_000_i64] {
        let server = frozen();
        let line = format!("CL.THROTTLE k 9 {rate} 1");
        for left in (0..10).rev() {
            assert_eq!(ask(&server, &line)[..3], [0, 10, left], "{rate} a second");
        }
        assert_eq!(ask_idly(&server, &line), [1, 10, 0, 1, 1], "{rate} a second");
        // One comes back, not all: as soon as the rate says, to the microsecond.
        server.pass_us(1);
        let back = (rate / 1_000_000).min(10);
        assert_eq!(ask(&server, &format!("{line} 0"))[2], back, "{rate} a second");
    }
}

#[test]
fn six_thousand_a_second_are_six_thousand_a_second() {
    let server = frozen();
    let mut allowed = 0;
    // A caller every 100 µs, for 0.1 s.
    for _ in 0..1000 {
        allowed += i64::from(ask(&server, "CL.THROTTLE k 0 6000 1")[0] == 0);
        server.pass_us(100);
    }
    // One in 166.7 µs, so every second call; 600 if the calls came when the bucket lets them.
    assert_eq!(allowed, 500);
}

#[test]
fn the_largest_numbers_are_taken() {
    let server = frozen();
    let most = "CL.THROTTLE k 999999999999 1000000000000 316224000 1000000000000";
    assert_eq!(ask(&server, most), [0, 1_000_000_000_000, 0, -1, 316_224_000]);
    assert_eq!(ask(&server, most)[..4], [1, 1_000_000_000_000, 0, 316_224_000]);
    let slowest = "CL.THROTTLE slow 999999999999 1 316224000 1000000000000";
    // 3·10^20 seconds saturate at 2^53 - 1 ms.
    assert_eq!(ask(&server, slowest)[..4], [0, 1_000_000_000_000, 0, -1]);
    assert_eq!(ask(&server, slowest)[4], ((1_i64 << 53) - 1 + 999) / 1000);
    assert_eq!(
        ask(&server, &format!("{} -1000000000000", &slowest[..slowest.len() - 14]))[2],
        1_000_000_000_000
    );
}

#[test]
fn numbers_out_of_range_are_errors_that_name_them() {
    let server = frozen();
    ask(&server, "CL.THROTTLE k 15 30 60");
    let ranges = [
        ("max_burst", "0 to 999999999999", vec!["-1", "1000000000000", "9223372036854775807"]),
        ("count", "1 to 1000000000000", vec!["0", "-1", "1000000000001", "-9223372036854775808"]),
        ("period_seconds", "1 to 316224000", vec!["0", "-60", "316224001", "9223372036854775"]),
        ("quantity", "-1000000000000 to 1000000000000", vec!["-1000000000001", "1000000000001"]),
    ];
    let never =
        ["", "x", "1.5", "1e3", "+1", "0x10", "inf", "nan", "1 ", "--1", "-", "9223372036854775808", "1s"];
    for (index, (name, range, beyond)) in ranges.into_iter().enumerate() {
        for bad in beyond.into_iter().chain(never) {
            for key in ["k", "new"] {
                let mut words = ["CL.THROTTLE", key, "15", "30", "60", "1"];
                words[2 + index] = bad;
                let before = State::of(&server);
                let expected = format!("ERR {name} must be a whole number from {range}, not '{bad}'");
                assert_eq!(server.error(&words), expected, "{words:?}");
                assert_eq!(State::of(&server), before, "{words:?}");
            }
        }
    }
}

#[test]
fn too_few_and_too_many_words_are_errors() {
    let server = frozen();
    for line in ["CL.THROTTLE", "CL.THROTTLE k", "CL.THROTTLE k 15 30", "CL.THROTTLE k 15 30 60 1 1"] {
        let error = server.ask_error(line).to_lowercase();
        assert_eq!(error, "err wrong number of arguments for 'cl.throttle' command", "{line}");
    }
    assert_eq!(server.ask_int("DBSIZE"), 0);
}

#[test]
fn keys_of_other_types_are_errors() {
    let server = frozen();
    for (preparation, expected) in [
        ("RPUSH k 1", WRONG_TYPE),
        ("SADD k 1", WRONG_TYPE),
        ("ZADD k 1 1", OF_LOGS),
        ("XADD k 1-1 a b", WRONG_TYPE),
        ("RL.SLIDINGLOG k 10 1m", OF_LOGS),
        ("SETBIT k 7 1", WRONG_TYPE),
        ("PFADD k 1", WRONG_TYPE),
        ("HSET k name 1", "ERR key holds other data"),
        ("HSET k tb:60000 15", "ERR field 'tb:60000' holds other data"),
    ] {
        server.ask_value("DEL k");
        server.ask_value(preparation);
        for quantity in [1, 0, -1, 100] {
            let error = fail_idly(&server, &format!("CL.THROTTLE k 15 30 60 {quantity}"));
            assert_eq!(error, expected, "{preparation}, {quantity}");
        }
    }
}

#[test]
fn keys_are_any_bytes() {
    let server = frozen();
    for key in [&b"\xff\xfe"[..], b"", b"a\0b", b"\r\n", &[b'k'; 1000]] {
        let reply = server.ints(&[b"CL.THROTTLE".as_slice(), key, b"15", b"30", b"60"]);
        assert_eq!(reply, [0, 16, 15, -1, 2], "{key:?}");
    }
    assert_eq!(server.ask_int("DBSIZE"), 5);
}

// One state with RL.TOKENBUCKET.

#[test]
fn it_is_a_token_bucket_of_one_more_than_the_burst() {
    let server = frozen();
    ask(&server, "CL.THROTTLE k 15 30 60 5");
    assert_eq!(server.ask_texts("HGETALL k"), ["tb:60000".to_string(), format!("5@{START}")]);
    assert_eq!(server.ask("RL.TOKENBUCKET k 16 30 1m COST 3"), [1, 16, 8, 0, 16_000, 2000, 8]);
    assert_eq!(ask(&server, "CL.THROTTLE k 15 30 60 0"), [0, 16, 8, -1, 16]);
    server.ask("RL.TOKENBUCKET k 16 30 1m COST 10 FORCE");
    assert_eq!(ask(&server, "CL.THROTTLE k 15 30 60"), [1, 16, 0, 6, 36]);
    assert_eq!(server.ask_several("RL.PEEK k TOKENBUCKET 16 30 60s").limits[0][6], 18);
}

#[test]
fn it_expires_when_it_is_unused_again() {
    let observed = Observed::frozen();
    // 2 s until unused, an eighth and a second more.
    assert_eq!(
        observed.effects_of("CL.THROTTLE k 15 30 60"),
        [format!("HSET k tb:60000 1@{START}"), format!("PEXPIREAT k {}", START / 1000 + 3250)]
    );
}

// Limits and rates that change.

#[test]
fn what_was_used_stays_used_when_the_limit_changes() {
    let server = frozen();
    ask(&server, "CL.THROTTLE k 9 10 60 10");
    assert_eq!(ask(&server, "CL.THROTTLE k 99 10 60"), [0, 100, 89, -1, 66]);
    // Lowered: refused until enough has come back, at the rate of the call.
    assert_eq!(ask_idly(&server, "CL.THROTTLE k 4 10 60"), [1, 5, 0, 42, 66]);
    server.pass_ms(41_999);
    assert_eq!(ask_idly(&server, "CL.THROTTLE k 4 10 60")[0], 1);
    server.pass_ms(1);
    assert_eq!(ask(&server, "CL.THROTTLE k 4 10 60"), [0, 5, 0, -1, 30]);
    // Raised again: neither frozen nor free.
    assert_eq!(ask(&server, "CL.THROTTLE k 9 10 60 0"), [0, 10, 5, -1, 30]);
}

#[test]
fn a_rate_that_is_raised_helps_at_once() {
    // redis-cell counts in time of the old rate: there, this caller is refused for ten minutes.
    let server = frozen();
    ask(&server, "CL.THROTTLE k 9 1 60 10");
    assert_eq!(ask_idly(&server, "CL.THROTTLE k 9 1 60"), [1, 10, 0, 60, 600]);
    assert_eq!(ask_idly(&server, "CL.THROTTLE k 9 60 60"), [1, 10, 0, 1, 10]);
    server.pass_ms(1000);
    assert_eq!(ask(&server, "CL.THROTTLE k 9 60 60"), [0, 10, 0, -1, 10]);
}

#[test]
fn a_rate_that_is_lowered_frees_nobody() {
    // There, ten tokens of a fast rate are less than one of a slow rate.
    let server = frozen();
    ask(&server, "CL.THROTTLE k 9 600 60 9");
    assert_eq!(ask(&server, "CL.THROTTLE k 9 1 60"), [0, 10, 0, -1, 600]);
    assert_eq!(ask_idly(&server, "CL.THROTTLE k 9 1 60"), [1, 10, 0, 60, 600]);
    server.pass_ms(59_999);
    assert_eq!(ask_idly(&server, "CL.THROTTLE k 9 1 60")[0], 1);
    server.pass_ms(1);
    assert_eq!(ask(&server, "CL.THROTTLE k 9 1 60"), [0, 10, 0, -1, 600]);
}

#[test]
fn changing_to_and_fro_neither_freezes_nor_frees() {
    // Ten a minute throughout, whatever the burst: six seconds a token, and never more than the burst asked for.
    let server = frozen();
    let mut used = 0;
    for (number, burst) in [9, 99, 4, 0, 9, 49, 2, 9].into_iter().cycle().take(200).enumerate() {
        let [limited, limit, remaining, retry_after, reset_after] =
            ask(&server, &format!("CL.THROTTLE k {burst} 10 60"));
        let fits = used < limit;
        used += i64::from(fits);
        assert_eq!((limited, limit), (i64::from(!fits), burst + 1), "number {number}");
        assert_eq!((remaining, reset_after), ((limit - used).max(0), used * 6), "number {number}");
        assert_eq!(retry_after, if fits { -1 } else { (used - burst) * 6 }, "number {number}");
        if number % 3 == 0 {
            server.pass_ms(6000);
            used = (used - 1).max(0);
        }
    }
}

#[test]
fn each_period_has_a_quota_of_its_own() {
    let server = frozen();
    assert_eq!(ask(&server, "CL.THROTTLE k 0 1 60"), [0, 1, 0, -1, 60]);
    assert_eq!(ask(&server, "CL.THROTTLE k 0 1 3600"), [0, 1, 0, -1, 3600]);
    assert_eq!(server.ask_int("HLEN k"), 2);
}

// The keys that redis-cell left.

const NS: i64 = 1_000_000_000;

/// What redis-cell leaves: the theoretical arrival time, `ahead` nanoseconds from now, in a key that lives as long.
fn leave(server: &Server, key: &str, ahead: i64) {
    let arrival = server.clock.now_us() * 1000 + ahead;
    // A key whose time had come would be gone; a stopped clock lets the test look at one.
    let px = (ahead / 1_000_000).max(1000);
    server.ask_value(&format!("SET {key} {arrival} PX {px}"));
}

/// a·b / c, rounded up.
fn div_ceil(a: i64, b: i64, c: i64) -> i64 {
    let (product, c) = (i128::from(a) * i128::from(b), i128::from(c));
    i64::try_from((product + c - 1) / c).unwrap()
}

/// Burst, count and period.
type Terms = (i64, i64, i64);

const PER_MINUTE: Terms = (15, 30, 60);

fn call(key: &str, (burst, count, period): Terms, quantity: i64) -> String {
    format!("CL.THROTTLE {key} {burst} {count} {period} {quantity}")
}

#[test]
fn a_key_that_redis_cell_left_has_its_quota() {
    for terms in [PER_MINUTE, (9, 7, 60), (4, 1, 1), (0, 1, 2), (99, 1000, 3), (999, 999, 1), (2, 1, 86_400)]
    {
        let (burst, count, period) = terms;
        let server = frozen();
        let emission = period * NS / count;
        for tokens in [1, 2, burst / 2, burst, burst + 1] {
            for off in [-emission / 2, -1000, -1, 0, 1, 1000] {
                let ahead = tokens * emission + off;
                if ahead <= 0 || tokens > burst + 1 {
                    continue;
                }
                // Whole tokens, an unfinished one among them.
                let used = div_ceil(ahead, count, period * NS).min(burst + 1);
                let what = format!("{terms:?}, {tokens} tokens and {off} ns: {ahead}");
                leave(&server, "k", ahead);
                let asked = ask_idly(&server, &call("k", terms, 0));
                assert_eq!(asked[..3], [0, burst + 1, burst + 1 - used], "{what}");
                let [limited, _, remaining, retry_after, _] = ask(&server, &call("k", terms, 1));
                if used <= burst {
                    assert_eq!((limited, remaining, retry_after), (0, burst - used, -1), "{what}");
                    assert_eq!(server.text(&["TYPE", "k"]), "hash", "{what}");
                } else {
                    assert_eq!((limited, remaining), (1, 0), "{what}");
                    assert_eq!(server.text(&["TYPE", "k"]), "string", "{what}");
                }
                server.ask_value("DEL k");
            }
        }
    }
}

#[test]
fn a_key_that_redis_cell_left_is_taken_over_when_first_charged() {
    let observed = Observed::frozen();
    leave(&observed, "k", 6 * NS);
    assert_eq!(
        observed.effects_of(&call("k", PER_MINUTE, 1)),
        [
            "UNLINK k".to_string(),
            format!("HSET k tb:60000 4@{START}"),
            format!("PEXPIREAT k {}", START / 1000 + 8000 + 1000 + 1000),
        ]
    );
    assert_eq!(ask(&observed, &call("k", PER_MINUTE, 1)), [0, 16, 11, -1, 10]);
}

#[test]
fn part_of_a_token_is_taken_over_as_part() {
    let server = frozen();
    leave(&server, "k", 5 * NS);
    // Two and a half used, three and a half now.
    assert_eq!(ask(&server, &call("k", PER_MINUTE, 1)), [0, 16, 12, -1, 7]);
    assert_eq!(server.ask_texts("HVALS k"), [format!("3.5@{START}")]);
}

#[test]
fn a_refusal_and_a_question_leave_redis_cells_key() {
    let observed = Observed::frozen();
    leave(&observed, "k", 30 * NS);
    for (quantity, expected) in
        [(0, [0, 16, 1, -1, 30]), (2, [1, 16, 1, 2, 30]), (16, [1, 16, 1, 30, 30]), (17, [1, 16, 1, -1, 30])]
    {
        assert_eq!(observed.effects_of(&call("k", PER_MINUTE, quantity)), [""; 0], "{quantity}");
        assert_eq!(ask_idly(&observed, &call("k", PER_MINUTE, quantity)), expected, "{quantity}");
    }
    assert_eq!(observed.text(&["GET", "k"]), (START * 1000 + 30 * NS).to_string());
}

#[test]
fn giving_back_takes_redis_cells_key_over() {
    let observed = Observed::frozen();
    leave(&observed, "k", 30 * NS);
    assert_eq!(ask(&observed, &call("k", PER_MINUTE, -5)), [0, 16, 6, -1, 20]);
    assert_eq!(observed.ask_texts("HVALS k"), [format!("10@{START}")]);
    leave(&observed, "all", 30 * NS);
    assert_eq!(observed.effects_of(&call("all", PER_MINUTE, -15)), ["UNLINK all"]);
    assert_eq!(ask(&observed, &call("all", PER_MINUTE, 16)), [0, 16, 0, -1, 32]);
}

#[test]
fn an_arrival_time_in_the_past_is_nothing_used() {
    let server = frozen();
    for ahead in [0, -1, -NS, -700_000_000 * NS] {
        leave(&server, "k", ahead);
        assert_eq!(ask_idly(&server, &call("k", PER_MINUTE, 0)), [0, 16, 16, -1, 0], "{ahead}");
        assert_eq!(ask(&server, &call("k", PER_MINUTE, 1)), [0, 16, 15, -1, 2], "{ahead}");
        server.ask_value("DEL k");
    }
}

#[test]
fn more_than_the_capacity_is_taken_over_as_full() {
    let server = frozen();
    leave(&server, "k", 3600 * NS);
    assert_eq!(ask_idly(&server, &call("k", PER_MINUTE, 1)), [1, 16, 0, 2, 32]);
    // A lowered limit neither frees nor, once raised again, freezes: the string is still there.
    leave(&server, "k", 24 * NS);
    assert_eq!(ask_idly(&server, &call("k", (3, 30, 60), 1)), [1, 4, 0, 2, 8]);
    assert_eq!(ask(&server, &call("k", PER_MINUTE, 1)), [0, 16, 3, -1, 26]);
}

#[test]
fn a_string_is_taken_over_however_the_server_encodes_it() {
    let server = frozen();
    let arrival = (START * 1000 + 6 * NS).to_string();
    let (head, tail) = arrival.split_at(9);
    server.ask_value(&format!("SET int {arrival} PX 6000"));
    server.ask_value(&format!("SET raw {head} PX 6000"));
    server.ask_value(&format!("APPEND raw {tail}"));
    assert_eq!(server.text(&["OBJECT", "ENCODING", "int"]), "int");
    assert_eq!(server.text(&["OBJECT", "ENCODING", "raw"]), "raw");
    for key in ["int", "raw"] {
        assert_eq!(ask_idly(&server, &call(key, PER_MINUTE, 0)), [0, 16, 13, -1, 6], "{key}");
        assert_eq!(ask(&server, &call(key, PER_MINUTE, 1)), [0, 16, 12, -1, 8], "{key}");
    }
}

#[test]
fn a_string_that_is_no_arrival_time_is_another_type() {
    let server = frozen();
    for value in [
        "",
        "0",
        "1",
        "abc",
        "-1763902020000000000",
        "+1763902020000000000",
        "1763902020000000000.0",
        "1763902020",
        "1763902020000",
        "1763902020000000",
        "999999999999999999",
        "4000000000000000001",
        "9223372036854775807",
        "9999999999999999999",
        "18446744073709551615",
        "17639020200000000000",
        "01763902020000000000",
        "1763902020000000000 ",
        " 1763902020000000000",
        "176390202000000000\0",
        "17639020200000000x0",
        "1.7639e18",
    ] {
        server.call(&["SET", "k", value, "PX", "60000"]).unwrap();
        for quantity in [1, 0, -1, 100] {
            let error = fail_idly(&server, &call("k", PER_MINUTE, quantity));
            assert_eq!(error, WRONG_TYPE, "{value:?}, {quantity}");
        }
    }
}

#[test]
fn the_first_and_the_last_arrival_time_that_are_taken() {
    let server = frozen();
    server.ask_value("SET first 1000000000000000000 PX 60000");
    assert_eq!(ask(&server, &call("first", PER_MINUTE, 1)), [0, 16, 15, -1, 2]);
    server.ask_value("SET last 4000000000000000000 PX 60000");
    assert_eq!(ask_idly(&server, &call("last", PER_MINUTE, 1)), [1, 16, 0, 2, 32]);
}

#[test]
fn a_string_without_expiry_is_another_type() {
    let server = frozen();
    server.ask_value(&format!("SET k {}", START * 1000 + NS));
    for quantity in [1, 0, -1, 100] {
        assert_eq!(fail_idly(&server, &call("k", PER_MINUTE, quantity)), WRONG_TYPE, "{quantity}");
    }
}

#[test]
fn no_other_command_takes_redis_cells_keys() {
    let server = frozen();
    leave(&server, "k", 6 * NS);
    for line in ["RL.TOKENBUCKET k 16 30 1m", "RL.FIXED k 16 1m COST 0", "RL.SLIDINGLOG k 16 1m COST -1"] {
        assert_eq!(fail_idly(&server, line), WRONG_TYPE, "{line}");
    }
    for line in ["RL.ALL k TOKENBUCKET 16 30 1m", "RL.PEEK k TOKENBUCKET 16 30 1m"] {
        let error = WRONG_TYPE.replacen(' ', " limit 1 (TOKENBUCKET): ", 1);
        assert_eq!(fail_idly(&server, line), error, "{line}");
    }
}

#[test]
fn a_key_that_redis_cell_left_is_as_good_as_gone_once_it_expires() {
    let server = frozen();
    leave(&server, "k", 30 * NS);
    server.pass_ms(30_000);
    assert_eq!(ask(&server, &call("k", PER_MINUTE, 1)), [0, 16, 15, -1, 2]);
    assert_eq!(server.text(&["TYPE", "k"]), "hash");
}
