//! The fixed window: so many units until the window ends, then as many anew.

use super::text::{self, Text};
use super::{FieldState, Limiter, MAX_USED, Span, Tag, Terms, Time};

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
fn end_of_window(terms: &Terms, now: Time) -> Time {
    let Some(offset) = terms.offset else {
        return now.after(terms.window);
    };
    let into = now.us().saturating_sub(offset.us()).checked_rem_euclid(terms.window.us()).unwrap_or(0);
    now.before(Span::from_us(into)).after(terms.window)
}

impl Limiter for FixedWindow {
    fn used(&self) -> i64 {
        self.count
    }

    #[inline(always)]
    fn until_at_most(&self, level: i64) -> Span {
        if self.count <= level { Span::ZERO } else { self.end.since(self.now) }
    }

    fn charge(&mut self, units: i64) {
        self.count = self.count.saturating_add(units).clamp(0, MAX_USED);
    }
}

impl FieldState for FixedWindow {
    const TAGS: &[Tag] = &[*b"fw", *b"fa"];

    fn tag(terms: &Terms) -> Tag {
        if terms.offset.is_some() { *b"fa" } else { *b"fw" }
    }

    #[inline(always)]
    fn resume(terms: &Terms, stored: Option<&[u8]>, now: Time) -> Option<Self> {
        let (count, end) = match stored {
            None => (0, now),
            Some(stored) => {
                let (count, end) = text::stamped(stored)?;
                let count = text::number(count).filter(|count| *count <= MAX_USED)?;
                (count, Time::from_us(end))
            }
        };
        if count == 0 || end <= now {
            return Some(Self { count: 0, end: end_of_window(terms, now), now, pulled: false });
        }
        let pulled = end.before(terms.window).is_ahead_of(now);
        let end = if pulled { end_of_window(terms, now) } else { end };
        Some(Self { count, end, now, pulled })
    }

    #[inline(always)]
    fn format(&self, text: &mut Text) {
        text.number(self.count).byte(b'@').number(self.end.us());
    }

    fn was_pulled(&self) -> bool {
        self.pulled
    }
}
