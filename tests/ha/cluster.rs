//! A cluster under load: slots that move, primaries that go. A limit is one limit wherever its key is.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::cluster::ClusterConnection;
use redis::{RedisError, Value};

use crate::support::{Cluster, Load, Server, State, eventually, send, words};

const WAIT: Duration = Duration::from_secs(60);
const CLIENTS: usize = 4;
const NODE_TIMEOUT_MS: &str = "2000";

// Slots that move.

/// Moves a slot with its keys by the commands that resharding tools send, and lets traffic through between any two.
fn move_slot(cluster: &Cluster, slot: usize, from: &Server, to: &Server, mut breathe: impl FnMut()) {
    let [from_id, to_id] = [from, to].map(|node| node.text(&["CLUSTER", "MYID"]));
    to.ask_value(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    breathe();
    from.ask_value(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    loop {
        breathe();
        // One key at a time: in between, a call of two keys finds them on two nodes.
        let keys = from.ask_texts(&format!("CLUSTER GETKEYSINSLOT {slot} 1"));
        let Some(key) = keys.first() else { break };
        from.ask_value(&format!("MIGRATE 127.0.0.1 {} {key} 0 10000", to.port()));
    }
    breathe();
    let settle = format!("CLUSTER SETSLOT {slot} NODE {to_id}");
    to.ask_value(&settle);
    breathe();
    from.ask_value(&settle);
    for node in &cluster.nodes {
        // Replicas are told by their primaries, and refuse.
        let _ = node.call(&words(&settle));
    }
}

/// Limits of [`LIMIT`] units that no test outlives, of each algorithm, on keys of one slot: what charges them, and what
/// asks for them.
/// The last two have their limit from [`OVERRIDE`], and would give out more without it.
const LIMITS: [[&str; 2]; 8] = [
    ["RL.TOKENBUCKET {t}hash 400 1 3660d", "RL.PEEK {t}hash TOKENBUCKET 400 1 3660d"],
    ["RL.LEAKYBUCKET {t}hash 400 1 3660d", "RL.PEEK {t}hash LEAKYBUCKET 400 1 3660d"],
    ["RL.FIXED {t}fixed 400 3660d", "RL.PEEK {t}fixed FIXED 400 3660d"],
    ["RL.SLIDINGCOUNTER {t}counter 400 3660d", "RL.PEEK {t}counter SLIDINGCOUNTER 400 3660d"],
    ["RL.SLIDINGLOG {t}log 400 3660d", "RL.PEEK {t}log SLIDINGLOG 400 3660d"],
    [
        "RL.ALL {t}one FIXED 400 3660d AS all KEY {t}two SLIDINGLOG 400 3660d",
        "RL.PEEK {t}one FIXED 400 3660d AS all KEY {t}two SLIDINGLOG 400 3660d",
    ],
    [
        "RL.FIXED {t}more 90000 3660d OVERRIDE {t}override BLOCK {t}block 3660d",
        "RL.PEEK {t}more FIXED 90000 3660d OVERRIDE {t}override",
    ],
    [
        "RL.ALL {t}three FIXED 90000 3660d BLOCK {t}block:2 3660d OVERRIDE {t}override KEY {t}four SLIDINGLOG 90000 3660d",
        "RL.PEEK {t}three FIXED 90000 3660d OVERRIDE {t}override",
    ],
];
/// Puts [`LIMIT`] in force where a call names another.
const OVERRIDE: &str = "SET {t}override 400";
const LIMIT: usize = 400;

/// A limit on a key that appears while the slot moves.
const NEW: &str = "RL.FIXED {t}new{N} 20 3660d";
const NEW_LIMIT: usize = 20;

/// Clients that make one call after another, each by its turn; each allowed call is an answer, all others are none.
fn charge_in_turn(
    cluster: &Cluster,
    call_of: impl Fn(usize) -> String + Send + Sync + 'static,
) -> Load<Option<String>> {
    let client = cluster.client_with(|builder| builder.retries(4).min_retry_wait(1).max_retry_wait(20));
    Load::start(
        CLIENTS,
        move || (client.get_connection().unwrap(), 0_usize),
        move |(connection, turn)| {
            *turn += 1;
            let call = call_of(*turn);
            match send(connection, &call) {
                Ok(Value::Array(items)) => Some((items[0] == Value::Int(1)).then_some(call)),
                Ok(other) => panic!("{other:?}"),
                // Halfway between two nodes, a call of two keys is told to come again.
                Err(error) if is_passing(&error) => None,
                Err(error) => panic!("{call}: {error}"),
            }
        },
    )
}

fn is_passing(error: &RedisError) -> bool {
    matches!(error.code(), Some("TRYAGAIN" | "MOVED" | "ASK" | "CLUSTERDOWN"))
}

#[test]
fn a_limit_is_given_out_exactly_while_its_slot_moves() {
    let cluster = Cluster::start(3, 1);
    cluster.node_of("{t}").ask_value(OVERRIDE);
    let generation = Arc::new(AtomicUsize::new(0));
    let load = charge_in_turn(&cluster, {
        let generation = generation.clone();
        move |turn| match LIMITS.get(turn % (LIMITS.len() + 1)) {
            Some([charge, _]) => charge.to_string(),
            None => NEW.replace("{N}", &generation.load(Ordering::Relaxed).to_string()),
        }
    });
    let slot = cluster.slot_of("{t}");
    let home = cluster.node_of("{t}");
    let lease = |id: &str| home.ask(&format!("RL.LEASE {{t}}lease 3 1h {id}"));
    assert!(["a", "b", "c"].iter().all(|id| lease(id)[0] == 1));
    let away = cluster.nodes[..3].iter().find(|node| node.port() != home.port()).unwrap();
    let mut client = cluster.client().get_connection().unwrap();
    let mut moves = 0;
    // There and back, until nothing is left of any limit.
    loop {
        for (from, to) in [(home, away), (away, home)] {
            generation.fetch_add(1, Ordering::Relaxed);
            move_slot(&cluster, slot, from, to, || load.wait_for(2 * CLIENTS));
            moves += 1;
        }
        let mut spent = |peek: &str| match send(&mut client, peek).unwrap() {
            Value::Array(items) => items[0] == Value::Int(0),
            other => panic!("{other:?}"),
        };
        if LIMITS.iter().all(|[_, peek]| spent(peek)) {
            break;
        }
    }
    // Each limit is asked once more at least, so that each has denied.
    load.wait_for(2 * CLIENTS * (LIMITS.len() + 1));
    let mut allowed = BTreeMap::new();
    for call in load.finish().into_iter().flatten() {
        *allowed.entry(call).or_insert(0) += 1;
    }
    for [call, _] in LIMITS {
        assert_eq!(allowed[call], LIMIT, "{call}, after {moves} moves");
    }
    let new: Vec<usize> =
        allowed.iter().filter(|(call, _)| call.contains("{t}new")).map(|(_, &count)| count).collect();
    // Leases move with their slot: who holds one renews it, and others get in when it is given back.
    assert_eq!([lease("d")[0], lease("a")[0]], [0, 1]);
    assert_eq!(home.ask_value("RL.RELEASE {t}lease a"), Value::Int(1));
    assert_eq!([lease("d")[0], lease("a")[0]], [1, 0]);
    for block in ["{t}block", "{t}block:2"] {
        assert!(home.holds(block), "a denial has begun {block}, wherever the slot was");
    }
    assert!(new.iter().all(|&count| count <= NEW_LIMIT), "{new:?}");
    assert!(new.contains(&NEW_LIMIT), "{new:?}");
    for primary in &cluster.nodes[..3] {
        for replica in cluster.replicas_of(primary) {
            replica.catch_up(primary);
            replica.ask_value("READONLY");
            assert_eq!(State::of(replica), State::of(primary));
        }
    }
}

/// Slots that `redis-cli --cluster reshard` moves at once: the lowest of the node that gives them.
const RESHARDED: usize = 24;

/// Moves the lowest slots of a node as an operator does.
fn reshard(from: &Server, to: &Server) {
    let [from_id, to_id] = [from, to].map(|node| node.text(&["CLUSTER", "MYID"]));
    let (node, slots) = (format!("127.0.0.1:{}", from.port()), RESHARDED.to_string());
    // It refuses while the nodes do not agree yet on where the slots of the last move are.
    eventually(Duration::from_secs(60), || {
        Command::new("redis-cli")
            .args(["--cluster", "reshard", &node, "--cluster-from", &from_id, "--cluster-to", &to_id])
            .args(["--cluster-slots", &slots, "--cluster-yes"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap() // `make test` installs it.
            .success()
    });
}

#[test]
fn a_limit_is_given_out_exactly_while_redis_cli_reshards() {
    let cluster = Cluster::start(3, 1);
    // A key in one of the lowest slots, which the first node holds and gives away first.
    let tag = (0..).map(|n| format!("{{r{n}}}")).find(|tag| cluster.slot_of(tag) < RESHARDED).unwrap();
    cluster.node_of(&tag).ask_value(&OVERRIDE.replace("{t}", &tag));
    let charges = LIMITS.map(|[charge, _]| charge.replace("{t}", &tag));
    let load = charge_in_turn(&cluster, {
        let charges = charges.clone();
        move |turn| charges[turn % charges.len()].clone()
    });
    let (home, away) = (&cluster.nodes[0], &cluster.nodes[1]);
    load.wait_for(CLIENTS);
    reshard(home, away);
    assert_eq!(cluster.node_of(&tag).port(), away.port());
    load.wait_for(CLIENTS);
    reshard(away, home);
    assert_eq!(cluster.node_of(&tag).port(), home.port());
    // Enough for every limit to be spent.
    load.wait_for(2 * LIMIT * charges.len());
    let allowed: Vec<String> = load.finish().into_iter().flatten().collect();
    for charge in charges {
        assert_eq!(allowed.iter().filter(|call| **call == charge).count(), LIMIT, "{charge}");
    }
}

/// Pipelines of calls of two keys, decided on IO threads: whatever each is answered, no node dies of it.
#[test]
fn a_slot_moves_under_pipelined_calls_on_io_threads() {
    let cluster = Cluster::start_with(2, 1, &[("io-threads", "4"), ("appendonly", "yes")]);
    let (slot, home, away) = (cluster.slot_of("{t}"), cluster.node_of("{t}"), &cluster.nodes[..2]);
    let away = away.iter().find(|node| node.port() != home.port()).unwrap();
    let clients: Vec<redis::Client> =
        (0..16).map(|number| if number % 4 == 0 { away } else { home }.client()).collect();
    let next = AtomicUsize::new(0);
    let load = Load::start(
        clients.len(),
        move || {
            let index = next.fetch_add(1, Ordering::Relaxed);
            (clients[index].get_connection().unwrap(), index)
        },
        |(connection, turn)| {
            *turn += 1;
            let mut calls = redis::pipe();
            calls.ignore_errors();
            for number in 0..8 {
                let (first, second) = ((*turn + number) % 30, (*turn * 7 + number) % 30);
                let [key, other] = [format!("{{t}}k{first}"), format!("{{t}}j{second}")];
                let command = if number == 7 { "RL.PEEK" } else { "RL.ALL" };
                calls.cmd("ASKING");
                calls.cmd(command).arg(&key).arg(&["FIXED", "1000000000", "1d", "KEY"]).arg(&other);
                calls.arg(&["TOKENBUCKET", "1000000", "5", "1s"]);
                // With a block and an override, which is there for some.
                let (block, over) = (format!("{{t}}b{first}"), format!("{{t}}o{second}"));
                calls.cmd("ASKING");
                calls.cmd("RL.FIXED").arg(&key).arg(&["1000000000", "1d", "BLOCK"]).arg(&block);
                calls.arg(&["1m", "OVERRIDE"]).arg(&over);
            }
            // Each is answered: what it is, or an error that passes.
            let replies: Vec<redis::RedisResult<Value>> = calls.query(connection).unwrap();
            for reply in &replies {
                assert!(reply.as_ref().err().is_none_or(is_passing), "{reply:?}");
            }
            Some(replies.iter().filter(|reply| matches!(reply, Ok(Value::Array(_)))).count())
        },
    );
    load.wait_for(64);
    for (from, to) in [(home, away), (away, home), (home, away)] {
        move_slot(&cluster, slot, from, to, || load.wait_for(8));
    }
    let answered: usize = load.finish().into_iter().sum();
    assert!(answered > 1000, "{answered}");
    for primary in &cluster.nodes[..2] {
        assert_eq!(primary.text(&["PING"]), "PONG");
        for replica in cluster.replicas_of(primary) {
            replica.catch_up(primary);
            replica.ask_value("READONLY");
            assert_eq!(State::of(replica), State::of(primary));
        }
    }
}

// Primaries that go.

/// `RL.FIXED` answers how many units are used, so the answers number the units: one that is given out twice is one too
/// many. Answers none where a call was refused or not heard of.
fn charge_numbered(cluster: &Cluster) -> Load<i64> {
    let client = cluster.client_with(|builder| {
        builder
            .retries(2)
            .min_retry_wait(10)
            .max_retry_wait(50)
            .connection_timeout(Duration::from_secs(1))
            .response_timeout(Duration::from_secs(2))
    });
    Load::start(
        CLIENTS,
        || None,
        move |connection: &mut Option<ClusterConnection>| {
            if connection.is_none() {
                *connection = client.get_connection().ok();
            }
            let reply = send(connection.as_mut()?, "RL.FIXED k 1000000 1d");
            let Ok(reply) = reply else {
                *connection = None;
                return None;
            };
            let reply: Vec<i64> = redis::from_redis_value(reply).unwrap();
            (reply[0] == 1).then_some(reply[6])
        },
    )
}

/// The numbers given out twice.
#[track_caller]
fn twice(numbers: Vec<i64>) -> Vec<i64> {
    let mut once = BTreeSet::new();
    let twice: Vec<i64> = numbers.into_iter().filter(|number| !once.insert(*number)).collect();
    let distinct: BTreeSet<&i64> = twice.iter().collect();
    assert_eq!(distinct.len(), twice.len(), "none is given out three times");
    twice
}

#[test]
fn a_killed_primary_costs_no_more_than_the_charges_of_its_last_moment() {
    let mut cluster = Cluster::start(3, 1);
    cluster.set_node_timeout(NODE_TIMEOUT_MS);
    let port = cluster.node_of("k").port();
    let successor = cluster.replicas_of(cluster.node_of("k"))[0].port();
    let load = charge_numbered(&cluster);
    load.wait_for(300);
    let at = cluster.nodes.iter().position(|node| node.port() == port).unwrap();
    cluster.nodes[at].kill9();
    load.wait_for(300);

    // The old primary comes back as a replica of the new one.
    cluster.nodes[at].start_again();
    let old = &cluster.nodes[at];
    let new = cluster.nodes.iter().find(|node| node.port() == successor).unwrap();
    eventually(WAIT, || old.info_field("replication", "master_port") == Some(successor.to_string()));
    load.wait_for(300);
    // The replica has what the primary had sent; at most one call of each client was answered and not sent yet.
    let twice = twice(load.finish());
    assert!(twice.len() <= CLIENTS, "{twice:?}");
    old.catch_up(new);
    old.ask_value("READONLY");
    assert_eq!(State::of(old), State::of(new));
}

#[test]
fn a_planned_failover_in_the_cluster_gives_out_each_unit_once() {
    let cluster = Cluster::start(3, 1);
    cluster.set_node_timeout(NODE_TIMEOUT_MS);
    let load = charge_numbered(&cluster);
    load.wait_for(200);
    let primary = cluster.node_of("k");
    let replica = cluster.replicas_of(primary)[0];
    replica.ask_value("CLUSTER FAILOVER");
    eventually(WAIT, || {
        replica.info_field("replication", "role").as_deref() == Some("master")
            && primary.info_field("replication", "master_link_status").as_deref() == Some("up")
    });
    load.wait_for(200);
    assert_eq!(twice(load.finish()), [0_i64; 0]);
}
