//! What each algorithm promises, whatever the schedule: never more than the limit, and every wait comes true.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis_limiter::algorithms::decision::{Change, Charge, Decision, Extent, Mode as Charging, Outcome};
use redis_limiter::algorithms::{Edit, Entry, LeaseSet, Quota, Span, Time};

use crate::support::memory_leases::MemoryLeases;
use crate::support::model::{ALGORITHMS, Algorithm, Call, MONTH, Mode, window_end};
use crate::support::schedule::BEGIN;
use crate::support::subject::Subject;

const CASES: u64 = 10_000;
const MS: i128 = 1000;
const DAY: i128 = 86_400_000 * MS;

/// One limit for a whole schedule of whole charges, and what of it was allowed: instants and units.
struct Run {
    base: Call,
    allowed: Vec<(i128, i128)>,
    subject: Subject,
    rng: StdRng,
    now: i128,
}

impl Run {
    fn new(algorithm: Algorithm, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let is_months = algorithm == Algorithm::Months;
        let windows = [MS, 10 * MS, 1000 * MS, 60_000 * MS];
        let months = [MONTH, 3 * MONTH, 5 * MONTH, 120 * MONTH];
        let window = if is_months { months } else { windows }[rng.random_range(0..4)];
        let offsets = if is_months { -DAY..=27 * DAY } else { -window..=window };
        let base = Call {
            algorithm,
            limit: rng.random_range(1..=20),
            refill: rng.random_range(1..=20),
            window,
            offset: rng.random_range(offsets) / MS * MS,
            cost: 1,
            mode: Mode::Whole,
        };
        Self {
            base,
            allowed: Vec::new(),
            subject: Subject::default(),
            now: BEGIN + rng.random_range(0..window),
            rng,
        }
    }

    /// Charges a random cost after a random pause. Calls come one microsecond apart or more.
    fn charge(&mut self) -> [i128; 7] {
        let window = self.base.window;
        self.now += match self.rng.random_range(0..5) {
            0..=1 => self.rng.random_range(1..=window / 10),
            2..=3 => self.rng.random_range(1..=window / self.base.limit),
            _ => self.rng.random_range(1..=2 * window),
        };
        let cost = self.rng.random_range(1..=self.base.limit);
        let cost = if self.rng.random_bool(0.7) { 1 } else { cost };
        let reply = self.ask(cost);
        if reply[0] == 1 {
            self.allowed.push((self.now, cost));
        }
        reply
    }

    fn ask(&mut self, cost: i128) -> [i128; 7] {
        self.subject.call(&Call { cost, ..self.base }, self.now).unwrap()
    }

    /// What COST 0 shows `ms` milliseconds from now.
    fn look(&mut self, ms: i128) -> [i128; 7] {
        let call = Call { cost: 0, ..self.base };
        self.subject.call(&call, self.now + ms * MS).unwrap()
    }

    /// The most units allowed within any span of `span` microseconds, both ends included.
    fn most_in(&self, span: i128) -> i128 {
        let all = &self.allowed;
        let from = |first: usize| {
            all[first..].iter().take_while(|(at, _)| at - all[first].0 <= span).map(|(_, units)| units).sum()
        };
        (0..all.len()).map(from).max().unwrap_or(0)
    }
}

fn runs(algorithm: Algorithm) -> impl Iterator<Item = Run> {
    (0..CASES).map(move |seed| {
        let mut run = Run::new(algorithm, seed);
        for _ in 0..20 {
            run.charge();
        }
        run
    })
}

#[test]
fn a_sliding_log_lets_no_more_than_the_limit_through_in_any_window() {
    for run in runs(Algorithm::SlidingLog) {
        assert!(run.most_in(run.base.window - 1) <= run.base.limit);
    }
}

