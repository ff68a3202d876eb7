//! Costs and their modes on all five limiters: COST 0, refunds, FORCE, PARTIAL.

use std::fmt;
use std::time::Duration;

use crate::support::{Observed, START, Server, State, frozen, purge};

/// The most that may stand as used.
const MOST: i64 = 4_000_000_000_000;

/// A limiter of 10 units in 10 seconds, on a key of its own.
#[derive(Clone, Copy)]
struct Limiter {
    name: &'static str,
    /// The words after the limit.
    rest: &'static str,
}

const TOKEN_BUCKET: Limiter = Limiter { name: "TOKENBUCKET", rest: "10 10s" };
const LEAKY_BUCKET: Limiter = Limiter { name: "LEAKYBUCKET", rest: "10 10s" };
const FIXED: Limiter = Limiter { name: "FIXED", rest: "10s" };
const COUNTER: Limiter = Limiter { name: "SLIDINGCOUNTER", rest: "10s" };
const LOG: Limiter = Limiter { name: "SLIDINGLOG", rest: "10s" };
const ALL_FIVE: [Limiter; 5] = [TOKEN_BUCKET, LEAKY_BUCKET, FIXED, COUNTER, LOG];

impl Limiter {
    /// The call with these options.
    fn with(self, options: &str) -> String {
        self.limited_to(10, options)
    }

    fn limited_to(self, limit: i64, options: &str) -> String {
        format!("RL.{self} {self} {limit} {} {options}", self.rest)
    }
}

impl fmt::Display for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The reply, by the names of the contract.
#[derive(Debug)]
struct Reply {
    allowed: i64,
    limit: i64,
    remaining: i64,
    retry_ms: i64,
    reset_ms: i64,
    next_ms: i64,
    used: i64,
}

#[track_caller]
fn ask(server: &Server, line: &str) -> Reply {
    let [allowed, limit, remaining, retry_ms, reset_ms, next_ms, used] = server.ask(line)[..] else {
        panic!("seven integers answer {line}")
    };
    let reply = Reply { allowed, limit, remaining, retry_ms, reset_ms, next_ms, used };
    assert_eq!(reply.remaining, (limit - used).max(0), "{line}: {reply:?}");
    reply
}

/// A call that must change nothing.
#[track_caller]
fn ask_idly(server: &Server, line: &str) -> Reply {
    purge(server, &ALL_FIVE.map(|limiter| limiter.to_string()));
    let before = State::of(server);
    let reply = ask(server, line);
    assert_eq!(State::of(server), before, "{line}");
    reply
}

fn ms(ms: i64) -> Duration {
    Duration::from_millis(ms.try_into().unwrap())
}

fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// Moves the clock on by `retry_ms`, and sees that the call is refused until then and not longer.
#[track_caller]
fn is_refused_for(server: &Server, retry_ms: i64, line: &str) {
    assert!(retry_ms > 0, "{line}");
    server.clock.advance(ms(retry_ms - 1));
    assert_eq!(ask_idly(server, line).allowed, 0, "{line}, a ms before {retry_ms} ms are over");
    server.clock.advance(ms(1));
    assert_eq!(ask(server, line).allowed, 1, "{line}, after {retry_ms} ms");
}

fn entries(server: &Server) -> Vec<(String, i64)> {
    let texts = server.ask_texts("ZRANGE SLIDINGLOG 0 -1 WITHSCORES");
    texts.chunks(2).map(|pair| (pair[0].clone(), pair[1].parse::<i64>().unwrap() - START)).collect()
}

fn entry(member: &str, at: i64) -> (String, i64) {
    (member.into(), at)
}

// What does not fit.

#[test]
fn a_call_that_does_not_fit_changes_nothing_and_is_told_when_it_will() {
    let server = frozen();
    for limiter in ALL_FIVE {
        ask(&server, &limiter.with("COST 7"));
        server.clock.advance(us(1_234_567));
        let refused = ask_idly(&server, &limiter.with("COST 8"));
        assert_eq!((refused.allowed, refused.limit), (0, 10), "{limiter}");
        is_refused_for(&server, refused.retry_ms, &limiter.with("COST 8"));
    }
}

