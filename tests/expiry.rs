//! When keys expire: after a call that writes a key, an expiry that is absent, or too early for what the call
//! answers, becomes now + r + r/8 + 1000 ms, r being reset_after_ms; any other stays.

use crate::support::{START, Server, State, frozen, words};

const NONE: i64 = -1;
const NO_KEY: i64 = -2;

const LIMITERS: [&str; 6] = [
    "RL.TOKENBUCKET k 10 7 10s",
    "RL.LEAKYBUCKET k 10 7 10s",
    "RL.FIXED k 10 10s",
    "RL.FIXED k 10 10s ALIGN",
    "RL.SLIDINGCOUNTER k 10 10s",
    "RL.SLIDINGLOG k 10 10s",
];

/// PEXPIRETIME of `k`: -1 without an expiry, -2 without a key.
#[track_caller]
fn expiry(server: &Server) -> i64 {
    server.ask_int("PEXPIRETIME k")
}

fn now_ms(server: &Server) -> i64 {
    server.clock.now_us().div_euclid(1000)
}

/// What the contract makes of an expiry after a write.
fn renewed(before: i64, now_ms: i64, reset_ms: i64) -> i64 {
    if before >= now_ms + reset_ms { before } else { now_ms + reset_ms + reset_ms / 8 + 1000 }
}

#[test]
fn a_key_lives_a_little_longer_than_its_limiter_counts() {
    let server = frozen();
    let start = START / 1000;
    for (call, reset, lives) in [
        ("RL.TOKENBUCKET k 10 5 1s", 200, 200 + 25 + 1000),
        ("RL.TOKENBUCKET k 10 5 1s COST 10", 2000, 2000 + 250 + 1000),
        ("RL.TOKENBUCKET k 10 3 1s", 334, 334 + 41 + 1000),
        ("RL.TOKENBUCKET k 10 10 1s COST 25 FORCE", 2500, 2500 + 312 + 1000),
        ("RL.LEAKYBUCKET k 10 5 1s COST 10", 2000, 2000 + 250 + 1000),
        ("RL.FIXED k 10 1ms", 1, 1 + 1000),
        ("RL.FIXED k 10 1m", 60_000, 60_000 + 7500 + 1000),
        ("RL.FIXED k 10 1h ALIGN", 780_000, 780_000 + 97_500 + 1000),
        ("RL.FIXED k 10 1mo ALIGN", 645_180_000, 645_180_000 + 80_647_500 + 1000),
        ("RL.SLIDINGCOUNTER k 10 1m", 120_000, 120_000 + 15_000 + 1000),
        ("RL.SLIDINGLOG k 10 1m COST 20 PARTIAL", 60_000, 60_000 + 7500 + 1000),
        ("RL.FIXED k 10 3660d", 316_224_000_000, 316_224_000_000 + 39_528_000_000 + 1000),
    ] {
        server.ask_value("DEL k");
        assert_eq!(server.ask(call)[4], reset, "{call}");
        assert_eq!(expiry(&server) - start, lives, "{call}");
    }
    // Within a millisecond the count begins where it began.
    server.pass_us(999);
    server.ask_value("DEL k");
    server.ask("RL.FIXED k 10 10s");
    assert_eq!(expiry(&server) - start, 10_000 + 1250 + 1000);
}

