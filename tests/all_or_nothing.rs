//! RL.ALL charges every limit or none; RL.PEEK asks the same and charges nothing.

use std::time::Duration;

use crate::support;
use crate::support::{Observed, START, Server, Several, State, frozen, purge, words};

/// One limit of each kind, 10 units in 10 seconds, on keys of their own.
const FIVE: [&str; 5] = [
    "tb TOKENBUCKET 10 10 10s",
    "lb LEAKYBUCKET 10 10 10s",
    "fw FIXED 10 10s",
    "sc SLIDINGCOUNTER 10 10s",
    "log SLIDINGLOG 10 10s",
];

/// `RL.ALL` of these, each a key and a limit.
fn all(limits: &[String]) -> String {
    format!("RL.ALL {}", limits.join(" KEY "))
}

/// The five limits, with options after each.
fn five_with(options: &str) -> Vec<String> {
    FIVE.iter().map(|limit| format!("{limit} {options}")).collect()
}

/// The command that charges one limit: `RL.FIXED fw 10 10s` of `fw FIXED 10 10s`.
fn alone(limit: &str) -> String {
    let (key, rest) = limit.split_once(' ').unwrap();
    let (algorithm, rest) = rest.split_once(' ').unwrap();
    format!("RL.{algorithm} {key} {rest}")
}

/// A call that must change nothing, nor send anything to replicas.
#[track_caller]
fn ask_idly(observed: &Observed, line: &str) -> Several {
    let before = State::of(observed);
    assert_eq!(observed.effects_of(line), [""; 0], "{line}");
    let reply = observed.ask_several(line);
    assert_eq!(State::of(observed), before, "{line}");
    reply
}

/// An error that must change nothing.
#[track_caller]
fn fail_idly(server: &Server, line: &str) -> String {
    let before = (State::of(server), server.replication_offset());
    let error = server.ask_error(line);
    assert_eq!((State::of(server), server.replication_offset()), before, "{line}");
    error
}

fn allowed(reply: &Several) -> Vec<i64> {
    reply.limits.iter().map(|limit| limit[0]).collect()
}

fn used(reply: &Several) -> Vec<i64> {
    reply.limits.iter().map(|limit| limit[6]).collect()
}

// All.

#[test]
fn the_reply_tells_the_verdict_then_each_limit() {
    let server = frozen();
    let line = "RL.ALL user:7 FIXED 10 1s FIXED 1000 1h AS orders TOKENBUCKET 90000 90000 1m AS tpm COST 850 \
                KEY site FIXED 100000 1h";
    assert_eq!(
        server.ask_several(line),
        Several {
            allowed: 1,
            retry_after_ms: 0,
            limits: vec![
                [1, 10, 9, 0, 1000, 1000, 1],
                [1, 1000, 999, 0, 3_600_000, 3_600_000, 1],
                [1, 90_000, 89_150, 0, 567, 1, 850],
                [1, 100_000, 99_999, 0, 3_600_000, 3_600_000, 1],
            ],
        }
    );
    let mut fields = server.ask_texts("HKEYS user:7");
    fields.sort();
    assert_eq!(fields, ["fw:1000", "fw:3600000:orders", "tb:60000:tpm"]);
    assert_eq!(server.ask_texts("HKEYS site"), ["fw:3600000"]);
}

#[test]
fn what_all_charges_is_what_each_limit_would_have_charged_alone() {
    let (together, one_by_one) = (frozen(), frozen());
    for options in ["COST 3", "", "COST 4", "COST -2", "COST 0", "COST 9 FORCE", "COST -20"] {
        let reply = together.ask_several(&all(&five_with(options)));
        let alone: Vec<Vec<i64>> =
            five_with(options).iter().map(|limit| one_by_one.ask(&alone(limit))).collect();
        assert_eq!(reply.limits.iter().map(|limit| limit.to_vec()).collect::<Vec<_>>(), alone, "{options}");
        assert_eq!(State::of(&together), State::of(&one_by_one), "{options}");
        together.pass_us(1_234_567);
        one_by_one.pass_us(1_234_567);
    }
}

#[test]
fn every_limit_may_have_a_cost_of_its_own() {
    let server = frozen();
    server.ask("RL.FIXED k 10 1m COST 5");
    let reply =
        server.ask_several("RL.ALL k FIXED 10 1s COST 7 FIXED 10 1m COST -2 FIXED 10 1h COST 0 FIXED 10 1d");
    assert_eq!((allowed(&reply), used(&reply)), (vec![1, 1, 1, 1], vec![7, 3, 0, 1]));
}