#[test]
fn a_cost_above_the_limit_never_fits() {
    let server = frozen();
    for limiter in ALL_FIVE {
        assert_eq!(server.ask(&limiter.with("COST 11")), [0, 10, 10, -1, 0, 0, 0], "{limiter}");
        assert_eq!(server.ask(&limiter.limited_to(0, "")), [0, 0, 0, -1, 0, -1, 0], "{limiter}");
        assert!(!server.holds(limiter.name), "{limiter}");
        ask(&server, &limiter.with("COST 10"));
        assert_eq!(ask_idly(&server, &limiter.with("COST 11")).retry_ms, -1, "{limiter}");
        assert_eq!(ask_idly(&server, &limiter.with("COST 1000000000000")).retry_ms, -1, "{limiter}");
    }
}

// COST 0.

#[test]
fn cost_0_is_allowed_up_to_the_limit_and_writes_nothing() {
    let observed = Observed::frozen();
    let server: &Server = &observed;
    for limiter in ALL_FIVE {
        let asks = limiter.with("COST 0");
        assert_eq!(server.ask(&asks), [1, 10, 10, 0, 0, 0, 0], "{limiter}");
        assert!(!server.holds(limiter.name), "{limiter}");
        ask(server, &limiter.with("COST 10"));
        let full = ask_idly(server, &asks);
        assert_eq!((full.allowed, full.remaining, full.used), (1, 0, 10), "{limiter}");
        assert_eq!(observed.effects_of(&asks), [""; 0], "{limiter}");
        let lowered = ask_idly(server, &limiter.limited_to(0, "COST 0"));
        assert_eq!((lowered.allowed, lowered.next_ms), (0, -1), "{limiter}: used 10 of 0");
        assert_eq!(lowered.retry_ms, lowered.reset_ms, "{limiter}: until 0 are used");
    }
}

#[test]
fn cost_0_is_refused_while_in_debt() {
    let server = frozen();
    for limiter in ALL_FIVE {
        ask(&server, &limiter.with("COST 10"));
        ask(&server, &limiter.with("COST 4 FORCE"));
        let asked = ask_idly(&server, &limiter.with("COST 0"));
        assert_eq!((asked.allowed, asked.remaining, asked.used), (0, 0, 14), "{limiter}");
        is_refused_for(&server, asked.retry_ms, &limiter.with("COST 0"));
    }
}

#[test]
fn cost_0_tells_what_the_next_call_meets() {
    let server = frozen();
    for limiter in ALL_FIVE {
        let charged = ask(&server, &limiter.with("COST 3"));
        let asked = ask(&server, &limiter.with("COST 0"));
        assert_eq!(
            (asked.remaining, asked.reset_ms, asked.next_ms, asked.used),
            (charged.remaining, charged.reset_ms, charged.next_ms, charged.used),
            "{limiter}"
        );
    }
}

// Refunds.

#[test]
fn a_refund_never_creates_a_key() {
    let observed = Observed::frozen();
    for limiter in ALL_FIVE {
        for options in ["COST -1", "COST -1000000000000", "COST -1 FORCE", "COST -1 PARTIAL"] {
            let line = limiter.with(options);
            assert_eq!(observed.ask(&line), [1, 10, 10, 0, 0, 0, 0], "{line}");
            assert_eq!(observed.effects_of(&line), [""; 0], "{line}");
            assert!(!observed.holds(limiter.name), "{line}");
        }
    }
}

