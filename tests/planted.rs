//! Sorted sets that no limiter wrote, planted where a log is asked for: every call is answered, at once; an error changes
//! nothing; what is met and is not a log's stays.
//!
//! "At once" is the harness's time limit: a search that does not end fails here as a call without an answer.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::support::{START, Server, State, frozen, several, words};

const OTHER_DATA: &str = "ERR key holds other data";

/// Members of a sorted set, each with its score, as ZADD takes them.
type Members = Vec<(String, String)>;

/// So many members, the newest of a millisecond ago and the others a millisecond apart: `of` tells the score, given the
/// instant, and the member, given its number from 1 on.
fn members(count: i64, of: impl Fn(i64, i64) -> (String, String)) -> Members {
    (1..=count).map(|number| of(number, START - (count + 1 - number) * 1000)).collect()
}

/// A whole log of so many entries of one unit.
fn log(count: i64) -> Members {
    members(count, |number, at| (at.to_string(), number.to_string()))
}

/// That log, with the member of one number replaced.
fn log_with(count: i64, number: usize, score: Option<&str>, member: Option<&str>) -> Members {
    let mut log = log(count);
    let (score_there, member_there) = &mut log[number - 1];
    score.iter().for_each(|score| *score_there = (*score).into());
    member.iter().for_each(|member| *member_there = (*member).into());
    log
}

fn plant(server: &Server, key: &str, members: &Members) {
    server.ask_value(&format!("DEL {key}"));
    for members in members.chunks(500) {
        let mut call = vec!["ZADD", key];
        call.extend(members.iter().flat_map(|(score, member)| [score.as_str(), member]));
        server.call(&call).unwrap();
    }
    server.ask_value(&format!("PEXPIREAT {key} {}", START / 1000 + 86_400_000));
}

/// Every form of a call of a log on `k`: allowed, denied, asked, forced, granted in part, given back, peeked, and among
/// others.
fn every_form(limits: &[&str], windows: &[&str]) -> Vec<String> {
    let mut calls = Vec::new();
    for (limit, window) in limits.iter().flat_map(|limit| windows.iter().map(move |window| (limit, window))) {
        for cost in ["0", "1", "200", "300", "-1", "-150", "-299", "-1000000000000"] {
            let spec = format!("{limit} {window} COST {cost}");
            calls.push(format!("RL.SLIDINGLOG k {spec}"));
            calls.push(format!("RL.PEEK k SLIDINGLOG {spec}"));
            calls.push(format!("RL.ALL k SLIDINGLOG {spec} KEY j FIXED 10 1h"));
            if !cost.starts_with(['0', '-']) {
                calls.push(format!("RL.SLIDINGLOG k {spec} FORCE"));
                calls.push(format!("RL.SLIDINGLOG k {spec} PARTIAL"));
                calls.push(format!("RL.ALL j FIXED 10 1h KEY k SLIDINGLOG {spec} FORCE"));
            }
        }
    }
    calls
}

/// The numbers of a call and its answer, or the error.
#[track_caller]
fn answer(server: &Server, call: &str) -> Result<i64, String> {
    match server.call(&words(call)) {
        Ok(reply) => Ok(match several(&reply) {
            Some(several) if !call.starts_with("RL.SLIDINGLOG") => several.allowed,
            _ => redis::from_redis_value::<Vec<i64>>(reply).unwrap()[0],
        }),
        Err(error) => match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => Err(format!("{code} {detail}")),
            _ => panic!("{call}: no answer: {error}"),
        },
    }
}

/// Asserts that `call` is answered, on a copy of what is planted; an error and a peek change nothing. Answers the error.
#[track_caller]
fn is_answered(server: &Server, call: &str) -> Option<String> {
    server.ask_value("COPY planted k REPLACE");
    server.ask_value("DEL j");
    let before = State::of(server);
    let answer = answer(server, call);
    if answer.is_err() || call.starts_with("RL.PEEK") {
        assert_eq!(State::of(server), before, "{call} changed something: {answer:?}");
    }
    answer.err()
}

