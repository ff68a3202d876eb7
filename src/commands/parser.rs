//! Reads the words of limits, by their [`Grammar`].

use std::num::NonZeroUsize;

use super::error::{Accepts, Error, MAX_DURATION_DAYS, MAX_NAME};
use super::grammar::{Grammar, OptionPart};
use super::keys::{Keys, Role};
use crate::algorithms::decision::{Charge, Mode};
use crate::algorithms::{
    MAX_ID, MAX_MONTHS, MAX_UNITS, Quota, Span, Time, months_of, text, window_of_months,
};
use crate::state::Storage;

/// One limit that a caller names: what to hold to, and what to charge.
#[derive(Clone, Copy)]
pub struct Spec<'w> {
    /// The words it was written in.
    pub grammar: &'static Grammar,
    /// Which of the call's keys it is on.
    pub key: usize,
    /// What to hold to.
    pub quota: Quota,
    /// What to charge.
    pub charge: Charge,
    /// The name that tells it from others of its kind; may be empty. Of a lease, the holder's id.
    pub name: &'w [u8],
    /// What blocks it.
    pub block: Option<Block>,
    /// Which of the call's keys may hold numbers that take the place of its own.
    pub overridden_by: Option<NonZeroUsize>,
}

/// A block: a denial begins it, and while its key exists the limit denies every charge.
#[derive(Clone, Copy)]
pub struct Block {
    /// Which of the call's keys it is.
    pub key: NonZeroUsize,
    /// How long it lasts, if no one ends it.
    pub lasts: Span,
}

/// Words to be read one after the other, each once.
pub struct Reader<'w, W> {
    words: &'w [W],
    /// How many of them are taken.
    position: usize,
    /// The one after those.
    next: Option<&'w [u8]>,
}

impl<'w, W: AsRef<[u8]>> Reader<'w, W> {
    /// Reads all words of a command, from the one after its name on.
    #[must_use]
    pub fn new(words: &'w [W]) -> Self {
        Self { words, position: 1, next: words.get(1).map(AsRef::as_ref) }
    }

    /// The position of the next word among all.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// The next word, which stays; None if there is none.
    #[must_use]
    pub fn peek(&self) -> Option<&'w [u8]> {
        self.next
    }

    /// Takes the next word; None if there is none.
    pub fn take(&mut self) -> Option<&'w [u8]> {
        let word = self.next;
        // There are fewer words than numbers.
        self.position = self.position.wrapping_add(1);
        self.next = self.words.get(self.position).map(AsRef::as_ref);
        word
    }

    /// Takes the next word, as it was given.
    pub fn take_whole(&mut self) -> Option<&'w W> {
        let word = self.words.get(self.position);
        self.take();
        word
    }
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
    Block,
    Override,
    Renew,
}

impl OptionWord {
    /// The option that `word` begins. Each differs from the others in length or first letter, so one comparison tells.
    #[inline(always)]
    fn of(word: &[u8]) -> Option<Self> {
        let only = |option: Self| is(word, option.name()).then_some(option);
        match (word.len(), word.first()?.to_ascii_uppercase()) {
            (2, b'A') => only(Self::As),
            (4, b'C') => only(Self::Cost),
            (5, b'A') => only(Self::Align),
            (5, b'B') => only(Self::Block),
            (5, b'F') => only(Self::Force),
            (6, b'O') => only(Self::Offset),
            (5, b'R') => only(Self::Renew),
            (7, b'P') => only(Self::Partial),
            (8, b'O') => only(Self::Override),
            _ => None,
        }
    }

    #[inline(always)]
    fn name(self) -> &'static str {
        match self {
            Self::Align => "ALIGN",
            Self::Offset => "OFFSET",
            Self::Cost => "COST",
            Self::Force => "FORCE",
            Self::Partial => "PARTIAL",
            Self::As => "AS",
            Self::Block => BLOCK,
            Self::Override => OVERRIDE,
            Self::Renew => "RENEW",
        }
    }

    /// What it belongs to.
    fn part(self) -> OptionPart {
        match self {
            Self::Align | Self::Offset => OptionPart::Align,
            Self::Cost => OptionPart::Cost,
            Self::Force | Self::Partial => OptionPart::Mode,
            Self::As => OptionPart::Name,
            Self::Block => OptionPart::Block,
            Self::Override => OptionPart::Override,
            Self::Renew => OptionPart::Renew,
        }
    }

    /// A bit of its own.
    fn bit(self) -> u16 {
        1_u16.wrapping_shl(self as u32)
    }
}

impl<'w> Spec<'w> {
    /// A limit of `grammar`, on the key of that index, whose words are still to be read.
    #[must_use]
    #[inline(always)]
    pub fn new(grammar: &'static Grammar, key: usize) -> Self {
        Self {
            grammar,
            key,
            quota: Quota { limit: 0, refill: 1, window: Span::ZERO, origin: None },
            charge: Charge { cost: 1, mode: Mode::Whole },
            name: &[],
            block: None,
            overridden_by: None,
        }
    }

