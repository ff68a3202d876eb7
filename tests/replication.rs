//! Replication: a replica holds exactly what its primary holds, by effects alone, and is sent nothing else.

use std::time::Duration;

use redis::Value;

use crate::support::{
    Effect, Reply, START, Server, State, Stream, Traffic, comparable, effects, eventually, frozen, purge,
};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

fn replica_of(primary: &Server) -> Server {
    Server::builder().clock(&primary.clock).replica_of(primary).start()
}

fn bare_replica_of(primary: &Server) -> Server {
    Server::builder().without_module().clock(&primary.clock).replica_of(primary).start()
}

/// Random traffic, its foreign keys in place.
fn traffic(primary: &Server, seed: u64) -> Traffic {
    let traffic = Traffic::new(seed).with_steps_back();
    traffic.prepare(primary);
    traffic
}

#[track_caller]
fn assert_in_step(replica: &Server, primary: &Server, keys: &[String]) {
    purge(primary, keys);
    replica.catch_up(primary);
    assert_eq!(State::of(replica), State::of(primary));
}

/// A counter of INFO stats.
fn stat(server: &Server, name: &str) -> u64 {
    server.info_field("stats", name).unwrap().parse().unwrap()
}

/// Parts the two, as a broken network does, while `meanwhile` runs.
fn part(primary: &Server, replica: &Server, meanwhile: impl FnOnce()) {
    replica.suspend();
    primary.call(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    eventually(Duration::from_secs(10), || {
        primary.info_field("replication", "connected_slaves").as_deref() == Some("0")
    });
    meanwhile();
    replica.resume();
}

#[test]
fn a_replica_holds_what_its_primary_holds() {
    for seed in 1..4 {
        let primary = frozen();
        let replica = replica_of(&primary);
        let mut traffic = traffic(&primary, seed);
        for _ in 0..8 {
            traffic.run(&primary, 200);
            assert_in_step(&replica, &primary, &Traffic::keys());
        }
    }
}

#[test]
fn a_replica_without_the_module_and_one_chained_to_it_hold_the_same() {
    let primary = frozen();
    let bare = bare_replica_of(&primary);
    let chained = replica_of(&bare);
    let mut traffic = traffic(&primary, 11);
    for _ in 0..5 {
        traffic.run(&primary, 200);
        assert_in_step(&bare, &primary, &Traffic::keys());
        chained.catch_up(&bare);
        assert_eq!(State::of(&chained), State::of(&primary));
    }
}

#[test]
fn a_replica_has_its_primarys_months_and_answers_for_them() {
    let primary = frozen();
    let (replica, bare) = (replica_of(&primary), bare_replica_of(&primary));
    let limits = "FIXED 5 1mo ALIGN OFFSET 14d FIXED 9 12mo ALIGN AS year";
    // Over two billing days, and back over one of them.
    for days in [0, 20, 40, -30] {
        let clock = &primary.clock;
        let by = Duration::from_micros(24 * HOUR.unsigned_abs() * i64::unsigned_abs(days));
        if days < 0 {
            clock.step_back(by)
        } else {
            clock.advance(by)
        }
        primary
            .ask_several(&format!("RL.ALL {{m}}k {limits} COST 2 KEY {{m}}j FIXED 5 3mo ALIGN OFFSET -9h"));
        replica.catch_up(&primary);
        bare.catch_up(&primary);
        assert_eq!(State::of(&replica), State::of(&primary), "{days}");
        assert_eq!(State::of(&bare), State::of(&primary), "{days}");
        let peek = format!("RL.PEEK {{m}}k {limits}");
        assert_eq!(replica.ask_several(&peek), primary.ask_several(&peek), "{days}");
    }
}

#[test]
fn a_replica_whose_clock_is_wrong_holds_the_same() {
    let primary = frozen();
    let late = Server::builder().replica_of(&primary).start();
    let early = Server::builder().replica_of(&primary).start();
    let mut traffic = Traffic::new(12);
    traffic.prepare(&primary);
    for _ in 0..5 {
        late.clock.freeze(primary.clock.now_us() - HOUR);
        early.clock.freeze(primary.clock.now_us() + 30 * 24 * HOUR);
        traffic.run(&primary, 200);
        purge(&primary, &Traffic::keys());
        late.catch_up(&primary);
        early.catch_up(&primary);
        assert_eq!(State::of(&late), State::of(&primary));
        assert_eq!(early.digest(), primary.digest());
    }
    // A replica hides what is past its expiry by its own clock, and deletes nothing.
    early.clock.freeze(primary.clock.now_us());
    assert_eq!(State::of(&early), State::of(&primary));
}

#[test]
fn a_partial_resync_brings_a_replica_up_to_date() {
    let primary = frozen();
    let replica = replica_of(&primary);
    let mut traffic = traffic(&primary, 21);
    for round in 1..4 {
        traffic.run(&primary, 100);
        part(&primary, &replica, || {
            traffic.run(&primary, 200);
        });
        assert_in_step(&replica, &primary, &Traffic::keys());
        assert_eq!((stat(&primary, "sync_full"), stat(&primary, "sync_partial_ok")), (1, round));
    }
}

#[test]
fn a_full_resync_under_traffic_brings_a_replica_up_to_date() {
    for diskless in ["no", "yes"] {
        let primary = Server::builder()
            .config("repl-diskless-sync", diskless)
            .config("repl-diskless-sync-delay", "0")
            .start();
        primary.clock.freeze(START);
        let swaps = Server::builder().config("repl-diskless-load", "swapdb");
        let swaps = swaps.clock(&primary.clock).replica_of(&primary).start();
        let replicas = [swaps, bare_replica_of(&primary)];
        let mut traffic = traffic(&primary, 22);
        traffic.run(&primary, 200);
        // No part of the stream will do.
        let syncs = stat(&primary, "sync_full");
        primary.call(&["DEBUG", "CHANGE-REPL-ID"]).unwrap();
        primary.call(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
        eventually(Duration::from_secs(20), || {
            traffic.run(&primary, 20);
            stat(&primary, "sync_full") == syncs + 2
        });
        traffic.run(&primary, 100);
        for replica in &replicas {
            assert_in_step(replica, &primary, &Traffic::keys());
        }
    }
}

#[test]
fn a_replica_follows_while_its_module_is_exchanged() {
    let primary = frozen();
    let replica = replica_of(&primary);
    let library = replica.module_library();
    let mut traffic = traffic(&primary, 51);
    for _ in 0..3 {
        traffic.run(&primary, 100);
        replica.ask_value("MODULE UNLOAD rl");
        traffic.run(&primary, 100);
        assert_in_step(&replica, &primary, &Traffic::keys());
        replica.call(&["MODULE", "LOAD", &library]).unwrap();
        traffic.run(&primary, 100);
        assert_in_step(&replica, &primary, &Traffic::keys());
        let peek = "RL.PEEK h0 FIXED 10 1m TOKENBUCKET 10 3 10s KEY l0 SLIDINGLOG 10 1m";
        assert_eq!(replica.reply_to(peek), primary.reply_to(peek));
    }
}

#[test]
fn charges_in_any_database_reach_the_replica() {
    let primary = frozen();
    let mut stream = Stream::join(&primary);
    let replica = replica_of(&primary);
    let mut connection = primary.connection();
    for db in [0, 3, 0, 15] {
        redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
        redis::cmd("RL.FIXED").arg(&["k", "10", "1h"]).exec(&mut connection).unwrap();
        assert!(stream.read(&primary).contains(&format!("SELECT {db}")));
    }
    // And in several within one transaction.
    let mut transaction = redis::pipe();
    for db in ["0", "2", "0"] {
        transaction.cmd("SELECT").arg(db).cmd("RL.SLIDINGLOG").arg(&["log", "10", "1h"]);
    }
    transaction.atomic().exec(&mut connection).unwrap();
    let sent = stream.read(&primary);
    let at = |effect: &str| sent.iter().rposition(|sent| sent.starts_with(effect)).unwrap();
    assert!(at("SELECT 2") < at("SELECT 0"), "{sent:?}");
    assert_eq!(effects(sent).iter().filter(|effect| effect.starts_with("ZADD")).count(), 3);
    replica.catch_up(&primary);
    assert_eq!(replica.digest(), primary.digest());
}

/// Whether the reply says that the call began a block.
fn begins_block(reply: &Value) -> bool {
    let Value::Array(items) = reply else { return false };
    items.get(7) == Some(&Value::Int(2)) || items.iter().any(begins_block)
}

/// Whether the reply says that nothing was to be charged.
fn is_refused(words: &[String], reply: &Reply) -> bool {
    if words[0] == "RL.RELEASE" {
        // One that has ended is removed, and not counted.
        return reply.is_err();
    }
    let Ok(Value::Array(items)) = reply else { return true };
    let first = &items[0];
    match words[0].as_str() {
        "RL.PEEK" => true,
        "CL.THROTTLE" => *first == Value::Int(1),
        "RL.ALL" => *first == Value::Int(0),
        _ => *first == Value::Int(0) && !words.contains(&"FORCE".into()),
    }
}

/// Whether every limit of the call has COST 0.
fn only_asks(words: &[String]) -> bool {
    let limits = words.iter().filter(|word| LIMITS.iter().any(|limit| word.ends_with(limit))).count();
    let zeros = words.windows(2).filter(|pair| pair[0] == "COST" && pair[1] == "0").count();
    zeros > 0 && zeros == limits
}

const LIMITS: [&str; 6] = ["TOKENBUCKET", "LEAKYBUCKET", "FIXED", "SLIDINGCOUNTER", "SLIDINGLOG", "LEASE"];

/// Checks that `effect` is one of the contract's, with absolute times, on one of `keys`.
#[track_caller]
fn check_effect(effect: &Effect, keys: &[String], now_us: i64) {
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("{text}: {effect:?}"));
    let tag = |field: &str| assert!(["tb", "lb", "fw", "fa", "sc"].contains(&&field[..2]), "{effect:?}");
    let words: Vec<&str> = effect.split(' ').collect();
    match words[..] {
        ["HSET", _, ref pairs @ ..] => {
            assert!(!pairs.is_empty() && pairs.len() % 2 == 0, "{effect:?}");
            for pair in pairs.chunks(2) {
                tag(pair[0]);
                number(pair[1].rsplit_once('@').unwrap().1);
            }
        }
        ["HDEL", _, ref fields @ ..] => fields.iter().for_each(|field| tag(field)),
        ["ZADD", _, score, member] => {
            assert!(number(score) > 1_000_000_000_000_000, "{effect:?}");
            match member.strip_prefix("L:") {
                Some(holder) => assert!(!holder.is_empty()),
                None => member.split(':').for_each(|part| assert!(number(part) >= 0)),
            }
        }
        ["ZREM", _, ref members @ ..] => assert!(!members.is_empty()),
        ["ZREMRANGEBYRANK", _, "0", last] => assert!(number(last) >= 0),
        ["UNLINK", _] => {}
        ["PEXPIREAT", _, at] => assert!(number(at) > now_us / 1000, "{effect:?}"),
        // A block of one millisecond is there in this one.
        ["SET", _, "1", "PXAT", at] => assert!(number(at) >= now_us / 1000, "{effect:?}"),
        _ => panic!("not an effect: {effect:?}"),
    }
    assert!(keys.iter().any(|key| key == words[1]), "{effect:?} is not on one of {keys:?}");
}

#[test]
fn the_stream_holds_only_effects_in_whole_transactions() {
    let primary = frozen();
    primary.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).unwrap();
    let mut stream = Stream::join(&primary);
    let mut traffic = Traffic::new(31);
    traffic.prepare(&primary);
    let keys = Traffic::keys();
    stream.read(&primary);
    let (mut charged, mut silent, mut blocked) = (0, 0, 0);
    for _ in 0..3000 {
        traffic.move_clock(&primary.clock);
        // The server's own part: what has expired goes.
        purge(&primary, &keys);
        for effect in stream.read(&primary) {
            assert!(
                ["SELECT", "MULTI", "EXEC", "DEL", "UNLINK"].contains(&effect.split(' ').next().unwrap()),
                "{effect:?}"
            );
        }
        let words = traffic.next_call();
        let reply = comparable(primary.call(&words));
        let sent = effects(stream.read(&primary));
        if is_refused(&words, &reply) || only_asks(&words) {
            let begins = reply.as_ref().is_ok_and(begins_block);
            let blocks = sent.iter().all(|effect| effect.starts_with("SET "));
            assert!(
                blocks && sent.is_empty() != begins,
                "{words:?} was answered {reply:?} and sent {sent:?}"
            );
            silent += usize::from(!begins);
            blocked += usize::from(begins);
        } else {
            charged += usize::from(!sent.is_empty());
        }
        let named: Vec<String> = words.iter().filter(|word| keys.contains(word)).cloned().collect();
        for effect in &sent {
            check_effect(effect, &named, primary.clock.now_us());
        }
        for key in &named {
            for once in ["HSET", "HDEL", "PEXPIREAT", "ZADD", "SET"] {
                let times =
                    sent.iter().filter(|effect| effect.starts_with(&format!("{once} {key} "))).count();
                assert!(times <= 1, "{words:?} sent {sent:?}");
            }
        }
    }
    assert!(charged > 500 && silent > 500 && blocked > 5, "{charged} {silent} {blocked}");
}

