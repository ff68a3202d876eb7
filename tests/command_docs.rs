//! What the server tells of the commands: COMMAND INFO and DOCS, and whom ACLs let call them.

use std::collections::BTreeSet;

use redis::{Connection, Value};
use redis_limiter::commands::table::COMMANDS;

use crate::support::{Server, frozen, send};

const CHARGING: [&str; 9] = [
    "RL.TOKENBUCKET",
    "RL.LEAKYBUCKET",
    "RL.FIXED",
    "RL.SLIDINGCOUNTER",
    "RL.SLIDINGLOG",
    "RL.LEASE",
    "RL.RELEASE",
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
    let several_keys = if server.has().asks_for_keys { "movablekeys" } else { "" };
    for (command, arity, flags) in [
        ("RL.TOKENBUCKET", -5, "write denyoom fast module movablekeys"),
        ("RL.LEAKYBUCKET", -5, "write denyoom fast module movablekeys"),
        ("RL.FIXED", -4, "write denyoom fast module movablekeys"),
        ("RL.SLIDINGCOUNTER", -4, "write denyoom fast module movablekeys"),
        ("RL.SLIDINGLOG", -4, "write denyoom fast module movablekeys"),
        ("RL.LEASE", -5, "write denyoom fast module movablekeys"),
        ("RL.RELEASE", -3, "write fast module"),
        ("RL.ALL", -5, "write denyoom fast module SEVERAL"),
        ("RL.PEEK", -5, "readonly fast module SEVERAL"),
        ("CL.THROTTLE", -5, "write denyoom fast module"),
    ] {
        let info = info(&server, command);
        assert_eq!(text(&info[0]), command);
        assert_eq!(info[1], Value::Int(arity), "{command}");
        assert_eq!(set(&info[2]), set_of(&flags.replace("SEVERAL", several_keys)), "{command}");
        assert_eq!(info[3..6], [Value::Int(1), Value::Int(1), Value::Int(1)], "{command}");
    }
}

#[test]
fn command_info_tells_the_acl_categories() {
    let server = frozen();
    let has = server.has();
    let own = if has.own_acl_category { "@ratelimit" } else { "" };
    for row in COMMANDS {
        let expected = match (has.acl_categories, row.name) {
            (false, _) => BTreeSet::new(),
            (true, "RL.PEEK") => set_of(&format!("@read @fast {own}")),
            (true, _) => set_of(&format!("@write @fast {own}")),
        };
        assert_eq!(set(&info(&server, row.name)[6]), expected, "{}", row.name);
    }
    let listed = set(&server.ask_value("ACL CAT"));
    assert_eq!(listed.contains("ratelimit"), has.own_acl_category, "{listed:?}");
}

