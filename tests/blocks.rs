//! `BLOCK bkey duration`: a denial creates bkey, and while that exists the limit denies.

use std::sync::mpsc;
use std::time::Duration;

use redis::{PushKind, Value};

use crate::support::{Observed, START, Server, State, eventually, frozen, purge, send, words};

/// A limit of 3 units of each kind, all of which are back within 30 s.
const LIMITS: [&str; 6] = [
    "TOKENBUCKET 3 1 10s",
    "LEAKYBUCKET 3 1 10s",
    "FIXED 3 10s",
    "FIXED 3 10s ALIGN",
    "SLIDINGCOUNTER 3 10s",
    "SLIDINGLOG 3 10s",
];

const START_MS: i64 = START / 1000;

/// A call of the limit's own command on key `k`.
fn call(limit: &str, options: &str) -> String {
    let (name, rest) = limit.split_once(' ').unwrap();
    format!("RL.{name} k {rest} {options}")
}

/// What the limit itself would answer, whatever blocks it.
#[track_caller]
fn own(server: &Server, limit: &str, options: &str) -> Vec<i64> {
    server.ask_guarded(&format!("RL.PEEK k {limit} {options}")).limits.remove(0)
}

/// What is left of the block `b`, rounded up to whole milliseconds; at its end it is gone.
fn left_ms(server: &Server) -> i64 {
    let end_us = (server.ask_int("PEXPIRETIME b") + 1) * 1000;
    (end_us - server.clock.now_us() + 999).div_euclid(1000)
}

/// Uses the limit up.
fn spend(server: &Server, limit: &str) {
    let reply = server.ask(&call(limit, "COST 3 BLOCK b 1m"));
    assert_eq!((reply[0], reply[2], reply[7], reply.len()), (1, 0, 0, 8), "{limit}: {reply:?}");
}

/// Uses the limit up, and has the next call denied: `b` blocks it for a minute.
fn block(server: &Server, limit: &str) {
    spend(server, limit);
    assert_eq!(server.ask(&call(limit, "BLOCK b 1m"))[7], 2, "{limit}");
}

// The life of a block.

#[test]
fn a_block_begins_with_a_denial_and_ends_at_the_millisecond_that_was_told() {
    for limit in LIMITS {
        let server = frozen();
        let line = call(limit, "BLOCK b 1m");
        spend(&server, limit);
        assert!(!server.holds("b"), "{limit}");

        // Denied: the block begins.
        server.pass_us(1_000_345);
        let own_before = own(&server, limit, "");
        let reply = server.ask(&line);
        let [_, l, remaining, wait, reset, next, used] = own_before.try_into().unwrap();
        assert_eq!(reply, [0, l, remaining, wait.max(60_000), reset, next, used, 2], "{limit}");
        assert_eq!(server.text(&["GET", "b"]), "1");
        // The server keeps a key to the end of the millisecond in which it expires.
        let until = START_MS + 1000 + 60_000 - 1;
        assert_eq!(server.ask_int("PEXPIRETIME b"), until, "{limit}");

        // Blocked, whatever is left of the limit; calls meanwhile do not prolong it.
        for pass_us in [0, 1, 654, 1000, 20_000_500] {
            server.pass_us(pass_us);
            let reply = server.ask(&line);
            let [_, l, _, wait, reset, next, used] = own(&server, limit, "").try_into().unwrap();
            let left = left_ms(&server);
            assert_eq!(reply, [0, l, 0, wait.max(left), reset, next.max(left), used, 1], "{limit}");
            assert_eq!(server.ask_int("PEXPIRETIME b"), until, "{limit}");
        }
        let wait = server.ask(&line)[3];
        server.pass_ms(u64::try_from(wait - 1).unwrap());
        assert_eq!((server.ask(&line)[0], server.ask(&line)[7]), (0, 1), "{limit}: a millisecond early");
        server.pass_ms(1);
        let reply = server.ask(&line);
        assert_eq!((reply[0], reply[7]), (1, 0), "{limit}: in time");
        assert!(!server.holds("b"));
    }
}

#[test]
fn the_wait_that_the_beginning_of_a_block_tells_is_exact() {
    for (limit, lasts, lasts_ms) in [
        ("FIXED 3 10s", "1ms", 1),
        ("FIXED 3 1ms", "1ms", 1),
        ("SLIDINGLOG 3 1ms", "2ms", 2),
        ("TOKENBUCKET 3 1 1ms", "7ms", 7),
        ("FIXED 3 10s", "3660d", 3660 * 86_400_000),
        ("SLIDINGCOUNTER 3 1s", "10m", 600_000),
    ] {
        for us in [0, 1, 999] {
            let server = frozen();
            server.pass_us(us);
            assert_eq!(server.ask(&call(limit, "COST 3"))[0], 1);
            let own_wait = own(&server, limit, "")[3];
            let line = call(limit, &format!("BLOCK b {lasts}"));
            let reply = server.ask(&line);
            assert_eq!((reply[3], reply[7]), (own_wait.max(lasts_ms), 2), "{line} at {us}");
            server.pass_ms(u64::try_from(lasts_ms - 1).unwrap());
            assert_eq!(server.ask(&line)[7], 1, "{line} at {us}");
            // One of 3660 days has outlived the window.
            server.pass_ms(u64::try_from(reply[3] - (lasts_ms - 1)).unwrap());
            assert_eq!((server.ask(&line)[0], server.ask(&line)[7]), (1, 0), "{line} at {us}");
        }
    }
}

