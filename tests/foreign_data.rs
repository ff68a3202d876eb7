//! What is not a limiter's is refused and left alone: other types, other people's hashes and sorted sets, and
//! state that does not parse.

use crate::support::{START, Server, State, frozen, words};

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
/// What a hash's limiter says of a sorted set, and a log of a hash.
const NO_LOG: &str = ": if it is a SLIDINGLOG's or a LEASE's, that must have its key alone";
const NO_HASH: &str = ": if it is other limiters', a SLIDINGLOG must have its key alone";
const OTHER_DATA: &str = "ERR key holds other data";

/// The limiters that live in a hash, on `k`.
const IN_HASH: [&str; 6] = [
    "RL.TOKENBUCKET k 10 1 1s",
    "RL.LEAKYBUCKET k 10 1 1s",
    "RL.FIXED k 10 1s",
    "RL.FIXED k 10 1s ALIGN",
    "RL.FIXED k 10 1mo ALIGN",
    "RL.SLIDINGCOUNTER k 10 1s",
];

/// The one that lives in a sorted set.
const LOG: &str = "RL.SLIDINGLOG k 10 1s";

/// Everything that can be asked of a limiter of the words in `command`.
fn all_calls(command: &str) -> Vec<String> {
    let ways = ["", " COST 0", " COST 3", " COST -1", " COST 20 FORCE", " COST 20 PARTIAL", " COST 11"];
    let mut calls: Vec<String> = ways.iter().map(|way| format!("{command}{way}")).collect();
    let (name, limit) = command.split_once(" k ").unwrap();
    let spec = format!("{} {limit}", name.strip_prefix("RL.").unwrap());
    calls.extend([
        format!("RL.ALL k {spec}"),
        format!("RL.ALL k {spec} COST -1"),
        format!("RL.ALL other FIXED 9 1s KEY k {spec} COST 2 FORCE"),
        format!("RL.ALL k {spec} KEY other FIXED 9 1s"),
        format!("RL.PEEK k {spec}"),
        format!("RL.PEEK other FIXED 9 1s KEY k {spec}"),
    ]);
    if name == "RL.TOKENBUCKET" {
        calls.extend(["", " 0", " 5", " -1"].map(|quantity| format!("CL.THROTTLE k 9 1 1{quantity}")));
    }
    calls
}

/// `error` as it answers `call`: in a call of limits, the one on `k` is named.
fn in_call(call: &str, error: &str) -> String {
    if !call.starts_with("RL.ALL") && !call.starts_with("RL.PEEK") {
        return error.into();
    }
    let (before, after) = call.split_once("k ").unwrap_or_else(|| panic!("{call}"));
    let number = if before.contains("other ") { 2 } else { 1 };
    let algorithm = after.split(' ').next().unwrap();
    let (code, text) = error.split_once(' ').unwrap();
    format!("{code} limit {number} ({algorithm}): {text}")
}

/// Asserts that `command` is refused on `k`, however it is called, and changes nothing.
#[track_caller]
fn refuses(server: &Server, command: &str, error: &str) {
    let before = State::of(server);
    for call in all_calls(command) {
        assert_eq!(server.ask_error(&call), in_call(&call, error), "{call}");
    }
    assert_eq!(State::of(server), before, "{command} changed something");
}

#[test]
fn a_key_of_another_type_is_the_wrong_type() {
    let server = frozen();
    for set_up in [
        "SET k 1",
        "SET k ''",
        "SETBIT k 7 1",
        "PFADD k x",
        "RPUSH k x",
        "SADD k x",
        "SADD k 1",
        "XADD k * a b",
        "GEOADD k 1 1 x",
        "ZADD k 1763902020000000 1",
        "HSET k f v",
        "HSET k fw:1000 1@1763902021000000",
    ] {
        for expiry in ["PERSIST k", "PEXPIREAT k 1764902020000"] {
            server.ask_value("DEL k");
            server.ask_value(set_up);
            server.ask_value(expiry);
            let holds_hash = set_up.starts_with("HSET");
            let holds_sorted_set = set_up.starts_with("ZADD") || set_up.starts_with("GEOADD");
            if !holds_hash {
                let error = WRONG_TYPE.to_owned() + if holds_sorted_set { NO_LOG } else { "" };
                IN_HASH.iter().for_each(|command| refuses(&server, command, &error));
            }
            if !holds_sorted_set {
                refuses(&server, LOG, &(WRONG_TYPE.to_owned() + if holds_hash { NO_HASH } else { "" }));
            }
        }
    }
}