#[test]
fn every_kind_of_call_keeps_the_rule() {
    let server = frozen();
    for command in LIMITERS {
        server.ask_value("DEL k");
        // The µs that pass, the options, whether the call writes.
        for (us, options, writes) in [
            (0, "COST 0", false),
            (0, "COST -3", false),
            (0, "COST 11", false),
            (1, "", true),
            (999_999, "COST 2", true),
            (123_456, "COST -1", true),
            (0, "COST 3 FORCE", true),
            (1_500_001, "COST 0", false),
            (0, "COST 100", false),
            (0, "COST 100 PARTIAL", true),
            (0, "PARTIAL", false),
            (0, "COST 5 FORCE", true),
            (0, "COST -2 FORCE", true),
            (0, "COST -1 PARTIAL", true),
            (0, "COST 0 FORCE", false),
            (6_000_000, "COST 2 PARTIAL", false),
            (30_000_000, "COST 0", false),
            (0, "COST 4", true),
            (4_000_000, "COST 4", true),
            (4_000_000, "COST 1", true),
            (4_000_000, "COST 1", true),
            (0, "COST -100", true),
        ] {
            server.pass_us(us);
            let before = expiry(&server);
            let call = format!("{command} {options}");
            let seven = server.ask(&call);
            // Whether a PARTIAL call finds a unit free depends on the algorithm.
            let writes = writes || (options == "COST 2 PARTIAL" && seven[0] > 0);
            let expected = if seven[6] == 0 && writes {
                NO_KEY
            } else if writes {
                renewed(before, now_ms(&server), seven[4])
            } else {
                before
            };
            assert_eq!(expiry(&server), expected, "{call} after {us} µs: {seven:?}");
        }
    }
}

#[test]
fn most_calls_leave_the_expiry_alone() {
    let server = frozen();
    server.ask("RL.TOKENBUCKET k 100 1 1s COST 80");
    let first = expiry(&server);
    let mut expiries = vec![first];
    for _ in 0..40 {
        server.pass_ms(1000);
        assert_eq!(server.ask("RL.TOKENBUCKET k 100 1 1s")[0], 1);
        expiries.push(expiry(&server));
    }
    expiries.dedup();
    // An eighth of 80 s, and one second more, are used up after 11 s.
    assert_eq!(expiries, [first, first + 12_000, first + 24_000, first + 36_000]);
}

#[test]
fn the_key_is_gone_when_its_expiry_has_passed() {
    let server = frozen();
    for command in LIMITERS {
        server.ask_value("DEL k");
        let reset = server.ask(&format!("{command} COST 10"))[4];
        let lives = expiry(&server) - now_ms(&server);
        assert_eq!(lives, reset + reset / 8 + 1000);
        server.pass_ms(u64::try_from(lives).unwrap());
        assert_eq!(server.ask_int("EXISTS k"), 1, "{command}");
        server.pass_ms(1);
        assert_eq!(server.ask_int("EXISTS k"), 0, "{command}");
    }
}

#[test]
fn an_expired_limiter_is_unused_whatever_rate_is_named() {
    let server = frozen();
    for (fast, slow) in [
        ("RL.TOKENBUCKET k 10 10 1s COST 10", "RL.TOKENBUCKET k 10 1 1s"),
        ("RL.LEAKYBUCKET k 10 10 1s COST 10", "RL.LEAKYBUCKET k 10 1 1s"),
        ("RL.SLIDINGLOG k 10 1s COST 10", "RL.SLIDINGLOG k 10 1h"),
    ] {
        server.ask_value("DEL k");
        assert_eq!(server.ask(fast)[4], 1000, "{fast}");
        server.pass_ms(1000 + 125 + 1000);
        // Alive to the last, it counts by the rate that is named now.
        assert!(server.ask(&format!("{slow} COST 0"))[6] > 0, "{slow}");
        server.pass_ms(1);
        assert_eq!(server.ask(&format!("{slow} COST 0"))[6], 0, "{slow}");
        assert_eq!(server.ask(slow)[6], 1, "{slow}");
    }
}

#[test]
fn an_expiry_that_someone_removed_or_shortened_comes_back_with_the_next_charge() {
    let server = frozen();
    for command in LIMITERS {
        for (meddle, changed) in [("PERSIST k", NONE), ("PEXPIRE k 5", now_ms(&server) + 5)] {
            server.ask_value("DEL k");
            server.ask(&format!("{command} COST 5"));
            server.ask_value(meddle);
            let before = State::of(&server);
            // Who only asks, or is denied, or errs, does not touch it.
            server.ask(&format!("{command} COST 0"));
            assert_eq!(server.ask(&format!("{command} COST 6"))[0], 0, "{command}");
            server.ask_error(&format!("{command} COST x"));
            assert_eq!(State::of(&server), before, "{command}");
            assert_eq!(expiry(&server), changed, "{command}");
            let seven = server.ask(command);
            assert_eq!(expiry(&server), renewed(NONE, now_ms(&server), seven[4]), "{command}");
        }
        // A refund is a write as well.
        server.ask_value("PERSIST k");
        let seven = server.ask(&format!("{command} COST -1"));
        assert_eq!(expiry(&server), renewed(NONE, now_ms(&server), seven[4]), "{command}");
    }
}