#[test]
fn the_longer_of_the_blocks_wait_and_the_limits_own_is_told() {
    let server = frozen();
    let line = "RL.FIXED k 3 1h BLOCK b 10s";
    server.ask("RL.FIXED k 3 1h COST 3");
    assert_eq!(server.ask(line), [0, 3, 0, 3_600_000, 3_600_000, 3_600_000, 3, 2]);
    server.pass_ms(4000);
    assert_eq!(server.ask(line), [0, 3, 0, 3_596_000, 3_596_000, 3_596_000, 3, 1]);
    // While the limit stays used up, the next denial blocks anew.
    server.pass_ms(5999);
    assert_eq!(server.ask(line)[7], 1);
    server.pass_ms(1);
    assert_eq!(server.ask(line)[7], 2);
    assert_eq!(server.ask_int("PTTL b"), 9999);
}

#[test]
fn what_begins_no_block() {
    for limit in LIMITS {
        let server = frozen();
        let options = |options: &str| call(limit, &format!("{options} BLOCK b 1m"));
        // Nobody is blocked for what could never pass.
        for (line, wait) in [
            (options("COST 4"), -1),
            (options("COST 1000000000000"), -1),
            (options("").replacen(" 3 ", " 0 ", 1), -1),
            (options("COST 5").replacen(" 3 ", " 0 ", 1), -1),
        ] {
            let reply = server.ask(&line);
            assert_eq!((reply[0], reply[3], reply[7]), (0, wait, 0), "{line}");
        }
        spend(&server, limit);
        for (given, allowed) in
            [("COST 4", 0), ("COST 0", 1), ("PARTIAL", 0), ("COST 3 PARTIAL", 0), ("COST 2 FORCE", 0)]
        {
            let line = options(given);
            let reply = server.ask(&line);
            assert_eq!((reply[0], reply[7], reply.len()), (allowed, 0, 8), "{line}: {reply:?}");
        }
        // In debt.
        for (given, allowed) in
            [("COST 0", 0), ("COST 0 FORCE", 0), ("COST 0 PARTIAL", 0), ("COST -1", 1), ("COST -1 FORCE", 1)]
        {
            let line = options(given);
            let reply = server.ask(&line);
            assert_eq!((reply[0], reply[7]), (allowed, 0), "{line}: {reply:?}");
        }
        let peek = format!("RL.PEEK k {limit} BLOCK b 1m");
        let [own_wait, next] = [3, 5].map(|at| own(&server, limit, "")[at]);
        let reply = server.ask_guarded(&peek);
        assert_eq!((reply.allowed, reply.retry_after_ms), (0, own_wait), "{peek}");
        assert_eq!(
            (reply.limits[0][3], reply.limits[0][5], reply.limits[0][7]),
            (own_wait, next, 0),
            "{peek}"
        );
        assert!(!server.holds("b"), "{limit}");
        assert_eq!(server.ask(&options(""))[7], 2, "{limit}");
    }
}

#[test]
fn what_a_blocked_limit_answers() {
    for limit in LIMITS {
        let server = frozen();
        block(&server, limit);
        // All units are back, the block is not.
        server.pass_us(40_000_700);
        purge(&server, &["k".into()]);
        let options = |options: &str| call(limit, &format!("{options} BLOCK b 1m"));
        let before = State::of(&server);
        for (given, wait) in [
            ("", 20_000),
            ("COST 3", 20_000),
            ("COST 4", -1),
            ("COST 0", 20_000),
            ("COST 0 FORCE", 20_000),
            ("COST 0 PARTIAL", 20_000),
            ("PARTIAL", 20_000),
            ("COST 1000 PARTIAL", 20_000),
        ] {
            let line = options(given);
            assert_eq!(server.ask(&line), [0, 3, 0, wait, 0, 20_000, 0, 1], "{line}");
        }
        let line = options("").replacen(" 3 ", " 0 ", 1);
        assert_eq!(server.ask(&line), [0, 0, 0, -1, 0, -1, 0, 1], "{line}");
        assert_eq!(State::of(&server), before, "{limit}");

        // FORCE charges all the same.
        for used in [2, 4] {
            let reply = server.ask(&options("COST 2 FORCE"));
            let [_, _, _, _, reset, next, _] = own(&server, limit, "").try_into().unwrap();
            let own_wait = if used > 3 { own(&server, limit, "COST 2")[3] } else { 0 };
            let expected = [0, 3, 0, own_wait.max(20_000), reset, next.max(20_000), used, 1];
            assert_eq!(reply, expected, "{limit}");
        }
        // So does giving back, which the block is not about.
        for given in ["COST -1", "COST -1 FORCE", "COST -1 PARTIAL"] {
            let reply = server.ask(&options(given));
            let [_, _, remaining, _, reset, next, used] = own(&server, limit, "").try_into().unwrap();
            assert_eq!(reply, [1, 3, remaining, 0, reset, next, used, 0], "{limit} {given}");
        }
        assert_eq!(own(&server, limit, "")[6], 1, "{limit}");
        assert_eq!(server.ask(&options("COST -5"))[6], 0, "{limit}");
        assert!(!server.holds("k"), "{limit}");
        assert_eq!(server.ask(&options("COST -5"))[7], 0, "{limit}");
        assert_eq!(server.ask_int("PEXPIRETIME b"), START_MS + 59_999, "{limit}");
    }
}