#[test]
fn calls_of_one_instant_count_as_a_microsecond_apart_in_a_sliding_log() {
    // In transactions and scripts time stands still; the log's own instants never do.
    let mut subject = Subject::default();
    let call = Call {
        algorithm: Algorithm::SlidingLog,
        limit: 5,
        refill: 1,
        window: MS,
        offset: 0,
        cost: 1,
        mode: Mode::Whole,
    };
    for _ in 0..5 {
        assert_eq!(subject.call(&call, BEGIN).unwrap()[0], 1);
    }
    assert_eq!(subject.call(&call, BEGIN).unwrap()[0], 0);
    let instants: Vec<_> =
        subject.log.entries.borrow().iter().map(|entry| i128::from(entry.at.us()) - BEGIN).collect();
    assert_eq!(instants, [0, 1, 2, 3, 4]);
}

#[test]
fn a_fixed_window_lets_no_more_than_the_limit_through_in_each_of_its_windows() {
    for run in runs(Algorithm::Fixed) {
        // A window opens with the first charge after the one before has ended.
        let (mut end, mut count) = (i128::MIN, 0);
        for (at, units) in &run.allowed {
            if *at >= end {
                (end, count) = (at + run.base.window, 0);
            }
            count += units;
            assert!(count <= run.base.limit);
        }
    }
}

#[test]
fn an_aligned_window_lets_no_more_than_the_limit_through_in_each_of_its_windows() {
    for run in runs(Algorithm::Aligned).chain(runs(Algorithm::Months)) {
        let end = |at: i128| window_end(&run.base, at);
        for (at, _) in &run.allowed {
            let of_window = run.allowed.iter().filter(|(other, _)| end(*other) == end(*at));
            assert!(of_window.map(|(_, units)| units).sum::<i128>() <= run.base.limit);
        }
    }
}

#[test]
fn a_bucket_lets_no_more_than_capacity_and_refill_through_in_any_span() {
    for algorithm in [Algorithm::TokenBucket, Algorithm::LeakyBucket] {
        for run in runs(algorithm) {
            let Call { limit, refill, window, .. } = run.base;
            for (first, (from, _)) in run.allowed.iter().enumerate() {
                let mut units = 0;
                for (at, cost) in &run.allowed[first..] {
                    units += cost;
                    // units <= limit + refill * span / window, in whole numbers.
                    assert!((units - limit) * window <= refill * (at - from));
                }
            }
        }
    }
}

#[test]
fn a_sliding_counter_keeps_its_estimate_and_at_most_twice_the_limit_in_any_window() {
    for seed in 0..CASES {
        let mut run = Run::new(Algorithm::SlidingCounter, seed);
        for _ in 0..20 {
            let reply = run.charge();
            assert!(reply[6] <= run.base.limit, "used {} of {}", reply[6], run.base.limit);
        }
        assert!(run.most_in(run.base.window - 1) <= 2 * run.base.limit);
    }
}

#[test]
fn a_refused_call_is_refused_until_exactly_retry_after_and_then_allowed() {
    for algorithm in ALGORITHMS {
        for seed in 0..CASES {
            let mut run = Run::new(algorithm, seed);
            for _ in 0..8 {
                run.charge();
            }
            let cost = run.rng.random_range(1..=run.base.limit);
            let reply = run.ask(cost);
            if reply[0] == 1 {
                continue;
            }
            assert!(reply[3] > 0, "a cost within the limit fits at some time");
            let call = Call { cost, ..run.base };
            let early = run.subject.call(&call, run.now + (reply[3] - 1) * MS).unwrap();
            assert_eq!(early[0], 0, "{algorithm:?} {seed}: a millisecond early");
            let in_time = run.subject.call(&call, run.now + reply[3] * MS).unwrap();
            assert_eq!(in_time[0], 1, "{algorithm:?} {seed}: in time");
        }
    }
}

#[test]
fn a_cost_above_the_limit_never_fits_and_says_so() {
    for algorithm in ALGORITHMS {
        let mut run = Run::new(algorithm, 7);
        let cost = run.base.limit + 1;
        let reply = run.ask(cost);
        assert_eq!((reply[0], reply[3]), (0, -1));
    }
}

