//! `OVERRIDE okey`: numbers in a key take the place of those in the call.

use redis::Value;

use crate::support::{Observed, START, Server, State, frozen, send, words};

/// A limit of 3 units of each kind.
const LIMITS: [&str; 6] = [
    "TOKENBUCKET 3 1 10s",
    "LEAKYBUCKET 3 1 10s",
    "FIXED 3 10s",
    "FIXED 3 10s ALIGN",
    "SLIDINGCOUNTER 3 10s",
    "SLIDINGLOG 3 10s",
];

fn call(limit: &str, options: &str) -> String {
    let (name, rest) = limit.split_once(' ').unwrap();
    format!("RL.{name} k {rest} {options}")
}

fn is_bucket(limit: &str) -> bool {
    limit.contains("BUCKET")
}

/// The limit with other numbers in its words.
fn with(limit: &str, capacity: &str, refill: &str) -> String {
    let mut words = words(limit);
    words[1] = capacity;
    if is_bucket(limit) {
        words[2] = refill;
    }
    words.join(" ")
}

/// The error that a key with this text is.
fn wrong(limit: &str, text: &str) -> String {
    let range = "must hold a whole number from 0 to 1000000000000";
    let both = if is_bucket(limit) { ", or two as capacity/refill" } else { "" };
    format!("ERR OVERRIDE key 'o' {range}{both}, not {text}")
}

#[test]
fn the_key_says_what_is_in_force() {
    for limit in LIMITS {
        for (text, capacity, refill) in [
            ("50", "50", "1"),
            ("2", "2", "1"),
            ("0", "0", "1"),
            ("1000000000000", "1000000000000", "1"),
            ("007", "7", "1"),
            ("000000000000000007", "7", "1"),
            ("50/10", "50", "10"),
            ("0/1", "0", "1"),
            ("08/002", "8", "2"),
            ("1000000000000/1000000000000", "1000000000000", "1000000000000"),
            ("000001000000000000/000001000000000000", "1000000000000", "1000000000000"),
        ] {
            if text.contains('/') && !is_bucket(limit) {
                continue;
            }
            // As a call without it that brings these numbers.
            let server = frozen();
            server.call(&["SET", "o", text]).unwrap();
            let bare = with(limit, capacity, refill);
            for (options, ms) in [
                ("COST 2", 0),
                ("", 700),
                ("COST 9", 1),
                ("PARTIAL", 0),
                ("COST 3 FORCE", 0),
                ("COST 0", 3000),
                ("COST -1", 0),
            ] {
                server.pass_ms(ms);
                let expected = server.ask(&call(&bare, options).replace(" k ", " bare "));
                let line = call(limit, &format!("{options} OVERRIDE o"));
                assert_eq!(server.ask(&line), expected, "{line}: {text}");
                assert_eq!(expected[1], capacity.parse::<i64>().unwrap());
            }
            let peek = format!("RL.PEEK k {limit} OVERRIDE o KEY bare {bare}");
            let reply = server.ask_several(&peek);
            assert_eq!(reply.limits[0], reply.limits[1], "{peek}: {text}");
            assert_eq!(server.text(&["GET", "o"]), text, "the key stays as it is");
        }
        // Without the key, the numbers in the call.
        let server = frozen();
        assert_eq!(server.ask(&call(limit, "OVERRIDE o"))[1..3], [3, 2], "{limit}");
    }
}

