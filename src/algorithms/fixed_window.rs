//! The fixed window: so many units until the window ends, then as many anew.

use super::field::{FieldState, Tag};
use super::limiter::Limiter;
use super::quota::{MAX_USED, Quota};
use super::text::{self, Text, TooLong};
use super::time::{Span, Time};

/// A fixed window at an instant.
#[derive(Clone, Copy, Debug)]
pub struct FixedWindow {
    count: i64,
    end: Time,
    now: Time,
    pulled: bool,
}

/// When a window that is open at `now` ends: `window` from now, or at the next aligned boundary.
#[inline(always)]
fn end_of_window(quota: &Quota, now: Time) -> Time {
    let Some(offset) = quota.offset else {
        return now.after(quota.window);
    };
    let into = now.us().saturating_sub(offset.us()).checked_rem_euclid(quota.window.us()).unwrap_or(0);
    now.before(Span::from_us(into)).after(quota.window)
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
    const TAGS: &'static [Tag] = &[*b"fw", *b"fa"];

    fn tag(quota: &Quota) -> Tag {
        if quota.offset.is_some() { *b"fa" } else { *b"fw" }
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
        let pulled = end.before(quota.window).is_ahead_of(now);
        let end = if pulled { end_of_window(quota, now) } else { end };
        Some(Self { count, end, now, pulled })
    }

    #[inline(always)]
    fn format(&self, text: &mut Text) -> Result<(), TooLong> {
        text.number(self.count)?.byte(b'@')?.number(self.end.us())?;
        Ok(())
    }
}