#[test]
fn what_remains_can_be_charged_and_no_more() {
    for algorithm in ALGORITHMS {
        for mut run in runs(algorithm).take(1000) {
            let remaining = run.look(0)[2];
            assert_eq!(run.ask(remaining + 1)[0], 0);
            if remaining > 0 {
                assert_eq!(run.ask(remaining)[..3], [1, run.base.limit, 0]);
            }
        }
    }
}

#[test]
fn remaining_grows_when_next_after_says_and_not_before() {
    for algorithm in ALGORITHMS {
        for mut run in runs(algorithm) {
            let [_, _, remaining, _, _, next, used] = run.look(0);
            if used == 0 {
                assert_eq!(next, 0);
                continue;
            }
            assert_eq!(run.look(next - 1)[2], remaining);
            assert!(run.look(next)[2] > remaining);
        }
    }
}

#[test]
fn a_limiter_is_unused_when_reset_after_says_and_not_before() {
    for algorithm in ALGORITHMS {
        for mut run in runs(algorithm) {
            let [.., reset, _, used] = run.look(0);
            if used == 0 {
                assert_eq!(reset, 0);
                continue;
            }
            assert!(run.look(reset - 1)[6] > 0);
            assert_eq!(run.look(reset)[6], 0);
        }
    }
}

#[test]
fn giving_back_all_that_was_charged_leaves_no_state() {
    for algorithm in ALGORITHMS {
        for mut run in runs(algorithm) {
            let used = run.look(0)[6];
            // A sliding counter gives back what its present window counts.
            let reply = run.ask(-used.max(1));
            assert_eq!((reply[0], reply[3]), (1, 0));
            if algorithm != Algorithm::SlidingCounter {
                assert!(!run.subject.is_stored());
                assert_eq!(reply[6], 0);
            }
        }
    }
}

#[test]
fn a_refund_undoes_a_charge_of_the_same_instant() {
    for algorithm in ALGORITHMS {
        for mut run in runs(algorithm) {
            // Not the instant of the call before, which in a log would push this one a microsecond on.
            run.now += 1;
            let before = run.look(0)[6];
            let cost = run.rng.random_range(1..=run.base.limit);
            if run.ask(cost)[0] == 1 {
                run.ask(-cost);
                assert_eq!(run.look(0)[6], before);
            }
        }
    }
}

#[test]
fn work_leaves_a_leaky_bucket_at_a_constant_rate() {
    for mut run in (0..CASES).map(|seed| Run::new(Algorithm::LeakyBucket, seed)) {
        let mut free = 0;
        for _ in 0..20 {
            let reply = run.charge();
            if reply[0] == 0 {
                continue;
            }
            let (at, units) = run.allowed[run.allowed.len() - 1];
            // To the millisecond: replies are rounded up to one.
            let leaves = at + reply[3] * MS;
            assert!(leaves >= free, "one leaves before the one before it is done");
            assert!(leaves <= free.max(at) + 2 * MS, "one waits longer than it must");
            free = free.max(at) + units * run.base.window / run.base.refill;
        }
    }
}

// Long logs.

/// A log of `calls` entries with costs from 1 to 3, a random pause apart.
fn long_log(calls: usize, rng: &mut StdRng) -> (Subject, Vec<(i128, i128)>) {
    let (mut subject, mut now, mut all) = (Subject::default(), BEGIN, Vec::new());
    for _ in 0..calls {
        now += rng.random_range(1..500);
        let cost = rng.random_range(1..=3);
        assert_eq!(subject.call(&log_call(cost), now).unwrap()[0], 1);
        all.push((now, cost));
    }
    (subject, all)
}

fn log_call(cost: i128) -> Call {
    let limit = 1_000_000;
    Call {
        algorithm: Algorithm::SlidingLog,
        limit,
        refill: 1,
        window: 60_000_000,
        offset: 0,
        cost,
        mode: Mode::Whole,
    }
}

