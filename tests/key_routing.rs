//! Every key is declared: servers, ACLs and cluster clients see each of them, wherever it stands.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::{Connection, RedisResult, Value};

use crate::support::{Cluster, START, Server, frozen, several, words};

/// A call of each command, on keys `{}`, `{}1` and so on.
const CALLS: [&str; 11] = [
    "RL.TOKENBUCKET {} 10 10 1s",
    "RL.LEAKYBUCKET {} 10 10 1s COST 2 AS KEY",
    "RL.FIXED {} 10 1s ALIGN OFFSET 1ms FORCE",
    "RL.SLIDINGCOUNTER {} 10 1s PARTIAL",
    "RL.SLIDINGLOG {}1 10 1s",
    "CL.THROTTLE {} 9 10 1",
    "CL.THROTTLE {} 9 10 1 0",
    "RL.ALL {} FIXED 10 1s TOKENBUCKET 10 1 1s AS KEY FIXED 10 1h",
    "RL.ALL {}1 SLIDINGLOG 10 1s KEY {} FIXED 10 1m FIXED 10 1h KEY {}2 LEAKYBUCKET 10 10 1s COST 3",
    "RL.PEEK {} FIXED 10 1s",
    "RL.PEEK {}1 SLIDINGLOG 10 1s KEY {} FIXED 10 1m KEY {}2 LEAKYBUCKET 10 10 1s COST 3",
];

fn on(call: &str, key: &str) -> String {
    call.replace("{}", key)
}

fn send(connection: &mut Connection, line: &str) -> RedisResult<Value> {
    let mut command = redis::Cmd::new();
    for word in words(line) {
        command.arg(word);
    }
    command.query(connection)
}

/// The error's code and text.
#[track_caller]
fn error(result: RedisResult<Value>) -> String {
    let error = result.unwrap_err();
    format!("{} {}", error.code().unwrap(), error.detail().unwrap_or_default())
}

// COMMAND GETKEYS.

#[test]
fn the_server_tells_every_key_of_a_call() {
    let server = frozen();
    for (line, keys) in [
        ("RL.TOKENBUCKET a 10 10 1s", vec!["a"]),
        ("RL.LEAKYBUCKET KEY 10 10 1s AS KEY", vec!["KEY"]),
        ("RL.FIXED a 10 1s ALIGN", vec!["a"]),
        ("RL.SLIDINGCOUNTER a 10 1s COST 3", vec!["a"]),
        ("RL.SLIDINGLOG a 10 1s", vec!["a"]),
        ("CL.THROTTLE a 15 30 60 1", vec!["a"]),
        ("RL.ALL a FIXED 10 1s", vec!["a"]),
        (
            "RL.ALL a FIXED 10 1s FIXED 10 1m AS x KEY b SLIDINGLOG 10 1s KEY c FIXED 1 1s",
            vec!["a", "b", "c"],
        ),
        ("rl.all a fixed 10 1s key b fixed 10 1s Key c fixed 1 1s", vec!["a", "b", "c"]),
        ("RL.ALL a FIXED 10 1s KEY b FIXED 1 1s KEY a FIXED 1 1m", vec!["a", "b", "a"]),
        // A limit may be called KEY, and so may a key.
        ("RL.ALL a FIXED 10 1s AS KEY FIXED 10 1m KEY b FIXED 10 1s", vec!["a", "b"]),
        ("RL.ALL a FIXED 10 1s AS KEY KEY KEY FIXED 10 1s AS KEY", vec!["a", "KEY"]),
        ("RL.ALL KEY FIXED 10 1s KEY AS FIXED 10 1s KEY FIXED FIXED 10 1s", vec!["KEY", "AS", "FIXED"]),
        ("RL.ALL AS FIXED 10 1s KEY b FIXED 10 1s", vec!["AS", "b"]),
        ("RL.PEEK a FIXED 10 1s", vec!["a"]),
        ("RL.PEEK a FIXED 10 1s AS KEY FIXED 10 1m KEY KEY SLIDINGLOG 10 1s", vec!["a", "KEY"]),
    ] {
        assert_eq!(server.ask_texts(&format!("COMMAND GETKEYS {line}")), keys, "{line}");
    }
}

