//! What the server tells of the commands: COMMAND INFO, DOCS and GETKEYS, and what ACLs make of it.

use std::collections::BTreeSet;

use redis::{Connection, Value};
use redis_limiter::commands::table::COMMANDS;

use crate::support::{Kind, Server, frozen, words};

const CHARGING: [&str; 7] = [
    "RL.TOKENBUCKET",
    "RL.LEAKYBUCKET",
    "RL.FIXED",
    "RL.SLIDINGCOUNTER",
    "RL.SLIDINGLOG",
    "RL.ALL",
    "CL.THROTTLE",
];

/// The items of an array or set.
fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        other => panic!("not an array: {other:?}"),
    }
}

fn text(value: &Value) -> String {
    redis::from_redis_value(value.clone()).unwrap()
}

fn set(value: &Value) -> BTreeSet<String> {
    items(value).iter().map(text).collect()
}

fn set_of(line: &str) -> BTreeSet<String> {
    line.split_whitespace().map(String::from).collect()
}

/// The value of `name` in a map, which RESP2 sends as an array.
fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    match map {
        Value::Map(pairs) => pairs.iter().find(|(key, _)| text(key) == name).map(|(_, value)| value),
        other => items(other).chunks(2).find(|pair| text(&pair[0]) == name).map(|pair| &pair[1]),
    }
}

/// Whether modules may put commands into ACL categories, and into one of their own.
fn acl_categories(server: &Server) -> (bool, bool) {
    match server.version() {
        (Kind::Redis, version) => (version >= (7, 2, 0), version >= (7, 4, 0)),
        (Kind::Valkey, version) => (true, version >= (8, 0, 0)),
    }
}

/// What COMMAND INFO answers of a command.
fn info(server: &Server, command: &str) -> Vec<Value> {
    let reply = server.ask_value(&format!("COMMAND INFO {command}"));
    items(&items(&reply)[0]).to_vec()
}

/// A key spec in a line.
fn key_spec(spec: &Value) -> String {
    let search = field(spec, "begin_search").unwrap();
    let find = field(spec, "find_keys").unwrap();
    let numbers = |map: &Value, names: &[&str]| {
        names.iter().map(|name| text(field(map, name).unwrap())).collect::<Vec<_>>().join(" ")
    };
    let search_spec = field(search, "spec").unwrap();
    let search = match text(field(search, "type").unwrap()).as_str() {
        "index" => format!("at {}", numbers(search_spec, &["index"])),
        "keyword" => format!("after {}", numbers(search_spec, &["keyword", "startfrom"])),
        other => panic!("{other}"),
    };
    assert_eq!(text(field(find, "type").unwrap()), "range");
    let find = numbers(field(find, "spec").unwrap(), &["lastkey", "keystep", "limit"]);
    let flags = set(field(spec, "flags").unwrap()).into_iter().collect::<Vec<_>>().join(" ");
    format!("{search}, {find}: {flags}")
}

#[test]
fn the_server_has_the_commands_of_the_table() {
    let server = frozen();
    let there = set(&server.ask_value("COMMAND LIST FILTERBY MODULE rl"));
    let in_table: BTreeSet<String> = COMMANDS.iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(there, in_table);
    assert!(CHARGING.iter().all(|name| in_table.contains(*name)));
}

#[test]
fn command_info_tells_arity_flags_and_first_key() {
    let server = frozen();
    for (command, arity, flags) in [
        ("RL.TOKENBUCKET", -5, "write denyoom fast module"),
        ("RL.LEAKYBUCKET", -5, "write denyoom fast module"),
        ("RL.FIXED", -4, "write denyoom fast module"),
        ("RL.SLIDINGCOUNTER", -4, "write denyoom fast module"),
        ("RL.SLIDINGLOG", -4, "write denyoom fast module"),
        ("RL.ALL", -5, "write denyoom fast module movablekeys"),
        ("RL.PEEK", -5, "readonly fast module movablekeys"),
        ("CL.THROTTLE", -5, "write denyoom fast module"),
    ] {
        let info = info(&server, command);
        assert_eq!(text(&info[0]), command);
        assert_eq!(info[1], Value::Int(arity), "{command}");
        assert_eq!(set(&info[2]), set_of(flags), "{command}");
        assert_eq!(info[3..6], [Value::Int(1), Value::Int(1), Value::Int(1)], "{command}");
    }
}

#[test]
fn command_info_tells_the_acl_categories() {
    let server = frozen();
    let own = match acl_categories(&server) {
        (_, true) => "@ratelimit",
        _ => "",
    };
    for row in COMMANDS {
        let expected = match (acl_categories(&server).0, row.name) {
            (false, _) => BTreeSet::new(),
            (true, "RL.PEEK") => set_of(&format!("@read @fast {own}")),
            (true, _) => set_of(&format!("@write @fast {own}")),
        };
        assert_eq!(set(&info(&server, row.name)[6]), expected, "{}", row.name);
    }
}

