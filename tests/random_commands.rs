//! Random sequences of all commands and modes on shared keys of a real server, whose clock steps both ways: every
//! reply, every lease after a call on its key, and at the end every expiry, is the model's.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::Value;

use crate::support::Server;
use crate::support::keyspace::{Keyspace, Other, Reply, Spec, Wrong};
use crate::support::lease_model::{Held, LeaseCall, LeaseKey, Leases};
use crate::support::model::{self, Algorithm, MONTH, Mode};
use crate::support::schedule::{self, Clock, Schedule};

const CASES: u64 = 600;
const COMMANDS: usize = 60;

/// One limiter that a sequence charges now and then.
struct Target {
    key: &'static str,
    name: Option<String>,
    schedule: Schedule,
}

impl Target {
    fn spec(&mut self, keys: &Keyspace, now: i128) -> Spec {
        self.schedule.now = now;
        let mut spec = self.any_spec();
        spec.call = self.schedule.call(&keys.limiter(&spec));
        spec
    }

    /// A spec that serves to look the limiter up.
    fn any_spec(&mut self) -> Spec {
        let call = self.schedule.call(&model::Limiter::default());
        let (key, name) = (self.key.to_owned(), self.name.clone());
        Spec { key, name, call, block: None, overridden_by: None }
    }
}

/// Keys that block, and keys that override.
const BLOCKS: [&str; 3] = ["{k}block:1", "{k}block:2", "{k}block:3"];
const OVERRIDES: [&str; 3] = ["{k}override:1", "{k}override:2", "{k}override:3"];

/// Gives a limit a block, an override, or both, now and then.
fn guard(spec: &mut Spec, rng: &mut StdRng) {
    if rng.random_bool(0.4) {
        let lasts = [1, 20, 1000, 60_000, 3_600_000, 86_400_000][rng.random_range(0..6)];
        spec.block = Some((BLOCKS[rng.random_range(0..BLOCKS.len())].to_owned(), lasts));
    }
    if rng.random_bool(0.3) {
        spec.overridden_by = Some(OVERRIDES[rng.random_range(0..OVERRIDES.len())].to_owned());
    }
}

/// Somebody's own command on a key of a block or an override: it comes, goes, or holds another thing.
fn meddle(keys: &mut Keyspace, now: i128, rng: &mut StdRng) -> Vec<Vec<String>> {
    let is_block = rng.random_bool(0.5);
    let from = if is_block { BLOCKS } else { OVERRIDES };
    let name = from[rng.random_range(0..from.len())].to_owned();
    keys.others.remove(&name);
    let mut commands = vec![vec!["DEL".to_owned(), name.clone()]];
    if rng.random_bool(0.3) {
        return commands;
    }
    let limit = [0, 1, 3, 10, 50, 1000, 1_000_000_000_000][rng.random_range(0..7)];
    let (words, numbers): (Vec<String>, _) = match rng.random_range(0..8) {
        0..=3 => (vec!["SET".into(), name.clone(), format!("{limit}")], Some((limit, None))),
        4..=5 => {
            let refill = [1, 7, 1000][rng.random_range(0..3)];
            (vec!["SET".into(), name.clone(), format!("{limit}/0{refill}")], Some((limit, Some(refill))))
        }
        6 => (vec!["SET".into(), name.clone(), ["x", "", "-1", "1/0"][rng.random_range(0..4)].into()], None),
        _ => (vec!["RPUSH".into(), name.clone(), "1".into()], None),
    };
    commands.push(words);
    let mut expires_ms = None;
    if rng.random_bool(0.7) {
        let at = now.div_euclid(1000) + [1, 30, 1000, 100_000, 3_600_000][rng.random_range(0..5)];
        commands.push(vec!["PEXPIREAT".into(), name.clone(), at.to_string()]);
        expires_ms = Some(at);
    }
    keys.others.insert(name, Other { numbers, expires_ms });
    commands
}