#[test]
fn other_peoples_hashes_are_refused_and_left_alone() {
    let server = frozen();
    let big: String = (0..2000).map(|n| format!(" field:{n} value")).collect();
    let long = format!("HSET k name {}", "x".repeat(10_000));
    for set_up in [
        "HSET k name value",
        "HSET k '' ''",
        "HSET k 1 1 2 2 3 3",
        // Almost ours.
        "HSET k tb 1@1763902020000000",
        "HSET k tb: 1@1763902020000000",
        "HSET k tb:1s 1@1763902020000000",
        "HSET k tb:-1 1@1763902020000000",
        "HSET k tb::1000 1@1763902020000000",
        "HSET k TB:1000 1@1763902020000000",
        "HSET k tbb:1000 1@1763902020000000",
        "HSET k :1000 1@1763902020000000",
        "HSET k xx:1000 1@1763902020000000",
        // Months are aligned windows'.
        "HSET k tb:1mo 1@1763902020000000",
        "HSET k fw:1mo 1@1763902020000000",
        "HSET k fa:mo 1@1763902020000000",
        "HSET k fa:1m 1@1763902020000000",
        "HSET k fa:1mo1 1@1763902020000000",
        "HSET k fa:1momo 1@1763902020000000",
        "HSET k fa:1mo.n 1@1763902020000000",
        "HSET k fa:1mon 1@1763902020000000",
        "HSET k tokens 10 ts 1763902020",
        &long,
        &format!("HSET k{big}"),
    ] {
        for expiry in ["PERSIST k", "PEXPIREAT k 1764902020000"] {
            server.ask_value("DEL k");
            server.ask_value(set_up);
            server.ask_value(expiry);
            IN_HASH.iter().for_each(|command| refuses(&server, command, OTHER_DATA));
        }
    }
    assert_eq!(server.text(&["OBJECT", "ENCODING", "k"]), "hashtable");
    assert_eq!(server.ask_int("HLEN k"), 2000);
}

#[test]
fn a_hash_of_limiters_takes_more_of_them() {
    let server = frozen();
    // One field of ours tells, whatever its value: that one is looked at when it is asked for.
    for field in ["tb:1000", "lb:60000:a", "fw:1", "fa:316224000000", "sc:5:x.y", "fa:1mo", "fa:120mo:x.y"] {
        server.ask_value("DEL k");
        server.ask_value(&format!("HSET k {field} nonsense"));
        assert_eq!(server.ask("RL.FIXED k 10 1m")[6], 1, "{field}");
        assert_eq!(server.ask_int("HLEN k"), 2, "{field}");
        assert_eq!(server.text(&["HGET", "k", field]), "nonsense");
    }
}

#[test]
fn other_peoples_sorted_sets_are_refused_and_left_alone() {
    let server = frozen();
    let big: String = (0..2000).map(|n| format!(" {n} member:{n}")).collect();
    let big_times: String =
        (0..2000).map(|n| format!(" {} request:{n}", 1_763_902_019_000_000_i64 + n)).collect();
    for (set_up, encoding) in [
        ("ZADD k 1 a", "listpack"),
        ("ZADD k 100 alice 200 bob -inf nobody", "listpack"),
        // Members like ours, scores that are not: counts, seconds, milliseconds, none.
        ("ZADD k 1 1 2 2 3 3", "listpack"),
        ("ZADD k 1763902020 1", "listpack"),
        ("ZADD k 1763902020000 1", "listpack"),
        ("ZADD k 999999999999999 1", "listpack"),
        ("ZADD k -1763902020000000 1", "listpack"),
        ("ZADD k -inf 1", "listpack"),
        ("ZADD k 0 ''", "listpack"),
        // Scores like ours, members that are not.
        ("ZADD k 1763902020000000 request-1", "listpack"),
        ("ZADD k 1763902020000000 ''", "listpack"),
        ("ZADD k 1763902020000000 -1", "listpack"),
        ("ZADD k 1763902020000000 1.5", "listpack"),
        ("ZADD k 1763902020000000 1:", "listpack"),
        ("ZADD k 1763902020000000 :1", "listpack"),
        ("ZADD k 1763902020000000 5:0", "listpack"),
        ("ZADD k 1763902020000000 5:-1", "listpack"),
        ("ZADD k 1763902020000000 5:1:1", "listpack"),
        ("ZADD k 1763902020000000 5:x", "listpack"),
        ("ZADD k 1763902020000000 5:4000000000001", "listpack"),
        ("ZADD k 1763902020000000 1000000000000000000", "listpack"),
        ("ZADD k 1763902020000000 1763902020000000-1", "listpack"),
        ("ZADD k inf x", "listpack"),
        // The newest member tells; one that is read besides must be ours too.
        ("ZADD k 1763902019500000 1 1763902020000000 x", "listpack"),
        ("ZADD k 1763902019500000 x 1763902020000000 1", "listpack"),
        (&format!("ZADD k{big}"), "skiplist"),
        (&format!("ZADD k{big_times}"), "skiplist"),
    ] {
        for expiry in ["PERSIST k", "PEXPIREAT k 1764902020000"] {
            server.ask_value("DEL k");
            let call: Vec<&str> =
                words(set_up).into_iter().map(|word| if word == "''" { "" } else { word }).collect();
            server.call(&call).unwrap();
            server.ask_value(expiry);
            refuses(&server, LOG, OTHER_DATA);
            assert_eq!(server.text(&["OBJECT", "ENCODING", "k"]), encoding);
        }
    }
}

