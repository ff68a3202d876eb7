//! Leases against a slow, obvious model: whoever holds one is listed with its end, and counted anew at each instant.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis_limiter::algorithms::decision::{Change, Charge, Extent, Mode, Outcome};
use redis_limiter::algorithms::{LeaseSet, Quota, Span, Time};

use crate::support::START;
use crate::support::memory_leases::MemoryLeases;

const CASES: u64 = 4000;
const CALLS: usize = 60;

/// Leases looked at by one call, but for those that all have ended and are thrown away: so few.
const LOOKED_AT: usize = 16;
/// And those.
const THROWN_AWAY: usize = 128;

/// Holders and the ends of their leases, as they were taken.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<u32, i64>);

#[derive(Clone, Copy, Debug)]
struct Call {
    holder: u32,
    limit: i64,
    ttl_us: i64,
    renews_only: bool,
    extent: Extent,
}

impl Model {
    fn live(&self, at: i64) -> i64 {
        self.0.values().filter(|end| **end > at).count() as i64
    }

    /// Milliseconds until fewer than so many are live, found by trying.
    fn until_fewer_than(&self, count: i64, now: i64) -> i64 {
        let instants = std::iter::once(now).chain(self.0.values().copied().filter(|end| *end > now));
        let first = instants.filter(|at| self.live(*at) < count).min().unwrap();
        (first - now + 999) / 1000
    }

    fn call(&mut self, call: &Call, now: i64) -> [i64; 7] {
        let is_live = self.0.get(&call.holder).is_some_and(|end| *end > now);
        let allowed = is_live || (!call.renews_only && self.live(now) < call.limit);
        let retry = match () {
            () if allowed => 0,
            () if call.limit == 0 || call.renews_only => -1,
            () => self.until_fewer_than(call.limit, now),
        };
        if allowed && call.extent == Extent::All {
            self.0.insert(call.holder, now + call.ttl_us);
        }
        let used = self.live(now);
        let next = match () {
            () if call.limit == 0 => -1,
            () if used == 0 => 0,
            () => self.until_fewer_than(used, now),
        };
        let remaining = (call.limit - used).max(0);
        [i64::from(allowed), call.limit, remaining, retry, self.until_fewer_than(1, now), next, used]
    }
}

/// What the code under test answers; what it decides is done.
fn subject(leases: &MemoryLeases, call: &Call, now: i64) -> [i64; 7] {
    let leases = MemoryLeases { own: call.holder, ..leases.clone() };
    let now = Time::from_us(now);
    let quota = Quota { limit: call.limit, refill: 1, window: Span::from_us(call.ttl_us), origin: None };
    let mode = if call.renews_only { Mode::Renew } else { Mode::Whole };
    let mut outcome = Outcome::default();
    let set = LeaseSet::open(leases.clone(), now).unwrap();
    set.decide(&quota, &Charge { cost: 1, mode }, call.extent, &mut outcome).unwrap();
    assert_eq!(outcome.verdict.denies(), outcome.decision.allowed == 0);
    match &outcome.change {
        Change::None => {}
        Change::Lease(edit) => leases.apply(edit, now),
        other => panic!("{other:?}"),
    }
    outcome.decision.integers()
}

