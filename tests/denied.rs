//! A denied call, a question and an error change nothing that anyone could see: not the data, not an expiry, not
//! the replication stream; they break no WATCH and invalidate no client's cache. Charges do, but emit no
//! keyspace events.

use std::sync::mpsc;

use redis::{Connection, PushKind, Value};

use crate::support::{START, Server, State, frozen, send, words};

/// A limiter of each kind with its limit of 10 used up, on `k`.
const SPENT: [&str; 6] = [
    "RL.TOKENBUCKET k 10 1 1h COST 10",
    "RL.LEAKYBUCKET k 10 1 1h COST 10",
    "RL.FIXED k 10 1h COST 10",
    "RL.FIXED k 10 1h ALIGN COST 10",
    "RL.SLIDINGCOUNTER k 10 1h COST 10",
    "RL.SLIDINGLOG k 10 1h COST 10",
];

/// Calls that change nothing once `spent` has been made.
fn idle_calls(spent: &str) -> Vec<String> {
    let command = spent.strip_suffix(" COST 10").unwrap();
    let (name, limit) = command.split_once(" k ").unwrap();
    let spec = format!("{} {limit}", name.strip_prefix("RL.").unwrap());
    let mut calls: Vec<String> = [
        // Denied.
        "",
        " COST 11",
        " COST 1000000000000",
        " PARTIAL",
        " COST 5 PARTIAL",
        // Questions.
        " COST 0",
        " COST 0 FORCE",
        " COST 0 PARTIAL",
        // Errors.
        " COST x",
        " nonsense",
        " COST 1 COST 1",
    ]
    .iter()
    .map(|options| format!("{command}{options}"))
    .collect();
    calls.extend([
        command.replace(" k 10 ", " k 5 "),
        command.replace(" k 10 ", " k 0 "),
        format!("{} FORCE", spent.replace("COST 10", "COST 1000000000000").replace(" k ", " text ")),
        // Denied, and a question, on a key that is not there.
        format!("{} COST 1", command.replace(" k 10 ", " none 0 ")),
        format!("{} COST 0", command.replace(" k ", " none ")),
        format!("{} COST -3", command.replace(" k ", " none ")),
        // Several: the one that refuses keeps all the others from being charged.
        format!("RL.ALL k {spec}"),
        format!("RL.ALL k {spec} COST 0"),
        format!("RL.ALL other FIXED 10 1h KEY k {spec}"),
        format!("RL.ALL k {spec} KEY other FIXED 10 1h"),
        format!("RL.ALL k {spec} KEY other FIXED 10 1h FORCE KEY log SLIDINGLOG 10 1h COST -1"),
        format!("RL.ALL k {spec} KEY text FIXED 10 1h"),
        format!("RL.PEEK k {spec} KEY other FIXED 10 1h KEY log SLIDINGLOG 10 1h"),
    ]);
    if name == "RL.TOKENBUCKET" {
        calls.extend(
            ["CL.THROTTLE k 9 1 3600", "CL.THROTTLE k 9 1 3600 0", "CL.THROTTLE k 9 1 3600 x"]
                .map(String::from),
        );
    }
    calls
}

/// Uses up the limiter on `k`, with other limiters beside it.
fn spend(server: &Server, spent: &str) {
    server.ask_value("FLUSHALL");
    server.ask_value("SET text x");
    server.ask("RL.FIXED other 10 1h");
    server.ask("RL.SLIDINGLOG log 10 1h COST 3");
    assert_eq!(server.ask(spent)[0], 1, "{spent}");
    // None of it comes back within this time.
    server.pass_ms(1000);
}

#[test]
fn it_changes_neither_data_nor_expiries_nor_the_replication_offset() {
    let server = frozen();
    let replica = Server::builder().clock(&server.clock).replica_of(&server).start();
    for spent in SPENT {
        spend(&server, spent);
        replica.catch_up(&server);
        let before = (State::of(&server), server.replication_offset());
        for call in idle_calls(spent) {
            if let Ok(Value::Array(reply)) = server.call(&words(&call)) {
                let denied = reply[0] == Value::Int(if call.starts_with("CL.") { 1 } else { 0 });
                let asked = call.contains("COST 0") || call.contains("COST -3");
                assert!(denied || asked || call.ends_with(" 0"), "{call}: {reply:?}");
            }
            assert_eq!((State::of(&server), server.replication_offset()), before, "{call}");
        }
        assert_eq!(State::of(&replica), before.0);
        server.ask(&format!("{spent} FORCE"));
        assert!(server.replication_offset() > before.1, "{spent}");
    }
}

#[test]
fn it_breaks_no_watch_which_a_charge_does() {
    let server = frozen();
    let mut watcher = server.connection();
    // Whether a transaction that watches `key` still runs after `call`.
    let mut runs = |key: &str, call: &str| {
        let mut ask = |line: &str| send(&mut watcher, line).unwrap();
        ask(&format!("WATCH {key}"));
        let _ = server.call(&words(call));
        ask("MULTI");
        ask("PING");
        ask("EXEC") != Value::Nil
    };
    for spent in SPENT {
        let command = spent.strip_suffix(" COST 10").unwrap();
        spend(&server, spent);
        for call in idle_calls(spent) {
            for key in ["k", "other", "log", "none"] {
                assert!(runs(key, &call), "{call} breaks WATCH {key}");
            }
        }
        for options in ["COST -1", "", "FORCE", "COST -1 PARTIAL", "PARTIAL", "COST -100"] {
            let call = format!("{command} {options}");
            assert!(runs("other", &call), "{call} breaks WATCH of another key");
            spend(&server, spent);
            server.ask(&format!("{command} COST -2"));
            assert!(!runs("k", &call), "{call} does not break WATCH");
        }
        // A key that comes to be.
        assert!(
            !runs("none", &command.replace(" k ", " none ")),
            "{command} does not break WATCH of a new key"
        );
        server.ask_value("DEL k");
        assert!(!runs("k", "RL.ALL other FIXED 10 1h KEY k FIXED 10 1h"), "RL.ALL does not break WATCH");
    }
}

