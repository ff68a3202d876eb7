//! What docs/recipes.md says of blocks and overrides, done as it says, by programs where it needs them. The calls in the
//! page itself are run by `docs`.

use std::time::Duration;

use redis::Value;

use crate::support::{Server, frozen};

const RECIPES: &str = include_str!("../docs/recipes.md");

/// A call of the page, which must be there word for word.
#[track_caller]
fn of_the_page(call: &str) -> &str {
    assert!(RECIPES.contains(&format!("redis> {call}\n")), "docs/recipes.md has no: {call}");
    call
}

#[test]
fn a_flood_is_kept_out_for_five_minutes() {
    let server = frozen();
    let call = of_the_page("RL.FIXED rl:ip:{203.0.113.9} 10000 1m BLOCK rl:block:{203.0.113.9} 5m");
    let words: Vec<&str> = call.split(' ').collect();
    let flood = |count: usize| -> [i64; 3] {
        let mut pipe = redis::pipe();
        for _ in 0..count {
            pipe.cmd(words[0]).arg(&words[1..]);
        }
        let replies: Vec<Vec<i64>> = pipe.query(&mut server.connection()).unwrap();
        let count = |eighth: i64| replies.iter().filter(|reply| reply[7] == eighth).count();
        // Those that are not allowed are those that the block is about.
        assert_eq!(replies.iter().filter(|reply| reply[0] == 1).count(), count(0));
        [0, 1, 2].map(|eighth| i64::try_from(count(eighth)).unwrap())
    };
    assert_eq!(flood(12_000), [10_000, 1999, 1]);
    // Who hammers on gets in no later.
    for _ in 0..299 {
        server.clock.advance(Duration::from_secs(1));
        assert_eq!(flood(3), [0, 3, 0]);
    }
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(flood(3), [3, 0, 0]);
    // By hand.
    server.ask_value("SET rl:block:{203.0.113.9} 1 EX 3600");
    assert_eq!(flood(1), [0, 1, 0]);
    assert_eq!(server.ask_texts("KEYS rl:block:*"), ["rl:block:{203.0.113.9}"]);
}

/// The program of the recipe: whether a call of `ip` is allowed.
fn is_allowed(server: &Server, ip: &str) -> bool {
    let on = |call: &str| call.replace("203.0.113.7", ip);
    let ask = of_the_page(
        "RL.ALL rl:ip:{203.0.113.7} FIXED 100 1m BLOCK rl:block:{203.0.113.7} 5m KEY rl:strikes:{203.0.113.7} \
         FIXED 3 1d COST 0 BLOCK rl:ban:{203.0.113.7} 7d",
    );
    let strike = of_the_page("RL.FIXED rl:strikes:{203.0.113.7} 3 1d BLOCK rl:ban:{203.0.113.7} 7d");
    let reply = server.ask_guarded(&on(ask));
    if reply.limits[0][7] == 2 {
        server.ask(&on(strike));
    }
    reply.allowed == 1
}

#[test]
fn the_fourth_block_of_a_day_is_a_ban_for_a_week() {
    let server = frozen();
    let ip = "203.0.113.8";
    let flood = || (0..130).filter(|_| is_allowed(&server, ip)).count();
    for strike in 1..=4 {
        assert_eq!(flood(), 100, "strike {strike}");
        assert_eq!(server.ask(&format!("RL.FIXED rl:strikes:{{{ip}}} 3 1d COST 0"))[6], strike.min(3));
        assert_eq!(server.holds(&format!("rl:ban:{{{ip}}}")), strike == 4);
        server.clock.advance(Duration::from_secs(300));
    }
    assert_eq!(flood(), 0, "the block is over, the ban is not");
    server.clock.advance(Duration::from_secs(7 * 86_400 - 301));
    assert!(!is_allowed(&server, ip));
    server.clock.advance(Duration::from_secs(1));
    assert!(is_allowed(&server, ip));
    // Three a day, every day, are no ban; and others are not concerned.
    for _ in 0..4 {
        server.clock.advance(Duration::from_secs(86_400));
        for _ in 0..3 {
            assert_eq!(flood(), 100);
            server.clock.advance(Duration::from_secs(300));
        }
    }
    assert!(!server.holds(&format!("rl:ban:{{{ip}}}")));
    assert!(is_allowed(&server, "203.0.113.10"));
}