/// Keys of leases, and holders. Some are called as words of the commands are.
const LEASES: [&str; 2] = ["{k}lease:1", "{k}lease:2"];
const HOLDERS: [&str; 8] = ["a", "b", "L:a", "RENEW", "OVERRIDE", "KEY", "1", "gr\u{fc}n \u{0}\n"];
const LEASES_LAST_MS: [i128; 8] = [1, 20, 1000, 10_000, 60_000, 3_600_000, 86_400_000, 3660 * 86_400_000];

/// What sequences showed of leases, by name.
type Shown = BTreeMap<&'static str, usize>;

fn lease(key: &str, mostly_ms: i128, rng: &mut StdRng) -> LeaseCall {
    // Often the same, so that ends are, too.
    let ms = if rng.random() { mostly_ms } else { LEASES_LAST_MS[rng.random_range(0..LEASES_LAST_MS.len())] };
    let is_overridden = rng.random_bool(0.2);
    LeaseCall {
        key: key.to_owned(),
        id: HOLDERS[rng.random_range(0..HOLDERS.len())].to_owned(),
        limit: [0, 1, 1, 2, 2, 3, 5, 1_000_000_000_000][rng.random_range(0..8)],
        ttl: ms * 1000,
        renews_only: rng.random_bool(0.2),
        overridden_by: is_overridden.then(|| OVERRIDES[rng.random_range(0..OVERRIDES.len())].to_owned()),
    }
}

/// The words of a lease after its key.
fn lease_words(lease: &LeaseCall) -> Vec<String> {
    let mut words = vec!["LEASE".to_owned(), lease.limit.to_string(), duration(lease.ttl), lease.id.clone()];
    if lease.renews_only {
        words.push("RENEW".to_owned());
    }
    if let Some(key) = &lease.overridden_by {
        words.extend(["OVERRIDE".to_owned(), key.clone()]);
    }
    words
}

/// A moment at which leases are of interest: this one, one just after, the end of one or just before it, or, if the clock
/// `steps_back`, one before.
fn lease_moment(keys: &Keyspace, now: i128, steps_back: bool, rng: &mut StdRng) -> i128 {
    let ends = keys.leases.values().flat_map(|key| LeaseKey::leases(Some(key)).0.into_values());
    let ends: Vec<i128> = ends.filter(|end| *end > now).collect();
    match rng.random_range(0..8) {
        0..=3 => now,
        4 => now + rng.random_range(0..2000),
        5 if steps_back => now - [1, 1000, 30_000_000][rng.random_range(0..3)],
        _ if ends.is_empty() => now,
        _ => ends[rng.random_range(0..ends.len())] - rng.random_range(0..=1),
    }
}