/// A connection whose cache the server invalidates, and what it is told.
fn tracker(server: &Server) -> (Connection, mpsc::Receiver<redis::PushInfo>) {
    let mut connection = server.connection_resp3();
    let (sender, receiver) = mpsc::channel();
    connection.set_push_sender(sender);
    redis::cmd("CLIENT").arg("TRACKING").arg("ON").exec(&mut connection).unwrap();
    (connection, receiver)
}

#[test]
fn it_invalidates_no_clients_cache_which_a_charge_does() {
    let server = frozen();
    let (mut connection, pushes) = tracker(&server);
    let mut invalidated = |call: &str| -> Vec<String> {
        for key in ["k", "other", "log", "none"] {
            redis::cmd("EXISTS").arg(key).exec(&mut connection).unwrap();
        }
        let _ = server.call(&words(call));
        // What was sent comes before this answer.
        redis::cmd("PING").exec(&mut connection).unwrap();
        let told = pushes.try_iter().filter(|push| push.kind == PushKind::Invalidate);
        told.flat_map(|push| redis::from_redis_value::<Vec<String>>(push.data[0].clone()).unwrap()).collect()
    };
    for spent in SPENT {
        let command = spent.strip_suffix(" COST 10").unwrap();
        spend(&server, spent);
        invalidated("PING");
        for call in idle_calls(spent) {
            assert_eq!(invalidated(&call), [""; 0], "{call}");
        }
        for options in ["COST -1", "", "FORCE", "COST -100"] {
            assert_eq!(invalidated(&format!("{command} {options}")), ["k"], "{command} {options}");
        }
        assert_eq!(invalidated("RL.ALL log SLIDINGLOG 10 1h KEY other FIXED 10 1h"), ["log", "other"]);
    }
}

#[test]
fn a_client_that_peeked_is_told_when_the_answer_changes() {
    let server = frozen();
    let (mut connection, pushes) = tracker(&server);
    let mut is_told_after = |call: &str| {
        send(&mut connection, "RL.PEEK k FIXED 10 1h KEY other FIXED 10 1h").unwrap();
        server.ask(call);
        redis::cmd("PING").exec(&mut connection).unwrap();
        pushes.try_iter().any(|push| push.kind == PushKind::Invalidate)
    };
    assert!(is_told_after("RL.FIXED k 10 1h COST 10"));
    assert!(is_told_after("RL.FIXED other 10 1h"));
    assert!(!is_told_after("RL.FIXED k 10 1h"));
}

#[test]
fn charges_emit_no_keyspace_events_and_expiries_do() {
    let server = Server::builder().config("notify-keyspace-events", "KEA").start();
    server.clock.freeze(START);
    let mut listener = server.connection();
    let mut events = listener.as_pubsub();
    events.psubscribe("*").unwrap();
    let mut next = || events.get_message().unwrap().get_channel_name().to_owned();
    // What is published now comes first, unless an event came before it.
    let mut assert_silent = |what: &str| {
        server.ask_value("PUBLISH silent x");
        assert_eq!(next(), "silent", "{what}");
    };
    for spent in SPENT {
        let command = spent.strip_suffix(" COST 10").unwrap();
        for call in [
            spent.to_owned(),
            format!("{command} COST 0"),
            format!("{command} COST 3 FORCE"),
            format!("{command} COST -2"),
            command.to_owned(),
            format!("{command} COST -100"),
            format!("{command} COST 100 PARTIAL"),
            format!("{command} COST 1").replace(" k ", " other "),
        ] {
            server.ask(&call);
            assert_silent(&call);
        }
        server.ask_several("RL.ALL several FIXED 10 1h FIXED 10 1m AS n KEY log2 SLIDINGLOG 10 1h");
        assert_silent("RL.ALL");
        server.ask("CL.THROTTLE throttle 9 1 1");
        assert_silent("CL.THROTTLE");
        server.ask_value("FLUSHALL");
    }
    // The listener does hear of others, and of a limiter that expires.
    server.ask_value("SET text x");
    assert_eq!([next(), next()], ["__keyspace@0__:text", "__keyevent@0__:set"]);
    server.ask("RL.FIXED hash 10 1s");
    server.ask("RL.SLIDINGLOG log 10 1s");
    server.pass_ms(3_600_000);
    // The next charge finds the key expired, if the server has not yet; both tell.
    server.ask("RL.FIXED hash 10 1s");
    server.ask("RL.SLIDINGLOG log 10 1s");
    let mut expired = [next(), next(), next(), next()];
    expired.sort();
    assert_eq!(expired[..2], ["__keyevent@0__:expired", "__keyevent@0__:expired"]);
    assert_eq!(expired[2..], ["__keyspace@0__:hash", "__keyspace@0__:log"]);
}