#[test]
fn command_info_tells_the_key_specs() {
    let server = frozen();
    let first_written = "at 1, 0 1 0: RW access update";
    for row in COMMANDS {
        let specs: Vec<String> = items(&info(&server, row.name)[8]).iter().map(key_spec).collect();
        let expected = match row.name {
            "RL.ALL" => vec![first_written, "after KEY 2, 0 1 0: RW access incomplete update"],
            "RL.PEEK" => vec!["at 1, 0 1 0: RO access", "after KEY 2, 0 1 0: RO access incomplete"],
            _ => vec![first_written],
        };
        assert_eq!(specs, expected, "{}", row.name);
    }
}

/// An argument of COMMAND DOCS as the docs would write it: `name:type`, `[optional]`, `multiple+`.
fn syntax(argument: &Value) -> String {
    let flags = field(argument, "flags").map(set).unwrap_or_default();
    let name = text(field(argument, "name").unwrap());
    let parts = || items(field(argument, "arguments").unwrap()).iter().map(syntax).collect::<Vec<_>>();
    let token = field(argument, "token").map(text);
    let value = match text(field(argument, "type").unwrap()).as_str() {
        "pure-token" => String::new(),
        "oneof" => parts().join(" | "),
        "block" => parts().join(" "),
        "key" => format!("{name}:key{}", text(field(argument, "key_spec_index").unwrap())),
        kind => format!("{name}:{kind}"),
    };
    let mut syntax = [token, Some(value)]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if flags.contains("multiple") {
        syntax = if flags.contains("multiple_token") { format!("({syntax})+") } else { format!("{syntax}+") };
    }
    if flags.contains("optional") { format!("[{syntax}]") } else { syntax }
}

#[test]
fn command_docs_tells_the_syntax_that_is_read() {
    let server = frozen();
    for (command, expected) in [
        (
            "RL.TOKENBUCKET",
            "key:key0 capacity:integer refill:integer period:string [COST cost:integer] [FORCE | PARTIAL] [AS name:string]",
        ),
        (
            "RL.LEAKYBUCKET",
            "key:key0 capacity:integer leak:integer period:string [COST cost:integer] [FORCE | PARTIAL] [AS name:string]",
        ),
        (
            "RL.FIXED",
            "key:key0 limit:integer window:string [ALIGN [OFFSET offset:string]] [COST cost:integer] [FORCE | PARTIAL] [AS name:string]",
        ),
        (
            "RL.SLIDINGCOUNTER",
            "key:key0 limit:integer window:string [COST cost:integer] [FORCE | PARTIAL] [AS name:string]",
        ),
        ("RL.SLIDINGLOG", "key:key0 limit:integer window:string [COST cost:integer] [FORCE | PARTIAL]"),
        ("RL.ALL", "key:key0 spec:string+ [(KEY key:key1 spec:string+)+]"),
        ("RL.PEEK", "key:key0 spec:string+ [(KEY key:key1 spec:string+)+]"),
        ("CL.THROTTLE", "key:key0 max_burst:integer count:integer period_seconds:integer [quantity:integer]"),
    ] {
        let reply = server.ask_value(&format!("COMMAND DOCS {command}"));
        let docs = field(&reply, command).unwrap();
        let arguments = items(field(docs, "arguments").unwrap());
        assert_eq!(arguments.iter().map(syntax).collect::<Vec<_>>().join(" "), expected, "{command}");
    }
}

#[test]
fn command_docs_tells_what_each_command_does() {
    let server = frozen();
    for row in COMMANDS {
        let reply = server.ask_value(&format!("COMMAND DOCS {}", row.name));
        let docs = field(&reply, row.name).unwrap();
        let texts = ["summary", "complexity", "since", "group", "module"]
            .map(|name| text(field(docs, name).unwrap()));
        assert_eq!(texts[0], row.summary);
        assert!(texts[1].starts_with("O("), "{texts:?}");
        assert_eq!(texts[2..], ["0.1.0", "module", "rl"], "{}", row.name);
        for own in texts[..3].iter().chain([&texts[0]]) {
            assert!(own.is_ascii() && !own.ends_with('.'), "{own}");
        }
    }
    // RESP3 has maps and sets where RESP2 has arrays.
    let mut resp3 = server.connection_resp3();
    let reply: Value = redis::cmd("COMMAND").arg("DOCS").arg("RL.FIXED").query(&mut resp3).unwrap();
    assert!(matches!(field(&reply, "RL.FIXED"), Some(Value::Map(_))));
}