#[test]
fn the_server_tells_what_each_key_is_opened_for() {
    let server = frozen();
    for call in CALLS {
        let line = on(call, "k");
        let expected: BTreeSet<&str> =
            if line.starts_with("RL.PEEK") { ["RO", "access"] } else { ["RW", "access"] }.into();
        let Value::Array(keys) = server.ask_value(&format!("COMMAND GETKEYSANDFLAGS {line}")) else {
            panic!("an array answers COMMAND GETKEYSANDFLAGS")
        };
        for key in keys {
            let (key, flags): (String, BTreeSet<String>) = redis::from_redis_value(key).unwrap();
            let flags: BTreeSet<&str> =
                flags.iter().map(String::as_str).filter(|flag| *flag != "update").collect();
            assert_eq!(flags, expected, "{line}: {key}");
        }
    }
}

#[test]
fn as_many_keys_as_a_call_takes_are_told() {
    let server = frozen();
    let clauses: Vec<String> = (0..64).map(|number| format!("k{number} FIXED 10 1s")).collect();
    for command in ["RL.ALL", "RL.PEEK"] {
        let line = format!("{command} {}", clauses.join(" KEY "));
        assert_eq!(server.ask_texts(&format!("COMMAND GETKEYS {line}")).len(), 64);
        assert_eq!(server.ask_several(&line).limits.len(), 64);
    }
}

