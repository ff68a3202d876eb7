//! Every key is declared: servers, ACLs and cluster clients see each of them, wherever it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::{Connection, RedisResult, Value};

use crate::support::{Cluster, START, Server, State, comparable, frozen, send, several, words};

/// A call of each command, on keys `{}`, `{}1` and so on.
const CALLS: [&str; 11] = [
    "RL.TOKENBUCKET {} 10 10 1s",
    "RL.LEAKYBUCKET {} 10 10 1s COST 2 AS AS",
    "RL.FIXED {} 10 1s ALIGN OFFSET 1ms FORCE",
    "RL.SLIDINGCOUNTER {} 10 1s PARTIAL",
    "RL.SLIDINGLOG {}1 10 1s",
    "CL.THROTTLE {} 9 10 1",
    "CL.THROTTLE {} 9 10 1 0",
    "RL.ALL {} FIXED 10 1s TOKENBUCKET 10 1 1s AS FIXED FIXED 10 1h",
    "RL.ALL {}1 SLIDINGLOG 10 1s KEY {} FIXED 10 1m FIXED 10 1h KEY {}2 LEAKYBUCKET 10 10 1s COST 3",
    "RL.PEEK {} FIXED 10 1s",
    "RL.PEEK {}1 SLIDINGLOG 10 1s KEY {} FIXED 10 1m KEY {}2 LEAKYBUCKET 10 10 1s COST 3",
];

fn on(call: &str, key: &str) -> String {
    call.replace("{}", key)
}

/// The error's code and text.
#[track_caller]
fn error(result: RedisResult<Value>) -> String {
    let error = result.unwrap_err();
    format!("{} {}", error.code().unwrap(), error.detail().unwrap_or_default())
}

// COMMAND GETKEYS.

/// The keys that the server tells of a call, each once: whether it tells one twice that comes back does not matter.
fn getkeys(server: &Server, line: &str) -> Vec<String> {
    let mut told = BTreeSet::new();
    let keys = server.ask_texts(&format!("COMMAND GETKEYS {line}"));
    keys.into_iter().filter(|key| told.insert(key.clone())).collect()
}

/// Those of a call's keys that the server knows: where it does not ask commands for them, the first alone.
fn told<'a>(server: &Server, keys: &[&'a str]) -> Vec<&'a str> {
    if server.has().asks_for_keys { keys.to_vec() } else { vec![keys[0]] }
}

#[test]
fn the_server_tells_every_key_of_a_call() {
    let server = frozen();
    for (line, keys) in [
        ("RL.TOKENBUCKET a 10 10 1s", "a"),
        ("RL.LEAKYBUCKET KEY 10 10 1s AS AS", "KEY"),
        ("RL.FIXED a 10 1s ALIGN OFFSET 1ms AS b", "a"),
        ("RL.SLIDINGCOUNTER KEY 10 1s COST 3", "KEY"),
        ("RL.SLIDINGLOG a 10 1s", "a"),
        ("CL.THROTTLE a 15 30 60 1", "a"),
        ("RL.ALL a FIXED 10 1s", "a"),
        ("RL.ALL a FIXED 10 1s FIXED 10 1m AS x KEY b SLIDINGLOG 10 1s COST 2 KEY c FIXED 1 1s", "a b c"),
        ("rl.all a fixed 10 1s key b fixed 10 1s Key c fixed 1 1s", "a b c"),
        ("RL.ALL a FIXED 10 1s KEY b FIXED 1 1s KEY a FIXED 1 1m", "a b"),
        // A key may be called KEY, and a key or a limit by other words of the grammar.
        ("RL.ALL KEY FIXED 10 1s", "KEY"),
        ("RL.ALL KEY FIXED 10 1s KEY KEY TOKENBUCKET 10 1 1s", "KEY"),
        ("RL.ALL a FIXED 10 1s AS FIXED", "a"),
        ("RL.ALL a FIXED 10 1s AS FIXED FIXED 10 1m KEY b FIXED 10 1s", "a b"),
        ("RL.ALL a FIXED 10 1s AS COST KEY KEY FIXED 10 1s AS COST", "a KEY"),
        ("RL.ALL a FIXED 10 1s as fixed KEY KEY FIXED 10 1s as AS", "a KEY"),
        ("RL.ALL AS FIXED 10 1s KEY b FIXED 10 1s", "AS b"),
        ("RL.ALL a FIXED 10 1s AS AS KEY b FIXED 10 1s", "a b"),
        ("RL.ALL a FIXED 10 1s KEY AS FIXED 10 1s AS AS KEY c FIXED 10 1s", "a AS c"),
        ("RL.ALL KEY FIXED 10 1s KEY AS FIXED 10 1s KEY FIXED FIXED 10 1s", "KEY AS FIXED"),
    ] {
        let keys = words(keys);
        assert_eq!(getkeys(&server, line), told(&server, &keys), "{line}");
        if line.starts_with("RL.ALL") {
            let peek = line.replacen("RL.ALL", "RL.PEEK", 1);
            assert_eq!(getkeys(&server, &peek), told(&server, &keys), "{peek}");
        }
        // They are the keys that the call touches.
        server.ask_value("FLUSHALL");
        server.ask_value(line);
        let touched: BTreeSet<String> = server.ask_texts("KEYS *").into_iter().collect();
        assert_eq!(touched, keys.into_iter().map(String::from).collect(), "{line}");
    }
}

