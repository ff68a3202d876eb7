//! Limits under pressure: no memory, eviction, pauses, loading, shutdown, reloading, and whatever else an operator does
//! to a server and its keys.

use std::thread;
use std::time::Duration;

use redis::Value;

use crate::support::{Caller, Load, Server, State, eventually, send, several, words};

const NOON: i64 = 1_763_900_000_000_000;
const LIMIT: Duration = Duration::from_secs(30);

/// A call of each command that charges: fields of the hash `key`, and the log `key:log`.
fn charges(key: &str) -> [String; 8] {
    [
        "RL.TOKENBUCKET {} 10 5 1m",
        "RL.LEAKYBUCKET {} 10 5 1m COST 2",
        "RL.FIXED {} 3 1h",
        "RL.FIXED {} 3 1h ALIGN AS hourly",
        "RL.SLIDINGCOUNTER {} 7 1m COST 3",
        "RL.SLIDINGLOG {}:log 7 1m COST 2",
        "RL.ALL {} FIXED 9 1m AS all KEY {}:log SLIDINGLOG 9 1m",
        "CL.THROTTLE {} 4 10 60",
    ]
    .map(|call| call.replace("{}", key))
}

/// What [`charges`] would be answered next.
fn peek(key: &str) -> String {
    "RL.PEEK {} TOKENBUCKET 10 5 1m LEAKYBUCKET 10 5 1m COST 2 FIXED 3 1h FIXED 3 1h ALIGN AS hourly \
     SLIDINGCOUNTER 7 1m COST 3 FIXED 9 1m AS all KEY {}:log SLIDINGLOG 7 1m COST 2"
        .replace("{}", key)
}

/// The replies to all [`charges`], and what they leave.
#[track_caller]
fn charge_all(server: &Server, key: &str) -> Vec<Value> {
    let mut replies: Vec<Value> = charges(key).iter().map(|call| server.ask_value(call)).collect();
    replies.push(server.ask_value(&peek(key)));
    replies
}

fn config(server: &Server, name: &str, value: &str) {
    server.call(&["CONFIG", "SET", name, value]).unwrap();
}

fn stat(server: &Server, section: &str, field: &str) -> i64 {
    server.info_field(section, field).unwrap().parse().unwrap()
}

/// How much a `RL.FIXED` of such a key has counted.
fn used(server: &Server, key: &str) -> i64 {
    server.ints(&["RL.FIXED", key, "1000000", "1d", "COST", "0"])[6]
}

// Memory.

/// Lets the server have so many bytes more than it uses now.
fn leave_memory(server: &Server, bytes: i64) {
    config(server, "maxmemory", &(stat(server, "memory", "used_memory") + bytes).to_string());
}

#[test]
fn without_memory_every_charge_is_an_oom_error_and_changes_nothing() {
    let server = Server::start();
    server.clock.freeze(NOON);
    charge_all(&server, "k");
    let (before, peeked) = (State::of(&server), server.ask_value(&peek("k")));
    config(&server, "maxmemory", "1");

    let fresh = charges("fresh");
    for call in charges("k").iter().chain(&fresh) {
        assert!(server.ask_error(call).starts_with("OOM "), "{call}");
        let script = format!("return redis.call('{}')", call.replace(' ', "','"));
        assert!(server.error(&["EVAL", &script, "0"]).contains("OOM"), "{call}");
        server.ask_value("MULTI");
        assert!(server.ask_error(call).starts_with("OOM "), "{call}");
        assert!(server.ask_error("EXEC").starts_with("EXECABORT"), "{call}");
    }
    // So are refunds and denials: the server asks for memory before it runs a command.
    for cost in ["-1", "0", "100"] {
        assert!(server.error(&["RL.FIXED", "k", "3", "1h", "COST", cost]).starts_with("OOM "));
    }
    assert_eq!(State::of(&server), before);
    assert_eq!(server.ask_value(&peek("k")), peeked);

    config(&server, "maxmemory", "0");
    assert_eq!(server.ask_value(&peek("k")), peeked);
    assert_eq!(server.ask("RL.FIXED k 3 1h")[6], 2);
}