#[test]
fn command_getkeys_finds_every_key() {
    let server = frozen();
    for (call, keys) in [
        ("RL.TOKENBUCKET k 10 1 1s", "k"),
        ("RL.LEAKYBUCKET k 10 1 1s COST 2", "k"),
        ("RL.FIXED k 10 1s ALIGN OFFSET 1s AS KEY", "k"),
        ("RL.SLIDINGCOUNTER KEY 10 1s", "KEY"),
        ("RL.SLIDINGLOG k 10 1s", "k"),
        ("CL.THROTTLE k 10 1 60", "k"),
        ("RL.ALL k FIXED 10 1s", "k"),
        ("RL.ALL k FIXED 10 1s KEY j FIXED 10 1s", "k j"),
        ("rl.all k fixed 10 1s key j fixed 10 1s Key i fixed 10 1s", "k j i"),
        ("RL.ALL k FIXED 10 1s FIXED 10 1m KEY j SLIDINGLOG 10 1s COST 2", "k j"),
        // Words that look like others.
        ("RL.ALL KEY FIXED 10 1s", "KEY"),
        ("RL.ALL AS FIXED 10 1s KEY j FIXED 10 1s", "AS j"),
        ("RL.ALL KEY FIXED 10 1s KEY KEY TOKENBUCKET 10 1 1s", "KEY KEY"),
        ("RL.ALL k FIXED 10 1s AS KEY", "k"),
        ("RL.ALL k FIXED 10 1s AS KEY KEY j FIXED 10 1s", "k j"),
        ("RL.ALL k FIXED 10 1s AS key KEY KEY FIXED 10 1s as KEY", "k KEY"),
        ("RL.ALL k FIXED 10 1s AS AS KEY j FIXED 10 1s", "k j"),
        ("RL.ALL k FIXED 10 1s KEY AS FIXED 10 1s KEY i FIXED 10 1s", "k AS i"),
        ("RL.ALL k FIXED 10 1s KEY AS FIXED 10 1s AS KEY KEY i FIXED 10 1s", "k AS i"),
        ("RL.ALL k FIXED 10 1s KEY FIXED FIXED 10 1s", "k FIXED"),
    ] {
        assert_eq!(server.ask_texts(&format!("COMMAND GETKEYS {call}")), words(keys), "{call}");
        // They are the keys that a call touches.
        server.ask_value("FLUSHALL");
        server.ask_value(call);
        assert_eq!(set(&server.ask_value("KEYS *")), set_of(keys), "{call}");
        if let Some(limits) = call.strip_prefix("RL.ALL ") {
            assert_eq!(server.ask_texts(&format!("COMMAND GETKEYS RL.PEEK {limits}")), words(keys), "{call}");
        }
    }
}

#[test]
fn command_getkeys_of_a_wrong_call_does_no_harm() {
    let server = frozen();
    for call in [
        "RL.ALL k FIXED 10 1s KEY",
        "RL.ALL k FIXED 10 1s AS",
        "RL.ALL k KEY KEY KEY KEY",
        "RL.ALL KEY KEY KEY KEY KEY",
        "RL.ALL k AS AS AS AS AS",
        "RL.PEEK k nonsense KEY AS KEY j",
    ] {
        let keys = server.ask_texts(&format!("COMMAND GETKEYS {call}"));
        assert_eq!(keys[0], words(call)[1], "{call}");
    }
    let keys = format!("COMMAND GETKEYS RL.ALL k{}", " FIXED 1 1s KEY k".repeat(1000));
    assert_eq!(server.ask_texts(&keys).len(), 1001);
    assert!(server.call(&words("COMMAND GETKEYS RL.ALL k")).is_err());
}

#[test]
fn command_getkeysandflags_tells_written_keys_from_read_ones() {
    let server = frozen();
    for (call, flags) in [
        ("RL.FIXED a 10 1s", "RW access update"),
        ("CL.THROTTLE a 9 1 1", "RW access update"),
        ("RL.ALL a FIXED 10 1s KEY b FIXED 10 1s", "RW access update"),
        ("RL.PEEK a FIXED 10 1s KEY b FIXED 10 1s", "RO access"),
    ] {
        let reply = server.ask_value(&format!("COMMAND GETKEYSANDFLAGS {call}"));
        for (key, name) in items(&reply).iter().zip(["a", "b"]) {
            assert_eq!(
                (text(&items(key)[0]), set(&items(key)[1])),
                (name.to_owned(), set_of(flags)),
                "{call}"
            );
        }
    }
}

/// A connection of a user with these rules.
fn user(server: &Server, rules: &str) -> Connection {
    server.ask_value(&format!("ACL SETUSER alice reset on >secret {rules}"));
    let mut connection = server.connection();
    redis::cmd("AUTH").arg("alice").arg("secret").exec(&mut connection).unwrap();
    connection
}