#[test]
fn an_expiry_that_will_do_is_left_alone() {
    let server = frozen();
    for command in LIMITERS {
        server.ask_value("DEL k");
        let reset = server.ask(&format!("{command} COST 5 FORCE"))[4];
        // To the millisecond at which it is as good as unused, or far beyond.
        for at in [now_ms(&server) + reset, now_ms(&server) + 1_000_000_000] {
            // So that the log's entries do not push each other on.
            server.pass_us(1);
            server.ask_value(&format!("PEXPIREAT k {at}"));
            server.ask(&format!("{command} COST -1"));
            assert_eq!(server.ask(command)[4], reset, "{command}");
            assert_eq!(expiry(&server), at, "{command}");
        }
        server.pass_us(1);
        server.ask(&format!("{command} COST -1"));
        server.ask_value(&format!("PEXPIREAT k {}", now_ms(&server) + reset - 1));
        server.ask(command);
        assert_eq!(expiry(&server), renewed(NONE, now_ms(&server), reset), "{command}");
    }
}

#[test]
fn an_expiry_set_by_hand_ends_a_limit_early_but_cannot_prolong_it() {
    let server = frozen();
    for command in LIMITERS {
        server.ask_value("DEL k");
        // Shortened, and no charge comes: the limit is forgotten with its key.
        server.ask(&format!("{command} COST 10"));
        server.ask_value("PEXPIRE k 500");
        assert_eq!(server.ask(command)[0], 0, "{command}");
        server.pass_ms(501);
        assert_eq!(server.ask(command)[6], 1, "{command}");
        // Lengthened: it stays, and the limit ends as ever.
        let reset = server.ask(&format!("{command} COST 9"))[4];
        let at = now_ms(&server) + 600_000;
        server.ask_value(&format!("PEXPIREAT k {at}"));
        server.pass_ms(u64::try_from(reset).unwrap());
        let seven = server.ask(command);
        assert_eq!(seven[6], 1, "{command}");
        // A log whose entries are all stale goes as a whole, its expiry with it.
        let is_new = command.starts_with("RL.SLIDINGLOG");
        let expected = if is_new { renewed(NONE, now_ms(&server), seven[4]) } else { at };
        assert_eq!(expiry(&server), expected, "{command}");
        // In the past: that deletes the key.
        server.ask_value("EXPIREAT k 1");
        assert_eq!(server.ask(command)[6], 1, "{command}");
    }
}

