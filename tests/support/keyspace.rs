//! A model of whole commands: keys that hold limiters, expire, and are charged all or none.

use std::collections::BTreeMap;

use super::lease_model::{Held, LeaseCall, LeaseKey};
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
    /// What blocks it: a key, and for how many milliseconds a denial creates it.
    pub block: Option<(String, i128)>,
    /// The key that may hold other numbers.
    pub overridden_by: Option<String>,
}

/// A key that limiters do not write, but for a block's.
#[derive(Clone, Debug)]
pub struct Other {
    /// The numbers in it, limit and refill, if it holds a string of that form.
    pub numbers: Option<(i128, Option<i128>)>,
    /// The last millisecond in which it is there.
    pub expires_ms: Option<i128>,
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
    /// Keys of leases, and what somebody else put there.
    pub leases: BTreeMap<String, LeaseKey>,
    /// Blocks and overrides.
    pub others: BTreeMap<String, Other>,
}

/// Why a command is answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    TooMuch,
    BadOverride,
    OtherType,
    OtherData,
    /// A sliding log where leases were to be, and the reverse.
    Log,
    Leases,
}

impl From<TooMuch> for Wrong {
    fn from(TooMuch: TooMuch) -> Self {
        Self::TooMuch
    }
}

/// What a command answers: whether it is allowed, its wait, and the integers of each limit: seven, and an eighth where it
/// has a block. Leases come after the others.
pub type Reply = Result<(bool, i128, Vec<Vec<i128>>), Wrong>;

impl Keyspace {
    /// The limiter as it stands, unused where there is none.
    pub fn limiter(&self, spec: &Spec) -> Limiter {
        let key = self.keys.get(&spec.key);
        key.and_then(|key| key.limiters.get(&spec.identity())).cloned().unwrap_or_default()
    }

    /// Every key with its expiry in milliseconds, -1 where it has none.
    pub fn expiries(&self) -> BTreeMap<Vec<u8>, i128> {
        let limiters = self.keys.iter().map(|(name, key)| (name, key.expires_ms));
        let others = self.others.iter().map(|(name, other)| (name, other.expires_ms.unwrap_or(-1)));
        let leases = self.leases.iter().map(|(name, key)| (name, key.expires_ms.unwrap_or(-1)));
        limiters.chain(others).chain(leases).map(|(name, at)| (name.clone().into_bytes(), at)).collect()
    }

    /// The limits as they are in force: what the keys of their overrides hold takes the place of their own numbers.
    fn in_force(&self, specs: &[Spec]) -> Result<Vec<Spec>, Wrong> {
        let mut specs = specs.to_vec();
        for spec in &mut specs {
            let Some(other) = spec.overridden_by.as_ref().and_then(|name| self.others.get(name)) else {
                continue;
            };
            let is_bucket = matches!(spec.call.algorithm, Algorithm::TokenBucket | Algorithm::LeakyBucket);
            match other.numbers {
                Some((limit, None)) => spec.call.limit = limit,
                Some((limit, Some(refill))) if is_bucket => {
                    (spec.call.limit, spec.call.refill) = (limit, refill);
                }
                _ => return Err(Wrong::BadOverride),
            }
        }
        Ok(specs)
    }

    fn leases_in_force(&self, leases: &[LeaseCall]) -> Result<Vec<LeaseCall>, Wrong> {
        let mut leases = leases.to_vec();
        for lease in &mut leases {
            let other = lease.overridden_by.as_ref().and_then(|name| self.others.get(name));
            lease.limit = match other.map(|other| other.numbers) {
                None => lease.limit,
                Some(Some((limit, None))) => limit,
                Some(_) => return Err(Wrong::BadOverride),
            };
        }
        Ok(leases)
    }

    /// Removes a key of leases that has expired.
    pub fn touch_leases(&mut self, key: &str, now: i128) {
        let is_over = |key: &LeaseKey| key.expires_ms.is_some_and(|at| at < now.div_euclid(1000));
        if self.leases.get(key).is_some_and(is_over) {
            self.leases.remove(key);
        }
    }

    /// What a key holds in the place of leases.
    fn check_leases(&self, key: &str) -> Result<(), Wrong> {
        match self.leases.get(key).map(|key| &key.held) {
            None | Some(Held::Leases(_)) => Ok(()),
            Some(Held::WrongType) => Err(Wrong::OtherType),
            Some(Held::OtherData) => Err(Wrong::OtherData),
            Some(Held::Log) => Err(Wrong::Log),
        }
    }

    /// Gives leases back, and answers how many had not ended.
    pub fn release(&mut self, key: &str, ids: &[String], now: i128) -> Result<i128, Wrong> {
        self.touch_leases(key, now);
        self.check_leases(key)?;
        Ok(self.leases.get_mut(key).map_or(0, |key| key.release(ids, now)))
    }

    /// How many milliseconds, rounded up, the block of `spec` still is there; -1 for ever.
    fn blocked_ms(&self, spec: &Spec, now: i128) -> Option<i128> {
        let (name, _) = spec.block.as_ref()?;
        let end_ms = self.others.get(name)?.expires_ms;
        Some(end_ms.map_or(-1, |end_ms| ((end_ms + 1) * 1000 - now + 999).div_euclid(1000)))
    }

