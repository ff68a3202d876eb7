//! The leaky bucket as a queue: what is let through waits its turn, so that work leaves at a constant rate.

use super::text::Text;
use super::{FieldState, Limiter, Span, Tag, Terms, Time, TokenBucket};

/// A queue at an instant: a [`TokenBucket`] whose used units are the work that still waits.
#[derive(Clone, Copy, Debug)]
pub struct LeakyBucket(TokenBucket);

impl Limiter for LeakyBucket {
    fn used(&self) -> i64 {
        self.0.used()
    }

    #[inline(always)]
    fn until_at_most(&self, level: i64) -> Span {
        self.0.until_at_most(level)
    }

    fn charge(&mut self, units: i64) {
        self.0.charge(units);
    }

    #[inline(always)]
    fn delay(&self) -> Span {
        self.0.until_unused()
    }
}

impl FieldState for LeakyBucket {
    const TAGS: &[Tag] = &[*b"lb"];

    fn tag(_: &Terms) -> Tag {
        *b"lb"
    }

    #[inline(always)]
    fn resume(terms: &Terms, stored: Option<&[u8]>, now: Time) -> Option<Self> {
        TokenBucket::resume(terms, stored, now).map(Self)
    }

    #[inline(always)]
    fn format(&self, text: &mut Text) {
        self.0.format(text);
    }

    fn was_pulled(&self) -> bool {
        self.0.was_pulled()
    }
}