/// Somebody's own command on a key of leases: it goes, comes with leases in it, never expires, or holds another thing.
fn meddle_with_leases(keys: &mut Keyspace, now: i128, rng: &mut StdRng) -> Vec<Vec<String>> {
    let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let name = LEASES[rng.random_range(0..LEASES.len())];
    let now_ms = now.div_euclid(1000);
    keys.touch_leases(name, now);
    let is_leases = matches!(keys.leases.get(name), Some(LeaseKey { held: Held::Leases(_), .. }));
    // What is of no use to leases does not stay long.
    let kind = if is_leases || rng.random() { rng.random_range(0..10) } else { 1 };
    if kind == 0
        && let Some(key) = keys.leases.get_mut(name)
    {
        key.expires_ms = None;
        return vec![command(&["PERSIST", name])];
    }
    let mut commands = Vec::new();
    let stays = is_leases && kind >= 6 && rng.random();
    if !stays {
        commands.push(command(&["DEL", name]));
        keys.leases.remove(name);
    }
    let (held, last_ms) = match kind {
        0..=1 => return commands,
        2..=3 => {
            let foreign: [&[&str]; 3] =
                [&["SET", name, "x"], &["RPUSH", name, "x"], &["HSET", name, "x", "y"]];
            commands.push(command(foreign[rng.random_range(0..3)]));
            (Held::WrongType, now_ms)
        }
        4 => {
            let member = ["1", "x", "L:"][rng.random_range(0..3)];
            commands.push(command(&["ZADD", name, &now.to_string(), member]));
            (if member == "1" { Held::Log } else { Held::OtherData }, now_ms)
        }
        _ => {
            let Leases(mut leases) = LeaseKey::leases(keys.leases.get(name));
            let mut words = command(&["ZADD", name]);
            let from = [-30_000, -30_000, 0][rng.random_range(0..3)];
            let to = [0, 5, 30_000][rng.random_range(0..3)];
            for index in 0..[1, 3, 5, 150][rng.random_range(0..4)] {
                let end = now + rng.random_range(from..=to) * 1000;
                let id = HOLDERS.get(index).map_or_else(|| format!("p{index}"), |id| (*id).to_owned());
                words.extend([end.to_string(), format!("L:{id}")]);
                leases.insert(id, end);
            }
            commands.push(words);
            let last = leases.values().max().map_or(now, |end| *end);
            (Held::Leases(Leases(leases)), now_ms.max(last.div_euclid(1000)))
        }
    };
    let mut expires_ms = keys.leases.get(name).and_then(|key| key.expires_ms);
    if !stays && rng.random_bool(0.7) {
        let at = last_ms + [1, 30, 1000, 100_000][rng.random_range(0..4)];
        commands.push(command(&["PEXPIREAT", name, &at.to_string()]));
        expires_ms = Some(at);
    }
    keys.leases.insert(name.to_owned(), LeaseKey { held, expires_ms });
    commands
}

/// Several limiters on two hashes, and a log on each of two keys.
fn targets(rng: &mut StdRng, clock: Clock) -> Vec<Target> {
    let field = [
        Algorithm::TokenBucket,
        Algorithm::LeakyBucket,
        Algorithm::Fixed,
        Algorithm::Aligned,
        Algorithm::Months,
        Algorithm::SlidingCounter,
    ];
    let mut targets = Vec::new();
    for (index, algorithm) in field.iter().cycle().take(9).enumerate() {
        let key = ["{k}hash:1", "{k}hash:2"][rng.random_range(0..2)];
        // A name of its own, unless it is the only one of its kind.
        let name = (index >= 6 || rng.random_bool(0.3)).then(|| format!("n{index}"));
        targets.push(Target { key, name, schedule: Schedule::new(*algorithm, clock, rng.random()) });
    }
    for key in ["{k}log:1", "{k}log:2"] {
        targets.push(Target {
            key,
            name: None,
            schedule: Schedule::new(Algorithm::SlidingLog, clock, rng.random()),
        });
    }
    targets
}

fn duration(us: i128) -> String {
    let ms = us / 1000;
    match () {
        () if ms != 0 && ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
        () if ms != 0 && ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        () => format!("{ms}ms"),
    }
}

/// The words of a limit after its key.
fn words(spec: &Spec) -> Vec<String> {
    let call = &spec.call;
    let mut words = vec![call.limit.to_string()];
    let word = match call.algorithm {
        Algorithm::TokenBucket => "TOKENBUCKET",
        Algorithm::LeakyBucket => "LEAKYBUCKET",
        Algorithm::Fixed | Algorithm::Aligned | Algorithm::Months => "FIXED",
        Algorithm::SlidingCounter => "SLIDINGCOUNTER",
        Algorithm::SlidingLog => "SLIDINGLOG",
    };
    words.insert(0, word.to_owned());
    if matches!(call.algorithm, Algorithm::TokenBucket | Algorithm::LeakyBucket) {
        words.push(call.refill.to_string());
    }
    words.push(match call.algorithm {
        Algorithm::Months => format!("{}mo", call.window / MONTH),
        _ => duration(call.window),
    });
    if matches!(call.algorithm, Algorithm::Aligned | Algorithm::Months) {
        words.extend(["ALIGN".to_owned(), "OFFSET".to_owned(), duration(call.offset)]);
    }
    words.extend(["COST".to_owned(), call.cost.to_string()]);
    match call.mode {
        Mode::Whole => {}
        Mode::Force => words.push("FORCE".to_owned()),
        Mode::Partial => words.push("PARTIAL".to_owned()),
    }
    if let Some(name) = &spec.name {
        words.extend(["AS".to_owned(), name.clone()]);
    }
    if let Some((key, lasts_ms)) = &spec.block {
        words.extend(["BLOCK".to_owned(), key.clone(), duration(lasts_ms * 1000)]);
    }
    if let Some(key) = &spec.overridden_by {
        words.extend(["OVERRIDE".to_owned(), key.clone()]);
    }
    words
}

