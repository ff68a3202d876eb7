//! The words of limits, as data: which an algorithm takes, and what they mean.
//!
//! The parser and the server's help both go by the [`Grammar`] of an algorithm. To add an algorithm: its entry here.

use crate::algorithms::{self, FieldAlgorithm, Tag};
use crate::server::{Argument, ArgumentKind};
use crate::state::Storage;

/// The words of one algorithm's limits: what must come, in this order, and what may follow.
pub struct Grammar {
    /// The algorithm's name; a command is `RL.` and it.
    pub word: &'static str,
    /// Where its state lives.
    pub storage: Storage,
    /// The most units: a limit or a capacity.
    pub limit: Argument,
    /// What comes back each period, of buckets.
    pub refill: Option<Argument>,
    /// The window or period.
    pub window: Argument,
    /// The id of a holder, of leases.
    pub id: Option<Argument>,
    /// The words that may follow.
    pub options: Options,
}

/// The words that may follow a limit's own.
pub struct Options {
    choices: &'static [&'static Choice],
    /// A bit for the part of each.
    parts: u8,
}

impl Options {
    const fn of(choices: &'static [&'static Choice]) -> Self {
        let (mut parts, mut rest) = (0, choices);
        while let [choice, others @ ..] = rest {
            parts |= choice.part.bit();
            rest = others;
        }
        Self { choices, parts }
    }
}

/// A type that stands for a grammar, so that a command's function can be made of it.
pub trait Words {
    /// The grammar.
    const GRAMMAR: &'static Grammar;
}

/// A group of options.
pub struct Choice {
    /// What it sets.
    pub part: OptionPart,
    /// What COMMAND DOCS says of it.
    pub help: Argument,
}

/// What a group of options sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionPart {
    /// How windows are aligned.
    Align,
    /// The cost.
    Cost,
    /// What happens to a cost that does not fit.
    Mode,
    /// The limiter's name.
    Name,
    /// What a denial blocks.
    Block,
    /// Where other numbers may be.
    Override,
    /// That nothing new is taken.
    Renew,
}

impl OptionPart {
    const fn bit(self) -> u8 {
        1_u8.wrapping_shl(self as u32)
    }
}

const fn required(name: &'static str, kind: ArgumentKind, summary: &'static str) -> Argument {
    Argument { summary: Some(summary), ..Argument::new(name, kind) }
}

const LIMIT: Argument = required("limit", ArgumentKind::Integer, "Most units in a window: 0 to 10^12");
const CAPACITY: Argument = required("capacity", ArgumentKind::Integer, "Most units at once: 0 to 10^12");
const REFILL: Argument =
    required("refill", ArgumentKind::Integer, "Units that come back each period: 1 to 10^12");
const LEAK: Argument = required("leak", ArgumentKind::Integer, "Units that leave each period: 1 to 10^12");
const PERIOD: Argument =
    required("period", ArgumentKind::String, "A whole number with a unit ms, s, m, h or d, up to 3660d");
const WINDOW: Argument =
    required("window", ArgumentKind::String, "A whole number with a unit ms, s, m, h or d, up to 3660d");

const WINDOW_OR_MONTHS: Argument = required(
    "window",
    ArgumentKind::String,
    "A whole number with a unit ms, s, m, h or d, up to 3660d; with ALIGN also mo, up to 120mo",
);

static COST: Choice = Choice {
    part: OptionPart::Cost,
    help: Argument {
        token: Some("COST"),
        optional: true,
        summary: Some("Units to charge, 1 unless given; 0 asks, below 0 gives back"),
        ..Argument::new("cost", ArgumentKind::Integer)
    },
};

static MODE: Choice = Choice {
    part: OptionPart::Mode,
    help: Argument {
        optional: true,
        summary: Some("FORCE charges even what does not fit, PARTIAL charges as much as fits"),
        parts: &[
            &Argument { token: Some("FORCE"), ..Argument::new("force", ArgumentKind::Token) },
            &Argument { token: Some("PARTIAL"), ..Argument::new("partial", ArgumentKind::Token) },
        ],
        ..Argument::new("mode", ArgumentKind::OneOf)
    },
};

static NAME: Choice = Choice {
    part: OptionPart::Name,
    help: Argument {
        token: Some("AS"),
        optional: true,
        summary: Some("Tells limits of one kind on one key apart"),
        ..Argument::new("name", ArgumentKind::String)
    },
};

static BLOCK: Choice = Choice {
    part: OptionPart::Block,
    help: Argument {
        token: Some("BLOCK"),
        optional: true,
        summary: Some(
            "A denial creates bkey for a while; as long as it exists, the limit denies every charge",
        ),
        parts: &[
            &Argument::new("bkey", ArgumentKind::Key(1)),
            &Argument::new("duration", ArgumentKind::String),
        ],
        ..Argument::new("block", ArgumentKind::Block)
    },
};

/// `OVERRIDE`, whose key is found by the key spec of that index.
const fn override_at(spec: usize) -> Choice {
    Choice {
        part: OptionPart::Override,
        help: Argument {
            token: Some("OVERRIDE"),
            optional: true,
            summary: Some("A key whose value, if it exists, takes the place of the limit"),
            ..Argument::new("okey", ArgumentKind::Key(spec))
        },
    }
}

static OVERRIDE: Choice = override_at(2);
static OVERRIDE_OF_LEASE: Choice = override_at(1);