#[test]
fn what_charges_nothing_adds_not_one_byte() {
    let primary = frozen();
    let replica = replica_of(&primary);
    for limit in [
        "TOKENBUCKET tb 3 1 1h",
        "LEAKYBUCKET lb 3 1 1h",
        "FIXED fw 3 1h",
        "FIXED fa 3 7d ALIGN",
        "SLIDINGCOUNTER sc 3 7d",
        "SLIDINGLOG sl 3 1h",
    ] {
        primary.reply_to(&format!("RL.{limit} COST 3")).unwrap();
    }
    primary.reply_to("RL.FIXED debt 3 1h COST 10 FORCE").unwrap();
    primary.reply_to("RL.FIXED most 3 1h COST 1000000000000 FORCE").unwrap();
    primary.reply_to("CL.THROTTLE cell 2 1 60 3").unwrap();
    primary.reply_to("SET string text").unwrap();
    primary.reply_to("HSET hash field text").unwrap();
    primary.reply_to("HSET broken fw:1000 text").unwrap();
    primary.clock.advance(Duration::from_millis(1500));
    let silent = [
        // Denied.
        "RL.TOKENBUCKET tb 3 1 1h",
        "RL.LEAKYBUCKET lb 3 1 1h",
        "RL.FIXED fw 3 1h",
        "RL.FIXED fa 3 7d ALIGN",
        "RL.SLIDINGCOUNTER sc 3 7d",
        "RL.SLIDINGLOG sl 3 1h",
        "RL.FIXED none 3 1h COST 4",
        "RL.SLIDINGLOG none 0 1h",
        "CL.THROTTLE cell 2 1 60",
        "RL.ALL none FIXED 10 1s KEY none2 SLIDINGLOG 10 1s KEY fw FIXED 3 1h",
        "RL.ALL none FIXED 10 1s FORCE KEY sl SLIDINGLOG 3 1h COST 2",
        // Granted none of it.
        "RL.TOKENBUCKET tb 3 1 1h COST 5 PARTIAL",
        "RL.FIXED fw 3 1h COST 5 PARTIAL",
        "RL.SLIDINGLOG sl 3 1h COST 5 PARTIAL",
        // Asked only.
        "RL.TOKENBUCKET tb 3 1 1h COST 0",
        "RL.FIXED debt 3 1h COST 0",
        "RL.FIXED none 3 1h COST 0 FORCE",
        "RL.SLIDINGLOG none 3 1h COST 0 PARTIAL",
        "RL.ALL fw FIXED 3 1h COST 0 KEY sl SLIDINGLOG 3 1h COST 0",
        "CL.THROTTLE cell 2 1 60 0",
        "RL.PEEK fw FIXED 3 1h KEY sl SLIDINGLOG 3 1h KEY none FIXED 10 1s",
        "RL.PEEK fw FIXED 30 1h COST 5 KEY none SLIDINGLOG 10 1s COST -3",
        // Gave back where nothing was used.
        "RL.TOKENBUCKET none 3 1 1h COST -1",
        "RL.SLIDINGCOUNTER none 3 7d COST -1",
        "RL.SLIDINGLOG none 3 1h COST -1",
        "RL.FIXED fw 3 2h COST -1",
        "CL.THROTTLE none 2 1 60 -1",
        // Errors.
        "RL.FIXED fw 3 1000",
        "RL.FIXED",
        "RL.FIXED string 3 1h",
        "RL.SLIDINGLOG fw 3 1h",
        "RL.FIXED sl 3 1h FORCE",
        "RL.FIXED hash 3 1h",
        "RL.FIXED broken 3 1s",
        "CL.THROTTLE string 2 1 60",
        "RL.FIXED most 3 1h COST 1000000000000 FORCE NO",
        "RL.ALL none FIXED 10 1s KEY none2 TOKENBUCKET 10 10 1s KEY string FIXED 10 1s",
        "RL.ALL none FIXED 10 1s FORCE KEY broken FIXED 10 1s FORCE",
        "RL.ALL none FIXED 10 1s KEY none FIXED 10 1s",
        "RL.PEEK string FIXED 10 1s",
    ];
    let before = primary.replication_offset();
    let state = State::of(&primary);
    for command in silent {
        let reply = primary.reply_to(command);
        assert_eq!(primary.replication_offset(), before, "{command} was answered {reply:?}");
    }
    let mut connection = primary.connection();
    let mut transaction = redis::pipe();
    transaction.atomic();
    for command in silent.iter().filter(|command| **command != "RL.FIXED") {
        let mut words = command.split(' ');
        transaction.cmd(words.next().unwrap()).arg(words.collect::<Vec<_>>()).ignore();
    }
    transaction.query::<Value>(&mut connection).unwrap_err();
    for command in silent {
        let words =
            [vec!["EVAL", "return redis.pcall(unpack(ARGV))", "0"], command.split(' ').collect()].concat();
        let _ = primary.call(&words);
    }
    assert_eq!(primary.replication_offset(), before);
    assert_eq!(State::of(&primary), state);
    replica.catch_up(&primary);
    assert_eq!(State::of(&replica), state);
}