#[test]
fn memory_fills_up_to_whole_charges_and_comes_back_as_limiters_expire() {
    let server = Server::start();
    server.clock.freeze(NOON);
    leave_memory(&server, 2_000_000);
    // Keys of 2 KiB, so that it takes but some hundreds.
    let call = |command: &str, n: usize| {
        format!("{command} {n:0>2048} FIXED 9 1m KEY {n:0>2048}:log SLIDINGLOG 9 1m")
    };
    let charge = |n| server.call(&words(&call("RL.ALL", n)));
    // The first that is refused tells why: later ones may find what the server has freed meanwhile.
    let (charged, refused) = (0..10_000).find_map(|n| Some((n, charge(n).err()?))).unwrap();
    assert!((100..9000).contains(&charged), "{charged}");
    assert_eq!(refused.code(), Some("OOM"), "{refused}");

    for n in 0..=charged {
        let used: Vec<i64> =
            server.ask_several(&call("RL.PEEK", n)).limits.iter().map(|limit| limit[6]).collect();
        assert_eq!(used, if n < charged { [1, 1] } else { [0, 0] }, "limiter {n}");
    }
    server.clock.advance(Duration::from_secs(3600));
    eventually(LIMIT, || charge(charged).is_ok());
}

fn ints(value: &Value) -> Vec<i64> {
    redis::from_redis_value(value.clone()).unwrap()
}

/// Charges limiters of a day until some hundreds of keys have been evicted; answers how many were charged. Each second
/// one is of ten seconds instead, and its key begins with `short`.
fn charge_until_evicted(server: &Server, policy: &str) -> usize {
    config(server, "maxmemory-policy", policy);
    config(server, "maxmemory-samples", "64");
    leave_memory(server, 1_000_000);
    let mut charged = 0;
    while stat(server, "stats", "evicted_keys") < 200 {
        for _ in 0..50 {
            let reply = server.ints(&["RL.FIXED", &limiter(charged), "9", window(charged)]);
            assert_eq!((reply[0], reply[6]), (1, 1));
            charged += 1;
        }
        assert!(charged < 20_000);
    }
    charged
}

fn limiter(n: usize) -> String {
    format!("{}{n:0>1000}", if n % 2 == 1 { "short" } else { "long" })
}

fn window(n: usize) -> &'static str {
    if n % 2 == 1 { "10s" } else { "1d" }
}

#[test]
fn an_evicted_limiter_starts_afresh_and_the_others_count_on() {
    for policy in ["allkeys-lru", "allkeys-random", "volatile-ttl"] {
        // The backlog for replicas counts against maxmemory.
        let server = Server::builder().config("repl-backlog-size", "16kb").start();
        server.clock.freeze(NOON);
        let replica = Server::builder().clock(&server.clock).replica_of(&server).start();
        let charged = charge_until_evicted(&server, policy);
        // No eviction while we look.
        config(&server, "maxmemory", "0");
        replica.catch_up(&server);
        assert!(State::of(&replica) == State::of(&server), "{policy}");

        let mut evicted = 0;
        for n in 0..charged {
            let there = server.holds(&limiter(n));
            evicted += usize::from(!there);
            let used = server.ints(&["RL.FIXED", &limiter(n), "9", window(n)])[6];
            assert_eq!(used, if there { 2 } else { 1 }, "{policy}, limiter {n}");
        }
        assert!(evicted >= 200, "{policy}: {evicted}");
    }
}

#[test]
fn volatile_ttl_evicts_first_what_would_be_forgotten_first() {
    let server = Server::start();
    server.clock.freeze(NOON);
    let charged = charge_until_evicted(&server, "volatile-ttl");
    for n in (0..charged).step_by(2) {
        assert!(server.holds(&limiter(n)), "limiter {n}, of a day");
    }
}