#[test]
fn whatever_else_the_key_holds_is_an_error() {
    let longest = "9".repeat(64);
    let longer = "9".repeat(65);
    for limit in LIMITS {
        let server = frozen();
        server.ask_value(&call(limit, "COST 2"));
        let mut wrongs = vec![
            "",
            "-1",
            "+1",
            "1.5",
            "1e3",
            " 5",
            "5 ",
            "many",
            "0x5",
            "1000000000001",
            "9223372036854775808",
            "5\n",
            "5\0",
            "\u{ff15}",
            "/",
            "5/",
            "/5",
            "5/0",
            "5/-1",
            "5/1000000000001",
            "5/5/5",
            "5 / 5",
            "5//5",
            "5/5/",
            "1000000000001/5",
            &longest,
            &longer,
        ];
        if !is_bucket(limit) {
            wrongs.extend(["5/5", "0/1"]);
        }
        for text in wrongs {
            server.call(&["SET", "o", text]).unwrap();
            let before = State::of(&server);
            let shown: Vec<u8> = text.bytes().take(64).collect();
            let error = wrong(limit, &format!("'{}'", shown.escape_ascii()));
            for options in ["", "COST 0", "COST -1", "FORCE", "PARTIAL", "COST 9"] {
                let line = call(limit, &format!("{options} OVERRIDE o"));
                assert_eq!(server.ask_error(&line), error, "{line}");
            }
            let in_limit = |number: usize| {
                error.replacen("ERR", &format!("ERR limit {number} ({}):", words(limit)[0]), 1)
            };
            for command in ["RL.ALL", "RL.PEEK"] {
                let line = format!("{command} k {limit} OVERRIDE o");
                assert_eq!(server.ask_error(&line), in_limit(1), "{line}");
                let line = format!("{command} j FIXED 1 1s KEY k {limit} OVERRIDE o");
                assert_eq!(server.ask_error(&line), in_limit(2), "{line}");
            }
            assert_eq!(State::of(&server), before, "{limit}: {text}");
        }
        for creation in [
            "RPUSH o 5",
            "SADD o 5",
            "ZADD o 5 5",
            "HSET o n 5",
            "XADD o * n 5",
            "RL.FIXED o 3 1h",
            "RL.SLIDINGLOG o 3 1h",
        ] {
            server.ask_value("DEL o");
            server.ask_value(creation);
            let before = State::of(&server);
            for options in ["", "COST 0", "FORCE"] {
                let line = call(limit, &format!("{options} OVERRIDE o"));
                assert_eq!(server.ask_error(&line), wrong(limit, "another type"), "{line}: {creation}");
            }
            assert!(server.ask_error(&format!("RL.PEEK k {limit} OVERRIDE o")).ends_with("another type"));
            assert_eq!(State::of(&server), before, "{limit}: {creation}");
        }
    }
}

#[test]
fn any_encoding_of_a_number_is_read_and_its_key_stays_what_it_was() {
    let server = frozen();
    let replica = Server::builder().clock(&server.clock).replica_of(&server).start();
    for (creation, limit) in [
        (vec!["SET", "o", "50"], 50),
        (vec!["SET", "o", "1000000000000"], 1_000_000_000_000),
        (vec!["SET", "o", "050"], 50),
        (vec!["SET", "o", "0000000000000000050"], 0),
        (vec!["INCRBY", "o", "7"], 7),
        (vec!["APPEND", "o", "12"], 12),
        (vec!["SET", "o", "12/34"], 12),
        (vec!["SETRANGE", "o", "0", "9"], 9),
    ] {
        server.ask_value("DEL o");
        server.call(&creation).unwrap();
        server.ask_value("PEXPIRE o 5000");
        let before = State::of(&server);
        for _ in 0..3 {
            let reply = server.call(&words("RL.TOKENBUCKET k 3 1 10s COST 0 OVERRIDE o"));
            match reply {
                Ok(Value::Array(items)) => assert_eq!(items[1], Value::Int(limit), "{creation:?}"),
                // 19 digits are more than any number has.
                other => assert!(limit == 0 && other.is_err(), "{creation:?}: {other:?}"),
            }
        }
        replica.catch_up(&server);
        if limit > 0 {
            assert_eq!(replica.ask_several("RL.PEEK k TOKENBUCKET 3 1 10s OVERRIDE o").limits[0][1], limit);
        }
        assert_eq!(State::of(&server), before, "{creation:?}");
        assert_eq!(State::of(&replica), before, "{creation:?}");
    }
    // It is a number to others, still.
    server.ask_value("SET o 50");
    server.ask("RL.FIXED k 3 10s OVERRIDE o");
    assert_eq!(server.ask_int("INCR o"), 51);
    assert_eq!(server.ask("RL.FIXED k 3 10s OVERRIDE o")[1], 51);
}

