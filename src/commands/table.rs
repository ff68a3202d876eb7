//! The one table of commands: registration, COMMAND DOCS and the check of the docs all read it.

use super::all::{All, Peek};
use super::grammar::{self, Grammar};
use super::limit;
use super::redis_cell::Throttle;
use crate::server::{Argument, ArgumentKind, BeginSearch, Command, EntryPoint, KeySpec, entry_point};

/// A command.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    entry_point: EntryPoint,
    flags: &'static str,
    arity: i32,
    /// What it does, in a line.
    pub summary: &'static str,
    complexity: &'static str,
    since: &'static str,
    key_specs: &'static [KeySpec],
    words: Words,
    acl_categories: &'static str,
}

/// The words after a command's name.
enum Words {
    /// A key and the words of a limit.
    Limit(&'static Grammar),
    /// These.
    Listed(&'static [&'static Argument]),
}

const WRITES: &str = "write deny-oom fast";
const WRITES_KEYS_BY_API: &str = "write deny-oom fast getkeys-api";
const READS_KEYS_BY_API: &str = "readonly fast getkeys-api";

const ONE_WRITTEN: &[KeySpec] = &[KeySpec { begin: BeginSearch::Index(1), written: true, incomplete: false }];

/// The first key, and one after the word KEY; there may be more of those than a spec can say.
const fn several_keys(written: bool) -> [KeySpec; 2] {
    [
        KeySpec { begin: BeginSearch::Index(1), written, incomplete: false },
        KeySpec { begin: BeginSearch::Keyword("KEY", 2), written, incomplete: true },
    ]
}

static KEY: Argument = Argument::new("key", ArgumentKind::Key(0));
static SPEC: Argument = Argument {
    multiple: true,
    summary: Some("A limit: a command's words after the key, headed by the algorithm's name"),
    ..Argument::new("spec", ArgumentKind::String)
};
static FURTHER_KEYS: Argument = Argument {
    token: Some("KEY"),
    optional: true,
    multiple: true,
    summary: Some("A further key and the limits on it"),
    parts: &[&Argument::new("key", ArgumentKind::Key(1)), &SPEC],
    ..Argument::new("further", ArgumentKind::Block)
};

/// Every command, by name.
pub static COMMANDS: &[Row] = &[
    Row {
        name: "RL.TOKENBUCKET",
        entry_point: entry_point::<limit::TokenBucket>,
        flags: WRITES,
        arity: -5,
        summary: "Takes tokens from a bucket that refills at a constant rate",
        complexity: "O(1)",
        since: "0.1.0",
        key_specs: ONE_WRITTEN,
        words: Words::Limit(grammar::TOKEN_BUCKET),
        acl_categories: "write fast",
    },
    Row {
        name: "RL.LEAKYBUCKET",
        entry_point: entry_point::<limit::LeakyBucket>,
        flags: WRITES,
        arity: -5,
        summary: "Queues work that leaves at a constant rate, and tells how long to wait for one's turn",
        complexity: "O(1)",
        since: "0.1.0",
        key_specs: ONE_WRITTEN,
        words: Words::Limit(grammar::LEAKY_BUCKET),
        acl_categories: "write fast",
    },
    Row {
        name: "RL.FIXED",
        entry_point: entry_point::<limit::Fixed>,
        flags: WRITES,
        arity: -4,
        summary: "Counts units until a window ends, then anew",
        complexity: "O(1)",
        since: "0.1.0",
        key_specs: ONE_WRITTEN,
        words: Words::Limit(grammar::FIXED),
        acl_categories: "write fast",
    },
    Row {
        name: "RL.SLIDINGCOUNTER",
        entry_point: entry_point::<limit::SlidingCounter>,
        flags: WRITES,
        arity: -4,
        summary: "Estimates the units of the last window from two counts",
        complexity: "O(1)",
        since: "0.1.0",
        key_specs: ONE_WRITTEN,
        words: Words::Limit(grammar::SLIDING_COUNTER),
        acl_categories: "write fast",
    },
    Row {
        name: "RL.SLIDINGLOG",
        entry_point: entry_point::<limit::SlidingLog>,
        flags: WRITES,
        arity: -4,
        summary: "Counts exactly the units of the last window, by remembering every call in it",
        complexity: "O(log N) with N calls in the log; to give back, O(log N) for each call taken back",
        since: "0.1.0",
        key_specs: ONE_WRITTEN,
        words: Words::Limit(grammar::SLIDING_LOG),
        acl_categories: "write fast",
    },
    Row {
        name: "RL.ALL",
        entry_point: entry_point::<All>,
        flags: WRITES_KEYS_BY_API,
        arity: -5,
        summary: "Charges several limits at one instant, all or none",
        complexity: "O(N) with N limits; as for RL.SLIDINGLOG where that is one of them",
        since: "0.1.0",
        key_specs: &several_keys(true),
        words: Words::Listed(&[&KEY, &SPEC, &FURTHER_KEYS]),
        acl_categories: "write fast",
    },
    Row {
        name: "RL.PEEK",
        entry_point: entry_point::<Peek>,
        flags: READS_KEYS_BY_API,
        arity: -5,
        summary: "Tells what RL.ALL would answer, and charges nothing",
        complexity: "O(N) with N limits; as for RL.SLIDINGLOG where that is one of them",
        since: "0.1.0",
        key_specs: &several_keys(false),
        words: Words::Listed(&[&KEY, &SPEC, &FURTHER_KEYS]),
        acl_categories: "read fast",
    },
    Row {
        name: THROTTLE,
        entry_point: entry_point::<Throttle>,
        flags: WRITES,
        arity: -5,
        summary: "Takes tokens from a bucket, with the arguments and replies of redis-cell",
        complexity: "O(1)",
        since: "0.1.0",
        key_specs: ONE_WRITTEN,
        words: Words::Listed(&[
            &KEY,
            &Argument::new("max_burst", ArgumentKind::Integer),
            &Argument::new("count", ArgumentKind::Integer),
            &Argument::new("period_seconds", ArgumentKind::Integer),
            &Argument { optional: true, ..Argument::new("quantity", ArgumentKind::Integer) },
        ]),
        acl_categories: "write fast",
    },
];

/// redis-cell's command, which another module may have brought already.
pub const THROTTLE: &str = "CL.THROTTLE";

impl Row {
    /// The command as the server is told about it.
    #[must_use]
    pub fn command(&self) -> Command {
        Command {
            name: self.name,
            entry_point: self.entry_point,
            flags: self.flags,
            arity: self.arity,
            summary: self.summary,
            complexity: self.complexity,
            since: self.since,
            key_specs: self.key_specs,
            arguments: match &self.words {
                Words::Listed(arguments) => arguments.to_vec(),
                Words::Limit(grammar) => std::iter::once(&KEY).chain(grammar.arguments()).collect(),
            },
            acl_categories: self.acl_categories,
        }
    }
}