#[test]
fn a_refund_of_nothing_leaves_other_limits_on_the_key_alone() {
    let observed = Observed::frozen();
    let server: &Server = &observed;
    server.ask("RL.FIXED k 10 1d COST 4");
    for line in [
        "RL.TOKENBUCKET k 10 10 10s COST -1",
        "RL.LEAKYBUCKET k 10 10 10s COST -1",
        "RL.FIXED k 10 1h COST -1",
        "RL.FIXED k 10 1d ALIGN COST -1",
        "RL.FIXED k 10 1d COST -1 AS other",
        "RL.SLIDINGCOUNTER k 10 10s COST -1",
        "CL.THROTTLE k 9 10 10 -1",
    ] {
        assert_eq!(observed.effects_of(line), [""; 0], "{line}");
    }
    // Nor is an expiry brought back that someone took away: nothing was written.
    server.ask_value("PERSIST k");
    assert_eq!(observed.effects_of("RL.FIXED k 10 1s COST -1"), [""; 0]);
    assert_eq!(ask(server, "RL.FIXED k 10 1d COST 0").used, 4);
}

#[test]
fn a_refund_gives_back_exactly_and_is_always_allowed() {
    let server = frozen();
    for limiter in ALL_FIVE {
        ask(&server, &limiter.with("COST 10"));
        let back = ask(&server, &limiter.with("COST -4"));
        assert_eq!((back.allowed, back.remaining, back.retry_ms, back.used), (1, 4, 0, 6), "{limiter}");
        ask(&server, &limiter.with("COST 20 FORCE"));
        let in_debt = ask(&server, &limiter.with("COST -3"));
        assert_eq!((in_debt.allowed, in_debt.retry_ms, in_debt.used), (1, 0, 23), "{limiter}");
        let at_0 = ask(&server, &limiter.limited_to(0, "COST -1"));
        assert_eq!((at_0.allowed, at_0.retry_ms, at_0.used), (1, 0, 22), "{limiter}");
    }
}

#[test]
fn a_refund_never_lifts_above_unused() {
    let server = frozen();
    for limiter in ALL_FIVE {
        ask(&server, &limiter.with("COST 3"));
        assert_eq!(server.ask(&limiter.with("COST -7")), [1, 10, 10, 0, 0, 0, 0], "{limiter}");
        assert_eq!(ask(&server, &limiter.with("COST 11")).allowed, 0, "{limiter}");
        assert_eq!(ask(&server, &limiter.with("COST 10")).allowed, 1, "{limiter}");
        assert_eq!(ask(&server, &limiter.with("")).allowed, 0, "{limiter}");
    }
}

#[test]
fn a_refund_undoes_a_charge() {
    let server = frozen();
    for limiter in ALL_FIVE {
        ask(&server, &limiter.with("COST 2"));
        server.clock.advance(us(1_234_567));
        let before = ask(&server, &limiter.with("COST 0"));
        ask(&server, &limiter.with("COST 5"));
        let after = ask(&server, &limiter.with("COST -5"));
        assert_eq!((after.used, after.remaining), (before.used, before.remaining), "{limiter}");
    }
}

#[test]
fn a_refund_that_leaves_nothing_used_deletes_the_key() {
    let observed = Observed::frozen();
    for (limiter, effect) in [
        (TOKEN_BUCKET, "HDEL TOKENBUCKET tb:10000"),
        (LEAKY_BUCKET, "HDEL LEAKYBUCKET lb:10000"),
        (FIXED, "HDEL FIXED fw:10000"),
        (COUNTER, "HDEL SLIDINGCOUNTER sc:10000"),
        (LOG, "UNLINK SLIDINGLOG"),
    ] {
        ask(&observed, &limiter.with("COST 3"));
        ask(&observed, &limiter.with("COST 2"));
        assert_eq!(observed.effects_of(&limiter.with("COST -5")), [effect]);
        assert!(!observed.holds(limiter.name), "{limiter}");
        assert_eq!(observed.ask(&limiter.with("COST 0")), [1, 10, 10, 0, 0, 0, 0], "{limiter}");
    }
}