/// `RL.ALL` or `RL.PEEK` of limits, each a key and the words after it; a KEY clause whenever the key changes.
fn several(command: &str, limits: &[(&str, Vec<String>)]) -> Vec<String> {
    let mut all = vec![command.to_owned()];
    for (index, (key, words)) in limits.iter().enumerate() {
        if index == 0 {
            all.push((*key).to_owned());
        } else if limits[index - 1].0 != *key {
            all.extend(["KEY".to_owned(), (*key).to_owned()]);
        }
        all.extend(words.iter().cloned());
    }
    all
}

/// The words of a call of several limits, of which leases come anywhere, and what answers it.
fn run_several(
    keys: &mut Keyspace,
    specs: &[Spec],
    leases: &[LeaseCall],
    now: i128,
    peek: bool,
    rng: &mut StdRng,
) -> (Vec<String>, Result<Value, Wrong>) {
    let limiters = specs.iter().map(|spec| (spec.key.as_str(), words(spec)));
    let limits = limiters.chain(leases.iter().map(|lease| (lease.key.as_str(), lease_words(lease))));
    let limits: Vec<_> = limits.collect();
    let mut order: Vec<usize> = (0..specs.len()).collect();
    let mut after = 0;
    for index in specs.len()..limits.len() {
        // In their order, in which the first that is wrong is told.
        let at = rng.random_range(after..=order.len());
        order.insert(at, index);
        after = at + 1;
    }
    let ordered: Vec<_> = order.iter().map(|index| limits[*index].clone()).collect();
    let command = several(if peek { "RL.PEEK" } else { "RL.ALL" }, &ordered);
    let reply = keys.run(specs, leases, now, peek).map(|(allowed, wait, replies)| {
        let head = [Value::Int(i64::from(allowed)), Value::Int(i64::try_from(wait).unwrap())];
        Value::Array(head.into_iter().chain(order.iter().map(|index| array(&replies[*index]))).collect())
    });
    (command, reply)
}

/// Leases of either key, or of both.
fn some_leases(mostly_ms: i128, rng: &mut StdRng) -> Vec<LeaseCall> {
    let from = rng.random_range(0..LEASES.len());
    let to = rng.random_range(from + 1..=LEASES.len());
    let mut leases: Vec<_> = LEASES[from..to].iter().map(|key| lease(key, mostly_ms, rng)).collect();
    if rng.random() {
        leases.reverse();
    }
    leases
}