#[test]
fn stale_entries_of_a_log_stay_few_whatever_its_calls_cost() {
    let mut rng = StdRng::seed_from_u64(7);
    let cycles: [&[i128]; 10] = [
        &[1],
        &[2],
        &[850],
        &[1, 100_000],
        &[7, 11, 13],
        &[1, 1, 14],
        &[1, 2, 29],
        &[1, 1, 1, 1, 1, 1, 1, 1, 8],
        &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 21],
        &[4, 8, 16, 64],
    ];
    for costs in cycles {
        for (live, at_random) in [(3, false), (50, false), (1000, false), (1000, true)] {
            let (mut subject, mut now, mut most) = (Subject::default(), BEGIN, 0);
            for index in 0..live * 10 {
                now += 60_000_000 / live as i128;
                let next = if at_random { rng.random_range(0..costs.len()) } else { index % costs.len() };
                let mut call = log_call(if index == 0 { 13 } else { costs[next] });
                call.limit = 1_000_000_000;
                assert_eq!(subject.call(&call, now).unwrap()[0], 1);
                if index > live {
                    most = most.max(subject.log.entries.borrow().len());
                }
            }
            assert!(most <= live + 32, "costs {costs:?}: {most} entries, {live} of them in the window");
        }
    }
}

#[test]
fn no_choice_of_costs_keeps_stale_entries_in_a_log() {
    // A caller who looks ahead: the first cost with which the total stays clear of where a look would be.
    for every in [4, 8, 16] {
        let (mut subject, mut now, mut total) = (Subject::default(), BEGIN, 0);
        for _ in 0..5000 {
            now += 60_000_000 / 1000;
            let cost = (1..100).find(|cost| (total + cost) % (cost * every) >= *cost).unwrap_or(1);
            total += cost;
            let mut call = log_call(cost);
            call.limit = 1_000_000_000;
            assert_eq!(subject.call(&call, now).unwrap()[0], 1);
        }
        let held = subject.log.entries.borrow().len();
        assert!(held <= 1032, "{held} entries, 1000 of them in the window");
    }
}

#[test]
fn waits_in_a_long_log_are_exact_for_any_cost() {
    let mut rng = StdRng::seed_from_u64(5);
    let (mut subject, all) = long_log(3000, &mut rng);
    let (now, used) = (all[all.len() - 1].0, all.iter().map(|(_, units)| units).sum::<i128>());
    for level in (0..used).step_by(17).chain(0..5).chain(used - 5..used) {
        // The first entry after which no more than `level` units were charged.
        let mut rest = used;
        let leaves = all.iter().find(|(_, units)| {
            rest -= units;
            rest <= level
        });
        let expected = leaves.unwrap().0 + 60_000_000 - now;
        // A call that fits once no more than `level` are used, and not before.
        let call = Call { limit: used, ..log_call(used - level) };
        let [allowed, _, _, retry_after_ms, ..] = subject.call(&call, now).unwrap();
        assert_eq!((allowed, retry_after_ms), (0, (expected + 999) / 1000), "level {level}");
    }
}

#[test]
fn the_work_of_a_call_on_a_log_grows_neither_with_its_cost_nor_with_its_stale_entries() {
    let mut rng = StdRng::seed_from_u64(6);
    let (mut subject, all) = long_log(20_000, &mut rng);
    let touched = subject.log.touched.clone();
    let work = |subject: &mut Subject, cost, now| {
        touched.set(0);
        subject.call(&log_call(cost), now).unwrap();
        touched.get()
    };
    let newest = all[all.len() - 1].0;
    assert!(work(&mut subject, 900_000, newest + 1) < 300, "a large cost");
    assert!(work(&mut subject, 1_000_000, newest + 2) < 300, "a large cost that is denied");
    // All but a few entries are stale.
    let later = newest + 60_000_000 - 50;
    assert!(work(&mut subject, 1, later) < 300, "many stale entries");
    let before = subject.log.entries.borrow().len();
    for index in 1..=32 {
        work(&mut subject, 1, later + index);
    }
    assert!(subject.log.entries.borrow().len() < before, "stale entries go faster than calls come");
    // All are stale.
    // A small part is looked at before all go: whether it is a log's.
    assert!(work(&mut subject, 1, later + 200_000_000) < 150, "nothing but stale entries");
    assert_eq!(subject.log.entries.borrow().len(), 1);
}

