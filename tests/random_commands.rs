//! Random sequences of all commands and modes on shared keys of a real server, whose clock steps both ways: every
//! reply, and at the end every expiry, is the model's.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::Value;

use crate::support::Server;
use crate::support::keyspace::{Keyspace, Other, Reply, Spec, Wrong};
use crate::support::model::{self, Algorithm, Mode};
use crate::support::schedule::{self, Clock, Schedule};

const CASES: u64 = 600;
const COMMANDS: usize = 40;

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

/// Several limiters on two hashes, and a log on each of two keys.
fn targets(rng: &mut StdRng, clock: Clock) -> Vec<Target> {
    let field = [
        Algorithm::TokenBucket,
        Algorithm::LeakyBucket,
        Algorithm::Fixed,
        Algorithm::Aligned,
        Algorithm::SlidingCounter,
    ];
    let mut targets = Vec::new();
    for (index, algorithm) in field.iter().cycle().take(8).enumerate() {
        let key = ["{k}hash:1", "{k}hash:2"][rng.random_range(0..2)];
        // A name of its own, unless it is the only one of its kind.
        let name = (index >= 5 || rng.random_bool(0.3)).then(|| format!("n{index}"));
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
        () if ms > 0 && ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
        () if ms > 0 && ms % 60_000 == 0 => format!("{}m", ms / 60_000),
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
        Algorithm::Fixed | Algorithm::Aligned => "FIXED",
        Algorithm::SlidingCounter => "SLIDINGCOUNTER",
        Algorithm::SlidingLog => "SLIDINGLOG",
    };
    words.insert(0, word.to_owned());
    if matches!(call.algorithm, Algorithm::TokenBucket | Algorithm::LeakyBucket) {
        words.push(call.refill.to_string());
    }
    words.push(duration(call.window));
    if call.algorithm == Algorithm::Aligned {
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

/// `RL.ALL` or `RL.PEEK`, a KEY clause whenever the key changes.
fn several(command: &str, specs: &[Spec]) -> Vec<String> {
    let mut all = vec![command.to_owned()];
    for (index, spec) in specs.iter().enumerate() {
        if index == 0 {
            all.push(spec.key.clone());
        } else if specs[index - 1].key != spec.key {
            all.extend(["KEY".to_owned(), spec.key.clone()]);
        }
        all.extend(words(spec));
    }
    all
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
fn run_sequence(server: &Server, seed: u64) -> [usize; 3] {
    let mut blocked = [0; 3];
    let mut rng = StdRng::seed_from_u64(seed);
    let clock = if rng.random_bool(0.5) { Clock::Forward } else { Clock::BothWays };
    let mut targets = targets(&mut rng, clock);
    let mut keys = Keyspace::default();
    let mut now = schedule::BEGIN;
    let mut history = Vec::new();
    for _ in 0..COMMANDS {
        let index = rng.random_range(0..targets.len());
        let spec = targets[index].any_spec();
        targets[index].schedule.now = now;
        targets[index].schedule.step(&keys.limiter(&spec));
        now = targets[index].schedule.now;
        server.clock.freeze(i64::try_from(now).unwrap());

        if rng.random_bool(0.3) {
            for command in meddle(&mut keys, now, &mut rng) {
                history.push((now, command.join(" ")));
                server.call(&command).unwrap();
            }
        }
        let mut spec = targets[index].spec(&keys, now);
        let (command, expected) = match rng.random_range(0..10) {
            0..=5 => {
                guard(&mut spec, &mut rng);
                let mut command = words(&spec);
                command[0] = format!("RL.{}", command[0]);
                command.insert(1, spec.key.clone());
                (command, one(keys.run(&[spec], now, false), array))
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
                (command, one(keys.run(&[spec], now, false), |reply| array(&five(reply))))
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
                let command = several(if peek { "RL.PEEK" } else { "RL.ALL" }, &specs);
                (
                    command,
                    keys.run(&specs, now, peek).map(|(allowed, wait, replies)| {
                        let head = [Value::Int(i64::from(allowed)), Value::Int(i64::try_from(wait).unwrap())];
                        Value::Array(
                            head.into_iter().chain(replies.iter().map(|reply| array(reply))).collect(),
                        )
                    }),
                )
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
            _ => panic!("seed {seed}: {reply:?}, expected {expected:?}, after {history:#?}"),
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
    let mut all = [0; 3];
    for seed in 0..CASES {
        for (sum, count) in all.iter_mut().zip(run_sequence(&server, seed)) {
            *sum += count;
        }
    }
    assert!(all.iter().all(|count| *count > 250), "the sequences show little of blocks: {all:?}");
}