#[test]
fn a_refund_that_leaves_nothing_used_deletes_its_field_alone() {
    let server = frozen();
    server.ask("RL.FIXED k 10 10s COST 3");
    server.ask("RL.FIXED k 10 1d COST 4");
    server.ask("RL.FIXED k 10 10s COST -3");
    assert_eq!(server.ask_texts("HKEYS k"), ["fw:86400000"]);
    assert_eq!(ask(&server, "RL.FIXED k 10 1d COST 0").used, 4);
}

#[test]
fn a_refund_takes_from_the_counters_present_window_only() {
    let server = frozen();
    ask(&server, &COUNTER.with("COST 6"));
    server.clock.advance(Duration::from_secs(10));
    ask(&server, &COUNTER.with("COST 2"));
    let back = ask(&server, &COUNTER.with("COST -5"));
    assert_eq!((back.allowed, back.used), (1, 6));
    assert_eq!(server.ask_texts("HVALS SLIDINGCOUNTER"), [format!("0,6@{}", START + 10_000_000)]);
}

#[test]
fn a_refund_after_its_window_may_let_as_many_more_through() {
    let server = frozen();
    ask(&server, &FIXED.with("COST 10"));
    server.clock.advance(Duration::from_secs(10));
    ask(&server, &FIXED.with("COST 10"));
    assert_eq!(ask(&server, &FIXED.with("COST -4")).remaining, 4);
}

#[test]
fn a_log_gives_back_its_oldest_units() {
    let server = frozen();
    for cost in [3, 1, 5] {
        ask(&server, &LOG.with(&format!("COST {cost}")));
        server.clock.advance(us(1000));
    }
    assert_eq!(entries(&server), [entry("3:3", 0), entry("4", 1000), entry("9:5", 2000)]);

    assert_eq!(ask(&server, &LOG.with("COST -2")).used, 7);
    assert_eq!(entries(&server), [entry("3", 0), entry("4", 1000), entry("9:5", 2000)]);

    assert_eq!(ask(&server, &LOG.with("COST -1")).used, 6);
    assert_eq!(entries(&server), [entry("4", 1000), entry("9:5", 2000)]);

    assert_eq!(ask(&server, &LOG.with("COST -3")).used, 3);
    assert_eq!(entries(&server), [entry("9:3", 2000)]);

    // The clock stands at 3 ms: what is left leaves 10 s after 2 ms.
    let left = ask(&server, &LOG.with("COST 0"));
    assert_eq!((left.reset_ms, left.next_ms), (9999, 9999));
    assert_eq!(ask(&server, &LOG.with("COST 2")).used, 5);
    assert_eq!(entries(&server), [entry("9:3", 2000), entry("11:2", 3000)]);
}

#[test]
fn a_log_gives_back_nothing_that_is_stale() {
    let server = frozen();
    ask(&server, &LOG.with("COST 4"));
    server.clock.advance(us(6_000_000));
    ask(&server, &LOG.with("COST 3"));
    server.clock.advance(us(4_000_000));
    assert_eq!(entries(&server), [entry("4:4", 0), entry("7:3", 6_000_000)]);
    assert_eq!(ask(&server, &LOG.with("COST -1")).used, 2);
    assert_eq!(ask(&server, &LOG.with("COST 0")).used, 2);
    assert_eq!(entries(&server).last(), Some(&entry("7:2", 6_000_000)));
    // One that takes all unlinks what is stale, too.
    assert_eq!(ask(&server, &LOG.with("COST -9")).used, 0);
    assert!(!server.holds(LOG.name));
}

#[test]
fn what_stays_in_a_log_is_never_younger_in_truth() {
    // The oldest go, so whoever was charged last waits as long as without the refund.
    let server = frozen();
    ask(&server, &LOG.with("COST 5"));
    server.clock.advance(us(9_000_000));
    ask(&server, &LOG.with("COST 5"));
    ask(&server, &LOG.with("COST -5"));
    server.clock.advance(us(1_000_000));
    let reply = ask(&server, &LOG.with("COST 0"));
    assert_eq!((reply.used, reply.reset_ms), (5, 9000));
}