#[test]
fn a_key_of_any_type_blocks_until_it_goes() {
    for limit in LIMITS {
        let server = frozen();
        let line = call(limit, "BLOCK b 1m");
        for creation in [
            "SET b 1",
            "SET b any",
            "RPUSH b 1",
            "SADD b 1",
            "ZADD b 1 1",
            "HSET b name 1",
            "XADD b * name 1",
            "RL.SLIDINGLOG b 3 1h",
        ] {
            server.ask_value(creation);
            server.ask_value("PERSIST b");
            assert_eq!(server.ask(&line), [0, 3, 0, -1, 0, -1, 0, 1], "{limit}: {creation}");
            let peek = server.ask_guarded(&format!("RL.PEEK k {limit} BLOCK b 1m"));
            assert_eq!((peek.allowed, peek.retry_after_ms, peek.limits[0][7]), (0, -1, 1), "{creation}");
            server.ask_value("PEXPIRE b 1000");
            assert_eq!(server.ask(&line), [0, 3, 0, 1001, 0, 1001, 0, 1], "{limit}: {creation}");
            server.pass_ms(1000);
            assert_eq!(server.ask(&line)[..4], [0, 3, 0, 1], "{limit}: {creation}");
            server.pass_ms(1);
            assert_eq!(server.ask(&line)[7], 0, "{limit}: {creation}");
            server.ask_value("DEL b k");
        }
        assert_eq!(server.ask(&line)[0], 1, "{limit}");
    }
}

#[test]
fn a_pardon_is_to_delete_the_block_and_the_limiter() {
    for limit in LIMITS {
        let server = frozen();
        block(&server, limit);
        let line = call(limit, "BLOCK b 1m");
        server.ask_value("DEL b");
        assert_eq!(server.ask(&line)[7], 2, "{limit}: still used up, so blocked anew");
        server.ask_value("DEL b k");
        let reply = server.ask(&line);
        assert_eq!((reply[0], reply[2], reply[7]), (1, 2, 0), "{limit}");
    }
}

#[test]
fn a_limit_that_does_not_name_the_block_is_not_blocked() {
    let server = frozen();
    block(&server, "FIXED 3 10s");
    assert_eq!(server.ask("RL.FIXED k 4 10s").len(), 7);
    assert_eq!(server.ask("RL.FIXED k 6 10s BLOCK another 1m")[7], 0);
    assert_eq!(server.ask("RL.FIXED other 6 10s BLOCK b 1m")[7], 1, "another limiter's, if it names it");
}

#[test]
fn a_block_follows_the_clock() {
    let server = frozen();
    block(&server, "FIXED 3 10s");
    server.clock.step_back(Duration::from_secs(30));
    let reply = server.ask("RL.FIXED k 3 10s BLOCK b 1m");
    assert_eq!((reply[3], reply[7]), (90_000, 1));
    server.pass_ms(90_000);
    assert_eq!(server.ask("RL.FIXED k 3 10s BLOCK b 1m")[0], 1);
}

#[test]
fn a_denial_that_pulls_state_from_the_future_blocks_too() {
    let server = Observed::frozen();
    server.ask("RL.FIXED k 3 10s COST 3");
    server.clock.step_back(Duration::from_secs(3600));
    let until = START_MS - 3_600_000 + 60_000 - 1;
    let end = START - 3_600_000_000 + 10_000_000;
    assert_eq!(
        server.effects_of("RL.FIXED k 3 10s BLOCK b 1m"),
        [format!("HSET k fw:10000 3@{end}"), format!("SET b 1 PXAT {until}")]
    );
    assert_eq!(server.ask("RL.FIXED k 3 10s BLOCK b 1m"), [0, 3, 0, 60_000, 10_000, 60_000, 3, 1]);
}

// Several limits.