    /// Reads the words that come next in `reader`, up to the first that does not belong to this limit. The keys among them
    /// are added to `keys`.
    ///
    /// # Errors
    ///
    /// The first word that is missing or wrong.
    #[inline(always)]
    pub fn read<W: AsRef<[u8]>>(
        &mut self,
        reader: &mut Reader<'w, W>,
        keys: &mut impl Keys<'w>,
    ) -> Result<(), Error> {
        let Grammar { limit, refill, .. } = self.grammar;
        self.quota.limit = whole(limit.name, reader.take(), 0, MAX_UNITS)?;
        if let Some(refill) = refill {
            self.quota.refill = whole(refill.name, reader.take(), 1, MAX_UNITS)?;
        }
        let word = reader.take();
        let Some(window) = word.and_then(|word| span(word, 1)) else {
            return self.read_months(word, reader, keys);
        };
        self.quota.window = window;
        if let Some(id) = &self.grammar.id {
            self.name = holder_id(id.name, reader.take())?;
        }
        if reader.peek().is_some() { self.read_options(reader, keys) } else { Ok(()) }
    }

    /// Goes on where `word`, which must be a window, is none that is measured in time.
    #[cold]
    #[inline(never)]
    fn read_months<W: AsRef<[u8]>>(
        &mut self,
        word: Option<&[u8]>,
        reader: &mut Reader<'w, W>,
        keys: &mut impl Keys<'w>,
    ) -> Result<(), Error> {
        let name = self.grammar.window.name;
        if !self.grammar.has(OptionPart::Align) {
            // Months are none here: this tells what is.
            return duration(name, word, 1).map(|_| ());
        }
        let count = word.and_then(|word| text::number(word.strip_suffix(b"mo")?));
        let Some(count) = count.filter(|count| (1..=MAX_MONTHS).contains(count)) else {
            return Err(Error::argument(name, Accepts::DurationOrMonths, word));
        };
        self.quota.window = window_of_months(count);
        self.read_options(reader, keys)?;
        if self.quota.origin.is_some() { Ok(()) } else { Err(Error::MonthsNotAligned(name)) }
    }

    /// Whether both have the same state, if they are on the same key.
    #[must_use]
    pub fn has_state_of(&self, other: &Self) -> bool {
        let tag = |spec: &Self| match &spec.grammar.storage {
            Storage::Field(algorithm) => Some(algorithm.tag(&spec.quota)),
            Storage::Log | Storage::Leases => None,
        };
        self.quota.window == other.quota.window && self.name == other.name && tag(self) == tag(other)
    }

    /// Reads the options that come next.
    fn read_options<W: AsRef<[u8]>>(
        &mut self,
        reader: &mut Reader<'w, W>,
        keys: &mut impl Keys<'w>,
    ) -> Result<(), Error> {
        let mut seen = 0;
        let (mut is_aligned, mut origin) = (false, None);
        while let Some(word) = reader.peek() {
            let Some(option) = OptionWord::of(word).filter(|option| self.grammar.has(option.part())) else {
                break;
            };
            let name = option.name();
            if seen & option.bit() != 0 {
                return Err(Error::OptionTwice(name));
            }
            seen |= option.bit();
            reader.take();
            match option {
                OptionWord::Align => is_aligned = true,
                OptionWord::Offset => origin = Some(offset(name, reader.take(), self.quota.window)?),
                OptionWord::Cost => self.charge.cost = whole(name, reader.take(), -MAX_UNITS, MAX_UNITS)?,
                OptionWord::Force | OptionWord::Partial if self.charge.mode != Mode::Whole => {
                    return Err(Error::TwoModes);
                }
                OptionWord::Force => self.charge.mode = Mode::Force,
                OptionWord::Partial => self.charge.mode = Mode::Partial,
                OptionWord::Renew => self.charge.mode = Mode::Renew,
                OptionWord::As => self.name = limiter_name(name, reader.take())?,
                OptionWord::Block => self.block = Some(read_block(reader, keys)?),
                OptionWord::Override => {
                    self.overridden_by = Some(read_key(reader, keys, name, Accepts::Key, Role::Override)?);
                }
            }
        }
        match (is_aligned, origin) {
            (false, Some(_)) => Err(Error::OffsetAlone),
            (false, None) => Ok(()),
            (true, origin) => {
                self.quota.origin = Some(origin.unwrap_or(Time::from_us(0)));
                Ok(())
            }
        }
    }
}

/// Reads what follows `BLOCK`.
fn read_block<'w, W: AsRef<[u8]>>(
    reader: &mut Reader<'w, W>,
    keys: &mut impl Keys<'w>,
) -> Result<Block, Error> {
    let key = read_key(reader, keys, BLOCK, Accepts::KeyAndDuration, Role::Block)?;
    Ok(Block { key, lasts: duration("duration of BLOCK", reader.take(), 1)? })
}

