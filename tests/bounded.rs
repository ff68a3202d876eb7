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
    dump_of(entries, |total| (total.to_string(), START - (entries - total) * STEP_US))
}

/// A sorted set of so many members; `of` tells the member of each number from 1 on, and its score, which increases.
fn dump_of(entries: i64, of: impl Fn(i64) -> (String, i64)) -> Vec<u8> {
    const SORTED_SET: u8 = 5;
    const LONG_LENGTH: u8 = 0x80;
    const RDB_VERSION: [u8; 2] = [10, 0];
    let mut dump = vec![SORTED_SET, LONG_LENGTH];
    dump.extend(u32::try_from(entries).unwrap().to_be_bytes());
    // The last first, as servers do: each is then put before the others.
    for number in (1..=entries).rev() {
        let (member, score) = of(number);
        dump.push(u8::try_from(member.len()).unwrap());
        dump.extend(member.as_bytes());
        dump.extend((score as f64).to_le_bytes());
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
        Self::of(&dump_of_a_log(entries))
    }

    /// So many leases that have ended, up to [`START`], and so many that end after it.
    fn leases(ended: i64, live: i64) -> Self {
        Self::of(&dump_of(ended + live, |number| (format!("L:{number}"), START + (number - ended) * STEP_US)))
    }

    fn of(dump: &[u8]) -> Self {
        let server = frozen();
        server.call(&[b"RESTORE".as_slice(), b"log", b"864000000", dump]).unwrap();
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
        assert!((0..=48).contains(&gone), "{gone} entries went with one call: {sent:?}");
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

// What others hold, or send, of any length.

/// Far below what is planted here.
const LITTLE: i64 = 1_000_000;
const LONG: usize = 50_000_000;
const LONG_WORD: usize = 20_000_000;

/// Asserts that `used_memory_peak` stays about where it is while `call` is answered `error`.
#[track_caller]
fn assert_takes_little_memory(server: &Server, call: &str, error: &str) {
    let memory = |field: &str| server.info_field("memory", field).unwrap().parse::<i64>().unwrap();
    // Not every server lets the peak be reset: what is used is brought up to it.
    let below_peak = memory("used_memory_peak") - memory("used_memory");
    server.ask_value(&format!("SETRANGE filler {} 1", server.ask_int("STRLEN filler") + below_peak));
    let before = memory("used_memory");
    assert!(memory("used_memory_peak") - before < LITTLE, "a copy would show");
    assert_eq!(server.ask_error(call), error, "{call}");
    let more = memory("used_memory_peak") - before;
    assert!(more < LITTLE, "{call}: {more} bytes");
}

#[test]
fn a_long_string_of_others_is_not_copied() {
    let server = frozen();
    let wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
    server.ask_value(&format!("SETRANGE k {} 1", LONG - 1));
    for expiry in ["PERSIST k", "PEXPIRE k 3600000"] {
        server.ask_value(expiry);
        for call in [
            "CL.THROTTLE k 9 1 60",
            "CL.THROTTLE k 9 1 60 0",
            "CL.THROTTLE k 9 1 60 -1",
            "RL.TOKENBUCKET k 9 1 60s",
        ] {
            assert_takes_little_memory(&server, call, wrong_type);
        }
    }
}

#[test]
fn a_long_value_in_a_hash_of_others_is_not_copied() {
    let server = frozen();
    let fill = "redis.call('HSET', KEYS[1], 'name', string.rep('x', ARGV[1]))";
    server.call(&["EVAL", fill, "1", "k", &LONG.to_string()]).unwrap();
    for (command, limit) in [
        ("TOKENBUCKET", "10 1 1m"),
        ("LEAKYBUCKET", "10 1 1m"),
        ("FIXED", "10 1m"),
        ("SLIDINGCOUNTER", "10 1m"),
    ] {
        let other_data = "ERR key holds other data";
        assert_takes_little_memory(&server, &format!("RL.{command} k {limit}"), other_data);
        let in_all = format!("ERR limit 2 ({command}): key holds other data");
        assert_takes_little_memory(&server, &format!("RL.ALL j FIXED 9 1m KEY k {command} {limit}"), &in_all);
    }
}

/// The quickest of several tries of a call, by the server's own count of what its execution took.
#[track_caller]
fn quickest(server: &Server, call: &[&str], expect: impl Fn(&redis::RedisResult<Value>)) -> Duration {
    let took = || {
        server.ask_value("CONFIG RESETSTAT");
        expect(&server.call(call));
        let stats = server.text(&["INFO", "commandstats"]);
        let of_ours = stats.lines().find(|line| line.to_lowercase().starts_with("cmdstat_rl.")).unwrap();
        let usec = of_ours.split("usec=").nth(1).unwrap().split(',').next().unwrap();
        Duration::from_micros(usec.parse().unwrap())
    };
    (0..4).map(|_| took()).min().unwrap()
}

#[test]
fn a_word_of_any_length_is_read_no_further_than_it_could_be_valid() {
    let server = frozen();
    let digits = "9".repeat(LONG_WORD);
    let with_unit = format!("{digits}ms");
    let name = "x".repeat(LONG_WORD);
    let shown = &digits[..64];
    let in_months = format!("{digits}mo");
    let negative = format!("-{digits}h");
    let duration = "a whole number with a unit ms, s, m, h or d, from 1ms to 3660d, or with ALIGN calendar months, from \
                    1mo to 120mo";
    let offset = "a whole number with a unit ms, s, m, h or d, from -24h to 27d with months";
    for (call, error) in [
        (
            ["RL.FIXED", "k", "10", &digits, "COST", "1"],
            format!("ERR window must be {duration}, not '{shown}'"),
        ),
        (
            ["RL.FIXED", "k", "10", &with_unit, "COST", "1"],
            format!("ERR window must be {duration}, not '{shown}'"),
        ),
        (
            ["RL.FIXED", "k", "10", &in_months, "COST", "1"],
            format!("ERR window must be {duration}, not '{shown}'"),
        ),
        (
            ["RL.FIXED", "k", "10", "1mo", "OFFSET", &negative],
            format!("ERR OFFSET must be {offset}, not '-{}'", &digits[..63]),
        ),
        (
            ["RL.FIXED", "k", &digits, "1m", "COST", "1"],
            format!("ERR limit must be a whole number from 0 to 1000000000000, not '{shown}'"),
        ),
        (
            ["RL.FIXED", "k", "10", "1m", "COST", &digits],
            format!("ERR COST must be a whole number from -1000000000000 to 1000000000000, not '{shown}'"),
        ),
        (
            ["RL.FIXED", "k", "10", "1m", "AS", &name],
            format!(
                "ERR AS must be a name of 1 to 32 of A-Z a-z 0-9 _ . - other than KEY, BLOCK and OVERRIDE, not '{}'",
                &name[..64]
            ),
        ),
    ] {
        let took = quickest(&server, &call, |reply| {
            let reply = reply.as_ref().unwrap_err();
            assert_eq!(Some(error.strip_prefix("ERR ").unwrap()), reply.detail());
        });
        // Reading 20 MB of digits takes some 13 ms.
        assert!(took < Duration::from_millis(5), "{}: {took:?}", call[4]);
    }
}

#[test]
fn long_keys_that_differ_at_their_end_cost_no_more_than_those_that_differ_at_their_beginning() {
    let server = frozen();
    let body = "k".repeat(1_000_000);
    let call = |key: &dyn Fn(u8) -> String| {
        let mut words: Vec<String> = vec!["RL.PEEK".into()];
        for number in 0..64 {
            words.extend((number > 0).then(|| "KEY".into()));
            words.push(key(b'!' + number));
            words.extend(["FIXED", "10", "1m"].map(String::from));
        }
        words
    };
    let took = [
        call(&|number| format!("{}{body}", char::from(number))),
        call(&|number| format!("{body}{}", char::from(number))),
    ]
    .map(|words| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        quickest(&server, &words, |reply| {
            let reply = crate::support::several(reply.as_ref().unwrap()).unwrap();
            assert_eq!((reply.allowed, reply.limits), (1, vec![[1, 10, 10, 0, 0, 0, 0]; 64]));
        })
    });
    let [at_beginning, at_end] = took;
    // Comparing each with each takes some 100 ms more.
    assert!(at_end < at_beginning * 3 / 2 + Duration::from_millis(20), "{at_end:?}, not {at_beginning:?}");
    // Equal ones are found, however long.
    let mut twice = call(&|number| format!("{body}{}", char::from(number.min(b'!' + 62))));
    let twice: Vec<&str> = twice.iter_mut().map(|word| &**word).collect();
    let error = server.error(&twice);
    assert_eq!(error, "ERR limit 64 (FIXED): the same FIXED is given twice: give one of them a name with AS");
}

#[test]
fn a_million_leases_that_have_all_ended_go_as_a_whole_with_the_next_call() {
    let mut leases = Loaded::leases(ENTRIES, 0);
    answers_quickly(&leases.server, "RL.LEASE log 0 1h x", &ints(&[0, 0, 0, -1, 0, -1, 0]));
    answers_quickly(&leases.server, "RL.LEASE log 10 1h x RENEW", &ints(&[0, 10, 10, -1, 0, 0, 0]));
    assert_eq!(leases.effects_of("RL.RELEASE log x"), [""; 0]);
    let sent = leases.effects_of("RL.LEASE log 10 1h x");
    assert_eq!(names(&sent), ["UNLINK", "ZADD", "PEXPIREAT"]);
    assert_eq!(leases.entries(), 1);
}

#[test]
fn releasing_the_last_live_lease_frees_a_million_that_have_ended() {
    let mut leases = Loaded::leases(ENTRIES, 1);
    let sent = leases.effects_of(&format!("RL.RELEASE log {}", ENTRIES + 1));
    assert_eq!(names(&sent), ["ZREM", "UNLINK"]);
}

#[test]
fn leases_are_counted_behind_a_million_that_have_ended_and_these_go_a_few_with_each_call() {
    const LIVE: i64 = 1000;
    let mut leases = Loaded::leases(ENTRIES, LIVE);
    let full = ints(&[0, LIVE, 0, 1, 1000, 1, LIVE]);
    answers_quickly(&leases.server, &format!("RL.LEASE log {LIVE} 1h x"), &full);
    // The limit was lowered: half of them must end first.
    let lowered = ints(&[0, 500, 0, 501, 1000, 1, LIVE]);
    answers_quickly(&leases.server, "RL.LEASE log 500 1h x", &lowered);
    for number in 1..=50 {
        let before = leases.entries();
        let sent = leases.effects_of(&format!("RL.LEASE log 1000000 1h x{number}"));
        let gone = before + 1 - leases.entries();
        assert!((2..=10).contains(&gone), "{gone} went with one call: {sent:?}");
        assert!(sent.len() <= 3, "{sent:?}");
    }
    assert_eq!(leases.server.ask("RL.LEASE log 1000000 1h x1")[6], LIVE + 50);
}

#[test]
fn a_million_live_leases_are_counted_without_reading_them() {
    let leases = Loaded::leases(0, ENTRIES);
    let all_ms = ENTRIES * STEP_US / 1000;
    answers_quickly(
        &leases.server,
        &format!("RL.LEASE log {ENTRIES} 1h x"),
        &ints(&[0, ENTRIES, 0, 1, all_ms, 1, ENTRIES]),
    );
    let lowered = ints(&[0, 10, 0, all_ms - 9, all_ms, 1, ENTRIES]);
    answers_quickly(&leases.server, "RL.LEASE log 10 1h x", &lowered);
    let mut ids: Vec<String> = (1..=1000).map(|number| (number * 7).to_string()).collect();
    ids.extend(ids.clone());
    assert_eq!(leases.server.ask_int(&format!("RL.RELEASE log {}", ids.join(" "))), 1000);
}