const MOST: &str = "4000000000000";

#[test]
fn a_field_that_does_not_parse_is_named_and_left_alone() {
    let server = frozen();
    let time = START.to_string();
    // In each, `T` is a good time.
    let any = [
        "",
        "@",
        "x",
        "1",
        "T",
        "@T",
        "1@",
        "x@T",
        "1@x",
        "-1@T",
        "+1@T",
        "1@-T",
        "1@+T",
        " 1@T",
        "1 @T",
        "1@ T",
        "1@T ",
        "1@T@T",
        "1@@T",
        "1e3@T",
        "0x1@T",
        "1@1e15",
        "1:T",
        "inf@T",
        "nan@T",
        "4000000000001@T",
        "9223372036854775808@T",
        "1@9223372036854775807",
        "1@1000000000000000000",
        "1@99999999999999999999999999999999999999999999999999999999999999999999999999999999",
        "\u{661}@T",
        "1@T\n",
    ];
    let buckets = [
        ".@T",
        ".5@T",
        "1.@T",
        "1.0000000@T",
        "1.1234567@T",
        "1.2.3@T",
        "1.-5@T",
        "1.x@T",
        "1,5@T",
        "1,1@T",
        "4000000000000.000001@T",
        "9223372036854.775808@T",
        "999999999999999999@T",
        "-0@T",
    ];
    let windows = ["1.0@T", "1.5@T", "1,1@T", "9999999999999@T"];
    let counters = [
        "1@T",
        "1,@T",
        ",1@T",
        ",@T",
        "1,1,1@T",
        "1.5,1@T",
        "1,1.5@T",
        "-1,1@T",
        "1,-1@T",
        "1, 1@T",
        "1,x@T",
        "4000000000001,0@T",
        "0,4000000000001@T",
        "1,1",
        "1,1@",
        "1,1@x",
    ];
    for (command, field, more) in [
        (IN_HASH[0], "tb:1000", &buckets[..]),
        (IN_HASH[1], "lb:1000", &buckets),
        (IN_HASH[2], "fw:1000", &windows),
        (IN_HASH[3], "fa:1000", &windows),
        (IN_HASH[4], "fa:1mo", &windows),
        (IN_HASH[5], "sc:1000", &counters),
        ("RL.TOKENBUCKET k 10 1 1s AS a.b", "tb:1000:a.b", &buckets),
    ] {
        for value in any.iter().chain(more) {
            server.ask_value("DEL k other");
            server.call(&["HSET", "k", field, &value.replace('T', &time)]).unwrap();
            server.ask_value("HSET other fw:5000 1@1763902021000000");
            let before = State::of(&server);
            let error = format!("ERR field '{field}' holds other data");
            for call in
                all_calls(command).iter().filter(|call| !call.starts_with("CL.") || field == "tb:1000")
            {
                assert_eq!(server.ask_error(call), in_call(call, &error), "{call} on {value:?}");
            }
            assert_eq!(State::of(&server), before, "{command} on {value:?}");
        }
    }
}