#[test]
fn a_patient_client_gets_no_strikes() {
    let server = frozen();
    for _ in 0..50 {
        assert!((0..100).all(|_| is_allowed(&server, "203.0.113.8")));
        server.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(server.ask_texts("KEYS *{203.0.113.8}"), ["rl:ip:{203.0.113.8}"]);
}

#[test]
fn a_support_agent_lifts_a_lock_out_with_two_commands() {
    let server = frozen();
    let attempt = of_the_page("RL.SLIDINGLOG rl:login:{ann} 5 15m BLOCK rl:locked:{ann} 1d");
    assert_eq!((0..8).map(|_| server.ask(attempt)[7]).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 2, 1, 1]);
    server.clock.advance(Duration::from_secs(86_399));
    assert_eq!(server.ask(attempt)[7], 1);
    // The ACL that the page gives.
    server.ask_value("ACL SETUSER agent on nopass +ttl +del ~rl:locked:* ~rl:login:*");
    let mut agent = server.connection();
    redis::cmd("AUTH").arg(&["agent", "any"]).exec(&mut agent).unwrap();
    let mut does = |call: &str| crate::support::send(&mut agent, of_the_page(call)).unwrap();
    assert_eq!(does("TTL rl:locked:{ann}"), Value::Int(1));
    // Whole seconds, rounded: the attempts are long over, and gone.
    let Value::Int(deleted) = does("DEL rl:locked:{ann} rl:login:{ann}") else { panic!("no count") };
    assert!(deleted >= 1);
    let reply = server.ask(attempt);
    assert_eq!((reply[0], reply[2], reply[7]), (1, 4, 0));
    // Within the 15 minutes it takes both keys.
    assert_eq!((0..5).map(|_| server.ask(attempt)[7]).collect::<Vec<_>>(), [0, 0, 0, 0, 2]);
    server.ask_value("DEL rl:locked:{ann}");
    assert_eq!(server.ask(attempt)[7], 2, "with the attempts used up, the next one locks again");
    assert_eq!(does("DEL rl:locked:{ann} rl:login:{ann}"), Value::Int(2));
    assert_eq!(server.ask(attempt)[0], 1);
}

#[test]
fn a_raise_counts_at_once_and_ends_by_itself() {
    let server = frozen();
    let call = of_the_page("RL.FIXED rl:api:{acme} 10 1m OVERRIDE rl:override:{acme}");
    let in_a_minute = || {
        let allowed = (0..150).filter(|_| server.ask(call)[0] == 1).count();
        server.clock.advance(Duration::from_secs(60));
        allowed
    };
    assert_eq!(in_a_minute(), 10);
    server.ask_value(of_the_page("SET rl:override:{acme} 100 EX 86400"));
    for _ in 0..3 {
        assert_eq!(in_a_minute(), 100);
    }
    server.clock.advance(Duration::from_secs(86_400));
    assert_eq!(in_a_minute(), 10);
    server.ask_value("SET rl:override:{acme} 0");
    assert_eq!(in_a_minute(), 0);
    server.ask_value("DEL rl:override:{acme}");
    assert_eq!(in_a_minute(), 10);
}

#[test]
fn load_is_shed_while_a_monitor_says_so_and_no_longer() {
    let server = frozen();
    let call = of_the_page("RL.TOKENBUCKET rl:{site} 1000 1000 1s OVERRIDE rl:shed:{site}");
    let shed = of_the_page("SET rl:shed:{site} 100/100 EX 15");
    // 1,200 calls a second for a second.
    let second = || {
        let mut pipe = redis::pipe();
        for _ in 0..120 {
            let words: Vec<&str> = call.split(' ').collect();
            pipe.cmd(words[0]).arg(&words[1..]);
        }
        let mut connection = server.connection();
        let mut allowed = 0;
        for _ in 0..10 {
            let replies: Vec<Vec<i64>> = pipe.query(&mut connection).unwrap();
            allowed += replies.iter().filter(|reply| reply[0] == 1).count();
            server.clock.advance(Duration::from_millis(100));
        }
        allowed
    };
    for _ in 0..6 {
        second();
    }
    assert_eq!(second(), 1000, "a second's refill, once the bucket is empty");
    // The monitor's loop: it looks every 5 s, and the CPU is hot for 30 s.
    let mut let_through = Vec::new();
    for seconds in 0..60 {
        let cpu_percent = if seconds < 30 { 97 } else { 40 };
        if seconds % 5 == 0 && cpu_percent > 90 {
            server.ask_value(shed);
        }
        let_through.push(second());
    }
    assert_eq!(let_through[0], 0, "what was used under the higher limit is above the lower one");
    assert!(let_through[1..40].iter().all(|allowed| *allowed <= 200), "{let_through:?}");
    assert!(let_through[3..40].iter().all(|allowed| *allowed == 100), "{let_through:?}");
    // Last written at 25 s, for 15 s.
    assert!(let_through[41..].iter().all(|allowed| *allowed >= 1000), "{let_through:?}");
    assert_eq!(let_through[59], 1000);
    assert!(!server.holds("rl:shed:{site}"));
}