static ALIGN: Choice = Choice {
    part: OptionPart::Align,
    help: Argument {
        optional: true,
        summary: Some("Windows are multiples of window since the Unix epoch, plus offset"),
        parts: &[
            &Argument { token: Some("ALIGN"), ..Argument::new("align", ArgumentKind::Token) },
            &Argument {
                token: Some("OFFSET"),
                optional: true,
                ..Argument::new("offset", ArgumentKind::String)
            },
        ],
        ..Argument::new("aligned", ArgumentKind::Block)
    },
};

/// `TOKENBUCKET capacity refill period`
pub enum TokenBucket {}

impl Words for TokenBucket {
    const GRAMMAR: &'static Grammar = &Grammar {
        word: "TOKENBUCKET",
        storage: Storage::Field(FieldAlgorithm::of::<algorithms::TokenBucket>()),
        limit: CAPACITY,
        refill: Some(REFILL),
        window: PERIOD,
        id: None,
        options: Options::of(const { &[&COST, &MODE, &NAME, &BLOCK, &OVERRIDE] }),
    };
}

/// `LEAKYBUCKET capacity leak period`
pub enum LeakyBucket {}

impl Words for LeakyBucket {
    const GRAMMAR: &'static Grammar = &Grammar {
        word: "LEAKYBUCKET",
        storage: Storage::Field(FieldAlgorithm::of::<algorithms::LeakyBucket>()),
        limit: CAPACITY,
        refill: Some(LEAK),
        window: PERIOD,
        id: None,
        options: Options::of(const { &[&COST, &MODE, &NAME, &BLOCK, &OVERRIDE] }),
    };
}

/// `FIXED limit window [ALIGN [OFFSET d]]`
pub enum Fixed {}

impl Words for Fixed {
    const GRAMMAR: &'static Grammar = &Grammar {
        word: "FIXED",
        storage: Storage::Field(FieldAlgorithm::of::<algorithms::FixedWindow>()),
        limit: LIMIT,
        refill: None,
        window: WINDOW_OR_MONTHS,
        id: None,
        options: Options::of(const { &[&ALIGN, &COST, &MODE, &NAME, &BLOCK, &OVERRIDE] }),
    };
}

/// `SLIDINGCOUNTER limit window`
pub enum SlidingCounter {}

impl Words for SlidingCounter {
    const GRAMMAR: &'static Grammar = &Grammar {
        word: "SLIDINGCOUNTER",
        storage: Storage::Field(FieldAlgorithm::of::<algorithms::SlidingCounter>()),
        limit: LIMIT,
        refill: None,
        window: WINDOW,
        id: None,
        options: Options::of(const { &[&COST, &MODE, &NAME, &BLOCK, &OVERRIDE] }),
    };
}

/// `SLIDINGLOG limit window`
pub enum SlidingLog {}

impl Words for SlidingLog {
    const GRAMMAR: &'static Grammar = &Grammar {
        word: "SLIDINGLOG",
        storage: Storage::Log,
        limit: LIMIT,
        refill: None,
        window: WINDOW,
        id: None,
        options: Options::of(const { &[&COST, &MODE, &BLOCK, &OVERRIDE] }),
    };
}

const MOST_HOLDERS: Argument = required("limit", ArgumentKind::Integer, "Most holders at a time: 0 to 10^12");
const TTL: Argument = required(
    "ttl",
    ArgumentKind::String,
    "How long the lease counts: a whole number with a unit ms, s, m, h or d, up to 3660d",
);
const ID: Argument = required("id", ArgumentKind::String, "The holder's id: 1 to 128 bytes, one a holder");

static RENEW: Choice = Choice {
    part: OptionPart::Renew,
    help: Argument {
        token: Some("RENEW"),
        optional: true,
        summary: Some("Only renews: is denied where the lease has ended"),
        ..Argument::new("renew", ArgumentKind::Token)
    },
};

/// `LEASE limit ttl id [RENEW]`
pub enum Lease {}

impl Words for Lease {
    const GRAMMAR: &'static Grammar = &Grammar {
        word: "LEASE",
        storage: Storage::Leases,
        limit: MOST_HOLDERS,
        refill: None,
        window: TTL,
        id: Some(ID),
        options: Options::of(const { &[&RENEW, &OVERRIDE_OF_LEASE] }),
    };
}

/// Every algorithm's.
pub static GRAMMARS: &[&Grammar] = &[
    TokenBucket::GRAMMAR,
    LeakyBucket::GRAMMAR,
    Fixed::GRAMMAR,
    SlidingCounter::GRAMMAR,
    SlidingLog::GRAMMAR,
    Lease::GRAMMAR,
];

impl Grammar {
    /// The arguments after the key, as COMMAND DOCS shows them.
    pub fn arguments(&'static self) -> impl Iterator<Item = &'static Argument> {
        let required = [Some(&self.limit), self.refill.as_ref(), Some(&self.window), self.id.as_ref()];
        required.into_iter().flatten().chain(self.options.choices.iter().map(|choice| &choice.help))
    }

    /// Whether limits take the options of `part`.
    #[must_use]
    pub const fn has(&self, part: OptionPart) -> bool {
        self.options.parts & part.bit() != 0
    }
}

/// Whether a field with this tag may hold a limiter's state.
#[must_use]
pub fn is_tag(tag: Tag) -> bool {
    GRAMMARS.iter().any(|grammar| matches!(&grammar.storage, Storage::Field(algorithm) if algorithm.has(tag)))
}

/// The names of all algorithms, as errors list them.
#[must_use]
pub fn all_algorithms() -> String {
    GRAMMARS.iter().map(|grammar| grammar.word).collect::<Vec<_>>().join(", ")
}