/// Random calls of so many holders.
fn compare(seed: u64, holders: u32, clock_steps_back: bool) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut model, leases) = (Model::default(), MemoryLeases::default());
    let mut now = START;
    let longest = [3000, 60_000, 10_000_000][rng.random_range(0..3)];
    let most = [3, 8, i64::from(holders)][rng.random_range(0..3)];
    for step in 0..CALLS {
        now += match rng.random_range(0..8) {
            0 if clock_steps_back => -rng.random_range(0..2 * longest),
            0..4 => 0,
            4..7 => rng.random_range(0..longest / 4),
            // To an end, or just before it.
            _ => {
                let ends: Vec<i64> = model.0.values().copied().filter(|end| *end > now).collect();
                let end = ends.get(rng.random_range(0..ends.len().max(1))).copied().unwrap_or(now);
                (end - now - rng.random_range(0..2)).max(0)
            }
        };
        let call = Call {
            holder: rng.random_range(0..holders),
            limit: rng.random_range(0..=most),
            // Often the same, so that ends are, too.
            ttl_us: if rng.random() { longest } else { rng.random_range(1..=longest) },
            renews_only: rng.random_ratio(1, 6),
            extent: [Extent::All, Extent::All, Extent::All, Extent::Denied, Extent::Nothing]
                [rng.random_range(0..5)],
        };
        let before = leases.leases.borrow().clone();
        leases.touched.set(0);
        let reply = subject(&leases, &call, now);
        let why = format!("seed {seed}, step {step}, at {}: {call:?} on {before:?}", now - START);
        assert_eq!(reply, model.call(&call, now), "{why}");
        let touched = leases.touched.get();
        assert!(touched <= LOOKED_AT + before.len().min(THROWN_AWAY), "{touched} looked at: {why}");
        if model.live(now) > 1 {
            assert!(touched <= LOOKED_AT, "{touched} looked at: {why}");
        }
        let after = leases.leases.borrow().clone();
        if reply[0] == 0 || call.extent != Extent::All {
            assert_eq!(after, before, "{why}");
        }
        // Nothing live is gone, and what has ended and is gone does not come back with the clock.
        let stored: BTreeMap<u32, i64> = after.iter().map(|(end, holder)| (*holder, *end)).collect();
        assert_eq!(stored.len(), after.len(), "{why}");
        let gone: Vec<u32> = model.0.keys().copied().filter(|holder| !stored.contains_key(holder)).collect();
        assert!(gone.iter().all(|holder| model.0[holder] <= now), "{why}");
        model.0.retain(|holder, _| stored.contains_key(holder));
        assert_eq!(model.0, stored, "{why}");
        if reply[0] == 1 && call.extent == Extent::All {
            let ended = |leases: &[(i64, u32)]| leases.iter().filter(|(end, _)| *end <= now).count();
            assert!(
                ended(&after) == 0 || ended(&after) < ended(&before),
                "those that ended get fewer: {why}"
            );
        }
    }
}

#[test]
fn leases_agree_with_their_model_while_time_goes_on() {
    for seed in 0..CASES {
        compare(seed, 6, false);
        compare(seed, 40, false);
    }
}

#[test]
fn leases_agree_with_their_model_while_the_clock_steps_both_ways() {
    for seed in 0..CASES {
        compare(seed, 6, true);
        compare(seed, 40, true);
    }
}

#[test]
fn a_denied_holder_is_let_in_after_retry_after_and_not_a_millisecond_before() {
    for limit in 1..10 {
        for holders in limit..20 {
            let leases = MemoryLeases::default();
            // In whole milliseconds, some ending alike.
            let ends = (0..holders).map(|holder| (START + 1000 * (1 + holder / 2 * 7), holder as u32));
            leases.leases.borrow_mut().extend(ends);
            let call = Call { holder: 99, limit, ttl_us: 1000, renews_only: false, extent: Extent::Nothing };
            let reply = subject(&leases, &call, START);
            assert_eq!(reply[0], 0);
            let early = subject(&leases, &call, START + 1000 * (reply[3] - 1));
            assert_eq!((early[0], early[3]), (0, 1), "limit {limit}, {holders} holders");
            assert_eq!(subject(&leases, &call, START + 1000 * reply[3])[0], 1);
        }
    }
}

#[test]
fn what_it_costs_does_not_grow_with_leases_live_or_ended() {
    for (live, ended) in [(0, 100_000), (1, 100_000), (100_000, 0), (100_000, 2), (50_000, 50_000)] {
        for limit in [1, 1000, 1_000_000] {
            let leases = MemoryLeases::default();
            leases
                .leases
                .borrow_mut()
                .extend((0..ended).map(|holder| (START - 100_000 + i64::from(holder), holder)));
            leases
                .leases
                .borrow_mut()
                .extend((0..live).map(|holder| (START + 1 + i64::from(holder), 1_000_000 + holder)));
            let call = Call { holder: 5, limit, ttl_us: 1000, renews_only: false, extent: Extent::All };
            subject(&leases, &call, START + 1);
            let touched = leases.touched.get();
            assert!(touched <= LOOKED_AT + THROWN_AWAY, "{touched}: {live} live, {ended} ended");
            assert!(live == 0 || touched <= LOOKED_AT || live == 1, "{touched}: {live} live, {ended} ended");
        }
    }
}