#[test]
fn a_logs_state_and_effects_do_not_grow_with_the_cost() {
    let observed = Observed::frozen();
    let server: &Server = &observed;
    let cost = |cost: i64| LOG.limited_to(1_000_000_000_000, &format!("COST {cost} FORCE"));
    let first = observed.effects_of(&cost(1));
    assert_eq!(first[0], format!("ZADD SLIDINGLOG {START} 1"));
    assert_eq!(first.len(), 2, "{first:?}");
    server.clock.advance(us(1));
    let many = observed.effects_of(&cost(1_000_000_000_000));
    assert_eq!(many, [format!("ZADD SLIDINGLOG {} 1000000000001:1000000000000", START + 1)]);
    let back = observed.effects_of(&cost(-999_999_999_999));
    let shortened = format!("ZADD SLIDINGLOG {} 1000000000001:2", START + 1);
    let replaced = "ZREM SLIDINGLOG 1000000000001:1000000000000".into();
    assert_eq!(back, [shortened, replaced, "ZREMRANGEBYRANK SLIDINGLOG 0 0".into()]);
    assert_eq!(server.ask_value("ZCARD SLIDINGLOG"), redis::Value::Int(1));
}

// FORCE.

#[test]
fn force_charges_and_tells_whether_it_fitted() {
    let server = frozen();
    for limiter in ALL_FIVE {
        let fitted = ask(&server, &limiter.with("COST 4 FORCE"));
        assert_eq!((fitted.allowed, fitted.retry_ms, fitted.used), (1, 0, 4), "{limiter}");
        let too_much = ask(&server, &limiter.with("COST 8 FORCE"));
        assert_eq!((too_much.allowed, too_much.remaining, too_much.used), (0, 0, 12), "{limiter}");
        // The state it left, asked again.
        let asked = ask_idly(&server, &limiter.with("COST 8"));
        assert_eq!((asked.allowed, asked.retry_ms), (0, too_much.retry_ms), "{limiter}");
        is_refused_for(&server, too_much.retry_ms, &limiter.with("COST 8"));
    }
}

#[test]
fn a_forced_cost_above_the_limit_is_charged_and_never_fits() {
    let server = frozen();
    for limiter in ALL_FIVE {
        let forced = ask(&server, &limiter.with("COST 11 FORCE"));
        assert_eq!((forced.allowed, forced.retry_ms, forced.used), (0, -1, 11), "{limiter}");
        let at_0 = ask(&server, &limiter.limited_to(0, "FORCE"));
        assert_eq!((at_0.allowed, at_0.retry_ms, at_0.next_ms, at_0.used), (0, -1, -1, 12), "{limiter}");
    }
}

#[test]
fn a_bucket_works_its_debt_off_to_the_microsecond() {
    let server = frozen();
    for bucket in [TOKEN_BUCKET, LEAKY_BUCKET] {
        ask(&server, &bucket.with("COST 25 FORCE"));
    }
    // One a second: 25 are 10 after 15 s, and one more fits after 16.
    for (at, of_0, of_1) in [(14_999_999, 0, 0), (15_000_000, 1, 0), (15_999_999, 1, 0), (16_000_000, 1, 1)] {
        server.clock.freeze(START + at);
        for bucket in [TOKEN_BUCKET, LEAKY_BUCKET] {
            assert_eq!(ask(&server, &bucket.with("COST 0")).allowed, of_0, "{bucket} at {at}");
            assert_eq!(ask(&server, &bucket.with("")).allowed, of_1, "{bucket} at {at}");
        }
    }
}

#[test]
fn a_fixed_window_forgives_debt_at_its_end() {
    let server = frozen();
    ask(&server, &FIXED.with("COST 1000000 FORCE"));
    server.clock.advance(us(9_999_999));
    assert_eq!(ask(&server, &FIXED.with("COST 0")).allowed, 0);
    server.clock.advance(us(1));
    assert_eq!(ask(&server, &FIXED.with("COST 10")).allowed, 1);
}

