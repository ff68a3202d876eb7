//! The sliding counter: the count of this window, and of the one before as far as a window that ends now
//! still covers it, as if its calls had come evenly.

use super::text::{self, Text};
use super::{FieldState, Limiter, MAX_USED, Span, Tag, Terms, Time, mul_div, mul_div_ceil};

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
    /// `here`, and what of `before` a window that ends now still covers, rounded up.
    used: i64,
}

impl SlidingCounter {
    /// This counter, with `used` worked out.
    #[inline(always)]
    fn at_its_time(self) -> Self {
        let rest = self.window.us().saturating_sub(self.now.since(self.start).us());
        let covered = mul_div_ceil(self.before, rest, self.window.us());
        Self { used: covered.saturating_add(self.here), ..self }
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
        let then = if self.here <= level {
            self.start.after(self.faded(self.before, level.saturating_sub(self.here)))
        } else {
            self.start.after(self.window).after(self.faded(self.here, level))
        };
        then.since(self.now)
    }

    fn charge(&mut self, units: i64) {
        let here = self.here.saturating_add(units).clamp(0, MAX_USED);
        self.used = self.used.saturating_sub(self.here).saturating_add(here);
        self.here = here;
    }
}

impl FieldState for SlidingCounter {
    const TAGS: &[Tag] = &[*b"sc"];

    fn tag(_: &Terms) -> Tag {
        *b"sc"
    }

    #[inline(always)]
    fn resume(terms: &Terms, stored: Option<&[u8]>, now: Time) -> Option<Self> {
        let window = terms.window;
        let into = now.us().checked_rem_euclid(window.us()).unwrap_or(0);
        let present = now.before(Span::from_us(into));
        let unused = Self { here: 0, before: 0, start: present, window, now, pulled: false, used: 0 };
        let Some(stored) = stored else {
            return Some(unused);
        };
        let (counts, start) = text::stamped(stored)?;
        let (here, before) = text::leading_number(counts)?;
        let before = text::number(before.strip_prefix(b",")?)?;
        if here.max(before) > MAX_USED {
            return None;
        }
        let start = Time::from_us(start);

        let next = start.after(window);
        let counter = if start.is_ahead_of(now) {
            Self { here, before, pulled: true, ..unused }
        } else if now < next {
            Self { here, before, start, ..unused }
        } else if now < next.after(window) {
            Self { before: here, start: next, ..unused }
        } else {
            return Some(unused);
        };
        Some(counter.at_its_time())
    }

    #[inline(always)]
    fn format(&self, text: &mut Text) {
        text.number(self.here).byte(b',').number(self.before).byte(b'@').number(self.start.us());
    }

    fn was_pulled(&self) -> bool {
        self.pulled
    }
}