/// The error of a log on `k`, as it stands in the answer to `call`.
fn in_call(call: &str, error: &str) -> String {
    let limit = match call {
        _ if !call.starts_with("RL.ALL") && !call.starts_with("RL.PEEK") => return error.into(),
        _ if call.starts_with("RL.ALL k") || call.starts_with("RL.PEEK k") => "ERR limit 1 (SLIDINGLOG): ",
        _ => "ERR limit 2 (SLIDINGLOG): ",
    };
    error.replacen("ERR ", limit, 1)
}

const LIMITS: [&str; 2] = ["300", "1000000000000"];
const WINDOWS: [&str; 2] = ["100ms", "1h"];

#[test]
fn a_set_of_fractional_scores_hangs_nothing() {
    let server = frozen();
    let fractional = members(300, |number, at| (format!("{at}.5"), number.to_string()));
    plant(&server, "fl", &fractional);
    let error = server.ask_error("RL.PEEK fl SLIDINGLOG 300 1h COST 200");
    assert_eq!(error, in_call("RL.PEEK k", OTHER_DATA));
    // All but the newest, which is looked at first, and the oldest, which is looked at next.
    for (number, at) in [(1, START - 300_000), (300, START - 1000)] {
        server.ask_value(&format!("ZADD fl {at} {number}"));
        let error = server.ask_error("RL.PEEK fl SLIDINGLOG 300 1h COST 200");
        assert_eq!(error, in_call("RL.PEEK k", OTHER_DATA), "{number}");
    }
    assert_eq!(server.ask_int("ZCARD fl"), 300);
}

/// What is other data from its newest member on is an error to every call, with the same words.
#[test]
fn a_set_whose_newest_member_is_no_entry_is_refused_in_every_form() {
    let server = frozen();
    let newest = |score: Option<&str>, member: Option<&str>| log_with(300, 300, score, member);
    let fraction = format!("{}.5", START - 1000);
    let calls = every_form(&["300"], &["1h"]);
    for (name, planted) in [
        ("a fraction", newest(Some(&fraction), None)),
        ("all fractions", members(300, |number, at| (format!("{at}.5"), number.to_string()))),
        ("quarters", members(300, |number, at| (format!("{at}.25"), number.to_string()))),
        ("inf", newest(Some("inf"), None)),
        ("nothing but inf", members(300, |number, _| ("inf".into(), number.to_string()))),
        ("nothing but -inf", members(300, |number, _| ("-inf".into(), number.to_string()))),
        ("above 2^53", newest(Some("9007199254740994"), None)),
        ("far above", newest(Some("1e300"), None)),
        (
            "all above",
            members(300, |number, _| ((9_007_199_254_740_992 + 2 * number).to_string(), number.to_string())),
        ),
        ("all zero", members(300, |number, _| ("0".into(), number.to_string()))),
        ("seconds", members(300, |number, at| ((at / 1_000_000).to_string(), number.to_string()))),
        ("milliseconds", members(300, |number, at| ((at / 1000).to_string(), number.to_string()))),
        ("057", newest(None, Some("057"))),
        ("00", newest(None, Some("00"))),
        ("1:1", newest(None, Some("300:1"))),
        ("5:0", newest(None, Some("300:0"))),
        ("5:02", newest(None, Some("300:02"))),
        ("05:2", newest(None, Some("0300:2"))),
        ("+5", newest(None, Some("+300"))),
        ("5:+2", newest(None, Some("300:+2"))),
        ("-5", newest(None, Some("-300"))),
        ("5:", newest(None, Some("300:"))),
        (":5", newest(None, Some(":5"))),
        ("5.0", newest(None, Some("300.0"))),
        ("5e1", newest(None, Some("3e2"))),
        ("a blank before", newest(None, Some(" 300"))),
        ("a blank after", newest(None, Some("300 "))),
        ("a line's end", newest(None, Some("300\n"))),
        ("nothing", newest(None, Some(""))),
        ("a total of 10^18", newest(None, Some("1000000000000000000"))),
        ("more units than count", newest(None, Some("300:4000000000001"))),
    ] {
        plant(&server, "planted", &planted);
        for call in &calls {
            assert_eq!(is_answered(&server, call), Some(in_call(call, OTHER_DATA)), "{name}: {call}");
        }
    }
    assert_eq!(server.text(&["PING"]), "PONG");
}