#[test]
fn of_several_limits_each_that_denies_begins_its_own_block() {
    let server = Observed::frozen();
    let line = "RL.ALL k FIXED 1 10s BLOCK b:10s 1m FIXED 5 1m BLOCK b:1m 2m TOKENBUCKET 1 1 1h BLOCK b:tb 10s \
                KEY l SLIDINGLOG 1 1m BLOCK b:log 30s KEY free FIXED 9 1s";
    let reply = server.ask_guarded(line);
    assert_eq!(reply.allowed, 1);
    assert_eq!(reply.limits.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 8, 8, 7]);
    let now = START_MS;
    assert_eq!(
        server.effects_of(line),
        [
            format!("SET b:10s 1 PXAT {}", now + 59_999),
            format!("SET b:tb 1 PXAT {}", now + 9999),
            format!("SET b:log 1 PXAT {}", now + 29_999),
        ]
    );
    let reply = server.ask_guarded(line);
    assert_eq!((reply.allowed, reply.retry_after_ms), (0, 3_600_000));
    assert_eq!(reply.limits[0], [0, 1, 0, 60_000, 10_000, 60_000, 1, 1]);
    assert_eq!(reply.limits[1], [1, 5, 4, 0, 60_000, 60_000, 1, 0], "it would have allowed: uncharged");
    assert_eq!(reply.limits[2], [0, 1, 0, 3_600_000, 3_600_000, 3_600_000, 1, 1]);
    assert_eq!(reply.limits[3], [0, 1, 0, 60_000, 60_000, 60_000, 1, 1]);
    assert_eq!(reply.limits[4][6], 1);
    // The reply that begins them.
    server.ask_value("DEL b:10s b:tb b:log");
    let reply = server.ask_guarded(line);
    assert_eq!(reply.retry_after_ms, 3_600_000);
    let begun: Vec<(i64, i64)> = reply.limits[..4].iter().map(|limit| (limit[3], limit[7])).collect();
    assert_eq!(begun, [(60_000, 2), (0, 0), (3_600_000, 2), (60_000, 2)]);
}

#[test]
fn a_block_that_several_limits_share_is_set_once_to_the_longest_end() {
    let server = Observed::frozen();
    let line =
        "RL.ALL k FIXED 1 1s BLOCK b 10s FIXED 1 2s BLOCK b 1m FIXED 9 1m BLOCK b 1h FIXED 1 3s BLOCK b 5s";
    server.ask_guarded(line);
    assert_eq!(server.effects_of(line), [format!("SET b 1 PXAT {}", START_MS + 59_999)]);
    server.ask_value("DEL b");
    let reply = server.ask_guarded(line);
    assert_eq!((reply.allowed, reply.retry_after_ms), (0, 60_000));
    let begun: Vec<(i64, i64)> = reply.limits.iter().map(|limit| (limit[3], limit[7])).collect();
    assert_eq!(begun, [(60_000, 2), (60_000, 2), (0, 0), (60_000, 2)]);
    // From then on it blocks all of them.
    let reply = server.ask_guarded(line);
    assert_eq!(reply.limits.iter().map(|limit| limit[7]).collect::<Vec<_>>(), [1, 1, 1, 1]);
    assert_eq!(reply.limits[2], [0, 9, 0, 60_000, 60_000, 60_000, 1, 1]);
    // On keys of their own, with costs of their own.
    server.ask_value("FLUSHALL");
    server.ask("RL.FIXED a 9 1m COST 8");
    let line = "RL.ALL a FIXED 9 1m COST 2 BLOCK b 1s KEY c SLIDINGLOG 9 1m COST 10 BLOCK b 1h";
    assert_eq!(server.effects_of(line), [format!("SET b 1 PXAT {}", START_MS + 999)]);
}

#[test]
fn a_blocked_limit_among_several_denies_the_call() {
    for limit in LIMITS {
        let server = frozen();
        block(&server, limit);
        server.pass_ms(40_000);
        purge(&server, &["k".into()]);
        let before = State::of(&server);
        let others = "KEY o FIXED 9 1m BLOCK bo 1h";
        for (options, wait) in [("", 20_000), ("COST 0", 20_000), ("COST 4", -1)] {
            for command in ["RL.ALL", "RL.PEEK"] {
                let line = format!("{command} k {limit} {options} BLOCK b 1m {others}");
                let reply = server.ask_guarded(&line);
                assert_eq!((reply.allowed, reply.retry_after_ms), (0, wait), "{line}");
                assert_eq!(reply.limits[0], [0, 3, 0, wait, 0, 20_000, 0, 1], "{line}");
                assert_eq!(reply.limits[1], [1, 9, 9, 0, 0, 0, 0, 0], "{line}");
                // Alone, too.
                let line = format!("{command} k {limit} {options} BLOCK b 1m");
                let reply = server.ask_guarded(&line);
                assert_eq!((reply.allowed, reply.retry_after_ms), (0, wait), "{line}");
                assert_eq!(reply.limits, [[0, 3, 0, wait, 0, 20_000, 0, 1]], "{line}");
            }
        }
        assert_eq!(State::of(&server), before, "{limit}");
        // What is forced does not deny the others, nor does what is given back.
        for (options, first) in [("FORCE", (0, 1)), ("COST 0 FORCE", (0, 1)), ("COST -1", (1, 0))] {
            let line = format!("RL.ALL k {limit} {options} BLOCK b 1m {others}");
            let reply = server.ask_guarded(&line);
            assert_eq!((reply.allowed, reply.retry_after_ms), (1, 0), "{line}");
            assert_eq!((reply.limits[0][0], reply.limits[0][7]), first, "{line}");
            let line = format!("RL.ALL k {limit} {options} BLOCK b 1m");
            let reply = server.ask_guarded(&line);
            assert_eq!((reply.allowed, reply.retry_after_ms), (1, 0), "{line}");
            assert_eq!((reply.limits[0][0], reply.limits[0][7]), first, "{line}");
        }
        assert_eq!(server.ask("RL.FIXED o 9 1m COST 0")[6], 3, "{limit}");
    }
}