#[test]
fn a_sliding_counter_carries_debt_one_window() {
    let server = frozen();
    ask(&server, &COUNTER.with("COST 20 FORCE"));
    // In the next window they weigh in by what is left of it: 10 of the 20 when half is over.
    for (at, used, allowed) in [
        (9_999_999, 20, 0),
        (10_000_001, 20, 0),
        (14_999_999, 11, 0),
        (15_000_000, 10, 1),
        (20_000_000, 0, 1),
    ] {
        server.clock.freeze(START + at);
        let reply = ask(&server, &COUNTER.with("COST 0"));
        assert_eq!((reply.used, reply.allowed), (used, allowed), "at {at}");
    }
}

#[test]
fn a_log_holds_debt_one_window() {
    let server = frozen();
    ask(&server, &LOG.with("COST 1000000 FORCE"));
    server.clock.advance(us(9_999_999));
    assert_eq!(ask(&server, &LOG.with("COST 0")).used, 1_000_000);
    server.clock.advance(us(1));
    assert_eq!(server.ask(&LOG.with("COST 10")), [1, 10, 0, 0, 10_000, 10_000, 10]);
}

#[test]
fn a_force_past_what_can_be_counted_is_an_error_and_charges_nothing() {
    let server = frozen();
    for limiter in ALL_FIVE {
        let trillion = limiter.with("COST 1000000000000 FORCE");
        for nth in 1..=4 {
            let reply = ask(&server, &trillion);
            assert_eq!((reply.allowed, reply.used), (0, nth * 1_000_000_000_000), "{limiter}");
        }
        let before = State::of(&server);
        for one_more in [limiter.with("FORCE"), trillion, limiter.with("FORCE COST 2")] {
            let error = server.ask_error(&one_more);
            assert_eq!(error, "ERR COST must not take the used units above 4000000000000", "{one_more}");
        }
        assert_eq!(State::of(&server), before, "{limiter}");
        let refused = ask(&server, &limiter.with(""));
        assert_eq!((refused.allowed, refused.used), (0, MOST), "{limiter}");
        assert_eq!(ask(&server, &limiter.with("COST -1")).used, MOST - 1, "{limiter}");
        assert_eq!(ask(&server, &limiter.with("FORCE")).used, MOST, "{limiter}");
    }
}

#[test]
fn the_deepest_debt_is_over_when_the_reply_says() {
    let server = frozen();
    for line in [
        "RL.TOKENBUCKET tb 10 1000000000000 10s",
        "RL.LEAKYBUCKET lb 10 300000000007 10s",
        "RL.FIXED fw 10 10s",
        "RL.SLIDINGCOUNTER sc 10 10s",
        "RL.SLIDINGLOG log 10 10s",
    ] {
        for _ in 0..4 {
            ask(&server, &format!("{line} COST 1000000000000 FORCE"));
        }
        let asks = format!("{line} COST 0");
        let now = server.clock.now_us();
        let deep = ask(&server, &asks);
        assert_eq!(deep.used, MOST, "{line}");
        is_refused_for(&server, deep.retry_ms, &asks);
        server.clock.freeze(now + deep.reset_ms * 1000 - 1000);
        assert!(ask(&server, &asks).used > 0, "{line}");
        server.clock.advance(ms(1));
        assert_eq!(ask(&server, &asks).used, 0, "{line}");
    }
}

// PARTIAL.

#[test]
fn partial_grants_what_is_left_and_answers_it() {
    let server = frozen();
    for limiter in ALL_FIVE {
        let whole = ask(&server, &limiter.with("COST 7 PARTIAL"));
        assert_eq!((whole.allowed, whole.retry_ms, whole.used), (7, 0, 7), "{limiter}");
        let rest = ask(&server, &limiter.with("COST 7 PARTIAL"));
        assert_eq!((rest.allowed, rest.remaining, rest.used), (3, 0, 10), "{limiter}");
    }
}