#[test]
fn a_value_of_a_hundred_megabytes_is_an_error_and_is_not_copied() {
    let server = frozen();
    server.ask_value("SETRANGE o 104857599 5");
    server.ask("RL.FIXED k 3 10s");
    server.ask_value("CONFIG RESETSTAT");
    let peak = |server: &Server| -> i64 {
        server.info_field("memory", "used_memory_peak").unwrap().parse().unwrap()
    };
    let used =
        |server: &Server| -> i64 { server.info_field("memory", "used_memory").unwrap().parse().unwrap() };
    let before = used(&server);
    for line in [
        "RL.FIXED k 3 10s OVERRIDE o",
        "RL.TOKENBUCKET k 3 1 10s OVERRIDE o",
        "RL.ALL k FIXED 3 10s OVERRIDE o FIXED 3 20s OVERRIDE o",
        "RL.PEEK k FIXED 3 10s OVERRIDE o",
    ] {
        let error = server.ask_error(line);
        assert!(error.ends_with(&format!("not '{}'", "\\x00".repeat(64))), "{line}: {error}");
    }
    assert!(peak(&server) - before < 50 << 20, "{} to {}", before, peak(&server));
    assert!(used(&server) - before < 1 << 20);
}

#[test]
fn what_was_used_stays_used_when_the_key_comes_changes_and_goes() {
    for limit in LIMITS {
        let server = frozen();
        let line = |options: &str| call(limit, &format!("{options} OVERRIDE o"));
        server.ask(&line("COST 3"));
        server.ask_value("SET o 5 PX 2000");
        let reply = server.ask(&line("COST 2"));
        assert_eq!((reply[0], reply[1], reply[2], reply[6]), (1, 5, 0, 5), "{limit}: raised");
        server.ask_value("SET o 4 KEEPTTL");
        let reply = server.ask(&line(""));
        assert_eq!((reply[0], reply[1], reply[2], reply[6]), (0, 4, 0, 5), "{limit}: lowered");
        server.ask_value("SET o 0 KEEPTTL");
        let reply = server.ask(&line(""));
        assert_eq!(
            (reply[0], reply[1], reply[2], reply[3], reply[5], reply[6]),
            (0, 0, 0, -1, -1, 5),
            "{limit}: 0"
        );
        server.ask_value("SET o 100 KEEPTTL");
        let reply = server.ask(&line("COST 95"));
        assert_eq!((reply[0], reply[1], reply[2]), (1, 100, 0), "{limit}");
        // A key that expires is no key.
        server.pass_ms(2000);
        assert_eq!(server.ask(&line("COST 0"))[1], 100, "{limit}");
        server.pass_ms(1);
        assert_eq!(server.ask(&line("COST 0"))[1], 3, "{limit}");
        assert_eq!(server.ask_int("EXISTS o"), 0);
    }
}

#[test]
fn a_bucket_refills_at_the_rate_that_the_key_names() {
    for name in ["TOKENBUCKET", "LEAKYBUCKET"] {
        let server = frozen();
        let line = format!("RL.{name} k 10 1 1s OVERRIDE o");
        server.ask(&format!("{line} COST 10"));
        assert_eq!(server.ask(&line)[3], 1000);
        server.ask_value("SET o 10/4");
        assert_eq!(server.ask(&line)[3], 250);
        server.ask_value("SET o 10");
        assert_eq!(server.ask(&line)[3], 1000, "the call's own refill");
        server.ask_value("SET o 10/4");
        server.pass_ms(249);
        assert_eq!(server.ask(&line)[0], 0);
        server.pass_ms(1);
        assert_eq!(server.ask(&line)[0], 1);
    }
}

