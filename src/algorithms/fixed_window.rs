//! The fixed window: so many units until the window ends, then as many anew.

use super::calendar::{end_of_months, months_of};
use super::field::{FieldState, Tag};
use super::limiter::Limiter;
use super::quota::{MAX_USED, Quota};
use super::text::{self, Text, TooLong};
use super::time::{Span, TOLERANCE, Time};

/// A fixed window at an instant.
#[derive(Clone, Copy, Debug)]
pub struct FixedWindow {
    count: i64,
    end: Time,
    now: Time,
    pulled: bool,
}

impl FixedWindow {
    /// The tag of windows that open at a charge.
    const ROLLING: Tag = *b"fw";

    /// The tag of aligned windows.
    pub const ALIGNED: Tag = *b"fa";
}

/// When a window that opens at `now` ends: `window` from now, or at the next aligned boundary.
#[inline(always)]
fn end_of_window(quota: &Quota, now: Time) -> Time {
    match quota.origin {
        None => now.after(quota.window),
        Some(origin) => end_of_aligned(quota.window, origin, now),
    }
}

/// When the aligned window that holds `at` ends.
#[inline(always)]
fn end_of_aligned(window: Span, origin: Time, at: Time) -> Time {
    if let Some(count) = months_of(window) {
        return end_of_months(count, origin, at);
    }
    let into = at.us().saturating_sub(origin.us()).checked_rem_euclid(window.us()).unwrap_or(0);
    at.before(Span::from_us(into)).after(window)
}

/// Whether a window that ends at `end` lies so far in the future that the clock must have been set back since. An aligned
/// one does if it ends later than the one that a clock somewhat ahead would be in.
#[inline(always)]
fn is_ahead(quota: &Quota, end: Time, now: Time) -> bool {
    match quota.origin {
        None => end.before(quota.window).is_ahead_of(now),
        Some(origin) => end > end_of_aligned(quota.window, origin, now.after(TOLERANCE)),
    }
}

impl Limiter for FixedWindow {
    fn used(&self) -> i64 {
        self.count
    }

    #[inline(always)]
    fn until_at_most(&self, level: i64) -> Span {
        if self.count <= level { Span::ZERO } else { self.end.since(self.now) }
    }

    fn charge(&mut self, units: i64) -> bool {
        self.count = self.count.saturating_add(units).clamp(0, MAX_USED);
        true
    }

    fn was_pulled(&self) -> bool {
        self.pulled
    }
}

impl FieldState for FixedWindow {
    const TAGS: &'static [Tag] = &[Self::ROLLING, Self::ALIGNED];

    fn tag(quota: &Quota) -> Tag {
        if quota.origin.is_some() { Self::ALIGNED } else { Self::ROLLING }
    }

    #[inline(always)]
    fn parse(quota: &Quota, stored: Option<&[u8]>, now: Time) -> Option<Self> {
        let (count, end) = match stored {
            None => (0, now),
            Some(stored) => {
                let (count, end) = text::stamped(stored)?;
                let count = text::number(count).filter(|count| *count <= MAX_USED)?;
                (count, Time::from_us(end))
            }
        };
        if count == 0 || end <= now {
            return Some(Self { count: 0, end: end_of_window(quota, now), now, pulled: false });
        }
        let pulled = is_ahead(quota, end, now);
        let end = if pulled { end_of_window(quota, now) } else { end };
        Some(Self { count, end, now, pulled })
    }

    #[inline(always)]
    fn format(&self, text: &mut Text) -> Result<(), TooLong> {
        text.number(self.count)?.byte(b'@')?.number(self.end.us())?;
        Ok(())
    }
}
