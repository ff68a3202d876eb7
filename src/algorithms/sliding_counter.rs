//! The sliding counter: the count of this window, and of the one before as far as a window that ends now
//! still covers it, as if its calls had come evenly.

use super::text::{self, Text};
use super::{FieldState, Limiter, MAX_USED, Span, Terms, Time, mul_div, mul_div_ceil};

/// A sliding counter at an instant.
#[derive(Clone, Copy, Debug)]
pub struct SlidingCounter {
    /// Units charged in the window that `start` opens, and in the one before it.
    here: i64,
    before: i64,
    start: Time,
    window: Span,
    now: Time,
    pulled: bool,
}

impl SlidingCounter {
    /// How much of the window is still to come.
    fn rest(&self) -> i64 {
        self.window.us().saturating_sub(self.now.since(self.start).us())
    }

    /// How long after its window's start at most `level` of `count` units weigh in from the window before.
    fn faded(&self, count: i64, level: i64) -> Span {
        let (share, _) = mul_div(self.window.us(), level, count);
        Span::from_us(self.window.us().saturating_sub(share))
    }
}

impl Limiter for SlidingCounter {
    fn used(&self) -> i64 {
        mul_div_ceil(self.before, self.rest(), self.window.us()).saturating_add(self.here)
    }

    fn until_at_most(&self, level: i64) -> Span {
        if self.used() <= level {
            return Span::ZERO;
        }
        let then = if self.here <= level {
            self.start.after(self.faded(self.before, level.saturating_sub(self.here)))
        } else {
            self.start.after(self.window).after(self.faded(self.here, level))
        };
        then.since(self.now)
    }

    fn charge(&mut self, units: i64) {
        self.here = self.here.saturating_add(units).clamp(0, MAX_USED);
    }
}

impl FieldState for SlidingCounter {
    const TAGS: &[&str] = &["sc"];

    fn tag(_: &Terms) -> &'static str {
        "sc"
    }

    fn resume(terms: &Terms, stored: Option<&[u8]>, now: Time) -> Option<Self> {
        let window = terms.window;
        let into = now.us().checked_rem_euclid(window.us()).unwrap_or(0);
        let present = now.before(Span::from_us(into));
        let unused = Self { here: 0, before: 0, start: present, window, now, pulled: false };
        let Some(stored) = stored else {
            return Some(unused);
        };
        let (counts, start) = text::split(stored, b'@')?;
        let (here, before) = text::split(counts, b',')?;
        let count = |digits| text::number(digits).filter(|count| *count <= MAX_USED);
        let (here, before, start) = (count(here)?, count(before)?, Time::from_us(text::number(start)?));

        let next = start.after(window);
        Some(if start.is_ahead_of(now) {
            Self { here, before, pulled: true, ..unused }
        } else if now < next {
            Self { here, before, start, ..unused }
        } else if now < next.after(window) {
            Self { before: here, start: next, ..unused }
        } else {
            unused
        })
    }

    fn format(&self, text: &mut Text) {
        text.number(self.here).byte(b',').number(self.before).byte(b'@').number(self.start.us());
    }

    fn was_pulled(&self) -> bool {
        self.pulled
    }
}
