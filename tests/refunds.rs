//! Refunds: those of logs of any length are a few effects, and those that take nothing back are none.

use redis::{Connection, Value};

use crate::support::{Effect, Observed, START, Server, State, Stream, effects, send, words};

/// Entries of the long logs.
const ENTRIES: i64 = 100_000;

/// A server with an append-only file, on a frozen clock, and its replica.
fn pair() -> (Server, Server) {
    let primary = Server::builder()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .config("aof-use-rdb-preamble", "no")
        .start();
    primary.clock.freeze(START);
    let replica = Server::builder().clock(&primary.clock).replica_of(&primary).start();
    (primary, replica)
}

/// The entry of one number from 1 on, in a log whose entries are of so many units each: score and member.
fn entry(number: i64, units: i64, left: i64) -> [String; 2] {
    let total = number * units;
    let member = if left == 1 { total.to_string() } else { format!("{total}:{left}") };
    [(START - (ENTRIES + 1 - number) * 1000).to_string(), member]
}

/// Plants a log in `log`, as calls would have left it.
fn plant(server: &Server, units: i64) {
    server.ask_value("DEL log");
    for first in (1..=ENTRIES).step_by(5000) {
        let mut call = vec!["ZADD".to_owned(), "log".into()];
        call.extend((first..first + 5000).flat_map(|number| entry(number, units, units)));
        server.call(&call).unwrap();
    }
    server.ask_value(&format!("PEXPIREAT log {}", START / 1000 + 864_000_000));
}

/// What a refund leaves: members and scores, oldest first.
fn left_after(refund: i64, units: i64) -> Vec<String> {
    let (gone, part) = (refund / units, refund % units);
    (gone + 1..=ENTRIES)
        .flat_map(|number| {
            let [score, member] = entry(number, units, units - if number == gone + 1 { part } else { 0 });
            [member, score]
        })
        .collect()
}

fn names(effects: &[Effect]) -> Vec<&str> {
    effects.iter().map(|effect| effect.split(' ').next().unwrap()).collect()
}

/// Calls as a client, in a transaction, or from a script.
const WAYS: [fn(&mut Connection, &str) -> Value; 3] = [
    |connection, line| send(connection, line).unwrap(),
    |connection, line| {
        send(connection, "MULTI").unwrap();
        send(connection, line).unwrap();
        let Value::Array(mut replies) = send(connection, "EXEC").unwrap() else {
            panic!("EXEC answers none")
        };
        replies.remove(0)
    },
    |connection, line| {
        let words = words(line);
        let script = "return redis.call(unpack(ARGV))";
        redis::cmd("EVAL").arg(script).arg(1).arg("log").arg(&words).query(connection).unwrap()
    },
];

#[test]
fn a_refund_of_most_of_a_long_log_is_a_few_effects_and_leaves_what_it_says() {
    let (mut primary, replica) = pair();
    let mut stream = Stream::join(&primary);
    // Few stay, or half of them; entries of one unit, or of three, of which one is taken in part.
    for (units, refund, sent) in [
        (1, 99_900, &["ZREMRANGEBYSCORE"][..]),
        (1, 50_000, &["ZREMRANGEBYSCORE"]),
        (1, 99_999, &["ZREMRANGEBYSCORE"]),
        (3, 299_900, &["ZADD", "ZREM", "ZREMRANGEBYSCORE"]),
        (3, 150_001, &["ZADD", "ZREM", "ZREMRANGEBYSCORE"]),
    ] {
        for way in if refund == 99_900 || refund == 150_001 { &WAYS[..] } else { &WAYS[..1] } {
            plant(&primary, units);
            let (mut watching, mut calling) = (primary.connection(), primary.connection());
            send(&mut watching, "WATCH log").unwrap();
            stream.read(&primary);
            let reply = way(&mut calling, &format!("RL.SLIDINGLOG log 1000000 1h COST -{refund}"));
            let reply: Vec<i64> = redis::from_redis_value(reply).unwrap();
            let used = ENTRIES * units - refund;
            assert_eq!((reply[0], reply[6]), (1, used), "{refund} of {units} each");
            let effects = effects(stream.read(&primary));
            assert_eq!(names(&effects), sent, "{refund} of {units} each");

            let there = primary.ask_texts("ZRANGE log 0 -1 WITHSCORES");
            assert!(there == left_after(refund, units), "{refund} of {units} each: other entries stay");
            assert_eq!(primary.ask_int("PEXPIRETIME log"), START / 1000 + 864_000_000);
            // The next call counts from there.
            assert_eq!(primary.ask("RL.SLIDINGLOG log 1000000 1h COST 0")[6], used);

            send(&mut watching, "MULTI").unwrap();
            send(&mut watching, "SET unwatched 1").unwrap();
            assert_eq!(send(&mut watching, "EXEC").unwrap(), Value::Nil, "a WATCH breaks");

            replica.catch_up(&primary);
            assert_eq!(State::of(&replica), State::of(&primary));
        }
        let before = State::of(&primary);
        stream.read(&primary);
        primary.kill9();
        primary.start_again();
        assert_eq!(State::of(&primary), before, "from the append-only file");
        replica.catch_up(&primary);
        stream = Stream::join(&primary);
    }
}

