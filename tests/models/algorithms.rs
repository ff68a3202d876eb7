//! Each algorithm against a slow, obvious model of it: the same replies, call by call.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::model::{ALGORITHMS, Algorithm, Call, Limiter};
use crate::support::schedule::{Clock, Schedule};
use crate::support::subject::Subject;

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
        assert_eq!(number(text.number(value).unwrap().as_bytes()), Some(value));
        assert_eq!(text.as_bytes(), value.to_string().as_bytes());
        let mut text = Text::default();
        assert_eq!(millionths(text.millionths(value).unwrap().as_bytes()), Some(value));
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

#[test]
fn text_that_does_not_fit_is_told() {
    use redis_limiter::algorithms::text::{Text, TooLong};
    for held in 0..=64 {
        for value in [0, 7, 12_345_678, 1_763_902_000_123_456, i64::MAX, i64::MIN] {
            let written = value.to_string();
            let mut text = Text::default();
            text.push("x".repeat(held).as_bytes()).unwrap();
            match text.number(value) {
                Ok(text) => assert_eq!(&text.as_bytes()[held..], written.as_bytes()),
                Err(TooLong) => assert!(held + written.len() > 64, "{held} and {written}"),
            }
        }
    }
}

#[test]
fn text_that_is_no_state_is_not_read() {
    use redis_limiter::algorithms::text::{leading_number, millionths, number, stamped};
    let at = 1_763_902_000_123_456;
    let figures = |text: &'static str| stamped(text.as_bytes());
    assert_eq!(figures("26.75@1763902000123456"), Some((b"26.75".as_slice(), at)));
    assert_eq!(figures("@1763902000123456"), Some((b"".as_slice(), at)));
    assert_eq!(figures("5,12@17"), Some((b"5,12".as_slice(), 17)));
    assert_eq!(figures("5@10000000000000000"), Some((b"5".as_slice(), 10_000_000_000_000_000)));
    for text in
        ["", "5", "5@", "5@-1", "5@ 17", "5@176390200012345x", "5@x763902000123456", "5@1763902/00123456"]
    {
        assert_eq!(figures(text), None, "{text}");
    }
    for text in ["", "-1", "+1", " 1", "1 ", "0x1", "1e3", "/", ":", "12345678:", "1234567890123456789"] {
        assert_eq!(number(text.as_bytes()), None, "{text}");
    }
    for text in
        ["", ".", "1.", ".5", "1.1234567", "1.12345x", "1.x23456", "x.123456", "1..12345", "1.5.", "-1.5"]
    {
        assert_eq!(millionths(text.as_bytes()), None, "{text}");
    }
    assert_eq!(millionths(b"1.000001"), Some(1_000_001));
    assert_eq!(millionths(b"1.500000"), Some(1_500_000));
    assert_eq!(millionths(b"999999999999.5"), Some(999_999_999_999_500_000));
    assert_eq!(millionths(b"99999999999999"), None, "beyond 64 bits");
    assert_eq!(leading_number(b"60s"), Some((60, b"s".as_slice())));
    assert_eq!(leading_number(b"s"), None);
    assert_eq!(leading_number(b"1234567890123456789s"), None);
    assert_eq!(leading_number(b"000000000000000001"), Some((1, b"".as_slice())));
}