#[test]
fn a_script_or_a_transaction_is_sent_as_one_transaction_of_effects() {
    let primary = frozen();
    let mut stream = Stream::join(&primary);
    let script = "redis.call('RL.FIXED', KEYS[1], '10', '1h') \
                  redis.call('RL.SLIDINGLOG', KEYS[2], '10', '1h') \
                  return redis.call('RL.FIXED', KEYS[1], '1', '1h')";
    assert_eq!(primary.ints(&["EVAL", script, "2", "hash", "log"])[0], 0);
    let at = START / 1000 + 3_600_000;
    let expiry = at + 450_000 + 1000;
    let expected = [
        format!("HSET hash fw:3600000 1@{}", START + 3_600_000_000),
        format!("PEXPIREAT hash {expiry}"),
        format!("ZADD log {START} 1"),
        format!("PEXPIREAT log {expiry}"),
    ];
    assert_eq!(effects(stream.read(&primary)), expected);

    primary.call(&["DEL", "hash", "log"]).unwrap();
    stream.read(&primary);
    let mut transaction = redis::pipe();
    transaction.atomic();
    transaction.cmd("RL.FIXED").arg(&["hash", "10", "1h"]).cmd("RL.FIXED").arg(&["hash", "1", "1h"]);
    transaction.cmd("RL.SLIDINGLOG").arg(&["log", "10", "1h"]);
    transaction.query::<Vec<Value>>(&mut primary.connection()).unwrap();
    assert_eq!(effects(stream.read(&primary)), expected);
}