#[test]
fn what_another_limit_denies_begins_no_block_of_ones_own() {
    let server = frozen();
    server.ask("RL.FIXED full 1 1m");
    for limit in LIMITS {
        for (line, blocks) in [
            (format!("RL.ALL k {limit} BLOCK b 1m KEY full FIXED 1 1m"), [false, false]),
            (format!("RL.ALL k {limit} BLOCK b 1m KEY full FIXED 1 1m BLOCK c 1m"), [false, true]),
            (format!("RL.ALL k {limit} COST 4 BLOCK b 1m KEY full FIXED 1 1m BLOCK c 1m"), [false, true]),
            (
                format!("RL.ALL k {limit} COST 4 FORCE BLOCK b 1m KEY full FIXED 1 1m BLOCK c 1m"),
                [false, true],
            ),
            (format!("RL.PEEK k {limit} BLOCK b 1m KEY full FIXED 1 1m BLOCK c 1m"), [false, false]),
        ] {
            let reply = server.ask_guarded(&line);
            assert_eq!((reply.allowed, reply.limits[0][7]), (0, 0), "{line}");
            assert_eq!([server.holds("b"), server.holds("c")], blocks, "{line}");
            server.ask_value("DEL b c");
        }
    }
    assert_eq!(server.ask_int("DBSIZE"), 1);
}

// Errors.

#[test]
fn mistakes_are_told() {
    let server = frozen();
    let accepts = "a key not called BLOCK or OVERRIDE, and a duration";
    let duration = "a whole number with a unit ms, s, m, h or d, from 1ms to 3660d";
    for (options, error) in [
        ("BLOCK", format!("BLOCK must be followed by {accepts}")),
        ("COST 1 BLOCK", format!("BLOCK must be followed by {accepts}")),
        ("BLOCK b", format!("duration of BLOCK is missing: it must be {duration}")),
        ("BLOCK b 60", format!("duration of BLOCK must be {duration}, not '60'")),
        ("BLOCK b 0ms", format!("duration of BLOCK must be {duration}, not '0ms'")),
        ("BLOCK b -1s", format!("duration of BLOCK must be {duration}, not '-1s'")),
        ("BLOCK b 3661d", format!("duration of BLOCK must be {duration}, not '3661d'")),
        ("BLOCK b COST", format!("duration of BLOCK must be {duration}, not 'COST'")),
        ("BLOCK BLOCK 1m", format!("BLOCK must be {accepts}, not 'BLOCK'")),
        ("BLOCK block 1m", format!("BLOCK must be {accepts}, not 'block'")),
        ("BLOCK OverRide 1m", format!("BLOCK must be {accepts}, not 'OverRide'")),
        ("BLOCK b 1m BLOCK c 1m", "BLOCK must not be given twice".into()),
        ("BLOCK b 1m COST 2 block b 1m", "BLOCK must not be given twice".into()),
        ("BLOCK b 1m c", "syntax error near 'c'".into()),
    ] {
        for limit in LIMITS {
            let line = call(limit, options);
            assert_eq!(server.ask_error(&line), format!("ERR {error}"), "{line}");
            if options.ends_with(" c") {
                continue;
            }
            let name = words(limit)[0];
            for command in ["RL.ALL", "RL.PEEK"] {
                let line = format!("{command} j FIXED 1 1s KEY k {limit} {options}");
                assert_eq!(server.ask_error(&line), format!("ERR limit 2 ({name}): {error}"), "{line}");
            }
        }
    }
    assert_eq!(server.ask_int("DBSIZE"), 0);
}