#[test]
fn every_call_that_is_taken_declares_just_the_keys_it_touches() {
    let server = frozen();
    let mut rng = StdRng::seed_from_u64(3);
    let mut pick = |from: &[&str]| from[rng.random_range(0..from.len())].to_string();
    // Words of the grammar as keys and names; every limit is charged, so that its key shows.
    let names = ["KEY", "AS", "FIXED", "COST", "key", "a"];
    let mut taken = 0;
    for _ in 0..600 {
        let mut line = format!("RL.ALL {}", pick(&names));
        for seconds in 1..6 {
            // Now and then a KEY or an AS where none can stand.
            match pick(&["limit", "limit", "limit", "limit", "key", "key", "as", "log"]).as_str() {
                "key" => line += &format!(" KEY {} FIXED 10 {seconds}s", pick(&names)),
                "as" => line += &format!(" AS {}", pick(&names)),
                "log" => line += &format!(" KEY log{seconds} SLIDINGLOG 10 1s"),
                _ => line += &format!(" FIXED 10 {seconds}s"),
            }
            line += &pick(&["", "", " COST 2", " ALIGN", " FORCE", " AS KEY", " AS AS", " as a", " KEY"]);
        }
        if server.call(&words(&line)).is_ok() {
            taken += 1;
            let declared: BTreeSet<String> =
                server.ask_texts(&format!("COMMAND GETKEYS {line}")).into_iter().collect();
            let touched: BTreeSet<String> = server.ask_texts("KEYS *").into_iter().collect();
            assert_eq!(declared, touched, "{line}");
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
        "RL.ALL a:1 FIXED 10 1s KEY b:1 FIXED 10 1s",
        "RL.ALL b:1 FIXED 10 1s KEY a:1 FIXED 10 1s",
        "RL.ALL a:1 FIXED 10 1s KEY a:2 SLIDINGLOG 10 1s KEY a:3 FIXED 10 1s KEY b:1 FIXED 10 1s",
        "RL.ALL a:1 FIXED 10 1s AS KEY KEY b:1 FIXED 10 1s",
        "RL.ALL a:1 FIXED 10 1s AS a:2 KEY b:1 FIXED 10 1s",
        "RL.PEEK a:1 FIXED 10 1s KEY b:1 FIXED 10 1s",
        "RL.PEEK a:1 FIXED 10 1s AS KEY FIXED 10 1m KEY b:1 FIXED 10 1s",
    ] {
        assert!(error(send(&mut alice, line)).starts_with("NOPERM "), "{line}");
    }
    assert_eq!(server.ask_int("DBSIZE"), 0);
    // What only looks like a key of somebody else's.
    for line in [
        "RL.ALL a:1 FIXED 10 1s AS KEY FIXED 10 1m",
        "RL.ALL a:1 FIXED 10 1s AS KEY TOKENBUCKET 10 1 1s KEY a:2 FIXED 10 1s AS b.1",
        "RL.PEEK a:1 FIXED 10 1s AS KEY FIXED 10 1m",
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
        ("RL.ALL a:1 FIXED 10 1s KEY r:1 FIXED 10 1s", false),
        ("RL.ALL a:1 FIXED 10 1s KEY r:1 FIXED 10 1s COST 0", false),
        ("RL.PEEK r:1 FIXED 10 1s KEY w:1 FIXED 10 1s", false),
    ] {
        assert_eq!(send(&mut reader, line).is_ok(), allowed, "{line}");
    }
}

// Clusters.

#[test]
fn a_cluster_sends_every_call_to_the_node_of_its_keys() {
    let cluster = Cluster::start(3, 0);
    cluster.clock.freeze(START);
    for key in ["{x}", "{y}", "{z}", "{u}"] {
        let holder = cluster.node_of(key);
        let moved = format!("MOVED {} 127.0.0.1:{}", cluster.slot_of(key), holder.port());
        for call in CALLS {
            let line = on(call, key);
            for node in &cluster.nodes {
                if node.port() == holder.port() {
                    node.ask_value(&line);
                } else {
                    assert_eq!(node.ask_error(&line), moved, "{line}");
                }
            }
        }
    }

    // Keys of two slots, even where one node holds both: refused by all nodes, nothing charged.
    let (one, other) = ("{x}", "{y}");
    let neighbour = (0..).map(|number| format!("n{number}")).find(|key| {
        cluster.node_of(key).port() == cluster.node_of(one).port()
            && cluster.slot_of(key) != cluster.slot_of(one)
    });
    for far in [other, &neighbour.unwrap()] {
        let before: Vec<String> = cluster.nodes.iter().map(Server::digest).collect();
        for line in [
            format!("RL.ALL {one} FIXED 10 1s KEY {far} FIXED 10 1s"),
            format!("RL.ALL {one} FIXED 10 1s KEY {one}2 SLIDINGLOG 10 1s KEY {far} FIXED 10 1s"),
            format!("RL.ALL {one} FIXED 10 1s AS KEY KEY {far} FIXED 10 1s"),
            format!("RL.PEEK {one} FIXED 10 1s KEY {far} FIXED 10 1s"),
        ] {
            for node in &cluster.nodes {
                assert!(node.ask_error(&line).starts_with("CROSSSLOT "), "{line}");
            }
        }
        assert_eq!(cluster.nodes.iter().map(Server::digest).collect::<Vec<_>>(), before);
    }
    // A limit called KEY names no key, so there is one slot.
    let line = format!("RL.ALL {one} FIXED 10 1s AS KEY FIXED 10 1m");
    assert_eq!(cluster.node_of(one).ask_several(&line).allowed, 1);
}

#[test]
fn a_cluster_client_routes_every_command() {
    let cluster = Cluster::start(3, 0);
    cluster.clock.freeze(START);
    let mut connection = cluster.client().get_connection().unwrap();
    let mut nodes = BTreeSet::new();
    for number in 0..30 {
        // What belongs together shares a hash tag.
        let key = format!("{{user:{number}}}");
        for call in CALLS {
            let mut command = redis::Cmd::new();
            for word in words(&on(call, &key)) {
                command.arg(word);
            }
            let reply: Value = command.query(&mut connection).unwrap();
            let Value::Array(items) = &reply else { panic!("{call}: {reply:?}") };
            assert!(items.len() >= 3, "{call}: {reply:?}");
            assert_eq!(several(&reply).is_some(), call.starts_with("RL.ALL") || call.starts_with("RL.PEEK"));
        }
        let node = cluster.node_of(&key);
        for held in [key.clone(), format!("{key}1"), format!("{key}2")] {
            assert!(node.holds(&held), "{held}");
        }
        nodes.insert(node.port());
    }
    assert_eq!(nodes.len(), 3, "every node has held some");
    // Without a tag, one key on one node: no hash tag needed for several limits.
    let reply: Value = redis::cmd("RL.ALL")
        .arg(&["user:7", "FIXED", "10", "1s", "TOKENBUCKET", "9", "9", "1m"])
        .query(&mut connection)
        .unwrap();
    assert_eq!(several(&reply).unwrap().allowed, 1);
}

#[test]
fn peek_asks_a_replica_of_a_cluster() {
    let cluster = Cluster::start(1, 1);
    let [primary, replica] = cluster.nodes.as_slice() else { panic!("two nodes") };
    cluster.clock.freeze(START);
    primary.ask("RL.FIXED {k} 10 1m COST 9");
    replica.catch_up(primary);
    let peek = "RL.PEEK {k} FIXED 10 1m COST 2 KEY {k}2 SLIDINGLOG 10 1m";
    // Connections that have not said READONLY are sent to the primary.
    assert!(replica.ask_error(peek).starts_with("MOVED "));
    let mut connection = replica.connection();
    send(&mut connection, "READONLY").unwrap();
    let peeked = several(&send(&mut connection, peek).unwrap()).unwrap();
    assert_eq!((peeked.allowed, &peeked), (0, &primary.ask_several(peek)));
    assert!(error(send(&mut connection, "RL.ALL {k} FIXED 10 1m")).starts_with("MOVED "));
}