#[test]
fn of_several_limits_each_has_the_key_that_it_names() {
    let server = frozen();
    server.ask_value("SET o 50");
    server.ask_value("SET p 7/2");
    let line = "RL.ALL k FIXED 3 10s OVERRIDE o FIXED 3 20s TOKENBUCKET 3 1 10s OVERRIDE p \
                KEY l SLIDINGLOG 3 10s OVERRIDE o KEY m LEAKYBUCKET 3 1 10s OVERRIDE o FIXED 4 10s OVERRIDE none";
    let reply = server.ask_several(line);
    let limits =
        |reply: &crate::support::Several| reply.limits.iter().map(|limit| limit[1]).collect::<Vec<_>>();
    assert_eq!((reply.allowed, limits(&reply)), (1, vec![50, 3, 7, 50, 50, 4]));
    // An error of any of them charges none.
    server.ask_value("SET p 7");
    server.ask_value("SET none x");
    let before = State::of(&server);
    let error = server.ask_error(line);
    assert!(error.starts_with("ERR limit 6 (FIXED): OVERRIDE key 'none' must"), "{error}");
    assert_eq!(State::of(&server), before);
    // A text with a refill suits buckets alone.
    server.ask_value("SET o 50/5");
    assert!(server.ask_error(line).starts_with("ERR limit 1 (FIXED): OVERRIDE key 'o' must"));
    server.ask_value("SET o 0");
    server.ask_value("DEL none");
    let reply = server.ask_several(line);
    assert_eq!((reply.allowed, reply.retry_after_ms, limits(&reply)), (0, -1, vec![0, 3, 7, 0, 0, 4]));
}

#[test]
fn the_limit_in_force_decides_whether_a_cost_begins_a_block() {
    for limit in LIMITS {
        let server = frozen();
        let line = |options: &str| call(limit, &format!("{options} OVERRIDE o BLOCK b 1m"));
        server.ask_value("SET o 10");
        server.ask(&line("COST 8"));
        // Above the call's own limit, within the one in force.
        assert_eq!(server.ask(&line("COST 5"))[7], 2, "{limit}");
        server.ask_value("DEL b k");
        server.ask_value("SET o 2");
        server.ask(&line("COST 2"));
        // The reverse.
        let reply = server.ask(&line("COST 3"));
        assert_eq!((reply[0], reply[3], reply[7]), (0, -1, 0), "{limit}");
        assert_eq!(server.ask(&line("COST 2"))[7], 2, "{limit}");
        server.ask_value("DEL b");
        server.ask_value("SET o 0");
        let reply = server.ask(&line(""));
        assert_eq!((reply[0], reply[3], reply[7]), (0, -1, 0), "{limit}");
        // A blocked call tells the limit in force, and a key that is wrong.
        server.ask_value("SET b 1 EX 10");
        server.ask_value("SET o 9");
        let reply = server.ask(&line(""));
        assert_eq!((reply[0], reply[1], reply[7]), (0, 9, 1), "{limit}");
        server.ask_value("SET o x");
        assert!(server.ask_error(&line("")).starts_with("ERR OVERRIDE key"), "{limit}");
        server.ask_value("DEL o");
        assert_eq!(server.ask(&line(""))[1], 3, "{limit}");
    }
}

