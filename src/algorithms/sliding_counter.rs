//! The sliding counter: two counts, of the current window and of the previous one.
//!
//! What is used is the current count, and of the previous one the share that a window which ends now still covers.
//! This takes the previous window's calls for evenly spread.

use super::arithmetic::{mul_div, mul_div_ceil};
use super::field::{FieldState, Tag};
use super::limiter::Limiter;
use super::quota::{MAX_USED, Quota};
use super::text::{self, Text, TooLong};
use super::time::{Span, Time};

/// A sliding counter at an instant.
#[derive(Clone, Copy, Debug)]
pub struct SlidingCounter {
    /// Units charged in the window that `start` opens, and in the one before it.
    current: i64,
    previous: i64,
    start: Time,
    window: Span,
    now: Time,
    pulled: bool,
    /// `current`, and what of `previous` a window that ends now still covers, rounded up.
    used: i64,
}

impl SlidingCounter {
    /// This counter, with `used` worked out.
    #[inline(always)]
    fn at_its_time(self) -> Self {
        let rest = self.window.us().saturating_sub(self.now.since(self.start).us());
        let covered = mul_div_ceil(self.previous, rest, self.window.us());
        Self { used: covered.saturating_add(self.current), ..self }
    }

    /// How long after its window's start at most `level` of `count` units weigh in from the window before.
    #[inline(always)]
    fn faded(&self, count: i64, level: i64) -> Span {
        let (share, _) = mul_div(self.window.us(), level, count);
        Span::from_us(self.window.us().saturating_sub(share))
    }
}

impl Limiter for SlidingCounter {
    fn used(&self) -> i64 {
        self.used
    }

    #[inline(always)]
    fn until_at_most(&self, level: i64) -> Span {
        if self.used <= level {
            return Span::ZERO;
        }
        let then = if self.current <= level {
            self.start.after(self.faded(self.previous, level.saturating_sub(self.current)))
        } else {
            self.start.after(self.window).after(self.faded(self.current, level))
        };
        then.since(self.now)
    }

    /// A refund takes from the current window alone. Where that has nothing and the previous one still weighs, nothing
    /// changes.
    fn charge(&mut self, units: i64) -> bool {
        if units < 0 && self.current == 0 && self.used > 0 {
            return false;
        }
        let current = self.current.saturating_add(units).clamp(0, MAX_USED);
        self.used = self.used.saturating_sub(self.current).saturating_add(current);
        self.current = current;
        true
    }

    fn was_pulled(&self) -> bool {
        self.pulled
    }
}

impl FieldState for SlidingCounter {
    const TAGS: &'static [Tag] = &[*b"sc"];

    fn tag(_: &Quota) -> Tag {
        *b"sc"
    }

    #[inline(always)]
    fn parse(quota: &Quota, stored: Option<&[u8]>, now: Time) -> Option<Self> {
        let window = quota.window;
        let into = now.us().checked_rem_euclid(window.us()).unwrap_or(0);
        let present = now.before(Span::from_us(into));
        let unused = Self { current: 0, previous: 0, start: present, window, now, pulled: false, used: 0 };
        let Some(stored) = stored else {
            return Some(unused);
        };
        let (counts, start) = text::stamped(stored)?;
        let (current, previous) = text::leading_number(counts)?;
        let previous = text::number(previous.strip_prefix(b",")?)?;
        if current.max(previous) > MAX_USED {
            return None;
        }
        let start = Time::from_us(start);

        let next = start.after(window);
        let counter = if start.is_ahead_of(now) {
            Self { current, previous, pulled: true, ..unused }
        } else if now < next {
            Self { current, previous, start, ..unused }
        } else if now < next.after(window) {
            Self { previous: current, start: next, ..unused }
        } else {
            return Some(unused);
        };
        Some(counter.at_its_time())
    }

    #[inline(always)]
    fn format(&self, text: &mut Text) -> Result<(), TooLong> {
        text.number(self.current)?.byte(b',')?.number(self.previous)?.byte(b'@')?.number(self.start.us())?;
        Ok(())
    }
}
