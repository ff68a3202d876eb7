//! Every error that a command answers, each with its text.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use crate::algorithms::{MAX_ID, MAX_MONTHS, MAX_UNITS, MAX_USED};
use crate::server::{Kind, NoAccess, Reply, ReplyWriter};
use crate::state::StateError;

/// Why a call is answered with an error. Nothing is changed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Too few words, or too many.
    WrongArity,
    /// A word that cannot stand where it stands.
    Syntax(Shown),
    /// An argument outside of what it accepts: its name, that, and what it was.
    Argument(&'static str, Accepts, Shown),
    /// An argument that is not there: its name, and what it accepts.
    Missing(&'static str, Accepts),
    /// The same option twice.
    OptionTwice(&'static str),
    /// `FORCE` beside `PARTIAL`.
    TwoModes,
    /// `OFFSET` without `ALIGN`.
    OffsetAlone,
    /// A window of months without `ALIGN`: the argument's name.
    MonthsNotAligned(&'static str),
    /// A mode that the command does not have: the mode, the command.
    ModeNotHere(&'static str, &'static str),
    /// A word where the name of an algorithm must stand: what it was, and the names there are.
    UnknownAlgorithm(Shown, String),
    /// A word after a limit that belongs to nothing: what it was, the limit's algorithm, and the names there are.
    Stray(Shown, &'static str, String),
    /// No word where the name of an algorithm must stand: the names there are.
    NoAlgorithm(String),
    /// `KEY` at the end.
    NoKey,
    /// More limits than one call takes.
    TooManyLimits,
    /// The same limit twice in one call.
    SameLimitTwice(&'static str),
    /// A sliding log and another limit on one key.
    LogNotAlone,
    /// A lease and another limit on one key.
    LeaseNotAlone,
    /// A key in two roles: its name.
    TwoRoles(Shown),
    /// The key of an override holds anything else: its name, what the number is, whether a bucket's refill may follow, and
    /// what it holds if that is a string.
    BadOverride(Shown, &'static str, bool, Option<Shown>),
    /// The server did not create a block.
    NoBlock,
    /// What keeps a limiter from being read or stored; its algorithm's name, if that has its keys alone.
    State(StateError, Option<&'static str>),
    /// The call must not touch its keys.
    NoAccess(NoAccess),
    /// Any of these, in one of several limits: its number from 1 on, its algorithm's name, and what.
    InLimit(usize, &'static str, Box<Error>),
}

/// What an argument accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// A whole number between two others.
    Whole(i64, i64),
    /// A duration with a unit, from so many milliseconds on.
    Duration(i64),
    /// The same, or calendar months.
    DurationOrMonths,
    /// How far windows are shifted, either way.
    Offset,
    /// How far windows of months are shifted.
    OffsetOfMonths,
    /// A limiter's name.
    Name,
    /// A key.
    Key,
    /// A key, and a duration after it.
    KeyAndDuration,
    /// The id of a lease's holder.
    Id,
}

/// A caller's word as errors repeat it: the beginning of it, escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(Vec<u8>);

/// The longest limit window, period and offset.
pub const MAX_DURATION_DAYS: i64 = 3660;

/// The longest name of a limiter.
pub const MAX_NAME: usize = 32;

/// The most limits that one call takes.
pub const MAX_LIMITS: usize = 64;

/// How much of a word an error repeats, in bytes.
const SHOWN: usize = 64;

/// What durations are.
const WITH_UNIT: &str = "a whole number with a unit ms, s, m, h or d";

/// The server's texts for errors that it answers by itself elsewhere.
const WRONG_TYPE: &str = "Operation against a key holding the wrong kind of value";

/// A key of the type that a limiter lives in, which holds something else.
const OTHER_DATA: &str = "key holds other data";

impl Shown {
    /// The beginning of `word`.
    #[must_use]
    pub fn of(word: &[u8]) -> Self {
        Self(word.iter().copied().take(SHOWN).collect())
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.escape_ascii())
    }
}

impl Error {
    /// An unexpected word.
    #[must_use]
    pub fn near(word: &[u8]) -> Self {
        Self::Syntax(Shown::of(word))
    }

    /// What an argument called `name` was, and what it accepts.
    #[must_use]
    pub fn argument(name: &'static str, accepts: Accepts, word: Option<&[u8]>) -> Self {
        match word {
            Some(word) => Self::Argument(name, accepts, Shown::of(word)),
            None => Self::Missing(name, accepts),
        }
    }

    /// This error, in the limit of that index among several.
    #[must_use]
    pub fn in_limit(self, index: usize, algorithm: &'static str) -> Self {
        Self::InLimit(index.saturating_add(1), algorithm, Box::new(self))
    }

    /// The first word of the reply, by which clients tell errors apart.
    fn code(&self) -> &'static str {
        match self {
            Self::State(StateError::WrongType(_), _) => "WRONGTYPE",
            Self::NoAccess(NoAccess::NoPermission) => "NOPERM",
            Self::NoAccess(NoAccess::CrossSlot) => "CROSSSLOT",
            Self::NoAccess(NoAccess::TryAgain) => "TRYAGAIN",
            Self::InLimit(_, _, error) => error.code(),
            _ => "ERR",
        }
    }

    /// The rest of it.
    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::WrongArity => "wrong number of arguments".into(),
            Self::Syntax(near) => format!("syntax error near {near}").into(),
            Self::Argument(name, accepts, got) => format!("{name} must be {accepts}, not {got}").into(),
            Self::Missing(option, accepts)
                if option.starts_with(|letter: char| letter.is_ascii_uppercase()) =>
            {
                format!("{option} must be followed by {accepts}").into()
            }
            Self::Missing(name, accepts) => format!("{name} is missing: it must be {accepts}").into(),
            Self::OptionTwice(option) => format!("{option} must not be given twice").into(),
            Self::TwoModes => "FORCE and PARTIAL exclude each other: give one of them".into(),
            Self::OffsetAlone => "OFFSET must come with ALIGN: ALIGN OFFSET <duration>".into(),
            Self::MonthsNotAligned(name) => {
                format!("{name} of months must be aligned to the calendar: add ALIGN").into()
            }
            Self::ModeNotHere(mode, command) => format!("{mode} is not possible in {command}").into(),
            Self::UnknownAlgorithm(got, all) => {
                format!("a limit must begin with its algorithm, one of {all}, not {got}").into()
            }
            Self::Stray(got, algorithm, all) => format!(
                "syntax error near {got}: it is no option of {algorithm}, nor KEY, nor an algorithm ({all})"
            )
            .into(),
            Self::NoAlgorithm(all) => {
                format!("a limit is missing: it must begin with its algorithm, one of {all}").into()
            }
            Self::NoKey => "KEY must be followed by a key and its limits".into(),
            Self::TooManyLimits => format!("at most {MAX_LIMITS} limits are possible in one call").into(),
            Self::SameLimitTwice(limit) => {
                format!("the same {limit} is given twice: give one of them a name with AS").into()
            }
            Self::LogNotAlone => {
                "a SLIDINGLOG must have its key alone: give the other limits another key".into()
            }
            Self::LeaseNotAlone => {
                "a LEASE must have its key alone: give the other limits another key".into()
            }
            Self::TwoRoles(key) => {
                format!("key {key} must have one use in a call: a limit's, a BLOCK's or an OVERRIDE's").into()
            }
            Self::BadOverride(key, limit, has_refill, got) => {
                of_override(key, limit, *has_refill, got.as_ref())
            }
            Self::NoBlock => "the server did not store the block".into(),
            Self::State(error, alone) => of_state(error, *alone),
            Self::NoAccess(NoAccess::NoPermission) => "No permissions to access a key".into(),
            Self::NoAccess(NoAccess::CrossSlot) => "Keys in request don't hash to the same slot".into(),
            Self::NoAccess(NoAccess::TryAgain) => "Multiple keys request during rehashing of slot".into(),
            Self::InLimit(number, algorithm, error) => {
                format!("limit {number} ({algorithm}): {}", error.text()).into()
            }
        }
    }
}

fn of_override(key: &Shown, limit: &str, has_refill: bool, got: Option<&Shown>) -> Cow<'static, str> {
    let or_both = if has_refill { format!(", or two as {limit}/refill") } else { String::new() };
    let got = got.map_or_else(|| "another type".into(), Shown::to_string);
    format!("OVERRIDE key {key} must hold a whole number from 0 to {MAX_UNITS}{or_both}, not {got}").into()
}

fn of_state(error: &StateError, alone: Option<&str>) -> Cow<'static, str> {
    match error {
        StateError::WrongType(kind) => match (kind, alone) {
            (Kind::SortedSet, None) => {
                format!("{WRONG_TYPE}: if it is a SLIDINGLOG's or a LEASE's, that must have its key alone")
                    .into()
            }
            (Kind::Hash, Some(alone)) => {
                format!("{WRONG_TYPE}: if it is other limiters', a {alone} must have its key alone").into()
            }
            _ => WRONG_TYPE.into(),
        },
        StateError::OtherData => OTHER_DATA.into(),
        StateError::Log => format!("{OTHER_DATA}: a SLIDINGLOG, which must have its key alone").into(),
        StateError::Leases => format!("{OTHER_DATA}: leases, and a LEASE must have its key alone").into(),
        StateError::BadField(field) => format!("field {} holds other data", Shown::of(field)).into(),
        StateError::TooMuch => format!("COST must not take the used units above {MAX_USED}").into(),
        StateError::NotTold => "the server did not tell what the key holds".into(),
        StateError::NotDone => "the server did not store the limiter's new state".into(),
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.text())
    }
}

