//! Random calls over the whole grammar, on few keys, with the clock driven between them. The same seed makes the same
//! calls and the same moves of the clock.
//!
//! ```ignore
//! let mut traffic = Traffic::new(7);
//! server.clock.freeze(START);
//! traffic.prepare(&server);
//! let replies = traffic.run(&server, 1000);          // moves the clock, calls, 1000 times
//!
//! let mut traffic = Traffic::new(7);
//! traffic.move_clock(&clock);                        // or by hand
//! let words = traffic.next_call();
//! ```

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::{RedisError, Value};

use super::{Clock, Server, line};

/// A reply, comparable: the value, or the error's text.
pub type Reply = Result<Value, String>;

/// A source of calls. One command's words are a `Vec<String>`.
pub struct Traffic {
    rng: StdRng,
    steps_back: bool,
}

/// The keys that hold hashes, logs, leases, and what no limiter wrote.
const HASHES: u32 = 6;
const LOGS: u32 = 4;
const LEASES: u32 = 2;
const FOREIGN: [&str; 4] = ["string", "list", "hash-of-others", "zset-of-others"];

/// Keys that block, and keys that override, of which one holds what is no number.
const BLOCKS: [&str; 3] = ["b0", "b1", "list"];
const OVERRIDES: [&str; 5] = ["o0", "o1", "o2", "none", "hash-of-others"];

const WINDOWS: [&str; 6] = ["20ms", "1s", "10s", "1m", "1h", "7d"];
const MONTHS: [&str; 3] = ["1mo", "3mo", "120mo"];
/// A limiter keeps its offset: with another one, even a denied call may bring its window's end nearer.
const OFFSETS: [(&str, &str); 5] =
    [("20ms", "3ms"), ("1m", "-1s"), ("7d", "4d"), ("1mo", "-9h"), ("120mo", "27d")];
const LIMITS: [i64; 6] = [0, 1, 3, 10, 50, 1000];
const FIELD_LIMITERS: [&str; 4] = ["TOKENBUCKET", "LEAKYBUCKET", "FIXED", "SLIDINGCOUNTER"];
const LOG: &str = "SLIDINGLOG";