    /// Judges all limits at one instant, and charges all, or none. A peek charges nothing.
    pub fn run(&mut self, specs: &[Spec], leases: &[LeaseCall], now: i128, peek: bool) -> Reply {
        let now_ms = now.div_euclid(1000);
        for spec in specs {
            if self.keys.get(&spec.key).is_some_and(|key| key.expires_ms < now_ms) {
                self.keys.remove(&spec.key);
            }
            let block = spec.block.as_ref().map(|(name, _)| name);
            for name in [block, spec.overridden_by.as_ref()].into_iter().flatten() {
                if self.others.get(name).is_some_and(|other| other.expires_ms.is_some_and(|at| at < now_ms)) {
                    self.others.remove(name);
                }
            }
        }
        for lease in leases {
            self.touch_leases(&lease.key, now);
            let is_over = |other: &Other| other.expires_ms.is_some_and(|at| at < now_ms);
            if let Some(name) = &lease.overridden_by
                && self.others.get(name).is_some_and(is_over)
            {
                self.others.remove(name);
            }
        }
        let specs = self.in_force(specs)?;
        let leases = self.leases_in_force(leases)?;
        for lease in &leases {
            self.check_leases(&lease.key)?;
        }
        let mut judged = Vec::new();
        for spec in &specs {
            let stored = self.limiter(spec);
            let mut limiter = stored.clone();
            let pulled = limiter.pull(&spec.call, now);
            let was_unused = limiter.used(&spec.call, now) == 0;
            let mut answer = limiter.judge(&spec.call, now)?;
            // What is given back passes a block, what is forced is charged.
            let blocked = self.blocked_ms(spec, now).filter(|_| spec.call.cost >= 0);
            // What it would wait by itself.
            let mut own_wait = if answer.reply[0] > 0 { 0 } else { answer.reply[3] };
            if blocked.is_some() {
                answer.reply[0] = 0;
                answer.refuses = true;
                if spec.call.mode != Mode::Force {
                    answer.charge = 0;
                }
                if spec.call.mode == Mode::Force && spec.call.cost > 0 && own_wait != 0 {
                    own_wait = i128::MAX; // Looked for after the charge.
                }
            }
            // A forced limit stops nobody, not even when all it is asked is whether it is in debt.
            answer.refuses &= spec.call.mode != Mode::Force;
            judged.push((spec, limiter, answer, pulled, was_unused, blocked, own_wait));
        }
        let is_had = |lease: &LeaseCall| LeaseKey::leases(self.leases.get(&lease.key)).allows(lease, now);
        let had: Vec<bool> = leases.iter().map(is_had).collect();
        let allowed = !judged.iter().any(|(_, _, answer, ..)| answer.refuses) && had.iter().all(|had| *had);
        let mut unused_after: BTreeMap<&str, i128> = BTreeMap::new();
        let mut written: Vec<&str> = Vec::new();
        let mut replies = Vec::new();
        let mut waits = Vec::new();
        let longer = |one: i128, other: i128| if one == -1 || other == -1 { -1 } else { one.max(other) };
        // The block that each limit begins, and until when each key of one is to be there.
        let mut ends: BTreeMap<&str, i128> = BTreeMap::new();
        for (spec, _, answer, .., blocked, _) in &judged {
            let could_pass = spec.call.cost >= 1 && spec.call.cost <= spec.call.limit;
            if let Some((name, lasts)) = &spec.block
                && !peek
                && answer.refuses
                && blocked.is_none()
                && could_pass
                && spec.call.mode == Mode::Whole
            {
                let longest = ends.entry(name).or_default();
                *longest = (*longest).max(*lasts);
            }
        }
        for (spec, limiter, answer, pulled, was_unused, blocked, own_wait) in &mut judged {
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
            let mut reply = answer.reply.to_vec();
            if let Some(left) = *blocked {
                if *own_wait == i128::MAX {
                    *own_wait = answer.reply[3];
                }
                reply[2] = 0;
                reply[3] = longer(*own_wait, left);
                reply[5] = longer(reply[5], left);
            }
            if let Some((name, _)) = &spec.block {
                let could_pass = spec.call.cost >= 1 && spec.call.cost <= spec.call.limit;
                let begins = ends.get(name.as_str()).filter(|_| refuses && could_pass && !peek);
                let eighth = match (*blocked, begins) {
                    (Some(_), _) => 1,
                    (None, Some(longest)) if spec.call.mode == Mode::Whole => {
                        reply[3] = longer(reply[3], *longest);
                        2
                    }
                    _ => 0,
                };
                reply.push(eighth);
            }
            if if allowed { reply[0] > 0 } else { refuses } {
                waits.push(reply[3]);
            }
            replies.push(reply);
        }
        for (lease, had) in leases.iter().zip(had) {
            if allowed && !peek {
                let key = LeaseKey::take(self.leases.get(&lease.key), lease, now);
                self.leases.insert(lease.key.clone(), key);
            }
            let reply = LeaseKey::leases(self.leases.get(&lease.key)).reply(lease, now, had);
            if had == allowed {
                waits.push(reply[3]);
            }
            replies.push(reply);
        }
        for name in written {
            let Some(key) = self.keys.get_mut(name) else { continue };
            let unused_after = unused_after[name];
            if key.expires_ms < now_ms + unused_after {
                key.expires_ms = now_ms + unused_after + unused_after / 8 + 1000;
            }
        }
        self.keys.retain(|_, key| !key.limiters.is_empty());
        for (name, lasts) in ends {
            // It is there to the end of its last millisecond.
            let other = Other { numbers: Some((1, None)), expires_ms: Some(now_ms + lasts - 1) };
            self.others.insert(name.to_owned(), other);
        }
        let wait = if waits.contains(&-1) { -1 } else { waits.into_iter().max().unwrap_or(0) };
        Ok((allowed, wait, replies))
    }
}
