//! Worst cases stay bounded: a log of a million entries, 64 limits in a call, keys of 64 KiB.
//!
//! What a call costs shows in what it writes; where it writes nothing, in the quickest of several tries, which a busy
//! machine does not slow. `make bench-worst` measures the same cases.

use std::fmt::Write;
use std::time::{Duration, Instant};

use redis::Value;

use crate::support::{Effect, START, Server, Stream, effects, frozen};

/// Entries of one unit, a millisecond apart; the newest at [`START`].
const ENTRIES: i64 = 1_000_000;
/// Enough where each call's effects are looked at.
const FEWER: i64 = 100_000;
const STEP_US: i64 = 1000;
const HOUR_US: u64 = 3_600_000_000;

/// Far below what reading all entries takes, far above what reading a few does.
const QUICK: Duration = Duration::from_millis(20);

/// A frozen server that holds a log of live entries, and the effects of what it is asked.
struct Loaded {
    server: Server,
    stream: Stream,
}

/// A log of so many entries, up to [`START`], as DUMP would give it: to have a server make one takes some seconds.
fn dump_of_a_log(entries: i64) -> Vec<u8> {
    const SORTED_SET: u8 = 5;
    const LONG_LENGTH: u8 = 0x80;
    const RDB_VERSION: [u8; 2] = [10, 0];
    let mut dump = vec![SORTED_SET, LONG_LENGTH];
    dump.extend(u32::try_from(entries).unwrap().to_be_bytes());
    // The last first, as servers do: each is then put before the others.
    for total in (1..=entries).rev() {
        let member = total.to_string();
        dump.push(u8::try_from(member.len()).unwrap());
        dump.extend(member.as_bytes());
        dump.extend(((START - (entries - total) * STEP_US) as f64).to_le_bytes());
    }
    dump.extend(RDB_VERSION);
    dump.extend(crc64(&dump).to_le_bytes());
    dump
}

/// The checksum at the end of a dump: CRC-64 with Jones' polynomial, all bits reflected.
fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
    let step = |crc: u64| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    let table: Vec<u64> = (0..256).map(|byte| (0..8).fold(byte, |crc, _| step(crc))).collect();
    bytes.iter().fold(0, |crc, byte| table[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

impl Loaded {
    fn start(entries: i64) -> Self {
        let server = frozen();
        server.call(&[b"RESTORE".as_slice(), b"log", b"864000000", &dump_of_a_log(entries)]).unwrap();
        let stream = Stream::join(&server);
        Self { server, stream }
    }

    /// The effects of a call.
    fn effects_of(&mut self, call: &str) -> Vec<Effect> {
        self.stream.read(&self.server);
        self.server.ask_value(call);
        effects(self.stream.read(&self.server))
    }

    fn entries(&self) -> i64 {
        self.server.ask_int("ZCARD log")
    }
}

/// Asserts that a call which changes nothing is answered `expected`, without reading through the log.
#[track_caller]
fn answers_quickly(server: &Server, call: &str, expected: &Value) {
    let quickest = (0..20)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(&server.ask_value(call), expected, "{call}");
            start.elapsed()
        })
        .min()
        .unwrap();
    assert!(quickest < QUICK, "{call}: {quickest:?}");
}

fn ints(ints: &[i64]) -> Value {
    Value::Array(ints.iter().map(|int| Value::Int(*int)).collect())
}

/// The names of the commands among `effects`.
fn names(effects: &[Effect]) -> Vec<&str> {
    effects.iter().map(|effect| effect.split(' ').next().unwrap()).collect()
}

#[test]
fn a_log_whose_million_entries_are_all_stale_goes_as_a_whole_with_the_next_call() {
    let mut log = Loaded::start(ENTRIES);
    log.server.pass_us(2 * HOUR_US);
    let peek = ints(&[1, 0]);
    let Value::Array(peeked) = log.server.ask_value("RL.PEEK log SLIDINGLOG 10 1h") else {
        panic!("an array")
    };
    assert_eq!(Value::Array(peeked[..2].to_vec()), peek);
    let sent = log.effects_of("RL.SLIDINGLOG log 10 1h");
    assert_eq!(names(&sent), ["UNLINK", "ZADD", "PEXPIREAT"]);
    assert_eq!(log.entries(), 1);
}

#[test]
fn stale_entries_go_a_few_with_each_call_and_faster_than_new_ones_come() {
    let mut log = Loaded::start(FEWER);
    log.server.pass_us(HOUR_US - 1000);
    let newer = log.server.ask("RL.SLIDINGLOG log 1000000 1h")[6];
    assert_eq!(newer, 2, "the newest of the old entries still counts");
    let before = log.entries();
    for _ in 0..200 {
        let (held, sent) = (log.entries(), log.effects_of("RL.SLIDINGLOG log 1000000 1h"));
        assert!(sent.len() <= 3, "{sent:?}");
        let gone = held + 1 - log.entries();
        assert!((0..=32).contains(&gone), "{gone} entries went with one call: {sent:?}");
    }
    let gone = before + 200 - log.entries();
    assert!(gone > 200, "200 came, {gone} went");
}

