//! A model of whole commands: keys that hold limiters, expire, and are charged all or none.

use std::collections::BTreeMap;

use super::model::{Algorithm, Call, Limiter, Mode, TooMuch};

/// What tells limiters of one key apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub algorithm: Algorithm,
    pub window: i128,
    pub name: Option<String>,
}

/// One limit of a command.
#[derive(Clone, Debug)]
pub struct Spec {
    pub key: String,
    pub name: Option<String>,
    pub call: Call,
}

impl Spec {
    fn identity(&self) -> Identity {
        Identity { algorithm: self.call.algorithm, window: self.call.window, name: self.name.clone() }
    }
}

#[derive(Clone, Debug, Default)]
struct Key {
    limiters: BTreeMap<Identity, Limiter>,
    expires_ms: i128,
}

#[derive(Clone, Debug, Default)]
pub struct Keyspace {
    keys: BTreeMap<String, Key>,
}

/// What a command answers: whether it is allowed, its wait, and the seven integers of each limit.
pub type Reply = Result<(bool, i128, Vec<[i128; 7]>), TooMuch>;

impl Keyspace {
    /// The limiter as it stands, unused where there is none.
    pub fn limiter(&self, spec: &Spec) -> Limiter {
        let key = self.keys.get(&spec.key);
        key.and_then(|key| key.limiters.get(&spec.identity())).cloned().unwrap_or_default()
    }

    /// Every key with its expiry in milliseconds.
    pub fn expiries(&self) -> BTreeMap<Vec<u8>, i128> {
        self.keys.iter().map(|(name, key)| (name.clone().into_bytes(), key.expires_ms)).collect()
    }

    /// Judges all limits at one instant, and charges all, or none. A peek charges nothing.
    pub fn run(&mut self, specs: &[Spec], now: i128, peek: bool) -> Reply {
        let now_ms = now.div_euclid(1000);
        for spec in specs {
            if self.keys.get(&spec.key).is_some_and(|key| key.expires_ms < now_ms) {
                self.keys.remove(&spec.key);
            }
        }
        let mut judged = Vec::new();
        for spec in specs {
            let stored = self.limiter(spec);
            let mut limiter = stored.clone();
            let pulled = limiter.pull(&spec.call, now);
            let was_unused = limiter.used(&spec.call, now) == 0;
            let mut answer = limiter.judge(&spec.call, now)?;
            // A forced limit stops nobody, not even when all it is asked is whether it is in debt.
            answer.refuses &= spec.call.mode != Mode::Force;
            judged.push((spec, limiter, answer, pulled, was_unused));
        }
        let allowed = !judged.iter().any(|(_, _, answer, ..)| answer.refuses);
        let mut unused_after: BTreeMap<&str, i128> = BTreeMap::new();
        let mut written: Vec<&str> = Vec::new();
        let mut replies = Vec::new();
        let mut waits = Vec::new();
        for (spec, limiter, answer, pulled, was_unused) in &mut judged {
            let refuses = answer.refuses;
            if peek || !allowed {
                answer.charge = 0;
            }
            let changes = !peek && (answer.charge != 0 || (*pulled && spec.call.cost != 0));
            if answer.charge != 0 {
                limiter.charge(&spec.call, now, answer);
            }
            if changes {
                let existed =
                    self.keys.get(&spec.key).is_some_and(|key| key.limiters.contains_key(&spec.identity()));
                if existed || !limiter.is_unused() {
                    written.push(&spec.key);
                }
                let key = self.keys.entry(spec.key.clone()).or_default();
                // A log of which nothing counts any more, or that was pulled, is replaced, with its expiry.
                if spec.call.algorithm == Algorithm::SlidingLog && (*pulled || *was_unused) {
                    key.expires_ms = 0;
                }
                if limiter.is_unused() {
                    key.limiters.remove(&spec.identity());
                } else {
                    key.limiters.insert(spec.identity(), limiter.clone());
                }
            }
            let latest = unused_after.entry(&spec.key).or_default();
            *latest = (*latest).max(answer.reply[4]);
            if if allowed { answer.reply[0] > 0 } else { refuses } {
                waits.push(answer.reply[3]);
            }
            replies.push(answer.reply);
        }
        for name in written {
            let Some(key) = self.keys.get_mut(name) else { continue };
            let unused_after = unused_after[name];
            if key.expires_ms < now_ms + unused_after {
                key.expires_ms = now_ms + unused_after + unused_after / 8 + 1000;
            }
        }
        self.keys.retain(|_, key| !key.limiters.is_empty());
        let wait = if waits.contains(&-1) { -1 } else { waits.into_iter().max().unwrap_or(0) };
        Ok((allowed, wait, replies))
    }
}