#[test]
fn totals_of_a_log_go_on_past_their_modulus() {
    let mut subject = Subject::default();
    let entry = Entry { at: Time::from_us(BEGIN as i64), total: 999_999_999_999_999_998, units: 2 };
    subject.log.apply(&Edit { added: [entry].into_iter().collect(), ..Edit::default() });
    for (units, used) in [(1, 3), (5, 8), (-3, 5), (-5, 0)] {
        assert_eq!(subject.call(&log_call(units), BEGIN + 10).unwrap()[6], used);
    }
    assert!(!subject.is_stored());
}

// Leases.

/// A call of a holder on leases in memory: the seven integers.
fn lease(leases: &MemoryLeases, own: u32, limit: i64, ttl: i128, now: i128) -> [i64; 7] {
    let (leases, now) = (MemoryLeases { own, ..leases.clone() }, Time::from_us(now as i64));
    let quota = Quota { limit, refill: 1, window: Span::from_us(ttl as i64), origin: None };
    let charge = Charge { cost: 1, mode: Charging::Whole };
    let mut outcome = Outcome::default();
    LeaseSet::open(leases.clone(), now).unwrap().decide(&quota, &charge, Extent::All, &mut outcome).unwrap();
    if let Change::Lease(edit) = &outcome.change {
        leases.apply(edit, now);
    }
    outcome.decision.integers()
}

/// Who holds a lease at an instant.
fn holders(leases: &MemoryLeases, at: i128) -> Vec<u32> {
    let leases = leases.leases.borrow();
    leases.iter().filter(|(end, _)| i128::from(*end) > at).map(|(_, holder)| *holder).collect()
}

#[test]
fn no_new_lease_makes_more_than_its_limit_live_and_a_denied_one_comes_exactly_after_its_wait() {
    let mut denied = 0;
    for seed in 0..CASES {
        let mut rng = StdRng::seed_from_u64(seed);
        let (leases, mut now) = (MemoryLeases::default(), BEGIN);
        for _ in 0..20 {
            now += rng.random_range(0..400 * MS);
            let (own, limit) = (rng.random_range(0..8), rng.random_range(1..=5));
            let ttl = rng.random_range(1..=2000) * MS;
            let before = holders(&leases, now);
            let reply = lease(&leases, own, limit, ttl, now);
            let after = holders(&leases, now);
            if before.contains(&own) {
                assert_eq!((reply[0], after.len()), (1, before.len()), "a renewal is always let through");
            } else if reply[0] == 1 {
                assert!(after.len() <= limit as usize, "seed {seed}: {} of {limit} live", after.len());
            } else {
                denied += 1;
                assert_eq!(before, after);
                let later = |ms: i64| {
                    let copy = MemoryLeases::default();
                    copy.leases.borrow_mut().clone_from(&leases.leases.borrow());
                    lease(&copy, own, limit, ttl, now + i128::from(ms) * MS)[0]
                };
                assert_eq!([later(reply[3] - 1), later(reply[3])], [0, 1], "seed {seed}: {reply:?}");
            }
        }
    }
    assert!(denied > 1000, "{denied}");
}

// Blocks and overrides.

