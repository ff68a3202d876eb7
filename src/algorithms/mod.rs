//! Decisions about limits: state, terms and an instant in; a verdict and new state out.
//!
//! Nothing here knows a server. An algorithm is the four answers of [`Limiter`]; [`decision`] builds every
//! mode and reply upon them. All arithmetic is integer, and rounds so that no limit is ever exceeded.
//!
//! To add an algorithm that keeps its state in a field: write its file and name it in `field_algorithms!`.

pub mod decision;
mod fixed_window;
mod leaky_bucket;
mod sliding_counter;
mod sliding_log;
pub mod text;
mod time;
mod token_bucket;

pub use fixed_window::FixedWindow;
pub use leaky_bucket::LeakyBucket;
pub use sliding_counter::SlidingCounter;
pub use sliding_log::{Entry, Log, OtherData, SlidingLog};
pub use time::{Span, TOLERANCE, Time};
pub use token_bucket::TokenBucket;

use decision::{Answer, Ask, TooMuch, Verdict};
use text::Text;

/// The largest limit or capacity, refill, and cost, in units.
pub const MAX_UNITS: i64 = 1_000_000_000_000;

/// The most units that may stand as used: a limit's worth and three more of forced debt.
pub const MAX_USED: i64 = 4 * MAX_UNITS;

/// What a caller asks a limiter to hold to. May change from call to call; what was used stays used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Units in a window, or a bucket's capacity: 0 to [`MAX_UNITS`].
    pub limit: i64,
    /// Units that come back each `window`, 1 to [`MAX_UNITS`]; buckets only.
    pub refill: i64,
    /// The window, or a bucket's period: 1 ms to 3660 days.
    pub window: Span,
    /// Fixed windows only: align windows to the Unix epoch plus this much.
    pub offset: Option<Span>,
}

/// One limiter at one instant.
pub trait Limiter {
    /// Units that count, rounded up; at most [`MAX_USED`].
    fn used(&self) -> i64;

    /// How long until at most `level` units count, if nobody charges; nothing if that is so already.
    ///
    /// Exact: one microsecond earlier, more than `level` would count.
    fn until_at_most(&self, level: i64) -> Span;

    /// How long until the limiter is as good as unused.
    fn until_unused(&self) -> Span {
        self.until_at_most(0)
    }

    /// Charges `units`, or gives them back when negative, never below unused.
    ///
    /// The caller has seen to it that no more than [`MAX_USED`] will count.
    fn charge(&mut self, units: i64);

    /// How long a caller let through now is to wait before proceeding: queues only.
    fn delay(&self) -> Span {
        Span::ZERO
    }
}

/// What the name of a field that holds a limiter's state begins with.
pub type Tag = [u8; 2];

/// An algorithm whose state is one line of text, so that it can live in a hash's field.
pub trait FieldState: Limiter + Sized {
    /// The prefixes of fields that may hold the state.
    const TAGS: &[Tag];

    /// Which of [`TAGS`](Self::TAGS) holds it under `terms`.
    fn tag(terms: &Terms) -> Tag;

    /// The limiter as `stored` left it, at `now`; unused without. None if `stored` does not parse.
    fn resume(terms: &Terms, stored: Option<&[u8]>, now: Time) -> Option<Self>;

    /// The state to store. Only asked of a limiter that is in use.
    fn format(&self, text: &mut Text);

    /// Whether the stored state lay so far in the future that it was pulled to the present.
    fn was_pulled(&self) -> bool;

    /// Judges `ask` and carries out as much of the verdict as `extent` says. All is written to `decision`, in place of what
    /// it was: what comes back by value is copied from one place to the next.
    ///
    /// # Errors
    ///
    /// [`TooMuch`] if a forced cost would pass what can be counted.
    #[inline(always)]
    fn decide(mut self, ask: &Ask, extent: Extent, decision: &mut Decision) -> Result<(), TooMuch> {
        let verdict = decision::judge(&self, ask)?;
        let charge = extent.charge(&verdict);
        if charge != 0 {
            self.charge(charge);
        }
        decision.verdict = verdict;
        decision.answer = decision::answer(&self, ask, &verdict);
        if !extent.changes(charge, ask, self.was_pulled()) {
            decision.state = NewState::Same;
        } else if self.used() == 0 {
            decision.state = NewState::None;
        } else {
            decision.state = NewState::Text;
            decision.text.clear();
            self.format(&mut decision.text);
        }
        Ok(())
    }
}

/// As much of a verdict as is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    All,
    /// Nothing is charged, since another limit refuses; but state from the future is pulled to the present.
    Refused,
    /// Nothing at all: it was only a question.
    Nothing,
}

impl Extent {
    /// Units to charge, of those that a verdict says.
    #[must_use]
    #[inline(always)]
    pub fn charge(self, verdict: &Verdict) -> i64 {
        if self == Self::All { verdict.charge } else { 0 }
    }