/// Reads the name of a key that follows `option`, which accepts it with what may come after it.
fn read_key<'w, W: AsRef<[u8]>>(
    reader: &mut Reader<'w, W>,
    keys: &mut impl Keys<'w>,
    option: &'static str,
    accepts: Accepts,
    role: Role,
) -> Result<NonZeroUsize, Error> {
    let position = reader.position();
    let Some(name) = reader.take() else { return Err(Error::Missing(option, accepts)) };
    // Servers look for keys behind these words, and would take the next word for one.
    if is(name, BLOCK) || is(name, OVERRIDE) {
        return Err(Error::argument(option, accepts, Some(name)));
    }
    keys.add_other(position, name, role)
}

/// Whether a word is the `expected` one, which is in capitals, in any case.
#[must_use]
#[inline(always)]
pub fn is(word: &[u8], expected: &str) -> bool {
    let expected = expected.as_bytes();
    let alike = |letter: Option<&u8>, expected: Option<&u8>| match (letter, expected) {
        (Some(letter), Some(expected)) => letter.to_ascii_uppercase() == *expected,
        _ => false,
    };
    // Most that are not it differ in length, or in the first or last letter; most that are it come as documented.
    word.len() == expected.len()
        && alike(word.first(), expected.first())
        && alike(word.last(), expected.last())
        && (word == expected || word.eq_ignore_ascii_case(expected))
}

/// A whole number from `least` to `most`, called `name`.
///
/// # Errors
///
/// What `name` accepts.
#[inline(always)]
pub fn whole(name: &'static str, word: Option<&[u8]>, least: i64, most: i64) -> Result<i64, Error> {
    let parse = |word: &[u8]| match word.strip_prefix(b"-") {
        Some(digits) => text::number(digits).map(i64::saturating_neg),
        None => text::number(word),
    };
    word.and_then(parse)
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| Error::argument(name, Accepts::Whole(least, most), word))
}

/// A duration of `least_ms` or more, called `name`.
fn duration(name: &'static str, word: Option<&[u8]>, least_ms: i64) -> Result<Span, Error> {
    word.and_then(|word| span(word, least_ms))
        .ok_or_else(|| Error::argument(name, Accepts::Duration(least_ms), word))
}

/// A duration of `least_ms` or more.
#[inline(always)]
fn span(word: &[u8], least_ms: i64) -> Option<Span> {
    milliseconds(word).filter(|ms| (least_ms..=MAX_DURATION_MS).contains(ms)).map(Span::from_ms)
}

/// A whole number with a unit, in milliseconds.
#[inline(always)]
fn milliseconds(word: &[u8]) -> Option<i64> {
    let (count, unit) = text::leading_number(word)?;
    let unit_ms = match unit {
        b"ms" => 1,
        b"s" => 1000,
        b"m" => 60_000,
        b"h" => 3_600_000,
        b"d" => DAY_MS,
        _ => return None,
    };
    count.checked_mul(unit_ms)
}

/// Where windows that last `window` begin, by their offset from the Unix epoch, called `name`.
fn offset(name: &'static str, word: Option<&[u8]>, window: Span) -> Result<Time, Error> {
    let (range, accepts) = match months_of(window) {
        None => (-MAX_DURATION_MS..=MAX_DURATION_MS, Accepts::Offset),
        // Less than a month has, so that they begin in the months that they are named after, in any time zone.
        Some(_) => (-DAY_MS..=27 * DAY_MS, Accepts::OffsetOfMonths),
    };
    let parse = |word: &[u8]| match word.strip_prefix(b"-") {
        Some(duration) => milliseconds(duration).map(i64::saturating_neg),
        None => milliseconds(word),
    };
    word.and_then(parse)
        .filter(|ms| range.contains(ms))
        .map(|ms| Time::from_us(ms.saturating_mul(1000)))
        .ok_or_else(|| Error::argument(name, accepts, word))
}

const MAX_DURATION_MS: i64 = MAX_DURATION_DAYS * DAY_MS;
const DAY_MS: i64 = 86_400_000;

/// The word before a further key and its limits.
pub const KEY: &str = "KEY";

/// The word before the key of a block.
pub const BLOCK: &str = "BLOCK";

/// The word before the key of an override.
pub const OVERRIDE: &str = "OVERRIDE";

/// Names that would be taken for the words before a key, where key positions are looked for.
const NOT_NAMES: [&str; 3] = [KEY, BLOCK, OVERRIDE];

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

/// A limiter's name.
fn limiter_name<'w>(option: &'static str, word: Option<&'w [u8]>) -> Result<&'w [u8], Error> {
    let fits = |word: &&[u8]| {
        (1..=MAX_NAME).contains(&word.len())
            && word.iter().all(|byte| IN_NAMES.get(usize::from(*byte)) == Some(&true))
            && !NOT_NAMES.iter().any(|name| is(word, name))
    };
    word.filter(fits).ok_or_else(|| Error::argument(option, Accepts::Name, word))
}

/// The id of a lease's holder: any bytes.
///
/// # Errors
///
/// What it accepts.
pub fn holder_id<'w>(name: &'static str, word: Option<&'w [u8]>) -> Result<&'w [u8], Error> {
    let fits = |word: &&[u8]| (1..=MAX_ID).contains(&word.len());
    word.filter(fits).ok_or_else(|| Error::argument(name, Accepts::Id, word))
}