#[test]
fn mistakes_are_told() {
    let server = frozen();
    let accepts = "a key not called BLOCK or OVERRIDE";
    for (options, error) in [
        ("OVERRIDE", format!("OVERRIDE must be followed by {accepts}")),
        ("COST 1 override", format!("OVERRIDE must be followed by {accepts}")),
        ("OVERRIDE BLOCK", format!("OVERRIDE must be {accepts}, not 'BLOCK'")),
        ("OVERRIDE bLOCk b 1m", format!("OVERRIDE must be {accepts}, not 'bLOCk'")),
        ("OVERRIDE OVERRIDE o", format!("OVERRIDE must be {accepts}, not 'OVERRIDE'")),
        ("OVERRIDE override", format!("OVERRIDE must be {accepts}, not 'override'")),
        ("OVERRIDE o OVERRIDE o", "OVERRIDE must not be given twice".into()),
        ("OVERRIDE o FORCE OVERRIDE p", "OVERRIDE must not be given twice".into()),
        ("OVERRIDE o p", "syntax error near 'p'".into()),
    ] {
        for limit in LIMITS {
            let line = call(limit, options);
            assert_eq!(server.ask_error(&line), format!("ERR {error}"), "{line}");
            if options.ends_with(" p") && !options.contains("FORCE") {
                continue;
            }
            let name = words(limit)[0];
            let line = format!("RL.ALL j FIXED 1 1s KEY k {limit} {options}");
            assert_eq!(server.ask_error(&line), format!("ERR limit 2 ({name}): {error}"), "{line}");
        }
    }
    // A limiter's name that servers would take for the word before a key.
    for name in ["BLOCK", "block", "OVERRIDE", "Override", "KEY"] {
        let error = server.ask_error(&format!("RL.FIXED k 3 10s AS {name}"));
        assert!(
            error.starts_with("ERR AS must be a name") && error.ends_with(&format!("not '{name}'")),
            "{error}"
        );
    }
    assert_eq!(server.ask_int("DBSIZE"), 0);
    // redis-cell's command knows neither.
    assert!(server.call(&words("CL.THROTTLE k 9 1 1 1 OVERRIDE o")).is_err());
    // Words that are no key's.
    assert_eq!(server.ask("RL.FIXED BLOCK 3 10s OVERRIDE FIXED BLOCK COST 1m")[7], 0);
    assert_eq!(
        server.ask_several("RL.ALL OVERRIDE FIXED 3 10s OVERRIDE AS KEY BLOCK FIXED 3 10s").allowed,
        1
    );
}

#[test]
fn a_call_with_an_override_sends_what_it_sends_without() {
    for limit in LIMITS {
        let server = Observed::frozen();
        server.ask_value("SET o 50");
        for (options, ms) in [("", 0), ("COST 9", 100), ("COST -3", 0), ("COST 0", 0), ("COST 51", 0)] {
            server.pass_ms(ms);
            let with = server.effects_of(&call(limit, &format!("{options} OVERRIDE o")));
            let without = server.effects_of(&call(&with_limit(limit), options).replace(" k ", " j "));
            let without: Vec<String> =
                without.iter().map(|effect| effect.replacen(" j ", " k ", 1)).collect();
            assert_eq!(with, without, "{limit} {options}");
        }
        assert_eq!(server.ask_int("PTTL o"), -1);
    }
    fn with_limit(limit: &str) -> String {
        with(limit, "50", "1")
    }
}

#[test]
fn a_transaction_and_a_script_see_the_key_as_they_left_it() {
    let server = frozen();
    let mut connection = server.connection();
    for command in
        ["MULTI", "SET o 1", "RL.FIXED k 3 10s OVERRIDE o", "SET o 2 PX 5", "RL.FIXED k 3 10s OVERRIDE o"]
    {
        send(&mut connection, command).unwrap();
    }
    let Value::Array(replies) = send(&mut connection, "EXEC").unwrap() else { panic!("no replies") };
    for (at, limit) in [(1, 1), (3, 2)] {
        let reply: Vec<i64> = redis::from_redis_value(replies[at].clone()).unwrap();
        assert_eq!((reply[0], reply[1]), (1, limit));
    }
    let script = "redis.call('SET','o',9) local a=redis.call('RL.FIXED','k',3,'10s','OVERRIDE','o') \
                  redis.call('DEL','o') return {a[2], redis.call('RL.FIXED','k',3,'10s','OVERRIDE','o')[2]}";
    assert_eq!(server.ints(&["EVAL", script, "2", "k", "o"]), [9, 3]);
    assert_eq!(server.clock.now_us(), START);
}