#[test]
fn a_key_in_two_roles_is_an_error_before_any_key_is_read() {
    let server = frozen();
    server.ask_value("SET x text");
    let error = "key 'x' must have one use in a call: a limit's, a BLOCK's or an OVERRIDE's";
    let before = State::of(&server);
    for limit in LIMITS {
        let (name, rest) = limit.split_once(' ').unwrap();
        for options in [
            "BLOCK x 1m",
            "OVERRIDE x",
            "OVERRIDE o BLOCK x 1m",
            "BLOCK b 1m OVERRIDE x",
            "BLOCK x 1m OVERRIDE x",
            "OVERRIDE x BLOCK x 1m",
        ] {
            let line = format!("RL.{name} x {rest} {options}");
            assert_eq!(server.ask_error(&line), format!("ERR {error}"), "{line}");
        }
        for options in ["BLOCK x 1m OVERRIDE x", "OVERRIDE x BLOCK x 1m"] {
            let line = format!("RL.{name} y {rest} {options}");
            assert_eq!(server.ask_error(&line), format!("ERR {error}"), "{line}");
        }
        for command in ["RL.ALL", "RL.PEEK"] {
            for (words, number) in [
                (format!("x {limit} BLOCK x 1m"), 1),
                (format!("x {limit} OVERRIDE x"), 1),
                (format!("y {limit} BLOCK x 1m OVERRIDE x"), 1),
                (format!("y {limit} OVERRIDE x BLOCK x 1m"), 1),
                (format!("y {limit} BLOCK x 1m KEY x {limit}"), 2),
                (format!("y {limit} OVERRIDE x KEY x {limit}"), 2),
                (format!("x {limit} KEY y {limit} BLOCK x 1m"), 2),
                (format!("x {limit} KEY y {limit} OVERRIDE x"), 2),
                (format!("y {limit} BLOCK x 1m KEY z {limit} OVERRIDE x"), 2),
                (format!("y {limit} OVERRIDE x KEY z {limit} BLOCK x 1m"), 2),
                (format!("y {limit} BLOCK x 1m KEY z {limit} BLOCK x 1m KEY w {limit} OVERRIDE x"), 3),
            ] {
                let line = format!("{command} {words}");
                let expected = format!("ERR limit {number} ({name}): {error}");
                assert_eq!(server.ask_error(&line), expected, "{line}");
            }
        }
    }
    // Beyond a few keys, too.
    let many = |last: &str| {
        let keys: Vec<String> =
            (0..12).map(|n| format!("m{n} FIXED 1 1s BLOCK b{n} 1s OVERRIDE o{n}")).collect();
        format!("RL.ALL {} KEY {last}", keys.join(" KEY "))
    };
    for last in ["b7 FIXED 1 1s", "o3 FIXED 1 1s", "m FIXED 1 1s BLOCK m11 1s", "m FIXED 1 1s OVERRIDE b0"] {
        let error = server.ask_error(&many(last));
        assert!(error.starts_with("ERR limit 13 (FIXED): key '") && error.contains("one use"), "{error}");
    }
    assert_eq!(server.ask_guarded(&many("m0 FIXED 1 2s BLOCK b3 1s OVERRIDE o7")).allowed, 1);
    server.ask_value("DEL m0 m1 m2 m3 m4 m5 m6 m7 m8 m9 m10 m11");
    assert_eq!(State::of(&server), before);
}

#[test]
fn an_error_begins_no_block() {
    let server = frozen();
    server.ask_value("SET text x");
    server.ask_value("HSET broken fw:10000 x");
    server.ask("RL.FIXED k 3 10s COST 3");
    server.ask("RL.SLIDINGLOG l 3 10s COST 3");
    let before = State::of(&server);
    for (line, code) in [
        ("RL.ALL k FIXED 3 10s BLOCK b 1m KEY text FIXED 3 10s", "WRONGTYPE"),
        ("RL.ALL text FIXED 3 10s BLOCK c 1m KEY k FIXED 3 10s BLOCK b 1m", "WRONGTYPE"),
        ("RL.ALL l SLIDINGLOG 3 10s BLOCK b 1m KEY k SLIDINGLOG 3 10s", "WRONGTYPE"),
        ("RL.ALL k FIXED 3 10s BLOCK b 1m KEY broken FIXED 3 10s", "ERR"),
        ("RL.ALL k FIXED 3 10s BLOCK b 1m KEY j FIXED 3 10s OVERRIDE text", "ERR"),
        ("RL.ALL k FIXED 3 10s BLOCK b 1m OVERRIDE text", "ERR"),
        ("RL.FIXED k 3 10s BLOCK b 1m OVERRIDE text", "ERR"),
        ("RL.FIXED text 3 10s BLOCK b 1m", "WRONGTYPE"),
        ("RL.FIXED broken 3 10s BLOCK b 1m", "ERR"),
        ("RL.ALL k FIXED 3 10s BLOCK b 1m KEY j FIXED 3 10s COST", "ERR"),
    ] {
        let error = server.ask_error(line);
        assert!(error.starts_with(&format!("{code} ")), "{line}: {error}");
        assert_eq!(State::of(&server), before, "{line}");
    }
    // A block does not hide an error, nor an error of one limit that another is blocked.
    server.ask_value("SET b 1");
    assert!(server.ask_error("RL.FIXED broken 3 10s BLOCK b 1m").contains("holds other data"));
    assert!(server.ask_error("RL.FIXED k 3 10s COST 4000000000000 FORCE BLOCK b 1m").starts_with("ERR COST"));
}

// What others see of it.

#[test]
fn a_block_is_sent_as_the_key_that_it_is_and_a_blocked_call_as_nothing() {
    for limit in LIMITS {
        let server = Observed::frozen();
        server.pass_us(789);
        let line = call(limit, "BLOCK b 1m");
        assert!(!server.effects_of(&call(limit, "COST 3 BLOCK b 1m")).is_empty(), "{limit}");
        assert_eq!(server.effects_of(&line), [format!("SET b 1 PXAT {}", START_MS + 59_999)], "{limit}");
        let none: [String; 0] = [];
        for options in ["", "COST 0", "COST 4", "PARTIAL", "COST 0 FORCE"] {
            assert_eq!(server.effects_of(&call(limit, &format!("{options} BLOCK b 1m"))), none, "{limit}");
        }
        assert_eq!(server.effects_of(&format!("RL.PEEK k {limit} BLOCK b 1m")), none, "{limit}");
        assert_eq!(
            server.effects_of(&format!("RL.ALL j FIXED 1 1s KEY k {limit} BLOCK b 1m")),
            none,
            "{limit}"
        );
        assert!(!server.effects_of(&call(limit, "FORCE BLOCK b 1m")).is_empty(), "{limit}");
        // At its end the server itself deletes it.
        server.pass_ms(60_000);
        let sent = server.effects_of(&call(limit, "COST 4 BLOCK b 1m"));
        assert!(
            sent.iter().all(|effect| effect.starts_with("DEL ") || effect.starts_with("UNLINK ")),
            "{sent:?}"
        );
    }
}