// Or nothing.

#[test]
fn a_refusal_in_any_position_leaves_every_key_untouched() {
    for (position, refusing) in FIVE.iter().enumerate() {
        let observed = Observed::frozen();
        for limit in FIVE {
            observed.ask(&alone(&format!("{limit} COST 2")));
        }
        observed.ask(&alone(&format!("{refusing} COST 8")));
        let reply = ask_idly(&observed, &all(&five_with("COST 3")));
        let refused = &reply.limits[position];
        assert_eq!((reply.allowed, reply.retry_after_ms), (0, refused[3]), "{refusing}");
        for (index, limit) in reply.limits.iter().enumerate() {
            // allowed, remaining, used: those that would have allowed it show their state uncharged.
            let expected = if index == position { [0, 0, 10] } else { [1, 8, 2] };
            assert_eq!([limit[0], limit[2], limit[6]], expected, "{refusing}: {}", FIVE[index]);
        }
        // It was one refusing limit, and now is none.
        observed.ask(&alone(&format!("{refusing} COST -8")));
        let reply = observed.ask_several(&all(&five_with("COST 3")));
        assert_eq!((reply.allowed, used(&reply)), (1, vec![5; 5]), "{refusing}");
    }
}

#[test]
fn a_refusal_creates_no_key_and_gives_nothing_back() {
    let observed = Observed::frozen();
    observed.ask("RL.FIXED full 1 1m");
    observed.ask("RL.FIXED k 10 1m COST 5");
    let reply = ask_idly(&observed, "RL.ALL new FIXED 10 1m KEY k FIXED 10 1m COST -2 KEY full FIXED 1 1m");
    assert_eq!((allowed(&reply), used(&reply)), (vec![1, 1, 0], vec![0, 5, 1]));
    assert!(!observed.holds("new"));
}

#[test]
fn an_error_in_any_position_leaves_every_key_untouched() {
    let server = frozen();
    let too_much = "debt FIXED 10 10s COST 1000000000000 FORCE";
    for preparation in [
        "SET string 1",
        "RPUSH list 1",
        "SADD set 1",
        "HSET hash-of-others name 1",
        "ZADD zset-of-others 1 member",
        "HSET bad fw:10000 nonsense",
    ] {
        server.ask_value(preparation);
    }
    for limit in FIVE {
        server.ask(&alone(limit));
    }
    for _ in 0..4 {
        server.ask(&alone(too_much));
    }
    // A replica's eye, so that the offset moves with every effect.
    let _stream = support::Stream::join(&server);
    let wrong_type = "Operation against a key holding the wrong kind of value";
    let of_logs = format!("{wrong_type}: if it is a SLIDINGLOG's or a LEASE's, that must have its key alone");
    let of_hashes = format!("{wrong_type}: if it is other limiters', a SLIDINGLOG must have its key alone");
    let other_data = "key holds other data";
    for (bad, code, error) in [
        ("string FIXED 10 10s", "WRONGTYPE", wrong_type),
        ("list TOKENBUCKET 10 10 10s", "WRONGTYPE", wrong_type),
        ("set SLIDINGLOG 10 10s", "WRONGTYPE", wrong_type),
        ("fw SLIDINGLOG 10 10s", "WRONGTYPE", &of_hashes),
        ("log LEAKYBUCKET 10 10 10s", "WRONGTYPE", &of_logs),
        ("string SLIDINGLOG 10 10s", "WRONGTYPE", wrong_type),
        ("hash-of-others SLIDINGCOUNTER 10 10s", "ERR", other_data),
        ("zset-of-others SLIDINGLOG 10 10s", "ERR", other_data),
        ("bad FIXED 10 10s", "ERR", "field 'fw:10000' holds other data"),
        (too_much, "ERR", "COST must not take the used units above 4000000000000"),
    ] {
        let [bad_key, algorithm, ..] = words(bad)[..] else { panic!("{bad}") };
        for position in 0..=FIVE.len() {
            let mut limits = five_with("COST 2");
            // A key may not hold a log and something else in one call, which is another error.
            limits.retain(|limit| !limit.starts_with(&format!("{bad_key} ")));
            let position = position.min(limits.len());
            limits.insert(position, bad.into());
            let expected = format!("{code} limit {} ({algorithm}): {error}", position + 1);
            assert_eq!(fail_idly(&server, &all(&limits)), expected, "{bad} at {position}");
        }
    }
}