#[test]
fn five_exports_run_at_a_time_and_a_crashed_worker_holds_its_place_no_longer_than_its_lease() {
    let server = frozen();
    let take = |worker: &str| {
        let call = of_the_page("RL.LEASE rl:exports:{acme} 5 30s export-81d2");
        server.ask(&call.replace("export-81d2", worker))[0] == 1
    };
    let renew = |worker: &str| {
        let call = of_the_page("RL.LEASE rl:exports:{acme} 5 30s export-81d2 RENEW");
        server.ask(&call.replace("export-81d2", worker))[0] == 1
    };
    let release = |worker: &str| {
        let call = of_the_page("RL.RELEASE rl:exports:{acme} export-81d2");
        server.ask_value(&call.replace("export-81d2", worker)) == Value::Int(1)
    };
    let workers = ["w0", "w1", "w2", "w3", "w4"];
    assert!(workers.iter().all(|worker| take(worker)));
    // For an hour four of them renew every 10 s; one has crashed.
    for round in 1..=360 {
        server.clock.advance(Duration::from_secs(10));
        assert!(workers[..4].iter().all(|worker| renew(worker)), "round {round}");
        match round {
            1 | 2 => assert!(!take("waiting"), "round {round}"),
            3 => assert!(take("waiting"), "30 s after the crashed worker's last word"),
            _ => assert!(renew("waiting") && !take("another"), "round {round}"),
        }
    }
    // The crashed one comes back to life, and learns that its place is taken.
    assert!(!renew("w4") && !take("w4"));
    // One is done, and its place is free at once.
    assert!(release("w0") && !release("w0"));
    assert!(take("w4"));
}

#[test]
fn a_gateway_takes_requests_tokens_and_places_together_or_none() {
    let server = frozen();
    let call = of_the_page(
        "RL.ALL rl:llm:{acme} FIXED 60 1m AS rpm TOKENBUCKET 90000 90000 1m AS tpm COST 3000 \
         KEY rl:running:{acme} LEASE 10 2m req-1f6a",
    );
    let settle = of_the_page("RL.TOKENBUCKET rl:llm:{acme} 90000 90000 1m AS tpm COST -900 FORCE");
    let release = of_the_page("RL.RELEASE rl:running:{acme} req-1f6a");
    let begin = |id: &str| server.ask_several(&call.replace("req-1f6a", id));
    for id in 0..10 {
        let reply = begin(&id.to_string());
        assert_eq!((reply.allowed, reply.limits[2][6]), (1, id + 1));
    }
    let state = server.ask_value("DEBUG DIGEST");
    let denied = begin("eleventh");
    assert_eq!((denied.allowed, denied.retry_after_ms), (0, 120_000));
    assert_eq!([0, 1, 2].map(|index| denied.limits[index][0]), [1, 1, 0]);
    assert_eq!(server.ask_value("DEBUG DIGEST"), state, "nothing was charged, no place was taken");
    // The first is done; the second has crashed.
    assert_eq!(server.ask(settle)[6], 30_000 - 900);
    assert_eq!(server.ask_value(&release.replace("req-1f6a", "0")), Value::Int(1));
    assert_eq!(begin("eleventh").allowed, 1);
    assert_eq!(begin("twelfth").allowed, 0);
    for id in 2..10 {
        assert_eq!(server.ask_value(&release.replace("req-1f6a", &id.to_string())), Value::Int(1));
    }
    server.clock.advance(Duration::from_secs(120));
    assert_eq!(begin("after-the-crash").limits[2][6], 1);
}
