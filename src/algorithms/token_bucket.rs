//! The token bucket: a call takes tokens, which come back at a constant rate.
//!
//! It keeps what is used, in millionths of a token, and the instant of that figure. This is the meter of
//! ITU-T I.371's continuous-state leaky bucket, counted up from empty instead of down from full.

use super::arithmetic::{mul_div, mul_div_ceil};
use super::field::{FieldState, Tag};
use super::limiter::Limiter;
use super::quota::{MAX_USED, Quota};
use super::text::{self, Text, TooLong};
use super::time::{Span, Time};

/// Millionths in a unit.
const MICRO: i64 = 1_000_000;

/// What is used at an instant.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// Millionths of a unit.
    micro: i64,
    at: Time,
}

/// A token bucket at an instant.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// What waits are read off: the stored state, or the one a charge left. It still has the fraction of a
    /// millionth that `current` has rounded away.
    base: Level,
    /// What is left of it now.
    current: Level,
    now: Time,
    /// Millionths that come back each period.
    rate: i64,
    period: Span,
    pulled: bool,
}

impl TokenBucket {
    /// A bucket that holds `level`, at `now`.
    #[inline(always)]
    fn at(quota: &Quota, level: Level, now: Time) -> Self {
        let rate = rate(quota.refill);
        let pulled = level.at.is_ahead_of(now);
        let base = if pulled { Level { at: now, ..level } } else { level };
        Self { base, current: drain(base, now, rate, quota.window), now, rate, period: quota.window, pulled }
    }

    /// A bucket that is as good as unused after `ns` nanoseconds, for state that was kept in another form.
    #[must_use]
    pub fn draining_for(quota: &Quota, ns: i64, now: Time) -> Self {
        let micro = mul_div_ceil(ns, rate(quota.refill), quota.window.us().saturating_mul(1000));
        let micro = micro.min(quota.limit.saturating_mul(MICRO));
        Self::at(quota, Level { micro, at: now }, now)
    }

    /// The time, rounded up, in which `micro` millionths come back.
    #[inline(always)]
    fn time_for(&self, micro: i64) -> Span {
        Span::from_us(mul_div_ceil(micro, self.period.us(), self.rate))
    }
}

/// Millionths that come back each period.
fn rate(refill: i64) -> i64 {
    refill.saturating_mul(MICRO)
}

/// What is left of `level` at `now`. The remainder of the division is carried as time, so that no
/// sequence of calls gains or loses by it.
#[inline(always)]
fn drain(level: Level, now: Time, rate: i64, period: Span) -> Level {
    let (drained, remainder) = mul_div(now.since(level.at).us(), rate, period.us());
    let micro = level.micro.saturating_sub(drained);
    if micro <= 0 {
        return Level { micro: 0, at: now };
    }
    let carried = Span::from_us(remainder.checked_div(rate).unwrap_or(0));
    Level { micro, at: now.max(level.at).before(carried) }
}

impl Limiter for TokenBucket {
    fn used(&self) -> i64 {
        self.current.micro.unsigned_abs().div_ceil(MICRO.unsigned_abs()).cast_signed()
    }

    #[inline(always)]
    fn until_at_most(&self, level: i64) -> Span {
        // A level is at most 10^12 units, which fits.
        let excess = self.base.micro.saturating_sub(level.wrapping_mul(MICRO));
        if excess <= 0 {
            return Span::ZERO;
        }
        self.base.at.after(self.time_for(excess)).since(self.now)
    }

    fn charge(&mut self, units: i64) -> bool {
        let micro = self.current.micro.saturating_add(units.saturating_mul(MICRO));
        self.current.micro = micro.clamp(0, MAX_USED.saturating_mul(MICRO));
        self.base = self.current;
        true
    }

    fn was_pulled(&self) -> bool {
        self.pulled
    }
}

impl FieldState for TokenBucket {
    const TAGS: &'static [Tag] = &[*b"tb"];

    fn tag(_: &Quota) -> Tag {
        *b"tb"
    }

    #[inline(always)]
    fn parse(quota: &Quota, stored: Option<&[u8]>, now: Time) -> Option<Self> {
        let level = match stored {
            None => Level { micro: 0, at: now },
            Some(stored) => {
                let (used, at) = text::stamped(stored)?;
                let micro = text::millionths(used)?;
                if micro > MAX_USED.saturating_mul(MICRO) {
                    return None;
                }
                Level { micro, at: Time::from_us(at) }
            }
        };
        Some(Self::at(quota, level, now))
    }

    #[inline(always)]
    fn format(&self, text: &mut Text) -> Result<(), TooLong> {
        text.millionths(self.current.micro)?.byte(b'@')?.number(self.current.at.us())?;
        Ok(())
    }
}