fn may(user: &mut Connection, call: &str) -> bool {
    let mut command = redis::Cmd::new();
    for word in words(call) {
        command.arg(word);
    }
    match command.query::<Value>(user) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Some("NOPERM"), "{call}: {error}");
            false
        }
    }
}

#[test]
fn a_user_reaches_only_the_keys_of_its_patterns() {
    let server = frozen();
    let mut alice = user(&server, "~mine:* +@all");
    for (call, allowed) in [
        ("RL.TOKENBUCKET mine:1 10 1 1s", true),
        ("RL.TOKENBUCKET other 10 1 1s", false),
        ("RL.LEAKYBUCKET other 10 1 1s COST 0", false),
        ("RL.FIXED other 10 1h AS mine:1", false),
        ("RL.SLIDINGCOUNTER other 10 1h", false),
        ("RL.SLIDINGLOG other 10 1h", false),
        ("CL.THROTTLE other 9 1 1", false),
        ("RL.ALL mine:1 FIXED 10 1s KEY mine:2 FIXED 10 1s", true),
        ("RL.ALL mine:1 FIXED 10 1s AS KEY KEY mine:2 FIXED 10 1s", true),
        ("RL.ALL other FIXED 10 1s KEY mine:2 FIXED 10 1s", false),
        ("RL.ALL mine:1 FIXED 10 1s KEY other FIXED 10 1s", false),
        ("RL.ALL mine:1 FIXED 10 1s KEY mine:2 FIXED 10 1s KEY other FIXED 10 1s", false),
        ("RL.ALL mine:1 FIXED 10 1s AS KEY KEY other FIXED 10 1s", false),
        ("RL.ALL mine:1 FIXED 10 1s AS AS KEY other FIXED 10 1s", false),
        ("RL.ALL mine:1 FIXED 10 1s KEY mine:AS FIXED 10 1s key other FIXED 10 1s", false),
        ("RL.PEEK mine:1 FIXED 10 1s KEY mine:2 FIXED 10 1s", true),
        ("RL.PEEK mine:1 FIXED 10 1s KEY other FIXED 10 1s", false),
    ] {
        assert_eq!(may(&mut alice, call), allowed, "{call}");
    }
    assert_eq!(server.ask_int("EXISTS other"), 0);
}

#[test]
fn a_user_who_may_only_read_keys_may_peek() {
    let server = frozen();
    let mut alice = user(&server, "%R~* +@all");
    for (call, allowed) in [
        ("RL.PEEK k FIXED 10 1s KEY j FIXED 10 1s", true),
        ("RL.ALL k FIXED 10 1s", false),
        ("RL.FIXED k 10 1s", false),
        ("RL.FIXED k 10 1s COST 0", false),
    ] {
        assert_eq!(may(&mut alice, call), allowed, "{call}");
    }
}

/// A call of each command.
const CALLS: [&str; 8] = [
    "RL.TOKENBUCKET a 10 1 1s",
    "RL.LEAKYBUCKET a 10 1 1s",
    "RL.FIXED a 10 1s",
    "RL.SLIDINGCOUNTER a 10 1s",
    "RL.SLIDINGLOG b 10 1s",
    "RL.ALL a FIXED 10 1s",
    "RL.PEEK a FIXED 10 1s",
    "CL.THROTTLE a 9 1 1",
];

#[test]
fn a_user_may_be_given_single_commands() {
    let server = frozen();
    let mut alice = user(&server, "~* -@all +rl.fixed +rl.peek");
    for call in CALLS {
        let given = call.starts_with("RL.FIXED") || call.starts_with("RL.PEEK");
        assert_eq!(may(&mut alice, call), given, "{call}");
    }
}

#[test]
fn a_user_may_be_given_commands_by_category() {
    let server = frozen();
    let (has_categories, has_own) = acl_categories(&server);
    if has_own {
        let mut alice = user(&server, "~* -@all +@ratelimit");
        assert!(CALLS.iter().all(|call| may(&mut alice, call)));
        assert!(!may(&mut alice, "GET a"));
        let mut alice = user(&server, "~* +@all -@ratelimit");
        assert!(CALLS.iter().all(|call| !may(&mut alice, call)));
        assert!(may(&mut alice, "EXISTS a"));
    }
    if has_categories {
        let mut alice = user(&server, "~* -@all +@read");
        for call in CALLS {
            assert_eq!(may(&mut alice, call), call.starts_with("RL.PEEK"), "{call}");
        }
        let mut alice = user(&server, "~* -@all +@write");
        for call in CALLS {
            assert_eq!(may(&mut alice, call), !call.starts_with("RL.PEEK"), "{call}");
        }
    }
}