#[test]
fn an_error_outweighs_a_refusal() {
    let server = frozen();
    server.ask_value("SET string 1");
    for line in ["RL.ALL k FIXED 0 1s KEY string FIXED 1 1s", "RL.ALL string FIXED 1 1s KEY k FIXED 0 1s"] {
        assert!(fail_idly(&server, line).starts_with("WRONGTYPE"), "{line}");
    }
}

// What a refused call is told to wait.

#[test]
fn a_refused_call_waits_for_the_last_of_the_limits_that_refuse() {
    let observed = Observed::frozen();
    observed.ask_several("RL.ALL k FIXED 1 7s FIXED 1 30s FIXED 9 1d LEAKYBUCKET 9 1 1h COST 5");
    let line = "RL.ALL k FIXED 1 7s FIXED 1 30s FIXED 9 1d LEAKYBUCKET 9 1 1h";
    let reply = ask_idly(&observed, line);
    // Neither the day, nor the queue's five hours, which let it through.
    assert_eq!((reply.allowed, reply.retry_after_ms, allowed(&reply)), (0, 30_000, vec![0, 0, 1, 1]));
    observed.pass_ms(29_999);
    assert_eq!(ask_idly(&observed, line).retry_after_ms, 1);
    observed.pass_ms(1);
    assert_eq!(observed.ask_several(line).allowed, 1);
}

#[test]
fn a_refused_call_never_fits_if_one_limit_never_lets_it_through() {
    let observed = Observed::frozen();
    observed.ask("RL.FIXED k 1 30s");
    for line in [
        "RL.ALL k FIXED 1 30s FIXED 4 1m COST 5",
        "RL.ALL k FIXED 4 1m COST 5 FIXED 1 30s",
        "RL.ALL k FIXED 1 30s KEY j SLIDINGLOG 0 1m",
        "RL.PEEK k FIXED 1 30s FIXED 4 1m COST 5",
    ] {
        let reply = ask_idly(&observed, line);
        assert_eq!((reply.allowed, reply.retry_after_ms), (0, -1), "{line}");
    }
}

#[test]
fn an_allowed_call_waits_as_long_as_its_longest_queue() {
    let server = frozen();
    let line = "RL.ALL k LEAKYBUCKET 9 1 1s FIXED 9 1m LEAKYBUCKET 9 1 1m TOKENBUCKET 9 1 1d";
    let waits: Vec<i64> = (0..3).map(|_| server.ask_several(line).retry_after_ms).collect();
    assert_eq!(waits, [0, 60_000, 120_000]);
    let reply = server.ask_several(line);
    assert_eq!(reply.limits.iter().map(|limit| limit[3]).collect::<Vec<_>>(), [3000, 0, 180_000, 0]);
}

// Shadow limits.