/// The words of a call on one key of leases, and what answers it.
fn run_lease(
    keys: &mut Keyspace,
    mostly_ms: i128,
    now: i128,
    rng: &mut StdRng,
    shown: &mut Shown,
) -> (Vec<String>, Result<Value, Wrong>) {
    let mut count = |what| *shown.entry(what).or_default() += 1;
    let name = LEASES[rng.random_range(0..LEASES.len())];
    let mut call = lease(name, mostly_ms, rng);
    keys.touch_leases(name, now);
    let before = LeaseKey::leases(keys.leases.get(name));
    let known: Vec<_> = before.0.keys().cloned().collect();
    if !known.is_empty() && rng.random_bool(0.3) {
        call.id.clone_from(&known[rng.random_range(0..known.len())]);
    }
    match rng.random_range(0..16) {
        0..=4 => {
            let mut ids = Vec::new();
            for _ in 0..rng.random_range(1..5) {
                ids.push(match rng.random_range(0..4) {
                    0..=1 if !known.is_empty() => known[rng.random_range(0..known.len())].clone(),
                    0..=2 => HOLDERS[rng.random_range(0..HOLDERS.len())].to_owned(),
                    _ => "nobody".to_owned(),
                });
            }
            let command = [vec!["RL.RELEASE".to_owned(), name.to_owned()], ids.clone()].concat();
            let reply = keys.release(name, &ids, now);
            if let Ok(live) = reply {
                let is_twice =
                    (1..ids.len()).any(|at| before.is_live(&ids[at], now) && ids[..at].contains(&ids[at]));
                let is_dead = ids.iter().any(|id| before.0.contains_key(id) && !before.is_live(id, now));
                count(if live > 0 { "given back" } else { "nothing to give back" });
                for (what, is_so) in [("given back twice", is_twice), ("given back after its end", is_dead)] {
                    if is_so {
                        count(what);
                    }
                }
            }
            (command, reply.map(|live| Value::Int(i64::try_from(live).unwrap())))
        }
        // Other limiters on leases' key.
        5 if !before.0.is_empty() => {
            count("another limiter");
            let log = rng.random_bool(0.5);
            let word = if log { "RL.SLIDINGLOG" } else { "RL.FIXED" };
            let command = [word, name, "5", "1s"].map(str::to_owned).to_vec();
            (command, Err(if log { Wrong::Leases } else { Wrong::OtherType }))
        }
        _ => {
            let mut command = lease_words(&call);
            command[0] = "RL.LEASE".to_owned();
            command.insert(1, name.to_owned());
            let reply = keys.run(&[], &[call.clone()], now, false);
            if let Ok((allowed, _, replies)) = &reply {
                let (held, limit, used) = (before.is_live(&call.id, now), replies[0][1], replies[0][6]);
                count(match () {
                    () if *allowed && held && used > limit => "renewed above the limit",
                    () if *allowed && held => "renewed",
                    () if *allowed && before.0.contains_key(&call.id) => "taken anew after its end",
                    () if *allowed => "taken",
                    () if call.renews_only => "not renewed",
                    () if used > limit => "denied, above the limit",
                    () => "denied",
                });
                if !*allowed {
                    assert!(!held);
                }
                if limit != call.limit {
                    count("overridden");
                }
            }
            (command, one(reply, array))
        }
    }
}

/// The leases that a key holds.
fn stored_leases(server: &Server, key: &str) -> BTreeMap<String, i128> {
    let members: Vec<(String, String)> =
        redis::from_redis_value(server.call(&["ZRANGE", key, "0", "-1", "WITHSCORES"]).unwrap()).unwrap();
    let lease = |(member, score): (String, String)| {
        (member.strip_prefix("L:").unwrap().to_owned(), score.parse::<f64>().unwrap() as i128)
    };
    members.into_iter().map(lease).collect()
}

fn array(numbers: &[i128]) -> Value {
    Value::Array(numbers.iter().map(|n| Value::Int(i64::try_from(*n).unwrap())).collect())
}

/// What redis-cell's five are, of the seven.
fn five(reply: &[i128]) -> [i128; 5] {
    let limited = i128::from(reply[0] == 0);
    let seconds = |ms: i128| (ms + 999).div_euclid(1000);
    let retry = if limited == 1 && reply[3] >= 0 { seconds(reply[3]) } else { -1 };
    [limited, reply[1], reply[2], retry, seconds(reply[4])]
}

fn whole_seconds(spec: &Spec) -> bool {
    spec.call.window % 1_000_000 == 0
}

