//! Failover of a primary and its replica: nobody gets more than the limit and what was not replicated yet.
//!
//! `RL.FIXED` answers how many units are used, so the answers to charges of one unit number the units that were given
//! out: a number that is answered twice is a unit too many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use redis::Value;

use crate::support::{Caller, Load, Server, State, eventually};

const NOON: i64 = 1_763_900_000_000_000;
const WAIT: Duration = Duration::from_secs(60);
const CLIENTS: usize = 4;

fn pair() -> (Server, Server) {
    let primary = Server::start();
    let replica = Server::builder().clock(&primary.clock).replica_of(&primary).start();
    (primary, replica)
}

/// A charge of one unit of `k`.
fn charge(limit: i64) -> [String; 4] {
    ["RL.FIXED".into(), "k".into(), limit.to_string(), "1d".into()]
}

/// Charges until refused; answers the units' numbers.
fn exhaust(server: &Server, limit: i64) -> Vec<i64> {
    std::iter::from_fn(|| {
        let reply = server.ints(&charge(limit));
        (reply[0] == 1).then_some(reply[6])
    })
    .collect()
}

/// How often each number was given out, and that none was that cannot be.
#[track_caller]
fn times(numbers: impl IntoIterator<Item = i64>, limit: i64) -> BTreeMap<i64, usize> {
    let mut times = BTreeMap::new();
    for number in numbers {
        assert!((1..=limit).contains(&number), "{number} of {limit}");
        *times.entry(number).or_insert(0) += 1;
    }
    times
}

/// The numbers given out twice; none is given out more often.
#[track_caller]
fn twice(times: &BTreeMap<i64, usize>) -> Vec<i64> {
    assert!(times.values().all(|&count| count <= 2));
    times.iter().filter(|&(_, &count)| count == 2).map(|(&number, _)| number).collect()
}

/// Whether INFO has these lines, as far as can be heard: a change of role ends connections.
fn replication_is(server: &Server, lines: &[&str]) -> bool {
    match Caller::new(server.port()).call(&["INFO", "replication"]) {
        Some(Ok(info)) => {
            let info: String = redis::from_redis_value(info).unwrap();
            lines.iter().all(|line| info.lines().any(|is| is == *line))
        }
        _ => false,
    }
}

const PRIMARY: &[&str] = &["role:master"];
const REPLICA_IN_STEP: &[&str] = &["role:slave", "master_link_status:up"];