#[test]
fn a_field_that_parses_is_taken_as_it_is() {
    let server = frozen();
    let time = START.to_string();
    for (field, value, call, used) in [
        ("tb:1000", format!("{MOST}@{time}"), "RL.TOKENBUCKET k 1 1 1s COST 0", 4_000_000_000_000),
        ("tb:1000", format!("{MOST}.000000@{time}"), "RL.TOKENBUCKET k 1 1 1s COST 0", 4_000_000_000_000),
        ("tb:1000", format!("0.000001@{time}"), "RL.TOKENBUCKET k 1 1 1s COST 0", 1),
        ("tb:1000", format!("007.50@{time}"), "RL.TOKENBUCKET k 1 1 1s COST 0", 8),
        ("tb:1000", "5@0".to_owned(), "RL.TOKENBUCKET k 1 1 1s COST 0", 0),
        ("tb:1000", "5@999999999999999999".to_owned(), "RL.TOKENBUCKET k 1 1 1s COST 0", 5),
        ("lb:1000", format!("{MOST}@{time}"), "RL.LEAKYBUCKET k 1 1 1s COST 0", 4_000_000_000_000),
        ("fw:1000", format!("{MOST}@{}", START + 1), "RL.FIXED k 1 1s COST 0", 4_000_000_000_000),
        ("fw:1000", format!("5@{time}"), "RL.FIXED k 1 1s COST 0", 0),
        ("fw:1000", "5@999999999999999999".to_owned(), "RL.FIXED k 1 1s COST 0", 5),
        ("fw:1000", format!("0@{}", START + 1), "RL.FIXED k 1 1s COST 0", 0),
        ("sc:1000", format!("{MOST},{MOST}@{time}"), "RL.SLIDINGCOUNTER k 1 1s COST 0", 8_000_000_000_000),
        ("sc:1000", "5,5@0".to_owned(), "RL.SLIDINGCOUNTER k 1 1s COST 0", 0),
        ("sc:1000", "5,5@999999999999999999".to_owned(), "RL.SLIDINGCOUNTER k 1 1s COST 0", 10),
    ] {
        server.ask_value("DEL k");
        server.call(&["HSET", "k", field, &value]).unwrap();
        assert_eq!(server.ask(call)[6], used, "{field} {value}");
    }
    // No call is hurt by such a state, however it is charged.
    for (field, command) in ["tb:1000", "lb:1000", "fw:1000", "fa:1000", "sc:1000"].iter().zip(IN_HASH) {
        for time in ["0", "1", &time, "999999999999999999"] {
            for call in all_calls(command) {
                server.ask_value("DEL k other");
                let counts = if *field == "sc:1000" { format!("{MOST},{MOST}") } else { MOST.to_owned() };
                server.call(&["HSET", "k", field, &format!("{counts}@{time}")]).unwrap();
                // An error is possible: a debt has an end.
                let _ = server.call(&words(&call));
            }
        }
    }
    assert_eq!(server.text(&["PING"]), "PONG");
}

#[test]
fn a_log_with_members_of_others_is_refused_where_they_are_read() {
    let server = frozen();
    let log = |middle: &str| {
        server.ask_value("DEL k");
        let at = |us: i64| (START - 1000 + us).to_string();
        let call = ["ZADD", "k", &at(0), "1", &at(1), middle, &at(2), "3", &at(3), "4"];
        server.call(&call).unwrap();
    };
    log("2");
    assert_eq!(server.ask("RL.SLIDINGLOG k 10 1s COST 0")[6], 4);
    log("x");
    // Charging reads both ends of the window.
    assert_eq!(server.ask("RL.SLIDINGLOG k 10 1s COST 0")[6], 4);
    assert_eq!(server.ask("RL.SLIDINGLOG k 10 1s")[6], 5);
    assert_eq!(server.ask_int("ZCARD k"), 5);
}

#[test]
fn a_refund_that_meets_a_member_of_others_is_refused_and_changes_nothing() {
    let server = frozen();
    let at = |us: i64| (START - 1000 + us).to_string();
    server.call(&["ZADD", "k", &at(0), "1", &at(1), "x", &at(2), "3", &at(3), "4"]).unwrap();
    let before = State::of(&server);
    assert_eq!(server.ask_error("RL.SLIDINGLOG k 10 1s COST -2"), OTHER_DATA);
    assert_eq!(State::of(&server), before);
}
