//! The words of a limit: which an algorithm takes, what they mean, and how they are read.
//!
//! The parser and the server's help both go by the [`Grammar`] of an algorithm.

use crate::algorithms::decision::{Ask, Mode};
use crate::algorithms::text::{self, Text};
use crate::algorithms::{Algorithm, MAX_UNITS, Span, Terms};
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
#[derive(Clone, Copy)]
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

/// `TOKENBUCKET capacity refill period`
pub static TOKEN_BUCKET: Grammar = Grammar {
    word: "TOKENBUCKET",
    storage: Storage::Field(Algorithm::TokenBucket),
    required: &[CAPACITY, REFILL, PERIOD],
    options: &[&COST, &MODE, &NAME],
};

/// `LEAKYBUCKET capacity leak period`
pub static LEAKY_BUCKET: Grammar = Grammar {
    word: "LEAKYBUCKET",
    storage: Storage::Field(Algorithm::LeakyBucket),
    required: &[CAPACITY, LEAK, PERIOD],
    options: &[&COST, &MODE, &NAME],
};

/// `FIXED limit window [ALIGN [OFFSET d]]`
pub static FIXED: Grammar = Grammar {
    word: "FIXED",
    storage: Storage::Field(Algorithm::FixedWindow),
    required: &[LIMIT, WINDOW],
    options: &[&ALIGN, &COST, &MODE, &NAME],
};

/// `SLIDINGCOUNTER limit window`
pub static SLIDING_COUNTER: Grammar = Grammar {
    word: "SLIDINGCOUNTER",
    storage: Storage::Field(Algorithm::SlidingCounter),
    required: &[LIMIT, WINDOW],
    options: &[&COST, &MODE, &NAME],
};

/// `SLIDINGLOG limit window`
pub static SLIDING_LOG: Grammar = Grammar {
    word: "SLIDINGLOG",
    storage: Storage::Log,
    required: &[LIMIT, WINDOW],
    options: &[&COST, &MODE],
};

/// All limits that a caller can name.
pub static LIMITS: [&Grammar; 5] = [&TOKEN_BUCKET, &LEAKY_BUCKET, &FIXED, &SLIDING_COUNTER, &SLIDING_LOG];

/// Words to be read one after the other.
pub struct Reader<'a, W> {
    words: &'a [W],
    /// The bytes of the first word; none if there is no word.
    next: &'a [u8],
}

impl<'a, W: AsRef<[u8]>> Reader<'a, W> {
    /// Reads `words` from the first on.
    #[must_use]
    pub fn new(words: &'a [W]) -> Self {
        Self { words, next: words.first().map_or(&[], AsRef::as_ref) }
    }

    /// Whether all words are taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The next word, which stays; empty if there is none.
    #[must_use]
    pub fn peek(&self) -> &'a [u8] {
        self.next
    }

    /// Takes the next word; empty if there is none, which no argument accepts.
    pub fn take(&mut self) -> &'a [u8] {
        let taken = self.next;
        *self = Self::new(self.words.get(1..).unwrap_or_default());
        taken
    }

    /// Takes the next word, as it was given.
    pub fn take_key(&mut self) -> Option<&'a W> {
        let first = self.words.first();
        self.take();
        first
    }

    /// Takes the next word if it is `expected`, in any case.
    pub fn take_if(&mut self, expected: &str) -> Option<&'a [u8]> {
        self.next.eq_ignore_ascii_case(expected.as_bytes()).then(|| self.take())
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

impl<'w> Limit<'w> {
    /// A limit of `grammar` on the key of that index, whose words are still to be read.
    #[must_use]
    pub fn new(grammar: &'static Grammar, key: usize) -> Self {
        let terms = Terms { limit: 0, refill: 1, window: Span::ZERO, offset: None };
        Self { grammar, key, terms, cost: 1, mode: Mode::Whole, name: &[] }
    }