/// Tears the connection between the two; the replica, which stands still until it is resumed, cannot make a new one.
fn cut(primary: &Server, replica: &Server) {
    replica.suspend();
    primary.call(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
}

/// Makes a replica the primary by hand.
fn promote(replica: &Server) {
    replica.call(&["REPLICAOF", "NO", "ONE"]).unwrap();
}

/// Clients that charge `k` at the port that `primary` holds, in each way there is; the units' numbers. Callers whose
/// server does not take charges look again.
fn charge_wherever(primary: &Arc<AtomicU16>, limit: i64) -> Load<i64> {
    let primary = primary.clone();
    Load::start(
        CLIENTS,
        || (BTreeMap::new(), 0_usize),
        move |(callers, turn)| {
            let port = primary.load(Ordering::Relaxed);
            let caller: &mut Caller = callers.entry(port).or_insert_with(|| Caller::new(port));
            *turn += 1;
            let plain = charge(limit);
            let reply = match *turn % 3 {
                0 => caller.call(&plain)?,
                1 => caller.call(&[
                    "EVAL",
                    "return redis.call('RL.FIXED', KEYS[1], ARGV[1], ARGV[2])",
                    "1",
                    &plain[1],
                    &plain[2],
                    &plain[3],
                ])?,
                _ => {
                    caller.call(&["MULTI"])?.ok()?;
                    let queued = caller.call(&plain)?;
                    let executed = caller.call(&["EXEC"])?;
                    queued.ok()?;
                    executed.map(|reply| match reply {
                        Value::Array(mut replies) => replies.remove(0),
                        other => panic!("{other:?}"),
                    })
                }
            };
            let reply: Vec<i64> = redis::from_redis_value(reply.ok()?).unwrap();
            (reply[0] == 1).then_some(reply[6])
        },
    )
}

#[test]
fn a_planned_failover_gives_out_the_limit_exactly() {
    const LIMIT: i64 = 1_000_000;
    let (first, second) = pair();
    let port = Arc::new(AtomicU16::new(first.port()));
    let load = charge_wherever(&port, LIMIT);
    for (old, new) in [(&first, &second), (&second, &first), (&first, &second)] {
        load.wait_for(100);
        old.call(&["FAILOVER"]).unwrap();
        eventually(WAIT, || replication_is(new, PRIMARY) && replication_is(old, REPLICA_IN_STEP));
        port.store(new.port(), Ordering::Relaxed);
    }
    load.wait_for(100);
    let numbers = load.finish();
    let given = numbers.len() as i64;
    // Each unit up to the last was given to one caller: none twice, none lost.
    assert!(times(numbers, LIMIT).into_iter().eq((1..=given).map(|number| (number, 1))));
    assert_eq!(second.ints(&charge(LIMIT))[6], given + 1);
}

#[test]
fn a_lost_primary_costs_exactly_what_it_had_not_replicated() {
    const LIMIT: i64 = 20;
    const UNREPLICATED: i64 = 7;
    let (mut primary, replica) = pair();
    primary.clock.freeze(NOON);
    let mut given: Vec<i64> = (0..5).map(|_| primary.ints(&charge(LIMIT))[6]).collect();
    replica.catch_up(&primary);
    cut(&primary, &replica);
    given.extend((0..UNREPLICATED).map(|_| primary.ints(&charge(LIMIT))[6]));
    primary.kill9();
    replica.resume();
    promote(&replica);

    given.extend(exhaust(&replica, LIMIT));
    assert_eq!(given.len() as i64, LIMIT + UNREPLICATED);
    let times = times(given, LIMIT);
    assert_eq!(times.len() as i64, LIMIT);
    assert_eq!(twice(&times), (6..=12).collect::<Vec<_>>());
}

#[test]
fn a_killed_primary_costs_no_more_than_the_charges_of_its_last_moment() {
    const LIMIT: i64 = 1_000_000;
    for round in 0..5 {
        let (mut primary, replica) = pair();
        let port = Arc::new(AtomicU16::new(primary.port()));
        let load = charge_wherever(&port, LIMIT);
        load.wait_for(200 + 37 * round);
        primary.kill9();
        promote(&replica);
        port.store(replica.port(), Ordering::Relaxed);
        load.wait_for(200);
        // What the primary had sent, the replica has: only what it had answered and not sent yet is given out again,
        // which is at most one call of each client.
        let twice = twice(&times(load.finish(), LIMIT));
        assert!(twice.len() <= CLIENTS, "{twice:?}");
    }
}

#[test]
fn a_charge_that_a_replica_has_confirmed_survives_the_primary() {
    const LIMIT: i64 = 1_000_000;
    let (mut primary, replica) = pair();
    let port = Arc::new(AtomicU16::new(primary.port()));
    let confirmed_at = port.clone();
    // A caller that lets a request pass once a replica has confirmed its charge.
    let load = Load::start(CLIENTS, BTreeMap::new, move |callers| {
        let port = confirmed_at.load(Ordering::Relaxed);
        let caller: &mut Caller = callers.entry(port).or_insert_with(|| Caller::new(port));
        let reply: Vec<i64> = redis::from_redis_value(caller.call(&charge(LIMIT))?.ok()?).unwrap();
        let Value::Int(replicas) = caller.call(&["WAIT", "1", "50"])?.ok()? else { panic!("an integer") };
        (reply[0] == 1 && replicas == 1).then_some(reply[6])
    });
    load.wait_for(50);
    // Charges go on, and none is confirmed.
    cut(&primary, &replica);
    let used = |server: &Server| server.ints(&["RL.FIXED", "k", "1000000", "1d", "COST", "0"])[6];
    let before = used(&primary);
    eventually(WAIT, || used(&primary) > before + 10);
    primary.kill9();
    replica.resume();
    promote(&replica);
    let kept = used(&replica);
    // The new primary's own replica confirms what comes now.
    let next = Server::builder().clock(&replica.clock).replica_of(&replica).start();
    port.store(replica.port(), Ordering::Relaxed);
    load.wait_for(50);
    let numbers = load.finish();
    // Nobody was given a unit that another was given, and what was confirmed counts.
    let times = times(numbers, LIMIT);
    assert_eq!(twice(&times), [0_i64; 0]);
    assert!(times.keys().filter(|&&number| number <= kept).count() >= 50);
    next.catch_up(&replica);
}

#[test]
fn a_primary_without_the_replicas_it_must_have_charges_nothing() {
    let primary = Server::builder().config("min-replicas-to-write", "1").start();
    let replica = Server::builder().clock(&primary.clock).replica_of(&primary).start();
    eventually(WAIT, || primary.info_field("replication", "min_slaves_good_slaves").as_deref() == Some("1"));
    assert_eq!(primary.ints(&charge(10))[6], 1);
    replica.catch_up(&primary);
    let before = State::of(&primary);
    cut(&primary, &replica);
    let calls = [
        "RL.FIXED k 10 1d",
        "RL.TOKENBUCKET k 10 1 1d",
        "RL.LEAKYBUCKET k 10 1 1d",
        "RL.SLIDINGCOUNTER k 10 1d",
        "RL.SLIDINGLOG log 10 1d",
        "RL.ALL k FIXED 10 1d KEY log SLIDINGLOG 10 1d",
        "CL.THROTTLE k 10 10 60",
    ];
    for call in calls {
        let words: Vec<&str> = call.split(' ').collect();
        assert!(primary.error(&words).starts_with("NOREPLICAS "), "{call}");
    }
    assert_eq!(State::of(&primary), before);
    let Value::Array(peeked) = primary.call(&["RL.PEEK", "k", "FIXED", "10", "1d"]).unwrap() else {
        panic!("an array")
    };
    assert_eq!(peeked[0], Value::Int(1));
    replica.resume();
    eventually(WAIT, || primary.call(&charge(10)).is_ok());
}

#[test]
fn sentinel_promotes_the_replica_and_the_limit_holds_but_for_the_last_moment() {
    const LIMIT: i64 = 1_000_000;
    let (mut primary, replica) = pair();
    let sentinel = Server::builder()
        .sentinel()
        .config("sentinel", &format!("monitor limiter 127.0.0.1 {} 1", primary.port()))
        .config("sentinel", "down-after-milliseconds limiter 1500")
        .config("sentinel", "failover-timeout limiter 10000")
        .start();
    // It looks often, so that it need not be waited for: a primary that comes back becomes a replica after four of the
    // periods at which Sentinels tell each other of themselves, which are of 2 s.
    let periods = ["info-period", "100", "publish-period", "200"];
    sentinel.call(&[["SENTINEL", "DEBUG"].as_slice(), &periods].concat()).unwrap();
    let address = |sentinel: &Server| {
        let reply = sentinel.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "limiter"]).unwrap();
        redis::from_redis_value::<(String, u16)>(reply).unwrap().1
    };
    let replicas = |sentinel: &Server| sentinel.info_field("sentinel", "master0").unwrap_or_default();
    eventually(WAIT, || {
        replicas(&sentinel).contains("status=ok") && replicas(&sentinel).contains("slaves=1")
    });
    assert_eq!(address(&sentinel), primary.port());

    let port = Arc::new(AtomicU16::new(primary.port()));
    let load = charge_wherever(&port, LIMIT);
    load.wait_for(200);
    primary.kill9();
    eventually(WAIT, || address(&sentinel) == replica.port());
    port.store(address(&sentinel), Ordering::Relaxed);
    load.wait_for(200);

    // The old primary comes back with nothing, and takes what the new one has.
    primary.start_again();
    eventually(WAIT, || replication_is(&primary, REPLICA_IN_STEP));
    load.wait_for(200);
    let times = times(load.finish(), LIMIT);
    let twice = twice(&times);
    assert!(twice.len() <= CLIENTS, "{twice:?}");
    primary.catch_up(&replica);
    assert_eq!(State::of(&primary), State::of(&replica));
}
