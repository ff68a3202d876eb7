//! Pure decisions: state and an instant in, an answer and new state out. No server.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a bench fails by panicking; criterion's macros have no docs"
)]

#[path = "../tests/support/memory_log.rs"]
#[allow(dead_code, reason = "the tests' log, of which a bench uses a part")]
mod memory_log;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use memory_log::MemoryLog;
use redis_limiter::algorithms::decision::{Charge, Extent, Mode, Outcome};
use redis_limiter::algorithms::{
    Edit, Entry, FieldAlgorithm, FixedWindow, LeakyBucket, Quota, SlidingCounter, SlidingLog, Span, Time,
    TokenBucket,
};

const NOW: i64 = 1_763_902_020_000_000;
const MINUTE: i64 = 60_000;
const ONE: Charge = Charge { cost: 1, mode: Mode::Whole };

fn quota(limit: i64) -> Quota {
    Quota { limit, refill: 10, window: Span::from_ms(MINUTE), origin: None }
}

fn fields(criterion: &mut Criterion) {
    let bucket = "26.75@1763902019123456";
    field(criterion, "token_bucket", FieldAlgorithm::of::<TokenBucket>(), bucket);
    field(criterion, "leaky_bucket", FieldAlgorithm::of::<LeakyBucket>(), bucket);
    field(criterion, "fixed_window", FieldAlgorithm::of::<FixedWindow>(), "17@1763902060000000");
    field(criterion, "sliding_counter", FieldAlgorithm::of::<SlidingCounter>(), "5,12@1763902020000000");
}

/// As a command does it: from the stored text to the text to store.
fn field(criterion: &mut Criterion, name: &str, algorithm: FieldAlgorithm, state: &str) {
    for (result, limit) in [("allowed", 100), ("denied", 5)] {
        let (quota, now) = (quota(limit), Time::from_us(NOW));
        criterion.bench_function(&format!("{name}/{result}"), |bencher| {
            bencher.iter(|| {
                let stored = Some(black_box(state.as_bytes()));
                let mut outcome = Outcome::default();
                algorithm.decide(&quota, stored, now, &ONE, Extent::All, &mut outcome).unwrap();
                outcome
            });
        });
    }
}

/// The log's own work, over entries in memory.
fn sliding_log(criterion: &mut Criterion) {
    for entries in [55, 11_000] {
        let quota = quota(entries);
        let mut log = MemoryLog::default(); // Clones share the entries.
        let entry = |number| Entry { at: Time::from_us(NOW + number), total: number, units: 1 };
        for number in 1..=entries {
            log.apply(&Edit { added: [entry(number)].into_iter().collect(), ..Edit::default() });
        }
        let now = Time::from_us(NOW + entries);
        criterion.bench_function(&format!("sliding_log of {entries}/denied"), |bencher| {
            bencher.iter(|| {
                let log = SlidingLog::open(black_box(&log).clone(), &quota, now).unwrap();
                let mut outcome = Outcome::default();
                log.decide(&quota, &ONE, Extent::All, &mut outcome).unwrap();
                outcome
            });
        });
    }
}

criterion_group!(benches, fields, sliding_log);
criterion_main!(benches);