    /// Reads the words that come next in `reader`, up to the first that does not belong to this limit.
    ///
    /// # Errors
    ///
    /// The first word that is missing or wrong.
    pub fn read<W: AsRef<[u8]>>(&mut self, reader: &mut Reader<'w, W>) -> Result<(), Error> {
        for required in self.grammar.required {
            let word = reader.take();
            let name = required.help.name;
            match required.part {
                Part::Limit => self.terms.limit = whole(name, word, 0, MAX_UNITS)?,
                Part::Refill => self.terms.refill = whole(name, word, 1, MAX_UNITS)?,
                Part::Window => self.terms.window = duration(name, word, 1)?,
            }
        }
        let mut seen = Seen::default();
        'options: while !reader.is_empty() {
            for choice in self.grammar.options {
                if self.read_option(choice.part, reader, &mut seen)? {
                    continue 'options;
                }
            }
            break;
        }
        if seen.offset && !seen.align { Err(Error::OffsetAlone) } else { Ok(()) }
    }

    /// What is asked of the limiter.
    #[must_use]
    pub fn ask(&self) -> Ask {
        Ask { limit: self.terms.limit, cost: self.cost, mode: self.mode }
    }

    /// Whether both have the same state, if they are on the same key.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.tag() == other.tag() && self.terms.window == other.terms.window && self.name == other.name
    }

    /// The prefix of the field that holds the state; empty for a log.
    #[must_use]
    pub fn tag(&self) -> &'static str {
        match self.grammar.storage {
            Storage::Field(algorithm) => algorithm.tag(&self.terms),
            Storage::Log => "",
        }
    }

    /// The name of the field that holds the state: `<tag>:<window ms>[:name]`.
    #[must_use]
    pub fn field(&self) -> Text {
        let mut field = Text::default();
        field.push(self.tag().as_bytes()).byte(b':').number(self.terms.window.floor_ms());
        if !self.name.is_empty() {
            field.byte(b':').push(self.name);
        }
        field
    }

    /// Reads an option of this part, if that is what comes next.
    fn read_option<W: AsRef<[u8]>>(
        &mut self,
        part: OptionPart,
        reader: &mut Reader<'w, W>,
        seen: &mut Seen,
    ) -> Result<bool, Error> {
        let once = |seen: &mut bool, word: &[u8]| {
            if std::mem::replace(seen, true) { Err(Error::near(word)) } else { Ok(()) }
        };
        match part {
            OptionPart::Align => {
                if let Some(word) = reader.take_if("ALIGN") {
                    once(&mut seen.align, word)?;
                    self.terms.offset = self.terms.offset.or(Some(Span::ZERO));
                } else if let Some(word) = reader.take_if("OFFSET") {
                    once(&mut seen.offset, word)?;
                    self.terms.offset = Some(duration("OFFSET", reader.take(), 0)?);
                } else {
                    return Ok(false);
                }
            }
            OptionPart::Cost => {
                let Some(word) = reader.take_if("COST") else {
                    return Ok(false);
                };
                once(&mut seen.cost, word)?;
                self.cost = whole("COST", reader.take(), -MAX_UNITS, MAX_UNITS)?;
            }
            OptionPart::Mode => {
                for (token, mode) in [("FORCE", Mode::Force), ("PARTIAL", Mode::Partial)] {
                    if let Some(word) = reader.take_if(token) {
                        once(&mut seen.mode, word)?;
                        self.mode = mode;
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            OptionPart::Name => {
                let Some(word) = reader.take_if("AS") else {
                    return Ok(false);
                };
                once(&mut seen.name, word)?;
                self.name = name(reader.take())?;
            }
        }
        Ok(true)
    }
}

/// A whole number from `least` to `most`, called `name`.
///
/// # Errors
///
/// What `name` accepts.
pub fn whole(name: &'static str, word: &[u8], least: i64, most: i64) -> Result<i64, Error> {
    let value = match word.strip_prefix(b"-") {
        Some(digits) => text::number(digits).map(i64::saturating_neg),
        None => text::number(word),
    };
    value
        .filter(|value| (least..=most).contains(value))
        .ok_or(Error::Argument(name, Accepts::Whole(least, most)))
}

/// A duration of `least_ms` or more, called `name`.
fn duration(name: &'static str, word: &[u8], least_ms: i64) -> Result<Span, Error> {
    let unit_at = word.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at_checked(unit_at).unwrap_or((word, &[]));
    let unit_ms = match unit {
        b"ms" => Some(1),
        b"s" => Some(1000),
        b"m" => Some(60_000),
        b"h" => Some(3_600_000),
        b"d" => Some(DAY_MS),
        _ => None,
    };
    text::number(digits)
        .zip(unit_ms)
        .and_then(|(count, unit_ms)| count.checked_mul(unit_ms))
        .filter(|ms| (least_ms..=MAX_DURATION_DAYS.saturating_mul(DAY_MS)).contains(ms))
        .map(Span::from_ms)
        .ok_or(Error::Argument(name, Accepts::Duration(least_ms)))
}

const DAY_MS: i64 = 86_400_000;

/// A limiter's name.
fn name(word: &[u8]) -> Result<&[u8], Error> {
    let fits = (1..=MAX_NAME).contains(&word.len())
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte));
    if fits { Ok(word) } else { Err(Error::Argument("AS", Accepts::Name)) }
}

/// Whether a hash's field is a limiter's, as [`Limit::field`] names them.
#[must_use]
pub fn is_field(field: &[u8]) -> bool {
    let Some((tag, rest)) = text::split(field, b':') else {
        return false;
    };
    let window = text::split(rest, b':').map_or(rest, |(window, _)| window);
    Algorithm::any_has(tag) && text::number(window).is_some()
}