#[test]
fn a_cost_of_a_billion_upon_a_million_entries_is_answered_without_reading_them() {
    let mut log = Loaded::start(ENTRIES);
    let now = ENTRIES;
    let window = 3_600_000;
    // Half of the entries must go first: the last of these is this old.
    let age_ms = (ENTRIES - ENTRIES / 2) * STEP_US / 1000;
    let refused = ints(&[0, 1_000_500_000, 999_500_000, window - age_ms, window, window - (now - 1), now]);
    answers_quickly(&log.server, "RL.SLIDINGLOG log 1000500000 1h COST 1000000000", &refused);
    let never = ints(&[0, 1_000_000, 0, -1, window, window - (now - 1), now]);
    answers_quickly(&log.server, "RL.SLIDINGLOG log 1000000 1h COST 1000000000", &never);

    let sent = log.effects_of("RL.SLIDINGLOG log 1000000000000 1h COST 1000000000");
    assert_eq!(names(&sent), ["ZADD"]);
    assert!(sent[0].ends_with(" 1001000000:1000000000"), "{sent:?}");
    assert_eq!(log.entries(), ENTRIES + 1);
}

#[test]
fn a_clock_that_steps_back_under_a_million_entries_replaces_them_by_one() {
    let mut log = Loaded::start(ENTRIES);
    log.server.clock.step_back(Duration::from_secs(7200));
    let window = 3_600_000;
    let refused = ints(&[0, 10, 0, window, window, window, ENTRIES]);
    let peeked = Value::Array(vec![Value::Int(0), Value::Int(window), refused.clone()]);
    answers_quickly(&log.server, "RL.PEEK log SLIDINGLOG 10 1h", &peeked);
    assert_eq!(log.entries(), ENTRIES, "RL.PEEK changes nothing");

    let sent = log.effects_of("RL.SLIDINGLOG log 10 1h");
    assert_eq!(names(&sent), ["UNLINK", "ZADD", "PEXPIREAT"]);
    assert_eq!(log.entries(), 1);
    assert_eq!(log.server.ask_value("RL.SLIDINGLOG log 10 1h"), refused);
}

#[test]
fn a_refund_is_one_effect_for_all_that_it_takes() {
    let mut log = Loaded::start(FEWER);
    let sent = log.effects_of("RL.SLIDINGLOG log 1000000 1h COST -1000");
    assert_eq!(names(&sent), ["ZREMRANGEBYSCORE"]);
    assert_eq!(log.entries(), FEWER - 1000);
    let sent = log.effects_of("RL.SLIDINGLOG log 1000000 1h COST -100");
    assert_eq!(names(&sent), ["ZREMRANGEBYRANK"]);
    assert_eq!(log.entries(), FEWER - 1100);
    let sent = log.effects_of(&format!("RL.SLIDINGLOG log 1000000 1h COST -{FEWER}"));
    assert_eq!(names(&sent), ["UNLINK"]);
}

#[test]
fn sixty_four_limits_on_one_key_are_one_write_and_one_expiry() {
    let server = frozen();
    let mut stream = Stream::join(&server);
    let limits: String = (0..64).fold(String::new(), |mut line, number| {
        write!(line, " FIXED 10 1h AS n{number}").unwrap();
        line
    });
    let answer = server.ask_several(&format!("RL.ALL key{limits}"));
    assert_eq!((answer.allowed, answer.limits.len()), (1, 64));
    assert_eq!(names(&effects(stream.read(&server))), ["HSET", "PEXPIREAT"]);
    assert_eq!(server.ask_int("HLEN key"), 64);
    server.ask_several(&format!("RL.ALL key{limits}"));
    assert_eq!(names(&effects(stream.read(&server))), ["HSET"]);
    assert!(server.ask_error(&format!("RL.ALL key{limits} FIXED 10 1h AS n64")).contains("64"));
}

#[test]
fn sixty_four_limits_on_as_many_keys_are_one_write_and_one_expiry_each() {
    let server = frozen();
    let mut stream = Stream::join(&server);
    let limits = (1..64).fold("key:0 FIXED 10 1h".to_string(), |mut line, number| {
        write!(line, " KEY key:{number} FIXED 10 1h").unwrap();
        line
    });
    assert_eq!(server.ask_several(&format!("RL.ALL {limits}")).allowed, 1);
    let sent = effects(stream.read(&server));
    for name in ["HSET", "PEXPIREAT"] {
        assert_eq!(names(&sent).iter().filter(|sent| **sent == name).count(), 64, "{name}");
    }
    assert_eq!(sent.len(), 128);
}

#[test]
fn keys_of_64_kib_are_keys_like_others() {
    let server = frozen();
    let mut stream = Stream::join(&server);
    let key = "k".repeat(64 * 1024);
    for call in [
        "RL.TOKENBUCKET {} 10 1 1h",
        "RL.LEAKYBUCKET {} 10 1 1h",
        "RL.FIXED {} 10 1h",
        "RL.SLIDINGCOUNTER {} 10 1h",
        "RL.ALL {} FIXED 10 1d TOKENBUCKET 10 1 1d",
        "CL.THROTTLE {} 10 1 7200",
        "RL.SLIDINGLOG {}:log 10 1h",
    ] {
        server.ask_value(&call.replace("{}", &key));
        for effect in effects(stream.read(&server)) {
            let written = effect.split(' ').nth(1).unwrap();
            assert!(written.trim_end_matches(":log") == key, "{call} wrote to another key");
        }
    }
    assert_eq!(server.ask_int(&format!("HLEN {key}")), 7);
    assert_eq!(server.ask_several(&format!("RL.PEEK {key} FIXED 10 1h")).limits[0][6], 1);
    let keys = (1..64).fold(format!("{key}:0 FIXED 10 1h"), |mut line, number| {
        write!(line, " KEY {key}:{number} FIXED 10 1h").unwrap();
        line
    });
    assert_eq!(server.ask_several(&format!("RL.ALL {keys}")).allowed, 1);
}