#[test]
fn a_refund_where_nothing_is_stored_writes_nothing() {
    let observed = Observed::frozen();
    for limiter in [
        "RL.TOKENBUCKET k 10 1 1s",
        "RL.LEAKYBUCKET k 10 1 1s",
        "RL.FIXED k 10 1s",
        "RL.FIXED k 10 1s ALIGN",
        "RL.SLIDINGCOUNTER k 10 1s",
        "RL.SLIDINGLOG k 10 1s",
    ] {
        let (name, rest) = limiter.split_once(" k ").unwrap();
        let spec = format!("{} {rest}", name.strip_prefix("RL.").unwrap());
        for call in [
            format!("{limiter} COST -1"),
            format!("{limiter} COST -5 FORCE"),
            format!("{limiter} COST -5 PARTIAL"),
            format!("RL.ALL k {spec} COST -1"),
            format!("RL.ALL k {spec} COST -1 KEY j FIXED 10 1s COST -1"),
        ] {
            assert_eq!(observed.effects_of(&call), [""; 0], "{call}");
            assert_eq!(observed.ask_int("DBSIZE"), 0, "{call}");
        }
    }
    assert_eq!(observed.effects_of("CL.THROTTLE k 9 1 1 -1"), [""; 0]);
}

#[test]
fn a_refund_to_a_window_that_counts_nothing_writes_nothing() {
    let observed = Observed::frozen();
    observed.ask("RL.SLIDINGCOUNTER k 10 1m COST 5");
    observed.pass_ms(61_000);
    let (before, mut watching) = (State::of(&observed), observed.connection());
    send(&mut watching, "WATCH k").unwrap();
    for call in [
        "RL.SLIDINGCOUNTER k 10 1m COST -1",
        "RL.SLIDINGCOUNTER k 10 1m COST -1000",
        "RL.SLIDINGCOUNTER k 10 1m COST -1 FORCE",
        "RL.ALL k SLIDINGCOUNTER 10 1m COST -1",
    ] {
        assert_eq!(observed.effects_of(call), [""; 0], "{call}");
        assert_eq!(State::of(&observed), before, "{call}");
    }
    assert_eq!(observed.ask("RL.SLIDINGCOUNTER k 10 1m COST -1")[6], 5, "4.9, rounded up");
    send(&mut watching, "MULTI").unwrap();
    send(&mut watching, "PING").unwrap();
    assert!(matches!(send(&mut watching, "EXEC").unwrap(), Value::Array(_)), "no WATCH breaks");
    // Once something was charged in the present window, that can be given back.
    observed.ask("RL.SLIDINGCOUNTER k 10 1m COST 2");
    let at = START + 60_000_000;
    let sent = observed.effects_of("RL.SLIDINGCOUNTER k 10 1m COST -1000");
    assert_eq!(sent, [format!("HSET k sc:60000 0,5@{at}")]);
    assert_eq!(observed.effects_of("RL.SLIDINGCOUNTER k 10 1m COST -1000"), [""; 0]);
}

#[test]
fn a_refund_to_a_stored_bucket_that_is_drained_deletes_it() {
    let observed = Observed::frozen();
    for (limiter, field) in [
        ("RL.TOKENBUCKET k 10 10 1s", "tb:1000"),
        ("RL.LEAKYBUCKET k 10 10 1s", "lb:1000"),
        ("RL.FIXED k 10 1s", "fw:1000"),
    ] {
        observed.ask(&format!("{limiter} COST 10"));
        observed.pass_ms(1500);
        assert!(observed.holds("k"));
        assert_eq!(observed.effects_of(&format!("{limiter} COST -1")), [format!("HDEL k {field}")]);
        assert_eq!(observed.effects_of(&format!("{limiter} COST -1")), [""; 0]);
        assert!(!observed.holds("k"));
    }
}
