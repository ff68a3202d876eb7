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

/// The words of one algorithm's limits: what must come, in this order, and what may follow.
pub struct Grammar {
    /// The algorithm's name; a command is `RL.` and it.
    pub word: &'static str,
    /// Where its state lives.
    pub storage: Storage,
    /// The most units: a limit or a capacity.
    limit: Argument,
    /// What comes back each period, of buckets.
    refill: Option<Argument>,
    /// The window or period.
    window: Argument,
    /// The words that may follow.
    options: &'static [&'static Choice],
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
    limit: CAPACITY,
    refill: Some(REFILL),
    window: PERIOD,
    options: &[&COST, &MODE, &NAME],
};

/// `LEAKYBUCKET capacity leak period`
pub const LEAKY_BUCKET: &Grammar = &Grammar {
    word: "LEAKYBUCKET",
    storage: Storage::Field(Algorithm::LeakyBucket),
    limit: CAPACITY,
    refill: Some(LEAK),
    window: PERIOD,
    options: &[&COST, &MODE, &NAME],
};

/// `FIXED limit window [ALIGN [OFFSET d]]`
pub const FIXED: &Grammar = &Grammar {
    word: "FIXED",
    storage: Storage::Field(Algorithm::FixedWindow),
    limit: LIMIT,
    refill: None,
    window: WINDOW,
    options: &[&ALIGN, &COST, &MODE, &NAME],
};

/// `SLIDINGCOUNTER limit window`
pub const SLIDING_COUNTER: &Grammar = &Grammar {
    word: "SLIDINGCOUNTER",
    storage: Storage::Field(Algorithm::SlidingCounter),
    limit: LIMIT,
    refill: None,
    window: WINDOW,
    options: &[&COST, &MODE, &NAME],
};

/// `SLIDINGLOG limit window`
pub const SLIDING_LOG: &Grammar = &Grammar {
    word: "SLIDINGLOG",
    storage: Storage::Log,
    limit: LIMIT,
    refill: None,
    window: WINDOW,
    options: &[&COST, &MODE],
};

/// Evaluates an expression with the grammar that a caller calls `word`, each time as a constant, so that the compiler
/// makes a straight way of each; None if there is none.
macro_rules! with_grammar_called {
    ($word:expr, |$grammar:ident| $then:expr) => {
        $crate::commands::grammar::with_grammar_called!(
            $word, $grammar, $then, TOKEN_BUCKET LEAKY_BUCKET FIXED SLIDING_COUNTER SLIDING_LOG
        )
    };
    ($word:expr, $grammar:ident, $then:expr, $($named:ident)+) => {
        $(if $crate::commands::grammar::is($word, $crate::commands::grammar::$named.word) {
            let $grammar = $crate::commands::grammar::$named;
            Some($then)
        } else)+ {
            None
        }
    };
}

pub(super) use with_grammar_called;

/// Words to be read one after the other, each once.
pub struct Reader<'w, W> {
    words: &'w [W],
    /// The first of them; empty if there is none.
    next: &'w [u8],
}

impl<'w, W: AsRef<[u8]>> Reader<'w, W> {
    /// Reads `words` from the first on.
    #[must_use]
    #[inline(always)]
    pub fn new(words: &'w [W]) -> Self {
        Self { words, next: words.first().map_or(&[], AsRef::as_ref) }
    }

    /// Whether all words are taken.
    #[must_use]
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The next word, which stays; empty if there is none.
    #[must_use]
    #[inline(always)]
    pub fn peek(&self) -> &'w [u8] {
        self.next
    }

    /// Takes the next word; empty if there is none, which no argument accepts.
    #[inline(always)]
    pub fn take(&mut self) -> &'w [u8] {
        let word = self.next;
        *self = Self::new(self.words.get(1..).unwrap_or_default());
        word
    }

    /// Takes the next word, as it was given.
    #[inline(always)]
    pub fn take_key(&mut self) -> Option<&'w W> {
        let key = self.words.first();
        self.take();
        key
    }
}

/// What the options of a limit say.
struct Options<'w> {
    offset: Option<Span>,
    cost: i64,
    mode: Mode,
    name: &'w [u8],
}

impl Options<'_> {
    /// As they are without any.
    const NONE: Self = Self { offset: None, cost: 1, mode: Mode::Whole, name: &[] };
}

/// A word that begins an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OptionWord {
    Align,
    Offset,
    Cost,
    Force,
    Partial,
    As,
}