/// Calls with blocks and overrides, and their keys: those of one limit are known to every server.
const GUARDED: [(&str, &str); 12] = [
    ("RL.TOKENBUCKET a 10 10 1s BLOCK b 1m", "a b"),
    ("RL.LEAKYBUCKET a 10 10 1s OVERRIDE o", "a o"),
    ("RL.FIXED a 10 1s ALIGN OFFSET 1ms block b 1m COST 3 override o AS x", "a b o"),
    ("RL.FIXED KEY 10 1s COST 3 Override AS Block COST 1m AS OFFSET", "KEY COST AS"),
    ("RL.SLIDINGCOUNTER a 10 1s OVERRIDE o FORCE BLOCK b 1m", "a b o"),
    ("RL.SLIDINGLOG l 10 1s BLOCK KEY 1m OVERRIDE FIXED", "l KEY FIXED"),
    ("RL.FIXED BLOCK 10 1s BLOCK b 1m", "BLOCK b"),
    ("RL.FIXED OVERRIDE 10 1s OVERRIDE o", "OVERRIDE o"),
    ("RL.ALL a FIXED 10 1s BLOCK b 1m", "a b"),
    (
        "RL.ALL a FIXED 10 1s BLOCK b 1m FIXED 10 1m OVERRIDE o BLOCK b 1m KEY c SLIDINGLOG 9 1s OVERRIDE o",
        "a b c o",
    ),
    ("RL.ALL a FIXED 10 1s OVERRIDE KEY KEY c FIXED 10 1s BLOCK AS 1m AS AS", "a AS KEY c"),
    ("RL.ALL BLOCK FIXED 10 1s BLOCK b 1m KEY OVERRIDE FIXED 9 1s OVERRIDE o", "BLOCK OVERRIDE b o"),
];