#[test]
fn a_forced_limit_never_refuses_and_tells_whether_it_fitted() {
    let server = frozen();
    let line = "RL.ALL k FIXED 9 1m TOKENBUCKET 1 1 1h AS shadow FORCE";
    let replies: Vec<_> = (0..3).map(|_| server.ask_several(line)).collect();
    assert_eq!(replies.iter().map(|reply| reply.allowed).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(replies.iter().map(allowed).collect::<Vec<_>>(), [[1, 1], [1, 0], [1, 0]]);
    assert_eq!(replies.iter().map(used).collect::<Vec<_>>(), [[1, 1], [2, 2], [3, 3]]);
    // Whoever is let through has nothing to wait for.
    assert_eq!(replies[2].retry_after_ms, 0);
}

#[test]
fn a_forced_limit_is_not_charged_where_another_refuses() {
    let observed = Observed::frozen();
    let line = "RL.ALL k FIXED 1 1m TOKENBUCKET 1 1 1h FORCE COST 2";
    assert_eq!(observed.ask_several(line).allowed, 1);
    let reply = ask_idly(&observed, line);
    assert_eq!((reply.allowed, allowed(&reply), used(&reply)), (0, vec![0, 0], vec![1, 2]));
    // Only those count that refuse: the shadow's hours do not, nor that it never fits.
    assert_eq!(reply.retry_after_ms, 60_000);
}

#[test]
fn a_forced_limit_in_debt_does_not_refuse_a_settlement_of_0() {
    // The first limit was reserved right, the second has to be charged: `COST <actual - reserved> FORCE`.
    let server = frozen();
    server.ask("RL.FIXED k 10 1m COST 12 FORCE");
    let reply = server.ask_several("RL.ALL k FIXED 10 1m COST 0 FORCE FIXED 10 1h COST 3 FORCE");
    assert_eq!((reply.allowed, allowed(&reply), used(&reply)), (1, vec![0, 1], vec![12, 3]));
}

#[test]
fn a_question_of_cost_0_refuses_while_in_debt() {
    let observed = Observed::frozen();
    observed.ask("RL.FIXED k 10 1m COST 12 FORCE");
    let reply = ask_idly(&observed, "RL.ALL k FIXED 10 1m COST 0 FIXED 10 1h");
    assert_eq!((reply.allowed, reply.retry_after_ms, allowed(&reply)), (0, 60_000, vec![0, 1]));
}

// Keys.

#[test]
fn several_limits_on_one_key_are_one_write_and_at_most_one_expiry() {
    let observed = Observed::frozen();
    let line =
        "RL.ALL k FIXED 10 1s FIXED 10 1m AS m TOKENBUCKET 10 1 1s SLIDINGCOUNTER 10 1m LEAKYBUCKET 10 1 1s";
    let state = format!(
        "HSET k fw:1000 1@{} fw:60000:m 1@{} tb:1000 1@{START} sc:60000 1,0@{START} lb:1000 1@{START}",
        START + 1_000_000,
        START + 60_000_000,
    );
    // The counter is the last to be unused, after two minutes: an eighth and a second more.
    assert_eq!(observed.effects_of(line), [state, format!("PEXPIREAT k {}", START / 1000 + 136_000)]);
    let again = observed.effects_of(line);
    assert_eq!(again.len(), 1, "{again:?}");
    assert!(again[0].starts_with("HSET k "), "{again:?}");
}

#[test]
fn fields_set_and_deleted_at_once_are_one_write_each() {
    let observed = Observed::frozen();
    observed.ask_several("RL.ALL k FIXED 10 1m AS a FIXED 10 1m AS b FIXED 10 1m AS c");
    let effects = observed.effects_of(
        "RL.ALL k FIXED 10 1m AS a COST -1 FIXED 10 1m AS b FIXED 10 1m AS c COST -9 FIXED 10 1m AS d COST -1",
    );
    let end = START + 60_000_000;
    assert_eq!(effects, [format!("HSET k fw:60000:b 2@{end}"), "HDEL k fw:60000:a fw:60000:c".into()]);
}

#[test]
fn a_key_may_come_back_in_a_later_clause() {
    let observed = Observed::frozen();
    let effects = observed.effects_of("RL.ALL k FIXED 10 1s KEY j FIXED 10 1s KEY k FIXED 10 1m");
    let writes: Vec<&String> = effects.iter().filter(|effect| effect.starts_with("HSET")).collect();
    let (second, minute) = (START + 1_000_000, START + 60_000_000);
    assert_eq!(
        writes,
        [&format!("HSET k fw:1000 1@{second} fw:60000 1@{minute}"), &format!("HSET j fw:1000 1@{second}")]
    );
    assert_eq!(effects.len(), 4, "{effects:?}");
    let reply = observed.ask_several("RL.ALL k FIXED 10 1s KEY j FIXED 10 1s KEY k FIXED 10 1m COST 5");
    assert_eq!(used(&reply), [2, 2, 6]);
}

#[test]
fn words_of_the_grammar_may_be_keys_and_names() {
    let server = frozen();
    let reply = server.ask_several(
        "RL.ALL KEY FIXED 10 1s AS COST FIXED 10 1m AS FIXED KEY FIXED FIXED 10 1s KEY AS FIXED 10 1s KEY KEY FIXED 10 1h",
    );
    assert_eq!(used(&reply), [1, 1, 1, 1, 1]);
    assert_eq!(server.ask_texts("HKEYS KEY").len(), 3);
    assert!(server.holds("FIXED") && server.holds("AS"));
    assert!(!server.holds("10"));
}

#[test]
fn keys_and_names_are_any_bytes_and_any_case_of_words_does() {
    let server = frozen();
    let key = [0, b' ', 0xff, b'\r', b'\n'];
    let empty: &[u8] = b"";
    let words: [&[u8]; 12] =
        [b"rl.all", &key, b"fixed", b"10", b"1s", b"as", b"A", b"kEy", empty, b"slidinglog", b"10", b"1s"];
    assert!(matches!(server.call(&words), Ok(redis::Value::Array(items)) if items.len() == 4));
    assert_eq!(server.call(&[b"EXISTS".as_slice(), &key, empty]).unwrap(), redis::Value::Int(2));
}

// What cannot go together.

#[test]
fn the_same_limit_twice_is_an_error_before_any_key_is_read() {
    let server = frozen();
    server.ask_value("SET string 1");
    let error = |number: usize, word: &str| {
        format!(
            "ERR limit {number} ({word}): the same {word} is given twice: give one of them a name with AS"
        )
    };
    for (limits, number, word) in [
        ("FIXED 10 1m FIXED 10 1m", 2, "FIXED"),
        ("FIXED 10 1m FIXED 20 60s COST 0", 2, "FIXED"),
        ("FIXED 10 1m AS a FIXED 10 1m FIXED 10 1m AS a", 3, "FIXED"),
        ("FIXED 10 1m ALIGN FIXED 10 1m ALIGN OFFSET 5s", 2, "FIXED"),
        ("TOKENBUCKET 10 1 1s TOKENBUCKET 20 2 1000ms", 2, "TOKENBUCKET"),
        ("LEAKYBUCKET 10 1 1s AS a LEAKYBUCKET 10 1 1s AS a", 2, "LEAKYBUCKET"),
        ("SLIDINGCOUNTER 10 1h SLIDINGCOUNTER 10 60m", 2, "SLIDINGCOUNTER"),
    ] {
        for (line, number) in [
            (format!("RL.ALL k {limits}"), number),
            (format!("RL.PEEK k {limits}"), number),
            (format!("RL.ALL string {limits}"), number),
            (format!("RL.ALL string FIXED 1 1d KEY k {limits}"), number + 1),
        ] {
            assert_eq!(fail_idly(&server, &line), error(number, word), "{line}");
        }
    }
    let line = "RL.ALL k FIXED 10 1m KEY string FIXED 10 1m KEY k FIXED 5 1m";
    assert_eq!(fail_idly(&server, line), error(3, "FIXED"));
}

#[test]
fn limits_that_differ_in_key_algorithm_window_or_name_go_together() {
    let server = frozen();
    let reply = server.ask_several(
        "RL.ALL k FIXED 10 1m FIXED 10 1m ALIGN FIXED 10 1m AS a FIXED 10 1m AS A FIXED 10 61s \
         TOKENBUCKET 10 1 1m LEAKYBUCKET 10 1 1m SLIDINGCOUNTER 10 1m KEY j FIXED 10 1m",
    );
    assert_eq!(used(&reply), [1; 9]);
}

#[test]
fn a_log_shares_its_key_with_nothing() {
    let server = frozen();
    server.ask_value("SET string 1");
    for (limits, limit) in [
        ("SLIDINGLOG 10 1s SLIDINGLOG 10 1m", "2 (SLIDINGLOG)"),
        ("SLIDINGLOG 10 1s FIXED 10 1s", "2 (FIXED)"),
        ("TOKENBUCKET 10 1 1s SLIDINGLOG 10 1s", "2 (SLIDINGLOG)"),
        ("SLIDINGLOG 10 1s KEY j FIXED 10 1s KEY k LEAKYBUCKET 10 1 1s", "3 (LEAKYBUCKET)"),
        ("SLIDINGLOG 10 1s KEY j FIXED 10 1s KEY k SLIDINGLOG 10 1s", "3 (SLIDINGLOG)"),
    ] {
        // Before any key is read, too: one holds a string.
        for start in ["RL.ALL k", "RL.PEEK k", "RL.ALL string", "RL.PEEK string"] {
            let key = &start[start.len() - 1..];
            let limits = if key == "k" { limits.into() } else { limits.replace("KEY k", "KEY string") };
            let expected = format!(
                "ERR limit {limit}: a SLIDINGLOG must have its key alone: give the other limits another key"
            );
            assert_eq!(fail_idly(&server, &format!("{start} {limits}")), expected, "{limits}");
        }
    }
    assert_eq!(server.ask_several("RL.ALL k SLIDINGLOG 10 1s KEY j SLIDINGLOG 10 1s").allowed, 1);
}

#[test]
fn one_call_takes_up_to_64_limits() {
    let server = frozen();
    let on_one_key = |count: usize| {
        let limits: Vec<String> = (0..count).map(|number| format!("FIXED 10 1m AS n{number}")).collect();
        format!("RL.ALL one {}", limits.join(" "))
    };
    let on_many_keys = |count: usize| {
        let limits: Vec<String> =
            (0..count).map(|number| format!("many:{number} SLIDINGLOG 10 1m")).collect();
        all(&limits)
    };
    for (line, word) in [
        (on_one_key(65), "FIXED"),
        (on_many_keys(65), "SLIDINGLOG"),
        (on_one_key(64) + " KEY two FIXED 1 1s", "FIXED"),
    ] {
        let error = format!("ERR limit 65 ({word}): at most 64 limits are possible in one call");
        assert_eq!(fail_idly(&server, &line), error);
    }
    for line in [on_one_key(1), on_one_key(64), on_many_keys(64)] {
        let reply = server.ask_several(&line);
        assert_eq!((reply.allowed, used(&reply).len()), (1, allowed(&reply).len()));
    }
    assert_eq!(server.ask_int("HLEN one"), 64);
    assert_eq!(server.ask_int("DBSIZE"), 65);
}

#[test]
fn partial_is_an_error_in_all_and_force_and_partial_in_peek() {
    let server = frozen();
    server.ask_value("SET string 1");
    for key in ["k", "string"] {
        for (line, error) in [
            ("RL.ALL {} FIXED 10 1s PARTIAL", "ERR limit 1 (FIXED): PARTIAL is not possible in RL.ALL"),
            (
                "RL.ALL {} FIXED 10 1m FIXED 10 1s PARTIAL COST 0",
                "ERR limit 2 (FIXED): PARTIAL is not possible in RL.ALL",
            ),
            ("RL.PEEK {} FIXED 10 1s PARTIAL", "ERR limit 1 (FIXED): PARTIAL is not possible in RL.PEEK"),
            ("RL.PEEK {} FIXED 10 1s FORCE", "ERR limit 1 (FIXED): FORCE is not possible in RL.PEEK"),
            (
                "RL.PEEK {} FIXED 10 1m FIXED 10 1s FORCE COST -1",
                "ERR limit 2 (FIXED): FORCE is not possible in RL.PEEK",
            ),
        ] {
            assert_eq!(fail_idly(&server, &line.replace("{}", key)), error);
        }
    }
}

#[test]
fn words_that_make_no_call_are_errors() {
    let server = frozen();
    let algorithms = "TOKENBUCKET, LEAKYBUCKET, FIXED, SLIDINGCOUNTER, SLIDINGLOG, LEASE";
    let no_algorithm = &*format!("a limit is missing: it must begin with its algorithm, one of {algorithms}");
    let unknown =
        |word: &str| format!("a limit must begin with its algorithm, one of {algorithms}, not '{word}'");
    let stray = |algorithm: &str, word: &str| {
        format!(
            "limit 1 ({algorithm}): syntax error near '{word}': it is no option of {algorithm}, nor KEY, nor an \
             algorithm ({algorithms})"
        )
    };
    let cost = "a whole number from -1000000000000 to 1000000000000";
    let name = "a name of 1 to 32 of A-Z a-z 0-9 _ . - other than KEY, BLOCK and OVERRIDE";
    let duration = "a whole number with a unit ms, s, m, h or d, from";
    let no_key = "KEY must be followed by a key and its limits";
    for (words, error) in [
        ("k FIXED 10 1s KEY", no_key),
        ("k FIXED 10 1s KEY j", no_algorithm),
        ("k FIXED 10 1s KEY j KEY i FIXED 10 1s", &unknown("KEY")),
        ("k KEY j FIXED 10 1s", &unknown("KEY")),
        ("k FIXED 10 1s more", &stray("FIXED", "more")),
        ("k FIXED 10 1s AS", &format!("limit 1 (FIXED): AS must be followed by {name}")),
        ("k FIXED 10 1s COST", &format!("limit 1 (FIXED): COST must be followed by {cost}")),
        ("k RL.FIXED 10 1s", &unknown("RL.FIXED")),
        ("k GCRA 10 1s", &unknown("GCRA")),
        (
            "k TOKENBUCKET 10 1s",
            "limit 1 (TOKENBUCKET): refill must be a whole number from 1 to 1000000000000, not '1s'",
        ),
        ("k SLIDINGLOG 10 1s AS name", &stray("SLIDINGLOG", "AS")),
        ("k SLIDINGLOG 10 1s AS KEY j FIXED 10 1s", &stray("SLIDINGLOG", "AS")),
        (
            "k FIXED 10 1s ALIGN OFFSET KEY j FIXED 10 1s",
            &format!("limit 1 (FIXED): OFFSET must be {duration} -3660d to 3660d, not 'KEY'"),
        ),
        ("k SLIDINGCOUNTER 10 1s ALIGN", &stray("SLIDINGCOUNTER", "ALIGN")),
        (
            "k FIXED 10 1s FORCE PARTIAL",
            "limit 1 (FIXED): FORCE and PARTIAL exclude each other: give one of them",
        ),
        ("k FIXED 10 1s COST 1 COST 1", "limit 1 (FIXED): COST must not be given twice"),
    ] {
        for command in ["RL.ALL", "RL.PEEK"] {
            assert_eq!(fail_idly(&server, &format!("{command} {words}")), format!("ERR {error}"), "{words}");
        }
    }
    for words in ["", "k", "k FIXED", "k FIXED 10"] {
        for command in ["rl.all", "rl.peek"] {
            let error = format!("err wrong number of arguments for '{command}' command");
            assert_eq!(fail_idly(&server, &format!("{command} {words}")).to_lowercase(), error, "{words}");
        }
    }
}

// Peek.

/// What the charge would answer, as peek tells it: its verdicts, and the state as it stands.
#[track_caller]
fn foretold(peeked: &Several, standing: &Several, charged: &Several, line: &str) {
    let verdicts = |reply: &Several| {
        let inner: Vec<_> = reply.limits.iter().map(|limit| (limit[0], limit[3])).collect();
        (reply.allowed, reply.retry_after_ms, inner)
    };
    assert_eq!(verdicts(peeked), verdicts(charged), "{line}");
    let state = |reply: &Several| -> Vec<_> {
        reply.limits.iter().map(|limit| [limit[1], limit[2], limit[4], limit[5], limit[6]]).collect()
    };
    assert_eq!(state(peeked), state(standing), "{line}");
    if charged.allowed == 0 {
        assert_eq!(peeked, charged, "{line}");
    }
}

#[test]
fn peek_foretells_what_the_charge_answers_and_shows_what_stands() {
    let observed = Observed::frozen();
    let mut refused = 0;
    for step in 0..150_i64 {
        // Costs that change from limit to limit and from call to call, refunds among them.
        let cost = |nth: i64| (step * 7 + nth * 5) % 9 - 2;
        let limits: Vec<String> =
            FIVE.iter().zip(0..).map(|(limit, nth)| format!("{limit} COST {}", cost(nth))).collect();
        let rest = limits.join(" KEY ");
        let peeked = ask_idly(&observed, &format!("RL.PEEK {rest}"));
        let standing = ask_idly(&observed, &format!("RL.PEEK {}", five_with("COST 0").join(" KEY ")));
        let charged = observed.ask_several(&format!("RL.ALL {rest}"));
        foretold(&peeked, &standing, &charged, &rest);
        refused += i64::from(charged.allowed == 0);
        observed.pass_us((step % 5 * 431_017).unsigned_abs());
        purge(&observed, &FIVE.map(|limit| limit.split(' ').next().unwrap().to_string()));
    }
    assert!((15..135).contains(&refused), "{refused} of 150 refused: the test shows little");
}

#[test]
fn peek_foretells_what_a_single_command_answers() {
    let server = frozen();
    for limit in FIVE {
        for cost in [0, 1, 7, 3, 2, 11, -4, 4] {
            let limit = format!("{limit} COST {cost}");
            let peeked = server.ask_several(&format!("RL.PEEK {limit}"));
            let charged = server.ask(&alone(&limit));
            assert_eq!((peeked.allowed, peeked.retry_after_ms), (charged[0], charged[3]), "{limit}");
        }
    }
}

#[test]
fn peek_answers_after_a_step_of_the_clock_as_the_charge_would() {
    for back in
        [Duration::from_micros(1), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(90)]
    {
        let observed = Observed::frozen();
        for limit in FIVE {
            observed.ask(&alone(&format!("{limit} COST 6")));
            observed.pass_us(10);
            observed.ask(&alone(&format!("{limit} COST 1")));
        }
        observed.clock.step_back(back);
        for options in ["COST 2", "COST 4", "COST -1"] {
            let rest = five_with(options).join(" KEY ");
            let peeked = ask_idly(&observed, &format!("RL.PEEK {rest}"));
            let standing = ask_idly(&observed, &format!("RL.PEEK {}", five_with("COST 0").join(" KEY ")));
            let charged = observed.ask_several(&format!("RL.ALL {rest}"));
            foretold(&peeked, &standing, &charged, &format!("{rest} after {back:?} back"));
        }
    }
}

#[test]
fn peek_never_writes() {
    let observed = Observed::frozen();
    let changes = || observed.info_field("persistence", "rdb_changes_since_last_save").unwrap();
    let none = changes();
    let ask = |options: &str| ask_idly(&observed, &format!("RL.PEEK {}", five_with(options).join(" KEY ")));
    assert_eq!((ask("COST 3").allowed, observed.ask_int("DBSIZE")), (1, 0));
    assert_eq!(changes(), none);
    for limit in FIVE {
        observed.ask(&alone(&format!("{limit} COST 9")));
    }
    let some = changes();
    // Neither what is stale, nor what lies in the future, nor what is in use.
    ask("COST 3");
    observed.clock.step_back(Duration::from_secs(3600));
    ask("COST 3");
    ask("COST -3");
    observed.clock.advance(Duration::from_secs(3600 + 11));
    ask("COST -3");
    assert_eq!(ask("COST 3").allowed, 0, "the counter's window before still weighs in");
    assert_eq!(changes(), some);
    assert_eq!(observed.ask_int("DBSIZE"), 5);
}

#[test]
fn peek_refuses_what_all_refuses_to_read() {
    let server = frozen();
    for preparation in ["SET string 1", "HSET hash name 1", "ZADD zset 1 1", "HSET bad fw:1000 1"] {
        server.ask_value(preparation);
    }
    for limit in ["string FIXED 10 1s", "hash FIXED 10 1s", "zset SLIDINGLOG 10 1s", "bad FIXED 10 1s"] {
        let error = fail_idly(&server, &format!("RL.PEEK k FIXED 10 1s KEY {limit}"));
        assert_eq!(error, server.ask_error(&format!("RL.ALL k FIXED 10 1s KEY {limit}")), "{limit}");
    }
}

#[test]
fn peek_runs_on_a_replica_and_all_does_not() {
    let primary = frozen();
    let replica = Server::builder().clock(&primary.clock).replica_of(&primary).start();
    for limit in FIVE {
        primary.ask(&alone(&format!("{limit} COST 8")));
    }
    replica.catch_up(&primary);
    let rest = five_with("COST 3").join(" KEY ");
    let before = State::of(&replica);
    let peeked = replica.ask_several(&format!("RL.PEEK {rest}"));
    assert_eq!((peeked.allowed, &peeked), (0, &primary.ask_several(&format!("RL.PEEK {rest}"))));
    let error = replica.ask_error(&format!("RL.ALL {rest}"));
    assert!(error.starts_with("READONLY "), "{error}");
    // There, as here, nothing is used once it has expired, though a replica waits for its primary to delete it.
    primary.clock.advance(Duration::from_secs(3600));
    let peeked = replica.ask_several(&format!("RL.PEEK {rest}"));
    assert_eq!((peeked.allowed, used(&peeked)), (1, vec![0; 5]));
    assert_eq!(replica.digest(), before.digest);
}

#[test]
fn all_and_peek_run_in_transactions_and_scripts() {
    let server = frozen();
    let script = "return {redis.call('RL.ALL', KEYS[1], 'FIXED', '2', '1m', 'KEY', KEYS[2], 'SLIDINGLOG', '9', '1m'), \
                  redis.call('RL.PEEK', KEYS[1], 'FIXED', '2', '1m')}";
    let call = || -> Vec<Several> {
        let reply = server.call(&["EVAL", script, "2", "a", "b"]).unwrap();
        let redis::Value::Array(replies) = reply else { panic!("{reply:?}") };
        replies.iter().map(|reply| support::several(reply).unwrap()).collect()
    };
    assert_eq!(used(&call()[0]), [1, 1]);
    let second = call();
    assert_eq!((second[0].allowed, used(&second[0]), second[1].allowed), (1, vec![2, 2], 0));
    assert_eq!(call()[0].allowed, 0);
    let mut connection = server.connection();
    let replies: Vec<redis::Value> = redis::pipe()
        .atomic()
        .cmd("RL.ALL")
        .arg(&["a", "FIXED", "3", "1m"])
        .cmd("RL.PEEK")
        .arg(&["a", "FIXED", "3", "1m"])
        .query(&mut connection)
        .unwrap();
    let replies: Vec<Several> = replies.iter().map(|reply| support::several(reply).unwrap()).collect();
    assert_eq!(replies.iter().map(|reply| reply.allowed).collect::<Vec<_>>(), [1, 0]);
}