/// What looks like a log at its newest member, and is none somewhere else.
#[test]
fn a_set_that_is_almost_a_log_is_answered_in_every_form() {
    let server = frozen();
    let fraction_at = |number: usize| {
        let score = format!("{}.5", START - (301 - i64::try_from(number).unwrap()) * 1000);
        log_with(300, number, Some(&score), None)
    };
    let fractions_between = |from: i64, to: i64| {
        members(300, |number, at| {
            let fraction = if (from..to).contains(&number) { ".5" } else { "" };
            (format!("{at}{fraction}"), number.to_string())
        })
    };
    let equal = |from: i64, to: i64| {
        let at = START - (301 - from) * 1000;
        members(300, |number, own| {
            (if (from..to).contains(&number) { at } else { own }.to_string(), number.to_string())
        })
    };
    let member_at = |number: usize, member: &str| log_with(300, number, None, Some(member));
    let calls = every_form(&LIMITS, &WINDOWS);
    for (name, planted) in [
        ("a log", log(300)),
        ("fractions but at both ends", fractions_between(2, 300)),
        ("fractions beyond a short walk", fractions_between(130, 300)),
        ("fractions but for the newest half", fractions_between(1, 150)),
        ("a fraction first", fraction_at(1)),
        ("a fraction in the middle", fraction_at(150)),
        ("a fraction next to last", fraction_at(299)),
        ("equal scores", members(300, |number, _| ((START - 1000).to_string(), number.to_string()))),
        ("equal scores, old", members(300, |number, _| ((START - 90_000).to_string(), number.to_string()))),
        ("equal scores, of the same text length", equal(100, 200)),
        ("equal scores beyond a short walk", equal(140, 299)),
        ("equal scores to the end", equal(130, 301)),
        ("equal scores ahead", members(300, |number, _| ((START + 900_000).to_string(), number.to_string()))),
        ("far ahead", members(300, |number, at| ((at + 86_400_000_000).to_string(), number.to_string()))),
        ("-inf first", log_with(300, 1, Some("-inf"), None)),
        ("zero first", log_with(300, 1, Some("0"), None)),
        ("the last that is exact", log_with(300, 300, Some("9007199254740992"), None)),
        ("the first that may be", log_with(300, 1, Some("1000000000000000"), None)),
        ("totals that go down", members(300, |number, at| (at.to_string(), (301 - number).to_string()))),
        (
            "totals that go up and down",
            members(300, |number, at| (at.to_string(), (number * 7919 % 307).to_string())),
        ),
        (
            "totals far apart",
            members(300, |number, at| (at.to_string(), (number * 3_000_000_000_000_000).to_string())),
        ),
        ("all of many units", members(300, |number, at| (at.to_string(), format!("{number}:4000000000000")))),
        ("units that overlap", members(300, |number, at| (at.to_string(), format!("{number}:300")))),
        ("units with gaps", members(300, |number, at| (at.to_string(), format!("{}", number * 10)))),
        (
            "about the greatest total",
            members(300, |number, at| {
                (at.to_string(), ((999_999_999_999_999_850 + number) % 1_000_000_000_000_000_000).to_string())
            }),
        ),
        ("057 first", member_at(1, "057")),
        ("1:1 first", member_at(1, "1:1")),
        ("5:0 second", member_at(2, "5:0")),
        ("+5 beyond a short walk", member_at(140, "+5")),
        ("alice in the middle", member_at(150, "alice")),
        ("one member", log(1)),
        ("two members", log(2)),
        ("two of one score", members(2, |number, _| (START.to_string(), number.to_string()))),
        ("as many as a walk sees", log(128)),
        ("and one more", log(129)),
        ("and another", log(130)),
    ] {
        plant(&server, "planted", &planted);
        let mut errors = 0;
        for call in &calls {
            if let Some(error) = is_answered(&server, call) {
                errors += 1;
                let debt = "ERR COST must not take the used units above 4000000000000";
                assert!(
                    [OTHER_DATA, debt].map(|error| in_call(call, error)).contains(&error),
                    "{name}: {call}: {error}"
                );
            }
        }
        if name == "a log" {
            assert_eq!(errors, 0, "a log is answered in every form");
        }
    }
    assert_eq!(server.text(&["PING"]), "PONG");
}

// Nothing of others is destroyed.