impl OptionWord {
    #[inline(always)]
    fn called(word: &[u8]) -> Option<Self> {
        // One after the other with its name in sight: then their lengths tell most of them apart at once.
        macro_rules! find {
            ($($name:literal is $option:ident)+) => {
                $(if is(word, $name) { Some(Self::$option) } else)+ { None }
            };
        }
        find!("COST" is Cost "AS" is As "FORCE" is Force "PARTIAL" is Partial "ALIGN" is Align "OFFSET" is Offset)
    }

    fn part(self) -> OptionPart {
        match self {
            Self::Align | Self::Offset => OptionPart::Align,
            Self::Cost => OptionPart::Cost,
            Self::Force | Self::Partial => OptionPart::Mode,
            Self::As => OptionPart::Name,
        }
    }

    /// A bit that only options have in common which cannot come together.
    fn bit(self) -> u8 {
        match self {
            Self::Align => 1,
            Self::Offset => 2,
            Self::Cost => 4,
            Self::Force | Self::Partial => 8,
            Self::As => 16,
        }
    }
}

impl Grammar {
    /// The arguments after the key, as COMMAND DOCS shows them.
    pub fn arguments(&'static self) -> impl Iterator<Item = &'static Argument> {
        let required = [Some(&self.limit), self.refill.as_ref(), Some(&self.window)];
        required.into_iter().flatten().chain(self.options.iter().map(|choice| &choice.help))
    }

    /// The option that begins with `word`, if limits take it.
    #[inline(always)]
    fn option_called(&self, word: &[u8]) -> Option<OptionWord> {
        OptionWord::called(word)
            .filter(|option| self.options.iter().any(|choice| choice.part == option.part()))
    }

    /// Reads the options that come next, the first of which is `first`, and answers what is left besides.
    fn read_options<'w, W: AsRef<[u8]>>(
        &self,
        first: OptionWord,
        mut reader: Reader<'w, W>,
    ) -> Result<(Options<'w>, Reader<'w, W>), Error> {
        let mut options = Options::NONE;
        let mut seen = 0;
        let mut next = Some(first);
        while let Some(option) = next {
            let word = reader.take();
            if seen & option.bit() != 0 {
                return Err(Error::near(word));
            }
            seen |= option.bit();
            match option {
                OptionWord::Align => options.offset = options.offset.or(Some(Span::ZERO)),
                OptionWord::Offset => options.offset = Some(duration("OFFSET", reader.take(), 0)?),
                OptionWord::Cost => options.cost = whole("COST", reader.take(), -MAX_UNITS, MAX_UNITS)?,
                OptionWord::Force => options.mode = Mode::Force,
                OptionWord::Partial => options.mode = Mode::Partial,
                OptionWord::As => options.name = name(reader.take())?,
            }
            next = self.option_called(reader.peek());
        }
        if seen & (OptionWord::Align.bit() | OptionWord::Offset.bit()) == OptionWord::Offset.bit() {
            return Err(Error::OffsetAlone);
        }
        Ok((options, reader))
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
        let limit = whole(grammar.limit.name, reader.take(), 0, MAX_UNITS)?;
        let refill = match &grammar.refill {
            Some(refill) => whole(refill.name, reader.take(), 1, MAX_UNITS)?,
            None => 1,
        };
        let window = duration(grammar.window.name, reader.take(), 1)?;
        let mut options = Options::NONE;
        if !reader.is_empty()
            && let Some(first) = grammar.option_called(reader.peek())
        {
            // By value, so that a limit without options need not be kept in memory.
            (options, *reader) = grammar.read_options(first, Reader { ..*reader })?;
        }
        let Options { offset, cost, mode, name } = options;
        Ok(Self { grammar, key, terms: Terms { limit, refill, window, offset }, cost, mode, name })
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
}

/// The name of the field that holds a limiter's state: `<tag>:<window ms>[:name]`.
#[must_use]
pub fn field(tag: Tag, window: Span, name: &[u8]) -> Text {
    let mut field = Text::default();
    field.push(&tag).byte(b':').number(window.floor_ms());
    if !name.is_empty() {
        field.byte(b':').push(name);
    }
    field
}

/// Whether a word is the `expected` one, which is in capitals, in any case.
#[must_use]
#[inline(always)]
pub fn is(word: &[u8], expected: &str) -> bool {
    // Most that are not it differ in length or in the last letter; most that are it come as documented.
    word.len() == expected.len()
        && word.last().map(u8::to_ascii_uppercase) == expected.as_bytes().last().copied()
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

/// Whether a hash's field is a limiter's, as [`field`] names them.
#[must_use]
pub fn is_field(field: &[u8]) -> bool {
    let Some((tag, rest)) = text::split(field, b':') else {
        return false;
    };
    let window = text::split(rest, b':').map_or(rest, |(window, _)| window);
    Algorithm::any_has(tag) && text::number(window).is_some()
}
