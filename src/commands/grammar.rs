//! The words of a limit: which an algorithm takes, what they mean, and how they are read.
//!
//! The parser and the server's help both go by the [`Grammar`] of an algorithm.

use crate::algorithms::decision::{Ask, Mode};
use crate::algorithms::text::{self, Text};
use crate::algorithms::{Algorithm, MAX_UNITS, Span, Tag, Terms};
use crate::server::{Argument, ArgumentKind};

use super::error::{Accepts, Error, MAX_DURATION_DAYS, MAX_NAME};

/// Where a limiter's state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In a field of a hash.
    Field(Algorithm),
    /// In a sorted set: the sliding log.
    Log,
}

/// The words of one algorithm's limits.
pub struct Grammar {
    /// The algorithm's name; a command is `RL.` and it.
    pub word: &'static str,
    /// Where its state lives.
    pub storage: Storage,
    /// The words that must come, in order.
    pub required: &'static [Required],
    /// The words that may follow.
    pub options: &'static [&'static Choice],
}

/// A word that must come.
pub struct Required {
    part: Part,
    /// What COMMAND DOCS says of it.
    pub help: Argument,
}

/// What a required word sets.
#[derive(Clone, Copy)]
enum Part {
    Limit,
    Refill,
    Window,
}

/// A group of options.
pub struct Choice {
    part: OptionPart,
    /// What COMMAND DOCS says of it.
    pub help: Argument,
}

/// What a group of options sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OptionPart {
    Align,
    Cost,
    Mode,
    Name,
}

/// One limit that a caller names: what to hold to, and what to charge.
#[derive(Clone, Copy)]
pub struct Limit<'w> {
    /// The words it was written in.
    pub grammar: &'static Grammar,
    /// Which of the call's keys it is on.
    pub key: usize,
    /// What to hold to.
    pub terms: Terms,
    /// Units to charge.
    pub cost: i64,
    /// What happens to a cost that does not fit.
    pub mode: Mode,
    /// The name that tells it from others of its kind; may be empty.
    pub name: &'w [u8],
}

const fn required(part: Part, name: &'static str, summary: &'static str) -> Required {
    let kind = match part {
        Part::Limit | Part::Refill => ArgumentKind::Integer,
        Part::Window => ArgumentKind::String,
    };
    Required { part, help: Argument { summary: Some(summary), ..Argument::new(name, kind) } }
}

const LIMIT: Required = required(Part::Limit, "limit", "Most units in a window: 0 to 10^12");
const CAPACITY: Required = required(Part::Limit, "capacity", "Most units at once: 0 to 10^12");
const REFILL: Required = required(Part::Refill, "refill", "Units that come back each period: 1 to 10^12");
const LEAK: Required = required(Part::Refill, "leak", "Units that leave each period: 1 to 10^12");
const PERIOD: Required =
    required(Part::Window, "period", "A whole number with a unit ms, s, m, h or d, up to 3660d");
const WINDOW: Required =
    required(Part::Window, "window", "A whole number with a unit ms, s, m, h or d, up to 3660d");

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

// Constants, not statics, so that the compiler sees into them and makes a parser and a way through of each.

/// `TOKENBUCKET capacity refill period`
pub const TOKEN_BUCKET: &Grammar = &Grammar {
    word: "TOKENBUCKET",
    storage: Storage::Field(Algorithm::TokenBucket),
    required: &[CAPACITY, REFILL, PERIOD],
    options: &[&COST, &MODE, &NAME],
};

/// `LEAKYBUCKET capacity leak period`
pub const LEAKY_BUCKET: &Grammar = &Grammar {
    word: "LEAKYBUCKET",
    storage: Storage::Field(Algorithm::LeakyBucket),
    required: &[CAPACITY, LEAK, PERIOD],
    options: &[&COST, &MODE, &NAME],
};

/// `FIXED limit window [ALIGN [OFFSET d]]`
pub const FIXED: &Grammar = &Grammar {
    word: "FIXED",
    storage: Storage::Field(Algorithm::FixedWindow),
    required: &[LIMIT, WINDOW],
    options: &[&ALIGN, &COST, &MODE, &NAME],
};

/// `SLIDINGCOUNTER limit window`
pub const SLIDING_COUNTER: &Grammar = &Grammar {
    word: "SLIDINGCOUNTER",
    storage: Storage::Field(Algorithm::SlidingCounter),
    required: &[LIMIT, WINDOW],
    options: &[&COST, &MODE, &NAME],
};

