//! Logs of any entries, in any order of totals: every question ends, after a bounded number of looks.

use std::cell::Cell;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use redis_limiter::algorithms::decision::{Charge, Extent, Mode, Outcome};
use redis_limiter::algorithms::{Entry, Log, OtherData, Quota, SlidingLog, Span, Time};

use crate::support::memory_log::MemoryLog;

const CASES: u64 = 4000;
const NOW: i64 = 1_763_902_020_000_000;

/// The most entries that one call looks at: three walks of 128, for retry, next and what a refund takes, and for each a
/// search that halves what is left of 2^53 µs.
const MOST: usize = 3 * (128 + 53) + 20;

/// Entries of which only so many are looked at: a search that does not end would panic.
struct Watched<'l> {
    log: &'l MemoryLog,
    /// From here on they cannot be read.
    unreadable: Option<Time>,
    most: &'l Cell<usize>,
}

impl Watched<'_> {
    fn check(&self) {
        let touched = self.log.touched.get();
        self.most.set(self.most.get().max(touched));
        assert!(touched <= MOST, "{touched} entries were looked at");
    }

    fn is_readable(&self, entry: &Entry) -> bool {
        self.unreadable.is_none_or(|unreadable| entry.at != unreadable)
    }
}

impl Log for Watched<'_> {
    fn newest(&self) -> Result<Option<Entry>, OtherData> {
        let newest = self.log.newest()?;
        if newest.is_some_and(|newest| !self.is_readable(&newest)) { Err(OtherData) } else { Ok(newest) }
    }

    fn walk(&self, after: Option<Time>, mut visit: impl FnMut(Entry) -> bool) -> Result<(), OtherData> {
        let mut all_ours = true;
        self.log.walk(after, |entry| {
            self.check();
            all_ours = self.is_readable(&entry);
            all_ours && visit(entry)
        })?;
        // An empty walk is a look, too.
        self.log.touched.set(self.log.touched.get() + 1);
        self.check();
        if all_ours { Ok(()) } else { Err(OtherData) }
    }

    fn has_more_below(&self) -> bool {
        self.log.has_more_below()
    }

    fn length(&self) -> usize {
        self.log.length()
    }
}

fn random_log(rng: &mut StdRng) -> Vec<Entry> {
    let count = *[1, 2, 3, 50, 127, 128, 129, 130, 300, 1000].choose(rng).unwrap();
    let step = *[0, 1, 2, 1000, 1_000_000_000].choose(rng).unwrap();
    let ahead = *[0, 1, 900_000, 5_000_000, 1_000_000_000_000].choose(rng).unwrap();
    let order = rng.random_range(0..4);
    let units_up_to = *[1, 10, 4_000_000_000_000_i64].choose(rng).unwrap();
    let mut total: i64 = if rng.random_bool(0.2) { 999_999_999_999_999_900 } else { 5000 };
    let mut at = NOW + ahead - step * count;
    let mut entries = Vec::new();
    for _ in 0..count {
        at += if rng.random_bool(0.2) { rng.random_range(0..=step) } else { step };
        let units = rng.random_range(1..=units_up_to);
        let by = if rng.random_bool(0.1) { rng.random_range(0..1000) } else { units };
        total = match order {
            0 | 1 => total + by,
            2 => total - by,
            _ => rng.random_range(0..1_000_000_000_000_000_000),
        }
        .rem_euclid(1_000_000_000_000_000_000);
        entries.extend(Entry::checked(Time::from_us(at), total, units));
    }
    entries.sort_by_key(|entry| entry.at);
    entries
}

#[test]
fn every_question_about_any_log_ends_after_a_few_looks() {
    let most = Cell::new(0);
    for seed in 0..CASES {
        let rng = &mut StdRng::seed_from_u64(seed);
        let log = MemoryLog::default();
        *log.entries.borrow_mut() = random_log(rng);
        let entries = log.entries.borrow().clone();
        let unreadable = if rng.random_bool(0.3) { entries.choose(rng).map(|entry| entry.at) } else { None };
        let quota = Quota {
            limit: *[0, 1, 100, 500, 1_000_000_000_000].choose(rng).unwrap(),
            refill: 1,
            window: Span::from_ms(*[1, 100, 3_600_000, 316_224_000_000].choose(rng).unwrap()),
            origin: None,
        };
        for cost in [0, 1, 7, 100, 250, 499, 500, -1, -7, -130, -250, -499, -1_000_000_000_000] {
            for mode in [Mode::Whole, Mode::Force, Mode::Partial] {
                for extent in [Extent::All, Extent::Denied, Extent::Nothing] {
                    log.touched.set(0);
                    let watched = Watched { log: &log, unreadable, most: &most };
                    let Ok(open) = SlidingLog::open(watched, &quota, Time::from_us(NOW)) else { continue };
                    let mut outcome = Outcome::default();
                    let _ = open.decide(&quota, &Charge { cost, mode }, extent, &mut outcome);
                }
            }
        }
        assert!(*log.entries.borrow() == entries, "a decision changes nothing");
    }
    assert!(most.get() > 150, "{}: the logs show little", most.get());
}