#[test]
fn a_replica_an_append_only_file_and_a_dump_keep_a_block_to_the_millisecond() {
    let mut server = Server::builder().config("appendonly", "yes").config("appendfsync", "always").start();
    server.clock.freeze(START + 123);
    let replica = Server::builder().clock(&server.clock).replica_of(&server).start();
    let bare = Server::builder().without_module().clock(&server.clock).replica_of(&server).start();
    for (index, limit) in LIMITS.iter().enumerate() {
        let on_its_own =
            |line: String| line.replace(" k ", &format!(" k{index} ")).replace(" b ", &format!(" b{index} "));
        server.ask_value(&on_its_own(call(limit, "COST 3 BLOCK b 7m")));
        assert_eq!(server.ask(&on_its_own(call(limit, "BLOCK b 7m")))[7], 2);
        server.pass_us(1111);
    }
    let before = State::of(&server);
    for copy in [&replica, &bare] {
        copy.catch_up(&server);
        assert_eq!(State::of(copy), before);
    }
    // The commands that replicas were sent: none is ours.
    let sent = bare.text(&["INFO", "commandstats"]);
    assert!(sent.contains("cmdstat_set:calls=6,") && !sent.contains("cmdstat_rl."), "{sent}");
    let peek = "RL.PEEK k2 FIXED 3 10s BLOCK b2 1m";
    assert_eq!(replica.ask_guarded(peek), server.ask_guarded(peek));
    assert_eq!(replica.ask_guarded(peek).limits[0][7], 1);

    server.restart();
    assert_eq!(State::of(&server), before, "from the append-only file");
    server.ask_value("BGREWRITEAOF");
    eventually(Duration::from_secs(20), || {
        server.info_field("persistence", "aof_rewrite_in_progress").as_deref() == Some("0")
            && server.info_field("persistence", "aof_rewrite_scheduled").as_deref() == Some("0")
    });
    server.restart();
    assert_eq!(State::of(&server), before, "from the rewritten one");
    assert_eq!(server.ask("RL.FIXED k2 3 10s BLOCK b2 1m")[7], 1);
}

#[test]
fn a_dump_keeps_a_block() {
    let mut server = frozen();
    block(&server, "FIXED 3 10s");
    let before = State::of(&server);
    server.shutdown_save();
    server.start_again();
    assert_eq!(State::of(&server), before);
    assert_eq!(server.ask("RL.FIXED k 3 10s BLOCK b 1m")[7], 1);
}

#[test]
fn a_replica_takes_an_expired_block_and_an_expired_override_for_gone() {
    let server = frozen();
    // What expires stays where it is, unless it is touched.
    server.ask_value("DEBUG SET-ACTIVE-EXPIRE 0");
    let replica = Server::builder().clock(&server.clock).replica_of(&server).start();
    replica.ask_value("DEBUG SET-ACTIVE-EXPIRE 0");
    server.ask_value("SET o 50 PX 1000");
    block(&server, "FIXED 3 10s");
    replica.catch_up(&server);
    let peek = || {
        let reply = replica.ask_guarded("RL.PEEK k FIXED 3 10s BLOCK b 1m OVERRIDE o");
        (reply.allowed, reply.limits[0][1], reply.limits[0][7])
    };
    assert_eq!(peek(), (0, 50, 1));
    server.pass_ms(1001);
    assert_eq!(peek(), (0, 3, 1));
    server.pass_ms(58_998);
    assert_eq!(peek(), (0, 3, 1));
    server.pass_ms(1);
    assert_eq!(peek(), (1, 3, 0));
    assert!(replica.ask_error("RL.FIXED k 3 10s BLOCK b 1m").starts_with("READONLY "));
}