#[test]
fn a_field_with_an_expiry_of_its_own_is_forgotten_then_and_is_charged_for_good() {
    let server = frozen();
    assert_eq!(server.has_command("HPEXPIRE"), server.has().field_expiry);
    if !server.has().field_expiry {
        return; // Fields cannot expire there, as was just seen.
    }
    let replica = Server::builder().clock(&server.clock).replica_of(&server).start();
    let field_expiry = |server: &Server| server.ints(&words("HPEXPIRETIME k FIELDS 1 fw:3600000"));
    let let_expire = || assert_eq!(server.ints(&words("HPEXPIRE k 100 FIELDS 1 fw:3600000")), [1]);
    let beside = "RL.FIXED k 10 1d";
    for has_beside in [false, true] {
        server.ask_value("DEL k");
        assert_eq!(server.ask("RL.FIXED k 10 1h COST 9")[6], 9);
        if has_beside {
            server.ask(beside);
        }
        let_expire();
        // A denied call leaves the field's expiry, too.
        assert_eq!(server.ask("RL.FIXED k 10 1h COST 2")[0], 0);
        assert_eq!(field_expiry(&server), [server.clock.now_us() / 1000 + 100]);
        server.pass_ms(101);
        assert_eq!(server.ask("RL.FIXED k 10 1h COST 0")[6], 0, "{has_beside}");
        assert_eq!(server.ask("RL.FIXED k 10 1h")[6], 1, "{has_beside}");
        assert_eq!(field_expiry(&server), [-1], "{has_beside}");
        // A charge is a new value, which does not expire: here as on a replica, as with HSET.
        let_expire();
        assert_eq!(server.ask("RL.FIXED k 10 1h")[6], 2, "{has_beside}");
        replica.catch_up(&server);
        assert_eq!((field_expiry(&server), field_expiry(&replica)), (vec![-1], vec![-1]), "{has_beside}");
        assert_eq!(State::of(&server), State::of(&replica), "{has_beside}");
        // The limiter beside it counts on; where there is none, its key is no stranger's.
        let_expire();
        server.pass_ms(101);
        assert_eq!(server.ask(beside)[6], if has_beside { 2 } else { 1 });
        replica.catch_up(&server);
        assert_eq!(State::of(&server), State::of(&replica), "{has_beside}");
    }
}

#[test]
fn a_key_lives_for_the_longest_of_its_limiters() {
    let server = frozen();
    server.ask("RL.FIXED k 10 1h");
    let hour = expiry(&server);
    server.ask("RL.FIXED k 10 1s");
    assert_eq!(expiry(&server), hour);
    server.ask("RL.FIXED k 10 1d");
    assert_eq!(expiry(&server), renewed(NONE, now_ms(&server), 86_400_000));

    // In RL.ALL every limit that is answered counts, charged or not.
    server.ask_value("DEL k");
    server.ask_several("RL.ALL k FIXED 10 1s FIXED 10 1m FIXED 10 1h COST 2");
    assert_eq!(expiry(&server), renewed(NONE, now_ms(&server), 3_600_000));
    server.ask_value("PERSIST k");
    server.ask_several("RL.ALL k FIXED 10 1s FIXED 10 1m FIXED 10 1h COST 0");
    assert_eq!(expiry(&server), renewed(NONE, now_ms(&server), 3_600_000));
    server.ask_value("PERSIST k");
    server.ask_several("RL.PEEK k FIXED 10 1s");
    assert_eq!(expiry(&server), NONE);
}

#[test]
fn a_refund_that_finds_nothing_writes_nothing() {
    let server = frozen();
    for beside in LIMITERS.iter().filter(|command| !command.contains("LOG")) {
        server.ask_value("DEL k");
        server.ask("RL.FIXED k 10 1d");
        for meddle in ["EXISTS k", "PERSIST k"] {
            server.ask_value(meddle);
            let before = State::of(&server);
            server.ask(&format!("{beside} COST -1"));
            server.ask_several(&format!("RL.ALL k {} COST -1", beside["RL.".len()..].replace(" k ", " ")));
            // An expiry a second from now would be the end of the limiter beside it.
            assert_eq!(State::of(&server), before, "{beside} after {meddle}");
        }
    }
}

#[test]
fn no_key_is_ever_left_without_an_expiry() {
    let server = frozen();
    let options = ["", "COST 3", "COST -1", "COST 4 FORCE", "COST 5 PARTIAL", "COST 0", "COST 9", "COST -4"];
    for command in LIMITERS {
        server.ask_value("DEL k");
        // All short sequences come up; nothing here is random.
        for step in 0..400_usize {
            server.ask(&format!("{command} {}", options[(step * step + step / 7) % options.len()]));
            assert_ne!(expiry(&server), NONE, "{command}, step {step}");
            server.pass_us([0, 1, 1000, 777_777, 2_500_000][step % 5]);
        }
    }
}