#[test]
fn command_info_tells_the_key_specs() {
    let server = frozen();
    let first = |access: &str| format!("at 1, 0 1 0: {access}");
    for row in COMMANDS {
        let specs: Vec<String> = items(&info(&server, row.name)[8]).iter().map(key_spec).collect();
        let mut expected = match row.name {
            "RL.PEEK" => vec![first("RO access")],
            _ => vec![first("RW access update")],
        };
        // An incomplete spec would make a server that does not ask for keys route by nothing.
        match row.name {
            "RL.ALL" if server.has().asks_for_keys => {
                expected.push("after KEY 2, 0 1 0: RW access incomplete update".into());
                expected.push("after BLOCK 5, 0 1 0: RW access incomplete update".into());
                expected.push("after OVERRIDE 5, 0 1 0: RO access incomplete".into());
            }
            "RL.PEEK" if server.has().asks_for_keys => {
                expected.push("after KEY 2, 0 1 0: RO access incomplete".into());
                expected.push("after BLOCK 5, 0 1 0: RO access incomplete".into());
                expected.push("after OVERRIDE 5, 0 1 0: RO access incomplete".into());
            }
            "RL.ALL" | "RL.PEEK" | "CL.THROTTLE" | "RL.RELEASE" => (),
            // Where the server asks for keys, it is to go by the answer.
            limiter => {
                let from = if limiter.ends_with("BUCKET") || limiter == "RL.LEASE" { 5 } else { 4 };
                let incomplete = if server.has().asks_for_keys { "incomplete " } else { "" };
                if limiter != "RL.LEASE" {
                    expected.push(format!("after BLOCK {from}, 0 1 0: RW access {incomplete}update"));
                }
                expected
                    .push(format!("after OVERRIDE {from}, 0 1 0: RO access {incomplete}").trim_end().into());
            }
        }
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
    let second_spec = if server.has().asks_for_keys { "key:key1" } else { "key:string" };
    for (command, expected) in [
        (
            "RL.TOKENBUCKET",
            "key:key0 capacity:integer refill:integer period:string [COST cost:integer] [FORCE | PARTIAL] [AS name:string] [BLOCK bkey:key1 duration:string] [OVERRIDE okey:key2]",
        ),
        (
            "RL.LEAKYBUCKET",
            "key:key0 capacity:integer leak:integer period:string [COST cost:integer] [FORCE | PARTIAL] [AS name:string] [BLOCK bkey:key1 duration:string] [OVERRIDE okey:key2]",
        ),
        (
            "RL.FIXED",
            "key:key0 limit:integer window:string [ALIGN [OFFSET offset:string]] [COST cost:integer] [FORCE | PARTIAL] [AS name:string] [BLOCK bkey:key1 duration:string] [OVERRIDE okey:key2]",
        ),
        (
            "RL.SLIDINGCOUNTER",
            "key:key0 limit:integer window:string [COST cost:integer] [FORCE | PARTIAL] [AS name:string] [BLOCK bkey:key1 duration:string] [OVERRIDE okey:key2]",
        ),
        (
            "RL.SLIDINGLOG",
            "key:key0 limit:integer window:string [COST cost:integer] [FORCE | PARTIAL] [BLOCK bkey:key1 duration:string] [OVERRIDE okey:key2]",
        ),
        ("RL.LEASE", "key:key0 limit:integer ttl:string id:string [RENEW] [OVERRIDE okey:key1]"),
        ("RL.RELEASE", "key:key0 id:string+"),
        ("RL.ALL", "key:key0 spec:string+ [(KEY key:key1 spec:string+)+]"),
        ("RL.PEEK", "key:key0 spec:string+ [(KEY key:key1 spec:string+)+]"),
        ("CL.THROTTLE", "key:key0 max_burst:integer count:integer period_seconds:integer [quantity:integer]"),
    ] {
        let reply = server.ask_value(&format!("COMMAND DOCS {command}"));
        let docs = field(&reply, command).unwrap();
        let arguments = items(field(docs, "arguments").unwrap());
        assert_eq!(
            arguments.iter().map(syntax).collect::<Vec<_>>().join(" "),
            expected.replace("KEY key:key1", &format!("KEY {second_spec}")),
            "{command}"
        );
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

/// A connection of a user with these rules.
fn user(server: &Server, rules: &str) -> Connection {
    server.ask_value(&format!("ACL SETUSER alice reset on >secret {rules}"));
    let mut connection = server.connection();
    redis::cmd("AUTH").arg("alice").arg("secret").exec(&mut connection).unwrap();
    connection
}

fn may(user: &mut Connection, call: &str) -> bool {
    match send(user, call) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Some("NOPERM"), "{call}: {error}");
            false
        }
    }
}

/// A call of each command.
const CALLS: [&str; 10] = [
    "RL.TOKENBUCKET a 10 1 1s",
    "RL.LEAKYBUCKET a 10 1 1s",
    "RL.FIXED a 10 1s",
    "RL.SLIDINGCOUNTER a 10 1s",
    "RL.SLIDINGLOG b 10 1s",
    "RL.LEASE c 10 1s x",
    "RL.RELEASE c x",
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
    let has = server.has();
    // Where modules cannot put their commands into categories, no category but @all names them.
    let mut alice = user(&server, "~* -@all +@read");
    for call in CALLS {
        assert_eq!(may(&mut alice, call), has.acl_categories && call.starts_with("RL.PEEK"), "{call}");
    }
    let mut alice = user(&server, "~* -@all +@write");
    for call in CALLS {
        assert_eq!(may(&mut alice, call), has.acl_categories && !call.starts_with("RL.PEEK"), "{call}");
    }
    if has.own_acl_category {
        let mut alice = user(&server, "~* -@all +@ratelimit");
        assert!(CALLS.iter().all(|call| may(&mut alice, call)));
        assert!(!may(&mut alice, "GET a"));
        let mut alice = user(&server, "~* +@all -@ratelimit");
        assert!(CALLS.iter().all(|call| !may(&mut alice, call)));
        assert!(may(&mut alice, "EXISTS a"));
    } else {
        let error = server.ask_error("ACL SETUSER alice +@ratelimit");
        assert!(error.contains("Unknown command or category name"), "{error}");
    }
}
