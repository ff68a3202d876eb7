//! A slow, obvious model of leases: each holder with the end of its lease, counted anew at each instant.

use std::collections::BTreeMap;

/// A lease that a command asks for. Times are microseconds.
#[derive(Clone, Debug)]
pub struct LeaseCall {
    pub key: String,
    pub id: String,
    pub limit: i128,
    pub ttl: i128,
    pub renews_only: bool,
    /// The key that may hold another limit.
    pub overridden_by: Option<String>,
}

/// What a key of leases holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    Leases(Leases),
    /// A key of another type.
    WrongType,
    /// A sorted set of somebody else's.
    OtherData,
    /// A sliding log.
    Log,
}

/// The ends of leases, by their holders' ids. Those that have ended stay until they are seen to be gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases(pub BTreeMap<String, i128>);

/// A key that is there.
#[derive(Clone, Debug)]
pub struct LeaseKey {
    pub held: Held,
    /// The last millisecond in which it is there.
    pub expires_ms: Option<i128>,
}

impl Leases {
    pub fn is_live(&self, id: &str, at: i128) -> bool {
        self.0.get(id).is_some_and(|end| *end > at)
    }

    pub fn live(&self, at: i128) -> i128 {
        self.0.values().filter(|end| **end > at).count() as i128
    }

    /// Milliseconds, rounded up, until fewer than so many are live, found by trying.
    fn until_fewer_than(&self, count: i128, now: i128) -> i128 {
        let instants = std::iter::once(now).chain(self.0.values().copied().filter(|end| *end > now));
        let first = instants.filter(|at| self.live(*at) < count).min().unwrap();
        (first - now + 999).div_euclid(1000)
    }

    /// Whether the lease is had by who asks for it.
    pub fn allows(&self, call: &LeaseCall, now: i128) -> bool {
        self.is_live(&call.id, now) || (!call.renews_only && self.live(now) < call.limit)
    }

    /// The seven integers as the leases stand.
    pub fn reply(&self, call: &LeaseCall, now: i128, allowed: bool) -> Vec<i128> {
        let retry = match () {
            () if allowed => 0,
            () if call.limit == 0 || call.renews_only => -1,
            () => self.until_fewer_than(call.limit, now),
        };
        let used = self.live(now);
        let next = match () {
            () if call.limit == 0 => -1,
            () if used == 0 => 0,
            () => self.until_fewer_than(used, now),
        };
        let remaining = (call.limit - used).max(0);
        let reset = self.until_fewer_than(1, now);
        vec![i128::from(allowed), call.limit, remaining, retry, reset, next, used]
    }
}

impl LeaseKey {
    /// The leases on a key that may not be there.
    pub fn leases(this: Option<&Self>) -> Leases {
        match this {
            Some(Self { held: Held::Leases(leases), .. }) => leases.clone(),
            _ => Leases::default(),
        }
    }

    /// Lets the caller have its lease.
    pub fn take(this: Option<&Self>, call: &LeaseCall, now: i128) -> Self {
        let mut leases = Self::leases(this);
        let mut expires_ms = this.and_then(|key| key.expires_ms);
        // Where only leases are left that have ended, others' too, all go, and the key's expiry with them.
        if leases.live(now) == 0 && leases.0.keys().any(|id| *id != call.id) {
            leases = Leases::default();
            expires_ms = None;
        }
        leases.0.insert(call.id.clone(), now + call.ttl);
        let (now_ms, unused_after) = (now.div_euclid(1000), leases.until_fewer_than(1, now));
        if expires_ms.is_none_or(|at| at < now_ms + unused_after) {
            expires_ms = Some(now_ms + unused_after + unused_after / 8 + 1000);
        }
        Self { held: Held::Leases(leases), expires_ms }
    }

    /// Gives leases back, and answers how many had not ended.
    pub fn release(&mut self, ids: &[String], now: i128) -> i128 {
        let Held::Leases(leases) = &mut self.held else { return 0 };
        let before = leases.live(now);
        leases.0.retain(|id, _| !ids.contains(id));
        before - leases.live(now)
    }

    /// Compares with what the server holds after a call on this key, which takes its place: leases that have ended may be
    /// gone, and do not come back when the clock steps back then. Answers how many are gone.
    pub fn see(
        this: Option<&Self>,
        stored: BTreeMap<String, i128>,
        now: i128,
    ) -> Result<(Option<Self>, usize), String> {
        let expected = Self::leases(this);
        if let Some(other) = stored.iter().find(|(id, end)| expected.0.get(*id) != Some(*end)) {
            return Err(format!("nobody took {other:?}"));
        }
        let is_lost = |(id, end): &(&String, &i128)| **end > now && !stored.contains_key(*id);
        if let Some(lost) = expected.0.iter().find(is_lost) {
            return Err(format!("{lost:?} has not ended, and is gone"));
        }
        let gone = expected.0.len() - stored.len();
        let is_there = !stored.is_empty();
        let held = Held::Leases(Leases(stored));
        Ok((this.filter(|_| is_there).map(|key| Self { held, expires_ms: key.expires_ms }), gone))
    }
}
