//! RL.LEASE and RL.RELEASE: at most so many holders at a time, each for a while.

use redis::Value;

use crate::support::{Observed, START, Server, State, Stream, effects, frozen, purge, send, words};

const SECOND: i64 = 1_000_000;

/// A step of a life: its number; the ms that pass before it; the call; what answers it; the leases on `k` after it, each
/// with its end in ms since the start.
type Step = (usize, u64, &'static str, &'static [i64], &'static str);

#[track_caller]
fn live(server: &Server, steps: &[Step]) {
    for (index, (number, ms, call, reply, state)) in steps.iter().enumerate() {
        assert_eq!(index + 1, *number, "steps are numbered");
        server.pass_ms(*ms);
        let answer = match server.ask_value(call) {
            Value::Int(int) => vec![int],
            ints => redis::from_redis_value(ints).unwrap(),
        };
        assert_eq!(answer, *reply, "{number}. {call}");
        assert_eq!(leases_of(server, "k"), *state, "state after {number}. {call}");
    }
}

fn leases_of(server: &Server, key: &str) -> String {
    let members = server.ask_texts(&format!("ZRANGE {key} 0 -1 WITHSCORES"));
    let lease = |pair: &[String]| {
        let end = pair[1].parse::<f64>().unwrap() as i64;
        format!("{}@{}", pair[0].strip_prefix("L:").unwrap(), (end - START) / 1000)
    };
    members.chunks(2).map(lease).collect::<Vec<_>>().join(" ")
}

#[test]
fn leases_are_taken_renewed_given_back_and_end_by_themselves() {
    live(
        &frozen(),
        &[
            (1, 0, "RL.LEASE k 2 10s a", &[1, 2, 1, 0, 10_000, 10_000, 1], "a@10000"),
            (2, 1000, "RL.LEASE k 2 10s b", &[1, 2, 0, 0, 10_000, 9000, 2], "a@10000 b@11000"),
            (3, 1000, "RL.LEASE k 2 10s c", &[0, 2, 0, 8000, 9000, 8000, 2], "a@10000 b@11000"),
            // It renews.
            (4, 1000, "RL.LEASE k 2 10s a", &[1, 2, 0, 0, 10_000, 8000, 2], "b@11000 a@13000"),
            (5, 0, "RL.LEASE k 2 10s b RENEW", &[1, 2, 0, 0, 10_000, 10_000, 2], "a@13000 b@13000"),
            // To an end that is earlier, too.
            (6, 0, "RL.LEASE k 2 1s b", &[1, 2, 0, 0, 10_000, 1000, 2], "b@4000 a@13000"),
            (7, 0, "RL.LEASE k 2 2s a", &[1, 2, 0, 0, 2000, 1000, 2], "b@4000 a@5000"),
            // A holder that dies is let go at its end, to the microsecond.
            (8, 999, "RL.LEASE k 2 10s c", &[0, 2, 0, 1, 1001, 1, 2], "b@4000 a@5000"),
            (9, 1, "RL.LEASE k 2 10s c", &[1, 2, 0, 0, 10_000, 1000, 2], "a@5000 c@14000"),
            // What has ended is not renewed, however much room there is.
            (10, 0, "RL.LEASE k 9 10s b RENEW", &[0, 9, 7, -1, 10_000, 1000, 2], "a@5000 c@14000"),
            (11, 0, "RL.LEASE k 3 5s b", &[1, 3, 0, 0, 10_000, 1000, 3], "a@5000 b@9000 c@14000"),
            // The limit is lowered: two must end before another comes, and who holds one keeps it.
            (12, 0, "RL.LEASE k 1 10s d", &[0, 1, 0, 10_000, 10_000, 1000, 3], "a@5000 b@9000 c@14000"),
            (13, 0, "RL.LEASE k 2 10s d", &[0, 2, 0, 5000, 10_000, 1000, 3], "a@5000 b@9000 c@14000"),
            (14, 0, "RL.LEASE k 1 6s a", &[1, 1, 0, 0, 10_000, 5000, 3], "b@9000 a@10000 c@14000"),
            (15, 0, "RL.LEASE k 0 6s d", &[0, 0, 0, -1, 10_000, -1, 3], "b@9000 a@10000 c@14000"),
            (16, 0, "RL.LEASE k 0 6s a RENEW", &[1, 0, 0, 0, 10_000, -1, 3], "b@9000 a@10000 c@14000"),
            // Given back: each counts once, who has none counts nothing.
            (17, 0, "RL.RELEASE k a a x", &[1], "b@9000 c@14000"),
            (18, 0, "RL.RELEASE k a x", &[0], "b@9000 c@14000"),
            // b has ended.
            (19, 5000, "RL.RELEASE k b", &[0], "c@14000"),
            (20, 0, "RL.RELEASE k c b", &[1], ""),
            (21, 0, "RL.LEASE k 1 1ms a", &[1, 1, 0, 0, 1, 1, 1], "a@9001"),
        ],
    );
}

#[test]
fn the_last_lease_takes_the_key_along() {
    let server = Observed::frozen();
    server.ask("RL.LEASE k 5 1s a");
    server.ask("RL.LEASE k 5 2s b");
    server.ask("RL.LEASE k 5 9s c");
    server.pass_ms(5000);
    assert_eq!(server.effects_of("RL.RELEASE k x y"), [""; 0]);
    // a and b have ended: nothing counts without c.
    assert_eq!(server.effects_of("RL.RELEASE k c"), ["ZREM k L:c", "UNLINK k"]);
    assert!(!server.holds("k"));
    assert_eq!(server.effects_of("RL.RELEASE k c"), [""; 0]);
    server.ask("RL.LEASE k 5 1s a");
    assert_eq!(server.effects_of("RL.RELEASE k a"), ["ZREM k L:a"]);
    assert!(!server.holds("k"));
}

#[test]
fn effects_are_absolute_and_few() {
    let server = Observed::frozen();
    let end = |ms: i64| START + ms * 1000;
    let expiry = |ms: i64| START / 1000 + ms;
    assert_eq!(
        server.effects_of("RL.LEASE k 5 8s a"),
        [format!("ZADD k {} L:a", end(8000)), format!("PEXPIREAT k {}", expiry(8000 + 1000 + 1000))]
    );
    // The expiry will do.
    assert_eq!(server.effects_of("RL.LEASE k 5 8s b"), [format!("ZADD k {} L:b", end(8000))]);
    server.pass_ms(2000);
    assert_eq!(server.effects_of("RL.LEASE k 5 8s a"), [format!("ZADD k {} L:a", end(10_000))]);
    // One that someone removed comes back.
    server.ask_value("PERSIST k");
    assert_eq!(
        server.effects_of("RL.LEASE k 5 8s a"),
        [format!("ZADD k {} L:a", end(10_000)), format!("PEXPIREAT k {}", expiry(12_000))]
    );
    // What has ended goes after what is added.
    server.pass_ms(6000);
    assert_eq!(
        server.effects_of("RL.LEASE k 5 1s c"),
        [format!("ZADD k {} L:c", end(9000)), "ZREMRANGEBYRANK k 0 0".into()]
    );
    // All have: they go as a whole.
    server.pass_ms(3999);
    assert_eq!(
        server.effects_of("RL.LEASE k 5 8s d"),
        ["UNLINK k".into(), format!("ZADD k {} L:d", end(19_999)), format!("PEXPIREAT k {}", expiry(21_999))]
    );
    // The only one there was is taken anew.
    server.pass_ms(8000);
    assert_eq!(server.effects_of("RL.LEASE k 5 500ms d"), [format!("ZADD k {} L:d", end(20_499))]);
}

#[test]
fn a_denied_call_changes_nothing() {
    let server = Observed::frozen();
    for holder in ["a", "b", "c"] {
        server.ask(&format!("RL.LEASE k 5 10s {holder}"));
    }
    server.ask("RL.LEASE k 5 1s d");
    server.pass_ms(1000);
    let before = State::of(&server);
    let calls = || server.info_field("commandstats", "cmdstat_zadd");
    let mut watching = server.connection();
    send(&mut watching, "WATCH k none").unwrap();
    for call in [
        "RL.LEASE k 3 10s x",
        "RL.LEASE k 2 10s x",
        "RL.LEASE k 0 10s x",
        "RL.LEASE k 5 10s x RENEW",
        "RL.LEASE k 5 10s d RENEW",
        "RL.LEASE none 0 10s x",
        "RL.LEASE none 5 10s x RENEW",
        "RL.RELEASE k x",
        "RL.RELEASE none x",
        "RL.PEEK k LEASE 5 10s x",
        "RL.PEEK k LEASE 5 10s a",
        "RL.PEEK none LEASE 5 10s a KEY k LEASE 3 1s x",
        // The others are not taken, and nothing is renewed.
        "RL.ALL k LEASE 5 99s a KEY none LEASE 0 1s x",
        "RL.ALL k LEASE 5 99s x KEY none FIXED 0 1s",
    ] {
        assert_eq!(server.effects_of(call), [""; 0], "{call}");
    }
    assert_eq!(State::of(&server), before);
    assert_eq!(calls(), None);
    assert_eq!(send(&mut watching, "MULTI"), Ok(Value::Okay));
    send(&mut watching, "PING").unwrap();
    assert_ne!(send(&mut watching, "EXEC"), Ok(Value::Nil));
    // A lease taken, and one given back, are changes.
    for call in ["RL.LEASE k 5 10s a", "RL.RELEASE k a"] {
        send(&mut watching, "WATCH k").unwrap();
        server.ask_value(call);
        send(&mut watching, "MULTI").unwrap();
        send(&mut watching, "PING").unwrap();
        assert_eq!(send(&mut watching, "EXEC"), Ok(Value::Nil), "{call}");
    }
}

#[test]
fn wrong_words_are_told() {
    let server = frozen();
    server.ask("RL.LEASE k 5 10s a");
    let before = State::of(&server);
    let long = "i".repeat(129);
    let shown = "i".repeat(64);
    let whole = "must be a whole number from 0 to 1000000000000, not";
    let duration = "must be a whole number with a unit ms, s, m, h or d, from 1ms to 3660d, not";
    for (call, error) in [
        ("RL.LEASE k -1 10s x", format!("ERR limit {whole} '-1'")),
        ("RL.LEASE k many 10s x", format!("ERR limit {whole} 'many'")),
        ("RL.LEASE k 5 10 x", format!("ERR ttl {duration} '10'")),
        ("RL.LEASE k 5 0s x", format!("ERR ttl {duration} '0s'")),
        ("RL.LEASE k 5 3661d x", format!("ERR ttl {duration} '3661d'")),
        (&format!("RL.LEASE k 5 10s {long}"), format!("ERR id must be 1 to 128 bytes, not '{shown}'")),
        ("RL.LEASE k 5 10s x y", "ERR syntax error near 'y'".into()),
        ("RL.LEASE k 5 10s x COST 1", "ERR syntax error near 'COST'".into()),
        ("RL.LEASE k 5 10s x FORCE", "ERR syntax error near 'FORCE'".into()),
        ("RL.LEASE k 5 10s x PARTIAL", "ERR syntax error near 'PARTIAL'".into()),
        ("RL.LEASE k 5 10s x AS name", "ERR syntax error near 'AS'".into()),
        ("RL.LEASE k 5 10s x ALIGN", "ERR syntax error near 'ALIGN'".into()),
        ("RL.LEASE k 5 10s x RENEW RENEW", "ERR RENEW must not be given twice".into()),
        (&format!("RL.RELEASE k a {long}"), format!("ERR id must be 1 to 128 bytes, not '{shown}'")),
        (
            "RL.ALL f FIXED 1 1s KEY k LEASE",
            "ERR limit 2 (LEASE): limit is missing: it must be a whole number from 0 to 1000000000000".into(),
        ),
        (
            "RL.ALL f FIXED 1 1s KEY k LEASE 5",
            "ERR limit 2 (LEASE): ttl is missing: it must be a whole number with a unit ms, s, m, h or d, from 1ms \
             to 3660d"
                .into(),
        ),
        ("RL.ALL k LEASE 5 10s", "ERR limit 1 (LEASE): id is missing: it must be 1 to 128 bytes".into()),
        ("RL.PEEK k LEASE 5 10 x", format!("ERR limit 1 (LEASE): ttl {duration} '10'")),
        (
            "RL.ALL f FIXED 1 1s KEY k LEASE 5 10s x RENEW RENEW",
            "ERR limit 2 (LEASE): RENEW must not be given twice".into(),
        ),
        (
            "RL.ALL k LEASE 5 10s x COST 1",
            "ERR limit 1 (LEASE): syntax error near 'COST': it is no option of LEASE, nor KEY, nor an algorithm \
             (TOKENBUCKET, LEAKYBUCKET, FIXED, SLIDINGCOUNTER, SLIDINGLOG, LEASE)"
                .into(),
        ),
    ] {
        assert_eq!(server.ask_error(call), error, "{call}");
    }
    for (call, name) in [
        (vec!["RL.LEASE", "k", "5", "10s", ""], "rl.lease"),
        (vec!["RL.RELEASE", "k", "a", ""], "rl.release"),
    ] {
        assert_eq!(server.error(&call), "ERR id must be 1 to 128 bytes, not ''", "{name}");
        let error = server.error(&call[..call.len().min(2)]);
        assert!(error.to_lowercase().contains("wrong number of arguments"), "{error}");
    }
    assert_eq!(State::of(&server), before);
}

#[test]
fn an_id_is_any_bytes() {
    let server = frozen();
    let ids: [&[u8]; 7] = [b"\0", b"\xff\r\n", b"L:", b"KEY", b"RENEW", b" ", &[b'x'; 128]];
    for id in ids {
        let reply = server.ints(&[b"RL.LEASE".as_slice(), b"k", b"9", b"1m", id]);
        assert_eq!(reply[0], 1);
        let renewed = server.call(&[b"RL.ALL".as_slice(), b"k", b"LEASE", b"0", b"1m", id, b"renew"]);
        assert!(matches!(&renewed, Ok(Value::Array(all)) if all[0] == Value::Int(1)), "{renewed:?}");
    }
    assert_eq!(server.ask_int("ZCARD k"), 7);
    let words: Vec<&[u8]> = [b"RL.RELEASE".as_slice(), b"k"].into_iter().chain(ids).collect();
    assert_eq!(server.call(&words), Ok(Value::Int(7)));
    assert!(!server.holds("k"));
}

#[test]
fn several_limits_are_taken_all_or_none() {
    let server = frozen();
    let all = |call: &str| {
        let reply = server.ask_several(call);
        (reply.allowed, reply.retry_after_ms, reply.limits)
    };
    let call = "RL.ALL slots LEASE 1 10s a KEY user FIXED 2 1m";
    assert_eq!(all(call), (1, 0, vec![[1, 1, 0, 0, 10_000, 10_000, 1], [1, 2, 1, 0, 60_000, 60_000, 1]]));
    // Another's: the lease denies it, and the window is not charged.
    let other = "RL.ALL user FIXED 2 1m KEY slots LEASE 1 10s b";
    server.pass_ms(1000);
    let denied = vec![[1, 2, 1, 0, 59_000, 59_000, 1], [0, 1, 0, 9000, 9000, 9000, 1]];
    assert_eq!(all(other), (0, 9000, denied.clone()));
    assert_eq!(all(&other.replace("ALL", "PEEK")), (0, 9000, denied));
    // What peeks sees what the charge would answer, and the state uncharged.
    let peek = vec![[1, 1, 0, 0, 9000, 9000, 1], [1, 2, 1, 0, 59_000, 59_000, 1]];
    assert_eq!(all(&call.replace("ALL", "PEEK")), (1, 0, peek));
    let absent = vec![[1, 3, 3, 0, 0, 0, 0]];
    assert_eq!(all("RL.PEEK none LEASE 3 1m x"), (1, 0, absent));
    assert_eq!(all("RL.PEEK none LEASE 3 1m x RENEW"), (0, -1, vec![[0, 3, 3, -1, 0, 0, 0]]));
    // Charged and renewed.
    assert_eq!(all(call).0, 1);
    // The window denies: nothing is renewed.
    let before = State::of(&server);
    assert_eq!(all(call).0, 0);
    assert_eq!(State::of(&server), before);
    // The lease has its key alone, wherever it stands.
    for (call, number) in [
        ("RL.ALL k LEASE 1 10s a LEASE 1 10s b", "2 (LEASE)"),
        ("RL.ALL k LEASE 1 10s a KEY k LEASE 1 10s b", "2 (LEASE)"),
        ("RL.ALL k LEASE 1 10s a FIXED 1 1m", "2 (FIXED)"),
        ("RL.ALL k FIXED 1 1m LEASE 1 10s a", "2 (LEASE)"),
        ("RL.ALL k SLIDINGLOG 1 1m LEASE 1 10s a", "2 (LEASE)"),
        ("RL.PEEK k LEASE 1 10s a KEY j FIXED 1 1m KEY k SLIDINGLOG 1 1m", "3 (SLIDINGLOG)"),
    ] {
        let cure = "a LEASE must have its key alone: give the other limits another key";
        assert_eq!(server.ask_error(call), format!("ERR limit {number}: {cure}"), "{call}");
    }
    assert!(!server.holds("k"));
}

#[test]
fn other_data_is_an_error_and_stays() {
    let server = frozen();
    let wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
    let other_data = "ERR key holds other data";
    let of_hash = format!("{wrong_type}: if it is other limiters', a LEASE must have its key alone");
    let of_log = format!("{other_data}: a SLIDINGLOG, which must have its key alone");
    let far = START + 3600 * SECOND;
    let cases = [
        ("SET k 1".to_owned(), wrong_type),
        ("RPUSH k L:a".into(), wrong_type),
        ("SADD k L:a".into(), wrong_type),
        ("HSET k f v".into(), &of_hash),
        ("RL.FIXED k 10 1m".into(), &of_hash),
        ("RL.SLIDINGLOG k 10 1m".into(), &of_log),
        ("ZADD k 1 L:a".into(), other_data),
        ("ZADD k inf L:a".into(), other_data),
        ("ZADD k -inf L:a".into(), other_data),
        (format!("ZADD k {far}.5 L:a"), other_data),
        (format!("ZADD k {far} L:"), other_data),
        (format!("ZADD k {far} l:a"), other_data),
        (format!("ZADD k {far} a"), other_data),
        (format!("ZADD k {far} L:{}", "x".repeat(129)), other_data),
        (format!("ZADD k {far} L:a {} z", far + 1), other_data),
        (format!("ZADD k {far} L:a {} z", START - 5), other_data),
        (format!("ZADD k {far} L:a 12 L:b inf L:c"), other_data),
        (format!("ZADD k {} L:b {} L:c {} z", START - 9, START - 8, START - 7), other_data),
    ];
    for (set_up, error) in &cases {
        server.ask_value("DEL k");
        server.ask_value(set_up);
        let before = State::of(&server);
        for (call, limit) in [
            ("RL.LEASE k 10 1m a", ""),
            ("RL.LEASE k 10 1m b", ""),
            ("RL.LEASE k 0 1m b", ""),
            ("RL.LEASE k 1 1m a RENEW", ""),
            ("RL.PEEK k LEASE 10 1m b", "limit 1 (LEASE): "),
            ("RL.ALL j FIXED 9 1m KEY k LEASE 10 1m b", "limit 2 (LEASE): "),
            ("RL.RELEASE k a", ""),
            ("RL.RELEASE k b c", ""),
        ] {
            let (code, text) = error.split_once(' ').unwrap();
            assert_eq!(server.ask_error(call), format!("{code} {limit}{text}"), "{set_up}: {call}");
        }
        assert_eq!(State::of(&server), before, "{set_up}");
    }
    // And the reverse.
    server.ask_value("DEL k");
    server.ask("RL.LEASE k 10 1m a");
    let before = State::of(&server);
    let of_leases = format!("{other_data}: leases, and a LEASE must have its key alone");
    let of_set = format!("{wrong_type}: if it is a SLIDINGLOG's or a LEASE's, that must have its key alone");
    for (call, error) in [
        ("RL.SLIDINGLOG k 10 1m", &of_leases),
        ("RL.SLIDINGLOG k 10 1m COST -1", &of_leases),
        ("RL.FIXED k 10 1m", &of_set),
        ("CL.THROTTLE k 10 1 1", &of_set),
    ] {
        assert_eq!(server.ask_error(call), *error, "{call}");
    }
    assert_eq!(State::of(&server), before);
}

#[test]
fn planted_members_are_never_changed_and_no_call_hangs() {
    let server = frozen();
    let scores = [
        "-inf".to_owned(),
        "-1".into(),
        "0.5".into(),
        "1e15".into(),
        (START - SECOND).to_string(),
        format!("{}.5", START - SECOND),
        START.to_string(),
        (START + SECOND).to_string(),
        "9007199254740992".into(),
        "9007199254740994".into(),
        "1e300".into(),
        "inf".into(),
    ];
    // So many leases of either kind before something else, and after it.
    for (ended, live) in [(0, 0), (1, 0), (0, 3), (3, 3), (4, 1), (20, 20), (200, 200)] {
        for score in &scores {
            for foreign in ["x", "57", "60:3", "L:"] {
                server.ask_value("DEL k");
                let mut words = vec!["ZADD".to_owned(), "k".into(), score.clone(), foreign.into()];
                for number in 1..=ended {
                    words.extend([(START - 2 * SECOND / number).to_string(), format!("L:e{number}")]);
                }
                for number in 1..=live {
                    words.extend([(START + 2 * SECOND / number).to_string(), format!("L:l{number}")]);
                }
                server.call(&words).unwrap();
                for call in [
                    "RL.LEASE k 0 1s x",
                    "RL.LEASE k 1 1s x",
                    "RL.LEASE k 2 1ms l2",
                    "RL.LEASE k 1000 1s e1",
                    "RL.LEASE k 1000 1s new",
                    "RL.PEEK k LEASE 7 1s x",
                    "RL.RELEASE k l1 e1 l2 new",
                    "RL.LEASE k 1000 1h new",
                ] {
                    let _answered = server.call(&crate::support::words(call)).is_ok();
                    let there = server.ask_value(&format!("ZSCORE k {foreign}"));
                    assert_ne!(there, Value::Nil, "{call}: {foreign} at {score}, {ended} and {live}");
                }
            }
        }
    }
}

#[test]
fn equal_ends_are_legal() {
    let server = frozen();
    for holder in 1..=6 {
        assert_eq!(server.ask(&format!("RL.LEASE k 6 1s h{holder}"))[6], holder);
    }
    assert_eq!(server.ask("RL.LEASE k 6 1s x"), [0, 6, 0, 1000, 1000, 1000, 6]);
    assert_eq!(server.ask("RL.LEASE k 2 1s x"), [0, 2, 0, 1000, 1000, 1000, 6]);
    // The last ends earlier: the others do not.
    assert_eq!(server.ask("RL.LEASE k 6 500ms h6"), [1, 6, 0, 0, 1000, 500, 6]);
    server.pass_ms(1000);
    assert_eq!(server.ask("RL.LEASE k 6 1s x"), [1, 6, 5, 0, 1000, 1000, 1]);
}

#[test]
fn a_step_of_the_clock_moves_no_end() {
    let server = frozen();
    server.ask("RL.LEASE k 2 10s a");
    server.ask("RL.LEASE k 2 20s b");
    server.clock.step_back(std::time::Duration::from_secs(3600));
    let hour = 3_600_000;
    let denied = [0, 2, 0, hour + 10_000, hour + 20_000, hour + 10_000, 2];
    assert_eq!(server.ask("RL.LEASE k 2 10s c"), denied);
    // Who renews gets the time that is asked for.
    assert_eq!(server.ask("RL.LEASE k 2 10s a"), [1, 2, 0, 0, hour + 20_000, 10_000, 2]);
    assert_eq!(leases_of(&server, "k"), format!("a@{} b@20000", 10_000 - hour));
    server.pass_ms(2 * 3_600_000);
    assert_eq!(server.ask("RL.LEASE k 2 10s c"), [1, 2, 1, 0, 10_000, 10_000, 1]);
}

#[test]
fn transactions_and_scripts_take_leases() {
    let server = frozen();
    let mut connection = server.connection();
    send(&mut connection, "MULTI").unwrap();
    for call in ["RL.LEASE k 1 1m a", "RL.LEASE k 1 1m b", "RL.RELEASE k a", "RL.LEASE k 1 1m b"] {
        send(&mut connection, call).unwrap();
    }
    let Ok(Value::Array(replies)) = send(&mut connection, "EXEC") else { panic!("an array") };
    let first = |reply: &Value| match reply {
        Value::Array(seven) => seven[0].clone(),
        int => int.clone(),
    };
    let firsts: Vec<Value> = replies.iter().map(first).collect();
    assert_eq!(firsts, [1, 0, 1, 1].map(Value::Int));
    let script =
        "return {redis.call('RL.RELEASE', KEYS[1], 'b'), redis.call('RL.LEASE', KEYS[1], 1, '1m', 'c')[1]}";
    assert_eq!(server.ints(&["EVAL", script, "1", "k"]), [1, 1]);
    assert_eq!(leases_of(&server, "k"), "c@60000");
}

#[test]
fn leases_are_given_back_where_no_memory_is_left() {
    let server = frozen();
    server.ask("RL.LEASE k 2 1m a");
    server.call(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    assert!(server.ask_error("RL.LEASE k 2 1m b").starts_with("OOM "));
    assert!(server.ask_error("RL.LEASE k 2 1m a").starts_with("OOM "));
    assert_eq!(server.ask_int("RL.RELEASE k a"), 1);
}

/// Calls of a few holders, with a clock that goes on and back.
struct Holders(u64);

impl Holders {
    fn next(&mut self, below: u64) -> u64 {
        // A small generator: the same calls each time.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn call(&mut self) -> String {
        let key = format!("k{}", self.next(3));
        let holder = self.next(9);
        let (limit, ttl) = (self.next(8), 1 + self.next(3000));
        match self.next(10) {
            0 => format!("RL.RELEASE {key} {holder} {}", self.next(9)),
            1 => format!("RL.LEASE {key} {limit} {ttl}ms {holder} RENEW"),
            2 => format!("RL.ALL {key} LEASE {limit} {ttl}ms {holder} KEY f FIXED 3 1s"),
            3 => format!("RL.PEEK {key} LEASE {limit} {ttl}ms {holder}"),
            _ => format!("RL.LEASE {key} {limit} {ttl}ms {holder}"),
        }
    }

    fn pass(&mut self, server: &Server) {
        match self.next(12) {
            0 => server.clock.step_back(std::time::Duration::from_millis(self.next(2000))),
            1..6 => server.pass_us(self.next(900_000)),
            _ => {}
        }
    }
}

const KEYS: [&str; 4] = ["k0", "k1", "k2", "f"];

#[test]
fn a_replica_and_an_append_only_file_hold_what_the_primary_holds() {
    let mut primary =
        Server::builder().config("appendonly", "yes").config("aof-use-rdb-preamble", "no").start();
    primary.clock.freeze(START);
    let replica = Server::builder().without_module().clock(&primary.clock).replica_of(&primary).start();
    let keys = KEYS.map(String::from);
    let mut holders = Holders(1);
    for _ in 0..6 {
        for _ in 0..150 {
            holders.pass(&primary);
            // What has expired goes now, lest a step back revives it.
            purge(&primary, &keys);
            primary.ask_value(&holders.call());
        }
        purge(&primary, &keys);
        replica.catch_up(&primary);
        assert_eq!(State::of(&replica), State::of(&primary));
        let before = State::of(&primary);
        primary.restart();
        assert_eq!(State::of(&primary), before);
        replica.catch_up(&primary);
    }
}

#[test]
fn a_call_is_one_transaction_of_effects() {
    let server = frozen();
    let mut stream = Stream::join(&server);
    let mut holders = Holders(2);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..600 {
        holders.pass(&server);
        purge(&server, &KEYS.map(String::from));
        stream.read(&server);
        let before = State::of(&server);
        let call = holders.call();
        let reply = server.ask_value(&call);
        let sent = effects(stream.read(&server));
        let changed = State::of(&server) != before;
        assert_eq!(changed, !sent.is_empty(), "{call}: {reply:?}: {sent:?}");
        seen.extend(sent.iter().map(|effect| words(effect)[0].to_owned()));
    }
    let all = ["HSET", "PEXPIREAT", "UNLINK", "ZADD", "ZREM", "ZREMRANGEBYRANK"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn an_override_changes_how_many_may_hold_at_a_time() {
    let server = frozen();
    let take = |id: &str| server.ask(&format!("RL.LEASE {{k}} 2 1m {id} OVERRIDE {{k}}o"));
    assert_eq!([take("a"), take("b"), take("c")].map(|reply| (reply[0], reply[1])), [(1, 2), (1, 2), (0, 2)]);
    server.ask_value("SET {k}o 3");
    assert_eq!(take("c"), [1, 3, 0, 0, 60_000, 60_000, 3]);
    // Lowered, who holds may renew, and nobody else may take.
    server.ask_value("SET {k}o 1");
    server.pass_ms(1000);
    assert_eq!(take("a"), [1, 1, 0, 0, 60_000, 59_000, 3]);
    assert_eq!(take("d"), [0, 1, 0, 60_000, 60_000, 59_000, 3]);
    server.ask_value("SET {k}o 0");
    assert_eq!(take("d"), [0, 0, 0, -1, 60_000, -1, 3]);
    server.ask_value("DEL {k}o");
    assert_eq!(take("d")[1], 2);
    let several =
        server.ask_several("RL.PEEK {k} LEASE 2 1m d OVERRIDE {k}o KEY {k}f FIXED 5 1m OVERRIDE {k}o");
    assert_eq!((several.allowed, several.limits[0][1], several.limits[1][1]), (0, 2, 5));
    for wrong in ["4/2", "x", "-1", "1000000000001", ""] {
        server.call(&["SET", "{k}o", wrong]).unwrap();
        assert_eq!(
            server.ask_error("RL.LEASE {k} 2 1m d OVERRIDE {k}o"),
            format!(
                "ERR OVERRIDE key '{{k}}o' must hold a whole number from 0 to 1000000000000, not '{wrong}'"
            )
        );
    }
    assert_eq!(
        server.ask_error("RL.LEASE {k} 2 1m d OVERRIDE {k}"),
        "ERR key '{k}' must have one use in a call: a limit's, a BLOCK's or an OVERRIDE's"
    );
    assert_eq!(
        server.ask_texts("COMMAND GETKEYS RL.LEASE {k} 2 1m OVERRIDE RENEW OVERRIDE {k}o"),
        ["{k}", "{k}o"]
    );
}

#[test]
fn giving_back_undoes_taking() {
    let server = frozen();
    let state = || (leases_of(&server, "k"), server.expiries());
    for held in 0..4 {
        for index in 0..held {
            server.ask(&format!("RL.LEASE k 9 {}s held-{index}", 10 + index));
        }
        let before = state();
        let looked_at = server.ask_value("RL.PEEK k LEASE 9 1s new");
        server.ask("RL.LEASE k 9 1s new");
        assert_ne!(state(), before);
        assert_eq!(server.ask_value("RL.RELEASE k new"), Value::Int(1));
        assert_eq!(state(), before, "{held} held");
        assert_eq!(server.ask_value("RL.PEEK k LEASE 9 1s new"), looked_at);
    }
}