#[test]
fn partial_above_the_limit_grants_the_limit() {
    let server = frozen();
    for limiter in ALL_FIVE {
        let reply = ask(&server, &limiter.with("COST 1000000000000 PARTIAL"));
        assert_eq!((reply.allowed, reply.retry_ms, reply.used), (10, 0, 10), "{limiter}");
    }
}

#[test]
fn partial_that_grants_nothing_changes_nothing_and_waits_for_one_unit() {
    let observed = Observed::frozen();
    let server: &Server = &observed;
    for limiter in ALL_FIVE {
        ask(server, &limiter.with("COST 6"));
        server.clock.advance(us(100_000));
        ask(server, &limiter.with("COST 9 FORCE"));
        let line = limiter.with("COST 7 PARTIAL");
        let nothing = ask_idly(server, &line);
        assert_eq!((nothing.allowed, nothing.used), (0, 15), "{limiter}: {nothing:?}");
        assert_eq!(observed.effects_of(&line).len(), 0, "{limiter}");
        assert_eq!(nothing.retry_ms, ask(server, &limiter.with("COST 1")).retry_ms, "{limiter}");
        server.clock.advance(ms(nothing.retry_ms - 1));
        assert_eq!(ask_idly(server, &line).allowed, 0, "{limiter}");
        server.clock.advance(ms(1));
        assert!(ask(server, &line).allowed >= 1, "{limiter}");
    }
}

#[test]
fn partial_of_a_limit_of_0_never_grants_anything() {
    let server = frozen();
    for limiter in ALL_FIVE {
        let line = limiter.limited_to(0, "COST 5 PARTIAL");
        assert_eq!(server.ask(&line), [0, 0, 0, -1, 0, -1, 0], "{limiter}");
    }
}

#[test]
fn partial_counts_a_bucket_by_whole_units() {
    let server = frozen();
    ask(&server, &TOKEN_BUCKET.with("COST 10"));
    server.clock.advance(us(2_999_999));
    assert_eq!(ask(&server, &TOKEN_BUCKET.with("COST 5 PARTIAL")).allowed, 2);
    server.clock.advance(us(1));
    assert_eq!(ask(&server, &TOKEN_BUCKET.with("COST 5 PARTIAL")).allowed, 1);
}

// Modes where there is nothing to charge.

#[test]
fn force_and_partial_act_as_without_where_nothing_is_charged() {
    for limiter in ALL_FIVE {
        for used in ["COST 0", "COST 4", "COST 10", "COST 12 FORCE"] {
            for cost in ["COST 0", "COST -1", "COST -4", "COST -20"] {
                let outcomes = ["", "FORCE", "PARTIAL"].map(|mode| {
                    let server = fresh_key(limiter);
                    ask(&server, &limiter.with(used));
                    let reply = server.ask(&limiter.with(&format!("{cost} {mode}")));
                    (reply, State::of(&server))
                });
                assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{limiter} {used} {cost}");
            }
        }
    }
}

/// A server shared by the calls of one test, without the limiter's key.
fn fresh_key(limiter: Limiter) -> std::rc::Rc<Server> {
    thread_local! {
        static SERVER: std::rc::Rc<Server> = std::rc::Rc::new(frozen());
    }
    let server = SERVER.with(Clone::clone);
    server.ask_value(&format!("DEL {limiter}"));
    server
}

#[test]
fn a_settlement_may_always_be_forced() {
    // Reserve 6; the work cost 2, 6 or 9: `COST <actual - reserved> FORCE`.
    let server = frozen();
    for limiter in ALL_FIVE {
        for (actual, used) in [(2, 2), (6, 6), (9, 9), (25, 25)] {
            server.ask_value(&format!("DEL {limiter}"));
            ask(&server, &limiter.with("COST 6"));
            let settled = ask(&server, &limiter.with(&format!("COST {} FORCE", actual - 6)));
            assert_eq!(settled.used, used, "{limiter}");
            assert_eq!(settled.allowed, i64::from(actual <= 10), "{limiter}");
        }
    }
}

// The queue.