#[test]
fn eviction_in_mid_traffic_gives_a_new_quota_for_each_evicted_limiter_and_no_more() {
    const CALLERS: usize = 300;
    let server = Server::start();
    server.clock.freeze(NOON);
    config(&server, "maxmemory-policy", "allkeys-lru");
    // Not enough for all of them.
    leave_memory(&server, 400_000);
    let client = server.client();
    let load = Load::start(
        4,
        move || (client.get_connection().unwrap(), 0),
        |(connection, n)| {
            *n = (*n + 7) % CALLERS;
            Some(ints(&send(connection, &format!("RL.FIXED {n:0>2000} 3 1d")).unwrap()))
        },
    );
    load.wait_for(4 * CALLERS);
    eventually(LIMIT, || stat(&server, "stats", "evicted_keys") > 100);
    let replies = load.finish();
    assert!(replies.iter().all(|reply| reply[6] <= 3));
    let allowed = replies.iter().filter(|reply| reply[0] == 1).count();
    let evicted = usize::try_from(stat(&server, "stats", "evicted_keys")).unwrap();
    assert!(allowed <= 3 * (CALLERS + evicted), "{allowed} allowed, {evicted} evicted");
}

// A server that is busy with something else.

#[test]
fn a_pause_holds_charges_back_and_judges_them_at_its_end() {
    let server = Server::start();
    server.clock.freeze(NOON);
    server.ask_value("RL.FIXED k 10 1m");
    server.ask_value("CLIENT PAUSE 3600000 WRITE");
    let mut connection = server.connection();
    let paused = thread::spawn(move || ints(&send(&mut connection, "RL.FIXED k 10 1m").unwrap()));
    eventually(LIMIT, || server.text(&["CLIENT", "LIST"]).contains("flags=b"));
    let peeked = server.ask_several("RL.PEEK k FIXED 10 1m");
    assert_eq!(peeked.limits[0][6], 1, "a pause of writes lets RL.PEEK through, and nothing was charged");
    // The window of the first charge ends during the pause.
    server.clock.advance(Duration::from_secs(60));
    server.ask_value("CLIENT UNPAUSE");
    assert_eq!(paused.join().unwrap(), [1, 10, 9, 0, 60_000, 60_000, 1]);
}

#[test]
fn a_server_that_loads_answers_loading_and_then_by_what_it_loaded() {
    let mut server = Server::builder()
        .config("key-load-delay", "2000")
        .config("loading-process-events-interval-bytes", "1024")
        .start();
    server.clock.freeze(NOON);
    for n in 0..300 {
        server.call(&["RL.FIXED", &format!("k{n:0>100}"), "10", "1d", "COST", "4"]).unwrap();
    }
    server.shutdown_save();

    let client = server.client();
    let load = Load::start(
        2,
        || (),
        move |()| {
            let mut connection = client.get_connection_with_timeout(LIMIT).ok()?;
            let mut ask = |name: &str, args: &[&str]| {
                let reply = redis::cmd(name).arg(args).query::<Value>(&mut connection);
                match reply {
                    Ok(Value::Array(items)) => Some(Ok(items)),
                    Err(error) => error.code().map(|code| Err(code.to_string())),
                    Ok(other) => panic!("{other:?}"),
                }
            };
            let peeked = ask("RL.PEEK", &["late", "FIXED", "10", "1d"])?;
            Some((peeked, ask("RL.FIXED", &["late", "1000000", "1d"])?))
        },
    );
    server.start_again();
    load.wait_for(10);
    let answers = load.finish();
    let mut charged = 0;
    for (peeked, reply) in &answers {
        for refused in [peeked.as_ref().err(), reply.as_ref().err()].into_iter().flatten() {
            assert_eq!(refused, "LOADING");
        }
        charged += i64::from(reply.is_ok());
    }
    assert!(answers.iter().any(|(_, reply)| reply.is_err()), "no call came while the server loaded");
    assert_eq!(used(&server, "late"), charged);
    for n in 0..300 {
        assert_eq!(used(&server, &format!("k{n:0>100}")), 4);
    }
}