/// Answers how many limits were not blocked, were blocked, and began their block.
fn run_sequence(server: &Server, seed: u64, shown: &mut Shown) -> [usize; 3] {
    let mut blocked = [0; 3];
    let mut rng = StdRng::seed_from_u64(seed);
    let clock = if rng.random_bool(0.5) { Clock::Forward } else { Clock::BothWays };
    let mut targets = targets(&mut rng, clock);
    let mostly_ms = LEASES_LAST_MS[rng.random_range(0..LEASES_LAST_MS.len())];
    let mut keys = Keyspace::default();
    let mut now = schedule::BEGIN;
    let mut history = Vec::new();
    for _ in 0..COMMANDS {
        let index = rng.random_range(0..targets.len());
        let spec = targets[index].any_spec();
        targets[index].schedule.now = now;
        targets[index].schedule.step(&keys.limiter(&spec));
        let is_lease = rng.random_bool(0.4);
        now = if is_lease && rng.random_bool(0.8) {
            lease_moment(&keys, now, clock == Clock::BothWays, &mut rng)
        } else {
            targets[index].schedule.now
        };
        server.clock.freeze(i64::try_from(now).unwrap());

        if rng.random_bool(0.3) {
            for command in meddle(&mut keys, now, &mut rng) {
                history.push((now, command.join(" ")));
                server.call(&command).unwrap();
            }
        }
        let is_foreign = keys.leases.values().any(|key| !matches!(key.held, Held::Leases(_)));
        if rng.random_bool(if is_foreign { 0.4 } else { 0.1 }) {
            for command in meddle_with_leases(&mut keys, now, &mut rng) {
                history.push((now, command.join(" ")));
                server.call(&command).unwrap();
            }
        }
        let mut spec = targets[index].spec(&keys, now);
        let (command, expected) = match rng.random_range(0..10) {
            0..=7 if is_lease => run_lease(&mut keys, mostly_ms, now, &mut rng, shown),
            _ if is_lease => {
                let leases = some_leases(mostly_ms, &mut rng);
                let peek = rng.random_bool(0.3);
                run_several(&mut keys, &[], &leases, now, peek, &mut rng)
            }
            0..=5 => {
                guard(&mut spec, &mut rng);
                let mut command = words(&spec);
                command[0] = format!("RL.{}", command[0]);
                command.insert(1, spec.key.clone());
                (command, one(keys.run(&[spec], &[], now, false), array))
            }
            6 if spec.call.algorithm == Algorithm::TokenBucket
                && spec.name.is_none()
                && whole_seconds(&spec) =>
            {
                spec.call.mode = Mode::Whole;
                spec.call.limit = spec.call.limit.max(1);
                let (burst, seconds) = (spec.call.limit - 1, spec.call.window / 1_000_000);
                let numbers = [burst, spec.call.refill, seconds, spec.call.cost].map(|n| n.to_string());
                let command = [vec!["CL.THROTTLE".to_owned(), spec.key.clone()], numbers.to_vec()].concat();
                (command, one(keys.run(&[spec], &[], now, false), |reply| array(&five(reply))))
            }
            kind => {
                let mut specs = vec![spec];
                for (other, target) in targets.iter_mut().enumerate() {
                    if other != index && rng.random_bool(0.25) {
                        specs.push(target.spec(&keys, now));
                    }
                }
                let peek = kind == 9;
                for spec in &mut specs {
                    guard(spec, &mut rng);
                    if spec.call.mode == Mode::Partial || peek {
                        spec.call.mode = Mode::Whole;
                    }
                }
                let leases = if rng.random_bool(0.4) { some_leases(mostly_ms, &mut rng) } else { Vec::new() };
                let (command, reply) = run_several(&mut keys, &specs, &leases, now, peek, &mut rng);
                if !leases.is_empty()
                    && let Ok(Value::Array(items)) = &reply
                {
                    let what = match (peek, &items[0]) {
                        (true, _) => "leases looked at beside limits",
                        (false, Value::Int(0)) => "leases denied beside limits",
                        (false, _) => "leases taken beside limits",
                    };
                    *shown.entry(what).or_default() += 1;
                }
                (command, reply)
            }
        };
        history.push((now, command.join(" ")));
        let reply = server.call(&command);
        for eighth in reply.iter().flat_map(eighths) {
            blocked[usize::try_from(eighth).unwrap()] += 1;
        }
        match (&reply, &expected) {
            (Ok(reply), Ok(expected)) if reply == expected => {}
            (Err(error), Err(Wrong::TooMuch)) if error.to_string().contains("COST must not") => {}
            (Err(error), Err(Wrong::BadOverride)) if error.to_string().contains("must hold a whole") => {}
            (Err(error), Err(wrong)) if is_of_foreign_data(&error.to_string(), *wrong) => {
                *shown.entry("foreign data").or_default() += 1;
            }
            _ => panic!("seed {seed}: {reply:?}, expected {expected:?}, after {history:#?}"),
        }
        for name in LEASES.into_iter().filter(|name| command.iter().any(|word| word == name)) {
            let key = keys.leases.get(name);
            if key.is_some_and(|key| !matches!(key.held, Held::Leases(_))) {
                continue;
            }
            let stored = stored_leases(server, name);
            let none_is_held = LeaseKey::leases(key).live(now) == 0;
            let gave_back = command[0] == "RL.RELEASE" && reply.as_ref().is_ok_and(|n| *n != Value::Int(0));
            assert!(
                !(gave_back && none_is_held && !stored.is_empty()),
                "seed {seed}: the last lease leaves the key, after {history:#?}"
            );
            let (key, gone) = LeaseKey::see(key, stored, now)
                .unwrap_or_else(|why| panic!("seed {seed}: {name}: {why}, after {history:#?}"));
            if gone > 0 {
                *shown.entry("ended ones thrown away").or_default() += 1;
            }
            keys.leases.remove(name);
            keys.leases.extend(key.map(|key| (name.to_owned(), key)));
        }
    }
    let expiries = server.expiries().into_iter().map(|(key, at)| (key, i128::from(at)));
    let expired = |at: i128| (0..now.div_euclid(1000)).contains(&at);
    let live: Vec<_> = expiries.filter(|(_, at)| !expired(*at)).collect();
    let expected: Vec<_> = keys.expiries().into_iter().filter(|(_, at)| !expired(*at)).collect();
    assert_eq!(live, expected, "seed {seed}: {history:#?}");
    server.call(&["FLUSHALL"]).unwrap();
    blocked
}