#[test]
fn a_denied_call_leaves_a_leaderboard_alone() {
    let server = frozen();
    server.ask_value("ZADD board 10 alice 20 bob inf 1");
    let before = State::of(&server);
    assert_eq!(server.ask_error("RL.SLIDINGLOG board 100 1m COST 200"), OTHER_DATA);
    assert_eq!(State::of(&server), before);
    assert_eq!(server.ask_texts("ZRANGE board 0 -1"), ["alice", "bob", "1"]);
}

/// Below the newest member, which is an entry, lies what no limiter wrote: a call that would take the set apart meets it.
#[test]
fn nothing_of_others_goes_with_a_log() {
    let server = frozen();
    let (hour_ago, ahead) = (START - 3_600_000_000, START + 3_600_000_000);
    // The newest entry's instant and total; the calls that are refused, and those that are allowed.
    for (at, refused, allowed) in [
        // All of it is stale: what counts begins anew.
        (
            hour_ago,
            &["COST 1", "COST 100", "COST 5 PARTIAL", "COST 200 FORCE", "COST -1", "COST -1000"][..],
            &["COST 0", "COST 200"][..],
        ),
        // It counts.
        (START, &["COST -1", "COST -4", "COST -1000", "COST 200 FORCE"], &["COST 0", "COST 1", "COST 200"]),
        // It lies ahead of the clock, and is pulled to now, by a denied call, too.
        (
            ahead,
            &["COST 1", "COST 200", "COST 200 FORCE", "COST 5 PARTIAL", "COST -1", "COST -1000"],
            &["COST 0"],
        ),
    ] {
        let planted = format!("ZADD board 10 alice 20 bob {at} 4");
        let calls = |rest: &str| {
            let all = format!("RL.ALL board SLIDINGLOG 100 1m {rest} KEY j FIXED 10 1h");
            let mut calls = vec![format!("RL.SLIDINGLOG board 100 1m {rest}")];
            calls.extend((!rest.contains("PARTIAL")).then_some(all));
            calls
        };
        for call in refused.iter().flat_map(|rest| calls(rest)) {
            server.ask_value("FLUSHALL");
            server.ask_value(&planted);
            let before = State::of(&server);
            let first_of_two = OTHER_DATA.replacen("ERR ", "ERR limit 1 (SLIDINGLOG): ", 1);
            let expected = if call.starts_with("RL.ALL") { &first_of_two } else { OTHER_DATA };
            assert_eq!(server.ask_error(&call), expected, "{planted}: {call}");
            assert_eq!(State::of(&server), before, "{planted}: {call}");
        }
        for call in allowed.iter().flat_map(|rest| calls(rest)) {
            server.ask_value("FLUSHALL");
            server.ask_value(&planted);
            server.ask_value(&call);
            let there = server.ask_texts("ZRANGE board 0 1 WITHSCORES");
            assert_eq!(there, ["alice", "10", "bob", "20"], "{planted}: {call}");
        }
    }
    // Where stale entries are looked for, they are met as well.
    server.ask_value("FLUSHALL");
    server.ask_value(&format!("ZADD board 10 alice 20 bob {START} 1"));
    for used in 2..=3 {
        assert_eq!(server.ask("RL.SLIDINGLOG board 100 1m")[6], used);
    }
    let before = State::of(&server);
    assert_eq!(server.ask_error("RL.SLIDINGLOG board 100 1m"), OTHER_DATA);
    assert_eq!(State::of(&server), before);
}

// At random.

