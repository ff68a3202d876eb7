//! Every error that a command answers, each with its text.

use std::fmt::{self, Display, Formatter};

use crate::algorithms::MAX_USED;
use crate::server::Call;

/// Why a call is answered with an error. Nothing is changed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Too few words, or too many.
    WrongArity,
    /// A word that cannot stand where it stands.
    Syntax(Vec<u8>),
    /// An argument outside of what it accepts.
    Argument(&'static str, Accepts),
    /// `OFFSET` without `ALIGN`.
    OffsetAlone,
    /// A mode that the command does not have: the mode, the command.
    ModeNotHere(&'static str, &'static str),
    /// More limits than one call takes.
    TooManyLimits,
    /// The same limit twice in one call.
    SameLimitTwice(&'static str),
    /// A sliding log and another limit on one key.
    LogNotAlone,
    /// The key is of a type that the limiter does not live in.
    WrongType,
    /// The key's type fits, but what it holds is not a limiter's.
    OtherData,
    /// A limiter's field whose value is not a limiter's.
    BadState(Vec<u8>),
    /// A forced cost beyond what can be counted.
    TooMuch,
}

/// What an argument accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// A whole number between two others.
    Whole(i64, i64),
    /// A duration with a unit, from so many milliseconds on.
    Duration(i64),
    /// A limiter's name.
    Name,
}

/// The longest limit window, period and offset.
pub const MAX_DURATION_DAYS: i64 = 3660;

/// The longest name of a limiter.
pub const MAX_NAME: usize = 32;

/// The most limits that one call takes.
pub const MAX_LIMITS: usize = 64;

/// How much of an unexpected word an error repeats.
const SHOWN: usize = 64;

impl Error {
    /// An unexpected word.
    #[must_use]
    pub fn near(word: &[u8]) -> Self {
        Self::Syntax(word.iter().copied().take(SHOWN).collect())
    }

    /// Replies this error.
    pub fn reply(&self, call: &Call<'_>) {
        match self {
            Self::WrongArity => call.reply_wrong_arity(),
            error => call.reply_error(&error.to_string()),
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongArity => write!(f, "ERR wrong number of arguments"),
            Self::Syntax(near) => write!(f, "ERR syntax error near '{}'", near.escape_ascii()),
            Self::Argument(name, accepts) => write!(f, "ERR {name} must be {accepts}"),
            Self::OffsetAlone => write!(f, "ERR OFFSET must come with ALIGN"),
            Self::ModeNotHere(mode, command) => write!(f, "ERR {mode} is not possible in {command}"),
            Self::TooManyLimits => write!(f, "ERR at most {MAX_LIMITS} limits are possible in one call"),
            Self::SameLimitTwice(limit) => {
                write!(f, "ERR the same {limit} is given twice: give one of them a name with AS")
            }
            Self::LogNotAlone => write!(f, "ERR a SLIDINGLOG must have a key of its own"),
            Self::WrongType => {
                write!(f, "WRONGTYPE Operation against a key holding the wrong kind of value")
            }
            Self::OtherData => write!(f, "ERR key holds other data"),
            Self::BadState(field) => {
                write!(f, "ERR field '{}' holds other data", field.escape_ascii())
            }
            Self::TooMuch => {
                write!(f, "ERR COST must not take the used units above {MAX_USED}")
            }
        }
    }
}

impl Display for Accepts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Duration(least_ms) => write!(
                f,
                "a whole number with a unit ms, s, m, h or d, from {least_ms}ms to {MAX_DURATION_DAYS}d"
            ),
            Self::Name => write!(f, "a name of 1 to {MAX_NAME} of A-Z a-z 0-9 _ . -"),
        }
    }
}