#[test]
fn expiries_saturate_at_two_to_the_fifty_third() {
    const LONGEST: i64 = (1 << 53) - 1;
    let server = frozen();
    let replica = Server::builder().clock(&server.clock).replica_of(&server).start();
    for (command, retry) in [("RL.TOKENBUCKET", 0), ("RL.LEAKYBUCKET", 0)] {
        server.ask_value("DEL k");
        let call = format!("{command} k 1000000000000 1 3660d");
        let next = 316_224_000_000;
        let spent = format!("{call} COST 1000000000000");
        assert_eq!(
            server.ask(&spent),
            [1, 1_000_000_000_000, 0, retry, LONGEST, next, 1_000_000_000_000],
            "{command}"
        );
        assert_eq!(expiry(&server), now_ms(&server) + LONGEST + LONGEST / 8 + 1000, "{command}");
        assert_eq!(
            server.ask(&spent),
            [0, 1_000_000_000_000, 0, LONGEST, LONGEST, next, 1_000_000_000_000],
            "{command}"
        );
        let at = expiry(&server);
        server.ask(&format!("{call} COST 1000000000000 FORCE"));
        assert_eq!(expiry(&server), at, "{command}");
        replica.catch_up(&server);
        assert_eq!(State::of(&replica), State::of(&server), "{command}");
    }
    let wait = "RL.LEAKYBUCKET k 1000000000000 1 3660d COST 1 FORCE";
    assert_eq!(server.ask(wait)[3], LONGEST);
}

// An expiry that somebody removed.

#[test]
fn an_expiry_that_was_removed_from_a_shared_hash_stays_away() {
    let server = frozen();
    for call in [
        "RL.FIXED k 10 1s AS short",
        "RL.FIXED k 10 1s AS short COST -1",
        "RL.FIXED k 10 1s AS short COST 100 FORCE",
        "RL.TOKENBUCKET k 10 10 1s",
        "RL.LEAKYBUCKET k 10 10 1s AS new",
        "RL.SLIDINGCOUNTER k 10 1s",
        "RL.ALL k FIXED 10 1s AS short TOKENBUCKET 10 10 1s",
        "RL.ALL k FIXED 10 1s AS short KEY other FIXED 10 1s",
        "CL.THROTTLE k 9 10 1",
    ] {
        server.ask_value("DEL k other");
        server.ask("RL.FIXED k 10 30d");
        server.ask("RL.FIXED k 10 1s AS short COST 2");
        server.ask_value("PERSIST k");
        server.ask_value(call);
        assert_eq!(expiry(&server), NONE, "{call}");
        // Far beyond what the short limit asks for, the others are there.
        server.pass_ms(60_000);
        assert_eq!(server.ask("RL.FIXED k 10 30d COST 0")[6], 1, "{call}");
    }
    assert!(server.ask_int("PEXPIRETIME other") < now_ms(&server), "that was nobody's but its own");
}

#[test]
fn an_expiry_that_was_removed_where_the_call_knows_all_fields_comes_back() {
    let server = frozen();
    for (others, call) in [
        ("", "RL.TOKENBUCKET k 10 7 10s"),
        ("", "RL.LEAKYBUCKET k 10 7 10s"),
        ("", "RL.FIXED k 10 10s"),
        ("", "RL.FIXED k 10 10s ALIGN"),
        ("", "RL.SLIDINGCOUNTER k 10 10s"),
        ("", "RL.SLIDINGLOG k 10 10s"),
        ("", "RL.ALL k FIXED 10 10s FIXED 10 1s TOKENBUCKET 10 7 10s"),
        ("", "RL.ALL k SLIDINGLOG 10 10s"),
        ("RL.FIXED k 10 1h", "RL.ALL k FIXED 10 1h FIXED 10 10s"),
        ("RL.FIXED k 10 1h", "RL.ALL k FIXED 10 1h COST -1 FIXED 10 10s"),
    ] {
        server.ask_value("DEL k");
        if !others.is_empty() {
            server.ask(others);
        }
        server.ask_value(call);
        server.ask_value("PERSIST k");
        assert_eq!(expiry(&server), NONE);
        server.ask_value(call);
        let there = expiry(&server);
        assert!(there > now_ms(&server) + 1000, "{call}: {there}");
    }
}