#[test]
fn an_expired_key_is_deleted_by_the_server() {
    let primary = frozen();
    primary.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).unwrap();
    let mut stream = Stream::join(&primary);
    for command in
        ["RL.PEEK k FIXED 3 1s", "RL.FIXED k 3 1s COST 4", "RL.FIXED k 3 1s COST 0", "RL.FIXED k 0 1s"]
    {
        primary.reply_to("RL.FIXED k 3 1s").unwrap();
        primary.clock.advance(Duration::from_secs(3));
        stream.read(&primary);
        primary.reply_to(command).unwrap();
        let sent = effects(stream.read(&primary));
        assert!(sent == ["DEL k"] || sent == ["UNLINK k"], "{command} sent {sent:?}");
    }
}

#[test]
fn a_denied_call_sends_the_pull_after_the_clock_was_set_back() {
    let primary = frozen();
    let mut stream = Stream::join(&primary);
    primary.reply_to("RL.FIXED k 3 1h COST 3").unwrap();
    primary.reply_to("RL.SLIDINGLOG l 3 1h COST 3").unwrap();
    stream.read(&primary);
    // A second is not worth a write.
    primary.clock.step_back(Duration::from_secs(1));
    primary.reply_to("RL.FIXED k 3 1h").unwrap();
    primary.reply_to("RL.SLIDINGLOG l 3 1h").unwrap();
    assert_eq!(stream.read(&primary), [] as [Effect; 0]);
    primary.clock.step_back(Duration::from_secs(9));
    let now = START - 10_000_000;
    for asks in ["RL.PEEK k FIXED 3 1h", "RL.PEEK l SLIDINGLOG 3 1h", "RL.FIXED k 3 1h COST 0"] {
        primary.reply_to(asks).unwrap();
        assert_eq!(stream.read(&primary), [] as [Effect; 0], "{asks}");
    }
    primary.reply_to("RL.FIXED k 3 1h").unwrap();
    assert_eq!(effects(stream.read(&primary)), [format!("HSET k fw:3600000 3@{}", now + 3_600_000_000)]);
    primary.reply_to("RL.SLIDINGLOG l 3 1h").unwrap();
    let expiry = now / 1000 + 3_600_000 + 450_000 + 1000;
    assert_eq!(
        effects(stream.read(&primary)),
        ["UNLINK l".into(), format!("ZADD l {now} 3:3"), format!("PEXPIREAT l {expiry}")]
    );
    // Once is enough.
    primary.reply_to("RL.FIXED k 3 1h").unwrap();
    primary.reply_to("RL.SLIDINGLOG l 3 1h").unwrap();
    assert_eq!(stream.read(&primary), [] as [Effect; 0]);
}

