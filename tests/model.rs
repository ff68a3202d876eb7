//! Each algorithm against a slow, obvious model of it: the same replies, call by call.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

#[path = "support/memory_log.rs"]
mod memory_log;
#[path = "support/model.rs"]
mod model;
#[path = "support/schedule.rs"]
mod schedule;
#[path = "support/subject.rs"]
mod subject;

use model::{ALGORITHMS, Algorithm, Call, Limiter};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schedule::{Clock, Schedule};
use subject::Subject;

/// How many schedules of how many calls each algorithm goes through.
const CASES: u64 = 10_000;
const CALLS: usize = 24;

/// Runs schedules of one algorithm and compares every reply.
fn compare(algorithm: Algorithm, clock: Clock) {
    for seed in 0..CASES {
        let mut schedule = Schedule::new(algorithm, clock, seed);
        let mut expected = Limiter::default();
        let mut subject = Subject::default();
        let mut history: Vec<(i128, Call)> = Vec::new();
        for _ in 0..CALLS {
            let (now, call) = schedule.next(&expected);
            history.push((now, call));
            let reply = subject.call(&call, now);
            assert_eq!(reply, reference(&mut expected, &call, now), "seed {seed}: {history:#?}");
            assert_eq!(subject.is_stored(), !expected.is_unused(), "seed {seed}, state: {history:#?}");
        }
    }
}

/// What the model answers, and whether it is an error.
fn reference(limiter: &mut Limiter, call: &Call, now: i128) -> Option<[i128; 7]> {
    // A call that only asks judges state from the future as if pulled, and leaves it.
    let mut pulled = limiter.clone();
    pulled.pull(call, now);
    let mut answer = pulled.judge(call, now).ok()?;
    if call.cost != 0 {
        *limiter = pulled;
        limiter.charge(call, now, &mut answer);
    }
    Some(answer.reply)
}

#[test]
fn algorithms_agree_with_their_models_while_time_goes_on() {
    for algorithm in ALGORITHMS {
        compare(algorithm, Clock::Forward);
    }
}

#[test]
fn algorithms_agree_with_their_models_while_the_clock_steps_both_ways() {
    for algorithm in ALGORITHMS {
        compare(algorithm, Clock::BothWays);
    }
}

#[test]
fn text_of_state_comes_back_as_it_was_written() {
    use redis_limiter::algorithms::text::{Text, millionths, number};
    let mut rng = StdRng::seed_from_u64(1);
    let check = |value: i64| {
        let mut text = Text::default();
        assert_eq!(number(text.number(value).as_bytes()), Some(value));
        assert_eq!(text.as_bytes(), value.to_string().as_bytes());
        let mut text = Text::default();
        assert_eq!(millionths(text.millionths(value).as_bytes()), Some(value));
        let decimal = format!("{}.{:06}", value / 1_000_000, value % 1_000_000);
        let decimal = decimal.trim_end_matches('0').trim_end_matches('.');
        assert_eq!(String::from_utf8_lossy(text.as_bytes()), decimal);
    };
    for value in [0, 1, 9, 10, 999_999, 1_000_000, 1_000_001, 26_750_000, 400_000_000_000_000_000] {
        check(value);
    }
    for _ in 0..CASES {
        let digits = rng.random_range(1..=18);
        check(rng.random_range(0..10_i64.pow(digits)));
    }
}