#[test]
fn the_server_tells_the_keys_of_blocks_and_overrides() {
    let server = frozen();
    for (line, keys) in GUARDED {
        server.ask_value("FLUSHALL");
        let mut expected: BTreeSet<&str> = words(keys).into_iter().collect();
        let mut lines = vec![line.to_owned()];
        if line.starts_with("RL.ALL") {
            lines.push(line.replacen("RL.ALL", "RL.PEEK", 1));
            if !server.has().asks_for_keys {
                expected = BTreeSet::from([words(line)[1]]);
            }
        }
        for line in lines {
            let told = getkeys(&server, &line);
            assert_eq!(told.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{line}");
        }
        assert!(server.call(&words(line)).is_ok(), "{line}");
    }
}

#[test]
fn the_server_tells_that_a_block_is_written_and_an_override_read() {
    let server = frozen();
    let flags_of = |line: &str| -> BTreeMap<String, String> {
        let keys = server.ask_value(&format!("COMMAND GETKEYSANDFLAGS {line}"));
        let keys: Vec<(String, BTreeSet<String>)> = redis::from_redis_value(keys).unwrap();
        keys.into_iter().map(|(key, flags)| (key, flags.into_iter().collect::<Vec<_>>().join(" "))).collect()
    };
    let expected = |keys: &[(&str, &str)]| -> BTreeMap<String, String> {
        keys.iter().map(|(key, flags)| (String::from(*key), String::from(*flags))).collect()
    };
    let (written, read) = ("RW access update", "RO access");
    for limit in
        ["TOKENBUCKET 9 9 1s", "LEAKYBUCKET 9 9 1s", "FIXED 9 1s", "SLIDINGCOUNTER 9 1s", "SLIDINGLOG 9 1s"]
    {
        let (name, rest) = limit.split_once(' ').unwrap();
        let line = format!("RL.{name} a {rest} OVERRIDE o BLOCK b 1m");
        assert_eq!(flags_of(&line), expected(&[("a", written), ("b", written), ("o", read)]), "{line}");
        if server.has().asks_for_keys {
            let line = format!("RL.ALL a {limit} OVERRIDE o BLOCK b 1m KEY c {limit}");
            let all = [("a", written), ("b", written), ("c", written), ("o", read)];
            assert_eq!(flags_of(&line), expected(&all), "{line}");
            let line = line.replacen("RL.ALL", "RL.PEEK", 1);
            assert_eq!(flags_of(&line), expected(&all.map(|(key, _)| (key, read))), "{line}");
        }
    }
}

#[test]
fn a_wrong_call_is_asked_for_its_keys_without_harm() {
    let server = frozen();
    for line in [
        "RL.ALL k FIXED 10 1s KEY",
        "RL.ALL k FIXED 10 1s AS",
        "RL.ALL k KEY KEY KEY KEY",
        "RL.ALL KEY KEY KEY KEY KEY",
        "RL.ALL k AS AS AS AS AS",
        "RL.PEEK k nonsense KEY AS KEY j",
        "RL.ALL k FIXED 10 1s AS KEY KEY j",
        "RL.FIXED k 10 1s BLOCK",
        "RL.FIXED k 10 1s BLOCK b",
        "RL.FIXED k 10 1s BLOCK b 60 OVERRIDE",
        "RL.FIXED k BLOCK BLOCK BLOCK BLOCK",
        "RL.FIXED k 10 1s AS BLOCK OVERRIDE OVERRIDE",
        "RL.FIXED k 10 1s BLOCK k 1m OVERRIDE k",
        "RL.TOKENBUCKET BLOCK OVERRIDE BLOCK OVERRIDE BLOCK",
        "RL.ALL k BLOCK OVERRIDE KEY",
        "RL.ALL k FIXED 10 1s OVERRIDE OVERRIDE",
        "RL.PEEK k FIXED 10 1s BLOCK b KEY BLOCK",
    ] {
        assert_eq!(getkeys(&server, line)[0], words(line)[1], "{line}");
    }
    // More limits than a call takes.
    let keys: Vec<String> = (0..1000).map(|number| format!("k{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let line = format!("RL.ALL {}", keys.join(" FIXED 1 1s KEY "));
    assert_eq!(getkeys(&server, &line), told(&server, &keys));
    assert!(server.call(&words("COMMAND GETKEYS RL.ALL k")).is_err());
}

#[test]
fn the_server_tells_what_each_key_is_opened_for() {
    let server = frozen();
    for call in CALLS {
        let line = on(call, "k");
        let flags = if line.starts_with("RL.PEEK") { "RO access" } else { "RW access update" };
        let expected: BTreeSet<String> = words(flags).into_iter().map(String::from).collect();
        let keys = server.ask_value(&format!("COMMAND GETKEYSANDFLAGS {line}"));
        let keys: Vec<(String, BTreeSet<String>)> = redis::from_redis_value(keys).unwrap();
        assert!(keys.len() >= getkeys(&server, &line).len(), "{line}");
        for (key, flags) in keys {
            assert_eq!(flags, expected, "{line}: {key}");
        }
    }
}

#[test]
fn as_many_keys_as_a_call_takes_are_told() {
    let server = frozen();
    let keys: Vec<String> = (0..64).map(|number| format!("k{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let limits = format!("{} FIXED 10 1s", keys.join(" FIXED 10 1s KEY "));
    for command in ["RL.ALL", "RL.PEEK"] {
        let line = format!("{command} {limits}");
        assert_eq!(getkeys(&server, &line), told(&server, &keys));
        assert_eq!(server.ask_several(&line).limits.len(), 64);
    }
    // Each with a block and an override.
    server.ask_value("FLUSHALL");
    let limits = |limit: &str| -> String {
        let guarded = |n| format!("k{n} FIXED {limit} 10s BLOCK b{n} 1m OVERRIDE o{n}");
        (0..64).map(guarded).collect::<Vec<_>>().join(" KEY ")
    };
    for command in ["RL.ALL", "RL.PEEK"] {
        let line = format!("{command} {}", limits("1"));
        assert_eq!(getkeys(&server, &line).len(), if server.has().asks_for_keys { 192 } else { 1 });
        assert_eq!(server.ask_guarded(&line).limits.len(), 64);
    }
    assert_eq!(server.ask_guarded(&format!("RL.ALL {}", limits("1"))).limits[63][7], 2);
    assert_eq!(server.ask_int("EXISTS b0 b1 b31 b62 b63"), 5);
    assert_eq!(server.ask_int("DBSIZE"), 128);
}

#[test]
fn every_call_that_is_taken_declares_just_the_keys_it_touches() {
    let server = frozen();
    let mut rng = StdRng::seed_from_u64(3);
    let mut pick = |from: &[&str]| from[rng.random_range(0..from.len())].to_string();
    // Words of the grammar as keys and names; every limit is charged, so that its key shows.
    let keys = ["KEY", "AS", "FIXED", "COST", "key", "a"];
    let names = ["AS", "FIXED", "COST", "a"];
    let mut taken = 0;
    for _ in 0..600 {
        let mut line = format!("RL.ALL {}", pick(&keys));
        for seconds in 1..6 {
            // Now and then a KEY or an AS where none can stand.
            match pick(&["limit", "limit", "limit", "limit", "key", "key", "as", "log"]).as_str() {
                "key" => line += &format!(" KEY {} FIXED 10 {seconds}s", pick(&keys)),
                "as" => line += &format!(" AS {}", pick(&names)),
                "log" => line += &format!(" KEY log{seconds} SLIDINGLOG 10 1s"),
                _ => line += &format!(" FIXED 10 {seconds}s"),
            }
            line += &pick(&["", "", " COST 2", " ALIGN", " FORCE", " AS COST", " AS AS", " as a", " KEY"]);
        }
        if server.call(&words(&line)).is_ok() {
            taken += 1;
            let told: BTreeSet<String> = getkeys(&server, &line).into_iter().collect();
            let touched: BTreeSet<String> = server.ask_texts("KEYS *").into_iter().collect();
            if server.has().asks_for_keys {
                assert_eq!(told, touched, "{line}");
            } else {
                assert!(told.len() == 1 && told.is_subset(&touched), "{line}: {told:?}");
            }
        }
        server.ask_value("FLUSHALL");
    }
    assert!(taken > 40, "{taken} of 600 taken: the test shows little");
}

// ACLs.

/// A connection of a user with these rules besides all commands.
fn user(server: &Server, name: &str, rules: &str) -> Connection {
    server.ask_value(&format!("ACL SETUSER {name} on nopass +@all {rules}"));
    let mut connection = server.connection();
    send(&mut connection, &format!("AUTH {name} any")).unwrap();
    connection
}

#[test]
fn a_selector_that_allows_another_command_on_a_key_does_not_allow_ours() {
    let server = frozen();
    let ours = "+rl.all +rl.peek +rl.fixed";
    for (name, rules) in [
        ("beside", format!("{ours} ~a* (+ping ~b*)")),
        ("before", format!("+get ~b* ({ours} ~a*)")),
        ("without", format!("+@all -rl.all -rl.peek -rl.fixed ~* ({ours} ~a*)")),
        ("to read", format!("{ours} ~a* (+get %R~b*)")),
    ] {
        let mut words: Vec<&str> = vec!["ACL", "SETUSER", "selected", "reset", "on", "nopass"];
        // A selector is one word.
        let (before, selector) = rules.split_once('(').unwrap();
        words.extend(before.split_whitespace());
        let selector = format!("({selector}");
        words.push(&selector);
        server.call(&words).unwrap();
        let mut selected = server.connection();
        redis::cmd("AUTH").arg(&["selected", ""]).exec(&mut selected).unwrap();
        assert!(send(&mut selected, "RL.ALL a1 FIXED 5 10s KEY a2 FIXED 5 10s").is_ok(), "{name}");
        for line in [
            "RL.FIXED b1 5 10s",
            "RL.ALL a1 FIXED 5 10s KEY b1 FIXED 5 10s",
            "RL.ALL a1 FIXED 5 10s COST 0 KEY a2 FIXED 5 10s KEY b1 FIXED 5 10s COST -5",
            "RL.PEEK a1 FIXED 5 10s KEY b1 FIXED 5 10s",
        ] {
            assert!(error(send(&mut selected, line)).starts_with("NOPERM "), "{name}: {line}");
        }
    }
    assert_eq!(server.ask_int("EXISTS b1"), 0);
    // A denied key is in the log of the ACL, whoever denied it.
    server.ask_value("ACL LOG RESET");
    let mut alice = user(&server, "alice", "~a:*");
    assert!(send(&mut alice, "RL.ALL a:1 FIXED 10 1s KEY b:1 FIXED 10 1s").is_err());
    assert!(
        format!("{:?}", server.ask_value("ACL LOG")).contains("key"),
        "{:?}",
        server.ask_value("ACL LOG")
    );
}

#[test]
fn a_user_calls_on_their_own_keys_only() {
    let server = frozen();
    let mut alice = user(&server, "alice", "~a:*");
    for call in CALLS {
        let line = on(call, "a:1");
        assert!(send(&mut alice, &line).is_ok(), "{line}");
        let line = on(call, "b:1");
        assert!(error(send(&mut alice, &line)).starts_with("NOPERM "), "{line}");
    }
    server.ask_value("FLUSHALL");
    for line in [
        "RL.FIXED b:1 10 1h AS a:1",
        "RL.ALL a:1 FIXED 10 1s KEY b:1 FIXED 10 1s",
        "RL.ALL b:1 FIXED 10 1s KEY a:1 FIXED 10 1s",
        "RL.ALL a:1 FIXED 10 1s KEY a:2 SLIDINGLOG 10 1s KEY a:3 FIXED 10 1s KEY b:1 FIXED 10 1s",
        "RL.ALL a:1 FIXED 10 1s AS FIXED KEY b:1 FIXED 10 1s",
        "RL.ALL a:1 FIXED 10 1s AS AS KEY b:1 FIXED 10 1s",
        "RL.ALL a:1 FIXED 10 1s AS a.2 KEY b:1 FIXED 10 1s",
        "RL.ALL a:1 FIXED 10 1s KEY a:AS FIXED 10 1s key b:1 FIXED 10 1s",
        "RL.PEEK a:1 FIXED 10 1s KEY b:1 FIXED 10 1s",
        "RL.PEEK a:1 FIXED 10 1s AS AS FIXED 10 1m KEY b:1 FIXED 10 1s",
    ] {
        assert!(error(send(&mut alice, line)).starts_with("NOPERM "), "{line}");
    }
    assert_eq!(server.ask_int("DBSIZE"), 0);
    // What only looks like a key of somebody else's.
    for line in [
        "RL.ALL a:1 FIXED 10 1s AS b.1 FIXED 10 1m",
        "RL.ALL a:1 FIXED 10 1s AS AS TOKENBUCKET 10 1 1s KEY a:2 FIXED 10 1s AS b.1",
        "RL.PEEK a:1 FIXED 10 1s AS b.1 FIXED 10 1m",
    ] {
        assert!(send(&mut alice, line).is_ok(), "{line}");
    }
}

#[test]
fn whoever_may_only_read_may_only_peek() {
    let server = frozen();
    let mut reader = user(&server, "reader", "%R~r:* ~a:*");
    let mut writer = user(&server, "writer", "%W~w:*");
    for call in CALLS {
        let peeks = call.starts_with("RL.PEEK");
        let line = on(call, "r:1");
        let result = send(&mut reader, &line);
        assert_eq!(result.is_ok(), peeks, "{line}: {result:?}");
        // To charge is to read, too: whoever may not is not told what is used.
        let line = on(call, "w:1");
        assert!(error(send(&mut writer, &line)).starts_with("NOPERM "), "{line}");
    }
    for (line, allowed) in [
        ("RL.PEEK a:1 FIXED 10 1s KEY r:1 FIXED 10 1s", true),
        ("RL.ALL a:1 FIXED 10 1s KEY a:2 FIXED 10 1s", true),
        ("RL.FIXED r:1 10 1s COST 0", false),
        ("RL.ALL a:1 FIXED 10 1s KEY r:1 FIXED 10 1s", false),
        ("RL.ALL a:1 FIXED 10 1s KEY r:1 FIXED 10 1s COST 0", false),
        ("RL.PEEK r:1 FIXED 10 1s KEY w:1 FIXED 10 1s", false),
    ] {
        let result = send(&mut reader, line);
        assert_eq!(result.is_ok(), allowed, "{line}");
        assert!(allowed || error(result).starts_with("NOPERM "), "{line}");
    }
}

#[test]
fn a_block_must_be_writable_and_an_override_readable() {
    let server = frozen();
    // Nobody else's keys: `a:` is the user's, `r:` to read, `w:` to write.
    let mut alice = user(&server, "alice", "~a:* %R~r:* %W~w:*");
    server.ask_value("SET a:o 5");
    server.ask_value("SET r:o 5");
    server.ask_value("SET w:o 5");
    server.ask_value("SET z:o 5");
    server.ask("RL.FIXED a:full 1 1h");
    server.ask("RL.SLIDINGLOG a:log 1 1h");
    let before = State::of(&server);
    let mut line_is = |line: &str, allowed: bool| {
        let reply = send(&mut alice, line);
        if allowed {
            assert!(reply.is_ok(), "{line}: {reply:?}");
        } else {
            assert!(error(reply).starts_with("NOPERM "), "{line}");
            assert_eq!(State::of(&server), before, "{line}");
        }
    };
    // What charges reads and writes its block, and reads its override.
    for (key, allowed) in [("z:o", false), ("w:o", false), ("r:o", true), ("a:o", true)] {
        for options in ["COST 0", "COST 9", "COST 0 FORCE"] {
            line_is(&format!("RL.FIXED a:full 1 1h {options} OVERRIDE {key}"), allowed);
            line_is(&format!("RL.ALL a:full FIXED 1 1h {options} OVERRIDE {key}"), allowed);
            line_is(
                &format!(
                    "RL.ALL a:log SLIDINGLOG 1 1h COST 0 KEY a:full FIXED 1 1h {options} OVERRIDE {key}"
                ),
                allowed,
            );
        }
    }
    for (key, allowed) in [("z:b", false), ("w:b", false), ("r:b", false), ("a:b", true)] {
        for options in ["COST 0", "", "FORCE"] {
            if !allowed || options == "COST 0" {
                line_is(&format!("RL.FIXED a:full 1 1h {options} BLOCK {key} 1m"), allowed);
                line_is(&format!("RL.ALL a:full FIXED 1 1h {options} BLOCK {key} 1m"), allowed);
                line_is(
                    &format!(
                        "RL.ALL a:log SLIDINGLOG 1 1h COST 0 KEY a:full FIXED 1 1h {options} BLOCK {key} 1m"
                    ),
                    allowed,
                );
                line_is(&format!("RL.SLIDINGLOG a:log 1 1h {options} OVERRIDE r:o BLOCK {key} 1m"), allowed);
            }
        }
    }
    // What peeks reads all of them.
    for (key, allowed) in [("z:k", false), ("w:k", false), ("r:k", true), ("a:k", true)] {
        for line in [
            format!("RL.PEEK r:full FIXED 1 1h OVERRIDE {key}"),
            format!("RL.PEEK r:full FIXED 1 1h BLOCK {key} 1m"),
            format!("RL.PEEK a:full FIXED 1 1h KEY r:2 FIXED 1 1h BLOCK {key} 1m OVERRIDE r:o"),
        ] {
            line_is(&line, allowed);
        }
    }
    // Words that only look like keys of others.
    line_is("RL.FIXED a:full 1 1h COST 0 AS z.b", true);
}

#[test]
fn a_selector_that_allows_another_command_on_a_block_does_not_allow_ours() {
    let server = frozen();
    let ours = "+rl.all +rl.peek +rl.fixed";
    for (name, rules) in
        [("beside", format!("{ours} ~a* (+ping ~b*)")), ("before", format!("+set ~b* ({ours} ~a*)"))]
    {
        let mut words: Vec<&str> = vec!["ACL", "SETUSER", "selected", "reset", "on", "nopass"];
        let (before, selector) = rules.split_once('(').unwrap();
        words.extend(before.split_whitespace());
        let selector = format!("({selector}");
        words.push(&selector);
        server.call(&words).unwrap();
        let mut selected = server.connection();
        redis::cmd("AUTH").arg(&["selected", ""]).exec(&mut selected).unwrap();
        assert!(send(&mut selected, "RL.ALL a1 FIXED 5 1h BLOCK a2 1m OVERRIDE a3").is_ok(), "{name}");
        assert!(send(&mut selected, "RL.FIXED a1 5 1h BLOCK a2 1m OVERRIDE a3").is_ok(), "{name}");
        for line in [
            "RL.FIXED a1 1 1h BLOCK b1 1m",
            "RL.FIXED a1 1 1h OVERRIDE b1",
            "RL.ALL a1 FIXED 1 1h BLOCK b1 1m",
            "RL.ALL a1 FIXED 1 1h OVERRIDE b1",
            "RL.PEEK a1 FIXED 1 1h BLOCK b1 1m",
            "RL.PEEK a1 FIXED 1 1h OVERRIDE b1",
        ] {
            let reply = send(&mut selected, line);
            if !server.has().asks_for_keys && line.starts_with("RL.ALL") && line.contains("OVERRIDE") {
                // There the module judges, and can only ask whether the key may be read, by whatever command.
                assert!(reply.is_ok(), "{name}: {line}: {reply:?}");
                continue;
            }
            assert!(error(reply).starts_with("NOPERM "), "{name}: {line}");
        }
    }
    assert_eq!(server.ask_int("EXISTS b1"), 0);
}

// Clusters.

/// Calls of blocks and overrides in the slot of `{}`.
const GUARDED_IN_SLOT: [&str; 5] = [
    "RL.TOKENBUCKET {} 10 10 1s BLOCK {}b 1m OVERRIDE {}o",
    "RL.FIXED {} 10 1s OVERRIDE {}o",
    "RL.SLIDINGLOG {}1 10 1s BLOCK {}b 1m",
    "RL.ALL {} FIXED 10 1m BLOCK {}b 1m OVERRIDE {}o KEY {}2 LEAKYBUCKET 10 10 1s COST 3",
    "RL.PEEK {} FIXED 10 1m BLOCK {}b 1m OVERRIDE {}o",
];

#[test]
fn a_cluster_routes_calls_with_blocks_and_overrides() {
    let cluster = Cluster::start(2, 0);
    cluster.clock.freeze(START);
    let mut client = cluster.client().get_connection().unwrap();
    for key in ["{x}", "{y}", "{z}", "{u}"] {
        let holder = cluster.node_of(key);
        let moved = format!("MOVED {} 127.0.0.1:{}", cluster.slot_of(key), holder.port());
        for call in GUARDED_IN_SLOT {
            let line = on(call, key);
            for node in cluster.nodes.iter().filter(|node| node.port() != holder.port()) {
                assert_eq!(node.ask_error(&line), moved, "{line}");
            }
            holder.ask_value(&line);
            send(&mut client, &line).unwrap();
        }
    }
    // Keys of other slots, of this node and of the other.
    let node = cluster.node_of("{x}");
    let mut others = (0..).map(|number| format!("n{number}"));
    let near = others.find(|key| cluster.node_of(key).port() == node.port()).unwrap();
    let far = others.find(|key| cluster.node_of(key).port() != node.port()).unwrap();
    node.ask("RL.FIXED {x}full 1 1h");
    let before: Vec<State> = cluster.nodes.iter().map(State::of).collect();
    for other in [near, far] {
        for line in [
            format!("RL.FIXED {{x}}full 1 1h BLOCK {other} 1m"),
            format!("RL.FIXED {{x}}full 1 1h OVERRIDE {other}"),
            format!("RL.SLIDINGLOG {{x}}1 9 1h OVERRIDE {{x}}o BLOCK {other} 1m"),
            format!("RL.ALL {{x}}full FIXED 1 1h BLOCK {other} 1m"),
            format!("RL.ALL {{x}}full FIXED 1 1h OVERRIDE {other}"),
            format!("RL.ALL {{x}}full FIXED 1 1h BLOCK {{x}}b 1m KEY {{x}}2 FIXED 9 1m OVERRIDE {other}"),
            format!("RL.PEEK {{x}}full FIXED 1 1h BLOCK {other} 1m"),
            format!("RL.PEEK {{x}}full FIXED 1 1h OVERRIDE {other}"),
        ] {
            let error = node.ask_error(&line);
            assert!(error.starts_with("CROSSSLOT "), "{line}: {error}");
            for asked in &cluster.nodes {
                // Who knows the first key alone may send the caller on to its node.
                let error = asked.ask_error(&line);
                let has = asked.has();
                let several = line.starts_with("RL.ALL") || line.starts_with("RL.PEEK");
                let crossed = if several { has.asks_for_keys } else { has.routes_by_all_keys_of_one_limit };
                let moves = !crossed && asked.port() != node.port();
                assert!(error.starts_with(if moves { "MOVED " } else { "CROSSSLOT " }), "{line}: {error}");
            }
        }
    }
    assert_eq!(cluster.nodes.iter().map(State::of).collect::<Vec<_>>(), before);
    // The node is as it was: Valkey 9.1 refuses every script once a module's call was refused for its slots.
    let get = "return redis.call('EXISTS', KEYS[1])";
    assert_eq!(node.call(&["EVAL", get, "1", "{x}full"]).unwrap(), Value::Int(1));
    node.ask("RL.FIXED {x}full 9 1h BLOCK {x}b 1m OVERRIDE {x}o");
}

#[test]
fn a_server_that_does_not_tell_what_a_hash_holds_does_not_get_a_limiter_into_it() {
    let cluster = Cluster::start(1, 0);
    let node = &cluster.nodes[0];
    node.ask_value("HSET {x}others name Ann");
    // On Valkey 9.1 this makes the server refuse whatever a module or a script calls from then on.
    node.call(&["EVAL", "return redis.call('MGET', KEYS[1], ARGV[1])", "1", "{x}a", "{y}a"]).unwrap_err();
    let error = node.ask_error("RL.FIXED {x}others 9 1h");
    let told = "ERR key holds other data";
    assert!(error == told || error == "ERR the server did not tell what the key holds", "{error}");
    assert_eq!(node.ask_texts("HGETALL {x}others"), ["name", "Ann"]);
}

#[test]
fn a_moving_slot_that_parted_a_limiter_from_its_block_tells_to_come_again() {
    let cluster = Cluster::start(2, 0);
    cluster.clock.freeze(START);
    let (slot, from) = (cluster.slot_of("{x}"), cluster.node_of("{x}"));
    let to = cluster.nodes.iter().find(|node| node.port() != from.port()).unwrap();
    from.ask("RL.FIXED {x}here 1 10m");
    from.ask_value("SET {x}gone 50");
    let [from_id, to_id] = [from, to].map(|node| node.text(&["CLUSTER", "MYID"]));
    to.ask_value(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    from.ask_value(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    from.ask_value(&format!("MIGRATE 127.0.0.1 {} {{x}}gone 0 10000", to.port()));
    let before: Vec<String> = cluster.nodes.iter().map(Server::digest).collect();
    let mut importing = to.connection();
    for guard in
        ["BLOCK {x}gone 1m", "OVERRIDE {x}gone", "OVERRIDE {x}gone BLOCK {x}new 1m", "BLOCK {x}new 1m"]
    {
        for line in [
            format!("RL.FIXED {{x}}here 1 10m {guard}"),
            format!("RL.ALL {{x}}here FIXED 1 10m {guard}"),
            format!("RL.PEEK {{x}}here FIXED 1 10m {guard}"),
            format!("RL.ALL {{x}}here FIXED 1 10m AS n KEY {{x}}here FIXED 1 10m {guard}"),
        ] {
            let error_there = from.ask_error(&line);
            assert!(error_there.starts_with("TRYAGAIN "), "{line}: {error_there}");
            send(&mut importing, "ASKING").unwrap();
            let error_here = error(send(&mut importing, &line));
            assert!(error_here.starts_with("TRYAGAIN "), "{line}: {error_here}");
        }
    }
    assert_eq!(cluster.nodes.iter().map(Server::digest).collect::<Vec<_>>(), before);
}

#[test]
fn a_node_that_does_not_hold_the_slot_says_who_does() {
    let cluster = Cluster::start(2, 1);
    cluster.clock.freeze(START);
    for key in ["{x}", "{y}", "{z}", "{u}"] {
        let holder = cluster.node_of(key);
        let moved = format!("MOVED {} 127.0.0.1:{}", cluster.slot_of(key), holder.port());
        for call in CALLS {
            let line = on(call, key);
            for node in cluster.nodes.iter().filter(|node| node.port() != holder.port()) {
                assert_eq!(node.ask_error(&line), moved, "{line}");
            }
            holder.ask_value(&line);
        }
        // A replica answers RL.PEEK to a client that said READONLY.
        let replica = cluster.replicas_of(holder)[0];
        replica.catch_up(holder);
        let mut connection = replica.connection();
        send(&mut connection, "READONLY").unwrap();
        for call in CALLS {
            let line = on(call, key);
            let reply = send(&mut connection, &line);
            if call.starts_with("RL.PEEK") {
                assert_eq!(reply.unwrap(), holder.ask_value(&line));
            } else {
                assert_eq!(error(reply), moved, "{line}");
            }
        }
    }
}

#[test]
fn keys_of_several_slots_are_refused_whole() {
    let cluster = Cluster::start(2, 0);
    cluster.clock.freeze(START);
    let node = cluster.node_of("{x}");
    node.ask("RL.FIXED {x} 10 1m");
    // Slots of one node, and of two.
    let mut others = (0..).map(|number| format!("n{number}"));
    let near = others.find(|key| cluster.node_of(key).port() == node.port()).unwrap();
    let far = others.find(|key| cluster.node_of(key).port() != node.port()).unwrap();
    let before: Vec<State> = cluster.nodes.iter().map(State::of).collect();
    for other in [near, far] {
        for line in [
            format!("RL.ALL {{x}} FIXED 10 1s KEY {other} FIXED 10 1s"),
            format!("RL.ALL {{x}} FIXED 10 1s KEY {{x}}2 SLIDINGLOG 10 1s KEY {other} FIXED 10 1s"),
            format!("RL.ALL {{x}} FIXED 10 1s AS AS KEY {other} FIXED 10 1s"),
            format!("RL.PEEK {{x}} FIXED 10 1s KEY {{x}}2 FIXED 9 1m KEY {other} FIXED 10 1s"),
        ] {
            for asked in &cluster.nodes {
                let error = asked.ask_error(&line);
                // Who knows the first key alone sends the caller on to its node.
                let crossed = asked.has().asks_for_keys || asked.port() == node.port();
                assert!(error.starts_with(if crossed { "CROSSSLOT " } else { "MOVED " }), "{line}: {error}");
            }
        }
    }
    assert_eq!(cluster.nodes.iter().map(State::of).collect::<Vec<_>>(), before);
    // A limit's name is no key, so there is one slot.
    assert_eq!(node.ask_several("RL.ALL {x} FIXED 10 1s AS y FIXED 10 1m").allowed, 1);
}

#[test]
fn keys_that_a_moving_slot_has_parted_are_told_to_come_again() {
    let cluster = Cluster::start(2, 0);
    cluster.clock.freeze(START);
    let (slot, from) = (cluster.slot_of("{x}"), cluster.node_of("{x}"));
    let to = cluster.nodes.iter().find(|node| node.port() != from.port()).unwrap();
    from.ask("RL.FIXED {x}here 10 1m");
    from.ask("RL.FIXED {x}gone 10 1m");
    let [from_id, to_id] = [from, to].map(|node| node.text(&["CLUSTER", "MYID"]));
    to.ask_value(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    from.ask_value(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    from.ask_value(&format!("MIGRATE 127.0.0.1 {} {{x}}gone 0 10000", to.port()));
    let before: Vec<String> = cluster.nodes.iter().map(Server::digest).collect();

    let ask = format!("ASK {slot} 127.0.0.1:{}", to.port());
    let mut importing = to.connection();
    for command in ["RL.ALL", "RL.PEEK"] {
        let call =
            |first, second| format!("{command} {{x}}{first} FIXED 10 1m KEY {{x}}{second} FIXED 10 1m");
        assert!(from.ask_error(&call("here", "gone")).starts_with("TRYAGAIN "), "{command}");
        let error_of_gone = from.ask_error(&call("gone", "here"));
        if from.has().asks_for_keys {
            assert!(error_of_gone.starts_with("TRYAGAIN "), "{command}: {error_of_gone}");
        } else {
            assert_eq!(
                error_of_gone, ask,
                "{command}: who knows the first key alone sends the caller after it"
            );
        }
        for line in [call("here", "gone"), call("gone", "here")] {
            send(&mut importing, "ASKING").unwrap();
            assert!(error(send(&mut importing, &line)).starts_with("TRYAGAIN "), "{line}");
        }
        // One key, or two that are in one place, are answered there; new ones by the node that takes the slot.
        assert_eq!(from.ask_several(&format!("{command} {{x}}here FIXED 10 1m COST 0")).limits[0][6], 1);
        assert_eq!(from.ask_error(&call("new", "newer")), ask, "{command}");
    }
    assert_eq!(cluster.nodes.iter().map(Server::digest).collect::<Vec<_>>(), before);
}

#[test]
fn a_cluster_client_finds_the_node_of_every_command() {
    let cluster = Cluster::start(3, 0);
    let single = Server::builder().clock(&cluster.clock).start();
    cluster.clock.freeze(START);
    let mut client = cluster.client().get_connection().unwrap();
    for round in 0..3 {
        for tag in 0..40 {
            // What belongs together shares a hash tag.
            let key = format!("{{user:{tag}}}");
            for call in CALLS {
                let line = on(call, &key);
                let reply = comparable(send(&mut client, &line));
                assert_eq!(reply, Ok(single.ask_value(&line)), "{line}, round {round}");
            }
            let node = cluster.node_of(&key);
            assert!(["", "1", "2"].iter().all(|more| node.holds(&format!("{key}{more}"))), "{key}");
        }
        cluster.clock.advance(Duration::from_millis(700));
    }
    assert!(cluster.nodes.iter().all(|node| node.ask_int("DBSIZE") > 0), "every node has held some");
    // Without a tag, one key on one node: no hash tag needed for several limits.
    let reply = send(&mut client, "RL.ALL user:7 FIXED 10 1s TOKENBUCKET 9 9 1m").unwrap();
    assert_eq!(several(&reply).unwrap().allowed, 1);
}