#[test]
fn a_replica_answers_rl_peek_and_refuses_to_charge() {
    let primary = frozen();
    let replica = replica_of(&primary);
    let mut traffic = traffic(&primary, 41);
    let peeks = [
        "RL.PEEK h0 TOKENBUCKET 10 3 10s FIXED 10 1m SLIDINGCOUNTER 50 1h KEY h1 LEAKYBUCKET 3 1 1m",
        "RL.PEEK l0 SLIDINGLOG 10 10s COST 7 KEY l1 SLIDINGLOG 1 1h",
        "RL.PEEK string FIXED 10 1s",
    ];
    for _ in 0..50 {
        traffic.run(&primary, 10);
        replica.catch_up(&primary);
        for peek in peeks {
            assert_eq!(replica.reply_to(peek), primary.reply_to(peek), "{peek}");
        }
    }
    for write in [
        "RL.TOKENBUCKET k 10 10 1s",
        "RL.LEAKYBUCKET k 10 10 1s",
        "RL.FIXED k 10 1s COST 0",
        "RL.SLIDINGCOUNTER k 10 1s",
        "RL.SLIDINGLOG k 10 1s",
        "RL.ALL k FIXED 10 1s",
        "CL.THROTTLE k 10 10 1",
    ] {
        let error = replica.reply_to(write).unwrap_err();
        assert!(error.starts_with("READONLY "), "{write}: {error}");
    }
}