/// `SLIDINGLOG limit window`
pub const SLIDING_LOG: &Grammar = &Grammar {
    word: "SLIDINGLOG",
    storage: Storage::Log,
    required: &[LIMIT, WINDOW],
    options: &[&COST, &MODE],
};

/// The limit that a caller calls `word`.
#[must_use]
#[inline]
pub fn limit_called(word: &[u8]) -> Option<&'static Grammar> {
    // One after the other with its name in sight, so that most cost no more than a comparison of lengths.
    macro_rules! find {
        ($($grammar:ident)+) => {
            $(if is(word, $grammar.word) {
                return Some($grammar);
            })+
        };
    }
    find!(TOKEN_BUCKET LEAKY_BUCKET FIXED SLIDING_COUNTER SLIDING_LOG);
    None
}

/// Words to be read one after the other.
pub struct Reader<'a, W> {
    words: &'a [W],
}

impl<'a, W: AsRef<[u8]>> Reader<'a, W> {
    /// Reads `words` from the first on.
    #[must_use]
    pub fn new(words: &'a [W]) -> Self {
        Self { words }
    }

    /// Whether all words are taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The next word, which stays; empty if there is none.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> &'a [u8] {
        self.words.first().map_or(&[], AsRef::as_ref)
    }

    /// Takes the next word; empty if there is none, which no argument accepts.
    #[inline]
    pub fn take(&mut self) -> &'a [u8] {
        self.take_key().map_or(&[], AsRef::as_ref)
    }

    /// Takes the next word, as it was given.
    #[inline]
    pub fn take_key(&mut self) -> Option<&'a W> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }
}

/// The options that a limit was given already.
#[derive(Default)]
struct Seen {
    align: bool,
    offset: bool,
    cost: bool,
    mode: bool,
    name: bool,
}

impl Grammar {
    /// Whether limits take options of this part.
    fn takes(&self, part: OptionPart) -> bool {
        self.options.iter().any(|choice| choice.part == part)
    }
}

impl<'w> Limit<'w> {
    /// Reads the words that come next in `reader`, up to the first that does not belong to this limit of `grammar`
    /// on the key of that index.
    ///
    /// # Errors
    ///
    /// The first word that is missing or wrong.
    #[inline(always)]
    pub fn read<W: AsRef<[u8]>>(
        grammar: &'static Grammar,
        key: usize,
        reader: &mut Reader<'w, W>,
    ) -> Result<Self, Error> {
        let mut terms = Terms { limit: 0, refill: 1, window: Span::ZERO, offset: None };
        for required in grammar.required {
            let word = reader.take();
            let name = required.help.name;
            match required.part {
                Part::Limit => terms.limit = whole(name, word, 0, MAX_UNITS)?,
                Part::Refill => terms.refill = whole(name, word, 1, MAX_UNITS)?,
                Part::Window => terms.window = duration(name, word, 1)?,
            }
        }
        let limit = Self { grammar, key, terms, cost: 1, mode: Mode::Whole, name: &[] };
        if reader.is_empty() {
            return Ok(limit);
        }
        // By value, so that a limit without options need not be kept in memory.
        let (limit, rest) = limit.with_options(Reader { words: reader.words })?;
        *reader = rest;
        // Said again, so that the compiler knows it here too.
        Ok(Self { grammar, key, ..limit })
    }

    /// Reads the options that come next, and answers what is left besides.
    fn with_options<W: AsRef<[u8]>>(
        mut self,
        mut reader: Reader<'w, W>,
    ) -> Result<(Self, Reader<'w, W>), Error> {
        let mut seen = Seen::default();
        loop {
            let word = reader.peek();
            let (part, seen_before) = if is(word, "COST") {
                (OptionPart::Cost, &mut seen.cost)
            } else if is(word, "AS") {
                (OptionPart::Name, &mut seen.name)
            } else if is(word, "FORCE") || is(word, "PARTIAL") {
                (OptionPart::Mode, &mut seen.mode)
            } else if is(word, "ALIGN") {
                (OptionPart::Align, &mut seen.align)
            } else if is(word, "OFFSET") {
                (OptionPart::Align, &mut seen.offset)
            } else {
                break;
            };
            if !self.grammar.takes(part) {
                break;
            }
            if std::mem::replace(seen_before, true) {
                return Err(Error::near(word));
            }
            reader.take();
            match part {
                OptionPart::Align if is(word, "ALIGN") => {
                    self.terms.offset = self.terms.offset.or(Some(Span::ZERO));
                }
                OptionPart::Align => self.terms.offset = Some(duration("OFFSET", reader.take(), 0)?),
                OptionPart::Cost => self.cost = whole("COST", reader.take(), -MAX_UNITS, MAX_UNITS)?,
                OptionPart::Mode if is(word, "FORCE") => self.mode = Mode::Force,
                OptionPart::Mode => self.mode = Mode::Partial,
                OptionPart::Name => self.name = name(reader.take())?,
            }
        }
        if seen.offset && !seen.align { Err(Error::OffsetAlone) } else { Ok((self, reader)) }
    }

