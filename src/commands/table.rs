//! The one table of commands: registration, COMMAND DOCS and the check of the docs all read it.

use super::all::{All, Peek};
use super::grammar::{self, Grammar, OptionPart};
use super::limit::OneLimit;
use super::parser::{BLOCK, KEY as KEY_WORD, OVERRIDE};
use super::release::Release;
use super::throttle::Throttle;
use crate::server::{Access, BeginSearch, Command, EntryPoint, Found, KeySpec, entry_point};

pub use crate::server::{Argument, ArgumentKind};

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
const FREES: &str = "write fast";
const WRITES_KEYS_BY_API: &str = "write deny-oom fast getkeys-api";
const READS_KEYS_BY_API: &str = "readonly fast getkeys-api";

const ONE_WRITTEN: &[KeySpec] = &[FIRST_WRITTEN];

const FIRST_WRITTEN: KeySpec =
    KeySpec { begin: BeginSearch::Index(1), access: Access::Write, found: Found::All };

/// The key of an option among the words from a position on.
const fn of_option(word: &'static str, from: i32, access: Access) -> KeySpec {
    KeySpec { begin: BeginSearch::Keyword(word, from), access, found: Found::AllByItself }
}

/// A limit's own key, and those of its options; `arity` is that of a call without them.
const fn keys_of_limit<W: grammar::Words, const ARITY: i32>() -> &'static [KeySpec] {
    if W::GRAMMAR.has(OptionPart::Block) {
        const {
            &[
                FIRST_WRITTEN,
                of_option(BLOCK, ARITY.saturating_neg(), Access::Write),
                of_option(OVERRIDE, ARITY.saturating_neg(), Access::Read),
            ]
        }
    } else {
        const { &[FIRST_WRITTEN, of_option(OVERRIDE, ARITY.saturating_neg(), Access::Read)] }
    }
}

/// The first key, and one after each word that a key may follow; there may be more of those than a spec can say. A server
/// that finds none of these words goes by the first key alone, and does not ask the command for its keys.
const fn several_keys(access: Access) -> [KeySpec; 4] {
    const fn after(word: &'static str, from: i32, access: Access) -> KeySpec {
        KeySpec { begin: BeginSearch::Keyword(word, from), access, found: Found::Some }
    }
    [
        KeySpec { begin: BeginSearch::Index(1), access, found: Found::All },
        after(KEY_WORD, 2, access),
        after(BLOCK, 5, access),
        after(OVERRIDE, 5, Access::Read),
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

/// The row of a command that charges one limit.
const fn limit<W: grammar::Words, const ARITY: i32>(
    name: &'static str,
    summary: &'static str,
    complexity: &'static str,
) -> Row {
    Row {
        name,
        entry_point: entry_point::<OneLimit<W>>,
        flags: WRITES_KEYS_BY_API,
        arity: ARITY,
        summary,
        complexity,
        since: "0.1.0",
        key_specs: keys_of_limit::<W, ARITY>(),
        words: Words::Limit(W::GRAMMAR),
        acl_categories: "write fast",
    }
}

/// Every command, by name.
pub static COMMANDS: &[Row] = &[
    limit::<grammar::TokenBucket, -5>(
        "RL.TOKENBUCKET",
        "Takes tokens from a bucket that refills at a constant rate",
        "O(1)",
    ),
    limit::<grammar::LeakyBucket, -5>(
        "RL.LEAKYBUCKET",
        "Queues work that leaves at a constant rate, and tells how long to wait for one's turn",
        "O(1)",
    ),
    limit::<grammar::Fixed, -4>("RL.FIXED", "Counts units until a window ends, then anew", "O(1)"),
    limit::<grammar::SlidingCounter, -4>(
        "RL.SLIDINGCOUNTER",
        "Estimates the units of the last window from two counts",
        "O(1)",
    ),
    limit::<grammar::SlidingLog, -4>(
        "RL.SLIDINGLOG",
        "Counts exactly the units of the last window, by remembering every call in it",
        "O(log N) with N calls in the log; to give back, O(log N + M) with M calls taken back",
    ),
    limit::<grammar::Lease, -5>(
        "RL.LEASE",
        "Takes or renews a lease: at most so many holders at a time, each for a while",
        "O(log N) with N leases on the key",
    ),
    Row {
        name: "RL.RELEASE",
        entry_point: entry_point::<Release>,
        flags: FREES,
        arity: -3,
        summary: "Gives leases back before they end",
        complexity: "O(M log N) with M ids and N leases on the key",
        since: "0.1.0",
        key_specs: ONE_WRITTEN,
        words: Words::Listed(&[
            &KEY,
            &Argument {
                multiple: true,
                summary: Some("The id that the lease was taken with"),
                ..Argument::new("id", ArgumentKind::String)
            },
        ]),
        acl_categories: "write fast",
    },
    Row {
        name: "RL.ALL",
        entry_point: entry_point::<All>,
        flags: WRITES_KEYS_BY_API,
        arity: -5,
        summary: "Charges several limits at one instant, all or none",
        complexity: "O(N) with N limits; as for RL.SLIDINGLOG and RL.LEASE where they are among them",
        since: "0.1.0",
        key_specs: &several_keys(Access::Write),
        words: Words::Listed(&[&KEY, &SPEC, &FURTHER_KEYS]),
        acl_categories: "write fast",
    },
    Row {
        name: "RL.PEEK",
        entry_point: entry_point::<Peek>,
        flags: READS_KEYS_BY_API,
        arity: -5,
        summary: "Tells what RL.ALL would answer, and charges nothing",
        complexity: "O(N) with N limits; as for RL.SLIDINGLOG and RL.LEASE where they are among them",
        since: "0.1.0",
        key_specs: &several_keys(Access::Read),
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
