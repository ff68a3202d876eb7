//! Instants and durations in whole microseconds.

/// An instant: microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(i64);

/// A duration in microseconds, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(i64);

/// How far ahead of the clock stored state may be before it is pulled back to the present.
///
/// Jitter between clocks stays below it, so it causes no writes; a clock that was set back does not.
pub const TOLERANCE: Span = Span(1_000_000);

/// The largest duration in replies and expiries, in milliseconds: what a double holds exactly.
const MAX_MS: u64 = (1 << 53) - 1;

impl Time {
    /// The instant `us` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_us(us: i64) -> Self {
        Self(us)
    }

    /// The instant `ms` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(1000))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn us(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn floor_ms(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is; nothing if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0).max(0))
    }

    /// The instant `span` later.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The instant `span` earlier.
    #[must_use]
    pub const fn before(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// Whether this lies so far after `now` that the clock must have been set back since.
    #[must_use]
    pub fn is_ahead_of(self, now: Self) -> bool {
        self > now.after(TOLERANCE)
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A duration of `us` microseconds; below zero it is zero.
    #[must_use]
    pub fn from_us(us: i64) -> Self {
        Self(us.max(0))
    }

    /// A duration of `ms` milliseconds.
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.max(0).saturating_mul(1000))
    }

    /// Microseconds.
    #[must_use]
    pub const fn us(self) -> i64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn floor_ms(self) -> i64 {
        self.0 / 1000
    }

    /// Milliseconds rounded up, at most 2^53 - 1: a caller who waits as long as told is never early.
    #[must_use]
    pub fn ceil_ms(self) -> i64 {
        (self.0.cast_unsigned().wrapping_add(999) / 1000).min(MAX_MS).cast_signed()
    }
}