#[test]
fn a_replica_that_takes_in_a_new_copy_answers_peeks_by_the_old_one() {
    let primary = Server::builder()
        .config("repl-diskless-sync", "yes")
        .config("repl-diskless-sync-delay", "0")
        .config("repl-backlog-size", "16kb")
        // So that the replica looks up from each key.
        .config("rdbcompression", "no")
        .start();
    let replica = Server::builder()
        .clock(&primary.clock)
        .replica_of(&primary)
        .config("repl-diskless-load", "swapdb")
        .config("loading-process-events-interval-bytes", "1024")
        .start();
    primary.clock.freeze(NOON);
    primary.ask_value("RL.FIXED k 10 1d COST 3");
    replica.catch_up(&primary);
    // As long as it takes, until the test has seen what it wants.
    config(&replica, "key-load-delay", "50000");

    // While the replica stands still, more comes than the backlog holds.
    replica.suspend();
    primary.ask_value("CLIENT KILL TYPE replica");
    primary.ask_value("RL.FIXED k 10 1d COST 2");
    for n in 0..200 {
        primary.call(&["RL.FIXED", &format!("k{n:0>1000}"), "10", "1d"]).unwrap();
    }
    replica.resume();

    let used = || replica.ask_several("RL.PEEK k FIXED 10 1d").limits[0][6];
    eventually(LIMIT, || replica.info_field("persistence", "async_loading").as_deref() == Some("1"));
    let during = used();
    assert_eq!(
        replica.info_field("persistence", "async_loading").as_deref(),
        Some("1"),
        "it was still loading"
    );
    assert_eq!(during, 3);
    config(&replica, "key-load-delay", "0");
    replica.catch_up(&primary);
    assert_eq!(used(), 5);
    assert_eq!(State::of(&replica), State::of(&primary));
}

#[test]
fn a_shutdown_in_mid_traffic_keeps_every_acknowledged_charge() {
    const CLIENTS: usize = 4;
    for (how, settings) in [("SAVE", None), ("NOSAVE", Some(("appendonly", "yes")))] {
        let mut builder = Server::builder();
        if let Some((name, value)) = settings {
            builder = builder.config(name, value);
        }
        let mut server = builder.start();
        let load = charge_forever(&server, CLIENTS);
        load.wait_for(500);
        if how == "SAVE" {
            server.shutdown_save()
        } else {
            server.shutdown_nosave()
        }
        let acknowledged = load.finish().len() as i64;
        server.start_again();
        let used = used(&server, "k");
        // The last reply to each client may not have come through.
        assert!(
            (acknowledged..=acknowledged + CLIENTS as i64).contains(&used),
            "{how}: {acknowledged}, {used}"
        );
    }
}

/// Clients that charge `k`; each allowed call is an answer.
fn charge_forever(server: &Server, clients: usize) -> Load<()> {
    let client = server.client();
    Load::start(
        clients,
        move || client.get_connection().unwrap(),
        |connection| {
            let reply = send(connection, "RL.FIXED k 1000000 1d");
            reply.is_ok_and(|reply| ints(&reply)[0] == 1).then_some(())
        },
    )
}

#[test]
fn flushing_in_mid_traffic_leaves_whole_limiters() {
    let server = Server::start();
    let replica = Server::builder().clock(&server.clock).replica_of(&server).start();
    let client = server.client();
    let load = Load::start(
        4,
        move || client.get_connection().unwrap(),
        |connection| {
            let reply =
                send(connection, "RL.ALL k FIXED 1000000 1d KEY k:log SLIDINGLOG 1000000 1d").unwrap();
            Some(several(&reply).unwrap().limits)
        },
    );
    for command in ["FLUSHALL ASYNC", "FLUSHDB SYNC", "UNLINK k k:log", "FLUSHALL ASYNC"].repeat(10) {
        load.wait_for(20);
        server.ask_value(command);
    }
    load.wait_for(20);
    // The two limits of a call stand or fall together.
    assert!(load.finish().iter().all(|limits| limits[0][6] == limits[1][6]));
    replica.catch_up(&server);
    assert_eq!(State::of(&replica), State::of(&server));
    server.ask_value("FLUSHALL ASYNC");
    assert_eq!(server.ask("RL.FIXED k 10 1d")[6], 1);
}

// The module itself.

