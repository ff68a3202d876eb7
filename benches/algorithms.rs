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
use redis_limiter::algorithms::decision::{Ask, Mode, answer, judge};
use redis_limiter::algorithms::{
    Algorithm, Decision, Extent, FieldState, FixedWindow, LeakyBucket, Limiter as _, SlidingCounter,
    SlidingLog, Span, Terms, Time, TokenBucket,
};

const NOW: i64 = 1_763_902_020_000_000;
const MINUTE: i64 = 60_000;

fn terms(limit: i64) -> Terms {
    Terms { limit, refill: 10, window: Span::from_ms(MINUTE), offset: None }
}

fn one(limit: i64) -> Ask {
    Ask { limit, cost: 1, mode: Mode::Whole }
}

fn fields(criterion: &mut Criterion) {
    field::<TokenBucket>(criterion, "token_bucket", Algorithm::TokenBucket, "26.75@1763902019123456");
    field::<LeakyBucket>(criterion, "leaky_bucket", Algorithm::LeakyBucket, "26.75@1763902019123456");
    field::<FixedWindow>(criterion, "fixed_window", Algorithm::FixedWindow, "17@1763902060000000");
    field::<SlidingCounter>(criterion, "sliding_counter", Algorithm::SlidingCounter, "5,12@1763902020000000");
}

fn field<A: FieldState + Copy>(criterion: &mut Criterion, name: &str, algorithm: Algorithm, state: &str) {
    for (outcome, limit) in [("allowed", 100), ("denied", 5)] {
        let (terms, ask, now) = (terms(limit), one(limit), Time::from_us(NOW));
        // As a command does it: from the stored text to the text to store.
        criterion.bench_function(&format!("{name}/{outcome}"), |bencher| {
            bencher.iter(|| {
                let stored = Some(black_box(state.as_bytes()));
                let mut decision = Decision::default();
                algorithm.decide(&terms, stored, now, &ask, Extent::All, &mut decision).unwrap();
                decision
            });
        });
        criterion.bench_function(&format!("{name}/{outcome}, without text"), |bencher| {
            let limiter = A::resume(&terms, Some(state.as_bytes()), now).unwrap();
            bencher.iter(|| {
                let mut limiter = black_box(limiter);
                let verdict = judge(&limiter, &ask).unwrap();
                if verdict.charge != 0 {
                    limiter.charge(verdict.charge);
                }
                answer(&limiter, &ask, &verdict)
            });
        });
    }
}

/// The log's own work, over entries in memory.
fn sliding_log(criterion: &mut Criterion) {
    for entries in [55, 11_000] {
        let terms = terms(entries);
        let log = MemoryLog::default(); // Clones share the entries.
        for number in 0..entries {
            let now = Time::from_us(NOW + number);
            let mut limiter = SlidingLog::open(log.clone(), &terms, now).unwrap();
            limiter.charge(1);
        }
        let now = Time::from_us(NOW + entries);
        criterion.bench_function(&format!("sliding_log of {entries}/denied"), |bencher| {
            let limiter = SlidingLog::open(log.clone(), &terms, now).unwrap();
            let ask = one(entries);
            bencher.iter(|| answer(&limiter, &ask, &judge(black_box(&limiter), &ask).unwrap()));
        });
    }
}

criterion_group!(benches, fields, sliding_log);
criterion_main!(benches);