impl Reply for Error {
    fn write(&self, to: &ReplyWriter) {
        match self {
            Self::WrongArity => to.wrong_arity(),
            error => to.error(&error.to_string()),
        }
    }
}

impl Display for Accepts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Duration(least_ms) => write!(f, "{WITH_UNIT}, from {least_ms}ms to {MAX_DURATION_DAYS}d"),
            Self::DurationOrMonths => {
                let duration = Self::Duration(1);
                write!(f, "{duration}, or with ALIGN calendar months, from 1mo to {MAX_MONTHS}mo")
            }
            Self::Offset => write!(f, "{WITH_UNIT}, from -{MAX_DURATION_DAYS}d to {MAX_DURATION_DAYS}d"),
            Self::OffsetOfMonths => write!(f, "{WITH_UNIT}, from -24h to 27d with months"),
            Self::Key => write!(f, "a key not called BLOCK or OVERRIDE"),
            Self::KeyAndDuration => write!(f, "a key not called BLOCK or OVERRIDE, and a duration"),
            Self::Id => write!(f, "1 to {MAX_ID} bytes"),
            Self::Name => {
                write!(f, "a name of 1 to {MAX_NAME} of A-Z a-z 0-9 _ . - other than KEY, BLOCK and OVERRIDE")
            }
        }
    }
}

impl From<NoAccess> for Error {
    fn from(why: NoAccess) -> Self {
        Self::NoAccess(why)
    }
}