#[test]
fn rl_peek_on_a_replica_goes_by_the_replicas_clock() {
    let primary = frozen();
    let replica = Server::builder().replica_of(&primary).start();
    primary.ask("RL.FIXED k 10 10s COST 10");
    replica.catch_up(&primary);
    for (ahead, used, reset) in [(4 * SECOND, 10, 6000), (-SECOND, 10, 11_000), (-HOUR, 10, 10_000)] {
        replica.clock.freeze(START + ahead);
        let peeked = replica.ask_several("RL.PEEK k FIXED 10 10s").limits[0];
        assert_eq!((peeked[6], peeked[4]), (used, reset));
        assert_eq!(replica.digest(), primary.digest());
    }
}

#[test]
fn a_replica_takes_what_has_expired_for_unused() {
    let primary = frozen();
    primary.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).unwrap();
    let replica = replica_of(&primary);
    primary.reply_to("RL.FIXED k 10 1s COST 10").unwrap();
    primary.reply_to("RL.SLIDINGLOG l 10 1s COST 10").unwrap();
    replica.catch_up(&primary);
    let peek = "RL.PEEK k FIXED 10 1h KEY l SLIDINGLOG 10 1h";
    primary.clock.advance(Duration::from_millis(2126));
    let there = replica.digest();
    let on_replica = replica.reply_to(peek);
    assert_eq!(replica.digest(), there, "a replica deletes nothing by itself");
    assert_eq!(on_replica, primary.reply_to(peek));
    assert_eq!(on_replica, replica.reply_to("RL.PEEK k2 FIXED 10 1h KEY l2 SLIDINGLOG 10 1h"));
}