#[test]
fn in_a_transaction_and_in_a_script_a_block_begins_at_the_frozen_instant() {
    for limit in LIMITS {
        let server = Observed::frozen();
        let line = call(limit, "BLOCK b 1m");
        server.ask_value(&call(limit, "COST 3"));
        let mut connection = server.connection();
        for command in ["MULTI", &line, &line, "DEL b", &line, "PEXPIRETIME b"] {
            send(&mut connection, command).unwrap();
        }
        let Value::Array(replies) = send(&mut connection, "EXEC").unwrap() else { panic!("{limit}") };
        let eighth = |reply: &Value| match reply {
            Value::Array(items) => items[7].clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!([0, 1, 3].map(|at| eighth(&replies[at])), [2, 1, 2].map(Value::Int), "{limit}");
        assert_eq!(replies[4], Value::Int(START_MS + 59_999), "{limit}");

        server.ask_value("DEL b");
        let quoted: Vec<String> = words(&line).iter().map(|word| format!("'{word}'")).collect();
        let once = format!("redis.call({})[8]", quoted.join(","));
        let script = format!("local a,b={once},{once} redis.call('DEL','b') return {{a,b,{once}}}");
        let reply = server.call(&["EVAL", &script, "2", "k", "b"]).unwrap();
        assert_eq!(reply, Value::Array([2, 1, 2].map(Value::Int).into()), "{limit}");
        assert_eq!(server.ask_int("PEXPIRETIME b"), START_MS + 59_999, "{limit}");
    }
}

#[test]
fn a_watch_on_a_block_is_broken_by_its_beginning_alone() {
    for limit in LIMITS {
        let server = frozen();
        let mut watcher = server.connection();
        let mut runs = |call: &str| {
            let mut ask = |line: &str| send(&mut watcher, line).unwrap();
            ask("WATCH k b o");
            server.ask_value(call);
            ask("MULTI");
            ask("PING");
            ask("EXEC") != Value::Nil
        };
        let line = call(limit, "BLOCK b 1m OVERRIDE o");
        spend(&server, limit);
        for idle in ["COST 4", "COST 0", "PARTIAL"] {
            let line = call(limit, &format!("{idle} BLOCK b 1m OVERRIDE o"));
            assert!(runs(&line), "{line}");
        }
        assert!(runs(&format!("RL.PEEK k {limit} BLOCK b 1m OVERRIDE o")), "{limit}");
        assert!(!runs(&line), "{limit}: it begins");
        for idle in ["", "COST 4", "COST 0", "PARTIAL"] {
            let line = call(limit, &format!("{idle} BLOCK b 1m OVERRIDE o"));
            assert!(runs(&line), "{line}, blocked");
        }
        assert!(runs(&format!("RL.PEEK k {limit} BLOCK b 1m")), "{limit}");
        assert!(runs(&format!("RL.ALL k {limit} BLOCK b 1m KEY j FIXED 1 1s")), "{limit}");
        assert!(!runs(&call(limit, "FORCE BLOCK b 1m")), "{limit}: it charges");
    }
}

#[test]
fn a_client_that_peeked_is_told_when_a_block_begins_and_not_of_calls_that_it_denies() {
    let server = frozen();
    let mut connection = server.connection_resp3();
    let (sender, pushes) = mpsc::channel();
    connection.set_push_sender(sender);
    redis::cmd("CLIENT").arg("TRACKING").arg("ON").exec(&mut connection).unwrap();
    let mut told_after = |call: &str| -> Vec<String> {
        send(&mut connection, "RL.PEEK k FIXED 3 10s BLOCK b 1m OVERRIDE o").unwrap();
        server.ask_value(call);
        redis::cmd("PING").exec(&mut connection).unwrap();
        let told = pushes.try_iter().filter(|push| push.kind == PushKind::Invalidate);
        told.flat_map(|push| redis::from_redis_value::<Vec<String>>(push.data[0].clone()).unwrap()).collect()
    };
    let none: [&str; 0] = [];
    assert_eq!(told_after("RL.FIXED k 3 10s COST 3 BLOCK b 1m"), ["k"]);
    assert_eq!(told_after("RL.FIXED k 3 10s COST 4 BLOCK b 1m"), none);
    assert_eq!(told_after("RL.FIXED k 3 10s BLOCK b 1m"), ["b"]);
    assert_eq!(told_after("RL.FIXED k 3 10s BLOCK b 1m OVERRIDE o"), none);
    assert_eq!(told_after("SET o 5"), ["o"]);
    assert_eq!(told_after("DEL b"), ["b"]);
}

#[test]
fn absent_blocks_and_overrides_are_no_keyspace_misses() {
    let server = frozen();
    let misses = || server.info_field("stats", "keyspace_misses").unwrap();
    let before = misses();
    for limit in LIMITS {
        for options in ["", "COST 0", "COST -1", "COST 4", "COST 3", "FORCE"] {
            for line in [
                call(limit, &format!("{options} BLOCK none 1m OVERRIDE o")),
                format!("RL.ALL k {limit} {options} BLOCK none 1m OVERRIDE o KEY j FIXED 9 1h"),
            ] {
                server.ask_value(&line);
                assert_eq!(misses(), before, "{line}");
                server.ask_value("DEL k none");
            }
        }
    }
}

#[test]
fn a_block_emits_no_keyspace_event_until_it_expires() {
    let server = Server::builder().config("notify-keyspace-events", "KEA").start();
    server.clock.freeze(START);
    let mut listener = server.connection();
    let mut events = listener.as_pubsub();
    events.psubscribe("*").unwrap();
    server.ask("RL.FIXED k 1 1h BLOCK b 1m");
    assert_eq!(server.ask("RL.FIXED k 1 1h BLOCK b 1m")[7], 2);
    server.ask_value("PUBLISH silent x");
    let mut next = || events.get_message().unwrap().get_channel_name().to_owned();
    assert_eq!(next(), "silent");
    server.pass_ms(60_000);
    assert_eq!(server.ask("RL.FIXED k 1 1h COST 2 BLOCK b 1m")[7], 0);
    let mut expired = [next(), next()];
    expired.sort();
    assert_eq!(expired, ["__keyevent@0__:expired", "__keyspace@0__:b"]);
}