/// Ten a second, five at a time.
const QUEUE: &str = "RL.LEAKYBUCKET q 5 10 1s";

#[test]
fn a_queue_tells_every_caller_how_long_to_wait_for_its_turn() {
    let server = frozen();
    for delay in [0, 100, 200, 300, 400] {
        let reply = ask(&server, QUEUE);
        assert_eq!((reply.allowed, reply.retry_ms), (1, delay));
    }
    // Full: refused until the first has left.
    let refused = ask_idly(&server, QUEUE);
    assert_eq!((refused.allowed, refused.retry_ms, refused.used), (0, 100, 5));
    is_refused_for(&server, 100, QUEUE);
}

#[test]
fn a_queue_tells_the_wait_before_the_call_whatever_its_cost() {
    let server = frozen();
    let delay = |options: &str| {
        let reply = ask(&server, &format!("{QUEUE} {options}"));
        (reply.allowed, reply.retry_ms)
    };
    assert_eq!(delay("COST 0"), (1, 0));
    assert_eq!(delay("COST 3"), (1, 0));
    assert_eq!(delay("COST 0"), (1, 300));
    assert_eq!(delay("COST 1 FORCE"), (1, 300));
    assert_eq!(delay("COST 4 PARTIAL"), (1, 400));
    assert_eq!(delay("COST 0"), (1, 500));
    // Not fitting: until the same cost would fit.
    assert_eq!(delay("COST 2 FORCE"), (0, 400));
    assert_eq!(delay("COST 0"), (0, 200));
    assert_eq!(delay("COST 9 PARTIAL"), (0, 300));
    // Giving back, one waits for nothing.
    assert_eq!(delay("COST -3"), (1, 0));
    server.clock.advance(us(50_000));
    assert_eq!(delay("COST 0"), (1, 350));
}

#[test]
fn work_leaves_a_queue_at_a_constant_rate() {
    // Seven a second: no whole number of microseconds apart. Arrivals at odd times, costs of 1 to 3.
    let server = frozen();
    // In sevenths of a microsecond, so that the schedule is exact.
    let mut free_at: i64 = START * 7;
    let mut seed: i64 = 1;
    let mut refused = 0;
    for _ in 0..400 {
        seed = (seed * 1_103_515_245 + 12_345) % (1 << 31);
        server.clock.advance(us((seed % 400_000).unsigned_abs()));
        let cost = 1 + seed / 7 % 3;
        let now = server.clock.now_us();
        let reply = ask(&server, &format!("RL.LEAKYBUCKET q 9 7 1s COST {cost}"));
        if reply.allowed == 0 {
            refused += 1;
            continue;
        }
        let due = free_at.max(now * 7);
        let leaves = (now + reply.retry_ms * 1000) * 7;
        // Rounded up to the millisecond, and that to the microsecond.
        assert!((due..due + 7 * 1002).contains(&leaves), "due {due}, told {leaves}");
        free_at = due + cost * 1_000_000;
    }
    assert!((20..380).contains(&refused), "{refused} refused: the test shows little");
}

#[test]
fn work_leaves_a_slow_queue_at_a_constant_rate() {
    // One a day: the second comes 50 ms after the first, and leaves a day after it.
    let server = frozen();
    let line = "RL.LEAKYBUCKET q 5 1 1d";
    assert_eq!(ask(&server, line).retry_ms, 0);
    server.clock.advance(us(50_000));
    assert_eq!(ask(&server, line).retry_ms, 86_400_000 - 50);
    server.clock.advance(us(7_000));
    assert_eq!(ask(&server, line).retry_ms, 2 * 86_400_000 - 57);
}

#[test]
fn a_queue_of_0_lets_nobody_in() {
    let server = frozen();
    assert_eq!(server.ask("RL.LEAKYBUCKET q 0 10 1s"), [0, 0, 0, -1, 0, -1, 0]);
    assert_eq!(server.ask("RL.LEAKYBUCKET q 0 10 1s COST 0"), [1, 0, 0, 0, 0, -1, 0]);
}