#[test]
fn a_block_takes_nothing_from_a_refund_and_its_wait_is_never_the_shorter() {
    let mut rng = StdRng::seed_from_u64(8);
    for _ in 0..CASES {
        let cost = rng.random_range(-3..=12);
        let mode = [Charging::Whole, Charging::Force, Charging::Partial][rng.random_range(0..3)];
        let charge = Charge { cost, mode };
        let mut outcome = Outcome::default();
        outcome.verdict.allowed = if cost < 0 { 1 } else { rng.random_range(0..=1) };
        outcome.verdict.charge =
            if outcome.verdict.allowed > 0 || mode == Charging::Force { cost } else { 0 };
        let own_wait = if outcome.verdict.allowed > 0 { 0 } else { rng.random_range(-1..=50) };
        outcome.decision.allowed = outcome.verdict.allowed;
        outcome.decision.limit = rng.random_range(0..=10);
        // An allowed call's is a queue's delay, which is no wait for the limit.
        outcome.decision.retry_after_ms = if own_wait == 0 { rng.random_range(0..=50) } else { own_wait };
        outcome.decision.remaining = rng.random_range(0..=10);
        outcome.decision.next_after_ms = rng.random_range(-1..=50);
        let begins = outcome.begins_block(&charge);
        let denied = outcome.verdict.allowed == 0 && outcome.verdict.charge == 0;
        let could_pass = cost >= 1 && cost <= outcome.decision.limit;
        assert_eq!(begins, denied && could_pass && mode == Charging::Whole, "{charge:?} {outcome:?}");

        let left_us = rng.random_range(0..60_000_i64);
        let left = rng.random_bool(0.8).then(|| Span::from_us(left_us));
        let before = outcome.clone();
        outcome.block(&charge, left);
        let Decision { allowed, remaining, retry_after_ms, next_after_ms, .. } = outcome.decision;
        assert!(!outcome.begins_block(&charge), "it is there");
        if cost < 0 {
            assert_eq!(outcome.verdict, before.verdict);
            assert_eq!(outcome.decision.integers(), before.decision.integers());
            continue;
        }
        assert_eq!((allowed, remaining, outcome.verdict.allowed), (0, 0, 0));
        assert_eq!(outcome.verdict.charge, if mode == Charging::Force { before.verdict.charge } else { 0 });
        let own_wait = if before.verdict.allowed > 0 { 0 } else { before.decision.retry_after_ms };
        for (told, own) in [(retry_after_ms, own_wait), (next_after_ms, before.decision.next_after_ms)] {
            if own < 0 || left.is_none() {
                assert_eq!(told, -1);
            } else {
                assert!(
                    told >= 1 && told >= own && told * 1000 >= left_us,
                    "{told} of {own} and {left_us} us"
                );
                assert!(told == own || (told - 1) * 1000 < left_us.max(1), "{told}, a millisecond too long");
            }
        }
    }
}

#[test]
fn an_override_is_whole_numbers_within_their_ranges_and_nothing_else() {
    let base = Quota { limit: 3, refill: 2, window: Span::from_ms(1000), origin: None };
    // Read letter by letter.
    let number = |text: &str| -> Option<i64> {
        let is_number = (1..=18).contains(&text.len()) && text.chars().all(|letter| letter.is_ascii_digit());
        is_number
            .then(|| text.chars().fold(0, |value, digit| value * 10 + i64::from(digit.to_digit(10).unwrap())))
    };
    let expected = |text: &str, is_bucket: bool| -> Option<(i64, i64)> {
        let parts: Vec<&str> = text.split('/').collect();
        let (limit, refill) = match parts[..] {
            [limit] => (number(limit)?, base.refill),
            [limit, refill] if is_bucket => (number(limit)?, number(refill)?),
            _ => return None,
        };
        (limit <= 1_000_000_000_000 && (1..=1_000_000_000_000).contains(&refill)).then_some((limit, refill))
    };
    let mut rng = StdRng::seed_from_u64(9);
    let mut taken = 0;
    for _ in 0..20 * CASES {
        let pieces = [
            "0",
            "1",
            "7",
            "50",
            "000000",
            "1000000000000",
            "999999999999",
            "/",
            "/",
            "-",
            "+",
            " ",
            ".",
            "e",
            "\0",
        ];
        // Mostly digits.
        let count = rng.random_range(0..6);
        let text: String = (0..count)
            .map(|_| {
                pieces[if rng.random_bool(0.9) { rng.random_range(0..8) } else { rng.random_range(0..15) }]
            })
            .collect();
        for is_bucket in [false, true] {
            let got = base.overridden(text.as_bytes(), is_bucket);
            let got = got.map(|quota| {
                assert_eq!((quota.window, quota.origin), (base.window, base.origin));
                (quota.limit, quota.refill)
            });
            assert_eq!(got, expected(&text, is_bucket), "{text:?}");
            taken += usize::from(got.is_some());
        }
    }
    assert!(taken > 10_000, "{taken}");
}