#[test]
fn reloading_in_mid_traffic_loses_no_charge() {
    const CLIENTS: usize = 4;
    const RELOADS: usize = 5;
    let server = Server::start();
    let replica = Server::builder().clock(&server.clock).replica_of(&server).start();
    let path = replica.module_library();
    let port = server.port();
    let load = Load::start(
        CLIENTS,
        move || Caller::new(port),
        |caller| matches!(caller.call(&words("RL.FIXED k 1000000 1d")), Some(Ok(_))).then_some(()),
    );
    let mut operator = server.connection();
    for _ in 0..RELOADS {
        load.wait_for(100);
        // Redis 8 crashes where a connection repeats a command that has been unloaded since, whatever the module: so
        // the connections go first. As one pipeline, lest new ones come in between.
        redis::pipe()
            .cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
            .ignore()
            .cmd("MODULE")
            .arg(&["UNLOAD", "rl"])
            .ignore()
            .cmd("MODULE")
            .arg(&["LOAD", &path])
            .ignore()
            .query::<()>(&mut operator)
            .unwrap();
    }
    load.wait_for(100);
    let acknowledged = load.finish().len() as i64;
    let used =
        redis::cmd("RL.FIXED").arg(&["k", "1000000", "1d", "COST", "0"]).query::<Vec<i64>>(&mut operator);
    // The last reply on each connection may not have come through.
    let unheard = used.unwrap()[6] - acknowledged;
    assert!((0..=(CLIENTS * RELOADS) as i64).contains(&unheard), "{unheard}");
    replica.catch_up(&server);
    assert_eq!(State::of(&replica), State::of(&server));
}

// What an operator does to keys. The limit follows the key.

/// Two servers on one frozen clock, charged alike: what one did not go through, the other did.
fn twins() -> (Server, Server) {
    let server = Server::start();
    let twin = Server::builder().clock(&server.clock).start();
    server.clock.freeze(NOON);
    assert_eq!(charge_all(&server, "k"), charge_all(&twin, "k"));
    server.clock.advance(Duration::from_millis(1500));
    (server, twin)
}

/// Commands on the keys `k` and `k:log`, and what the two are called afterwards, in which database.
const MOVES: [(&[&str], &str, &str); 7] = [
    (&["RENAME k new", "RENAME k:log new:log"], "new", "0"),
    (&["RENAMENX k new", "RENAME k:log new:log"], "new", "0"),
    (&["SET new 1", "RENAME k new", "RENAME k:log new:log"], "new", "0"),
    (&["COPY k new", "COPY k:log new:log", "DEL k k:log"], "new", "0"),
    (&["COPY k k DB 3", "COPY k:log k:log DB 3"], "k", "3"),
    (&["MOVE k 3", "MOVE k:log 3"], "k", "3"),
    (&["SWAPDB 0 3"], "k", "3"),
];

#[test]
fn a_limit_follows_its_key() {
    for (commands, name, database) in MOVES {
        let (server, twin) = twins();
        for command in commands {
            server.ask_value(command);
        }
        server.call(&["SELECT", database]).unwrap();
        assert_eq!(server.ask_value(&peek(name)), twin.ask_value(&peek("k")), "{commands:?}");
        assert_eq!(charge_all(&server, name), charge_all(&twin, "k"), "{commands:?}");
        for key in ["", ":log"] {
            let expiry =
                |server: &Server, name| server.call(&["PEXPIRETIME", &format!("{name}{key}")]).unwrap();
            assert_eq!(expiry(&server, name), expiry(&twin, "k"), "{commands:?}");
        }
    }
}

#[test]
fn a_copy_and_its_original_count_apart() {
    let (server, twin) = twins();
    for command in ["COPY k new", "COPY k:log new:log"] {
        server.ask_value(command);
    }
    let copy = charge_all(&server, "new");
    assert_eq!(charge_all(&server, "k"), copy);
    assert_eq!(charge_all(&twin, "k"), copy);
}

#[test]
fn a_dumped_limiter_counts_on_wherever_it_is_restored() {
    let (server, twin) = twins();
    let away = Server::builder().clock(&server.clock).start();
    for key in ["k", "k:log"] {
        let Value::BulkString(dump) = server.ask_value(&format!("DUMP {key}")) else { panic!("a string") };
        let Value::Int(at) = server.ask_value(&format!("PEXPIRETIME {key}")) else { panic!("an integer") };
        let at = at.to_string();
        away.call(&[b"RESTORE".as_slice(), key.as_bytes(), at.as_bytes(), &dump, b"ABSTTL"]).unwrap();
    }
    assert_eq!(State::of(&away), State::of(&server));
    assert_eq!(charge_all(&away, "k"), charge_all(&twin, "k"));
    assert_eq!(State::of(&away), State::of(&twin));
}