impl Traffic {
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), steps_back: false }
    }

    /// Lets the clock step back now and then, by a microsecond to a year.
    pub fn with_steps_back(mut self) -> Self {
        self.steps_back = true;
        self
    }

    /// Every key that a call may name.
    pub fn keys() -> Vec<String> {
        let hashes = (0..HASHES).map(hash_key);
        let logs = (0..LOGS).map(log_key);
        let leases = (0..LEASES).map(lease_key);
        let others = FOREIGN.iter().chain(&BLOCKS[..2]).chain(&OVERRIDES[..3]).map(|&name| name.into());
        hashes.chain(logs).chain(leases).chain(others).collect()
    }

    /// Commands that create the keys that no limiter may touch.
    pub fn preparations() -> Vec<Vec<String>> {
        let [string, list, hash, zset] = FOREIGN.map(String::from);
        [
            format!("SET {string} 1"),
            format!("RPUSH {list} 1"),
            format!("HSET {hash} name 1"),
            format!("ZADD {zset} 1 1"),
            "SET o0 20".into(),
            "SET o1 5/40".into(),
            "SET o2 many".into(),
        ]
        .map(|command| command.split(' ').map(String::from).collect())
        .into()
    }

    /// Sends [`preparations`](Self::preparations).
    #[track_caller]
    pub fn prepare(&self, server: &Server) {
        for command in Self::preparations() {
            server.call(&command).unwrap();
        }
    }

    /// Moves the clock and calls, so many times; answers the replies.
    pub fn run(&mut self, server: &Server, calls: usize) -> Vec<Reply> {
        (0..calls).map(|_| self.run_one(&[server]).remove(0)).collect()
    }

    /// Moves the clock, which all `servers` share, and sends one call to each; answers their replies.
    pub fn run_one(&mut self, servers: &[&Server]) -> Vec<Reply> {
        self.move_clock(&servers[0].clock);
        let words = self.next_call();
        servers.iter().map(|server| comparable(server.call(&words))).collect()
    }

    /// The words of the next call.
    pub fn next_call(&mut self) -> Vec<String> {
        match self.below(100) {
            0..57 => self.single(),
            57..65 => self.lease_or_release(),
            65..80 => self.several("RL.ALL"),
            80..88 => self.several("RL.PEEK"),
            88..95 => self.throttle(),
            _ => self.wrong(),
        }
    }

    /// Lets time pass before the next call, often none.
    pub fn move_clock(&mut self, clock: &Clock) {
        const MS: u64 = 1000;
        const SECOND: u64 = 1000 * MS;
        const HOUR: u64 = 3600 * SECOND;
        if self.steps_back && self.below(100) < 4 {
            let most = self.pick(&[100, SECOND, 3 * SECOND, 2 * HOUR, 365 * 24 * HOUR]);
            clock.step_back(Duration::from_micros(self.between(1, most)));
            return;
        }
        let (least, most) = match self.below(100) {
            0..40 => return,
            40..60 => (1, 200),
            60..80 => (MS, 50 * MS),
            80..95 => (100 * MS, 5 * SECOND),
            95..99 => (10 * SECOND, 600 * SECOND),
            _ => (HOUR, 72 * HOUR),
        };
        clock.advance(Duration::from_micros(self.between(least, most)));
    }

    /// One limit on one key.
    fn single(&mut self) -> Vec<String> {
        let log = self.below(4) == 0;
        let key = if log { self.any_log_key() } else { self.any_hash_key() };
        let mut limit = self.limit(log, Modes::Any);
        let name = limit.remove(0);
        [vec![format!("RL.{name}"), key], limit].concat()
    }

    /// Several limits on one key or more. By chance, two of them may be the same, which is an error.
    fn several(&mut self, command: &str) -> Vec<String> {
        let modes = if command == "RL.PEEK" { Modes::None } else { Modes::Force };
        let mut words = vec![command.to_string()];
        for number in 0..self.between(1, 3) {
            if number > 0 {
                words.push("KEY".into());
            }
            if self.below(4) == 0 {
                words.push(self.any_log_key());
                words.extend(self.limit(true, modes));
            } else if self.below(6) == 0 {
                words.push(self.any_lease_key());
                words.extend(self.lease());
            } else {
                words.push(self.any_hash_key());
                for _ in 0..self.between(1, 3) {
                    words.extend(self.limit(false, modes));
                }
            }
        }
        words
    }

    fn lease_or_release(&mut self) -> Vec<String> {
        let key = self.any_lease_key();
        if self.below(5) == 0 {
            return ["RL.RELEASE".into(), key, self.holder(), self.holder()].into();
        }
        let mut lease = self.lease();
        let name = lease.remove(0);
        [vec![format!("RL.{name}"), key], lease].concat()
    }

    /// The words of a SPEC that takes or renews a lease.
    fn lease(&mut self) -> Vec<String> {
        let limit = self.pick(&LIMITS).to_string();
        let mut words = vec!["LEASE".into(), limit, self.pick(&WINDOWS).to_string(), self.holder()];
        if self.below(5) == 0 {
            words.push("RENEW".into());
        }
        words
    }

    fn holder(&mut self) -> String {
        format!("holder-{}", self.below(12))
    }

    fn throttle(&mut self) -> Vec<String> {
        let mut words = vec!["CL.THROTTLE".to_string(), self.any_hash_key()];
        words.push(self.pick(&[0, 2, 9, 49]).to_string());
        words.push(self.pick(&[1, 7, 100]).to_string());
        words.push(self.pick(&[1, 60]).to_string());
        if self.below(2) == 0 {
            words.push(self.pick(&[-2, 0, 1, 2, 12]).to_string());
        }
        words
    }

    /// A call that is answered with an error.
    fn wrong(&mut self) -> Vec<String> {
        let (hash, log, foreign) = (self.any_hash_key(), self.any_log_key(), self.pick(&FOREIGN));
        let lease = self.any_lease_key();
        let command = self.pick(&[
            "RL.FIXED {hash} 10 1",
            "RL.FIXED {hash} ten 1s",
            "RL.FIXED {hash} 10 1s COST",
            "RL.FIXED {hash} 10 1s OFFSET 1s",
            "RL.FIXED {hash} 10 1mo",
            "RL.FIXED {hash}",
            "RL.TOKENBUCKET {hash} 10 0 1s",
            "RL.SLIDINGLOG {log} 10 1s AS name",
            "RL.LEASE {lease} 10 1s x COST 2",
            "RL.RELEASE {foreign} x",
            "RL.ALL {lease} LEASE 10 1s x LEASE 10 1s y",
            "RL.ALL {lease} LEASE 1000 1h x KEY {foreign} LEASE 10 1s y",
            "RL.ALL {hash} FIXED 10 1s FIXED 9 1s",
            "RL.ALL {hash} FIXED 10 1s PARTIAL",
            "RL.ALL {hash} FIXED 10 1s KEY {log} FIXED 1",
            "RL.ALL {hash} FIXED 1000 1h COST 2 KEY {foreign} TOKENBUCKET 10 10 1s",
            "RL.ALL {log} SLIDINGLOG 1000 1h COST 2 KEY {foreign} SLIDINGLOG 10 1s",
            "RL.PEEK {hash} FIXED 10 1s FORCE",
            "RL.FIXED {foreign} 10 1s FORCE",
            "RL.SLIDINGLOG {foreign} 10 1s",
            "RL.SLIDINGCOUNTER {foreign} 10 1s COST -1",
            "CL.THROTTLE {foreign} 10 10 1",
            "CL.THROTTLE {hash} 10 10 0",
            "RL.LEAKYBUCKET {debtor} 10 1 7d COST 1000000000000 FORCE AS debt", // Wrong from the fourth on.
        ]);
        let debtor = hash_key(0);
        let command = command
            .replace("{debtor}", &debtor)
            .replace("{hash}", &hash)
            .replace("{log}", &log)
            .replace("{lease}", &lease)
            .replace("{foreign}", foreign);
        command.split(' ').map(String::from).collect()
    }

    /// A SPEC's words.
    fn limit(&mut self, log: bool, modes: Modes) -> Vec<String> {
        let name = if log { LOG } else { self.pick(&FIELD_LIMITERS) };
        let mut words = vec![name.to_string(), self.pick(&LIMITS).to_string()];
        if name.ends_with("BUCKET") {
            words.push(self.pick(&[1, 3, 10, 1000]).to_string());
        }
        let is_aligned = name == "FIXED" && self.below(2) == 0;
        let in_months = is_aligned && self.below(3) == 0;
        let window = if in_months { self.pick(&MONTHS) } else { self.pick(&WINDOWS) };
        words.push(window.to_string());
        if is_aligned {
            words.push("ALIGN".into());
            if let Some((_, offset)) = OFFSETS.iter().find(|(of, _)| *of == window) {
                words.extend(["OFFSET".into(), offset.to_string()]);
            }
        }
        if self.below(2) == 0 {
            words.extend(["COST".into(), self.cost().to_string()]);
        }
        let mode = match modes {
            Modes::Any => self.pick(&["", "", "", "FORCE", "PARTIAL"]),
            Modes::Force => self.pick(&["", "", "", "FORCE"]),
            Modes::None => "",
        };
        if !mode.is_empty() {
            words.push(mode.into());
        }
        if !log && self.below(3) == 0 {
            words.extend(["AS".into(), self.pick(&["a", "b.2"]).to_string()]);
        }
        if self.below(4) == 0 {
            // A small limit, so that some of these are denied. A key without an end blocks for good: seldom.
            words[1] = self.pick(&["1", "3", "10"]).to_string();
            let block = if self.below(20) == 0 { BLOCKS[2] } else { self.pick(&BLOCKS[..2]) };
            words.extend(["BLOCK", block, self.pick(&["5ms", "20ms", "300ms", "10s"])].map(String::from));
        }
        if self.below(6) == 0 {
            let wrong = self.below(8) == 0;
            let over = self.pick(if wrong { &OVERRIDES[2..] } else { &["o0", "o1", "none"] });
            words.extend(["OVERRIDE".into(), over.to_string()]);
        }
        words
    }

    fn cost(&mut self) -> i64 {
        match self.below(10) {
            0 | 1 => 0,
            2 => -1,
            3 => self.rng.random_range(-40..0),
            4..8 => self.rng.random_range(1..6),
            _ => self.rng.random_range(1..60),
        }
    }

    fn any_hash_key(&mut self) -> String {
        hash_key(self.below(HASHES))
    }

    fn any_log_key(&mut self) -> String {
        log_key(self.below(LOGS))
    }

    fn any_lease_key(&mut self) -> String {
        lease_key(self.below(LEASES))
    }

    fn below(&mut self, end: u32) -> u32 {
        self.rng.random_range(0..end)
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        self.rng.random_range(least..=most)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }
}

/// The modes that a command takes.
#[derive(Clone, Copy)]
enum Modes {
    Any,
    Force,
    None,
}

impl Server {
    /// Whatever answers a call, written as one line, comparable.
    pub fn reply_to(&self, line: &str) -> Reply {
        comparable(self.call(&line::words(line)))
    }
}

/// The reply in a form that can be compared.
pub fn comparable(reply: Result<Value, RedisError>) -> Reply {
    reply.map_err(|error| match (error.code(), error.detail()) {
        (Some(code), detail) => format!("{code} {}", detail.unwrap_or_default()),
        (None, _) => panic!("no answer: {error}"),
    })
}

fn hash_key(number: u32) -> String {
    format!("h{number}")
}

fn log_key(number: u32) -> String {
    format!("l{number}")
}

fn lease_key(number: u32) -> String {
    format!("leases{number}")
}