#[test]
fn stale_entries_leave_the_replica_as_they_leave_the_primary_whatever_else_lies_there() {
    let primary = frozen();
    let replica = replica_of(&primary);
    primary.text(&["PING"]);
    for _ in 0..26 {
        primary.clock.advance(Duration::from_millis(1));
        assert_eq!(primary.ask("RL.SLIDINGLOG log 100 5ms")[0], 1);
    }
    // Put there by hand, after the oldest of the entries that are stale and still there, whose time it is near.
    let text = primary.ask_texts("ZRANGE log 0 0 WITHSCORES");
    let oldest = text[1].parse::<i64>().unwrap();
    assert!(oldest < primary.clock.now_us() - 5000, "it is stale");
    primary.call(&["ZADD", "log", &(oldest + 1).to_string(), "foreign"]).unwrap();
    primary.clock.advance(Duration::from_millis(1));
    // The entry before goes, what is not ours stays; where it comes to be the oldest that is there, it is met.
    for used in 5..=9 {
        assert_eq!(primary.ask("RL.SLIDINGLOG log 100 5ms")[6], used);
    }
    assert_eq!(primary.ask_texts("ZRANGE log 0 0"), ["foreign"]);
    // Nothing is trimmed past it; with the 48th unit the oldest is looked at, and from then on every call is an error.
    for used in 10..=25 {
        assert_eq!(primary.ask("RL.SLIDINGLOG log 100 5ms")[6], used);
    }
    for _ in 0..2 {
        assert_eq!(primary.ask_error("RL.SLIDINGLOG log 100 5ms"), "ERR key holds other data");
    }
    replica.catch_up(&primary);
    let entries = |server: &Server| server.ask_texts("ZRANGE log 0 -1 WITHSCORES");
    assert_eq!(entries(&replica), entries(&primary));
    assert!(entries(&primary).contains(&"foreign".into()), "what is not ours stays");
    assert_eq!(State::of(&replica), State::of(&primary));
}