/// Whether an error tells what a key holds in the place of leases, or of a limiter.
fn is_of_foreign_data(error: &str, wrong: Wrong) -> bool {
    let other_data = error.contains("key holds other data");
    match wrong {
        Wrong::OtherType => error.contains("holding the wrong kind of value"),
        Wrong::OtherData => other_data && !error.contains("must have its key alone"),
        Wrong::Log => other_data && error.contains(": a SLIDINGLOG, "),
        Wrong::Leases => other_data && error.contains(": leases, "),
        Wrong::TooMuch | Wrong::BadOverride => false,
    }
}

/// The eighth integers in a reply.
fn eighths(reply: &Value) -> Vec<i64> {
    let Value::Array(items) = reply else { return Vec::new() };
    match items.get(7) {
        Some(Value::Int(eighth)) => vec![*eighth],
        _ => items.iter().flat_map(eighths).collect(),
    }
}

fn one(reply: Reply, show: impl Fn(&[i128]) -> Value) -> Result<Value, Wrong> {
    reply.map(|(_, _, replies)| show(&replies[0]))
}

#[test]
fn every_reply_is_the_models() {
    let server = Server::start();
    // A key that expired and was not touched may come back with the clock: the model knows only touched ones.
    server.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).unwrap();
    let (mut all, mut shown) = ([0; 3], Shown::new());
    for seed in 0..CASES {
        for (sum, count) in all.iter_mut().zip(run_sequence(&server, seed, &mut shown)) {
            *sum += count;
        }
    }
    assert!(all.iter().all(|count| *count > 250), "the sequences show little of blocks: {all:?}");
    assert!(shown.len() == 18 && shown.values().all(|count| *count > 100), "little of leases: {shown:?}");
}