/// A set of members that may or may not be entries, with scores that may or may not be theirs.
fn random_members(rng: &mut StdRng) -> Members {
    let count = *[1, 2, 5, 40, 127, 128, 129, 200, 400].choose(rng).unwrap();
    let step = *[0, 1, 2, 1000, 1_000_000].choose(rng).unwrap();
    let newest = START + [0_i64, 0, -1, 1, 900_000, 5_000_000, -3_600_000_000].choose(rng).unwrap();
    // How often a score, and a member, is none of ours.
    let odd_score = *[0.0, 0.0, 0.01, 0.3, 1.0].choose(rng).unwrap();
    let odd_member = *[0.0, 0.0, 0.01, 0.3].choose(rng).unwrap();
    let mut total: i64 =
        if rng.random_bool(0.2) { 999_999_999_999_999_900 } else { rng.random_range(0..1000) };
    let down = rng.random_bool(0.2);
    // One kind of odd scores, or any.
    let kind = rng.random_bool(0.6).then(|| rng.random_range(0..7));
    (0..count)
        .map(|number| {
            let at = newest - (count - 1 - number) * step;
            let score = match kind.unwrap_or_else(|| rng.random_range(0..7)) {
                _ if !rng.random_bool(odd_score) => at.to_string(),
                0 => format!("{at}.5"),
                1 => format!("{at}.25"),
                2 => "inf".into(),
                3 => "-inf".into(),
                4 => newest.to_string(),
                5 => (9_007_199_254_740_990 + rng.random_range(0..9_i64)).to_string(),
                _ => rng.random_range(-10..2_000_000_000_000_000_i64).to_string(),
            };
            let units = if rng.random_bool(0.3) { rng.random_range(1..50) } else { 1 };
            total = (total + if down { -units } else { units }).rem_euclid(1_000_000_000_000_000_000);
            let member = match rng.random_range(0..8) {
                _ if !rng.random_bool(odd_member) && units == 1 => total.to_string(),
                _ if !rng.random_bool(odd_member) => format!("{total}:{units}"),
                0 => format!("0{total}"),
                1 => format!("{total}:1"),
                2 => format!("{total}:0"),
                3 => format!("+{total}"),
                4 => format!("{total}:4000000000001"),
                5 => format!("-{total}"),
                6 => format!("{total}:{}", rng.random_range(2..4_000_000_000_000_i64)),
                _ => format!("member:{number}"),
            };
            (score, member)
        })
        .collect()
}

#[test]
fn whatever_set_is_planted_every_call_is_answered_and_no_error_changes_it() {
    let server = frozen();
    let (mut errors, mut answers) = (0, 0);
    for seed in 0..60 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let planted = random_members(rng);
        plant(&server, "planted", &planted);
        let limit = *["0", "1", "100", "300", "1000000000000"].choose(rng).unwrap();
        let window = *["1ms", "100ms", "1h", "3660d"].choose(rng).unwrap();
        for call in every_form(&[limit], &[window]) {
            match is_answered(&server, &call) {
                Some(_) => errors += 1,
                None => answers += 1,
            }
        }
    }
    assert!(errors > 500 && answers > 500, "{errors} errors, {answers} answers: the sets show little");
    assert_eq!(server.text(&["PING"]), "PONG");
}

/// What is done is what is told to replicas, whatever the set held: members that are there already, say.
#[test]
fn whatever_set_is_planted_a_replica_holds_the_same_after_every_call() {
    let server = frozen();
    let replica = Server::builder().clock(&server.clock).replica_of(&server).start();
    for seed in 1000..1030 {
        let rng = &mut StdRng::seed_from_u64(seed);
        plant(&server, "k", &random_members(rng));
        let calls = every_form(&["300"], &["100ms"]);
        for _ in 0..10 {
            let call = calls.choose(rng).unwrap();
            let _ = answer(&server, call);
            replica.catch_up(&server);
            assert_eq!(State::of(&replica), State::of(&server), "{seed}: {call}");
        }
    }
}

/// Sets that end as a log does, with other members among the oldest: a log that starts anew looks at these.
#[test]
fn members_of_others_below_what_looks_like_a_log_stay() {
    let server = frozen();
    let old = START - 100_000_000;
    for planted in [
        format!("ZADD k {old} alice {} bob {} 3 {} 4", old + 1, old + 2, old + 3),
        format!("ZADD k {old} 1 {} 2 {} alice {} 4", old + 1, old + 2, old + 3),
        format!("ZADD k {old} 1 {} 2 {}.5 3 {} 4", old + 1, old + 2, old + 3),
    ] {
        for call in [
            "RL.SLIDINGLOG k 10 1s",
            "RL.SLIDINGLOG k 10 1h COST -10",
            "RL.ALL other FIXED 9 1s KEY k SLIDINGLOG 10 1s",
        ] {
            server.ask_value("DEL k other");
            server.ask_value(&planted);
            let before = State::of(&server);
            assert!(server.ask_error(call).ends_with("key holds other data"), "{planted}: {call}");
            assert_eq!(State::of(&server), before, "{planted}: {call}");
        }
    }
}