    /// What is asked of the limiter.
    #[must_use]
    #[inline(always)]
    pub fn ask(&self) -> Ask {
        Ask { limit: self.terms.limit, cost: self.cost, mode: self.mode }
    }

    /// Whether both have the same state, if they are on the same key.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let tag = |limit: &Self| match limit.grammar.storage {
            Storage::Field(algorithm) => Some(algorithm.tag(&limit.terms)),
            Storage::Log => None,
        };
        self.terms.window == other.terms.window && self.name == other.name && tag(self) == tag(other)
    }

    /// The name of the field that holds the state: `<tag>:<window ms>[:name]`.
    #[must_use]
    pub fn field(&self, tag: Tag) -> Text {
        let mut field = Text::default();
        field.push(&tag).byte(b':').number(self.terms.window.floor_ms());
        if !self.name.is_empty() {
            field.byte(b':').push(self.name);
        }
        field
    }
}

/// Whether a word is the `expected` one, in any case.
#[must_use]
#[inline(always)]
pub fn is(word: &[u8], expected: &str) -> bool {
    // Most come as documented, and comparing those is an instruction or two.
    word.len() == expected.len()
        && (word == expected.as_bytes() || word.eq_ignore_ascii_case(expected.as_bytes()))
}

/// A whole number from `least` to `most`, called `name`.
///
/// # Errors
///
/// What `name` accepts.
#[inline(always)]
pub fn whole(name: &'static str, word: &[u8], least: i64, most: i64) -> Result<i64, Error> {
    let (digits, negative) = word.strip_prefix(b"-").map_or((word, false), |digits| (digits, true));
    text::number(digits)
        .map(|value| if negative { value.saturating_neg() } else { value })
        .filter(|value| (least..=most).contains(value))
        .ok_or(Error::Argument(name, Accepts::Whole(least, most)))
}

/// A duration of `least_ms` or more, called `name`.
#[inline(always)]
fn duration(name: &'static str, word: &[u8], least_ms: i64) -> Result<Span, Error> {
    let ms = match text::leading_number(word) {
        Some((count, b"ms")) => Some(count),
        Some((count, b"s")) => count.checked_mul(1000),
        Some((count, b"m")) => count.checked_mul(60_000),
        Some((count, b"h")) => count.checked_mul(3_600_000),
        Some((count, b"d")) => count.checked_mul(DAY_MS),
        _ => None,
    };
    ms.filter(|ms| (least_ms..=MAX_DURATION_DAYS.saturating_mul(DAY_MS)).contains(ms))
        .map(Span::from_ms)
        .ok_or(Error::Argument(name, Accepts::Duration(least_ms)))
}

const DAY_MS: i64 = 86_400_000;

/// A limiter's name.
fn name(word: &[u8]) -> Result<&[u8], Error> {
    let fits = (1..=MAX_NAME).contains(&word.len())
        && word.iter().all(|byte| IN_NAMES.get(usize::from(*byte)) == Some(&true));
    if fits { Ok(word) } else { Err(Error::Argument("AS", Accepts::Name)) }
}

/// Which bytes names may have.
#[allow(clippy::indexing_slicing, reason = "it happens when this is compiled")]
const IN_NAMES: [bool; 256] = {
    let mut in_names = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        in_names[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        byte = byte.saturating_add(1);
    }
    in_names
};

/// Whether a hash's field is a limiter's, as [`Limit::field`] names them.
#[must_use]
pub fn is_field(field: &[u8]) -> bool {
    let Some((tag, rest)) = text::split(field, b':') else {
        return false;
    };
    let window = text::split(rest, b':').map_or(rest, |(window, _)| window);
    Algorithm::any_has(tag) && text::number(window).is_some()
}