    /// Whether the state changes when `charge` is charged: also when it was pulled to the present, unless the caller only
    /// asks.
    #[must_use]
    #[inline(always)]
    pub fn changes(self, charge: i64, ask: &Ask, was_pulled: bool) -> bool {
        charge != 0 || (self != Self::Nothing && ask.cost != 0 && was_pulled)
    }

    /// What is left of it where another limit refuses.
    #[must_use]
    pub fn refused(self) -> Self {
        if self == Self::All { Self::Refused } else { self }
    }
}

/// What a call comes to.
#[derive(Clone, Copy, Default)]
pub struct Decision {
    /// What was found.
    pub verdict: Verdict,
    /// The reply.
    pub answer: Answer,
    /// What is to be stored.
    pub state: NewState,
    /// That, if it is a text.
    pub text: Text,
}

/// What a call leaves to be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewState {
    /// What was stored.
    #[default]
    Same,
    /// Nothing: nothing is used.
    None,
    /// [`Decision::text`].
    Text,
}

/// Why nothing can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The stored state is none of the algorithm's.
    BadState,
    /// A forced cost would pass what can be counted.
    TooMuch,
}

macro_rules! field_algorithms {
    ($($algorithm:ident),* $(,)?) => {
        /// The algorithms that keep their state in a hash's field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Algorithm {
            $(#[doc = concat!("[`", stringify!($algorithm), "`]")] $algorithm,)*
        }

        impl Algorithm {
            /// Whether `tag` is the prefix of a field that holds state.
            #[must_use]
            pub fn any_has(tag: &[u8]) -> bool {
                [$(<$algorithm as FieldState>::TAGS),*].iter().copied().flatten().any(|known| known == tag)
            }

            /// The prefix of the field that holds the state under `terms`.
            #[must_use]
            #[inline(always)]
            pub fn tag(self, terms: &Terms) -> Tag {
                match self { $(Self::$algorithm => <$algorithm as FieldState>::tag(terms),)* }
            }

            /// What `ask` comes to at `now`, with the limiter as `stored` left it, unused without: as
            /// [`FieldState::decide`].
            ///
            /// # Errors
            ///
            /// `stored` does not parse, or a forced cost would pass what can be counted.
            #[inline(always)]
            pub fn decide(
                self,
                terms: &Terms,
                stored: Option<&[u8]>,
                now: Time,
                ask: &Ask,
                extent: Extent,
                decision: &mut Decision,
            ) -> Result<(), Undecided> {
                match self {
                    $(Self::$algorithm => {
                        let limiter = <$algorithm as FieldState>::resume(terms, stored, now);
                        let limiter = limiter.ok_or(Undecided::BadState)?;
                        limiter.decide(ask, extent, decision).map_err(|TooMuch| Undecided::TooMuch)
                    })*
                }
            }
        }
    };
}

field_algorithms!(TokenBucket, LeakyBucket, FixedWindow, SlidingCounter);

/// `factor * other / divisor` and its remainder, for numbers that are not negative; beyond `i64` it saturates.
///
/// Most products fit 64 bits, where a division is one instruction instead of a hundred.
#[inline(always)]
fn mul_div(factor: i64, other: i64, divisor: i64) -> (i64, i64) {
    let (quotient, remainder) = divided(factor, other, divisor);
    (saturated(quotient), remainder.cast_signed())
}

/// `factor * other / divisor` rounded up, for numbers that are not negative; beyond `i64` it saturates.
#[inline(always)]
fn mul_div_ceil(factor: i64, other: i64, divisor: i64) -> i64 {
    let (quotient, remainder) = divided(factor, other, divisor);
    saturated(quotient.saturating_add(u64::from(remainder > 0)))
}

#[inline(always)]
fn divided(factor: i64, other: i64, divisor: i64) -> (u64, u64) {
    let (factor, other, divisor) = (factor.cast_unsigned(), other.cast_unsigned(), divisor.cast_unsigned());
    let Some(product) = factor.checked_mul(other) else {
        return divided_wide(factor, other, divisor);
    };
    match (product.checked_div(divisor), product.checked_rem(divisor)) {
        (Some(quotient), Some(remainder)) => (quotient, remainder),
        _ => (u64::MAX, 0),
    }
}

#[cold]
fn divided_wide(factor: u64, other: u64, divisor: u64) -> (u64, u64) {
    let product = u128::from(factor).saturating_mul(other.into());
    let narrow = |wide: Option<u128>| wide.and_then(|wide| u64::try_from(wide).ok());
    let (quotient, remainder) = (product.checked_div(divisor.into()), product.checked_rem(divisor.into()));
    (narrow(quotient).unwrap_or(u64::MAX), narrow(remainder).unwrap_or(0))
}

#[inline(always)]
fn saturated(value: u64) -> i64 {
    value.min(i64::MAX.cast_unsigned()).cast_signed()
}
